/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline: see pipeline.h. The order, and why, is `order` below. */
#include "passes/pipeline.h"

#include <stdio.h>
#include <string.h>

#include "ir/verify.h"
#include "passes/pass.h"

struct pass {
  const char *name;
  pass_run run;
};

static const struct pass passes[] = {
#define PASS(name, on, doc) {#name, pass_##name},
#include "passes/passes.def"
#undef PASS
};

static const char *const order[] = {
    "fuse", /* last: what it makes are kernels */
};

static const struct pass *find_pass(const char *name, size_t len) {
  for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
    if (strlen(passes[i].name) == len && !memcmp(passes[i].name, name, len)) return &passes[i];
  }
  return NULL;
}

/* Whether the comma-separated list holds the name. */
static bool listed(const char *list, const char *name) {
  size_t len = strlen(name);
  for (const char *p = list; p && *p;) {
    size_t n = strcspn(p, ",");
    if (n == len && !memcmp(p, name, n)) return true;
    p += n + (p[n] == ',');
  }
  return false;
}

static status check_names(const char *list, struct diags *diags) {
  status st = STATUS_OK;
  for (const char *p = list; p && *p;) {
    size_t n = strcspn(p, ",");
    if (!find_pass(p, n)) {
      st = diag_report(diags, DIAG_E0320, NULL, "`sinter passes` lists them", "there is no pass '%.*s'",
                       (int)n, p);
    }
    p += n + (p[n] == ',');
  }
  return st;
}

static status run_pass(struct pass_context *ctx, const struct pass *pass,
                       const struct pipeline_options *o) {
  status st = pass->run(ctx);
  arena_reset(ctx->scratch);
  if (st != STATUS_OK || !o->verify_each) return st;
  if (module_verify(ctx->module, ctx->diags) == STATUS_OK) return STATUS_OK;
  return diag_report(ctx->diags, DIAG_E0321, NULL, NULL, "pass '%s' broke the module", pass->name);
}

status pipeline_run(struct module *m, const struct pipeline_options *options, struct diags *diags) {
  struct arena scratch = {0};
  struct pass_context ctx = {.module = m, .diags = diags, .scratch = &scratch};
  status st = check_names(options->passes, diags);
  if (st == STATUS_OK) st = check_names(options->disabled, diags);
  if (st == STATUS_OK) st = check_names(options->stop_after, diags);
  if (st == STATUS_OK && options->verify_each) st = module_verify(m, diags);
  for (size_t i = 0; i < sizeof order / sizeof *order && st == STATUS_OK; i++) {
    if (listed(options->disabled, order[i])) continue;
    if (options->passes && !listed(options->passes, order[i])) continue;
    st = run_pass(&ctx, find_pass(order[i], strlen(order[i])), options);
    if (options->stop_after && !strcmp(options->stop_after, order[i])) break;
  }
  arena_deinit(&scratch);
  return st;
}
