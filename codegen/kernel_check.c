/* SPDX-License-Identifier: Apache-2.0 */
/* One walk over a function's ops, each by its region. */
#include "codegen/kernel_check.h"

/* Ops that a schedule computes as a whole: no element of theirs can be had on its own. */
static bool is_whole(enum op_kind kind) {
  switch (kind) {
  case OP_SCAN:
  case OP_SCATTER:
  case OP_UPDATE:
  case OP_TOPK:
  case OP_NONZERO:
  case OP_UNIQUE:
  case OP_NMS: return true;
  default: return false;
  }
}

static bool may_be_step(enum op_kind kind) {
  switch (kind) {
  case OP_CONST:
  case OP_PART:
  case OP_EXCHANGE:
  case OP_HOST:
  case OP_FUSED:
  case OP_RESHAPE:
  case OP_SYMBOL:
  case OP_CHECK:
  case OP_IF:
  case OP_LOOP: return true;
  default: return false;
  }
}

static status refuse(const struct function *f, const struct op *op, struct diags *diags,
                     const char *why) {
  struct diag_where where = module_where(f->module, op->provenance);
  return diag_report(diags, DIAG_E0301, &where, "pass 'fuse' makes kernels of ops",
                     "'%s' in @%s %s", op_infos[op->kind].name, f->name, why);
}

static status check_inner(const struct function *f, const struct op *op, region_id region,
                          struct diags *diags) {
  bool constant = op->kind == OP_CONST || op->kind == OP_PART;
  bool across = op_infos[op->kind].flags & (OP_FLAG_RANKS | OP_FLAG_MESH);
  if (constant || (!across && (op->kind == OP_RESHAPE || !may_be_step(op->kind)))) {
    for (uint32_t i = 0; i < op->n_operands; i++)
      if (function_value(f, op->operands[i])->region != region)
        return refuse(f, op, diags, "reads a value from outside of its kernel");
    return STATUS_OK;
  }
  return refuse(f, op, diags, "cannot be part of a kernel");
}

/* Counts the ops of the class, and finds those that another class would need. */
static status check_fused(const struct function *f, const struct op *fused, struct diags *diags) {
  const struct region *r = &f->regions.data[fused->regions[0]];
  enum op_kind wanted = root_kind_op(OP_ATTRS(fused, fused)->root);
  uint32_t found = 0;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    status s = check_inner(f, op, fused->regions[0], diags);
    if (s)
      return s;
    found += op->kind == wanted;
    if (is_whole(op->kind) && (op->kind != wanted || found > 1))
      return refuse(f, op, diags, "has to be the root of a kernel of its own");
  }
  if (wanted != OP_NONE && !found)
    return refuse(f, fused, diags, "does not hold the op that its class is named after");
  for (uint32_t i = 0; i < r->results.len; i++) {
    const struct op *def = value_def(f, r->results.data[i]);
    if (function_value(f, r->results.data[i])->region != fused->regions[0])
      return refuse(f, fused, diags, "gives a value from outside of it");
    if (is_whole(wanted) && (!def || def->kind != wanted))
      return refuse(f, fused, diags, "gives another value than its root's results");
  }
  return STATUS_OK;
}

/* Whether a region is that of a kernel, or inside of one. */
static bool in_kernel(const struct function *f, region_id region) {
  for (op_id parent; (parent = f->regions.data[region].parent) != OP_ID_NONE;
       region = function_op(f, parent)->parent)
    if (function_op(f, parent)->kind == OP_FUSED)
      return true;
  return false;
}

status kernel_check(const struct function *f, struct diags *diags) {
  for (op_id id = 1; id < f->ops.len; id++) {
    const struct op *op = function_op(f, id);
    if (op->kind == OP_NONE || in_kernel(f, op->parent))
      continue;
    status s = may_be_step(op->kind) ? STATUS_OK : refuse(f, op, diags, "is no kernel");
    if (!s && op->kind == OP_FUSED)
      s = check_fused(f, op, diags);
    if (s)
      return s;
  }
  return STATUS_OK;
}
