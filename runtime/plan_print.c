/* SPDX-License-Identifier: Apache-2.0 */
/* See plan_print.h. */
#include "runtime/plan_print.h"
#include "base/host_op.h"

#include "base/checked.h"
#include "runtime/comm/comm.h"

struct printer {
  const struct plan *plan;
  const Engine__Manifest *m;
  FILE *out;
};

/* Names come from files: they must not steer a terminal. */
static void print_masked(struct printer *p, const char *text) {
  for (; *text; text++)
    fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, p->out);
}

static void print_string(struct printer *p, uint32_t id) {
  fputc('"', p->out);
  print_masked(p, plan_string(p->plan, id));
  fputc('"', p->out);
}

static void print_expr(struct printer *p, uint32_t expr) {
  char text[512];
  print_masked(p, plan_expr_text(p->plan, expr, text, sizeof text));
}

static void print_type(struct printer *p, uint32_t dtype, const uint32_t *dims, size_t n) {
  fprintf(p->out, "%s[", dtype_name((enum dtype)dtype));
  for (size_t i = 0; i < n; i++) {
    fputs(i ? ", " : "", p->out);
    print_expr(p, dims[i]);
  }
  fputc(']', p->out);
}

static void print_relate(struct printer *p, const Engine__Relate *r) {
  static const char *const texts[] = {"==", "!=", "<", "<="};
  print_expr(p, r->a);
  fprintf(p->out, " %s ", texts[r->relation]);
  print_expr(p, r->b);
}

static void print_relates(struct printer *p, Engine__Relate **relates, size_t n) {
  for (size_t i = 0; i < n; i++) {
    fputs(i ? " and " : " when ", p->out);
    print_relate(p, relates[i]);
  }
}

static void print_symbol(struct printer *p, uint32_t symbol) {
  print_masked(p, plan_string(p->plan, p->m->symbols[symbol]->name));
}

/* " name expr", unless the expression is the neutral one. */
static void print_optional_expr(struct printer *p, const char *name, uint32_t expr) {
  if (!expr)
    return;
  fprintf(p->out, " %s ", name);
  print_expr(p, expr);
}

static void print_optional_value(struct printer *p, const char *name, uint32_t value) {
  if (value)
    fprintf(p->out, " %s %%%u", name, value);
}

/* --- Steps: one function per row of plan_op.def --- */

static void print_block(struct printer *p, uint32_t block, int indent);

static void print_layout(struct printer *p, const Engine__Layout *s) {
  fprintf(p->out, " %u", s->phase);
}

static void print_launch(struct printer *p, const Engine__Launch *s) {
  fputc(' ', p->out);
  print_string(p, p->m->kernels[s->kernel]->name);
  for (size_t i = 0; i < s->n_buffers; i++)
    fprintf(p->out, "%s%%%u", i ? ", " : "(", s->buffers[i]);
  fputs(s->n_buffers ? "" : "(", p->out);
  for (size_t i = 0; i < s->n_dims; i++) {
    fputs(i ? ", " : "; ", p->out);
    print_expr(p, s->dims[i]);
  }
  fputs(s->serial ? ") serial tiles " : ") tiles ", p->out);
  print_expr(p, s->tiles);
  print_optional_expr(p, "scratch", s->scratch);
}

static void print_move(struct printer *p, uint32_t dst, uint32_t src, uint32_t amount) {
  fprintf(p->out, " %%%u <- %%%u, ", dst, src);
  print_expr(p, amount);
}

static void print_copy(struct printer *p, const Engine__Copy *s) {
  print_move(p, s->dst, s->src, s->bytes);
  fputs(" B", p->out);
}

static void print_fill(struct printer *p, const Engine__Fill *s) {
  fprintf(p->out, " %%%u <- %u, ", s->dst, s->byte);
  print_expr(p, s->bytes);
  fputs(" B", p->out);
}

static void print_unpack(struct printer *p, const Engine__Unpack *s) {
  print_move(p, s->dst, s->src, s->elements);
  fprintf(p->out, " of %s", dtype_name((enum dtype)s->dtype));
}

static void print_pack(struct printer *p, const Engine__Pack *s) {
  print_move(p, s->dst, s->src, s->elements);
  fprintf(p->out, " of %s", dtype_name((enum dtype)s->dtype));
}

static void print_host(struct printer *p, const Engine__Host *s) {
  fprintf(p->out, " %s %%%u <-", host_op_name(s->function), s->result);
  for (size_t i = 0; i < s->n_operands; i++)
    fprintf(p->out, " %%%u", s->operands[i]);
}

static void print_bind_symbol(struct printer *p, const Engine__BindSymbol *s) {
  fputc(' ', p->out);
  print_symbol(p, s->symbol);
  fprintf(p->out, " := %%%u[", s->value);
  print_expr(p, s->element);
  fputc(']', p->out);
}

static void print_set_symbol(struct printer *p, const Engine__SetSymbol *s) {
  fputc(' ', p->out);
  print_symbol(p, s->symbol);
  fputs(" := ", p->out);
  print_expr(p, s->expr);
}

static void print_reserve(struct printer *p, const Engine__Reserve *s) {
  fprintf(p->out, " %%%u", s->value);
}

static void print_check(struct printer *p, const Engine__Check *s) {
  fputc(' ', p->out);
  print_relate(p, s->condition);
  fputs(", ", p->out);
  print_string(p, s->message);
}

static void print_if_(struct printer *p, const Engine__If *s) {
  print_optional_value(p, "when", s->condition);
  print_relates(p, s->guards, s->condition ? 0 : s->n_guards);
}

static void print_loop(struct printer *p, const Engine__Loop *s) {
  if (s->trip == ENGINE__TRIP__FROM_VALUE)
    fprintf(p->out, " trip %%%u", s->trip_value);
  else if (s->trip == ENGINE__TRIP__FROM_EXPR)
    print_optional_expr(p, "trip", s->trip_expr);
  print_optional_value(p, "while", s->condition);
  print_optional_value(p, "then while", s->body_condition);
  print_optional_value(p, "iteration", s->iteration);
  for (size_t i = 0; i < s->n_carried; i++) {
    const Engine__Carried *c = s->carried[i];
    fprintf(p->out, "%s%%%u = %%%u, %%%u", i ? "; " : " carried ", c->param, c->init, c->next);
    for (size_t k = 0; k < c->n_dims; k++) {
      fputs(k ? ", " : " where ", p->out);
      print_symbol(p, c->dims[k]->symbol);
      fputs(" = ", p->out);
      print_expr(p, c->dims[k]->init);
      fputs(", ", p->out);
      print_expr(p, c->dims[k]->next);
    }
  }
  for (size_t i = 0; i < s->n_scans; i++)
    fprintf(p->out, "%s%%%u of %%%u", i ? ", " : " scans ", s->scans[i]->result,
            s->scans[i]->element);
}

static void print_axis_ref(struct printer *p, const Engine__AxisRef *ref) {
  print_masked(p, plan_string(p->plan, p->m->mesh[ref->axis]->name));
  if (ref->sub_size && ref->sub_stride > 1)
    fprintf(p->out, "/%u", ref->sub_stride);
  if (ref->sub_size)
    fprintf(p->out, ":%u", ref->sub_size);
}

/* What all ranks together receive from others: what sinter_exchange counts in a run. */
static void print_received(struct printer *p, const Engine__Exchange *s) {
  const struct plan_exchange *e = &p->plan->exchanges[s->number];
  uint64_t groups = p->plan->ranks / p->plan->groups[e->group].size;
  for (size_t i = 0; i < s->n_parts; i++) {
    const Engine__DimExpr *n = p->m->dim_exprs[s->parts[i]->elements];
    uint64_t bytes = dtype_unpacked_bytes((enum dtype)p->m->values[s->parts[i]->src]->dtype);
    uint64_t each = comm_group_bytes(p->plan, e, bytes) * groups, all;
    fputs(i ? " + " : "; ", p->out);
    if (n->kind == EXPR_CONST && n->value >= 0 && u64_mul(each, (uint64_t)n->value, &all)) {
      fprintf(p->out, "%llu", (unsigned long long)all);
      continue;
    }
    fprintf(p->out, "%llu * ", (unsigned long long)each);
    print_expr(p, s->parts[i]->elements);
  }
  fputs(" B received", p->out);
}

static void print_exchange(struct printer *p, const Engine__Exchange *s) {
  static const char *const reductions[] = {"sum", "max", "min", "prod"};
  fprintf(p->out, " %u %s", s->number, comm_kind_text(s->kind));
  if (s->kind == ENGINE__EXCHANGE_KIND__ALL_REDUCE ||
      s->kind == ENGINE__EXCHANGE_KIND__REDUCE_SCATTER)
    fprintf(p->out, " %s", reductions[s->reduction]);
  fputs(" over (", p->out);
  for (size_t i = 0; i < s->n_group; i++) {
    fputs(i ? ", " : "", p->out);
    print_axis_ref(p, s->group[i]);
  }
  fputc(')', p->out);
  for (size_t i = 0; i < s->n_from; i++)
    fprintf(p->out, "%s%u", i ? ", " : " from ", s->from[i]);
  for (size_t i = 0; i < s->n_parts; i++) {
    fputs(i ? ";" : "", p->out);
    print_move(p, s->parts[i]->dst, s->parts[i]->src, s->parts[i]->elements);
    fprintf(p->out, " of %s", dtype_name((enum dtype)p->m->values[s->parts[i]->src]->dtype));
  }
  if (s->n_parts)
    print_received(p, s);
}

static void print_provenance(struct printer *p, const Engine__Step *step) {
  char text[320];
  const char *node = plan_node_text(p->plan, step, text, sizeof text);
  if (!node)
    return;
  fputs("    // ", p->out);
  print_masked(p, node);
  if (step->n_provenance > 1)
    fprintf(p->out, " and %zu more", step->n_provenance - 1);
}

static void print_step(struct printer *p, const Engine__Step *step, int indent) {
  fprintf(p->out, "%*s", indent, "");
  switch ((unsigned)step->body_case) {
#define PLAN_OP(name, field, number, text)                                                         \
  case number:                                                                                     \
    fputs(text, p->out);                                                                           \
    print_##field(p, step->field);                                                                 \
    break;
#include "runtime/plan_op.def"
#undef PLAN_OP
  default: break; /* the loader refused it */
  }
  print_provenance(p, step);
  fputc('\n', p->out);
  if (step->body_case == ENGINE__STEP__BODY_IF_) {
    print_block(p, step->if_->then_block, indent + 2);
    if (step->if_->else_block) {
      fprintf(p->out, "%*selse\n", indent, "");
      print_block(p, step->if_->else_block, indent + 2);
    }
  } else if (step->body_case == ENGINE__STEP__BODY_LOOP) {
    print_block(p, step->loop->body, indent + 2);
  }
}

/* Nesting is bounded by the loader. */
static void print_block(struct printer *p, uint32_t block, int indent) {
  const Engine__Block *b = p->m->blocks[block];
  for (size_t i = 0; i < b->n_steps; i++)
    print_step(p, b->steps[i], indent);
}

/* --- Entries and values --- */

static void print_ports(struct printer *p, const char *what, Engine__Port **ports, size_t n) {
  for (size_t i = 0; i < n; i++) {
    fprintf(p->out, "  %s %zu ", what, i);
    print_string(p, ports[i]->name);
    fputs(": ", p->out);
    print_type(p, ports[i]->dtype, ports[i]->dims, ports[i]->n_dims);
    fprintf(p->out, " = %%%u", ports[i]->value);
    if (ports[i]->optional)
      fprintf(p->out, " or %%%u", ports[i]->fallback);
    fputc('\n', p->out);
  }
}

static void print_states(struct printer *p, const Engine__Entry *e) {
  for (size_t i = 0; i < e->n_states; i++)
    fprintf(p->out, "  state %zu: input %u, output %u, rows in dim %u\n", i, e->states[i]->input,
            e->states[i]->output, e->states[i]->axis);
}

static void print_entry(struct printer *p, const Engine__Entry *e) {
  fputs("entry ", p->out);
  print_string(p, e->name);
  fputc('\n', p->out);
  print_ports(p, "input", e->inputs, e->n_inputs);
  print_ports(p, "output", e->outputs, e->n_outputs);
  print_states(p, e);
  for (size_t i = 0; i < e->n_variants; i++) {
    fputs("  variant", p->out);
    print_relates(p, e->variants[i]->guards, e->variants[i]->n_guards);
    fputc('\n', p->out);
    if (e->variants[i]->once) {
      fputs("    once\n", p->out);
      print_block(p, e->variants[i]->once, 6);
      fputs("    run\n", p->out);
    }
    print_block(p, e->variants[i]->block, e->variants[i]->once ? 6 : 4);
  }
}

static void print_storage(struct printer *p, const Engine__Value *v) {
  switch (v->storage) {
  case ENGINE__STORAGE__CONSTANT:
    fprintf(p->out, "constant %u", v->index);
    print_optional_expr(p, "part", v->part);
    break;
  case ENGINE__STORAGE__INPUT: fprintf(p->out, "input %u", v->index); break;
  case ENGINE__STORAGE__OUTPUT: fprintf(p->out, "output %u, phase %u", v->index, v->phase); break;
  case ENGINE__STORAGE__ARENA:
    fprintf(p->out, "phase %u, steps %u..%u", v->phase, v->first, v->last);
    break;
  case ENGINE__STORAGE__ALIAS:
    fprintf(p->out, "in %%%u at ", v->alias_of);
    print_expr(p, v->offset);
    break;
  default: fputs("dynamic", p->out);
  }
}

static void print_value(struct printer *p, uint32_t i) {
  const Engine__Value *v = p->m->values[i];
  fprintf(p->out, "  %%%u ", i);
  if (v->name) {
    print_string(p, v->name);
    fputs(": ", p->out);
  }
  print_type(p, v->dtype, v->dims, v->n_dims);
  fputs(", ", p->out);
  print_expr(p, v->bytes);
  fputs(" B, ", p->out);
  print_storage(p, v);
  fputs(v->place == ENGINE__PLACE__HOST ? ", host\n" : "\n", p->out);
}

/* "mesh cp=2 tp=4", where there is one. */
static void print_mesh(struct printer *p) {
  if (!p->m->n_mesh)
    return;
  fputs("mesh", p->out);
  for (size_t i = 0; i < p->m->n_mesh; i++) {
    fputc(' ', p->out);
    print_masked(p, plan_string(p->plan, p->m->mesh[i]->name));
    fprintf(p->out, "=%u", p->m->mesh[i]->size);
  }
  fputc('\n', p->out);
}

void plan_print(const struct plan *plan, FILE *out) {
  struct printer p = {plan, plan->manifest, out};
  print_mesh(&p);
  for (size_t i = 0; i < p.m->n_entries; i++)
    print_entry(&p, p.m->entries[i]);
  fputs("values\n", out);
  for (uint32_t i = 1; i < p.m->n_values; i++)
    print_value(&p, i);
}
