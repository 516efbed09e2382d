/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing a tensor with what was expected. */
#ifndef SINTER_CLI_COMPARE_H
#define SINTER_CLI_COMPARE_H

#include "base/str.h"
#include "sinter/runtime.h"

#include <stdbool.h>

/* Floats pass if |actual - expected| <= atol + rtol * |expected| for each element or, if `range` is
 * not negative, if the largest difference over the largest |expected| is at most `range`. NaN and
 * infinities must agree. Everything else must be equal. */
struct compare_limits {
  double rtol, atol;
  double range;   /* < 0: rtol and atol count */
  bool form_only; /* types and dims are all that is compared: the values are random */
};

struct compare_result {
  uint64_t elements, failing; /* failing: by rtol and atol, or NaN and infinities that disagree */
  uint64_t worst;             /* the element of the largest difference */
  double actual, expected;    /* its values */
  double max_abs;             /* largest difference of finite elements */
  double max_rel;             /* that over the element's own |expected|, where that is not 0 */
  double max_of_range;        /* max_abs over the largest finite |expected| (over 1 if that is 0) */
  bool disagree;              /* some NaN or infinity has no counterpart */
};

/* Whether `actual` passes; if not, `why` says in one line what is wrong. Types and dims must be
 * equal. Fills *out as far as it got. */
bool compare_tensors(const sinter_tensor *actual, const sinter_tensor *expected,
                     const struct compare_limits *limits, struct strbuf *why,
                     struct compare_result *out);

#endif
