/* cmd/row_reply.c - the bytes of a row.
 *
 * The header of a map stands before its fields, but how many those are is
 * known after them: room for the longest header is left, and what was not
 * needed of it is closed again.
 *
 * Called by cmd/source.c, on workers. */
#include "cmd/row_reply.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "resp/write.h"

struct row_reply {
    uint8_t resp;
    bool want_keys, want_values, has_return, return_all;
    uint32_t count;
    struct path *returns[SELECT_RETURN_MAX];
};

struct row_reply *
row_reply_new(struct select *sel, uint8_t resp)
{
    struct row_reply *rp = nq_calloc(1, sizeof *rp);

    rp->resp = resp;
    rp->want_keys = sel->want_keys;
    rp->want_values = sel->want_values;
    rp->has_return = sel->has_return;
    rp->return_all = sel->return_all;
    rp->count = sel->return_count;
    memcpy(rp->returns, sel->returns, sizeof rp->returns);
    sel->return_count = 0;
    sel->has_return = sel->return_all = false;
    return rp;
}

void
row_reply_free(void *arg)
{
    struct row_reply *rp = arg;

    if (rp == NULL)
        return;
    for (uint32_t i = 0; i < rp->count; i++)
        path_free(rp->returns[i]);
    nq_free(rp);
}

unsigned
row_reply_needs(const struct row_reply *rp)
{
    unsigned needs = ROW_KEY;

    if (rp->return_all || (!rp->has_return && rp->want_values))
        needs |= ROW_VALUE | ROW_FIELDS;
    for (uint32_t i = 0; i < rp->count; i++)
        needs |= path_needs(rp->returns[i]);
    return needs;
}

unsigned
row_reply_values(const struct row_reply *rp)
{
    return (unsigned)rp->want_keys + (rp->has_return || rp->want_values);
}

/* --- bytes ---------------------------------------------------------------- */

static void
put_bulk(struct buf *out, struct slice s)
{
    uint8_t *p = buf_reserve(out, RESP_HEADER_MAX + s.len + 2);

    out->len += resp_put_bulk(p, s);
}

static void
put_null(const struct row_reply *rp, struct buf *out)
{
    out->len += resp_put_null(buf_reserve(out, RESP_HEADER_MAX), rp->resp);
}

struct map {
    struct buf *out;
    size_t at; /* of the room for its header */
    uint64_t pairs;
};

static struct map
map_begin(struct buf *out)
{
    struct map m = {out, out->len, 0};

    (void)buf_reserve(out, RESP_HEADER_MAX);
    out->len += RESP_HEADER_MAX;
    return m;
}

static void
map_end(const struct row_reply *rp, struct map *m)
{
    uint8_t head[RESP_HEADER_MAX], *p = m->out->p + m->at;
    size_t body = m->out->len - m->at - RESP_HEADER_MAX;
    size_t n = rp->resp >= 3 ? resp_put_header(head, '%', m->pairs)
                             : resp_put_header(head, '*', 2 * m->pairs);

    memcpy(p, head, n);
    memmove(p + n, p + RESP_HEADER_MAX, body);
    m->out->len = m->at + n + body;
}

static bool
put_pair(void *arg, struct slice name, struct slice value)
{
    struct map *m = arg;

    m->pairs++;
    put_bulk(m->out, name);
    put_bulk(m->out, value);
    return true;
}

static void
put_all(const struct row *r, struct map *m)
{
    if (r->is_hash)
        r->each_field(r, put_pair, m);
    else if (r->has & ROW_VALUE)
        put_pair(m, slice_lit("$value"), r->value);
}

static void
put_returns(const struct row_reply *rp, const struct row *r,
            struct row_scratch *s, struct buf *out)
{
    struct buf value = BUF_INIT;
    struct map m = map_begin(out);

    if (rp->return_all)
        put_all(r, &m);
    for (uint32_t i = 0; i < rp->count; i++) {
        m.pairs++;
        put_bulk(out, path_text(rp->returns[i]));
        buf_clear(&value);
        if (path_bytes(rp->returns[i], r, s, &value))
            put_bulk(out, buf_slice(&value));
        else
            put_null(rp, out);
    }
    map_end(rp, &m);
    buf_fini(&value);
}

static void
put_value(const struct row_reply *rp, const struct row *r, struct buf *out)
{
    struct map m;

    if (r->is_hash) {
        m = map_begin(out);
        put_all(r, &m);
        map_end(rp, &m);
    } else if (r->has & ROW_VALUE) {
        put_bulk(out, r->value);
    } else {
        put_null(rp, out);
    }
}

void
row_reply_tell(const void *arg, const struct row *r, struct row_scratch *s,
               struct buf *out)
{
    const struct row_reply *rp = arg;

    if (rp->want_keys)
        put_bulk(out, r->key);
    if (rp->has_return)
        put_returns(rp, r, s, out);
    else if (rp->want_values)
        put_value(rp, r, out);
}
