/* SPDX-License-Identifier: Apache-2.0 */
/* A PTX module as it is written: declarations and statements with names not yet resolved.
 *
 * Everything lives in the module's arena. Names are resolved by scope: scope 0 is a function's
 * body, each pair of braces opens another. Source: PTX ISA 9.0, sections 4 to 11. */
#ifndef SINTER_SIM_PTX_PTX_H
#define SINTER_SIM_PTX_PTX_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ptx_type {
#define TYPE(name, bytes, class) TYPE_##name,
#include "sim/ptx/type.def"
#undef TYPE
  TYPE_COUNT,
  TYPE_NONE = TYPE_COUNT
};
enum ptx_class { CLASS_PRED, CLASS_BITS, CLASS_UNSIGNED, CLASS_SIGNED, CLASS_PACKED, CLASS_FLOAT };

const char *ptx_type_name(enum ptx_type t);
uint32_t ptx_type_bytes(enum ptx_type t);
enum ptx_class ptx_type_class(enum ptx_type t);
/* By the word after the dot; TYPE_NONE if it is no type. */
enum ptx_type ptx_type_find(const char *word);

enum ptx_space { SPACE_REG, SPACE_GLOBAL, SPACE_SHARED, SPACE_CONST, SPACE_LOCAL, SPACE_PARAM };

enum ptx_arg_kind {
  PTX_NAME,    /* register, special register, variable, label, function; suffix ".x" apart */
  PTX_INT,     /* bits */
  PTX_F32,     /* bits of a 0f constant */
  PTX_F64,     /* bits of a 0d or decimal constant */
  PTX_ADDRESS, /* [name + offset] or [offset] with name NULL */
  PTX_VECTOR,  /* {a, b} */
  PTX_PAIR,    /* p|q */
  PTX_LIST,    /* (a, b) of a call */
};

struct ptx_arg {
  enum ptx_arg_kind kind;
  bool negated;       /* !p */
  bool minus;         /* -name */
  const char *name;   /* may be NULL */
  const char *suffix; /* "x" of %tid.x; may be NULL */
  uint64_t bits;      /* of constants; the offset of an address or of name+offset */
  struct ptx_arg *items;
  uint32_t count;
  uint32_t line;
};
typedef VEC(struct ptx_arg) ptx_args;
typedef VEC(const char *) ptx_words;

/* What a variable begins as: a constant or an address, element by element. */
struct ptx_initial {
  const char *symbol; /* NULL: bits alone */
  uint64_t bits;      /* an offset where there is a symbol */
  enum ptx_arg_kind kind;
};

struct ptx_variable {
  const char *name;
  enum ptx_space space;
  enum ptx_type type;
  uint32_t line, scope;
  uint32_t align;  /* 0: that of the element */
  uint32_t vector; /* 1, 2 or 4 elements of type make one */
  uint64_t count;  /* of elements: the product of the dimensions; registers: of a range <n> */
  bool range;      /* a register range */
  bool array, unsized, external, managed;
  struct ptx_initial *initial;
  uint32_t initials;
};

struct ptx_statement {
  uint32_t line, scope;
  const char *guard; /* predicate register; NULL: none */
  bool guard_negated;
  const char *opcode;
  const char **modifiers; /* words, without dots, in order */
  uint32_t modifier_count;
  struct ptx_arg *args;
  uint32_t arg_count;
};

/* Names a statement; statement `at` is the next one. */
struct ptx_label {
  const char *name;
  uint32_t scope, at, line;
};

/* The labels or functions that an indirect branch or call may reach. */
struct ptx_targets {
  const char *name;
  uint32_t scope, line;
  const char **items;
  uint32_t count;
};

struct ptx_function {
  const char *name;
  uint32_t line;
  bool entry, defined, noreturn;
  VEC(struct ptx_variable) params, returns, variables;
  VEC(struct ptx_statement) statements;
  VEC(struct ptx_label) labels;
  VEC(struct ptx_targets) targets;
  VEC(uint32_t) scopes; /* parent of each; scopes.data[0] is itself */
  uint32_t required[3]; /* .reqntid, zeros if not given */
  uint32_t maximum[3];  /* .maxntid, zeros if not given */
  uint32_t cluster[3];  /* .reqnctapercluster, zeros if not given */
};

struct ptx_module {
  struct arena arena;
  uint32_t version_major, version_minor;
  const char *target;
  uint32_t sm;
  uint32_t address_size;
  VEC(struct ptx_variable) variables; /* of the module's scope */
  VEC(struct ptx_function) functions;
};

/* Parses text of `size` bytes. `file` names it in diagnostics. Every failure is reported to d with
 * its line (E0750, E0751) and leaves an empty module; destroy by ptx_module_deinit either way. */
status ptx_parse(const char *text, size_t size, const char *file, struct diags *d,
                 struct ptx_module *out);
void ptx_module_deinit(struct ptx_module *m);

#endif
