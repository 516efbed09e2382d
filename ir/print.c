/* SPDX-License-Identifier: Apache-2.0 */
/* The printer: modules, functions, ops. Attributes print by their descriptors. */
#include "base/str.h"
#include "ir/literal.h"
#include "ir/print_constant.h"
#include "ir/sharding.h"
#include "ir/symbols.h"
#include "ir/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct printer {
  const struct function *f;
  struct strbuf *out;
  struct arena scratch;
  uint32_t *numbers; /* per value without a name: its number + 1; 0: not in any region */
  uint32_t next;
};

/* ---- names ---- */

static bool is_bare(const char *name) {
  bool digits = true;
  if (!*name)
    return false;
  for (const char *p = name; *p; p++) {
    if (!isalnum((unsigned char)*p) && !strchr("_./-", *p))
      return false;
    digits &= isdigit((unsigned char)*p) != 0;
  }
  return !digits;
}

void text_print_name(char sigil, const char *name, struct strbuf *out) {
  strbuf_char(out, sigil);
  if (is_bare(name))
    strbuf_append_c(out, name);
  else
    literal_print_string(name, out);
}

static void print_value(struct printer *p, value_id v) {
  if (v == VALUE_NONE || v >= p->f->values.len)
    strbuf_append_c(p->out, "%?");
  else if (p->f->values.data[v].name)
    text_print_name('%', p->f->values.data[v].name, p->out);
  else if (p->numbers[v])
    strbuf_printf(p->out, "%%%u", p->numbers[v] - 1);
  else
    strbuf_printf(p->out, "%%?%u", v);
}

static void print_values(struct printer *p, const value_id *values, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    if (i)
      strbuf_append_c(p->out, ", ");
    print_value(p, values[i]);
  }
}

static void number_value(struct printer *p, value_id v) {
  if (v < p->f->values.len && !p->f->values.data[v].name && !p->numbers[v])
    p->numbers[v] = ++p->next;
}

/* In the order of the text: an op's regions stand before the next op, but after its results. */
static void number_region(struct printer *p, region_id id) {
  const struct region *r = &p->f->regions.data[id];
  for (uint32_t i = 0; i < r->params.len; i++)
    number_value(p, r->params.data[i]);
  for (uint32_t i = 0; i < r->ops.len; i++) {
    const struct op *op = &p->f->ops.data[r->ops.data[i]];
    for (uint32_t k = 0; k < op->n_results; k++)
      number_value(p, op->results[k]);
    for (uint32_t k = 0; k < op->n_regions; k++)
      number_region(p, op->regions[k]);
  }
}

/* ---- attributes ---- */

static void print_dims(const struct module *m, const struct dims *dims, struct strbuf *out) {
  strbuf_char(out, '[');
  for (uint32_t i = 0; i < dims->len; i++) {
    if (i)
      strbuf_append_c(out, ", ");
    dim_print(m->dims, dims->data[i], out);
  }
  strbuf_char(out, ']');
}

static void print_ints(const struct ints *ints, struct strbuf *out) {
  strbuf_char(out, '[');
  for (uint32_t i = 0; i < ints->len; i++)
    strbuf_printf(out, "%s%" PRId64, i ? ", " : "", ints->data[i]);
  strbuf_char(out, ']');
}

static void print_types(const struct module *m, const struct type *types, uint32_t n,
                        struct strbuf *out) {
  for (uint32_t i = 0; i < n; i++) {
    if (i)
      strbuf_append_c(out, ", ");
    type_print(m, &types[i], out);
  }
}

/* Whether the value is what the parser takes where nothing is written. */
static bool attr_is_default(enum attr_kind kind, const void *p) {
  static const char zero[sizeof(double)];
  switch (kind) {
  case ATTR_INT:
  case ATTR_FLOAT: return !memcmp(p, zero, 8);
  case ATTR_BOOL: return !*(const bool *)p;
  case ATTR_INTS: return ((const struct ints *)p)->len == 0;
  case ATTR_DIM: return *(const dim *)p == DIM_NONE;
  case ATTR_DIMS: return ((const struct dims *)p)->len == 0;
  case ATTR_STRING: return !*(const char *const *)p;
  case ATTR_TYPE: return !*(const struct type *const *)p;
  case ATTR_TYPES: return ((const struct types *)p)->len == 0;
  case ATTR_PARTIAL: return *(const enum partial_kind *)p == PARTIAL_NONE;
  default: return false;
  }
}

static void print_attr_value(const struct module *m, enum attr_kind kind, const void *p,
                             struct strbuf *out) {
  switch (kind) {
  case ATTR_INT: strbuf_printf(out, "%" PRId64, *(const int64_t *)p); break;
  case ATTR_FLOAT: literal_print_f64(*(const double *)p, false, out); break;
  case ATTR_BOOL: strbuf_append_c(out, *(const bool *)p ? "true" : "false"); break;
  case ATTR_INTS: print_ints(p, out); break;
  case ATTR_DIM: dim_print(m->dims, *(const dim *)p, out); break;
  case ATTR_DIMS: print_dims(m, p, out); break;
  case ATTR_DTYPE: strbuf_append_c(out, dtype_name(*(const enum dtype *)p)); break;
  case ATTR_TYPE: type_print(m, *(const struct type *const *)p, out); break;
  case ATTR_TYPES:
    strbuf_char(out, '[');
    print_types(m, ((const struct types *)p)->data, ((const struct types *)p)->len, out);
    strbuf_char(out, ']');
    break;
  case ATTR_STRING: literal_print_string(*(const char *const *)p, out); break;
  case ATTR_COMBINER:
    strbuf_append_c(out, keyword_text(KEYWORD_KIND_combiner, *(const int *)p));
    break;
  case ATTR_RELATION:
    strbuf_append_c(out, keyword_text(KEYWORD_KIND_relation, *(const int *)p));
    break;
  case ATTR_OUT_OF_RANGE:
    strbuf_append_c(out, keyword_text(KEYWORD_KIND_out_of_range, *(const int *)p));
    break;
  case ATTR_RANDOM_KIND:
    strbuf_append_c(out, keyword_text(KEYWORD_KIND_random_kind, *(const int *)p));
    break;
  case ATTR_ROOT:
    strbuf_append_c(out, keyword_text(KEYWORD_KIND_root_kind, *(const int *)p));
    break;
  case ATTR_PARTIAL:
    strbuf_append_c(out, keyword_text(KEYWORD_KIND_partial_kind, *(const int *)p));
    break;
  case ATTR_HOST_OP:
    strbuf_append_c(out, keyword_text(KEYWORD_KIND_host_op, *(const int *)p));
    break;
  case ATTR_EXCHANGE:
    strbuf_append_c(out, keyword_text(KEYWORD_KIND_exchange_kind, *(const int *)p));
    break;
  case ATTR_CONSTANT: {
    constant_id c = *(const constant_id *)p;
    text_print_name('@', c && c < m->constants.len ? m->constants.data[c].name : "?", out);
    break;
  }
  case ATTR_BODY: scalar_body_print(*(const struct scalar_body *const *)p, out); break;
  }
}

/* A constant and a body have places of their own before the braces; spelled-out result types stand
 * where all result types do. */
static bool attr_in_braces(const struct op_info *info, const struct attr_desc *d) {
  bool types = d->kind == ATTR_TYPE || d->kind == ATTR_TYPES;
  return d->kind != ATTR_CONSTANT && d->kind != ATTR_BODY &&
         !(types && (info->flags & OP_FLAG_EXPLICIT));
}

static void print_attrs(const struct module *m, const struct op *op, struct strbuf *out) {
  const struct op_info *info = &op_infos[op->kind];
  bool open = false;
  for (const struct attr_desc *d = info->attrs; d->name; d++) {
    const void *p = (const char *)op->attrs + d->offset;
    if (d->kind == ATTR_CONSTANT) {
      strbuf_char(out, ' ');
      print_attr_value(m, d->kind, p, out);
    } else if (d->kind == ATTR_BODY) {
      strbuf_append_c(out, " { ");
      print_attr_value(m, d->kind, p, out);
      strbuf_append_c(out, " }");
    }
  }
  for (const struct attr_desc *d = info->attrs; d->name; d++) {
    const void *p = (const char *)op->attrs + d->offset;
    if (!attr_in_braces(info, d) || attr_is_default(d->kind, p))
      continue;
    strbuf_printf(out, "%s%s = ", open ? ", " : " { ", d->name);
    print_attr_value(m, d->kind, p, out);
    open = true;
  }
  if (open)
    strbuf_append_c(out, " }");
}

/* ---- ops and regions ---- */

static void indent(struct printer *p, uint32_t depth) {
  for (uint32_t i = 0; i < depth; i++)
    strbuf_append_c(p->out, "  ");
}

static void print_params(struct printer *p, const struct region *r) {
  strbuf_char(p->out, '(');
  for (uint32_t i = 0; i < r->params.len; i++) {
    if (i)
      strbuf_append_c(p->out, ", ");
    print_value(p, r->params.data[i]);
    strbuf_append_c(p->out, ": ");
    type_print(p->f->module, value_type(p->f, r->params.data[i]), p->out);
  }
  strbuf_char(p->out, ')');
}

static void print_region(struct printer *p, region_id id, const char *end, uint32_t depth);

static void print_loc(struct printer *p, uint32_t provenance) {
  const struct module *m = p->f->module;
  if (provenance == 0 || provenance >= m->provenance.len)
    return;
  const struct provenance *from = &m->provenance.data[provenance];
  strbuf_append_c(p->out, " loc(");
  literal_print_string(from->node, p->out);
  strbuf_append_c(p->out, ", ");
  literal_print_string(from->op, p->out);
  strbuf_printf(p->out, ", %" PRId32 ")", from->index);
}

static void print_op(struct printer *p, const struct op *op, uint32_t depth) {
  indent(p, depth);
  print_values(p, op->results, op->n_results);
  if (op->n_results)
    strbuf_append_c(p->out, " = ");
  strbuf_append_c(p->out, op_infos[op->kind].name);
  if (op->n_operands)
    strbuf_char(p->out, ' ');
  print_values(p, op->operands, op->n_operands);
  print_attrs(p->f->module, op, p->out);
  for (uint32_t i = 0; i < op->n_regions; i++) {
    const struct region *r = &p->f->regions.data[op->regions[i]];
    strbuf_append_c(p->out, " region ");
    if (r->params.len) {
      print_params(p, r);
      strbuf_char(p->out, ' ');
    }
    print_region(p, op->regions[i], "yield", depth);
  }
  for (uint32_t i = 0; i < op->n_results; i++) {
    strbuf_append_c(p->out, i ? ", " : " : ");
    type_print(p->f->module, value_type(p->f, op->results[i]), p->out);
  }
  print_loc(p, op->provenance);
  strbuf_char(p->out, '\n');
}

static void print_region(struct printer *p, region_id id, const char *end, uint32_t depth) {
  const struct region *r = &p->f->regions.data[id];
  strbuf_append_c(p->out, "{\n");
  for (uint32_t i = 0; i < r->ops.len; i++)
    print_op(p, &p->f->ops.data[r->ops.data[i]], depth + 1);
  indent(p, depth + 1);
  strbuf_append_c(p->out, end);
  if (r->results.len)
    strbuf_char(p->out, ' ');
  print_values(p, r->results.data, r->results.len);
  strbuf_char(p->out, '\n');
  indent(p, depth);
  strbuf_char(p->out, '}');
}

/* ---- conditions ---- */

struct symbol_list {
  struct symbol_sets sets;
  bool *seen; /* per symbol */
  VEC(const char *) names;
};

static void list_symbols(void *user, dim d) {
  struct symbol_list *list = user;
  const uint32_t *symbols;
  uint32_t n = symbols_of(&list->sets, d, &symbols);
  for (uint32_t i = 0; i < n; i++) {
    if (list->seen[symbols[i]])
      continue;
    list->seen[symbols[i]] = true;
    const char *name = dim_symbol_name(list->sets.dims, symbols[i]);
    if (dim_symbol_lo(list->sets.dims, symbols[i]) != DIM_UNBOUNDED_LO ||
        dim_symbol_hi(list->sets.dims, symbols[i]) != DIM_UNBOUNDED_HI)
      vec_push(&list->names, name);
  }
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_bounds(struct dim_table *t, const char *name, struct strbuf *out) {
  /* Asking for the symbol without bounds narrows nothing. */
  dim d = dim_symbol(t, name, DIM_UNBOUNDED_LO, DIM_UNBOUNDED_HI);
  uint32_t symbol = 0;
  dim_symbol_of(t, d, &symbol);
  dim_print_name(name, out);
  strbuf_append_c(out, " in ");
  if (dim_symbol_lo(t, symbol) != DIM_UNBOUNDED_LO)
    strbuf_printf(out, "%" PRId64, dim_symbol_lo(t, symbol));
  strbuf_append_c(out, "..");
  if (dim_symbol_hi(t, symbol) != DIM_UNBOUNDED_HI)
    strbuf_printf(out, "%" PRId64, dim_symbol_hi(t, symbol));
}

static void print_guard(struct dim_table *t, const struct guard *g, struct strbuf *out) {
  static const char *const signs[] = {
      [RELATION_EQ] = "==", [RELATION_LE] = "<=", [RELATION_LT] = "<"};
  dim_print(t, g->lhs, out);
  strbuf_printf(out, " %s ",
                g->relation <= RELATION_LT ? signs[g->relation]
                                           : keyword_text(KEYWORD_KIND_relation, (int)g->relation));
  dim_print(t, g->rhs, out);
}

static void print_where(const struct function *f, struct strbuf *out) {
  struct symbol_list list = {0};
  struct arena scratch = {0};
  const char *lead = " where ";
  symbol_sets_init(&list.sets, f->module->dims);
  list.seen = ARENA_ARRAY(&scratch, bool, dim_symbol_count(f->module->dims));
  function_visit_dims(f, list_symbols, &list);
  if (list.names.len)
    qsort(list.names.data, list.names.len, sizeof *list.names.data, by_name);
  for (uint32_t i = 0; i < list.names.len; i++, lead = ", ") {
    strbuf_append_c(out, lead);
    print_bounds(f->module->dims, list.names.data[i], out);
  }
  for (uint32_t i = 0; i < f->where.len; i++, lead = ", ") {
    strbuf_append_c(out, lead);
    print_guard(f->module->dims, &f->where.data[i], out);
  }
  symbol_sets_deinit(&list.sets);
  vec_deinit(&list.names);
  arena_deinit(&scratch);
}

/* ---- functions and modules ---- */

void function_print(const struct function *f, struct strbuf *out) {
  struct printer p = {.f = f, .out = out};
  p.numbers = ARENA_ARRAY(&p.scratch, uint32_t, f->values.len);
  number_region(&p, 0);
  const struct region *body = &f->regions.data[0];
  strbuf_append_c(out, "func ");
  text_print_name('@', f->name, out);
  print_params(&p, body);
  strbuf_append_c(out, " -> (");
  for (uint32_t i = 0; i < body->results.len; i++) {
    if (i)
      strbuf_append_c(out, ", ");
    type_print(f->module, value_type(f, body->results.data[i]), out);
  }
  strbuf_char(out, ')');
  print_where(f, out);
  strbuf_char(out, ' ');
  print_region(&p, 0, "return", 0);
  strbuf_char(out, '\n');
  arena_deinit(&p.scratch);
}

static void print_mesh(const struct module *m, uint32_t id, struct strbuf *out) {
  const struct mesh *mesh = m->meshes.data[id];
  strbuf_printf(out, "mesh @m%u [", id);
  for (uint32_t i = 0; i < mesh->n_axes; i++) {
    if (i)
      strbuf_append_c(out, ", ");
    dim_print_name(mesh->axes[i].name, out);
    strbuf_printf(out, "=%" PRId64, mesh->axes[i].size);
  }
  strbuf_append_c(out, "]\n");
}

static void print_strings(const char *const *strings, uint32_t n, struct strbuf *out) {
  strbuf_char(out, '(');
  for (uint32_t i = 0; i < n; i++) {
    if (i)
      strbuf_append_c(out, ", ");
    literal_print_string(strings[i], out);
  }
  strbuf_char(out, ')');
}

/* state ("length", "count") ("past") -> ("present") */
static void print_states(const struct entry *e, struct strbuf *out) {
  const char *counts[2] = {e->length ? e->input_names.data[e->length - 1] : NULL,
                           e->count ? e->input_names.data[e->count - 1] : NULL};
  VEC(const char *) names[2] = {{0}, {0}};
  if (!e->states.len)
    return;
  for (uint32_t i = 0; i < e->states.len; i++) {
    vec_push(&names[0], e->input_names.data[e->states.data[i].input]);
    vec_push(&names[1], e->output_names.data[e->states.data[i].output]);
  }
  strbuf_append_c(out, " state ");
  print_strings(counts, 1 + (e->count != 0), out);
  strbuf_char(out, ' ');
  print_strings(names[0].data, names[0].len, out);
  strbuf_append_c(out, " -> ");
  print_strings(names[1].data, names[1].len, out);
  vec_deinit(&names[0]);
  vec_deinit(&names[1]);
}

static void print_entry(const struct module *m, const struct entry *e, struct strbuf *out) {
  strbuf_append_c(out, "entry ");
  text_print_name('@', e->name, out);
  print_strings(e->input_names.data, e->input_names.len, out);
  strbuf_append_c(out, " -> ");
  print_strings(e->output_names.data, e->output_names.len, out);
  print_states(e, out);
  strbuf_append_c(out, " {");
  for (uint32_t i = 0; i < e->variants.len; i++) {
    const struct entry_variant *v = &e->variants.data[i];
    strbuf_char(out, ' ');
    text_print_name('@', v->function->name, out);
    for (uint32_t k = 0; k < v->guards.len; k++) {
      strbuf_append_c(out, k ? ", " : " where ");
      print_guard(m->dims, &v->guards.data[k], out);
    }
    strbuf_char(out, ';');
  }
  strbuf_append_c(out, " }\n");
}

void module_print(const struct module *m, struct strbuf *out) {
  for (uint32_t i = 0; i < m->meshes.len; i++)
    print_mesh(m, i, out);
  for (uint32_t i = 1; i < m->constants.len; i++)
    constant_print(m, &m->constants.data[i], out);
  for (uint32_t i = 0; i < m->functions.len; i++)
    function_print(m->functions.data[i], out);
  for (uint32_t i = 0; i < m->entries.len; i++)
    print_entry(m, &m->entries.data[i], out);
}
