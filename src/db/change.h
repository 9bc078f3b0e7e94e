/* db/change.h - what happened to a key, as the log tells it of covered ranges
 * (db/cover.h).
 *
 * Each command that changes a covered key adds, behind its own effects and in
 * their frame, one CHANGE for each such key: what it was before and what it is
 * after the command.  A command in MULTI counts as one of its own.  A key that
 * expires has a CHANGE by itself, also if a command that overwrites it finds
 * it over.  A command that leaves a key that was not there absent tells
 * nothing.  LSNs of changes are unique and rise in the order of commit.
 *
 * What is done to a whole range is one change, however many keys it has:
 *
 *   CHANGE_GONE   no key of the range is there behind this (NQ.DEL of ranges,
 *                 FLUSHDB, FLUSHALL); keys that were not there are not told
 *   CHANGE_RESET  the range is other keys now (SWAPDB): who has a copy of it
 *                 drops that and reads the range anew, at any later position
 *                 s, leaving out changes up to s
 *
 * Their range may be larger than what is covered, or than what a reader wants:
 * the part that is common counts.
 *
 * So a copy that is applied to in order - image `is` put, or key removed, or
 * range cleared - equals the database at each position. */
#ifndef NQ_DB_CHANGE_H
#define NQ_DB_CHANGE_H

#include "db/cover.h"
#include "db/rows.h"

enum change_event {
    CHANGE_SET = 1, /* it is there: new, or with another value or expiry */
    CHANGE_DEL,     /* it was removed, renamed, moved away */
    CHANGE_EXPIRE,  /* its time was over */
    CHANGE_GONE,
    CHANGE_RESET
};
#define CHANGE_EVENTS 6 /* one more than the last */
/* "set", "del", "expire", "gone", "reset". */
const char *change_event_name(enum change_event event);

/* A key and its value at one moment. */
struct image {
    bool exists;
    bool has_value; /* strings and hashes up to feeds.max_image have one */
    enum db_type type;
    uint64_t expire_ms; /* of the key; 0: never */
    uint64_t len;       /* $len: bytes of a string; else elements, 0: unknown */
    /* With has_value: a string's bytes, or the fields of a hash as its
     * record would pack them, some of which may be due. */
    struct record rec;
};

/* Borrowed from the bytes it was decoded from, or for the call. */
struct change {
    lsn at;
    uint64_t time_ms; /* wall clock of the command */
    enum change_event event;
    uint32_t db;
    struct slice key; /* GONE, RESET: the first of the range */
    bool has_hi;      /* of those */
    struct slice hi;
    struct image was, is; /* of SET, DEL, EXPIRE */
};

/* Whether it concerns keys of the range. */
bool change_is_in(const struct change *c, const struct key_range *r);

/* The image as a row of a query, as of now_ms, as a rule the time_ms of its
 * change: then whoever reads the change, and when, sees the same row.  Key,
 * type, expiry; length and value if it has them, else out->has lacks ROW_VALUE
 * or ROW_FIELDS.  What is over by then is told as it was before.  Only of an
 * image that exists.  `fields` is memory for what out->arg says.  Any
 * thread. */
void image_row(const struct image *im, struct slice key, uint64_t now_ms,
               struct row_fields *fields, struct row *out);

/* A CHANGE of the log: its key and arguments.  False: they are none.  Any
 * thread. */
bool change_decode(lsn at, uint32_t db, struct slice key, struct slice args,
                   struct change *out);
/* Whether the record of the log is one, be it readable or not. */
struct wal_record;
bool change_is_record(const struct wal_record *r);

/* --- for those who run commands ------------------------------------------- */

/* A command, or a step of something else that changes keys, is over, for now
 * or for good: what it changed is told.  Cheap if that is nothing. */
void db_changes_end(struct db *db);
/* Images with longer values go without them; 64 KiB at first. */
void db_set_max_image(struct db *db, uint64_t bytes);

#endif
