/* SPDX-License-Identifier: Apache-2.0 */
/* Workloads: see workload.h. */
#include "passes/partition/workload.h"

#include <stdlib.h>
#include <string.h>

#define MOST_USUAL 4096
#define LONGEST_NAME 64

struct reader {
  const struct module *m;
  struct arena *arena;
  struct diags *d;
  uint32_t n_symbols;
  bool *used; /* by symbol: by the function at hand */
  status st;
};

static bool str_has(const char *text, const char *piece) { return strstr(text, piece) != NULL; }

/* ---- symbols ---- */

static void note_symbols(void *user, dim d) {
  struct reader *r = user;
  for (uint32_t s = 0; s < r->n_symbols; s++)
    r->used[s] |= d != DIM_NONE && dim_uses_symbol(r->m->dims, d, s);
}

/* What a symbol is where nobody says: at most its upper bound; else usual for its kind. */
static int64_t usual_value(const struct dim_table *t, uint32_t s, bool decode) {
  const char *name = dim_symbol_name(t, s);
  int64_t lo = dim_symbol_lo(t, s), hi = dim_symbol_hi(t, s), x = 1;
  if (str_has(name, "batch"))
    x = 1;
  else if (str_has(name, "past"))
    x = decode ? 2048 : 0;
  else if (str_has(name, "seq") || str_has(name, "token"))
    x = decode && !str_has(name, "total") ? 1 : 2048;
  else if (str_has(name, "capacity"))
    x = 2048;
  else if (hi <= MOST_USUAL)
    x = hi;
  x = x > hi ? hi : x;
  return x < lo ? lo : x;
}

/* The symbol of a key: its name, or the only one that begins so. `past` of a decoder with states is
 * what their rows are for. SYMBOL_NONE or SYMBOL_SEVERAL. */
#define SYMBOL_NONE UINT32_MAX
#define SYMBOL_SEVERAL (UINT32_MAX - 1)
static uint32_t symbol_of_key(const struct reader *r, struct str key) {
  uint32_t found = SYMBOL_NONE;
  for (uint32_t s = 0; s < r->n_symbols; s++) {
    struct str name = str_from_c(dim_symbol_name(r->m->dims, s));
    if (!r->used[s] || !str_starts(name, key))
      continue;
    if (name.len == key.len)
      return s;
    found = found == SYMBOL_NONE ? s : SYMBOL_SEVERAL;
  }
  if (found == SYMBOL_NONE && str_eq_c(key, "past"))
    return symbol_of_key(r, STR("capacity"));
  return found;
}

/* Symbols that a check ties to others: total == past + sequence. */
static void follow_checks(const struct reader *r, const struct function *f, const bool *given,
                          int64_t *symbols) {
  for (uint32_t i = 1; i < f->ops.len; i++) {
    const struct op *op = function_op(f, i);
    if (op->kind != OP_CHECK)
      continue;
    const struct check_attrs *a = OP_ATTRS(check, op);
    if (a->relation != RELATION_EQ && a->relation != RELATION_BROADCAST)
      continue;
    for (uint32_t side = 0; side < 2; side++) {
      uint32_t s;
      int64_t x;
      dim of = side ? a->rhs : a->lhs, by = side ? a->lhs : a->rhs;
      if (dim_symbol_of(r->m->dims, of, &s) && !given[s] && !dim_uses_symbol(r->m->dims, by, s) &&
          dim_eval(r->m->dims, by, symbols, &x) && x >= dim_symbol_lo(r->m->dims, s) &&
          x <= dim_symbol_hi(r->m->dims, s))
        symbols[s] = x;
    }
  }
}

/* ---- phases ---- */

static const struct function *function_of(const struct module *m, struct str name) {
  for (uint32_t i = 0; i < m->entries.len; i++) {
    const struct entry *e = &m->entries.data[i];
    if (str_eq_c(name, e->name) && e->variants.len)
      return vec_last(&e->variants).function;
  }
  for (uint32_t i = 0; i < m->functions.len; i++)
    if (str_eq_c(name, m->functions.data[i]->name))
      return m->functions.data[i];
  return NULL;
}

static void phase_fill(struct reader *r, bool decode, struct workload_phase *out) {
  out->weight = 1;
  memset(r->used, 0, r->n_symbols * sizeof *r->used);
  function_visit_dims(out->function, note_symbols, r);
  int64_t *symbols = ARENA_ARRAY(r->arena, int64_t, r->n_symbols);
  for (uint32_t s = 0; s < r->n_symbols; s++)
    symbols[s] = usual_value(r->m->dims, s, decode);
  out->symbols = symbols;
  out->given = ARENA_ARRAY(r->arena, bool, r->n_symbols);
}

static bool phase_begin(struct reader *r, struct str name, struct workload_phase *out) {
  const struct function *f = function_of(r->m, name);
  bool decode = str_eq_c(name, "decode");
  out->name = arena_strndup(r->arena, name.data, name.len);
  out->function = f ? f : function_of(r->m, STR("main"));
  if (!out->function && r->m->functions.len)
    out->function = r->m->functions.data[0];
  if (!out->function) {
    r->st = diag_report(r->d, DIAG_E0340, NULL, NULL, "the module has no function");
    return false;
  }
  phase_fill(r, decode, out);
  return true;
}

static void refuse(struct reader *r, const char *hint, const char *what, struct str text) {
  r->st = diag_report(r->d, DIAG_E0340, NULL, hint, "%s '%.*s'", what,
                      (int)(text.len > 60 ? 60 : text.len), text.data);
}

static bool parse_number(struct str text, double *out) {
  char room[32], *end;
  if (!text.len || text.len >= sizeof room || strspn(text.data, "0123456789.eE+-") < text.len)
    return false;
  memcpy(room, text.data, text.len);
  room[text.len] = 0;
  *out = strtod(room, &end);
  return !*end && *out > -1e15 && *out < 1e15;
}

static void set_symbol(struct reader *r, struct str key, double x, struct workload_phase *out) {
  uint32_t s = symbol_of_key(r, key);
  if (s == SYMBOL_SEVERAL || s == SYMBOL_NONE) {
    struct strbuf names = {0};
    strbuf_append_c(&names, "it has:");
    for (uint32_t i = 0; i < r->n_symbols; i++)
      if (r->used[i])
        strbuf_printf(&names, " %s", dim_symbol_name(r->m->dims, i));
    refuse(r, strbuf_c(&names),
           s == SYMBOL_NONE ? "the function has no symbol" : "several symbols begin with", key);
    strbuf_deinit(&names);
    return;
  }
  if (x != (double)(int64_t)x || (int64_t)x < dim_symbol_lo(r->m->dims, s) ||
      (int64_t)x > dim_symbol_hi(r->m->dims, s)) {
    refuse(r, NULL, "value outside of the symbol's bounds for", key);
    return;
  }
  if (out->given[s]) {
    refuse(r, NULL, "a size is there twice:", key);
    return;
  }
  ((int64_t *)out->symbols)[s] = (int64_t)x;
  ((bool *)out->given)[s] = true;
}

static void parse_key(struct reader *r, struct str text, struct workload_phase *out) {
  struct str rest = text, key = str_split(&rest, '=');
  double x;
  if (key.len == text.len || !parse_number(rest, &x)) {
    refuse(r, "write key=number", "not a key and a number:", text);
  } else if (str_eq_c(key, "weight")) {
    if (x > 0)
      out->weight = x;
    else
      refuse(r, NULL, "a weight must be above 0:", text);
  } else {
    set_symbol(r, key, x, out);
  }
}

static void parse_phase(struct reader *r, struct str text, struct workload *out) {
  struct str name = str_split(&text, ':');
  if (out->n_phases == WORKLOAD_MAX_PHASES) {
    refuse(r, NULL, "too many phases at", name);
    return;
  }
  for (uint32_t i = 0; i < out->n_phases; i++)
    if (str_eq_c(name, out->phases[i].name))
      refuse(r, NULL, "a phase is there twice:", name);
  if (name.len > LONGEST_NAME) {
    refuse(r, NULL, "the name of a phase is too long:", name);
    return;
  }
  if (!name.len) {
    refuse(r, "write prefill:batch=1,sequence=2048", "a phase has no name:", text);
    return;
  }
  struct workload_phase *phase = &out->phases[out->n_phases];
  if (!phase_begin(r, name, phase))
    return;
  out->n_phases++;
  while (text.len)
    parse_key(r, str_split(&text, ','), phase);
  follow_checks(r, phase->function, phase->given, (int64_t *)phase->symbols);
}

status workload_parse(const struct module *m, const char *text, struct arena *arena,
                      struct diags *d, struct workload *out) {
  struct reader r = {.m = m, .arena = arena, .d = d, .n_symbols = dim_symbol_count(m->dims)};
  r.used = ARENA_ARRAY(arena, bool, r.n_symbols);
  *out = (struct workload){0};
  bool phases = function_of(m, STR("prefill")) && function_of(m, STR("decode"));
  struct str rest = str_from_c(text ? text : phases ? "prefill;decode:weight=256" : "main");
  if (!rest.len)
    refuse(&r, NULL, "no phase in", rest);
  while (rest.len)
    parse_phase(&r, str_split(&rest, ';'), out);
  return r.st;
}

void workload_of_function(const struct module *m, const struct function *f, struct arena *arena,
                          struct workload_phase *out) {
  struct reader r = {.m = m, .arena = arena, .n_symbols = dim_symbol_count(m->dims)};
  r.used = ARENA_ARRAY(arena, bool, r.n_symbols);
  *out = (struct workload_phase){.name = f->name, .function = f};
  phase_fill(&r, false, out);
  follow_checks(&r, f, out->given, (int64_t *)out->symbols);
}

void workload_print(const struct module *m, const struct workload *w, struct strbuf *out) {
  struct reader r = {.m = m, .n_symbols = dim_symbol_count(m->dims)};
  struct arena scratch = {0};
  r.used = ARENA_ARRAY(&scratch, bool, r.n_symbols);
  for (uint32_t i = 0; i < w->n_phases; i++) {
    const struct workload_phase *p = &w->phases[i];
    char separator = ':';
    strbuf_printf(out, "%s%s", i ? ";" : "", p->name);
    memset(r.used, 0, r.n_symbols * sizeof *r.used);
    function_visit_dims(p->function, note_symbols, &r);
    for (uint32_t s = 0; s < r.n_symbols; s++) {
      if (!r.used[s])
        continue;
      strbuf_printf(out, "%c%s=%lld", separator, dim_symbol_name(m->dims, s),
                    (long long)p->symbols[s]);
      separator = ',';
    }
    if (p->weight != 1)
      strbuf_printf(out, "%cweight=%g", separator, p->weight);
  }
  arena_deinit(&scratch);
}
