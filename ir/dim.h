/* SPDX-License-Identifier: Apache-2.0 */
/* Symbolic dims: interned integer expressions over named symbols with bounds.
 *
 * A `dim` is an index into a `struct dim_table`. Expressions are kept in a normal form, a sum of
 * integer multiples of products of atoms, where an atom is a symbol, a mesh coordinate, or a
 * floordiv / mod / min / max / exactdiv node. Equal normal forms have equal ids, so `a == b` is the
 * cheap test and `dim_known_eq` the thorough one.
 *
 * Everything is exact integer arithmetic. floordiv rounds towards minus infinity, mod has the sign
 * of its divisor, and both give 0 for divisor 0. `exactdiv(x, y)` carries its builder's promise
 * that y is not 0 and divides x: rewrites use the promise, evaluation checks divisibility.
 *
 * Nothing fails loudly. A constructor gives DIM_NONE where a constant or coefficient leaves
 * int64_t, an expression grows past DIM_MAX_SIZE, or an operand is DIM_NONE (so it spreads);
 * callers that take expressions from outside report it. All queries accept DIM_NONE: nothing is
 * known of it and it does not evaluate.
 *
 * Ids and term order do not depend on addresses or hashes; term order and text depend on names
 * only, not on the order of creation. A table is not thread safe, and queries may intern helper
 * nodes, so they take it mutable. */
#ifndef SINTER_IR_DIM_H
#define SINTER_IR_DIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf;
struct dim_table;

typedef uint32_t dim;

#define DIM_NONE ((dim)0)

/* The most operands, symbols and constants that the written-out form of one expression may have. */
#define DIM_MAX_SIZE 2048

/* Bounds: INT64_MIN as a lower and INT64_MAX as an upper bound mean that there is none. */
#define DIM_UNBOUNDED_LO INT64_MIN
#define DIM_UNBOUNDED_HI INT64_MAX

/* How an expression looks from outside: leaves, and binary nodes. Values are part of the engine
 * file: append only. */
enum dim_kind {
  DIM_KIND_NONE = 0,
  DIM_KIND_CONST = 1,
  DIM_KIND_SYMBOL = 2,
  DIM_KIND_ADD = 3,
  DIM_KIND_MUL = 4,
  DIM_KIND_FLOORDIV = 5,
  DIM_KIND_MOD = 6,
  DIM_KIND_MIN = 7,
  DIM_KIND_MAX = 8,
  DIM_KIND_EXACTDIV = 9,
  DIM_KIND_COORD = 10,
};

/* The table owns all its storage; names are copied in. */
struct dim_table *dim_table_create(void);
void dim_table_destroy(struct dim_table *t);
/* While frozen, making an expression that is not there yet is a bug of the caller (asserted):
 * several threads may then read dims' structure. Facts may still be asked for by one thread only.
 */
void dim_table_freeze(struct dim_table *t, bool frozen);

/* --- Leaves --- */

dim dim_const(struct dim_table *t, int64_t value);

/* The symbol of that name, made on first use; a later call narrows its bounds to the intersection.
 * DIM_NONE, and no change, where the intersection is empty. Narrowing after expressions were built
 * keeps them right but not always in the simplest form; dim_substitute with no bindings rebuilds
 * one. */
dim dim_symbol(struct dim_table *t, const char *name, int64_t lo, int64_t hi);

/* A new symbol with a name that no symbol has yet: the prefix and a number. */
dim dim_fresh(struct dim_table *t, const char *prefix, int64_t lo, int64_t hi);

/* This rank's place along a mesh axis, 0 <= coord < axis_size; constant 0 for size 1, DIM_NONE for
 * a size below 1. */
dim dim_coord(struct dim_table *t, const char *axis_name, int64_t axis_size);

/* --- Constructors; all return the normal form --- */

dim dim_add(struct dim_table *t, dim a, dim b);
dim dim_sub(struct dim_table *t, dim a, dim b);
dim dim_neg(struct dim_table *t, dim a);
dim dim_mul(struct dim_table *t, dim a, dim b);
dim dim_floordiv(struct dim_table *t, dim a, dim b);
dim dim_ceildiv(struct dim_table *t, dim a,
                dim b); /* for b >= 1; built as (a + b - 1) floordiv b */
dim dim_mod(struct dim_table *t, dim a, dim b);
dim dim_exactdiv(struct dim_table *t, dim a, dim b); /* the caller promises that b != 0 divides a */
dim dim_min(struct dim_table *t, dim a, dim b);
dim dim_max(struct dim_table *t, dim a, dim b);
dim dim_product(struct dim_table *t, const dim *dims, size_t n); /* 1 for n = 0 */

/* The constructor for a binary kind, for parsers and decoders; DIM_NONE for a leaf kind or an
 * unknown one. */
dim dim_binary(struct dim_table *t, enum dim_kind kind, dim a, dim b);

/* --- Structure --- */

/* Sums and products show as left-leaning binary nodes: (a + 2*b) + 1 has operands a + 2*b and 1.
 * Rebuilding with dim_binary(kind, *out_a, *out_b) gives d again. dim_operands is false for leaves
 * and DIM_NONE. */
enum dim_kind dim_kind(const struct dim_table *t, dim d);
bool dim_operands(struct dim_table *t, dim d, dim *out_a, dim *out_b);

bool dim_is_const(const struct dim_table *t, dim d, int64_t *out_value); /* out_value may be NULL */
bool dim_is_const_value(const struct dim_table *t, dim d, int64_t value);
bool dim_symbol_of(const struct dim_table *t, dim d, uint32_t *out_symbol);
bool dim_coord_of(const struct dim_table *t, dim d, uint32_t *out_coord);

/* Symbols and coordinates are numbered from 0 in order of creation. Names live as long as the
 * table. */
uint32_t dim_symbol_count(const struct dim_table *t);
const char *dim_symbol_name(const struct dim_table *t, uint32_t symbol);
int64_t dim_symbol_lo(const struct dim_table *t, uint32_t symbol);
int64_t dim_symbol_hi(const struct dim_table *t, uint32_t symbol);
dim dim_symbol_dim(const struct dim_table *t, uint32_t symbol);
uint32_t dim_coord_count(const struct dim_table *t);
const char *dim_coord_name(const struct dim_table *t, uint32_t coord);
int64_t dim_coord_size(const struct dim_table *t, uint32_t coord);

/* How many operands, symbols and constants its written-out form has; 0 for DIM_NONE. */
uint32_t dim_size(const struct dim_table *t, dim d);

/* Whether the expression mentions the symbol. */
bool dim_uses_symbol(const struct dim_table *t, dim d, uint32_t symbol);

/* --- Facts; "known" means proved, so false means only "not proved" --- */

/* Interval of the value over all symbol values within their bounds. */
void dim_bounds(struct dim_table *t, dim d, int64_t *out_lo, int64_t *out_hi);
bool dim_known_eq(struct dim_table *t, dim a, dim b);
bool dim_known_ne(struct dim_table *t, dim a, dim b);
bool dim_known_le(struct dim_table *t, dim a, dim b);
bool dim_known_lt(struct dim_table *t, dim a, dim b);
bool dim_known_divides(struct dim_table *t, int64_t k, dim d); /* k divides d; 0 divides only 0 */
bool dim_known_positive(struct dim_table *t, dim d);           /* d >= 1 */

/* --- Values --- */

/* Evaluates with a value per symbol. False, and *out untouched, on overflow, a broken exactdiv
 * promise, DIM_NONE, or a coordinate (dim_eval_at takes their values; either array may be NULL
 * where the expression has no such leaf). Bounds are not checked here. */
bool dim_eval(const struct dim_table *t, dim d, const int64_t *symbol_values, int64_t *out);
bool dim_eval_at(const struct dim_table *t, dim d, const int64_t *symbol_values,
                 const int64_t *coord_values, int64_t *out);

/* Replaces symbols (and coordinates) and rebuilds. The arrays have dim_symbol_count and
 * dim_coord_count entries; DIM_NONE keeps a leaf, and a NULL array keeps all of them. Replacements
 * are not themselves substituted into. */
dim dim_substitute(struct dim_table *t, dim d, const dim *by_symbol);
dim dim_substitute_at(struct dim_table *t, dim d, const dim *by_symbol, const dim *by_coord);

/* --- Text and tables --- */

/* Appends text whose parse, through the constructors and with the same symbols, gives d again:
 *
 * - expr: term, then any number of '+' term or '-' term, left to right
 * - term: unary, then any number of '*', 'floordiv' or 'mod' unary, left to right
 * - unary: a decimal integer, with '-' before it if negative; a name; '(' expr ')';
 *   'min', 'max' or 'exactdiv' with '(' expr ',' expr ')'; 'coord' '(' name ')'
 * - name: [A-Za-z_][A-Za-z0-9_]* but none of these six words; or a quoted string, in which \" and
 *   \\ stand for the second character and \xHH for a byte
 *
 * The most negative integer is printed whole. Sums are in parentheses. DIM_NONE prints as '?',
 * which does not parse. */
void dim_print(const struct dim_table *t, dim d, struct strbuf *out);

/* Appends a name bare where it can be, else quoted. */
void dim_print_name(const char *name, struct strbuf *out);

/* One row of a flattened set of expressions. Operands are earlier rows. */
struct dim_row {
  enum dim_kind kind;
  uint32_t lhs, rhs; /* binary kinds: row numbers; else 0 */
  int64_t value;     /* CONST: the value; COORD: the axis size; else 0 */
  uint32_t leaf;     /* SYMBOL, COORD: its number in the table; else 0 */
  const char *name;  /* SYMBOL, COORD; else NULL */
};

typedef void (*dim_row_fn)(void *user, uint32_t row, const struct dim_row *content);

/* Emits rows 0, 1, … so that each distinct subexpression of the n dims appears once and after its
 * operands. out_rows[i] (n entries) becomes the row of dims[i], UINT32_MAX for DIM_NONE. Returns
 * the number of rows. The order depends only on the expressions and the order of dims. */
uint32_t dim_flatten(struct dim_table *t, const dim *dims, size_t n, dim_row_fn emit, void *user,
                     uint32_t *out_rows);

#endif
