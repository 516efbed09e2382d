/* SPDX-License-Identifier: Apache-2.0 */
/* Values of any kind as tensors one after the other, and back: what `if` and `loop` pass on. Two
 * values that a run chooses between, or that follow each other in a loop, get one form first:
 * sequences of different lengths become PACKED, optionals of which one may be empty MAYBE.
 *
 * A form is a value that others are made alike to; only its kinds, dtypes and ranks count. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_FORM_H
#define SINTER_FRONTEND_ONNX_IMPORT_FORM_H

#include "base/vec.h"
#include "frontend/onnx/import_node.h"

struct form_ids {
  value_id *data;
  uint32_t len, cap;
};

/* Appends the tensors of v. False, reported, for what has none. */
bool import_form_flatten(struct import_node *n, struct import_value *v, struct form_ids *out);
/* A value of that form with tensors from a list, which is moved on. */
struct import_value *import_form_rebuild(struct import_node *n, const struct import_value *form,
                                         const value_id **next);
/* Whether one value can stand for either without more than its sequences and optionals being
 * looked at: false where tensors differ in rank, or lists that are known in length. */
bool import_form_joins(struct import_node *n, struct import_value *a, struct import_value *b);
/* A form for both; NULL, reported, if there is none. */
struct import_value *import_form_common(struct import_node *n, struct import_value *a,
                                        struct import_value *b);
/* The form in which a loop carries v; `declared` may be NULL. */
struct import_value *import_form_carried(struct import_node *n, struct import_value *v,
                                         const Onnx__TypeProto *declared);
/* v in that form, built where n->b is; NULL, reported, if it cannot be. */
struct import_value *import_form_conform(struct import_node *n, const struct import_value *form,
                                         struct import_value *v);

/* Optionals: whether there is a value, as bool []; for one that comes from outside the graph, the
 * input "NAME.given", which only those get that ask. */
value_id import_optional_given(struct import_node *n, struct import_value *v);
/* The value, which a run must have. NULL, reported, if it is known that there is none. */
struct import_value *import_optional_value(struct import_node *n, struct import_value *v);

#endif
