/* SPDX-License-Identifier: Apache-2.0 */
/* RNN, GRU, LSTM, and com.microsoft's DynamicQuantizeLSTM.
 *
 * The products of all inputs with W are one contract before the loop; the loop over time has the
 * product of the state with R and the gates. Directions run side by side in one loop where their
 * activations are the same; the backward one sees its inputs reversed in time, and its outputs are
 * reversed back. Rows whose sequence has ended keep their state and give 0. */
#include "frontend/onnx/import_activation.h"
#include "frontend/onnx/import_quantize.h"
#include "frontend/onnx/import_steps.h"
#include "frontend/onnx/import_util.h"

#include <string.h>
#include <strings.h>

enum cell { CELL_RNN, CELL_GRU, CELL_LSTM, CELL_QUANTIZED_LSTM };
enum { MAX_ACTIVATIONS = 3 };

struct activation_choice {
  const char *name;
  double alpha, beta;
};

struct rnn {
  struct import_node *n;
  enum cell cell;
  uint32_t gates, n_activations, directions;
  bool backward; /* the first direction is */
  bool layout, linear_before_reset, input_forget;
  double clip; /* 0: none */
  struct activation_choice activations[2][MAX_ACTIVATIONS];
  enum dtype dtype, work;
  dim steps, batch, hidden;
  value_id x;                /* [T, B, I] */
  value_id w, r;             /* [D, G * H, I or H] */
  value_id w_bias, r_bias;   /* [D, G * H] */
  value_id peepholes;        /* [D, 3 * H] */
  value_id lengths;          /* i64 [B] */
  value_id h, c;             /* [D, B, H] */
  value_id w_scale, r_scale; /* quantized: [D, 1 or G * H], else VALUE_NONE */
};

/* A loop over directions first .. first + count - 1: their parts of the above. */
struct run {
  const struct rnn *rnn;
  const struct activation_choice *activations;
  uint32_t count;
  value_id r, r_scale, r_bias, peepholes;
  value_id inputs; /* [T, D, B, G * H] with all biases that may be added outside */
};

/* ---- attributes and operands ---- */

/* What the optional functions take, and their defaults. */
static const struct {
  const char *name;
  bool alpha, beta;
  double default_alpha, default_beta;
} parameters[] = {
    {"Relu", false, false, 0, 0},        {"Tanh", false, false, 0, 0},
    {"Sigmoid", false, false, 0, 0},     {"Affine", true, true, 1, 0},
    {"LeakyRelu", true, false, 0.01, 0}, {"ThresholdedRelu", true, false, 1, 0},
    {"ScaledTanh", true, true, 1, 1},    {"HardSigmoid", true, true, 0.2, 0.5},
    {"Elu", true, false, 1, 0},          {"Softsign", false, false, 0, 0},
    {"Softplus", false, false, 0, 0},
};

/* The next number of a list, or a default. */
static double take(const float **list, uint32_t *len, bool wanted, double otherwise) {
  if (!wanted || !*len)
    return otherwise;
  (*len)--;
  return (double)*(*list)++;
}

static bool read_activations(struct rnn *r) {
  static const char *const defaults[][MAX_ACTIVATIONS] = {
      [CELL_RNN] = {"Tanh"},
      [CELL_GRU] = {"Sigmoid", "Tanh"},
      [CELL_LSTM] = {"Sigmoid", "Tanh", "Tanh"},
      [CELL_QUANTIZED_LSTM] = {"Sigmoid", "Tanh", "Tanh"},
  };
  struct import_node *n = r->n;
  const struct str *names;
  const float *alpha, *beta;
  uint32_t n_names, n_alpha, n_beta, due = r->n_activations * r->directions;
  bool given = import_attr_strings(n, "activations", &names, &n_names) && n_names;
  import_attr_floats(n, "activation_alpha", &alpha, &n_alpha);
  import_attr_floats(n, "activation_beta", &beta, &n_beta);
  if (given && n_names != due) {
    import_invalid(n, "%u activations where %u are due", n_names, due);
    return false;
  }
  for (uint32_t i = 0; i < due; i++) {
    struct activation_choice *a = &r->activations[i / r->n_activations][i % r->n_activations];
    const char *name = defaults[r->cell][i % r->n_activations];
    if (given)
      name = arena_strndup(import_arena(n), names[i].data, names[i].len);
    for (size_t k = 0; k < sizeof parameters / sizeof *parameters && !a->name; k++)
      if (!strcasecmp(name, parameters[k].name)) {
        a->name = parameters[k].name;
        a->alpha = take(&alpha, &n_alpha, parameters[k].alpha, parameters[k].default_alpha);
        a->beta = take(&beta, &n_beta, parameters[k].beta, parameters[k].default_beta);
      }
    if (!a->name) {
      import_unsupported(n, "the activation '%s'", name);
      return false;
    }
  }
  return true;
}

static bool read_attributes(struct rnn *r) {
  struct import_node *n = r->n;
  const char *direction = import_attr_string(n, "direction", "forward");
  bool both = !strcmp(direction, "bidirectional");
  r->backward = !strcmp(direction, "reverse");
  r->directions = both ? 2 : 1;
  r->layout = import_attr_int(n, "layout", 0) != 0;
  r->clip = import_attr_float(n, "clip", 0);
  import_attr_ignore(n, "hidden_size");     /* R has it */
  import_attr_ignore(n, "output_sequence"); /* opset 1: whether Y is wanted */
  if (r->cell == CELL_GRU)
    r->linear_before_reset = import_attr_int(n, "linear_before_reset", 0) != 0;
  if (r->cell >= CELL_LSTM)
    r->input_forget = import_attr_int(n, "input_forget", 0) != 0;
  if (!both && !r->backward && strcmp(direction, "forward")) {
    import_invalid(n, "direction is '%s'", direction);
    return false;
  }
  return read_activations(r);
}

static value_id slice_first(struct import_node *n, value_id v, uint32_t axis, dim start, dim size) {
  return v == VALUE_NONE ? v : build_slice_axis(n->b, v, axis, start, size);
}

static bool expect(struct import_node *n, uint32_t operand, uint32_t rank, const dim *dims) {
  if (!import_has(n, operand))
    return true;
  if (import_rank(n, operand) != rank) {
    import_invalid(n, "operand %u has rank %u, not %u", operand, import_rank(n, operand), rank);
    return false;
  }
  for (uint32_t i = 0; i < rank; i++) {
    dim own = import_dim(n, operand, i);
    if (dims[i] == DIM_NONE || dim_known_eq(n->dims, own, dims[i]))
      continue;
    if (dim_known_ne(n->dims, own, dims[i])) {
      import_invalid(n, "dim %u of operand %u does not fit the others", i, operand);
      return false;
    }
    build_check(n->b, own, RELATION_EQ, dims[i], "a dim of an operand does not fit the others");
  }
  return true;
}

/* A state, given as [D, B, H] or (layout 1) [B, D, H]; zeros if it is absent. */
static value_id read_state(struct rnn *r, uint32_t operand) {
  static const int64_t swap[] = {1, 0, 2};
  struct import_node *n = r->n;
  dim dims[3] = {dim_const(n->dims, r->directions), r->batch, r->hidden};
  dim other[3] = {dims[1], dims[0], dims[2]};
  if (!import_has(n, operand))
    return build_broadcast_to(n->b, build_scalar_f64(n->b, r->work, 0), dims, 3);
  if (!expect(n, operand, 3, r->layout ? other : dims))
    return VALUE_NONE;
  value_id v = build_cast(n->b, import_in(n, operand), r->work);
  return r->layout ? build_transpose(n->b, v, swap) : v;
}

/* Weights of one byte, less their zero points, as [D, 4 * H, K]; and their scales as [D, ...]. */
static value_id read_quantized(struct rnn *r, uint32_t operand, uint32_t scale_operand,
                               value_id *out_scale) {
  static const int64_t swap[] = {0, 2, 1};
  struct import_node *n = r->n;
  dim column[3] = {dim_const(n->dims, r->directions), dim_const(n->dims, 1), DIM_NONE};
  const struct type *scale = import_type(n, scale_operand);
  const struct type *zero = import_type(n, scale_operand + 1);
  if (scale->rank < 1 || scale->rank > 2 || zero->rank != scale->rank) {
    import_invalid(n, "its scales or zero points have rank %u", scale->rank);
    return VALUE_NONE;
  }
  dim flat[2] = {column[0], scale->rank == 2 ? scale->dims[1] : column[1]};
  column[2] = flat[1];
  *out_scale = build_reshape(n->b, import_in(n, scale_operand), flat, 2);
  value_id z = build_reshape(n->b, import_in(n, scale_operand + 1), column, 3);
  return build_transpose(n->b, import_less_zero(n, import_in(n, operand), z), swap);
}

static bool read_weights(struct rnn *r) {
  struct import_node *n = r->n;
  struct dim_table *t = n->dims;
  static const int64_t swap[] = {1, 0, 2};
  bool quantized = r->cell == CELL_QUANTIZED_LSTM;
  dim d = dim_const(t, r->directions), all = dim_mul(t, dim_const(t, r->gates), r->hidden);
  dim features = import_dim(n, 0, 2), w[3] = {d, all, features}, rr[3] = {d, all, r->hidden};
  dim turned_w[3] = {d, features, all}, turned_r[3] = {d, r->hidden, all};
  dim bias[2] = {d, dim_mul(t, dim_const(t, 2), all)}, lengths[1] = {r->batch};
  dim peepholes[2] = {d, dim_mul(t, dim_const(t, 3), r->hidden)};
  if (!expect(n, 1, 3, quantized ? turned_w : w) || !expect(n, 2, 3, quantized ? turned_r : rr) ||
      !expect(n, 3, 2, bias) || !expect(n, 4, 1, lengths) ||
      (r->cell >= CELL_LSTM && !expect(n, 7, 2, peepholes)))
    return false;
  value_id x = import_in(n, 0);
  r->x = build_cast(n->b, r->layout ? build_transpose(n->b, x, swap) : x, r->work);
  if (quantized) {
    r->w = read_quantized(r, 1, 8, &r->w_scale);
    r->r = read_quantized(r, 2, 10, &r->r_scale);
  } else {
    r->w = build_cast(n->b, import_in(n, 1), r->work);
    r->r = build_cast(n->b, import_in(n, 2), r->work);
  }
  if (import_has(n, 3)) {
    value_id b = build_cast(n->b, import_in(n, 3), r->work);
    r->w_bias = build_slice_axis(n->b, b, 1, dim_const(t, 0), all);
    r->r_bias = build_slice_axis(n->b, b, 1, all, all);
  }
  if (import_has(n, 4))
    r->lengths = build_cast(n->b, import_in(n, 4), DTYPE_I64);
  r->h = read_state(r, 5);
  if (r->cell >= CELL_LSTM)
    r->c = read_state(r, 6);
  if (r->cell >= CELL_LSTM && import_has(n, 7))
    r->peepholes = build_cast(n->b, import_in(n, 7), r->work);
  return !n->failed;
}

static bool read_rnn(struct rnn *r) {
  struct import_node *n = r->n;
  bool quantized = r->cell == CELL_QUANTIZED_LSTM, lstm = r->cell >= CELL_LSTM;
  r->gates = lstm ? 4 : r->cell == CELL_GRU ? 3 : 1;
  r->n_activations = lstm ? 3 : r->cell == CELL_GRU ? 2 : 1;
  if (!read_attributes(r) || !import_arity(n, 3, quantized ? 12 : lstm ? 8 : 6, lstm ? 3 : 2))
    return false;
  for (uint32_t i = 8; quantized && i < 12; i++)
    if (!import_has(n, i)) {
      import_fail(n, DIAG_E0144, "operand %u is missing", i);
      return false;
    }
  return true;
}

static bool read_operands(struct rnn *r) {
  struct import_node *n = r->n;
  if (import_rank(n, 0) != 3 || import_rank(n, 2) != 3) {
    import_invalid(n, "its operands have ranks %u and %u, not 3", import_rank(n, 0),
                   import_rank(n, 2));
    return false;
  }
  r->dtype = import_dtype(n, 0);
  r->work = dtype_compute(r->dtype);
  r->steps = import_dim(n, 0, r->layout ? 1 : 0);
  r->batch = import_dim(n, 0, r->layout ? 0 : 1);
  r->hidden = import_dim(n, 2, r->cell == CELL_QUANTIZED_LSTM ? 1 : 2);
  return read_weights(r);
}

/* ---- products ---- */

/* x times weights over their last dims. The state [D, B, H] goes with its direction's weights:
 * [D, B, n]; inputs [T, B, I] with all: [T, B, D, n]. */
static value_id product(struct import_node *n, value_id x, value_id weights, bool state,
                        enum dtype dtype) {
  static const int64_t direction = 0, last = 2;
  struct contract_attrs attrs = {.lhs_batch = {&direction, state},
                                 .rhs_batch = {&direction, state},
                                 .lhs_k = {&last, 1},
                                 .rhs_k = {&last, 1},
                                 .dtype = dtype};
  return build_contract(n->b, x, weights, &attrs);
}

/* The same with x quantized on the fly: inputs as a whole, a state per direction. */
static value_id quantized_product(struct import_node *n, value_id x, value_id weights,
                                  value_id scale, bool state) {
  struct quantization q;
  int64_t middle = 1;
  import_dynamic_range(n, x, import_range(n, state ? 1 : 0, 3), &q);
  value_id whole = import_quantize(n, x, &q, DTYPE_F32, DTYPE_U8, CAST_DEFAULT);
  whole = import_less_zero(n, whole, q.zero);
  value_id y = build_cast(n->b, product(n, whole, weights, state, DTYPE_I32), DTYPE_F32);
  /* Scales of weights are [D, n]; of a state [D, 1, 1]. */
  value_id factor = state ? build_unsqueeze(n->b, scale, &middle, 1) : scale;
  value_id own = state ? q.scale : build_reshape(n->b, q.scale, NULL, 0);
  return value_mul(n->b, y, value_mul(n->b, factor, own));
}

/* ---- gates ---- */

static value_id gate(const struct run *run, value_id all, uint32_t i) {
  const struct rnn *r = run->rnn;
  struct dim_table *t = r->n->dims;
  return slice_first(r->n, all, 2, dim_mul(t, dim_const(t, i), r->hidden), r->hidden);
}

static value_id activate(const struct run *run, uint32_t which, value_id x) {
  const struct activation_choice *a = &run->activations[which];
  struct builder *b = run->rnn->n->b;
  if (run->rnn->clip > 0) {
    x = build_binary_f64(b, SCALAR_MIN, x, run->rnn->clip);
    x = build_binary_f64(b, SCALAR_MAX, x, -run->rnn->clip);
  }
  import_named_activation(run->rnn->n, a->name, a->alpha, a->beta, &x);
  return x;
}

/* Peephole weights of gate i as [D, 1, H] times the cell state. */
static value_id with_peephole(const struct run *run, value_id x, uint32_t i, value_id c) {
  struct import_node *n = run->rnn->n;
  struct dim_table *t = n->dims;
  int64_t middle = 1;
  if (run->peepholes == VALUE_NONE)
    return x;
  dim start = dim_mul(t, dim_const(t, i), run->rnn->hidden);
  value_id p = build_slice_axis(n->b, run->peepholes, 1, start, run->rnn->hidden);
  return value_add(n->b, x, value_mul(n->b, build_unsqueeze(n->b, p, &middle, 1), c));
}

static value_id less_one(struct import_node *n, value_id x) { /* 1 - x */
  return build_unary(n->b, SCALAR_NEG, build_binary_f64(n->b, SCALAR_SUB, x, 1));
}

static value_id state_product(const struct run *run, value_id h, value_id weights) {
  const struct rnn *r = run->rnn;
  return run->r_scale == VALUE_NONE ? product(r->n, h, weights, true, r->work)
                                    : quantized_product(r->n, h, weights, run->r_scale, true);
}

/* it, ot, ft, ct stand in this order. */
static void lstm_step(const struct run *run, value_id x, value_id *h, value_id *c) {
  struct import_node *n = run->rnn->n;
  struct builder *b = n->b;
  value_id all = value_add(b, x, state_product(run, *h, run->r));
  value_id i = activate(run, 0, with_peephole(run, gate(run, all, 0), 0, *c));
  value_id f = run->rnn->input_forget
                   ? less_one(n, i)
                   : activate(run, 0, with_peephole(run, gate(run, all, 2), 2, *c));
  value_id g = activate(run, 1, gate(run, all, 3));
  *c = value_add(b, value_mul(b, f, *c), value_mul(b, i, g));
  value_id o = activate(run, 0, with_peephole(run, gate(run, all, 1), 1, *c));
  *h = value_mul(b, o, activate(run, 2, *c));
}

/* zt, rt, ht. */
static void gru_step(const struct run *run, value_id x, value_id *h) {
  const struct rnn *r = run->rnn;
  struct import_node *n = r->n;
  struct builder *b = n->b;
  struct dim_table *t = n->dims;
  int64_t middle = 1;
  dim two = dim_mul(t, dim_const(t, 2), r->hidden);
  value_id inner, z, reset;
  if (r->linear_before_reset) {
    value_id all = state_product(run, *h, run->r);
    z = activate(run, 0, value_add(b, gate(run, x, 0), gate(run, all, 0)));
    reset = activate(run, 0, value_add(b, gate(run, x, 1), gate(run, all, 1)));
    inner = gate(run, all, 2);
    if (run->r_bias != VALUE_NONE) {
      value_id bias = build_slice_axis(b, run->r_bias, 1, two, r->hidden);
      inner = value_add(b, inner, build_unsqueeze(b, bias, &middle, 1));
    }
    inner = value_mul(b, reset, inner);
  } else {
    value_id first = build_slice_axis(b, run->r, 1, dim_const(t, 0), two);
    value_id all = state_product(run, *h, first);
    z = activate(run, 0, value_add(b, gate(run, x, 0), gate(run, all, 0)));
    reset = activate(run, 0, value_add(b, gate(run, x, 1), gate(run, all, 1)));
    inner =
        state_product(run, value_mul(b, reset, *h), build_slice_axis(b, run->r, 1, two, r->hidden));
  }
  value_id made = activate(run, 1, value_add(b, gate(run, x, 2), inner));
  *h = value_add(b, value_mul(b, less_one(n, z), made), value_mul(b, z, *h));
}

/* ---- the loop ---- */

/* Reverses v [T, D, B, ...] in time: each row within its length. */
static value_id reverse_time(const struct rnn *r, value_id v) {
  static const int64_t axes[] = {0, 2}, perm[] = {0, 2, 1, 3};
  struct import_node *n = r->n;
  struct builder *b = n->b;
  if (r->lengths == VALUE_NONE)
    return build_reverse(b, v, 0);
  value_id step = import_axis_iota(n, DTYPE_I64, 2, 0, r->steps);
  value_id length = import_along_axis(n, r->lengths, 2, 1);
  value_id back = build_binary_i64(b, SCALAR_SUB, value_sub(b, length, step), 1);
  value_id index[2] = {build_select(b, build_binary(b, SCALAR_LT, step, length), back, step),
                       import_axis_iota(n, DTYPE_I64, 2, 1, r->batch)};
  return build_transpose(b, build_gather(b, v, index, axes, 2, OUT_OF_RANGE_ERROR), perm);
}

/* The same for those directions of a run that go backward. */
static value_id align_time(const struct rnn *r, uint32_t first, uint32_t count, value_id v) {
  struct import_node *n = r->n;
  dim one = dim_const(n->dims, 1);
  if (r->backward || first == 1)
    return reverse_time(r, v);
  if (count == 1)
    return v;
  value_id parts[2] = {
      build_slice_axis(n->b, v, 1, dim_const(n->dims, 0), one),
      reverse_time(r, build_slice_axis(n->b, v, 1, one, one)),
  };
  return build_concat(n->b, parts, 2, 1);
}

/* States, then what goes into Y. */
static void time_step(struct import_node *n, void *user, value_id step, const value_id *states,
                      value_id *out) {
  const struct run *run = user;
  const struct rnn *r = run->rnn;
  int64_t axis = 0;
  bool lstm = r->cell >= CELL_LSTM;
  value_id h = states[0], c = lstm ? states[1] : VALUE_NONE;
  value_id x = build_gather(n->b, run->inputs, &step, &axis, 1, OUT_OF_RANGE_CLAMP);
  if (lstm)
    lstm_step(run, x, &h, &c);
  else if (r->cell == CELL_GRU)
    gru_step(run, x, &h);
  else
    h = activate(run, 0, value_add(n->b, x, state_product(run, h, run->r)));
  value_id y = h;
  if (r->lengths != VALUE_NONE) {
    value_id there = build_binary(n->b, SCALAR_LT, step, import_along_axis(n, r->lengths, 3, 1));
    y = build_select(n->b, there, h, build_scalar_f64(n->b, r->work, 0));
    h = build_select(n->b, there, h, states[0]);
    c = lstm ? build_select(n->b, there, c, states[1]) : c;
  }
  out[0] = h;
  out[1] = lstm ? c : y;
  out[2] = y;
}

/* Results: Y [T, D, B, H] (backward directions in their own order), and the states at the end. */
static bool build_time_loop(struct run *run, value_id h, value_id c, value_id out[3]) {
  const struct rnn *r = run->rnn;
  uint32_t carried = r->cell >= CELL_LSTM ? 2 : 1;
  value_id states[2] = {h, c}, results[3];
  if (run->inputs == VALUE_NONE)
    return false;
  import_steps(r->n, r->steps, states, carried, 1, time_step, run, results);
  out[0] = results[carried];
  out[1] = results[0];
  out[2] = carried == 2 ? results[1] : VALUE_NONE;
  return out[0] != VALUE_NONE;
}

/* x times W and biases for a run: [T, D, B, G * H]. A GRU's bias of the reset product stays inside.
 */
static value_id input_products(const struct rnn *r, value_id w, value_id scale, value_id w_bias,
                               value_id r_bias) {
  static const int64_t perm[] = {0, 2, 1, 3};
  struct import_node *n = r->n;
  struct dim_table *t = n->dims;
  value_id y = scale == VALUE_NONE ? product(n, r->x, w, false, r->work)
                                   : quantized_product(n, r->x, w, scale, false);
  if (w_bias != VALUE_NONE && r->linear_before_reset) {
    dim two = dim_mul(t, dim_const(t, 2), r->hidden), zero = dim_const(t, 0);
    dim low[2] = {zero, zero}, high[2] = {zero, r->hidden};
    value_id gates = build_slice_axis(n->b, r_bias, 1, zero, two);
    r_bias = build_pad(n->b, gates, build_scalar_f64(n->b, r->work, 0), low, high, NULL);
  }
  if (w_bias != VALUE_NONE)
    y = value_add(n->b, y, value_add(n->b, w_bias, r_bias));
  return build_transpose(n->b, y, perm);
}

/* Runs `count` directions from `first` on. */
static bool build_run(const struct rnn *r, uint32_t first, uint32_t count, value_id out[3]) {
  struct import_node *n = r->n;
  dim start = dim_const(n->dims, first), size = dim_const(n->dims, count);
  struct run run = {.rnn = r, .activations = r->activations[first], .count = count};
  run.r = slice_first(n, r->r, 0, start, size);
  run.r_scale = slice_first(n, r->r_scale, 0, start, size);
  run.r_bias = slice_first(n, r->r_bias, 0, start, size);
  run.peepholes = slice_first(n, r->peepholes, 0, start, size);
  value_id inputs = input_products(r, slice_first(n, r->w, 0, start, size),
                                   slice_first(n, r->w_scale, 0, start, size),
                                   slice_first(n, r->w_bias, 0, start, size), run.r_bias);
  run.inputs = align_time(r, first, count, inputs);
  if (!build_time_loop(&run, slice_first(n, r->h, 0, start, size),
                       slice_first(n, r->c, 0, start, size), out))
    return false;
  out[0] = align_time(r, first, count, out[0]);
  return true;
}

static bool same_activations(const struct rnn *r) {
  for (uint32_t i = 0; i < r->n_activations; i++) {
    const struct activation_choice *a = &r->activations[0][i], *b = &r->activations[1][i];
    if (strcmp(a->name, b->name) || a->alpha != b->alpha || a->beta != b->beta)
      return false;
  }
  return true;
}

static void out_rnn(const struct rnn *r, const value_id results[3]) {
  static const int64_t batch_first[] = {2, 0, 1, 3}, swap[] = {1, 0, 2};
  struct import_node *n = r->n;
  for (uint32_t i = 0; i < 3; i++) {
    if (!import_wants(n, i) || (i == 2 && r->cell < CELL_LSTM))
      continue;
    value_id v = build_cast(n->b, results[i], r->dtype);
    if (r->layout)
      v = build_transpose(n->b, v, i ? swap : batch_first);
    import_out(n, i, v);
  }
}

/* arg: the cell. */
void import_rnn(struct import_node *n) {
  struct rnn r = {.n = n, .cell = (enum cell)n->arg};
  value_id results[3], more[3];
  if (!read_rnn(&r) || !read_operands(&r))
    return;
  if (r.directions == 2 && !same_activations(&r)) {
    if (!build_run(&r, 0, 1, results) || !build_run(&r, 1, 1, more))
      return;
    for (uint32_t i = 0; i < (r.cell >= CELL_LSTM ? 3 : 2); i++) {
      value_id pair[2] = {results[i], more[i]};
      results[i] = build_concat(n->b, pair, 2, i ? 0 : 1);
    }
  } else if (!build_run(&r, 0, r.directions, results)) {
    return;
  }
  out_rnn(&r, results);
}
