/* SPDX-License-Identifier: Apache-2.0 */
/* The plan writer: rows of values and of constants, whole or in parts, and how long they live. */
#include "codegen/plan_writer.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "codegen/const_part.h"
#include "runtime/engine_format.h"

uint32_t plan_add_value(struct plan_writer *w, const struct type *type, const char *name,
                        Engine__Storage storage, uint32_t index, uint32_t bytes) {
  uint32_t dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < type->rank; i++)
    dims[i] = plan_expr(w, type->dims[i]);
  Engine__Value row = ENGINE__VALUE__INIT;
  row.name = name ? manifest_build_string(w->b, name) : 0;
  row.dtype = type->dtype;
  row.bytes = bytes;
  row.storage = storage;
  row.index = index;
  row.phase = w->phase;
  row.first = row.last = w->clock;
  uint32_t v = manifest_build_value(w->b, row, dims, type->rank);
  if (v >= w->depth_cap) {
    w->depth_cap = v * 2 + 64;
    w->depth_of = mem_realloc(w->depth_of, w->depth_cap * sizeof *w->depth_of);
  }
  w->depth_of[v] = w->depth;
  return v;
}

uint32_t plan_add_typed(struct plan_writer *w, const struct type *type, const char *name,
                        Engine__Storage storage, uint32_t index) {
  return plan_add_value(w, type, name, storage, index, plan_value_bytes(w, type));
}

uint32_t plan_alias_root(const struct plan_writer *w, uint32_t v) {
  while (plan_row(w, v)->storage == ENGINE__STORAGE__ALIAS)
    v = plan_row(w, v)->alias_of;
  return v;
}

void plan_touch(struct plan_writer *w, uint32_t v) {
  v = plan_alias_root(w, v);
  plan_row(w, v)->last = w->clock;
  if (w->depth_of[v] < w->depth)
    vec_push(&w->borrowed, v);
}

/* Bytes from one part of a constant to the next: of the largest in this form, aligned. */
static uint64_t part_stride(struct plan_writer *w, const struct plan_constant *p,
                            struct constant *out) {
  uint64_t most = 0;
  for (uint32_t i = 0; i < p->parts; i++) {
    struct constant part;
    uint64_t k, n;
    const_part_shape(w->m, p->id, p->whole, i, &part);
    uint64_t bytes = part.bytes;
    if (p->pack.panels)
      w->failed |= !pack_size(&part, &p->pack, &k, &n, &bytes);
    if (bytes >= most)
      *out = part;
    if (bytes > most)
      most = bytes;
  }
  return (most + ENGINE_WEIGHT_ALIGNMENT - 1) / ENGINE_WEIGHT_ALIGNMENT * ENGINE_WEIGHT_ALIGNMENT;
}

/* Where the data is in a file of its own, which engines refer to, if they can name it there. */
static bool stays_outside(struct plan_writer *w, const struct plan_constant *p) {
  const struct constant *c = &w->m->constants.data[p->id];
  if (!c->reference)
    return false;
  return !p->whole || (const_part_contiguous(w->m, p->id, p->whole) &&
                       c->bytes / p->parts % ENGINE_WEIGHT_ALIGNMENT == 0);
}

/* The row of a constant that is stored in this form, at the next place of the weights section. */
static void add_constant(struct plan_writer *w, struct plan_constant *p) {
  struct constant c = w->m->constants.data[p->id];
  const struct pack *pack = &p->pack;
  Engine__Constant row = ENGINE__CONSTANT__INIT;
  uint64_t k = 0, n = 0, stride = 0;
  int64_t dims[3];
  row.name = manifest_build_string(w->b, c.name);
  row.dtype = c.dtype;
  p->outside = stays_outside(w, p);
  const char *file = c.reference;
  p->offset = c.offset;
  p->bytes = c.bytes;
  if (p->whole)
    stride = part_stride(w, p, &c);
  if (p->whole && !p->outside)
    p->bytes = stride * p->parts;
  if (p->outside) {
    assert(!pack->panels);
    row.file = manifest_build_weight_file(w->b, file, w->m->constants.data[p->id].file_bytes);
  } else {
    if (pack->panels)
      w->failed |= !pack_size(&c, pack, &k, &n, p->whole ? &stride : &p->bytes);
    p->offset = (w->plan->weight_bytes + ENGINE_WEIGHT_ALIGNMENT - 1) / ENGINE_WEIGHT_ALIGNMENT *
                ENGINE_WEIGHT_ALIGNMENT;
    w->plan->weight_bytes = p->offset + p->bytes;
  }
  if (pack->panels) {
    dims[0] = (int64_t)(n / pack->columns + (n % pack->columns != 0));
    dims[1] = (int64_t)k;
    dims[2] = pack->columns;
  }
  row.offset = p->offset;
  row.bytes = p->bytes;
  row.parts = p->parts > 1 ? p->parts : 0;
  p->row =
      manifest_build_constant(w->b, row, pack->panels ? dims : c.dims, pack->panels ? 3 : c.rank);
}

static bool same_form(const struct plan_constant *p, const struct type *whole,
                      const struct pack *pack) {
  bool same = !p->whole == !whole && (!whole || p->whole->sharding == whole->sharding);
  return same && pack_equal(&p->pack, pack);
}

uint32_t plan_constant_value(struct plan_writer *w, value_id v, const struct pack *pack) {
  const struct op *def = value_def(w->f, v);
  bool part = def->kind == OP_PART;
  struct plan_constant c = {.parts = 1, .pack = *pack};
  c.id = part ? OP_ATTRS(part, def)->value : OP_ATTRS(const, def)->value;
  c.whole = part ? OP_ATTRS(part, def)->whole : NULL;
  for (uint32_t i = w->constant[c.id]; i; i = w->next_form.data[i - 1]) {
    const struct plan_constant *other = &w->plan->constants.data[i - 1];
    if (same_form(other, c.whole, pack))
      return other->value;
  }
  if (part)
    c.parts = const_part_count(w->m, c.whole);
  add_constant(w, &c);
  uint32_t saved = w->depth;
  w->depth = 0;
  /* Parts may be shorter than the way from one to the next. */
  uint32_t bytes = c.parts > 1 && !pack->panels
                       ? plan_packed_bytes(w, value_type(w->f, v))
                       : manifest_build_const(w->b, (int64_t)(c.bytes / c.parts));
  c.value = plan_add_value(w, value_type(w->f, v), w->m->constants.data[c.id].name,
                           ENGINE__STORAGE__CONSTANT, c.row, bytes);
  if (c.parts > 1)
    plan_row(w, c.value)->part = plan_expr(w, const_part_number(w->m, c.whole));
  w->depth = saved;
  vec_push(&w->plan->constants, c);
  vec_push(&w->next_form, w->constant[c.id]);
  w->constant[c.id] = w->plan->constants.len;
  return c.value;
}

uint32_t plan_value_of(struct plan_writer *w, value_id v) {
  if (w->value[v])
    return w->value[v];
  const struct op *def = value_def(w->f, v);
  assert(def && (def->kind == OP_CONST || def->kind == OP_PART));
  (void)def;
  static const struct pack as_is = {0};
  return plan_constant_value(w, v, &as_is);
}

uint32_t plan_use(struct plan_writer *w, value_id v) {
  uint32_t row = plan_value_of(w, v);
  uint32_t root = plan_alias_root(w, row);
  plan_touch(w, row);
  if (root < w->uses_left.len && w->uses_left.data[root])
    w->uses_left.data[root]--;
  return row;
}

void plan_count_uses(struct plan_writer *w, uint32_t row, value_id v) {
  uint32_t root = plan_alias_root(w, row);
  while (w->uses_left.len <= root)
    vec_push(&w->uses_left, UINT32_MAX / 2); /* never reused */
  if (row == root)
    w->uses_left.data[root] = 0;
  w->uses_left.data[root] += uses_count(&w->uses, v);
}
