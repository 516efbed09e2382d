/* SPDX-License-Identifier: Apache-2.0 */
/* States; see precision_states.h. */
#include "passes/precision/precision_states.h"

#include "ir/states.h"
#include "passes/pattern.h"

static value_id state_param(const struct function *f, const struct entry_state *s) {
  return f->regions.data[0].params.data[s->input];
}

/* What a function asks for of a state; f32 where it cannot be another. */
static enum dtype asked_for(const struct function *f, const struct entry_state *s,
                            const struct precision_rules *rules) {
  value_id result;
  const struct op *op = state_update(f, s->input, &result);
  if (!op || value_type(f, state_param(f, s))->dtype != DTYPE_F32)
    return DTYPE_F32;
  return precision_dtype(
      precision_of_node(rules, &f->module->provenance.data[op->provenance], NULL));
}

/* The same of all entries that have states: they are one memory. */
static enum dtype agreed(const struct module *m, uint32_t state,
                         const struct precision_rules *rules) {
  enum dtype all = DTYPE_F32;
  for (uint32_t i = 0; i < m->entries.len; i++) {
    const struct entry *e = &m->entries.data[i];
    for (uint32_t v = 0; v < e->variants.len && e->states.len; v++) {
      enum dtype here = state < e->states.len
                            ? asked_for(e->variants.data[v].function, &e->states.data[state], rules)
                            : DTYPE_F32;
      if (here == DTYPE_F32 || (all != DTYPE_F32 && all != here))
        return DTYPE_F32;
      all = here;
    }
  }
  return all;
}

void precision_states_begin(struct module *m, const struct precision_rules *rules) {
  uint32_t most = 0;
  for (uint32_t i = 0; i < m->entries.len; i++)
    most = m->entries.data[i].states.len > most ? m->entries.data[i].states.len : most;
  for (uint32_t state = 0; state < most; state++) {
    enum dtype dtype = agreed(m, state, rules);
    for (uint32_t i = 0; i < m->entries.len && dtype != DTYPE_F32; i++) {
      const struct entry *e = &m->entries.data[i];
      for (uint32_t v = 0; v < e->variants.len && e->states.len; v++) {
        struct function *f = e->variants.data[v].function;
        f->values.data[state_param(f, &e->states.data[state])].type.dtype = dtype;
      }
    }
  }
}

void precision_states_end(struct module *m) {
  for (uint32_t i = 0; i < m->entries.len; i++) {
    const struct entry *e = &m->entries.data[i];
    for (uint32_t v = 0; v < e->variants.len; v++) {
      struct function *f = e->variants.data[v].function;
      struct region *body = function_region(f, 0);
      for (uint32_t s = 0; s < e->states.len; s++) {
        value_id *result = &body->results.data[e->states.data[s].output], x;
        enum dtype state = value_type(f, state_param(f, &e->states.data[s]))->dtype;
        if (value_type(f, *result)->dtype != state &&
            map_is(value_def(f, *result), SCALAR_CAST, &x) && value_type(f, x)->dtype == state)
          *result = x;
      }
    }
  }
}
