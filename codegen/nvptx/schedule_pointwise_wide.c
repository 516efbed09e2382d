/* SPDX-License-Identifier: Apache-2.0 */
/* Point-wise code of maps: a thread has some neighbours along the last dim, or along trailing dims
 * that are walked as one, and reads and writes them 16 bytes at a time where they lie so.
 *
 * What is aligned is proved from the index; that buffers begin at 16 bytes is looked at when the
 * kernel runs, since an alias need not. Ends of rows, and all where a buffer does not, are computed
 * one by one. */
#include "codegen/cpu/plane.h"
#include "codegen/schedule.h"

#define BYTES 16
#define MOST 8 /* elements of a thread */

static const struct type *space(const struct kernel *k) {
  return value_type(k->function, kernel_result(k, 0));
}

/* Views other than these, and gathers, are read element by element anyway. */
static bool is_light(enum op_kind kind) {
  return kind == OP_MAP || kind == OP_CONST || kind == OP_BROADCAST || kind == OP_IOTA;
}

/* Elements of a thread: 16 bytes of the narrowest operand or result of more than a byte. */
static uint32_t width_of(const struct kernel *k) {
  const struct op *op = kernel_op(k);
  uint32_t narrowest = 4;
  for (uint32_t i = 0; i < op->n_operands + op->n_results; i++) {
    value_id v = i < op->n_operands ? op->operands[i] : kernel_result(k, i - op->n_operands);
    uint32_t bytes = dtype_unpacked_bytes(value_type(k->function, v)->dtype);
    narrowest = bytes < narrowest && bytes > 1 ? bytes : narrowest;
  }
  return BYTES / narrowest < MOST ? BYTES / narrowest : MOST;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  const struct function *f = k->function;
  struct dim_table *t = f->module->dims;
  const struct type *type = space(k);
  const struct region *r = &f->regions.data[kernel_op(k)->regions[0]];
  int64_t n;
  for (uint32_t i = 0; i < r->ops.len; i++)
    if (!is_light(function_op(f, r->ops.data[i])->kind))
      return false;
  if (!type->rank)
    return false;
  uint32_t from = kernel_flat_from(k);
  dim row = dim_product(t, type->dims + from, type->rank - from);
  if (row == DIM_NONE) {
    from = type->rank - 1;
    row = type->dims[from];
  }
  uint32_t width = width_of(k);
  if (dim_is_const(t, row, &n) && n < width)
    return false;
  dim chunks = dim_ceildiv(t, row, dim_const(t, width));
  kernel_grid(k, type->dims, from);
  kernel_grid(k, &chunks, 1);
  vec_push(&k->kept, from);
  vec_push(&k->kept, row);
  return true;
}

static void emit(struct emit *e, LLVMValueRef tile) {
  const struct type *type = space(e->kernel);
  uint32_t from = e->kernel->kept.data[0], width = width_of(e->kernel);
  uint32_t axis = type_flat_axis(e->f->module->dims, type, from);
  LLVMValueRef size = emit_dim(e, e->kernel->kept.data[1]), step = emit_i64(e, width);
  struct point p = {.rank = type->rank, .width = width};
  LLVMValueRef up = LLVMBuildAdd(e->b, size, emit_i64(e, width - 1), "");
  LLVMValueRef chunks = LLVMBuildUDiv(e->b, up, step, "");
  LLVMValueRef lo = LLVMBuildMul(e->b, LLVMBuildURem(e->b, tile, chunks, ""), step, "");
  LLVMValueRef end = LLVMBuildAdd(e->b, lo, step, "");
  emit_delinearize(e, LLVMBuildUDiv(e->b, tile, chunks, ""), type->dims, from, p.c);
  for (uint32_t i = from; i < type->rank; i++)
    p.c[i] = coord_zero(e);
  LLVMValueRef whole = LLVMBuildICmp(e->b, LLVMIntSLE, end, size, "");
  struct emit_if s;
  emit_if_begin(e, &s, LLVMBuildAnd(e->b, whole, emit_are_aligned(e, BYTES), ""));
  p.c[axis] = (struct coord){.base = lo, .stride = 1, .align = width};
  e->base_align = BYTES;
  kernel_store_results(e, &p);
  e->base_align = 0;
  emit_if_else(e, &s, NULL);
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, LLVMBuildSelect(e->b, whole, end, size, ""), 1, 0, NULL);
  p.width = 1;
  p.c[axis] = coord_uniform(e, l.index);
  kernel_store_results(e, &p);
  emit_loop_end(e, &l, NULL);
  emit_if_end(e, &s, NULL);
}

const struct schedule schedule_pointwise_wide = {"pointwise_wide", ROOT_KIND_POINTWISE, plan, emit};
