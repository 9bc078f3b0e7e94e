/* cmd/reply.c - from values to the output queue of a session.
 *
 * Replies go straight into session->out.  Only what stands inside a deferred
 * array goes to a part first: chunks in the arena of the batch, and values by
 * reference, which are put behind the header once the count is known.  Parts
 * nest.  Called by every handler. */
#include "cmd/reply.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "cmd/session.h"
#include "db/coll.h"
#include "db/string.h"
#include "resp/write.h"

#define SMALL 1024      /* contiguous bytes asked of a queue at most */
#define CHUNK_FIRST 512 /* bytes of the first chunk of a part */
#define CHUNK_MAX (1 << 15)

/* Bytes of a part, or one value of it by reference. */
struct part_chunk {
    struct part_chunk *next;
    const uint8_t *ref; /* NULL: `bytes`, else [ref, ref+len) */
    size_t len, cap;
    void (*release)(void *arg, size_t n);
    void *arg;
    uint8_t bytes[];
};

struct reply_part {
    struct reply_part *outer;
    struct part_chunk *first, *last;
};

/* --- where bytes go ------------------------------------------------------ */

static struct part_chunk *
chunk_new(struct req *rq, size_t cap)
{
    struct reply_part *part = rq->part;
    struct part_chunk *c = arena_alloc(rq->arena, sizeof *c + cap);

    *c = (struct part_chunk){.cap = cap};
    if (part->last == NULL)
        part->first = c;
    else
        part->last->next = c;
    part->last = c;
    return c;
}

static uint8_t *
part_reserve(struct req *rq, size_t n)
{
    struct part_chunk *c = rq->part->last;
    size_t cap;

    if (c != NULL && c->cap - c->len >= n)
        return c->bytes + c->len;
    cap = c == NULL ? CHUNK_FIRST : nq_min(c->cap * 2, (size_t)CHUNK_MAX);
    c = chunk_new(rq, nq_max(nq_max(cap, (size_t)CHUNK_FIRST), n));
    return c->bytes;
}

/* Room for n <= SMALL bytes; then commit() what was used. */
static inline uint8_t *
reserve(struct req *rq, size_t n)
{
    if (nq_likely(rq->part == NULL))
        return outq_reserve(&rq->s->out, n);
    return part_reserve(rq, n);
}

static inline void
commit(struct req *rq, size_t n)
{
    if (nq_likely(rq->part == NULL))
        outq_commit(&rq->s->out, n);
    else
        rq->part->last->len += n;
}

static void
put(struct req *rq, const void *p, size_t n)
{
    if (rq->part == NULL) {
        outq_put(&rq->s->out, p, n);
    } else if (n > 0) {
        memcpy(part_reserve(rq, n), p, n);
        commit(rq, n);
    }
}

static void
put_ref(struct req *rq, struct slice s, void (*release)(void *, size_t),
        void *arg)
{
    struct part_chunk *c;

    if (rq->part == NULL) {
        outq_ref(&rq->s->out, s.p, s.len, release, arg);
        return;
    }
    c = chunk_new(rq, 0);
    c->ref = s.p;
    c->len = c->cap = s.len;
    c->release = release;
    c->arg = arg;
}

static void
header(struct req *rq, char type, uint64_t n)
{
    commit(rq, resp_put_header(reserve(rq, RESP_HEADER_MAX), type, n));
}

/* --- simple values ------------------------------------------------------- */

void
reply_raw(struct req *rq, struct slice s)
{
    put(rq, s.p, s.len);
}

void
reply_ok(struct req *rq)
{
    memcpy(reserve(rq, 5), "+OK\r\n", 5);
    commit(rq, 5);
}

void
reply_status(struct req *rq, const char *text)
{
    size_t n = strlen(text);
    uint8_t *at;

    nq_assert(n + 3 <= SMALL);
    at = reserve(rq, n + 3);
    at[0] = '+';
    memcpy(at + 1, text, n);
    memcpy(at + 1 + n, "\r\n", 2);
    commit(rq, n + 3);
}

void
reply_bulk(struct req *rq, struct slice s)
{
    if (nq_likely(s.len <= SMALL - RESP_HEADER_MAX - 2)) {
        uint8_t *at = reserve(rq, RESP_HEADER_MAX + s.len + 2);

        commit(rq, resp_put_bulk(at, s));
        return;
    }
    header(rq, '$', s.len);
    put(rq, s.p, s.len);
    put(rq, "\r\n", 2);
}

void
reply_bulk_str(struct req *rq, const char *s)
{
    reply_bulk(rq, slice_str(s));
}

void
reply_bulk_printf(struct req *rq, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    reply_bulk(rq, slice_of(text, nq_min((size_t)n, sizeof text - 1)));
}

void
reply_int(struct req *rq, int64_t v)
{
    commit(rq, resp_put_int(reserve(rq, RESP_HEADER_MAX), v));
}

void
reply_null(struct req *rq)
{
    commit(rq, resp_put_null(reserve(rq, RESP_HEADER_MAX), rq->s->resp));
}

void
reply_null_array(struct req *rq)
{
    commit(rq, resp_put_null_array(reserve(rq, RESP_HEADER_MAX), rq->s->resp));
}

void
reply_double(struct req *rq, double v)
{
    commit(rq, resp_put_double(reserve(rq, RESP_DOUBLE_MAX), rq->s->resp, v));
}

void
reply_bool(struct req *rq, bool v)
{
    commit(rq, resp_put_bool(reserve(rq, RESP_HEADER_MAX), rq->s->resp, v));
}

void
reply_bignum(struct req *rq, const char *digits)
{
    if (rq->s->resp < 3) {
        reply_bulk_str(rq, digits);
        return;
    }
    put(rq, "(", 1);
    put(rq, digits, strlen(digits));
    put(rq, "\r\n", 2);
}

void
reply_verbatim(struct req *rq, const char *format, struct slice s)
{
    if (rq->s->resp < 3) {
        reply_bulk(rq, s);
        return;
    }
    nq_assert(strlen(format) == 3);
    header(rq, '=', s.len + 4);
    put(rq, format, 3);
    put(rq, ":", 1);
    put(rq, s.p, s.len);
    put(rq, "\r\n", 2);
}

/* --- aggregates ---------------------------------------------------------- */

void
reply_array(struct req *rq, uint64_t n)
{
    header(rq, '*', n);
}

void
reply_map(struct req *rq, uint64_t pairs)
{
    if (rq->s->resp < 3)
        header(rq, '*', pairs * 2);
    else
        header(rq, '%', pairs);
}

void
reply_set(struct req *rq, uint64_t n)
{
    header(rq, rq->s->resp < 3 ? '*' : '~', n);
}

void
reply_push(struct req *rq, uint64_t n)
{
    rq->is_push = true;
    header(rq, rq->s->resp < 3 ? '*' : '>', n);
}

struct reply_deferred
reply_array_begin(struct req *rq)
{
    struct reply_part *part = arena_alloc(rq->arena, sizeof *part);

    *part = (struct reply_part){.outer = rq->part};
    rq->part = part;
    return (struct reply_deferred){part};
}

/* Closes the innermost part; its chunks are to be put with emit(). */
static void
leave(struct req *rq, struct reply_deferred d)
{
    nq_assert(rq->part == d.part);
    rq->part = d.part->outer;
}

static void
emit(struct req *rq, struct reply_part *part)
{
    if (rq->part != NULL && part->first != NULL) {
        /* Inside another part: its chunks simply follow, closed to more. */
        part_reserve(rq, 0);
        rq->part->last->cap = rq->part->last->len;
        rq->part->last->next = part->first;
        rq->part->last = part->last;
        return;
    }
    for (struct part_chunk *c = part->first; c != NULL; c = c->next)
        if (c->ref != NULL)
            put_ref(rq, slice_of(c->ref, c->len), c->release, c->arg);
        else
            put(rq, c->bytes, c->len);
}

void
reply_array_end(struct req *rq, struct reply_deferred d, uint64_t n)
{
    leave(rq, d);
    reply_array(rq, n);
    emit(rq, d.part);
}

void
reply_map_end(struct req *rq, struct reply_deferred d, uint64_t pairs)
{
    leave(rq, d);
    reply_map(rq, pairs);
    emit(rq, d.part);
}

void
reply_set_end(struct req *rq, struct reply_deferred d, uint64_t n)
{
    leave(rq, d);
    reply_set(rq, n);
    emit(rq, d.part);
}

void
reply_part_save(struct req *rq, struct reply_deferred d, struct buf *out)
{
    leave(rq, d);
    for (struct part_chunk *c = d.part->first; c != NULL; c = c->next) {
        buf_put(out, c->ref != NULL ? c->ref : c->bytes, c->len);
        if (c->ref != NULL)
            c->release(c->arg, c->len);
    }
}

void
reply_part_join(struct req *rq, struct reply_deferred d)
{
    leave(rq, d);
    emit(rq, d.part);
}

void
reply_part_drop(struct req *rq, struct reply_deferred d)
{
    leave(rq, d);
    for (struct part_chunk *c = d.part->first; c != NULL; c = c->next)
        if (c->ref != NULL)
            c->release(c->arg, c->len);
}

void
reply_drop_parts(struct req *rq)
{
    for (; rq->part != NULL; rq->part = rq->part->outer)
        for (struct part_chunk *c = rq->part->first; c != NULL; c = c->next)
            if (c->ref != NULL)
                c->release(c->arg, c->len);
}

/* --- strings of the database --------------------------------------------- */

/* Who gives a pin back once the bytes have left. */
struct pin_note {
    struct db *db;
    uint32_t pin;
};

static void
on_sent(void *arg, size_t n)
{
    struct pin_note *note = arg;

    nq_unused(n);
    string_unpin(note->db, note->pin);
    nq_free(note);
}

/* All chunks are pinned before the first byte is put, so that a miss or a
 * damaged chunk leaves no half of a reply. */
static nq_rc
put_blob(struct req *rq, const struct entry *e)
{
    uint32_t chunks = string_chunks(e);
    struct slice *bytes = arena_alloc(rq->arena, chunks * sizeof *bytes);
    uint32_t *pins = arena_alloc(rq->arena, chunks * sizeof *pins);

    for (uint32_t i = 0; i < chunks; i++) {
        nq_rc rc = string_chunk(rq->db, e, i, &bytes[i], &pins[i]);

        if (rc == NQ_OK)
            continue;
        while (i-- > 0)
            string_unpin(rq->db, pins[i]);
        return rc;
    }
    header(rq, '$', string_len(e));
    for (uint32_t i = 0; i < chunks; i++) {
        struct pin_note *note = nq_malloc(sizeof *note);

        *note = (struct pin_note){rq->db, pins[i]};
        put_ref(rq, bytes[i], on_sent, note);
    }
    put(rq, "\r\n", 2);
    return NQ_OK;
}

void
reply_entry(struct req *rq, const struct entry *e)
{
    struct slice bytes;
    nq_rc rc;

    if (string_chunks(e) > 0) {
        reply_rc(rq, put_blob(rq, e));
        return;
    }
    rc = string_bytes(rq->db, e, rq->arena, &bytes);
    if (rc == NQ_OK)
        reply_bulk(rq, bytes);
    else
        reply_rc(rq, rc);
}

nq_rc
reply_item_val(struct req *rq, const struct item *it)
{
    struct entry e = {.rec = {.val = it->val, .flags = REC_OWNS}};

    if (nq_unlikely(it->is_blob))
        return string_chunks(&e) > 0 ? put_blob(rq, &e) : NQ_ECORRUPT;
    reply_bulk(rq, it->val);
    return NQ_OK;
}
