/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier of what a module holds beside functions: constants, meshes, shardings, entries. */
#include "ir/verify_module.h"

#include "base/checked.h"
#include "base/str.h"
#include "ir/sharding_form.h"
#include "ir/states.h"
#include "ir/verify.h"

#include <string.h>

/* ---- shardings ---- */

static bool refuse(struct strbuf *why, const char *text) {
  strbuf_append_c(why, text);
  return false;
}

/* Axes of a sharding so far, for finding one that is used twice. */
struct used_axes {
  uint32_t n;
  struct axis_ref refs[(IR_MAX_RANK + 2) * MESH_MAX_AXES];
};

static bool check_ref(const struct mesh *mesh, const struct axis_ref *ref, struct used_axes *used,
                      struct strbuf *why) {
  if (ref->axis >= mesh->n_axes)
    return refuse(why, "the sharding names an axis that the mesh does not have");
  if (!axis_ref_check(mesh, ref))
    return refuse(why, "a part of an axis does not divide it");
  if (!axis_refs_disjoint(mesh, used->refs, used->n, ref, 1))
    return refuse(why, "an axis is used twice");
  used->refs[used->n++] = *ref;
  return true;
}

static bool check_split(const struct mesh *mesh, const struct dim_split *split,
                        struct used_axes *used, struct strbuf *why) {
  if (split->n_axes > SHARDING_MAX_AXES_PER_DIM)
    return refuse(why, "a dim is split over too many axes");
  if (split->n_axes && (split->granule < 1 || (unsigned)split->order > SPLIT_INTERLEAVED ||
                        (split->order == SPLIT_INTERLEAVED &&
                         (split->block < 1 || split->block % split->granule != 0))))
    return refuse(why, "a granule, order or block of a split is out of range");
  for (uint32_t i = 0; i < split->n_axes; i++) {
    if (!check_ref(mesh, &split->axes[i], used, why))
      return false;
  }
  return true;
}

bool sharding_check(const struct module *m, const struct type *type, struct strbuf *why) {
  if (type->sharding == 0)
    return true;
  if (type->sharding >= m->shardings.len)
    return refuse(why, "the sharding does not exist");
  const struct sharding *s = m->shardings.data[type->sharding];
  if (s->mesh >= m->meshes.len)
    return refuse(why, "the sharding's mesh does not exist");
  if (s->rank != type->rank)
    return refuse(why, "the sharding has another rank than its type");
  const struct mesh *mesh = m->meshes.data[s->mesh];
  struct used_axes used = {0};
  for (uint32_t i = 0; i < s->rank; i++) {
    if (!check_split(mesh, &s->dims[i], &used, why))
      return false;
  }
  if ((unsigned)s->partial.kind > PARTIAL_BOTTOMK || s->partial.n_axes > MESH_MAX_AXES ||
      (s->partial.kind == PARTIAL_NONE) != (s->partial.n_axes == 0))
    return refuse(why, "the partial has no axes, or axes and no kind");
  for (uint32_t i = 0; i < s->partial.n_axes; i++) {
    if (!check_ref(mesh, &s->partial.axes[i], &used, why))
      return false;
  }
  return true;
}

/* ---- the module ---- */

struct checker {
  const struct module *m;
  struct diags *diags;
  status result;
};

static void note(struct checker *c, status s) {
  if (c->result == STATUS_OK)
    c->result = s;
}

static void check_constant(struct checker *c, constant_id id) {
  const struct constant *k = &c->m->constants.data[id];
  uint64_t bytes;
  bool sound = (unsigned)k->dtype < DTYPE_COUNT && k->rank <= IR_MAX_RANK &&
               shape_bytes(k->dims, k->rank, dtype_bits(k->dtype), &bytes);
  if (sound)
    sound = bytes == k->bytes && (k->data || k->file || bytes == 0);
  for (uint64_t i = 0; sound && k->dtype == DTYPE_STRING && i < bytes / sizeof(uint64_t); i++)
    sound = k->data && ((const uint64_t *)k->data)[i] < c->m->strings.count;
  if (!sound)
    note(c, diag_report(c->diags, DIAG_E0306, NULL, NULL,
                        "constant @%s has %llu bytes, which do not fit its type", k->name,
                        (unsigned long long)k->bytes));
}

static void check_name(struct checker *c, struct strmap *names, const char *what,
                       const char *name) {
  if (!name || strmap_get_c(names, name, NULL))
    note(c, diag_report(c->diags, DIAG_E0307, NULL, NULL, "two %s are named '%s'", what,
                        name ? name : ""));
  else
    strmap_put_c(names, name, 1);
}

static void check_names(struct checker *c) {
  struct strmap constants = {0}, functions = {0}, entries = {0};
  for (uint32_t i = 1; i < c->m->constants.len; i++)
    check_name(c, &constants, "constants", c->m->constants.data[i].name);
  for (uint32_t i = 0; i < c->m->functions.len; i++)
    check_name(c, &functions, "functions", c->m->functions.data[i]->name);
  for (uint32_t i = 0; i < c->m->entries.len; i++)
    check_name(c, &entries, "entries", c->m->entries.data[i].name);
  strmap_deinit(&constants);
  strmap_deinit(&functions);
  strmap_deinit(&entries);
}

static void check_mesh(struct checker *c, uint32_t id) {
  const struct mesh *mesh = c->m->meshes.data[id];
  bool sound = mesh->n_axes <= MESH_MAX_AXES;
  int64_t ranks = 1;
  for (uint32_t i = 0; i < mesh->n_axes && sound; i++) {
    sound =
        mesh->axes[i].name && mesh->axes[i].size >= 1 && i64_mul(ranks, mesh->axes[i].size, &ranks);
    for (uint32_t k = 0; k < i && sound; k++)
      sound = strcmp(mesh->axes[i].name, mesh->axes[k].name) != 0;
  }
  if (!sound)
    note(c,
         diag_report(c->diags, DIAG_E0309, NULL, NULL,
                     "mesh %u has too many axes, or one without size or with another's name", id));
}

static bool belongs(const struct module *m, const struct function *f) {
  for (uint32_t i = 0; i < m->functions.len; i++) {
    if (m->functions.data[i] == f)
      return true;
  }
  return false;
}

/* What keeps a variant from standing for its entry, or NULL. */
static const char *variant_problem(const struct checker *c, const struct entry *e, uint32_t i) {
  const struct entry_variant *v = &e->variants.data[i];
  if (!belongs(c->m, v->function))
    return "its function is not of the module";
  if (v->function->regions.len == 0 ||
      v->function->regions.data[0].params.len != e->input_names.len ||
      v->function->regions.data[0].results.len != e->output_names.len)
    return "its function has another number of inputs or outputs";
  if (i + 1 == e->variants.len && v->guards.len)
    return "it is the last and has guards";
  for (uint32_t k = 0; k < v->guards.len; k++) {
    if (v->guards.data[k].lhs == DIM_NONE || v->guards.data[k].rhs == DIM_NONE)
      return "a guard has no expression";
  }
  const struct function *first = e->variants.data[0].function, *f = v->function;
  for (uint32_t k = 0; k < e->input_names.len; k++) {
    if (value_type(f, f->regions.data[0].params.data[k])->dtype !=
        value_type(first, first->regions.data[0].params.data[k])->dtype)
      return "an input has another dtype than in the first variant";
  }
  return NULL;
}

static void check_entry(struct checker *c, const struct entry *e) {
  if (e->variants.len == 0)
    note(c, diag_report(c->diags, DIAG_E0308, NULL, NULL, "entry @%s has no variant", e->name));
  for (uint32_t i = 0; i < e->variants.len; i++) {
    const char *why = variant_problem(c, e, i);
    if (!why)
      continue;
    note(c, diag_report(c->diags, DIAG_E0308, NULL, NULL, "entry @%s, variant %u: %s", e->name, i,
                        why));
    return;
  }
  const char *why = entry_states_problem(e);
  if (why)
    note(c, diag_report(c->diags, DIAG_E0308, NULL, NULL, "entry @%s: %s", e->name, why));
}

typedef status (*verify_fn)(const struct function *f, struct diags *diags);

static status verify_with(const struct module *m, struct diags *diags, verify_fn function) {
  struct checker c = {.m = m, .diags = diags};
  for (uint32_t i = 1; i < m->constants.len; i++)
    check_constant(&c, i);
  for (uint32_t i = 0; i < m->meshes.len; i++)
    check_mesh(&c, i);
  check_names(&c);
  for (uint32_t i = 0; i < m->functions.len; i++)
    note(&c, function(m->functions.data[i], diags));
  /* Entries look at signatures, which only sound functions have. */
  for (uint32_t i = 0; i < m->entries.len && c.result == STATUS_OK; i++)
    check_entry(&c, &m->entries.data[i]);
  return c.result;
}

status module_verify(const struct module *m, struct diags *diags) {
  return verify_with(m, diags, function_verify);
}

status module_verify_form(const struct module *m, struct diags *diags) {
  return verify_with(m, diags, function_verify_form);
}
