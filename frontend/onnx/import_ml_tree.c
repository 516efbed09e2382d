/* SPDX-License-Identifier: Apache-2.0 */
/* TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble: their attributes as one form of
 * ensemble, and what becomes of the leaves that the walk ends in. */
#include "frontend/onnx/import_ml.h"
#include "frontend/onnx/import_util.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TABLE = 1 << 28 }; /* entries of a table of leaf weights */

enum aggregate { AGGREGATE_AVERAGE, AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

/* ---- nodes of the operators that name nodes by tree and number ---- */

struct named_nodes {
  struct ints trees, nodes; /* the names, one pair per node */
  struct map tree_number;   /* tree ids to 0, 1, ... */
  struct map index;         /* tree number and node id to place */
};

/* The place of a node; false if there is none. */
static bool find_node(const struct named_nodes *names, int64_t tree, int64_t node, uint64_t *out) {
  uint64_t number;
  return node >= 0 && node <= UINT32_MAX && map_get(&names->tree_number, (uint64_t)tree, &number) &&
         map_get(&names->index, number << 32 | (uint64_t)node, out);
}

static bool name_nodes(struct import_node *n, struct named_nodes *names, struct tree_ensemble *e) {
  e->roots = ARENA_ARRAY(import_arena(n), uint32_t, names->trees.len);
  for (uint32_t i = 0; i < names->trees.len; i++) {
    uint64_t number, known;
    uint64_t tree = (uint64_t)names->trees.data[i];
    if (!map_get(&names->tree_number, tree, &number)) {
      number = e->n_roots;
      map_put(&names->tree_number, tree, number);
      e->roots[e->n_roots++] = i; /* a tree's first node is its root */
    }
    if (find_node(names, names->trees.data[i], names->nodes.data[i], &known) ||
        names->nodes.data[i] < 0 || names->nodes.data[i] > UINT32_MAX) {
      import_invalid(n, "node %lld of tree %lld exists twice, or is out of range",
                     (long long)names->nodes.data[i], (long long)names->trees.data[i]);
      return false;
    }
    map_put(&names->index, number << 32 | (uint64_t)names->nodes.data[i], i);
  }
  return true;
}

static bool mode_of(struct import_node *n, struct str text, enum tree_mode *out) {
  static const char *const known[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE", "BRANCH_GT",
                                      "BRANCH_EQ",  "BRANCH_NEQ", NULL,         "LEAF"};
  for (int i = 0; i <= TREE_LEAF; i++)
    if (known[i] && str_eq_c(text, known[i])) {
      *out = (enum tree_mode)i;
      return true;
    }
  import_invalid(n, "a node has the mode '%.*s'", (int)(text.len < 40 ? text.len : 40), text.data);
  return false;
}

static bool link_nodes(struct import_node *n, const struct named_nodes *names, struct ints yes,
                       struct ints no, struct tree_ensemble *e) {
  for (uint32_t i = 0; i < e->n_nodes; i++) {
    uint64_t to[2];
    if (e->nodes[i].mode == TREE_LEAF)
      continue;
    if (!find_node(names, names->trees.data[i], yes.data[i], &to[0]) ||
        !find_node(names, names->trees.data[i], no.data[i], &to[1])) {
      import_invalid(n, "node %lld of tree %lld leads to a node that does not exist",
                     (long long)names->nodes.data[i], (long long)names->trees.data[i]);
      return false;
    }
    e->nodes[i].yes = (uint32_t)to[0];
    e->nodes[i].no = (uint32_t)to[1];
  }
  return true;
}

/* A leaf has the number of its node. */
static void mark_leaves(struct tree_ensemble *e) {
  for (uint32_t i = 0; i < e->n_nodes; i++) {
    struct tree_node *node = &e->nodes[i];
    if (node->mode == TREE_LEAF)
      continue;
    if (e->nodes[node->yes].mode == TREE_LEAF)
      node->yes |= TREE_LEAF_BIT;
    if (e->nodes[node->no].mode == TREE_LEAF)
      node->no |= TREE_LEAF_BIT;
  }
  for (uint32_t i = 0; i < e->n_roots; i++)
    if (e->nodes[e->roots[i]].mode == TREE_LEAF)
      e->roots[i] |= TREE_LEAF_BIT;
  e->n_leaves = e->n_nodes;
}

static bool read_named(struct import_node *n, struct named_nodes *names, struct tree_ensemble *e) {
  struct ints feature, yes, no, missing;
  struct ml_numbers value;
  const struct str *modes;
  uint32_t n_modes;
  import_attr_ignore(n, "nodes_hitrates"); /* how often nodes were visited */
  import_attr_ignore(n, "nodes_hitrates_as_tensor");
  import_attr_ints(n, "nodes_missing_value_tracks_true", &missing);
  if (!import_attr_ints(n, "nodes_treeids", &names->trees) ||
      !import_attr_ints(n, "nodes_nodeids", &names->nodes) ||
      !import_attr_ints(n, "nodes_featureids", &feature) ||
      !import_attr_ints(n, "nodes_truenodeids", &yes) ||
      !import_attr_ints(n, "nodes_falsenodeids", &no) ||
      !import_attr_strings(n, "nodes_modes", &modes, &n_modes) ||
      !ml_numbers(n, "nodes_values", "nodes_values_as_tensor", &value)) {
    if (!n->failed)
      import_fail(n, DIAG_E0143, "an attribute that describes nodes is missing");
    return false;
  }
  uint32_t count = names->trees.len;
  if (names->nodes.len != count || feature.len != count || yes.len != count || no.len != count ||
      n_modes != count || value.len != count || (missing.len && missing.len != count)) {
    import_invalid(n, "the attributes that describe nodes differ in length");
    return false;
  }
  e->nodes = ARENA_ARRAY(import_arena(n), struct tree_node, count);
  e->n_nodes = count;
  e->wide = value.wide;
  for (uint32_t i = 0; i < count; i++) {
    e->nodes[i].feature = feature.data[i];
    e->nodes[i].value = value.data[i];
    e->nodes[i].missing = missing.len && missing.data[i];
    if (!mode_of(n, modes[i], &e->nodes[i].mode))
      return false;
  }
  if (!name_nodes(n, names, e) || !link_nodes(n, names, yes, no, e))
    return false;
  mark_leaves(e);
  return true;
}

/* ---- weights of leaves ---- */

struct weights {
  double *table; /* [leaves, targets] */
  uint32_t targets;
  bool wide;
  bool one_target;   /* all weights are of one target, `target` */
  bool all_positive; /* >= 0 */
  uint32_t target;
};

/* Attributes <prefix>_treeids, _nodeids, _ids, _weights: what leaves give to targets. Leaves give
 * `otherwise` to targets that they do not name. */
static bool read_weights(struct import_node *n, const struct named_nodes *names, const char *prefix,
                         const struct tree_ensemble *e, double otherwise, struct weights *w) {
  struct ints trees, nodes, ids;
  struct ml_numbers weight;
  struct arena *a = import_arena(n);
  if (!import_attr_ints(n, arena_printf(a, "%s_treeids", prefix), &trees) ||
      !import_attr_ints(n, arena_printf(a, "%s_nodeids", prefix), &nodes) ||
      !import_attr_ints(n, arena_printf(a, "%s_ids", prefix), &ids) ||
      !ml_numbers(n, arena_printf(a, "%s_weights", prefix),
                  arena_printf(a, "%s_weights_as_tensor", prefix), &weight)) {
    if (!n->failed)
      import_fail(n, DIAG_E0143, "an attribute that describes leaves is missing");
    return false;
  }
  if (nodes.len != trees.len || ids.len != trees.len || weight.len != trees.len) {
    import_invalid(n, "the attributes that describe leaves differ in length");
    return false;
  }
  if ((uint64_t)e->n_leaves * w->targets > MAX_TABLE) {
    import_unsupported(n, "%u leaves with %u targets", e->n_leaves, w->targets);
    return false;
  }
  w->table = ARENA_ARRAY(a, double, (size_t)e->n_leaves * w->targets);
  for (size_t i = 0; otherwise != 0 && i < (size_t)e->n_leaves * w->targets; i++)
    w->table[i] = otherwise;
  w->wide = weight.wide;
  w->one_target = w->all_positive = true;
  for (uint32_t i = 0; i < trees.len; i++) {
    uint64_t at;
    if (ids.data[i] < 0 || ids.data[i] >= w->targets ||
        !find_node(names, trees.data[i], nodes.data[i], &at)) {
      import_invalid(n, "a weight of node %lld of tree %lld for target %lld, which do not exist",
                     (long long)nodes.data[i], (long long)trees.data[i], (long long)ids.data[i]);
      return false;
    }
    double *cell = &w->table[at * w->targets + (uint64_t)ids.data[i]];
    *cell = *cell == otherwise ? weight.data[i] : *cell + weight.data[i];
    w->one_target &= ids.data[i] == ids.data[0];
    w->all_positive &= weight.data[i] >= 0;
    w->target = (uint32_t)ids.data[0];
  }
  return true;
}

/* What all trees give: leaf i32 [N, trees] and a table [leaves, targets] as [N, targets]. */
static value_id aggregate_leaves(struct import_node *n, value_id leaf, const double *table,
                                 uint32_t leaves, uint32_t targets, enum dtype dtype,
                                 enum aggregate how) {
  if (leaf == VALUE_NONE)
    return leaf;
  int64_t dims[2] = {leaves, targets}, axis = 0, trees = 1;
  const struct type *type = import_value_type(n, leaf);
  dim out[2] = {type->dims[0], dim_const(n->dims, targets)};
  value_id w = ml_const(n, dtype, table, dims, targets == 1 ? 1 : 2);
  value_id each = build_gather(n->b, w, &leaf, &axis, 1, OUT_OF_RANGE_CLAMP);
  enum combiner kind = how == AGGREGATE_MIN   ? COMBINER_MIN
                       : how == AGGREGATE_MAX ? COMBINER_MAX
                                              : COMBINER_SUM;
  value_id sum = build_reshape(n->b, build_reduce(n->b, each, &trees, 1, kind), out, 2);
  if (how == AGGREGATE_AVERAGE)
    sum = value_div(n->b, sum, import_dim_scalar(n, type->dims[1], dtype));
  /* A target that no leaf gives anything to has nothing to compare. */
  if (how == AGGREGATE_MIN || how == AGGREGATE_MAX) {
    value_id none = build_scalar_f64(n->b, dtype, how == AGGREGATE_MIN ? INFINITY : -INFINITY);
    sum = build_select(n->b, build_binary(n->b, SCALAR_EQ, sum, none),
                       build_scalar_f64(n->b, dtype, 0), sum);
  }
  return sum;
}

static double nothing_of(enum aggregate how) {
  return how == AGGREGATE_MIN ? INFINITY : how == AGGREGATE_MAX ? -INFINITY : 0;
}

/* ---- the operators ---- */

static void tree_regressor(struct import_node *n, struct named_nodes *names) {
  static const char *const aggregates[] = {"AVERAGE", "SUM", "MIN", "MAX"};
  struct tree_ensemble e = {0};
  struct ml_numbers base;
  struct weights w = {0};
  enum ml_transform transform;
  int how = -1;
  int64_t targets = import_attr_int(n, "n_targets", 1);
  const char *name = import_attr_string(n, "aggregate_function", "SUM");
  for (int i = 0; i < 4; i++)
    how = strcmp(name, aggregates[i]) ? how : i;
  if (how < 0 || targets < 1 || targets > MAX_TABLE) {
    import_invalid(n, "aggregate '%s' for %lld targets", name, (long long)targets);
    return;
  }
  w.targets = (uint32_t)targets;
  bool has_base = ml_numbers(n, "base_values", "base_values_as_tensor", &base);
  if (!ml_read_transform(n, &transform) || !import_arity(n, 1, 1, 1) || !read_named(n, names, &e) ||
      !read_weights(n, names, "target", &e, nothing_of((enum aggregate)how), &w))
    return;
  if (has_base && base.len && base.len != w.targets) {
    import_invalid(n, "%u base values for %u targets", base.len, w.targets);
    return;
  }
  value_id leaf = ml_walk_trees(n, ml_matrix(n, 0), &e);
  enum dtype dtype = w.wide || e.wide ? DTYPE_F64 : DTYPE_F32;
  value_id y =
      aggregate_leaves(n, leaf, w.table, e.n_leaves, w.targets, dtype, (enum aggregate)how);
  int64_t row[2] = {1, targets};
  if (has_base && base.len)
    y = value_add(n->b, y, ml_const(n, dtype, base.data, row, 2));
  import_out(n, 0, build_cast(n->b, ml_transform(n, y, transform), DTYPE_F32));
}

/* Scores of one column stand for the second of two classes. */
static void binary_scores(struct import_node *n, value_id score, const struct weights *w,
                          enum ml_transform transform, const struct ml_labels *labels) {
  bool plain = transform == ML_TRANSFORM_NONE || transform == ML_TRANSFORM_PROBIT;
  bool probability = plain && w->all_positive;
  value_id above = build_binary_f64(n->b, SCALAR_GT, score, probability ? 0.5 : 0);
  dim rows = score == VALUE_NONE ? DIM_NONE : import_value_type(n, score)->dims[0];
  value_id index = build_reshape(n->b, build_cast(n->b, above, DTYPE_I64), &rows, 1);
  ml_out_label(n, index, labels);
  value_id both = ml_two_classes(n, score, probability);
  import_out(n, 1, build_cast(n->b, ml_transform(n, both, transform), DTYPE_F32));
}

/* One label: its class against 0. */
static void second_label(struct import_node *n, struct ml_labels *labels) {
  int64_t *pair = ARENA_ARRAY(import_arena(n), int64_t, 2);
  pair[1] = labels->ints.len ? labels->ints.data[0] : 0;
  labels->ints.data = pair;
  labels->ints.len = labels->ints.len ? 2 : 0;
  labels->count = 2;
}

static void tree_classifier(struct import_node *n, struct named_nodes *names) {
  struct tree_ensemble e = {0};
  struct ml_numbers base;
  struct ml_labels labels;
  struct weights w = {0};
  enum ml_transform transform;
  bool has_base = ml_numbers(n, "base_values", "base_values_as_tensor", &base);
  if (!ml_read_transform(n, &transform) || !import_arity(n, 1, 1, 2) ||
      !ml_read_labels(n, "classlabels_int64s", "classlabels_strings", &labels) ||
      !read_named(n, names, &e))
    return;
  w.targets = labels.count;
  if (!read_weights(n, names, "class", &e, 0, &w))
    return;
  if (has_base && base.len != labels.count && base.len > 1) {
    import_invalid(n, "%u base values for %u classes", base.len, labels.count);
    return;
  }
  enum dtype dtype = w.wide || e.wide ? DTYPE_F64 : DTYPE_F32;
  value_id leaf = ml_walk_trees(n, ml_matrix(n, 0), &e);
  value_id scores = aggregate_leaves(n, leaf, w.table, e.n_leaves, w.targets, dtype, AGGREGATE_SUM);
  if (w.targets <= 2 && w.one_target) {
    dim at = dim_const(n->dims, w.target), one = dim_const(n->dims, 1);
    if (w.targets == 2)
      scores = build_slice_axis(n->b, scores, 1, at, one);
    else
      second_label(n, &labels);
    if (has_base && base.len)
      scores = build_binary_f64(n->b, SCALAR_ADD, scores, base.data[base.len == 2 ? w.target : 0]);
    binary_scores(n, scores, &w, transform, &labels);
    return;
  }
  int64_t row[2] = {1, base.len};
  if (has_base && base.len)
    scores = value_add(n->b, scores, ml_const(n, dtype, base.data, row, 2));
  ml_out_label(n, ml_best_class(n, scores), &labels);
  import_out(n, 1, build_cast(n->b, ml_transform(n, scores, transform), DTYPE_F32));
}

/* arg 0: regressor, 1: classifier. */
void import_named_trees(struct import_node *n) {
  struct named_nodes names = {0};
  map_init(&names.tree_number);
  map_init(&names.index);
  if (n->arg)
    tree_classifier(n, &names);
  else
    tree_regressor(n, &names);
  map_deinit(&names.tree_number);
  map_deinit(&names.index);
}

/* ---- TreeEnsemble ---- */

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The next set of `values` from *at on, up to a NaN: sorted, without doubles. */
static void read_set(const struct ml_numbers *values, uint32_t *at, struct tree_ensemble *e,
                     struct tree_node *node) {
  uint32_t first = *at, kept = first;
  while (*at < values->len && !isnan(values->data[*at]))
    e->members[*at] = values->data[*at], (*at)++;
  if (*at > first)
    qsort(e->members + first, *at - first, sizeof *e->members, compare_doubles);
  for (uint32_t i = first; i < *at; i++)
    if (kept == first || e->members[i] != e->members[kept - 1])
      e->members[kept++] = e->members[i];
  node->first_member = first;
  node->n_members = kept - first;
  *at += *at < values->len;
}

static bool read_sets(struct import_node *n, struct tree_ensemble *e) {
  struct ml_numbers values;
  uint32_t at = 0;
  bool given = ml_numbers(n, NULL, "membership_values", &values);
  e->members = ARENA_ARRAY(import_arena(n), double, given ? values.len : 0);
  for (uint32_t i = 0; i < e->n_nodes; i++) {
    if (e->nodes[i].mode != TREE_MEMBER)
      continue;
    if (!given || at >= values.len) {
      import_invalid(n, "membership_values has no set for node %u", i);
      return false;
    }
    read_set(&values, &at, e, &e->nodes[i]);
  }
  return !n->failed;
}

static uint32_t reference_of(int64_t id, int64_t leaf) {
  if (id < 0 || id >= (int64_t)TREE_LEAF_BIT)
    return TREE_LEAF_BIT - 1; /* refused where references are checked */
  return (uint32_t)id | (leaf ? TREE_LEAF_BIT : 0);
}

static bool read_ensemble(struct import_node *n, struct tree_ensemble *e) {
  struct ints roots, modes, feature, yes, no, yes_leaf, no_leaf, missing;
  struct ml_numbers split;
  import_attr_ignore(n, "nodes_hitrates");
  import_attr_ints(n, "nodes_missing_value_tracks_true", &missing);
  if (!import_attr_ints(n, "tree_roots", &roots) ||
      !import_attr_ints(n, "nodes_featureids", &feature) ||
      !import_attr_ints(n, "nodes_truenodeids", &yes) ||
      !import_attr_ints(n, "nodes_falsenodeids", &no) ||
      !import_attr_ints(n, "nodes_trueleafs", &yes_leaf) ||
      !import_attr_ints(n, "nodes_falseleafs", &no_leaf) ||
      !ml_integers(n, NULL, "nodes_modes", &modes) ||
      !ml_numbers(n, NULL, "nodes_splits", &split)) {
    if (!n->failed)
      import_fail(n, DIAG_E0143, "an attribute that describes nodes is missing");
    return false;
  }
  uint32_t count = feature.len;
  if (yes.len != count || no.len != count || yes_leaf.len != count || no_leaf.len != count ||
      modes.len != count || split.len != count || (missing.len && missing.len != count)) {
    import_invalid(n, "the attributes that describe nodes differ in length");
    return false;
  }
  e->nodes = ARENA_ARRAY(import_arena(n), struct tree_node, count);
  e->n_nodes = count;
  e->wide = split.wide;
  for (uint32_t i = 0; i < count; i++) {
    if (modes.data[i] < 0 || modes.data[i] > TREE_MEMBER) {
      import_invalid(n, "node %u has mode %lld", i, (long long)modes.data[i]);
      return false;
    }
    e->nodes[i] = (struct tree_node){.mode = (enum tree_mode)modes.data[i],
                                     .missing = missing.len && missing.data[i],
                                     .feature = feature.data[i],
                                     .value = split.data[i],
                                     .yes = reference_of(yes.data[i], yes_leaf.data[i]),
                                     .no = reference_of(no.data[i], no_leaf.data[i])};
  }
  e->roots = ARENA_ARRAY(import_arena(n), uint32_t, roots.len);
  e->n_roots = roots.len;
  for (uint32_t i = 0; i < roots.len; i++) {
    e->roots[i] = reference_of(roots.data[i], 0);
    const struct tree_node *root = e->roots[i] < count ? &e->nodes[e->roots[i]] : NULL;
    /* A tree that is one leaf: both ways of its root lead there. */
    if (root && root->yes == root->no && (root->yes & TREE_LEAF_BIT))
      e->roots[i] = root->yes;
  }
  return read_sets(n, e);
}

void import_tree_ensemble(struct import_node *n) {
  struct tree_ensemble e = {0};
  struct ml_numbers weight;
  struct ints target;
  int64_t how = import_attr_int(n, "aggregate_function", AGGREGATE_SUM);
  int64_t targets = import_attr_int(n, "n_targets", 1);
  int64_t transform = import_attr_int(n, "post_transform", ML_TRANSFORM_NONE);
  if (how < 0 || how > AGGREGATE_MAX || transform < 0 || transform > ML_TRANSFORM_PROBIT ||
      targets < 1 || targets > MAX_TABLE) {
    import_invalid(n, "aggregate %lld, transform %lld, %lld targets", (long long)how,
                   (long long)transform, (long long)targets);
    return;
  }
  if (!import_arity(n, 1, 1, 1) || !read_ensemble(n, &e))
    return;
  if (!ml_numbers(n, NULL, "leaf_weights", &weight) ||
      !import_attr_ints(n, "leaf_targetids", &target) || weight.len != target.len) {
    import_invalid(n, "leaf_weights and leaf_targetids are missing, or differ in length");
    return;
  }
  e.n_leaves = weight.len;
  if ((uint64_t)weight.len * (uint64_t)targets > MAX_TABLE) {
    import_unsupported(n, "%u leaves with %lld targets", weight.len, (long long)targets);
    return;
  }
  double *table = ARENA_ARRAY(import_arena(n), double, (size_t)weight.len *(size_t)targets);
  for (size_t i = 0; i < (size_t)weight.len * (size_t)targets; i++)
    table[i] = nothing_of((enum aggregate)how);
  for (uint32_t i = 0; i < weight.len; i++) {
    if (target.data[i] < 0 || target.data[i] >= targets) {
      import_invalid(n, "leaf %u gives to target %lld", i, (long long)target.data[i]);
      return;
    }
    table[(size_t)i * (size_t)targets + (size_t)target.data[i]] = weight.data[i];
  }
  value_id leaf = ml_walk_trees(n, ml_matrix(n, 0), &e);
  enum dtype dtype = e.wide || weight.wide ? DTYPE_F64 : DTYPE_F32;
  value_id y =
      aggregate_leaves(n, leaf, table, e.n_leaves, (uint32_t)targets, dtype, (enum aggregate)how);
  import_out(
      n, 0, build_cast(n->b, ml_transform(n, y, (enum ml_transform)transform), import_dtype(n, 0)));
}
