/* cmd/patterns.h - many glob patterns, and which of them a name matches.
 *
 * A name is compared only with the patterns whose literal beginning (or, if
 * they begin with a wildcard, whose literal end) it shares, so that 100,000
 * patterns such as user:17:* cost a name a few look-ups.  Loop thread. */
#ifndef NQ_CMD_PATTERNS_H
#define NQ_CMD_PATTERNS_H

#include "base/list.h"
#include "base/slice.h"

struct patterns;
struct pattern_bucket;

/* In the storage of its user, who sets `text` and keeps it in place. */
struct pattern {
    struct slice text;
    struct list link;              /* private */
    struct pattern_bucket *bucket; /* private */
};

struct patterns *patterns_new(void);
void patterns_free(struct patterns *ps); /* it is empty */
void patterns_add(struct patterns *ps, struct pattern *p);
void patterns_remove(struct patterns *ps, struct pattern *p);
/* Calls fn for each pattern that `name` matches; fn changes nothing here. */
void patterns_match(struct patterns *ps, struct slice name,
                    void (*fn)(struct pattern *p, void *arg), void *arg);

#endif
