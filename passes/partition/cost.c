/* SPDX-License-Identifier: Apache-2.0 */
/* The cost model: see cost.h. */
#include "passes/partition/cost.h"

#include <math.h>
#include <string.h>

#include "ir/shard_index.h"
#include "passes/partition/conversion.h"

void cost_init(struct module *m, const struct machine *machine, uint32_t mesh,
               const int64_t *symbols, double scale, struct cost *out) {
  *out = (struct cost){m, machine, mesh, m->meshes.data[mesh], symbols, scale};
}

int64_t cost_dim(const struct cost *c, dim d) {
  int64_t x;
  return dim_eval(c->module->dims, d, c->symbols, &x) && x >= 0 ? x : 1;
}

static void dims_of(const struct cost *c, const struct type *type, int64_t *out) {
  for (uint32_t i = 0; i < type->rank; i++)
    out[i] = cost_dim(c, type->dims[i]);
}

static double local_elements(const struct cost *c, const struct type *type, sharding_id sharding) {
  int64_t dims[IR_MAX_RANK];
  struct sharding room;
  dims_of(c, type, dims);
  return (double)sharding_most_elements(
      c->mesh, sharding_get(c->module, sharding, c->mesh_id, type->rank, &room), type->rank, dims);
}

double cost_local_bytes(const struct cost *c, const struct type *type, sharding_id sharding) {
  return local_elements(c, type, sharding) * dtype_bits(type->dtype) / 8;
}

/* ---- kernels ---- */

/* The largest part of an op's work that a rank has under a split. */
static double share_of(const struct cost *c, const struct factor_list *factors,
                       const struct op_split *split) {
  double share = 1;
  for (uint32_t i = 0; i < split->n; i++) {
    const struct factor_split *x = &split->splits[i];
    double n = (double)cost_dim(c, factors->factors.data[x->factor].extent);
    double parts = (double)axis_refs_size(c->mesh, x->axes, x->n_axes);
    share *= n > 0 ? ceil(n / parts) / n : 1;
  }
  return share;
}

/* The part of attention's scores that a causal mask leaves: queries are the last of the keys. */
static double causal_part(const struct cost *c, const struct function *f, const struct op *op) {
  if (op->kind != OP_ATTENTION || !OP_ATTRS(attention, op)->causal)
    return 1;
  double q = (double)cost_dim(c, value_type(f, op->operands[0])->dims[2]);
  double k = (double)cost_dim(c, value_type(f, op->operands[1])->dims[2]);
  return k > 0 && q <= k ? (k - q / 2) / k : 1;
}

static double op_flops(const struct cost *c, const struct function *f, const struct op *op) {
  if (op_infos[op->kind].flags & OP_FLAG_VIEW || !op->n_results || op->kind == OP_GATHER)
    return 0;
  if (op_infos[op->kind].hooks && op_infos[op->kind].hooks->flops)
    return (double)cost_dim(c, op_infos[op->kind].hooks->flops(f, op)) * causal_part(c, f, op);
  double cost = 1;
  if (op->kind == OP_MAP) {
    const struct scalar_body *body = OP_ATTRS(map, op)->body;
    for (uint32_t i = 0; i < body->len; i++)
      cost += body->insts[i].op > SCALAR_CAST ? scalar_infos[body->insts[i].op].cost : 0;
  }
  return cost * (double)cost_dim(c, type_elements(f->module->dims, value_type(f, op->results[0])));
}

/* Rows and columns of a product's largest part: what its efficiency depends on. */
static void product_shape(const struct cost *c, const struct function *f, const struct op *op,
                          const struct factor_list *factors, const struct op_split *split,
                          double *out_rows, double *out_columns) {
  *out_rows = *out_columns = 1;
  (void)f;
  for (uint32_t i = 0; i < factors->factors.len; i++) {
    const struct factor *x = &factors->factors.data[i];
    double n = (double)cost_dim(c, x->extent);
    for (uint32_t k = 0; k < split->n; k++)
      if (split->splits[k].factor == i)
        n = ceil(n /
                 (double)axis_refs_size(c->mesh, split->splits[k].axes, split->splits[k].n_axes));
    if (x->kind == FACTOR_CONTRACTED)
      continue;
    if (!strcmp(x->name, "n") || !strcmp(x->name, "out_channel"))
      *out_columns *= n;
    else
      *out_rows *= n;
  }
  if (op->kind == OP_ATTENTION)
    *out_columns = 4096; /* the keys, of which a kernel takes a block at a time */
}

static double op_compute(const struct cost *c, const struct function *f, const struct op *op,
                         const struct op_split *split, struct arena *scratch) {
  struct factor_list factors = {0};
  double flops = op_flops(c, f, op), rows, columns, time;
  if (!(flops > 0))
    return 0;
  factors_of(f, op, scratch, &factors);
  flops *= share_of(c, &factors, split);
  if (op->kind == OP_CONTRACT || op->kind == OP_CONV || op->kind == OP_ATTENTION) {
    product_shape(c, f, op, &factors, split, &rows, &columns);
    time = machine_product_time(c->machine, value_type(f, op->operands[0])->dtype, flops, rows,
                                columns);
  } else {
    time = flops / c->machine->scalar_peak;
  }
  vec_deinit(&factors.factors);
  return time;
}

/* Bytes that an op moves of an operand: of tables and states only the rows that it touches. */
static double operand_bytes(const struct cost *c, const struct function *f, const struct op *op,
                            uint32_t i, const sharding_id *operands, const sharding_id *results) {
  double bytes = cost_local_bytes(c, value_type(f, op->operands[i]), operands[i]);
  if (op->kind == OP_GATHER && i == 0)
    return fmin(bytes, cost_local_bytes(c, value_type(f, op->results[0]), results[0]));
  if (op->kind == OP_UPDATE && i == 0)
    return 0;
  return bytes;
}

static bool is_of_group(const struct space *s, uint32_t group, value_id v) {
  const struct op *def = value_def(s->function, v);
  return def && s->group_of[def - s->function->ops.data] == group;
}

/* Whether a heavy group's value stays in the kernel of the group that follows. */
static bool is_fused_into(const struct space *s, uint32_t group, value_id v) {
  for (uint32_t i = group + 1; i < s->n_groups && s->groups[i].block == s->groups[group].block; i++)
    if (s->groups[i].fused == v)
      return true;
  return false;
}

static bool is_read_outside(const struct space *s, uint32_t group, value_id v) {
  for (uint32_t k = 0; k < s->groups[group].n_ops; k++) {
    const struct op *op = function_op(s->function, s->groups[group].ops[k]);
    for (uint32_t i = 0; i < op->n_operands; i++)
      if (op->operands[i] == v && s->groups[group].ops[k] != s->groups[group].rep)
        return false;
  }
  return true;
}

static double group_bytes(const struct cost *c, const struct space *s, uint32_t group,
                          sharding_id *const *operands, sharding_id *const *results) {
  const struct space_group *g = &s->groups[group];
  const struct function *f = s->function;
  double bytes = 0;
  for (uint32_t k = 0; k < g->n_ops; k++) {
    const struct op *op = function_op(f, g->ops[k]);
    for (uint32_t i = 0; i < op->n_operands; i++) {
      bool again = false;
      for (uint32_t j = 0; j < i; j++)
        again |= op->operands[j] == op->operands[i];
      if (!again && !is_of_group(s, group, op->operands[i]) && op->operands[i] != g->fused)
        bytes += operand_bytes(c, f, op, i, operands[k], results[k]);
    }
    bool stored = g->ops[k] == g->rep ||
                  (!g->heavy && is_read_outside(s, group, op->n_results ? op->results[0] : 0));
    for (uint32_t i = 0; i < op->n_results && stored; i++) {
      if (is_fused_into(s, group, op->results[i]))
        continue;
      bytes += op->kind == OP_UPDATE
                   ? cost_local_bytes(c, value_type(f, op->operands[1]), operands[k][1])
                   : cost_local_bytes(c, value_type(f, op->results[i]), results[k][i]);
    }
  }
  return bytes;
}

void cost_group(const struct cost *c, const struct space *s, uint32_t group,
                const struct op_split *splits, sharding_id *const *operands,
                sharding_id *const *results, struct space_choice *out) {
  const struct space_group *g = &s->groups[group];
  const struct op *rep = function_op(s->function, g->rep);
  struct arena scratch = {0};
  out->compute = out->memory = out->launch = 0;
  if (g->free || op_infos[rep->kind].flags & OP_FLAG_EFFECT)
    return;
  for (uint32_t k = 0; k < g->n_ops; k++)
    if (!g->heavy || g->ops[k] == g->rep)
      out->compute +=
          op_compute(c, s->function, function_op(s->function, g->ops[k]), &splits[k], &scratch);
  out->compute *= c->scale;
  out->memory =
      c->scale * machine_memory_time(c->machine, group_bytes(c, s, group, operands, results));
  out->launch = g->fused ? 0 : c->scale * c->machine->launch;
  arena_deinit(&scratch);
}

/* ---- conversions ---- */

static struct machine_group group_of_axes(const struct cost *c, const struct axis_ref *axes,
                                          uint32_t n) {
  struct machine_group out = {1, 1};
  for (uint32_t i = 0; i < n; i++) {
    int64_t size = axis_ref_size(c->mesh, &axes[i]),
            stride = axes[i].sub_size ? axes[i].sub_stride : 1;
    for (uint32_t a = axes[i].axis + 1; a < c->mesh->n_axes; a++)
      stride *= c->mesh->axes[a].size;
    out.size *= size;
    out.span = stride * size > out.span ? stride * size : out.span;
  }
  return out;
}

static double step_time(const struct cost *c, const struct type *type,
                        const struct conversion_step *x) {
  struct machine_group group = group_of_axes(c, x->axes, x->n_axes);
  double before = cost_local_bytes(c, type, x->before), after = cost_local_bytes(c, type, x->after);
  switch (x->kind) {
  case OP_ALL_REDUCE:
    return machine_collective_time(c->machine, COLLECTIVE_ALL_REDUCE, group, before);
  case OP_ALL_GATHER:
    return machine_collective_time(c->machine, COLLECTIVE_ALL_GATHER, group, after);
  case OP_REDUCE_SCATTER:
    return machine_collective_time(c->machine, COLLECTIVE_REDUCE_SCATTER, group, before);
  case OP_ALL_TO_ALL:
    return machine_collective_time(c->machine, COLLECTIVE_ALL_TO_ALL, group, before);
  case OP_PERMUTE: return machine_collective_time(c->machine, COLLECTIVE_PERMUTE, group, before);
  case OP_MERGE: {
    /* Every rank gathers the parts of all, which are f32 with a weight per row, and merges its own.
     */
    int64_t dims[IR_MAX_RANK];
    dims_of(c, type, dims);
    double width = type->rank ? (double)dims[type->rank - 1] : 1;
    double bytes = before * (width + 1) / width;
    if (x->dim == CONVERSION_NO_DIM)
      return machine_collective_time(c->machine, COLLECTIVE_ALL_GATHER, group,
                                     bytes * (double)group.size);
    return machine_collective_time(c->machine, COLLECTIVE_ALL_TO_ALL, group, bytes);
  }
  default: return 0;
  }
}

double cost_convert(const struct cost *c, const struct type *type, sharding_id from, sharding_id to,
                    struct arena *scratch) {
  struct conversion plan;
  double time = 0;
  if (!conversion_plan(c->module, type, c->mesh_id, from, to, scratch, &plan))
    return INFINITY;
  for (uint32_t i = 0; i < plan.n; i++)
    time += step_time(c, type, &plan.steps[i]);
  return c->scale * time;
}

double cost_convert_bytes(const struct cost *c, const struct type *type, sharding_id from,
                          sharding_id to, struct arena *scratch) {
  struct conversion plan;
  int64_t dims[IR_MAX_RANK];
  double elements = 0;
  if (!conversion_plan(c->module, type, c->mesh_id, from, to, scratch, &plan))
    return INFINITY;
  dims_of(c, type, dims);
  for (uint32_t i = 0; i < plan.n; i++)
    elements += (double)conversion_step_elements(c->module, &plan.steps[i], type->rank, dims);
  return elements * dtype_bits(type->dtype) / 8;
}

double cost_cut(const struct cost *c, const struct type *type, sharding_id from) {
  return c->scale * (c->machine->launch +
                     2 * machine_memory_time(c->machine, cost_local_bytes(c, type, from)));
}
