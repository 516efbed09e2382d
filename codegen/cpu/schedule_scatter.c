/* SPDX-License-Identifier: Apache-2.0 */
/* Scatter: one tile copies the data and then applies the updates in order, which is what makes
 * equal indices well defined. */
#include <string.h>

#include "codegen/emit_nest.h"
#include "codegen/emit_view.h"
#include "codegen/schedule.h"

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  (void)k; /* one tile, no scratch */
  return true;
}

static void copy_step(struct emit *e, void *user, const struct point *p, const LLVMValueRef *acc,
                      LLVMValueRef *out_acc) {
  const struct op *op = user;
  (void)acc;
  (void)out_acc;
  LLVMValueRef x = emit_value(e, op->operands[0], p);
  emit_store(e, kernel_result_buffer(e->kernel, 0), value_type(e->f, op->results[0]), p, x);
}

/* Where the update at `p` goes; *out_inside is false where an index is out of range. */
static void target_point(struct emit *e, const struct op *op, const struct point *p,
                         struct point *out, LLVMValueRef *out_inside) {
  const struct scatter_attrs *a = OP_ATTRS(scatter, op);
  const struct type *data = value_type(e->f, op->operands[0]);
  const struct type *updates = value_type(e->f, op->operands[1]);
  uint32_t rank = updates->rank - (data->rank - a->axes.len);
  struct type spread = {.rank = rank};
  memcpy(spread.dims, updates->dims, rank * sizeof(dim));
  bool indexed[IR_MAX_RANK] = {false};
  *out = (struct point){.rank = data->rank, .width = 1};
  *out_inside = LLVMConstInt(e->i1, 1, false);
  for (uint32_t j = 0; j < a->axes.len; j++) {
    value_id index = op->operands[2 + j];
    const struct type *type = value_type(e->f, index);
    struct point at = {.rank = rank, .width = 1}, q;
    memcpy(at.c, p->c, rank * sizeof at.c[0]);
    point_broadcast(e, type, &spread, &at, &q);
    LLVMValueRef i = emit_value(e, index, &q);
    i = emit_cast(e, i, type->dtype, DTYPE_I64, CAST_DEFAULT, 1);
    LLVMValueRef n = emit_dim(e, data->dims[a->axes.data[j]]);
    LLVMValueRef ok = LLVMBuildICmp(e->b, LLVMIntULT, i, n, "");
    *out_inside = LLVMBuildAnd(e->b, *out_inside, ok, "");
    out->c[a->axes.data[j]] = coord_uniform(e, i);
    indexed[a->axes.data[j]] = true;
  }
  for (uint32_t i = 0, window = rank; i < data->rank; i++) {
    if (!indexed[i])
      out->c[i] = p->c[window++];
  }
}

static void update_step(struct emit *e, void *user, const struct point *p, const LLVMValueRef *acc,
                        LLVMValueRef *out_acc) {
  const struct op *op = user;
  (void)acc;
  (void)out_acc;
  enum combiner kind = OP_ATTRS(scatter, op)->kind;
  const struct type *type = value_type(e->f, op->results[0]);
  uint32_t buffer = kernel_result_buffer(e->kernel, 0);
  struct point to;
  LLVMValueRef inside;
  target_point(e, op, p, &to, &inside);
  emit_error_if(e, LLVMBuildNot(e->b, inside, ""), op);
  struct emit_if s;
  emit_if_begin(e, &s, inside);
  LLVMValueRef x = emit_value(e, op->operands[1], p);
  if (kind != COMBINER_NONE) {
    LLVMValueRef old = emit_load(e, buffer, type, false, &to);
    x = emit_round_to(e, type->dtype, emit_combine(e, kind, type->dtype, old, x, 1), 1);
  }
  emit_store(e, buffer, type, &to, x);
  emit_if_else(e, &s, NULL);
  emit_if_end(e, &s, NULL);
}

static struct nest all_dims(const struct type *type, uint32_t width, nest_body body,
                            const struct op *op) {
  struct nest n = {
      .n_axes = type->rank, .dims = type->dims, .width = width, .body = body, .user = (void *)op};
  for (uint32_t i = 0; i < type->rank; i++)
    n.axes[i] = i;
  return n;
}

static void emit(struct emit *e, LLVMValueRef tile) {
  (void)tile;
  const struct op *op = kernel_root_op(e->kernel, OP_SCATTER);
  const struct type *data = value_type(e->f, op->operands[0]);
  const struct type *updates = value_type(e->f, op->operands[1]);
  struct point p = {.rank = data->rank, .width = 1};
  uint32_t width = data->rank ? nest_width(e, data->dims[data->rank - 1], DTYPE_F32) : 1;
  struct nest copy = all_dims(data, width, copy_step, op);
  emit_nest(e, &copy, &p, NULL, NULL);
  p.rank = updates->rank;
  struct nest update = all_dims(updates, 1, update_step, op);
  emit_nest(e, &update, &p, NULL, NULL);
}

const struct schedule schedule_scatter = {"scatter", ROOT_KIND_SCATTER, plan, emit};
