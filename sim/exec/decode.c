/* SPDX-License-Identifier: Apache-2.0 */
/* From statements with names to instructions with register slots and labels with numbers. */
#include "sim/exec/decode.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const modifier_words[] = {
#define MODIFIER(name, word) word,
#include "sim/ptx/modifier.def"
#undef MODIFIER
};
static const char *const special_names[] = {
#define SPECIAL(name, value) name,
#include "sim/exec/special.def"
#undef SPECIAL
};
_Static_assert(sizeof special_names / sizeof *special_names <= 64, "struct warp holds 64");

static const struct {
  const char *opcode, *pattern, *modifiers;
  bind_fn bind;
} rows[] = {
#define INST(opcode, pattern, modifiers, bind) {#opcode, pattern, modifiers, bind_##bind},
#include "sim/instruction.def"
#undef INST
};
enum { ROWS = sizeof rows / sizeof *rows, MAX_OPERANDS = 320 };

struct name_slot {
  enum ptx_space space;
  bool launch; /* a kernel's parameter */
  uint32_t offset, reg, bytes, count;
  uint8_t width;
};

struct decoder {
  struct program *program;
  struct function *function;
  const struct ptx_statement *statement;
  struct diags *diags;
  struct strmap names; /* "scope:name", ranges as "scope:prefix<" -> index into slots */
  VEC(struct name_slot) slots;
  VEC(uint8_t) constants;
  struct operand ops[MAX_OPERANDS];
  uint32_t count, writes;
  struct binding binding;
  uint32_t sink, local_base; /* slots of hidden registers */
  uint32_t shared_top;
  uint32_t addresses; /* of the statement, so far */
  bool failed;
};

static void fail(struct decoder *d, enum diag_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct decoder *d, enum diag_code code, const char *format, ...) {
  char text[400];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  struct diag_where where = DIAG_NOWHERE;
  where.file = d->function->name;
  where.line = d->statement ? d->statement->line : d->function->source->line;
  diag_report(d->diags, code, &where, NULL, "%s", text);
  d->failed = true;
}

/* Names. */

static uint32_t add_register(struct decoder *d, uint32_t width, uint32_t count) {
  struct function *f = d->function;
  uint32_t lane_bytes = width ? 32 * width : 4;
  f->register_bytes = (f->register_bytes + 31) & ~31u;
  struct name_slot slot = {.space = SPACE_REG,
                           .offset = f->register_bytes,
                           .reg = f->register_count,
                           .bytes = lane_bytes,
                           .count = count,
                           .width = (uint8_t)width};
  if ((uint64_t)f->register_bytes + (uint64_t)lane_bytes * count > 1u << 28) {
    fail(d, DIAG_E0752, "too many registers");
    return 0;
  }
  f->register_bytes += lane_bytes * count;
  f->register_count += count;
  vec_push(&d->slots, slot);
  return d->slots.len - 1;
}

static void add_name(struct decoder *d, uint32_t scope, const char *name, const char *end,
                     uint32_t slot) {
  char key[300];
  int n = snprintf(key, sizeof key, "%u:%s%s", scope, name, end);
  if (n >= (int)sizeof key || strmap_get(&d->names, key, (size_t)n, NULL)) {
    fail(d, DIAG_E0752, "name '%.200s' is declared twice or too long", name);
    return;
  }
  strmap_put(&d->names, key, (size_t)n, slot);
}

static void declare(struct decoder *d, const struct ptx_variable *v) {
  uint32_t width = ptx_type_bytes(v->type), slot;
  if (v->space == SPACE_REG) {
    if (width > 16 || v->vector != 1) {
      fail(d, DIAG_E0751, "register '%s' that is a vector is not simulated", v->name);
      return;
    }
    slot = add_register(d, width, (uint32_t)v->count);
  } else {
    uint64_t align = v->align ? v->align : (uint64_t)width * v->vector;
    uint64_t size = v->count * width * v->vector;
    uint32_t *top = v->space == SPACE_SHARED ? &d->shared_top : &d->function->local_bytes;
    if (!align || align & (align - 1) || size > 1 << 23) {
      fail(d, DIAG_E0752, "variable '%s' is too large or its alignment is no power of two",
           v->name);
      return;
    }
    uint64_t at = (*top + align - 1) & ~(align - 1);
    if (at + size > 1 << 23) {
      fail(d, DIAG_E0752, "variable '%s' does not fit", v->name);
      return;
    }
    *top = (uint32_t)(at + size);
    vec_push(&d->slots, ((struct name_slot){
                            .space = v->space, .offset = (uint32_t)at, .bytes = (uint32_t)size}));
    slot = d->slots.len - 1;
  }
  add_name(d, v->scope, v->name, v->range ? "<" : "", slot);
}

static bool find_in_scopes(struct decoder *d, const char *name, size_t len, const char *end,
                           uint64_t *slot) {
  const uint32_t *parents = d->function->source->scopes.data;
  for (uint32_t scope = d->statement->scope;; scope = parents[scope]) {
    char key[300];
    int n = snprintf(key, sizeof key, "%u:%.*s%s", scope, (int)len, name, end);
    if (n < (int)sizeof key && strmap_get(&d->names, key, (size_t)n, slot))
      return true;
    if (!scope)
      return false;
  }
}

static const struct name_slot *find_register(struct decoder *d, const char *name,
                                             struct operand *out) {
  uint64_t index, number = 0, scale = 1;
  size_t len = strlen(name);
  bool found = find_in_scopes(d, name, len, "", &index);
  if (!found) {
    while (len && name[len - 1] >= '0' && name[len - 1] <= '9' && scale < 1000000000) {
      number += scale * (uint64_t)(name[--len] - '0');
      scale *= 10;
    }
    found = scale > 1 && find_in_scopes(d, name, len, "<", &index);
  }
  if (!found)
    return NULL;
  const struct name_slot *slot = &d->slots.data[index];
  if (slot->space == SPACE_REG && number >= slot->count)
    return NULL;
  *out = (struct operand){.offset = slot->offset + (uint32_t)number * slot->bytes,
                          .reg = slot->reg + (uint32_t)number,
                          .bank = BANK_REGISTER,
                          .width = slot->width};
  return slot;
}

/* Operands. */

static struct operand *push(struct decoder *d, struct operand o) {
  if (d->count == MAX_OPERANDS) {
    fail(d, DIAG_E0751, "too many operands");
    d->count--;
  }
  d->ops[d->count++] = o;
  return &d->ops[d->count - 1];
}

static struct operand constant(struct decoder *d, uint64_t value, uint32_t width) {
  struct operand o = {.bank = BANK_CONSTANT, .width = (uint8_t)width, .offset = d->constants.len};
  uint32_t step = width ? width : 4;
  if (!width)
    value = value != 0 ? UINT32_MAX : 0;
  uint8_t lane[32 * 16] = {0};
  uint32_t bytes = (width ? 32 : 1) * step;
  for (uint32_t l = 0; l * step < bytes; l++)
    memcpy(lane + l * step, &value, step < 8 ? step : 8);
  vec_append(&d->constants, lane, bytes);
  while (d->constants.len % 32)
    vec_push(&d->constants, 0);
  return o;
}

static struct operand sink(struct decoder *d, uint32_t width) {
  const struct name_slot *s = &d->slots.data[d->sink];
  return (struct operand){.offset = s->offset, .reg = s->reg, .width = (uint8_t)width};
}

static bool find_special(struct decoder *d, const struct ptx_arg *a, struct operand *out) {
  if (a->name[0] != '%')
    return false;
  char name[64];
  snprintf(name, sizeof name, "%s%s%s", a->name + 1, a->suffix ? "." : "",
           a->suffix ? a->suffix : "");
  for (uint32_t i = 0; i < sizeof special_names / sizeof *special_names; i++)
    if (!strcmp(special_names[i], name)) {
      d->program->specials |= UINT64_C(1) << i;
      *out = (struct operand){.bank = BANK_SPECIAL, .width = 4, .offset = i * 128};
      if (!strcmp(name, "is_explicit_cluster"))
        out->width = 0; /* a predicate */
      return true;
    }
  return false;
}

/* Shared variables that a function names count against its limit. */
static const struct symbol *find_symbol(struct decoder *d, const char *name) {
  uint64_t index;
  if (!strmap_get_c(&d->program->symbol_map, name, &index))
    return NULL;
  const struct symbol *s = &d->program->symbols.data[index];
  if (s->space == SPACE_SHARED && s->address + s->size > d->function->shared_bytes && s->size)
    d->function->shared_bytes = (uint32_t)s->size > d->function->shared_bytes
                                    ? (uint32_t)s->size
                                    : d->function->shared_bytes;
  return s;
}

static uint64_t float_bits(const struct ptx_arg *a, enum ptx_type type) {
  if (a->kind != PTX_F64 || type != TYPE_f32)
    return a->bits;
  double value;
  memcpy(&value, &a->bits, 8);
  float narrow = (float)value;
  uint32_t bits;
  memcpy(&bits, &narrow, 4);
  return bits;
}

/* A source or destination as wide as its register. */
#define ANY_WIDTH UINT32_MAX

/* A source of `width` bytes; loose: registers may be wider. */
static void source(struct decoder *d, const struct ptx_arg *a, uint32_t width, bool loose,
                   enum ptx_type type) {
  struct operand o = {0};
  uint32_t fixed = width == ANY_WIDTH ? 8 : width; /* of a constant */
  if (a->kind == PTX_INT || a->kind == PTX_F32 || a->kind == PTX_F64) {
    push(d, constant(d, float_bits(a, type), fixed));
    return;
  }
  if (a->kind != PTX_NAME || a->minus) {
    fail(d, DIAG_E0751, "operand %u of '%s' has a form that is not simulated", d->count + 1,
         d->statement->opcode);
    return;
  }
  const struct name_slot *slot = find_register(d, a->name, &o);
  if (slot && a->suffix) {
    fail(d, DIAG_E0751, "a part of a register is not simulated: '%s.%s'", a->name, a->suffix);
    return;
  }
  if (!strcmp(a->name, "WARP_SZ")) {
    o = constant(d, 32, fixed);
  } else if (slot &&
             (slot->space == SPACE_LOCAL || (slot->space == SPACE_PARAM && !slot->launch))) {
    /* its address: the frame's base, and the offset that `mov` adds */
    const struct name_slot *base = &d->slots.data[d->local_base];
    o = (struct operand){.offset = base->offset, .reg = base->reg, .width = 4};
    d->binding.inst->imm = (int64_t)(slot->offset + a->bits);
    d->binding.inst->space = IN_LOCAL;
    loose = true;
    if (width > 4)
      width = 4;
  } else if (slot && slot->space == SPACE_SHARED) {
    o = constant(d, slot->offset + a->bits, fixed);
  } else if (slot && slot->space == SPACE_PARAM) {
    if (d->statement->opcode[0] != 'm') {
      fail(d, DIAG_E0751, "the address of parameter '%s' is not simulated here", a->name);
      return;
    }
    o = constant(d, slot->offset + a->bits, fixed);
    d->binding.inst->space = IN_ENTRY_PARAM;
  } else if (!slot && !find_special(d, a, &o)) {
    const struct symbol *s = find_symbol(d, a->name);
    uint64_t index;
    if (!s && !strmap_get_c(&d->program->function_map, a->name, &index)) {
      fail(d, DIAG_E0752,
           "'%s%s%s' is not declared, or is a special register that is not simulated", a->name,
           a->suffix ? "." : "", a->suffix ? a->suffix : "");
      return;
    }
    o = constant(d, s ? s->address + a->bits : index + 1, fixed);
  }
  o.negated = a->negated;
  if (a->negated && o.width)
    fail(d, DIAG_E0752, "'!%s' is no predicate", a->name);
  if (width == ANY_WIDTH)
    width = o.width;
  if (loose ? (o.width < width || (!width && o.width)) : o.width != width)
    fail(d, DIAG_E0752, "operand '%s' of '%s' has %u bits where %u are needed", a->name,
         d->statement->opcode, o.width * 8, width * 8);
  push(d, o);
}

static void destination(struct decoder *d, const struct ptx_arg *a, uint32_t width, bool loose) {
  struct operand o = {0};
  if (a->kind == PTX_NAME && !strcmp(a->name, "_")) {
    push(d, sink(d, width == ANY_WIDTH ? 8 : width));
  } else {
    const struct name_slot *slot = a->kind == PTX_NAME ? find_register(d, a->name, &o) : NULL;
    if (!slot || slot->space != SPACE_REG) {
      fail(d, DIAG_E0752, "the destination of '%s' is no register", d->statement->opcode);
      return;
    }
    if (width == ANY_WIDTH)
      width = o.width;
    if (loose ? o.width < width : o.width != width)
      fail(d, DIAG_E0752, "destination '%s' of '%s' has %u bits where %u are needed", a->name,
           d->statement->opcode, o.width * 8, width * 8);
    push(d, o);
  }
  d->writes = d->count;
}

static void address(struct decoder *d, const struct ptx_arg *a, bool tensor) {
  struct inst *i = d->binding.inst;
  struct operand o = {0};
  int64_t *offset = d->addresses ? &i->more[d->addresses - 1] : &i->imm;
  if (a->kind != PTX_ADDRESS || (a->count && !tensor) || d->addresses++ > 2) {
    fail(d, DIAG_E0751, "the address of '%s' has a form that is not simulated",
         d->statement->opcode);
    return;
  }
  *offset = (int64_t)a->bits;
  if (!a->name) {
    *offset = 0;
    push(d, constant(d, a->bits, 8));
    return;
  }
  const struct name_slot *slot = find_register(d, a->name, &o);
  if (slot && slot->space == SPACE_REG) {
    if (o.width != 4 && o.width != 8)
      fail(d, DIAG_E0752, "address register '%s' has neither 32 nor 64 bits", a->name);
    push(d, o);
    return;
  }
  if (slot && (slot->space == SPACE_LOCAL || (slot->space == SPACE_PARAM && !slot->launch))) {
    const struct name_slot *base = &d->slots.data[d->local_base];
    *offset += slot->offset;
    i->space = IN_LOCAL;
    push(d, (struct operand){.offset = base->offset, .reg = base->reg, .width = 4});
    return;
  }
  const struct symbol *s = slot ? NULL : find_symbol(d, a->name);
  if (!slot && !s) {
    fail(d, DIAG_E0752, "'%s' is not declared", a->name);
    return;
  }
  push(d, constant(d, slot ? slot->offset : s->address, 8));
}

/* A vector in braces or a single one. */
static void each(struct decoder *d, const struct ptx_arg *a, uint32_t width, bool write) {
  const struct ptx_arg *items = a->kind == PTX_VECTOR ? a->items : a;
  uint32_t n = a->kind == PTX_VECTOR ? a->count : 1;
  if (n != d->binding.inst->vector)
    fail(d, DIAG_E0752, "'%s' has a vector of %u where %u are needed", d->statement->opcode, n,
         d->binding.inst->vector);
  for (uint32_t i = 0; i < n && !d->failed; i++)
    if (write)
      destination(d, &items[i], width, true);
    else
      source(d, &items[i], width, true, d->binding.types[0]);
}

/* As many as are written, each as wide as its register. */
static void list(struct decoder *d, const struct ptx_arg *a, bool write) {
  const struct ptx_arg *items = a->kind == PTX_VECTOR ? a->items : a;
  uint32_t n = a->kind == PTX_VECTOR ? a->count : 1;
  for (uint32_t k = 0; k < n && !d->failed; k++)
    if (write)
      destination(d, &items[k], ANY_WIDTH, true);
    else
      source(d, &items[k], ANY_WIDTH, true, d->binding.types[0]);
}

static bool find_label(struct decoder *d, const char *name, uint32_t *at) {
  const struct ptx_function *f = d->function->source;
  for (uint32_t scope = d->statement->scope;; scope = f->scopes.data[scope]) {
    for (uint32_t i = 0; i < f->labels.len; i++)
      if (f->labels.data[i].scope == scope && !strcmp(f->labels.data[i].name, name)) {
        *at = f->labels.data[i].at;
        return true;
      }
    if (!scope)
      return false;
  }
}

static void branch_targets(struct decoder *d, const struct ptx_arg *a) {
  const struct ptx_function *f = d->function->source;
  struct inst *i = d->binding.inst;
  for (uint32_t k = 0; k < f->targets.len; k++) {
    const struct ptx_targets *t = &f->targets.data[k];
    if (a->kind != PTX_NAME || strcmp(t->name, a->name))
      continue;
    uint32_t *all = ARENA_ARRAY(&d->program->arena, uint32_t, t->count);
    i->targets = all;
    i->target_count = t->count;
    for (uint32_t n = 0; n < t->count; n++)
      if (!find_label(d, t->items[n], &all[n]))
        fail(d, DIAG_E0752, "branch target '%s' is no label", t->items[n]);
    return;
  }
  fail(d, DIAG_E0752, "the targets of 'brx.idx' are not declared");
}

static void operand(struct decoder *d, char letter, const struct ptx_arg *a) {
  struct binding *b = &d->binding;
  enum ptx_type first = b->type_count ? b->types[0] : TYPE_b32;
  enum ptx_type last = b->type_count ? b->types[b->type_count - 1] : TYPE_b32;
  uint32_t bytes = ptx_type_bytes(first), wide = has(b, MOD_wide) ? 2 * bytes : bytes;
  switch (letter) {
  case 'd': destination(d, a, wide, false); break;
  case 'c': source(d, a, wide, false, first); break;
  case 's': source(d, a, bytes, false, first); break;
  case 't': source(d, a, ptx_type_bytes(last), false, last); break;
  case 'u': source(d, a, 4, false, TYPE_u32); break;
  case 'p': source(d, a, 0, false, TYPE_pred); break;
  case 'q': destination(d, a, 0, false); break;
  case 'k': destination(d, a, first == TYPE_pred ? 0 : 4, false); break;
  case 'w': destination(d, a, 4, true); break;
  case 'x': destination(d, a, first == TYPE_b8 ? 1 : bytes, true); break;
  case 'y': source(d, a, ptx_type_bytes(last), true, last); break;
  case 'v': each(d, a, bytes, true); break;
  case 'V': each(d, a, bytes, false); break;
  case 'm': address(d, a, false); break;
  case 'M': { /* a tensor map with coordinates */
    static const struct ptx_arg none = {.kind = PTX_VECTOR};
    address(d, a, true);
    b->inst->part[b->inst->parts++] = (uint16_t)d->count;
    list(d, a->count == 1 ? a->items : &none, false);
    break;
  }
  case 'D': list(d, a, true); break;
  case 'S': list(d, a, false); break;
  case 'T': branch_targets(d, a); break;
  case 'Q':
  case 'N':
  case 'n':
    destination(d, a->kind == PTX_PAIR ? &a->items[0] : a,
                letter == 'Q'   ? 0
                : letter == 'N' ? 4
                                : bytes,
                false);
    if (a->kind == PTX_PAIR)
      destination(d, &a->items[1], 0, false);
    else
      push(d, sink(d, 0)), d->writes = d->count;
    break;
  case 'l':
    if (a->kind != PTX_NAME || !find_label(d, a->name, &b->inst->target))
      fail(d, DIAG_E0752, "the branch goes to '%s', which is no label", a->name ? a->name : "");
    break;
  default: break;
  }
}

/* Modifiers. */

static bool listed(const char *list, const char *word) {
  size_t n = strlen(word);
  for (const char *at = list; (at = strstr(at, word)); at += n)
    if ((at == list || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
      return true;
  return false;
}

static void modifiers(struct decoder *d, const char *allowed) {
  struct binding *b = &d->binding;
  for (uint32_t i = 0; i < d->statement->modifier_count; i++) {
    const char *word = d->statement->modifiers[i];
    enum ptx_type t = ptx_type_find(word);
    if (t != TYPE_NONE && b->type_count < 5) {
      b->types[b->type_count++] = t;
      continue;
    }
    unsigned shape[3], end = 0;
    if (sscanf(word, "m%un%uk%u%n", &shape[0], &shape[1], &shape[2], &end) == 3 && !word[end] &&
        listed(allowed, "shape")) {
      for (uint32_t k = 0; k < 3; k++)
        b->inst->shape[k] = (uint16_t)(shape[k] > 512 ? 0 : shape[k]);
      continue;
    }
    uint32_t m = 0;
    while (m < MOD_COUNT && strcmp(modifier_words[m], word))
      m++;
    if (m == MOD_COUNT || !listed(allowed, word) || b->order_count == 16) {
      fail(d, DIAG_E0751, "modifier '.%s' of '%s' is not simulated", word, d->statement->opcode);
      return;
    }
    b->mods[m / 64] |= UINT64_C(1) << m % 64;
    b->order[b->order_count++] = (enum modifier)m;
  }
}

static void settle(struct binding *b) {
  struct inst *i = b->inst;
  i->type = (uint8_t)(b->type_count ? b->types[0] : TYPE_NONE);
  i->source_type = (uint8_t)(b->type_count ? b->types[b->type_count - 1] : TYPE_NONE);
  i->vector = has(b, MOD_v2) ? 2 : has(b, MOD_v4) ? 4 : has(b, MOD_v8) ? 8 : 1;
  i->ftz = has(b, MOD_ftz);
  i->sat = has(b, MOD_sat);
  i->relu = has(b, MOD_relu);
  i->noncoherent = has(b, MOD_nc);
  i->integral = has(b, MOD_rni) || has(b, MOD_rzi) || has(b, MOD_rmi) || has(b, MOD_rpi);
  i->rounding = has(b, MOD_rz) || has(b, MOD_rzi)   ? ROUND_ZERO
                : has(b, MOD_rm) || has(b, MOD_rmi) ? ROUND_DOWN
                : has(b, MOD_rp) || has(b, MOD_rpi) ? ROUND_UP
                : has(b, MOD_rna)                   ? ROUND_AWAY
                                                    : ROUND_NEAREST;
  i->space =
      has(b, MOD_global)                                                           ? IN_GLOBAL
      : has(b, MOD_shared) || has(b, MOD_shared_cta) || has(b, MOD_shared_cluster) ? IN_SHARED
      : has(b, MOD_local)                                                          ? IN_LOCAL
      : has(b, MOD_const)                                                          ? IN_CONST
      : has(b, MOD_param) || has(b, MOD_param_entry) || has(b, MOD_param_func)     ? IN_ENTRY_PARAM
                                                                                   : IN_GENERIC;
  i->strong = has(b, MOD_volatile) || has(b, MOD_relaxed) || has(b, MOD_acquire) ||
              has(b, MOD_release) || has(b, MOD_acq_rel);
  i->member = 255;
}

enum modifier first_of(const struct binding *b, const enum modifier *list) {
  while (*list != MOD_COUNT && !has(b, *list))
    list++;
  return *list;
}

static void finish(struct decoder *d, bind_fn bind) {
  struct inst *i = d->binding.inst;
  if (d->failed)
    return;
  i->count = (uint16_t)d->count;
  i->writes = (uint16_t)d->writes;
  i->op =
      arena_memdup(&d->program->arena, d->count ? d->ops : (void *)"", d->count * sizeof *d->ops);
  i->fn = bind(&d->binding);
  if (!i->fn)
    fail(d, DIAG_E0751, "this form of '%s' is not simulated%s%s", d->statement->opcode,
         d->binding.why ? ": " : "", d->binding.why ? d->binding.why : "");
}

/* `mov` that packs or unpacks a vector, or reads a clock. */
static bool special_move(struct decoder *d, const struct ptx_statement *s) {
  if (s->arg_count != 2)
    return false;
  const struct ptx_arg *to = &s->args[0], *from = &s->args[1];
  bool clock = from->kind == PTX_NAME &&
               (!strncmp(from->name, "%clock", 6) || !strncmp(from->name, "%globaltimer", 12));
  uint32_t bytes = d->binding.type_count ? ptx_type_bytes(d->binding.types[0]) : 0;
  if (clock) {
    destination(d, to, bytes, false);
    d->binding.inst->aux[0] = strstr(from->name, "_hi") ? 32 : 0;
    finish(d, bind_mov_clock);
    return true;
  }
  if (to->kind != PTX_VECTOR && from->kind != PTX_VECTOR)
    return false;
  uint32_t n = to->kind == PTX_VECTOR ? to->count : from->count;
  if (n < 2 || n > 8 || bytes % n || (to->kind == PTX_VECTOR && from->kind == PTX_VECTOR)) {
    fail(d, DIAG_E0751, "this vector move is not simulated");
    return true;
  }
  if (to->kind == PTX_VECTOR)
    for (uint32_t k = 0; k < n && !d->failed; k++)
      destination(d, &to->items[k], bytes / n, false);
  else
    destination(d, to, bytes, false);
  if (from->kind == PTX_VECTOR)
    for (uint32_t k = 0; k < n && !d->failed; k++)
      source(d, &from->items[k], bytes / n, false, TYPE_NONE);
  else if (!d->failed)
    source(d, from, bytes, false, TYPE_NONE);
  finish(d, bind_mov_vector);
  return true;
}

/* The row whose opcode and leading modifiers are the longest of those that fit. */
static uint32_t find_row(const struct ptx_statement *s) {
  char name[160];
  int n = snprintf(name, sizeof name, "%s", s->opcode);
  uint32_t best = ROWS;
  for (uint32_t k = 0; n < (int)sizeof name; k++) {
    for (uint32_t row = 0; row < ROWS; row++)
      if (!strcmp(rows[row].opcode, name))
        best = row;
    if (k == s->modifier_count || k == 5)
      break;
    n += snprintf(name + n, sizeof name - (size_t)n, ".%s", s->modifiers[k]);
  }
  return best;
}

/* One argument: a .param variable or a register or a constant. */
static void argument(struct decoder *d, const struct ptx_arg *a, bool result,
                     struct call_argument *out) {
  struct operand o = {0};
  const struct name_slot *slot = a->kind == PTX_NAME ? find_register(d, a->name, &o) : NULL;
  if (slot && slot->space == SPACE_PARAM && !slot->launch) {
    *out = (struct call_argument){.in_memory = true, .offset = slot->offset, .size = slot->bytes};
    return;
  }
  if (result)
    destination(d, a, ANY_WIDTH, true);
  else
    source(d, a, ANY_WIDTH, true, TYPE_NONE);
  if (!d->failed)
    *out = (struct call_argument){.value = d->ops[d->count - 1]};
}

/* call (results), function, (arguments) with each part but the function optional; an indirect one
 * ends with a prototype or a list of targets, which say nothing that the functions do not. */
static void call(struct decoder *d, const struct ptx_statement *s) {
  uint32_t at = 0;
  const struct ptx_arg *results =
      s->arg_count && s->args[0].kind == PTX_LIST ? &s->args[at++] : NULL;
  const struct ptx_arg *name =
      at < s->arg_count && s->args[at].kind == PTX_NAME ? &s->args[at++] : NULL;
  const struct ptx_arg *given =
      at < s->arg_count && s->args[at].kind == PTX_LIST ? &s->args[at] : NULL;
  if (!name) {
    fail(d, DIAG_E0752, "'call' names no function");
    return;
  }
  struct call_site *c = arena_alloc(&d->program->arena, sizeof *c);
  *c = (struct call_site){.results = results ? results->count : 0};
  c->count = c->results + (given ? given->count : 0);
  c->arguments = ARENA_ARRAY(&d->program->arena, struct call_argument, c->count + 1);
  for (uint32_t k = 0; k < c->count && !d->failed; k++)
    argument(d, k < c->results ? &results->items[k] : &given->items[k - c->results], k < c->results,
             &c->arguments[k]);
  uint64_t index;
  struct operand o;
  struct function *f = NULL;
  if (strmap_get_c(&d->program->function_map, name->name, &index))
    f = &d->program->functions[index];
  if (f && f->source->defined) {
    c->callee = f;
    uint32_t want = f->source->params.len + f->source->returns.len;
    if (c->count != want || c->results != f->source->returns.len)
      fail(d, DIAG_E0752, "'%s' is called with %u results and arguments where it has %u", f->name,
           c->count, want);
  } else if (f) {
    c->builtin = builtin_find(f->name);
    if (!c->builtin)
      fail(d, DIAG_E0752, "function '%s' is declared and defined nowhere", f->name);
  } else if (find_register(d, name->name, &o) && o.width == 8) {
    push(d, o);
  } else {
    fail(d, DIAG_E0752, "'call' of '%s', which is no function", name->name);
  }
  struct inst *i = d->binding.inst;
  i->call = c;
  i->flow = FLOW_CONTROL;
  i->count = (uint16_t)d->count;
  i->writes = (uint16_t)d->writes;
  i->op =
      arena_memdup(&d->program->arena, d->count ? d->ops : (void *)"", d->count * sizeof *d->ops);
  i->fn = call_exec;
}

static void statement(struct decoder *d, const struct ptx_statement *s, struct inst *i) {
  d->statement = s;
  d->count = d->writes = d->addresses = 0;
  d->binding = (struct binding){.inst = i};
  i->line = s->line;
  i->opcode = s->opcode;
  uint32_t row = find_row(s);
  if (row == ROWS) {
    fail(d, DIAG_E0751, "instruction '%s' is not simulated", s->opcode);
    return;
  }
  modifiers(d, rows[row].modifiers);
  if (d->failed)
    return;
  settle(&d->binding);
  if (s->guard) {
    if (!find_register(d, s->guard, &i->guard) || i->guard.width)
      fail(d, DIAG_E0752, "guard '%s' is no predicate", s->guard);
    i->guarded = true;
    i->guard.negated = s->guard_negated;
  }
  if (!strcmp(s->opcode, "mov") && special_move(d, s))
    return;
  if (!strcmp(s->opcode, "call")) {
    call(d, s);
    return;
  }
  uint32_t used = 0;
  bool optional = false;
  const char *other = strchr(rows[row].pattern, '|');
  bool second = other && s->arg_count && !s->args[0].count;
  for (const char *p = second ? other + 1 : rows[row].pattern; *p && *p != '|' && !d->failed; p++) {
    if (*p == '?')
      optional = true;
    else if (used < s->arg_count) {
      if (i->parts < 9)
        i->part[i->parts++] = (uint16_t)d->count;
      operand(d, *p, &s->args[used++]);
    } else if (!optional)
      fail(d, DIAG_E0752, "'%s' has too few operands", s->opcode);
  }
  if (!d->failed && used < s->arg_count)
    fail(d, DIAG_E0752, "'%s' has more operands than are simulated", s->opcode);
  finish(d, rows[row].bind);
}

static void formal(struct decoder *d, const struct ptx_variable *v) {
  struct function *f = d->function;
  uint64_t size = ptx_type_bytes(v->type) * v->count * v->vector;
  uint64_t align = v->align ? v->align : (uint64_t)ptx_type_bytes(v->type) * v->vector;
  uint32_t *top = f->entry ? &f->param_bytes : &f->local_bytes;
  struct parameter made = {.name = v->name, .size = (uint32_t)size, .align = (uint32_t)align};
  if (v->space == SPACE_REG && !f->entry) {
    uint32_t slot = add_register(d, ptx_type_bytes(v->type), 1);
    const struct name_slot *s = &d->slots.data[slot];
    made.in_register = true;
    made.reg = (struct operand){.offset = s->offset, .reg = s->reg, .width = s->width};
    add_name(d, 0, v->name, "", slot);
    vec_push(&f->params, made);
    return;
  }
  if (v->space != SPACE_PARAM || !align || align & (align - 1) || size > 32768) {
    fail(d, DIAG_E0751, "parameter '%s' has a form that is not simulated", v->name);
    return;
  }
  uint64_t at = (*top + align - 1) & ~(align - 1);
  if (at + size > 32764) {
    fail(d, DIAG_E0752, "the parameters need more than 32,764 bytes");
    return;
  }
  made.offset = (uint32_t)at;
  *top = (uint32_t)(at + size);
  vec_push(&f->params, made);
  vec_push(&d->slots, ((struct name_slot){.space = SPACE_PARAM,
                                          .launch = f->entry,
                                          .offset = (uint32_t)at,
                                          .bytes = (uint32_t)size}));
  add_name(d, 0, v->name, "", d->slots.len - 1);
}

static void parameters(struct decoder *d) {
  const struct ptx_function *s = d->function->source;
  for (uint32_t k = 0; k < s->returns.len && !d->failed; k++)
    formal(d, &s->returns.data[k]);
  d->function->results = s->returns.len;
  for (uint32_t k = 0; k < s->params.len && !d->failed; k++)
    formal(d, &s->params.data[k]);
}

/* A `ret` behind the last statement, so that the program counter always stands on something. */
static void body(struct decoder *d) {
  struct function *f = d->function;
  const struct ptx_function *s = f->source;
  f->length = s->statements.len + 1;
  f->code = ARENA_ARRAY(&d->program->arena, struct inst, f->length);
  for (uint32_t k = 0; k < s->statements.len; k++) {
    bool before = d->failed;
    d->failed = false;
    statement(d, &s->statements.data[k], &f->code[k]);
    d->failed |= before;
  }
  static const struct ptx_statement end = {.opcode = "ret"};
  struct ptx_statement last = end;
  last.line = s->statements.len ? s->statements.data[s->statements.len - 1].line : s->line;
  if (!d->failed)
    statement(d, &last, &f->code[f->length - 1]);
  for (uint32_t k = 0; k < s->labels.len; k++)
    f->code[s->labels.data[k].at].leader = true;
  for (uint32_t k = 0; k + 1 < f->length; k++)
    if (f->code[k].call)
      f->code[k + 1].leader = true;
}

status decode_function(struct program *p, struct function *f, struct diags *diags) {
  struct decoder d = {.program = p, .function = f, .diags = diags, .shared_top = p->next_shared};
  f->program = p;
  strmap_init(&d.names);
  d.sink = add_register(&d, 16, 1);
  d.local_base = add_register(&d, 4, 1);
  parameters(&d);
  for (uint32_t k = 0; k < f->source->variables.len; k++)
    declare(&d, &f->source->variables.data[k]);
  if (!d.failed)
    body(&d);
  f->local_bytes = (f->local_bytes + 15) & ~15u;
  f->constants = arena_alloc(&p->arena, d.constants.len + 64);
  f->constants += -(uintptr_t)f->constants & 31;
  if (d.constants.len)
    memcpy(f->constants, d.constants.data, d.constants.len);
  f->decoded = !d.failed;
  f->shared_bytes += d.shared_top - p->next_shared;
  f->shared_end = d.shared_top;
  if (p->functions_called)
    p->next_shared = d.shared_top;
  strmap_deinit(&d.names);
  vec_deinit(&d.slots);
  vec_deinit(&d.constants);
  return d.failed ? STATUS_UNSUPPORTED : STATUS_OK;
}
