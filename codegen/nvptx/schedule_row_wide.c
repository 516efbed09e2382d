/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a known length (softmax, layer norm, RMS norm, sums and the like) that fit registers:
 * each row is read once and written once, 16 bytes at a time where its length is a multiple of
 * that.
 *
 *   row_warp    up to 1,024 elements: some lanes of a warp have a row, a block has several. Sums go
 *               by shuffles, nothing waits.
 *   row_block   up to 16,384: a block has a row.
 *
 * A thread takes runs of `width` neighbours, `lanes` runs apart, all of them in straight code: what
 * one pass computes of an element is still in a register where the next pass asks for it. The
 * threads whose last run lies behind the row's end read the end again, and count it as nothing.
 * Rows behind the last are computed as the last one and not stored, so that no shuffle lacks a
 * lane. Other rows are those of `row`. What fusion promises of rows is said there. */
#include <string.h>

#include "codegen/cpu/plane.h"
#include "codegen/index_math.h"
#include "codegen/nvptx/block.h"
#include "codegen/schedule.h"

enum {
  WARP = 32,
  BYTES = 16,
  MOST_WIDTH = 8,      /* elements of a run */
  THREADS = 128,       /* of a block that has several rows */
  LEAST_THREADS = 128, /* of a block that has one */
  MOST_THREADS = 512,
  MOST_OWN = 32, /* elements of a row that a thread has: 32-bit registers of each value */
  GOOD_OWN = 16,
};

struct shape {
  const struct type *full;
  uint32_t from, axis;    /* row dims are [from, rank); the linear index along them is in axis */
  int64_t elements;       /* of a row */
  uint32_t width, chunks; /* of a thread's run; runs of a thread */
  uint32_t lanes, rows;   /* threads of a row, rows of a block */
};

/* ---- plan ---- */

static const struct region *body_of(const struct kernel *k) {
  return &k->function->regions.data[kernel_op(k)->regions[0]];
}

/* Elements of a row; 0: not known, none, or more than a block holds. */
static int64_t row_elements(const struct dim_table *t, const struct shape *s) {
  int64_t elements = 1, n;
  for (uint32_t i = s->from; i < s->full->rank; i++) {
    if (!dim_is_const(t, s->full->dims[i], &n) || n < 1 || n > MOST_OWN * MOST_THREADS)
      return 0;
    elements *= n;
    if (elements > MOST_OWN * MOST_THREADS)
      return 0;
  }
  return elements;
}

/* Whether row dims may be walked as one: at most one of them is not 1, or all values have all of
 * them, or ones. */
static bool rows_are_flat(const struct kernel *k, const struct shape *s) {
  const struct function *f = k->function;
  const struct dim_table *t = f->module->dims;
  const struct region *r = body_of(k);
  uint32_t wide = 0;
  for (uint32_t i = s->from; i < s->full->rank; i++)
    wide += !dim_is_const_value(t, s->full->dims[i], 1);
  for (uint32_t i = 0; i < r->ops.len && wide > 1; i++) {
    const struct op *op = function_op(f, r->ops.data[i]);
    if (op->kind == OP_CONST)
      continue;
    if ((op->kind != OP_MAP && op->kind != OP_REDUCE) ||
        !type_is_flat(t, value_type(f, op->results[0]), s->full, s->from))
      return false;
    for (uint32_t j = 0; j < op->n_operands; j++)
      if (!type_is_flat(t, value_type(f, op->operands[j]), s->full, s->from))
        return false;
  }
  return true;
}

/* 16 bytes of the narrowest operand or result of more than a byte, as far as rows are made of such
 * runs. */
static uint32_t width_for(const struct kernel *k, int64_t elements) {
  const struct op *op = kernel_op(k);
  uint32_t narrowest = 4, width;
  for (uint32_t i = 0; i < op->n_operands + op->n_results; i++) {
    value_id v = i < op->n_operands ? op->operands[i] : kernel_result(k, i - op->n_operands);
    uint32_t bytes = dtype_unpacked_bytes(value_type(k->function, v)->dtype);
    narrowest = bytes < narrowest && bytes > 1 ? bytes : narrowest;
  }
  width = BYTES / narrowest < MOST_WIDTH ? BYTES / narrowest : MOST_WIDTH;
  while (elements % width)
    width /= 2;
  return width;
}

/* Elements of 64 bits take two registers. */
static uint32_t registers_of(const struct kernel *k) {
  const struct region *r = body_of(k);
  uint32_t most = 4;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(k->function, r->ops.data[i]);
    uint32_t bytes = dtype_unpacked_bytes(value_type(k->function, op->results[0])->dtype);
    most = bytes > most ? bytes : most;
  }
  return most / 4;
}

/* Threads of a row. */
static uint32_t lanes_for(int64_t elements, uint32_t width, uint32_t registers) {
  uint32_t lanes = 1;
  while (lanes < WARP && (int64_t)lanes * width < elements)
    lanes *= 2;
  if (elements * registers <= WARP * MOST_OWN)
    return lanes;
  lanes = LEAST_THREADS;
  while (lanes < MOST_THREADS && (int64_t)lanes * GOOD_OWN < elements * registers)
    lanes *= 2;
  return lanes;
}

/* The shape of the kernel's rows; false if it has none of these schedules. */
static bool shape_of(const struct kernel *k, struct shape *s) {
  const struct function *f = k->function;
  const struct dim_table *t = f->module->dims;
  const struct op *reduce = kernel_root_op(k, OP_REDUCE);
  if (!reduce)
    return false;
  *s = (struct shape){.full = value_type(f, reduce->operands[0])};
  s->from = (uint32_t)OP_ATTRS(reduce, reduce)->axes.data[0];
  s->axis = type_flat_axis(t, s->full, s->from);
  s->elements = row_elements(t, s);
  if (!s->elements || !rows_are_flat(k, s))
    return false;
  uint32_t registers = registers_of(k);
  s->width = width_for(k, s->elements);
  s->lanes = lanes_for(s->elements, s->width, registers);
  int64_t step = (int64_t)s->lanes * s->width;
  s->chunks = (uint32_t)((s->elements + step - 1) / step);
  s->rows = s->lanes < THREADS ? THREADS / s->lanes : 1;
  int64_t rows = 1, n;
  for (uint32_t i = 0; i < s->from && rows; i++)
    rows = dim_is_const(t, s->full->dims[i], &n) && n > 0 && n <= s->rows ? rows * n : 0;
  while (rows && s->rows > 1 && s->rows / 2 >= rows && s->rows * s->lanes > WARP)
    s->rows /= 2;
  return s->chunks * s->width * registers <= MOST_OWN;
}

static bool plan(struct kernel *k, bool warp) {
  struct dim_table *t = k->function->module->dims;
  struct shape s;
  if (!shape_of(k, &s) || warp != (s.lanes <= WARP))
    return false;
  dim rows = dim_product(t, s.full->dims, s.from);
  if (rows == DIM_NONE)
    return false;
  dim blocks = dim_ceildiv(t, rows, dim_const(t, s.rows));
  kernel_grid(k, &blocks, 1);
  k->block_threads = s.rows * s.lanes;
  return true;
}

static bool plan_warp(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  return plan(k, true);
}
static bool plan_block(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  return plan(k, false);
}

/* ---- a tile: the rows of a block ---- */

struct tile {
  struct shape s;
  struct point row;                      /* the element 0 */
  struct point runs[MOST_OWN];           /* this thread's */
  LLVMValueRef is_there, last_is, leads; /* i1, or NULL: always. There is such a row; the last run
                                            lies in it; this thread is the row's first */
};

static void tile_init(struct emit *e, struct tile *t, LLVMValueRef number) {
  struct shape *s = &t->s;
  shape_of(e->kernel, s);
  LLVMValueRef own = index_rest(e, e->lane, s->lanes), row = number, all;
  t->is_there = t->last_is = NULL;
  if (s->rows > 1) {
    all = emit_product(e, s->full->dims, s->from);
    row = index_add(e, index_scale(e, number, s->rows), index_quotient(e, e->lane, s->lanes));
    t->is_there = LLVMBuildICmp(e->b, LLVMIntSLT, row, all, "");
    row = index_min(e, row, index_add_n(e, all, -1));
  }
  t->leads = LLVMBuildICmp(e->b, LLVMIntEQ, own, emit_i64(e, 0), "");
  t->row = (struct point){.rank = s->full->rank, .width = 1};
  for (uint32_t i = s->from; i < s->full->rank; i++)
    t->row.c[i] = coord_zero(e);
  emit_delinearize(e, row, s->full->dims, s->from, t->row.c);
  LLVMValueRef first = index_scale(e, own, s->width);
  for (uint32_t i = 0; i < s->chunks; i++) {
    LLVMValueRef at = index_add_n(e, first, (int64_t)i * s->lanes * s->width);
    if ((int64_t)(i + 1) * s->lanes * s->width > s->elements) {
      t->last_is = LLVMBuildICmp(e->b, LLVMIntSLT, at, emit_i64(e, s->elements), "");
      at = index_min(e, at, emit_i64(e, s->elements - s->width));
    }
    t->runs[i] = t->row;
    t->runs[i].width = s->width;
    t->runs[i].c[s->axis] = s->width > 1
                                ? (struct coord){.base = at, .stride = 1, .align = s->width}
                                : coord_uniform(e, at);
  }
}

/* What the row's elements combine to, on each of its threads. */
static LLVMValueRef combine_row(struct emit *e, const struct tile *t, const struct op *op) {
  const struct shape *s = &t->s;
  enum combiner kind = OP_ATTRS(reduce, op)->kind;
  enum dtype dtype = value_type(e->f, op->operands[0])->dtype;
  LLVMValueRef sum = NULL;
  for (uint32_t i = 0; i < s->chunks; i++) {
    LLVMValueRef x = emit_value(e, op->operands[0], &t->runs[i]);
    if (i + 1 == s->chunks && t->last_is)
      x = LLVMBuildSelect(e->b, t->last_is, x, emit_identity(e, kind, dtype, s->width), "");
    sum = sum ? emit_combine(e, kind, dtype, sum, x, s->width) : x;
  }
  if (s->width > 1)
    sum = emit_horizontal(e, kind, dtype, sum, s->width);
  sum = s->lanes <= WARP ? warp_combine(e, kind, dtype, sum, s->lanes)
                         : block_combine(e, kind, dtype, sum);
  return emit_round_to(e, dtype, sum, 1);
}

static void store(struct emit *e, uint32_t result, const struct point *p) {
  value_id v = kernel_result(e->kernel, result);
  LLVMValueRef x = emit_value(e, v, p);
  emit_store(e, kernel_result_buffer(e->kernel, result), value_type(e->f, v), p, x);
}

/* Whether a result has an element for each of the row's; else it has one. */
static bool is_whole(const struct emit *e, const struct shape *s, uint32_t result) {
  const struct type *type = value_type(e->f, kernel_result(e->kernel, result));
  for (uint32_t i = s->from; i < type->rank; i++)
    if (type->dims[i] != s->full->dims[i])
      return false;
  return true;
}

static void store_all(struct emit *e, const struct shape *s, bool whole, const struct point *p) {
  for (uint32_t i = 0; i < e->fused->n_results; i++)
    if (is_whole(e, s, i) == whole)
      store(e, i, p);
}

static void store_if(struct emit *e, const struct shape *s, bool whole, const struct point *p,
                     LLVMValueRef condition) {
  struct emit_if c;
  emit_if_begin(e, &c, condition);
  store_all(e, s, whole, p);
  emit_if_else(e, &c, NULL);
  emit_if_end(e, &c, NULL);
}

static void store_row(struct emit *e, const struct tile *t) {
  uint32_t maybe = t->last_is ? t->s.chunks - 1 : t->s.chunks;
  for (uint32_t i = 0; i < maybe; i++)
    store_all(e, &t->s, true, &t->runs[i]);
  if (t->last_is)
    store_if(e, &t->s, true, &t->runs[maybe], t->last_is);
  store_if(e, &t->s, false, &t->row, t->leads);
}

static void emit_rows(struct emit *e, const struct tile *t) {
  const struct region *r = body_of(e->kernel);
  uint32_t bound = e->bound.len;
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = function_op(e->f, r->ops.data[i]);
    if (op->kind == OP_REDUCE)
      emit_bind_scalar(e, op->results[0], combine_row(e, t, op));
  }
  struct emit_if s;
  if (t->is_there)
    emit_if_begin(e, &s, t->is_there);
  store_row(e, t);
  if (t->is_there) {
    emit_if_else(e, &s, NULL);
    emit_if_end(e, &s, NULL);
  }
  e->bound.len = bound;
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t;
  tile_init(e, &t, number);
  if (t.s.width == 1) {
    emit_rows(e, &t);
    return;
  }
  struct emit_if s;
  emit_if_begin(e, &s, emit_are_aligned(e, BYTES));
  e->base_align = BYTES;
  emit_rows(e, &t);
  e->base_align = 0;
  emit_if_else(e, &s, NULL);
  emit_rows(e, &t);
  emit_if_end(e, &s, NULL);
}

const struct schedule schedule_row_warp = {"row_warp", ROOT_KIND_ROW, plan_warp, emit};
const struct schedule schedule_row_block = {"row_block", ROOT_KIND_ROW, plan_block, emit};
