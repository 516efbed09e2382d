/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as text IR: what the parser accepts prints to a text that it accepts too, and that
 * prints the same. Seeds: what `random_graph` prints, and the texts of tests/ir/test_text.c. */
#include "base/str.h"
#include "ir/text.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void print_and_parse(struct module *m, struct diags *diags) {
  struct strbuf once = {0}, twice = {0};
  struct module *again = NULL;
  module_print(m, &once);
  if (module_parse("printed.sir", strbuf_c(&once), once.len, diags, &again) == STATUS_OK)
    module_print(again, &twice);
  if (!again || strcmp(strbuf_c(&once), strbuf_c(&twice))) {
    fprintf(stderr, "%s\n%s\n", strbuf_c(&once), strbuf_c(&twice));
    diags_print(diags, stderr);
    abort();
  }
  module_destroy(again);
  strbuf_deinit(&once);
  strbuf_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct diags diags = {0};
  struct module *m = NULL;
  status s = module_parse("fuzz.sir", (const char *)bytes, size, &diags, &m);
  if (s == STATUS_OK)
    print_and_parse(m, &diags);
  else if (diags_errors(&diags) == 0) /* a failure without a word */
    abort();
  module_destroy(m);
  diags_deinit(&diags);
  return 0;
}
