/* SPDX-License-Identifier: Apache-2.0 */
/* cp.async.bulk.tensor: boxes of a tensor to and from shared memory. Source: PTX ISA, "Tensors";
 * what hardware does beyond it was measured: the innermost coordinate must lie at a multiple of 16
 * bytes, stores have no negative coordinates, and stores clip at granules of 16 bytes. */
#include "sim/exec/async.h"
#include "sim/exec/atomic.h"
#include "sim/exec/tensor_map.h"

#include <stdlib.h>

enum { GRANULE = 16 };

/* One copy: a box as rows of the innermost dimension. */
struct box {
  struct tensor_map map;
  int64_t at[5];     /* coordinate of the first element */
  uint32_t size[5];  /* elements in shared memory */
  int32_t offset[3]; /* im2col: added to W, H, D */
  uint32_t row_bytes, rows, bytes;
};

static bool illegal(struct warp *w, const struct inst *i, uint32_t lane, const char *why) {
  memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_INSTRUCTION, "tensor copy: %s", why);
  return false;
}

static bool read_map(struct warp *w, const struct inst *i, uint32_t lane, uint64_t address,
                     struct tensor_map *out) {
  if (address % 64)
    return illegal(w, i, lane, "the tensor map is not aligned to 64 bytes");
  const uint8_t *p = resolve_global(w, i, lane, address, 128, false);
  if (!p)
    return false;
  memcpy(out, p, sizeof *out);
  if (out->magic != TENSOR_MAP_MAGIC)
    return illegal(w, i, lane, "its operand is no tensor map that cuTensorMapEncode made");
  return true;
}

static uint32_t spatial(const struct box *b) { return b->map.rank - 2u; }

static bool box_of(struct warp *w, const struct inst *i, uint32_t lane, uint64_t address,
                   const int64_t *coordinates, uint32_t count, bool store, struct box *out) {
  *out = (struct box){0};
  if (!read_map(w, i, lane, address, &out->map))
    return false;
  const struct tensor_map *m = &out->map;
  uint32_t element = tensor_type_bytes(m->type);
  bool strides = true;
  for (uint32_t k = 0; k + 1 < m->rank; k++)
    strides &= m->strides[k] % 16 == 0;
  if (!element || m->swizzle > SWIZZLE_128 || m->address % 16 || !strides)
    return illegal(w, i, lane, "the tensor map's type, swizzle, address or strides are none");
  if (m->rank != count || m->rank != i->aux[0])
    return illegal(w, i, lane, "the tensor map has another number of dimensions");
  if (m->im2col != (i->aux[1] != 0))
    return illegal(w, i, lane, "tile and im2col are mixed: map and instruction differ");
  for (uint32_t k = 0; k < m->rank; k++) {
    out->at[k] = coordinates[k];
    if (store && coordinates[k] < 0)
      return illegal(w, i, lane, "a store has a negative coordinate");
    out->size[k] = (m->box[k] + m->steps[k] - 1u) / m->steps[k];
  }
  if (coordinates[0] * (int64_t)element % GRANULE)
    return illegal(w, i, lane, "the innermost coordinate is no multiple of 16 bytes");
  if (m->im2col) { /* channels by pixels */
    out->size[0] = m->box[0];
    out->rows = m->box[1];
  } else {
    out->rows = 1;
    for (uint32_t k = 1; k < m->rank; k++)
      out->rows *= out->size[k];
  }
  out->row_bytes = out->size[0] * element;
  out->bytes = out->row_bytes * out->rows;
  return true;
}

/* The address bits of shared memory that a swizzle exchanges. */
static uint32_t swizzled(uint8_t mode, uint32_t at) {
  switch (mode) {
  case SWIZZLE_32: return at ^ (at >> 3 & 0x10);
  case SWIZZLE_64: return at ^ (at >> 3 & 0x30);
  case SWIZZLE_128: return at ^ (at >> 3 & 0x70);
  default: return at;
  }
}

/* Where row r of the box lies: coordinates of dims 1 and up, and whether they are inside. */
static bool row_at(const struct box *b, uint32_t r, int64_t *c) {
  const struct tensor_map *m = &b->map;
  bool inside = true;
  if (!m->im2col) {
    for (uint32_t k = 1; k < m->rank; k++) {
      c[k] = b->at[k] + (int64_t)(r % b->size[k]) * m->steps[k];
      r /= b->size[k];
      inside &= c[k] >= 0 && c[k] < (int64_t)m->dims[k];
    }
    return inside;
  }
  /* pixels walk the bounding box, W first, then H, D and images */
  uint32_t n = spatial(b);
  int64_t carry = r;
  for (uint32_t k = 0; k < n; k++) {
    int64_t low = m->lower[k], high = (int64_t)m->dims[k + 1] + m->upper[k], step = m->steps[k + 1];
    int64_t extent = (high - low + step - 1) / step;
    extent = extent > 0 ? extent : 1;
    int64_t place = (b->at[k + 1] - low) / step + carry;
    carry = place / extent;
    c[k + 1] = low + place % extent * step + b->offset[k];
    inside &= c[k + 1] >= 0 && c[k + 1] < (int64_t)m->dims[k + 1];
  }
  c[n + 1] = b->at[n + 1] + carry;
  return inside && c[n + 1] >= 0 && c[n + 1] < (int64_t)m->dims[n + 1];
}

static uint64_t row_address(const struct box *b, const int64_t *c) {
  uint64_t a = b->map.address;
  for (uint32_t k = 1; k < b->map.rank; k++)
    a += (uint64_t)c[k] * b->map.strides[k - 1];
  return a;
}

static void fill(const struct tensor_map *m, uint8_t *p, uint32_t element, uint32_t n) {
  static const uint64_t nan[] = {
      0, 0, 0x7fff, 0, 0x7fffffff, 0, 0, 0, UINT64_C(0x7fffffffffffffff)};
  uint64_t v = m->nan_fill ? m->type == 9 ? 0x7fff : nan[element] : 0;
  for (uint32_t k = 0; k < n; k++)
    memcpy(p + (size_t)k * element, &v, element);
}

/* A row as it lies in shared memory before the swizzle. False after a fault. */
static bool load_row(struct warp *w, const struct inst *i, uint32_t lane, const struct box *b,
                     uint32_t r, uint8_t *out) {
  const struct tensor_map *m = &b->map;
  uint32_t element = tensor_type_bytes(m->type), step = m->im2col ? 1 : m->steps[0];
  int64_t c[6] = {0};
  if (!row_at(b, r, c)) {
    fill(m, out, element, b->size[0]);
    return true;
  }
  int64_t first = b->at[0], beyond = (int64_t)m->dims[0];
  int64_t low = first < 0 ? (-first + step - 1) / step : 0;
  int64_t high = first >= beyond ? 0 : (beyond - first + step - 1) / step;
  high = high > b->size[0] ? b->size[0] : high;
  if (low >= high) {
    fill(m, out, element, b->size[0]);
    return true;
  }
  uint64_t a = row_address(b, c) + (uint64_t)(first + low * step) * element;
  uint64_t span = (uint64_t)((high - low - 1) * step + 1) * element;
  const uint8_t *p = resolve_global(w, i, lane, a, span, false);
  if (!p)
    return false;
  fill(m, out, element, (uint32_t)low);
  if (step == 1)
    memcpy(out + low * element, p, span);
  else
    for (int64_t k = low; k < high; k++)
      memcpy(out + k * element, p + (k - low) * step * element, element);
  fill(m, out + high * element, element, b->size[0] - (uint32_t)high);
  if (m->type == 10 || m->type == 12) /* formats that flush subnormals */
    for (uint32_t k = 0; k < b->size[0]; k++) {
      uint32_t v;
      memcpy(&v, out + 4 * k, 4);
      v = v >> 23 & 255 ? v : v & UINT32_C(0x80000000);
      memcpy(out + 4 * k, &v, 4);
    }
  return true;
}

static bool load_box(struct warp *w, const struct inst *i, uint32_t lane, const struct box *b,
                     uint32_t offset, uint32_t ranks) {
  uint8_t *row = malloc(b->row_bytes + GRANULE);
  bool good = row != NULL;
  for (uint32_t r = 0; r < b->rows && good; r++) {
    good = load_row(w, i, lane, b, r, row);
    for (uint32_t k = 0; k < w->cta->cluster->size && good; k++) {
      uint8_t *shared = w->cta->cluster->ctas[k].shared;
      if (!(ranks >> k & 1))
        continue;
      for (uint32_t at = 0; at < b->row_bytes;) {
        uint32_t to = offset + r * b->row_bytes + at, n = GRANULE - to % GRANULE;
        n = n < b->row_bytes - at ? n : b->row_bytes - at;
        memcpy(shared + swizzled(b->map.swizzle, to), row + at, n);
        at += n;
      }
    }
  }
  free(row);
  return good;
}

static bool shared_place(struct warp *w, const struct inst *i, uint32_t lane, uint64_t address,
                         const struct box *b, struct cta **c, uint32_t *offset) {
  *c = resolve_shared(w, i, lane, address, b->bytes, offset);
  if (!*c)
    return false;
  if (*offset % 128) {
    memory_fault_report(
        w, i, (int)lane, FAULT_MISALIGNED,
        "misaligned: a tensor copy to or from byte %u of shared memory: 128 bytes are "
        "needed",
        *offset);
    return false;
  }
  return true;
}

static void coordinates(struct warp *w, const struct inst *i, uint32_t lane, uint32_t first,
                        uint32_t count, int64_t *out) {
  for (uint32_t k = 0; k < count && k < 5; k++)
    out[k] = (int32_t)lane_get(w, &i->op[first + k], lane);
}

/* Operands: shared address, map, coordinates, mbarrier; im2col offsets, mask, policy. */
static void load(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    struct box b;
    int64_t c[5] = {0};
    struct cta *to, *home;
    uint32_t offset, rank = i->aux[0], next = i->part[3] + 1u;
    coordinates(w, i, l, i->part[2], rank, c);
    if (!box_of(w, i, l, lane_get(w, &i->op[1], l) + (uint64_t)i->more[0], c, rank, false, &b) ||
        !shared_place(w, i, l, lane_get(w, &i->op[0], l) + (uint64_t)i->imm, &b, &to, &offset))
      return;
    for (uint32_t k = 0; b.map.im2col && k < rank - 2; k++)
      b.offset[k] = (int16_t)lane_get(w, &i->op[next++], l);
    uint64_t barrier = lane_get(w, &i->op[i->part[3]], l) + (uint64_t)i->more[1];
    uint32_t ranks = i->aux[2] ? (uint32_t)lane_get(w, &i->op[next], l) & 0xffff : 1u << to->rank;
    if (ranks >> w->cta->cluster->size) {
      illegal(w, i, l, "the multicast mask names CTAs that the cluster does not have");
      return;
    }
    for (uint32_t r = 0; r < w->cta->cluster->size; r++) {
      struct cta *each = &w->cta->cluster->ctas[r];
      if ((ranks >> r & 1) && !shadow_unit_write(w, i, l, each, offset, b.bytes, AGENT_TENSOR,
                                                 each->shadow->tensor + 1))
        return;
    }
    if (!load_box(w, i, l, &b, offset, ranks))
      return;
    for (uint32_t r = 0; r < w->cta->cluster->size; r++) {
      if (!(ranks >> r & 1))
        continue;
      uint64_t address = (r + 1) * WINDOW_BYTES + barrier % WINDOW_BYTES;
      if (!i->aux[2]) /* one copy signals where its operand says */
        address = barrier;
      struct mbarrier *m = mbarrier_at(w, i, l, address, &home);
      if (!m)
        return;
      mbarrier_complete(home, m, b.bytes, AGENT_TENSOR, ++w->cta->cluster->ctas[r].shadow->tensor);
    }
  }
}

static void combine_row(const struct inst *i, enum ptx_type t, uint8_t *to, const uint8_t *from,
                        uint32_t n) {
  uint32_t step = ptx_type_bytes(t);
  struct inst as = {.type = (uint8_t)t, .operation = i->operation};
  for (uint32_t k = 0; k + step <= n; k += step) {
    uint64_t v = 0;
    memcpy(&v, from + k, step);
    atomic_apply(&as, to + k, v, 0);
  }
}

static bool store_row(struct warp *w, const struct inst *i, uint32_t lane, const struct box *b,
                      uint32_t r, const uint8_t *row) {
  static const enum ptx_type types[] = {TYPE_u8,  TYPE_u16, TYPE_u32, TYPE_s32, TYPE_u64,
                                        TYPE_s64, TYPE_f16, TYPE_f32, TYPE_f64, TYPE_bf16,
                                        TYPE_f32, TYPE_f32, TYPE_f32};
  const struct tensor_map *m = &b->map;
  uint32_t element = tensor_type_bytes(m->type), step = m->im2col ? 1 : m->steps[0];
  int64_t c[6] = {0}, beyond = (int64_t)m->dims[0] - b->at[0];
  if (!row_at(b, r, c) || beyond <= 0)
    return true;
  uint64_t a = row_address(b, c) + (uint64_t)b->at[0] * element;
  uint64_t n =
      (uint64_t)beyond * element < b->row_bytes ? (uint64_t)beyond * element : b->row_bytes;
  if (step == 1) { /* clipped at granules, inside of the row's pitch */
    uint64_t whole = (n + GRANULE - 1) / GRANULE * GRANULE;
    n = whole < b->row_bytes ? whole : b->row_bytes;
    uint8_t *p = resolve_global(w, i, lane, a, n, true);
    if (!p)
      return false;
    if (i->operation != MOD_COUNT)
      combine_row(i, types[m->type], p, row, (uint32_t)n);
    else
      memcpy(p, row, n);
    return true;
  }
  for (int64_t k = 0; k < b->size[0] && k * step < beyond; k++) {
    uint8_t *p = resolve_global(w, i, lane, a + (uint64_t)(k * step) * element, element, true);
    if (!p)
      return false;
    if (i->operation != MOD_COUNT)
      combine_row(i, types[m->type], p, row + k * element, element);
    else
      memcpy(p, row + k * element, element);
  }
  return true;
}

/* Operands: map, coordinates, shared address, policy. */
static void store(struct warp *w, const struct inst *i, uint32_t mask) {
  struct async_groups *g = groups_of(&w->stores);
  if (!g)
    return;
  g->issued++;
  EACH_LANE(l, mask) {
    struct box b;
    int64_t at[5] = {0};
    struct cta *c;
    uint32_t offset;
    coordinates(w, i, l, i->part[1], i->aux[0], at);
    if (!box_of(w, i, l, lane_get(w, &i->op[0], l) + (uint64_t)i->imm, at, i->aux[0], true, &b) ||
        !shared_place(w, i, l, lane_get(w, &i->op[i->part[2]], l) + (uint64_t)i->more[0], &b, &c,
                      &offset) ||
        !shadow_unit_read(w, i, l, c, offset, b.bytes, AGENT_STORE + w->id, g->issued,
                          &(uint32_t){0}))
      return;
    uint8_t *row = malloc(b.row_bytes + GRANULE);
    bool good = row != NULL;
    for (uint32_t r = 0; r < b.rows && good; r++) {
      for (uint32_t k = 0; k < b.row_bytes;) {
        uint32_t from = offset + r * b.row_bytes + k, n = GRANULE - from % GRANULE;
        n = n < b.row_bytes - k ? n : b.row_bytes - k;
        memcpy(row + k, c->shared + swizzled(b.map.swizzle, from), n);
        k += n;
      }
      good = store_row(w, i, l, &b, r, row);
    }
    free(row);
    if (!good)
      return;
  }
}

static uint32_t dims_of(const struct binding *b) {
  static const enum modifier dims[] = {MOD_dims_1d, MOD_dims_2d, MOD_dims_3d,
                                       MOD_dims_4d, MOD_dims_5d, MOD_COUNT};
  enum modifier m = first_of(b, dims);
  return m == MOD_COUNT ? 0 : 1u + (uint32_t)(m - MOD_dims_1d);
}

exec_fn bind_bulk_tensor(struct binding *b) {
  struct inst *i = b->inst;
  static const enum modifier known[] = {MOD_add, MOD_min, MOD_max, MOD_inc,  MOD_dec,
                                        MOD_and, MOD_or,  MOD_xor, MOD_COUNT};
  bool out = has(b, MOD_bulk_group);
  i->aux[0] = dims_of(b);
  i->aux[1] = has(b, MOD_im2col) || has(b, MOD_im2col_no_offs);
  i->aux[2] = has(b, MOD_multicast_cluster);
  i->operation = (uint16_t)first_of(b, known);
  if (!i->aux[0] || has(b, MOD_reduce) != (i->operation != MOD_COUNT) ||
      (i->aux[1] && i->aux[0] < 3))
    return NULL;
  uint32_t first = i->part[out ? 1 : 2], end = i->part[out ? 2 : 3];
  if (end - first != i->aux[0])
    return NULL;
  return out ? store : has(b, MOD_mbarrier_complete_tx_bytes) ? load : NULL;
}

/* A map that is made from nothing begins as zeros. */
static bool begins_map(const uint8_t *p, struct tensor_map *m) {
  for (uint32_t k = 0; k < 128; k++)
    if (p[k])
      return false;
  *m = (struct tensor_map){.magic = TENSOR_MAP_MAGIC, .steps = {1, 1, 1, 1, 1}};
  return true;
}

/* tensormap.replace of a map in global or shared memory. */
static void replace(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    uint64_t a = lane_get(w, &i->op[0], l) + (uint64_t)i->imm;
    uint32_t last = i->count - 1u;
    uint64_t v = lane_get(w, &i->op[last], l), k = last > 1 ? lane_get(w, &i->op[1], l) : 0;
    uint8_t *p = resolve(w, i, l, a, 128, ACCESS_READ | ACCESS_WRITE | ACCESS_UNALIGNED);
    if (!p)
      return;
    struct tensor_map m;
    memcpy(&m, p, sizeof m);
    /* here types are numbered otherwise than in CUtensorMapDataType: f32.ftz, f64, bf16 */
    static const uint8_t types[] = {0, 1, 2, 3, 4, 5, 6, 7, 10, 8, 9, 11, 12};
    if ((m.magic != TENSOR_MAP_MAGIC && !begins_map(p, &m)) || k > 4) {
      illegal(w, i, l,
              "tensormap.replace of what is no tensor map, or of a dimension that is none");
      return;
    }
    switch (i->operation) {
    case MOD_global_address: m.address = v; break;
    case MOD_rank: m.rank = (uint8_t)(v + 1); break;
    case MOD_box_dim: m.box[k] = (uint16_t)v; break;
    case MOD_global_dim: m.dims[k] = v & UINT32_MAX; break;
    case MOD_global_stride: m.strides[k & 3] = v; break;
    case MOD_element_stride: m.steps[k] = (uint8_t)(k && v ? v : 1); break;
    case MOD_elemtype: m.type = v < sizeof types ? types[v] : UINT8_MAX; break;
    case MOD_interleave_layout:
      if (v & UINT32_MAX) {
        illegal(w, i, l, "interleaved layouts are not simulated");
        return;
      }
      break;
    case MOD_swizzle_mode: m.swizzle = (uint8_t)v; break;
    default: m.nan_fill = (uint8_t)v; break;
    }
    memcpy(p, &m, sizeof m);
  }
}
exec_fn bind_tensormap_replace(struct binding *b) {
  static const enum modifier fields[] = {
      MOD_global_address, MOD_rank,     MOD_box_dim,      MOD_global_dim, MOD_global_stride,
      MOD_element_stride, MOD_elemtype, MOD_swizzle_mode, MOD_fill_mode,  MOD_interleave_layout,
      MOD_COUNT};
  b->inst->operation = (uint16_t)first_of(b, fields);
  return b->inst->operation == MOD_COUNT ? NULL : replace;
}

/* tensormap.cp_fenceproxy: the map goes from shared to global memory. */
static void copy_map(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask) {
    uint32_t offset;
    struct cta *c =
        resolve_shared(w, i, l, lane_get(w, &i->op[1], l) + (uint64_t)i->more[0], 128, &offset);
    uint8_t *p =
        c ? resolve_global(w, i, l, lane_get(w, &i->op[0], l) + (uint64_t)i->imm, 128, true) : NULL;
    if (!p)
      return;
    memcpy(p, c->shared + offset, 128);
    return; /* all lanes together make one copy */
  }
}
exec_fn bind_copy_map(struct binding *b) {
  b->inst->flow = FLOW_JOIN;
  return copy_map;
}
