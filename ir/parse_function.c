/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing: functions, regions and ops. Ops are built as their text ends, by the builder; an op that
 * fails leaves its results undefined, and what uses those is passed over in silence. */
#include "base/str.h"
#include "ir/sir_parse.h"
#include "ir/verify.h"

#include <string.h>

/* ---- values ---- */

/* Numbers are kept apart from names, which cannot begin with this. */
static const char *value_key(struct sir_parser *p, const struct sir_name *name) {
  return name->number ? arena_printf(&p->scratch, "\n%s", name->text) : name->text;
}

static void define_value(struct sir_parser *p, const struct sir_name *name, value_id v) {
  const char *key = value_key(p, name);
  if (strmap_get_c(&p->values, key, NULL)) {
    sir_error(p, &name->at, DIAG_E0203, NULL, "%%%s is defined twice", name->text);
    return;
  }
  strmap_put_c(&p->values, key, v);
  if (v != VALUE_NONE && !name->number)
    value_set_name(p->f, v, name->text);
}

static bool is_open(const struct sir_parser *p, region_id r) {
  for (uint32_t i = 0; i < p->open.len; i++) {
    if (p->open.data[i] == r)
      return true;
  }
  return false;
}

/* VALUE_NONE where it is unknown (which is reported) or its definition failed. */
static value_id find_value(struct sir_parser *p, const struct sir_name *name) {
  uint64_t v;
  if (!strmap_get_c(&p->values, value_key(p, name), &v)) {
    sir_error(p, &name->at, DIAG_E0202, NULL, "%%%s is not defined before this", name->text);
    return VALUE_NONE;
  }
  if (v != VALUE_NONE && !is_open(p, p->f->values.data[v].region)) {
    sir_error(p, &name->at, DIAG_E0202, NULL, "%%%s is defined in a region that ended", name->text);
    return VALUE_NONE;
  }
  return (value_id)v;
}

static void add_params(struct sir_parser *p, region_id r, const struct sir_names *names,
                       const struct sir_types *types) {
  for (uint32_t i = 0; i < names->len; i++)
    define_value(p, &names->data[i], region_add_param(p->f, r, &types->data[i], NULL));
}

static void add_results(struct sir_parser *p, region_id r, const struct sir_names *results) {
  for (uint32_t i = 0; i < results->len; i++) {
    value_id v = find_value(p, &results->data[i]);
    vec_push(&p->f->regions.data[r].results, v);
  }
}

static bool types_agree(struct dim_table *t, const struct type *a, const struct type *b) {
  if (a->dtype != b->dtype || a->rank != b->rank)
    return false;
  for (uint32_t i = 0; i < a->rank; i++) {
    if (!dim_known_eq(t, a->dims[i], b->dims[i]))
      return false;
  }
  return true;
}

static void report_types(struct sir_parser *p, const struct sir_loc *at, uint32_t i,
                         const struct type *written, const struct type *derived) {
  struct strbuf text = {0};
  type_print(p->m, written, &text);
  strbuf_append_c(&text, ", but is ");
  type_print(p->m, derived, &text);
  sir_error(p, at, DIAG_E0207, NULL, "result %u is written as %s", i, strbuf_c(&text));
  strbuf_deinit(&text);
}

/* ---- functions and regions ---- */

void sir_function_begin(struct sir_parser *p, struct sir_name name, struct sir_names params,
                        struct sir_types param_types, struct sir_types result_types,
                        struct sir_conds where) {
  if (strmap_get_c(&p->m->function_names, name.text, NULL))
    sir_error(p, &name.at, DIAG_E0203, NULL, "function @%s is defined twice", name.text);
  p->f = function_create(p->m, name.text);
  strmap_deinit(&p->values);
  strmap_init(&p->values);
  vec_clear(&p->open);
  vec_push(&p->open, 0);
  p->signature = result_types;
  vec_append(&p->f->where, where.data, where.len);
  add_params(p, 0, &params, &param_types);
}

void sir_function_end(struct sir_parser *p, struct sir_names results, const struct sir_loc *at) {
  add_results(p, 0, &results);
  const struct region *body = &p->f->regions.data[0];
  if (body->results.len != p->signature.len)
    sir_error(p, at, DIAG_E0207, NULL, "returns %u values, but its type says %u", body->results.len,
              p->signature.len);
  for (uint32_t i = 0; i < body->results.len && i < p->signature.len; i++) {
    value_id v = body->results.data[i];
    if (v == VALUE_NONE)
      continue;
    if (!types_agree(p->m->dims, value_type(p->f, v), &p->signature.data[i]))
      report_types(p, &results.data[i].at, i, &p->signature.data[i], value_type(p->f, v));
  }
  p->f = NULL;
}

void sir_function_abandon(struct sir_parser *p) { p->f = NULL; }

bool sir_region_begin(struct sir_parser *p, struct sir_names params, struct sir_types types,
                      const struct sir_loc *at) {
  if (p->open.len > IR_MAX_NESTING) {
    sir_error(p, at, DIAG_E0209, NULL, "regions are nested too deeply");
    return false;
  }
  region_id r = region_create(p->f);
  vec_push(&p->open, r);
  add_params(p, r, &params, &types);
  return true;
}

region_id sir_region_end(struct sir_parser *p, struct sir_names results) {
  add_results(p, vec_last(&p->open), &results);
  return vec_pop(&p->open);
}

uint32_t sir_loc_provenance(struct sir_parser *p, const char *node, const char *op,
                            const struct sir_expr *index) {
  double unused;
  int64_t i = -1;
  if (!sir_number(p, index, DTYPE_I32, &unused, &i))
    return 0;
  return module_add_provenance(p->m, node, op, (int32_t)i);
}

/* ---- attributes ---- */

static bool is_word(const struct sir_expr *x, const char *word) {
  return x->kind == EXPR_NAME && !strcmp(x->text, word);
}

/* A word of an enumeration, as the int that enumerators are. */
static bool set_keyword(struct sir_parser *p, enum keyword_kind kind, const struct sir_expr *x,
                        void *to) {
  int found = x->kind == EXPR_NAME ? keyword_find(kind, x->text, strlen(x->text)) : -1;
  if (found < 0)
    sir_error(p, &x->at, DIAG_E0204, NULL, "'%s' is none of the words that may stand here",
              x->kind == EXPR_NAME ? x->text : "this");
  else
    *(int *)to = found;
  return found >= 0;
}

static bool set_dtype(struct sir_parser *p, const struct sir_expr *x, enum dtype *to) {
  if (x->kind == EXPR_NAME && dtype_from_name(x->text, strlen(x->text), to))
    return true;
  sir_error(p, &x->at, DIAG_E0204, NULL, "an element type is wanted here");
  return false;
}

static bool set_single(struct sir_parser *p, enum attr_kind kind, const struct sir_expr *x,
                       void *to) {
  int64_t unused;
  switch (kind) {
  case ATTR_INT: return sir_i64(p, x, to);
  case ATTR_FLOAT: return sir_number(p, x, DTYPE_F64, to, &unused);
  case ATTR_BOOL:
    *(bool *)to = is_word(x, "true");
    if (!is_word(x, "true") && !is_word(x, "false")) {
      sir_error(p, &x->at, DIAG_E0204, NULL, "true or false is wanted here");
      return false;
    }
    return true;
  case ATTR_DIM: *(dim *)to = sir_dim(p, x); return *(dim *)to != DIM_NONE;
  case ATTR_DTYPE: return set_dtype(p, x, to);
  case ATTR_STRING:
    *(const char **)to = x->text;
    if (x->kind != EXPR_STRING)
      sir_error(p, &x->at, DIAG_E0204, NULL, "a string is wanted here");
    return x->kind == EXPR_STRING;
  case ATTR_COMBINER: return set_keyword(p, KEYWORD_KIND_combiner, x, to);
  case ATTR_RELATION: return set_keyword(p, KEYWORD_KIND_relation, x, to);
  case ATTR_OUT_OF_RANGE: return set_keyword(p, KEYWORD_KIND_out_of_range, x, to);
  case ATTR_RANDOM_KIND: return set_keyword(p, KEYWORD_KIND_random_kind, x, to);
  case ATTR_ROOT: return set_keyword(p, KEYWORD_KIND_root_kind, x, to);
  case ATTR_PARTIAL: return set_keyword(p, KEYWORD_KIND_partial_kind, x, to);
  case ATTR_EXCHANGE: return set_keyword(p, KEYWORD_KIND_exchange_kind, x, to);
  case ATTR_HOST_OP: return set_keyword(p, KEYWORD_KIND_host_op, x, to);
  default:
    sir_error(p, &x->at, DIAG_E0204, NULL, "a single value is not what is wanted here");
    return false;
  }
}

static bool set_list(struct sir_parser *p, enum attr_kind kind, const struct sir_attr *a,
                     void *to) {
  uint32_t n = a->exprs.len;
  bool sound = true;
  if (kind == ATTR_INTS) {
    int64_t *data = ARENA_ARRAY(&p->scratch, int64_t, n);
    for (uint32_t i = 0; i < n; i++)
      sound &= sir_i64(p, &a->exprs.data[i], &data[i]);
    *(struct ints *)to = (struct ints){data, n};
    return sound;
  }
  if (kind == ATTR_DIMS) {
    dim *data = ARENA_ARRAY(&p->scratch, dim, n);
    for (uint32_t i = 0; i < n; i++) {
      data[i] = sir_dim(p, &a->exprs.data[i]);
      sound &= data[i] != DIM_NONE;
    }
    *(struct dims *)to = (struct dims){data, n};
    return sound;
  }
  sir_error(p, &a->name.at, DIAG_E0204, NULL, "attribute '%s' is no list", a->name.text);
  return false;
}

static bool set_attr(struct sir_parser *p, enum attr_kind kind, const struct sir_attr *a,
                     void *to) {
  if (kind == ATTR_TYPES && a->kind == VALUE_TYPES) {
    *(struct types *)to = (struct types){a->types.data, a->types.len};
    return true;
  }
  if (kind == ATTR_TYPE && a->kind == VALUE_TYPES && a->types.len == 1) {
    *(const struct type **)to = &a->types.data[0];
    return true;
  }
  if (a->kind == VALUE_EXPR)
    return set_single(p, kind, &a->exprs.data[0], to);
  if (a->kind == VALUE_EXPRS)
    return set_list(p, kind, a, to);
  sir_error(p, &a->name.at, DIAG_E0204, NULL, "attribute '%s' is no type", a->name.text);
  return false;
}

/* Whether leaving the attribute out means a value: see the printer's attr_is_default. */
static bool may_be_absent(enum attr_kind kind) {
  switch (kind) {
  case ATTR_DTYPE:
  case ATTR_COMBINER:
  case ATTR_RELATION:
  case ATTR_OUT_OF_RANGE:
  case ATTR_RANDOM_KIND:
  case ATTR_ROOT:
  case ATTR_EXCHANGE:
  case ATTR_HOST_OP: return false;
  default: return true;
  }
}

static struct sir_attr *find_attr(struct sir_op *op, const char *name) {
  for (uint32_t i = 0; i < op->attrs.len; i++) {
    if (!op->attrs.data[i].used && !strcmp(op->attrs.data[i].name.text, name))
      return &op->attrs.data[i];
  }
  return NULL;
}

static bool set_constant(struct sir_parser *p, struct sir_op *op, constant_id *to) {
  uint64_t id;
  if (!op->constant.text) {
    sir_error(p, &op->name.at, DIAG_E0204, NULL, "'%s' needs a constant, as @name", op->name.text);
    return false;
  }
  if (!strmap_get_c(&p->constants, op->constant.text, &id)) {
    sir_error(p, &op->constant.at, DIAG_E0202, NULL, "there is no constant @%s above",
              op->constant.text);
    return false;
  }
  *to = (constant_id)id;
  op->constant.text = NULL;
  return true;
}

static bool set_body(struct sir_parser *p, struct sir_op *op, const value_id *operands,
                     const struct scalar_body **to) {
  if (!op->body) {
    sir_error(p, &op->name.at, DIAG_E0204, NULL, "'%s' needs a scalar body", op->name.text);
    return false;
  }
  *to = sir_body(p, op->body, operands, op->operands.len);
  op->body = NULL;
  return *to != NULL;
}

static bool set_spelled_types(struct sir_parser *p, const struct sir_op *op,
                              const struct attr_desc *d, void *to) {
  struct type *types = ARENA_ARRAY(&p->scratch, struct type, op->types.len);
  for (uint32_t i = 0; i < op->types.len; i++) {
    types[i] = op->types.data[i];
    types[i].sharding = 0;
  }
  if (d->kind == ATTR_TYPES) {
    *(struct types *)to = (struct types){types, op->types.len};
    return true;
  }
  if (op->types.len != 1) {
    sir_error(p, &op->name.at, DIAG_E0204, NULL, "'%s' needs its result type", op->name.text);
    return false;
  }
  *(const struct type **)to = types;
  return true;
}

static bool set_described(struct sir_parser *p, struct sir_op *op, enum op_kind kind,
                          const struct attr_desc *d, const value_id *operands, void *to) {
  bool types = d->kind == ATTR_TYPE || d->kind == ATTR_TYPES;
  if (d->kind == ATTR_CONSTANT)
    return set_constant(p, op, to);
  if (d->kind == ATTR_BODY)
    return set_body(p, op, operands, to);
  if (types && (op_infos[kind].flags & OP_FLAG_EXPLICIT))
    return set_spelled_types(p, op, d, to);
  struct sir_attr *a = find_attr(op, d->name);
  if (!a) {
    if (!may_be_absent(d->kind))
      sir_error(p, &op->name.at, DIAG_E0204, NULL, "'%s' needs the attribute '%s'", op->name.text,
                d->name);
    return may_be_absent(d->kind);
  }
  a->used = true;
  return set_attr(p, d->kind, a, to);
}

/* The attribute struct; NULL after a report. */
static const void *attrs_of(struct sir_parser *p, struct sir_op *op, enum op_kind kind,
                            const value_id *operands) {
  char *attrs = arena_alloc(&p->scratch, op_infos[kind].attrs_size);
  bool sound = true;
  for (const struct attr_desc *d = op_infos[kind].attrs; d->name; d++)
    sound &= set_described(p, op, kind, d, operands, attrs + d->offset);
  for (uint32_t i = 0; i < op->attrs.len; i++) {
    if (op->attrs.data[i].used)
      continue;
    sir_error(p, &op->attrs.data[i].name.at, DIAG_E0204, NULL,
              "'%s' has no attribute '%s', or has it twice", op->name.text,
              op->attrs.data[i].name.text);
    sound = false;
  }
  if (op->constant.text || op->body) {
    if (sound)
      sir_error(p, &op->name.at, DIAG_E0204, NULL, "'%s' takes no constant or body", op->name.text);
    sound = false;
  }
  return sound ? attrs : NULL;
}

/* ---- ops ---- */

static enum op_kind find_op(const char *name) {
  for (int i = OP_NONE + 1; i < OP_COUNT; i++) {
    if (!strcmp(op_infos[i].name, name))
      return (enum op_kind)i;
  }
  return OP_NONE;
}

static void check_written_types(struct sir_parser *p, const struct sir_op *op, op_id id) {
  const struct op *built = &p->f->ops.data[id];
  for (uint32_t i = 0; i < op->types.len; i++) {
    struct type *type = &p->f->values.data[built->results[i]].type;
    if (types_agree(p->m->dims, type, &op->types.data[i]))
      *type = op->types.data[i];
    else
      report_types(p, &op->name.at, i, &op->types.data[i], type);
  }
}

/* OP_ID_NONE after a report, or where an operand's definition failed. */
static op_id build_parsed(struct sir_parser *p, struct sir_op *op) {
  enum op_kind kind = find_op(op->name.text);
  value_id *operands = ARENA_ARRAY(&p->scratch, value_id, op->operands.len);
  bool known = kind != OP_NONE;
  if (!known)
    sir_error(p, &op->name.at, DIAG_E0202, NULL, "there is no op '%s'", op->name.text);
  for (uint32_t i = 0; i < op->operands.len; i++) {
    operands[i] = find_value(p, &op->operands.data[i]);
    known &= operands[i] != VALUE_NONE;
  }
  for (uint32_t i = 0; i < op->regions.len; i++) {
    const struct region *r = &p->f->regions.data[op->regions.data[i]];
    for (uint32_t k = 0; k < r->results.len; k++)
      known &= r->results.data[k] != VALUE_NONE;
  }
  const void *attrs = known ? attrs_of(p, op, kind, operands) : NULL;
  if (!attrs)
    return OP_ID_NONE;
  struct diag_where where = sir_where(p, &op->name.at);
  struct builder b;
  builder_init(&b, p->f, vec_last(&p->open), p->diags);
  b.where = &where;
  b.provenance = op->provenance;
  op_id id =
      build_op(&b, kind, operands, op->operands.len, op->regions.data, op->regions.len, attrs);
  p->errors += b.failures;
  return id;
}

void sir_op(struct sir_parser *p, struct sir_op *op) {
  op_id id = build_parsed(p, op);
  uint32_t n = id == OP_ID_NONE ? op->results.len : p->f->ops.data[id].n_results;
  if (op->results.len != n || (op->types.len && op->types.len != n)) {
    sir_error(p, &op->name.at, DIAG_E0204, NULL, "'%s' has %u results, not %u names and %u types",
              op->name.text, n, op->results.len, op->types.len);
    id = OP_ID_NONE;
  }
  if (id != OP_ID_NONE)
    check_written_types(p, op, id);
  for (uint32_t i = 0; i < op->results.len; i++)
    define_value(p, &op->results.data[i], op_result(p->f, id, i));
}
