/* SPDX-License-Identifier: Apache-2.0 */
/* Devices with memory of their own: constants, inputs and outputs have a place there, and are
 * copied when a rank is made, before a run and after it. On other devices nothing here does
 * anything. */
#include "runtime/rank.h"

#include "base/checked.h"
#include "base/mem.h"
#include "runtime/fault.h"

/* Device addresses of constants are multiples of this. */
#define WEIGHT_ALIGNMENT 256u

static status weights_size(const struct rank *r, uint64_t *out_bytes) {
  const Engine__Manifest *m = r->plan->manifest;
  uint64_t total = 0;
  for (uint32_t i = 1; i < m->n_values; i++) {
    uint64_t rounded;
    if (m->values[i]->storage != ENGINE__STORAGE__CONSTANT)
      continue;
    if (!u64_align(r->slots[i].bytes, WEIGHT_ALIGNMENT, &rounded) ||
        !u64_add(total, rounded, &total))
      return fault_no_memory("constants", r->slots[i].bytes);
  }
  *out_bytes = total;
  return STATUS_OK;
}

status staging_constants(struct rank *r) {
  const Engine__Manifest *m = r->plan->manifest;
  uint64_t total, at = 0;
  if (!r->driver->discrete)
    return STATUS_OK;
  status st = weights_size(r, &total);
  if (!st && total)
    st = r->driver->buffer_reserve(r->device, &r->weights, total, false);
  for (uint32_t i = 1; i < m->n_values && !st; i++) {
    struct slot *slot = &r->slots[i];
    if (m->values[i]->storage != ENGINE__STORAGE__CONSTANT || !slot->bytes)
      continue;
    uint8_t *place = r->weights.data + at;
    st = r->driver->write(r->device, place, slot->data, slot->bytes);
    slot->data = place;
    at += (slot->bytes + WEIGHT_ALIGNMENT - 1) / WEIGHT_ALIGNMENT * WEIGHT_ALIGNMENT;
  }
  return st;
}

status staging_input(struct rank *r, uint32_t input) {
  struct slot *slot = &r->input_slots[input];
  if (!r->driver->discrete)
    return STATUS_OK;
  struct driver_buffer *buffer = &r->input_buffers[input];
  status st = r->driver->buffer_reserve(r->device, buffer, slot->bytes, false);
  if (!st)
    st = r->driver->write(r->device, buffer->data, slot->data, slot->bytes);
  slot->data = buffer->data;
  return st;
}

status staging_reserve(struct slot *host, uint64_t bytes) {
  if (host->data && host->bytes >= bytes)
    return STATUS_OK;
  mem_free(host->data);
  host->data = mem_try_alloc(bytes ? bytes : 1);
  host->bytes = host->data ? bytes : 0;
  return host->data ? STATUS_OK : fault_no_memory("a copy on the host", bytes);
}

status staging_output(struct rank *r, uint32_t output) {
  const struct slot *slot = &r->output_slots[output];
  sinter_tensor *tensor = &r->outputs[output];
  if (!r->driver->discrete)
    return STATUS_OK;
  if (!r->output_owned[output])
    return r->driver->read(r->device, tensor->data, slot->data, slot->bytes);
  struct slot *host = &r->output_copies[output];
  status st = staging_reserve(host, slot->bytes);
  if (!st)
    st = r->driver->read(r->device, host->data, slot->data, slot->bytes);
  tensor->data = host->data;
  return st;
}

const void *staging_output_memory(const struct rank *r, uint32_t output) {
  return r->driver->discrete ? r->output_copies[output].data : r->output_buffers[output].data;
}

void staging_deinit(struct rank *r) {
  r->driver->buffer_release(r->device, &r->weights);
  mem_free(r->staged.data);
  for (uint32_t i = 0; r->input_buffers && i < r->input_buffer_count; i++)
    r->driver->buffer_release(r->device, &r->input_buffers[i]);
  for (uint32_t i = 0; r->output_copies && i < r->output_buffer_count; i++)
    mem_free(r->output_copies[i].data);
}
