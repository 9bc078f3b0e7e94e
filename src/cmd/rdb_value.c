/* cmd/rdb_value.c - what follows the type of a payload: strings, lists, sets,
 * hashes and sorted sets, in every form that Redis 4 to 7.4 writes.
 *
 *   LIST, SET        length | strings
 *   HASH             length | field value, strings
 *   ZSET_TEXT        length | member string, score as text with a u8 length
 *                    (253: nan, 254: inf, 255: -inf)
 *   ZSET             length | member string, score f64
 *   x_ZIPLIST, x_LISTPACK, SET_INTSET   one string that holds the packed form
 *   LIST_QUICKLIST   length | strings that hold ziplists
 *   LIST_QUICKLIST_2 length | length 1: plain, 2: listpack | string
 *   HASH_EXPIRES     u64 earliest expiry | length | length of expiry less
 *                    earliest + 1 (0: none), field, value
 *   HASH_EXPIRES_LISTPACK   u64 earliest | a listpack of field, value, expiry
 *
 * Numbers are little-endian.  Called by rdb.c. */
#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/check.h"
#include "cmd/rdb_int.h"

#define SCORE_TEXT_MAX 128
enum { NODE_PLAIN = 1, NODE_PACKED = 2 };
enum { SCORE_NAN = 253, SCORE_INF = 254, SCORE_MINUS_INF = 255 };

static struct slices
slices_in(struct rdb_reader *r)
{
    return (struct slices){.arena = r->arena, .max = r->items};
}

static bool
take_items(struct rdb_value *v, const struct slices *items)
{
    v->items = items->at;
    v->count = items->count;
    return !items->is_overfull;
}

static bool
get_strings(struct rdb_reader *r, uint64_t n, struct slices *out)
{
    struct slice s;

    for (; n > 0; n--) {
        if (!rdb_get_string(r, &s))
            return false;
        slices_put(out, s);
    }
    return true;
}

static bool
get_plain(struct rdb_reader *r, uint64_t strings_each, struct rdb_value *v)
{
    struct slices items = slices_in(r);
    uint64_t n;

    if (!rdb_get_count(r, strings_each, &n) ||
        !get_strings(r, n * strings_each, &items))
        return false;
    return take_items(v, &items);
}

typedef bool (*packed_decode_fn)(struct slice in, struct slices *out);

static bool
get_packed(struct rdb_reader *r, packed_decode_fn decode, struct rdb_value *v)
{
    struct slices items = slices_in(r);
    struct slice s;

    if (!rdb_get_string(r, &s) || !decode(s, &items))
        return false;
    return take_items(v, &items);
}

/* --- lists --------------------------------------------------------------- */

static bool
get_node(struct rdb_reader *r, bool has_kind, struct slices *items)
{
    uint64_t kind = 0;
    struct slice s;

    if (has_kind && !rdb_get_length(r, &kind))
        return false;
    if (!rdb_get_string(r, &s))
        return false;
    if (!has_kind)
        return ziplist_decode(s, items);
    if (kind == NODE_PACKED)
        return listpack_decode(s, items);
    slices_put(items, s);
    return kind == NODE_PLAIN;
}

static bool
get_quicklist(struct rdb_reader *r, bool has_kind, struct rdb_value *v)
{
    struct slices items = slices_in(r);
    uint64_t n;

    if (!rdb_get_count(r, 1, &n))
        return false;
    for (; n > 0; n--)
        if (!get_node(r, has_kind, &items))
            return false;
    return take_items(v, &items);
}

/* --- hashes -------------------------------------------------------------- */

static bool
get_expiring_hash(struct rdb_reader *r, struct rdb_value *v)
{
    struct slices items = slices_in(r);
    uint64_t n, earliest, ttl;

    cursor_get_u64(&r->c, &earliest);
    if (!rdb_get_count(r, 3, &n))
        return false;
    v->expire_ms = arena_alloc(r->arena, (n + 1) * sizeof *v->expire_ms);
    for (uint64_t i = 0; i < n; i++) {
        if (!rdb_get_length(r, &ttl) || !get_strings(r, 2, &items))
            return false;
        v->expire_ms[i] = ttl == 0 ? 0 : earliest + ttl - 1;
    }
    return take_items(v, &items);
}

/* Field, value, expiry triples to pairs and an array of expiries. */
static bool
get_expiring_listpack(struct rdb_reader *r, struct rdb_value *v)
{
    struct slices triples = slices_in(r), items = slices_in(r);
    uint64_t earliest;
    struct slice s;
    int64_t at;

    cursor_get_u64(&r->c, &earliest);
    if (!rdb_get_string(r, &s) || !listpack_decode(s, &triples) ||
        triples.count % 3 != 0)
        return false;
    v->expire_ms =
        arena_alloc(r->arena, (triples.count / 3 + 1) * sizeof *v->expire_ms);
    for (uint64_t i = 0; i < triples.count; i += 3) {
        slices_put(&items, triples.at[i]);
        slices_put(&items, triples.at[i + 1]);
        if (!slice_to_i64(triples.at[i + 2], &at) || at < 0)
            return false;
        v->expire_ms[i / 3] = (uint64_t)at;
    }
    return take_items(v, &items);
}

/* --- sorted sets --------------------------------------------------------- */

static bool
text_to_double(struct slice s, double *out)
{
    char text[SCORE_TEXT_MAX + 1], *end;

    if (s.len == 0 || s.len > SCORE_TEXT_MAX)
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    *out = strtod(text, &end);
    return end == text + s.len;
}

static bool
get_text_score(struct rdb_reader *r, double *out)
{
    struct slice text;
    uint8_t len;

    if (!cursor_get_u8(&r->c, &len) || len == SCORE_NAN)
        return false;
    if (len == SCORE_INF || len == SCORE_MINUS_INF) {
        *out = len == SCORE_INF ? INFINITY : -INFINITY;
        return true;
    }
    return cursor_get_bytes(&r->c, len, &text) && text_to_double(text, out);
}

static bool
get_score(struct rdb_reader *r, double *out)
{
    uint64_t bits;

    if (!cursor_get_u64(&r->c, &bits))
        return false;
    memcpy(out, &bits, sizeof bits);
    return true;
}

static bool
get_zset(struct rdb_reader *r, bool is_text, struct rdb_value *v)
{
    struct slices items = slices_in(r);
    uint64_t n;

    if (!rdb_get_count(r, 2, &n))
        return false;
    v->scores = arena_alloc(r->arena, (n + 1) * sizeof *v->scores);
    for (uint64_t i = 0; i < n; i++) {
        double *score = &v->scores[i];

        if (!get_strings(r, 1, &items) ||
            !(is_text ? get_text_score(r, score) : get_score(r, score)) ||
            isnan(*score))
            return false;
    }
    return take_items(v, &items);
}

/* Member, score, member, score: apart. */
static bool
split_scores(struct rdb_reader *r, struct rdb_value *v)
{
    uint64_t n = v->count / 2;

    if (v->count % 2 != 0)
        return false;
    v->scores = arena_alloc(r->arena, (n + 1) * sizeof *v->scores);
    for (uint64_t i = 0; i < n; i++) {
        if (!text_to_double(v->items[2 * i + 1], &v->scores[i]) ||
            isnan(v->scores[i]))
            return false;
        v->items[i] = v->items[2 * i];
    }
    v->count = n;
    return true;
}

/* --- all ----------------------------------------------------------------- */

static bool
get_string_value(struct rdb_reader *r, struct rdb_value *v)
{
    v->items = arena_alloc(r->arena, sizeof *v->items);
    v->count = 1;
    return rdb_get_string(r, &v->items[0]);
}

static bool
type_of(uint8_t rdb_type, enum db_type *type)
{
    static const int8_t types[] = {
        [RDB_STRING] = DB_STRING + 1,
        [RDB_LIST] = DB_LIST + 1,
        [RDB_LIST_ZIPLIST] = DB_LIST + 1,
        [RDB_LIST_QUICKLIST] = DB_LIST + 1,
        [RDB_LIST_QUICKLIST_2] = DB_LIST + 1,
        [RDB_SET] = DB_SET + 1,
        [RDB_SET_INTSET] = DB_SET + 1,
        [RDB_SET_LISTPACK] = DB_SET + 1,
        [RDB_ZSET_TEXT] = DB_ZSET + 1,
        [RDB_ZSET] = DB_ZSET + 1,
        [RDB_ZSET_ZIPLIST] = DB_ZSET + 1,
        [RDB_ZSET_LISTPACK] = DB_ZSET + 1,
        [RDB_HASH] = DB_HASH + 1,
        [RDB_HASH_ZIPLIST] = DB_HASH + 1,
        [RDB_HASH_LISTPACK] = DB_HASH + 1,
        [RDB_HASH_EXPIRES] = DB_HASH + 1,
        [RDB_HASH_EXPIRES_LISTPACK] = DB_HASH + 1,
        [RDB_STREAM_1] = DB_STREAM + 1,
        [RDB_STREAM_2] = DB_STREAM + 1,
        [RDB_STREAM_3] = DB_STREAM + 1,
    };

    if (rdb_type >= nq_countof(types) || types[rdb_type] == 0)
        return false;
    *type = (enum db_type)(types[rdb_type] - 1);
    return true;
}

static bool
get_by_type(struct rdb_reader *r, uint8_t type, struct rdb_value *v)
{
    switch (type) {
    case RDB_STRING:
        return get_string_value(r, v);
    case RDB_LIST:
    case RDB_SET:
        return get_plain(r, 1, v);
    case RDB_HASH:
        return get_plain(r, 2, v);
    case RDB_ZSET_TEXT:
    case RDB_ZSET:
        return get_zset(r, type == RDB_ZSET_TEXT, v);
    case RDB_LIST_QUICKLIST:
    case RDB_LIST_QUICKLIST_2:
        return get_quicklist(r, type == RDB_LIST_QUICKLIST_2, v);
    case RDB_SET_INTSET:
        return get_packed(r, intset_decode, v);
    case RDB_LIST_ZIPLIST:
    case RDB_HASH_ZIPLIST:
        return get_packed(r, ziplist_decode, v);
    case RDB_SET_LISTPACK:
    case RDB_HASH_LISTPACK:
        return get_packed(r, listpack_decode, v);
    case RDB_ZSET_ZIPLIST:
        return get_packed(r, ziplist_decode, v) && split_scores(r, v);
    case RDB_ZSET_LISTPACK:
        return get_packed(r, listpack_decode, v) && split_scores(r, v);
    case RDB_HASH_EXPIRES:
        return get_expiring_hash(r, v);
    case RDB_HASH_EXPIRES_LISTPACK:
        return get_expiring_listpack(r, v);
    default:
        return rdb_get_stream(r, type, v);
    }
}

bool
rdb_get_value(struct rdb_reader *r, uint8_t type, struct rdb_value *v)
{
    if (!type_of(type, &v->type) || !get_by_type(r, type, v))
        return false;
    /* No collection is empty but a stream. */
    return v->type == DB_STREAM ||
           (v->count > 0 && (v->type != DB_HASH || v->count % 2 == 0));
}
