/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: creation, the run of an entry point, destruction. */
#include "runtime/session.h"

#include "base/mem.h"
#include "runtime/fault.h"

#include <string.h>

/* --- Creation --- */

static uint32_t largest_phase(const struct plan *plan) {
  uint32_t most = 0;
  for (uint32_t p = 0; p < plan->manifest->phases; p++)
    if (plan->phases[p].arena_count > most)
      most = plan->phases[p].arena_count;
  return most;
}

/* Entries of a table of overlaps per value, beyond which packing goes without. */
#define MOST_OVERLAPS 64u

/* Lifetimes never change: which values meet is found once, so that packing new sizes is quick. */
static status create_overlaps(struct sinter_session *s, uint32_t p) {
  const struct plan_phase *phase = &s->plan->phases[p];
  struct memory_overlaps *overlaps = &s->phases[p].overlaps;
  uint32_t n = phase->arena_count;
  for (uint32_t i = 0; i < n; i++) {
    const Engine__Value *v = s->plan->manifest->values[phase->arena[i]];
    s->items[i] = (struct memory_item){.first = v->first, .last = v->last};
  }
  overlaps->start = POOL_ARRAY(&s->pool, uint32_t, (size_t)n + 1);
  if (!overlaps->start)
    return STATUS_RESOURCES;
  if (!memory_overlaps_count(s->items, n, n * MOST_OVERLAPS, s->packing, overlaps))
    return STATUS_OK;
  overlaps->items = POOL_ARRAY(&s->pool, uint32_t, overlaps->start[n]);
  if (!overlaps->items)
    return STATUS_RESOURCES;
  memory_overlaps_fill(s->items, n, s->packing, overlaps);
  return STATUS_OK;
}

static status create_phases(struct sinter_session *s) {
  const struct plan *plan = s->plan;
  uint32_t most = largest_phase(plan);
  s->phases = POOL_ARRAY(&s->pool, struct phase_state, plan->manifest->phases);
  s->items = POOL_ARRAY(&s->pool, struct memory_item, most);
  s->sizes = POOL_ARRAY(&s->pool, uint64_t, most);
  s->packing = POOL_ARRAY(&s->pool, uint32_t, (size_t)most * 3);
  if (!s->phases || !s->items || !s->sizes || !s->packing)
    return STATUS_RESOURCES;
  for (uint32_t p = 0; p < plan->manifest->phases; p++) {
    status st = create_overlaps(s, p);
    if (st)
      return st;
    s->phases[p].current = PHASE_LAYOUTS;
    for (uint32_t i = 0; i < PHASE_LAYOUTS; i++) {
      struct phase_layout *layout = &s->phases[p].layouts[i];
      layout->sizes = POOL_ARRAY(&s->pool, uint64_t, plan->phases[p].arena_count);
      layout->offsets = POOL_ARRAY(&s->pool, uint64_t, plan->phases[p].arena_count);
      if (!layout->sizes || !layout->offsets)
        return STATUS_RESOURCES;
    }
  }
  return STATUS_OK;
}

static void most_ports(const Engine__Manifest *m, uint32_t *out_inputs, uint32_t *out_outputs) {
  *out_inputs = *out_outputs = 0;
  for (size_t i = 0; i < m->n_entries; i++) {
    if (m->entries[i]->n_inputs > *out_inputs)
      *out_inputs = (uint32_t)m->entries[i]->n_inputs;
    if (m->entries[i]->n_outputs > *out_outputs)
      *out_outputs = (uint32_t)m->entries[i]->n_outputs;
  }
}

static status create_ports(struct sinter_session *s) {
  uint32_t inputs, outputs;
  most_ports(s->plan->manifest, &inputs, &outputs);
  s->input_slots = POOL_ARRAY(&s->pool, struct slot, inputs);
  s->output_slots = POOL_ARRAY(&s->pool, struct slot, outputs);
  s->output_owned = POOL_ARRAY(&s->pool, bool, outputs);
  s->output_buffers = POOL_ARRAY(&s->pool, struct driver_buffer, outputs);
  if (!s->input_slots || !s->output_slots || !s->output_owned || !s->output_buffers)
    return STATUS_RESOURCES;
  s->output_buffer_count = outputs;
  return STATUS_OK;
}

static status create_tables(struct sinter_session *s) {
  const struct plan *plan = s->plan;
  s->slots = POOL_ARRAY(&s->pool, struct slot, plan->manifest->n_values);
  s->buffers = POOL_ARRAY(&s->pool, struct driver_buffer, plan->buffer_count);
  s->args = POOL_ARRAY(&s->pool, uint64_t, (size_t)plan->most_arguments + 1);
  s->arg_bytes = POOL_ARRAY(&s->pool, uint64_t, (size_t)plan->most_arguments + 1);
  s->carried = POOL_ARRAY(&s->pool, int64_t, plan->most_carried_dims);
  s->carried_bytes = POOL_ARRAY(&s->pool, uint64_t, plan->most_carried);
  s->scan_bytes = POOL_ARRAY(&s->pool, uint64_t, plan->buffer_count);
  if (!s->slots || !s->buffers || !s->args || !s->arg_bytes || !s->carried || !s->carried_bytes || !s->scan_bytes)
    return STATUS_RESOURCES;
  status st = expr_state_init(&s->exprs, plan, s->coords, &s->pool);
  if (!st)
    st = create_ports(s);
  return st ? st : create_phases(s);
}

/* The cpu reads constants where the file is mapped. */
static void place_constants(struct sinter_session *s) {
  const Engine__Manifest *m = s->plan->manifest;
  for (size_t i = 1; i < m->n_values; i++) {
    if (m->values[i]->storage != ENGINE__STORAGE__CONSTANT)
      continue;
    const Engine__Constant *c = m->constants[m->values[i]->index];
    if (!c->bytes)
      continue;
    const uint8_t *data = engine_constant_data(s->engine, c);
    s->slots[i] = (struct slot){(uint8_t *)(uintptr_t)data, c->bytes};
  }
}

static status create_device(struct sinter_session *s, const sinter_session_options *options) {
  s->driver = driver_find(options->devices);
  if (!s->driver)
    return STATUS_USAGE;
  status st = s->driver->device_create(
      &(struct driver_options){.threads = options->threads, .memory_limit = options->memory_limit},
      &s->device);
  if (!st)
    st = s->driver->module_load(s->device, &s->engine->file, s->plan, &s->module, &s->target);
  if (!st)
    st = s->driver->buffer_reserve(s->device, &s->error_word, sizeof(int64_t), false);
  return st;
}

static status copy_options(const sinter_session_options *given, sinter_session_options *out) {
  *out = (sinter_session_options){0};
  if (given) {
    if (given->struct_size < sizeof given->struct_size)
      return fault_report(DIAG_E0618, NULL, "set struct_size to sizeof the struct",
                          "the options' struct_size is %zu", given->struct_size);
    memcpy(out, given, given->struct_size < sizeof *out ? given->struct_size : sizeof *out);
  }
  if (!out->devices)
    out->devices = "cpu";
  return STATUS_OK;
}

SINTER_API sinter_status sinter_session_create(sinter_engine *engine,
                                               const sinter_session_options *options,
                                               sinter_session **out_session) {
  sinter_session_options o;
  fault_clear();
  if (!engine || !out_session)
    return (sinter_status)fault_report(DIAG_E0618, NULL, NULL,
                                       "sinter_session_create was given NULL");
  status st = copy_options(options, &o);
  if (st)
    return (sinter_status)st;
  if (engine->plan.ranks > 1)
    return (sinter_status)fault_report(DIAG_E0512, engine->file.path, "compile it for one device",
                                       "the engine is for %u ranks, not for 1", engine->plan.ranks);
  struct sinter_session *s = mem_try_calloc(1, sizeof *s);
  if (!s)
    return (sinter_status)fault_no_memory("a session", sizeof *s);
  s->engine = engine;
  s->plan = &engine->plan;
  s->profile = o.profile;
  s->profile_user = o.profile_user;
  pool_init(&s->pool);
  st = create_device(s, &o);
  if (!st)
    st = create_tables(s);
  if (st) {
    sinter_session_destroy(s);
    return (sinter_status)st;
  }
  place_constants(s);
  *out_session = s;
  return SINTER_OK;
}

static void release_memory(struct sinter_session *s) {
  s->driver->buffer_release(s->device, &s->error_word);
  for (uint32_t i = 0; s->buffers && i < s->plan->buffer_count; i++)
    s->driver->buffer_release(s->device, &s->buffers[i]);
  for (uint32_t i = 0; i < s->output_buffer_count; i++)
    s->driver->buffer_release(s->device, &s->output_buffers[i]);
  for (uint32_t p = 0; s->phases && p < s->plan->manifest->phases; p++)
    s->driver->buffer_release(s->device, &s->phases[p].arena);
  if (s->module)
    s->driver->module_unload(s->device, s->module);
  s->driver->device_destroy(s->device);
}

SINTER_API void sinter_session_destroy(sinter_session *session) {
  if (!session)
    return;
  if (session->device)
    release_memory(session);
  pool_deinit(&session->pool);
  mem_free(session);
}

/* --- Running --- */

static status find_entry(struct sinter_session *s, const char *name) {
  const Engine__Manifest *m = s->plan->manifest;
  s->entry = NULL;
  for (size_t i = 0; i < m->n_entries && !s->entry; i++)
    if (strcmp(plan_string(s->plan, m->entries[i]->name), name) == 0)
      s->entry = m->entries[i];
  if (s->entry)
    return STATUS_OK;
  return fault_report(DIAG_E0601, s->engine->file.path, "`sinter inspect` lists them",
                      "the engine has no entry point '%s' among its %zu", name, m->n_entries);
}

static status run_variant(struct sinter_session *s) {
  for (size_t i = 0; i < s->entry->n_variants; i++) {
    const Engine__Variant *variant = s->entry->variants[i];
    bool fits;
    status st = session_relate_all(s, variant->guards, variant->n_guards, NULL, &fits);
    if (st)
      return st;
    if (fits)
      return session_run_block(s, variant->block);
  }
  return fault_report(DIAG_E0609, s->engine->file.path, NULL,
                      "none of the %zu variants of '%s' takes these shapes", s->entry->n_variants,
                      plan_string(s->plan, s->entry->name));
}

static status run_entry(struct sinter_session *s, const char *name, const sinter_tensor *inputs,
                        size_t n_inputs, sinter_tensor *outputs, size_t n_outputs) {
  const int64_t no_error = 0;
  s->launches = 0;
  expr_state_reset(&s->exprs);
  status st = find_entry(s, name);
  if (!st)
    st = session_bind_inputs(s, inputs, n_inputs);
  if (!st)
    st = session_bind_outputs(s, outputs, n_outputs);
  if (!st)
    st = s->driver->write(s->device, s->error_word.data, &no_error, sizeof no_error);
  if (!st)
    st = run_variant(s);
  if (!st)
    st = session_finish_kernels(s);
  if (!st)
    st = session_finish_outputs(s);
  return st;
}

SINTER_API sinter_status sinter_session_run(sinter_session *session, const char *entry,
                                            const sinter_tensor *inputs, size_t n_inputs,
                                            sinter_tensor *outputs, size_t n_outputs) {
  fault_clear();
  if (!session || !entry || (n_inputs && !inputs) || (n_outputs && !outputs))
    return (sinter_status)fault_report(DIAG_E0618, NULL, NULL, "sinter_session_run was given NULL");
  if (atomic_exchange(&session->busy, true))
    return (sinter_status)fault_report(DIAG_E0616, NULL, "create a session per thread",
                                       "the session is already running");
  status st = run_entry(session, entry, inputs, n_inputs, outputs, n_outputs);
  session_release_ports(session, st != STATUS_OK);
  session->runs += !st;
  atomic_store(&session->cancelled, false);
  atomic_store(&session->busy, false);
  return (sinter_status)st;
}

SINTER_API void sinter_session_cancel(sinter_session *session) {
  if (session && atomic_load(&session->busy))
    atomic_store(&session->cancelled, true);
}

SINTER_API sinter_status sinter_session_get_stats(const sinter_session *session,
                                                  sinter_session_stats *out_stats) {
  fault_clear();
  if (!session || !out_stats || out_stats->struct_size < sizeof out_stats->struct_size)
    return (sinter_status)fault_report(DIAG_E0618, NULL, "set struct_size to sizeof the struct",
                                       "sinter_session_get_stats was given NULL or no struct_size");
  sinter_session_stats stats = {.struct_size = out_stats->struct_size,
                                .runs = session->runs,
                                .launches = session->launches,
                                .scratch_bytes = session->driver->scratch_bytes(session->device),
                                .threads = session->driver->thread_count(session->device)};
  for (uint32_t p = 0; p < session->plan->manifest->phases; p++)
    stats.arena_bytes += session->phases[p].arena.bytes;
  for (uint32_t i = 0; i < session->plan->buffer_count; i++)
    stats.dynamic_bytes += session->buffers[i].bytes;
  for (uint32_t i = 0; i < session->output_buffer_count; i++)
    stats.dynamic_bytes += session->output_buffers[i].bytes;
  stats.target = sinter_engine_target_name(session->engine, session->target);
  size_t n = out_stats->struct_size < sizeof stats ? out_stats->struct_size : sizeof stats;
  memcpy(out_stats, &stats, n);
  return SINTER_OK;
}
