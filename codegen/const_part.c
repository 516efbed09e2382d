/* SPDX-License-Identifier: Apache-2.0 */
/* Shards of constants; see const_part.h. */
#include "codegen/const_part.h"

#include <string.h>

#include "base/mem.h"
#include "ir/part_dims.h"
#include "ir/shard_index.h"

static const struct sharding *sharding_of(const struct module *m, const struct type *whole) {
  return m->shardings.data[whole->sharding];
}

static const struct mesh *mesh_of(const struct module *m, const struct type *whole) {
  return m->meshes.data[sharding_of(m, whole)->mesh];
}

static int64_t places(const struct module *m, const struct type *whole, uint32_t d) {
  const struct dim_split *split = &sharding_of(m, whole)->dims[d];
  return axis_refs_size(mesh_of(m, whole), split->axes, split->n_axes);
}

uint32_t const_part_count(const struct module *m, const struct type *whole) {
  int64_t n = 1;
  for (uint32_t d = 0; d < whole->rank; d++)
    n *= places(m, whole, d);
  return (uint32_t)n;
}

dim const_part_number(const struct module *m, const struct type *whole) {
  dim number = dim_const(m->dims, 0);
  for (uint32_t d = 0; d < whole->rank; d++) {
    const struct dim_split *split = &sharding_of(m, whole)->dims[d];
    dim place = mesh_place(m->dims, mesh_of(m, whole), split->axes, split->n_axes);
    number =
        dim_add(m->dims, dim_mul(m->dims, number, dim_const(m->dims, places(m, whole, d))), place);
  }
  return number;
}

/* The part of each dim. */
static void parts_of(const struct module *m, const struct constant *c, const struct type *whole,
                     uint32_t part, struct shard_part out[IR_MAX_RANK]) {
  int64_t rest = part;
  for (uint32_t d = whole->rank; d-- > 0;) {
    const struct dim_split *split = &sharding_of(m, whole)->dims[d];
    int64_t n = places(m, whole, d);
    out[d] = (struct shard_part){.n = c->dims[d],
                                 .order = split->order,
                                 .granule = split->n_axes ? split->granule : 1,
                                 .block = split->n_axes ? split->block : 1,
                                 .parts = n,
                                 .part = rest % n};
    rest /= n;
  }
}

void const_part_shape(const struct module *m, constant_id id, const struct type *whole,
                      uint32_t part, struct constant *out) {
  struct shard_part parts[IR_MAX_RANK];
  uint64_t n = 1;
  *out = m->constants.data[id];
  parts_of(m, &m->constants.data[id], whole, part, parts);
  for (uint32_t d = 0; d < out->rank; d++) {
    out->dims[d] = shard_part_count(&parts[d]);
    n *= (uint64_t)out->dims[d];
  }
  out->data = NULL;
  out->file = out->reference = NULL;
  out->bytes = (n * dtype_bits(out->dtype) + 7) / 8;
}

static void copy_bits(uint8_t *to, uint64_t at, const uint8_t *from, uint64_t index,
                      uint32_t bits) {
  uint32_t mask = (1u << bits) - 1, x = from[index * bits / 8] >> (index * bits % 8) & mask;
  to[at * bits / 8] |= (uint8_t)(x << (at * bits % 8));
}

struct taking {
  const struct constant *from;
  struct constant *to;
  struct shard_part parts[IR_MAX_RANK];
  uint8_t *data;
  uint64_t at; /* elements written */
};

/* Rows of the last dim come in runs of neighbours. */
static void take_row(struct taking *t, uint64_t base) {
  uint32_t d = t->to->rank - 1, bits = dtype_bits(t->to->dtype), size = bits / 8;
  for (int64_t i = 0; i < t->to->dims[d];) {
    int64_t first = shard_part_global(&t->parts[d], i), n = 1;
    while (i + n < t->to->dims[d] && shard_part_global(&t->parts[d], i + n) == first + n)
      n++;
    const uint8_t *from = t->from->data;
    for (int64_t k = 0; k < n && bits < 8; k++)
      copy_bits(t->data, t->at + (uint64_t)k, from, base + (uint64_t)(first + k), bits);
    if (bits >= 8)
      memcpy(t->data + t->at * size, from + (base + (uint64_t)first) * size, (size_t)n * size);
    t->at += (uint64_t)n;
    i += n;
  }
}

static void take(struct taking *t, uint32_t d, uint64_t base) {
  if (d + 1 >= t->to->rank) {
    take_row(t, base * (uint64_t)t->from->dims[d]);
    return;
  }
  for (int64_t i = 0; i < t->to->dims[d]; i++)
    take(t, d + 1,
         base * (uint64_t)t->from->dims[d] + (uint64_t)shard_part_global(&t->parts[d], i));
}

void const_part_take(const struct module *m, constant_id id, const struct type *whole,
                     uint32_t part, struct constant *out) {
  struct taking t = {.from = &m->constants.data[id], .to = out};
  const_part_shape(m, id, whole, part, out);
  parts_of(m, t.from, whole, part, t.parts);
  out->data = t.data = mem_calloc(out->bytes + 1, 1);
  if (out->rank && out->bytes)
    take(&t, 0, 0);
}

bool const_part_contiguous(const struct module *m, constant_id id, const struct type *whole) {
  const struct constant *c = &m->constants.data[id];
  const struct dim_split *split = &sharding_of(m, whole)->dims[0];
  bool first = whole->rank > 0 && split->order == SPLIT_BLOCK &&
               (split->n_axes == 0 || c->dims[0] % (split->granule * places(m, whole, 0)) == 0);
  for (uint32_t d = 1; d < whole->rank; d++)
    first &= places(m, whole, d) == 1;
  return first;
}
