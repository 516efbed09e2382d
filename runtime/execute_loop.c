/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops. A carried value has a param, whose buffer holds its current version, and a spare buffer.
 * After each iteration all next versions are put beside the current ones before any of them is
 * replaced, because a `next` may be another value's param.
 */
#include "runtime/session.h"

#include "base/checked.h"
#include "runtime/fault.h"

#include <string.h>

/* param := init, for all carried values. */
static status start_carried(struct rank *r, const Engine__Step *step, const Engine__Loop *loop) {
  for (size_t i = 0; i < loop->n_carried; i++) {
    const Engine__Carried *c = loop->carried[i];
    struct slot init;
    status st = rank_value(r, c->init, step, &init);
    if (!st)
      st = rank_reserve(r, c->param, init.bytes, false);
    if (!st)
      st = r->driver->copy(r->device, r->slots[c->param].data, init.data, init.bytes);
    if (st)
      return st;
  }
  return STATUS_OK;
}

/* The dims of all carried values at once: evaluated first, bound after. */
static status bind_carried_dims(struct rank *r, const Engine__Step *step, const Engine__Loop *loop,
                                bool initial) {
  int64_t *values = r->carried;
  for (size_t i = 0; i < loop->n_carried; i++) {
    const Engine__Carried *c = loop->carried[i];
    for (size_t k = 0; k < c->n_dims; k++) {
      status st = rank_expr(r, initial ? c->dims[k]->init : c->dims[k]->next, step, values++);
      if (st)
        return st;
    }
  }
  values = r->carried;
  for (size_t i = 0; i < loop->n_carried; i++) {
    const Engine__Carried *c = loop->carried[i];
    for (size_t k = 0; k < c->n_dims; k++) {
      status st = rank_bind_symbol(r, c->dims[k]->symbol, *values++, step);
      if (st)
        return st;
    }
  }
  return STATUS_OK;
}

/* Copies a next version into the param's spare buffer, unless its own buffer will do. */
static status stage_next(struct rank *r, const Engine__Step *step, const Engine__Carried *c,
                         uint64_t *out_bytes) {
  struct slot next;
  status st = rank_value(r, c->next, step, &next);
  *out_bytes = next.bytes;
  if (st || r->plan->values[c->next].exchange)
    return st;
  struct driver_buffer *spare = &r->buffers[r->plan->values[c->param].spare];
  st = r->driver->buffer_reserve(r->device, spare, next.bytes, false);
  return st ? st : r->driver->copy(r->device, spare->data, next.data, next.bytes);
}

static void exchange_buffers(struct driver_buffer *a, struct driver_buffer *b) {
  struct driver_buffer t = *a;
  *a = *b;
  *b = t;
}

static void take_next(struct rank *r, const Engine__Carried *c, uint64_t bytes) {
  const struct plan_value *param = &r->plan->values[c->param], *next = &r->plan->values[c->next];
  exchange_buffers(&r->buffers[param->buffer],
                   &r->buffers[next->exchange ? next->buffer : param->spare]);
  r->slots[c->param] = (struct slot){r->buffers[param->buffer].data, bytes};
  if (next->exchange) /* what it holds now is an older version: nobody may read it before it is
                         reserved again */
    r->slots[c->next] = (struct slot){0};
}

static status advance_carried(struct rank *r, const Engine__Step *step, const Engine__Loop *loop) {
  for (size_t i = 0; i < loop->n_carried; i++) {
    status st = stage_next(r, step, loop->carried[i], &r->carried_bytes[i]);
    if (st)
      return st;
  }
  for (size_t i = 0; i < loop->n_carried; i++)
    take_next(r, loop->carried[i], r->carried_bytes[i]);
  return bind_carried_dims(r, step, loop, false);
}

/* --- Scan outputs --- */

static status scan_fail(struct rank *r, const Engine__Step *step, uint64_t first, uint64_t found) {
  char where[320];
  return fault_report(DIAG_E0614, plan_node_text(r->plan, step, where, sizeof where), NULL,
                      "a scan output has %llu B in one iteration and %llu B in another",
                      (unsigned long long)first, (unsigned long long)found);
}

/* Grows by doubling, so that n iterations copy O(n). */
static status grow_scan(struct rank *r, uint32_t result, uint64_t bytes) {
  struct driver_buffer *buffer = &r->buffers[r->plan->values[result].buffer];
  if (buffer->data && bytes <= buffer->bytes) {
    r->slots[result] = (struct slot){buffer->data, bytes};
    return STATUS_OK;
  }
  uint64_t twice;
  if (u64_mul(buffer->bytes, 2, &twice) && twice > bytes) {
    status st = r->driver->buffer_reserve(r->device, buffer, twice, true);
    if (st)
      return st;
  }
  return rank_reserve(r, result, bytes, true);
}

static status append_scan(struct rank *r, const Engine__Step *step, const Engine__ScanOutput *scan,
                          int64_t iteration) {
  struct slot element;
  status st = rank_value(r, scan->element, step, &element);
  if (st)
    return st;
  uint64_t *first = &r->scan_bytes[r->plan->values[scan->result].buffer], start, end;
  if (iteration == 0)
    *first = element.bytes;
  if (*first != element.bytes)
    return scan_fail(r, step, *first, element.bytes);
  if (!u64_mul((uint64_t)iteration, element.bytes, &start) || !u64_add(start, element.bytes, &end))
    return fault_no_memory("a scan output", UINT64_MAX);
  st = grow_scan(r, scan->result, end);
  return st ? st
            : r->driver->copy(r->device, r->slots[scan->result].data + start, element.data,
                              element.bytes);
}

static status append_scans(struct rank *r, const Engine__Step *step, const Engine__Loop *loop,
                           int64_t iteration) {
  for (size_t i = 0; i < loop->n_scans; i++) {
    status st = append_scan(r, step, loop->scans[i], iteration);
    if (st)
      return st;
  }
  return STATUS_OK;
}

/* --- The loop --- */

static status read_trip(struct rank *r, const Engine__Step *step, const Engine__Loop *loop,
                        int64_t *out_trip) {
  status st;
  switch (loop->trip) {
  case ENGINE__TRIP__FROM_VALUE:
    st = rank_read_integer(r, loop->trip_value, 0, step, out_trip);
    if (!st)
      rank_decide(r, *out_trip);
    if (!st && *out_trip < 0)
      *out_trip = INT64_MAX;
    return st;
  case ENGINE__TRIP__FROM_EXPR: return rank_expr(r, loop->trip_expr, step, out_trip);
  default: *out_trip = INT64_MAX; return STATUS_OK;
  }
}

static status read_condition(struct rank *r, const Engine__Step *step, uint32_t value,
                             bool *out_go_on) {
  int64_t number = 1;
  status st = value ? rank_read_integer(r, value, 0, step, &number) : STATUS_OK;
  *out_go_on = number != 0;
  if (value)
    rank_decide(r, *out_go_on);
  return st;
}

static status announce_iteration(struct rank *r, const Engine__Step *step, const Engine__Loop *loop,
                                 int64_t iteration) {
  status st = STATUS_OK;
  if (loop->iteration) {
    struct slot slot;
    st = rank_value(r, loop->iteration, step, &slot);
    if (!st && slot.bytes < sizeof iteration)
      st = fault_report(DIAG_E0612, NULL, NULL, "the iteration number has a place of %llu B",
                        (unsigned long long)slot.bytes);
    if (!st)
      st = r->driver->write(r->device, slot.data, &iteration, sizeof iteration);
  }
  if (!st && loop->iteration_symbol)
    st = rank_bind_symbol(r, loop->iteration_symbol, iteration, step);
  return st;
}

static status run_iteration(struct rank *r, const Engine__Step *step, const Engine__Loop *loop,
                            int64_t iteration, bool *out_go_on) {
  if (atomic_load_explicit(r->cancelled, memory_order_relaxed)) /* a body may be empty */
    return fault_report(DIAG_E0617, NULL, NULL, "the run was cancelled");
  status st = announce_iteration(r, step, loop, iteration);
  if (!st)
    st = rank_run_block(r, loop->body);
  if (!st) /* before the versions change: the condition may be one of them */
    st = read_condition(r, step, loop->body_condition, out_go_on);
  if (!st)
    st = append_scans(r, step, loop, iteration);
  return st ? st : advance_carried(r, step, loop);
}

static void empty_scans(struct rank *r, const Engine__Loop *loop) {
  for (size_t i = 0; i < loop->n_scans; i++)
    r->slots[loop->scans[i]->result].bytes = 0;
}

status rank_run_loop(struct rank *r, const Engine__Step *step, const Engine__Loop *loop) {
  int64_t trip = 0, iteration = 0;
  bool go_on = true;
  status st = read_trip(r, step, loop, &trip);
  if (!st)
    st = read_condition(r, step, loop->condition, &go_on);
  if (!st)
    st = start_carried(r, step, loop);
  if (!st)
    st = bind_carried_dims(r, step, loop, true);
  empty_scans(r, loop);
  for (; !st && go_on && iteration < trip; iteration++)
    st = run_iteration(r, step, loop, iteration, &go_on);
  if (!st && loop->trip_symbol)
    st = rank_bind_symbol(r, loop->trip_symbol, iteration, step);
  return st;
}
