/* tests/lib/wal_fixture.h - a log in a directory of its own, with numbered
 * effects: number n has the key "n" and arguments that follow from n, so a
 * replay can check each one and that none is missing. */
#ifndef NQ_TESTS_WAL_FIXTURE_H
#define NQ_TESTS_WAL_FIXTURE_H

#include <stdatomic.h>

#include "store/wal.h"

struct wal_fixture {
    char dir[64];
    struct wal_opts opts;
    struct wal_start start;
    struct wal *w;
    uint64_t put;      /* effects appended so far */
    uint64_t replayed; /* number of the last effect replayed */
    _Atomic unsigned wakes;
};

/* A fresh directory; small segments and buffer. */
void wal_fixture_init(struct wal_fixture *f, enum wal_fsync fsync);
/* Closes what is open, removes the directory. */
void wal_fixture_fini(struct wal_fixture *f);
/* Copies the files of `from` into the fresh directory of `to`. */
void wal_fixture_copy(struct wal_fixture *to, const struct wal_fixture *from);

/* Opens and replays to the end, checking effects from f->start.from on, the
 * first of which is number `first`.  The log thread is not started. */
nq_rc wal_fixture_replay(struct wal_fixture *f, uint64_t first);
/* The same, which must succeed, and starts. */
void wal_fixture_open(struct wal_fixture *f, uint64_t first);
void wal_fixture_close(struct wal_fixture *f);

/* Appends effect number f->put + 1 with `len` bytes of arguments. */
nq_rc wal_fixture_put(struct wal_fixture *f, size_t len);
/* A frame of `n` effects; returns its LSN. */
lsn wal_fixture_frame(struct wal_fixture *f, unsigned n, size_t len);

/* Wait (at most 10 s) until everything committed is settled, or durable. */
bool wal_fixture_settle(struct wal_fixture *f);
bool wal_fixture_durable(struct wal_fixture *f);
/* Waits until wal_writable() says `rc`. */
bool wal_fixture_state(struct wal_fixture *f, nq_rc rc);

/* Path of segment `number` in a static buffer; its size, 0 without one. */
const char *wal_fixture_path(const struct wal_fixture *f, unsigned number);
uint64_t wal_fixture_size(const struct wal_fixture *f, unsigned number);
/* The whole file; *len is its size; caller frees with nq_free. */
uint8_t *wal_fixture_load(const char *path, size_t *len);
/* Overwrites `n` bytes at `off`. */
void wal_fixture_poke(const char *path, uint64_t off, const void *p, size_t n);

#endif
