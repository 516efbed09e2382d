/* SPDX-License-Identifier: Apache-2.0 */
/* ai.onnx.ml without trees and support vectors: features and encoders, linear models. */
#include "frontend/onnx/import_ml.h"
#include "frontend/onnx/import_internal.h"
#include "frontend/onnx/import_string.h"
#include "frontend/onnx/import_util.h"

#include <math.h>
#include <string.h>

/* ---- features ---- */

static value_id as_f32(struct import_node *n, value_id x) { return build_cast(n->b, x, DTYPE_F32); }

/* An attribute with one number, or one per entry of the last dim of operand 0, as a constant that
 * broadcasts; `otherwise` where it is absent. */
static bool per_feature(struct import_node *n, const char *name, double otherwise, value_id *out) {
  struct ml_numbers list;
  uint32_t rank = import_rank(n, 0);
  bool given = ml_numbers(n, name, NULL, &list) && list.len;
  *out = build_scalar_f64(n->b, DTYPE_F32, given ? list.data[0] : otherwise);
  if (!given || list.len == 1)
    return !n->failed;
  int64_t dims[1] = {list.len};
  if (rank == 0 ||
      dim_known_ne(n->dims, import_dim(n, 0, rank - 1), dim_const(n->dims, list.len))) {
    import_invalid(n, "'%s' has %u entries, not one per feature", name, list.len);
    return false;
  }
  *out = ml_const(n, DTYPE_F32, list.data, dims, 1);
  return true;
}

void import_scaler(struct import_node *n) {
  value_id offset, scale;
  if (!import_arity(n, 1, 1, 1) || !per_feature(n, "offset", 0, &offset) ||
      !per_feature(n, "scale", 1, &scale))
    return;
  value_id x = value_sub(n->b, as_f32(n, import_in(n, 0)), offset);
  import_out(n, 0, value_mul(n->b, x, scale));
}

void import_binarizer(struct import_node *n) {
  double threshold = import_attr_float(n, "threshold", 0);
  if (!import_arity(n, 1, 1, 1))
    return;
  value_id x = import_in(n, 0);
  enum dtype dtype = import_dtype(n, 0), work = dtype_is_float(dtype) ? dtype : DTYPE_F64;
  value_id above = build_binary_f64(n->b, SCALAR_GT, build_cast(n->b, x, work), threshold);
  import_out(n, 0, build_cast(n->b, above, dtype));
}

/* Divides by what a norm gives for each row; rows of zeros stay. */
void import_normalizer(struct import_node *n) {
  const char *norm = import_attr_string(n, "norm", "MAX");
  if (!import_arity(n, 1, 1, 1))
    return;
  uint32_t rank = import_rank(n, 0);
  if (rank == 0) {
    import_invalid(n, "its operand is a scalar");
    return;
  }
  struct ints last = import_range(n, rank - 1, rank);
  value_id x = as_f32(n, import_in(n, 0)), by;
  if (!strcmp(norm, "MAX")) {
    by = import_reduce(n, x, last, COMBINER_MAX);
  } else if (!strcmp(norm, "L1")) {
    by = import_reduce(n, build_unary(n->b, SCALAR_ABS, x), last, COMBINER_SUM);
  } else if (!strcmp(norm, "L2")) {
    by = import_reduce(n, value_mul(n->b, x, x), last, COMBINER_SUM);
    by = build_unary(n->b, SCALAR_SQRT, by);
  } else {
    import_invalid(n, "norm is '%s'", norm);
    return;
  }
  value_id empty = build_binary_f64(n->b, SCALAR_EQ, by, 0);
  value_id safe = build_select(n->b, empty, build_scalar_f64(n->b, DTYPE_F32, 1), by);
  import_out(n, 0, value_div(n->b, x, safe));
}

/* Puts a number in the place of another, or of NaN. */
void import_imputer(struct import_node *n) {
  struct ml_numbers floats;
  struct ints ints;
  double replaced_float = import_attr_float(n, "replaced_value_float", 0);
  int64_t replaced_int = import_attr_int(n, "replaced_value_int64", 0);
  bool has_floats = ml_numbers(n, "imputed_value_floats", NULL, &floats) && floats.len;
  bool has_ints = import_attr_ints(n, "imputed_value_int64s", &ints) && ints.len;
  if (!import_arity(n, 1, 1, 1))
    return;
  enum dtype dtype = import_dtype(n, 0);
  uint32_t len = dtype_is_float(dtype) ? floats.len : ints.len, rank = import_rank(n, 0);
  if (!(dtype_is_float(dtype) ? has_floats : has_ints) || rank == 0 ||
      (len > 1 && dim_known_ne(n->dims, import_dim(n, 0, rank - 1), dim_const(n->dims, len)))) {
    import_invalid(n, "it has no values of its operand's type, or not one per feature");
    return;
  }
  int64_t dims[1] = {len};
  value_id x = import_in(n, 0), hit, with;
  if (dtype_is_float(dtype)) {
    hit = isnan(replaced_float) ? build_unary(n->b, SCALAR_ISNAN, x)
                                : build_binary_f64(n->b, SCALAR_EQ, x, replaced_float);
    with = ml_const(n, dtype, floats.data, dims, 1);
  } else {
    hit = build_binary_i64(n->b, SCALAR_EQ, x, replaced_int);
    with = ml_const_ints(n, dtype, ints.data, dims, 1);
  }
  import_out(n, 0, build_select(n->b, hit, with, x));
}

/* Columns of all operands side by side, each cut or filled with zeros to its number. */
void import_feature_vectorizer(struct import_node *n) {
  struct ints sizes;
  bool given = import_attr_ints(n, "inputdimensions", &sizes);
  if (!import_arity(n, 1, UINT32_MAX, 1))
    return;
  if (given && sizes.len != n->n_inputs) {
    import_invalid(n, "inputdimensions has %u entries for %u operands", sizes.len, n->n_inputs);
    return;
  }
  value_id *parts = ARENA_ARRAY(import_arena(n), value_id, n->n_inputs);
  dim zero = dim_const(n->dims, 0);
  for (uint32_t i = 0; i < n->n_inputs; i++) {
    struct type type = *import_type(n, i);
    value_id x = as_f32(n, import_in(n, i));
    if (type.rank != 1 && type.rank != 2) {
      import_invalid(n, "operand %u has rank %u", i, type.rank);
      return;
    }
    dim dims[2] = {type.dims[0], type.rank == 2 ? type.dims[1] : dim_const(n->dims, 1)};
    x = build_reshape(n->b, x, dims, 2);
    if (given && sizes.data[i] >= 0) {
      dim low[2] = {zero, zero}, high[2] = {zero, zero}, size = dim_const(n->dims, sizes.data[i]);
      high[1] = dim_max(n->dims, dim_sub(n->dims, size, dims[1]), zero);
      x = build_pad(n->b, x, build_scalar_f64(n->b, DTYPE_F32, 0), low, high, NULL);
      x = build_slice_axis(n->b, x, 1, zero, size);
    }
    parts[i] = x;
  }
  import_out(n, 0, build_concat(n->b, parts, n->n_inputs, 1));
}

/* Entries of the last dim; what is picked from a vector is a row. */
void import_array_feature_extractor(struct import_node *n) {
  if (!import_arity(n, 2, 2, 1))
    return;
  uint32_t rank = import_rank(n, 0);
  if (rank == 0) {
    import_invalid(n, "its operand is a scalar");
    return;
  }
  dim count = type_elements(n->dims, import_type(n, 1)), row[2] = {dim_const(n->dims, 1), count};
  value_id index = build_reshape(n->b, import_in(n, 1), &count, 1);
  value_id y = import_gather_axis(n, import_in(n, 0), build_cast(n->b, index, DTYPE_I64), rank - 1,
                                  OUT_OF_RANGE_ERROR);
  import_out(n, 0, rank == 1 ? build_reshape(n->b, y, row, 2) : y);
}

/* ---- encoders ---- */

/* x with a last dim of 1 more. */
static value_id with_column(struct import_node *n, value_id x) {
  if (x == VALUE_NONE)
    return x;
  int64_t axis = import_value_type(n, x)->rank;
  return build_unsqueeze(n->b, x, &axis, 1);
}

/* A value 0 per row that is an error at run time where `sound` is false. */
static value_id demand(struct import_node *n, value_id sound) {
  int64_t dims[1] = {1}, axis = 0;
  float zero = 0;
  value_id table = build_const_data(n->b, DTYPE_F32, dims, 1, &zero, sizeof zero);
  value_id index = build_select(n->b, sound, build_scalar_i64(n->b, DTYPE_I64, 0),
                                build_scalar_i64(n->b, DTYPE_I64, 1));
  return build_gather(n->b, table, &index, &axis, 1, OUT_OF_RANGE_ERROR);
}

void import_one_hot_encoder(struct import_node *n) {
  struct ints cats;
  bool zeros = import_attr_int(n, "zeros", 1) != 0;
  const struct str *names;
  uint32_t n_names = 0;
  bool given = import_attr_ints(n, "cats_int64s", &cats) && cats.len;
  bool named = !given && import_attr_strings(n, "cats_strings", &names, &n_names) && n_names;
  if (!given && !named) {
    import_fail(n, DIAG_E0143, "it has no categories");
    return;
  }
  if (!import_arity(n, 1, 1, 1))
    return;
  int64_t dims[1] = {cats.len};
  if (named != (import_dtype(n, 0) == DTYPE_STRING)) {
    import_invalid(n, "its operand is of %s", dtype_name(import_dtype(n, 0)));
    return;
  }
  value_id x = named ? import_in(n, 0) : build_cast(n->b, import_in(n, 0), DTYPE_I64);
  value_id list =
      named ? import_strings(n, names, n_names) : ml_const_ints(n, DTYPE_I64, cats.data, dims, 1);
  value_id hot = build_binary(n->b, SCALAR_EQ, with_column(n, x), list);
  value_id y = as_f32(n, hot);
  if (!zeros && hot != VALUE_NONE) {
    uint32_t rank = import_value_type(n, hot)->rank;
    value_id any = import_reduce(n, hot, import_range(n, rank - 1, rank), COMBINER_OR);
    y = value_add(n->b, y, demand(n, any));
  }
  import_out(n, 0, y);
}

struct encoding {
  struct ml_numbers float_keys, float_values;
  struct ints int_keys, int_values;
  const struct str *names, *name_values; /* instead of numbers */
  double float_default;
  int64_t int_default;
  struct str name_default;
  uint32_t keys, values;
  enum dtype result; /* of numbers: of values_tensor, if that has them */
};

/* The strings of an attribute, or of a tensor that is one; false if neither has any. */
static bool read_names(struct import_node *n, const char *strings, const char *tensor,
                       const struct str **out, uint32_t *out_n) {
  struct onnx_tensor view;
  if (import_attr_strings(n, strings, out, out_n) && *out_n)
    return true;
  const Onnx__TensorProto *t = import_attr_tensor(n, tensor);
  if (!t || t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__STRING)
    return false;
  if (onnx_tensor_resolve(n->im->model, t, n->im->diags, &view)) {
    n->failed = true;
    return false;
  }
  *out = view.strings;
  *out_n = (uint32_t)view.elements;
  return *out_n > 0;
}

/* A list attribute of either kind, or the tensor. The tensor's dtype tells which it is. */
static bool read_side(struct import_node *n, const char *ints, const char *floats,
                      const char *tensor, struct ints *out_ints, struct ml_numbers *out_floats,
                      uint32_t *out_len) {
  *out_floats = (struct ml_numbers){0};
  if (!ml_integers(n, ints, tensor, out_ints) && !ml_numbers(n, floats, tensor, out_floats))
    return false;
  *out_len = out_ints->data ? out_ints->len : out_floats->len;
  return *out_len > 0;
}

static bool read_encoding(struct import_node *n, struct encoding *e) {
  struct ml_numbers number;
  struct ints integer;
  e->float_default = import_attr_float(n, "default_float", -0.0);
  e->int_default = import_attr_int(n, "default_int64", -1);
  const Onnx__TensorProto *otherwise = import_attr_tensor(n, "default_tensor");
  bool number_default = otherwise && otherwise->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
  if (number_default && ml_integers(n, NULL, "default_tensor", &integer) && integer.len == 1)
    e->int_default = integer.data[0];
  else if (number_default && ml_numbers(n, NULL, "default_tensor", &number) && number.len == 1)
    e->float_default = number.data[0];
  const char *name = import_attr_string(n, "default_string", "_Unused");
  e->name_default = (struct str){name, strlen(name)};
  const struct str *names;
  uint32_t n_names;
  if (read_names(n, "", "default_tensor", &names, &n_names) && n_names == 1)
    e->name_default = names[0];
  bool keys = read_names(n, "keys_strings", "keys_tensor", &e->names, &e->keys) ||
              read_side(n, "keys_int64s", "keys_floats", "keys_tensor", &e->int_keys,
                        &e->float_keys, &e->keys);
  const Onnx__TensorProto *t = import_attr_tensor(n, "values_tensor");
  if (t && !import_dtype_of(n, t->data_type, &e->result))
    return false;
  bool values = read_names(n, "values_strings", "values_tensor", &e->name_values, &e->values) ||
                read_side(n, "values_int64s", "values_floats", "values_tensor", &e->int_values,
                          &e->float_values, &e->values);
  if (!keys || !values || e->keys != e->values) {
    if (!n->failed)
      import_invalid(n, "its keys and values are missing, or differ in number");
    return false;
  }
  return true;
}

/* The place of the first key that x equals, or the number of keys. */
static value_id find_key(struct import_node *n, const struct encoding *e) {
  int64_t dims[1] = {e->keys};
  value_id x = with_column(n, import_in(n, 0)), key, hit;
  if (x == VALUE_NONE)
    return x;
  uint32_t rank = import_value_type(n, x)->rank;
  if ((e->names != NULL) != (import_dtype(n, 0) == DTYPE_STRING)) {
    import_invalid(n, "its operand is of %s, its keys are not", dtype_name(import_dtype(n, 0)));
    return VALUE_NONE;
  }
  if (e->names) {
    hit = build_binary(n->b, SCALAR_EQ, x, import_strings(n, e->names, e->keys));
  } else if (e->int_keys.data) {
    key = ml_const_ints(n, DTYPE_I64, e->int_keys.data, dims, 1);
    hit = build_binary(n->b, SCALAR_EQ, build_cast(n->b, x, DTYPE_I64), key);
  } else {
    enum dtype work = import_dtype(n, 0) == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    key = ml_const(n, work, e->float_keys.data, dims, 1);
    x = build_cast(n->b, x, work);
    value_id nan = build_binary(n->b, SCALAR_AND, build_unary(n->b, SCALAR_ISNAN, x),
                                build_unary(n->b, SCALAR_ISNAN, key));
    hit = build_binary(n->b, SCALAR_OR, build_binary(n->b, SCALAR_EQ, x, key), nan);
  }
  dim columns[1] = {dim_const(n->dims, e->keys)};
  value_id place = build_select(n->b, hit, build_iota(n->b, DTYPE_I64, columns, 1, 0),
                                build_scalar_i64(n->b, DTYPE_I64, e->keys));
  int64_t last = (int64_t)rank - 1;
  place = build_reduce(n->b, place, &last, 1, COMBINER_MIN);
  return build_squeeze(n->b, place, &last, 1);
}

/* The value of the key that x equals, or the default. */
static value_id encode(struct import_node *n, const struct encoding *e) {
  int64_t dims[1] = {(int64_t)e->values + 1}, axis = 0;
  value_id table, place = find_key(n, e);
  if (e->name_values) {
    struct str *list = ARENA_ARRAY(import_arena(n), struct str, e->values + 1);
    memcpy(list, e->name_values, e->values * sizeof *list);
    list[e->values] = e->name_default;
    table = import_strings(n, list, e->values + 1);
  } else if (e->int_values.data) {
    int64_t *list = ARENA_ARRAY(import_arena(n), int64_t, e->values + 1);
    memcpy(list, e->int_values.data, e->values * sizeof *list);
    list[e->values] = e->int_default;
    table = ml_const_ints(n, DTYPE_I64, list, dims, 1);
  } else {
    double *list = ARENA_ARRAY(import_arena(n), double, e->values + 1);
    memcpy(list, e->float_values.data, e->values * sizeof *list);
    list[e->values] = e->float_default;
    table = ml_const(n, e->float_values.wide ? DTYPE_F64 : DTYPE_F32, list, dims, 1);
  }
  value_id y = build_gather(n->b, table, &place, &axis, 1, OUT_OF_RANGE_CLAMP);
  bool cast = e->result < DTYPE_COUNT && !e->name_values;
  return cast ? build_cast(n->b, y, e->result) : y;
}

void import_label_encoder(struct import_node *n) {
  struct encoding e = {.result = DTYPE_COUNT};
  if (read_encoding(n, &e) && import_arity(n, 1, 1, 1))
    import_out(n, 0, encode(n, &e));
}

/* Strings to integers, or back, by position in two lists. */
void import_category_mapper(struct import_node *n) {
  struct encoding e = {.result = DTYPE_COUNT,
                       .int_default = import_attr_int(n, "default_int64", -1)};
  const char *name = import_attr_string(n, "default_string", "_Unused");
  const struct str *names;
  uint32_t n_names;
  struct ints ints;
  e.name_default = (struct str){name, strlen(name)};
  if (!import_attr_strings(n, "cats_strings", &names, &n_names) ||
      !import_attr_ints(n, "cats_int64s", &ints) || ints.len != n_names || !n_names) {
    import_fail(n, DIAG_E0143, "its two lists are missing, or differ in length");
    return;
  }
  if (!import_arity(n, 1, 1, 1))
    return;
  e.keys = e.values = n_names;
  if (import_dtype(n, 0) == DTYPE_STRING) {
    e.names = names;
    e.int_values = ints;
  } else {
    e.int_keys = ints;
    e.name_values = names;
  }
  import_out(n, 0, encode(n, &e));
}

/* A list of maps from labels to columns: only outputs of the graph may be one. */
void import_zip_map(struct import_node *n) {
  struct ml_labels labels;
  if (!import_arity(n, 1, 1, 1) ||
      !ml_read_labels(n, "classlabels_int64s", "classlabels_strings", &labels))
    return;
  value_id x = ml_matrix(n, 0);
  if (x == VALUE_NONE)
    return;
  dim columns = import_value_type(n, x)->dims[1], count = dim_const(n->dims, labels.count);
  if (dim_known_ne(n->dims, columns, count)) {
    import_invalid(n, "%u labels for another number of columns", labels.count);
    return;
  }
  build_check(n->b, columns, RELATION_EQ, count, "the columns are not as many as the labels");
  struct import_value *items[2] = {import_value_tensor(n, x),
                                   import_value_tensor(n, ml_label_names(n, &labels))};
  import_out_value(n, 0, import_value_list(n, IMPORT_MAPS, items, 2));
}

/* ---- linear models ---- */

/* x [N, F] times the rows of a list of coefficients, plus intercepts: [N, rows]. */
static value_id linear_scores(struct import_node *n, const struct ml_numbers *coefficients,
                              const struct ml_numbers *intercepts, int64_t rows) {
  value_id x = ml_matrix(n, 0);
  if (x == VALUE_NONE)
    return x;
  const struct type *type = import_value_type(n, x);
  int64_t dims[2] = {rows, rows ? coefficients->len / rows : 0}, k = 1, row[2] = {1, rows};
  if (rows <= 0 || coefficients->len % rows || (intercepts->len && intercepts->len != rows) ||
      dim_known_ne(n->dims, type->dims[1], dim_const(n->dims, dims[1]))) {
    import_invalid(n, "%u coefficients and %u intercepts for %lld rows", coefficients->len,
                   intercepts->len, (long long)rows);
    return VALUE_NONE;
  }
  struct contract_attrs attrs = {.lhs_k = {&k, 1}, .rhs_k = {&k, 1}, .dtype = type->dtype};
  value_id w = ml_const(n, type->dtype, coefficients->data, dims, 2);
  build_check(n->b, type->dims[1], RELATION_EQ, dim_const(n->dims, dims[1]),
              "the number of features is not that of the coefficients");
  value_id y = build_contract(n->b, x, w, &attrs);
  if (intercepts->len)
    y = value_add(n->b, y, ml_const(n, type->dtype, intercepts->data, row, 2));
  return y;
}

void import_linear_regressor(struct import_node *n) {
  struct ml_numbers coefficients, intercepts;
  enum ml_transform transform;
  int64_t targets = import_attr_int(n, "targets", 1);
  ml_numbers(n, "intercepts", NULL, &intercepts);
  ml_numbers(n, "coefficients", NULL, &coefficients);
  if (!ml_read_transform(n, &transform) || !import_arity(n, 1, 1, 1))
    return;
  value_id y = linear_scores(n, &coefficients, &intercepts, targets);
  import_out(n, 0, as_f32(n, ml_transform(n, y, transform)));
}

/* One column of scores [N, 1]: the label is that of the second of two classes above the threshold.
 */
static void out_single(struct import_node *n, value_id score, double threshold, bool inclusive,
                       const struct ml_labels *labels) {
  struct ml_labels pair = *labels;
  int64_t *list = ARENA_ARRAY(import_arena(n), int64_t, 2);
  value_id above = build_binary_f64(n->b, inclusive ? SCALAR_GE : SCALAR_GT, score, threshold);
  dim rows = score == VALUE_NONE ? DIM_NONE : import_value_type(n, score)->dims[0];
  if (labels->ints.len == 1) {
    list[1] = labels->ints.data[0];
    pair.ints = (struct ints){list, 2};
  }
  pair.count = 2;
  ml_out_label(n, build_reshape(n->b, build_cast(n->b, above, DTYPE_I64), &rows, 1), &pair);
}

void import_linear_classifier(struct import_node *n) {
  struct ml_numbers coefficients, intercepts;
  struct ml_labels labels;
  enum ml_transform transform;
  import_attr_ignore(n, "multi_class"); /* what training did */
  ml_numbers(n, "coefficients", NULL, &coefficients);
  bool has = ml_numbers(n, "intercepts", NULL, &intercepts) && intercepts.len;
  if (!ml_read_transform(n, &transform) || !import_arity(n, 1, 1, 2) ||
      !ml_read_labels(n, "classlabels_ints", "classlabels_strings", &labels))
    return;
  int64_t rows = has ? intercepts.len : labels.count;
  value_id scores = linear_scores(n, &coefficients, &intercepts, rows);
  if (rows != 1 && rows != labels.count) {
    import_invalid(n, "%lld rows of coefficients for %u classes", (long long)rows, labels.count);
    return;
  }
  if (rows == 1 && labels.count <= 2) {
    value_id y = labels.count == 2 ? ml_two_classes(n, scores, false) : scores;
    bool centered = labels.count == 2 || transform == ML_TRANSFORM_NONE;
    y = ml_transform(n, y, transform);
    out_single(n, labels.count == 2 ? scores : y, centered ? 0 : 0.5, labels.count == 1, &labels);
    import_out(n, 1, as_f32(n, y));
    return;
  }
  ml_out_label(n, ml_best_class(n, scores), &labels);
  import_out(n, 1, as_f32(n, ml_transform(n, scores, transform)));
}
