/* SPDX-License-Identifier: Apache-2.0 */
/* Stable topological order of numbered things: each after what it needs, otherwise in the order
 * given. Iterative, linear in nodes and edges. */
#ifndef SINTER_FRONTEND_ONNX_TOPO_H
#define SINTER_FRONTEND_ONNX_TOPO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"

struct topo_pair {
  uint32_t node, needs;
};

struct topo {
  uint32_t nodes;
  VEC(struct topo_pair) edges;
  uint32_t *order; /* after topo_sort: `nodes` entries */
};

void topo_init(struct topo *t, uint32_t nodes);
void topo_deinit(struct topo *t);

/* `node` needs `needed` before it. */
void topo_edge(struct topo *t, uint32_t needed, uint32_t node);

/* Fills t->order. On a cycle: false, and one node of it. */
bool topo_sort(struct topo *t, uint32_t *out_culprit);

#endif
