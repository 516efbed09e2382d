/* SPDX-License-Identifier: Apache-2.0 */
/* Running a plan: one function per row of plan_op.def. */
#include "runtime/session.h"

#include "base/checked.h"
#include "base/clock.h"
#include "runtime/engine_format.h"
#include "runtime/fault.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WHERE_BYTES 320

/* --- Expressions and values --- */

static status expr_fail(struct rank *r, uint32_t expr, const Engine__Step *step,
                        enum expr_validity validity) {
  char text[256], where[WHERE_BYTES];
  const char *node = step ? plan_node_text(r->plan, step, where, sizeof where) : NULL;
  plan_expr_text(r->plan, expr, text, sizeof text);
  if (validity == EXPR_OVERFLOW)
    return fault_report(DIAG_E0611, node, NULL, "the size %s passes 64 bits", text);
  if (validity == EXPR_UNBOUND)
    return fault_report(DIAG_E0612, node, "compile the model again with this release",
                        "the size %s is not known yet", text);
  return fault_report(DIAG_E0620, node, NULL, "the size %s is not a whole number", text);
}

status rank_expr(struct rank *r, uint32_t expr, const Engine__Step *step, int64_t *out_value) {
  enum expr_validity validity = expr_state_get(&r->exprs, expr, out_value);
  return validity == EXPR_VALID ? STATUS_OK : expr_fail(r, expr, step, validity);
}

status rank_size_fail(struct rank *r, uint32_t expr, const Engine__Step *step, int64_t value) {
  char text[256], where[WHERE_BYTES];
  return fault_report(DIAG_E0611, step ? plan_node_text(r->plan, step, where, sizeof where) : NULL,
                      NULL, "the size %s is %lld", plan_expr_text(r->plan, expr, text, sizeof text),
                      (long long)value);
}

status rank_size(struct rank *r, uint32_t expr, const Engine__Step *step, uint64_t *out_size) {
  int64_t value;
  enum expr_validity validity = expr_state_get(&r->exprs, expr, &value);
  if (validity != EXPR_VALID)
    return expr_fail(r, expr, step, validity);
  if (value < 0)
    return rank_size_fail(r, expr, step, value);
  *out_size = (uint64_t)value;
  return STATUS_OK;
}

static status value_fail(struct rank *r, uint32_t value, const Engine__Step *step, uint64_t wanted,
                         uint64_t found) {
  char where[WHERE_BYTES];
  return fault_report(DIAG_E0612, step ? plan_node_text(r->plan, step, where, sizeof where) : NULL,
                      "compile the model again with this release",
                      "value %u '%s' needs %llu B but has a place of %llu B", value,
                      plan_string(r->plan, r->plan->manifest->values[value]->name),
                      (unsigned long long)wanted, (unsigned long long)found);
}

/* An entry's variants each have rows of their own for its inputs and outputs: the position says
 * which is meant. */
static const struct slot *root_slot(const struct rank *r, uint32_t root) {
  static const struct slot nowhere;
  const struct plan_value *v = &r->plan->values[root];
  switch (v->storage) {
  case ENGINE__STORAGE__INPUT:
    return v->index < r->entry->n_inputs ? &r->input_slots[v->index] : &nowhere;
  case ENGINE__STORAGE__OUTPUT:
    return v->index < r->entry->n_outputs ? &r->output_slots[v->index] : &nowhere;
  default: return &r->slots[root];
  }
}

/* Bytes from the start of the root to where an alias begins. */
static status alias_offset(struct rank *r, uint32_t value, const Engine__Step *step,
                           uint64_t *out_offset) {
  const struct plan_value *values = r->plan->values;
  *out_offset = 0;
  for (uint32_t v = value; values[v].storage == ENGINE__STORAGE__ALIAS; v = values[v].alias_of) {
    uint64_t part;
    status st = rank_size(r, values[v].offset, step, &part);
    if (st)
      return st;
    if (!u64_add(*out_offset, part, out_offset))
      return value_fail(r, value, step, UINT64_MAX, 0);
  }
  return STATUS_OK;
}

status rank_value(struct rank *r, uint32_t value, const Engine__Step *step, struct slot *out_slot) {
  const struct plan_value *v = &r->plan->values[value];
  uint64_t bytes, offset = 0, end;
  status st = rank_size(r, v->bytes, step, &bytes);
  if (!st && v->storage == ENGINE__STORAGE__ALIAS)
    st = alias_offset(r, value, step, &offset);
  if (st)
    return st;
  const struct slot *root = root_slot(r, v->root);
  if (!u64_add(offset, bytes, &end) || end > root->bytes)
    return value_fail(r, value, step, end, root->bytes);
  *out_slot = (struct slot){root->data ? root->data + offset : NULL, bytes};
  return STATUS_OK;
}

status rank_span(struct rank *r, uint32_t value, uint64_t bytes, const Engine__Step *step,
                 uint8_t **out_data) {
  struct slot slot;
  status st = rank_value(r, value, step, &slot);
  if (st)
    return st;
  if (bytes > slot.bytes)
    return value_fail(r, value, step, bytes, slot.bytes);
  *out_data = slot.data;
  return STATUS_OK;
}

status rank_relate(struct rank *r, const Engine__Relate *relate, const Engine__Step *step,
                   bool *out_holds) {
  int64_t a, b;
  status st = rank_expr(r, relate->a, step, &a);
  if (!st)
    st = rank_expr(r, relate->b, step, &b);
  if (st)
    return st;
  switch (relate->relation) {
  case ENGINE__RELATION__EQ: *out_holds = a == b; break;
  case ENGINE__RELATION__NE: *out_holds = a != b; break;
  case ENGINE__RELATION__LT: *out_holds = a < b; break;
  default: *out_holds = a <= b;
  }
  return STATUS_OK;
}

status rank_relate_all(struct rank *r, Engine__Relate **relates, size_t n, const Engine__Step *step,
                       bool *out_hold) {
  *out_hold = true;
  for (size_t i = 0; i < n && *out_hold; i++) {
    status st = rank_relate(r, relates[i], step, out_hold);
    if (st)
      return st;
  }
  return STATUS_OK;
}

static int64_t decode_integer(const uint8_t *bytes, enum dtype dtype) {
  uint64_t raw = 0;
  unsigned size = dtype_unpacked_bytes(dtype);
  memcpy(&raw, bytes, size);
  unsigned unused = 64 - 8 * size;
  return dtype_is_signed(dtype) ? (int64_t)(raw << unused) >> unused : (int64_t)raw;
}

status rank_read_integer(struct rank *r, uint32_t value, int64_t element, const Engine__Step *step,
                         int64_t *out_number) {
  enum dtype dtype = (enum dtype)r->plan->manifest->values[value]->dtype;
  unsigned size = dtype_unpacked_bytes(dtype);
  struct slot slot;
  uint8_t bytes[8];
  status st = rank_value(r, value, step, &slot);
  if (st)
    return st;
  if (element < 0 || (uint64_t)element >= slot.bytes / size)
    return value_fail(r, value, step, ((uint64_t)element + 1) * size, slot.bytes);
  st = r->driver->read(r->device, bytes, slot.data + (uint64_t)element * size, size);
  if (!st)
    *out_number = decode_integer(bytes, dtype);
  return st;
}

status rank_bind_symbol(struct rank *r, uint32_t symbol, int64_t value, const Engine__Step *step) {
  const Engine__Symbol *row = r->plan->manifest->symbols[symbol];
  if (value < row->lo || value > row->hi) {
    char where[WHERE_BYTES];
    return fault_report(DIAG_E0611, plan_node_text(r->plan, step, where, sizeof where), NULL,
                        "'%s' is %lld, outside of %lld..%lld", plan_string(r->plan, row->name),
                        (long long)value, (long long)row->lo, (long long)row->hi);
  }
  expr_state_bind(&r->exprs, symbol, value);
  return STATUS_OK;
}

status rank_reserve(struct rank *r, uint32_t value, uint64_t bytes, bool keep) {
  struct driver_buffer *buffer = &r->buffers[r->plan->values[value].buffer];
  status st = r->driver->buffer_reserve(r->device, buffer, bytes, keep);
  /* Also on failure: the slot must not show more than there is. */
  r->slots[value] = (struct slot){buffer->data, st ? 0 : bytes};
  return st;
}

/* --- Layout --- */

static status gather_sizes(struct rank *r, const struct plan_phase *phase,
                           const Engine__Step *step) {
  for (uint32_t i = 0; i < phase->arena_count; i++) {
    status st = rank_size(r, r->plan->manifest->values[phase->arena[i]]->bytes, step, &r->sizes[i]);
    if (st)
      return st;
  }
  return STATUS_OK;
}

static bool layout_fits(const struct phase_layout *layout, const uint64_t *sizes, uint32_t n) {
  return layout->valid && (n == 0 || memcmp(layout->sizes, sizes, n * sizeof *sizes) == 0);
}

static status compute_layout(struct rank *r, const struct plan_phase *phase,
                             const struct memory_overlaps *overlaps, struct phase_layout *layout) {
  for (uint32_t i = 0; i < phase->arena_count; i++) {
    const Engine__Value *v = r->plan->manifest->values[phase->arena[i]];
    r->items[i] = (struct memory_item){.bytes = r->sizes[i], .first = v->first, .last = v->last};
  }
  layout->valid = false;
  if (!memory_plan_pack(r->items, phase->arena_count, overlaps->items ? overlaps : NULL, r->packing,
                        &layout->total))
    return fault_no_memory("the arena", UINT64_MAX);
  for (uint32_t i = 0; i < phase->arena_count; i++) {
    layout->sizes[i] = r->sizes[i];
    layout->offsets[i] = r->items[i].offset;
  }
  layout->valid = true;
  return STATUS_OK;
}

/* The layout for the sizes at hand: the last one used, one of those before, or a new one. */
static status find_layout(struct rank *r, const struct plan_phase *phase, struct phase_state *state,
                          uint32_t *out_layout) {
  for (uint32_t k = 0; k < PHASE_LAYOUTS; k++) {
    uint32_t i = (state->current + k) % PHASE_LAYOUTS;
    if (layout_fits(&state->layouts[i], r->sizes, phase->arena_count)) {
      *out_layout = i;
      return STATUS_OK;
    }
  }
  *out_layout = state->victim;
  state->current = PHASE_LAYOUTS; /* what it was set from may be what is replaced */
  state->victim = (state->victim + 1) % PHASE_LAYOUTS;
  return compute_layout(r, phase, &state->overlaps, &state->layouts[*out_layout]);
}

/* The arena's memory is gone. */
static void forget_arena(struct rank *r, const struct plan_phase *phase,
                         struct phase_state *state) {
  for (uint32_t i = 0; i < phase->arena_count; i++)
    r->slots[phase->arena[i]] = (struct slot){0};
  state->current = PHASE_LAYOUTS;
}

static void place_arena(struct rank *r, const struct plan_phase *phase,
                        const struct phase_state *state, const struct phase_layout *layout) {
  for (uint32_t i = 0; i < phase->arena_count; i++)
    r->slots[phase->arena[i]] =
        (struct slot){state->arena.data + layout->offsets[i], layout->sizes[i]};
}

static status step_run_layout(struct rank *r, const Engine__Step *step,
                              const Engine__Layout *body) {
  const struct plan_phase *phase = &r->plan->phases[body->phase];
  struct phase_state *state = &r->phases[body->phase];
  uint32_t layout;
  status st = gather_sizes(r, phase, step);
  if (!st)
    st = find_layout(r, phase, state, &layout);
  if (st)
    return st;
  const uint8_t *before = state->arena.data;
  st = r->driver->buffer_reserve(r->device, &state->arena, state->layouts[layout].total, false);
  if (st) {
    forget_arena(r, phase, state);
    return st;
  }
  if (layout != state->current || state->arena.data != before) {
    place_arena(r, phase, state, &state->layouts[layout]);
    state->current = layout;
  }
  for (uint32_t i = 0; i < phase->output_count && !st; i++)
    if (rank_output_known(r, phase->outputs[i])) /* else a RESERVE follows */
      st = rank_size_output(r, phase->outputs[i], step);
  return st;
}

/* --- Kernels --- */

static uint64_t estimate(struct rank *r, uint32_t expr) {
  int64_t value;
  return expr && expr_state_get(&r->exprs, expr, &value) == EXPR_VALID && value > 0
             ? (uint64_t)value
             : 0;
}

static status launch_profiled(struct rank *r, const Engine__Step *step,
                              const struct driver_launch *launch) {
  const Engine__Manifest *m = r->plan->manifest;
  sinter_profile_event event = {.kernel = plan_string(r->plan, m->kernels[launch->kernel]->name),
                                .node = "",
                                .op = "",
                                .tiles = launch->tiles,
                                .flops = launch->flops,
                                .bytes = launch->traffic};
  if (step->n_provenance) {
    event.node = plan_string(r->plan, m->provenance[step->provenance[0]]->node);
    event.op = plan_string(r->plan, m->provenance[step->provenance[0]]->op);
  }
  status st;
  event.start_ns = clock_now_ns();
  if (r->driver->launch_timed) {
    uint64_t took = 0;
    st = r->driver->launch_timed(r->device, r->module, launch, &took);
    event.end_ns = event.start_ns + took;
  } else {
    st = r->driver->launch(r->device, r->module, launch);
    st = st ? st : r->driver->wait(r->device);
    event.end_ns = clock_now_ns();
  }
  if (!st)
    r->profile(r->profile_user, &event);
  return st;
}

/* Fills in the slots; *out_bytes is the size of all buffers together. */
static status gather_args(struct rank *r, const Engine__Step *step, const Engine__Launch *body,
                          uint64_t *out_bytes) {
  uint64_t *args = r->args;
  *args++ = (uint64_t)(uintptr_t)r->error_word.data;
  *out_bytes = 0;
  for (size_t i = 0; i < body->n_buffers; i++) {
    struct slot slot = {0};
    status st = body->buffers[i] ? rank_value(r, body->buffers[i], step, &slot) : STATUS_OK;
    if (st)
      return st;
    *args++ = (uint64_t)(uintptr_t)slot.data;
    r->arg_bytes[i] = slot.bytes;
    *out_bytes += slot.bytes;
  }
  for (size_t i = 0; i < body->n_dims; i++) {
    int64_t value;
    status st = rank_expr(r, body->dims[i], step, &value);
    if (st)
      return st;
    *args++ = (uint64_t)value;
  }
  return STATUS_OK;
}

static status step_run_launch(struct rank *r, const Engine__Step *step,
                              const Engine__Launch *body) {
  uint64_t tiles, scratch, bytes;
  status st = rank_size(r, body->tiles, step, &tiles);
  if (!st && r->mode == RUN_REPLAY) {
    r->launches += tiles != 0;
    return st;
  }
  if (!st)
    st = rank_size(r, body->scratch, step, &scratch);
  if (!st)
    st = gather_args(r, step, body, &bytes);
  if (st || !tiles)
    return st;
  if (tiles > UINT32_MAX) {
    char where[WHERE_BYTES];
    return fault_report(DIAG_E0611, plan_node_text(r->plan, step, where, sizeof where), NULL,
                        "a grid of %llu tiles is too large", (unsigned long long)tiles);
  }
  struct driver_launch launch = {
      .kernel = body->kernel,
      .args = r->args,
      .arg_count = (uint32_t)(1 + body->n_buffers + body->n_dims),
      .buffer_bytes = r->arg_bytes,
      .buffer_count = (uint32_t)body->n_buffers,
      .tiles = (uint32_t)tiles,
      .scratch_bytes = scratch,
      .serial = body->serial,
      .flops = estimate(r, body->flops),
      .traffic = estimate(r, body->traffic),
  };
  if (!launch.traffic)
    launch.traffic = bytes;
  r->launches++;
  if (r->profile)
    return launch_profiled(r, step, &launch);
  st = r->driver->launch(r->device, r->module, &launch);
  return !st && r->sync ? r->driver->wait(r->device) : st;
}

/* --- Moving bytes --- */

static status step_run_copy(struct rank *r, const Engine__Step *step, const Engine__Copy *body) {
  uint64_t bytes;
  uint8_t *dst, *src;
  if (r->mode == RUN_REPLAY)
    return STATUS_OK;
  status st = rank_size(r, body->bytes, step, &bytes);
  if (!st)
    st = rank_span(r, body->dst, bytes, step, &dst);
  if (!st)
    st = rank_span(r, body->src, bytes, step, &src);
  return st ? st : r->driver->copy(r->device, dst, src, bytes);
}

static status step_run_fill(struct rank *r, const Engine__Step *step, const Engine__Fill *body) {
  uint64_t bytes;
  uint8_t *dst;
  if (r->mode == RUN_REPLAY)
    return STATUS_OK;
  status st = rank_size(r, body->bytes, step, &bytes);
  if (!st)
    st = rank_span(r, body->dst, bytes, step, &dst);
  return st ? st : r->driver->fill(r->device, dst, (uint8_t)body->byte, bytes);
}

/* The memory of a packed and an unpacked value of as many elements. */
static status packing_spans(struct rank *r, const Engine__Step *step, uint32_t elements_expr,
                            enum dtype dtype, uint32_t packed, uint32_t unpacked,
                            uint64_t *out_elements, uint8_t **out_packed, uint8_t **out_unpacked) {
  unsigned per_byte = 8 / dtype_bits(dtype);
  status st = rank_size(r, elements_expr, step, out_elements);
  if (!st)
    st = rank_span(r, packed, *out_elements / per_byte + (*out_elements % per_byte != 0), step,
                   out_packed);
  return st ? st : rank_span(r, unpacked, *out_elements, step, out_unpacked);
}

static status step_run_unpack(struct rank *r, const Engine__Step *step,
                              const Engine__Unpack *body) {
  enum dtype dtype = (enum dtype)body->dtype;
  uint64_t n;
  uint8_t *src, *dst;
  status st = packing_spans(r, step, body->elements, dtype, body->src, body->dst, &n, &src, &dst);
  if (st)
    return st;
  return r->driver->unpack(r->device, dst, src, n, dtype);
}

static status step_run_pack(struct rank *r, const Engine__Step *step, const Engine__Pack *body) {
  enum dtype dtype = (enum dtype)body->dtype;
  uint64_t n;
  uint8_t *src, *dst;
  status st = packing_spans(r, step, body->elements, dtype, body->dst, body->src, &n, &dst, &src);
  if (st)
    return st;
  return r->driver->pack(r->device, dst, src, n, dtype);
}

/* --- Symbols, checks, control --- */

static status step_run_bind_symbol(struct rank *r, const Engine__Step *step,
                                   const Engine__BindSymbol *body) {
  int64_t element, number;
  status st = rank_expr(r, body->element, step, &element);
  if (!st)
    st = rank_read_integer(r, body->value, element, step, &number);
  if (!st)
    rank_decide(r, number);
  return st ? st : rank_bind_symbol(r, body->symbol, number, step);
}

static status step_run_set_symbol(struct rank *r, const Engine__Step *step,
                                  const Engine__SetSymbol *body) {
  int64_t value;
  status st = rank_expr(r, body->expr, step, &value);
  return st ? st : rank_bind_symbol(r, body->symbol, value, step);
}

static status step_run_reserve(struct rank *r, const Engine__Step *step,
                               const Engine__Reserve *body) {
  const Engine__Value *v = r->plan->manifest->values[body->value];
  uint64_t bytes;
  if (v->storage == ENGINE__STORAGE__OUTPUT)
    return rank_size_output(r, body->value, step);
  status st = rank_size(r, v->bytes, step, &bytes);
  return st ? st : rank_reserve(r, body->value, bytes, false);
}

static const char *relation_text(Engine__Relation relation) {
  static const char *const texts[] = {"==", "!=", "<", "<="};
  return texts[relation];
}

static status step_run_check(struct rank *r, const Engine__Step *step, const Engine__Check *body) {
  bool holds;
  status st = rank_relate(r, body->condition, step, &holds);
  if (st || holds)
    return st;
  char where[WHERE_BYTES], left[128], right[128];
  const Engine__Relate *c = body->condition;
  int64_t a = 0, b = 0;
  rank_expr(r, c->a, step, &a);
  rank_expr(r, c->b, step, &b);
  return fault_report(
      DIAG_E0613, plan_node_text(r->plan, step, where, sizeof where), NULL,
      "%s: needs %s %s %s, but these are %lld and %lld", plan_string(r->plan, body->message),
      plan_expr_text(r->plan, c->a, left, sizeof left), relation_text(c->relation),
      plan_expr_text(r->plan, c->b, right, sizeof right), (long long)a, (long long)b);
}

static status step_run_if_(struct rank *r, const Engine__Step *step, const Engine__If *body) {
  bool taken = true;
  status st;
  if (body->condition) {
    int64_t number = 0;
    st = rank_read_integer(r, body->condition, 0, step, &number);
    taken = number != 0;
    rank_decide(r, taken);
  } else {
    st = rank_relate_all(r, body->guards, body->n_guards, step, &taken);
  }
  return st ? st : rank_run_block(r, taken ? body->then_block : body->else_block);
}

static status step_run_loop(struct rank *r, const Engine__Step *step, const Engine__Loop *body) {
  return rank_run_loop(r, step, body);
}

/* --- Blocks --- */

/* Makes a failure happen that was asked for. */
static status provoke(struct rank *r) {
  enum fault_kind kind = r->fault.kind;
  r->fault.kind = FAULT_NONE;
  if (kind == FAULT_CORRUPT || kind == FAULT_CORRUPT_PAYLOAD) {
    if (r->comm)
      r->comms->damage(r->comm, r->number,
                       kind == FAULT_CORRUPT ? COMM_DAMAGED_HEADER : COMM_DAMAGED_PAYLOAD);
    return STATUS_OK;
  }
  if (kind == FAULT_KILL && r->is_process)
    raise(SIGKILL);
  if (kind == FAULT_KILL)
    kind = FAULT_STALL;
  if (kind == FAULT_OOM)
    return fault_no_memory("a step that was asked to fail", 1);
  while (kind == FAULT_STALL && !(r->comm && r->comms->failed(r->comm))) {
    if (atomic_load_explicit(r->cancelled, memory_order_relaxed))
      return fault_report(DIAG_E0617, NULL, NULL, "the run was cancelled");
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return fault_report(DIAG_E0705, NULL, NULL, "rank %u failed in step %llu, as was asked for",
                      r->number, (unsigned long long)r->steps);
}

/* What comes before every step. */
static status begin_step(struct rank *r) {
  if (atomic_load_explicit(r->cancelled, memory_order_relaxed))
    return fault_report(DIAG_E0617, NULL, NULL, "the run was cancelled");
  r->steps++;
  if (r->heartbeat)
    atomic_store_explicit(r->heartbeat, (uint32_t)r->steps, memory_order_relaxed);
  return r->fault.kind && r->fault.step == r->steps ? provoke(r) : STATUS_OK;
}

static status step_run_exchange(struct rank *r, const Engine__Step *step,
                                const Engine__Exchange *body) {
  return rank_exchange(r, step, body);
}

static status step_run_host(struct rank *r, const Engine__Step *step, const Engine__Host *body) {
  return rank_host(r, step, body);
}

static status run_step(struct rank *r, const Engine__Step *step) {
  switch ((unsigned)step->body_case) {
#define PLAN_OP(name, field, number, text)                                                         \
  case number: return step_run_##field(r, step, step->field);
#include "runtime/plan_op.def"
#undef PLAN_OP
  default: return STATUS_INTERNAL; /* the loader refused it */
  }
}

/* Where a step of a device failed: "step 12, kernel 'k3_add', node 5 'fc' (Add)". What waits for
 * the device may hear of a failure of any launch before it. */
static void add_place(struct rank *r, const Engine__Step *step) {
  char text[WHERE_BYTES + 160], where[WHERE_BYTES];
  const char *node = step ? plan_node_text(r->plan, step, where, sizeof where) : NULL;
  unsigned long long number = r->steps;
  if (step && step->body_case == ENGINE__STEP__BODY_LAUNCH)
    snprintf(text, sizeof text, "rank %u, step %llu, kernel '%s'%s%s", r->number, number,
             plan_string(r->plan, r->plan->manifest->kernels[step->launch->kernel]->name),
             node ? ", " : "", node ? node : "");
  else if (step)
    snprintf(text, sizeof text, "rank %u, step %llu%s%s", r->number, number, node ? ", " : "",
             node ? node : "");
  else
    snprintf(text, sizeof text,
             "rank %u, some launch of its %llu steps; with SINTER_SYNC=1 it is known which",
             r->number, number);
  fault_add_place(text);
}

status rank_run_block(struct rank *r, uint32_t block) {
  const Engine__Block *b = r->plan->manifest->blocks[block];
  for (size_t i = 0; i < b->n_steps; i++) {
    status st = begin_step(r);
    if (!st)
      st = run_step(r, b->steps[i]);
    if (st && r->driver->discrete)
      add_place(r, b->steps[i]);
    if (st)
      return st;
  }
  return STATUS_OK;
}

status rank_finish_kernels(struct rank *r) {
  int64_t word = 0;
  status st = r->driver->wait(r->device);
  if (!st)
    st = r->driver->read(r->device, &word, r->error_word.data, sizeof word);
  if (st && r->driver->discrete)
    add_place(r, NULL);
  if (st || !word)
    return st;
  char where[WHERE_BYTES];
  const char *node = word > 0 && word <= UINT32_MAX
                         ? plan_provenance_text(r->plan, (uint32_t)(word - 1), where, sizeof where)
                         : NULL;
  return fault_report(DIAG_E0610, node, "check the values of the inputs that are used as indices",
                      "an index or value computed from the inputs is out of range");
}
