/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of machine files:
 *
 *     machine h100
 *     device { memory 80GB from "data sheet"  bandwidth { 64MB 2.76TB/s, 1GB 3.01TB/s } from "..." }
 *     level nvlink { devices 8 from "..."  latency 2us from "..."  bandwidth 380GB/s from "..." }
 *
 * Which figures there are, and their units, is in machine_build.c. */
%require "3.8"
%define api.pure full
%define api.prefix {machine_file_}
%define api.location.type {struct machine_loc}
%define parse.error detailed
%locations
%parse-param {struct machine_parser *p} {void *scanner}
%lex-param {void *scanner}

%code requires {
#include "passes/partition/machine_parse.h"
}
%code provides {
int machine_file_lex(MACHINE_FILE_STYPE *value, MACHINE_FILE_LTYPE *at, void *scanner);
}
%code {
#include "base/mem.h"

#include <string.h>

#define YYMALLOC mem_alloc
#define YYFREE mem_free

static void report_error(struct machine_loc *at, struct machine_parser *p, void *scanner,
                          const char *message) {
  (void)scanner;
  machine_error_at(p, at, NULL, "%s",
                   strncmp(message, "syntax error, ", 14) ? message : message + 14);
}
#undef yyerror
#define yyerror report_error
}

%initial-action { @$ = (struct machine_loc){1, 1}; }

%union {
  struct machine_token token;
  struct machine_tokens tokens;
}

%token KW_MACHINE "machine" KW_DEVICE "device" KW_LEVEL "level" KW_FROM "from"
%token <token> WORD "a word" NUMBER "a number" STRING "a string"
%token INVALID "something that is no token"
%token END 0 "the end of the file"

%type <tokens> arguments points point_list

%%

file: %empty | file item
item: KW_MACHINE WORD { machine_set_name(p, $2); }
    | KW_DEVICE '{' figures '}'
    | KW_LEVEL WORD { machine_level_begin(p, $2); } '{' figures '}' { machine_level_end(p); }
    | error

figures: %empty | figures figure
figure: WORD arguments points KW_FROM STRING {
        machine_figure_add(p, &(struct machine_entry){.name = $1.word, .source = $5.word,
                                                      .at = @1, .arguments = $2, .points = $3}); }
    | error STRING

arguments: %empty { $$ = (struct machine_tokens){0}; }
    | arguments NUMBER { $$ = $1; machine_push(p, &$$, $2); }
    | arguments WORD { $$ = $1; machine_push(p, &$$, $2); }
points: %empty { $$ = (struct machine_tokens){0}; } | '{' point_list '}' { $$ = $2; }
point_list: NUMBER NUMBER { $$ = (struct machine_tokens){0}; machine_push(p, &$$, $1);
                            machine_push(p, &$$, $2); }
    | point_list ',' NUMBER NUMBER { $$ = $1; machine_push(p, &$$, $3); machine_push(p, &$$, $4); }
