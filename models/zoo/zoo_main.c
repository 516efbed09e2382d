/* SPDX-License-Identifier: Apache-2.0 */
/* zoo: writes one model of the zoo as NAME/model.onnx in ONNX's layout.
 *
 *   zoo NAME [--size tiny|full|large] [--external FILE] [--sparse] -o FOLDER
 *   zoo NAME [--size ...] --cases     the runs that tests and benchmarks make: "name arguments" a
 * line zoo --list                        names, one a line */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "models/zoo/zoo_builder.h"

struct model {
  const char *name;
  bool external;
  void (*build)(struct zoo *z);
};

static const struct model models[] = {
#define ZOO_MODEL(name, external) {#name, external, zoo_build_##name},
#include "models/zoo/zoo.def"
#undef ZOO_MODEL
};

#define N_MODELS (sizeof models / sizeof *models)

static int usage(const char *what) {
  fprintf(stderr,
          "zoo: %s\nusage: zoo NAME [--size tiny|full|large] [--external FILE] [--sparse] "
          "(-o FOLDER | --cases)\n       zoo --list\n",
          what);
  return 2;
}

static const struct model *find_model(const char *name) {
  for (size_t i = 0; i < N_MODELS; i++)
    if (!strcmp(models[i].name, name))
      return &models[i];
  return NULL;
}

static bool parse_size(const char *word, enum zoo_size *out) {
  static const char *const names[] = {"tiny", "full", "large"};
  for (size_t i = 0; i < 3; i++) {
    if (strcmp(names[i], word))
      continue;
    *out = (enum zoo_size)i;
    return true;
  }
  return false;
}

static void list(void) {
  for (size_t i = 0; i < N_MODELS; i++)
    puts(models[i].name);
}

static int make(struct zoo *z, const struct model *model) {
  if (!z->external && model->external && z->size != ZOO_TINY)
    z->external = "model.onnx.data";
  if (z->sparse && !z->external)
    return usage("--sparse is of an external file");
  if (!z->describe && mkdir(z->folder, 0777) && errno != EEXIST) {
    perror(z->folder);
    return 4;
  }
  z->state = UINT64_C(0x9E3779B97F4A7C15);
  model->build(z);
  for (uint32_t i = 0; z->describe && i < z->cases.len; i++)
    printf("%s %s\n", z->cases.data[i].name, z->cases.data[i].arguments);
  zoo_finish(z, model->name);
  return 0;
}

int main(int argc, char **argv) {
  struct zoo z = {0};
  if (argc == 2 && !strcmp(argv[1], "--list")) {
    list();
    return 0;
  }
  const struct model *model = argc > 1 ? find_model(argv[1]) : NULL;
  if (!model)
    return usage("there is no such model");
  for (int i = 2; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (!strcmp(argv[i], "--sparse"))
      z.sparse = true;
    else if (!strcmp(argv[i], "--cases"))
      z.describe = true;
    else if (!value)
      return usage(argv[i]);
    else if (!strcmp(argv[i], "--external"))
      z.external = value, i++;
    else if (!strcmp(argv[i], "-o"))
      z.folder = value, i++;
    else if (!strcmp(argv[i], "--size") && parse_size(value, &z.size))
      i++;
    else
      return usage(argv[i]);
  }
  if (!z.folder && !z.describe)
    return usage("-o is missing");
  return make(&z, model);
}
