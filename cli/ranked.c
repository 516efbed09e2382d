/* SPDX-License-Identifier: Apache-2.0 */
/* See ranked.h. */
#include "cli/ranked.h"

#include "cli/host_tensor.h"
#include "cli/option_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "2/4@host:port" */
static bool parse_world(struct invocation *v, const char *text, struct ranked *out) {
  const char *slash = strchr(text, '/'), *at = slash ? strchr(slash, '@') : NULL;
  uint64_t rank, size;
  if (!at || !at[1] ||
      !value_count(arena_strndup(&v->arena, text, (size_t)(slash - text)), &rank) ||
      !value_count(arena_strndup(&v->arena, slash + 1, (size_t)(at - slash - 1)), &size) ||
      rank >= size || size > UINT32_MAX)
    return false;
  *out = (struct ranked){
      .several = true, .rank = (uint32_t)rank, .size = (uint32_t)size, .meeting = at + 1};
  return true;
}

status ranked_find(struct invocation *v, struct ranked *out) {
  const char *given = option_text(&v->options, OPT_WORLD);
  *out = (struct ranked){.size = 1};
  if (given && strcmp(given, "none") == 0)
    return STATUS_OK;
  if (given)
    return parse_world(v, given, out)
               ? STATUS_OK
               : diag_report(&v->diags, DIAG_E0802, NULL, "write RANK/SIZE@HOST:PORT, or none",
                             "'--world %s' is not understood", given);
  out->several = sinter_world_launched(&out->rank);
  return STATUS_OK;
}

void ranked_mute(const struct ranked *r) {
  if (r->several && r->rank && !freopen("/dev/null", "w", stdout))
    fclose(stdout);
}

status ranked_join(const struct ranked *r, const char *name, struct diags *d,
                   sinter_world **out_world) {
  sinter_world_options options = {.struct_size = sizeof options,
                                  .rank = r->rank,
                                  .size = r->meeting ? r->size : 0,
                                  .meeting = r->meeting,
                                  .name = name};
  return r->several ? runtime_error_to_diags(sinter_world_join(&options, out_world), d) : STATUS_OK;
}

sinter_session_options ranked_options(const struct options *o, sinter_world *world) {
  return (sinter_session_options){
      .struct_size = sizeof(sinter_session_options),
      .devices = option_text(o, OPT_DEVICES),
      .threads = (uint32_t)option_number(o, OPT_THREADS, 0),
      .deadline_ms = (uint64_t)(option_real(o, OPT_DEADLINE, 0) * 1e3),
      .no_graphs = option_given(o, OPT_NO_GRAPHS),
      .check_collectives = option_given(o, OPT_CHECK_COLLECTIVES),
      .faults = getenv("SINTER_FAULTS"),
      .world = world,
  };
}

status ranked_begin(struct invocation *v, sinter_session_options *out) {
  struct ranked r;
  status s = ranked_find(v, &r);
  if (!s)
    s = ranked_join(&r, "", &v->diags, &v->world);
  if (s)
    return s;
  ranked_mute(&r);
  *out = ranked_options(&v->options, v->world);
  return STATUS_OK;
}
