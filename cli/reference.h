/* SPDX-License-Identifier: Apache-2.0 */
/* An engine's outputs beside the interpreter's, which knows neither passes nor generated code.
 *
 * The interpreter runs the imported graph twice: `typed` rounds as the model's types do, `exact`
 * holds floats as f64. Rounding alone moves an output by about the distance of the two, so the
 * engine's distance from `exact` is told in multiples of that one. */
#ifndef SINTER_CLI_REFERENCE_H
#define SINTER_CLI_REFERENCE_H

#include "base/diag.h"
#include "ir/graph.h"
#include "sinter/runtime.h"

#include <stdbool.h>

/* One output. */
struct reference_result {
  uint64_t elements;
  uint64_t wrong;       /* ints and bools that neither run gives; NaN and infinities likewise */
  uint64_t worst;       /* element of the largest error, or the first wrong one */
  double engine, exact; /* its values */
  double error;         /* largest |engine - exact| of finite elements */
  double unit; /* largest |typed - exact|, at least the dtype's rounding of the largest |exact| */
  double multiple; /* error / unit */
};

/* Whether it is within `limit` multiples and nothing is wrong. */
bool reference_passes(const struct reference_result *r, double limit);

/* Runs the function of the first entry's last variant on the inputs and compares each output;
 * dtypes and dims must agree (E0805). Errors: those of the interpreter. out_results: one per
 * output. */
status reference_compare(const struct module *m, const sinter_tensor *inputs, uint32_t n_inputs,
                         const sinter_tensor *outputs, uint32_t n_outputs, struct diags *d,
                         struct reference_result *out_results);

#endif
