/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that read or write at indices. An index tensor counts from the end where it is
 * negative; what is out of range is an error at run time. */
#include "frontend/onnx/import_util.h"

#include <string.h>

void import_gather(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 0);
  uint32_t at;
  if (!import_arity(n, 2, 2, 1) || !import_axis(n, axis, import_rank(n, 0), &at))
    return;
  value_id index = import_wrap_index(n, import_in(n, 1), import_dim(n, 0, at));
  import_out(n, 0, import_gather_axis(n, import_in(n, 0), index, at, OUT_OF_RANGE_ERROR));
}

/* Indices along every axis: the given ones along `axis`, else the place itself. */
static void element_indices(struct import_node *n, value_id given, uint32_t axis,
                            const struct type *data, value_id *out, int64_t *out_axes) {
  const struct type type = *value_type(n->f, given);
  for (uint32_t i = 0; i < type.rank; i++) {
    out_axes[i] = i;
    out[i] = i == axis ? import_wrap_index(n, given, data->dims[i])
                       : import_axis_iota(n, DTYPE_I64, type.rank, i, type.dims[i]);
  }
}

static bool same_ranks(struct import_node *n, uint32_t i) {
  if (import_rank(n, i) == import_rank(n, 0))
    return true;
  import_invalid(n, "operand %u has rank %u, not %u", i, import_rank(n, i), import_rank(n, 0));
  return false;
}

void import_gather_elements(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 0), axes[IR_MAX_RANK];
  value_id indices[IR_MAX_RANK];
  uint32_t at, rank;
  if (!import_arity(n, 2, 2, 1) || !import_axis(n, axis, import_rank(n, 0), &at) ||
      !same_ranks(n, 1))
    return;
  rank = import_rank(n, 0);
  element_indices(n, import_in(n, 1), at, import_type(n, 0), indices, axes);
  import_out(n, 0, build_gather(n->b, import_in(n, 0), indices, axes, rank, OUT_OF_RANGE_ERROR));
}

/* ---- reductions of scatters ---- */

static bool reduction_of(struct import_node *n, enum combiner *out) {
  static const struct {
    const char *name;
    enum combiner kind;
  } names[] = {{"none", COMBINER_NONE},
               {"add", COMBINER_SUM},
               {"mul", COMBINER_PROD},
               {"max", COMBINER_MAX},
               {"min", COMBINER_MIN}};
  const char *name = import_attr_string(n, "reduction", "none");
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    *out = names[i].kind;
    if (!strcmp(name, names[i].name))
      return true;
  }
  import_invalid(n, "reduction '%s' does not exist", name);
  return false;
}

static value_id build_scatter(struct import_node *n, value_id data, value_id updates,
                              const value_id *indices, const int64_t *axes, uint32_t count,
                              enum combiner kind) {
  value_id operands[2 + IR_MAX_RANK] = {data, updates};
  memcpy(operands + 2, indices, count * sizeof *indices);
  struct scatter_attrs attrs = {.axes = {axes, count}, .kind = kind};
  return build_op1(n->b, OP_SCATTER, operands, count + 2, &attrs);
}

void import_scatter_elements(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", 0), axes[IR_MAX_RANK];
  value_id indices[IR_MAX_RANK];
  enum combiner kind;
  uint32_t at;
  if (!reduction_of(n, &kind) || !import_arity(n, 3, 3, 1) ||
      !import_axis(n, axis, import_rank(n, 0), &at) || !same_ranks(n, 1) || !same_ranks(n, 2))
    return;
  element_indices(n, import_in(n, 1), at, import_type(n, 0), indices, axes);
  import_out(
      n, 0,
      build_scatter(n, import_in(n, 0), import_in(n, 2), indices, axes, import_rank(n, 0), kind));
}

/* ---- coordinates in the last dim ---- */

/* One index tensor per coordinate, for data axes batch, batch + 1, ...; before them the places
 * along the batch dims. Gives their number, 0 after a report. */
static uint32_t coordinates(struct import_node *n, uint32_t batch, value_id *out,
                            int64_t *out_axes) {
  const struct type data = *import_type(n, 0), type = *import_type(n, 1);
  int64_t count;
  if (type.rank == 0 || !dim_is_const(n->dims, type.dims[type.rank - 1], &count)) {
    import_unsupported(n, "the last dim of the indices must be known");
    return 0;
  }
  if (batch >= type.rank || count < 0 || count + batch > data.rank || count + batch == 0) {
    import_invalid(n, "%lld coordinates and %u batch dims for rank %u", (long long)count, batch,
                   data.rank);
    return 0;
  }
  uint32_t rank = type.rank - 1, last = rank;
  for (uint32_t i = 0; i < batch; i++) {
    out[i] = import_axis_iota(n, DTYPE_I64, rank, i, type.dims[i]);
    out_axes[i] = i;
  }
  for (uint32_t i = 0; i < count; i++) {
    value_id one =
        build_slice_axis(n->b, import_in(n, 1), last, dim_const(n->dims, i), dim_const(n->dims, 1));
    one = build_reshape(n->b, one, type.dims, rank);
    out[batch + i] = import_wrap_index(n, one, data.dims[batch + i]);
    out_axes[batch + i] = batch + i;
  }
  return batch + (uint32_t)count;
}

void import_gather_nd(struct import_node *n) {
  int64_t batch = import_attr_int(n, "batch_dims", 0), axes[IR_MAX_RANK];
  value_id indices[IR_MAX_RANK];
  if (!import_arity(n, 2, 2, 1))
    return;
  if (batch < 0 || batch >= import_rank(n, 0)) {
    import_invalid(n, "batch_dims %lld for rank %u", (long long)batch, import_rank(n, 0));
    return;
  }
  uint32_t count = coordinates(n, (uint32_t)batch, indices, axes);
  if (count)
    import_out(n, 0, build_gather(n->b, import_in(n, 0), indices, axes, count, OUT_OF_RANGE_ERROR));
}

void import_scatter_nd(struct import_node *n) {
  int64_t axes[IR_MAX_RANK];
  value_id indices[IR_MAX_RANK];
  enum combiner kind;
  if (!reduction_of(n, &kind) || !import_arity(n, 3, 3, 1))
    return;
  uint32_t count = coordinates(n, 0, indices, axes);
  if (count)
    import_out(n, 0,
               build_scatter(n, import_in(n, 0), import_in(n, 2), indices, axes, count, kind));
}

/* ---- caches ---- */

/* update [b, ..., s, ...] written at write_indices[b] + 0, 1, ... along the axis. */
void import_tensor_scatter(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", -2);
  const char *mode = import_attr_string(n, "mode", "linear");
  bool circular = !strcmp(mode, "circular");
  uint32_t at;
  if (!circular && strcmp(mode, "linear")) {
    import_invalid(n, "mode '%s' does not exist", mode);
    return;
  }
  if (!import_arity(n, 2, 3, 1) || !import_axis(n, axis, import_rank(n, 0), &at) ||
      !same_ranks(n, 1))
    return;
  if (at == 0) {
    import_invalid(n, "the axis is the batch axis");
    return;
  }
  struct builder *b = n->b;
  const struct type update = *import_type(n, 1);
  value_id places[2] = {import_axis_iota(n, DTYPE_I64, 2, 0, update.dims[0]),
                        import_axis_iota(n, DTYPE_I64, 2, 1, update.dims[at])};
  if (import_has(n, 2)) {
    value_id first = build_cast(b, import_in(n, 2), DTYPE_I64);
    places[1] = value_add(b, places[1], import_along_axis(n, first, 2, 0));
  }
  if (circular)
    places[1] = build_binary(b, SCALAR_MOD, places[1],
                             import_dim_scalar(n, import_dim(n, 0, at), DTYPE_I64));
  int64_t perm[IR_MAX_RANK] = {0, at}, axes[2] = {0, at};
  for (uint32_t i = 1, k = 2; i < update.rank; i++)
    if (i != at)
      perm[k++] = i;
  value_id updates = build_transpose(b, import_in(n, 1), perm);
  import_out(n, 0, build_scatter(n, import_in(n, 0), updates, places, axes, 2, COMBINER_NONE));
}

void import_reverse_sequence(struct import_node *n) {
  int64_t axes[2] = {import_attr_int(n, "batch_axis", 1), import_attr_int(n, "time_axis", 0)};
  struct ints list = {axes, 2};
  if (!import_arity(n, 2, 2, 1) || !import_axes(n, list, import_rank(n, 0), false, &list))
    return;
  struct builder *b = n->b;
  const struct type type = *import_type(n, 0);
  int64_t batch = list.data[0], time = list.data[1];
  value_id row = import_axis_iota(n, DTYPE_I64, 2, 0, type.dims[batch]);
  value_id t = import_axis_iota(n, DTYPE_I64, 2, 1, type.dims[time]);
  value_id length = import_along_axis(n, build_cast(b, import_in(n, 1), DTYPE_I64), 2, 0);
  value_id back = build_binary_i64(b, SCALAR_SUB, value_sub(b, length, t), 1);
  value_id places[2] = {row, build_select(b, build_binary(b, SCALAR_LT, t, length), back, t)};
  value_id y = build_gather(b, import_in(n, 0), places, list.data, 2, OUT_OF_RANGE_ERROR);
  /* The gather puts batch and time first. */
  int64_t perm[IR_MAX_RANK];
  for (uint32_t i = 0, k = 2; i < type.rank; i++)
    perm[i] = i == batch ? 0 : i == time ? 1 : k++;
  import_out(n, 0, build_transpose(b, y, perm));
}

void import_one_hot(struct import_node *n) {
  int64_t axis = import_attr_int(n, "axis", -1);
  dim depth;
  uint32_t at, rank;
  if (!import_arity(n, 3, 3, 1))
    return;
  rank = import_rank(n, 0) + 1;
  struct builder *b = n->b;
  value_id whole = build_cast(b, import_scalar(n, 1, import_dtype(n, 1)), DTYPE_I64);
  depth = import_value_symbol(n, whole, 0);
  if (depth == DIM_NONE || !import_axis(n, axis, rank, &at)) {
    import_unsupported(n, "its depth cannot be expressed");
    return;
  }
  depth = import_size(n, depth);
  int64_t axes = at;
  value_id index = build_cast(b, import_in(n, 0), DTYPE_I64);
  index = build_unsqueeze(b, import_wrap_index(n, index, depth), &axes, 1);
  value_id hot = build_binary(b, SCALAR_EQ, index, import_axis_iota(n, DTYPE_I64, rank, at, depth));
  value_id pair[2];
  for (uint32_t i = 0; i < 2; i++)
    pair[i] = build_reshape(
        b, build_slice_axis(b, import_in(n, 2), 0, dim_const(n->dims, i), dim_const(n->dims, 1)),
        NULL, 0);
  import_out(n, 0, build_select(b, hot, pair[1], pair[0]));
}
