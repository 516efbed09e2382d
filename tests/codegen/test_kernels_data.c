/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules of what moves and orders data, at random shapes: scans, scattered and gathered
 * elements, rows of states, sorts, counts that data decide, and chains of views. */
#include "tests/codegen/kernel_cases.h"

static const char *pick_number(void) {
  static const char *const dtypes[] = {"f32", "f16", "f64", "i32", "i64", "i8", "u8"};
  return dtypes[pick(0, 6)];
}

static bool is_real(const char *dtype) { return dtype[0] == 'f'; }

/* "a, b, c", the dim `axis` as "n" where it is open. */
static void put_list(char *out, size_t room, const long long *dims, int rank, int open_axis) {
  size_t used = 0;
  out[0] = 0;
  for (int i = 0; i < rank; i++)
    used += (size_t)(i == open_axis
                         ? snprintf(out + used, room - used, "%sn", i ? ", " : "")
                         : snprintf(out + used, room - used, "%s%lld", i ? ", " : "", dims[i]));
}

static void put_open(struct strbuf *b, bool open, long long n) {
  if (open)
    strbuf_printf(b, " where n in %lld..%lld", n, n + 3);
}

/* Lines of up to some blocks of a GPU. */
static long long length(void) { return pick(0, 3) ? size(300) : pick(500, 3000); }

/* ---- scans ---- */

static void scan_text(struct strbuf *b) {
  static const char *const kinds[] = {"sum", "max", "min", "prod"};
  const char *t = pick_number();
  long long dims[3] = {pick(1, 6), pick(1, 6), pick(1, 40)};
  int axis = (int)pick(0, 2);
  bool open = pick(0, 2) == 0;
  char list[128];
  dims[axis] = length();
  put_list(list, sizeof list, dims, 3, open ? axis : -1);
  strbuf_printf(b, "func @main(%%x: %s[%s]) -> (%s[%s])", t, list, t, list);
  put_open(b, open, dims[axis]);
  /* Products of floats would leave their range, sums of halves their precision. */
  const char *kind = kinds[is_real(t) ? pick(t[1] == '1', 2) : pick(0, 3)];
  strbuf_printf(b, " {\n  %%v = map %%x { add($0, $0) }\n  %%y = scan %%v { axis = %d, kind = %s",
                axis, kind);
  strbuf_printf(b, "%s%s }\n  return %%y\n}\n", pick(0, 1) ? ", exclusive = true" : "",
                pick(0, 1) ? ", reverse = true" : "");
  strbuf_printf(b, "entry @main(\"x\") -> (\"y\") { @main; }\n");
}

static void test_scan(void **state) {
  (void)state;
  check_many(scan_text, 40);
  check_gpu(scan_text, 40);
}

/* ---- sorts ---- */

/* With NaN among floats, and equals. */
static void topk_text(struct strbuf *b) {
  const char *t = pick_number();
  long long dims[3] = {pick(1, 5), pick(1, 4), pick(1, 20)};
  int axis = (int)pick(0, 2);
  bool all = pick(0, 1), open = all && pick(0, 2) == 0;
  char in[128], out[128];
  dims[axis] = length();
  put_list(in, sizeof in, dims, 3, open ? axis : -1);
  long long n = dims[axis], k = all ? n : pick(1, n < 9 || pick(0, 1) ? n : 8);
  dims[axis] = k;
  put_list(out, sizeof out, dims, 3, open ? axis : -1);
  dims[axis] = n;
  strbuf_printf(b, "func @main(%%x: %s[%s]) -> (%s[%s], i64[%s])", t, in, t, out, out);
  put_open(b, open, n);
  strbuf_printf(b, " {\n  %%v = map %%x { %s }\n",
                is_real(t) && pick(0, 1) ? "mul($0, div($0, $0))" : "add($0, $0)");
  if (open)
    strbuf_printf(b, "  %%y, %%i = topk %%v { axis = %d, k = n", axis);
  else
    strbuf_printf(b, "  %%y, %%i = topk %%v { axis = %d, k = %lld", axis, k);
  strbuf_printf(b, "%s }\n  return %%y, %%i\n}\n", pick(0, 1) ? ", descending = true" : "");
  strbuf_printf(b, "entry @main(\"x\") -> (\"y\", \"i\") { @main; }\n");
}

static void test_topk(void **state) {
  (void)state;
  check_many(topk_text, 40);
  check_gpu(topk_text, 40);
}

/* ---- indices ---- */

/* %name: indices below `below` from those of -5 to 5 that there are. */
static void put_indices(struct strbuf *b, const char *name, const char *from, long long below) {
  strbuf_printf(b, "  %s = map %s { mod(mul(add($0, 5), %lld), %lld) }\n", name, from,
                (long long)pick(1, 9), below);
}

/* Elements, or rows, to places that may be the same; all kinds of merging. */
static void scatter_text(struct strbuf *b) {
  static const char *const kinds[] = {"none", "sum", "max", "min", "prod"};
  const char *t = pick_number();
  long long rows = size(90), columns = size(40), width = pick(1, 5), n = size(60);
  int axes = (int)pick(1, 2);
  bool open = pick(0, 2) == 0;
  char ns[32];
  snprintf(ns, sizeof ns, open ? "n" : "%lld", n);
  strbuf_printf(b, "func @main(%%d: %s[%lld, %lld, %lld], %%u: %s[%s, 2, ", t, rows, columns, width,
                t, ns);
  if (axes == 1)
    strbuf_printf(b, "%lld, ", columns);
  strbuf_printf(b, "%lld], %%i: i64[%s, 2], %%j: i64[1, 2]) -> (%s[%lld, %lld, %lld])", width, ns,
                t, rows, columns, width);
  put_open(b, open, n);
  strbuf_printf(b, " {\n");
  put_indices(b, "%a", "%i", rows);
  put_indices(b, "%c", "%j", columns);
  strbuf_printf(b,
                "  %%v = map %%u { add($0, $0) }\n  %%y = scatter %%d, %%v, %%a%s { axes = [%s], ",
                axes == 1 ? "" : ", %c", axes == 1 ? "0" : "0, 1");
  strbuf_printf(b, "kind = %s }\n  return %%y\n}\n", kinds[pick(0, t[0] == 'f' ? 3 : 4)]);
  strbuf_printf(b, "entry @main(\"d\", \"u\", \"i\", \"j\") -> (\"y\") { @main; }\n");
}

static void test_scatter(void **state) {
  (void)state;
  check_many(scatter_text, 40);
  check_gpu(scatter_text, 40);
}

static void update_text(struct strbuf *b) {
  const char *t = pick_number();
  long long batch = pick(1, 4), rows = pick(8, 60), n = pick(1, 8), width = size(70),
            heads = pick(1, 3);
  bool counted = pick(0, 1), last = pick(0, 2) == 0;
  if (last)
    strbuf_printf(b, "func @main(%%d: %s[%lld, %lld, %lld], %%x: %s[%lld, %lld, %lld]", t, batch,
                  heads, rows, t, batch, heads, n);
  else
    strbuf_printf(b, "func @main(%%d: %s[%lld, %lld, %lld, %lld], %%x: %s[%lld, %lld, %lld, %lld]",
                  t, batch, heads, rows, width, t, batch, heads, n, width);
  strbuf_printf(b, ", %%s: i64[%lld]%s", batch, counted ? ", %c: i64[" : "");
  if (counted)
    strbuf_printf(b, "%lld]", batch);
  strbuf_printf(b, ") -> (%s[%lld, %lld, %lld", t, batch, heads, rows);
  if (!last)
    strbuf_printf(b, ", %lld", width);
  strbuf_printf(b, "]) {\n");
  put_indices(b, "%at", "%s", rows - n + 1);
  if (counted)
    put_indices(b, "%n", "%c", n + 2);
  strbuf_printf(b,
                "  %%v = map %%x { add($0, $0) }\n  %%y = update %%d, %%v, %%at%s { axis = 2 }\n",
                counted ? ", %n" : "");
  strbuf_printf(b, "  return %%y\n}\nentry @main(\"d\", \"x\", \"s\"%s) -> (\"y\") { @main; }\n",
                counted ? ", \"c\"" : "");
}

static void test_update(void **state) {
  (void)state;
  check_many(update_text, 30);
  check_gpu(update_text, 30);
}

/* ---- counts that data decide ---- */

static void nonzero_text(struct strbuf *b) {
  const char *t = pick_number();
  long long dims[3] = {size(20), size(20), pick(1, 7)};
  int rank = (int)pick(1, 3);
  char list[128];
  put_list(list, sizeof list, dims, rank, -1);
  strbuf_printf(b, "func @main(%%x: %s[%s]) -> (i64[%d, c]) where c in 0..3000 {\n", t, list, rank);
  strbuf_printf(b, "  %%v = map %%x { %s }\n", pick(0, 1) ? "max($0, add($0, $0))" : "sub($0, $0)");
  strbuf_printf(b, "  %%p, %%n = nonzero %%v\n  symbol %%n { symbol = c }\n");
  strbuf_printf(b, "  %%y = slice %%p { start = [0, 0], size = [%d, c], step = [1, 1] }\n", rank);
  strbuf_printf(b, "  return %%y\n}\nentry @main(\"x\") -> (\"y\") { @main; }\n");
}

static void unique_text(struct strbuf *b) {
  const char *t = pick_number();
  long long n = size(120), m = pick(1, 2);
  strbuf_printf(b,
                "func @main(%%x: %s[%lld, %lld]) -> (i64[c], i64[%lld], i64[c]) where c in 0..%lld",
                t, n, m, n, n);
  strbuf_printf(b, " {\n  %%v = map %%x { %s }\n",
                is_real(t) && pick(0, 1) ? "mul($0, div($0, $0))" : "add($0, $0)");
  strbuf_printf(b, "  %%f, %%g, %%s, %%n = unique %%v%s\n  symbol %%n { symbol = c }\n",
                pick(0, 1) ? " { sorted = true }" : "");
  strbuf_printf(b, "  %%a = slice %%f { start = [0], size = [c], step = [1] }\n");
  strbuf_printf(b, "  %%b = slice %%s { start = [0], size = [c], step = [1] }\n");
  strbuf_printf(
      b, "  return %%a, %%g, %%b\n}\nentry @main(\"x\") -> (\"a\", \"g\", \"b\") { @main; }\n");
}

/* Thresholds are constants that no quotient of the boxes' areas is. */
static void nms_text(struct strbuf *b) {
  long long batch = pick(1, 2), n = size(60), classes = pick(1, 3);
  strbuf_printf(b, "constant @m : i64[] = [%lld]\nconstant @o : f32[] = [0.317]\n",
                (long long)pick(1, 9));
  strbuf_printf(b, "constant @t : f32[] = [%s]\n", pick(0, 1) ? "-2.03" : "0.03");
  strbuf_printf(b, "func @main(%%x: f32[%lld, %lld, 4], %%s: f32[%lld, %lld, %lld]) -> (i64[c, 3])",
                batch, n, batch, classes, n);
  strbuf_printf(b, " where c in 0..1000 {\n  %%m = const @m\n  %%o = const @o\n  %%t = const @t\n");
  strbuf_printf(b, "  %%p, %%n = nms %%x, %%s, %%m, %%o, %%t%s\n  symbol %%n { symbol = c }\n",
                pick(0, 1) ? " { center = true }" : "");
  strbuf_printf(b, "  %%y = slice %%p { start = [0, 0], size = [c, 3], step = [1, 1] }\n");
  strbuf_printf(b, "  return %%y\n}\nentry @main(\"x\", \"s\") -> (\"y\") { @main; }\n");
}

static void test_counts(void **state) {
  (void)state;
  check_many(nonzero_text, 24);
  check_gpu(nonzero_text, 24);
  check_many(unique_text, 24);
  check_gpu(unique_text, 24);
  check_many(nms_text, 24);
  check_gpu(nms_text, 24);
}

/* ---- views ---- */

struct view {
  struct strbuf *b;
  long long dims[4];
  int rank, number; /* of the value so far */
  bool runs;        /* leave neighbours of the last dim together */
};

static void put_step(struct view *v, const char *op) {
  strbuf_printf(v->b, "  %%v%d = %s %%v%d", v->number + 1, op, v->number);
  v->number++;
}

static void put_numbers(struct view *v, const char *name, const long long *x) {
  strbuf_printf(v->b, "%s = [", name);
  for (int i = 0; i < v->rank; i++)
    strbuf_printf(v->b, "%s%lld", i ? ", " : "", x[i]);
  strbuf_printf(v->b, "]");
}

static void turn(struct view *v) {
  long long perm[4], dims[4];
  for (int i = 0; i < v->rank; i++)
    perm[i] = i;
  for (int i = 0; i < v->rank - v->runs; i++) {
    int64_t j = pick(0, i);
    perm[i] = perm[j];
    perm[j] = i;
  }
  for (int i = 0; i < v->rank; i++)
    dims[i] = v->dims[perm[i]];
  memcpy(v->dims, dims, sizeof dims);
  put_step(v, "transpose");
  put_numbers(v, " { perm", perm);
  strbuf_printf(v->b, " }\n");
}

static void cut(struct view *v) {
  long long start[4], step[4], n[4];
  for (int i = 0; i < v->rank; i++) {
    bool whole = v->runs && i + 1 == v->rank;
    step[i] = whole || pick(0, 1) ? 1 : pick(0, 1) ? 2 : -1;
    n[i] = pick(1, step[i] == 2 ? (v->dims[i] + 1) / 2 : v->dims[i]);
    if (whole && v->dims[i] >= 4)
      n[i] = v->dims[i] / 4 * pick(1, 4);
    long long span = (n[i] - 1) * (step[i] < 0 ? 1 : step[i]);
    start[i] = pick(0, v->dims[i] - 1 - span) + (step[i] < 0 ? span : 0);
    v->dims[i] = n[i];
  }
  put_step(v, "slice");
  put_numbers(v, " { start", start);
  put_numbers(v, ", size", n);
  put_numbers(v, ", step", step);
  strbuf_printf(v->b, " }\n");
}

static void pad(struct view *v) {
  long long low[4], high[4], interior[4];
  for (int i = 0; i < v->rank; i++) {
    low[i] = pick(0, 3);
    high[i] = pick(0, 3);
    interior[i] = pick(0, 3) ? 0 : 1;
    if (v->runs && i + 1 == v->rank)
      low[i] = high[i] = interior[i] = 0;
    v->dims[i] += low[i] + high[i] + interior[i] * (v->dims[i] - 1);
  }
  put_step(v, "pad");
  strbuf_printf(v->b, ", %%fill");
  put_numbers(v, " { low", low);
  put_numbers(v, ", high", high);
  put_numbers(v, ", interior", interior);
  strbuf_printf(v->b, " }\n");
}

static void join(struct view *v) {
  int axis = (int)pick(0, v->rank - 1);
  int before = v->number;
  put_step(v, "concat");
  strbuf_printf(v->b, ", %%v%d { axis = %d }\n", before, axis);
  v->dims[axis] *= 2;
}

static void flatten(struct view *v) {
  for (int i = 1; i < v->rank; i++)
    v->dims[0] *= v->dims[i];
  v->rank = 1;
  put_step(v, "reshape");
  put_numbers(v, " { dims", v->dims);
  strbuf_printf(v->b, " }\n");
}

static void pick_rows(struct view *v) {
  static const char *const modes[] = {"clamp", "fill"};
  int axis = (int)pick(0, v->rank - 1 - (v->runs && v->rank > 1));
  long long dims[4] = {6};
  strbuf_printf(v->b, "  %%i%d = map %%i { mod(mul(add($0, 5), 3), %lld) }\n", v->number,
                v->dims[axis] + 2);
  int n = v->number;
  put_step(v, "gather");
  strbuf_printf(v->b, ", %%i%d { axes = [%d], mode = %s }\n", n, axis, modes[pick(0, 1)]);
  for (int i = 0, k = 1; i < v->rank; i++)
    if (i != axis)
      dims[k++] = v->dims[i];
  memcpy(v->dims, dims, sizeof dims);
}

static void put_views(struct strbuf *b, bool runs) {
  static void (*const steps[])(struct view *) = {turn, cut, pad, join, flatten, pick_rows};
  struct view v = {.b = b, .rank = (int)pick(2, 4), .runs = runs};
  struct strbuf body = {0};
  const char *t = pick_number();
  char list[128];
  for (int i = 0; i < v.rank; i++)
    v.dims[i] = runs && i + 1 == v.rank ? 4 * pick(1, 12) : v.rank > 3 ? pick(1, 6) : size(20);
  put_list(list, sizeof list, v.dims, v.rank, -1);
  v.b = &body;
  for (int64_t n = pick(1, 4); n > 0; n--) {
    long long all = 1;
    for (int i = 0; i < v.rank; i++)
      all *= v.dims[i];
    steps[all > 30000 ? pick(0, 1) : pick(0, 5)](&v);
  }
  strbuf_printf(b, "constant @fill : %s[] = [3]\nfunc @main(%%v0: %s[%s], %%i: i64[6]) -> (%s[", t,
                t, list, t);
  put_list(list, sizeof list, v.dims, v.rank, -1);
  strbuf_printf(b, "%s]) {\n  %%fill = const @fill\n%s  %%y = map %%v%d { add($0, $0) }\n", list,
                strbuf_c(&body), v.number);
  strbuf_printf(b, "  return %%y\n}\nentry @main(\"x\", \"i\") -> (\"y\") { @main; }\n");
  strbuf_deinit(&body);
}

static void view_text(struct strbuf *b) { put_views(b, false); }
static void wide_view_text(struct strbuf *b) { put_views(b, true); }

static void test_views(void **state) {
  (void)state;
  check_many(view_text, 60);
  check_many(wide_view_text, 20);
  check_gpu(view_text, 60);
  check_gpu(wide_view_text, 60);
}

static void test_coverage(void **state) {
  (void)state;
  check_coverage(KERNELS_DATA);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scan),     cmocka_unit_test(test_topk),
      cmocka_unit_test(test_scatter),  cmocka_unit_test(test_update),
      cmocka_unit_test(test_counts),   cmocka_unit_test(test_views),
      cmocka_unit_test(test_coverage),
  };
  cmocka_set_test_filter(getenv("SINTER_TEST"));
  return cmocka_run_group_tests(tests, NULL, NULL);
}
