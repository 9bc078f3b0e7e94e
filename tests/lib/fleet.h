/* tests/lib/fleet.h - many clients over one epoll: they send what they are
 * told, and tell what comes, message by message.
 *
 * One thread.  They speak RESP2 as far as feeds and channels need it: a reply
 * is a simple string, an error, an integer, a bulk, or an array of bulks and
 * integers.  Anything else ends the process with a line on stderr. */
#ifndef NQ_TESTS_FLEET_H
#define NQ_TESTS_FLEET_H

#include <stdbool.h>

#include "base/slice.h"

struct fleet;

/* `items` are those of an array, or the one of any other reply; `type` is its
 * first byte. */
struct fleet_reply {
    char type;
    unsigned n;
    struct slice items[8];
};

struct fleet_opts {
    int port; /* on 127.0.0.1 */
    unsigned count;
    int receive_buffer; /* SO_RCVBUF; 0: the kernel's */
    /* The connection stands: fleet_send() what it begins with. */
    void (*on_open)(void *arg, unsigned i);
    /* May close or pause any. */
    void (*on_reply)(void *arg, unsigned i, const struct fleet_reply *r);
    /* It was refused, or the server closed it. */
    void (*on_close)(void *arg, unsigned i);
    void *arg;
};

struct fleet *fleet_new(const struct fleet_opts *opts);
void fleet_free(struct fleet *f);
/* Begins to connect, unless that fails at once; i < count.  Not while it is
 * open. */
void fleet_open(struct fleet *f, unsigned i);
bool fleet_is_open(const struct fleet *f, unsigned i);
/* At once, as if the process was killed; on_close() is not called. */
void fleet_close(struct fleet *f, unsigned i);
/* Reads nothing any more, or again: then what is there is told at once. */
void fleet_pause(struct fleet *f, unsigned i, bool is_paused);
/* A request of words between blanks; sent by fleet_poll(). */
void fleet_send(struct fleet *f, unsigned i, const char *line);
/* Works on what is there, after waiting for it at most so long. */
void fleet_poll(struct fleet *f, int timeout_ms);
/* Open connections; all bytes that came. */
unsigned fleet_count_open(const struct fleet *f);
unsigned long long fleet_received(const struct fleet *f);

#endif
