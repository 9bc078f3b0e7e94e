/* cmd/cmd_key_scan.c - SCAN and KEYS.
 *
 * Keys have an order, so a scan needs to remember nothing but the last key it
 * visited (scan_cursor.h): every key that is there throughout is given
 * exactly once, whatever is set or deleted meanwhile.  A cursor that is not
 * known (any more) begins anew, which keeps that promise but for repetition.
 *
 * The part of a pattern before its first wildcard is a range: keys outside
 * are not even looked at.  Both commands work in slices. */
#include "base/check.h"
#include "cmd/args.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_range.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/scan_cursor.h"

#define KEYS_PER_LOOK 16 /* between two looks at the clock */
#define SCAN_COUNT 10    /* keys visited by a call, if it does not say */

struct filter {
    struct slice pattern;
    bool has_pattern;
    struct slice type;
    bool has_type;
    struct range range;
};

static void
filter_set_pattern(struct req *rq, struct filter *f, struct slice pattern)
{
    bool is_whole;
    struct slice prefix = range_glob_prefix(rq, pattern, &is_whole);

    f->pattern = pattern;
    f->has_pattern = !slice_eq(pattern, slice_lit("*"));
    if (is_whole) {
        uint8_t *end = arena_alloc(rq->arena, prefix.len + 1);

        memcpy(end, prefix.p, prefix.len);
        end[prefix.len] = 0;
        f->range = (struct range){
            .lo = prefix, .hi = slice_of(end, prefix.len + 1), .has_hi = true};
    } else {
        f->range = range_of_prefix(rq, prefix);
    }
}

static bool
filter_matches(struct req *rq, const struct filter *f, struct slice key,
               const struct record *rec)
{
    if (range_is_due(rq, rec))
        return false;
    if (f->has_type && !slice_is(f->type, db_type_name(rec->type)))
        return false;
    return !f->has_pattern || slice_glob(f->pattern, key, false);
}

/* Visits keys until the range ends (*at_end), l->wanted have been visited, or
 * the slice is used up (NQ_AGAIN). */
static nq_rc
visit(struct req *rq, const struct filter *f, struct listing *l, bool *at_end)
{
    struct btree_cursor c;
    struct record rec;
    nq_rc rc;

    btree_cursor_init(&c, db_tree(rq->db, rq->dbi));
    db_gate_all(rq->db, rq->dbi);
    if (l->has_at && slice_cmp(buf_slice(&l->at), f->range.lo) >= 0)
        rc = btree_seek(&c, buf_slice(&l->at), true);
    else
        rc = btree_seek(&c, f->range.lo, false);
    while (rc == NQ_OK && c.valid && range_has(&f->range, c.key) &&
           l->wanted > 0) {
        if ((rc = btree_record(&c, &rec)) != NQ_OK)
            break;
        if (filter_matches(rq, f, c.key, &rec))
            listing_put(l, c.key);
        listing_stand(l, c.key);
        rq->has_progressed = true;
        l->wanted--;
        if (l->items.len > l->limit_bytes)
            break;
        rc = btree_next(&c);
        if (rc == NQ_OK && ++l->visited % KEYS_PER_LOOK == 0 &&
            req_should_yield(rq))
            rc = NQ_AGAIN;
    }
    *at_end = rc == NQ_OK && (!c.valid || !range_has(&f->range, c.key));
    btree_cursor_fini(&c);
    return rc;
}

/* --- KEYS ---------------------------------------------------------------- */

void
cmd_keys(struct req *rq)
{
    struct listing *l = listing_of(rq);
    struct filter f = {.has_type = false};
    bool at_end;
    nq_rc rc = NQ_OK;

    filter_set_pattern(rq, &f, rq->argv[1]);
    l->wanted = UINT64_MAX;
    if (!l->is_complete)
        rc = visit(rq, &f, l, &at_end);
    if (rc == NQ_AGAIN)
        req_yield(rq);
    else if (rc != NQ_OK)
        reply_rc(rq, rc);
    else if (!listing_is_too_long(rq, l))
        (void)listing_answer(rq, l);
}

/* --- SCAN ---------------------------------------------------------------- */

struct scan_args {
    struct filter filter;
    uint64_t cursor, count;
};

static bool
parse_scan_option(struct req *rq, uint32_t i, struct scan_args *a)
{
    struct slice word = rq->argv[i], value;

    if (i + 1 == rq->argc) {
        reply_syntax(rq);
        return false;
    }
    value = rq->argv[i + 1];
    if (slice_is(word, "MATCH")) {
        filter_set_pattern(rq, &a->filter, value);
    } else if (slice_is(word, "TYPE")) {
        a->filter.type = value;
        a->filter.has_type = true;
    } else if (slice_is(word, "COUNT")) {
        return arg_scan_count(rq, i + 1, &a->count);
    } else {
        reply_syntax(rq);
        return false;
    }
    return true;
}

static bool
parse_scan(struct req *rq, struct scan_args *a)
{
    *a = (struct scan_args){.count = SCAN_COUNT};
    a->filter.range.lo = slice_lit("");
    if (!arg_scan_cursor(rq, 1, &a->cursor))
        return false;
    for (uint32_t i = 2; i < rq->argc; i += 2)
        if (!parse_scan_option(rq, i, a))
            return false;
    return true;
}

struct listing *
scan_listing(struct req *rq, uint64_t cursor, uint64_t count)
{
    bool is_first = rq->state == NULL;
    struct listing *l = listing_of(rq);
    struct slice key;

    if (rq->engine->scans == NULL)
        rq->engine->scans = scan_cursors_new();
    if (!is_first)
        return l;
    l->wanted = count;
    if (cursor != 0 && scan_cursor_find(rq->engine->scans, cursor, &key))
        listing_stand(l, key);
    return l;
}

void
scan_reply(struct req *rq, struct listing *l, uint64_t from, bool at_end)
{
    char text[24];
    uint64_t next = 0;

    if (at_end)
        scan_cursor_end(rq->engine->scans, from);
    else
        next = scan_cursor_put(rq->engine->scans, from, buf_slice(&l->at));
    reply_array(rq, 2);
    reply_bulk(rq, slice_of(text, u64_to_text(text, next)));
    listing_answer_now(rq, l);
}

void
cmd_scan(struct req *rq)
{
    struct scan_args a;
    struct listing *l;
    bool at_end;
    nq_rc rc;

    if (!parse_scan(rq, &a))
        return;
    l = scan_listing(rq, a.cursor, a.count);
    rc = visit(rq, &a.filter, l, &at_end);
    if (rc == NQ_AGAIN)
        req_yield(rq);
    else if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        scan_reply(rq, l, a.cursor, at_end);
}
