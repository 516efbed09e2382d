/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to the trees of ONNX models. Each kind of change draws its place anew; one that finds no
 * place does nothing. */
#include "tests/support/onnx_mutate.h"

#include <string.h>

#include "base/vec.h"
#include "frontend/onnx/onnx.pb-c.h"
#include "tests/support/mutation.h"

struct mutator {
  struct arena *arena;
  uint64_t state;
  uint32_t fresh; /* names made */
  Onnx__ModelProto *model;
  VEC(Onnx__GraphProto *) graphs; /* the main one first, then those of attributes */
  VEC(Onnx__NodeProto *) nodes;   /* of all graphs, in order */
};

static uint64_t draw(struct mutator *m, uint64_t n) { return mutation_draw(&m->state, n); }

/* ---- places ---- */

static void collect(struct mutator *m, Onnx__GraphProto *g) {
  vec_push(&m->graphs, g);
  for (size_t i = 0; i < g->n_node; i++) {
    vec_push(&m->nodes, g->node[i]);
    for (size_t k = 0; k < g->node[i]->n_attribute; k++)
      if (g->node[i]->attribute[k]->g)
        collect(m, g->node[i]->attribute[k]->g);
  }
}

static Onnx__GraphProto *any_graph(struct mutator *m) {
  return m->graphs.data[draw(m, 3) ? 0 : draw(m, m->graphs.len)];
}

static Onnx__NodeProto *any_node(struct mutator *m) {
  return m->nodes.len ? m->nodes.data[draw(m, m->nodes.len)] : NULL;
}

/* A list with room for one more. */
static void *grown(struct mutator *m, const void *list, size_t n, size_t size) {
  void *more = arena_alloc(m->arena, (n + 1) * size);
  if (n)
    memcpy(more, list, n * size);
  return more;
}

static char *text(struct mutator *m, const char *t) { return arena_strdup(m->arena, t); }

static char *fresh_name(struct mutator *m) {
  return arena_printf(m->arena, "mutated_%u", m->fresh++);
}

/* The name of some value of the main graph before node `end`. */
static char *any_value(struct mutator *m, size_t end) {
  const Onnx__GraphProto *g = m->graphs.data[0];
  size_t n = g->n_input + g->n_initializer + end;
  size_t i = n ? (size_t)draw(m, n) : 0;
  if (!n)
    return text(m, "");
  if (i < g->n_input)
    return g->input[i]->name;
  if ((i -= g->n_input) < g->n_initializer)
    return g->initializer[i]->name;
  const Onnx__NodeProto *node = g->node[i - g->n_initializer];
  return node->n_output ? node->output[draw(m, node->n_output)] : text(m, "");
}

/* ---- numbers and words ---- */

static int64_t near_integer(struct mutator *m, int64_t old) {
  switch (draw(m, 6)) {
  case 0: return old + 1;
  case 1: return (int64_t)((uint64_t)old - 1);
  case 2: return (int64_t)(0 - (uint64_t)old);
  case 3: return old / 2;
  default: return (int64_t)draw(m, 8) - 3;
  }
}

static float near_real(struct mutator *m, float old) {
  static const float some[] = {0, 1, -1, 0.5f, 2, 1e-6f, 100};
  return draw(m, 3) ? some[draw(m, sizeof some / sizeof *some)] : -old;
}

static char *word_like(struct mutator *m, const char *old) {
  static const char *const families[][6] = {
      {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"},
      {"constant", "reflect", "edge", "wrap"},
      {"nearest", "linear", "cubic"},
      {"bilinear", "nearest", "bicubic"},
      {"zeros", "border", "reflection"},
      {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "tf_crop_and_resize",
       "half_pixel_symmetric"},
      {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"},
      {"stretch", "not_larger", "not_smaller"},
      {"none", "add", "mul", "max", "min"},
      {"none", "mean", "sum"},
      {"forward", "reverse", "bidirectional"},
      {"none", "tanh"},
      {"Sigmoid", "Tanh", "Relu", "Elu", "HardSigmoid", "Softsign"},
      {"DCR", "CRD"},
      {"LOGISTIC", "SOFTMAX", "NONE", "SOFTMAX_ZERO", "PROBIT"},
      {"max", "sum", "l1", "l2"},
      {"MAX", "L1", "L2"},
      {"linear", "gated"},
  };
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    for (size_t k = 0; k < 6 && families[i][k]; k++)
      if (!strcmp(families[i][k], old)) {
        const char *other = families[i][draw(m, 6)];
        return text(m, other ? other : families[i][0]);
      }
  return text(m, old);
}

static void change_ints(struct mutator *m, size_t *n, int64_t **list) {
  int64_t *copy = grown(m, *list, *n, sizeof **list);
  *list = copy;
  uint64_t how = draw(m, 6);
  if (how == 0)
    copy[(*n)++] = (int64_t)draw(m, 4) - 1;
  else if (how == 1 && *n)
    --*n;
  else if (*n) {
    int64_t *one = &copy[draw(m, *n)];
    *one = near_integer(m, *one);
  }
}

/* ---- tensors in the model ---- */

static const int32_t dtypes[] = {
    ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,   ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE,
    ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16,
    ONNX__TENSOR_PROTO__DATA_TYPE__INT32,   ONNX__TENSOR_PROTO__DATA_TYPE__INT64,
    ONNX__TENSOR_PROTO__DATA_TYPE__INT8,    ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,
    ONNX__TENSOR_PROTO__DATA_TYPE__INT16,   ONNX__TENSOR_PROTO__DATA_TYPE__UINT64,
    ONNX__TENSOR_PROTO__DATA_TYPE__BOOL,
};

static int32_t any_dtype(struct mutator *m) {
  return dtypes[draw(m, sizeof dtypes / sizeof *dtypes)];
}

/* Integers, which are mostly sizes and positions, change by a little; others in a bit. */
static void change_tensor(struct mutator *m, Onnx__TensorProto *t) {
  bool i64 = t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
  if (t->n_int64_data) {
    int64_t *x = &t->int64_data[draw(m, t->n_int64_data)];
    *x = near_integer(m, *x);
  } else if (t->n_float_data) {
    float *x = &t->float_data[draw(m, t->n_float_data)];
    *x = near_real(m, *x);
  } else if (t->n_int32_data) {
    int32_t *x = &t->int32_data[draw(m, t->n_int32_data)];
    *x = (int32_t)near_integer(m, *x);
  } else if (t->raw_data.len >= 8 && i64) {
    int64_t x;
    uint8_t *at = t->raw_data.data + draw(m, t->raw_data.len / 8) * 8;
    memcpy(&x, at, sizeof x);
    x = near_integer(m, x);
    memcpy(at, &x, sizeof x);
  } else if (t->raw_data.len) {
    t->raw_data.data[draw(m, t->raw_data.len)] ^= (uint8_t)(1 << draw(m, 8));
  }
}

/* ---- types of inputs ---- */

static Onnx__TypeProto__Tensor *tensor_input(struct mutator *m) {
  const Onnx__GraphProto *g = m->graphs.data[0];
  if (!g->n_input)
    return NULL;
  const Onnx__TypeProto *t = g->input[draw(m, g->n_input)]->type;
  bool is = t && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  return is ? t->tensor_type : NULL;
}

static void change_dim(struct mutator *m, Onnx__TensorShapeProto__Dimension *d) {
  static const char *const names[] = {"n", "m", "batch", "length"};
  uint64_t how = draw(m, 6);
  if (how < 3) {
    d->dim_param = text(m, names[draw(m, sizeof names / sizeof *names)]);
    d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
  } else {
    bool known = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    int64_t old = known ? d->dim_value : 4, size = draw(m, 2) ? near_integer(m, old) : old + 13;
    d->dim_value = size < 0 ? 0 : size;
    d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
  }
}

static void change_input(struct mutator *m) {
  Onnx__TypeProto__Tensor *t = tensor_input(m);
  if (!t)
    return;
  Onnx__TensorShapeProto *s = t->shape;
  if (draw(m, 5) == 0)
    t->elem_type = any_dtype(m);
  else if (s && s->n_dim && draw(m, 6) == 0)
    s->n_dim--;
  else if (s && s->n_dim)
    change_dim(m, s->dim[draw(m, s->n_dim)]);
}

/* The same dim of every input that has it gets one name: a batch. */
static void name_a_dim(struct mutator *m) {
  const Onnx__GraphProto *g = m->graphs.data[0];
  uint32_t at = (uint32_t)draw(m, 3);
  int64_t size = 0;
  for (size_t i = 0; i < g->n_input; i++) {
    const Onnx__TypeProto *t = g->input[i]->type;
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type->shape ||
        t->tensor_type->shape->n_dim <= at)
      continue;
    Onnx__TensorShapeProto__Dimension *d = t->tensor_type->shape->dim[at];
    if (d->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
        (size && d->dim_value != size))
      continue;
    size = d->dim_value;
    d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    d->dim_param = text(m, "same");
  }
}

/* An initializer becomes an input of its type. */
static void free_constant(struct mutator *m) {
  Onnx__GraphProto *g = m->graphs.data[0];
  if (!g->n_initializer)
    return;
  size_t at = (size_t)draw(m, g->n_initializer);
  const Onnx__TensorProto *t = g->initializer[at];
  Onnx__ValueInfoProto *v = arena_alloc(m->arena, sizeof *v);
  Onnx__TypeProto *type = arena_alloc(m->arena, sizeof *type);
  Onnx__TypeProto__Tensor *tensor = arena_alloc(m->arena, sizeof *tensor);
  Onnx__TensorShapeProto *shape = arena_alloc(m->arena, sizeof *shape);
  onnx__value_info_proto__init(v);
  onnx__type_proto__init(type);
  onnx__type_proto__tensor__init(tensor);
  onnx__tensor_shape_proto__init(shape);
  shape->n_dim = t->n_dims;
  shape->dim = ARENA_ARRAY(m->arena, Onnx__TensorShapeProto__Dimension *, t->n_dims + 1);
  for (size_t i = 0; i < t->n_dims; i++) {
    shape->dim[i] = arena_alloc(m->arena, sizeof *shape->dim[i]);
    onnx__tensor_shape_proto__dimension__init(shape->dim[i]);
    shape->dim[i]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    shape->dim[i]->dim_value = t->dims[i];
  }
  *tensor = (Onnx__TypeProto__Tensor){tensor->base, t->data_type, shape};
  type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  type->tensor_type = tensor;
  v->name = t->name;
  v->type = type;
  g->initializer[at] = g->initializer[--g->n_initializer];
  for (size_t i = 0; i < g->n_input; i++)
    if (!strcmp(g->input[i]->name, t->name))
      return;
  g->input = grown(m, g->input, g->n_input, sizeof *g->input);
  g->input[g->n_input++] = v;
}

/* ---- nodes ---- */

static void change_attribute(struct mutator *m) {
  Onnx__NodeProto *n = any_node(m);
  if (!n || !n->n_attribute)
    return;
  size_t at = (size_t)draw(m, n->n_attribute);
  Onnx__AttributeProto *a = n->attribute[at];
  if (draw(m, 8) == 0) {
    n->attribute[at] = n->attribute[--n->n_attribute];
    return;
  }
  switch (a->type) {
  case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
    a->i =
        !strcmp(a->name, "to") || !strcmp(a->name, "dtype") ? any_dtype(m) : near_integer(m, a->i);
    break;
  case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT: a->f = near_real(m, a->f); break;
  case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS: change_ints(m, &a->n_ints, &a->ints); break;
  case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR: change_tensor(m, a->t); break;
  case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING: {
    char *word = word_like(m, arena_strndup(m->arena, (char *)a->s.data, a->s.len));
    a->s = (ProtobufCBinaryData){strlen(word), (uint8_t *)word};
    break;
  }
  default: break;
  }
}

/* Another operator that takes as many operands. */
static void change_operator(struct mutator *m) {
  static const char *const families[][16] = {
      {"Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Max", "Min", "Mod", "MatMul"},
      {"Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Abs", "Sqrt", "Floor", "Erf", "Softplus", "Round",
       "Identity", "Sign", "Softmax", "Flatten", "Gelu"},
      {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2",
       "ReduceLogSumExp", "ReduceL1", "ReduceSumSquare"},
      {"Softmax", "LogSoftmax", "Hardmax"},
      {"MaxPool", "AveragePool", "LpPool"},
      {"GlobalMaxPool", "GlobalAveragePool"},
      {"Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual"},
      {"And", "Or", "Xor"},
      {"ArgMax", "ArgMin"},
      {"LSTM", "GRU", "RNN"},
      {"Squeeze", "Unsqueeze"},
      {"Gather", "GatherElements", "GatherND"},
      {"Conv", "ConvTranspose"},
  };
  Onnx__NodeProto *n = any_node(m);
  if (!n)
    return;
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    for (size_t k = 0; k < 16 && families[i][k]; k++)
      if (!strcmp(families[i][k], n->op_type)) {
        const char *other = families[i][draw(m, 16)];
        if (other)
          n->op_type = text(m, other);
        return;
      }
}

static void change_edge(struct mutator *m) {
  Onnx__GraphProto *g = m->graphs.data[0];
  if (!g->n_node)
    return;
  size_t at = (size_t)draw(m, g->n_node);
  Onnx__NodeProto *n = g->node[at];
  uint64_t how = draw(m, 6);
  if (how == 0 && n->n_input < 8) {
    n->input = grown(m, n->input, n->n_input, sizeof *n->input);
    n->input[n->n_input++] = any_value(m, at);
  } else if (how == 1 && n->n_input) {
    n->n_input--;
  } else if (how == 2 && n->n_input) {
    n->input[draw(m, n->n_input)] = text(m, "");
  } else if (n->n_input) {
    n->input[draw(m, n->n_input)] = any_value(m, at);
  }
}

static Onnx__AttributeProto *int_attribute(struct mutator *m, const char *name, int64_t value) {
  Onnx__AttributeProto *a = arena_alloc(m->arena, sizeof *a);
  onnx__attribute_proto__init(a);
  a->name = text(m, name);
  a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
  a->i = value;
  return a;
}

/* A node of one operand before an operand of another. */
static void insert_node(struct mutator *m) {
  static const char *const operators[] = {
      "Relu", "Neg",    "Transpose", "Cast",    "Softmax",       "Identity", "Exp",
      "Abs",  "CumSum", "Dropout",   "NonZero", "GlobalMaxPool", "Flatten",  "Shape"};
  Onnx__GraphProto *g = any_graph(m);
  if (!g->n_node)
    return;
  size_t at = (size_t)draw(m, g->n_node);
  Onnx__NodeProto *reader = g->node[at], *n = arena_alloc(m->arena, sizeof *n);
  if (!reader->n_input)
    return;
  size_t operand = (size_t)draw(m, reader->n_input);
  onnx__node_proto__init(n);
  n->op_type = text(m, operators[draw(m, sizeof operators / sizeof *operators)]);
  n->input = ARENA_ARRAY(m->arena, char *, 1);
  n->output = ARENA_ARRAY(m->arena, char *, 1);
  n->n_input = n->n_output = 1;
  n->input[0] = reader->input[operand];
  n->output[0] = reader->input[operand] = fresh_name(m);
  if (!strcmp(n->op_type, "Cast")) {
    n->attribute = ARENA_ARRAY(m->arena, Onnx__AttributeProto *, 1);
    n->attribute[0] = int_attribute(m, "to", any_dtype(m));
    n->n_attribute = 1;
  }
  g->node = grown(m, g->node, g->n_node, sizeof *g->node);
  memmove(g->node + at + 1, g->node + at, (g->n_node - at) * sizeof *g->node);
  g->node[at] = n;
  g->n_node++;
}

/* A value that only nodes read becomes an output too. */
static void show_value(struct mutator *m) {
  Onnx__GraphProto *g = m->graphs.data[0];
  char *name = any_value(m, g->n_node);
  for (size_t i = 0; i < g->n_output; i++)
    if (!strcmp(g->output[i]->name, name))
      return;
  Onnx__ValueInfoProto *v = arena_alloc(m->arena, sizeof *v);
  onnx__value_info_proto__init(v);
  v->name = name;
  g->output = grown(m, g->output, g->n_output, sizeof *g->output);
  g->output[g->n_output++] = v;
}

static void change_version(struct mutator *m) {
  for (size_t i = 0; i < m->model->n_opset_import; i++)
    if (!*m->model->opset_import[i]->domain)
      m->model->opset_import[i]->version = 7 + (int64_t)draw(m, 21);
}

static void change_initializer(struct mutator *m) {
  const Onnx__GraphProto *g = any_graph(m);
  if (g->n_initializer)
    change_tensor(m, g->initializer[draw(m, g->n_initializer)]);
}

static void change(struct mutator *m) {
  switch (draw(m, 20)) {
  case 0:
  case 1:
  case 2:
  case 3: change_attribute(m); break;
  case 4:
  case 5:
  case 6:
  case 7: change_input(m); break;
  case 8:
  case 9: name_a_dim(m); break;
  case 10: free_constant(m); break;
  case 11:
  case 12: change_operator(m); break;
  case 13:
  case 14: change_edge(m); break;
  case 15:
  case 16: insert_node(m); break;
  case 17: show_value(m); break;
  case 18: change_version(m); break;
  default: change_initializer(m); break;
  }
}

/* ---- the whole ---- */

/* What the model declares of its outputs is no longer true. */
static void forget_outputs(struct mutator *m) {
  Onnx__GraphProto *g = m->graphs.data[0];
  g->n_value_info = 0;
  for (size_t i = 0; i < g->n_output; i++) {
    Onnx__TypeProto *t = g->output[i]->type;
    if (t && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
      g->output[i]->type = NULL;
  }
}

uint8_t *onnx_mutate(const uint8_t *bytes, size_t n, uint64_t seed, uint32_t changes,
                     struct arena *arena, size_t *out_n) {
  ProtobufCAllocator allocator = mutation_allocator(arena);
  Onnx__ModelProto *model = onnx__model_proto__unpack(&allocator, n, bytes);
  if (!model || !model->graph)
    return NULL;
  struct mutator m = {.arena = arena, .state = mutation_seed(seed), .model = model};
  collect(&m, model->graph);
  for (uint32_t i = 0; i < changes; i++)
    change(&m);
  forget_outputs(&m);
  vec_deinit(&m.graphs);
  vec_deinit(&m.nodes);
  uint8_t *out = arena_alloc(arena, onnx__model_proto__get_packed_size(model) + 1);
  *out_n = onnx__model_proto__pack(model, out);
  return out;
}
