/* SPDX-License-Identifier: Apache-2.0 */
/* The table of ops, expanded from op.def: counts, flags, attribute descriptors and hooks. An op
 * whose ir/ops/<text>.c is missing shows as an undefined <text>_hooks when a program is linked. */
#include "ir/graph.h"

#include <stddef.h>

#define OP(E, text, ...) extern const struct op_hooks text##_hooks;
#include "ir/op.def"
#undef OP

#define A(op, kind, field) {#field, ATTR_##kind, offsetof(struct op##_attrs, field)},
#define OP(E, text, omin, omax, rmin, rmax, flags, attrs)                                          \
  static const struct attr_desc text##_attr_descs[] = {attrs{NULL, ATTR_INT, 0}};
#include "ir/op.def"
#undef OP
#undef A

static const struct attr_desc no_attr_descs[] = {{NULL, ATTR_INT, 0}};

#define EXPLICIT OP_FLAG_EXPLICIT
#define VIEW OP_FLAG_VIEW
#define EFFECT OP_FLAG_EFFECT
#define CONTROL OP_FLAG_CONTROL
#define RANKS OP_FLAG_RANKS
#define MESH OP_FLAG_MESH
#define HOST OP_FLAG_HOST
#define MANY UINT32_MAX

const struct op_info op_infos[OP_COUNT] = {
    [OP_NONE] = {.name = "none", .attrs = no_attr_descs},
#define OP(E, text, omin, omax, rmin, rmax, flags, attrs)                                          \
  [OP_##E] = {                                                                                     \
      #text,        omin, omax, rmin, rmax, flags, sizeof(struct text##_attrs), text##_attr_descs, \
      &text##_hooks},
#include "ir/op.def"
#undef OP
};

bool op_is_static(enum op_kind kind) {
  if (op_infos[kind].flags &
      (OP_FLAG_EFFECT | OP_FLAG_CONTROL | OP_FLAG_RANKS | OP_FLAG_MESH | OP_FLAG_HOST))
    return false;
  return kind != OP_RANDOM && kind != OP_NONZERO && kind != OP_UNIQUE && kind != OP_NMS;
}

enum op_kind root_kind_op(enum root_kind root) {
  switch (root) {
  case ROOT_KIND_POINTWISE: return OP_NONE;
  case ROOT_KIND_ROW:
  case ROOT_KIND_REDUCE: return OP_REDUCE;
  case ROOT_KIND_SCAN: return OP_SCAN;
  case ROOT_KIND_WINDOW: return OP_WINDOW;
  case ROOT_KIND_CONTRACT: return OP_CONTRACT;
  case ROOT_KIND_CONV: return OP_CONV;
  case ROOT_KIND_ATTENTION: return OP_ATTENTION;
  case ROOT_KIND_SCATTER: return OP_SCATTER;
  case ROOT_KIND_UPDATE: return OP_UPDATE;
  case ROOT_KIND_TOPK: return OP_TOPK;
  case ROOT_KIND_NONZERO: return OP_NONZERO;
  case ROOT_KIND_UNIQUE: return OP_UNIQUE;
  case ROOT_KIND_NMS: return OP_NMS;
  }
  return OP_NONE;
}

uint32_t op_region_count(enum op_kind kind) {
  if (!(op_infos[kind].flags & OP_FLAG_CONTROL))
    return 0;
  return kind == OP_IF ? 2 : 1;
}
