/* SPDX-License-Identifier: Apache-2.0 */
/* Attention by the threads of a block, with a running softmax: scores exist only as a block in
 * registers and shared memory.
 *
 * A tile (block_attention.h) is SIDE * `rows` rows; thread (y, x) of SIDE x SIDE has the rows y +
 * SIDE * i and
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
#include "codegen/index_math.h"
#include "codegen/nvptx/block.h"
#include "codegen/nvptx/block_attention.h"

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
  int64_t size, depth;  /* of heads of q and k; of v */
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
static bool shape_of(const struct kernel *kernel, struct block_attention *a, struct shape *s) {
  const struct dim_table *t = kernel->function->module->dims;
  int64_t queries;
  *s = (struct shape){0};
  if (!block_attention_of(kernel, a) || !dim_is_const(t, a->q->dims[3], &s->size) ||
      !dim_is_const(t, a->v->dims[3], &s->depth) || s->size < 1 || s->size > SHARED_FLOATS ||
      s->depth < 1 || s->depth > SHARED_FLOATS)
    return false;
  s->wide = s->depth > 2 * SIDE ? 4 : s->depth > SIDE ? 2 : 1;
  s->columns = round_up(s->depth, SIDE * s->wide);
  s->groups = s->columns / (SIDE * s->wide);
  s->padded = round_up(s->size, STEP);
  s->stride = s->padded + STEP;
  s->rows = MOST_ROWS;
  if (dim_is_const(t, a->q->dims[2], &queries) && queries < SIDE * MOST_ROWS)
    while (s->rows > 1 && queries * a->group <= SIDE * (s->rows / 2))
      s->rows /= 2;
  for (place(s);
       s->rows > 1 && (s->floats > SHARED_FLOATS || s->rows * s->groups * s->wide > MOST_SUMS);
       place(s))
    s->rows /= 2;
  a->rows = SIDE * s->rows;
  return s->floats <= SHARED_FLOATS && s->groups * s->wide <= MOST_SUMS;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct block_attention a;
  struct shape s;
  if (!shape_of(k, &a, &s) || !block_attention_grid(k, &a))
    return false;
  k->block_threads = THREADS;
  return true;
}

/* ---- emission ---- */

struct tile {
  struct block_attention a;
  struct shape s;
  LLVMValueRef x, y; /* this thread's place */
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
  shape_of(e->kernel, &t->a, &t->s);
  block_attention_init(e, &t->a, number);
  t->x = index_rest(e, e->lane, SIDE);
  t->y = index_quotient(e, e->lane, SIDE);
  t->shared = block_shared(e, "tile", e->f32, (uint32_t)t->s.floats);
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
  value_id v = t->a.op->operands[w->operand];
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
  p.c[0] = coord_uniform(e, t->a.batch);
  p.c[1] = coord_uniform(e, t->a.head);
  if (w->first) {
    LLVMValueRef key = index_add(e, w->first, line);
    p.c[2] = coord_uniform(e, key);
    inside = LLVMBuildAnd(e->b, inside, LLVMBuildICmp(e->b, LLVMIntSLT, key, w->end, ""), "");
  } else {
    LLVMValueRef row = block_attention_row(e, &t->a, line);
    p.c[1] = coord_uniform(e, block_attention_head(e, &t->a, row));
    p.c[2] = coord_uniform(e, block_attention_query(e, &t->a, row));
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
  LLVMValueRef x = block_attention_score(e, &t->a, block_attention_row(e, &t->a, row),
                                         index_add(e, key0, column), end, load(e, t, place, 1));
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

/* ---- results ---- */

static void store_lse(struct emit *e, const struct tile *t, const struct state *st) {
  LLVMValueRef first = LLVMBuildICmp(e->b, LLVMIntEQ, t->x, emit_i64(e, 0), "");
  for (int64_t i = 0; t->a.a->lse && i < t->s.rows; i++)
    block_attention_store_lse(e, &t->a, own_row(e, t, i), st->most[i], st->total[i], first);
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
  uint32_t width = width_of(t->a.o, s->depth);
  int64_t steps = s->depth / width;
  struct emit_loop l;
  emit_loop_begin(e, &l, e->lane, emit_i64(e, SIDE * s->rows * steps), THREADS, 0, NULL);
  LLVMValueRef row = index_quotient(e, l.index, steps),
               column = index_scale(e, index_rest(e, l.index, steps), width);
  struct emit_if inside;
  emit_if_begin(e, &inside, block_attention_is_row(e, &t->a, row));
  LLVMValueRef place = index_add(e, index_scale(e, row, s->columns), column), x = NULL;
  if (width == 1)
    x = load(e, t, place, 1);
  else
    x = LLVMGetPoison(LLVMVectorType(e->f32, width));
  for (uint32_t i = 0; width > 1 && i < width; i++)
    x = LLVMBuildInsertElement(e->b, x, load(e, t, index_add_n(e, place, i), 1), emit_i64(e, i),
                               "");
  struct point p = block_attention_result_point(e, &t->a, row, 4);
  p.width = width;
  p.c[p.rank - 1] = (struct coord){.base = column, .stride = width > 1, .align = width};
  emit_know(e, t->a.op->results[0], &p, emit_round_to(e, t->a.o->dtype, x, width));
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
  block_attention_key_range(e, &t.a, THREADS, &lo, &hi);
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
