/* SPDX-License-Identifier: Apache-2.0 */
/* Strings while a plan runs: elements are numbers in the rank's table, which begins with the
 * engine's strings and is cut back to them before each run. Ranks run the same functions on the
 * same values in the same order, so their tables are alike. */
#include "runtime/session.h"

#include "base/mem.h"
#include "runtime/fault.h"

#include <string.h>

_Static_assert(sizeof(struct host_string) == sizeof(sinter_string), "the API's strings are ours");

/* --- Life --- */

status rank_strings_init(struct rank *r, uint32_t inputs, uint32_t outputs) {
  const Engine__Manifest *m = r->plan->manifest;
  struct rank_strings *s = &r->strings;
  struct host_string *fixed = POOL_ARRAY(&r->pool, struct host_string, m->n_host_strings + 1);
  s->inputs = POOL_ARRAY(&r->pool, struct slot, inputs);
  s->outputs = POOL_ARRAY(&r->pool, struct slot, outputs);
  if (!fixed || !s->inputs || !s->outputs)
    return STATUS_RESOURCES;
  for (size_t i = 0; i < m->n_host_strings; i++)
    fixed[i] = (struct host_string){(const char *)m->host_strings[i].data, m->host_strings[i].len};
  if (!host_strings_init(&s->table, fixed, (uint32_t)m->n_host_strings))
    return fault_no_memory("strings", m->n_host_strings * sizeof *fixed);
  return STATUS_OK;
}

void rank_strings_deinit(struct rank *r) {
  struct rank_strings *s = &r->strings;
  for (uint32_t i = 0; s->inputs && i < r->input_buffer_count; i++)
    mem_free(s->inputs[i].data);
  for (uint32_t i = 0; s->outputs && i < r->output_buffer_count; i++)
    mem_free(s->outputs[i].data);
  for (uint32_t i = 0; i <= HOST_OP_MAX_OPERANDS; i++)
    mem_free(s->host[i].data);
  host_strings_deinit(&s->table);
}

uint64_t rank_strings_bytes(const struct rank *r) {
  uint64_t bytes = host_strings_bytes(&r->strings.table);
  for (uint32_t i = 0; i < r->input_buffer_count; i++)
    bytes += r->strings.inputs[i].bytes;
  for (uint32_t i = 0; i < r->output_buffer_count; i++)
    bytes += r->strings.outputs[i].bytes;
  return bytes;
}

/* --- Ports --- */

status rank_strings_input(struct rank *r, uint32_t input, const sinter_tensor *tensor) {
  const sinter_string *from = tensor->data;
  struct slot *host = &r->strings.inputs[input];
  uint64_t n = 1;
  for (uint32_t i = 0; i < tensor->rank; i++)
    n *= (uint64_t)tensor->dims[i]; /* its bytes were counted */
  status st = staging_reserve(host, n * sizeof(uint64_t));
  for (uint64_t i = 0; i < n && !st; i++) {
    if (from[i].size && !from[i].data)
      return fault_report(DIAG_E0607, r->engine->file.path, NULL,
                          "string %llu of input '%s' has no memory", (unsigned long long)i,
                          plan_string(r->plan, r->entry->inputs[input]->name));
    if (!host_strings_add(&r->strings.table, from[i].data, from[i].size,
                          &((uint64_t *)host->data)[i]))
      st = fault_no_memory("a string", from[i].size);
  }
  r->input_slots[input] = (struct slot){host->data, n * sizeof(uint64_t)};
  return st;
}

/* The elements of a value, where the host can read them. */
static status on_host(struct rank *r, struct slot *room, struct slot *value) {
  if (!r->driver->discrete)
    return STATUS_OK;
  status st = staging_reserve(room, value->bytes);
  if (!st && value->bytes)
    st = r->driver->read(r->device, room->data, value->data, value->bytes);
  value->data = room->data;
  return st;
}

status rank_strings_output(struct rank *r, uint32_t output) {
  struct slot ids = r->output_slots[output], *own = &r->strings.outputs[output];
  sinter_tensor *tensor = &r->outputs[output];
  uint64_t n = ids.bytes / sizeof(uint64_t);
  status st = on_host(r, &r->strings.host[0], &ids);
  if (!st && r->output_owned[output]) {
    st = staging_reserve(own, n * sizeof(sinter_string));
    tensor->data = own->data;
    tensor->bytes = n * sizeof(sinter_string);
  }
  for (uint64_t i = 0; i < n && !st; i++) {
    struct host_string s;
    if (!host_strings_get(&r->strings.table, ((const uint64_t *)ids.data)[i], &s))
      st = fault_report(DIAG_E0612, r->engine->file.path,
                        "compile the model again with this release",
                        "element %llu of output '%s' is no string", (unsigned long long)i,
                        plan_string(r->plan, r->entry->outputs[output]->name));
    else
      ((sinter_string *)tensor->data)[i] = (sinter_string){s.data, s.size};
  }
  return st;
}

/* --- Steps --- */

/* An operand's memory (i below the number of operands) or the result's. */
static status host_value(struct rank *r, const Engine__Step *step, const Engine__Host *body,
                         uint32_t i, uint64_t *out_elements, struct slot *out) {
  bool result = i == body->n_operands;
  uint32_t value = result ? body->result : body->operands[i];
  unsigned size = dtype_unpacked_bytes((enum dtype)r->plan->manifest->values[value]->dtype);
  status st = rank_size(r, result ? body->elements : body->operand_elements[i], step, out_elements);
  if (st)
    return st;
  if (*out_elements > UINT64_MAX / 16)
    return rank_size_fail(r, body->elements, step, (int64_t)*out_elements);
  out->bytes = *out_elements * size;
  return rank_span(r, value, out->bytes, step, &out->data);
}

/* Elementwise operands must have as many elements as the result, parameters one. */
static bool counts_fit(const struct host_call *call, uint32_t n) {
  bool fit = true;
  for (uint32_t i = 0; i < n; i++) {
    char letter = host_op_letter(call->op, i);
    uint64_t wanted = host_op_letter_is_parameter(letter) ? 1 : call->elements;
    fit &= letter == 'B' || call->in_elements[i] == wanted;
  }
  return fit;
}

static status run_call(struct rank *r, const Engine__Step *step, const struct host_call *call) {
  char where[512];
  switch (host_op_run(call)) {
  case HOST_OK: return STATUS_OK;
  case HOST_NO_MEMORY: return fault_no_memory("strings", 0);
  case HOST_BAD_VALUE: break;
  }
  return fault_report(DIAG_E0610, plan_node_text(r->plan, step, where, sizeof where), NULL,
                      "a value that '%s' computes from the inputs is not possible: a text is no "
                      "number of the type that is wanted, or too large",
                      host_op_name(call->op));
}

status rank_host(struct rank *r, const Engine__Step *step, const Engine__Host *body) {
  const Engine__Manifest *m = r->plan->manifest;
  uint32_t n = (uint32_t)body->n_operands;
  struct host_call call = {.op = (enum host_op)body->function,
                           .strings = &r->strings.table,
                           .out_dtype = (enum dtype)m->values[body->result]->dtype};
  struct slot out;
  status st = r->driver->wait(r->device);
  for (uint32_t i = 0; i < n && !st; i++) {
    struct slot in;
    st = host_value(r, step, body, i, &call.in_elements[i], &in);
    if (!st)
      st = on_host(r, &r->strings.host[i], &in);
    call.in[i] = in.data;
    call.in_dtype[i] = (enum dtype)m->values[body->operands[i]]->dtype;
  }
  if (!st)
    st = host_value(r, step, body, n, &call.elements, &out);
  if (st)
    return st;
  if (!counts_fit(&call, n))
    return fault_report(DIAG_E0612, r->engine->file.path, NULL,
                        "operands of host function '%s' differ in size", host_op_name(call.op));
  call.out = out.data;
  if (r->driver->discrete) {
    st = staging_reserve(&r->strings.host[n], out.bytes);
    call.out = r->strings.host[n].data;
  }
  if (!st)
    st = run_call(r, step, &call);
  if (!st && r->driver->discrete && out.bytes)
    st = r->driver->write(r->device, out.data, call.out, out.bytes);
  return st;
}
