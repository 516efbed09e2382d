/* SPDX-License-Identifier: Apache-2.0 */
/* The report as text and as JSON; see precision_report.h. */
#include "passes/precision/precision_report.h"

#include "base/json.h"

void precision_report_deinit(struct precision_report *r) {
  vec_deinit(&r->rows);
  strmap_deinit(&r->seen);
  arena_deinit(&r->arena);
}

void precision_report_add(struct precision_report *r, const struct precision_row *row) {
  struct strbuf key = {0};
  uint64_t at;
  strbuf_printf(&key, "%d %s %d %d %s %s", row->index, row->op, row->computed, row->kept, row->why,
                row->node);
  if (strmap_get(&r->seen, key.data, key.len, &at)) {
    struct precision_row *same = &r->rows.data[at];
    if (++same->in_function > same->ops)
      same->ops = same->in_function;
  } else {
    struct precision_row own = *row;
    own.node = arena_strdup(&r->arena, row->node);
    own.ops = own.in_function = 1;
    own.operator_name = arena_strdup(&r->arena, row->operator_name);
    strmap_put(&r->seen, key.data, key.len, r->rows.len);
    vec_push(&r->rows, own);
  }
  strbuf_deinit(&key);
}

void precision_report_begin(struct precision_report *r) {
  for (uint32_t i = 0; i < r->rows.len; i++)
    r->rows.data[i].in_function = 0;
}

struct counts {
  uint32_t products, others;
};

static void count(const struct precision_report *r, struct counts *out) {
  for (uint32_t i = 0; i < r->rows.len; i++) {
    const struct precision_row *row = &r->rows.data[i];
    *(row->product ? &out[row->computed].products : &out[row->computed].others) += row->ops;
  }
}

void precision_report_summary(const struct precision_report *r, FILE *out) {
  struct counts counts[PRECISION_COUNT] = {0};
  const char *before = "precision: ";
  count(r, counts);
  for (int i = PRECISION_COUNT; i-- > 0;) {
    const struct counts *c = &counts[i];
    if (!c->products && !c->others)
      continue;
    fprintf(out, "%s%s %u product%s, %u other op%s", before, precision_name((enum precision)i),
            c->products, c->products == 1 ? "" : "s", c->others, c->others == 1 ? "" : "s");
    before = "; ";
  }
  fprintf(out, "%s\n", r->rows.len ? "" : "precision: no op computes floats");
}

void precision_report_rows(const struct precision_report *r, FILE *out) {
  for (uint32_t i = 0; i < r->rows.len; i++) {
    const struct precision_row *row = &r->rows.data[i];
    fprintf(out, "%-4s ", precision_name(row->computed));
    if (row->index >= 0)
      fprintf(out, "node %d ", row->index);
    fprintf(out, "'%s' (%s): %s", row->node, row->operator_name, row->op);
    if (row->ops > 1)
      fprintf(out, " x%u", row->ops);
    fprintf(out, ", kept as %s: %s\n", dtype_name(row->kept), row->why);
  }
}

static void json_row(struct json *j, const struct precision_row *row) {
  json_object_begin(j);
  json_key(j, "node"), json_string(j, row->node);
  json_key(j, "op"), json_string(j, row->operator_name);
  json_key(j, "node_index"), json_i64(j, row->index);
  json_key(j, "primitive"), json_string(j, row->op);
  json_key(j, "ops"), json_u64(j, row->ops);
  json_key(j, "computed"), json_string(j, precision_name(row->computed));
  json_key(j, "kept"), json_string(j, dtype_name(row->kept));
  json_key(j, "why"), json_string(j, row->why);
  json_object_end(j);
}

void precision_report_json(const struct precision_report *r, struct json *j) {
  struct counts counts[PRECISION_COUNT] = {0};
  count(r, counts);
  json_object_begin(j);
  json_key(j, "computed");
  json_object_begin(j);
  for (int i = 0; i < PRECISION_COUNT; i++) {
    json_key(j, precision_name((enum precision)i));
    json_object_begin(j);
    json_key(j, "products"), json_u64(j, counts[i].products);
    json_key(j, "others"), json_u64(j, counts[i].others);
    json_object_end(j);
  }
  json_object_end(j);
  json_key(j, "nodes");
  json_array_begin(j);
  for (uint32_t i = 0; i < r->rows.len; i++)
    json_row(j, &r->rows.data[i]);
  json_array_end(j);
  json_object_end(j);
}
