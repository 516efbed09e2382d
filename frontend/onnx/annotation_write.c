/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations into a model's bytes: messages are copied field by field, and only the model, its
 * graph and its nodes are opened, so that nothing else changes and weights are never in memory. */
#include "frontend/onnx/annotation_write.h"

#include <string.h>

#include "base/str.h"
#include "ir/shard_index.h"
#include "ir/sharding_form.h"

#define IR_WITH_SHARDING 11

enum { MODEL_IR_VERSION = 1, MODEL_GRAPH = 7, MODEL_CONFIGURATION = 26 };
enum { GRAPH_NODE = 1, NODE_OUTPUT = 2, NODE_DEVICE_CONFIGURATIONS = 10 };
enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* ---- writing fields ---- */

static void put_varint(struct strbuf *b, uint64_t x) {
  for (; x >= 128; x >>= 7)
    strbuf_char(b, (char)(x | 128));
  strbuf_char(b, (char)x);
}

static void put_int(struct strbuf *b, uint32_t field, int64_t x) {
  put_varint(b, field << 3 | WIRE_VARINT);
  put_varint(b, (uint64_t)x);
}

static void put_bytes(struct strbuf *b, uint32_t field, const void *data, size_t n) {
  put_varint(b, field << 3 | WIRE_BYTES);
  put_varint(b, n);
  strbuf_append(b, data, n);
}

/* Ends a message that was written to its own buffer. */
static void put_message(struct strbuf *b, uint32_t field, struct strbuf *message) {
  put_bytes(b, field, message->data, message->len);
  strbuf_deinit(message);
}

/* ---- specs ---- */

struct writer {
  const struct module *m;
  const struct mesh *mesh;
  int64_t devices;
  struct strbuf name;  /* of the configuration */
  struct strmap nodes; /* keys to first node_tensors */
};

/* The place of a rank along the axes, the outer first. */
static int64_t place_of(const struct mesh *mesh, const struct dim_split *d, int64_t rank) {
  int64_t place = 0;
  for (uint32_t i = 0; i < d->n_axes; i++) {
    int64_t inner = 1;
    for (uint32_t a = d->axes[i].axis + 1; a < mesh->n_axes; a++)
      inner *= mesh->axes[a].size;
    int64_t size = mesh->axes[d->axes[i].axis].size, at = rank / inner % size;
    if (d->axes[i].sub_size) {
      at = at / d->axes[i].sub_stride % d->axes[i].sub_size;
      size = d->axes[i].sub_size;
    }
    place = place * size + at;
  }
  return place;
}

static void put_simple(struct strbuf *b, int64_t value, const char *param, int64_t shards) {
  struct strbuf x = {0};
  if (param)
    put_bytes(&x, 2, param, strlen(param));
  else if (value > 0)
    put_int(&x, 1, value);
  put_int(&x, 3, shards);
  put_message(b, 2, &x);
}

/* [rows, granule] or [rounds, shards, block], as annotation_read.c takes it. */
static void put_dim(const struct writer *w, struct strbuf *b, uint32_t axis, dim size,
                    const struct dim_split *d) {
  int64_t shards = axis_refs_size(w->mesh, d->axes, d->n_axes), n = 0;
  int64_t granule = d->granule > 1 ? d->granule : 1;
  struct strbuf x = {0};
  put_int(&x, 1, axis);
  dim_is_const(w->m->dims, size, &n);
  if (d->order == SPLIT_INTERLEAVED) {
    put_simple(&x, 0, "rounds", 1);
    put_simple(&x, shards, NULL, shards);
    put_simple(&x, d->block, NULL, 1);
  } else if (granule > 1) {
    put_simple(&x, n / granule, n ? NULL : "granules", shards);
    put_simple(&x, granule, NULL, 1);
  } else {
    put_simple(&x, n, n ? NULL : "size", shards);
  }
  put_message(b, 4, &x);
}

static void put_devices(const struct writer *w, struct strbuf *b, const struct sharding *s,
                        int64_t shards) {
  struct strbuf groups = {0};
  for (int64_t shard = 0; shard < shards; shard++) {
    struct strbuf group = {0};
    int64_t first = -1, n = 0;
    put_int(&group, 1, -1 - shard);
    for (int64_t rank = 0; rank < w->devices; rank++) {
      int64_t place = 0;
      for (uint32_t d = 0; d < s->rank; d++)
        if (s->dims[d].n_axes)
          place = place * axis_refs_size(w->mesh, s->dims[d].axes, s->dims[d].n_axes) +
                  place_of(w->mesh, &s->dims[d], rank);
      if (place != shard)
        continue;
      first = n++ ? first : rank;
      put_int(&group, 2, rank);
    }
    put_int(b, 2, n == 1 ? first : -1 - shard);
    if (n == 1)
      strbuf_deinit(&group);
    else
      put_message(&groups, 3, &group);
  }
  strbuf_append(b, groups.data ? groups.data : "", groups.len);
  strbuf_deinit(&groups);
}

/* Shards in an order that no spec can say. */
static bool is_dealt(const struct module *m, const struct node_tensor *t) {
  const struct sharding *s = t->type.sharding ? m->shardings.data[t->type.sharding] : NULL;
  for (uint32_t d = 0; s && t->annotated && d < s->rank; d++)
    if (s->dims[d].n_axes && s->dims[d].order == SPLIT_ZIGZAG)
      return true;
  return false;
}

static void put_spec(const struct writer *w, struct strbuf *b, const struct node_tensor *t) {
  struct sharding room;
  struct strbuf x = {0};
  const struct sharding *s =
      sharding_get(w->m, t->type.sharding, w->m->annotated_mesh - 1, t->type.rank, &room);
  int64_t shards = 1;
  for (uint32_t d = 0; d < s->rank; d++)
    shards *= axis_refs_size(w->mesh, s->dims[d].axes, s->dims[d].n_axes);
  put_bytes(&x, 1, t->name, strlen(t->name));
  put_devices(w, &x, s, shards);
  for (uint32_t d = 0; d < s->rank; d++)
    if (s->dims[d].n_axes)
      put_dim(w, &x, d, t->type.dims[d], &s->dims[d]);
  put_message(b, 2, &x);
}

/* The annotation of the node with that first output; nothing for a node that has none. */
static void put_node(const struct writer *w, struct strbuf *b, const char *key) {
  uint64_t first;
  struct strbuf x = {0};
  if (!strmap_get_c(&w->nodes, key, &first))
    return;
  put_bytes(&x, 1, w->name.data, w->name.len);
  size_t empty = x.len;
  for (uint64_t i = first; i < w->m->node_tensors.len; i++) {
    const struct node_tensor *t = &w->m->node_tensors.data[i];
    bool again = false;
    if (strcmp(t->key, key) != 0)
      break;
    for (uint64_t k = first; k < i; k++)
      again |=
          w->m->node_tensors.data[k].annotated && !strcmp(w->m->node_tensors.data[k].name, t->name);
    if (t->annotated && !again && !is_dealt(w->m, t))
      put_spec(w, &x, t);
  }
  if (x.len == empty)
    strbuf_deinit(&x);
  else
    put_message(b, NODE_DEVICE_CONFIGURATIONS, &x);
}

/* ---- copying messages ---- */

struct reader {
  const uint8_t *at, *end;
};

struct field {
  uint32_t number;
  enum wire_type type;
  const uint8_t *begin, *end; /* all of it */
  const uint8_t *payload;     /* of WIRE_BYTES */
};

static bool get_varint(struct reader *r, uint64_t *out) {
  uint32_t shift = 0;
  for (*out = 0; r->at < r->end && shift < 64; shift += 7) {
    uint8_t byte = *r->at++;
    *out |= (uint64_t)(byte & 127) << shift;
    if (byte < 128)
      return true;
  }
  return false;
}

/* The next field; false at the end, or where what follows is none (which the loader refused). */
static bool next_field(struct reader *r, struct field *out) {
  uint64_t tag, n = 0;
  out->begin = r->at;
  if (r->at >= r->end || !get_varint(r, &tag))
    return false;
  out->number = (uint32_t)(tag >> 3);
  out->type = (enum wire_type)(tag & 7);
  if (out->type == WIRE_VARINT ? !get_varint(r, &tag)
                               : out->type == WIRE_BYTES && !get_varint(r, &n))
    return false;
  n = out->type == WIRE_FIXED64 ? 8 : out->type == WIRE_FIXED32 ? 4 : n;
  if (n > (uint64_t)(r->end - r->at))
    return false;
  out->payload = r->at;
  r->at += n;
  out->end = r->at;
  return true;
}

/* Bytes are counted, and written if there is a file. */
struct sink {
  FILE *file;
  uint64_t bytes;
};

static void sink_put(struct sink *s, const void *data, size_t n) {
  if (s->file && n)
    fwrite(data, 1, n, s->file);
  s->bytes += n;
}

static void copy_node(const struct writer *w, const struct field *node, struct sink *out) {
  struct reader r = {node->payload, node->end};
  struct strbuf x = {0}, key = {0}, tagged = {0};
  struct field f;
  bool named = false;
  while (next_field(&r, &f)) {
    if (f.number == NODE_DEVICE_CONFIGURATIONS)
      continue;
    if (f.number == NODE_OUTPUT && f.type == WIRE_BYTES && !named) {
      strbuf_append(&key, (const char *)f.payload, (size_t)(f.end - f.payload));
      named = true;
    }
    strbuf_append(&x, (const char *)f.begin, (size_t)(f.end - f.begin));
  }
  put_node(w, &x, strbuf_c(&key));
  put_message(&tagged, GRAPH_NODE, &x);
  sink_put(out, tagged.data, tagged.len);
  strbuf_deinit(&key);
  strbuf_deinit(&tagged);
}

static void copy_graph(const struct writer *w, const struct field *graph, struct sink *out) {
  struct reader r = {graph->payload, graph->end};
  struct field f;
  while (next_field(&r, &f)) {
    if (f.number == GRAPH_NODE && f.type == WIRE_BYTES)
      copy_node(w, &f, out);
    else
      sink_put(out, f.begin, (size_t)(f.end - f.begin));
  }
}

static void copy_model(const struct writer *w, const struct onnx_model *model, struct sink *out) {
  struct reader r = {model->bytes, model->bytes + model->size};
  struct strbuf head = {0}, configuration = {0};
  struct field f;
  int64_t version = model->proto->ir_version;
  put_int(&head, MODEL_IR_VERSION, version > IR_WITH_SHARDING ? version : IR_WITH_SHARDING);
  put_bytes(&configuration, 1, w->name.data, w->name.len);
  put_int(&configuration, 2, w->devices);
  put_message(&head, MODEL_CONFIGURATION, &configuration);
  sink_put(out, head.data, head.len);
  while (next_field(&r, &f)) {
    if (f.number == MODEL_IR_VERSION || f.number == MODEL_CONFIGURATION)
      continue;
    if (f.number != MODEL_GRAPH || f.type != WIRE_BYTES) {
      sink_put(out, f.begin, (size_t)(f.end - f.begin));
      continue;
    }
    struct sink size = {0};
    copy_graph(w, &f, &size);
    strbuf_clear(&head);
    put_varint(&head, MODEL_GRAPH << 3 | WIRE_BYTES);
    put_varint(&head, size.bytes);
    sink_put(out, head.data, head.len);
    copy_graph(w, &f, out);
  }
  strbuf_deinit(&head);
}

static void warn_dealt(const struct module *m, struct diags *diags) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < m->node_tensors.len; i++)
    n += is_dealt(m, &m->node_tensors.data[i]);
  if (n)
    diag_report(diags, DIAG_W0341, NULL, NULL,
                "%u tensors are left out, whose shards are dealt zigzag, which no annotation says",
                n);
}

status onnx_write_annotated(const struct onnx_model *model, const struct module *m,
                            struct diags *diags, FILE *out) {
  struct writer w = {.m = m};
  if (!m->annotated_mesh)
    return diag_report(diags, DIAG_E0347, NULL, "name a machine, or axes with --parallel",
                       "no tensor of the model's nodes is split");
  w.mesh = m->meshes.data[m->annotated_mesh - 1];
  w.devices = mesh_ranks(w.mesh);
  for (uint32_t i = 0; i < w.mesh->n_axes; i++)
    strbuf_printf(&w.name, "%s%s=%lld", i ? "," : "", w.mesh->axes[i].name,
                  (long long)w.mesh->axes[i].size);
  strmap_init(&w.nodes);
  for (uint32_t i = m->node_tensors.len; i-- > 0;)
    strmap_put_c(&w.nodes, m->node_tensors.data[i].key, i);
  struct sink size = {0}, file = {.file = out};
  copy_model(&w, model, &size);
  status st = STATUS_OK;
  if (size.bytes > INT32_MAX)
    st = diag_report(diags, DIAG_E0104, NULL, "store the weights as external data",
                     "with annotations, the model has %llu B", (unsigned long long)size.bytes);
  else
    copy_model(&w, model, &file);
  if (st == STATUS_OK)
    warn_dealt(m, diags);
  strmap_deinit(&w.nodes);
  strbuf_deinit(&w.name);
  return st;
}
