/* SPDX-License-Identifier: Apache-2.0 */
/* Contraction through a register-blocked micro-kernel.
 *
 * A tile is a block of BLOCK_M rows by BLOCK_N columns of one batch element's product. For each
 * block of BLOCK_K of the contracted index:
 *
 *   lhs   read where it lies, if it is stored as rows of k; else packed into scratch: row by row,
 *         or, if it lies along rows, as columns
 *   rhs   panels of 64 bytes of columns, [panel][k][column]: from the engine, if it is a constant
 *         (packed by the compiler, codegen/pack.h); else packed into scratch
 *
 * The micro-kernel keeps `rows` x 64 bytes of sums in registers: one broadcast of lhs and one fused
 * multiply-add per vector and step of k. Sums go to a block of scratch, from which the epilogue
 * reads them row by row, so prologue and epilogue of any kind are emitted once and run once per
 * element. */
#include <string.h>

#include "codegen/contract_shape.h"
#include "codegen/cpu/micro.h"
#include "codegen/emit_view.h"
#include "codegen/index_math.h"
#include "codegen/pack.h"
#include "codegen/schedule.h"

#define BLOCK_M 48
#define MOST_M 64     /* a block of so many rows at most, where one is enough */
#define LARGEST_M 192 /* rows of a block, where there are at least so many tiles then: */
#define TILES 24
#define COMPUTED_M 192 /* rows of a block whose rhs is computed at some cost */
#define FEW 2          /* rows that are taken one by one, where rhs lies along k */
#define DOT_LANES 32
#define DOT_COLUMNS 2
#define BLOCK_N 64 /* columns of 4 bytes; half as many of 8 */
#define BLOCK_K 256

struct shape {
  struct contract_shape c;
  uint32_t columns; /* of a panel */
  uint32_t block_n;
  int64_t block_k, block_m;
  bool one_block; /* of k */
  bool even;      /* k is known to be */
  bool pairs;     /* products of 16 bits, two at a time; scratch of k is words of two */
  bool wide;      /* the last dim of rhs is k, and a multiple of DOT_LANES */
  int64_t most_m; /* rows, where known; else 0 */
};

/* Whether rhs comes from a map: weights that are widened on the way. */
static bool computed(const struct kernel *kernel, const struct shape *s) {
  const struct op *def = value_def(kernel->function, s->c.op->operands[1]);
  while (def && (def->kind == OP_RESHAPE || def->kind == OP_TRANSPOSE))
    def = value_def(kernel->function, def->operands[0]);
  return def && def->kind == OP_MAP && def->parent == kernel_op(kernel)->regions[0];
}

/* Whether a cast says no more than that x is read as what sums are of: it changes no value. */
static bool only_widens(enum dtype from, enum dtype to) {
  if (dtype_is_float(from))
    return dtype_is_float(to) && dtype_compute(from) == DTYPE_F32 && to == DTYPE_F32;
  return !dtype_is_float(to) && dtype_bits(from) == 8 && dtype_bits(to) == 16 &&
         (dtype_is_signed(to) || !dtype_is_signed(from)) && from != DTYPE_BOOL;
}

/* What rhs is stored as: its operand, or what is widened to that. */
static value_id stored_rhs(const struct kernel *kernel, const struct shape *s) {
  const struct function *f = kernel->function;
  const struct op *def = value_def(f, s->c.op->operands[1]);
  if (!def || def->kind != OP_MAP || def->n_operands != 1)
    return s->c.op->operands[1];
  const struct scalar_body *body = OP_ATTRS(map, def)->body;
  const struct type *from = value_type(f, def->operands[0]);
  if (body->len != 2 || body->insts[1].op != SCALAR_CAST || body->insts[0].op != SCALAR_ARG ||
      !type_same_dims(from, s->c.rhs) || !only_widens(from->dtype, s->c.rhs->dtype))
    return s->c.op->operands[1];
  return def->operands[0];
}

/* The engine's packed form of a constant right-hand side; false where there is none. */
static bool packs(const struct kernel *kernel, const struct shape *s, uint32_t *out_operand) {
  const struct function *f = kernel->function;
  const struct value *v = function_value(f, stored_rhs(kernel, s));
  if (v->def != OP_ID_NONE || s->c.n_batch || dtype_is_sub_byte(v->type.dtype))
    return false;
  if (!kernel_may_pack(kernel, v->index))
    return false;
  for (uint32_t i = 0; i < s->c.n_k;
       i++) { /* k in the constant's own order, so that it is linear */
    if (i && s->c.a->rhs_k.data[i] < s->c.a->rhs_k.data[i - 1])
      return false;
  }
  *out_operand = v->index;
  return true;
}

/* The more rows, the less a panel of rhs costs to fetch; but there should be tiles to share out. */
static int64_t rows_of_block(const struct dim_table *t, const struct shape *s) {
  int64_t n = 1, d;
  for (uint32_t i = 0; i < s->c.n_n; i++)
    n = dim_is_const(t, s->c.n[i], &d) && d < 1 << 20 && n < 1 << 20 ? n * d : 0;
  if (s->most_m > 0 && s->most_m <= MOST_M)
    return s->most_m;
  if (s->most_m <= 0 || !n)
    return BLOCK_M;
  for (int64_t most = LARGEST_M; most > BLOCK_M; most -= BLOCK_M) {
    int64_t blocks = (s->most_m + most - 1) / most;
    if (blocks * ((n + s->block_n - 1) / s->block_n) >= TILES)
      return (s->most_m + blocks - 1) / blocks;
  }
  return BLOCK_M;
}

static void shape_of(const struct kernel *kernel, struct shape *s) {
  const struct function *f = kernel->function;
  *s = (struct shape){0};
  contract_shape_of(kernel, &s->c);
  s->columns = PANEL_BYTES / dtype_unpacked_bytes(s->c.acc);
  s->block_n = BLOCK_N * 4 / dtype_unpacked_bytes(s->c.acc);
  int64_t k = 1, d;
  uint32_t operand;
  for (uint32_t i = 0; i < s->c.n_k && k; i++) {
    k = dim_is_const(f->module->dims, s->c.k[i], &d) && d < 4096 ? k * d : 0;
  }
  if (s->c.n_k && dim_is_const(f->module->dims, s->c.k[s->c.n_k - 1], &d))
    s->wide = d % DOT_LANES == 0 && dtype_unpacked_bytes(s->c.acc) == 4;
  s->most_m = 1;
  for (uint32_t i = 0; i < s->c.n_m && s->most_m; i++) {
    s->most_m = dim_is_const(f->module->dims, s->c.m[i], &d) && d < 4096 ? s->most_m * d : 0;
  }
  s->block_m = rows_of_block(f->module->dims, s);
  if (computed(kernel, s) && !packs(kernel, s, &operand) && (s->most_m == 0 || s->most_m > BLOCK_M))
    s->block_m = COMPUTED_M;
  for (uint32_t i = 0; i < s->c.n_k; i++)
    s->even |= dim_is_const(f->module->dims, s->c.k[i], &d) && d % 2 == 0;
  s->pairs = micro_takes_pairs(s->c.lhs->dtype, s->c.rhs->dtype);
  s->one_block = k > 0 && k <= 2 * BLOCK_K;
  s->block_k = k > 0 && k <= 2 * BLOCK_K ? k : BLOCK_K;
}

static bool plan(struct kernel *k, const struct target_isa *isa) {
  (void)isa;
  struct shape s;
  shape_of(k, &s);
  struct dim_table *t = k->function->module->dims;
  if (s.c.acc == DTYPE_I64 || s.c.acc == DTYPE_U64)
    return false;
  dim m = dim_product(t, s.c.m, s.c.n_m), n = dim_product(t, s.c.n, s.c.n_n);
  int64_t columns;
  if (m == DIM_NONE || n == DIM_NONE || dim_product(t, s.c.k, s.c.n_k) == DIM_NONE)
    return false;
  if (dim_is_const(t, n, &columns) && columns < 4)
    return false;
  kernel_grid(k, s.c.batch, s.c.n_batch);
  dim blocks[2] = {dim_ceildiv(t, m, dim_const(t, s.block_m)),
                   dim_ceildiv(t, n, dim_const(t, s.block_n))};
  kernel_grid(k, blocks, 2);
  int64_t elements = (s.block_m + s.columns) * s.block_k + s.block_k * s.block_n +
                     (s.block_m + MICRO_SPARE_ROWS) * s.block_n;
  kernel_scratch(k, NULL, 0, elements * dtype_unpacked_bytes(s.c.acc));
  uint32_t operand;
  if (packs(k, &s, &operand)) {
    struct kernel_pack pack = {.operand = operand,
                               .pack = {.panels = true, .columns = s.columns, .pairs = s.pairs}};
    for (uint32_t i = 0; i < s.c.n_k; i++)
      pack.pack.k_axes |= 1u << s.c.a->rhs_k.data[i];
    vec_push(&k->packs, pack);
  }
  return true;
}

/* ---- emission ---- */

struct tile {
  struct shape s;
  uint32_t width;             /* lanes of a vector of accumulators */
  LLVMValueRef m0, n0;        /* first row and column */
  LLVMValueRef rows, columns; /* of this block */
  LLVMValueRef k_total;
  struct coord batch[IR_MAX_RANK];
  LLVMValueRef lhs,
      lhs_stride;        /* element (0, 0) of this block and k block; elements between rows */
  LLVMValueRef lhs_step; /* between steps; NULL: 1 */
  bool lhs_direct, rhs_packed;
  uint32_t rhs_operand;
  bool rhs_along;                              /* rhs lies along k, and is not packed */
  LLVMValueRef turned;                         /* scratch: [columns][block_k] */
  LLVMValueRef lhs_scratch, rhs_scratch, sums; /* [BLOCK_M][block_k], [panel][block_k][columns],
                                                  [BLOCK_M][block_n] */
};

static LLVMTypeRef acc_type(struct emit *e, const struct tile *t, uint32_t width) {
  return emit_type(e, t->s.c.acc, width);
}

static LLVMValueRef at(struct emit *e, const struct tile *t, LLVMValueRef base,
                       LLVMValueRef index) {
  return LLVMBuildInBoundsGEP2(e->b, acc_type(e, t, 1), base, &index, 1, "");
}

static LLVMValueRef load_acc(struct emit *e, const struct tile *t, LLVMValueRef p, uint32_t width) {
  LLVMValueRef x = LLVMBuildLoad2(e->b, acc_type(e, t, width), p, "");
  LLVMSetAlignment(x, dtype_unpacked_bytes(t->s.c.acc));
  return x;
}

static void store_acc(struct emit *e, const struct tile *t, LLVMValueRef p, LLVMValueRef x) {
  LLVMSetAlignment(LLVMBuildStore(e->b, x, p), dtype_unpacked_bytes(t->s.c.acc));
}

static LLVMValueRef operand(struct emit *e, const struct tile *t, bool left, struct coord own,
                            struct coord k, uint32_t width) {
  return contract_operand(e, &t->s.c, t->batch, left, own, k, width, t->s.c.acc);
}

static struct coord lanes(LLVMValueRef base, uint32_t width) {
  return (struct coord){.base = base, .stride = width > 1, .align = width};
}

/* Lanes of k: a whole number of stored words of small elements, if k is blocks of them. */
static uint32_t wide_lanes(const struct tile *t) { return t->s.wide ? DOT_LANES : t->width; }

/* Steps of the micro-kernel: elements of k, or pairs of them. */
static LLVMValueRef steps_of(struct emit *e, const struct tile *t, LLVMValueRef k) {
  if (!t->s.pairs)
    return k;
  return LLVMBuildLShr(e->b, index_add(e, k, emit_i64(e, 1)), emit_i64(e, 1), "");
}

/* ---- packing into scratch ---- */

/* Words [lo, hi) of a row of lhs or a column of rhs: two elements of k each. */
static void words_span(struct emit *e, const struct tile *t, bool left, LLVMValueRef own,
                       LLVMValueRef k0, LLVMValueRef lo, LLVMValueRef hi, uint32_t width,
                       LLVMValueRef to) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct coord k = lanes(index_add(e, k0, index_scale(e, l.index, 2)), 2 * width);
  LLVMValueRef x =
      contract_operand(e, &t->s.c, t->batch, left, coord_uniform(e, own), k, 2 * width, DTYPE_I16);
  x = LLVMBuildBitCast(e->b, x, acc_type(e, t, width), "");
  store_acc(e, t, at(e, t, to, l.index), x);
  emit_loop_end(e, &l, NULL);
}

static void words(struct emit *e, const struct tile *t, bool left, LLVMValueRef own,
                  LLVMValueRef k0, LLVMValueRef kc, LLVMValueRef to) {
  LLVMValueRef zero = emit_i64(e, 0), n = LLVMBuildLShr(e->b, kc, emit_i64(e, 1), "");
  LLVMValueRef whole = micro_whole(e, n, t->width);
  struct emit_loop l;
  words_span(e, t, left, own, k0, zero, whole, t->width, to);
  words_span(e, t, left, own, k0, whole, n, 1, to);
  /* A last one alone is beside a 0. */
  emit_loop_begin(e, &l, zero, LLVMBuildAnd(e->b, kc, emit_i64(e, 1), ""), 1, 0, NULL);
  struct coord k = coord_uniform(e, index_add(e, k0, index_scale(e, n, 2)));
  LLVMValueRef x =
      contract_operand(e, &t->s.c, t->batch, left, coord_uniform(e, own), k, 1, DTYPE_I16);
  store_acc(e, t, at(e, t, to, n), LLVMBuildZExt(e->b, x, e->i32, ""));
  emit_loop_end(e, &l, NULL);
}

static void pack_lhs_words(struct emit *e, const struct tile *t, LLVMValueRef k0, LLVMValueRef kc) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), t->rows, 1, 0, NULL);
  LLVMValueRef to = at(e, t, t->lhs_scratch, index_scale(e, l.index, t->s.block_k));
  words(e, t, true, index_add(e, t->m0, l.index), k0, kc, to);
  emit_loop_end(e, &l, NULL);
}

/* Rows of lhs, k in lanes. */
static void pack_lhs_span(struct emit *e, const struct tile *t, LLVMValueRef row, LLVMValueRef k0,
                          LLVMValueRef lo, LLVMValueRef hi, uint32_t width) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct coord own = coord_uniform(e, index_add(e, t->m0, row));
  LLVMValueRef x = operand(e, t, true, own, lanes(index_add(e, k0, l.index), width), width);
  LLVMValueRef to = index_add(e, index_scale(e, row, t->s.block_k), l.index);
  store_acc(e, t, at(e, t, t->lhs_scratch, to), x);
  emit_loop_end(e, &l, NULL);
}

/* Whether lhs lies along rows: its last dim is the last of m. */
static bool lhs_across(const struct shape *s) {
  return s->c.n_m && s->c.m_axis[s->c.n_m - 1] == s->c.lhs->rank - 1 && s->most_m != 1;
}

static LLVMValueRef k_row(struct emit *e, const struct tile *t, bool left, struct coord own,
                          LLVMValueRef k0, LLVMValueRef k, LLVMValueRef kc, uint32_t width);

/* One step k of lhs: rows in lanes. */
static void pack_lhs_rows(struct emit *e, const struct tile *t, LLVMValueRef k, LLVMValueRef k0,
                          LLVMValueRef kc, LLVMValueRef lo, LLVMValueRef hi, uint32_t width) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct coord own = {.base = index_add(e, t->m0, l.index), .stride = width > 1, .align = 1};
  LLVMValueRef x = k_row(e, t, true, own, k0, k, kc, width);
  LLVMValueRef to = index_add(e, index_scale(e, k, t->s.block_m), l.index);
  store_acc(e, t, at(e, t, t->lhs_scratch, to), x);
  emit_loop_end(e, &l, NULL);
}

static void pack_lhs_across(struct emit *e, const struct tile *t, LLVMValueRef k0,
                            LLVMValueRef kc) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), steps_of(e, t, kc), 1, 0, NULL);
  LLVMValueRef whole = micro_whole(e, t->rows, t->width);
  pack_lhs_rows(e, t, l.index, k0, kc, emit_i64(e, 0), whole, t->width);
  pack_lhs_rows(e, t, l.index, k0, kc, whole, t->rows, 1);
  emit_loop_end(e, &l, NULL);
}

static void pack_lhs(struct emit *e, const struct tile *t, LLVMValueRef k0, LLVMValueRef kc) {
  if (t->s.pairs) {
    pack_lhs_words(e, t, k0, kc);
    return;
  }
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), t->rows, 1, 0, NULL);
  LLVMValueRef whole = LLVMBuildAnd(e->b, kc, emit_i64(e, -(int64_t)t->width), "");
  pack_lhs_span(e, t, l.index, k0, emit_i64(e, 0), whole, t->width);
  pack_lhs_span(e, t, l.index, k0, whole, kc, 1);
  emit_loop_end(e, &l, NULL);
}

/* Row k of the block of an operand, or the pair of rows 2 k and 2 k + 1. */
static LLVMValueRef k_row(struct emit *e, const struct tile *t, bool left, struct coord own,
                          LLVMValueRef k0, LLVMValueRef k, LLVMValueRef kc, uint32_t width) {
  if (!t->s.pairs)
    return operand(e, t, left, own, coord_uniform(e, index_add(e, k0, k)), width);
  LLVMValueRef first = index_scale(e, k, 2), second = index_add(e, first, emit_i64(e, 1));
  LLVMValueRef there = LLVMBuildICmp(e->b, LLVMIntSLT, second, kc, "");
  second = LLVMBuildSelect(e->b, there, second, first, "");
  LLVMValueRef a = operand(e, t, left, own, coord_uniform(e, index_add(e, k0, first)), width);
  LLVMValueRef b = operand(e, t, left, own, coord_uniform(e, index_add(e, k0, second)), width);
  a = LLVMBuildAnd(e->b, a, emit_splat(e, LLVMConstInt(e->i32, 0xffff, false), width), "");
  b = LLVMBuildShl(e->b, b, emit_splat(e, LLVMConstInt(e->i32, 16, false), width), "");
  return LLVMBuildOr(e->b, a, LLVMBuildSelect(e->b, there, b, LLVMConstNull(LLVMTypeOf(b)), ""),
                     "");
}

/* One row k of the block of rhs: columns in lanes; 0 beyond the last. */
static void pack_rhs_span(struct emit *e, const struct tile *t, LLVMValueRef k, LLVMValueRef k0,
                          LLVMValueRef kc, LLVMValueRef lo, LLVMValueRef hi, uint32_t width,
                          bool zero) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  LLVMValueRef x = LLVMConstNull(acc_type(e, t, width));
  if (!zero)
    x = k_row(e, t, false, lanes(index_add(e, t->n0, l.index), width), k0, k, kc, width);
  LLVMValueRef panel = LLVMBuildUDiv(e->b, l.index, emit_i64(e, t->s.columns), "");
  LLVMValueRef column = LLVMBuildURem(e->b, l.index, emit_i64(e, t->s.columns), "");
  LLVMValueRef to = index_add(e, index_scale(e, panel, t->s.block_k * t->s.columns),
                              index_scale(e, k, t->s.columns));
  store_acc(e, t, at(e, t, t->rhs_scratch, index_add(e, to, column)), x);
  emit_loop_end(e, &l, NULL);
}

static void pack_rhs(struct emit *e, const struct tile *t, LLVMValueRef k0, LLVMValueRef kc) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), steps_of(e, t, kc), 1, 0, NULL);
  LLVMValueRef whole = LLVMBuildAnd(e->b, t->columns, emit_i64(e, -(int64_t)t->width), "");
  LLVMValueRef up = index_add(e, t->columns, emit_i64(e, t->s.columns - 1));
  up = LLVMBuildAnd(e->b, up, emit_i64(e, -(int64_t)t->s.columns), "");
  pack_rhs_span(e, t, l.index, k0, kc, emit_i64(e, 0), whole, t->width, false);
  pack_rhs_span(e, t, l.index, k0, kc, whole, t->columns, 1, false);
  pack_rhs_span(e, t, l.index, k0, kc, t->columns, up, 1, true);
  emit_loop_end(e, &l, NULL);
}

/* Where rhs lies along k: columns are read by lanes of k, and turned. */
static void turn_span(struct emit *e, const struct tile *t, LLVMValueRef j, LLVMValueRef column,
                      LLVMValueRef k0, LLVMValueRef lo, LLVMValueRef hi, uint32_t width) {
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct coord own = coord_uniform(e, index_add(e, t->n0, column));
  LLVMValueRef x = operand(e, t, false, own, lanes(index_add(e, k0, l.index), width), width);
  store_acc(e, t, at(e, t, t->turned, index_add(e, index_scale(e, j, t->s.block_k), l.index)), x);
  emit_loop_end(e, &l, NULL);
}

static void pack_along(struct emit *e, const struct tile *t, LLVMValueRef k0, LLVMValueRef kc) {
  uint32_t columns = t->s.columns;
  LLVMValueRef zero = emit_i64(e, 0), many = emit_i64(e, columns);
  struct emit_loop l, lj, lz;
  emit_loop_begin(e, &l, zero, t->columns, columns, 0, NULL);
  LLVMValueRef n = index_min(e, index_sub(e, t->columns, l.index), many);
  emit_loop_begin(e, &lj, zero, n, 1, 0, NULL);
  LLVMValueRef column = index_add(e, l.index, lj.index);
  if (t->s.pairs) {
    LLVMValueRef row = at(e, t, t->turned, index_scale(e, lj.index, t->s.block_k));
    words(e, t, false, index_add(e, t->n0, column), k0, kc, row);
  } else {
    uint32_t wide = wide_lanes(t);
    LLVMValueRef whole = micro_whole(e, kc, wide);
    turn_span(e, t, lj.index, column, k0, zero, whole, wide);
    turn_span(e, t, lj.index, column, k0, whole, kc, 1);
  }
  emit_loop_end(e, &lj, NULL);
  LLVMValueRef to = at(e, t, t->rhs_scratch, index_scale(e, l.index, t->s.block_k));
  LLVMValueRef steps = steps_of(e, t, kc);
  micro_transpose(e, t->s.c.acc, t->turned, emit_i64(e, t->s.block_k), to, many, n, steps);
  emit_loop_begin(e, &lj, n, many, 1, 0, NULL); /* columns beyond the last */
  emit_loop_begin(e, &lz, zero, steps, 1, 0, NULL);
  LLVMValueRef place = index_add(e, index_scale(e, lz.index, columns), lj.index);
  store_acc(e, t, at(e, t, to, place), LLVMConstNull(acc_type(e, t, 1)));
  emit_loop_end(e, &lz, NULL);
  emit_loop_end(e, &lj, NULL);
  emit_loop_end(e, &l, NULL);
}

/* ---- few rows, rhs along k ---- */

/* acc[i] += lanes of row times lanes of column[i], k in [lo, hi). */
static void dot_span(struct emit *e, const struct tile *t, LLVMValueRef row,
                     const LLVMValueRef *column, uint32_t n, LLVMValueRef k0, LLVMValueRef lo,
                     LLVMValueRef hi, uint32_t width, LLVMValueRef *acc) {
  struct emit_loop l;
  LLVMValueRef next[DOT_COLUMNS];
  emit_loop_begin(e, &l, lo, hi, width, n, acc);
  LLVMValueRef x = load_acc(e, t, at(e, t, row, l.index), width);
  for (uint32_t i = 0; i < n; i++) {
    struct coord own = coord_uniform(e, index_add(e, t->n0, column[i]));
    LLVMValueRef w = operand(e, t, false, own, lanes(index_add(e, k0, l.index), width), width);
    next[i] = contract_multiply_add(e, t->s.c.acc, l.carried[i], x, w);
  }
  emit_loop_end(e, &l, next);
  memcpy(acc, l.carried, n * sizeof *acc);
}

static void dot_columns(struct emit *e, const struct tile *t, LLVMValueRef r, LLVMValueRef first,
                        LLVMValueRef from, LLVMValueRef to, uint32_t n, LLVMValueRef k0,
                        LLVMValueRef kc) {
  struct emit_loop l;
  LLVMValueRef zero = emit_i64(e, 0), column[DOT_COLUMNS], wide[DOT_COLUMNS], single[DOT_COLUMNS];
  uint32_t width = wide_lanes(t);
  LLVMValueRef whole = micro_whole(e, kc, width);
  LLVMValueRef row = at(e, t, t->lhs, LLVMBuildMul(e->b, r, t->lhs_stride, ""));
  emit_loop_begin(e, &l, from, to, n, 0, NULL);
  for (uint32_t i = 0; i < n; i++) {
    column[i] = index_add(e, l.index, emit_i64(e, i));
    wide[i] = LLVMConstNull(acc_type(e, t, width));
    single[i] = LLVMConstNull(acc_type(e, t, 1));
  }
  dot_span(e, t, row, column, n, k0, zero, whole, width, wide);
  dot_span(e, t, row, column, n, k0, whole, kc, 1, single);
  for (uint32_t i = 0; i < n; i++) {
    LLVMValueRef place =
        at(e, t, t->sums, index_add(e, index_scale(e, r, t->s.block_n), column[i]));
    LLVMValueRef x = emit_horizontal(e, COMBINER_SUM, t->s.c.acc, wide[i], width);
    x = emit_combine(e, COMBINER_SUM, t->s.c.acc, x, single[i], 1);
    LLVMValueRef old = load_acc(e, t, place, 1);
    old = LLVMBuildSelect(e->b, first, LLVMConstNull(LLVMTypeOf(old)), old, "");
    store_acc(e, t, place, emit_combine(e, COMBINER_SUM, t->s.c.acc, old, x, 1));
  }
  emit_loop_end(e, &l, NULL);
}

static void dot(struct emit *e, const struct tile *t, LLVMValueRef k0, LLVMValueRef kc) {
  struct emit_loop l;
  LLVMValueRef first = LLVMBuildICmp(e->b, LLVMIntEQ, k0, emit_i64(e, 0), "");
  LLVMValueRef whole = micro_whole(e, t->columns, DOT_COLUMNS);
  emit_loop_begin(e, &l, emit_i64(e, 0), t->rows, 1, 0, NULL);
  dot_columns(e, t, l.index, first, emit_i64(e, 0), whole, DOT_COLUMNS, k0, kc);
  dot_columns(e, t, l.index, first, whole, t->columns, 1, k0, kc);
  emit_loop_end(e, &l, NULL);
}

/* ---- the product ---- */

static void multiply(struct emit *e, const struct tile *t, LLVMValueRef k0, LLVMValueRef kc) {
  const struct shape *s = &t->s;
  struct micro m;
  micro_init(e, &m, s->c.acc);
  m.lhs = t->lhs;
  m.lhs_stride = t->lhs_stride;
  m.lhs_step = t->lhs_step;
  m.k_stride = emit_i64(e, s->columns);
  if (t->rhs_packed) {
    LLVMValueRef number = LLVMBuildUDiv(e->b, t->n0, emit_i64(e, s->columns), "");
    LLVMValueRef whole = steps_of(e, t, t->k_total);
    LLVMValueRef offset = index_add(e, LLVMBuildMul(e->b, number, whole, ""), steps_of(e, t, k0));
    int64_t row = (int64_t)s->columns * (s->pairs ? 2 : 1);
    m.rhs_dtype = value_type(e->f, stored_rhs(e->kernel, s))->dtype;
    m.rhs = emit_element_pointer(e, e->buffers[t->rhs_operand], m.rhs_dtype,
                                 index_scale(e, offset, row));
    m.panel_stride = index_scale(e, whole, row);
    m.ahead = 8;
  } else {
    m.rhs_dtype = s->c.acc;
    m.rhs = t->rhs_scratch;
    m.panel_stride = emit_i64(e, s->block_k * s->columns);
  }
  m.sums = t->sums;
  m.sums_stride = emit_i64(e, s->block_n);
  m.rows = t->rows;
  LLVMValueRef up = index_add(e, t->columns, emit_i64(e, s->columns - 1));
  m.panels = LLVMBuildUDiv(e->b, up, emit_i64(e, s->columns), "");
  m.steps = steps_of(e, t, kc);
  m.pairs = s->pairs;
  m.first = s->one_block ? LLVMConstInt(e->i1, 1, false)
                         : LLVMBuildICmp(e->b, LLVMIntEQ, k0, emit_i64(e, 0), "");
  m.most_rows = s->most_m <= MICRO_LHS_PANEL ? s->most_m : 0;
  micro_multiply(e, &m);
}

/* ---- the epilogue ---- */

static void finish_span(struct emit *e, const struct tile *t, LLVMValueRef row, LLVMValueRef lo,
                        LLVMValueRef hi, uint32_t width) {
  const struct shape *s = &t->s;
  struct emit_loop l;
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  struct point p =
      contract_result_point(e, &s->c, t->batch, coord_uniform(e, index_add(e, t->m0, row)),
                            lanes(index_add(e, t->n0, l.index), width), width);
  LLVMValueRef x = load_acc(
      e, t, at(e, t, t->sums, index_add(e, index_scale(e, row, s->block_n), l.index)), width);
  x = emit_cast(e, x, s->c.acc, s->c.a->dtype, CAST_DEFAULT, width);
  emit_know(e, s->c.op->results[0], &p, x);
  kernel_store_results(e, &p);
  emit_loop_end(e, &l, NULL);
}

static void finish(struct emit *e, const struct tile *t) {
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), t->rows, 1, 0, NULL);
  LLVMValueRef whole = LLVMBuildAnd(e->b, t->columns, emit_i64(e, -(int64_t)t->width), "");
  finish_span(e, t, l.index, emit_i64(e, 0), whole, t->width);
  finish_span(e, t, l.index, whole, t->columns, 1);
  emit_loop_end(e, &l, NULL);
}

/* ---- one tile ---- */

/* Whether lhs can be read in place: a stored value of the accumulator's dtype whose dims are batch,
 * m, k in this order. */
static bool lhs_in_place(const struct emit *e, const struct shape *s) {
  const struct value *v = function_value(e->f, s->c.op->operands[0]);
  if (v->def != OP_ID_NONE || s->c.lhs->dtype != (s->pairs ? DTYPE_I16 : s->c.acc))
    return false;
  if (s->pairs && !s->even) /* a row may begin inside a word */
    return false;
  for (uint32_t i = 0; i < s->c.n_batch; i++) {
    if (s->c.a->lhs_batch.data[i] != (int64_t)i)
      return false;
  }
  for (uint32_t i = 0; i < s->c.n_k; i++) {
    if (s->c.a->lhs_k.data[i] != (int64_t)(s->c.n_batch + s->c.n_m + i))
      return false;
  }
  return true;
}

/* Whether rhs lies along k: its last dim is one of k's, the last. */
static bool rhs_along(const struct shape *s) {
  return s->c.n_k && s->c.rhs->rank &&
         s->c.a->rhs_k.data[s->c.n_k - 1] == (int64_t)s->c.rhs->rank - 1;
}

static void tile_init(struct emit *e, struct tile *t, LLVMValueRef number) {
  struct shape *s = &t->s;
  shape_of(e->kernel, s);
  t->width = e->vector_bytes / dtype_unpacked_bytes(s->c.acc);
  if (t->width > s->columns)
    t->width = s->columns;
  LLVMValueRef m = emit_product(e, s->c.m, s->c.n_m), n = emit_product(e, s->c.n, s->c.n_n);
  LLVMBuilderRef eb = e->entry_builder;
  LLVMValueRef up = LLVMBuildAdd(eb, n, emit_i64(e, s->block_n - 1), "");
  LLVMValueRef n_blocks = LLVMBuildUDiv(eb, up, emit_i64(e, s->block_n), "");
  up = LLVMBuildAdd(eb, m, emit_i64(e, s->block_m - 1), "");
  LLVMValueRef m_blocks = LLVMBuildUDiv(eb, up, emit_i64(e, s->block_m), "");
  /* Blocks of rows first: rhs, the larger one most often, is read once. */
  t->m0 = index_scale(e, LLVMBuildURem(e->b, number, m_blocks, ""), s->block_m);
  number = LLVMBuildUDiv(e->b, number, m_blocks, "");
  t->n0 = index_scale(e, LLVMBuildURem(e->b, number, n_blocks, ""), s->block_n);
  number = LLVMBuildUDiv(e->b, number, n_blocks, "");
  emit_delinearize(e, number, s->c.batch, s->c.n_batch, t->batch);
  t->rows = index_min(e, LLVMBuildSub(e->b, m, t->m0, ""), emit_i64(e, s->block_m));
  t->columns = index_min(e, LLVMBuildSub(e->b, n, t->n0, ""), emit_i64(e, s->block_n));
  t->k_total = emit_product(e, s->c.k, s->c.n_k);
  t->lhs_scratch = e->scratch;
  t->rhs_scratch = at(e, t, e->scratch, emit_i64(e, s->block_m * s->block_k));
  t->sums = at(e, t, t->rhs_scratch, emit_i64(e, s->block_k * s->block_n));
  t->turned = at(e, t, t->sums, emit_i64(e, (s->block_m + MICRO_SPARE_ROWS) * s->block_n));
  t->lhs_direct = lhs_in_place(e, s);
  t->rhs_packed = packs(e->kernel, s, &t->rhs_operand);
  t->rhs_along = !t->rhs_packed && rhs_along(s);
  if (!t->lhs_direct)
    return;
  LLVMValueRef row = index_add(e, LLVMBuildMul(e->b, number, m, ""), t->m0);
  uint32_t buffer = function_value(e->f, s->c.op->operands[0])->index;
  LLVMValueRef stride = steps_of(e, t, t->k_total);
  t->lhs = at(e, t, e->buffers[buffer], LLVMBuildMul(e->b, row, stride, ""));
}

static void block_product(struct emit *e, const struct tile *t, bool few, LLVMValueRef k0,
                          LLVMValueRef kc) {
  if (few) {
    dot(e, t, k0, kc);
    return;
  }
  if (t->rhs_along)
    pack_along(e, t, k0, kc);
  else if (!t->rhs_packed)
    pack_rhs(e, t, k0, kc);
  multiply(e, t, k0, kc);
}

/* The sums of the tile. */
static void product(struct emit *e, const struct tile *tile, bool few) {
  struct tile t = *tile;
  LLVMValueRef base = t.lhs, zero = emit_i64(e, 0);
  if (few && t.lhs_direct) { /* rhs is read from end to end */
    t.lhs_stride = t.k_total;
    dot(e, &t, zero, t.k_total);
    return;
  }
  struct emit_loop l;
  /* A contraction over nothing is 0: one block without steps. */
  LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntEQ, t.k_total, zero, "");
  LLVMValueRef end = LLVMBuildSelect(e->b, none, emit_i64(e, 1), t.k_total, "");
  emit_loop_begin(e, &l, zero, end, t.s.block_k, 0, NULL);
  LLVMValueRef kc =
      index_min(e, LLVMBuildSub(e->b, t.k_total, l.index, ""), emit_i64(e, t.s.block_k));
  if (t.lhs_direct) {
    t.lhs = at(e, &t, base, steps_of(e, &t, l.index));
    t.lhs_stride = steps_of(e, &t, t.k_total);
  } else if (lhs_across(&t.s) && !few) {
    pack_lhs_across(e, &t, l.index, kc);
    t.lhs = t.lhs_scratch;
    t.lhs_stride = emit_i64(e, 1);
    t.lhs_step = emit_i64(e, t.s.block_m);
  } else {
    pack_lhs(e, &t, l.index, kc);
    t.lhs = t.lhs_scratch;
    t.lhs_stride = emit_i64(e, t.s.block_k);
  }
  block_product(e, &t, few, l.index, kc);
  emit_loop_end(e, &l, NULL);
}

static void emit(struct emit *e, LLVMValueRef number) {
  struct tile t = {0};
  tile_init(e, &t, number);
  int64_t most = t.s.most_m;
  if (!t.rhs_along || t.s.pairs || most > FEW) {
    product(e, &t, false);
  } else if (most > 0) {
    product(e, &t, true);
  } else {
    struct emit_if s;
    emit_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntSLE, t.rows, emit_i64(e, FEW), ""));
    product(e, &t, true);
    emit_if_else(e, &s, NULL);
    product(e, &t, false);
    emit_if_end(e, &s, NULL);
  }
  finish(e, &t);
}

const struct schedule schedule_contract = {"contract", ROOT_KIND_CONTRACT, plan, emit};
