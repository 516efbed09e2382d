/* SPDX-License-Identifier: Apache-2.0 */
/* See exchanges.h. */
#include "cli/exchanges.h"

/* Processes know what they received, and what their groups expect, themselves. */
static void add_up(sinter_world *world, sinter_exchange *e) {
  uint64_t mine[] = {e->bytes, e->expected}, all[SINTER_WORLD_MOST][2];
  if (!world || sinter_world_exchange(world, mine, sizeof mine, all))
    return;
  e->bytes = e->expected = 0;
  for (uint32_t i = 0; i < sinter_world_size(world); i++) {
    e->bytes += all[i][0];
    e->expected += all[i][1];
  }
}

/* An exchange that took place in the last run. */
static int took_place(const sinter_session *session, sinter_world *world, uint32_t number,
                      sinter_exchange *out) {
  out->struct_size = sizeof *out;
  if (sinter_session_get_exchange(session, number, out))
    return 0;
  add_up(world, out);
  return out->times != 0;
}

void exchanges_print(const sinter_session *session, sinter_world *world, FILE *out) {
  uint64_t bytes = 0, expected = 0, times = 0;
  sinter_exchange e;
  for (uint32_t i = 0; i < sinter_session_exchange_count(session); i++)
    if (took_place(session, world, i, &e)) {
      bytes += e.bytes;
      expected += e.expected;
      times += e.times;
    }
  if (times)
    fprintf(out, "exchanges %llu per run, %llu B received by all ranks, %llu B by the plan\n",
            (unsigned long long)times, (unsigned long long)bytes, (unsigned long long)expected);
}

void exchanges_json(const sinter_session *session, sinter_world *world, struct json *j) {
  sinter_exchange e;
  if (!sinter_session_exchange_count(session))
    return;
  json_key(j, "exchanges");
  json_array_begin(j);
  for (uint32_t i = 0; i < sinter_session_exchange_count(session); i++) {
    if (!took_place(session, world, i, &e))
      continue;
    json_object_begin(j);
    json_key(j, "number"), json_u64(j, i);
    json_key(j, "kind"), json_string(j, e.kind);
    json_key(j, "node"), json_string(j, e.node);
    json_key(j, "ranks"), json_u64(j, e.ranks);
    json_key(j, "times"), json_u64(j, e.times);
    json_key(j, "bytes"), json_u64(j, e.bytes);
    json_key(j, "expected_bytes"), json_u64(j, e.expected);
    json_object_end(j);
  }
  json_array_end(j);
}
