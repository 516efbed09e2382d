/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded runs. The first run of an entry at some shapes goes step by step, and memory takes the
 * size it needs. The second does so once more, on a device that only notes what it is asked to do;
 * the recording is launched as one, then and in later runs, where steps compute sizes and addresses
 * but ask the device for nothing. What the recording is bound to is its key: the entry, the values
 * of symbols, where inputs lie. All other memory stays where it is until some of it grows, which
 * the device counts.
 *
 * Recordable is a plan whose steps depend on no data that the host reads. Ranks decide together: an
 * exchange that one of them replays, all must.
 */
#include "runtime/session.h"

#include "runtime/fault.h"

#include <string.h>

/* --- What can be recorded --- */

static bool block_recordable(const struct rank *r, uint32_t block);

static bool exchange_recordable(const struct rank *r, const Engine__Exchange *body) {
  if (!r->comm)
    return true;
  return r->comms->on_device && r->comms->on_device(r->comm, &r->plan->exchanges[body->number]);
}

static bool step_recordable(const struct rank *r, const Engine__Step *step) {
  switch (step->body_case) {
  case ENGINE__STEP__BODY_LAYOUT:
  case ENGINE__STEP__BODY_LAUNCH:
  case ENGINE__STEP__BODY_COPY:
  case ENGINE__STEP__BODY_FILL:
  case ENGINE__STEP__BODY_SET_SYMBOL:
  case ENGINE__STEP__BODY_RESERVE:
  case ENGINE__STEP__BODY_CHECK: return true;
  case ENGINE__STEP__BODY_EXCHANGE: return exchange_recordable(r, step->exchange);
  case ENGINE__STEP__BODY_IF_:
    return !step->if_->condition && block_recordable(r, step->if_->then_block) &&
           block_recordable(r, step->if_->else_block);
  default: return false; /* reads what the device computed, or rearranges it on the host */
  }
}

/* Nesting is bounded by the loader. */
static bool block_recordable(const struct rank *r, uint32_t block) {
  const Engine__Block *b = r->plan->manifest->blocks[block];
  for (size_t i = 0; i < b->n_steps; i++)
    if (!step_recordable(r, b->steps[i]))
      return false;
  return true;
}

/* --- The table --- */

status rank_recordings_init(struct rank *r, bool on) {
  const Engine__Manifest *m = r->plan->manifest;
  struct rank_recordings *t = &r->recordings;
  t->on = on && r->driver->record;
  t->words = 1 + 2 * m->n_symbols + r->input_buffer_count;
  for (uint32_t i = 0; i < RANK_RECORDINGS && t->on; i++)
    if (!(t->items[i].key = POOL_ARRAY(&r->pool, uint64_t, t->words)))
      return STATUS_RESOURCES;
  t->key = t->on ? POOL_ARRAY(&r->pool, uint64_t, t->words) : NULL;
  return !t->on || t->key ? STATUS_OK : STATUS_RESOURCES;
}

void rank_recordings_deinit(struct rank *r) {
  for (uint32_t i = 0; i < RANK_RECORDINGS; i++)
    if (r->recordings.items[i].recording)
      r->driver->recording_destroy(r->device, r->recordings.items[i].recording);
}

static void make_key(struct rank *r, const Engine__Variant *variant) {
  const Engine__Manifest *m = r->plan->manifest;
  uint64_t *key = r->recordings.key;
  memset(key, 0, r->recordings.words * sizeof *key);
  *key++ = variant->block;
  for (size_t i = 0; i < m->n_symbols; i++) {
    *key++ = r->exprs.symbol_bound[i];
    *key++ = r->exprs.symbol_bound[i] ? (uint64_t)r->exprs.symbol_values[i] : 0;
  }
  for (size_t i = 0; i < r->entry->n_inputs; i++)
    *key++ = (uint64_t)(uintptr_t)r->input_slots[i].data;
}

/* The row of the run's key, or the one that was not used for longest, emptied. */
static struct rank_recording *find_row(struct rank *r, const Engine__Variant *variant) {
  struct rank_recordings *t = &r->recordings;
  struct rank_recording *oldest = &t->items[0];
  make_key(r, variant);
  t->runs++;
  for (uint32_t i = 0; i < RANK_RECORDINGS; i++) {
    struct rank_recording *row = &t->items[i];
    if (row->valid && memcmp(row->key, t->key, t->words * sizeof *t->key) == 0) {
      row->used = t->runs;
      return row;
    }
    if (row->used < oldest->used)
      oldest = row;
  }
  if (oldest->recording)
    r->driver->recording_destroy(r->device, oldest->recording);
  *oldest = (struct rank_recording){.key = oldest->key,
                                    .valid = true,
                                    .used = t->runs,
                                    .refused = !block_recordable(r, variant->block)};
  memcpy(oldest->key, t->key, t->words * sizeof *t->key);
  return oldest;
}

/* What this rank is ready for, and then what all are. */
static status decide(struct rank *r, const struct rank_recording *row, enum run_mode *out_mode) {
  uint32_t least, mine = !row->ran || row->refused                                     ? RUN_DIRECT
                         : row->recording && row->moves == r->driver->moves(r->device) ? RUN_REPLAY
                                                                                       : RUN_RECORD;
  *out_mode = (enum run_mode)mine;
  if (!r->comm || row->refused) /* which is the plan's affair: the same on all ranks */
    return STATUS_OK;
  status st = r->comms->vote(r->comm, r->number, mine, &least);
  *out_mode = (enum run_mode)least;
  return st;
}

/* --- Runs --- */

static status record(struct rank *r, uint32_t block, struct rank_recording *row, bool *out_made) {
  status st = r->driver->record(r->device);
  *out_made = false;
  if (st)
    return STATUS_OK; /* the caller goes without */
  r->mode = RUN_RECORD;
  st = rank_run_block(r, block);
  r->mode = RUN_DIRECT;
  if (st)
    return r->driver->record_end(r->device, false, &row->recording);
  *out_made = r->driver->record_end(r->device, true, &row->recording) == STATUS_OK;
  row->moves = r->driver->moves(r->device);
  r->recordings.made += *out_made;
  return STATUS_OK;
}

/* Counters of the run, which a second pass over the steps would count twice. */
static void start_counters(struct rank *r) {
  r->launches = r->steps = 0;
  if (r->plan->exchange_count)
    memset(r->expected, 0, r->plan->exchange_count * sizeof *r->expected);
}

static status record_and_replay(struct rank *r, uint32_t block, struct rank_recording *row) {
  bool made;
  uint32_t all = 1;
  status st = record(r, block, row, &made);
  if (!st && r->comm)
    st = r->comms->vote(r->comm, r->number, made, &all);
  if (st)
    return st;
  if (made && all) {
    r->recordings.replayed++;
    return r->driver->replay(r->device, row->recording);
  }
  row->refused = true;
  start_counters(r);
  return rank_run_block(r, block);
}

status rank_run_variant(struct rank *r, const Engine__Variant *variant) {
  enum run_mode mode;
  if (!r->recordings.on)
    return rank_run_block(r, variant->block);
  struct rank_recording *row = find_row(r, variant);
  status st = decide(r, row, &mode);
  if (st)
    return st;
  if (mode == RUN_RECORD)
    return record_and_replay(r, variant->block, row);
  r->mode = mode;
  st = rank_run_block(r, variant->block);
  r->mode = RUN_DIRECT;
  if (mode == RUN_DIRECT)
    row->ran = !st;
  if (st || mode == RUN_DIRECT)
    return st;
  r->recordings.replayed++;
  return r->driver->replay(r->device, row->recording);
}
