/* SPDX-License-Identifier: Apache-2.0 */
/* From a fused module to an engine file; see engine_build.h. */
#include "codegen/engine_build.h"

#include "base/mem.h"
#include "codegen/const_part.h"
#include "codegen/nvptx/ptxas.h"
#include "runtime/engine_write.h"

static void write_whole(struct engine_writer *w, const struct constant *c,
                        const struct plan_constant *use) {
  if (!use->pack.panels) {
    engine_writer_write(w, c->data, c->bytes);
    return;
  }
  uint64_t k, n, bytes;
  pack_size(c, &use->pack, &k, &n, &bytes);
  uint64_t panels = n / use->pack.columns + (n % use->pack.columns != 0);
  void *panel = panels ? mem_alloc(bytes / panels + 1) : NULL;
  for (uint64_t i = 0; i < panels; i++) {
    pack_panel(c, &use->pack, i, panel);
    engine_writer_write(w, panel, bytes / panels);
  }
  mem_free(panel);
}

/* All of a constant, or one part after the other. */
static void write_constant(struct engine_writer *w, const struct module *m,
                           const struct plan_constant *use) {
  if (!use->whole) {
    write_whole(w, &m->constants.data[use->id], use);
    return;
  }
  for (uint32_t i = 0; i < use->parts; i++) {
    static const char zeros[ENGINE_WEIGHT_ALIGNMENT];
    struct constant part;
    uint64_t k, n, bytes, stride = use->bytes / use->parts;
    const_part_take(m, use->id, use->whole, i, &part);
    bytes = part.bytes;
    if (use->pack.panels)
      pack_size(&part, &use->pack, &k, &n, &bytes);
    write_whole(w, &part, use);
    for (; bytes < stride; bytes += n) {
      n = stride - bytes < sizeof zeros ? stride - bytes : sizeof zeros;
      engine_writer_write(w, zeros, n);
    }
    mem_free((void *)(uintptr_t)part.data);
  }
}

static void write_weights(struct engine_writer *w, const struct module *m, const struct plan *p,
                          bool hole) {
  engine_writer_begin(w, ENGINE_SECTION_WEIGHTS, NULL);
  if (hole)
    engine_writer_skip(w, p->weight_bytes);
  for (uint32_t i = 0; i < p->constants.len && !hole; i++) {
    if (p->constants.data[i].outside)
      continue;
    engine_writer_align(w, ENGINE_WEIGHT_ALIGNMENT);
    write_constant(w, m, &p->constants.data[i]);
  }
  engine_writer_end(w);
}

/* Code sections come first: their numbers are what the plan says. */
static status write_file(const struct module *m, struct plan *p, const struct plan_target *targets,
                         uint32_t n_targets, const struct engine_build_options *options,
                         const char *path, struct diags *diags) {
  struct engine_writer w;
  status st = engine_writer_open(&w, path, diags);
  if (st != STATUS_OK)
    return st;
  for (uint32_t t = 0; t < n_targets; t++) {
    engine_writer_begin(&w, ENGINE_SECTION_CODE, targets[t].name);
    engine_writer_write(&w, targets[t].blob.data, targets[t].blob.size);
    engine_writer_end(&w);
  }
  if (p->constants.len)
    write_weights(&w, m, p, options->no_weights);
  size_t bytes;
  const uint8_t *manifest = manifest_build_pack(&p->build, &bytes);
  engine_writer_begin(&w, ENGINE_SECTION_MANIFEST, NULL);
  engine_writer_write(&w, manifest, bytes);
  engine_writer_end(&w);
  return engine_writer_commit(&w, diags);
}

/* Schedules and their plans are those of the first target; the others differ in code only. The dims
 * that a kernel asks for stay those of the targets before, with new ones behind them. */
static status assemble_target(struct kernel_set *set, const struct target_isa *isa,
                              const struct engine_build_options *options, struct arena *arena,
                              struct diags *diags, struct plan_target *targets, uint32_t *n) {
  struct assemble_result code;
  const struct ptxas *ptxas = isa->kind == TARGET_NVPTX ? options->ptxas : NULL;
  status st =
      kernel_set_assemble(set, isa, ptxas, options->threads, ASSEMBLE_BLOB, arena, diags, &code);
  if (st != STATUS_OK)
    return st;
  targets[*n] = (struct plan_target){isa->name, "", code.blob, *n};
  (*n)++;
  if (ptxas) {
    targets[*n] = (struct plan_target){isa->name, ptxas->version, code.cubins, *n};
    (*n)++;
  }
  return STATUS_OK;
}

status engine_build(struct module *m, const struct engine_build_options *options, const char *path,
                    struct diags *diags) {
  struct kernel_set set;
  struct arena arena = {0};
  struct plan_target targets[CODE_SECTIONS_MAX];
  uint32_t n_isas = options->n_isas ? options->n_isas : 1, n = 0;
  status st = kernel_set_init(&set, m, options->isa, diags);
  for (uint32_t t = 0; t < n_isas && st == STATUS_OK; t++)
    st = assemble_target(&set, &options->isa[t], options, &arena, diags, targets, &n);
  if (st == STATUS_OK) {
    struct plan plan;
    st = plan_init(&plan, m, &set, targets, n, &arena, diags);
    if (st == STATUS_OK)
      st = write_file(m, &plan, targets, n, options, path, diags);
    plan_deinit(&plan);
  }
  kernel_set_deinit(&set);
  arena_deinit(&arena);
  return st;
}

status engine_build_text(struct module *m, const struct engine_build_options *options,
                         enum assemble_emit emit, struct arena *arena, struct diags *diags,
                         const char **out_text) {
  struct kernel_set set;
  struct assemble_result code;
  status st = kernel_set_init(&set, m, options->isa, diags);
  if (st == STATUS_OK) {
    st = kernel_set_assemble(&set, options->isa, NULL, options->threads, emit, arena, diags, &code);
  }
  if (st == STATUS_OK)
    *out_text = code.text;
  kernel_set_deinit(&set);
  return st;
}
