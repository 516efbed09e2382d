/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to protobuf trees. One walk lists every place that a change can be made at; then places
 * are drawn. */
#include "tests/support/model_mutate.h"

#include <limits.h>
#include <string.h>

#include "base/vec.h"
#include "tests/support/mutation.h"

struct place {
  ProtobufCMessage *message;
  const ProtobufCFieldDescriptor *field;
};

struct mutator {
  struct arena *arena;
  uint64_t state;
  VEC(struct place) places;
  VEC(char *) texts; /* every text of the tree: names that mean something */
};

static uint64_t draw(struct mutator *m, uint64_t n) { return mutation_draw(&m->state, n); }

/* ---- fields ---- */

static void *member(const struct place *p) { return (char *)p->message + p->field->offset; }

static size_t *count_of(const struct place *p) {
  return (size_t *)(void *)((char *)p->message + p->field->quantifier_offset);
}

static size_t size_of(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_SINT64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_UINT64:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_DOUBLE: return 8;
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
  case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
  default: return 4;
  }
}

/* A member of a oneof holds its value only while it is the chosen one. */
static bool is_set(const struct place *p) {
  if (p->field->label == PROTOBUF_C_LABEL_REPEATED)
    return *count_of(p) > 0;
  if (p->field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
    return *(uint32_t *)(void *)count_of(p) == p->field->id;
  return p->field->type != PROTOBUF_C_TYPE_MESSAGE || *(void **)member(p);
}

static void visit(struct mutator *m, ProtobufCMessage *message);

static void visit_value(struct mutator *m, const ProtobufCFieldDescriptor *field, void *value) {
  if (field->type == PROTOBUF_C_TYPE_MESSAGE)
    visit(m, *(ProtobufCMessage **)value);
  else if (field->type == PROTOBUF_C_TYPE_STRING)
    vec_push(&m->texts, *(char **)value);
}

static void visit(struct mutator *m, ProtobufCMessage *message) {
  for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
    struct place p = {message, &message->descriptor->fields[i]};
    if (!is_set(&p))
      continue;
    vec_push(&m->places, p);
    if (p.field->label != PROTOBUF_C_LABEL_REPEATED) {
      visit_value(m, p.field, member(&p));
      continue;
    }
    char *list = *(char **)member(&p);
    for (size_t k = 0; k < *count_of(&p); k++)
      visit_value(m, p.field, list + k * size_of(p.field->type));
  }
}

/* ---- changes ---- */

static int64_t new_integer(struct mutator *m, int64_t old) {
  static const int64_t odd[] = {INT64_MIN, INT64_MAX, INT32_MAX,        INT32_MIN,       -1,
                                1 << 16,   1 << 30,   INT64_C(1) << 40, INT64_C(1) << 61};
  switch (draw(m, 5)) {
  case 0: return odd[draw(m, sizeof odd / sizeof *odd)];
  case 1: return old ^ (INT64_C(1) << draw(m, 5));
  case 2: return (int64_t)(0 - (uint64_t)old);
  default: return (int64_t)draw(m, 9) - 3;
  }
}

static double new_real(struct mutator *m, double old) {
  static const double odd[] = {0, -1, 1e38, -1e-40, 1.0 / 0.0, 0.0 / 0.0, 1e300};
  return draw(m, 2) ? odd[draw(m, sizeof odd / sizeof *odd)] : -old;
}

static char *new_text(struct mutator *m) {
  static const char *const odd[] = {"", "linear", "constant", "NOTSET", "i,j->ij", "x\xff", "A"};
  if (m->texts.len && draw(m, 4))
    return m->texts.data[draw(m, m->texts.len)];
  return arena_strdup(m->arena, odd[draw(m, sizeof odd / sizeof *odd)]);
}

static void change_bytes(struct mutator *m, ProtobufCBinaryData *b) {
  uint8_t *data = arena_alloc(m->arena, b->len + 8);
  if (b->len)
    memcpy(data, b->data, b->len);
  b->data = data;
  if (b->len && draw(m, 4))
    data[draw(m, b->len)] = (uint8_t)(draw(m, 2) ? draw(m, 256) : 0xff * draw(m, 2));
  else
    b->len = draw(m, b->len + 8);
}

static void change_value(struct mutator *m, const ProtobufCFieldDescriptor *field, void *value) {
  switch (field->type) {
  case PROTOBUF_C_TYPE_MESSAGE: break; /* its own fields are places */
  case PROTOBUF_C_TYPE_STRING: *(char **)value = new_text(m); break;
  case PROTOBUF_C_TYPE_BYTES: change_bytes(m, value); break;
  case PROTOBUF_C_TYPE_FLOAT: *(float *)value = (float)new_real(m, *(float *)value); break;
  case PROTOBUF_C_TYPE_DOUBLE: *(double *)value = new_real(m, *(double *)value); break;
  default:
    if (size_of(field->type) == 8)
      *(int64_t *)value = new_integer(m, *(int64_t *)value);
    else
      *(int32_t *)value = (int32_t)new_integer(m, *(int32_t *)value);
  }
}

/* One member less, one twice, two exchanged, or one changed. */
static void change_list(struct mutator *m, const struct place *p) {
  size_t size = size_of(p->field->type), n = *count_of(p);
  char *list = arena_alloc(m->arena, (n + 1) * size), spare[sizeof(ProtobufCBinaryData)];
  memcpy(list, *(char **)member(p), n * size);
  *(char **)member(p) = list;
  char *one = list + draw(m, n) * size, *other = list + draw(m, n) * size;
  uint64_t how = draw(m, p->field->type == PROTOBUF_C_TYPE_MESSAGE ? 3 : 6);
  if (how == 0) {
    memmove(one, one + size, (size_t)(list + n * size - one) - size);
    --*count_of(p);
  } else if (how == 1) {
    memcpy(list + n * size, one, size);
    ++*count_of(p);
  } else if (how == 2) {
    memcpy(spare, one, size);
    memcpy(one, other, size);
    memcpy(other, spare, size);
  } else {
    change_value(m, p->field, one);
  }
}

static void change(struct mutator *m) {
  const struct place *p = &m->places.data[draw(m, m->places.len)];
  if (p->field->label == PROTOBUF_C_LABEL_REPEATED) {
    if (*count_of(p) > 0)
      change_list(m, p);
  } else {
    change_value(m, p->field, member(p));
  }
}

/* ---- the whole ---- */

uint8_t *model_mutate(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t n,
                      uint64_t seed, uint32_t changes, struct arena *arena, size_t *out_n) {
  ProtobufCAllocator allocator = mutation_allocator(arena);
  ProtobufCMessage *tree = protobuf_c_message_unpack(type, &allocator, n, bytes);
  if (!tree)
    return NULL;
  struct mutator m = {.arena = arena, .state = mutation_seed(seed)};
  visit(&m, tree);
  for (uint32_t i = 0; i < changes && m.places.len; i++)
    change(&m);
  vec_deinit(&m.places);
  vec_deinit(&m.texts);
  uint8_t *out = arena_alloc(arena, protobuf_c_message_get_packed_size(tree) + 1);
  *out_n = protobuf_c_message_pack(tree, out);
  return out;
}
