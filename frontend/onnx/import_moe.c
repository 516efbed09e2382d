/* SPDX-License-Identifier: Apache-2.0 */
/* com.microsoft MoE and QMoE: each token goes through the k experts that its router weighs most.
 *
 * Rows are (token, choice), and each looks up the matrices of its expert, as exporters of plain
 * operators write it (spread_experts knows that form). Quantized matrices are looked up as they are
 * stored, and widened by row. */
#include <string.h>

#include "frontend/onnx/import_activation.h"
#include "frontend/onnx/import_build.h"
#include "frontend/onnx/import_quantize.h"

/* One of the three products: the numbers of its operands. */
struct expert_layer {
  uint32_t weights, bias;
  bool quantized;
  uint32_t scales, zeros;
  const char *bits_name;
};

static const struct expert_layer plain_layers[3] = {
    {.weights = 2, .bias = 3}, {.weights = 4, .bias = 5}, {.weights = 6, .bias = 7}};
static const struct expert_layer packed_layers[3] = {
    {2, 4, true, 3, 11, "fc1_expert_weight_bits"},
    {5, 7, true, 6, 12, "fc2_expert_weight_bits"},
    {8, 10, true, 9, 13, "fc3_expert_weight_bits"}};

struct mixture {
  struct import_node *n;
  const struct expert_layer *layers;
  enum dtype dtype, work;
  int64_t k, block;
  dim tokens, rows, experts;
  value_id index, weights; /* [rows], [rows, 1] */
  const char *activation;
  double alpha, beta, limit;
  int64_t fusion;
};

/* ---- matrices ---- */

/* Parts of the index's rows, [rows, ...], of what experts have. */
static value_id looked_up(struct mixture *m, value_id table) {
  return build_gather(m->n->b, table, &m->index, (int64_t[]){0}, 1, OUT_OF_RANGE_CLAMP);
}

/* Scales or zero points of blocks, [E, N] or [E, N, blocks], by row: [rows, N, blocks, 1]. */
static value_id by_block(struct mixture *m, value_id v, const dim dims[4]) {
  if (!v)
    return v;
  dim all[3] = {m->experts, dims[1], dims[2]};
  v = looked_up(m, build_reshape(m->n->b, v, all, 3));
  return build_cast(m->n->b, build_reshape(m->n->b, v, dims, 4), m->work);
}

/* bytes [E, N, K * bits / 8] as [rows, N, K] of the dtype to compute in. */
static value_id widened(struct mixture *m, const struct expert_layer *l, int64_t experts,
                        int64_t outputs, int64_t bytes) {
  struct import_node *n = m->n;
  int64_t bits = import_attr_int(n, "expert_weight_bits", 4);
  bits = import_attr_int(n, l->bits_name, bits);
  if (bits != 2 && bits != 4 && bits != 8) {
    import_unsupported(n, "experts' weights of %lld bits", (long long)bits);
    return VALUE_NONE;
  }
  enum dtype packed = bits == 8 ? DTYPE_U8 : bits == 4 ? DTYPE_U4 : DTYPE_U2;
  int64_t inputs = bytes * 8 / bits, block = m->block > 0 ? m->block : inputs;
  if (block == 0 || inputs % block) {
    import_invalid(n, "blocks of %lld do not divide %lld inputs", (long long)block,
                   (long long)inputs);
    return VALUE_NONE;
  }
  int64_t blocks = inputs / block;
  value_id w = import_packed_rows(n, l->weights, packed, experts * outputs, inputs);
  dim one = dim_const(n->dims, 1),
      dims[4] = {m->rows, dim_const(n->dims, outputs), dim_const(n->dims, blocks),
                 dim_const(n->dims, block)};
  dim table[3] = {m->experts, dims[1], dim_const(n->dims, inputs)};
  w = w ? looked_up(m, build_reshape(n->b, w, table, 3)) : w;
  w = build_cast(n->b, build_reshape(n->b, w, dims, 4), m->work);
  dim places[4] = {dims[0], dims[1], dims[2], one};
  value_id zero = build_scalar_f64(n->b, m->work, (double)(1 << (bits - 1)));
  if (import_has(n, l->zeros)) {
    /* Each row of blocks begins with a byte; without blocks, each expert does. */
    int64_t rows = m->block > 0 ? experts * outputs : experts;
    int64_t numbers = m->block > 0 ? blocks : outputs;
    int64_t per_row = (numbers * bits + 7) / 8 * 8 / bits;
    zero = import_packed_rows(n, l->zeros, packed, rows, per_row);
    dim none = dim_const(n->dims, 0), some = dim_const(n->dims, numbers);
    zero = zero ? build_slice_axis(n->b, zero, 1, none, some) : zero;
    zero = by_block(m, zero, places);
  }
  w = build_binary(n->b, SCALAR_SUB, w, zero);
  w = build_binary(n->b, SCALAR_MUL, w, by_block(m, import_in(n, l->scales), places));
  return build_reshape(n->b, w, (dim[]){m->rows, dims[1], table[2]}, 3);
}

static value_id matrices(struct mixture *m, const struct expert_layer *l) {
  struct import_node *n = m->n;
  value_id w = import_in(n, l->weights);
  int64_t dims[IR_MAX_RANK];
  if (!w)
    return w;
  const struct type *type = import_value_type(n, w);
  if (type->rank != 3 || dim_known_ne(n->dims, type->dims[0], m->experts)) {
    import_invalid(n, "operand %u is not a matrix for each expert", l->weights);
    return VALUE_NONE;
  }
  if (!l->quantized)
    return looked_up(m, w);
  if (!import_has(n, l->scales) || !type_static_dims(n->dims, type, dims) ||
      dims[0] * dims[1] == 0) {
    import_unsupported(n, "packed weights of an unknown size, or without scales");
    return VALUE_NONE;
  }
  return widened(m, l, dims[0], dims[1], dims[2]);
}

/* x [rows, c] through a layer: [rows, N]. */
static value_id through(struct mixture *m, const struct expert_layer *l, value_id x) {
  static const int64_t batch[] = {0}, lhs_k[] = {1}, rhs_k[] = {2};
  struct import_node *n = m->n;
  value_id w = x ? matrices(m, l) : x;
  if (!w)
    return w;
  struct contract_attrs product = {{batch, 1}, {batch, 1}, {lhs_k, 1}, {rhs_k, 1}, m->work, false};
  x = build_cast(n->b, x, import_value_type(n, w)->dtype);
  value_id y = build_contract(n->b, x, w, &product);
  if (!import_has(n, l->bias))
    return y;
  value_id bias = build_cast(n->b, looked_up(m, import_in(n, l->bias)), m->work);
  return build_binary(n->b, SCALAR_ADD, y, bias);
}

/* ---- what is between the products ---- */

static value_id clamped(struct mixture *m, value_id x, bool below) {
  if (m->limit <= 0)
    return x;
  x = build_binary_f64(m->n->b, SCALAR_MIN, x, m->limit);
  return below ? build_binary_f64(m->n->b, SCALAR_MAX, x, -m->limit) : x;
}

static value_id swiglu(struct mixture *m, value_id gate, value_id up) {
  struct builder *b = m->n->b;
  gate = clamped(m, gate, false);
  value_id inner = build_binary_f64(b, SCALAR_MUL, gate, m->alpha);
  gate = build_binary(b, SCALAR_MUL, gate, build_unary(b, SCALAR_SIGMOID, inner));
  up = build_binary_f64(b, SCALAR_ADD, clamped(m, up, true), m->beta);
  return build_binary(b, SCALAR_MUL, gate, up);
}

/* Gate and up in one matrix: one after the other, or in turn. */
static value_id fused_swiglu(struct mixture *m, value_id x) {
  struct import_node *n = m->n;
  int64_t both;
  if (!x)
    return x;
  const struct type type = *import_value_type(n, x);
  if (!dim_is_const(n->dims, type.dims[1], &both) || both % 2) {
    import_invalid(n, "gate and up have no common size");
    return VALUE_NONE;
  }
  dim zero = dim_const(n->dims, 0), half = dim_const(n->dims, both / 2);
  bool turns = m->fusion == 1;
  dim second = turns ? dim_const(n->dims, 1) : half, size[2] = {type.dims[0], half};
  const int64_t step[2] = {1, turns ? 2 : 1};
  return swiglu(m, build_slice(n->b, x, (dim[]){zero, zero}, size, step),
                build_slice(n->b, x, (dim[]){zero, second}, size, step));
}

static value_id activated(struct mixture *m, value_id x) {
  struct builder *b = m->n->b;
  if (!strcmp(m->activation, "identity"))
    return x;
  if (!strcmp(m->activation, "relu"))
    return import_build_activation(b, x, ACTIVATION_RELU, 0, 0);
  if (!strcmp(m->activation, "gelu"))
    return import_build_activation(b, x, ACTIVATION_GELU_TANH, 0, 0);
  if (!strcmp(m->activation, "silu"))
    return import_build_activation(b, x, ACTIVATION_SWISH, 1, 0);
  import_unsupported(m->n, "activation_type '%s'", m->activation);
  return VALUE_NONE;
}

static value_id hidden(struct mixture *m, value_id x) {
  bool third = import_has(m->n, m->layers[2].weights);
  value_id h = through(m, &m->layers[0], x);
  if (!strcmp(m->activation, "swiglu")) {
    if (third == (m->fusion != 0)) {
      import_invalid(m->n, "gate and up are %s", third ? "given twice" : "not both given");
      return VALUE_NONE;
    }
    return third ? swiglu(m, h, through(m, &m->layers[2], x)) : fused_swiglu(m, h);
  }
  h = h ? activated(m, h) : h;
  return third && h ? build_binary(m->n->b, SCALAR_MUL, h, through(m, &m->layers[2], x)) : h;
}

/* ---- the router ---- */

static bool route(struct mixture *m) {
  struct import_node *n = m->n;
  const struct type *type = import_type(n, 1);
  if (type->rank != 2 || dim_known_ne(n->dims, type->dims[0], m->tokens)) {
    import_invalid(n, "the router does not weigh experts for each token");
    return false;
  }
  m->experts = type->dims[1];
  value_id p =
      import_softmax_over(n, build_cast(n->b, import_in(n, 1), m->work), import_range(n, 1, 2));
  struct topk_attrs best = {.axis = 1, .k = dim_const(n->dims, m->k), .descending = true};
  op_id op = build_op(n->b, OP_TOPK, &p, 1, NULL, 0, &best);
  if (op == OP_ID_NONE)
    return false;
  value_id w = op_result(n->f, op, 0), index = op_result(n->f, op, 1);
  if (import_attr_int(n, "normalize_routing_weights", 0))
    w = build_binary(n->b, SCALAR_DIV, w, import_reduce(n, w, import_range(n, 1, 2), COMBINER_SUM));
  m->index = build_reshape(n->b, index, &m->rows, 1);
  m->weights = build_reshape(n->b, w, (dim[]){m->rows, dim_const(n->dims, 1)}, 2);
  return m->index && m->weights;
}

static bool read_attributes(struct mixture *m) {
  struct import_node *n = m->n;
  m->k = import_attr_int(n, "k", 1);
  m->block = import_attr_int(n, "block_size", 0);
  m->activation = import_attr_string(n, "activation_type", "relu");
  m->alpha = import_attr_float(n, "activation_alpha", 1);
  m->beta = import_attr_float(n, "activation_beta", 0);
  m->limit = import_attr_float(n, "swiglu_limit", 0);
  m->fusion = import_attr_int(n, "swiglu_fusion", 0);
  import_attr_ignore(n, "accuracy_level"); /* what a kernel may round its operands to */
  const char *type = import_attr_string(n, "quant_type", "int");
  bool other = import_attr_int(n, "use_sparse_mixer", 0) != 0;
  other |= import_attr_int(n, "swiglu_limit_after_activation", 0) != 0;
  other |= import_attr_int(n, "weights_prepacked", 0) > 0;
  if (m->k < 1 || m->k > 1024 || m->fusion < 0 || m->fusion > 2) {
    import_invalid(n, "k or swiglu_fusion is out of range");
    return false;
  }
  if (other || strcmp(type, "int") != 0) {
    import_unsupported(n, "a sparse mixer, prepacked weights, a late limit or '%s'", type);
    return false;
  }
  return true;
}

/* arg: whether weights are packed. */
void import_moe(struct import_node *n) {
  struct mixture m = {.n = n, .layers = n->arg ? packed_layers : plain_layers};
  if (!import_arity(n, 3, n->arg ? 14 : 8, 1) || !read_attributes(&m))
    return;
  if (!import_has(n, m.layers[1].weights)) {
    import_invalid(n, "operand %u is missing", m.layers[1].weights);
    return;
  }
  const struct type x = *import_type(n, 0);
  if (x.rank != 2 && x.rank != 3) {
    import_invalid(n, "its operand has %u dims", x.rank);
    return;
  }
  m.dtype = x.dtype;
  m.work = dtype_compute(x.dtype);
  m.tokens = dim_product(n->dims, x.dims, x.rank - 1);
  m.rows = dim_mul(n->dims, m.tokens, dim_const(n->dims, m.k));
  if (m.rows == DIM_NONE || !route(&m)) {
    if (!n->failed)
      import_unsupported(n, "so many tokens");
    return;
  }
  dim width = x.dims[x.rank - 1], choices = dim_const(n->dims, m.k);
  value_id rows =
      build_reshape(n->b, import_in(n, 0), (dim[]){m.tokens, dim_const(n->dims, 1), width}, 3);
  rows = build_broadcast_to(n->b, rows, (dim[]){m.tokens, choices, width}, 3);
  rows = build_reshape(n->b, rows, (dim[]){m.rows, width}, 2);
  value_id y = through(&m, &m.layers[1], hidden(&m, rows));
  if (!y)
    return;
  y = build_binary(n->b, SCALAR_MUL, y, m.weights);
  y = build_reshape(n->b, y, (dim[]){m.tokens, choices, width}, 3);
  y = import_reduce(n, y, import_range(n, 1, 2), COMBINER_SUM);
  import_out(n, 0, build_cast(n->b, build_reshape(n->b, y, x.dims, x.rank), m.dtype));
}
