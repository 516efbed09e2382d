/* SPDX-License-Identifier: Apache-2.0 */
/* mma.sync and wmma. Floating-point products are exact and summed in double, with one rounding to
 * the type of the result; hardware rounds differently within its documented freedom.
 * Source: PTX ISA, "Warp-level matrix instructions". */
#include "sim/exec/decode.h"
#include "sim/exec/tensor.h"

enum { MOST_K = 256 };

/* Registers of a fragment as bits. Fragments of mma.sync: lanes are in groups of four; an element's
 * group is its row (of A, C and D) or column (of B). */
static uint64_t fragment_bits(struct warp *w, const struct operand *o, uint32_t lane, uint32_t bits,
                              uint32_t at) {
  uint64_t v = lane_get(w, o, lane) >> at * bits;
  return bits >= 64 ? v : v & ((UINT64_C(1) << bits) - 1);
}

struct shape {
  uint32_t m, n, k;
  enum ptx_type a, b, c, d;
  uint32_t op_d, op_a, op_b, op_c; /* first registers */
  uint32_t count_d, count_a, count_b, count_c;
};

/* Reads A (m x k) or B (n x k, `columns`) as doubles. */
static void read_operand(struct warp *w, const struct inst *i, enum ptx_type t, uint32_t first,
                         uint32_t count, uint32_t groups, uint32_t k, double *out) {
  uint32_t bits = element_bits(t), per = (bits == 64 ? 64 : 32) / bits, halves = groups / 8;
  for (uint32_t l = 0; l < 32; l++)
    for (uint32_t r = 0; r < count; r++)
      for (uint32_t j = 0; j < per; j++) {
        uint32_t row = l / 4 + 8 * (r % halves), x = r / halves * 4 * per + l % 4 * per + j;
        uint64_t v = fragment_bits(w, &i->op[first + r], l, bits, j);
        if (x < k)
          out[row * k + x] = t == TYPE_f64           ? float_decode(t, v)
                             : element_is_integer(t) ? (double)element_integer(t, (uint32_t)v)
                                                     : (double)element_float(t, (uint32_t)v);
      }
}

/* Element e of an accumulator's fragment: row, column, register, place in it. */
static void place_c(uint32_t m, enum ptx_type t, uint32_t l, uint32_t e, uint32_t *row,
                    uint32_t *column, uint32_t *reg, uint32_t *at) {
  uint32_t per = t == TYPE_f16 ? 2 : 1;
  *row = l / 4 + (m > 8 ? 8 * (e / 2 % 2) : 0);
  *column = l % 4 * 2 + e % 2;
  *reg = e / per;
  *at = e % per;
}

static double read_c(struct warp *w, const struct operand *o, enum ptx_type t, uint32_t l,
                     uint32_t at) {
  uint64_t v = lane_get(w, o, l);
  if (t == TYPE_s32)
    return (int32_t)v;
  return t == TYPE_f16 ? (double)element_float(t, (uint32_t)v >> 16 * at & 0xffff)
                       : float_decode(t, v);
}

static uint64_t write_c(enum ptx_type t, double v, bool saturate) {
  if (t != TYPE_s32)
    return float_encode(t, v, ROUND_NEAREST);
  if (saturate)
    v = v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v;
  return (uint32_t)(int64_t)v;
}

static void dot(const struct inst *i, const struct shape *s, const double *a, const double *b,
                double *sum) {
  for (uint32_t m = 0; m < s->m; m++)
    for (uint32_t n = 0; n < s->n; n++) {
      double r = 0;
      for (uint32_t k = 0; k < s->k; k++) {
        double x = a[m * s->k + k], y = b[n * s->k + k];
        if (s->a != TYPE_b1)
          r = s->d == TYPE_f64 ? __builtin_fma(x, y, r) : r + x * y;
        else
          r += i->combine == MOD_xor ? x != y : x != 0 && y != 0;
      }
      sum[m * s->n + n] = r;
    }
}

static void shape_of(const struct inst *i, struct shape *s) {
  *s = (struct shape){.m = i->shape[0],
                      .n = i->shape[1],
                      .k = i->shape[2],
                      .d = (enum ptx_type)(i->aux[0] & 255),
                      .a = (enum ptx_type)(i->aux[0] >> 8 & 255),
                      .b = (enum ptx_type)(i->aux[0] >> 16 & 255),
                      .c = (enum ptx_type)(i->aux[0] >> 24)};
  s->op_d = i->part[0], s->op_a = i->part[1], s->op_b = i->part[2], s->op_c = i->part[3];
  s->count_d = s->op_a - s->op_d, s->count_a = s->op_b - s->op_a, s->count_b = s->op_c - s->op_b;
  s->count_c = (i->parts > 4 ? i->part[4] : i->count) - s->op_c;
}

static void finish(struct warp *w, const struct inst *i, const struct shape *s, const double *sum) {
  uint32_t most = s->m * s->n / 32;
  uint64_t out[32][8] = {0};
  for (uint32_t l = 0; l < 32; l++)
    for (uint32_t e = 0; e < most; e++) {
      uint32_t row, column, reg, at, creg, cat, x;
      place_c(s->m, s->d, l, e, &row, &column, &reg, &at);
      place_c(s->m, s->c, l, e, &x, &x, &creg, &cat);
      double c = read_c(w, &i->op[s->op_c + creg], s->c, l, cat);
      out[l][reg] |= write_c(s->d, sum[row * s->n + column] + c, i->sat) << 16 * at;
    }
  for (uint32_t l = 0; l < 32; l++)
    for (uint32_t r = 0; r < s->count_d; r++)
      lane_set(w, &i->op[s->op_d + r], l, out[l][r]);
}

static void mma(struct warp *w, const struct inst *i, uint32_t mask) {
  double a[16 * MOST_K], b[8 * MOST_K], sum[128];
  struct shape s;
  (void)mask;
  shape_of(i, &s);
  read_operand(w, i, s.a, s.op_a, s.count_a, s.m, s.k, a);
  read_operand(w, i, s.b, s.op_b, s.count_b, 8, s.k, b);
  dot(i, &s, a, b, sum);
  finish(w, i, &s, sum);
}

/* A row has two bits for each kept element, or for each kept pair below 8 bits; tf32 keeps one of
 * two, told by four bits. With 16 or 32 bits a lane holds 16 bits of row r and as many of row r +
 * 8, with fewer it holds 32 bits of one of them. */
bool sparse_column(struct warp *w, const struct inst *i, const struct operand *metadata,
                   uint32_t selector, uint32_t bits, uint32_t k, uint32_t row, uint32_t kept,
                   uint32_t *column) {
  bool whole = bits <= 8;
  uint32_t unit = bits == 4 ? kept / 2 : kept, at = bits == 32 ? unit * 4 : unit * 2;
  uint32_t row_bits = bits == 32 ? k / 2 * 4 : bits == 4 ? k / 2 : k, per = whole ? 32 : 16;
  uint32_t pieces = row_bits / per, lane = at / per * (whole ? 2 : 1) + (whole ? row / 8 : 0);
  if (pieces == 1)
    lane += whole ? 2 * (selector & 1) : selector & 3;
  else if (!whole)
    lane += 2 * (selector & 1);
  uint32_t word = (uint32_t)lane_get(w, metadata, row % 8 * 4 + lane);
  uint32_t shift = (whole ? 0 : 16 * (row / 8)) + at % per, field = word >> shift;
  if (bits == 32) {
    *column = kept * 2 + (field & 15) / 8 % 2;
    return true;
  }
  if (unit % 2 && (field & 3) == (word >> (shift - 2) & 3)) {
    memory_fault_report(w, i, (int)(row % 8 * 4 + lane), FAULT_LAUNCH_FAILED,
                        "the metadata 0x%08x keeps one place of row %u twice", word, row);
    return false;
  }
  *column = bits == 4 ? unit / 2 * 8 + (field & 3) * 2 + kept % 2 : kept / 2 * 4 + (field & 3);
  return true;
}

static void mma_sparse(struct warp *w, const struct inst *i, uint32_t mask) {
  double packed[16 * MOST_K / 2], a[16 * MOST_K] = {0}, b[8 * MOST_K], sum[128];
  struct shape s;
  (void)mask;
  shape_of(i, &s);
  uint32_t selector = (uint32_t)lane_get(w, &i->op[i->part[5]], 0);
  read_operand(w, i, s.a, s.op_a, s.count_a, s.m, s.k / 2, packed);
  read_operand(w, i, s.b, s.op_b, s.count_b, 8, s.k, b);
  for (uint32_t r = 0; r < s.m; r++)
    for (uint32_t x = 0; x < s.k / 2; x++) {
      uint32_t column;
      if (!sparse_column(w, i, &i->op[i->part[4]], selector, element_bits(s.a), s.k, r, x, &column))
        return;
      a[r * s.k + column] = packed[r * (s.k / 2) + x];
    }
  dot(i, &s, a, b, sum);
  finish(w, i, &s, sum);
}

static bool counts_fit(const struct inst *i, bool sparse) {
  struct shape s;
  shape_of(i, &s);
  uint32_t abits = element_bits(s.a), bbits = element_bits(s.b);
  uint32_t word = abits == 64 ? 64 : 32,
           cbits = s.c == TYPE_f16   ? 16
                   : s.c == TYPE_f64 ? 64
                                     : 32,
           dbits = s.d == TYPE_f16   ? 16
                   : s.d == TYPE_f64 ? 64
                                     : 32;
  uint32_t out = s.d == TYPE_f64 ? 64 : 32, in = s.c == TYPE_f64 ? 64 : 32;
  return (s.m == 8 || s.m == 16) && s.n == 8 && s.k && s.k <= MOST_K && abits == bbits &&
         s.count_a * 32 * word == s.m * s.k * abits / (sparse ? 2 : 1) &&
         s.count_b * 32 * word == s.n * s.k * bbits && s.count_d * 32 * out == s.m * s.n * dbits &&
         s.count_c * 32 * in == s.m * s.n * cbits;
}

static bool types_fit(struct binding *b) {
  struct inst *i = b->inst;
  if (b->type_count != 4)
    return false;
  i->aux[0] = (uint32_t)b->types[0] | (uint32_t)b->types[1] << 8 | (uint32_t)b->types[2] << 16 |
              (uint32_t)b->types[3] << 24;
  bool integer = element_is_integer(b->types[1]);
  if (element_is_integer(b->types[2]) != integer)
    return false;
  for (uint32_t k = 0; k < 4; k += 3)
    if (integer ? b->types[k] != TYPE_s32
                : b->types[k] != TYPE_f32 && b->types[k] != TYPE_f16 && b->types[k] != TYPE_f64)
      return false;
  i->sat = has(b, MOD_satfinite);
  i->combine = (uint16_t)(has(b, MOD_xor) ? MOD_xor : MOD_and);
  return (b->types[1] == TYPE_b1) == (has(b, MOD_xor) || has(b, MOD_and));
}

/* Doubles may be rounded otherwise than to the nearest. */
static exec_fn bind_in_mode(struct binding *b, exec_fn fn) {
  return b->inst->rounding != ROUND_NEAREST && b->types[0] != TYPE_f64 ? NULL : bind_rounded(b, fn);
}

exec_fn bind_mma(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  if (!types_fit(b) || !has(b, MOD_row) || !has(b, MOD_col) || i->parts < 4)
    return NULL;
  bool sparse = has(b, MOD_sp) || has(b, MOD_sp_ordered_metadata);
  if (sparse != (i->parts == 6))
    return NULL;
  if (i->shape[0] == 8 && i->shape[2] == 4 && b->types[1] == TYPE_f16) {
    b->why = "quarters of a warp, as Volta had them";
    return NULL;
  }
  return !counts_fit(i, sparse) ? NULL : sparse ? mma_sparse : bind_in_mode(b, mma);
}

/* wmma: fragments are opaque. Here element p of one lies in lane p / per_lane; those that are held
 * twice follow again. */

struct wmma_fragment {
  uint32_t rows, columns, registers, per; /* elements of a register */
  enum ptx_type type;
};

static struct wmma_fragment fragment_of(const struct inst *i, char which) {
  struct wmma_fragment f = {.type = (enum ptx_type)i->type};
  uint32_t m = i->shape[0], n = i->shape[1], k = i->shape[2];
  f.rows = which == 'b' ? k : m;
  f.columns = which == 'a' ? k : n;
  uint32_t bits =
      which == 'c' && f.type != TYPE_f16 ? (f.type == TYPE_f64 ? 64 : 32) : element_bits(f.type);
  f.per = (bits == 64 ? 64 : 32) / bits;
  return f;
}

static uint32_t element_at(const struct wmma_fragment *f, uint32_t lane, uint32_t r, uint32_t j) {
  uint32_t lane_elements = f->registers * f->per, total = f->rows * f->columns;
  return (lane * lane_elements + r * f->per + j) % total;
}

/* Address of an element in memory: bytes, and bits for those below a byte. */
static uint64_t element_address(const struct wmma_fragment *f, uint64_t base, uint64_t stride,
                                bool column_major, uint32_t e, uint32_t bits, uint32_t *shift) {
  uint64_t row = e / f->columns, column = e % f->columns;
  uint64_t index = column_major ? column * stride + row : row * stride + column;
  *shift = (uint32_t)(index * bits % 8);
  return base + index * bits / 8;
}

static void wmma_move(struct warp *w, const struct inst *i, uint32_t mask) {
  bool store = i->aux[1], column_major = i->aux[2];
  struct wmma_fragment f = fragment_of(i, (char)i->aux[3]);
  uint32_t first = store ? 1 : 0, address = store ? 0 : i->writes;
  uint32_t end = i->parts > 2 ? i->part[2] : i->count;
  f.registers = store ? end - first : i->writes;
  uint32_t bits = element_bits(f.type), bytes = bits < 8 ? 1 : bits / 8;
  uint64_t base = lane_get(w, &i->op[address], (uint32_t)__builtin_ctz(mask)) + (uint64_t)i->imm;
  uint64_t stride = end < i->count ? lane_get(w, &i->op[end], 0) & UINT32_MAX
                                   : (column_major ? f.rows : f.columns);
  EACH_LANE(l, mask)
  for (uint32_t r = 0; r < f.registers; r++) {
    uint64_t v = store ? lane_get(w, &i->op[first + r], l) : 0;
    for (uint32_t j = 0; j < f.per; j++) {
      uint32_t shift, e = element_at(&f, l, r, j);
      uint64_t a = element_address(&f, base, stride, column_major, e, bits, &shift), piece = 0;
      uint8_t *p = resolve(w, i, l, a, bytes, store ? ACCESS_WRITE : ACCESS_READ);
      if (!p)
        return;
      if (store) {
        piece = v >> j * bits;
        memcpy(p, &piece, bytes);
        continue;
      }
      memcpy(&piece, p, bytes);
      piece = piece >> shift & (bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1);
      v |= piece << j * bits;
    }
    if (!store)
      lane_set(w, &i->op[r], l, v);
  }
}

exec_fn bind_wmma_move(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  i->aux[1] = has(b, MOD_store);
  i->aux[2] = has(b, MOD_col);
  i->aux[3] = has(b, MOD_a) ? 'a' : has(b, MOD_b) ? 'b' : 'c';
  return b->type_count == 1 && i->shape[0] && has(b, MOD_row) != has(b, MOD_col) ? wmma_move : NULL;
}

static void wmma_read(struct warp *w, const struct inst *i, uint32_t first, uint32_t registers,
                      char which, enum ptx_type t, double *out) {
  struct inst as = *i;
  as.type = (uint8_t)t;
  struct wmma_fragment f = fragment_of(&as, which);
  f.registers = registers;
  uint32_t bits = f.per == 1 ? (t == TYPE_f64 ? 64 : 32) : 32 / f.per;
  for (uint32_t l = 0; l < 32; l++)
    for (uint32_t r = 0; r < registers; r++)
      for (uint32_t j = 0; j < f.per; j++) {
        uint64_t v = fragment_bits(w, &i->op[first + r], l, bits, j);
        out[element_at(&f, l, r, j)] = t == TYPE_s32   ? (double)(int32_t)v
                                       : t == TYPE_f64 ? float_decode(t, v)
                                       : t == TYPE_f32 ? float_decode(t, v)
                                       : element_is_integer(t)
                                           ? (double)element_integer(t, (uint32_t)v)
                                           : (double)element_float(t, (uint32_t)v);
      }
}

static void wmma_mma(struct warp *w, const struct inst *i, uint32_t mask) {
  struct shape s;
  double a[16 * MOST_K], b[16 * MOST_K], c[256], columns[16 * MOST_K], sum[256];
  (void)mask;
  shape_of(i, &s);
  wmma_read(w, i, s.op_a, s.count_a, 'a', s.a, a);
  wmma_read(w, i, s.op_b, s.count_b, 'b', s.b, b);
  wmma_read(w, i, s.op_c, s.count_c, 'c', s.c, c);
  for (uint32_t k = 0; k < s.k; k++)
    for (uint32_t n = 0; n < s.n; n++)
      columns[n * s.k + k] = b[k * s.n + n];
  dot(i, &s, a, columns, sum);
  struct inst as = *i;
  as.type = (uint8_t)s.d;
  struct wmma_fragment f = fragment_of(&as, 'c');
  f.registers = s.count_d;
  for (uint32_t l = 0; l < 32; l++)
    for (uint32_t r = 0; r < s.count_d; r++) {
      uint64_t v = 0;
      for (uint32_t j = 0; j < f.per; j++) {
        uint32_t e = element_at(&f, l, r, j);
        v |= write_c(s.d, sum[e] + c[e], i->sat) << j * (32 / f.per);
      }
      lane_set(w, &i->op[r], l, v);
    }
}
exec_fn bind_wmma_mma(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  if (b->type_count == 2) { /* f16: only d and c are written */
    b->types[3] = b->types[1];
    b->types[1] = b->types[2] = TYPE_f16;
    b->type_count = 4;
  }
  return types_fit(b) && i->parts == 4 && i->shape[2] <= 128 && i->shape[0] * i->shape[1] <= 256
             ? bind_in_mode(b, wmma_mma)
             : NULL;
}
