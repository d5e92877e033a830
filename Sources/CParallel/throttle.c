#define _GNU_SOURCE

#include "CParallel.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* libgomp lets a thread that waits spin for 300,000 rounds, some milliseconds, unless it has more threads than there are CPUs:
 * then for 100. While others need the CPUs, the long kind takes them from the very thread that is waited for; while nobody
 * does, the short kind costs up to a sixth of the time of networks with many small layers. How long it spins is read from the
 * environment while libgomp is loaded, which is too early for a library that must leave the environment of its host alone;
 * how many threads it has is counted all the time. So, while a machine is busy, there is one team here that does nothing but
 * sleep, of as many threads as there are CPUs, and with the team that works there are more. */

extern void GOMP_parallel(void (*fn)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_num_procs(void);

enum {
    /* More threads than so many are not started for this. */
    most_sleepers = 256,
    /* So much running is looked at before anything is decided. */
    window_milliseconds = 40,
    /* Of its time on a processor: a thread that nobody disturbs loses it a few times in a second; one that competes, with every
     * time slice. */
    busy_preemptions_per_second = 25,
    first_hold_seconds = 2,
    longest_hold_seconds = 32,
};

void tenon_parallel_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

static void nothing(void *data) { (void)data; }

/* 1 while there is a sleeping team. A forked child has none, but what libgomp counts is copied, so it stays as it was. */
static atomic_int is_throttled;
/* Seconds; 0 for ever. */
static atomic_int hold;
static atomic_llong last_end;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void *sleep_a_while(void *data)
{
    (void)data;
    tenon_parallel_name_thread("tenon-idle");
    const int cpus = omp_get_num_procs();
    /* libgomp ends the process when it cannot start a thread. */
    if (tenon_parallel_probe(cpus - 1) < cpus - 1) {
        atomic_store(&last_end, now());
        atomic_store(&is_throttled, 0);
        return NULL;
    }
    GOMP_parallel(nothing, NULL, (unsigned)cpus, 0);
    const int seconds = atomic_load(&hold);
    if (seconds == 0)
        for (;;)
            pause();
    struct timespec rest = {seconds, 0};
    while (nanosleep(&rest, &rest) != 0)
        ;
    atomic_store(&last_end, now());
    atomic_store(&is_throttled, 0);
    /* The team ends with this thread. */
    return NULL;
}

int32_t tenon_parallel_spins_by_environment(void)
{
    return getenv("GOMP_SPINCOUNT") != NULL || getenv("OMP_WAIT_POLICY") != NULL;
}

static int32_t throttle(int seconds)
{
    const int cpus = omp_get_num_procs();
    if (tenon_parallel_spins_by_environment() || cpus < 1 || cpus > most_sleepers)
        return 0;
    if (atomic_exchange(&is_throttled, 1))
        return 1;
    atomic_store(&hold, seconds);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const int status = pthread_create(&thread, NULL, sleep_a_while, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0) {
        atomic_store(&is_throttled, 0);
        return 0;
    }
    pthread_detach(thread);
    return 1;
}

int32_t tenon_parallel_throttle(void) { return throttle(0); }

int32_t tenon_parallel_is_throttled(void) { return atomic_load(&is_throttled); }

struct tenon_parallel_use tenon_parallel_use_now(void)
{
    struct tenon_parallel_use use = {now(), 0, 0};
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage) == 0) {
        use.processor = ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000
            + ((int64_t)usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
        use.preemptions = usage.ru_nivcsw;
    }
    return use;
}

static atomic_llong seen_time, seen_processor, seen_preemptions;

void tenon_parallel_note_run(struct tenon_parallel_use before)
{
    if (atomic_load(&is_throttled))
        return;
    const struct tenon_parallel_use after = tenon_parallel_use_now();
    /* Runs of several threads are added up; what two of them lose to each other here does not matter. */
    const int64_t spent = after.time - before.time, used = after.processor - before.processor;
    const int64_t lost = after.preemptions - before.preemptions;
    const int64_t time = atomic_fetch_add(&seen_time, spent) + spent;
    const int64_t processor = atomic_fetch_add(&seen_processor, used) + used;
    const int64_t preemptions = atomic_fetch_add(&seen_preemptions, lost) + lost;
    if (time < (int64_t)window_milliseconds * 1000000)
        return;
    atomic_store(&seen_time, 0);
    atomic_store(&seen_processor, 0);
    atomic_store(&seen_preemptions, 0);
    if (preemptions < 2 || preemptions * INT64_C(1000000000) < busy_preemptions_per_second * processor)
        return;
    /* A machine that is still busy when it is looked at again is left alone for longer. */
    const int held = atomic_load(&hold);
    const int again = held > 0 && now() - atomic_load(&last_end) < INT64_C(1000000000);
    const int next = again ? 2 * held : first_hold_seconds;
    (void)throttle(next < longest_hold_seconds ? next : longest_hold_seconds);
}
