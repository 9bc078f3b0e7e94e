/* cmd/cmd_coll_scan.c - scanning inside one key.
 *
 * As in SCAN a number stands for the last item visited (scan_cursor.h), and
 * items have an order, so whatever comes and goes meanwhile, what is there
 * throughout is met.  A call that takes long works in slices and goes on by
 * key; nothing needs to be held still for it.
 *
 * The part of a pattern before its first wildcard is a range, as in SCAN.
 * Called by the handlers of hashes, sets and sorted sets. */
#include "cmd/cmd_coll_scan.h"

#include "base/check.h"
#include "cmd/args.h"
#include "cmd/engine.h"
#include "cmd/reply.h"

#define ITEMS_PER_LOOK 16 /* between two looks at the clock */
#define SCAN_COUNT 10     /* items visited by a call, if it does not say */

struct scan_args {
    const struct coll_scan *kind;
    uint64_t cursor, count;
    struct slice pattern;
    bool has_pattern, novalues;
    struct range range; /* of keys in a tree */
};

static void
set_pattern(struct req *rq, struct scan_args *a, struct slice pattern)
{
    struct slice prefix = a->kind->prefix, begin;
    bool is_whole;
    uint8_t *p;

    a->pattern = pattern;
    a->has_pattern = !slice_eq(pattern, slice_lit("*"));
    begin = range_glob_prefix(rq, pattern, &is_whole);
    p = arena_alloc(rq->arena, prefix.len + begin.len + 1);
    if (prefix.len > 0)
        memcpy(p, prefix.p, prefix.len);
    if (begin.len > 0)
        memcpy(p + prefix.len, begin.p, begin.len);
    a->range = range_of_prefix(rq, slice_of(p, prefix.len + begin.len));
}

static bool
parse_option(struct req *rq, uint32_t *i, struct scan_args *a)
{
    struct slice word = rq->argv[*i];
    bool has_value = *i + 1 < rq->argc;

    if (slice_is(word, "MATCH") && has_value) {
        set_pattern(rq, a, rq->argv[++*i]);
    } else if (slice_is(word, "COUNT") && has_value) {
        return arg_scan_count(rq, ++*i, &a->count);
    } else if (slice_is(word, "NOVALUES") && a->kind->has_novalues) {
        a->novalues = true;
    } else {
        reply_syntax(rq);
        return false;
    }
    return true;
}

static bool
parse_options(struct req *rq, struct scan_args *a)
{
    a->range = range_of_prefix(rq, a->kind->prefix);
    a->count = SCAN_COUNT;
    for (uint32_t i = 3; i < rq->argc; i++)
        if (!parse_option(rq, &i, a))
            return false;
    return true;
}

/* --- visiting ------------------------------------------------------------ */

/* The item that the cursor stands on, if it is to be told. */
static nq_rc
visit_item(struct req *rq, const struct scan_args *a, struct coll_cursor *cu,
           struct listing *l)
{
    struct item it;
    nq_rc rc = coll_item(cu, &it);

    if (rc != NQ_OK)
        return rc;
    if (it.expire_ms != 0 && it.expire_ms <= db_now(rq->db))
        return NQ_OK;
    if (a->has_pattern && !slice_glob(a->pattern, a->kind->name(&it), false))
        return NQ_OK;
    rc = a->kind->put(rq, cu->c, &it, a->novalues, l);
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

static nq_rc
visit_packed(struct req *rq, const struct scan_args *a, struct coll_cursor *cu,
             struct listing *l)
{
    nq_rc rc;

    l->count = l->items.len = 0; /* of an earlier run */
    for (rc = coll_first(cu); rc == NQ_OK && cu->valid; rc = coll_next(cu))
        if ((rc = visit_item(rq, a, cu, l)) != NQ_OK ||
            l->items.len > l->limit_bytes)
            break;
    return rc;
}

/* Until the range ends (*at_end), l->wanted items have been visited, or the
 * slice is used up (NQ_AGAIN). */
static nq_rc
visit_tree(struct req *rq, const struct scan_args *a, struct coll_cursor *cu,
           struct listing *l, bool *at_end)
{
    bool goes_on = l->has_at && slice_cmp(buf_slice(&l->at), a->range.lo) >= 0;
    nq_rc rc = goes_on ? coll_seek(cu, buf_slice(&l->at), true)
                       : coll_seek(cu, a->range.lo, false);

    *at_end = false;
    while (rc == NQ_OK) {
        *at_end = !cu->valid || !range_has(&a->range, cu->key);
        if (*at_end || l->wanted == 0)
            return NQ_OK;
        if ((rc = visit_item(rq, a, cu, l)) != NQ_OK)
            return rc;
        listing_stand(l, cu->key);
        rq->has_progressed = true;
        l->wanted--;
        if (l->items.len > l->limit_bytes)
            return NQ_OK;
        rc = coll_next(cu);
        if (rc == NQ_OK && ++l->visited % ITEMS_PER_LOOK == 0 &&
            req_should_yield(rq))
            return NQ_AGAIN;
    }
    return rc;
}

static nq_rc
visit(struct req *rq, const struct scan_args *a, struct entry *e,
      struct listing *l, bool *at_end)
{
    struct coll_cursor cu;
    struct coll c;
    nq_rc rc = coll_open(rq->db, rq->dbi, rq->argv[1], a->kind->type, e, true,
                         coll_record_head_len(&e->rec), &c);

    if (rc == NQ_OK) {
        coll_cursor_init(&cu, &c);
        *at_end = true;
        rc = c.is_tree ? visit_tree(rq, a, &cu, l, at_end)
                       : visit_packed(rq, a, &cu, l);
        coll_cursor_fini(&cu);
    }
    coll_close(&c);
    return rc;
}

/* --- the command --------------------------------------------------------- */

void
coll_scan(struct req *rq, const struct coll_scan *kind)
{
    struct scan_args a = {.kind = kind};
    struct listing *l;
    struct entry e;
    bool at_end = true;
    nq_rc rc;

    if (!arg_scan_cursor(rq, 2, &a.cursor))
        return;
    rc = req_find_type(rq, 1, kind->type, false, &e);
    if (rc == NQ_OK && !parse_options(rq, &a))
        return;
    if (rc == NQ_OK || rc == NQ_NOTFOUND) {
        l = scan_listing(rq, a.cursor, a.count);
        if (rc == NQ_OK)
            rc = visit(rq, &a, &e, l, &at_end);
        else
            rc = NQ_OK;
    }
    if (rc == NQ_AGAIN)
        req_yield(rq);
    else if (rc != NQ_OK)
        reply_rc(rq, rc);
    else if (!at_end || !listing_is_too_long(rq, l))
        scan_reply(rq, l, a.cursor, at_end);
}
