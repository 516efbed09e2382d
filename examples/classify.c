/* SPDX-License-Identifier: Apache-2.0 */
/* Runs an engine of models/digits_cnn on images of digits and says how many it recognised.
 *
 *     classify digits.sinter digits_test_images.f32 digits_test_labels.i64 */
#include <sinter/runtime.h>
#include <stdio.h>
#include <stdlib.h>

/* The whole file; *count is how many elements of that size it has. */
static void *read_file(const char *path, size_t size, int64_t *count) {
  FILE *f = fopen(path, "rb");
  if (!f || fseek(f, 0, SEEK_END)) {
    perror(path);
    exit(4);
  }
  *count = ftell(f) / (long)size;
  rewind(f);
  void *data = malloc((size_t)*count * size + 1);
  if (!data || fread(data, size, (size_t)*count, f) != (size_t)*count) {
    perror(path);
    exit(4);
  }
  fclose(f);
  return data;
}

static void check(sinter_status status) {
  if (status != SINTER_OK) {
    fputs(sinter_last_error(), stderr);
    exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: classify ENGINE IMAGES LABELS\n");
    return 2;
  }
  int64_t pixels, n, right = 0;
  float *images = read_file(argv[2], sizeof *images, &pixels);
  int64_t *labels = read_file(argv[3], sizeof *labels, &n);

  sinter_engine *engine;
  sinter_session *session;
  check(sinter_engine_open(argv[1], NULL, &engine));
  check(sinter_session_create(engine, NULL, &session));
  sinter_tensor image = {SINTER_F32, 4, {n, 1, 8, 8}, images, (uint64_t)pixels * 4};
  sinter_tensor probability = {0};
  check(sinter_session_run(session, "main", &image, 1, &probability, 1));
  const float *row = probability.data;
  for (int64_t i = 0; i < n; i++, row += 10) {
    int best = 0;
    for (int digit = 1; digit < 10; digit++)
      best = row[digit] > row[best] ? digit : best;
    right += best == labels[i];
  }
  printf("%d of %d images right: %.2f %%\n", (int)right, (int)n, 100.0 * (double)right / (double)n);
  sinter_session_destroy(session);
  sinter_engine_close(engine);
}
