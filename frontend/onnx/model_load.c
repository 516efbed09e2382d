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
  if (st)
    return st;
  m->bytes = m->mapped.data;
  m->size = m->mapped.size;
  if (m->size == 0 || m->size > READ_LIMIT)
    return STATUS_OK;
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
    return diag_report(diags, DIAG_E0102, &where, sniff.hint, "this is not an ONNX model: it is %s",
                       sniff.what);
  }
  return STATUS_OK;
}

static status size_check(const struct onnx_model *m, struct diags *diags) {
  struct diag_where where = where_of(m);
  if (m->size <= INT_MAX)
    return STATUS_OK;
  return diag_report(diags, DIAG_E0104, &where, "save the model with its weights as external data",
                     "the file has %zu B, and one protobuf can have at most %d B", m->size,
                     INT_MAX);
}

static status unpack_failed(const struct onnx_model *m, const struct proto_budget *budget,
                            struct diags *diags) {
  struct diag_where where = where_of(m);
  if (budget->failed)
    return diag_report(diags, DIAG_E0901, &where, NULL, "no memory to read the model");
  if (budget->exhausted) {
    return diag_report(diags, DIAG_E0106, &where, NULL,
                       "reading the model takes more than %" PRIu64 " B of memory", budget->limit);
  }
  return diag_report(diags, DIAG_E0103, &where, NULL, "the file is not a well-formed protobuf");
}

static status unpack(struct onnx_model *m, const ProtobufCMessageDescriptor *type,
                     struct diags *diags) {
  struct wire_scan_options options = {.file = m->path, .cut_above = WIRE_CUT_ABOVE};
  status st = wire_scan_run(m->bytes, m->size, type, &options, diags, &m->scan);
  if (st)
    return st;
  proto_budget_init(&m->budget, wire_memory_limit(m->size));
  m->message = protobuf_c_message_unpack(type, &m->budget.allocator, m->scan.size, m->scan.bytes);
  mem_free(m->scan.rewritten);
  m->scan.rewritten = NULL;
  m->scan.bytes = NULL;
  return m->message ? STATUS_OK : unpack_failed(m, &m->budget, diags);
}

/* One call of a load function. It runs under a guard of its own: what memory cannot hold is an
 * error like any other, and mappings and descriptors are released. */
struct job {
  struct onnx_model *model;
  const char *path; /* NULL: from memory, which is in the model already */
  const ProtobufCMessageDescriptor *type;
  const struct onnx_load_options *options;
  struct diags found;
  bool finished;
};

static status model_check(struct job *job) {
  if (job->type != &onnx__model_proto__descriptor)
    return STATUS_OK;
  job->model->proto = (Onnx__ModelProto *)job->model->message;
  onnx_model_check(job->model, &job->found);
  return diags_status(&job->found);
}

static status load(struct job *job) {
  struct onnx_model *m = job->model;
  m->path = arena_strdup(&m->arena, job->path ? job->path : "<memory>");
  status st = job->path ? file_get(m, &job->found) : STATUS_OK;
  if (st == STATUS_OK && job->type == &onnx__model_proto__descriptor)
    st = content_check(m, &job->found);
  if (st == STATUS_OK)
    st = size_check(m, &job->found);
  if (st == STATUS_OK)
    st = unpack(m, job->type, &job->found);
  if (st == STATUS_OK) {
    const char *root = job->options ? job->options->external_data_root : NULL;
    st = external_data_init(&m->external, job->path, root, &job->found);
  }
  return st == STATUS_OK ? model_check(job) : st;
}

static status load_guarded(void *context) {
  struct job *job = context;
  status st = load(job);
  job->finished = true;
  return st;
}

/* After an out-of-memory jump: all that mem_alloc gave is gone, the rest is released here. */
static void model_abandon(struct onnx_model *m) {
  if (m->message)
    protobuf_c_message_free_unpacked(m->message, &m->budget.allocator);
  external_data_abandon(&m->external);
  mapped_file_close(&m->mapped);
  mem_free(m);
}

static status run(struct job *job, struct diags *diags, struct onnx_model **out_model) {
  *out_model = NULL;
  status st = STATUS_RESOURCES;
  if (job->model) {
    job->model->external.folder = -1;
    st = oom_guard_run(load_guarded, job);
  }
  if (diags)
    diags_merge(diags, &job->found);
  diags_deinit(&job->found);
  if (!job->finished) {
    struct diag_where where = DIAG_NOWHERE;
    where.file = job->path;
    if (job->model)
      model_abandon(job->model);
    return diag_report(diags, DIAG_E0901, &where, NULL, "no memory to load the model");
  }
  if (st == STATUS_OK) {
    *out_model = job->model;
  } else {
    onnx_model_destroy(job->model);
  }
  return st;
}

status onnx_model_load(const char *path, const struct onnx_load_options *options,
                       struct diags *diags, struct onnx_model **out_model) {
  struct job job = {.model = mem_try_calloc(1, sizeof(struct onnx_model)),
                    .path = path,
                    .type = &onnx__model_proto__descriptor,
                    .options = options};
  return run(&job, diags, out_model);
}

status onnx_message_load(const char *path, const ProtobufCMessageDescriptor *type,
                         struct diags *diags, struct onnx_model **out_model) {
  struct job job = {
      .model = mem_try_calloc(1, sizeof(struct onnx_model)), .path = path, .type = type};
  return run(&job, diags, out_model);
}

status onnx_model_load_memory(const void *bytes, size_t size,
                              const struct onnx_load_options *options, struct diags *diags,
                              struct onnx_model **out_model) {
  struct job job = {.model = mem_try_calloc(1, sizeof(struct onnx_model)),
                    .type = &onnx__model_proto__descriptor,
                    .options = options};
  if (job.model) {
    job.model->bytes = bytes;
    job.model->size = size;
  }
  return run(&job, diags, out_model);
}

void onnx_model_destroy(struct onnx_model *model) {
  if (!model)
    return;
  if (model->message)
    protobuf_c_message_free_unpacked(model->message, &model->budget.allocator);
  wire_scan_deinit(&model->scan);
  external_data_deinit(&model->external);
  mapped_file_close(&model->mapped);
  mem_free(model->owned_bytes);
  map_deinit(&model->resolved);
  strmap_deinit(&model->known_domains);
  arena_deinit(&model->arena);
  mem_free(model);
}
