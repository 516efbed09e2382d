/* SPDX-License-Identifier: Apache-2.0 */
/* sinter inspect: what an engine file holds. Reads it as the loader does, on any machine, and runs
 * nothing. */
#include "cli/host_tensor.h"
#include "cli/verb.h"
#include "runtime/engine_file.h"
#include "runtime/fault.h"
#include "runtime/plan.h"
#include "runtime/plan_print.h"

#include <stdio.h>
#include <string.h>

struct inspector {
  struct invocation *v;
  struct engine_file file;
  struct plan plan;
};

static const char *section_name(uint32_t kind) {
  static const char *const names[] = {"?", "manifest", "code", "weights", "tuning"};
  return kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}

static const char *hex_digest(struct arena *arena, const uint8_t *digest) {
  char *text = arena_alloc(arena, 33);
  for (int i = 0; i < 16; i++)
    snprintf(text + 2 * i, 3, "%02x", digest[i]);
  return text;
}

/* "f32[batch,10]" */
static const char *port_type(const struct inspector *in, const Engine__Port *port) {
  struct strbuf b = {0};
  char text[128];
  strbuf_printf(&b, "%s[", dtype_name((enum dtype)port->dtype));
  for (size_t i = 0; i < port->n_dims; i++)
    strbuf_printf(&b, "%s%s", i ? "," : "",
                  plan_expr_text(&in->plan, port->dims[i], text, sizeof text));
  strbuf_char(&b, ']');
  const char *copy = arena_strdup(&in->v->arena, b.data);
  strbuf_deinit(&b);
  return copy;
}

/* "1..64", "" where nothing is bounded */
static const char *symbol_bounds(const struct inspector *in, const Engine__Symbol *s) {
  if (s->hi == INT64_MAX)
    return arena_printf(&in->v->arena, "%lld..", (long long)s->lo);
  return arena_printf(&in->v->arena, "%lld..%lld", (long long)s->lo, (long long)s->hi);
}

/* Launches of kernel `k`, and the ONNX nodes they came from. */
struct kernel_use {
  uint32_t launches;
  uint32_t provenance; /* of the first launch; UINT32_MAX: none */
};

static struct kernel_use *kernel_uses(const struct inspector *in) {
  const Engine__Manifest *m = in->plan.manifest;
  struct kernel_use *uses = ARENA_ARRAY(&in->v->arena, struct kernel_use, m->n_kernels);
  for (size_t k = 0; k < m->n_kernels; k++)
    uses[k].provenance = UINT32_MAX;
  for (size_t b = 0; b < m->n_blocks; b++)
    for (size_t i = 0; i < m->blocks[b]->n_steps; i++) {
      const Engine__Step *step = m->blocks[b]->steps[i];
      if (step->body_case != ENGINE__STEP__BODY_LAUNCH)
        continue;
      struct kernel_use *use = &uses[step->launch->kernel];
      if (!use->launches++ && step->n_provenance)
        use->provenance = step->provenance[0];
    }
  return uses;
}

static uint64_t weight_bytes(const Engine__Manifest *m) {
  uint64_t sum = 0;
  for (size_t i = 0; i < m->n_constants; i++)
    sum += m->constants[i]->bytes;
  return sum;
}

/* ---- for people ---- */

/* What made a section's code, of a GPU's own: "ptxas 13.0.88"; "" of others. */
static const char *section_assembler(const struct inspector *in, uint32_t section) {
  const Engine__Manifest *m = in->plan.manifest;
  for (size_t i = 0; i < m->n_targets; i++)
    if (m->targets[i]->section == section && m->targets[i]->form == ENGINE__CODE_FORM__CUBIN)
      return plan_string(&in->plan, m->targets[i]->assembler);
  return "";
}

static void print_sections(const struct inspector *in) {
  printf("\nsections\n");
  for (uint32_t i = 0; i < in->file.section_count; i++) {
    const struct engine_section *s = &in->file.sections[i];
    const char *assembler = section_assembler(in, i);
    printf("  %-9s %12llu B  %s  %.*s%s%s\n", section_name(s->kind), (unsigned long long)s->bytes,
           hex_digest(&in->v->arena, s->digest), (int)sizeof s->target, s->target,
           *assembler ? ", cubin by " : "", assembler);
  }
}

static void print_ports(const struct inspector *in, const char *what, Engine__Port *const *ports,
                        size_t n) {
  for (size_t i = 0; i < n; i++)
    printf("  %-7s %s: %s%s\n", what, plan_string(&in->plan, ports[i]->name),
           port_type(in, ports[i]), ports[i]->optional ? " (optional)" : "");
}

static void print_entries(const struct inspector *in) {
  const Engine__Manifest *m = in->plan.manifest;
  for (size_t i = 0; i < m->n_entries; i++) {
    printf("\nentry %s\n", plan_string(&in->plan, m->entries[i]->name));
    print_ports(in, "input", m->entries[i]->inputs, m->entries[i]->n_inputs);
    print_ports(in, "output", m->entries[i]->outputs, m->entries[i]->n_outputs);
  }
  if (m->n_symbols > 1)
    printf("\ndims\n");
  for (size_t i = 1; i < m->n_symbols; i++)
    printf("  %s: %s\n", plan_string(&in->plan, m->symbols[i]->name),
           symbol_bounds(in, m->symbols[i]));
}

static void print_kernels(const struct inspector *in) {
  const Engine__Manifest *m = in->plan.manifest;
  const struct kernel_use *uses = kernel_uses(in);
  char text[256];
  if (m->n_kernels)
    printf("\nkernels\n");
  for (size_t i = 0; i < m->n_kernels; i++) {
    const char *node = plan_provenance_text(&in->plan, uses[i].provenance, text, sizeof text);
    printf("  %-32s %5u launch%s  %s\n", plan_string(&in->plan, m->kernels[i]->name),
           uses[i].launches, uses[i].launches == 1 ? "  " : "es", node ? node : "");
  }
}

static void print_constants(const struct inspector *in) {
  const Engine__Manifest *m = in->plan.manifest;
  if (m->n_constants)
    printf("\nweights\n");
  for (size_t i = 0; i < m->n_constants; i++) {
    const Engine__Constant *c = m->constants[i];
    printf("  %-40s %s[", plan_string(&in->plan, c->name), dtype_name((enum dtype)c->dtype));
    for (size_t k = 0; k < c->n_dims; k++)
      printf("%s%lld", k ? "," : "", (long long)c->dims[k]);
    printf("] %llu B\n", (unsigned long long)c->bytes);
  }
}

static void print_report(const struct inspector *in) {
  const Engine__Manifest *m = in->plan.manifest;
  printf("%s: engine, format %u, by %s, %llu B\n", in->v->options.arguments[0],
         ENGINE_FORMAT_VERSION, m->producer, (unsigned long long)in->file.bytes);
  printf("%zu kernels, %zu constants of %llu B, %u rank%s\n", m->n_kernels, m->n_constants,
         (unsigned long long)weight_bytes(m), m->ranks ? m->ranks : 1, m->ranks > 1 ? "s" : "");
  print_sections(in);
  print_entries(in);
  if (option_given(&in->v->options, OPT_KERNELS))
    print_kernels(in);
  if (option_given(&in->v->options, OPT_WEIGHTS))
    print_constants(in);
  if (option_given(&in->v->options, OPT_PLAN)) {
    putchar('\n');
    plan_print(&in->plan, stdout);
  }
}

/* ---- for programs ---- */

static void key_string(struct json *j, const char *key, const char *value) {
  json_key(j, key);
  json_string(j, value);
}

static void key_number(struct json *j, const char *key, uint64_t value) {
  json_key(j, key);
  json_u64(j, value);
}

static void json_sections(const struct inspector *in, struct json *j) {
  json_key(j, "sections");
  json_array_begin(j);
  for (uint32_t i = 0; i < in->file.section_count; i++) {
    const struct engine_section *s = &in->file.sections[i];
    json_object_begin(j);
    key_string(j, "kind", section_name(s->kind));
    key_number(j, "offset", s->offset);
    key_number(j, "bytes", s->bytes);
    key_string(j, "digest", hex_digest(&in->v->arena, s->digest));
    if (s->target[0])
      key_string(j, "target", s->target);
    if (*section_assembler(in, i))
      key_string(j, "cubin_by", section_assembler(in, i));
    json_object_end(j);
  }
  json_array_end(j);
}

static void json_ports(const struct inspector *in, struct json *j, const char *key,
                       Engine__Port *const *ports, size_t n) {
  char text[128];
  json_key(j, key);
  json_array_begin(j);
  for (size_t i = 0; i < n; i++) {
    json_object_begin(j);
    key_string(j, "name", plan_string(&in->plan, ports[i]->name));
    key_string(j, "dtype", dtype_name((enum dtype)ports[i]->dtype));
    json_key(j, "dims");
    json_array_begin(j);
    for (size_t k = 0; k < ports[i]->n_dims; k++)
      json_string(j, plan_expr_text(&in->plan, ports[i]->dims[k], text, sizeof text));
    json_array_end(j);
    json_key(j, "optional"), json_bool(j, ports[i]->optional);
    json_object_end(j);
  }
  json_array_end(j);
}

static void json_entries(const struct inspector *in, struct json *j) {
  const Engine__Manifest *m = in->plan.manifest;
  json_key(j, "entries");
  json_array_begin(j);
  for (size_t i = 0; i < m->n_entries; i++) {
    json_object_begin(j);
    key_string(j, "name", plan_string(&in->plan, m->entries[i]->name));
    json_ports(in, j, "inputs", m->entries[i]->inputs, m->entries[i]->n_inputs);
    json_ports(in, j, "outputs", m->entries[i]->outputs, m->entries[i]->n_outputs);
    json_object_end(j);
  }
  json_array_end(j);
  json_key(j, "dims");
  json_array_begin(j);
  for (size_t i = 1; i < m->n_symbols; i++) {
    json_object_begin(j);
    key_string(j, "name", plan_string(&in->plan, m->symbols[i]->name));
    json_key(j, "lo"), json_i64(j, m->symbols[i]->lo);
    json_key(j, "hi"), json_i64(j, m->symbols[i]->hi);
    json_object_end(j);
  }
  json_array_end(j);
}

static void json_kernels(const struct inspector *in, struct json *j) {
  const Engine__Manifest *m = in->plan.manifest;
  const struct kernel_use *uses = kernel_uses(in);
  char text[256];
  json_key(j, "kernels");
  json_array_begin(j);
  for (size_t i = 0; i < m->n_kernels; i++) {
    const char *node = plan_provenance_text(&in->plan, uses[i].provenance, text, sizeof text);
    json_object_begin(j);
    key_string(j, "name", plan_string(&in->plan, m->kernels[i]->name));
    key_number(j, "launches", uses[i].launches);
    if (m->kernels[i]->block_threads)
      key_number(j, "block_threads", m->kernels[i]->block_threads);
    if (m->kernels[i]->shared_bytes)
      key_number(j, "shared_bytes", m->kernels[i]->shared_bytes);
    key_string(j, "node", node ? node : "");
    json_object_end(j);
  }
  json_array_end(j);
}

static void json_constants(const struct inspector *in, struct json *j) {
  const Engine__Manifest *m = in->plan.manifest;
  json_key(j, "weights");
  json_array_begin(j);
  for (size_t i = 0; i < m->n_constants; i++) {
    const Engine__Constant *c = m->constants[i];
    json_object_begin(j);
    key_string(j, "name", plan_string(&in->plan, c->name));
    key_string(j, "dtype", dtype_name((enum dtype)c->dtype));
    json_key(j, "dims");
    json_array_begin(j);
    for (size_t k = 0; k < c->n_dims; k++)
      json_i64(j, c->dims[k]);
    json_array_end(j);
    key_number(j, "bytes", c->bytes);
    if (c->digest.len == 16)
      key_string(j, "digest", hex_digest(&in->v->arena, c->digest.data));
    json_object_end(j);
  }
  json_array_end(j);
}

static void json_report(const struct inspector *in) {
  struct json *j = &in->v->json;
  const Engine__Manifest *m = in->plan.manifest;
  key_string(j, "file", in->v->options.arguments[0]);
  key_number(j, "format", ENGINE_FORMAT_VERSION);
  key_string(j, "producer", m->producer);
  key_number(j, "bytes", in->file.bytes);
  key_number(j, "ranks", m->ranks ? m->ranks : 1);
  key_number(j, "weight_bytes", weight_bytes(m));
  json_sections(in, j);
  json_entries(in, j);
  json_kernels(in, j);
  json_constants(in, j);
}

status verb_inspect(struct invocation *v) {
  static const enum option_id of_text[] = {OPT_KERNELS, OPT_WEIGHTS, OPT_PLAN, OPT_COUNT};
  struct inspector in = {.v = v};
  if (v->as_json && options_refuse(&v->options, of_text, "has no effect on JSON", &v->diags))
    return STATUS_USAGE;
  fault_clear();
  status s = engine_file_open(&in.file, v->options.arguments[0]);
  if (s)
    return runtime_error_to_diags((sinter_status)s, &v->diags);
  s = plan_load(&in.plan, &in.file);
  if (s) {
    s = runtime_error_to_diags((sinter_status)s, &v->diags);
    engine_file_close(&in.file);
    return s;
  }
  if (v->as_json)
    json_report(&in);
  else
    print_report(&in);
  plan_unload(&in.plan);
  engine_file_close(&in.file);
  return STATUS_OK;
}
