/* SPDX-License-Identifier: Apache-2.0 */
/* Expectations of models written as text: what a run gives, which types the outputs have, which
 * diagnostics an import reports. */
#ifndef SINTER_TESTS_IMPORT_EXPECT_H
#define SINTER_TESTS_IMPORT_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "frontend/onnx/import.h"
#include "tests/support/onnx_text.h"

/* A tensor; values in row-major order. */
struct given {
  enum dtype dtype;
  uint32_t rank;
  int64_t dims[4];
  double values[24];
};

/* Initialisers of it: i64 [] and bool [], f32 [n] and [m, n]. */
#define SCALAR(x)                                                                                  \
  {                                                                                                \
    DTYPE_I64, 0, {0}, { x }                                                                       \
  }
#define BOOL(x)                                                                                    \
  {                                                                                                \
    DTYPE_BOOL, 0, {0}, { x }                                                                      \
  }
#define ROW(n, ...)                                                                                \
  {                                                                                                \
    DTYPE_F32, 1, {n}, { __VA_ARGS__ }                                                             \
  }
#define MATRIX(m, n, ...)                                                                          \
  {                                                                                                \
    DTYPE_F32, 2, {m, n}, { __VA_ARGS__ }                                                          \
  }

static inline void expect_open(struct onnx_run *r, const char *text) {
  onnx_run_open(r, text, NULL);
  diags_print(&r->diags, stderr);
  assert_non_null(r->module);
}

static inline const struct function *expect_function(const struct onnx_run *r) {
  return r->module->entries.data[0].variants.data[0].function;
}

static inline status expect_call(struct onnx_run *r, const struct given *in, uint32_t n,
                                 struct tensor **out) {
  struct tensor *tensors[4];
  for (uint32_t i = 0; i < n; i++)
    tensors[i] = onnx_run_tensor(r, in[i].dtype, in[i].dims, in[i].rank, in[i].values);
  return onnx_run_call(r, tensors, out);
}

static inline void expect_tensor(const struct tensor *got, const struct given *want) {
  assert_int_equal(got->dtype, want->dtype);
  assert_int_equal(got->rank, want->rank);
  for (uint32_t i = 0; i < got->rank; i++)
    assert_int_equal(got->dims[i], want->dims[i]);
  for (int64_t i = 0; i < got->count; i++)
    assert_float_equal(dtype_is_float(got->dtype) ? got->f64[i] : (double)got->i64[i],
                       want->values[i], 1e-5);
}

/* One run; `want` has an entry per output. */
static inline void expect_run(const char *text, const struct given *in, uint32_t n_in,
                              const struct given *want) {
  struct onnx_run r;
  struct tensor *out[4];
  expect_open(&r, text);
  status s = expect_call(&r, in, n_in, out);
  diags_print(&r.diags, stderr);
  assert_int_equal(s, STATUS_OK);
  const struct function *f = expect_function(&r);
  for (uint32_t i = 0; i < f->regions.data[0].results.len; i++)
    expect_tensor(out[i], &want[i]);
  onnx_run_close(&r);
}

/* A sound model whose run fails. */
static inline void expect_run_fails(const char *text, const struct given *in, uint32_t n_in) {
  struct onnx_run r;
  struct tensor *out[4];
  expect_open(&r, text);
  assert_int_not_equal(expect_call(&r, in, n_in, out), STATUS_OK);
  onnx_run_close(&r);
}

/* The type of output 0, and how many checks there are at run time. */
static inline void expect_type(const char *text, const char *type, uint32_t checks) {
  struct onnx_run r;
  struct strbuf got = {0};
  expect_open(&r, text);
  const struct function *f = expect_function(&r);
  type_print(r.module, value_type(f, f->regions.data[0].results.data[0]), &got);
  assert_string_equal(strbuf_c(&got), type);
  uint32_t found = 0;
  for (uint32_t i = 1; i < f->ops.len; i++)
    found += f->ops.data[i].kind == OP_CHECK;
  assert_int_equal(found, checks);
  strbuf_deinit(&got);
  onnx_run_close(&r);
}

static inline void expect_refused(const char *text, const char *codes) {
  struct onnx_run r;
  onnx_run_open(&r, text, NULL);
  assert_string_equal(onnx_run_codes(&r), codes);
  assert_null(r.module);
  onnx_run_close(&r);
}

#endif
