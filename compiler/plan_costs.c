/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan costs; see plan_costs.h. */
#include "compiler/plan_costs.h"

#include <stdlib.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/vec.h"
#include "runtime/comm/comm.h"
#include "runtime/expr_state.h"
#include "runtime/fault.h"
#include "runtime/memory_plan.h"

/* A sum of numbers, not all of which may be known. */
struct amount {
  uint64_t value;
  bool open;
};

struct row {
  uint32_t kernel, launches, provenance;
  struct amount tiles, flops, bytes;
};

/* Exchanges of one kind within groups of one size. */
struct exchange_row {
  int kind;
  uint32_t ranks, times;
  struct amount bytes; /* that all ranks together receive */
};

struct costs {
  const struct plan *plan;
  struct expr_state exprs;
  VEC(struct row) rows;
  VEC(struct exchange_row) exchanges;
};

static void add(struct costs *c, struct amount *to, uint32_t expr) {
  int64_t value;
  if (expr_state_get(&c->exprs, expr, &value) != EXPR_VALID || value < 0)
    to->open = true;
  else
    to->value += (uint64_t)value;
}

static void add_amount(struct amount *to, const struct amount *x) {
  to->value += x->value;
  to->open |= x->open;
}

static struct row *row_of(struct costs *c, uint32_t kernel) {
  for (uint32_t i = 0; i < c->rows.len; i++) {
    if (c->rows.data[i].kernel == kernel)
      return &c->rows.data[i];
  }
  vec_push(&c->rows, ((struct row){.kernel = kernel}));
  return &vec_last(&c->rows);
}

static void count_exchange(struct costs *c, const Engine__Exchange *x) {
  const struct plan_exchange *e = &c->plan->exchanges[x->number];
  uint32_t ranks = c->plan->groups[e->group].size, at = 0;
  while (at < c->exchanges.len &&
         (c->exchanges.data[at].kind != (int)x->kind || c->exchanges.data[at].ranks != ranks))
    at++;
  if (at == c->exchanges.len)
    vec_push(&c->exchanges, ((struct exchange_row){.kind = (int)x->kind, .ranks = ranks}));
  struct exchange_row *row = &c->exchanges.data[at];
  row->times++;
  for (size_t i = 0; i < x->n_parts; i++) {
    const Engine__Value *src = c->plan->manifest->values[x->parts[i]->src];
    struct amount elements = {0};
    uint64_t block, bytes;
    add(c, &elements, x->parts[i]->elements);
    bool fits = u64_mul(elements.value, dtype_unpacked_bytes((enum dtype)src->dtype), &block) &&
                u64_mul(comm_group_bytes(c->plan, e, block), c->plan->ranks / ranks, &bytes);
    row->bytes.open |= elements.open || !fits;
    row->bytes.value += fits ? bytes : 0;
  }
}

static void count(struct costs *c) {
  const Engine__Manifest *m = c->plan->manifest;
  for (size_t b = 0; b < m->n_blocks; b++) {
    for (size_t i = 0; i < m->blocks[b]->n_steps; i++) {
      const Engine__Step *step = m->blocks[b]->steps[i];
      if (step->body_case == ENGINE__STEP__BODY_EXCHANGE)
        count_exchange(c, step->exchange);
      if (step->body_case != ENGINE__STEP__BODY_LAUNCH)
        continue;
      struct row *r = row_of(c, step->launch->kernel);
      if (!r->launches++ && step->n_provenance)
        r->provenance = step->provenance[0];
      add(c, &r->tiles, step->launch->tiles);
      add(c, &r->flops, step->launch->flops);
      add(c, &r->bytes, step->launch->traffic);
    }
  }
}

/* The packed size of a phase's values, as the runtime will pack them. */
static status add_phase(struct costs *c, const struct plan_phase *phase, struct amount *total) {
  const Engine__Manifest *m = c->plan->manifest;
  struct memory_item *items = mem_calloc(phase->arena_count + 1, sizeof *items);
  uint32_t *scratch = mem_calloc(3 * (size_t)phase->arena_count + 1, sizeof *scratch);
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < phase->arena_count; i++) {
    const Engine__Value *v = m->values[phase->arena[i]];
    struct amount size = {0};
    add(c, &size, v->bytes);
    total->open |= size.open;
    items[i] = (struct memory_item){.bytes = size.value, .first = v->first, .last = v->last};
  }
  bool packs = memory_plan_pack(items, phase->arena_count, NULL, scratch, &bytes);
  total->value += bytes;
  mem_free(items);
  mem_free(scratch);
  return packs ? STATUS_OK
               : fault_report(DIAG_E0511, NULL, NULL, "the values of a phase are too large");
}

static void print_amount(FILE *out, const struct amount *x) {
  if (x->open)
    fputs(",?", out);
  else
    fprintf(out, ",%llu", (unsigned long long)x->value);
}

static void print_row(FILE *out, const char *kind, const char *name, const struct row *r,
                      const char *node) {
  fprintf(out, "%s,%s,%u", kind, name, r->launches);
  print_amount(out, &r->tiles);
  print_amount(out, &r->flops);
  print_amount(out, &r->bytes);
  fputc(',', out);
  for (; *node; node++)
    fputc(*node == ',' || *node == '"' || *node == '\n' ? ' ' : *node, out);
  fputc('\n', out);
}

static void print_memory(FILE *out, const char *name, const struct amount *x) {
  fprintf(out, "memory,%s,,,", name);
  print_amount(out, x);
  fputs(",\n", out);
}

static void print_all(const struct costs *c, const struct amount *arena, FILE *out) {
  const Engine__Manifest *m = c->plan->manifest;
  struct row total = {0};
  struct amount weights = {0};
  char node[256];
  for (uint32_t i = 0; i < c->rows.len; i++) {
    const struct row *r = &c->rows.data[i];
    total.launches += r->launches;
    add_amount(&total.tiles, &r->tiles);
    add_amount(&total.flops, &r->flops);
    add_amount(&total.bytes, &r->bytes);
  }
  for (size_t i = 0; i < m->n_constants; i++)
    weights.value += m->constants[i]->bytes;
  fputs("kind,name,launches,tiles,flops,bytes,node\n", out);
  print_row(out, "total", "", &total, "");
  print_memory(out, "arena", arena);
  print_memory(out, "weights", &weights);
  for (uint32_t i = 0; i < c->rows.len; i++) {
    const struct row *r = &c->rows.data[i];
    const char *text = plan_provenance_text(c->plan, r->provenance, node, sizeof node);
    print_row(out, "kernel", plan_string(c->plan, m->kernels[r->kernel]->name), r,
              text ? text : "");
  }
  for (uint32_t i = 0; i < c->exchanges.len; i++) {
    const struct exchange_row *x = &c->exchanges.data[i];
    fprintf(out, "exchange,%s of %u ranks,%u,,", comm_kind_text((Engine__ExchangeKind)x->kind),
            x->ranks, x->times);
    print_amount(out, &x->bytes);
    fputs(",\n", out);
  }
}

status plan_costs_print(const struct plan *plan, FILE *out) {
  struct costs c = {.plan = plan};
  struct amount arena = {0};
  struct pool pool;
  pool_init(&pool);
  status st = expr_state_init(&c.exprs, plan, NULL, &pool);
  if (st == STATUS_OK) {
    expr_state_reset(&c.exprs);
    count(&c);
  }
  for (size_t i = 0; i < plan->manifest->phases && st == STATUS_OK; i++) {
    st = add_phase(&c, &plan->phases[i], &arena);
  }
  if (st == STATUS_OK)
    print_all(&c, &arena, out);
  vec_deinit(&c.rows);
  vec_deinit(&c.exchanges);
  pool_deinit(&pool);
  return st;
}
