/* SPDX-License-Identifier: Apache-2.0 */
/* Builds protobuf bytes by hand, well-formed or not, for tests of the readers. */
#ifndef SINTER_TESTS_SUPPORT_PB_BUILD_H
#define SINTER_TESTS_SUPPORT_PB_BUILD_H

#include <stdint.h>
#include <string.h>

#include "base/str.h"

static inline void pb_varint(struct strbuf *b, uint64_t value) {
  while (value >= 0x80) {
    strbuf_char(b, (char)(value | 0x80));
    value >>= 7;
  }
  strbuf_char(b, (char)value);
}

static inline void pb_tag(struct strbuf *b, uint32_t field, unsigned wire) {
  pb_varint(b, (uint64_t)field << 3 | wire);
}

static inline void pb_int(struct strbuf *b, uint32_t field, int64_t value) {
  pb_tag(b, field, 0);
  pb_varint(b, (uint64_t)value);
}

static inline void pb_bytes(struct strbuf *b, uint32_t field, const void *p, size_t n) {
  pb_tag(b, field, 2);
  pb_varint(b, n);
  strbuf_append(b, p ? p : "", n);
}

static inline void pb_str(struct strbuf *b, uint32_t field, const char *s) {
  pb_bytes(b, field, s, strlen(s));
}

/* Adds `message` as a field and frees it. */
static inline void pb_message(struct strbuf *b, uint32_t field, struct strbuf *message) {
  pb_bytes(b, field, message->data, message->len);
  strbuf_deinit(message);
}

/* ---- ONNX ---- */

static inline void pb_entry(struct strbuf *b, uint32_t field, const char *key, const char *value) {
  struct strbuf e = {0};
  pb_str(&e, 1, key);
  pb_str(&e, 2, value);
  pb_message(b, field, &e);
}

/* A TensorProto without data. */
static inline struct strbuf pb_tensor(const char *name, int32_t type, size_t rank,
                                      const int64_t *dims) {
  struct strbuf t = {0};
  for (size_t i = 0; i < rank; i++)
    pb_int(&t, 1, dims[i]);
  pb_int(&t, 2, type);
  pb_str(&t, 8, name);
  return t;
}

/* A ValueInfoProto of type f32[dims]. */
static inline struct strbuf pb_value_info(const char *name, size_t rank, const int64_t *dims) {
  struct strbuf shape = {0}, tensor = {0}, type = {0}, info = {0};
  for (size_t i = 0; i < rank; i++) {
    struct strbuf one = {0};
    pb_int(&one, 1, dims[i]);
    pb_message(&shape, 1, &one);
  }
  pb_int(&tensor, 1, 1);
  pb_message(&tensor, 2, &shape);
  pb_message(&type, 1, &tensor);
  pb_str(&info, 1, name);
  pb_message(&info, 2, &type);
  return info;
}

/* A NodeProto with up to two inputs (NULL: absent) and one output. */
static inline struct strbuf pb_node(const char *op, const char *a, const char *b,
                                    const char *output) {
  struct strbuf n = {0};
  if (a)
    pb_str(&n, 1, a);
  if (b)
    pb_str(&n, 1, b);
  if (output)
    pb_str(&n, 2, output);
  pb_str(&n, 3, op);
  pb_str(&n, 4, op);
  return n;
}

/* A ModelProto of IR 10 and opset 20 around a graph, which is freed. */
static inline struct strbuf pb_model(struct strbuf *graph) {
  struct strbuf m = {0}, opset = {0};
  pb_int(&m, 1, 10);
  pb_message(&m, 7, graph);
  pb_int(&opset, 2, 20);
  pb_message(&m, 8, &opset);
  return m;
}

/* A model y = op(x, w) whose initializer w is the given TensorProto, which is freed. */
static inline struct strbuf pb_model_of_tensor(struct strbuf *tensor) {
  const int64_t dims[] = {2};
  struct strbuf g = {0}, node = pb_node("Add", "x", "w", "y");
  struct strbuf x = pb_value_info("x", 1, dims), y = pb_value_info("y", 1, dims);
  pb_message(&g, 1, &node);
  pb_str(&g, 2, "g");
  pb_message(&g, 5, tensor);
  pb_message(&g, 11, &x);
  pb_message(&g, 12, &y);
  return pb_model(&g);
}

#endif
