/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles a model to an engine and prints everything that the compiler has to say.
 *
 *     compile model.onnx model.sinter */
#include <sinter/compiler.h>
#include <stdio.h>

static int show_phase(void *user, const char *phase, uint32_t done, uint32_t total) {
  (void)user;
  fprintf(stderr, "%u/%u %s\n", done, total, phase);
  return 0; /* anything else would stop the compiler here */
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: compile MODEL ENGINE\n");
    return 2;
  }
  sinter_compiler_options options = {
      .struct_size = sizeof options, .target = "native", .progress = show_phase};
  sinter_diagnostics *problems;
  sinter_status status = sinter_compile(argv[1], argv[2], &options, &problems);
  fputs(sinter_diagnostics_text(problems), stderr);
  for (uint32_t i = 0; i < sinter_diagnostics_count(problems); i++) {
    sinter_diagnostic one;
    if (sinter_diagnostics_get(problems, i, &one) == SINTER_OK && one.is_error)
      printf("%s at node '%s' (%s)\n", one.code, one.node, one.op);
  }
  sinter_diagnostics_destroy(problems);
  return status == SINTER_OK ? 0 : 1;
}
