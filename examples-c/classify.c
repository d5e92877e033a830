/* Classifies images with an ONNX model: IDX files in, classes out.
 *
 *     cc classify.c $(pkg-config --cflags --libs tenon) && ./a.out MODEL.onnx IMAGES [LABELS]
 *
 * The model takes one image as f32 [1, 1, height, width], a byte divided by 255, and gives one score per class. With labels
 * the last line is the accuracy. */
#include <stdio.h>
#include <stdlib.h>

#include <tenon.h>

typedef struct {
    uint32_t rank;
    uint32_t dims[3];
    unsigned char *bytes;
} Idx;

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

static uint32_t big_endian(FILE *file)
{
    unsigned char b[4] = {0};
    if (fread(b, 1, 4, file) != 4)
        return 0;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Two zero bytes, 8 for unsigned bytes, the rank, the dimensions, the elements. NULL when all is well. */
static const char *read_idx(const char *path, uint32_t rank, Idx *idx)
{
    FILE *file = fopen(path, "rb");
    const char *problem = NULL;
    size_t count = 1;
    *idx = (Idx){rank, {0, 0, 0}, NULL};
    if (file == NULL)
        return "cannot be opened";
    if (big_endian(file) != (8u << 8 | rank))
        problem = "is no IDX file of bytes with the rank expected";
    for (uint32_t i = 0; i < rank && problem == NULL; i++) {
        idx->dims[i] = big_endian(file);
        if (idx->dims[i] == 0 || count > (1u << 30) / idx->dims[i])
            problem = "has no elements, or too many";
        else
            count *= idx->dims[i];
    }
    if (problem == NULL && (idx->bytes = malloc(count)) == NULL)
        problem = "does not fit memory";
    if (problem == NULL && fread(idx->bytes, 1, count, file) != count)
        problem = "is shorter than it says";
    fclose(file);
    return problem;
}

static int classify(const tenon_executable *executable, const Idx *images, const Idx *labels)
{
    tenon_port port = TENON_PORT_INIT;
    const size_t pixels = (size_t)images->dims[1] * images->dims[2];
    const int64_t in_shape[] = {1, 1, images->dims[1], images->dims[2]};
    if (tenon_executable_get_output(executable, 0, &port) != TENON_OK)
        return fail("output", tenon_last_error_message());
    if (port.rank != 2 || port.shape[0] != 1 || port.shape[1] < 1)
        return fail("output", port.type);
    const size_t classes = (size_t)port.shape[1];
    float *image = malloc(pixels * sizeof *image), *scores = malloc(classes * sizeof *scores);
    const tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, image, pixels * sizeof *image);
    const tenon_tensor out = TENON_TENSOR(TENON_F32, 2, port.shape, scores, classes * sizeof *scores);
    int result = image == NULL || scores == NULL;
    uint32_t right = 0;

    for (uint32_t i = 0; i < images->dims[0] && result == 0; i++) {
        for (size_t k = 0; k < pixels; k++)
            image[k] = (float)images->bytes[i * pixels + k] / 255;
        if (tenon_run(executable, &in, 1, &out, 1, NULL) != TENON_OK) {
            result = fail("run", tenon_last_error_message());
            break;
        }
        size_t best = 0;
        for (size_t k = 1; k < classes; k++)
            if (scores[k] > scores[best])
                best = k;
        printf("%zu%s", best, (i + 1) % 40 == 0 || i + 1 == images->dims[0] ? "\n" : " ");
        right += labels->bytes != NULL && labels->bytes[i] == best;
    }
    if (result == 0 && labels->bytes != NULL)
        printf("accuracy %.4f (%u of %u)\n", (double)right / images->dims[0], right, images->dims[0]);
    free(image);
    free(scores);
    return result;
}

int main(int argc, char **argv)
{
    Idx images = {0}, labels = {0};
    tenon_module *module = NULL;
    tenon_executable *executable = NULL;
    const char *problem;
    if (argc < 3)
        return fail("usage", "classify MODEL.onnx IMAGES [LABELS]");
    if ((problem = read_idx(argv[2], 3, &images)) != NULL)
        return fail(argv[2], problem);
    if (argc > 3 && (problem = read_idx(argv[3], 1, &labels)) != NULL)
        return fail(argv[3], problem);
    if (labels.bytes != NULL && labels.dims[0] != images.dims[0])
        return fail(argv[3], "has another number of entries than there are images");

    if (tenon_module_load_onnx(argv[1], NULL, &module) != TENON_OK
        || tenon_compile(module, NULL, &executable) != TENON_OK)
        return fail(argv[1], tenon_last_error_message());
    tenon_module_release(module);
    int result = classify(executable, &images, &labels);
    tenon_executable_release(executable);
    free(images.bytes);
    free(labels.bytes);
    return result;
}
