/* cmd/cmd_debug_value.c - DEBUG about values: OBJECT, DIGEST, DIGEST-VALUE,
 * RELOAD.
 *
 * A digest is the same for the same contents, however they came about and are
 * kept: of lists and streams in their order, of the others without one.  It
 * is compared between two moments, not with Redis'.  All in one piece: tools
 * for tests. */
#include "cmd/cmd_debug.h"

#include <stdio.h>

#include "base/check.h"
#include "base/hash.h"
#include "cmd/cmd_dump.h"
#include "cmd/cmd_key.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/idle.h"
#include "cmd/reply.h"
#include "db/db.h"
#include "store/store.h"

/* --- digests ------------------------------------------------------------- */

static uint64_t
mix(uint64_t sum, struct slice s)
{
    return hash_u64(sum ^ hash_bytes(s));
}

static uint64_t
mix_double(uint64_t sum, double v)
{
    return mix(sum, slice_of(&v, sizeof v));
}

static uint64_t
digest_items(const struct rdb_value *v)
{
    uint64_t each = v->type == DB_HASH ? 2 : 1, sum = 0;

    for (uint64_t i = 0; i < v->count; i += each) {
        uint64_t one = mix(1, v->items[i]);

        if (v->type == DB_HASH)
            one = mix(one, v->items[i + 1]);
        if (v->scores != NULL)
            one = mix_double(one, v->scores[i]);
        sum = v->type == DB_LIST ? hash_u64(sum ^ one) : sum ^ one;
    }
    return sum;
}

static nq_rc
digest_value(struct req *rq, struct slice key, struct entry *e, uint64_t *out)
{
    struct buf payload = BUF_INIT;
    struct rdb_value v;
    nq_rc rc = dump_collect(rq, key, e, &v);

    if (rc != NQ_OK)
        return rc;
    *out = digest_items(&v);
    if (v.type == DB_STREAM) {
        rdb_encode(&payload, &v);
        *out = mix(0, buf_slice(&payload));
    }
    *out = hash_u64(*out ^ (uint64_t)v.type ^ db_expire_of(&e->rec));
    buf_fini(&payload);
    return NQ_OK;
}

static void
reply_digest(struct req *rq, uint64_t sum)
{
    char text[41];

    snprintf(text, sizeof text, "%040llx", (unsigned long long)sum);
    reply_status(rq, text);
}

void
debug_digest_value(struct req *rq)
{
    uint64_t mark = reply_mark(rq);

    reply_array(rq, rq->argc - 2);
    for (uint32_t i = 2; i < rq->argc; i++) {
        struct entry e;
        uint64_t sum = 0;
        nq_rc rc = req_find(rq, i, &e);

        if (rc == NQ_OK)
            rc = digest_value(rq, rq->argv[i], &e, &sum);
        if (rc != NQ_OK && rc != NQ_NOTFOUND) {
            reply_rc_from(rq, mark, rc);
            return;
        }
        reply_digest(rq, sum);
    }
}

/* All keys of one database, in their order. */
static nq_rc
digest_keys(struct req *rq, uint64_t *sum)
{
    struct btree_cursor c;
    struct slice key;
    nq_rc rc;

    btree_cursor_init(&c, db_tree(rq->db, rq->dbi));
    for (rc = btree_first(&c); rc == NQ_OK && c.valid; rc = btree_next(&c)) {
        struct entry e = {0};
        uint64_t one = 0;

        key = c.key;
        if ((rc = db_find(rq->db, rq->dbi, key, &e)) == NQ_NOTFOUND)
            continue;
        if (rc == NQ_OK)
            rc = digest_value(rq, key, &e, &one);
        if (rc != NQ_OK)
            break;
        *sum = mix(*sum ^ one ^ rq->dbi, key);
    }
    btree_cursor_fini(&c);
    return rc;
}

void
debug_digest(struct req *rq)
{
    uint32_t dbi = rq->dbi;
    uint64_t sum = 0;
    nq_rc rc = NQ_OK;

    for (rq->dbi = 0; rq->dbi < db_count(rq->db) && rc == NQ_OK; rq->dbi++)
        rc = digest_keys(rq, &sum);
    rq->dbi = dbi;
    if (rc == NQ_OK)
        reply_digest(rq, sum);
    else
        reply_rc(rq, rc);
}

/* --- the others ---------------------------------------------------------- */

static void
reply_object(struct req *rq, const struct entry *e, const struct rdb_value *v)
{
    struct engine *g = rq->engine;
    struct buf payload = BUF_INIT;
    enum data_class class;
    struct pack_stats stats;
    struct pack_opts opts;
    uint8_t codec = 0;
    uint32_t bytes = 0;
    bool is_on_disk =
        store_page_on_disk(g->store, e->finger.leaf, &codec, &bytes);
    char line[400];

    rdb_encode(&payload, v);
    class = detect_class(payload.p, payload.len);
    store_get_pack(g->store, &opts, &stats);
    snprintf(line, sizeof line,
             "Value at:0x0 refcount:1 encoding:%s serializedlength:%zu lru:0 "
             "lru_seconds_idle:%llu class:%s level:%u page_codec:%s "
             "page_bytes:%u",
             key_encoding(e), payload.len,
             (unsigned long long)idle_seconds(g->idle, rq->dbi, rq->argv[2],
                                              g->now_ms, g->start_wall_ms),
             detect_class_name(class),
             opts.enabled ? pack_level(&opts, class) : 0,
             is_on_disk ? pack_codec_name(codec) : "none", bytes);
    reply_status(rq, line);
    buf_fini(&payload);
}

void
debug_object(struct req *rq)
{
    struct rdb_value v;
    struct entry e;
    nq_rc rc = req_find(rq, 2, &e);

    if (rc == NQ_OK)
        rc = dump_collect(rq, rq->argv[2], &e, &v);
    if (rc == NQ_OK)
        reply_object(rq, &e, &v);
    else
        reply_rc(rq, rc);
}

/* Everything goes to the data file, as Redis' RELOAD writes everything to a
 * file; what is read back is read when it is asked for. */
void
debug_reload(struct req *rq)
{
    if (rq->in_multi)
        reply_error(rq, "DEBUG RELOAD waits for a checkpoint, which cannot "
                        "be done inside MULTI");
    else
        cmd_save(rq);
}
