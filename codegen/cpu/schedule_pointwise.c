/* SPDX-License-Identifier: Apache-2.0 */
/* Point-wise: every result element by itself, W neighbours of the last dim at a time.
 *
 * All results share one index space. A tile is one row (or a chunk of a long one).
 * Trailing dims that every value of the region either has or broadcasts along are one dim here (of
 * plain element-wise regions, all are). Roots inside the region are emitted as loops at each point,
 * which makes this the slow schedule of each of them. */
#include "codegen/cpu/plane.h"
#include "codegen/emit_nest.h"
#include "codegen/schedule.h"

/* Elements of a row that one tile computes at most. A multiple of every vector width. */
#define CHUNK 4096

static const struct type *space(const struct kernel *k) {
  return value_type(k->function, kernel_result(k, 0));
}

/* Whether every value of the region (whose ops are maps) has the dims from `from` on, or ones. */
static bool is_flat(const struct kernel *k, const struct type *type, uint32_t from) {
  const struct function *f = k->function;
  const struct dim_table *t = f->module->dims;
  const struct region *r = &f->regions.data[kernel_op(k)->regions[0]];
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    if (op->kind == OP_CONST)
      continue;
    if (!type_is_flat(t, value_type(f, op->results[0]), type, from))
      return false;
    for (uint32_t j = 0; j < op->n_operands; j++) {
      if (!type_is_flat(t, value_type(f, op->operands[j]), type, from))
        return false;
    }
  }
  return true;
}

uint32_t kernel_flat_from(const struct kernel *k) {
  const struct function *f = k->function;
  const struct region *r = &f->regions.data[kernel_op(k)->regions[0]];
  const struct type *type = space(k);
  uint32_t from = type->rank ? type->rank - 1 : 0;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    if (op->kind != OP_MAP && op->kind != OP_CONST)
      return from;
  }
  while (from > 0 && is_flat(k, type, from - 1))
    from--;
  return from;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct dim_table *t = k->function->module->dims;
  const struct type *type = space(k);
  uint32_t from = kernel_flat_from(k);
  dim row = dim_product(t, type->dims + from, type->rank - from);
  if (row == DIM_NONE) { /* too long an expression: the last dim alone */
    from = type->rank - 1;
    row = type->dims[from];
  }
  kernel_grid(k, type->dims, from);
  if (type->rank) {
    dim chunks = dim_ceildiv(t, row, dim_const(t, CHUNK));
    kernel_grid(k, &chunks, 1);
  }
  vec_push(&k->kept, from);
  vec_push(&k->kept, row);
  return true;
}

static void emit_span(struct emit *e, struct point *p, uint32_t axis, LLVMValueRef lo,
                      LLVMValueRef hi, uint32_t width) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  p->width = width;
  p->c[axis] = width == 1 ? coord_uniform(e, l.index)
                          : (struct coord){.base = l.index, .stride = 1, .align = width};
  kernel_store_results(e, p);
  emit_loop_end(e, &l, NULL);
}

static void emit(struct emit *e, LLVMValueRef tile) {
  const struct type *type = space(e->kernel);
  struct point p = {.rank = type->rank, .width = 1};
  if (!type->rank) {
    kernel_store_results(e, &p);
    return;
  }
  uint32_t from = e->kernel->kept.data[0];
  uint32_t axis = type_flat_axis(e->f->module->dims, type, from);
  dim row = e->kernel->kept.data[1];
  LLVMValueRef size = emit_dim(e, row);
  LLVMValueRef chunk = emit_i64(e, CHUNK);
  LLVMValueRef lo = emit_i64(e, 0), hi = size;
  int64_t n;
  if (!dim_is_const(e->f->module->dims, row, &n) || n > CHUNK) {
    LLVMValueRef up = LLVMBuildAdd(e->b, size, emit_i64(e, CHUNK - 1), "");
    LLVMValueRef chunks = LLVMBuildUDiv(e->b, up, chunk, "");
    lo = LLVMBuildMul(e->b, LLVMBuildURem(e->b, tile, chunks, ""), chunk, "");
    tile = LLVMBuildUDiv(e->b, tile, chunks, "");
    hi = LLVMBuildAdd(e->b, lo, chunk, "");
    hi = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, hi, size, ""), hi, size, "");
  }
  emit_delinearize(e, tile, type->dims, from, p.c);
  for (uint32_t i = from; i < type->rank; i++)
    p.c[i] = coord_zero(e);
  uint32_t width = nest_width(e, row, DTYPE_F32);
  LLVMValueRef whole = lo;
  if (width > 1) {
    whole = LLVMBuildAnd(e->b, hi, emit_i64(e, -(int64_t)width), "");
    emit_span(e, &p, axis, lo, whole, width);
    /* A span shorter than a vector starts where it starts. */
    LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntSLT, whole, lo, "");
    whole = LLVMBuildSelect(e->b, none, lo, whole, "");
  }
  emit_span(e, &p, axis, whole, hi, 1);
}

/* ---- attention that gives its lse: a tile is a query ---- */

static bool plan_rows(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  if (!kernel_lse(k))
    return false;
  const struct type *rows = value_type(k->function, kernel_lse(k));
  kernel_grid(k, rows->dims, rows->rank);
  return true;
}

static void emit_row(struct emit *e, LLVMValueRef tile) {
  const struct op *op = kernel_root_op(e->kernel, OP_ATTENTION);
  const struct type *type = value_type(e->f, op->results[0]);
  uint32_t last = type->rank - 1;
  struct point p = {.rank = last, .width = 1};
  emit_delinearize(e, tile, type->dims, last, p.c);
  kernel_store_lse(e, &p);
  p.rank = type->rank;
  LLVMValueRef n = emit_dim(e, type->dims[last]);
  uint32_t width = nest_width(e, type->dims[last], DTYPE_F32);
  LLVMValueRef whole = LLVMBuildAnd(e->b, n, emit_i64(e, -(int64_t)width), "");
  emit_span(e, &p, last, emit_i64(e, 0), whole, width);
  emit_span(e, &p, last, whole, n, 1);
}

const struct schedule schedule_pointwise = {"pointwise", ROOT_KIND_POINTWISE, plan, emit};
const struct schedule schedule_reduce_any = {"reduce_any", ROOT_KIND_REDUCE, plan, emit};
const struct schedule schedule_contract_any = {"contract_any", ROOT_KIND_CONTRACT, plan, emit};
const struct schedule schedule_conv_any = {"conv_any", ROOT_KIND_CONV, plan, emit};
const struct schedule schedule_window_any = {"window_any", ROOT_KIND_WINDOW, plan, emit};
const struct schedule schedule_attention_any = {"attention_any", ROOT_KIND_ATTENTION, plan, emit};
const struct schedule schedule_attention_rows = {"attention_rows", ROOT_KIND_ATTENTION, plan_rows,
                                                 emit_row};
