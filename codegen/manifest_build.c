/* SPDX-License-Identifier: Apache-2.0 */
/* Growing the manifest's tables; see manifest_build.h. */
#include "codegen/manifest_build.h"

#include <string.h>

/* Room for one more element: capacities are powers of two, so the count alone says when to grow. */
static void *grow(struct arena *arena, const void *data, size_t n, size_t size) {
  if (n & (n - 1))
    return (void *)(uintptr_t)data;
  void *more = arena_alloc_array(arena, n ? 2 * n : 1, size);
  if (n)
    memcpy(more, data, n * size);
  return more;
}

#define APPEND(b, owner, list, item)                                                               \
  ((owner)->list = grow((b)->arena, (owner)->list, (owner)->n_##list, sizeof *(owner)->list),      \
   (owner)->list[(owner)->n_##list] = (item), (uint32_t)(owner)->n_##list++)

#define NEW_MESSAGE(b, variable, type, prefix)                                                     \
  Engine__##type *variable = ARENA_NEW((b)->arena, Engine__##type);                                \
  engine__##prefix##__init(variable)

/* A row given by value may have been zero-initialised: it still needs protobuf-c's descriptor. */
#define COPY_MESSAGE(b, variable, type, prefix, row)                                               \
  Engine__##type *variable = ARENA_NEW((b)->arena, Engine__##type);                                \
  Engine__##type variable##_empty;                                                                 \
  engine__##prefix##__init(&variable##_empty);                                                     \
  *variable = (row);                                                                               \
  variable->base = variable##_empty.base

static uint32_t *copy_ids(struct manifest_build *b, const uint32_t *ids, size_t n) {
  return n ? arena_memdup(b->arena, ids, n * sizeof *ids) : NULL;
}

void manifest_build_init(struct manifest_build *b, struct arena *arena) {
  *b = (struct manifest_build){.arena = arena};
  engine__manifest__init(&b->manifest);
  strmap_init(&b->strings);
  strmap_init(&b->exprs);
  manifest_build_string(b, "");
  manifest_build_const(b, 0);
  manifest_build_symbol(b, "", 0, 0);
  manifest_build_value(b, (Engine__Value){.storage = ENGINE__STORAGE__NONE}, NULL, 0);
  manifest_build_block(b);
}

void manifest_build_deinit(struct manifest_build *b) {
  strmap_deinit(&b->strings);
  strmap_deinit(&b->exprs);
}

uint32_t manifest_build_string(struct manifest_build *b, const char *text) {
  uint64_t id;
  if (!text)
    text = "";
  if (strmap_get_c(&b->strings, text, &id))
    return (uint32_t)id;
  strmap_put_c(&b->strings, text, b->manifest.n_strings);
  return APPEND(b, &b->manifest, strings, arena_strdup(b->arena, text));
}

uint32_t manifest_build_expr(struct manifest_build *b, enum expr_op kind, uint32_t lhs,
                             uint32_t rhs, int64_t value) {
  const struct {
    int64_t value;
    uint32_t kind, lhs, rhs, zero;
  } row = {value, kind, lhs, rhs, 0};
  uint64_t id;
  if (strmap_get(&b->exprs, (const char *)&row, sizeof row, &id))
    return (uint32_t)id;
  strmap_put(&b->exprs, (const char *)&row, sizeof row, b->manifest.n_dim_exprs);
  NEW_MESSAGE(b, e, DimExpr, dim_expr);
  e->kind = kind;
  e->a = lhs;
  e->b = rhs;
  e->value = value;
  return APPEND(b, &b->manifest, dim_exprs, e);
}

uint32_t manifest_build_const(struct manifest_build *b, int64_t value) {
  return manifest_build_expr(b, EXPR_CONST, 0, 0, value);
}

uint32_t manifest_build_symbol_expr(struct manifest_build *b, uint32_t symbol) {
  return manifest_build_expr(b, EXPR_SYMBOL, symbol, 0, 0);
}

uint32_t manifest_build_symbol(struct manifest_build *b, const char *name, int64_t lo, int64_t hi) {
  NEW_MESSAGE(b, s, Symbol, symbol);
  s->name = manifest_build_string(b, name);
  s->lo = lo;
  s->hi = hi;
  return APPEND(b, &b->manifest, symbols, s);
}

uint32_t manifest_build_constant(struct manifest_build *b, Engine__Constant row,
                                 const int64_t *dims, size_t rank) {
  COPY_MESSAGE(b, c, Constant, constant, row);
  c->dims = rank ? arena_memdup(b->arena, dims, rank * sizeof *dims) : NULL;
  c->n_dims = rank;
  if (c->digest.len)
    c->digest.data = arena_memdup(b->arena, c->digest.data, c->digest.len);
  return APPEND(b, &b->manifest, constants, c);
}

uint32_t manifest_build_weight_file(struct manifest_build *b, const char *path, uint64_t bytes) {
  uint32_t name = manifest_build_string(b, path);
  for (size_t i = 0; i < b->manifest.n_weight_files; i++)
    if (b->manifest.weight_files[i]->path == name)
      return (uint32_t)i + 1;
  NEW_MESSAGE(b, f, WeightFile, weight_file);
  f->path = name;
  f->bytes = bytes;
  return 1 + APPEND(b, &b->manifest, weight_files, f);
}

uint32_t manifest_build_target(struct manifest_build *b, const char *name, uint32_t section,
                               const char *assembler) {
  NEW_MESSAGE(b, t, Target, target);
  t->name = manifest_build_string(b, name);
  t->section = section;
  t->form = *assembler ? ENGINE__CODE_FORM__CUBIN : ENGINE__CODE_FORM__PORTABLE;
  t->assembler = manifest_build_string(b, assembler);
  return APPEND(b, &b->manifest, targets, t);
}

uint32_t manifest_build_kernel(struct manifest_build *b, const char *name, Engine__Kernel row,
                               const uint64_t *code_offsets, size_t n_offsets) {
  COPY_MESSAGE(b, k, Kernel, kernel, row);
  k->name = manifest_build_string(b, name);
  k->n_code_offsets = n_offsets;
  k->code_offsets =
      n_offsets ? arena_memdup(b->arena, code_offsets, n_offsets * sizeof *code_offsets) : NULL;
  return APPEND(b, &b->manifest, kernels, k);
}

uint32_t manifest_build_value(struct manifest_build *b, Engine__Value row, const uint32_t *dims,
                              size_t rank) {
  COPY_MESSAGE(b, v, Value, value, row);
  v->dims = copy_ids(b, dims, rank);
  v->n_dims = rank;
  return APPEND(b, &b->manifest, values, v);
}

uint32_t manifest_build_provenance(struct manifest_build *b, const char *node, const char *op,
                                   int32_t node_index) {
  NEW_MESSAGE(b, p, Provenance, provenance);
  p->node = manifest_build_string(b, node);
  p->op = manifest_build_string(b, op);
  p->node_index = node_index;
  return APPEND(b, &b->manifest, provenance, p);
}

uint32_t manifest_build_block(struct manifest_build *b) {
  NEW_MESSAGE(b, block, Block, block);
  return APPEND(b, &b->manifest, blocks, block);
}

/* --- Entries --- */

uint32_t manifest_build_entry(struct manifest_build *b, const char *name) {
  NEW_MESSAGE(b, e, Entry, entry);
  e->name = manifest_build_string(b, name);
  return APPEND(b, &b->manifest, entries, e);
}

static Engine__Port *port_create(struct manifest_build *b, const char *name, uint32_t dtype,
                                 const uint32_t *dims, size_t rank, uint32_t value) {
  NEW_MESSAGE(b, port, Port, port);
  port->name = manifest_build_string(b, name);
  port->dtype = dtype;
  port->dims = copy_ids(b, dims, rank);
  port->n_dims = rank;
  port->value = value;
  return port;
}

Engine__Port *manifest_build_input(struct manifest_build *b, uint32_t entry, const char *name,
                                   uint32_t dtype, const uint32_t *dims, size_t rank,
                                   uint32_t value) {
  Engine__Port *port = port_create(b, name, dtype, dims, rank, value);
  APPEND(b, b->manifest.entries[entry], inputs, port);
  return port;
}

Engine__Port *manifest_build_output(struct manifest_build *b, uint32_t entry, const char *name,
                                    uint32_t dtype, const uint32_t *dims, size_t rank,
                                    uint32_t value) {
  Engine__Port *port = port_create(b, name, dtype, dims, rank, value);
  APPEND(b, b->manifest.entries[entry], outputs, port);
  return port;
}

void manifest_build_state(struct manifest_build *b, uint32_t entry, uint32_t input, uint32_t output,
                          uint32_t axis) {
  NEW_MESSAGE(b, state, State, state);
  state->input = input;
  state->output = output;
  state->axis = axis;
  APPEND(b, b->manifest.entries[entry], states, state);
}

Engine__Variant *manifest_build_variant(struct manifest_build *b, uint32_t entry, uint32_t block) {
  NEW_MESSAGE(b, variant, Variant, variant);
  variant->block = block;
  APPEND(b, b->manifest.entries[entry], variants, variant);
  return variant;
}

static Engine__Relate *relate_create(struct manifest_build *b, uint32_t lhs,
                                     Engine__Relation relation, uint32_t rhs) {
  NEW_MESSAGE(b, r, Relate, relate);
  r->a = lhs;
  r->relation = relation;
  r->b = rhs;
  return r;
}

void manifest_build_guard(struct manifest_build *b, Engine__Variant *variant, uint32_t lhs,
                          Engine__Relation relation, uint32_t rhs) {
  APPEND(b, variant, guards, relate_create(b, lhs, relation, rhs));
}

/* --- Steps --- */

static Engine__Step *step_add(struct manifest_build *b, uint32_t block, int kind) {
  NEW_MESSAGE(b, step, Step, step);
  step->body_case = (Engine__Step__BodyCase)kind;
  APPEND(b, b->manifest.blocks[block], steps, step);
  return step;
}

#define MANIFEST_STEP(type, field, prefix, kind)                                                   \
  Engine__##type *manifest_build_step_##field(struct manifest_build *b, uint32_t block) {          \
    NEW_MESSAGE(b, body, type, prefix);                                                            \
    step_add(b, block, kind)->field = body;                                                        \
    return body;                                                                                   \
  }
MANIFEST_STEP(Layout, layout, layout, PLAN_LAYOUT)
MANIFEST_STEP(Launch, launch, launch, PLAN_LAUNCH)
MANIFEST_STEP(Copy, copy, copy, PLAN_COPY)
MANIFEST_STEP(Fill, fill, fill, PLAN_FILL)
MANIFEST_STEP(Unpack, unpack, unpack, PLAN_UNPACK)
MANIFEST_STEP(Pack, pack, pack, PLAN_PACK)
MANIFEST_STEP(BindSymbol, bind_symbol, bind_symbol, PLAN_BIND_SYMBOL)
MANIFEST_STEP(SetSymbol, set_symbol, set_symbol, PLAN_SET_SYMBOL)
MANIFEST_STEP(Reserve, reserve, reserve, PLAN_RESERVE)
MANIFEST_STEP(If, if_, if, PLAN_IF)
MANIFEST_STEP(Loop, loop, loop, PLAN_LOOP)
MANIFEST_STEP(Host, host, host, PLAN_HOST)
#undef MANIFEST_STEP

Engine__Check *manifest_build_step_check(struct manifest_build *b, uint32_t block) {
  NEW_MESSAGE(b, check, Check, check);
  check->condition = relate_create(b, 0, ENGINE__RELATION__EQ, 0);
  step_add(b, block, PLAN_CHECK)->check = check;
  return check;
}

Engine__Exchange *manifest_build_step_exchange(struct manifest_build *b, uint32_t block) {
  NEW_MESSAGE(b, exchange, Exchange, exchange);
  exchange->number = b->exchanges++;
  step_add(b, block, PLAN_EXCHANGE)->exchange = exchange;
  return exchange;
}

Engine__Step *manifest_build_last_step(struct manifest_build *b, uint32_t block) {
  const Engine__Block *row = b->manifest.blocks[block];
  return row->steps[row->n_steps - 1];
}

void manifest_build_step_provenance(struct manifest_build *b, uint32_t block, const uint32_t *rows,
                                    size_t n) {
  Engine__Step *step = manifest_build_last_step(b, block);
  step->provenance = copy_ids(b, rows, n);
  step->n_provenance = n;
}

Engine__Launch *manifest_build_launch(struct manifest_build *b, uint32_t block, uint32_t kernel,
                                      const uint32_t *buffers, size_t n_buffers,
                                      const uint32_t *dims, size_t n_dims) {
  Engine__Launch *launch = manifest_build_step_launch(b, block);
  launch->kernel = kernel;
  launch->buffers = copy_ids(b, buffers, n_buffers);
  launch->n_buffers = n_buffers;
  launch->dims = copy_ids(b, dims, n_dims);
  launch->n_dims = n_dims;
  return launch;
}

void manifest_build_if_guard(struct manifest_build *b, Engine__If *branch, uint32_t lhs,
                             Engine__Relation relation, uint32_t rhs) {
  APPEND(b, branch, guards, relate_create(b, lhs, relation, rhs));
}

Engine__Carried *manifest_build_carried(struct manifest_build *b, Engine__Loop *loop, uint32_t init,
                                        uint32_t param, uint32_t next) {
  NEW_MESSAGE(b, carried, Carried, carried);
  carried->init = init;
  carried->param = param;
  carried->next = next;
  APPEND(b, loop, carried, carried);
  return carried;
}

void manifest_build_carried_dim(struct manifest_build *b, Engine__Carried *carried, uint32_t symbol,
                                uint32_t init, uint32_t next) {
  NEW_MESSAGE(b, dim, CarriedDim, carried_dim);
  dim->symbol = symbol;
  dim->init = init;
  dim->next = next;
  APPEND(b, carried, dims, dim);
}

void manifest_build_scan(struct manifest_build *b, Engine__Loop *loop, uint32_t element,
                         uint32_t result) {
  NEW_MESSAGE(b, scan, ScanOutput, scan_output);
  scan->element = element;
  scan->result = result;
  APPEND(b, loop, scans, scan);
}

uint32_t manifest_build_axis(struct manifest_build *b, const char *name, uint32_t size) {
  NEW_MESSAGE(b, axis, MeshAxis, mesh_axis);
  axis->name = manifest_build_string(b, name);
  axis->size = size;
  b->manifest.ranks = (b->manifest.ranks ? b->manifest.ranks : 1) * size;
  return APPEND(b, &b->manifest, mesh, axis);
}

void manifest_build_exchange_axis(struct manifest_build *b, Engine__Exchange *exchange,
                                  uint32_t axis, uint32_t sub_size, uint32_t sub_stride) {
  NEW_MESSAGE(b, ref, AxisRef, axis_ref);
  ref->axis = axis;
  ref->sub_size = sub_size;
  ref->sub_stride = sub_stride;
  APPEND(b, exchange, group, ref);
}

void manifest_build_exchange_part(struct manifest_build *b, Engine__Exchange *exchange,
                                  uint32_t src, uint32_t dst, uint32_t elements) {
  NEW_MESSAGE(b, part, ExchangePart, exchange_part);
  part->src = src;
  part->dst = dst;
  part->elements = elements;
  APPEND(b, exchange, parts, part);
}

void manifest_build_host_operands(struct manifest_build *b, Engine__Host *host,
                                  const uint32_t *operands, const uint32_t *elements, size_t n) {
  host->operands = copy_ids(b, operands, n);
  host->operand_elements = copy_ids(b, elements, n);
  host->n_operands = host->n_operand_elements = n;
}

void manifest_build_host_strings(struct manifest_build *b, const struct host_strings *strings) {
  Engine__Manifest *m = &b->manifest;
  m->n_host_strings = strings->count;
  m->host_strings = ARENA_ARRAY(b->arena, ProtobufCBinaryData, strings->count);
  for (uint32_t i = 0; i < strings->count; i++)
    m->host_strings[i] =
        (ProtobufCBinaryData){strings->items[i].size, (uint8_t *)strings->items[i].data};
}

void manifest_build_exchange_from(struct manifest_build *b, Engine__Exchange *exchange,
                                  const uint32_t *from, size_t n) {
  exchange->from = copy_ids(b, from, n);
  exchange->n_from = n;
}

const uint8_t *manifest_build_pack(struct manifest_build *b, size_t *out_bytes) {
  size_t bytes = engine__manifest__get_packed_size(&b->manifest);
  uint8_t *data = arena_alloc(b->arena, bytes);
  *out_bytes = engine__manifest__pack(&b->manifest, data);
  return data;
}
