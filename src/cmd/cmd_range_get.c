/* cmd/cmd_range_get.c - NQ.GET and NQ.CAS: one record. */
#include "base/check.h"
#include "cmd/cmd_key.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "db/string.h"
#include "store/store.h"

#define SAMPLE 65536u /* bytes of a value that are looked at for its kind */

static void
put_field_int(struct req *rq, const char *name, int64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, v);
}

/* What the record takes in the engine: key and value in the leaf, and the
 * chunks of a blob.  Before compression, without its share of the page. */
static uint64_t
stored_bytes(const struct entry *e, struct slice key)
{
    uint64_t n = key.len + e->rec.val.len;

    return (e->rec.flags & REC_OWNS) != 0 ? n + string_len(e) : n;
}

/* How the leaf that holds the record was last written, or the chunks of a
 * blob: the codec ("mixed": they have several), and the bytes of these pages;
 * "none" and 0 before the first write. */
static void
reply_pages(struct req *rq, const struct entry *e)
{
    struct string_disk disk;
    const char *codec = "none";

    if (string_disk(rq->db, e, &disk) == NQ_OK && disk.written > 0)
        codec = disk.is_mixed ? "mixed" : pack_codec_name(disk.codec);
    reply_bulk_str(rq, "codec");
    reply_bulk_str(rq, codec);
    put_field_int(rq, "page_bytes", (int64_t)disk.bytes);
}

/* What kind of data the value is, and the level at which such data is
 * compressed now. */
static void
reply_class(struct req *rq, const struct entry *e)
{
    enum data_class class = DATA_BINARY;
    struct pack_stats stats;
    struct pack_opts opts;
    struct slice val;

    if (string_range(rq->db, e, 0, SAMPLE, rq->arena, &val) == NQ_OK)
        class = detect_class(val.p, val.len);
    store_get_pack(db_store(rq->db), &opts, &stats);
    reply_bulk_str(rq, "class");
    reply_bulk_str(rq, detect_class_name(class));
    put_field_int(rq, "level", opts.enabled ? pack_level(&opts, class) : 0);
}

/* The record as a map: value, type, encoding, expiry (wall ms, -1: none), lsn
 * of the last change of the page that holds it, codec and size of its pages
 * on disk, kind of data and level of compression, bytes of the value and bytes
 * that key and value take. */
static void
reply_meta(struct req *rq, const struct entry *e)
{
    uint64_t at_ms = db_expire_of(&e->rec);
    int64_t expiry = at_ms == 0 ? -1 : (int64_t)at_ms;

    reply_map(rq, 11);
    reply_bulk_str(rq, "value");
    reply_entry(rq, e);
    if (rq->outcome != REQ_DONE)
        return;
    reply_bulk_str(rq, "type");
    reply_bulk_str(rq, db_type_name(e->rec.type));
    reply_bulk_str(rq, "encoding");
    reply_bulk_str(rq, string_encoding(e));
    put_field_int(rq, "expiry", expiry);
    put_field_int(rq, "lsn", (int64_t)e->rec.page_lsn);
    reply_pages(rq, e);
    reply_class(rq, e);
    put_field_int(rq, "logical_bytes", (int64_t)string_len(e));
    put_field_int(rq, "stored_bytes", (int64_t)stored_bytes(e, rq->argv[1]));
}

/* NQ.GET key [META] */
void
cmd_nq_get(struct req *rq)
{
    bool meta = rq->argc == 3 && slice_is(rq->argv[2], "META"), found;
    struct entry e;
    nq_rc rc;

    if (rq->argc > 2 && !meta) {
        reply_syntax(rq);
        return;
    }
    rc = req_find_type(rq, 1, DB_STRING, false, &e);
    if (!key_is_found(rq, rc, &found))
        return;
    if (!found)
        reply_null(rq);
    else if (meta)
        reply_meta(rq, &e);
    else
        reply_entry(rq, &e);
}

/* NQ.CAS key old new: 1 if the string was `old` and is `new` now, its expiry
 * as it was; else 0, also when the key is not there (SET key new NX makes
 * one). */
void
cmd_nq_cas(struct req *rq)
{
    struct slice was;
    struct entry e;
    bool found;
    nq_rc rc = req_find_type(rq, 1, DB_STRING, true, &e);

    if (!key_is_found(rq, rc, &found))
        return;
    if (!found || string_len(&e) != rq->argv[2].len) {
        reply_int(rq, 0);
        return;
    }
    rc = string_bytes(rq->db, &e, rq->arena, &was);
    if (rc == NQ_OK && !slice_eq(was, rq->argv[2])) {
        reply_int(rq, 0);
        return;
    }
    if (rc == NQ_OK)
        rc = string_set(rq->db, rq->dbi, rq->argv[1], &e, true, rq->argv[3],
                        STRING_KEEP_TTL, "set");
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, 1);
}
