/* SPDX-License-Identifier: Apache-2.0 */
/* A search problem (passes/partition/search_problem.h) as one flat list of variables and values,
 * without blocks, chains and phases: what independent ways to solve it start from. */
#ifndef SINTER_TESTS_FLAT_PROBLEM_H
#define SINTER_TESTS_FLAT_PROBLEM_H

#include <stdio.h>

#include "base/arena.h"
#include "passes/partition/search_problem.h"

struct flat_use {
  uint32_t value;
  const uint16_t *classes;
};

struct flat_variable {
  const struct search_variable *from;
  uint32_t n_makes, n_reads;
  const struct flat_use *makes, *reads;
};

struct flat_value {
  const struct search_value *from;
  uint32_t maker;  /* variable; SEARCH_NONE */
  uint32_t last;   /* the last variable that makes or reads it */
  uint32_t n_uses; /* reads */
};

struct flat_problem {
  uint32_t n_variables, n_values, n_weights;
  struct flat_variable *variables;
  struct flat_value *values;
  double limit;
  double size; /* of the space */
};

/* Everything lives in the arena. A block's output and the next one's input are one value. */
void flat_problem_of(const struct search_problem *p, struct arena *arena, struct flat_problem *out);

struct flat_best {
  double time;        /* within the limit; INFINITY: nothing is */
  double free_time;   /* without one */
  double free_bytes;  /* the fewest of those as fast */
  double least_bytes; /* of anything that can be */
};
/* Looks at every choice there is. */
void flat_problem_enumerate(const struct flat_problem *p, struct flat_best *out);

/* The problem as an integer linear program in CPLEX's LP format: a 0-1 variable for every choice of
 * every variable, and one, at least 0, for every conversion that is paid for. Times are divided by
 * `unit`. False where writing failed. */
bool flat_problem_write_lp(const struct flat_problem *p, double unit, FILE *out);

#endif
