/* SPDX-License-Identifier: Apache-2.0 */
/* SVMRegressor and SVMClassifier: kernels of rows by support vectors, then one product. */
#include "frontend/onnx/import_ml.h"
#include "frontend/onnx/import_util.h"

#include <string.h>

enum kernel { KERNEL_LINEAR, KERNEL_POLY, KERNEL_RBF, KERNEL_SIGMOID };
enum { MAX_CLASSES = 1024 };

struct svm {
  enum kernel kernel;
  double gamma, coef0, degree;
  struct ml_numbers coefficients, vectors, rho;
  enum ml_transform transform;
};

static bool read_svm(struct import_node *n, struct svm *s) {
  static const char *const kernels[] = {"LINEAR", "POLY", "RBF", "SIGMOID"};
  struct ml_numbers params;
  const char *name = import_attr_string(n, "kernel_type", "LINEAR");
  int known = -1;
  for (int i = 0; i < 4; i++)
    known = strcmp(name, kernels[i]) ? known : i;
  s->kernel = (enum kernel)known;
  if (ml_numbers(n, "kernel_params", NULL, &params) && params.len >= 3) {
    s->gamma = params.data[0];
    s->coef0 = params.data[1];
    s->degree = params.data[2];
  }
  ml_numbers(n, "support_vectors", NULL, &s->vectors);
  if (known < 0 || !ml_numbers(n, "coefficients", NULL, &s->coefficients) ||
      !ml_numbers(n, "rho", NULL, &s->rho) || !s->rho.len) {
    if (!n->failed)
      import_invalid(n, "kernel '%s', or coefficients or rho are missing", name);
    return false;
  }
  return ml_read_transform(n, &s->transform) && import_arity(n, 1, 1, 2);
}

/* x [N, K] times a constant [K, M]. */
static value_id times_const(struct import_node *n, value_id x, const double *data, int64_t k,
                            int64_t m) {
  int64_t dims[2] = {k, m}, x_k = 1, y_k = 0;
  if (x == VALUE_NONE)
    return x;
  enum dtype dtype = import_value_type(n, x)->dtype;
  struct contract_attrs attrs = {.lhs_k = {&x_k, 1}, .rhs_k = {&y_k, 1}, .dtype = dtype};
  return build_contract(n->b, x, ml_const(n, dtype, data, dims, 2), &attrs);
}

static value_id plus_rho(struct import_node *n, value_id x, const struct svm *s, int64_t m) {
  int64_t dims[2] = {1, m};
  if (x == VALUE_NONE)
    return x;
  return value_add(n->b, x, ml_const(n, import_value_type(n, x)->dtype, s->rho.data, dims, 2));
}

/* The kernel of each row of x with each of `count` support vectors: [N, count]. */
static value_id kernel_values(struct import_node *n, const struct svm *s, value_id x,
                              int64_t count) {
  struct builder *b = n->b;
  if (x == VALUE_NONE)
    return x;
  const struct type *type = import_value_type(n, x);
  int64_t dims[2] = {count, s->vectors.len / count}, k = 1, middle = 1, last = 2;
  if (s->vectors.len % count || dim_known_ne(n->dims, type->dims[1], dim_const(n->dims, dims[1]))) {
    import_invalid(n, "%u numbers for %lld support vectors", s->vectors.len, (long long)count);
    return VALUE_NONE;
  }
  build_check(b, type->dims[1], RELATION_EQ, dim_const(n->dims, dims[1]),
              "the number of features is not that of the support vectors");
  value_id v = ml_const(n, type->dtype, s->vectors.data, dims, 2);
  if (s->kernel == KERNEL_RBF) {
    value_id d = value_sub(b, build_unsqueeze(b, x, &middle, 1), v);
    d = build_squeeze(b, build_reduce(b, value_mul(b, d, d), &last, 1, COMBINER_SUM), &last, 1);
    return build_unary(b, SCALAR_EXP, build_binary_f64(b, SCALAR_MUL, d, -s->gamma));
  }
  struct contract_attrs attrs = {.lhs_k = {&k, 1}, .rhs_k = {&k, 1}, .dtype = type->dtype};
  value_id dot = build_contract(b, x, v, &attrs);
  if (s->kernel == KERNEL_LINEAR)
    return dot;
  dot = build_binary_f64(b, SCALAR_MUL, dot, s->gamma);
  dot = build_binary_f64(b, SCALAR_ADD, dot, s->coef0);
  return s->kernel == KERNEL_POLY ? build_binary_f64(b, SCALAR_POW, dot, s->degree)
                                  : build_unary(b, SCALAR_TANH, dot);
}

void import_svm_regressor(struct import_node *n) {
  struct svm s = {0};
  int64_t count = import_attr_int(n, "n_supports", 0);
  bool one_class = import_attr_int(n, "one_class", 0) != 0;
  int64_t targets = import_attr_int(n, "n_targets", 1);
  if (!read_svm(n, &s))
    return;
  if (targets != 1 || count < 0 || (count && s.coefficients.len != count)) {
    import_invalid(n, "%u coefficients for %lld support vectors and %lld targets",
                   s.coefficients.len, (long long)count, (long long)targets);
    return;
  }
  value_id x = ml_matrix(n, 0);
  value_id k = count ? kernel_values(n, &s, x, count) : x;
  value_id y = times_const(n, k, s.coefficients.data, s.coefficients.len, 1);
  y = plus_rho(n, y, &s, 1);
  if (one_class && y != VALUE_NONE) {
    enum dtype dtype = import_value_type(n, y)->dtype;
    y = build_select(n->b, build_binary_f64(n->b, SCALAR_GT, y, 0),
                     build_scalar_f64(n->b, dtype, 1), build_scalar_f64(n->b, dtype, -1));
  }
  import_out(n, 0, build_cast(n->b, ml_transform(n, y, s.transform), DTYPE_F32));
}

/* A score per pair of classes: those of each decide by the coefficients that it has against the
 * other. [support vectors, pairs]. */
static double *pair_weights(struct import_node *n, const struct svm *s, struct ints per_class,
                            int64_t vectors) {
  int64_t classes = per_class.len, pairs = classes * (classes - 1) / 2, pair = 0, at = 0;
  double *w = ARENA_ARRAY(import_arena(n), double, (size_t)(vectors * pairs));
  int64_t *first = ARENA_ARRAY(import_arena(n), int64_t, (size_t)classes);
  for (int64_t i = 0; i < classes; i++) {
    first[i] = at;
    at += per_class.data[i];
  }
  for (int64_t i = 0; i < classes; i++)
    for (int64_t j = i + 1; j < classes; j++, pair++) {
      for (int64_t v = first[i]; v < first[i] + per_class.data[i]; v++)
        w[v * pairs + pair] = s->coefficients.data[(j - 1) * vectors + v];
      for (int64_t v = first[j]; v < first[j] + per_class.data[j]; v++)
        w[v * pairs + pair] = s->coefficients.data[i * vectors + v];
    }
  return w;
}

/* Scores [N, pairs] to the class with the most votes. A score above 0 is one for the pair's first.
 */
static value_id most_votes(struct import_node *n, value_id scores, int64_t classes) {
  int64_t pairs = classes * (classes - 1) / 2, pair = 0, row[2] = {1, classes};
  double *gain = ARENA_ARRAY(import_arena(n), double, (size_t)(pairs * classes));
  double *start = ARENA_ARRAY(import_arena(n), double, (size_t)classes);
  for (int64_t i = 0; i < classes; i++)
    for (int64_t j = i + 1; j < classes; j++, pair++) {
      gain[pair * classes + i] = 1;
      gain[pair * classes + j] = -1; /* it has the vote otherwise */
      start[j]++;
    }
  value_id won = build_cast(n->b, build_binary_f64(n->b, SCALAR_GT, scores, 0), DTYPE_F32);
  value_id votes = times_const(n, won, gain, pairs, classes);
  return ml_best_class(n, value_add(n->b, votes, ml_const(n, DTYPE_F32, start, row, 2)));
}

static bool check_vectors(struct import_node *n, const struct svm *s, struct ints per_class,
                          uint32_t classes, int64_t *out_vectors) {
  int64_t vectors = 0;
  bool sound = per_class.len == classes && classes >= 2;
  for (uint32_t i = 0; sound && i < per_class.len; i++) {
    sound = per_class.data[i] >= 0 && per_class.data[i] <= (int64_t)s->vectors.len;
    vectors += per_class.data[i];
  }
  *out_vectors = vectors;
  if (sound && vectors > 0 && vectors <= (int64_t)s->vectors.len &&
      s->coefficients.len == (uint64_t)vectors * (classes - 1) &&
      s->rho.len == classes * (classes - 1) / 2)
    return true;
  import_invalid(n, "its numbers of vectors, coefficients and classes do not fit");
  return false;
}

void import_svm_classifier(struct import_node *n) {
  struct svm s = {0};
  struct ml_labels labels;
  struct ints per_class;
  int64_t vectors;
  bool support = import_attr_ints(n, "vectors_per_class", &per_class) && per_class.len;
  if (!read_svm(n, &s) || !ml_read_labels(n, "classlabels_ints", "classlabels_strings", &labels))
    return;
  if (labels.count > MAX_CLASSES || !support) {
    import_unsupported(n, "more than %d classes, or no support vectors", MAX_CLASSES);
    return;
  }
  if (!check_vectors(n, &s, per_class, labels.count, &vectors))
    return;
  int64_t pairs = s.rho.len;
  struct ml_numbers a, b;
  ml_numbers(n, "prob_a", NULL, &a);
  ml_numbers(n, "prob_b", NULL, &b);
  if (a.len != b.len || (a.len && a.len != pairs)) {
    import_invalid(n, "%u and %u numbers of probabilities for %lld pairs of classes", a.len, b.len,
                   (long long)pairs);
    return;
  }
  value_id k = kernel_values(n, &s, ml_matrix(n, 0), vectors);
  value_id scores = times_const(n, k, pair_weights(n, &s, per_class, vectors), vectors, pairs);
  scores = plus_rho(n, scores, &s, pairs);
  ml_out_label(n, most_votes(n, scores, labels.count), &labels);
  if (a.len)
    scores = ml_couple_pairs(n, scores, &a, &b, labels.count);
  else if (pairs == 1)
    scores = ml_two_classes(n, scores, false);
  import_out(n, 1, build_cast(n->b, ml_transform(n, scores, s.transform), DTYPE_F32));
}
