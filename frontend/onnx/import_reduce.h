/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of Reduce operators, as import.def names them. */
#ifndef SINTER_FRONTEND_ONNX_IMPORT_REDUCE_H
#define SINTER_FRONTEND_ONNX_IMPORT_REDUCE_H

#include "frontend/onnx/import_node.h"

enum import_reduction {
  REDUCTION_SUM,
  REDUCTION_PROD,
  REDUCTION_MAX,
  REDUCTION_MIN,
  REDUCTION_MEAN,
  REDUCTION_L1,
  REDUCTION_L2,
  REDUCTION_LOG_SUM,
  REDUCTION_LOG_SUM_EXP,
  REDUCTION_SUM_SQUARE,
};

#endif
