/* SPDX-License-Identifier: Apache-2.0 */
/* const: a constant of the module as a value. */
#include "base/checked.h"
#include "ir/factor.h"
#include "ir/field.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"
#include "ir/shard_index.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct module *m = op->function->module;
  constant_id id = VIEW_ATTRS(const, op)->value;
  if (id == CONSTANT_NONE || id >= m->constants.len)
    return op_refuse(why, "there is no constant %u", id);
  const struct constant *c = &m->constants.data[id];
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < c->rank && i < IR_MAX_RANK; i++)
    dims[i] = dim_const(m->dims, c->dims[i]);
  *out_n_types = 1;
  return op_make_type(why, m->dims, c->dtype, dims, c->rank, out_types);
}

/* The whole constant; a rank keeps its part. */
static status eval(struct interp *in, const struct op *op) {
  const struct constant *c = &in->function->module->constants.data[OP_ATTRS(const, op)->value];
  uint64_t bytes;
  struct tensor *t = interp_tensor(in, op, c->dtype, c->dims, c->rank);
  if (!t)
    return in->failure;
  if (!shape_bytes(c->dims, c->rank, dtype_bits(c->dtype), &bytes) || bytes > c->bytes)
    return interp_fail(in, op, DIAG_E0622, "the data is shorter than the type");
  tensor_read_bytes(t, c->data);
  if (in->mode == INTERP_FIELD && dtype_is_float(t->dtype))
    for (int64_t i = 0; i < t->count; i++)
      t->i64[i] = field_from_f64(t->f64[i]);
  sharding_id split = value_type(in->function, op->results[0])->sharding;
  if (in->rank && split)
    t = shard_take(in->arena, in->rank->mesh, in->function->module->shardings.data[split],
                   in->rank->coords, t);
  interp_set_result(in, op, 0, t);
  return STATUS_OK;
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  factors_same_dims(f, op, UINT32_MAX, out);
}

const struct op_hooks const_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
