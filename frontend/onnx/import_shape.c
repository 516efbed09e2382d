/* SPDX-License-Identifier: Apache-2.0 */
/* Operators on shapes: they ask for them, or give the same elements another one. */
#include "frontend/onnx/import_util.h"

#include <string.h>

/* ---- asking ---- */

static int64_t clamp_index(int64_t i, int64_t n) {
  i = i < 0 ? i + n : i;
  return i < 0 ? 0 : i > n ? n : i;
}

void import_shape(struct import_node *n) {
  int64_t start = import_attr_int(n, "start", 0);
  int64_t end = import_attr_int(n, "end", INT64_MAX);
  if (!import_arity(n, 1, 1, 1))
    return;
  const struct type type = *import_type(n, 0);
  start = clamp_index(start, type.rank);
  end = clamp_index(end, type.rank);
  uint32_t count = end > start ? (uint32_t)(end - start) : 0;
  import_out(n, 0, build_dims(n->b, type.dims + start, count));
}

void import_size_op(struct import_node *n) {
  if (!import_arity(n, 1, 1, 1))
    return;
  import_out(n, 0, import_dim_scalar(n, import_elements(n, import_type(n, 0)), DTYPE_I64));
}

/* ---- reshape ---- */

/* What a shape operand asks for, and how it is made of the dims of x. */
struct wish {
  dim dims[IR_MAX_RANK];
  uint32_t rank;
  int inferred; /* the place of -1; -1 if there is none */
};

/* The dims where some elements are free: s > 0 is a size, 0 copies, -1 takes what is left. */
static void resolve_free(struct import_node *n, const struct type *x, bool allow_zero,
                         struct wish *w) {
  struct dim_table *t = n->dims;
  dim one = dim_const(t, 1), zero = dim_const(t, 0), product;
  dim missing[IR_MAX_RANK];
  for (uint32_t i = 0; i < w->rank; i++) {
    dim given = w->dims[i];
    missing[i] = import_named_dim(n, dim_sub(t, one, import_dim_not_negative(n, given)));
    dim copied = allow_zero || i >= x->rank
                     ? zero
                     : dim_mul(t, import_dim_equals(n, given, zero), x->dims[i]);
    w->dims[i] = dim_add(t, dim_add(t, dim_max(t, given, zero), copied), missing[i]);
    w->dims[i] = import_named_dim(n, w->dims[i]);
  }
  product = import_product(n, w->dims, w->rank);
  dim rest = import_named_dim(n, dim_floordiv(t, import_elements(n, x), product));
  for (uint32_t i = 0; i < w->rank; i++) {
    dim more = dim_mul(t, missing[i], dim_sub(t, rest, one));
    w->dims[i] = import_named_dim(n, dim_max(t, dim_add(t, w->dims[i], more), zero));
  }
  w->inferred = -1;
}

/* The dim at the place of -1. Equal dims on both sides cancel first, so that a dim that may be 0
 * does no harm. */
static dim infer_dim(struct import_node *n, const struct type *x, const struct wish *w) {
  struct dim_table *t = n->dims;
  bool used[IR_MAX_RANK] = {0};
  dim given[IR_MAX_RANK], asked[IR_MAX_RANK];
  uint32_t n_given = 0, n_asked = 0;
  for (uint32_t i = 0; i < w->rank; i++) {
    uint32_t j = 0;
    if ((int)i == w->inferred)
      continue;
    while (j < x->rank && (used[j] || x->dims[j] != w->dims[i]))
      j++;
    if (j < x->rank)
      used[j] = true;
    else
      asked[n_asked++] = w->dims[i];
  }
  for (uint32_t j = 0; j < x->rank; j++)
    if (!used[j])
      given[n_given++] = x->dims[j];
  dim whole = import_product(n, given, n_given), part = import_product(n, asked, n_asked);
  if (dim_is_const_value(t, part, 1))
    return whole;
  if (dim_is_const_value(t, part, 0))
    return dim_const(t, 0);
  build_check(n->b, part, RELATION_DIVIDES, whole, "a reshape does not keep the elements");
  dim rest = dim_exactdiv(t, whole, part);
  if (rest != DIM_NONE)
    return rest;
  whole = import_named_dim(n, whole);
  return dim_exactdiv(t, whole, import_named_dim(n, part));
}

static bool read_wish(struct import_node *n, const struct type *x, struct dims given,
                      bool allow_zero, struct wish *w) {
  bool any_free = false;
  *w = (struct wish){.rank = given.len, .inferred = -1};
  for (uint32_t i = 0; i < given.len; i++) {
    int64_t value = 1;
    w->dims[i] = given.data[i];
    any_free |= import_dim_is_free(n, given.data[i]);
    dim_is_const(n->dims, given.data[i], &value);
    if (value < -1 || (value == -1 && w->inferred >= 0) ||
        (value == 0 && !allow_zero && i >= x->rank)) {
      import_invalid(n, "entry %u of the shape, %lld, is not allowed", i, (long long)value);
      return false;
    }
    if (value == -1)
      w->inferred = (int)i;
  }
  if (any_free) {
    resolve_free(n, x, allow_zero, w);
    return true;
  }
  for (uint32_t i = 0; i < w->rank; i++)
    if (!allow_zero && dim_is_const_value(n->dims, w->dims[i], 0))
      w->dims[i] = x->dims[i];
  if (w->inferred >= 0)
    w->dims[w->inferred] = infer_dim(n, x, w);
  return true;
}

static value_id reshape_to(struct import_node *n, value_id x, struct dims given, bool allow_zero) {
  const struct type type = *value_type(n->f, x);
  struct wish w;
  if (given.len > IR_MAX_RANK) {
    import_unsupported(n, "rank %u is above %d", given.len, IR_MAX_RANK);
    return VALUE_NONE;
  }
  if (!read_wish(n, &type, given, allow_zero, &w))
    return VALUE_NONE;
  for (uint32_t i = 0; i < w.rank; i++)
    w.dims[i] = import_size(n, w.dims[i]);
  dim elements = import_elements(n, &type), wanted = import_product(n, w.dims, w.rank);
  if (w.inferred < 0 && !dim_known_ne(n->dims, elements, wanted))
    build_check(n->b, elements, RELATION_EQ, wanted, "a reshape does not keep the elements");
  return build_reshape(n->b, x, w.dims, w.rank);
}

void import_reshape(struct import_node *n) {
  bool allow_zero = import_attr_int(n, "allowzero", 0) != 0;
  struct ints attr;
  bool has_attr = n->opset < 5 && import_attr_ints(n, "shape", &attr);
  import_attr_ignore(n, "consumed_inputs");
  if (!import_arity(n, has_attr ? 1 : 2, has_attr ? 1 : 2, 1))
    return;
  struct dims given;
  if (has_attr) {
    dim *list = ARENA_ARRAY(import_arena(n), dim, attr.len);
    for (uint32_t i = 0; i < attr.len; i++)
      list[i] = dim_const(n->dims, attr.data[i]);
    given = (struct dims){list, attr.len};
  } else if (!import_dims_or_symbols(n, 1, "the shape", &given)) {
    return;
  }
  import_out(n, 0, reshape_to(n, import_in(n, 0), given, allow_zero));
}

void import_flatten(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 1);
  if (!import_arity(n, 1, 1, 1))
    return;
  value_id x = import_in(n, 0);
  uint32_t rank = import_rank(n, 0);
  if (axis < -(int64_t)rank || axis > (int64_t)rank) {
    import_invalid(n, "axis %lld is out of range for rank %u", (long long)axis, rank);
    return;
  }
  uint32_t at = (uint32_t)(axis < 0 ? axis + rank : axis);
  dim dims[2] = {import_dims_between(n, x, 0, at), import_dims_between(n, x, at, rank)};
  import_out(n, 0, build_reshape(n->b, x, dims, 2));
}

/* ---- dims of 1 ---- */

/* Axes as attribute or second operand; false if they are not there, or not constants (then
 * out_dynamic has them). */
static bool axes_given(struct import_node *n, struct ints *out, struct dims *out_dynamic) {
  *out_dynamic = (struct dims){0};
  if (n->opset < 13)
    return import_attr_ints(n, "axes", out);
  if (!import_has(n, 1))
    return false;
  if (import_const_ints_get(n, 1, out))
    return true;
  import_dims_or_symbols(n, 1, "axes", out_dynamic);
  return false;
}

/* All dims that are 1. One that may be 1 but is not known to be is left, which a check holds true.
 */
static value_id squeeze_all(struct import_node *n, value_id x) {
  const struct type type = *value_type(n->f, x);
  dim one = dim_const(n->dims, 1);
  int64_t axes[IR_MAX_RANK];
  uint32_t count = 0;
  for (uint32_t i = 0; i < type.rank; i++) {
    if (dim_known_eq(n->dims, type.dims[i], one))
      axes[count++] = i;
    else if (!dim_known_ne(n->dims, type.dims[i], one))
      build_check(n->b, one, RELATION_LT, type.dims[i],
                  "a dim that is 1 would be squeezed, which was not known when compiling");
  }
  return build_squeeze(n->b, x, axes, count);
}

/* Axes that come at run time, as places below `rank`: for place i, *out_here is 1 if it is one of
 * them, and *out_before how many are lower. */
static void place_among(struct import_node *n, struct dims axes, uint32_t rank, uint32_t i,
                        dim *out_here, dim *out_before) {
  struct dim_table *t = n->dims;
  dim here = dim_const(t, 0), before = dim_const(t, 0), one = dim_const(t, 1);
  for (uint32_t k = 0; k < axes.len; k++) {
    dim negative = dim_sub(t, one, import_dim_not_negative(n, axes.data[k]));
    dim axis = dim_add(t, axes.data[k], dim_mul(t, negative, dim_const(t, rank)));
    axis = import_named_dim(n, axis);
    here = dim_add(t, here, import_dim_equals(n, axis, dim_const(t, i)));
    dim past = dim_sub(t, dim_const(t, (int64_t)i - 1), axis);
    before = dim_add(t, before, import_dim_not_negative(n, past));
  }
  *out_here = import_named_dim(n, here);
  *out_before = import_named_dim(n, before);
}

/* x reshaped to dims that are sums with one term that counts. Both ways here keep the elements, or
 * the axes are wrong. */
static value_id reshape_dynamic(struct import_node *n, value_id x, dim *dims, uint32_t rank) {
  struct dim_table *t = n->dims;
  for (uint32_t i = 0; i < rank; i++)
    dims[i] = import_named_dim(n, dim_max(t, dims[i], dim_const(t, 0)));
  build_check(n->b, type_elements(t, value_type(n->f, x)), RELATION_EQ, dim_product(t, dims, rank),
              "axes are out of range or given twice");
  return build_reshape(n->b, x, dims, rank);
}

static value_id squeeze_dynamic(struct import_node *n, value_id x, struct dims axes) {
  struct dim_table *t = n->dims;
  const struct type type = *value_type(n->f, x);
  dim dims[IR_MAX_RANK];
  if (axes.len > type.rank) {
    import_invalid(n, "%u axes for rank %u", axes.len, type.rank);
    return VALUE_NONE;
  }
  uint32_t rank = type.rank - axes.len;
  for (uint32_t j = 0; j < rank; j++)
    dims[j] = dim_const(t, 0);
  for (uint32_t i = 0; i < type.rank; i++) {
    dim gone, before;
    place_among(n, axes, type.rank, i, &gone, &before);
    dim kept = dim_mul(t, dim_sub(t, dim_const(t, 1), gone), type.dims[i]);
    dim place = dim_sub(t, dim_const(t, i), before);
    for (uint32_t j = 0; j < rank && j <= i; j++)
      dims[j] = dim_add(t, dims[j], dim_mul(t, kept, import_dim_equals(n, place, dim_const(t, j))));
  }
  return reshape_dynamic(n, x, dims, rank);
}

void import_squeeze(struct import_node *n) {
  struct ints axes;
  struct dims dynamic;
  if (!import_arity(n, 1, n->opset < 13 ? 1 : 2, 1))
    return;
  bool constant = axes_given(n, &axes, &dynamic);
  value_id x = import_in(n, 0);
  if (n->failed)
    return;
  if (constant) {
    if (import_axes(n, axes, import_rank(n, 0), true, &axes))
      import_out(n, 0, build_squeeze(n->b, x, axes.data, axes.len));
  } else if (dynamic.len) {
    import_out(n, 0, squeeze_dynamic(n, x, dynamic));
  } else {
    import_out(n, 0, squeeze_all(n, x));
  }
}

static value_id unsqueeze_dynamic(struct import_node *n, value_id x, struct dims axes) {
  struct dim_table *t = n->dims;
  const struct type type = *value_type(n->f, x);
  uint32_t rank = type.rank + axes.len;
  dim dims[IR_MAX_RANK];
  if (rank > IR_MAX_RANK) {
    import_unsupported(n, "rank %u is above %d", rank, IR_MAX_RANK);
    return VALUE_NONE;
  }
  for (uint32_t i = 0; i < rank; i++) {
    dim fresh, before;
    place_among(n, axes, rank, i, &fresh, &before);
    dim from = dim_sub(t, dim_const(t, i), before), old = dim_sub(t, dim_const(t, 1), fresh);
    dims[i] = fresh;
    for (uint32_t j = 0; j < type.rank && j <= i; j++) {
      dim chosen = dim_mul(t, old, import_dim_equals(n, from, dim_const(t, j)));
      dims[i] = dim_add(t, dims[i], dim_mul(t, chosen, type.dims[j]));
    }
  }
  return reshape_dynamic(n, x, dims, rank);
}

void import_unsqueeze(struct import_node *n) {
  struct ints axes;
  struct dims dynamic;
  uint32_t operands = n->opset < 13 ? 1 : 2;
  if (!import_arity(n, operands, operands, 1))
    return;
  bool constant = axes_given(n, &axes, &dynamic);
  value_id x = import_in(n, 0);
  if (n->failed)
    return;
  if (!constant && !dynamic.len)
    import_invalid(n, "axes are missing");
  else if (!constant)
    import_out(n, 0, unsqueeze_dynamic(n, x, dynamic));
  else if (axes.len > IR_MAX_RANK)
    import_invalid(n, "%u axes are inserted", axes.len);
  else if (import_axes(n, axes, import_rank(n, 0) + axes.len, true, &axes))
    import_out(n, 0, build_unsqueeze(n->b, x, axes.data, axes.len));
}

/* ---- repetition ---- */

void import_expand(struct import_node *n) {
  struct dims shape;
  if (!import_arity(n, 2, 2, 1) || !import_dims_or_symbols(n, 1, "the shape", &shape))
    return;
  const struct type type = *import_type(n, 0);
  uint32_t rank = shape.len > type.rank ? shape.len : type.rank;
  dim dims[IR_MAX_RANK], one = dim_const(n->dims, 1);
  if (rank > IR_MAX_RANK) {
    import_unsupported(n, "rank %u is above %d", rank, IR_MAX_RANK);
    return;
  }
  for (uint32_t i = 0; i < rank; i++) {
    dim has = i + type.rank < rank ? one : type.dims[i + type.rank - rank];
    dim want = i + shape.len < rank ? one : shape.data[i + shape.len - rank];
    dims[i] = import_size(n, want);
    if (dim_is_const_value(n->dims, has, 1))
      continue;
    if (dim_is_const_value(n->dims, want, 1) || dim_known_eq(n->dims, has, want)) {
      dims[i] = has;
      continue;
    }
    build_check(n->b, has, RELATION_BROADCAST, want, "an operand does not expand to its shape");
    if (dim_known_le(n->dims, dim_const(n->dims, 2), has))
      dims[i] = has;
    else if (!dim_known_le(n->dims, dim_const(n->dims, 2), want))
      dims[i] = dim_max(n->dims, has, want);
  }
  import_out(n, 0, build_broadcast_to(n->b, import_in(n, 0), dims, rank));
}

/* x repeated along one axis, by way of a dim before it. */
static value_id tile_axis(struct import_node *n, value_id x, uint32_t axis, dim times) {
  if (x == VALUE_NONE || dim_is_const_value(n->dims, times, 1))
    return x;
  const struct type type = *value_type(n->f, x);
  dim outer = import_dims_between(n, x, 0, axis);
  dim inner = import_dims_between(n, x, axis, type.rank), one = dim_const(n->dims, 1);
  dim dims[IR_MAX_RANK];
  memcpy(dims, type.dims, sizeof dims);
  dims[axis] = dim_mul(n->dims, dims[axis], times);
  x = build_reshape(n->b, x, (dim[]){outer, one, inner}, 3);
  x = build_broadcast(n->b, x, (dim[]){outer, times, inner}, 3);
  return build_reshape(n->b, x, dims, type.rank);
}

/* Before opset 6 the operands are a count and an axis. */
static void tile_v1(struct import_node *n) {
  int64_t axis;
  uint32_t at;
  dim times;
  if (import_arity(n, 3, 3, 1) && import_dim_or_symbol(n, 1, "the number of tiles", &times) &&
      import_const_int(n, 2, "the axis", &axis) && import_axis(n, axis, import_rank(n, 0), &at))
    import_out(n, 0, tile_axis(n, import_in(n, 0), at, import_size(n, times)));
}

void import_tile(struct import_node *n) {
  struct dims repeats;
  if (n->opset < 6) {
    tile_v1(n);
    return;
  }
  if (!import_arity(n, 2, 2, 1) || !import_dims_or_symbols(n, 1, "repeats", &repeats))
    return;
  if (repeats.len != import_rank(n, 0)) {
    import_invalid(n, "%u repeats for rank %u", repeats.len, import_rank(n, 0));
    return;
  }
  value_id x = import_in(n, 0);
  for (uint32_t i = 0; i < repeats.len; i++)
    x = tile_axis(n, x, i, import_size(n, repeats.data[i]));
  import_out(n, 0, x);
}

/* ---- order ---- */

void import_transpose(struct import_node *n) {
  struct ints perm;
  bool given = import_attr_ints(n, "perm", &perm);
  if (!import_arity(n, 1, 1, 1))
    return;
  uint32_t rank = import_rank(n, 0);
  int64_t reversed[IR_MAX_RANK];
  for (uint32_t i = 0; i < rank; i++)
    reversed[i] = rank - 1 - i;
  if (given && perm.len != rank) {
    import_invalid(n, "perm has %u entries for rank %u", perm.len, rank);
    return;
  }
  if (given && !import_axes(n, perm, rank, false, &perm))
    return;
  import_out(n, 0, build_transpose(n->b, import_in(n, 0), given ? perm.data : reversed));
}

/* Both directions between [n, c * k * k, h, w] and [n, c, h * k, w * k], by way of six dims. */
static bool block_of(struct import_node *n, int64_t *out) {
  *out = import_attr_int(n, "blocksize", 0);
  if (!import_arity(n, 1, 1, 1))
    return false;
  if (import_rank(n, 0) != 4)
    import_invalid(n, "its operand has rank %u, not 4", import_rank(n, 0));
  else if (*out <= 0)
    import_invalid(n, "blocksize %lld", (long long)*out);
  return !n->failed;
}

static dim divide_dim(struct import_node *n, dim d, dim by) {
  build_check(n->b, by, RELATION_DIVIDES, d, "a dim is not a multiple of the block");
  return dim_exactdiv(n->dims, d, by);
}

void import_depth_to_space(struct import_node *n) {
  const char *mode = import_attr_string(n, "mode", "DCR");
  int64_t block;
  if (!block_of(n, &block))
    return;
  bool crd = !strcmp(mode, "CRD");
  if (!crd && strcmp(mode, "DCR")) {
    import_invalid(n, "mode must be DCR or CRD");
    return;
  }
  struct dim_table *t = n->dims;
  const struct type x = *import_type(n, 0);
  dim k = dim_const(t, block), c = divide_dim(n, x.dims[1], dim_mul(t, k, k));
  dim split_dcr[6] = {x.dims[0], k, k, c, x.dims[2], x.dims[3]};
  dim split_crd[6] = {x.dims[0], c, k, k, x.dims[2], x.dims[3]};
  dim joined[4] = {x.dims[0], c, dim_mul(t, x.dims[2], k), dim_mul(t, x.dims[3], k)};
  value_id y = build_reshape(n->b, import_in(n, 0), crd ? split_crd : split_dcr, 6);
  y = build_transpose(n->b, y, crd ? (int64_t[]){0, 1, 4, 2, 5, 3} : (int64_t[]){0, 3, 4, 1, 5, 2});
  import_out(n, 0, build_reshape(n->b, y, joined, 4));
}

void import_space_to_depth(struct import_node *n) {
  int64_t block;
  if (!block_of(n, &block))
    return;
  struct dim_table *t = n->dims;
  const struct type x = *import_type(n, 0);
  dim k = dim_const(t, block);
  dim h = divide_dim(n, x.dims[2], k), w = divide_dim(n, x.dims[3], k);
  dim split[6] = {x.dims[0], x.dims[1], h, k, w, k};
  dim joined[4] = {x.dims[0], dim_mul(t, x.dims[1], dim_mul(t, k, k)), h, w};
  value_id y = build_reshape(n->b, import_in(n, 0), split, 6);
  y = build_transpose(n->b, y, (int64_t[]){0, 3, 5, 1, 2, 4});
  import_out(n, 0, build_reshape(n->b, y, joined, 4));
}
