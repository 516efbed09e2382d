/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of factors; what the factors of an op are is in ir/ops. */
#include "ir/factor.h"

#include <string.h>

/* Strings are numbers in a table that each rank has for itself, so no rank can take another's. */
static bool has_strings(const struct function *f, const struct op *op) {
  for (uint32_t i = 0; i < op->n_operands; i++)
    if (value_type(f, op->operands[i])->dtype == DTYPE_STRING)
      return true;
  for (uint32_t i = 0; i < op->n_results; i++)
    if (value_type(f, op->results[i])->dtype == DTYPE_STRING)
      return true;
  return false;
}

void factors_of(const struct function *f, const struct op *op, struct arena *arena,
                struct factor_list *out) {
  out->arena = arena;
  out->n_operands = op->n_operands;
  out->n_results = op->n_results;
  vec_clear(&out->factors);
  if (op_infos[op->kind].hooks && op_infos[op->kind].hooks->factors && !has_strings(f, op))
    op_infos[op->kind].hooks->factors(f, op, out);
}

const struct factor *factor_find(const struct factor_list *list, const char *name, uint32_t index) {
  for (uint32_t i = 0; i < list->factors.len; i++)
    if (list->factors.data[i].index == index && !strcmp(list->factors.data[i].name, name))
      return &list->factors.data[i];
  return NULL;
}

bool factor_dim_split(const struct factor_map *map, int64_t extent, const struct axis_ref *axes,
                      uint32_t n_axes, int64_t parts, enum split_order order, int64_t block,
                      struct dim_split *out) {
  if (n_axes > SHARDING_MAX_AXES_PER_DIM || n_axes == 0 || map->dim == FACTOR_WHOLE)
    return false;
  *out = (struct dim_split){.n_axes = n_axes, .granule = map->granule, .order = order};
  memcpy(out->axes, axes, n_axes * sizeof *axes);
  if (order == SPLIT_INTERLEAVED)
    out->block = block * map->granule;
  if (map->outer <= 1)
    return true;
  /* Equal blocks of every group, dealt round-robin, are the same part of each. */
  if (order != SPLIT_BLOCK || extent % parts != 0 || extent == 0)
    return false;
  out->order = SPLIT_INTERLEAVED;
  out->block = extent / parts * map->granule;
  return true;
}

static struct factor_map *whole_maps(struct arena *arena, uint32_t n) {
  struct factor_map *maps = ARENA_ARRAY(arena, struct factor_map, n);
  for (uint32_t i = 0; i < n; i++)
    maps[i] = (struct factor_map){FACTOR_WHOLE, 1, 1};
  return maps;
}

struct factor *factor_add(struct factor_list *out, const char *name, dim extent) {
  struct factor x = {.name = name, .extent = extent};
  for (uint32_t i = 0; i < out->factors.len; i++)
    x.index += !strcmp(out->factors.data[i].name, name);
  x.operands = whole_maps(out->arena, out->n_operands);
  x.results = whole_maps(out->arena, out->n_results);
  vec_push(&out->factors, x);
  return &out->factors.data[out->factors.len - 1];
}

struct factor *factor_add_contracted(struct factor_list *out, const char *name, dim extent,
                                     enum partial_kind kind) {
  struct factor *x = factor_add(out, name, extent);
  x->kind = FACTOR_CONTRACTED;
  x->partial = kind;
  return x;
}

void factor_operand(struct factor *x, uint32_t operand, uint32_t d) {
  x->operands[operand].dim = (uint8_t)d;
}

void factor_result(struct factor *x, uint32_t result, uint32_t d) {
  x->results[result].dim = (uint8_t)d;
}

void factor_drop(struct factor_list *out) { out->factors.len--; }

bool factor_broadcast(const struct function *f, const struct op *op, struct factor *x,
                      uint32_t operand, uint32_t d, dim size) {
  struct dim_table *t = f->module->dims;
  dim has = value_type(f, op->operands[operand])->dims[d];
  if (dim_known_eq(t, has, size))
    factor_operand(x, operand, d);
  else if (!dim_is_const_value(t, has, 1))
    return false;
  return true;
}

void factors_same_dims(const struct function *f, const struct op *op, uint32_t keep,
                       struct factor_list *out) {
  const struct type *type = value_type(f, op->results[0]);
  for (uint32_t d = 0; d < type->rank; d++) {
    if (!(keep >> d & 1))
      continue;
    struct factor *x = factor_add(out, "dim", type->dims[d]);
    x->index = d;
    bool known = true;
    for (uint32_t i = 0; known && i < op->n_operands; i++)
      known = factor_broadcast(f, op, x, i, d, type->dims[d]);
    for (uint32_t i = 0; i < op->n_results; i++)
      factor_result(x, i, d);
    if (!known)
      factor_drop(out);
  }
}
