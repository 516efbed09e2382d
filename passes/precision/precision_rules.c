/* SPDX-License-Identifier: Apache-2.0 */
/* --precision's value; see precision_rules.h. */
#include "passes/precision/precision_rules.h"

#include <fnmatch.h>
#include <string.h>

static const struct {
  const char *name;
  enum dtype dtype;
} precisions[] = {
    [PRECISION_F32] = {"f32", DTYPE_F32},
    [PRECISION_TF32] = {"tf32", DTYPE_F32},
    [PRECISION_F16] = {"f16", DTYPE_F16},
    [PRECISION_BF16] = {"bf16", DTYPE_BF16},
};

const char *precision_name(enum precision p) { return precisions[p].name; }

enum dtype precision_dtype(enum precision p) { return precisions[p].dtype; }

enum precision precision_of_dtype(enum dtype t) {
  return t == DTYPE_F16 ? PRECISION_F16 : t == DTYPE_BF16 ? PRECISION_BF16 : PRECISION_F32;
}

static bool find_precision(struct str name, enum precision *out) {
  for (int i = 0; i < PRECISION_COUNT; i++) {
    if (str_eq_c(name, precisions[i].name)) {
      *out = (enum precision)i;
      return true;
    }
  }
  return false;
}

static status refuse(struct diags *diags, struct str item, const char *why) {
  return diag_report(diags, DIAG_E0360, NULL,
                     "f32, tf32, f16 or bf16, then PATTERN=PRECISION for nodes or operators, as "
                     "in bf16,/layers.0/*=f32",
                     "precision '%.*s': %s", STR_ARG(item), why);
}

/* The pattern before the last `=`; false where there is none. */
static bool split_item(struct str item, struct str *out_pattern, struct str *out_value) {
  size_t at = item.len;
  while (at && item.data[at - 1] != '=')
    at--;
  *out_pattern = (struct str){item.data, at ? at - 1 : 0};
  *out_value = (struct str){item.data + at, item.len - at};
  return at > 0;
}

static status add_item(struct precision_rules *r, struct str item, bool *have_default,
                       struct diags *diags) {
  struct str pattern, value;
  struct precision_rule rule;
  bool has_pattern = split_item(item, &pattern, &value);
  if (!item.len)
    return refuse(diags, item, "nothing between commas");
  if (has_pattern && !pattern.len)
    return refuse(diags, item, "a pattern is missing");
  if (!find_precision(value, &rule.to))
    return refuse(diags, item, "no such precision");
  if (!has_pattern && *have_default)
    return refuse(diags, item, "a second one for all nodes");
  if (!has_pattern) {
    r->otherwise = rule.to;
    *have_default = true;
    return STATUS_OK;
  }
  rule.pattern = arena_printf(&r->arena, "%.*s", STR_ARG(pattern));
  vec_push(&r->rules, rule);
  return STATUS_OK;
}

status precision_rules_parse(const char *text, struct diags *diags, struct precision_rules *out) {
  struct str rest = str_from_c(text);
  bool have_default = false, more = true;
  status st = STATUS_OK;
  *out = (struct precision_rules){.otherwise = PRECISION_F32};
  while (more) {
    const char *comma = rest.len ? memchr(rest.data, ',', rest.len) : NULL;
    more = comma != NULL; /* "f16," has an empty item behind it */
    status here = add_item(out, str_split(&rest, ','), &have_default, diags);
    st = st != STATUS_OK ? st : here;
  }
  return st;
}

void precision_rules_deinit(struct precision_rules *r) {
  vec_deinit(&r->rules);
  arena_deinit(&r->arena);
}

static bool fits(const struct precision_rule *rule, const struct provenance *node) {
  return (node->node && !fnmatch(rule->pattern, node->node, 0)) ||
         (node->op && !fnmatch(rule->pattern, node->op, 0));
}

enum precision precision_of_node(const struct precision_rules *r, const struct provenance *node,
                                 bool *out_named) {
  for (uint32_t i = r->rules.len; i-- > 0;) {
    if (!fits(&r->rules.data[i], node))
      continue;
    if (out_named)
      *out_named = true;
    return r->rules.data[i].to;
  }
  if (out_named)
    *out_named = false;
  return r->otherwise;
}

void precision_rules_check(const struct precision_rules *r, const struct module *m,
                           struct diags *diags) {
  for (uint32_t i = 0; i < r->rules.len; i++) {
    bool used = false;
    for (uint32_t k = 1; k < m->provenance.len && !used; k++)
      used = fits(&r->rules.data[i], &m->provenance.data[k]);
    if (!used)
      diag_report(diags, DIAG_W0360, NULL, "a pattern fits names of nodes, or operators",
                  "precision '%s=%s' fits no node of the model", r->rules.data[i].pattern,
                  precision_name(r->rules.data[i].to));
  }
}
