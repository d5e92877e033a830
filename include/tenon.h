/* Tenon: finds operator sequences in neural networks, fuses them, and runs the fused regions on oneDNN.
 *
 * This header is the specification of the library. It compiles alone as C99, C11 and C++11.
 *
 *     tenon_module *module = NULL;
 *     if (tenon_module_load_onnx("digits.onnx", NULL, &module) != TENON_OK)
 *         return complain(tenon_last_error_message());
 *     tenon_executable *executable = NULL;
 *     if (tenon_compile(module, NULL, &executable) != TENON_OK)
 *         return complain(tenon_last_error_message());
 *     tenon_module_release(module);
 *     const int64_t in_shape[] = {1, 1, 8, 8}, out_shape[] = {1, 10};
 *     tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, pixels, sizeof pixels);
 *     tenon_tensor out = TENON_TENSOR(TENON_F32, 2, out_shape, scores, sizeof scores);
 *     if (tenon_run(executable, &in, 1, &out, 1, NULL) != TENON_OK)
 *         return complain(tenon_last_error_message());
 *     tenon_executable_release(executable);
 *
 * Words used below, always in the same sense:
 *   borrowed for the call       the library reads the memory during the call only.
 *   borrowed until release of X the pointer stays valid until X is released; the caller neither changes nor frees it.
 *   copied                      the library keeps a copy of its own.
 *   transferred                 the caller owns the result and releases it with the function named.
 *
 * Rules that hold everywhere:
 *   - A call that fails changes nothing except the thread's last error; its output parameters are NULL or zero.
 *   - NULL for a required pointer, and an option or flag that means nothing, is TENON_ERROR_INVALID_ARGUMENT; a handle of
 *     another kind, or one that has been released, is too, as far as that can be seen. TENON_ERROR_OUT_OF_MEMORY and
 *     TENON_ERROR_INTERNAL may come from every call. Comments say what else a call fails with. An array with count 0 may be
 *     NULL.
 *   - Release functions accept NULL. Handles may be released in any order; each is released once.
 *   - Text is UTF-8 and ends with a zero byte; invalid UTF-8 is read with replacement characters.
 *   - Structures begin with struct_size and are passed by pointer. Zero means the default in every field, NULL all
 *     defaults. Fields are added at the end only.
 *   - Threads: an executable and a cancel token may be used by any number of threads at once; any other handle by one
 *     thread at a time. Functions without a handle may be called from any thread.
 *   - The library never prints (see tenon_set_log), and does not end the process: where memory that a model or a host asks for is
 *     not to be had the call fails with TENON_ERROR_OUT_OF_MEMORY. Small objects then come from a reserve of 4 MiB, and the
 *     call ends with that status at its next check; only when the reserve is spent, or inside oneDNN, is the process ended.
 *   - Every call computes under round to nearest with exceptions masked, and leaves the floating-point environment as it was.
 *   - Stack: tenon_run needs at most 64 KiB, other calls at most 1 MiB, callbacks not counted.
 *   - Files: a model and its external data are read, /proc/cpuinfo and the cgroup's CPU quota, and with tuning a cache in
 *     $XDG_CACHE_HOME/tenon or ~/.cache/tenon, the only file that is written besides what tenon_module_save_onnx is given.
 *     Environment: TENON_MAX_CPU_ISA ("base", "avx2", "avx512") lowers the instructions that are used; XDG_CACHE_HOME and
 *     HOME; whether GOMP_SPINCOUNT or OMP_WAIT_POLICY is set; those of oneDNN and OpenMP. Nothing there is changed. Network: never.
 *   - Fork: a child may use every handle that it inherited, also while other threads of the parent are inside calls; runs that
 *     were under way exist in the parent alone. The child's executables start threads of their own.
 *
 * docs/c-api.md numbers what is promised, with the test that holds it.
 *
 * Versions: until 1.0 the soname number (libtenon.so.0) and TENON_ABI_VERSION change with any break; from 1.0 on one
 * major version is one ABI. Everything here is there since 0.1.
 */
#ifndef TENON_H
#define TENON_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define TENON_CHECKED __attribute__((warn_unused_result))
#else
#define TENON_CHECKED
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------------- version -- */

#define TENON_VERSION_MAJOR 0
#define TENON_VERSION_MINOR 1
#define TENON_VERSION_PATCH 0
#define TENON_VERSION_STRING "0.1.0"
#define TENON_ABI_VERSION 0

/* The version of the library that runs, as "0.1.0". Static text. */
const char *tenon_version(void);

/* TENON_ABI_VERSION of the library that runs; a binding compares it with the one it was written for. */
uint32_t tenon_abi_version(void);

/* ----------------------------------------------------------------------------------------------------- status -- */

/* Outcome of a call. Numbers never change and are never reused; callers must expect numbers that they do not know. */
typedef enum tenon_status {
    TENON_OK = 0,
    /* An argument is NULL, out of range, or contradicts another one. */
    TENON_ERROR_INVALID_ARGUMENT = 10,
    /* A function, operator, pass, attribute or file of that name is not known. */
    TENON_ERROR_NOT_FOUND = 11,
    /* The handle is in a state that does not allow the call. */
    TENON_ERROR_INVALID_STATE = 12,
    /* A graph or module is not well formed. */
    TENON_ERROR_INVALID_GRAPH = 20,
    /* A text does not follow its grammar. */
    TENON_ERROR_PARSE = 21,
    /* A model file does not follow its format. */
    TENON_ERROR_INVALID_MODEL = 22,
    /* A shape does not satisfy an operator or a signature. */
    TENON_ERROR_INVALID_SHAPE = 30,
    /* An element type does not satisfy an operator or a signature. */
    TENON_ERROR_INVALID_TYPE = 31,
    /* Valid, but not supported. */
    TENON_ERROR_UNSUPPORTED = 40,
    TENON_ERROR_OUT_OF_MEMORY = 50,
    /* A limit set by the caller, or one of the nesting limits, was reached. */
    TENON_ERROR_LIMIT_EXCEEDED = 51,
    /* A file could not be read or written. */
    TENON_ERROR_IO = 52,
    TENON_ERROR_CANCELLED = 53,
    TENON_ERROR_DEADLINE_EXCEEDED = 54,
    /* A backend refused or failed. */
    TENON_ERROR_BACKEND = 60,
    /* A callback of the host failed. */
    TENON_ERROR_CALLBACK = 61,
    /* A defect of this library. */
    TENON_ERROR_INTERNAL = 90
} tenon_status;

/* The name of a status, as "TENON_ERROR_INVALID_SHAPE"; "TENON_ERROR_UNKNOWN" for other numbers. Static text. */
const char *tenon_status_name(tenon_status status);

/* One line about the last call that failed on this thread: operator, argument, expectation, what was found. "" when none
 * has. Borrowed until the next failing call on this thread. Hosts that move work between threads use tenon_last_error_copy
 * right after the call. */
const char *tenon_last_error_message(void);

/* Copies that message, cut to fit and always ended with a zero byte, to `buffer`, which may be NULL when `capacity` is 0.
 * Returns the length of the whole message without its zero byte. */
size_t tenon_last_error_copy(char *buffer, size_t capacity);

/* The operator that the last failing call on this thread named ("nn.conv2d"), or "". Borrowed like the message. */
const char *tenon_last_error_operator(void);

/* The node, binding or function that the last failing call on this thread named, or "". Borrowed like the message. */
const char *tenon_last_error_node(void);

/* What the last failing call on this thread expected and what it found instead ("f32[2]", "f32[3]"), as parts of its message, or
 * "". Borrowed like the message. */
const char *tenon_last_error_expectation(void);
const char *tenon_last_error_found(void);

/* ---------------------------------------------------------------------------------------------------- machine -- */

/* What this machine offers and what of it is used. Static text. */
typedef struct tenon_machine {
    uint32_t struct_size;
    /* CPUs that this process may use now: affinity mask and cgroup quota. */
    uint32_t usable_cpus;
    /* Instruction sets that matter here and that the processor has: "sse4.1 avx f16c fma avx2 avx512f". */
    const char *instruction_sets;
    /* Which of its kernels the library uses: "avx512", "avx2", or "portable" where the processor lacks what these need or
     * TENON_MAX_CPU_ISA forbids it. */
    const char *kernels;
    /* oneDNN's version ("2.6.3") and the highest instruction set that it uses ("avx512_core_vnni"). */
    const char *onednn_version;
    const char *onednn_instruction_set;
} tenon_machine;

#define TENON_MACHINE_INIT {sizeof(tenon_machine), 0, NULL, NULL, NULL, NULL}
void tenon_machine_init(tenon_machine *machine, uint32_t struct_size);

/* Fills in `machine`, whose struct_size the caller has set. Fails with TENON_ERROR_INVALID_ARGUMENT. */
tenon_status tenon_get_machine(tenon_machine *machine) TENON_CHECKED;

/* ------------------------------------------------------------------------------------------------------ types -- */

/* Element types; the numbers are those of ONNX. Inside structures they are stored as uint32_t. */
typedef enum tenon_dtype {
    /* Not known. */
    TENON_DTYPE_NONE = 0,
    TENON_F32 = 1,
    TENON_U8 = 2,
    TENON_I8 = 3,
    TENON_U16 = 4,
    TENON_I16 = 5,
    TENON_I32 = 6,
    TENON_I64 = 7,
    TENON_STRING = 8,
    /* One byte per element, 0 or 1. */
    TENON_BOOL = 9,
    TENON_F16 = 10,
    TENON_F64 = 11,
    TENON_U32 = 12,
    TENON_U64 = 13,
    TENON_BF16 = 16,
    /* Stored and converted, but not computed in. One byte per element, also of those with 2 and 4 bits: the bits lie in the lowest
     * places, those above are zero. */
    TENON_F8E4M3FN = 17,
    TENON_F8E4M3FNUZ = 18,
    TENON_F8E5M2 = 19,
    TENON_F8E5M2FNUZ = 20,
    TENON_U4 = 21,
    TENON_I4 = 22,
    TENON_F4E2M1 = 23,
    TENON_F8E8M0 = 24,
    TENON_U2 = 25,
    TENON_I2 = 26
} tenon_dtype;

/* The short name of the text form, as "f32"; "" for numbers that are no element type. Static text. */
const char *tenon_dtype_name(tenon_dtype dtype);

/* Bytes of one element; 0 for strings and for numbers that are no element type. */
size_t tenon_dtype_size(tenon_dtype dtype);

/* Tensors and shapes given through this API have at most so many dimensions. */
#define TENON_MAX_RANK 32

/* A size that is symbolic or not known. */
#define TENON_DIM_UNKNOWN (-1)

/* Where a tensor lies. The library borrows what it points to for the call, unless said otherwise. */
typedef struct tenon_tensor {
    uint32_t struct_size;
    /* A tenon_dtype, not TENON_STRING. */
    uint32_t dtype;
    uint32_t rank;
    /* Must be zero. */
    uint32_t flags;
    /* `rank` sizes from 0. */
    const int64_t *shape;
    /* `rank` steps in elements between neighbours, which may be 0 or negative; NULL for dense row-major. */
    const int64_t *strides;
    /* The first element, aligned to the size of an element. Inputs are not written to. */
    void *data;
    /* Bytes from `data` that belong to the tensor, checked against what shape and strides need; 0 when not stated, as it
     * must be with negative strides. */
    size_t byte_count;
} tenon_tensor;

#define TENON_TENSOR_INIT {sizeof(tenon_tensor), 0, 0, 0, NULL, NULL, NULL, 0}

/* A dense tensor: tenon_tensor t = TENON_TENSOR(TENON_F32, 2, shape, data, sizeof data); */
#define TENON_TENSOR(dtype, rank, shape, data, byte_count) \
    {sizeof(tenon_tensor), (uint32_t)(dtype), (rank), 0, (shape), NULL, (data), (byte_count)}

/* Sets all fields to their defaults, as TENON_TENSOR_INIT does. `struct_size` is sizeof(tenon_tensor). */
void tenon_tensor_init(tenon_tensor *tensor, uint32_t struct_size);

/* Gives back text that a function of this library transferred. */
void tenon_string_release(char *text);

/* ------------------------------------------------------------------------------------------------------------ log -- */

typedef enum tenon_log_level {
    TENON_LOG_DEBUG = 1,
    TENON_LOG_INFORMATION = 2,
    TENON_LOG_WARNING = 3,
    TENON_LOG_ERROR = 4
} tenon_log_level;

/* Told of what no status says: fewer threads than asked for, a region that its backend refused. `message` is one line, valid
 * during the call. Any thread, several at once; must not call the library. */
typedef void (*tenon_log_function)(uint32_t level, const char *message, void *user_data);

/* From now on messages of `level` (of tenon_log_level) and above go to `function`; NULL, as at first, for nobody. The library
 * prints nothing in any case. A message under way may still reach the function that was there before. Fails with
 * TENON_ERROR_INVALID_ARGUMENT for a level that is none. */
tenon_status tenon_set_log(tenon_log_function function, void *user_data, uint32_t level) TENON_CHECKED;

/* -------------------------------------------------------------------------------------------------- cancel tokens -- */

/* Ends work early, as the timeouts of the options do: within some tens of milliseconds. */
typedef struct tenon_cancel_token tenon_cancel_token;

/* Transferred; tenon_cancel_token_release. Fails only for a NULL pointer or without memory. */
tenon_status tenon_cancel_token_create(tenon_cancel_token **token) TENON_CHECKED;

/* Calls that use the token end with TENON_ERROR_CANCELLED, until it is reset. Any thread. */
void tenon_cancel_token_cancel(tenon_cancel_token *token);
void tenon_cancel_token_reset(tenon_cancel_token *token);
void tenon_cancel_token_release(tenon_cancel_token *token);

/* ------------------------------------------------------------------------------------------------- attributes -- */

/* Named values that configure an operator, or say something about a function. */
typedef struct tenon_attributes tenon_attributes;

typedef enum tenon_attribute_kind {
    TENON_ATTRIBUTE_NONE = 0,
    TENON_ATTRIBUTE_INT = 1,
    TENON_ATTRIBUTE_FLOAT = 2,
    TENON_ATTRIBUTE_BOOL = 3,
    TENON_ATTRIBUTE_STRING = 4,
    TENON_ATTRIBUTE_DTYPE = 5,
    TENON_ATTRIBUTE_INTS = 6,
    TENON_ATTRIBUTE_FLOATS = 7,
    TENON_ATTRIBUTE_STRINGS = 8
} tenon_attribute_kind;

/* An empty set. Transferred; tenon_attributes_release. Fails only for a NULL pointer or without memory. */
tenon_status tenon_attributes_create(tenon_attributes **attributes) TENON_CHECKED;

/* Reads the text form: "strides=[2, 2], padding=[1, 1, 1, 1]", with or without braces. Transferred;
 * tenon_attributes_release. Fails with TENON_ERROR_PARSE. */
tenon_status tenon_attributes_parse(const char *text, tenon_attributes **attributes) TENON_CHECKED;

void tenon_attributes_release(tenon_attributes *attributes);

/* Setters add an attribute or replace it. Names and values are copied. Each fails only for a NULL pointer or without memory. */
tenon_status tenon_attributes_set_int(tenon_attributes *attributes, const char *name, int64_t value) TENON_CHECKED;
tenon_status tenon_attributes_set_float(tenon_attributes *attributes, const char *name, double value) TENON_CHECKED;
/* Zero is false, anything else true. Fails only for a NULL pointer or without memory, as the setters below. */
tenon_status tenon_attributes_set_bool(tenon_attributes *attributes, const char *name, int32_t value) TENON_CHECKED;
tenon_status tenon_attributes_set_string(
    tenon_attributes *attributes, const char *name, const char *value) TENON_CHECKED;
tenon_status tenon_attributes_set_dtype(
    tenon_attributes *attributes, const char *name, tenon_dtype value) TENON_CHECKED;
tenon_status tenon_attributes_set_ints(
    tenon_attributes *attributes, const char *name, const int64_t *values, size_t count) TENON_CHECKED;
tenon_status tenon_attributes_set_floats(
    tenon_attributes *attributes, const char *name, const double *values, size_t count) TENON_CHECKED;
tenon_status tenon_attributes_set_strings(
    tenon_attributes *attributes, const char *name, const char *const *values, size_t count) TENON_CHECKED;

/* How many there are; 0 for NULL. */
size_t tenon_attributes_count(const tenon_attributes *attributes);

/* Name of attribute `index`, in the order of names; NULL outside of the count. Borrowed until release of `attributes`. */
const char *tenon_attributes_name(const tenon_attributes *attributes, size_t index);

/* Kind of an attribute; TENON_ATTRIBUTE_NONE when there is none of that name. */
tenon_attribute_kind tenon_attributes_kind(const tenon_attributes *attributes, const char *name);

/* Getters: each fails with TENON_ERROR_NOT_FOUND when there is no attribute of that name and with TENON_ERROR_INVALID_TYPE when
 * it is of another kind. Pointers are borrowed until release of `attributes`. */
tenon_status tenon_attributes_get_int(
    const tenon_attributes *attributes, const char *name, int64_t *value) TENON_CHECKED;
tenon_status tenon_attributes_get_float(
    const tenon_attributes *attributes, const char *name, double *value) TENON_CHECKED;
tenon_status tenon_attributes_get_bool(
    const tenon_attributes *attributes, const char *name, int32_t *value) TENON_CHECKED;
tenon_status tenon_attributes_get_string(
    const tenon_attributes *attributes, const char *name, const char **value) TENON_CHECKED;
tenon_status tenon_attributes_get_dtype(
    const tenon_attributes *attributes, const char *name, tenon_dtype *value) TENON_CHECKED;
tenon_status tenon_attributes_get_ints(
    const tenon_attributes *attributes, const char *name, const int64_t **values, size_t *count) TENON_CHECKED;
tenon_status tenon_attributes_get_floats(
    const tenon_attributes *attributes, const char *name, const double **values, size_t *count) TENON_CHECKED;
tenon_status tenon_attributes_get_strings(
    const tenon_attributes *attributes, const char *name, const char *const **values, size_t *count) TENON_CHECKED;

/* -------------------------------------------------------------------------------------------------- operators -- */

/* How many operators the library knows. */
size_t tenon_operator_count(void);

/* Name of operator `index`, as "nn.conv2d"; NULL outside of the count. Static text. */
const char *tenon_operator_name(size_t index);

/* Inputs, attributes with kinds, defaults and allowed values, the formula and the traits, as text of several lines. Transferred;
 * tenon_string_release. Fails with TENON_ERROR_NOT_FOUND. */
tenon_status tenon_operator_describe(const char *name, char **text) TENON_CHECKED;

/* --------------------------------------------------------------------------------------------- modules, texts -- */

/* Functions by name, together with their attributes. The one that runs is "main". Always well formed: what would make it
 * otherwise is refused. */
typedef struct tenon_module tenon_module;

/* A module without functions. Transferred; tenon_module_release. Fails only for a NULL pointer or without memory. */
tenon_status tenon_module_create(tenon_module **module) TENON_CHECKED;

/* An independent copy; big constants are shared. Transferred; tenon_module_release. Fails only for a NULL pointer or without
 * memory. */
tenon_status tenon_module_copy(const tenon_module *module, tenon_module **copy) TENON_CHECKED;

void tenon_module_release(tenon_module *module);

/* Reads the text form, or Relax's TVMScript, from `size` bytes, borrowed for the call. Transferred; tenon_module_release. Of
 * TVMScript, functions of Relax are read; calls of functions of TIR and of packed functions are calls of what the library knows
 * nothing of, and metadata is not read.
 * Fails with TENON_ERROR_PARSE (line, column, what was expected, what was found) or, when the text is no well-formed
 * module, with what tenon_module_verify would say. */
tenon_status tenon_module_parse(const char *text, size_t size, tenon_module **module) TENON_CHECKED;

typedef struct tenon_print_options {
    uint32_t struct_size;
    /* Constants with at most so many elements are printed in place; 0 means 16. */
    uint32_t inline_elements;
    /* Not 0: a section at the end holds the data of big constants, so that the text parses back. Otherwise they are
     * references. */
    uint32_t with_data;
    /* The call ends with TENON_ERROR_DEADLINE_EXCEEDED when it takes longer; 0 means no limit. */
    uint64_t timeout_nanoseconds;
    /* Borrowed for the call; NULL for none. */
    tenon_cancel_token *cancel;
} tenon_print_options;

#define TENON_PRINT_OPTIONS_INIT {sizeof(tenon_print_options), 0, 0, 0, NULL}
void tenon_print_options_init(tenon_print_options *options, uint32_t struct_size);

/* The text form. Transferred; tenon_string_release. Fails only for a NULL pointer or without memory. */
tenon_status tenon_module_print(
    const tenon_module *module, const tenon_print_options *options, char **text) TENON_CHECKED;

/* The text form of one function. Transferred; tenon_string_release. Fails with TENON_ERROR_NOT_FOUND. */
tenon_status tenon_module_print_function(
    const tenon_module *module, const char *function, const tenon_print_options *options, char **text) TENON_CHECKED;

/* The module as TVMScript, which Apache TVM reads where it has the operators. Constants of more than `inline_elements` elements
 * stay out unless `with_data` is not 0. Transferred; tenon_string_release. Fails only for a NULL pointer or without memory. */
tenon_status tenon_module_print_tvmscript(
    const tenon_module *module, const tenon_print_options *options, char **text) TENON_CHECKED;

/* Checks scopes, types, signatures, attributes and recursion again. Fails with the status of what is wrong first:
 * TENON_ERROR_INVALID_GRAPH, _INVALID_TYPE, _INVALID_SHAPE, _INVALID_ARGUMENT or _NOT_FOUND. */
tenon_status tenon_module_verify(const tenon_module *module) TENON_CHECKED;

/* 1 when a function of the module carries Composite or Codegen, so that tenon_compile takes the module as it stands; else 0. */
int32_t tenon_module_is_fused(const tenon_module *module);

/* Sets `*equal` to 1 when both modules have functions of the same names that are alike but for names of values and of symbolic
 * dimensions; else to 0. Fails only for a NULL pointer or without memory. */
tenon_status tenon_module_equal(const tenon_module *a, const tenon_module *b, int32_t *equal) TENON_CHECKED;

/* How many functions there are; 0 for NULL. */
size_t tenon_module_function_count(const tenon_module *module);

/* Name of function `index`, in order of insertion; NULL outside of the count. Borrowed until release of `module`. */
const char *tenon_module_function_name(const tenon_module *module, size_t index);

/* Attributes of a function, or with `function` NULL of the module itself, as a copy. Transferred;
 * tenon_attributes_release. Fails with TENON_ERROR_NOT_FOUND. */
tenon_status tenon_module_get_attributes(
    const tenon_module *module, const char *function, tenon_attributes **attributes) TENON_CHECKED;

/* Replaces them; copied. Fails with TENON_ERROR_NOT_FOUND, or TENON_ERROR_INVALID_GRAPH when they contradict each other. */
tenon_status tenon_module_set_attributes(
    tenon_module *module, const char *function, const tenon_attributes *attributes) TENON_CHECKED;

/* Takes a function away. Fails with TENON_ERROR_NOT_FOUND when there is none, or when another function calls it. */
tenon_status tenon_module_remove_function(tenon_module *module, const char *function) TENON_CHECKED;

/* ----------------------------------------------------------------------------------------------- ONNX models -- */

/* Told how far long work has come: `done` of `total` parts of the stage "import", "compile", "tune", "calibrate" or "compare", which
 * is static text.
 * Anything but 0 ends the work with TENON_ERROR_CANCELLED. Called on one thread at a time, which need not be the caller's, and
 * only while the call that it is given to lasts; must not call the library. */
typedef int32_t (*tenon_progress_function)(const char *stage, uint64_t done, uint64_t total, void *user_data);

/* Limits protect a host that reads files of strangers; 0 means a default that every published model keeps. */
typedef struct tenon_onnx_options {
    uint32_t struct_size;
    uint32_t max_rank;
    uint32_t max_nesting;
    uint32_t max_nodes;
    uint64_t max_file_bytes;
    /* Everything in the file but tensor data. */
    uint64_t max_structure_bytes;
    uint64_t max_tensor_bytes;
    /* The folder that external data may lie in, for a model in memory; NULL refuses external data. A model in a file
     * finds it in the file's folder. */
    const char *directory;
    /* Sizes for named dimensions ("batch"), so that a dynamic model gets fixed shapes: `dimension_count` each. */
    const char *const *dimension_names;
    const int64_t *dimension_values;
    size_t dimension_count;
    /* Shapes of inputs whose declared sizes are symbolic or unknown; fixed ones must agree: for input `input_names[i]`
     * the `input_ranks[i]` sizes `input_shapes[i]`. */
    const char *const *input_names;
    const int64_t *const *input_shapes;
    const uint32_t *input_ranks;
    size_t input_count;
    /* May be NULL. */
    tenon_progress_function progress;
    void *progress_data;
    /* The call ends with TENON_ERROR_DEADLINE_EXCEEDED when it takes longer; 0 means no limit. */
    uint64_t timeout_nanoseconds;
    /* Borrowed for the call; NULL for none. */
    tenon_cancel_token *cancel;
} tenon_onnx_options;

#define TENON_ONNX_OPTIONS_INIT \
    {sizeof(tenon_onnx_options), 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, 0, NULL, NULL, NULL, 0, NULL, NULL, 0, NULL}
void tenon_onnx_options_init(tenon_onnx_options *options, uint32_t struct_size);

/* Imports the ONNX file at `path`. Big weights stay in the mapped file: it must not be changed until the module, its
 * copies and executables are released. Transferred; tenon_module_release. Fails with TENON_ERROR_IO,
 * TENON_ERROR_INVALID_MODEL, TENON_ERROR_LIMIT_EXCEEDED, or TENON_ERROR_UNSUPPORTED with every unsupported operator. */
tenon_status tenon_module_load_onnx(
    const char *path, const tenon_onnx_options *options, tenon_module **module) TENON_CHECKED;

/* As above, from `size` bytes, borrowed for the call. Fails as tenon_module_load_onnx does, but not with TENON_ERROR_IO unless
 * external data is read. */
tenon_status tenon_module_parse_onnx(
    const void *data, size_t size, const tenon_onnx_options *options, tenon_module **module) TENON_CHECKED;

typedef struct tenon_onnx_save_options {
    uint32_t struct_size;
    /* Not 0: constants go to a file beside the model. Otherwise that happens only to a model over 2 GiB, which no single file
     * can hold. */
    uint32_t external_data;
    /* Smaller constants stay in the model; 0 means 1024 bytes. */
    uint64_t size_threshold;
    /* The name of the file beside the model; NULL: the model's with ".data" added. */
    const char *location;
    /* The call ends with TENON_ERROR_DEADLINE_EXCEEDED when it takes longer; 0 means no limit. */
    uint64_t timeout_nanoseconds;
    /* Borrowed for the call; NULL for none. */
    tenon_cancel_token *cancel;
} tenon_onnx_save_options;

#define TENON_ONNX_SAVE_OPTIONS_INIT {sizeof(tenon_onnx_save_options), 0, 0, NULL, 0, NULL}
void tenon_onnx_save_options_init(tenon_onnx_save_options *options, uint32_t struct_size);

/* Writes `main` as an ONNX model of operator set 20 to `path`; functions that it calls, composites and regions too, are written
 * out in place. Files there are replaced when all is written: a call that fails leaves nothing behind. `options` may be NULL.
 * Fails with TENON_ERROR_UNSUPPORTED, naming the operator, for what has no form in ONNX; with TENON_ERROR_NOT_FOUND without
 * `main`; with TENON_ERROR_IO. */
tenon_status tenon_module_save_onnx(
    const tenon_module *module, const char *path, const tenon_onnx_save_options *options) TENON_CHECKED;

/* As above into memory: `size` bytes. Transferred; tenon_bytes_release. Fails with TENON_ERROR_LIMIT_EXCEEDED for a model over
 * 2 GiB. */
tenon_status tenon_module_serialize_onnx(const tenon_module *module, void **data, size_t *size) TENON_CHECKED;

/* Gives back bytes that a function of this library transferred. */
void tenon_bytes_release(void *data);

/* The version of a model that states none. */
#define TENON_NO_MODEL_VERSION INT64_MAX

/* What a model says about itself besides its graph. Passes and copies keep it, and saving writes it; it is no part of the text
 * form, and modules that differ in nothing else are equal. Texts are "" where there are none. */
typedef struct tenon_model_info {
    uint32_t struct_size;
    /* Zero. */
    uint32_t reserved;
    const char *producer_name;
    const char *producer_version;
    const char *domain;
    const char *description;
    const char *graph_name;
    const char *graph_description;
    /* The model's own, or TENON_NO_MODEL_VERSION. */
    int64_t version;
    /* Of the file that was read; 0 when there was none. Saving writes its own. */
    int64_t ir_version;
    /* Operator sets of the file that was read, "" for ONNX's own. Saving writes its own. */
    const char *const *opset_domains;
    const int64_t *opset_versions;
    size_t opset_count;
    /* metadata_props: labels, tokens, sampling rates and whatever else its maker added, in order. */
    const char *const *metadata_keys;
    const char *const *metadata_values;
    size_t metadata_count;
} tenon_model_info;

#define TENON_MODEL_INFO_INIT \
    {sizeof(tenon_model_info), 0, NULL, NULL, NULL, NULL, NULL, NULL, TENON_NO_MODEL_VERSION, 0, NULL, NULL, 0, NULL, NULL, 0}
/* All fields zero but `version`, which is TENON_NO_MODEL_VERSION. */
void tenon_model_info_init(tenon_model_info *info, uint32_t struct_size);

/* Fills in `info`, whose struct_size the caller has set. Pointers are borrowed until release of `module`. Fails with
 * TENON_ERROR_INVALID_ARGUMENT. */
tenon_status tenon_module_get_info(const tenon_module *module, tenon_model_info *info) TENON_CHECKED;

/* Replaces everything; copied, NULL is "". Fails with TENON_ERROR_INVALID_ARGUMENT when a key comes twice, and with
 * TENON_ERROR_INVALID_STATE inside a callback of a pass that changes the module. */
tenon_status tenon_module_set_info(tenon_module *module, const tenon_model_info *info) TENON_CHECKED;

/* The value of one key of the metadata; NULL when there is none, or for no module handle. Borrowed until release of `module`. */
const char *tenon_module_metadata(const tenon_module *module, const char *key);

/* -------------------------------------------------------------------------------------------- building graphs -- */

/* Builds one function, call by call; each call is checked and typed when it is added. */
typedef struct tenon_builder tenon_builder;

/* A parameter, a literal or the result of a call; valid in the builder that gave it. */
typedef uint32_t tenon_value;
#define TENON_NO_VALUE UINT32_MAX

/* A builder without parameters. Transferred; tenon_builder_release. Fails only for a NULL pointer or without memory. */
tenon_status tenon_builder_create(tenon_builder **builder) TENON_CHECKED;

void tenon_builder_release(tenon_builder *builder);

/* Adds a tensor parameter. A size TENON_DIM_UNKNOWN makes a symbolic dimension of its own; for symbols that occur twice use
 * tenon_builder_add_typed_parameter. `name` is copied; NULL or "" leaves it unnamed. Fails with TENON_ERROR_INVALID_ARGUMENT
 * for a rank or size out of range and TENON_ERROR_INVALID_TYPE for an unknown element type. */
tenon_status tenon_builder_add_parameter(
    tenon_builder *builder, const char *name, tenon_dtype dtype, uint32_t rank, const int64_t *shape,
    tenon_value *value) TENON_CHECKED;

/* Adds a parameter whose type is given in the text form: "f32[n,3,224,224]", "(f32[2], i64[])". Fails with TENON_ERROR_PARSE. */
tenon_status tenon_builder_add_typed_parameter(
    tenon_builder *builder, const char *name, const char *type, tenon_value *value) TENON_CHECKED;

/* Adds a tensor of known contents. The elements are copied. Fails with TENON_ERROR_INVALID_ARGUMENT, _INVALID_SHAPE or
 * _INVALID_TYPE for a tensor that is none. */
tenon_status tenon_builder_add_constant(
    tenon_builder *builder, const tenon_tensor *tensor, tenon_value *value) TENON_CHECKED;

/* Called when nothing uses borrowed memory any more, on any thread; must not call the library. */
typedef void (*tenon_release_function)(void *user_data);

/* As above without a copy: the dense elements at `tensor->data` stay valid and unchanged until `release` is called with
 * `user_data`, which happens when the builder and every module and executable made from it are gone. `release` may be NULL.
 * When this call fails, `release` is not called. Fails as tenon_builder_add_constant does, and for elements that are not dense. */
tenon_status tenon_builder_add_borrowed_constant(
    tenon_builder *builder, const tenon_tensor *tensor, tenon_release_function release, void *user_data,
    tenon_value *value) TENON_CHECKED;

/* Adds a shape literal, as operators like "reshape" take; entries may be -1 where the operator says so. Fails with
 * TENON_ERROR_INVALID_SHAPE for sizes below -1. */
tenon_status tenon_builder_add_shape(
    tenon_builder *builder, uint32_t rank, const int64_t *shape, tenon_value *value) TENON_CHECKED;

/* Adds a literal in the text form: "shape[n,64]", "4", "0.5", "f16", "const f32[2](1, 2)". Fails with TENON_ERROR_PARSE. */
tenon_status tenon_builder_add_literal(tenon_builder *builder, const char *text, tenon_value *value) TENON_CHECKED;

/* Adds the call of an operator by name ("nn.conv2d"). `attributes` may be NULL; what it leaves out takes its default.
 * Everything is copied. Fails with TENON_ERROR_NOT_FOUND for an unknown operator; with TENON_ERROR_INVALID_ARGUMENT,
 * _INVALID_SHAPE or _INVALID_TYPE when inputs or attributes do not fit it. */
tenon_status tenon_builder_add_call(
    tenon_builder *builder, const char *op, const tenon_value *inputs, size_t input_count,
    const tenon_attributes *attributes, const char *name, tenon_value *value) TENON_CHECKED;

/* Adds the call of a function of `module`, into which the built function must go later. Fails with TENON_ERROR_NOT_FOUND for an
 * unknown function, and with TENON_ERROR_INVALID_ARGUMENT, _INVALID_SHAPE or _INVALID_TYPE when the inputs do not fit it. A
 * tuple fails with TENON_ERROR_INVALID_ARGUMENT for values of another builder. */
tenon_status tenon_builder_add_function_call(
    tenon_builder *builder, const tenon_module *module, const char *function, const tenon_value *inputs,
    size_t input_count, const char *name, tenon_value *value) TENON_CHECKED;

tenon_status tenon_builder_add_tuple(
    tenon_builder *builder, const tenon_value *fields, size_t field_count, const char *name,
    tenon_value *value) TENON_CHECKED;

/* Adds item `index` of a tuple. Fails with TENON_ERROR_INVALID_TYPE when it is no tuple, and TENON_ERROR_INVALID_ARGUMENT for
 * an index out of range. */
tenon_status tenon_builder_add_tuple_get_item(
    tenon_builder *builder, tenon_value tuple, size_t index, const char *name, tenon_value *value) TENON_CHECKED;

/* The type of a value in the text form. Transferred; tenon_string_release. Fails with TENON_ERROR_INVALID_ARGUMENT for a value
 * of another builder. */
tenon_status tenon_builder_get_type(const tenon_builder *builder, tenon_value value, char **type) TENON_CHECKED;

/* Puts the function built so far into `module` under `name`, in place of one of the same name. One output is returned as
 * it is, several as a tuple. `attributes` may be NULL. The builder stays usable. Fails with what tenon_module_verify says
 * about the module with the new function. */
tenon_status tenon_module_add_function(
    tenon_module *module, const char *name, const tenon_builder *builder, const tenon_value *outputs,
    size_t output_count, const tenon_attributes *attributes) TENON_CHECKED;

/* ------------------------------------------------------------------------------------------- reading functions -- */

/* One function to read: of a module, of a match, or the region that a backend is to compile. It does not change. */
typedef struct tenon_function tenon_function;

typedef enum tenon_value_kind {
    TENON_VALUE_PARAMETER = 1,
    /* A tensor of known contents. */
    TENON_VALUE_CONSTANT = 2,
    /* A shape, a number, a text, an element type or the name of a function. */
    TENON_VALUE_LITERAL = 3,
    /* The call of an operator. */
    TENON_VALUE_CALL = 4,
    /* The call of a function of the module, of a function bound before in the same function, of something outside. */
    TENON_VALUE_FUNCTION_CALL = 5,
    TENON_VALUE_LOCAL_CALL = 6,
    TENON_VALUE_EXTERNAL_CALL = 7,
    TENON_VALUE_TUPLE = 8,
    TENON_VALUE_TUPLE_GET_ITEM = 9,
    /* Another name of its input. */
    TENON_VALUE_ALIAS = 10,
    TENON_VALUE_MATCH_CAST = 11,
    /* A function bound inside the function. */
    TENON_VALUE_FUNCTION = 12,
    TENON_VALUE_CONDITIONAL = 13,
    /* A variable whose binding this handle does not show: while a block is rewritten, those of other blocks. */
    TENON_VALUE_VARIABLE = 14
} tenon_value_kind;

/* The value can be used outside the dataflow block that binds it, or is bound in none. */
#define TENON_VALUE_LEAVES_BLOCK UINT32_C(1)

/* What is known of a value. Pointers are borrowed until release of the function. */
typedef struct tenon_value_info {
    uint32_t struct_size;
    /* A tenon_value_kind. */
    uint32_t kind;
    /* A tenon_dtype; TENON_DTYPE_NONE when not known, or when it is no tensor. */
    uint32_t dtype;
    /* Number of dimensions; -1 when not known, or when it is no tensor. */
    int32_t rank;
    /* `rank` sizes, TENON_DIM_UNKNOWN where symbolic; NULL when the rank is not known. */
    const int64_t *shape;
    /* The type in the text form. */
    const char *type;
    /* As the text form suggests it, not always unique; "" when there is none. */
    const char *name;
    /* The operator, or the function, that is called; "" otherwise. */
    const char *callee;
    /* What is called with, the fields of a tuple, the one that an item is of, an alias names or a condition is. */
    const tenon_value *inputs;
    size_t input_count;
    /* Attributes of a call, defaults filled in, or of a function inside; NULL for others. */
    const tenon_attributes *attributes;
    /* The elements of a constant, dense and row-major; NULL for others. */
    const void *data;
    size_t byte_count;
    /* Which item of a tuple. */
    size_t index;
    /* A literal in the text form; "" for others. */
    const char *text;
    /* TENON_VALUE_… of what is bound; 0 for others. */
    uint32_t flags;
    /* Zero. */
    uint32_t reserved;
} tenon_value_info;

#define TENON_VALUE_INFO_INIT {sizeof(tenon_value_info), 0, 0, 0, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, 0, NULL, 0, 0}
void tenon_value_info_init(tenon_value_info *info, uint32_t struct_size);

/* The function as it is now; later changes of the module do not show. Transferred; tenon_function_release. Fails with
 * TENON_ERROR_NOT_FOUND. */
tenon_status tenon_module_get_function(
    const tenon_module *module, const char *name, tenon_function **function) TENON_CHECKED;

void tenon_function_release(tenon_function *function);

/* Puts a copy of the function into `module` under `name`, in place of one of the same name. Fails with what
 * tenon_module_verify says about the module with it. A copy beside the function whose global_symbol it has gets its own. */
tenon_status tenon_module_set_function(
    tenon_module *module, const char *name, const tenon_function *function) TENON_CHECKED;

/* Its name in the module; "" for one inside another function and for what is no function handle. Borrowed until release. */
const char *tenon_function_name(const tenon_function *function);

/* Attributes of the function. Borrowed until release of `function`. Fails only for a NULL pointer or without memory. */
tenon_status tenon_function_get_attributes(
    const tenon_function *function, const tenon_attributes **attributes) TENON_CHECKED;

/* Lists of values are borrowed until release of `function`. Fails with TENON_ERROR_INVALID_ARGUMENT for no function handle. */
tenon_status tenon_function_get_parameters(
    const tenon_function *function, const tenon_value **values, size_t *count) TENON_CHECKED;
/* Everything that is bound, in program order, branches after their condition. Fails with TENON_ERROR_INVALID_ARGUMENT for no
 * function handle. */
tenon_status tenon_function_get_bindings(
    const tenon_function *function, const tenon_value **values, size_t *count) TENON_CHECKED;
/* What is returned; the fields of a tuple that is made in the function, one by one. Fails with TENON_ERROR_INVALID_ARGUMENT for
 * no function handle. */
tenon_status tenon_function_get_results(
    const tenon_function *function, const tenon_value **values, size_t *count) TENON_CHECKED;

/* Fills in `info`, whose struct_size the caller has set. Fails with TENON_ERROR_INVALID_ARGUMENT for a value that the function
 * does not have. */
tenon_status tenon_function_get_value(
    const tenon_function *function, tenon_value value, tenon_value_info *info) TENON_CHECKED;

/* The values whose bindings mention `value`; in a match, those of the block that is looked at. Being returned is no use. Fails
 * with TENON_ERROR_INVALID_ARGUMENT for a value that the function does not have. */
tenon_status tenon_function_get_users(
    const tenon_function *function, tenon_value value, const tenon_value **users, size_t *count) TENON_CHECKED;

/* The function that a FUNCTION is, or that a FUNCTION_CALL or LOCAL_CALL calls. Borrowed until release of `function`. Fails
 * with TENON_ERROR_NOT_FOUND when the value is something else, or when the function called is not known here: matches
 * do not know the other functions of the module. */
tenon_status tenon_function_get_callee(
    const tenon_function *function, tenon_value value, const tenon_function **callee) TENON_CHECKED;

/* -------------------------------------------------------------------------------------------------- callbacks -- */

/* What a callback answers with besides its verdict. Valid until the callback returns. */
typedef struct tenon_reply tenon_reply;

/* What callbacks return. Any other number makes the call that led to the callback fail with TENON_ERROR_CALLBACK. */
typedef enum tenon_verdict {
    /* No, for the reason given by tenon_reply_set_reason. */
    TENON_REFUSE = 0,
    TENON_ACCEPT = 1,
    /* The callback could not decide: the call fails with TENON_ERROR_CALLBACK and the reason, and changes nothing. */
    TENON_FAIL = 2
} tenon_verdict;

/* Says why: what was found, and what was expected. Both are copied and may be NULL. Fails with TENON_ERROR_INVALID_ARGUMENT for
 * no reply. */
tenon_status tenon_reply_set_reason(tenon_reply *reply, const char *found, const char *expected);

/* --------------------------------------------------------------------------------------------- backends of a host -- */

/* What a backend made of a region. */
typedef struct tenon_region {
    uint32_t struct_size;
    /* Zero. */
    uint32_t reserved;
    /* What `run` and `release` get. */
    void *handle;
    /* Bytes that a run works in; each of several at once has its own. */
    uint64_t workspace_bytes;
    /* Bytes of weights that the handle holds, for tenon_executable_get_memory. */
    uint64_t packed_weight_bytes;
    /* What runs it, for reports; copied. NULL: the backend's name. */
    const char *implementation;
} tenon_region;

/* Makes a region ready: a tenon_verdict. Fills in `region`, whose struct_size is set. `function` carries `Codegen`; it binds
 * functions that carry `Composite` and calls them; all shapes are numbers; weights are constants where they are known. It is to
 * be read here only, but what its values point to is borrowed until `release`. After TENON_REFUSE the library's own kernels
 * run the region. TENON_FAIL fails the compilation with TENON_ERROR_BACKEND. `threads` is how many a run may use. Runs on a
 * thread of the executable; with symbolic sizes also during a run. */
typedef int32_t (*tenon_backend_compile_function)(
    const tenon_function *function, uint32_t threads, tenon_region *region, tenon_reply *reply, void *user_data);

/* Runs a region: TENON_ACCEPT, or anything else to fail the run with TENON_ERROR_BACKEND. Tensors are dense and borrowed for the
 * call: inputs in the order of the function's parameters, outputs in that of its results, tuples flattened. `workspace` is
 * aligned to 64. Runs on any thread, and on several at once with one handle. Must not call the executable. */
typedef int32_t (*tenon_backend_run_function)(
    void *handle, const tenon_tensor *inputs, size_t input_count, const tenon_tensor *outputs, size_t output_count,
    void *workspace, tenon_reply *reply, void *user_data);

/* No run of the handle is under way, and none will be. Any thread. */
typedef void (*tenon_backend_release_function)(void *handle, void *user_data);

/* Runs the functions that carry `Codegen` with its name. What it points to must live as long as executables made with it. */
typedef struct tenon_backend {
    uint32_t struct_size;
    /* Zero. */
    uint32_t flags;
    /* One of a name that the library has takes its place. */
    const char *name;
    tenon_backend_compile_function compile;
    tenon_backend_run_function run;
    /* May be NULL. */
    tenon_backend_release_function release;
    void *user_data;
} tenon_backend;

#define TENON_BACKEND_INIT {sizeof(tenon_backend), 0, NULL, NULL, NULL, NULL, NULL}
void tenon_backend_init(tenon_backend *backend, uint32_t struct_size);

/* ----------------------------------------------------------------------------------------------------- passes -- */

/* What an instrument hears of. Pointers are borrowed until it returns. */
typedef struct tenon_pass_event {
    uint32_t struct_size;
    /* How many other passes this one runs inside of. */
    uint32_t depth;
    const char *name;
    /* As it is before the pass, or after it, to be read. */
    const tenon_module *module;
    /* How long the pass took; 0 before it. */
    uint64_t nanoseconds;
} tenon_pass_event;

/* A tenon_verdict: TENON_REFUSE before a pass leaves the pass out, after it means the same as TENON_ACCEPT. Runs on the thread of
 * the call. */
typedef int32_t (*tenon_instrument_function)(const tenon_pass_event *event, tenon_reply *reply, void *user_data);

/* Hears of every pass that runs, those inside other passes included. */
typedef struct tenon_instrument {
    uint32_t struct_size;
    /* Zero. */
    uint32_t flags;
    /* Both may be NULL. */
    tenon_instrument_function before;
    tenon_instrument_function after;
    void *user_data;
} tenon_instrument;

#define TENON_INSTRUMENT_INIT {sizeof(tenon_instrument), 0, NULL, NULL, NULL}
void tenon_instrument_init(tenon_instrument *instrument, uint32_t struct_size);

/* The module is checked after each pass: a pass that leaves it not well formed fails the call with TENON_ERROR_INTERNAL. */
#define TENON_PASS_VERIFY UINT32_C(1)

typedef struct tenon_pass_options {
    uint32_t struct_size;
    /* 1 to 3; 0 means 2. Passes of a higher level are left out of a pipeline. */
    uint32_t optimization_level;
    /* Passes, by name, that a pipeline leaves out. */
    const char *const *disabled_passes;
    size_t disabled_pass_count;
    /* Passes that run whatever their level. */
    const char *const *required_passes;
    size_t required_pass_count;
    /* Fusion rules, by name ("dnnl.conv2d_reshape_add_relu"), that are not applied. */
    const char *const *disabled_rules;
    size_t disabled_rule_count;
    /* TENON_PASS_… */
    uint32_t flags;
    /* Zero. */
    uint32_t reserved;
    /* They hear of passes in this order. */
    const tenon_instrument *instruments;
    size_t instrument_count;
    /* For the pass "RunCodegen", which offers functions with `Codegen` to these and to the library's own backends; what they
     * refuse loses `Codegen`. */
    const tenon_backend *backends;
    size_t backend_count;
    /* The call ends with TENON_ERROR_DEADLINE_EXCEEDED when it takes longer; 0 means no limit. */
    uint64_t timeout_nanoseconds;
    /* Borrowed for the call; NULL for none. */
    tenon_cancel_token *cancel;
    /* The functions, by name, that passes begin with or look at which ask for such: fusing by rules, "RunCodegen",
     * "EliminateDeadCode", "LambdaLift" and so on, as docs/passes.md says. None: the pass's own choice. */
    const char *const *entry_functions;
    size_t entry_function_count;
    /* Arguments of the pass that is applied, by name, as docs/passes.md lists them; NULL for none. Passes that take none, and
     * names that a pass does not know, are errors. Ignored by pipelines. */
    const tenon_attributes *arguments;
} tenon_pass_options;

#define TENON_PASS_OPTIONS_INIT {sizeof(tenon_pass_options), 0, NULL, 0, NULL, 0, NULL, 0, 0, 0, NULL, 0, NULL, 0, 0, NULL, NULL, 0, NULL}
void tenon_pass_options_init(tenon_pass_options *options, uint32_t struct_size);

/* How many passes the library knows. */
size_t tenon_pass_count(void);

/* Name of pass `index`, as "FuseConv2dReshapeAddRelu"; NULL outside of the count. Static text. */
const char *tenon_pass_name(size_t index);

/* Applies one pass to the module in place. Fails with TENON_ERROR_NOT_FOUND for an unknown pass. */
tenon_status tenon_module_apply(
    tenon_module *module, const char *pass, const tenon_pass_options *options) TENON_CHECKED;

/* Applies the default pipeline: fuses what backends can run and collects it in regions. Fails as tenon_module_apply does. */
tenon_status tenon_module_optimize(tenon_module *module, const tenon_pass_options *options) TENON_CHECKED;

/* Replaces parameters of a function, by name, with tensors: what comes as a parameter becomes known, as weights do. The elements
 * are copied; a symbol in a parameter's type takes the size met. `function` NULL is "main". Fails with TENON_ERROR_NOT_FOUND for an
 * unknown function or parameter, and with TENON_ERROR_INVALID_TYPE for a tensor of another type. */
tenon_status tenon_module_bind_parameters(
    tenon_module *module, const char *function, const char *const *names, const tenon_tensor *tensors, size_t count) TENON_CHECKED;

/* Replaces symbols of a function, by name, with sizes; `function` NULL is all functions. Fails with TENON_ERROR_NOT_FOUND for an
 * unknown function, or a symbol that none of them has. */
tenon_status tenon_module_bind_symbols(
    tenon_module *module, const char *function, const char *const *names, const int64_t *values, size_t count) TENON_CHECKED;

/* Changes the module that it gets, by any function of this header, or leaves it: a tenon_verdict. After TENON_REFUSE the module
 * is what it was; TENON_FAIL ends the whole call. The module is valid until the callback returns, which must not release
 * it. Runs on the thread of the call. */
typedef int32_t (*tenon_pass_function)(tenon_module *module, tenon_reply *reply, void *user_data);

typedef struct tenon_pass {
    uint32_t struct_size;
    /* From which level on it runs, 0 to 3. Passes of the library have their own. */
    uint32_t optimization_level;
    /* In messages, and in the lists of required and disabled passes. */
    const char *name;
    /* NULL for the pass of the library that has this name. */
    tenon_pass_function run;
    void *user_data;
} tenon_pass;

#define TENON_PASS_INIT {sizeof(tenon_pass), 0, NULL, NULL, NULL}
void tenon_pass_init(tenon_pass *pass, uint32_t struct_size);

/* Applies those of the passes that the options enable, one after the other, to the module in place: when one fails, none has
 * been applied. Elements of the array all have the struct_size of the first. Fails with TENON_ERROR_NOT_FOUND for an unknown
 * pass of the library and with TENON_ERROR_CALLBACK, naming the pass, when one of the host fails. */
tenon_status tenon_module_apply_passes(
    tenon_module *module, const tenon_pass *passes, size_t count, const tenon_pass_options *options) TENON_CHECKED;

/* --------------------------------------------------------------------------------------------------- patterns -- */

/* Fusion rules in text, first rule first: "dnnl.conv2d_relu = nn.relu(nn.conv2d(*, *)); closed x.gelu = nn.gelu(%in);". The
 * part of a name before the first dot is the backend. A `closed` rule is not applied where a value inside the match is used
 * outside of it. docs/patterns.md has the grammar. */

typedef enum tenon_fuse_flags {
    /* Tensor literals become parameters of the functions made; otherwise they stay inside. */
    TENON_FUSE_CONSTANTS_AS_PARAMETERS = 1,
    /* Each match becomes a region of its own, which carries `Codegen`; otherwise a composite. */
    TENON_FUSE_ANNOTATE = 2
} tenon_fuse_flags;

typedef enum tenon_explain_format {
    TENON_EXPLAIN_TEXT = 0,
    TENON_EXPLAIN_JSON = 1
} tenon_explain_format;

/* Moves every match of the rules into a function that carries `Composite`, in place. `flags` are of tenon_fuse_flags. The pass
 * "MergeCompositeFunctions" then collects neighbours in regions. Fails with TENON_ERROR_PARSE for a text that is no list of
 * rules, and with TENON_ERROR_INVALID_GRAPH when a match would need its own result. */
tenon_status tenon_module_fuse(
    tenon_module *module, const char *rules, uint32_t flags, const tenon_pass_options *options) TENON_CHECKED;

/* Rewrites the module in place by a rule in text: two functions, `before` and `after`. What computes what `before` does becomes
 * what `after` does, until nothing changes. Fails with TENON_ERROR_PARSE, with TENON_ERROR_INVALID_GRAPH or _INVALID_TYPE for a
 * replacement that cannot stand there, and with TENON_ERROR_LIMIT_EXCEEDED when rewriting goes on without end. */
tenon_status tenon_module_rewrite(
    tenon_module *module, const char *rule, const tenon_pass_options *options) TENON_CHECKED;

/* What the rules would fuse, and for each near miss the first thing that failed. NULL for `rules` means the library's own,
 * after the simplifications that tenon_module_optimize makes. `format` is of tenon_explain_format. The module stays as it is.
 * Transferred; tenon_string_release. Fails with TENON_ERROR_PARSE for the rules, and with TENON_ERROR_INVALID_ARGUMENT for an
 * unknown format. */
tenon_status tenon_module_explain(
    const tenon_module *module, const char *rules, uint32_t format, const tenon_pass_options *options,
    char **text) TENON_CHECKED;

/* ---------------------------------------------------------------------------------- patterns and rules of a host -- */

/* A pattern: what a call, a tuple or a value must look like. Immutable; any number of threads may use it. */
typedef struct tenon_pattern tenon_pattern;

/* Nodes of patterns, and who uses whom. */
typedef struct tenon_pattern_context tenon_pattern_context;

/* Reads a pattern in text: "nn.relu(%c: nn.conv2d(*, const))". Transferred; tenon_pattern_release. Fails with
 * TENON_ERROR_PARSE, or TENON_ERROR_LIMIT_EXCEEDED for what is nested too deep. */
tenon_status tenon_pattern_parse(const char *text, tenon_pattern **pattern) TENON_CHECKED;

/* The text, which reads back to an equal pattern. Transferred; tenon_string_release. Fails only for a NULL pointer or without
 * memory. */
tenon_status tenon_pattern_print(const tenon_pattern *pattern, char **text) TENON_CHECKED;

/* Patterns made of this one stay as they are. */
void tenon_pattern_release(tenon_pattern *pattern);

/* Patterns made one from another. Each node has identity: a handle used twice must meet the same value both times, and a
 * node can hold only nodes that exist, so that there are no cycles. All are transferred; tenon_pattern_release; the patterns
 * that went in stay the caller's. They fail with TENON_ERROR_LIMIT_EXCEEDED beyond 256 levels. For symbolic sizes
 * use types in text. docs/patterns.md says what each matches. */

/* Anything. Fails only for a NULL pointer or without memory. */
tenon_status tenon_pattern_wildcard(tenon_pattern **pattern) TENON_CHECKED;
/* A variable that no binding explains; one local to a dataflow block; a function of the module. NULL for any name. Each fails
 * with TENON_ERROR_INVALID_ARGUMENT for a name that is none. */
tenon_status tenon_pattern_variable(const char *name, tenon_pattern **pattern) TENON_CHECKED;
tenon_status tenon_pattern_dataflow_variable(const char *name, tenon_pattern **pattern) TENON_CHECKED;
tenon_status tenon_pattern_global_variable(const char *name, tenon_pattern **pattern) TENON_CHECKED;
/* A tensor of known contents; one whose every element is `value`, up to `tolerance` times max(1, |value|). Each fails with
 * TENON_ERROR_INVALID_ARGUMENT for a value or a tolerance that is no number. */
tenon_status tenon_pattern_constant(tenon_pattern **pattern) TENON_CHECKED;
tenon_status tenon_pattern_constant_value(double value, double tolerance, tenon_pattern **pattern) TENON_CHECKED;
/* A literal in the text form: "shape[1,n]", "4", "f32", "const f32[2](1, 2)". Fails with TENON_ERROR_PARSE. */
tenon_status tenon_pattern_literal(const char *text, tenon_pattern **pattern) TENON_CHECKED;
/* What is called: an operator, fails with TENON_ERROR_NOT_FOUND; an external function, NULL for any. */
tenon_status tenon_pattern_operator(const char *name, tenon_pattern **pattern) TENON_CHECKED;
tenon_status tenon_pattern_external(const char *name, tenon_pattern **pattern) TENON_CHECKED;

typedef enum tenon_call_flags {
    /* There may be more arguments than those given. */
    TENON_CALL_VARIADIC = 1,
    /* Two arguments may be exchanged, or not; without either, those of "add" and "multiply" may. */
    TENON_CALL_COMMUTATIVE = 2,
    TENON_CALL_ORDERED = 4
} tenon_call_flags;

/* A call. `flags` are of tenon_call_flags. Fails with TENON_ERROR_INVALID_ARGUMENT for unknown flags or patterns that are NULL. */
tenon_status tenon_pattern_call(
    const tenon_pattern *callee, const tenon_pattern *const *arguments, size_t count, uint32_t flags,
    tenon_pattern **pattern) TENON_CHECKED;
/* A tuple of these fields, with `unordered` not 0 in any order. Fails with TENON_ERROR_INVALID_ARGUMENT for patterns that are
 * NULL. */
tenon_status tenon_pattern_tuple(
    const tenon_pattern *const *fields, size_t count, int32_t unordered, tenon_pattern **pattern) TENON_CHECKED;
/* Item `index` of a tuple; -1 for any. Fails with TENON_ERROR_INVALID_ARGUMENT for an index below -1. */
tenon_status tenon_pattern_tuple_get_item(
    const tenon_pattern *tuple, int64_t index, tenon_pattern **pattern) TENON_CHECKED;
/* Either, `a` first; an optional part is tenon_pattern_or(with, without). Both. Anything else. Each fails only for a NULL
 * pointer or without memory. */
tenon_status tenon_pattern_or(
    const tenon_pattern *a, const tenon_pattern *b, tenon_pattern **pattern) TENON_CHECKED;
tenon_status tenon_pattern_and(
    const tenon_pattern *a, const tenon_pattern *b, tenon_pattern **pattern) TENON_CHECKED;
tenon_status tenon_pattern_not(const tenon_pattern *a, tenon_pattern **pattern) TENON_CHECKED;
/* What `inner` matches and also has these attributes, is of this element type, of this shape, of this type. Each fails with
 * TENON_ERROR_INVALID_ARGUMENT for an element type that is none, and TENON_ERROR_PARSE for a shape or type in text. */
tenon_status tenon_pattern_has_attributes(
    const tenon_pattern *inner, const tenon_attributes *attributes, tenon_pattern **pattern) TENON_CHECKED;
tenon_status tenon_pattern_has_dtype(
    const tenon_pattern *inner, tenon_dtype dtype, tenon_pattern **pattern) TENON_CHECKED;
tenon_status tenon_pattern_has_shape(
    const tenon_pattern *inner, uint32_t rank, const int64_t *shape, tenon_pattern **pattern) TENON_CHECKED;
tenon_status tenon_pattern_has_type(
    const tenon_pattern *inner, const char *type, tenon_pattern **pattern) TENON_CHECKED;
/* A function inside the function. Fails with TENON_ERROR_INVALID_ARGUMENT for patterns that are NULL. */
tenon_status tenon_pattern_function(
    const tenon_pattern *const *parameters, size_t count, const tenon_pattern *body, tenon_pattern **pattern) TENON_CHECKED;

/* One kind of step of a chain: an operator that takes the value before it. */
typedef struct tenon_pattern_step {
    uint32_t struct_size;
    /* Which operand carries on the chain, from 0. */
    uint32_t chain_operand;
    /* Not 0: either of two operands does. */
    uint32_t commutative;
    /* Zero. */
    uint32_t reserved;
    const char *op;
    /* What the other operand must match; NULL for operators of one. */
    const tenon_pattern *other;
    /* What the step's attributes must have; may be NULL. */
    const tenon_attributes *attributes;
} tenon_pattern_step;

#define TENON_PATTERN_STEP_INIT {sizeof(tenon_pattern_step), 0, 0, 0, NULL, NULL, NULL}
void tenon_pattern_step_init(tenon_pattern_step *step, uint32_t struct_size);

/* `base`, and `minimum` to `maximum` steps of any of these kinds; the longest chain wins. Fails with
 * TENON_ERROR_INVALID_ARGUMENT when `minimum` is more than `maximum`, or without steps. */
tenon_status tenon_pattern_chain(
    const tenon_pattern *base, const tenon_pattern_step *steps, size_t count, size_t minimum, size_t maximum,
    tenon_pattern **pattern) TENON_CHECKED;
/* The same pattern with a name, by which callbacks ask what it met; a node of its own. Fails with TENON_ERROR_INVALID_ARGUMENT
 * for an empty name. */
tenon_status tenon_pattern_named(
    const tenon_pattern *inner, const char *name, tenon_pattern **pattern) TENON_CHECKED;
/* The same with nodes of their own, all the way down. Fails only for a NULL pointer or without memory. */
tenon_status tenon_pattern_duplicate(const tenon_pattern *inner, tenon_pattern **pattern) TENON_CHECKED;
/* The first node of that name; the very node. Fails with TENON_ERROR_NOT_FOUND. */
tenon_status tenon_pattern_find(
    const tenon_pattern *inner, const char *name, tenon_pattern **pattern) TENON_CHECKED;

/* Reads statements: "%m: nn.conv2d(...) >> nn.relu(%m); same_shape(%m, %n);". Transferred;
 * tenon_pattern_context_release. Fails as tenon_pattern_parse. */
tenon_status tenon_pattern_context_parse(const char *text, tenon_pattern_context **context) TENON_CHECKED;

/* Transferred; tenon_string_release. Fails only for a NULL pointer or without memory. */
tenon_status tenon_pattern_context_print(const tenon_pattern_context *context, char **text) TENON_CHECKED;

void tenon_pattern_context_release(tenon_pattern_context *context);

/* A context without relations. Transferred; tenon_pattern_context_release. Fails only for a NULL pointer or without memory. */
tenon_status tenon_pattern_context_create(tenon_pattern_context **context) TENON_CHECKED;

/* Adds a node, and for each call with listed arguments in it that these are used there. Fails with TENON_ERROR_INVALID_ARGUMENT
 * for patterns that are NULL. */
tenon_status tenon_pattern_context_add(tenon_pattern_context *context, const tenon_pattern *pattern) TENON_CHECKED;

/* What `producer` meets is used by what `consumer` meets, as variable `operand` of those that it mentions, or -1; with
 * `only` not 0 by nothing else. Fails with TENON_ERROR_INVALID_ARGUMENT when that is stated already. */
tenon_status tenon_pattern_context_used_by(
    tenon_pattern_context *context, const tenon_pattern *producer, const tenon_pattern *consumer, int64_t operand,
    int32_t only) TENON_CHECKED;

/* What they meet has provably one shape. At least two. Fails with TENON_ERROR_INVALID_ARGUMENT for fewer. */
tenon_status tenon_pattern_context_same_shape(
    tenon_pattern_context *context, const tenon_pattern *const *patterns, size_t count) TENON_CHECKED;

/* What a pattern met. One that is handed to a callback is valid until that returns; "borrowed" below means until then, or
 * until release. */
typedef struct tenon_match tenon_match;

/* In a rewriter: `value` becomes `by`, which must be of the same type. Both are values of the match or of the builder. Fails
 * with TENON_ERROR_INVALID_ARGUMENT for values of others. */
tenon_status tenon_reply_replace(tenon_reply *reply, tenon_value value, tenon_value by) TENON_CHECKED;

/* The function that the match is in, to look up its values. Borrowed; NULL for NULL. */
const tenon_function *tenon_match_function(const tenon_match *match);

/* The value that the whole pattern met; TENON_NO_VALUE for NULL, and for a match of a context. */
tenon_value tenon_match_root(const tenon_match *match);

/* Names that the pattern gives its nodes and that met something. 0 for NULL; NULL outside of the count. Borrowed. */
size_t tenon_match_capture_count(const tenon_match *match);
const char *tenon_match_capture_name(const tenon_match *match, size_t index);

/* What the node of that name met. Fails with TENON_ERROR_NOT_FOUND when it met nothing, and with
 * TENON_ERROR_INVALID_TYPE when it met an operator rather than a value. */
tenon_status tenon_match_get(const tenon_match *match, const char *capture, tenon_value *value) TENON_CHECKED;

/* The operator that the node of that name met, or called. Borrowed. Fails with
 * TENON_ERROR_NOT_FOUND when there is none. */
tenon_status tenon_match_get_operator(const tenon_match *match, const char *capture, const char **op) TENON_CHECKED;

/* The bindings that the match is made of; those would be fused. Borrowed. Fails only for a NULL pointer or without memory. */
tenon_status tenon_match_get_bindings(
    const tenon_match *match, const tenon_value **values, size_t *count) TENON_CHECKED;

/* Matches one value of a function, seeing through names. Sets `*match` to NULL when it does not match. Transferred;
 * tenon_match_release. Fails with TENON_ERROR_INVALID_ARGUMENT for a value that the function does not have. */
tenon_status tenon_pattern_match(
    const tenon_pattern *pattern, const tenon_function *function, tenon_value value, tenon_match **match) TENON_CHECKED;

/* As tenon_pattern_match, seeing through the name of this one value only: what its operands are bound to is not looked at.
 * Fails as that does. */
tenon_status tenon_pattern_match_binding(
    const tenon_pattern *pattern, const tenon_function *function, tenon_value value, tenon_match **match) TENON_CHECKED;

/* Looks for all nodes of a context in one dataflow block, block after block. Sets `*match` to NULL when there is no such block.
 * Transferred; tenon_match_release. Fails with TENON_ERROR_LIMIT_EXCEEDED when the search takes too long. */
tenon_status tenon_pattern_context_match(
    const tenon_pattern_context *context, const tenon_function *function, tenon_match **match) TENON_CHECKED;

/* For matches that were transferred; callbacks' go by themselves. */
void tenon_match_release(tenon_match *match);

/* Looks at a match before it is fused or rewritten: a tenon_verdict. Callbacks run on the thread of the call that they are
 * given to, may call the library, and must not change or release the module at hand. */
typedef int32_t (*tenon_check_function)(const tenon_match *match, tenon_reply *reply, void *user_data);

/* Adds attributes for the function that a match becomes: a tenon_verdict, of which TENON_REFUSE adds none. */
typedef int32_t (*tenon_attributes_function)(
    const tenon_match *match, tenon_attributes *attributes, tenon_reply *reply, void *user_data);

/* Replaces values of a match by tenon_reply_replace: a tenon_verdict, of which TENON_REFUSE leaves them. `builder` adds
 * calls, tuples and constants, but no parameters, in front of what is replaced; it is valid until the callback returns. */
typedef int32_t (*tenon_rewrite_function)(
    const tenon_match *match, tenon_builder *builder, tenon_reply *reply, void *user_data);

/* The rule is not applied where a value inside the match is used outside of it. */
#define TENON_RULE_CLOSED UINT32_C(1)

typedef struct tenon_fusion_rule {
    uint32_t struct_size;
    /* TENON_RULE_… */
    uint32_t flags;
    /* "dnnl.conv2d_relu": what stands before the first dot is the backend. NULL: `text` is a list of rules, as tenon_module_fuse
     * takes it, and flags, check and attributes are those of each. */
    const char *name;
    /* The pattern, as text or as a handle; the other one is NULL. */
    const char *text;
    const tenon_pattern *pattern;
    /* May be NULL. */
    tenon_check_function check;
    /* May be NULL. */
    tenon_attributes_function attributes;
    void *user_data;
} tenon_fusion_rule;

#define TENON_FUSION_RULE_INIT {sizeof(tenon_fusion_rule), 0, NULL, NULL, NULL, NULL, NULL, NULL}
void tenon_fusion_rule_init(tenon_fusion_rule *rule, uint32_t struct_size);

/* As tenon_module_fuse, by rules that may ask the host; the first rule has priority. Elements of the array all have the
 * struct_size of the first. Fails as tenon_module_fuse does, and with TENON_ERROR_CALLBACK when a callback fails. */
tenon_status tenon_module_fuse_rules(
    tenon_module *module, const tenon_fusion_rule *rules, size_t count, uint32_t flags,
    const tenon_pass_options *options) TENON_CHECKED;

/* As tenon_module_explain, by such rules. What a check refuses is a near miss of the kind "check_refused". Transferred;
 * tenon_string_release. Fails as tenon_module_fuse does, and with TENON_ERROR_CALLBACK when a callback fails. */
tenon_status tenon_module_explain_rules(
    const tenon_module *module, const tenon_fusion_rule *rules, size_t count, uint32_t format,
    const tenon_pass_options *options, char **text) TENON_CHECKED;

/* One of: `text` that holds the functions `before` and `after` and those that `after` calls, without `rewrite`; a pattern, as `text` or as `pattern`, with
 * `rewrite`, which is called for each binding that matches and replaces the root; `context` with `rewrite`, which is called
 * for each way to find all its nodes in one block, until it replaces nothing. */
typedef struct tenon_rewrite_rule {
    uint32_t struct_size;
    /* Zero. */
    uint32_t flags;
    /* In messages, and in `disabled_rules`. */
    const char *name;
    const char *text;
    const tenon_pattern *pattern;
    const tenon_pattern_context *context;
    /* Asked before; may be NULL. */
    tenon_check_function check;
    tenon_rewrite_function rewrite;
    void *user_data;
    /* Only this function of the module is rewritten; NULL for all. */
    const char *function;
} tenon_rewrite_rule;

#define TENON_REWRITE_RULE_INIT {sizeof(tenon_rewrite_rule), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL}
void tenon_rewrite_rule_init(tenon_rewrite_rule *rule, uint32_t struct_size);

/* Applies the rules one after the other, each until nothing changes, in place. Elements of the array all have the struct_size
 * of the first. Fails with TENON_ERROR_INVALID_GRAPH or _INVALID_TYPE for a replacement that cannot stand there, and with
 * TENON_ERROR_LIMIT_EXCEEDED when rewriting goes on without end. */
tenon_status tenon_module_rewrite_rules(
    tenon_module *module, const tenon_rewrite_rule *rules, size_t count, const tenon_pass_options *options) TENON_CHECKED;

/* ------------------------------------------------------------------------------------------------------ compile -- */

/* A module made ready to run. Immutable; any number of threads may run it at once. */
typedef struct tenon_executable tenon_executable;

/* Same inputs give the same bits, run after run. */
#define TENON_COMPILE_REPRODUCIBLE UINT32_C(1)
/* Runs everything on the library's own kernels instead of on backends, and as it stands: slow, a yardstick. */
#define TENON_COMPILE_REFERENCE UINT32_C(2)
/* Runs take numbers below the normal range (denormals) for 0, as inputs of a computation and as its results. Without it they
 * are computed with as IEEE 754 says. */
#define TENON_COMPILE_FLUSH_DENORMALS UINT32_C(4)
/* Takes the module as it stands, without the default pipeline. */
#define TENON_COMPILE_UNOPTIMIZED UINT32_C(8)
/* Deadlines and tokens end runs within 50 ms inside every step too. Convolutions and products of oneDNN that are expected to take more
 * than 25 ms run in pieces in any case; with this flag in pieces as small as they get, which takes up to twice as long, and what
 * is too long even so runs on the library's own kernels, which may be several times slower. */
#define TENON_COMPILE_CANCELLABLE UINT32_C(16)

/* How long threads of a run that wait for each other spin before they sleep. Where the host has set GOMP_SPINCOUNT or
 * OMP_WAIT_POLICY, these say so. */
typedef enum tenon_spin {
    /* As libgomp is set up: some milliseconds. But some microseconds while runs show that others need the CPUs, which is looked at
     * every few seconds: then threads that only sleep, one per CPU, bring libgomp to it, which spins little while it has
     * more threads than there are CPUs. */
    TENON_SPIN_ADAPTIVE = 0,
    /* As libgomp is set up, always. */
    TENON_SPIN_LONG = 1,
    /* Some microseconds, always: for hosts that share their CPUs. Up to a sixth slower on a machine that does nothing else. */
    TENON_SPIN_SHORT = 2
} tenon_spin;

/* What becomes of NaN and infinities. Strict keeps them as ONNX does, through every operator and every fusion: when a run meets a
 * NaN, the regions that might lose it are computed again without what does. Fast leaves that out; which operators lose NaN
 * then is said in docs/fusion.md. The default is strict. */
#define TENON_NUMERICS_DEFAULT UINT32_C(0)
#define TENON_NUMERICS_STRICT UINT32_C(1)
#define TENON_NUMERICS_FAST UINT32_C(2)

typedef struct tenon_executable_options {
    uint32_t struct_size;
    /* TENON_COMPILE_… */
    uint32_t flags;
    /* Threads of one run; 0 means the CPUs that this process may use (affinity and cgroup quota). What is expected to be done
     * before another thread has woken up (some tens of microseconds) runs on the caller's thread alone. */
    uint32_t threads;
    /* Runs at the same time, further callers wait; 0 means as many as the usable CPUs serve with `threads` each. */
    uint32_t concurrent_runs;
    /* Time that may be spent on measuring alternatives; 0 decides by cost model. */
    uint32_t tuning_milliseconds;
    /* How many shapes of a module with symbolic dimensions are kept compiled; 0 means 16. */
    uint32_t cached_shapes;
    /* Bytes that those may hold together; 0 means 512 MiB. */
    uint64_t cached_bytes;
    /* Upper bound of packed weights and working memory in bytes; 0 means none. */
    uint64_t memory_limit;
    /* May be NULL. */
    tenon_progress_function progress;
    void *progress_data;
    /* Backends besides the library's own. Elements of the array all have the struct_size of the first. */
    const tenon_backend *backends;
    size_t backend_count;
    /* TENON_NUMERICS_… */
    uint32_t numerics;
    /* A tenon_spin. Concerns all OpenMP of the process: one executable of TENON_SPIN_SHORT is enough. */
    uint32_t spin;
    /* The call ends with TENON_ERROR_DEADLINE_EXCEEDED when it takes longer; 0 means no limit. */
    uint64_t timeout_nanoseconds;
    /* Borrowed for the call; NULL for none. */
    tenon_cancel_token *cancel;
} tenon_executable_options;

#define TENON_EXECUTABLE_OPTIONS_INIT \
    {sizeof(tenon_executable_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, 0, 0, 0, 0, NULL}
void tenon_executable_options_init(tenon_executable_options *options, uint32_t struct_size);

/* Makes "main" ready to run. A module none of whose functions carries Composite or Codegen goes through the default pipeline
 * first, as tenon_module_optimize applies it, unless a flag says otherwise; the module itself does not change. Functions with
 * the attribute Codegen go to the backend it names; everything else runs on the library's own kernels. The module may be
 * changed or released afterwards. Transferred; tenon_executable_release. Fails with TENON_ERROR_NOT_FOUND when there is no
 * "main" or no backend of a name, with TENON_ERROR_INVALID_ARGUMENT for options out of range, TENON_ERROR_UNSUPPORTED for
 * what no kernel can do, TENON_ERROR_LIMIT_EXCEEDED when memory_limit is too small, TENON_ERROR_BACKEND when a backend fails,
 * TENON_ERROR_CALLBACK when `progress` ends it, and TENON_ERROR_OUT_OF_MEMORY. */
tenon_status tenon_compile(
    const tenon_module *module, const tenon_executable_options *options, tenon_executable **executable) TENON_CHECKED;

/* No run may be under way. */
void tenon_executable_release(tenon_executable *executable);

/* Threads of one run, as the options or the usable CPUs have it; 0 for NULL. */
uint32_t tenon_executable_threads(const tenon_executable *executable);

/* An input or an output. Pointers are borrowed until release of the executable. */
typedef struct tenon_port {
    uint32_t struct_size;
    /* A tenon_dtype; TENON_DTYPE_NONE when not known. */
    uint32_t dtype;
    /* Number of dimensions; -1 when not known. */
    int32_t rank;
    /* Zero. */
    uint32_t reserved;
    const char *name;
    /* The type in the text form: "f32[n,3,224,224]". */
    const char *type;
    /* `rank` sizes, TENON_DIM_UNKNOWN where symbolic; NULL when the rank is not known. */
    const int64_t *shape;
} tenon_port;

#define TENON_PORT_INIT {sizeof(tenon_port), 0, 0, 0, NULL, NULL, NULL}
void tenon_port_init(tenon_port *port, uint32_t struct_size);

/* 0 for NULL. */
size_t tenon_executable_input_count(const tenon_executable *executable);
size_t tenon_executable_output_count(const tenon_executable *executable);

/* Fills in `port`, whose struct_size the caller has set. Fails with TENON_ERROR_INVALID_ARGUMENT for an index out of range. */
tenon_status tenon_executable_get_input(
    const tenon_executable *executable, size_t index, tenon_port *port) TENON_CHECKED;
tenon_status tenon_executable_get_output(
    const tenon_executable *executable, size_t index, tenon_port *port) TENON_CHECKED;

/* Bytes that an executable needs. */
typedef struct tenon_memory {
    uint32_t struct_size;
    /* Zero. */
    uint32_t reserved;
    /* Weights in the layouts of the backends. */
    uint64_t packed_weights;
    /* Constants that kernels read as they are. */
    uint64_t constants;
    /* Intermediates and scratch of one run; each concurrent run has its own. */
    uint64_t arena;
    /* The part of the arena that a single step needs for itself at most. */
    uint64_t scratch;
    /* Packed weights and arenas held now. */
    uint64_t in_use;
    /* The most that was held at once so far: packed weights, arenas, and the values of what is interpreted. */
    uint64_t peak;
} tenon_memory;

#define TENON_MEMORY_INIT {sizeof(tenon_memory), 0, 0, 0, 0, 0, 0, 0}
void tenon_memory_init(tenon_memory *memory, uint32_t struct_size);

/* Fills in `memory`, whose struct_size the caller has set. Known before the first run when all shapes are fixed. Fails with
 * TENON_ERROR_INVALID_ARGUMENT for a struct_size that is too small. */
tenon_status tenon_executable_get_memory(const tenon_executable *executable, tenon_memory *memory) TENON_CHECKED;

/* Gives back memory that no run uses now. Fails only for a NULL pointer or without memory. */
tenon_status tenon_executable_trim(const tenon_executable *executable) TENON_CHECKED;

/* Compiles for inputs of these shapes now, so that the first run of them is not slow: for input i the `ranks[i]` sizes
 * `shapes[i]`. Fails with TENON_ERROR_INVALID_SHAPE for shapes that the signature does not allow, and with what tenon_compile
 * fails with. */
tenon_status tenon_executable_prepare(
    const tenon_executable *executable, const int64_t *const *shapes, const uint32_t *ranks, size_t count)
    TENON_CHECKED;

/* Prepares as tenon_executable_prepare does, and tells without running the bytes that one run with inputs of these shapes needs for
 * intermediates and scratch; packed weights are those of tenon_executable_get_memory. `*is_complete` (may be NULL) is 1 when that is all,
 * and 0 when more follows whose size depends on the data. Fails as tenon_executable_prepare, and with
 * TENON_ERROR_INVALID_ARGUMENT when `bytes` is NULL. */
tenon_status tenon_executable_get_run_bytes(
    const tenon_executable *executable, const int64_t *const *shapes, const uint32_t *ranks, size_t count, uint64_t *bytes,
    int32_t *is_complete) TENON_CHECKED;

/* As tenon_executable_prepare for every combination of sizes of the inputs' symbols: symbol i takes `first[i]`, first[i] + `step[i]`, … up
 * to `last[i]`. Every symbol of the inputs is named once. Fails with TENON_ERROR_NOT_FOUND for a name that is none of them, and with
 * TENON_ERROR_LIMIT_EXCEEDED for more than 65,536 combinations. */
tenon_status tenon_executable_prepare_ranges(
    const tenon_executable *executable, const char *const *symbols, const int64_t *first, const int64_t *last,
    const int64_t *step, size_t count) TENON_CHECKED;

/* What runs, step by step, with times of the last profiled run, as a text table. Transferred; tenon_string_release. Fails only
 * for a NULL pointer or without memory. */
tenon_status tenon_executable_report(const tenon_executable *executable, char **text) TENON_CHECKED;

/* A number for the plan used last: equal when the steps, their implementations and layouts, the threads, the backends' versions
 * and the processor are. With TENON_COMPILE_REPRODUCIBLE, equal numbers and equal inputs give equal bits. 0 when there is no
 * plan yet. Fails only for a NULL pointer or without memory. */
tenon_status tenon_executable_get_digest(const tenon_executable *executable, uint64_t *digest) TENON_CHECKED;

/* What an executable runs, step by step, as it was when asked for. Immutable; any number of threads may use it. */
typedef struct tenon_profile tenon_profile;

/* One step. Pointers are borrowed until release of the profile. */
typedef struct tenon_step {
    uint32_t struct_size;
    /* Zero. */
    uint32_t reserved;
    /* The binding that the step computes, and the function of the region that it lies in, "" outside of regions. */
    const char *binding;
    const char *region;
    /* The composite, or the operator where there is none. */
    const char *composite;
    /* As its library names it: "brgconv:avx512_core", "tenon:reshape". */
    const char *implementation;
    /* Of the first input and the output, as "nChw16c:nhwc"; "" when plain. */
    const char *layouts;
    /* Bytes read and written at least; multiplications and additions, where they are counted. */
    uint64_t bytes;
    uint64_t flops;
    /* Time of the step; 0 when no run was profiled. */
    uint64_t nanoseconds;
    /* Why another backend than the one that the region names runs it: the reason that the backend gave; "" otherwise. */
    const char *note;
} tenon_step;

#define TENON_STEP_INIT {sizeof(tenon_step), 0, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, NULL}
void tenon_step_init(tenon_step *step, uint32_t struct_size);

typedef enum tenon_profile_format {
    /* The table of tenon_executable_report. */
    TENON_PROFILE_TABLE = 0,
    /* Trace events in JSON, as the trace viewers of browsers read them. */
    TENON_PROFILE_TRACE = 1
} tenon_profile_format;

/* The steps with the times of the last run that had TENON_RUN_PROFILE; without times when there was none. With symbolic sizes
 * there are no steps before the first run. Transferred; tenon_profile_release. Fails only for a NULL pointer or without memory. */
tenon_status tenon_executable_get_profile(
    const tenon_executable *executable, tenon_profile **profile) TENON_CHECKED;

/* 0 for NULL. */
size_t tenon_profile_count(const tenon_profile *profile);

/* Nanoseconds of the whole run; 0 when no run was profiled. */
uint64_t tenon_profile_total(const tenon_profile *profile);

/* Fills in `step`, whose struct_size the caller has set. Fails with TENON_ERROR_INVALID_ARGUMENT for an index out of range. */
tenon_status tenon_profile_get(const tenon_profile *profile, size_t index, tenon_step *step) TENON_CHECKED;

/* `format` is of tenon_profile_format. Transferred; tenon_string_release. Fails with TENON_ERROR_INVALID_ARGUMENT for an
 * unknown format. */
tenon_status tenon_profile_print(const tenon_profile *profile, uint32_t format, char **text) TENON_CHECKED;

void tenon_profile_release(tenon_profile *profile);

typedef enum tenon_draw_format {
    /* The language of Graphviz. */
    TENON_DRAW_DOT = 0,
    /* An object with the lists "nodes" and "steps". */
    TENON_DRAW_JSON = 1
} tenon_draw_format;

/* The graph of "main" with its regions opened, and the times of `profile`, which may be NULL, at its nodes. `format` is of
 * tenon_draw_format. Transferred; tenon_string_release. Fails with TENON_ERROR_NOT_FOUND when there is no "main". */
tenon_status tenon_module_draw(
    const tenon_module *module, const tenon_profile *profile, uint32_t format, char **text) TENON_CHECKED;

/* ---------------------------------------------------------------------------------------------------------- run -- */

/* Record how long each step takes, for tenon_executable_report. */
#define TENON_RUN_PROFILE UINT32_C(1)

typedef struct tenon_run_options {
    uint32_t struct_size;
    /* TENON_RUN_… */
    uint32_t flags;
    /* The run ends with TENON_ERROR_DEADLINE_EXCEEDED when it takes longer; 0 means no limit. */
    uint64_t timeout_nanoseconds;
    /* Borrowed for the call; NULL for none. */
    tenon_cancel_token *cancel;
} tenon_run_options;

#define TENON_RUN_OPTIONS_INIT {sizeof(tenon_run_options), 0, 0, NULL}
void tenon_run_options_init(tenon_run_options *options, uint32_t struct_size);

/* Runs on the caller's buffers, borrowed for the call: as many inputs and outputs as the executable has, in its order.
 * Elements of an array all have the struct_size of the first. Inputs may be strided; outputs are dense and overlap
 * nothing. With fixed shapes the library takes no memory from the heap for a run (oneDNN takes a few small blocks for
 * each primitive). A run that fails may have written parts of the outputs. Fails with
 * TENON_ERROR_INVALID_ARGUMENT, _INVALID_SHAPE or _INVALID_TYPE when a tensor does not fit its port. */
tenon_status tenon_run(
    const tenon_executable *executable, const tenon_tensor *inputs, size_t input_count, const tenon_tensor *outputs,
    size_t output_count, const tenon_run_options *options) TENON_CHECKED;

/* Tensors that a run made. */
typedef struct tenon_results tenon_results;

/* Runs and makes the outputs: for shapes that are not known before. Transferred; tenon_results_release. Fails as tenon_run
 * does. */
tenon_status tenon_run_new(
    const tenon_executable *executable, const tenon_tensor *inputs, size_t input_count,
    const tenon_run_options *options, tenon_results **results) TENON_CHECKED;

/* 0 for NULL. */
size_t tenon_results_count(const tenon_results *results);

/* Fills in `tensor`, whose struct_size the caller has set; what it points to is borrowed until release of `results`. Fails with
 * TENON_ERROR_INVALID_ARGUMENT for an index out of range. */
tenon_status tenon_results_get(const tenon_results *results, size_t index, tenon_tensor *tensor) TENON_CHECKED;

void tenon_results_release(tenon_results *results);

/* How the values of a run by backends differ from those of the library's own kernels. */
typedef struct tenon_comparison tenon_comparison;

/* One value that a binding of "main" gives. Pointers are borrowed until release of the comparison. */
typedef struct tenon_difference {
    uint32_t struct_size;
    /* 1 when every element is within the absolute tolerance, or within the relative one of the largest element; else 0. */
    uint32_t is_within_tolerance;
    const char *name;
    /* The type in the text form. */
    const char *type;
    /* The largest difference; infinite where only one of both is a number. */
    double absolute;
    /* The same, divided by the largest element of the reference. */
    double relative;
} tenon_difference;

#define TENON_DIFFERENCE_INIT {sizeof(tenon_difference), 0, NULL, NULL, 0, 0}
void tenon_difference_init(tenon_difference *difference, uint32_t struct_size);

/* Compiles "main" so that it gives every value that a binding computes, runs it on dense inputs as backends do and on the
 * library's own kernels, and compares. Regions count as one binding each. 0 stands for tolerances of 1e-6 absolute and 1e-4
 * relative. Transferred; tenon_comparison_release. Fails with what tenon_compile and tenon_run fail with. */
tenon_status tenon_module_compare(
    const tenon_module *module, const tenon_executable_options *options, const tenon_tensor *inputs, size_t input_count,
    double absolute_tolerance, double relative_tolerance, tenon_comparison **comparison) TENON_CHECKED;

/* 0 for NULL. */
size_t tenon_comparison_count(const tenon_comparison *comparison);

/* Fills in `difference`, whose struct_size the caller has set. Fails with TENON_ERROR_INVALID_ARGUMENT for an index out of
 * range. */
tenon_status tenon_comparison_get(
    const tenon_comparison *comparison, size_t index, tenon_difference *difference) TENON_CHECKED;

void tenon_comparison_release(tenon_comparison *comparison);

/* -------------------------------------------------------------------------------------------------- quantising -- */

/* Where the scales of activations come from. */
typedef enum tenon_quantize_mode {
    /* From samples, once for all: `quantize` and `dequantize` stand in the module. */
    TENON_QUANTIZE_STATIC = 0,
    /* From each tensor as it comes: `dynamic_quantize`, `quantized_matmul` and `nn.quantized_conv2d`. Only layers with
     * known weights are quantised. */
    TENON_QUANTIZE_DYNAMIC = 1
} tenon_quantize_mode;

/* Which part of the values met in samples a scale covers; 0 is always part of it. */
typedef enum tenon_calibration {
    /* All. */
    TENON_CALIBRATE_MIN_MAX = 0,
    /* `percentile` of them; half of what is left is cut at either side. */
    TENON_CALIBRATE_PERCENTILE = 1,
    /* The part whose distribution 256 steps tell best (Kullback-Leibler divergence). */
    TENON_CALIBRATE_ENTROPY = 2,
    /* The part with the smallest mean squared error. */
    TENON_CALIBRATE_MSE = 3
} tenon_calibration;

/* One scale for a whole weight, instead of one per output channel. */
#define TENON_QUANTIZE_PER_TENSOR UINT32_C(1)
/* Evens out the ranges of channels between two layers before anything else: for networks of depthwise convolutions. */
#define TENON_QUANTIZE_EQUALIZE UINT32_C(2)
/* Takes the mean that rounding a weight adds to a layer's result out of its bias. */
#define TENON_QUANTIZE_CORRECT_BIAS UINT32_C(4)
/* Leaves out what measures times. */
#define TENON_QUANTIZE_NO_TIMES UINT32_C(8)

typedef struct tenon_quantize_options {
    uint32_t struct_size;
    /* A tenon_quantize_mode. */
    uint32_t mode;
    /* A tenon_calibration. */
    uint32_t calibration;
    /* TENON_U8 or TENON_I8; 0 means TENON_U8. Dynamic quantisation has TENON_U8. */
    uint32_t activations;
    /* TENON_QUANTIZE_… */
    uint32_t flags;
    /* So many of the samples are compared, and the first of them timed; 0 means 8. */
    uint32_t measured_samples;
    /* Threads of the runs; 0 means the CPUs that this process may use. */
    uint32_t threads;
    /* Zero. */
    uint32_t reserved;
    /* Above 50, up to 100; 0 means 99.99. */
    double percentile;
    /* The largest relative error of the outputs, as tenon_quantization_total has it: the layers that cost most stay as they are
     * until the rest is within. 0 means any error. */
    double tolerance;
    /* Layers, by the names in the report, that stay as they are. */
    const char *const *excluded;
    size_t excluded_count;
    /* May be NULL. */
    tenon_progress_function progress;
    void *progress_data;
    /* The call ends with TENON_ERROR_DEADLINE_EXCEEDED when it takes longer; 0 means no limit. */
    uint64_t timeout_nanoseconds;
    /* Borrowed for the call; NULL for none. */
    tenon_cancel_token *cancel;
} tenon_quantize_options;

#define TENON_QUANTIZE_OPTIONS_INIT \
    {sizeof(tenon_quantize_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, 0, NULL}
void tenon_quantize_options_init(tenon_quantize_options *options, uint32_t struct_size);

/* What quantising did. */
typedef struct tenon_quantization tenon_quantization;

/* A convolution or product with known weights, or a sum, product, concatenation, pooling or function of one tensor between
 * such. Pointers are borrowed until release of the report. */
typedef struct tenon_quantized_layer {
    uint32_t struct_size;
    /* 1 when it computes with small integers now; else 0. */
    uint32_t is_quantized;
    /* The value that its operator makes. */
    const char *name;
    const char *op;
    /* Why it stays as it was; "" for others. */
    const char *reason;
    /* What quantising this layer alone adds to the outputs: the root of the summed squares of the differences, over that of the
     * summed squares of the outputs. NaN where it was not measured. */
    double error;
    /* By how much shorter a run is for this layer; below 0 where it is longer. NaN where it was not measured. */
    double gained_nanoseconds;
} tenon_quantized_layer;

#define TENON_QUANTIZED_LAYER_INIT {sizeof(tenon_quantized_layer), 0, NULL, NULL, NULL, 0, 0}
void tenon_quantized_layer_init(tenon_quantized_layer *layer, uint32_t struct_size);

typedef struct tenon_quantization_total {
    uint32_t struct_size;
    uint32_t reserved;
    /* The error that all quantised layers together add to the outputs; NaN without samples. */
    double error;
    /* Of one run; NaN where they were not measured. */
    double nanoseconds_before;
    double nanoseconds_after;
} tenon_quantization_total;

#define TENON_QUANTIZATION_TOTAL_INIT {sizeof(tenon_quantization_total), 0, 0, 0, 0}
void tenon_quantization_total_init(tenon_quantization_total *total, uint32_t struct_size);

/* Makes "main" compute with small integers: weights become i8, symmetric, and activations u8 or i8. The result is an ordinary
 * module, which tenon_module_save_onnx writes with QuantizeLinear and DequantizeLinear. `samples` are `sample_count` times
 * `input_count` dense tensors, borrowed for the call: those of the first sample in the order of the inputs, then those of the
 * next. Dynamic quantisation needs none, but only with samples there are errors, times and a tolerance. The report is
 * transferred; tenon_quantization_release; `quantization` may be NULL. A call that fails leaves the module as it was. Fails with
 * TENON_ERROR_INVALID_ARGUMENT for calibration without samples, for samples with NaN or infinities and for options out of range,
 * TENON_ERROR_INVALID_SHAPE and _INVALID_TYPE for samples that are no inputs of the module, TENON_ERROR_INVALID_STATE for a module that
 * is fused, TENON_ERROR_UNSUPPORTED for one without a layer to quantise, TENON_ERROR_NOT_FOUND for an unknown name in `excluded`, and
 * with what tenon_compile and tenon_run fail with. */
tenon_status tenon_module_quantize(
    tenon_module *module, const tenon_tensor *samples, size_t sample_count, size_t input_count,
    const tenon_quantize_options *options, tenon_quantization **quantization) TENON_CHECKED;

/* How many layers there are, in program order; 0 for NULL. */
size_t tenon_quantization_count(const tenon_quantization *quantization);

/* Fills in `layer`, whose struct_size the caller has set. Fails with TENON_ERROR_INVALID_ARGUMENT for an index out of range. */
tenon_status tenon_quantization_get(
    const tenon_quantization *quantization, size_t index, tenon_quantized_layer *layer) TENON_CHECKED;

/* Fills in `total`, whose struct_size the caller has set. Fails only for a NULL pointer. */
tenon_status tenon_quantization_get_total(
    const tenon_quantization *quantization, tenon_quantization_total *total) TENON_CHECKED;

void tenon_quantization_release(tenon_quantization *quantization);

/* ------------------------------------------------------------------------------------------ kernels of their own -- */

/* dst = relu(conv2d(src, weights) + bias), one oneDNN primitive. All tensors are f32, dense, row-major:
 * src [batch, in_channels, height, width], weights [out_channels, in_channels / groups, kernel_h, kernel_w],
 * bias [out_channels], dst [batch, out_channels, out_h, out_w] with
 * out_h = (height + pad_top + pad_bottom - (kernel_h - 1) * dilation_h - 1) / stride_h + 1, and out_w alike.
 * A dilation of 1 means none. Primitives are kept for the next call of the same geometry, up to a fixed number. Any
 * thread. Fails with TENON_ERROR_INVALID_ARGUMENT when a size is out of range, or with TENON_ERROR_BACKEND. */
tenon_status tenon_dnnl_fused_conv2d_bias_relu(
    const float *src, const float *weights, const float *bias, float *dst, int64_t batch, int64_t in_channels,
    int64_t height, int64_t width, int64_t out_channels, int64_t groups, int64_t pad_top, int64_t pad_left,
    int64_t pad_bottom, int64_t pad_right, int64_t kernel_h, int64_t kernel_w, int64_t stride_h, int64_t stride_w,
    int64_t dilation_h, int64_t dilation_w) TENON_CHECKED;

#ifdef __cplusplus
}
#endif

#endif /* TENON_H */
