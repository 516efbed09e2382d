/* SPDX-License-Identifier: Apache-2.0 */
/* What the importers of ai.onnx.ml share: numbers in attributes, post transforms, class labels, and
 * tree ensembles as tables. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_ML_H
#define SINTER_FRONTEND_ONNX_IMPORT_ML_H

#include "frontend/onnx/import_build.h"

/* ---- numbers in attributes ---- */

struct ml_numbers {
  const double *data; /* NULL where len is 0 */
  uint32_t len;
  bool wide; /* a tensor of f64 */
};

/* The list attribute `floats`, or where there is none the attribute `tensor`, of any numeric dtype;
 * either name may be NULL. False where both are absent, or failed. */
bool ml_numbers(struct import_node *n, const char *floats, const char *tensor,
                struct ml_numbers *out);
/* The same for integers. */
bool ml_integers(struct import_node *n, const char *ints, const char *tensor, struct ints *out);

/* A constant of the given shape. */
value_id ml_const(struct import_node *n, enum dtype dtype, const double *data, const int64_t *dims,
                  uint32_t rank);
value_id ml_const_ints(struct import_node *n, enum dtype dtype, const int64_t *data,
                       const int64_t *dims, uint32_t rank);

/* Operand i as a matrix of f32 or (where it is f64) f64; a vector is one row. Fails other ranks. */
value_id ml_matrix(struct import_node *n, uint32_t i);

/* ---- what goes after scores ---- */

enum ml_transform {
  ML_TRANSFORM_NONE,
  ML_TRANSFORM_SOFTMAX,
  ML_TRANSFORM_LOGISTIC,
  ML_TRANSFORM_SOFTMAX_ZERO,
  ML_TRANSFORM_PROBIT,
};
/* Attribute post_transform. */
bool ml_read_transform(struct import_node *n, enum ml_transform *out);
/* On scores [N, C], along C. */
value_id ml_transform(struct import_node *n, value_id scores, enum ml_transform kind);

struct ml_labels {
  struct ints ints; /* len 0 where the labels are strings */
  const struct str *names;
  uint32_t count;
};
/* At least one label. */
bool ml_read_labels(struct import_node *n, const char *ints, const char *strings,
                    struct ml_labels *out);
/* All labels, i64 or strings [C]. */
value_id ml_label_names(struct import_node *n, const struct ml_labels *labels);
/* Output 0: the labels of classes [N]. */
void ml_out_label(struct import_node *n, value_id index, const struct ml_labels *labels);
/* The class of the greatest score of [N, C], lowest of equals: i64 [N]. */
value_id ml_best_class(struct import_node *n, value_id scores);
/* x [N, 1] as [low(x), x], where low(x) is -x, or 1 - x if `probability`. */
value_id ml_two_classes(struct import_node *n, value_id x, bool probability);

/* Scores of pairs of classes [N, pairs], (0, 1), (0, 2), ... (1, 2), ..., as probabilities of the
 * classes, f32 [N, classes]; a and b have a number per pair. import_ml_pairs.c */
value_id ml_couple_pairs(struct import_node *n, value_id scores, const struct ml_numbers *a,
                         const struct ml_numbers *b, int64_t classes);

/* ---- trees ---- */

/* How a node decides; TreeEnsemble's codes. */
enum tree_mode { TREE_LEQ, TREE_LT, TREE_GTE, TREE_GT, TREE_EQ, TREE_NEQ, TREE_MEMBER, TREE_LEAF };

/* A reference to a node or, with this bit, to a leaf. */
#define TREE_LEAF_BIT UINT32_C(0x80000000)

struct tree_node {
  enum tree_mode mode;
  bool missing; /* NaN takes the true branch */
  int64_t feature;
  double value;
  uint32_t yes, no;                 /* references */
  uint32_t first_member, n_members; /* TREE_MEMBER: in `members`, sorted, without NaN */
};
struct tree_ensemble {
  struct tree_node *nodes;
  uint32_t n_nodes;
  uint32_t *roots; /* references */
  uint32_t n_roots;
  double *members;
  uint32_t n_leaves; /* leaves are 0 .. n_leaves - 1 */
  bool wide;         /* values are f64 */
};

/* Walks all trees from x [N, F]: the leaf that each ends in, i32 [N, trees]. Fails the node where
 * the references do not form trees. */
value_id ml_walk_trees(struct import_node *n, value_id x, const struct tree_ensemble *e);

#endif
