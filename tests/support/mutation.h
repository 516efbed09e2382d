/* SPDX-License-Identifier: Apache-2.0 */
/* What those that change messages at random share: draws from a seed, and protobuf in an arena. */
#ifndef SINTER_TESTS_SUPPORT_MUTATION_H
#define SINTER_TESTS_SUPPORT_MUTATION_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"

/* A number below n; *state is never 0. */
static inline uint64_t mutation_draw(uint64_t *state, uint64_t n) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return (*state >> 20) % n;
}

/* The state that draws begin with. */
static inline uint64_t mutation_seed(uint64_t seed) {
  uint64_t state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
  for (int i = 0; i < 8; i++)
    mutation_draw(&state, 1);
  return state;
}

static inline void *mutation_take(void *arena, size_t size) { return arena_alloc(arena, size); }
static inline void mutation_leave(void *arena, void *block) { (void)arena, (void)block; }

static inline ProtobufCAllocator mutation_allocator(struct arena *arena) {
  return (ProtobufCAllocator){mutation_take, mutation_leave, arena};
}

#endif
