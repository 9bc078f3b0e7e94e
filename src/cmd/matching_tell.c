/* cmd/matching_tell.c - what a select says is to be told of a row.
 *
 *   0   u8 shape (enum matched_shape)
 *   1   VALUE: the bytes, to the end
 *       FIELDS: for each  varint length, name | u8 has | varint length, value
 *
 * Made by workers, read by whoever takes the row. */
#include "base/check.h"
#include "base/cursor.h"
#include "cmd/matching_int.h"
#include "cmd/reply.h"

/* --- telling -------------------------------------------------------------- */

static void
put_field(struct buf *out, struct slice name, bool has, struct slice value)
{
    buf_put_varint(out, name.len);
    buf_put_slice(out, name);
    buf_put_u8(out, has);
    if (!has)
        return;
    buf_put_varint(out, value.len);
    buf_put_slice(out, value);
}

static bool
put_each(void *arg, struct slice name, struct slice value)
{
    put_field(arg, name, true, value);
    return true;
}

static void
put_all(const struct row *r, struct buf *out)
{
    if (r->is_hash)
        r->each_field(r, put_each, out);
    else if (r->has & ROW_VALUE)
        put_field(out, slice_lit("$value"), true, r->value);
}

static void
put_return(const struct path *p, const struct row *r, struct row_scratch *s,
           struct buf *out)
{
    struct buf value = BUF_INIT;
    bool has = path_bytes(p, r, s, &value);

    put_field(out, path_text(p), has, buf_slice(&value));
    buf_fini(&value);
}

static void
tell(const void *arg, const struct row *r, struct row_scratch *s,
     struct buf *out)
{
    const struct select *sel = arg;

    if (sel->has_return) {
        buf_put_u8(out, MATCHED_FIELDS);
        if (sel->return_all)
            put_all(r, out);
        for (uint32_t i = 0; i < sel->return_count; i++)
            put_return(sel->returns[i], r, s, out);
    } else if (!sel->want_values) {
        buf_put_u8(out, MATCHED_NOTHING);
    } else if (r->is_hash) {
        buf_put_u8(out, MATCHED_FIELDS);
        put_all(r, out);
    } else if (r->has & ROW_VALUE) {
        buf_put_u8(out, MATCHED_VALUE);
        buf_put_slice(out, r->value);
    } else {
        buf_put_u8(out, MATCHED_NULL);
    }
}

static unsigned
needs(const struct select *sel)
{
    unsigned parts = ROW_KEY;

    if (sel->return_all || (!sel->has_return && sel->want_values))
        parts |= ROW_VALUE | ROW_FIELDS;
    for (uint32_t i = 0; i < sel->return_count; i++)
        parts |= path_needs(sel->returns[i]);
    return parts;
}

struct matching_how
matching_own_how(const struct select *sel)
{
    return (struct matching_how){.arg = sel, .needs = needs(sel), .tell = tell};
}

/* --- reading -------------------------------------------------------------- */

enum matched_shape
matched_shape(const struct matched *row)
{
    nq_assert(row->told.len > 0 && row->told.p[0] <= MATCHED_FIELDS);
    return (enum matched_shape)row->told.p[0];
}

bool
matched_field(const struct matched *row, size_t *at, struct slice *name,
              bool *has, struct slice *value)
{
    size_t from = nq_max(*at, (size_t)1);
    struct cursor c =
        cursor_of(slice_of(row->told.p + from, row->told.len - from));
    uint8_t flag = 1;
    bool ok;

    *name = *value = slice_lit("");
    *has = true;
    if (matched_shape(row) == MATCHED_VALUE && *at == 0) {
        *value = slice_of(row->told.p + 1, row->told.len - 1);
        *at = row->told.len;
        return true;
    }
    if (cursor_left(&c) == 0)
        return false;
    ok = cursor_get_slice(&c, name) && cursor_get_u8(&c, &flag) &&
         (flag == 0 || cursor_get_slice(&c, value));
    nq_assert(ok);
    *has = flag != 0;
    *at = row->told.len - cursor_left(&c);
    return true;
}

static void
reply_fields(struct req *rq, const struct matched *row)
{
    struct slice name, value;
    uint64_t n = 0;
    bool has;

    for (size_t at = 0; matched_field(row, &at, &name, &has, &value);)
        n++;
    reply_map(rq, n);
    for (size_t at = 0; matched_field(row, &at, &name, &has, &value);) {
        reply_bulk(rq, name);
        if (has)
            reply_bulk(rq, value);
        else
            reply_null(rq);
    }
}

void
matched_reply(struct req *rq, const struct matched *row)
{
    struct slice name, value;
    size_t at = 0;
    bool has;

    switch (matched_shape(row)) {
    case MATCHED_NOTHING:
        break;
    case MATCHED_NULL:
        reply_null(rq);
        break;
    case MATCHED_VALUE:
        (void)matched_field(row, &at, &name, &has, &value);
        reply_bulk(rq, value);
        break;
    case MATCHED_FIELDS:
        reply_fields(rq, row);
        break;
    }
}
