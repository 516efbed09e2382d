/* SPDX-License-Identifier: Apache-2.0 */
/* An engine under test with its session. Include after cmocka.h's own prerequisites. */
#ifndef SINTER_TESTS_ENGINE_FIXTURE_H
#define SINTER_TESTS_ENGINE_FIXTURE_H

#include "tests/support/engine_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
  struct engine_maker maker; /* filled in by the test */
  uint8_t *bytes;
  size_t n;
  sinter_engine *engine;
  sinter_session *session;
};

/* What the fixtures of a program run on: "cpu", or "sim" for simulated GPUs. */
static const char *fixture_driver = "cpu";

static inline void fixture_open(struct fixture *f, uint32_t threads) {
  f->bytes = engine_maker_bytes(&f->maker, &f->n);
  f->engine = engine_maker_open(f->bytes, f->n);
  uint32_t ranks = f->maker.build.manifest.ranks;
  char devices[16];
  snprintf(devices, sizeof devices, "%s:%u", fixture_driver, ranks ? ranks : 1);
  sinter_session_options options = {
      .struct_size = sizeof options, .threads = threads, .devices = devices};
  if (sinter_session_create(f->engine, &options, &f->session))
    fail_msg("%s", sinter_last_error());
}

static inline void fixture_close(struct fixture *f) {
  sinter_session_destroy(f->session);
  sinter_engine_close(f->engine);
  free(f->bytes);
  engine_maker_deinit(&f->maker);
}

#define assert_ok(expression)                                                                      \
  do {                                                                                             \
    if (expression)                                                                                \
      fail_msg("%s", sinter_last_error());                                                         \
  } while (0)

static inline void assert_error(sinter_status found, sinter_status wanted, const char *code,
                                const char *text) {
  if (found != wanted || strcmp(sinter_last_error_code(), code) != 0 ||
      !strstr(sinter_last_error(), text))
    fail_msg("wanted %d %s '%s', found %d: %s", wanted, code, text, found, sinter_last_error());
}

#endif
