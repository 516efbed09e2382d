/* SPDX-License-Identifier: Apache-2.0 */
/* States of entries; see states.h. */
#include "ir/states.h"

/* The only op that reads v, once; NULL. A use as a region's result counts as another. */
static const struct op *only_reader(const struct function *f, value_id v, uint32_t *out_operand) {
  const struct op *reader = NULL;
  for (op_id id = 1; id < f->ops.len; id++) {
    const struct op *op = function_op(f, id);
    for (uint32_t i = 0; op->kind != OP_NONE && i < op->n_operands; i++) {
      if (op->operands[i] != v)
        continue;
      if (reader)
        return NULL;
      reader = op;
      *out_operand = i;
    }
  }
  for (uint32_t r = 0; r < f->regions.len; r++) {
    const struct region *region = &f->regions.data[r];
    for (uint32_t i = 0; i < region->results.len; i++)
      if (region->results.data[i] == v)
        return NULL;
  }
  return reader;
}

const struct op *state_update(const struct function *f, uint32_t param, value_id *out_result) {
  uint32_t operand;
  const struct op *outer = only_reader(f, f->regions.data[0].params.data[param], &operand),
                  *op = outer;
  *out_result = VALUE_NONE;
  if (op && op->kind == OP_FUSED) {
    const struct region *r = &f->regions.data[op->regions[0]];
    op = only_reader(f, r->params.data[operand], &operand);
    for (uint32_t i = 0; op && i < r->results.len; i++)
      if (r->results.data[i] == op->results[0])
        *out_result = outer->results[i];
  } else if (op) {
    *out_result = op->results[0];
  }
  bool in_place = op && op->kind == OP_UPDATE && operand == 0 && OP_ATTRS(update, op)->in_place;
  return in_place ? op : NULL;
}

static const char *state_problem(const struct function *f, const struct entry_state *s) {
  value_id result;
  if (!state_update(f, s->input, &result))
    return "a state is not updated in place, or something else reads it";
  const struct region *body = &f->regions.data[0];
  if (result == VALUE_NONE || body->results.data[s->output] != result)
    return "a state is not what its update gives";
  for (uint32_t i = 0; i < body->results.len; i++)
    if (i != s->output && body->results.data[i] == result)
      return "a state is given twice";
  return NULL;
}

static bool is_counter(const struct function *f, uint32_t input) {
  const struct type *type = value_type(f, f->regions.data[0].params.data[input]);
  return type->dtype == DTYPE_I64 && type->rank == 1;
}

const char *entry_states_problem(const struct entry *e) {
  uint32_t n = e->states.len, inputs = e->input_names.len, outputs = e->output_names.len;
  if (!n)
    return e->length || e->count ? "it counts rows of no states" : NULL;
  if (n >= inputs || n > outputs || e->length != inputs - n || e->count >= e->length)
    return "its states must be the last inputs, after their length, and the last outputs";
  for (uint32_t i = 0; i < n; i++)
    if (e->states.data[i].input != inputs - n + i || e->states.data[i].output != outputs - n + i)
      return "its states must be the last inputs and outputs, in order";
  for (uint32_t v = 0; v < e->variants.len; v++) {
    const struct function *f = e->variants.data[v].function;
    if (!is_counter(f, e->length - 1) || (e->count && !is_counter(f, e->count - 1)))
      return "the rows of its states must be counted by i64 [batch]";
    for (uint32_t i = 0; i < n; i++) {
      const char *why = state_problem(f, &e->states.data[i]);
      if (why)
        return why;
    }
  }
  return NULL;
}
