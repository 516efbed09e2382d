/* SPDX-License-Identifier: Apache-2.0 */
/* Rows, keys, scores and results of a tile; see block_attention.h. */
#include "codegen/nvptx/block_attention.h"

#include "codegen/emit_view.h"
#include "codegen/index_math.h"
#include "codegen/nvptx/block.h"

bool block_attention_of(const struct kernel *kernel, struct block_attention *out) {
  const struct function *f = kernel->function;
  const struct dim_table *t = f->module->dims;
  int64_t heads, shared;
  *out = (struct block_attention){.op = kernel_root_op(kernel, OP_ATTENTION)};
  out->a = OP_ATTRS(attention, out->op);
  out->q = value_type(f, out->op->operands[0]);
  out->k = value_type(f, out->op->operands[1]);
  out->v = value_type(f, out->op->operands[2]);
  out->o = value_type(f, out->op->results[0]);
  if (dtype_compute(out->q->dtype) != DTYPE_F32 || !dim_is_const(t, out->q->dims[1], &heads) ||
      !dim_is_const(t, out->k->dims[1], &shared) || shared < 1 || heads < 1)
    return false;
  out->group = heads / shared;
  return true;
}

bool block_attention_grid(struct kernel *k, const struct block_attention *t) {
  struct dim_table *dims = k->function->module->dims;
  dim rows = dim_mul(dims, t->q->dims[2], dim_const(dims, t->group));
  if (rows == DIM_NONE)
    return false;
  dim blocks = dim_ceildiv(dims, rows, dim_const(dims, t->rows));
  if (t->a->parts)
    kernel_grid(k, t->o->dims, 1);
  kernel_grid(k, t->k->dims, 2);
  kernel_grid(k, &blocks, 1);
  return true;
}

void block_attention_init(struct emit *e, struct block_attention *t, LLVMValueRef number) {
  t->q_len = emit_dim(e, t->q->dims[2]);
  t->k_len = emit_dim(e, t->k->dims[2]);
  t->all = index_scale(e, t->q_len, t->group);
  LLVMValueRef up = index_add_n(e, t->all, t->rows - 1);
  LLVMValueRef blocks = index_quotient(e, up, t->rows), heads = emit_dim(e, t->k->dims[1]);
  t->row0 = index_scale(e, LLVMBuildURem(e->b, number, blocks, ""), t->rows);
  number = LLVMBuildUDiv(e->b, number, blocks, "");
  t->head = LLVMBuildURem(e->b, number, heads, "");
  t->batch = LLVMBuildUDiv(e->b, number, heads, "");
  if (t->a->parts) {
    LLVMValueRef batches = emit_dim(e, t->k->dims[0]);
    t->part = LLVMBuildUDiv(e->b, t->batch, batches, "");
    t->batch = LLVMBuildURem(e->b, t->batch, batches, "");
  }
}

static LLVMValueRef f32(struct emit *e, double x) { return LLVMConstReal(e->f32, x); }

LLVMValueRef block_attention_row(struct emit *e, const struct block_attention *t,
                                 LLVMValueRef row) {
  return index_min(e, index_add(e, t->row0, row), index_add_n(e, t->all, -1));
}
LLVMValueRef block_attention_query(struct emit *e, const struct block_attention *t,
                                   LLVMValueRef row) {
  return index_quotient(e, row, t->group);
}
LLVMValueRef block_attention_head(struct emit *e, const struct block_attention *t,
                                  LLVMValueRef row) {
  return index_add(e, index_scale(e, t->head, t->group), index_rest(e, row, t->group));
}

/* ---- scores ---- */

static LLVMValueRef position(struct emit *e, const struct block_attention *t, uint32_t operand,
                             dim length, LLVMValueRef index) {
  value_id v = t->op->operands[operand];
  struct type pair = {.rank = 2};
  struct point p = {.rank = 2, .width = 1}, q;
  pair.dims[0] = t->q->dims[0];
  pair.dims[1] = length;
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, index);
  point_broadcast(e, value_type(e->f, v), &pair, &p, &q);
  return emit_value(e, v, &q);
}

static LLVMValueRef query_position(struct emit *e, const struct block_attention *t,
                                   LLVMValueRef query) {
  const struct attention_attrs *a = t->a;
  if (a->has_pos)
    return position(e, t, a->has_bias ? 4 : 3, t->q->dims[2], query);
  return index_add(e, query, index_sub(e, t->k_len, t->q_len));
}

bool block_attention_is_masked(const struct attention_attrs *a) {
  return a->causal || a->window > 0;
}

/* i1: this key, which there is, takes part for this query. */
static LLVMValueRef attends(struct emit *e, const struct block_attention *t, LLVMValueRef query,
                            LLVMValueRef key) {
  const struct attention_attrs *a = t->a;
  LLVMValueRef yes = LLVMConstInt(e->i1, 1, false);
  if (!block_attention_is_masked(a))
    return yes;
  LLVMValueRef q_pos = query_position(e, t, query), k_pos = key;
  if (a->has_pos)
    k_pos = position(e, t, a->has_bias ? 5 : 4, t->k->dims[2], key);
  if (a->causal)
    yes = LLVMBuildICmp(e->b, LLVMIntSLE, k_pos, q_pos, "");
  if (a->window > 0) {
    LLVMValueRef near =
        LLVMBuildICmp(e->b, LLVMIntSLT, index_sub(e, q_pos, k_pos), emit_i64(e, a->window), "");
    yes = LLVMBuildAnd(e->b, yes, near, "");
  }
  return yes;
}

static LLVMValueRef bias(struct emit *e, const struct block_attention *t, LLVMValueRef row,
                         LLVMValueRef key) {
  value_id v = t->op->operands[3];
  struct type full = *t->q;
  full.dims[3] = t->k->dims[2];
  struct point p = {.rank = 4, .width = 1}, q;
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, block_attention_head(e, t, row));
  p.c[2] = coord_uniform(e, block_attention_query(e, t, row));
  p.c[3] = coord_uniform(e, key);
  point_broadcast(e, value_type(e->f, v), &full, &p, &q);
  return emit_cast(e, emit_value(e, v, &q), value_type(e->f, v)->dtype, DTYPE_F32, CAST_DEFAULT, 1);
}

LLVMValueRef block_attention_score(struct emit *e, const struct block_attention *t,
                                   LLVMValueRef row, LLVMValueRef key, LLVMValueRef end,
                                   LLVMValueRef x) {
  const struct attention_attrs *a = t->a;
  x = LLVMBuildFMul(e->b, x, f32(e, a->scale), "");
  if (a->softcap > 0) {
    x = LLVMBuildFDiv(e->b, x, f32(e, a->softcap), "");
    x = vmath_emit(e->math, e->b, VMATH_tanh, &x);
    x = LLVMBuildFMul(e->b, x, f32(e, a->softcap), "");
  }
  struct emit_if s;
  emit_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntSLT, key, end, ""));
  if (a->has_bias)
    x = LLVMBuildFAdd(e->b, x, bias(e, t, row, key), "");
  LLVMValueRef minus = f32(e, -__builtin_inf());
  x = LLVMBuildSelect(e->b, attends(e, t, block_attention_query(e, t, row), key), x, minus, "");
  emit_if_else(e, &s, x);
  return emit_if_end(e, &s, minus);
}

/* ---- which keys ---- */

static bool keys_in_order(const struct emit *e, const struct block_attention *t) {
  const struct op *op = value_def(e->f, t->op->operands[t->a->has_bias ? 5 : 4]);
  return op && op->kind == OP_IOTA && OP_ATTRS(iota, op)->axis == 1;
}

/* The keys that some row of the tile may see, whatever the part. */
static void seen_range(struct emit *e, const struct block_attention *t, uint32_t threads,
                       LLVMValueRef *lo, LLVMValueRef *hi) {
  const struct attention_attrs *a = t->a;
  LLVMValueRef zero = emit_i64(e, 0), last = index_add_n(e, t->k_len, -1);
  *lo = zero;
  *hi = t->k_len;
  if (!block_attention_is_masked(a) || (a->has_pos && !keys_in_order(e, t)))
    return;
  LLVMValueRef first_query = block_attention_query(e, t, t->row0);
  LLVMValueRef last_query =
      block_attention_query(e, t, block_attention_row(e, t, emit_i64(e, t->rows - 1)));
  LLVMValueRef range[2];
  if (a->has_pos) {
    LLVMValueRef init[2] = {last, emit_i64(e, -1)};
    struct emit_loop l;
    emit_loop_begin(e, &l, index_add(e, first_query, e->lane), index_add_n(e, last_query, 1),
                    threads, 2, init);
    LLVMValueRef q = query_position(e, t, l.index);
    LLVMValueRef next[2] = {index_min(e, l.carried[0], index_max(e, q, zero)),
                            index_max(e, l.carried[1], index_min(e, q, last))};
    emit_loop_end(e, &l, next);
    range[0] = block_combine(e, COMBINER_MIN, DTYPE_I64, l.carried[0]);
    range[1] = block_combine(e, COMBINER_MAX, DTYPE_I64, l.carried[1]);
  } else {
    range[0] = query_position(e, t, first_query);
    range[1] = index_min(e, query_position(e, t, last_query), last);
  }
  if (a->causal)
    *hi = index_max(e, zero, index_add_n(e, range[1], 1));
  if (a->window > 0)
    *lo = index_max(e, zero, index_add_n(e, range[0], 1 - a->window));
}

void block_attention_key_range(struct emit *e, const struct block_attention *t, uint32_t threads,
                               LLVMValueRef *lo, LLVMValueRef *hi) {
  LLVMValueRef first, end;
  seen_range(e, t, threads, lo, hi);
  if (!t->part)
    return;
  emit_attention_part(e, t->op, t->part, &first, &end);
  *lo = index_max(e, *lo, first);
  *hi = index_min(e, *hi, end);
}

/* ---- results ---- */

struct point block_attention_result_point(struct emit *e, const struct block_attention *t,
                                          LLVMValueRef row, uint32_t rank) {
  uint32_t n = 0;
  struct point p = {.rank = rank + (t->part != NULL), .width = 1};
  row = block_attention_row(e, t, row);
  if (t->part)
    p.c[n++] = coord_uniform(e, t->part);
  p.c[n++] = coord_uniform(e, t->batch);
  p.c[n++] = coord_uniform(e, block_attention_head(e, t, row));
  p.c[n++] = coord_uniform(e, block_attention_query(e, t, row));
  return p;
}

LLVMValueRef block_attention_is_row(struct emit *e, const struct block_attention *t,
                                    LLVMValueRef row) {
  return LLVMBuildICmp(e->b, LLVMIntSLT, index_add(e, t->row0, row), t->all, "");
}

void block_attention_store_lse(struct emit *e, const struct block_attention *t, LLVMValueRef row,
                               LLVMValueRef most, LLVMValueRef total, LLVMValueRef mine) {
  LLVMValueRef none = LLVMBuildFCmp(e->b, LLVMRealOEQ, total, f32(e, 0), "");
  LLVMValueRef log = vmath_emit(e->math, e->b, VMATH_log, &total);
  LLVMValueRef x = LLVMBuildFAdd(e->b, most, log, "");
  x = LLVMBuildSelect(e->b, none, most, x, "");
  struct emit_if s;
  emit_if_begin(e, &s, LLVMBuildAnd(e->b, mine, block_attention_is_row(e, t, row), ""));
  struct point p = block_attention_result_point(e, t, row, 3);
  emit_know(e, t->op->results[1], &p, x);
  kernel_store_lse(e, &p);
  emit_if_else(e, &s, NULL);
  emit_if_end(e, &s, NULL);
}
