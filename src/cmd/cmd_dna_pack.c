/* cmd/cmd_dna_pack.c - NQ.DNA ENCODE, DECODE, COMPRESS, DECOMPRESS: bytes to
 * parcels (codec/parcel.h) and back.
 *
 * Block by block: the loop copies one, since what a client sent may move
 * while he waits; a worker packs or unpacks it behind those before; then the
 * command runs again.  Small things are done at once, and all inside MULTI.
 *
 *   cmd_... -> transform -> next_block -> run_block (a worker) -> transform */
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/gather.h"
#include "cmd/handlers.h"
#include "cmd/offload.h"
#include "cmd/reply.h"
#include "codec/parcel.h"
#include "store/store.h"

#define SMALL 4096u /* bytes that the loop packs itself */

enum direction { TO_BASES, TO_ANYTHING, BACK };

struct transform {
    struct offload offload;
    enum direction direction;
    struct pack_opts opts;
    struct buf in;             /* a copy of the block under way */
    struct buf out;            /* what came of all so far */
    uint64_t at;               /* packing: bytes taken */
    struct parcel_place place; /* unpacking */
    struct parcel_block block; /* `stored` is in `in` */
    nq_rc rc;
    struct gather answer;
};

static void
free_transform(struct offload *o)
{
    struct transform *t = nq_container(o, struct transform, offload);

    buf_fini(&t->in);
    buf_fini(&t->out);
    gather_fini(&t->answer);
    nq_free(t);
}

/* What is in `in`, packed or unpacked to the end of `out`. */
static void
run_block(struct offload *o)
{
    struct transform *t = nq_container(o, struct transform, offload);

    if (t->direction != BACK) {
        parcel_add(&t->out, &t->opts, t->direction == TO_BASES,
                   buf_slice(&t->in));
        return;
    }
    t->rc =
        parcel_unpack(&t->place, &t->block, buf_reserve(&t->out, t->block.len));
    t->out.len += t->rc == NQ_OK ? t->block.len : 0;
}

/* Copies the next block of `arg` to `in`; NQ_NOTFOUND: there is none. */
static nq_rc
next_block(struct transform *t, struct slice arg)
{
    size_t n;
    nq_rc rc;

    buf_clear(&t->in);
    if (t->direction != BACK) {
        n = nq_min(arg.len - t->at, PARCEL_BLOCK);
        buf_put(&t->in, arg.p + t->at, n);
        t->at += n;
        return n == 0 ? NQ_NOTFOUND : NQ_OK;
    }
    rc = parcel_next(arg, &t->place, &t->block);
    if (rc == NQ_OK) {
        buf_put_slice(&t->in, t->block.stored);
        t->block.stored = buf_slice(&t->in);
    }
    return rc;
}

/* --- the answer ----------------------------------------------------------- */

static void
reply_parcel_rc(struct req *rq, nq_rc rc)
{
    if (rc == NQ_EFORMAT)
        reply_error(rq, "that was not packed by NQ.DNA ENCODE or COMPRESS");
    else if (rc == NQ_ETOOLONG)
        reply_rc(rq, rc);
    else
        reply_error(rq, "what NQ.DNA packed there is damaged: it does not give "
                        "back the bytes that were packed");
}

static void
reply_out(struct req *rq, struct transform *t)
{
    if (t->out.len <= PARCEL_BLOCK || rq->in_multi) {
        reply_bulk(rq, buf_slice(&t->out));
        return;
    }
    buf_printf(&t->in, "$%zu\r\n", t->out.len);
    reply_raw(rq, buf_slice(&t->in));
    buf_put(&t->out, "\r\n", 2);
    t->answer.text = t->out;
    t->out = BUF_INIT;
    gather_tell(rq, &t->answer);
}

/* --- the commands --------------------------------------------------------- */

static nq_rc
open_back(struct req *rq, struct transform *t)
{
    nq_rc rc = parcel_open(rq->argv[2], &t->place);

    if (rc == NQ_OK && t->place.len > rq->engine->limits.proto_max_bulk)
        return NQ_ETOOLONG;
    return rc;
}

static struct transform *
begin(struct req *rq, enum direction direction)
{
    struct transform *t = nq_calloc(1, sizeof *t);
    struct pack_stats stats;

    offload_init(rq, &t->offload, run_block, free_transform);
    t->direction = direction;
    store_get_pack(rq->engine->store, &t->opts, &stats);
    if (direction == BACK)
        t->rc = open_back(rq, t);
    else
        parcel_begin(&t->out, rq->argv[2].len);
    return t;
}

static void
transform(struct req *rq, enum direction direction)
{
    struct transform *t = rq->state == NULL
                              ? begin(rq, direction)
                              : nq_container((struct offload *)rq->state,
                                             struct transform, offload);

    if (t->answer.is_telling) {
        gather_tell(rq, &t->answer);
        return;
    }
    if (!offload_is_done(rq, &t->offload))
        return;
    while (t->rc == NQ_OK && (t->rc = next_block(t, rq->argv[2])) == NQ_OK) {
        if (t->in.len <= SMALL && (direction != BACK || t->block.len <= SMALL))
            run_block(&t->offload);
        else if (!offload_start(rq, &t->offload))
            return;
    }
    buf_clear(&t->in);
    if (t->rc == NQ_NOTFOUND)
        reply_out(rq, t);
    else
        reply_parcel_rc(rq, t->rc);
}

void
cmd_nq_dna_encode(struct req *rq)
{
    transform(rq, TO_BASES);
}

void
cmd_nq_dna_compress(struct req *rq)
{
    transform(rq, TO_ANYTHING);
}

void
cmd_nq_dna_decode(struct req *rq)
{
    transform(rq, BACK);
}

void
cmd_nq_dna_decompress(struct req *rq)
{
    transform(rq, BACK);
}
