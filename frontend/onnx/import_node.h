/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator's importer works with: the node, its operands and attributes, what is known of
 * values at compile time, and the outputs to set. How to add one: README.md.
 *
 * An importer is a function `void import_x(struct import_node *n)` with rows in import.def. It
 * reads operands and attributes, builds primitives with n->b, and calls import_out for every
 * output. To give up it calls import_unsupported or import_invalid and returns. It is only called
 * if all present operands are sound, so their types may be read freely; values it builds itself may
 * be VALUE_NONE after a failed inference, which builder calls pass on. So keep building, but read
 * types only of operands, or check first.
 *
 * Everything here that returns a pointer or list owns it in the module's arena or the model. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_NODE_H
#define SINTER_FRONTEND_ONNX_IMPORT_NODE_H

#include "frontend/onnx/onnx.pb-c.h"
#include "frontend/onnx/tensor_proto.h"
#include "ir/graph.h"

struct importer;     /* the state of one import (import_internal.h) */
struct import_scope; /* the names of one graph or function body */

/* ---- values ---- */

enum import_kind {
  IMPORT_ABSENT, /* an optional operand that is not there */
  IMPORT_BROKEN, /* its definition failed, which was reported */
  IMPORT_TENSOR,
  IMPORT_SEQUENCE, /* items: its elements */
  IMPORT_OPTIONAL, /* items: none or one */
  IMPORT_PACKED,   /* a sequence of run-decided length; items: two tensors (import_packed.h) */
  IMPORT_MAYBE, /* an optional that a run decides; items: whether it is full (bool []), the value */
  IMPORT_MAPS,  /* a sequence of maps with the same keys; items: values [maps, keys], keys [keys] */
  IMPORT_OPAQUE, /* what has no form here; nothing can take it */
};

/* An ONNX value while it is imported. Sequences and optionals exist only here. */
struct import_value {
  enum import_kind kind;
  value_id id; /* TENSOR; VALUE_NONE for a constant not used yet. OPTIONAL: the input given_name */
  const Onnx__TensorProto *initializer; /* TENSOR: what it is made from, else NULL */
  region_id home;                       /* where an initializer's `const` op goes */
  struct import_value *const *items;
  uint32_t n_items;
  enum dtype item_dtype;  /* SEQUENCE without items, PACKED: of its tensors, as far as known */
  int32_t item_rank;      /* PACKED: that of its items, most likely; PACKED_ANY_RANK */
  const char *given_name; /* OPTIONAL with an item that the caller may leave out: the input that
                             says so, which import_optional_given makes; else NULL */
};

/* ---- the node ---- */

struct import_node {
  struct importer *im;
  struct builder *b; /* at the end of the region being built */
  struct function *f;
  struct dim_table *dims;
  struct import_scope *scope;
  const Onnx__NodeProto *proto;
  const char *op;
  int64_t opset;                 /* version of the operator's domain that the model imports */
  int arg;                       /* the last column of the row in import.def */
  int32_t index;                 /* in its graph */
  uint32_t n_inputs;             /* given; trailing absent ones are not counted */
  uint32_t n_outputs;            /* named or not; trailing unnamed ones are not counted */
  struct import_value **inputs;  /* none is NULL */
  struct import_value **outputs; /* NULL until set */
  uint64_t attrs_read;           /* a bit per attribute; see import_attr_ignore */
  bool takes_strings;            /* as import_string.h says; else operands of strings are refused */
  bool inlines;                  /* a subgraph that is imported now may end in a fork */
  struct import_fork *fork;      /* as it did (import_rest.c) */
  bool failed;
};

/* Reports, marks the node as failed, and returns the status. `unsupported`: the model is sound, but
 * this case is not done (say what); `invalid`: the node breaks ONNX's rules. */
status import_fail(struct import_node *n, enum diag_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define import_unsupported(n, ...) import_fail((n), DIAG_E0141, __VA_ARGS__)
#define import_invalid(n, ...) import_fail((n), DIAG_E0142, __VA_ARGS__)

struct diag_where import_where(const struct import_node *n);
struct arena *import_arena(const struct import_node *n); /* the module's */

/* ---- operands; i may be beyond n_inputs: absent ---- */

bool import_has(const struct import_node *n, uint32_t i);
/* The IR value; VALUE_NONE if absent. Fails the node (E0141) for what is not a tensor. */
value_id import_in(struct import_node *n, uint32_t i);
/* The type of a present tensor operand. */
const struct type *import_type(struct import_node *n, uint32_t i);
enum dtype import_dtype(struct import_node *n, uint32_t i);
uint32_t import_rank(struct import_node *n, uint32_t i);
dim import_dim(struct import_node *n, uint32_t i, uint32_t axis);
/* The type of a value, v != VALUE_NONE. These stay where they are, unlike what value_type points
 * to, which the next op that is built may move. */
const struct type *import_value_type(const struct import_node *n, value_id v);

/* Operands min..max (UINT32_MAX: any number) must be given, the first `min` present, and no more
 * than `outputs` outputs asked for; all operands must be tensors. Else fails (E0144) and returns
 * false. */
bool import_arity(struct import_node *n, uint32_t min, uint32_t max, uint32_t outputs);

/* ---- outputs ---- */

bool import_wants(const struct import_node *n, uint32_t i); /* the output is named */
void import_out(struct import_node *n, uint32_t i, value_id v);
void import_out_value(struct import_node *n, uint32_t i, struct import_value *v); /* any kind */
/* What the model declares for an output (value_info or graph output); NULL if nothing. Not a fact:
 * use it only for what cannot be known otherwise, with a run-time check. */
const Onnx__TypeProto *import_declared(const struct import_node *n, uint32_t i);

/* Values of other kinds, for import_out_value. */
struct import_value *import_value_tensor(struct import_node *n, value_id v);
struct import_value *import_value_list(struct import_node *n, enum import_kind kind,
                                       struct import_value *const *items, uint32_t n_items);
/* The IR value of an import_value of kind TENSOR; VALUE_NONE for other kinds. */
value_id import_value_id(struct import_node *n, struct import_value *v);

/* ---- attributes; a wrong type fails the node (E0143) and gives the default ---- */

bool import_attr_has(struct import_node *n, const char *name);
int64_t import_attr_int(struct import_node *n, const char *name, int64_t otherwise);
double import_attr_float(struct import_node *n, const char *name, double otherwise);
/* Bytes with a NUL inside are refused. */
const char *import_attr_string(struct import_node *n, const char *name, const char *otherwise);
/* False, and an empty list, if absent. */
bool import_attr_ints(struct import_node *n, const char *name, struct ints *out);
bool import_attr_floats(struct import_node *n, const char *name, const float **out,
                        uint32_t *out_n);
bool import_attr_strings(struct import_node *n, const char *name, const struct str **out,
                         uint32_t *out_n);
const Onnx__TensorProto *import_attr_tensor(struct import_node *n, const char *name);
const Onnx__GraphProto *import_attr_graph(struct import_node *n, const char *name);
const Onnx__TypeProto *import_attr_type(struct import_node *n, const char *name);
/* A dtype given by its ONNX code; fails on codes that have none here. */
enum dtype import_attr_dtype(struct import_node *n, const char *name, enum dtype otherwise);
/* The attribute with references to a function's attributes resolved; NULL if absent. */
const Onnx__AttributeProto *import_attr(struct import_node *n, const char *name);
/* An attribute that no importer looked at fails the node (E0147), so that no meaning is lost in
 * silence. This says that it does not matter. */
void import_attr_ignore(struct import_node *n, const char *name);

/* An axis in [-rank, rank) made >= 0; fails and returns false if out of range. */
bool import_axis(struct import_node *n, int64_t axis, uint32_t rank, uint32_t *out);
/* The same for a list; also fails on doubles. Out is ascending if `sort`. */
bool import_axes(struct import_node *n, struct ints axes, uint32_t rank, bool sort,
                 struct ints *out);

/* ---- what is known at compile time ----
 *
 * Facts are derived from the IR itself: import_facts.c follows a value's definition through consts,
 * dims, views, gathers and maps. So importers need do nothing to pass shapes on; they build ops,
 * and ops that are not needed any more are swept at the end. */

/* The elements of integer or bool operand i as dim expressions, if all are known and there are at
 * most IMPORT_MAX_LIST. Does not fail the node. */
enum { IMPORT_MAX_LIST = 4096 };
bool import_dims_get(struct import_node *n, uint32_t i, struct dims *out);
/* As constants. The second form reports E0141 ("... must be a constant") if it cannot. */
bool import_const_ints_get(struct import_node *n, uint32_t i, struct ints *out);
bool import_const_ints(struct import_node *n, uint32_t i, const char *what, struct ints *out);
/* The single element of a constant integer operand. */
bool import_const_int(struct import_node *n, uint32_t i, const char *what, int64_t *out);
/* The elements of a constant float (or integer) operand. */
bool import_const_floats_get(struct import_node *n, uint32_t i, const double **out,
                             uint32_t *out_n);
bool import_const_floats(struct import_node *n, uint32_t i, const char *what, const double **out,
                         uint32_t *out_n);
/* The elements of a constant string operand. */
bool import_const_strings(struct import_node *n, uint32_t i, const char *what,
                          const struct str **out, uint32_t *out_n);

/* As import_dims_get, but elements that are not known become run-time symbols, bound here. Fails
 * (E0141) if the number of elements is not known at compile time. A symbol may have any value at
 * run time: use import_size for those that become sizes. */
bool import_dims_or_symbols(struct import_node *n, uint32_t i, const char *what, struct dims *out);
bool import_dim_or_symbol(struct import_node *n, uint32_t i, const char *what,
                          dim *out); /* one element */
/* The same for any integer value, element by element. */
dim import_value_dim(struct import_node *n, value_id v, int64_t element); /* DIM_NONE if unknown */
dim import_value_symbol(struct import_node *n, value_id v, int64_t element);
/* d, checked to be >= 0 at run time if that is not proved. */
dim import_size(struct import_node *n, dim d);
/* Whether d is known to be >= 0. If it is not, and it depends on one symbol alone and this place
 * runs always, the symbol's bounds are narrowed so that it is. */
bool import_narrow_size(struct import_node *n, dim d);
/* A fresh symbol for a size >= 0 that something else binds (loop, if, nonzero's count). */
dim import_fresh_dim(struct import_node *n, const char *prefix);

/* The constant behind an operand; NULL if it is not one. Its data is packed and may be unaligned.
 */
const struct constant *import_constant(struct import_node *n, uint32_t i);
/* A constant from an attribute's tensor. */
value_id import_tensor_const(struct import_node *n, const Onnx__TensorProto *t);
/* A tensor of any kind from a proto: TENSOR, or STRINGS. */
struct import_value *import_tensor_value(struct import_node *n, const Onnx__TensorProto *t);
/* An ONNX element type; fails the node if it has none here. */
bool import_dtype_of(struct import_node *n, int32_t onnx_type, enum dtype *out);

/* ---- subgraphs and functions ---- */

/* Imports `graph` into `region` (made by region_create, its params added) or, with the region being
 * built, in place. Names of outer scopes are visible. `params` stand for the graph's inputs, whose
 * number must agree; out_results receives one value per graph output. On failure returns false (it
 * was reported). */
bool import_subgraph(struct import_node *n, const Onnx__GraphProto *graph, region_id region,
                     struct import_value *const *params, uint32_t n_params,
                     struct import_value **out_results);

/* What follows a node may be imported several times, once per branch, where no one value can stand
 * for the node's output in all of them. import_rest.c. */

/* How many values the rest gives: those outputs of the graph that are not there yet; 0 with a
 * report (E0141) where there were too many copies already. */
uint32_t import_rest_count(struct import_node *n);
/* Imports the nodes after this one into `region`, with `outputs` for this node's; out_results
 * receives import_rest_count values. False with the reasons in `why` (and nowhere else) on failure.
 */
bool import_rest(struct import_node *n, region_id region, struct import_value *const *outputs,
                 struct diags *why, struct import_value **out_results);
/* The rest is imported, and no value can stand for what both branches give. If the graph is
 * imported in place, that is what its node gives: true, and import_subgraph leaves it in `fork`. */
bool import_rest_fork(struct import_node *n, value_id condition, const region_id regions[2],
                      uint32_t symbols, struct import_value *const *const results[2]);
/* The rest is imported: its values are these, and nothing of the graph follows. */
void import_rest_done(struct import_node *n, struct import_value *const *results);

/* ---- the table ---- */

typedef void import_fn(struct import_node *n);
#define IMPORT(domain, op, since, function, arg) import_fn function;
#include "frontend/onnx/import.def"
#undef IMPORT

#endif
