/* SPDX-License-Identifier: Apache-2.0 */
/* Image models of the zoo, as exporters write them in inference mode: norms over the batch are
 * folded into the convolutions before them.
 *
 *   resnet50      He et al., "Deep residual learning for image recognition", 2015; stride in the
 * 3x3 mobilenet_v2  Sandler et al., "Inverted residuals and linear bottlenecks", 2018 vit_b16
 * Dosovitskiy et al., "An image is worth 16x16 words", 2020 */
#include "models/zoo/zoo_builder.h"

#define FLOAT ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT

struct conv {
  int64_t in, out, kernel, stride, group;
};

static zoo_value conv(struct zoo *z, zoo_value x, struct conv c) {
  int64_t pad = c.kernel / 2, fan_in = c.in / c.group * c.kernel * c.kernel;
  const char *scope = z->scope + 1;
  zoo_value w = ZOO_WEIGHT(z, arena_printf(&z->arena, "%s.weight", scope), 0, zoo_bound(fan_in),
                           c.out, c.in / c.group, c.kernel, c.kernel);
  zoo_value b = ZOO_WEIGHT(z, arena_printf(&z->arena, "%s.bias", scope), 0, 0.1f, c.out);
  zoo_value y = ZOO(z, "Conv", x, w, b);
  ZOO_ATTR_INTS(z, "dilations", 1, 1);
  zoo_attr_int(z, "group", c.group);
  ZOO_ATTR_INTS(z, "kernel_shape", c.kernel, c.kernel);
  ZOO_ATTR_INTS(z, "pads", pad, pad, pad, pad);
  ZOO_ATTR_INTS(z, "strides", c.stride, c.stride);
  return y;
}

/* Gemm with the weight as [out, in]. */
static zoo_value classifier(struct zoo *z, zoo_value x, int64_t in, int64_t out) {
  zoo_scope(z, "/head");
  zoo_value w = ZOO_WEIGHT(z, "head.weight", 0, zoo_bound(in), out, in);
  zoo_value b = ZOO_WEIGHT(z, "head.bias", 0, 0.1f, out);
  zoo_value y = ZOO(z, "Gemm", x, w, b);
  zoo_attr_float(z, "alpha", 1);
  zoo_attr_float(z, "beta", 1);
  zoo_attr_int(z, "transB", 1);
  return y;
}

static zoo_value pooled(struct zoo *z, zoo_value x) {
  zoo_scope(z, "/pool");
  zoo_value y = ZOO(z, "Flatten", ZOO(z, "GlobalAveragePool", x));
  zoo_attr_int(z, "axis", 1);
  return y;
}

static void image_cases(struct zoo *z, int64_t image) {
  zoo_case(z, "image", "--shape pixel_values:1x3x%lldx%lld", (long long)image, (long long)image);
}

/* ---- resnet50 ---- */

static zoo_value bottleneck(struct zoo *z, int stage, int block, zoo_value x, int64_t in,
                            int64_t width, int64_t stride) {
  int64_t out = width * 4;
  zoo_scope(z, "/layer%d.%d.conv1", stage, block);
  zoo_value y = ZOO(z, "Relu", conv(z, x, (struct conv){in, width, 1, 1, 1}));
  zoo_scope(z, "/layer%d.%d.conv2", stage, block);
  y = ZOO(z, "Relu", conv(z, y, (struct conv){width, width, 3, stride, 1}));
  zoo_scope(z, "/layer%d.%d.conv3", stage, block);
  y = conv(z, y, (struct conv){width, out, 1, 1, 1});
  if (!block) {
    zoo_scope(z, "/layer%d.%d.downsample", stage, block);
    x = conv(z, x, (struct conv){in, out, 1, stride, 1});
  }
  return ZOO(z, "Relu", ZOO(z, "Add", y, x));
}

void zoo_build_resnet50(struct zoo *z) {
  static const int64_t depths[] = {3, 4, 6, 3};
  int64_t image = zoo_pick(z, 32, 224, 224), width = zoo_pick(z, 8, 64, 64), in = width;
  zoo_value x =
      zoo_input(z, "pixel_values", FLOAT,
                arena_printf(&z->arena, "batch,3,%lld,%lld", (long long)image, (long long)image));
  zoo_scope(z, "/conv1");
  x = ZOO(z, "Relu", conv(z, x, (struct conv){3, width, 7, 2, 1}));
  x = ZOO(z, "MaxPool", x);
  ZOO_ATTR_INTS(z, "kernel_shape", 3, 3);
  ZOO_ATTR_INTS(z, "pads", 1, 1, 1, 1);
  ZOO_ATTR_INTS(z, "strides", 2, 2);
  for (int stage = 0; stage < 4; stage++) {
    int64_t depth = zoo_pick(z, 1 + (stage == 1), depths[stage], depths[stage]);
    for (int block = 0; block < depth; block++) {
      x = bottleneck(z, stage + 1, block, x, in, width << stage, stage && !block ? 2 : 1);
      in = (width << stage) * 4;
    }
  }
  zoo_output(z, "logits", classifier(z, pooled(z, x), in, zoo_pick(z, 10, 1000, 1000)), FLOAT,
             arena_printf(&z->arena, "batch,%lld", (long long)zoo_pick(z, 10, 1000, 1000)));
  image_cases(z, image);
}

/* ---- mobilenet_v2 ---- */

static zoo_value clip6(struct zoo *z, zoo_value x) {
  return ZOO(z, "Clip", x, zoo_float(z, 0), zoo_float(z, 6));
}

static zoo_value inverted_residual(struct zoo *z, int block, zoo_value x, int64_t in, int64_t out,
                                   int64_t stride, int64_t expand) {
  int64_t wide = in * expand;
  zoo_value y = x;
  if (expand > 1) {
    zoo_scope(z, "/features.%d.expand", block);
    y = clip6(z, conv(z, y, (struct conv){in, wide, 1, 1, 1}));
  }
  zoo_scope(z, "/features.%d.depthwise", block);
  y = clip6(z, conv(z, y, (struct conv){wide, wide, 3, stride, wide}));
  zoo_scope(z, "/features.%d.project", block);
  y = conv(z, y, (struct conv){wide, out, 1, 1, 1});
  return stride == 1 && in == out ? ZOO(z, "Add", x, y) : y;
}

void zoo_build_mobilenet_v2(struct zoo *z) {
  static const int64_t rows[][4] = {/* expand, channels, repeats, stride */
                                    {1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                    {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  int64_t image = zoo_pick(z, 32, 224, 224), by = zoo_pick(z, 4, 1, 1), in = 32 / by;
  int64_t last = 1280 / by, classes = zoo_pick(z, 10, 1000, 1000);
  int block = 0;
  zoo_value x =
      zoo_input(z, "pixel_values", FLOAT,
                arena_printf(&z->arena, "batch,3,%lld,%lld", (long long)image, (long long)image));
  zoo_scope(z, "/features.0");
  x = clip6(z, conv(z, x, (struct conv){3, in, 3, 2, 1}));
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int64_t repeats = zoo_pick(z, rows[i][2] > 1 ? 2 : 1, rows[i][2], rows[i][2]);
    for (int k = 0; k < repeats; k++) {
      x = inverted_residual(z, ++block, x, in, rows[i][1] / by, k ? 1 : rows[i][3], rows[i][0]);
      in = rows[i][1] / by;
    }
  }
  zoo_scope(z, "/features.last");
  x = clip6(z, conv(z, x, (struct conv){in, last, 1, 1, 1}));
  zoo_output(z, "logits", classifier(z, pooled(z, x), last, classes), FLOAT,
             arena_printf(&z->arena, "batch,%lld", (long long)classes));
  image_cases(z, image);
}

/* ---- vit_b16 ---- */

struct vit {
  int64_t hidden, heads, tokens;
};

static zoo_value heads_of(struct zoo *z, const struct vit *c, zoo_value x, bool keys) {
  zoo_value y = ZOO_RESHAPE(z, x, 0, c->tokens, c->heads, c->hidden / c->heads);
  return keys ? ZOO_TRANSPOSE(z, y, 0, 2, 3, 1) : ZOO_TRANSPOSE(z, y, 0, 2, 1, 3);
}

static zoo_value vit_attention(struct zoo *z, const struct vit *c, int layer, zoo_value x) {
  const char *name = arena_printf(&z->arena, "encoder.layer.%d.attention", layer);
  zoo_value q =
      zoo_linear(z, arena_printf(&z->arena, "%s.query", name), x, c->hidden, c->hidden, true);
  zoo_value k =
      zoo_linear(z, arena_printf(&z->arena, "%s.key", name), x, c->hidden, c->hidden, true);
  zoo_value v =
      zoo_linear(z, arena_printf(&z->arena, "%s.value", name), x, c->hidden, c->hidden, true);
  zoo_value scores = ZOO(z, "MatMul", heads_of(z, c, q, false), heads_of(z, c, k, true));
  float root = __builtin_sqrtf((float)(c->hidden / c->heads));
  zoo_value p = zoo_softmax(z, ZOO(z, "Div", scores, zoo_float(z, root)));
  zoo_value y = ZOO(z, "MatMul", p, heads_of(z, c, v, false));
  y = ZOO_RESHAPE(z, ZOO_TRANSPOSE(z, y, 0, 2, 1, 3), 0, c->tokens, c->hidden);
  return zoo_linear(z, arena_printf(&z->arena, "%s.output", name), y, c->hidden, c->hidden, true);
}

/* x * (1 + erf(x / sqrt 2)) / 2, as opsets before 20 have it. */
static zoo_value gelu(struct zoo *z, zoo_value x) {
  zoo_value e = ZOO(z, "Erf", ZOO(z, "Div", x, zoo_float(z, 1.41421354f)));
  zoo_value y = ZOO(z, "Mul", x, ZOO(z, "Add", e, zoo_float(z, 1)));
  return ZOO(z, "Mul", y, zoo_float(z, 0.5f));
}

static zoo_value vit_layer(struct zoo *z, const struct vit *c, int layer, zoo_value x) {
  zoo_scope(z, "/encoder/layer.%d", layer);
  const char *name = arena_printf(&z->arena, "encoder.layer.%d", layer);
  zoo_value y = zoo_layer_norm(z, arena_printf(&z->arena, "%s.before", name), x, c->hidden, 1e-12f);
  x = ZOO(z, "Add", vit_attention(z, c, layer, y), x);
  y = zoo_layer_norm(z, arena_printf(&z->arena, "%s.after", name), x, c->hidden, 1e-12f);
  y = zoo_linear(z, arena_printf(&z->arena, "%s.up", name), y, c->hidden, c->hidden * 4, true);
  y = zoo_linear(z, arena_printf(&z->arena, "%s.down", name), gelu(z, y), c->hidden * 4, c->hidden,
                 true);
  return ZOO(z, "Add", y, x);
}

void zoo_build_vit_b16(struct zoo *z) {
  int64_t image = zoo_pick(z, 16, 224, 224), patch = zoo_pick(z, 4, 16, 16), side = image / patch;
  struct vit c = {zoo_pick(z, 32, 768, 768), zoo_pick(z, 4, 12, 12), side * side + 1};
  int64_t classes = zoo_pick(z, 10, 1000, 1000);
  zoo_value pixels =
      zoo_input(z, "pixel_values", FLOAT,
                arena_printf(&z->arena, "batch,3,%lld,%lld", (long long)image, (long long)image));
  zoo_scope(z, "/embeddings");
  zoo_value w = ZOO_WEIGHT(z, "embeddings.projection.weight", 0, zoo_bound(3 * patch * patch),
                           c.hidden, 3, patch, patch);
  zoo_value b = ZOO_WEIGHT(z, "embeddings.projection.bias", 0, 0.1f, c.hidden);
  zoo_value x = ZOO(z, "Conv", pixels, w, b);
  ZOO_ATTR_INTS(z, "kernel_shape", patch, patch);
  ZOO_ATTR_INTS(z, "strides", patch, patch);
  x = ZOO_TRANSPOSE(z, ZOO_RESHAPE(z, x, 0, c.hidden, side * side), 0, 2, 1);
  zoo_value batch = ZOO(z, "Unsqueeze", zoo_dim(z, pixels, 0), ZOO_INTS(z, 0));
  zoo_value shape = ZOO(z, "Concat", batch, ZOO_INTS(z, 1), ZOO_INTS(z, c.hidden));
  zoo_attr_int(z, "axis", 0);
  zoo_value cls =
      ZOO(z, "Expand", ZOO_WEIGHT(z, "embeddings.cls_token", 0, 0.1f, 1, 1, c.hidden), shape);
  x = ZOO(z, "Concat", cls, x);
  zoo_attr_int(z, "axis", 1);
  x = ZOO(z, "Add", x, ZOO_WEIGHT(z, "embeddings.position", 0, 0.1f, 1, c.tokens, c.hidden));
  for (int layer = 0; layer < zoo_pick(z, 2, 12, 12); layer++)
    x = vit_layer(z, &c, layer, x);
  zoo_scope(z, "/norm");
  x = zoo_layer_norm(z, "norm", x, c.hidden, 1e-12f);
  x = ZOO(z, "Gather", x, ZOO_INT(z, 0));
  zoo_attr_int(z, "axis", 1);
  zoo_output(z, "logits", classifier(z, x, c.hidden, classes), FLOAT,
             arena_printf(&z->arena, "batch,%lld", (long long)classes));
  image_cases(z, image);
}
