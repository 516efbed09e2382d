/* SPDX-License-Identifier: Apache-2.0 */
/* llama: a decoder as Touvron et al., 2023, have it, with grouped queries (Ainslie et al., 2023),
 * as exporters write it: root mean square norms and rotary embedding in their parts, keys and
 * values repeated by Expand. True size is that of a small model (135 million parameters), large
 * that of one of 8 billion. */
#include "models/zoo/zoo_builder.h"

#include <math.h>

#define FLOAT ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define INT64 ONNX__TENSOR_PROTO__DATA_TYPE__INT64
#define MOST_LAYERS 32

struct llama {
  int64_t hidden, heads, groups, size, wide, layers, words;
  zoo_value batch, length, cosine, sine,
      mask; /* scalars; [batch, 1, seq, size]; [batch, 1, seq, total] */
};

struct llama_cache {
  zoo_value keys, values; /* in: past; out: present */
};

static const char *named(struct zoo *z, const char *part) {
  return arena_printf(&z->arena, "%s.%s", z->scope + 1, part);
}

static zoo_value vector_of(struct zoo *z, zoo_value scalar) {
  return ZOO(z, "Unsqueeze", scalar, ZOO_INTS(z, 0));
}

static zoo_value concat(struct zoo *z, zoo_value a, zoo_value b, int64_t axis) {
  zoo_value y = ZOO(z, "Concat", a, b);
  zoo_attr_int(z, "axis", axis);
  return y;
}

static zoo_value cast(struct zoo *z, zoo_value x, int32_t type) {
  zoo_value y = ZOO(z, "Cast", x);
  zoo_attr_int(z, "to", type);
  return y;
}

static zoo_value rms_norm(struct zoo *z, const char *name, zoo_value x, int64_t n) {
  zoo_value square = ZOO(z, "ReduceMean", ZOO(z, "Pow", x, zoo_float(z, 2)));
  ZOO_ATTR_INTS(z, "axes", -1);
  zoo_attr_int(z, "keepdims", 1);
  zoo_value root = ZOO(z, "Sqrt", ZOO(z, "Add", square, zoo_float(z, 1e-5f)));
  zoo_value y = ZOO(z, "Mul", x, ZOO(z, "Reciprocal", root));
  return ZOO(z, "Mul", ZOO_WEIGHT(z, arena_printf(&z->arena, "%s.weight", name), 1, 0.1f, n), y);
}

static zoo_value heads_of(struct zoo *z, const struct llama *c, zoo_value x, int64_t heads) {
  zoo_value parts[4] = {vector_of(z, c->batch), vector_of(z, c->length), ZOO_INTS(z, heads),
                        ZOO_INTS(z, c->size)};
  zoo_value shape = zoo_node(z, "Concat", parts, 4);
  zoo_attr_int(z, "axis", 0);
  return ZOO_TRANSPOSE(z, ZOO(z, "Reshape", x, shape), 0, 2, 1, 3);
}

/* x cos + rotated x sin, where rotated x is (-upper half, lower half) */
static zoo_value rotary(struct zoo *z, const struct llama *c, zoo_value x) {
  zoo_value half = ZOO_INTS(z, c->size / 2), last = ZOO_INTS(z, -1), one = ZOO_INTS(z, 1);
  zoo_value low = ZOO(z, "Slice", x, ZOO_INTS(z, 0), half, last, one);
  zoo_value high = ZOO(z, "Slice", x, half, ZOO_INTS(z, INT64_MAX), last, one);
  zoo_value rotated = concat(z, ZOO(z, "Neg", high), low, -1);
  return ZOO(z, "Add", ZOO(z, "Mul", x, c->cosine), ZOO(z, "Mul", rotated, c->sine));
}

/* [batch, groups, total, size] to [batch, heads, total, size] */
static zoo_value repeated(struct zoo *z, const struct llama *c, zoo_value x) {
  int64_t times = c->heads / c->groups;
  zoo_value total = zoo_dim(z, x, 2);
  zoo_value parts[5] = {vector_of(z, c->batch), ZOO_INTS(z, c->groups), ZOO_INTS(z, times),
                        vector_of(z, total), ZOO_INTS(z, c->size)};
  zoo_value shape = zoo_node(z, "Concat", parts, 5);
  zoo_attr_int(z, "axis", 0);
  zoo_value y = ZOO(z, "Expand", ZOO(z, "Unsqueeze", x, ZOO_INTS(z, 2)), shape);
  zoo_value joined[4] = {parts[0], ZOO_INTS(z, c->heads), parts[3], parts[4]};
  zoo_value flat = zoo_node(z, "Concat", joined, 4);
  zoo_attr_int(z, "axis", 0);
  return ZOO(z, "Reshape", y, flat);
}

static zoo_value attention(struct zoo *z, const struct llama *c, zoo_value x,
                           struct llama_cache *cache) {
  int64_t narrow = c->groups * c->size;
  zoo_value q = heads_of(
      z, c, zoo_linear(z, named(z, "q_proj"), x, c->hidden, c->heads * c->size, false), c->heads);
  zoo_value k =
      heads_of(z, c, zoo_linear(z, named(z, "k_proj"), x, c->hidden, narrow, false), c->groups);
  zoo_value v =
      heads_of(z, c, zoo_linear(z, named(z, "v_proj"), x, c->hidden, narrow, false), c->groups);
  q = rotary(z, c, q);
  cache->keys = concat(z, cache->keys, rotary(z, c, k), -2);
  cache->values = concat(z, cache->values, v, -2);
  zoo_value kt = ZOO_TRANSPOSE(z, repeated(z, c, cache->keys), 0, 1, 3, 2);
  zoo_value scores =
      ZOO(z, "Mul", ZOO(z, "MatMul", q, kt), zoo_float(z, 1 / sqrtf((float)c->size)));
  zoo_value p = zoo_softmax(z, ZOO(z, "Add", scores, c->mask));
  zoo_value y = ZOO_TRANSPOSE(z, ZOO(z, "MatMul", p, repeated(z, c, cache->values)), 0, 2, 1, 3);
  zoo_value parts[3] = {vector_of(z, c->batch), vector_of(z, c->length),
                        ZOO_INTS(z, c->heads * c->size)};
  zoo_value shape = zoo_node(z, "Concat", parts, 3);
  zoo_attr_int(z, "axis", 0);
  return zoo_linear(z, named(z, "o_proj"), ZOO(z, "Reshape", y, shape), c->heads * c->size,
                    c->hidden, false);
}

static zoo_value feed_forward(struct zoo *z, const struct llama *c, zoo_value x) {
  zoo_value gate = zoo_linear(z, named(z, "gate_proj"), x, c->hidden, c->wide, false);
  zoo_value up = zoo_linear(z, named(z, "up_proj"), x, c->hidden, c->wide, false);
  zoo_value y = ZOO(z, "Mul", ZOO(z, "Mul", gate, ZOO(z, "Sigmoid", gate)), up);
  return zoo_linear(z, named(z, "down_proj"), y, c->wide, c->hidden, false);
}

static zoo_value layer(struct zoo *z, const struct llama *c, int number, zoo_value x,
                       struct llama_cache *cache) {
  zoo_scope(z, "/model.layers.%d", number);
  x = ZOO(z, "Add", x,
          attention(z, c, rms_norm(z, named(z, "input_layernorm"), x, c->hidden), cache));
  zoo_value y = rms_norm(z, named(z, "post_attention_layernorm"), x, c->hidden);
  return ZOO(z, "Add", x, feed_forward(z, c, y));
}

static void embed_positions(struct zoo *z, struct llama *c, zoo_value positions) {
  float *frequency = ARENA_ARRAY(&z->arena, float, (size_t)c->size / 2);
  for (int64_t i = 0; i < c->size / 2; i++)
    frequency[i] = (float)pow(10000.0, -2.0 * (double)i / (double)c->size);
  zoo_scope(z, "/model.rotary_emb");
  zoo_value p = ZOO(z, "Unsqueeze", cast(z, positions, FLOAT), ZOO_INTS(z, 2));
  zoo_value half = ZOO(z, "Mul", p, zoo_floats(z, frequency, (uint32_t)(c->size / 2)));
  zoo_value angle = concat(z, half, half, -1);
  c->cosine = ZOO(z, "Unsqueeze", ZOO(z, "Cos", angle), ZOO_INTS(z, 1));
  c->sine = ZOO(z, "Unsqueeze", ZOO(z, "Sin", angle), ZOO_INTS(z, 1));
}

/* A key counts if it is not later than the query and the caller's mask has it, which may be longer
 * than there are keys. */
static void make_mask(struct zoo *z, struct llama *c, zoo_value positions, zoo_value attention_mask,
                      zoo_value past) {
  zoo_scope(z, "/model.mask");
  zoo_value total = ZOO(z, "Add", zoo_dim(z, past, 2), c->length);
  attention_mask = ZOO(z, "Slice", attention_mask, ZOO_INTS(z, 0), vector_of(z, total),
                       ZOO_INTS(z, 1), ZOO_INTS(z, 1));
  zoo_value keys = ZOO(z, "Range", ZOO_INT(z, 0), total, ZOO_INT(z, 1));
  zoo_value rows = ZOO(z, "Unsqueeze", positions, ZOO_INTS(z, 1, 3));
  zoo_value causal = ZOO(z, "LessOrEqual", ZOO(z, "Unsqueeze", keys, ZOO_INTS(z, 0, 1, 2)), rows);
  zoo_value given =
      ZOO(z, "Unsqueeze", cast(z, attention_mask, ONNX__TENSOR_PROTO__DATA_TYPE__BOOL),
          ZOO_INTS(z, 1, 2));
  zoo_value both = ZOO(z, "And", causal, given);
  c->mask = ZOO(z, "Where", both, zoo_float(z, 0), zoo_float(z, -3.40282347e+38f));
}

static void cases(struct zoo *z, const struct llama *c) {
  long long past[2] = {0, zoo_pick(z, 5, 128, 128)}, tokens[2] = {zoo_pick(z, 6, 128, 128), 1};
  static const char *const names[2] = {"prompt", "decode"};
  for (int i = 0; i < 2; i++) {
    zoo_case(
        z, names[i],
        "--shape input_ids:1x%lld --input input_ids=random:0..%lld --shape attention_mask:1x%lld"
        " --input attention_mask=random:1..1 --input position_ids=random:%lld..%lld"
        " --shape past_key_values.0.key:1x%lldx%lldx%lld",
        tokens[i], (long long)c->words - 1, past[i] + tokens[i], past[i], past[i] + tokens[i] - 1,
        (long long)c->groups, past[i], (long long)c->size);
  }
}

void zoo_build_llama(struct zoo *z) {
  struct llama c = {.hidden = zoo_pick(z, 32, 576, 4096),
                    .heads = zoo_pick(z, 4, 9, 32),
                    .groups = zoo_pick(z, 2, 3, 8),
                    .size = zoo_pick(z, 8, 64, 128),
                    .wide = zoo_pick(z, 64, 1536, 14336),
                    .layers = zoo_pick(z, 2, 30, 32),
                    .words = zoo_pick(z, 64, 49152, 128256)};
  struct llama_cache caches[MOST_LAYERS];
  const char *past_dims = arena_printf(&z->arena, "batch,%lld,past_sequence,%lld",
                                       (long long)c.groups, (long long)c.size);
  const char *present_dims = arena_printf(&z->arena, "batch,%lld,total_sequence,%lld",
                                          (long long)c.groups, (long long)c.size);
  zoo_value ids = zoo_input(z, "input_ids", INT64, "batch,sequence");
  zoo_value attention_mask = zoo_input(z, "attention_mask", INT64, "batch,total_sequence");
  zoo_value positions = zoo_input(z, "position_ids", INT64, "batch,sequence");
  for (int i = 0; i < c.layers; i++) {
    caches[i].keys =
        zoo_input(z, arena_printf(&z->arena, "past_key_values.%d.key", i), FLOAT, past_dims);
    caches[i].values =
        zoo_input(z, arena_printf(&z->arena, "past_key_values.%d.value", i), FLOAT, past_dims);
  }
  zoo_scope(z, "/model.embed_tokens");
  zoo_value x =
      ZOO(z, "Gather", ZOO_WEIGHT(z, "model.embed_tokens.weight", 0, 1, c.words, c.hidden), ids);
  c.batch = zoo_dim(z, ids, 0);
  c.length = zoo_dim(z, ids, 1);
  embed_positions(z, &c, positions);
  make_mask(z, &c, positions, attention_mask, caches[0].keys);
  for (int i = 0; i < c.layers; i++)
    x = layer(z, &c, i, x, &caches[i]);
  zoo_scope(z, "/model.norm");
  x = rms_norm(z, "model.norm", x, c.hidden);
  zoo_scope(z, "/lm_head");
  x = zoo_linear(z, "lm_head", x, c.hidden, c.words, false);
  zoo_output(z, "logits", x, FLOAT,
             arena_printf(&z->arena, "batch,sequence,%lld", (long long)c.words));
  for (int i = 0; i < c.layers; i++) {
    zoo_output(z, arena_printf(&z->arena, "present.%d.key", i), caches[i].keys, FLOAT,
               present_dims);
    zoo_output(z, arena_printf(&z->arena, "present.%d.value", i), caches[i].values, FLOAT,
               present_dims);
  }
  cases(z, &c);
}
