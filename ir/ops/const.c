/* SPDX-License-Identifier: Apache-2.0 */
/* const: a constant of the module as a value. */
#include "ir/factor.h"
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

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

static status eval(struct interp *in, const struct op *op) {
  return interp_constant(in, op, OP_ATTRS(const, op)->value,
                         value_type(in->function, op->results[0])->sharding);
}

static void factors(const struct function *f, const struct op *op, struct factor_list *out) {
  factors_same_dims(f, op, UINT32_MAX, out);
}

const struct op_hooks const_hooks = {
    .infer = infer,
    .eval = eval,
    .factors = factors,
};
