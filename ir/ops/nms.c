/* SPDX-License-Identifier: Apache-2.0 */
/* nms: greedy suppression of overlapping boxes. */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

#include <math.h>
#include <stdlib.h>

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  struct dim_table *t = op_dim_table(op);
  const struct type *boxes = op_operand(op, 0), *scores = op_operand(op, 1);
  if (!op_check_operand(op, why, 0, DTYPE_F32, 3) || !op_check_operand(op, why, 1, DTYPE_F32, 3) ||
      !op_check_operand(op, why, 2, DTYPE_I64, 0) || !op_check_operand(op, why, 3, DTYPE_F32, 0) ||
      !op_check_operand(op, why, 4, DTYPE_F32, 0))
    return false;
  if (dim_known_ne(t, boxes->dims[2], dim_const(t, 4)))
    return op_refuse(why, "a box has 4 coordinates");
  if (dim_known_ne(t, boxes->dims[0], scores->dims[0]) ||
      dim_known_ne(t, boxes->dims[1], scores->dims[2]))
    return op_refuse(why, "boxes and scores do not match");
  dim dims[2] = {dim_product(t, scores->dims, 3), dim_const(t, 3)};
  *out_n_types = 2;
  return op_make_type(why, t, DTYPE_I64, dims, 2, out_types) &&
         op_make_type(why, t, DTYPE_I64, NULL, 0, out_types + 1);
}

struct box {
  double y1, x1, y2, x2;
};
struct scored {
  double score;
  int64_t index;
};

static struct box read_box(const double *c, bool center) {
  if (center)
    return (struct box){c[1] - c[3] / 2, c[0] - c[2] / 2, c[1] + c[3] / 2, c[0] + c[2] / 2};
  return (struct box){fmin(c[0], c[2]), fmin(c[1], c[3]), fmax(c[0], c[2]), fmax(c[1], c[3])};
}

/* x rounded to f32 in typed mode. */
static double r(const struct interp *in, double x) {
  return in->mode == INTERP_TYPED ? (double)(float)x : x;
}

/* Whether intersection over union passes the threshold; boxes without area overlap nothing. */
static bool overlaps(const struct interp *in, struct box a, struct box b, double threshold) {
  double h = r(in, fmin(a.y2, b.y2) - fmax(a.y1, b.y1));
  double w = r(in, fmin(a.x2, b.x2) - fmax(a.x1, b.x1));
  if (!(h > 0) || !(w > 0))
    return false;
  double both = r(in, h * w);
  double area_a = r(in, r(in, a.y2 - a.y1) * r(in, a.x2 - a.x1));
  double area_b = r(in, r(in, b.y2 - b.y1) * r(in, b.x2 - b.x1));
  double either = r(in, r(in, area_a + area_b) - both);
  return area_a > 0 && area_b > 0 && either > 0 && r(in, both / either) > threshold;
}

/* The highest score first, of equals the lower index. */
static int compare(const void *a, const void *b) {
  const struct scored *x = a, *y = b;
  if (x->score != y->score)
    return x->score < y->score ? 1 : -1;
  return (x->index > y->index) - (x->index < y->index);
}

/* The boxes of one class that pass the score threshold, sorted. */
static int64_t candidates(const double *scores, int64_t n, double threshold, struct scored *out) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++)
    if (scores[i] > threshold)
      out[count++] = (struct scored){scores[i], i};
  qsort(out, (size_t)count, sizeof *out, compare);
  return count;
}

/* Moves the chosen to the front of `list`; returns how many. */
static int64_t choose(const struct interp *in, const struct box *boxes, struct scored *list,
                      int64_t count, int64_t most, double threshold) {
  int64_t chosen = 0;
  for (int64_t i = 0; i < count && chosen < most; i++) {
    bool keep = true;
    for (int64_t j = 0; keep && j < chosen; j++)
      keep = !overlaps(in, boxes[list[j].index], boxes[list[i].index], threshold);
    if (keep)
      list[chosen++] = list[i];
  }
  return chosen;
}

static struct box box_of(const struct interp *in, const double *c, bool center) {
  struct box b = read_box(c, center);
  return (struct box){r(in, b.y1), r(in, b.x1), r(in, b.y2), r(in, b.x2)};
}

static status eval(struct interp *in, const struct op *op) {
  const struct tensor *boxes = interp_operand(in, op, 0), *scores = interp_operand(in, op, 1);
  if (in->mode == INTERP_FIELD)
    return interp_fail(in, op, DIAG_E0622, "overlap of boxes has no meaning in the exact domain");
  int64_t most = interp_operand(in, op, 2)->i64[0];
  double iou = interp_operand(in, op, 3)->f64[0], least = interp_operand(in, op, 4)->f64[0];
  struct tensor *t = interp_result(in, op, 0);
  struct tensor *count = t ? interp_result(in, op, 1) : NULL;
  if (!count)
    return in->failure;
  int64_t b = scores->dims[0], c = scores->dims[1], n = scores->dims[2];
  status s = interp_check_dims(in, op, boxes, (int64_t[]){b, n, 4}, false);
  if (!s)
    s = interp_check_dims(in, op, t, (int64_t[]){scores->count, 3}, false);
  if (s || scores->count == 0)
    return s;
  struct box *list = interp_scratch(in, op, (uint64_t)n, sizeof *list);
  struct scored *order = interp_scratch(in, op, (uint64_t)n, sizeof *order);
  if (!list || !order)
    return in->failure;
  int64_t *to = t->i64;
  for (int64_t i = 0; i < b * c; i++) {
    for (int64_t k = 0; i % c == 0 && k < n; k++)
      list[k] = box_of(in, boxes->f64 + (i / c * n + k) * 4, OP_ATTRS(nms, op)->center);
    int64_t found = candidates(scores->f64 + i * n, n, least, order);
    found = choose(in, list, order, found, most, iou);
    for (int64_t k = 0; k < found; k++) {
      *to++ = i / c;
      *to++ = i % c;
      *to++ = order[k].index;
    }
  }
  count->i64[0] = (to - t->i64) / 3;
  return STATUS_OK;
}

const struct op_hooks nms_hooks = {
    .infer = infer,
    .eval = eval,
};
