/* SPDX-License-Identifier: Apache-2.0 */
/* Monomials and polynomials over atoms: the arithmetic under the dim constructors. */
#include <string.h>

#include "ir/dim_internal.h"

mono dim_mono_mul(struct dim_table *t, mono a, mono b) {
  if (a == MONO_NONE || b == MONO_NONE) {
    return MONO_NONE;
  }
  if (a == MONO_ONE || b == MONO_ONE) {
    return a == MONO_ONE ? b : a;
  }
  const struct dim_mono *x = &t->monos[a], *y = &t->monos[b];
  if (x->degree + y->degree > DIM_MONO_DEGREE) {
    return MONO_NONE;
  }
  dim atoms[DIM_MONO_DEGREE];
  uint32_t n = 0, i = 0, j = 0;
  while (i < x->degree && j < y->degree) {
    atoms[n++] = dim_compare(t, x->atoms[i], y->atoms[j]) <= 0 ? x->atoms[i++] : y->atoms[j++];
  }
  while (i < x->degree) {
    atoms[n++] = x->atoms[i++];
  }
  while (j < y->degree) {
    atoms[n++] = y->atoms[j++];
  }
  return dim_intern_mono(t, atoms, n);
}

bool dim_mono_div(struct dim_table *t, mono a, mono b, mono *out) {
  const struct dim_mono *x = &t->monos[a], *y = &t->monos[b];
  dim atoms[DIM_MONO_DEGREE];
  uint32_t n = 0, j = 0;
  for (uint32_t i = 0; i < x->degree; i++) {
    if (j < y->degree && x->atoms[i] == y->atoms[j]) {
      j++;
    } else {
      atoms[n++] = x->atoms[i];
    }
  }
  if (j < y->degree) {
    return false;
  }
  *out = dim_intern_mono(t, atoms, n);
  return true;
}

void dim_poly_init(struct poly *p) {
  p->n = 0;
  p->bad = false;
}

void dim_poly_copy(struct poly *to, const struct poly *from) {
  to->n = from->n;
  to->bad = from->bad;
  memcpy(to->terms, from->terms, from->n * sizeof from->terms[0]);
}

void dim_poly_load(const struct dim_table *t, dim d, struct poly *out) {
  const struct dim_node *node = dim_node_of(t, d);
  dim_poly_init(out);
  switch (node->kind) {
  case NODE_NONE: out->bad = true; return;
  case NODE_CONST:
    if (node->value != 0) {
      out->terms[out->n++] = (struct dim_term){.coef = node->value, .mono = MONO_ONE};
    }
    return;
  case NODE_POLY:
    out->n = node->count;
    memcpy(out->terms, node->terms, node->count * sizeof *node->terms);
    return;
  default: out->terms[out->n++] = (struct dim_term){.coef = 1, .mono = node->self}; return;
  }
}

void dim_poly_remove(struct poly *p, uint32_t i) {
  memmove(&p->terms[i], &p->terms[i + 1], (p->n - i - 1) * sizeof p->terms[0]);
  p->n--;
}

void dim_poly_add_term(struct dim_table *t, struct poly *p, int64_t coef, mono m) {
  if (p->bad || m == MONO_NONE) {
    p->bad = true;
    return;
  }
  if (coef == 0) {
    return;
  }
  uint32_t lo = 0, hi = p->n;
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    int order = dim_mono_compare(t, p->terms[mid].mono, m);
    if (order == 0) {
      p->bad = __builtin_add_overflow(p->terms[mid].coef, coef, &p->terms[mid].coef);
      if (!p->bad && p->terms[mid].coef == 0) {
        dim_poly_remove(p, mid);
      }
      return;
    }
    if (order < 0) {
      lo = mid + 1;
    } else {
      hi = mid;
    }
  }
  if (p->n == DIM_POLY_TERMS) {
    p->bad = true;
    return;
  }
  memmove(&p->terms[lo + 1], &p->terms[lo], (p->n - lo) * sizeof p->terms[0]);
  p->terms[lo] = (struct dim_term){.coef = coef, .mono = m};
  p->n++;
}

void dim_poly_add_scaled(struct dim_table *t, struct poly *p, int64_t coef, mono m,
                         const struct poly *x) {
  p->bad |= x->bad;
  for (uint32_t i = 0; i < x->n && !p->bad; i++) {
    int64_t scaled;
    if (__builtin_mul_overflow(coef, x->terms[i].coef, &scaled)) {
      p->bad = true;
      return;
    }
    dim_poly_add_term(t, p, scaled, dim_mono_mul(t, m, x->terms[i].mono));
  }
}

void dim_poly_mul(struct dim_table *t, const struct poly *a, const struct poly *b,
                  struct poly *out) {
  dim_poly_init(out);
  /* A product this large would nearly always end past DIM_POLY_TERMS; do not pay for finding out.
   */
  out->bad = a->bad || b->bad || a->n * b->n > 16 * DIM_POLY_TERMS;
  for (uint32_t i = 0; i < a->n && !out->bad; i++) {
    dim_poly_add_scaled(t, out, a->terms[i].coef, a->terms[i].mono, b);
  }
}

bool dim_poly_is_const(const struct poly *p, int64_t *out) {
  if (p->bad || p->n > 1 || (p->n == 1 && p->terms[0].mono != MONO_ONE)) {
    return false;
  }
  *out = p->n == 0 ? 0 : p->terms[0].coef;
  return true;
}

dim dim_poly_finish(struct dim_table *t, const struct poly *p) {
  int64_t value;
  if (p->bad) {
    return DIM_NONE;
  }
  if (dim_poly_is_const(p, &value)) {
    return dim_const(t, value);
  }
  const struct dim_mono *first = &t->monos[p->terms[0].mono];
  if (p->n == 1 && p->terms[0].coef == 1 && first->degree == 1) {
    return first->atoms[0];
  }
  return dim_intern_terms(t, p->terms, p->n);
}

/* A dim that is one term, coef times mono; false for sums and for 0. */
static bool single_term(const struct dim_table *t, dim d, struct dim_term *out) {
  const struct dim_node *node = dim_node_of(t, d);
  if (node->kind == NODE_NONE || (node->kind == NODE_CONST && node->value == 0) ||
      (node->kind == NODE_POLY && node->count > 1)) {
    return false;
  }
  if (node->kind == NODE_POLY) {
    *out = node->terms[0];
  } else if (node->kind == NODE_CONST) {
    *out = (struct dim_term){.coef = node->value, .mono = MONO_ONE};
  } else {
    *out = (struct dim_term){.coef = 1, .mono = node->self};
  }
  return true;
}

static bool exact_quotient(int64_t a, int64_t b, int64_t *out) {
  return b != 0 && dim_floor(a, b, out) && dim_floor_mod(a, b) == 0;
}

/* k·exactdiv(x, y)·y·rest = k·x·rest, for y a single term. */
static bool cancel_exactdiv(struct dim_table *t, struct poly *p, uint32_t i) {
  struct dim_term term = p->terms[i];
  for (uint32_t k = 0; k < t->monos[term.mono].degree; k++) {
    const struct dim_node *atom = dim_node_of(t, t->monos[term.mono].atoms[k]);
    struct dim_term divisor;
    int64_t coef;
    mono rest;
    if (atom->kind != NODE_EXACTDIV || !single_term(t, atom->pair[1], &divisor) ||
        !exact_quotient(term.coef, divisor.coef, &coef)) {
      continue;
    }
    dim x = atom->pair[0];
    if (!dim_mono_div(t, term.mono, atom->self, &rest) ||
        !dim_mono_div(t, rest, divisor.mono, &rest)) {
      continue;
    }
    struct poly numerator;
    dim_poly_load(t, x, &numerator);
    dim_poly_remove(p, i);
    dim_poly_add_scaled(t, p, coef, rest, &numerator);
    return true;
  }
  return false;
}

/* k·y·(x floordiv y)·rest + k·(x mod y)·rest = k·x·rest, for y a single term. Needs y != 0: for y =
 * 0 the left is 0. */
static bool cancel_mod(struct dim_table *t, struct poly *p, uint32_t i) {
  struct dim_term term = p->terms[i];
  for (uint32_t k = 0; k < t->monos[term.mono].degree; k++) {
    const struct dim_node *atom = dim_node_of(t, t->monos[term.mono].atoms[k]);
    struct dim_term divisor;
    int64_t coef, lo, hi;
    mono rest, partner;
    if (atom->kind != NODE_MOD || !single_term(t, atom->pair[1], &divisor) ||
        __builtin_mul_overflow(term.coef, divisor.coef, &coef)) {
      continue;
    }
    dim x = atom->pair[0], y = atom->pair[1];
    mono self = atom->self;
    dim quotient = dim_find_pair(t, NODE_FLOORDIV, x, y);
    dim_bounds(t, y, &lo, &hi);
    if (quotient == DIM_NONE || (lo <= 0 && hi >= 0) || !dim_mono_div(t, term.mono, self, &rest)) {
      continue;
    }
    partner = dim_mono_mul(t, dim_mono_mul(t, rest, divisor.mono), dim_node_of(t, quotient)->self);
    for (uint32_t j = 0; j < p->n; j++) {
      if (p->terms[j].mono == partner && p->terms[j].coef == coef) {
        struct poly whole;
        dim_poly_load(t, x, &whole);
        dim_poly_remove(p, i > j ? i : j);
        dim_poly_remove(p, i > j ? j : i);
        dim_poly_add_scaled(t, p, term.coef, rest, &whole);
        return true;
      }
    }
  }
  return false;
}

void dim_poly_normalize(struct dim_table *t, struct poly *p) {
  for (uint32_t i = 0; i < p->n && !p->bad; i++) {
    const struct dim_mono *m = &t->monos[p->terms[i].mono];
    bool has_exactdiv = m->has_exactdiv, has_mod = m->has_mod;
    if ((has_exactdiv && cancel_exactdiv(t, p, i)) || (has_mod && cancel_mod(t, p, i))) {
      i = UINT32_MAX; /* a rewrite can enable others anywhere: start again */
    }
  }
}

/* Long division in the terms' graded order, which products respect; true only where nothing
 * remains. */
bool dim_poly_divide(struct dim_table *t, const struct poly *a, const struct poly *b,
                     struct poly *out_quotient) {
  dim_poly_init(out_quotient);
  if (a->bad || b->bad || b->n == 0) {
    return false;
  }
  struct poly rest;
  dim_poly_copy(&rest, a);
  while (rest.n > 0) {
    int64_t coef;
    mono m;
    if (!exact_quotient(rest.terms[0].coef, b->terms[0].coef, &coef) || coef == INT64_MIN ||
        !dim_mono_div(t, rest.terms[0].mono, b->terms[0].mono, &m)) {
      return false;
    }
    dim_poly_add_term(t, out_quotient, coef, m);
    dim_poly_add_scaled(t, &rest, -coef, m, b);
    if (rest.bad || out_quotient->bad) {
      return false;
    }
  }
  return true;
}
