/* SPDX-License-Identifier: Apache-2.0 */
/* The shared micro-kernel; see micro.h. */
#include "codegen/cpu/micro.h"

#include <string.h>

#include "codegen/contract_util.h"
#include "codegen/index_math.h"
#include "codegen/pack.h"

#define MAX_ROWS 14
#define MAX_VECTORS 8

/* ---- arithmetic ---- */

LLVMValueRef micro_whole(struct emit *e, LLVMValueRef a, uint32_t power) {
  return LLVMBuildAnd(e->b, a, emit_i64(e, -(int64_t)power), "");
}

LLVMValueRef micro_at(struct emit *e, enum dtype acc, LLVMValueRef base, LLVMValueRef index) {
  return LLVMBuildInBoundsGEP2(e->b, emit_type(e, acc, 1), base, &index, 1, "");
}

LLVMValueRef micro_load(struct emit *e, enum dtype acc, LLVMValueRef at, uint32_t width) {
  LLVMValueRef x = LLVMBuildLoad2(e->b, emit_type(e, acc, width), at, "");
  LLVMSetAlignment(x, dtype_unpacked_bytes(acc));
  return x;
}

void micro_store(struct emit *e, enum dtype acc, LLVMValueRef at, LLVMValueRef x) {
  LLVMSetAlignment(LLVMBuildStore(e->b, x, at), dtype_unpacked_bytes(acc));
}

/* ---- the kernel ---- */

struct block {
  uint32_t rows, panels, vectors; /* vectors per row: of all panels */
};

void micro_init(const struct emit *e, struct micro *m, enum dtype acc) {
  *m = (struct micro){.acc = acc};
  m->columns = PANEL_BYTES / dtype_unpacked_bytes(acc);
  m->width = e->vector_bytes / dtype_unpacked_bytes(acc);
  if (m->width > m->columns)
    m->width = m->columns;
}

static LLVMValueRef rhs_vector(struct emit *e, const struct micro *m, LLVMValueRef panel,
                               LLVMValueRef k, uint32_t column) {
  LLVMValueRef index = index_add(e, index_mul(e, k, m->k_stride), emit_i64(e, column));
  if (!m->pairs || m->rhs_dtype == m->acc)
    return emit_load_lanes(e, panel, m->rhs_dtype, index, 1, m->acc, m->width);
  LLVMValueRef x =
      emit_load_lanes(e, panel, m->rhs_dtype, index_scale(e, index, 2), 1, DTYPE_I16, 2 * m->width);
  return LLVMBuildBitCast(e->b, x, emit_type(e, m->acc, m->width), "");
}

/* Where the sums of a block lie, and what they begin with. */
static void begin_sums(struct emit *e, const struct micro *m, struct block b, LLVMValueRef row,
                       LLVMValueRef panel, LLVMValueRef *places, LLVMValueRef *acc) {
  uint32_t n = b.rows * b.vectors;
  LLVMValueRef zero[EMIT_MAX_CARRIED], old[EMIT_MAX_CARRIED];
  for (uint32_t i = 0; i < b.rows; i++) {
    LLVMValueRef base = index_mul(e, index_add(e, row, emit_i64(e, i)), m->sums_stride);
    base = index_add(e, base, index_scale(e, panel, m->columns));
    for (uint32_t v = 0; v < b.vectors; v++) {
      LLVMValueRef index = index_add(e, base, emit_i64(e, v * m->width));
      places[i * b.vectors + v] = micro_at(e, m->acc, m->sums, index);
    }
  }
  for (uint32_t i = 0; i < n; i++)
    zero[i] = LLVMConstNull(emit_type(e, m->acc, m->width));
  if (LLVMIsAConstantInt(m->first) && LLVMConstIntGetZExtValue(m->first)) {
    memcpy(acc, zero, n * sizeof *acc);
    return;
  }
  struct emit_if s;
  emit_if_begin(e, &s, m->first);
  emit_if_else(e, &s, NULL);
  for (uint32_t i = 0; i < n; i++)
    old[i] = micro_load(e, m->acc, places[i], m->width);
  emit_if_end_many(e, &s, n, zero, old, acc);
}

/* Where row + i begins. */
static LLVMValueRef lhs_row(struct emit *e, const struct micro *m, LLVMValueRef row, uint32_t i) {
  LLVMValueRef index;
  if (m->taps) {
    index = index_min(e, index_add(e, row, emit_i64(e, i)), index_sub(e, m->rows, emit_i64(e, 1)));
    LLVMValueRef at = LLVMBuildInBoundsGEP2(e->b, e->i64, m->taps->offsets, &index, 1, "");
    return micro_at(e, m->acc, m->lhs, LLVMBuildLoad2(e->b, e->i64, at, ""));
  }
  if (m->lhs_panel_stride) {
    LLVMValueRef panel = emit_i64(e, MICRO_LHS_PANEL);
    index = index_mul(e, LLVMBuildUDiv(e->b, row, panel, ""), m->lhs_panel_stride);
    index = index_add(e, index, LLVMBuildURem(e->b, row, panel, ""));
    return micro_at(e, m->acc, micro_at(e, m->acc, m->lhs, index), emit_i64(e, i));
  }
  index = index_add(e, row, emit_i64(e, i));
  if (i)
    index = index_min(e, index, index_sub(e, m->rows, emit_i64(e, 1)));
  return micro_at(e, m->acc, m->lhs, index_mul(e, index, m->lhs_stride));
}

bool micro_takes_pairs(enum dtype lhs, enum dtype rhs) {
  const enum dtype fit[] = {DTYPE_I8, DTYPE_U8, DTYPE_I16};
  bool a = false, b = false;
  for (uint32_t i = 0; i < 3; i++) {
    a |= lhs == fit[i];
    b |= rhs == fit[i];
  }
  return a && b;
}

static LLVMValueRef call(struct emit *e, const char *name, LLVMValueRef *args, uint32_t n) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  return LLVMBuildCall2(e->b, LLVMIntrinsicGetType(e->context, id, NULL, 0),
                        LLVMGetIntrinsicDeclaration(e->module, id, NULL, 0), args, n, "");
}

/* sum + both products of each pair; wraps as i32 does, even for four times -32768. */
static LLVMValueRef pair_product(struct emit *e, const struct micro *m, LLVMValueRef sum,
                                 LLVMValueRef a, LLVMValueRef b) {
  static const char *const dots[] = {"llvm.x86.avx512.vpdpwssd.128", "llvm.x86.avx512.vpdpwssd.256",
                                     "llvm.x86.avx512.vpdpwssd.512"};
  static const char *const products[] = {"llvm.x86.sse2.pmadd.wd", "llvm.x86.avx2.pmadd.wd",
                                         "llvm.x86.avx512.pmaddw.d.512"};
  uint32_t size = m->width == 4 ? 0 : m->width == 8 ? 1 : 2;
  if (target_isa(e->math->target)->vnni) {
    LLVMValueRef args[3] = {sum, a, b};
    return call(e, dots[size], args, 3);
  }
  LLVMTypeRef halves = LLVMVectorType(e->i16, 2 * m->width);
  LLVMValueRef args[2] = {LLVMBuildBitCast(e->b, a, halves, ""),
                          LLVMBuildBitCast(e->b, b, halves, "")};
  return LLVMBuildAdd(e->b, sum, call(e, products[size], args, 2), "");
}

/* Elements of lhs from the first of its row to those of a step. */
static LLVMValueRef step_offset(struct emit *e, const struct micro *m, LLVMValueRef step) {
  const struct micro_taps *taps = m->taps;
  if (m->lhs_panel_stride)
    return index_scale(e, step, MICRO_LHS_PANEL);
  if (!taps)
    return m->lhs_step ? index_mul(e, step, m->lhs_step) : step;
  LLVMValueRef channel = step;
  if (taps->rows > 1)
    channel = LLVMBuildUDiv(e->b, step, emit_i64(e, taps->rows), "");
  LLVMValueRef block = LLVMBuildUDiv(e->b, channel, emit_i64(e, MICRO_CHANNELS), "");
  LLVMValueRef at = LLVMBuildURem(e->b, channel, emit_i64(e, MICRO_CHANNELS), "");
  at = index_add(e, at, index_mul(e, block, taps->block));
  if (taps->rows == 1)
    return at;
  LLVMValueRef row = LLVMBuildURem(e->b, step, emit_i64(e, taps->rows), "");
  return index_add(e, at, index_mul(e, row, taps->row));
}

/* Asks for a row of the panel after the one at hand, for the second cache; whatever lies there. */
static void fetch_row(struct emit *e, const struct micro *m, LLVMValueRef panel, LLVMValueRef k) {
  LLVMTypeRef types[1] = {e->ptr};
  unsigned id = LLVMLookupIntrinsicID("llvm.prefetch", strlen("llvm.prefetch"));
  LLVMValueRef step = index_mul(e, k, m->k_stride);
  if (m->pairs && m->rhs_dtype != m->acc)
    step = index_scale(e, step, 2);
  LLVMValueRef index = index_add(e, m->panel_stride, step);
  LLVMValueRef at = emit_element_pointer(e, panel, m->rhs_dtype, index);
  LLVMValueRef args[4] = {at, LLVMConstInt(e->i32, 0, false), LLVMConstInt(e->i32, 2, false),
                          LLVMConstInt(e->i32, 1, false)};
  LLVMBuildCall2(e->b, LLVMIntrinsicGetType(e->context, id, types, 1),
                 LLVMGetIntrinsicDeclaration(e->module, id, types, 1), args, 4, "");
}

/* Of the steps of one block of rows, every m->ahead-th; each block has others. Asking for what is
 * in the second cache already costs as much as asking for what is not. */
static void fetch_ahead(struct emit *e, const struct micro *m, struct block b, LLVMValueRef panel,
                        LLVMValueRef row, LLVMValueRef step, uint32_t taps) {
  struct emit_if s;
  LLVMValueRef turn = index_add(e, step, LLVMBuildUDiv(e->b, row, emit_i64(e, b.rows), ""));
  turn = LLVMBuildAnd(e->b, turn, emit_i64(e, (int64_t)m->ahead - 1), "");
  emit_if_begin(e, &s, LLVMBuildICmp(e->b, LLVMIntEQ, turn, emit_i64(e, 0), ""));
  for (uint32_t t = 0; t < taps; t++)
    fetch_row(e, m, panel, index_add(e, index_scale(e, step, taps), emit_i64(e, t)));
  emit_if_else(e, &s, NULL);
  emit_if_end(e, &s, NULL);
}

/* Row k of rhs times one element of each row of lhs, `at` elements from its first. */
static void multiply_step(struct emit *e, const struct micro *m, struct block b,
                          const LLVMValueRef *lhs, const LLVMValueRef *rhs, LLVMValueRef at,
                          LLVMValueRef k, LLVMValueRef *acc) {
  LLVMValueRef x[MAX_VECTORS];
  uint32_t per_panel = m->columns / m->width;
  for (uint32_t v = 0; v < b.vectors; v++)
    x[v] = rhs_vector(e, m, rhs[v / per_panel], k, v % per_panel * m->width);
  for (uint32_t i = 0; i < b.rows; i++) {
    LLVMValueRef a = micro_load(e, m->acc, micro_at(e, m->acc, lhs[i], at), 1);
    a = emit_splat(e, a, m->width);
    for (uint32_t v = 0; v < b.vectors; v++) {
      LLVMValueRef *sum = &acc[i * b.vectors + v];
      *sum = m->pairs ? pair_product(e, m, *sum, a, x[v])
                      : contract_multiply_add(e, m->acc, *sum, a, x[v]);
    }
  }
}

static void kernel(struct emit *e, const struct micro *m, struct block b, LLVMValueRef row,
                   LLVMValueRef panel) {
  LLVMValueRef acc[EMIT_MAX_CARRIED], places[EMIT_MAX_CARRIED];
  LLVMValueRef lhs[MAX_ROWS], rhs[MAX_VECTORS];
  uint32_t n = b.rows * b.vectors;
  for (uint32_t i = 0; i < b.rows; i++)
    lhs[i] = lhs_row(e, m, row, i);
  for (uint32_t i = 0; i < b.panels; i++) {
    LLVMValueRef p = index_add(e, panel, emit_i64(e, i));
    rhs[i] = emit_element_pointer(e, m->rhs, m->rhs_dtype, index_mul(e, p, m->panel_stride));
  }
  begin_sums(e, m, b, row, panel, places, acc);
  struct emit_loop l;
  emit_loop_begin(e, &l, emit_i64(e, 0), m->steps, 1, n, acc);
  memcpy(acc, l.carried, n * sizeof *acc);
  LLVMValueRef at = step_offset(e, m, l.index), k = l.index;
  uint32_t taps = m->taps ? m->taps->columns : 1;
  if (m->taps)
    k = index_scale(e, k, taps);
  if (m->ahead && b.panels == 1)
    fetch_ahead(e, m, b, rhs[0], row, l.index, taps);
  for (uint32_t t = 0; t < taps; t++) {
    LLVMValueRef here = m->taps ? index_add(e, at, m->taps->column[t]) : at;
    LLVMValueRef row_of_rhs = t ? index_add(e, k, emit_i64(e, t)) : k;
    multiply_step(e, m, b, lhs, rhs, here, row_of_rhs, acc);
  }
  emit_loop_end(e, &l, acc);
  for (uint32_t i = 0; i < n; i++)
    micro_store(e, m->acc, places[i], l.carried[i]);
}

/* Rows [from, to), a block at a time, against all panels. The last block may be short of rows: its
 * surplus repeats the last one. */
static void sweep(struct emit *e, const struct micro *m, struct block b, LLVMValueRef from,
                  LLVMValueRef to) {
  struct emit_loop panels, rows;
  LLVMValueRef done = emit_i64(e, 0);
  for (;;) {
    LLVMValueRef rest = LLVMBuildURem(e->b, m->panels, emit_i64(e, b.panels), "");
    LLVMValueRef end = index_sub(e, m->panels, rest);
    emit_loop_begin(e, &panels, done, end, b.panels, 0, NULL);
    emit_loop_begin(e, &rows, from, to, b.rows, 0, NULL);
    kernel(e, m, b, rows.index, panels.index);
    emit_loop_end(e, &rows, NULL);
    emit_loop_end(e, &panels, NULL);
    if (b.panels == 1)
      return;
    done = end;
    b.vectors /= b.panels;
    b.panels = 1;
  }
}

static struct block block_of(const struct micro *m, int64_t rows) {
  uint32_t per_panel = m->columns / m->width;
  uint32_t most = per_panel == 1 ? 24 : 12; /* sums in registers: of 32 or of 16 */
  struct block b = {.panels = per_panel == 1 ? 2 : 1};
  b.rows = most / (b.panels * per_panel);
  if (rows > 0 && rows < (int64_t)b.rows) {
    b.rows = (uint32_t)rows;
    b.panels = most / (b.rows * per_panel);
    while (b.panels * per_panel > MAX_VECTORS)
      b.panels--;
    if (b.panels > 4)
      b.panels = 4;
  }
  b.vectors = b.panels * per_panel;
  return b;
}

/* Half a panel: half the vectors, twice the rows. */
static void half_panel(struct emit *e, const struct micro *m, struct block full) {
  uint32_t per_panel = m->columns / m->width;
  struct block b = {.rows = 2 * full.rows, .panels = 1, .vectors = per_panel / 2};
  if (b.rows > MICRO_LHS_PANEL)
    b.rows = MICRO_LHS_PANEL;
  if (m->most_rows > 0 && m->most_rows < (int64_t)b.rows)
    b.rows = (uint32_t)m->most_rows;
  struct emit_loop l, rows;
  emit_loop_begin(e, &l, emit_i64(e, 0), m->half, 1, 0, NULL);
  emit_loop_begin(e, &rows, emit_i64(e, 0), m->rows, b.rows, 0, NULL);
  kernel(e, m, b, rows.index, m->panels);
  emit_loop_end(e, &rows, NULL);
  emit_loop_end(e, &l, NULL);
}

bool micro_has_half(const struct micro *m) { return m->columns / m->width > 1; }

void micro_multiply(struct emit *e, const struct micro *m) {
  struct block full = block_of(m, m->most_rows), one = block_of(m, 1);
  LLVMValueRef zero = emit_i64(e, 0), unit = emit_i64(e, 1);
  if (m->half)
    half_panel(e, m, full);
  if (full.rows == 1) {
    sweep(e, m, one, zero, m->rows);
    return;
  }
  if (m->most_rows >
      1) { /* one size of block is enough: an odd row costs little beside the others */
    sweep(e, m, full, zero, m->rows);
    return;
  }
  LLVMValueRef rest = LLVMBuildURem(e->b, m->rows, emit_i64(e, full.rows), "");
  LLVMValueRef odd = LLVMBuildICmp(e->b, LLVMIntEQ, rest, unit, "");
  LLVMValueRef end = LLVMBuildSelect(e->b, odd, index_sub(e, m->rows, unit), m->rows, "");
  sweep(e, m, full, zero, end);
  sweep(e, m, one, end, m->rows);
}

/* ---- transposition ---- */

static LLVMValueRef interleave(struct emit *e, LLVMValueRef a, LLVMValueRef b, uint32_t width,
                               bool high) {
  LLVMValueRef lanes[64];
  for (uint32_t i = 0; i < width; i++) {
    lanes[i] = LLVMConstInt(e->i32, i / 2 + (high ? width / 2 : 0) + (i % 2 ? width : 0), false);
  }
  return LLVMBuildShuffleVector(e->b, a, b, LLVMConstVector(lanes, width), "");
}

/* A perfect shuffle of `width` vectors, once per bit of the width, turns rows into columns. */
void micro_turn(struct emit *e, LLVMValueRef *x, uint32_t width) {
  for (uint32_t n = width; n > 1; n /= 2) {
    LLVMValueRef y[64];
    for (uint32_t i = 0; i < width / 2; i++) {
      y[2 * i] = interleave(e, x[i], x[i + width / 2], width, false);
      y[2 * i + 1] = interleave(e, x[i], x[i + width / 2], width, true);
    }
    for (uint32_t i = 0; i < width; i++)
      x[i] = y[i];
  }
}

struct turn {
  enum dtype dtype;
  LLVMValueRef from, from_stride, to, to_stride;
};

static void turn_span(struct emit *e, const struct turn *t, LLVMValueRef row, LLVMValueRef lo,
                      LLVMValueRef hi, uint32_t width) {
  struct emit_loop l;
  LLVMValueRef x[64];
  emit_loop_begin(e, &l, lo, hi, width, 0, NULL);
  for (uint32_t i = 0; i < width; i++) {
    LLVMValueRef r = index_mul(e, index_add(e, row, emit_i64(e, i)), t->from_stride);
    x[i] = micro_load(e, t->dtype, micro_at(e, t->dtype, t->from, index_add(e, r, l.index)), width);
  }
  micro_turn(e, x, width);
  for (uint32_t i = 0; i < width; i++) {
    LLVMValueRef c = index_mul(e, index_add(e, l.index, emit_i64(e, i)), t->to_stride);
    micro_store(e, t->dtype, micro_at(e, t->dtype, t->to, index_add(e, c, row)), x[i]);
  }
  emit_loop_end(e, &l, NULL);
}

void micro_transpose(struct emit *e, enum dtype dtype, LLVMValueRef from, LLVMValueRef from_stride,
                     LLVMValueRef to, LLVMValueRef to_stride, LLVMValueRef rows,
                     LLVMValueRef columns) {
  struct turn t = {dtype, from, from_stride, to, to_stride};
  uint32_t width = e->vector_bytes / dtype_unpacked_bytes(dtype);
  if (width > MICRO_SQUARE)
    width = MICRO_SQUARE;
  LLVMValueRef zero = emit_i64(e, 0), whole = micro_whole(e, columns, width),
               end = micro_whole(e, rows, width);
  struct emit_loop l;
  emit_loop_begin(e, &l, zero, end, width, 0, NULL);
  turn_span(e, &t, l.index, zero, whole, width);
  struct emit_loop edge;
  emit_loop_begin(e, &edge, emit_i64(e, 0), emit_i64(e, width), 1, 0, NULL);
  turn_span(e, &t, index_add(e, l.index, edge.index), whole, columns, 1);
  emit_loop_end(e, &edge, NULL);
  emit_loop_end(e, &l, NULL);
  emit_loop_begin(e, &l, end, rows, 1, 0, NULL);
  turn_span(e, &t, l.index, zero, columns, 1);
  emit_loop_end(e, &l, NULL);
}
