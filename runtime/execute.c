/* SPDX-License-Identifier: Apache-2.0 */
/* Running a plan: one function per row of plan_op.def. */
#include "runtime/session.h"

#include "base/checked.h"
#include "runtime/engine_format.h"
#include "runtime/fault.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define WHERE_BYTES 320

/* --- Expressions and values --- */

static status expr_fail(struct sinter_session *s, uint32_t expr, const Engine__Step *step,
                        enum expr_validity validity) {
  char text[256], where[WHERE_BYTES];
  const char *node = step ? plan_node_text(s->plan, step, where, sizeof where) : NULL;
  plan_expr_text(s->plan, expr, text, sizeof text);
  if (validity == EXPR_OVERFLOW)
    return fault_report(DIAG_E0611, node, NULL, "the size %s passes 64 bits", text);
  if (validity == EXPR_UNBOUND)
    return fault_report(DIAG_E0612, node, "compile the model again with this release",
                        "the size %s is not known yet", text);
  return fault_report(DIAG_E0620, node, NULL, "the size %s is not a whole number", text);
}

status session_expr(struct sinter_session *s, uint32_t expr, const Engine__Step *step,
                    int64_t *out_value) {
  enum expr_validity validity = expr_state_get(&s->exprs, expr, out_value);
  return validity == EXPR_VALID ? STATUS_OK : expr_fail(s, expr, step, validity);
}

static status size_fail(struct sinter_session *s, uint32_t expr, const Engine__Step *step,
                        int64_t value) {
  char text[256], where[WHERE_BYTES];
  return fault_report(DIAG_E0611, step ? plan_node_text(s->plan, step, where, sizeof where) : NULL,
                      NULL, "the size %s is %lld", plan_expr_text(s->plan, expr, text, sizeof text),
                      (long long)value);
}

/* A size: an expression that must not be negative. */
static inline status session_size(struct sinter_session *s, uint32_t expr, const Engine__Step *step,
                                  uint64_t *out_size) {
  int64_t value;
  enum expr_validity validity = expr_state_get(&s->exprs, expr, &value);
  if (validity != EXPR_VALID)
    return expr_fail(s, expr, step, validity);
  if (value < 0)
    return size_fail(s, expr, step, value);
  *out_size = (uint64_t)value;
  return STATUS_OK;
}

static status value_fail(struct sinter_session *s, uint32_t value, const Engine__Step *step,
                         uint64_t wanted, uint64_t found) {
  char where[WHERE_BYTES];
  return fault_report(DIAG_E0612, step ? plan_node_text(s->plan, step, where, sizeof where) : NULL,
                      "compile the model again with this release",
                      "value %u '%s' needs %llu B but has a place of %llu B", value,
                      plan_string(s->plan, s->plan->manifest->values[value]->name),
                      (unsigned long long)wanted, (unsigned long long)found);
}

/* An entry's variants each have rows of their own for its inputs and outputs: the position says
 * which is meant. */
static const struct slot *root_slot(const struct sinter_session *s, uint32_t root) {
  static const struct slot nowhere;
  const struct plan_value *v = &s->plan->values[root];
  switch (v->storage) {
  case ENGINE__STORAGE__INPUT:
    return v->index < s->entry->n_inputs ? &s->input_slots[v->index] : &nowhere;
  case ENGINE__STORAGE__OUTPUT:
    return v->index < s->entry->n_outputs ? &s->output_slots[v->index] : &nowhere;
  default:
    return &s->slots[root];
  }
}

/* Bytes from the start of the root to where an alias begins. */
static status alias_offset(struct sinter_session *s, uint32_t value, const Engine__Step *step,
                           uint64_t *out_offset) {
  const struct plan_value *values = s->plan->values;
  *out_offset = 0;
  for (uint32_t v = value; values[v].storage == ENGINE__STORAGE__ALIAS; v = values[v].alias_of) {
    uint64_t part;
    status st = session_size(s, values[v].offset, step, &part);
    if (st)
      return st;
    if (!u64_add(*out_offset, part, out_offset))
      return value_fail(s, value, step, UINT64_MAX, 0);
  }
  return STATUS_OK;
}

status session_value(struct sinter_session *s, uint32_t value, const Engine__Step *step,
                     struct slot *out_slot) {
  const struct plan_value *v = &s->plan->values[value];
  uint64_t bytes, offset = 0, end;
  status st = session_size(s, v->bytes, step, &bytes);
  if (!st && v->storage == ENGINE__STORAGE__ALIAS)
    st = alias_offset(s, value, step, &offset);
  if (st)
    return st;
  const struct slot *root = root_slot(s, v->root);
  if (!u64_add(offset, bytes, &end) || end > root->bytes)
    return value_fail(s, value, step, end, root->bytes);
  *out_slot = (struct slot){root->data ? root->data + offset : NULL, bytes};
  return STATUS_OK;
}

/* A value's memory, of which a step uses a given number of bytes. */
static status value_span(struct sinter_session *s, uint32_t value, uint64_t bytes,
                         const Engine__Step *step, uint8_t **out_data) {
  struct slot slot;
  status st = session_value(s, value, step, &slot);
  if (st)
    return st;
  if (bytes > slot.bytes)
    return value_fail(s, value, step, bytes, slot.bytes);
  *out_data = slot.data;
  return STATUS_OK;
}

status session_relate(struct sinter_session *s, const Engine__Relate *relate,
                      const Engine__Step *step, bool *out_holds) {
  int64_t a, b;
  status st = session_expr(s, relate->a, step, &a);
  if (!st)
    st = session_expr(s, relate->b, step, &b);
  if (st)
    return st;
  switch (relate->relation) {
  case ENGINE__RELATION__EQ:
    *out_holds = a == b;
    break;
  case ENGINE__RELATION__NE:
    *out_holds = a != b;
    break;
  case ENGINE__RELATION__LT:
    *out_holds = a < b;
    break;
  default:
    *out_holds = a <= b;
  }
  return STATUS_OK;
}

status session_relate_all(struct sinter_session *s, Engine__Relate **relates, size_t n,
                          const Engine__Step *step, bool *out_hold) {
  *out_hold = true;
  for (size_t i = 0; i < n && *out_hold; i++) {
    status st = session_relate(s, relates[i], step, out_hold);
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

status session_read_integer(struct sinter_session *s, uint32_t value, int64_t element,
                            const Engine__Step *step, int64_t *out_number) {
  enum dtype dtype = (enum dtype)s->plan->manifest->values[value]->dtype;
  unsigned size = dtype_unpacked_bytes(dtype);
  struct slot slot;
  uint8_t bytes[8];
  status st = session_value(s, value, step, &slot);
  if (st)
    return st;
  if (element < 0 || (uint64_t)element >= slot.bytes / size)
    return value_fail(s, value, step, ((uint64_t)element + 1) * size, slot.bytes);
  st = s->driver->read(s->device, bytes, slot.data + (uint64_t)element * size, size);
  if (!st)
    *out_number = decode_integer(bytes, dtype);
  return st;
}

status session_bind_symbol(struct sinter_session *s, uint32_t symbol, int64_t value,
                           const Engine__Step *step) {
  const Engine__Symbol *row = s->plan->manifest->symbols[symbol];
  if (value < row->lo || value > row->hi) {
    char where[WHERE_BYTES];
    return fault_report(DIAG_E0611, plan_node_text(s->plan, step, where, sizeof where), NULL,
                        "'%s' is %lld, outside of %lld..%lld", plan_string(s->plan, row->name),
                        (long long)value, (long long)row->lo, (long long)row->hi);
  }
  expr_state_bind(&s->exprs, symbol, value);
  return STATUS_OK;
}

status session_reserve(struct sinter_session *s, uint32_t value, uint64_t bytes, bool keep) {
  struct driver_buffer *buffer = &s->buffers[s->plan->values[value].buffer];
  status st = s->driver->buffer_reserve(s->device, buffer, bytes, keep);
  /* Also on failure: the slot must not show more than there is. */
  s->slots[value] = (struct slot){buffer->data, st ? 0 : bytes};
  return st;
}

/* --- Layout --- */

static status gather_sizes(struct sinter_session *s, const struct plan_phase *phase,
                           const Engine__Step *step) {
  for (uint32_t i = 0; i < phase->arena_count; i++) {
    status st =
        session_size(s, s->plan->manifest->values[phase->arena[i]]->bytes, step, &s->sizes[i]);
    if (st)
      return st;
  }
  return STATUS_OK;
}

static bool layout_fits(const struct phase_layout *layout, const uint64_t *sizes, uint32_t n) {
  return layout->valid && (n == 0 || memcmp(layout->sizes, sizes, n * sizeof *sizes) == 0);
}

static status compute_layout(struct sinter_session *s, const struct plan_phase *phase,
                             const struct memory_overlaps *overlaps, struct phase_layout *layout) {
  for (uint32_t i = 0; i < phase->arena_count; i++) {
    const Engine__Value *v = s->plan->manifest->values[phase->arena[i]];
    s->items[i] = (struct memory_item){.bytes = s->sizes[i], .first = v->first, .last = v->last};
  }
  layout->valid = false;
  if (!memory_plan_pack(s->items, phase->arena_count, overlaps->items ? overlaps : NULL, s->packing,
                        &layout->total))
    return fault_no_memory("the arena", UINT64_MAX);
  for (uint32_t i = 0; i < phase->arena_count; i++) {
    layout->sizes[i] = s->sizes[i];
    layout->offsets[i] = s->items[i].offset;
  }
  layout->valid = true;
  return STATUS_OK;
}

/* The layout for the sizes at hand: the last one used, one of those before, or a new one. */
static status find_layout(struct sinter_session *s, const struct plan_phase *phase,
                          struct phase_state *state, uint32_t *out_layout) {
  for (uint32_t k = 0; k < PHASE_LAYOUTS; k++) {
    uint32_t i = (state->current + k) % PHASE_LAYOUTS;
    if (layout_fits(&state->layouts[i], s->sizes, phase->arena_count)) {
      *out_layout = i;
      return STATUS_OK;
    }
  }
  *out_layout = state->victim;
  state->current = PHASE_LAYOUTS; /* what it was set from may be what is replaced */
  state->victim = (state->victim + 1) % PHASE_LAYOUTS;
  return compute_layout(s, phase, &state->overlaps, &state->layouts[*out_layout]);
}

/* The arena's memory is gone. */
static void forget_arena(struct sinter_session *s, const struct plan_phase *phase,
                         struct phase_state *state) {
  for (uint32_t i = 0; i < phase->arena_count; i++)
    s->slots[phase->arena[i]] = (struct slot){0};
  state->current = PHASE_LAYOUTS;
}

static void place_arena(struct sinter_session *s, const struct plan_phase *phase,
                        const struct phase_state *state, const struct phase_layout *layout) {
  for (uint32_t i = 0; i < phase->arena_count; i++)
    s->slots[phase->arena[i]] =
        (struct slot){state->arena.data + layout->offsets[i], layout->sizes[i]};
}

static status step_run_layout(struct sinter_session *s, const Engine__Step *step,
                              const Engine__Layout *body) {
  const struct plan_phase *phase = &s->plan->phases[body->phase];
  struct phase_state *state = &s->phases[body->phase];
  uint32_t layout;
  status st = gather_sizes(s, phase, step);
  if (!st)
    st = find_layout(s, phase, state, &layout);
  if (st)
    return st;
  const uint8_t *before = state->arena.data;
  st = s->driver->buffer_reserve(s->device, &state->arena, state->layouts[layout].total, false);
  if (st) {
    forget_arena(s, phase, state);
    return st;
  }
  if (layout != state->current || state->arena.data != before) {
    place_arena(s, phase, state, &state->layouts[layout]);
    state->current = layout;
  }
  for (uint32_t i = 0; i < phase->output_count && !st; i++)
    if (session_output_known(s, phase->outputs[i])) /* else a RESERVE follows */
      st = session_size_output(s, phase->outputs[i], step);
  return st;
}

/* --- Kernels --- */

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t estimate(struct sinter_session *s, uint32_t expr) {
  int64_t value;
  return expr && expr_state_get(&s->exprs, expr, &value) == EXPR_VALID && value > 0
             ? (uint64_t)value
             : 0;
}

static status launch_profiled(struct sinter_session *s, const Engine__Step *step,
                              const struct driver_launch *launch) {
  const Engine__Manifest *m = s->plan->manifest;
  sinter_profile_event event = {.kernel = plan_string(s->plan, m->kernels[launch->kernel]->name),
                                .node = "",
                                .op = "",
                                .tiles = launch->tiles,
                                .flops = launch->flops,
                                .bytes = launch->traffic};
  if (step->n_provenance) {
    event.node = plan_string(s->plan, m->provenance[step->provenance[0]]->node);
    event.op = plan_string(s->plan, m->provenance[step->provenance[0]]->op);
  }
  event.start_ns = now_ns();
  status st = s->driver->launch(s->device, s->module, launch);
  if (!st)
    st = s->driver->wait(s->device);
  event.end_ns = now_ns();
  if (!st)
    s->profile(s->profile_user, &event);
  return st;
}

/* Fills in the slots; *out_bytes is the size of all buffers together. */
static status gather_args(struct sinter_session *s, const Engine__Step *step,
                          const Engine__Launch *body, uint64_t *out_bytes) {
  uint64_t *args = s->args;
  *args++ = (uint64_t)(uintptr_t)s->error_word.data;
  *out_bytes = 0;
  for (size_t i = 0; i < body->n_buffers; i++) {
    struct slot slot = {0};
    status st = body->buffers[i] ? session_value(s, body->buffers[i], step, &slot) : STATUS_OK;
    if (st)
      return st;
    *args++ = (uint64_t)(uintptr_t)slot.data;
    s->arg_bytes[i] = slot.bytes;
    *out_bytes += slot.bytes;
  }
  for (size_t i = 0; i < body->n_dims; i++) {
    int64_t value;
    status st = session_expr(s, body->dims[i], step, &value);
    if (st)
      return st;
    *args++ = (uint64_t)value;
  }
  return STATUS_OK;
}

static status step_run_launch(struct sinter_session *s, const Engine__Step *step,
                              const Engine__Launch *body) {
  uint64_t tiles, scratch, bytes;
  status st = session_size(s, body->tiles, step, &tiles);
  if (!st)
    st = session_size(s, body->scratch, step, &scratch);
  if (!st)
    st = gather_args(s, step, body, &bytes);
  if (st || !tiles)
    return st;
  if (tiles > UINT32_MAX) {
    char where[WHERE_BYTES];
    return fault_report(DIAG_E0611, plan_node_text(s->plan, step, where, sizeof where), NULL,
                        "a grid of %llu tiles is too large", (unsigned long long)tiles);
  }
  struct driver_launch launch = {
      .kernel = body->kernel,
      .args = s->args,
      .arg_count = (uint32_t)(1 + body->n_buffers + body->n_dims),
      .buffer_bytes = s->arg_bytes,
      .buffer_count = (uint32_t)body->n_buffers,
      .tiles = (uint32_t)tiles,
      .scratch_bytes = scratch,
      .serial = body->serial,
      .flops = estimate(s, body->flops),
      .traffic = estimate(s, body->traffic),
  };
  if (!launch.traffic)
    launch.traffic = bytes;
  s->launches++;
  return s->profile ? launch_profiled(s, step, &launch)
                    : s->driver->launch(s->device, s->module, &launch);
}

/* --- Moving bytes --- */

static status step_run_copy(struct sinter_session *s, const Engine__Step *step,
                            const Engine__Copy *body) {
  uint64_t bytes;
  uint8_t *dst, *src;
  status st = session_size(s, body->bytes, step, &bytes);
  if (!st)
    st = value_span(s, body->dst, bytes, step, &dst);
  if (!st)
    st = value_span(s, body->src, bytes, step, &src);
  return st ? st : s->driver->copy(s->device, dst, src, bytes);
}

static status step_run_fill(struct sinter_session *s, const Engine__Step *step,
                            const Engine__Fill *body) {
  uint64_t bytes;
  uint8_t *dst;
  status st = session_size(s, body->bytes, step, &bytes);
  if (!st)
    st = value_span(s, body->dst, bytes, step, &dst);
  return st ? st : s->driver->fill(s->device, dst, (uint8_t)body->byte, bytes);
}

/* The memory of a packed and an unpacked value of as many elements. */
static status packing_spans(struct sinter_session *s, const Engine__Step *step,
                            uint32_t elements_expr, enum dtype dtype, uint32_t packed,
                            uint32_t unpacked, uint64_t *out_elements, uint8_t **out_packed,
                            uint8_t **out_unpacked) {
  unsigned per_byte = 8 / dtype_bits(dtype);
  status st = session_size(s, elements_expr, step, out_elements);
  if (!st)
    st = value_span(s, packed, *out_elements / per_byte + (*out_elements % per_byte != 0), step,
                    out_packed);
  return st ? st : value_span(s, unpacked, *out_elements, step, out_unpacked);
}

static status step_run_unpack(struct sinter_session *s, const Engine__Step *step,
                              const Engine__Unpack *body) {
  enum dtype dtype = (enum dtype)body->dtype;
  uint64_t n;
  uint8_t *src, *dst;
  status st = packing_spans(s, step, body->elements, dtype, body->src, body->dst, &n, &src, &dst);
  if (st)
    return st;
  return s->driver->unpack(s->device, dst, src, n, dtype);
}

static status step_run_pack(struct sinter_session *s, const Engine__Step *step,
                            const Engine__Pack *body) {
  enum dtype dtype = (enum dtype)body->dtype;
  uint64_t n;
  uint8_t *src, *dst;
  status st = packing_spans(s, step, body->elements, dtype, body->dst, body->src, &n, &dst, &src);
  if (st)
    return st;
  return s->driver->pack(s->device, dst, src, n, dtype);
}

/* --- Symbols, checks, control --- */

static status step_run_bind_symbol(struct sinter_session *s, const Engine__Step *step,
                                   const Engine__BindSymbol *body) {
  int64_t element, number;
  status st = session_expr(s, body->element, step, &element);
  if (!st)
    st = session_read_integer(s, body->value, element, step, &number);
  return st ? st : session_bind_symbol(s, body->symbol, number, step);
}

static status step_run_set_symbol(struct sinter_session *s, const Engine__Step *step,
                                  const Engine__SetSymbol *body) {
  int64_t value;
  status st = session_expr(s, body->expr, step, &value);
  return st ? st : session_bind_symbol(s, body->symbol, value, step);
}

static status step_run_reserve(struct sinter_session *s, const Engine__Step *step,
                               const Engine__Reserve *body) {
  const Engine__Value *v = s->plan->manifest->values[body->value];
  uint64_t bytes;
  if (v->storage == ENGINE__STORAGE__OUTPUT)
    return session_size_output(s, body->value, step);
  status st = session_size(s, v->bytes, step, &bytes);
  return st ? st : session_reserve(s, body->value, bytes, false);
}

static const char *relation_text(Engine__Relation relation) {
  static const char *const texts[] = {"==", "!=", "<", "<="};
  return texts[relation];
}

static status step_run_check(struct sinter_session *s, const Engine__Step *step,
                             const Engine__Check *body) {
  bool holds;
  status st = session_relate(s, body->condition, step, &holds);
  if (st || holds)
    return st;
  char where[WHERE_BYTES], left[128], right[128];
  const Engine__Relate *c = body->condition;
  int64_t a = 0, b = 0;
  session_expr(s, c->a, step, &a);
  session_expr(s, c->b, step, &b);
  return fault_report(
      DIAG_E0613, plan_node_text(s->plan, step, where, sizeof where), NULL,
      "%s: needs %s %s %s, but these are %lld and %lld", plan_string(s->plan, body->message),
      plan_expr_text(s->plan, c->a, left, sizeof left), relation_text(c->relation),
      plan_expr_text(s->plan, c->b, right, sizeof right), (long long)a, (long long)b);
}

static status step_run_if_(struct sinter_session *s, const Engine__Step *step,
                           const Engine__If *body) {
  bool taken = true;
  status st;
  if (body->condition) {
    int64_t number = 0;
    st = session_read_integer(s, body->condition, 0, step, &number);
    taken = number != 0;
  } else {
    st = session_relate_all(s, body->guards, body->n_guards, step, &taken);
  }
  return st ? st : session_run_block(s, taken ? body->then_block : body->else_block);
}

static status step_run_loop(struct sinter_session *s, const Engine__Step *step,
                            const Engine__Loop *body) {
  return session_run_loop(s, step, body);
}

static status step_run_exchange(struct sinter_session *s, const Engine__Step *step,
                                const Engine__Exchange *body) {
  for (size_t i = 0; i < body->n_parts; i++) { /* one rank: the only block is its own */
    const Engine__ExchangePart *part = body->parts[i];
    uint64_t elements, bytes;
    uint8_t *dst, *src;
    status st = session_size(s, part->elements, step, &elements);
    unsigned size = dtype_unpacked_bytes((enum dtype)s->plan->manifest->values[part->src]->dtype);
    if (!st && !u64_mul(elements, size, &bytes))
      st = size_fail(s, part->elements, step, (int64_t)elements);
    if (!st)
      st = value_span(s, part->dst, bytes, step, &dst);
    if (!st)
      st = value_span(s, part->src, bytes, step, &src);
    if (!st)
      st = s->driver->copy(s->device, dst, src, bytes);
    if (st)
      return st;
  }
  return STATUS_OK;
}

static status run_step(struct sinter_session *s, const Engine__Step *step) {
  switch ((unsigned)step->body_case) {
#define PLAN_OP(name, field, number, text)                                                         \
  case number:                                                                                     \
    return step_run_##field(s, step, step->field);
#include "runtime/plan_op.def"
#undef PLAN_OP
  default:
    return STATUS_INTERNAL; /* the loader refused it */
  }
}

status session_run_block(struct sinter_session *s, uint32_t block) {
  const Engine__Block *b = s->plan->manifest->blocks[block];
  for (size_t i = 0; i < b->n_steps; i++) {
    if (atomic_load_explicit(&s->cancelled, memory_order_relaxed))
      return fault_report(DIAG_E0617, NULL, NULL, "the run was cancelled");
    status st = run_step(s, b->steps[i]);
    if (st)
      return st;
  }
  return STATUS_OK;
}

status session_finish_kernels(struct sinter_session *s) {
  int64_t word = 0;
  status st = s->driver->wait(s->device);
  if (!st)
    st = s->driver->read(s->device, &word, s->error_word.data, sizeof word);
  if (st || !word)
    return st;
  char where[WHERE_BYTES];
  const char *node = word > 0 && word <= UINT32_MAX
                         ? plan_provenance_text(s->plan, (uint32_t)(word - 1), where, sizeof where)
                         : NULL;
  return fault_report(DIAG_E0610, node, "check the values of the inputs that are used as indices",
                      "an index or value computed from the inputs is out of range");
}
