/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing: scalar bodies. A literal without a dtype takes that of the operands beside it. */
#include "base/str.h"
#include "ir/sir_parse.h"

#include <string.h>

struct body_parser {
  struct sir_parser *p;
  const enum dtype *dtypes; /* of the operands */
  uint32_t n_operands;
  struct strmap lets;
  struct body_builder build;
};

static bool parse_scalar(struct body_parser *b, const struct sir_scalar *x, uint32_t depth,
                         uint32_t *out);

static bool is_word(const struct sir_scalar *x, const char *word) {
  return x->kind == SIR_LITERAL && x->literal.kind == EXPR_NAME && !strcmp(x->literal.text, word);
}

static bool needs_dtype(const struct sir_scalar *x) {
  return x->kind == SIR_LITERAL && !x->dtype && !is_word(x, "true") && !is_word(x, "false");
}

static bool literal_of(struct body_parser *b, const struct sir_scalar *x, enum dtype dtype,
                       uint32_t *out) {
  double f = 0;
  int64_t i = 0;
  if (!sir_number(b->p, &x->literal, dtype, &f, &i))
    return false;
  *out = dtype_is_float(dtype) ? body_f64(&b->build, dtype, f) : body_i64(&b->build, dtype, i);
  return true;
}

static bool parse_literal(struct body_parser *b, const struct sir_scalar *x, uint32_t *out) {
  enum dtype dtype = DTYPE_BOOL;
  if (needs_dtype(x)) {
    sir_error(b->p, &x->at, DIAG_E0208, "write it as 0.0:f32", "the literal's dtype is not known");
    return false;
  }
  if (x->dtype && !dtype_from_name(x->dtype, strlen(x->dtype), &dtype)) {
    sir_error(b->p, &x->at, DIAG_E0202, NULL, "'%s' is no element type", x->dtype);
    return false;
  }
  return literal_of(b, x, dtype, out);
}

static bool parse_cast(struct body_parser *b, const struct sir_scalar *x, enum dtype dtype,
                       uint32_t depth, uint32_t *out) {
  static const char *const modes[] = {"", "no_saturate", "up", "down"};
  enum cast_mode mode = CAST_DEFAULT;
  for (int i = CAST_NO_SATURATE; x->n_args == 2 && i <= CAST_DOWN; i++) {
    if (is_word(x->args[1], modes[i]))
      mode = (enum cast_mode)i;
  }
  if (x->n_args > 2 || (x->n_args == 2 && mode == CAST_DEFAULT)) {
    sir_error(b->p, &x->at, DIAG_E0208, "f8e8m0($0, up): no_saturate, up or down",
              "a cast takes one operand and a mode");
    return false;
  }
  uint32_t from;
  if (!parse_scalar(b, x->args[0], depth + 1, &from))
    return false;
  *out = body_cast(&b->build, from, dtype, mode);
  return true;
}

/* Operands that know their dtype first; then the literals. */
static bool parse_operands(struct body_parser *b, const struct sir_scalar *x, uint32_t first,
                           uint32_t depth, uint32_t *args) {
  int typed = -1;
  for (uint32_t i = 0; i < x->n_args; i++) {
    if (needs_dtype(x->args[i]))
      continue;
    if (!parse_scalar(b, x->args[i], depth + 1, &args[i]))
      return false;
    if (typed < 0 && i >= first)
      typed = (int)i;
  }
  for (uint32_t i = 0; i < x->n_args; i++) {
    if (!needs_dtype(x->args[i]))
      continue;
    bool known = typed >= 0 && i >= first && !b->build.overflow;
    bool sound = known ? literal_of(b, x->args[i], b->build.insts[args[typed]].dtype, &args[i])
                       : parse_literal(b, x->args[i], &args[i]);
    if (!sound)
      return false;
  }
  return true;
}

static int find_scalar_op(const char *name, uint32_t arity) {
  for (int i = SCALAR_CAST + 1; i < SCALAR_OP_COUNT; i++) {
    if (!strcmp(scalar_infos[i].name, name) && scalar_infos[i].arity == arity)
      return i;
  }
  return -1;
}

static bool parse_call(struct body_parser *b, const struct sir_scalar *x, uint32_t depth,
                       uint32_t *out) {
  enum dtype dtype;
  if (dtype_from_name(x->text, strlen(x->text), &dtype))
    return parse_cast(b, x, dtype, depth, out);
  int op = find_scalar_op(x->text, x->n_args);
  if (op < 0) {
    sir_error(b->p, &x->at, DIAG_E0202, NULL, "no scalar operation '%s' of %u operands", x->text,
              x->n_args);
    return false;
  }
  uint32_t args[3] = {0};
  if (!parse_operands(b, x, op == SCALAR_SELECT ? 1 : 0, depth, args))
    return false;
  *out = body_op(&b->build, (enum scalar_op)op, args[0], args[1], args[2]);
  return true;
}

static bool parse_scalar(struct body_parser *b, const struct sir_scalar *x, uint32_t depth,
                         uint32_t *out) {
  uint64_t let;
  if (depth > SIR_MAX_CALL_DEPTH) {
    sir_error(b->p, &x->at, DIAG_E0209, NULL, "the scalar body is nested too deeply");
    return false;
  }
  switch (x->kind) {
  case SIR_ARG:
    if (x->literal.magnitude >= b->n_operands) {
      sir_error(b->p, &x->at, DIAG_E0202, NULL, "the op has %u operands", b->n_operands);
      return false;
    }
    *out = body_arg(&b->build, (uint32_t)x->literal.magnitude, b->dtypes[x->literal.magnitude]);
    return true;
  case SIR_LET:
    if (!strmap_get_c(&b->lets, x->text, &let)) {
      sir_error(b->p, &x->at, DIAG_E0202, NULL, "%%%s is not defined in the body", x->text);
      return false;
    }
    *out = (uint32_t)let;
    return true;
  case SIR_LITERAL: return parse_literal(b, x, out);
  case SIR_CALL: return parse_call(b, x, depth, out);
  }
  return false;
}

static const struct scalar_body *finish(struct body_parser *b, uint32_t result,
                                        const struct sir_loc *at) {
  struct body_builder *s = &b->build;
  struct strbuf why = {0};
  const struct scalar_body *body = NULL;
  if (s->overflow)
    strbuf_append_c(&why, "the scalar body is too long");
  else if (scalar_body_check(
               &(struct scalar_body){.n_args = s->n_args, .len = s->len, .insts = s->insts},
               &why)) {
    /* The result need not be what was written down last. */
    s->len = result + 1;
    body = body_finish(s, b->p->m);
  }
  if (!body)
    sir_error(b->p, at, DIAG_E0208, NULL, "%s", strbuf_c(&why));
  strbuf_deinit(&why);
  return body;
}

const struct scalar_body *sir_body(struct sir_parser *p, const struct sir_body *body,
                                   const value_id *operands, uint32_t n) {
  enum dtype *dtypes = ARENA_ARRAY(&p->scratch, enum dtype, n);
  for (uint32_t i = 0; i < n; i++)
    dtypes[i] = value_type(p->f, operands[i])->dtype;
  struct body_parser b = {.p = p, .dtypes = dtypes, .n_operands = n};
  body_init(&b.build, n);
  bool sound = true;
  uint32_t inst = 0;
  for (uint32_t i = 0; i < body->n_lets && sound; i++) {
    sound = parse_scalar(&b, body->lets[i].value, 0, &inst);
    if (sound && strmap_get_c(&b.lets, body->lets[i].name, NULL)) {
      sir_error(p, &body->lets[i].at, DIAG_E0203, NULL, "%%%s is defined twice",
                body->lets[i].name);
      sound = false;
    }
    strmap_put_c(&b.lets, body->lets[i].name, inst);
  }
  const struct scalar_body *result = NULL;
  if (sound && parse_scalar(&b, body->result, 0, &inst))
    result = finish(&b, inst, &body->result->at);
  strmap_deinit(&b.lets);
  return result;
}
