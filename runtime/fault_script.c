/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of fault scripts. */
#include "runtime/fault_script.h"

#include "runtime/fault.h"

#include <stdio.h>
#include <string.h>

static enum fault_kind kind_of(const char *word) {
  static const char *const words[] = {
      [FAULT_FAIL] = "fail",       [FAULT_OOM] = "oom",
      [FAULT_STALL] = "stall",     [FAULT_KILL] = "kill",
      [FAULT_CORRUPT] = "corrupt", [FAULT_CORRUPT_PAYLOAD] = "corrupt-payload"};
  for (int i = FAULT_FAIL; i <= FAULT_CORRUPT_PAYLOAD; i++)
    if (strcmp(word, words[i]) == 0)
      return (enum fault_kind)i;
  return FAULT_NONE;
}

status fault_script_read(const char *script, uint32_t rank, struct planned_fault *out) {
  *out = (struct planned_fault){0};
  for (const char *p = script; p && *p;) {
    unsigned number;
    unsigned long long step;
    char word[16], after = ';';
    int length = 0;
    int n = sscanf(p, " rank=%u step=%llu %15[a-z-] %n%c", &number, &step, word, &length, &after);
    enum fault_kind kind = n >= 3 ? kind_of(word) : FAULT_NONE;
    if (!kind || after != ';')
      return fault_report(
          DIAG_E0618, NULL,
          "write \"rank=2 step=7 fail\", or oom, stall, kill, corrupt or corrupt-payload, and "
          "; between several",
          "the fault script says '%s'", p);
    if (number == rank)
      *out = (struct planned_fault){kind, step};
    p += length + (p[length] == ';');
  }
  return STATUS_OK;
}
