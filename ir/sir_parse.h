/* SPDX-License-Identifier: Apache-2.0 */
/* What the scanner (sir.l), the grammar (sir.y) and the actions (parse*.c) of text IR share. Trees
 * live in the parser's scratch arena. Nothing else includes this. */
#ifndef SINTER_IR_SIR_PARSE_H
#define SINTER_IR_SIR_PARSE_H

#include "ir/graph.h"
#include "ir/sharding.h"

/* A place in the text; the generated parser fills it in for each symbol. */
struct sir_loc {
  uint32_t line, column; /* from 1 */
  size_t offset;
};
#define YYLLOC_DEFAULT(Current, Rhs, N) ((Current) = YYRHSLOC(Rhs, (N) ? 1 : 0))

/* A dim expression, or what might be one: a name or an integer has not become a dim yet. */
enum sir_expr_kind { EXPR_NAME, EXPR_STRING, EXPR_INT, EXPR_FLOAT, EXPR_DIM };
struct sir_expr {
  enum sir_expr_kind kind;
  struct sir_loc at;
  const char *text;   /* NAME, STRING */
  uint64_t magnitude; /* INT */
  bool negative;      /* INT, FLOAT */
  double number;      /* FLOAT, its magnitude */
  dim value;          /* DIM; DIM_NONE was reported already */
};
struct sir_exprs {
  struct sir_expr *data;
  uint32_t len, cap;
};

/* `%5` has `number` set, `%"5"` has not: the one is no name. */
struct sir_name {
  const char *text;
  bool number;
  struct sir_loc at;
};
struct sir_names {
  struct sir_name *data;
  uint32_t len, cap;
};

struct sir_types {
  struct type *data;
  uint32_t len, cap;
};

enum sir_value_kind { VALUE_EXPR, VALUE_EXPRS, VALUE_TYPES };
struct sir_attr {
  struct sir_name name;
  enum sir_value_kind kind;
  struct sir_exprs exprs; /* one for EXPR */
  struct sir_types types;
  bool used;
};
struct sir_attrs {
  struct sir_attr *data;
  uint32_t len, cap;
};

/* A scalar expression: $n, %t, a literal, or name(args). */
enum sir_scalar_kind { SIR_ARG, SIR_LET, SIR_LITERAL, SIR_CALL };
struct sir_scalar {
  enum sir_scalar_kind kind;
  struct sir_loc at;
  const char *text;         /* LET, CALL */
  struct sir_expr literal;  /* LITERAL: NAME (true, inf, up, ...), INT or FLOAT */
  const char *dtype;        /* LITERAL: the written one, or NULL */
  struct sir_scalar **args; /* CALL */
  uint32_t n_args, cap;
};
struct sir_let {
  const char *name;
  struct sir_loc at;
  struct sir_scalar *value;
};
struct sir_body {
  struct sir_let *lets;
  uint32_t n_lets, cap;
  struct sir_scalar *result;
};

struct sir_conds {
  struct guard *data;
  uint32_t len, cap;
};

struct sir_refs {
  struct axis_ref data[MESH_MAX_AXES];
  uint32_t len;
};

struct sir_regions {
  region_id *data;
  uint32_t len, cap;
};

struct sir_op {
  struct sir_names results;
  struct sir_name name;
  struct sir_names operands;
  struct sir_name constant; /* text NULL: none */
  struct sir_attrs attrs;
  struct sir_body *body; /* NULL: none */
  struct sir_regions regions;
  struct sir_types types;
  uint32_t provenance;
};

struct sir_parser {
  struct module *m;
  struct diags *diags;
  const char *file, *text;
  size_t len;
  struct sir_loc next; /* of the scanner */
  struct arena scratch;
  struct strmap constants; /* name -> id */
  /* The function at hand. */
  struct function *f;   /* NULL: none, or given up after a syntax error */
  struct strmap values; /* name -> id; VALUE_NONE: its definition failed */
  VEC(region_id) open;  /* regions around this place; 0 first */
  struct sir_types signature;
  /* The sharding at hand. */
  struct sharding sharding;
  uint32_t errors;
};

#define SIR_MAX_TEXT ((size_t)1 << 30)
#define SIR_MAX_CALL_DEPTH 128

/* Appends to one of the arrays above; they grow in the scratch arena. */
void *sir_grow(struct sir_parser *p, void *data, uint32_t len, uint32_t *cap, size_t size);
#define SIR_PUSH(p, list, x)                                                                       \
  ((list)->data = sir_grow((p), (list)->data, (list)->len, &(list)->cap, sizeof *(list)->data),    \
   (list)->data[(list)->len++] = (x))

/* Reports at a place of the text and counts. */
void sir_error(struct sir_parser *p, const struct sir_loc *at, enum diag_code code,
               const char *hint, const char *format, ...) __attribute__((format(printf, 5, 6)));
struct diag_where sir_where(struct sir_parser *p, const struct sir_loc *at);

/* A number as an element of a dtype; false after a report. Which of the two depends on the dtype.
 */
bool sir_number(struct sir_parser *p, const struct sir_expr *x, enum dtype dtype, double *out_f64,
                int64_t *out_i64);

/* Strings of tokens: bytes between quotes, escapes resolved; NULL after a report. */
const char *sir_unquote(struct sir_parser *p, const char *text, size_t len);
struct sir_expr sir_integer(struct sir_parser *p, const char *text);
struct sir_expr sir_float(const char *text);

/* Expressions. */
struct sir_expr sir_negate(struct sir_parser *p, struct sir_expr x);
struct sir_expr sir_binary(struct sir_parser *p, enum dim_kind kind, bool subtract,
                           struct sir_expr a, struct sir_expr b);
struct sir_expr sir_call(struct sir_parser *p, struct sir_name name, struct sir_exprs args);
dim sir_dim(struct sir_parser *p, const struct sir_expr *x);
bool sir_i64(struct sir_parser *p, const struct sir_expr *x, int64_t *out);
void sir_bounds_of_text(struct sir_parser *p);
struct guard sir_guard(struct sir_parser *p, struct sir_expr lhs, const char *relation,
                       const struct sir_loc *at, struct sir_expr rhs);

/* Types and shardings. */
struct type sir_type(struct sir_parser *p, struct sir_name dtype, const struct sir_exprs *dims);
void sir_sharding_begin(struct sir_parser *p, struct sir_name mesh);
struct sir_refs sir_ref(struct sir_parser *p, struct sir_name axis, const struct sir_expr *outer,
                        const struct sir_expr *size);
struct sir_refs sir_refs_join(struct sir_parser *p, const struct sir_loc *at, struct sir_refs a,
                              struct sir_refs b);
void sir_split(struct sir_parser *p, const struct sir_loc *at, struct sir_refs refs,
               int64_t granule, enum split_order order, int64_t block);
void sir_partial(struct sir_parser *p, struct sir_name kind, struct sir_refs refs);
void sir_sharding_end(struct sir_parser *p, const struct sir_loc *at, struct type *type);

/* Items of the module. */
void sir_mesh(struct sir_parser *p, struct sir_name name, struct sir_names axes,
              struct sir_exprs sizes);
void sir_constant_numbers(struct sir_parser *p, struct sir_name name, const struct type *type,
                          const struct sir_exprs *numbers);
void sir_constant_strings(struct sir_parser *p, struct sir_name name, const struct type *type,
                          const struct sir_names *strings);
void sir_constant_hex(struct sir_parser *p, struct sir_name name, const struct type *type,
                      const char *digits, const struct sir_loc *at);
void sir_constant_file(struct sir_parser *p, struct sir_name name, const struct type *type,
                       const char *file, const struct sir_expr *offset);
void sir_entry(struct sir_parser *p, struct sir_name name, struct sir_names inputs,
               struct sir_names outputs);
/* Of the entry above: its counts (length, or length and count), and its states as inputs and
 * outputs. */
void sir_states(struct sir_parser *p, const struct sir_loc *at, struct sir_names counts,
                struct sir_names inputs, struct sir_names outputs);
void sir_variant(struct sir_parser *p, struct sir_name function, const struct sir_conds *guards);

/* Functions. */
void sir_function_begin(struct sir_parser *p, struct sir_name name, struct sir_names params,
                        struct sir_types param_types, struct sir_types result_types,
                        struct sir_conds where);
void sir_function_end(struct sir_parser *p, struct sir_names results, const struct sir_loc *at);
void sir_function_abandon(struct sir_parser *p);
bool sir_region_begin(struct sir_parser *p, struct sir_names params, struct sir_types types,
                      const struct sir_loc *at);
region_id sir_region_end(struct sir_parser *p, struct sir_names results);
void sir_op(struct sir_parser *p, struct sir_op *op);
uint32_t sir_loc_provenance(struct sir_parser *p, const char *node, const char *op,
                            const struct sir_expr *index);
/* The body for operands of these values; NULL after a report. */
const struct scalar_body *sir_body(struct sir_parser *p, const struct sir_body *body,
                                   const value_id *operands, uint32_t n);

#endif
