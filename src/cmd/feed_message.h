/* cmd/feed_message.h - what a feed says: one JSON object a message.
 *
 *   {"lsn":"812","event":"set","key":"k","was":false,"is":true,"value":"v"}
 *
 *   lsn      position of the change, as text: to go on behind it
 *   event    set, del, expire; gone: all keys from "from" up to, without it,
 *            "to" (absent: to the end); reset: the range holds other keys now,
 *            as after SWAPDB; row: of the first answer; ready: what comes
 *            behind is new; gap: "count" messages from "from" to "to" were
 *            dropped; lost: the log no longer has what comes behind "from",
 *            but only positions from "oldest" to "newest", and the feed ends
 *   was, is  whether the key matched before the change, and does now
 *   value, fields  with is: of a string, of a hash; RETURN makes it fields of
 *            those names.  What JSON values have a type keep it, all else are
 *            strings (cmd/feed_json.h)
 *   type     with is: if it is neither string nor hash, and then instead of a
 *            value
 *   expires  with is: wall clock, ms; absent: never
 *   too_long with is: the value is longer than feeds.max_image, and absent
 *
 * Loop thread only. */
#ifndef NQ_CMD_FEED_MESSAGE_H
#define NQ_CMD_FEED_MESSAGE_H

#include "base/buf.h"
#include "db/change.h"
#include "query/program.h"

/* What of a row is told. */
struct feed_returns {
    uint32_t count; /* 0: everything */
    struct path *const *paths;
    struct row_scratch *scratch; /* stands at the row */
};

/* A change of one key; `is` NULL: it does not match any more. */
void feed_message_change(struct buf *out, const struct change *c, bool was,
                         const struct row *is, const struct feed_returns *ret);
void feed_message_row(struct buf *out, lsn at, const struct row *row,
                      const struct feed_returns *ret);
/* GONE and RESET of the part of the feed's range that is concerned. */
void feed_message_range(struct buf *out, const struct change *c,
                        const struct key_range *r);
void feed_message_ready(struct buf *out, lsn at);
void feed_message_gap(struct buf *out, lsn from, lsn to, uint64_t count);
void feed_message_lost(struct buf *out, lsn from, lsn oldest, lsn newest);

#endif
