/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that the host computes, element by element: those of host_op.def. What the interpreter
 * and the runtime share. */
#ifndef SINTER_BASE_HOST_OP_H
#define SINTER_BASE_HOST_OP_H

#include "base/dtype.h"
#include "base/host_strings.h"

enum host_op {
#define HOST_OP(E, text, number, signature) HOST_OP_##E = (number),
#include "base/host_op.def"
#undef HOST_OP
  HOST_OP_COUNT
};

#define HOST_OP_MAX_OPERANDS 4

/* The row's text and signature; NULL for numbers without a row. */
const char *host_op_name(uint32_t op);
const char *host_op_signature(uint32_t op);
uint32_t host_op_operands(uint32_t op);

/* The letter of operand i; that of the result: i = host_op_operands. */
char host_op_letter(uint32_t op, uint32_t i);
static inline bool host_op_letter_is_parameter(char c) { return c >= 'A' && c <= 'Z'; }
/* Whether a value of that element type may be where the signature has the letter. */
bool host_op_letter_takes(char letter, enum dtype dtype);

struct host_call {
  enum host_op op;
  struct host_strings *strings;
  /* Elements as they lie in memory, sub-byte types one per byte; strings by number. The types are
   * what the signature allows. */
  const void *in[HOST_OP_MAX_OPERANDS];
  enum dtype in_dtype[HOST_OP_MAX_OPERANDS];
  uint64_t in_elements[HOST_OP_MAX_OPERANDS];
  void *out; /* as many elements as elementwise operands have; none of them */
  enum dtype out_dtype;
  uint64_t elements;
};

enum host_result {
  HOST_OK,
  HOST_NO_MEMORY,
  HOST_BAD_VALUE, /* the data: text that is no number, a number that is no string's, an automaton
                     that is none */
};

enum host_result host_op_run(const struct host_call *call);

#endif
