/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded variants of entries; see entry_variant.h. */
#include "passes/entry_variant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "passes/substitute.h"

/* ---- adding one ---- */

/* Relations that the inputs satisfy anyway now are dropped. */
static void substitute_where(struct function *f, uint32_t symbol, dim with) {
  struct dim_table *t = f->module->dims;
  dim *by_symbol = ARENA_ARRAY(&f->module->arena, dim, dim_symbol_count(t));
  by_symbol[symbol] = with;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < f->where.len; i++) {
    struct guard g = f->where.data[i];
    dim lhs = dim_substitute(t, g.lhs, by_symbol), rhs = dim_substitute(t, g.rhs, by_symbol);
    if (lhs != DIM_NONE && rhs != DIM_NONE)
      g = (struct guard){lhs, g.relation, rhs};
    if (!relation_known(t, g.lhs, g.relation, g.rhs))
      f->where.data[kept++] = g;
  }
  f->where.len = kept;
}

static void adopt(struct function *f, const struct guard *g) {
  struct dim_table *t = f->module->dims;
  uint32_t symbol;
  dim with = g->rhs;
  if (g->relation != RELATION_EQ)
    return;
  if (!dim_symbol_of(t, g->lhs, &symbol)) {
    if (!dim_symbol_of(t, g->rhs, &symbol))
      return;
    with = g->lhs;
  }
  if (!dim_uses_symbol(t, with, symbol) && function_substitute(f, symbol, with, OP_ID_NONE))
    substitute_where(f, symbol, with);
}

struct function *entry_variant_add(struct module *m, struct entry *e, uint32_t at,
                                   const struct guard *guards, uint32_t n, struct diags *diags) {
  struct entry_variant v = {.function = function_clone(e->variants.data[at].function, diags)};
  if (!v.function)
    return NULL;
  vec_append(&v.guards, e->variants.data[at].guards.data, e->variants.data[at].guards.len);
  vec_append(&v.guards, guards, n);
  vec_push(&e->variants, v);
  memmove(e->variants.data + at + 1, e->variants.data + at,
          (e->variants.len - 1 - at) * sizeof *e->variants.data);
  e->variants.data[at] = v;
  for (uint32_t i = 0; i < n; i++)
    adopt(v.function, &guards[i]);
  (void)m;
  return v.function;
}

/* ---- options ---- */

static status refuse(struct diags *diags, const char *text, const char *why) {
  return diag_report(diags, DIAG_E0322, NULL, "write symbol=value, as in batch=1,sequence=128",
                     "cannot specialise for '%s': %s", text, why);
}

static bool find_symbol(const struct dim_table *t, struct str name, uint32_t *out) {
  for (uint32_t i = 0; i < dim_symbol_count(t); i++) {
    const char *have = dim_symbol_name(t, i);
    if (strlen(have) == name.len && !memcmp(have, name.data, name.len)) {
      *out = i;
      return true;
    }
  }
  return false;
}

static bool parse_value(struct str text, int64_t *out) {
  char digits[24], *end;
  if (text.len == 0 || text.len >= sizeof digits || text.data[0] < '0' || text.data[0] > '9')
    return false;
  memcpy(digits, text.data, text.len);
  digits[text.len] = 0;
  errno = 0;
  long long x = strtoll(digits, &end, 10);
  *out = x;
  return !*end && !errno;
}

#define MAX_SYMBOLS 16

struct wish {
  struct guard guards[MAX_SYMBOLS];
  uint32_t symbols[MAX_SYMBOLS];
  uint32_t n;
};

static status parse_wish(struct dim_table *t, const char *text, struct diags *diags,
                         struct wish *out) {
  struct str rest = str_from_c(text);
  *out = (struct wish){0};
  while (rest.len) {
    struct str value = str_split(&rest, ','), name = str_split(&value, '=');
    uint32_t symbol;
    int64_t number;
    if (!parse_value(value, &number) || out->n == MAX_SYMBOLS)
      return refuse(diags, text, "that is not a list of sizes");
    if (!find_symbol(t, name, &symbol))
      return refuse(diags, text, "the model has no such symbol");
    if (number < dim_symbol_lo(t, symbol) || number > dim_symbol_hi(t, symbol))
      return refuse(diags, text, "the value is outside of the symbol's bounds");
    out->symbols[out->n] = symbol;
    out->guards[out->n++] =
        (struct guard){dim_symbol_dim(t, symbol), RELATION_EQ, dim_const(t, number)};
  }
  return out->n ? STATUS_OK : refuse(diags, text, "it is empty");
}

/* Whether an input of f has the symbol as a dim of its own, which is what binds it. */
static bool binds(const struct function *f, uint32_t symbol) {
  const struct region *body = &f->regions.data[0];
  for (uint32_t i = 0; i < body->params.len; i++) {
    const struct type *type = value_type(f, body->params.data[i]);
    for (uint32_t d = 0; d < type->rank; d++) {
      uint32_t found;
      if (dim_symbol_of(f->module->dims, type->dims[d], &found) && found == symbol)
        return true;
    }
  }
  return false;
}

static bool binds_all(const struct function *f, const struct wish *wish) {
  for (uint32_t i = 0; i < wish->n; i++) {
    if (!binds(f, wish->symbols[i]))
      return false;
  }
  return true;
}

static status specialize(struct module *m, const char *text, struct diags *diags) {
  struct wish wish;
  bool any = false;
  status st = parse_wish(m->dims, text, diags, &wish);
  for (uint32_t i = 0; i < m->entries.len && st == STATUS_OK; i++) {
    struct entry *e = &m->entries.data[i];
    uint32_t last = e->variants.len - 1;
    if (!e->variants.len || !binds_all(e->variants.data[last].function, &wish))
      continue;
    if (last + 2 > ENTRY_MAX_VARIANTS)
      return refuse(diags, text, "the entry has too many variants");
    any = true;
    if (!entry_variant_add(m, e, last, wish.guards, wish.n, diags))
      st = STATUS_INTERNAL;
  }
  return st || any ? st : refuse(diags, text, "no input has such a dim of its own");
}

status entry_specialize(struct module *m, const char *const *texts, uint32_t n,
                        struct diags *diags) {
  status st = STATUS_OK;
  for (uint32_t i = 0; i < n && st == STATUS_OK; i++)
    st = specialize(m, texts[i], diags);
  return st;
}
