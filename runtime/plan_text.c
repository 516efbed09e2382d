/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions and places of a plan as text for people. */
#include "runtime/plan.h"

#include "runtime/engine_format.h"

#include <stdarg.h>
#include <stdio.h>

struct text {
  char *data;
  size_t size, length;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t, const char *format,
                                                           ...) {
  if (t->length + 1 >= t->size)
    return;
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(t->data + t->length, t->size - t->length, format, arguments);
  va_end(arguments);
  if (n > 0)
    t->length = t->length + (size_t)n < t->size ? t->length + (size_t)n : t->size - 1;
}

static const char *op_text(uint32_t kind) {
  switch (kind) {
#define EXPR_OP(name, number, text)                                                                \
  case number: return text;
#include "runtime/expr_op.def"
#undef EXPR_OP
  default: return "?";
  }
}

/* Deep expressions are cut: a text of more than this many levels helps nobody, and the stack stays
 * small. */
#define DEEPEST 12

static void expr_add(struct text *t, const struct plan *plan, uint32_t expr, int depth) {
  const Engine__DimExpr *e = plan->manifest->dim_exprs[expr];
  if (t->length + 1 >= t->size)
    return;
  if (e->kind == EXPR_CONST) {
    text_add(t, "%lld", (long long)e->value);
  } else if (e->kind == EXPR_SYMBOL) {
    text_add(t, "%s", plan_string(plan, plan->manifest->symbols[e->a]->name));
  } else if (e->kind == EXPR_COORD) {
    text_add(t, "coord(%s)", plan_string(plan, plan->manifest->mesh[e->a]->name));
  } else if (depth == DEEPEST) {
    text_add(t, "...");
  } else {
    bool call = e->kind == EXPR_MIN || e->kind == EXPR_MAX || e->kind == EXPR_EXACTDIV;
    text_add(t, "%s(", call ? op_text(e->kind) : "");
    expr_add(t, plan, e->a, depth + 1);
    if (call)
      text_add(t, ", ");
    else
      text_add(t, " %s ", op_text(e->kind));
    expr_add(t, plan, e->b, depth + 1);
    text_add(t, ")");
  }
}

const char *plan_expr_text(const struct plan *plan, uint32_t expr, char *buffer, size_t n) {
  struct text t = {buffer, n, 0};
  buffer[0] = '\0';
  expr_add(&t, plan, expr, 0);
  return buffer;
}

const char *plan_provenance_text(const struct plan *plan, uint32_t row, char *buffer, size_t n) {
  if (row >= plan->manifest->n_provenance)
    return NULL;
  const Engine__Provenance *p = plan->manifest->provenance[row];
  struct text t = {buffer, n, 0};
  text_add(&t, "node");
  if (p->node_index >= 0)
    text_add(&t, " %d", p->node_index);
  text_add(&t, " '%s' (%s)", plan_string(plan, p->node), plan_string(plan, p->op));
  return buffer;
}

const char *plan_node_text(const struct plan *plan, const Engine__Step *step, char *buffer,
                           size_t n) {
  return step->n_provenance ? plan_provenance_text(plan, step->provenance[0], buffer, n) : NULL;
}
