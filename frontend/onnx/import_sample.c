/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that read feature maps at fractional places, and those that pool by regions.
 * Taps are dims of their own: one gather fetches all of them, weights multiply, a reduction sums.
 */
#include "frontend/onnx/import_util.h"

#include <math.h>
#include <string.h>

static value_id scalar_f32(struct import_node *n, double x) {
  return build_scalar_f64(n->b, DTYPE_F32, x);
}

static dim one_dim(struct import_node *n) { return dim_const(n->dims, 1); }

static value_id clamp_f64(struct import_node *n, value_id x, double lo, value_id hi) {
  return value_min(n->b, build_binary_f64(n->b, SCALAR_MAX, x, lo), hi);
}

/* x with dims of 1 after the first `before` and at the end, up to `rank`. */
static value_id spread_dims(struct import_node *n, value_id x, uint32_t before, uint32_t gap,
                            uint32_t rank) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  const struct type type = *value_type(n->f, x);
  dim dims[IR_MAX_RANK];
  uint32_t from = 0;
  for (uint32_t i = 0; i < rank && i < IR_MAX_RANK; i++) {
    bool filled = from >= type.rank || (i >= before && i < before + gap);
    dims[i] = filled ? one_dim(n) : type.dims[from++];
  }
  return build_reshape(n->b, x, dims, rank);
}

/* Keys' kernel with parameter k: IEEE ASSP-29 (1981), equation 15. */
static value_id cubic_weight(struct import_node *n, double k, value_id d) {
  if (d == VALUE_NONE)
    return VALUE_NONE;
  enum dtype t = value_type(n->f, d)->dtype;
  struct body_builder s;
  body_init(&s, 1);
  uint32_t x = body_op(&s, SCALAR_ABS, body_arg(&s, 0, t), 0, 0);
  uint32_t near = body_f64(&s, t, k + 2), far = body_f64(&s, t, k);
  uint32_t one = body_f64(&s, t, 1), two = body_f64(&s, t, 2);
  near = body_op(&s, SCALAR_SUB, body_op(&s, SCALAR_MUL, near, x, 0), body_f64(&s, t, k + 3), 0);
  near = body_op(&s, SCALAR_MUL, body_op(&s, SCALAR_MUL, near, x, 0), x, 0);
  near = body_op(&s, SCALAR_ADD, near, one, 0);
  far = body_op(&s, SCALAR_SUB, body_op(&s, SCALAR_MUL, far, x, 0), body_f64(&s, t, 5 * k), 0);
  far = body_op(&s, SCALAR_ADD, body_op(&s, SCALAR_MUL, far, x, 0), body_f64(&s, t, 8 * k), 0);
  far = body_op(&s, SCALAR_SUB, body_op(&s, SCALAR_MUL, far, x, 0), body_f64(&s, t, 4 * k), 0);
  far = body_op(&s, SCALAR_SELECT, body_op(&s, SCALAR_LT, x, two, 0), far, body_f64(&s, t, 0));
  body_op(&s, SCALAR_SELECT, body_op(&s, SCALAR_LE, x, one, 0), near, far);
  return build_map(n->b, &d, 1, body_finish(&s, n->f->module));
}

static value_id linear_weight(struct import_node *n, value_id d) {
  if (d == VALUE_NONE)
    return VALUE_NONE;
  value_id one = build_scalar_f64(n->b, value_type(n->f, d)->dtype, 1);
  value_id w = value_sub(n->b, one, build_unary(n->b, SCALAR_ABS, d));
  return build_binary_f64(n->b, SCALAR_MAX, w, 0);
}

/* ---- GridSample ---- */

enum grid_mode { GRID_NEAREST, GRID_LINEAR, GRID_CUBIC };
enum grid_padding { GRID_ZEROS, GRID_BORDER, GRID_REFLECTION };

struct grid {
  enum grid_mode mode;
  enum grid_padding padding;
  bool align;
  uint32_t spatial; /* dims */
  dim size[IR_MAX_RANK];
  enum dtype dtype; /* computed in */
};

/* A triangle wave between the borders of the dim. */
static value_id reflect(struct import_node *n, const struct grid *g, uint32_t i, value_id x) {
  struct builder *b = n->b;
  double low = g->align ? 0 : -0.5;
  dim span = g->align ? dim_sub(n->dims, g->size[i], one_dim(n)) : g->size[i];
  value_id range = import_dim_scalar(n, span, g->dtype), period = value_add(b, range, range);
  value_id r = build_binary(b, SCALAR_MOD, build_binary_f64(b, SCALAR_SUB, x, low), period);
  r = value_min(b, r, value_sub(b, period, r));
  value_id flat = build_binary_f64(b, SCALAR_EQ, range, 0);
  r = build_select(b, flat, build_scalar_f64(b, g->dtype, 0), r);
  return build_binary_f64(b, SCALAR_ADD, r, low);
}

static value_id last_of(struct import_node *n, const struct grid *g, uint32_t i) {
  return import_dim_scalar(n, dim_sub(n->dims, g->size[i], one_dim(n)), g->dtype);
}

/* What stands in the place of x if it is outside. */
static value_id inside_of(struct import_node *n, const struct grid *g, uint32_t i, value_id x) {
  if (g->padding == GRID_BORDER)
    return clamp_f64(n, x, 0, last_of(n, g, i));
  return g->padding == GRID_REFLECTION ? reflect(n, g, i, x) : x;
}

/* Places along dim i in the feature map, [batch, out...]. */
static value_id grid_places(struct import_node *n, const struct grid *g, uint32_t i) {
  struct builder *b = n->b;
  uint32_t last = g->spatial + 1;
  value_id x = build_slice_axis(b, import_in(n, 1), last, dim_const(n->dims, g->spatial - 1 - i),
                                one_dim(n));
  const struct type grid = *import_type(n, 1);
  x = build_cast(b, build_reshape(b, x, grid.dims, last), g->dtype);
  x = build_binary_f64(b, SCALAR_ADD, x, 1);
  value_id size = import_dim_scalar(n, g->size[i], g->dtype);
  if (g->align)
    x = value_mul(b, build_binary_f64(b, SCALAR_DIV, x, 2), last_of(n, g, i));
  else
    x = build_binary_f64(b, SCALAR_DIV, build_binary_f64(b, SCALAR_SUB, value_mul(b, x, size), 1),
                         2);
  if (g->mode == GRID_NEAREST)
    x = build_unary(b, SCALAR_ROUND, x);
  return inside_of(n, g, i, x);
}

/* Indices along dim i with a dim for its taps, and the weights; taps of other dims are 1. */
static void grid_taps(struct import_node *n, const struct grid *g, uint32_t i, value_id *out_index,
                      value_id *out_weight) {
  struct builder *b = n->b;
  uint32_t outer = g->spatial + 1, rank = outer + g->spatial;
  int64_t count = g->mode == GRID_NEAREST ? 1 : g->mode == GRID_LINEAR ? 2 : 4;
  value_id x = spread_dims(n, grid_places(n, g, i), outer, g->spatial, rank);
  value_id tap = import_axis_iota(n, g->dtype, rank, outer + i, dim_const(n->dims, count));
  if (g->mode == GRID_CUBIC)
    tap = build_binary_f64(b, SCALAR_SUB, tap, 1);
  value_id at = value_add(b, build_unary(b, SCALAR_FLOOR, x), tap), distance = value_sub(b, x, at);
  *out_weight =
      g->mode == GRID_CUBIC ? cubic_weight(n, -0.75, distance) : linear_weight(n, distance);
  if (g->padding == GRID_ZEROS) {
    value_id inside = build_binary(b, SCALAR_AND, build_binary_f64(b, SCALAR_GE, at, 0),
                                   build_binary(b, SCALAR_LE, at, last_of(n, g, i)));
    *out_weight = build_select(b, inside, *out_weight, build_scalar_f64(b, g->dtype, 0));
  }
  at = clamp_f64(n, inside_of(n, g, i, at), 0, last_of(n, g, i));
  *out_index = build_cast(b, at, DTYPE_I64);
}

static value_id grid_sample(struct import_node *n, const struct grid *g) {
  struct builder *b = n->b;
  const struct type x = *import_type(n, 0), grid = *import_type(n, 1);
  uint32_t outer = g->spatial + 1, rank = outer + g->spatial;
  value_id indices[IR_MAX_RANK], weight = VALUE_NONE;
  int64_t axes[IR_MAX_RANK] = {0}, taps[IR_MAX_RANK], perm[IR_MAX_RANK] = {0, outer};
  indices[0] = import_axis_iota(n, DTYPE_I64, rank, 0, x.dims[0]);
  for (uint32_t i = 0; i < g->spatial; i++) {
    value_id w;
    grid_taps(n, g, i, &indices[1 + i], &w);
    weight = i ? value_mul(b, weight, w) : w;
    axes[1 + i] = 2 + i;
    taps[i] = outer + i;
    perm[2 + i] = 1 + i;
  }
  value_id data = build_cast(b, import_in(n, 0), g->dtype);
  value_id y = build_gather(b, data, indices, axes, 1 + g->spatial, OUT_OF_RANGE_CLAMP);
  y = value_mul(b, y, spread_dims(n, weight, rank, 1, rank + 1));
  y = build_reduce(b, y, taps, g->spatial, COMBINER_SUM);
  dim dims[IR_MAX_RANK];
  memcpy(dims, grid.dims, sizeof dims);
  dims[outer] = x.dims[1];
  return build_transpose(b, build_reshape(b, y, dims, outer + 1), perm);
}

void import_grid_sample(struct import_node *n) {
  const char *mode = import_attr_string(n, "mode", n->opset < 20 ? "bilinear" : "linear");
  const char *padding = import_attr_string(n, "padding_mode", "zeros");
  struct grid g = {.align = import_attr_int(n, "align_corners", 0) != 0};
  if (!import_arity(n, 2, 2, 1))
    return;
  if (!strcmp(mode, "bilinear") || !strcmp(mode, "linear"))
    g.mode = GRID_LINEAR;
  else if (!strcmp(mode, "bicubic") || !strcmp(mode, "cubic"))
    g.mode = GRID_CUBIC;
  else if (strcmp(mode, "nearest"))
    import_invalid(n, "mode '%s' does not exist", mode);
  if (!strcmp(padding, "border"))
    g.padding = GRID_BORDER;
  else if (!strcmp(padding, "reflection"))
    g.padding = GRID_REFLECTION;
  else if (strcmp(padding, "zeros"))
    import_invalid(n, "padding_mode '%s' does not exist", padding);
  const struct type x = *import_type(n, 0);
  if (x.rank < 3 || import_rank(n, 1) != x.rank)
    import_invalid(n, "its operands have ranks %u and %u", x.rank, import_rank(n, 1));
  else if (2 * x.rank - 2 > IR_MAX_RANK)
    import_unsupported(n, "rank %u", x.rank);
  if (n->failed)
    return;
  g.spatial = x.rank - 2;
  g.dtype = dtype_is_float(x.dtype) ? dtype_compute(x.dtype) : DTYPE_F32;
  memcpy(g.size, x.dims + 2, g.spatial * sizeof *g.size);
  import_out(n, 0, build_cast(n->b, grid_sample(n, &g), x.dtype));
}

/* theta [n, k, k + 1] times the places of a grid from -1 to 1, with x before y before z. */
void import_affine_grid(struct import_node *n) {
  bool align = import_attr_int(n, "align_corners", 0) != 0;
  struct dims size;
  if (!import_arity(n, 2, 2, 1) || !import_dims_or_symbols(n, 1, "the size", &size))
    return;
  struct builder *b = n->b;
  uint32_t k = size.len - 2, rank = size.len;
  const struct type theta = *import_type(n, 0);
  if ((size.len != 4 && size.len != 5) || theta.rank != 3) {
    import_invalid(n, "a size of %u entries, for theta of rank %u", size.len, theta.rank);
    return;
  }
  enum dtype dtype = theta.dtype, compute = dtype_compute(dtype);
  value_id sum = VALUE_NONE;
  for (uint32_t j = 0; j <= k; j++) {
    value_id column = build_slice_axis(b, build_cast(b, import_in(n, 0), compute), 2,
                                       dim_const(n->dims, j), one_dim(n));
    column = spread_dims(n, build_reshape(b, column, theta.dims, 2), 1, k, rank);
    if (j < k) {
      uint32_t d = k - 1 - j;
      dim length = import_size(n, size.data[2 + d]);
      dim steps =
          align ? dim_max(n->dims, dim_sub(n->dims, length, one_dim(n)), one_dim(n)) : length;
      value_id at = import_axis_iota(n, compute, rank, 1 + d, length);
      at = build_binary_f64(b, SCALAR_MUL, at, 2);
      at = align ? at : build_binary_f64(b, SCALAR_ADD, at, 1);
      at = value_div(b, at, import_dim_scalar(n, steps, compute));
      column = value_mul(b, column, build_binary_f64(b, SCALAR_SUB, at, 1));
    }
    sum = j ? value_add(b, sum, column) : column;
  }
  dim dims[IR_MAX_RANK] = {theta.dims[0]};
  for (uint32_t d = 0; d < k; d++)
    dims[1 + d] = import_size(n, size.data[2 + d]);
  dims[k + 1] = dim_const(n->dims, k);
  import_out(n, 0, build_cast(b, build_broadcast_to(b, sum, dims, rank), dtype));
}

/* ---- RoiAlign ---- */

struct roi {
  bool half_pixel, max;
  int64_t out[2], samples; /* samples 0: as many as a bin is long */
  double scale;
  value_id rois; /* f32 [r, 4] */
};

struct roi_axis {
  value_id index, weight; /* [r, out, samples, 2] */
  value_id valid;         /* bool [r, 1, samples, 1], VALUE_NONE: all */
  value_id count;         /* f32: scalar or [r, 1, 1, 1] */
};

static value_id roi_edge(struct import_node *n, const struct roi *r, uint32_t column) {
  value_id x = build_slice_axis(n->b, r->rois, 1, dim_const(n->dims, column), one_dim(n));
  x = spread_dims(n, x, 2, 0, 4);
  x = build_binary_f64(n->b, SCALAR_MUL, x, r->scale);
  return r->half_pixel ? build_binary_f64(n->b, SCALAR_SUB, x, 0.5) : x;
}

/* How many samples a bin has, per region, and the greatest of these. */
static dim roi_samples(struct import_node *n, const struct roi *r, value_id bin,
                       struct roi_axis *out) {
  struct builder *b = n->b;
  out->valid = VALUE_NONE;
  out->count = scalar_f32(n, (double)r->samples);
  if (r->samples > 0)
    return dim_const(n->dims, r->samples);
  out->count = build_unary(b, SCALAR_CEIL, bin);
  value_id most =
      build_reduce(b, build_cast(b, out->count, DTYPE_I64), (int64_t[]){0}, 1, COMBINER_MAX);
  most = build_binary_i64(b, SCALAR_MAX, most, 1);
  return import_size(n, import_value_symbol(n, most, 0));
}

static void roi_along(struct import_node *n, const struct roi *r, uint32_t axis,
                      struct roi_axis *out) {
  struct builder *b = n->b;
  dim size = import_dim(n, 0, 2 + axis), places = dim_const(n->dims, r->out[axis]);
  value_id start = roi_edge(n, r, 1 - axis), end = roi_edge(n, r, 3 - axis);
  value_id length = value_sub(b, end, start);
  if (!r->half_pixel)
    length = build_binary_f64(b, SCALAR_MAX, length, 1);
  value_id bin = build_binary_f64(b, SCALAR_DIV, length, (double)r->out[axis]);
  dim samples = roi_samples(n, r, bin, out);
  value_id place = import_axis_iota(n, DTYPE_F32, 4, 1, places);
  value_id sample = import_axis_iota(n, DTYPE_F32, 4, 2, samples);
  if (r->samples == 0)
    out->valid = build_binary(b, SCALAR_LT, sample, out->count);
  value_id x =
      value_div(b, value_mul(b, build_binary_f64(b, SCALAR_ADD, sample, 0.5), bin), out->count);
  x = value_add(b, value_add(b, start, value_mul(b, place, bin)), x);
  value_id whole = import_dim_scalar(n, size, DTYPE_F32);
  value_id last = import_dim_scalar(n, dim_sub(n->dims, size, one_dim(n)), DTYPE_F32);
  value_id outside = build_binary(b, SCALAR_OR, build_binary_f64(b, SCALAR_LT, x, -1),
                                  build_binary(b, SCALAR_GT, x, whole));
  x = clamp_f64(n, x, 0, last);
  value_id at = value_add(b, build_unary(b, SCALAR_FLOOR, x),
                          import_axis_iota(n, DTYPE_F32, 4, 3, dim_const(n->dims, 2)));
  value_id weight = linear_weight(n, value_sub(b, x, at));
  out->weight = build_select(b, outside, scalar_f32(n, 0), weight);
  out->index = build_cast(b, value_min(b, at, last), DTYPE_I64);
}

/* Dims while it is computed: r, out h, samples h, taps h, out w, samples w, taps w, channels. */
static value_id roi_align(struct import_node *n, const struct roi *r) {
  struct builder *b = n->b;
  struct roi_axis h, w;
  roi_along(n, r, 0, &h);
  roi_along(n, r, 1, &w);
  value_id batch = build_cast(b, import_in(n, 2), DTYPE_I64);
  value_id indices[3] = {spread_dims(n, batch, 1, 0, 7), spread_dims(n, h.index, 4, 0, 7),
                         spread_dims(n, w.index, 1, 3, 7)};
  value_id data = build_cast(b, import_in(n, 0), DTYPE_F32);
  value_id y = build_gather(b, data, indices, (int64_t[]){0, 2, 3}, 3, OUT_OF_RANGE_ERROR);
  y = value_mul(b, y, spread_dims(n, h.weight, 4, 0, 8));
  y = value_mul(b, y, spread_dims(n, w.weight, 1, 3, 8));
  value_id none = scalar_f32(n, r->max ? -INFINITY : 0);
  if (h.valid != VALUE_NONE)
    y = build_select(b,
                     build_binary(b, SCALAR_AND, spread_dims(n, h.valid, 4, 0, 8),
                                  spread_dims(n, w.valid, 1, 3, 8)),
                     y, none);
  y = build_reduce(b, y, (int64_t[]){2, 3, 5, 6}, 4, r->max ? COMBINER_MAX : COMBINER_SUM);
  if (r->max) {
    value_id empty = build_binary(b, SCALAR_EQ, y, none);
    y = build_select(b, empty, scalar_f32(n, 0), y);
  } else {
    value_id count = value_mul(b, h.count, w.count);
    count = build_binary_f64(b, SCALAR_MAX, count, 1);
    y = value_div(b, y, r->samples ? count : spread_dims(n, count, 4, 0, 8));
  }
  dim dims[4] = {import_dim(n, 1, 0), dim_const(n->dims, r->out[0]), dim_const(n->dims, r->out[1]),
                 import_dim(n, 0, 1)};
  return build_transpose(b, build_reshape(b, y, dims, 4), (int64_t[]){0, 3, 1, 2});
}

void import_roi_align(struct import_node *n) {
  const char *mode = import_attr_string(n, "mode", "avg");
  const char *coordinates = import_attr_string(n, "coordinate_transformation_mode",
                                               n->opset < 16 ? "output_half_pixel" : "half_pixel");
  struct roi r = {
      .half_pixel = !strcmp(coordinates, "half_pixel"),
      .max = !strcmp(mode, "max"),
      .out = {import_attr_int(n, "output_height", 1), import_attr_int(n, "output_width", 1)},
      .samples = import_attr_int(n, "sampling_ratio", 0),
      .scale = import_attr_float(n, "spatial_scale", 1)};
  if (!import_arity(n, 3, 3, 1))
    return;
  if (import_rank(n, 0) != 4 || import_rank(n, 1) != 2 || import_rank(n, 2) != 1 || r.out[0] < 1 ||
      r.out[1] < 1 || r.samples < 0 || (strcmp(mode, "avg") && !r.max) ||
      (!r.half_pixel && strcmp(coordinates, "output_half_pixel"))) {
    import_invalid(n, "its attributes or the ranks of its operands are not allowed");
    return;
  }
  r.rois = build_cast(n->b, import_in(n, 1), DTYPE_F32);
  import_out(n, 0, build_cast(n->b, roi_align(n, &r), import_dtype(n, 0)));
}

/* ---- MaxRoiPool ---- */

/* Which elements of a dim lie in each bin: bool [r, bins, size]. */
static value_id bins_of(struct import_node *n, uint32_t axis, int64_t bins, double scale) {
  struct builder *b = n->b;
  value_id rois = build_cast(b, import_in(n, 1), DTYPE_F32), edge[2];
  for (uint32_t k = 0; k < 2; k++) {
    edge[k] = build_slice_axis(b, rois, 1, dim_const(n->dims, 2 - axis + 2 * k), one_dim(n));
    edge[k] = spread_dims(n, build_binary_f64(b, SCALAR_MUL, edge[k], scale), 2, 0, 3);
    edge[k] = build_unary(b, SCALAR_FLOOR, build_binary_f64(b, SCALAR_ADD, edge[k], 0.5));
  }
  value_id length = build_binary_f64(b, SCALAR_ADD, value_sub(b, edge[1], edge[0]), 1);
  length = build_binary_f64(b, SCALAR_MAX, length, 1);
  value_id bin = build_binary_f64(b, SCALAR_DIV, length, (double)bins);
  value_id i = import_axis_iota(n, DTYPE_F32, 3, 1, dim_const(n->dims, bins));
  value_id first = build_unary(b, SCALAR_FLOOR, value_mul(b, i, bin));
  value_id end = value_mul(b, build_binary_f64(b, SCALAR_ADD, i, 1), bin);
  end = value_add(b, build_unary(b, SCALAR_CEIL, end), edge[0]);
  value_id at = import_axis_iota(n, DTYPE_F32, 3, 2, import_dim(n, 0, 2 + axis));
  return build_binary(b, SCALAR_AND, build_binary(b, SCALAR_GE, at, value_add(b, first, edge[0])),
                      build_binary(b, SCALAR_LT, at, end));
}

void import_max_roi_pool(struct import_node *n) {
  struct ints shape;
  bool given = import_attr_ints(n, "pooled_shape", &shape);
  double scale = import_attr_float(n, "spatial_scale", 1);
  if (!import_arity(n, 2, 2, 1))
    return;
  if (!given || shape.len != 2 || shape.data[0] < 1 || shape.data[1] < 1 ||
      import_rank(n, 0) != 4 || import_rank(n, 1) != 2) {
    import_invalid(n, "its attributes or the ranks of its operands are not allowed");
    return;
  }
  struct builder *b = n->b;
  enum dtype dtype = import_dtype(n, 0);
  value_id none = build_scalar_f64(b, dtype, -INFINITY), y;
  value_id batch = build_slice_axis(b, import_in(n, 1), 1, dim_const(n->dims, 0), one_dim(n));
  dim count = import_dim(n, 1, 0);
  batch = build_reshape(b, build_cast(b, batch, DTYPE_I64), &count, 1);
  y = import_gather_axis(n, import_in(n, 0), batch, 0, OUT_OF_RANGE_ERROR);
  /* [r, c, bins, h, w], then [r, c, bins, 1, bins, w] */
  value_id rows = spread_dims(n, bins_of(n, 0, shape.data[0], scale), 1, 1, 5);
  y = build_select(b, rows, build_unsqueeze(b, y, (int64_t[]){2}, 1), none);
  y = build_reduce(b, y, (int64_t[]){3}, 1, COMBINER_MAX);
  value_id columns = spread_dims(n, bins_of(n, 1, shape.data[1], scale), 1, 3, 6);
  y = build_select(b, columns, build_unsqueeze(b, y, (int64_t[]){4}, 1), none);
  y = build_reduce(b, y, (int64_t[]){5}, 1, COMBINER_MAX);
  value_id empty = build_binary(b, SCALAR_EQ, y, none);
  y = build_select(b, empty, build_scalar_f64(b, dtype, 0), y);
  dim dims[4] = {count, import_dim(n, 0, 1), dim_const(n->dims, shape.data[0]),
                 dim_const(n->dims, shape.data[1])};
  import_out(n, 0, build_reshape(b, y, dims, 4));
}
