/* SPDX-License-Identifier: Apache-2.0 */
/* Sharding annotations (IR 11): which device holds which part of a node's tensors.
 *
 * A spec lists dims, each in so many shards, and a device (or a group of them) for each shard in
 * row-major order. Here the devices are the ranks of a mesh, and a spec is a sharding over its
 * axes: each rank's place along a dim must follow from its coordinates. The mesh is what the
 * configuration's name says ("tp=2,cp=2"), else one axis.
 *
 * Malformed annotations are errors (E0346), all of them at once; sound ones that are no sharding
 * here are E0347. Source: ONNX, docs/proposals/ShardingFormalism.md. */
#include <stdlib.h>
#include <string.h>

#include "frontend/onnx/import_internal.h"
#include "ir/shard_index.h"
#include "ir/sharding_form.h"

#define MOST_DEVICES 4096
#define MOST_DIGITS 16 /* prime factors of the devices' number */

/* A prime factor of an axis: the part of that size whose inner neighbours make up `stride` ranks of
 * the axis, `distance` ranks apart in the mesh. */
struct digit {
  struct axis_ref ref;
  int64_t distance;
};

struct annotations {
  struct importer *im;
  struct module *m;
  const Onnx__DeviceConfigurationProto *configuration;
  int64_t devices;
  struct mesh mesh;
  uint32_t mesh_id;
  struct digit digits[MOST_DIGITS];
  uint32_t n_digits;
  struct strmap nodes; /* keys to first node_tensors */
  const Onnx__NodeProto *node;
  int32_t index; /* of the node */
};

static bool __attribute__((format(printf, 3, 4))) fail(struct annotations *a, enum diag_code code,
                                                       const char *format, ...) {
  struct diag_where where = DIAG_NOWHERE;
  struct strbuf text = {0};
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&text, format, args);
  va_end(args);
  where.file = a->im->model->path;
  if (a->node) {
    where.node_index = a->index;
    where.node = a->node->name;
    where.op = a->node->op_type;
  }
  diag_report(a->im->diags, code, &where, NULL, "%s", strbuf_c(&text));
  strbuf_deinit(&text);
  return false;
}

/* ---- the configuration ---- */

/* "tp=2,cp=2" of so many devices; false, and no mesh, for what is something else. */
static bool mesh_of_name(struct annotations *a, const char *text) {
  struct mesh mesh = {0};
  while (mesh.n_axes < MESH_MAX_AXES) {
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    char *end, name[64];
    if (n == 0 || n >= sizeof name || text[n] != '=' || text[n + 1] < '1' || text[n + 1] > '9')
      return false;
    memcpy(name, text, n);
    name[n] = 0;
    long long size = strtoll(text + n + 1, &end, 10);
    if (size > MOST_DEVICES || (*end && *end != ','))
      return false;
    for (uint32_t i = 0; i < mesh.n_axes; i++)
      if (!strcmp(mesh.axes[i].name, name))
        return false;
    mesh.axes[mesh.n_axes++] = (struct mesh_axis){module_intern(a->m, name), size};
    if (!*end)
      break;
    text = end + 1;
    if (mesh.n_axes == MESH_MAX_AXES)
      return false;
  }
  if (mesh_ranks(&mesh) != a->devices)
    return false;
  a->mesh = mesh;
  return true;
}

static void find_digits(struct annotations *a) {
  int64_t distance = a->devices;
  for (uint32_t i = 0; i < a->mesh.n_axes; i++) {
    int64_t left = a->mesh.axes[i].size;
    for (int64_t p = 2; left > 1; p++)
      while (left % p == 0 && a->n_digits < MOST_DIGITS) {
        left /= p;
        distance /= p;
        a->digits[a->n_digits++] = (struct digit){{i, p, left}, distance};
      }
  }
}

static bool read_configurations(struct annotations *a) {
  const Onnx__ModelProto *p = a->im->model->proto;
  bool sound = true;
  for (size_t i = 0; i < p->n_configuration; i++) {
    const Onnx__DeviceConfigurationProto *c = p->configuration[i];
    if (!c->name[0])
      sound = fail(a, DIAG_E0346, "device configuration %zu has no name", i);
    for (size_t k = 0; k < i; k++)
      if (!strcmp(p->configuration[k]->name, c->name))
        sound = fail(a, DIAG_E0346, "two device configurations have the name '%s'", c->name);
    if (c->num_devices < 1 || c->num_devices > MOST_DEVICES)
      sound = fail(a, DIAG_E0346, "device configuration '%s' has %d devices, not 1 to %d", c->name,
                   c->num_devices, MOST_DEVICES);
    else if (c->n_device && c->n_device != (size_t)c->num_devices)
      sound = fail(a, DIAG_E0346, "device configuration '%s' names %zu of %d devices", c->name,
                   c->n_device, c->num_devices);
  }
  if (!sound || !p->n_configuration)
    return sound;
  a->configuration = p->configuration[0];
  a->devices = a->configuration->num_devices;
  if (!mesh_of_name(a, a->configuration->name))
    a->mesh = (struct mesh){1, {{module_intern(a->m, "device"), a->devices}}};
  a->mesh_id = module_add_mesh(a->m, &a->mesh);
  find_digits(a);
  return true;
}

/* ---- a spec ---- */

struct spec {
  const Onnx__ShardingSpecProto *proto;
  struct node_tensor *tensor; /* NULL: the graph has no such value */
  int64_t n_shards;
  /* By dim as listed; the place of each device along it. */
  uint32_t n_dims;
  int64_t *places[IR_MAX_RANK];
};

static int64_t shards_of(const Onnx__ShardedDimProto *d) {
  int64_t n = 1;
  for (size_t i = 0; i < d->n_simple_sharding && n <= MOST_DEVICES; i++) {
    int64_t each = d->simple_sharding[i]->num_shards;
    n = each < 1 || each > MOST_DEVICES ? INT64_MAX : n * each;
  }
  return n;
}

static bool check_dims(struct annotations *a, struct spec *s) {
  const char *name = s->proto->tensor_name;
  bool sound = true;
  s->n_shards = 1;
  if (s->proto->n_sharded_dim > IR_MAX_RANK)
    return fail(a, DIAG_E0346, "'%s' is sharded along %zu dims", name, s->proto->n_sharded_dim);
  for (size_t i = 0; i < s->proto->n_sharded_dim; i++) {
    const Onnx__ShardedDimProto *d = s->proto->sharded_dim[i];
    int64_t rank = s->tensor ? s->tensor->type.rank : IR_MAX_RANK, n = shards_of(d);
    if (d->axis < -rank || d->axis >= rank)
      sound = fail(a, DIAG_E0346, "'%s' is sharded along axis %lld of %lld dims", name,
                   (long long)d->axis, (long long)rank);
    for (size_t k = 0; k < i; k++) {
      int64_t other = s->proto->sharded_dim[k]->axis;
      if (s->tensor && (other - d->axis == 0 || llabs(other - d->axis) == rank))
        sound =
            fail(a, DIAG_E0346, "'%s' is sharded along axis %lld twice", name, (long long)d->axis);
    }
    if (!d->n_simple_sharding || n > MOST_DEVICES)
      sound =
          fail(a, DIAG_E0346, "axis %lld of '%s' has no sharding, or one in no number of shards",
               (long long)d->axis, name);
    for (size_t k = 0; k < d->n_simple_sharding; k++) {
      const Onnx__SimpleShardedDimProto *x = d->simple_sharding[k];
      if (x->dim_case == ONNX__SIMPLE_SHARDED_DIM_PROTO__DIM_DIM_VALUE &&
          (x->dim_value < 0 || x->dim_value > INT64_MAX / MOST_DEVICES))
        sound = fail(a, DIAG_E0346, "axis %lld of '%s' has the size %lld", (long long)d->axis, name,
                     (long long)x->dim_value);
    }
    if (sound && n <= MOST_DEVICES)
      s->n_shards *= n;
    if (s->n_shards > MOST_DEVICES)
      return fail(a, DIAG_E0346, "'%s' is in more than %d shards", name, MOST_DEVICES);
  }
  s->n_dims = (uint32_t)s->proto->n_sharded_dim;
  return sound;
}

static const Onnx__IntIntListEntryProto *group_of(const Onnx__ShardingSpecProto *p, int64_t v) {
  for (size_t i = 0; i < p->n_index_to_device_group_map; i++)
    if (p->index_to_device_group_map[i]->key == v)
      return p->index_to_device_group_map[i];
  return NULL;
}

/* Device `device` has shard `shard`. */
static bool place(struct annotations *a, struct spec *s, int64_t device, int64_t shard,
                  bool *seen) {
  const char *name = s->proto->tensor_name;
  if (device < 0 || device >= a->devices)
    return fail(a, DIAG_E0346, "'%s' is on device %lld of %lld", name, (long long)device,
                (long long)a->devices);
  if (seen[device])
    return fail(a, DIAG_E0346, "'%s' is on device %lld twice", name, (long long)device);
  seen[device] = true;
  for (uint32_t i = s->n_dims; i-- > 0;) {
    int64_t n = shards_of(s->proto->sharded_dim[i]);
    s->places[i][device] = shard % n;
    shard /= n;
  }
  return true;
}

static bool check_devices(struct annotations *a, struct spec *s) {
  const Onnx__ShardingSpecProto *p = s->proto;
  struct arena *arena = &a->m->arena;
  /* A list without shards is of the devices that all hold everything. */
  bool copies = s->n_shards == 1, sound = true;
  if (p->n_index_to_device_group_map > MOST_DEVICES || p->n_device > MOST_DEVICES ||
      (!copies && (int64_t)p->n_device != s->n_shards) || (copies && !p->n_device))
    return fail(a, DIAG_E0346, "'%s' has %lld shards and %zu devices or groups of them",
                p->tensor_name, (long long)s->n_shards, p->n_device);
  bool *seen = ARENA_ARRAY(arena, bool, (size_t)a->devices);
  for (uint32_t i = 0; i < s->n_dims; i++)
    s->places[i] = ARENA_ARRAY(arena, int64_t, (size_t)a->devices);
  for (size_t i = 0; i < p->n_device && sound; i++) {
    const Onnx__IntIntListEntryProto *group = group_of(p, p->device[i]);
    int64_t shard = copies ? 0 : (int64_t)i;
    if (!group)
      sound = place(a, s, p->device[i], shard, seen);
    for (size_t k = 0; group && k < group->n_value && sound; k++)
      sound = place(a, s, group->value[k], shard, seen);
  }
  for (int64_t i = 0; i < a->devices && sound; i++)
    if (!seen[i])
      sound =
          fail(a, DIAG_E0347, "device %lld holds nothing of '%s'", (long long)i, p->tensor_name);
  return sound;
}

/* ---- from places to axes ---- */

/* The axes along which places change, the outer first; false where they are no such thing. */
static bool axes_of(const struct annotations *a, const int64_t *places, int64_t n,
                    struct dim_split *out) {
  struct axis_ref refs[MOST_DIGITS];
  int64_t weights[MOST_DIGITS], used[MOST_DIGITS], expected = n;
  uint32_t n_used = 0;
  for (uint32_t i = 0; i < a->n_digits; i++)
    weights[i] = places[a->digits[i].distance];
  while (expected > 1) {
    uint32_t found = MOST_DIGITS;
    for (uint32_t i = 0; i < a->n_digits; i++)
      if (weights[i] * a->digits[i].ref.sub_size == expected)
        found = i;
    if (found == MOST_DIGITS)
      return false;
    expected = weights[found];
    used[n_used] = found;
    refs[n_used++] = a->digits[found].ref;
    weights[found] = 0;
  }
  for (int64_t d = 0; d < a->devices; d++) {
    int64_t x = 0;
    for (uint32_t i = 0; i < n_used; i++) {
      const struct digit *g = &a->digits[used[i]];
      x += d / g->distance % g->ref.sub_size * places[g->distance];
    }
    if (x != places[d])
      return false;
  }
  n_used = axis_refs_canonical(&a->mesh, refs, n_used);
  if (n_used > SHARDING_MAX_AXES_PER_DIM)
    return false;
  out->n_axes = n_used;
  memcpy(out->axes, refs, n_used * sizeof *refs);
  return true;
}

/* [rows, granule]: parts of whole granules; [rounds, shards, block]: blocks in turn. */
static bool order_of(const Onnx__ShardedDimProto *d, struct dim_split *out) {
  size_t at = d->n_simple_sharding;
  int64_t inner = 1;
  for (size_t i = 0; i < d->n_simple_sharding; i++) {
    if (d->simple_sharding[i]->num_shards == 1)
      continue;
    if (at < d->n_simple_sharding)
      return false;
    at = i;
  }
  for (size_t i = at + 1; i < d->n_simple_sharding; i++) {
    const Onnx__SimpleShardedDimProto *x = d->simple_sharding[i];
    if (x->dim_case != ONNX__SIMPLE_SHARDED_DIM_PROTO__DIM_DIM_VALUE || x->dim_value < 1 ||
        __builtin_mul_overflow(inner, x->dim_value, &inner))
      return false;
  }
  out->granule = 1;
  if (at == 1 && d->simple_sharding[1]->dim_value == d->simple_sharding[1]->num_shards) {
    out->order = SPLIT_INTERLEAVED;
    out->block = inner;
    return true;
  }
  out->granule = inner;
  return at == 0 || at == d->n_simple_sharding;
}

static void read_spec(struct annotations *a, const Onnx__ShardingSpecProto *proto,
                      struct node_tensor *tensor) {
  struct spec s = {.proto = proto, .tensor = tensor};
  if (!check_dims(a, &s) || !check_devices(a, &s) || !tensor)
    return;
  struct sharding sharding = {.mesh = a->mesh_id, .rank = tensor->type.rank};
  for (uint32_t i = 0; i < s.n_dims; i++) {
    const Onnx__ShardedDimProto *d = proto->sharded_dim[i];
    uint32_t axis = (uint32_t)(d->axis < 0 ? d->axis + tensor->type.rank : d->axis);
    int64_t n = shards_of(d);
    struct dim_split split = {0};
    if (n == 1)
      continue;
    if (!axes_of(a, s.places[i], n, &split) || !order_of(d, &split)) {
      fail(a, DIAG_E0347, "how axis %u of '%s' is dealt to devices does not follow from a mesh",
           axis, proto->tensor_name);
      return;
    }
    sharding.dims[axis] = split;
  }
  tensor->annotated = true;
  tensor->type.sharding = 0;
  tensor->type.sharding = module_shard(a->m, &tensor->type, &sharding);
  a->m->annotated_mesh = a->mesh_id + 1;
}

/* ---- nodes ---- */

static bool names_tensor(const Onnx__NodeProto *node, const char *name) {
  bool found = false;
  for (size_t i = 0; i < node->n_input; i++)
    found |= !strcmp(node->input[i], name);
  for (size_t i = 0; i < node->n_output; i++)
    found |= !strcmp(node->output[i], name);
  return found && *name;
}

/* The tensor of the node at hand, from its first one on. */
static struct node_tensor *find_tensor(struct annotations *a, const char *name) {
  uint64_t first;
  if (!a->node->n_output || !strmap_get_c(&a->nodes, a->node->output[0], &first))
    return NULL;
  for (uint64_t i = first; i < a->m->node_tensors.len; i++) {
    struct node_tensor *t = &a->m->node_tensors.data[i];
    if (strcmp(t->key, a->node->output[0]) != 0)
      break;
    if (!strcmp(t->name, name))
      return t;
  }
  return NULL;
}

static void read_configuration(struct annotations *a, const Onnx__NodeDeviceConfigurationProto *c) {
  const Onnx__ModelProto *p = a->im->model->proto;
  bool known = false;
  for (size_t i = 0; i < p->n_configuration; i++)
    known |= !strcmp(p->configuration[i]->name, c->configuration_id);
  if (!known) {
    fail(a, DIAG_E0346, "the model has no device configuration '%s'", c->configuration_id);
    return;
  }
  if (strcmp(a->configuration->name, c->configuration_id) != 0)
    return; /* the first one counts, which is said once */
  if (c->stage_case == ONNX__NODE_DEVICE_CONFIGURATION_PROTO__STAGE_PIPELINE_STAGE &&
      c->pipeline_stage)
    fail(a, DIAG_E0347, "pipeline stage %d", c->pipeline_stage);
  for (size_t i = 0; i < c->n_sharding_spec; i++) {
    const char *name = c->sharding_spec[i]->tensor_name;
    bool again = false;
    for (size_t k = 0; k < i; k++)
      again |= !strcmp(c->sharding_spec[k]->tensor_name, name);
    if (again)
      fail(a, DIAG_E0346, "the node has two specs for '%s'", name);
    else if (!names_tensor(a->node, name))
      fail(a, DIAG_E0346, "'%s' is no input or output of the node", name);
    else
      read_spec(a, c->sharding_spec[i], find_tensor(a, name));
  }
}

static void read_nodes(struct annotations *a) {
  const Onnx__GraphProto *graph = a->im->model->proto->graph;
  for (uint32_t i = a->m->node_tensors.len; i-- > 0;)
    strmap_put_c(&a->nodes, a->m->node_tensors.data[i].key, i);
  for (size_t i = 0; i < graph->n_node; i++) {
    a->node = graph->node[i];
    a->index = (int32_t)i;
    for (size_t k = 0; k < a->node->n_device_configurations; k++)
      read_configuration(a, a->node->device_configurations[k]);
  }
  a->node = NULL;
}

void import_annotations(struct importer *im) {
  struct annotations a = {.im = im, .m = im->module};
  strmap_init(&a.nodes);
  if (read_configurations(&a)) {
    if (a.configuration && im->model->proto->n_configuration > 1)
      fail(&a, DIAG_W0341, "of several device configurations '%s' is taken", a.configuration->name);
    if (a.configuration)
      read_nodes(&a);
    else
      for (size_t i = 0; i < im->model->proto->graph->n_node; i++)
        if (im->model->proto->graph->node[i]->n_device_configurations) {
          a.node = im->model->proto->graph->node[i];
          a.index = (int32_t)i;
          fail(&a, DIAG_E0346, "the model has no device configuration '%s'",
               a.node->device_configurations[0]->configuration_id);
        }
  }
  strmap_deinit(&a.nodes);
}
