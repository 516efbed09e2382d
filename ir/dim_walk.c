/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over a dim: evaluation, substitution, text, the flat table. The limit on the written-out
 * size bounds them all. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "ir/dim_internal.h"

uint32_t dim_size(const struct dim_table *t, dim d) {
  return dim_valid(t, d) ? dim_node_of(t, d)->size : 0;
}

bool dim_uses_symbol(const struct dim_table *t, dim d, uint32_t symbol) {
  const struct dim_node *node = dim_node_of(t, d);
  bool found = false;
  switch (node->kind) {
  case NODE_NONE:
  case NODE_CONST:
  case NODE_COORD: return false;
  case NODE_SYMBOL: return node->count == symbol;
  case NODE_FLOORDIV:
  case NODE_MOD:
  case NODE_EXACTDIV:
    return dim_uses_symbol(t, node->pair[0], symbol) || dim_uses_symbol(t, node->pair[1], symbol);
  case NODE_MIN:
  case NODE_MAX:
    for (uint32_t i = 0; i < node->count && !found; i++) {
      found = dim_uses_symbol(t, node->operands[i], symbol);
    }
    return found;
  case NODE_POLY:
    for (uint32_t i = 0; i < node->count; i++) {
      const struct dim_mono *m = &t->monos[node->terms[i].mono];
      for (uint32_t k = 0; k < m->degree && !found; k++) {
        found = dim_uses_symbol(t, m->atoms[k], symbol);
      }
    }
    return found;
  }
  return false;
}

/* --- Evaluation --- */

struct values {
  const struct dim_table *t;
  const int64_t *symbols, *coords;
};

static bool eval(const struct values *v, dim d, int64_t *out);

static bool eval_pair(enum node_kind kind, int64_t x, int64_t y, int64_t *out) {
  if (y == 0) {
    *out = 0;
    return true;
  }
  if (kind == NODE_MOD) {
    *out = dim_floor_mod(x, y);
    return true;
  }
  return (kind == NODE_FLOORDIV || dim_floor_mod(x, y) == 0) && dim_floor(x, y, out);
}

/* A zero factor makes the product 0 even if the others overflow. */
static bool eval_term(const struct values *v, struct dim_term term, int64_t *out) {
  const struct dim_mono *m = &v->t->monos[term.mono];
  int64_t product = term.coef, factor;
  bool overflow = false, zero = false;
  for (uint32_t k = 0; k < m->degree; k++) {
    if (!eval(v, m->atoms[k], &factor)) {
      return false;
    }
    zero |= factor == 0;
    overflow |= __builtin_mul_overflow(product, factor, &product);
  }
  *out = zero ? 0 : product;
  return zero || !overflow;
}

static bool eval_terms(const struct values *v, const struct dim_node *node, int64_t *out) {
  __int128 sum = 0; /* so that terms may cancel; DIM_POLY_TERMS terms cannot overflow it */
  for (uint32_t i = 0; i < node->count; i++) {
    int64_t term;
    if (!eval_term(v, node->terms[i], &term)) {
      return false;
    }
    sum += term;
  }
  *out = (int64_t)sum;
  return sum >= INT64_MIN && sum <= INT64_MAX;
}

static bool eval(const struct values *v, dim d, int64_t *out) {
  const struct dim_node *node = dim_node_of(v->t, d);
  int64_t x, y;
  switch (node->kind) {
  case NODE_NONE: return false;
  case NODE_CONST: *out = node->value; return true;
  case NODE_SYMBOL:
  case NODE_COORD: {
    const int64_t *values = node->kind == NODE_SYMBOL ? v->symbols : v->coords;
    *out = values != NULL ? values[node->count] : 0;
    return values != NULL;
  }
  case NODE_FLOORDIV:
  case NODE_MOD:
  case NODE_EXACTDIV:
    return eval(v, node->pair[0], &x) && eval(v, node->pair[1], &y) &&
           eval_pair(node->kind, x, y, out);
  case NODE_MIN:
  case NODE_MAX:
    if (!eval(v, node->operands[0], &x)) {
      return false;
    }
    for (uint32_t i = 1; i < node->count; i++) {
      if (!eval(v, node->operands[i], &y)) {
        return false;
      }
      x = (node->kind == NODE_MAX) == (y > x) ? y : x;
    }
    *out = x;
    return true;
  case NODE_POLY: return eval_terms(v, node, out);
  }
  return false;
}

bool dim_eval_at(const struct dim_table *t, dim d, const int64_t *symbol_values,
                 const int64_t *coord_values, int64_t *out) {
  struct values v = {.t = t, .symbols = symbol_values, .coords = coord_values};
  int64_t value;
  if (!eval(&v, d, &value)) {
    return false;
  }
  *out = value;
  return true;
}

bool dim_eval(const struct dim_table *t, dim d, const int64_t *symbol_values, int64_t *out) {
  return dim_eval_at(t, d, symbol_values, NULL, out);
}

/* --- Substitution --- */

struct bindings {
  struct dim_table *t;
  const dim *symbols, *coords;
};

static dim substitute(const struct bindings *s, dim d);

static dim substitute_terms(const struct bindings *s, const struct dim_term *terms, uint32_t n) {
  dim sum = dim_const(s->t, 0);
  for (uint32_t i = 0; i < n; i++) {
    const dim *atoms = s->t->monos[terms[i].mono].atoms;
    uint32_t degree = s->t->monos[terms[i].mono].degree;
    dim product = dim_const(s->t, terms[i].coef);
    for (uint32_t k = 0; k < degree; k++) {
      product = dim_mul(s->t, product, substitute(s, atoms[k]));
    }
    sum = dim_add(s->t, sum, product);
  }
  return sum;
}

static dim substitute(const struct bindings *s, dim d) {
  const struct dim_node node = *dim_node_of(s->t, d);
  dim result = DIM_NONE;
  switch (node.kind) {
  case NODE_NONE:
  case NODE_CONST: return d;
  case NODE_SYMBOL:
  case NODE_COORD: {
    const dim *by = node.kind == NODE_SYMBOL ? s->symbols : s->coords;
    return by != NULL && by[node.count] != DIM_NONE ? by[node.count] : d;
  }
  case NODE_FLOORDIV:
    return dim_floordiv(s->t, substitute(s, node.pair[0]), substitute(s, node.pair[1]));
  case NODE_MOD: return dim_mod(s->t, substitute(s, node.pair[0]), substitute(s, node.pair[1]));
  case NODE_EXACTDIV:
    return dim_exactdiv(s->t, substitute(s, node.pair[0]), substitute(s, node.pair[1]));
  case NODE_MIN:
  case NODE_MAX:
    result = substitute(s, node.operands[0]);
    for (uint32_t i = 1; i < node.count; i++) {
      dim next = substitute(s, node.operands[i]);
      result = node.kind == NODE_MIN ? dim_min(s->t, result, next) : dim_max(s->t, result, next);
    }
    return result;
  case NODE_POLY: return substitute_terms(s, node.terms, node.count);
  }
  return DIM_NONE;
}

dim dim_substitute_at(struct dim_table *t, dim d, const dim *by_symbol, const dim *by_coord) {
  struct bindings s = {.t = t, .symbols = by_symbol, .coords = by_coord};
  return substitute(&s, d);
}

dim dim_substitute(struct dim_table *t, dim d, const dim *by_symbol) {
  return dim_substitute_at(t, d, by_symbol, NULL);
}

/* --- Text --- */

static bool is_plain_name(const char *name) {
  static const char *const words[] = {"floordiv", "mod", "min", "max", "exactdiv", "coord"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (strcmp(name, words[i]) == 0) {
      return false;
    }
  }
  const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
  return name[0] != '\0' && !(name[0] >= '0' && name[0] <= '9') &&
         name[strspn(name, letters)] == '\0';
}

void dim_print_name(const char *name, struct strbuf *out) {
  if (is_plain_name(name)) {
    strbuf_printf(out, "%s", name);
    return;
  }
  strbuf_append(out, "\"", 1);
  for (const char *p = name; *p != '\0'; p++) {
    if (*p == '"' || *p == '\\') {
      strbuf_printf(out, "\\%c", *p);
    } else if ((unsigned char)*p < 0x20 || *p == 0x7f) {
      strbuf_printf(out, "\\x%02X", (unsigned)(unsigned char)*p);
    } else {
      strbuf_append(out, p, 1);
    }
  }
  strbuf_append(out, "\"", 1);
}

/* As an operand of * floordiv mod: in parentheses unless it holds together by itself. */
static void print_tight(const struct dim_table *t, dim d, struct strbuf *out) {
  enum dim_kind kind = dim_kind(t, d);
  bool loose = kind == DIM_KIND_FLOORDIV || kind == DIM_KIND_MOD || kind == DIM_KIND_MUL;
  strbuf_printf(out, "%s", loose ? "(" : "");
  dim_print(t, d, out);
  strbuf_printf(out, "%s", loose ? ")" : "");
}

/* With a sign of its own where coef says so; -1 is spelled out as a factor. */
static void print_term(const struct dim_table *t, const char *sign, int64_t coef, mono m,
                       struct strbuf *out) {
  const struct dim_mono *product = &t->monos[m];
  const char *times = "";
  strbuf_printf(out, "%s", sign);
  if (coef != 1 || product->degree == 0) {
    strbuf_printf(out, "%" PRId64, coef);
    times = "*";
  }
  for (uint32_t k = 0; k < product->degree; k++) {
    strbuf_printf(out, "%s", times);
    print_tight(t, product->atoms[k], out);
    times = "*";
  }
}

static void print_terms(const struct dim_table *t, const struct dim_node *node,
                        struct strbuf *out) {
  strbuf_printf(out, "%s", node->count > 1 ? "(" : "");
  for (uint32_t i = 0; i < node->count; i++) {
    int64_t coef = node->terms[i].coef;
    bool minus = i > 0 && coef < 0 && coef != INT64_MIN;
    print_term(t,
               i == 0  ? ""
               : minus ? " - "
                       : " + ",
               minus ? -coef : coef, node->terms[i].mono, out);
  }
  strbuf_printf(out, "%s", node->count > 1 ? ")" : "");
}

static void print_call(const struct dim_table *t, const char *name, dim a, dim b,
                       struct strbuf *out) {
  strbuf_printf(out, "%s(", name);
  dim_print(t, a, out);
  strbuf_printf(out, ", ");
  dim_print(t, b, out);
  strbuf_printf(out, ")");
}

/* max(max(a, b), c) */
static void print_extremum(const struct dim_table *t, const struct dim_node *node,
                           struct strbuf *out) {
  for (uint32_t i = 1; i < node->count; i++) {
    strbuf_printf(out, "%s", node->kind == NODE_MIN ? "min(" : "max(");
  }
  dim_print(t, node->operands[0], out);
  for (uint32_t i = 1; i < node->count; i++) {
    strbuf_printf(out, ", ");
    dim_print(t, node->operands[i], out);
    strbuf_printf(out, ")");
  }
}

void dim_print(const struct dim_table *t, dim d, struct strbuf *out) {
  const struct dim_node *node = dim_node_of(t, d);
  switch (node->kind) {
  case NODE_NONE: strbuf_printf(out, "?"); break;
  case NODE_CONST: strbuf_printf(out, "%" PRId64, node->value); break;
  case NODE_SYMBOL: dim_print_name(node->name, out); break;
  case NODE_COORD:
    strbuf_printf(out, "coord(");
    dim_print_name(node->name, out);
    strbuf_printf(out, ")");
    break;
  case NODE_FLOORDIV:
  case NODE_MOD:
    print_tight(t, node->pair[0], out);
    strbuf_printf(out, node->kind == NODE_MOD ? " mod " : " floordiv ");
    print_tight(t, node->pair[1], out);
    break;
  case NODE_EXACTDIV: print_call(t, "exactdiv", node->pair[0], node->pair[1], out); break;
  case NODE_MIN:
  case NODE_MAX: print_extremum(t, node, out); break;
  case NODE_POLY: print_terms(t, node, out); break;
  }
}

/* --- Flat table --- */

struct flattening {
  struct dim_table *t;
  uint32_t *row_of; /* by dim; UINT32_MAX: none yet */
  uint32_t cap;
  uint32_t rows;
  dim_row_fn emit;
  void *user;
};

static uint32_t *row_slot(struct flattening *f, dim d) {
  if (d >= f->cap) {
    uint32_t cap = f->t->node_len + 64;
    f->row_of = mem_realloc(f->row_of, cap * sizeof *f->row_of);
    memset(f->row_of + f->cap, 0xff, (cap - f->cap) * sizeof *f->row_of);
    f->cap = cap;
  }
  return &f->row_of[d];
}

static uint32_t flatten(struct flattening *f, dim d) {
  uint32_t row = *row_slot(f, d);
  if (row != UINT32_MAX || !dim_valid(f->t, d)) {
    return row;
  }
  const struct dim_node node = *dim_node_of(f->t, d);
  struct dim_row content = {.kind = dim_kind(f->t, d)};
  dim a, b;
  if (node.kind == NODE_CONST) {
    content.value = node.value;
  } else if (node.kind == NODE_SYMBOL || node.kind == NODE_COORD) {
    content.value = node.kind == NODE_COORD ? node.hi + 1 : 0;
    content.leaf = node.count;
    content.name = node.name;
  } else if (dim_operands(f->t, d, &a, &b)) {
    content.lhs = flatten(f, a);
    content.rhs = flatten(f, b);
  }
  row = f->rows++;
  *row_slot(f, d) = row;
  f->emit(f->user, row, &content);
  return row;
}

uint32_t dim_flatten(struct dim_table *t, const dim *dims, size_t n, dim_row_fn emit, void *user,
                     uint32_t *out_rows) {
  struct flattening f = {.t = t, .emit = emit, .user = user};
  for (size_t i = 0; i < n; i++) {
    out_rows[i] = dim_valid(t, dims[i]) ? flatten(&f, dims[i]) : UINT32_MAX;
  }
  mem_free(f.row_of);
  return f.rows;
}
