/* SPDX-License-Identifier: Apache-2.0 */
/* Random steps: compute ops, ops with sizes that data decides, control. */
#include "ir/random_build.h"

#include <string.h>

static bool is_number(struct random_gen *g, value_id v) {
  return random_is_number(value_type(g->f, v)->dtype) && value_type(g->f, v)->rank > 0;
}

/* Every dim is known to have elements, so that extremes exist. */
static bool is_filled_number(struct random_gen *g, value_id v) {
  const struct type *type = value_type(g->f, v);
  for (uint32_t i = 0; i < type->rank; i++) {
    if (!dim_known_positive(g->t, type->dims[i]))
      return false;
  }
  return is_number(g, v);
}

static enum combiner random_combiner(struct random_gen *g, enum dtype dtype, bool arg) {
  if (dtype_is_int(dtype) && random_chance(g, 30))
    return (enum combiner)random_range(g, COMBINER_AND, COMBINER_XOR);
  return (enum combiner)(arg && random_chance(g, 30)
                             ? random_range(g, COMBINER_ARGMAX, COMBINER_ARGMIN)
                             : random_range(g, COMBINER_SUM, COMBINER_MIN));
}

static bool is_arg(enum combiner kind) {
  return kind == COMBINER_ARGMAX || kind == COMBINER_ARGMIN;
}

static void keep_results(struct random_gen *g, op_id op) {
  for (uint32_t i = 0; op != OP_ID_NONE && i < g->f->ops.data[op].n_results; i++)
    random_keep(g, op_result(g->f, op, i));
}

static void step_reduce(struct random_gen *g) {
  value_id x = random_pick(g, is_filled_number);
  if (x == VALUE_NONE)
    return;
  int64_t axes[IR_MAX_RANK];
  uint32_t rank = value_type(g->f, x)->rank, n = 0, first = random_below(g, rank);
  enum combiner kind = random_combiner(g, value_type(g->f, x)->dtype, true);
  for (uint32_t i = first; i < rank && (n == 0 || !is_arg(kind)); i++) {
    if (n == 0 || random_chance(g, 50))
      axes[n++] = i;
  }
  struct reduce_attrs attrs = {.axes = {axes, n}, .kind = kind};
  attrs.last = is_arg(kind) && random_chance(g, 40);
  keep_results(g, build_op(&g->b, OP_REDUCE, &x, 1, NULL, 0, &attrs));
}

static void step_scan(struct random_gen *g) {
  value_id x = random_pick(g, is_number);
  if (x == VALUE_NONE)
    return;
  struct scan_attrs attrs = {.axis = random_below(g, value_type(g->f, x)->rank)};
  attrs.kind = random_combiner(g, value_type(g->f, x)->dtype, false);
  attrs.exclusive = random_chance(g, 40);
  attrs.reverse = random_chance(g, 40);
  random_keep(g, build_op1(&g->b, OP_SCAN, &x, 1, &attrs));
}

static void step_window(struct random_gen *g) {
  value_id x = random_pick(g, is_filled_number);
  if (x == VALUE_NONE)
    return;
  uint32_t rank = value_type(g->f, x)->rank;
  int64_t size[IR_MAX_RANK], stride[IR_MAX_RANK], dilation[IR_MAX_RANK];
  dim low[IR_MAX_RANK], high[IR_MAX_RANK];
  for (uint32_t i = 0; i < rank; i++) {
    int64_t n = random_static_dim(g, x, i), padding = 0;
    size[i] = stride[i] = dilation[i] = 1;
    if (n > 1 && random_chance(g, 60)) {
      size[i] = random_range(g, 1, n < 3 ? n : 3);
      stride[i] = random_range(g, 1, 2);
      dilation[i] = (size[i] - 1) * 2 < n && random_chance(g, 30) ? 2 : 1;
      /* Less than the window, so that each place sees an element. */
      padding = size[i] > 1 ? random_range(g, 0, 1) : 0;
    }
    low[i] = dim_const(g->t, padding);
    high[i] = dim_const(g->t, padding);
  }
  struct window_attrs attrs = {.size = {size, rank},
                               .stride = {stride, rank},
                               .dilation = {dilation, rank},
                               .low = {low, rank},
                               .high = {high, rank}};
  attrs.kind = random_combiner(g, value_type(g->f, x)->dtype, true);
  keep_results(g, build_op(&g->b, OP_WINDOW, &x, 1, NULL, 0, &attrs));
}

static enum dtype product_dtype(enum dtype t) {
  if (dtype_is_float(t))
    return dtype_bits(t) == 64 ? DTYPE_F64 : t;
  return dtype_bits(t) <= 16 ? DTYPE_I32 : t;
}

static void step_contract(struct random_gen *g) {
  value_id lhs = random_pick(g, is_number);
  if (lhs == VALUE_NONE)
    return;
  const struct type type = *value_type(g->f, lhs);
  int64_t lhs_batch[IR_MAX_RANK], rhs_batch[IR_MAX_RANK], lhs_k[IR_MAX_RANK], rhs_k[IR_MAX_RANK];
  uint32_t n_batch = 0, n_k = 0, rank = 0;
  dim dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < type.rank; i++) {
    uint32_t role = random_below(g, 3); /* batch, contracted, m */
    if (role == 0) {
      lhs_batch[n_batch] = i;
      rhs_batch[n_batch++] = rank;
    } else if (role == 1) {
      lhs_k[n_k] = i;
      rhs_k[n_k++] = rank;
    }
    if (role < 2)
      dims[rank++] = type.dims[i];
  }
  if (rank < 4 && random_chance(g, 80))
    dims[rank++] = dim_const(g->t, random_range(g, 1, 5));
  struct type other = type_make(type.dtype, dims, rank);
  value_id rhs = random_value_of(g, &other);
  struct contract_attrs attrs = {.lhs_batch = {lhs_batch, n_batch},
                                 .rhs_batch = {rhs_batch, n_batch},
                                 .lhs_k = {lhs_k, n_k},
                                 .rhs_k = {rhs_k, n_k},
                                 .dtype = product_dtype(type.dtype)};
  random_keep(g, build_contract(&g->b, lhs, rhs, &attrs));
}

static void step_conv(struct random_gen *g) {
  enum dtype dtype = random_dtype(g, random_is_float);
  uint32_t spatial = (uint32_t)random_range(g, 1, 2);
  int64_t groups = random_range(g, 1, 2), per_group = random_range(g, 1, 2);
  dim x_dims[4] = {random_type(g, dtype, 1, 1).dims[0], dim_const(g->t, groups * per_group)};
  dim w_dims[4] = {dim_const(g->t, groups * random_range(g, 1, 3)), dim_const(g->t, per_group)};
  int64_t stride[2], dilation[2];
  dim low[2], high[2];
  for (uint32_t i = 0; i < spatial; i++) {
    int64_t kernel = random_range(g, 1, 3);
    dilation[i] = random_range(g, 1, 2);
    stride[i] = random_range(g, 1, 2);
    low[i] = dim_const(g->t, random_range(g, 0, 1));
    high[i] = dim_const(g->t, random_range(g, 0, 1));
    x_dims[2 + i] = dim_const(g->t, (kernel - 1) * dilation[i] + random_range(g, 1, 4));
    w_dims[2 + i] = dim_const(g->t, kernel);
  }
  struct type x_type = type_make(dtype, x_dims, 2 + spatial);
  struct type w_type = type_make(dtype, w_dims, 2 + spatial);
  value_id operands[2];
  operands[0] = random_value_of(g, &x_type);
  operands[1] = random_value_of(g, &w_type);
  struct conv_attrs attrs = {.stride = {stride, spatial},
                             .dilation = {dilation, spatial},
                             .low = {low, spatial},
                             .high = {high, spatial},
                             .groups = groups,
                             .dtype = dtype};
  random_keep(g, build_op1(&g->b, OP_CONV, operands, 2, &attrs));
}

static value_id random_of_dims(struct random_gen *g, enum dtype dtype, dim a, dim b, dim c, dim d) {
  struct type type = type_make(dtype, (dim[]){a, b, c, d}, 4);
  return random_value_of(g, &type);
}

static void step_attention(struct random_gen *g) {
  enum dtype dtype = random_dtype(g, random_is_float);
  struct type lengths = random_type(g, dtype, 3, 3);
  dim b = lengths.dims[0], s = lengths.dims[1], t = lengths.dims[2], one = dim_const(g->t, 1);
  int64_t groups = random_range(g, 1, 2);
  dim kv = dim_const(g->t, groups), h = dim_const(g->t, groups * random_range(g, 1, 2));
  dim d = dim_const(g->t, random_range(g, 1, 4)), e = dim_const(g->t, random_range(g, 1, 4));
  struct attention_attrs attrs = {.scale = 0.5};
  attrs.softcap = random_chance(g, 20) ? 2.5 : 0;
  attrs.causal = random_chance(g, 50);
  attrs.window = random_chance(g, 20) ? 2 : 0;
  attrs.has_bias = random_chance(g, 30);
  attrs.has_pos = random_chance(g, 30);
  value_id operands[6];
  uint32_t n = 3;
  operands[0] = random_of_dims(g, dtype, b, h, s, d);
  operands[1] = random_of_dims(g, dtype, b, kv, t, d);
  operands[2] = random_of_dims(g, dtype, b, kv, t, e);
  if (attrs.has_bias)
    operands[n++] = random_of_dims(g, dtype, one, random_chance(g, 50) ? h : one, s, t);
  if (attrs.has_pos) {
    struct type q_pos = type_make(DTYPE_I64, (dim[]){random_chance(g, 50) ? b : one, s}, 2);
    struct type k_pos = type_make(DTYPE_I64, (dim[]){one, t}, 2);
    operands[n++] = random_value_of(g, &q_pos);
    operands[n++] = random_value_of(g, &k_pos);
  }
  random_keep(g, build_op1(&g->b, OP_ATTENTION, operands, n, &attrs));
}

static void step_topk(struct random_gen *g) {
  value_id x = random_pick(g, is_filled_number);
  if (x == VALUE_NONE)
    return;
  uint32_t axis = random_below(g, value_type(g->f, x)->rank);
  int64_t n = random_static_dim(g, x, axis);
  struct topk_attrs attrs = {.axis = axis, .k = value_type(g->f, x)->dims[axis]};
  if (n)
    attrs.k = dim_const(g->t, random_range(g, 1, n));
  attrs.descending = random_chance(g, 50);
  keep_results(g, build_op(&g->b, OP_TOPK, &x, 1, NULL, 0, &attrs));
}

/* ---- sizes that data decides: the count is bound to a symbol and the results cut to it ---- */

static dim bind_count(struct random_gen *g, value_id count, int64_t most) {
  dim symbol = dim_fresh(g->t, "count", 0, most);
  build_symbol(&g->b, count, 0, symbol);
  return symbol;
}

static bool is_wide_int(struct random_gen *g, value_id v) {
  enum dtype t = value_type(g->f, v)->dtype;
  return (dtype_is_int(t) && dtype_bits(t) >= 8) || t == DTYPE_BOOL;
}

static value_id host(struct random_gen *g, enum host_op function, enum dtype dtype,
                     const value_id *xs, uint32_t n) {
  struct host_attrs a = {.function = function, .dtype = dtype};
  return build_op1(&g->b, OP_HOST, xs, n, &a);
}

/* Integers as text, put together and cut again. (Floats would have another text in each mode.)
 * Strings stay in here: what is kept is numbers. */
static void step_host(struct random_gen *g) {
  value_id x = random_pick(g, is_wide_int);
  if (x == VALUE_NONE)
    return;
  value_id text = host(g, HOST_OP_FORMAT, DTYPE_STRING, &x, 1);
  text = host(g, random_below(g, 2) ? HOST_OP_UPPER : HOST_OP_LOWER, DTYPE_STRING, &text, 1);
  value_id twice = host(g, HOST_OP_CONCAT, DTYPE_STRING, (value_id[]){text, text}, 2);
  int64_t scalar_dims[1] = {0};
  uint64_t one = module_add_string(g->f->module, "1", 1);
  value_id cut = build_const_data(&g->b, DTYPE_STRING, scalar_dims, 0, &one, sizeof one);
  value_id most = build_scalar_i64(&g->b, DTYPE_I64, (int64_t)random_below(g, 4) - 1);
  random_keep(g, host(g, HOST_OP_SPLIT_COUNT, DTYPE_I64, (value_id[]){twice, cut, most}, 3));
  random_keep(g, build_binary(&g->b, SCALAR_EQ, text, twice));
}

static void step_nonzero(struct random_gen *g) {
  value_id x = random_pick(g, NULL);
  int64_t lo, hi;
  if (x == VALUE_NONE || value_type(g->f, x)->rank == 0)
    return;
  dim_bounds(g->t, type_elements(g->t, value_type(g->f, x)), &lo, &hi);
  op_id op = build_op(&g->b, OP_NONZERO, &x, 1, NULL, 0, NULL);
  if (op == OP_ID_NONE)
    return;
  dim n = bind_count(g, op_result(g->f, op, 1), hi);
  random_keep(g, build_slice_axis(&g->b, op_result(g->f, op, 0), 1, dim_const(g->t, 0), n));
}

static void step_unique(struct random_gen *g) {
  struct type type = random_type(g, random_dtype(g, random_is_number), 2, 2);
  int64_t lo, hi;
  dim_bounds(g->t, type.dims[0], &lo, &hi);
  value_id x = random_value_of(g, &type);
  struct unique_attrs attrs = {.sorted = random_chance(g, 50)};
  op_id op = build_op(&g->b, OP_UNIQUE, &x, 1, NULL, 0, &attrs);
  if (op == OP_ID_NONE)
    return;
  dim n = bind_count(g, op_result(g->f, op, 3), hi), zero = dim_const(g->t, 0);
  random_keep(g, build_slice_axis(&g->b, op_result(g->f, op, 0), 0, zero, n));
  random_keep(g, op_result(g->f, op, 1));
  random_keep(g, build_slice_axis(&g->b, op_result(g->f, op, 2), 0, zero, n));
}

static void step_nms(struct random_gen *g) {
  int64_t batch = random_range(g, 1, 2), boxes = random_range(g, 1, 4);
  int64_t classes = random_range(g, 1, 2);
  value_id operands[5];
  operands[0] = random_constant(g, DTYPE_F32, (int64_t[]){batch, boxes, 4}, 3, 0, 9);
  operands[1] = random_constant(g, DTYPE_F32, (int64_t[]){batch, classes, boxes}, 3, 0, 1);
  operands[2] = build_scalar_i64(&g->b, DTYPE_I64, random_range(g, 0, 3));
  operands[3] = build_scalar_f64(&g->b, DTYPE_F32, 0.25);
  operands[4] = build_scalar_f64(&g->b, DTYPE_F32, 0.125);
  struct nms_attrs attrs = {.center = random_chance(g, 50)};
  op_id op = build_op(&g->b, OP_NMS, operands, 5, NULL, 0, &attrs);
  if (op == OP_ID_NONE)
    return;
  dim n = bind_count(g, op_result(g->f, op, 1), batch * boxes * classes);
  random_keep(g, build_slice_axis(&g->b, op_result(g->f, op, 0), 0, dim_const(g->t, 0), n));
}

void random_step_compute(struct random_gen *g, enum op_kind kind) {
  static void (*const steps[OP_COUNT])(struct random_gen *) = {
      [OP_REDUCE] = step_reduce,     [OP_SCAN] = step_scan,       [OP_WINDOW] = step_window,
      [OP_CONTRACT] = step_contract, [OP_CONV] = step_conv,       [OP_ATTENTION] = step_attention,
      [OP_TOPK] = step_topk,         [OP_NONZERO] = step_nonzero, [OP_UNIQUE] = step_unique,
      [OP_NMS] = step_nms,           [OP_HOST] = step_host,
  };
  if (steps[kind])
    steps[kind](g);
}
