/* cmd/changes_int.h - what the files of changes share: changes.c,
 * change_reader.c, change_log.c.  Private to them. */
#ifndef NQ_CMD_CHANGES_INT_H
#define NQ_CMD_CHANGES_INT_H

#include "base/buf.h"
#include "base/list.h"
#include "cmd/changes.h"
#include "os/pool.h"
#include "store/pgno.h"

struct wal;
struct wal_tail;

/* --- the ring: the last changes ------------------------------------------- */

struct told {
    lsn at;
    uint32_t db, key_len, args_len;
    uint8_t bytes[]; /* key, arguments */
};

/* Change number i, counted from the start, is at[i % cap]; they are there from
 * `first` on, and are all that have an LSN above `floor`. */
struct ring {
    struct told **at;
    uint32_t cap; /* a power of two */
    uint64_t first, next;
    uint64_t bytes;
    lsn floor;
};

/* --- changes -------------------------------------------------------------- */

struct changes {
    struct db *db; /* NULL: detached */
    struct store *store;
    struct wal *wal;
    struct changes_opts opts;
    bool has_begun; /* replay is over, the ring's floor is known */
    struct ring ring;
    lsn seen;            /* changes up to here were told to be settled */
    struct list live;    /* readers that have all that is settled */
    struct list ready;   /* readers whose ready() is to be called */
    struct list wanting; /* readers that wait for a worker */
    unsigned reading;    /* fetches on workers */
    uint32_t readers, lagging;
    uint64_t from_log, log_reads, swept_ms;
    lsn hold;
};

/* Replay has ended: changes can be given. */
bool changes_begin(struct changes *ch);
/* The number of the first change behind `after` in the ring. */
uint64_t ring_find(const struct ring *r, lsn after);
static inline const struct told *
ring_at(const struct ring *r, uint64_t i)
{
    return r->at[i & (r->cap - 1)];
}

/* --- change_log.c: a batch of changes, read from the log ------------------ */

struct fetch {
    struct job job;
    struct changes *ch;
    struct change_reader *reader; /* NULL: closed meanwhile, nobody wants it */
    struct wal_tail *tail;
    struct buf lo, hi; /* of the range */
    struct key_range range;
    bool has_range, is_full;
    lsn after, end;   /* what is asked for */
    lsn next, oldest; /* what the tail said */
    nq_rc rc;
    struct buf out; /* the changes found: fixed head, key, arguments */
    size_t given;   /* of `out`, bytes */
};

struct fetch *fetch_new(struct change_reader *r);
/* Not while a worker has it. */
void fetch_free(struct fetch *f); /* of NULL: does nothing */
/* Begins to read behind `after`. */
void fetch_start(struct fetch *f, lsn after);
/* The next change of the batch, decoded; false: there is none. */
bool fetch_peek(const struct fetch *f, struct change *out, size_t *size);

/* --- change_reader.c ------------------------------------------------------ */

enum reader_state {
    READER_REST,  /* its owner's turn */
    READER_LIVE,  /* all that is settled was given: on `live` */
    READER_WANTS, /* on `wanting` */
    READER_READS, /* a worker has its fetch */
    READER_READY  /* on `ready` */
};

struct change_reader {
    struct list link;
    struct changes *ch;
    enum reader_state state;
    struct key_range range;
    struct buf lo, hi;
    bool has_range, is_busy;
    bool has_batch; /* `log` holds what a worker read */
    lsn at;
    struct fetch *log; /* NULL: not behind */
    void (*ready)(void *arg);
    void *arg;
};

/* The worker is done with the reader's fetch. */
void reader_fetched(struct change_reader *r);
/* Calls ready() of those that are. */
void readers_call(struct changes *ch);
/* Starts fetches that wait, as far as there is room. */
void readers_start(struct changes *ch);

#endif
