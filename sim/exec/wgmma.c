/* SPDX-License-Identifier: Apache-2.0 */
/* wgmma: each warp of a warpgroup computes its 16 rows when it issues; what may be touched before
 * wgmma.wait_group is checked. Layouts of operands in shared memory: PTX ISA, "Asynchronous
 * warpgroup-level matrix instructions". */
#include "sim/exec/async.h"
#include "sim/exec/decode.h"
#include "sim/exec/tensor.h"

#include <stdlib.h>

enum { ROWS = 16, MOST_COLUMNS = 256, ROW_BYTES = 32, MOST_K = 256 };

struct descriptor {
  uint32_t start, leading, stride, swizzle; /* bytes; log2 of the exchanged 16-byte units */
  bool transposed;                          /* the M or N dimension is contiguous */
  uint32_t writer;                          /* of what was read last; 0 before */
};

static bool read_descriptor(struct warp *w, const struct inst *i, const struct operand *o,
                            bool transposed, struct descriptor *d) {
  static const uint32_t modes[] = {0, 3, 2, 1};
  uint64_t bits = lane_get(w, o, 0);
  *d = (struct descriptor){.start = (uint32_t)(bits & 0x3fff) << 4,
                           .leading = (uint32_t)(bits >> 16 & 0x3fff) << 4,
                           .stride = (uint32_t)(bits >> 32 & 0x3fff) << 4,
                           .swizzle = modes[bits >> 62],
                           .transposed = transposed};
  for (uint32_t l = 1; l < 32; l++)
    if (lane_get(w, o, l) != bits) {
      memory_fault_report(w, i, (int)l, FAULT_ILLEGAL_INSTRUCTION,
                          "the lanes of the warp hold different matrix descriptors");
      return false;
    }
  if (bits >> 49 & 7) {
    memory_fault_report(w, i, 0, FAULT_ILLEGAL_INSTRUCTION,
                        "a matrix descriptor with a base offset is not simulated");
    return false;
  }
  return true;
}

/* Where 16 bytes lie: of row `row` from byte `at` of K, or transposed of K row `row` from byte `at`
 * of the contiguous dimension. */
static uint32_t unit_at(const struct descriptor *d, uint32_t row, uint32_t at) {
  uint32_t atom = 16u << d->swizzle; /* bytes of a row of the swizzle's pattern */
  uint32_t a = d->start + row % 8 * atom + at % atom;
  if (d->transposed) /* without a swizzle the two distances change places */
    a += d->swizzle ? row / 8 * d->stride + at / atom * d->leading
                    : row / 8 * d->leading + at / atom * d->stride;
  else
    a += row / 8 * d->stride + at / atom * d->leading;
  return a ^ (a >> 3 & ((atom >> 4) - 1) << 4);
}

/* 16 bytes of an operand, checked and noted as read by this warp's wgmma. */
static const uint8_t *unit(struct warp *w, const struct inst *i, struct descriptor *d, uint32_t row,
                           uint32_t at) {
  struct cta *c = w->cta;
  uint32_t a = unit_at(d, row, at);
  if (a + 16 > c->shared_bytes) {
    memory_fault_report(
        w, i, 0, FAULT_ILLEGAL_ADDRESS,
        "out of bounds: a matrix descriptor reaches byte %u of shared memory, which "
        "has %u",
        a, c->shared_bytes);
    return NULL;
  }
  if (!shadow_unit_read(w, i, 0, c, a, 16, AGENT_WGMMA + w->id, w->wgmma_committed + 1, &d->writer))
    return NULL;
  return c->shared + a;
}

/* Elements of an operand as 32-bit patterns, [k][rows] for B and [rows][k] for A. */
static bool read_matrix(struct warp *w, const struct inst *i, struct descriptor *d, enum ptx_type t,
                        uint32_t first_row, uint32_t rows, uint32_t k, bool k_first,
                        uint32_t *out) {
  uint32_t bits = element_bits(t), per = 128 / bits;
  uint32_t outer = d->transposed ? k : rows, units = (d->transposed ? rows : k) / per;
  for (uint32_t r = 0; r < outer; r++)
    for (uint32_t u = 0; u < units; u++) {
      uint32_t row = d->transposed ? r : first_row + r;
      uint32_t at = d->transposed ? (first_row + u * per) * bits / 8 : u * 16;
      const uint8_t *p = unit(w, i, d, row, at);
      if (!p)
        return false;
      if (bits == 16 && !d->transposed) {
        uint32_t *to = k_first ? out + (size_t)u * 8 * rows + r : out + (size_t)r * k + u * 8;
        uint32_t step = k_first ? rows : 1;
        for (uint32_t e = 0; e < 8; e++)
          to[e * step] = ((const uint16_t *)(const void *)p)[e];
        continue;
      }
      for (uint32_t e = 0; e < per; e++) {
        uint32_t v = 0, x = d->transposed ? r : u * per + e, y = d->transposed ? u * per + e : r;
        memcpy(&v, p + e * bits / 8, bits < 8 ? 1 : bits / 8);
        if (bits == 1)
          v = v >> e % 8 & 1;
        out[k_first ? x * rows + y : y * k + x] = v;
      }
    }
  return true;
}

static void read_registers(struct warp *w, const struct inst *i, enum ptx_type t, uint32_t first,
                           uint32_t *out) {
  uint32_t bits = element_bits(t), per = 32 / bits, k = ROW_BYTES * 8 / bits;
  for (uint32_t r = 0; r < 4; r++) {
    const uint32_t *s = lanes(w, &i->op[first + r]);
    for (uint32_t l = 0; l < 32; l++)
      for (uint32_t j = 0; j < per; j++) {
        uint32_t row = l / 4 + 8 * (r % 2), x = r / 2 * 4 * per + l % 4 * per + j;
        out[row * k + x] = bits == 32 ? s[l] : s[l] >> j * bits & ((1u << bits) - 1);
      }
  }
}

struct work {
  uint32_t a[ROWS * MOST_K], b[MOST_K * MOST_COLUMNS];
  union {
    float f[ROWS * MOST_COLUMNS];
    int32_t s[ROWS * MOST_COLUMNS];
  } acc;
};

static void convert(enum ptx_type t, bool negate, uint32_t *p, size_t n) {
  if (element_is_integer(t)) {
    for (size_t k = 0; k < n; k++)
      p[k] = (uint32_t)element_integer(t, p[k]);
    return;
  }
  for (size_t k = 0; k < n && t == TYPE_bf16; k++)
    p[k] = p[k] << 16 ^ (negate ? UINT32_C(0x80000000) : 0);
  for (size_t k = 0; k < n && t != TYPE_bf16; k++) {
    float v = element_float(t, p[k]);
    v = negate ? -v : v;
    memcpy(&p[k], &v, 4);
  }
}

/* The accumulator's registers to rows and back. */
static void gather(struct warp *w, const struct inst *i, uint32_t n, bool half, uint32_t *acc) {
  for (uint32_t e = 0; e < n / 2; e++) {
    const uint32_t *r = lanes(w, &i->op[half ? e / 2 : e]);
    uint32_t row = 8 * (e / 2 % 2), column = e % 2 + 8 * (e / 4);
    for (uint32_t l = 0; l < 32; l++) {
      uint32_t v = r[l];
      if (half) {
        float f = element_float(TYPE_f16, v >> 16 * (e % 2) & 0xffff);
        memcpy(&v, &f, 4);
      }
      acc[(row + l / 4) * n + column + l % 4 * 2] = v;
    }
  }
}
static void scatter(struct warp *w, const struct inst *i, uint32_t n, bool half,
                    const uint32_t *acc) {
  for (uint32_t e = 0; e < n / 2; e++) {
    uint32_t *r = lanes(w, &i->op[half ? e / 2 : e]);
    uint32_t row = 8 * (e / 2 % 2), column = e % 2 + 8 * (e / 4);
    for (uint32_t l = 0; l < 32; l++) {
      uint32_t v = acc[(row + l / 4) * n + column + l % 4 * 2];
      if (!half) {
        r[l] = v;
        continue;
      }
      float f;
      memcpy(&f, &v, 4);
      uint32_t h = (uint32_t)float_encode(TYPE_f16, (double)f, ROUND_NEAREST);
      r[l] = e % 2 ? (r[l] & 0xffff) | h << 16 : (r[l] & 0xffff0000) | h;
    }
  }
}

static void multiply(const struct inst *i, struct work *x, uint32_t n, uint32_t k) {
  enum ptx_type t = (enum ptx_type)i->aux[0];
  if (t == TYPE_b1) {
    for (uint32_t r = 0; r < ROWS; r++)
      for (uint32_t j = 0; j < n; j++)
        for (uint32_t y = 0; y < k; y++)
          x->acc.s[r * n + j] += (int32_t)(x->a[r * k + y] & x->b[y * n + j]);
  } else if (element_is_integer(t)) {
    product_s32(x->acc.s, (const int32_t *)x->a, (const int32_t *)x->b, ROWS, n, k);
  } else {
    product_f32(x->acc.f, (const float *)(const void *)x->a, (const float *)(const void *)x->b,
                ROWS, n, k);
  }
}

static void multiply_saturated(struct work *x, uint32_t n, uint32_t k) {
  for (uint32_t r = 0; r < ROWS; r++)
    for (uint32_t j = 0; j < n; j++) {
      int64_t sum = x->acc.s[r * n + j];
      for (uint32_t y = 0; y < k; y++)
        sum += (int64_t)(int32_t)x->a[r * k + y] * (int32_t)x->b[y * n + j];
      x->acc.s[r * n + j] = (int32_t)(sum > INT32_MAX   ? INT32_MAX
                                      : sum < INT32_MIN ? INT32_MIN
                                                        : sum);
    }
}

static void mark_in_flight(struct warp *w, const struct inst *i, uint32_t first, uint32_t count) {
  struct frame *f = w->frame;
  if (!f->in_flight)
    f->in_flight = calloc(f->function->register_count + 1, sizeof *f->in_flight);
  for (uint32_t k = 0; f->in_flight && k < count; k++)
    if (i->op[first + k].bank == BANK_REGISTER)
      f->in_flight[i->op[first + k].reg] = w->wgmma_committed + 1;
  w->in_flight = 1;
}

/* The part that says whether to accumulate: behind the metadata and its selector, if there are. */
static uint32_t scale_part(const struct inst *i) { return i->aux[2] ? 5 : 3; }

static bool accumulate_wanted(struct warp *w, const struct inst *i) {
  const struct operand *o = &i->op[i->part[scale_part(i)]];
  return o->width ? lane_get(w, o, 0) != 0 : pred_get(w, o) & 1;
}

static bool accumulators_written(struct warp *w, const struct inst *i) {
  for (uint32_t k = 0; k < i->part[1]; k++)
    if (w->frame->written[i->op[k].reg] != UINT32_MAX) {
      memory_fault_report(w, i, 0, FAULT_LAUNCH_FAILED,
                          "wgmma accumulates onto a register that was never written");
      return false;
    }
  return true;
}

/* An immediate of those behind scale-d: scale-a, scale-b, transpose-a, transpose-b. */
static int64_t immediate(struct warp *w, const struct inst *i, uint32_t k, int64_t otherwise) {
  uint32_t at = i->part[scale_part(i)] + 1u + k;
  return at < i->count ? (int32_t)lane_get(w, &i->op[at], 0) : otherwise;
}

/* The kept half of A's rows to where its elements belong, zeros between. */
static bool spread(struct warp *w, const struct inst *i, enum ptx_type t, uint32_t k, uint32_t *a) {
  uint32_t selector = (uint32_t)lane_get(w, &i->op[i->part[4]], 0), kept[MOST_K / 2];
  for (uint32_t r = ROWS; r-- > 0;) { /* a row moves onto those that have been moved */
    memcpy(kept, a + (size_t)r * k / 2, k / 2 * sizeof *kept);
    memset(a + (size_t)r * k, 0, k * sizeof *a);
    for (uint32_t x = 0; x < k / 2; x++) {
      uint32_t column;
      if (!sparse_column(w, i, &i->op[i->part[3]], selector, element_bits(t), k, r, x, &column))
        return false;
      a[r * k + column] = kept[x];
    }
  }
  return true;
}

static void mma_async(struct warp *w, const struct inst *i, uint32_t mask) {
  enum ptx_type ta = (enum ptx_type)i->aux[0], tb = (enum ptx_type)i->aux[1];
  uint32_t n = i->shape[1], k = i->shape[2], first_row = 16 * (w->id % 4);
  bool in_registers = i->part[2] - i->part[1] == 4, half = i->type == TYPE_f16;
  bool integer = element_is_integer(ta), accumulate = accumulate_wanted(w, i);
  struct descriptor a = {0}, b;
  bool ta_set = !in_registers && immediate(w, i, 2, 0),
       tb_set = immediate(w, i, in_registers ? 2 : 3, 0);
  (void)mask;
  if ((w->cta->warp_count & 3) && w->id / 4 == w->cta->warp_count / 4) {
    memory_fault_report(w, i, 0, FAULT_ILLEGAL_INSTRUCTION,
                        "wgmma in a warpgroup of fewer than four warps");
    return;
  }
  if (!read_descriptor(w, i, &i->op[i->part[2]], tb_set, &b) ||
      (!in_registers && !read_descriptor(w, i, &i->op[i->part[1]], ta_set, &a)))
    return;
  static _Thread_local struct work kept; /* too large for the stack */
  struct work *x = &kept;
  uint32_t stored = i->aux[2] ? k / 2 : k; /* elements of a row of A */
  bool good = read_matrix(w, i, &b, tb, 0, n, k, true, x->b);
  if (in_registers)
    read_registers(w, i, ta, i->part[1], x->a);
  else
    good = good && read_matrix(w, i, &a, ta, first_row, ROWS, stored, false, x->a);
  if (good && i->aux[2])
    good = spread(w, i, ta, k, x->a);
  if (good && accumulate)
    good = accumulators_written(w, i);
  if (good) {
    bool negate = !integer && (immediate(w, i, 0, 1) < 0) != (immediate(w, i, 1, 1) < 0);
    convert(ta, negate, x->a, (size_t)ROWS * k);
    convert(tb, false, x->b, (size_t)n * k);
    if (accumulate)
      gather(w, i, n, half, (uint32_t *)x->acc.s);
    else
      memset(x->acc.s, 0, sizeof *x->acc.s * ROWS * n);
    if (i->sat)
      multiply_saturated(x, n, k);
    else
      multiply(i, x, n, k);
    scatter(w, i, n, half, (const uint32_t *)x->acc.s);
    mark_in_flight(w, i, 0, i->part[1]);
    if (in_registers)
      mark_in_flight(w, i, i->part[1], 4);
  }
}

exec_fn bind_wgmma_mma(struct binding *b) {
  struct inst *i = b->inst;
  i->flow = FLOW_JOIN;
  i->matrix = true;
  bool sparse = has(b, MOD_sp);
  i->aux[2] = sparse;
  if (b->type_count != 3 || i->parts < (sparse ? 6 : 4) || i->shape[0] != 64 || !i->shape[1] ||
      i->shape[1] % 8 || i->shape[1] > MOST_COLUMNS)
    return NULL;
  i->aux[0] = b->types[1], i->aux[1] = b->types[2];
  uint32_t bits = element_bits(b->types[1]), d = i->part[1], n = i->shape[1];
  bool integer = element_is_integer(b->types[1]), bit = b->types[1] == TYPE_b1;
  bool fits = i->shape[2] == (sparse ? 2 : 1) * ROW_BYTES * 8 / bits &&
              bits == element_bits(b->types[2]) && bits <= 32 && bits != 4 &&
              integer == element_is_integer(b->types[2]) && !(sparse && bit);
  if (integer)
    fits &= b->types[0] == TYPE_s32 && d == n / 2;
  else
    fits &= (b->types[0] == TYPE_f32 && d == n / 2) || (b->types[0] == TYPE_f16 && d == n / 4);
  i->sat = has(b, MOD_satfinite);
  if (bit != has(b, MOD_and) || (i->sat && (!integer || bit))) {
    b->why = "saturation of these types, or bits without .and.popc";
    return NULL;
  }
  uint32_t a = i->part[2] - i->part[1];
  return fits && (a == 1 || a == 4) && i->part[3] - i->part[2] == 1 ? mma_async : NULL;
}

static void fence(struct warp *w, const struct inst *i, uint32_t mask) {
  (void)w, (void)i, (void)mask;
}
static void commit(struct warp *w, const struct inst *i, uint32_t mask) {
  (void)i, (void)mask;
  w->wgmma_committed++;
  w->cta->cluster->events++;
}
/* A group is complete when all four warps have issued it. */
static void wait(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t pending = (uint32_t)lane_get(w, &i->op[0], 0), first = w->id & ~3u;
  uint32_t until = w->wgmma_committed > pending ? w->wgmma_committed - pending : 0;
  (void)mask;
  for (uint32_t k = first; k < first + 4 && k < w->cta->warp_count; k++)
    if (w->cta->warps[k].live && w->cta->warps[k].wgmma_committed < until) {
      warp_retry(w);
      return;
    }
  if (until > w->wgmma_done)
    w->wgmma_done = until;
  for (uint32_t k = first; k < first + 4; k++)
    order_unit_done(w, AGENT_WGMMA + k, w->wgmma_done);
  order_tick(w);
  if (!pending)
    w->in_flight = 0;
}
exec_fn bind_wgmma_control(struct binding *b) {
  b->inst->flow = FLOW_JOIN;
  b->inst->matrix = true;
  return has(b, MOD_fence) ? fence : has(b, MOD_commit_group) ? commit : wait;
}
