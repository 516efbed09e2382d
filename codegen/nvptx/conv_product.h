/* SPDX-License-Identifier: Apache-2.0 */
/* A convolution as products of matrices, one for each image and group, whose operand of the input
 * is never written anywhere:
 *
 *   results with channels first       outputs x places = weights x input under the places' taps
 *   with channels last (layout.c)     places x outputs = the same with sides changed
 *
 * so that columns are neighbours in memory. What is summed over runs through (channel, tap) where
 * the input lies with channels first; through (tap, channel) where they are last, so that several
 * channels lie next to each other. Weights that the compiler knows lie in panels of outputs. */
#ifndef SINTER_CODEGEN_NVPTX_CONV_PRODUCT_H
#define SINTER_CODEGEN_NVPTX_CONV_PRODUCT_H

#include "codegen/emit.h"

struct conv_product {
  const struct op *op;
  const struct conv_attrs *a;
  const struct type *x, *w, *y;
  enum dtype acc;                /* of sums */
  int64_t outputs, inputs, taps; /* of a group */
  bool turned;                   /* results have channels last */
  bool last;                     /* the input has */
  bool packed;                   /* weights lie in panels */
};

/* Of the kernel's convolution; false where sizes are not known, or so few that it is none. */
bool conv_product_of(const struct kernel *k, struct conv_product *s);
/* Places of a result's plane; DIM_NONE: the dims do not say it. Serial. */
dim conv_product_places(struct dim_table *t, const struct conv_product *s);
/* Asks for weights in panels, where they may be. */
void conv_product_pack(struct kernel *k, const struct conv_product *s);

struct conv_tile {
  struct conv_product s;
  bool flat; /* places are walked as one dim of the results */
  LLVMValueRef image, group;
  uint32_t buffer; /* of weights in panels */
};

/* `number` is the index over images and groups. */
void conv_tile_init(struct emit *e, struct conv_tile *t, LLVMValueRef number);

/* `width` elements of an operand, as the dtype of sums: of the input, channels in lanes of k (where
 * it has them last, and they are of one tap); of weights, outputs in lanes of own (in panels). */
LLVMValueRef conv_product_operand(struct emit *e, const struct conv_tile *t, bool left,
                                  struct coord own, struct coord k, uint32_t width);
/* Where lanes of own lie in the panels, and what the index there is a multiple of; NULL for
 * anything else. */
LLVMValueRef conv_product_address(struct emit *e, const struct conv_tile *t, bool left,
                                  struct coord own, struct coord k, int64_t *out_align);
/* Stores the results of a row's `width` columns from their sums. */
void conv_product_store(struct emit *e, const struct conv_tile *t, LLVMValueRef row,
                        struct coord column, uint32_t width, LLVMValueRef sums);

#endif
