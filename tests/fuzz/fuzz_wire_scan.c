/* SPDX-License-Identifier: Apache-2.0 */
/* What the wire scan accepts, protobuf-c must unpack, within the scan's estimate of memory, without
 * unknown fields, and cuts must lie in the input. The first byte picks the message. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "frontend/onnx/onnx.pb-c.h"
#include "frontend/onnx/proto_budget.h"
#include "frontend/onnx/wire_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const ProtobufCMessageDescriptor *const types[] = {
    &onnx__model_proto__descriptor,    &onnx__tensor_proto__descriptor,
    &onnx__sequence_proto__descriptor, &onnx__optional_proto__descriptor,
    &onnx__map_proto__descriptor,      &onnx__sparse_tensor_proto__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size == 0)
    return 0;
  const ProtobufCMessageDescriptor *type = types[bytes[0] % (sizeof types / sizeof *types)];
  struct wire_scan_options options = {.cut_above = 8};
  struct wire_scan scan;
  if (wire_scan_run(bytes + 1, size - 1, type, &options, NULL, &scan))
    return 0;
  struct proto_budget budget;
  proto_budget_init(&budget, UINT64_MAX);
  ProtobufCMessage *message =
      protobuf_c_message_unpack(type, &budget.allocator, scan.size, scan.bytes);
  if (!message || message->n_unknown_fields)
    abort();
  if (budget.peak > 2 * scan.memory + 64 * 1024)
    abort();
  for (uint32_t i = 0; i < scan.cuts.len; i++) {
    struct wire_cut cut = scan.cuts.data[i];
    if (cut.offset > size - 1 || cut.size > size - 1 - cut.offset)
      abort();
  }
  protobuf_c_message_free_unpacked(message, &budget.allocator);
  if (budget.used != 0)
    abort();
  wire_scan_deinit(&scan);
  return 0;
}
