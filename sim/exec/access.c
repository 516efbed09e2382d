/* SPDX-License-Identifier: Apache-2.0 */
/* Loads, stores and atomics, with what hardware would fault on and what it lets pass: bounds of
 * each allocation, alignment, freed memory, shared memory that nobody wrote. */
#include "sim/exec/cvt.h"
#include "sim/exec/decode.h"
#include "sim/exec/device.h"

#include <math.h>

static const char *what_of(const struct inst *i) {
  return i->opcode[0] == 'l' ? "load" : i->opcode[0] == 's' ? "store" : "atomic";
}

static void out_of_bounds(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a,
                          uint64_t n) {
  struct allocation near = {0};
  if (!device_find(a, &near) || a - near.address > near.size + (1 << 20)) {
    memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
                 "out of bounds: %s of %llu bytes at 0x%llx, which is in no allocation", what_of(i),
                 (unsigned long long)n, (unsigned long long)a);
    return;
  }
  const char *name = near.name ? near.name : "an allocation";
  uint64_t at = a - near.address;
  if (near.freed)
    memory_fault_report(
        w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
        "use after free: %s of %llu bytes at 0x%llx, byte %llu of an allocation of %llu bytes "
        "that was freed",
        what_of(i), (unsigned long long)n, (unsigned long long)a, (unsigned long long)at,
        (unsigned long long)near.size);
  else
    memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
                 "out of bounds: %s of %llu bytes at 0x%llx, byte %llu of %s of %llu bytes",
                 what_of(i), (unsigned long long)n, (unsigned long long)a, (unsigned long long)at,
                 name, (unsigned long long)near.size);
}

static uint8_t *global(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a, uint64_t n,
                       bool write) {
  const struct launch *l = w->cta->launch;
  uint64_t epoch = device_epoch();
  if (!(a >= w->cached_low && a <= w->cached_high && n <= w->cached_high - a &&
        epoch == w->cached_epoch)) {
    struct allocation found;
    uint64_t params = (uint64_t)(uintptr_t)l->params;
    if (a >= params && a + n <= params + l->kernel->param_bytes && !write)
      return l->params + (a - params);
    if (!device_valid(a, n) || !device_find(a, &found)) {
      out_of_bounds(w, i, lane, a, n);
      return NULL;
    }
    w->cached_low = found.address;
    w->cached_high = found.address + found.size;
    w->cached_epoch = epoch;
    w->cached_readonly = found.kind == ALLOCATION_CONST;
  }
  if (write && w->cached_readonly) {
    memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS, "store to constant memory at 0x%llx",
                 (unsigned long long)a);
    return NULL;
  }
  return (uint8_t *)(uintptr_t)a;
}

static uint8_t *shared(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a, uint64_t n,
                       bool write, bool read) {
  struct cta *c = w->cta;
  if (a > c->shared_bytes || n > c->shared_bytes - a) {
    memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
                 "out of bounds: %s of %llu bytes at byte %llu of shared memory, which has %u",
                 what_of(i), (unsigned long long)n, (unsigned long long)a, c->shared_bytes);
    return NULL;
  }
  if (read && memchr(c->shared_written + a, 0, n)) {
    memory_fault_report(
        w, i, (int)lane, FAULT_LAUNCH_FAILED,
        "uninitialised: %s of %llu bytes at byte %llu of shared memory, which nobody wrote",
        what_of(i), (unsigned long long)n, (unsigned long long)a);
    return NULL;
  }
  if (write)
    memset(c->shared_written + a, 1, n);
  return c->shared + a;
}

/* Where lane's bytes lie on the host; NULL after a fault was reported. */
static uint8_t *resolve(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a, uint64_t n,
                        bool write, bool read) {
  uint8_t space = i->space;
  if (a & (n - 1)) {
    memory_fault_report(w, i, (int)lane, FAULT_MISALIGNED, "misaligned: %s of %llu bytes at 0x%llx",
                 what_of(i), (unsigned long long)n, (unsigned long long)a);
    return NULL;
  }
  if (space == IN_GENERIC && a - window_shared < WINDOW_BYTES)
    space = IN_SHARED, a -= window_shared;
  else if (space == IN_GENERIC && a - window_local < WINDOW_BYTES)
    space = IN_LOCAL, a -= window_local;
  switch (space) {
  case IN_SHARED:
    return shared(w, i, lane, a, n, write, read);
  case IN_LOCAL:
    if (a >= 16 && a <= w->local_bytes && n <= w->local_bytes - a)
      return w->local + (uint64_t)lane * w->local_bytes + a;
    break;
  case IN_ENTRY_PARAM: {
    const struct launch *l = w->cta->launch;
    /* By name an offset; by the address that mov gives of a name, which is generic here. */
    uint64_t start = (uint64_t)(uintptr_t)l->params, at = a >= start ? a - start : a;
    if (at <= l->kernel->param_bytes && n <= l->kernel->param_bytes - at)
      return l->params + at;
    break;
  }
  default:
    return global(w, i, lane, a, n, write);
  }
  memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
               "out of bounds: %s of %llu bytes at byte %llu of %s memory", what_of(i),
               (unsigned long long)n, (unsigned long long)a,
               space == IN_LOCAL ? "local" : "parameter");
  return NULL;
}

static void ld(struct warp *w, const struct inst *i, uint32_t mask) {
  enum ptx_type t = (enum ptx_type)i->type;
  uint32_t step = ptx_type_bytes(t), n = step * i->vector, bits = step * 8;
  bool is_signed = ptx_type_class(t) == CLASS_SIGNED && step < 8;
  const struct operand *address = &i->op[i->vector];
  EACH_LANE(l, mask) {
    const uint8_t *p = resolve(w, i, l, lane_get(w, address, l) + (uint64_t)i->imm, n, false, true);
    if (!p)
      return;
    for (uint32_t k = 0; k < i->vector; k++, p += step) {
      uint64_t v = 0;
      switch (step) {
      case 4:
        v = __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
        break;
      case 8:
        v = __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
        break;
      default:
        memcpy(&v, p, step);
        break;
      }
      if (is_signed && (v >> (bits - 1) & 1))
        v |= UINT64_MAX << bits;
      lane_set(w, &i->op[k], l, v);
    }
  }
}

static void st(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t step = ptx_type_bytes((enum ptx_type)i->type), n = step * i->vector;
  EACH_LANE(l, mask) {
    uint8_t *p = resolve(w, i, l, lane_get(w, &i->op[0], l) + (uint64_t)i->imm, n, true, false);
    if (!p)
      return;
    for (uint32_t k = 0; k < i->vector; k++, p += step) {
      uint64_t v = lane_get(w, &i->op[k + 1], l);
      switch (step) {
      case 4:
        __atomic_store_n((uint32_t *)p, (uint32_t)v, __ATOMIC_RELAXED);
        break;
      case 8:
        __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELAXED);
        break;
      default:
        memcpy(p, &v, step);
        break;
      }
    }
  }
}

static bool plain(const struct binding *b) {
  uint32_t bytes = b->type_count == 1 ? ptx_type_bytes(b->types[0]) : 0;
  return bytes && bytes <= 8 && bytes * b->inst->vector <= 32;
}
exec_fn bind_ld(struct binding *b) { return plain(b) ? ld : NULL; }
exec_fn bind_st(struct binding *b) {
  return plain(b) && b->inst->space != IN_ENTRY_PARAM && b->inst->space != IN_CONST ? st : NULL;
}

/* Atomics: one loop of compare and swap serves them all. */

static uint64_t combine(const struct inst *i, uint64_t old, uint64_t b, uint64_t c) {
  enum ptx_type t = (enum ptx_type)i->type;
  uint32_t bits = ptx_type_bytes(t) * 8;
  if (ptx_type_class(t) == CLASS_FLOAT) {
    if (i->operation != MOD_add)
      return i->operation == MOD_exch ? b : old;
    double x = float_decode(t, old), y = float_decode(t, b);
    return float_encode(t, t == TYPE_f64 ? x + y : fma_to_odd(x, 1, y), ROUND_NEAREST);
  }
  bool is_signed = ptx_type_class(t) == CLASS_SIGNED;
  int64_t so = (int64_t)(old << (64 - bits)) >> (64 - bits),
          sb = (int64_t)(b << (64 - bits)) >> (64 - bits);
  switch (i->operation) {
  case MOD_add:
    return old + b;
  case MOD_and:
    return old & b;
  case MOD_or:
    return old | b;
  case MOD_xor:
    return old ^ b;
  case MOD_exch:
    return b;
  case MOD_cas:
    return old == b ? c : old;
  case MOD_min:
    return is_signed ? (so < sb ? old : b) : (old < b ? old : b);
  case MOD_max:
    return is_signed ? (so > sb ? old : b) : (old > b ? old : b);
  case MOD_inc:
    return old >= b ? 0 : old + 1;
  default:
    return old == 0 || old > b ? b : old - 1;
  }
}

static uint64_t exchange(const struct inst *i, uint8_t *p, uint64_t b, uint64_t c) {
  switch (ptx_type_bytes((enum ptx_type)i->type)) {
  case 2: {
    uint16_t old = __atomic_load_n((uint16_t *)p, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n((uint16_t *)p, &old, (uint16_t)combine(i, old, b, c), false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return old;
  }
  case 4: {
    uint32_t old = __atomic_load_n((uint32_t *)p, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n((uint32_t *)p, &old, (uint32_t)combine(i, old, b, c), false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return old;
  }
  default: {
    uint64_t old = __atomic_load_n((uint64_t *)p, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n((uint64_t *)p, &old, combine(i, old, b, c), false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return old;
  }
  }
}

static void atomic(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t first = i->writes, n = ptx_type_bytes((enum ptx_type)i->type);
  EACH_LANE(l, mask) {
    uint8_t *p = resolve(w, i, l, lane_get(w, &i->op[first], l) + (uint64_t)i->imm, n, true, true);
    if (!p)
      return;
    uint64_t c = i->count > first + 2 ? lane_get(w, &i->op[first + 2], l) : 0;
    uint64_t old = exchange(i, p, lane_get(w, &i->op[first + 1], l), c);
    if (first)
      lane_set(w, &i->op[0], l, old);
  }
}

static exec_fn bind_atomic(struct binding *b) {
  struct inst *i = b->inst;
  static const enum modifier known[] = {MOD_add, MOD_and, MOD_or,  MOD_xor, MOD_exch,
                                        MOD_cas, MOD_min, MOD_max, MOD_inc, MOD_dec};
  uint32_t named = 0, bytes = b->type_count == 1 ? ptx_type_bytes(b->types[0]) : 0;
  for (uint32_t k = 0; k < sizeof known / sizeof *known; k++)
    if (has(b, known[k]))
      i->operation = (uint8_t)known[k], named++;
  if (named != 1 || bytes < 2 || bytes > 8 || ptx_type_class(b->types[0]) == CLASS_PACKED)
    return NULL;
  if (ptx_type_class(b->types[0]) == CLASS_FLOAT ? i->operation != MOD_add
                                                 : bytes == 2 && i->operation != MOD_cas)
    return NULL;
  return (i->operation == MOD_cas) == (i->count == i->writes + 3u) ? atomic : NULL;
}
exec_fn bind_atom(struct binding *b) { return bind_atomic(b); }
exec_fn bind_red(struct binding *b) { return bind_atomic(b); }
