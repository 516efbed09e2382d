/* SPDX-License-Identifier: Apache-2.0 */
/* Small graphs that several importers build. */
#include "frontend/onnx/import_build.h"

#include <inttypes.h>

value_id import_dim_scalar(struct import_node *n, dim d, enum dtype dtype) {
  int64_t x;
  if (d == DIM_NONE)
    return VALUE_NONE;
  if (dim_is_const(n->dims, d, &x))
    return dtype_is_float(dtype) ? build_scalar_f64(n->b, dtype, (double)x)
                                 : build_scalar_i64(n->b, dtype, x);
  return build_cast(n->b, build_reshape(n->b, build_dims(n->b, &d, 1), NULL, 0), dtype);
}

dim import_dims_product(struct import_node *n, value_id x, struct ints axes) {
  dim d = dim_const(n->dims, 1);
  for (uint32_t i = 0; x != VALUE_NONE && i < axes.len; i++)
    d = dim_mul(n->dims, d, value_type(n->f, x)->dims[axes.data[i]]);
  return d;
}

struct ints import_range(struct import_node *n, uint32_t first, uint32_t last) {
  uint32_t len = last > first ? last - first : 0;
  int64_t *list = ARENA_ARRAY(import_arena(n), int64_t, len);
  for (uint32_t i = 0; i < len; i++)
    list[i] = first + i;
  return (struct ints){list, len};
}

/* ---- reductions ---- */

value_id import_reduce(struct import_node *n, value_id x, struct ints axes, enum combiner kind) {
  return axes.len ? build_reduce(n->b, x, axes.data, axes.len, kind) : x;
}

value_id import_reduce_mean(struct import_node *n, value_id x, struct ints axes) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  value_id count =
      import_dim_scalar(n, import_dims_product(n, x, axes), value_type(n->f, x)->dtype);
  return build_binary(n->b, SCALAR_DIV, import_reduce(n, x, axes, COMBINER_SUM), count);
}

static value_id exp_of_shifted(struct import_node *n, value_id x, struct ints axes,
                               value_id *out_shifted) {
  value_id max = import_reduce(n, x, axes, COMBINER_MAX);
  *out_shifted = build_binary(n->b, SCALAR_SUB, x, max);
  return build_unary(n->b, SCALAR_EXP, *out_shifted);
}

value_id import_softmax_over(struct import_node *n, value_id x, struct ints axes) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  enum dtype dtype = value_type(n->f, x)->dtype;
  value_id shifted,
      e = exp_of_shifted(n, build_cast(n->b, x, dtype_compute(dtype)), axes, &shifted);
  value_id y = build_binary(n->b, SCALAR_DIV, e, import_reduce(n, e, axes, COMBINER_SUM));
  return build_cast(n->b, y, dtype);
}

value_id import_log_softmax_over(struct import_node *n, value_id x, struct ints axes) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  enum dtype dtype = value_type(n->f, x)->dtype;
  value_id shifted,
      e = exp_of_shifted(n, build_cast(n->b, x, dtype_compute(dtype)), axes, &shifted);
  value_id sum = build_unary(n->b, SCALAR_LOG, import_reduce(n, e, axes, COMBINER_SUM));
  return build_cast(n->b, build_binary(n->b, SCALAR_SUB, shifted, sum), dtype);
}

/* ---- normalization ---- */

value_id import_along_axis(struct import_node *n, value_id x, uint32_t rank, uint32_t axis) {
  if (x == VALUE_NONE || value_type(n->f, x)->rank == 0)
    return x;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < rank; i++)
    dims[i] = dim_const(n->dims, 1);
  dims[axis] = type_elements(n->dims, value_type(n->f, x));
  return build_reshape(n->b, x, dims, rank);
}

static value_id inverse_root(struct import_node *n, value_id variance, double epsilon) {
  if (variance == VALUE_NONE)
    return VALUE_NONE;
  value_id root =
      build_unary(n->b, SCALAR_SQRT, build_binary_f64(n->b, SCALAR_ADD, variance, epsilon));
  value_id one = build_scalar_f64(n->b, value_type(n->f, variance)->dtype, 1);
  return build_binary(n->b, SCALAR_DIV, one, root);
}

value_id import_normalize(struct import_node *n, value_id x, struct ints axes, double epsilon,
                          value_id *out_mean, value_id *out_inverse) {
  value_id mean = import_reduce_mean(n, x, axes);
  value_id centered = build_binary(n->b, SCALAR_SUB, x, mean);
  value_id variance =
      import_reduce_mean(n, build_binary(n->b, SCALAR_MUL, centered, centered), axes);
  value_id inverse = inverse_root(n, variance, epsilon);
  if (out_mean)
    *out_mean = mean;
  if (out_inverse)
    *out_inverse = inverse;
  return build_binary(n->b, SCALAR_MUL, centered, inverse);
}

value_id import_rms_normalize(struct import_node *n, value_id x, struct ints axes, double epsilon,
                              value_id *out_inverse) {
  value_id square = import_reduce_mean(n, build_binary(n->b, SCALAR_MUL, x, x), axes);
  value_id inverse = inverse_root(n, square, epsilon);
  if (out_inverse)
    *out_inverse = inverse;
  return build_binary(n->b, SCALAR_MUL, x, inverse);
}

/* ---- choices at run time ---- */

/* The type of a result of two branches; false if dtype or rank differ. */
static bool join_types(struct import_node *n, const struct type *a, const struct type *b,
                       struct type *out) {
  if (a->dtype != b->dtype || a->rank != b->rank)
    return false;
  *out = *a;
  for (uint32_t i = 0; i < a->rank; i++)
    if (!dim_known_eq(n->dims, a->dims[i], b->dims[i]))
      out->dims[i] = import_fresh_dim(n, "d");
  return true;
}

static bool finish_region(struct import_node *n, region_id r, const value_id *values,
                          uint32_t n_values) {
  for (uint32_t i = 0; i < n_values; i++) {
    if (values[i] == VALUE_NONE)
      return false;
    vec_push(&function_region(n->f, r)->results, values[i]);
  }
  return true;
}

struct choice {
  struct import_node *n;
  value_id selector;
  uint32_t n_cases, n_results;
  import_case_fn *build;
  void *user;
};

static bool build_choice(const struct choice *c, uint32_t which, value_id *out);

static bool build_branch(const struct choice *c, uint32_t which, bool rest, region_id region,
                         value_id *out) {
  struct import_node *n = c->n;
  region_id outer = n->b->region;
  bool sound = true;
  n->b->region = region;
  if (rest)
    sound = build_choice(c, which, out);
  else
    c->build(n, c->user, which, out);
  n->b->region = outer;
  return finish_region(n, region, out, c->n_results) && sound;
}

static bool build_choice(const struct choice *c, uint32_t which, value_id *out) {
  struct import_node *n = c->n;
  if (which + 1 == c->n_cases) {
    c->build(n, c->user, which, out);
    return !n->failed;
  }
  value_id condition = build_binary_i64(n->b, SCALAR_EQ, c->selector, which);
  region_id regions[2] = {region_create(n->f), region_create(n->f)};
  value_id *one = ARENA_ARRAY(import_arena(n), value_id, c->n_results);
  struct type *types = ARENA_ARRAY(import_arena(n), struct type, c->n_results);
  if (!build_branch(c, which, false, regions[0], one) ||
      !build_branch(c, which + 1, true, regions[1], out))
    return false;
  for (uint32_t i = 0; i < c->n_results; i++)
    if (!join_types(n, value_type(n->f, one[i]), value_type(n->f, out[i]), &types[i])) {
      import_unsupported(n, "its result has a rank or type that depends on run-time values");
      return false;
    }
  struct if_attrs attrs = {.types = {types, c->n_results}};
  op_id op = build_op(n->b, OP_IF, &condition, 1, regions, 2, &attrs);
  for (uint32_t i = 0; i < c->n_results; i++)
    out[i] = op_result(n->f, op, i);
  return op != OP_ID_NONE;
}

bool import_switch(struct import_node *n, value_id selector, uint32_t n_cases,
                   import_case_fn *build, void *user, uint32_t n_results, value_id *out_results) {
  struct choice c = {n, selector, n_cases, n_results, build, user};
  if (selector == VALUE_NONE || n_cases == 0)
    return false;
  if (n_cases > IMPORT_MAX_CASES) {
    import_unsupported(n, "a run-time value leaves more than %d cases", IMPORT_MAX_CASES);
    return false;
  }
  return build_choice(&c, 0, out_results);
}

/* ---- axes at run time ---- */

struct axes_choice {
  import_axes_fn *build;
  void *user;
  struct ints *sets; /* one per case */
};

static void build_axes_case(struct import_node *n, void *user, uint32_t which, value_id *out) {
  struct axes_choice *c = user;
  c->build(n, c->user, c->sets[which], out);
}

/* The axes as a bit set, a rank 0 i64; their range is checked at run time. */
static value_id axes_mask(struct import_node *n, uint32_t i, uint32_t rank) {
  struct dims symbols;
  uint32_t symbol;
  if (!import_dims_or_symbols(n, i, "axes", &symbols))
    return VALUE_NONE;
  value_id mask = build_scalar_i64(n->b, DTYPE_I64, 0);
  for (uint32_t j = 0; j < symbols.len; j++) {
    if (dim_symbol_of(n->dims, symbols.data[j], &symbol))
      dim_symbol(n->dims, dim_symbol_name(n->dims, symbol), -(int64_t)rank, (int64_t)rank - 1);
    dim axis = dim_mod(n->dims, symbols.data[j], dim_const(n->dims, rank));
    value_id bit = build_binary(n->b, SCALAR_SHL, build_scalar_i64(n->b, DTYPE_I64, 1),
                                import_dim_scalar(n, axis, DTYPE_I64));
    mask = build_binary(n->b, SCALAR_OR, mask, bit);
  }
  return mask;
}

static uint32_t choices(uint32_t rank, uint32_t len) {
  uint64_t c = 1;
  for (uint32_t i = 0; i < len; i++)
    c = c * (rank - i) / (i + 1);
  return c > UINT32_MAX ? UINT32_MAX : (uint32_t)c;
}

/* All sets of `len` axes, in ascending order of their masks, which out_index maps to 0, 1, ... */
static uint32_t list_sets(struct import_node *n, uint32_t rank, uint32_t len, struct ints *sets,
                          int64_t *masks) {
  uint32_t k = 0;
  for (uint32_t mask = 0; mask < 1u << rank; mask++) {
    if ((uint32_t)__builtin_popcount(mask) != len)
      continue;
    int64_t *axes = ARENA_ARRAY(import_arena(n), int64_t, len);
    for (uint32_t axis = 0, j = 0; axis < rank; axis++)
      if (mask >> axis & 1)
        axes[j++] = axis;
    masks[k] = mask;
    sets[k++] = (struct ints){axes, len};
  }
  return k;
}

/* The index of a mask in the list: the sum of the indices of all that equal it. */
static value_id index_of_mask(struct import_node *n, value_id mask, const int64_t *masks,
                              uint32_t count) {
  value_id index = build_scalar_i64(n->b, DTYPE_I64, 0);
  for (uint32_t k = 1; k < count; k++) {
    value_id hit = build_cast(n->b, build_binary_i64(n->b, SCALAR_EQ, mask, masks[k]), DTYPE_I64);
    index = build_binary(n->b, SCALAR_ADD, index, build_binary_i64(n->b, SCALAR_MUL, hit, k));
  }
  return index;
}

bool import_with_axes(struct import_node *n, uint32_t i, uint32_t rank, import_axes_fn *build,
                      void *user, uint32_t n_results, value_id *out_results) {
  struct ints axes = {0};
  int64_t len = 0;
  if (!import_has(n, i) || import_const_ints_get(n, i, &axes)) {
    if (!import_axes(n, axes, rank, true, &axes))
      return false;
    build(n, user, axes, out_results);
    return !n->failed;
  }
  dim count = type_elements(n->dims, import_type(n, i));
  if (!dim_is_const(n->dims, count, &len) || len > rank) {
    import_unsupported(n, "the number of its axes must be known, and at most %u", rank);
    return false;
  }
  uint32_t n_sets = choices(rank, (uint32_t)len);
  struct axes_choice c = {build, user, ARENA_ARRAY(import_arena(n), struct ints, n_sets)};
  int64_t *masks = ARENA_ARRAY(import_arena(n), int64_t, n_sets);
  n_sets = list_sets(n, rank, (uint32_t)len, c.sets, masks);
  value_id index = index_of_mask(n, axes_mask(n, i, rank), masks, n_sets);
  return import_switch(n, index, n_sets, build_axes_case, &c, n_results, out_results);
}
