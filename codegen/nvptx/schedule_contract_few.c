/* SPDX-License-Identifier: Apache-2.0 */
/* Contraction with few rows (or few columns): what it takes is the reading of the other operand,
 * called the weights here, each element of which is multiplied with the few rows. They are read
 * once, 16 bytes at a time, as many at once as it takes to keep memory busy: 2 TB/s and more with
 * latencies of most of a microsecond want megabytes on their way.
 *
 *   weights lie along k      a warp has COLUMNS of them; lanes take neighbouring runs of k, and
 *                            their sums are combined by shuffles
 *   along their own dim      a block has few runs of columns and shares k out over its threads;
 *                            sums are combined through shared memory, in the order of threads
 *
 * Weights of few bits are widened on the way by the emitter. Sums are f32 (or as contract has
 * them), each a thread's over its part of k. The few rows are read again and again, from cache.
 * Ends that are not made of whole runs are read element by element. */
#include <string.h>

#include "codegen/contract_shape.h"
#include "codegen/index_math.h"
#include "codegen/nvptx/block.h"
#include "codegen/nvptx/tensor_core.h"
#include "codegen/schedule.h"

enum {
  WARP = 32,
  THREADS = 256,
  WARPS = THREADS / WARP,
  COLUMNS = 2, /* of a warp, along k */
  AHEAD = 4,   /* runs of each that are on their way, along k */
  RUN_K = 8,   /* rows of weights that a thread has on their way, across k */
  BYTES = 16,
  MOST_WIDTH = 16,
  MOST_FEW = 8, /* rows */
  MOST_FEW_TENSOR =
      4, /* where tensor cores could do it: with more of them, arithmetic is what it takes */
  LEAST_K = 64,
  ENOUGH_BLOCKS = 256, /* twice the processors of a large GPU */
  MOST_SUM_BYTES = 32 * 1024,
};

/* Bits of kernel->choice. */
enum {
  FEW_LEFT = 1,
  ALONG_K = 2,
  CHOICE_BITS = 2
}; /* above them: threads beside each other across k */

struct shape {
  struct contract_shape s;
  bool few_left, along_k;
  uint32_t few, width; /* rows; elements of a run */
};

/* ---- plan ---- */

/* Bits of the narrowest operand that has as many elements as the weights: what is streamed. */
static uint32_t stored_bits(const struct kernel *k, const struct type *weights) {
  const struct function *f = k->function;
  struct dim_table *t = f->module->dims;
  const struct op *op = kernel_op(k);
  dim all = type_elements(t, weights);
  uint32_t bits = 8 * dtype_unpacked_bytes(weights->dtype);
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct type *type = value_type(f, op->operands[i]);
    if (all != DIM_NONE && type_elements(t, type) == all && dtype_bits(type->dtype) < bits)
      bits = dtype_bits(type->dtype);
  }
  return bits;
}

static uint32_t width_for(const struct kernel *k, const struct shape *s) {
  const struct type *weights = s->few_left ? s->s.rhs : s->s.lhs;
  uint32_t width = BYTES * 8 / stored_bits(k, weights);
  width = width < MOST_WIDTH ? width : MOST_WIDTH;
  while (!s->along_k && THREADS * s->few * width * dtype_unpacked_bytes(s->s.acc) > MOST_SUM_BYTES)
    width /= 2;
  return width;
}

static void shape_init(const struct kernel *k, struct shape *s, dim few) {
  int64_t n = 0;
  dim_is_const(k->function->module->dims, few, &n);
  s->few = (uint32_t)n;
  s->along_k = contract_lies_along_k(k->function, &s->s, !s->few_left);
  s->width = width_for(k, s);
}

/* Threads beside each other across k: a run of 128 bytes, less where that leaves processors idle,
 * but no less than the 32 bytes that memory gives at once. */
static uint32_t lanes_for(const struct kernel *k, const struct shape *s, dim many) {
  struct dim_table *t = k->function->module->dims;
  int64_t columns, blocks = 1, n;
  if (!dim_is_const(t, many, &columns))
    return 4;
  for (uint32_t i = 0; i < s->s.n_batch && blocks < ENOUGH_BLOCKS; i++)
    blocks *= dim_is_const(t, s->s.batch[i], &n) && n < ENOUGH_BLOCKS ? n : ENOUGH_BLOCKS;
  uint32_t lanes = 8;
  while (lanes > 2 && columns / (lanes * s->width) * blocks < ENOUGH_BLOCKS)
    lanes /= 2;
  return lanes;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  struct dim_table *t = k->function->module->dims;
  struct shape s = {0};
  contract_shape_of(k, &s.s);
  dim m = dim_product(t, s.s.m, s.s.n_m), n = dim_product(t, s.s.n, s.s.n_n);
  dim sum = dim_product(t, s.s.k, s.s.n_k);
  int64_t rows, columns, summed;
  if (m == DIM_NONE || n == DIM_NONE || sum == DIM_NONE ||
      (dim_is_const(t, sum, &summed) && summed < LEAST_K))
    return false;
  bool tensor = isa->capability >= 80 && s.s.lhs->dtype != DTYPE_F32 &&
                matrix_has_product(s.s.lhs->dtype, s.s.rhs->dtype);
  int64_t most = tensor ? MOST_FEW_TENSOR : MOST_FEW;
  bool few_rows = dim_is_const(t, m, &rows) && rows <= most && rows > 0;
  bool few_columns = dim_is_const(t, n, &columns) && columns <= most && columns > 0;
  if (!few_rows && !few_columns)
    return false;
  s.few_left = few_rows && !(few_columns && columns < rows);
  shape_init(k, &s, s.few_left ? m : n);
  dim many = s.few_left ? n : m;
  uint32_t lanes = lanes_for(k, &s, many), per_block = WARPS * COLUMNS;
  if (!s.along_k)
    per_block = lanes * s.width;
  k->choice = (s.few_left ? FEW_LEFT : 0) | (s.along_k ? ALONG_K : 0) | lanes << CHOICE_BITS;
  k->block_threads = THREADS;
  kernel_grid(k, s.s.batch, s.s.n_batch);
  dim blocks = dim_ceildiv(t, many, dim_const(t, per_block));
  kernel_grid(k, &blocks, 1);
  return true;
}

/* ---- a tile ---- */

struct tile {
  struct shape s;
  struct coord batch[IR_MAX_RANK];
  LLVMValueRef many, k; /* sizes: columns of weights, what is summed over */
  LLVMValueRef block;
  LLVMTypeRef type; /* of sums */
};

static LLVMValueRef less(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildICmp(e->b, LLVMIntSLT, a, b, "");
}
static LLVMValueRef at_most(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildICmp(e->b, LLVMIntSLE, a, b, "");
}

static void tile_init(struct emit *e, struct tile *t, LLVMValueRef number) {
  struct shape *s = &t->s;
  struct dim_table *dims = e->f->module->dims;
  contract_shape_of(e->kernel, &s->s);
  s->few_left = e->kernel->choice & FEW_LEFT;
  const dim *few = s->few_left ? s->s.m : s->s.n, *many = s->few_left ? s->s.n : s->s.m;
  uint32_t n_few = s->few_left ? s->s.n_m : s->s.n_n, n_many = s->few_left ? s->s.n_n : s->s.n_m;
  int64_t rows = 1, n;
  for (uint32_t i = 0; i < n_few; i++)
    rows *= dim_is_const(dims, few[i], &n) ? n : 1;
  s->few = (uint32_t)rows;
  s->along_k = e->kernel->choice & ALONG_K;
  s->width = width_for(e->kernel, s);
  t->type = emit_type(e, s->s.acc, 1);
  t->many = emit_product(e, many, n_many);
  t->k = emit_product(e, s->s.k, s->s.n_k);
  uint32_t lanes = e->kernel->choice >> CHOICE_BITS,
           per_block = s->along_k ? WARPS * COLUMNS : lanes * s->width;
  LLVMValueRef blocks = index_quotient(e, index_add_n(e, t->many, per_block - 1), per_block);
  t->block = index_scale(e, LLVMBuildURem(e->b, number, blocks, ""), per_block);
  emit_delinearize(e, LLVMBuildUDiv(e->b, number, blocks, ""), s->s.batch, s->s.n_batch, t->batch);
}

/* Elements of the weights, or of the few rows. */
static LLVMValueRef operand(struct emit *e, const struct tile *t, bool weights, struct coord own,
                            struct coord k, uint32_t width) {
  bool left = t->s.few_left != weights;
  return contract_operand(e, &t->s.s, t->batch, left, own, k, width, t->s.s.acc);
}

static struct coord run_from(LLVMValueRef base, uint32_t width) {
  return (struct coord){.base = base, .stride = width > 1, .align = width};
}

/* From `first` on, as many as there are: beyond the end the last again. */
static struct coord clamped(struct emit *e, LLVMValueRef first, LLVMValueRef end, uint32_t width) {
  if (width == 1)
    return coord_uniform(e, index_min(e, first, index_add_n(e, end, -1)));
  LLVMValueRef lanes = LLVMGetPoison(LLVMVectorType(e->i64, width));
  for (uint32_t i = 0; i < width; i++)
    lanes = LLVMBuildInsertElement(e->b, lanes,
                                   index_min(e, index_add_n(e, first, i), index_add_n(e, end, -1)),
                                   emit_i64(e, i), "");
  return (struct coord){.lanes = lanes};
}

/* x where its element's index is before the end, else 0. */
static LLVMValueRef within(struct emit *e, LLVMValueRef x, LLVMValueRef first, LLVMValueRef end,
                           uint32_t width) {
  LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(x));
  if (width == 1)
    return LLVMBuildSelect(e->b, less(e, first, end), x, zero, "");
  for (uint32_t i = 0; i < width; i++) {
    LLVMValueRef inside = less(e, index_add_n(e, first, i), end);
    LLVMValueRef lane = LLVMBuildSelect(e->b, inside, emit_lane(e, x, width, i),
                                        LLVMConstNull(LLVMGetElementType(LLVMTypeOf(x))), "");
    x = LLVMBuildInsertElement(e->b, x, lane, emit_i64(e, i), "");
  }
  return x;
}

/* The result of a row and a column, stored with what follows it. */
static void finish(struct emit *e, const struct tile *t, LLVMValueRef row, LLVMValueRef column,
                   LLVMValueRef sum) {
  struct coord few = coord_uniform(e, row), many = coord_uniform(e, column);
  struct point p = contract_result_point(e, &t->s.s, t->batch, t->s.few_left ? few : many,
                                         t->s.few_left ? many : few, 1);
  emit_know(e, t->s.s.op->results[0], &p,
            emit_cast(e, sum, t->s.s.acc, t->s.s.a->dtype, CAST_DEFAULT, 1));
  kernel_store_results(e, &p);
}

/* ---- along k ---- */

/* sums[row * COLUMNS + column] += products of `runs` runs, WARP runs apart; with `whole` they are
 * all inside. */
static void add_runs(struct emit *e, const struct tile *t, const LLVMValueRef *columns,
                     LLVMValueRef k0, uint32_t runs, bool whole, LLVMValueRef *sums) {
  uint32_t width = t->s.width;
  LLVMValueRef w[AHEAD][COLUMNS];
  for (uint32_t i = 0; i < runs; i++)
    for (uint32_t c = 0; c < COLUMNS; c++) {
      LLVMValueRef k = index_add_n(e, k0, (int64_t)i * WARP * width);
      struct coord at = whole ? run_from(k, width) : clamped(e, k, t->k, width);
      w[i][c] = operand(e, t, true, coord_uniform(e, columns[c]), at, width);
      if (!whole)
        w[i][c] = within(e, w[i][c], k, t->k, width);
    }
  for (uint32_t i = 0; i < runs; i++)
    for (uint32_t r = 0; r < t->s.few; r++) {
      LLVMValueRef k = index_add_n(e, k0, (int64_t)i * WARP * width);
      struct coord at = whole ? run_from(k, width) : clamped(e, k, t->k, width);
      LLVMValueRef x = operand(e, t, false, coord_uniform(e, emit_i64(e, r)), at, width);
      if (!whole)
        x = within(e, x, k, t->k, width);
      for (uint32_t l = 0; l < width; l++)
        for (uint32_t c = 0; c < COLUMNS; c++) {
          LLVMValueRef *sum = &sums[r * COLUMNS + c];
          LLVMValueRef y = width > 1 ? emit_lane(e, w[i][c], width, l) : w[i][c];
          *sum = contract_multiply_add(e, t->s.s.acc, *sum,
                                       width > 1 ? emit_lane(e, x, width, l) : x, y);
        }
    }
}

/* Loops over runs of this lane from `k` on, `runs` at a time, while they are whole; gives where
 * they end. */
static LLVMValueRef loop_runs(struct emit *e, const struct tile *t, const LLVMValueRef *columns,
                              LLVMValueRef from, uint32_t runs, bool whole, LLVMValueRef *sums) {
  uint32_t n = t->s.few * COLUMNS, width = t->s.width;
  int64_t step = (int64_t)runs * WARP * width;
  LLVMValueRef next[MOST_FEW * COLUMNS], end = t->k;
  if (whole) { /* a run is whole up to k - width, the last of several (runs - 1) steps before */
    end = index_add_n(e, end, 1 - (int64_t)width - (int64_t)(runs - 1) * WARP * width);
  }
  LLVMValueRef carried[MOST_FEW * COLUMNS + 1];
  memcpy(carried, sums, n * sizeof *sums);
  carried[n] = from;
  struct emit_loop l;
  emit_loop_begin(e, &l, from, end, step, n + 1, carried);
  memcpy(next, l.carried, n * sizeof *next);
  add_runs(e, t, columns, l.index, runs, whole, next);
  memcpy(carried, next, n * sizeof *next);
  carried[n] = index_add_n(e, l.index, step);
  emit_loop_end(e, &l, carried);
  memcpy(sums, l.carried, n * sizeof *sums);
  return l.carried[n];
}

/* One of several registers, by a number. */
static LLVMValueRef choose(struct emit *e, const LLVMValueRef *x, uint32_t n, LLVMValueRef number) {
  LLVMValueRef y = x[0];
  for (uint32_t i = 1; i < n; i++)
    y = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntEQ, number, emit_i64(e, i), ""), x[i], y,
                        "");
  return y;
}

static void emit_along_k(struct emit *e, const struct tile *t) {
  LLVMValueRef lane = index_rest(e, e->lane, WARP), warp = index_quotient(e, e->lane, WARP);
  LLVMValueRef first = index_add(e, t->block, index_scale(e, warp, COLUMNS));
  LLVMValueRef columns[COLUMNS], sums[MOST_FEW * COLUMNS];
  uint32_t n = t->s.few * COLUMNS;
  for (uint32_t c = 0; c < COLUMNS; c++)
    columns[c] = index_min(e, index_add_n(e, first, c), index_add_n(e, t->many, -1));
  for (uint32_t i = 0; i < n; i++)
    sums[i] = LLVMConstNull(t->type);
  LLVMValueRef k = index_scale(e, lane, t->s.width), none[MOST_FEW * COLUMNS + 1];
  LLVMValueRef fast[MOST_FEW * COLUMNS + 1], out[MOST_FEW * COLUMNS + 1];
  memcpy(none, sums, n * sizeof *sums);
  none[n] = k;
  struct emit_if s;
  emit_if_begin(e, &s, emit_are_aligned(e, BYTES));
  e->base_align = BYTES;
  LLVMValueRef done = loop_runs(e, t, columns, k, AHEAD, true, sums);
  done = loop_runs(e, t, columns, done, 1, true, sums);
  e->base_align = 0;
  memcpy(fast, sums, n * sizeof *sums);
  fast[n] = done;
  emit_if_else(e, &s, NULL);
  emit_if_end_many(e, &s, n + 1, fast, none, out);
  memcpy(sums, out, n * sizeof *sums);
  loop_runs(e, t, columns, out[n], 1, false, sums);
  for (uint32_t i = 0; i < n; i++)
    sums[i] = warp_combine(e, COMBINER_SUM, t->s.s.acc, sums[i], WARP);
  LLVMValueRef row = index_quotient(e, lane, COLUMNS);
  LLVMValueRef column = index_add(e, first, index_rest(e, lane, COLUMNS));
  LLVMValueRef mine =
      LLVMBuildAnd(e->b, less(e, lane, emit_i64(e, n)), less(e, column, t->many), "");
  LLVMValueRef sum = choose(e, sums, n, lane);
  emit_if_begin(e, &s, mine);
  finish(e, t, row, column, sum);
  emit_if_else(e, &s, NULL);
  emit_if_end(e, &s, NULL);
}

/* ---- across k ---- */

/* sums[row] += products of RUN_K rows of weights with this thread's run of columns. */
static void add_rows(struct emit *e, const struct tile *t, LLVMValueRef column, LLVMValueRef k0,
                     bool whole, LLVMValueRef *sums) {
  uint32_t width = t->s.width;
  LLVMValueRef w[RUN_K], last = index_add_n(e, t->k, -1);
  struct coord own = whole ? run_from(column, width) : clamped(e, column, t->many, width);
  for (uint32_t i = 0; i < RUN_K; i++) {
    LLVMValueRef k = index_add_n(e, k0, i);
    w[i] = operand(e, t, true, own, coord_uniform(e, whole ? k : index_min(e, k, last)), width);
    if (!whole)
      w[i] = LLVMBuildSelect(e->b, less(e, k, t->k), w[i], LLVMConstNull(LLVMTypeOf(w[i])), "");
  }
  for (uint32_t r = 0; r < t->s.few; r++) {
    struct coord row = coord_uniform(e, emit_i64(e, r));
    struct coord at = whole ? run_from(k0, RUN_K) : clamped(e, k0, t->k, RUN_K);
    LLVMValueRef x = operand(e, t, false, row, at, RUN_K);
    if (!whole)
      x = within(e, x, k0, t->k, RUN_K);
    for (uint32_t i = 0; i < RUN_K; i++) {
      LLVMValueRef y = emit_lane(e, x, RUN_K, i);
      sums[r] = contract_multiply_add(e, t->s.s.acc, sums[r],
                                      width > 1 ? emit_splat(e, y, width) : y, w[i]);
    }
  }
}

/* Loops over this thread's rows of weights while they are whole; gives where they end. */
static LLVMValueRef loop_rows(struct emit *e, const struct tile *t, LLVMValueRef column,
                              LLVMValueRef from, uint32_t slices, bool whole, LLVMValueRef *sums) {
  LLVMValueRef carried[MOST_FEW + 1];
  LLVMValueRef end = whole ? index_add_n(e, t->k, 1 - RUN_K) : t->k;
  uint32_t n = t->s.few;
  struct emit_loop l;
  memcpy(carried, sums, n * sizeof *sums);
  carried[n] = from;
  emit_loop_begin(e, &l, from, end, (int64_t)slices * RUN_K, n + 1, carried);
  memcpy(carried, l.carried, n * sizeof *carried);
  add_rows(e, t, column, l.index, whole, carried);
  carried[n] = index_add_n(e, l.index, (int64_t)slices * RUN_K);
  emit_loop_end(e, &l, carried);
  memcpy(sums, l.carried, n * sizeof *sums);
  return l.carried[n];
}

static LLVMValueRef sum_at(struct emit *e, const struct tile *t, LLVMValueRef memory,
                           LLVMValueRef index) {
  return LLVMBuildInBoundsGEP2(e->b, t->type, memory, &index, 1, "");
}

/* Sums lie in shared memory as [slice][row][column]. */
static void combine_slices(struct emit *e, const struct tile *t, uint32_t lanes, LLVMValueRef slice,
                           LLVMValueRef run, const LLVMValueRef *sums) {
  uint32_t columns = lanes * t->s.width, slices = THREADS / lanes, n = t->s.few * columns;
  LLVMValueRef memory = block_shared(e, "sums", t->type, slices * n);
  block_barrier(e); /* the tile before has been read */
  for (uint32_t r = 0; r < t->s.few; r++) {
    LLVMValueRef to = index_add_n(e, index_scale(e, slice, n), (int64_t)r * columns);
    to = index_add(e, to, index_scale(e, run, t->s.width));
    LLVMValueRef x = LLVMBuildStore(e->b, sums[r], sum_at(e, t, memory, to));
    uint32_t bytes = t->s.width * dtype_unpacked_bytes(t->s.s.acc);
    LLVMSetAlignment(x, bytes < BYTES ? bytes : BYTES);
  }
  block_barrier(e);
  struct emit_loop each, l;
  emit_loop_begin(e, &each, e->lane, emit_i64(e, n), THREADS, 0, NULL);
  LLVMValueRef row = index_quotient(e, each.index, columns);
  LLVMValueRef column = index_add(e, t->block, index_rest(e, each.index, columns));
  struct emit_if s;
  emit_if_begin(e, &s, less(e, column, t->many));
  LLVMValueRef zero = LLVMConstNull(t->type);
  emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, slices), 1, 1, &zero);
  LLVMValueRef from = index_add(e, index_scale(e, l.index, n), each.index);
  LLVMValueRef x = LLVMBuildLoad2(e->b, t->type, sum_at(e, t, memory, from), "");
  x = emit_combine(e, COMBINER_SUM, t->s.s.acc, l.carried[0], x, 1);
  emit_loop_end(e, &l, &x);
  finish(e, t, row, column, l.carried[0]);
  emit_if_else(e, &s, NULL);
  emit_if_end(e, &s, NULL);
  emit_loop_end(e, &each, NULL);
}

static void emit_across_k(struct emit *e, const struct tile *t) {
  uint32_t lanes = e->kernel->choice >> CHOICE_BITS, slices = THREADS / lanes, n = t->s.few;
  LLVMValueRef run = index_rest(e, e->lane, lanes), slice = index_quotient(e, e->lane, lanes);
  LLVMValueRef column = index_add(e, t->block, index_scale(e, run, t->s.width));
  LLVMValueRef k = index_scale(e, slice, RUN_K), sums[MOST_FEW], none[MOST_FEW + 1];
  LLVMValueRef fast[MOST_FEW + 1], out[MOST_FEW + 1];
  for (uint32_t r = 0; r < n; r++)
    none[r] = sums[r] = LLVMConstNull(emit_type(e, t->s.s.acc, t->s.width));
  none[n] = k;
  LLVMValueRef whole = at_most(e, index_add_n(e, column, t->s.width), t->many);
  struct emit_if s;
  emit_if_begin(e, &s, LLVMBuildAnd(e->b, whole, emit_are_aligned(e, BYTES), ""));
  e->base_align = BYTES;
  LLVMValueRef done = loop_rows(e, t, column, k, slices, true, sums);
  e->base_align = 0;
  memcpy(fast, sums, n * sizeof *sums);
  fast[n] = done;
  emit_if_else(e, &s, NULL);
  emit_if_end_many(e, &s, n + 1, fast, none, out);
  memcpy(sums, out, n * sizeof *sums);
  loop_rows(e, t, column, out[n], slices, false, sums);
  combine_slices(e, t, lanes, slice, run, sums);
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  tile_init(e, &t, number);
  if (t.s.along_k)
    emit_along_k(e, &t);
  else
    emit_across_k(e, &t);
}

const struct schedule schedule_contract_few = {"contract_few", ROOT_KIND_CONTRACT, plan, emit};
