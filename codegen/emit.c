/* SPDX-License-Identifier: Apache-2.0 */
/* The walk of the emitter: from a value at a point back to loads; see emit.h. */
#include "codegen/emit.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "codegen/contract_util.h"
#include "codegen/emit_view.h"

/* ---- constants, dims, coordinates ---- */

LLVMValueRef emit_i64(struct emit *e, int64_t x) {
  return LLVMConstInt(e->i64, (unsigned long long)x, true);
}

LLVMTypeRef emit_type(struct emit *e, enum dtype dtype, uint32_t width) {
  LLVMTypeRef t;
  if (dtype == DTYPE_BOOL) {
    t = e->i1;
  } else if (dtype_is_float(dtype)) {
    t = dtype == DTYPE_F64 ? e->f64 : e->f32;
  } else {
    t = LLVMIntTypeInContext(e->context, dtype_unpacked_bytes(dtype) * 8);
  }
  return width == 1 ? t : LLVMVectorType(t, width);
}

LLVMValueRef emit_splat(struct emit *e, LLVMValueRef scalar, uint32_t width) {
  if (width == 1)
    return scalar;
  LLVMTypeRef vector = LLVMVectorType(LLVMTypeOf(scalar), width);
  LLVMValueRef one =
      LLVMBuildInsertElement(e->b, LLVMGetPoison(vector), scalar, emit_i64(e, 0), "");
  LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(e->i32, width));
  return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(vector), zeros, "");
}

LLVMValueRef emit_lane(struct emit *e, LLVMValueRef x, uint32_t width, uint32_t lane) {
  return width == 1 ? x : LLVMBuildExtractElement(e->b, x, emit_i64(e, lane), "");
}

/* An argument behind the buffers, asked for at first use. */
static LLVMValueRef emit_argument(struct emit *e, struct kernel_dim want) {
  struct kernel *k = e->kernel;
  uint32_t i = 0;
  while (i < k->dims.len &&
         (k->dims.data[i].d != want.d || k->dims.data[i].reporter != want.reporter))
    i++;
  if (i == k->dims.len)
    vec_push(&k->dims, want);
  while (e->dim_values.len <= i) /* code for a target before asked for them first */
    vec_push(&e->dim_values, NULL);
  if (e->dim_values.data[i])
    return e->dim_values.data[i];
  LLVMValueRef index = emit_i64(e, 1 + e->fused->n_operands + e->fused->n_results + i);
  LLVMValueRef at = LLVMBuildInBoundsGEP2(e->entry_builder, e->i64, e->args, &index, 1, "");
  e->dim_values.data[i] = LLVMBuildLoad2(e->entry_builder, e->i64, at, "");
  return e->dim_values.data[i];
}

LLVMValueRef emit_dim(struct emit *e, dim d) {
  int64_t value;
  if (dim_is_const(e->f->module->dims, d, &value))
    return emit_i64(e, value);
  return emit_argument(e, (struct kernel_dim){.d = d});
}

LLVMValueRef emit_product(struct emit *e, const dim *dims, uint32_t n) {
  LLVMValueRef x = emit_i64(e, 1);
  for (uint32_t i = 0; i < n; i++) {
    x = LLVMBuildMul(e->entry_builder, x, emit_dim(e, dims[i]), "");
  }
  return x;
}

struct coord coord_uniform(struct emit *e, LLVMValueRef base) {
  (void)e;
  return (struct coord){.base = base, .align = 1};
}

struct coord coord_zero(struct emit *e) {
  return (struct coord){.base = emit_i64(e, 0), .align = 0};
}

static LLVMValueRef lane_numbers(struct emit *e, uint32_t width, int64_t stride) {
  LLVMValueRef lanes[64];
  for (uint32_t i = 0; i < width; i++)
    lanes[i] = emit_i64(e, (int64_t)i * stride);
  return LLVMConstVector(lanes, width);
}

LLVMValueRef coord_vector(struct emit *e, const struct coord *c, uint32_t width) {
  if (c->lanes)
    return c->lanes;
  if (width == 1)
    return c->base;
  LLVMValueRef base = emit_splat(e, c->base, width);
  if (!c->stride)
    return base;
  return LLVMBuildAdd(e->b, base, lane_numbers(e, width, c->stride), "");
}

bool point_is_uniform(const struct point *p) {
  for (uint32_t i = 0; i < p->rank; i++) {
    if (p->c[i].lanes || p->c[i].stride)
      return false;
  }
  return true;
}

void emit_delinearize(struct emit *e, LLVMValueRef linear, const dim *dims, uint32_t rank,
                      struct coord *out) {
  const struct dim_table *t = e->f->module->dims;
  for (uint32_t i = rank; i-- > 0;) {
    if (dim_is_const_value(t, dims[i], 1)) {
      out[i] = coord_zero(e);
      continue;
    }
    bool outermost = true;
    for (uint32_t j = 0; j < i; j++)
      outermost &= dim_is_const_value(t, dims[j], 1);
    if (outermost) {
      out[i] = coord_uniform(e, linear);
      for (uint32_t j = 0; j < i; j++)
        out[j] = coord_zero(e);
      return;
    }
    LLVMValueRef n = emit_dim(e, dims[i]);
    out[i] = coord_uniform(e, LLVMBuildURem(e->b, linear, n, ""));
    linear = LLVMBuildUDiv(e->b, linear, n, "");
  }
}

/* Its place among the ops of the region, from 1; all launches of the kernel have it there. */
static uint32_t place_of(const struct emit *e, const struct op *op) {
  const struct region *r = &e->f->regions.data[e->fused->regions[0]];
  uint32_t i = 0;
  while (function_op(e->f, r->ops.data[i]) != op)
    i++;
  return i + 1;
}

void emit_error_if(struct emit *e, LLVMValueRef bad, const struct op *op) {
  struct emit_if s;
  LLVMValueRef report =
      emit_argument(e, (struct kernel_dim){.d = DIM_NONE, .reporter = place_of(e, op)});
  emit_if_begin(e, &s, bad);
  LLVMValueRef zero = emit_i64(e, 0);
  LLVMValueRef slot = LLVMBuildInBoundsGEP2(e->b, e->i64, e->args, &zero, 1, "");
  LLVMValueRef word = LLVMBuildIntToPtr(e->b, LLVMBuildLoad2(e->b, e->i64, slot, ""), e->ptr, "");
  LLVMBuildStore(e->b, report, word);
  emit_if_else(e, &s, NULL);
  emit_if_end(e, &s, NULL);
}

/* ---- control ---- */

static LLVMBasicBlockRef new_block(struct emit *e) {
  return LLVMAppendBasicBlockInContext(e->context, e->fn, "");
}

/* What was computed inside a conditional block is not there after it. */
static void memo_cut(struct emit *e, uint32_t mark) { e->memo.len = mark; }

void emit_loop_begin(struct emit *e, struct emit_loop *l, LLVMValueRef lo, LLVMValueRef hi,
                     int64_t step, uint32_t n, const LLVMValueRef *init) {
  assert(n <= EMIT_MAX_CARRIED);
  *l = (struct emit_loop){.hi = hi, .step = emit_i64(e, step), .n = n, .memo_mark = e->memo.len};
  l->before = LLVMGetInsertBlock(e->b);
  l->body = new_block(e);
  l->exit = new_block(e);
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, lo, hi, ""), l->body, l->exit);
  LLVMPositionBuilderAtEnd(e->b, l->body);
  l->index = LLVMBuildPhi(e->b, e->i64, "");
  LLVMAddIncoming(l->index, &lo, &l->before, 1);
  for (uint32_t i = 0; i < n; i++) {
    l->init[i] = init[i];
    l->carried[i] = LLVMBuildPhi(e->b, LLVMTypeOf(init[i]), "");
    LLVMAddIncoming(l->carried[i], &l->init[i], &l->before, 1);
  }
}

void emit_loop_end(struct emit *e, struct emit_loop *l, const LLVMValueRef *next) {
  LLVMValueRef index = LLVMBuildNSWAdd(e->b, l->index, l->step, "");
  LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
  LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, index, l->hi, ""), l->body, l->exit);
  LLVMAddIncoming(l->index, &index, &latch, 1);
  LLVMValueRef last[EMIT_MAX_CARRIED];
  for (uint32_t i = 0; i < l->n; i++) {
    last[i] = next[i];
    LLVMAddIncoming(l->carried[i], &last[i], &latch, 1);
  }
  LLVMPositionBuilderAtEnd(e->b, l->exit);
  for (uint32_t i = 0; i < l->n; i++) {
    LLVMValueRef phi = LLVMBuildPhi(e->b, LLVMTypeOf(next[i]), "");
    LLVMAddIncoming(phi, &l->init[i], &l->before, 1);
    LLVMAddIncoming(phi, &last[i], &latch, 1);
    l->carried[i] = phi;
  }
  memo_cut(e, l->memo_mark);
}

void emit_if_begin(struct emit *e, struct emit_if *s, LLVMValueRef c) {
  *s = (struct emit_if){.then_block = new_block(e),
                        .else_block = new_block(e),
                        .merge = new_block(e),
                        .memo_mark = e->memo.len};
  LLVMBuildCondBr(e->b, c, s->then_block, s->else_block);
  LLVMPositionBuilderAtEnd(e->b, s->then_block);
}

void emit_if_else(struct emit *e, struct emit_if *s, LLVMValueRef value) {
  s->then_value = value;
  s->then_end = LLVMGetInsertBlock(e->b);
  LLVMBuildBr(e->b, s->merge);
  LLVMPositionBuilderAtEnd(e->b, s->else_block);
  memo_cut(e, s->memo_mark);
}

LLVMValueRef emit_if_end(struct emit *e, struct emit_if *s, LLVMValueRef value) {
  LLVMValueRef result = NULL;
  emit_if_end_many(e, s, value ? 1 : 0, &s->then_value, &value, &result);
  return result;
}

void emit_if_end_many(struct emit *e, struct emit_if *s, uint32_t n, LLVMValueRef *then_values,
                      LLVMValueRef *else_values, LLVMValueRef *out) {
  LLVMBasicBlockRef else_end = LLVMGetInsertBlock(e->b);
  LLVMBuildBr(e->b, s->merge);
  LLVMPositionBuilderAtEnd(e->b, s->merge);
  memo_cut(e, s->memo_mark);
  for (uint32_t i = 0; i < n; i++) {
    out[i] = LLVMBuildPhi(e->b, LLVMTypeOf(then_values[i]), "");
    LLVMAddIncoming(out[i], &then_values[i], &s->then_end, 1);
    LLVMAddIncoming(out[i], &else_values[i], &else_end, 1);
  }
}

/* ---- values ---- */

void emit_bind_scalar(struct emit *e, value_id v, LLVMValueRef x) {
  struct emit_bound bound = {.value = v, .scalar = x};
  vec_push(&e->bound, bound);
}

static bool coord_same(const struct coord *a, const struct coord *b) {
  return a->base == b->base && a->lanes == b->lanes && a->stride == b->stride;
}

static LLVMValueRef memo_find(const struct emit *e, value_id v, const struct point *p) {
  for (uint32_t i = e->memo.len; i-- > 0;) {
    const struct emit_memo *m = &e->memo.data[i];
    if (m->value != v || m->point.width != p->width)
      continue;
    const struct type *type = value_type(e->f, v);
    bool same = true;
    for (uint32_t d = 0; d < p->rank && same; d++) {
      /* Along a dim of 1 every coordinate is 0, however it is written. */
      same = coord_same(&m->point.c[d], &p->c[d]) ||
             dim_is_const_value(e->f->module->dims, type->dims[d], 1);
    }
    if (same)
      return m->result;
  }
  return NULL;
}

static LLVMValueRef load_cached(struct emit *e, const struct emit_bound *bound, value_id v,
                                const struct point *p) {
  const struct type *type = value_type(e->f, v);
  struct point q = {.rank = p->rank - bound->cache_rank_from, .width = p->width};
  memcpy(q.c, &p->c[bound->cache_rank_from], q.rank * sizeof(q.c[0]));
  return emit_load_row(e, bound->cache, type->dtype, type->dims + bound->cache_rank_from, &q);
}

static LLVMValueRef find_bound(struct emit *e, value_id v, const struct point *p) {
  for (uint32_t i = 0; i < e->bound.len; i++) {
    const struct emit_bound *bound = &e->bound.data[i];
    if (bound->value != v)
      continue;
    if (bound->scalar)
      return emit_splat(e, bound->scalar, p->width);
    return load_cached(e, bound, v, p);
  }
  return NULL;
}

static LLVMValueRef emit_map(struct emit *e, const struct op *op, const struct point *p) {
  const struct scalar_body *body = OP_ATTRS(map, op)->body;
  const struct type *type = value_type(e->f, op->results[0]);
  LLVMValueRef *args = mem_alloc((op->n_operands + 1) * sizeof *args);
  for (uint32_t i = 0; i < op->n_operands; i++) {
    struct point q;
    point_broadcast(e, value_type(e->f, op->operands[i]), type, p, &q);
    args[i] = emit_value(e, op->operands[i], &q);
  }
  LLVMValueRef x = emit_body(e, body, args, p->width);
  mem_free(args);
  return emit_round_to(e, type->dtype, x, p->width);
}

static LLVMValueRef emit_iota(struct emit *e, const struct op *op, const struct point *p) {
  LLVMValueRef x = coord_vector(e, &p->c[OP_ATTRS(iota, op)->axis], p->width);
  enum dtype dtype = value_type(e->f, op->results[0])->dtype;
  return emit_cast(e, x, DTYPE_I64, dtype, CAST_DEFAULT, p->width);
}

static LLVMValueRef emit_dims_op(struct emit *e, const struct op *op, const struct point *p) {
  struct dims dims = OP_ATTRS(dims, op)->dims;
  LLVMValueRef at = coord_vector(e, &p->c[0], p->width);
  LLVMValueRef x = emit_splat(e, emit_i64(e, 0), p->width);
  for (uint32_t i = 0; i < dims.len; i++) {
    LLVMValueRef here =
        LLVMBuildICmp(e->b, LLVMIntEQ, at, emit_splat(e, emit_i64(e, i), p->width), "");
    x = LLVMBuildSelect(e->b, here, emit_splat(e, emit_dim(e, dims.data[i]), p->width), x, "");
  }
  return x;
}

/* Only constants of one element come into a region; they are literals. */
static LLVMValueRef emit_const(struct emit *e, const struct op *op, const struct point *p) {
  const struct constant *c = &e->f->module->constants.data[OP_ATTRS(const, op)->value];
  double f;
  int64_t i;
  constant_element(c, 0, &f, &i);
  return emit_literal(e, c->dtype, f, i, p->width);
}

static LLVMValueRef emit_op(struct emit *e, const struct op *op, uint32_t result,
                            const struct point *p) {
  switch (op->kind) {
  case OP_CONST: return emit_const(e, op, p);
  case OP_IOTA: return emit_iota(e, op, p);
  case OP_DIMS: return emit_dims_op(e, op, p);
  case OP_RANDOM: return emit_random(e, op, p);
  case OP_MAP: return emit_map(e, op, p);
  case OP_RESHAPE:
  case OP_TRANSPOSE:
  case OP_BROADCAST:
  case OP_SLICE: {
    struct point q;
    point_through_view(e, op, p, &q);
    return emit_value(e, op->operands[0], &q);
  }
  case OP_BITCAST: return emit_bitcast(e, op, p);
  case OP_PAD: return emit_pad(e, op, p);
  case OP_CONCAT: return emit_concat(e, op, p);
  case OP_GATHER: return emit_gather(e, op, p);
  default:
    assert(!e->kernel->packs.len); /* its operand is not stored as the plain loops read it */
    return emit_root(e, op, result, p);
  }
}

static LLVMValueRef emit_uncached(struct emit *e, value_id v, const struct point *p) {
  if (p->width > 1 && point_is_uniform(p)) {
    struct point q = *p;
    q.width = 1;
    return emit_splat(e, emit_value(e, v, &q), p->width);
  }
  const struct value *value = function_value(e->f, v);
  if (value->def == OP_ID_NONE) {
    value_id outer = e->fused->operands[value->index];
    return emit_load(e, value->index, value_type(e->f, outer), emit_is_packed(e->f, outer), p);
  }
  return emit_op(e, function_op(e->f, value->def), value->index, p);
}

static void remember(struct emit *e, value_id v, const struct point *p, LLVMValueRef x) {
  struct emit_memo memo = {.value = v, .point = *p, .result = x};
  vec_push(&e->memo, memo);
}

void emit_know(struct emit *e, value_id v, struct point *p, LLVMValueRef x) {
  const struct type *type = value_type(e->f, v);
  for (uint32_t i = 0; i < p->rank; i++) {
    if (dim_is_const_value(e->f->module->dims, type->dims[i], 1))
      p->c[i] = coord_zero(e);
  }
  remember(e, v, p, x);
  if (p->width == 1 || !point_is_uniform(p))
    return;
  struct point q = *p;
  q.width = 1;
  remember(e, v, &q, emit_lane(e, x, p->width, 0));
}

LLVMValueRef emit_value(struct emit *e, value_id v, const struct point *p) {
  LLVMValueRef found = find_bound(e, v, p);
  if (!found)
    found = memo_find(e, v, p);
  if (found)
    return found;
  LLVMValueRef x = emit_uncached(e, v, p);
  remember(e, v, p, x);
  return x;
}
