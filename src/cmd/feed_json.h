/* cmd/feed_json.h - values as JSON, for the messages of feeds.
 *
 * Any thread.  Bytes that are UTF-8 are a JSON string; others, of which JSON
 * has none, are {"base64":"..."}. */
#ifndef NQ_CMD_FEED_JSON_H
#define NQ_CMD_FEED_JSON_H

#include "base/buf.h"

void feed_json_text(struct buf *out, struct slice bytes);
/* "name": with a comma before it unless it follows an opening brace.  A name
 * that is not UTF-8 is "base64:...", as JSON has only strings there. */
void feed_json_name(struct buf *out, struct slice name);

#endif
