#include "CParallel.h"

#include <float.h>
#include <stdatomic.h>
#include <stddef.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

extern void GOMP_parallel(void (*fn)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_in_parallel(void);

enum { INVALID = 1 };

static void lower(void *unused)
{
    (void)unused;
    _mm_setcsr(_mm_getcsr() & ~(unsigned)INVALID);
}

static void collect(void *seen)
{
    if (_mm_getcsr() & INVALID)
        atomic_store_explicit((atomic_int *)seen, 1, memory_order_relaxed);
}

static void on_team(int32_t threads, void (*body)(void *), void *data)
{
    if (threads <= 1 || omp_in_parallel())
        body(data);
    else
        GOMP_parallel(body, data, (unsigned)threads, 0);
}

uint32_t tenon_parallel_clear_invalid(int32_t threads)
{
    uint32_t before = _mm_getcsr() & INVALID;
    on_team(threads, lower, NULL);
    return before;
}

int32_t tenon_parallel_take_invalid(int32_t threads, uint32_t before)
{
    atomic_int seen = 0;
    on_team(threads, collect, &seen);
    _mm_setcsr(_mm_getcsr() | before);
    return atomic_load_explicit(&seen, memory_order_relaxed);
}

static void raise_flag(void) { _mm_setcsr(_mm_getcsr() | INVALID); }

#else

uint32_t tenon_parallel_clear_invalid(int32_t threads)
{
    (void)threads;
    return 0;
}

int32_t tenon_parallel_take_invalid(int32_t threads, uint32_t before)
{
    (void)threads, (void)before;
    return 0;
}

static void raise_flag(void) {}

#endif

void tenon_parallel_flag_lowest(const float *values, long count)
{
    int found = 0;
    for (long i = 0; i < count; i++)
        found |= values[i] == -FLT_MAX;
    if (found)
        raise_flag();
}
