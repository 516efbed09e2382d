/* SPDX-License-Identifier: Apache-2.0 */
/* What --precision asks for: "bf16", or "bf16,*lm_head*=f32,Softmax=f16".
 *
 * An item without `=` is for all nodes that no pattern fits; there is one at most, f32 if there is
 * none. A pattern is a glob (* ? [abc], where * takes slashes, too) that fits a node whose name or
 * whose operator it is; of several that fit, the last counts. */
#ifndef SINTER_PASSES_PRECISION_RULES_H
#define SINTER_PASSES_PRECISION_RULES_H

#include "ir/graph.h"

enum precision { PRECISION_F32, PRECISION_TF32, PRECISION_F16, PRECISION_BF16, PRECISION_COUNT };

const char *precision_name(enum precision p);
/* The dtype of values that are rounded to it: f16, bf16, else f32. */
enum dtype precision_dtype(enum precision p);
/* The other way: f16, bf16, else f32. */
enum precision precision_of_dtype(enum dtype t);

struct precision_rule {
  const char *pattern;
  enum precision to;
};
struct precision_rules {
  enum precision otherwise;
  VEC(struct precision_rule) rules;
  struct arena arena; /* of patterns */
};

/* Everything that is wrong is reported as E0360. `out` is to be deinited, whatever comes back. */
status precision_rules_parse(const char *text, struct diags *diags, struct precision_rules *out);
void precision_rules_deinit(struct precision_rules *r);

/* What is asked for of the node; out_named (may be NULL): whether by a pattern. */
enum precision precision_of_node(const struct precision_rules *r, const struct provenance *node,
                                 bool *out_named);
/* W0360 for every pattern that fits no node of the module. */
void precision_rules_check(const struct precision_rules *r, const struct module *m,
                           struct diags *diags);

#endif
