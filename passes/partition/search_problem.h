/* SPDX-License-Identifier: Apache-2.0 */
/* The search's problem, without a graph in it: a soft-constraint problem over tables.
 *
 * Variables (fused groups of ops) have choices (ways to split them), each with a time and bytes of
 * memory. A choice makes values in one class and wants other values in a class (classes are
 * shardings). Each distinct class that readers want of a value is converted to once: the conversion
 * belongs to the value, not to its readers.
 *
 * Variables come in blocks, blocks in a chain: a block reads one value of the block before and
 * makes one for the block after (either may be absent). Equal blocks are the same pointer and are
 * solved once. A problem has several chains (phases) with ties between them: variables that read
 * one weight, which is stored in one layout only.
 *
 * Sought: choices of least time, summed over the phases, with all bytes together within a limit. */
#ifndef SINTER_PASSES_SEARCH_PROBLEM_H
#define SINTER_PASSES_SEARCH_PROBLEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

#define SEARCH_NONE UINT32_MAX
#define SEARCH_MAX_CLASSES 4096
#define SEARCH_MAX_READERS 12

/* What each choice of a variable does to a value: the class it makes or wants. */
struct search_use {
  uint32_t value;
  const uint16_t *classes; /* by choice */
};

/* The layout in which each choice reads a weight. */
struct search_tie {
  uint32_t weight;         /* < problem.n_weights; blocks that are equal share its number */
  const uint16_t *layouts; /* by choice; < 2^15 */
};

struct search_variable {
  uint32_t n_choices;
  const double *time, *bytes; /* >= 0 */
  uint32_t n_makes, n_reads, n_ties;
  const struct search_use *makes, *reads;
  const struct search_tie *ties;
};

/* convert[from * n + to]: seconds, 0 where nothing is to be done, INFINITY where it cannot be. */
struct search_value {
  uint32_t n_classes;
  const double *convert;
};

struct search_block {
  uint32_t n_variables, n_values;
  const struct search_variable *variables;
  const struct search_value *values;
  /* The value that comes from the block before, and the one that goes on; SEARCH_NONE: there is
   * none. The next block's input has the classes of this one's output. An input is made by no
   * variable, an output is read by none here. */
  uint32_t input, output;
  /* The classes that the blocks before make the input in; 0: all of them count. */
  uint32_t n_given;
  const uint16_t *given;
};

struct search_chain {
  uint32_t n_blocks;
  const struct search_block *const *blocks;
};

struct search_problem {
  uint32_t n_phases;
  const struct search_chain *phases;
  uint32_t n_weights;
  double limit;   /* of bytes; INFINITY: none */
  bool no_fronts; /* blocks are treated as if their fronts were too long to make, for tests */
};

struct search_solution {
  bool feasible;
  double time, bytes;
  double bound; /* no solution takes less time; equal to `time` where the solution is exact */
  double *phase_time;
  uint32_t ***choices; /* [phase][block][variable] */
  double least_bytes;  /* where not feasible: the least that any choices need */
  uint64_t nodes;      /* of branch and bound, for reports */
};

/* When to stop being exact; CLOCK_MONOTONIC seconds. */
struct search_clock {
  double deadline; /* INFINITY: never */
};
bool search_is_late(const struct search_clock *c);

/* A problem being solved, in steps, so that of many problems those that cannot be best are left
 * early. Thread-safe on distinct solvers. */
struct search_solver;
struct search_solver *search_open(const struct search_problem *p, struct search_clock clock);
void search_close(struct search_solver *s);
/* A lower bound on the time of any solution, ties aside; INFINITY: there is none within the limit.
 * The next step, if there is one, gives a higher one and takes longer. */
double search_bound(struct search_solver *s);
bool search_improve_bound(struct search_solver *s, double cutoff, double *out_bound);
/* Whether that first bound is of choices that break the limit. */
bool search_is_tight(const struct search_solver *s);
/* The solution, as search_solve gives it. After the deadline the first solution that can be had is
 * taken, and rows of relations are left out, which `bound` allows for. */
void search_finish(struct search_solver *s, double cutoff, struct arena *arena,
                   struct search_solution *out);

/* Solves the problem; the solution lives in the arena. A chain's inner tables are exact Pareto sets
 * of (time, bytes); ties are solved by branch and bound over the layouts of weights, bounded by the
 * phases' own optima. `cutoff`: solutions that take as long or longer are not looked for (INFINITY:
 * any); where only those are, the result is infeasible with its bound. Thread-safe on distinct
 * arenas. */
void search_solve(const struct search_problem *p, double cutoff, struct arena *arena,
                  struct search_solution *out);

/* The cost of given choices by the definition above, for tests and reports. Time INFINITY where a
 * conversion cannot be or a tie is broken. */
void search_evaluate(const struct search_problem *p, uint32_t *const *const *choices,
                     double *out_time, double *out_bytes, double *out_phase_time);

#endif
