/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of TCP, and of Unix by abstract names, which leave no files. */
#include "runtime/process/meeting_socket.h"

#include "base/clock.h"

#include "runtime/fault.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* --- Addresses --- */

static void unix_address(const char *name, struct address *out) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  int n =
      snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "sinter-%u-%s", (unsigned)geteuid(), name);
  *out = (struct address){.bytes =
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)};
  memcpy(&out->at, &un, sizeof un);
}

status address_find(const char *meeting, bool to_listen, struct address *out, uint32_t room,
                    uint32_t *out_n) {
  *out_n = 0;
  if (strncmp(meeting, "unix:", 5) == 0) {
    unix_address(meeting + 5, &out[(*out_n)++]);
    return STATUS_OK;
  }
  char host[300];
  const char *port = strrchr(meeting, ':') + 1;
  size_t n = (size_t)(port - 1 - meeting);
  bool bracket = meeting[0] == '[' && n > 2 && meeting[n - 1] == ']';
  snprintf(host, sizeof host, "%.*s", (int)(n - 2 * bracket), meeting + bracket);
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = to_listen ? AI_PASSIVE : 0};
  struct addrinfo *list = NULL;
  int error = getaddrinfo(host, port, &hints, &list);
  for (struct addrinfo *a = list; a && *out_n < room; a = a->ai_next) {
    struct address *to = &out[(*out_n)++];
    *to = (struct address){.bytes = a->ai_addrlen};
    memcpy(&to->at, a->ai_addr, a->ai_addrlen);
  }
  if (list)
    freeaddrinfo(list);
  return error || !*out_n
             ? fault_report(DIAG_E0709, NULL, "MASTER_ADDR names the host of rank 0",
                            "the address of '%s' cannot be found: %s", host, gai_strerror(error))
             : STATUS_OK;
}

uint32_t address_port(const struct address *address) {
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
  memcpy(&in, &address->at, sizeof in);
  memcpy(&in6, &address->at, sizeof in6);
  return address->at.ss_family == AF_INET    ? ntohs(in.sin_port)
         : address->at.ss_family == AF_INET6 ? ntohs(in6.sin6_port)
                                             : 0;
}

void address_set_port(struct address *address, uint32_t port) {
  uint16_t wire = htons((uint16_t)port);
  if (address->at.ss_family == AF_INET)
    memcpy((uint8_t *)&address->at + offsetof(struct sockaddr_in, sin_port), &wire, sizeof wire);
  else if (address->at.ss_family == AF_INET6)
    memcpy((uint8_t *)&address->at + offsetof(struct sockaddr_in6, sin6_port), &wire, sizeof wire);
}

/* --- Connections --- */

static void tune(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on Unix sockets, rightly */
}

int socket_listen(const struct address *address) {
  int on = 1;
  int fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -1;
  if (address->at.ss_family != AF_UNIX)
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (const struct sockaddr *)&address->at, address->bytes) || listen(fd, 1024)) {
    int why = errno;
    close(fd);
    errno = why;
    return -1;
  }
  return fd;
}

static bool wait_for(int fd, short events, uint64_t until) {
  for (;;) {
    uint64_t now = clock_now_ns();
    struct pollfd p = {.fd = fd, .events = events};
    if (now >= until)
      return false;
    int n = poll(&p, 1, (int)((until - now) / 1000000u) + 1);
    if (n > 0)
      return true;
    if (n < 0 && errno != EINTR)
      return false;
  }
}

/* On a Unix socket anybody may have taken the name. */
static bool is_own(int fd) {
  struct ucred peer;
  int family;
  socklen_t n = sizeof family;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) || family != AF_UNIX)
    return true;
  n = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == geteuid();
}

int socket_connect(const struct address *address, uint64_t until) {
  int error = 0;
  socklen_t n = sizeof error;
  int fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -1;
  if (connect(fd, (const struct sockaddr *)&address->at, address->bytes)) {
    error = errno;
    if (error == EINPROGRESS)
      error = !wait_for(fd, POLLOUT, until)                      ? ETIMEDOUT
              : getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) ? errno
                                                                 : error;
  }
  if (!error && !is_own(fd))
    error = EACCES;
  if (error) {
    close(fd);
    errno = error;
    return -1;
  }
  tune(fd);
  return fd;
}

bool socket_send(int fd, const void *data, size_t n, uint64_t until) {
  for (const uint8_t *p = data; n;) {
    ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
    if (sent > 0) {
      p += sent;
      n -= (size_t)sent;
    } else if (errno != EINTR && (errno != EAGAIN || !wait_for(fd, POLLOUT, until))) {
      return false;
    }
  }
  return true;
}

bool socket_receive(int fd, void *data, size_t n, uint64_t until) {
  for (uint8_t *p = data; n;) {
    ssize_t got = recv(fd, p, n, 0);
    if (got > 0) {
      p += got;
      n -= (size_t)got;
    } else if (got == 0 || (errno != EINTR && (errno != EAGAIN || !wait_for(fd, POLLIN, until)))) {
      return false;
    }
  }
  return true;
}

/* --- Visitors --- */

static void forget(struct greeter *g, uint32_t i) { g->visitors[i] = g->visitors[--g->n]; }

static void drop(struct greeter *g, uint32_t i) {
  close(g->visitors[i].fd);
  g->dropped++;
  forget(g, i);
}

static void welcome(struct greeter *g) {
  int fd = accept4(g->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  uint32_t oldest = 0;
  if (fd < 0)
    return;
  for (uint32_t i = 1; i < g->n; i++)
    if (g->visitors[i].since < g->visitors[oldest].since)
      oldest = i;
  if (g->n == GREETER_WAITING)
    drop(g, oldest);
  if (!is_own(fd)) {
    close(fd);
    g->dropped++;
    return;
  }
  tune(fd);
  g->visitors[g->n++] = (struct visitor){.fd = fd, .since = clock_now_ns()};
}

/* Its socket, once it has said all. */
static int listen_to(struct greeter *g, uint32_t i, void *out_greeting) {
  struct visitor *v = &g->visitors[i];
  ssize_t n = recv(v->fd, v->greeting + v->said, g->greeting_bytes - v->said, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return -1;
  if (n <= 0) {
    drop(g, i);
    return -1;
  }
  v->said += (uint32_t)n;
  if (v->said < g->greeting_bytes)
    return -1;
  memcpy(out_greeting, v->greeting, g->greeting_bytes);
  int fd = v->fd;
  forget(g, i);
  return fd;
}

int greeter_next(struct greeter *g, uint64_t until, void *out_greeting) {
  for (uint64_t now; (now = clock_now_ns()) < until;) {
    struct pollfd p[GREETER_WAITING + 1] = {{.fd = g->listener, .events = POLLIN}};
    for (uint32_t i = 0; i < g->n; i++)
      p[i + 1] = (struct pollfd){.fd = g->visitors[i].fd, .events = POLLIN};
    uint64_t ms = (until - now) / 1000000u + 1;
    if (poll(p, g->n + 1, ms < 100 ? (int)ms : 100) <= 0)
      continue;
    for (uint32_t i = g->n; i-- > 0;) {
      int fd = p[i + 1].revents ? listen_to(g, i, out_greeting) : -1;
      if (fd >= 0)
        return fd;
    }
    if (p[0].revents)
      welcome(g);
  }
  return -1;
}

void greeter_deinit(struct greeter *g) {
  while (g->n)
    drop(g, g->n - 1);
}
