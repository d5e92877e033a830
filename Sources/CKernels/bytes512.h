// SPDX-License-Identifier: Apache-2.0
//
// The instructions for bytes in vectors of 512 bits. Tests on machines without them bring functions that do the same.
#ifndef CKERNELS_BYTES512_H
#define CKERNELS_BYTES512_H

#include <immintrin.h>

#ifdef TKERNEL_NARROW_HEADER
#include TKERNEL_NARROW_HEADER
#define VNNI
#else
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"), min_vector_width(512)))
#endif

#endif
