/* Models from files and from memory. The first argument is the folder of fixtures. */
#include "support.h"

#include <dirent.h>
#include <unistd.h>

static char path[4096];
static unsigned char *bytes;
static size_t byte_count;

static void parse_from_memory(void **state)
{
    (void)state;
    tenon_module *from_file = NULL, *from_memory = NULL;
    int32_t equal = 0;
    assert_ok(tenon_module_load_onnx(path, NULL, &from_file));
    assert_ok(tenon_module_parse_onnx(bytes, byte_count, NULL, &from_memory));
    assert_ok(tenon_module_equal(from_file, from_memory, &equal));
    assert_int_equal(equal, 1);
    char *text = NULL;
    assert_ok(tenon_module_print(from_file, NULL, &text));
    assert_non_null(strstr(text, "nn.conv2d"));
    tenon_string_release(text);
    tenon_module_release(from_file);
    tenon_module_release(from_memory);
}

static void files_that_are_none(void **state)
{
    (void)state;
    tenon_module *module = (tenon_module *)1;
    assert_fails(tenon_module_load_onnx("/nowhere/at-all.onnx", NULL, &module), TENON_ERROR_IO, "/nowhere/at-all.onnx");
    assert_null(module);
    assert_fails(tenon_module_load_onnx(NULL, NULL, &module), TENON_ERROR_INVALID_ARGUMENT, "path is NULL");
    assert_fails(tenon_module_load_onnx(path, NULL, NULL), TENON_ERROR_INVALID_ARGUMENT, "module is NULL");
    assert_fails(tenon_module_parse_onnx(NULL, 0, NULL, &module), TENON_ERROR_INVALID_MODEL, "empty");
    assert_fails(tenon_module_parse_onnx(NULL, 1, NULL, &module), TENON_ERROR_INVALID_ARGUMENT, "data is NULL");
    assert_fails(tenon_module_parse_onnx(bytes, SIZE_MAX, NULL, &module), TENON_ERROR_INVALID_ARGUMENT, "out of range");
}

static void options(void **state)
{
    (void)state;
    tenon_module *module = NULL;
    tenon_onnx_options options = TENON_ONNX_OPTIONS_INIT;
    options.max_nodes = 1;
    assert_fails(tenon_module_load_onnx(path, &options, &module), TENON_ERROR_LIMIT_EXCEEDED, "limit");
    options.max_nodes = 0;
    options.input_count = 1;
    assert_fails(tenon_module_load_onnx(path, &options, &module), TENON_ERROR_INVALID_ARGUMENT, "input_names");
    const char *const names[] = {"image"};
    const int64_t shape[] = {1, 1, 8, 8}, other[] = {2, 1, 8, 8}, wrong[] = {1, -1, 8, 8};
    const int64_t *shapes[] = {shape};
    const uint32_t ranks[] = {4};
    options.input_names = names;
    options.input_shapes = shapes;
    options.input_ranks = ranks;
    assert_ok(tenon_module_load_onnx(path, &options, &module));
    char *text = NULL;
    assert_ok(tenon_module_print(module, NULL, &text));
    assert_non_null(strstr(text, "%image: f32[1,1,8,8]"));
    tenon_string_release(text);
    tenon_module_release(module);
    shapes[0] = other;
    assert_fails(tenon_module_load_onnx(path, &options, &module), TENON_ERROR_INVALID_SHAPE, "'image'");
    shapes[0] = wrong;
    assert_fails(tenon_module_load_onnx(path, &options, &module), TENON_ERROR_INVALID_SHAPE, "dimension 1 is -1");
    options.input_count = 0;
    const char *const dimensions[] = {"batch"};
    const int64_t sizes[] = {-4};
    options.dimension_names = dimensions;
    options.dimension_values = sizes;
    options.dimension_count = 1;
    assert_fails(tenon_module_load_onnx(path, &options, &module), TENON_ERROR_INVALID_ARGUMENT, "'batch' is -4");
}

/* Cut off anywhere, or with a byte changed: read or refused, and when read it can be used. */
static void damaged_models(void **state)
{
    (void)state;
    unsigned seed = 12345;
    for (size_t length = 0; length < byte_count; length += byte_count / 100 + 1) {
        tenon_module *module = NULL;
        if (tenon_module_parse_onnx(bytes, length, NULL, &module) == TENON_OK)
            tenon_module_release(module);
        else
            assert_null(module);
    }
    for (int i = 0; i < 150; i++) {
        seed = seed * 1664525u + 1013904223u;
        size_t index = (seed >> 4) % (i < 75 ? byte_count : byte_count / 50 + 1);
        unsigned char kept = bytes[index];
        bytes[index] = (unsigned char)(seed >> 20);
        tenon_module *module = NULL;
        if (tenon_module_parse_onnx(bytes, byte_count, NULL, &module) == TENON_OK) {
            if (tenon_module_optimize(module, NULL) == TENON_OK)
                assert_ok(tenon_module_verify(module));
            tenon_module_release(module);
        }
        bytes[index] = kept;
    }
}

static int entries(const char *folder)
{
    int count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2;
}

/* What is saved, in one file, in two or to memory, loads as what it was; what fails leaves nothing. */
static void saving(void **state)
{
    (void)state;
    char folder[] = "/tmp/tenon-save-XXXXXX", file[64], data[64];
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/saved.onnx", folder);
    snprintf(data, sizeof data, "%s/weights", folder);
    tenon_module *module = NULL, *again = NULL;
    int32_t equal = 0;
    assert_ok(tenon_module_load_onnx(path, NULL, &module));

    assert_ok(tenon_module_save_onnx(module, file, NULL));
    assert_int_equal(entries(folder), 1);
    tenon_onnx_save_options options = TENON_ONNX_SAVE_OPTIONS_INIT;
    options.external_data = 1;
    options.location = "weights";
    /* The module's own file is replaced as well: what is mapped stays. */
    assert_ok(tenon_module_load_onnx(file, NULL, &again));
    assert_ok(tenon_module_save_onnx(again, file, &options));
    assert_int_equal(entries(folder), 2);
    tenon_module *split = NULL;
    assert_ok(tenon_module_load_onnx(file, NULL, &split));
    assert_ok(tenon_module_equal(again, split, &equal));
    assert_int_equal(equal, 1);
    tenon_module_release(split);
    assert_int_equal(unlink(data), 0);
    assert_fails(tenon_module_load_onnx(file, NULL, &split), TENON_ERROR_IO, "weights");
    assert_int_equal(unlink(file), 0);

    void *memory = (void *)1;
    size_t size = 1;
    assert_ok(tenon_module_serialize_onnx(module, &memory, &size));
    tenon_module *parsed = NULL;
    assert_ok(tenon_module_parse_onnx(memory, size, NULL, &parsed));
    assert_ok(tenon_module_equal(again, parsed, &equal));
    assert_int_equal(equal, 1);
    tenon_bytes_release(memory);
    tenon_bytes_release(NULL);
    tenon_module_release(parsed);
    tenon_module_release(again);

    options.location = "../weights";
    assert_fails(tenon_module_save_onnx(module, file, &options), TENON_ERROR_INVALID_ARGUMENT, "'../weights'");
    options.location = "saved.onnx";
    assert_fails(tenon_module_save_onnx(module, file, &options), TENON_ERROR_INVALID_ARGUMENT, "another file");
    assert_fails(tenon_module_save_onnx(module, "/nowhere/at/all.onnx", NULL), TENON_ERROR_IO, "/nowhere/at/all.onnx");
    assert_fails(tenon_module_save_onnx(module, folder, NULL), TENON_ERROR_IO, "regular file");
    assert_fails(tenon_module_save_onnx(module, NULL, NULL), TENON_ERROR_INVALID_ARGUMENT, "path is NULL");
    assert_fails(tenon_module_serialize_onnx(module, NULL, &size), TENON_ERROR_INVALID_ARGUMENT, "data is NULL");
    tenon_module_release(module);

    module = support_parse("fn @main(%x: f32[2]) { %y: f32[2] = extern \"secret\"(%x) return %y }");
    assert_fails(tenon_module_save_onnx(module, file, NULL), TENON_ERROR_UNSUPPORTED, "'secret'");
    assert_fails(tenon_module_serialize_onnx(module, &memory, &size), TENON_ERROR_UNSUPPORTED, "'secret'");
    assert_null(memory);
    assert_int_equal(size, 0);
    tenon_module_release(module);
    assert_int_equal(entries(folder), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* What the model says about itself can be read and set, is kept by passes, and is written. */
static void model_info(void **state)
{
    (void)state;
    tenon_module *module = NULL, *copy = NULL, *again = NULL;
    assert_ok(tenon_module_load_onnx(path, NULL, &module));
    tenon_model_info info = TENON_MODEL_INFO_INIT;
    assert_ok(tenon_module_get_info(module, &info));
    assert_true(info.opset_count >= 1);
    assert_true(info.opset_versions[0] > 0);
    assert_true(info.ir_version > 0);
    assert_null(tenon_module_metadata(module, "classes"));
    assert_null(tenon_module_metadata(NULL, "classes"));

    const char *const keys[] = {"classes", ""}, *const values[] = {"0,1,2", "\xc3\xa9"};
    info.producer_name = "test";
    info.producer_version = "2";
    info.domain = "org.example";
    info.description = "digits";
    info.graph_description = "a graph";
    info.version = 7;
    info.metadata_keys = keys;
    info.metadata_values = values;
    info.metadata_count = 2;
    assert_ok(tenon_module_set_info(module, &info));
    assert_ok(tenon_module_copy(module, &copy));
    assert_ok(tenon_module_optimize(copy, NULL));
    void *data = NULL;
    size_t size = 0;
    assert_ok(tenon_module_serialize_onnx(copy, &data, &size));
    assert_ok(tenon_module_parse_onnx(data, size, NULL, &again));
    tenon_bytes_release(data);
    tenon_model_info found = TENON_MODEL_INFO_INIT;
    assert_ok(tenon_module_get_info(again, &found));
    assert_string_equal(found.producer_name, "test");
    assert_string_equal(found.producer_version, "2");
    assert_string_equal(found.domain, "org.example");
    assert_string_equal(found.description, "digits");
    assert_string_equal(found.graph_description, "a graph");
    assert_int_equal(found.version, 7);
    assert_int_equal(found.metadata_count, 2);
    assert_string_equal(found.metadata_keys[0], "classes");
    assert_string_equal(tenon_module_metadata(again, "classes"), "0,1,2");
    assert_string_equal(tenon_module_metadata(again, ""), "\xc3\xa9");

    const char *const twice[] = {"a", "a"};
    info.metadata_keys = twice;
    assert_fails(tenon_module_set_info(module, &info), TENON_ERROR_INVALID_ARGUMENT, "'a' is given twice");
    info.metadata_keys = NULL;
    assert_fails(tenon_module_set_info(module, &info), TENON_ERROR_INVALID_ARGUMENT, "metadata_keys is NULL");
    tenon_model_info empty = TENON_MODEL_INFO_INIT;
    assert_ok(tenon_module_set_info(module, &empty));
    assert_ok(tenon_module_get_info(module, &found));
    assert_string_equal(found.producer_name, "");
    assert_true(found.version == TENON_NO_MODEL_VERSION);
    assert_int_equal(found.metadata_count, 0);
    tenon_module_release(module);
    tenon_module_release(copy);
    tenon_module_release(again);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FIXTURES\n", argv[0]);
        return 2;
    }
    snprintf(path, sizeof path, "%s/digits/digits.onnx", argv[1]);
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        return 2;
    byte_count = (size_t)ftell(file);
    bytes = malloc(byte_count);
    rewind(file);
    if (bytes == NULL || fread(bytes, 1, byte_count, file) != byte_count)
        return 2;
    fclose(file);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_from_memory),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(options),
        cmocka_unit_test(damaged_models),
        cmocka_unit_test(saving),
        cmocka_unit_test(model_info),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(bytes);
    return result;
}
