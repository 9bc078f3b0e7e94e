/* cmd/changes.h - the changes of covered keys (db/change.h), in order, to
 * whoever follows them, once they are settled.
 *
 * Loop thread only.  The last changes are kept in memory, up to feeds.memory
 * bytes; who is up to date is served from there and costs nothing else.  Who
 * is behind reads the log by a worker until it has caught up.  Either way each
 * change comes once, and none is left out: a reader is a position and a range,
 * nothing is queued for it.
 *
 * The log is kept for readers: feeds.retention bytes of it while there are
 * covers (from the oldest cover on), and for names (db_mark_put) as far as
 * feeds.named_retention; when the disk is full it is let go. */
#ifndef NQ_CMD_CHANGES_H
#define NQ_CMD_CHANGES_H

#include "db/change.h"
#include "db/mark.h"

struct changes;
struct engine;
struct store;

struct changes *changes_new(void);
void changes_free(struct changes *ch); /* without readers */
/* The database is loaded: before its first command. */
void changes_attach(struct changes *ch, struct db *db, struct store *store);
/* Before it is closed; readers stay, and get nothing any more. */
void changes_detach(struct changes *ch);

struct changes_opts {
    uint64_t memory;          /* feeds.memory, bytes */
    uint64_t retention;       /* feeds.retention, bytes */
    uint64_t named_retention; /* feeds.named_retention, bytes */
    uint64_t linger_ms;       /* feeds.linger */
    uint64_t max_image;       /* feeds.max_image, bytes */
};
void changes_set(struct changes *ch, const struct changes_opts *opts);

/* --- positions ------------------------------------------------------------ */

/* Now: all changes made so far are up to it, all later ones behind it. */
lsn changes_head(const struct changes *ch);
/* All changes up to it are settled.  Never above the head. */
lsn changes_settled(const struct changes *ch);
/* Of a range: the positions that a reader may begin at, from *oldest to
 * *newest, the head.  Not covered at all: *oldest is *newest. */
void changes_bounds(struct changes *ch, const struct key_range *r, lsn *oldest,
                    lsn *newest);

/* --- readers -------------------------------------------------------------- */

struct change_reader;
struct change_reader_opts {
    const struct key_range *range; /* copied; NULL: all that is covered */
    lsn after; /* the position to go on from, within changes_bounds() */
    /* There may be something new: change_reader_next() is worth a call.  From
     * changes_turn(), or whenever; never inside a call of the reader's.  May
     * call anything here, also close this reader or others. */
    void (*ready)(void *arg);
    void *arg;
};
struct change_reader *change_reader_open(struct changes *ch,
                                         const struct change_reader_opts *o);
void change_reader_close(struct change_reader *r); /* any time; NULL: nothing */

/* Gives the next settled changes of its range to fn, in order, until fn says
 * no: then that one has not been taken and comes again, by the next call.
 * NQ_OK: all that is settled was given, or fn said no; ready() is called as
 * soon as there is more behind what was settled now.
 * NQ_AGAIN: more is being read from the log; ready() follows.
 * NQ_NOTFOUND: the log does not go back so far any more, changes_bounds()
 * tells; what is missing is everything behind change_reader_at().
 * NQ_EIO, NQ_ECORRUPT, NQ_EKEY: the log cannot be read; logged.
 * fn must not close the reader. */
typedef bool change_fn(void *arg, const struct change *c);
NQ_MUST_USE nq_rc change_reader_next(struct change_reader *r, change_fn *fn,
                                     void *arg);
/* All changes of the range up to here were given (or there were none). */
lsn change_reader_at(const struct change_reader *r);
/* Goes on from another position, back or forth. */
void change_reader_seek(struct change_reader *r, lsn after);
/* Whether the next change comes from memory: it keeps up. */
bool change_reader_is_live(const struct change_reader *r);

/* --- the engine's --------------------------------------------------------- */

/* Each turn; each cron. */
void changes_turn(struct changes *ch);
void changes_cron(struct changes *ch, uint64_t now_ms);
/* db_opts.on_change: one was logged. */
void changes_on_change(struct changes *ch, lsn at, uint32_t db,
                       struct slice key, struct slice args);

struct changes_stats {
    uint64_t changes; /* since the start */
    uint64_t ring_changes, ring_bytes;
    uint64_t from_log, log_reads; /* changes told from there; batches */
    uint32_t readers, lagging;    /* of those: reading the log */
    lsn ring_from, head, settled;
    lsn log_from; /* the oldest position that the log is held for; 0: none */
};
void changes_get_stats(const struct changes *ch, struct changes_stats *out);

#endif
