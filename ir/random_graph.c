/* SPDX-License-Identifier: Apache-2.0 */
/* The random graph generator: numbers, types, values, the sequence of steps. */
#include "ir/random_build.h"

#include "base/checked.h"
#include "base/str.h"
#include "ir/literal.h"
#include "ir/verify.h"

#include <stdio.h>

enum { MOST_ELEMENTS = 2000, BASE_SYMBOLS = 3 };

/* ---- random numbers: splitmix64 ---- */

static uint64_t random_bits(struct random_gen *g) {
  uint64_t z = g->state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

uint32_t random_below(struct random_gen *g, uint32_t n) {
  return (uint32_t)((random_bits(g) >> 32) * n >> 32);
}

int64_t random_range(struct random_gen *g, int64_t lo, int64_t hi) {
  return lo + random_below(g, (uint32_t)(hi - lo + 1));
}

bool random_chance(struct random_gen *g, uint32_t percent) {
  return random_below(g, 100) < percent;
}

/* ---- types ---- */

bool random_is_number(enum dtype t) { return dtype_is_float(t) || dtype_is_int(t); }
bool random_is_float(enum dtype t) { return dtype_is_float(t); }
bool random_is_int(enum dtype t) { return dtype_is_int(t); }

enum dtype random_dtype(struct random_gen *g, bool (*accept)(enum dtype)) {
  enum dtype found[DTYPE_COUNT];
  uint32_t n = 0;
  for (int t = 0; t < DTYPE_COUNT; t++) {
    if ((g->options->dtypes >> t & 1) && t != DTYPE_STRING && (!accept || accept((enum dtype)t)))
      found[n++] = (enum dtype)t;
  }
  if (n)
    return found[random_below(g, n)];
  return accept && accept(DTYPE_I64) && !accept(DTYPE_F32) ? DTYPE_I64 : DTYPE_F32;
}

static dim symbolic_dim(struct random_gen *g, uint32_t i) {
  static const char *const names[BASE_SYMBOLS] = {"batch", "n", "seq"};
  return dim_symbol(g->t, names[i], g->options->empty ? 0 : 1, g->options->wide && i == 2 ? 40 : 4);
}

static dim random_dim(struct random_gen *g) {
  if (g->options->symbolic && random_chance(g, 30))
    return symbolic_dim(g, random_below(g, BASE_SYMBOLS));
  if (g->options->wide && random_chance(g, 15))
    return dim_const(g->t, random_range(g, 7, 40));
  return dim_const(g->t, random_chance(g, 15) ? 1 : random_range(g, 1, 6));
}

struct type random_type(struct random_gen *g, enum dtype dtype, uint32_t lo, uint32_t hi) {
  dim dims[IR_MAX_RANK];
  uint32_t rank = (uint32_t)random_range(g, lo, hi);
  for (uint32_t i = 0; i < rank; i++)
    dims[i] = random_dim(g);
  return type_make(dtype, dims, rank);
}

/* ---- values ---- */

void random_keep(struct random_gen *g, value_id v) {
  if (v == VALUE_NONE)
    return;
  int64_t lo, hi;
  const struct type *type = value_type(g->f, v);
  dim_bounds(g->t, type_elements(g->t, type), &lo, &hi);
  /* Large values stay results but feed nothing, so that sizes do not explode; nor do shapes whose
   * expressions grow. */
  if (hi <= MOST_ELEMENTS && type->rank <= 5)
    vec_push(&g->values, v);
}

static void put_bits(unsigned char *data, unsigned width, uint64_t i, uint64_t bits) {
  if (width < 8) {
    data[i * width / 8] |= (unsigned char)(bits << (i * width % 8));
    return;
  }
  for (unsigned k = 0; k < width / 8; k++)
    data[i * (width / 8) + k] = (unsigned char)(bits >> (8 * k));
}

static uint64_t element_bits(struct random_gen *g, enum dtype dtype, int64_t lo, int64_t hi) {
  if (dtype_is_float(dtype))
    return literal_bits_f64(dtype, (double)random_range(g, 4 * lo, 4 * hi) / 4);
  if (!dtype_is_signed(dtype) && lo < 0)
    lo = 0;
  return literal_bits_i64(dtype, random_range(g, lo, hi));
}

value_id random_constant(struct random_gen *g, enum dtype dtype, const int64_t *dims, uint32_t rank,
                         int64_t lo, int64_t hi) {
  int64_t n = 0;
  uint64_t bytes = 0;
  if (!shape_elements(dims, rank, &n) || !shape_bytes(dims, rank, dtype_bits(dtype), &bytes))
    return VALUE_NONE;
  unsigned char *data = arena_alloc(&g->m->arena, bytes);
  for (int64_t i = 0; i < n; i++)
    put_bits(data, dtype_bits(dtype), (uint64_t)i, element_bits(g, dtype, lo, hi));
  value_id v = build_const_data(&g->b, dtype, dims, rank, data, bytes);
  random_keep(g, v);
  return v;
}

/* Whether inputs may have this type: only the symbols that inputs bind. */
static bool input_type(const struct random_gen *g, const struct type *type) {
  uint32_t n = dim_symbol_count(g->t);
  for (uint32_t s = g->options->symbolic ? BASE_SYMBOLS : 0; s < n; s++) {
    for (uint32_t i = 0; i < type->rank; i++) {
      if (dim_uses_symbol(g->t, type->dims[i], s))
        return false;
    }
  }
  return true;
}

value_id random_value_of(struct random_gen *g, const struct type *type) {
  int64_t dims[IR_MAX_RANK];
  uint32_t start = g->values.len ? random_below(g, g->values.len) : 0;
  for (uint32_t i = 0; i < g->values.len && random_chance(g, 90); i++) {
    value_id v = g->values.data[(start + i) % g->values.len];
    if (type_same_shape(value_type(g->f, v), type))
      return v;
  }
  if (type_static_dims(g->t, type, dims) && random_chance(g, 50))
    return random_constant(g, type->dtype, dims, type->rank, -5, 5);
  if (!input_type(g, type)) {
    value_id positions = build_iota(&g->b, DTYPE_I64, type->dims, type->rank, type->rank - 1);
    value_id v = build_cast(&g->b, positions, type->dtype);
    random_keep(g, v);
    return v;
  }
  char name[16];
  snprintf(name, sizeof name, "x%u", g->f->regions.data[0].params.len);
  value_id v = region_add_param(g->f, 0, type, random_chance(g, 50) ? name : NULL);
  random_keep(g, v);
  return v;
}

value_id random_pick(struct random_gen *g, bool (*accept)(struct random_gen *, value_id)) {
  for (int tries = random_chance(g, 15) ? 12 : 0; tries < 12 && g->values.len; tries++) {
    value_id v = g->values.data[random_below(g, g->values.len)];
    if (!accept || accept(g, v))
      return v;
  }
  for (int tries = 0; tries < 12; tries++) {
    struct type type = random_type(g, random_dtype(g, NULL), 0, 4);
    value_id v = random_value_of(g, &type);
    if (!accept || accept(g, v))
      return v;
  }
  return VALUE_NONE;
}

/* ---- the module ---- */

/* Values without users become the results, and at least one value does. */
static void give_results(struct random_gen *g) {
  struct arena scratch = {0};
  struct uses uses;
  uses_build(g->f, &scratch, &uses);
  const struct region *body = &g->f->regions.data[0];
  uint32_t n_ops = body->ops.len;
  for (uint32_t i = 0; i < n_ops; i++) {
    const struct op *op = &g->f->ops.data[g->f->regions.data[0].ops.data[i]];
    for (uint32_t k = 0; k < op->n_results; k++) {
      if (uses_count(&uses, op->results[k]) == 0)
        vec_push(&g->f->regions.data[0].results, op->results[k]);
    }
  }
  if (body->results.len == 0 && g->values.len)
    vec_push(&g->f->regions.data[0].results, g->values.data[0]);
  arena_deinit(&scratch);
}

static void add_entry(struct random_gen *g) {
  struct entry e = {.name = module_intern(g->m, "main")};
  char name[24];
  for (uint32_t i = 0; i < g->f->regions.data[0].params.len; i++) {
    snprintf(name, sizeof name, "in%u", i);
    vec_push(&e.input_names, module_intern(g->m, name));
  }
  for (uint32_t i = 0; i < g->f->regions.data[0].results.len; i++) {
    snprintf(name, sizeof name, "out%u", i);
    vec_push(&e.output_names, module_intern(g->m, name));
  }
  vec_push(&e.variants, (struct entry_variant){.function = g->f});
  vec_push(&g->m->entries, e);
}

static enum op_kind random_kind(struct random_gen *g) {
  enum op_kind found[OP_COUNT];
  uint32_t n = 0;
  for (int k = OP_NONE + 1; k < OP_COUNT; k++) {
    if (g->options->kinds >> k & 1)
      found[n++] = (enum op_kind)k;
  }
  /* Maps are what models are made of. */
  bool map = (g->options->kinds >> OP_MAP & 1) && random_chance(g, 20);
  return map || n == 0 ? OP_MAP : found[random_below(g, n)];
}

/* An input that binds every symbol. */
static void add_anchor(struct random_gen *g) {
  dim dims[BASE_SYMBOLS];
  for (uint32_t i = 0; i < BASE_SYMBOLS; i++)
    dims[i] = symbolic_dim(g, i);
  struct type type = type_make(random_dtype(g, NULL), dims, BASE_SYMBOLS);
  random_keep(g, region_add_param(g->f, 0, &type, "sizes"));
}

static void name_some(struct random_gen *g) {
  static const char *const names[] = {"h", "/layer.0/out", "a b", "7", "q\"uote", "step"};
  for (uint32_t v = 1; v < g->f->values.len; v++) {
    if (random_chance(g, 10))
      value_set_name(g->f, v, names[random_below(g, 6)]);
  }
}

struct module *random_graph(const struct random_graph_options *options, struct diags *diags) {
  struct module *m = module_create();
  struct random_gen g = {.options = options, .state = options->seed, .m = m, .t = m->dims};
  g.f = function_create(m, "main");
  builder_init(&g.b, g.f, 0, diags);
  if (options->symbolic)
    add_anchor(&g);
  for (uint32_t i = 0; i < options->ops; i++) {
    enum op_kind kind = random_kind(&g);
    g.b.provenance = random_chance(&g, 30)
                         ? module_add_provenance(m, "node", op_infos[kind].name, (int32_t)i)
                         : 0;
    random_step(&g, kind);
  }
  give_results(&g);
  name_some(&g);
  add_entry(&g);
  vec_deinit(&g.values);
  if (g.b.failures == 0 && module_verify(m, diags) == STATUS_OK)
    return m;
  module_destroy(m);
  return NULL;
}
