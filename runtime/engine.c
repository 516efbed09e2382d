/* SPDX-License-Identifier: Apache-2.0 */
/* Engines: opening, closing, and the public queries. */
#include "runtime/session.h"

#include "base/hash.h"
#include "base/mem.h"
#include "runtime/fault.h"
#include "runtime/options_take.h"

#include <stdio.h>
#include <string.h>

#define VERSION "0.1.0"

SINTER_API const char *sinter_version(void) { return VERSION; }

SINTER_API const char *sinter_dtype_name(sinter_dtype dtype) {
  enum dtype t;
  return dtype_from_onnx((int32_t)dtype, &t) ? dtype_name(t) : NULL;
}

/* --- Descriptions of ports --- */

static status describe_dim(struct plan *plan, uint32_t expr, sinter_dim *out) {
  const Engine__DimExpr *e = plan->manifest->dim_exprs[expr];
  char text[128];
  *out = (sinter_dim){.value = -1, .lo = 0, .hi = INT64_MAX};
  if (e->kind == EXPR_CONST) {
    out->value = out->lo = out->hi = e->value;
  } else if (e->kind == EXPR_SYMBOL) {
    out->lo = plan->manifest->symbols[e->a]->lo;
    out->hi = plan->manifest->symbols[e->a]->hi;
  }
  out->text = pool_printf(&plan->pool, "%s", plan_expr_text(plan, expr, text, sizeof text));
  return out->text ? STATUS_OK : STATUS_RESOURCES;
}

static status describe_port(struct plan *plan, const Engine__Port *port, sinter_port *out) {
  sinter_dim *dims = POOL_ARRAY(&plan->pool, sinter_dim, port->n_dims);
  if (!dims)
    return STATUS_RESOURCES;
  for (size_t i = 0; i < port->n_dims; i++) {
    status s = describe_dim(plan, port->dims[i], &dims[i]);
    if (s)
      return s;
  }
  *out = (sinter_port){.name = plan_string(plan, port->name),
                       .dtype = (sinter_dtype)dtype_infos[port->dtype].onnx,
                       .rank = (uint32_t)port->n_dims,
                       .dims = dims,
                       .optional = port->optional};
  return STATUS_OK;
}

static status describe_ports(struct plan *plan, Engine__Port **ports, size_t n, sinter_port **out) {
  *out = POOL_ARRAY(&plan->pool, sinter_port, n);
  if (!*out)
    return STATUS_RESOURCES;
  for (size_t i = 0; i < n; i++) {
    status s = describe_port(plan, ports[i], &(*out)[i]);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status describe_entries(sinter_engine *engine) {
  const Engine__Manifest *m = engine->plan.manifest;
  engine->entries = POOL_ARRAY(&engine->plan.pool, struct engine_entry, m->n_entries);
  if (!engine->entries)
    return STATUS_RESOURCES;
  for (size_t i = 0; i < m->n_entries; i++) {
    const Engine__Entry *e = m->entries[i];
    status s = describe_ports(&engine->plan, e->inputs, e->n_inputs, &engine->entries[i].inputs);
    if (!s)
      s = describe_ports(&engine->plan, e->outputs, e->n_outputs, &engine->entries[i].outputs);
    if (s)
      return s;
  }
  return STATUS_OK;
}

/* --- Opening --- */

static status finish_open(sinter_engine *engine, const sinter_engine_options *options,
                          sinter_engine **out_engine) {
  status s = plan_load(&engine->plan, &engine->file);
  if (!s)
    s = weight_files_open(&engine->weights, &engine->plan, engine->file.path, options->weights_root,
                          &engine->plan.pool);
  if (!s)
    s = describe_entries(engine);
  if (!s && options->verify_weights)
    s = (status)sinter_engine_verify_weights(engine);
  if (s)
    sinter_engine_close(engine);
  else
    *out_engine = engine;
  return s;
}

static status begin_open(const void *source, const sinter_engine_options *given,
                         sinter_engine **out_engine, sinter_engine_options *out_options,
                         sinter_engine **out_new) {
  fault_clear();
  if (!source || !out_engine)
    return fault_report(DIAG_E0618, NULL, NULL, "sinter_engine_open was given NULL");
  status s = options_take(given, sizeof *out_options, out_options);
  if (s)
    return s;
  *out_new = mem_try_calloc(1, sizeof **out_new);
  return *out_new ? STATUS_OK : fault_no_memory("an engine", sizeof **out_new);
}

SINTER_API sinter_status sinter_engine_open(const char *path, const sinter_engine_options *options,
                                            sinter_engine **out_engine) {
  sinter_engine_options o;
  sinter_engine *engine;
  status s = begin_open(path, options, out_engine, &o, &engine);
  if (s)
    return (sinter_status)s;
  s = engine_file_open(&engine->file, path);
  if (s)
    mem_free(engine);
  return (sinter_status)(s ? s : finish_open(engine, &o, out_engine));
}

SINTER_API sinter_status sinter_engine_open_memory(const void *data, size_t bytes,
                                                   const sinter_engine_options *options,
                                                   sinter_engine **out_engine) {
  sinter_engine_options o;
  sinter_engine *engine;
  status s = begin_open(data, options, out_engine, &o, &engine);
  if (s)
    return (sinter_status)s;
  s = engine_file_open_memory(&engine->file, data, bytes);
  if (s)
    mem_free(engine);
  return (sinter_status)(s ? s : finish_open(engine, &o, out_engine));
}

SINTER_API void sinter_engine_close(sinter_engine *engine) {
  if (!engine)
    return;
  weight_files_close(&engine->weights);
  plan_unload(&engine->plan);
  engine_file_close(&engine->file);
  mem_free(engine);
}

const uint8_t *engine_constant_data(const struct sinter_engine *engine,
                                    const Engine__Constant *constant) {
  const uint8_t *base = constant->file ? engine->weights.data[constant->file - 1]
                                       : engine_file_bytes(&engine->file, engine->file.weights);
  return base + constant->offset;
}

static status verify_constant(const sinter_engine *engine, size_t i) {
  const Engine__Constant *c = engine->plan.manifest->constants[i];
  const uint8_t *data = engine_constant_data(engine, c);
  struct digest found = digest_bytes(data, (size_t)c->bytes);
  if (memcmp(found.b, c->digest.data, sizeof found.b) == 0)
    return STATUS_OK;
  return fault_report(DIAG_E0509, engine->file.path, "copy or compile the engine again",
                      "weight %zu '%s' (%llu B) is damaged", i, plan_string(&engine->plan, c->name),
                      (unsigned long long)c->bytes);
}

static status verify_section(const sinter_engine *engine) {
  const struct engine_section *weights = engine->file.weights;
  struct digest found =
      digest_bytes(engine_file_bytes(&engine->file, weights), (size_t)weights->bytes);
  if (memcmp(found.b, weights->digest, sizeof found.b) == 0)
    return STATUS_OK;
  return fault_report(DIAG_E0509, engine->file.path, "copy or compile the engine again",
                      "the weights (%llu B) are damaged", (unsigned long long)weights->bytes);
}

SINTER_API sinter_status sinter_engine_verify_weights(const sinter_engine *engine) {
  const Engine__Manifest *m = engine->plan.manifest;
  bool all = true; /* constants have digests of their own */
  for (size_t i = 0; i < m->n_constants; i++) {
    status s = m->constants[i]->digest.len ? verify_constant(engine, i) : STATUS_OK;
    if (s)
      return (sinter_status)s;
    all = all && (m->constants[i]->digest.len || m->constants[i]->file);
  }
  return (sinter_status)(all || !engine->file.weights ? STATUS_OK : verify_section(engine));
}

/* --- Queries --- */

static const Engine__Entry *entry_at(const sinter_engine *engine, uint32_t entry) {
  const Engine__Manifest *m = engine->plan.manifest;
  return entry < m->n_entries ? m->entries[entry] : NULL;
}

SINTER_API const char *sinter_engine_producer(const sinter_engine *engine) {
  return engine->plan.manifest->producer;
}

SINTER_API uint32_t sinter_engine_entry_count(const sinter_engine *engine) {
  return (uint32_t)engine->plan.manifest->n_entries;
}

SINTER_API const char *sinter_engine_entry_name(const sinter_engine *engine, uint32_t entry) {
  const Engine__Entry *e = entry_at(engine, entry);
  return e ? plan_string(&engine->plan, e->name) : NULL;
}

SINTER_API uint32_t sinter_engine_input_count(const sinter_engine *engine, uint32_t entry) {
  const Engine__Entry *e = entry_at(engine, entry);
  return e ? (uint32_t)plan_entry_inputs(e) : 0;
}

SINTER_API uint32_t sinter_engine_output_count(const sinter_engine *engine, uint32_t entry) {
  const Engine__Entry *e = entry_at(engine, entry);
  return e ? (uint32_t)plan_entry_outputs(e) : 0;
}

SINTER_API const sinter_port *sinter_engine_input(const sinter_engine *engine, uint32_t entry,
                                                  uint32_t input) {
  return input < sinter_engine_input_count(engine, entry) ? &engine->entries[entry].inputs[input]
                                                          : NULL;
}

SINTER_API const sinter_port *sinter_engine_output(const sinter_engine *engine, uint32_t entry,
                                                   uint32_t output) {
  return output < sinter_engine_output_count(engine, entry)
             ? &engine->entries[entry].outputs[output]
             : NULL;
}

SINTER_API uint32_t sinter_engine_target_count(const sinter_engine *engine) {
  return (uint32_t)engine->plan.manifest->n_targets;
}

SINTER_API const char *sinter_engine_target_name(const sinter_engine *engine, uint32_t target) {
  const Engine__Manifest *m = engine->plan.manifest;
  return target < m->n_targets ? plan_string(&engine->plan, m->targets[target]->name) : NULL;
}

SINTER_API uint32_t sinter_engine_rank_count(const sinter_engine *engine) {
  return engine->plan.ranks;
}

SINTER_API uint64_t sinter_engine_weight_bytes(const sinter_engine *engine) {
  return engine->file.weights ? engine->file.weights->bytes : 0;
}
