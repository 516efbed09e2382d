/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs and outputs of a run: the caller's tensors against the entry's ports. */
#include "runtime/session.h"

#include "base/checked.h"
#include "runtime/fault.h"

#include <stdio.h>
#include <string.h>

static const char *port_name(const struct rank *r, const Engine__Port *port) {
  return plan_string(r->plan, port->name);
}

static status count_fail(const struct rank *r, const char *what, size_t wanted, size_t found) {
  return fault_report(DIAG_E0602, r->engine->file.path, NULL,
                      "entry point '%s' has %zu %s, %zu were given",
                      plan_string(r->plan, r->entry->name), wanted, what, found);
}

/* --- Inputs --- */

/* What stands for an input: the caller's tensor, or the constant behind an optional input that was
 * left out. */
static const sinter_tensor *effective_input(const struct rank *r, const Engine__Port *port,
                                            const sinter_tensor *given, sinter_tensor *fallback) {
  if (!port->optional || given->dtype != SINTER_UNDEFINED)
    return given;
  const Engine__Manifest *m = r->plan->manifest;
  const Engine__Constant *c = m->constants[m->values[port->fallback]->index];
  const struct slot *slot = &r->slots[port->fallback];
  *fallback = (sinter_tensor){.dtype = (sinter_dtype)dtype_infos[c->dtype].onnx,
                              .rank = (uint32_t)c->n_dims,
                              .data = slot->data,
                              .bytes = slot->bytes};
  if (c->n_dims)
    memcpy(fallback->dims, c->dims, c->n_dims * sizeof c->dims[0]);
  return fallback;
}

static status check_type(const struct rank *r, const Engine__Port *port,
                         const sinter_tensor *tensor) {
  enum dtype wanted = (enum dtype)port->dtype;
  if ((int)tensor->dtype != dtype_infos[wanted].onnx) {
    const char *found = sinter_dtype_name(tensor->dtype);
    return fault_report(DIAG_E0603, r->engine->file.path, NULL,
                        "input '%s' is of type %s, %s was given", port_name(r, port),
                        dtype_name(wanted), found ? found : "no known type");
  }
  if (tensor->rank != port->n_dims)
    return fault_report(DIAG_E0604, r->engine->file.path, NULL,
                        "input '%s' has %zu dims, %u were given", port_name(r, port), port->n_dims,
                        tensor->rank);
  return STATUS_OK;
}

/* Bits of an element at the API. */
static unsigned port_bits(enum dtype dtype) {
  return dtype == DTYPE_STRING ? 8 * sizeof(sinter_string) : dtype_bits(dtype);
}

static status check_memory(const struct rank *r, const Engine__Port *port,
                           const sinter_tensor *tensor, unsigned bits) {
  enum dtype dtype = (enum dtype)port->dtype;
  uint64_t wanted;
  if (!shape_bytes(tensor->dims, tensor->rank, bits, &wanted))
    return fault_report(DIAG_E0606, r->engine->file.path, NULL,
                        "input '%s' has a negative dim or is too large", port_name(r, port));
  if (wanted > tensor->bytes || (wanted && !tensor->data))
    return fault_report(DIAG_E0607, r->engine->file.path, NULL,
                        "input '%s' needs %llu B, %llu B were given", port_name(r, port),
                        (unsigned long long)wanted,
                        tensor->data ? (unsigned long long)tensor->bytes : 0ull);
  if ((uintptr_t)tensor->data % dtype_unpacked_bytes(dtype))
    return fault_report(DIAG_E0607, r->engine->file.path, NULL,
                        "input '%s' is not aligned to its elements of %u B", port_name(r, port),
                        dtype_unpacked_bytes(dtype));
  return STATUS_OK;
}

/* A plain symbol that has no value yet takes the dim. All else waits until every input has been
 * seen. */
static status bind_dims(struct rank *r, const Engine__Port *port, const sinter_tensor *tensor) {
  const Engine__Manifest *m = r->plan->manifest;
  for (uint32_t i = 0; i < tensor->rank; i++) {
    const Engine__DimExpr *e = m->dim_exprs[port->dims[i]];
    if (e->kind != EXPR_SYMBOL || r->exprs.symbol_bound[e->a])
      continue;
    const Engine__Symbol *symbol = m->symbols[e->a];
    if (tensor->dims[i] < symbol->lo || tensor->dims[i] > symbol->hi)
      return fault_report(DIAG_E0606, r->engine->file.path,
                          "compile with other bounds for this dim",
                          "input '%s', dim %u (%s): %lld is outside of %lld..%lld",
                          port_name(r, port), i, plan_string(r->plan, symbol->name),
                          (long long)tensor->dims[i], (long long)symbol->lo, (long long)symbol->hi);
    expr_state_bind(&r->exprs, e->a, tensor->dims[i]);
  }
  return STATUS_OK;
}

static status compare_dims(struct rank *r, const Engine__Port *port, const sinter_tensor *tensor) {
  for (uint32_t i = 0; i < tensor->rank; i++) {
    int64_t wanted;
    char text[128];
    status st = rank_expr(r, port->dims[i], NULL, &wanted);
    if (st)
      return st;
    if (wanted != tensor->dims[i])
      return fault_report(DIAG_E0605, r->engine->file.path, NULL,
                          "input '%s', dim %u (%s): %lld is needed, %lld was given",
                          port_name(r, port), i,
                          plan_expr_text(r->plan, port->dims[i], text, sizeof text),
                          (long long)wanted, (long long)tensor->dims[i]);
  }
  return STATUS_OK;
}

static status first_look(struct rank *r, const Engine__Port *port, const sinter_tensor *given) {
  sinter_tensor fallback;
  const sinter_tensor *tensor = effective_input(r, port, given, &fallback);
  enum dtype dtype = (enum dtype)port->dtype;
  bool is_given = tensor == given;
  status st = check_type(r, port, tensor);
  if (!st)
    st = check_memory(r, port, tensor, is_given ? port_bits(dtype) : dtype_bits(dtype));
  if (!st)
    st = bind_dims(r, port, tensor);
  if (st)
    return st;
  uint32_t input = r->plan->manifest->values[port->value]->index;
  r->input_slots[input] = (struct slot){tensor->data, tensor->bytes};
  if (is_given && dtype == DTYPE_STRING)
    st = rank_strings_input(r, input, tensor);
  return st || !is_given ? st : staging_input(r, input);
}

status rank_bind_inputs(struct rank *r, const sinter_tensor *inputs, size_t n) {
  if (n != plan_entry_inputs(r->entry))
    return count_fail(r, "inputs", plan_entry_inputs(r->entry), n);
  rank_bind_capacity(r);
  for (size_t i = 0; i < n; i++) {
    status st = first_look(r, r->entry->inputs[i], &inputs[i]);
    if (st)
      return st;
  }
  status bound = rank_bind_states(r);
  if (bound)
    return bound;
  for (size_t i = 0; i < n; i++) {
    sinter_tensor fallback;
    status st = compare_dims(r, r->entry->inputs[i],
                             effective_input(r, r->entry->inputs[i], &inputs[i], &fallback));
    if (st)
      return st;
  }
  return STATUS_OK;
}

/* --- Outputs --- */

static bool is_strings(const struct rank *r, size_t output) {
  return r->entry->outputs[output]->dtype == DTYPE_STRING;
}

/* Where the caller finds an output that the session provides. */
static const void *output_memory(const struct rank *r, uint32_t output) {
  return is_strings(r, output) ? r->strings.outputs[output].data : staging_output_memory(r, output);
}

status rank_bind_outputs(struct rank *r, sinter_tensor *outputs, size_t n) {
  if (n != plan_entry_outputs(r->entry))
    return count_fail(r, "outputs", plan_entry_outputs(r->entry), n);
  r->outputs = outputs;
  for (size_t i = 0; i < n; i++) {
    /* A tensor that still shows the session's memory from an earlier run asks for the session's
     * memory. */
    r->output_owned[i] = !outputs[i].data || outputs[i].data == output_memory(r, (uint32_t)i);
    if (r->output_owned[i]) {
      outputs[i].data = NULL;
      outputs[i].bytes = 0;
    }
    r->output_slots[i] = (struct slot){0};
  }
  return STATUS_OK;
}

bool rank_output_known(struct rank *r, uint32_t value) {
  const Engine__Value *v = r->plan->manifest->values[value];
  int64_t ignored;
  for (size_t i = 0; i < v->n_dims; i++)
    if (expr_state_get(&r->exprs, v->dims[i], &ignored) == EXPR_UNBOUND)
      return false;
  return true;
}

static status output_shape(struct rank *r, const Engine__Value *v, const Engine__Step *step,
                           sinter_tensor *tensor, uint64_t *out_bytes) {
  enum dtype dtype = (enum dtype)v->dtype;
  tensor->dtype = (sinter_dtype)dtype_infos[dtype].onnx;
  tensor->rank = (uint32_t)v->n_dims;
  for (uint32_t i = 0; i < tensor->rank; i++) {
    status st = rank_expr(r, v->dims[i], step, &tensor->dims[i]);
    if (st)
      return st;
  }
  uint64_t seen; /* as the caller sees it: no less */
  if (shape_bytes(tensor->dims, tensor->rank, port_bits(dtype), &seen) &&
      shape_bytes(tensor->dims, tensor->rank, dtype_bits(dtype), out_bytes))
    return STATUS_OK;
  return fault_report(DIAG_E0611, r->engine->file.path, NULL,
                      "output '%s' has a negative dim or is too large",
                      port_name(r, r->entry->outputs[v->index]));
}

static status place_in_sessions(struct rank *r, uint32_t output, uint64_t bytes) {
  struct driver_buffer *buffer = &r->output_buffers[output];
  status st = r->driver->buffer_reserve(r->device, buffer, bytes, false);
  r->output_slots[output] = (struct slot){buffer->data, st ? 0 : bytes};
  return st;
}

/* `elements_bytes` as kernels write them, `bytes` as the caller sees them. */
static status place_in_callers(struct rank *r, uint32_t output, uint64_t elements_bytes,
                               uint64_t bytes) {
  const Engine__Port *port = r->entry->outputs[output];
  const sinter_tensor *tensor = &r->outputs[output];
  unsigned alignment = dtype_unpacked_bytes((enum dtype)port->dtype);
  if (bytes > tensor->bytes)
    return fault_report(DIAG_E0607, r->engine->file.path,
                        "pass data NULL to let the session provide the memory",
                        "output '%s' needs %llu B, %llu B were given", port_name(r, port),
                        (unsigned long long)bytes, (unsigned long long)tensor->bytes);
  if ((uintptr_t)tensor->data % alignment)
    return fault_report(DIAG_E0607, r->engine->file.path, NULL,
                        "output '%s' is not aligned to its elements of %u B", port_name(r, port),
                        alignment);
  if (r->driver->discrete || is_strings(r, output))
    return place_in_sessions(r, output, elements_bytes);
  r->output_slots[output] = (struct slot){tensor->data, bytes};
  return STATUS_OK;
}

status rank_size_output(struct rank *r, uint32_t value, const Engine__Step *step) {
  const Engine__Value *v = r->plan->manifest->values[value];
  uint64_t bytes;
  if (v->index >= r->entry->n_outputs || r->entry->outputs[v->index]->dtype != v->dtype)
    return fault_report(DIAG_E0612, r->engine->file.path, NULL,
                        "value %u is no output of entry point '%s'", value,
                        plan_string(r->plan, r->entry->name));
  if (v->index >= plan_entry_outputs(r->entry))
    return rank_size_state(r, value, step);
  status st = output_shape(r, v, step, &r->outputs[v->index], &bytes);
  if (st)
    return st;
  uint64_t seen =
      v->dtype == DTYPE_STRING ? bytes / sizeof(uint64_t) * sizeof(sinter_string) : bytes;
  return r->output_owned[v->index] ? place_in_sessions(r, v->index, bytes)
                                   : place_in_callers(r, v->index, bytes, seen);
}

status rank_finish_outputs(struct rank *r) {
  for (size_t i = 0; i < plan_entry_outputs(r->entry); i++) {
    const struct slot *slot = &r->output_slots[i];
    if (!slot->data)
      return fault_report(
          DIAG_E0612, r->engine->file.path, "compile the model again with this release",
          "the plan has not produced output '%s'", port_name(r, r->entry->outputs[i]));
    if (is_strings(r, i)) {
      status st = rank_strings_output(r, (uint32_t)i);
      if (st)
        return st;
      continue;
    }
    if (r->output_owned[i]) {
      r->outputs[i].data = slot->data;
      r->outputs[i].bytes = slot->bytes;
    }
    status st = staging_output(r, (uint32_t)i);
    if (st)
      return st;
  }
  return STATUS_OK;
}

void rank_release_ports(struct rank *r, bool failed) {
  for (size_t i = 0; r->entry && i < r->entry->n_inputs; i++)
    r->input_slots[i] = (struct slot){0};
  for (size_t i = 0; r->entry && i < r->entry->n_outputs; i++) {
    r->output_slots[i] = (struct slot){0};
    if (failed && r->outputs && i < plan_entry_outputs(r->entry) && r->output_owned[i]) {
      r->outputs[i].data = NULL;
      r->outputs[i].bytes = 0;
    }
  }
  r->entry = NULL;
  r->outputs = NULL;
}
