/* SPDX-License-Identifier: Apache-2.0 */
/* Atomics and reductions in memory. */
#include "sim/exec/atomic.h"
#include "sim/exec/cvt.h"
#include "sim/exec/race.h"

#include <math.h>

/* Atomics: one loop of compare and swap serves them all. */

static uint64_t combine_float(enum ptx_type t, uint16_t operation, uint64_t old, uint64_t b) {
  double x = float_decode(t, old), y = float_decode(t, b);
  switch (operation) {
  case MOD_add: return float_encode(t, t == TYPE_f64 ? x + y : fma_to_odd(x, 1, y), ROUND_NEAREST);
  case MOD_min: return isnan(x) || y < x || (x == y && signbit(y)) ? b : old;
  case MOD_max: return isnan(x) || y > x || (x == y && signbit(x)) ? b : old;
  default: return b;
  }
}

uint64_t atomic_combine(enum ptx_type t, uint16_t operation, uint64_t old, uint64_t b, uint64_t c) {
  uint32_t bits = ptx_type_bytes(t) * 8;
  if (ptx_type_class(t) == CLASS_FLOAT)
    return combine_float(t, operation, old, b);
  if (t == TYPE_f16x2 || t == TYPE_bf16x2) {
    enum ptx_type part = t == TYPE_f16x2 ? TYPE_f16 : TYPE_bf16;
    return combine_float(part, operation, old & 0xffff, b & 0xffff) |
           combine_float(part, operation, old >> 16 & 0xffff, b >> 16 & 0xffff) << 16;
  }
  bool is_signed = ptx_type_class(t) == CLASS_SIGNED;
  int64_t so = (int64_t)(old << (64 - bits)) >> (64 - bits),
          sb = (int64_t)(b << (64 - bits)) >> (64 - bits);
  switch (operation) {
  case MOD_add: return old + b;
  case MOD_and: return old & b;
  case MOD_or: return old | b;
  case MOD_xor: return old ^ b;
  case MOD_exch: return b;
  case MOD_cas: return old == b ? c : old;
  case MOD_min: return is_signed ? (so < sb ? old : b) : (old < b ? old : b);
  case MOD_max: return is_signed ? (so > sb ? old : b) : (old > b ? old : b);
  case MOD_inc: return old >= b ? 0 : old + 1;
  default: return old == 0 || old > b ? b : old - 1;
  }
}

uint64_t atomic_apply(const struct inst *i, uint8_t *p, uint64_t b, uint64_t c) {
  switch (ptx_type_bytes((enum ptx_type)i->type)) {
  case 2: {
    uint16_t old = __atomic_load_n((uint16_t *)p, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(
        (uint16_t *)p, &old,
        (uint16_t)atomic_combine((enum ptx_type)i->type, i->operation, old, b, c), false,
        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return old;
  }
  case 4: {
    uint32_t old = __atomic_load_n((uint32_t *)p, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(
        (uint32_t *)p, &old,
        (uint32_t)atomic_combine((enum ptx_type)i->type, i->operation, old, b, c), false,
        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return old;
  }
  default: {
    uint64_t old = __atomic_load_n((uint64_t *)p, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(
        (uint64_t *)p, &old, atomic_combine((enum ptx_type)i->type, i->operation, old, b, c), false,
        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return old;
  }
  }
}

static __int128 wide_get(struct warp *w, const struct operand *o, uint32_t l) {
  __int128 v = 0;
  memcpy(&v, (uint8_t *)lanes(w, o) + (size_t)o->width * l, o->width);
  return v;
}

/* Of 128 bits: exchange, and compare and exchange. One at a time. */
static void atomic_wide(struct warp *w, const struct inst *i, uint32_t mask) {
  static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
  order_atomic(w);
  EACH_LANE(l, mask) {
    uint8_t *p = resolve(w, i, l, lane_get(w, &i->op[1], l) + (uint64_t)i->imm, 16,
                         ACCESS_READ | ACCESS_WRITE | ACCESS_ATOMIC);
    if (!p)
      return;
    __int128 old, b = wide_get(w, &i->op[2], l);
    pthread_mutex_lock(&one);
    memcpy(&old, p, 16);
    if (i->operation == MOD_exch)
      memcpy(p, &b, 16);
    else if (old == b) {
      b = wide_get(w, &i->op[3], l);
      memcpy(p, &b, 16);
    }
    pthread_mutex_unlock(&one);
    memcpy((uint8_t *)lanes(w, &i->op[0]) + 16 * l, &old, 16);
  }
}

static void atomic(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t n = ptx_type_bytes((enum ptx_type)i->type), first = i->writes;
  order_atomic(w);
  w->pause |= i->operation == MOD_cas; /* perhaps of a lock that others hold */
  EACH_LANE(l, mask) {
    uint8_t *p = resolve(w, i, l, lane_get(w, &i->op[first], l) + (uint64_t)i->imm, n * i->vector,
                         ACCESS_READ | ACCESS_WRITE | ACCESS_ATOMIC);
    if (!p)
      return;
    for (uint32_t k = 0; k < i->vector; k++) {
      const struct operand *b = &i->op[first + 1 + k];
      uint64_t c = i->operation == MOD_cas ? lane_get(w, b + 1, l) : 0;
      uint64_t old = atomic_apply(i, p + (size_t)k * n, lane_get(w, b, l), c);
      if (first)
        lane_set(w, &i->op[k], l, old);
    }
  }
}

static exec_fn bind_atomic(struct binding *b) {
  struct inst *i = b->inst;
  static const enum modifier known[] = {MOD_add, MOD_and, MOD_or,  MOD_xor, MOD_exch, MOD_cas,
                                        MOD_min, MOD_max, MOD_inc, MOD_dec, MOD_COUNT};
  uint32_t bytes = b->type_count == 1 ? ptx_type_bytes(b->types[0]) : 0;
  i->operation = (uint16_t)first_of(b, known);
  i->strong = true;
  if (i->operation == MOD_COUNT || bytes < 2)
    return NULL;
  uint32_t sources = (i->operation == MOD_cas ? 2u : 1u) * i->vector + 1;
  if (i->writes && i->writes != i->vector)
    return NULL;
  if ((uint32_t)i->count - i->writes != sources && !has(b, MOD_mbarrier_complete_tx_bytes) &&
      !(has(b, MOD_L2_cache_hint) && (uint32_t)i->count - i->writes == sources + 1))
    return NULL;
  if (bytes == 16)
    return i->writes == 1 && (i->operation == MOD_exch || i->operation == MOD_cas) ? atomic_wide
                                                                                   : NULL;
  bool is_float =
      ptx_type_class(b->types[0]) == CLASS_FLOAT || ptx_type_class(b->types[0]) == CLASS_PACKED;
  bool known_float = i->operation == MOD_add || i->operation == MOD_min || i->operation == MOD_max;
  if (is_float ? !known_float : bytes == 2 && i->operation != MOD_cas && i->operation != MOD_exch)
    return NULL;
  return atomic;
}
exec_fn bind_atom(struct binding *b) { return bind_atomic(b); }
exec_fn bind_red(struct binding *b) { return bind_atomic(b); }
