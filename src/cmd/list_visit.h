/* cmd/list_visit.h - a list looked through in slices: LRANGE, LPOS, LREM,
 * LINSERT and long pops.
 *
 * Loop thread only.  What is seen is the list as of one moment: from the
 * first yield on its tree is held (db/hold.h).  Inside MULTI all is seen in
 * one piece.  A handler looks like this:
 *
 *   struct list_visit first, *v = list_visit_of(rq, &first);
 *   if (v == &first) find the list, list_visit_init(v ...), or answer
 *   list_needle_init(&v->needle ...)      in each run, it is in the arena
 *   if (!list_visit_go(rq, v, &e))
 *       return;                           more to come, or an error was put
 *   answer or change; list_visit_end(rq, v)
 */
#ifndef NQ_CMD_LIST_VISIT_H
#define NQ_CMD_LIST_VISIT_H

#include "cmd/cmd_range.h"
#include "cmd/command.h"
#include "cmd/held.h"
#include "db/lists.h"

struct list_visit;

/* Called for each element; may set v->left to 1: it was the last one.  Not
 * NQ_OK: what it put is taken back, and it is called again or the command
 * ends with an error. */
typedef nq_rc list_see(struct req *rq, struct list_visit *v,
                       struct list_cursor *cu);

struct list_visit {
    uint32_t magic;
    list_see *see;
    bool is_back; /* towards the head */
    bool tells;   /* what `see` puts is the answer */
    bool is_in_one_piece;
    uint64_t next; /* index of the element to be seen next */
    uint64_t left; /* elements still to be seen */
    uint64_t mark; /* of the output, before the command put anything */
    struct held held;
    /* For `see`, whatever it makes of them; the buffers are freed. */
    struct list_needle needle;
    uint64_t skip, want; /* equal elements */
    uint64_t index;
    struct list_marks marks;
    struct buf found;
    struct listing listing;
    bool is_done;
};

/* The one of an earlier slice, or `first`. */
struct list_visit *list_visit_of(struct req *rq, struct list_visit *first);
/* From `next` on, `left` elements of the list found in `e`. */
void list_visit_init(struct req *rq, struct list_visit *v, list_see *see,
                     bool is_back, uint64_t next, uint64_t left);
/* Whether all was seen.  If not, the handler has nothing more to do. */
bool list_visit_go(struct req *rq, struct list_visit *v, const struct entry *e);
/* Before a change: the key once more, found for writing.  NQ_NOTFOUND: it is
 * not the list that was seen any more.  The hold has ended; so if the change
 * then fails, list_visit_anew(). */
NQ_MUST_USE nq_rc list_visit_find_write(struct req *rq, struct list_visit *v,
                                        uint32_t key, struct entry *e);
/* Frees it. */
void list_visit_end(struct req *rq, struct list_visit *v);
/* Frees it and answers `rc`; NQ_NOTFOUND: the command begins anew. */
void list_visit_anew(struct req *rq, struct list_visit *v, nq_rc rc);

#endif
