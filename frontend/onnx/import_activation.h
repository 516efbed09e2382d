/* SPDX-License-Identifier: Apache-2.0 */
/* Activations as maps, for the operators of that name and for those that have them inside (RNN,
 * fused contrib operators). */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_ACTIVATION_H
#define SINTER_FRONTEND_ONNX_IMPORT_ACTIVATION_H

#include "frontend/onnx/import_node.h"

enum activation {
  ACTIVATION_CELU, /* alpha */
  ACTIVATION_ELU,  /* alpha */
  ACTIVATION_SELU, /* alpha, beta: gamma */
  ACTIVATION_GELU,
  ACTIVATION_GELU_TANH,
  ACTIVATION_HARD_SIGMOID, /* alpha, beta */
  ACTIVATION_HARD_SWISH,
  ACTIVATION_LEAKY_RELU, /* alpha */
  ACTIVATION_MISH,
  ACTIVATION_RELU,
  ACTIVATION_SHRINK, /* alpha: lambd, beta: bias */
  ACTIVATION_SOFTPLUS,
  ACTIVATION_SOFTSIGN,
  ACTIVATION_SWISH,            /* x * sigmoid(alpha * x); alpha 1: SiLU */
  ACTIVATION_THRESHOLDED_RELU, /* alpha */
  ACTIVATION_AFFINE,           /* alpha * x + beta */
  ACTIVATION_SCALED_TANH,      /* alpha * tanh(beta * x) */
  ACTIVATION_SIGMOID,
  ACTIVATION_TANH,
};

/* Parameters that an activation does not have are not read. Integers compute in f64. */
value_id import_build_activation(struct builder *b, value_id x, enum activation kind, double alpha,
                                 double beta);

/* By the name of an ONNX operator, as attributes `activation` and `activations` give it; fails the
 * node for a name that is not known. */
bool import_named_activation(struct import_node *n, const char *name, double alpha, double beta,
                             value_id *x);

#endif
