/* SPDX-License-Identifier: Apache-2.0 */
/* The importer's own state; operator importers use import_node.h only. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_INTERNAL_H
#define SINTER_FRONTEND_ONNX_IMPORT_INTERNAL_H

#include "base/map.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/import_node.h"
#include "frontend/onnx/model_load.h"

enum {
  IMPORT_MAX_NODES = 1 << 20, /* imported nodes, functions expanded */
  IMPORT_MAX_DEPTH = 40,      /* nested subgraphs and function calls */
  IMPORT_MAX_FACTS = 1 << 24, /* steps of the analysis of known values */
  IMPORT_FACT_DEPTH = 2000,   /* how far it looks back */
  IMPORT_MAX_RESTS = 64,      /* copies of what follows an If whose branches differ in rank */
  IMPORT_LONG_DIM = 96,       /* a dim of that size is given a name before more is made of it */
};

/* A call of a local function: what its body sees of the outside. */
struct import_frame {
  struct import_frame *caller;         /* NULL for the model's graph */
  const Onnx__FunctionProto *function; /* NULL for the model's graph */
  struct import_node *call; /* the node whose attributes references mean; NULL for the graph */
};

/* What two branches give instead of a graph that is imported in place: its outputs twice. */
struct import_fork {
  value_id condition;
  region_id regions[2];
  struct import_value **results[2]; /* one per output of the graph */
  uint32_t symbols;                 /* that there were before */
};

struct import_scope {
  struct import_scope *outer; /* NULL for the graph and for function bodies */
  struct import_frame *frame;
  region_id region;
  struct strmap names; /* to indices of values */
  VEC(struct import_value *) values;
  const Onnx__GraphProto *graph; /* NULL in functions */
  Onnx__NodeProto *const *rest;  /* the nodes after the one being imported */
  size_t n_rest;
  int32_t first;                /* index of the first node that is imported here */
  struct import_scope *rest_of; /* a scope for the rest of that one, in a branch; else NULL */
  bool done;                    /* the rest was imported into branches */
  bool inlined;                 /* what follows the graph's node may follow these branches, too */
  struct import_fork *fork;     /* as it does: set once the graph is done */
};

/* What is known of one element of a value. */
enum fact_kind {
  FACT_UNKNOWN,
  FACT_DIM,   /* integer or bool: d */
  FACT_FLOAT, /* the number f */
  FACT_RATIO, /* float: d * num / den, exactly */
};
struct fact {
  enum fact_kind kind;
  dim d;
  double f;
  int64_t num, den;
  uint32_t generation; /* UNKNOWN: how many symbols were bound when that was found */
};

struct importer {
  struct onnx_model *model;
  const struct onnx_import_options *options;
  struct diags *diags;
  struct module *module;
  struct function *function;
  struct entry *entry; /* while main is imported */
  struct builder builder;
  struct import_frame root;
  uint32_t depth;
  uint32_t nodes;         /* imported so far */
  uint32_t rests;         /* copies made of what follows an If */
  struct strmap declared; /* value names of the main graph to indices of `declarations` */
  VEC(const Onnx__TypeProto *) declarations;
  struct map types;        /* values to copies of their types, which stay in place */
  struct map initializers; /* TensorProto pointers to constants */
  struct map facts;        /* value and element to indices of fact_list */
  VEC(struct fact) fact_list;
  uint32_t fact_steps, fact_depth;
  uint32_t symbols_bound;
  struct map dim_names; /* dims, with the region where they were named, to their symbols */
  struct strmap rows;      /* operators to their first rows in the sorted table */
  struct strmap functions; /* local functions, to their index */
  struct strmap unknown;   /* operators already reported as unknown */
};

/* A key of several strings for strmap_put. */
const char *import_key(struct strbuf *buf, const char *a, const char *b, const char *c);

/* import_graph.c */
void import_tables_init(struct importer *im);
bool import_nodes(struct importer *im, struct import_scope *scope, Onnx__NodeProto *const *nodes,
                  size_t n_nodes);
void import_scope_init(struct import_scope *s, struct import_scope *outer,
                       struct import_frame *frame, region_id region);
void import_scope_deinit(struct import_scope *s);
/* NULL if the name is not visible. */
struct import_value *import_scope_find(const struct import_scope *s, const char *name);
/* False, reported (E0113), if the scope has the name already. */
bool import_scope_define(struct importer *im, struct import_scope *s, const char *name,
                         struct import_value *v);
void import_scope_initializers(struct importer *im, struct import_scope *s,
                               const Onnx__GraphProto *graph);
/* The IR value of a tensor, made now if it is an unused initializer; VALUE_NONE for other kinds. */
value_id import_materialize(struct importer *im, struct import_value *v);
struct import_value *import_value_new(struct importer *im, enum import_kind kind);
/* A module constant from a tensor; CONSTANT_NONE, reported, if its type has no dtype here. */
constant_id import_constant_of(struct importer *im, const struct onnx_tensor *t,
                               const struct diag_where *where);
constant_id import_constant_add(struct importer *im, const Onnx__TensorProto *t,
                                const struct diag_where *where);
struct import_value *import_proto_value(struct importer *im, region_id home,
                                        const Onnx__TensorProto *t);
int64_t import_opset(const struct importer *im, const struct import_frame *frame,
                     const char *domain);

/* function_inline.c. The local function that a node calls, or NULL. */
const Onnx__FunctionProto *import_find_function(const struct importer *im,
                                                const Onnx__NodeProto *node);
void import_call_function(struct import_node *n, const Onnx__FunctionProto *function);

/* annotation_read.c: how the model says that its nodes are split (IR 11), into node_tensors. */
void import_annotations(struct importer *im);

/* import_facts.c. `bind`: unknown integer elements become symbols. */
struct fact import_fact(struct importer *im, value_id v, int64_t element, bool bind);

#endif
