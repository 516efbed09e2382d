/* SPDX-License-Identifier: Apache-2.0 */
/* Values that no machine holds; see module_sizes.h. */
#include "ir/module_sizes.h"

#include "base/str.h"
#include "ir/graph.h"

#define MOST_BITS (UINT64_C(1) << 50)

/* With every symbol at its lower bound. */
static bool is_too_large(const struct module *m, const struct type *type) {
  uint64_t bits = dtype_bits(type->dtype);
  bool too_large = false;
  for (uint32_t i = 0; i < type->rank; i++) {
    int64_t lo, hi;
    dim_bounds(m->dims, type->dims[i], &lo, &hi);
    if (lo <= 0)
      return false;
    too_large |= __builtin_mul_overflow(bits, (uint64_t)lo, &bits) || bits > MOST_BITS;
  }
  return too_large;
}

static void report(const struct module *m, const struct type *type, uint32_t provenance,
                   const char *what, struct diags *diags) {
  struct strbuf text = {0};
  type_print(m, type, &text);
  struct diag_where where = module_where(m, provenance);
  diag_report(diags, DIAG_E0149, &where, NULL, "%s is %s, more than any machine's memory", what,
              strbuf_c(&text));
  strbuf_deinit(&text);
}

static void check_function(const struct module *m, const struct function *f, struct diags *diags) {
  uint32_t last = 0; /* one report for the many ops of a node */
  const struct region *body = &f->regions.data[0];
  for (uint32_t i = 0; i < body->params.len; i++) {
    const struct type *type = value_type(f, body->params.data[i]);
    if (is_too_large(m, type))
      report(m, type, 0, "an input", diags);
  }
  for (uint32_t i = 0; i < f->ops.len; i++) {
    const struct op *op = &f->ops.data[i];
    if (op->kind == OP_NONE || (last && op->provenance == last))
      continue;
    for (uint32_t k = 0; k < op->n_results; k++) {
      const struct type *type = value_type(f, op->results[k]);
      if (!is_too_large(m, type))
        continue;
      report(m, type, op->provenance, "a value", diags);
      last = op->provenance;
      break;
    }
  }
}

status module_check_sizes(const struct module *m, struct diags *diags) {
  uint32_t errors = diags_errors(diags);
  for (uint32_t i = 0; i < m->functions.len; i++)
    check_function(m, m->functions.data[i], diags);
  return diags_errors(diags) == errors ? STATUS_OK : STATUS_RESOURCES;
}
