/* SPDX-License-Identifier: Apache-2.0 */
/* unet_block: one down step, the middle and one up step of the U-Net of latent diffusion (Rombach
 * et al., 2022), at the resolution of its second level: residual blocks with group norm and a time
 * embedding, spatial self-attention, a strided convolution down, a nearest resize up, a skip. */
#include "models/zoo/zoo_builder.h"

#define FLOAT ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT

struct unet {
  int64_t channels, embedding, groups, heads, side;
};

static const char *named(struct zoo *z, const char *part) {
  return arena_printf(&z->arena, "%s.%s", z->scope + 1, part);
}

static zoo_value conv(struct zoo *z, const char *part, zoo_value x, int64_t in, int64_t out,
                      int64_t kernel, int64_t stride) {
  zoo_value w = ZOO_WEIGHT(z, named(z, arena_printf(&z->arena, "%s.weight", part)), 0,
                           zoo_bound(in * kernel * kernel), out, in, kernel, kernel);
  zoo_value b = ZOO_WEIGHT(z, named(z, arena_printf(&z->arena, "%s.bias", part)), 0, 0.1f, out);
  zoo_value y = ZOO(z, "Conv", x, w, b);
  int64_t pad = kernel / 2;
  ZOO_ATTR_INTS(z, "kernel_shape", kernel, kernel);
  ZOO_ATTR_INTS(z, "pads", pad, pad, pad, pad);
  ZOO_ATTR_INTS(z, "strides", stride, stride);
  return y;
}

static zoo_value silu(struct zoo *z, zoo_value x) { return ZOO(z, "Mul", x, ZOO(z, "Sigmoid", x)); }

/* As exporters write it before opset 18: an instance norm over the groups. */
static zoo_value group_norm(struct zoo *z, const struct unet *c, const char *part, zoo_value x,
                            int64_t n) {
  float ones[64], zeros[64] = {0};
  for (int64_t i = 0; i < c->groups; i++)
    ones[i] = 1;
  zoo_value shape = ZOO(z, "Shape", x);
  zoo_value y = ZOO_RESHAPE(z, x, 0, c->groups, -1);
  y = ZOO(z, "InstanceNormalization", y, zoo_floats(z, ones, (uint32_t)c->groups),
          zoo_floats(z, zeros, (uint32_t)c->groups));
  zoo_attr_float(z, "epsilon", 1e-5f);
  y = ZOO(z, "Reshape", y, shape);
  y = ZOO(z, "Mul", y,
          ZOO_WEIGHT(z, named(z, arena_printf(&z->arena, "%s.weight", part)), 1, 0.1f, n, 1, 1));
  return ZOO(z, "Add", y,
             ZOO_WEIGHT(z, named(z, arena_printf(&z->arena, "%s.bias", part)), 0, 0.1f, n, 1, 1));
}

static zoo_value residual(struct zoo *z, const struct unet *c, const char *name, zoo_value x,
                          zoo_value time, int64_t in, int64_t out) {
  zoo_scope(z, "/%s", name);
  zoo_value y = conv(z, "conv1", silu(z, group_norm(z, c, "norm1", x, in)), in, out, 3, 1);
  zoo_value t =
      ZOO(z, "Gemm", silu(z, time),
          ZOO_WEIGHT(z, named(z, "time.weight"), 0, zoo_bound(c->embedding), out, c->embedding),
          ZOO_WEIGHT(z, named(z, "time.bias"), 0, 0.1f, out));
  zoo_attr_int(z, "transB", 1);
  y = ZOO(z, "Add", y, ZOO(z, "Unsqueeze", t, ZOO_INTS(z, 2, 3)));
  y = conv(z, "conv2", silu(z, group_norm(z, c, "norm2", y, out)), out, out, 3, 1);
  if (in != out)
    x = conv(z, "shortcut", x, in, out, 1, 1);
  return ZOO(z, "Add", x, y);
}

static zoo_value heads_of(struct zoo *z, const struct unet *c, zoo_value x, bool keys) {
  zoo_value y = ZOO_RESHAPE(z, x, 0, -1, c->heads, c->channels / c->heads);
  return keys ? ZOO_TRANSPOSE(z, y, 0, 2, 3, 1) : ZOO_TRANSPOSE(z, y, 0, 2, 1, 3);
}

static zoo_value self_attention(struct zoo *z, const struct unet *c, const char *name,
                                zoo_value x) {
  int64_t n = c->channels;
  zoo_scope(z, "/%s", name);
  zoo_value shape = ZOO(z, "Shape", x);
  zoo_value y = group_norm(z, c, "norm", x, n);
  y = ZOO_TRANSPOSE(z, ZOO_RESHAPE(z, y, 0, n, -1), 0, 2, 1);
  zoo_value q = heads_of(z, c, zoo_linear(z, named(z, "query"), y, n, n, false), false);
  zoo_value k = heads_of(z, c, zoo_linear(z, named(z, "key"), y, n, n, false), true);
  zoo_value v = heads_of(z, c, zoo_linear(z, named(z, "value"), y, n, n, false), false);
  zoo_value scores = ZOO(z, "MatMul", q, k);
  float root = __builtin_sqrtf((float)(n / c->heads));
  zoo_value p = zoo_softmax(z, ZOO(z, "Mul", scores, zoo_float(z, 1 / root)));
  y = ZOO_RESHAPE(z, ZOO_TRANSPOSE(z, ZOO(z, "MatMul", p, v), 0, 2, 1, 3), 0, -1, n);
  y = zoo_linear(z, named(z, "output"), y, n, n, true);
  return ZOO(z, "Add", ZOO(z, "Reshape", ZOO_TRANSPOSE(z, y, 0, 2, 1), shape), x);
}

static zoo_value twice(struct zoo *z, zoo_value x) {
  static const float scales[] = {1, 1, 2, 2};
  zoo_value y = ZOO(z, "Resize", x, "", zoo_floats(z, scales, 4));
  zoo_attr_text(z, "coordinate_transformation_mode", "asymmetric");
  zoo_attr_text(z, "mode", "nearest");
  zoo_attr_text(z, "nearest_mode", "floor");
  return y;
}

void zoo_build_unet_block(struct zoo *z) {
  struct unet c = {.channels = zoo_pick(z, 16, 320, 320),
                   .embedding = zoo_pick(z, 32, 1280, 1280),
                   .groups = zoo_pick(z, 4, 32, 32),
                   .heads = zoo_pick(z, 2, 8, 8),
                   .side = zoo_pick(z, 8, 32, 32)};
  const char *dims = arena_printf(&z->arena, "batch,%lld,%lld,%lld", (long long)c.channels,
                                  (long long)c.side, (long long)c.side);
  zoo_value x = zoo_input(z, "sample", FLOAT, dims);
  zoo_value time = zoo_input(z, "time_embedding", FLOAT,
                             arena_printf(&z->arena, "batch,%lld", (long long)c.embedding));
  x = residual(z, &c, "down.resnet", x, time, c.channels, c.channels);
  x = self_attention(z, &c, "down.attention", x);
  zoo_value skip = x;
  zoo_scope(z, "/down.sample");
  x = conv(z, "conv", x, c.channels, c.channels, 3, 2);
  x = residual(z, &c, "middle.resnet", x, time, c.channels, c.channels);
  x = self_attention(z, &c, "middle.attention", x);
  zoo_scope(z, "/up.sample");
  x = conv(z, "conv", twice(z, x), c.channels, c.channels, 3, 1);
  x = ZOO(z, "Concat", x, skip);
  zoo_attr_int(z, "axis", 1);
  x = residual(z, &c, "up.resnet", x, time, 2 * c.channels, c.channels);
  zoo_output(z, "out", x, FLOAT, dims);
  zoo_case(z, "step", "--shape sample:1x%lldx%lldx%lld --shape time_embedding:1x%lld",
           (long long)c.channels, (long long)c.side, (long long)c.side, (long long)c.embedding);
}
