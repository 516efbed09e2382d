/* SPDX-License-Identifier: Apache-2.0 */
/* Ops with arbitrary operands and attributes: the type rules refuse or accept them, and what they
 * accept runs to a result of its type or to a report; nothing else may happen. */
#include "tests/ir/eval_fixture.h"

#include "ir/ops/conditions.h"
#include "ir/scalar_eval.h"

#include <stdlib.h>

#define PARAMS 8

struct hostile {
  struct fixture x;
  uint64_t state;
  bool conv, contract;
  uint32_t rank; /* that most of this round's types have */
  dim symbols[3];
  value_id params[PARAMS];
};

static uint64_t draw(struct hostile *h, uint64_t n) {
  h->state ^= h->state << 13;
  h->state ^= h->state >> 7;
  h->state ^= h->state << 17;
  return (h->state >> 20) % n;
}

static int64_t draw_int(struct hostile *h) {
  static const int64_t odd[] = {INT64_MIN, INT64_MAX, -1, 1 << 20, INT64_C(1) << 40, -7};
  return draw(h, 16) ? (int64_t)draw(h, 4) : odd[draw(h, 6)];
}

static dim draw_dim(struct hostile *h) {
  struct dim_table *t = h->x.t;
  switch (draw(h, 16)) {
  case 0: return dim_add(t, h->symbols[draw(h, 3)], dim_const(t, 1));
  case 1: return dim_mul(t, h->symbols[draw(h, 3)], h->symbols[draw(h, 3)]);
  case 2: return draw(h, 8) ? dim_sub(t, h->symbols[0], h->symbols[1]) : DIM_NONE;
  case 3: return dim_const(t, draw_int(h));
  case 4:
  case 5: return h->symbols[draw(h, 3)];
  default: return dim_const(t, (int64_t)draw(h, 4));
  }
}

/* Mostly the dtypes that ops take, so that something is accepted. */
static enum dtype draw_dtype(struct hostile *h) {
  static const enum dtype usual[] = {DTYPE_F32, DTYPE_F32,  DTYPE_I64,
                                     DTYPE_I64, DTYPE_BOOL, DTYPE_F16};
  return draw(h, 4) ? usual[draw(h, 6)] : (enum dtype)draw(h, DTYPE_COUNT);
}

static struct type draw_type(struct hostile *h) {
  dim dims[4];
  uint32_t rank = draw(h, 4) ? h->rank : (uint32_t)draw(h, 5);
  for (uint32_t i = 0; i < rank; i++)
    dims[i] = draw_dim(h);
  return type_make(draw_dtype(h), dims, rank);
}

static const struct scalar_body *draw_body(struct hostile *h, uint32_t n_operands,
                                           const value_id *operands) {
  struct body_builder s;
  body_init(&s, draw(h, 8) ? n_operands : (uint32_t)draw(h, 3));
  for (uint32_t i = 0; i < s.n_args; i++)
    body_arg(&s, i,
             i < n_operands && draw(h, 16) ? value_type(h->x.f, operands[i])->dtype
                                           : draw_dtype(h));
  for (uint32_t i = (uint32_t)draw(h, 4); i > 0 && s.len > 0; i--) {
    enum scalar_op op = (enum scalar_op)(SCALAR_CAST + draw(h, SCALAR_OP_COUNT - SCALAR_CAST));
    uint32_t a[3];
    for (int j = 0; j < 3; j++)
      a[j] = (uint32_t)draw(h, s.len);
    if (op == SCALAR_CAST)
      body_cast(&s, a[0], draw_dtype(h), (enum cast_mode)(draw(h, 4) ? 0 : draw(h, 4)));
    else
      body_op(&s, op, a[0], a[1], a[2]);
  }
  return body_finish(&s, h->x.m);
}

static void draw_attr(struct hostile *h, const struct attr_desc *a, char *at, uint32_t n_operands,
                      const value_id *operands) {
  struct arena *arena = &h->x.arena;
  uint32_t len = (uint32_t)draw(h, 5), usual = h->rank - (h->conv ? 2 : 0);
  len = h->contract ? (uint32_t)draw(h, 2) : draw(h, 8) ? usual : len;
  switch (a->kind) {
  case ATTR_INT: *(int64_t *)at = draw_int(h); break;
  case ATTR_FLOAT: *(double *)at = (double)draw_int(h) / 2; break;
  case ATTR_BOOL: *(bool *)at = draw(h, 2); break;
  case ATTR_INTS: {
    int64_t *xs = ARENA_ARRAY(arena, int64_t, 5);
    for (uint32_t i = 0; i < len; i++)
      xs[i] = draw_int(h);
    *(struct ints *)at = (struct ints){xs, len};
    break;
  }
  case ATTR_DIM: *(dim *)at = draw_dim(h); break;
  case ATTR_DIMS: {
    dim *xs = ARENA_ARRAY(arena, dim, 5);
    for (uint32_t i = 0; i < len; i++)
      xs[i] = draw_dim(h);
    *(struct dims *)at = (struct dims){xs, len};
    break;
  }
  case ATTR_DTYPE: *(enum dtype *)at = draw_dtype(h); break;
  case ATTR_TYPE: {
    struct type *t = ARENA_NEW(arena, struct type);
    *t = draw_type(h);
    *(const struct type **)at = t;
    break;
  }
  case ATTR_BODY: *(const struct scalar_body **)at = draw_body(h, n_operands, operands); break;
  case ATTR_CONSTANT: *(constant_id *)at = (constant_id)draw(h, 3); break;
  case ATTR_COMBINER: *(enum combiner *)at = (enum combiner)draw(h, COMBINER_ARGMIN + 1); break;
  case ATTR_RELATION: *(enum relation *)at = (enum relation)draw(h, RELATION_DIVIDES + 1); break;
  case ATTR_OUT_OF_RANGE:
    *(enum out_of_range *)at = (enum out_of_range)draw(h, OUT_OF_RANGE_FILL + 1);
    break;
  default: break;
  }
}

static op_id draw_op(struct hostile *h, enum op_kind kind) {
  const struct op_info *info = &op_infos[kind];
  if (info->flags & OP_FLAG_CONTROL)
    return OP_ID_NONE;
  uint32_t most = info->operands_max < 6 ? info->operands_max : 6;
  uint32_t n = info->operands_min + (uint32_t)draw(h, most - info->operands_min + 1);
  value_id operands[8];
  for (uint32_t i = 0; i < n; i++)
    operands[i] = h->params[draw(h, i && draw(h, 2) ? 2 : PARAMS)];
  char *attrs = arena_alloc(&h->x.arena, info->attrs_size + 1u);
  for (const struct attr_desc *a = info->attrs; a->name; a++)
    draw_attr(h, a, attrs + a->offset, n, operands);
  return build_op(&h->x.b, kind, operands, n, NULL, 0, attrs);
}

static struct tensor *draw_tensor(struct hostile *h, const struct type *type,
                                  const int64_t *values) {
  int64_t dims[IR_MAX_RANK];
  for (uint32_t i = 0; i < type->rank; i++)
    if (!dim_eval(h->x.t, type->dims[i], values, &dims[i]) || dims[i] < 0 || dims[i] > 64)
      return NULL;
  struct tensor *t = tensor_create(&h->x.arena, type->dtype, dims, type->rank);
  for (int64_t i = 0; t && i < t->count; i++) {
    if (dtype_is_float(type->dtype))
      t->f64[i] = draw(h, 9) ? scalar_round(type->dtype, (double)draw_int(h) / 2) : (double)NAN;
    else
      t->i64[i] = scalar_literal_i64(type->dtype, draw_int(h));
  }
  return t;
}

/* A tensor holds only values of its dtype, rounded ones in typed mode. */
static void check_tensor(const struct tensor *t, enum interp_mode mode, enum op_kind kind) {
  int64_t count = 1;
  for (uint32_t i = 0; i < t->rank; i++)
    count *= t->dims[i];
  assert_int_equal(count, t->count);
  for (int64_t i = 0; i < t->count; i++) {
    if (!dtype_is_float(t->dtype))
      assert_int_equal(t->i64[i], scalar_literal_i64(t->dtype, t->i64[i]));
    else if (mode == INTERP_TYPED && !isnan(t->f64[i]))
      if (t->f64[i] != scalar_round(t->dtype, t->f64[i]))
        fail_msg("%s: %.17g is no %s", op_infos[kind].name, t->f64[i], dtype_name(t->dtype));
  }
}

/* Whether all conditions hold for the symbols' values. */
struct holding {
  struct dim_table *t;
  const int64_t *values;
  bool known, all;
};

static void check_condition(void *user, dim lhs, enum relation relation, dim rhs) {
  struct holding *h = user;
  int64_t a, b;
  if (!dim_eval(h->t, lhs, h->values, &a) || !dim_eval(h->t, rhs, h->values, &b))
    h->known = false;
  else if (!interp_relation(a, relation, b))
    h->all = false;
}

static struct holding conditions_of(struct hostile *h, const struct op *op, const int64_t *values) {
  struct holding c = {h->x.t, values, true, true};
  struct op_view view = {h->x.f, op->kind, op->n_operands, op->operands, 0, NULL, op->attrs};
  if (op->n_results)
    op_conditions(&view, value_type(h->x.f, op->results[0]), check_condition, NULL, &c);
  return c;
}

/* Returns whether the op ran. Where its conditions hold its shapes fit. */
static bool run_op(struct hostile *h, op_id id, enum interp_mode mode) {
  struct fixture *x = &h->x;
  struct tensor *inputs[PARAMS];
  int64_t values[3];
  for (int i = 0; i < 3; i++)
    values[i] = (int64_t)draw(h, 4);
  for (int i = 0; i < PARAMS; i++)
    if (!(inputs[i] = draw_tensor(h, value_type(x->f, h->params[i]), values)))
      return false;
  struct interp in;
  interp_init(&in, x->f, mode, &x->arena, &x->diags);
  in.budget = 1000000;
  uint32_t before = diags_errors(&x->diags);
  status s = interp_start(&in, inputs, x->out);
  assert_true(s ? diags_errors(&x->diags) > before : diags_errors(&x->diags) == before);
  const struct op *op = function_op(x->f, id);
  struct holding c = conditions_of(h, op, values);
  bool unfit = s && diags_get(&x->diags, diags_count(&x->diags) - 1)->code == DIAG_E0620;
  if (unfit && c.known && c.all) {
    print_diags(x);
    fail_msg("%s does not fit although its conditions hold", op_infos[op->kind].name);
  }
  if (!s && !c.all)
    fail_msg("%s ran although a condition does not hold", op_infos[op->kind].name);
  for (uint32_t i = 0; !s && i < op->n_results; i++)
    check_tensor(in.values[op->results[i]], mode, op->kind);
  interp_deinit(&in);
  return !s;
}

static void round_of(uint64_t seed, uint32_t *accepted, uint32_t *ran) {
  enum op_kind kind = (enum op_kind)(1 + seed % (OP_COUNT - 1));
  struct hostile h = {.state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1,
                      .conv = kind == OP_CONV,
                      .contract = kind == OP_CONTRACT};
  h.rank = kind == OP_ATTENTION ? 4 : 2 * h.conv + (uint32_t)draw(&h, h.conv ? 3 : 5);
  fixture_init(&h.x);
  h.symbols[0] = dim_symbol(h.x.t, "a", 0, 4);
  h.symbols[1] = dim_symbol(h.x.t, "b", 1, 3);
  h.symbols[2] = dim_symbol(h.x.t, "c", DIM_UNBOUNDED_LO, DIM_UNBOUNDED_HI);
  float data[2] = {1, 2};
  build_const_data(&h.x.b, DTYPE_F32, I(2), 1, data, sizeof data);
  /* The symbols, so that they are bound whatever the other parameters are. */
  for (int i = 0; i < PARAMS; i++) {
    struct type type = draw_type(&h);
    if (i == PARAMS - 1)
      type = type_make(DTYPE_F32, h.symbols, 3);
    for (uint32_t d = 0; d < type.rank; d++)
      if (type.dims[d] == DIM_NONE || type.dtype == DTYPE_STRING)
        type = type_make(DTYPE_F32, NULL, 0);
    h.params[i] = region_add_param(h.x.f, 0, &type, NULL);
  }
  for (int tries = 0; tries < 300; tries++) {
    op_id op = draw_op(&h, kind);
    if (op == OP_ID_NONE)
      continue;
    ++accepted[kind];
    ran[kind] += run_op(&h, op, INTERP_TYPED);
    run_op(&h, op, INTERP_EXACT);
    break;
  }
  fixture_deinit(&h.x);
}

static void test_hostile(void **state) {
  (void)state;
  const char *rounds = getenv("SINTER_ROUNDS");
  uint64_t n = rounds ? strtoull(rounds, NULL, 10) : 5000;
  uint32_t accepted[OP_COUNT] = {0}, ran[OP_COUNT] = {0};
  for (uint64_t seed = 1; seed <= n; seed++)
    round_of(seed, accepted, ran);
  for (int kind = 1; kind < OP_COUNT; kind++)
    if (rounds)
      print_message("%s: %u accepted, %u ran\n", op_infos[kind].name, accepted[kind], ran[kind]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_hostile)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
