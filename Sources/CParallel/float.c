/* The floating-point environment of a thread: how it rounds, which exceptions trap, what becomes of denormal numbers. */
#include "CParallel.h"

#if defined(__x86_64__)
enum {
    MASKED = 0x1f80,     /* MXCSR: nearest, all exceptions masked, denormals kept */
    FLUSH = 0x8040,      /* flush to zero, and denormals are zeros */
    X87_NEAREST = 0x037f /* nearest, extended precision, all masked */
};

static uint32_t read_sse(void)
{
    uint32_t word;
    __asm__ volatile("stmxcsr %0" : "=m"(word));
    return word;
}

static void write_sse(uint32_t word) { __asm__ volatile("ldmxcsr %0" : : "m"(word)); }

static uint16_t read_x87(void)
{
    uint16_t word;
    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}

static void write_x87(uint16_t word) { __asm__ volatile("fldcw %0" : : "m"(word)); }

uint64_t tenon_parallel_enter_float(int32_t flush_denormals)
{
    uint32_t sse = read_sse();
    uint16_t x87 = read_x87();
    uint32_t wanted = MASKED | (flush_denormals ? FLUSH : 0);
    if (sse != wanted)
        write_sse(wanted);
    if (x87 != X87_NEAREST)
        write_x87(X87_NEAREST);
    return (uint64_t)x87 << 32 | sse;
}

void tenon_parallel_leave_float(uint64_t before)
{
    if (read_x87() != (uint16_t)(before >> 32))
        write_x87((uint16_t)(before >> 32));
    if (read_sse() != (uint32_t)before)
        write_sse((uint32_t)before);
}
#else
#include <fenv.h>

/* Elsewhere rounding and traps are set; denormals stay what they are. */
uint64_t tenon_parallel_enter_float(int32_t flush_denormals)
{
    (void)flush_denormals;
    int before = fegetround();
    if (before != FE_TONEAREST)
        fesetround(FE_TONEAREST);
    return (uint64_t)(uint32_t)before;
}

void tenon_parallel_leave_float(uint64_t before)
{
    if (fegetround() != (int)(uint32_t)before)
        fesetround((int)(uint32_t)before);
}
#endif
