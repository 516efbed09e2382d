/* SPDX-License-Identifier: Apache-2.0 */
/* Integers, bits, predicates, moves. Each function computes all lanes and keeps those of the mask,
 * which compilers turn into vector code; so nothing here may trap for lanes outside of it. */
#include "sim/exec/decode.h"

#include "base/clock.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wtype-limits"
#pragma GCC diagnostic ignored "-Wsign-compare"

#define KEEP(d, l, mask, value) d[l] = (mask >> l & 1) ? (value) : d[l]

/* d = expression of a (b, c) in type T; widths are those of the registers */
#define OP1(name, T, expression)                                                                   \
  static void name(struct warp *w, const struct inst *i, uint32_t mask) {                          \
    T *d = lanes(w, &i->op[0]);                                                                    \
    const T *pa = lanes(w, &i->op[1]);                                                             \
    for (uint32_t l = 0; l < 32; l++) {                                                            \
      T a = pa[l];                                                                                 \
      KEEP(d, l, mask, (T)(expression));                                                           \
    }                                                                                              \
  }
#define OP2(name, T, U, expression)                                                                \
  static void name(struct warp *w, const struct inst *i, uint32_t mask) {                          \
    T *d = lanes(w, &i->op[0]);                                                                    \
    const T *pa = lanes(w, &i->op[1]);                                                             \
    const U *pb = lanes(w, &i->op[2]);                                                             \
    for (uint32_t l = 0; l < 32; l++) {                                                            \
      T a = pa[l];                                                                                 \
      U b = pb[l];                                                                                 \
      KEEP(d, l, mask, (T)(expression));                                                           \
    }                                                                                              \
  }
#define OP3(name, D, T, expression)                                                                \
  static void name(struct warp *w, const struct inst *i, uint32_t mask) {                          \
    D *d = lanes(w, &i->op[0]);                                                                    \
    const T *pa = lanes(w, &i->op[1]), *pb = lanes(w, &i->op[2]);                                  \
    const D *pc = lanes(w, &i->op[3]);                                                             \
    for (uint32_t l = 0; l < 32; l++) {                                                            \
      T a = pa[l], b = pb[l];                                                                      \
      D c = pc[l];                                                                                 \
      KEEP(d, l, mask, (D)(expression));                                                           \
    }                                                                                              \
  }

/* Sets that cover the widths or the integer types; names are <op>_<type>. */
#define WIDTHS2(op, expression)                                                                    \
  OP2(op##_b16, uint16_t, uint16_t, expression)                                                    \
  OP2(op##_b32, uint32_t, uint32_t, expression)                                                    \
  OP2(op##_b64, uint64_t, uint64_t, expression)
#define INTEGERS2(op, U, expression)                                                               \
  OP2(op##_u16, uint16_t, U(uint16_t), expression)                                                 \
  OP2(op##_u32, uint32_t, U(uint32_t), expression)                                                 \
  OP2(op##_u64, uint64_t, U(uint64_t), expression)                                                 \
  OP2(op##_s16, int16_t, U(int16_t), expression)                                                   \
  OP2(op##_s32, int32_t, U(int32_t), expression)                                                   \
  OP2(op##_s64, int64_t, U(int64_t), expression)
#define SAME(T) T
#define COUNT(T) uint32_t

static exec_fn by_width(struct binding *b, exec_fn f16, exec_fn f32, exec_fn f64) {
  if (b->type_count != 1 || b->types[0] == TYPE_pred)
    return NULL;
  enum ptx_class class = ptx_type_class(b->types[0]);
  if (class == CLASS_FLOAT || class == CLASS_PACKED)
    return NULL;
  switch (ptx_type_bytes(b->types[0])) {
  case 2: return f16;
  case 4: return f32;
  case 8: return f64;
  default: return NULL;
  }
}
#define BY_WIDTH(b, op) by_width(b, op##_b16, op##_b32, op##_b64)

static exec_fn by_integer(struct binding *b, const exec_fn *u, const exec_fn *s) {
  if (b->type_count != 1)
    return NULL;
  enum ptx_class class = ptx_type_class(b->types[0]);
  uint32_t bytes = ptx_type_bytes(b->types[0]);
  const exec_fn *set = class == CLASS_UNSIGNED ? u : class == CLASS_SIGNED ? s : NULL;
  return set && bytes >= 2 ? set[bytes == 2 ? 0 : bytes == 4 ? 1 : 2] : NULL;
}
#define BY_INTEGER(b, op)                                                                          \
  by_integer(b, (const exec_fn[]){op##_u16, op##_u32, op##_u64},                                   \
             (const exec_fn[]){op##_s16, op##_s32, op##_s64})

exec_fn bind_float_add(struct binding *b);
exec_fn bind_float_sub(struct binding *b);
exec_fn bind_float_mul(struct binding *b);
exec_fn bind_float_div(struct binding *b);
exec_fn bind_float_min(struct binding *b);
exec_fn bind_float_max(struct binding *b);
exec_fn bind_float_abs(struct binding *b);
exec_fn bind_float_neg(struct binding *b);

/* In bits.c: mad.cc, and pairs of 16-bit integers. */
exec_fn bind_mad_carry(struct binding *b);
exec_fn bind_pair(struct binding *b);
static bool is_pair(const struct binding *b) {
  return b->type_count == 1 && (b->types[0] == TYPE_u16x2 || b->types[0] == TYPE_s16x2);
}

static bool is_float(const struct binding *b) {
  enum ptx_type t = b->type_count ? b->types[0] : TYPE_b32;
  return ptx_type_class(t) == CLASS_FLOAT || t == TYPE_f16x2 || t == TYPE_bf16x2;
}

WIDTHS2(add, a + b)
WIDTHS2(sub, a - b)
WIDTHS2(and, a &b)
WIDTHS2(or, a | b)
WIDTHS2(xor, a ^ b)
INTEGERS2(div, SAME,
          b == 0                                            ? (__typeof__(a))-1
          : b == (__typeof__(b))-1 && (__typeof__(a))-1 < 0 ? (__typeof__(a))(0 - (uint64_t)a)
                                                            : a / b)
INTEGERS2(rem, SAME, b == 0 ? a : b == (__typeof__(b))-1 && (__typeof__(a))-1 < 0 ? 0 : a % b)
INTEGERS2(min, SAME, a < b ? a : b)
INTEGERS2(max, SAME, a > b ? a : b)
INTEGERS2(shr, COUNT, b >= sizeof a * 8 ? ((__typeof__(a))-1 < 0 && a < 0 ? -1 : 0) : a >> b)
OP2(shl_b16, uint16_t, uint32_t, b >= 16 ? 0 : a << b)
OP2(shl_b32, uint32_t, uint32_t, b >= 32 ? 0 : a << b)
OP2(shl_b64, uint64_t, uint32_t, b >= 64 ? 0 : a << b)
OP2(add_sat, int32_t, int32_t,
    (int64_t)a + b > INT32_MAX   ? INT32_MAX
    : (int64_t)a + b < INT32_MIN ? INT32_MIN
                                 : (int64_t)a + b)
OP2(sub_sat, int32_t, int32_t,
    (int64_t)a - b > INT32_MAX   ? INT32_MAX
    : (int64_t)a - b < INT32_MIN ? INT32_MIN
                                 : (int64_t)a - b)
WIDTHS2(mul_lo, (uint64_t)a *b)
OP2(mul_hi_u16, uint16_t, uint16_t, (uint32_t)a *b >> 16)
OP2(mul_hi_s16, int16_t, int16_t, (int32_t)a *b >> 16)
OP2(mul_hi_u32, uint32_t, uint32_t, (uint64_t)a *b >> 32)
OP2(mul_hi_s32, int32_t, int32_t, (int64_t)a *b >> 32)
OP2(mul_hi_u64, uint64_t, uint64_t, (unsigned __int128)a *b >> 64)
OP2(mul_hi_s64, int64_t, int64_t, (__int128)a *b >> 64)
OP3(mad_lo_b16, uint16_t, uint16_t, (uint32_t)a *b + c)
OP3(mad_lo_b32, uint32_t, uint32_t, a *b + c)
OP3(mad_lo_b64, uint64_t, uint64_t, a *b + c)
OP3(mad_hi_u16, uint16_t, uint16_t, ((uint32_t)a * b >> 16) + c)
OP3(mad_hi_s16, uint16_t, int16_t, (uint32_t)((int32_t)a *b >> 16) + (uint16_t)c)
OP3(mad_hi_u32, uint32_t, uint32_t, ((uint64_t)a * b >> 32) + c)
OP3(mad_hi_s32, uint32_t, int32_t, (uint32_t)((int64_t)a *b >> 32) + c)
OP3(mad_hi_sat, int32_t, int32_t,
    ((int64_t)a * b >> 32) + c > INT32_MAX   ? INT32_MAX
    : ((int64_t)a * b >> 32) + c < INT32_MIN ? INT32_MIN
                                             : ((int64_t)a * b >> 32) + c)
OP3(mad_hi_u64, uint64_t, uint64_t, (uint64_t)((unsigned __int128)a *b >> 64) + c)
OP3(mad_hi_s64, uint64_t, int64_t, (uint64_t)((__int128)a *b >> 64) + c)
OP3(mad_wide_u16, uint32_t, uint16_t, (uint32_t)a *b + c)
OP3(mad_wide_s16, uint32_t, int16_t, (uint32_t)((int32_t)a *b) + c)
OP3(mad_wide_u32, uint64_t, uint32_t, (uint64_t)a *b + c)
OP3(mad_wide_s32, uint64_t, int32_t, (uint64_t)((int64_t)a *b) + c)

#define WIDE(name, D, T)                                                                           \
  static void name(struct warp *w, const struct inst *i, uint32_t mask) {                          \
    D *d = lanes(w, &i->op[0]);                                                                    \
    const T *a = lanes(w, &i->op[1]), *b = lanes(w, &i->op[2]);                                    \
    for (uint32_t l = 0; l < 32; l++)                                                              \
      KEEP(d, l, mask, (D)a[l] * (D)b[l]);                                                         \
  }
WIDE(mul_wide_u16, uint32_t, uint16_t)
WIDE(mul_wide_s16, int32_t, int16_t)
WIDE(mul_wide_u32, uint64_t, uint32_t)
WIDE(mul_wide_s32, int64_t, int32_t)

OP1(not_b16, uint16_t, ~a)
OP1(not_b32, uint32_t, ~a)
OP1(not_b64, uint64_t, ~a)
OP1(cnot_b16, uint16_t, !a)
OP1(cnot_b32, uint32_t, !a)
OP1(cnot_b64, uint64_t, !a)
OP1(neg_b16, uint16_t, 0 - a)
OP1(neg_b32, uint32_t, 0 - a)
OP1(neg_b64, uint64_t, 0 - a)
OP1(abs_b16, uint16_t, (int16_t)a < 0 ? 0 - a : a)
OP1(abs_b32, uint32_t, (int32_t)a < 0 ? 0 - a : a)
OP1(abs_b64, uint64_t, (int64_t)a < 0 ? 0 - a : a)

/* Predicates: a bit per lane. */
#define PREDICATE(name, expression)                                                                \
  static void name(struct warp *w, const struct inst *i, uint32_t mask) {                          \
    uint32_t a = pred_get(w, &i->op[1]), b = i->count > 2 ? pred_get(w, &i->op[2]) : 0;            \
    (void)b;                                                                                       \
    pred_set(w, &i->op[0], mask, expression);                                                      \
  }
PREDICATE(and_pred, a &b)
PREDICATE(or_pred, a | b)
PREDICATE(xor_pred, a ^ b)
PREDICATE(not_pred, ~a)

static bool predicate(const struct binding *b) {
  return b->type_count == 1 && b->types[0] == TYPE_pred;
}

exec_fn bind_and(struct binding *b) { return predicate(b) ? and_pred : BY_WIDTH(b, and); }
exec_fn bind_or(struct binding *b) { return predicate(b) ? or_pred : BY_WIDTH(b, or); }
exec_fn bind_xor(struct binding *b) { return predicate(b) ? xor_pred : BY_WIDTH(b, xor); }
exec_fn bind_not(struct binding *b) { return predicate(b) ? not_pred : BY_WIDTH(b, not); }
exec_fn bind_cnot(struct binding *b) { return BY_WIDTH(b, cnot); }
exec_fn bind_shl(struct binding *b) { return BY_WIDTH(b, shl); }
exec_fn bind_shr(struct binding *b) {
  if (b->type_count == 1 && ptx_type_class(b->types[0]) == CLASS_BITS)
    b->types[0] = (enum ptx_type)(b->types[0] - TYPE_b16 + TYPE_u16);
  return BY_INTEGER(b, shr);
}
exec_fn bind_rem(struct binding *b) { return BY_INTEGER(b, rem); }
exec_fn bind_div(struct binding *b) { return is_float(b) ? bind_float_div(b) : BY_INTEGER(b, div); }
exec_fn bind_min(struct binding *b) {
  return is_pair(b) ? bind_pair(b) : is_float(b) ? bind_float_min(b) : BY_INTEGER(b, min);
}
exec_fn bind_max(struct binding *b) {
  return is_pair(b) ? bind_pair(b) : is_float(b) ? bind_float_max(b) : BY_INTEGER(b, max);
}
exec_fn bind_abs(struct binding *b) { return is_float(b) ? bind_float_abs(b) : BY_WIDTH(b, abs); }
exec_fn bind_neg(struct binding *b) { return is_float(b) ? bind_float_neg(b) : BY_WIDTH(b, neg); }

/* Carries: a bit per lane beside the registers. What a subtraction leaves there is the carry of
 * a + ~b + 1, which is no borrow: the manual says otherwise, but nvcc's division of 128 bits takes
 * it up by addc. */
#define CARRY(name, T, wide, sign, inverts)                                                        \
  static void name(struct warp *w, const struct inst *i, uint32_t mask) {                          \
    T *d = lanes(w, &i->op[0]);                                                                    \
    const T *a = lanes(w, &i->op[1]), *b = lanes(w, &i->op[2]);                                    \
    bool takes = i->operation & 1, gives = i->operation & 2;                                       \
    EACH_LANE(l, mask) {                                                                           \
      wide in = takes ? (w->frame->carry >> l & 1) ^ inverts : 0;                                  \
      wide sum = (wide)a[l] sign(wide) b[l] sign in;                                               \
      if (gives)                                                                                   \
        w->frame->carry = (w->frame->carry & ~(1u << l)) |                                         \
                          ((uint32_t)(sum >> (8 * sizeof(T)) & 1) ^ inverts) << l;                 \
      d[l] = (T)sum;                                                                               \
    }                                                                                              \
  }
CARRY(carry_add32, uint32_t, uint64_t, +, 0)
CARRY(carry_add64, uint64_t, unsigned __int128, +, 0)
CARRY(carry_sub32, uint32_t, uint64_t, -, 1)
CARRY(carry_sub64, uint64_t, unsigned __int128, -, 1)

static exec_fn carry(struct binding *b, bool takes, exec_fn narrow, exec_fn wide) {
  b->inst->operation = (uint16_t)(takes | (has(b, MOD_cc) ? 2 : 0));
  return by_width(b, NULL, narrow, wide);
}
exec_fn bind_addc(struct binding *b) { return carry(b, true, carry_add32, carry_add64); }
exec_fn bind_subc(struct binding *b) { return carry(b, true, carry_sub32, carry_sub64); }
exec_fn bind_add(struct binding *b) {
  if (is_pair(b))
    return bind_pair(b);
  if (is_float(b))
    return bind_float_add(b);
  if (has(b, MOD_cc))
    return carry(b, false, carry_add32, carry_add64);
  if (has(b, MOD_sat))
    return b->types[0] == TYPE_s32 ? add_sat : NULL;
  return BY_WIDTH(b, add);
}
exec_fn bind_sub(struct binding *b) {
  if (is_float(b))
    return bind_float_sub(b);
  if (has(b, MOD_cc))
    return carry(b, false, carry_sub32, carry_sub64);
  if (has(b, MOD_sat))
    return b->types[0] == TYPE_s32 ? sub_sat : NULL;
  return BY_WIDTH(b, sub);
}

static exec_fn wide_of(struct binding *b, exec_fn u16, exec_fn s16, exec_fn u32, exec_fn s32) {
  switch (b->type_count ? b->types[0] : TYPE_NONE) {
  case TYPE_u16: return u16;
  case TYPE_s16: return s16;
  case TYPE_u32: return u32;
  case TYPE_s32: return s32;
  default: return NULL;
  }
}
exec_fn bind_mul(struct binding *b) {
  if (is_float(b))
    return bind_float_mul(b);
  if (has(b, MOD_wide))
    return wide_of(b, mul_wide_u16, mul_wide_s16, mul_wide_u32, mul_wide_s32);
  if (has(b, MOD_hi))
    return BY_INTEGER(b, mul_hi);
  return has(b, MOD_lo) ? BY_WIDTH(b, mul_lo) : NULL;
}
exec_fn bind_mad(struct binding *b) {
  if (is_float(b))
    return bind_fma(b);
  if (has(b, MOD_cc))
    return bind_mad_carry(b);
  if (has(b, MOD_sat))
    return has(b, MOD_hi) && b->types[0] == TYPE_s32 ? mad_hi_sat : NULL;
  if (has(b, MOD_wide))
    return wide_of(b, mad_wide_u16, mad_wide_s16, mad_wide_u32, mad_wide_s32);
  if (has(b, MOD_hi))
    return BY_INTEGER(b, mad_hi);
  return has(b, MOD_lo) ? BY_WIDTH(b, mad_lo) : NULL;
}

/* Bits. The forms that are rare go lane by lane. */
#define BY_LANE(name, ...)                                                                         \
  static void name(struct warp *w, const struct inst *i, uint32_t mask) {                          \
    const struct operand *o = i->op;                                                               \
    EACH_LANE(l, mask) { __VA_ARGS__ }                                                             \
  }
#define GET(k) lane_get(w, &o[k], l)

BY_LANE(popc, lane_set(w, &o[0], l, (uint64_t)__builtin_popcountll(GET(1)));)
BY_LANE(clz, uint64_t a = GET(1); uint32_t n = o[1].width * 8u;
        lane_set(w, &o[0], l, a ? (uint64_t)__builtin_clzll(a) - (64 - n) : n);)
BY_LANE(brev, uint64_t a = GET(1), r = 0; uint32_t n = o[1].width * 8u;
        for (uint32_t k = 0; k < n; k++) r |= (a >> k & 1) << (n - 1 - k);
        lane_set(w, &o[0], l, r);)

static exec_fn bits32or64(struct binding *b, exec_fn fn) { return by_width(b, NULL, fn, fn); }
/* The result of counts is 32 bits wide whatever is counted. */
static exec_fn counted(struct binding *b, exec_fn fn) {
  return b->inst->op[0].width == 4 ? bits32or64(b, fn) : NULL;
}
exec_fn bind_popc(struct binding *b) { return counted(b, popc); }
exec_fn bind_clz(struct binding *b) { return counted(b, clz); }
exec_fn bind_brev(struct binding *b) { return bits32or64(b, brev); }

static int64_t sign_extend(uint64_t v, uint32_t bits) {
  return bits >= 64 ? (int64_t)v : (int64_t)(v << (64 - bits)) >> (64 - bits);
}

static void bfind(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t bits = i->op[1].width * 8u;
  bool is_signed = ptx_type_class((enum ptx_type)i->type) == CLASS_SIGNED;
  EACH_LANE(l, mask) {
    uint64_t a = lane_get(w, &i->op[1], l);
    if (is_signed && (a >> (bits - 1) & 1))
      a = ~a & (bits == 64 ? UINT64_MAX : UINT32_MAX);
    uint32_t at = a ? 63 - (uint32_t)__builtin_clzll(a) : UINT32_MAX;
    if (a && i->operation)
      at = bits - 1 - at;
    lane_set(w, &i->op[0], l, at);
  }
}
exec_fn bind_bfind(struct binding *b) {
  b->inst->operation = has(b, MOD_shiftamt);
  return counted(b, bfind);
}

/* PTX ISA, bfe: the sign bit is that of the field, or of the top if the field reaches beyond it. */
static void bfe(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t bits = i->op[1].width * 8u;
  bool is_signed = ptx_type_class((enum ptx_type)i->type) == CLASS_SIGNED;
  EACH_LANE(l, mask) {
    uint64_t a = lane_get(w, &i->op[1], l);
    uint32_t at = lane_get(w, &i->op[2], l) & 255, n = lane_get(w, &i->op[3], l) & 255, last;
    last = at + n - 1 < bits - 1 ? at + n - 1 : bits - 1;
    bool sign = is_signed && n && (a >> last & 1);
    uint64_t r = 0;
    for (uint32_t k = 0; k < bits; k++)
      r |= (uint64_t)(k < n && at + k < bits ? a >> (at + k) & 1 : sign) << k;
    lane_set(w, &i->op[0], l, r);
  }
}
exec_fn bind_bfe(struct binding *b) { return bits32or64(b, bfe); }

static void bfi(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t bits = i->op[1].width * 8u;
  EACH_LANE(l, mask) {
    uint64_t a = lane_get(w, &i->op[1], l), r = lane_get(w, &i->op[2], l);
    uint32_t at = lane_get(w, &i->op[3], l) & 255, n = lane_get(w, &i->op[4], l) & 255;
    for (uint32_t k = 0; k < n && at + k < bits; k++)
      r = (r & ~(UINT64_C(1) << (at + k))) | (a >> k & 1) << (at + k);
    lane_set(w, &i->op[0], l, r);
  }
}
exec_fn bind_bfi(struct binding *b) { return bits32or64(b, bfi); }

static void shf(struct warp *w, const struct inst *i, uint32_t mask) {
  bool left = i->operation & 1, clamps = i->operation & 2;
  EACH_LANE(l, mask) {
    uint64_t both = lane_get(w, &i->op[2], l) << 32 | lane_get(w, &i->op[1], l);
    uint64_t n = lane_get(w, &i->op[3], l);
    n = clamps ? (n > 32 ? 32 : n) : n & 31;
    lane_set(w, &i->op[0], l,
             left ? (n == 32 ? both : both << n >> 32) & (n == 32 ? UINT32_MAX : UINT64_MAX)
                  : both >> n);
  }
}
exec_fn bind_shf(struct binding *b) {
  b->inst->operation = (uint16_t)(has(b, MOD_l) | has(b, MOD_clamp) << 1);
  return b->type_count == 1 && b->types[0] == TYPE_b32 && has(b, MOD_l) != has(b, MOD_r) ? shf
                                                                                         : NULL;
}

static void lop3(struct warp *w, const struct inst *i, uint32_t mask) {
  const struct operand *o = &i->op[i->writes];
  EACH_LANE(l, mask) {
    uint32_t a = (uint32_t)lane_get(w, &o[0], l), b = (uint32_t)lane_get(w, &o[1], l);
    uint32_t c = (uint32_t)lane_get(w, &o[2], l), table = (uint32_t)lane_get(w, &o[3], l);
    uint32_t r = 0;
    for (uint32_t k = 0; k < 8; k++)
      if (table >> k & 1)
        r |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
    lane_set(w, &i->op[0], l, r);
  }
}
/* With whether the result is not zero, and or or another predicate. */
static void lop3_pred(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t q = pred_get(w, &i->op[6]), some = 0;
  lop3(w, i, mask);
  EACH_LANE(l, mask)
  some |= (uint32_t)(lane_get(w, &i->op[0], l) != 0) << l;
  pred_set(w, &i->op[1], mask, i->combine == MOD_and ? some & q : some | q);
}
exec_fn bind_lop3_pred(struct binding *b) {
  b->inst->combine = (uint16_t)(has(b, MOD_and) ? MOD_and : MOD_or);
  return b->inst->count == 7 && b->inst->writes == 2 ? by_width(b, NULL, lop3_pred, NULL) : NULL;
}
exec_fn bind_lop3(struct binding *b) { return by_width(b, NULL, lop3, NULL); }

static uint32_t prmt_selector(uint8_t mode, uint32_t c) {
  uint32_t n = c & 3;
  switch (mode) {
  case MOD_f4e: return n | (n + 1) << 4 | (n + 2) << 8 | (n + 3) << 12;
  case MOD_b4e: return n | ((n - 1) & 7) << 4 | ((n - 2) & 7) << 8 | ((n - 3) & 7) << 12;
  case MOD_rc8: return n * 0x1111;
  case MOD_ecl: return n | (n > 1 ? n : 1) << 4 | (n > 2 ? n : 2) << 8 | 3 << 12;
  case MOD_ecr: return (n < 1 ? n : 1) << 4 | (n < 2 ? n : 2) << 8 | n << 12;
  case MOD_rc16: return (c & 1) ? 0x3232 : 0x1010;
  default: return c;
  }
}
static void prmt(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    uint64_t both = lane_get(w, &i->op[2], l) << 32 | lane_get(w, &i->op[1], l);
    uint32_t s = prmt_selector(i->operation, (uint32_t)lane_get(w, &i->op[3], l)), r = 0;
    for (uint32_t k = 0; k < 4; k++) {
      uint32_t pick = s >> 4 * k & 15, byte = both >> 8 * (pick & 7) & 255;
      if (pick & 8)
        byte = byte & 128 ? 255 : 0;
      r |= byte << 8 * k;
    }
    lane_set(w, &i->op[0], l, r);
  }
}
exec_fn bind_prmt(struct binding *b) {
  b->inst->operation = (uint16_t)(b->order_count ? b->order[0] : MOD_COUNT);
  return by_width(b, NULL, prmt, NULL);
}

static void dp4a(struct warp *w, const struct inst *i, uint32_t mask) {
  bool sa = i->type == TYPE_s32, sb = i->source_type == TYPE_s32;
  EACH_LANE(l, mask) {
    uint64_t a = lane_get(w, &i->op[1], l), b = lane_get(w, &i->op[2], l);
    int64_t sum = (int64_t)lane_get(w, &i->op[3], l);
    for (uint32_t k = 0; k < 32; k += 8) {
      int64_t x = sa ? sign_extend(a >> k & 255, 8) : (int64_t)(a >> k & 255);
      sum += x * (sb ? sign_extend(b >> k & 255, 8) : (int64_t)(b >> k & 255));
    }
    lane_set(w, &i->op[0], l, (uint64_t)sum);
  }
}
exec_fn bind_dp4a(struct binding *b) {
  return b->type_count == 2 && ptx_type_bytes(b->types[0]) == 4 && ptx_type_bytes(b->types[1]) == 4
             ? dp4a
             : NULL;
}

/* Moves and choices. */

static void copy_b128(struct warp *w, const struct inst *i, uint32_t mask) {
  uint8_t *d = lanes(w, &i->op[0]);
  const uint8_t *a = lanes(w, &i->op[1]);
  EACH_LANE(l, mask)
  memcpy(d + 16 * l, a + 16 * l, 16);
}
static void copy_pred(struct warp *w, const struct inst *i, uint32_t mask) {
  pred_set(w, &i->op[0], mask, pred_get(w, &i->op[1]));
}
OP1(copy_b16, uint16_t, a)
OP1(copy_b32, uint32_t, a)
OP1(copy_b64, uint64_t, a)

/* `mov` of a local variable's name gives its place in local memory, as st.local takes it. */
static void address_of_local(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, lane_get(w, &i->op[1], l) + (uint64_t)i->imm);
}
static void address_of_param(struct warp *w, const struct inst *i, uint32_t mask) {
  uint64_t base = (uint64_t)(uintptr_t)w->cta->launch->params;
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, lane_get(w, &i->op[1], l) + base);
}

exec_fn bind_mov(struct binding *b) {
  struct inst *i = b->inst;
  if (b->type_count != 1 || i->count != 2)
    return NULL;
  if (i->space == IN_LOCAL)
    return i->op[0].width >= 4 ? address_of_local : NULL;
  if (i->space == IN_ENTRY_PARAM)
    return i->op[0].width == 8 ? address_of_param : NULL;
  if (i->op[0].width != i->op[1].width)
    return NULL;
  i->copies = true;
  switch (i->op[0].width) {
  case 0: return copy_pred;
  case 2: return copy_b16;
  case 4: return copy_b32;
  case 8: return copy_b64;
  case 16: return i->op[1].bank == BANK_REGISTER ? copy_b128 : NULL;
  default: return NULL;
  }
}

static void mov_pack(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t bits = i->op[1].width * 8u;
  EACH_LANE(l, mask) {
    uint64_t v = 0;
    for (uint32_t k = 1; k < i->count; k++)
      v |= lane_get(w, &i->op[k], l) << (k - 1) * bits;
    lane_set(w, &i->op[0], l, v);
  }
}
static void mov_unpack(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t n = i->writes, bits = i->op[n].width * 8u / n;
  EACH_LANE(l, mask) {
    uint64_t v = lane_get(w, &i->op[n], l);
    for (uint32_t k = 0; k < n; k++)
      lane_set(w, &i->op[k], l, v >> k * bits);
  }
}
/* Two halves of 128 bits. */
static void mov_wide(struct warp *w, const struct inst *i, uint32_t mask) {
  bool pack = i->writes == 1;
  uint64_t *whole = lanes(w, &i->op[pack ? 0 : 2]);
  EACH_LANE(l, mask)
  for (uint32_t k = 0; k < 2; k++) {
    uint64_t *part = lanes(w, &i->op[pack ? k + 1 : k]);
    if (pack)
      whole[2 * l + k] = part[l];
    else
      part[l] = whole[2 * l + k];
  }
}
exec_fn bind_mov_vector(struct binding *b) {
  struct inst *i = b->inst;
  if (b->types[0] == TYPE_b128)
    return i->count == 3 && i->op[0].width + i->op[1].width + i->op[2].width == 32 ? mov_wide
                                                                                   : NULL;
  uint32_t sources = (uint32_t)i->count - i->writes, from = 0, to = 0;
  for (uint32_t k = 0; k < i->count; k++)
    *(k < i->writes ? &to : &from) += i->op[k].width;
  if (from != to || (sources != 1 && i->writes != 1))
    return NULL;
  i->copies = true;
  return sources == 1 ? mov_unpack : mov_pack;
}

static void clock_now(struct warp *w, const struct inst *i, uint32_t mask) {
  uint64_t ns = clock_now_ns();
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, ns >> i->aux[0]);
}
exec_fn bind_mov_clock(struct binding *b) { return clock_now; }

#define SELECT(name, T)                                                                            \
  static void name(struct warp *w, const struct inst *i, uint32_t mask) {                          \
    T *d = lanes(w, &i->op[0]);                                                                    \
    const T *a = lanes(w, &i->op[1]), *b = lanes(w, &i->op[2]);                                    \
    uint32_t p = pred_get(w, &i->op[3]);                                                           \
    for (uint32_t l = 0; l < 32; l++)                                                              \
      KEEP(d, l, mask, p >> l & 1 ? a[l] : b[l]);                                                  \
  }
SELECT(selp_b16, uint16_t)
SELECT(selp_b32, uint32_t)
SELECT(selp_b64, uint64_t)
exec_fn bind_selp(struct binding *b) {
  switch (b->inst->op[0].width) {
  case 2: return selp_b16;
  case 4: return selp_b32;
  case 8: return selp_b64;
  default: return NULL;
  }
}

/* Comparisons give a word with a bit per lane. */
#define COMPARE(name, T)                                                                           \
  static uint32_t name(struct warp *w, const struct inst *i) {                                     \
    const T *a = lanes(w, &i->op[i->aux[0]]), *b = lanes(w, &i->op[i->aux[0] + 1]);                \
    uint32_t r = 0;                                                                                \
    switch (i->compare) {                                                                          \
    case MOD_eq:                                                                                   \
      for (int l = 0; l < 32; l++)                                                                 \
        r |= (uint32_t)(a[l] == b[l]) << l;                                                        \
      break;                                                                                       \
    case MOD_ne:                                                                                   \
      for (int l = 0; l < 32; l++)                                                                 \
        r |= (uint32_t)(a[l] != b[l]) << l;                                                        \
      break;                                                                                       \
    case MOD_lt:                                                                                   \
    case MOD_lo:                                                                                   \
      for (int l = 0; l < 32; l++)                                                                 \
        r |= (uint32_t)(a[l] < b[l]) << l;                                                         \
      break;                                                                                       \
    case MOD_le:                                                                                   \
    case MOD_ls:                                                                                   \
      for (int l = 0; l < 32; l++)                                                                 \
        r |= (uint32_t)(a[l] <= b[l]) << l;                                                        \
      break;                                                                                       \
    case MOD_gt:                                                                                   \
    case MOD_hi:                                                                                   \
      for (int l = 0; l < 32; l++)                                                                 \
        r |= (uint32_t)(a[l] > b[l]) << l;                                                         \
      break;                                                                                       \
    default:                                                                                       \
      for (int l = 0; l < 32; l++)                                                                 \
        r |= (uint32_t)(a[l] >= b[l]) << l;                                                        \
      break;                                                                                       \
    }                                                                                              \
    return r;                                                                                      \
  }
COMPARE(compare_u16, uint16_t)
COMPARE(compare_u32, uint32_t)
COMPARE(compare_u64, uint64_t)
COMPARE(compare_s16, int16_t)
COMPARE(compare_s32, int32_t)
COMPARE(compare_s64, int64_t)
uint32_t compare_float(struct warp *w, const struct inst *i, uint32_t half);

uint32_t compare_any(struct warp *w, const struct inst *i);
uint32_t compare_any(struct warp *w, const struct inst *i) {
  enum ptx_type t = (enum ptx_type)i->type;
  bool is_signed = ptx_type_class(t) == CLASS_SIGNED;
  if (ptx_type_class(t) == CLASS_FLOAT)
    return compare_float(w, i, 0);
  switch (ptx_type_bytes(t)) {
  case 2: return is_signed ? compare_s16(w, i) : compare_u16(w, i);
  case 4: return is_signed ? compare_s32(w, i) : compare_u32(w, i);
  default: return is_signed ? compare_s64(w, i) : compare_u64(w, i);
  }
}
static void setp(struct warp *w, const struct inst *i, uint32_t mask) {
  bool packed = ptx_type_class((enum ptx_type)i->type) == CLASS_PACKED;
  uint32_t r = packed ? compare_float(w, i, 0) : compare_any(w, i);
  uint32_t other = packed ? compare_float(w, i, 1) : ~r;
  if (i->count == 5) {
    uint32_t c = pred_get(w, &i->op[4]);
    r = i->combine == MOD_and ? r & c : i->combine == MOD_or ? r | c : r ^ c;
    other = i->combine == MOD_and ? other & c : i->combine == MOD_or ? other | c : other ^ c;
  }
  pred_set(w, &i->op[1], mask, other);
  pred_set(w, &i->op[0], mask, r);
}
exec_fn bind_setp(struct binding *b) {
  struct inst *i = b->inst;
  if (b->type_count != 1 || !b->order_count || ptx_type_bytes(b->types[0]) < 2 ||
      (ptx_type_class(b->types[0]) == CLASS_PACKED && !is_float(b)))
    return NULL;
  i->aux[0] = 2;
  i->compare = (uint16_t)b->order[0];
  i->combine = (uint16_t)(has(b, MOD_and) ? MOD_and : has(b, MOD_or) ? MOD_or : MOD_xor);
  bool named = has(b, MOD_and) || has(b, MOD_or) || has(b, MOD_xor);
  return named == (i->count == 5) && i->compare != MOD_and && i->compare != MOD_or ? setp : NULL;
}

static void cvta(struct warp *w, const struct inst *i, uint32_t mask) {
  uint64_t base = i->space == IN_SHARED ? window_shared : i->space == IN_LOCAL ? window_local : 0;
  if (i->operation)
    base = -base;
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, lane_get(w, &i->op[1], l) + base);
}
exec_fn bind_cvta(struct binding *b) {
  b->inst->operation = has(b, MOD_to);
  return b->type_count == 1 && b->types[0] == TYPE_u64 && b->inst->space != IN_GENERIC ? cvta
                                                                                       : NULL;
}

static void nothing(struct warp *w, const struct inst *i, uint32_t mask) {}
exec_fn bind_nothing(struct binding *b) { return nothing; }
