/* SPDX-License-Identifier: Apache-2.0 */
/* Machines to plan for: what a device does at most, and what moving data between devices costs.
 *
 * A machine is a row of equal devices under levels of links, the innermost first: NVLink within a
 * node, InfiniBand between nodes. Figures come from machine files (models/machines/), each with the
 * source that it was taken from; named ones are part of the program:
 *
 *     h100x4 = four devices of h100.machine      2xh100x8 = two nodes of eight
 *     my.machine, my.machine:4                   a file, with its own or another number of devices
 *
 * Units: seconds, bytes, flops (a multiply-add counts 2). */
#ifndef SINTER_PASSES_MACHINE_H
#define SINTER_PASSES_MACHINE_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/dtype.h"

#include <stdint.h>

#define MACHINE_MAX_LEVELS 3
#define MACHINE_MAX_DEVICES 4096

enum machine_collective {
  COLLECTIVE_ALL_REDUCE,
  COLLECTIVE_ALL_GATHER,
  COLLECTIVE_REDUCE_SCATTER,
  COLLECTIVE_ALL_TO_ALL,
  COLLECTIVE_PERMUTE,
  COLLECTIVE_COUNT
};

/* A figure by size, between whose points it is interpolated in the logarithm of the size; constant
 * beyond both ends. One point: a constant. */
struct machine_curve {
  uint32_t n;
  double *x, *y; /* x ascending */
};

/* The part of the peak that a product of m rows reaches: one curve over m for each range of n * k.
 */
struct machine_efficiency {
  uint32_t n;
  struct machine_curve *by_rows;
  double *columns; /* the n of each curve, ascending */
};

/* A measured time of a collective in its latency range, for `ranks` devices. */
struct machine_table {
  enum machine_collective kind;
  int64_t ranks;
  struct machine_curve seconds; /* by bytes that each rank contributes in full */
};

struct machine_level {
  const char *name;
  int64_t size;     /* of these make one of the next level; the outermost: all there are */
  int64_t max_size; /* a host has room for no more */
  double latency;   /* alpha: seconds per step of a collective */
  double bandwidth; /* bytes per second into one device, at the same time as out of it */
  uint32_t n_tables;
  struct machine_table *tables;
};

struct machine_figure {
  const char *name, *source;
};

struct machine {
  const char *name;
  double peak[DTYPE_COUNT]; /* flops per second of products of that dtype; 0: as f32 */
  struct machine_efficiency efficiency;
  struct machine_curve bandwidth; /* bytes per second by bytes moved */
  double scalar_peak;             /* scalar operations per second outside of products */
  double launch;                  /* seconds per kernel */
  uint64_t memory;                /* bytes per device */
  uint64_t reserve;               /* of these not for weights and values */
  uint32_t n_levels;
  struct machine_level levels[MACHINE_MAX_LEVELS]; /* the innermost first */
  uint32_t n_figures;
  struct machine_figure *figures; /* every figure of the file and where it is from */
};

/* The machine of a name or file, in the arena. Errors: E0341 (no such machine, or too many
 * devices), E0342 (a file that cannot be read, its text or figures are wrong: all of it at once).
 */
status machine_find(const char *name, struct arena *arena, struct diags *d, struct machine *out);
/* The same from text; `name` for messages. devices 0: as the file says. */
status machine_parse(const char *name, const char *text, size_t length, struct arena *arena,
                     struct diags *d, struct machine *out);

int64_t machine_devices(const struct machine *m);

double machine_curve_at(const struct machine_curve *c, double x);
/* Seconds of a product's flops, [m, k] x [k, n] in all batches. */
double machine_product_time(const struct machine *m, enum dtype dtype, double flops, double rows,
                            double columns);
/* Seconds to move that many bytes through a device's memory; 0 for none. */
double machine_memory_time(const struct machine *m, double bytes);

/* Ranks that act together: `size` of them within `span` neighbours of the machine's row of devices.
 * The level that the span needs decides. */
struct machine_group {
  int64_t size, span;
};
/* Seconds of a collective, by the level's table or else steps x latency + bytes received /
 * bandwidth, with ceil(log2 n) steps, twice that for all_reduce. bytes: of the value that each rank
 * has before it (all_reduce, reduce_scatter, all_to_all, permute) or after it (all_gather); of
 * these a rank receives 2 (n-1)/n (all_reduce), all (permute) or (n-1)/n. 0 for groups of one. */
double machine_collective_time(const struct machine *m, enum machine_collective kind,
                               struct machine_group group, double bytes);

#endif
