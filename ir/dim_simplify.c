/* SPDX-License-Identifier: Apache-2.0 */
/* The dim constructors: each brings its result to normal form.
 *
 * A new atom is interned only when no rule applies to its operands, and every sub-sum and
 * sub-product of a normal form is itself normal; so rebuilding an expression from its parts changes
 * nothing. Rules keep to that: they look at the operands and the bounds of symbols only, and they
 * end in another constructor call on something smaller. */
#include <string.h>

#include "ir/dim_internal.h"

static dim finish(struct dim_table *t, struct poly *p) {
  dim_poly_normalize(t, p);
  return dim_poly_finish(t, p);
}

static dim add_scaled(struct dim_table *t, dim a, int64_t k, dim b) {
  struct poly x, y;
  dim_poly_load(t, a, &x);
  dim_poly_load(t, b, &y);
  dim_poly_add_scaled(t, &x, k, MONO_ONE, &y);
  return finish(t, &x);
}

static dim scale(struct dim_table *t, int64_t k, dim a) {
  return add_scaled(t, dim_const(t, 0), k, a);
}

dim dim_add(struct dim_table *t, dim a, dim b) { return add_scaled(t, a, 1, b); }

dim dim_sub(struct dim_table *t, dim a, dim b) {
  return a == b && dim_valid(t, a) ? dim_const(t, 0) : add_scaled(t, a, -1, b);
}

dim dim_neg(struct dim_table *t, dim a) { return scale(t, -1, a); }

/* k·exactdiv(x, y)·rest times y, for a sum y that would otherwise be spread over the terms.
 * DIM_NONE: not that form. */
static dim mul_cancels(struct dim_table *t, dim a, dim y) {
  struct poly p;
  dim_poly_load(t, a, &p);
  if (p.bad || p.n != 1) {
    return DIM_NONE;
  }
  mono m = p.terms[0].mono, rest;
  for (uint32_t i = 0; i < t->monos[m].degree; i++) {
    const struct dim_node *atom = dim_node_of(t, t->monos[m].atoms[i]);
    dim x = atom->pair[0];
    if (atom->kind == NODE_EXACTDIV && atom->pair[1] == y &&
        dim_mono_div(t, m, atom->self, &rest)) {
      p.terms[0].mono = rest;
      return dim_mul(t, dim_poly_finish(t, &p), x);
    }
  }
  return DIM_NONE;
}

dim dim_mul(struct dim_table *t, dim a, dim b) {
  if (!dim_valid(t, a) || !dim_valid(t, b)) {
    return DIM_NONE;
  }
  struct poly x, y, product;
  dim cancelled = dim_node_of(t, b)->kind == NODE_POLY ? mul_cancels(t, a, b) : DIM_NONE;
  if (cancelled == DIM_NONE && dim_node_of(t, a)->kind == NODE_POLY) {
    cancelled = mul_cancels(t, b, a);
  }
  if (cancelled != DIM_NONE) {
    return cancelled;
  }
  dim_poly_load(t, a, &x);
  dim_poly_load(t, b, &y);
  dim_poly_mul(t, &x, &y, &product);
  return finish(t, &product);
}

dim dim_product(struct dim_table *t, const dim *dims, size_t n) {
  dim result = dim_const(t, 1);
  for (size_t i = 0; i < n; i++) {
    result = dim_mul(t, result, dims[i]);
  }
  return result;
}

/* a = b·quotient + rest, moving whole multiples of a single-term b out of every term. The constant
 * term's rest is in [0, |b|) for constant b; other coefficients keep their sign, so that -a
 * floordiv 2 stays as it is. */
static void split(struct dim_table *t, const struct poly *a, struct dim_term b,
                  struct poly *quotient, struct poly *rest) {
  dim_poly_init(quotient);
  dim_poly_init(rest);
  for (uint32_t i = 0; i < a->n; i++) {
    int64_t coef = a->terms[i].coef, q = 0, r = coef;
    mono m = a->terms[i].mono, over = m;
    if (b.mono == MONO_ONE && b.coef > 0) {
      r = m == MONO_ONE ? dim_floor_mod(coef, b.coef) : coef % b.coef;
      q = m == MONO_ONE ? coef / b.coef - (coef % b.coef < 0) : coef / b.coef;
    } else if (b.coef > 0 && coef % b.coef == 0 && dim_mono_div(t, m, b.mono, &over)) {
      r = 0;
      q = coef / b.coef;
    }
    dim_poly_add_term(t, quotient, q, over);
    dim_poly_add_term(t, rest, r, m);
  }
}

/* The greatest common factor of all terms of a and b; only atoms for which `positive` holds where
 * that is asked. */
static struct dim_term common_factor(struct dim_table *t, const struct poly *a,
                                     const struct poly *b, bool positive) {
  uint64_t g = 0;
  dim atoms[DIM_MONO_DEGREE];
  uint32_t n = 0;
  const struct poly *both[2] = {a, b};
  mono seed = a->n > 0 ? a->terms[0].mono : MONO_ONE;
  for (uint32_t i = 0; i < t->monos[seed].degree; i++) {
    dim atom = t->monos[seed].atoms[i];
    int64_t lo, hi;
    dim_bounds(t, atom, &lo, &hi);
    if (!positive || lo >= 1) {
      atoms[n++] = atom;
    }
  }
  for (uint32_t s = 0; s < 2; s++) {
    for (uint32_t i = 0; i < both[s]->n; i++) {
      const struct dim_mono *m = &t->monos[both[s]->terms[i].mono];
      uint32_t kept = 0;
      g = dim_gcd(both[s]->terms[i].coef, g);
      for (uint32_t k = 0, j = 0; k < n; k++) {
        while (j < m->degree && m->atoms[j] != atoms[k] &&
               dim_compare(t, m->atoms[j], atoms[k]) < 0) {
          j++;
        }
        if (j < m->degree && m->atoms[j] == atoms[k]) {
          atoms[kept++] = atoms[k];
          j++;
        }
      }
      n = kept;
    }
  }
  return (struct dim_term){.coef = g == 0 || g > INT64_MAX ? 1 : (int64_t)g,
                           .mono = dim_intern_mono(t, atoms, n)};
}

static dim divide_all(struct dim_table *t, const struct poly *a, struct dim_term factor) {
  struct poly out;
  dim_poly_init(&out);
  out.bad = a->bad;
  for (uint32_t i = 0; i < a->n; i++) {
    mono m = MONO_NONE;
    (void)dim_mono_div(t, a->terms[i].mono, factor.mono, &m);
    dim_poly_add_term(t, &out, a->terms[i].coef / factor.coef, m);
  }
  return finish(t, &out);
}

/* Finds g > 1 that divides c, and a = g·high + low with 0 <= low < g, high not constant. */
static bool partition(struct dim_table *t, const struct poly *a, int64_t c, int64_t *out_g,
                      struct poly *high, struct poly *low) {
  int64_t limit = INT64_MAX;
  for (;;) {
    int64_t g = 1, lo, hi;
    for (uint32_t i = 0; i < a->n; i++) {
      int64_t candidate = (int64_t)dim_gcd(a->terms[i].coef, (uint64_t)c);
      if (a->terms[i].mono != MONO_ONE && candidate > g && candidate < limit) {
        g = candidate;
      }
    }
    if (g == 1) {
      return false;
    }
    dim_poly_init(high);
    dim_poly_init(low);
    for (uint32_t i = 0; i < a->n; i++) {
      int64_t coef = a->terms[i].coef, r = coef % g;
      if (a->terms[i].mono == MONO_ONE) {
        r = dim_floor_mod(coef, g);
      } else if (r != 0) {
        r = coef;
      }
      dim_poly_add_term(t, high, (coef - r) / g, a->terms[i].mono);
      dim_poly_add_term(t, low, r, a->terms[i].mono);
    }
    dim_poly_bounds(t, low, &lo, &hi);
    if (lo >= 0 && hi < g) {
      *out_g = g;
      return true;
    }
    limit = g;
  }
}

/* The one value that a/c rounds down to all over a's bounds. */
static bool constant_quotient(struct dim_table *t, const struct poly *a, int64_t c, int64_t *out) {
  int64_t lo, hi, first, last;
  dim_poly_bounds(t, a, &lo, &hi);
  if (lo == DIM_UNBOUNDED_LO || hi == DIM_UNBOUNDED_HI || !dim_floor(lo, c, &first) ||
      !dim_floor(hi, c, &last)) {
    return false;
  }
  *out = first;
  return first == last;
}

/* (x floordiv y + k) floordiv c = (x + k·y) floordiv (y·c), for y >= 1, and k = 0 unless y is
 * constant. */
static dim merge_floordiv(struct dim_table *t, const struct poly *a, dim c) {
  const struct dim_term *first = &a->terms[0];
  if (a->n == 0 || a->n > 2 || first->coef != 1 || t->monos[first->mono].degree != 1 ||
      (a->n == 2 && a->terms[1].mono != MONO_ONE)) {
    return DIM_NONE;
  }
  const struct dim_node *inner = dim_node_of(t, t->monos[first->mono].atoms[0]);
  if (inner->kind != NODE_FLOORDIV) {
    return DIM_NONE;
  }
  dim x = inner->pair[0], y = inner->pair[1];
  if (!dim_known_positive(t, y) || (a->n == 2 && !dim_is_const(t, y, NULL))) {
    return DIM_NONE;
  }
  if (a->n == 2) {
    x = add_scaled(t, x, a->terms[1].coef, y);
  }
  dim divisor = dim_mul(t, y, c);
  return x == DIM_NONE || divisor == DIM_NONE ? DIM_NONE : dim_floordiv(t, x, divisor);
}

static dim intern_divided(struct dim_table *t, enum node_kind kind, dim a, dim b) {
  int64_t lo, hi;
  dim_pair_bounds(t, kind, a, b, &lo, &hi);
  return lo == hi ? dim_const(t, lo) : dim_intern_pair(t, kind, a, b);
}

static dim floordiv_const(struct dim_table *t, dim a, int64_t c) {
  struct poly p, quotient, rest, high, low;
  int64_t value, g;
  dim_poly_load(t, a, &p);
  if (p.bad) {
    return DIM_NONE;
  }
  split(t, &p, (struct dim_term){.coef = c, .mono = MONO_ONE}, &quotient, &rest);
  dim_poly_normalize(t, &quotient);
  dim_poly_normalize(t, &rest);
  dim inner, remainder = dim_poly_finish(t, &rest);
  if (constant_quotient(t, &rest, c, &value)) {
    inner = dim_const(t, value);
  } else if (remainder != a) {
    inner = floordiv_const(t, remainder, c);
  } else if (partition(t, &rest, c, &g, &high, &low)) {
    inner = floordiv_const(t, finish(t, &high), c / g);
  } else {
    inner = merge_floordiv(t, &rest, dim_const(t, c));
    if (inner == DIM_NONE) {
      inner = intern_divided(t, NODE_FLOORDIV, remainder, dim_const(t, c));
    }
  }
  return dim_add(t, dim_poly_finish(t, &quotient), inner);
}

/* Inside mod c, k·(x mod y) may be k·x where c divides k·y. */
static bool drop_inner_mod(struct dim_table *t, struct poly *p, int64_t c) {
  for (uint32_t i = 0; i < p->n; i++) {
    struct dim_term term = p->terms[i];
    int64_t y, product;
    if (t->monos[term.mono].degree != 1) {
      continue;
    }
    const struct dim_node *atom = dim_node_of(t, t->monos[term.mono].atoms[0]);
    if (atom->kind == NODE_MOD && dim_is_const(t, atom->pair[1], &y) && y != 0 &&
        !__builtin_mul_overflow(term.coef, y, &product) && product % c == 0) {
      struct poly x, changed;
      dim_poly_copy(&changed, p);
      dim_poly_load(t, atom->pair[0], &x);
      dim_poly_remove(&changed, i);
      dim_poly_add_scaled(t, &changed, term.coef, MONO_ONE, &x);
      if (!changed.bad) {
        dim_poly_copy(p, &changed);
        return true;
      }
    }
  }
  return false;
}

static dim mod_const(struct dim_table *t, dim a, int64_t c) {
  struct poly p, quotient, rest, high, low;
  int64_t value, g, back;
  dim_poly_load(t, a, &p);
  if (p.bad) {
    return DIM_NONE;
  }
  split(t, &p, (struct dim_term){.coef = c, .mono = MONO_ONE}, &quotient, &rest);
  dim_poly_normalize(t, &rest);
  dim remainder = dim_poly_finish(t, &rest);
  if (constant_quotient(t, &rest, c, &value) && !__builtin_mul_overflow(value, c, &back)) {
    return dim_sub(t, remainder, dim_const(t, back));
  }
  if (remainder != a) {
    return mod_const(t, remainder, c);
  }
  if (partition(t, &rest, c, &g, &high, &low)) {
    return add_scaled(t, finish(t, &low), g, mod_const(t, finish(t, &high), c / g));
  }
  if (drop_inner_mod(t, &rest, c)) {
    return mod_const(t, finish(t, &rest), c);
  }
  return intern_divided(t, NODE_MOD, a, dim_const(t, c));
}

static bool between_zero_and(struct dim_table *t, dim a, dim b) {
  return dim_known_le(t, dim_const(t, 0), a) && dim_known_lt(t, a, b);
}

/* floordiv and mod by something not constant. Every rule but the first needs a positive divisor. */
static dim divide_symbolic(struct dim_table *t, enum node_kind kind, dim a, dim b) {
  struct poly x, y, quotient, rest;
  bool is_mod = kind == NODE_MOD;
  dim_poly_load(t, a, &x);
  dim_poly_load(t, b, &y);
  if (x.bad || y.bad) {
    return DIM_NONE;
  }
  bool exact = dim_poly_divide(t, &x, &y, &quotient);
  if (x.n == 0 || (is_mod && exact)) {
    return dim_const(t, 0);
  }
  if (!dim_known_positive(t, b)) {
    return intern_divided(t, kind, a, b);
  }
  if (exact) {
    return finish(t, &quotient);
  }
  if (between_zero_and(t, a, b)) {
    return is_mod ? a : dim_const(t, 0);
  }
  if (y.n == 1) {
    split(t, &x, y.terms[0], &quotient, &rest);
    if (quotient.n > 0) {
      dim remainder = divide_symbolic(t, kind, finish(t, &rest), b);
      return is_mod ? remainder : dim_add(t, finish(t, &quotient), remainder);
    }
  }
  struct dim_term factor = common_factor(t, &x, &y, true);
  if (factor.coef != 1 || factor.mono != MONO_ONE) {
    dim over_a = divide_all(t, &x, factor), over_b = divide_all(t, &y, factor);
    struct poly one;
    dim_poly_init(&one);
    dim_poly_add_term(t, &one, factor.coef, factor.mono);
    return is_mod ? dim_mul(t, dim_poly_finish(t, &one), dim_mod(t, over_a, over_b))
                  : dim_floordiv(t, over_a, over_b);
  }
  dim merged = is_mod ? DIM_NONE : merge_floordiv(t, &x, b);
  return merged != DIM_NONE ? merged : intern_divided(t, kind, a, b);
}

dim dim_floordiv(struct dim_table *t, dim a, dim b) {
  int64_t c;
  if (!dim_valid(t, a) || !dim_valid(t, b)) {
    return DIM_NONE;
  }
  if (!dim_is_const(t, b, &c)) {
    return divide_symbolic(t, NODE_FLOORDIV, a, b);
  }
  if (c == 0) {
    return dim_const(t, 0);
  }
  if (c > 0) {
    return c == 1 ? a : floordiv_const(t, a, c);
  }
  dim negated = dim_neg(t, a);
  if (c == INT64_MIN || negated == DIM_NONE) {
    return intern_divided(t, NODE_FLOORDIV, a, b);
  }
  return dim_floordiv(t, negated, dim_const(t, -c));
}

dim dim_mod(struct dim_table *t, dim a, dim b) {
  int64_t c;
  if (!dim_valid(t, a) || !dim_valid(t, b)) {
    return DIM_NONE;
  }
  if (!dim_is_const(t, b, &c)) {
    return divide_symbolic(t, NODE_MOD, a, b);
  }
  if (c >= 0) {
    return c <= 1 ? dim_const(t, 0) : mod_const(t, a, c);
  }
  dim negated = dim_neg(t, a);
  if (c == INT64_MIN || negated == DIM_NONE) {
    return intern_divided(t, NODE_MOD, a, b);
  }
  return dim_neg(t, dim_mod(t, negated, dim_const(t, -c)));
}

dim dim_ceildiv(struct dim_table *t, dim a, dim b) {
  return dim_floordiv(t, dim_sub(t, dim_add(t, a, b), dim_const(t, 1)), b);
}

/* exactdiv(k·exactdiv(x, y)·rest, b) = exactdiv(k·rest·x, y·b). */
static dim merge_exactdiv(struct dim_table *t, const struct poly *a, dim b) {
  if (a->n != 1 || !t->monos[a->terms[0].mono].has_exactdiv) {
    return DIM_NONE;
  }
  struct poly others = {.n = 0, .bad = false};
  mono m = a->terms[0].mono, rest;
  for (uint32_t i = 0; i < t->monos[m].degree; i++) {
    const struct dim_node *atom = dim_node_of(t, t->monos[m].atoms[i]);
    dim x = atom->pair[0], y = atom->pair[1];
    if (atom->kind == NODE_EXACTDIV && dim_mono_div(t, m, atom->self, &rest)) {
      dim_poly_add_term(t, &others, a->terms[0].coef, rest);
      x = dim_mul(t, finish(t, &others), x);
      y = dim_mul(t, y, b);
      return x == DIM_NONE || y == DIM_NONE ? DIM_NONE : dim_exactdiv(t, x, y);
    }
  }
  return DIM_NONE;
}

/* Divides both by their common factor, and makes the divisor's first coefficient positive. True if
 * that did anything. */
static bool reduce_fraction(struct dim_table *t, dim *a, dim *b) {
  struct poly x, y;
  dim_poly_load(t, *a, &x);
  dim_poly_load(t, *b, &y);
  struct dim_term factor = common_factor(t, &x, &y, false);
  bool negative = y.terms[0].coef < 0;
  if (factor.coef == 1 && factor.mono == MONO_ONE && !negative) {
    return false;
  }
  dim over_a = divide_all(t, &x, factor), over_b = divide_all(t, &y, factor);
  if (negative) {
    over_a = dim_neg(t, over_a);
    over_b = dim_neg(t, over_b);
  }
  if (over_a == DIM_NONE || over_b == DIM_NONE) {
    return false;
  }
  *a = over_a;
  *b = over_b;
  return true;
}

dim dim_exactdiv(struct dim_table *t, dim a, dim b) {
  struct poly x, y, quotient, rest;
  if (!dim_valid(t, a) || !dim_valid(t, b)) {
    return DIM_NONE;
  }
  dim_poly_load(t, a, &x);
  dim_poly_load(t, b, &y);
  if (y.n == 0) {
    return b;
  }
  if (dim_poly_divide(t, &x, &y, &quotient)) {
    return finish(t, &quotient);
  }
  if (reduce_fraction(t, &a, &b)) {
    return dim_exactdiv(t, a, b);
  }
  if (y.n == 1) {
    split(t, &x, y.terms[0], &quotient, &rest);
    if (quotient.n > 0) {
      return dim_add(t, finish(t, &quotient), dim_exactdiv(t, finish(t, &rest), b));
    }
  }
  dim merged = merge_exactdiv(t, &x, b);
  return merged != DIM_NONE ? merged : dim_intern_pair(t, NODE_EXACTDIV, a, b);
}

/* An operand of the min or max being built, and which of the two arguments it came from, as bits.
 */
struct candidate {
  dim d;
  uint8_t from;
};

/* Appends d, or its operands if it is of that kind itself. */
static uint32_t spread(const struct dim_table *t, enum node_kind kind, dim d, uint8_t from,
                       struct candidate *list, uint32_t n) {
  const struct dim_node *node = dim_node_of(t, d);
  uint32_t count = node->kind == kind ? node->count : 1;
  for (uint32_t i = 0; i < count; i++) {
    list[n++] = (struct candidate){.d = node->kind == kind ? node->operands[i] : d, .from = from};
  }
  return n;
}

static uint32_t sort_candidates(const struct dim_table *t, struct candidate *list, uint32_t n) {
  uint32_t kept = 0;
  for (uint32_t i = 1; i < n; i++) {
    for (uint32_t j = i; j > 0 && dim_compare(t, list[j - 1].d, list[j].d) > 0; j--) {
      struct candidate swap = list[j];
      list[j] = list[j - 1];
      list[j - 1] = swap;
    }
  }
  for (uint32_t i = 0; i < n; i++) {
    if (kept > 0 && list[kept - 1].d == list[i].d) {
      list[kept - 1].from |= list[i].from;
    } else {
      list[kept++] = list[i];
    }
  }
  return kept;
}

/* Removes every operand that another one makes superfluous; of provably equal ones the first stays.
 * Operands of the same argument were compared when that was built. */
static uint32_t drop_dominated(struct dim_table *t, enum node_kind kind, struct candidate *list,
                               uint32_t n) {
  for (uint32_t i = n; i-- > 0;) {
    for (uint32_t j = 0; j < n; j++) {
      dim small = list[kind == NODE_MAX ? i : j].d, large = list[kind == NODE_MAX ? j : i].d;
      if (j != i && (list[i].from & list[j].from) == 0 && dim_known_le(t, small, large)) {
        memmove(list + i, list + i + 1, (n - i - 1) * sizeof *list);
        n--;
        break;
      }
    }
  }
  return n;
}

static dim extremum(struct dim_table *t, enum node_kind kind, dim a, dim b) {
  struct candidate list[2 * DIM_EXTREMUM_OPERANDS];
  dim operands[DIM_EXTREMUM_OPERANDS];
  if (!dim_valid(t, a) || !dim_valid(t, b)) {
    return DIM_NONE;
  }
  uint32_t n = spread(t, kind, b, 2, list, spread(t, kind, a, 1, list, 0));
  n = drop_dominated(t, kind, list, sort_candidates(t, list, n));
  if (n > DIM_EXTREMUM_OPERANDS) {
    return DIM_NONE;
  }
  for (uint32_t i = 0; i < n; i++) {
    operands[i] = list[i].d;
  }
  return n == 1 ? operands[0] : dim_intern_extremum(t, kind, operands, n);
}

dim dim_min(struct dim_table *t, dim a, dim b) { return extremum(t, NODE_MIN, a, b); }

dim dim_max(struct dim_table *t, dim a, dim b) { return extremum(t, NODE_MAX, a, b); }

dim dim_binary(struct dim_table *t, enum dim_kind kind, dim a, dim b) {
  switch (kind) {
  case DIM_KIND_ADD: return dim_add(t, a, b);
  case DIM_KIND_MUL: return dim_mul(t, a, b);
  case DIM_KIND_FLOORDIV: return dim_floordiv(t, a, b);
  case DIM_KIND_MOD: return dim_mod(t, a, b);
  case DIM_KIND_MIN: return dim_min(t, a, b);
  case DIM_KIND_MAX: return dim_max(t, a, b);
  case DIM_KIND_EXACTDIV: return dim_exactdiv(t, a, b);
  default: return DIM_NONE;
  }
}
