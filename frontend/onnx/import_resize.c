/* SPDX-License-Identifier: Apache-2.0 */
/* Resize and Upsample: interpolation is separable, so one axis is resized after the other. Along an
 * axis, output place i looks at coordinate c(i) of the operand, computed in f64: at one element of
 * it (nearest), or at a few around it (taps) that are weighed. */
#include "frontend/onnx/import_util.h"

#include <string.h>

enum coordinates {
  HALF_PIXEL,
  HALF_PIXEL_SYMMETRIC,
  PYTORCH_HALF_PIXEL,
  ALIGN_CORNERS,
  ASYMMETRIC,
  TF_HALF_PIXEL_FOR_NN,
  TF_CROP_AND_RESIZE,
};
enum interpolation { NEAREST, LINEAR, CUBIC };
enum nearest_mode { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, NEAREST_FLOOR, NEAREST_CEIL };
enum aspect { STRETCH, NOT_LARGER, NOT_SMALLER };

static const char *const coordinate_names[] = {
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
    "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"};
static const char *const interpolation_names[] = {"nearest", "linear", "cubic"};
static const char *const nearest_names[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                            "ceil"};
static const char *const aspect_names[] = {"stretch", "not_larger", "not_smaller"};

struct resize {
  enum coordinates coordinates;
  enum interpolation interpolation;
  enum nearest_mode nearest;
  enum aspect aspect;
  bool exclude_outside, antialias;
  double cubic_a, extrapolation;
  struct ints axes;
};

struct along {
  uint32_t axis;
  dim in, out;
  value_id scale; /* f64, rank 0, as `width`: how long the output is before it is cut to `out` */
  value_id width;
  value_id start, end; /* of the region of interest, f64; VALUE_NONE but for tf_crop_and_resize */
};

/* ---- scalars and vectors of f64 ---- */

static value_id number(struct import_node *n, double x) {
  return build_scalar_f64(n->b, DTYPE_F64, x);
}
static value_id plus(struct import_node *n, value_id x, double y) {
  return build_binary_f64(n->b, SCALAR_ADD, x, y);
}
static value_id times(struct import_node *n, value_id x, double y) {
  return build_binary_f64(n->b, SCALAR_MUL, x, y);
}
static value_id size_of(struct import_node *n, dim d) { return import_dim_scalar(n, d, DTYPE_F64); }

/* 1 where a condition holds, else 0. */
static value_id one_where(struct import_node *n, value_id condition) {
  return build_cast(n->b, condition, DTYPE_F64);
}

/* ---- coordinates ---- */

/* x where the output has one place, else y. */
static value_id if_single(struct import_node *n, const struct along *a, value_id x, value_id y) {
  value_id single = build_binary(n->b, SCALAR_EQ, a->width, number(n, 1));
  return build_select(n->b, single, x, y);
}

/* places * (in - 1) / (width - 1) */
static value_id corner_to_corner(struct import_node *n, const struct along *a, value_id place) {
  struct builder *b = n->b;
  value_id steps = value_mul(b, place, plus(n, size_of(n, a->in), -1));
  return value_div(b, steps, if_single(n, a, number(n, 1), plus(n, a->width, -1)));
}

static value_id crop_coordinates(struct import_node *n, const struct along *a, value_id place) {
  struct builder *b = n->b;
  value_id extent = value_sub(b, a->end, a->start), last = plus(n, size_of(n, a->in), -1);
  value_id many = value_mul(b, corner_to_corner(n, a, place), extent);
  value_id one = times(n, value_mul(b, extent, last), 0.5);
  return value_add(b, if_single(n, a, one, many), value_mul(b, a->start, last));
}

static value_id coordinates_of(struct import_node *n, const struct resize *r,
                               const struct along *a) {
  struct builder *b = n->b;
  value_id place = build_iota(b, DTYPE_F64, &a->out, 1, 0);
  value_id half = value_div(b, plus(n, place, 0.5), a->scale);
  switch (r->coordinates) {
  case HALF_PIXEL: return plus(n, half, -0.5);
  case HALF_PIXEL_SYMMETRIC: {
    value_id cut = value_div(b, size_of(n, a->out), a->width);
    value_id offset =
        value_mul(b, times(n, size_of(n, a->in), 0.5), value_sub(b, number(n, 1), cut));
    return value_add(b, plus(n, half, -0.5), offset);
  }
  case PYTORCH_HALF_PIXEL: return if_single(n, a, number(n, 0), plus(n, half, -0.5));
  case ALIGN_CORNERS: return if_single(n, a, number(n, 0), corner_to_corner(n, a, place));
  case ASYMMETRIC: return value_div(b, place, a->scale);
  case TF_HALF_PIXEL_FOR_NN: return half;
  case TF_CROP_AND_RESIZE: return crop_coordinates(n, a, place);
  }
  return VALUE_NONE;
}

/* ---- taps ---- */

static value_id clamped_index(struct import_node *n, value_id index, dim size) {
  value_id last = import_dim_scalar(n, dim_sub(n->dims, size, dim_const(n->dims, 1)), DTYPE_I64);
  index = build_cast(n->b, index, DTYPE_I64);
  index = value_min(n->b, index, last);
  return value_max(n->b, index, build_scalar_i64(n->b, DTYPE_I64, 0));
}

static value_id nearest_place(struct import_node *n, const struct resize *r, value_id c) {
  switch (r->nearest) {
  case ROUND_PREFER_FLOOR: return build_unary(n->b, SCALAR_CEIL, plus(n, c, -0.5));
  case ROUND_PREFER_CEIL: return build_unary(n->b, SCALAR_FLOOR, plus(n, c, 0.5));
  case NEAREST_FLOOR: return build_unary(n->b, SCALAR_FLOOR, c);
  case NEAREST_CEIL: return build_unary(n->b, SCALAR_CEIL, c);
  }
  return VALUE_NONE;
}

/* How far the kernel reaches to each side at scale 1. */
static int support_of(const struct resize *r) { return r->interpolation == CUBIC ? 2 : 1; }

/* The kernel at distance d >= 0: the tent, or Keys' cubic with parameter a. */
static value_id kernel_at(struct import_node *n, const struct resize *r, value_id d) {
  struct builder *b = n->b;
  if (r->interpolation == LINEAR)
    return value_max(b, value_sub(b, number(n, 1), d), number(n, 0));
  double a = r->cubic_a;
  value_id d2 = value_mul(b, d, d), d3 = value_mul(b, d2, d);
  value_id near = value_sub(b, times(n, d3, a + 2), times(n, d2, a + 3));
  value_id far = value_sub(b, times(n, d3, a), times(n, d2, 5 * a));
  far = plus(n, value_add(b, far, times(n, d, 8 * a)), -4 * a);
  value_id is_near = build_binary(b, SCALAR_LE, d, number(n, 1));
  value_id is_out = build_binary(b, SCALAR_GE, d, number(n, 2));
  return build_select(b, is_near, plus(n, near, 1), build_select(b, is_out, number(n, 0), far));
}

/* Places and weights of the taps of every output place: [out, taps]. */
struct taps {
  value_id place, weight;
  dim count;
};

/* The factor of distances: min(scale, 1) for a filter that is widened when sizes shrink. */
static value_id filter_scale(struct import_node *n, const struct resize *r, const struct along *a) {
  return r->antialias ? value_min(n->b, a->scale, number(n, 1)) : number(n, 1);
}

/* Half of the number of taps. A filter widened by 1 / scale, which is at most in / (out - 1/2),
 * reaches that many times as far. */
static dim half_taps(struct import_node *n, const struct resize *r, const struct along *a) {
  struct dim_table *t = n->dims;
  dim support = dim_const(t, support_of(r)), one = dim_const(t, 1), two = dim_const(t, 2);
  if (!r->antialias)
    return support;
  dim most = dim_floordiv(t, dim_mul(t, two, a->in),
                          dim_max(t, one, dim_sub(t, dim_mul(t, two, a->out), one)));
  return dim_add(t, dim_mul(t, support, dim_add(t, most, one)), one);
}

static void find_taps(struct import_node *n, const struct resize *r, const struct along *a,
                      value_id c, struct taps *out) {
  struct builder *b = n->b;
  value_id scale = filter_scale(n, r, a);
  dim half = half_taps(n, r, a), one = dim_const(n->dims, 1);
  out->count = dim_add(n->dims, half, half);
  dim column[2] = {a->out, one}, row[2] = {one, out->count};
  c = build_reshape(b, c, column, 2);
  value_id first =
      value_sub(b, build_unary(b, SCALAR_FLOOR, c), size_of(n, dim_sub(n->dims, half, one)));
  out->place = value_add(b, first, build_iota(b, DTYPE_F64, row, 2, 1));
  value_id distance = build_unary(b, SCALAR_ABS, value_sub(b, out->place, c));
  out->weight = kernel_at(n, r, value_mul(b, distance, scale));
  if (r->exclude_outside) {
    value_id inside = build_binary(b, SCALAR_GE, out->place, number(n, 0));
    value_id before = build_binary(b, SCALAR_LT, out->place, size_of(n, a->in));
    out->weight =
        value_mul(b, out->weight, one_where(n, build_binary(b, SCALAR_AND, inside, before)));
  }
  if (r->exclude_outside || r->antialias) {
    value_id sum = import_reduce(n, out->weight, import_range(n, 1, 2), COMBINER_SUM);
    value_id none = build_binary(b, SCALAR_EQ, sum, number(n, 0));
    out->weight = value_div(b, out->weight, build_select(b, none, number(n, 1), sum));
  }
}

/* Column t of [out, taps], as [out]. */
static value_id column_of(struct import_node *n, value_id x, dim out, int64_t t) {
  dim one = dim_const(n->dims, 1);
  return build_reshape(n->b, build_slice_axis(n->b, x, 1, dim_const(n->dims, t), one), &out, 1);
}

/* Few taps: a sum of gathers, which fuses into one kernel. */
static value_id weigh_few(struct import_node *n, value_id x, const struct along *a,
                          const struct taps *taps, int64_t count, enum dtype dtype) {
  uint32_t rank = import_rank(n, 0);
  value_id sum = VALUE_NONE;
  for (int64_t t = 0; t < count; t++) {
    value_id index = clamped_index(n, column_of(n, taps->place, a->out, t), a->in);
    value_id weight = build_cast(n->b, column_of(n, taps->weight, a->out, t), dtype);
    value_id y = import_gather_axis(n, x, index, a->axis, OUT_OF_RANGE_CLAMP);
    y = value_mul(n->b, y, import_along_axis(n, weight, rank, a->axis));
    sum = t == 0 ? y : value_add(n->b, sum, y);
  }
  return sum;
}

/* Many taps: gathered into a dim of their own, then reduced. */
static value_id weigh_many(struct import_node *n, value_id x, const struct along *a,
                           const struct taps *taps, enum dtype dtype) {
  uint32_t rank = import_rank(n, 0);
  dim dims[IR_MAX_RANK];
  if (rank + 1 > IR_MAX_RANK)
    return VALUE_NONE;
  for (uint32_t i = 0; i <= rank; i++)
    dims[i] = i == a->axis ? a->out : i == a->axis + 1 ? taps->count : dim_const(n->dims, 1);
  value_id index = clamped_index(n, taps->place, a->in);
  value_id y = import_gather_axis(n, x, index, a->axis, OUT_OF_RANGE_CLAMP);
  value_id weight = build_reshape(n->b, build_cast(n->b, taps->weight, dtype), dims, rank + 1);
  struct ints axes = import_range(n, a->axis + 1, a->axis + 2);
  y = import_reduce(n, value_mul(n->b, y, weight), axes, COMBINER_SUM);
  return build_squeeze(n->b, y, axes.data, 1);
}

/* ---- one axis ---- */

static value_id resize_along(struct import_node *n, const struct resize *r, value_id x,
                             const struct along *a, enum dtype dtype) {
  value_id c = coordinates_of(n, r, a), y;
  if (x == VALUE_NONE || c == VALUE_NONE)
    return VALUE_NONE;
  struct taps taps;
  if (r->interpolation == NEAREST) {
    value_id index = clamped_index(n, nearest_place(n, r, c), a->in);
    y = import_gather_axis(n, x, index, a->axis, OUT_OF_RANGE_CLAMP);
  } else {
    int64_t count;
    find_taps(n, r, a, c, &taps);
    bool few = dim_is_const(n->dims, taps.count, &count) && count <= 4;
    y = few ? weigh_few(n, x, a, &taps, count, dtype) : weigh_many(n, x, a, &taps, dtype);
  }
  if (r->coordinates != TF_CROP_AND_RESIZE)
    return y;
  value_id below = build_binary(n->b, SCALAR_LT, c, number(n, 0));
  value_id above = build_binary(n->b, SCALAR_GT, c, plus(n, size_of(n, a->in), -1));
  value_id outside =
      import_along_axis(n, build_binary(n->b, SCALAR_OR, below, above), import_rank(n, 0), a->axis);
  return build_select(n->b, outside, build_scalar_f64(n->b, dtype, r->extrapolation), y);
}

/* Integers are rounded and saturate. */
static value_id back_to(struct import_node *n, value_id y, enum dtype dtype) {
  if (dtype_is_int(dtype))
    y = build_unary(n->b, SCALAR_ROUND, y);
  return build_cast(n->b, y, dtype);
}

static void resize_all(struct import_node *n, const struct resize *r, const struct along *axes,
                       uint32_t count) {
  enum dtype dtype = import_dtype(n, 0);
  bool exact = r->interpolation == NEAREST && r->coordinates != TF_CROP_AND_RESIZE;
  enum dtype work = exact ? dtype : dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
  value_id x = build_cast(n->b, import_in(n, 0), work);
  for (uint32_t i = 0; i < count; i++) {
    bool same = dim_known_eq(n->dims, axes[i].in, axes[i].out);
    if (!same || r->coordinates == TF_CROP_AND_RESIZE)
      x = resize_along(n, r, x, &axes[i], work);
  }
  import_out(n, 0, exact ? x : back_to(n, x, dtype));
}

/* ---- sizes ---- */

/* Element i of a vector operand as an f64 scalar. */
static value_id element_of(struct import_node *n, uint32_t operand, uint32_t i) {
  value_id v = build_slice_axis(n->b, import_in(n, operand), 0, dim_const(n->dims, i),
                                dim_const(n->dims, 1));
  return build_reshape(n->b, v, NULL, 0);
}

/* floor(in * scale), in f32 as onnxruntime computes it; a symbol where it is not known. */
static dim scaled_size(struct import_node *n, dim in, value_id scale_f32, value_id *out_width) {
  value_id length = value_mul(n->b, import_dim_scalar(n, in, DTYPE_F32), scale_f32);
  value_id size = build_cast(n->b, build_unary(n->b, SCALAR_FLOOR, length), DTYPE_I64);
  *out_width = value_mul(n->b, size_of(n, in), build_cast(n->b, scale_f32, DTYPE_F64));
  return import_size(n, import_value_symbol(n, size, 0));
}

static bool sizes_from_scales(struct import_node *n, const struct resize *r, uint32_t operand,
                              struct along *axes) {
  for (uint32_t i = 0; i < r->axes.len; i++) {
    value_id scale = build_cast(n->b, element_of(n, operand, i), DTYPE_F32);
    axes[i].scale = build_cast(n->b, scale, DTYPE_F64);
    axes[i].out = scaled_size(n, axes[i].in, scale, &axes[i].width);
    if (axes[i].out == DIM_NONE) {
      if (!n->failed)
        import_unsupported(n, "scales that are not known");
      return false;
    }
  }
  return true;
}

/* All axes by the least (or greatest) of their scales; sizes are rounded half up. */
static void keep_aspect(struct import_node *n, const struct resize *r, struct along *axes) {
  value_id scale = axes[0].scale;
  for (uint32_t i = 1; i < r->axes.len; i++)
    scale =
        build_binary(n->b, r->aspect == NOT_LARGER ? SCALAR_MIN : SCALAR_MAX, scale, axes[i].scale);
  for (uint32_t i = 0; i < r->axes.len; i++) {
    axes[i].scale = scale;
    axes[i].width = value_mul(n->b, scale, size_of(n, axes[i].in));
    value_id size = build_unary(n->b, SCALAR_FLOOR, plus(n, axes[i].width, 0.5));
    axes[i].out = import_size(n, import_value_symbol(n, build_cast(n->b, size, DTYPE_I64), 0));
  }
}

static bool sizes_from_sizes(struct import_node *n, const struct resize *r, uint32_t operand,
                             struct along *axes) {
  struct dims sizes;
  if (!import_dims_or_symbols(n, operand, "sizes", &sizes))
    return false;
  if (sizes.len != r->axes.len) {
    import_invalid(n, "it has %u sizes for %u axes", sizes.len, r->axes.len);
    return false;
  }
  for (uint32_t i = 0; i < sizes.len; i++) {
    axes[i].out = import_size(n, sizes.data[i]);
    axes[i].width = size_of(n, axes[i].out);
    axes[i].scale = value_div(n->b, axes[i].width, size_of(n, axes[i].in));
  }
  if (r->aspect != STRETCH && sizes.len)
    keep_aspect(n, r, axes);
  return true;
}

static bool has_elements(struct import_node *n, uint32_t i) {
  return import_has(n, i) && import_rank(n, i) == 1 &&
         !dim_is_const_value(n->dims, import_dim(n, i, 0), 0);
}

static bool check_length(struct import_node *n, uint32_t operand, uint32_t len) {
  if (!dim_known_ne(n->dims, import_dim(n, operand, 0), dim_const(n->dims, len)))
    return true;
  import_invalid(n, "operand %u must have %u elements", operand, len);
  return false;
}

/* ---- operators ---- */

static bool read_word(struct import_node *n, const char *attribute, const char *const *names,
                      int count, int *out) {
  const char *word = import_attr_string(n, attribute, names[*out]);
  for (int i = 0; i < count; i++)
    if (!strcmp(word, names[i])) {
      *out = i;
      return true;
    }
  import_invalid(n, "'%s' is '%s'", attribute, word);
  return false;
}

static bool read_axes(struct import_node *n, struct resize *r, struct along *axes) {
  struct ints given;
  uint32_t rank = import_rank(n, 0);
  r->axes = import_range(n, 0, rank);
  if (import_attr_ints(n, "axes", &given) && !import_axes(n, given, rank, false, &r->axes))
    return false;
  for (uint32_t i = 0; i < r->axes.len; i++) {
    axes[i] = (struct along){.axis = (uint32_t)r->axes.data[i]};
    axes[i].in = import_dim(n, 0, axes[i].axis);
  }
  return !n->failed;
}

static bool read_resize(struct import_node *n, struct resize *r) {
  int coordinates = n->opset < 11 ? ASYMMETRIC : HALF_PIXEL, mode = NEAREST;
  int nearest = n->opset < 11 ? NEAREST_FLOOR : ROUND_PREFER_FLOOR, aspect = STRETCH;
  bool known = read_word(n, "coordinate_transformation_mode", coordinate_names, 7, &coordinates) &&
               read_word(n, "mode", interpolation_names, 3, &mode) &&
               read_word(n, "nearest_mode", nearest_names, 4, &nearest) &&
               read_word(n, "keep_aspect_ratio_policy", aspect_names, 3, &aspect);
  *r = (struct resize){.coordinates = (enum coordinates)coordinates,
                       .interpolation = (enum interpolation)mode,
                       .nearest = (enum nearest_mode)nearest,
                       .aspect = (enum aspect)aspect};
  r->exclude_outside = import_attr_int(n, "exclude_outside", 0) != 0;
  r->antialias = import_attr_int(n, "antialias", 0) != 0 && mode != NEAREST;
  r->cubic_a = import_attr_float(n, "cubic_coeff_a", -0.75);
  r->extrapolation = import_attr_float(n, "extrapolation_value", 0);
  return known;
}

void import_resize(struct import_node *n) {
  struct resize r;
  struct along axes[IR_MAX_RANK];
  if (!read_resize(n, &r) || !import_arity(n, 1, 4, 1) || !read_axes(n, &r, axes))
    return;
  uint32_t scales = n->opset < 11 ? 1 : 2;
  bool by_sizes = n->opset >= 11 && has_elements(n, 3);
  if (!by_sizes && !has_elements(n, scales)) {
    import_invalid(n, "it has neither scales nor sizes");
    return;
  }
  if (!check_length(n, by_sizes ? 3 : scales, r.axes.len) ||
      !(by_sizes ? sizes_from_sizes(n, &r, 3, axes) : sizes_from_scales(n, &r, scales, axes)))
    return;
  if (r.coordinates == TF_CROP_AND_RESIZE) {
    if (!has_elements(n, 1) || !check_length(n, 1, 2 * r.axes.len)) {
      import_invalid(n, "tf_crop_and_resize needs a region of interest");
      return;
    }
    for (uint32_t i = 0; i < r.axes.len; i++) {
      axes[i].start = build_cast(n->b, element_of(n, 1, i), DTYPE_F64);
      axes[i].end = build_cast(n->b, element_of(n, 1, r.axes.len + i), DTYPE_F64);
    }
  }
  resize_all(n, &r, axes, r.axes.len);
}

void import_upsample(struct import_node *n) {
  struct resize r = {.coordinates = ASYMMETRIC, .nearest = NEAREST_FLOOR};
  struct along axes[IR_MAX_RANK];
  const float *scales;
  uint32_t len;
  int mode = NEAREST;
  bool known = read_word(n, "mode", interpolation_names, 2, &mode);
  bool by_attribute = import_attr_floats(n, "scales", &scales, &len);
  r.interpolation = (enum interpolation)mode;
  if (!known || !import_arity(n, by_attribute ? 1 : 2, 2, 1) || !read_axes(n, &r, axes))
    return;
  if (!by_attribute) {
    if (import_rank(n, 1) != 1)
      import_invalid(n, "its scales are not a list");
    else if (check_length(n, 1, r.axes.len) && sizes_from_scales(n, &r, 1, axes))
      resize_all(n, &r, axes, r.axes.len);
    return;
  }
  if (len != r.axes.len) {
    import_invalid(n, "it has %u scales for %u axes", len, r.axes.len);
    return;
  }
  for (uint32_t i = 0; i < len; i++) {
    value_id scale = build_scalar_f64(n->b, DTYPE_F32, (double)scales[i]);
    axes[i].scale = build_cast(n->b, scale, DTYPE_F64);
    axes[i].out = scaled_size(n, axes[i].in, scale, &axes[i].width);
  }
  resize_all(n, &r, axes, len);
}
