/* SPDX-License-Identifier: Apache-2.0 */
/* Einsum: operands are multiplied one after the other, each product a contraction over the labels
 * that nothing later needs. */
#include "frontend/onnx/import_build.h"
#include "frontend/onnx/import_linear.h"

#include <ctype.h>
#include <string.h>

/* Labels are letters; the dims of an ellipsis are 128, 129, ... counted from its last dim. */
enum { ELLIPSIS = 128, MAX_LABELS = ELLIPSIS + IR_MAX_RANK };

struct term {
  value_id v;
  uint32_t rank;
  uint8_t labels[IR_MAX_RANK];
};

static int32_t find_label(const struct term *t, uint8_t label) {
  for (uint32_t i = 0; i < t->rank; i++)
    if (t->labels[i] == label)
      return (int32_t)i;
  return -1;
}

/* Reads one operand's (or the result's) subscripts. `rank` is the operand's; for the result it is
 * what the letters and the widest ellipsis make. */
static bool read_term(struct import_node *n, struct str text, int32_t rank, uint32_t ellipsis,
                      struct term *out) {
  uint32_t letters = 0;
  for (size_t i = 0; i < text.len; i++)
    letters += isalpha((unsigned char)text.data[i]) != 0;
  uint32_t wide = rank < 0 ? ellipsis : (uint32_t)rank > letters ? (uint32_t)rank - letters : 0;
  bool dots = false;
  out->rank = 0;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.data[i];
    if (c == ' ')
      continue;
    uint32_t count = c == '.' ? wide : 1;
    if (out->rank + count > IR_MAX_RANK)
      return false;
    if (isalpha((unsigned char)c)) {
      out->labels[out->rank++] = (uint8_t)c;
    } else if (c == '.' && !dots && i + 2 < text.len && text.data[i + 1] == '.' &&
               text.data[i + 2] == '.') {
      dots = true;
      i += 2;
      for (uint32_t k = wide; k-- > 0;)
        out->labels[out->rank++] = (uint8_t)(ELLIPSIS + k);
    } else {
      return false;
    }
  }
  (void)n;
  return rank < 0 || out->rank == (uint32_t)rank;
}

/* Takes the diagonal where a label stands twice: its second place is gathered at the first's index.
 */
static bool take_diagonals(struct import_node *n, struct term *t) {
  for (uint32_t i = 0; i < t->rank; i++)
    for (uint32_t j = i + 1; j < t->rank; j++) {
      if (t->labels[i] != t->labels[j])
        continue;
      if (t->v == VALUE_NONE)
        return false;
      dim d = value_type(n->f, t->v)->dims[i];
      value_id at = build_iota(n->b, DTYPE_I64, &d, 1, 0), both[2] = {at, at};
      int64_t axes[2] = {i, j};
      t->v = build_gather(n->b, t->v, both, axes, 2, OUT_OF_RANGE_ERROR);
      /* The indexed dim comes first now. */
      uint8_t label = t->labels[i];
      memmove(&t->labels[j], &t->labels[j + 1], t->rank - j - 1);
      memmove(&t->labels[1], &t->labels[0], i);
      t->labels[0] = label;
      t->rank--;
      i = j = 0;
    }
  return true;
}

/* Sums over the labels that `needed` does not mark. */
static void sum_unneeded(struct import_node *n, struct term *t, const bool *needed) {
  int64_t axes[IR_MAX_RANK];
  uint32_t len = 0, kept = 0;
  for (uint32_t i = 0; i < t->rank; i++) {
    if (!needed[t->labels[i]])
      axes[len++] = i;
    else
      t->labels[kept++] = t->labels[i];
  }
  if (len) {
    t->v = import_reduce(n, t->v, (struct ints){axes, len}, COMBINER_SUM);
    t->v = build_squeeze(n->b, t->v, axes, len);
  }
  t->rank = kept;
}

/* Dims of one label in two operands: where one is 1 it is broadcast. */
static bool match_label(struct import_node *n, struct term *a, struct term *b, uint32_t i,
                        uint32_t j) {
  if (a->v == VALUE_NONE || b->v == VALUE_NONE)
    return false;
  struct type x = *value_type(n->f, a->v), y = *value_type(n->f, b->v);
  dim both;
  uint32_t rank;
  if (!import_broadcast_dims(n, &x.dims[i], 1, &y.dims[j], 1, &both, &rank)) {
    import_invalid(n, "dims of one label differ between its operands");
    return false;
  }
  if (x.dims[i] != both) {
    x.dims[i] = both;
    a->v = build_broadcast(n->b, a->v, x.dims, x.rank);
  }
  if (y.dims[j] != both) {
    y.dims[j] = both;
    b->v = build_broadcast(n->b, b->v, y.dims, y.rank);
  }
  return true;
}

/* a := a times b, summed over shared labels that are not needed later. */
static bool multiply(struct import_node *n, struct term *a, struct term *b, const bool *needed) {
  int64_t lists[4][IR_MAX_RANK]; /* lhs batch, rhs batch, lhs k, rhs k */
  uint32_t batch = 0, k = 0, rank = 0;
  struct term out = {0};
  bool here[MAX_LABELS];
  memcpy(here, needed, sizeof here);
  for (uint32_t i = 0; i < b->rank; i++)
    here[b->labels[i]] = true;
  sum_unneeded(n, a, here);
  memcpy(here, needed, sizeof here);
  for (uint32_t i = 0; i < a->rank; i++)
    here[a->labels[i]] = true;
  sum_unneeded(n, b, here);
  for (uint32_t i = 0; i < a->rank; i++) {
    int32_t j = find_label(b, a->labels[i]);
    if (j < 0)
      continue;
    if (!match_label(n, a, b, i, (uint32_t)j))
      return false;
    bool kept = needed[a->labels[i]];
    lists[kept ? 0 : 2][kept ? batch : k] = i;
    lists[kept ? 1 : 3][kept ? batch++ : k++] = j;
    if (kept)
      out.labels[rank++] = a->labels[i];
  }
  uint32_t total = a->rank + b->rank - batch - 2 * k;
  if (total > IR_MAX_RANK) {
    import_unsupported(n, "a product of rank %u", total);
    return false;
  }
  for (uint32_t i = 0; i < a->rank; i++)
    if (find_label(b, a->labels[i]) < 0)
      out.labels[rank++] = a->labels[i];
  for (uint32_t i = 0; i < b->rank; i++)
    if (find_label(a, b->labels[i]) < 0)
      out.labels[rank++] = b->labels[i];
  struct contract_attrs attrs = {.lhs_batch = {lists[0], batch},
                                 .rhs_batch = {lists[1], batch},
                                 .lhs_k = {lists[2], k},
                                 .rhs_k = {lists[3], k},
                                 .dtype = value_type(n->f, a->v)->dtype};
  out.v = build_contract(n->b, a->v, b->v, &attrs);
  out.rank = rank;
  *a = out;
  return out.v != VALUE_NONE;
}

/* Without "->": the labels that occur once, in alphabetic order, after the ellipsis. */
static struct str implicit_result(struct import_node *n, struct str left) {
  uint32_t seen[128] = {0};
  struct strbuf buf = {0};
  bool dots = memchr(left.data, '.', left.len);
  for (size_t i = 0; i < left.len; i++)
    if (isalpha((unsigned char)left.data[i]))
      seen[(unsigned char)left.data[i]]++;
  strbuf_append_c(&buf, dots ? "..." : "");
  for (int c = 'A'; c <= 'z'; c++)
    if (seen[c] == 1)
      strbuf_char(&buf, (char)c);
  struct str s = str_from_c(arena_strdup(import_arena(n), strbuf_c(&buf)));
  strbuf_deinit(&buf);
  return s;
}

static bool read_equation(struct import_node *n, struct term *terms, struct term *result) {
  const char *equation = import_attr_string(n, "equation", "");
  const char *arrow = strstr(equation, "->");
  struct str left = {equation, arrow ? (size_t)(arrow - equation) : strlen(equation)};
  struct str right = arrow ? str_from_c(arrow + 2) : implicit_result(n, left);
  uint32_t widest = 0, count = 0;
  struct str rest = left;
  for (bool more = true; more; count++) {
    more = memchr(rest.data, ',', rest.len);
    struct str one = str_split(&rest, ',');
    if (count == n->n_inputs)
      return false;
    terms[count].v = import_in(n, count);
    if (!read_term(n, one, (int32_t)import_rank(n, count), 0, &terms[count]))
      return false;
    for (uint32_t i = 0; i < terms[count].rank; i++)
      if (terms[count].labels[i] >= ELLIPSIS && terms[count].labels[i] - ELLIPSIS + 1u > widest)
        widest = terms[count].labels[i] - ELLIPSIS + 1u;
  }
  return count == n->n_inputs && read_term(n, right, -1, widest, result);
}

/* Which labels the result and the operands from `next` on have. */
static void mark_needed(const struct term *terms, uint32_t next, uint32_t count,
                        const struct term *result, bool *needed) {
  memset(needed, 0, MAX_LABELS);
  for (uint32_t i = 0; i < result->rank; i++)
    needed[result->labels[i]] = true;
  for (uint32_t t = next; t < count; t++)
    for (uint32_t i = 0; i < terms[t].rank; i++)
      needed[terms[t].labels[i]] = true;
}

void import_einsum(struct import_node *n) {
  if (!import_arity(n, 1, UINT32_MAX, 1) || !import_arity(n, n->n_inputs, UINT32_MAX, 1))
    return;
  struct term *terms = ARENA_ARRAY(import_arena(n), struct term, n->n_inputs), result = {0};
  bool needed[MAX_LABELS];
  if (!read_equation(n, terms, &result)) {
    if (!n->failed)
      import_invalid(n, "its equation does not fit its operands");
    return;
  }
  for (uint32_t i = 0; i < n->n_inputs; i++)
    if (!take_diagonals(n, &terms[i]))
      return;
  struct term all = terms[0];
  for (uint32_t i = 1; i < n->n_inputs; i++) {
    mark_needed(terms, i + 1, n->n_inputs, &result, needed);
    if (!multiply(n, &all, &terms[i], needed))
      return;
  }
  mark_needed(terms, n->n_inputs, n->n_inputs, &result, needed);
  sum_unneeded(n, &all, needed);
  int64_t perm[IR_MAX_RANK];
  for (uint32_t i = 0; i < result.rank; i++) {
    perm[i] = find_label(&all, result.labels[i]);
    bool twice = find_label(&result, result.labels[i]) != (int32_t)i;
    if (perm[i] < 0 || twice) {
      import_invalid(n, "its result has a label that is not one of the operands', or twice");
      return;
    }
  }
  import_out(n, 0, result.rank > 1 ? build_transpose(n->b, all.v, perm) : all.v);
}
