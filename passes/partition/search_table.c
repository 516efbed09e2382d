/* SPDX-License-Identifier: Apache-2.0 */
/* Elimination within one block: see search_table.h.
 *
 * A relation is a set of rows: a key (classes of values that are still open, packed), time and
 * bytes, and where they came from. Of a value, the key has the class it is made in once its
 * producer is among the relation's variables, and the set of distinct classes wanted by those
 * readers that are. What costs nothing to convert to leaves the set; a value leaves the key when
 * all of its variables are in, except for the ends of the block. Rows of one key form its Pareto
 * front. */
#include "passes/partition/search_table.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

typedef unsigned __int128 row_key;

struct row {
  row_key key;
  double time, bytes;
  uint32_t left, right; /* rows of the relations joined; left: the choice, of a variable */
};

/* A fork and join: a value whose readers each make one thing for one hub. */
#define STAR_READERS 4
struct star_record {
  uint32_t hub, readers[STAR_READERS]; /* rows */
};
struct star {
  uint32_t value, n;
  struct relation *producer, *hub, *readers[STAR_READERS];
  uint32_t passed[STAR_READERS]; /* the value from each reader to the hub */
  struct star_record *records;
};

/* Of one value in a relation's keys. */
struct column {
  bool open, made;
  uint32_t n_readers; /* that are in */
  uint32_t n_wanted;  /* the most distinct classes in the set */
  uint32_t shift_made, shift_wanted, bits;
};

struct relation {
  struct column *columns; /* by value */
  uint32_t n, cap;
  struct row *rows;
  uint32_t variable; /* SEARCH_NONE: a join, or the input */
  struct relation *left, *right;
  struct star
      *star; /* in place of these two; a row's left is a record of it, right a producer's row */
};

/* Bounds of what other classes of a value may cost, filled in when asked for. */
struct penalties {
  double *made;   /* [from * n + to]; below 0: not yet */
  double *wanted; /* by class */
};

struct reducer {
  const struct search_block *block;
  const uint16_t *fixed;
  bool with_bytes; /* fronts */
  double price;    /* of a byte, in the times of rows */
  struct arena scratch;
  uint32_t *n_readers; /* by value, of the whole block */
  struct penalties *penalties;
  VEC(struct relation *) open;
};

/* The classes of one value that a row speaks of. */
struct content {
  uint32_t made; /* SEARCH_NONE: unknown */
  uint32_t n;
  uint16_t wanted[SEARCH_MAX_READERS]; /* ascending */
};

/* ---- keys ---- */

static uint32_t bits_for(uint32_t n) {
  uint32_t bits = 0;
  while (n >> bits)
    bits++;
  return bits;
}

static void content_read(const struct column *c, row_key key, struct content *out) {
  uint32_t mask = (1u << c->bits) - 1;
  out->made = c->made ? (uint32_t)(key >> c->shift_made) & mask : SEARCH_NONE;
  out->n = 0;
  for (uint32_t i = 0; i < c->n_wanted; i++) {
    uint32_t x = (uint32_t)(key >> (c->shift_wanted + i * c->bits)) & mask;
    if (!x)
      break;
    out->wanted[out->n++] = (uint16_t)(x - 1);
  }
}

static row_key content_key(const struct column *c, const struct content *x) {
  row_key key = c->made ? (row_key)x->made << c->shift_made : 0;
  for (uint32_t i = 0; i < x->n; i++)
    key |= (row_key)(x->wanted[i] + 1) << (c->shift_wanted + i * c->bits);
  return key;
}

static void content_add(struct content *x, uint16_t wanted) {
  uint32_t i = x->n;
  for (uint32_t k = 0; k < x->n; k++)
    if (x->wanted[k] == wanted)
      return;
  for (; i > 0 && x->wanted[i - 1] > wanted; i--)
    x->wanted[i] = x->wanted[i - 1];
  x->wanted[i] = wanted;
  x->n++;
}

/* Whether a value has nothing more to meet; the ends of the block stay in the key. */
static bool is_complete(const struct reducer *r, uint32_t v, const struct column *c) {
  return c->made && c->n_readers == r->n_readers[v];
}
static bool is_end(const struct reducer *r, uint32_t v) {
  return v == r->block->input || v == r->block->output;
}

/* Places the columns; false where the key has too few bits. */
static bool columns_place(const struct reducer *r, struct column *columns) {
  uint32_t shift = 0;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    struct column *c = &columns[v];
    bool complete = is_complete(r, v, c);
    if (!c->open || (complete && !is_end(r, v))) {
      c->open = c->open && is_end(r, v);
      c->n_wanted = 0;
      if (!c->open)
        c->made = false;
      continue;
    }
    c->bits = bits_for(r->block->values[v].n_classes);
    c->n_wanted = complete ? 0 : c->n_wanted;
    c->shift_made = shift;
    shift += c->made ? c->bits : 0;
    c->shift_wanted = shift;
    shift += c->n_wanted * c->bits;
  }
  return shift <= 8 * sizeof(row_key);
}

/* ---- Pareto fronts by key ---- */

struct row_map {
  uint32_t *slots; /* into chains of rows; SEARCH_NONE: empty */
  uint32_t *next;  /* by row */
  uint32_t n_slots, cap;
};

static uint64_t hash_key(row_key key) {
  uint64_t h = (uint64_t)key * 0x9E3779B97F4A7C15u ^ (uint64_t)(key >> 64) * 0xC2B2AE3D27D4EB4Fu;
  return h ^ h >> 29;
}

static void row_map_resize(struct row_map *m, const struct relation *x, uint32_t n_slots) {
  mem_free(m->slots);
  m->slots = mem_alloc(n_slots * sizeof *m->slots);
  memset(m->slots, 0xff, n_slots * sizeof *m->slots);
  m->n_slots = n_slots;
  for (uint32_t i = 0; i < x->n; i++) {
    uint32_t *slot = &m->slots[hash_key(x->rows[i].key) & (n_slots - 1)];
    m->next[i] = *slot;
    *slot = i;
  }
}

static void relation_push(struct relation *x, struct row_map *m, const struct row *row) {
  if (x->n == x->cap) {
    x->cap = x->cap ? 2 * x->cap : 256;
    x->rows = mem_realloc(x->rows, (size_t)x->cap * sizeof *x->rows);
    m->next = mem_realloc(m->next, (size_t)x->cap * sizeof *m->next);
  }
  if (2 * (uint64_t)x->n >= m->n_slots)
    row_map_resize(m, x, m->n_slots ? 2 * m->n_slots : 512);
  uint32_t *slot = &m->slots[hash_key(row->key) & (m->n_slots - 1)];
  x->rows[x->n] = *row;
  m->next[x->n] = *slot;
  *slot = x->n++;
}

/* a is as good as b in both, or in time alone where bytes do not count (ties by bytes). */
static bool dominates(const struct reducer *r, const struct row *a, const struct row *b) {
  if (r->with_bytes)
    return a->time <= b->time && a->bytes <= b->bytes;
  return a->time < b->time || (a->time == b->time && a->bytes <= b->bytes);
}

/* Adds a row unless its front has a better one; takes the place of one that it beats. Others that
 * it beats stay until relation_thin. */
static void relation_add(const struct reducer *r, struct relation *x, struct row_map *m,
                         const struct row *row) {
  if (m->n_slots) {
    uint32_t beaten = SEARCH_NONE;
    for (uint32_t i = m->slots[hash_key(row->key) & (m->n_slots - 1)]; i != SEARCH_NONE;
         i = m->next[i]) {
      if (x->rows[i].key != row->key)
        continue;
      if (dominates(r, &x->rows[i], row))
        return;
      if (dominates(r, row, &x->rows[i]))
        beaten = i;
    }
    if (beaten != SEARCH_NONE) {
      x->rows[beaten] = *row;
      return;
    }
  }
  relation_push(x, m, row);
}

static int by_key(const void *a, const void *b) {
  const struct row *x = a, *y = b;
  if (x->key != y->key)
    return x->key < y->key ? -1 : 1;
  if (x->time != y->time)
    return x->time < y->time ? -1 : 1;
  if (x->bytes != y->bytes)
    return x->bytes < y->bytes ? -1 : 1;
  return x->left != y->left ? (x->left < y->left ? -1 : 1)
                            : (x->right > y->right) - (x->right < y->right);
}

/* In order of keys, each key's rows a strict front. */
static void relation_thin(const struct reducer *r, struct relation *x, struct row_map *m) {
  mem_free(m->slots);
  mem_free(m->next);
  if (x->n)
    qsort(x->rows, x->n, sizeof *x->rows, by_key);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < x->n; i++) {
    if (kept && x->rows[kept - 1].key == x->rows[i].key &&
        dominates(r, &x->rows[kept - 1], &x->rows[i]))
      continue;
    x->rows[kept++] = x->rows[i];
  }
  x->n = kept;
}

/* ---- relations of variables ---- */

/* The most that making class `to` instead of `from` may cost: what the readers' conversions cost
 * more, in the worst set of as many classes as there are readers. */
static double penalty_made(const struct search_value *v, uint32_t n_readers, uint32_t from,
                           uint32_t to) {
  double worst[SEARCH_MAX_READERS] = {0};
  if (from == to)
    return 0;
  for (uint32_t w = 0; w < v->n_classes; w++) {
    double a = v->convert[from * v->n_classes + w], b = v->convert[to * v->n_classes + w];
    double more = isinf(a) ? 0 : b - a;
    for (uint32_t i = 0; i < n_readers; i++) {
      if (more <= worst[i])
        continue;
      double held = worst[i];
      worst[i] = more;
      more = held;
    }
  }
  double sum = 0;
  for (uint32_t i = 0; i < n_readers; i++)
    sum += worst[i];
  return sum;
}

/* The same, remembered. */
static double made_instead(struct reducer *r, uint32_t v, uint32_t from, uint32_t to) {
  const struct search_value *value = &r->block->values[v];
  struct penalties *p = &r->penalties[v];
  if (from == to)
    return 0;
  if (v == r->block->output || v == r->block->input)
    return INFINITY;
  if (!p->made) {
    p->made = ARENA_ARRAY(&r->scratch, double, (size_t)value->n_classes * value->n_classes);
    for (uint32_t i = 0; i < value->n_classes * value->n_classes; i++)
      p->made[i] = -1;
  }
  double *cell = &p->made[from * value->n_classes + to];
  if (*cell < 0)
    *cell = penalty_made(value, r->n_readers[v], from, to);
  return *cell;
}

/* The most that wanting a class costs. */
static double wanted_too(struct reducer *r, uint32_t v, uint32_t to) {
  const struct search_value *value = &r->block->values[v];
  struct penalties *p = &r->penalties[v];
  if (!p->wanted) {
    p->wanted = ARENA_ARRAY(&r->scratch, double, value->n_classes);
    for (uint32_t made = 0; made < value->n_classes; made++)
      for (uint32_t w = 0; w < value->n_classes; w++)
        p->wanted[w] = fmax(p->wanted[w], value->convert[made * value->n_classes + w]);
  }
  return p->wanted[to];
}

/* An upper bound of what taking choice b instead of a may cost elsewhere. */
static double penalty_of(struct reducer *r, const struct search_variable *x, uint32_t a,
                         uint32_t b) {
  double sum = 0;
  for (uint32_t i = 0; i < x->n_ties; i++)
    if (x->ties[i].layouts[a] != x->ties[i].layouts[b])
      return INFINITY;
  for (uint32_t i = 0; i < x->n_makes; i++)
    sum += made_instead(r, x->makes[i].value, x->makes[i].classes[a], x->makes[i].classes[b]);
  for (uint32_t i = 0; i < x->n_reads; i++)
    if (x->reads[i].classes[a] != x->reads[i].classes[b])
      sum += wanted_too(r, x->reads[i].value, x->reads[i].classes[b]);
  return sum;
}

static double priced(const struct reducer *r, const struct search_variable *x, uint32_t choice) {
  return x->time[choice] + r->price * x->bytes[choice];
}

static bool is_allowed(const struct reducer *r, const struct search_variable *x, uint32_t choice) {
  for (uint32_t i = 0; r->fixed && i < x->n_ties; i++) {
    uint16_t fixed = r->fixed[x->ties[i].weight];
    if (fixed != SEARCH_ANY_LAYOUT && fixed != x->ties[i].layouts[choice])
      return false;
  }
  return !isinf(x->time[choice]);
}

/* Goldstein's criterion: a choice goes if another is better whatever the rest does. Strictly, so
 * that of equals none goes for another that went. */
static bool is_dead_end(struct reducer *r, const struct search_variable *x, uint32_t a) {
  for (uint32_t b = 0; b < x->n_choices; b++) {
    if (a == b || !is_allowed(r, x, b) || priced(r, x, b) >= priced(r, x, a) ||
        (r->with_bytes && x->bytes[b] > x->bytes[a]))
      continue;
    /* A margin, since sums of the rest are rounded. */
    if (priced(r, x, b) + penalty_of(r, x, a, b) < priced(r, x, a) * (1 - 1e-12))
      return true;
  }
  return false;
}

static row_key choice_key(const struct reducer *r, const struct search_variable *x,
                          const struct column *columns, uint32_t choice) {
  row_key key = 0;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    if (!columns[v].open)
      continue;
    struct content content = {.made = SEARCH_NONE};
    for (uint32_t i = 0; i < x->n_makes; i++)
      if (x->makes[i].value == v)
        content.made = x->makes[i].classes[choice];
    for (uint32_t i = 0; i < x->n_reads; i++)
      if (x->reads[i].value == v)
        content_add(&content, x->reads[i].classes[choice]);
    key |= content_key(&columns[v], &content);
  }
  return key;
}

static struct relation *relation_create(struct reducer *r) {
  struct relation *out = ARENA_NEW(&r->scratch, struct relation);
  out->columns = ARENA_ARRAY(&r->scratch, struct column, r->block->n_values);
  out->variable = SEARCH_NONE;
  vec_push(&r->open, out);
  return out;
}

static void relation_of_variable(struct reducer *r, uint32_t variable) {
  const struct search_variable *x = &r->block->variables[variable];
  struct relation *out = relation_create(r);
  struct row_map map = {0};
  out->variable = variable;
  for (uint32_t i = 0; i < x->n_makes; i++)
    out->columns[x->makes[i].value].open = out->columns[x->makes[i].value].made = true;
  for (uint32_t i = 0; i < x->n_reads; i++) {
    struct column *c = &out->columns[x->reads[i].value];
    c->open = true;
    c->n_readers++;
    c->n_wanted++;
  }
  bool fits = columns_place(r, out->columns);
  assert(fits);
  (void)fits;
  for (uint32_t i = 0; i < x->n_choices; i++) {
    if (!is_allowed(r, x, i) || is_dead_end(r, x, i))
      continue;
    struct row row = {choice_key(r, x, out->columns, i), priced(r, x, i), x->bytes[i], i, 0};
    relation_add(r, out, &map, &row);
  }
  relation_thin(r, out, &map);
}

/* The input: free in every class. */
static void relation_of_input(struct reducer *r) {
  struct relation *out = relation_create(r);
  struct row_map map = {0};
  struct column *c = &out->columns[r->block->input];
  *c = (struct column){.open = true, .made = true};
  columns_place(r, out->columns);
  for (uint32_t i = 0; i < r->block->values[r->block->input].n_classes; i++) {
    struct row row = {content_key(c, &(struct content){.made = i}), 0, 0, i, 0};
    relation_add(r, out, &map, &row);
  }
  relation_thin(r, out, &map);
}

/* ---- dominated rows ---- */

/* The most that having the contents `to` of a value instead of `from` may cost. */
static double content_instead(struct reducer *r, uint32_t v, const struct content *from,
                              const struct content *to) {
  const struct search_value *value = &r->block->values[v];
  bool known = from->made != SEARCH_NONE;
  const struct content *lost = known ? from : to, *kept = known ? to : from;
  double sum = known ? made_instead(r, v, from->made, to->made) : 0;
  for (uint32_t i = 0, k = 0; i < lost->n; i++) {
    while (k < kept->n && kept->wanted[k] < lost->wanted[i])
      k++;
    if (k == kept->n || kept->wanted[k] != lost->wanted[i])
      sum += known ? value->convert[to->made * value->n_classes + lost->wanted[i]]
                   : wanted_too(r, v, lost->wanted[i]);
  }
  return sum;
}

static double row_instead(struct reducer *r, const struct relation *x, row_key from, row_key to,
                          double most) {
  double sum = 0;
  for (uint32_t v = 0; v < r->block->n_values && sum < most; v++) {
    struct content a, b;
    if (!x->columns[v].open)
      continue;
    content_read(&x->columns[v], from, &a);
    content_read(&x->columns[v], to, &b);
    sum += content_instead(r, v, &a, &b);
  }
  return sum;
}

/* The bits of the block's ends. */
static row_key end_mask(const struct reducer *r, const struct relation *x) {
  row_key mask = 0;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    const struct column *c = &x->columns[v];
    if (c->open && c->made && is_end(r, v))
      mask |= (((row_key)1 << c->bits) - 1) << c->shift_made;
  }
  return mask;
}

#define CHAMPIONS 12

/* The fastest rows of each pair of ends, and how fast the slowest of them is. */
struct champions {
  uint32_t n;
  uint32_t rows[CHAMPIONS];
};

static void champion_add(const struct relation *x, struct champions *c, uint32_t row) {
  uint32_t i = c->n < CHAMPIONS ? c->n++ : CHAMPIONS;
  if (i == CHAMPIONS && x->rows[row].time >= x->rows[c->rows[CHAMPIONS - 1]].time)
    return;
  for (i = i == CHAMPIONS ? CHAMPIONS - 1 : i;
       i > 0 && x->rows[c->rows[i - 1]].time > x->rows[row].time; i--)
    c->rows[i] = c->rows[i - 1];
  c->rows[i] = row;
}

/* Goldstein's criterion once more: rows go that one of the fastest beats whatever is still to come.
 */
static void relation_prune(struct reducer *r, struct relation *x) {
  row_key mask = end_mask(r, x);
  struct map index = {0};
  VEC(struct champions) groups = {0};
  uint32_t *group = mem_alloc((x->n + 1) * sizeof *group), kept = 0;
  bool *dead = mem_calloc(x->n + 1, sizeof *dead);
  for (uint32_t i = 0; i < x->n; i++) {
    uint64_t at, key = hash_key(x->rows[i].key & mask);
    if (!map_get(&index, key, &at)) {
      at = groups.len;
      map_put(&index, key, at);
      vec_push(&groups, (struct champions){0});
    }
    group[i] = (uint32_t)at;
    champion_add(x, &groups.data[at], i);
  }
  for (uint32_t i = 0; i < x->n; i++) {
    const struct champions *c = &groups.data[group[i]];
    for (uint32_t k = 0; k < c->n && !dead[i]; k++) {
      const struct row *a = &x->rows[i], *b = &x->rows[c->rows[k]];
      double margin = a->time * (1 - 1e-12) - b->time;
      if (margin > 0 && (!r->with_bytes || b->bytes <= a->bytes))
        dead[i] = row_instead(r, x, a->key, b->key, margin) < margin;
    }
  }
  for (uint32_t i = 0; i < x->n; i++)
    if (!dead[i])
      x->rows[kept++] = x->rows[i];
  x->n = kept;
  vec_deinit(&groups);
  map_deinit(&index);
  mem_free(group);
  mem_free(dead);
}

/* ---- joins ---- */

/* The columns of a join. `matched`: a value that both sides agree on already, and that is closed.
 */
static bool columns_join(const struct reducer *r, const struct relation *a,
                         const struct relation *b, uint32_t matched, struct column *out) {
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    const struct column *x = &a->columns[v], *y = &b->columns[v];
    out[v] = (struct column){.open = (x->open || y->open) && v != matched,
                             .made = (x->made || y->made) && v != matched,
                             .n_readers = x->n_readers + y->n_readers,
                             .n_wanted = x->n_wanted + y->n_wanted};
  }
  return columns_place(r, out);
}

/* A value that both sides speak of, brought together. What the side that has the producer wants is
 * paid for; what the other side wants is paid for now. */
static double content_join(const struct search_value *v, const struct content *a,
                           const struct content *b, struct content *out) {
  const struct content *paid = a->made != SEARCH_NONE ? a : b, *other = paid == a ? b : a;
  *out = *paid;
  double time = 0;
  for (uint32_t i = 0; i < other->n; i++) {
    uint32_t before = out->n;
    double cost =
        out->made == SEARCH_NONE ? 0 : v->convert[out->made * v->n_classes + other->wanted[i]];
    if (out->made != SEARCH_NONE && cost == 0)
      continue;
    content_add(out, other->wanted[i]);
    time += out->n > before ? cost : 0;
  }
  return time;
}

/* How values of a join are treated: only on one side, or on both. */
struct join {
  const struct relation *a, *b;
  struct column *columns;
  uint32_t matched;
  uint32_t n_both, n_one;
  uint32_t *both, *one;
};

static row_key carry(const struct join *j, const struct relation *side, row_key key) {
  row_key out = 0;
  for (uint32_t i = 0; i < j->n_one; i++) {
    const struct column *c = &side->columns[j->one[i]];
    struct content x;
    if (!c->open)
      continue;
    content_read(c, key, &x);
    out |= content_key(&j->columns[j->one[i]], &x);
  }
  return out;
}

/* What of a row's key a join looks at. */
struct joint_row {
  row_key carried;
  uint32_t match;           /* class of the matched value */
  struct content *contents; /* by j->both */
};

static struct joint_row *joint_rows(const struct join *j, const struct relation *x) {
  struct joint_row *out = mem_alloc((x->n + 1) * sizeof *out);
  struct content *room = mem_alloc(((size_t)x->n * j->n_both + 1) * sizeof *room);
  out[x->n].contents = room; /* to free */
  for (uint32_t i = 0; i < x->n; i++) {
    struct content match = {0};
    if (j->matched != SEARCH_NONE)
      content_read(&x->columns[j->matched], x->rows[i].key, &match);
    out[i].match = match.n ? match.wanted[0] : 0;
    out[i].carried = carry(j, x, x->rows[i].key);
    out[i].contents = room + (size_t)i * j->n_both;
    for (uint32_t k = 0; k < j->n_both; k++)
      content_read(&x->columns[j->both[k]], x->rows[i].key, &out[i].contents[k]);
  }
  return out;
}

static void joint_rows_free(struct joint_row *rows, uint32_t n) {
  mem_free(rows[n].contents);
  mem_free(rows);
}

/* Row k of b joined to row i of a. */
static void join_pair(struct reducer *r, const struct join *j, const struct joint_row *a,
                      const struct joint_row *b, struct row row, struct relation *out,
                      struct row_map *map) {
  row.key = a->carried | b->carried;
  for (uint32_t n = 0; n < j->n_both; n++) {
    uint32_t v = j->both[n];
    struct content content;
    row.time += content_join(&r->block->values[v], &a->contents[n], &b->contents[n], &content);
    if (!j->columns[v].open)
      continue;
    if (!j->columns[v].n_wanted)
      content.n = 0;
    row.key |= content_key(&j->columns[v], &content);
  }
  if (!isinf(row.time))
    relation_add(r, out, map, &row);
}

/* Rows of b by their class of the matched value: a list per class. */
static uint32_t *rows_by_match(const struct reducer *r, const struct join *j,
                               const struct joint_row *rows, uint32_t n, uint32_t **out_next) {
  uint32_t classes = j->matched == SEARCH_NONE ? 1 : r->block->values[j->matched].n_classes;
  uint32_t *first = mem_alloc(classes * sizeof *first), *next = mem_alloc((n + 1) * sizeof *next);
  memset(first, 0xff, classes * sizeof *first);
  for (uint32_t k = n; k-- > 0;) {
    next[k] = first[rows[k].match];
    first[rows[k].match] = k;
  }
  *out_next = next;
  return first;
}

static void join_rows(struct reducer *r, const struct join *j, struct relation *out) {
  struct row_map map = {0};
  struct joint_row *as = joint_rows(j, j->a), *bs = joint_rows(j, j->b);
  uint32_t *next, *first = rows_by_match(r, j, bs, j->b->n, &next);
  for (uint32_t i = 0; i < j->a->n; i++) {
    for (uint32_t k = first[as[i].match]; k != SEARCH_NONE; k = next[k]) {
      const struct row *x = &j->a->rows[i], *y = &j->b->rows[k];
      struct row row = {0, x->time + y->time, x->bytes + y->bytes, i, k};
      join_pair(r, j, &as[i], &bs[k], row, out, &map);
    }
  }
  joint_rows_free(as, j->a->n);
  joint_rows_free(bs, j->b->n);
  mem_free(first);
  mem_free(next);
  relation_thin(r, out, &map);
}

static void find_values(const struct reducer *r, struct join *j) {
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    if (v != j->matched && j->a->columns[v].open && j->b->columns[v].open)
      j->both[j->n_both++] = v;
    else if (j->columns[v].open)
      j->one[j->n_one++] = v;
  }
}

/* A relation that makes a value, as one that has it in the class that its only reader wants. */
static struct relation *relation_convert(struct reducer *r, struct relation *a, uint32_t v,
                                         const struct relation *reader) {
  struct relation *out = relation_create(r);
  const struct search_value *value = &r->block->values[v];
  uint32_t one[r->block->n_values + 1];
  struct join j = {.columns = out->columns, .one = one, .matched = v};
  bool *needed = ARENA_ARRAY(&r->scratch, bool, value->n_classes);
  struct row_map map = {0};
  struct content content;
  r->open.len--; /* it goes into a join at once */
  for (uint32_t i = 0; i < reader->n; i++) {
    content_read(&reader->columns[v], reader->rows[i].key, &content);
    needed[content.wanted[0]] = true;
  }
  memcpy(out->columns, a->columns, r->block->n_values * sizeof *out->columns);
  out->columns[v] = (struct column){.open = true, .n_readers = 1, .n_wanted = 1};
  columns_place(r, out->columns);
  for (uint32_t k = 0; k < r->block->n_values; k++)
    if (k != v && out->columns[k].open)
      one[j.n_one++] = k;
  for (uint32_t i = 0; i < a->n; i++) {
    row_key carried = carry(&j, a, a->rows[i].key);
    content_read(&a->columns[v], a->rows[i].key, &content);
    for (uint32_t w = 0; w < value->n_classes; w++) {
      struct content to = {.made = SEARCH_NONE, .n = 1, .wanted = {(uint16_t)w}};
      struct row row = {carried | content_key(&out->columns[v], &to),
                        a->rows[i].time + value->convert[content.made * value->n_classes + w],
                        a->rows[i].bytes, i, 0};
      if (needed[w] && !isinf(row.time))
        relation_add(r, out, &map, &row);
    }
  }
  out->left = a;
  relation_thin(r, out, &map);
  return out;
}

/* A value made on one side, and read once, on the other. */
static uint32_t find_matched(const struct reducer *r, const struct relation *a,
                             const struct relation *b) {
  for (uint32_t v = 0; v < r->block->n_values; v++)
    if (a->columns[v].open && b->columns[v].open && r->n_readers[v] == 1 && a->columns[v].made &&
        !is_end(r, v))
      return v;
  return SEARCH_NONE;
}

static struct relation *relation_join(struct reducer *r, struct relation *a, struct relation *b) {
  uint32_t matched = find_matched(r, a, b);
  if (matched == SEARCH_NONE) {
    struct relation *held = a;
    matched = find_matched(r, b, a);
    a = matched == SEARCH_NONE ? a : b;
    b = matched == SEARCH_NONE ? b : held;
  }
  if (matched != SEARCH_NONE)
    a = relation_convert(r, a, matched, b);
  struct relation *out = relation_create(r);
  struct join j = {.a = a, .b = b, .columns = out->columns, .matched = matched};
  j.both = ARENA_ARRAY(&r->scratch, uint32_t, r->block->n_values);
  j.one = ARENA_ARRAY(&r->scratch, uint32_t, r->block->n_values);
  columns_join(r, a, b, matched, out->columns);
  find_values(r, &j);
  out->left = a;
  out->right = b;
  join_rows(r, &j, out);
  uint32_t before = out->n;
  relation_prune(r, out);
  LOG("search", 2, "join %u x %u rows: %u, %u after pruning", a->n, b->n, before, out->n);
  return out;
}

/* ---- forks and joins ----
 *
 * Queries, keys and values of one norm go to one attention. Joined two by two, the set of classes
 * in which they want the norm would be part of the key. All at once it need not be: for each row of
 * the hub and each class that the producer makes, readers that want the same share a conversion, so
 * the best is the best partition of the readers into such sets. */

static struct relation *relation_with(const struct reducer *r, uint32_t v, bool made,
                                      uint32_t from) {
  for (uint32_t i = from; i < r->open.len; i++)
    if (r->open.data[i]->columns[v].open && r->open.data[i]->columns[v].made == made)
      return r->open.data[i];
  return NULL;
}

/* The one other value of a reader, made there and read once, by the hub. */
static bool star_reader(const struct reducer *r, struct star *s, struct relation *x) {
  uint32_t passed = SEARCH_NONE;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    if (!x->columns[v].open || v == s->value)
      continue;
    if (passed != SEARCH_NONE || !x->columns[v].made || r->n_readers[v] != 1 || is_end(r, v))
      return false;
    passed = v;
  }
  struct relation *hub = passed == SEARCH_NONE ? NULL : relation_with(r, passed, false, 0);
  if (!hub || x->columns[s->value].n_readers != 1 || (s->hub && s->hub != hub) ||
      hub->columns[s->value].open)
    return false;
  s->hub = hub;
  s->passed[s->n] = passed;
  s->readers[s->n++] = x;
  return true;
}

static bool star_find(const struct reducer *r, struct star *out) {
  for (uint32_t v = 0; v < r->block->n_values && !r->with_bytes; v++) {
    struct star s = {.value = v, .producer = relation_with(r, v, true, 0)};
    bool fits = s.producer && !is_end(r, v) && r->n_readers[v] > 1 &&
                r->n_readers[v] <= STAR_READERS && !s.producer->columns[v].n_readers;
    for (uint32_t i = 0; i < r->open.len && fits; i++)
      if (r->open.data[i]->columns[v].open && r->open.data[i] != s.producer)
        fits = star_reader(r, &s, r->open.data[i]);
    if (!fits || s.n != r->n_readers[v] || s.hub == s.producer)
      continue;
    *out = s;
    return true;
  }
  return false;
}

/* The cheapest row of a reader by (class that the hub wants, class wanted of the value). */
struct star_table {
  double *time;
  uint32_t *row;
};

static void star_table_build(struct reducer *r, const struct star *s, uint32_t i, uint32_t n_wanted,
                             struct star_table *out) {
  const struct relation *x = s->readers[i];
  const struct search_value *passed = &r->block->values[s->passed[i]];
  size_t n = (size_t)passed->n_classes * n_wanted;
  out->time = ARENA_ARRAY(&r->scratch, double, n);
  out->row = ARENA_ARRAY(&r->scratch, uint32_t, n);
  for (size_t k = 0; k < n; k++)
    out->time[k] = INFINITY;
  for (uint32_t k = 0; k < x->n; k++) {
    struct content made, wanted;
    content_read(&x->columns[s->passed[i]], x->rows[k].key, &made);
    content_read(&x->columns[s->value], x->rows[k].key, &wanted);
    for (uint32_t c = 0; c < passed->n_classes; c++) {
      double time = x->rows[k].time + passed->convert[made.made * passed->n_classes + c];
      size_t at = (size_t)c * n_wanted + wanted.wanted[0];
      if (time >= out->time[at])
        continue;
      out->time[at] = time;
      out->row[at] = k;
    }
  }
}

/* The best class for each set of readers, then the best partition into sets. */
static double star_best(const struct star *s, const double *const *times, const double *convert,
                        uint32_t n, uint32_t *out_classes) {
  double set[1 << STAR_READERS], best[1 << STAR_READERS] = {0};
  uint32_t class_[1 << STAR_READERS], taken[1 << STAR_READERS];
  uint32_t all = (1u << s->n) - 1;
  for (uint32_t m = 1; m <= all; m++) {
    set[m] = INFINITY;
    for (uint32_t w = 0; w < n; w++) {
      double time = convert[w];
      for (uint32_t i = 0; i < s->n; i++)
        time += m >> i & 1 ? times[i][w] : 0;
      if (time >= set[m])
        continue;
      set[m] = time;
      class_[m] = w;
    }
  }
  for (uint32_t m = 1; m <= all; m++) {
    best[m] = INFINITY;
    for (uint32_t sub = m; sub; sub = (sub - 1) & m) {
      if (!(sub & (m & -m)) || set[sub] + best[m ^ sub] >= best[m])
        continue;
      best[m] = set[sub] + best[m ^ sub];
      taken[m] = sub;
    }
  }
  for (uint32_t m = all; m && !isinf(best[all]); m ^= taken[m])
    for (uint32_t i = 0; i < s->n; i++)
      if (taken[m] >> i & 1)
        out_classes[i] = class_[taken[m]];
  return best[all];
}

static struct relation *star_join(struct reducer *r, const struct star *found) {
  struct relation *out = relation_create(r);
  struct star *s = arena_memdup(&r->scratch, found, sizeof *found);
  const struct search_value *value = &r->block->values[s->value];
  struct join j = {.columns = out->columns, .matched = SEARCH_NONE};
  struct star_table tables[STAR_READERS];
  struct row_map map = {0};
  uint32_t n_records = 0;
  j.one = ARENA_ARRAY(&r->scratch, uint32_t, r->block->n_values);
  columns_join(r, s->producer, s->hub, s->value, out->columns);
  for (uint32_t i = 0; i < s->n; i++) {
    out->columns[s->passed[i]] = (struct column){0};
    star_table_build(r, s, i, value->n_classes, &tables[i]);
  }
  columns_place(r, out->columns);
  for (uint32_t v = 0; v < r->block->n_values; v++)
    if (out->columns[v].open)
      j.one[j.n_one++] = v;
  s->records = ARENA_ARRAY(&r->scratch, struct star_record, (size_t)s->hub->n * value->n_classes);
  for (uint32_t h = 0; h < s->hub->n; h++) {
    const double *times[STAR_READERS];
    size_t at[STAR_READERS];
    row_key carried = carry(&j, s->hub, s->hub->rows[h].key);
    for (uint32_t i = 0; i < s->n; i++) {
      struct content content;
      content_read(&s->hub->columns[s->passed[i]], s->hub->rows[h].key, &content);
      at[i] = (size_t)content.wanted[0] * value->n_classes;
      times[i] = tables[i].time + at[i];
    }
    uint32_t last = SEARCH_NONE;
    double time = INFINITY;
    for (uint32_t k = 0; k < s->producer->n; k++) {
      struct content made;
      content_read(&s->producer->columns[s->value], s->producer->rows[k].key, &made);
      if (made.made != last) {
        uint32_t classes[STAR_READERS];
        last = made.made;
        time = star_best(s, times, value->convert + (size_t)last * value->n_classes,
                         value->n_classes, classes);
        for (uint32_t i = 0; i < s->n && !isinf(time); i++)
          s->records[n_records].readers[i] = tables[i].row[at[i] + classes[i]];
        s->records[n_records].hub = h;
        n_records += !isinf(time);
      }
      if (isinf(time))
        continue;
      struct row row = {carried | carry(&j, s->producer, s->producer->rows[k].key),
                        s->hub->rows[h].time + time + s->producer->rows[k].time,
                        s->hub->rows[h].bytes + s->producer->rows[k].bytes, n_records - 1, k};
      for (uint32_t i = 0; i < s->n; i++)
        row.bytes += s->readers[i]->rows[s->records[n_records - 1].readers[i]].bytes;
      relation_add(r, out, &map, &row);
    }
  }
  out->star = s;
  relation_thin(r, out, &map);
  relation_prune(r, out);
  LOG("search", 2, "fork of %u into %u rows: %u", s->n, s->hub->n, out->n);
  return out;
}

/* By the class that the producer makes, so that each is looked at once. */
static void star_sort(struct star *s) {
  struct relation *x = s->producer;
  const struct column *c = &x->columns[s->value];
  for (uint32_t i = 1; i < x->n; i++) {
    struct row row = x->rows[i];
    struct content a, b;
    uint32_t k = i;
    content_read(c, row.key, &a);
    for (; k > 0; k--) {
      content_read(c, x->rows[k - 1].key, &b);
      if (b.made <= a.made)
        break;
      x->rows[k] = x->rows[k - 1];
    }
    x->rows[k] = row;
  }
}

/* Whether joining a reader to a hub would break a fork that star_find may yet find: the reader
 * wants a value that others want too, and the hub waits for several. */
static bool breaks_star(const struct reducer *r, const struct relation *reader,
                        const struct relation *hub) {
  uint32_t shared = 0, waited = 0;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    shared += reader->columns[v].open && !reader->columns[v].made && r->n_readers[v] > 1 &&
              !hub->columns[v].open;
    waited += hub->columns[v].open && !hub->columns[v].made;
  }
  return shared == 1 && waited > 1 && !r->with_bytes;
}

/* How much work a join is, and how large its result may be, as logarithms; INFINITY where its key
 * is too wide. Relations that share nothing are joined last. */
static double join_size(const struct reducer *r, const struct relation *a,
                        const struct relation *b) {
  struct column columns[r->block->n_values + 1];
  uint32_t matched = find_matched(r, a, b);
  bool meet = false, late = matched != SEARCH_NONE && breaks_star(r, a, b);
  if (matched == SEARCH_NONE) {
    matched = find_matched(r, b, a);
    late = matched != SEARCH_NONE && breaks_star(r, b, a);
  }
  double work = log2(1.0 + a->n) + log2(1.0 + b->n), keys = 0;
  if (matched != SEARCH_NONE)
    work -= log2(1.0 + r->block->values[matched].n_classes);
  if (!columns_join(r, a, b, matched, columns))
    return INFINITY;
  for (uint32_t v = 0; v < r->block->n_values; v++) {
    meet |= a->columns[v].open && b->columns[v].open;
    if (columns[v].open)
      keys += log2(r->block->values[v].n_classes) * (columns[v].made + columns[v].n_wanted);
  }
  return fmin(work, keys) + 0.5 * work + (meet ? 0 : 1e6) + (late ? 24 : 0);
}

static void drop_open(struct reducer *r, const struct relation *x) {
  for (uint32_t i = 0; i < r->open.len; i++) {
    if (r->open.data[i] != x)
      continue;
    r->open.data[i] = r->open.data[--r->open.len];
    return;
  }
}

/* Joins until one relation is left. */
static struct relation *eliminate(struct reducer *r) {
  while (r->open.len > 1) {
    struct star star;
    if (star_find(r, &star)) {
      star_sort(&star);
      star_join(r, &star);
      drop_open(r, star.producer);
      drop_open(r, star.hub);
      for (uint32_t i = 0; i < star.n; i++)
        drop_open(r, star.readers[i]);
      continue;
    }
    struct relation *a = NULL, *b = NULL;
    double best = INFINITY;
    for (uint32_t i = 0; i < r->open.len; i++) {
      for (uint32_t k = i + 1; k < r->open.len; k++) {
        double size = join_size(r, r->open.data[i], r->open.data[k]);
        if (a && size >= best)
          continue;
        best = size;
        a = r->open.data[i];
        b = r->open.data[k];
      }
    }
    relation_join(r, a, b);
    drop_open(r, a);
    drop_open(r, b);
  }
  return r->open.data[0];
}

/* ---- the table ---- */

static void collect_choices(const struct relation *x, uint32_t row, uint32_t *out) {
  if (x->star) {
    const struct star_record *record = &x->star->records[x->rows[row].left];
    collect_choices(x->star->producer, x->rows[row].right, out);
    collect_choices(x->star->hub, record->hub, out);
    for (uint32_t i = 0; i < x->star->n; i++)
      collect_choices(x->star->readers[i], record->readers[i], out);
    return;
  }
  if (x->left) {
    if (x->right)
      collect_choices(x->right, x->rows[row].right, out);
    collect_choices(x->left, x->rows[row].left, out);
    return;
  }
  if (x->variable != SEARCH_NONE)
    out[x->variable] = x->rows[row].left;
}

static uint32_t end_class(const struct relation *x, uint32_t value, row_key key) {
  struct content content;
  if (value == SEARCH_NONE)
    return 0;
  content_read(&x->columns[value], key, &content);
  return content.made;
}

static int by_ends(const void *a, const void *b) {
  const struct search_entry *x = a, *y = b;
  if (x->in != y->in)
    return x->in < y->in ? -1 : 1;
  if (x->out != y->out)
    return x->out < y->out ? -1 : 1;
  return (x->time > y->time) - (x->time < y->time);
}

static void table_fill(const struct reducer *r, const struct relation *x, struct arena *arena,
                       struct search_table *out) {
  const struct search_block *b = r->block;
  out->n_in = b->input == SEARCH_NONE ? 1 : b->values[b->input].n_classes;
  out->n_out = b->output == SEARCH_NONE ? 1 : b->values[b->output].n_classes;
  out->n = x->n;
  out->entries = ARENA_ARRAY(arena, struct search_entry, x->n);
  for (uint32_t i = 0; i < x->n; i++) {
    uint32_t *choices = ARENA_ARRAY(arena, uint32_t, b->n_variables);
    collect_choices(x, i, choices);
    out->entries[i] = (struct search_entry){
        end_class(x, b->input, x->rows[i].key), end_class(x, b->output, x->rows[i].key),
        x->rows[i].time - r->price * x->rows[i].bytes, x->rows[i].bytes, choices};
  }
  if (x->n)
    qsort(out->entries, x->n, sizeof *out->entries, by_ends);
}

static void free_rows(struct relation *x) {
  if (x->star) {
    free_rows(x->star->producer);
    free_rows(x->star->hub);
    for (uint32_t i = 0; i < x->star->n; i++)
      free_rows(x->star->readers[i]);
  }
  if (x->left) {
    free_rows(x->left);
    if (x->right)
      free_rows(x->right);
  }
  mem_free(x->rows);
}

void search_table_build(const struct search_block *block, const uint16_t *fixed,
                        struct search_aim aim, struct arena *arena, struct search_table *out) {
  struct reducer r = {.block = block,
                      .fixed = fixed,
                      .with_bytes = aim.fronts,
                      .price = aim.fronts ? 0 : aim.price};
  r.n_readers = ARENA_ARRAY(&r.scratch, uint32_t, block->n_values + 1);
  r.penalties = ARENA_ARRAY(&r.scratch, struct penalties, block->n_values + 1);
  for (uint32_t i = 0; i < block->n_variables; i++)
    for (uint32_t k = 0; k < block->variables[i].n_reads; k++)
      r.n_readers[block->variables[i].reads[k].value]++;
  for (uint32_t i = 0; i < block->n_variables; i++)
    relation_of_variable(&r, i);
  if (block->input != SEARCH_NONE)
    relation_of_input(&r);
  *out = (struct search_table){.n_in = 1, .n_out = 1};
  if (r.open.len) {
    struct relation *last = eliminate(&r);
    table_fill(&r, last, arena, out);
    free_rows(last);
  }
  vec_deinit(&r.open);
  arena_deinit(&r.scratch);
}

struct search_table *search_table_join(const struct search_table *a, const struct search_table *b,
                                       struct arena *arena) {
  struct search_table *out = ARENA_NEW(arena, struct search_table);
  *out = (struct search_table){a->n_in, a->n_out, 0, NULL};
  struct search_entry *all = ARENA_ARRAY(arena, struct search_entry, a->n + b->n);
  memcpy(all, a->entries, a->n * sizeof *all);
  memcpy(all + a->n, b->entries, b->n * sizeof *all);
  if (a->n + b->n)
    qsort(all, a->n + b->n, sizeof *all, by_ends);
  for (uint32_t i = 0; i < a->n + b->n; i++) {
    const struct search_entry *last = out->n ? &all[out->n - 1] : NULL;
    bool again =
        last && last->in == all[i].in && last->out == all[i].out && last->bytes <= all[i].bytes;
    if (!again)
      all[out->n++] = all[i];
  }
  out->entries = all;
  return out;
}
