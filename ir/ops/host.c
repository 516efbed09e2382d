/* SPDX-License-Identifier: Apache-2.0 */
/* host: functions over strings, which the host computes (base/host_op.def). */
#include "ir/ops/eval_util.h"
#include "ir/ops/op_util.h"

static bool is_one_element(struct dim_table *t, const struct type *type) {
  return dim_is_const_value(t, type_elements(t, type), 1);
}

/* Operand i by its letter; elementwise ones narrow down the result's dims. */
static bool check_operand(const struct op_view *op, struct strbuf *why, uint32_t i, bool *first,
                          struct type *shape) {
  struct dim_table *t = op_dim_table(op);
  char letter = host_op_letter(VIEW_ATTRS(host, op)->function, i);
  const struct type *x = op_operand(op, i);
  if (!host_op_letter_takes(letter, x->dtype))
    return op_refuse(why, "operand %u may not be of %s", i, dtype_name(x->dtype));
  if (host_op_letter_is_parameter(letter)) {
    bool fits = letter == 'B' ? x->rank == 1 : is_one_element(t, x);
    return fits || op_refuse(why, "operand %u is no such parameter", i);
  }
  if (*first) {
    *shape = *x;
    *first = false;
    return true;
  }
  if (x->rank != shape->rank)
    return op_refuse(why, "operands of rank %u and %u", shape->rank, x->rank);
  for (uint32_t d = 0; d < x->rank; d++) {
    shape->dims[d] = op_dim_merge(t, shape->dims[d], x->dims[d]);
    if (shape->dims[d] == DIM_NONE)
      return op_refuse(why, "dim %u of operand %u is another one", d, i);
  }
  return true;
}

static bool infer(const struct op_view *op, struct strbuf *why, struct type *out_types,
                  uint32_t *out_n_types) {
  const struct host_attrs *a = VIEW_ATTRS(host, op);
  struct type shape = {0};
  bool first = true;
  if ((unsigned)a->function >= HOST_OP_COUNT || (unsigned)a->dtype >= DTYPE_COUNT)
    return op_refuse(why, "it has no such function or type");
  uint32_t n = host_op_operands(a->function);
  if (op->n_operands != n)
    return op_refuse(why, "%s takes %u operands", host_op_name(a->function), n);
  if (!host_op_letter_takes(host_op_letter(a->function, n), a->dtype))
    return op_refuse(why, "%s does not give %s", host_op_name(a->function), dtype_name(a->dtype));
  for (uint32_t i = 0; i < n; i++)
    if (!check_operand(op, why, i, &first, &shape))
      return false;
  *out_n_types = 1;
  return op_make_type(why, op_dim_table(op), a->dtype, shape.dims, shape.rank, out_types);
}

static status eval(struct interp *in, const struct op *op) {
  const struct host_attrs *a = OP_ATTRS(host, op);
  struct tensor *t = interp_result(in, op, 0);
  if (!t)
    return in->failure;
  struct host_call call = {.op = a->function,
                           .strings = &in->function->module->strings,
                           .out_dtype = a->dtype,
                           .elements = (uint64_t)t->count};
  for (uint32_t i = 0; i < op->n_operands; i++) {
    const struct tensor *x = interp_operand(in, op, i);
    uint64_t bytes;
    bool parameter = host_op_letter_is_parameter(host_op_letter(a->function, i));
    if (in->mode == INTERP_FIELD && dtype_is_float(x->dtype))
      return interp_fail(in, op, DIAG_E0622, "floats of the exact domain have no text");
    status s = parameter ? STATUS_OK : interp_check_dims(in, op, x, t->dims, false);
    if (s)
      return s;
    call.in[i] = tensor_to_bytes(&in->scratch, x, &bytes);
    call.in_dtype[i] = x->dtype;
    call.in_elements[i] = (uint64_t)x->count;
  }
  call.out = interp_scratch(in, op, call.elements, dtype_unpacked_bytes(a->dtype));
  if (!call.out)
    return in->failure;
  switch (host_op_run(&call)) {
  case HOST_OK: break;
  case HOST_NO_MEMORY: return interp_fail(in, op, DIAG_E0621, "strings need more memory");
  case HOST_BAD_VALUE:
    return interp_fail(in, op, DIAG_E0610, "host function '%s' does not take this value",
                       host_op_name(a->function));
  }
  tensor_read_bytes(t, call.out);
  return STATUS_OK;
}

const struct op_hooks host_hooks = {
    .infer = infer,
    .eval = eval,
};
