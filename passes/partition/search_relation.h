/* SPDX-License-Identifier: Apache-2.0 */
/* Relations: what elimination (search_table.h) works on; for its files alone.
 *
 * A relation is a set of rows: a key (classes of values that are still open, packed), time and
 * bytes, and where they came from. Of a value, the key has the class it is made in once its
 * producer is among the relation's variables, and the set of distinct classes wanted by those
 * readers that are. What costs nothing to convert to leaves the set; a value leaves the key when
 * all of its variables are in, except for the ends of the block. Rows of one key form its Pareto
 * front. */
#ifndef SINTER_PASSES_SEARCH_RELATION_H
#define SINTER_PASSES_SEARCH_RELATION_H

#include "base/vec.h"
#include "passes/partition/search_table.h"

typedef unsigned __int128 row_key;

struct row {
  row_key key;
  double time, bytes;
  uint32_t left, right; /* rows of the relations joined; left: the choice, of a variable */
};

/* A fork and join: a value whose readers each make one thing for one hub. */
#define STAR_READERS 4
struct star_record {
  uint32_t hub, readers[STAR_READERS]; /* rows */
};
struct star {
  uint32_t value, n;
  struct relation *producer, *hub, *readers[STAR_READERS];
  uint32_t passed[STAR_READERS]; /* the value from each reader to the hub */
  struct star_record *records;
};

/* Of one value in a relation's keys. */
struct column {
  bool open, made;
  uint32_t n_readers; /* that are in */
  uint32_t n_wanted;  /* the most distinct classes in the set */
  uint32_t shift_made, shift_wanted, bits;
};

struct relation {
  struct column *columns; /* by value */
  uint32_t n, cap;
  struct row *rows;
  uint32_t variable; /* SEARCH_NONE: a join, or the input */
  struct relation *left, *right;
  struct star
      *star; /* in place of these two; a row's left is a record of it, right a producer's row */
  double *distinct; /* see search_order.c; NULL: not counted yet */
};

/* Bounds of what other classes of a value may cost, filled in when asked for. */
struct penalties {
  double *made;   /* [from * n + to]; below 0: not yet */
  double *wanted; /* by class */
};

struct search_memo {
  const struct search_block *block;
  struct arena *arena;
  uint32_t *n_readers;         /* by value, of the whole block */
  struct penalties *penalties; /* by value */
};

struct reducer {
  const struct search_block *block;
  struct search_memo *memo;
  const uint16_t *fixed;
  bool with_bytes; /* fronts */
  double price;    /* of a byte, in the times of rows */
  /* Of fronts: rows go that cost more than others by so much, a byte at this price. */
  double slack, slack_price;
  struct arena scratch;
  const uint32_t *n_readers; /* by value, of the whole block */
  VEC(struct relation *) open;
  struct search_clock clock;
  uint32_t beam;  /* rows that a relation keeps; 0: all of them */
  uint64_t pairs; /* joined since the clock was looked at */
  uint64_t all_pairs;
  bool overflow; /* too late or too many, and nothing that is made now counts */
};

/* The classes of one value that a row speaks of. */
struct content {
  uint32_t made; /* SEARCH_NONE: unknown */
  uint32_t n;
  uint16_t wanted[SEARCH_MAX_READERS]; /* ascending */
};

struct row_map {
  uint32_t *slots; /* into chains of rows; SEARCH_NONE: empty */
  uint32_t *next;  /* by row */
  uint32_t n_slots, cap;
};

/* How values of a join are treated: only on one side, or on both. */
struct join {
  const struct relation *a, *b;
  struct column *columns;
  uint32_t matched;
  uint32_t n_both, n_one;
  uint32_t *both, *one;
};

/* ---- search_relation.c ---- */

/* Classes that a row speaks of, from and to its key. */
void search_content_read(const struct column *c, row_key key, struct content *out);
row_key search_content_key(const struct column *c, const struct content *x);
void search_content_add(struct content *x, uint16_t wanted);
/* Whether a value is the block's input or output. */
bool search_is_end(const struct reducer *r, uint32_t v);
/* Gives columns their bits; false where the key has too few. */
bool search_columns_place(const struct reducer *r, struct column *columns);
/* The columns of a join. `matched`: a value that both sides agree on already, and that is closed.
 */
bool search_columns_join(const struct reducer *r, const struct relation *a,
                         const struct relation *b, uint32_t matched, struct column *out);
/* The part of a row's key that a join leaves as it is. */
row_key join_carry(const struct join *j, const struct relation *side, row_key key);
uint64_t row_key_hash(row_key key);
/* A new relation, among the open ones. */
struct relation *relation_create(struct reducer *r);
/* Adds a row unless its front has a better one; takes the place of one that it beats. Others that
 * it beats stay until relation_thin. */
void relation_add(struct reducer *r, struct relation *x, struct row_map *m, const struct row *row);
/* Rows in order of keys, each key's a strict front; the map is done with. */
void relation_thin(const struct reducer *r, struct relation *x, struct row_map *m);

/* ---- search_join.c ---- */

/* What of a row's key a join looks at. */
struct joint_row {
  row_key carried;
  uint32_t match;           /* class of the matched value */
  struct content *contents; /* by j->both */
};
/* Those of all rows of a side. */
struct joint_row *joint_rows(const struct join *j, const struct relation *x);
void joint_rows_free(struct joint_row *rows, uint32_t n);
/* Adds a row of one side joined to one of the other. row: all but its key, and without what
 * converting the values of both sides costs. */
void join_pair(struct reducer *r, const struct join *j, const struct joint_row *a,
               const struct joint_row *b, struct row row, struct relation *out,
               struct row_map *map);
/* A value made in a, and read once, in b; SEARCH_NONE. */
uint32_t join_matched(const struct reducer *r, const struct relation *a, const struct relation *b);
/* The join of two open relations, among the open ones; they stay there. */
struct relation *relation_join(struct reducer *r, struct relation *a, struct relation *b);

/* ---- search_order.c ---- */

/* The open relations to join next; false where every join has too wide a key. */
bool search_next_join(struct reducer *r, uint32_t *out_a, uint32_t *out_b);

/* ---- search_dominance.c ---- */

/* Time of a choice, with bytes at their price. */
double search_priced(const struct reducer *r, const struct search_variable *x, uint32_t choice);
/* Whether a choice has the layouts that are fixed. */
bool search_is_allowed(const struct reducer *r, const struct search_variable *x, uint32_t choice);
/* What a row costs where fronts have a slack; else its time. */
double search_row_cost(const struct reducer *r, double time, double bytes);
/* Whether another choice is better whatever the rest does. */
bool search_is_dead_end(struct reducer *r, const struct search_variable *x, uint32_t a);
/* Keeps the best rows of each pair of ends, where only some are to be kept. */
void relation_trim(struct reducer *r, struct relation *x);
/* Drops rows that one of the fastest beats whatever is still to come. */
void relation_prune(struct reducer *r, struct relation *x);

/* ---- search_star.c ---- */

/* A fork that can be joined now, if there is one. */
bool star_find(const struct reducer *r, struct star *out);
struct relation *star_join(struct reducer *r, const struct star *found);
/* Whether joining a reader to a hub would break a fork that star_find may yet find. */
bool breaks_star(const struct reducer *r, const struct relation *reader,
                 const struct relation *hub);

#endif
