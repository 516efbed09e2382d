/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of any op by its descriptors: copy, equality, hash, the dims they mention. */
#include "base/hash.h"
#include "ir/graph.h"

#include <string.h>

static const void *field_of(const void *attrs, const struct attr_desc *d) {
  return (const char *)attrs + d->offset;
}

/* What an attribute holds, as one array of plain elements; strings and bodies are apart. */
struct field_view {
  const void *data;
  size_t count, size;
};

static struct field_view field_view(const void *attrs, const struct attr_desc *d) {
  const void *p = field_of(attrs, d);
  switch (d->kind) {
  case ATTR_INT: return (struct field_view){p, 1, sizeof(int64_t)};
  case ATTR_FLOAT: return (struct field_view){p, 1, sizeof(double)};
  case ATTR_BOOL: return (struct field_view){p, 1, sizeof(bool)};
  case ATTR_DIM: return (struct field_view){p, 1, sizeof(dim)};
  case ATTR_CONSTANT: return (struct field_view){p, 1, sizeof(constant_id)};
  case ATTR_INTS:
    return (struct field_view){((const struct ints *)p)->data, ((const struct ints *)p)->len,
                               sizeof(int64_t)};
  case ATTR_DIMS:
    return (struct field_view){((const struct dims *)p)->data, ((const struct dims *)p)->len,
                               sizeof(dim)};
  case ATTR_TYPE:
    return (struct field_view){*(const struct type *const *)p,
                               *(const struct type *const *)p ? 1 : 0, sizeof(struct type)};
  case ATTR_TYPES:
    return (struct field_view){((const struct types *)p)->data, ((const struct types *)p)->len,
                               sizeof(struct type)};
  case ATTR_STRING: {
    const char *s = *(const char *const *)p;
    return (struct field_view){s, s ? strlen(s) : 0, 1};
  }
  case ATTR_BODY: /* interned: the pointer is the content */
    return (struct field_view){p, 1, sizeof(void *)};
  case ATTR_DTYPE:
  case ATTR_COMBINER:
  case ATTR_RELATION:
  case ATTR_OUT_OF_RANGE:
  case ATTR_RANDOM_KIND:
  case ATTR_ROOT:
  case ATTR_PARTIAL:
  case ATTR_EXCHANGE:
  case ATTR_HOST_OP: return (struct field_view){p, 1, sizeof(int)};
  }
  return (struct field_view){0};
}

const void *attrs_copy(struct module *m, enum op_kind kind, const void *a) {
  const struct op_info *info = &op_infos[kind];
  char *copy = arena_alloc(&m->arena, info->attrs_size);
  if (!a)
    return copy;
  memcpy(copy, a, info->attrs_size);
  for (const struct attr_desc *d = info->attrs; d->name; d++) {
    struct field_view view = field_view(a, d);
    void *to = copy + d->offset;
    switch (d->kind) {
    case ATTR_INTS:
      ((struct ints *)to)->data = arena_memdup(&m->arena, view.data, view.count * view.size);
      break;
    case ATTR_DIMS:
      ((struct dims *)to)->data = arena_memdup(&m->arena, view.data, view.count * view.size);
      break;
    case ATTR_TYPES:
      ((struct types *)to)->data = arena_memdup(&m->arena, view.data, view.count * view.size);
      break;
    case ATTR_TYPE:
      if (view.count)
        *(const struct type **)to = arena_memdup(&m->arena, view.data, view.size);
      break;
    case ATTR_STRING:
      *(const char **)to = module_intern(m, *(const char *const *)field_of(a, d));
      break;
    case ATTR_BODY:
      *(const struct scalar_body **)to =
          scalar_body_intern(m, *(const struct scalar_body *const *)field_of(a, d));
      break;
    default: break;
    }
  }
  return copy;
}

bool attrs_equal(enum op_kind kind, const void *a, const void *b) {
  if (a == b)
    return true;
  for (const struct attr_desc *d = op_infos[kind].attrs; d->name; d++) {
    struct field_view x = field_view(a, d), y = field_view(b, d);
    if (x.count != y.count || (x.count && memcmp(x.data, y.data, x.count * x.size)))
      return false;
  }
  return true;
}

/* By content, so that the hash does not depend on addresses. */
static uint64_t body_hash(const struct scalar_body *body) {
  return body ? hash_bytes(body->insts, body->len * sizeof *body->insts, body->n_args) : 0;
}

uint64_t attrs_hash(enum op_kind kind, const void *a) {
  uint64_t hash = hash_combine(0, kind);
  for (const struct attr_desc *d = op_infos[kind].attrs; d->name; d++) {
    if (d->kind == ATTR_BODY) {
      hash = hash_combine(hash, body_hash(*(const struct scalar_body *const *)field_of(a, d)));
      continue;
    }
    struct field_view x = field_view(a, d);
    hash = hash_bytes(x.count ? x.data : "", x.count * x.size, hash_combine(hash, x.count));
  }
  return hash;
}

static void visit_type(const struct type *type, dim_visit_fn fn, void *user) {
  for (uint32_t i = 0; i < type->rank; i++)
    fn(user, type->dims[i]);
}

static void visit_attrs(const struct op *op, dim_visit_fn fn, void *user) {
  for (const struct attr_desc *d = op_infos[op->kind].attrs; d->name; d++) {
    struct field_view x = field_view(op->attrs, d);
    if (d->kind == ATTR_DIM || d->kind == ATTR_DIMS) {
      for (size_t i = 0; i < x.count; i++)
        fn(user, ((const dim *)x.data)[i]);
    } else if (d->kind == ATTR_TYPE || d->kind == ATTR_TYPES) {
      for (size_t i = 0; i < x.count; i++)
        visit_type(&((const struct type *)x.data)[i], fn, user);
    }
  }
}

void op_visit_dims(const struct function *f, const struct op *op, dim_visit_fn fn, void *user) {
  for (uint32_t i = 0; i < op->n_results; i++)
    visit_type(value_type(f, op->results[i]), fn, user);
  visit_attrs(op, fn, user);
}

void function_visit_dims(const struct function *f, dim_visit_fn fn, void *user) {
  for (uint32_t i = 1; i < f->values.len; i++) {
    const struct value *v = &f->values.data[i];
    if (v->def == OP_ID_NONE || f->ops.data[v->def].kind != OP_NONE)
      visit_type(&v->type, fn, user);
  }
  for (uint32_t i = 1; i < f->ops.len; i++) {
    if (f->ops.data[i].kind != OP_NONE)
      visit_attrs(&f->ops.data[i], fn, user);
  }
  for (uint32_t i = 0; i < f->where.len; i++) {
    fn(user, f->where.data[i].lhs);
    fn(user, f->where.data[i].rhs);
  }
}
