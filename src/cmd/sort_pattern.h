/* cmd/sort_pattern.h - the patterns of SORT: where the value that belongs to
 * an element is found.  Loop thread only. */
#ifndef NQ_CMD_SORT_PATTERN_H
#define NQ_CMD_SORT_PATTERN_H

#include "cmd/command.h"

enum sort_target {
    SORT_NOTHING, /* no '*': there is no such value */
    SORT_SELF,    /* "#": the element itself */
    SORT_STRING,  /* "before*after": the string at a key */
    SORT_FIELD    /* "before*after->field": a field of a hash */
};

/* Slices of the pattern, which stays the caller's. */
struct sort_pattern {
    enum sort_target target;
    struct slice before, after, field;
};

struct sort_pattern sort_pattern_of(struct slice text);
/* The value that belongs to `element`: borrowed, until the next change or the
 * end of this run.  NQ_NOTFOUND: none, or not of the type. */
NQ_MUST_USE nq_rc sort_pattern_find(struct req *rq,
                                    const struct sort_pattern *p,
                                    struct slice element, struct slice *out);

#endif
