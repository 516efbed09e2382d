/* SPDX-License-Identifier: Apache-2.0 */
/* part: this rank's part of a constant. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"
#include "ir/part_dims.h"
#include "ir/verify_module.h"

static bool same_shape(const struct module *m, const struct constant *c, const struct type *type) {
  bool same = c->dtype == type->dtype && c->rank == type->rank;
  for (uint32_t i = 0; same && i < c->rank; i++)
    same = dim_is_const_value(m->dims, type->dims[i], c->dims[i]);
  return same;
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  struct module *m = op->function->module;
  const struct part_attrs *a = VIEW_ATTRS(part, op);
  struct type local;
  if (a->value == CONSTANT_NONE || a->value >= m->constants.len)
    return op_refuse(why, "there is no constant %u", a->value);
  if (!a->whole || !same_shape(m, &m->constants.data[a->value], a->whole))
    return op_refuse(why, "'whole' is not the constant's type");
  if (!a->whole->sharding || !sharding_check(m, a->whole, why))
    return op_refuse(why, "'whole' has no sharding that fits");
  if (m->shardings.data[a->whole->sharding]->partial.kind)
    return op_refuse(why, "a constant is not partial");
  if (!type_local(m, a->whole, &local))
    return op_refuse(why, "the part's dims are no expressions");
  *out_n_types = 1;
  return op_make_type(why, m->dims, local.dtype, local.dims, local.rank, out_types);
}

static status eval(struct interp *in, const struct op *op) {
  const struct part_attrs *a = OP_ATTRS(part, op);
  if (!in->rank)
    return interp_fail(in, op, DIAG_E0622, "a part needs a rank of a mesh");
  return interp_constant(in, op, a->value, a->whole->sharding);
}

const struct op_hooks part_hooks = {
    .infer = infer,
    .eval = eval,
};
