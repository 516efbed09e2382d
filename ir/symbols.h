/* SPDX-License-Identifier: Apache-2.0 */
/* Which symbols dims mention, remembered per dim; and which symbols an op binds. */
#ifndef SINTER_IR_SYMBOLS_H
#define SINTER_IR_SYMBOLS_H

#include "ir/graph.h"

struct symbol_sets {
  struct dim_table *dims;
  struct map found;   /* dim -> place in pool */
  VEC(uint32_t) pool; /* a count, then that many symbols, ascending */
};

void symbol_sets_init(struct symbol_sets *s, struct dim_table *dims);
void symbol_sets_deinit(struct symbol_sets *s);
/* The symbols of d; *out stays valid until the next call. */
uint32_t symbols_of(struct symbol_sets *s, dim d, const uint32_t **out);

/* Calls fn for each symbol that an op binds for what follows it: `symbol` its own; `loop` its trip
 * symbol and, as `if`, those symbols of its result types that are not bound before. The last kind
 * cannot be told from the op alone, so all symbols of result types are given, as unless_bound. */
typedef void (*symbol_visit_fn)(void *user, uint32_t symbol, bool unless_bound);
void op_visit_bound(struct symbol_sets *s, const struct function *f, const struct op *op,
                    symbol_visit_fn fn, void *user);

#endif
