/* tests/lib/client.h - a small client of RESP2 and RESP3 for tests: raw bytes
 * out, replies in as one line of text, so that they are easy to state and to
 * compare.
 *
 *   +OK  -ERR text  :1  "bulk \x00"  (nil)  (nil array)  [a, b]  {k: v}
 *   ~[a]  >[push]  ,1.5  #t  (12345 (big number)  =txt"verbatim"
 *   (closed)  the server closed; (timeout)  nothing came in 5 s
 *   (garbage) what came is no RESP */
#ifndef NQ_TESTS_CLIENT_H
#define NQ_TESTS_CLIENT_H

#include "base/buf.h"
#include "live_server.h"

struct client {
    int fd;
    struct buf in; /* received, from `at` on not yet read */
    size_t at;
    struct buf text; /* of the last reply */
    struct buf out;
    int timeout_ms; /* 5000 */
};

void client_open(struct client *c, const struct live_server *s);
/* False: refused. */
bool client_try_open(struct client *c, int port);
void client_open_unix(struct client *c, const char *path);
void client_close(struct client *c);

void client_send_raw(struct client *c, const void *p, size_t n);
void client_send_argv(struct client *c, const struct slice *argv, unsigned n);
/* Words of `line` at blanks; "double quoted" ones may have \xhh, \r, \n, \",
 * \\ in them. */
void client_send(struct client *c, const char *line);
/* Borrowed until the next one. */
const char *client_read(struct client *c);

/* One command, one reply. */
const char *client_ask(struct client *c, const char *line);
/* The same, and the reply must be `want`, or begin with it if that ends in
 * "...". */
void client_expect(struct client *c, const char *line, const char *want);
/* The next reply must be. */
void client_expect_read(struct client *c, const char *want);

/* The value of a field of INFO, or -1; for numbers. */
long long client_info(struct client *c, const char *section, const char *field);

#endif
