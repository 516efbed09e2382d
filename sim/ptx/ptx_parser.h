/* SPDX-License-Identifier: Apache-2.0 */
/* What scanner and grammar share. Private to sim/ptx/. */
#ifndef SINTER_SIM_PTX_PARSER_H
#define SINTER_SIM_PTX_PARSER_H

#include "sim/ptx/ptx.h"

struct ptx_parser {
  struct ptx_module *module;
  struct diags *diags;
  const char *file;
  uint32_t line;
  uint32_t scope;                /* the innermost open one */
  struct ptx_function *function; /* NULL outside of functions; valid until the next one is added */
  bool failed;
  /* of the declaration at hand */
  struct ptx_variable pattern;
  bool pointer; /* .ptr: what follows is not of the parameter */
  ptx_words words;
};

/* Reports E0750 at `line`. */
void ptx_fail(struct ptx_parser *p, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void ptx_begin_function(struct ptx_parser *p, const char *name, bool entry, uint32_t line);
void ptx_end_function(struct ptx_parser *p);
void ptx_open_scope(struct ptx_parser *p);
void ptx_close_scope(struct ptx_parser *p);
/* Adds a variable made after p->pattern to the function or module. */
void ptx_declare(struct ptx_parser *p, const struct ptx_variable *v);
void ptx_add_statement(struct ptx_parser *p, const char *guard, bool negated, const char *opcode,
                       ptx_words *modifiers, ptx_args *args, uint32_t line);
void ptx_add_label(struct ptx_parser *p, const char *name, uint32_t line);

#endif
