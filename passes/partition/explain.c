/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of the search as text and JSON. */
#include "passes/partition/explain.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "ir/shard_index.h"

/* ---- sensitivity ---- */

static void scale_curve(struct machine_curve *c, double factor, struct arena *arena) {
  c->y = arena_memdup(arena, c->y, c->n * sizeof *c->y);
  for (uint32_t i = 0; i < c->n; i++)
    c->y[i] *= factor;
}

/* A level's links made slower or faster; tables follow. */
static void scale_level(struct machine_level *level, bool bandwidth, double factor,
                        struct arena *arena) {
  *(bandwidth ? &level->bandwidth : &level->latency) *= factor;
  if (bandwidth)
    return;
  level->tables = arena_memdup(arena, level->tables, level->n_tables * sizeof *level->tables);
  for (uint32_t i = 0; i < level->n_tables; i++)
    scale_curve(&level->tables[i].seconds, factor, arena);
}

/* The n-th constant of the machine scaled; its name, or NULL past the last. */
static const char *scale_constant(struct machine *m, uint32_t n, double factor,
                                  struct arena *arena) {
  switch (n) {
  case 0:
    for (int t = 0; t < DTYPE_COUNT; t++)
      m->peak[t] *= factor;
    return "peak of products";
  case 1: scale_curve(&m->bandwidth, factor, arena); return "memory bandwidth";
  case 2: m->launch *= factor; return "launch";
  case 3: m->memory = (uint64_t)((double)m->memory * factor); return "memory";
  default: break;
  }
  uint32_t level = (n - 4) / 2;
  if (level >= m->n_levels)
    return NULL;
  scale_level(&m->levels[level], n % 2, factor, arena);
  return arena_printf(arena, "%s of %s", n % 2 ? "bandwidth" : "latency", m->levels[level].name);
}

static bool same_mesh(const struct mesh *a, const struct mesh *b) {
  bool same = a->n_axes == b->n_axes;
  for (uint32_t i = 0; same && i < a->n_axes; i++)
    same = a->axes[i].size == b->axes[i].size && !strcmp(a->axes[i].name, b->axes[i].name);
  return same;
}

status explain_sensitivity(struct module *m, const struct search_request *request,
                           const struct search_result *found, struct arena *arena, struct diags *d,
                           uint32_t *out_n, struct explain_change **out) {
  static const double factors[] = {0.7, 1.3};
  struct explain_change *changes =
      ARENA_ARRAY(arena, struct explain_change, 2 * (4 + 2 * MACHINE_MAX_LEVELS));
  *out = changes;
  *out_n = 0;
  for (uint32_t n = 0; n < 2 * (4 + 2 * MACHINE_MAX_LEVELS); n++) {
    struct machine machine = *request->machine;
    struct search_request again = *request;
    struct search_result result;
    struct diags quiet = {0};
    struct explain_change *x = &changes[*out_n];
    x->factor = factors[n % 2];
    x->constant = scale_constant(&machine, n / 2, x->factor, arena);
    if (!x->constant)
      break;
    again.machine = &machine;
    uint32_t meshes = m->meshes.len;
    status st = search_plan(m, &again, arena, &quiet, &result);
    m->meshes.len = meshes;
    diags_deinit(&quiet);
    x->seconds = st == STATUS_OK ? result.winner.seconds : INFINITY;
    x->mesh = result.mesh;
    x->same = st == STATUS_OK && same_mesh(&result.mesh, &found->mesh);
    ++*out_n;
  }
  (void)d;
  return STATUS_OK;
}

/* ---- text ---- */

static void print_seconds(double s, FILE *out) {
  if (isinf(s))
    fprintf(out, "%9s   ", "-");
  else if (s >= 1)
    fprintf(out, "%9.3f s ", s);
  else if (s >= 1e-3)
    fprintf(out, "%9.3f ms", s * 1e3);
  else
    fprintf(out, "%9.2f us", s * 1e6);
}

static void print_mesh(const struct mesh *mesh, FILE *out) {
  fprintf(out, "[");
  for (uint32_t i = 0; i < mesh->n_axes; i++)
    fprintf(out, "%s%s=%lld", i ? ", " : "", mesh->axes[i].name, (long long)mesh->axes[i].size);
  fprintf(out, "]");
}

static void print_time(const struct report_time *t, FILE *out) {
  const double parts[] = {t->compute + t->memory + t->launch + t->communication, t->compute,
                          t->memory, t->launch, t->communication};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    print_seconds(parts[i], out);
  fprintf(out, " %12.0f", t->bytes);
}

static const char *limit_of(const struct report_time *t) {
  double most = fmax(fmax(t->compute, t->memory), fmax(t->launch, t->communication));
  return most == t->compute  ? "compute"
         : most == t->memory ? "memory bandwidth"
         : most == t->launch ? "launches"
                             : "communication";
}

static void print_block(const struct report_block *b, FILE *out) {
  fprintf(out, "  %4u x", b->repeats);
  print_time(&b->time, out);
  fprintf(out, "\n");
  for (uint32_t i = 0; i < b->n_splits; i++) {
    const struct report_split *x = &b->splits[i];
    double seconds = x->time.compute + x->time.memory + x->time.launch;
    fprintf(out, "         %-10s %-34s ", x->op, x->words);
    print_seconds(seconds, out);
    fprintf(out, "  %s\n", x->node ? x->node : "");
  }
  for (uint32_t i = 0; i < b->n_conversions; i++) {
    const struct report_conversion *x = &b->conversions[i];
    fprintf(out, "         %-45s ", x->words);
    print_seconds(x->seconds, out);
    fprintf(out, "  %.0f B\n", x->bytes);
  }
}

static void print_phase(const struct report_phase *p, bool detail, FILE *out) {
  fprintf(out, "\n%s (weight %g), one run:\n", p->name, p->weight);
  fprintf(out, "  %6s %10s  %10s  %10s  %10s  %10s  %12s\n", "blocks", "total", "compute", "memory",
          "launch", "exchange", "B received");
  for (uint32_t i = 0; i < p->n_blocks; i++) {
    if (detail) {
      print_block(&p->blocks[i], out);
      continue;
    }
    fprintf(out, "  %4u x", p->blocks[i].repeats);
    print_time(&p->blocks[i].time, out);
    fprintf(out, "\n");
  }
  fprintf(out, "  %6s", "sum");
  print_time(&p->time, out);
  fprintf(out, "\n  limited by %s\n", limit_of(&p->time));
}

static void print_others(const struct search_result *found, FILE *out) {
  fprintf(out, "\nother meshes, the best first:\n");
  uint32_t shown = 0;
  for (uint32_t i = 1; i < found->n_candidates && shown < 5; i++, shown++) {
    const struct search_candidate *c = &found->candidates[i];
    fprintf(out, "  ");
    for (uint32_t k = 0; k < c->mesh.n_axes; k++)
      fprintf(out, "%s%lld", k ? "x" : "", (long long)c->mesh.axes[k].size);
    double more = 100 * (c->seconds / found->winner.seconds - 1);
    switch (c->state) {
    case CANDIDATE_TOO_LARGE:
      fprintf(out, ": does not fit, needs %.2f GiB per device\n", (double)c->bytes / 0x1p30);
      break;
    case CANDIDATE_WORSE:
      fprintf(out, ": ");
      print_seconds(c->seconds, out);
      fprintf(out, " or more (+%.1f %%)\n", fmax(more, 0));
      break;
    case CANDIDATE_SOLVED:
      fprintf(out, ": ");
      print_seconds(c->seconds, out);
      fprintf(out, " (+%.1f %%), %.2f GiB per device\n", more, (double)c->bytes / 0x1p30);
      break;
    }
  }
}

static void print_changes(const struct explain_change *changes, uint32_t n, FILE *out) {
  if (n)
    fprintf(out, "\nif a figure of the machine were 30 %% off:\n");
  for (uint32_t i = 0; i < n; i++) {
    const struct explain_change *x = &changes[i];
    fprintf(out, "  %-24s x %.1f: ", x->constant, x->factor);
    print_seconds(x->seconds, out);
    if (x->same) {
      fprintf(out, "  the same plan\n");
    } else if (isinf(x->seconds)) {
      fprintf(out, "  nothing fits\n");
    } else {
      fprintf(out, "  ");
      print_mesh(&x->mesh, out);
      fprintf(out, " wins\n");
    }
  }
}

void explain_print(const struct search_result *found, const struct explain_change *changes,
                   uint32_t n_changes, bool detail, FILE *out) {
  const struct search_report *r = found->report;
  fprintf(out, "machine   %s\nworkload  %s\nmesh      ", r->machine->name, r->workload);
  print_mesh(&found->mesh, out);
  fprintf(out, "\nobjective ");
  print_seconds(found->winner.seconds, out);
  fprintf(out, ", gap %.3g %%\nmemory    %.2f of %.2f GiB per device for weights and states\n",
          100 * found->gap / found->winner.seconds, r->bytes / 0x1p30, r->limit / 0x1p30);
  fprintf(out, "space     %u meshes, 10^%.0f plans of the best\n", found->n_candidates,
          found->winner.space_size);
  for (uint32_t i = 0; i < r->n_phases; i++)
    print_phase(&r->phases[i], detail, out);
  print_others(found, out);
  print_changes(changes, n_changes, out);
}

/* ---- JSON ---- */

static void json_number(struct json *j, const char *key, double x) {
  json_key(j, key);
  json_f64(j, x);
}

static void json_text(struct json *j, const char *key, const char *text) {
  json_key(j, key);
  text ? json_string(j, text) : json_null(j);
}

static void json_mesh(struct json *j, const struct mesh *mesh) {
  json_key(j, "mesh");
  json_array_begin(j);
  for (uint32_t i = 0; i < mesh->n_axes; i++) {
    json_object_begin(j);
    json_text(j, "name", mesh->axes[i].name);
    json_key(j, "size");
    json_i64(j, mesh->axes[i].size);
    json_object_end(j);
  }
  json_array_end(j);
}

static void json_time(struct json *j, const struct report_time *t) {
  json_key(j, "time");
  json_object_begin(j);
  json_number(j, "compute", t->compute);
  json_number(j, "memory", t->memory);
  json_number(j, "launch", t->launch);
  json_number(j, "communication", t->communication);
  json_number(j, "bytes_received", t->bytes);
  json_object_end(j);
}

static void json_block(struct json *j, const struct report_block *b) {
  json_object_begin(j);
  json_key(j, "repeats");
  json_u64(j, b->repeats);
  json_time(j, &b->time);
  json_key(j, "splits");
  json_array_begin(j);
  for (uint32_t i = 0; i < b->n_splits; i++) {
    json_object_begin(j);
    json_text(j, "op", b->splits[i].op);
    json_text(j, "node", b->splits[i].node);
    json_text(j, "split", b->splits[i].words);
    json_time(j, &b->splits[i].time);
    json_object_end(j);
  }
  json_array_end(j);
  json_key(j, "conversions");
  json_array_begin(j);
  for (uint32_t i = 0; i < b->n_conversions; i++) {
    json_object_begin(j);
    json_text(j, "value", b->conversions[i].value);
    json_text(j, "conversion", b->conversions[i].words);
    json_number(j, "seconds", b->conversions[i].seconds);
    json_number(j, "bytes_received", b->conversions[i].bytes);
    json_object_end(j);
  }
  json_array_end(j);
  json_object_end(j);
}

static void json_candidates(struct json *j, const struct search_result *found) {
  json_key(j, "candidates");
  json_array_begin(j);
  for (uint32_t i = 0; i < found->n_candidates; i++) {
    const struct search_candidate *c = &found->candidates[i];
    json_object_begin(j);
    json_mesh(j, &c->mesh);
    json_key(j, "feasible");
    json_bool(j, c->state != CANDIDATE_TOO_LARGE);
    json_key(j, "solved");
    json_bool(j, c->state == CANDIDATE_SOLVED);
    json_number(j, "seconds", c->seconds);
    json_key(j, "bytes");
    json_u64(j, c->bytes);
    json_object_end(j);
  }
  json_array_end(j);
}

void explain_json(const struct search_result *found, const struct explain_change *changes,
                  uint32_t n_changes, struct json *j) {
  const struct search_report *r = found->report;
  json_text(j, "machine", r->machine->name);
  json_text(j, "workload", r->workload);
  json_mesh(j, &found->mesh);
  json_number(j, "seconds", found->winner.seconds);
  json_number(j, "gap", found->gap);
  json_number(j, "bytes", r->bytes);
  json_number(j, "bytes_limit", r->limit);
  json_number(j, "log10_plans", found->winner.space_size);
  json_key(j, "phases");
  json_array_begin(j);
  for (uint32_t i = 0; i < r->n_phases; i++) {
    json_object_begin(j);
    json_text(j, "name", r->phases[i].name);
    json_number(j, "weight", r->phases[i].weight);
    json_time(j, &r->phases[i].time);
    json_text(j, "limited_by", limit_of(&r->phases[i].time));
    json_key(j, "blocks");
    json_array_begin(j);
    for (uint32_t k = 0; k < r->phases[i].n_blocks; k++)
      json_block(j, &r->phases[i].blocks[k]);
    json_array_end(j);
    json_object_end(j);
  }
  json_array_end(j);
  json_candidates(j, found);
  json_key(j, "sensitivity");
  json_array_begin(j);
  for (uint32_t i = 0; i < n_changes; i++) {
    json_object_begin(j);
    json_text(j, "constant", changes[i].constant);
    json_number(j, "factor", changes[i].factor);
    json_key(j, "same");
    json_bool(j, changes[i].same);
    json_mesh(j, &changes[i].mesh);
    json_number(j, "seconds", changes[i].seconds);
    json_object_end(j);
  }
  json_array_end(j);
}
