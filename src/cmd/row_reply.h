/* cmd/row_reply.h - rows as clients get them, made where the rows are: by
 * workers.
 *
 * A row is one value of RESP or two, as NQ.RANGE answers: the key, and what is
 * wanted of it: fields as a map (RESP2: a flat array), a string as a bulk, null
 * for other types. */
#ifndef NQ_CMD_ROW_REPLY_H
#define NQ_CMD_ROW_REPLY_H

#include "cmd/select.h"

struct row_reply;

/* Loop thread.  Takes over what `sel` says of RETURN; WHERE stays. */
struct row_reply *row_reply_new(struct select *sel, uint8_t resp);
void row_reply_free(void *rp); /* of NULL: does nothing */

/* Any thread.  Parts of a row that it looks at; values a row. */
unsigned row_reply_needs(const struct row_reply *rp);
unsigned row_reply_values(const struct row_reply *rp);
/* As matching_how.tell and snapshot_tell_fn; `rp` is the struct row_reply. */
void row_reply_tell(const void *rp, const struct row *r, struct row_scratch *s,
                    struct buf *out);

#endif
