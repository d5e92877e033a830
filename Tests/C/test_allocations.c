/* A run with fixed shapes takes no memory from the heap. Counts calls of the C library's allocator in the whole process, but
 * not those by C++'s operator new: oneDNN fills small tables for every primitive that it executes. */
#define _GNU_SOURCE
#include "support.h"

#include <dlfcn.h>
#include <errno.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static long allocations;

static void count(const void *caller)
{
    static __thread int inside;
    Dl_info where;
    if (inside)
        return;
    inside = 1;
    if (dladdr(caller, &where) == 0 || strstr(where.dli_fname, "libstdc++") == NULL)
        __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    inside = 0;
}

void *malloc(size_t size)
{
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_realloc(memory, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    count(__builtin_return_address(0));
    *memory = __libc_memalign(alignment, size);
    return *memory == NULL ? ENOMEM : 0;
}

static long allocations_of_runs(const tenon_module *module, uint32_t flags, const tenon_run_options *run_options)
{
    static float x[3 * 6 * 6], y[4 * 6 * 6];
    const int64_t in_shape[] = {1, 3, 6, 6}, out_shape[] = {1, 4, 6, 6};
    const tenon_tensor in = TENON_TENSOR(TENON_F32, 4, in_shape, x, sizeof x);
    const tenon_tensor out = TENON_TENSOR(TENON_F32, 4, out_shape, y, sizeof y);
    tenon_executable *executable = NULL;
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = 1;
    options.flags = flags;
    assert_ok(tenon_compile(module, &options, &executable));
    for (int i = 0; i < 10; i++)
        assert_ok(tenon_run(executable, &in, 1, &out, 1, run_options));
    const long before = __atomic_load_n(&allocations, __ATOMIC_RELAXED);
    for (int i = 0; i < 100; i++)
        assert_ok(tenon_run(executable, &in, 1, &out, 1, run_options));
    const long after = __atomic_load_n(&allocations, __ATOMIC_RELAXED);
    tenon_executable_release(executable);
    return after - before;
}

static void runs_allocate_nothing(void **state)
{
    (void)state;
    tenon_module *module = support_conv_bias_relu();
    assert_true(allocations > 0);
    assert_int_equal(allocations_of_runs(module, TENON_COMPILE_UNOPTIMIZED, NULL), 0);
    assert_ok(tenon_module_optimize(module, NULL));
    assert_int_equal(allocations_of_runs(module, 0, NULL), 0);
    assert_int_equal(allocations_of_runs(module, TENON_COMPILE_REFERENCE, NULL), 0);
    tenon_cancel_token *token = NULL;
    assert_ok(tenon_cancel_token_create(&token));
    tenon_run_options options = TENON_RUN_OPTIONS_INIT;
    options.cancel = token;
    options.timeout_nanoseconds = 60u * 1000000000ull;
    assert_int_equal(allocations_of_runs(module, 0, &options), 0);
    tenon_cancel_token_release(token);
    tenon_module_release(module);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs_allocate_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
