/* SPDX-License-Identifier: Apache-2.0 */
/* Interned strings: the same bytes give the same pointer and the same id, until intern_deinit.
 * Ids count from 0 in the order of first use, so they are deterministic. Not thread safe. */
#ifndef SINTER_BASE_INTERN_H
#define SINTER_BASE_INTERN_H

#include "base/arena.h"
#include "base/map.h"
#include "base/vec.h"

#include <stddef.h>
#include <stdint.h>

struct intern {
  struct strmap ids;
  VEC(struct str) strings;
};

void intern_init(struct intern *t);
void intern_deinit(struct intern *t);
/* NUL-terminated; owned by the table. */
const char *intern_str(struct intern *t, const char *p, size_t n);
const char *intern_c(struct intern *t, const char *s);
uint32_t intern_id(struct intern *t, const char *p, size_t n);
/* The string of an id that this table gave out. */
struct str intern_get(const struct intern *t, uint32_t id);

#endif
