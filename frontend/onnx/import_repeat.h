/* SPDX-License-Identifier: Apache-2.0 */
/* The `loop` that Loop, Scan, recurrent networks and SequenceMap become: the dims of what it
 * carries are those that it starts with, where its body keeps them. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_REPEAT_H
#define SINTER_FRONTEND_ONNX_IMPORT_REPEAT_H

#include "frontend/onnx/import_node.h"

struct repeat;
/* Builds one iteration where n->b is: out[0] is whether to go on, then what is carried, then what
 * is stacked. Returns false if it failed, which was reported. */
typedef bool repeat_fn(struct repeat *l, value_id iteration, const value_id *carried,
                       value_id *out);
struct repeat {
  struct import_node *n;
  repeat_fn *step;
  void *user;
  value_id most, go_on; /* i64 [], bool [] */
  dim trips;            /* how often it runs if nothing ends it early; DIM_NONE: not known */
  const value_id *initial;
  uint32_t carried, stacked;
  struct type *params; /* types in the body */
  uint32_t changing;   /* dims of params that are symbols of the body */
  bool rank_changes;   /* out: nothing was built, since the rank of a carried value changes */
};

/* A loop that runs so often, whatever its body does. */
void import_repeat_times(struct repeat *l, dim trips);

/* Builds the loop; out_results receives what was carried, then the stacks. False if it failed or
 * the rank of a carried value changes. */
bool import_repeat(struct repeat *l, value_id *out_results);

/* import_loop.c: SequenceMap over sequences whose length a run decides. */
void import_map_by_loop(struct import_node *n, const Onnx__GraphProto *body);

/* ---- regions, for all control flow ---- */

/* Whether a dim mentions a symbol that was made after the first `symbols`. */
bool import_dim_is_local(struct import_node *n, dim d, uint32_t symbols);
void import_region_results(struct import_node *n, region_id r, const value_id *ids, uint32_t len);
void import_region_discard(struct function *f, region_id r);

#endif
