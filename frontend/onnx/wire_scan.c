/* SPDX-License-Identifier: Apache-2.0 */
/* Walks a protobuf message by descriptor, with an explicit stack, and collects edits. */
#include "frontend/onnx/wire_scan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "frontend/onnx/onnx.pb-c.h"

enum {
  FIELDS_MAX = 32,     /* of one message in onnx.proto */
  ALLOC_OVERHEAD = 16, /* of one allocation */
  MEMBER_BYTES = 48,   /* protobuf-c's note of one field while it parses a message */
  EDIT_BYTES_MAX = 12,
  REPORTS_MAX = 20, /* bad strings */
  DROPS_REPORTED = 5,
};

enum wire_type { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

struct frame {
  const ProtobufCMessageDescriptor *type;
  const ProtobufCFieldDescriptor *via; /* the field of the parent; NULL at the root */
  uint32_t via_index;
  size_t end;
  size_t prefix; /* offset of the length prefix */
  size_t prefix_width;
  uint64_t removed; /* bytes that edits inside took away */
  uint32_t counts[FIELDS_MAX];
};

/* Replaces [offset, offset + old_size) by `bytes`. */
struct edit {
  size_t offset;
  size_t old_size;
  uint8_t new_size;
  uint8_t bytes[EDIT_BYTES_MAX];
};

struct scanner {
  const uint8_t *bytes;
  size_t pos;
  const struct wire_scan_options *options;
  uint64_t memory_limit;
  struct diags *diags;
  struct wire_scan *out;
  VEC(struct edit) edits;
  uint32_t string_errors;
  uint32_t drops;
  uint32_t depth;
  struct frame stack[WIRE_DEPTH_MAX];
};

/* One field as read from the wire. */
struct field {
  size_t start;
  uint32_t number;
  enum wire_type wire;
  const ProtobufCFieldDescriptor *desc; /* NULL if unknown */
};

uint64_t wire_memory_limit(uint64_t size) { return UINT64_C(32) * 1024 * 1024 + size * 24; }

static struct frame *top(struct scanner *s) { return &s->stack[s->depth - 1]; }

static struct diag_where where_at(const struct scanner *s, size_t offset) {
  return (struct diag_where){.file = s->options->file, .node_index = -1, .byte_offset = offset};
}

/* "graph.node[12].attribute[0]", for messages; `last` may be NULL. */
static void path_format(const struct scanner *s, const ProtobufCFieldDescriptor *last,
                        struct strbuf *out) {
  for (uint32_t i = 1; i < s->depth; i++) {
    const struct frame *f = &s->stack[i];
    strbuf_printf(out, "%s%s", i > 1 ? "." : "", f->via->name);
    if (f->via->label == PROTOBUF_C_LABEL_REPEATED)
      strbuf_printf(out, "[%" PRIu32 "]", f->via_index);
  }
  if (last)
    strbuf_printf(out, "%s%s", s->depth > 1 ? "." : "", last->name);
  if (!last && s->depth <= 1)
    strbuf_printf(out, "%s", s->stack[0].type->short_name);
}

static status malformed(struct scanner *s, size_t offset, const ProtobufCFieldDescriptor *last,
                        const char *what) {
  struct strbuf path = {0};
  path_format(s, last, &path);
  struct diag_where where = where_at(s, offset);
  status result = diag_report(s->diags, DIAG_E0103, &where,
                              "the file is damaged or cut short; export or download it again",
                              "%s: %s", strbuf_c(&path), what);
  strbuf_deinit(&path);
  return result;
}

static status charge(struct scanner *s, uint64_t bytes, const ProtobufCFieldDescriptor *field) {
  s->out->memory += bytes;
  if (s->out->memory <= s->memory_limit)
    return STATUS_OK;
  struct strbuf path = {0};
  path_format(s, field, &path);
  struct diag_where where = where_at(s, s->pos);
  status result =
      diag_report(s->diags, DIAG_E0106, &where,
                  "a real model of this size needs far less; the file is not trustworthy",
                  "%s: reading on would take more than %" PRIu64 " B of memory", strbuf_c(&path),
                  s->memory_limit);
  strbuf_deinit(&path);
  return result;
}

/* Reads a varint of at most `max` bytes that ends before `end`; false if there is none. */
static bool varint_read(struct scanner *s, size_t end, int max, uint64_t *out_value) {
  uint64_t value = 0;
  for (int i = 0; i < max && s->pos < end; i++) {
    uint8_t byte = s->bytes[s->pos++];
    value |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *out_value = value;
      return true;
    }
  }
  return false;
}

static size_t varint_write(uint8_t *out, uint64_t value) {
  size_t n = 0;
  while (value >= 0x80) {
    out[n++] = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  out[n++] = (uint8_t)value;
  return n;
}

static void varint_write_padded(uint8_t *out, size_t width, uint64_t value) {
  for (size_t i = 0; i < width; i++) {
    out[i] = (uint8_t)((value & 0x7f) | (i + 1 < width ? 0x80 : 0));
    value >>= 7;
  }
}

bool wire_utf8_valid(const uint8_t *p, size_t size) {
  size_t i = 0;
  while (i < size) {
    uint8_t c = p[i];
    if (c == 0)
      return false;
    if (c < 0x80) {
      i++;
      continue;
    }
    size_t more = c >= 0xc2 && c <= 0xdf   ? 1
                  : c >= 0xe0 && c <= 0xef ? 2
                  : c >= 0xf0 && c <= 0xf4 ? 3
                                           : 0;
    if (more == 0 || size - i <= more)
      return false;
    /* The second byte's range rules out overlong forms, surrogates and values past U+10FFFF. */
    uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[i + 1] < low || p[i + 1] > high)
      return false;
    for (size_t k = 2; k <= more; k++) {
      if ((p[i + k] & 0xc0) != 0x80)
        return false;
    }
    i += more + 1;
  }
  return true;
}

/* ---- Edits ---- */

static struct edit *edit_add(struct scanner *s, size_t offset, size_t old_size) {
  vec_push(&s->edits, ((struct edit){.offset = offset, .old_size = old_size}));
  return &s->edits.data[s->edits.len - 1];
}

/* Takes [start, pos) out. */
static void drop(struct scanner *s, size_t start) {
  size_t size = s->pos - start;
  top(s)->removed += size;
  if (s->edits.len > 0) {
    struct edit *last = &s->edits.data[s->edits.len - 1];
    if (last->new_size == 0 && last->offset + last->old_size == start) {
      last->old_size += size;
      return;
    }
  }
  edit_add(s, start, size);
}

/* Replaces a raw_data field, [start, pos), by the number of its cut. */
static void cut(struct scanner *s, size_t start, size_t payload) {
  vec_push(&s->out->cuts, ((struct wire_cut){payload, s->pos - payload}));
  struct edit *e = edit_add(s, start, s->pos - start);
  size_t n = varint_write(e->bytes, (UINT64_C(536870911) << 3) | WIRE_VARINT);
  n += varint_write(e->bytes + n, s->out->cuts.len);
  e->new_size = (uint8_t)n;
  top(s)->removed += e->old_size - n;
}

static int edit_compare(const void *a, const void *b) {
  size_t x = ((const struct edit *)a)->offset, y = ((const struct edit *)b)->offset;
  return (x > y) - (x < y);
}

static void edits_apply(struct scanner *s, size_t size) {
  struct wire_scan *out = s->out;
  out->bytes = s->bytes;
  out->size = size;
  if (s->edits.len == 0)
    return;
  /* Messages close after what is inside them, so their prefixes come late. */
  qsort(s->edits.data, s->edits.len, sizeof(struct edit), edit_compare);
  uint8_t *to = out->rewritten = mem_alloc(size - s->stack[0].removed + 1);
  size_t from = 0;
  for (uint32_t i = 0; i < s->edits.len; i++) {
    const struct edit *e = &s->edits.data[i];
    memcpy(to, s->bytes + from, e->offset - from);
    to += e->offset - from;
    memcpy(to, e->bytes, e->new_size);
    to += e->new_size;
    from = e->offset + e->old_size;
  }
  memcpy(to, s->bytes + from, size - from);
  to += size - from;
  out->bytes = out->rewritten;
  out->size = (size_t)(to - out->rewritten);
}

/* ---- Fields ---- */

static enum wire_type wire_of(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_DOUBLE: return WIRE_I64;
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_SFIXED32:
  case PROTOBUF_C_TYPE_FLOAT: return WIRE_I32;
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_BYTES:
  case PROTOBUF_C_TYPE_MESSAGE: return WIRE_LEN;
  default: return WIRE_VARINT;
  }
}

static unsigned scalar_size(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_UINT64:
  case PROTOBUF_C_TYPE_SINT64:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_DOUBLE: return 8;
  default: return 4;
  }
}

static status tag_read(struct scanner *s, struct field *f) {
  const struct frame *frame = top(s);
  f->start = s->pos;
  f->desc = NULL;
  uint64_t tag;
  if (!varint_read(s, frame->end, 5, &tag) || tag > UINT32_MAX || tag >> 3 == 0) {
    return malformed(s, f->start, NULL, "no valid field tag");
  }
  f->number = (uint32_t)(tag >> 3);
  f->wire = (enum wire_type)(tag & 7);
  if (f->wire != WIRE_VARINT && f->wire != WIRE_I64 && f->wire != WIRE_LEN && f->wire != WIRE_I32) {
    return malformed(s, f->start, NULL, "a field of unknown wire type");
  }
  f->desc = protobuf_c_message_descriptor_get_field(frame->type, f->number);
  if (f->desc && f->number == 536870911) {
    return malformed(s, f->start, f->desc, "a field that no file may contain");
  }
  return STATUS_OK;
}

/* Reads the length of a length-delimited field and checks it against the message around it. */
static status length_read(struct scanner *s, const struct field *f, size_t *out_length) {
  size_t at = s->pos, end = top(s)->end;
  uint64_t length;
  if (!varint_read(s, end, 5, &length))
    return malformed(s, at, f->desc, "no valid length");
  if (length > end - s->pos) {
    char what[96];
    snprintf(what, sizeof what, "a length of %" PRIu64 " B where %zu B are left", length,
             end - s->pos);
    return malformed(s, at, f->desc, what);
  }
  *out_length = (size_t)length;
  return STATUS_OK;
}

static status fixed_skip(struct scanner *s, const struct field *f, size_t size) {
  if (top(s)->end - s->pos < size)
    return malformed(s, s->pos, f->desc, "a number is cut short");
  s->pos += size;
  return STATUS_OK;
}

static status varint_skip(struct scanner *s, const struct field *f) {
  uint64_t ignored;
  size_t at = s->pos;
  if (!varint_read(s, top(s)->end, 10, &ignored))
    return malformed(s, at, f->desc, "no valid integer");
  return STATUS_OK;
}

static status scalar_skip(struct scanner *s, const struct field *f) {
  if (f->wire == WIRE_VARINT)
    return varint_skip(s, f);
  return fixed_skip(s, f, f->wire == WIRE_I64 ? 8 : 4);
}

static status unknown_skip(struct scanner *s, const struct field *f) {
  if (f->wire == WIRE_LEN) {
    size_t length;
    status st = length_read(s, f, &length);
    if (st)
      return st;
    s->pos += length;
  } else {
    status st = scalar_skip(s, f);
    if (st)
      return st;
  }
  if (s->drops++ < DROPS_REPORTED) {
    struct diag_where where = where_at(s, f->start);
    diag_report(s->diags, DIAG_W0101, &where, NULL,
                "field %" PRIu32 " of %s is unknown and ignored", f->number,
                top(s)->type->short_name);
  }
  drop(s, f->start);
  return STATUS_OK;
}

static status packed_skip(struct scanner *s, const struct field *f, size_t length) {
  enum wire_type wire = wire_of(f->desc->type);
  size_t start = s->pos, end = s->pos + length;
  uint64_t count;
  if (wire == WIRE_VARINT) {
    count = 0;
    unsigned run = 0;
    for (size_t i = start; i < end; i++) {
      run++;
      if (run > 10)
        return malformed(s, i, f->desc, "no valid integer");
      if (s->bytes[i] < 0x80) {
        count++;
        run = 0;
      }
    }
    if (run)
      return malformed(s, end - 1, f->desc, "an integer is cut short");
  } else {
    size_t size = wire == WIRE_I64 ? 8 : 4;
    if (length % size)
      return malformed(s, start, f->desc, "a packed list ends within a number");
    count = length / size;
  }
  s->pos = end;
  return charge(s, count * scalar_size(f->desc->type) + ALLOC_OVERHEAD, f->desc);
}

static void string_check(struct scanner *s, const struct field *f, size_t length) {
  if (wire_utf8_valid(s->bytes + s->pos, length) || s->string_errors++ >= REPORTS_MAX)
    return;
  struct strbuf path = {0};
  path_format(s, f->desc, &path);
  struct diag_where where = where_at(s, s->pos);
  bool nul = memchr(s->bytes + s->pos, 0, length) != NULL;
  diag_report(s->diags, DIAG_E0109, &where, NULL, "%s: text %s", strbuf_c(&path),
              nul ? "contains a NUL byte" : "is not valid UTF-8");
  strbuf_deinit(&path);
}

static status message_open(struct scanner *s, const struct field *f, uint32_t index, size_t prefix,
                           size_t length) {
  const ProtobufCMessageDescriptor *type = f->desc->descriptor;
  status st = charge(s, type->sizeof_message + sizeof(void *) + ALLOC_OVERHEAD, f->desc);
  if (st)
    return st;
  if (s->depth == WIRE_DEPTH_MAX) {
    struct diag_where where = where_at(s, f->start);
    return diag_report(s->diags, DIAG_E0105, &where, NULL, "messages are nested more than %d deep",
                       WIRE_DEPTH_MAX);
  }
  s->out->messages++;
  struct frame *child = &s->stack[s->depth++];
  *child = (struct frame){.type = type,
                          .via = f->desc,
                          .via_index = index,
                          .end = s->pos + length,
                          .prefix = prefix,
                          .prefix_width = s->pos - prefix};
  return STATUS_OK;
}

static void message_close(struct scanner *s) {
  struct frame *f = top(s);
  s->depth--;
  if (f->removed == 0)
    return;
  size_t body = f->prefix + f->prefix_width;
  struct edit *e = edit_add(s, f->prefix, f->prefix_width);
  e->new_size = (uint8_t)f->prefix_width;
  varint_write_padded(e->bytes, f->prefix_width, f->end - body - f->removed);
  top(s)->removed += f->removed;
}

static status delimited_read(struct scanner *s, const struct field *f, uint32_t index) {
  size_t prefix = s->pos, length;
  status st = length_read(s, f, &length);
  if (st)
    return st;
  const ProtobufCFieldDescriptor *d = f->desc;
  if (d->type == PROTOBUF_C_TYPE_MESSAGE)
    return message_open(s, f, index, prefix, length);
  if (wire_of(d->type) != WIRE_LEN)
    return packed_skip(s, f, length);

  size_t payload = s->pos;
  if (d->type == PROTOBUF_C_TYPE_STRING)
    string_check(s, f, length);
  s->pos += length;
  bool is_raw = top(s)->type == &onnx__tensor_proto__descriptor && d->id == 9;
  if (is_raw && length > s->options->cut_above) {
    cut(s, f->start, payload);
    return STATUS_OK;
  }
  return charge(s, length + 1 + sizeof(ProtobufCBinaryData) + ALLOC_OVERHEAD, d);
}

static status field_read(struct scanner *s) {
  struct field f;
  status st = tag_read(s, &f);
  if (st)
    return st;
  if (!f.desc)
    return unknown_skip(s, &f);

  bool repeated = f.desc->label == PROTOBUF_C_LABEL_REPEATED;
  enum wire_type wanted = wire_of(f.desc->type);
  if (f.wire != wanted && !(f.wire == WIRE_LEN && repeated)) {
    return malformed(s, f.start, f.desc, "the field has another wire type than ONNX gives it");
  }
  uint32_t index = top(s)->counts[f.desc - top(s)->type->fields]++;
  if (index > 0 && !repeated && wanted == WIRE_LEN) {
    return malformed(s, f.start, f.desc, "the field is given twice");
  }
  st = charge(s, MEMBER_BYTES, f.desc);
  if (st)
    return st;
  if (f.wire == WIRE_LEN)
    return delimited_read(s, &f, index);
  return scalar_skip(s, &f);
}

status wire_scan_run(const uint8_t *bytes, size_t size, const ProtobufCMessageDescriptor *type,
                     const struct wire_scan_options *options, struct diags *diags,
                     struct wire_scan *out) {
  *out = (struct wire_scan){0};
  struct scanner *s = mem_calloc(1, sizeof *s);
  s->bytes = bytes;
  s->options = options;
  s->diags = diags;
  s->out = out;
  s->memory_limit = options->memory_limit ? options->memory_limit : wire_memory_limit(size);
  s->depth = 1;
  s->stack[0] = (struct frame){.type = type, .end = size};
  out->memory = type->sizeof_message;
  out->messages = 1;

  status st = STATUS_OK;
  while (st == STATUS_OK) {
    if (s->pos < top(s)->end) {
      st = field_read(s);
    } else if (s->depth > 1) {
      message_close(s);
    } else {
      break;
    }
  }
  if (st == STATUS_OK && s->string_errors)
    st = STATUS_INVALID;
  if (st == STATUS_OK)
    edits_apply(s, size);
  vec_deinit(&s->edits);
  mem_free(s);
  if (st)
    wire_scan_deinit(out);
  return st;
}

void wire_scan_deinit(struct wire_scan *scan) {
  mem_free(scan->rewritten);
  vec_deinit(&scan->cuts);
  *scan = (struct wire_scan){0};
}
