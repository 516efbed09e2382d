/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that cut along axes, put together, and pad. Everything that says where may come at run
 * time: it is then a dim expression of symbols. */
#include "frontend/onnx/import_util.h"

#include <string.h>

/* ---- parameters per axis ---- */

/* Parameters given for some axes, spread over all dims: entry d is the value given for axis d, or
 * otherwise[d]. False if an axis is out of range or given twice. */
static bool spread(struct import_node *n, const struct dims *axes, const dim *values,
                   const dim *otherwise, uint32_t rank, dim *out) {
  struct dim_table *t = n->dims;
  bool constant = true;
  int64_t list[IR_MAX_RANK];
  struct ints places = {list, axes->len};
  if (axes->len > rank) {
    import_invalid(n, "%u axes for rank %u", axes->len, rank);
    return false;
  }
  memcpy(out, otherwise, rank * sizeof *out);
  for (uint32_t i = 0; i < axes->len; i++)
    constant &= dim_is_const(t, axes->data[i], &list[i]);
  if (constant) {
    if (!import_axes(n, places, rank, false, &places))
      return false;
    for (uint32_t i = 0; i < axes->len; i++)
      out[places.data[i]] = values[i];
    return true;
  }
  for (uint32_t d = 0; d < rank; d++) {
    dim none = dim_const(t, 1), sum = dim_const(t, 0);
    for (uint32_t i = 0; i < axes->len; i++) {
      dim here = dim_add(t, import_dim_equals(n, axes->data[i], dim_const(t, d)),
                         import_dim_equals(n, axes->data[i], dim_const(t, (int64_t)d - rank)));
      here = import_named_dim(n, here);
      none = dim_sub(t, none, here);
      sum = dim_add(t, sum, dim_mul(t, here, values[i]));
    }
    bool same = true;
    for (uint32_t i = 0; i < axes->len; i++)
      same &= values[i] == otherwise[d];
    out[d] = dim_add(t, sum, dim_mul(t, none, otherwise[d]));
    out[d] = same ? otherwise[d] : import_named_dim(n, out[d]);
  }
  return true;
}

static struct dims first_axes(struct import_node *n, uint32_t count) {
  dim *list = ARENA_ARRAY(import_arena(n), dim, count);
  for (uint32_t i = 0; i < count; i++)
    list[i] = dim_const(n->dims, i);
  return (struct dims){list, count};
}

static struct dims dims_from(struct import_node *n, struct ints ints) {
  dim *list = ARENA_ARRAY(import_arena(n), dim, ints.len);
  for (uint32_t i = 0; i < ints.len; i++)
    list[i] = dim_const(n->dims, ints.data[i]);
  return (struct dims){list, ints.len};
}

/* ---- slice ---- */

/* A start or end inside [lo, hi], counted from the end where it is negative. Exporters write "to
 * the end" as the largest or smallest 32- or 64-bit number. */
static dim slice_bound(struct import_node *n, dim given, dim size, dim lo, dim hi) {
  struct dim_table *t = n->dims;
  int64_t value, from, to;
  if (dim_is_const(t, given, &value) && value >= INT32_MAX)
    return hi;
  if (dim_is_const(t, given, &value) && value <= INT32_MIN + 1)
    return lo;
  dim_bounds(t, given, &from, &to);
  if (to < 0)
    given = dim_add(t, given, size);
  else if (from < 0)
    given = dim_add(
        t, given, dim_mul(t, dim_sub(t, dim_const(t, 1), import_dim_not_negative(n, given)), size));
  return import_dim_clamp(n, given, lo, hi);
}

/* The same by gather, where the step is not known. */
static value_id slice_dynamic(struct import_node *n, value_id x, uint32_t axis, dim start, dim size,
                              dim step) {
  value_id index = build_iota(n->b, DTYPE_I64, &size, 1, 0);
  index = value_mul(n->b, index, import_dim_scalar(n, step, DTYPE_I64));
  index = value_add(n->b, index, import_dim_scalar(n, start, DTYPE_I64));
  return import_gather_axis(n, x, index, axis, OUT_OF_RANGE_CLAMP);
}

static value_id slice_by(struct import_node *n, value_id x, const dim *starts, const dim *ends,
                         const dim *steps) {
  struct dim_table *t = n->dims;
  const struct type type = *value_type(n->f, x);
  dim start[IR_MAX_RANK], size[IR_MAX_RANK], zero = dim_const(t, 0);
  int64_t step[IR_MAX_RANK];
  bool dynamic[IR_MAX_RANK] = {0};
  for (uint32_t i = 0; i < type.rank; i++) {
    dim backwards = dim_sub(t, dim_const(t, 1), import_dim_not_negative(n, steps[i]));
    dim lo = dim_neg(t, backwards), hi = dim_sub(t, type.dims[i], backwards);
    dim from = slice_bound(n, starts[i], type.dims[i], lo, hi);
    dim to = slice_bound(n, ends[i], type.dims[i], lo, hi);
    bool free = import_dim_is_free(n, starts[i]) || import_dim_is_free(n, ends[i]) ||
                !dim_is_const(t, steps[i], NULL);
    start[i] = from = free ? import_named_dim(n, from) : import_short_dim(n, from);
    to = free ? import_named_dim(n, to) : import_short_dim(n, to);
    size[i] = import_dim_steps(n, from, to, steps[i]);
    size[i] = free ? import_named_dim(n, size[i]) : size[i];
    step[i] = 1;
    dynamic[i] = !dim_is_const(t, steps[i], &step[i]);
    if (step[i] == 0) {
      import_invalid(n, "a step is 0");
      return VALUE_NONE;
    }
  }
  for (uint32_t i = 0; i < type.rank; i++) {
    if (!dynamic[i])
      continue;
    x = slice_dynamic(n, x, i, start[i], size[i], steps[i]);
    start[i] = zero;
  }
  for (uint32_t i = 0; i < type.rank; i++)
    if (dim_is_const_value(t, size[i], 0))
      start[i] = zero; /* it may lie before the first element */
  return build_slice(n->b, x, start, size, step);
}

struct slice_params {
  struct dims starts, ends, axes, steps;
};

static bool slice_attrs_v1(struct import_node *n, struct slice_params *p) {
  struct ints starts, ends, axes;
  bool has_axes = import_attr_ints(n, "axes", &axes);
  if (!import_attr_ints(n, "starts", &starts) || !import_attr_ints(n, "ends", &ends)) {
    import_invalid(n, "starts and ends are missing");
    return false;
  }
  if (!import_arity(n, 1, 1, 1))
    return false;
  p->starts = dims_from(n, starts);
  p->ends = dims_from(n, ends);
  if (has_axes)
    p->axes = dims_from(n, axes);
  return true;
}

/* How many entries the operands from `first` on have, if that is known of one of them. */
static bool known_entries(struct import_node *n, uint32_t first, int64_t *out) {
  for (uint32_t i = first; i < n->n_inputs; i++)
    if (import_has(n, i) && import_rank(n, i) == 1 &&
        dim_is_const(n->dims, import_dim(n, i, 0), out))
      return true;
  return false;
}

/* Operand i with `entries` entries; where they are as many as the run says, `fill` follows. */
static bool slice_list(struct import_node *n, uint32_t i, const char *what, int64_t entries,
                       bool known, int64_t fill, struct dims *out) {
  if (import_rank(n, i) != 1 || dim_is_const(n->dims, import_dim(n, i, 0), NULL))
    return import_dims_or_symbols(n, i, what, out);
  dim count = dim_const(n->dims, entries), none = dim_const(n->dims, 0);
  if (known)
    build_check(n->b, import_dim(n, i, 0), RELATION_EQ, count,
                "starts, ends, axes and steps have different lengths");
  dim more = known ? none : import_size(n, dim_sub(n->dims, count, import_dim(n, i, 0)));
  value_id x = build_cast(n->b, import_in(n, i), DTYPE_I64);
  x = known ? build_reshape(n->b, x, &count, 1)
            : build_pad(n->b, x, build_scalar_i64(n->b, DTYPE_I64, fill), &none, &more, NULL);
  dim *list = ARENA_ARRAY(import_arena(n), dim, (size_t)entries);
  for (int64_t k = 0; k < entries; k++)
    if ((list[k] = import_value_symbol(n, x, k)) == DIM_NONE)
      return false;
  *out = (struct dims){list, (uint32_t)entries};
  return true;
}

/* Without axes entry i is that of axis i, so that the axes without one are whole. */
static bool slice_operands(struct import_node *n, struct slice_params *p) {
  if (!import_arity(n, 3, 5, 1))
    return false;
  int64_t entries = import_rank(n, 0), end = INT64_C(1) << 53;
  bool known = known_entries(n, 1, &entries);
  if (!known && import_has(n, 3)) {
    import_unsupported(n, "the number of elements of axes must be known");
    return false;
  }
  if (entries > IR_MAX_RANK) {
    import_invalid(n, "%lld axes for rank %u", (long long)entries, import_rank(n, 0));
    return false;
  }
  return slice_list(n, 1, "starts", entries, known, 0, &p->starts) &&
         slice_list(n, 2, "ends", entries, known, end, &p->ends) &&
         (!import_has(n, 3) || slice_list(n, 3, "axes", entries, known, 0, &p->axes)) &&
         (!import_has(n, 4) || slice_list(n, 4, "steps", entries, known, 1, &p->steps));
}

void import_slice(struct import_node *n) {
  struct slice_params p = {0};
  if (!(n->opset < 10 ? slice_attrs_v1(n, &p) : slice_operands(n, &p)))
    return;
  uint32_t count = p.starts.len, rank = import_rank(n, 0);
  if (!p.axes.data)
    p.axes = first_axes(n, count);
  if (p.ends.len != count || p.axes.len != count || (p.steps.data && p.steps.len != count)) {
    import_invalid(n, "starts, ends, axes and steps have %u, %u, %u and %u entries", count,
                   p.ends.len, p.axes.len, p.steps.len);
    return;
  }
  dim zeros[IR_MAX_RANK], ones[IR_MAX_RANK];
  dim start[IR_MAX_RANK], end[IR_MAX_RANK], step[IR_MAX_RANK];
  const struct type type = *import_type(n, 0);
  for (uint32_t i = 0; i < rank; i++) {
    zeros[i] = dim_const(n->dims, 0);
    ones[i] = step[i] = dim_const(n->dims, 1);
  }
  if (!spread(n, &p.axes, p.starts.data, zeros, rank, start) ||
      !spread(n, &p.axes, p.ends.data, type.dims, rank, end) ||
      (p.steps.data && !spread(n, &p.axes, p.steps.data, ones, rank, step)))
    return;
  import_out(n, 0, slice_by(n, import_in(n, 0), start, end, step));
}

/* ---- split and concat ---- */

/* Sizes of the parts where none are given. Since opset 18 the last may be smaller. */
static void equal_parts(struct import_node *n, dim whole, uint32_t count, dim *sizes) {
  struct dim_table *t = n->dims;
  dim parts = dim_const(t, count), size;
  if (n->opset < 18) {
    build_check(n->b, parts, RELATION_DIVIDES, whole, "a dim does not split into equal parts");
    size = dim_exactdiv(t, whole, parts);
  } else {
    size = dim_ceildiv(t, whole, parts);
  }
  for (uint32_t i = 0; i < count; i++)
    sizes[i] = size;
  if (n->opset >= 18)
    sizes[count - 1] =
        import_size(n, dim_sub(t, whole, dim_mul(t, size, dim_const(t, (int64_t)count - 1))));
}

/* False if there are none. */
static bool split_sizes(struct import_node *n, struct dims *out) {
  struct ints attr;
  if (n->opset < 13 && import_attr_ints(n, "split", &attr)) {
    *out = dims_from(n, attr);
    return true;
  }
  return import_has(n, 1) && import_dims_or_symbols(n, 1, "the sizes of parts", out);
}

void import_split(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 0);
  int64_t parts = n->opset < 18 ? n->n_outputs : import_attr_int(n, "num_outputs", n->n_outputs);
  struct dims given;
  uint32_t at;
  if (!import_arity(n, 1, n->opset > 1 && n->opset < 13 ? 1 : 2, UINT32_MAX))
    return;
  bool has_sizes = split_sizes(n, &given);
  if (n->failed || !import_axis(n, axis, import_rank(n, 0), &at))
    return;
  uint32_t count = has_sizes ? given.len : (uint32_t)parts;
  if (parts < 1 || parts > IMPORT_MAX_LIST || count < n->n_outputs || count == 0) {
    import_invalid(n, "%u parts for %u outputs", count, n->n_outputs);
    return;
  }
  struct dim_table *t = n->dims;
  value_id x = import_in(n, 0);
  dim whole = import_dim(n, 0, at), start = dim_const(t, 0);
  dim *sizes = ARENA_ARRAY(import_arena(n), dim, count);
  if (has_sizes)
    for (uint32_t i = 0; i < count; i++)
      sizes[i] = import_size(n, given.data[i]);
  else
    equal_parts(n, whole, count, sizes);
  for (uint32_t i = 0; i < count; i++) {
    if (import_wants(n, i))
      import_out(n, i, build_slice_axis(n->b, x, at, start, sizes[i]));
    start = dim_add(t, start, sizes[i]);
  }
  build_check(n->b, start, RELATION_EQ, whole, "the parts of a split are not the whole");
}

void import_concat(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", n->opset < 4 ? 1 : 0);
  uint32_t at;
  if (!import_arity(n, 1, UINT32_MAX, 1) || !import_axis(n, axis, import_rank(n, 0), &at))
    return;
  value_id *xs = ARENA_ARRAY(import_arena(n), value_id, n->n_inputs);
  for (uint32_t i = 0; i < n->n_inputs; i++) {
    if (!import_has(n, i) || import_rank(n, i) != import_rank(n, 0)) {
      import_invalid(n, "operand %u does not have the rank of the first", i);
      return;
    }
    xs[i] = import_in(n, i);
    for (uint32_t d = 0; d < import_rank(n, 0); d++)
      if (d != at && !dim_known_ne(n->dims, import_dim(n, 0, d), import_dim(n, i, d)))
        build_check(n->b, import_dim(n, 0, d), RELATION_EQ, import_dim(n, i, d),
                    "operands of Concat do not match");
  }
  import_out(n, 0, build_concat(n->b, xs, n->n_inputs, at));
}

/* ---- pad ---- */

enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

static bool pad_mode_of(struct import_node *n, enum pad_mode *out) {
  static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
  const char *name = import_attr_string(n, "mode", "constant");
  for (int i = 0; i < 4; i++) {
    *out = (enum pad_mode)i;
    if (!strcmp(name, names[i]))
      return true;
  }
  import_invalid(n, "mode '%s' does not exist", name);
  return false;
}

/* Which element of a dim of `size` stands at each place of the padded one. */
static value_id pad_index(struct import_node *n, enum pad_mode mode, dim size, dim low,
                          dim padded) {
  struct builder *b = n->b;
  value_id i = build_iota(b, DTYPE_I64, &padded, 1, 0);
  i = value_sub(b, i, import_dim_scalar(n, low, DTYPE_I64));
  value_id count = import_dim_scalar(n, size, DTYPE_I64);
  value_id last = import_dim_scalar(n, dim_sub(n->dims, size, dim_const(n->dims, 1)), DTYPE_I64);
  if (mode == PAD_EDGE)
    return value_min(b, build_binary_i64(b, SCALAR_MAX, i, 0), last);
  if (mode == PAD_WRAP)
    return build_binary(b, SCALAR_MOD, i, count);
  value_id period = value_add(b, last, last);
  i = build_binary(b, SCALAR_MOD, i, period);
  return value_min(b, i, value_sub(b, period, i));
}

/* Negative pads cut first; what is left is padded. */
static value_id pad_by(struct import_node *n, value_id x, enum pad_mode mode, value_id fill,
                       const dim *low, const dim *high) {
  struct dim_table *t = n->dims;
  const struct type type = *value_type(n->f, x);
  dim start[IR_MAX_RANK], size[IR_MAX_RANK], before[IR_MAX_RANK], after[IR_MAX_RANK];
  dim zero = dim_const(t, 0);
  for (uint32_t i = 0; i < type.rank; i++) {
    before[i] = dim_max(t, low[i], zero);
    after[i] = dim_max(t, high[i], zero);
    start[i] = dim_sub(t, before[i], low[i]);
    dim cut = dim_add(t, start[i], dim_sub(t, after[i], high[i]));
    size[i] = import_size(n, dim_sub(t, type.dims[i], cut));
  }
  x = build_slice(n->b, x, start, size, NULL);
  if (mode == PAD_CONSTANT)
    return build_pad(n->b, x, fill, before, after, NULL);
  for (uint32_t i = 0; i < type.rank; i++) {
    dim padded = dim_add(t, size[i], dim_add(t, before[i], after[i]));
    if (!dim_known_eq(t, padded, size[i]))
      x = import_gather_axis(n, x, pad_index(n, mode, size[i], before[i], padded), i,
                             OUT_OF_RANGE_CLAMP);
  }
  return x;
}

static bool pad_operands(struct import_node *n, struct dims *pads, struct dims *axes,
                         value_id *fill) {
  *fill = VALUE_NONE;
  if (n->opset < 11) {
    struct ints attr;
    double value = import_attr_float(n, "value", 0);
    if (!import_attr_ints(n, n->opset < 2 ? "paddings" : "pads", &attr)) {
      import_invalid(n, "pads are missing");
      return false;
    }
    if (!import_arity(n, 1, 1, 1))
      return false;
    *pads = dims_from(n, attr);
    *fill = build_scalar_f64(n->b, import_dtype(n, 0), value);
    return true;
  }
  if (!import_arity(n, 2, 4, 1) || !import_dims_or_symbols(n, 1, "pads", pads))
    return false;
  if (import_has(n, 3) && !import_dims_or_symbols(n, 3, "axes", axes))
    return false;
  *fill = import_has(n, 2) ? build_reshape(n->b, import_in(n, 2), NULL, 0)
                           : build_scalar_i64(n->b, import_dtype(n, 0), 0);
  return true;
}

void import_pad(struct import_node *n) {
  enum pad_mode mode;
  struct dims pads, axes = {0};
  value_id fill;
  if (!pad_mode_of(n, &mode) || !pad_operands(n, &pads, &axes, &fill))
    return;
  uint32_t rank = import_rank(n, 0);
  if (!axes.data)
    axes = first_axes(n, rank);
  if (pads.len != 2 * axes.len) {
    import_invalid(n, "%u pads for %u axes", pads.len, axes.len);
    return;
  }
  dim zeros[IR_MAX_RANK], low[IR_MAX_RANK], high[IR_MAX_RANK];
  for (uint32_t i = 0; i < rank; i++)
    zeros[i] = dim_const(n->dims, 0);
  if (spread(n, &axes, pads.data, zeros, rank, low) &&
      spread(n, &axes, pads.data + axes.len, zeros, rank, high))
    import_out(n, 0, pad_by(n, import_in(n, 0), mode, fill, low, high));
}

void import_center_crop_pad(struct import_node *n) {
  struct ints attr;
  struct dims shape, axes;
  bool has_axes = import_attr_ints(n, "axes", &attr);
  if (!import_arity(n, 2, 2, 1) || !import_dims_or_symbols(n, 1, "the shape", &shape))
    return;
  struct dim_table *t = n->dims;
  const struct type type = *import_type(n, 0);
  axes = has_axes ? dims_from(n, attr) : first_axes(n, type.rank);
  dim wanted[IR_MAX_RANK], low[IR_MAX_RANK], high[IR_MAX_RANK];
  if (shape.len != axes.len) {
    import_invalid(n, "%u sizes for %u axes", shape.len, axes.len);
    return;
  }
  if (!spread(n, &axes, shape.data, type.dims, type.rank, wanted))
    return;
  /* More rounds down before, less rounds down too: floor of the magnitude. */
  for (uint32_t i = 0; i < type.rank; i++) {
    dim more = dim_sub(t, import_size(n, wanted[i]), type.dims[i]), two = dim_const(t, 2);
    dim added = dim_max(t, more, dim_const(t, 0)), cut = dim_sub(t, added, more);
    low[i] = dim_sub(t, dim_floordiv(t, added, two), dim_floordiv(t, cut, two));
    high[i] = dim_sub(t, more, low[i]);
  }
  value_id fill = build_scalar_i64(n->b, type.dtype, 0);
  import_out(n, 0, pad_by(n, import_in(n, 0), PAD_CONSTANT, fill, low, high));
}
