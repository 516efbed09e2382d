/* SPDX-License-Identifier: Apache-2.0 */
/* SINTER_SIM_FAULT: `rank=R step=N kill|stall|corrupt|oom`, several behind semicolons. Ranks are
 * those of the world, steps count a rank's operations from 0. */
#include "sim/nccl/nccl_comm.h"

#include <stdlib.h>

enum fault_kind fault_at(uint32_t rank, uint64_t step) {
  static const struct {
    const char *word;
    enum fault_kind kind;
  } words[] = {
      {"kill", FAULT_KILL}, {"stall", FAULT_STALL}, {"corrupt", FAULT_CORRUPT}, {"oom", FAULT_OOM}};
  for (const char *at = getenv("SINTER_SIM_FAULT"); at && *at;) {
    unsigned r;
    unsigned long long n;
    char word[16] = "";
    if (sscanf(at, " rank=%u step=%llu %15[a-z]", &r, &n, word) != 3) {
      fprintf(stderr,
              "sim: error: SINTER_SIM_FAULT: '%s' is no 'rank=R step=N kill|stall|corrupt|oom'\n",
              at);
      return NO_FAULT;
    }
    for (uint32_t k = 0; k < sizeof words / sizeof *words; k++)
      if (r == rank && n == step && !strcmp(words[k].word, word))
        return words[k].kind;
    at = strchr(at, ';');
    at = at ? at + 1 : NULL;
  }
  return NO_FAULT;
}
