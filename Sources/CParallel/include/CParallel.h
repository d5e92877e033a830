#ifndef CPARALLEL_H
#define CPARALLEL_H

#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

/* A piece of a loop: the indices from begin up to but not including end. */
typedef void (*tenon_parallel_body)(void *_Nullable context, long begin, long end);

/* Runs `body` over [0, count) in `threads` pieces on the OpenMP team of the calling thread, which oneDNN uses too. Returns
   when every piece is done. Inside a parallel region everything runs on the calling thread. */
void tenon_parallel_fork(int32_t threads, long count, tenon_parallel_body body, void *_Nullable context);

/* Sets how many threads OpenMP uses for what the calling thread starts; returns the number before. */
int32_t tenon_parallel_set_threads(int32_t threads);

/* The processor's flag for invalid operations: it goes up when one makes a NaN, and when a maximum, a minimum or an ordered
   comparison meets one. tenon_parallel_clear_invalid lowers it on the team of the calling thread and returns what is to be handed
   to tenon_parallel_take_invalid, which says whether it is up on any thread of the team and leaves the caller's as it was before,
   or up. Processors without such a flag never report it. */
uint32_t tenon_parallel_clear_invalid(int32_t threads);
int32_t tenon_parallel_take_invalid(int32_t threads, uint32_t before);

/* Raises the flag of the calling thread when one of the numbers is the lowest finite one. */
void tenon_parallel_flag_lowest(const float *values, long count);

/* Whether the calling thread is inside a run; tenon_parallel_set_inside returns what it was before. */
int32_t tenon_parallel_is_inside(void);
int32_t tenon_parallel_set_inside(int32_t inside);

/* How many threads of a run of `threads` the process could start now, at most `threads`: as many are started and ended.
   libgomp ends the process when it cannot start one. */
int32_t tenon_parallel_probe(int32_t threads);

/* Makes the OpenMP team of the calling thread, so that nothing it runs later starts another thread. Returns `threads`, or
   fewer, with no team made, when the process may not start as many. */
int32_t tenon_parallel_make_team(int32_t threads);

/* Lets the calling thread round to nearest with all exceptions masked; denormal numbers count as 0 if `flush_denormals`.
   Returns the environment before, for tenon_parallel_leave_float, which brings it back to the bit. */
uint64_t tenon_parallel_enter_float(int32_t flush_denormals);
void tenon_parallel_leave_float(uint64_t before);

/* How many CPUs the affinity mask of the calling thread allows; at least 1. */
int32_t tenon_parallel_allowed_cpus(void);

/* Lets threads of OpenMP that wait sleep after a few microseconds, unless the environment says how long they shall spin. For the
   whole process, and for good. Returns whether they do. */
int32_t tenon_parallel_throttle(void);

/* Where a thread stands: the time, its time on a processor, and how often it has lost that although it could have gone on. */
struct tenon_parallel_use {
    int64_t time;
    int64_t processor;
    int64_t preemptions;
};
struct tenon_parallel_use tenon_parallel_use_now(void);

/* Told how the calling thread stood before a run that has ended now: when runs show that others need the CPUs, threads of OpenMP
   that wait sleep after a few microseconds for some seconds. */
void tenon_parallel_note_run(struct tenon_parallel_use before);

/* Whether threads that wait sleep early now. */
int32_t tenon_parallel_is_throttled(void);

/* Names the calling thread, as tools list it; at most 15 letters. */
void tenon_parallel_name_thread(const char *name);

/* Whether the environment says how long threads of OpenMP spin. */
int32_t tenon_parallel_spins_by_environment(void);

/* Name of instruction set `index` of those that the processor has and that matter here; NULL outside of the count. */
const char *_Nullable tenon_parallel_cpu_feature(int32_t index);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
