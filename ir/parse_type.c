/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing: dim expressions, conditions, types, shardings. */
#include "ir/sir_parse.h"

#include <string.h>

/* ---- expressions ---- */

dim sir_dim(struct sir_parser *p, const struct sir_expr *x) {
  struct dim_table *t = p->m->dims;
  int64_t value;
  switch (x->kind) {
  case EXPR_NAME:
  case EXPR_STRING: return dim_symbol(t, x->text, DIM_UNBOUNDED_LO, DIM_UNBOUNDED_HI);
  case EXPR_INT: return sir_i64(p, x, &value) ? dim_const(t, value) : DIM_NONE;
  case EXPR_FLOAT: sir_error(p, &x->at, DIAG_E0205, NULL, "a dim is no fraction"); return DIM_NONE;
  case EXPR_DIM: return x->value;
  }
  return DIM_NONE;
}

bool sir_i64(struct sir_parser *p, const struct sir_expr *x, int64_t *out) {
  if (x->kind == EXPR_DIM && x->value == DIM_NONE)
    return false;
  if (x->kind == EXPR_DIM && dim_is_const(p->m->dims, x->value, out))
    return true;
  double unused;
  if (x->kind == EXPR_INT)
    return sir_number(p, x, DTYPE_I64, &unused, out);
  sir_error(p, &x->at, DIAG_E0204, NULL, "an integer is wanted here");
  return false;
}

static struct sir_expr made(struct sir_parser *p, const struct sir_loc *at, dim value,
                            bool operands_sound) {
  if (value == DIM_NONE && operands_sound)
    sir_error(p, at, DIAG_E0205, NULL, "the value of this expression is out of range");
  return (struct sir_expr){.kind = EXPR_DIM, .at = *at, .value = value};
}

struct sir_expr sir_negate(struct sir_parser *p, struct sir_expr x) {
  if (x.kind == EXPR_INT || x.kind == EXPR_FLOAT ||
      (x.kind == EXPR_NAME && (!strcmp(x.text, "inf") || !strcmp(x.text, "nan")))) {
    x.negative = !x.negative;
    return x;
  }
  dim d = sir_dim(p, &x);
  return made(p, &x.at, dim_neg(p->m->dims, d), d != DIM_NONE);
}

struct sir_expr sir_binary(struct sir_parser *p, enum dim_kind kind, bool subtract,
                           struct sir_expr a, struct sir_expr b) {
  dim x = sir_dim(p, &a), y = sir_dim(p, &b);
  dim value = subtract ? dim_sub(p->m->dims, x, y) : dim_binary(p->m->dims, kind, x, y);
  return made(p, &a.at, value, x != DIM_NONE && y != DIM_NONE);
}

/* A coordinate's size is that of the axis in the first mesh that has one of the name. */
static struct sir_expr coordinate(struct sir_parser *p, struct sir_name name,
                                  const struct sir_expr *axis) {
  bool named = axis->kind == EXPR_NAME || axis->kind == EXPR_STRING;
  for (uint32_t i = 0; i < p->m->meshes.len && named; i++) {
    const struct mesh *mesh = p->m->meshes.data[i];
    for (uint32_t k = 0; k < mesh->n_axes; k++) {
      if (!strcmp(mesh->axes[k].name, axis->text))
        return made(p, &name.at, dim_coord(p->m->dims, axis->text, mesh->axes[k].size), true);
    }
  }
  sir_error(p, &axis->at, DIAG_E0202, NULL, "no mesh has such an axis");
  return made(p, &name.at, DIM_NONE, false);
}

struct sir_expr sir_call(struct sir_parser *p, struct sir_name name, struct sir_exprs args) {
  static const struct {
    const char *name;
    enum dim_kind kind;
  } calls[] = {{"min", DIM_KIND_MIN}, {"max", DIM_KIND_MAX}, {"exactdiv", DIM_KIND_EXACTDIV}};
  if (!strcmp(name.text, "coord") && args.len == 1)
    return coordinate(p, name, &args.data[0]);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if (strcmp(calls[i].name, name.text) || args.len != 2)
      continue;
    struct sir_expr x = sir_binary(p, calls[i].kind, false, args.data[0], args.data[1]);
    x.at = name.at;
    return x;
  }
  sir_error(p, &name.at, DIAG_E0202, "min(a, b), max(a, b), exactdiv(a, b), coord(axis)",
            "'%s' of %u operands is no function of dims", name.text, args.len);
  return made(p, &name.at, DIM_NONE, false);
}

struct guard sir_guard(struct sir_parser *p, struct sir_expr lhs, const char *relation,
                       const struct sir_loc *at, struct sir_expr rhs) {
  struct guard g = {.lhs = sir_dim(p, &lhs), .rhs = sir_dim(p, &rhs)};
  int found = keyword_find(KEYWORD_KIND_relation, relation, strlen(relation));
  if (found < 0)
    sir_error(p, at, DIAG_E0202, "==, <=, <, divides, broadcast", "'%s' is no relation", relation);
  else
    g.relation = (enum relation)found;
  return g;
}

/* ---- types ---- */

struct type sir_type(struct sir_parser *p, struct sir_name dtype, const struct sir_exprs *dims) {
  struct type type = {0};
  if (!dtype_from_name(dtype.text, strlen(dtype.text), &type.dtype))
    sir_error(p, &dtype.at, DIAG_E0202, NULL, "'%s' is no element type", dtype.text);
  if (dims->len > IR_MAX_RANK) {
    sir_error(p, &dtype.at, DIAG_E0205, NULL, "rank %u is above the limit of %d", dims->len,
              IR_MAX_RANK);
    return type;
  }
  type.rank = dims->len;
  for (uint32_t i = 0; i < dims->len; i++) {
    int64_t lo, hi = 0;
    type.dims[i] = sir_dim(p, &dims->data[i]);
    if (type.dims[i] != DIM_NONE)
      dim_bounds(p->m->dims, type.dims[i], &lo, &hi);
    if (hi < 0)
      sir_error(p, &dims->data[i].at, DIAG_E0205, NULL, "a dim is negative");
  }
  return type;
}

/* ---- shardings ---- */

void sir_sharding_begin(struct sir_parser *p, struct sir_name mesh) {
  uint32_t number = 0;
  bool sound = !mesh.text || (mesh.text[0] == 'm' && strlen(mesh.text) < 8 && mesh.text[1]);
  for (const char *s = mesh.text ? mesh.text + 1 : ""; sound && *s; s++) {
    sound = *s >= '0' && *s <= '9';
    number = number * 10 + (uint32_t)(*s - '0');
  }
  memset(&p->sharding, 0, sizeof p->sharding);
  p->sharding.mesh = number;
  if (!sound || number >= p->m->meshes.len) {
    sir_error(p, &mesh.at, DIAG_E0202, "mesh @m0 [tp=4]", "there is no mesh '@%s'",
              mesh.text ? mesh.text : "m0");
    p->sharding.mesh = UINT32_MAX;
  }
}

struct sir_refs sir_ref(struct sir_parser *p, struct sir_name axis, const struct sir_expr *outer,
                        const struct sir_expr *size) {
  struct sir_refs refs = {.len = 1};
  if (p->sharding.mesh >= p->m->meshes.len)
    return refs;
  const struct mesh *mesh = p->m->meshes.data[p->sharding.mesh];
  uint32_t i = 0;
  while (i < mesh->n_axes && strcmp(mesh->axes[i].name, axis.text))
    i++;
  if (i == mesh->n_axes) {
    sir_error(p, &axis.at, DIAG_E0202, NULL, "the mesh has no axis '%s'", axis.text);
    return refs;
  }
  refs.data[0].axis = i;
  int64_t out = 1, part = 0, product;
  if ((outer && !sir_i64(p, outer, &out)) || (size && !sir_i64(p, size, &part)))
    return refs;
  if (!size)
    return refs;
  bool divides = out > 0 && part > 0 && !__builtin_mul_overflow(out, part, &product) &&
                 mesh->axes[i].size % product == 0;
  if (!divides) {
    sir_error(p, &axis.at, DIAG_E0205, NULL, "the parts do not divide axis '%s'", axis.text);
    return refs;
  }
  refs.data[0].sub_size = part;
  refs.data[0].sub_stride = mesh->axes[i].size / product;
  return refs;
}

struct sir_refs sir_refs_join(struct sir_parser *p, const struct sir_loc *at, struct sir_refs a,
                              struct sir_refs b) {
  if (a.len + b.len > MESH_MAX_AXES) {
    sir_error(p, at, DIAG_E0205, NULL, "more than %d axes", MESH_MAX_AXES);
    return a;
  }
  memcpy(a.data + a.len, b.data, b.len * sizeof *b.data);
  a.len += b.len;
  return a;
}

void sir_split(struct sir_parser *p, const struct sir_loc *at, struct sir_refs refs,
               int64_t granule, enum split_order order, int64_t block) {
  if (p->sharding.rank == IR_MAX_RANK || refs.len > SHARDING_MAX_AXES_PER_DIM) {
    sir_error(p, at, DIAG_E0205, NULL, "too many dims, or axes of one dim");
    return;
  }
  struct dim_split *split = &p->sharding.dims[p->sharding.rank++];
  split->n_axes = refs.len;
  memcpy(split->axes, refs.data, refs.len * sizeof *refs.data);
  split->granule = granule;
  split->order = order;
  split->block = block;
}

void sir_partial(struct sir_parser *p, struct sir_name kind, struct sir_refs refs) {
  int found = partial_find(kind.text);
  if (found <= PARTIAL_NONE) {
    sir_error(p, &kind.at, DIAG_E0202, NULL, "'%s' is no kind of partial", kind.text);
    return;
  }
  p->sharding.partial.kind = (enum partial_kind)found;
  p->sharding.partial.n_axes = refs.len;
  memcpy(p->sharding.partial.axes, refs.data, refs.len * sizeof *refs.data);
}

void sir_sharding_end(struct sir_parser *p, const struct sir_loc *at, struct type *type) {
  if (p->sharding.mesh >= p->m->meshes.len)
    return;
  if (p->sharding.rank != type->rank)
    sir_error(p, at, DIAG_E0205, NULL, "the sharding has %u dims, the type %u", p->sharding.rank,
              type->rank);
  else
    type->sharding = module_add_sharding(p->m, &p->sharding);
}
