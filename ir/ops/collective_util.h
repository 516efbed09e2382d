/* SPDX-License-Identifier: Apache-2.0 */
/* What the collectives share. */
#ifndef SINTER_IR_OPS_COLLECTIVE_UTIL_H
#define SINTER_IR_OPS_COLLECTIVE_UTIL_H

#include "ir/interp.h"
#include "ir/ops/op_util.h"
#include "ir/sharding.h"

/* What the attributes of every collective but `shard` begin with. */
struct collective_attrs {
  struct ints axes, parts;
};

/* The axes that a collective acts along. Returns how many. */
uint32_t collective_axes(const struct op *op, struct axis_ref out[MESH_MAX_AXES]);
/* The results are of the operands' types; axes and parts are in order. */
bool collective_infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                      uint32_t *out_n_types);
/* The same without axes. */
bool collective_infer_types(const struct op_view *op, struct strbuf *why, struct type *out_types,
                            uint32_t *out_n_types);
/* Dim d of operand 0 exists. */
bool collective_check_dim(const struct op_view *op, struct strbuf *why, int64_t d);
/* Hands over to the ranks in lock-step (ir/interp_spmd.h). */
status collective_eval(struct interp *in, const struct op *op);

#endif
