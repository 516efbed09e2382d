/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and stores, with what hardware would fault on and what it lets pass: bounds of
 * each allocation, alignment, freed memory, shared memory that nobody wrote. */
#include "sim/exec/async.h"
#include "sim/exec/atomic.h"
#include "sim/exec/decode.h"
#include "sim/exec/device.h"
#include "sim/exec/written.h"

static const char *what_of(const struct inst *i) {
  switch (i->opcode[0]) {
  case 'l': return "load";
  case 's': return "store";
  case 'a':
  case 'r': return "atomic";
  default: return "access";
  }
}

static void out_of_bounds(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a,
                          uint64_t n) {
  struct allocation near = {0};
  if (!device_find(a, &near) || a - near.address > near.size + (1 << 20)) {
    memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
                        "out of bounds: %s of %llu bytes at 0x%llx, which is in no allocation",
                        what_of(i), (unsigned long long)n, (unsigned long long)a);
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
                        what_of(i), (unsigned long long)n, (unsigned long long)a,
                        (unsigned long long)at, name, (unsigned long long)near.size);
}

/* Whether one of the allocations that the warp last hit holds the bytes; w->hit is which. */
static inline bool hits(struct warp *w, uint64_t a, uint64_t n) {
  uint64_t epoch = device_epoch();
  for (uint32_t k = 0; k < 4; k++) {
    uint32_t at = (w->hit + k) % 4;
    if (a >= w->cached[at].low && a <= w->cached[at].high && n <= w->cached[at].high - a &&
        w->cached[at].epoch == epoch) {
      w->hit = at;
      return true;
    }
  }
  return false;
}

/* As `hits`, or makes it so where there is such an allocation. */
static bool finds(struct warp *w, uint64_t a, uint64_t n) {
  if (hits(w, a, n))
    return true;
  uint64_t epoch = device_epoch(); /* before the search: what is found may be stale at once */
  struct allocation found;
  if (!device_find(a, &found) || found.freed || a - found.address > found.size ||
      n > found.size - (a - found.address) || !device_reachable(w->cta->launch->device, &found))
    return false;
  w->hit = (w->hit + 1) % 4;
  w->cached[w->hit].low = found.address;
  w->cached[w->hit].high = found.address + found.size;
  w->cached[w->hit].epoch = epoch;
  w->cached[w->hit].readonly = found.kind == ALLOCATION_CONST || found.readonly;
  w->cached[w->hit].watched = device_watched(&found);
  return true;
}

uint8_t *resolve_global(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a, uint64_t n,
                        bool write) {
  const struct launch *l = w->cta->launch;
  if (!finds(w, a, n)) {
    struct allocation found;
    uint64_t params = (uint64_t)(uintptr_t)l->params;
    if (a >= params && a + n <= params + l->kernel->param_bytes && !write)
      return l->params + (a - params);
    if (!device_valid(a, n) || !device_find(a, &found))
      out_of_bounds(w, i, lane, a, n);
    else
      memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
                          "%s of %llu bytes at 0x%llx of device %u without peer access", what_of(i),
                          (unsigned long long)n, (unsigned long long)a, found.device);
    return NULL;
  }
  if (write && w->cached[w->hit].readonly) {
    memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
                        "store to constant memory at 0x%llx", (unsigned long long)a);
    return NULL;
  }
  if (write && w->cached[w->hit].watched)
    written_mark_few(a, n);
  return (uint8_t *)(uintptr_t)a;
}

/* A load of memory that nobody wrote is no error yet: it may be a part that is not used. */
static void note_unwritten(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a,
                           uint32_t part) {
  w->unwritten.any = 1;
  w->unwritten.lanes[part] |= 1u << lane;
  w->unwritten.line = i->line;
  w->unwritten.address = a;
}
static void find_unwritten(struct warp *w, const struct inst *i, uint32_t mask,
                           const struct operand *address, uint32_t step) {
  const uint64_t *base = lanes(w, address);
  EACH_LANE(l, mask)
  for (uint32_t k = 0; k < i->vector; k++) {
    uint64_t a = base[l] + (uint64_t)i->imm + (uint64_t)k * step;
    if (!written_all(a, step))
      note_unwritten(w, i, l, a, k);
  }
}

struct cta *resolve_shared(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a,
                           uint64_t n, uint32_t *out_offset) {
  if (a - window_shared < SHARED_WINDOWS * WINDOW_BYTES)
    a -= window_shared;
  struct cluster *cluster = w->cta->cluster;
  struct cta *c = w->cta;
  uint64_t window = a / WINDOW_BYTES, offset = a % WINDOW_BYTES;
  if (window && window <= cluster->size)
    c = &cluster->ctas[window - 1];
  if (window > cluster->size || offset > c->shared_bytes || n > c->shared_bytes - offset) {
    memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
                        "out of bounds: %s of %llu bytes at byte %llu of shared memory, which has "
                        "%u",
                        what_of(i), (unsigned long long)n, (unsigned long long)a, c->shared_bytes);
    return NULL;
  }
  if (c->finished) {
    memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
                        "%s of shared memory of CTA %u of the cluster, which has exited",
                        what_of(i), c->rank);
    return NULL;
  }
  *out_offset = (uint32_t)offset;
  return c;
}

uint8_t *resolve(struct warp *w, const struct inst *i, uint32_t lane, uint64_t a, uint64_t n,
                 uint32_t access) {
  uint8_t space = i->space;
  if ((a & (n - 1)) && !(access & ACCESS_UNALIGNED)) {
    memory_fault_report(w, i, (int)lane, FAULT_MISALIGNED, "misaligned: %s of %llu bytes at 0x%llx",
                        what_of(i), (unsigned long long)n, (unsigned long long)a);
    return NULL;
  }
  if (space == IN_GENERIC && a - window_shared < SHARED_WINDOWS * WINDOW_BYTES)
    space = IN_SHARED;
  else if (space == IN_GENERIC && a - window_local < WINDOW_BYTES)
    space = IN_LOCAL, a -= window_local;
  switch (space) {
  case IN_SHARED: {
    uint32_t offset;
    struct cta *c = resolve_shared(w, i, lane, a, n, &offset);
    if (!c || !shadow_access(w, i, lane, c, offset, (uint32_t)n, access, false))
      return NULL;
    return c->shared + offset;
  }
  case IN_LOCAL:
    if (a >= 16 && a <= w->local_bytes && n <= w->local_bytes - a)
      return w->local + (uint64_t)lane * w->local_bytes + a;
    break;
  case IN_ENTRY_PARAM: {
    const struct launch *l = w->cta->launch;
    uint64_t base = (uint64_t)(uintptr_t)l->params;
    if (a - base <= l->kernel->param_bytes)
      a -= base;
    if (a <= l->kernel->param_bytes && n <= l->kernel->param_bytes - a)
      return l->params + a;
    break;
  }
  default: {
    bool uses = (access & ACCESS_READ) && (access & ACCESS_ATOMIC) && i->operation != MOD_exch;
    uint8_t *p = uses ? resolve_global(w, i, lane, a, n, false) : NULL;
    if (uses && p && w->cached[w->hit].watched && !written_all(a, n)) {
      memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                          "uninitialised: '%s' reads global memory at 0x%llx, which nobody wrote",
                          i->opcode, (unsigned long long)a);
      return NULL;
    }
    return uses && !p ? NULL : resolve_global(w, i, lane, a, n, access & ACCESS_WRITE);
  }
  }
  memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_ADDRESS,
                      "out of bounds: %s of %llu bytes at byte %llu of %s memory", what_of(i),
                      (unsigned long long)n, (unsigned long long)a,
                      space == IN_LOCAL ? "local" : "parameter");
  return NULL;
}

/* All lanes side by side in one global allocation: where they begin, or NULL. What the slow way
 * checks is checked once for all. */
static uint8_t *side_by_side(struct warp *w, const struct inst *i, uint32_t mask,
                             const struct operand *address, const struct operand *value,
                             uint32_t step) {
  const uint64_t *a = lanes(w, address);
  if (mask != UINT32_MAX || address->width != 8 || value->width != step || i->vector != 1 ||
      i->strong || (i->space != IN_GLOBAL && i->space != IN_GENERIC) || (step != 4 && step != 8))
    return NULL;
  uint64_t first = a[0] + (uint64_t)i->imm, apart = 0;
  for (uint32_t l = 0; l < 32; l++)
    apart |= a[l] - a[0] - (uint64_t)l * step;
  return !apart && !(first & (step - 1)) && finds(w, first, 32 * step) ? (uint8_t *)(uintptr_t)first
                                                                       : NULL;
}

/* Whether the n bytes of every lane lie in one global allocation, aligned: then no lane needs to be
 * looked at alone. */
static bool all_inside(struct warp *w, const struct inst *i, uint32_t mask,
                       const struct operand *address, uint32_t n) {
  const uint64_t *a = lanes(w, address);
  if (address->width != 8 || i->strong || (i->space != IN_GLOBAL && i->space != IN_GENERIC))
    return false;
  uint64_t low = UINT64_MAX, high = 0, bits = 0;
  EACH_LANE(l, mask) {
    uint64_t at = a[l] + (uint64_t)i->imm;
    low = at < low ? at : low;
    high = at > high ? at : high;
    bits |= at;
  }
  return !(bits & (n - 1)) && finds(w, low, high - low + n);
}

/* Words of 32 bits from anywhere in that allocation. */
static void ld_words(struct warp *w, const struct inst *i, uint32_t mask,
                     const struct operand *address) {
  const uint64_t *a = lanes(w, address);
  for (uint32_t k = 0; k < i->vector; k++) {
    uint32_t *d = lanes(w, &i->op[k]);
    EACH_LANE(l, mask)
    d[l] = __atomic_load_n((const uint32_t *)(uintptr_t)(a[l] + (uint64_t)i->imm + 4 * k),
                           __ATOMIC_RELAXED);
  }
}

/* A parameter of the kernel by its name: the same for all lanes. */
static void ld_parameter(struct warp *w, const struct inst *i, uint32_t mask, uint32_t step,
                         bool is_signed) {
  uint32_t lane = (uint32_t)__builtin_ctz(mask);
  uint64_t a = lane_get(w, &i->op[i->vector], lane) + (uint64_t)i->imm;
  const uint8_t *p = resolve(w, i, lane, a, step * i->vector, ACCESS_READ);
  for (uint32_t k = 0; k < i->vector && p; k++) {
    uint64_t v = 0;
    memcpy(&v, p + (size_t)k * step, step);
    if (is_signed && (v >> (step * 8 - 1) & 1))
      v |= UINT64_MAX << step * 8;
    EACH_LANE(l, mask)
    lane_set(w, &i->op[k], l, v);
  }
}

static void ld(struct warp *w, const struct inst *i, uint32_t mask) {
  enum ptx_type t = (enum ptx_type)i->type;
  uint32_t step = ptx_type_bytes(t), n = step * i->vector, bits = step * 8;
  bool is_signed = ptx_type_class(t) == CLASS_SIGNED && step < 8;
  const struct operand *address = &i->op[i->vector];
  if (i->space == IN_ENTRY_PARAM && address->bank == BANK_CONSTANT && step <= 8) {
    ld_parameter(w, i, mask, step, is_signed);
    return;
  }
  const uint8_t *all = side_by_side(w, i, mask, address, &i->op[0], step);
  if (all) {
    memcpy(lanes(w, &i->op[0]), all, 32 * step);
    if (w->cached[w->hit].watched && !written_all((uint64_t)(uintptr_t)all, 32 * step))
      find_unwritten(w, i, mask, address, step);
    return;
  }
  bool words = step == 4;
  for (uint32_t k = 0; k < i->vector; k++)
    words &= i->op[k].width == 4;
  if (words && all_inside(w, i, mask, address, n)) {
    ld_words(w, i, mask, address);
    if (w->cached[w->hit].watched)
      find_unwritten(w, i, mask, address, step);
    return;
  }
  if (i->strong) {
    order_atomic(w);
    w->pause = true; /* perhaps it waits for what others write */
  }
  EACH_LANE(l, mask) {
    const uint8_t *p = resolve(w, i, l, lane_get(w, address, l) + (uint64_t)i->imm, n, ACCESS_READ);
    if (!p)
      return;
    uint64_t at = (uint64_t)(uintptr_t)p;
    bool watched =
        w->cached[w->hit].watched && at >= w->cached[w->hit].low && at < w->cached[w->hit].high;
    for (uint32_t k = 0; k < i->vector; k++, p += step) {
      uint64_t v = 0;
      if (watched && !written_all((uint64_t)(uintptr_t)p, step))
        note_unwritten(w, i, l, (uint64_t)(uintptr_t)p, k);
      switch (step) {
      case 4: v = __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED); break;
      case 8: v = __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED); break;
      case 16: memcpy((uint8_t *)lanes(w, &i->op[k]) + 16 * l, p, 16); continue;
      default: memcpy(&v, p, step); break;
      }
      if (is_signed && (v >> (bits - 1) & 1))
        v |= UINT64_MAX << bits;
      lane_set(w, &i->op[k], l, v);
    }
  }
}

/* The bytes that a lane stores. */
static void gather(struct warp *w, const struct inst *i, uint32_t l, uint32_t first, uint32_t step,
                   uint8_t *out) {
  for (uint32_t k = 0; k < i->vector; k++) {
    if (step == 16) {
      memcpy(out + 16 * k, (uint8_t *)lanes(w, &i->op[k + first]) + 16 * l, 16);
    } else {
      uint64_t v = lane_get(w, &i->op[k + first], l);
      memcpy(out + step * k, &v, step);
    }
  }
}

/* Where a store to shared memory goes; one that changes nothing races with no other. */
static uint8_t *store_shared(struct warp *w, const struct inst *i, uint32_t l, uint64_t a,
                             uint32_t n, const uint8_t *bytes) {
  uint32_t offset;
  if (a & (n - 1))
    return resolve(w, i, l, a, n, ACCESS_WRITE);
  struct cta *c = resolve_shared(w, i, l, a, n, &offset);
  if (!c ||
      !shadow_access(w, i, l, c, offset, n, ACCESS_WRITE, !memcmp(c->shared + offset, bytes, n)))
    return NULL;
  return c->shared + offset;
}

static void st(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t step = ptx_type_bytes((enum ptx_type)i->type), n = step * i->vector;
  uint8_t *all = side_by_side(w, i, mask, &i->op[0], &i->op[1], step);
  if (all && !w->cached[w->hit].readonly) {
    memcpy(all, lanes(w, &i->op[1]), 32 * step);
    if (w->cached[w->hit].watched)
      written_mark_few((uint64_t)(uintptr_t)all, 32 * step);
    return;
  }
  if (i->strong)
    order_atomic(w);
  EACH_LANE(l, mask) {
    uint8_t bytes[64];
    uint64_t a = lane_get(w, &i->op[0], l) + (uint64_t)i->imm;
    gather(w, i, l, 1, step, bytes);
    bool is_shared = i->space == IN_SHARED ||
                     (i->space == IN_GENERIC && a - window_shared < SHARED_WINDOWS * WINDOW_BYTES);
    uint8_t *p =
        is_shared ? store_shared(w, i, l, a, n, bytes) : resolve(w, i, l, a, n, ACCESS_WRITE);
    if (!p)
      return;
    for (uint32_t k = 0; k < n; k += step) {
      uint64_t v = 0;
      memcpy(&v, bytes + k, step < 8 ? step : 8);
      switch (step) {
      case 4: __atomic_store_n((uint32_t *)(void *)(p + k), (uint32_t)v, __ATOMIC_RELAXED); break;
      case 8: __atomic_store_n((uint64_t *)(void *)(p + k), v, __ATOMIC_RELAXED); break;
      default: memcpy(p + k, bytes + k, step); break;
      }
    }
  }
}

static bool plain(const struct binding *b) {
  uint32_t bytes = b->type_count == 1 ? ptx_type_bytes(b->types[0]) : 0;
  return bytes && bytes <= 16 && bytes * b->inst->vector <= 16; /* newer targets have 32 */
}
exec_fn bind_ld(struct binding *b) { return plain(b) ? ld : NULL; }
exec_fn bind_st(struct binding *b) {
  return plain(b) && b->inst->space != IN_ENTRY_PARAM && b->inst->space != IN_CONST ? st : NULL;
}

/* st.async: a store into the cluster's shared memory that an mbarrier counts. */
static void st_async(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t step = ptx_type_bytes((enum ptx_type)i->type), n = step * i->vector;
  uint32_t barrier = i->part[2];
  EACH_LANE(l, mask) {
    uint8_t bytes[64];
    uint32_t offset;
    uint64_t a = lane_get(w, &i->op[0], l) + (uint64_t)i->imm;
    struct cta *c = resolve_shared(w, i, l, a, n, &offset), *home;
    struct mbarrier *m =
        c ? mbarrier_at(w, i, l, lane_get(w, &i->op[barrier], l) + (uint64_t)i->more[0], &home)
          : NULL;
    if (!m)
      return;
    if (home != c || (a & (n - 1))) {
      memory_fault_report(
          w, i, (int)l, FAULT_MISALIGNED,
          "st.async: the mbarrier is not in the CTA that is written, or the address "
          "is misaligned");
      return;
    }
    gather(w, i, l, 1, step, bytes);
    uint32_t time = ++c->shadow->tensor;
    if (!shadow_unit_write(w, i, l, c, offset, n, AGENT_TENSOR, time))
      return;
    memcpy(c->shared + offset, bytes, n);
    mbarrier_complete(c, m, n, AGENT_TENSOR, time);
  }
}
exec_fn bind_st_async(struct binding *b) {
  return plain(b) && has(b, MOD_mbarrier_complete_tx_bytes) ? st_async : NULL;
}

static void red_async(struct warp *w, const struct inst *i, uint32_t mask) {
  uint32_t n = ptx_type_bytes((enum ptx_type)i->type);
  EACH_LANE(l, mask) {
    uint64_t a = lane_get(w, &i->op[0], l) + (uint64_t)i->imm;
    struct cta *home;
    uint8_t *p = resolve(w, i, l, a, n, ACCESS_READ | ACCESS_WRITE | ACCESS_ATOMIC);
    struct mbarrier *m =
        p ? mbarrier_at(w, i, l, lane_get(w, &i->op[2], l) + (uint64_t)i->more[0], &home) : NULL;
    if (!m)
      return;
    atomic_apply(i, p, lane_get(w, &i->op[1], l), 0);
    mbarrier_complete(home, m, n, AGENT_TENSOR, ++home->shadow->tensor);
  }
}
exec_fn bind_red_async(struct binding *b) {
  return has(b, MOD_mbarrier_complete_tx_bytes) && bind_red(b) ? red_async : NULL;
}
