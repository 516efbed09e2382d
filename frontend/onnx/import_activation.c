/* SPDX-License-Identifier: Apache-2.0 */
/* Activations: each is one map, whose body is the formula of the operator's definition in a form
 * that does not overflow. */
#include "frontend/onnx/import_activation.h"

#include <math.h>
#include <string.h>

/* A body of one operand under construction, all of it in one dtype. */
struct formula {
  struct body_builder s;
  enum dtype dtype;
};

static uint32_t num(struct formula *f, double x) { return body_f64(&f->s, f->dtype, x); }
static uint32_t one(struct formula *f, enum scalar_op op, uint32_t x) {
  return body_op(&f->s, op, x, 0, 0);
}
static uint32_t two(struct formula *f, enum scalar_op op, uint32_t x, uint32_t y) {
  return body_op(&f->s, op, x, y, 0);
}
static uint32_t choose(struct formula *f, uint32_t c, uint32_t x, uint32_t y) {
  return body_op(&f->s, SCALAR_SELECT, c, x, y);
}
static uint32_t scale(struct formula *f, double by, uint32_t x) {
  return two(f, SCALAR_MUL, num(f, by), x);
}
static uint32_t shift(struct formula *f, uint32_t x, double by) {
  return two(f, SCALAR_ADD, x, num(f, by));
}

/* log(1 + e^x) = max(x, 0) + log1p(e^-|x|) */
static uint32_t softplus(struct formula *f, uint32_t x) {
  uint32_t e = one(f, SCALAR_EXP, one(f, SCALAR_NEG, one(f, SCALAR_ABS, x)));
  return two(f, SCALAR_ADD, two(f, SCALAR_MAX, x, num(f, 0)), one(f, SCALAR_LOG1P, e));
}

static uint32_t elu(struct formula *f, uint32_t x, double alpha) {
  uint32_t low = scale(f, alpha, one(f, SCALAR_EXPM1, x));
  return choose(f, two(f, SCALAR_GT, x, num(f, 0)), x, low);
}

static uint32_t celu(struct formula *f, uint32_t x, double alpha) {
  uint32_t e = one(f, SCALAR_EXPM1, two(f, SCALAR_DIV, x, num(f, alpha)));
  uint32_t high = two(f, SCALAR_MAX, x, num(f, 0));
  return two(f, SCALAR_ADD, high, two(f, SCALAR_MIN, scale(f, alpha, e), num(f, 0)));
}

static uint32_t gelu(struct formula *f, uint32_t x) {
  uint32_t e = one(f, SCALAR_ERF, two(f, SCALAR_MUL, x, num(f, M_SQRT1_2)));
  return two(f, SCALAR_MUL, scale(f, 0.5, x), shift(f, e, 1));
}

static uint32_t gelu_tanh(struct formula *f, uint32_t x) {
  uint32_t cube = two(f, SCALAR_MUL, two(f, SCALAR_MUL, x, x), x);
  uint32_t inner = two(f, SCALAR_ADD, x, scale(f, 0.044715, cube));
  uint32_t t = one(f, SCALAR_TANH, scale(f, 0.7978845608028654, inner)); /* sqrt(2 / pi) */
  return two(f, SCALAR_MUL, scale(f, 0.5, x), shift(f, t, 1));
}

static uint32_t hard_sigmoid(struct formula *f, uint32_t x, double alpha, double beta) {
  uint32_t y = shift(f, scale(f, alpha, x), beta);
  return two(f, SCALAR_MAX, two(f, SCALAR_MIN, y, num(f, 1)), num(f, 0));
}

static uint32_t shrink(struct formula *f, uint32_t x, double lambda, double bias) {
  uint32_t below = two(f, SCALAR_LT, x, num(f, -lambda));
  uint32_t above = two(f, SCALAR_GT, x, num(f, lambda));
  uint32_t high = choose(f, above, shift(f, x, -bias), num(f, 0));
  return choose(f, below, shift(f, x, bias), high);
}

static uint32_t softsign(struct formula *f, uint32_t x) {
  return two(f, SCALAR_DIV, x, shift(f, one(f, SCALAR_ABS, x), 1));
}

static void write_formula(struct formula *f, enum activation kind, uint32_t x, double alpha,
                          double beta) {
  switch (kind) {
  case ACTIVATION_CELU: celu(f, x, alpha); break;
  case ACTIVATION_ELU: elu(f, x, alpha); break;
  case ACTIVATION_SELU: scale(f, beta, elu(f, x, alpha)); break;
  case ACTIVATION_GELU: gelu(f, x); break;
  case ACTIVATION_GELU_TANH: gelu_tanh(f, x); break;
  case ACTIVATION_HARD_SIGMOID: hard_sigmoid(f, x, alpha, beta); break;
  case ACTIVATION_HARD_SWISH: two(f, SCALAR_MUL, x, hard_sigmoid(f, x, 1.0 / 6, 0.5)); break;
  case ACTIVATION_LEAKY_RELU:
    choose(f, two(f, SCALAR_LT, x, num(f, 0)), scale(f, alpha, x), x);
    break;
  case ACTIVATION_MISH: two(f, SCALAR_MUL, x, one(f, SCALAR_TANH, softplus(f, x))); break;
  case ACTIVATION_RELU: two(f, SCALAR_MAX, x, num(f, 0)); break;
  case ACTIVATION_SHRINK: shrink(f, x, alpha, beta); break;
  case ACTIVATION_SOFTPLUS: softplus(f, x); break;
  case ACTIVATION_SOFTSIGN: softsign(f, x); break;
  case ACTIVATION_SWISH: two(f, SCALAR_MUL, x, one(f, SCALAR_SIGMOID, scale(f, alpha, x))); break;
  case ACTIVATION_THRESHOLDED_RELU:
    choose(f, two(f, SCALAR_GT, x, num(f, alpha)), x, num(f, 0));
    break;
  case ACTIVATION_AFFINE: shift(f, scale(f, alpha, x), beta); break;
  case ACTIVATION_SCALED_TANH: scale(f, alpha, one(f, SCALAR_TANH, scale(f, beta, x))); break;
  case ACTIVATION_SIGMOID: one(f, SCALAR_SIGMOID, x); break;
  case ACTIVATION_TANH: one(f, SCALAR_TANH, x); break;
  }
}

value_id import_build_activation(struct builder *b, value_id x, enum activation kind, double alpha,
                                 double beta) {
  if (x == VALUE_NONE)
    return VALUE_NONE;
  enum dtype dtype = value_type(b->function, x)->dtype;
  struct formula f = {.dtype = dtype_is_float(dtype) ? dtype : DTYPE_F64};
  value_id v = build_cast(b, x, f.dtype);
  body_init(&f.s, 1);
  write_formula(&f, kind, body_arg(&f.s, 0, f.dtype), alpha, beta);
  return build_cast(b, build_map(b, &v, 1, body_finish(&f.s, b->function->module)), dtype);
}

bool import_named_activation(struct import_node *n, const char *name, double alpha, double beta,
                             value_id *x) {
  static const struct {
    const char *name;
    enum activation kind;
  } known[] = {
      {"Relu", ACTIVATION_RELU},
      {"Sigmoid", ACTIVATION_SIGMOID},
      {"Tanh", ACTIVATION_TANH},
      {"LeakyRelu", ACTIVATION_LEAKY_RELU},
      {"HardSigmoid", ACTIVATION_HARD_SIGMOID},
      {"HardSwish", ACTIVATION_HARD_SWISH},
      {"Elu", ACTIVATION_ELU},
      {"ThresholdedRelu", ACTIVATION_THRESHOLDED_RELU},
      {"ScaledTanh", ACTIVATION_SCALED_TANH},
      {"Affine", ACTIVATION_AFFINE},
      {"Softsign", ACTIVATION_SOFTSIGN},
      {"Softplus", ACTIVATION_SOFTPLUS},
      {"Gelu", ACTIVATION_GELU},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(known[i].name, name)) {
      *x = import_build_activation(n->b, *x, known[i].kind, alpha, beta);
      return true;
    }
  import_unsupported(n, "the activation '%s'", name);
  return false;
}

/* The attributes of each operator and their defaults; NULL where there is none. */
static const struct {
  const char *alpha, *beta;
  double alpha_value, beta_value;
} attributes[] = {
    [ACTIVATION_CELU] = {"alpha", NULL, 1, 0},
    [ACTIVATION_ELU] = {"alpha", NULL, 1, 0},
    [ACTIVATION_SELU] = {"alpha", "gamma", 1.67326319217681884765625, 1.05070102214813232421875},
    [ACTIVATION_HARD_SIGMOID] = {"alpha", "beta", 0.2, 0.5},
    [ACTIVATION_LEAKY_RELU] = {"alpha", NULL, 0.01, 0},
    [ACTIVATION_SHRINK] = {"lambd", "bias", 0.5, 0},
    [ACTIVATION_SWISH] = {"alpha", NULL, 1, 0},
    [ACTIVATION_THRESHOLDED_RELU] = {"alpha", NULL, 1, 0},
    [ACTIVATION_TANH] = {NULL, NULL, 0, 0},
};

void import_activation(struct import_node *n) {
  enum activation kind = (enum activation)n->arg;
  double alpha = attributes[kind].alpha_value, beta = attributes[kind].beta_value;
  if (attributes[kind].alpha)
    alpha = import_attr_float(n, attributes[kind].alpha, alpha);
  if (attributes[kind].beta)
    beta = import_attr_float(n, attributes[kind].beta, beta);
  if (kind == ACTIVATION_GELU && !strcmp(import_attr_string(n, "approximate", "none"), "tanh"))
    kind = ACTIVATION_GELU_TANH;
  if (import_arity(n, 1, 1, 1))
    import_out(n, 0, import_build_activation(n->b, import_in(n, 0), kind, alpha, beta));
}

void import_relu(struct import_node *n) {
  if (!import_arity(n, 1, 1, 1))
    return;
  value_id zero = build_scalar_f64(n->b, import_dtype(n, 0), 0);
  import_out(n, 0, build_binary(n->b, SCALAR_MAX, import_in(n, 0), zero));
}

/* The slope broadcasts to x, as numpy does. */
void import_prelu(struct import_node *n) {
  if (!import_arity(n, 2, 2, 1))
    return;
  value_id x = import_in(n, 0), zero = build_scalar_f64(n->b, import_dtype(n, 0), 0);
  value_id slope = import_in(n, 1);
  uint32_t rank = import_rank(n, 0);
  if (n->opset < 7 && import_rank(n, 1) == 1 && rank > 2) { /* one slope per channel */
    int64_t axes[IR_MAX_RANK];
    for (uint32_t i = 2; i < rank; i++)
      axes[i - 2] = i - 1;
    slope = build_unsqueeze(n->b, slope, axes, rank - 2);
  }
  value_id low = build_binary(n->b, SCALAR_MUL, x, slope);
  import_out(n, 0, build_select(n->b, build_binary(n->b, SCALAR_LT, x, zero), low, x));
}
