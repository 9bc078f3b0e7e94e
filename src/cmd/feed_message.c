/* cmd/feed_message.c - messages of feeds as JSON.  See the header for the
 * fields.
 *
 * Called by cmd/feed, cmd/feed_sub, cmd/feed_snapshot. */
#include "cmd/feed_message.h"

#include <inttypes.h>

#include "cmd/feed_json.h"

static void
begin(struct buf *out, const char *event, lsn at)
{
    buf_clear(out);
    buf_printf(out, "{\"lsn\":\"%" PRIu64 "\",\"event\":\"%s\"", at, event);
}

static void
put_bool(struct buf *out, const char *name, bool v)
{
    feed_json_name(out, slice_str(name));
    buf_put_str(out, v ? "true" : "false");
}

static void
put_text(struct buf *out, const char *name, struct slice v)
{
    feed_json_name(out, slice_str(name));
    feed_json_text(out, v);
}

static void
put_position(struct buf *out, const char *name, lsn at)
{
    buf_printf(out, ",\"%s\":\"%" PRIu64 "\"", name, at);
}

/* --- rows ------------------------------------------------------------------
 */

static bool
put_field(void *arg, struct slice name, struct slice value)
{
    struct buf *out = arg;

    feed_json_name(out, name);
    feed_json_text(out, value);
    return true;
}

/* Whole numbers as such: $len and $ttl have no spelling of their own. */
static void
put_number(struct buf *out, double v)
{
    if (v > -9e15 && v < 9e15 && v == (double)(int64_t)v)
        buf_printf(out, "%" PRId64, (int64_t)v);
    else
        buf_printf(out, "%.17g", v);
}

static void
put_value(struct buf *out, const struct path *p, const struct value *v,
          const struct row *r, struct row_scratch *scratch)
{
    switch (v->kind) {
    case VALUE_MISSING:
    case VALUE_NULL:
        buf_put_str(out, "null");
        break;
    case VALUE_BOOL:
        buf_put_str(out, v->boolean ? "true" : "false");
        break;
    case VALUE_NUMBER:
        put_number(out, v->number);
        break;
    case VALUE_TEXT:
    case VALUE_BYTES:
        feed_json_text(out, v->text);
        break;
    case VALUE_OTHER: /* an object or array, as JSON */
        if (!path_bytes(p, r, scratch, out))
            buf_put_str(out, "null");
    }
}

static void
put_returns(struct buf *out, const struct row *r,
            const struct feed_returns *ret)
{
    feed_json_name(out, slice_lit("fields"));
    buf_put_u8(out, '{');
    for (uint32_t i = 0; i < ret->count; i++) {
        const struct path *p = ret->paths[i];
        struct value v = path_value(p, r, ret->scratch);

        if (v.kind == VALUE_MISSING)
            continue;
        feed_json_name(out, path_text(p));
        put_value(out, p, &v, r, ret->scratch);
    }
    buf_put_u8(out, '}');
}

static bool
is_string(const struct row *r)
{
    return slice_is(slice_str(r->type), "string");
}

static void
put_all(struct buf *out, const struct row *r)
{
    if (!r->is_hash && !is_string(r)) {
        put_text(out, "type", slice_str(r->type));
    } else if (r->is_hash && (r->has & ROW_FIELDS) != 0) {
        feed_json_name(out, slice_lit("fields"));
        buf_put_u8(out, '{');
        r->each_field(r, put_field, out);
        buf_put_u8(out, '}');
    } else if (!r->is_hash && (r->has & ROW_VALUE) != 0) {
        put_text(out, "value", r->value);
    } else {
        put_bool(out, "too_long", true);
    }
}

/* The rest of a message about a key; r NULL: it does not match. */
static void
put_key_state(struct buf *out, struct slice key, bool was, const struct row *r,
              const struct feed_returns *ret)
{
    put_text(out, "key", key);
    put_bool(out, "was", was);
    put_bool(out, "is", r != NULL);
    if (r != NULL) {
        if (ret->count > 0)
            put_returns(out, r, ret);
        else
            put_all(out, r);
        if (r->expire_ms != 0)
            buf_printf(out, ",\"expires\":%" PRIu64, r->expire_ms);
    }
    buf_put_u8(out, '}');
}

void
feed_message_change(struct buf *out, const struct change *c, bool was,
                    const struct row *is, const struct feed_returns *ret)
{
    begin(out, change_event_name(c->event), c->at);
    put_key_state(out, c->key, was, is, ret);
}

void
feed_message_row(struct buf *out, lsn at, const struct row *row,
                 const struct feed_returns *ret)
{
    begin(out, "row", at);
    put_key_state(out, row->key, false, row, ret);
}

/* --- of ranges and positions ----------------------------------------------
 */

void
feed_message_range(struct buf *out, const struct change *c,
                   const struct key_range *r)
{
    struct slice from = slice_cmp(c->key, r->lo) > 0 ? c->key : r->lo;
    bool c_is_nearer = c->has_hi && (!r->has_hi || slice_cmp(c->hi, r->hi) < 0);

    begin(out, change_event_name(c->event), c->at);
    put_text(out, "from", from);
    if (c->has_hi || r->has_hi)
        put_text(out, "to", c_is_nearer ? c->hi : r->hi);
    buf_put_u8(out, '}');
}

void
feed_message_ready(struct buf *out, lsn at)
{
    begin(out, "ready", at);
    buf_put_u8(out, '}');
}

void
feed_message_gap(struct buf *out, lsn from, lsn to, uint64_t count)
{
    begin(out, "gap", to);
    put_position(out, "from", from);
    put_position(out, "to", to);
    buf_printf(out, ",\"count\":%" PRIu64 "}", count);
}

void
feed_message_lost(struct buf *out, lsn from, lsn oldest, lsn newest)
{
    begin(out, "lost", newest);
    put_position(out, "from", from);
    put_position(out, "oldest", oldest);
    put_position(out, "newest", newest);
    buf_put_u8(out, '}');
}
