/* SPDX-License-Identifier: Apache-2.0 */
/* The host functions, one element after the other. */
#include "base/host_op.h"

#include "base/host_match.h"
#include "base/host_text.h"

#include <string.h>

/* --- The table --- */

static const char *const names[HOST_OP_COUNT] = {
#define HOST_OP(E, text, number, signature) [number] = #text,
#include "base/host_op.def"
#undef HOST_OP
};
static const char *const signatures[HOST_OP_COUNT] = {
#define HOST_OP(E, text, number, signature) [number] = signature,
#include "base/host_op.def"
#undef HOST_OP
};

const char *host_op_name(uint32_t op) { return op < HOST_OP_COUNT ? names[op] : NULL; }
const char *host_op_signature(uint32_t op) { return op < HOST_OP_COUNT ? signatures[op] : NULL; }

uint32_t host_op_operands(uint32_t op) { return (uint32_t)strcspn(signatures[op], ":"); }

char host_op_letter(uint32_t op, uint32_t i) {
  return signatures[op][i < host_op_operands(op) ? i : i + 1];
}

bool host_op_letter_takes(char letter, enum dtype dtype) {
  switch (letter) {
  case 's':
  case 'S': return dtype == DTYPE_STRING;
  case 'i':
  case 'I': return dtype == DTYPE_I64;
  case 'b': return dtype == DTYPE_BOOL;
  case 'B': return dtype == DTYPE_U8;
  default: {
    bool small = dtype_is_float(dtype) ? dtype_bits(dtype) < 32 : dtype_bits(dtype) < 8;
    return dtype != DTYPE_STRING && !small;
  }
  }
}

/* --- Elements --- */

static bool get_string(const struct host_call *c, uint32_t operand, uint64_t i,
                       struct host_string *out) {
  return host_strings_get(c->strings, ((const uint64_t *)c->in[operand])[i], out);
}

static int64_t get_int(const struct host_call *c, uint32_t operand, uint64_t i) {
  return ((const int64_t *)c->in[operand])[i];
}

static enum host_result put_string(const struct host_call *c, uint64_t i, const char *data,
                                   size_t size) {
  return host_strings_add(c->strings, data, size, &((uint64_t *)c->out)[i]) ? HOST_OK
                                                                            : HOST_NO_MEMORY;
}

static enum host_result put_text(const struct host_call *c, uint64_t i) {
  return put_string(c, i, c->strings->text, c->strings->text_size);
}

/* --- Functions of one element --- */

static enum host_result run_concat(const struct host_call *c, uint64_t i) {
  struct host_string a, b;
  if (!get_string(c, 0, i, &a) || !get_string(c, 1, i, &b))
    return HOST_BAD_VALUE;
  c->strings->text_size = 0;
  bool ok = host_strings_append(c->strings, a.data, a.size) &&
            host_strings_append(c->strings, b.data, b.size);
  return ok ? put_text(c, i) : HOST_NO_MEMORY;
}

static enum host_result run_case(const struct host_call *c, uint64_t i) {
  struct host_string x;
  if (!get_string(c, 0, i, &x))
    return HOST_BAD_VALUE;
  c->strings->text_size = 0;
  while (x.size) {
    int32_t code;
    char mapped[UTF8_MOST];
    size_t n = utf8_decode(x, &code), to = n;
    const char *bytes = x.data;
    if (code >= 0) {
      to = utf8_encode(c->op == HOST_OP_LOWER ? case_lower(code) : case_upper(code), mapped);
      bytes = mapped;
    }
    if (!host_strings_append(c->strings, bytes, to))
      return HOST_NO_MEMORY;
    x.data += n;
    x.size -= n;
  }
  return put_text(c, i);
}

/* A walk over the parts of a string. */
struct parts {
  struct host_string rest, delimiter;
  int64_t at, limit; /* number of the next part; cuts at most, negative: any number */
  bool done;
};

static void skip_space(struct host_string *x) {
  while (x->size && text_is_space(x->data[0])) {
    x->data++;
    x->size--;
  }
}

static void parts_begin(struct parts *p, struct host_string text, struct host_string delimiter,
                        int64_t limit) {
  *p = (struct parts){.rest = text, .delimiter = delimiter, .limit = limit};
  if (delimiter.size)
    return;
  skip_space(&p->rest);
  p->done = p->rest.size == 0;
}

/* Where the next cut begins; the end if there is none. */
static size_t parts_cut(const struct parts *p) {
  if (p->limit >= 0 && p->at >= p->limit)
    return p->rest.size;
  if (p->delimiter.size) {
    const char *hit = p->rest.size
                          ? memmem(p->rest.data, p->rest.size, p->delimiter.data, p->delimiter.size)
                          : NULL;
    return hit ? (size_t)(hit - p->rest.data) : p->rest.size;
  }
  size_t n = 0;
  while (n < p->rest.size && !text_is_space(p->rest.data[n]))
    n++;
  return n;
}

static bool parts_next(struct parts *p, struct host_string *out) {
  if (p->done)
    return false;
  size_t n = parts_cut(p);
  *out = (struct host_string){p->rest.data, n};
  p->at++;
  if (n == p->rest.size) {
    p->done = true;
    if (!p->delimiter.size) /* the last part of a limited split ends where its words do */
      while (out->size && text_is_space(out->data[out->size - 1]))
        out->size--;
    return true;
  }
  p->rest.data += n + p->delimiter.size;
  p->rest.size -= n + p->delimiter.size;
  if (!p->delimiter.size) {
    skip_space(&p->rest);
    p->done = p->rest.size == 0;
  }
  return true;
}

static enum host_result run_split_count(const struct host_call *c, uint64_t i) {
  struct host_string x, delimiter, part;
  struct parts p;
  if (!get_string(c, 0, i, &x) || !get_string(c, 1, 0, &delimiter))
    return HOST_BAD_VALUE;
  parts_begin(&p, x, delimiter, get_int(c, 2, 0));
  while (parts_next(&p, &part))
    continue;
  ((int64_t *)c->out)[i] = p.at;
  return HOST_OK;
}

/* Parts are mostly asked for in order: whether part `wanted` of element i is the next one of a walk
 * that is `at` a part of the element before. */
static bool walk_goes_on(const struct host_call *c, uint64_t i, int64_t wanted, int64_t at) {
  const uint64_t *strings = c->in[0];
  return i > 0 && wanted == at && strings[i] == strings[i - 1];
}

static enum host_result run_split_part(const struct host_call *c, uint64_t i, struct parts *walk) {
  struct host_string x, delimiter, part = {"", 0};
  int64_t wanted = get_int(c, 1, i);
  if (!get_string(c, 0, i, &x) || !get_string(c, 2, 0, &delimiter))
    return HOST_BAD_VALUE;
  if (!walk_goes_on(c, i, wanted, walk->at))
    parts_begin(walk, x, delimiter, get_int(c, 3, 0));
  bool found = wanted >= 0;
  while (found && walk->at <= wanted)
    found = parts_next(walk, &part);
  return found ? put_string(c, i, part.data, part.size) : put_string(c, i, "", 0);
}

static enum host_result run_match(const struct host_call *c, uint64_t i,
                                  const struct host_automaton *a) {
  struct host_string x;
  if (!get_string(c, 0, i, &x))
    return HOST_BAD_VALUE;
  ((uint8_t *)c->out)[i] = host_match_run(a, x.data, x.size);
  return HOST_OK;
}

/* A walk over the tokens of a string. */
struct tokens {
  struct host_automaton automaton;
  uint32_t dead;
  struct host_string rest;
  int64_t at; /* number of the next token */
};

/* Operand i as the automaton of all elements; whole matches need no more than that. */
static bool tokens_open(const struct host_call *c, uint32_t i, struct tokens *t) {
  if (!host_match_open(c->in[i], c->in_elements[i], &t->automaton))
    return false;
  if (c->op != HOST_OP_MATCH)
    t->dead = host_match_dead(&t->automaton);
  return true;
}

static int64_t code_points(struct host_string x) {
  int64_t n = 0;
  int32_t code;
  for (; x.size; n++) {
    size_t bytes = utf8_decode(x, &code);
    x = (struct host_string){x.data + bytes, x.size - bytes};
  }
  return n;
}

static bool tokens_next(struct tokens *t, int64_t least, struct host_string *out) {
  int32_t code;
  while (t->rest.size) {
    size_t n = host_match_longest(&t->automaton, t->dead, t->rest.data, t->rest.size);
    *out = (struct host_string){t->rest.data, n};
    bool found = n && code_points(*out) >= least;
    if (!found)
      n = utf8_decode(t->rest, &code);
    t->rest = (struct host_string){t->rest.data + n, t->rest.size - n};
    t->at += found;
    if (found)
      return true;
  }
  return false;
}

static enum host_result run_find_count(const struct host_call *c, uint64_t i, struct tokens *t) {
  struct host_string token;
  if (!get_string(c, 0, i, &t->rest))
    return HOST_BAD_VALUE;
  t->at = 0;
  while (tokens_next(t, get_int(c, 2, 0), &token))
    continue;
  ((int64_t *)c->out)[i] = t->at;
  return HOST_OK;
}

static enum host_result run_find_part(const struct host_call *c, uint64_t i, struct tokens *t) {
  struct host_string x, token = {"", 0};
  int64_t wanted = get_int(c, 1, i);
  if (!get_string(c, 0, i, &x))
    return HOST_BAD_VALUE;
  if (!walk_goes_on(c, i, wanted, t->at)) {
    t->rest = x;
    t->at = 0;
  }
  bool found = wanted >= 0;
  while (found && t->at <= wanted)
    found = tokens_next(t, get_int(c, 3, 0), &token);
  return found ? put_string(c, i, token.data, token.size) : put_string(c, i, "", 0);
}

static enum host_result run_format(const struct host_call *c, uint64_t i) {
  char text[TEXT_NUMBER_ROOM];
  size_t bytes = dtype_unpacked_bytes(c->in_dtype[0]);
  size_t n = text_format(c->in_dtype[0], (const char *)c->in[0] + i * bytes, text);
  return put_string(c, i, text, n);
}

static enum host_result run_parse(const struct host_call *c, uint64_t i) {
  struct host_string x;
  char *to = (char *)c->out + i * dtype_unpacked_bytes(c->out_dtype);
  return get_string(c, 0, i, &x) && text_parse(x, c->out_dtype, to) ? HOST_OK : HOST_BAD_VALUE;
}

/* --- All elements --- */

struct host_state {
  struct parts walk;
  struct tokens tokens;
};

static enum host_result run_element(const struct host_call *c, uint64_t i, struct host_state *s) {
  switch (c->op) {
  case HOST_OP_CONCAT: return run_concat(c, i);
  case HOST_OP_LOWER:
  case HOST_OP_UPPER: return run_case(c, i);
  case HOST_OP_SPLIT_COUNT: return run_split_count(c, i);
  case HOST_OP_SPLIT_PART: return run_split_part(c, i, &s->walk);
  case HOST_OP_MATCH: return run_match(c, i, &s->tokens.automaton);
  case HOST_OP_FIND_COUNT: return run_find_count(c, i, &s->tokens);
  case HOST_OP_FIND_PART: return run_find_part(c, i, &s->tokens);
  case HOST_OP_FORMAT: return run_format(c, i);
  case HOST_OP_PARSE: return run_parse(c, i);
  case HOST_OP_COUNT: break;
  }
  return HOST_BAD_VALUE;
}

enum host_result host_op_run(const struct host_call *c) {
  struct host_state s = {.walk = {.done = true}};
  for (uint32_t i = 0; i < host_op_operands(c->op); i++)
    if (host_op_letter(c->op, i) == 'B' && !tokens_open(c, i, &s.tokens))
      return HOST_BAD_VALUE;
  enum host_result result = HOST_OK;
  for (uint64_t i = 0; i < c->elements && !result; i++)
    result = run_element(c, i, &s);
  return result;
}
