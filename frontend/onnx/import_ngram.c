/* SPDX-License-Identifier: Apache-2.0 */
/* TfIdfVectorizer over integers or strings: how often each n-gram of a pool occurs in each row,
 * with up to max_skip_count items left out between neighbours. */
#include "frontend/onnx/import_internal.h"
#include "frontend/onnx/import_ml.h"
#include "frontend/onnx/import_util.h"

#include <string.h>

enum { MAX_GRAM = 64, MAX_SKIP = 64 };

struct ngrams {
  struct ints pool, counts, indexes;
  int64_t least, most, skip;
  bool strings;
  int64_t width; /* columns of the result */
};

/* The patterns of n items: how many, and where in the pool they start. */
static int64_t patterns_of(const struct ngrams *g, int64_t n, int64_t *out_start) {
  if (n > (int64_t)g->counts.len)
    return 0;
  int64_t end = n < (int64_t)g->counts.len ? g->counts.data[n] : (int64_t)g->pool.len;
  *out_start = g->counts.data[n - 1];
  return (end - *out_start) / n;
}

static bool read_ngrams(struct import_node *n, struct ngrams *g) {
  g->least = import_attr_int(n, "min_gram_length", 1);
  g->most = import_attr_int(n, "max_gram_length", 1);
  g->skip = import_attr_int(n, "max_skip_count", 0);
  const struct str *names;
  uint32_t n_names;
  if (import_attr_strings(n, "pool_strings", &names, &n_names) && n_names) {
    int64_t *ids = ARENA_ARRAY(import_arena(n), int64_t, n_names);
    for (uint32_t i = 0; i < n_names; i++)
      ids[i] = (int64_t)module_add_string(n->im->module, names[i].data, names[i].len);
    g->pool = (struct ints){ids, n_names};
    g->strings = true;
  }
  if ((!g->strings && !import_attr_ints(n, "pool_int64s", &g->pool)) ||
      !import_attr_ints(n, "ngram_counts", &g->counts) ||
      !import_attr_ints(n, "ngram_indexes", &g->indexes)) {
    import_fail(n, DIAG_E0143, "an attribute that describes n-grams is missing");
    return false;
  }
  if (g->least < 1 || g->most < g->least || g->skip < 0) {
    import_invalid(n, "n-grams of %lld to %lld items with %lld skipped", (long long)g->least,
                   (long long)g->most, (long long)g->skip);
    return false;
  }
  if (g->most > MAX_GRAM || g->skip > MAX_SKIP) {
    import_unsupported(n, "n-grams of %lld items with %lld skipped", (long long)g->most,
                       (long long)g->skip);
    return false;
  }
  int64_t total = 0, last = 0;
  for (uint32_t i = 0; i < g->counts.len; i++) {
    int64_t end = i + 1 < g->counts.len ? g->counts.data[i + 1] : (int64_t)g->pool.len;
    int64_t start = g->counts.data[i];
    if (start < last || end < start || end > (int64_t)g->pool.len || (end - start) % (i + 1)) {
      import_invalid(n, "ngram_counts does not divide the pool");
      return false;
    }
    last = start;
    total += (end - start) / (i + 1);
  }
  if (total != (int64_t)g->indexes.len) {
    import_invalid(n, "%u columns for %lld n-grams", g->indexes.len, (long long)total);
    return false;
  }
  for (uint32_t i = 0; i < g->indexes.len; i++) {
    if (g->indexes.data[i] < 0 || g->indexes.data[i] > INT32_MAX) {
      import_invalid(n, "n-gram %u has column %lld", i, (long long)g->indexes.data[i]);
      return false;
    }
    if (g->width <= g->indexes.data[i])
      g->width = g->indexes.data[i] + 1;
  }
  return true;
}

/* Occurrences of all patterns of `size` items at one distance in x [B, C]: f32 [B, patterns]. */
static value_id count_at(struct import_node *n, const struct ngrams *g, value_id x, int64_t size,
                         int64_t distance, int64_t start, int64_t patterns) {
  struct dim_table *t = n->dims;
  struct builder *b = n->b;
  int64_t last = 2, dims[1] = {patterns}, middle = 1;
  dim reach = dim_const(t, distance * (size - 1));
  dim places = dim_sub(t, import_value_type(n, x)->dims[1], reach);
  /* Rows may be shorter than the pattern; then a slice of nothing, from the start. */
  places = dim_max(t, places, dim_const(t, 0));
  value_id hit = VALUE_NONE;
  for (int64_t j = 0; j < size; j++) {
    int64_t *column = ARENA_ARRAY(import_arena(n), int64_t, patterns);
    for (int64_t p = 0; p < patterns; p++)
      column[p] = g->pool.data[start + p * size + j];
    dim first = dim_min(t, dim_const(t, j * distance), import_value_type(n, x)->dims[1]);
    value_id item = build_unsqueeze(b, build_slice_axis(b, x, 1, first, places), &last, 1);
    value_id wanted =
        g->strings ? build_const_data(b, DTYPE_STRING, dims, 1, column, (uint64_t)patterns * 8)
                   : ml_const_ints(n, DTYPE_I64, column, dims, 1);
    value_id same = build_binary(b, SCALAR_EQ, item, wanted);
    hit = j ? build_binary(b, SCALAR_AND, hit, same) : same;
  }
  hit = build_cast(b, hit, DTYPE_F32);
  return build_squeeze(b, build_reduce(b, hit, &middle, 1, COMBINER_SUM), &middle, 1);
}

/* Occurrences of all patterns, by place in the pool: f32 [B, patterns + 1], the last column 0. */
static value_id count_all(struct import_node *n, const struct ngrams *g, value_id x) {
  value_id parts[MAX_GRAM + 1];
  uint32_t n_parts = 0;
  dim dims[2] = {import_value_type(n, x)->dims[0], dim_const(n->dims, 1)};
  value_id zero = build_scalar_f64(n->b, DTYPE_F32, 0);
  for (int64_t size = 1; size <= (int64_t)g->counts.len && size <= MAX_GRAM; size++) {
    int64_t start = 0, patterns = patterns_of(g, size, &start);
    if (!patterns)
      continue;
    dims[1] = dim_const(n->dims, patterns);
    value_id sum = build_broadcast_to(n->b, zero, dims, 2);
    int64_t distances = size == 1 ? 1 : g->skip + 1;
    for (int64_t d = 1; d <= distances && size >= g->least && size <= g->most; d++)
      sum = value_add(n->b, sum, count_at(n, g, x, size, d, start, patterns));
    parts[n_parts++] = sum;
  }
  dims[1] = dim_const(n->dims, 1);
  parts[n_parts++] = build_broadcast_to(n->b, zero, dims, 2);
  return build_concat(n->b, parts, n_parts, 1);
}

/* Counts in the order of columns; columns without a pattern take the last, which is 0. */
static value_id order_columns(struct import_node *n, const struct ngrams *g, value_id counts) {
  int64_t dims[1] = {g->width};
  if ((uint64_t)g->width > 16 * (uint64_t)g->indexes.len + 65536) {
    import_unsupported(n, "%lld columns for %u n-grams", (long long)g->width, g->indexes.len);
    return VALUE_NONE;
  }
  int64_t *from = ARENA_ARRAY(import_arena(n), int64_t, g->width);
  for (int64_t i = 0; i < g->width; i++)
    from[i] = g->indexes.len;
  for (uint32_t i = 0; i < g->indexes.len; i++) {
    int64_t *cell = &from[g->indexes.data[i]];
    if (*cell != (int64_t)g->indexes.len) {
      import_unsupported(n, "n-grams that share a column");
      return VALUE_NONE;
    }
    *cell = i;
  }
  value_id index = ml_const_ints(n, DTYPE_I64, from, dims, 1);
  return import_gather_axis(n, counts, index, 1, OUT_OF_RANGE_CLAMP);
}

void import_tf_idf(struct import_node *n) {
  struct ngrams g = {0};
  struct ml_numbers weights;
  const char *mode = import_attr_string(n, "mode", "TF");
  bool idf = !strcmp(mode, "IDF"), tf = !strcmp(mode, "TF");
  bool weighted = ml_numbers(n, "weights", NULL, &weights) && weights.len && !tf;
  if (!idf && !tf && strcmp(mode, "TFIDF")) {
    import_invalid(n, "mode is '%s'", mode);
    return;
  }
  if (!read_ngrams(n, &g) || !import_arity(n, 1, 1, 1))
    return;
  uint32_t rank = import_rank(n, 0);
  if (rank > 2 ||
      (g.strings ? import_dtype(n, 0) != DTYPE_STRING : !dtype_is_int(import_dtype(n, 0)))) {
    import_invalid(n, "its operand has rank %u, or is not of what the pool has", rank);
    return;
  }
  dim one = dim_const(n->dims, 1);
  dim rows[2] = {rank == 2 ? import_dim(n, 0, 0) : one, rank ? import_dim(n, 0, rank - 1) : one};
  value_id x = g.strings ? import_in(n, 0) : build_cast(n->b, import_in(n, 0), DTYPE_I64);
  x = build_reshape(n->b, x, rows, 2);
  if (x == VALUE_NONE)
    return;
  value_id y = order_columns(n, &g, count_all(n, &g, x));
  if (idf)
    y = build_binary_f64(n->b, SCALAR_MIN, y, 1);
  if (weighted && weights.len != g.width) {
    import_invalid(n, "%u weights for %lld columns", weights.len, (long long)g.width);
    return;
  }
  if (weighted)
    y = value_mul(n->b, y, ml_const(n, DTYPE_F32, weights.data, &g.width, 1));
  dim width = dim_const(n->dims, g.width);
  import_out(n, 0, rank < 2 ? build_reshape(n->b, y, &width, 1) : y);
}
