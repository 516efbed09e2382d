/* SPDX-License-Identifier: Apache-2.0 */
/* Col2Im and Det. */
#include "frontend/onnx/import_build.h"

#include <inttypes.h>

/* ---- Col2Im ---- */

struct image {
  uint32_t n; /* spatial dims */
  struct dims shape, block;
  const int64_t *stride, *dilation;
  int64_t low[IR_MAX_RANK], high[IR_MAX_RANK];
  dim padded[IR_MAX_RANK];  /* the image with its padding */
  dim windows[IR_MAX_RANK]; /* how many blocks along each dim */
};

static const int64_t *ints_or_ones(struct import_node *n, const char *name, uint32_t len) {
  struct ints given;
  int64_t *list = ARENA_ARRAY(import_arena(n), int64_t, len);
  bool has = import_attr_ints(n, name, &given);
  if (has && given.len != len)
    import_invalid(n, "'%s' has %u entries where %u are due", name, given.len, len);
  for (uint32_t i = 0; i < len; i++) {
    list[i] = has && given.len == len ? given.data[i] : 1;
    if (list[i] < 1 || list[i] > INT32_MAX)
      import_invalid(n, "'%s' has the entry %" PRId64, name, list[i]);
  }
  return list;
}

static bool read_pads(struct import_node *n, struct image *im) {
  struct ints pads;
  bool given = import_attr_ints(n, "pads", &pads);
  if (given && pads.len != 2 * im->n) {
    import_invalid(n, "'pads' has %u entries where %u are due", pads.len, 2 * im->n);
    return false;
  }
  for (uint32_t i = 0; given && i < 2 * im->n; i++) {
    if (pads.data[i] < 0 || pads.data[i] > INT32_MAX) {
      import_invalid(n, "'pads' has the entry %" PRId64, pads.data[i]);
      return false;
    }
    (i < im->n ? im->low : im->high)[i % im->n] = pads.data[i];
  }
  return true;
}

static bool read_image(struct import_node *n, struct image *im) {
  struct dim_table *t = n->dims;
  dim one = dim_const(t, 1);
  if (!import_dims_or_symbols(n, 1, "image_shape", &im->shape) ||
      !import_dims_or_symbols(n, 2, "block_shape", &im->block))
    return false;
  im->n = im->shape.len;
  if (im->n == 0 || 2 * im->n + 2 > IR_MAX_RANK || im->block.len != im->n) {
    import_invalid(n, "image_shape and block_shape have %u and %u entries", im->n, im->block.len);
    return false;
  }
  im->stride = ints_or_ones(n, "strides", im->n);
  im->dilation = ints_or_ones(n, "dilations", im->n);
  if (!read_pads(n, im))
    return false;
  for (uint32_t i = 0; i < im->n; i++) {
    dim size = import_size(n, im->shape.data[i]), block = import_size(n, im->block.data[i]);
    im->padded[i] = dim_add(t, size, dim_const(t, im->low[i] + im->high[i]));
    dim steps = dim_mul(t, dim_sub(t, block, one), dim_const(t, im->dilation[i]));
    dim room = dim_sub(t, im->padded[i], dim_add(t, steps, one));
    im->windows[i] = dim_add(t, dim_floordiv(t, room, dim_const(t, im->stride[i])), one);
  }
  return !n->failed;
}

/* Where in dim i of the padded image element k of block w lies: w * stride + k * dilation, over the
 * dims [block..., windows...]. */
static value_id pixel_index(struct import_node *n, const struct image *im, uint32_t i) {
  dim dims[IR_MAX_RANK];
  uint32_t rank = 2 * im->n;
  value_id index[2];
  for (int k = 0; k < 2; k++) {
    uint32_t axis = k ? im->n + i : i;
    for (uint32_t j = 0; j < rank; j++)
      dims[j] = dim_const(n->dims, 1);
    dims[axis] = k ? im->windows[i] : im->block.data[i];
    index[k] = build_binary_i64(n->b, SCALAR_MUL, build_iota(n->b, DTYPE_I64, dims, rank, axis),
                                k ? im->stride[i] : im->dilation[i]);
  }
  return build_binary(n->b, SCALAR_ADD, index[0], index[1]);
}

/* [N, C * block, windows] to [block..., windows..., N, C] */
static value_id split_columns(struct import_node *n, const struct image *im, const dim *channels) {
  struct type type = *import_type(n, 0);
  dim dims[IR_MAX_RANK];
  int64_t perm[IR_MAX_RANK];
  uint32_t rank = 2 * im->n + 2;
  dims[0] = type.dims[0];
  dims[1] = *channels;
  for (uint32_t i = 0; i < im->n; i++) {
    dims[2 + i] = im->block.data[i];
    dims[2 + im->n + i] = im->windows[i];
  }
  for (uint32_t i = 0; i < rank; i++)
    perm[i] = (i + 2) % rank;
  return build_transpose(n->b, build_reshape(n->b, import_in(n, 0), dims, rank), perm);
}

void import_col2im(struct import_node *n) {
  struct image im = {0};
  if (!import_arity(n, 3, 3, 1) || !read_image(n, &im))
    return;
  if (import_rank(n, 0) != 3) {
    import_invalid(n, "its operand has rank %u, not 3", import_rank(n, 0));
    return;
  }
  struct type type = *import_type(n, 0);
  dim volume = dim_product(n->dims, im.block.data, im.n);
  dim channels = dim_exactdiv(n->dims, type.dims[1], volume);
  dim dims[IR_MAX_RANK], start[IR_MAX_RANK], size[IR_MAX_RANK];
  value_id operands[2 + IR_MAX_RANK];
  start[0] = start[1] = dim_const(n->dims, 0);
  dims[0] = size[0] = type.dims[0];
  dims[1] = size[1] = channels;
  for (uint32_t i = 0; i < im.n; i++) {
    dims[i + 2] = im.padded[i];
    start[i + 2] = dim_const(n->dims, im.low[i]);
    size[i + 2] = im.shape.data[i];
    operands[i + 2] = pixel_index(n, &im, i);
  }
  operands[0] = build_broadcast_to(n->b, build_scalar_i64(n->b, type.dtype, 0), dims, im.n + 2);
  operands[1] = split_columns(n, &im, &channels);
  struct scatter_attrs attrs = {.axes = import_range(n, 2, im.n + 2), .kind = COMBINER_SUM};
  value_id sum = build_op1(n->b, OP_SCATTER, operands, im.n + 2, &attrs);
  import_out(n, 0, build_slice(n->b, sum, start, size, NULL));
}

/* ---- Det ---- */

static value_id part(struct import_node *n, value_id x, uint32_t axis, int64_t start,
                     int64_t size) {
  return build_slice_axis(n->b, x, axis, dim_const(n->dims, start), dim_const(n->dims, size));
}

/* One step of Gaussian elimination on [..., m, m]: brings the row of the largest first entry to the
 * top, multiplies it into det, and leaves the [..., m - 1, m - 1] rest. */
static value_id eliminate(struct import_node *n, value_id a, uint32_t rank, int64_t m,
                          value_id *det) {
  struct builder *b = n->b;
  uint32_t rows = rank - 2, columns = rank - 1;
  enum dtype dtype = value_type(n->f, a)->dtype;
  int64_t axis = rows;
  value_id first = build_unary(b, SCALAR_ABS, part(n, a, columns, 0, 1));
  struct reduce_attrs attrs = {.axes = {&axis, 1}, .kind = COMBINER_ARGMAX};
  value_id pivot = op_result(n->f, build_op(b, OP_REDUCE, &first, 1, NULL, 0, &attrs), 1);
  if (pivot == VALUE_NONE)
    return VALUE_NONE;
  dim shape[IR_MAX_RANK];
  for (uint32_t i = 0; i < rank; i++)
    shape[i] = dim_const(n->dims, i == rows ? m : 1);
  value_id place = build_iota(b, DTYPE_I64, shape, rank, rows);
  value_id zero = build_scalar_f64(b, dtype, 0);
  value_id chosen = build_binary(b, SCALAR_EQ, place, pivot);
  value_id row = build_reduce(b, build_select(b, chosen, a, zero), &axis, 1, COMBINER_SUM);
  /* The former top row takes the place of the pivot's. */
  value_id swapped = build_select(b, chosen, part(n, a, rows, 0, 1), a);
  value_id head = part(n, row, columns, 0, 1);
  value_id sign = build_select(b, build_binary_i64(b, SCALAR_EQ, pivot, 0),
                               build_scalar_f64(b, dtype, 1), build_scalar_f64(b, dtype, -1));
  *det = build_binary(b, SCALAR_MUL, *det, build_binary(b, SCALAR_MUL, head, sign));
  value_id rest = part(n, swapped, rows, 1, m - 1);
  value_id singular = build_binary(b, SCALAR_EQ, head, zero);
  value_id factor = build_binary(b, SCALAR_DIV, part(n, rest, columns, 0, 1), head);
  factor = build_select(b, singular, zero, factor);
  value_id cut = build_binary(b, SCALAR_MUL, factor, part(n, row, columns, 1, m - 1));
  return build_binary(b, SCALAR_SUB, part(n, rest, columns, 1, m - 1), cut);
}

void import_det(struct import_node *n) {
  enum { LARGEST = 64 };
  int64_t m;
  if (!import_arity(n, 1, 1, 1))
    return;
  struct type type = *import_type(n, 0);
  if (type.rank < 2 || dim_known_ne(n->dims, type.dims[type.rank - 1], type.dims[type.rank - 2])) {
    import_invalid(n, "its operand is not a square matrix");
    return;
  }
  if (!dim_is_const(n->dims, type.dims[type.rank - 1], &m) || m > LARGEST || m < 1) {
    import_unsupported(n, "matrices of a size that is not known, or above %d", LARGEST);
    return;
  }
  enum dtype work = dtype_compute(type.dtype);
  value_id a = build_cast(n->b, import_in(n, 0), work), det = build_scalar_f64(n->b, work, 1);
  for (; m > 1 && a != VALUE_NONE; m--)
    a = eliminate(n, a, type.rank, m, &det);
  det = build_binary(n->b, SCALAR_MUL, det, a);
  int64_t axes[2] = {type.rank - 2, type.rank - 1};
  import_out(n, 0, build_cast(n->b, build_squeeze(n->b, det, axes, 2), type.dtype));
}
