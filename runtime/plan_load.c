/* SPDX-License-Identifier: Apache-2.0 */
/* From manifest bytes to a checked plan: the tables. Steps are checked by plan_load_steps.c. */
#include "runtime/plan_load.h"

#include "base/checked.h"
#include "base/mem.h"
#include "runtime/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char rebuild_hint[] = "compile the model again with this release";

status loader_fail(struct plan_loader *l, const char *format, ...) {
  char text[256], where[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (l->block)
    snprintf(where, sizeof where, "%s: block %u, step %u", l->file->path, l->block, l->step);
  else
    snprintf(where, sizeof where, "%s", l->file->path);
  return fault_report(DIAG_E0507, where, rebuild_hint, "the engine's plan is not consistent: %s",
                      text);
}

status loader_index(struct plan_loader *l, const char *what, uint32_t index, size_t count) {
  if (index < count)
    return STATUS_OK;
  return loader_fail(l, "%s %u of %zu", what, index, count);
}

status loader_expr(struct plan_loader *l, uint32_t expr) {
  return loader_index(l, "dim expression", expr, l->m->n_dim_exprs);
}

status loader_value(struct plan_loader *l, uint32_t value) {
  return value ? loader_index(l, "value", value, l->m->n_values)
               : loader_fail(l, "a value is missing");
}

status loader_relate(struct plan_loader *l, const Engine__Relate *relate) {
  status s = loader_expr(l, relate->a);
  if (!s)
    s = loader_expr(l, relate->b);
  if (!s && (unsigned)relate->relation > ENGINE__RELATION__LE)
    s = loader_fail(l, "relation %d", relate->relation);
  return s;
}

/* --- Decoding --- */

/* protobuf-c has no bound of its own: two bytes can become a struct. */
struct budget {
  size_t left;
  bool exceeded, no_memory;
};

#define BUDGET_PER_BYTE 160u
#define BUDGET_SLACK ((size_t)64 << 10)

static void *budget_alloc(void *data, size_t bytes) {
  struct budget *budget = data;
  size_t charge;
  if (!size_add(bytes, 32, &charge) || charge > budget->left) {
    budget->exceeded = true;
    return NULL;
  }
  void *p = mem_try_alloc(bytes);
  if (p)
    budget->left -= charge;
  else
    budget->no_memory = true;
  return p;
}

static void budget_free(void *data, void *p) {
  (void)data;
  mem_free(p);
}

static status decode(struct plan *plan, const struct engine_file *file) {
  size_t bytes = (size_t)file->manifest->bytes;
  struct budget budget = {.left = bytes * BUDGET_PER_BYTE + BUDGET_SLACK};
  ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
  uint64_t before = budget.left;
  plan->manifest =
      engine__manifest__unpack(&allocator, bytes, engine_file_bytes(file, file->manifest));
  if (plan->manifest)
    return STATUS_OK;
  if (budget.exceeded)
    return fault_report(DIAG_E0511, file->path, rebuild_hint,
                        "the engine's manifest would take more than %llu B",
                        (unsigned long long)before);
  if (budget.no_memory)
    return fault_no_memory("the engine's manifest", bytes);
  return fault_report(DIAG_E0506, file->path, rebuild_hint,
                      "the engine's manifest cannot be decoded");
}

void plan_unload(struct plan *plan) {
  ProtobufCAllocator allocator = {budget_alloc, budget_free, NULL};
  if (plan->manifest)
    engine__manifest__free_unpacked(plan->manifest, &allocator);
  pool_deinit(&plan->pool);
  *plan = (struct plan){0};
}

/* --- Tables --- */

static status check_counts(struct plan_loader *l) {
  const Engine__Manifest *m = l->m;
  const struct {
    const char *what;
    size_t count, least;
  } tables[] = {
      {"strings", m->n_strings, 1}, {"dim_exprs", m->n_dim_exprs, 1},
      {"symbols", m->n_symbols, 1}, {"constants", m->n_constants, 0},
      {"targets", m->n_targets, 0}, {"kernels", m->n_kernels, 0},
      {"values", m->n_values, 1},   {"blocks", m->n_blocks, 1},
      {"entries", m->n_entries, 0}, {"provenance", m->n_provenance, 0},
      {"phases", m->phases, 0},
  };
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
    if (tables[i].count < tables[i].least || tables[i].count > ENGINE_MAX_ROWS)
      return loader_fail(l, "%zu %s", tables[i].count, tables[i].what);
  if (m->phases > m->n_values + m->n_blocks)
    return loader_fail(l, "%u phases for %zu values", m->phases, m->n_values);
  if (m->strings[0][0] || m->blocks[0]->n_steps || m->values[0]->storage != ENGINE__STORAGE__NONE ||
      m->dim_exprs[0]->kind != EXPR_CONST || m->dim_exprs[0]->value)
    return loader_fail(l, "a first row is not neutral");
  return STATUS_OK;
}

static status check_exprs(struct plan_loader *l) {
  const Engine__Manifest *m = l->m;
  for (uint32_t i = 0; i < m->n_dim_exprs; i++) {
    const Engine__DimExpr *e = m->dim_exprs[i];
    status s = STATUS_OK;
    switch (e->kind) {
    case EXPR_CONST: break;
    case EXPR_SYMBOL:
      s = e->a ? loader_index(l, "symbol", e->a, m->n_symbols)
               : loader_fail(l, "a symbol is missing");
      break;
    case EXPR_COORD:
      s = loader_index(l, "axis", e->a, m->n_mesh);
      if (!s && e->value != m->mesh[e->a]->size)
        s = loader_fail(l, "a coordinate along axis %u of %lld ranks", e->a, (long long)e->value);
      break;
    default:
      if (e->kind >= EXPR_ADD && e->kind <= EXPR_EXACTDIV) {
        s = loader_index(l, "operand", e->a, i);
        if (!s)
          s = loader_index(l, "operand", e->b, i);
      } else {
        s = loader_fail(l, "dim expression %u is of kind %u", i, e->kind);
      }
    }
    if (s)
      return s;
  }
  return STATUS_OK;
}

/*
 * The first dependent expression of each symbol. Operands come before users, so a change of a
 * symbol leaves what comes before it as it is: the first SYMBOL row itself is the answer.
 */
static status note_symbol_uses(struct plan_loader *l) {
  const Engine__Manifest *m = l->m;
  uint32_t *uses = POOL_ARRAY(&l->plan->pool, uint32_t, m->n_symbols);
  if (!uses)
    return STATUS_RESOURCES;
  for (size_t i = 0; i < m->n_symbols; i++)
    uses[i] = (uint32_t)m->n_dim_exprs;
  for (uint32_t i = (uint32_t)m->n_dim_exprs; i-- > 0;)
    if (m->dim_exprs[i]->kind == EXPR_SYMBOL)
      uses[m->dim_exprs[i]->a] = i;
  l->plan->symbol_first_use = uses;
  return STATUS_OK;
}

static status check_symbols(struct plan_loader *l) {
  for (size_t i = 0; i < l->m->n_symbols; i++) {
    const Engine__Symbol *symbol = l->m->symbols[i];
    status s = loader_index(l, "string", symbol->name, l->m->n_strings);
    if (!s && symbol->lo > symbol->hi)
      s = loader_fail(l, "symbol %zu has bounds %lld..%lld", i, (long long)symbol->lo,
                      (long long)symbol->hi);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status check_dtype(struct plan_loader *l, uint32_t dtype) {
  if (dtype < DTYPE_COUNT && dtype_bits((enum dtype)dtype))
    return STATUS_OK;
  return loader_fail(l, "element type %u", dtype);
}

/* Relative, and never up: the files lie beneath a folder. */
static bool is_path_beneath(const char *path) {
  if (!*path || *path == '/')
    return false;
  for (const char *p = path; *p;) {
    size_t n = strcspn(p, "/");
    if (n == 2 && p[0] == '.' && p[1] == '.')
      return false;
    p += n + (p[n] == '/');
  }
  return true;
}

static status check_weight_files(struct plan_loader *l) {
  for (size_t i = 0; i < l->m->n_weight_files; i++) {
    const Engine__WeightFile *f = l->m->weight_files[i];
    status s = loader_index(l, "string", f->path, l->m->n_strings);
    if (!s && (!is_path_beneath(l->m->strings[f->path]) || !f->bytes || f->bytes > INT64_MAX))
      s = loader_fail(l, "weight file %zu is '%s' of %llu B", i, l->m->strings[f->path],
                      (unsigned long long)f->bytes);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status check_constants(struct plan_loader *l) {
  uint64_t section = l->file->weights ? l->file->weights->bytes : 0;
  for (size_t i = 0; i < l->m->n_constants; i++) {
    const Engine__Constant *c = l->m->constants[i];
    status s = loader_index(l, "string", c->name, l->m->n_strings);
    if (!s)
      s = check_dtype(l, c->dtype);
    if (!s && c->file)
      s = loader_index(l, "weight file", c->file - 1, l->m->n_weight_files);
    if (s)
      return s;
    uint64_t weights = c->file ? l->m->weight_files[c->file - 1]->bytes : section;
    if (!s && (!range_inside(c->offset, c->bytes, weights) || c->offset % ENGINE_WEIGHT_ALIGNMENT))
      s = loader_fail(l, "constant %zu lies at %llu + %llu B of %llu", i,
                      (unsigned long long)c->offset, (unsigned long long)c->bytes,
                      (unsigned long long)weights);
    if (!s && (c->n_dims > ENGINE_MAX_RANK || (c->digest.len && c->digest.len != 16)))
      s = loader_fail(l, "constant %zu has %zu dims and a digest of %zu B", i, c->n_dims,
                      c->digest.len);
    if (!s)
      s = loader_constant_parts(l, (uint32_t)i);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status check_targets(struct plan_loader *l) {
  for (size_t i = 0; i < l->m->n_targets; i++) {
    const Engine__Target *target = l->m->targets[i];
    status s = loader_index(l, "string", target->name, l->m->n_strings);
    if (!s)
      s = loader_index(l, "section", target->section, l->file->section_count);
    if (s)
      return s;
    const struct engine_section *section = &l->file->sections[target->section];
    if (section->kind != ENGINE_SECTION_CODE ||
        strcmp(section->target, plan_string(l->plan, target->name)) != 0)
      return loader_fail(l, "target %zu has section %u, which is not its code", i, target->section);
    s = loader_index(l, "string", target->assembler, l->m->n_strings);
    if (!s && target->form != ENGINE__CODE_FORM__PORTABLE &&
        target->form != ENGINE__CODE_FORM__CUBIN)
      s = loader_fail(l, "target %zu is code of form %d", i, (int)target->form);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status check_kernels(struct plan_loader *l) {
  const Engine__Manifest *m = l->m;
  for (size_t i = 0; i < m->n_kernels; i++) {
    const Engine__Kernel *kernel = m->kernels[i];
    status s = loader_index(l, "string", kernel->name, m->n_strings);
    if (!s && kernel->n_code_offsets != m->n_targets)
      s = loader_fail(l, "kernel %zu has %zu code offsets for %zu targets", i,
                      kernel->n_code_offsets, m->n_targets);
    for (size_t t = 0; !s && t < m->n_targets; t++)
      if (kernel->code_offsets[t] >= l->file->sections[m->targets[t]->section].bytes)
        s = loader_fail(l, "kernel %zu begins after the end of its code", i);
    if (!s && (uint64_t)kernel->buffer_count + kernel->dim_count > ENGINE_MAX_ARGUMENTS)
      s = loader_fail(l, "kernel %zu has %u buffers and %u dims", i, kernel->buffer_count,
                      kernel->dim_count);
    if (!s && (kernel->block_threads > GPU_MOST_THREADS || kernel->block_threads % 32))
      s = loader_fail(l, "kernel %zu has blocks of %u threads", i, kernel->block_threads);
    if (!s && kernel->shared_bytes > GPU_MOST_SHARED)
      s = loader_fail(l, "kernel %zu has %u B of shared memory", i, kernel->shared_bytes);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status check_dims(struct plan_loader *l, const uint32_t *dims, size_t n) {
  if (n > ENGINE_MAX_RANK)
    return loader_fail(l, "%zu dims", n);
  for (size_t i = 0; i < n; i++) {
    status s = loader_expr(l, dims[i]);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status check_storage(struct plan_loader *l, uint32_t i, uint32_t *alias_depth) {
  const Engine__Value *v = l->m->values[i];
  struct plan_value *pv = &l->plan->values[i];
  *pv = (struct plan_value){.storage = (uint8_t)v->storage,
                            .bytes = v->bytes,
                            .index = v->index,
                            .alias_of = v->alias_of,
                            .offset = v->offset,
                            .part = v->part,
                            .root = i,
                            .buffer = PLAN_NO_BUFFER,
                            .spare = PLAN_NO_BUFFER};
  switch (v->storage) {
  case ENGINE__STORAGE__CONSTANT:
    return v->part >= l->m->n_dim_exprs ? loader_expr(l, v->part)
                                        : loader_index(l, "constant", v->index, l->m->n_constants);
  case ENGINE__STORAGE__INPUT: return STATUS_OK; /* entries check them */
  case ENGINE__STORAGE__ARENA:
    if (v->first > v->last)
      return loader_fail(l, "value %u lives from step %u to step %u", i, v->first, v->last);
    return loader_index(l, "phase", v->phase, l->m->phases);
  case ENGINE__STORAGE__OUTPUT: return loader_index(l, "phase", v->phase, l->m->phases);
  case ENGINE__STORAGE__DYNAMIC: pv->buffer = l->plan->buffer_count++; return STATUS_OK;
  case ENGINE__STORAGE__ALIAS:
    if (!v->alias_of || v->alias_of >= i || alias_depth[v->alias_of] >= ENGINE_MAX_NESTING)
      return loader_fail(l, "value %u is an alias of value %u", i, v->alias_of);
    alias_depth[i] = alias_depth[v->alias_of] + 1;
    pv->root = l->plan->values[v->alias_of].root;
    return loader_expr(l, v->offset);
  default: return loader_fail(l, "value %u has storage %d", i, v->storage);
  }
}

static status check_values(struct plan_loader *l) {
  const Engine__Manifest *m = l->m;
  uint32_t *alias_depth = POOL_ARRAY(&l->plan->pool, uint32_t, m->n_values);
  l->plan->values = POOL_ARRAY(&l->plan->pool, struct plan_value, m->n_values);
  if (!l->plan->values || !alias_depth)
    return STATUS_RESOURCES;
  l->plan->values[0] = (struct plan_value){.buffer = PLAN_NO_BUFFER, .spare = PLAN_NO_BUFFER};
  for (uint32_t i = 1; i < m->n_values; i++) {
    const Engine__Value *v = m->values[i];
    status s = loader_index(l, "string", v->name, m->n_strings);
    if (!s)
      s = check_dtype(l, v->dtype);
    if (!s)
      s = check_dims(l, v->dims, v->n_dims);
    if (!s)
      s = loader_expr(l, v->bytes);
    if (!s)
      s = check_storage(l, i, alias_depth);
    if (s)
      return s;
  }
  return STATUS_OK;
}

/* Lists each phase's values, in order: count, divide one array, fill. */
static status note_phases(struct plan_loader *l) {
  const Engine__Manifest *m = l->m;
  struct plan *plan = l->plan;
  plan->phases = POOL_ARRAY(&plan->pool, struct plan_phase, m->phases);
  uint32_t *lists = POOL_ARRAY(&plan->pool, uint32_t, m->n_values);
  if (!plan->phases || !lists)
    return STATUS_RESOURCES;
  for (uint32_t i = 1; i < m->n_values; i++) {
    if (m->values[i]->storage == ENGINE__STORAGE__ARENA)
      plan->phases[m->values[i]->phase].arena_count++;
    else if (m->values[i]->storage == ENGINE__STORAGE__OUTPUT)
      plan->phases[m->values[i]->phase].output_count++;
  }
  for (uint32_t p = 0; p < m->phases; p++) {
    struct plan_phase *phase = &plan->phases[p];
    phase->arena = lists;
    phase->outputs = lists += phase->arena_count;
    lists += phase->output_count;
    phase->arena_count = phase->output_count = 0;
  }
  for (uint32_t i = 1; i < m->n_values; i++) {
    struct plan_phase *phase =
        &plan->phases[m->values[i]->phase < m->phases ? m->values[i]->phase : 0];
    if (m->values[i]->storage == ENGINE__STORAGE__ARENA) {
      phase->arena[phase->arena_count++] = i;
    } else if (m->values[i]->storage == ENGINE__STORAGE__OUTPUT) {
      phase->outputs[phase->output_count++] = i;
    }
  }
  return STATUS_OK;
}

static status check_provenance(struct plan_loader *l) {
  for (size_t i = 0; i < l->m->n_provenance; i++) {
    status s = loader_index(l, "string", l->m->provenance[i]->node, l->m->n_strings);
    if (!s)
      s = loader_index(l, "string", l->m->provenance[i]->op, l->m->n_strings);
    if (s)
      return s;
  }
  return STATUS_OK;
}

/* --- Entries --- */

static status check_port(struct plan_loader *l, const Engine__Port *port, Engine__Storage storage,
                         uint32_t position) {
  status s = loader_index(l, "string", port->name, l->m->n_strings);
  if (!s)
    s = check_dtype(l, port->dtype);
  if (!s)
    s = check_dims(l, port->dims, port->n_dims);
  if (!s)
    s = loader_value(l, port->value);
  if (s)
    return s;
  const Engine__Value *v = l->m->values[port->value];
  if (v->storage != storage || v->index != position)
    return loader_fail(l, "port %u '%s' has a value that is not its own", position,
                       plan_string(l->plan, port->name));
  if (!port->optional)
    return STATUS_OK;
  s = loader_value(l, port->fallback);
  if (!s && (storage != ENGINE__STORAGE__INPUT ||
             l->m->values[port->fallback]->storage != ENGINE__STORAGE__CONSTANT))
    s = loader_fail(l, "port '%s' has no constant to stand in for it",
                    plan_string(l->plan, port->name));
  return s;
}

static status check_ports(struct plan_loader *l, Engine__Port **ports, size_t n,
                          Engine__Storage storage) {
  if (n > ENGINE_MAX_ROWS)
    return loader_fail(l, "%zu inputs or outputs", n);
  for (uint32_t i = 0; i < n; i++) {
    status s = check_port(l, ports[i], storage, i);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status check_variant(struct plan_loader *l, const Engine__Variant *variant) {
  for (size_t i = 0; i < variant->n_guards; i++) {
    status s = loader_relate(l, variant->guards[i]);
    if (s)
      return s;
  }
  status s = variant->once ? loader_child_block(l, variant->once) : STATUS_OK;
  return s ? s : loader_child_block(l, variant->block);
}

static status check_entries(struct plan_loader *l) {
  for (size_t i = 0; i < l->m->n_entries; i++) {
    const Engine__Entry *entry = l->m->entries[i];
    status s = loader_index(l, "string", entry->name, l->m->n_strings);
    if (!s)
      s = check_ports(l, entry->inputs, entry->n_inputs, ENGINE__STORAGE__INPUT);
    if (!s)
      s = check_ports(l, entry->outputs, entry->n_outputs, ENGINE__STORAGE__OUTPUT);
    if (!s)
      s = loader_states(l, entry);
    for (size_t v = 0; !s && v < entry->n_variants; v++)
      s = check_variant(l, entry->variants[v]);
    if (s)
      return s;
  }
  return STATUS_OK;
}

status loader_child_block(struct plan_loader *l, uint32_t block) {
  if (block == 0)
    return STATUS_OK;
  status s = loader_index(l, "block", block, l->m->n_blocks);
  if (s)
    return s;
  if (block <= l->block || l->block_depth[block])
    return loader_fail(l, "block %u is held twice or by a later one", block);
  unsigned depth = l->block ? l->block_depth[l->block] + 1u : 1u;
  if (depth > ENGINE_MAX_NESTING)
    return loader_fail(l, "blocks are nested more than %u deep", ENGINE_MAX_NESTING);
  l->block_depth[block] = (uint8_t)depth;
  return STATUS_OK;
}

static status loader_run(struct plan_loader *l) {
  static status (*const checks[])(struct plan_loader *) = {
      check_counts,       loader_mesh,      check_exprs,   note_symbol_uses,       check_symbols,
      check_weight_files, check_constants,  check_targets, check_kernels,          check_values,
      note_phases,        check_provenance, check_entries, loader_count_exchanges, loader_blocks,
  };
  for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
    status s = checks[i](l);
    if (s)
      return s;
  }
  return STATUS_OK;
}

static status loader_init(struct plan_loader *l) {
  struct pool *pool = &l->plan->pool;
  l->block_depth = pool_alloc(pool, l->m->n_blocks, 1);
  l->next_uses = POOL_ARRAY(pool, uint32_t, l->m->n_values);
  l->is_param = pool_alloc(pool, l->m->n_values, 1);
  return l->block_depth && l->next_uses && l->is_param ? STATUS_OK : STATUS_RESOURCES;
}

status plan_load(struct plan *plan, const struct engine_file *file) {
  *plan = (struct plan){0};
  pool_init(&plan->pool);
  status s = decode(plan, file);
  struct plan_loader l = {.plan = plan, .m = plan->manifest, .file = file};
  if (!s)
    s = loader_init(&l);
  if (!s)
    s = loader_run(&l);
  if (s)
    plan_unload(plan);
  return s;
}
