/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of an engine file as text. */
#include "compiler/emit_plan.h"

#include "compiler/plan_costs.h"
#include "runtime/engine_file.h"
#include "runtime/plan_print.h"

static status print_text(const struct plan *plan, FILE *out) {
  plan_print(plan, out);
  return STATUS_OK;
}

static status with_plan(const char *engine_path, status (*print)(const struct plan *, FILE *),
                        FILE *out) {
  struct engine_file file;
  struct plan plan;
  status st = engine_file_open(&file, engine_path);
  if (st != STATUS_OK)
    return st;
  st = plan_load(&plan, &file);
  if (st == STATUS_OK) {
    st = print(&plan, out);
    plan_unload(&plan);
  }
  engine_file_close(&file);
  return st;
}

status emit_plan_text(const char *engine_path, FILE *out) {
  return with_plan(engine_path, print_text, out);
}

status emit_plan_costs(const char *engine_path, FILE *out) {
  return with_plan(engine_path, plan_costs_print, out);
}
