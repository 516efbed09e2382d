/* SPDX-License-Identifier: Apache-2.0 */
/* Building ONNX models for the zoo: nodes one after the other, weights from a seed.
 *
 * Values are their ONNX names. Weights are uniform with zero mean; the same seed and order give the
 * same bytes. Nothing fails: a program that cannot write its file says so and exits. */
#ifndef SINTER_MODELS_ZOO_BUILDER_H
#define SINTER_MODELS_ZOO_BUILDER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/vec.h"
#include "frontend/onnx/onnx.pb-c.h"

enum zoo_size { ZOO_TINY, ZOO_FULL, ZOO_LARGE };

/* A run of the model that tests and benchmarks make: options of `sinter run`. */
struct zoo_case {
  const char *name, *arguments;
};

struct zoo {
  struct arena arena;
  enum zoo_size size;
  const char *folder;
  const char *external; /* file beside the model that holds the weights; NULL: inside the model */
  bool sparse;          /* the external file gets its size and no bytes */
  bool describe;        /* no weights are made: only cases are wanted */
  FILE *data;           /* of the external file */
  uint64_t data_bytes;
  uint64_t state;    /* of the random numbers */
  const char *scope; /* put before the names of what is made: "/layer1/conv1" */
  uint32_t n_values;
  VEC(Onnx__NodeProto *) nodes;
  VEC(Onnx__TensorProto *) weights;
  VEC(Onnx__ValueInfoProto *) inputs, outputs;
  VEC(struct zoo_case) cases;
};

typedef const char *zoo_value;

/* tiny, full or large, whichever the model is made in; large only where a model has it. */
static inline int64_t zoo_pick(const struct zoo *z, int64_t tiny, int64_t full, int64_t large) {
  return z->size == ZOO_TINY ? tiny : z->size == ZOO_FULL ? full : large;
}

/* `dims` as in "batch,3,224,224": names are dim_params. `type` is a TensorProto data type. */
zoo_value zoo_input(struct zoo *z, const char *name, int32_t type, const char *dims);
/* The value `v` leaves the model under this name, and is not used by nodes that are made later. */
void zoo_output(struct zoo *z, const char *name, zoo_value v, int32_t type, const char *dims);

/* f32, uniform in center +- bound. A scale of `fan_in` values keeps activations at about 1. */
zoo_value zoo_weight(struct zoo *z, const char *name, const int64_t *dims, uint32_t rank,
                     float center, float bound);
#define ZOO_WEIGHT(z, name, center, bound, ...)                                                    \
  zoo_weight(z, name, (const int64_t[]){__VA_ARGS__},                                              \
             sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), center, bound)
float zoo_bound(int64_t fan_in);
/* Given numbers; rank 1, or 0 where `scalar`. They stay inside the model. */
zoo_value zoo_ints(struct zoo *z, const int64_t *values, uint32_t n, bool scalar);
#define ZOO_INTS(z, ...)                                                                           \
  zoo_ints(z, (const int64_t[]){__VA_ARGS__},                                                      \
           sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), false)
#define ZOO_INT(z, value) zoo_ints(z, (const int64_t[]){value}, 1, true)
zoo_value zoo_float(struct zoo *z, float value); /* rank 0 */
zoo_value zoo_floats(struct zoo *z, const float *values, uint32_t n);
zoo_value zoo_bools(struct zoo *z, const uint8_t *values, const int64_t *dims, uint32_t rank);

/* A node of one output; attributes are added to the node made last. "" leaves an input out. */
zoo_value zoo_node(struct zoo *z, const char *op, const zoo_value *inputs, uint32_t n);
#define ZOO(z, op, ...)                                                                            \
  zoo_node(z, op, (const zoo_value[]){__VA_ARGS__},                                                \
           sizeof((const zoo_value[]){__VA_ARGS__}) / sizeof(zoo_value))
/* The node made last gets n outputs in all; `out` receives them. */
void zoo_more_outputs(struct zoo *z, uint32_t n, zoo_value *out);
void zoo_attr_int(struct zoo *z, const char *name, int64_t value);
void zoo_attr_float(struct zoo *z, const char *name, float value);
void zoo_attr_text(struct zoo *z, const char *name, const char *value);
void zoo_attr_ints(struct zoo *z, const char *name, const int64_t *values, uint32_t n);
#define ZOO_ATTR_INTS(z, name, ...)                                                                \
  zoo_attr_ints(z, name, (const int64_t[]){__VA_ARGS__},                                           \
                sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

void zoo_case(struct zoo *z, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The scope of what follows. */
void zoo_scope(struct zoo *z, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Shorthands of what exporters write. */
zoo_value zoo_reshape(struct zoo *z, zoo_value x, const int64_t *dims, uint32_t n);
#define ZOO_RESHAPE(z, x, ...)                                                                     \
  zoo_reshape(z, x, (const int64_t[]){__VA_ARGS__},                                                \
              sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
zoo_value zoo_transpose(struct zoo *z, zoo_value x, const int64_t *perm, uint32_t n);
#define ZOO_TRANSPOSE(z, x, ...)                                                                   \
  zoo_transpose(z, x, (const int64_t[]){__VA_ARGS__},                                              \
                sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
/* x * weight + bias: MatMul and Add. */
zoo_value zoo_linear(struct zoo *z, const char *name, zoo_value x, int64_t in, int64_t out,
                     bool bias);
zoo_value zoo_layer_norm(struct zoo *z, const char *name, zoo_value x, int64_t n, float epsilon);
/* One element of x's shape, as a scalar: Shape and Gather. */
zoo_value zoo_dim(struct zoo *z, zoo_value x, int64_t axis);
zoo_value zoo_softmax(struct zoo *z, zoo_value x);

/* Writes folder/model.onnx, and ends z. */
void zoo_finish(struct zoo *z, const char *name);

/* The models. */
#define ZOO_MODEL(name, external) void zoo_build_##name(struct zoo *z);
#include "models/zoo/zoo.def"
#undef ZOO_MODEL

#endif
