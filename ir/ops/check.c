/* SPDX-License-Identifier: Apache-2.0 */
/* check: a relation of dims that must hold at run time. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  (void)out_types;
  const struct check_attrs *a = VIEW_ATTRS(check, op);
  if (a->lhs == DIM_NONE || a->rhs == DIM_NONE)
    return op_refuse(why, "a side of the check is not an expression");
  *out_n_types = 0;
  return true;
}

static status eval(struct interp *in, const struct op *op) {
  const struct check_attrs *a = OP_ATTRS(check, op);
  int64_t sides[2];
  if (!interp_dims(in, op, (dim[]){a->lhs, a->rhs}, 2, sides))
    return in->failure;
  if (interp_relation(sides[0], a->relation, sides[1]))
    return STATUS_OK;
  return interp_fail(in, op, DIAG_E0613, "%s (%" PRId64 " %s %" PRId64 ")",
                     a->message ? a->message : "", sides[0],
                     keyword_text(KEYWORD_KIND_relation, (int)a->relation), sides[1]);
}

const struct op_hooks check_hooks = {
    .infer = infer,
    .eval = eval,
};
