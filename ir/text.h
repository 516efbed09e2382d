/* SPDX-License-Identifier: Apache-2.0 */
/* The text form of modules, .sir.
 *
 *     mesh @m0 [cp=2, tp=4]
 *     constant @fc.weight : f32[2, 2] = [1.0, 0.5, -2.0, 0.0]
 *     func @main(%x: f32[batch, 2]) -> (f32[batch, 2]) where batch in 1..64 {
 *       %w = const @fc.weight : f32[2, 2]
 *       %0 = contract %x, %w { lhs_k = [1], rhs_k = [0], dtype = f32 } : f32[batch, 2]
 *       %1 = map %0 { max($0, 0.0) } : f32[batch, 2] loc("relu", "Relu", 3)
 *       return %1
 *     }
 *     entry @main("x") -> ("y") { @main; }
 *
 * Printing what was parsed from printed text gives the same text. Values without a name are
 * numbered in the order of their definition. Attributes that are 0, false, empty or absent are left
 * out. The grammar is ir/sir.y; README.md in this folder explains it with examples. */
#ifndef SINTER_IR_TEXT_H
#define SINTER_IR_TEXT_H

#include "ir/graph.h"

/* Parses and verifies; shardings are not proved (module_verify does that). `text` need not end with
 * NUL; `name` stands for the file in diagnostics (E02xx, with line and column, and what
 * module_verify_form reports). On success the module is the caller's; otherwise *out_module is
 * NULL. Several problems are reported where they do not depend on each other. Constants given as
 * file("name", offset) have no data. */
status module_parse(const char *name, const char *text, size_t len, struct diags *diags,
                    struct module **out_module);

/* The same for a file, and reads the constants that are in files (paths as the program opens them);
 * also E0901, E0903, E0904, E0906. */
status module_parse_file(const char *path, struct diags *diags, struct module **out_module);

void module_print(const struct module *m, struct strbuf *out);
void function_print(const struct function *f, struct strbuf *out);

/* $0 of a body is operand 0; instructions used twice have names: %t0 = exp($0); add(%t0, %t0). */
void scalar_body_print(const struct scalar_body *body, struct strbuf *out);
/* %name, %"any name" or @name. */
void text_print_name(char sigil, const char *name, struct strbuf *out);

#endif
