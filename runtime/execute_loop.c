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
static status start_carried(struct sinter_session *s, const Engine__Step *step,
                            const Engine__Loop *loop) {
  for (size_t i = 0; i < loop->n_carried; i++) {
    const Engine__Carried *c = loop->carried[i];
    struct slot init;
    status st = session_value(s, c->init, step, &init);
    if (!st)
      st = session_reserve(s, c->param, init.bytes, false);
    if (!st)
      st = s->driver->copy(s->device, s->slots[c->param].data, init.data, init.bytes);
    if (st)
      return st;
  }
  return STATUS_OK;
}

/* The dims of all carried values at once: evaluated first, bound after. */
static status bind_carried_dims(struct sinter_session *s, const Engine__Step *step,
                                const Engine__Loop *loop, bool initial) {
  int64_t *values = s->carried;
  for (size_t i = 0; i < loop->n_carried; i++) {
    const Engine__Carried *c = loop->carried[i];
    for (size_t k = 0; k < c->n_dims; k++) {
      status st = session_expr(s, initial ? c->dims[k]->init : c->dims[k]->next, step, values++);
      if (st)
        return st;
    }
  }
  values = s->carried;
  for (size_t i = 0; i < loop->n_carried; i++) {
    const Engine__Carried *c = loop->carried[i];
    for (size_t k = 0; k < c->n_dims; k++) {
      status st = session_bind_symbol(s, c->dims[k]->symbol, *values++, step);
      if (st)
        return st;
    }
  }
  return STATUS_OK;
}

/* Copies a next version into the param's spare buffer, unless its own buffer will do. */
static status stage_next(struct sinter_session *s, const Engine__Step *step,
                         const Engine__Carried *c, uint64_t *out_bytes) {
  struct slot next;
  status st = session_value(s, c->next, step, &next);
  *out_bytes = next.bytes;
  if (st || s->plan->values[c->next].exchange)
    return st;
  struct driver_buffer *spare = &s->buffers[s->plan->values[c->param].spare];
  st = s->driver->buffer_reserve(s->device, spare, next.bytes, false);
  return st ? st : s->driver->copy(s->device, spare->data, next.data, next.bytes);
}

static void exchange_buffers(struct driver_buffer *a, struct driver_buffer *b) {
  struct driver_buffer t = *a;
  *a = *b;
  *b = t;
}

static void take_next(struct sinter_session *s, const Engine__Carried *c, uint64_t bytes) {
  const struct plan_value *param = &s->plan->values[c->param], *next = &s->plan->values[c->next];
  exchange_buffers(&s->buffers[param->buffer],
                   &s->buffers[next->exchange ? next->buffer : param->spare]);
  s->slots[c->param] = (struct slot){s->buffers[param->buffer].data, bytes};
  if (next->exchange) /* what it holds now is an older version: nobody may read it before it is
                         reserved again */
    s->slots[c->next] = (struct slot){0};
}

static status advance_carried(struct sinter_session *s, const Engine__Step *step,
                              const Engine__Loop *loop) {
  for (size_t i = 0; i < loop->n_carried; i++) {
    status st = stage_next(s, step, loop->carried[i], &s->carried_bytes[i]);
    if (st)
      return st;
  }
  for (size_t i = 0; i < loop->n_carried; i++)
    take_next(s, loop->carried[i], s->carried_bytes[i]);
  return bind_carried_dims(s, step, loop, false);
}

/* --- Scan outputs --- */

static status scan_fail(struct sinter_session *s, const Engine__Step *step, uint64_t first,
                        uint64_t found) {
  char where[320];
  return fault_report(DIAG_E0614, plan_node_text(s->plan, step, where, sizeof where), NULL,
                      "a scan output has %llu B in one iteration and %llu B in another",
                      (unsigned long long)first, (unsigned long long)found);
}

/* Grows by doubling, so that n iterations copy O(n). */
static status grow_scan(struct sinter_session *s, uint32_t result, uint64_t bytes) {
  struct driver_buffer *buffer = &s->buffers[s->plan->values[result].buffer];
  if (buffer->data && bytes <= buffer->bytes) {
    s->slots[result] = (struct slot){buffer->data, bytes};
    return STATUS_OK;
  }
  uint64_t twice;
  if (u64_mul(buffer->bytes, 2, &twice) && twice > bytes) {
    status st = s->driver->buffer_reserve(s->device, buffer, twice, true);
    if (st)
      return st;
  }
  return session_reserve(s, result, bytes, true);
}

static status append_scan(struct sinter_session *s, const Engine__Step *step,
                          const Engine__ScanOutput *scan, int64_t iteration) {
  struct slot element;
  status st = session_value(s, scan->element, step, &element);
  if (st)
    return st;
  uint64_t *first = &s->scan_bytes[s->plan->values[scan->result].buffer], start, end;
  if (iteration == 0)
    *first = element.bytes;
  if (*first != element.bytes)
    return scan_fail(s, step, *first, element.bytes);
  if (!u64_mul((uint64_t)iteration, element.bytes, &start) || !u64_add(start, element.bytes, &end))
    return fault_no_memory("a scan output", UINT64_MAX);
  st = grow_scan(s, scan->result, end);
  return st ? st
            : s->driver->copy(s->device, s->slots[scan->result].data + start, element.data,
                              element.bytes);
}

static status append_scans(struct sinter_session *s, const Engine__Step *step,
                           const Engine__Loop *loop, int64_t iteration) {
  for (size_t i = 0; i < loop->n_scans; i++) {
    status st = append_scan(s, step, loop->scans[i], iteration);
    if (st)
      return st;
  }
  return STATUS_OK;
}

/* --- The loop --- */

static status read_trip(struct sinter_session *s, const Engine__Step *step,
                        const Engine__Loop *loop, int64_t *out_trip) {
  switch (loop->trip) {
  case ENGINE__TRIP__FROM_VALUE:
    return session_read_integer(s, loop->trip_value, 0, step, out_trip);
  case ENGINE__TRIP__FROM_EXPR:
    return session_expr(s, loop->trip_expr, step, out_trip);
  default:
    *out_trip = INT64_MAX;
    return STATUS_OK;
  }
}

static status read_condition(struct sinter_session *s, const Engine__Step *step, uint32_t value,
                             bool *out_go_on) {
  int64_t number = 1;
  status st = value ? session_read_integer(s, value, 0, step, &number) : STATUS_OK;
  *out_go_on = number != 0;
  return st;
}

static status announce_iteration(struct sinter_session *s, const Engine__Step *step,
                                 const Engine__Loop *loop, int64_t iteration) {
  status st = STATUS_OK;
  if (loop->iteration) {
    struct slot slot;
    st = session_value(s, loop->iteration, step, &slot);
    if (!st && slot.bytes < sizeof iteration)
      st = fault_report(DIAG_E0612, NULL, NULL, "the iteration number has a place of %llu B",
                        (unsigned long long)slot.bytes);
    if (!st)
      st = s->driver->write(s->device, slot.data, &iteration, sizeof iteration);
  }
  if (!st && loop->iteration_symbol)
    st = session_bind_symbol(s, loop->iteration_symbol, iteration, step);
  return st;
}

static status run_iteration(struct sinter_session *s, const Engine__Step *step,
                            const Engine__Loop *loop, int64_t iteration, bool *out_go_on) {
  if (atomic_load_explicit(&s->cancelled, memory_order_relaxed)) /* a body may be empty */
    return fault_report(DIAG_E0617, NULL, NULL, "the run was cancelled");
  status st = announce_iteration(s, step, loop, iteration);
  if (!st)
    st = session_run_block(s, loop->body);
  if (!st) /* before the versions change: the condition may be one of them */
    st = read_condition(s, step, loop->body_condition, out_go_on);
  if (!st)
    st = append_scans(s, step, loop, iteration);
  return st ? st : advance_carried(s, step, loop);
}

static void empty_scans(struct sinter_session *s, const Engine__Loop *loop) {
  for (size_t i = 0; i < loop->n_scans; i++)
    s->slots[loop->scans[i]->result].bytes = 0;
}

status session_run_loop(struct sinter_session *s, const Engine__Step *step,
                        const Engine__Loop *loop) {
  int64_t trip = 0, iteration = 0;
  bool go_on = true;
  status st = read_trip(s, step, loop, &trip);
  if (!st)
    st = read_condition(s, step, loop->condition, &go_on);
  if (!st)
    st = start_carried(s, step, loop);
  if (!st)
    st = bind_carried_dims(s, step, loop, true);
  empty_scans(s, loop);
  for (; !st && go_on && iteration < trip; iteration++)
    st = run_iteration(s, step, loop, iteration, &go_on);
  if (!st && loop->trip_symbol)
    st = session_bind_symbol(s, loop->trip_symbol, iteration, step);
  return st;
}
