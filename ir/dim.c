/* SPDX-License-Identifier: Apache-2.0 */
/* The dim table: interning, order, structure, evaluation and substitution. */
#include "ir/dim.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "ir/dim_internal.h"

#define EMPTY UINT32_MAX

static void index_insert(struct dim_index *index, uint64_t hash, uint32_t item) {
  uint32_t i = (uint32_t)hash & (index->cap - 1);
  while (index->slots[i] != EMPTY) {
    i = (i + 1) & (index->cap - 1);
  }
  index->slots[i] = item;
}

static void index_add(struct dim_index *index, const uint64_t *hashes, uint32_t item) {
  if (index->used + 1 > index->cap / 2) {
    struct dim_index larger = {.cap = index->cap == 0 ? 64 : index->cap * 2, .used = index->used};
    larger.slots = mem_alloc(larger.cap * sizeof *larger.slots);
    memset(larger.slots, 0xff, larger.cap * sizeof *larger.slots);
    for (uint32_t i = 0; i < index->cap; i++) {
      if (index->slots[i] != EMPTY) {
        index_insert(&larger, hashes[index->slots[i]], index->slots[i]);
      }
    }
    mem_free(index->slots);
    *index = larger;
  }
  index_insert(index, hashes[item], item);
  index->used++;
}

static bool is_pair(enum node_kind kind) {
  return kind == NODE_FLOORDIV || kind == NODE_MOD || kind == NODE_EXACTDIV;
}

static bool is_extremum(enum node_kind kind) { return kind == NODE_MIN || kind == NODE_MAX; }

/* A node's key: symbols by name, coordinates by name and size, the rest by content. */
static uint64_t node_hash(const struct dim_node *node) {
  uint64_t h = hash_combine(0, node->kind);
  if (node->kind == NODE_CONST) {
    return hash_combine(h, (uint64_t)node->value);
  }
  if (is_pair(node->kind)) {
    return hash_combine(hash_combine(h, node->pair[0]), node->pair[1]);
  }
  if (node->kind == NODE_SYMBOL || node->kind == NODE_COORD) {
    h = hash_combine(h, node->kind == NODE_COORD ? (uint64_t)node->hi : 0);
    return hash_bytes(node->name, strlen(node->name), h);
  }
  for (uint32_t i = 0; i < node->count; i++) {
    if (node->kind == NODE_POLY) {
      h = hash_combine(hash_combine(h, (uint64_t)node->terms[i].coef), node->terms[i].mono);
    } else {
      h = hash_combine(h, node->operands[i]);
    }
  }
  return h;
}

static bool node_equal(const struct dim_node *a, const struct dim_node *b) {
  if (a->kind != b->kind) {
    return false;
  }
  if (a->kind == NODE_CONST) {
    return a->value == b->value;
  }
  if (is_pair(a->kind)) {
    return a->pair[0] == b->pair[0] && a->pair[1] == b->pair[1];
  }
  if (a->kind == NODE_SYMBOL || a->kind == NODE_COORD) {
    return strcmp(a->name, b->name) == 0 && (a->kind == NODE_SYMBOL || a->hi == b->hi);
  }
  if (a->count != b->count) {
    return false;
  }
  for (uint32_t i = 0; i < a->count; i++) {
    if (a->kind == NODE_POLY
            ? a->terms[i].coef != b->terms[i].coef || a->terms[i].mono != b->terms[i].mono
            : a->operands[i] != b->operands[i]) {
      return false;
    }
  }
  return true;
}

static dim find_node(const struct dim_table *t, const struct dim_node *key, uint64_t hash) {
  const struct dim_index *index = &t->node_index;
  for (uint32_t i = (uint32_t)hash; index->cap > 0; i++) {
    uint32_t item = index->slots[i & (index->cap - 1)];
    if (item == EMPTY) {
      break;
    }
    if (t->node_hash[item] == hash && node_equal(&t->nodes[item], key)) {
      return item;
    }
  }
  return DIM_NONE;
}

/* Room for one more in two parallel arrays. */
static void grow(void **items, size_t size, uint64_t **hashes, uint32_t len, uint32_t *cap) {
  if (len == *cap) {
    *cap = *cap == 0 ? 64 : *cap * 2;
    *items = mem_realloc(*items, *cap * size);
    *hashes = mem_realloc(*hashes, *cap * sizeof **hashes);
  }
}

/* Takes the node as it is; atoms get their monomial. */
static dim append_node(struct dim_table *t, struct dim_node node, uint64_t hash) {
  assert(!t->frozen);
  void *nodes = t->nodes;
  grow(&nodes, sizeof node, &t->node_hash, t->node_len, &t->node_cap);
  t->nodes = nodes;
  dim d = t->node_len++;
  t->nodes[d] = node;
  t->node_hash[d] = hash;
  index_add(&t->node_index, t->node_hash, d);
  if (node.kind != NODE_NONE && node.kind != NODE_CONST && node.kind != NODE_POLY) {
    t->nodes[d].self = dim_intern_mono(t, &d, 1);
  }
  return d;
}

/* Bounds of the new node are computed when first asked for. */
static uint32_t stale(const struct dim_table *t) { return t->epoch - 1; }

struct dim_table *dim_table_create(void) {
  struct dim_table *t = mem_calloc(1, sizeof *t);
  arena_init(&t->arena);
  (void)dim_intern_mono(t, NULL, 0);
  struct dim_node none = {.kind = NODE_NONE, .lo = DIM_UNBOUNDED_LO, .hi = DIM_UNBOUNDED_HI};
  (void)append_node(t, none, node_hash(&none));
  return t;
}

void dim_table_destroy(struct dim_table *t) {
  if (t == NULL) {
    return;
  }
  arena_deinit(&t->arena);
  mem_free(t->nodes);
  mem_free(t->node_hash);
  mem_free(t->node_index.slots);
  mem_free(t->monos);
  mem_free(t->mono_hash);
  mem_free(t->mono_index.slots);
  mem_free(t->symbols);
  mem_free(t->coords);
  mem_free(t);
}

void dim_table_freeze(struct dim_table *t, bool frozen) { t->frozen = frozen; }

mono dim_intern_mono(struct dim_table *t, const dim *atoms, uint32_t degree) {
  uint64_t hash = hash_combine(0, degree);
  for (uint32_t i = 0; i < degree; i++) {
    hash = hash_combine(hash, atoms[i]);
  }
  const struct dim_index *index = &t->mono_index;
  for (uint32_t i = (uint32_t)hash; index->cap > 0; i++) {
    uint32_t item = index->slots[i & (index->cap - 1)];
    if (item == EMPTY) {
      break;
    }
    const struct dim_mono *m = &t->monos[item];
    if (t->mono_hash[item] == hash && m->degree == degree &&
        (degree == 0 || memcmp(m->atoms, atoms, degree * sizeof *atoms) == 0)) {
      return item;
    }
  }
  assert(!t->frozen);
  struct dim_mono fresh = {.degree = degree};
  dim *copy = ARENA_ARRAY(&t->arena, dim, degree);
  for (uint32_t i = 0; i < degree; i++) {
    const struct dim_node *atom = dim_node_of(t, atoms[i]);
    copy[i] = atoms[i];
    fresh.size += atom->size;
    fresh.has_exactdiv |= atom->kind == NODE_EXACTDIV;
    fresh.has_mod |= atom->kind == NODE_MOD;
  }
  fresh.atoms = copy;
  void *monos = t->monos;
  grow(&monos, sizeof fresh, &t->mono_hash, t->mono_len, &t->mono_cap);
  t->monos = monos;
  mono m = t->mono_len++;
  t->monos[m] = fresh;
  t->mono_hash[m] = hash;
  index_add(&t->mono_index, t->mono_hash, m);
  return m;
}

/* --- Interning of normal forms --- */

dim dim_const(struct dim_table *t, int64_t value) {
  struct dim_node node = {.kind = NODE_CONST, .size = 1, .lo = value, .hi = value, .value = value};
  uint64_t hash = node_hash(&node);
  node.epoch = stale(t);
  dim found = find_node(t, &node, hash);
  return found != DIM_NONE ? found : append_node(t, node, hash);
}

dim dim_find_pair(const struct dim_table *t, enum node_kind kind, dim a, dim b) {
  struct dim_node node = {.kind = kind, .pair = {a, b}};
  return find_node(t, &node, node_hash(&node));
}

dim dim_intern_pair(struct dim_table *t, enum node_kind kind, dim a, dim b) {
  struct dim_node node = {.kind = kind, .epoch = stale(t), .pair = {a, b}};
  if (!dim_valid(t, a) || !dim_valid(t, b)) {
    return DIM_NONE;
  }
  uint64_t hash = node_hash(&node);
  dim found = find_node(t, &node, hash);
  node.size = 1 + dim_node_of(t, a)->size + dim_node_of(t, b)->size;
  if (found != DIM_NONE || node.size > DIM_MAX_SIZE) {
    return found;
  }
  return append_node(t, node, hash);
}

dim dim_intern_extremum(struct dim_table *t, enum node_kind kind, const dim *operands, uint32_t n) {
  if (n == 1) {
    return operands[0];
  }
  struct dim_node node = {.kind = kind, .count = n, .epoch = stale(t), .operands = operands};
  uint64_t hash = node_hash(&node);
  dim found = find_node(t, &node, hash);
  for (uint32_t i = 0; i < n; i++) {
    node.size += 1 + dim_node_of(t, operands[i])->size;
  }
  if (found != DIM_NONE || node.size > DIM_MAX_SIZE) {
    return found;
  }
  node.operands = arena_memdup(&t->arena, operands, n * sizeof *operands);
  return append_node(t, node, hash);
}

dim dim_intern_terms(struct dim_table *t, const struct dim_term *terms, uint32_t n) {
  struct dim_node node = {.kind = NODE_POLY, .count = n, .epoch = stale(t), .terms = terms};
  uint64_t hash = node_hash(&node);
  dim found = find_node(t, &node, hash);
  for (uint32_t i = 0; i < n; i++) {
    node.size += 1 + t->monos[terms[i].mono].size;
  }
  if (found != DIM_NONE || node.size > DIM_MAX_SIZE) {
    return found;
  }
  struct dim_term *copy = ARENA_ARRAY(&t->arena, struct dim_term, n);
  for (uint32_t i = 0; i < n; i++) {
    copy[i] = terms[i];
  }
  node.terms = copy;
  return append_node(t, node, hash);
}

/* --- Leaves --- */

static dim append_leaf(struct dim_table *t, struct dim_node node, uint64_t hash, dim **leaves,
                       uint32_t *len, uint32_t *cap) {
  if (*len == *cap) {
    *cap = *cap == 0 ? 16 : *cap * 2;
    *leaves = mem_realloc(*leaves, *cap * sizeof **leaves);
  }
  node.count = *len;
  node.size = 1;
  node.epoch = stale(t);
  node.name = arena_strdup(&t->arena, node.name);
  return (*leaves)[(*len)++] = append_node(t, node, hash);
}

dim dim_symbol(struct dim_table *t, const char *name, int64_t lo, int64_t hi) {
  struct dim_node node = {.kind = NODE_SYMBOL, .lo = lo, .hi = hi, .name = name};
  uint64_t hash = node_hash(&node);
  dim found = find_node(t, &node, hash);
  if (found == DIM_NONE) {
    return lo > hi ? DIM_NONE
                   : append_leaf(t, node, hash, &t->symbols, &t->symbol_len, &t->symbol_cap);
  }
  struct dim_node *symbol = &t->nodes[found];
  lo = lo > symbol->lo ? lo : symbol->lo;
  hi = hi < symbol->hi ? hi : symbol->hi;
  if (lo > hi) {
    return DIM_NONE;
  }
  if (lo != symbol->lo || hi != symbol->hi) {
    symbol->lo = lo;
    symbol->hi = hi;
    t->epoch++;
  }
  return found;
}

dim dim_fresh(struct dim_table *t, const char *prefix, int64_t lo, int64_t hi) {
  struct dim_node node = {.kind = NODE_SYMBOL};
  do {
    node.name = arena_printf(&t->arena, "%s%u", prefix, (unsigned)t->fresh++);
  } while (find_node(t, &node, node_hash(&node)) != DIM_NONE);
  return dim_symbol(t, node.name, lo, hi);
}

dim dim_coord(struct dim_table *t, const char *axis_name, int64_t axis_size) {
  if (axis_size <= 1) {
    return axis_size == 1 ? dim_const(t, 0) : DIM_NONE;
  }
  struct dim_node node = {.kind = NODE_COORD, .lo = 0, .hi = axis_size - 1, .name = axis_name};
  uint64_t hash = node_hash(&node);
  dim found = find_node(t, &node, hash);
  return found != DIM_NONE ? found
                           : append_leaf(t, node, hash, &t->coords, &t->coord_len, &t->coord_cap);
}

/* --- Order --- */

static int sign(int64_t a, int64_t b) { return (a > b) - (a < b); }

static int compare_terms(const struct dim_table *t, const struct dim_node *x,
                         const struct dim_node *y) {
  for (uint32_t i = 0; i < x->count && i < y->count; i++) {
    int order = dim_mono_compare(t, x->terms[i].mono, y->terms[i].mono);
    order = order != 0 ? order : sign(x->terms[i].coef, y->terms[i].coef);
    if (order != 0) {
      return order;
    }
  }
  return sign(x->count, y->count);
}

int dim_compare(const struct dim_table *t, dim a, dim b) {
  const struct dim_node *x = dim_node_of(t, a), *y = dim_node_of(t, b);
  if (a == b || x->kind != y->kind) {
    return a == b ? 0 : sign(x->kind, y->kind);
  }
  switch (x->kind) {
  case NODE_NONE: return 0;
  case NODE_CONST: return sign(x->value, y->value);
  case NODE_SYMBOL:
  case NODE_COORD: {
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : sign(x->hi, y->hi);
  }
  case NODE_FLOORDIV:
  case NODE_MOD:
  case NODE_EXACTDIV: {
    int order = dim_compare(t, x->pair[0], y->pair[0]);
    return order != 0 ? order : dim_compare(t, x->pair[1], y->pair[1]);
  }
  case NODE_MIN:
  case NODE_MAX:
    for (uint32_t i = 0; i < x->count && i < y->count; i++) {
      int order = dim_compare(t, x->operands[i], y->operands[i]);
      if (order != 0) {
        return order;
      }
    }
    return sign(x->count, y->count);
  case NODE_POLY: return compare_terms(t, x, y);
  }
  return 0;
}

int dim_mono_compare(const struct dim_table *t, mono a, mono b) {
  if (a == b) {
    return 0;
  }
  const struct dim_mono *x = &t->monos[a], *y = &t->monos[b];
  if (x->degree != y->degree) {
    return x->degree > y->degree ? -1 : 1;
  }
  for (uint32_t i = 0; i < x->degree; i++) {
    int order = dim_compare(t, x->atoms[i], y->atoms[i]);
    if (order != 0) {
      return order;
    }
  }
  return 0;
}

/* --- Structure --- */

enum dim_kind dim_kind(const struct dim_table *t, dim d) {
  static const enum dim_kind kinds[] = {
      [NODE_NONE] = DIM_KIND_NONE,         [NODE_CONST] = DIM_KIND_CONST,
      [NODE_SYMBOL] = DIM_KIND_SYMBOL,     [NODE_COORD] = DIM_KIND_COORD,
      [NODE_MOD] = DIM_KIND_MOD,           [NODE_FLOORDIV] = DIM_KIND_FLOORDIV,
      [NODE_EXACTDIV] = DIM_KIND_EXACTDIV, [NODE_MIN] = DIM_KIND_MIN,
      [NODE_MAX] = DIM_KIND_MAX,           [NODE_POLY] = DIM_KIND_ADD,
  };
  const struct dim_node *node = dim_node_of(t, d);
  return node->kind == NODE_POLY && node->count == 1 ? DIM_KIND_MUL : kinds[node->kind];
}

/* One term as the product of all but its last factor, and that factor. */
static void term_operands(struct dim_table *t, struct dim_term term, dim *out_a, dim *out_b) {
  const struct dim_mono *m = &t->monos[term.mono];
  const dim *atoms = m->atoms;
  uint32_t last = m->degree - 1;
  struct poly rest;
  dim_poly_init(&rest);
  dim_poly_add_term(t, &rest, term.coef, dim_intern_mono(t, atoms, last));
  *out_a = dim_poly_finish(t, &rest);
  *out_b = atoms[last];
}

bool dim_operands(struct dim_table *t, dim d, dim *out_a, dim *out_b) {
  const struct dim_node node = *dim_node_of(t, d);
  if (is_pair(node.kind)) {
    *out_a = node.pair[0];
    *out_b = node.pair[1];
  } else if (is_extremum(node.kind)) {
    *out_a = dim_intern_extremum(t, node.kind, node.operands, node.count - 1);
    *out_b = node.operands[node.count - 1];
  } else if (node.kind == NODE_POLY && node.count == 1) {
    term_operands(t, node.terms[0], out_a, out_b);
  } else if (node.kind == NODE_POLY) {
    struct poly part;
    dim_poly_load(t, d, &part);
    part.n = node.count - 1;
    *out_a = dim_poly_finish(t, &part);
    part.terms[0] = node.terms[node.count - 1];
    part.n = 1;
    *out_b = dim_poly_finish(t, &part);
  } else {
    return false;
  }
  return true;
}

bool dim_is_const(const struct dim_table *t, dim d, int64_t *out_value) {
  const struct dim_node *node = dim_node_of(t, d);
  if (node->kind != NODE_CONST) {
    return false;
  }
  if (out_value != NULL) {
    *out_value = node->value;
  }
  return true;
}

bool dim_is_const_value(const struct dim_table *t, dim d, int64_t value) {
  const struct dim_node *node = dim_node_of(t, d);
  return node->kind == NODE_CONST && node->value == value;
}

bool dim_symbol_of(const struct dim_table *t, dim d, uint32_t *out_symbol) {
  const struct dim_node *node = dim_node_of(t, d);
  if (node->kind == NODE_SYMBOL) {
    *out_symbol = node->count;
  }
  return node->kind == NODE_SYMBOL;
}

bool dim_coord_of(const struct dim_table *t, dim d, uint32_t *out_coord) {
  const struct dim_node *node = dim_node_of(t, d);
  if (node->kind == NODE_COORD) {
    *out_coord = node->count;
  }
  return node->kind == NODE_COORD;
}

uint32_t dim_symbol_count(const struct dim_table *t) { return t->symbol_len; }

const char *dim_symbol_name(const struct dim_table *t, uint32_t symbol) {
  return t->nodes[t->symbols[symbol]].name;
}

int64_t dim_symbol_lo(const struct dim_table *t, uint32_t symbol) {
  return t->nodes[t->symbols[symbol]].lo;
}

int64_t dim_symbol_hi(const struct dim_table *t, uint32_t symbol) {
  return t->nodes[t->symbols[symbol]].hi;
}

dim dim_symbol_dim(const struct dim_table *t, uint32_t symbol) { return t->symbols[symbol]; }

uint32_t dim_coord_count(const struct dim_table *t) { return t->coord_len; }

const char *dim_coord_name(const struct dim_table *t, uint32_t coord) {
  return t->nodes[t->coords[coord]].name;
}

int64_t dim_coord_size(const struct dim_table *t, uint32_t coord) {
  return t->nodes[t->coords[coord]].hi + 1;
}
