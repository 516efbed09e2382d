/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank holds of the states: one buffer each, [rows, ..., capacity, ...] row-major. */
#include "runtime/session.h"

#include "base/checked.h"
#include "base/mem.h"
#include "runtime/fault.h"

#include <string.h>

static size_t state_count(const struct rank *r) {
  const Engine__Manifest *m = r->plan->manifest;
  for (size_t i = 0; i < m->n_entries; i++)
    if (m->entries[i]->n_states)
      return m->entries[i]->n_states;
  return 0;
}

status rank_states_init(struct rank *r) {
  r->states.buffers = POOL_ARRAY(&r->pool, struct driver_buffer, state_count(r));
  return r->states.buffers ? STATUS_OK : STATUS_RESOURCES;
}

void rank_states_deinit(struct rank *r) {
  for (size_t i = 0; r->states.buffers && i < state_count(r); i++)
    r->driver->buffer_release(r->device, &r->states.buffers[i]);
}

uint64_t rank_states_bytes(const struct rank *r) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < state_count(r); i++)
    bytes += r->states.buffers[i].bytes;
  return bytes;
}

/* ---- sizes ---- */

/* A state as [rows, outer, held, inner] in bytes: what lies around the rows that this rank holds.
 */
struct layout {
  uint64_t rows, outer, held, inner; /* inner in bytes */
};

static status bad_size(struct rank *r, size_t state) {
  return fault_report(DIAG_E0611, r->engine->file.path, NULL, "state %zu is too large", state);
}

/* Values for the batch and the capacity. */
static void bind_sizes(struct rank *r, const Engine__Entry *e, int64_t rows, int64_t capacity) {
  const Engine__DimExpr *batch = r->plan->manifest->dim_exprs[e->inputs[0]->dims[0]];
  expr_state_reset(&r->exprs);
  expr_state_bind(&r->exprs, e->capacity, capacity);
  if (batch->kind == EXPR_SYMBOL)
    expr_state_bind(&r->exprs, batch->a, rows);
}

/* The batch rows of a state that this rank has of `rows`. */
static status local_rows(struct rank *r, const Engine__Entry *e, size_t state, int64_t rows,
                         uint64_t *out) {
  const Engine__Port *port = e->inputs[e->states[state]->input];
  int64_t n = rows;
  status st = STATUS_OK;
  if (port->dims[0] != e->inputs[0]->dims[0])
    st = rank_expr(r, port->dims[0], NULL, &n);
  *out = (uint64_t)n;
  return st || n >= 0 ? st : bad_size(r, state);
}

static status layout_of(struct rank *r, const Engine__Entry *e, size_t state, int64_t rows,
                        int64_t capacity, struct layout *out) {
  const Engine__Port *port = e->inputs[e->states[state]->input];
  uint32_t axis = e->states[state]->axis;
  *out = (struct layout){0, 1, 0, dtype_unpacked_bytes((enum dtype)port->dtype)};
  bind_sizes(r, e, rows, capacity);
  status st = local_rows(r, e, state, rows, &out->rows);
  for (uint32_t d = 1; d < port->n_dims && !st; d++) {
    int64_t n;
    uint64_t *product = d < axis ? &out->outer : &out->inner;
    st = rank_expr(r, port->dims[d], NULL, &n);
    if (st)
      return st;
    if (n < 0)
      return bad_size(r, state);
    if (d == axis)
      out->held = (uint64_t)n;
    else if (!size_mul(*product, (uint64_t)n, product))
      return bad_size(r, state);
  }
  return st;
}

static bool layout_bytes(const struct layout *a, uint64_t *out) {
  return size_mul(a->rows, a->outer, out) && size_mul(*out, a->held, out) &&
         size_mul(*out, a->inner, out);
}

/* ---- room ---- */

/* What is in the old buffer, in the new one's order. After another rank's failure the new one may
 * be the smaller; what is lost then was never used. */
static status move(struct rank *r, const struct layout *from, const uint8_t *old,
                   const struct layout *to, uint8_t *new) {
  uint64_t held = (from->held < to->held ? from->held : to->held) * to->inner;
  uint64_t blocks = (from->rows < to->rows ? from->rows : to->rows) * to->outer;
  status st = STATUS_OK;
  if (blocks && held && (from->outer != to->outer || from->inner != to->inner))
    return fault_report(DIAG_E0611, r->engine->file.path, NULL,
                        "a rank's part of a state is another one when it has more room");
  for (uint64_t i = 0; i < blocks && held && !st; i++)
    st = r->driver->copy(r->device, new + i * to->held * to->inner,
                         old + i * from->held * from->inner, held);
  return st;
}

static status grow(struct rank *r, const Engine__Entry *e, size_t state, int64_t rows,
                   int64_t capacity, struct driver_buffer *out) {
  struct layout from, to;
  uint64_t bytes;
  status st = layout_of(r, e, state, r->states.rows, r->states.capacity, &from);
  if (!st)
    st = layout_of(r, e, state, rows, capacity, &to);
  if (st)
    return st;
  if (!layout_bytes(&to, &bytes))
    return bad_size(r, state);
  st = r->driver->buffer_reserve(r->device, out, bytes ? bytes : 1, false);
  if (!st && bytes)
    st = r->driver->fill(r->device, out->data, 0, bytes);
  return st ? st : move(r, &from, r->states.buffers[state].data, &to, out->data);
}

status rank_states_reserve(struct rank *r, const Engine__Entry *e, int64_t rows, int64_t capacity) {
  struct driver_buffer *made = mem_try_calloc(e->n_states, sizeof *made);
  status st = made ? STATUS_OK : fault_no_memory("states", e->n_states * sizeof *made);
  for (size_t i = 0; i < e->n_states && !st; i++)
    st = grow(r, e, i, rows, capacity, &made[i]);
  if (!st)
    st = r->driver->wait(r->device);
  for (size_t i = 0; made && i < e->n_states; i++) {
    struct driver_buffer old = st ? made[i] : r->states.buffers[i];
    if (!st)
      r->states.buffers[i] = made[i];
    r->driver->buffer_release(r->device, &old);
  }
  mem_free(made);
  if (st)
    return st;
  r->states.rows = rows;
  r->states.capacity = capacity;
  return STATUS_OK;
}

status rank_states_row(struct rank *r, const Engine__Entry *e, size_t state, int64_t row,
                       struct states_row *out) {
  struct layout all;
  uint64_t before, with;
  status st = layout_of(r, e, state, r->states.rows, r->states.capacity, &all);
  bind_sizes(r, e, row, r->states.capacity);
  if (!st)
    st = local_rows(r, e, state, row, &before);
  bind_sizes(r, e, row + 1, r->states.capacity);
  if (!st)
    st = local_rows(r, e, state, row + 1, &with);
  if (st)
    return st;
  uint64_t bytes = all.outer * all.held * all.inner;
  *out = (struct states_row){NULL, bytes};
  if (with > before && with <= all.rows)
    out->data = (uint8_t *)r->states.buffers[state].data + before * bytes;
  return STATUS_OK;
}

/* ---- in a run ---- */

void rank_bind_capacity(struct rank *r) {
  if (r->entry->n_states)
    expr_state_bind(&r->exprs, r->entry->capacity, r->states.capacity);
}

/* The place of a port's value. */
static struct slot *input_slot(struct rank *r, const Engine__Port *port) {
  return &r->input_slots[r->plan->manifest->values[port->value]->index];
}

status rank_bind_states(struct rank *r) {
  const Engine__Entry *e = r->entry;
  int64_t batch;
  if (!e->n_states)
    return STATUS_OK;
  status st = rank_expr(r, e->inputs[0]->dims[0], NULL, &batch);
  if (st)
    return st;
  *input_slot(r, e->inputs[e->length - 1]) =
      (struct slot){(uint8_t *)(uintptr_t)r->states.length, (uint64_t)batch * sizeof(int64_t)};
  for (size_t i = 0; i < e->n_states; i++)
    *input_slot(r, e->inputs[e->states[i]->input]) =
        (struct slot){r->states.buffers[i].data, r->states.buffers[i].bytes};
  return staging_input(r, e->length - 1);
}

status rank_size_state(struct rank *r, uint32_t value, const Engine__Step *step) {
  const Engine__Value *v = r->plan->manifest->values[value];
  const struct driver_buffer *buffer = &r->states.buffers[v->index - plan_entry_outputs(r->entry)];
  int64_t bytes;
  status st = rank_expr(r, v->bytes, step, &bytes);
  if (st)
    return st;
  if (bytes < 0 || (uint64_t)bytes > buffer->bytes)
    return fault_report(DIAG_E0612, r->engine->file.path, NULL,
                        "a state needs %lld B and has %llu B", (long long)bytes,
                        (unsigned long long)buffer->bytes);
  r->output_slots[v->index] = (struct slot){buffer->data, buffer->bytes};
  return STATUS_OK;
}
