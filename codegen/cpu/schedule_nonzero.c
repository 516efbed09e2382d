/* SPDX-License-Identifier: Apache-2.0 */
/* Nonzero: one tile walks the elements in order and appends the coordinates of those that are not
 * 0. */
#include "codegen/emit_nest.h"
#include "codegen/schedule.h"

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  (void)k; /* one tile, no scratch */
  return true;
}

static void step(struct emit *e, void *user, const struct point *p, const LLVMValueRef *acc,
                 LLVMValueRef *out_acc) {
  const struct op *op = user;
  enum dtype dtype = value_type(e->f, op->operands[0])->dtype;
  const struct type *type = value_type(e->f, op->results[0]);
  LLVMValueRef x = emit_value(e, op->operands[0], p);
  x = emit_cast(e, x, dtype, DTYPE_BOOL, CAST_DEFAULT, 1);
  struct emit_if s;
  emit_if_begin(e, &s, x);
  struct point to = {.rank = 2, .width = 1};
  to.c[1] = coord_uniform(e, acc[0]);
  for (uint32_t i = 0; i < p->rank; i++) {
    to.c[0] = coord_uniform(e, emit_i64(e, i));
    emit_store(e, kernel_result_buffer(e->kernel, 0), type, &to, p->c[i].base);
  }
  LLVMValueRef more = LLVMBuildAdd(e->b, acc[0], emit_i64(e, 1), "");
  emit_if_else(e, &s, more);
  out_acc[0] = emit_if_end(e, &s, acc[0]);
}

static void emit(struct emit *e, LLVMValueRef tile) {
  (void)tile;
  const struct op *op = kernel_root_op(e->kernel, OP_NONZERO);
  const struct type *type = value_type(e->f, op->operands[0]);
  struct nest n = {.n_axes = type->rank,
                   .dims = type->dims,
                   .width = 1,
                   .n_carried = 1,
                   .body = step,
                   .user = (void *)op};
  for (uint32_t i = 0; i < type->rank; i++)
    n.axes[i] = i;
  struct point p = {.rank = type->rank, .width = 1}, none = {.rank = 0, .width = 1};
  LLVMValueRef count = emit_i64(e, 0);
  emit_nest(e, &n, &p, &count, NULL);
  emit_store(e, kernel_result_buffer(e->kernel, 1), value_type(e->f, op->results[1]), &none, count);
}

const struct schedule schedule_nonzero = {"nonzero", ROOT_KIND_NONZERO, plan, emit};
