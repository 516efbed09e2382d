/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded variants of entries: copies of a function for the inputs whose dims satisfy relations.
 *
 * Variants are tried in order and the last one takes what is left, so a variant may rely on its own
 * guards, and on none of those before it having held. */
#ifndef SINTER_PASSES_ENTRY_VARIANT_H
#define SINTER_PASSES_ENTRY_VARIANT_H

#include "ir/graph.h"

/* Puts a copy of variant `at` before it, for inputs that satisfy n more guards. In the copy, a
 * symbol that a guard equates with an expression is that expression. Guards may mention only
 * symbols that the inputs' dims bind. Returns the copy's function; NULL, reported, where variant
 * `at` is not well-formed. */
struct function *entry_variant_add(struct module *m, struct entry *e, uint32_t at,
                                   const struct guard *guards, uint32_t n, struct diags *diags);

/* The most variants that one entry has. */
#define ENTRY_MAX_VARIANTS 16

/* For every text "symbol=value,symbol=value": a variant of each entry whose inputs have these
 * symbols, in the order given. Errors: E0322 for a text that says something else, a symbol that no
 * input has, a value outside of its bounds, or too many. */
status entry_specialize(struct module *m, const char *const *texts, uint32_t n,
                        struct diags *diags);

#endif
