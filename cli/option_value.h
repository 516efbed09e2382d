/* SPDX-License-Identifier: Apache-2.0 */
/* Values with units, as the command line takes them, and words that were nearly right. */
#ifndef SINTER_CLI_OPTION_VALUE_H
#define SINTER_CLI_OPTION_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The whole text must be one value; false and *out untouched otherwise. */
bool value_count(const char *text, uint64_t *out);    /* "12" */
bool value_real(const char *text, double *out);       /* "1e-3"; finite and >= 0 */
bool value_duration(const char *text, double *out_s); /* "5s" "200ms" "10us" "1.5min" "2h" */
bool value_size(const char *text,
                uint64_t *out_bytes); /* "4096B" "2GiB" "10MB"; KiB to TiB, KB to TB */

/* How many letters must be changed, added, left out or exchanged with their neighbour. */
uint32_t value_distance(const char *a, const char *b);

/* Keeps the candidate nearest to what was written; one far off is never taken. */
struct near_miss {
  const char *wanted;
  const char *best; /* NULL: none is near */
  uint32_t distance;
};
void near_miss_consider(struct near_miss *n, const char *candidate);

#endif
