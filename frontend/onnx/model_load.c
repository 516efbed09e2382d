/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a model: the stages in order, each behind the checks of the one before. */
#include "frontend/onnx/model_load.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "frontend/onnx/model_check.h"
#include "frontend/onnx/wire_sniff.h"

/* Files up to this size are read, so that nothing can change under us; larger ones are mapped. */
enum { READ_LIMIT = 64 * 1024 * 1024 };

static struct diag_where where_of(const struct onnx_model *m) {
  return (struct diag_where){.file = m->path, .node_index = -1, .byte_offset = UINT64_MAX};
}

static status file_get(struct onnx_model *m, struct diags *diags) {
  status st = mapped_file_open(m->path, diags, &m->mapped);
  if (st) return st;
  m->bytes = m->mapped.data;
  m->size = m->mapped.size;
  if (m->size == 0 || m->size > READ_LIMIT) return STATUS_OK;
  m->owned_bytes = mem_alloc(m->size);
  memcpy(m->owned_bytes, m->mapped.data, m->size);
  m->bytes = m->owned_bytes;
  mapped_file_close(&m->mapped);
  return STATUS_OK;
}

static status content_check(const struct onnx_model *m, struct diags *diags) {
  struct diag_where where = where_of(m);
  struct wire_sniff sniff = wire_sniff_content(m->bytes, m->size);
  if (sniff.what) {
    return diag_report(diags, DIAG_E0102, &where, sniff.hint, "this is not an ONNX model: it is %s", sniff.what);
  }
  return STATUS_OK;
}

static status size_check(const struct onnx_model *m, struct diags *diags) {
  struct diag_where where = where_of(m);
  if (m->size <= INT_MAX) return STATUS_OK;
  return diag_report(diags, DIAG_E0104, &where, "save the model with its weights as external data",
                     "the file has %zu B, and one protobuf can have at most %d B", m->size, INT_MAX);
}

static status unpack_failed(const struct onnx_model *m, const struct proto_budget *budget, struct diags *diags) {
  struct diag_where where = where_of(m);
  if (budget->failed) return diag_report(diags, DIAG_E0901, &where, NULL, "no memory to read the model");
  if (budget->exhausted) {
    return diag_report(diags, DIAG_E0106, &where, NULL, "reading the model takes more than %" PRIu64 " B of memory",
                       budget->limit);
  }
  return diag_report(diags, DIAG_E0103, &where, NULL, "the file is not a well-formed protobuf");
}

static status unpack(struct onnx_model *m, const ProtobufCMessageDescriptor *type, struct diags *diags) {
  struct wire_scan_options options = {.file = m->path, .cut_above = WIRE_CUT_ABOVE};
  status st = wire_scan_run(m->bytes, m->size, type, &options, diags, &m->scan);
  if (st) return st;
  proto_budget_init(&m->budget, wire_memory_limit(m->size));
  m->message = protobuf_c_message_unpack(type, &m->budget.allocator, m->scan.size, m->scan.bytes);
  mem_free(m->scan.rewritten);
  m->scan.rewritten = NULL;
  m->scan.bytes = NULL;
  return m->message ? STATUS_OK : unpack_failed(m, &m->budget, diags);
}

static status load(struct onnx_model *m, const char *folder_of, const struct onnx_load_options *options,
                   struct diags *diags) {
  status st = content_check(m, diags);
  if (st == STATUS_OK) st = size_check(m, diags);
  if (st == STATUS_OK) st = unpack(m, &onnx__model_proto__descriptor, diags);
  if (st == STATUS_OK) {
    m->proto = (Onnx__ModelProto *)m->message;
    st = external_data_init(&m->external, folder_of, options ? options->external_data_root : NULL, diags);
  }
  if (st) return st;
  struct diags found = {0};
  onnx_model_check(m, &found);
  st = diags_status(&found);
  if (diags) diags_merge(diags, &found);
  diags_deinit(&found);
  return st;
}

static struct onnx_model *model_create(const char *path) {
  struct onnx_model *m = mem_calloc(1, sizeof *m);
  arena_init(&m->arena);
  map_init(&m->resolved);
  strmap_init(&m->known_domains);
  m->external.folder = -1;
  m->path = arena_strdup(&m->arena, path);
  return m;
}

static status finish(struct onnx_model *m, status st, struct onnx_model **out_model) {
  if (st) {
    onnx_model_destroy(m);
    m = NULL;
  }
  *out_model = m;
  return st;
}

status onnx_model_load(const char *path, const struct onnx_load_options *options,
                       struct diags *diags, struct onnx_model **out_model) {
  struct onnx_model *m = model_create(path);
  status st = file_get(m, diags);
  if (st == STATUS_OK) st = load(m, path, options, diags);
  return finish(m, st, out_model);
}

status onnx_message_load(const char *path, const ProtobufCMessageDescriptor *type,
                         struct diags *diags, struct onnx_model **out_model) {
  struct onnx_model *m = model_create(path);
  status st = file_get(m, diags);
  if (st == STATUS_OK) st = size_check(m, diags);
  if (st == STATUS_OK) st = unpack(m, type, diags);
  if (st == STATUS_OK) st = external_data_init(&m->external, path, NULL, diags);
  return finish(m, st, out_model);
}

status onnx_model_load_memory(const void *bytes, size_t size, const struct onnx_load_options *options,
                              struct diags *diags, struct onnx_model **out_model) {
  struct onnx_model *m = model_create("<memory>");
  m->bytes = bytes;
  m->size = size;
  return finish(m, load(m, NULL, options, diags), out_model);
}

void onnx_model_destroy(struct onnx_model *model) {
  if (!model) return;
  if (model->message) protobuf_c_message_free_unpacked(model->message, &model->budget.allocator);
  wire_scan_deinit(&model->scan);
  external_data_deinit(&model->external);
  mapped_file_close(&model->mapped);
  mem_free(model->owned_bytes);
  map_deinit(&model->resolved);
  strmap_deinit(&model->known_domains);
  arena_deinit(&model->arena);
  mem_free(model);
}
