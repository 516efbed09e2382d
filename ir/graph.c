/* SPDX-License-Identifier: Apache-2.0 */
/* Modules, functions and regions: creation, destruction, names, constants, provenance. */
#include "ir/graph.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* Gives `name` itself, or, where it is taken, `name.1` and so on. The table remembers per name the
 * number to try next, so that many equal names cost no more than different ones. */
static const char *unique_name(struct module *m, struct strmap *taken, const char *name) {
  uint64_t next = 0;
  if (!strmap_get_c(taken, name, &next)) {
    strmap_put_c(taken, name, 1);
    return intern_c(&m->names, name);
  }
  struct strbuf text = {0};
  do {
    strbuf_clear(&text);
    strbuf_printf(&text, "%s.%llu", name, (unsigned long long)next++);
  } while (strmap_get_c(taken, strbuf_c(&text), NULL));
  strmap_put_c(taken, name, next);
  strmap_put_c(taken, strbuf_c(&text), 1);
  const char *result = intern_c(&m->names, strbuf_c(&text));
  strbuf_deinit(&text);
  return result;
}

uint64_t module_add_string(struct module *m, const char *data, size_t size) {
  uint64_t id;
  if (!host_strings_add(&m->strings, data, size, &id))
    mem_exhausted();
  return id;
}

struct module *module_create(void) {
  struct module *m = mem_calloc(1, sizeof *m);
  arena_init(&m->arena);
  intern_init(&m->names);
  map_init(&m->body_index);
  strmap_init(&m->constant_names);
  strmap_init(&m->function_names);
  m->dims = dim_table_create();
  vec_push(&m->constants, (struct constant){0});
  vec_push(&m->provenance, ((struct provenance){.node = "", .op = "", .index = -1}));
  vec_push(&m->shardings, NULL);
  host_strings_init_guarded(&m->strings);
  return m;
}

static void function_deinit(struct function *f) {
  for (uint32_t i = 0; i < f->regions.len; i++) {
    vec_deinit(&f->regions.data[i].params);
    vec_deinit(&f->regions.data[i].ops);
    vec_deinit(&f->regions.data[i].results);
  }
  vec_deinit(&f->values);
  vec_deinit(&f->ops);
  vec_deinit(&f->regions);
  vec_deinit(&f->where);
  strmap_deinit(&f->value_names);
}

static void entry_deinit(struct entry *e) {
  for (uint32_t i = 0; i < e->variants.len; i++)
    vec_deinit(&e->variants.data[i].guards);
  vec_deinit(&e->variants);
  vec_deinit(&e->states);
  vec_deinit(&e->input_names);
  vec_deinit(&e->output_names);
}

void module_destroy(struct module *m) {
  if (!m)
    return;
  for (uint32_t i = 0; i < m->functions.len; i++)
    function_deinit(m->functions.data[i]);
  for (uint32_t i = 0; i < m->entries.len; i++)
    entry_deinit(&m->entries.data[i]);
  vec_deinit(&m->functions);
  vec_deinit(&m->entries);
  vec_deinit(&m->constants);
  vec_deinit(&m->provenance);
  vec_deinit(&m->meshes);
  vec_deinit(&m->shardings);
  vec_deinit(&m->node_tensors);
  vec_deinit(&m->bodies);
  host_strings_deinit(&m->strings);
  map_deinit(&m->body_index);
  strmap_deinit(&m->constant_names);
  strmap_deinit(&m->function_names);
  dim_table_destroy(m->dims);
  intern_deinit(&m->names);
  arena_deinit(&m->arena);
  mem_free(m);
}

const char *module_intern(struct module *m, const char *s) {
  return s ? intern_c(&m->names, s) : NULL;
}

struct function *function_create(struct module *m, const char *name) {
  struct function *f = ARENA_NEW(&m->arena, struct function);
  f->module = m;
  f->name = unique_name(m, &m->function_names, name);
  strmap_init(&f->value_names);
  vec_push(&f->values, (struct value){0});
  vec_push(&f->ops, (struct op){0});
  vec_push(&f->regions, (struct region){0});
  vec_push(&m->functions, f);
  return f;
}

void module_drop_function(struct module *m, struct function *f) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < m->functions.len; i++)
    if (m->functions.data[i] != f)
      m->functions.data[n++] = m->functions.data[i];
  m->functions.len = n;
  function_deinit(f);
}

struct function *module_find_function(const struct module *m, const char *name) {
  for (uint32_t i = 0; i < m->functions.len; i++) {
    if (!strcmp(m->functions.data[i]->name, name))
      return m->functions.data[i];
  }
  return NULL;
}

constant_id module_add_constant(struct module *m, const struct constant *c) {
  struct constant copy = *c;
  copy.name = unique_name(m, &m->constant_names, c->name && *c->name ? c->name : "c");
  copy.file = module_intern(m, c->file);
  vec_push(&m->constants, copy);
  return m->constants.len - 1;
}

uint32_t module_add_provenance(struct module *m, const char *node, const char *op, int32_t index) {
  struct provenance p = {.node = intern_c(&m->names, node ? node : ""),
                         .op = intern_c(&m->names, op ? op : ""),
                         .index = index};
  const struct provenance *last = &vec_last(&m->provenance);
  if (m->provenance.len > 1 && last->node == p.node && last->op == p.op && last->index == index)
    return m->provenance.len - 1;
  vec_push(&m->provenance, p);
  return m->provenance.len - 1;
}

struct diag_where module_where(const struct module *m, uint32_t provenance) {
  struct diag_where where = DIAG_NOWHERE;
  if (provenance && provenance < m->provenance.len) {
    const struct provenance *p = &m->provenance.data[provenance];
    where.node = p->node;
    where.op = p->op;
    where.node_index = p->index;
  }
  return where;
}

void value_set_name(struct function *f, value_id v, const char *name) {
  struct value *value = &f->values.data[v];
  if (!name || !*name || (value->name && !strcmp(value->name, name)))
    return;
  value->name = unique_name(f->module, &f->value_names, name);
}

region_id region_create(struct function *f) {
  vec_push(&f->regions, (struct region){0});
  return f->regions.len - 1;
}

value_id region_add_param(struct function *f, region_id r, const struct type *type,
                          const char *name) {
  struct region *region = &f->regions.data[r];
  vec_push(&f->values, ((struct value){.type = *type, .index = region->params.len, .region = r}));
  value_id v = f->values.len - 1;
  vec_push(&region->params, v);
  value_set_name(f, v, name);
  return v;
}
