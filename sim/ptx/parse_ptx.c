/* SPDX-License-Identifier: Apache-2.0 */
/* What the grammar's actions call, and the entry to the parser. */
#include "sim/ptx/ptx_parser.h"

#include "base/mem.h"
#include "sim/ptx/ptx.tab.h"

#define YYSTYPE PTX_YYSTYPE
#include "sim/ptx/ptx.lex.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
  const char *name;
  uint8_t bytes, class;
} types[] = {
#define TYPE(name, bytes, class) {#name, bytes, CLASS_##class},
#include "sim/ptx/type.def"
#undef TYPE
};

const char *ptx_type_name(enum ptx_type t) { return t < TYPE_COUNT ? types[t].name : "none"; }
uint32_t ptx_type_bytes(enum ptx_type t) { return t < TYPE_COUNT ? types[t].bytes : 0; }
enum ptx_class ptx_type_class(enum ptx_type t) {
  return t < TYPE_COUNT ? (enum ptx_class)types[t].class : CLASS_PRED;
}

enum ptx_type ptx_type_find(const char *word) {
  for (uint32_t t = 0; t < TYPE_COUNT; t++)
    if (!strcmp(types[t].name, word))
      return (enum ptx_type)t;
  return TYPE_NONE;
}

void ptx_fail(struct ptx_parser *p, uint32_t line, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  struct diag_where where = DIAG_NOWHERE;
  where.file = p->file;
  where.line = line;
  diag_report(p->diags, DIAG_E0750, &where, NULL, "%s", text);
  p->failed = true;
}

void ptx_begin_function(struct ptx_parser *p, const char *name, bool entry, uint32_t line) {
  vec_push(&p->module->functions,
           ((struct ptx_function){.name = name, .entry = entry, .line = line}));
  p->function = &vec_last(&p->module->functions);
  vec_push(&p->function->scopes, 0);
  p->scope = 0;
}

void ptx_end_function(struct ptx_parser *p) { p->function = NULL; }

void ptx_open_scope(struct ptx_parser *p) {
  vec_push(&p->function->scopes, p->scope);
  p->scope = p->function->scopes.len - 1;
}

void ptx_close_scope(struct ptx_parser *p) { p->scope = p->function->scopes.data[p->scope]; }

void ptx_declare(struct ptx_parser *p, const struct ptx_variable *v) {
  struct ptx_variable made = *v;
  made.scope = p->scope;
  if (made.type == TYPE_NONE) {
    ptx_fail(p, made.line, "variable '%s' has no type", made.name);
    return;
  }
  if (made.range && (made.count > 1 << 20 || made.space != SPACE_REG)) {
    ptx_fail(p, made.line, "'%s<%llu>' is no range of registers", made.name,
             (unsigned long long)made.count);
    return;
  }
  if (p->function)
    vec_push(&p->function->variables, made);
  else
    vec_push(&p->module->variables, made);
}

void ptx_add_statement(struct ptx_parser *p, const char *guard, bool negated, const char *opcode,
                       ptx_words *modifiers, ptx_args *args, uint32_t line) {
  struct arena *a = &p->module->arena;
  struct ptx_statement s = {
      .line = line, .scope = p->scope, .guard = guard, .guard_negated = negated, .opcode = opcode};
  s.modifier_count = modifiers->len;
  s.arg_count = args->len;
  if (modifiers->len)
    s.modifiers = arena_memdup(a, modifiers->data, modifiers->len * sizeof *modifiers->data);
  if (args->len)
    s.args = arena_memdup(a, args->data, args->len * sizeof *args->data);
  vec_deinit(modifiers);
  vec_deinit(args);
  vec_push(&p->function->statements, s);
}

void ptx_add_label(struct ptx_parser *p, const char *name, uint32_t line) {
  struct ptx_label label = {name, p->scope, p->function->statements.len, line};
  vec_push(&p->function->labels, label);
}

static void empty(struct ptx_module *m) {
  for (uint32_t i = 0; i < m->functions.len; i++) {
    struct ptx_function *f = &m->functions.data[i];
    vec_deinit(&f->params);
    vec_deinit(&f->returns);
    vec_deinit(&f->variables);
    vec_deinit(&f->statements);
    vec_deinit(&f->labels);
    vec_deinit(&f->targets);
    vec_deinit(&f->scopes);
  }
  vec_deinit(&m->functions);
  vec_deinit(&m->variables);
  arena_deinit(&m->arena);
}

void ptx_module_deinit(struct ptx_module *m) {
  empty(m);
  *m = (struct ptx_module){0};
}

status ptx_parse(const char *text, size_t size, const char *file, struct diags *d,
                 struct ptx_module *out) {
  *out = (struct ptx_module){0};
  arena_init(&out->arena);
  struct ptx_parser parser = {.module = out, .diags = d, .file = file, .line = 1};
  if (size > INT32_MAX) {
    ptx_fail(&parser, 1, "the text has %zu bytes, more than are read", size);
    return STATUS_INVALID;
  }
  void *scanner;
  ptx_yylex_init_extra(&parser, &scanner);
  ptx_yy_scan_bytes(text, (int)size, scanner);
  int result = ptx_yyparse(&parser, scanner);
  ptx_yylex_destroy(scanner);
  if (!result && !parser.failed && !out->version_major)
    ptx_fail(&parser, 1, "the text does not begin with .version: it is no PTX");
  if (!result && !parser.failed)
    return STATUS_OK;
  ptx_module_deinit(out);
  return STATUS_INVALID;
}
