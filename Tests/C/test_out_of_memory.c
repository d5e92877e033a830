/* The n-th allocation of a call fails, once or from then on: the call ends with a status, and no signal ends the process.
 * usage: test_out_of_memory FIXTURES [STEP]: each n is at least STEP percent above the one before. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static long failing = -1, count;
static int forever;

static int fails(void)
{
    if (failing < 0)
        return 0;
    long now = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    if (forever ? now < failing : now != failing)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t number, size_t size) { return fails() ? NULL : __libc_calloc(number, size); }
void *realloc(void *memory, size_t size) { return fails() ? NULL : __libc_realloc(memory, size); }
void *aligned_alloc(size_t alignment, size_t size) { return fails() ? NULL : __libc_memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (fails())
        return ENOMEM;
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

static char path[4096];
static int step = 60;
static const char *const stages[] = {"load", "optimize", "compile", "run"};

/* All four, one of them with failing allocations. */
static tenon_status work(int stage, long n)
{
    static float pixels[28 * 28];
    tenon_module *module = NULL;
    tenon_executable *executable = NULL;
    tenon_results *results = NULL;
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = 1;
    failing = stage == 0 ? n : -1;
    tenon_status status = tenon_module_load_onnx(path, NULL, &module);
    if (status == TENON_OK) {
        failing = stage == 1 ? n : -1;
        status = tenon_module_optimize(module, NULL);
    }
    if (status == TENON_OK) {
        failing = stage == 2 ? n : -1;
        status = tenon_compile(module, &options, &executable);
    }
    if (status == TENON_OK) {
        failing = -1;
        tenon_port port = TENON_PORT_INIT;
        status = tenon_executable_get_input(executable, 0, &port);
        int64_t shape[8];
        for (int32_t i = 0; i < port.rank && i < 8; i++)
            shape[i] = port.shape[i] < 0 ? 1 : port.shape[i];
        tenon_tensor in = TENON_TENSOR(TENON_F32, (uint32_t)port.rank, shape, pixels, sizeof pixels);
        failing = stage == 3 ? n : -1;
        if (status == TENON_OK)
            status = tenon_run_new(executable, &in, 1, NULL, &results);
    }
    failing = -1;
    tenon_results_release(results);
    tenon_executable_release(executable);
    tenon_module_release(module);
    return status;
}

static void every_stage(int mode)
{
    /* What is made once in a process is there before. */
    assert_int_equal(work(-1, 0), TENON_OK);
    for (int stage = 0; stage < 4; stage++) {
        /* oneDNN builds objects in memory that it does not look at: nothing is promised while it creates a primitive, nor
         * when it has no memory at all. */
        if (stage == 2 || (mode && stage == 3))
            continue;
        int survived = 0;
        for (long n = 1; n < 1000000 && survived < 2; n += 1 + n * step / 100) {
            int status = 0;
            pid_t process = fork();
            if (process == 0) {
                struct rlimit none = {0, 0};
                setrlimit(RLIMIT_CORE, &none);
                alarm(60);
                /* cmocka would catch what is looked for. */
                const int signals[] = {SIGSEGV, SIGILL, SIGABRT, SIGBUS, SIGFPE};
                for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
                    signal(signals[i], SIG_DFL);
                forever = mode;
                tenon_status result = work(stage, n);
                /* Memory is back: everything works again. */
                if (work(-1, 0) != TENON_OK)
                    _exit(9);
                _exit(result == TENON_OK ? 0 : result == TENON_ERROR_OUT_OF_MEMORY ? 1 : 2);
            }
            assert_int_equal(waitpid(process, &status, 0), process);
            if (WIFSIGNALED(status) || WEXITSTATUS(status) > 2)
                print_error("%s, allocation %ld%s: %s %d\n", stages[stage], n, mode ? " and all after it" : "",
                    WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            assert_true(WIFEXITED(status));
            assert_true(WEXITSTATUS(status) <= 2);
            survived = WEXITSTATUS(status) == 0 ? survived + 1 : 0;
        }
    }
}

static void one_allocation_fails(void **state)
{
    (void)state;
    every_stage(0);
}

static void all_fail_from_one_on(void **state)
{
    (void)state;
    every_stage(1);
}

int main(int number, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_allocation_fails), cmocka_unit_test(all_fail_from_one_on),
    };
    snprintf(path, sizeof path, "%s/digits/digits.onnx", number > 1 ? arguments[1] : "Tests/Fixtures");
    if (number > 2)
        step = atoi(arguments[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
