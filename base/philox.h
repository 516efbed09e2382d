/* SPDX-License-Identifier: Apache-2.0 */
/* Philox 4x32-10, a counter-based generator: a bijection of 128-bit counters keyed by 64 bits, so
 * that element e of a tensor is a function of (e, seed) alone, in any order and on any device.
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
 * Our counter is (e low, e high, 0, 0), the key (seed low, seed high). Pure functions. */
#ifndef SINTER_BASE_PHILOX_H
#define SINTER_BASE_PHILOX_H

#include <math.h>
#include <stdint.h>

#include "base/dtype.h"

#define PHILOX_MULTIPLIER_0 0xD2511F53u
#define PHILOX_MULTIPLIER_1 0xCD9E8D57u
#define PHILOX_WEYL_0 0x9E3779B9u
#define PHILOX_WEYL_1 0xBB67AE85u
#define PHILOX_ROUNDS 10

/* The general form: `words` is the counter and becomes the output. */
static inline void philox_rounds(uint32_t words[4], uint32_t key0, uint32_t key1) {
  for (int i = 0; i < PHILOX_ROUNDS; i++) {
    uint64_t p0 = (uint64_t)PHILOX_MULTIPLIER_0 * words[0];
    uint64_t p1 = (uint64_t)PHILOX_MULTIPLIER_1 * words[2];
    uint32_t w0 = (uint32_t)(p1 >> 32) ^ words[1] ^ key0;
    uint32_t w2 = (uint32_t)(p0 >> 32) ^ words[3] ^ key1;
    words[0] = w0;
    words[1] = (uint32_t)p1;
    words[2] = w2;
    words[3] = (uint32_t)p0;
    key0 += PHILOX_WEYL_0;
    key1 += PHILOX_WEYL_1;
  }
}

static inline void philox_4x32_10(uint64_t counter, uint64_t key, uint32_t out_words[4]) {
  out_words[0] = (uint32_t)counter;
  out_words[1] = (uint32_t)(counter >> 32);
  out_words[2] = out_words[3] = 0;
  philox_rounds(out_words, (uint32_t)key, (uint32_t)(key >> 32));
}

/* Significant bits of a uniform number of the dtype: with more, rounding could give 1. */
static inline unsigned philox_uniform_bits(enum dtype dtype) {
  switch (dtype) {
  case DTYPE_F64: return 53;
  case DTYPE_F32: return 24;
  case DTYPE_F16: return 11;
  case DTYPE_BF16: return 8;
  case DTYPE_F8E4M3FN:
  case DTYPE_F8E4M3FNUZ: return 4;
  case DTYPE_F8E5M2:
  case DTYPE_F8E5M2FNUZ: return 3;
  default: return 1;
  }
}

/* In [0, 1), a multiple of 2^-bits, 1 <= bits <= 53: the top bits of words 0 and 1, word 0 first. A
 * format with that many significant bits holds it exactly. */
static inline double philox_uniform(const uint32_t words[4], unsigned bits) {
  uint64_t both = (uint64_t)words[0] << 32 | words[1];
  return ldexp((double)(both >> (64 - bits)), -(int)bits);
}

/* Mean 0, deviation 1, by Box and Muller: u = (word 0 + 1/2) / 2^32 gives the radius, word 1 / 2^32
 * of a turn the angle, and the cosine is taken. */
static inline double philox_normal(const uint32_t words[4]) {
  double u = ((double)words[0] + 0.5) * 0x1p-32;
  double turn = (double)words[1] * 0x1p-32;
  return sqrt(-2 * log(u)) * cos(6.283185307179586476925 * turn);
}

#endif
