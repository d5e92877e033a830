/* Text from a decoder with a cache: the most probable token each time, as numbers.
 *
 *     generate MODEL.onnx STEPS TOKEN...
 *
 * The model takes token numbers and positions, [1, tokens] each, and the keys and values of what came before, [1, heads, past, size];
 * it gives logits [1, tokens, words] and the keys and values with the new ones behind. What a step gives is what the next one takes:
 * the tensors are handed on, not copied.
 *
 *     cc generate.c $(pkg-config --cflags --libs tenon) && ./a.out decoder.onnx 20 3 14 15 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tenon.h>

enum { MOST_INPUTS = 64, MOST_TOKENS = 1024 };

/* Ends the program with the library's message when a call fails. */
static void check(tenon_status status)
{
    if (status == TENON_OK)
        return;
    fprintf(stderr, "%s: %s\n", tenon_status_name(status), tenon_last_error_message());
    exit(1);
}

/* An empty cache for input `index`: its sizes with 0 for the one that is not known. */
static tenon_tensor empty_cache(const tenon_executable *executable, size_t index, int64_t shape[4])
{
    static float nothing[1];
    tenon_port port = TENON_PORT_INIT;
    check(tenon_executable_get_input(executable, index, &port));
    if (port.rank != 4) {
        fprintf(stderr, "input %s is no cache: %s\n", port.name, port.type);
        exit(1);
    }
    for (int axis = 0; axis < 4; axis++)
        shape[axis] = port.shape[axis] < 0 ? 0 : port.shape[axis];
    const tenon_tensor cache = TENON_TENSOR(TENON_F32, 4, shape, nothing, 0);
    return cache;
}

/* The number of the largest of the last row of [1, rows, words]. */
static int64_t most_probable(const tenon_tensor *logits)
{
    const int64_t words = logits->shape[2];
    const float *row = (const float *)logits->data + (logits->shape[1] - 1) * words;
    int64_t best = 0;
    for (int64_t word = 1; word < words; word++)
        if (row[word] > row[best])
            best = word;
    return best;
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc - 3 > MOST_TOKENS / 2) {
        fprintf(stderr, "usage: generate MODEL.onnx STEPS TOKEN...\n");
        return 1;
    }
    tenon_module *module;
    tenon_executable *executable;
    check(tenon_module_load_onnx(argv[1], NULL, &module));
    check(tenon_module_optimize(module, NULL));
    check(tenon_compile(module, NULL, &executable));
    tenon_module_release(module);

    const size_t inputs = tenon_executable_input_count(executable);
    const size_t outputs = tenon_executable_output_count(executable);
    if (inputs < 2 || inputs > MOST_INPUTS || outputs != inputs - 1) {
        fprintf(stderr, "the model expects other inputs than tokens, positions and caches\n");
        return 1;
    }
    int64_t tokens[MOST_TOKENS], positions[MOST_TOKENS], shapes[MOST_INPUTS][4];
    int64_t known = 0, done = 0;
    for (int i = 3; i < argc; i++)
        tokens[known++] = strtoll(argv[i], NULL, 10);
    const long steps = strtol(argv[2], NULL, 10);
    for (int64_t i = 0; i < MOST_TOKENS; i++)
        positions[i] = i;

    tenon_tensor given[MOST_INPUTS];
    for (size_t i = 2; i < inputs; i++)
        given[i] = empty_cache(executable, i, shapes[i]);
    tenon_results *before = NULL;
    for (long step = 0; step < steps && known < MOST_TOKENS; step++) {
        const int64_t count[] = {1, known - done};
        const size_t bytes = (size_t)count[1] * sizeof *tokens;
        const tenon_tensor ids = TENON_TENSOR(TENON_I64, 2, count, tokens + done, bytes);
        const tenon_tensor places = TENON_TENSOR(TENON_I64, 2, count, positions + done, bytes);
        given[0] = ids;
        given[1] = places;
        tenon_results *results;
        check(tenon_run_new(executable, given, inputs, NULL, &results));
        tenon_tensor logits = TENON_TENSOR_INIT;
        check(tenon_results_get(results, 0, &logits));
        done = known;
        tokens[known++] = most_probable(&logits);
        for (size_t i = 2; i < inputs; i++) {
            given[i].struct_size = sizeof given[i];
            check(tenon_results_get(results, i - 1, &given[i]));
        }
        /* The caches that this step read are read no more. */
        tenon_results_release(before);
        before = results;
    }
    tenon_results_release(before);
    tenon_executable_release(executable);
    for (int64_t i = 0; i < known; i++)
        printf("%lld%s", (long long)tokens[i], i + 1 == known ? "\n" : " ");
    return 0;
}
