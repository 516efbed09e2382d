/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of text IR. Actions only gather; what is gathered is checked and built in parse*.c. */
%require "3.8"
%define api.pure full
%define api.prefix {sir_}
%define api.location.type {struct sir_loc}
%define parse.error detailed
%locations
%parse-param {struct sir_parser *p} {void *scanner}
%lex-param {void *scanner}

%code requires {
#include "ir/sir_parse.h"
}
%code provides {
int sir_lex(SIR_STYPE *value, SIR_LTYPE *at, void *scanner);
}
%code {
#include "base/mem.h"

#include <string.h>

#define YYMALLOC mem_alloc
#define YYFREE mem_free
#define YYMAXDEPTH 4000

static void sir_error_at(struct sir_loc *at, struct sir_parser *p, void *scanner,
                         const char *message) {
  (void)scanner;
  const char *detail = message;
  /* The one thing that the parser's stack runs out for. */
  if (!strcmp(detail, "memory exhausted")) {
    sir_error(p, at, DIAG_E0209, NULL, "the text is nested too deeply");
    return;
  }
  if (!strncmp(detail, "syntax error, ", 14))
    detail += 14;
  sir_error(p, at, DIAG_E0201, NULL, "%s", detail);
}
#undef yyerror
#define yyerror sir_error_at
}

%initial-action { @$ = (struct sir_loc){1, 1, 0}; }

%union {
  struct sir_name name;
  struct sir_names names;
  struct sir_expr expr;
  struct sir_exprs exprs;
  struct type type;
  struct sir_types types;
  struct { struct sir_names names; struct sir_types types; } params;
  struct { struct sir_names names; struct sir_exprs sizes; } axes;
  struct sir_attr attr;
  struct sir_attrs attrs;
  struct sir_scalar *scalar;
  struct sir_body *body;
  struct sir_conds conds;
  struct guard guard;
  struct sir_refs refs;
  struct { enum split_order order; int64_t block; } order;
  struct sir_regions regions;
  struct sir_op *op;
  region_id region;
  uint32_t number;
  int64_t integer;
}

%token <name> KW_FUNC "func" KW_RETURN "return" KW_YIELD "yield" KW_REGION "region"
%token <name> KW_WHERE "where" KW_IN "in" KW_MESH "mesh" KW_CONSTANT "constant" KW_ENTRY "entry" KW_STATE "state"
%token <name> KW_LOC "loc" KW_PARTIAL "partial" KW_HEX "hex" KW_FILE "file"
%token <name> FLOORDIV "floordiv" MOD "mod"
%token <name> NAME "a name" STRING "a string" VALUE "a value (%name)" GLOBAL "a global (@name)"
%token <expr> INTEGER "an integer" FLOATING "a number" ARGUMENT "an operand ($0)"
%token ARROW "->" DOTDOT ".." EQUAL "==" AT_MOST "<="
%token INVALID "something that is no token"
%token END 0 "the end of the text"

%type <name> word dim_name relation mesh_name
%type <names> strings string_list values value_list results
%type <expr> expr term unary number integer
%type <exprs> exprs expr_list numbers number_list
%type <type> type plain_type
%type <types> types type_list result_types
%type <params> params param_list region_params
%type <axes> axes
%type <attr> attr
%type <attrs> attrs
%type <scalar> scalar scalar_args literal
%type <body> lets body
%type <conds> where conditions guards guard_list
%type <guard> guard
%type <refs> refs ref
%type <integer> granule
%type <order> order
%type <regions> regions
%type <region> region
%type <op> op_head op_constant op_braces op
%type <number> loc

/* After the name of an op, a value is its operand and not the start of the next op. */
%precedence NO_OPERANDS
%precedence VALUE

%%

module: %empty | module item
item: mesh | constant | function | entry
    | error { sir_function_abandon(p); }

/* ---- words ---- */

word: NAME | KW_FUNC | KW_RETURN | KW_YIELD | KW_REGION | KW_WHERE | KW_IN | KW_MESH | KW_CONSTANT
    | KW_ENTRY | KW_STATE | KW_LOC | KW_PARTIAL | KW_HEX | KW_FILE
dim_name: word | STRING

/* ---- dims ---- */

expr: term
    | expr '+' term { $$ = sir_binary(p, DIM_KIND_ADD, false, $1, $3); }
    | expr '-' term { $$ = sir_binary(p, DIM_KIND_ADD, true, $1, $3); }
term: unary
    | term '*' unary { $$ = sir_binary(p, DIM_KIND_MUL, false, $1, $3); }
    | term FLOORDIV unary { $$ = sir_binary(p, DIM_KIND_FLOORDIV, false, $1, $3); }
    | term MOD unary { $$ = sir_binary(p, DIM_KIND_MOD, false, $1, $3); }
unary: INTEGER | FLOATING
    | '-' unary { $$ = sir_negate(p, $2); $$.at = @1; }
    | word { $$ = (struct sir_expr){.kind = EXPR_NAME, .at = @1, .text = $1.text}; }
    | STRING { $$ = (struct sir_expr){.kind = EXPR_STRING, .at = @1, .text = $1.text}; }
    | '(' expr ')' { $$ = $2; }
    | NAME '(' expr_list ')' { $$ = sir_call(p, $1, $3); }
exprs: %empty { $$ = (struct sir_exprs){0}; } | expr_list
expr_list: expr { $$ = (struct sir_exprs){0}; SIR_PUSH(p, &$$, $1); }
    | expr_list ',' expr { $$ = $1; SIR_PUSH(p, &$$, $3); }

number: INTEGER | FLOATING
    | word { $$ = (struct sir_expr){.kind = EXPR_NAME, .at = @1, .text = $1.text}; }
    | '-' number { $$ = sir_negate(p, $2); $$.at = @1; }
numbers: %empty { $$ = (struct sir_exprs){0}; } | number_list
number_list: number { $$ = (struct sir_exprs){0}; SIR_PUSH(p, &$$, $1); }
    | number_list ',' number { $$ = $1; SIR_PUSH(p, &$$, $3); }
integer: INTEGER | '-' INTEGER { $$ = sir_negate(p, $2); $$.at = @1; }

where: %empty { $$ = (struct sir_conds){0}; } | KW_WHERE conditions { $$ = $2; }
conditions: bound { $$ = (struct sir_conds){0}; }
    | guard { $$ = (struct sir_conds){0}; SIR_PUSH(p, &$$, $1); }
    | conditions ',' bound { $$ = $1; }
    | conditions ',' guard { $$ = $1; SIR_PUSH(p, &$$, $3); }
/* Bounds were read ahead of everything: see sir_bounds_of_text. */
bound: dim_name KW_IN limit DOTDOT limit
limit: %empty | integer
guard: expr relation expr { $$ = sir_guard(p, $1, $2.text, &@2, $3); }
relation: NAME
    | EQUAL { $$ = (struct sir_name){.text = "eq"}; }
    | AT_MOST { $$ = (struct sir_name){.text = "le"}; }
    | '<' { $$ = (struct sir_name){.text = "lt"}; }
guards: %empty { $$ = (struct sir_conds){0}; } | KW_WHERE guard_list { $$ = $2; }
guard_list: guard { $$ = (struct sir_conds){0}; SIR_PUSH(p, &$$, $1); }
    | guard_list ',' guard { $$ = $1; SIR_PUSH(p, &$$, $3); }

/* ---- types and shardings ---- */

plain_type: NAME '[' exprs ']' { $$ = sir_type(p, $1, &$3); }
type: plain_type
    | plain_type mesh_name { sir_sharding_begin(p, $2); } '{' splits '}' partial
      { $$ = $1; sir_sharding_end(p, &@2, &$$); }
mesh_name: '@' { $$ = (struct sir_name){.at = @1}; } | GLOBAL
splits: %empty | split_list
split_list: split | split_list ',' split
split: '-' { sir_split(p, &@1, (struct sir_refs){0}, 0, SPLIT_BLOCK, 0); }
    | ref granule order { sir_split(p, &@1, $1, $2, $3.order, $3.block); }
    | '[' refs ']' granule order { sir_split(p, &@1, $2, $4, $5.order, $5.block); }
granule: %empty { $$ = 1; }
    | '*' INTEGER { if (!sir_i64(p, &$2, &$$)) $$ = 1; }
order: %empty { $$.order = SPLIT_BLOCK; $$.block = 0; }
    | '~' INTEGER { $$.order = SPLIT_INTERLEAVED; if (!sir_i64(p, &$2, &$$.block)) $$.block = 1; }
    | '~' NAME
      { $$.order = SPLIT_ZIGZAG; $$.block = 0;
        if (strcmp($2.text, "zig"))
          sir_error(p, &@2, DIAG_E0202, "~zig or ~16", "there is no order '%s'", $2.text); }
refs: ref | refs ',' ref { $$ = sir_refs_join(p, &@3, $1, $3); }
ref: dim_name { $$ = sir_ref(p, $1, NULL, NULL); }
    | dim_name ':' INTEGER { $$ = sir_ref(p, $1, NULL, &$3); }
    | dim_name '/' INTEGER ':' INTEGER { $$ = sir_ref(p, $1, &$3, &$5); }
partial: %empty
    | KW_PARTIAL '(' NAME ',' refs ')' { sir_partial(p, $3, $5); }

types: %empty { $$ = (struct sir_types){0}; } | type_list
type_list: type { $$ = (struct sir_types){0}; SIR_PUSH(p, &$$, $1); }
    | type_list ',' type { $$ = $1; SIR_PUSH(p, &$$, $3); }

/* ---- items ---- */

mesh: KW_MESH GLOBAL '[' axes ']' { sir_mesh(p, $2, $4.names, $4.sizes); }
axes: dim_name '=' INTEGER
      { $$.names = (struct sir_names){0}; $$.sizes = (struct sir_exprs){0};
        SIR_PUSH(p, &$$.names, $1); SIR_PUSH(p, &$$.sizes, $3); }
    | axes ',' dim_name '=' INTEGER
      { $$ = $1; SIR_PUSH(p, &$$.names, $3); SIR_PUSH(p, &$$.sizes, $5); }

constant: KW_CONSTANT GLOBAL ':' plain_type '=' '[' numbers ']'
      { sir_constant_numbers(p, $2, &$4, &$7); }
    | KW_CONSTANT GLOBAL ':' plain_type '=' '[' string_list ']'
      { sir_constant_strings(p, $2, &$4, &$7); }
    | KW_CONSTANT GLOBAL ':' plain_type '=' KW_HEX STRING
      { sir_constant_hex(p, $2, &$4, $7.text, &@7); }
    | KW_CONSTANT GLOBAL ':' plain_type '=' KW_FILE '(' STRING ',' INTEGER ')'
      { sir_constant_file(p, $2, &$4, $8.text, &$10); }

entry: KW_ENTRY GLOBAL strings ARROW strings { sir_entry(p, $2, $3, $5); } states '{' variants '}'
states: %empty | KW_STATE strings strings ARROW strings { sir_states(p, &$1.at, $2, $3, $5); }
variants: variant | variants variant
variant: GLOBAL guards ';' { sir_variant(p, $1, &$2); }
strings: '(' ')' { $$ = (struct sir_names){0}; } | '(' string_list ')' { $$ = $2; }
string_list: STRING { $$ = (struct sir_names){0}; SIR_PUSH(p, &$$, $1); }
    | string_list ',' STRING { $$ = $1; SIR_PUSH(p, &$$, $3); }

/* ---- functions ---- */

function: KW_FUNC GLOBAL params ARROW '(' types ')' where
      { sir_function_begin(p, $2, $3.names, $3.types, $6, $8); }
      '{' ops KW_RETURN values '}' { sir_function_end(p, $13, &@12); }
params: '(' ')' { $$.names = (struct sir_names){0}; $$.types = (struct sir_types){0}; }
    | '(' param_list ')' { $$ = $2; }
param_list: VALUE ':' type
      { $$.names = (struct sir_names){0}; $$.types = (struct sir_types){0};
        SIR_PUSH(p, &$$.names, $1); SIR_PUSH(p, &$$.types, $3); }
    | param_list ',' VALUE ':' type
      { $$ = $1; SIR_PUSH(p, &$$.names, $3); SIR_PUSH(p, &$$.types, $5); }

values: %empty %prec NO_OPERANDS { $$ = (struct sir_names){0}; } | value_list
value_list: VALUE { $$ = (struct sir_names){0}; SIR_PUSH(p, &$$, $1); }
    | value_list ',' VALUE { $$ = $1; SIR_PUSH(p, &$$, $3); }

ops: %empty | ops op { sir_op(p, $2); }
op: op_braces regions result_types loc
      { $$ = $1; $$->regions = $2; $$->types = $3; $$->provenance = $4; }
op_head: results NAME values
      { $$ = ARENA_NEW(&p->scratch, struct sir_op);
        $$->results = $1; $$->name = $2; $$->operands = $3; }
results: %empty { $$ = (struct sir_names){0}; } | value_list '='
op_constant: op_head | op_head GLOBAL { $$ = $1; $$->constant = $2; }
op_braces: op_constant
    | op_constant '{' '}'
    | op_constant '{' attrs '}' { $$ = $1; $$->attrs = $3; }
    | op_constant '{' body '}' { $$ = $1; $$->body = $3; }
regions: %empty { $$ = (struct sir_regions){0}; }
    | regions region { $$ = $1; SIR_PUSH(p, &$$, $2); }
region: KW_REGION region_params
      { if (!sir_region_begin(p, $2.names, $2.types, &@1)) YYABORT; }
      '{' ops KW_YIELD values '}' { $$ = sir_region_end(p, $7); }
region_params: %empty { $$.names = (struct sir_names){0}; $$.types = (struct sir_types){0}; }
    | params
result_types: %empty { $$ = (struct sir_types){0}; } | ':' type_list { $$ = $2; }
loc: %empty { $$ = 0; }
    | KW_LOC '(' STRING ',' STRING ',' integer ')'
      { $$ = sir_loc_provenance(p, $3.text, $5.text, &$7); }

attrs: attr { $$ = (struct sir_attrs){0}; SIR_PUSH(p, &$$, $1); }
    | attrs ',' attr { $$ = $1; SIR_PUSH(p, &$$, $3); }
attr: NAME '=' expr
      { $$ = (struct sir_attr){.name = $1, .kind = VALUE_EXPR}; SIR_PUSH(p, &$$.exprs, $3); }
    | NAME '=' '[' exprs ']'
      { $$ = (struct sir_attr){.name = $1, .kind = VALUE_EXPRS, .exprs = $4}; }
    | NAME '=' type
      { $$ = (struct sir_attr){.name = $1, .kind = VALUE_TYPES}; SIR_PUSH(p, &$$.types, $3); }
    | NAME '=' '[' type_list ']'
      { $$ = (struct sir_attr){.name = $1, .kind = VALUE_TYPES, .types = $4}; }

/* ---- scalar bodies ---- */

body: scalar
      { $$ = ARENA_NEW(&p->scratch, struct sir_body); $$->result = $1; }
    | lets scalar { $$ = $1; $$->result = $2; }
lets: VALUE '=' scalar ';'
      { $$ = ARENA_NEW(&p->scratch, struct sir_body);
        $$->lets = sir_grow(p, $$->lets, $$->n_lets, &$$->cap, sizeof *$$->lets);
        $$->lets[$$->n_lets++] = (struct sir_let){$1.text, @1, $3}; }
    | lets VALUE '=' scalar ';'
      { $$ = $1;
        $$->lets = sir_grow(p, $$->lets, $$->n_lets, &$$->cap, sizeof *$$->lets);
        $$->lets[$$->n_lets++] = (struct sir_let){$2.text, @2, $4}; }
scalar: ARGUMENT
      { $$ = ARENA_NEW(&p->scratch, struct sir_scalar);
        $$->kind = SIR_ARG; $$->at = @1; $$->literal = $1; }
    | VALUE
      { $$ = ARENA_NEW(&p->scratch, struct sir_scalar);
        $$->kind = SIR_LET; $$->at = @1; $$->text = $1.text; }
    | literal
    | literal ':' NAME { $$ = $1; $$->dtype = $3.text; }
    | NAME '(' scalar_args ')' { $$ = $3; $$->text = $1.text; $$->at = @1; }
    | MOD '(' scalar_args ')' { $$ = $3; $$->text = $1.text; $$->at = @1; }
scalar_args: scalar
      { $$ = ARENA_NEW(&p->scratch, struct sir_scalar); $$->kind = SIR_CALL;
        $$->args = sir_grow(p, $$->args, $$->n_args, &$$->cap, sizeof *$$->args);
        $$->args[$$->n_args++] = $1; }
    | scalar_args ',' scalar
      { $$ = $1;
        $$->args = sir_grow(p, $$->args, $$->n_args, &$$->cap, sizeof *$$->args);
        $$->args[$$->n_args++] = $3; }
literal: INTEGER
      { $$ = ARENA_NEW(&p->scratch, struct sir_scalar);
        $$->kind = SIR_LITERAL; $$->at = @1; $$->literal = $1; }
    | FLOATING
      { $$ = ARENA_NEW(&p->scratch, struct sir_scalar);
        $$->kind = SIR_LITERAL; $$->at = @1; $$->literal = $1; }
    | NAME
      { $$ = ARENA_NEW(&p->scratch, struct sir_scalar);
        $$->kind = SIR_LITERAL; $$->at = @1;
        $$->literal = (struct sir_expr){.kind = EXPR_NAME, .at = @1, .text = $1.text}; }
    | '-' literal
      { $$ = $2; $$->at = @1; $$->literal = sir_negate(p, $$->literal); }
