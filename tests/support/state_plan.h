/* SPDX-License-Identifier: Apache-2.0 */
/* An entry with a state, as decoders have it: of tokens [batch, 1], length [batch] and past [...]
 * it gives y [batch] and present, which is the state after the run. All are i64. */
#ifndef SINTER_TESTS_STATE_PLAN_H
#define SINTER_TESTS_STATE_PLAN_H

#include "tests/support/engine_fixture.h"

struct state_plan {
  uint32_t tokens, length, past, y, present; /* values */
  uint32_t block;                            /* of the entry, whose steps the caller adds */
};

/* Entry "decode", whose capacity is the symbol. The state has those dims; `batch` and `elements`
 * (of the state) are expressions. */
static inline struct state_plan state_plan_begin(struct engine_maker *e, uint32_t capacity_symbol,
                                                 uint32_t batch, const uint32_t *dims,
                                                 uint32_t n_dims, uint32_t elements) {
  struct manifest_build *b = &e->build;
  uint32_t entry = manifest_build_entry(b, "decode"), one = engine_const(e, 1);
  struct state_plan p = {
      .tokens = engine_value(e, ENGINE__STORAGE__INPUT, 0, 0, DTYPE_I64, batch, 0, 0),
      .length = engine_value(e, ENGINE__STORAGE__INPUT, 1, 0, DTYPE_I64, batch, 0, 0),
      .past = engine_value(e, ENGINE__STORAGE__INPUT, 2, 0, DTYPE_I64, elements, 0, 0),
      .y = engine_value(e, ENGINE__STORAGE__OUTPUT, 0, 0, DTYPE_I64, batch, 0, 0),
      .present = engine_value(e, ENGINE__STORAGE__OUTPUT, 1, 0, DTYPE_I64, elements, 0, 0)};
  manifest_build_input(b, entry, "tokens", DTYPE_I64, (uint32_t[]){batch, one}, 2, p.tokens);
  manifest_build_input(b, entry, "length", DTYPE_I64, &batch, 1, p.length);
  manifest_build_input(b, entry, "past", DTYPE_I64, dims, n_dims, p.past);
  manifest_build_output(b, entry, "y", DTYPE_I64, &batch, 1, p.y);
  manifest_build_output(b, entry, "present", DTYPE_I64, dims, n_dims, p.present);
  manifest_build_state(b, entry, 2, 1, 1);
  b->manifest.entries[0]->length = 2;
  b->manifest.entries[0]->capacity = capacity_symbol;
  p.block = manifest_build_block(b);
  manifest_build_variant(b, entry, p.block);
  manifest_build_step_layout(b, p.block);
  return p;
}

#endif
