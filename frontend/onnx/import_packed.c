/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences as two tensors, and the operators on them. */
#include "frontend/onnx/import_packed.h"

#include "base/dtype.h"
#include "frontend/onnx/import_util.h"

value_id import_packed_data(const struct import_value *v) { return v->items[0]->id; }
value_id import_packed_shapes(const struct import_value *v) { return v->items[1]->id; }

struct import_value *import_packed(struct import_node *n, value_id data, value_id shapes,
                                   int32_t item_rank) {
  struct import_value *items[] = {import_value_tensor(n, data), import_value_tensor(n, shapes)};
  struct import_value *v = import_value_list(n, IMPORT_PACKED, items, 2);
  v->item_rank = item_rank;
  if (data == VALUE_NONE || shapes == VALUE_NONE)
    v->kind = IMPORT_BROKEN;
  else
    v->item_dtype = value_type(n->f, data)->dtype;
  return v;
}

struct import_value *import_packed_empty(struct import_node *n, enum dtype dtype) {
  value_id data = build_const_data(n->b, dtype, (int64_t[]){0}, 1, NULL, 0);
  value_id shapes = build_const_data(n->b, DTYPE_I64, (int64_t[]){0, PACKED_ROW}, 2, NULL, 0);
  return import_packed(n, data, shapes, PACKED_ANY_RANK);
}

dim import_packed_count(struct import_node *n, const struct import_value *v) {
  return value_type(n->f, import_packed_shapes(v))->dims[0];
}

/* The elements of x one after the other. */
static value_id flat(struct import_node *n, value_id x) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  dim elements = import_named_dim(n, import_dims_between(n, x, 0, value_type(n->f, x)->rank));
  return build_reshape(n->b, x, &elements, 1);
}

/* i64 [1, PACKED_ROW] */
static value_id row_of(struct import_node *n, const dim *dims, uint32_t rank) {
  dim row[PACKED_ROW] = {dim_const(n->dims, rank)};
  for (uint32_t i = 1; i < PACKED_ROW; i++)
    row[i] = i <= rank ? dims[i - 1] : dim_const(n->dims, 1);
  return build_unsqueeze(n->b, build_dims(n->b, row, PACKED_ROW), (int64_t[]){0}, 1);
}

static value_id row_of_value(struct import_node *n, value_id x) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  const struct type type = *value_type(n->f, x);
  return row_of(n, type.dims, type.rank);
}

enum dtype import_sequence_dtype(struct import_node *n, struct import_value *v) {
  if (v->kind == IMPORT_PACKED || !v->n_items)
    return v->item_dtype;
  value_id first = import_value_id(n, v->items[0]);
  return first == VALUE_NONE ? v->item_dtype : value_type(n->f, first)->dtype;
}

int32_t import_sequence_rank(struct import_node *n, struct import_value *v) {
  if (v->kind == IMPORT_PACKED)
    return v->item_rank;
  int32_t rank = PACKED_ANY_RANK;
  for (uint32_t i = 0; i < v->n_items; i++) {
    value_id x = import_value_id(n, v->items[i]);
    int32_t own = x == VALUE_NONE ? PACKED_ANY_RANK : (int32_t)value_type(n->f, x)->rank;
    if (i && own != rank)
      return PACKED_ANY_RANK;
    rank = own;
  }
  return rank;
}

struct import_value *import_pack(struct import_node *n, struct import_value *v) {
  if (v->kind == IMPORT_PACKED)
    return v;
  enum dtype dtype = import_sequence_dtype(n, v);
  if (!v->n_items)
    return import_packed_empty(n, dtype);
  value_id *data = ARENA_ARRAY(import_arena(n), value_id, v->n_items);
  value_id *rows = ARENA_ARRAY(import_arena(n), value_id, v->n_items);
  for (uint32_t i = 0; i < v->n_items; i++) {
    value_id x = import_value_id(n, v->items[i]);
    if (x == VALUE_NONE || value_type(n->f, x)->dtype != dtype) {
      import_unsupported(n, "a sequence of unknown length whose items are not tensors of one type");
      return NULL;
    }
    rows[i] = row_of_value(n, x);
    data[i] = flat(n, x);
  }
  return import_packed(n, build_concat(n->b, data, v->n_items, 0),
                       build_concat(n->b, rows, v->n_items, 0), import_sequence_rank(n, v));
}

static const Onnx__TypeProto__Tensor *tensor_type(const Onnx__TypeProto *type) {
  bool is = type && type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  return is ? type->tensor_type : NULL;
}

int32_t import_declared_rank(const Onnx__TypeProto *type) {
  const Onnx__TypeProto__Tensor *tensor = tensor_type(type);
  bool known = tensor && tensor->shape && tensor->shape->n_dim <= IR_MAX_RANK;
  return known ? (int32_t)tensor->shape->n_dim : PACKED_ANY_RANK;
}

bool import_declared_tensor(const Onnx__TypeProto *type, enum dtype *out_dtype, int32_t *out_rank) {
  const Onnx__TypeProto__Tensor *tensor = tensor_type(type);
  *out_rank = import_declared_rank(type);
  return tensor && dtype_from_onnx(tensor->elem_type, out_dtype);
}

bool import_declared_items(const Onnx__TypeProto *type, enum dtype *out_dtype, int32_t *out_rank) {
  return type && type->value_case == ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE && type->sequence_type &&
         import_declared_tensor(type->sequence_type->elem_type, out_dtype, out_rank);
}

/* ---- where items lie ---- */

/* Where each item begins, and at last where all end: i64 [count + 1]. */
static value_id starts_of(struct import_node *n, const struct import_value *v) {
  struct builder *b = n->b;
  dim count = import_packed_count(n, v), one = dim_const(n->dims, 1);
  value_id dims =
      build_slice_axis(b, import_packed_shapes(v), 1, one, dim_const(n->dims, IR_MAX_RANK));
  value_id sizes =
      build_reshape(b, build_reduce(b, dims, (int64_t[]){1}, 1, COMBINER_PROD), &count, 1);
  struct scan_attrs scan = {.axis = 0, .kind = COMBINER_SUM};
  value_id ends = build_op1(b, OP_SCAN, &sizes, 1, &scan);
  value_id zero = build_const_data(b, DTYPE_I64, (int64_t[]){1}, 1, (int64_t[]){0}, 8);
  return build_concat(b, (value_id[]){zero, ends}, 2, 0);
}

/* An element of a list of sizes, as a dim. */
static dim size_at(struct import_node *n, value_id list, value_id position) {
  value_id one = import_gather_axis(n, list, position, 0, OUT_OF_RANGE_ERROR);
  dim d = one == VALUE_NONE ? DIM_NONE : import_value_symbol(n, one, 0);
  return d == DIM_NONE ? d : import_size(n, d);
}

/* The dims that row `position` says an item has; false, reported, on failure. */
static bool dims_at(struct import_node *n, const struct import_value *v, value_id position,
                    uint32_t rank, dim *out) {
  value_id row = import_gather_axis(n, import_packed_shapes(v), position, 0, OUT_OF_RANGE_ERROR);
  dim own = row == VALUE_NONE ? DIM_NONE : import_value_symbol(n, row, 0);
  bool sound = own != DIM_NONE;
  if (sound)
    build_check(n->b, own, RELATION_EQ, dim_const(n->dims, rank),
                "an item of a sequence has another rank than the graph expects");
  for (uint32_t i = 0; i < rank && sound; i++) {
    out[i] = import_value_symbol(n, row, i + 1);
    sound = out[i] != DIM_NONE;
    if (sound)
      out[i] = import_size(n, out[i]);
  }
  if (!sound && !n->failed)
    import_unsupported(n, "the dims of an item of a sequence");
  return sound;
}

value_id import_packed_at(struct import_node *n, const struct import_value *v, value_id position,
                          uint32_t rank) {
  dim dims[IR_MAX_RANK];
  if (position == VALUE_NONE || !dims_at(n, v, position, rank, dims))
    return VALUE_NONE;
  dim start = size_at(n, starts_of(n, v), position);
  dim size = import_named_dim(n, dim_product(n->dims, dims, rank));
  if (start == DIM_NONE || size == DIM_NONE) {
    import_unsupported(n, "the place of an item of a sequence");
    return VALUE_NONE;
  }
  return build_reshape(n->b, build_slice_axis(n->b, import_packed_data(v), 0, start, size), dims,
                       rank);
}

/* ---- change ---- */

/* x with `less` entries from `at` on replaced by `more` (VALUE_NONE: by nothing), along axis 0. */
static value_id splice(struct import_node *n, value_id x, dim at, dim less, value_id more) {
  dim whole = value_type(n->f, x)->dims[0], zero = dim_const(n->dims, 0);
  dim rest = dim_add(n->dims, at, less);
  value_id parts[3];
  uint32_t k = 0;
  parts[k++] = build_slice_axis(n->b, x, 0, zero, at);
  if (more != VALUE_NONE)
    parts[k++] = more;
  parts[k++] = build_slice_axis(n->b, x, 0, rest, import_size(n, dim_sub(n->dims, whole, rest)));
  return build_concat(n->b, parts, k, 0);
}

struct import_value *import_packed_insert(struct import_node *n, const struct import_value *v,
                                          value_id x, value_id position) {
  value_id data = import_packed_data(v), shapes = import_packed_shapes(v);
  value_id elements = flat(n, x), row = row_of_value(n, x);
  int32_t rank = (int32_t)value_type(n->f, x)->rank;
  int64_t count;
  bool empty = dim_is_const(n->dims, import_packed_count(n, v), &count) && count == 0;
  rank = empty || rank == v->item_rank ? rank : PACKED_ANY_RANK;
  if (position == VALUE_NONE)
    return import_packed(n, build_concat(n->b, (value_id[]){data, elements}, 2, 0),
                         build_concat(n->b, (value_id[]){shapes, row}, 2, 0), rank);
  dim at = import_value_symbol(n, position, 0), start = size_at(n, starts_of(n, v), position);
  if (at == DIM_NONE || start == DIM_NONE)
    return import_value_tensor(n, VALUE_NONE);
  at = import_size(n, at);
  dim none = dim_const(n->dims, 0);
  return import_packed(n, splice(n, data, start, none, elements), splice(n, shapes, at, none, row),
                       rank);
}

struct import_value *import_packed_erase(struct import_node *n, const struct import_value *v,
                                         value_id position) {
  struct builder *b = n->b;
  if (position == VALUE_NONE)
    position = import_dim_scalar(
        n, dim_sub(n->dims, import_packed_count(n, v), dim_const(n->dims, 1)), DTYPE_I64);
  value_id starts = starts_of(n, v);
  dim at = import_value_symbol(n, position, 0), start = size_at(n, starts, position);
  dim end = size_at(n, starts, build_binary_i64(b, SCALAR_ADD, position, 1));
  if (at == DIM_NONE || start == DIM_NONE || end == DIM_NONE)
    return import_value_tensor(n, VALUE_NONE);
  at = import_size(n, at);
  dim size = import_size(n, dim_sub(n->dims, end, start));
  return import_packed(n, splice(n, import_packed_data(v), start, size, VALUE_NONE),
                       splice(n, import_packed_shapes(v), at, dim_const(n->dims, 1), VALUE_NONE),
                       v->item_rank);
}

/* ---- to tensors ---- */

/* The dims of the first item; all others are checked to have them, too, but for dim `but`. */
static bool common_dims(struct import_node *n, const struct import_value *v, uint32_t rank,
                        uint32_t but, dim *out) {
  struct builder *b = n->b;
  value_id shapes = import_packed_shapes(v);
  dim zero = dim_const(n->dims, 0), one = dim_const(n->dims, 1);
  build_check(b, one, RELATION_LE, import_packed_count(n, v), "a sequence without items is joined");
  if (!dims_at(n, v, build_scalar_i64(b, DTYPE_I64, 0), rank, out))
    return false;
  value_id same = build_binary(b, SCALAR_NE, shapes, build_slice_axis(b, shapes, 0, zero, one));
  if (but < rank) {
    value_id counts = build_binary_i64(
        b, SCALAR_NE, import_axis_iota(n, DTYPE_I64, 2, 1, dim_const(n->dims, PACKED_ROW)),
        but + 1);
    same = build_binary(b, SCALAR_AND, same, counts);
  }
  value_id any =
      build_reduce(b, build_cast(b, same, DTYPE_I64), (int64_t[]){0, 1}, 2, COMBINER_MAX);
  dim different = any == VALUE_NONE ? DIM_NONE : import_value_symbol(n, any, 0);
  if (different == DIM_NONE)
    return false;
  build_check(b, different, RELATION_LE, zero, "the items of a sequence do not fit together");
  return true;
}

value_id import_packed_stack(struct import_node *n, const struct import_value *v, uint32_t rank,
                             uint32_t axis) {
  dim dims[IR_MAX_RANK + 1] = {import_packed_count(n, v)};
  int64_t perm[IR_MAX_RANK + 1];
  if (rank >= IR_MAX_RANK || !common_dims(n, v, rank, rank, dims + 1))
    return VALUE_NONE;
  for (uint32_t i = 0; i <= rank; i++)
    perm[i] = i == axis ? 0 : i < axis ? i + 1 : i;
  return build_transpose(n->b, build_reshape(n->b, import_packed_data(v), dims, rank + 1), perm);
}

value_id import_packed_join(struct import_node *n, const struct import_value *v, uint32_t rank) {
  struct builder *b = n->b;
  dim dims[IR_MAX_RANK];
  if (!common_dims(n, v, rank, 0, dims))
    return VALUE_NONE;
  dim one = dim_const(n->dims, 1);
  value_id firsts = build_slice_axis(b, import_packed_shapes(v), 1, one, one);
  value_id sum = build_reduce(b, firsts, (int64_t[]){0}, 1, COMBINER_SUM);
  dims[0] = sum == VALUE_NONE ? DIM_NONE : import_value_symbol(n, sum, 0);
  if (dims[0] == DIM_NONE)
    return VALUE_NONE;
  dims[0] = import_size(n, dims[0]);
  return build_reshape(b, import_packed_data(v), dims, rank);
}

/* ---- from tensors ---- */

/* x [A, count * size, B] as the elements of its parts, one part after the other. */
static value_id part_by_part(struct import_node *n, value_id x, uint32_t axis, dim start, dim count,
                             dim size) {
  const struct type type = *value_type(n->f, x);
  dim length = dim_mul(n->dims, count, size);
  dim dims[4] = {import_dims_between(n, x, 0, axis), count, size,
                 import_dims_between(n, x, axis + 1, type.rank)};
  value_id whole = build_slice_axis(n->b, x, axis, start, length);
  return flat(n,
              build_transpose(n->b, build_reshape(n->b, whole, dims, 4), (int64_t[]){1, 0, 2, 3}));
}

struct import_value *import_packed_split(struct import_node *n, value_id x, uint32_t axis, dim size,
                                         bool keep) {
  struct builder *b = n->b;
  struct dim_table *t = n->dims;
  const struct type type = *value_type(n->f, x);
  dim whole = type.dims[axis], zero = dim_const(t, 0), one = dim_const(t, 1);
  build_check(b, one, RELATION_LE, size, "parts without elements");
  dim step = dim_max(t, size, one); /* where it is not, the run ends */
  dim full = import_named_dim(n, dim_floordiv(t, whole, step));
  dim rest = import_named_dim(n, dim_mod(t, whole, step));
  dim count = import_named_dim(n, dim_floordiv(t, dim_sub(t, dim_add(t, whole, step), one), step));
  value_id parts[] = {part_by_part(n, x, axis, zero, full, step),
                      part_by_part(n, x, axis, dim_mul(t, full, step), one, rest)};
  /* Rows are alike but for the axis, where the last may be shorter. */
  dim dims[IR_MAX_RANK], table[] = {count, dim_const(t, PACKED_ROW)};
  uint32_t rank = 0;
  for (uint32_t i = 0; i < type.rank; i++)
    if (i != axis || keep)
      dims[rank++] = type.dims[i];
  value_id rows = build_broadcast(b, row_of(n, dims, rank), table, 2);
  if (keep) {
    value_id item = import_axis_iota(n, DTYPE_I64, 2, 0, count);
    value_id column = import_axis_iota(n, DTYPE_I64, 2, 1, table[1]);
    value_id before = value_mul(b, item, import_dim_scalar(n, step, DTYPE_I64));
    value_id left = value_sub(b, import_dim_scalar(n, whole, DTYPE_I64), before);
    value_id own = value_min(b, left, import_dim_scalar(n, step, DTYPE_I64));
    rows = build_select(b, build_binary_i64(b, SCALAR_EQ, column, axis + 1), own, rows);
  }
  return import_packed(n, build_concat(b, parts, 2, 0), rows, (int32_t)rank);
}
