/* SPDX-License-Identifier: Apache-2.0 */
/* Windows, mel filters and Fourier transforms. There is no complex dtype: a transform is a matrix
 * product with cosines and sines, which are maps of iotas, constant where the length is. */
#include "frontend/onnx/import_util.h"

#include <math.h>
#include <string.h>

/* ---- windows ---- */

/* The one element of an operand, as a size. */
static bool length_in(struct import_node *n, uint32_t i, const char *what, dim *out) {
  if (!import_dim_or_symbol(n, i, what, out))
    return false;
  *out = import_size(n, *out);
  return true;
}

/* a0 - a1 cos(2 pi i / N) + a2 cos(4 pi i / N); n->arg is a row of factors: Hann's, Hamming's,
 * Blackman's. */
void import_window_function(struct import_node *n) {
  static const double factors[][3] = {
      {0.5, 0.5, 0}, {25.0 / 46.0, 21.0 / 46.0, 0}, {0.42, 0.5, 0.08}};
  const double *a = factors[n->arg];
  bool periodic = import_attr_int(n, "periodic", 1) != 0;
  enum dtype dtype = import_attr_dtype(n, "output_datatype", DTYPE_F32);
  dim size;
  if (!import_arity(n, 1, 1, 1) || !length_in(n, 0, "the size", &size))
    return;
  struct builder *b = n->b;
  dim period = periodic ? size : dim_sub(n->dims, size, dim_const(n->dims, 1));
  value_id angle = build_iota(b, DTYPE_F64, &size, 1, 0);
  angle = build_binary_f64(b, SCALAR_MUL, angle, 2 * M_PI);
  angle = value_div(b, angle, import_dim_scalar(n, period, DTYPE_F64));
  value_id w = build_binary_f64(b, SCALAR_MUL, build_unary(b, SCALAR_COS, angle), -a[1]);
  w = build_binary_f64(b, SCALAR_ADD, w, a[0]);
  if (a[2] != 0) {
    value_id twice = build_unary(b, SCALAR_COS, build_binary_f64(b, SCALAR_MUL, angle, 2));
    w = value_add(b, w, build_binary_f64(b, SCALAR_MUL, twice, a[2]));
  }
  import_out(n, 0, build_cast(b, w, dtype));
}

/* ---- mel filters ---- */

static value_id mel_of(struct import_node *n, value_id hertz) {
  value_id x = build_binary_f64(n->b, SCALAR_DIV, hertz, 700);
  x = build_unary(n->b, SCALAR_LOG, build_binary_f64(n->b, SCALAR_ADD, x, 1));
  return build_binary_f64(n->b, SCALAR_MUL, x, 2595 / M_LN10);
}

/* The spectrum bin of the i-th of bins + 2 places that are evenly spaced in mel. */
static value_id mel_edge(struct import_node *n, dim bins, int64_t more, value_id low, value_id high,
                         dim length) {
  struct builder *b = n->b;
  value_id i = import_axis_iota(n, DTYPE_F64, 2, 1, bins);
  i = build_binary_f64(b, SCALAR_ADD, i, (double)more);
  dim places = dim_add(n->dims, bins, dim_const(n->dims, 2));
  value_id step = value_div(b, value_sub(b, high, low), import_dim_scalar(n, places, DTYPE_F64));
  value_id mel = value_add(b, value_mul(b, i, step), low);
  mel = build_binary_f64(b, SCALAR_MUL, build_binary_f64(b, SCALAR_DIV, mel, 2595), M_LN10);
  value_id hertz = build_binary_f64(b, SCALAR_SUB, build_unary(b, SCALAR_EXP, mel), 1);
  hertz = build_binary_f64(b, SCALAR_MUL, hertz, 700);
  dim odd = dim_add(n->dims, length, dim_const(n->dims, 1));
  hertz = value_mul(b, hertz, import_dim_scalar(n, odd, DTYPE_F64));
  return build_unary(b, SCALAR_FLOOR, value_div(b, hertz, import_scalar(n, 2, DTYPE_F64)));
}

/* Triangles that rise from one edge to the next and fall to the one after. */
void import_mel_weight_matrix(struct import_node *n) {
  enum dtype dtype = import_attr_dtype(n, "output_datatype", DTYPE_F32);
  dim bins, length;
  if (!import_arity(n, 5, 5, 1) || !length_in(n, 0, "the number of bins", &bins) ||
      !length_in(n, 1, "the length of the transform", &length))
    return;
  struct builder *b = n->b;
  value_id low = mel_of(n, import_scalar(n, 3, DTYPE_F64));
  value_id high = mel_of(n, import_scalar(n, 4, DTYPE_F64)), edge[3];
  for (int64_t k = 0; k < 3; k++)
    edge[k] = mel_edge(n, bins, k, low, high, length);
  dim rows =
      dim_add(n->dims, dim_floordiv(n->dims, length, dim_const(n->dims, 2)), dim_const(n->dims, 1));
  value_id j = import_axis_iota(n, DTYPE_F64, 2, 0, rows);
  value_id zero = build_scalar_f64(b, DTYPE_F64, 0), one = build_scalar_f64(b, DTYPE_F64, 1);
  value_id rise = value_div(b, value_sub(b, j, edge[0]), value_sub(b, edge[1], edge[0]));
  value_id fall = value_div(b, value_sub(b, edge[2], j), value_sub(b, edge[2], edge[1]));
  value_id rises = build_binary(b, SCALAR_AND, build_binary(b, SCALAR_GE, j, edge[0]),
                                build_binary(b, SCALAR_LE, j, edge[1]));
  value_id falls = build_binary(b, SCALAR_AND, build_binary(b, SCALAR_GE, j, edge[1]),
                                build_binary(b, SCALAR_LT, j, edge[2]));
  value_id sharp = build_binary(b, SCALAR_EQ, edge[0], edge[1]);
  value_id w = build_select(b, rises, build_select(b, sharp, one, rise), zero);
  import_out(n, 0, build_cast(b, build_select(b, falls, fall, w), dtype));
}

/* ---- Fourier transforms ---- */

/* cos or sin of 2 pi j k / length: [rows, columns]. j * k is reduced while it is an integer. */
static value_id twiddles(struct import_node *n, enum scalar_op op, dim rows, dim columns,
                         dim length, enum dtype dtype) {
  struct builder *b = n->b;
  value_id product = value_mul(b, import_axis_iota(n, DTYPE_I64, 2, 0, rows),
                               import_axis_iota(n, DTYPE_I64, 2, 1, columns));
  product = build_binary(b, SCALAR_MOD, product, import_dim_scalar(n, length, DTYPE_I64));
  value_id angle = build_binary_f64(b, SCALAR_MUL, build_cast(b, product, DTYPE_F64), 2 * M_PI);
  angle = value_div(b, angle, import_dim_scalar(n, length, DTYPE_F64));
  return build_cast(b, build_unary(b, op, angle), dtype);
}

/* x [..., j] times w [j, k]. */
static value_id times_matrix(struct import_node *n, value_id x, value_id w) {
  if (x == VALUE_NONE || w == VALUE_NONE)
    return VALUE_NONE;
  int64_t last = value_type(n->f, x)->rank - 1, first = 0;
  struct contract_attrs attrs = {
      .lhs_k = {&last, 1}, .rhs_k = {&first, 1}, .dtype = value_type(n->f, x)->dtype};
  return build_contract(n->b, x, w, &attrs);
}

struct spectrum {
  bool inverse, onesided;
  dim length; /* DIM_NONE: that of the axis */
};

/* x with the axis cut or filled with zeros to a length. */
static value_id fit_axis(struct import_node *n, value_id x, uint32_t axis, dim length) {
  struct dim_table *t = n->dims;
  const struct type type = *value_type(n->f, x);
  dim low[IR_MAX_RANK], high[IR_MAX_RANK], zero = dim_const(t, 0);
  if (dim_known_eq(t, type.dims[axis], length))
    return x;
  for (uint32_t i = 0; i < type.rank; i++)
    low[i] = high[i] = zero;
  dim kept = dim_min(t, type.dims[axis], length);
  high[axis] = dim_max(t, dim_sub(t, length, type.dims[axis]), zero);
  x = build_slice_axis(n->b, x, axis, zero, kept);
  return build_pad(n->b, x, build_scalar_i64(n->b, type.dtype, 0), low, high, NULL);
}

/* A part of x [..., 2] (0 real, 1 imaginary) with the axis last; VALUE_NONE for the imaginary part
 * of a real signal. */
static value_id part_of(struct import_node *n, value_id x, uint32_t axis, int64_t part) {
  const struct type type = *value_type(n->f, x);
  uint32_t last = type.rank - 1;
  int64_t perm[IR_MAX_RANK];
  if (part && dim_is_const_value(n->dims, type.dims[last], 1))
    return VALUE_NONE;
  x = build_slice_axis(n->b, x, last, dim_const(n->dims, part), dim_const(n->dims, 1));
  x = build_reshape(n->b, x, type.dims, last);
  for (uint32_t i = 0; i < last; i++)
    perm[i] = i < axis ? i : i + 1 < last ? i + 1 : axis;
  return build_transpose(n->b, x, perm);
}

/* A result part [..., k] with its axis in place again, and a dim of 1 behind. */
static value_id put_back(struct import_node *n, value_id y, uint32_t axis) {
  if (y == VALUE_NONE)
    return VALUE_NONE;
  uint32_t rank = value_type(n->f, y)->rank;
  int64_t perm[IR_MAX_RANK], behind = rank;
  for (uint32_t i = 0; i < rank; i++)
    perm[i] = i < axis ? i : i == axis ? rank - 1 : i - 1;
  return build_unsqueeze(n->b, build_transpose(n->b, y, perm), &behind, 1);
}

/* A full spectrum of real or complex x. */
static value_id transform(struct import_node *n, value_id x, uint32_t axis, dim length,
                          const struct spectrum *s) {
  struct builder *b = n->b;
  enum dtype dtype = value_type(n->f, x)->dtype;
  dim half =
      dim_add(n->dims, dim_floordiv(n->dims, length, dim_const(n->dims, 2)), dim_const(n->dims, 1));
  dim count = s->onesided ? half : length;
  x = fit_axis(n, x, axis, length);
  if (x == VALUE_NONE)
    return VALUE_NONE;
  value_id re = part_of(n, x, axis, 0), im = part_of(n, x, axis, 1);
  value_id cosine = twiddles(n, SCALAR_COS, length, count, length, dtype);
  value_id sine = twiddles(n, SCALAR_SIN, length, count, length, dtype);
  if (!s->inverse)
    sine = build_unary(b, SCALAR_NEG, sine);
  value_id real = times_matrix(n, re, cosine), imaginary = times_matrix(n, re, sine);
  if (im != VALUE_NONE) {
    real = value_sub(b, real, times_matrix(n, im, sine));
    imaginary = value_add(b, imaginary, times_matrix(n, im, cosine));
  }
  value_id parts[2] = {put_back(n, real, axis), put_back(n, imaginary, axis)};
  uint32_t last = value_type(n->f, x)->rank - 1;
  value_id y = build_concat(b, parts, 2, last);
  return s->inverse ? value_div(b, y, import_dim_scalar(n, length, dtype)) : y;
}

/* A real signal from one half of its spectrum: the other half is its conjugate, so terms count
 * twice, but for the first and, with an even length, the middle one. */
static value_id transform_half(struct import_node *n, value_id x, uint32_t axis, dim length) {
  struct builder *b = n->b;
  struct dim_table *t = n->dims;
  enum dtype dtype = value_type(n->f, x)->dtype;
  dim two = dim_const(t, 2), half = dim_add(t, dim_floordiv(t, length, two), dim_const(t, 1));
  x = fit_axis(n, x, axis, half);
  if (x == VALUE_NONE)
    return VALUE_NONE;
  value_id re = part_of(n, x, axis, 0), im = part_of(n, x, axis, 1);
  value_id k = import_axis_iota(n, DTYPE_I64, 2, 0, half);
  value_id mirrored = value_sub(b, import_dim_scalar(n, length, DTYPE_I64), k);
  value_id once = build_binary(b, SCALAR_OR, build_binary_i64(b, SCALAR_EQ, k, 0),
                               build_binary(b, SCALAR_EQ, k, mirrored));
  value_id factor =
      build_select(b, once, build_scalar_i64(b, dtype, 1), build_scalar_i64(b, dtype, 2));
  value_id cosine = value_mul(b, twiddles(n, SCALAR_COS, half, length, length, dtype), factor);
  value_id y = times_matrix(n, re, cosine);
  if (im != VALUE_NONE) {
    value_id sine = value_mul(b, twiddles(n, SCALAR_SIN, half, length, length, dtype), factor);
    y = value_sub(b, y, times_matrix(n, im, sine));
  }
  return put_back(n, value_div(b, y, import_dim_scalar(n, length, dtype)), axis);
}

/* A transform of n terms as a product of matrices rounds n times where the fast transform, whose
 * results models are made with, rounds log n times: so it is summed in f64. */
static value_id spectrum_of(struct import_node *n, value_id x, uint32_t axis,
                            const struct spectrum *s) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  enum dtype dtype = value_type(n->f, x)->dtype;
  struct dim_table *t = n->dims;
  dim length = s->length;
  uint32_t parts = value_type(n->f, x)->rank - 1;
  x = build_cast(n->b, x, DTYPE_F64);
  /* Where it is not known whether the signal is real, it is made complex. */
  if (!dim_is_const(t, value_type(n->f, x)->dims[parts], NULL))
    x = fit_axis(n, x, parts, dim_const(t, 2));
  if (x == VALUE_NONE)
    return VALUE_NONE;
  if (length == DIM_NONE)
    length = value_type(n->f, x)->dims[axis];
  if (s->length == DIM_NONE && s->inverse && s->onesided)
    length = dim_mul(t, dim_const(t, 2), dim_sub(t, length, dim_const(t, 1)));
  value_id y = s->inverse && s->onesided ? transform_half(n, x, axis, length)
                                         : transform(n, x, axis, length, s);
  return build_cast(n->b, y, dtype);
}

static void dft_along(struct import_node *n, void *user, uint32_t axis, value_id *out) {
  *out = spectrum_of(n, import_in(n, 0), axis, user);
}

/* The axis is that of an attribute, or comes as an operand, perhaps at run time. */
static void dft_over(struct import_node *n, struct spectrum *s, uint32_t rank, int64_t axis) {
  struct dim_table *t = n->dims;
  dim given = dim_const(t, axis);
  value_id y = VALUE_NONE;
  if (import_has(n, 2) && !import_dim_or_symbol(n, 2, "the axis", &given))
    return;
  if (dim_is_const(t, given, &axis)) {
    uint32_t at;
    if (!import_axis(n, axis, rank, &at))
      return;
    if (at + 1 == rank) {
      import_invalid(n, "the axis is that of real and imaginary parts");
      return;
    }
    dft_along(n, s, at, &y);
    import_out(n, 0, y);
    return;
  }
  build_check(n->b, dim_const(t, -(int64_t)rank), RELATION_LE, given, "the axis is out of range");
  build_check(n->b, given, RELATION_LT, dim_const(t, rank), "the axis is out of range");
  dim at = dim_mod(t, given, dim_const(t, rank));
  build_check(n->b, at, RELATION_LT, dim_const(t, (int64_t)rank - 1),
              "the axis is that of real and imaginary parts");
  if (import_switch(n, import_dim_scalar(n, at, DTYPE_I64), rank - 1, dft_along, s, 1, &y))
    import_out(n, 0, y);
}

void import_dft(struct import_node *n) {
  struct spectrum s = {.inverse = import_attr_int(n, "inverse", 0) != 0,
                       .onesided = import_attr_int(n, "onesided", 0) != 0,
                       .length = DIM_NONE};
  bool axis_is_attr = n->opset < 20;
  int64_t axis = axis_is_attr ? import_attr_int(n, "axis", 1) : -2;
  if (!import_arity(n, 1, axis_is_attr ? 2 : 3, 1))
    return;
  uint32_t rank = import_rank(n, 0);
  if (rank < 2)
    import_invalid(n, "its operand has rank %u", rank);
  else if (!import_has(n, 1) || length_in(n, 1, "dft_length", &s.length))
    dft_over(n, &s, rank, axis);
}

/* signal [b, length, 1 or 2] -> [b, frames, k, 2]: frames are gathered, weighed, transformed. */
void import_stft(struct import_node *n) {
  struct spectrum s = {.onesided = import_attr_int(n, "onesided", 1) != 0, .length = DIM_NONE};
  dim step, frame;
  if (!import_arity(n, 2, 4, 1) || !import_dim_or_symbol(n, 1, "frame_step", &step))
    return;
  if (import_rank(n, 0) != 3 || (import_has(n, 2) && import_rank(n, 2) != 1)) {
    import_invalid(n, "its signal has rank %u", import_rank(n, 0));
    return;
  }
  frame = import_has(n, 2) ? import_dim(n, 2, 0) : import_dim(n, 0, 1);
  if (import_has(n, 3) && !length_in(n, 3, "frame_length", &frame))
    return;
  struct builder *b = n->b;
  struct dim_table *t = n->dims;
  build_check(b, dim_const(t, 1), RELATION_LE, step, "frame_step is not positive");
  dim frames = dim_floordiv(t, dim_sub(t, import_dim(n, 0, 1), frame), step);
  frames = import_size(n, dim_add(t, frames, dim_const(t, 1)));
  value_id place = value_mul(b, import_axis_iota(n, DTYPE_I64, 2, 0, frames),
                             import_dim_scalar(n, step, DTYPE_I64));
  place = value_add(b, place, import_axis_iota(n, DTYPE_I64, 2, 1, frame));
  value_id x = import_gather_axis(n, import_in(n, 0), place, 1, OUT_OF_RANGE_ERROR);
  if (import_has(n, 2))
    x = value_mul(b, x, import_along_axis(n, import_in(n, 2), 4, 2));
  import_out(n, 0, spectrum_of(n, x, 2, &s));
}
