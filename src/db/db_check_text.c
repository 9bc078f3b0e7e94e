/* db/db_check_text.c - what a damaged page covers, in words:
 *
 *   database 0: keys from "user:17" up to, not including, "user:31"
 *   database 0: hash "h": fields below "m"
 *   database 3: list "queue": elements 120 to 247
 *   database 0: string "film": bytes 1048576 to 2097151
 *
 * Bytes that do not print are told as \xNN, very long keys are cut. */
#include <ctype.h>
#include <inttypes.h>

#include "base/mem.h"
#include "db/db_check_int.h"
#include "db/stream_int.h"
#include "db/zset_int.h"

#define QUOTED_MAX 256u

void
check_text_quoted(struct buf *out, struct slice s)
{
    size_t n = nq_min(s.len, QUOTED_MAX);

    buf_put_u8(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            buf_printf(out, "\\%c", s.p[i]);
        else if (isprint(s.p[i]))
            buf_put_u8(out, s.p[i]);
        else
            buf_printf(out, "\\x%02x", s.p[i]);
    }
    buf_printf(out, "\"");
    if (n < s.len)
        buf_printf(out, "... (%zu bytes)", s.len);
}

/* The owner: false if there is none whose data this would be. */
static bool
put_owner(struct buf *out, const struct check_place *p)
{
    if (p->is_freed || p->records == OF_FREES) {
        buf_printf(out, "no key: it is being freed");
        return false;
    }
    if (p->records == OF_INDEX) {
        buf_printf(out, "no key: index ");
        check_text_quoted(out, p->key);
        return false;
    }
    if (p->dbi == DB_STAGING) {
        buf_printf(out, "no key: a result that was not finished");
        return false;
    }
    buf_printf(out, "database %u: ", p->dbi);
    if (p->records != OF_KEYS) {
        buf_printf(out, "%s ", db_type_name((enum db_type)p->type));
        check_text_quoted(out, p->key);
        buf_printf(out, ": ");
    }
    return true;
}

/* --- names of items ------------------------------------------------------ */

static void
put_stream_item(struct buf *out, struct slice key)
{
    char id[STREAM_ID_TEXT];

    if (key.len == STREAM_KEY_SIZE && key.p[0] == KEY_ENTRY) {
        stream_id_text(id, stream_get_id(key.p + 1));
        buf_printf(out, "entry %s", id);
    } else {
        buf_printf(out, "item of groups ");
        check_text_quoted(out, key);
    }
}

static void
put_zset_item(struct buf *out, struct slice key)
{
    if (key.len >= ZSET_NAME_AT && key.p[0] == 's') {
        buf_printf(out, "place in the order of ");
        check_text_quoted(
            out, slice_of(key.p + ZSET_NAME_AT, key.len - ZSET_NAME_AT));
    } else {
        buf_printf(out, "score of ");
        check_text_quoted(
            out, slice_of(key.p + (key.len > 0), key.len - (key.len > 0)));
    }
}

static void
put_item(struct buf *out, const struct check_place *p, struct slice key)
{
    if (p->records == OF_ITEMS && p->type == DB_STREAM && key.len > 0)
        put_stream_item(out, key);
    else if (p->records == OF_ITEMS && p->type == DB_ZSET && key.len > 0)
        put_zset_item(out, key);
    else
        check_text_quoted(out, key);
}

static const char *
plural(const struct check_place *p)
{
    if (p->records == OF_KEYS)
        return "keys";
    switch (p->type) {
    case DB_HASH:
        return "fields";
    case DB_SET:
        return "members";
    default:
        return "items";
    }
}

/* --- ranges -------------------------------------------------------------- */

static void
put_range(struct buf *out, const struct check_place *p,
          const struct btree_range *r)
{
    if (r->low.len == 0 && !r->has_high) {
        buf_printf(out, "all %s", plural(p));
        return;
    }
    buf_printf(out, "%s ", plural(p));
    if (r->low.len > 0) {
        buf_printf(out, "from ");
        put_item(out, p, r->low);
        buf_printf(out, r->has_high ? " up to, not including, " : " on");
    } else {
        buf_printf(out, "below ");
    }
    if (r->has_high)
        put_item(out, p, r->high);
}

void
check_text_range(struct buf *out, const struct check_place *p,
                 const struct btree_range *r)
{
    bool is_list = p->records == OF_ITEMS && p->type == DB_LIST;

    if (put_owner(out, p)) {
        if (r->is_tail)
            buf_printf(out, "one long key of ");
        if (is_list && r->count > 0)
            buf_printf(out, "elements %" PRIu64 " to %" PRIu64,
                       p->head + r->rank, p->head + r->rank + r->count - 1);
        else if (is_list)
            buf_printf(out, "all elements but those at its ends");
        else
            put_range(out, p, r);
    }
    buf_put_u8(out, 0);
}

void
check_text_bytes(struct buf *out, const struct check_place *p, uint64_t from,
                 uint64_t to)
{
    if (put_owner(out, p))
        buf_printf(out, "bytes %" PRIu64 " to %" PRIu64 "%s", from, to,
                   p->type == DB_STRING ? "" : " of a long item");
    buf_put_u8(out, 0);
}

void
db_describe_range(struct buf *out, uint32_t dbi, uint8_t type, struct slice key,
                  const struct btree_range *r)
{
    struct check_place p = {.records = key.p != NULL ? OF_ITEMS : OF_KEYS,
                            .dbi = dbi,
                            .type = type,
                            .key = key};

    check_text_range(out, &p, r);
}
