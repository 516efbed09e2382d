/* SPDX-License-Identifier: Apache-2.0 */
/* Attention by the threads of a block, with a running softmax: scores exist only as a block in
 * registers and shared memory.
 *
 * A row is a query of one head. The heads that share a head of k and v lie side by side, query by
 * query, so that a tile reads the keys of its rows once, also where there is but one query. A tile
 * is SIDE * `rows` of them; thread (y, x) of SIDE x SIDE has the rows y + SIDE * i and
 *
 *   per KEYS keys:   scores of the keys x + SIDE * j       k in shared memory
 *                    their maximum and sum                 over the SIDE threads of a row
 *                    weights to shared memory
 *                    sums of SIDE * `wide` columns of v    v in shared memory, where k was
 *
 * Sums then go to shared memory, from which the epilogue takes them. All is f32, whatever the
 * operands are. Keys that the causal mask or the window hides from all rows of the tile are not
 * read, where they lie in the order of their positions.
 *
 * Source of the running softmax: Milakov, Gimelshein, "Online normalizer calculation for softmax"
 * (2018). */
#include "codegen/contract_util.h"
#include "codegen/emit_view.h"
#include "codegen/index_math.h"
#include "codegen/nvptx/block.h"
#include "codegen/schedule.h"

enum {
  SIDE = 16,
  THREADS = SIDE * SIDE,
  KEYS = 32,
  PER_KEYS = KEYS / SIDE, /* scores of a row that a thread has */
  STEP = 4,               /* floats that a thread reads of shared memory at once */
  MOST_ROWS = 4,
  MOST_SUMS = 64,           /* of a thread */
  SHARED_FLOATS = 12 * 1024 /* 48 KiB: what a block has without being asked for */
};

struct shape {
  const struct op *op;
  const struct attention_attrs *a;
  const struct type *q, *k, *v, *o;
  int64_t size, depth;  /* of heads of q and k; of v */
  int64_t group;        /* heads of q to one of k */
  int64_t rows;         /* of a tile, per SIDE */
  int64_t wide, groups; /* neighbouring columns of v that a thread has, and how often */
  int64_t padded;       /* size in whole steps */
  int64_t stride;  /* from key to key in shared memory, so that neighbours fall on other banks */
  int64_t columns; /* of v, in whole threads */
  int64_t at_weights, at_keys, floats; /* shared memory: queries, weights, keys or values */
};

static int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t round_up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }

static void place(struct shape *s) {
  s->at_weights = SIDE * s->rows * s->padded;
  s->at_keys = s->at_weights + SIDE * s->rows * KEYS;
  s->floats =
      max_of(s->at_keys + KEYS * max_of(s->stride, s->columns), SIDE * s->rows * s->columns);
}

/* False where this schedule does not apply. */
static bool shape_of(const struct kernel *kernel, struct shape *s) {
  const struct function *f = kernel->function;
  const struct dim_table *t = f->module->dims;
  *s = (struct shape){.op = kernel_root_op(kernel, OP_ATTENTION)};
  s->a = OP_ATTRS(attention, s->op);
  s->q = value_type(f, s->op->operands[0]);
  s->k = value_type(f, s->op->operands[1]);
  s->v = value_type(f, s->op->operands[2]);
  s->o = value_type(f, s->op->results[0]);
  int64_t heads, shared, queries;
  if (dtype_compute(s->q->dtype) != DTYPE_F32 || !dim_is_const(t, s->q->dims[3], &s->size) ||
      !dim_is_const(t, s->v->dims[3], &s->depth) || !dim_is_const(t, s->q->dims[1], &heads) ||
      !dim_is_const(t, s->k->dims[1], &shared))
    return false;
  if (s->size < 1 || s->size > SHARED_FLOATS || s->depth < 1 || s->depth > SHARED_FLOATS ||
      shared < 1 || heads < 1)
    return false;
  s->group = heads / shared;
  s->wide = s->depth > 2 * SIDE ? 4 : s->depth > SIDE ? 2 : 1;
  s->columns = round_up(s->depth, SIDE * s->wide);
  s->groups = s->columns / (SIDE * s->wide);
  s->padded = round_up(s->size, STEP);
  s->stride = s->padded + STEP;
  s->rows = MOST_ROWS;
  if (dim_is_const(t, s->q->dims[2], &queries) && queries < SIDE * MOST_ROWS)
    while (s->rows > 1 && queries * s->group <= SIDE * (s->rows / 2))
      s->rows /= 2;
  for (place(s);
       s->rows > 1 && (s->floats > SHARED_FLOATS || s->rows * s->groups * s->wide > MOST_SUMS);
       place(s))
    s->rows /= 2;
  return s->floats <= SHARED_FLOATS && s->groups * s->wide <= MOST_SUMS;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct shape s;
  struct dim_table *t = k->function->module->dims;
  if (!shape_of(k, &s))
    return false;
  dim rows = dim_mul(t, s.q->dims[2], dim_const(t, s.group));
  if (rows == DIM_NONE)
    return false;
  dim blocks = dim_ceildiv(t, rows, dim_const(t, SIDE * s.rows));
  k->block_threads = THREADS;
  if (s.a->parts)
    kernel_grid(k, s.o->dims, 1);
  kernel_grid(k, s.k->dims, 2);
  kernel_grid(k, &blocks, 1);
  return true;
}

/* ---- emission ---- */

struct tile {
  struct shape s;
  LLVMValueRef part;         /* of the keys; NULL: all of them */
  LLVMValueRef batch, head;  /* of k and v */
  LLVMValueRef row0, all;    /* first row; rows of this head of k */
  LLVMValueRef q_len, k_len; /* queries, keys */
  LLVMValueRef x, y;         /* this thread's place */
  LLVMValueRef shared;
};

/* Of a thread, from block to block of keys. */
struct state {
  LLVMValueRef most[MOST_ROWS], total[MOST_ROWS], sums[MOST_SUMS];
};

static LLVMValueRef f32(struct emit *e, double x) { return LLVMConstReal(e->f32, x); }

static LLVMValueRef at(struct emit *e, const struct tile *t, LLVMValueRef index) {
  return LLVMBuildInBoundsGEP2(e->b, e->f32, t->shared, &index, 1, "");
}

/* `n` neighbours, which lie at a multiple of n. */
static LLVMValueRef load(struct emit *e, const struct tile *t, LLVMValueRef index, uint32_t n) {
  LLVMTypeRef type = n == 1 ? e->f32 : LLVMVectorType(e->f32, n);
  LLVMValueRef x = LLVMBuildLoad2(e->b, type, at(e, t, index), "");
  LLVMSetAlignment(x, 4 * n);
  return x;
}

static void store(struct emit *e, const struct tile *t, LLVMValueRef index, LLVMValueRef x,
                  uint32_t n) {
  LLVMSetAlignment(LLVMBuildStore(e->b, x, at(e, t, index)), 4 * n);
}

static void tile_init(struct emit *e, struct tile *t, LLVMValueRef number) {
  const struct shape *s = &t->s;
  shape_of(e->kernel, &t->s);
  t->q_len = emit_dim(e, s->q->dims[2]);
  t->k_len = emit_dim(e, s->k->dims[2]);
  t->all = index_scale(e, t->q_len, s->group);
  LLVMValueRef up = index_add_n(e, t->all, SIDE * s->rows - 1);
  LLVMValueRef blocks = index_quotient(e, up, SIDE * s->rows), heads = emit_dim(e, s->k->dims[1]);
  t->row0 = index_scale(e, LLVMBuildURem(e->b, number, blocks, ""), SIDE * s->rows);
  number = LLVMBuildUDiv(e->b, number, blocks, "");
  t->head = LLVMBuildURem(e->b, number, heads, "");
  t->batch = LLVMBuildUDiv(e->b, number, heads, "");
  if (s->a->parts) {
    LLVMValueRef batches = emit_dim(e, s->k->dims[0]);
    t->part = LLVMBuildUDiv(e->b, t->batch, batches, "");
    t->batch = LLVMBuildURem(e->b, t->batch, batches, "");
  }
  t->x = index_rest(e, e->lane, SIDE);
  t->y = index_quotient(e, e->lane, SIDE);
  t->shared = block_shared(e, "tile", e->f32, (uint32_t)s->floats);
}

/* Row `row` of the tile as a query and its head; beyond the last row, the last. */
static LLVMValueRef row_of(struct emit *e, const struct tile *t, LLVMValueRef row) {
  return index_min(e, index_add(e, t->row0, row), index_add_n(e, t->all, -1));
}
static LLVMValueRef query_of(struct emit *e, const struct tile *t, LLVMValueRef row) {
  return index_quotient(e, row, t->s.group);
}
static LLVMValueRef head_of(struct emit *e, const struct tile *t, LLVMValueRef row) {
  return index_add(e, index_scale(e, t->head, t->s.group), index_rest(e, row, t->s.group));
}

/* ---- operands to shared memory ---- */

/* Columns of an operand that are read at once: 16 bytes, where rows are made of that. */
static uint32_t width_of(const struct type *type, int64_t n) {
  uint32_t width = 16 / dtype_unpacked_bytes(type->dtype);
  if (width > 8)
    width = 8;
  while (width > 1 && n % width)
    width /= 2;
  return width;
}

struct bring {
  uint32_t operand;
  int64_t columns, stride, to; /* whole columns; where they lie */
  int64_t rows;
  LLVMValueRef first, end; /* keys; first NULL: the tile's rows of q */
};

/* Zeros beyond the operand's edges. */
static void bring(struct emit *e, const struct tile *t, const struct bring *w) {
  value_id v = t->s.op->operands[w->operand];
  const struct type *type = value_type(e->f, v);
  int64_t n = w->operand == 2 ? t->s.depth : t->s.size;
  uint32_t width = width_of(type, n);
  int64_t steps = round_up(w->columns, width) / width;
  struct emit_loop l;
  emit_loop_begin(e, &l, e->lane, emit_i64(e, w->rows * steps), THREADS, 0, NULL);
  LLVMValueRef line = index_quotient(e, l.index, steps),
               column = index_scale(e, index_rest(e, l.index, steps), width);
  struct point p = {.rank = 4, .width = width};
  LLVMValueRef inside = LLVMBuildICmp(e->b, LLVMIntSLT, column, emit_i64(e, n), "");
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, t->head);
  if (w->first) {
    LLVMValueRef key = index_add(e, w->first, line);
    p.c[2] = coord_uniform(e, key);
    inside = LLVMBuildAnd(e->b, inside, LLVMBuildICmp(e->b, LLVMIntSLT, key, w->end, ""), "");
  } else {
    LLVMValueRef row = row_of(e, t, line);
    p.c[1] = coord_uniform(e, head_of(e, t, row));
    p.c[2] = coord_uniform(e, query_of(e, t, row));
  }
  p.c[3] = (struct coord){.base = column, .stride = width > 1, .align = width};
  struct emit_if s;
  emit_if_begin(e, &s, inside);
  LLVMValueRef x = emit_value(e, v, &p);
  x = emit_cast(e, x, type->dtype, DTYPE_F32, CAST_DEFAULT, width);
  emit_if_else(e, &s, x);
  x = emit_if_end(e, &s, LLVMConstNull(LLVMTypeOf(x)));
  LLVMValueRef to = index_add_n(e, index_add(e, index_scale(e, line, w->stride), column), w->to);
  for (uint32_t i = 0; i < width; i++)
    store(e, t, index_add_n(e, to, i), emit_lane(e, x, width, i), 1);
  emit_loop_end(e, &l, NULL);
}

/* ---- scores ---- */

static LLVMValueRef position(struct emit *e, const struct tile *t, uint32_t operand, dim length,
                             LLVMValueRef index) {
  value_id v = t->s.op->operands[operand];
  struct type pair = {.rank = 2};
  struct point p = {.rank = 2, .width = 1}, q;
  pair.dims[0] = t->s.q->dims[0];
  pair.dims[1] = length;
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, index);
  point_broadcast(e, value_type(e->f, v), &pair, &p, &q);
  return emit_value(e, v, &q);
}

static LLVMValueRef query_position(struct emit *e, const struct tile *t, LLVMValueRef query) {
  const struct attention_attrs *a = t->s.a;
  if (a->has_pos)
    return position(e, t, a->has_bias ? 4 : 3, t->s.q->dims[2], query);
  return index_add(e, query, index_sub(e, t->k_len, t->q_len));
}

static bool is_masked(const struct attention_attrs *a) { return a->causal || a->window > 0; }

/* i1: this key, which there is, takes part for this query. */
static LLVMValueRef attends(struct emit *e, const struct tile *t, LLVMValueRef query,
                            LLVMValueRef key) {
  const struct attention_attrs *a = t->s.a;
  LLVMValueRef yes = LLVMConstInt(e->i1, 1, false);
  if (!is_masked(a))
    return yes;
  LLVMValueRef q_pos = query_position(e, t, query), k_pos = key;
  if (a->has_pos)
    k_pos = position(e, t, a->has_bias ? 5 : 4, t->s.k->dims[2], key);
  if (a->causal)
    yes = LLVMBuildICmp(e->b, LLVMIntSLE, k_pos, q_pos, "");
  if (a->window > 0) {
    LLVMValueRef near =
        LLVMBuildICmp(e->b, LLVMIntSLT, index_sub(e, q_pos, k_pos), emit_i64(e, a->window), "");
    yes = LLVMBuildAnd(e->b, yes, near, "");
  }
  return yes;
}

static LLVMValueRef bias(struct emit *e, const struct tile *t, LLVMValueRef row, LLVMValueRef key) {
  value_id v = t->s.op->operands[3];
  struct type full = *t->s.q;
  full.dims[3] = t->s.k->dims[2];
  struct point p = {.rank = 4, .width = 1}, q;
  p.c[0] = coord_uniform(e, t->batch);
  p.c[1] = coord_uniform(e, head_of(e, t, row));
  p.c[2] = coord_uniform(e, query_of(e, t, row));
  p.c[3] = coord_uniform(e, key);
  point_broadcast(e, value_type(e->f, v), &full, &p, &q);
  return emit_cast(e, emit_value(e, v, &q), value_type(e->f, v)->dtype, DTYPE_F32, CAST_DEFAULT, 1);
}

/* The score of a key for a row, from their product; -inf where the key takes no part. */
static LLVMValueRef finished(struct emit *e, const struct tile *t, LLVMValueRef row,
                             LLVMValueRef key, LLVMValueRef end, LLVMValueRef x) {
  const struct attention_attrs *a = t->s.a;
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
  x = LLVMBuildSelect(e->b, attends(e, t, query_of(e, t, row), key), x, minus, "");
  emit_if_else(e, &s, x);
  return emit_if_end(e, &s, minus);
}

static LLVMValueRef weight_at(struct emit *e, const struct tile *t, LLVMValueRef row,
                              LLVMValueRef column) {
  return index_add_n(e, index_add(e, index_scale(e, row, KEYS), column), t->s.at_weights);
}
static LLVMValueRef own_row(struct emit *e, const struct tile *t, int64_t i) {
  return index_add_n(e, t->y, SIDE * i);
}
static LLVMValueRef own_column(struct emit *e, const struct tile *t, int64_t j) {
  return index_add_n(e, t->x, SIDE * j);
}

/* One of this thread's scores after another, where they lie: what finishes them may be long. */
static void finish_scores(struct emit *e, const struct tile *t, LLVMValueRef key0,
                          LLVMValueRef end) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, t->s.rows * PER_KEYS), 1, 0, NULL);
  LLVMValueRef row = index_add(e, t->y, index_scale(e, index_quotient(e, l.index, PER_KEYS), SIDE));
  LLVMValueRef column = index_add(e, t->x, index_scale(e, index_rest(e, l.index, PER_KEYS), SIDE));
  LLVMValueRef place = weight_at(e, t, row, column);
  LLVMValueRef x =
      finished(e, t, row_of(e, t, row), index_add(e, key0, column), end, load(e, t, place, 1));
  store(e, t, place, x, 1);
  emit_loop_end(e, &l, NULL);
}

/* Products of this thread's rows and keys. */
static void scores(struct emit *e, const struct tile *t, LLVMValueRef *out) {
  const struct shape *s = &t->s;
  uint32_t n = (uint32_t)s->rows * PER_KEYS;
  LLVMValueRef q[MOST_ROWS], k[PER_KEYS], next[MOST_ROWS * PER_KEYS];
  for (uint32_t i = 0; i < n; i++)
    out[i] = f32(e, 0);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, s->padded), STEP, n, out);
  for (int64_t i = 0; i < s->rows; i++)
    q[i] = load(e, t, index_add(e, index_scale(e, own_row(e, t, i), s->padded), l.index), STEP);
  for (int64_t j = 0; j < PER_KEYS; j++) {
    LLVMValueRef from = index_add(e, index_scale(e, own_column(e, t, j), s->stride), l.index);
    k[j] = load(e, t, index_add_n(e, from, s->at_keys), STEP);
  }
  for (uint32_t i = 0; i < n; i++) {
    next[i] = l.carried[i];
    for (uint32_t c = 0; c < STEP; c++)
      next[i] = contract_multiply_add(e, DTYPE_F32, next[i], emit_lane(e, q[i / PER_KEYS], STEP, c),
                                      emit_lane(e, k[i % PER_KEYS], STEP, c));
  }
  emit_loop_end(e, &l, next);
  for (uint32_t i = 0; i < n; i++)
    out[i] = l.carried[i];
}

/* ---- the softmax ---- */

/* Of one row: its scores become weights, in shared memory, and its sums are corrected. */
static void soften(struct emit *e, const struct tile *t, int64_t i, struct state *st) {
  const struct shape *s = &t->s;
  LLVMValueRef x[PER_KEYS], place[PER_KEYS], most = st->most[i], sum = f32(e, 0);
  for (int64_t j = 0; j < PER_KEYS; j++) {
    place[j] = weight_at(e, t, own_row(e, t, i), own_column(e, t, j));
    x[j] = load(e, t, place[j], 1);
    most = emit_combine(e, COMBINER_MAX, DTYPE_F32, most, x[j], 1);
  }
  most = warp_combine(e, COMBINER_MAX, DTYPE_F32, most, SIDE);
  LLVMValueRef dead = LLVMBuildFCmp(e->b, LLVMRealOEQ, most, f32(e, -__builtin_inf()), "");
  LLVMValueRef shift = LLVMBuildSelect(e->b, dead, f32(e, 0), most, "");
  LLVMValueRef correction = LLVMBuildFSub(e->b, st->most[i], shift, "");
  correction = vmath_emit(e->math, e->b, VMATH_exp, &correction);
  for (int64_t j = 0; j < PER_KEYS; j++) {
    x[j] = LLVMBuildFSub(e->b, x[j], shift, "");
    x[j] = vmath_emit(e->math, e->b, VMATH_exp, &x[j]);
    store(e, t, place[j], x[j], 1);
    sum = LLVMBuildFAdd(e->b, sum, x[j], "");
  }
  sum = warp_combine(e, COMBINER_SUM, DTYPE_F32, sum, SIDE);
  st->most[i] = most;
  st->total[i] = contract_multiply_add(e, DTYPE_F32, sum, st->total[i], correction);
  for (int64_t j = 0; j < s->groups * s->wide; j++) {
    LLVMValueRef *x_sum = &st->sums[i * s->groups * s->wide + j];
    *x_sum = LLVMBuildFMul(e->b, *x_sum, correction, "");
  }
}

/* sums += weights * v over the keys in shared memory. */
static void weigh(struct emit *e, const struct tile *t, struct state *st) {
  const struct shape *s = &t->s;
  uint32_t per_row = (uint32_t)(s->groups * s->wide), n = (uint32_t)s->rows * per_row;
  LLVMValueRef w[MOST_ROWS], next[MOST_SUMS];
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, KEYS), 1, n, st->sums);
  for (int64_t i = 0; i < s->rows; i++)
    w[i] = load(e, t, weight_at(e, t, own_row(e, t, i), l.index), 1);
  LLVMValueRef line = index_add_n(
      e, index_add(e, index_scale(e, l.index, s->columns), index_scale(e, t->x, s->wide)),
      s->at_keys);
  for (int64_t g = 0; g < s->groups; g++) {
    LLVMValueRef v = load(e, t, index_add_n(e, line, g * SIDE * s->wide), (uint32_t)s->wide);
    for (int64_t c = 0; c < s->wide; c++) {
      LLVMValueRef x = emit_lane(e, v, (uint32_t)s->wide, (uint32_t)c);
      for (int64_t i = 0; i < s->rows; i++) {
        int64_t own = i * per_row + g * s->wide + c;
        next[own] = contract_multiply_add(e, DTYPE_F32, l.carried[own], w[i], x);
      }
    }
  }
  emit_loop_end(e, &l, next);
  for (uint32_t i = 0; i < n; i++)
    st->sums[i] = l.carried[i];
}

static void key_block(struct emit *e, const struct tile *t, LLVMValueRef key0, LLVMValueRef end,
                      struct state *st) {
  const struct shape *s = &t->s;
  LLVMValueRef x[MOST_ROWS * PER_KEYS];
  block_barrier(e); /* the values before have been read */
  bring(e, t, &(struct bring){1, s->padded, s->stride, s->at_keys, KEYS, key0, end});
  block_barrier(e);
  scores(e, t, x);
  for (int64_t i = 0; i < s->rows * PER_KEYS; i++)
    store(e, t, weight_at(e, t, own_row(e, t, i / PER_KEYS), own_column(e, t, i % PER_KEYS)), x[i],
          1);
  finish_scores(e, t, key0, end);
  for (int64_t i = 0; i < s->rows; i++)
    soften(e, t, i, st);
  block_barrier(e); /* the keys have been read, the weights are there */
  bring(e, t, &(struct bring){2, s->columns, s->columns, s->at_keys, KEYS, key0, end});
  block_barrier(e);
  weigh(e, t, st);
}

/* ---- which keys ---- */

static bool keys_in_order(const struct emit *e, const struct tile *t) {
  const struct op *op = value_def(e->f, t->s.op->operands[t->s.a->has_bias ? 5 : 4]);
  return op && op->kind == OP_IOTA && OP_ATTRS(iota, op)->axis == 1;
}

/* The keys that some row of the tile may see, whatever the part. */
static void seen_range(struct emit *e, const struct tile *t, LLVMValueRef *lo, LLVMValueRef *hi) {
  const struct attention_attrs *a = t->s.a;
  LLVMValueRef zero = emit_i64(e, 0), last = index_add_n(e, t->k_len, -1);
  *lo = zero;
  *hi = t->k_len;
  if (!is_masked(a) || (a->has_pos && !keys_in_order(e, t)))
    return;
  LLVMValueRef first_query = query_of(e, t, t->row0);
  LLVMValueRef last_query = query_of(e, t, row_of(e, t, emit_i64(e, SIDE * t->s.rows - 1)));
  LLVMValueRef range[2];
  if (a->has_pos) {
    LLVMValueRef init[2] = {last, emit_i64(e, -1)};
    struct emit_loop l;
    emit_loop_begin(e, &l, index_add(e, first_query, e->lane), index_add_n(e, last_query, 1),
                    THREADS, 2, init);
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

static void key_range(struct emit *e, const struct tile *t, LLVMValueRef *lo, LLVMValueRef *hi) {
  LLVMValueRef first, end;
  seen_range(e, t, lo, hi);
  if (!t->part)
    return;
  emit_attention_part(e, t->s.op, t->part, &first, &end);
  *lo = index_max(e, *lo, first);
  *hi = index_min(e, *hi, end);
}

/* ---- results ---- */

/* Of a result of this rank (without a dim of parts), at a row of the tile. */
static struct point result_point(struct emit *e, const struct tile *t, LLVMValueRef row,
                                 uint32_t rank) {
  uint32_t n = 0;
  struct point p = {.rank = rank + (t->part != NULL), .width = 1};
  row = row_of(e, t, row);
  if (t->part)
    p.c[n++] = coord_uniform(e, t->part);
  p.c[n++] = coord_uniform(e, t->batch);
  p.c[n++] = coord_uniform(e, head_of(e, t, row));
  p.c[n++] = coord_uniform(e, query_of(e, t, row));
  return p;
}

static LLVMValueRef is_row(struct emit *e, const struct tile *t, LLVMValueRef row) {
  return LLVMBuildICmp(e->b, LLVMIntSLT, index_add(e, t->row0, row), t->all, "");
}

static void store_lse(struct emit *e, const struct tile *t, const struct state *st) {
  if (!t->s.a->lse)
    return;
  LLVMValueRef first = LLVMBuildICmp(e->b, LLVMIntEQ, t->x, emit_i64(e, 0), "");
  for (int64_t i = 0; i < t->s.rows; i++) {
    LLVMValueRef row = own_row(e, t, i), total = st->total[i];
    LLVMValueRef none = LLVMBuildFCmp(e->b, LLVMRealOEQ, total, f32(e, 0), "");
    LLVMValueRef log = vmath_emit(e->math, e->b, VMATH_log, &total);
    LLVMValueRef x = LLVMBuildFAdd(e->b, st->most[i], log, "");
    x = LLVMBuildSelect(e->b, none, st->most[i], x, "");
    struct emit_if s;
    emit_if_begin(e, &s, LLVMBuildAnd(e->b, first, is_row(e, t, row), ""));
    struct point p = result_point(e, t, row, 3);
    emit_know(e, t->s.op->results[1], &p, x);
    kernel_store_lse(e, &p);
    emit_if_else(e, &s, NULL);
    emit_if_end(e, &s, NULL);
  }
}

/* Sums over totals, 1 where no key was seen. */
static void share_sums(struct emit *e, const struct tile *t, const struct state *st) {
  const struct shape *s = &t->s;
  int64_t per_row = s->groups * s->wide;
  for (int64_t i = 0; i < s->rows; i++) {
    LLVMValueRef none = LLVMBuildFCmp(e->b, LLVMRealOEQ, st->total[i], f32(e, 0), "");
    LLVMValueRef total = LLVMBuildSelect(e->b, none, f32(e, 1), st->total[i], "");
    LLVMValueRef line =
        index_add(e, index_scale(e, own_row(e, t, i), s->columns), index_scale(e, t->x, s->wide));
    for (int64_t j = 0; j < per_row; j++) {
      LLVMValueRef x = LLVMBuildFDiv(e->b, st->sums[i * per_row + j], total, "");
      store(e, t, index_add_n(e, line, j / s->wide * SIDE * s->wide + j % s->wide), x, 1);
    }
  }
}

static void finish(struct emit *e, const struct tile *t, const struct state *st) {
  const struct shape *s = &t->s;
  store_lse(e, t, st);
  block_barrier(e);
  share_sums(e, t, st);
  block_barrier(e);
  uint32_t width = width_of(s->o, s->depth);
  int64_t steps = s->depth / width;
  struct emit_loop l;
  emit_loop_begin(e, &l, e->lane, emit_i64(e, SIDE * s->rows * steps), THREADS, 0, NULL);
  LLVMValueRef row = index_quotient(e, l.index, steps),
               column = index_scale(e, index_rest(e, l.index, steps), width);
  struct emit_if inside;
  emit_if_begin(e, &inside, is_row(e, t, row));
  LLVMValueRef place = index_add(e, index_scale(e, row, s->columns), column), x = NULL;
  if (width == 1)
    x = load(e, t, place, 1);
  else
    x = LLVMGetPoison(LLVMVectorType(e->f32, width));
  for (uint32_t i = 0; width > 1 && i < width; i++)
    x = LLVMBuildInsertElement(e->b, x, load(e, t, index_add_n(e, place, i), 1), emit_i64(e, i),
                               "");
  struct point p = result_point(e, t, row, 4);
  p.width = width;
  p.c[p.rank - 1] = (struct coord){.base = column, .stride = width > 1, .align = width};
  emit_know(e, s->op->results[0], &p, emit_round_to(e, s->o->dtype, x, width));
  kernel_store_results(e, &p);
  emit_if_else(e, &inside, NULL);
  emit_if_end(e, &inside, NULL);
  emit_loop_end(e, &l, NULL);
  block_barrier(e); /* before the next tile's queries */
}

/* The state as what a loop carries, and back. */
static uint32_t pack(const struct shape *s, const struct state *st, LLVMValueRef *out) {
  uint32_t n = 0;
  for (int64_t i = 0; i < s->rows; i++) {
    out[n++] = st->most[i];
    out[n++] = st->total[i];
  }
  for (int64_t i = 0; i < s->rows * s->groups * s->wide; i++)
    out[n++] = st->sums[i];
  return n;
}
static void unpack(const struct shape *s, const LLVMValueRef *in, struct state *st) {
  for (int64_t i = 0; i < s->rows; i++) {
    st->most[i] = *in++;
    st->total[i] = *in++;
  }
  for (int64_t i = 0; i < s->rows * s->groups * s->wide; i++)
    st->sums[i] = *in++;
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  struct state st;
  LLVMValueRef carried[EMIT_MAX_CARRIED], lo, hi;
  tile_init(e, &t, number);
  const struct shape *s = &t.s;
  for (int64_t i = 0; i < MOST_ROWS; i++) {
    st.most[i] = f32(e, -__builtin_inf());
    st.total[i] = f32(e, 0);
  }
  for (int64_t i = 0; i < MOST_SUMS; i++)
    st.sums[i] = f32(e, 0);
  bring(e, &t, &(struct bring){0, s->padded, s->padded, 0, SIDE * s->rows, NULL, NULL});
  key_range(e, &t, &lo, &hi);
  struct emit_loop l;
  uint32_t n = pack(s, &st, carried);
  emit_loop_begin(e, &l, lo, hi, KEYS, n, carried);
  unpack(s, l.carried, &st);
  key_block(e, &t, l.index, hi, &st);
  pack(s, &st, carried);
  emit_loop_end(e, &l, carried);
  unpack(s, l.carried, &st);
  finish(e, &t, &st);
}

const struct schedule schedule_attention_block = {"attention_block", ROOT_KIND_ATTENTION, plan,
                                                  emit};
