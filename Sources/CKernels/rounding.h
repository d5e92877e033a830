// SPDX-License-Identifier: Apache-2.0
//
// How every kernel for small integers bounds and rounds, so that all give the same numbers.
#ifndef CKERNELS_ROUNDING_H
#define CKERNELS_ROUNDING_H

#include "levels.h"

#include <string.h>

// A product and a sum are rounded each, whatever the processor could do at once.
#pragma STDC FP_CONTRACT OFF

LOOP float bounded(float f, float low, float high) {
    f = f < low ? low : f;
    return f > high ? high : f;
}

// The nearest integer of a number between -2^22 and 2^22, halves to even.
LOOP int32_t whole(float f) {
    f += 12582912.0f;
    int32_t bits;
    memcpy(&bits, &f, 4);
    return bits - 0x4B400000;
}

#endif
