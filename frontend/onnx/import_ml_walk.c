/* SPDX-License-Identifier: Apache-2.0 */
/* Tree ensembles as tables, walked by gathers: all trees and rows go one level down per step.
 *
 * Every decision becomes `x[feature] <= value`, so that one comparison serves all modes:
 *
 * - x < v is x <= (the float before v); x >= v and x > v swap the branches, and with them what NaN
 *   does
 * - x == v and membership of a set are binary searches among the floats where the answer changes:
 *   v and the float before it, for each v. The searches share their branches, so that the tables
 *   stay linear in the model's size
 *
 * A leaf's branches lead back to itself, so that shorter trees wait for longer ones. */
#include "frontend/onnx/import_ml.h"
#include "frontend/onnx/import_steps.h"
#include "frontend/onnx/import_util.h"

#include <math.h>
#include <string.h>

enum {
  MAX_STEPS = 4096,  /* depth of a tree */
  MAX_UNROLLED = 16, /* steps that are written out; more are a loop */
};

/* The tables, and how far their walk goes. */
struct walk {
  VEC(int32_t) feature;
  VEC(double) value;
  VEC(uint8_t) missing;
  VEC(int32_t) next; /* two per row: where the comparison fails, where it holds */
  VEC(int32_t) leaf; /* -1 for decisions */
  VEC(uint32_t) depth;
  uint32_t *row_of_node, *row_of_leaf; /* UINT32_MAX: none yet */
  VEC(uint32_t) pending;               /* nodes whose rows are to be made */
  uint32_t deepest;
  bool any_missing;
};

static void walk_deinit(struct walk *w) {
  vec_deinit(&w->feature);
  vec_deinit(&w->value);
  vec_deinit(&w->missing);
  vec_deinit(&w->next);
  vec_deinit(&w->leaf);
  vec_deinit(&w->depth);
  vec_deinit(&w->pending);
}

static uint32_t add_row(struct walk *w, int32_t feature, double value, bool missing,
                        uint32_t depth) {
  uint32_t row = w->feature.len;
  vec_push(&w->feature, feature);
  vec_push(&w->value, value);
  vec_push(&w->missing, missing);
  vec_push(&w->leaf, -1);
  vec_push(&w->next, (int32_t)row);
  vec_push(&w->next, (int32_t)row);
  vec_push(&w->depth, depth);
  w->any_missing |= missing;
  return row;
}

static void deepen(struct walk *w, uint32_t row, uint32_t depth) {
  if (w->depth.data[row] < depth)
    w->depth.data[row] = depth;
  if (w->deepest < depth)
    w->deepest = depth;
}

/* The row of a node or leaf; the rows of a node are made later. */
static uint32_t row_of(struct walk *w, uint32_t reference, uint32_t depth) {
  bool leaf = reference & TREE_LEAF_BIT;
  uint32_t at = reference & ~TREE_LEAF_BIT;
  uint32_t *row = leaf ? &w->row_of_leaf[at] : &w->row_of_node[at];
  if (*row == UINT32_MAX) {
    *row = add_row(w, 0, (double)NAN, false, depth);
    if (leaf)
      w->leaf.data[*row] = (int32_t)at;
    else
      vec_push(&w->pending, at);
  }
  deepen(w, *row, depth);
  return *row;
}

static double before(const struct tree_ensemble *e, double v) {
  if (v == -INFINITY)
    return (double)NAN; /* nothing is at or below it */
  return e->wide ? nextafter(v, -INFINITY) : (double)nextafterf((float)v, -INFINITY);
}

static void link_row(struct walk *w, uint32_t row, uint32_t no, uint32_t yes) {
  w->next.data[2 * (size_t)row] = (int32_t)no;
  w->next.data[2 * (size_t)row + 1] = (int32_t)yes;
}

/* A search of the places lo .. hi - 1 of 2 * count, where place 2 k is the float before set[k] and
 * 2 k + 1 is set[k]. Reaching the gap before an odd place is to be a member. `row` is the one to
 * fill in, or UINT32_MAX. */
struct search {
  const double *set;
  uint32_t count;
  bool missing;
  int32_t feature;
  uint32_t yes, no; /* references */
};

static uint32_t add_search(struct walk *w, const struct tree_ensemble *e, const struct search *s,
                           uint32_t lo, uint32_t hi, uint32_t row, uint32_t depth) {
  if (lo == hi)
    return row_of(w, lo % 2 ? s->yes : s->no, depth);
  uint32_t middle = lo + (hi - lo) / 2;
  double v = s->set[middle / 2];
  /* NaN goes right, which ends outside; to end inside it goes left at the last place only. */
  bool missing = s->missing && middle + 1 == 2 * s->count;
  v = middle % 2 ? v : before(e, v);
  if (row == UINT32_MAX)
    row = add_row(w, s->feature, v, missing, depth);
  w->feature.data[row] = s->feature;
  w->value.data[row] = v;
  w->missing.data[row] = missing;
  w->any_missing |= missing;
  uint32_t no = add_search(w, e, s, middle + 1, hi, UINT32_MAX, depth + 1);
  uint32_t yes = add_search(w, e, s, lo, middle, UINT32_MAX, depth + 1);
  link_row(w, row, no, yes);
  return row;
}

static void expand(struct walk *w, const struct tree_ensemble *e, uint32_t at) {
  const struct tree_node *node = &e->nodes[at];
  uint32_t row = w->row_of_node[at], depth = w->depth.data[row];
  bool swap = node->mode == TREE_GTE || node->mode == TREE_GT || node->mode == TREE_NEQ;
  struct search s = {.set = &node->value,
                     .count = 1,
                     .missing = node->missing,
                     .feature = (int32_t)node->feature,
                     .yes = swap ? node->no : node->yes,
                     .no = swap ? node->yes : node->no};
  if (node->mode == TREE_MEMBER) {
    s.set = e->members + node->first_member;
    s.count = node->n_members;
  }
  /* What NaN does: after a swap it is the other branch; x != NaN always holds. */
  if (swap)
    s.missing = node->mode != TREE_NEQ && !node->missing;
  bool search = node->mode == TREE_EQ || node->mode == TREE_NEQ || node->mode == TREE_MEMBER;
  if (search && s.count) {
    add_search(w, e, &s, 0, 2 * s.count, row, depth);
    return;
  }
  bool strict = node->mode == TREE_LT || node->mode == TREE_GTE;
  w->feature.data[row] = s.feature;
  w->value.data[row] = search ? (double)NAN : strict ? before(e, node->value) : node->value;
  w->missing.data[row] = s.missing;
  w->any_missing |= s.missing;
  uint32_t no = row_of(w, s.no, depth + 1), yes = row_of(w, s.yes, depth + 1);
  link_row(w, row, no, yes);
}

/* Nodes and roots must be referred to once at most, so that what is reached from roots are trees.
 */
static bool are_trees(struct import_node *n, const struct tree_ensemble *e) {
  uint8_t *seen = ARENA_ARRAY(import_arena(n), uint8_t, e->n_nodes);
  uint64_t references = e->n_roots + 2 * (uint64_t)e->n_nodes;
  for (uint64_t i = 0; i < references; i++) {
    uint64_t child = i - e->n_roots;
    const struct tree_node *node = i < e->n_roots ? NULL : &e->nodes[child / 2];
    if (node && node->mode == TREE_LEAF)
      continue;
    uint32_t reference = !node ? e->roots[i] : child % 2 ? node->yes : node->no;
    uint32_t at = reference & ~TREE_LEAF_BIT;
    bool leaf = reference & TREE_LEAF_BIT;
    if (at >= (leaf ? e->n_leaves : e->n_nodes) || (!leaf && seen[at]++)) {
      import_invalid(n, "its nodes do not form trees (at node %u)", at);
      return false;
    }
  }
  return true;
}

static bool make_rows(struct import_node *n, struct walk *w, const struct tree_ensemble *e,
                      int64_t *roots) {
  w->row_of_node = ARENA_ARRAY(import_arena(n), uint32_t, e->n_nodes);
  w->row_of_leaf = ARENA_ARRAY(import_arena(n), uint32_t, e->n_leaves);
  memset(w->row_of_node, 0xff, e->n_nodes * sizeof *w->row_of_node);
  memset(w->row_of_leaf, 0xff, e->n_leaves * sizeof *w->row_of_leaf);
  for (uint32_t i = 0; i < e->n_roots; i++)
    roots[i] = row_of(w, e->roots[i], 0);
  /* In order of depth within a tree, since a node is pending once its parent is expanded. */
  for (uint32_t i = 0; i < w->pending.len; i++)
    expand(w, e, w->pending.data[i]);
  if (w->feature.len > INT32_MAX / 2 || w->deepest > MAX_STEPS) {
    import_unsupported(n, "a tree of depth %u", w->deepest);
    return false;
  }
  return true;
}

/* ---- the walk as ops ---- */

struct tables {
  value_id x, row; /* [N, F], [N, 1] */
  value_id feature, value, missing, next;
  enum out_of_range mode; /* of features */
};

static value_id look_up(struct import_node *n, value_id table, value_id index) {
  int64_t axis = 0;
  return build_gather(n->b, table, &index, &axis, 1, OUT_OF_RANGE_CLAMP);
}

static value_id step(struct import_node *n, const struct tables *t, value_id at) {
  int64_t axes[2] = {0, 1};
  value_id place[2] = {t->row, look_up(n, t->feature, at)};
  value_id x = build_gather(n->b, t->x, place, axes, 2, t->mode);
  value_id below = build_binary(n->b, SCALAR_LE, x, look_up(n, t->value, at));
  if (t->missing != VALUE_NONE) {
    value_id nan = build_unary(n->b, SCALAR_ISNAN, x);
    nan = build_binary(n->b, SCALAR_AND, nan, look_up(n, t->missing, at));
    below = build_binary(n->b, SCALAR_OR, below, nan);
  }
  value_id pair = build_binary_i64(n->b, SCALAR_MUL, at, 2);
  return look_up(n, t->next, value_add(n->b, pair, build_cast(n->b, below, DTYPE_I32)));
}

static void walk_step(struct import_node *n, void *user, value_id number, const value_id *at,
                      value_id *out) {
  (void)number;
  out[0] = step(n, user, at[0]);
}

static value_id int_table(struct import_node *n, const int32_t *data, uint32_t len) {
  int64_t dims[1] = {len};
  return build_const_data(n->b, DTYPE_I32, dims, 1, data, (uint64_t)len * sizeof *data);
}

static value_id walk_rows(struct import_node *n, value_id x, const struct tree_ensemble *e,
                          const struct walk *w, const int64_t *roots) {
  const struct type *type = import_value_type(n, x);
  int64_t rows[1] = {w->value.len}, features, trees[2] = {1, e->n_roots};
  struct tables t = {.x = x, .mode = OUT_OF_RANGE_ERROR};
  bool known = dim_is_const(n->dims, type->dims[1], &features);
  for (uint32_t i = 0; known && w->deepest && i < w->feature.len; i++)
    if (w->feature.data[i] >= features) {
      import_invalid(n, "it looks at feature %d of %lld", w->feature.data[i], (long long)features);
      return VALUE_NONE;
    }
  if (known)
    t.mode = OUT_OF_RANGE_CLAMP;
  dim dims[2] = {type->dims[0], dim_const(n->dims, 1)},
      all[2] = {dims[0], dim_const(n->dims, trees[1])};
  t.row = build_iota(n->b, DTYPE_I64, dims, 2, 0);
  t.feature = int_table(n, w->feature.data, w->feature.len);
  t.value = ml_const(n, type->dtype, w->value.data, rows, 1);
  t.next = int_table(n, w->next.data, w->next.len);
  if (w->any_missing)
    t.missing = build_const_data(n->b, DTYPE_BOOL, rows, 1, w->missing.data, w->missing.len);
  value_id at = ml_const_ints(n, DTYPE_I32, roots, trees, 2);
  at = build_broadcast(n->b, at, all, 2);
  if (w->deepest > MAX_UNROLLED)
    import_steps(n, dim_const(n->dims, w->deepest), &at, 1, 0, walk_step, &t, &at);
  for (uint32_t i = 0; w->deepest <= MAX_UNROLLED && i < w->deepest; i++)
    at = step(n, &t, at);
  return look_up(n, int_table(n, w->leaf.data, w->leaf.len), at);
}

value_id ml_walk_trees(struct import_node *n, value_id x, const struct tree_ensemble *e) {
  struct walk w = {0};
  value_id leaf = VALUE_NONE;
  if (x == VALUE_NONE)
    return x;
  if (!e->n_roots) {
    import_invalid(n, "it has no trees");
    return VALUE_NONE;
  }
  if (e->n_nodes >= INT32_MAX / 4 || e->n_leaves >= INT32_MAX / 4 || !are_trees(n, e)) {
    if (!n->failed)
      import_unsupported(n, "%u nodes", e->n_nodes);
    return VALUE_NONE;
  }
  for (uint32_t i = 0; i < e->n_nodes; i++)
    if (e->nodes[i].mode != TREE_LEAF &&
        (e->nodes[i].feature < 0 || e->nodes[i].feature > INT32_MAX)) {
      import_invalid(n, "node %u looks at feature %lld", i, (long long)e->nodes[i].feature);
      return VALUE_NONE;
    }
  int64_t *roots = ARENA_ARRAY(import_arena(n), int64_t, e->n_roots);
  if (make_rows(n, &w, e, roots))
    leaf = walk_rows(n, e->wide ? build_cast(n->b, x, DTYPE_F64) : x, e, &w, roots);
  walk_deinit(&w);
  return leaf;
}
