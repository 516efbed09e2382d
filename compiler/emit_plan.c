/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of an engine file as text. */
#include "compiler/emit_plan.h"

#include "runtime/engine_file.h"
#include "runtime/plan_print.h"

status emit_plan_text(const char *engine_path, FILE *out) {
  struct engine_file file;
  struct plan plan;
  status st = engine_file_open(&file, engine_path);
  if (st != STATUS_OK)
    return st;
  st = plan_load(&plan, &file);
  if (st == STATUS_OK) {
    plan_print(&plan, out);
    plan_unload(&plan);
  }
  engine_file_close(&file);
  return st;
}
