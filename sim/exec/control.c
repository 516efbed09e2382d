/* SPDX-License-Identifier: Apache-2.0 */
/* Branches, calls and returns: what moves groups of lanes. */
#include "sim/exec/decode.h"

static void bra(struct warp *w, const struct inst *i, uint32_t mask) {
  struct group *g = &w->groups[w->current];
  uint32_t rest = g->mask & ~mask;
  if (!rest) {
    w->pc = i->target;
    return;
  }
  w->pc++;
  warp_split(w, mask, w->frame, i->target);
}
exec_fn bind_bra(struct binding *b) {
  b->inst->flow = FLOW_CONTROL;
  return bra;
}

/* The lanes of `mask` whose operand equals that of the first of them. */
static uint32_t same_as_first(struct warp *w, const struct operand *o, uint32_t mask) {
  uint64_t first = lane_get(w, o, (uint32_t)__builtin_ctz(mask));
  uint32_t same = 0;
  EACH_LANE(l, mask)
  same |= (uint32_t)(lane_get(w, o, l) == first) << l;
  return same;
}

static void brx(struct warp *w, const struct inst *i, uint32_t mask) {
  struct frame *frame = w->frame;
  w->pc++;
  while (mask) {
    uint32_t lane = (uint32_t)__builtin_ctz(mask), part = same_as_first(w, &i->op[0], mask);
    uint64_t index = lane_get(w, &i->op[0], lane);
    if (index >= i->target_count) {
      memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_INSTRUCTION,
                          "branch %llu of a list of %u targets", (unsigned long long)index,
                          i->target_count);
      return;
    }
    warp_split(w, part, frame, i->targets[index]);
    mask &= ~part;
  }
}
exec_fn bind_brx(struct binding *b) {
  b->inst->flow = FLOW_CONTROL;
  return has(b, MOD_idx) ? brx : NULL;
}

/* Calls. */

static uint8_t *local_of(struct warp *w, const struct frame *f, uint32_t lane, uint32_t offset) {
  return w->local + (uint64_t)lane * w->local_bytes + f->local_base + offset;
}

static void put_register(struct frame *f, const struct operand *o, uint32_t lane,
                         const uint8_t *bytes) {
  if (!o->width) {
    uint32_t *word = (uint32_t *)(void *)(f->registers + o->offset);
    *word = (*word & ~(1u << lane)) | (uint32_t)(bytes[0] & 1) << lane;
  } else {
    memcpy(f->registers + o->offset + (size_t)lane * o->width, bytes, o->width);
  }
  f->written[o->reg] |= 1u << lane;
}
static void get_register(struct frame *f, const struct operand *o, uint32_t lane, uint8_t *bytes) {
  if (!o->width)
    bytes[0] = *(uint32_t *)(void *)(f->registers + o->offset) >> lane & 1;
  else
    memcpy(bytes, f->registers + o->offset + (size_t)lane * o->width, o->width);
}

/* An argument goes into the callee's frame, or a result back into the caller's. */
static void pass(struct warp *w, struct frame *caller, struct frame *callee,
                 const struct call_argument *a, const struct parameter *p, uint32_t lane,
                 bool result) {
  uint8_t bytes[16] = {0};
  uint32_t n = p->in_register ? p->reg.width : p->size;
  n = a->in_memory && a->size < n ? a->size : n;
  uint8_t *inside = p->in_register ? bytes : local_of(w, callee, lane, p->offset);
  if (result) {
    if (p->in_register)
      get_register(callee, &p->reg, lane, bytes);
    if (a->in_memory)
      memcpy(local_of(w, caller, lane, a->offset), inside, n);
    else
      put_register(caller, &a->value, lane, inside);
    return;
  }
  if (a->in_memory) {
    memcpy(inside, local_of(w, caller, lane, a->offset), n);
  } else {
    uint64_t v = lane_get(w, &a->value, lane);
    memcpy(inside, &v, n < 8 ? n : 8);
  }
  if (p->in_register)
    put_register(callee, &p->reg, lane, bytes);
}

static bool enter_function(struct warp *w, const struct inst *i, uint32_t mask,
                           const struct function *f, struct frame *caller) {
  const struct call_site *c = i->call;
  struct frame *frame = frame_create(f, caller, mask);
  int lane = __builtin_ctz(mask);
  if (!frame) {
    memory_fault_report(w, i, lane, FAULT_OUT_OF_MEMORY, "no memory for a call");
    return false;
  }
  if (frame->local_base + f->local_bytes > w->local_bytes) {
    memory_fault_report(w, i, lane, FAULT_LAUNCH_FAILED,
                        "stack overflow: call of '%s' at depth %u needs byte %u of a stack of %u "
                        "(cuCtxSetLimit raises it)",
                        f->name, frame->depth, frame->local_base + f->local_bytes, w->local_bytes);
    frame_destroy(frame);
    return false;
  }
  frame->call = c;
  frame->return_pc = w->pc;
  EACH_LANE(l, mask)
  for (uint32_t k = c->results; k < c->count; k++)
    pass(w, caller, frame, &c->arguments[k], &f->params.data[k], l, false);
  warp_split(w, mask, frame, 0);
  return true;
}

static void call(struct warp *w, const struct inst *i, uint32_t mask) {
  const struct call_site *c = i->call;
  struct frame *caller = w->frame;
  w->pc++;
  if (c->builtin) {
    c->builtin->run(w, i, mask);
    return;
  }
  if (c->callee) {
    enter_function(w, i, mask, c->callee, caller);
    return;
  }
  const struct operand *o = &i->op[i->count - 1];
  const struct program *p = w->cta->launch->program;
  while (mask) {
    uint32_t lane = (uint32_t)__builtin_ctz(mask), part = same_as_first(w, o, mask);
    uint64_t index = lane_get(w, o, lane) - 1;
    const struct function *f = index < p->function_count ? &p->functions[index] : NULL;
    if (!f || f->entry || !f->decoded || f->params.len != c->count || f->results != c->results) {
      memory_fault_report(w, i, (int)lane, FAULT_ILLEGAL_INSTRUCTION,
                          "indirect call of 0x%llx, which is no function of this form",
                          (unsigned long long)(index + 1));
      return;
    }
    if (!enter_function(w, i, part, f, caller))
      return;
    mask &= ~part;
  }
}
const exec_fn call_exec = call;
exec_fn bind_call(struct binding *b) {
  (void)b;
  return call;
}

static void leave(struct warp *w, const struct inst *i, uint32_t mask) {
  (void)i;
  struct frame *f = w->frame;
  w->pc++;
  w->groups[w->current].pc = w->pc;
  warp_exit(w, mask);
  while (f) {
    struct frame *parent = f->parent;
    f->live &= ~mask;
    if (!f->live && parent)
      frame_destroy(f);
    f = parent;
  }
}
exec_fn bind_exit(struct binding *b) {
  b->inst->flow = FLOW_CONTROL;
  return leave;
}

static void ret(struct warp *w, const struct inst *i, uint32_t mask) {
  struct frame *f = w->frame;
  if (!f->parent) {
    leave(w, i, mask);
    return;
  }
  const struct call_site *c = f->call;
  EACH_LANE(l, mask)
  for (uint32_t k = 0; k < c->results; k++)
    pass(w, f->parent, f, &c->arguments[k], &f->function->params.data[k], l, true);
  w->pc++;
  f->live &= ~mask;
  warp_split(w, mask, f->parent, f->return_pc);
  if (!f->live)
    frame_destroy(f);
}
exec_fn bind_ret(struct binding *b) {
  b->inst->flow = FLOW_CONTROL;
  return ret;
}

/* alloca: local memory behind the frame's own, for each lane as much as for the one that wants
 * most. */
static void allocate(struct warp *w, const struct inst *i, uint32_t mask) {
  struct frame *f = w->frame;
  uint32_t lane = (uint32_t)__builtin_ctz(mask), own = f->local_base + f->function->local_bytes;
  uint64_t align = i->count > 2 ? lane_get(w, &i->op[2], lane) : 8, most = 0;
  EACH_LANE(l, mask) {
    uint64_t n = lane_get(w, &i->op[1], l);
    most = n > most ? n : most;
  }
  align = align < 16 ? 16 : align;
  uint64_t at = (own + f->allocated + align - 1) & ~(align - 1);
  if ((align & (align - 1)) || align > w->local_bytes || most > w->local_bytes ||
      at + most > w->local_bytes) {
    memory_fault_report(w, i, (int)lane, FAULT_LAUNCH_FAILED,
                        "stack overflow: 'alloca' of %llu bytes from byte %llu of a stack of %u "
                        "(cuCtxSetLimit raises it)",
                        (unsigned long long)most, (unsigned long long)at, w->local_bytes);
    return;
  }
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, at);
  f->allocated = (uint32_t)((at + most - own + 15) & ~UINT64_C(15));
}
exec_fn bind_alloca(struct binding *b) { return b->type_count == 1 ? allocate : NULL; }

static void stack_save(struct warp *w, const struct inst *i, uint32_t mask) {
  EACH_LANE(l, mask)
  lane_set(w, &i->op[0], l, w->frame->allocated);
}
exec_fn bind_stacksave(struct binding *b) { return b->type_count == 1 ? stack_save : NULL; }

/* Lanes share the frame's end: it goes back when all do. */
static void stack_restore(struct warp *w, const struct inst *i, uint32_t mask) {
  uint64_t most = 0;
  EACH_LANE(l, mask) {
    uint64_t v = lane_get(w, &i->op[0], l);
    most = v > most ? v : most;
  }
  if (mask == w->frame->live && most < w->frame->allocated)
    w->frame->allocated = (uint32_t)most;
}
exec_fn bind_stackrestore(struct binding *b) { return b->type_count == 1 ? stack_restore : NULL; }

static void trap(struct warp *w, const struct inst *i, uint32_t mask) {
  memory_fault_report(w, i, __builtin_ctz(mask), FAULT_LAUNCH_FAILED, "the kernel executed '%s'",
                      i->opcode);
}
exec_fn bind_trap(struct binding *b) {
  (void)b;
  return trap;
}
