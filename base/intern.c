/* SPDX-License-Identifier: Apache-2.0 */
/* Interning over strmap, which already owns a copy of each key. */
#include "base/intern.h"

#include <assert.h>
#include <string.h>

void intern_init(struct intern *t) {
  *t = (struct intern){0};
  strmap_init(&t->ids);
}

void intern_deinit(struct intern *t) {
  strmap_deinit(&t->ids);
  vec_deinit(&t->strings);
}

uint32_t intern_id(struct intern *t, const char *p, size_t n) {
  uint64_t id;
  if (strmap_get(&t->ids, p, n, &id))
    return (uint32_t)id;
  /* Room first: the two tables must agree even if memory runs out between them. */
  vec_reserve(&t->strings, (uint64_t)t->strings.len + 1);
  const char *key = strmap_put(&t->ids, p, n, t->strings.len);
  vec_push(&t->strings, ((struct str){key, n}));
  return t->strings.len - 1;
}

const char *intern_str(struct intern *t, const char *p, size_t n) {
  uint32_t id = intern_id(t, p, n); /* first: it may move strings.data */
  return t->strings.data[id].data;
}

const char *intern_c(struct intern *t, const char *s) { return intern_str(t, s, strlen(s)); }

struct str intern_get(const struct intern *t, uint32_t id) {
  assert(id < t->strings.len);
  return t->strings.data[id];
}
