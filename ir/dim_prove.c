/* SPDX-License-Identifier: Apache-2.0 */
/* What is provable about dims: interval arithmetic, comparison by the sign of a difference,
 * divisibility.
 *
 * Intervals use INT64_MIN and INT64_MAX as infinities that stay infinite under addition. */
#include "ir/dim_internal.h"

#define INF INT64_MAX
#define NEG_INF INT64_MIN

struct interval {
  int64_t lo, hi;
};

/* How many rewrites one proof may try. */
#define PROOF_STEPS 24

/* Shifting symbols to start at 0 expands products; only small ones are worth it. */
#define SHIFT_TERMS 16
#define SHIFT_DEGREE 6

static int64_t saturate(__int128 x) { return x >= INF ? INF : x <= NEG_INF ? NEG_INF : (int64_t)x; }

/* An extreme on the wrong side is a number, not an infinity; stepping inside keeps the two apart.
 */
static struct interval settle(struct interval x) {
  x.lo = x.lo == INF ? INF - 1 : x.lo;
  x.hi = x.hi == NEG_INF ? NEG_INF + 1 : x.hi;
  return x;
}

static int64_t add_bound(int64_t a, int64_t b, int64_t infinity) {
  return a == infinity || b == infinity ? infinity : saturate((__int128)a + b);
}

static int64_t mul_bound(int64_t a, int64_t b) {
  if (a == 0 || b == 0) {
    return 0;
  }
  if (a == INF || a == NEG_INF || b == INF || b == NEG_INF) {
    return (a < 0) == (b < 0) ? INF : NEG_INF;
  }
  return saturate((__int128)a * b);
}

static struct interval mul_interval(struct interval a, struct interval b) {
  int64_t corner[4] = {mul_bound(a.lo, b.lo), mul_bound(a.lo, b.hi), mul_bound(a.hi, b.lo),
                       mul_bound(a.hi, b.hi)};
  struct interval out = {corner[0], corner[0]};
  for (int i = 1; i < 4; i++) {
    out.lo = corner[i] < out.lo ? corner[i] : out.lo;
    out.hi = corner[i] > out.hi ? corner[i] : out.hi;
  }
  return settle(out);
}

static struct interval power_interval(struct interval base, uint32_t exponent) {
  struct interval out = {1, 1};
  for (uint32_t i = 0; i < exponent; i++) {
    out = mul_interval(out, base);
  }
  if (exponent % 2 == 0 && out.lo < 0) {
    out.lo = 0;
  }
  return out;
}

static struct interval bounds_of(struct dim_table *t, dim d) {
  struct interval out;
  dim_bounds(t, d, &out.lo, &out.hi);
  return settle(out);
}

/* With shifted, atoms that have a lower bound stand for what they exceed it by. */
static struct interval term_interval(struct dim_table *t, struct dim_term term, bool shifted) {
  struct interval out = {term.coef, term.coef};
  for (uint32_t i = 0, run; i < t->monos[term.mono].degree; i += run) {
    const struct dim_mono *m = &t->monos[term.mono];
    for (run = 1; i + run < m->degree && m->atoms[i + run] == m->atoms[i]; run++) {
    }
    struct interval atom = bounds_of(t, m->atoms[i]);
    if (shifted && atom.lo != NEG_INF) {
      atom.hi = atom.hi == INF ? INF : saturate((__int128)atom.hi - atom.lo);
      atom.lo = 0;
    }
    out = mul_interval(out, power_interval(atom, run));
  }
  return out;
}

static struct interval terms_interval(struct dim_table *t, const struct dim_term *terms, uint32_t n,
                                      bool shifted) {
  struct interval sum = {0, 0};
  for (uint32_t i = 0; i < n; i++) {
    struct interval one = term_interval(t, terms[i], shifted);
    sum.lo = add_bound(sum.lo, one.lo, NEG_INF);
    sum.hi = add_bound(sum.hi, one.hi, INF);
    sum = settle(sum);
  }
  return sum;
}

void dim_poly_bounds(struct dim_table *t, const struct poly *p, int64_t *out_lo, int64_t *out_hi) {
  struct interval all = {NEG_INF, INF};
  if (!p->bad) {
    all = terms_interval(t, p->terms, p->n, false);
  }
  *out_lo = all.lo;
  *out_hi = all.hi;
}

static int64_t floor_quotient(int64_t a, int64_t b) {
  int64_t q = 0;
  (void)dim_floor(a, b, &q);
  return q;
}

static int64_t magnitude(int64_t x) { return x == INF || x == NEG_INF ? INF : x < 0 ? -x : x; }

static struct interval floordiv_interval(struct interval x, struct interval y) {
  struct interval out = {NEG_INF, INF};
  if (y.lo >= 1) {
    if (x.lo != NEG_INF) {
      out.lo = x.lo < 0 ? floor_quotient(x.lo, y.lo) : y.hi == INF ? 0 : floor_quotient(x.lo, y.hi);
    }
    if (x.hi != INF) {
      out.hi = x.hi < 0 ? floor_quotient(x.hi, y.hi) : floor_quotient(x.hi, y.lo);
    }
  } else if (x.lo >= 0 && y.lo >= 0) {
    out = (struct interval){0, x.hi};
  } else if (x.lo != NEG_INF && x.hi != INF) {
    out.hi = magnitude(x.lo) > magnitude(x.hi) ? magnitude(x.lo) : magnitude(x.hi);
    out.lo = -out.hi;
  }
  return out;
}

static struct interval mod_interval(struct interval x, struct interval y) {
  struct interval out = {y.lo < -1 ? (y.lo == NEG_INF ? NEG_INF : y.lo + 1) : 0,
                         y.hi > 1 ? (y.hi == INF ? INF : y.hi - 1) : 0};
  if (x.lo >= 0 && y.lo >= 0 && x.hi < out.hi) {
    out.hi = x.hi;
  }
  return out;
}

void dim_pair_bounds(struct dim_table *t, enum node_kind kind, dim a, dim b, int64_t *out_lo,
                     int64_t *out_hi) {
  struct interval x = bounds_of(t, a), y = bounds_of(t, b);
  struct interval out = kind == NODE_MOD ? mod_interval(x, y) : floordiv_interval(x, y);
  *out_lo = out.lo;
  *out_hi = out.hi;
}

static struct interval extremum_interval(struct dim_table *t, const struct dim_node *node) {
  struct interval out = bounds_of(t, node->operands[0]);
  for (uint32_t i = 1; i < node->count; i++) {
    struct interval one = bounds_of(t, node->operands[i]);
    bool max = node->kind == NODE_MAX;
    out.lo = max == (one.lo > out.lo) ? one.lo : out.lo;
    out.hi = max == (one.hi > out.hi) ? one.hi : out.hi;
  }
  return out;
}

void dim_bounds(struct dim_table *t, dim d, int64_t *out_lo, int64_t *out_hi) {
  struct dim_node *node = &t->nodes[d < t->node_len ? d : DIM_NONE];
  struct interval now = {node->lo, node->hi};
  if (node->epoch != t->epoch) {
    switch (node->kind) {
    case NODE_FLOORDIV:
    case NODE_MOD:
    case NODE_EXACTDIV:
      dim_pair_bounds(t, node->kind, node->pair[0], node->pair[1], &now.lo, &now.hi);
      break;
    case NODE_MIN:
    case NODE_MAX: now = extremum_interval(t, node); break;
    case NODE_POLY: now = terms_interval(t, node->terms, node->count, false); break;
    default: break;
    }
    node->lo = now.lo;
    node->hi = now.hi;
    node->epoch = t->epoch;
  }
  *out_lo = now.lo;
  *out_hi = now.hi;
}

/* A lower bound of p after writing every atom as its lower bound plus something not negative: then
 * a·b - a >= 0 for a, b >= 1, which plain intervals cannot see. */
static int64_t shifted_lower(struct dim_table *t, const struct poly *p) {
  struct poly sum;
  dim_poly_init(&sum);
  if (p->n > SHIFT_TERMS) {
    return NEG_INF;
  }
  for (uint32_t i = 0; i < p->n; i++) {
    struct poly product, factor, next;
    const dim *atoms = t->monos[p->terms[i].mono].atoms;
    uint32_t degree = t->monos[p->terms[i].mono].degree;
    if (degree > SHIFT_DEGREE) {
      return NEG_INF;
    }
    dim_poly_init(&product);
    dim_poly_add_term(t, &product, p->terms[i].coef, MONO_ONE);
    for (uint32_t k = 0; k < degree; k++) {
      int64_t lo = bounds_of(t, atoms[k]).lo;
      dim_poly_load(t, atoms[k], &factor);
      dim_poly_add_term(t, &factor, lo == NEG_INF ? 0 : lo, MONO_ONE);
      dim_poly_mul(t, &product, &factor, &next);
      dim_poly_copy(&product, &next);
    }
    dim_poly_add_scaled(t, &sum, 1, MONO_ONE, &product);
  }
  return sum.bad ? NEG_INF : terms_interval(t, sum.terms, sum.n, true).lo;
}

static bool nonnegative(struct dim_table *t, const struct poly *p, int *steps);

/* Is p >= 0 after its term i, k·atom, becomes scale·d + offset, which is not larger? */
static bool replaced(struct dim_table *t, const struct poly *p, uint32_t i, int64_t scale, dim d,
                     int64_t offset, int *steps) {
  struct poly changed, by;
  dim_poly_copy(&changed, p);
  dim_poly_load(t, d, &by);
  dim_poly_remove(&changed, i);
  dim_poly_add_scaled(t, &changed, scale, MONO_ONE, &by);
  dim_poly_add_term(t, &changed, offset, MONO_ONE);
  return nonnegative(t, &changed, steps);
}

/* Tries to bound term i from below through what its atom is. */
static bool by_definition(struct dim_table *t, const struct poly *p, uint32_t i, int *steps) {
  int64_t k = p->terms[i].coef, c, offset;
  const struct dim_mono *m = &t->monos[p->terms[i].mono];
  if (m->degree != 1 || k == NEG_INF) {
    return false;
  }
  struct dim_node atom = *dim_node_of(t, m->atoms[0]);
  if (atom.kind == NODE_MAX || atom.kind == NODE_MIN) {
    /* A bound by any operand will do where it is one from below; else each may be the one. */
    bool any = (atom.kind == NODE_MAX) == (k > 0);
    for (uint32_t j = 0; j < atom.count; j++) {
      if (replaced(t, p, i, k, atom.operands[j], 0, steps) == any) {
        return any;
      }
    }
    return !any;
  }
  if (atom.kind != NODE_FLOORDIV && atom.kind != NODE_MOD && atom.kind != NODE_EXACTDIV) {
    return false;
  }
  dim x = atom.pair[0], y = atom.pair[1];
  if (atom.kind != NODE_MOD && dim_is_const(t, y, &c) && c > 0 && k % c == 0) {
    /* x - (c - 1) <= c·(x floordiv c) <= x */
    int64_t scale = k / c;
    offset = 0;
    if (k > 0 && atom.kind == NODE_FLOORDIV && __builtin_mul_overflow(-scale, c - 1, &offset)) {
      return false;
    }
    return replaced(t, p, i, scale, x, offset, steps);
  }
  if (k > 0 || bounds_of(t, x).lo < 0 || bounds_of(t, y).lo < 0) {
    return false;
  }
  /* x floordiv y and x mod y are at most x, and x mod y at most y - 1 */
  return replaced(t, p, i, k, x, 0, steps) ||
         (atom.kind == NODE_MOD && bounds_of(t, y).lo > 0 && replaced(t, p, i, k, y, -k, steps));
}

static bool nonnegative(struct dim_table *t, const struct poly *p, int *steps) {
  if (p->bad || --*steps < 0) {
    return false;
  }
  if (terms_interval(t, p->terms, p->n, false).lo >= 0 || shifted_lower(t, p) >= 0) {
    return true;
  }
  for (uint32_t i = 0; i < p->n && *steps > 0; i++) {
    if (by_definition(t, p, i, steps)) {
      return true;
    }
  }
  return false;
}

bool dim_poly_known_nonnegative(struct dim_table *t, const struct poly *p) {
  int steps = PROOF_STEPS;
  return nonnegative(t, p, &steps);
}

static void difference(struct dim_table *t, dim a, dim b, struct poly *out) {
  struct poly y;
  dim_poly_load(t, a, out);
  dim_poly_load(t, b, &y);
  dim_poly_add_scaled(t, out, -1, MONO_ONE, &y);
  dim_poly_normalize(t, out);
}

/* a + gap <= b */
static bool known_gap(struct dim_table *t, dim a, dim b, int64_t gap) {
  struct poly p;
  if (!dim_valid(t, a) || !dim_valid(t, b)) {
    return false;
  }
  struct interval x = bounds_of(t, a), y = bounds_of(t, b);
  if (x.hi != INF && y.lo != NEG_INF && (__int128)x.hi + gap <= y.lo) {
    return true;
  }
  difference(t, b, a, &p);
  dim_poly_add_term(t, &p, -gap, MONO_ONE);
  return dim_poly_known_nonnegative(t, &p);
}

bool dim_known_le(struct dim_table *t, dim a, dim b) {
  return (a == b && dim_valid(t, a)) || known_gap(t, a, b, 0);
}

bool dim_known_lt(struct dim_table *t, dim a, dim b) { return a != b && known_gap(t, a, b, 1); }

bool dim_known_eq(struct dim_table *t, dim a, dim b) {
  return dim_valid(t, a) && dim_valid(t, b) &&
         (a == b || (dim_known_le(t, a, b) && dim_known_le(t, b, a)));
}

bool dim_known_ne(struct dim_table *t, dim a, dim b) {
  struct poly p;
  if (!dim_valid(t, a) || !dim_valid(t, b) || a == b) {
    return false;
  }
  difference(t, a, b, &p);
  uint64_t g = 0;
  int64_t constant = 0;
  for (uint32_t i = 0; i < p.n && !p.bad; i++) {
    if (p.terms[i].mono == MONO_ONE) {
      constant = p.terms[i].coef;
    } else {
      g = dim_gcd(p.terms[i].coef, g);
    }
  }
  /* a - b = g·(…) + constant is never 0 where g does not divide the constant. */
  if (!p.bad && g > 1 && dim_gcd(constant, 0) % g != 0) {
    return true;
  }
  return dim_known_lt(t, a, b) || dim_known_lt(t, b, a);
}

bool dim_known_positive(struct dim_table *t, dim d) {
  return dim_valid(t, d) && (bounds_of(t, d).lo >= 1 || dim_known_le(t, dim_const(t, 1), d));
}

static bool atom_divisible(struct dim_table *t, int64_t k, dim d) {
  struct dim_node atom = *dim_node_of(t, d);
  int64_t c, product;
  switch (atom.kind) {
  case NODE_MIN:
  case NODE_MAX:
    for (uint32_t i = 0; i < atom.count; i++) {
      if (!dim_known_divides(t, k, atom.operands[i])) {
        return false;
      }
    }
    return true;
  case NODE_MOD:
    return dim_known_divides(t, k, atom.pair[0]) && dim_known_divides(t, k, atom.pair[1]);
  case NODE_EXACTDIV:
    return dim_is_const(t, atom.pair[1], &c) && !__builtin_mul_overflow(k, c, &product) &&
           dim_known_divides(t, product, atom.pair[0]);
  default: return false;
  }
}

bool dim_known_divides(struct dim_table *t, int64_t k, dim d) {
  struct poly p;
  dim_poly_load(t, d, &p);
  if (p.bad || k == 0) {
    return !p.bad && p.n == 0;
  }
  for (uint32_t i = 0; i < p.n; i++) {
    /* -2^63 over its gcd with itself is 1 either way. */
    uint64_t magnitude = dim_gcd(k, 0), left = magnitude / dim_gcd(p.terms[i].coef, magnitude);
    bool found = left == 1;
    for (uint32_t j = 0; !found && left <= INT64_MAX && j < t->monos[p.terms[i].mono].degree; j++) {
      found = atom_divisible(t, (int64_t)left, t->monos[p.terms[i].mono].atoms[j]);
    }
    if (!found) {
      return false;
    }
  }
  return true;
}
