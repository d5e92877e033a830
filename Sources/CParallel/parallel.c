#define _GNU_SOURCE

#include "CParallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The entry points of libgomp that compilers call, declared here because no omp.h comes with clang. */
extern void GOMP_parallel(void (*fn)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);
extern int omp_get_max_threads(void);
extern int omp_in_parallel(void);
extern void omp_set_num_threads(int threads);

struct loop {
    tenon_parallel_body body;
    void *context;
    long count;
};

static void run_piece(void *data)
{
    const struct loop *loop = data;
    /* The team may be smaller than asked for, so the pieces follow its real size. */
    long team = omp_get_num_threads();
    long index = omp_get_thread_num();
    long size = loop->count / team;
    long rest = loop->count % team;
    long begin = index * size + (index < rest ? index : rest);
    long end = begin + size + (index < rest ? 1 : 0);
    if (begin < end)
        loop->body(loop->context, begin, end);
}

void tenon_parallel_fork(int32_t threads, long count, tenon_parallel_body body, void *context)
{
    struct loop loop = {body, context, count};
    if (threads <= 1 || omp_in_parallel())
        body(context, 0, count);
    else
        GOMP_parallel(run_piece, &loop, (unsigned)threads, 0);
}

/* Threads that wait until all are there. */
struct probe {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    int done;
};

struct waiter {
    struct probe *probe;
    pthread_t thread;
    pid_t id;
};

static void *wait_for_end(void *data)
{
    struct waiter *waiter = data;
    struct probe *probe = waiter->probe;
    waiter->id = (pid_t)syscall(SYS_gettid);
    pthread_mutex_lock(&probe->mutex);
    while (!probe->done)
        pthread_cond_wait(&probe->condition, &probe->mutex);
    pthread_mutex_unlock(&probe->mutex);
    return NULL;
}

/* A thread that has been joined counts against the limit until the kernel has let it go: some microseconds. */
static void wait_until_gone(pid_t id)
{
    for (int turn = 0; turn < 1000; turn++) {
        if (syscall(SYS_tgkill, getpid(), id, 0) != 0)
            return;
        const struct timespec pause = {0, 50000};
        nanosleep(&pause, NULL);
    }
}

/* How many of `wanted` more threads can exist at once. */
static int32_t startable(int32_t wanted)
{
    struct probe probe = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    struct waiter *waiters = calloc(wanted > 0 ? (size_t)wanted : 1, sizeof *waiters);
    int32_t count = 0;
    if (!waiters)
        return 0;
    /* The host's signals are for the host's threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; count < wanted; count++) {
        waiters[count].probe = &probe;
        if (pthread_create(&waiters[count].thread, NULL, wait_for_end, &waiters[count]) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_lock(&probe.mutex);
    probe.done = 1;
    pthread_cond_broadcast(&probe.condition);
    pthread_mutex_unlock(&probe.mutex);
    for (int32_t i = 0; i < count; i++)
        pthread_join(waiters[i].thread, NULL);
    for (int32_t i = 0; i < count; i++)
        wait_until_gone(waiters[i].id);
    free(waiters);
    return count;
}

/* A run's team is a runner's thread and those that libgomp starts for it. */
int32_t tenon_parallel_probe(int32_t threads) { return startable(threads); }

static void do_nothing(void *data) { (void)data; }

int32_t tenon_parallel_make_team(int32_t threads)
{
    if (threads > 1) {
        int32_t others = startable(threads - 1);
        if (others < threads - 1)
            return others + 1;
    }
    omp_set_num_threads(threads);
    if (threads > 1)
        GOMP_parallel(do_nothing, NULL, (unsigned)threads, 0);
    return threads;
}

int32_t tenon_parallel_set_threads(int32_t threads)
{
    int32_t before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}

static _Thread_local int32_t is_inside;

int32_t tenon_parallel_is_inside(void) { return is_inside; }

int32_t tenon_parallel_set_inside(int32_t inside)
{
    int32_t before = is_inside;
    is_inside = inside;
    return before;
}

int32_t tenon_parallel_allowed_cpus(void)
{
    /* The kernel refuses a mask that is shorter than its own, so the mask grows until it fits. */
    for (int cpus = 1024; cpus <= 65536; cpus *= 4) {
        cpu_set_t *mask = CPU_ALLOC(cpus);
        if (!mask)
            break;
        size_t size = CPU_ALLOC_SIZE(cpus);
        CPU_ZERO_S(size, mask);
        int count = sched_getaffinity(0, size, mask) == 0 ? CPU_COUNT_S(size, mask) : 0;
        CPU_FREE(mask);
        if (count > 0)
            return count;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int32_t)online : 1;
}
