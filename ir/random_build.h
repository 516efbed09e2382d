/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the random graph generator share. */
#ifndef SINTER_IR_RANDOM_BUILD_H
#define SINTER_IR_RANDOM_BUILD_H

#include "ir/random_graph.h"

struct random_gen {
  const struct random_graph_options *options;
  uint64_t state;
  struct module *m;
  struct function *f;
  struct builder b;
  struct dim_table *t;
  VEC(value_id) values; /* that may be operands of what comes next */
  uint32_t made;        /* names of symbols */
};

/* 0 .. n - 1, and lo .. hi. */
uint32_t random_below(struct random_gen *g, uint32_t n);
int64_t random_range(struct random_gen *g, int64_t lo, int64_t hi);
bool random_chance(struct random_gen *g, uint32_t percent);

enum dtype random_dtype(struct random_gen *g, bool (*accept)(enum dtype));
/* A fresh input or constant of a type; values of other origin of the same type at times. */
value_id random_value_of(struct random_gen *g, const struct type *type);
/* A constant (static types) with elements in lo .. hi, or quarters of it for floats. */
value_id random_constant(struct random_gen *g, enum dtype dtype, const int64_t *dims, uint32_t rank,
                         int64_t lo, int64_t hi);
/* A value that exists and is accepted, or a fresh one of a random type that is. */
value_id random_pick(struct random_gen *g, bool (*accept)(struct random_gen *, value_id));
/* A type that accept takes; ranks lo .. hi. */
struct type random_type(struct random_gen *g, enum dtype dtype, uint32_t lo, uint32_t hi);
/* Makes the values candidates for operands; VALUE_NONE is passed over. */
void random_keep(struct random_gen *g, value_id v);

/* A scalar body over operands of these dtypes whose result has any dtype the options allow. */
const struct scalar_body *random_body(struct random_gen *g, const enum dtype *dtypes, uint32_t n);

/* One step that makes an op of a kind; does nothing where the kind has no generator. */
void random_step(struct random_gen *g, enum op_kind kind);
void random_step_compute(struct random_gen *g, enum op_kind kind);
void random_step_control(struct random_gen *g, enum op_kind kind);

static inline const struct type *random_value_type(struct random_gen *g, value_id v) {
  return value_type(g->f, v);
}
/* The constant value of dim i, or 0 where it is not constant. */
static inline int64_t random_static_dim(struct random_gen *g, value_id v, uint32_t i) {
  int64_t n;
  return dim_is_const(g->t, value_type(g->f, v)->dims[i], &n) ? n : 0;
}

bool random_is_number(enum dtype t);
bool random_is_float(enum dtype t);
bool random_is_int(enum dtype t);

#endif
