/* SPDX-License-Identifier: Apache-2.0 */
/* The graph IR: a module of functions over typed values, refined in place from import to kernels.
 *
 * A module owns one arena; everything reachable from it lives there and goes with module_destroy.
 * Values and ops are 32-bit ids into tables of their function; ids stay valid for the life of the
 * function. Regions hold op ids in execution order: a value is defined before its uses, in the same
 * region or one around it. Erased ops leave the lists at once and their slots stay empty.
 *
 * Not thread-safe; distinct modules are independent. */
#ifndef SINTER_IR_GRAPH_H
#define SINTER_IR_GRAPH_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/host_op.h"
#include "base/intern.h"
#include "base/map.h"
#include "base/status.h"
#include "base/str.h"
#include "base/vec.h"
#include "ir/type.h"

enum op_kind {
  OP_NONE, /* an erased op */
#define OP(E, text, ...) OP_##E,
#include "ir/op.def"
#undef OP
  OP_COUNT
};

/* One struct of attributes per op: struct reduce_attrs { struct ints axes; ... }. */
#define ATTR_TYPE_INT int64_t
#define ATTR_TYPE_FLOAT double
#define ATTR_TYPE_BOOL bool
#define ATTR_TYPE_INTS struct ints
#define ATTR_TYPE_DIM dim
#define ATTR_TYPE_DIMS struct dims
#define ATTR_TYPE_DTYPE enum dtype
#define ATTR_TYPE_TYPE const struct type *
#define ATTR_TYPE_TYPES struct types
#define ATTR_TYPE_STRING const char *
#define ATTR_TYPE_CONSTANT constant_id
#define ATTR_TYPE_BODY const struct scalar_body *
#define ATTR_TYPE_COMBINER enum combiner
#define ATTR_TYPE_RELATION enum relation
#define ATTR_TYPE_OUT_OF_RANGE enum out_of_range
#define ATTR_TYPE_RANDOM_KIND enum random_kind
#define ATTR_TYPE_ROOT enum root_kind
#define ATTR_TYPE_PARTIAL enum partial_kind
#define ATTR_TYPE_EXCHANGE enum exchange_kind
#define ATTR_TYPE_HOST_OP enum host_op

#define A(op, kind, field) ATTR_TYPE_##kind field;
#define OP(E, text, omin, omax, rmin, rmax, flags, attrs)                                          \
  struct text##_attrs {                                                                            \
    attrs                                                                                          \
  };
#include "ir/op.def"
#undef OP
#undef A

struct op {
  enum op_kind kind;
  uint32_t n_operands, n_results, n_regions;
  const value_id *operands;
  const value_id *results;
  const region_id *regions;
  const void *attrs; /* struct <text>_attrs; see OP_ATTRS */
  region_id parent;
  uint32_t provenance; /* into module.provenance; 0: none */
};

/* The attributes of an op known to be of that kind: OP_ATTRS(reduce, op)->axes. */
#define OP_ATTRS(text, op) ((const struct text##_attrs *)(op)->attrs)

struct value {
  struct type type;
  op_id def;        /* OP_ID_NONE: a region parameter */
  uint32_t index;   /* which result, or which parameter */
  region_id region; /* that defines it */
  const char *name; /* a label for people, interned; may be NULL; unique within the function */
};

struct region {
  op_id parent; /* OP_ID_NONE for the body of the function */
  VEC(value_id) params;
  VEC(op_id) ops;
  VEC(value_id) results;
};

/* An ONNX node that IR came from. */
struct provenance {
  const char *node; /* its name, or "" */
  const char *op;   /* its operator, with the domain where that is not ai.onnx */
  int32_t index;    /* in its graph; -1: not one node */
};

/* A tensor that the module carries. Data is little-endian, packed (ONNX's packing), row-major, and
 * belongs to the arena, or to a file mapping that outlives the module. */
struct constant {
  const char *name; /* unique in the module, interned */
  enum dtype dtype;
  uint32_t rank;
  int64_t dims[IR_MAX_RANK];
  const void *data;
  uint64_t bytes;
  const char *file;      /* where data is mapped from, for --weights by-reference; NULL: inline */
  uint64_t offset;       /* in that file */
  const char *reference; /* the path by which engines refer to the file; such data can have no form
                            but the one it has there; NULL: engines hold a copy */
  uint64_t file_bytes;   /* size of the file, where there is a reference */
};

struct guard {
  dim lhs;
  enum relation relation;
  dim rhs;
};

struct function {
  struct module *module;
  const char *name;
  VEC(struct value) values; /* slot 0 unused */
  VEC(struct op) ops;       /* slot 0 unused */
  VEC(struct region)
  regions;                 /* 0 is the body: its params are the inputs, its results the outputs */
  VEC(struct guard) where; /* relations of dims that the inputs must satisfy, checked at run time */
  struct strmap value_names;
};

/* An entry point: variants in order, the first whose guards hold runs; the last has none. */
struct entry_variant {
  VEC(struct guard) guards;
  struct function *function;
};
/* An input and an output that are one value over time: what a run gives is what the next one gets,
 * and who runs the entry keeps it. Within the functions nothing is special about them but that the
 * output is an `update` in place of the input, which nothing else reads. */
struct entry_state {
  uint32_t input, output;
};
struct entry {
  const char *name;
  VEC(const char *) input_names;
  VEC(const char *) output_names;
  VEC(struct entry_variant) variants;
  VEC(struct entry_state) states; /* the last inputs, and the last outputs, in order */
  /* 1 + an input, i64 [batch]; 0: none. Before the states stands, with them, `length`: how many
   * rows each batch row of the states has. `count`: how many more the run gives each; without it,
   * one. */
  uint32_t length, count;
};

struct mesh;
struct sharding;

/* A tensor that a node of the model's graph reads or makes: what sharding annotations speak of, and
 * how one is found again behind the importer. In order of nodes. */
struct node_tensor {
  uint32_t provenance;    /* the node */
  bool result;            /* made; else read */
  uint32_t slot;          /* number among the node's */
  const char *name, *key; /* its name; that of the node's first output; interned */
  struct type type;       /* as imported; the sharding where one is annotated (0: whole) */
  bool annotated;
};

struct module {
  struct arena arena;
  struct intern names;
  struct dim_table *dims;
  VEC(struct constant) constants;    /* slot 0 unused */
  VEC(struct provenance) provenance; /* slot 0 unused */
  VEC(struct function *) functions;
  VEC(struct entry) entries;
  VEC(const struct mesh *) meshes;        /* ir/sharding.h */
  VEC(const struct sharding *) shardings; /* slot 0 unused */
  /* Of constants, and what evaluation adds; elements of strings are numbers in it. */
  struct host_strings strings;
  VEC(struct node_tensor) node_tensors;
  uint32_t annotated_mesh; /* of the annotations that the model has, + 1; 0: it has none */
  VEC(const struct scalar_body *) bodies; /* interned; found by body_index */
  struct map body_index;
  struct strmap constant_names, function_names;
};

struct module *module_create(void);
void module_destroy(struct module *m);                                /* NULL is fine */
const char *module_intern(struct module *m, const char *s);           /* NULL stays NULL */
struct function *function_create(struct module *m, const char *name); /* renames duplicates */
/* Destroys a function, which nothing may refer to. Its name stays taken. */
void module_drop_function(struct module *m, struct function *f);
struct function *module_find_function(const struct module *m, const char *name);
constant_id module_add_constant(struct module *m,
                                const struct constant *c); /* renames duplicates */
/* The number of a string, which is copied if it is new. */
uint64_t module_add_string(struct module *m, const char *data, size_t size);
/* Element i of a constant, as a float or as an integer by its dtype; the other is 0. */
void constant_element(const struct constant *c, uint64_t i, double *out_f, int64_t *out_i);
/* An entry like the one added last gives that one's number. NULL strings count as "". */
uint32_t module_add_provenance(struct module *m, const char *node, const char *op, int32_t index);
/* Where a diagnostic about IR of that provenance points to; its strings live as long as m. */
struct diag_where module_where(const struct module *m, uint32_t provenance);

static inline const struct value *function_value(const struct function *f, value_id v) {
  return &f->values.data[v];
}
static inline const struct type *value_type(const struct function *f, value_id v) {
  return &f->values.data[v].type;
}
static inline const struct op *function_op(const struct function *f, op_id o) {
  return &f->ops.data[o];
}
/* Gives a value a name; a name that the function has already gets a number. */
void value_set_name(struct function *f, value_id v, const char *name);
/* The op that defines a value; NULL for region parameters. */
static inline const struct op *value_def(const struct function *f, value_id v) {
  op_id o = f->values.data[v].def;
  return o == OP_ID_NONE ? NULL : &f->ops.data[o];
}
static inline struct region *function_region(struct function *f, region_id r) {
  return &f->regions.data[r];
}

/* ---- what is known of each op kind ---- */

enum op_flag {
  OP_FLAG_EXPLICIT = 1,
  OP_FLAG_VIEW = 2,
  OP_FLAG_EFFECT = 4,
  OP_FLAG_CONTROL = 8,
  OP_FLAG_RANKS = 16,
  OP_FLAG_MESH = 32,
  OP_FLAG_HOST = 64
};
enum attr_kind {
#define ATTR_KIND(E, ctype) ATTR_##E,
#include "ir/attr_kind.def"
#undef ATTR_KIND
};
struct attr_desc {
  const char *name; /* NULL ends the list */
  enum attr_kind kind;
  uint32_t offset; /* in the attribute struct */
};
struct op_info {
  const char *name;
  uint32_t operands_min, operands_max, results_min, results_max; /* max UINT32_MAX: no bound */
  uint32_t flags;
  uint32_t attrs_size;
  const struct attr_desc *attrs;
  const struct op_hooks *hooks;
};
extern const struct op_info op_infos[OP_COUNT];

/* Whether results hang on operands and attributes alone and have the sizes that these say, so that
 * an op on constants can be evaluated by the compiler. */
bool op_is_static(enum op_kind kind);
/* The op that a class of kernels is named after; OP_NONE where kernels of it have no such op. */
enum op_kind root_kind_op(enum root_kind root);

/* What infer and verify work on: an op that may not be in the function yet. */
struct op_view {
  struct function *function;
  enum op_kind kind;
  uint32_t n_operands;
  const value_id *operands;
  uint32_t n_regions;
  const region_id *regions;
  const void *attrs;
};
struct interp;      /* ir/interp.h */
struct factor_list; /* ir/factor.h */

/* One per op, in ir/ops/<text>.c, named <text>_hooks. */
struct op_hooks {
  /* Checks operands and attributes, and gives the result types (without sharding). On a violation
   * returns false with a message in `why`. Must accept anything that has the right number of
   * operands and regions. out_types has room for op_results_room types. */
  bool (*infer)(const struct op_view *op, struct strbuf *why, struct type *out_types,
                uint32_t *out_n_types);
  /* Evaluates the op in the interpreter; its types are concrete. */
  status (*eval)(struct interp *in, const struct op *op);
  /* Multiply-adds count 2. NULL: one per result element times the body's cost. */
  dim (*flops)(const struct function *f, const struct op *op);
  /* Appends the factors by which the op can be split over ranks. NULL: none of its dims can. */
  void (*factors)(const struct function *f, const struct op *op, struct factor_list *out);
};

/* ---- building ---- */

/* Creates ops at the end of `region`. A failed inference reports E0301 to `diags` with the current
 * provenance and returns VALUE_NONE; any builder call with a VALUE_NONE operand returns VALUE_NONE
 * and reports nothing, so that callers may check once at the end. */
struct builder {
  struct function *function;
  region_id region;
  uint32_t provenance;
  const struct diag_where *where; /* for reports, instead of the provenance's; may be NULL */
  struct diags *diags;
  uint32_t failures; /* counted so that callers may check once */
};

void builder_init(struct builder *b, struct function *f, region_id region, struct diags *diags);
/* Reports E0301 at the builder's place, counts the failure, and returns VALUE_NONE. */
value_id builder_fail(struct builder *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* How many regions an op of that kind has. */
uint32_t op_region_count(enum op_kind kind);
/* The most results that infer may give for this op. */
uint32_t op_results_room(const struct op_view *op);
/* infer behind the checks that come before it (counts of operands and regions, ids in range) and
 * after it (ranks, dims that left their range or are never >= 0). What verify and build_op share.
 * out_types has room for op_results_room types. */
bool op_infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
              uint32_t *out_n_types);

/* The general form. attrs (a struct <text>_attrs) is deep-copied into the module's arena; regions
 * must exist already (region_create). Returns the op, or OP_ID_NONE. */
op_id build_op(struct builder *b, enum op_kind kind, const value_id *operands, uint32_t n_operands,
               const region_id *regions, uint32_t n_regions, const void *attrs);
value_id build_op1(struct builder *b, enum op_kind kind, const value_id *operands,
                   uint32_t n_operands, const void *attrs);         /* its result 0 */
value_id op_result(const struct function *f, op_id op, uint32_t i); /* VALUE_NONE for OP_ID_NONE */

region_id region_create(struct function *f);
value_id region_add_param(struct function *f, region_id r, const struct type *type,
                          const char *name /* may be NULL */);

/* Shorthands; each is build_op1 with the attributes filled in. `axis` arguments are >= 0. */
value_id build_const(struct builder *b, constant_id c);
value_id build_const_data(struct builder *b, enum dtype dtype, const int64_t *dims, uint32_t rank,
                          const void *data /* packed; copied */, uint64_t bytes);
value_id build_scalar_f64(struct builder *b, enum dtype dtype, double x);  /* rank 0, any dtype */
value_id build_scalar_i64(struct builder *b, enum dtype dtype, int64_t x); /* rank 0, any dtype */
value_id build_iota(struct builder *b, enum dtype dtype, const dim *dims, uint32_t rank,
                    uint32_t axis);
value_id build_dims(struct builder *b, const dim *dims, uint32_t n);
value_id build_reshape(struct builder *b, value_id x, const dim *dims, uint32_t rank);
value_id build_transpose(struct builder *b, value_id x, const int64_t *perm);
value_id build_broadcast(struct builder *b, value_id x, const dim *dims, uint32_t rank);
/* numpy's rule: prepends 1s to the shape of x, then broadcasts to dims. */
value_id build_broadcast_to(struct builder *b, value_id x, const dim *dims, uint32_t rank);
value_id build_slice(struct builder *b, value_id x, const dim *start, const dim *size,
                     const int64_t *step /* NULL: ones */);
value_id build_slice_axis(struct builder *b, value_id x, uint32_t axis, dim start, dim size);
value_id build_reverse(struct builder *b, value_id x, uint32_t axis);
value_id build_pad(struct builder *b, value_id x, value_id fill, const dim *low, const dim *high,
                   const int64_t *interior /* NULL: zeros */);
value_id build_concat(struct builder *b, const value_id *xs, uint32_t n, uint32_t axis);
value_id build_bitcast(struct builder *b, value_id x, enum dtype dtype);
value_id build_reduce(struct builder *b, value_id x, const int64_t *axes, uint32_t n_axes,
                      enum combiner kind); /* reduced dims stay as 1 */
value_id build_contract(struct builder *b, value_id lhs, value_id rhs,
                        const struct contract_attrs *a);
/* Matrix product of the last two dims; the dims before are batch and must be equal already. */
value_id build_matmul(struct builder *b, value_id lhs, value_id rhs, enum dtype dtype);
value_id build_gather(struct builder *b, value_id data, const value_id *indices,
                      const int64_t *axes, uint32_t n, enum out_of_range mode);
/* Nothing where the relation is provable. */
void build_check(struct builder *b, dim lhs, enum relation relation, dim rhs, const char *message);
void build_symbol(struct builder *b, value_id x, int64_t index, dim symbol);
value_id build_squeeze(struct builder *b, value_id x, const int64_t *axes,
                       uint32_t n); /* by reshape */
value_id build_unsqueeze(struct builder *b, value_id x, const int64_t *axes,
                         uint32_t n); /* result axes, ascending */

/* Maps. Operands may have lower rank and broadcast as numpy does; shapes are prepended with 1s, and
 * where equality of two unknown dims is not provable a run-time `check` is added. */
value_id build_map(struct builder *b, const value_id *xs, uint32_t n,
                   const struct scalar_body *body);
value_id build_unary(struct builder *b, enum scalar_op op, value_id x);
value_id build_binary(struct builder *b, enum scalar_op op, value_id x, value_id y);
value_id build_select(struct builder *b, value_id c, value_id x, value_id y);
value_id build_cast(struct builder *b, value_id x, enum dtype dtype); /* x itself if it is that */
value_id build_cast_mode(struct builder *b, value_id x, enum dtype dtype, enum cast_mode mode);
/* x op constant, the literal taken into the body. */
value_id build_binary_f64(struct builder *b, enum scalar_op op, value_id x, double y);
value_id build_binary_i64(struct builder *b, enum scalar_op op, value_id x, int64_t y);

/* Scalar bodies are written down instruction by instruction, then interned. */
struct body_builder {
  uint32_t n_args;
  uint32_t len;
  struct scalar_inst insts[96];
  bool overflow; /* more than fit: body_finish fails */
};
void body_init(struct body_builder *s, uint32_t n_args);
uint32_t body_arg(struct body_builder *s, uint32_t i, enum dtype dtype);
uint32_t body_f64(struct body_builder *s, enum dtype dtype, double x);
uint32_t body_i64(struct body_builder *s, enum dtype dtype, int64_t x);
uint32_t body_cast(struct body_builder *s, uint32_t x, enum dtype dtype, enum cast_mode mode);
uint32_t body_op(struct body_builder *s, enum scalar_op op, uint32_t x, uint32_t y,
                 uint32_t z); /* unused: 0 */
/* The body whose result is the last instruction, in the normal form: dead and repeated instructions
 * dropped, operands before users in the order of a walk from the result, so that equal expressions
 * are equal pointers. NULL on overflow or where an instruction is not well-typed. */
const struct scalar_body *body_finish(struct body_builder *s, struct module *m);
/* The same for instructions that are there already (of another module, or made by hand). */
const struct scalar_body *scalar_body_intern(struct module *m, const struct scalar_body *body);
/* False with a message where a body is not well-typed. */
bool scalar_body_check(const struct scalar_body *body, struct strbuf *why);
/* A literal as its dtype holds it: wrapped to an integer's width; rounded to f32 for the floats up
 * to f32, which compute in f32; one NaN only. */
int64_t scalar_literal_i64(enum dtype dtype, int64_t x);
double scalar_literal_f64(enum dtype dtype, double x);

/* ---- changing ---- */

/* Users of each value, counting region results as uses by op `parent` of the region. Rebuild after
 * changes. */
struct uses {
  uint32_t *start; /* per value, n_values + 1 */
  op_id *ops;      /* users; OP_ID_NONE: a result of the function's body */
};
void uses_build(const struct function *f, struct arena *scratch, struct uses *out_uses);
static inline uint32_t uses_count(const struct uses *u, value_id v) {
  return u->start[v + 1] - u->start[v];
}
void function_replace_value(struct function *f, value_id old, value_id with); /* in every use */
void function_erase_op(struct function *f, op_id op); /* its results must be unused */
void op_set_operands(struct function *f, op_id op, const value_id *operands, uint32_t n);
/* Restores definition-before-use order in every region, keeping the present order where it can. */
void function_sort(struct function *f);
/* Drops ops whose results are unused and that have no effect; returns how many. */
uint32_t function_sweep(struct function *f);
/* A deep copy into m; a and m may be of different modules only where no attribute is a dim, a type
 * or a constant. */
const void *attrs_copy(struct module *m, enum op_kind kind, const void *a);
bool attrs_equal(enum op_kind kind, const void *a, const void *b);
uint64_t attrs_hash(enum op_kind kind, const void *a);
/* Calls fn for every dim that the types of an op's results and its attributes mention (not those in
 * its regions); and for every dim of every op, parameter and guard of a function. */
typedef void (*dim_visit_fn)(void *user, dim d);
void op_visit_dims(const struct function *f, const struct op *op, dim_visit_fn fn, void *user);
void function_visit_dims(const struct function *f, dim_visit_fn fn, void *user);
/* A copy of an op (regions included) with operands mapped; used by inlining and variants of
 * functions of one module. map is
 * indexed by value id of `from`, VALUE_NONE where not mapped yet (within one function such a value
 * stands for itself); results are entered into it. */
op_id op_clone(struct builder *b, const struct function *from, op_id op, value_id *map);
/* A copy of a function in its module, under another name, with the same symbols in its types. NULL,
 * reported to diags, where `from` is not well-formed. */
struct function *function_clone(const struct function *from, struct diags *diags);

/* ---- checking, text, evaluation live in ir/verify.h, ir/text.h, ir/interp.h ---- */

/* Helpers over types. */
bool type_equal(const struct type *a, const struct type *b);
/* type_equal apart from shardings. */
bool type_same_shape(const struct type *a, const struct type *b);
/* type_same_shape apart from dtypes. */
bool type_same_dims(const struct type *a, const struct type *b);
/* A rank above IR_MAX_RANK gives a type with DIM_NONE dims, which builders refuse. */
struct type type_make(enum dtype dtype, const dim *dims, uint32_t rank);
dim type_elements(struct dim_table *t, const struct type *type);
/* True with the sizes where every dim is constant. */
bool type_static_dims(const struct dim_table *t, const struct type *type, int64_t *out_dims);
/* Whether a relation of dims is provable. */
bool relation_known(struct dim_table *t, dim lhs, enum relation relation, dim rhs);
void type_print(const struct module *m, const struct type *type, struct strbuf *out);

#endif
