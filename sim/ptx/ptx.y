/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of PTX. Actions only gather: what an instruction means is decided in exec/decode.c. */
%require "3.8"
%define api.pure full
%define api.prefix {ptx_yy}
%define parse.error detailed
%parse-param {struct ptx_parser *p} {void *scanner}
%lex-param {void *scanner}

%code requires {
#include "sim/ptx/ptx_parser.h"
}
%code provides {
int ptx_yylex(PTX_YYSTYPE *value, void *scanner);
}
%code {
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define YYMALLOC mem_alloc
#define YYFREE mem_free
#define YYMAXDEPTH 4000

static void ptx_yyerror(struct ptx_parser *p, void *scanner, const char *message) {
  (void)scanner;
  const char *detail = strncmp(message, "syntax error, ", 14) ? message : message + 14;
  ptx_fail(p, p->line, "%s", detail);
}

static enum ptx_space space_of(const char *word) {
  switch (word[0]) {
  case 'g': return SPACE_GLOBAL;
  case 's': return SPACE_SHARED;
  case 'c': return SPACE_CONST;
  case 'l': return SPACE_LOCAL;
  default: return SPACE_PARAM;
  }
}

static struct ptx_arg *kept(struct ptx_parser *p, ptx_args *list) {
  struct ptx_arg *items =
      arena_memdup(&p->module->arena, list->data ? list->data : (void *)"", list->len * sizeof *items);
  vec_deinit(list);
  return items;
}

static struct ptx_arg group(struct ptx_parser *p, enum ptx_arg_kind kind, ptx_args *list) {
  uint32_t count = list->len;
  return (struct ptx_arg){.kind = kind, .items = kept(p, list), .count = count, .line = p->line};
}

static struct ptx_arg pair(struct ptx_parser *p, struct ptx_arg a, struct ptx_arg b) {
  struct ptx_arg both[2] = {a, b};
  return (struct ptx_arg){.kind = PTX_PAIR, .count = 2, .line = p->line,
                          .items = arena_memdup(&p->module->arena, both, sizeof both)};
}

static void set_cluster(struct ptx_parser *p, uint64_t x, uint64_t y, uint64_t z) {
  uint64_t all[3] = {x, y, z};
  for (uint32_t k = 0; k < 3; k++)
    p->function->cluster[k] = all[k] > UINT32_MAX ? UINT32_MAX : (uint32_t)all[k];
}

/* `.v4 .f32`, `.f32`: what stands between the space and the name. */
static void take_type(struct ptx_parser *p, const char *word) {
  if (!strcmp(word, "v2") || !strcmp(word, "v4")) {
    p->pattern.vector = (uint32_t)(word[1] - '0');
    return;
  }
  if (!strcmp(word, "managed")) {
    p->pattern.managed = true;
    return;
  }
  enum ptx_type t = ptx_type_find(word);
  if (t == TYPE_NONE)
    ptx_fail(p, p->line, "'.%s' is no type of a declaration", word);
  else
    p->pattern.type = t;
}
}

%union {
  const char *text;
  uint64_t bits;
  struct ptx_arg arg;
  ptx_args args;
  ptx_words words;
  struct ptx_variable variable;
  bool flag;
  uint32_t line;
  struct { const char *name; bool negated; } guard;
}

%token KW_TARGET ".target" KW_ADDRESS_SIZE ".address_size" KW_ENTRY ".entry" KW_FUNC ".func"
%token KW_REG ".reg" KW_ALIGN ".align" KW_PTR ".ptr" KW_LINK ".visible" KW_EXTERN ".extern"
%token KW_MAXNTID ".maxntid" KW_REQNTID ".reqntid" KW_TUNING ".minnctapersm"
%token KW_NORETURN ".noreturn" KW_PRAGMA ".pragma" KW_TARGETS ".branchtargets"
%token KW_PROTOTYPE ".callprototype" STRING "string" KW_CLUSTER ".reqnctapercluster"
%token KW_EXPLICIT ".explicitcluster"
%token <text> KW_VERSION ".version" SPACE "state space" WORD "modifier" NAME "name" KW_WEAK ".weak"
%token <bits> INT "integer" FLOAT32 "float" FLOAT64 "double"

%type <arg> operand primary address
%type <args> operands operand_list
%type <words> modifiers names
%type <guard> guard
%type <flag> linkage
%type <line> opcode_line
%type <bits> signed
%type <text> word
%type <variable> declarator

%destructor { vec_deinit(&$$); } <args> <words>

%%

module: %empty | module item;

item: KW_VERSION {
        char *end;
        p->module->version_major = (uint32_t)strtoul($1, &end, 10);
        p->module->version_minor = (uint32_t)strtoul(end + 1, NULL, 10);
      }
    | KW_TARGET names {
        p->module->target = $2.data[0];
        if (!strncmp($2.data[0], "sm_", 3))
          p->module->sm = (uint32_t)strtoul($2.data[0] + 3, NULL, 10);
        vec_deinit(&$2);
      }
    | KW_ADDRESS_SIZE INT { p->module->address_size = (uint32_t)$2; }
    | declaration
    | function
    | pragma;

names: NAME { $$ = (ptx_words){0}; vec_push(&$$, $1); }
     | names ',' NAME { $$ = $1; vec_push(&$$, $3); };

linkage: %empty { $$ = false; }
       | linkage KW_LINK { $$ = $1; }
       | linkage KW_WEAK { $$ = $1; }
       | linkage KW_EXTERN { $$ = true; };

pragma: KW_PRAGMA STRING ';';

/* Declarations. */

declaration: linkage space_begin attributes {
               p->pattern.external = $1;
             } declarators ';' ;

space_begin: SPACE {
               p->pointer = false;
               p->pattern = (struct ptx_variable){.space = space_of($1), .type = TYPE_NONE, .vector = 1};
             }
           | KW_REG {
               p->pointer = false;
               p->pattern = (struct ptx_variable){.space = SPACE_REG, .type = TYPE_NONE, .vector = 1};
             };

attributes: attribute | attributes attribute;
attribute: WORD { take_type(p, $1); }
         | KW_ALIGN INT {
             if (!p->pointer) /* else of what it points to */
               p->pattern.align = $2 > 4096 ? 4096 : (uint32_t)$2;
           }
         | KW_PTR { p->pointer = true; }
         | SPACE;

declarators: declarator { ptx_declare(p, &$1); }
           | declarators ',' declarator { ptx_declare(p, &$3); };

declarator: NAME {
              p->pattern.name = $1;
              p->pattern.line = p->line;
              p->pattern.count = 1;
              p->pattern.array = p->pattern.unsized = p->pattern.range = false;
              p->pattern.initial = NULL;
              p->pattern.initials = 0;
            } shape initial { $$ = p->pattern; };

shape: %empty
     | '<' INT '>' { p->pattern.range = true; p->pattern.count = $2; }
     | dimensions;
dimensions: dimension | dimensions dimension;
dimension: '[' INT ']' {
             p->pattern.array = true;
             if (__builtin_mul_overflow(p->pattern.count, $2, &p->pattern.count)
                 || p->pattern.count > UINT64_C(1) << 40)
               ptx_fail(p, p->line, "array is too large");
           }
         | '[' ']' { p->pattern.array = p->pattern.unsized = true; };

initial: %empty
       | '=' operand {
           struct ptx_arg *items = &$2;
           uint32_t n = 1;
           if ($2.kind == PTX_VECTOR)
             n = $2.count, items = $2.items;
           struct ptx_initial *all = ARENA_ARRAY(&p->module->arena, struct ptx_initial, n);
           for (uint32_t i = 0; i < n; i++) {
             if (items[i].kind > PTX_F64 && items[i].kind != PTX_LIST)
               ptx_fail(p, p->line, "initialiser %u is neither a number nor an address", i);
             all[i] = (struct ptx_initial){items[i].name, items[i].bits, items[i].kind};
           }
           if (p->pattern.unsized)
             p->pattern.count = n, p->pattern.unsized = false;
           p->pattern.initial = all;
           p->pattern.initials = n;
         };

/* Functions. */

function: linkage KW_ENTRY NAME { ptx_begin_function(p, $3, true, p->line); } params tunings body_or_end
        | linkage KW_FUNC function_words results NAME {
            p->function->name = $5;
          } params tunings body_or_end;

function_words: %empty { ptx_begin_function(p, "", false, p->line); }
              | function_words KW_NORETURN { p->function->noreturn = true; };

results: %empty | '(' param_list_or_none ')' {
           struct ptx_function *f = p->function;
           vec_append(&f->returns, f->params.data, f->params.len);
           vec_clear(&f->params);
         };
params: %empty | '(' param_list_or_none ')';
param_list_or_none: %empty | param_list;
param_list: param | param_list ',' param;
param: space_begin attributes declarator { vec_push(&p->function->params, $3); };

tunings: %empty | tunings tuning;
tuning: KW_MAXNTID INT { p->function->maximum[0] = (uint32_t)$2, p->function->maximum[1] = p->function->maximum[2] = 1; }
      | KW_MAXNTID INT ',' INT { p->function->maximum[0] = (uint32_t)$2, p->function->maximum[1] = (uint32_t)$4, p->function->maximum[2] = 1; }
      | KW_MAXNTID INT ',' INT ',' INT {
          p->function->maximum[0] = (uint32_t)$2, p->function->maximum[1] = (uint32_t)$4, p->function->maximum[2] = (uint32_t)$6; }
      | KW_REQNTID INT { p->function->required[0] = (uint32_t)$2, p->function->required[1] = p->function->required[2] = 1; }
      | KW_REQNTID INT ',' INT { p->function->required[0] = (uint32_t)$2, p->function->required[1] = (uint32_t)$4, p->function->required[2] = 1; }
      | KW_REQNTID INT ',' INT ',' INT {
          p->function->required[0] = (uint32_t)$2, p->function->required[1] = (uint32_t)$4, p->function->required[2] = (uint32_t)$6; }
      | KW_CLUSTER INT { set_cluster(p, $2, 1, 1); }
      | KW_CLUSTER INT ',' INT { set_cluster(p, $2, $4, 1); }
      | KW_CLUSTER INT ',' INT ',' INT { set_cluster(p, $2, $4, $6); }
      | KW_EXPLICIT
      | KW_TUNING INT
      | KW_NORETURN
      | KW_PRAGMA STRING ';';

body_or_end: ';' { ptx_end_function(p); }
           | '{' { p->function->defined = true; } statements '}' { ptx_end_function(p); };

statements: %empty | statements statement;

statement: '{' { ptx_open_scope(p); } statements '}' { ptx_close_scope(p); }
         | declaration
         | pragma
         | ';'
         | NAME ':' { ptx_add_label(p, $1, p->line); }
         | NAME ':' KW_TARGETS names ';' {
             uint32_t n = $4.len;
             struct ptx_targets t = {.name = $1, .scope = p->scope, .line = p->line, .count = n,
                 .items = arena_memdup(&p->module->arena, $4.data, n * sizeof *$4.data)};
             vec_deinit(&$4);
             vec_push(&p->function->targets, t);
           }
         | NAME ':' KW_PROTOTYPE prototype ';'
         | NAME opcode_line modifiers operand_list ';' {
             ptx_add_statement(p, NULL, false, $1, &$3, &$4, $2);
           }
         | guard NAME opcode_line modifiers operand_list ';' {
             ptx_add_statement(p, $1.name, $1.negated, $2, &$4, &$5, $3);
           };

/* Checked against the call by its own operands. */
prototype: prototype_params NAME prototype_params KW_NORETURN | prototype_params NAME prototype_params;
prototype_params: %empty | '(' prototype_list ')';
prototype_list: %empty | prototype_param | prototype_list ',' prototype_param;
prototype_param: space_begin attributes declarator;

guard: '@' NAME { $$.name = $2; $$.negated = false; }
     | '@' '!' NAME { $$.name = $3; $$.negated = true; };

opcode_line: %empty { $$ = p->line; };

word: WORD | SPACE | KW_WEAK;
modifiers: %empty { $$ = (ptx_words){0}; }
         | modifiers word { $$ = $1; vec_push(&$$, $2); };

operand_list: %empty { $$ = (ptx_args){0}; } | operands;
operands: operand { $$ = (ptx_args){0}; vec_push(&$$, $1); }
        | operands ',' operand { $$ = $1; vec_push(&$$, $3); };

operand: primary
       | '!' primary { $$ = $2; $$.negated = true; }
       | primary '|' primary { $$ = pair(p, $1, $3); }
       | '{' operands '}' { $$ = group(p, PTX_VECTOR, &$2); }
       | '(' operand_list ')' { $$ = group(p, PTX_LIST, &$2); }
       | '[' address ']' { $$ = $2; }
       | '[' address ',' operands ']' {
           $$ = group(p, PTX_VECTOR, &$4);
           struct ptx_arg inner = $$;
           $$ = $2;
           $$.items = inner.items;
           $$.count = inner.count;
         };

address: primary {
           $$ = $1;
           if ($1.kind != PTX_NAME && $1.kind != PTX_INT)
             ptx_fail(p, p->line, "an address is a name, an integer or their sum");
           $$.kind = PTX_ADDRESS;
         };

signed: INT | '-' INT { $$ = -$2; };

primary: NAME { $$ = (struct ptx_arg){.kind = PTX_NAME, .name = $1, .line = p->line}; }
       | NAME WORD { $$ = (struct ptx_arg){.kind = PTX_NAME, .name = $1, .suffix = $2, .line = p->line}; }
       | NAME '+' signed { $$ = (struct ptx_arg){.kind = PTX_NAME, .name = $1, .bits = $3, .line = p->line}; }
       | NAME '-' INT { $$ = (struct ptx_arg){.kind = PTX_NAME, .name = $1, .bits = -$3, .line = p->line}; }
       | NAME '(' NAME ')' {
           if (strcmp($1, "generic"))
             ptx_fail(p, p->line, "'%s(' is no operand", $1);
           $$ = (struct ptx_arg){.kind = PTX_NAME, .name = $3, .line = p->line};
         }
       | signed { $$ = (struct ptx_arg){.kind = PTX_INT, .bits = $1, .line = p->line}; }
       | FLOAT32 { $$ = (struct ptx_arg){.kind = PTX_F32, .bits = $1, .line = p->line}; }
       | FLOAT64 { $$ = (struct ptx_arg){.kind = PTX_F64, .bits = $1, .line = p->line}; }
       | '-' FLOAT64 { $$ = (struct ptx_arg){.kind = PTX_F64, .bits = $2 ^ UINT64_C(1) << 63, .line = p->line}; }
       | '-' NAME { $$ = (struct ptx_arg){.kind = PTX_NAME, .name = $2, .minus = true, .line = p->line}; };
