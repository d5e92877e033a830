// SPDX-License-Identifier: Apache-2.0
//
// Between floating-point numbers and integers: towards zero, bounds beyond the bounds, zero for NaN.
#include "levels.h"

#define FROM(real, integer, least, past, most) \
    LOOP void real##_to_##integer##_loop(int64_t count, const real *x, integer##_t *restrict y) { \
        for (int64_t i = 0; i < count; i++) { \
            const real v = x[i]; \
            const integer##_t whole = (integer##_t)(v > (real)(least) && v < (real)(past) ? v : (real)0); \
            y[i] = v >= (real)(past) ? (integer##_t)(most) : v <= (real)(least) ? (integer##_t)(least) : whole; \
        } \
    } \
    LEVELS(real##_to_##integer, real##_to_##integer##_loop, (int64_t count, const real *x, integer##_t *restrict y), \
           (count, x, y))
#define TO(real, integer) \
    LOOP void integer##_to_##real##_loop(int64_t count, const integer##_t *x, real *restrict y) { \
        for (int64_t i = 0; i < count; i++) y[i] = (real)x[i]; \
    } \
    LEVELS(integer##_to_##real, integer##_to_##real##_loop, (int64_t count, const integer##_t *x, real *restrict y), \
           (count, x, y))

// The number past each type's largest one, which floating-point numbers have.
#define BOTH(real) \
    FROM(real, int8, -128, 128, 127) TO(real, int8) FROM(real, uint8, 0, 256, 255) TO(real, uint8) \
    FROM(real, int16, -32768, 32768, 32767) TO(real, int16) FROM(real, uint16, 0, 65536, 65535) TO(real, uint16) \
    FROM(real, int32, INT32_MIN, 2147483648.0, INT32_MAX) TO(real, int32) \
    FROM(real, uint32, 0, 4294967296.0, UINT32_MAX) TO(real, uint32) \
    FROM(real, int64, INT64_MIN, 9223372036854775808.0, INT64_MAX) TO(real, int64) \
    FROM(real, uint64, 0, 18446744073709551616.0, UINT64_MAX) TO(real, uint64)
BOTH(float)
BOTH(double)

#define CASES(real) \
    case TKERNEL_S8: REAL(real, int8) break; \
    case TKERNEL_U8: REAL(real, uint8) break; \
    case TKERNEL_S16: REAL(real, int16) break; \
    case TKERNEL_U16: REAL(real, uint16) break; \
    case TKERNEL_S32: REAL(real, int32) break; \
    case TKERNEL_U32: REAL(real, uint32) break; \
    case TKERNEL_S64: REAL(real, int64) break; \
    case TKERNEL_U64: REAL(real, uint64) break; \
    default: break;

void tkernel_float_to_integer(int32_t kind, int64_t count, const float *source, void *target) {
    switch (kind) {
#define REAL(real, integer) real##_to_##integer(count, source, (integer##_t *)target);
        CASES(float)
    }
}

void tkernel_double_to_integer(int32_t kind, int64_t count, const double *source, void *target) {
    switch (kind) { CASES(double) }
#undef REAL
}

void tkernel_integer_to_float(int32_t kind, int64_t count, const void *source, float *target) {
    switch (kind) {
#define REAL(real, integer) integer##_to_##real(count, (const integer##_t *)source, target);
        CASES(float)
    }
}

void tkernel_integer_to_double(int32_t kind, int64_t count, const void *source, double *target) {
    switch (kind) { CASES(double) }
#undef REAL
}
