/* cmd/cmd_stream_query.h - what cursors.c asks of a stream. */
#ifndef NQ_CMD_CMD_STREAM_QUERY_H
#define NQ_CMD_CMD_STREAM_QUERY_H

#include "cmd/cursors.h"

/* Pushes some of what can be pushed now; may close the cursor. */
void stream_pump(struct cursor *c);
/* Progress, and batches that are not full but old; may close the cursor. */
void stream_cron(struct cursor *c, uint64_t now_ms);
/* Tells the client, and closes it. */
void stream_expire(struct cursor *c);
void stream_fini(struct cursor *c); /* without one: does nothing */

#endif
