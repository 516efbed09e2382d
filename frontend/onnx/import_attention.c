/* SPDX-License-Identifier: Apache-2.0 */
/* Attention in its spellings: ONNX's, and onnxruntime's Attention, MultiHeadAttention and
 * GroupQueryAttention; and rotary embeddings. All end in one `attention` op with masks as a bias
 * and causality as positions. */
#include "frontend/onnx/import_util.h"

#include <math.h>

struct attention {
  value_id q, k, v;      /* [b, h, s, d], [b, g, t, d], [b, g, t, e] */
  value_id bias;         /* broadcasts to [b, h, s, t], or VALUE_NONE */
  value_id q_pos, k_pos; /* [b or 1, s], [b or 1, t], or VALUE_NONE: aligned at the end */
  double scale;          /* 0: 1 / sqrt(d) */
  double softcap;
  int64_t window;
  bool causal;
};

/* ---- shapes ---- */

static dim dim_at(struct import_node *n, value_id v, uint32_t axis) {
  return import_value_type(n, v)->dims[axis];
}

/* [b, s, h * d] to [b, h, s, d] */
static value_id split_heads(struct import_node *n, value_id x, dim heads) {
  static const int64_t perm[] = {0, 2, 1, 3};
  if (x == VALUE_NONE)
    return x;
  const struct type *type = import_value_type(n, x);
  dim dims[4] = {type->dims[0], type->dims[1], heads, dim_exactdiv(n->dims, type->dims[2], heads)};
  return build_transpose(n->b, build_reshape(n->b, x, dims, 4), perm);
}

/* [b, h, s, d] to [b, s, h * d] */
static value_id join_heads(struct import_node *n, value_id x) {
  static const int64_t perm[] = {0, 2, 1, 3};
  if (x == VALUE_NONE)
    return x;
  const struct type *type = import_value_type(n, x);
  dim dims[3] = {type->dims[0], type->dims[2], dim_mul(n->dims, type->dims[1], type->dims[3])};
  return build_reshape(n->b, build_transpose(n->b, x, perm), dims, 3);
}

static value_id concat_at(struct import_node *n, value_id x, value_id y, uint32_t axis) {
  value_id both[2] = {x, y};
  return build_concat(n->b, both, 2, axis);
}

static bool has_rank(struct import_node *n, uint32_t operand, uint32_t rank) {
  if (!import_has(n, operand) || import_rank(n, operand) == rank)
    return true;
  import_invalid(n, "operand %u has rank %u, not %u", operand, import_rank(n, operand), rank);
  return false;
}

/* A count of heads, given by an attribute. */
static bool read_heads(struct import_node *n, const char *attribute, dim *out) {
  int64_t heads = import_attr_int(n, attribute, 0);
  *out = dim_const(n->dims, heads);
  if (heads > 0)
    return true;
  import_invalid(n, "'%s' is missing or not positive", attribute);
  return false;
}

/* ---- the op ---- */

/* Prepends 1s up to rank 4. */
static value_id to_rank_4(struct import_node *n, value_id x) {
  if (x == VALUE_NONE)
    return x;
  const struct type *type = import_value_type(n, x);
  dim dims[4];
  for (uint32_t i = 0; i < 4; i++)
    dims[i] = i + type->rank >= 4 ? type->dims[i + type->rank - 4] : dim_const(n->dims, 1);
  return type->rank > 4 ? VALUE_NONE : build_reshape(n->b, x, dims, 4);
}

static double scale_of(struct import_node *n, const struct attention *a) {
  int64_t size;
  if (a->scale != 0)
    return a->scale;
  if (dim_is_const(n->dims, dim_at(n, a->q, 3), &size) && size > 0)
    return 1 / sqrt((double)size);
  import_unsupported(n, "a head size that is not known");
  return 0;
}

static value_id build_attention(struct import_node *n, const struct attention *a) {
  if (a->q == VALUE_NONE || a->k == VALUE_NONE || a->v == VALUE_NONE)
    return VALUE_NONE;
  value_id operands[6] = {a->q, a->k, a->v};
  uint32_t count = 3;
  struct attention_attrs attrs = {.scale = scale_of(n, a),
                                  .softcap = a->softcap,
                                  .causal = a->causal,
                                  .window = a->window,
                                  .has_bias = a->bias != VALUE_NONE,
                                  .has_pos = a->q_pos != VALUE_NONE};
  if (attrs.has_bias)
    operands[count++] = to_rank_4(n, a->bias);
  if (attrs.has_pos) {
    operands[count++] = a->q_pos;
    operands[count++] = a->k_pos;
  }
  return build_op1(n->b, OP_ATTENTION, operands, count, &attrs);
}

static value_id add_bias(struct import_node *n, value_id bias, value_id more) {
  return bias == VALUE_NONE ? more : build_binary(n->b, SCALAR_ADD, bias, more);
}

/* 0 where a mask is set, else `other`. */
static value_id mask_bias(struct import_node *n, value_id mask, double other) {
  return build_select(n->b, build_cast(n->b, mask, DTYPE_BOOL),
                      build_scalar_f64(n->b, DTYPE_F32, 0),
                      build_scalar_f64(n->b, DTYPE_F32, other));
}

/* Positions 0, 1, ... (plus an offset) of queries and keys, as [1, s] and [1, t]. */
static void set_positions(struct import_node *n, struct attention *a, dim offset) {
  dim one = dim_const(n->dims, 1);
  dim q[2] = {one, dim_at(n, a->q, 2)}, k[2] = {one, dim_at(n, a->k, 2)};
  if (dim_known_eq(n->dims, dim_add(n->dims, offset, q[1]), k[1]))
    return; /* as the op has it */
  a->q_pos = build_binary(n->b, SCALAR_ADD, build_iota(n->b, DTYPE_I64, q, 2, 1),
                          import_dim_scalar(n, offset, DTYPE_I64));
  a->k_pos = build_iota(n->b, DTYPE_I64, k, 2, 1);
}

/* 0 where key position t is below length[b], else `other`: [b, 1, 1, t]. */
static value_id length_bias(struct import_node *n, value_id length, dim total, double other) {
  dim column[4], row[4], one = dim_const(n->dims, 1);
  column[0] = dim_at(n, length, 0);
  row[3] = total;
  column[1] = column[2] = column[3] = row[0] = row[1] = row[2] = one;
  value_id lengths = build_reshape(n->b, build_cast(n->b, length, DTYPE_I64), column, 4);
  value_id at = build_iota(n->b, DTYPE_I64, row, 4, 3);
  return mask_bias(n, build_binary(n->b, SCALAR_LT, at, lengths), other);
}

/* ---- ONNX ---- */

/* The mask as a bias over all keys: a shorter one means that the keys beyond are masked. */
static value_id onnx_mask(struct import_node *n, dim total) {
  value_id mask = import_in(n, 3);
  struct type type = *import_type(n, 3);
  if (type.rank < 1 || type.rank > 4) {
    import_invalid(n, "its mask has rank %u", type.rank);
    return VALUE_NONE;
  }
  if (type.dtype == DTYPE_BOOL)
    mask = mask_bias(n, mask, -INFINITY);
  if (mask == VALUE_NONE || dim_known_eq(n->dims, type.dims[type.rank - 1], total))
    return mask;
  dim low[4], high[4], zero = dim_const(n->dims, 0);
  for (uint32_t i = 0; i < type.rank; i++)
    low[i] = high[i] = zero;
  high[type.rank - 1] = import_size(n, dim_sub(n->dims, total, type.dims[type.rank - 1]));
  enum dtype dtype = import_value_type(n, mask)->dtype;
  return build_pad(n->b, mask, build_scalar_f64(n->b, dtype, -INFINITY), low, high, NULL);
}

/* The scores themselves, as far as qk_matmul_output_mode wants them. */
static value_id scores(struct import_node *n, const struct attention *a, int64_t mode) {
  static const int64_t q_batch[] = {0, 1}, k_batch[] = {0, 1};
  int64_t q_k = 4, k_k = 3;
  struct builder *b = n->b;
  enum dtype dtype = import_value_type(n, a->q)->dtype;
  const struct type *q = import_value_type(n, a->q), *k = import_value_type(n, a->k);
  dim grouped[5] = {q->dims[0], k->dims[1], dim_exactdiv(n->dims, q->dims[1], k->dims[1]),
                    q->dims[2], q->dims[3]};
  dim flat[4] = {q->dims[0], q->dims[1], q->dims[2], k->dims[2]};
  struct contract_attrs attrs = {.lhs_batch = {q_batch, 2},
                                 .rhs_batch = {k_batch, 2},
                                 .lhs_k = {&q_k, 1},
                                 .rhs_k = {&k_k, 1},
                                 .dtype = dtype_compute(dtype)};
  value_id s = build_contract(b, build_reshape(b, a->q, grouped, 5), a->k, &attrs);
  s = build_binary_f64(b, SCALAR_MUL, build_reshape(b, s, flat, 4), scale_of(n, a));
  if (mode >= 1 && a->softcap > 0) {
    s = build_unary(b, SCALAR_TANH, build_binary_f64(b, SCALAR_DIV, s, a->softcap));
    s = build_binary_f64(b, SCALAR_MUL, s, a->softcap);
  }
  if (mode >= 2 && a->bias != VALUE_NONE)
    s = build_binary(b, SCALAR_ADD, s, build_cast(b, a->bias, dtype_compute(dtype)));
  if (mode >= 2 && a->causal) {
    dim rows[2] = {flat[2], dim_const(n->dims, 1)}, columns[2] = {rows[1], flat[3]};
    value_id at = build_iota(b, DTYPE_I64, rows, 2, 0);
    if (a->q_pos != VALUE_NONE)
      at = build_reshape(b, a->q_pos, rows, 2);
    else
      at = build_binary(b, SCALAR_ADD, at,
                        import_dim_scalar(n, dim_sub(n->dims, flat[3], flat[2]), DTYPE_I64));
    value_id seen = build_binary(b, SCALAR_LE, build_iota(b, DTYPE_I64, columns, 2, 1), at);
    s = build_binary(b, SCALAR_ADD, s,
                     build_cast(b, mask_bias(n, seen, -INFINITY), dtype_compute(dtype)));
  }
  if (mode >= 3)
    s = import_softmax_over(n, s, import_range(n, 3, 4));
  return build_cast(b, s, dtype);
}

void import_attention(struct import_node *n) {
  struct attention a = {.scale = import_attr_float(n, "scale", 0),
                        .softcap = import_attr_float(n, "softcap", 0),
                        .causal = import_attr_int(n, "is_causal", 0) != 0};
  int64_t mode = import_attr_int(n, "qk_matmul_output_mode", 0);
  bool has_heads = import_attr_has(n, "q_num_heads") && import_attr_has(n, "kv_num_heads");
  import_attr_ignore(n, "softmax_precision"); /* f32 at least */
  if (!import_arity(n, 3, 7, 4))
    return;
  bool flat = import_rank(n, 0) == 3;
  dim q_heads = DIM_NONE, kv_heads = DIM_NONE, past = dim_const(n->dims, 0);
  for (uint32_t i = 0; i < 3; i++)
    if (!has_rank(n, i, flat ? 3 : 4))
      return;
  if ((flat || has_heads) &&
      (!read_heads(n, "q_num_heads", &q_heads) || !read_heads(n, "kv_num_heads", &kv_heads)))
    return;
  if (!has_rank(n, 4, 4) || !has_rank(n, 5, 4) || !has_rank(n, 6, 1))
    return;
  a.q = flat ? split_heads(n, import_in(n, 0), q_heads) : import_in(n, 0);
  a.k = flat ? split_heads(n, import_in(n, 1), kv_heads) : import_in(n, 1);
  a.v = flat ? split_heads(n, import_in(n, 2), kv_heads) : import_in(n, 2);
  if (import_has(n, 4)) {
    past = import_dim(n, 4, 2);
    a.k = concat_at(n, import_in(n, 4), a.k, 2);
  }
  if (import_has(n, 5))
    a.v = concat_at(n, import_in(n, 5), a.v, 2);
  if (a.q == VALUE_NONE || a.k == VALUE_NONE || a.v == VALUE_NONE)
    return;
  if (import_has(n, 3))
    a.bias = onnx_mask(n, dim_at(n, a.k, 2));
  if (import_has(n, 6))
    a.bias = add_bias(n, a.bias, length_bias(n, import_in(n, 6), dim_at(n, a.k, 2), -INFINITY));
  if (a.causal)
    set_positions(n, &a, past);
  value_id y = n->failed ? VALUE_NONE : build_attention(n, &a);
  import_out(n, 0, flat ? join_heads(n, y) : y);
  import_out(n, 1, a.k);
  import_out(n, 2, a.v);
  if (import_wants(n, 3))
    import_out(n, 3, scores(n, &a, mode));
}

/* ---- rotary embeddings ---- */

struct rotary {
  value_id cos, sin; /* [b or 1, s, width / 2] */
  dim width;         /* how much of each head is turned; DIM_NONE: all */
  bool interleaved;
};

/* The two halves of the last dim of x, or its even and odd places. */
static void halves(struct import_node *n, value_id x, bool interleaved, dim half, value_id out[2]) {
  for (int i = 0; i < 2; i++) {
    if (!interleaved) {
      out[i] = build_slice_axis(n->b, x, 3, i ? half : dim_const(n->dims, 0), half);
      continue;
    }
    struct type type = *import_value_type(n, x);
    int64_t step[4] = {1, 1, 1, 2};
    dim start[4];
    for (int j = 0; j < 4; j++)
      start[j] = dim_const(n->dims, j == 3 ? i : 0);
    type.dims[3] = half;
    out[i] = build_slice(n->b, x, start, type.dims, step);
  }
}

static value_id weave(struct import_node *n, value_id real, value_id imaginary) {
  if (real == VALUE_NONE || imaginary == VALUE_NONE)
    return VALUE_NONE;
  int64_t last = 4;
  struct type type = *import_value_type(n, real);
  type.dims[3] = dim_mul(n->dims, type.dims[3], dim_const(n->dims, 2));
  value_id both = concat_at(n, build_unsqueeze(n->b, real, &last, 1),
                            build_unsqueeze(n->b, imaginary, &last, 1), 4);
  return build_reshape(n->b, both, type.dims, 4);
}

/* Turns each pair of x [b, h, s, d] by the angle of its position. */
static value_id rotate(struct import_node *n, value_id x, const struct rotary *r) {
  if (x == VALUE_NONE || r->cos == VALUE_NONE || r->sin == VALUE_NONE)
    return VALUE_NONE;
  struct builder *b = n->b;
  struct dim_table *t = n->dims;
  enum dtype dtype = import_value_type(n, x)->dtype, work = dtype_compute(dtype);
  dim full = dim_at(n, x, 3), width = r->width == DIM_NONE ? full : r->width;
  dim half = dim_floordiv(t, width, dim_const(t, 2));
  int64_t heads = 1;
  value_id part[2];
  value_id turned = build_cast(b, build_slice_axis(b, x, 3, dim_const(t, 0), width), work);
  if (turned == VALUE_NONE)
    return turned;
  halves(n, turned, r->interleaved, half, part);
  value_id cos = build_unsqueeze(b, build_cast(b, r->cos, work), &heads, 1);
  value_id sin = build_unsqueeze(b, build_cast(b, r->sin, work), &heads, 1);
  value_id real = value_sub(b, value_mul(b, part[0], cos), value_mul(b, part[1], sin));
  value_id imaginary = value_add(b, value_mul(b, part[0], sin), value_mul(b, part[1], cos));
  value_id y = r->interleaved ? weave(n, real, imaginary) : concat_at(n, real, imaginary, 3);
  y = build_cast(b, y, dtype);
  if (dim_known_eq(t, width, full))
    return y;
  return concat_at(n, y, build_slice_axis(b, x, 3, width, dim_sub(t, full, width)), 3);
}

/* Rows of a [positions, width / 2] table. */
static value_id table_rows(struct import_node *n, value_id table, value_id positions) {
  int64_t axis = 0;
  return build_gather(n->b, table, &positions, &axis, 1, OUT_OF_RANGE_ERROR);
}

/* ONNX (arg 0): x, cos, sin, positions. onnxruntime (arg 1): x, positions, cos, sin. */
void import_rotary_embedding(struct import_node *n) {
  uint32_t cos = n->arg ? 2 : 1, sin = n->arg ? 3 : 2, positions = n->arg ? 1 : 3;
  struct rotary r = {.interleaved = import_attr_int(n, "interleaved", 0) != 0};
  int64_t width = import_attr_int(n, "rotary_embedding_dim", 0);
  int64_t heads = import_attr_int(n, "num_heads", 0);
  double scale = import_attr_float(n, "scale", 1);
  bool packed = import_attr_int(n, "is_packed_batching", 0) != 0;
  if (!import_arity(n, 3, 4, 1))
    return;
  uint32_t rank = import_rank(n, 0);
  if (packed || scale != 1) {
    import_unsupported(n, "packed batches or a scale");
    return;
  }
  if (rank != 4 && rank != 3) {
    import_invalid(n, "its operand has rank %u", rank);
    return;
  }
  r.width = width > 0 ? dim_const(n->dims, width) : DIM_NONE;
  value_id x = import_in(n, 0);
  dim sequence = import_dim(n, 0, rank == 4 ? 2 : 1);
  if (rank == 3 && heads <= 0) {
    /* onnxruntime derives the heads from the width of the table. */
    dim size = dim_mul(n->dims, import_dim(n, cos, import_rank(n, cos) - 1), dim_const(n->dims, 2));
    x = split_heads(n, x, dim_exactdiv(n->dims, import_dim(n, 0, 2), size));
  } else if (rank == 3) {
    x = split_heads(n, x, dim_const(n->dims, heads));
  }
  r.cos = import_in(n, cos);
  r.sin = import_in(n, sin);
  if (import_has(n, positions)) {
    value_id at = import_in(n, positions);
    if (import_rank(n, positions) < 2) { /* one offset */
      dim row[2] = {dim_const(n->dims, 1), sequence};
      at = value_add(n->b, build_iota(n->b, DTYPE_I64, row, 2, 1),
                     build_reshape(n->b, build_cast(n->b, at, DTYPE_I64), NULL, 0));
    }
    r.cos = table_rows(n, r.cos, at);
    r.sin = table_rows(n, r.sin, at);
  }
  value_id y = rotate(n, x, &r);
  import_out(n, 0, rank == 3 ? join_heads(n, y) : y);
}

/* ---- GroupQueryAttention ---- */

/* What was there before, then the new rows at past[b] + i: [b, g, total, d]. */
static value_id extend_cache(struct import_node *n, uint32_t operand, value_id new, dim total,
                             value_id positions) {
  static const int64_t axes[] = {0, 2}, perm[] = {0, 2, 1, 3};
  if (new == VALUE_NONE)
    return new;
  struct type type = *import_value_type(n, new);
  dim zero = dim_const(n->dims, 0), low[4] = {zero, zero, zero, zero};
  dim high[4] = {zero, zero, zero, zero}, batch[2] = {type.dims[0], dim_const(n->dims, 1)};
  value_id fill = build_scalar_f64(n->b, type.dtype, 0), cache;
  if (import_has(n, operand)) {
    high[2] = dim_sub(n->dims, total, import_dim(n, operand, 2));
    cache = build_pad(n->b, import_in(n, operand), fill, low, high, NULL);
  } else {
    type.dims[2] = total;
    cache = build_broadcast_to(n->b, fill, type.dims, 4);
  }
  value_id operands[4] = {cache, build_transpose(n->b, new, perm),
                          build_iota(n->b, DTYPE_I64, batch, 2, 0), positions};
  struct scatter_attrs attrs = {.axes = {axes, 2}, .kind = COMBINER_NONE};
  return build_op1(n->b, OP_SCATTER, operands, 4, &attrs);
}

/* Splits a packed [b, s, (h + 2 g) * d], or takes the three operands. */
static bool read_qkv(struct import_node *n, dim heads, dim groups, struct attention *a) {
  struct dim_table *t = n->dims;
  if (import_has(n, 1)) {
    a->q = split_heads(n, import_in(n, 0), heads);
    a->k = split_heads(n, import_in(n, 1), groups);
    a->v = split_heads(n, import_in(n, 2), groups);
    return true;
  }
  dim all = dim_add(t, heads, dim_mul(t, dim_const(t, 2), groups));
  value_id x = split_heads(n, import_in(n, 0), all);
  a->q = build_slice_axis(n->b, x, 1, dim_const(t, 0), heads);
  a->k = build_slice_axis(n->b, x, 1, heads, groups);
  a->v = build_slice_axis(n->b, x, 1, dim_add(t, heads, groups), groups);
  return true;
}

static bool check_gqa(struct import_node *n) {
  for (uint32_t i = 0; i < 3; i++)
    if (!has_rank(n, i, 3))
      return false;
  if (!has_rank(n, 3, 4) || !has_rank(n, 4, 4))
    return false;
  if (!import_has(n, 5) || !import_has(n, 6)) {
    import_fail(n, DIAG_E0144, "it has no sequence lengths");
    return false;
  }
  if (import_attr_int(n, "qk_output", 0) != 0 || import_attr_int(n, "kv_cache_bit_width", 0) != 0) {
    import_unsupported(n, "scores as an output, or a quantized cache");
    return false;
  }
  if (!has_rank(n, 11, 1))
    return false;
  import_attr_ignore(n, "k_quant_type");
  import_attr_ignore(n, "v_quant_type");
  return !n->failed;
}

/* -inf where a query sees a key no more, as a bias [b, 1, s, t]. */
static value_id window_bias(struct import_node *n, const struct attention *a) {
  const struct type *q = import_value_type(n, a->q_pos), *k = import_value_type(n, a->k_pos);
  dim one = dim_const(n->dims, 1), rows[4] = {q->dims[0], one, q->dims[1], one};
  dim columns[4] = {k->dims[0], one, one, k->dims[1]};
  value_id back = value_sub(n->b, build_reshape(n->b, a->q_pos, rows, 4),
                            build_reshape(n->b, a->k_pos, columns, 4));
  return mask_bias(n, build_binary_i64(n->b, SCALAR_LT, back, a->window), -INFINITY);
}

/* x [b, g, t, d] with a row of zeros behind it. */
static value_id zero_row(struct import_node *n, value_id x) {
  if (x == VALUE_NONE)
    return x;
  struct type type = *import_value_type(n, x);
  type.dims[2] = dim_const(n->dims, 1);
  value_id zero = build_scalar_f64(n->b, type.dtype, 0);
  return concat_at(n, x, build_broadcast_to(n->b, zero, type.dims, 4), 2);
}

/* A sink is a key of its own for each head, at a score that is given, of value 0 and seen by all.
 */
static void add_sink(struct import_node *n, struct attention *a, value_id sink, dim heads,
                     dim total) {
  struct builder *b = n->b;
  struct dim_table *t = n->dims;
  dim one = dim_const(t, 1), zero = dim_const(t, 0), high[4] = {zero, zero, zero, one};
  dim low[4] = {zero, zero, zero, zero}, head[4] = {one, heads, one, one};
  dim row[4] = {one, one, one, dim_add(t, total, one)}, first[2] = {one, one};
  if (a->window)
    a->bias = add_bias(n, a->bias, window_bias(n, a));
  a->window = 0;
  value_id last = build_binary(b, SCALAR_EQ, build_iota(b, DTYPE_I64, row, 4, 3),
                               import_dim_scalar(n, total, DTYPE_I64));
  sink = build_reshape(b, build_cast(b, sink, DTYPE_F32), head, 4);
  value_id bias = build_select(b, last, sink, build_scalar_f64(b, DTYPE_F32, 0));
  if (a->bias != VALUE_NONE) {
    value_id given = build_cast(b, to_rank_4(n, a->bias), DTYPE_F32);
    bias =
        value_add(b, bias, build_pad(b, given, build_scalar_f64(b, DTYPE_F32, 0), low, high, NULL));
  }
  a->bias = bias;
  value_id before = build_broadcast_to(b, build_scalar_i64(b, DTYPE_I64, -1), first, 2);
  a->k_pos = concat_at(n, a->k_pos, before, 1);
  a->k = zero_row(n, a->k);
  a->v = zero_row(n, a->v);
}

/* Sequence b has seqlens_k[b] + 1 keys, the last s of which are new. */
void import_group_query_attention(struct import_node *n) {
  struct attention a = {.scale = import_attr_float(n, "scale", 0),
                        .softcap = import_attr_float(n, "softcap", 0),
                        .causal = true};
  int64_t window = import_attr_int(n, "local_window_size", -1);
  bool turn = import_attr_int(n, "do_rotary", 0) != 0;
  bool smooth = import_attr_int(n, "smooth_softmax", 0) == 1;
  struct rotary r = {.interleaved = import_attr_int(n, "rotary_interleaved", 0) != 0};
  dim heads, groups, total;
  a.window = window > 0 ? window : 0;
  if (!import_arity(n, 1, 12, 4) || !check_gqa(n) || !read_heads(n, "num_heads", &heads) ||
      !read_heads(n, "kv_num_heads", &groups) || !read_qkv(n, heads, groups, &a) ||
      !import_dim_or_symbol(n, 6, "total_sequence_length", &total))
    return;
  struct builder *b = n->b;
  struct dim_table *t = n->dims;
  total = import_size(n, total);
  dim sequence = import_dim(n, 0, 1), one = dim_const(t, 1);
  if (import_has(n, 3))
    total = dim_max(t, total, import_dim(n, 3, 2));
  dim column[2] = {import_dim(n, 0, 0), one}, row[2] = {one, sequence}, keys[2] = {one, total};
  value_id length = build_reshape(b, build_cast(b, import_in(n, 5), DTYPE_I64), column, 2);
  value_id past = value_sub(b, length, import_dim_scalar(n, dim_sub(t, sequence, one), DTYPE_I64));
  past = value_max(b, past, build_scalar_i64(b, DTYPE_I64, 0));
  a.q_pos = value_add(b, past, build_iota(b, DTYPE_I64, row, 2, 1));
  a.k_pos = build_iota(b, DTYPE_I64, keys, 2, 1);
  if (turn) {
    value_id at = import_has(n, 9) ? import_in(n, 9) : a.q_pos;
    r.cos = table_rows(n, import_in(n, 7), at);
    r.sin = table_rows(n, import_in(n, 8), at);
    r.width = dim_mul(t, import_dim(n, 7, 1), dim_const(t, 2));
    a.q = rotate(n, a.q, &r);
    a.k = rotate(n, a.k, &r);
  }
  a.k = extend_cache(n, 3, a.k, total, a.q_pos);
  a.v = extend_cache(n, 4, a.v, total, a.q_pos);
  if (import_has(n, 10))
    a.bias = import_in(n, 10);
  import_out(n, 1, a.k);
  import_out(n, 2, a.v);
  if (import_has(n, 11))
    add_sink(n, &a, import_in(n, 11), heads, total);
  else if (smooth)
    add_sink(n, &a, build_broadcast_to(b, build_scalar_f64(b, DTYPE_F32, 0), &heads, 1), heads,
             total);
  import_out(n, 0, join_heads(n, build_attention(n, &a)));
}

/* ---- MultiHeadAttention, Attention ---- */

/* A mask over keys: lengths [b], or flags [b, t] or [b, s, t], as a bias. */
static value_id key_mask(struct import_node *n, uint32_t operand, dim batch, dim total,
                         double other) {
  struct type type = *import_type(n, operand);
  value_id mask = import_in(n, operand);
  dim one = dim_const(n->dims, 1), dims[4] = {type.dims[0], one, one, total};
  if (type.rank == 1 && dim_known_eq(n->dims, type.dims[0], batch))
    return length_bias(n, mask, total, other);
  if (type.rank == 2)
    return mask_bias(n, build_reshape(n->b, mask, dims, 4), other);
  if (type.rank == 3) {
    dims[2] = type.dims[1];
    return mask_bias(n, build_reshape(n->b, mask, dims, 4), other);
  }
  import_unsupported(n, "a mask of rank %u in this form", type.rank);
  return VALUE_NONE;
}

/* Adds entries [first, first + size) of the bias operand to x [b, s, size]. */
static value_id add_part(struct import_node *n, value_id x, uint32_t operand, dim first, dim size) {
  if (!import_has(n, operand))
    return x;
  return value_add(n->b, x, build_slice_axis(n->b, import_in(n, operand), 0, first, size));
}

/* Part i of a packed [b, s, heads, parts, d], as [b, s, heads * d]. */
static value_id packed_part(struct import_node *n, uint32_t operand, int64_t i) {
  const struct type type = *import_type(n, operand);
  dim dims[3] = {type.dims[0], type.dims[1], dim_mul(n->dims, type.dims[2], type.dims[4])};
  value_id part = build_slice_axis(n->b, import_in(n, operand), 3, dim_const(n->dims, i),
                                   dim_const(n->dims, 1));
  return build_reshape(n->b, part, dims, 3);
}

/* Where q, k and v of MultiHeadAttention are: each in an operand of its own (k and v perhaps as a
 * cache has them), k and v packed in operand 1, or all three in operand 0. */
static bool read_mha(struct import_node *n, dim heads, struct attention *a) {
  uint32_t packed = import_has(n, 1) ? (import_has(n, 2) ? UINT32_MAX : 1) : 0;
  bool cross = packed == UINT32_MAX && import_rank(n, 1) == 4;
  dim zero = dim_const(n->dims, 0);
  value_id part[3];
  for (uint32_t i = 0; i < 3; i++)
    if (!has_rank(n, i, i == packed ? 5 : i && cross ? 4 : 3))
      return false;
  if (!packed && import_has(n, 2)) {
    import_invalid(n, "it has values and no keys");
    return false;
  }
  for (uint32_t i = 0; i < 3; i++)
    part[i] = i >= packed ? packed_part(n, packed, i - packed) : import_in(n, i);
  dim at = zero;
  for (uint32_t i = 0; i < 3; i++) {
    if (part[i] == VALUE_NONE)
      return false;
    if (i && cross)
      continue;
    dim wide = dim_at(n, part[i], 2);
    part[i] = split_heads(n, add_part(n, part[i], 3, at, wide), heads);
    at = dim_add(n->dims, at, wide);
  }
  a->q = part[0];
  a->k = part[1];
  a->v = part[2];
  return true;
}

void import_multi_head_attention(struct import_node *n) {
  struct attention a = {.scale = import_attr_float(n, "scale", 0)};
  double masked = import_attr_float(n, "mask_filter_value", -10000);
  dim heads;
  a.causal = import_attr_int(n, "unidirectional", 0) != 0;
  if (!import_arity(n, 1, 8, 3) || !read_heads(n, "num_heads", &heads) || !has_rank(n, 6, 4) ||
      !has_rank(n, 7, 4) || !read_mha(n, heads, &a))
    return;
  if (import_has(n, 6))
    a.k = concat_at(n, import_in(n, 6), a.k, 2);
  if (import_has(n, 7))
    a.v = concat_at(n, import_in(n, 7), a.v, 2);
  if (a.q == VALUE_NONE || a.k == VALUE_NONE || a.v == VALUE_NONE)
    return;
  dim total = dim_at(n, a.k, 2);
  if (import_has(n, 4))
    a.bias = key_mask(n, 4, import_dim(n, 0, 0), total, masked);
  if (import_has(n, 5))
    a.bias = add_bias(n, a.bias, import_in(n, 5));
  import_out(n, 0, join_heads(n, n->failed ? VALUE_NONE : build_attention(n, &a)));
  import_out(n, 1, a.k);
  import_out(n, 2, a.v);
}

/* Half of a [2, b, h, p, d] cache. */
static value_id cache_half(struct import_node *n, uint32_t operand, int64_t which) {
  int64_t axis = 0;
  value_id v = build_slice_axis(n->b, import_in(n, operand), 0, dim_const(n->dims, which),
                                dim_const(n->dims, 1));
  return build_squeeze(n->b, v, &axis, 1);
}

/* Operands: x, weights of q, k and v side by side, bias, mask, past, bias of scores. */
void import_contrib_attention(struct import_node *n) {
  struct attention a = {.scale = import_attr_float(n, "scale", 0)};
  double masked = import_attr_float(n, "mask_filter_value", -10000);
  struct ints sizes;
  dim heads, parts[3];
  bool own_sizes = import_attr_ints(n, "qkv_hidden_sizes", &sizes);
  bool turn = import_attr_int(n, "do_rotary", 0) != 0;
  a.causal = import_attr_int(n, "unidirectional", 0) != 0;
  import_attr_ignore(n, "past_present_share_buffer");
  import_attr_ignore(n, "rotary_embedding_dim");
  if (!import_arity(n, 2, 6, 2) || !read_heads(n, "num_heads", &heads) || !has_rank(n, 0, 3) ||
      !has_rank(n, 1, 2) || !has_rank(n, 4, 5))
    return;
  if (turn || (own_sizes && sizes.len != 3)) {
    import_unsupported(n, "rotary embedding inside, or sizes that are not three");
    return;
  }
  int64_t k_in = 2, k_w = 0;
  enum dtype dtype = import_dtype(n, 0), work = dtype_compute(dtype);
  struct contract_attrs attrs = {.lhs_k = {&k_in, 1}, .rhs_k = {&k_w, 1}, .dtype = work};
  value_id x = build_contract(n->b, import_in(n, 0), import_in(n, 1), &attrs);
  if (import_has(n, 2))
    x = value_add(n->b, x, build_cast(n->b, import_in(n, 2), work));
  x = build_cast(n->b, x, dtype);
  value_id split[3];
  dim first = dim_const(n->dims, 0);
  for (int i = 0; i < 3; i++) {
    parts[i] = own_sizes ? dim_const(n->dims, sizes.data[i])
                         : dim_exactdiv(n->dims, import_dim(n, 1, 1), dim_const(n->dims, 3));
    split[i] = split_heads(n, build_slice_axis(n->b, x, 2, first, parts[i]), heads);
    first = dim_add(n->dims, first, parts[i]);
  }
  a.q = split[0];
  a.k = import_has(n, 4) ? concat_at(n, cache_half(n, 4, 0), split[1], 2) : split[1];
  a.v = import_has(n, 4) ? concat_at(n, cache_half(n, 4, 1), split[2], 2) : split[2];
  if (a.q == VALUE_NONE || a.k == VALUE_NONE || a.v == VALUE_NONE)
    return;
  if (import_has(n, 3))
    a.bias = key_mask(n, 3, import_dim(n, 0, 0), dim_at(n, a.k, 2), masked);
  if (import_has(n, 5))
    a.bias = add_bias(n, a.bias, import_in(n, 5));
  import_out(n, 0, join_heads(n, n->failed ? VALUE_NONE : build_attention(n, &a)));
  if (!import_wants(n, 1))
    return;
  int64_t axis = 0;
  import_out(
      n, 1,
      concat_at(n, build_unsqueeze(n->b, a.k, &axis, 1), build_unsqueeze(n->b, a.v, &axis, 1), 0));
}
