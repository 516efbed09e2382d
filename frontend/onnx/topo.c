/* SPDX-License-Identifier: Apache-2.0 */
/* Depth-first search with an explicit stack: visit in the given order, needed nodes first. */
#include "frontend/onnx/topo.h"

#include <string.h>

#include "base/mem.h"

enum { NEW = 0, OPEN, DONE };

void topo_init(struct topo *t, uint32_t nodes) { *t = (struct topo){.nodes = nodes}; }

void topo_deinit(struct topo *t) {
  vec_deinit(&t->edges);
  mem_free(t->order);
  *t = (struct topo){0};
}

void topo_edge(struct topo *t, uint32_t needed, uint32_t node) {
  vec_push(&t->edges, ((struct topo_pair){node, needed}));
}

struct search {
  uint32_t *first; /* node → its range in `needs` */
  uint32_t *needs;
  uint32_t *next; /* node → what to look at next in its range */
  uint32_t *stack;
  uint8_t *state;
  uint32_t found;
};

static void search_init(struct search *s, const struct topo *t) {
  uint32_t n = t->nodes;
  *s = (struct search){.first = mem_calloc(n + 1, sizeof(uint32_t)),
                       .needs = mem_calloc(t->edges.len + 1, sizeof(uint32_t)),
                       .next = mem_calloc(n + 1, sizeof(uint32_t)),
                       .stack = mem_calloc(n + 1, sizeof(uint32_t)),
                       .state = mem_calloc(n + 1, 1)};
  for (uint32_t i = 0; i < t->edges.len; i++)
    s->first[t->edges.data[i].node + 1]++;
  for (uint32_t i = 0; i < n; i++)
    s->first[i + 1] += s->first[i];
  memcpy(s->next, s->first, (n + 1) * sizeof(uint32_t));
  for (uint32_t i = 0; i < t->edges.len; i++) {
    s->needs[s->next[t->edges.data[i].node]++] = t->edges.data[i].needs;
  }
  memcpy(s->next, s->first, (n + 1) * sizeof(uint32_t));
}

static void search_deinit(struct search *s) {
  mem_free(s->first);
  mem_free(s->needs);
  mem_free(s->next);
  mem_free(s->stack);
  mem_free(s->state);
}

/* Visits `root` and what it needs; false if that leads back to an open node, *culprit. */
static bool visit(struct search *s, struct topo *t, uint32_t root, uint32_t *culprit) {
  if (s->state[root] == DONE)
    return true;
  uint32_t depth = 0;
  s->stack[depth++] = root;
  s->state[root] = OPEN;
  while (depth > 0) {
    uint32_t node = s->stack[depth - 1];
    if (s->next[node] == s->first[node + 1]) {
      s->state[node] = DONE;
      t->order[s->found++] = node;
      depth--;
      continue;
    }
    uint32_t needed = s->needs[s->next[node]++];
    if (s->state[needed] == OPEN) {
      *culprit = needed;
      return false;
    }
    if (s->state[needed] == NEW) {
      s->state[needed] = OPEN;
      s->stack[depth++] = needed;
    }
  }
  return true;
}

bool topo_sort(struct topo *t, uint32_t *out_culprit) {
  struct search s;
  search_init(&s, t);
  mem_free(t->order);
  t->order = mem_calloc((size_t)t->nodes + 1, sizeof(uint32_t));
  bool ok = true;
  for (uint32_t i = 0; i < t->nodes && ok; i++)
    ok = visit(&s, t, i, out_culprit);
  search_deinit(&s);
  return ok;
}
