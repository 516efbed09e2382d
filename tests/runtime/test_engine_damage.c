/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Engines that are not what they should be. A damaged file is refused with a code; a manifest
 * changed at random, with all digests made right again, is refused or runs without a crash. The
 * plan here has no kernels, so that what runs is the runtime's own code only.
 */
#include "tests/support/engine_fixture.h"

#include "base/hash.h"
#include "runtime/engine_write.h"

#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

/* A plan with every step but launch: y = x through a loop, a branch, aliases, packing, a
 * data-dependent size. */
static void make_plan(struct engine_maker *e) {
  static const int64_t numbers[] = {2, 3};
  engine_maker_init(e, 1);
  struct manifest_build *b = &e->build;
  uint32_t s[3], x[3];
  const char *names[] = {"n", "k", "t"};
  for (int i = 0; i < 3; i++) {
    s[i] = manifest_build_symbol(b, names[i], 0, 64);
    x[i] = manifest_build_symbol_expr(b, s[i]);
  }
  uint32_t one = engine_const(e, 1), two = engine_const(e, 2);
  uint32_t c = engine_constant(e, "numbers", DTYPE_I64, numbers, 2);
  uint32_t entry = manifest_build_entry(b, "main");
  uint32_t in = engine_input(e, entry, "x", DTYPE_U8, x[0]);
  uint32_t packed = engine_input(e, entry, "p", DTYPE_U4, x[0]);
  uint32_t y = engine_output(e, entry, 1, "y", DTYPE_U8, x[1]);
  uint32_t z = engine_output(e, entry, 0, "z", DTYPE_U4, x[0]);
  uint32_t wide = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_U8, x[0], 0, 3);
  uint32_t flag = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_I32, one, 1, 4);
  uint32_t part = engine_value(e, ENGINE__STORAGE__ALIAS, 0, 0, DTYPE_I64, one, 0, 0);
  b->manifest.values[part]->alias_of = c;
  b->manifest.values[part]->offset = engine_const(e, 8);
  uint32_t param = engine_value(e, ENGINE__STORAGE__DYNAMIC, 0, 0, DTYPE_U8, x[1], 0, 0);
  uint32_t next =
      engine_value(e, ENGINE__STORAGE__DYNAMIC, 0, 0, DTYPE_U8, engine_plus(e, x[1], 1), 0, 0);
  uint32_t scan = engine_value(e, ENGINE__STORAGE__DYNAMIC, 0, 0, DTYPE_I32, x[2], 0, 0);
  uint32_t iteration = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_I64, one, 1, 4);
  uint32_t node = manifest_build_provenance(b, "/node", "Loop", 1);

  uint32_t block = manifest_build_block(b);
  Engine__Variant *variant = manifest_build_variant(b, entry, block);
  manifest_build_guard(b, variant, x[0], ENGINE__RELATION__LE, engine_const(e, 64));
  manifest_build_step_layout(b, block);
  Engine__Unpack *unpack = manifest_build_step_unpack(b, block);
  unpack->dst = wide, unpack->src = packed, unpack->elements = x[0], unpack->dtype = DTYPE_U4;
  Engine__Pack *pack = manifest_build_step_pack(b, block);
  pack->dst = z, pack->src = wide, pack->elements = x[0], pack->dtype = DTYPE_U4;
  Engine__Fill *fill = manifest_build_step_fill(b, block);
  fill->dst = flag, fill->bytes = engine_const(e, 4), fill->byte = 1;
  Engine__Check *check = manifest_build_step_check(b, block);
  check->condition->b = x[0], check->condition->relation = ENGINE__RELATION__LE;
  manifest_build_step_provenance(b, block, &node, 1);
  Engine__BindSymbol *bind = manifest_build_step_bind_symbol(b, block);
  bind->symbol = s[2], bind->value = c, bind->element = one;
  Engine__SetSymbol *set = manifest_build_step_set_symbol(b, block);
  set->symbol = s[2], set->expr = two;
  Engine__If *branch = manifest_build_step_if_(b, block);
  branch->condition = flag;
  branch->then_block = manifest_build_block(b);
  Engine__Loop *loop = manifest_build_step_loop(b, branch->then_block);
  manifest_build_step_provenance(b, branch->then_block, &node, 1);
  loop->trip = ENGINE__TRIP__FROM_VALUE, loop->trip_value = part, loop->iteration = iteration,
  loop->trip_symbol = s[2];
  loop->body = manifest_build_block(b);
  manifest_build_carried_dim(b, manifest_build_carried(b, loop, in, param, next), s[1], x[0],
                             engine_plus(e, x[1], 1));
  manifest_build_scan(b, loop, flag, scan);
  manifest_build_step_reserve(b, loop->body)->value = next;
  Engine__Copy *copy = manifest_build_step_copy(b, loop->body);
  copy->dst = next, copy->src = param, copy->bytes = x[1];
  Engine__Exchange *exchange = manifest_build_step_exchange(b, block);
  manifest_build_exchange_axis(b, exchange, manifest_build_axis(b, "tp", 1), 0, 0);
  manifest_build_exchange_part(b, exchange, flag, flag, one);
  manifest_build_step_layout(b, block)->phase = 1;
  copy = manifest_build_step_copy(b, block);
  copy->dst = y, copy->src = param, copy->bytes = x[1];
}

/* A plan for 2 x 2 ranks with every kind of exchange, whose ranks have different parts of a
 * constant: y = what the rank at the other end sent. */
static void make_ranks_plan(struct engine_maker *e) {
  static const int64_t numbers[2][8] = {{1, 2, 3}, {1, 5, 6}};
  engine_maker_init(e, 1);
  struct manifest_build *b = &e->build;
  uint32_t a = manifest_build_axis(b, "a", 2), tp = manifest_build_axis(b, "tp", 2);
  uint32_t sn = manifest_build_symbol(b, "n", 0, 64), sk = manifest_build_symbol(b, "k", 0, 64);
  uint32_t n = manifest_build_symbol_expr(b, sn), one = engine_const(e, 1);
  uint32_t coord = manifest_build_expr(b, EXPR_COORD, a, 0, 2);
  uint32_t c = engine_constant(e, "numbers", DTYPE_I64, numbers, 16);
  b->manifest.constants[0]->parts = 2;
  b->manifest.values[c]->bytes = engine_const(e, 64);
  b->manifest.values[c]->part = coord;
  uint32_t entry = manifest_build_entry(b, "main");
  uint32_t x = engine_input(e, entry, "x", DTYPE_U8, n);
  engine_input(e, entry, "p", DTYPE_U4, n);
  uint32_t y = engine_output(e, entry, 0, "y", DTYPE_U8, n);
  uint32_t z = engine_output(e, entry, 0, "z", DTYPE_U8, engine_times(e, n, 2));
  uint32_t t = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_U8, n, 0, 9);
  uint32_t u = engine_value(e, ENGINE__STORAGE__ARENA, 0, 0, DTYPE_U8, engine_times(e, n, 2), 0, 9);
  uint32_t block = manifest_build_block(b);
  manifest_build_variant(b, entry, block);
  manifest_build_step_layout(b, block);
  Engine__BindSymbol *bind = manifest_build_step_bind_symbol(b, block);
  bind->symbol = sk, bind->value = c;
  Engine__Loop *loop = manifest_build_step_loop(b, block);
  loop->trip = ENGINE__TRIP__FROM_VALUE, loop->trip_value = c;
  loop->body = manifest_build_block(b);
  static const Engine__ExchangeKind kinds[] = {
      ENGINE__EXCHANGE_KIND__ALL_REDUCE, ENGINE__EXCHANGE_KIND__ALL_GATHER,
      ENGINE__EXCHANGE_KIND__ALL_TO_ALL, ENGINE__EXCHANGE_KIND__REDUCE_SCATTER,
      ENGINE__EXCHANGE_KIND__PERMUTE};
  const uint32_t src[] = {x, t, u, z, t}, dst[] = {t, u, z, t, y};
  for (int i = 0; i < 5; i++) {
    Engine__Exchange *ex = manifest_build_step_exchange(b, i == 2 ? loop->body : block);
    ex->kind = kinds[i];
    ex->reduction = ENGINE__REDUCTION__MAX;
    manifest_build_exchange_axis(b, ex, i % 2 ? a : tp, 0, 0);
    manifest_build_exchange_part(b, ex, src[i], dst[i], i == 2 ? one : n);
    if (i == 4)
      manifest_build_exchange_from(b, ex, (uint32_t[]){1, 0}, 2);
  }
}

static sinter_session *running;

static void on_alarm(int signal_number) {
  (void)signal_number;
  sinter_session_cancel(running);
}

/* Runs "main" as make_plan means it, whatever has become of the plan. */
static sinter_status run_plan(sinter_engine *engine, uint8_t *out_y, uint64_t *out_n) {
  uint8_t x[64] = {5, 6, 7}, p[32] = {0x21, 0x03};
  sinter_session_options options = {
      .struct_size = sizeof options, .threads = 1, .memory_limit = 1 << 20, .deadline_ms = 100};
  sinter_session *session;
  sinter_status st = sinter_session_create(engine, &options, &session);
  if (st)
    return st;
  running = session;
  sinter_tensor inputs[] = {engine_tensor(SINTER_U8, 3, x, sizeof x),
                            engine_tensor(SINTER_U4, 3, p, sizeof p)};
  sinter_tensor outputs[2] = {0};
  st = sinter_session_run(session, "main", inputs, 2, outputs, 2);
  if (!st && out_y) {
    *out_n = outputs[0].bytes;
    memcpy(out_y, outputs[0].data, outputs[0].bytes);
  }
  running = NULL;
  sinter_session_destroy(session);
  return st;
}

static void whole_engine_runs(void **state) {
  (void)state;
  struct engine_maker e;
  size_t n;
  make_plan(&e);
  uint8_t *bytes = engine_maker_bytes(&e, &n), y[64];
  sinter_engine *engine = engine_maker_open(bytes, n);
  uint64_t y_bytes;
  assert_ok(run_plan(engine, y, &y_bytes));
  assert_int_equal(y_bytes, 6);
  assert_memory_equal(y, ((uint8_t[]){5, 6, 7}), 3);
  sinter_engine_close(engine);
  free(bytes);
  engine_maker_deinit(&e);
}

/* A refusal that says which: its code is one of the engine file's. */
static void assert_refused(sinter_status st, const char *what, size_t at) {
  if (st == SINTER_OK || memcmp(sinter_last_error_code(), "E05", 3) != 0)
    fail_msg("%s %zu: %d %s", what, at, st, sinter_last_error());
}

static void truncated_at_every_byte(void **state) {
  (void)state;
  struct engine_maker e;
  size_t n;
  make_plan(&e);
  uint8_t *bytes = engine_maker_bytes(&e, &n);
  sinter_engine *engine;
  for (size_t k = 0; k < n; k++) {
    uint8_t *cut = aligned_alloc(
        64, (k + 64) & ~(size_t)63); /* an exact end lets the sanitizer see overruns */
    memcpy(cut, bytes, k);
    assert_refused(sinter_engine_open_memory(cut, k, NULL, &engine), "cut at", k);
    free(cut);
  }
  uint8_t *longer = aligned_alloc(64, (n + 128) & ~(size_t)63);
  memcpy(longer, bytes, n);
  longer[n] = 0;
  assert_error(sinter_engine_open_memory(longer, n + 1, NULL, &engine), SINTER_INVALID, "E0502",
               "should have");
  free(longer);
  free(bytes);
  engine_maker_deinit(&e);
}

static void every_flipped_bit_is_found(void **state) {
  (void)state;
  struct engine_maker e;
  size_t n;
  make_plan(&e);
  uint8_t *bytes = engine_maker_bytes(&e, &n);
  sinter_engine *engine;
  sinter_engine_options verify = {.struct_size = sizeof verify, .verify_weights = 1};
  for (size_t k = 0; k < n; k++)
    for (int bit = 0; bit < 8; bit += k < ENGINE_PAGE ? 1 : 3) {
      bytes[k] ^= (uint8_t)(1 << bit);
      assert_refused(sinter_engine_open_memory(bytes, n, &verify, &engine), "bit of byte", k);
      bytes[k] ^= (uint8_t)(1 << bit);
    }
  free(bytes);
  engine_maker_deinit(&e);
}

static void damaged_weight_is_named(void **state) {
  (void)state;
  struct engine_maker e;
  size_t n;
  make_plan(&e);
  uint8_t *bytes = engine_maker_bytes(&e, &n);
  bytes[ENGINE_PAGE] ^= 1; /* weights are the first section */
  sinter_engine *engine = engine_maker_open(bytes, n);
  assert_error(sinter_engine_verify_weights(engine), SINTER_INVALID, "E0509",
               "weight 0 'numbers' (16 B)");
  sinter_engine_close(engine);
  free(bytes);
  engine_maker_deinit(&e);
}

static void not_an_engine(void **state) {
  (void)state;
  static const char *const texts[] = {"<!DOCTYPE html><html><head>",
                                      "PK\x03\x04",
                                      "version https://git-lfs.github.com/spec/v1",
                                      "GGUF",
                                      "\x80\x04\x95",
                                      "\x7f"
                                      "ELF"};
  _Alignas(64) uint8_t bytes[256];
  sinter_engine *engine;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, texts[i], strlen(texts[i]));
    assert_error(sinter_engine_open_memory(bytes, sizeof bytes, NULL, &engine), SINTER_INVALID,
                 "E0501", "not an engine");
    assert_error(sinter_engine_open_memory(bytes, 3, NULL, &engine), SINTER_INVALID, "E0501",
                 "not an engine");
  }
  assert_error(sinter_engine_open_memory(bytes + 1, 100, NULL, &engine), SINTER_USAGE, "E0618",
               "aligned");
}

/* An empty message decodes: its tables lack their first rows. */
static void empty_manifest(void **state) {
  (void)state;
  char path[512];
  engine_maker_path(path, sizeof path, "empty_manifest");
  struct engine_writer w;
  assert_int_equal(engine_writer_open(&w, path, NULL), STATUS_OK);
  engine_writer_begin(&w, ENGINE_SECTION_MANIFEST, NULL);
  assert_int_equal(engine_writer_commit(&w, NULL), STATUS_OK);
  sinter_engine *engine;
  assert_error(sinter_engine_open(path, NULL, &engine), SINTER_INVALID, "E0507", "0 strings");
  unlink(path);
}

/* Header and section digests made right again. */
static void reseal(uint8_t *bytes) {
  struct engine_header header;
  memcpy(&header, bytes, sizeof header);
  struct engine_section *sections = (struct engine_section *)(void *)(bytes + sizeof header);
  for (uint32_t i = 0; i < header.section_count; i++) {
    struct digest digest = digest_bytes(bytes + sections[i].offset, sections[i].bytes);
    memcpy(sections[i].digest, digest.b, 16);
  }
  struct digest_stream stream;
  digest_stream_init(&stream);
  digest_stream_update(&stream, &header, offsetof(struct engine_header, digest));
  digest_stream_update(&stream, sections, header.section_count * sizeof *sections);
  struct digest digest = digest_stream_final(&stream);
  memcpy(bytes + offsetof(struct engine_header, digest), digest.b, 16);
}

static void newer_version(void **state) {
  (void)state;
  struct engine_maker e;
  size_t n;
  make_plan(&e);
  uint8_t *bytes = engine_maker_bytes(&e, &n);
  bytes[offsetof(struct engine_header, version)] = 2;
  reseal(bytes);
  sinter_engine *engine;
  assert_error(sinter_engine_open_memory(bytes, n, NULL, &engine), SINTER_UNSUPPORTED, "E0503",
               "version 2, this runtime reads 1");
  free(bytes);
  engine_maker_deinit(&e);
}

static uint64_t seed = 88172645463325252u;

static uint64_t random_u64(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  return seed ^= seed << 17;
}

/* Opens and, if it opens, asks and runs. */
static int try_changed(uint8_t *bytes, size_t n) {
  sinter_engine *engine;
  reseal(bytes);
  if (sinter_engine_open_memory(bytes, n, NULL, &engine))
    return 0;
  for (uint32_t i = 0; i < sinter_engine_entry_count(engine); i++)
    for (uint32_t k = 0; k < sinter_engine_input_count(engine, i); k++)
      assert_non_null(sinter_engine_input(engine, i, k)->name);
  if (sinter_engine_rank_count(engine) <= 16)
    run_plan(engine, NULL, NULL);
  sinter_engine_close(engine);
  return 1;
}

/* Every byte of a manifest to some of all values (one in `sparse`), then several at once. */
static void change_manifest(void (*make)(struct engine_maker *), unsigned sparse, int several) {
  struct engine_maker e;
  size_t n;
  make(&e);
  uint8_t *bytes = engine_maker_bytes(&e, &n);
  struct engine_section *manifest =
      (struct engine_section *)(void *)(bytes + sizeof(struct engine_header)) + 1;
  assert_int_equal(manifest->kind, ENGINE_SECTION_MANIFEST);
  uint8_t *m = bytes + manifest->offset, *whole = malloc(manifest->bytes);
  memcpy(whole, m, manifest->bytes);
  signal(SIGALRM, on_alarm);
  setitimer(ITIMER_REAL, &(struct itimerval){{0, 20000}, {0, 20000}}, NULL); /* endless loops end */
  int opened = 0, rounds = 0;
  for (size_t k = 0; k < manifest->bytes; k++)
    for (int value = 0; value < 256; value += 1 + (int)(random_u64() % sparse)) {
      m[k] = (uint8_t)value;
      opened += try_changed(bytes, n);
      rounds++;
      m[k] = whole[k];
    }
  for (int i = 0; i < several; i++) {
    for (uint64_t k = 0, changes = 2 + random_u64() % 4; k < changes; k++)
      m[random_u64() % manifest->bytes] = (uint8_t)(random_u64() % (i % 2 ? 256 : 16));
    opened += try_changed(bytes, n);
    rounds++;
    memcpy(m, whole, manifest->bytes);
  }
  setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
  print_message("%d of %d changed manifests opened\n", opened, rounds);
  assert_true(opened > 100);
  free(whole);
  free(bytes);
  engine_maker_deinit(&e);
}

static void changed_manifests(void **state) {
  (void)state;
  change_manifest(make_plan, 29, 4000);
}

/* Ranks that are told different things neither hang nor crash. */
static void changed_manifests_of_ranks(void **state) {
  (void)state;
  struct engine_maker e;
  size_t n;
  make_ranks_plan(&e);
  uint8_t *bytes = engine_maker_bytes(&e, &n);
  sinter_engine *engine = engine_maker_open(bytes, n);
  assert_ok(run_plan(engine, NULL, NULL));
  sinter_engine_close(engine);
  free(bytes);
  engine_maker_deinit(&e);
  change_manifest(make_ranks_plan, 256, 600);
}

/* Section tables changed at random, sealed again. */
static void changed_tables(void **state) {
  (void)state;
  struct engine_maker e;
  size_t n;
  make_plan(&e);
  uint8_t *bytes = engine_maker_bytes(&e, &n), page[ENGINE_PAGE];
  memcpy(page, bytes, sizeof page);
  for (int i = 0; i < 20000; i++) {
    struct engine_header header;
    size_t end = sizeof header + 2 * sizeof(struct engine_section);
    bytes[sizeof header + random_u64() % (end - sizeof header)] = (uint8_t)random_u64();
    /* Only the header: section digests would read what the table says. */
    struct digest_stream stream;
    digest_stream_init(&stream);
    digest_stream_update(&stream, bytes, offsetof(struct engine_header, digest));
    digest_stream_update(&stream, bytes + sizeof header, end - sizeof header);
    struct digest digest = digest_stream_final(&stream);
    memcpy(bytes + offsetof(struct engine_header, digest), digest.b, 16);
    sinter_engine *engine;
    if (sinter_engine_open_memory(bytes, n, NULL, &engine) == SINTER_OK)
      sinter_engine_close(engine);
    memcpy(bytes, page, sizeof page);
  }
  free(bytes);
  engine_maker_deinit(&e);
}

static void writer_is_deterministic(void **state) {
  (void)state;
  uint8_t *bytes[2];
  size_t n[2];
  for (int i = 0; i < 2; i++) {
    struct engine_maker e;
    make_plan(&e);
    bytes[i] = engine_maker_bytes(&e, &n[i]);
    engine_maker_deinit(&e);
  }
  assert_int_equal(n[0], n[1]);
  assert_memory_equal(bytes[0], bytes[1], n[0]);
  free(bytes[0]);
  free(bytes[1]);
}

static void writer_limits(void **state) {
  (void)state;
  char path[512];
  engine_maker_path(path, sizeof path, "writer_limits");
  struct engine_writer w;
  struct diags d;
  diags_init(&d);
  assert_int_equal(engine_writer_open(&w, path, &d), STATUS_OK);
  for (uint32_t i = 0; i <= ENGINE_MAX_SECTIONS; i++) {
    engine_writer_begin(&w, ENGINE_SECTION_CODE, "x86-64");
    engine_writer_end(&w);
  }
  assert_int_equal(engine_writer_commit(&w, &d), STATUS_RESOURCES);
  assert_int_equal(diags_count(&d), 1);
  assert_int_equal(access(path, F_OK), -1);
  diags_deinit(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whole_engine_runs),
      cmocka_unit_test(truncated_at_every_byte),
      cmocka_unit_test(every_flipped_bit_is_found),
      cmocka_unit_test(damaged_weight_is_named),
      cmocka_unit_test(not_an_engine),
      cmocka_unit_test(newer_version),
      cmocka_unit_test(empty_manifest),
      cmocka_unit_test(changed_tables),
      cmocka_unit_test(changed_manifests),
      cmocka_unit_test(changed_manifests_of_ranks),
      cmocka_unit_test(writer_is_deterministic),
      cmocka_unit_test(writer_limits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
