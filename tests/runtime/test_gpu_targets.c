/* SPDX-License-Identifier: Apache-2.0 */
/* Which of an engine's codes a GPU takes, and what it takes next if its driver refuses that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/drivers/cuda/cuda_device.h"

static const char *const names[] = {"", "sm_80", "sm_86", "sm_90", "sm_90a", "x86-64-v3", "sm_x"};
enum { NONE, SM_80, SM_86, SM_90, SM_90A, X86, OTHER };

#define PTX(name) {name, ENGINE__CODE_FORM__PORTABLE}
#define CUBIN(name) {name, ENGINE__CODE_FORM__CUBIN}
struct code {
  uint32_t name;
  Engine__CodeForm form;
};

/* All targets in the order in which they are tried, as "0 3 1". */
static void expect(const struct code *codes, size_t n, int capability, bool cubins,
                   const char *want) {
  Engine__Target rows[8], *row[8];
  Engine__Manifest m = ENGINE__MANIFEST__INIT;
  for (size_t i = 0; i < n; i++) {
    engine__target__init(&rows[i]);
    rows[i].name = codes[i].name;
    rows[i].form = codes[i].form;
    row[i] = &rows[i];
  }
  m.targets = row;
  m.n_targets = n;
  m.strings = (char **)(uintptr_t)names;
  m.n_strings = sizeof names / sizeof *names;
  struct plan plan = {.manifest = &m};
  char got[64] = "";
  uint32_t worth = UINT32_MAX, target;
  while (cuda_next_target(&plan, capability, cubins, &worth, &target))
    snprintf(got + strlen(got), sizeof got - strlen(got), "%s%u", *got ? " " : "", target);
  assert_string_equal(got, want);
}
#define EXPECT(codes, ...) expect(codes, sizeof(codes) / sizeof *(codes), __VA_ARGS__)

static void order(void **state) {
  (void)state;
  static const struct code codes[] = {PTX(SM_80), CUBIN(SM_80), PTX(SM_90A), CUBIN(SM_90A)};
  EXPECT(codes, 80, true, "1 0");
  EXPECT(codes, 86, true, "1 0"); /* the same major capability */
  EXPECT(codes, 89, true, "1 0");
  EXPECT(codes, 90, true, "3 2 0");
  EXPECT(codes, 90, false, "2 0");
  EXPECT(codes, 100, true, "0"); /* neither an older major's cubin nor what is for 9.0 alone */
  EXPECT(codes, 120, true, "0");
  EXPECT(codes, 75, true, "");
}

static void minor(void **state) {
  (void)state;
  static const struct code codes[] = {CUBIN(SM_80), CUBIN(SM_86), PTX(SM_80), PTX(SM_86)};
  EXPECT(codes, 80, true, "0 2"); /* not what is for later ones */
  EXPECT(codes, 86, true, "1 0 3 2");
  EXPECT(codes, 90, true, "3 2");
}

static void not_a_gpus(void **state) {
  (void)state;
  static const struct code codes[] = {PTX(X86), CUBIN(OTHER), PTX(NONE), PTX(SM_90)};
  EXPECT(codes, 90, true, "3");
  EXPECT(codes, 89, true, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(order),
      cmocka_unit_test(minor),
      cmocka_unit_test(not_a_gpus),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
