/* SPDX-License-Identifier: Apache-2.0 */
/* What ranks gave each other in a session's last run, for reports. Nothing where there is one rank.
 */
#ifndef SINTER_CLI_EXCHANGES_H
#define SINTER_CLI_EXCHANGES_H

#include "base/json.h"
#include "include/sinter/runtime.h"

#include <stdio.h>

/* world: NULL, or the processes whose counts are added up; all of them call this. */
void exchanges_print(const sinter_session *session, sinter_world *world, FILE *out);

/* A key "exchanges" with an array, in an object. */
void exchanges_json(const sinter_session *session, sinter_world *world, struct json *j);

#endif
