/* SPDX-License-Identifier: Apache-2.0 */
/* Scan: a tile is one line along the axis, walked in order with a running accumulator. */
#include "codegen/schedule.h"

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  const struct op *op = kernel_root_op(k, OP_SCAN);
  dim dims[IR_MAX_RANK];
  kernel_lines(k, op, OP_ATTRS(scan, op)->axis, dims);
  kernel_grid(k, dims, value_type(k->function, op->operands[0])->rank);
  return true;
}

static void emit(struct emit *e, LLVMValueRef tile) {
  const struct op *op = kernel_root_op(e->kernel, OP_SCAN);
  const struct scan_attrs *a = OP_ATTRS(scan, op);
  const struct type *type = value_type(e->f, op->operands[0]);
  struct point p = {.rank = type->rank, .width = 1};
  dim dims[IR_MAX_RANK];
  kernel_lines(e->kernel, op, a->axis, dims);
  emit_delinearize(e, tile, dims, type->rank, p.c);
  LLVMValueRef n = emit_dim(e, type->dims[a->axis]);
  LLVMValueRef acc = emit_identity(e, a->kind, type->dtype, 1);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), n, 1, 1, &acc);
  LLVMValueRef at = l.index;
  if (a->reverse) {
    at = LLVMBuildSub(e->b, LLVMBuildSub(e->b, n, emit_i64(e, 1), ""), at, "");
  }
  p.c[a->axis] = coord_uniform(e, at);
  LLVMValueRef x = emit_value(e, op->operands[0], &p);
  LLVMValueRef next = emit_combine(e, a->kind, type->dtype, l.carried[0], x, 1);
  LLVMValueRef out = emit_round_to(e, type->dtype, a->exclusive ? l.carried[0] : next, 1);
  emit_store(e, kernel_result_buffer(e->kernel, 0), type, &p, out);
  emit_loop_end(e, &l, &next);
}

const struct schedule schedule_scan = {"scan", ROOT_KIND_SCAN, plan, emit};
