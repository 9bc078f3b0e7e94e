/* cmd/cmd_stream_claim.c - XCLAIM and XAUTOCLAIM: pending entries change their
 * consumer.
 *
 * Both look at entries, STREAM_SLICE at most, tell those that they claim, and
 * then deliver them in one effect; what no longer is in the stream is no
 * longer pending either.  Longer ones yield between such batches, and others
 * may come in between.  Inside MULTI there is no yield. */
#include "base/arena.h"
#include "base/check.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/cmd_stream.h"
#include "cmd/gather.h"
#include "cmd/handlers.h"

#define CLAIMING_MAGIC 0x58434c4du
#define AUTO_COUNT 100   /* entries XAUTOCLAIM claims, if it does not say */
#define AUTO_ATTEMPTS 10 /* entries it looks at, for each that it may claim */
#define LOOKS_MAX (4 * STREAM_SLICE) /* entries looked at by a batch */

struct claim_args {
    bool is_auto; /* XAUTOCLAIM */
    bool force, justid;
    int64_t idle_min_ms;
    int64_t retries; /* -1: not given */
    uint64_t delivered_ms;
    struct stream_id last;       /* LASTID; 0-0: not given */
    const struct stream_id *ids; /* of XCLAIM */
    uint32_t n;
    struct stream_id start; /* of XAUTOCLAIM, as all below */
    uint64_t count;
};

/* How far the command is.  On the stack in its first slice. */
struct claiming {
    uint32_t magic;
    struct gather told;
    struct buf dropped;    /* ids that were no longer in the stream, packed */
    uint32_t at;           /* in ids */
    struct stream_id from; /* XAUTOCLAIM: the next to look at; 0-0: none */
    uint64_t count, looks; /* still to claim, to look at */
    bool is_begun, is_done;
};

/* One delivery that is being put together. */
struct batch {
    struct stream s;
    struct stream_group g;
    struct stream_claim *claims;
    uint32_t n;
    struct stream_id greatest; /* of the claims */
    uint32_t claimed;          /* told, without those dropped */
    uint64_t told;
    size_t bytes; /* of the entries told */
};

static void
refuse_group(struct req *rq)
{
    struct slice key = rq->argv[1], group = rq->argv[2];

    reply_error(rq, "-NOGROUP No such key '%.*s' or consumer group '%.*s'",
                (int)nq_min(key.len, 256u), (const char *)key.p,
                (int)nq_min(group.len, 256u), (const char *)group.p);
}

/* --- claiming one entry -------------------------------------------------- */

/* A claim of the same id earlier in this batch. */
static struct stream_claim *
earlier_claim(const struct batch *b, struct stream_id id)
{
    if (b->n == 0 || stream_id_cmp(id, b->greatest) > 0)
        return NULL;
    for (uint32_t i = 0; i < b->n; i++)
        if (stream_id_cmp(b->claims[i].id, id) == 0)
            return &b->claims[i];
    return NULL;
}

static struct stream_claim *
new_claim(struct batch *b, struct stream_id id)
{
    struct stream_claim *claim = &b->claims[b->n++];

    *claim = (struct stream_claim){.id = id};
    if (stream_id_cmp(id, b->greatest) > 0)
        b->greatest = id;
    return claim;
}

/* Claims `p` (or, with has_pending false, an entry that nobody has) if it has
 * been idle for long enough. */
static void
claim_entry(struct req *rq, const struct claim_args *a, struct batch *b,
            const struct stream_pending *p, bool has_pending,
            struct stream_fields *fields, struct stream_claim *claim)
{
    int64_t idle = (int64_t)(db_now(rq->db) - p->delivered_ms);
    uint64_t deliveries = p->deliveries;

    if (has_pending && a->idle_min_ms > 0 && idle < a->idle_min_ms)
        return;
    if (a->retries >= 0)
        deliveries = (uint64_t)a->retries;
    else if (!a->justid)
        deliveries++;
    if (claim == NULL)
        claim = new_claim(b, p->id);
    claim->delivered_ms = a->delivered_ms;
    claim->deliveries = deliveries;
    b->bytes += a->justid ? 0 : cursor_left(&fields->at);
    if (a->justid)
        reply_stream_id(rq, p->id);
    else
        reply_stream_entry(rq, p->id, fields);
    b->claimed++;
    b->told++;
}

static nq_rc
claim_id(struct req *rq, const struct claim_args *a, struct batch *b,
         struct stream_id id)
{
    struct stream_claim *claim = earlier_claim(b, id);
    struct stream_pending p = {.id = id};
    struct stream_fields fields;
    nq_rc found = NQ_OK, rc;

    if (claim != NULL && claim->is_dropped)
        return NQ_OK;
    if (claim != NULL) {
        p.delivered_ms = claim->delivered_ms;
        p.deliveries = claim->deliveries;
    } else {
        found = stream_pending_find(&b->s, &b->g, id, &p);
    }
    if (found != NQ_OK && found != NQ_NOTFOUND)
        return found;
    rc = stream_get(&b->s, id, rq->arena, &fields);
    if (rc == NQ_NOTFOUND) {
        if (found == NQ_OK)
            (claim != NULL ? claim : new_claim(b, id))->is_dropped = true;
        return NQ_OK;
    }
    if (rc != NQ_OK || (found == NQ_NOTFOUND && !a->force))
        return rc;
    if (found == NQ_NOTFOUND)
        p = (struct stream_pending){.id = id, .deliveries = 1};
    claim_entry(rq, a, b, &p, found == NQ_OK, &fields, claim);
    return NQ_OK;
}

/* --- batches ------------------------------------------------------------- */

/* What comes next is left to another slice. */
static bool
is_full(const struct batch *b)
{
    return b->n == STREAM_SLICE || b->bytes > STREAM_SLICE_BYTES;
}

/* The next ids of XCLAIM; moves c->at. */
static nq_rc
batch_of_ids(struct req *rq, const struct claim_args *a, struct claiming *c,
             struct batch *b)
{
    uint32_t end = nq_min(a->n, c->at + LOOKS_MAX);
    nq_rc rc = NQ_OK;

    for (; rc == NQ_OK && c->at < end && !is_full(b); c->at++)
        rc = claim_id(rq, a, b, a->ids[c->at]);
    c->is_done = c->at == a->n;
    return rc;
}

/* The next pending entries of XAUTOCLAIM; moves c->from, c->count, c->looks. */
static nq_rc
batch_of_pending(struct req *rq, const struct claim_args *a, struct claiming *c,
                 struct batch *b)
{
    struct stream_pending p;
    struct stream_fields fields;
    struct stream_walk w;
    unsigned looks = 0;
    nq_rc rc;

    stream_walk_init(&w, &b->s);
    rc = stream_walk_pending(&w, &b->g, NULL, c->from);
    for (; rc == NQ_OK && w.valid && c->looks > 0 && c->count > 0; c->looks--) {
        if (is_full(b) || ++looks > LOOKS_MAX ||
            (rc = stream_walk_pending_at(&w, &p)) != NQ_OK)
            break;
        rc = stream_get(&b->s, p.id, rq->arena, &fields);
        if (rc == NQ_OK) {
            uint32_t before = b->claimed;

            claim_entry(rq, a, b, &p, true, &fields, NULL);
            c->count -= b->claimed - before;
        } else if (rc == NQ_NOTFOUND) {
            new_claim(b, p.id)->is_dropped = true;
            c->count--;
            rc = NQ_OK;
        }
        if (rc == NQ_OK)
            rc = stream_walk_next(&w);
    }
    if (rc == NQ_OK && w.valid)
        rc = stream_walk_pending_at(&w, &p);
    c->from = w.valid ? p.id : STREAM_ID_MIN;
    c->is_done = !w.valid || c->looks == 0 || c->count == 0;
    stream_walk_fini(&w);
    return rc;
}

static nq_rc
deliver(struct req *rq, const struct claim_args *a, const struct claiming *c,
        struct batch *b)
{
    struct stream_delivery d = {.group = rq->argv[2],
                                .consumer = rq->argv[3],
                                .now_ms = db_now(rq->db),
                                .is_active = b->claimed > 0,
                                .claims = b->claims,
                                .n = b->n};

    if (!c->is_begun && stream_id_cmp(a->last, b->g.last) > 0) {
        d.moves_group = true;
        d.last = a->last;
        d.read = b->g.read;
    }
    return stream_deliver(&b->s, &d);
}

/* One batch; `c` moves on only if it succeeds. */
static nq_rc
run_batch(struct req *rq, const struct claim_args *a, struct claiming *c,
          uint64_t *told)
{
    struct claiming next = *c;
    struct batch b = {.n = 0};
    struct entry e;
    nq_rc rc = req_open_group(rq, 1, 2, true, &e, &b.s, &b.g);

    if (rc != NQ_OK)
        return rc;
    b.claims = arena_alloc(rq->arena, STREAM_SLICE * sizeof *b.claims);
    rc = a->is_auto ? batch_of_pending(rq, a, &next, &b)
                    : batch_of_ids(rq, a, &next, &b);
    if (rc == NQ_OK)
        rc = deliver(rq, a, c, &b);
    stream_close(&b.s);
    if (rc != NQ_OK)
        return rc;
    for (uint32_t i = 0; i < b.n && a->is_auto; i++)
        if (b.claims[i].is_dropped)
            buf_put(&next.dropped, &b.claims[i].id, sizeof b.claims[i].id);
    next.is_begun = true;
    *c = next;
    *told += b.told;
    return NQ_OK;
}

/* --- the answer ---------------------------------------------------------- */

static void
claiming_fini(struct claiming *c)
{
    gather_fini(&c->told);
    buf_fini(&c->dropped);
}

static void
claiming_free(void *state)
{
    struct claiming *c;

    NQ_CAST(c, state, CLAIMING_MAGIC);
    claiming_fini(c);
    c->magic = 0;
    nq_free(c);
}

/* To be continued: `n` more entries were told.  What `c` owns on the stack
 * belongs to the state from now on. */
static void
suspend(struct req *rq, struct claiming *c, struct reply_deferred d, uint64_t n)
{
    struct claiming *kept = rq->state;

    if (kept == NULL) {
        rq->state = kept = nq_memdup(c, sizeof *c);
        rq->free_state = claiming_free;
        c->told = (struct gather){.n = 0};
        c->dropped = BUF_INIT;
    }
    gather_keep(rq, &kept->told, d, n);
    req_yield(rq);
}

static void
put_dropped(struct req *rq, const struct buf *ids)
{
    size_t n = ids->len / sizeof(struct stream_id);

    reply_array(rq, n);
    for (size_t i = 0; i < n; i++) {
        struct stream_id id;

        memcpy(&id, ids->p + i * sizeof id, sizeof id);
        reply_stream_id(rq, id);
    }
}

/* XAUTOCLAIM's answer goes around the entries, so all of it is put at once;
 * that of XCLAIM ends with them. */
static void
finish(struct req *rq, const struct claim_args *a, struct claiming *c,
       struct reply_deferred d, uint64_t n)
{
    if (a->is_auto) {
        if (rq->state != NULL)
            gather_gate(rq);
        gather_keep(rq, &c->told, d, n);
        reply_array(rq, 3);
        reply_stream_id(rq, c->from);
        reply_array(rq, c->told.n);
        reply_raw(rq, buf_slice(&c->told.text));
        put_dropped(rq, &c->dropped);
    } else if (c->told.text.len == 0) {
        reply_array_end(rq, d, n);
    } else {
        gather_keep(rq, &c->told, d, n);
        reply_array(rq, c->told.n);
        gather_tell(rq, &c->told);
    }
}

static void
run(struct req *rq, const struct claim_args *a, struct claiming *c)
{
    struct reply_deferred d = reply_array_begin(rq);
    uint64_t n = 0;
    nq_rc rc;

    do
        rc = run_batch(rq, a, c, &n);
    while (rc == NQ_OK && !c->is_done && rq->in_multi);
    if (rc == NQ_NOTFOUND && c->is_begun) {
        c->is_done = true; /* the group went between two slices */
        rc = NQ_OK;
    }
    if (rc == NQ_OK && c->is_done) {
        finish(rq, a, c, d, n);
    } else if (rc == NQ_OK) {
        suspend(rq, c, d, n);
    } else {
        reply_drop_parts(rq);
        if (rc == NQ_NOTFOUND)
            refuse_group(rq);
        else
            reply_rc(rq, rc);
    }
}

static void
start(struct req *rq, const struct claim_args *a)
{
    struct claiming first = {.magic = CLAIMING_MAGIC}, *c = rq->state;

    if (c != NULL) {
        NQ_CAST(c, rq->state, CLAIMING_MAGIC);
        run(rq, a, c);
        return;
    }
    first.from = a->start;
    first.count = a->count;
    first.looks = a->count * AUTO_ATTEMPTS;
    run(rq, a, &first);
    claiming_fini(&first);
}

/* --- XCLAIM -------------------------------------------------------------- */

static bool
arg_number(struct req *rq, uint32_t i, const char *option, int64_t *out)
{
    if (slice_to_i64(rq->argv[i], out))
        return true;
    reply_error(rq, "Invalid %s option argument for XCLAIM", option);
    return false;
}

/* The option at argv[*i], which is left on its last word.  *delivered_ms: as
 * asked for. */
static bool
parse_claim_option(struct req *rq, uint32_t *i, struct claim_args *a,
                   int64_t *delivered_ms)
{
    struct slice word = rq->argv[*i];
    bool has_more = *i + 1 < rq->argc;

    if (slice_is(word, "FORCE")) {
        a->force = true;
        return true;
    }
    if (slice_is(word, "JUSTID")) {
        a->justid = true;
        return true;
    }
    if (has_more && slice_is(word, "IDLE")) {
        if (!arg_number(rq, ++*i, "IDLE", delivered_ms))
            return false;
        *delivered_ms = (int64_t)(db_now(rq->db) - (uint64_t)*delivered_ms);
        return true;
    }
    if (has_more && slice_is(word, "TIME"))
        return arg_number(rq, ++*i, "TIME", delivered_ms);
    if (has_more && slice_is(word, "RETRYCOUNT"))
        return arg_number(rq, ++*i, "RETRYCOUNT", &a->retries);
    if (has_more && slice_is(word, "LASTID"))
        return arg_stream_id(rq, ++*i, &a->last);
    reply_error(rq, "Unrecognized XCLAIM option '%.*s'",
                (int)nq_min(word.len, 128u), (const char *)word.p);
    return false;
}

/* Ids until the first word that is none, then options. */
static bool
parse_claim(struct req *rq, struct claim_args *a)
{
    struct stream_id *ids =
        arena_alloc(rq->arena, (rq->argc - 5) * sizeof *ids);
    int64_t now = (int64_t)db_now(rq->db), delivered_ms = -1;
    uint32_t i = 5;

    *a = (struct claim_args){.retries = -1, .ids = ids};
    if (!slice_to_i64(rq->argv[4], &a->idle_min_ms)) {
        reply_error(rq, "Invalid min-idle-time argument for XCLAIM");
        return false;
    }
    while (i < rq->argc && stream_id_parse(rq->argv[i], 0, &ids[a->n])) {
        a->n++;
        i++;
    }
    for (; i < rq->argc; i++)
        if (!parse_claim_option(rq, &i, a, &delivered_ms))
            return false;
    if (delivered_ms < 0 || delivered_ms > now)
        delivered_ms = now; /* clients may be off a little */
    a->delivered_ms = (uint64_t)delivered_ms;
    return true;
}

/* Redis looks for the group before it reads the options. */
static bool
has_group(struct req *rq)
{
    struct stream_group g;
    struct stream s;
    struct entry e;
    nq_rc rc = req_open_group(rq, 1, 2, true, &e, &s, &g);

    if (rc == NQ_OK)
        stream_close(&s);
    else if (rc == NQ_NOTFOUND)
        refuse_group(rq);
    else
        reply_rc(rq, rc);
    return rc == NQ_OK;
}

void
cmd_xclaim(struct req *rq)
{
    struct claiming *c = rq->state;
    struct claim_args a;

    if (c != NULL && c->told.is_telling)
        gather_tell(rq, &c->told);
    else if ((c != NULL || has_group(rq)) && parse_claim(rq, &a))
        start(rq, &a);
}

/* --- XAUTOCLAIM ---------------------------------------------------------- */

static bool
parse_auto(struct req *rq, struct claim_args *a)
{
    int64_t count = AUTO_COUNT;

    *a = (struct claim_args){
        .is_auto = true, .retries = -1, .delivered_ms = db_now(rq->db)};
    if (!slice_to_i64(rq->argv[4], &a->idle_min_ms)) {
        reply_error(rq, "Invalid min-idle-time argument for XAUTOCLAIM");
        return false;
    }
    if (!arg_stream_start(rq, 5, &a->start))
        return false;
    for (uint32_t i = 6; i < rq->argc; i++) {
        if (slice_is(rq->argv[i], "COUNT") && i + 1 < rq->argc) {
            if (!arg_int_within(rq, ++i, 1, INT64_MAX / 16, "COUNT must be > 0",
                                &count))
                return false;
        } else if (slice_is(rq->argv[i], "JUSTID")) {
            a->justid = true;
        } else {
            reply_syntax(rq);
            return false;
        }
    }
    a->count = (uint64_t)count;
    return true;
}

void
cmd_xautoclaim(struct req *rq)
{
    struct claim_args a;

    if (parse_auto(rq, &a))
        start(rq, &a);
}
