/* SPDX-License-Identifier: Apache-2.0 */
/* Checking the states of entries. */
#include "runtime/plan_load.h"

#include <string.h>

static bool same_dims(const Engine__Port *a, const Engine__Port *b) {
  return a->n_dims == b->n_dims && !memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims);
}

static bool is_counter(const Engine__Entry *e, uint32_t input) {
  const Engine__Port *port = e->inputs[input], *tokens = e->inputs[0];
  return port->dtype == DTYPE_I64 && port->n_dims == 1 && !port->optional && !tokens->optional &&
         tokens->n_dims >= 2 && tokens->dims[0] == port->dims[0];
}

static status check_state(struct plan_loader *l, const Engine__Entry *e, size_t i) {
  const Engine__State *s = e->states[i];
  if (s->input != e->n_inputs - e->n_states + i || s->output != e->n_outputs - e->n_states + i)
    return loader_fail(l, "state %zu is input %u and output %u", i, s->input, s->output);
  const Engine__Port *in = e->inputs[s->input], *out = e->outputs[s->output];
  if (in->dtype != out->dtype || !same_dims(in, out) || in->optional ||
      dtype_is_sub_byte((enum dtype)in->dtype) || in->dtype == DTYPE_STRING)
    return loader_fail(l, "state %zu goes out as another type than it came in", i);
  if (s->axis == 0 || s->axis >= in->n_dims)
    return loader_fail(l, "state %zu has no batch, or no rows in dim %u", i, s->axis);
  if (l->plan->ranks == 1 && in->dims[0] != e->inputs[0]->dims[0])
    return loader_fail(l, "state %zu has other batch rows than the tokens", i);
  const Engine__Entry *first = l->with_states;
  if (first && (first->states[i]->axis != s->axis ||
                first->inputs[first->states[i]->input]->dtype != in->dtype ||
                !same_dims(first->inputs[first->states[i]->input], in)))
    return loader_fail(l, "state %zu has another type than in an entry before", i);
  return STATUS_OK;
}

status loader_states(struct plan_loader *l, const Engine__Entry *e) {
  size_t n = e->n_states;
  if (!n)
    return e->length || e->count || e->capacity
               ? loader_fail(l, "an entry counts rows of no states")
               : STATUS_OK;
  if (n + 2 > e->n_inputs || n > e->n_outputs || e->length != e->n_inputs - n || e->length < 2 ||
      e->count >= e->length || !is_counter(e, e->length - 1) ||
      (e->count && !is_counter(e, e->count - 1)))
    return loader_fail(l, "an entry's %zu states do not fit its inputs and outputs", n);
  status s = loader_index(l, "symbol", e->capacity, l->m->n_symbols);
  if (!s && !e->capacity)
    s = loader_fail(l, "states have no capacity");
  if (!s && l->with_states &&
      (l->with_states->n_states != n || l->with_states->capacity != e->capacity))
    s = loader_fail(l, "entries have different states");
  for (size_t i = 0; !s && i < n; i++)
    s = check_state(l, e, i);
  if (!s && !l->with_states)
    l->with_states = e;
  return s;
}
