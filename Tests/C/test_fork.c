/* Forks amid threads that load, compile, run and release: the parent goes on, and every child runs and compiles.
 * usage: test_fork FIXTURES [FORKS] */
#define _GNU_SOURCE
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *path;
static int forks = 60;
static volatile int stop;
static float pixels[28 * 28], scores[10];

static tenon_executable *load(uint32_t threads)
{
    tenon_module *module = NULL;
    tenon_executable *executable = NULL;
    tenon_executable_options options = TENON_EXECUTABLE_OPTIONS_INIT;
    options.threads = threads;
    tenon_onnx_options reading = TENON_ONNX_OPTIONS_INIT;
    const char *names[] = {"batch", "N", "n"};
    const int64_t sizes[] = {1, 1, 1};
    reading.dimension_names = names;
    reading.dimension_values = sizes;
    reading.dimension_count = 3;
    if (tenon_module_load_onnx(path, &reading, &module) == TENON_OK && tenon_module_optimize(module, NULL) == TENON_OK
        && tenon_compile(module, &options, &executable) != TENON_OK)
        executable = NULL;
    tenon_module_release(module);
    return executable;
}

static tenon_status run(const tenon_executable *executable, float *result)
{
    tenon_port port = TENON_PORT_INIT;
    tenon_results *results = NULL;
    tenon_tensor out = TENON_TENSOR_INIT;
    tenon_status status = tenon_executable_get_input(executable, 0, &port);
    if (status != TENON_OK)
        return status;
    int64_t shape[8];
    for (int32_t i = 0; i < port.rank; i++)
        shape[i] = port.shape[i] < 0 ? 1 : port.shape[i];
    tenon_tensor in = TENON_TENSOR(TENON_F32, (uint32_t)port.rank, shape, pixels, sizeof pixels);
    status = tenon_run_new(executable, &in, 1, NULL, &results);
    if (status == TENON_OK)
        status = tenon_results_get(results, 0, &out);
    if (status == TENON_OK)
        memcpy(result, out.data, sizeof scores);
    tenon_results_release(results);
    return status;
}

static void *runs(void *executable)
{
    float result[10];
    while (!stop)
        if (run(executable, result) != TENON_OK)
            return "run failed";
    return NULL;
}

static void *compiles(void *threads)
{
    float result[10];
    while (!stop) {
        tenon_executable *executable = load(threads ? 2 : 1);
        tenon_status status = executable ? run(executable, result) : TENON_ERROR_INTERNAL;
        tenon_executable_release(executable);
        if (status != TENON_OK)
            return "load, compile or run failed";
    }
    return NULL;
}

static int is_right(const tenon_executable *executable)
{
    float result[10];
    if (!executable || run(executable, result) != TENON_OK)
        return 0;
    for (int i = 0; i < 10; i++)
        if (!(result[i] - scores[i] < 1e-3f && scores[i] - result[i] < 1e-3f))
            return 0;
    return 1;
}

static int child(tenon_executable *shared[2], int number)
{
    alarm(60);
    if (!is_right(shared[number % 2]))
        return 1;
    if (number % 3 == 0) {
        tenon_executable *fresh = load(1 + (uint32_t)number % 2);
        int right = is_right(fresh);
        tenon_executable_release(fresh);
        if (!right)
            return 2;
    }
    /* A child of the child. */
    if (number % 5 == 0) {
        int status;
        pid_t other = fork();
        if (other == 0)
            _exit(is_right(shared[number % 2]) ? 0 : 1);
        if (waitpid(other, &status, 0) != other || status != 0)
            return 3;
    }
    if (number % 4 == 0) {
        tenon_executable_release(shared[0]);
        tenon_executable_release(shared[1]);
    }
    return 0;
}

static void forks_amid_threads(void **state)
{
    (void)state;
    tenon_executable *shared[2] = {load(1), load(2)};
    assert_non_null(shared[0]);
    assert_non_null(shared[1]);
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)(i * 37 % 101) / 101;
    assert_ok(run(shared[0], scores));
    /* What is made once in a process is made before the first fork: locks of the Swift runtime are not ours to hold. */
    tenon_executable_release(load(2));
    pthread_t threads[4];
    assert_int_equal(pthread_create(&threads[0], NULL, runs, shared[0]), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, runs, shared[1]), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, compiles, NULL), 0);
    assert_int_equal(pthread_create(&threads[3], NULL, compiles, "two"), 0);
    for (int i = 0; i < forks; i++) {
        int status = 0;
        /* The parent must not hang either, however many there are. */
        alarm(120);
        usleep((useconds_t)(i % 7) * 1000);
        pid_t process = fork();
        if (process == 0)
            _exit(child(shared, i));
        assert_true(process > 0);
        assert_int_equal(waitpid(process, &status, 0), process);
        if (status != 0)
            print_error("child %d: %s %d\n", i, WIFSIGNALED(status) ? "signal" : "exit",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        assert_int_equal(status, 0);
    }
    stop = 1;
    for (int i = 0; i < 4; i++) {
        void *failure;
        pthread_join(threads[i], &failure);
        if (failure)
            print_error("thread %d: %s\n", i, (const char *)failure);
        assert_null(failure);
    }
    alarm(0);
    tenon_executable_release(shared[0]);
    tenon_executable_release(shared[1]);
}

int main(int count, char **arguments)
{
    static char buffer[4096];
    const struct CMUnitTest tests[] = {cmocka_unit_test(forks_amid_threads)};
    snprintf(buffer, sizeof buffer, "%s/digits/digits.onnx", count > 1 ? arguments[1] : "Tests/Fixtures");
    path = buffer;
    if (count > 2)
        forks = atoi(arguments[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
