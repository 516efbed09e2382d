/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing: meshes, constants and entries. */
#include "base/checked.h"
#include "ir/literal.h"
#include "ir/sir_parse.h"

#include <stdio.h>
#include <string.h>

void sir_mesh(struct sir_parser *p, struct sir_name name, struct sir_names axes,
              struct sir_exprs sizes) {
  struct mesh mesh = {.n_axes = axes.len};
  char wanted[16];
  snprintf(wanted, sizeof wanted, "m%u", p->m->meshes.len);
  if (strcmp(name.text, wanted))
    sir_error(p, &name.at, DIAG_E0203, "meshes are numbered from 0", "mesh @%s is to be named @%s",
              name.text, wanted);
  if (axes.len > MESH_MAX_AXES) {
    sir_error(p, &name.at, DIAG_E0205, NULL, "a mesh of more than %d axes", MESH_MAX_AXES);
    return;
  }
  for (uint32_t i = 0; i < axes.len; i++) {
    mesh.axes[i].name = axes.data[i].text;
    if (sir_i64(p, &sizes.data[i], &mesh.axes[i].size) && mesh.axes[i].size < 1)
      sir_error(p, &sizes.data[i].at, DIAG_E0205, NULL, "an axis without ranks");
  }
  uint32_t before = p->m->meshes.len;
  if (module_add_mesh(p->m, &mesh) != before)
    sir_error(p, &name.at, DIAG_E0203, NULL, "two meshes are equal");
}

/* ---- constants ---- */

/* Name and static type; false after a report. */
static bool constant_begin(struct sir_parser *p, const struct sir_name *name,
                           const struct type *type, bool strings, struct constant *out) {
  *out = (struct constant){.name = name->text, .dtype = type->dtype, .rank = type->rank};
  if (strmap_get_c(&p->constants, name->text, NULL)) {
    sir_error(p, &name->at, DIAG_E0203, NULL, "constant @%s is defined twice", name->text);
    return false;
  }
  if (!type_static_dims(p->m->dims, type, out->dims)) {
    sir_error(p, &name->at, DIAG_E0206, NULL, "the dims of a constant are numbers");
    return false;
  }
  if (type->dtype == DTYPE_STRING && !strings) {
    sir_error(p, &name->at, DIAG_E0206, NULL, "the elements of @%s are strings", name->text);
    return false;
  }
  if (!shape_bytes(out->dims, out->rank, dtype_bits(type->dtype), &out->bytes)) {
    sir_error(p, &name->at, DIAG_E0206, NULL, "no constant has this type");
    return false;
  }
  return true;
}

static void constant_end(struct sir_parser *p, const struct constant *c) {
  strmap_put_c(&p->constants, c->name, module_add_constant(p->m, c));
}

static void set_element(unsigned char *data, unsigned width, uint64_t i, uint64_t bits) {
  if (width < 8) {
    data[i * width / 8] |= (unsigned char)(bits << (i * width % 8));
    return;
  }
  for (unsigned k = 0; k < width / 8; k++)
    data[i * (width / 8) + k] = (unsigned char)(bits >> (8 * k));
}

void sir_constant_numbers(struct sir_parser *p, struct sir_name name, const struct type *type,
                          const struct sir_exprs *numbers) {
  struct constant c;
  int64_t elements;
  if (!constant_begin(p, &name, type, numbers->len == 0, &c))
    return;
  if (!shape_elements(c.dims, c.rank, &elements) || elements != numbers->len) {
    sir_error(p, &name.at, DIAG_E0206, NULL, "@%s has %u elements, but its type %lld", name.text,
              numbers->len, (long long)elements);
    return;
  }
  unsigned char *data = arena_alloc(&p->m->arena, c.bytes);
  for (uint32_t i = 0; i < numbers->len; i++) {
    double f = 0;
    int64_t n = 0;
    if (!sir_number(p, &numbers->data[i], c.dtype, &f, &n))
      return;
    set_element(data, dtype_bits(c.dtype), i,
                dtype_is_float(c.dtype) ? literal_bits_f64(c.dtype, f)
                                        : literal_bits_i64(c.dtype, n));
  }
  c.data = data;
  constant_end(p, &c);
}

void sir_constant_strings(struct sir_parser *p, struct sir_name name, const struct type *type,
                          const struct sir_names *strings) {
  struct constant c;
  int64_t elements;
  if (!constant_begin(p, &name, type, true, &c))
    return;
  if (c.dtype != DTYPE_STRING || !shape_elements(c.dims, c.rank, &elements) ||
      elements != strings->len) {
    sir_error(p, &name.at, DIAG_E0206, NULL, "@%s has %u strings, which do not fit its type",
              name.text, strings->len);
    return;
  }
  uint64_t *ids = ARENA_ARRAY(&p->m->arena, uint64_t, strings->len);
  for (uint32_t i = 0; i < strings->len; i++)
    ids[i] = module_add_string(p->m, strings->data[i].text, strlen(strings->data[i].text));
  c.data = ids;
  constant_end(p, &c);
}

static int digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void sir_constant_hex(struct sir_parser *p, struct sir_name name, const struct type *type,
                      const char *digits, const struct sir_loc *at) {
  struct constant c;
  if (!constant_begin(p, &name, type, false, &c))
    return;
  size_t n = strlen(digits);
  if (n / 2 != c.bytes || n % 2) {
    sir_error(p, at, DIAG_E0206, NULL, "@%s has %zu digits, but its type %llu bytes", name.text, n,
              (unsigned long long)c.bytes);
    return;
  }
  unsigned char *data = arena_alloc(&p->m->arena, c.bytes);
  for (size_t i = 0; i < c.bytes; i++) {
    int high = digit(digits[2 * i]), low = digit(digits[2 * i + 1]);
    if (high < 0 || low < 0) {
      sir_error(p, at, DIAG_E0206, NULL, "a digit that is none of 0-9 a-f");
      return;
    }
    data[i] = (unsigned char)(high * 16 + low);
  }
  c.data = data;
  constant_end(p, &c);
}

void sir_constant_file(struct sir_parser *p, struct sir_name name, const struct type *type,
                       const char *file, const struct sir_expr *offset) {
  struct constant c;
  if (!constant_begin(p, &name, type, false, &c))
    return;
  c.file = file;
  c.offset = offset->magnitude;
  constant_end(p, &c);
}

/* ---- entries ---- */

void sir_entry(struct sir_parser *p, struct sir_name name, struct sir_names inputs,
               struct sir_names outputs) {
  struct entry e = {.name = module_intern(p->m, name.text)};
  for (uint32_t i = 0; i < inputs.len; i++)
    vec_push(&e.input_names, module_intern(p->m, inputs.data[i].text));
  for (uint32_t i = 0; i < outputs.len; i++)
    vec_push(&e.output_names, module_intern(p->m, outputs.data[i].text));
  vec_push(&p->m->entries, e);
}

/* 1 + the place of a name of the entry's inputs or outputs, 0 where it is none. */
static uint32_t find_port(const struct entry *e, bool input, const char *name) {
  uint32_t n = input ? e->input_names.len : e->output_names.len;
  const char *const *names = input ? e->input_names.data : e->output_names.data;
  for (uint32_t i = 0; i < n; i++)
    if (!strcmp(names[i], name))
      return i + 1;
  return 0;
}

void sir_states(struct sir_parser *p, const struct sir_loc *at, struct sir_names counts,
                struct sir_names inputs, struct sir_names outputs) {
  struct entry *e = &vec_last(&p->m->entries);
  if (counts.len < 1 || counts.len > 2 || inputs.len != outputs.len || !inputs.len) {
    sir_error(p, at, DIAG_E0202, NULL,
              "states are (length) or (length, count), then as many inputs as outputs");
    return;
  }
  e->length = find_port(e, true, counts.data[0].text);
  e->count = counts.len > 1 ? find_port(e, true, counts.data[1].text) : 0;
  bool found = e->length && (counts.len == 1 || e->count);
  for (uint32_t i = 0; i < inputs.len; i++) {
    uint32_t in = find_port(e, true, inputs.data[i].text),
             out = find_port(e, false, outputs.data[i].text);
    found &= in && out;
    vec_push(&e->states, ((struct entry_state){in - 1, out - 1}));
  }
  if (!found)
    sir_error(p, at, DIAG_E0202, NULL, "a state names no input or output of its entry");
}

void sir_variant(struct sir_parser *p, struct sir_name function, const struct sir_conds *guards) {
  struct entry_variant v = {.function = module_find_function(p->m, function.text)};
  if (!v.function) {
    sir_error(p, &function.at, DIAG_E0202, NULL, "there is no function @%s above", function.text);
    return;
  }
  vec_append(&v.guards, guards->data, guards->len);
  vec_push(&vec_last(&p->m->entries).variants, v);
}
