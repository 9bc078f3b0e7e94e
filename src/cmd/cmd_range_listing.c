/* cmd/cmd_range_listing.c - collecting a long answer turn by turn.
 *
 * Nothing is answered before all of it is known, because an array of the
 * protocol begins with its length; so the memory of an answer is bounded
 * here: by the client's hard output limit, or else LISTING_MAX. */
#include "cmd/cmd_range.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/reply.h"

#define LISTING_MAGIC 0x4c495354u
#define LISTING_MAX (UINT64_C(1) << 30)
#define ITEMS_PER_LOOK 64 /* answered between two looks at the clock */

uint64_t
answer_limit(const struct req *rq)
{
    uint64_t hard = rq->engine->limits.output[session_class(rq->s)].hard;

    return hard != 0 ? nq_min(hard, LISTING_MAX) : LISTING_MAX;
}

void
reply_too_long(struct req *rq, uint64_t limit_bytes)
{
    reply_error(rq,
                "-ERR the answer is longer than %llu bytes, the most for "
                "this client; ask for parts of it",
                (unsigned long long)limit_bytes);
}

void
listing_init(struct listing *l, struct req *rq)
{
    l->magic = LISTING_MAGIC;
    l->limit_bytes = answer_limit(rq);
}

void
listing_fini(struct listing *l)
{
    buf_fini(&l->items);
    buf_fini(&l->at);
}

static void
listing_free(void *state)
{
    struct listing *l;

    NQ_CAST(l, state, LISTING_MAGIC);
    listing_fini(l);
    nq_free(l);
}

struct listing *
listing_of(struct req *rq)
{
    struct listing *l = rq->state;

    if (l == NULL) {
        l = nq_calloc(1, sizeof *l);
        listing_init(l, rq);
        rq->state = l;
        rq->free_state = listing_free;
    }
    NQ_CAST(l, rq->state, LISTING_MAGIC);
    return l;
}

void
listing_put(struct listing *l, struct slice item)
{
    buf_put_varint(&l->items, item.len);
    buf_put_slice(&l->items, item);
    l->count++;
}

uint8_t *
listing_put_room(struct listing *l, size_t n)
{
    uint8_t *p;

    buf_put_varint(&l->items, n);
    p = buf_reserve(&l->items, n);
    l->items.len += n;
    l->count++;
    return p;
}

bool
listing_is_too_long(struct req *rq, struct listing *l)
{
    if (l->items.len <= l->limit_bytes)
        return false;
    reply_too_long(rq, l->limit_bytes);
    return true;
}

void
listing_stand(struct listing *l, struct slice key)
{
    buf_clear(&l->at);
    buf_put_slice(&l->at, key);
    l->has_at = true;
}

/* Up to `n` items; false: that was the last one. */
static bool
answer_some(struct req *rq, struct listing *l, unsigned n)
{
    struct cursor c =
        cursor_of(slice_of(l->items.p + l->emitted, l->items.len - l->emitted));
    struct slice item;

    while (n-- > 0 && cursor_left(&c) > 0) {
        bool ok = cursor_get_slice(&c, &item);

        nq_assert(ok);
        reply_bulk(rq, item);
    }
    l->emitted = l->items.len - cursor_left(&c);
    return cursor_left(&c) > 0;
}

bool
listing_answer(struct req *rq, struct listing *l)
{
    if (!l->is_complete) {
        l->is_complete = true;
        if (l->is_set)
            reply_set(rq, l->count);
        else
            reply_array(rq, l->count);
    }
    while (answer_some(rq, l, ITEMS_PER_LOOK)) {
        if (!req_should_yield(rq))
            continue;
        rq->keep_output = true;
        req_yield(rq);
        return false;
    }
    return true;
}

void
listing_answer_now(struct req *rq, struct listing *l)
{
    reply_array(rq, l->count);
    while (answer_some(rq, l, ITEMS_PER_LOOK))
        ;
}
