/* SPDX-License-Identifier: Apache-2.0 */
/* Substitution of a symbol; see substitute.h. */
#include "passes/substitute.h"

#include <string.h>

#include "base/mem.h"

struct substitution {
  struct function *f;
  struct dim_table *t;
  dim *by_symbol;
  bool sound;
};

static dim replaced(struct substitution *s, dim d) { return dim_substitute(s->t, d, s->by_symbol); }

static void test_dim(void *user, dim d) {
  struct substitution *s = user;
  if (d != DIM_NONE && replaced(s, d) == DIM_NONE)
    s->sound = false;
}

static void replace_type(struct substitution *s, struct type *type) {
  for (uint32_t i = 0; i < type->rank; i++)
    type->dims[i] = replaced(s, type->dims[i]);
}

static void replace_attr(struct substitution *s, const struct attr_desc *d, void *field) {
  switch (d->kind) {
  case ATTR_DIM: *(dim *)field = replaced(s, *(dim *)field); break;
  case ATTR_DIMS: {
    struct dims *dims = field;
    for (uint32_t i = 0; i < dims->len; i++)
      ((dim *)dims->data)[i] = replaced(s, dims->data[i]);
    break;
  }
  case ATTR_TYPE: replace_type(s, *(struct type **)field); break;
  case ATTR_TYPES: {
    struct types *types = field;
    for (uint32_t i = 0; i < types->len; i++)
      replace_type(s, (struct type *)&types->data[i]);
    break;
  }
  default: break;
  }
}

void attrs_substitute(struct dim_table *t, enum op_kind kind, void *attrs, const dim *by_symbol) {
  struct substitution s = {.t = t, .by_symbol = (dim *)by_symbol};
  for (const struct attr_desc *d = op_infos[kind].attrs; d->name; d++)
    replace_attr(&s, d, (char *)attrs + d->offset);
}

bool function_substitute(struct function *f, uint32_t symbol, dim with, op_id except) {
  struct substitution s = {.f = f, .t = f->module->dims, .sound = with != DIM_NONE};
  uint32_t n = dim_symbol_count(s.t);
  s.by_symbol = mem_calloc(n, sizeof *s.by_symbol);
  s.by_symbol[symbol] = with;
  if (s.sound)
    function_visit_dims(f, test_dim, &s);
  for (uint32_t i = 1; s.sound && i < f->values.len; i++)
    replace_type(&s, &f->values.data[i].type);
  for (op_id id = 1; s.sound && id < f->ops.len; id++) {
    const struct op *op = function_op(f, id);
    if (op->kind == OP_NONE || id == except)
      continue;
    /* Attributes are the op's own copy in the module's arena. */
    for (const struct attr_desc *d = op_infos[op->kind].attrs; d->name; d++)
      replace_attr(&s, d, (char *)op->attrs + d->offset);
  }
  mem_free(s.by_symbol);
  return s.sound;
}
