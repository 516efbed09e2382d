/* SPDX-License-Identifier: Apache-2.0 */
/* What dim.c, dim_poly.c, dim_simplify.c and dim_prove.c share: nodes, monomials and polynomials in
 * progress. Nobody else includes it. */
#ifndef SINTER_IR_DIM_INTERNAL_H
#define SINTER_IR_DIM_INTERNAL_H

#include "base/arena.h"
#include "ir/dim.h"

/* A sum's most terms, a product's most factors, a min or max's most operands. */
#define DIM_POLY_TERMS 256
#define DIM_MONO_DEGREE 32
#define DIM_EXTREMUM_OPERANDS 64

/* A product of atoms, sorted, interned by number; number 0 is the empty product 1. */
typedef uint32_t mono;
#define MONO_ONE ((mono)0)
#define MONO_NONE UINT32_MAX

struct dim_mono {
  const dim *atoms;
  uint32_t degree;
  uint32_t size; /* written-out size */
  bool has_exactdiv, has_mod;
};

struct dim_term {
  int64_t coef;
  mono mono;
};

/* Sums and multiples are one n-ary node; the public binary kinds are a view of it. */
enum node_kind {
  NODE_NONE,
  NODE_CONST,
  NODE_SYMBOL,
  NODE_COORD,
  NODE_FLOORDIV,
  NODE_MOD,
  NODE_MIN,
  NODE_MAX,
  NODE_EXACTDIV,
  NODE_POLY,
};

struct dim_node {
  enum node_kind kind;
  uint32_t count; /* POLY: terms; MIN, MAX: operands; SYMBOL, COORD: number of the leaf */
  uint32_t size;  /* written-out size */
  mono self;      /* atoms: the monomial of this atom alone */
  uint32_t epoch; /* when lo and hi were computed */
  int64_t lo, hi;
  union {
    int64_t value;                /* CONST */
    const char *name;             /* SYMBOL, COORD */
    dim pair[2];                  /* FLOORDIV, MOD, EXACTDIV */
    const dim *operands;          /* MIN, MAX: sorted, none provably dominated by another */
    const struct dim_term *terms; /* POLY: sorted, coefficients not 0 */
  };
};

struct dim_index {
  uint32_t *slots; /* UINT32_MAX: empty */
  uint32_t cap, used;
};

struct dim_table {
  struct arena arena;
  struct dim_node *nodes;
  uint64_t *node_hash;
  uint32_t node_len, node_cap;
  struct dim_index node_index;
  struct dim_mono *monos;
  uint64_t *mono_hash;
  uint32_t mono_len, mono_cap;
  struct dim_index mono_index;
  dim *symbols;
  uint32_t symbol_len, symbol_cap;
  dim *coords;
  uint32_t coord_len, coord_cap;
  uint32_t epoch; /* moves when a symbol's bounds narrow */
  bool frozen;
  uint32_t fresh; /* the next number to try in dim_fresh */
};

/* A polynomial in progress: sorted terms, or bad once a limit was passed. Only n and bad need
 * initialising. */
struct poly {
  uint32_t n;
  bool bad;
  struct dim_term terms[DIM_POLY_TERMS];
};

static inline const struct dim_node *dim_node_of(const struct dim_table *t, dim d) {
  return &t->nodes[d < t->node_len ? d : DIM_NONE];
}

static inline bool dim_valid(const struct dim_table *t, dim d) {
  return d != DIM_NONE && d < t->node_len;
}

/* Interning. Callers hand over parts that are already in normal form. */
dim dim_intern_pair(struct dim_table *t, enum node_kind kind, dim a, dim b);
dim dim_find_pair(const struct dim_table *t, enum node_kind kind, dim a,
                  dim b); /* DIM_NONE where there is none */
dim dim_intern_extremum(struct dim_table *t, enum node_kind kind, const dim *operands, uint32_t n);
dim dim_intern_terms(struct dim_table *t, const struct dim_term *terms, uint32_t n);
mono dim_intern_mono(struct dim_table *t, const dim *atoms, uint32_t degree);

/* The deterministic orders: by structure and names. Greater degree first, so the constant term is
 * last. */
int dim_compare(const struct dim_table *t, dim a, dim b);
int dim_mono_compare(const struct dim_table *t, mono a, mono b);

/* Monomial arithmetic. MONO_NONE past DIM_MONO_DEGREE; false where b does not divide a. */
mono dim_mono_mul(struct dim_table *t, mono a, mono b);
bool dim_mono_div(struct dim_table *t, mono a, mono b, mono *out);

/* Polynomial arithmetic. A bad operand makes a bad result. */
void dim_poly_init(struct poly *p);
void dim_poly_copy(struct poly *to, const struct poly *from); /* copies only the terms in use */
void dim_poly_load(const struct dim_table *t, dim d, struct poly *out);
void dim_poly_add_term(struct dim_table *t, struct poly *p, int64_t coef, mono m);
void dim_poly_add_scaled(struct dim_table *t, struct poly *p, int64_t coef, mono m,
                         const struct poly *x);
void dim_poly_mul(struct dim_table *t, const struct poly *a, const struct poly *b,
                  struct poly *out);
void dim_poly_remove(struct poly *p, uint32_t i);
void dim_poly_normalize(struct dim_table *t,
                        struct poly *p); /* exactdiv and floordiv+mod cancellation */
bool dim_poly_divide(struct dim_table *t, const struct poly *a, const struct poly *b,
                     struct poly *out_quotient);
bool dim_poly_is_const(const struct poly *p, int64_t *out);
dim dim_poly_finish(struct dim_table *t, const struct poly *p); /* no normalisation */

/* Intervals. */
void dim_poly_bounds(struct dim_table *t, const struct poly *p, int64_t *out_lo, int64_t *out_hi);
void dim_pair_bounds(struct dim_table *t, enum node_kind kind, dim a, dim b, int64_t *out_lo,
                     int64_t *out_hi);
bool dim_poly_known_nonnegative(struct dim_table *t, const struct poly *p);

/* Floor division for divisor not 0; false on overflow. */
static inline bool dim_floor(int64_t a, int64_t b, int64_t *out_quotient) {
  if (a == INT64_MIN && b == -1) {
    return false;
  }
  int64_t q = a / b;
  *out_quotient = q - (a % b != 0 && (a < 0) != (b < 0));
  return true;
}

/* Remainder with the divisor's sign, for divisor not 0. */
static inline int64_t dim_floor_mod(int64_t a, int64_t b) {
  if (b == -1) {
    return 0;
  }
  int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/* Greatest common divisor of magnitudes; gcd(0, x) = |x|. */
static inline uint64_t dim_gcd(int64_t a, uint64_t b) {
  uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a;
  while (b != 0) {
    uint64_t r = x % b;
    x = b;
    b = r;
  }
  return x;
}

#endif
