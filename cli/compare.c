/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing tensors. */
#include "cli/compare.h"

#include "cli/host_tensor.h"

#include <math.h>
#include <string.h>

static bool same_form(const sinter_tensor *a, const sinter_tensor *e, struct strbuf *why) {
  bool same = a->dtype == e->dtype && a->rank == e->rank;
  for (uint32_t i = 0; same && i < a->rank; i++)
    same = a->dims[i] == e->dims[i];
  if (!same) {
    strbuf_append_c(why, "is ");
    host_tensor_describe(a, why);
    strbuf_append_c(why, " instead of ");
    host_tensor_describe(e, why);
  }
  return same;
}

static bool compare_exact(const sinter_tensor *a, const sinter_tensor *e, struct strbuf *why,
                          struct compare_result *out) {
  for (uint64_t i = 0; i < out->elements; i++) {
    int64_t x = host_tensor_get_i64(a, i), y = host_tensor_get_i64(e, i);
    if (x == y)
      continue;
    double difference = fabs((double)x - (double)y);
    if (!out->failing++ || difference > out->max_abs) {
      out->worst = i;
      out->actual = (double)x;
      out->expected = (double)y;
      out->max_abs = difference;
    }
  }
  if (out->failing)
    strbuf_printf(why, "%llu of %llu elements differ; element %llu is %.0f instead of %.0f",
                  (unsigned long long)out->failing, (unsigned long long)out->elements,
                  (unsigned long long)out->worst, out->actual, out->expected);
  return !out->failing;
}

static bool compare_strings(const sinter_tensor *a, const sinter_tensor *e, struct strbuf *why,
                            struct compare_result *out) {
  const sinter_string *x = a->data, *y = e->data;
  for (uint64_t i = 0; i < out->elements; i++) {
    if (x[i].size == y[i].size && (!x[i].size || !memcmp(x[i].data, y[i].data, x[i].size)))
      continue;
    if (!out->failing++)
      out->worst = i;
  }
  uint64_t at = out->worst;
  if (out->failing)
    strbuf_printf(why, "%llu of %llu elements differ; element %llu is '%.*s' instead of '%.*s'",
                  (unsigned long long)out->failing, (unsigned long long)out->elements,
                  (unsigned long long)at, (int)x[at].size, x[at].data, (int)y[at].size, y[at].data);
  return !out->failing;
}

static void take_worst(struct compare_result *out, uint64_t i, double x, double y) {
  out->worst = i;
  out->actual = x;
  out->expected = y;
}

static void compare_element(const struct compare_limits *limits, uint64_t i, double x, double y,
                            double *largest, struct compare_result *out) {
  if (!isfinite(x) || !isfinite(y)) {
    if ((isnan(x) && isnan(y)) || x == y)
      return;
    if (!out->disagree)
      take_worst(out, i, x, y);
    out->disagree = true;
    out->failing++;
    return;
  }
  double difference = fabs(x - y);
  *largest = fmax(*largest, fabs(y));
  if (y != 0)
    out->max_rel = fmax(out->max_rel, difference / fabs(y));
  if (difference > limits->atol + limits->rtol * fabs(y))
    out->failing++;
  if (difference > out->max_abs) {
    out->max_abs = difference;
    if (!out->disagree)
      take_worst(out, i, x, y);
  }
}

bool compare_tensors(const sinter_tensor *actual, const sinter_tensor *expected,
                     const struct compare_limits *limits, struct strbuf *why,
                     struct compare_result *out) {
  enum dtype dtype;
  double largest = 0;
  *out = (struct compare_result){0};
  if (!same_form(actual, expected, why))
    return false;
  out->elements = host_tensor_elements(expected);
  if (limits->form_only)
    return true;
  if (expected->dtype == SINTER_STRING)
    return compare_strings(actual, expected, why, out);
  if (!host_tensor_dtype(expected, &dtype) || !dtype_is_float(dtype))
    return compare_exact(actual, expected, why, out);
  for (uint64_t i = 0; i < out->elements; i++)
    compare_element(limits, i, host_tensor_get(actual, i), host_tensor_get(expected, i), &largest,
                    out);
  out->max_of_range = out->max_abs / (largest > 0 ? largest : 1);
  bool by_range = limits->range >= 0;
  if (by_range && !out->disagree && out->max_of_range <= limits->range)
    return true;
  if (!by_range && !out->failing)
    return true;
  if (by_range && !out->disagree)
    strbuf_printf(why, "differs by %.3g of its range, %.3g is allowed", out->max_of_range,
                  limits->range);
  else
    strbuf_printf(why, "%llu of %llu elements differ too much", (unsigned long long)out->failing,
                  (unsigned long long)out->elements);
  strbuf_printf(why, "; element %llu is %.9g instead of %.9g", (unsigned long long)out->worst,
                out->actual, out->expected);
  return false;
}
