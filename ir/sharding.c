/* SPDX-License-Identifier: Apache-2.0 */
/* Meshes and shardings: interning and text. */
#include "ir/sharding.h"

#include "base/str.h"

#include <string.h>

static bool mesh_equal(const struct mesh *a, const struct mesh *b) {
  if (a->n_axes != b->n_axes)
    return false;
  for (uint32_t i = 0; i < a->n_axes; i++) {
    if (strcmp(a->axes[i].name, b->axes[i].name) || a->axes[i].size != b->axes[i].size)
      return false;
  }
  return true;
}

uint32_t module_add_mesh(struct module *m, const struct mesh *mesh) {
  for (uint32_t i = 0; i < m->meshes.len; i++) {
    if (mesh_equal(m->meshes.data[i], mesh))
      return i;
  }
  struct mesh *copy = arena_memdup(&m->arena, mesh, sizeof *mesh);
  for (uint32_t i = 0; i < copy->n_axes; i++)
    copy->axes[i].name = module_intern(m, copy->axes[i].name);
  vec_push(&m->meshes, copy);
  return m->meshes.len - 1;
}

static bool refs_equal(const struct axis_ref *a, const struct axis_ref *b, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    if (a[i].axis != b[i].axis || a[i].sub_size != b[i].sub_size ||
        a[i].sub_stride != b[i].sub_stride)
      return false;
  }
  return true;
}

static bool split_equal(const struct dim_split *a, const struct dim_split *b) {
  return a->n_axes == b->n_axes && refs_equal(a->axes, b->axes, a->n_axes) &&
         a->granule == b->granule && a->order == b->order && a->block == b->block;
}

static bool sharding_equal(const struct sharding *a, const struct sharding *b) {
  if (a->mesh != b->mesh || a->rank != b->rank || a->partial.kind != b->partial.kind ||
      a->partial.n_axes != b->partial.n_axes ||
      !refs_equal(a->partial.axes, b->partial.axes, a->partial.n_axes))
    return false;
  for (uint32_t i = 0; i < a->rank; i++) {
    if (!split_equal(&a->dims[i], &b->dims[i]))
      return false;
  }
  return true;
}

sharding_id module_add_sharding(struct module *m, const struct sharding *s) {
  for (uint32_t i = 1; i < m->shardings.len; i++) {
    if (sharding_equal(m->shardings.data[i], s))
      return i;
  }
  vec_push(&m->shardings, arena_memdup(&m->arena, s, sizeof *s));
  return m->shardings.len - 1;
}

const char *partial_text(enum partial_kind kind) {
  return keyword_text(KEYWORD_KIND_partial_kind, (int)kind);
}

int partial_find(const char *text) {
  return keyword_find(KEYWORD_KIND_partial_kind, text, strlen(text));
}

/* tp, tp:2 (the outer part of size 2), tp/2:4 (of what the outer 2 leave, the part of size 4). */
static void print_ref(const struct mesh *mesh, const struct axis_ref *ref, struct strbuf *out) {
  const struct mesh_axis *axis = &mesh->axes[ref->axis];
  dim_print_name(axis->name, out);
  if (!ref->sub_size)
    return;
  int64_t inner = ref->sub_size * ref->sub_stride;
  int64_t outer = inner ? axis->size / inner : 0;
  if (outer != 1)
    strbuf_printf(out, "/%lld", (long long)outer);
  strbuf_printf(out, ":%lld", (long long)ref->sub_size);
}

static void print_refs(const struct mesh *mesh, const struct axis_ref *refs, uint32_t n,
                       struct strbuf *out) {
  for (uint32_t i = 0; i < n; i++) {
    if (i)
      strbuf_append_c(out, ", ");
    print_ref(mesh, &refs[i], out);
  }
}

static void print_split(const struct mesh *mesh, const struct dim_split *split,
                        struct strbuf *out) {
  if (split->n_axes == 0) {
    strbuf_char(out, '-');
    return;
  }
  if (split->n_axes > 1)
    strbuf_char(out, '[');
  print_refs(mesh, split->axes, split->n_axes, out);
  if (split->n_axes > 1)
    strbuf_char(out, ']');
  if (split->granule > 1)
    strbuf_printf(out, "*%lld", (long long)split->granule);
  if (split->order == SPLIT_ZIGZAG)
    strbuf_append_c(out, "~zig");
  if (split->order == SPLIT_INTERLEAVED)
    strbuf_printf(out, "~%lld", (long long)split->block);
}

void sharding_print(const struct module *m, sharding_id id, struct strbuf *out) {
  const struct sharding *s = m->shardings.data[id];
  const struct mesh *mesh = m->meshes.data[s->mesh];
  strbuf_char(out, '@');
  if (s->mesh)
    strbuf_printf(out, "m%u", s->mesh);
  strbuf_append_c(out, " {");
  for (uint32_t i = 0; i < s->rank; i++) {
    if (i)
      strbuf_append_c(out, ", ");
    print_split(mesh, &s->dims[i], out);
  }
  strbuf_char(out, '}');
  if (s->partial.kind == PARTIAL_NONE)
    return;
  strbuf_printf(out, " partial(%s, ", partial_text(s->partial.kind));
  print_refs(mesh, s->partial.axes, s->partial.n_axes, out);
  strbuf_char(out, ')');
}
