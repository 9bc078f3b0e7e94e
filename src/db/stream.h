/* db/stream.h - the stream: entries of fields and values under rising ids.
 * Its consumer groups are in db/stream_group.h.
 *
 * Loop thread only; NQ_MISS as in db.h.  An open stream serves any number of
 * reads, or reads and then one call that writes: after that it is only to be
 * closed.  Calls that write log one effect, raise their event and touch
 * watchers; they may return NQ_EHELD (coll.h), having changed nothing.  A
 * stream stays when its last entry goes. */
#ifndef NQ_DB_STREAM_H
#define NQ_DB_STREAM_H

#include "base/cursor.h"
#include "db/coll.h"

struct stream_id {
    uint64_t ms, seq;
};

#define STREAM_ID_MIN ((struct stream_id){0, 0})
#define STREAM_ID_MAX ((struct stream_id){UINT64_MAX, UINT64_MAX})
#define STREAM_ID_TEXT 42 /* bytes of "ms-seq" at most */

int stream_id_cmp(struct stream_id a, struct stream_id b);
bool stream_id_is_zero(struct stream_id id);
/* The next greater (smaller) id; false: there is none, *id is unchanged. */
bool stream_id_next(struct stream_id *id);
bool stream_id_prev(struct stream_id *id);
/* "ms-seq"; returns the length. */
size_t stream_id_text(char dst[STREAM_ID_TEXT], struct stream_id id);

/* The public fields are as of stream_open(), and follow a change. */
struct stream {
    struct coll coll;                    /* private */
    struct buf work;                     /* private */
    uint64_t next_group;                 /* private */
    uint64_t length;                     /* entries */
    uint64_t added;                      /* entries ever added, as XINFO says */
    struct stream_id last;               /* the greatest id ever */
    struct stream_id first, max_deleted; /* 0-0: none */
};

/* `e` as coll_open() wants it, found or not; stream_close() always. */
NQ_MUST_USE nq_rc stream_open(struct db *db, uint32_t dbi, struct slice key,
                              struct entry *e, bool found, struct stream *out);
void stream_close(struct stream *s);
/* XLEN, without opening it. */
uint64_t stream_length(const struct entry *e);

/* --- entries ------------------------------------------------------------- */

/* Stands on an entry or at an end; void after a change of the stream. */
struct stream_cursor {
    bool valid;
    struct stream_id id; /* while valid */
    /* private */
    struct stream *s;
    struct coll_cursor items;
};
void stream_cursor_init(struct stream_cursor *cu, struct stream *s);
void stream_cursor_fini(struct stream_cursor *cu);
/* The first entry at or after `id`; the last one at or before it. */
NQ_MUST_USE nq_rc stream_seek(struct stream_cursor *cu, struct stream_id id);
NQ_MUST_USE nq_rc stream_seek_back(struct stream_cursor *cu,
                                   struct stream_id id);
NQ_MUST_USE nq_rc stream_next(struct stream_cursor *cu);
NQ_MUST_USE nq_rc stream_prev(struct stream_cursor *cu);

/* Fields and values of an entry, in the order they were given: 2 * `pairs`
 * times cursor_get_slice().  Borrowed as an item is. */
struct stream_fields {
    uint64_t pairs;
    struct cursor at;
};
NQ_MUST_USE nq_rc stream_entry(struct stream_cursor *cu, struct arena *arena,
                               struct stream_fields *out);
/* The same of the entry `id`: NQ_NOTFOUND. */
NQ_MUST_USE nq_rc stream_get(struct stream *s, struct stream_id id,
                             struct arena *arena, struct stream_fields *out);
/* NQ_OK or NQ_NOTFOUND. */
NQ_MUST_USE nq_rc stream_has(struct stream *s, struct stream_id id);
/* How many entries have ids in [from, to].  O(log n). */
NQ_MUST_USE nq_rc stream_count(struct stream *s, struct stream_id from,
                               struct stream_id to, uint64_t *out);

/* For who walks the items themselves (cmd/walk.h): the key of an entry, and
 * the entry of an item. */
#define STREAM_KEY_SIZE 17
struct slice stream_key(uint8_t dst[STREAM_KEY_SIZE], struct stream_id id);
NQ_MUST_USE nq_rc stream_item(struct coll *c, const struct item *it,
                              struct arena *arena, struct stream_id *id,
                              struct stream_fields *out);

/* --- changes ------------------------------------------------------------- */

/* What is to go from the front.  With is_approximate nothing goes but what
 * Redis would call whole nodes (stream-node-max-entries entries, counted from
 * the first ever added), and of those at most `limit` entries. */
struct stream_trim {
    enum { TRIM_NONE, TRIM_MAXLEN, TRIM_MINID } by;
    uint64_t maxlen;
    struct stream_id minid;
    bool is_approximate;
    uint64_t limit; /* 0: none; valid only if is_approximate */
};

/* XADD, and XTRIM after it.  `id` is greater than s->last; `words` are 2 *
 * pairs fields and values.  Raises "xadd" and, if something went, "xtrim". */
NQ_MUST_USE nq_rc stream_add(struct stream *s, struct stream_id id,
                             const struct slice *words, uint32_t pairs,
                             const struct stream_trim *trim);
/* XTRIM.  *removed may be 0; then nothing is logged and raised. */
NQ_MUST_USE nq_rc stream_trim(struct stream *s, const struct stream_trim *trim,
                              uint64_t *removed);
/* XDEL; the same. */
NQ_MUST_USE nq_rc stream_del(struct stream *s, const struct stream_id *ids,
                             uint32_t n, uint64_t *removed);
/* XSETID.  `added` and `max_deleted` may be NULL: they stay. */
NQ_MUST_USE nq_rc stream_set_id(struct stream *s, struct stream_id last,
                                const uint64_t *added,
                                const struct stream_id *max_deleted);

/* Against its invariants (stream.c), all of it: NQ_ECORRUPT. */
NQ_MUST_USE nq_rc stream_check(struct stream *s);

#endif
