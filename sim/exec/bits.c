/* SPDX-License-Identifier: Apache-2.0 */
/* Scalar instructions that are rare: masks, sums of differences, carries of products, tests of
 * classes and spaces, video. Lane by lane. Source: PTX ISA, by the name of each. */
#include "sim/exec/cvt.h"
#include "sim/exec/decode.h"

#include <math.h>

#define BY_LANE(name, ...)                                                                         \
  static void name(struct warp *w, const struct inst *i, uint32_t mask) {                          \
    const struct operand *o = i->op;                                                               \
    EACH_LANE(l, mask) { __VA_ARGS__ }                                                             \
  }
#define GET(k) lane_get(w, &o[k], l)
#define SET(v) lane_set(w, &o[0], l, (uint64_t)(v))

static int64_t extend(uint64_t v, uint32_t bits) {
  return bits >= 64 ? (int64_t)v : (int64_t)(v << (64 - bits)) >> (64 - bits);
}
static bool is_signed(const struct inst *i) {
  return ptx_type_class((enum ptx_type)i->type) == CLASS_SIGNED;
}

BY_LANE(bmsk, uint64_t a = GET(1); uint64_t n = GET(2);
        a = i->operation ? (a > 32 ? 32 : a) : a & 31;
        n = i->operation ? (n > 32 ? 32 : n) : n & 31;
        SET((((UINT64_C(1) << n) - 1) << a) & UINT32_MAX);)
exec_fn bind_bmsk(struct binding *b) {
  b->inst->operation = has(b, MOD_clamp);
  return has(b, MOD_clamp) != has(b, MOD_wrap) ? bmsk : NULL;
}

BY_LANE(szext, uint64_t a = GET(1); uint64_t n = GET(2);
        n = i->operation ? (n > 32 ? 32 : n) : n & 31; uint64_t kept = a & ((UINT64_C(1) << n) - 1);
        SET(is_signed(i) ? (n ? (uint64_t)extend(kept, (uint32_t)n) : 0) & UINT32_MAX : kept);)
exec_fn bind_szext(struct binding *b) {
  b->inst->operation = has(b, MOD_clamp);
  return has(b, MOD_clamp) != has(b, MOD_wrap) ? szext : NULL;
}

/* fns: the n-th set bit from a base, up or down. */
static uint32_t find_nth(uint32_t a, uint32_t base, int32_t n) {
  if (n == 0)
    return a >> (base & 31) & 1 ? base & 31 : UINT32_MAX;
  int32_t step = n > 0 ? 1 : -1, count = 0;
  for (int32_t k = (int32_t)(base & 31); k >= 0 && k < 32; k += step)
    if ((a >> k & 1) && ++count == n * step)
      return (uint32_t)k;
  return UINT32_MAX;
}
BY_LANE(fns, SET(find_nth((uint32_t)GET(1), (uint32_t)GET(2), (int32_t)GET(3)));)
exec_fn bind_fns(struct binding *b) { return b->inst->count == 4 ? fns : NULL; }

BY_LANE(sad, uint32_t bits = o[0].width * 8u; int64_t x = extend(GET(1), bits);
        int64_t y = extend(GET(2), bits); uint64_t ux = GET(1); uint64_t uy = GET(2);
        bool less = is_signed(i) ? x < y : ux < uy; SET((less ? uy - ux : ux - uy) + GET(3));)
exec_fn bind_sad(struct binding *b) {
  return b->type_count == 1 && ptx_type_bytes(b->types[0]) >= 2 ? sad : NULL;
}

BY_LANE(mul24, int64_t x = is_signed(i) ? extend(GET(1), 24) : (int64_t)(GET(1) & 0xffffff);
        int64_t y = is_signed(i) ? extend(GET(2), 24) : (int64_t)(GET(2) & 0xffffff);
        uint64_t p = (uint64_t)(x * y);
        SET((i->operation ? p >> 16 : p) + (i->count > 3 ? GET(3) : 0));)
exec_fn bind_mul24(struct binding *b) {
  b->inst->operation = has(b, MOD_hi);
  return b->type_count == 1 && ptx_type_bytes(b->types[0]) == 4 && has(b, MOD_hi) != has(b, MOD_lo)
             ? mul24
             : NULL;
}

/* mad.cc and madc: the low or high half of a product, with the carry in and out. */
BY_LANE(mad_carry, uint32_t bits = o[0].width * 8u;
        unsigned __int128 p = is_signed(i) ? (unsigned __int128)((__int128)extend(GET(1), bits) *
                                                                 extend(GET(2), bits))
                                           : (unsigned __int128)GET(1) * GET(2);
        uint64_t most = bits == 64 ? UINT64_MAX : UINT32_MAX;
        uint64_t half = (uint64_t)(i->operation & 1 ? p >> bits : p) & most;
        unsigned __int128 sum = (unsigned __int128)half + GET(3) +
                                (i->operation & 2 ? w->frame->carry >> l & 1 : 0);
        if (i->operation & 4)
            w->frame->carry = (w->frame->carry & ~(1u << l)) | (uint32_t)(sum >> bits & 1) << l;
        SET((uint64_t)sum & most);)
exec_fn bind_mad_carry(struct binding *b);
exec_fn bind_mad_carry(struct binding *b) {
  b->inst->operation =
      (uint16_t)(has(b, MOD_hi) | (b->inst->opcode[3] == 'c') << 1 | has(b, MOD_cc) << 2);
  return b->type_count == 1 && b->inst->op[0].width >= 4 && has(b, MOD_hi) != has(b, MOD_lo)
             ? mad_carry
             : NULL;
}
exec_fn bind_madc(struct binding *b) { return bind_mad_carry(b); }

BY_LANE(
    dp2a, uint64_t a = GET(1); uint64_t b = GET(2) >> (i->operation ? 16 : 0);
    int64_t sum = (int64_t)GET(3); for (uint32_t k = 0; k < 2; k++) {
      int64_t x = i->type == TYPE_s32 ? (int16_t)(a >> 16 * k) : (int64_t)(a >> 16 * k & 0xffff);
      int64_t y = i->source_type == TYPE_s32 ? (int8_t)(b >> 8 * k) : (int64_t)(b >> 8 * k & 255);
      sum += x * y;
    } SET(sum);)
exec_fn bind_dp2a(struct binding *b) {
  b->inst->operation = has(b, MOD_hi);
  return b->type_count == 2 && has(b, MOD_hi) != has(b, MOD_lo) ? dp2a : NULL;
}

static bool in_class(double v, bool subnormal, uint16_t class) {
  switch (class) {
  case MOD_finite: return isfinite(v);
  case MOD_infinite: return isinf(v);
  case MOD_number: return !isnan(v);
  case MOD_notanumber: return isnan(v);
  case MOD_normal: return isfinite(v) && v != 0 && !subnormal;
  default: return subnormal;
  }
}
BY_LANE(testp, double v = float_decode((enum ptx_type)i->type, GET(1));
        bool subnormal = v != 0 && fabs(v) < (i->type == TYPE_f32 ? 0x1p-126 : 0x1p-1022);
        pred_set(w, &o[0], 1u << l, (uint32_t)in_class(v, subnormal, i->operation) << l);)
exec_fn bind_testp(struct binding *b) {
  static const enum modifier classes[] = {MOD_finite, MOD_infinite,  MOD_number, MOD_notanumber,
                                          MOD_normal, MOD_subnormal, MOD_COUNT};
  b->inst->operation = (uint16_t)first_of(b, classes);
  return b->inst->operation != MOD_COUNT && b->type_count == 1 ? testp : NULL;
}

static bool in_space(const struct warp *w, const struct inst *i, uint64_t a) {
  uint64_t params = (uint64_t)(uintptr_t)w->cta->launch->params;
  bool in_shared = a - window_shared < (i->operation ? SHARED_WINDOWS : 1) * WINDOW_BYTES;
  bool in_local = a - window_local < WINDOW_BYTES;
  bool in_param = a - params < w->cta->launch->kernel->param_bytes;
  switch (i->space) {
  case IN_SHARED: return in_shared;
  case IN_LOCAL: return in_local;
  case IN_ENTRY_PARAM: return in_param;
  case IN_CONST: return false;
  default: return !(a - window_shared < SHARED_WINDOWS * WINDOW_BYTES) && !in_local && !in_param;
  }
}
BY_LANE(isspacep, pred_set(w, &o[0], 1u << l, (uint32_t)in_space(w, i, GET(1)) << l);)
exec_fn bind_isspacep(struct binding *b) {
  b->inst->operation = has(b, MOD_shared_cluster);
  return b->inst->space != IN_GENERIC ? isspacep : NULL;
}

BY_LANE(slct, bool positive = i->source_type == TYPE_f32 ? float_decode(TYPE_f32, GET(3)) >= 0
                                                         : (int32_t)GET(3) >= 0;
        SET(positive ? GET(1) : GET(2));)
exec_fn bind_slct(struct binding *b) {
  return b->type_count == 2 && (b->types[1] == TYPE_s32 || b->types[1] == TYPE_f32) ? slct : NULL;
}

/* set: a comparison as ones or 1.0, of each half where sources are packed. */
uint32_t compare_any(struct warp *w, const struct inst *i);
uint32_t compare_float(struct warp *w, const struct inst *i, uint32_t half);
static uint32_t true_as(enum ptx_type t) {
  switch (t) {
  case TYPE_f32: return 0x3f800000;
  case TYPE_f16:
  case TYPE_f16x2: return 0x3c00;
  case TYPE_bf16:
  case TYPE_bf16x2: return 0x3f80;
  default: return UINT32_MAX;
  }
}
static void set(struct warp *w, const struct inst *i, uint32_t mask) {
  struct inst as = *i;
  as.type = i->source_type;
  bool packed = ptx_type_class((enum ptx_type)as.type) == CLASS_PACKED;
  uint32_t yes = true_as((enum ptx_type)i->type), r[2] = {0, 0};
  for (uint32_t half = 0; half < 1u + packed; half++) {
    r[half] = packed ? compare_float(w, &as, half) : compare_any(w, &as);
    uint32_t c = i->count == 4 ? pred_get(w, &i->op[3]) : 0;
    if (i->count == 4)
      r[half] = i->combine == MOD_and  ? r[half] & c
                : i->combine == MOD_or ? r[half] | c
                                       : r[half] ^ c;
  }
  EACH_LANE(l, mask) {
    uint32_t low = r[0] >> l & 1 ? yes : 0, high = r[1] >> l & 1 ? yes : 0;
    lane_set(w, &i->op[0], l, packed ? (low & 0xffff) | high << 16 : low);
  }
}
exec_fn bind_set(struct binding *b) {
  struct inst *i = b->inst;
  i->aux[0] = 1;
  i->compare = (uint16_t)(b->order_count ? b->order[0] : MOD_COUNT);
  i->combine = (uint16_t)(has(b, MOD_and) ? MOD_and : has(b, MOD_or) ? MOD_or : MOD_xor);
  if (b->type_count != 2 || !b->order_count)
    return NULL;
  enum ptx_type to = b->types[0], from = b->types[1];
  bool word = to == TYPE_u32 || to == TYPE_s32;
  if (ptx_type_class(from) == CLASS_PACKED)
    return (from == TYPE_f16x2 || from == TYPE_bf16x2) && (word || to == from) ? set : NULL;
  return word || to == TYPE_f32 || to == TYPE_f16 || to == TYPE_bf16 || to == TYPE_u16 ||
                 to == TYPE_s16
             ? set
             : NULL;
}

/* Pairs of 16-bit integers: add, min, max. */
BY_LANE(
    pair, uint64_t r = 0; for (uint32_t k = 0; k < 32; k += 16) {
      int32_t x = i->type == TYPE_s16x2 ? (int16_t)(GET(1) >> k) : (int32_t)(GET(1) >> k & 0xffff);
      int32_t y = i->type == TYPE_s16x2 ? (int16_t)(GET(2) >> k) : (int32_t)(GET(2) >> k & 0xffff);
      int32_t v = i->operation == 'd'   ? x + y
                  : i->operation == 'i' ? (x < y ? x : y)
                                        : (x > y ? x : y);
      if (i->sat && i->type == TYPE_s16x2)
        v = v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v;
      else if (i->sat)
        v = v > UINT16_MAX ? UINT16_MAX : v;
      if (i->relu && v < 0)
        v = 0;
      r |= (uint64_t)(v & 0xffff) << k;
    } SET(r);)
exec_fn bind_pair(struct binding *b);
exec_fn bind_pair(struct binding *b) {
  b->inst->operation = (uint16_t)b->inst->opcode[1];
  return b->inst->count == 3 ? pair : NULL;
}

/* Addresses of other CTAs of the cluster. */
BY_LANE(
    mapa, uint64_t a = GET(1) + (uint64_t)i->imm; uint64_t rank = GET(2);
    if (rank >= w->cta->cluster->size) {
      memory_fault_report(w, i, (int)l, FAULT_ILLEGAL_INSTRUCTION,
                          "mapa: the cluster has no CTA %llu", (unsigned long long)rank);
      return;
    } uint64_t base = o[0].width == 8 ? window_shared : 0;
    uint64_t offset = (a - base) % WINDOW_BYTES; SET(base + (rank + 1) * WINDOW_BYTES + offset);)
exec_fn bind_mapa(struct binding *b) {
  return b->inst->count == 3 && b->type_count == 1 ? mapa : NULL;
}
BY_LANE(getctarank, uint64_t a = GET(1);
        a = a - window_shared < SHARED_WINDOWS * WINDOW_BYTES ? a - window_shared : a;
        uint64_t window = a / WINDOW_BYTES; SET(window ? window - 1 : w->cta->rank);)
exec_fn bind_getctarank(struct binding *b) { return b->inst->count == 2 ? getctarank : NULL; }

/* Cache policies say nothing here. */
BY_LANE(policy, SET(0);)
exec_fn bind_policy(struct binding *b) { return b->inst->op[0].width == 8 ? policy : NULL; }

/* Scalar and packed video instructions: sources are bytes or halves of words, widened to 34 bits;
 * parts of registers are not selected. aux[0] parts, aux[1] what; signs of d, a and b in shape. */

enum {
  VIDEO_ADD,
  VIDEO_SUB,
  VIDEO_ABSDIFF,
  VIDEO_MIN,
  VIDEO_MAX,
  VIDEO_AVRG,
  VIDEO_SET,
  VIDEO_SHL,
  VIDEO_SHR,
};
static int64_t video_compare(const struct inst *i, int64_t a, int64_t b) {
  switch (i->compare) {
  case MOD_eq: return a == b;
  case MOD_ne: return a != b;
  case MOD_lt: return a < b;
  case MOD_le: return a <= b;
  case MOD_gt: return a > b;
  default: return a >= b;
  }
}
static int64_t video(const struct inst *i, int64_t a, int64_t b) {
  int64_t by = i->combine == MOD_wrap ? b & 31 : b > 32 ? 32 : b;
  switch (i->aux[1]) {
  case VIDEO_ADD: return a + b;
  case VIDEO_SUB: return a - b;
  case VIDEO_ABSDIFF: return a < b ? b - a : a - b;
  case VIDEO_MIN: return a < b ? a : b;
  case VIDEO_MAX: return a > b ? a : b;
  case VIDEO_AVRG: return (a + b + (a + b >= 0)) >> 1;
  case VIDEO_SET: return video_compare(i, a, b);
  case VIDEO_SHL: return a * (INT64_C(1) << by);
  default: return a >> by;
  }
}
static int64_t limited(int64_t v, bool is_signed_result, uint32_t bits) {
  int64_t low = is_signed_result ? -(INT64_C(1) << (bits - 1)) : 0;
  int64_t high = is_signed_result ? (INT64_C(1) << (bits - 1)) - 1 : (INT64_C(1) << bits) - 1;
  return v < low ? low : v > high ? high : v;
}
static void video_run(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t parts = i->aux[0], bits = 32 / parts;
  uint64_t most = bits == 32 ? UINT32_MAX : (UINT64_C(1) << bits) - 1;
  EACH_LANE(l, mask) {
    uint64_t a = lane_get(w, &i->op[1], l), b = lane_get(w, &i->op[2], l), r = 0;
    uint64_t c = i->count > 3 ? lane_get(w, &i->op[3], l) : 0;
    for (uint32_t k = 0; k < parts; k++) {
      uint64_t pa = a >> k * bits & most, pb = b >> k * bits & most;
      int64_t x = i->shape[1] ? extend(pa, bits) : (int64_t)pa;
      int64_t y = i->shape[2] ? extend(pb, bits) : (int64_t)pb;
      int64_t v = video(i, x, y);
      if (i->sat)
        v = limited(v, i->shape[0], bits);
      if (i->operation == MOD_add) /* summed onto the last operand */
        r += (uint64_t)v & most;
      else
        r |= ((uint64_t)v & most) << k * bits;
    }
    if (parts == 1 && i->count > 3) {
      int64_t x = i->shape[0] ? (int32_t)r : (int64_t)r, y = i->shape[0] ? (int32_t)c : (int64_t)c;
      r = (uint64_t)(i->operation == MOD_add   ? x + y
                     : i->operation == MOD_min ? (x < y ? x : y)
                                               : (x > y ? x : y));
    } else if (i->operation == MOD_add) {
      r += c;
    }
    lane_set(w, &i->op[0], l, r & UINT32_MAX);
  }
}
exec_fn bind_video(struct binding *b) {
  static const char *const names[] = {"vadd",  "vsub", "vabsdiff", "vmin", "vmax",
                                      "vavrg", "vset", "vshl",     "vshr"};
  static const enum modifier second[] = {MOD_add, MOD_min, MOD_max, MOD_COUNT};
  static const enum modifier comparisons[] = {MOD_eq, MOD_ne, MOD_lt,   MOD_le,
                                              MOD_gt, MOD_ge, MOD_COUNT};
  struct inst *i = b->inst;
  for (uint32_t k = 0; k < 9; k++)
    if (!strncmp(i->opcode, names[k], strlen(names[k])))
      i->aux[1] = k;
  char last = i->opcode[strlen(i->opcode) - 1];
  bool sets = i->aux[1] == VIDEO_SET, shifts = i->aux[1] >= VIDEO_SHL;
  i->aux[0] = last == '2' ? 2 : last == '4' ? 4 : 1;
  i->operation = (uint16_t)first_of(b, second);
  i->compare = (uint16_t)first_of(b, comparisons);
  i->combine = (uint16_t)(has(b, MOD_wrap) ? MOD_wrap : MOD_clamp);
  if (b->type_count != (sets ? 2 : 3) || (i->aux[0] == 1 && i->aux[1] == VIDEO_AVRG) ||
      sets != (i->compare != MOD_COUNT) || shifts != (has(b, MOD_wrap) || has(b, MOD_clamp)))
    return NULL;
  for (uint32_t k = 0; k < b->type_count; k++) {
    if (ptx_type_bytes(b->types[k]) != 4)
      return NULL;
    i->shape[k + sets] = ptx_type_class(b->types[k]) == CLASS_SIGNED; /* vset has no type of d */
  }
  if ((i->aux[0] > 1 && i->operation != MOD_COUNT && i->operation != MOD_add) ||
      (shifts && i->shape[2]))
    return NULL;
  return (i->aux[0] == 1) == (i->count == 3 || i->operation != MOD_COUNT) || i->aux[0] > 1
             ? video_run
             : NULL;
}

/* vmad: a b + c, plus one or shifted. */
BY_LANE(
    vmad, int64_t a = i->shape[1] ? (int32_t)GET(1) : (int64_t)GET(1);
    int64_t b = i->shape[2] ? (int32_t)GET(2) : (int64_t)GET(2);
    int64_t c = i->shape[0] ? (int32_t)GET(3) : (int64_t)GET(3);
    __int128 v = ((__int128)a * b + c + i->aux[1]) >> i->aux[0]; if (i->sat) {
      int64_t low = i->shape[0] ? INT32_MIN : 0;
      int64_t high = i->shape[0] ? INT32_MAX : UINT32_MAX;
      v = v < low ? low : v > high ? high : v;
    } SET((uint64_t)v & UINT32_MAX);)
exec_fn bind_vmad(struct binding *b) {
  struct inst *i = b->inst;
  i->aux[0] = has(b, MOD_shr7) ? 7 : has(b, MOD_shr15) ? 15 : 0;
  i->aux[1] = has(b, MOD_po);
  for (uint32_t k = 0; k < 3 && b->type_count == 3; k++)
    i->shape[k] = ptx_type_class(b->types[k]) == CLASS_SIGNED;
  return b->type_count == 3 ? vmad : NULL;
}
