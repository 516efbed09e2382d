/* SPDX-License-Identifier: Apache-2.0 */
/* Roles of ports; see phase_roles.h. */
#include "passes/phases/phase_roles.h"

#include <string.h>

static const struct {
  enum phase_role role;
  const char *name;
} role_names[] = {
#define ROLE(role, name) {PHASE_##role, name},
#define CACHE(past, present)
#include "passes/phases/phase_role.def"
#undef ROLE
#undef CACHE
};

static const struct {
  const char *past, *present;
} cache_names[] = {
#define ROLE(role, name)
#define CACHE(past, present) {past, present},
#include "passes/phases/phase_role.def"
#undef ROLE
#undef CACHE
};

static bool refuse(struct strbuf *why, const char *text) {
  strbuf_append_c(why, text);
  return false;
}

/* ---- names ---- */

static uint32_t find_name(const char *const *names, uint32_t n, const char *name, size_t len) {
  for (uint32_t i = 0; i < n; i++)
    if (strlen(names[i]) == len && !memcmp(names[i], name, len))
      return i;
  return PORT_NONE;
}

static uint32_t find_output(const struct entry *e, const char *name, size_t len) {
  return find_name(e->output_names.data, e->output_names.len, name, len);
}

static uint32_t find_port(const struct entry *e, enum phase_role role, const char *name,
                          size_t len) {
  return role == PHASE_LOGITS ? find_output(e, name, len)
                              : find_name(e->input_names.data, e->input_names.len, name, len);
}

static void roles_by_name(const struct entry *e, struct phase_roles *r) {
  for (size_t i = 0; i < sizeof role_names / sizeof *role_names; i++) {
    uint32_t *port = &r->port[role_names[i].role];
    if (*port == PORT_NONE)
      *port = find_port(e, role_names[i].role, role_names[i].name, strlen(role_names[i].name));
  }
}

/* The output that a cache input goes out as. */
static uint32_t present_of(const struct entry *e, const char *past) {
  struct strbuf name = {0};
  uint32_t found = PORT_NONE;
  for (size_t i = 0; i < sizeof cache_names / sizeof *cache_names && found == PORT_NONE; i++) {
    const char *at = strstr(past, cache_names[i].past);
    if (!at)
      continue;
    strbuf_clear(&name);
    strbuf_append(&name, past, (size_t)(at - past));
    strbuf_append_c(&name, cache_names[i].present);
    strbuf_append_c(&name, at + strlen(cache_names[i].past));
    found = find_output(e, strbuf_c(&name), name.len);
  }
  strbuf_deinit(&name);
  return found;
}

static void states_by_name(const struct entry *e, struct phase_roles *r) {
  for (uint32_t i = 0; i < e->input_names.len; i++) {
    uint32_t present = present_of(e, e->input_names.data[i]);
    if (present != PORT_NONE)
      vec_push(&r->states, ((struct phase_state){.past = i, .present = present}));
  }
}

/* ---- what was asked for ---- */

static bool ask_state(const struct entry *e, const char *value, size_t len, struct phase_roles *r) {
  const char *colon = memchr(value, ':', len);
  if (!colon)
    return false;
  size_t n = (size_t)(colon - value);
  struct phase_state s = {.past = find_name(e->input_names.data, e->input_names.len, value, n),
                          .present = find_output(e, colon + 1, len - n - 1)};
  vec_push(&r->states, s);
  return s.past != PORT_NONE && s.present != PORT_NONE;
}

static bool ask_one(const struct entry *e, const char *text, size_t len, struct phase_roles *r) {
  static const char *const kinds[PHASE_ROLES] = {"tokens", "mask", "positions", "logits"};
  const char *equal = memchr(text, '=', len);
  if (!equal)
    return false;
  size_t n = (size_t)(equal - text);
  const char *value = equal + 1;
  if (n == 5 && !memcmp(text, "state", 5))
    return ask_state(e, value, len - n - 1, r);
  for (uint32_t k = 0; k < PHASE_ROLES; k++) {
    if (strlen(kinds[k]) != n || memcmp(text, kinds[k], n))
      continue;
    r->port[k] = find_port(e, (enum phase_role)k, value, len - n - 1);
    return r->port[k] != PORT_NONE;
  }
  return false;
}

static bool ask_all(const struct entry *e, const char *asked, struct phase_roles *r,
                    struct strbuf *why) {
  while (asked && *asked) {
    size_t n = strcspn(asked, ",");
    if (!ask_one(e, asked, n, r)) {
      strbuf_printf(why, "'%.*s' is no role, or names no input or output", (int)n, asked);
      return false;
    }
    asked += n + (asked[n] == ',');
  }
  return true;
}

/* ---- types ---- */

static const struct type *input_type(const struct function *f, uint32_t i) {
  return value_type(f, f->regions.data[0].params.data[i]);
}

static bool is_counting(enum dtype dtype) { return dtype == DTYPE_I64 || dtype == DTYPE_I32; }

/* The dim of the past's rows: the one symbol that is neither batch nor sequence. */
static bool find_rows(const struct function *f, struct phase_roles *r, struct phase_state *s) {
  const struct dim_table *t = f->module->dims;
  const struct type *type = input_type(f, s->past);
  uint32_t symbol, found = 0;
  for (uint32_t d = 1; d < type->rank; d++) {
    if (!dim_symbol_of(t, type->dims[d], &symbol) || type->dims[d] == r->batch ||
        symbol == r->sequence)
      continue;
    bool same = r->past == symbol;
    if (r->past != PORT_NONE && !same)
      continue;
    if (r->past == PORT_NONE)
      r->past = symbol;
    s->axis = d;
    found++;
  }
  return found == 1 && type->dims[0] == r->batch && !dtype_is_sub_byte(type->dtype);
}

static bool check_types(const struct function *f, struct phase_roles *r, struct strbuf *why) {
  const struct dim_table *t = f->module->dims;
  const struct type *tokens = input_type(f, r->port[PHASE_TOKENS]);
  if (tokens->rank != 2 || !is_counting(tokens->dtype) ||
      !dim_symbol_of(t, tokens->dims[1], &r->sequence))
    return refuse(why, "the tokens are not integers of a dynamic length");
  r->batch = tokens->dims[0];
  for (uint32_t i = 0; i < r->states.len; i++) {
    if (!find_rows(f, r, &r->states.data[i]))
      return refuse(why, "a cache has not the tokens' batch first, and one dynamic number of rows");
  }
  uint32_t mask = r->port[PHASE_MASK], positions = r->port[PHASE_POSITIONS];
  if (mask != PORT_NONE &&
      (input_type(f, mask)->rank != 2 || input_type(f, mask)->dims[0] != r->batch))
    r->port[PHASE_MASK] = PORT_NONE;
  else if (mask != PORT_NONE)
    r->total = input_type(f, mask)->dims[1];
  if (positions != PORT_NONE &&
      (input_type(f, positions)->rank != 2 || !is_counting(input_type(f, positions)->dtype) ||
       input_type(f, positions)->dims[0] != r->batch ||
       input_type(f, positions)->dims[1] != tokens->dims[1]))
    r->port[PHASE_POSITIONS] = PORT_NONE;
  return true;
}

bool phase_roles_find(const struct entry *e, const struct function *f, const char *asked,
                      struct phase_roles *out, struct strbuf *why, bool *out_wrong) {
  *out = (struct phase_roles){.sequence = PORT_NONE, .past = PORT_NONE, .total = DIM_NONE};
  for (uint32_t k = 0; k < PHASE_ROLES; k++)
    out->port[k] = PORT_NONE;
  *out_wrong = !ask_all(e, asked, out, why);
  if (*out_wrong)
    return false;
  if (!out->states.len)
    states_by_name(e, out);
  if (!out->states.len)
    return refuse(why, "it has no caches");
  roles_by_name(e, out);
  if (out->port[PHASE_TOKENS] == PORT_NONE || out->port[PHASE_LOGITS] == PORT_NONE)
    return refuse(why, "it has no tokens, or no logits");
  return check_types(f, out, why);
}

void phase_roles_deinit(struct phase_roles *r) { vec_deinit(&r->states); }
