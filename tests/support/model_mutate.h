/* SPDX-License-Identifier: Apache-2.0 */
/* Changes a protobuf message here and there, by its descriptor: numbers, texts, bytes, and the
 * members of lists. What comes out is well-formed as protobuf and may be anything else. */
#ifndef SINTER_TESTS_SUPPORT_MODEL_MUTATE_H
#define SINTER_TESTS_SUPPORT_MODEL_MUTATE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

/* Unpacks `bytes`, makes `changes` changes drawn from `seed`, and packs; all in the arena. NULL if
 * the bytes cannot be unpacked. The same arguments give the same bytes. */
uint8_t *model_mutate(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t n,
                      uint64_t seed, uint32_t changes, struct arena *arena, size_t *out_n);

#endif
