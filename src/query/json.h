/* query/json.h - values out of the text of a JSON document, by path.
 *
 * The document is read from its front as far as it takes to find what is
 * wanted: what follows is not looked at, be it well formed or not.  Where
 * names repeat, the first place that the whole path leads to counts.  What is
 * behind an error, or nested deeper than JSON_NESTING_MAX, is not there.
 *
 * Any thread, each with memory of its own. */
#ifndef NQ_QUERY_JSON_H
#define NQ_QUERY_JSON_H

#include "base/arena.h"
#include "query/value.h"

#define JSON_NESTING_MAX 1024u

struct path_step {
    bool is_index;
    uint32_t index;    /* valid only if is_index */
    struct slice name; /* else */
};

/* One path, and after json_read() what is there. */
struct json_want {
    const struct path_step *steps;
    uint32_t count; /* at least 1 */
    bool is_done;
    struct value value;
    struct slice source; /* of a number, an object or an array: as written */
    /* While it is read: so many steps fit the containers that are open; this
     * member is the one. */
    uint32_t level;
    bool is_next;
};

/* How far to read. */
enum json_until {
    JSON_ALL,   /* until all wants are done */
    JSON_SOURCE /* and the end of the last one has been seen */
};

/* The value of a want that is not found is MISSING.  Texts point into `text`,
 * or lie in `texts` if they had escapes; `work` is reset. */
void json_read(struct slice text, struct json_want *wants, uint32_t n,
               enum json_until until, struct arena *work, struct arena *texts);

#endif
