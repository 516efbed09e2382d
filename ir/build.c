/* SPDX-License-Identifier: Apache-2.0 */
/* The builder's core: checks around the type rules of ops, creation of ops, reports. */
#include "ir/build.h"

#include "base/str.h"

#include <stdarg.h>
#include <string.h>

void builder_init(struct builder *b, struct function *f, region_id region, struct diags *diags) {
  *b = (struct builder){.function = f, .region = region, .diags = diags};
}

value_id builder_fail(struct builder *b, const char *format, ...) {
  struct strbuf text = {0};
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&text, format, args);
  va_end(args);
  struct diag_where where = b->where ? *b->where : module_where(b->function->module, b->provenance);
  diag_report(b->diags, DIAG_E0301, &where, NULL, "%s", strbuf_c(&text));
  strbuf_deinit(&text);
  b->failures++;
  return VALUE_NONE;
}

uint32_t op_results_room(const struct op_view *op) {
  const struct op_info *info = &op_infos[op->kind];
  uint32_t room = info->results_max == UINT32_MAX ? info->results_min : info->results_max;
  for (const struct attr_desc *d = info->attrs; d->name; d++) {
    if (d->kind != ATTR_TYPES)
      continue;
    const struct types *types = (const void *)((const char *)op->attrs + d->offset);
    room = types->len > room ? types->len : room;
  }
  for (uint32_t i = 0; i < op->n_regions; i++) {
    uint32_t results = op->function->regions.data[op->regions[i]].results.len;
    room = results > room ? results : room;
  }
  return room;
}

static bool refuse(struct strbuf *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool refuse(struct strbuf *why, const char *format, ...) {
  va_list args;
  va_start(args, format);
  strbuf_vprintf(why, format, args);
  va_end(args);
  return false;
}

static bool check_counts(const struct op_view *op, struct strbuf *why) {
  const struct op_info *info = &op_infos[op->kind];
  const struct function *f = op->function;
  if (op->n_operands < info->operands_min || op->n_operands > info->operands_max)
    return refuse(why, "%u operands", op->n_operands);
  if (op->n_regions != op_region_count(op->kind))
    return refuse(why, "%u regions, not %u", op->n_regions, op_region_count(op->kind));
  for (uint32_t i = 0; i < op->n_operands; i++) {
    if (op->operands[i] == VALUE_NONE || op->operands[i] >= f->values.len)
      return refuse(why, "operand %u is not a value of the function", i);
  }
  for (uint32_t i = 0; i < op->n_regions; i++) {
    if (op->regions[i] == 0 || op->regions[i] >= f->regions.len)
      return refuse(why, "region %u is not one of the function", i);
  }
  return true;
}

/* Spelled-out types come from outside: nothing past their rank may be read before this. */
static bool check_spelled(const struct op_view *op, struct strbuf *why) {
  for (const struct attr_desc *d = op_infos[op->kind].attrs; d->name; d++) {
    const void *field = (const char *)op->attrs + d->offset;
    struct types types = {0};
    if (d->kind == ATTR_TYPES)
      types = *(const struct types *)field;
    else if (d->kind == ATTR_TYPE && *(const struct type *const *)field)
      types = (struct types){*(const struct type *const *)field, 1};
    else if (d->kind == ATTR_TYPE)
      return refuse(why, "no %s", d->name);
    for (uint32_t i = 0; i < types.len; i++) {
      if (types.data[i].rank > IR_MAX_RANK)
        return refuse(why, "rank %u is above the limit of %d", types.data[i].rank, IR_MAX_RANK);
    }
  }
  return true;
}

static bool check_result(struct dim_table *t, const struct type *type, struct strbuf *why) {
  if (type->rank > IR_MAX_RANK)
    return refuse(why, "rank %u of the result is above the limit of %d", type->rank, IR_MAX_RANK);
  for (uint32_t i = 0; i < type->rank; i++) {
    int64_t lo, hi;
    if (type->dims[i] == DIM_NONE)
      return refuse(why, "dim %u of the result is not expressible", i);
    dim_bounds(t, type->dims[i], &lo, &hi);
    if (hi < 0)
      return refuse(why, "dim %u of the result is negative", i);
  }
  return true;
}

bool op_infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
              uint32_t *out_n_types) {
  *out_n_types = 0;
  if (!check_counts(op, why) || !check_spelled(op, why) ||
      !op_infos[op->kind].hooks->infer(op, why, out_types, out_n_types))
    return false;
  const struct op_info *info = &op_infos[op->kind];
  if (*out_n_types < info->results_min || *out_n_types > info->results_max)
    return refuse(why, "%u results", *out_n_types);
  for (uint32_t i = 0; i < *out_n_types; i++) {
    if (!check_result(op->function->module->dims, &out_types[i], why))
      return false;
  }
  return true;
}

/* The op that passed inference, with its results. */
static op_id op_add(struct builder *b, const struct op_view *view, const struct type *types,
                    uint32_t n) {
  struct function *f = b->function;
  struct arena *arena = &f->module->arena;
  op_id id = f->ops.len;
  value_id *results = ARENA_ARRAY(arena, value_id, n);
  /* Before values are added, which may move the types that callers took dims from. */
  const void *attrs = attrs_copy(f->module, view->kind, view->attrs);
  for (uint32_t i = 0; i < n; i++) {
    results[i] = f->values.len;
    vec_push(&f->values,
             ((struct value){.type = types[i], .def = id, .index = i, .region = b->region}));
  }
  struct op op = {
      .kind = view->kind,
      .n_operands = view->n_operands,
      .n_results = n,
      .n_regions = view->n_regions,
      .operands = arena_memdup(arena, view->operands, view->n_operands * sizeof *view->operands),
      .results = results,
      .regions = arena_memdup(arena, view->regions, view->n_regions * sizeof *view->regions),
      .attrs = attrs,
      .parent = b->region,
      .provenance = b->provenance};
  vec_push(&f->ops, op);
  vec_push(&f->regions.data[b->region].ops, id);
  for (uint32_t i = 0; i < view->n_regions; i++)
    f->regions.data[view->regions[i]].parent = id;
  return id;
}

op_id build_op(struct builder *b, enum op_kind kind, const value_id *operands, uint32_t n_operands,
               const region_id *regions, uint32_t n_regions, const void *attrs) {
  for (uint32_t i = 0; i < n_operands; i++) {
    if (operands[i] == VALUE_NONE)
      return OP_ID_NONE;
  }
  struct op_view view = {.function = b->function,
                         .kind = kind,
                         .n_operands = n_operands,
                         .operands = operands,
                         .n_regions = n_regions,
                         .regions = regions,
                         .attrs = attrs};
  struct arena scratch = {0};
  struct strbuf why = {0};
  op_id id = OP_ID_NONE;
  uint32_t n_types = 0;
  struct type few[4], *types = few;
  uint32_t room = n_regions || op_infos[kind].results_max > 4 ? op_results_room(&view) : 4;
  if (room > 4)
    types = ARENA_ARRAY(&scratch, struct type, room);
  memset(few, 0, sizeof few);
  if (op_infer(&view, &why, types, &n_types))
    id = op_add(b, &view, types, n_types);
  else
    builder_fail(b, "'%s' is not well-formed: %s", op_infos[kind].name, strbuf_c(&why));
  strbuf_deinit(&why);
  arena_deinit(&scratch);
  return id;
}

value_id build_op1(struct builder *b, enum op_kind kind, const value_id *operands,
                   uint32_t n_operands, const void *attrs) {
  return op_result(b->function, build_op(b, kind, operands, n_operands, NULL, 0, attrs), 0);
}

value_id op_result(const struct function *f, op_id op, uint32_t i) {
  return op != OP_ID_NONE && i < f->ops.data[op].n_results ? f->ops.data[op].results[i]
                                                           : VALUE_NONE;
}
