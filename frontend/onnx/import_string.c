/* SPDX-License-Identifier: Apache-2.0 */
/* Operators on strings: what makes new ones is a `host` op, all else are the primitives of any
 * tensor. */
#include "frontend/onnx/import_string.h"

#include "frontend/onnx/import_internal.h"
#include "frontend/onnx/import_util.h"
#include "frontend/onnx/regex_automaton.h"

#include <string.h>

/* ---- what others need ---- */

bool import_takes_strings(const char *name) {
  static const char *const names[] = {"ArrayFeatureExtractor",
                                      "Cast",
                                      "CastLike",
                                      "CategoryMapper",
                                      "Compress",
                                      "Concat",
                                      "ConcatFromSequence",
                                      "Constant",
                                      "ConstantOfShape",
                                      "DepthToSpace",
                                      "Equal",
                                      "Expand",
                                      "Flatten",
                                      "Gather",
                                      "GatherElements",
                                      "GatherND",
                                      "Identity",
                                      "If",
                                      "LabelEncoder",
                                      "Loop",
                                      "OneHot",
                                      "OneHotEncoder",
                                      "Optional",
                                      "OptionalGetElement",
                                      "OptionalHasElement",
                                      "Pad",
                                      "RegexFullMatch",
                                      "Reshape",
                                      "Reverse",
                                      "ReverseSequence",
                                      "Scan",
                                      "Scatter",
                                      "ScatterElements",
                                      "ScatterND",
                                      "SequenceAt",
                                      "SequenceConstruct",
                                      "SequenceEmpty",
                                      "SequenceErase",
                                      "SequenceInsert",
                                      "SequenceLength",
                                      "SequenceMap",
                                      "Shape",
                                      "Size",
                                      "Slice",
                                      "SpaceToDepth",
                                      "Split",
                                      "SplitToSequence",
                                      "Squeeze",
                                      "StringConcat",
                                      "StringNormalizer",
                                      "StringSplit",
                                      "TfIdfVectorizer",
                                      "Tile",
                                      "Tokenizer",
                                      "Transpose",
                                      "Unsqueeze",
                                      "Where"};
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(names[i], name))
      return true;
  return false;
}

static value_id string_tensor(struct import_node *n, const struct str *list, uint32_t len,
                              uint32_t rank) {
  uint64_t *ids = ARENA_ARRAY(import_arena(n), uint64_t, len);
  for (uint32_t i = 0; i < len; i++)
    ids[i] = module_add_string(n->im->module, list[i].data, list[i].len);
  int64_t dims[1] = {len};
  return build_const_data(n->b, DTYPE_STRING, dims, rank, ids, (uint64_t)len * sizeof *ids);
}

value_id import_strings(struct import_node *n, const struct str *list, uint32_t len) {
  return string_tensor(n, list, len, 1);
}

static value_id string_scalar(struct import_node *n, const char *text) {
  struct str s = {text, strlen(text)};
  return string_tensor(n, &s, 1, 0);
}

static value_id host(struct import_node *n, enum host_op function, enum dtype dtype,
                     const value_id *operands, uint32_t n_operands) {
  struct host_attrs a = {.function = function, .dtype = dtype};
  return build_op1(n->b, OP_HOST, operands, n_operands, &a);
}

/* The element type that numbers have as text. */
static enum dtype written_as(enum dtype dtype) {
  if (dtype_is_float(dtype))
    return dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
  return dtype_bits(dtype) < 8 ? dtype_is_signed(dtype) ? DTYPE_I8 : DTYPE_U8 : dtype;
}

value_id import_cast_string(struct import_node *n, value_id x, enum dtype from, enum dtype to) {
  if (from == to)
    return x;
  if (to == DTYPE_STRING) {
    x = build_cast(n->b, x, written_as(from));
    return host(n, HOST_OP_FORMAT, DTYPE_STRING, &x, 1);
  }
  x = host(n, HOST_OP_PARSE, written_as(to), &x, 1);
  return build_cast(n->b, x, to);
}

/* The operands, all of strings; false, reported, if not. */
static bool all_strings(struct import_node *n) {
  for (uint32_t i = 0; i < n->n_inputs; i++) {
    if (import_dtype(n, i) == DTYPE_STRING)
      continue;
    import_invalid(n, "operand %u is of %s, not of strings", i, dtype_name(import_dtype(n, i)));
    return false;
  }
  return true;
}

/* ---- StringConcat ---- */

void import_string_concat(struct import_node *n) {
  if (!import_arity(n, 2, 2, 1) || !all_strings(n))
    return;
  value_id x[2] = {import_in(n, 0), import_in(n, 1)};
  value_id common = build_binary(n->b, SCALAR_EQ, x[0], x[1]); /* for its shape */
  if (common == VALUE_NONE)
    return;
  const struct type type = *value_type(n->f, common);
  for (uint32_t i = 0; i < 2; i++)
    x[i] = build_broadcast_to(n->b, x[i], type.dims, type.rank);
  import_out(n, 0, host(n, HOST_OP_CONCAT, DTYPE_STRING, x, 2));
}

/* ---- StringSplit, Tokenizer ---- */

/* What parts of strings are made of, with one more dim, as long as the longest list of parts and
 * `more` if there are any parts. */
struct parts {
  value_id whole, number; /* of each part: the string, and which part of it */
};

static bool make_parts(struct import_node *n, value_id x, value_id counts, int64_t more,
                       struct parts *out) {
  uint32_t rank = value_type(n->f, x)->rank;
  value_id longest = import_reduce(n, counts, import_range(n, 0, rank), COMBINER_MAX);
  longest = build_reshape(n->b, longest, NULL, 0);
  longest = value_max(n->b, longest, build_scalar_i64(n->b, DTYPE_I64, 0)); /* of no strings */
  if (more)
    longest = build_select(n->b, build_binary_i64(n->b, SCALAR_EQ, longest, 0), longest,
                           build_binary_i64(n->b, SCALAR_ADD, longest, more));
  if (longest == VALUE_NONE)
    return false;
  dim size = dim_fresh(n->dims, "parts", 0, INT32_MAX);
  build_symbol(n->b, longest, 0, size);
  dim dims[IR_MAX_RANK];
  memcpy(dims, import_dims_of(n, x), rank * sizeof *dims);
  dims[rank] = size;
  int64_t last = rank;
  out->whole = build_broadcast(n->b, build_unsqueeze(n->b, x, &last, 1), dims, rank + 1);
  out->number = build_iota(n->b, DTYPE_I64, dims, rank + 1, rank);
  return true;
}

void import_string_split(struct import_node *n) {
  const char *delimiter = import_attr_string(n, "delimiter", "");
  int64_t limit = import_attr_has(n, "maxsplit") ? import_attr_int(n, "maxsplit", 0) : -1;
  if (!import_arity(n, 1, 1, 2) || !all_strings(n))
    return;
  uint32_t rank = import_rank(n, 0);
  value_id x = import_in(n, 0), cut = string_scalar(n, delimiter);
  value_id most = build_scalar_i64(n->b, DTYPE_I64, limit);
  value_id counts = host(n, HOST_OP_SPLIT_COUNT, DTYPE_I64, (value_id[]){x, cut, most}, 3);
  if (rank >= IR_MAX_RANK) {
    import_unsupported(n, "a result of rank %u", rank + 1);
    return;
  }
  import_out(n, 1, counts);
  if (counts == VALUE_NONE || !import_wants(n, 0))
    return;
  struct parts parts;
  if (!make_parts(n, x, counts, 0, &parts))
    return;
  import_out(n, 0,
             host(n, HOST_OP_SPLIT_PART, DTYPE_STRING,
                  (value_id[]){parts.whole, parts.number, cut, most}, 4));
}

/* The table of tokens; VALUE_NONE, reported, where there is none. Separators other than between any
 * two characters are not done. */
static value_id token_table(struct import_node *n) {
  const char *pattern = import_attr_string(n, "tokenexp", NULL), *why = "";
  const struct str *separators;
  uint32_t n_separators;
  const uint8_t *bytes;
  uint64_t size;
  if (import_attr_strings(n, "separators", &separators, &n_separators)) {
    if (pattern || n_separators != 1 || separators[0].len) {
      import_unsupported(n, "separators other than \"\"");
      return VALUE_NONE;
    }
    pattern = ".";
  }
  if (!pattern) {
    import_fail(n, DIAG_E0143, "neither 'tokenexp' nor 'separators' says what tokens are");
    return VALUE_NONE;
  }
  if (!strcmp(pattern, ".")) /* onnxruntime takes this for any character, ends of lines too */
    pattern = "[\\x00-\\x{10FFFF}]";
  struct str text = {pattern, strlen(pattern)};
  switch (regex_token_automaton(text, import_arena(n), &bytes, &size, &why)) {
  case REGEX_OK: break;
  case REGEX_INVALID: import_invalid(n, "pattern '%s': %s", pattern, why); return VALUE_NONE;
  case REGEX_UNSUPPORTED:
    import_unsupported(n, "pattern '%s': %s", pattern, why);
    return VALUE_NONE;
  }
  int64_t dims[1] = {(int64_t)size};
  return build_const_data(n->b, DTYPE_U8, dims, 1, bytes, size);
}

/* com.microsoft: the tokens of each string, then padding; with marks, a character 2 before them and
 * a character 3 behind. */
void import_tokenizer(struct import_node *n) {
  struct builder *b = n->b;
  bool mark = import_attr_int(n, "mark", 0) != 0;
  const char *pad = import_attr_string(n, "pad_value", "");
  value_id least = build_scalar_i64(b, DTYPE_I64, import_attr_int(n, "mincharnum", 1));
  if (!import_arity(n, 1, 1, 1) || !all_strings(n))
    return;
  if (import_rank(n, 0) < 1 || import_rank(n, 0) > 2) {
    import_invalid(n, "its operand has rank %u", import_rank(n, 0));
    return;
  }
  struct parts parts;
  value_id x = import_in(n, 0), table = token_table(n);
  value_id counts = host(n, HOST_OP_FIND_COUNT, DTYPE_I64, (value_id[]){x, table, least}, 3);
  if (table == VALUE_NONE || counts == VALUE_NONE || !make_parts(n, x, counts, 2 * mark, &parts))
    return;
  int64_t last = import_rank(n, 0);
  value_id which = parts.number, count = build_unsqueeze(b, counts, &last, 1);
  if (mark)
    which = build_binary_i64(b, SCALAR_SUB, which, 1);
  value_id y =
      host(n, HOST_OP_FIND_PART, DTYPE_STRING, (value_id[]){parts.whole, which, table, least}, 4);
  y = build_select(b, build_binary(b, SCALAR_LT, which, count), y, string_scalar(n, pad));
  if (mark) {
    y = build_select(b, build_binary_i64(b, SCALAR_LT, which, 0), string_scalar(n, "\x02"), y);
    y = build_select(b, build_binary(b, SCALAR_EQ, which, count), string_scalar(n, "\x03"), y);
  }
  import_out(n, 0, y);
}

/* ---- StringNormalizer ---- */

/* Elements of x [C] that are none of the stop words, in order. */
static value_id without_stop_words(struct import_node *n, value_id x, const struct str *words,
                                   uint32_t n_words, bool fold_case) {
  int64_t axis = 1;
  value_id stop = import_strings(n, words, n_words), item = x;
  if (fold_case) {
    stop = host(n, HOST_OP_LOWER, DTYPE_STRING, &stop, 1);
    item = host(n, HOST_OP_LOWER, DTYPE_STRING, &item, 1);
  }
  value_id hit = build_binary(n->b, SCALAR_EQ, build_unsqueeze(n->b, item, &axis, 1), stop);
  if (hit == VALUE_NONE)
    return VALUE_NONE;
  hit = import_reduce(n, hit, import_range(n, 1, 2), COMBINER_OR);
  value_id keep = build_unary(n->b, SCALAR_NOT, build_squeeze(n->b, hit, &axis, 1));
  value_id places = import_nonzero_of(n, keep);
  if (places == VALUE_NONE)
    return VALUE_NONE;
  dim count = value_type(n->f, places)->dims[1];
  places = build_reshape(n->b, places, &count, 1);
  return import_gather_axis(n, x, places, 0, OUT_OF_RANGE_ERROR);
}

/* x [C], or one empty string where C is 0. */
static value_id at_least_one(struct import_node *n, value_id x) {
  struct str empty = {"", 0};
  if (x == VALUE_NONE)
    return VALUE_NONE;
  dim one = dim_const(n->dims, 1), size = dim_max(n->dims, value_type(n->f, x)->dims[0], one);
  value_id both[2] = {x, import_strings(n, &empty, 1)};
  return build_slice_axis(n->b, build_concat(n->b, both, 2, 0), 0, dim_const(n->dims, 0), size);
}

static value_id change_case(struct import_node *n, value_id x, const char *action) {
  if (!strcmp(action, "LOWER"))
    return host(n, HOST_OP_LOWER, DTYPE_STRING, &x, 1);
  if (!strcmp(action, "UPPER"))
    return host(n, HOST_OP_UPPER, DTYPE_STRING, &x, 1);
  if (strcmp(action, "NONE"))
    import_invalid(n, "case_change_action is '%s'", action);
  return x;
}

void import_string_normalizer(struct import_node *n) {
  const char *action = import_attr_string(n, "case_change_action", "NONE");
  bool exact = import_attr_int(n, "is_case_sensitive", 0) != 0;
  const char *locale = import_attr_string(n, "locale", "");
  const struct str *words = NULL;
  uint32_t n_words = 0;
  import_attr_strings(n, "stopwords", &words, &n_words);
  if (!import_arity(n, 1, 1, 1) || !all_strings(n))
    return;
  if (!strncmp(locale, "tr", 2) || !strncmp(locale, "az", 2) || !strncmp(locale, "lt", 2)) {
    import_unsupported(n, "the case of letters in locale '%s'", locale);
    return;
  }
  uint32_t rank = import_rank(n, 0);
  dim one = dim_const(n->dims, 1);
  if (rank < 1 || rank > 2) {
    import_invalid(n, "its operand has rank %u", rank);
    return;
  }
  if (rank == 2)
    build_check(n->b, import_dim(n, 0, 0), RELATION_EQ, one, "its operand has one row");
  dim size = import_dim(n, 0, rank - 1);
  value_id x = import_in(n, 0);
  if (rank == 2)
    x = build_reshape(n->b, build_slice_axis(n->b, x, 0, dim_const(n->dims, 0), one), &size, 1);
  if (n_words)
    x = without_stop_words(n, x, words, n_words, !exact);
  x = change_case(n, at_least_one(n, x), action);
  if (x == VALUE_NONE)
    return;
  dim dims[2] = {one, value_type(n->f, x)->dims[0]};
  import_out(n, 0, rank == 2 ? build_reshape(n->b, x, dims, 2) : x);
}

/* ---- RegexFullMatch ---- */

void import_regex_full_match(struct import_node *n) {
  const char *pattern = import_attr_string(n, "pattern", NULL), *why = "";
  const uint8_t *bytes;
  uint64_t size;
  if (!pattern) {
    import_fail(n, DIAG_E0143, "attribute 'pattern' is missing");
    return;
  }
  if (!import_arity(n, 1, 1, 1) || !all_strings(n))
    return;
  struct str text = {pattern, strlen(pattern)};
  switch (regex_automaton(text, import_arena(n), &bytes, &size, &why)) {
  case REGEX_OK: break;
  case REGEX_INVALID: import_invalid(n, "pattern '%s': %s", pattern, why); return;
  case REGEX_UNSUPPORTED: import_unsupported(n, "pattern '%s': %s", pattern, why); return;
  }
  int64_t dims[1] = {(int64_t)size};
  value_id table = build_const_data(n->b, DTYPE_U8, dims, 1, bytes, size);
  import_out(n, 0, host(n, HOST_OP_MATCH, DTYPE_BOOL, (value_id[]){import_in(n, 0), table}, 2));
}
