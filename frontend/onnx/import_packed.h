/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences whose length a run decides, as two tensors: the elements of all items one after the
 * other [total], and a row of numbers for each item, i64 [count, PACKED_ROW]: its rank, its dims,
 * and ones. As a graph input or output y these are "y" and "y.shapes".
 *
 * What rank the items have is a guess where such a sequence comes from outside; whoever takes an
 * item out checks it at run time. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_PACKED_H
#define SINTER_FRONTEND_ONNX_IMPORT_PACKED_H

#include "frontend/onnx/import_node.h"

enum { PACKED_ROW = 1 + IR_MAX_RANK, PACKED_ANY_RANK = -1 };

value_id import_packed_data(const struct import_value *v);
value_id import_packed_shapes(const struct import_value *v);
struct import_value *import_packed(struct import_node *n, value_id data, value_id shapes,
                                   int32_t item_rank);
struct import_value *import_packed_empty(struct import_node *n, enum dtype dtype);
/* A PACKED of a SEQUENCE; a PACKED as it is. NULL, reported, where items are not tensors of one
 * dtype. */
struct import_value *import_pack(struct import_node *n, struct import_value *v);
/* The dtype of the items of either kind, and the rank that all have: PACKED_ANY_RANK if that is not
 * known. */
enum dtype import_sequence_dtype(struct import_node *n, struct import_value *v);
int32_t import_sequence_rank(struct import_node *n, struct import_value *v);
/* The rank of a tensor type that says it; else PACKED_ANY_RANK. */
int32_t import_declared_rank(const Onnx__TypeProto *type);
/* A tensor type's dtype and, maybe, rank. False for another kind, or a dtype that there is not. */
bool import_declared_tensor(const Onnx__TypeProto *type, enum dtype *out_dtype, int32_t *out_rank);
/* The same of a sequence's items. */
bool import_declared_items(const Onnx__TypeProto *type, enum dtype *out_dtype, int32_t *out_rank);

/* The operators; positions are i64 [], and VALUE_NONE for the end. `rank` is that of the item. */
value_id import_packed_at(struct import_node *n, const struct import_value *v, value_id position,
                          uint32_t rank);
struct import_value *import_packed_insert(struct import_node *n, const struct import_value *v,
                                          value_id x, value_id position);
struct import_value *import_packed_erase(struct import_node *n, const struct import_value *v,
                                         value_id position);
dim import_packed_count(struct import_node *n, const struct import_value *v);
/* Items side by side along a new axis, or one after the other along axis 0. */
value_id import_packed_stack(struct import_node *n, const struct import_value *v, uint32_t rank,
                             uint32_t axis);
value_id import_packed_join(struct import_node *n, const struct import_value *v, uint32_t rank);
/* Parts of `size` (the last may be smaller) along an axis; without it, if not `keep`. */
struct import_value *import_packed_split(struct import_node *n, value_id x, uint32_t axis, dim size,
                                         bool keep);

#endif
