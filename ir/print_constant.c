/* SPDX-License-Identifier: Apache-2.0 */
/* Printing constants and scalar bodies. */
#include "ir/print_constant.h"

#include "base/str.h"
#include "ir/literal.h"
#include "ir/text.h"

#include <inttypes.h>
#include <string.h>

enum { FEW_ELEMENTS = 16 };

/* ---- constants ---- */

static uint64_t element_bits(const struct constant *c, uint64_t i) {
  uint64_t bits = 0;
  unsigned size = dtype_bits(c->dtype) / 8;
  memcpy(&bits, (const char *)c->data + i * size, size);
  return bits;
}

/* Elements as numbers; false, having printed nothing, where that would lose bits. */
static bool print_numbers(const struct constant *c, struct strbuf *out) {
  unsigned bits = dtype_bits(c->dtype);
  if (bits < 8 || (c->bytes && !c->data) || c->bytes / (bits / 8) > FEW_ELEMENTS)
    return false;
  uint64_t n = c->bytes / (bits / 8);
  bool is_float = dtype_is_float(c->dtype);
  for (uint64_t i = 0; i < n; i++) {
    uint64_t x = element_bits(c, i);
    uint64_t back = is_float ? literal_bits_f64(c->dtype, literal_f64(c->dtype, x))
                             : literal_bits_i64(c->dtype, literal_i64(c->dtype, x));
    /* All NaN read alike. */
    if (back != x || (is_float && literal_f64(c->dtype, x) != literal_f64(c->dtype, x)))
      return false;
  }
  strbuf_char(out, '[');
  for (uint64_t i = 0; i < n; i++) {
    if (i)
      strbuf_append_c(out, ", ");
    uint64_t x = element_bits(c, i);
    if (is_float)
      literal_print_f64(literal_f64(c->dtype, x), c->dtype == DTYPE_F32, out);
    else
      literal_print_i64(c->dtype, literal_i64(c->dtype, x), out);
  }
  strbuf_char(out, ']');
  return true;
}

static void print_hex(const struct constant *c, struct strbuf *out) {
  static const char digits[] = "0123456789abcdef";
  strbuf_append_c(out, "hex \"");
  for (uint64_t i = 0; c->data && i < c->bytes; i++) {
    unsigned char byte = ((const unsigned char *)c->data)[i];
    strbuf_append(out, (char[]){digits[byte >> 4], digits[byte & 15]}, 2);
  }
  strbuf_char(out, '"');
}

static bool print_strings(const struct module *m, const struct constant *c, struct strbuf *out) {
  if (c->dtype != DTYPE_STRING)
    return false;
  strbuf_char(out, '[');
  for (uint64_t i = 0; i < c->bytes / sizeof(uint64_t); i++) {
    struct host_string s = {"", 0};
    host_strings_get(&m->strings, element_bits(c, i), &s);
    strbuf_append_c(out, i ? ", " : "");
    literal_print_bytes(s.data, s.size, out);
  }
  strbuf_char(out, ']');
  return true;
}

void constant_print(const struct module *m, const struct constant *c, struct strbuf *out) {
  strbuf_append_c(out, "constant ");
  text_print_name('@', c->name, out);
  strbuf_printf(out, " : %s[", dtype_name(c->dtype));
  for (uint32_t i = 0; i < c->rank; i++)
    strbuf_printf(out, "%s%" PRId64, i ? ", " : "", c->dims[i]);
  strbuf_append_c(out, "] = ");
  bool printed = print_strings(m, c, out) || print_numbers(c, out);
  if (!printed && c->file) {
    strbuf_append_c(out, "file(");
    literal_print_string(c->file, out);
    strbuf_printf(out, ", %" PRIu64 ")", c->offset);
  } else if (!printed) {
    print_hex(c, out);
  }
  strbuf_char(out, '\n');
}

/* ---- scalar bodies ---- */

static void print_literal(const struct scalar_inst *inst, bool typed, struct strbuf *out) {
  if (dtype_is_float(inst->dtype))
    literal_print_f64(inst->imm.f64, dtype_compute(inst->dtype) == DTYPE_F32, out);
  else
    literal_print_i64(inst->dtype, inst->imm.i64, out);
  if (typed && dtype_kind(inst->dtype) != DTYPE_KIND_BOOL)
    strbuf_printf(out, ":%s", dtype_name(inst->dtype));
}

struct body_printer {
  const struct scalar_body *body;
  struct strbuf *out;
  uint32_t *name; /* per instruction: the number of its name + 1, or 0 */
};

static void print_inst(const struct body_printer *p, uint32_t i);

static void print_operand(const struct body_printer *p, uint32_t i, bool typed) {
  const struct scalar_inst *inst = &p->body->insts[i];
  if (p->name[i])
    strbuf_printf(p->out, "%%t%u", p->name[i] - 1);
  else if (inst->op == SCALAR_CONST)
    print_literal(inst, typed, p->out);
  else
    print_inst(p, i);
}

/* A literal needs no dtype beside an operand of the same dtype that is not one. */
static bool literals_typed(const struct body_printer *p, const struct scalar_inst *inst) {
  for (uint32_t k = inst->op == SCALAR_SELECT ? 1 : 0; k < scalar_infos[inst->op].arity; k++) {
    if (inst->op != SCALAR_CAST && p->body->insts[inst->args[k]].op != SCALAR_CONST)
      return false;
  }
  return true;
}

static void print_inst(const struct body_printer *p, uint32_t i) {
  static const char *const modes[] = {"", ", no_saturate", ", up", ", down"};
  const struct scalar_inst *inst = &p->body->insts[i];
  if (inst->op == SCALAR_ARG) {
    strbuf_printf(p->out, "$%u", inst->args[0]);
    return;
  }
  if (inst->op == SCALAR_CONST) {
    print_literal(inst, true, p->out);
    return;
  }
  bool typed = literals_typed(p, inst);
  strbuf_printf(p->out, "%s(",
                inst->op == SCALAR_CAST ? dtype_name(inst->dtype) : scalar_infos[inst->op].name);
  for (uint32_t k = 0; k < scalar_infos[inst->op].arity; k++) {
    if (k)
      strbuf_append_c(p->out, ", ");
    print_operand(p, inst->args[k], typed);
  }
  if (inst->op == SCALAR_CAST)
    strbuf_append_c(p->out, modes[inst->mode]);
  strbuf_char(p->out, ')');
}

void scalar_body_print(const struct scalar_body *body, struct strbuf *out) {
  if (!body || body->len == 0) {
    strbuf_char(out, '?');
    return;
  }
  struct arena scratch = {0};
  uint32_t *uses = ARENA_ARRAY(&scratch, uint32_t, body->len);
  struct body_printer p = {body, out, ARENA_ARRAY(&scratch, uint32_t, body->len)};
  uint32_t names = 0;
  for (uint32_t i = 0; i < body->len; i++) {
    for (uint32_t k = 0; k < scalar_infos[body->insts[i].op].arity; k++)
      uses[body->insts[i].args[k]]++;
  }
  for (uint32_t i = 0; i + 1 < body->len; i++) {
    enum scalar_op op = body->insts[i].op;
    if (uses[i] < 2 || op == SCALAR_ARG || op == SCALAR_CONST)
      continue;
    strbuf_printf(out, "%%t%u = ", names);
    print_inst(&p, i);
    strbuf_append_c(out, "; ");
    p.name[i] = ++names;
  }
  print_inst(&p, body->len - 1);
  arena_deinit(&scratch);
}
