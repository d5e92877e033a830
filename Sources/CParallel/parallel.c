#define _GNU_SOURCE

#include "CParallel.h"

#include <sched.h>
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
