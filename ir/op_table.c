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

uint32_t op_region_count(enum op_kind kind) {
  if (!(op_infos[kind].flags & OP_FLAG_CONTROL))
    return 0;
  return kind == OP_IF ? 2 : 1;
}
