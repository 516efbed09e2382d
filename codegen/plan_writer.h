/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the plan writer: what it knows of the function at hand, and what its files share. */
#ifndef SINTER_CODEGEN_PLAN_WRITER_H
#define SINTER_CODEGEN_PLAN_WRITER_H

#include "codegen/plan_write.h"

struct plan_writer {
  struct plan *plan;
  struct manifest_build *b;
  struct module *m;
  const struct kernel_set *set;
  struct diags *diags;
  const struct function *f;
  const struct mesh *mesh; /* that ranks are of; NULL: one rank */
  uint32_t *value;         /* by value id of f: manifest value; 0: none */
  uint32_t *constant;      /* by constant id: the latest of its forms in plan->constants, + 1 */
  VEC(uint32_t) next_form; /* by plan->constants: the form before, + 1 */
  uint32_t *expr;          /* by dim id */
  uint32_t n_expr;
  uint32_t *kernel_row; /* by kernel number: manifest kernel + 1 */
  uint32_t clock;
  uint32_t phase; /* of the block being written */
  bool stale;     /* symbols were bound since that phase was laid out */
  uint32_t depth;
  uint32_t *depth_of; /* by manifest value: of the block that made it */
  uint32_t depth_cap;
  Engine__Variant *variant;
  bool failed;      /* a size is no expression */
  struct uses uses; /* of f */
  VEC(uint32_t)
  uses_left; /* by manifest value that is no alias: reads of its storage still to come */
  VEC(uint32_t) borrowed; /* outer values read since their nested block began */
};

/* ---- plan_dims.c ---- */

static inline uint32_t plan_symbol_row(uint32_t symbol) { return symbol + 1; }

/* The row of a dim; a coordinate becomes the number of its axis in the mesh. */
uint32_t plan_expr(struct plan_writer *w, dim d);
/* A product as the manifest's own expression: the product of symbolic sums, multiplied out, may be
 * too long for one dim. */
uint32_t plan_product(struct plan_writer *w, const dim *dims, uint32_t n, int64_t factor);
/* Elements of a value; its bytes as kernels have it, and packed, as constants and the API hold it.
 */
uint32_t plan_elements(struct plan_writer *w, const struct type *type);
uint32_t plan_value_bytes(struct plan_writer *w, const struct type *type);
uint32_t plan_packed_bytes(struct plan_writer *w, const struct type *type);
/* A relation as the manifest has it: lhs relation rhs. */
void plan_relate(struct plan_writer *w, dim lhs, enum relation relation, dim rhs, uint32_t *out_a,
                 Engine__Relation *out_relation, uint32_t *out_b);

/* ---- plan_values.c ---- */

static inline Engine__Value *plan_row(const struct plan_writer *w, uint32_t value) {
  return w->b->manifest.values[value];
}

/* A new row, alive at the step of now, of the block at hand. */
uint32_t plan_add_value(struct plan_writer *w, const struct type *type, const char *name,
                        Engine__Storage storage, uint32_t index, uint32_t bytes);
uint32_t plan_add_typed(struct plan_writer *w, const struct type *type, const char *name,
                        Engine__Storage storage, uint32_t index);
/* The value that an alias lies in. */
uint32_t plan_alias_root(const struct plan_writer *w, uint32_t v);
/* The value is read (or written) by the step of now. */
void plan_touch(struct plan_writer *w, uint32_t v);
/* The manifest value of a constant, or of a rank's part of it, in this form; one row for all its
 * uses. */
uint32_t plan_constant_value(struct plan_writer *w, value_id v, const struct pack *pack);
/* The manifest value of an IR value; constants appear at first use. */
uint32_t plan_value_of(struct plan_writer *w, value_id v);
/* The same, read by the step of now. */
uint32_t plan_use(struct plan_writer *w, value_id v);
/* The storage behind `row` will be read as often as the IR value is, besides what is known already.
 */
void plan_count_uses(struct plan_writer *w, uint32_t row, value_id v);

/* ---- plan_control.c ---- */

/* `if` and `loop`, as nested blocks. */
void plan_write_if(struct plan_writer *w, uint32_t block, const struct op *op);
void plan_write_loop(struct plan_writer *w, uint32_t block, const struct op *op);

/* ---- plan_write.c ---- */

/* A step that lays out what follows. */
void plan_begin_phase(struct plan_writer *w, uint32_t block);
void plan_copy(struct plan_writer *w, uint32_t block, uint32_t dst, uint32_t src, uint32_t bytes);
/* The value with an element per byte, as what is computed is stored: constants of less than a byte
 * are packed, and only kernels that read them directly know. */
uint32_t plan_use_unpacked(struct plan_writer *w, uint32_t block, value_id v);
void plan_write_region(struct plan_writer *w, uint32_t block, region_id region);
void plan_provenance(struct plan_writer *w, uint32_t block, uint32_t provenance);

#endif
