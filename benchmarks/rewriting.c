/* Time and memory of FuseConv2dReshapeAddRelu + MergeCompositeFunctions on graphs of 10^3 to 10^6 operators:
 * chains of conv2d → reshape → add → relu, and wide diamonds (one value, many such branches, summed pairwise).
 *
 * usage: rewriting [largest]      (default 1000000)
 *
 * Built against an installed library: `make bench-rewriting`. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tenon.h>

static void check(tenon_status status, const char *what) {
    if (status == TENON_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, tenon_status_name(status), tenon_last_error_message());
    exit(1);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static long resident_kib(void) {
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) return 0;
    if (fscanf(file, "%ld %ld", &pages, &resident) != 2) resident = 0;
    fclose(file);
    return resident * 4;
}

typedef struct {
    tenon_builder *builder;
    tenon_attributes *attributes;
    tenon_value weight, bias, shape;
} Parts;

/* Four operators. */
static tenon_value layer(Parts *parts, tenon_value x) {
    tenon_value c, b, y;
    check(tenon_builder_add_call(parts->builder, "nn.conv2d", (tenon_value[]){x, parts->weight}, 2, parts->attributes, NULL, &c), "conv2d");
    check(tenon_builder_add_call(parts->builder, "reshape", (tenon_value[]){parts->bias, parts->shape}, 2, NULL, NULL, &b), "reshape");
    check(tenon_builder_add_call(parts->builder, "add", (tenon_value[]){c, b}, 2, NULL, NULL, &y), "add");
    check(tenon_builder_add_call(parts->builder, "nn.relu", &y, 1, NULL, NULL, &y), "relu");
    return y;
}

static tenon_module *build(size_t operators, int is_diamond) {
    static const int64_t x_shape[] = {1, 4, 8, 8}, w_shape[] = {4, 4, 1, 1}, b_shape[] = {4}, to[] = {1, 4, 1, 1};
    static float weights[16], bias[4];
    tenon_tensor w = TENON_TENSOR(TENON_F32, 4, w_shape, weights, sizeof weights);
    tenon_tensor b = TENON_TENSOR(TENON_F32, 1, b_shape, bias, sizeof bias);
    Parts parts;
    tenon_module *module;
    tenon_value x, y;
    check(tenon_builder_create(&parts.builder), "builder");
    check(tenon_attributes_create(&parts.attributes), "attributes");
    check(tenon_builder_add_parameter(parts.builder, "x", TENON_F32, 4, x_shape, &x), "x");
    check(tenon_builder_add_constant(parts.builder, &w, &parts.weight), "weight");
    check(tenon_builder_add_constant(parts.builder, &b, &parts.bias), "bias");
    check(tenon_builder_add_shape(parts.builder, 4, to, &parts.shape), "shape");
    if (is_diamond) {
        y = layer(&parts, x);
        const tenon_value top = y;
        for (size_t done = 4; done + 5 <= operators; done += 5) {
            const tenon_value branch = layer(&parts, top);
            check(tenon_builder_add_call(parts.builder, "add", (tenon_value[]){y, branch}, 2, NULL, NULL, &y), "sum");
        }
    } else {
        y = x;
        for (size_t done = 0; done + 4 <= operators; done += 4) y = layer(&parts, y);
    }
    check(tenon_module_create(&module), "module");
    check(tenon_module_add_function(module, "main", parts.builder, &y, 1, NULL), "main");
    tenon_attributes_release(parts.attributes);
    tenon_builder_release(parts.builder);
    return module;
}

int main(int argc, char **argv) {
    const size_t largest = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    printf("%-8s %10s %10s %10s %10s %12s %14s\n", "graph", "operators", "build ms", "fuse ms", "merge ms", "us/operator", "bytes/operator");
    fflush(stdout);
    for (int is_diamond = 0; is_diamond < 2; is_diamond++)
        for (size_t operators = 1000; operators <= largest; operators *= 10) {
            /* One process each, so that memory is that of one graph. */
            const pid_t child = fork();
            if (child > 0) {
                int status = 0;
                if (waitpid(child, &status, 0) != child || status != 0) return 1;
                continue;
            }
            const long before = resident_kib();
            const double start = now_ms();
            tenon_module *module = build(operators, is_diamond);
            const double built = now_ms();
            const long resident = resident_kib();
            double fuse = 1e300, merge = 1e300;
            const int rounds = operators <= 100000 ? 5 : 1;
            for (int round = 0; round < rounds; round++) {
                tenon_module *copy;
                check(tenon_module_copy(module, &copy), "copy");
                const double t0 = now_ms();
                check(tenon_module_apply(copy, "FuseConv2dReshapeAddRelu", NULL), "fuse");
                const double t1 = now_ms();
                check(tenon_module_apply(copy, "MergeCompositeFunctions", NULL), "merge");
                const double t2 = now_ms();
                if (t1 - t0 < fuse) fuse = t1 - t0;
                if (t2 - t1 < merge) merge = t2 - t1;
                tenon_module_release(copy);
            }
            printf(
                "%-8s %10zu %10.1f %10.1f %10.1f %12.2f %14.0f\n", is_diamond ? "diamond" : "chain", operators, built - start,
                fuse, merge, (fuse + merge) * 1e3 / (double)operators,
                (double)(resident - before) * 1024 / (double)operators);
            tenon_module_release(module);
            return 0;
        }
    return 0;
}
