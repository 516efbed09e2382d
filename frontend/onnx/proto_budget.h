/* SPDX-License-Identifier: Apache-2.0 */
/* A ProtobufCAllocator with a ceiling: what protobuf-c may take for one message tree.
 *
 * The wire scan already estimates the tree; this is the second line. Exhaustion returns NULL,
 * which protobuf-c turns into a clean failure of the unpack, so no out-of-memory jump crosses its
 * frames; and no guard frees the tree: its owner does. */
#ifndef SINTER_FRONTEND_ONNX_PROTO_BUDGET_H
#define SINTER_FRONTEND_ONNX_PROTO_BUDGET_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

struct proto_budget {
  ProtobufCAllocator allocator; /* hand this to protobuf-c */
  uint64_t limit;               /* bytes */
  uint64_t used;
  uint64_t peak;
  bool exhausted; /* an allocation was refused for the limit */
  bool failed;    /* an allocation was refused by the system */
};

/* The budget must outlive all that was allocated through it, and must not move. */
void proto_budget_init(struct proto_budget *budget, uint64_t limit);

#endif
