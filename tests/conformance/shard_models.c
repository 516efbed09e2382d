/* SPDX-License-Identifier: Apache-2.0 */
/* Models split over ranks, in the exact domain: what all ranks of a mesh give in lock-step is,
 * element by element, what the model gives; and so does the program that localise makes of it.
 *
 *   shard_models [--shape NAME:DxD]... [--input NAME=LO..HI]... [--mesh TEXT]... [--random N]
 *                [--phases BxSxC] [--quiet] FOLDER
 *
 * FOLDER has model.onnx and, unless inputs are described by --shape and --input, test_data_set_0.
 * Each
 * --mesh ("tp=2,cp=2") is assigned by the roles of its axes; a mesh that no op of the model can use
 * is passed over. --random tries N random assignments on each mesh. --phases: not `main` but
 * prefill and decode, whose states are split alike, for B batch rows of S tokens and states of C
 * rows; tokens are within 0..3 or what --input says, and each row has another length. One line per
 * assignment; exit code 1 if any differs. */
#include "base/file.h"
#include "base/mem.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/model_load.h"
#include "ir/field.h"
#include "ir/interp_spmd.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/partition/apply_sharding.h"
#include "passes/partition/deal_rows.h"
#include "passes/partition/localise.h"
#include "passes/partition/prepare_sharding.h"
#include "passes/partition/random_assignment.h"
#include "passes/partition/role_assignment.h"
#include "passes/partition/spread_experts.h"
#include "passes/pipeline.h"

#include <stdlib.h>
#include <string.h>

#define MOST 64

struct checker {
  const char *folder;
  const char *shapes[MOST], *ranges[MOST], *meshes[MOST];
  uint32_t n_shapes, n_ranges, n_meshes, seeds;
  bool quiet, show;
  bool phases;
  int64_t batch, tokens, capacity;
  const struct entry *entry;
  sharding_id *states; /* of the mesh at hand */
  struct onnx_model *model;
  struct module *m;
  struct function *f;
  struct arena arena;
  struct diags diags;
  struct tensor **inputs, **want;
  uint32_t failures, passed, passed_over;
};

static int fail(struct checker *c, const char *what) {
  fprintf(stderr, "%s: %s\n", c->folder, what);
  diags_print(&c->diags, stderr);
  return 1;
}

/* ---- inputs ---- */

static struct tensor *to_field(struct tensor *t) {
  for (int64_t i = 0; dtype_is_float(t->dtype) && i < t->count; i++)
    t->i64[i] = field_from_f64(t->f64[i]);
  return t;
}

static struct tensor *read_input(struct checker *c, uint32_t i) {
  char path[4096], *bytes;
  size_t size;
  struct onnx_tensor view;
  enum dtype dtype;
  snprintf(path, sizeof path, "%s/test_data_set_0/input_%u.pb", c->folder, i);
  if (file_read(path, UINT64_C(1) << 31, &c->diags, &bytes, &size))
    return NULL;
  Onnx__TensorProto *proto = onnx__tensor_proto__unpack(NULL, size, (const uint8_t *)bytes);
  mem_free(bytes);
  if (!proto || onnx_tensor_resolve(c->model, proto, &c->diags, &view) ||
      !dtype_from_onnx(view.onnx_type, &dtype) || view.rank > IR_MAX_RANK)
    return NULL;
  return to_field(tensor_from_bytes(&c->arena, dtype, view.dims, view.rank, view.data));
}

/* LO..HI of an input; 0..3 where nothing is said. */
static void range_of(const struct checker *c, const char *name, long long *lo, long long *hi) {
  *lo = 0;
  *hi = 3;
  for (uint32_t i = 0; i < c->n_ranges; i++) {
    const char *equals = strrchr(c->ranges[i], '=');
    if (equals && !strncmp(c->ranges[i], name, (size_t)(equals - c->ranges[i])) &&
        name[equals - c->ranges[i]] == 0)
      sscanf(equals + 1, "%lld..%lld", lo, hi);
  }
}

/* ---- of prefill and decode ---- */

/* The sizes that were asked for, in place of symbols. */
static bool phase_dims(const struct checker *c, const struct type *type, int64_t *out) {
  struct dim_table *t = c->m->dims;
  const struct region *body = &c->f->regions.data[0];
  const struct type *tokens = value_type(c->f, body->params.data[0]);
  const struct type *state = value_type(c->f, body->params.data[c->entry->states.data[0].input]);
  dim *values = mem_calloc(dim_symbol_count(t), sizeof *values);
  uint32_t symbol;
  for (uint32_t d = 0; d < state->rank; d++)
    if (dim_symbol_of(t, state->dims[d], &symbol))
      values[symbol] = dim_const(t, d ? c->capacity : c->batch);
  if (dim_symbol_of(t, tokens->dims[1], &symbol))
    values[symbol] = dim_const(t, c->tokens);
  bool known = true;
  for (uint32_t d = 0; d < type->rank; d++)
    known &= dim_is_const(t, dim_substitute(t, type->dims[d], values), &out[d]);
  mem_free(values);
  return known;
}

/* The numbers of tokens, from all to none, and of rows before them. */
static void count_rows(const struct checker *c, uint32_t i, struct tensor *t) {
  int64_t most = c->entry->count ? c->tokens : 1;
  for (int64_t k = 0; k < t->count; k++)
    t->i64[k] = i + 1 == c->entry->count
                    ? most - k % (most + 1)
                    : (c->capacity - most) * k / (t->count > 1 ? t->count - 1 : 1);
}

static bool is_counter(const struct checker *c, uint32_t i) {
  return c->entry && (i + 1 == c->entry->count || i + 1 == c->entry->length);
}

static struct tensor *make_input(struct checker *c, uint32_t i) {
  const struct type *type = value_type(c->f, c->f->regions.data[0].params.data[i]);
  int64_t dims[IR_MAX_RANK];
  long long lo, hi;
  if (c->entry ? !phase_dims(c, type, dims) : !type_static_dims(c->m->dims, type, dims))
    return NULL;
  struct tensor *t = tensor_create(&c->arena, type->dtype, dims, type->rank);
  if (t && is_counter(c, i)) {
    count_rows(c, i, t);
    return t;
  }
  range_of(c, (c->entry ? c->entry : &c->m->entries.data[0])->input_names.data[i], &lo, &hi);
  for (int64_t k = 0; t && k < t->count; k++) {
    int64_t x = field_hash(i + 1, k, 0, 0);
    t->i64[k] = dtype_is_float(type->dtype) ? x : lo + x % (hi - lo + 1);
  }
  return t;
}

/* The function at hand: its inputs, and what it gives without ranks. */
static bool take_function(struct checker *c, struct function *f) {
  const struct region *body = &f->regions.data[0];
  c->f = f;
  c->inputs = ARENA_ARRAY(&c->arena, struct tensor *, body->params.len + 1);
  c->want = ARENA_ARRAY(&c->arena, struct tensor *, body->results.len + 1);
  for (uint32_t i = 0; i < body->params.len; i++) {
    c->inputs[i] = c->entry || c->n_shapes || c->n_ranges ? make_input(c, i) : read_input(c, i);
    if (!c->inputs[i])
      return false;
  }
  return interp_run(c->f, INTERP_FIELD, c->inputs, &c->arena, &c->diags, c->want) == STATUS_OK;
}

static bool load(struct checker *c) {
  char path[4096];
  struct onnx_import_options import = {.shapes = c->shapes, .n_shapes = c->n_shapes};
  struct pipeline_options passes = {.stop_after = "hoist"};
  snprintf(path, sizeof path, "%s/model.onnx", c->folder);
  if (onnx_model_load(path, NULL, &c->diags, &c->model) ||
      onnx_import(c->model, &import, &c->diags, &c->m) || pipeline_run(c->m, &passes, &c->diags))
    return false;
  for (uint32_t i = 0; i < c->m->entries.len; i++)
    if (prepare_sharding(vec_last(&c->m->entries.data[i].variants).function, &c->diags))
      return false;
  return module_verify(c->m, &c->diags) == STATUS_OK;
}

/* ---- assignments ---- */

static struct function *copy_function(struct checker *c) {
  struct function *f = function_create(c->m, c->f->name);
  struct builder b;
  value_id *map = ARENA_ARRAY(&c->arena, value_id, c->f->values.len);
  builder_init(&b, f, 0, &c->diags);
  for (uint32_t i = 0; i < c->f->regions.data[0].params.len; i++) {
    value_id v = c->f->regions.data[0].params.data[i];
    map[v] = region_add_param(f, 0, value_type(c->f, v), NULL);
  }
  for (uint32_t i = 0; i < c->f->where.len; i++)
    vec_push(&f->where, c->f->where.data[i]);
  for (uint32_t i = 0; i < c->f->regions.data[0].ops.len; i++)
    op_clone(&b, c->f, c->f->regions.data[0].ops.data[i], map);
  for (uint32_t i = 0; i < c->f->regions.data[0].results.len; i++)
    vec_push(&f->regions.data[0].results, map[c->f->regions.data[0].results.data[i]]);
  return b.failures ? NULL : f;
}

struct counts {
  uint32_t split, collectives;
};

static struct counts count_ops(const struct function *f) {
  struct counts n = {0, 0};
  for (uint32_t i = 1; i < f->ops.len; i++) {
    const struct op *op = &f->ops.data[i];
    bool ranks = op->kind != OP_NONE && op_infos[op->kind].flags & OP_FLAG_RANKS;
    n.collectives += ranks && op->kind != OP_SHARD;
    n.split += op->kind != OP_NONE && op->n_results && value_type(f, op->results[0])->sharding != 0;
  }
  return n;
}

static const char *compare(const struct checker *c, struct tensor *const *have, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (c->want[i]->count != have[i]->count ||
        memcmp(c->want[i]->data, have[i]->data, (size_t)c->want[i]->count * 8))
      return "gives something else";
  return NULL;
}

/* The same of the program that each rank runs. */
static const char *check_local(struct checker *c, struct function *f, const struct mesh *mesh,
                               struct arena *arena, uint32_t n) {
  struct tensor **have = ARENA_ARRAY(arena, struct tensor *, n + 1);
  struct function *local = localise(f, &c->diags);
  if (!local)
    return "is not localised";
  if (function_verify(local, &c->diags))
    return "does not verify on one rank";
  if (interp_spmd_run_local(local, f, mesh, INTERP_FIELD, c->inputs, arena, &c->diags, have))
    return "does not run, localised";
  return compare(c, have, n) ? "gives something else, localised" : NULL;
}

/* NULL where all ranks give what the function gives. */
static const char *check(struct checker *c, struct function *f, const struct assignment *a) {
  struct arena arena = {0};
  uint32_t n = f->regions.data[0].results.len;
  struct tensor **have = ARENA_ARRAY(&arena, struct tensor *, n + 1);
  const char *wrong = NULL;
  const struct mesh *mesh = c->m->meshes.data[a->mesh];
  if (apply_sharding(f, a, &c->diags))
    wrong = "is not applied";
  else if (finish_sharding(f, &c->diags) || function_verify(f, &c->diags))
    wrong = "does not verify";
  else if (interp_spmd_run(f, mesh, INTERP_FIELD, c->inputs, &arena, &c->diags, have))
    wrong = "does not run";
  if (!wrong)
    wrong = compare(c, have, n);
  if (!wrong)
    wrong = check_local(c, f, mesh, &arena, n);
  arena_deinit(&arena);
  return wrong;
}

static void report(struct checker *c, struct function *f, const char *mesh, uint32_t seed,
                   const char *wrong) {
  struct counts n = count_ops(f);
  if (wrong || !c->quiet)
    printf("%s %s %s %u: %u ops split, %u collectives%s%s\n", wrong ? "FAIL" : "PASS", c->folder,
           mesh, seed, n.split, n.collectives, wrong ? ", " : "", wrong ? wrong : "");
  if (wrong) {
    fflush(stdout);
    diags_print(&c->diags, stderr);
    struct strbuf text = {0};
    module_print(c->m, &text);
    if (c->show)
      printf("%s\n", strbuf_c(&text));
    strbuf_deinit(&text);
  }
  c->failures += wrong != NULL;
  c->passed += wrong == NULL;
  diags_deinit(&c->diags);
  c->diags = (struct diags){0};
}

static void check_assignment(struct checker *c, const char *text, uint32_t mesh, uint32_t seed) {
  struct arena arena = {0};
  struct assignment a;
  struct function *f = copy_function(c);
  if (f && parallel_has_experts(text) && spread_experts(f, &c->diags))
    f = NULL;
  if (!f) {
    report(c, c->f, text, seed, "is not copied");
    return;
  }
  if (seed) {
    random_assignment(f, mesh, seed, &arena, &a);
  } else if (role_assignment(f, mesh, c->entry ? c->states : NULL, &arena, &c->diags, &a)) {
    c->passed_over++;
    if (!c->quiet)
      diags_print(&c->diags, stdout);
    diags_deinit(&c->diags);
    c->diags = (struct diags){0};
    arena_deinit(&arena);
    return;
  }
  if (c->entry)
    deal_rows(f, value_type(f, f->regions.data[0].params.data[c->entry->length - 1])->dims[0],
              &arena, &a);
  report(c, f, text, seed, check(c, f, &a));
  arena_deinit(&arena);
}

/* `main`; or, with --phases, decode, then prefill, whose states are as decode has them. */
static bool check_functions(struct checker *c, uint32_t mesh, const char *text) {
  uint32_t n = c->phases ? c->m->entries.len : 1;
  bool any = false;
  for (uint32_t i = n; i-- > 0;) {
    c->entry = c->m->entries.data[i].states.len ? &c->m->entries.data[i] : NULL;
    if (c->phases != (c->entry != NULL))
      continue;
    if (c->phases && !any) {
      c->states = ARENA_ARRAY(&c->arena, sharding_id, c->entry->states.len);
      memset(c->states, 0xff, c->entry->states.len * sizeof *c->states); /* LAYOUT_FREE */
    }
    any = true;
    if (!take_function(c, vec_last(&c->m->entries.data[i].variants).function))
      return false;
    for (uint32_t seed = 0; seed <= c->seeds; seed++)
      check_assignment(c, text, mesh, seed);
  }
  return any;
}

static int run(struct checker *c) {
  if (!load(c))
    return fail(c, "cannot be loaded");
  for (uint32_t i = 0; i < c->n_meshes; i++) {
    uint32_t mesh;
    if (parallel_parse(c->m, c->meshes[i], &c->diags, &mesh))
      return fail(c, c->meshes[i]);
    if (!check_functions(c, mesh, c->meshes[i]))
      return fail(c, "cannot be run");
  }
  printf("%s: %u passed, %u failed, %u meshes do not apply\n", c->folder, c->passed, c->failures,
         c->passed_over);
  return c->failures != 0;
}

int main(int argc, char **argv) {
  static struct checker c;
  for (int i = 1; i < argc; i++) {
    bool more = i + 1 < argc;
    if (!strcmp(argv[i], "--shape") && more && c.n_shapes < MOST)
      c.shapes[c.n_shapes++] = argv[++i];
    else if (!strcmp(argv[i], "--input") && more && c.n_ranges < MOST)
      c.ranges[c.n_ranges++] = argv[++i];
    else if (!strcmp(argv[i], "--mesh") && more && c.n_meshes < MOST)
      c.meshes[c.n_meshes++] = argv[++i];
    else if (!strcmp(argv[i], "--random") && more)
      c.seeds = (uint32_t)atoi(argv[++i]);
    else if (!strcmp(argv[i], "--phases") && more) {
      long long batch, tokens, capacity;
      c.phases = sscanf(argv[++i], "%lldx%lldx%lld", &batch, &tokens, &capacity) == 3;
      if (!c.phases)
        return fprintf(stderr, "--phases 3x5x37\n"), 2;
      c.batch = batch;
      c.tokens = tokens;
      c.capacity = capacity;
    } else if (!strcmp(argv[i], "--quiet"))
      c.quiet = true;
    else if (!strcmp(argv[i], "--show"))
      c.show = true;
    else if (argv[i][0] == '-')
      return fprintf(stderr, "unknown option %s\n", argv[i]), 2;
    else
      c.folder = argv[i];
  }
  if (!c.folder)
    return fprintf(stderr, "no folder\n"), 2;
  return run(&c);
}
