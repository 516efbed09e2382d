/* SPDX-License-Identifier: Apache-2.0 */
/* Types of graph values: dtype[dim, ...], optionally with a sharding; and the scalar bodies of
 * maps. */
#ifndef SINTER_IR_TYPE_H
#define SINTER_IR_TYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"
#include "ir/dim.h"

#define IR_MAX_RANK 12

typedef uint32_t value_id;    /* into function.values; VALUE_NONE = 0 */
typedef uint32_t op_id;       /* into function.ops; OP_ID_NONE = 0 */
typedef uint32_t region_id;   /* into function.regions; 0 is the function's body */
typedef uint32_t constant_id; /* into module.constants; CONSTANT_NONE = 0 */
typedef uint32_t sharding_id; /* into module.shardings; 0: whole on every rank (or no mesh) */

#define VALUE_NONE 0u
#define OP_ID_NONE 0u
#define CONSTANT_NONE 0u
#define REGION_NONE UINT32_MAX

struct type {
  enum dtype dtype;
  uint32_t rank;
  dim dims[IR_MAX_RANK]; /* slots at and beyond rank are DIM_NONE, so types compare bytewise */
  sharding_id sharding;
};

struct ints {
  const int64_t *data;
  uint32_t len;
};
struct dims {
  const dim *data;
  uint32_t len;
};
struct types {
  const struct type *data;
  uint32_t len;
};

#define KEYWORD_ENUMS(X)                                                                           \
  X(combiner)                                                                                      \
  X(relation)                                                                                      \
  X(out_of_range) X(random_kind) X(root_kind) X(partial_kind) X(exchange_kind) X(host_op)

/* The keyword enumerations, each in its file order. keyword_text gives the text form, keyword_find
 * the index of a text, -1 where there is none; `kind` is the enumeration. */
enum combiner {
  COMBINER_NONE,
  COMBINER_SUM,
  COMBINER_PROD,
  COMBINER_MAX,
  COMBINER_MIN,
  COMBINER_AND,
  COMBINER_OR,
  COMBINER_XOR,
  COMBINER_ARGMAX,
  COMBINER_ARGMIN
};
enum relation { RELATION_EQ, RELATION_LE, RELATION_LT, RELATION_BROADCAST, RELATION_DIVIDES };
enum { ATTENTION_PART_KEYS = 64 }; /* keys go to the parts of an attention in blocks of so many */

enum out_of_range { OUT_OF_RANGE_ERROR, OUT_OF_RANGE_CLAMP, OUT_OF_RANGE_FILL };
enum random_kind { RANDOM_KIND_UNIFORM, RANDOM_KIND_NORMAL };
enum root_kind {
  ROOT_KIND_POINTWISE,
  ROOT_KIND_ROW,
  ROOT_KIND_REDUCE,
  ROOT_KIND_SCAN,
  ROOT_KIND_WINDOW,
  ROOT_KIND_CONTRACT,
  ROOT_KIND_CONV,
  ROOT_KIND_ATTENTION,
  ROOT_KIND_SCATTER,
  ROOT_KIND_UPDATE,
  ROOT_KIND_TOPK,
  ROOT_KIND_NONZERO,
  ROOT_KIND_UNIQUE,
  ROOT_KIND_NMS,
};
#define ROOT_KIND_COUNT (ROOT_KIND_NMS + 1)
/* What a value holds of a result that is spread over ranks; see ir/sharding.h. */
enum partial_kind {
  PARTIAL_NONE,
  PARTIAL_SUM,
  PARTIAL_MAX,
  PARTIAL_MIN,
  PARTIAL_PROD,
  /* Tuples, merged together. softmax: attention's result and its lse. The others: values and i64
   * global indices, the lowest of equals first; an empty part has index INT64_MAX. topk and
   * bottomk: k candidates in order, descending and ascending. */
  PARTIAL_SOFTMAX,
  PARTIAL_ARGMAX,
  PARTIAL_ARGMIN,
  PARTIAL_TOPK,
  PARTIAL_BOTTOMK
};
enum exchange_kind {
  EXCHANGE_ALL_REDUCE,
  EXCHANGE_ALL_GATHER,
  EXCHANGE_REDUCE_SCATTER,
  EXCHANGE_ALL_TO_ALL,
  EXCHANGE_PERMUTE
};
enum keyword_kind {
#define X(e) KEYWORD_KIND_##e,
  KEYWORD_ENUMS(X)
#undef X
};
const char *keyword_text(enum keyword_kind kind, int value);
int keyword_find(enum keyword_kind kind, const char *text, size_t len);

/* Scalar operations, by scalar.def, and the three that are not rows there. */
enum scalar_op {
  SCALAR_ARG,   /* operand number `arg` of the map */
  SCALAR_CONST, /* the literal: f64 or i64 by dtype */
  SCALAR_CAST,  /* to dtype, from its operand's */
#define SCALAR(E, text, arity, operands, result, cost) SCALAR_##E,
#include "ir/scalar.def"
#undef SCALAR
  SCALAR_OP_COUNT
};

/* How a cast rounds beyond the default (nearest even; f8 saturates; float to int truncates and
 * saturates with NaN -> 0; to bool: x != 0). */
enum cast_mode {
  CAST_DEFAULT,
  CAST_NO_SATURATE, /* f8: overflow to NaN or infinity */
  CAST_UP,          /* f8e8m0 */
  CAST_DOWN,        /* f8e8m0 */
};

struct scalar_inst {
  enum scalar_op op;
  enum dtype dtype; /* of the result */
  uint32_t args[3]; /* instructions before this one; for SCALAR_ARG args[0] is the operand number */
  enum cast_mode mode;
  union {
    double f64; /* SCALAR_CONST of a float dtype */
    int64_t i64;
  } imm;
};

/* Instructions in order; the last one is the result. Bodies are interned in the module's arena and
 * never changed. */
struct scalar_body {
  uint32_t n_args;
  uint32_t len;
  const struct scalar_inst *insts;
};

enum scalar_operands {
  SCALAR_OPERANDS_NUM,
  SCALAR_OPERANDS_FLT,
  SCALAR_OPERANDS_INT,
  SCALAR_OPERANDS_LOG,
  SCALAR_OPERANDS_BIT,
  SCALAR_OPERANDS_ANY,
  SCALAR_OPERANDS_ALL
};
struct scalar_info {
  const char *name;
  uint8_t arity;
  uint8_t cost;
  bool result_bool;
  uint8_t operands; /* enum scalar_operands */
};
extern const struct scalar_info scalar_infos[SCALAR_OP_COUNT];

#endif
