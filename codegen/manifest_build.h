/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a manifest row by row: for the compiler's plan writer and for tests. Not part of the
 * runtime proper: memory comes from an arena, and running out of it is the arena's affair.
 *
 * Functions that add a row return its index. Strings and dim expressions are kept once each.
 * Strings given are copied; arrays given in rows (dims, buffers, code offsets) are copied too. The
 * order of calls decides the bytes of the manifest, and nothing else does.
 *
 *     manifest_build_init(&b, &arena);
 *     uint32_t x = manifest_build_value(&b, (Engine__Value){.storage = ENGINE__STORAGE__INPUT,
 * ...}, dims, rank); uint32_t block = manifest_build_block(&b); Engine__Launch *launch =
 * manifest_build_launch(&b, block, kernel, buffers, n, dims, n_dims); launch->tiles =
 * manifest_build_const(&b, 4);
 */
#ifndef SINTER_CODEGEN_MANIFEST_BUILD_H
#define SINTER_CODEGEN_MANIFEST_BUILD_H

#include "base/arena.h"
#include "base/host_strings.h"
#include "base/map.h"
#include "runtime/engine.pb-c.h"
#include "runtime/engine_format.h"

#include <stdint.h>

struct manifest_build {
  Engine__Manifest manifest; /* complete at any time; pointers lead into the arena */
  struct arena *arena;
  struct strmap strings;
  struct strmap exprs; /* by the bytes of the row */
  uint32_t exchanges;
};

/* The neutral first rows are added. The arena must outlive the builder. */
void manifest_build_init(struct manifest_build *b, struct arena *arena);
void manifest_build_deinit(struct manifest_build *b);

uint32_t manifest_build_string(struct manifest_build *b, const char *text); /* NULL is "" */

/* A row as it is; operands must be rows already. Nothing is simplified. */
uint32_t manifest_build_expr(struct manifest_build *b, enum expr_op kind, uint32_t lhs,
                             uint32_t rhs, int64_t value);
uint32_t manifest_build_const(struct manifest_build *b, int64_t value);
uint32_t manifest_build_symbol_expr(struct manifest_build *b, uint32_t symbol);

uint32_t manifest_build_symbol(struct manifest_build *b, const char *name, int64_t lo, int64_t hi);
uint32_t manifest_build_constant(struct manifest_build *b, Engine__Constant row,
                                 const int64_t *dims, size_t rank);
/* The number of a weight file, from 1; one row per path. */
uint32_t manifest_build_weight_file(struct manifest_build *b, const char *path, uint64_t bytes);
/* `assembler`: "", or what made it, which is then a cubin. */
uint32_t manifest_build_target(struct manifest_build *b, const char *name, uint32_t section,
                               const char *assembler);
/* Its name, and one code offset per target; the other fields are those of `row`. */
uint32_t manifest_build_kernel(struct manifest_build *b, const char *name, Engine__Kernel row,
                               const uint64_t *code_offsets, size_t n_offsets);
uint32_t manifest_build_value(struct manifest_build *b, Engine__Value row, const uint32_t *dims,
                              size_t rank);
uint32_t manifest_build_provenance(struct manifest_build *b, const char *node, const char *op,
                                   int32_t node_index);

/* An empty block. A block must be made after the block that will hold it. */
uint32_t manifest_build_block(struct manifest_build *b);

/* An entry, to which inputs, outputs and variants are added. */
uint32_t manifest_build_entry(struct manifest_build *b, const char *name);
Engine__Port *manifest_build_input(struct manifest_build *b, uint32_t entry, const char *name,
                                   uint32_t dtype, const uint32_t *dims, size_t rank,
                                   uint32_t value);
Engine__Port *manifest_build_output(struct manifest_build *b, uint32_t entry, const char *name,
                                    uint32_t dtype, const uint32_t *dims, size_t rank,
                                    uint32_t value);
/* A state of an entry; its length, count and capacity are the entry's own fields. */
void manifest_build_state(struct manifest_build *b, uint32_t entry, uint32_t input, uint32_t output,
                          uint32_t axis);
Engine__Variant *manifest_build_variant(struct manifest_build *b, uint32_t entry, uint32_t block);
void manifest_build_guard(struct manifest_build *b, Engine__Variant *variant, uint32_t lhs,
                          Engine__Relation relation, uint32_t rhs);

/*
 * Appends a step and returns its body, to fill in: Engine__Layout *manifest_build_step_layout(b,
 * block), and so on for every row of plan_op.def. manifest_build_last_step gives the step itself,
 * for provenance.
 */
#define MANIFEST_STEP(type, name)                                                                  \
  Engine__##type *manifest_build_step_##name(struct manifest_build *b, uint32_t block)
MANIFEST_STEP(Layout, layout);
MANIFEST_STEP(Launch, launch);
MANIFEST_STEP(Copy, copy);
MANIFEST_STEP(Fill, fill);
MANIFEST_STEP(Unpack, unpack);
MANIFEST_STEP(Pack, pack);
MANIFEST_STEP(BindSymbol, bind_symbol);
MANIFEST_STEP(SetSymbol, set_symbol);
MANIFEST_STEP(Reserve, reserve);
MANIFEST_STEP(Check, check); /* with its condition */
MANIFEST_STEP(If, if_);
MANIFEST_STEP(Loop, loop);
MANIFEST_STEP(Exchange, exchange); /* with its number */
MANIFEST_STEP(Host, host);
#undef MANIFEST_STEP

Engine__Step *manifest_build_last_step(struct manifest_build *b, uint32_t block);
void manifest_build_step_provenance(struct manifest_build *b, uint32_t block, const uint32_t *rows,
                                    size_t n);

/* A launch with its arguments; tiles, scratch and estimates are still to fill in. */
Engine__Launch *manifest_build_launch(struct manifest_build *b, uint32_t block, uint32_t kernel,
                                      const uint32_t *buffers, size_t n_buffers,
                                      const uint32_t *dims, size_t n_dims);
void manifest_build_if_guard(struct manifest_build *b, Engine__If *branch, uint32_t lhs,
                             Engine__Relation relation, uint32_t rhs);
Engine__Carried *manifest_build_carried(struct manifest_build *b, Engine__Loop *loop, uint32_t init,
                                        uint32_t param, uint32_t next);
void manifest_build_carried_dim(struct manifest_build *b, Engine__Carried *carried, uint32_t symbol,
                                uint32_t init, uint32_t next);
void manifest_build_scan(struct manifest_build *b, Engine__Loop *loop, uint32_t element,
                         uint32_t result);

/* An axis of the mesh, from the outermost; the manifest's ranks follow. Returns its number. */
uint32_t manifest_build_axis(struct manifest_build *b, const char *name, uint32_t size);
/* An axis of an exchange's group, the outer first; 0, 0: the whole axis. */
void manifest_build_exchange_axis(struct manifest_build *b, Engine__Exchange *exchange,
                                  uint32_t axis, uint32_t sub_size, uint32_t sub_stride);
void manifest_build_exchange_part(struct manifest_build *b, Engine__Exchange *exchange,
                                  uint32_t src, uint32_t dst, uint32_t elements);
/* Of a permute: where the ranks at places 0 to n-1 get their blocks from. */
void manifest_build_exchange_from(struct manifest_build *b, Engine__Exchange *exchange,
                                  const uint32_t *from, size_t n);

void manifest_build_host_operands(struct manifest_build *b, Engine__Host *host,
                                  const uint32_t *operands, const uint32_t *elements, size_t n);

/* The strings that elements are numbers of; they must outlive the builder. */
void manifest_build_host_strings(struct manifest_build *b, const struct host_strings *strings);

/* The manifest's bytes, in the arena. */
const uint8_t *manifest_build_pack(struct manifest_build *b, size_t *out_bytes);

#endif
