/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets between the processes of a world. Whoever listens is open to any program that connects:
 * a visitor is let in only once it has said a greeting of the right form, is dropped otherwise, and
 * while it says nothing it keeps nobody else out.
 */
#ifndef SINTER_RUNTIME_MEETING_SOCKET_H
#define SINTER_RUNTIME_MEETING_SOCKET_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
  struct sockaddr_storage at;
  socklen_t bytes;
};

/* The addresses of a meeting place. Errors: E0709. */
status address_find(const char *meeting, bool to_listen, struct address *out, uint32_t room,
                    uint32_t *out_n);
uint32_t address_port(const struct address *address);
void address_set_port(struct address *address, uint32_t port);

/* Listens at an address, on a port of the system's choice if that is 0. -1: errno says why. */
int socket_listen(const struct address *address);

/* One attempt to connect, until a time. -1: errno says why. Unix sockets: only to a process of the
 * same user. */
int socket_connect(const struct address *address, uint64_t until);

/* Sockets do not block. All of it, until a time; false: the time is over or the other has gone. */
bool socket_send(int fd, const void *data, size_t n, uint64_t until);
bool socket_receive(int fd, void *data, size_t n, uint64_t until);

#define GREETER_WAITING 32

/* Visitors of one listener who have not said all yet. */
struct greeter {
  int listener;
  uint32_t greeting_bytes; /* at most 128 */
  struct visitor {
    int fd;
    uint32_t said;
    uint64_t since;
    uint8_t greeting[128];
  } visitors[GREETER_WAITING];
  uint32_t n;
  uint32_t dropped; /* visitors that were not let in */
};

/* The next visitor who has said a whole greeting: its socket, which is the caller's now. -1: none
 * came in time. The oldest silent visitors make room for new ones. */
int greeter_next(struct greeter *g, uint64_t until, void *out_greeting);
void greeter_deinit(struct greeter *g); /* not the listener */

#endif
