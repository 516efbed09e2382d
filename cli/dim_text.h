/* SPDX-License-Identifier: Apache-2.0 */
/* Dims as an engine words them ("batch", "(past + 1)"), evaluated over the names that are known. */
#ifndef SINTER_CLI_DIM_TEXT_H
#define SINTER_CLI_DIM_TEXT_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

struct dim_name {
  const char *name;
  int64_t value;
  struct dim_name *next;
};
struct dim_names {
  struct arena *arena;
  struct dim_name *first;
};

/* The first value bound to a name stays. */
void dim_names_bind(struct dim_names *names, const char *name, int64_t value);

/* Whether the text is one name, not an expression or a number. */
bool dim_text_is_name(const char *text);
/* False if a name in it is not bound, the result overflows, or the text was cut. */
bool dim_text_evaluate(const char *text, const struct dim_names *names, int64_t *out);

#endif
