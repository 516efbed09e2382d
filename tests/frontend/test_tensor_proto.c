/* SPDX-License-Identifier: Apache-2.0 */
/* Every data type through every field that may hold it; sizes; sparse tensors; round trips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/dtype.h"
#include "base/mem.h"
#include "frontend/onnx/model_load.h"
#include "frontend/onnx/onnx_value.h"
#include "tests/support/pb_build.h"

enum { CODES = 26 };

static void test_types_agree_with_dtype_def(void **state) {
  (void)state;
  int shared = 0;
  for (int32_t code = -1; code < 100; code++) {
    const struct onnx_type *type = onnx_type_get(code);
    enum dtype dtype;
    assert_int_equal(type != NULL, code >= 1 && code <= CODES);
    if (!type || !dtype_from_onnx(code, &dtype))
      continue;
    assert_string_equal(type->name, dtype_name(dtype));
    /* A string is as long as it is; within the program it is a number in a table. */
    assert_int_equal(type->bits, dtype == DTYPE_STRING ? 0 : dtype_bits(dtype));
    shared++;
  }
  assert_int_equal(shared, CODES - 2); /* all but the complex types */
}

/* Loads a model around `tensor` (freed) and views it; the caller destroys the model. */
static status view(struct strbuf *tensor, struct diags *diags, struct onnx_model **model,
                   struct onnx_tensor *out) {
  struct strbuf m = pb_model_of_tensor(tensor);
  status st = onnx_model_load_memory(m.data, m.len, NULL, diags, model);
  if (st == STATUS_OK)
    st = onnx_tensor_resolve(*model, (*model)->proto->graph->initializer[0], diags, out);
  strbuf_deinit(&m); /* nothing here is large enough to be left in place */
  return st;
}

static void expect_bad(struct strbuf *tensor, enum diag_code code, const char *text) {
  struct diags diags = {0};
  struct onnx_model *model;
  struct onnx_tensor out;
  assert_int_not_equal(view(tensor, &diags, &model, &out), STATUS_OK);
  assert_int_equal(diags_errors(&diags), 1);
  const struct diag *d = diags_get(&diags, 0);
  assert_string_equal(diag_code_name(d->code), diag_code_name(code));
  if (!strstr(d->message, text))
    print_message("'%s' lacks '%s'\n", d->message, text);
  assert_non_null(strstr(d->message, text));
  diags_deinit(&diags);
}

static size_t raw_bytes(const struct onnx_type *type, int64_t n) {
  return ((size_t)n * type->bits + 7) / 8;
}

static void test_raw_data_of_every_type(void **state) {
  (void)state;
  const int64_t dims[] = {5};
  for (int32_t code = 1; code <= CODES; code++) {
    const struct onnx_type *type = onnx_type_get(code);
    if (type->bits == 0)
      continue;
    uint8_t data[80];
    for (size_t i = 0; i < sizeof data; i++)
      data[i] = (uint8_t)(i & 1);
    struct strbuf t = pb_tensor("w", code, 1, dims);
    pb_bytes(&t, 9, data, raw_bytes(type, 5));
    struct diags diags = {0};
    struct onnx_model *model;
    struct onnx_tensor out;
    assert_int_equal(view(&t, &diags, &model, &out), STATUS_OK);
    assert_int_equal(out.bytes, raw_bytes(type, 5));
    assert_int_equal(out.elements, 5);
    assert_memory_equal(out.data, data, out.bytes);
    onnx_model_destroy(model);
    t = pb_tensor("w", code, 1, dims);
    pb_bytes(&t, 9, data, raw_bytes(type, 5) - 1);
    expect_bad(&t, DIAG_E0107, "initializer 'w' needs");
  }
}

/* One entry of a typed list, in the wire form of its field. */
static void entry_add(struct strbuf *t, const struct onnx_type *type, uint64_t value) {
  double d = (double)value;
  float f = (float)value;
  switch (type->field) {
  case ONNX_FIELD_FLOAT_DATA:
    pb_tag(t, 4, 5);
    strbuf_append(t, (const char *)&f, 4);
    break;
  case ONNX_FIELD_INT32_DATA: pb_int(t, 5, (int64_t)value); break;
  case ONNX_FIELD_STRING_DATA: pb_str(t, 6, value ? "one" : ""); break;
  case ONNX_FIELD_INT64_DATA: pb_int(t, 7, (int64_t)value); break;
  case ONNX_FIELD_DOUBLE_DATA:
    pb_tag(t, 10, 1);
    strbuf_append(t, (const char *)&d, 8);
    break;
  default: pb_int(t, 11, (int64_t)value);
  }
}

static size_t entries_of(const struct onnx_type *type, int64_t n) {
  return type->bits == 0 ? (size_t)n : raw_bytes(type, n) * 8 / type->width;
}

static void test_typed_data_of_every_type(void **state) {
  (void)state;
  const int64_t dims[] = {5};
  for (int32_t code = 1; code <= CODES; code++) {
    const struct onnx_type *type = onnx_type_get(code);
    struct strbuf t = pb_tensor("w", code, 1, dims), few = pb_tensor("w", code, 1, dims);
    size_t n = entries_of(type, 5);
    for (size_t i = 0; i < n; i++)
      entry_add(&t, type, i & 1);
    for (size_t i = 0; i + 1 < n; i++)
      entry_add(&few, type, 1);
    struct diags diags = {0};
    struct onnx_model *model;
    struct onnx_tensor out;
    assert_int_equal(view(&t, &diags, &model, &out), STATUS_OK);
    if (type->bits == 0) {
      assert_true(str_eq_c(out.strings[0], "") && str_eq_c(out.strings[1], "one"));
    } else {
      size_t width = type->width / 8;
      const uint8_t *p = out.data;
      assert_int_equal(out.bytes, raw_bytes(type, 5));
      for (size_t i = 0; i < n; i++) {
        uint64_t low = 0, wanted = i & 1;
        float f = (float)wanted;
        double d = (double)wanted;
        memcpy(&low, p + i * width, width);
        if (type->field == ONNX_FIELD_FLOAT_DATA)
          memcpy(&wanted, &f, 4);
        if (type->field == ONNX_FIELD_DOUBLE_DATA)
          memcpy(&wanted, &d, 8);
        assert_true(low == wanted);
      }
    }
    onnx_model_destroy(model);
    expect_bad(&few, DIAG_E0107, "needs");
  }
}

static void test_negative_and_wide_entries(void **state) {
  (void)state;
  const int64_t dims[] = {2};
  struct strbuf t = pb_tensor("w", 3, 1, dims);
  pb_int(&t, 5, -5);
  pb_int(&t, 5, 127);
  struct diags diags = {0};
  struct onnx_model *model;
  struct onnx_tensor out;
  assert_int_equal(view(&t, &diags, &model, &out), STATUS_OK);
  assert_int_equal(((const int8_t *)out.data)[0], -5);
  onnx_model_destroy(model);
  t = pb_tensor("w", 3, 1, dims);
  pb_int(&t, 5, 1);
  pb_int(&t, 5, 256);
  expect_bad(&t, DIAG_E0108, "256 at index 1");
  t = pb_tensor("w", 12, 1, dims);
  pb_int(&t, 11, 1);
  pb_int(&t, 11, INT64_C(1) << 32);
  expect_bad(&t, DIAG_E0108, "uint64_data");
}

static void test_bools_become_0_and_1(void **state) {
  (void)state;
  const int64_t dims[] = {4};
  struct strbuf t = pb_tensor("w", 9, 1, dims);
  pb_bytes(&t, 9, "\x00\x01\x02\xff", 4);
  struct diags diags = {0};
  struct onnx_model *model;
  struct onnx_tensor out;
  assert_int_equal(view(&t, &diags, &model, &out), STATUS_OK);
  assert_memory_equal(out.data, "\x00\x01\x01\x01", 4);
  onnx_model_destroy(model);
}

static void test_malformed(void **state) {
  (void)state;
  const int64_t two[] = {2}, negative[] = {-1}, huge[] = {INT64_MAX, 4}, wide[] = {INT64_MAX / 2};
  const int64_t zeros[] = {0, INT64_MAX, INT64_MAX}, many[] = {32, 32};
  const float data[2] = {1, 2};
  struct strbuf t = pb_tensor("w", 999, 1, two);
  expect_bad(&t, DIAG_E0108, "unknown data type 999");
  t = pb_tensor("w", 0, 1, two);
  expect_bad(&t, DIAG_E0108, "unknown data type 0");
  t = pb_tensor("w", 1, 1, negative);
  expect_bad(&t, DIAG_E0108, "size -1");
  t = pb_tensor("w", 1, 2, huge);
  expect_bad(&t, DIAG_E0108, "64 bits");
  t = pb_tensor("w", 1, 1, wide);
  expect_bad(&t, DIAG_E0108, "64 bits");
  t = pb_tensor("w", 1, 3, zeros);
  expect_bad(&t, DIAG_E0108, "64 bits");
  t = pb_tensor("w", 1, 1, two);
  pb_bytes(&t, 9, data, 8);
  pb_bytes(&t, 4, data, 8);
  expect_bad(&t, DIAG_E0108, "both raw_data and float_data");
  t = pb_tensor("w", 7, 1, two);
  pb_bytes(&t, 4, data, 8);
  expect_bad(&t, DIAG_E0108, "has its data in float_data");
  t = pb_tensor("w", 8, 1, two);
  pb_bytes(&t, 9, data, 8);
  expect_bad(&t, DIAG_E0108, "strings in raw_data");
  t = pb_tensor("w", 1, 1, two);
  pb_int(&t, 14, 7);
  expect_bad(&t, DIAG_E0108, "data location");
  t = pb_tensor("w", 1, 1, two);
  pb_bytes(&t, 3, "", 0);
  expect_bad(&t, DIAG_E0108, "segment");
  t = pb_tensor("w", 1, 1, two);
  pb_int(&t, 14, 1);
  pb_entry(&t, 13, "location", "w.bin");
  expect_bad(&t, DIAG_E0116, "no folder");
  t = pb_tensor("w", 1, 2, many);
  pb_bytes(&t, 9, data, 8);
  expect_bad(&t, DIAG_E0107, "initializer 'w' needs 4,096 B (f32[32,32]) but has 8 B");
}

static void test_the_message_names_the_node(void **state) {
  (void)state;
  const int64_t two[] = {2};
  struct strbuf t = pb_tensor("w", 1, 1, two), m = pb_model_of_tensor(&t);
  struct diags diags = {0};
  struct onnx_model *model;
  assert_int_not_equal(onnx_model_load_memory(m.data, m.len, NULL, &diags, &model), STATUS_OK);
  assert_int_equal(diags_get(&diags, 0)->where.node_index, 0);
  assert_string_equal(diags_get(&diags, 0)->where.op, "Add");
  diags_deinit(&diags);
  strbuf_deinit(&m);
}

/* ---- Sparse ---- */

static struct strbuf sparse(const float *values, int64_t n, const int64_t *indices, int64_t columns,
                            size_t rank, const int64_t *dims) {
  const int64_t shape[] = {n, columns};
  struct strbuf v = pb_tensor("s", 1, 1, &n), i = pb_tensor("", 7, columns ? 2 : 1, shape), s = {0};
  pb_bytes(&v, 9, values, (size_t)n * 4);
  pb_bytes(&i, 9, indices, (size_t)(n * (columns ? columns : 1)) * 8);
  pb_message(&s, 1, &v);
  pb_message(&s, 2, &i);
  for (size_t d = 0; d < rank; d++)
    pb_int(&s, 3, dims[d]);
  return s;
}

static status sparse_view(struct strbuf *s, float *out, size_t n) {
  struct strbuf g = {0};
  pb_message(&g, 15, s);
  struct strbuf m = pb_model(&g);
  struct diags diags = {0};
  struct onnx_model *model;
  struct onnx_tensor view_of;
  status st = onnx_model_load_memory(m.data, m.len, NULL, &diags, &model);
  if (st == STATUS_OK) {
    assert_int_equal(onnx_sparse_resolve(model, model->proto->graph->sparse_initializer[0], NULL,
                                         &diags, &view_of),
                     STATUS_OK);
    assert_int_equal(view_of.bytes, n * 4);
    memcpy(out, view_of.data, n * 4);
    onnx_model_destroy(model);
  }
  diags_deinit(&diags);
  strbuf_deinit(&m);
  return st;
}

static void test_sparse(void **state) {
  (void)state;
  const float values[] = {1, 2, 3}, wanted[] = {0, 1, 0, 2, 0, 3};
  const int64_t dims[] = {2, 3}, linear[] = {1, 3, 5}, pairs[] = {0, 1, 1, 0, 1, 2};
  const int64_t outside[] = {1, 3, 6}, negative[] = {-1, 3, 5}, twice[] = {1, 1, 5},
                far[] = {0, 3, 1, 0, 1, 2};
  const int64_t bomb[] = {INT64_C(1) << 20, INT64_C(1) << 20};
  float out[6];
  struct strbuf s = sparse(values, 3, linear, 0, 2, dims);
  assert_int_equal(sparse_view(&s, out, 6), STATUS_OK);
  assert_memory_equal(out, wanted, sizeof out);
  s = sparse(values, 3, pairs, 2, 2, dims);
  assert_int_equal(sparse_view(&s, out, 6), STATUS_OK);
  assert_memory_equal(out, wanted, sizeof out);
  const int64_t *bad[] = {outside, negative, twice};
  for (int i = 0; i < 3; i++) {
    s = sparse(values, 3, bad[i], 0, 2, dims);
    assert_int_equal(sparse_view(&s, out, 6), STATUS_INVALID);
  }
  s = sparse(values, 3, far, 2, 2, dims);
  assert_int_equal(sparse_view(&s, out, 6), STATUS_INVALID);
  s = sparse(values, 3, linear, 0, 2, bomb);
  assert_int_equal(sparse_view(&s, out, 6), STATUS_INVALID);
}

/* ---- Files ---- */

static char path[] = "/tmp/sinter_tensor_XXXXXX";

static void test_write_and_read(void **state) {
  (void)state;
  const int64_t dims[] = {2, 2};
  const float data[] = {1, 2, 3, 4};
  const struct str strings[] = {STR("a"), STR(""), STR("c\0d"), STR("\xff")};
  const struct onnx_tensor tensors[] = {
      {.name = "t",
       .onnx_type = 1,
       .rank = 2,
       .dims = dims,
       .elements = 4,
       .data = data,
       .bytes = 16},
      {.name = "s", .onnx_type = 8, .rank = 2, .dims = dims, .elements = 4, .strings = strings},
      {.name = "z",
       .onnx_type = 22,
       .rank = 2,
       .dims = dims,
       .elements = 4,
       .data = data,
       .bytes = 2},
      {.name = "scalar", .onnx_type = 1, .elements = 1, .data = data, .bytes = 4},
  };
  for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
    struct onnx_value_file file;
    assert_int_equal(onnx_tensor_write(path, &tensors[i], NULL), STATUS_OK);
    assert_int_equal(onnx_value_read(path, NULL, NULL, &file), STATUS_OK);
    const struct onnx_tensor *t = &file.value.tensor;
    assert_string_equal(t->name, tensors[i].name);
    assert_int_equal(t->onnx_type, tensors[i].onnx_type);
    assert_int_equal(t->rank, tensors[i].rank);
    assert_int_equal(t->bytes, tensors[i].bytes);
    if (t->bytes)
      assert_memory_equal(t->data, tensors[i].data, t->bytes);
    for (uint64_t k = 0; t->strings && k < t->elements; k++)
      assert_true(str_eq(t->strings[k], strings[k]));
    onnx_value_deinit(&file);
  }
}

static void file_make(struct strbuf *b) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  if (b->len > 0)
    fwrite(b->data, 1, b->len, f);
  fclose(f);
  strbuf_deinit(b);
}

static status read_as(Onnx__TypeProto__ValueCase kind, struct onnx_value_file *out) {
  Onnx__TypeProto type = ONNX__TYPE_PROTO__INIT;
  type.value_case = kind;
  return onnx_value_read(path, &type, NULL, out);
}

static struct strbuf element(float value) {
  struct strbuf t = pb_tensor("e", 1, 0, NULL);
  pb_bytes(&t, 9, &value, 4);
  return t;
}

static void test_sequences_maps_and_optionals(void **state) {
  (void)state;
  struct onnx_value_file file;
  struct strbuf s = {0}, a = element(1), b = element(2);
  pb_int(&s, 2, 1);
  pb_message(&s, 3, &a);
  pb_message(&s, 3, &b);
  struct strbuf map = {0}, values = {0};
  strbuf_append(&values, s.data, s.len);
  file_make(&s);
  assert_int_equal(read_as(ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE, &file), STATUS_OK);
  assert_int_equal(file.value.n_items, 2);
  assert_true(*(const float *)file.value.items[1].tensor.data == 2);
  onnx_value_deinit(&file);

  pb_int(&map, 2, 7);
  pb_bytes(&map, 3, "\x05\x09", 2);
  pb_message(&map, 5, &values);
  struct strbuf full = {0};
  pb_int(&full, 2, 4);
  pb_bytes(&full, 6, map.data, map.len);
  file_make(&map);
  assert_int_equal(read_as(ONNX__TYPE_PROTO__VALUE_MAP_TYPE, &file), STATUS_OK);
  assert_int_equal(file.value.n_items, 2);
  assert_int_equal(((const int64_t *)file.value.tensor.data)[1], 9);
  onnx_value_deinit(&file);

  file_make(&full);
  assert_int_equal(read_as(ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE, &file), STATUS_OK);
  assert_int_equal(file.value.kind, ONNX_VALUE_MAP);
  onnx_value_deinit(&file);
  struct strbuf none = {0};
  file_make(&none);
  assert_int_equal(read_as(ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE, &file), STATUS_OK);
  assert_int_equal(file.value.kind, ONNX_VALUE_NONE);
  onnx_value_deinit(&file);

  struct strbuf short_map = {0};
  pb_bytes(&short_map, 3, "\x05", 1);
  file_make(&short_map);
  assert_int_equal(read_as(ONNX__TYPE_PROTO__VALUE_MAP_TYPE, &file), STATUS_INVALID);
  assert_int_equal(read_as(ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE, &file), STATUS_INVALID);
}

static int setup(void **state) {
  (void)state;
  int fd = mkstemp(path);
  if (fd >= 0)
    close(fd);
  return fd < 0;
}

static int teardown(void **state) {
  (void)state;
  return unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_types_agree_with_dtype_def),
      cmocka_unit_test(test_raw_data_of_every_type),
      cmocka_unit_test(test_typed_data_of_every_type),
      cmocka_unit_test(test_negative_and_wide_entries),
      cmocka_unit_test(test_bools_become_0_and_1),
      cmocka_unit_test(test_malformed),
      cmocka_unit_test(test_the_message_names_the_node),
      cmocka_unit_test(test_sparse),
      cmocka_unit_test(test_write_and_read),
      cmocka_unit_test(test_sequences_maps_and_optionals),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
