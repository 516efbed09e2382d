/* SPDX-License-Identifier: Apache-2.0 */
/* Printing of plans:
 *
 *     entry main: block 1
 *     block 1
 *       layout phase 0
 *       launch k0_conv %3 %1 %2 (batch) tiles (batch * 8)      ; node 0 'conv' (Conv)
 *     values
 *       %3 arena 0, steps 1..4: f32[batch,16,8,8] 'conv'
 */
#include "compiler/plan_print.h"

#include "runtime/engine_file.h"
#include "runtime/plan.h"

struct printer {
  const struct plan *plan;
  const Engine__Manifest *m;
  FILE *out;
};

static void print_expr(const struct printer *p, uint32_t expr) {
  char text[256];
  fputs(plan_expr_text(p->plan, expr, text, sizeof text), p->out);
}

static void print_labelled(const struct printer *p, const char *label, uint32_t expr) {
  fputs(label, p->out);
  print_expr(p, expr);
}

static void print_relate(const struct printer *p, const Engine__Relate *r) {
  static const char *const words[] = {" == ", " != ", " < ", " <= "};
  print_expr(p, r->a);
  fputs((unsigned)r->relation < 4 ? words[r->relation] : " ? ", p->out);
  print_expr(p, r->b);
}

static void print_guards(const struct printer *p, Engine__Relate *const *guards, size_t n) {
  for (size_t i = 0; i < n; i++) {
    fputs(i ? " and " : " if ", p->out);
    print_relate(p, guards[i]);
  }
}

static void print_symbol(const struct printer *p, uint32_t symbol) {
  fputs(plan_string(p->plan, p->m->symbols[symbol]->name), p->out);
}

/* ---- steps ---- */

static void print_launch(const struct printer *p, const Engine__Launch *l) {
  fprintf(p->out, " %s", plan_string(p->plan, p->m->kernels[l->kernel]->name));
  for (size_t i = 0; i < l->n_buffers; i++)
    fprintf(p->out, " %%%u", l->buffers[i]);
  for (size_t i = 0; i < l->n_dims; i++)
    print_labelled(p, i ? ", " : " (", l->dims[i]);
  if (l->n_dims)
    fputc(')', p->out);
  print_labelled(p, " tiles ", l->tiles);
  if (l->scratch)
    print_labelled(p, " scratch ", l->scratch);
  if (l->serial)
    fputs(" serial", p->out);
}

static void print_loop(const struct printer *p, const Engine__Loop *l) {
  if (l->trip == ENGINE__TRIP__FROM_VALUE)
    fprintf(p->out, " %%%u times", l->trip_value);
  else if (l->trip == ENGINE__TRIP__FROM_EXPR)
    print_labelled(p, " times ", l->trip_expr);
  if (l->condition)
    fprintf(p->out, " while %%%u", l->condition);
  fprintf(p->out, " block %u", l->body);
  if (l->body_condition)
    fprintf(p->out, " goes on by %%%u", l->body_condition);
  for (size_t i = 0; i < l->n_carried; i++)
    fprintf(p->out, ", %%%u := %%%u then %%%u", l->carried[i]->param, l->carried[i]->init,
            l->carried[i]->next);
  for (size_t i = 0; i < l->n_scans; i++)
    fprintf(p->out, ", %%%u gathers %%%u", l->scans[i]->result, l->scans[i]->element);
}

static void print_if(const struct printer *p, const Engine__If *s) {
  if (s->condition)
    fprintf(p->out, " %%%u", s->condition);
  print_guards(p, s->guards, s->n_guards);
  fprintf(p->out, " then block %u else block %u", s->then_block, s->else_block);
}

static void print_move(const struct printer *p, uint32_t dst, uint32_t src, const char *unit,
                       uint32_t amount) {
  fprintf(p->out, " %%%u from %%%u, ", dst, src);
  print_expr(p, amount);
  fputs(unit, p->out);
}

static void print_body(const struct printer *p, const Engine__Step *s) {
  switch (s->body_case) {
  case ENGINE__STEP__BODY_LAYOUT:
    fprintf(p->out, " phase %u", s->layout->phase);
    break;
  case ENGINE__STEP__BODY_LAUNCH:
    print_launch(p, s->launch);
    break;
  case ENGINE__STEP__BODY_COPY:
    print_move(p, s->copy->dst, s->copy->src, " B", s->copy->bytes);
    break;
  case ENGINE__STEP__BODY_FILL:
    fprintf(p->out, " %%%u with %u, ", s->fill->dst, s->fill->byte);
    print_expr(p, s->fill->bytes);
    fputs(" B", p->out);
    break;
  case ENGINE__STEP__BODY_UNPACK:
    print_move(p, s->unpack->dst, s->unpack->src, " elements", s->unpack->elements);
    break;
  case ENGINE__STEP__BODY_PACK:
    print_move(p, s->pack->dst, s->pack->src, " elements", s->pack->elements);
    break;
  case ENGINE__STEP__BODY_BIND_SYMBOL:
    fputc(' ', p->out);
    print_symbol(p, s->bind_symbol->symbol);
    fprintf(p->out, " := %%%u[", s->bind_symbol->value);
    print_expr(p, s->bind_symbol->element);
    fputc(']', p->out);
    break;
  case ENGINE__STEP__BODY_SET_SYMBOL:
    fputc(' ', p->out);
    print_symbol(p, s->set_symbol->symbol);
    print_labelled(p, " := ", s->set_symbol->expr);
    break;
  case ENGINE__STEP__BODY_RESERVE:
    fprintf(p->out, " %%%u", s->reserve->value);
    break;
  case ENGINE__STEP__BODY_CHECK:
    fputc(' ', p->out);
    print_relate(p, s->check->condition);
    fprintf(p->out, ", else '%s'", plan_string(p->plan, s->check->message));
    break;
  case ENGINE__STEP__BODY_IF_:
    print_if(p, s->if_);
    break;
  case ENGINE__STEP__BODY_LOOP:
    print_loop(p, s->loop);
    break;
  default:
    break;
  }
}

static const char *step_name(const Engine__Step *s) {
  switch ((int)s->body_case) {
#define PLAN_OP(name, field, number, text)                                                         \
  case number:                                                                                     \
    return text;
#include "runtime/plan_op.def"
#undef PLAN_OP
  default:
    return "nothing";
  }
}

static void print_step(const struct printer *p, const Engine__Step *s) {
  char text[256];
  const char *node = plan_node_text(p->plan, s, text, sizeof text);
  fprintf(p->out, "  %s", step_name(s));
  print_body(p, s);
  if (node)
    fprintf(p->out, "  ; %s", node);
  fputc('\n', p->out);
}

/* ---- values ---- */

static void print_storage(const struct printer *p, const Engine__Value *v) {
  switch (v->storage) {
  case ENGINE__STORAGE__CONSTANT:
    fprintf(p->out, "constant %s", plan_string(p->plan, p->m->constants[v->index]->name));
    break;
  case ENGINE__STORAGE__INPUT:
    fprintf(p->out, "input %u", v->index);
    break;
  case ENGINE__STORAGE__OUTPUT:
    fprintf(p->out, "output %u of phase %u", v->index, v->phase);
    break;
  case ENGINE__STORAGE__ARENA:
    fprintf(p->out, "arena %u, steps %u..%u", v->phase, v->first, v->last);
    break;
  case ENGINE__STORAGE__DYNAMIC:
    fputs("dynamic", p->out);
    break;
  case ENGINE__STORAGE__ALIAS:
    fprintf(p->out, "in %%%u", v->alias_of);
    if (v->offset)
      print_labelled(p, " at ", v->offset);
    break;
  default:
    fputs("nowhere", p->out);
  }
}

static void print_value(const struct printer *p, size_t i) {
  const Engine__Value *v = p->m->values[i];
  const char *name = plan_string(p->plan, v->name);
  fprintf(p->out, "  %%%zu ", i);
  print_storage(p, v);
  fprintf(p->out, ": %s[", dtype_name((enum dtype)v->dtype));
  for (size_t k = 0; k < v->n_dims; k++)
    print_labelled(p, k ? "," : "", v->dims[k]);
  fprintf(p->out, "]%s", v->place == ENGINE__PLACE__HOST ? " on the host" : "");
  if (name[0])
    fprintf(p->out, " '%s'", name);
  fputc('\n', p->out);
}

void plan_print(const struct plan *plan, FILE *out) {
  struct printer p = {.plan = plan, .m = plan->manifest, .out = out};
  for (size_t i = 0; i < p.m->n_entries; i++) {
    const Engine__Entry *e = p.m->entries[i];
    for (size_t k = 0; k < e->n_variants; k++) {
      fprintf(out, "entry %s: block %u", plan_string(plan, e->name), e->variants[k]->block);
      print_guards(&p, e->variants[k]->guards, e->variants[k]->n_guards);
      fputc('\n', out);
    }
  }
  for (size_t b = 1; b < p.m->n_blocks; b++) {
    fprintf(out, "\nblock %zu\n", b);
    for (size_t i = 0; i < p.m->blocks[b]->n_steps; i++)
      print_step(&p, p.m->blocks[b]->steps[i]);
  }
  fputs("\nvalues\n", out);
  for (size_t i = 1; i < p.m->n_values; i++)
    print_value(&p, i);
}

status plan_print_file(const char *engine_path, FILE *out) {
  struct engine_file file;
  struct plan plan;
  status st = engine_file_open(&file, engine_path);
  if (st != STATUS_OK)
    return st;
  st = plan_load(&plan, &file);
  if (st == STATUS_OK) {
    plan_print(&plan, out);
    plan_unload(&plan);
  }
  engine_file_close(&file);
  return st;
}
