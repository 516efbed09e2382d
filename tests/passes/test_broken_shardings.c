/* SPDX-License-Identifier: Apache-2.0 */
/* Right sharded functions broken in one place at random: the checker refuses each of them, unless
 * all ranks still give what the function gives. */
#include "tests/passes/sharding_check.h"

#include "base/hash.h"
#include "passes/partition/random_assignment.h"

static const char text[] =
    "func @main(%x: f32[4, 6, 8], %a: f32[8, 12], %b: f32[12, 8], %i: i64[3]) -> (f32[3, 6, 8], "
    "f32[4, 1, 8]) {\n"
    "%h = contract %x, %a { lhs_k = [2], rhs_k = [0], dtype = f32 } : f32[4, 6, 12]\n"
    "%g = map %h { tanh($0) } : f32[4, 6, 12]\n"
    "%q0 = reshape %g { dims = [4, 6, 4, 3] } : f32[4, 6, 4, 3]\n"
    "%q = transpose %q0 { perm = [0, 2, 1, 3] } : f32[4, 4, 6, 3]\n"
    "%o, %l = attention %q, %q, %q { scale = 0.5, lse = true } : f32[4, 4, 6, 3], f32[4, 4, 6]\n"
    "%o1 = transpose %o { perm = [0, 2, 1, 3] } : f32[4, 6, 4, 3]\n"
    "%o2 = reshape %o1 { dims = [4, 6, 12] } : f32[4, 6, 12]\n"
    "%p = contract %o2, %b { lhs_k = [2], rhs_k = [0], dtype = f32 } : f32[4, 6, 8]\n"
    "%r = map %p, %x { add($0, $1) } : f32[4, 6, 8]\n"
    "%t = gather %r, %i { axes = [0], mode = clamp } : f32[3, 6, 8]\n"
    "%m = reduce %r { axes = [1], kind = max } : f32[4, 1, 8]\n"
    "return %t, %m\n}\n";

enum breakage { DROP, DOUBLE, OTHER_AXIS, OTHER_DIM, SWAP_SHARD, OTHER_PARTIAL, BREAKAGES };

static bool is_collective(const struct op *op) {
  return op->kind != OP_NONE && op->kind != OP_SHARD && op_infos[op->kind].flags & OP_FLAG_RANKS;
}

static op_id pick_collective(const struct function *f, uint64_t seed) {
  uint32_t n = 0;
  for (uint32_t i = 1; i < f->ops.len; i++)
    n += is_collective(&f->ops.data[i]);
  if (n == 0)
    return OP_ID_NONE;
  uint32_t k = (uint32_t)(hash_combine(seed, 5) % n);
  for (uint32_t i = 1; i < f->ops.len; i++)
    if (is_collective(&f->ops.data[i]) && k-- == 0)
      return i;
  return OP_ID_NONE;
}

static bool drop(struct function *f, op_id id) {
  const struct op *op = function_op(f, id);
  for (uint32_t i = 0; i < op->n_results; i++)
    function_replace_value(f, op->results[i], op->operands[i]);
  return true;
}

static bool twice(struct sharding_check *c, op_id id) {
  const struct op op = *function_op(c->f, id);
  struct builder b;
  builder_init(&b, c->f, op.parent, &c->diags);
  op_id again = build_op(&b, op.kind, op.results, op.n_results, NULL, 0, op.attrs);
  for (uint32_t i = 0; i < op.n_results; i++) {
    value_id v = op_result(c->f, again, i);
    c->f->values.data[v].type.sharding = value_type(c->f, op.results[i])->sharding;
    function_replace_value(c->f, op.results[i], v);
  }
  op_set_operands(c->f, again, op.results, op.n_results);
  function_sort(c->f);
  return true;
}

static bool other_axis(struct sharding_check *c, op_id id) {
  const struct op *op = function_op(c->f, id);
  struct ints *axes = (struct ints *)op->attrs;
  const struct mesh *mesh = c->m->meshes.data[c->mesh];
  int64_t *data = arena_memdup(&c->m->arena, axes->data, axes->len * sizeof *data);
  if (mesh->n_axes < 2 || axes->len != 1)
    return false;
  data[0] = (data[0] + 1) % mesh->n_axes;
  axes->data = data;
  return true;
}

static bool other_dim(struct sharding_check *c, op_id id) {
  const struct op *op = function_op(c->f, id);
  int64_t rank = value_type(c->f, op->results[0])->rank;
  int64_t *d = op->kind == OP_ALL_GATHER       ? &((struct all_gather_attrs *)op->attrs)->dim
               : op->kind == OP_REDUCE_SCATTER ? &((struct reduce_scatter_attrs *)op->attrs)->dim
               : op->kind == OP_ALL_TO_ALL     ? &((struct all_to_all_attrs *)op->attrs)->gather
                                               : NULL;
  if (d)
    *d = (*d + 1) % rank;
  return d != NULL;
}

/* Another sharding for one value: an order of parts, or a kind of partial. */
static bool other_sharding(struct sharding_check *c, uint64_t seed, bool partial) {
  struct function *f = c->f;
  uint32_t first = (uint32_t)(hash_combine(seed, 7) % f->values.len);
  for (uint32_t k = 0; k < f->values.len; k++) {
    struct value *v = &f->values.data[(first + k) % f->values.len];
    if (!v->type.sharding || v->def == OP_ID_NONE || function_op(f, v->def)->kind == OP_NONE)
      continue;
    struct sharding s = *c->m->shardings.data[v->type.sharding];
    for (uint32_t d = 0; !partial && d < s.rank; d++)
      if (s.dims[d].n_axes) {
        bool block = s.dims[d].order == SPLIT_BLOCK;
        s.dims[d].granule = 1;
        s.dims[d].order = block ? SPLIT_INTERLEAVED : SPLIT_BLOCK;
        s.dims[d].block = block;
        v->type.sharding = module_shard(c->m, &v->type, &s);
        return true;
      }
    if (partial && s.partial.kind) {
      s.partial.kind = s.partial.kind == PARTIAL_SUM ? PARTIAL_MAX : PARTIAL_SUM;
      v->type.sharding = module_shard(c->m, &v->type, &s);
      return true;
    }
  }
  return false;
}

static bool break_it(struct sharding_check *c, enum breakage how, uint64_t seed) {
  op_id id = pick_collective(c->f, seed);
  if (how == SWAP_SHARD || how == OTHER_PARTIAL)
    return other_sharding(c, seed, how == OTHER_PARTIAL);
  if (id == OP_ID_NONE)
    return false;
  return how == DROP         ? drop(c->f, id)
         : how == DOUBLE     ? twice(c, id)
         : how == OTHER_AXIS ? other_axis(c, id)
                             : other_dim(c, id);
}

static bool still_equal(struct sharding_check *c) {
  struct tensor *have[CHECK_MAX_VALUES];
  if (interp_spmd_run(c->f, c->m->meshes.data[c->mesh], INTERP_FIELD, c->inputs, &c->arena,
                      &c->diags, have))
    return false;
  for (uint32_t i = 0; i < c->f->regions.data[0].results.len; i++)
    if (memcmp(c->want[i]->data, have[i]->data, (size_t)c->want[i]->count * 8))
      return false;
  return true;
}

static void test_broken(void **state) {
  (void)state;
  uint32_t refused[BREAKAGES] = {0}, unequal[BREAKAGES] = {0};
  for (uint64_t seed = 1; seed <= 40; seed++)
    for (int how = 0; how < BREAKAGES; how++) {
      struct sharding_check c;
      struct assignment a;
      sharding_check_init(&c, text, seed);
      random_assignment(c.f, c.mesh, seed, &c.arena, &a);
      assert_int_equal(apply_sharding(c.f, &a, &c.diags), STATUS_OK);
      if (break_it(&c, (enum breakage)how, seed)) {
        function_sweep(c.f);
        bool equal = still_equal(&c);
        if (module_verify(c.m, &c.diags))
          refused[how]++;
        else if (!equal)
          check_failed(&c, "a broken plan passes the checker");
        unequal[how] += !equal;
      }
      sharding_check_deinit(&c);
    }
  for (int how = 0; how < BREAKAGES; how++)
    /* In lock-step the types alone say which dim a collective is of. */
    if (refused[how] < 8 || (unequal[how] < 4 && how != OTHER_DIM))
      fail_msg("breakage %d: %u refused, %u unequal", how, refused[how], unequal[how]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_broken)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
