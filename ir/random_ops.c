/* SPDX-License-Identifier: Apache-2.0 */
/* Random steps: data, maps, views, and indexed ops. */
#include "ir/random_build.h"

#include <string.h>

/* ---- data ---- */

static void step_const(struct random_gen *g) {
  int64_t dims[3];
  uint32_t rank = random_below(g, 4);
  for (uint32_t i = 0; i < rank; i++)
    dims[i] = random_range(g, random_chance(g, 5) ? 0 : 1, 4);
  random_constant(g, random_dtype(g, NULL), dims, rank, -9, 9);
}

static void step_iota(struct random_gen *g) {
  struct type type = random_type(g, random_dtype(g, random_is_number), 1, 3);
  uint32_t axis = random_below(g, type.rank);
  random_keep(g, build_iota(&g->b, type.dtype, type.dims, type.rank, axis));
}

static void step_random(struct random_gen *g) {
  struct type type = random_type(g, random_dtype(g, random_is_float), 0, 3);
  struct random_attrs attrs = {.type = &type};
  attrs.kind = random_chance(g, 50) ? RANDOM_KIND_UNIFORM : RANDOM_KIND_NORMAL;
  value_id seed = VALUE_NONE;
  if (random_chance(g, 30))
    seed = build_scalar_i64(&g->b, DTYPE_I64, random_range(g, 0, 99));
  else
    attrs.seed = random_range(g, 0, 99);
  random_keep(g, build_op1(&g->b, OP_RANDOM, &seed, seed ? 1 : 0, &attrs));
}

/* A fresh symbol bound to a constant within its bounds. */
static dim step_symbol(struct random_gen *g) {
  int64_t at = random_range(g, 0, 2), dims[1] = {3};
  value_id from = random_constant(g, random_chance(g, 50) ? DTYPE_I64 : DTYPE_I32, dims, 1, 1, 4);
  dim symbol = dim_fresh(g->t, "s", 1, 4);
  build_symbol(&g->b, from, at, symbol);
  return symbol;
}

static dim dim_at_hand(struct random_gen *g) {
  for (int tries = 0; tries < 8 && g->values.len; tries++) {
    const struct type *type = value_type(g->f, g->values.data[random_below(g, g->values.len)]);
    if (type->rank)
      return type->dims[random_below(g, type->rank)];
  }
  return dim_const(g->t, random_range(g, 1, 4));
}

static void step_dims(struct random_gen *g) {
  dim dims[4];
  uint32_t n = (uint32_t)random_range(g, 1, 4);
  for (uint32_t i = 0; i < n; i++) {
    dim a = dim_at_hand(g), b = dim_at_hand(g);
    uint32_t how = random_below(g, 5);
    dims[i] = how == 0   ? a
              : how == 1 ? dim_add(g->t, a, b)
              : how == 2 ? dim_mul(g->t, a, b)
              : how == 3 ? dim_max(g->t, a, dim_const(g->t, 3))
                         : dim_floordiv(g->t, b, dim_const(g->t, 2));
    if (dims[i] == DIM_NONE)
      dims[i] = a;
  }
  random_keep(g, build_dims(&g->b, dims, n));
}

static void step_check(struct random_gen *g) {
  dim d = dim_at_hand(g);
  int64_t lo, hi;
  dim_bounds(g->t, d, &lo, &hi);
  struct check_attrs attrs = {
      .lhs = d, .relation = RELATION_LE, .rhs = dim_const(g->t, hi), .message = "too \"large\""};
  if (hi != DIM_UNBOUNDED_HI)
    build_op(&g->b, OP_CHECK, NULL, 0, NULL, 0, &attrs);
}

/* ---- maps ---- */

static bool any(struct random_gen *g, value_id v) { return v != VALUE_NONE && g != NULL; }

/* Something that broadcasts with x: its shape with some dims 1, and perhaps without leading ones.
 */
static value_id companion(struct random_gen *g, value_id x) {
  struct type type = *value_type(g->f, x);
  type.dtype = random_dtype(g, NULL);
  uint32_t drop = random_chance(g, 30) ? random_below(g, type.rank + 1) : 0;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = drop; i < type.rank; i++)
    dims[i - drop] = random_chance(g, 25) ? dim_const(g->t, 1) : type.dims[i];
  struct type other = type_make(type.dtype, dims, type.rank - drop);
  return random_value_of(g, &other);
}

static void step_map(struct random_gen *g) {
  value_id xs[4];
  enum dtype dtypes[4];
  uint32_t n = random_chance(g, 5) ? 0 : (uint32_t)random_range(g, 1, 4);
  for (uint32_t i = 0; i < n; i++) {
    xs[i] = i ? companion(g, xs[0]) : random_pick(g, any);
    if (xs[i] == VALUE_NONE)
      return;
    dtypes[i] = value_type(g->f, xs[i])->dtype;
  }
  random_keep(g, build_map(&g->b, xs, n, random_body(g, dtypes, n)));
}

/* ---- views ---- */

static bool has_rank(struct random_gen *g, value_id v) { return value_type(g->f, v)->rank > 0; }

static void step_reshape(struct random_gen *g) {
  value_id x = random_pick(g, any);
  struct type type = *value_type(g->f, x);
  dim dims[IR_MAX_RANK];
  uint32_t rank = 0;
  /* Neighbours merge, constants split, ones come and go. */
  for (uint32_t i = 0; i < type.rank; i++) {
    int64_t n = random_static_dim(g, x, i);
    if (rank && random_chance(g, 30)) {
      dims[rank - 1] = dim_mul(g->t, dims[rank - 1], type.dims[i]);
    } else if (n > 0 && n % 2 == 0 && random_chance(g, 40)) {
      dims[rank++] = dim_const(g->t, 2);
      dims[rank++] = dim_const(g->t, n / 2);
    } else {
      dims[rank++] = type.dims[i];
    }
    if (random_chance(g, 10))
      dims[rank++] = dim_const(g->t, 1);
    if (rank + 3 > 6)
      return;
  }
  random_keep(g, build_reshape(&g->b, x, dims, rank));
}

static void step_transpose(struct random_gen *g) {
  value_id x = random_pick(g, has_rank);
  if (x == VALUE_NONE)
    return;
  int64_t perm[IR_MAX_RANK];
  uint32_t rank = value_type(g->f, x)->rank;
  for (uint32_t i = 0; i < rank; i++) {
    uint32_t j = random_below(g, i + 1);
    perm[i] = perm[j];
    perm[j] = i;
  }
  random_keep(g, build_transpose(&g->b, x, perm));
}

static void step_broadcast(struct random_gen *g) {
  value_id x = random_pick(g, any);
  struct type type = *value_type(g->f, x);
  dim dims[IR_MAX_RANK];
  uint32_t lead = type.rank < 4 ? random_below(g, 2) : 0;
  for (uint32_t i = 0; i < lead; i++)
    dims[i] = dim_const(g->t, random_range(g, 1, 3));
  for (uint32_t i = 0; i < type.rank; i++)
    dims[lead + i] = dim_is_const_value(g->t, type.dims[i], 1)
                         ? dim_const(g->t, random_range(g, 1, 4))
                         : type.dims[i];
  random_keep(g, build_broadcast_to(&g->b, x, dims, lead + type.rank));
}

static void step_slice(struct random_gen *g) {
  value_id x = random_pick(g, has_rank);
  if (x == VALUE_NONE)
    return;
  struct type type = *value_type(g->f, x);
  dim start[IR_MAX_RANK], size[IR_MAX_RANK];
  int64_t step[IR_MAX_RANK];
  for (uint32_t i = 0; i < type.rank; i++) {
    int64_t n = random_static_dim(g, x, i);
    start[i] = dim_const(g->t, 0);
    size[i] = type.dims[i];
    step[i] = 1;
    if (n == 0 && random_chance(g, 30)) {
      start[i] = dim_sub(g->t, type.dims[i], dim_const(g->t, 1));
      step[i] = -1;
    } else if (n > 0 && random_chance(g, 60)) {
      int64_t first = random_range(g, 0, n - 1);
      step[i] = random_chance(g, 30) ? -random_range(g, 1, 2) : random_range(g, 1, 2);
      int64_t most = step[i] > 0 ? (n - 1 - first) / step[i] + 1 : first / -step[i] + 1;
      start[i] = dim_const(g->t, first);
      size[i] = dim_const(g->t, random_range(g, random_chance(g, 5) ? 0 : 1, most));
    }
  }
  random_keep(g, build_slice(&g->b, x, start, size, step));
}

static void step_pad(struct random_gen *g) {
  value_id x = random_pick(g, has_rank);
  if (x == VALUE_NONE)
    return;
  struct type type = *value_type(g->f, x);
  dim low[IR_MAX_RANK], high[IR_MAX_RANK];
  int64_t interior[IR_MAX_RANK];
  for (uint32_t i = 0; i < type.rank; i++) {
    low[i] = dim_const(g->t, random_chance(g, 40) ? random_range(g, 0, 2) : 0);
    high[i] = dim_const(g->t, random_chance(g, 40) ? random_range(g, 0, 2) : 0);
    interior[i] = random_chance(g, 20) ? 1 : 0;
  }
  value_id fill = random_constant(g, type.dtype, NULL, 0, -3, 3);
  random_keep(g, build_pad(&g->b, x, fill, low, high, interior));
}

static void step_concat(struct random_gen *g) {
  value_id xs[3] = {random_pick(g, has_rank)};
  if (xs[0] == VALUE_NONE)
    return;
  struct type type = *value_type(g->f, xs[0]);
  uint32_t axis = random_below(g, type.rank), n = (uint32_t)random_range(g, 2, 3);
  for (uint32_t i = 1; i < n; i++) {
    if (random_chance(g, 50))
      type.dims[axis] = dim_const(g->t, random_range(g, 1, 3));
    xs[i] = random_value_of(g, &type);
  }
  random_keep(g, build_concat(&g->b, xs, n, axis));
}

/* Between integers only: the bits of a NaN are not kept by every way of computing. */
static bool is_int(struct random_gen *g, value_id v) {
  return dtype_is_int(value_type(g->f, v)->dtype) && dtype_bits(value_type(g->f, v)->dtype) >= 8;
}

static void step_bitcast(struct random_gen *g) {
  value_id x = random_pick(g, is_int);
  if (x == VALUE_NONE)
    return;
  enum dtype from = value_type(g->f, x)->dtype;
  for (int t = 0; t < DTYPE_COUNT; t++) {
    if (dtype_is_int((enum dtype)t) && t != (int)from &&
        dtype_bits((enum dtype)t) == dtype_bits(from))
      random_keep(g, build_bitcast(&g->b, x, (enum dtype)t));
  }
}

/* ---- indexed ---- */

/* Indices of one shape for distinct axes of static dims; how many there are. */
static uint32_t make_indices(struct random_gen *g, value_id data, int64_t *axes, value_id *indices,
                             uint32_t room) {
  int64_t dims[2];
  uint32_t rank = value_type(g->f, data)->rank, n = 0;
  uint32_t index_rank = random_below(g, 3);
  for (uint32_t i = 0; i < index_rank; i++)
    dims[i] = random_range(g, 1, 3);
  enum dtype dtype = random_chance(g, 50) ? DTYPE_I64 : DTYPE_I32;
  for (uint32_t i = 0; i < rank && n < room; i++) {
    int64_t size = random_static_dim(g, data, i);
    if (size < 1 || random_chance(g, 40))
      continue;
    axes[n] = i;
    indices[n++] = random_constant(g, dtype, dims, index_rank, 0, size - 1);
  }
  return n;
}

static void step_gather(struct random_gen *g) {
  static const enum out_of_range modes[] = {OUT_OF_RANGE_ERROR, OUT_OF_RANGE_CLAMP,
                                            OUT_OF_RANGE_FILL};
  value_id data = random_pick(g, has_rank), indices[2];
  int64_t axes[2];
  if (data == VALUE_NONE)
    return;
  uint32_t n = make_indices(g, data, axes, indices, 2);
  if (n)
    random_keep(g, build_gather(&g->b, data, indices, axes, n, modes[random_below(g, 3)]));
}

static void step_scatter(struct random_gen *g) {
  value_id data = random_pick(g, has_rank), operands[4];
  int64_t axes[2];
  if (data == VALUE_NONE)
    return;
  const struct type type = *value_type(g->f, data);
  uint32_t n = make_indices(g, data, axes, operands + 2, 2), rank = 0;
  if (n == 0)
    return;
  dim dims[2 * IR_MAX_RANK];
  const struct type index = *value_type(g->f, operands[2]);
  for (uint32_t i = 0; i < index.rank; i++)
    dims[rank++] = index.dims[i];
  for (uint32_t i = 0; i < type.rank; i++) {
    if (axes[0] != i && (n < 2 || axes[1] != i))
      dims[rank++] = type.dims[i];
  }
  if (rank > 5)
    return;
  struct type updates = type_make(type.dtype, dims, rank);
  operands[0] = data;
  operands[1] = random_value_of(g, &updates);
  enum combiner kind = random_is_number(type.dtype) && random_chance(g, 60)
                           ? (enum combiner)random_range(g, COMBINER_SUM, COMBINER_MIN)
                           : COMBINER_NONE;
  struct scatter_attrs attrs = {.axes = {axes, n}, .kind = kind};
  random_keep(g, build_op1(&g->b, OP_SCATTER, operands, n + 2, &attrs));
}

static bool has_two_dims(struct random_gen *g, value_id v) {
  return value_type(g->f, v)->rank >= 2;
}

static void step_update(struct random_gen *g) {
  value_id data = random_pick(g, has_two_dims), operands[4];
  if (data == VALUE_NONE)
    return;
  struct type rows = *value_type(g->f, data);
  uint32_t axis = 1 + random_below(g, rows.rank - 1);
  int64_t batch = random_static_dim(g, data, 0), capacity = random_static_dim(g, data, axis);
  if (batch < 1 || capacity < 1)
    return;
  int64_t n = 1 + (int64_t)random_below(g, (uint32_t)(capacity < 4 ? capacity : 4));
  if (n > capacity)
    n = capacity;
  rows.dims[axis] = dim_const(g->t, n);
  operands[0] = data;
  operands[1] = random_value_of(g, &rows);
  operands[2] = random_constant(g, DTYPE_I64, &batch, 1, 0, capacity - n);
  operands[3] = random_constant(g, DTYPE_I64, &batch, 1, 0, n + 1);
  struct update_attrs attrs = {.axis = axis};
  random_keep(g, build_op1(&g->b, OP_UPDATE, operands, 3 + random_below(g, 2), &attrs));
}

void random_step(struct random_gen *g, enum op_kind kind) {
  static void (*const steps[OP_COUNT])(struct random_gen *) = {
      [OP_CONST] = step_const,
      [OP_IOTA] = step_iota,
      [OP_RANDOM] = step_random,
      [OP_DIMS] = step_dims,
      [OP_CHECK] = step_check,
      [OP_MAP] = step_map,
      [OP_RESHAPE] = step_reshape,
      [OP_TRANSPOSE] = step_transpose,
      [OP_BROADCAST] = step_broadcast,
      [OP_SLICE] = step_slice,
      [OP_PAD] = step_pad,
      [OP_CONCAT] = step_concat,
      [OP_BITCAST] = step_bitcast,
      [OP_GATHER] = step_gather,
      [OP_SCATTER] = step_scatter,
      [OP_UPDATE] = step_update,
  };
  if (kind == OP_SYMBOL) {
    dim dims[2] = {step_symbol(g), dim_const(g->t, 2)};
    random_keep(g, build_iota(&g->b, DTYPE_I64, dims, 2, random_below(g, 2)));
  } else if (steps[kind]) {
    steps[kind](g);
  } else if (op_infos[kind].flags & OP_FLAG_CONTROL) {
    random_step_control(g, kind);
  } else {
    random_step_compute(g, kind);
  }
}
