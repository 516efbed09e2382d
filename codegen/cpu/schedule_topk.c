/* SPDX-License-Identifier: Apache-2.0 */
/* Top-k and sort: a tile is one line along the axis. Its keys go to scratch, indices are
 * merge-sorted, and the first k are written. */
#include "codegen/emit_sort.h"
#include "codegen/emit_view.h"
#include "codegen/schedule.h"

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  const struct op *op = kernel_root_op(k, OP_TOPK);
  const struct type *type = value_type(k->function, op->operands[0]);
  dim dims[IR_MAX_RANK];
  kernel_lines(k, op, OP_ATTRS(topk, op)->axis, dims);
  kernel_grid(k, dims, type->rank);
  /* keys, indices, indices: 8 bytes each */
  kernel_scratch(k, &type->dims[OP_ATTRS(topk, op)->axis], 1, 24);
  return true;
}

struct keys {
  LLVMValueRef base;
  const struct type *type;
  dim axis_dim;
  bool descending;
};

static LLVMValueRef load_key(struct emit *e, const struct keys *k, LLVMValueRef i) {
  struct point p = {.rank = 1, .width = 1};
  p.c[0] = coord_uniform(e, i);
  return emit_load_row(e, k->base, k->type->dtype, &k->axis_dim, &p);
}

static LLVMValueRef before(struct emit *e, void *user, LLVMValueRef a, LLVMValueRef b) {
  const struct keys *k = user;
  LLVMValueRef x = load_key(e, k, a), y = load_key(e, k, b);
  return k->descending ? emit_less(e, k->type->dtype, y, x) : emit_less(e, k->type->dtype, x, y);
}

static void load_keys(struct emit *e, const struct op *op, const struct keys *k, struct point p,
                      LLVMValueRef n, LLVMValueRef indices) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), n, 1, 0, NULL);
  struct point row = {.rank = 1, .width = 1};
  row.c[0] = p.c[OP_ATTRS(topk, op)->axis] = coord_uniform(e, l.index);
  LLVMValueRef x = emit_value(e, op->operands[0], &p);
  emit_store_row(e, k->base, k->type->dtype, &k->axis_dim, &row, x);
  emit_store_index(e, indices, l.index, l.index);
  emit_loop_end(e, &l, NULL);
}

static void emit(struct emit *e, LLVMValueRef tile) {
  const struct op *op = kernel_root_op(e->kernel, OP_TOPK);
  const struct topk_attrs *a = OP_ATTRS(topk, op);
  const struct type *type = value_type(e->f, op->operands[0]);
  struct keys keys = {.base = e->scratch,
                      .type = type,
                      .axis_dim = type->dims[a->axis],
                      .descending = a->descending};
  struct point p = {.rank = type->rank, .width = 1};
  dim dims[IR_MAX_RANK];
  kernel_lines(e->kernel, op, a->axis, dims);
  emit_delinearize(e, tile, dims, type->rank, p.c);
  LLVMValueRef n = emit_dim(e, keys.axis_dim);
  LLVMValueRef first = emit_scratch_at(e, n);
  LLVMValueRef second = emit_scratch_at(e, LLVMBuildMul(e->b, n, emit_i64(e, 2), ""));
  load_keys(e, op, &keys, p, n, first);
  LLVMValueRef sorted = emit_sort(e, first, second, n, before, &keys);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_dim(e, a->k), 1, 0, NULL);
  p.c[a->axis] = coord_uniform(e, l.index);
  LLVMValueRef i = emit_load_index(e, sorted, l.index);
  emit_store(e, kernel_result_buffer(e->kernel, 0), value_type(e->f, op->results[0]), &p,
             load_key(e, &keys, i));
  emit_store(e, kernel_result_buffer(e->kernel, 1), value_type(e->f, op->results[1]), &p, i);
  emit_loop_end(e, &l, NULL);
}

const struct schedule schedule_topk = {"topk", ROOT_KIND_TOPK, plan, emit};
