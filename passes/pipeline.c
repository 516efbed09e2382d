/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline: see pipeline.h. The order, and why, is `order` below. */
#include "passes/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/pass.h"
#include "passes/precision/precision_rules.h"

struct pass {
  struct pass_info info;
  pass_run run;
};

static const struct pass passes[] = {
#define PASS(name, on, doc) {{#name, doc, on}, pass_##name},
#include "passes/passes.def"
#undef PASS
};

#define N_PASSES (sizeof passes / sizeof *passes)

/* A pass may run several times. */
static const char *const order[] = {
    "check_shapes",        /* before anything relies on shapes that only a run can tell */
    "cse",                 /* so that nothing is folded twice */
    "simplify",            /* scales and zero points as numbers in bodies ... */
    "integer_products",    /* ... for this, before small weights are folded to f32 */
    "fold",                /* early, so that what follows sees numbers */
    "simplify",            /* shape arithmetic and idle views go */
    "cse",                 /* what simplify made alike is one */
    "fold",                /* and constant now, where it was not */
    "fold_affine",         /* weights as constants; what it makes of them is folded below */
    "variants",            /* conditions on dims are literals in each variant ... */
    "unroll",              /* conditions are constant now if they ever are */
    "simplify",            /* what branches and bodies were wrapped in */
    "fold",                /* and what became constant with them */
    "recognise_attention", /* needs scalars in bodies and one form of every view */
    "simplify",            /* the views that recognition put around its operands */
    "derive_phases",       /* reads masks as positions, off attentions */
    "simplify",            /* sizes are other ones in its functions */
    "strength",            /* after recognition, which knows quotients as they were written */
    "fold_static",         /* after masks were read as positions */
    "cse",                 /* layers share their masks */
    "dce",                 /* nothing idle is worth a kernel */
    "precision",  /* attention is one op, weights are constants; what ranks exchange is smaller */
    "partition",  /* on whole values in their final form; the rest knows nothing of ranks */
    "split_keys", /* of what a rank has to do by itself */
    "split_sums",
    "expand_combine", /* what merges ranks' results is kernels like any others */
    "cse",            /* equal parts and views of them */
    "layout",         /* once views are where they stay, and before kernels are made of them */
    "simplify",       /* transposes that meet */
    "fold",           /* biases that were turned */
    "dce",            /* what they were */
    "hoist",          /* on what is left of loops */
    "fuse",           /* what it makes are kernels */
    "order",          /* kernels are what is run and stored */
    "once",           /* last: of what is there now */
};

uint32_t pipeline_pass_count(void) { return N_PASSES; }

const struct pass_info *pipeline_pass(uint32_t i) { return &passes[i].info; }

static const struct pass *find_pass(const char *name, size_t len) {
  for (size_t i = 0; i < N_PASSES; i++) {
    if (strlen(passes[i].info.name) == len && !memcmp(passes[i].info.name, name, len))
      return &passes[i];
  }
  return NULL;
}

/* Takes the next name off a comma-separated list; false at its end. */
static bool next_name(const char **list, const char **out_name, size_t *out_len) {
  if (!*list || !**list)
    return false;
  size_t n = strcspn(*list, ",");
  *out_name = *list;
  *out_len = n;
  *list += n + ((*list)[n] == ',');
  return true;
}

static bool listed(const char *list, const char *name) {
  const char *at;
  size_t n;
  while (next_name(&list, &at, &n)) {
    if (strlen(name) == n && !memcmp(at, name, n))
      return true;
  }
  return false;
}

static status check_names(const char *list, struct diags *diags) {
  status st = STATUS_OK;
  const char *name;
  size_t n;
  while (next_name(&list, &name, &n)) {
    if (!find_pass(name, n))
      st = diag_report(diags, DIAG_E0320, NULL, "`sinter passes` lists them",
                       "there is no pass '%.*s'", (int)n, name);
  }
  return st;
}

/* ---- running one ---- */

struct run {
  const struct pipeline_options *options;
  struct pass_context context;
  uint32_t number; /* of passes run so far, for file names */
};

static uint32_t count_ops(const struct module *m) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < m->functions.len; i++) {
    const struct function *f = m->functions.data[i];
    for (uint32_t k = 0; k < f->regions.len; k++)
      n += f->regions.data[k].ops.len;
  }
  return n;
}

static status dump(struct run *r, const char *pass) {
  const char *folder = r->options->dump_ir_to;
  struct diags *diags = r->context.diags;
  if (mkdir(folder, 0777) && errno != EEXIST)
    return diag_report(diags, DIAG_E0905, NULL, NULL, "cannot make the folder '%s': %s", folder,
                       strerror(errno));
  struct strbuf path = {0}, text = {0};
  struct file_writer w;
  strbuf_printf(&path, "%s/%02u-%s.sir", folder, r->number, pass);
  status st = file_writer_open(strbuf_c(&path), diags, &w);
  if (st == STATUS_OK) {
    module_print(r->context.module, &text);
    fwrite(strbuf_c(&text), 1, text.len, w.stream);
    st = file_writer_commit(&w, diags);
  }
  strbuf_deinit(&path);
  strbuf_deinit(&text);
  return st;
}

static void print(const struct run *r, const char *pass) {
  struct strbuf text = {0};
  module_print(r->context.module, &text);
  fprintf(stderr, "# after %s\n%s", pass, strbuf_c(&text));
  strbuf_deinit(&text);
}

/* What was asked for after a pass, or before the first ("import"). */
static status observe(struct run *r, const char *pass) {
  const struct pipeline_options *o = r->options;
  if (o->print_after && r->number &&
      (!strcmp(o->print_after, "all") || listed(o->print_after, pass)))
    print(r, pass);
  status st = o->dump_ir_to ? dump(r, pass) : STATUS_OK;
  r->number++;
  return st;
}

static status run_pass(struct run *r, const struct pass *pass) {
  const char *name = pass->info.name;
  uint64_t start = clock_now_ns();
  uint32_t before = count_ops(r->context.module);
  status st = pass->run(&r->context);
  arena_reset(r->context.scratch);
  if (st != STATUS_OK)
    return st;
  LOG("pass", 1, "%s: %.3f ms, %u ops, %u before", name, (double)(clock_now_ns() - start) * 1e-6,
      count_ops(r->context.module), before);
  if (r->options->verify_each && module_verify(r->context.module, r->context.diags) != STATUS_OK) {
    observe(r, name);
    return diag_report(r->context.diags, DIAG_E0321, NULL, NULL, "pass '%s' broke the module",
                       name);
  }
  return observe(r, name);
}

/* ---- running all ---- */

static status run_listed(struct run *r, const char *list) {
  const char *name;
  size_t n;
  status st = STATUS_OK;
  while (st == STATUS_OK && next_name(&list, &name, &n)) {
    const struct pass *pass = find_pass(name, n);
    if (!listed(r->options->disabled, pass->info.name))
      st = run_pass(r, pass);
  }
  return st;
}

static status run_order(struct run *r) {
  const struct pipeline_options *o = r->options;
  status st = STATUS_OK;
  for (size_t i = 0; i < sizeof order / sizeof *order && st == STATUS_OK; i++) {
    const struct pass *pass = find_pass(order[i], strlen(order[i]));
    if (pass->info.on && !listed(o->disabled, order[i]))
      st = run_pass(r, pass);
    if (o->stop_after && !strcmp(o->stop_after, order[i]))
      break;
  }
  return st;
}

status pipeline_run(struct module *m, const struct pipeline_options *options, struct diags *diags) {
  struct arena scratch = {0};
  struct precision_rules precision = {0};
  struct run r = {.options = options,
                  .context = {.module = m,
                              .diags = diags,
                              .scratch = &scratch,
                              .parallel = options->parallel,
                              .machine = options->machine,
                              .workload = options->workload,
                              .throughput = options->throughput,
                              .search_seconds = options->search_seconds,
                              .roles = options->roles,
                              .gpu = options->gpu,
                              .precision = options->precision ? &precision : NULL,
                              .precision_report = options->precision_report}};
  bool all = options->print_after && !strcmp(options->print_after, "all");
  status st = check_names(options->passes, diags);
  if (st == STATUS_OK && options->precision)
    st = precision_rules_parse(options->precision, diags, &precision);
  if (st == STATUS_OK)
    st = check_names(options->disabled, diags);
  if (st == STATUS_OK)
    st = check_names(options->stop_after, diags);
  if (st == STATUS_OK && !all)
    st = check_names(options->print_after, diags);
  if (st == STATUS_OK && options->verify_each)
    st = module_verify(m, diags);
  if (st == STATUS_OK)
    st = observe(&r, "import");
  if (st == STATUS_OK)
    st = options->passes ? run_listed(&r, options->passes) : run_order(&r);
  precision_rules_deinit(&precision);
  arena_deinit(&scratch);
  return st;
}
