/* SPDX-License-Identifier: Apache-2.0 */
/* Every row of op.def has what an op needs: hooks, a comment, a test of its own in
 * tests/ir/test_ops_*.c, and a place in random graphs. What is missing is named. */
#include "base/str.h"
#include "ir/random_graph.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const enum_names[OP_COUNT] = {
    "NONE",
#define OP(E, text, ...) #E,
#include "ir/op.def"
#undef OP
};

static void read_into(const char *path, struct strbuf *out) {
  FILE *f = fopen(path, "r");
  char block[4096];
  size_t n;
  assert_non_null(f);
  while ((n = fread(block, 1, sizeof block, f)) > 0)
    strbuf_append(out, block, n);
  fclose(f);
}

/* The sources of tests/ir/test_ops_*.c, one after the other. */
static void read_op_tests(struct strbuf *out) {
  DIR *folder = opendir(SINTER_TEST_SOURCE_DIR "/tests/ir");
  assert_non_null(folder);
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (strncmp(entry->d_name, "test_ops_", 9))
      continue;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", SINTER_TEST_SOURCE_DIR "/tests/ir", entry->d_name);
    read_into(path, out);
  }
  closedir(folder);
}

static bool is_word_char(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool has_word(const char *text, const char *word) {
  size_t n = strlen(word);
  for (const char *at = text; (at = strstr(at, word)); at += n) {
    if ((at == text || !is_word_char(at[-1])) && !is_word_char(at[n]))
      return true;
  }
  return false;
}

static void test_rows_have_hooks(void **state) {
  (void)state;
  int missing = 0;
  for (int k = OP_NONE + 1; k < OP_COUNT; k++) {
    const struct op_hooks *hooks = op_infos[k].hooks;
    if (hooks && hooks->infer && hooks->eval)
      continue;
    fprintf(stderr, "'%s' has no %s\n", op_infos[k].name,
            !hooks || !hooks->infer ? "type rule" : "evaluation");
    missing++;
  }
  assert_int_equal(missing, 0);
}

static void test_rows_have_comments(void **state) {
  (void)state;
  struct strbuf text = {0};
  int missing = 0;
  read_into(SINTER_TEST_SOURCE_DIR "/ir/op.def", &text);
  for (int k = OP_NONE + 1; k < OP_COUNT; k++) {
    char row[64];
    snprintf(row, sizeof row, "\nOP(%s, %s,", enum_names[k], op_infos[k].name);
    const char *at = strstr(strbuf_c(&text), row);
    assert_non_null(at);
    const char *before = at;
    while (before > text.data && (before[-1] == '\n' || before[-1] == ' '))
      before--;
    bool comment = before - text.data > 2 && !strncmp(before - 2, "*/", 2);
    if (!comment) {
      fprintf(stderr, "'%s' has no comment in op.def\n", op_infos[k].name);
      missing++;
    }
  }
  strbuf_deinit(&text);
  assert_int_equal(missing, 0);
}

static void test_rows_have_tests(void **state) {
  (void)state;
  struct strbuf text = {0};
  int missing = 0;
  read_op_tests(&text);
  for (int k = OP_NONE + 1; k < OP_COUNT; k++) {
    char by_enum[64], by_builder[64];
    snprintf(by_enum, sizeof by_enum, "OP_%s", enum_names[k]);
    snprintf(by_builder, sizeof by_builder, "build_%s", op_infos[k].name);
    if (has_word(strbuf_c(&text), by_enum) || strstr(strbuf_c(&text), by_builder))
      continue;
    fprintf(stderr, "'%s' has no test in tests/ir/test_ops_*.c\n", op_infos[k].name);
    missing++;
  }
  strbuf_deinit(&text);
  assert_int_equal(missing, 0);
}

static void test_rows_are_in_random_graphs(void **state) {
  (void)state;
  int missing = 0;
  for (int k = OP_NONE + 1; k < OP_COUNT; k++) {
    bool made =
        op_infos[k].flags & (OP_FLAG_RANKS | OP_FLAG_MESH); /* there are no meshes in them */
    for (uint64_t seed = 1; seed < 6 && !made; seed++) {
      struct random_graph_options options = {.seed = seed,
                                             .ops = 20,
                                             .symbolic = true,
                                             .kinds = UINT64_C(1) << k,
                                             .dtypes = RANDOM_GRAPH_COMMON_DTYPES};
      struct diags d = {0};
      struct module *m = random_graph(&options, &d);
      assert_non_null(m);
      for (uint32_t i = 1; i < m->functions.data[0]->ops.len; i++)
        made |= m->functions.data[0]->ops.data[i].kind == (enum op_kind)k;
      module_destroy(m);
      diags_deinit(&d);
    }
    if (!made) {
      fprintf(stderr, "no random graph has '%s'\n", op_infos[k].name);
      missing++;
    }
  }
  assert_int_equal(missing, 0);
}

static void test_names_are_found(void **state) {
  (void)state;
  for (int i = 0; i < DTYPE_COUNT; i++) {
    for (int k = SCALAR_CAST + 1; k < SCALAR_OP_COUNT; k++)
      assert_string_not_equal(dtype_name((enum dtype)i), scalar_infos[k].name);
  }
  for (int k = OP_NONE + 1; k < OP_COUNT; k++) {
    for (int other = k + 1; other < OP_COUNT; other++)
      assert_string_not_equal(op_infos[k].name, op_infos[other].name);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows_have_hooks), cmocka_unit_test(test_rows_have_comments),
      cmocka_unit_test(test_rows_have_tests), cmocka_unit_test(test_rows_are_in_random_graphs),
      cmocka_unit_test(test_names_are_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
