/* SPDX-License-Identifier: Apache-2.0 */
/* What ops were given for dtypes, and why: kept for people. */
#ifndef SINTER_PASSES_PRECISION_REPORT_H
#define SINTER_PASSES_PRECISION_REPORT_H

#include "passes/precision/precision_rules.h"

struct json;

/* Ops of one node and kind that were treated alike. */
struct precision_row {
  const char *node, *operator_name; /* of the model; "" where it is not known */
  int32_t index;                    /* of the node; -1 */
  const char *op;                   /* a row of ir/op.def */
  bool product;
  enum precision computed;
  enum dtype kept; /* its result, in memory */
  const char *why;
  uint32_t ops, in_function; /* at most in a function; in the one at hand */
};

/* Zero-initialised is empty. Strings are its own, or static. */
struct precision_report {
  struct arena arena;
  struct strmap seen;
  VEC(struct precision_row) rows;
};

void precision_report_deinit(struct precision_report *r);
/* The rows that follow are of another function: a model that is there in several forms (a decoder's
 * prefill and decode) is counted once. */
void precision_report_begin(struct precision_report *r);
/* Adds an op, with copies of the row's strings. */
void precision_report_add(struct precision_report *r, const struct precision_row *row);

/* "precision: bf16 12 products, 30 other ops; f32 1 product, 9 other ops" and a line's end. */
void precision_report_summary(const struct precision_report *r, FILE *out);
/* A line for each row. */
void precision_report_rows(const struct precision_report *r, FILE *out);
/* An object: "computed" with the numbers, "nodes" with the rows. */
void precision_report_json(const struct precision_report *r, struct json *j);

#endif
