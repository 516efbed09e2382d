/* SPDX-License-Identifier: Apache-2.0 */
/* Text models of the zoo, as exporters write them: attention in its parts, shapes computed on the
 * way.
 *
 *   bert_base  Devlin et al., "BERT", 2018
 *   gpt2       Radford et al., "Language models are unsupervised multitask learners", 2019; keys
 * and values of earlier tokens come in and go out */
#include "models/zoo/zoo_builder.h"

#include <string.h>

#define FLOAT ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define INT64 ONNX__TENSOR_PROTO__DATA_TYPE__INT64

struct text_model {
  int64_t hidden, heads, layers, positions, words;
};

static const char *named(struct zoo *z, const char *part) {
  return arena_printf(&z->arena, "%s.%s", z->scope + 1, part);
}

/* Dims as a tensor: those given by `known` (>= 0, or -1 for the rest), and computed ones where it
 * is -2. */
static zoo_value shape_of(struct zoo *z, const int64_t *known, const zoo_value *computed,
                          uint32_t n) {
  zoo_value parts[8];
  for (uint32_t i = 0; i < n; i++) {
    parts[i] = known[i] == -2 ? ZOO(z, "Unsqueeze", computed[i], ZOO_INTS(z, 0))
                              : zoo_ints(z, known + i, 1, false);
  }
  zoo_value y = zoo_node(z, "Concat", parts, n);
  zoo_attr_int(z, "axis", 0);
  return y;
}

/* [batch, seq, hidden] to [batch, heads, seq, size], keys to [batch, heads, size, seq]. */
static zoo_value heads_of(struct zoo *z, const struct text_model *c, zoo_value x, bool keys) {
  int64_t known[4] = {-2, -2, c->heads, c->hidden / c->heads};
  zoo_value computed[4] = {zoo_dim(z, x, 0), zoo_dim(z, x, 1)};
  zoo_value y = ZOO(z, "Reshape", x, shape_of(z, known, computed, 4));
  return keys ? ZOO_TRANSPOSE(z, y, 0, 2, 3, 1) : ZOO_TRANSPOSE(z, y, 0, 2, 1, 3);
}

static zoo_value heads_joined(struct zoo *z, const struct text_model *c, zoo_value x) {
  zoo_value y = ZOO_TRANSPOSE(z, x, 0, 2, 1, 3);
  int64_t known[3] = {-2, -2, c->hidden};
  zoo_value computed[3] = {zoo_dim(z, y, 0), zoo_dim(z, y, 1)};
  return ZOO(z, "Reshape", y, shape_of(z, known, computed, 3));
}

static zoo_value slice(struct zoo *z, zoo_value x, zoo_value from, zoo_value to, int64_t axis) {
  return ZOO(z, "Slice", x, from, to, ZOO_INTS(z, axis), ZOO_INTS(z, 1));
}

static zoo_value gather(struct zoo *z, const char *name, int64_t rows, int64_t hidden,
                        zoo_value ids) {
  return ZOO(z, "Gather", ZOO_WEIGHT(z, name, 0, 1, rows, hidden), ids);
}

/* ---- bert_base ---- */

static zoo_value bert_attention(struct zoo *z, const struct text_model *c, zoo_value x,
                                zoo_value mask) {
  zoo_value q =
      heads_of(z, c, zoo_linear(z, named(z, "query"), x, c->hidden, c->hidden, true), false);
  zoo_value k = heads_of(z, c, zoo_linear(z, named(z, "key"), x, c->hidden, c->hidden, true), true);
  zoo_value v =
      heads_of(z, c, zoo_linear(z, named(z, "value"), x, c->hidden, c->hidden, true), false);
  float root = __builtin_sqrtf((float)(c->hidden / c->heads));
  zoo_value scores = ZOO(z, "Div", ZOO(z, "MatMul", q, k), zoo_float(z, root));
  zoo_value p = zoo_softmax(z, ZOO(z, "Add", scores, mask));
  zoo_value y = heads_joined(z, c, ZOO(z, "MatMul", p, v));
  return zoo_linear(z, named(z, "output"), y, c->hidden, c->hidden, true);
}

static zoo_value bert_layer(struct zoo *z, const struct text_model *c, int layer, zoo_value x,
                            zoo_value mask) {
  zoo_scope(z, "/encoder.layer.%d", layer);
  x = ZOO(z, "Add", bert_attention(z, c, x, mask), x);
  x = zoo_layer_norm(z, named(z, "attention.norm"), x, c->hidden, 1e-12f);
  zoo_value y = zoo_linear(z, named(z, "up"), x, c->hidden, 4 * c->hidden, true);
  zoo_value e = ZOO(z, "Erf", ZOO(z, "Div", y, zoo_float(z, 1.41421354f)));
  y = ZOO(z, "Mul", y, ZOO(z, "Add", e, zoo_float(z, 1)));
  y = ZOO(z, "Mul", y, zoo_float(z, 0.5f));
  y = zoo_linear(z, named(z, "down"), y, 4 * c->hidden, c->hidden, true);
  return zoo_layer_norm(z, named(z, "norm"), ZOO(z, "Add", y, x), c->hidden, 1e-12f);
}

/* 0 where a token counts, the least float where it does not. */
static zoo_value bert_mask(struct zoo *z, zoo_value attention_mask) {
  zoo_value m = ZOO(z, "Unsqueeze", attention_mask, ZOO_INTS(z, 1, 2));
  m = ZOO(z, "Cast", m);
  zoo_attr_int(z, "to", FLOAT);
  return ZOO(z, "Mul", ZOO(z, "Sub", zoo_float(z, 1), m), zoo_float(z, -3.40282347e+38f));
}

void zoo_build_bert_base(struct zoo *z) {
  struct text_model c = {zoo_pick(z, 32, 768, 768), zoo_pick(z, 4, 12, 12), zoo_pick(z, 2, 12, 12),
                         zoo_pick(z, 32, 512, 512), zoo_pick(z, 64, 30522, 30522)};
  zoo_value ids = zoo_input(z, "input_ids", INT64, "batch,sequence");
  zoo_value attention_mask = zoo_input(z, "attention_mask", INT64, "batch,sequence");
  zoo_value types = zoo_input(z, "token_type_ids", INT64, "batch,sequence");
  zoo_scope(z, "/embeddings");
  int64_t *numbers = ARENA_ARRAY(&z->arena, int64_t, (size_t)c.positions);
  for (int64_t i = 0; i < c.positions; i++)
    numbers[i] = i;
  zoo_value length = ZOO(z, "Unsqueeze", zoo_dim(z, ids, 1), ZOO_INTS(z, 0));
  zoo_value all =
      ZOO(z, "Unsqueeze", zoo_ints(z, numbers, (uint32_t)c.positions, false), ZOO_INTS(z, 0));
  zoo_value positions = slice(z, all, ZOO_INTS(z, 0), length, 1);
  zoo_value x = gather(z, "embeddings.word", c.words, c.hidden, ids);
  x = ZOO(z, "Add", x, gather(z, "embeddings.type", 2, c.hidden, types));
  x = ZOO(z, "Add", x, gather(z, "embeddings.position", c.positions, c.hidden, positions));
  x = zoo_layer_norm(z, "embeddings.norm", x, c.hidden, 1e-12f);
  zoo_value mask = bert_mask(z, attention_mask);
  for (int i = 0; i < c.layers; i++)
    x = bert_layer(z, &c, i, x, mask);
  zoo_scope(z, "/pooler");
  zoo_value first = ZOO(z, "Gather", x, ZOO_INT(z, 0));
  zoo_attr_int(z, "axis", 1);
  zoo_value pooled = ZOO(z, "Gemm", first,
                         ZOO_WEIGHT(z, "pooler.weight", 0, zoo_bound(c.hidden), c.hidden, c.hidden),
                         ZOO_WEIGHT(z, "pooler.bias", 0, 0.1f, c.hidden));
  zoo_attr_int(z, "transB", 1);
  pooled = ZOO(z, "Tanh", pooled);
  const char *dims = arena_printf(&z->arena, "batch,sequence,%lld", (long long)c.hidden);
  zoo_output(z, "last_hidden_state", x, FLOAT, dims);
  zoo_output(z, "pooler_output", pooled, FLOAT,
             arena_printf(&z->arena, "batch,%lld", (long long)c.hidden));
  long long tokens = zoo_pick(z, 7, 128, 128);
  zoo_case(z, "text",
           "--shape input_ids:1x%lld --input input_ids=random:0..%lld"
           " --input attention_mask=random:1..1 --input token_type_ids=random:0..1",
           tokens, (long long)c.words - 1);
}

/* ---- gpt2 ---- */

/* x * w + b over rows, the shape taken off before and put on after: what becomes of a Conv1D. */
static zoo_value gpt2_linear(struct zoo *z, const char *part, zoo_value x, int64_t in,
                             int64_t out) {
  zoo_value batch = zoo_dim(z, x, 0), length = zoo_dim(z, x, 1);
  zoo_value rows = ZOO_RESHAPE(z, x, -1, in);
  zoo_value w = ZOO_WEIGHT(z, named(z, arena_printf(&z->arena, "%s.weight", part)), 0,
                           zoo_bound(in), in, out);
  zoo_value b = ZOO_WEIGHT(z, named(z, arena_printf(&z->arena, "%s.bias", part)), 0, 0.1f, out);
  zoo_value y = ZOO(z, "Gemm", rows, w, b);
  zoo_attr_float(z, "alpha", 1);
  zoo_attr_float(z, "beta", 1);
  int64_t known[3] = {-2, -2, out};
  zoo_value computed[3] = {batch, length};
  return ZOO(z, "Reshape", y, shape_of(z, known, computed, 3));
}

static zoo_value joined(struct zoo *z, zoo_value past, zoo_value x) {
  zoo_value y = ZOO(z, "Concat", past, x);
  zoo_attr_int(z, "axis", -2);
  return y;
}

struct gpt2_cache {
  zoo_value keys, values; /* in: past; out: present */
};

static zoo_value gpt2_attention(struct zoo *z, const struct text_model *c, zoo_value x,
                                zoo_value mask, struct gpt2_cache *cache) {
  zoo_value qkv[3];
  zoo_node(z, "Split",
           (zoo_value[]){gpt2_linear(z, "attn", x, c->hidden, 3 * c->hidden),
                         ZOO_INTS(z, c->hidden, c->hidden, c->hidden)},
           2);
  zoo_attr_int(z, "axis", 2);
  zoo_more_outputs(z, 3, qkv);
  zoo_value q = heads_of(z, c, qkv[0], false);
  cache->keys = joined(z, cache->keys, heads_of(z, c, qkv[1], false));
  cache->values = joined(z, cache->values, heads_of(z, c, qkv[2], false));
  zoo_value k = ZOO_TRANSPOSE(z, cache->keys, 0, 1, 3, 2);
  float root = __builtin_sqrtf((float)(c->hidden / c->heads));
  zoo_value scores = ZOO(z, "Div", ZOO(z, "MatMul", q, k), zoo_float(z, root));
  zoo_value p = zoo_softmax(z, ZOO(z, "Add", scores, mask));
  zoo_value y = heads_joined(z, c, ZOO(z, "MatMul", p, cache->values));
  return gpt2_linear(z, "attn.proj", y, c->hidden, c->hidden);
}

/* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
static zoo_value gelu_tanh(struct zoo *z, zoo_value x) {
  zoo_value cube = ZOO(z, "Mul", ZOO(z, "Pow", x, zoo_float(z, 3)), zoo_float(z, 0.044715f));
  zoo_value t = ZOO(z, "Tanh", ZOO(z, "Mul", ZOO(z, "Add", x, cube), zoo_float(z, 0.797884583f)));
  return ZOO(z, "Mul", ZOO(z, "Mul", x, zoo_float(z, 0.5f)), ZOO(z, "Add", t, zoo_float(z, 1)));
}

static zoo_value gpt2_layer(struct zoo *z, const struct text_model *c, int layer, zoo_value x,
                            zoo_value mask, struct gpt2_cache *cache) {
  zoo_scope(z, "/h.%d", layer);
  zoo_value y = zoo_layer_norm(z, named(z, "ln_1"), x, c->hidden, 1e-5f);
  x = ZOO(z, "Add", gpt2_attention(z, c, y, mask, cache), x);
  y = zoo_layer_norm(z, named(z, "ln_2"), x, c->hidden, 1e-5f);
  y = gelu_tanh(z, gpt2_linear(z, "mlp.fc", y, c->hidden, 4 * c->hidden));
  return ZOO(z, "Add", x, gpt2_linear(z, "mlp.proj", y, 4 * c->hidden, c->hidden));
}

/* 0 where a key is not later than the query, else very little. */
static zoo_value gpt2_mask(struct zoo *z, zoo_value ids, zoo_value past) {
  zoo_scope(z, "/mask");
  zoo_value before = zoo_dim(z, past, 2), total = ZOO(z, "Add", before, zoo_dim(z, ids, 1));
  zoo_value one = ZOO_INT(z, 1), zero = ZOO_INT(z, 0);
  zoo_value keys = ZOO(z, "Range", zero, total, one), rows = ZOO(z, "Range", before, total, one);
  rows = ZOO(z, "Unsqueeze", rows, ZOO_INTS(z, 0, 1, 3));
  zoo_value seen = ZOO(z, "LessOrEqual", ZOO(z, "Unsqueeze", keys, ZOO_INTS(z, 0, 1, 2)), rows);
  return ZOO(z, "Where", seen, zoo_float(z, 0), zoo_float(z, -3.40282347e+38f));
}

static void gpt2_cases(struct zoo *z, const struct text_model *c) {
  long long word = c->words - 1, heads = c->heads, size = c->hidden / c->heads;
  long long past[2] = {0, zoo_pick(z, 5, 128, 128)}, tokens[2] = {zoo_pick(z, 6, 128, 128), 1};
  static const char *const names[2] = {"prompt", "decode"};
  for (int i = 0; i < 2; i++) {
    zoo_case(z, names[i],
             "--shape input_ids:1x%lld --input input_ids=random:0..%lld --input "
             "position_ids=random:%lld..%lld"
             " --shape past_key_values.0.key:1x%lldx%lldx%lld",
             tokens[i], word, past[i], past[i], heads, past[i], size);
  }
}

void zoo_build_gpt2(struct zoo *z) {
  struct text_model c = {zoo_pick(z, 32, 768, 768), zoo_pick(z, 4, 12, 12), zoo_pick(z, 2, 12, 12),
                         zoo_pick(z, 32, 1024, 1024), zoo_pick(z, 64, 50257, 50257)};
  struct gpt2_cache caches[12];
  const char *cache_dims = "batch,%lld,%s,%lld";
  const char *past_dims = arena_printf(&z->arena, cache_dims, (long long)c.heads, "past_sequence",
                                       (long long)(c.hidden / c.heads));
  const char *present_dims = arena_printf(&z->arena, cache_dims, (long long)c.heads,
                                          "total_sequence", (long long)(c.hidden / c.heads));
  zoo_value ids = zoo_input(z, "input_ids", INT64, "batch,sequence");
  zoo_value positions = zoo_input(z, "position_ids", INT64, "batch,sequence");
  for (int i = 0; i < c.layers; i++) {
    caches[i].keys =
        zoo_input(z, arena_printf(&z->arena, "past_key_values.%d.key", i), FLOAT, past_dims);
    caches[i].values =
        zoo_input(z, arena_printf(&z->arena, "past_key_values.%d.value", i), FLOAT, past_dims);
  }
  zoo_scope(z, "/wte");
  zoo_value words = ZOO_WEIGHT(z, "wte.weight", 0, 0.1f, c.words, c.hidden);
  zoo_value x = ZOO(z, "Add", ZOO(z, "Gather", words, ids),
                    gather(z, "wpe.weight", c.positions, c.hidden, positions));
  zoo_value mask = gpt2_mask(z, ids, caches[0].keys);
  for (int i = 0; i < c.layers; i++)
    x = gpt2_layer(z, &c, i, x, mask, &caches[i]);
  zoo_scope(z, "/ln_f");
  x = zoo_layer_norm(z, "ln_f", x, c.hidden, 1e-5f);
  x = ZOO(z, "MatMul", x, ZOO_TRANSPOSE(z, words, 1, 0));
  zoo_output(z, "logits", x, FLOAT,
             arena_printf(&z->arena, "batch,sequence,%lld", (long long)c.words));
  for (int i = 0; i < c.layers; i++) {
    zoo_output(z, arena_printf(&z->arena, "present.%d.key", i), caches[i].keys, FLOAT,
               present_dims);
    zoo_output(z, arena_printf(&z->arena, "present.%d.value", i), caches[i].values, FLOAT,
               present_dims);
  }
  gpt2_cases(z, &c);
}
