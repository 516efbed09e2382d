/* SPDX-License-Identifier: Apache-2.0 */
/* fuse, step 3: every cluster becomes a `fused` op; see fuse.c. */
#include "passes/fuse_region.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct build {
  struct fuse *s;
  struct builder b; /* inside the region */
  region_id inner;
  value_id *map; /* outer value -> inner value */
  uint32_t map_len;
  VEC(value_id) touched; /* of map, to be cleared */
  value_id *to;          /* by value of before: the result of a fused op that stands for it now */
  uint32_t to_len;
  VEC(value_id) operands;
  const struct cluster *cluster;
};

static void bind(struct build *w, value_id outer, value_id inner) {
  w->map[outer] = inner;
  vec_push(&w->touched, outer);
}

static value_id now(const struct build *w, value_id v) {
  return v < w->to_len && w->to[v] != VALUE_NONE ? w->to[v] : v;
}

/* Makes `v` available inside: a copy of what is inlined, a parameter for what is stored. */
static void take(struct build *w, value_id v) {
  if (v >= w->map_len) { /* the result of a fused op made before */
    uint32_t n = v * 2;
    w->map = mem_realloc(w->map, n * sizeof *w->map);
    memset(w->map + w->map_len, 0, (n - w->map_len) * sizeof *w->map);
    w->map_len = n;
  }
  if (w->map[v] != VALUE_NONE)
    return;
  if (now(w, v) != v) {
    take(w, now(w, v));
    bind(w, v, w->map[now(w, v)]);
    return;
  }
  struct function *f = w->s->f;
  op_id def = function_value(f, v)->def;
  bool local = def != OP_ID_NONE && def < w->s->uses_ops && w->s->inlined[def];
  if (!local) {
    struct type type = *value_type(f, v);
    bind(w, v, region_add_param(f, w->inner, &type, NULL));
    vec_push(&w->operands, v);
    return;
  }
  for (uint32_t i = 0; i < function_op(f, def)->n_operands; i++) {
    take(w, function_op(f, def)->operands[i]);
  }
  op_id copy = op_clone(&w->b, f, def, w->map);
  for (uint32_t i = 0; i < function_op(f, copy)->n_results; i++) {
    vec_push(&w->touched, function_op(f, def)->results[i]);
  }
}

static bool used_outside(const struct fuse *s, value_id v, uint32_t cluster) {
  for (uint32_t u = s->uses.start[v]; u < s->uses.start[v + 1]; u++) {
    op_id user = s->uses.ops[u];
    if (user == OP_ID_NONE || s->cluster_of[user] != cluster)
      return true;
  }
  return false;
}

/* The outside values that the fused op replaces, in order of definition. */
static void find_results(struct build *w, uint32_t cluster, value_id **out, uint32_t *out_n) {
  struct function *f = w->s->f;
  VEC(value_id) results = {0};
  for (uint32_t i = 0; i < w->cluster->ops.len; i++) {
    const struct op *op = function_op(f, w->cluster->ops.data[i]);
    for (uint32_t j = 0; j < op->n_results; j++) {
      /* Ops with results of their own schedule write all of them. */
      bool all = w->cluster->ops.len == 1 && op->n_results > 1;
      if (all || used_outside(w->s, op->results[j], cluster))
        vec_push(&results, op->results[j]);
    }
  }
  *out = results.data;
  *out_n = results.len;
}

static int by_position(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void clone_ops(struct build *w) {
  struct function *f = w->s->f;
  uint32_t n = w->cluster->ops.len;
  uint64_t *order = mem_alloc((n + 1) * sizeof *order);
  for (uint32_t i = 0; i < n; i++) {
    op_id id = w->cluster->ops.data[i];
    order[i] = (uint64_t)w->s->position[id] << 32 | id;
  }
  qsort(order, n, sizeof *order, by_position);
  for (uint32_t i = 0; i < n; i++) {
    op_id id = (op_id)order[i];
    for (uint32_t j = 0; j < function_op(f, id)->n_operands; j++) {
      take(w, function_op(f, id)->operands[j]);
    }
    op_clone(&w->b, f, id, w->map);
    for (uint32_t j = 0; j < function_op(f, id)->n_results; j++) {
      vec_push(&w->touched, function_op(f, id)->results[j]);
    }
  }
  mem_free(order);
}

static status build_one(struct build *w, uint32_t cluster) {
  struct function *f = w->s->f;
  w->cluster = &w->s->clusters.data[cluster];
  w->operands.len = 0;
  w->inner = region_create(f);
  builder_init(&w->b, f, w->inner, w->s->diags);
  clone_ops(w);
  value_id *results;
  uint32_t n;
  find_results(w, cluster, &results, &n);
  for (uint32_t i = 0; i < n; i++) {
    vec_push(&function_region(f, w->inner)->results, w->map[results[i]]);
  }
  struct builder outer;
  builder_init(&outer, f, w->s->region, w->s->diags);
  outer.provenance = function_op(f, w->cluster->ops.data[0])->provenance;
  struct fused_attrs attrs = {.root = w->cluster->root};
  op_id op = n ? build_op(&outer, OP_FUSED, w->operands.data, w->operands.len, &w->inner, 1, &attrs)
               : OP_ID_NONE;
  for (uint32_t i = 0; i < n && op != OP_ID_NONE; i++) {
    w->to[results[i]] = op_result(f, op, i);
  }
  mem_free(results);
  for (uint32_t i = 0; i < w->touched.len; i++)
    w->map[w->touched.data[i]] = VALUE_NONE;
  w->touched.len = 0;
  return w->b.failures || outer.failures ? STATUS_INTERNAL : STATUS_OK;
}

/* In every use, at once: one by one would be a walk over the function for each. */
static void replace_results(struct build *w) {
  struct function *f = w->s->f;
  for (op_id id = 1; id < f->ops.len; id++) {
    /* Operand lists are the function's own. */
    value_id *operands = (value_id *)f->ops.data[id].operands;
    for (uint32_t i = 0; i < f->ops.data[id].n_operands; i++)
      operands[i] = now(w, operands[i]);
  }
  for (region_id r = 0; r < f->regions.len; r++) {
    struct region *region = function_region(f, r);
    for (uint32_t i = 0; i < region->results.len; i++)
      region->results.data[i] = now(w, region->results.data[i]);
  }
}

status fuse_build_regions(struct fuse *s) {
  struct build w = {.s = s};
  s->uses_ops = s->f->ops.len;
  w.map_len = s->f->values.len;
  w.map = mem_calloc(w.map_len, sizeof *w.map);
  w.to_len = w.map_len;
  w.to = mem_calloc(w.to_len, sizeof *w.to);
  status st = STATUS_OK;
  for (uint32_t i = 0; i < s->clusters.len && st == STATUS_OK; i++)
    st = build_one(&w, i);
  replace_results(&w);
  vec_deinit(&w.touched);
  vec_deinit(&w.operands);
  mem_free(w.map);
  mem_free(w.to);
  return st;
}
