/* SPDX-License-Identifier: Apache-2.0 */
/* shard: each rank keeps a part of the part that it has. */
#include "ir/ops/collective_util.h"
#include "ir/shard_index.h"
#include "ir/sharding_form.h"

struct take {
  struct shard_part from[IR_MAX_RANK], to[IR_MAX_RANK];
};

/* Where element `index` of the result is in the operand; false where this rank does not have it. */
static bool source(const struct take *t, const struct tensor *x, const int64_t *index,
                   int64_t *out_at) {
  int64_t at = 0, local;
  for (uint32_t d = 0; d < x->rank; d++) {
    if (!shard_part_local(&t->from[d], shard_part_global(&t->to[d], index[d]), &local))
      return false;
    at = at * x->dims[d] + local;
  }
  *out_at = at;
  return true;
}

/* Whether the rank is at place 0 of the axes over which the result is partial and the operand
 * whole.
 */
static bool keeps(const struct interp *in, const struct op *op) {
  const struct module *m = in->function->module;
  const struct mesh *mesh = in->rank->mesh;
  struct sharding rooms[2];
  struct axis_ref more[AXIS_REFS_ROOM];
  const struct sharding *from =
      sharding_get(m, value_type(in->function, op->operands[0])->sharding, 0, 0, &rooms[0]);
  const struct sharding *to =
      sharding_get(m, value_type(in->function, op->results[0])->sharding, 0, 0, &rooms[1]);
  uint32_t n = axis_refs_minus(mesh, to->partial.axes, to->partial.n_axes, from->partial.axes,
                               from->partial.n_axes, more);
  return axis_refs_coord(mesh, more, n, in->rank->coords) == 0;
}

static status eval(struct interp *in, const struct op *op) {
  const struct tensor *x = interp_operand(in, op, 0);
  struct take take;
  int64_t index[IR_MAX_RANK] = {0}, at;
  if (!in->rank)
    return interp_alias(in, op, 0, x);
  struct tensor *t = interp_result(in, op, 0);
  if (!t)
    return in->failure;
  for (uint32_t d = 0; d < x->rank; d++)
    if (!interp_part(in, op, op->operands[0], d, &take.from[d]) ||
        !interp_part(in, op, op->results[0], d, &take.to[d]))
      return in->failure;
  if (!keeps(in, op))
    return STATUS_OK;
  for (int64_t i = 0; i < t->count; i++, index_next(index, t->dims, t->rank)) {
    if (!source(&take, x, index, &at))
      return interp_fail(in, op, DIAG_E0620, "an element of the result is on another rank");
    t->i64[i] = x->i64[at];
  }
  return STATUS_OK;
}

const struct op_hooks shard_hooks = {
    .infer = collective_infer_types,
    .eval = eval,
};
