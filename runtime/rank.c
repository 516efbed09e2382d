/* SPDX-License-Identifier: Apache-2.0 */
/* A rank's life: its tables, its device, the run of an entry point. */
#include "runtime/session.h"

#include "base/hash.h"
#include "base/mem.h"
#include "runtime/engine_format.h"
#include "runtime/fault.h"

#include <stdlib.h>
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
static status create_overlaps(struct rank *r, uint32_t p) {
  const struct plan_phase *phase = &r->plan->phases[p];
  struct memory_overlaps *overlaps = &r->phases[p].overlaps;
  uint32_t n = phase->arena_count;
  for (uint32_t i = 0; i < n; i++) {
    const Engine__Value *v = r->plan->manifest->values[phase->arena[i]];
    r->items[i] = (struct memory_item){.first = v->first, .last = v->last};
  }
  overlaps->start = POOL_ARRAY(&r->pool, uint32_t, (size_t)n + 1);
  if (!overlaps->start)
    return STATUS_RESOURCES;
  if (!memory_overlaps_count(r->items, n, n * MOST_OVERLAPS, r->packing, overlaps))
    return STATUS_OK;
  overlaps->items = POOL_ARRAY(&r->pool, uint32_t, overlaps->start[n]);
  if (!overlaps->items)
    return STATUS_RESOURCES;
  memory_overlaps_fill(r->items, n, r->packing, overlaps);
  return STATUS_OK;
}

static status create_phases(struct rank *r) {
  const struct plan *plan = r->plan;
  uint32_t most = largest_phase(plan);
  r->phases = POOL_ARRAY(&r->pool, struct phase_state, plan->manifest->phases);
  r->items = POOL_ARRAY(&r->pool, struct memory_item, most);
  r->sizes = POOL_ARRAY(&r->pool, uint64_t, most);
  r->packing = POOL_ARRAY(&r->pool, uint32_t, (size_t)most * 3);
  if (!r->phases || !r->items || !r->sizes || !r->packing)
    return STATUS_RESOURCES;
  for (uint32_t p = 0; p < plan->manifest->phases; p++) {
    status st = create_overlaps(r, p);
    if (st)
      return st;
    r->phases[p].current = PHASE_LAYOUTS;
    for (uint32_t i = 0; i < PHASE_LAYOUTS; i++) {
      struct phase_layout *layout = &r->phases[p].layouts[i];
      layout->sizes = POOL_ARRAY(&r->pool, uint64_t, plan->phases[p].arena_count);
      layout->offsets = POOL_ARRAY(&r->pool, uint64_t, plan->phases[p].arena_count);
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

static status create_ports(struct rank *r) {
  uint32_t inputs, outputs;
  most_ports(r->plan->manifest, &inputs, &outputs);
  r->input_slots = POOL_ARRAY(&r->pool, struct slot, inputs);
  r->output_slots = POOL_ARRAY(&r->pool, struct slot, outputs);
  r->output_owned = POOL_ARRAY(&r->pool, bool, outputs);
  r->output_buffers = POOL_ARRAY(&r->pool, struct driver_buffer, outputs);
  r->input_buffers = POOL_ARRAY(&r->pool, struct driver_buffer, inputs);
  r->output_copies = POOL_ARRAY(&r->pool, struct slot, outputs);
  if (!r->input_slots || !r->output_slots || !r->output_owned || !r->output_buffers ||
      !r->input_buffers || !r->output_copies)
    return STATUS_RESOURCES;
  r->output_buffer_count = outputs;
  r->input_buffer_count = inputs;
  return STATUS_OK;
}

static status create_tables(struct rank *r) {
  const struct plan *plan = r->plan;
  r->slots = POOL_ARRAY(&r->pool, struct slot, plan->manifest->n_values);
  r->buffers = POOL_ARRAY(&r->pool, struct driver_buffer, plan->buffer_count);
  r->args = POOL_ARRAY(&r->pool, uint64_t, (size_t)plan->most_arguments + 1);
  r->arg_bytes = POOL_ARRAY(&r->pool, uint64_t, (size_t)plan->most_arguments + 1);
  r->carried = POOL_ARRAY(&r->pool, int64_t, plan->most_carried_dims);
  r->carried_bytes = POOL_ARRAY(&r->pool, uint64_t, plan->most_carried);
  r->scan_bytes = POOL_ARRAY(&r->pool, uint64_t, plan->buffer_count);
  r->once_done = POOL_ARRAY(&r->pool, bool, plan->manifest->n_blocks);
  r->blocks = POOL_ARRAY(&r->pool, struct comm_block, plan->most_exchange_parts);
  r->expected = POOL_ARRAY(&r->pool, uint64_t, plan->exchange_count);
  if (!r->slots || !r->buffers || !r->args || !r->arg_bytes || !r->carried || !r->carried_bytes ||
      !r->scan_bytes || !r->blocks || !r->once_done || !r->expected)
    return STATUS_RESOURCES;
  status st = expr_state_init(&r->exprs, plan, r->coords, &r->pool);
  if (!st)
    st = create_ports(r);
  if (!st)
    st = rank_states_init(r);
  if (!st)
    st = rank_strings_init(r, r->input_buffer_count, r->output_buffer_count);
  return st ? st : create_phases(r);
}

/* Which of a constant's parts a value shows on this rank. */
static status constant_part(struct rank *r, uint32_t value, const Engine__Constant *c,
                            uint64_t *out_part) {
  int64_t part;
  status st = rank_expr(r, r->plan->values[value].part, NULL, &part);
  if (!st && (part < 0 || part >= (c->parts ? c->parts : 1)))
    st = fault_report(DIAG_E0612, r->engine->file.path, "compile the model again with this release",
                      "constant '%s' has no part %lld of its %u", plan_string(r->plan, c->name),
                      (long long)part, c->parts ? c->parts : 1);
  *out_part = (uint64_t)part;
  return st;
}

/* Its bytes of the `room` that a constant, or each of its parts, has. */
static status constant_bytes(struct rank *r, uint32_t value, const Engine__Constant *c,
                             uint64_t room, uint64_t *out_bytes) {
  int64_t bytes;
  status st = rank_expr(r, r->plan->values[value].bytes, NULL, &bytes);
  if (!st && (bytes < 0 || (uint64_t)bytes > room))
    st = fault_report(DIAG_E0612, r->engine->file.path, "compile the model again with this release",
                      "%lld B of constant '%s' are read, which has %llu", (long long)bytes,
                      plan_string(r->plan, c->name), (unsigned long long)room);
  *out_bytes = (uint64_t)bytes;
  return st;
}

/* Where the file is mapped, which is where the cpu reads them. */
static status place_constants(struct rank *r) {
  const Engine__Manifest *m = r->plan->manifest;
  for (uint32_t i = 1; i < m->n_values; i++) {
    if (m->values[i]->storage != ENGINE__STORAGE__CONSTANT)
      continue;
    const Engine__Constant *c = m->constants[m->values[i]->index];
    uint64_t part, bytes, room = c->bytes / (c->parts ? c->parts : 1);
    status st = constant_part(r, i, c, &part);
    st = st ? st : constant_bytes(r, i, c, room, &bytes);
    if (st)
      return st;
    if (!bytes)
      continue;
    const uint8_t *data = engine_constant_data(r->engine, c) + part * room;
    r->slots[i] = (struct slot){(uint8_t *)(uintptr_t)data, bytes};
  }
  return STATUS_OK;
}

static status create_device(struct rank *r, uint32_t index, uint32_t sharers,
                            const sinter_session_options *options) {
  status st =
      r->driver->device_create(&(struct driver_options){.index = index,
                                                        .count = sharers,
                                                        .threads = options->threads,
                                                        .memory_limit = options->memory_limit},
                               &r->device);
  if (!st)
    st = r->driver->module_load(r->device, &r->engine->file, r->plan, &r->module, &r->target);
  if (!st)
    st = r->driver->buffer_reserve(r->device, &r->error_word, sizeof(int64_t), false);
  return st;
}

status rank_init(struct rank *r, struct sinter_session *session, uint32_t number,
                 const sinter_session_options *options) {
  *r = (struct rank){.engine = session->engine,
                     .plan = &session->engine->plan,
                     .driver = session->devices.driver,
                     .number = number,
                     .is_process = session->world != NULL,
                     .cancelled = &session->cancelled,
                     .profile = number && !session->world ? NULL : options->profile,
                     .profile_user = options->profile_user,
                     .comms = session->comms,
                     .comm = session->comm};
  if (r->comm)
    r->heartbeat = r->comms->heartbeat(r->comm, number);
  for (uint32_t i = 0; i < r->plan->manifest->n_mesh; i++)
    r->coords[i] = plan_coord(r->plan, number, i);
  pool_init(&r->pool);
  r->sync = getenv("SINTER_SYNC") != NULL;
  status st = fault_script_read(options->faults, number, &r->fault);
  if (!st)
    st = create_device(r, driver_device(&session->devices, session->world ? 0 : number),
                       session->world ? session->world->here : r->plan->ranks, options);
  if (!st)
    st = create_tables(r);
  if (!st)
    st = rank_recordings_init(r, !options->no_graphs && !options->profile && !r->sync &&
                                     !options->check_collectives);
  if (!st)
    st = place_constants(r);
  if (!st)
    st = staging_constants(r);
  if (st)
    rank_deinit(r);
  return st;
}

static void release_memory(struct rank *r) {
  rank_recordings_deinit(r);
  staging_deinit(r);
  r->driver->buffer_release(r->device, &r->error_word);
  rank_states_deinit(r);
  rank_strings_deinit(r);
  for (uint32_t i = 0; r->buffers && i < r->plan->buffer_count; i++)
    r->driver->buffer_release(r->device, &r->buffers[i]);
  for (uint32_t i = 0; i < r->output_buffer_count; i++)
    r->driver->buffer_release(r->device, &r->output_buffers[i]);
  for (uint32_t p = 0; r->phases && p < r->plan->manifest->phases; p++)
    r->driver->buffer_release(r->device, &r->phases[p].arena);
  if (r->module)
    r->driver->module_unload(r->device, r->module);
  r->driver->device_destroy(r->device);
}

void rank_deinit(struct rank *r) {
  if (r->device)
    release_memory(r);
  pool_deinit(&r->pool);
  *r = (struct rank){0};
}

/* --- Running --- */

/* What a variant needs once. It counts as done when the run is: kernels may still report. */
static status run_once(struct rank *r, uint32_t block) {
  if (!block || r->once_done[block])
    return STATUS_OK;
  r->once_begun = block;
  return rank_run_block(r, block);
}

static status run_variant(struct rank *r) {
  for (size_t i = 0; i < r->entry->n_variants; i++) {
    const Engine__Variant *variant = r->entry->variants[i];
    bool fits;
    status st = rank_relate_all(r, variant->guards, variant->n_guards, NULL, &fits);
    if (st)
      return st;
    if (!fits)
      continue;
    st = run_once(r, variant->once);
    return st ? st : rank_run_variant(r, variant);
  }
  return fault_report(DIAG_E0609, r->engine->file.path, NULL,
                      "none of the %zu variants of '%s' takes these shapes", r->entry->n_variants,
                      plan_string(r->plan, r->entry->name));
}

/* Ranks that run different things would wait for each other, or worse, not notice. */
static status agree(struct rank *r, const sinter_tensor *inputs, size_t n) {
  const uint8_t *digest = r->engine->file.data + offsetof(struct engine_header, digest);
  struct comm_agreement agreement = {.shapes = n};
  memcpy(agreement.engine, digest, sizeof agreement.engine);
  agreement.entry = r->entry->name;
  for (size_t i = 0; i < n; i++)
    for (uint32_t k = 0; inputs[i].dtype != SINTER_UNDEFINED && k < inputs[i].rank; k++)
      agreement.shapes = hash_combine(agreement.shapes, (uint64_t)inputs[i].dims[k]);
  return r->comms->begin(r->comm, r->number, &agreement);
}

static status run_entry(struct rank *r, const sinter_tensor *inputs, size_t n_inputs,
                        sinter_tensor *outputs, size_t n_outputs) {
  r->once_begun = 0;
  expr_state_reset(&r->exprs);
  host_strings_reset(&r->strings.table);
  status st = rank_bind_inputs(r, inputs, n_inputs);
  if (!st)
    st = rank_bind_outputs(r, outputs, n_outputs);
  if (!st && r->comm)
    st = agree(r, inputs, n_inputs);
  if (!st)
    st = r->driver->fill(r->device, r->error_word.data, 0, sizeof(int64_t));
  if (!st)
    st = run_variant(r);
  if (!st)
    st = rank_finish_kernels(r);
  if (!st && r->once_begun)
    r->once_done[r->once_begun] = true;
  if (!st)
    st = rank_finish_outputs(r);
  return st;
}

status rank_run(struct rank *r, const Engine__Entry *entry, const sinter_tensor *inputs,
                size_t n_inputs, sinter_tensor *outputs, size_t n_outputs) {
  r->launches = r->steps = r->decisions = 0;
  r->mode = RUN_DIRECT;
  if (r->plan->exchange_count)
    memset(r->expected, 0, r->plan->exchange_count * sizeof *r->expected);
  r->entry = entry;
  status st = run_entry(r, inputs, n_inputs, outputs, n_outputs);
  if (!st && r->comm)
    st = r->comms->finish(r->comm, r->number, r->decisions);
  return st && r->comm ? r->comms->fail(r->comm, r->number) : st;
}

void rank_decide(struct rank *r, int64_t value) {
  r->decisions = hash_combine(r->decisions, (uint64_t)value);
}

void rank_add_stats(const struct rank *r, sinter_session_stats *stats) {
  stats->launches += r->launches;
  stats->threads += r->driver->thread_count(r->device);
  stats->scratch_bytes += r->driver->scratch_bytes(r->device);
  for (uint32_t p = 0; p < r->plan->manifest->phases; p++)
    stats->arena_bytes += r->phases[p].arena.bytes;
  for (uint32_t i = 0; i < r->plan->buffer_count; i++)
    stats->dynamic_bytes += r->buffers[i].bytes;
  for (uint32_t i = 0; i < r->output_buffer_count; i++)
    stats->dynamic_bytes += r->output_buffers[i].bytes;
  stats->state_bytes += rank_states_bytes(r);
  if (r->number == 0 || r->is_process) {
    stats->graphs_made = r->recordings.made;
    stats->graphs_launched = r->recordings.replayed;
  }
  stats->dynamic_bytes += rank_strings_bytes(r);
}
