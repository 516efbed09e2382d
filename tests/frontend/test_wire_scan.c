/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile bytes: truncation, bit flips, bombs, bad strings, forged fields, foreign files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "frontend/onnx/model_load.h"
#include "frontend/onnx/wire_sniff.h"
#include "tests/support/pb_build.h"

static status load(const void *bytes, size_t size, struct diags *diags) {
  struct onnx_model *model;
  status st = onnx_model_load_memory(bytes, size, NULL, diags, &model);
  onnx_model_destroy(model);
  return st;
}

/* Expects the first error to be `code`. */
static void expect(struct strbuf *m, enum diag_code code) {
  struct diags diags = {0};
  assert_int_not_equal(load(m->data, m->len, &diags), STATUS_OK);
  for (uint32_t i = 0; i < diags_count(&diags); i++) {
    const struct diag *d = diags_get(&diags, i);
    if (diag_code_status(d->code) == STATUS_OK)
      continue;
    assert_string_equal(diag_code_name(d->code), diag_code_name(code));
    break;
  }
  diags_deinit(&diags);
  strbuf_deinit(m);
}

/* A model with every kind of thing: typed and raw tensors, a subgraph, a function, attributes. */
static struct strbuf rich_model(void) {
  const int64_t dims[] = {2};
  const float data[] = {1, 2};
  struct strbuf inner = {0}, inner_node = pb_node("Neg", "x", NULL, "i"),
                inner_out = pb_value_info("i", 1, dims);
  pb_message(&inner, 1, &inner_node);
  pb_str(&inner, 2, "inner");
  pb_message(&inner, 12, &inner_out);
  struct strbuf then_branch = {0};
  pb_str(&then_branch, 1, "then_branch");
  pb_message(&then_branch, 6, &inner);
  pb_int(&then_branch, 20, 5);
  struct strbuf ints = {0};
  pb_str(&ints, 1, "axes");
  pb_int(&ints, 8, -1);
  pb_int(&ints, 8, 3);
  pb_int(&ints, 20, 7);
  struct strbuf g = {0}, branch = pb_node("If", "c", NULL, "b"),
                add = pb_node("Add", "b", "w", "y");
  pb_message(&branch, 5, &then_branch);
  pb_message(&branch, 5, &ints);
  pb_message(&g, 1, &branch);
  pb_message(&g, 1, &add);
  pb_str(&g, 2, "g");
  struct strbuf w = pb_tensor("w", 1, 1, dims), c = pb_tensor("c", 9, 0, NULL);
  pb_bytes(&w, 9, data, sizeof data);
  pb_bytes(&c, 5, "\x01", 1);
  pb_message(&g, 5, &w);
  pb_message(&g, 5, &c);
  struct strbuf x = pb_value_info("x", 1, dims), y = pb_value_info("y", 1, dims);
  pb_message(&g, 11, &x);
  pb_message(&g, 12, &y);
  struct strbuf m = pb_model(&g), f = {0}, body = pb_node("Relu", "a", NULL, "r"), opset = {0};
  pb_str(&f, 1, "F");
  pb_str(&f, 4, "a");
  pb_str(&f, 5, "r");
  pb_message(&f, 7, &body);
  pb_int(&opset, 2, 20);
  pb_message(&f, 9, &opset);
  pb_str(&f, 10, "local");
  pb_message(&m, 25, &f);
  pb_entry(&m, 14, "made", "by hand");
  return m;
}

static void test_rich_model_loads(void **state) {
  (void)state;
  struct strbuf m = rich_model();
  struct diags diags = {0};
  assert_int_equal(load(m.data, m.len, &diags), STATUS_OK);
  assert_int_equal(diags_count(&diags), 0);
  strbuf_deinit(&m);
}

/* A copy in a block of exactly its size, so that AddressSanitizer sees any read past it. */
static uint8_t *exact(const void *p, size_t n) {
  uint8_t *copy = malloc(n ? n : 1);
  assert_non_null(copy);
  memcpy(copy, p, n);
  return copy;
}

static void test_truncation_at_every_byte(void **state) {
  (void)state;
  struct strbuf m = rich_model();
  size_t accepted = 0;
  for (size_t n = 0; n < m.len; n++) {
    struct diags diags = {0};
    uint8_t *copy = exact(m.data, n);
    status st = load(copy, n, &diags);
    assert_int_equal(st, diags_status(&diags));
    accepted += st == STATUS_OK;
    free(copy);
    diags_deinit(&diags);
  }
  /* Only cuts between top-level fields after the opset leave a model. */
  assert_true(accepted <= 2);
  strbuf_deinit(&m);
}

static void test_every_bit_flip(void **state) {
  (void)state;
  struct strbuf m = rich_model();
  for (size_t bit = 0; bit < m.len * 8; bit++) {
    struct diags diags = {0};
    uint8_t *copy = exact(m.data, m.len);
    copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    status st = load(copy, m.len, &diags);
    assert_int_equal(st, diags_status(&diags));
    free(copy);
    diags_deinit(&diags);
  }
  strbuf_deinit(&m);
}

/* Graphs within graphs, `levels` deep. */
static struct strbuf nested(int levels) {
  struct strbuf g = {0};
  for (int i = 0; i < levels; i++) {
    struct strbuf node = pb_node("If", NULL, NULL, NULL), attribute = {0}, outer = {0};
    pb_str(&attribute, 1, "then_branch");
    pb_message(&attribute, 6, &g);
    pb_int(&attribute, 20, 5);
    pb_message(&node, 5, &attribute);
    pb_message(&outer, 1, &node);
    g = outer;
  }
  return pb_model(&g);
}

static void test_depth_bomb(void **state) {
  (void)state;
  struct strbuf fine = nested(32);
  struct diags diags = {0};
  assert_int_equal(load(fine.data, fine.len, &diags), STATUS_OK);
  strbuf_deinit(&fine);
  struct strbuf deep = nested(34), bomb = nested(2000);
  expect(&deep, DIAG_E0105);
  expect(&bomb, DIAG_E0105);
}

static void test_count_bomb(void **state) {
  (void)state;
  struct strbuf g = {0};
  size_t n = 10 * 1024 * 1024;
  for (size_t i = 0; i < n / 2; i++)
    strbuf_append(&g, "\x0a\x00", 2); /* an empty node */
  struct strbuf m = pb_model(&g);
  expect(&m, DIAG_E0106);
  struct strbuf tensors = {0};
  for (size_t i = 0; i < n / 2; i++)
    strbuf_append(&tensors, "\x2a\x00", 2);
  m = pb_model(&tensors);
  expect(&m, DIAG_E0106);
}

static void test_lengths_and_tags(void **state) {
  (void)state;
  const struct {
    const char *bytes;
    size_t size;
  } bad[] = {
#define BYTES(s) {s, sizeof(s) - 1}
      BYTES("\x08\x0a\x3a\x7f"),                                     /* length past the end */
      BYTES("\x08\x0a\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* length of 64 bits */
      BYTES("\x08\x0a\x3a\xff\xff\xff\xff\x7f"),                     /* length of 2^35 */
      BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),     /* varint of 11 bytes */
      BYTES("\x08\x0a\x00"),                                         /* field 0 */
      BYTES("\x08\x0a\x3b\x3c"),                                     /* groups */
      BYTES("\x08\x0a\x3f"),                                         /* wire type 7 */
      BYTES("\x08\x0a\x38\x01"),                                     /* graph as an integer */
      BYTES("\x0a\x01\x01"),                                         /* ir_version as bytes */
      BYTES("\x08\x0a\x3a\x00\x3a\x00"),                             /* the graph twice */
      BYTES("\x08\x0a\x3a\x04\x2a\x02\x4d\x01"),                     /* a number cut short */
#undef BYTES
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct strbuf m = {0};
    strbuf_append(&m, bad[i].bytes, bad[i].size);
    expect(&m, DIAG_E0103);
  }
}

static void test_strings(void **state) {
  (void)state;
  const char *bad[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_false(wire_utf8_valid((const uint8_t *)bad[i], strlen(bad[i])));
    struct strbuf m = rich_model();
    pb_str(&m, 2, bad[i]);
    expect(&m, DIAG_E0109);
  }
  struct strbuf m = rich_model();
  pb_bytes(&m, 2, "a\0b", 3);
  expect(&m, DIAG_E0109);
  const char *good = "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf";
  assert_true(wire_utf8_valid((const uint8_t *)good, strlen(good)));
}

static void test_all_bad_strings_are_reported(void **state) {
  (void)state;
  struct strbuf m = rich_model();
  pb_str(&m, 2, "\xff");
  pb_str(&m, 3, "\xfe");
  struct diags diags = {0};
  load(m.data, m.len, &diags);
  assert_int_equal(diags_errors(&diags), 2);
  assert_non_null(strstr(diags_get(&diags, 1)->message, "producer_version"));
  assert_int_equal(diags_get(&diags, 1)->where.byte_offset, m.len - 1);
  diags_deinit(&diags);
  strbuf_deinit(&m);
}

static void test_forged_cut_is_refused(void **state) {
  (void)state;
  const int64_t dims[] = {2};
  struct strbuf t = pb_tensor("w", 1, 1, dims);
  pb_int(&t, 536870911, 1);
  struct strbuf m = pb_model_of_tensor(&t);
  expect(&m, DIAG_E0103);
}

static void test_unknown_fields_are_dropped(void **state) {
  (void)state;
  struct strbuf m = rich_model();
  pb_int(&m, 99, 1);
  pb_str(&m, 98, "later");
  struct diags diags = {0};
  struct onnx_model *model;
  assert_int_equal(onnx_model_load_memory(m.data, m.len, NULL, &diags, &model), STATUS_OK);
  assert_int_equal(diags_count(&diags), 2);
  assert_int_equal(model->message->n_unknown_fields, 0);
  onnx_model_destroy(model);
  diags_deinit(&diags);
  strbuf_deinit(&m);
}

/* Large raw_data stays where it is, and the messages around it shrink. */
static void test_cuts(void **state) {
  (void)state;
  const int64_t dims[] = {WIRE_CUT_ABOVE};
  struct strbuf t = pb_tensor("w", 1, 1, dims);
  float *data = mem_calloc(WIRE_CUT_ABOVE, sizeof *data);
  for (int i = 0; i < WIRE_CUT_ABOVE; i++)
    data[i] = (float)i;
  pb_bytes(&t, 9, data, WIRE_CUT_ABOVE * sizeof *data);
  pb_entry(&t, 16, "after", "the data");
  pb_int(&t, 77, 5); /* and a field to drop beside it */
  struct strbuf m = pb_model_of_tensor(&t);
  struct diags diags = {0};
  struct onnx_model *model;
  assert_int_equal(onnx_model_load_memory(m.data, m.len, NULL, &diags, &model), STATUS_OK);
  const Onnx__TensorProto *w = model->proto->graph->initializer[0];
  assert_int_equal(w->raw_data.len, 0);
  assert_string_equal(w->metadata_props[0]->value, "the data");
  struct onnx_tensor view;
  assert_int_equal(onnx_tensor_resolve(model, w, &diags, &view), STATUS_OK);
  assert_int_equal(view.source, ONNX_SOURCE_MEMORY); /* the caller's, which has no file */
  assert_in_range((uintptr_t)view.data, (uintptr_t)m.data, (uintptr_t)m.data + m.len - view.bytes);
  assert_memory_equal(view.data, data, view.bytes);
  assert_true(model->budget.peak < 16 * 1024);
  onnx_model_destroy(model);
  diags_deinit(&diags);
  strbuf_deinit(&m);
  mem_free(data);
}

static void test_foreign_files(void **state) {
  (void)state;
  const struct {
    const char *bytes;
    size_t size;
    const char *what;
  } files[] = {
#define FILE_OF(s, what) {s, sizeof(s) - 1, what}
      FILE_OF("", "empty"),
      FILE_OF("<!DOCTYPE html><html>", "HTML"),
      FILE_OF("\n  <html lang=en>", "HTML"),
      FILE_OF("PK\x03\x04rest", "ZIP"),
      FILE_OF("version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
      FILE_OF("\x80\x02}q\x00.", "pickle"),
      FILE_OF("\x80\x04\x95\x10", "pickle"),
      FILE_OF("GGUF\x03\x00\x00\x00", "GGUF"),
      FILE_OF("\x18\x00\x00\x00ORTM\x00\x00", "ort"),
      FILE_OF("\x08\x00\x00\x00\x00\x00\x00\x00{\"a\":1}  ", "safetensors"),
      FILE_OF("\x1f\x8b\x08\x00", "gzip"),
      FILE_OF("{\"model\": 1}", "JSON"),
      FILE_OF("\x00\x00\x00\x00\x00\x00", "zeros"),
#undef FILE_OF
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    struct diags diags = {0};
    assert_int_equal(load(files[i].bytes, files[i].size, &diags), STATUS_INVALID);
    assert_int_equal(diags_get(&diags, 0)->code, DIAG_E0102);
    assert_non_null(strstr(diags_get(&diags, 0)->message, files[i].what));
    diags_deinit(&diags);
  }
  for (uint32_t first = 0; first < 256; first++) {
    uint8_t bytes[16];
    memset(bytes, (int)first, sizeof bytes);
    for (size_t n = 1; n <= sizeof bytes; n++)
      assert_int_not_equal(load(bytes, n, NULL), STATUS_OK);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rich_model_loads),
      cmocka_unit_test(test_truncation_at_every_byte),
      cmocka_unit_test(test_every_bit_flip),
      cmocka_unit_test(test_depth_bomb),
      cmocka_unit_test(test_count_bomb),
      cmocka_unit_test(test_lengths_and_tags),
      cmocka_unit_test(test_strings),
      cmocka_unit_test(test_all_bad_strings_are_reported),
      cmocka_unit_test(test_forged_cut_is_refused),
      cmocka_unit_test(test_unknown_fields_are_dropped),
      cmocka_unit_test(test_cuts),
      cmocka_unit_test(test_foreign_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
