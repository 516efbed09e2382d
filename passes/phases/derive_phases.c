/* SPDX-License-Identifier: Apache-2.0 */
/* derive_phases: entries `prefill` and `decode` for a decoder whose caches come in as past and go
 * out as present.
 *
 *     entry @main("input_ids", "attention_mask", "past") -> ("logits", "present") { @main; }
 *
 *  and besides, where `past` is f32[batch, 2, past, 16]:
 *
 *     entry @prefill("input_ids", "count", "length", "past") -> ("logits", "present")
 *       state ("length", "count") ("past") -> ("present") { @prefill; }
 *     entry @decode("input_ids", "length", "past") -> ("logits", "present")
 *       state ("length") ("past") -> ("present") { @decode; }
 *
 * with a variant of decode for a batch of one. There past and present are one state f32[batch, 2,
 * capacity, 16], written in place. `main` stays as it is. Both take tokens [batch, sequence]
 * (decode: [batch, 1]) that lie behind the `length` rows that each batch row has; in prefill
 * `count` of them are valid, the others only fill up. Logits are those of each row's last valid
 * token, [batch, vocabulary]. A prompt may be given in pieces.
 *
 * Who has which role is told by names (phase_role.def) or by the option --roles. A model that is no
 * such decoder, or does something with its caches that this does not know, keeps its one entry;
 * SINTER_LOG=phases:1 says why.
 *
 * Requires: recognise_attention before; masks are read off its results. Preserves: main. */
#include "base/log.h"
#include "passes/entry_variant.h"
#include "passes/pass.h"
#include "passes/phases/phase_build.h"

struct derive {
  struct pass_context *ctx;
  const struct entry *main;
  const struct function *from;
  struct phase_roles roles;
  struct affines affines;
  dim capacity;
};

static bool is_state_input(const struct derive *d, uint32_t i) {
  for (uint32_t k = 0; k < d->roles.states.len; k++)
    if (d->roles.states.data[k].past == i)
      return true;
  return false;
}

static bool is_state_output(const struct derive *d, uint32_t i) {
  for (uint32_t k = 0; k < d->roles.states.len; k++)
    if (d->roles.states.data[k].present == i)
      return true;
  return false;
}

/* A name that no input of the model has. */
static const char *free_name(const struct derive *d, const char *name) {
  struct strbuf text = {0};
  bool taken = true;
  strbuf_append_c(&text, name);
  while (taken) {
    taken = false;
    for (uint32_t i = 0; i < d->main->input_names.len; i++)
      taken |= !strcmp(d->main->input_names.data[i], strbuf_c(&text));
    if (taken)
      strbuf_char(&text, '_');
  }
  const char *found = module_intern(d->ctx->module, strbuf_c(&text));
  strbuf_deinit(&text);
  return found;
}

/* The entry of a function that phase_build made. */
static void add_entry(struct derive *d, const struct phase *p) {
  struct entry e = {.name = module_intern(d->ctx->module, p->name)};
  const struct phase_roles *r = &d->roles;
  vec_push(&e.input_names, d->main->input_names.data[r->port[PHASE_TOKENS]]);
  for (uint32_t i = 0; i < d->main->input_names.len; i++)
    if (i != r->port[PHASE_TOKENS] && i != r->port[PHASE_MASK] && i != r->port[PHASE_POSITIONS] &&
        !is_state_input(d, i))
      vec_push(&e.input_names, d->main->input_names.data[i]);
  if (!p->decode) {
    vec_push(&e.input_names, free_name(d, "count"));
    e.count = e.input_names.len;
  }
  vec_push(&e.input_names, free_name(d, "length"));
  e.length = e.input_names.len;
  for (uint32_t i = 0; i < d->main->output_names.len; i++)
    if (!is_state_output(d, i))
      vec_push(&e.output_names, d->main->output_names.data[i]);
  for (uint32_t i = 0; i < r->states.len; i++) {
    vec_push(&e.states, ((struct entry_state){e.input_names.len, e.output_names.len}));
    vec_push(&e.input_names, d->main->input_names.data[r->states.data[i].past]);
    vec_push(&e.output_names, d->main->output_names.data[r->states.data[i].present]);
  }
  vec_push(&e.variants, (struct entry_variant){.function = p->to});
  vec_push(&d->ctx->module->entries, e);
}

/* A step of one sequence, which is what latency is asked of, has kernels of its own: with one row,
 * products only stream weights. */
static status specialise_decode(struct derive *d) {
  struct module *m = d->ctx->module;
  struct entry *decode = &vec_last(&m->entries);
  dim batch = value_type(decode->variants.data[0].function, /* tokens */
                         decode->variants.data[0].function->regions.data[0].params.data[0])
                  ->dims[0];
  struct guard one = {batch, RELATION_EQ, dim_const(m->dims, 1)};
  uint32_t symbol;
  if (d->ctx->machine || !dim_symbol_of(m->dims, batch, &symbol) ||
      dim_symbol_lo(m->dims, symbol) > 1 || dim_symbol_hi(m->dims, symbol) < 2)
    return STATUS_OK;
  return entry_variant_add(m, decode, 0, &one, 1, d->ctx->diags) ? STATUS_OK : STATUS_INTERNAL;
}

/* Both, or none. */
static status derive(struct derive *d, struct strbuf *why) {
  struct phase prefill = {.from = d->from,
                          .roles = &d->roles,
                          .name = "prefill",
                          .affines = &d->affines,
                          .capacity = d->capacity};
  struct phase decode = prefill;
  decode.name = "decode";
  decode.decode = true;
  if (!phase_build(&prefill, why))
    return STATUS_OK;
  if (!phase_build(&decode, why)) {
    module_drop_function(d->ctx->module, prefill.to);
    return STATUS_OK;
  }
  add_entry(d, &prefill);
  /* The table of entries may have moved. */
  d->main = &d->ctx->module->entries.data[0];
  add_entry(d, &decode);
  return specialise_decode(d);
}

/* `capacity`, or, where the model has a dim of that name, another. */
static dim new_symbol(struct dim_table *t) {
  uint32_t before = dim_symbol_count(t);
  dim d = dim_symbol(t, "capacity", 1, DIM_UNBOUNDED_HI);
  return d != DIM_NONE && dim_symbol_count(t) > before
             ? d
             : dim_fresh(t, "capacity", 1, DIM_UNBOUNDED_HI);
}

status pass_derive_phases(struct pass_context *ctx) {
  struct module *m = ctx->module;
  struct strbuf why = {0};
  bool wrong = false;
  status st = STATUS_OK;
  if (m->entries.len != 1 || !m->entries.data[0].variants.len || m->entries.data[0].states.len)
    return STATUS_OK;
  /* Of an entry with variants, the general one. */
  struct derive d = {.ctx = ctx,
                     .main = &m->entries.data[0],
                     .from = vec_last(&m->entries.data[0].variants).function};
  if (phase_roles_find(d.main, d.from, ctx->roles, &d.roles, &why, &wrong)) {
    d.capacity = new_symbol(m->dims);
    affines_init(&d.affines, d.from);
    st = derive(&d, &why);
    affines_deinit(&d.affines);
  }
  if (st == STATUS_OK && (wrong || (why.len && ctx->roles)))
    st = diag_report(ctx->diags, DIAG_E0324, NULL, NULL, "no prefill and decode: %s",
                     strbuf_c(&why));
  else if (why.len)
    LOG("phases", 1, "no prefill and decode: %s", strbuf_c(&why));
  phase_roles_deinit(&d.roles);
  strbuf_deinit(&why);
  return st;
}
