/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a module: its variables get addresses and values, its functions are decoded. */
#include "sim/exec/decode.h"
#include "sim/exec/device.h"

#include "base/mem.h"

static status bad(struct diags *d, uint32_t line, const char *what, const char *name) {
  struct diag_where where = DIAG_NOWHERE;
  where.line = line;
  where.file = "PTX";
  return diag_report(d, DIAG_E0752, &where, NULL, "variable '%s' %s", name, what);
}

static status place_shared(struct program *p, const struct ptx_variable *v, uint64_t size,
                           uint64_t align, struct diags *d, struct symbol *s) {
  uint64_t at = (p->shared_bytes + align - 1) & ~(align - 1);
  if (at + size > 1 << 20)
    return bad(d, v->line, "does not fit into shared memory", v->name);
  p->shared_bytes = (uint32_t)(at + size);
  s->address = at;
  return STATUS_OK;
}

static status place(struct program *p, const struct ptx_variable *v, struct diags *d) {
  uint64_t element = (uint64_t)ptx_type_bytes(v->type) * v->vector;
  uint64_t align = v->align ? v->align : element, size = v->unsized ? 0 : v->count * element;
  struct symbol s = {
      .name = v->name, .size = size, .space = (uint8_t)v->space, .managed = v->managed};
  if (!align || align & (align - 1) || v->space == SPACE_REG || v->space == SPACE_LOCAL)
    return bad(d, v->line, "has no place in a module", v->name);
  if (strmap_get_c(&p->symbol_map, v->name, NULL))
    return bad(d, v->line, "is declared twice", v->name);
  if (v->space == SPACE_SHARED) {
    status st = v->unsized ? STATUS_OK : place_shared(p, v, size, align, d, &s);
    if (st)
      return st;
  } else {
    if (v->external)
      return bad(d, v->line, "is external and defined nowhere", v->name);
    s.address = device_alloc(p->device, size ? size : 1,
                             v->managed                ? ALLOCATION_MANAGED
                             : v->space == SPACE_CONST ? ALLOCATION_CONST
                                                       : ALLOCATION_MODULE,
                             v->name);
    if (!s.address)
      return bad(d, v->line, "does not fit into the device's memory", v->name);
    memset((void *)(uintptr_t)s.address, 0, size);
  }
  vec_push(&p->symbols, s);
  strmap_put_c(&p->symbol_map, v->name, p->symbols.len - 1);
  return STATUS_OK;
}

/* Shared variables of functions follow those of the module, at the same place for each kernel, or
 * all apart where functions are called;
 * dynamic memory begins behind everything static, aligned for every use. */
static void place_dynamic(struct program *p) {
  uint64_t most = 0, all = 0;
  for (uint32_t k = 0; k < p->source.functions.len; k++) {
    const struct ptx_function *f = &p->source.functions.data[k];
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < f->variables.len; i++) {
      const struct ptx_variable *v = &f->variables.data[i];
      if (v->space == SPACE_SHARED && v->count <= 1 << 20)
        bytes += v->count * ptx_type_bytes(v->type) * v->vector + (v->align ? v->align : 16);
    }
    p->functions_called |= f->defined && !f->entry;
    all += bytes;
    most = bytes > most ? bytes : most;
  }
  if (p->functions_called)
    most = all;
  p->next_shared = p->shared_bytes;
  p->shared_bytes += (uint32_t)(most > 1 << 23 ? 1 << 23 : most);
  p->shared_bytes = (p->shared_bytes + 1023) & ~1023u;
  for (uint32_t k = 0; k < p->source.variables.len; k++)
    if (p->source.variables.data[k].space == SPACE_SHARED && p->source.variables.data[k].unsized)
      p->symbols.data[k].address = p->shared_bytes;
}

static status fill(struct program *p, const struct ptx_variable *v, const struct symbol *s,
                   struct diags *d) {
  uint32_t step = ptx_type_bytes(v->type);
  if (v->initials > v->count * v->vector)
    return bad(d, v->line, "has more initialisers than elements", v->name);
  if (v->initials && v->space == SPACE_SHARED)
    return bad(d, v->line, "is shared and cannot be initialised", v->name);
  for (uint32_t i = 0; i < v->initials; i++) {
    const struct ptx_initial *x = &v->initial[i];
    uint64_t bits = x->bits, index;
    if (x->symbol) {
      if (strmap_get_c(&p->symbol_map, x->symbol, &index))
        bits += p->symbols.data[index].address;
      else if (strmap_get_c(&p->function_map, x->symbol, &index))
        bits += index + 1;
      else
        return bad(d, v->line, "is initialised by a name that is not declared", v->name);
    } else if (x->kind == PTX_F64 && v->type == TYPE_f32) {
      double wide;
      memcpy(&wide, &bits, 8);
      float narrow = (float)wide;
      memcpy(&bits, &narrow, 4);
    }
    memcpy((uint8_t *)(uintptr_t)s->address + (uint64_t)i * step, &bits, step);
  }
  return STATUS_OK;
}

/* Of several texts that were linked, what one declares another may define. */
static void drop_declared(struct program *p) {
  struct strmap known;
  uint32_t kept = 0;
  strmap_init(&known);
  for (uint32_t k = 0; k < p->source.variables.len; k++)
    if (!p->source.variables.data[k].external)
      strmap_put_c(&known, p->source.variables.data[k].name, 0);
  for (uint32_t k = 0; k < p->source.variables.len; k++) {
    const struct ptx_variable *v = &p->source.variables.data[k];
    if (v->external && strmap_get_c(&known, v->name, NULL))
      continue;
    if (v->external)
      strmap_put_c(&known, v->name, 0);
    p->source.variables.data[kept++] = *v;
  }
  p->source.variables.len = kept;
  strmap_deinit(&known);
}

static status variables(struct program *p, struct diags *d) {
  drop_declared(p);
  for (uint32_t k = 0; k < p->source.variables.len; k++) {
    status st = place(p, &p->source.variables.data[k], d);
    if (st)
      return st;
  }
  for (uint32_t k = 0; k < p->source.variables.len; k++) {
    status st = fill(p, &p->source.variables.data[k], &p->symbols.data[k], d);
    if (st)
      return st;
  }
  return STATUS_OK;
}

/* A later definition takes the place of declarations. */
static void name_functions(struct program *p) {
  uint32_t n = p->source.functions.len;
  p->functions = ARENA_ARRAY(&p->arena, struct function, n);
  p->function_count = n;
  for (uint32_t k = 0; k < n; k++) {
    struct function *f = &p->functions[k];
    f->source = &p->source.functions.data[k];
    f->name = f->source->name;
    f->entry = f->source->entry;
    f->attribute_dynamic = 48 << 10;
    f->program = p;
    uint64_t before;
    if (!f->source->defined && strmap_get_c(&p->function_map, f->name, &before) &&
        p->functions[before].source->defined)
      continue;
    strmap_put_c(&p->function_map, f->name, k);
  }
}

/* What a frame of f and all that it calls need of a lane's local memory. */
static uint64_t stack_of(struct function *f, uint32_t depth) {
  if (f->stack_bytes)
    return f->stack_bytes;
  if (f->visiting || depth > 256) {
    f->recursive = true;
    return 0;
  }
  f->visiting = true;
  uint64_t most = 0;
  for (uint32_t k = 0; k < f->length; k++) {
    const struct call_site *c = f->code[k].call;
    f->recursive |= !strcmp(f->code[k].opcode, "alloca"); /* nobody knows how much */
    if (!c || c->builtin)
      continue;
    if (!c->callee || !c->callee->source->defined) {
      f->recursive = true;
      continue;
    }
    uint64_t need = stack_of(c->callee, depth + 1);
    f->recursive |= c->callee->recursive;
    most = need > most ? need : most;
  }
  f->visiting = false;
  f->stack_bytes = most + f->local_bytes + 16;
  return f->stack_bytes;
}

/* Records of shared memory stand for as many bytes as the narrowest access has. */
static void set_grain(struct program *p) {
  uint32_t least = 4;
  for (uint32_t k = 0; k < p->function_count; k++)
    for (uint32_t n = 0; n < p->functions[k].length; n++) {
      const struct inst *i = &p->functions[k].code[n];
      bool memory =
          i->opcode[0] == 'l' || i->opcode[0] == 's' || i->opcode[0] == 'a' || i->opcode[0] == 'r';
      uint32_t bytes = i->type < TYPE_COUNT ? ptx_type_bytes((enum ptx_type)i->type) : 4;
      if (memory && (i->space == IN_SHARED || i->space == IN_GENERIC) && bytes && bytes < least)
        least = bytes;
    }
  p->grain_shift = least == 1 ? 0 : least == 2 ? 1 : 2;
}

static status functions(struct program *p, struct diags *d) {
  status first = STATUS_OK;
  for (uint32_t k = 0; k < p->function_count; k++) {
    status st =
        p->functions[k].source->defined ? decode_function(p, &p->functions[k], d) : STATUS_OK;
    if (!first)
      first = st;
  }
  if (first)
    return first;
  for (uint32_t k = 0; k < p->function_count; k++)
    stack_of(&p->functions[k], 0);
  set_grain(p);
  return STATUS_OK;
}

status program_load(const char *text, size_t size, uint32_t device, struct diags *d,
                    struct program **out) {
  struct program *p = mem_calloc(1, sizeof *p);
  *out = NULL;
  arena_init(&p->arena);
  strmap_init(&p->symbol_map);
  strmap_init(&p->function_map);
  p->device = device;
  p->text = arena_strndup(&p->arena, text, size);
  p->text_size = size;
  status st = windows_init() ? STATUS_OK : STATUS_RESOURCES;
  if (!st)
    st = ptx_parse(text, size, "PTX", d, &p->source);
  if (!st && p->source.sm > 90) {
    struct diag_where where = DIAG_NOWHERE;
    where.file = "PTX";
    st = diag_report(d, DIAG_E0751, &where, NULL,
                     "target sm_%u is newer than the sm_90a that is simulated", p->source.sm);
  }
  if (!st) {
    name_functions(p);
    st = variables(p, d);
  }
  if (!st)
    place_dynamic(p);
  if (!st)
    st = functions(p, d);
  if (st) {
    program_unload(p);
    return st;
  }
  *out = p;
  return STATUS_OK;
}

void program_unload(struct program *p) {
  if (!p)
    return;
  for (uint32_t k = 0; k < p->symbols.len; k++)
    if (p->symbols.data[k].space != SPACE_SHARED)
      device_free(p->symbols.data[k].address);
  for (uint32_t k = 0; k < p->function_count; k++)
    vec_deinit(&p->functions[k].params);
  vec_deinit(&p->symbols);
  strmap_deinit(&p->symbol_map);
  strmap_deinit(&p->function_map);
  ptx_module_deinit(&p->source);
  arena_deinit(&p->arena);
  mem_free(p);
}

struct function *program_function(const struct program *p, const char *name) {
  uint64_t index;
  return strmap_get_c(&p->function_map, name, &index) ? &p->functions[index] : NULL;
}
