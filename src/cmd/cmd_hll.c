/* cmd/cmd_hll.c - HyperLogLog on strings: PFADD, PFCOUNT, PFMERGE, PFDEBUG,
 * PFSELFTEST.
 *
 * A command works on a copy of the bytes; what changed of them is written and
 * logged as a part of the string.  PFCOUNT of one key keeps its result in the
 * header, as Redis does, unless nothing can be written. */
#include <math.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "db/hll.h"
#include "db/string.h"

#define AT_CACHE 8 /* where the header keeps the estimate */

/* --- reading and writing ------------------------------------------------- */

/* The HyperLogLog at argv[i]; no more of the string is read than one can
 * have. */
static nq_rc
find_hll(struct req *rq, uint32_t i, bool write, struct entry *e,
         struct slice *bytes)
{
    nq_rc rc = req_find_type(rq, i, DB_STRING, write, e);

    if (rc == NQ_OK)
        rc = string_range(rq->db, e, 0, HLL_SIZE_MAX + 1, rq->arena, bytes);
    return rc == NQ_OK && !hll_is(*bytes) ? NQ_ENOTHLL : rc;
}

/* Puts `h` in the place of the bytes that argv[i] has. */
static nq_rc
store_hll(struct req *rq, uint32_t i, struct entry *e, struct slice was,
          const struct buf *h, const char *event)
{
    bool found = was.p != NULL;
    size_t from = 0, to = h->len;
    uint64_t len;

    if (h->len < was.len)
        return string_set(rq->db, rq->dbi, rq->argv[i], e, found, buf_slice(h),
                          STRING_KEEP_TTL, event);
    while (from + 1 < was.len && h->p[from] == was.p[from])
        from++;
    while (h->len == was.len && to > from + 1 && h->p[to - 1] == was.p[to - 1])
        to--;
    return string_write(rq->db, rq->dbi, rq->argv[i], e, found, from,
                        slice_of(h->p + from, to - from), event, &len);
}

/* --- PFADD --------------------------------------------------------------- */

static nq_rc
add_all(struct req *rq, struct buf *h, bool *changed)
{
    uint64_t sparse_max = db_limits(rq->db)->hll_sparse_max_bytes;

    for (uint32_t i = 2; i < rq->argc; i++) {
        bool one;
        nq_rc rc = hll_add(h, rq->argv[i], sparse_max, &one);

        if (rc != NQ_OK)
            return rc;
        *changed |= one;
    }
    return NQ_OK;
}

/* PFADD key [element ...]: 1 if the estimate may have changed. */
void
cmd_pfadd(struct req *rq)
{
    struct buf h = BUF_INIT;
    struct slice was = {NULL, 0};
    struct entry e;
    nq_rc rc = find_hll(rq, 1, true, &e, &was);
    bool changed = rc == NQ_NOTFOUND;

    if (rc == NQ_NOTFOUND) {
        hll_init(&h);
        rc = NQ_OK;
    } else if (rc == NQ_OK) {
        buf_put_slice(&h, was);
    }
    if (rc == NQ_OK)
        rc = add_all(rq, &h, &changed);
    if (rc == NQ_OK && changed) {
        hll_spoil_cached(&h);
        rc = store_hll(rq, 1, &e, was, &h, "pfadd");
    }
    buf_fini(&h);
    if (rc == NQ_OK)
        reply_int(rq, changed);
    else
        reply_rc(rq, rc);
}

/* --- PFCOUNT, PFMERGE ---------------------------------------------------- */

/* The union of argv[1..], absent ones empty; *is_dense: one of them is. */
static nq_rc
merge_all(struct req *rq, uint8_t *registers, bool *is_dense)
{
    memset(registers, 0, HLL_REGISTERS);
    *is_dense = false;
    for (uint32_t i = 1; i < rq->argc; i++) {
        struct slice v;
        struct entry e;
        nq_rc rc = find_hll(rq, i, false, &e, &v);

        if (rc == NQ_NOTFOUND)
            continue;
        if (rc == NQ_OK)
            rc = hll_merge(v, registers);
        if (rc != NQ_OK)
            return rc;
        *is_dense |= hll_encoding(v) == HLL_DENSE;
    }
    return NQ_OK;
}

/* Keeps an estimate in argv[1].  If that fails it is computed again next
 * time. */
static void
keep_estimate(struct req *rq, uint64_t count)
{
    struct slice bytes = slice_of(&count, sizeof count);
    struct entry e;
    uint64_t len;
    nq_rc rc;

    if (rq->engine->is_shutting_down)
        return;
    rc = req_find_write(rq, 1, &e);
    if (rc == NQ_OK)
        rc = string_write(rq->db, rq->dbi, rq->argv[1], &e, true, AT_CACHE,
                          bytes, NULL, &len);
    nq_unused(rc);
}

static nq_rc
count_one(struct req *rq, uint64_t *count)
{
    uint8_t registers[HLL_REGISTERS] = {0};
    struct slice v;
    struct entry e;
    nq_rc rc = find_hll(rq, 1, false, &e, &v);

    *count = 0;
    if (rc == NQ_NOTFOUND)
        return NQ_OK;
    if (rc != NQ_OK || hll_cached(v, count))
        return rc;
    if ((rc = hll_merge(v, registers)) != NQ_OK)
        return rc;
    *count = hll_count(registers);
    keep_estimate(rq, *count);
    return NQ_OK;
}

/* PFCOUNT key ...: the estimate of their union. */
void
cmd_pfcount(struct req *rq)
{
    uint8_t registers[HLL_REGISTERS];
    uint64_t count;
    bool is_dense;
    nq_rc rc;

    if (rq->argc == 2) {
        rc = count_one(rq, &count);
    } else {
        rc = merge_all(rq, registers, &is_dense);
        count = rc == NQ_OK ? hll_count(registers) : 0;
    }
    if (rc == NQ_OK)
        reply_int(rq, (int64_t)count);
    else
        reply_rc(rq, rc);
}

static nq_rc
raise_all(struct req *rq, struct buf *h, const uint8_t *registers)
{
    uint64_t sparse_max = db_limits(rq->db)->hll_sparse_max_bytes;
    nq_rc rc = NQ_OK;
    bool changed;

    for (unsigned i = 0; i < HLL_REGISTERS && rc == NQ_OK; i++)
        if (registers[i] != 0)
            rc = hll_raise(h, i, registers[i], sparse_max, &changed);
    return rc;
}

/* PFMERGE dest [source ...]: dest becomes the union of all of them. */
void
cmd_pfmerge(struct req *rq)
{
    uint8_t registers[HLL_REGISTERS];
    struct buf h = BUF_INIT;
    struct slice was = {NULL, 0};
    struct entry e;
    bool is_dense;
    nq_rc rc = merge_all(rq, registers, &is_dense);

    if (rc == NQ_OK)
        rc = find_hll(rq, 1, true, &e, &was);
    if (rc == NQ_NOTFOUND) {
        hll_init(&h);
        rc = NQ_OK;
    } else if (rc == NQ_OK) {
        buf_put_slice(&h, was);
    }
    if (rc == NQ_OK && is_dense)
        rc = hll_make_dense(&h);
    if (rc == NQ_OK)
        rc = raise_all(rq, &h, registers);
    if (rc == NQ_OK) {
        hll_spoil_cached(&h);
        rc = store_hll(rq, 1, &e, was, &h, "pfadd");
    }
    buf_fini(&h);
    if (rc == NQ_OK)
        reply_ok(rq);
    else
        reply_rc(rq, rc);
}

/* --- PFDEBUG ------------------------------------------------------------- */

/* Stores it dense, if it was sparse; *changed tells. */
static nq_rc
make_dense(struct req *rq, struct entry *e, struct slice v, bool *changed)
{
    struct buf h = BUF_INIT;
    nq_rc rc;

    *changed = hll_encoding(v) == HLL_SPARSE;
    if (!*changed)
        return NQ_OK;
    buf_put_slice(&h, v);
    rc = hll_make_dense(&h);
    if (rc == NQ_OK)
        rc = store_hll(rq, 2, e, v, &h, NULL);
    buf_fini(&h);
    return rc;
}

static nq_rc
debug_getreg(struct req *rq, struct entry *e, struct slice v)
{
    uint8_t registers[HLL_REGISTERS] = {0};
    bool changed;
    nq_rc rc = hll_merge(v, registers);

    if (rc == NQ_OK)
        rc = make_dense(rq, e, v, &changed);
    if (rc != NQ_OK)
        return rc;
    reply_array(rq, HLL_REGISTERS);
    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        reply_int(rq, registers[i]);
    return NQ_OK;
}

static nq_rc
debug_todense(struct req *rq, struct entry *e, struct slice v)
{
    bool changed;
    nq_rc rc = make_dense(rq, e, v, &changed);

    if (rc == NQ_OK)
        reply_int(rq, changed);
    return rc;
}

static nq_rc
debug_encoding(struct req *rq, struct entry *e, struct slice v)
{
    nq_unused(e);
    reply_status(rq, hll_encoding(v) == HLL_DENSE ? "dense" : "sparse");
    return NQ_OK;
}

static nq_rc
debug_decode(struct req *rq, struct entry *e, struct slice v)
{
    struct buf text = BUF_INIT;
    nq_rc rc = NQ_OK;

    nq_unused(e);
    if (hll_encoding(v) == HLL_DENSE)
        reply_error(rq, "HLL encoding is not sparse");
    else if ((rc = hll_decode(v, &text)) == NQ_OK)
        reply_bulk(rq, buf_slice(&text));
    buf_fini(&text);
    return rc;
}

/* PFDEBUG GETREG | DECODE | ENCODING | TODENSE key. */
void
cmd_pfdebug(struct req *rq)
{
    static const struct {
        const char *name;
        nq_rc (*fn)(struct req *rq, struct entry *e, struct slice v);
    } subs[] = {{"getreg", debug_getreg},
                {"decode", debug_decode},
                {"encoding", debug_encoding},
                {"todense", debug_todense}};
    struct slice v;
    struct entry e;
    nq_rc rc = find_hll(rq, 2, true, &e, &v);
    size_t i = 0;

    if (rc == NQ_NOTFOUND) {
        reply_error(rq, "The specified key does not exist");
        return;
    }
    while (i < nq_countof(subs) && !slice_is(rq->argv[1], subs[i].name))
        i++;
    if (rc == NQ_OK && i == nq_countof(subs))
        reply_error(rq, "Unknown PFDEBUG subcommand '%.*s'",
                    (int)nq_min(rq->argv[1].len, (size_t)128),
                    (const char *)rq->argv[1].p);
    else if (rc == NQ_OK)
        rc = subs[i].fn(rq, &e, v);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
}

/* --- PFSELFTEST ---------------------------------------------------------- */

#define SELFTEST_ELEMENTS 10000000u
#define SELFTEST_IN_MULTI 100000u /* where it cannot go in slices */
#define SELFTEST_ROUND 1000u

/* Two that get the same elements. */
struct selftest {
    struct buf dense, sparse;
    uint64_t seed, done, check_at;
};

static void
selftest_free(void *state)
{
    struct selftest *t = state;

    buf_fini(&t->dense);
    buf_fini(&t->sparse);
    nq_free(t);
}

static struct selftest *
selftest_of(struct req *rq)
{
    struct selftest *t = rq->state;

    if (t != NULL)
        return t;
    t = nq_calloc(1, sizeof *t);
    hll_init(&t->dense);
    hll_init(&t->sparse);
    nq_assert(hll_make_dense(&t->dense) == NQ_OK);
    t->seed = rng_next(&rq->engine->rng);
    t->check_at = 1;
    rq->state = t;
    rq->free_state = selftest_free;
    return t;
}

static uint64_t
estimate(const struct buf *h)
{
    uint8_t registers[HLL_REGISTERS] = {0};

    nq_assert(hll_merge(buf_slice(h), registers) == NQ_OK);
    return hll_count(registers);
}

/* What is wrong with the estimates, or NULL. */
static const char *
selftest_check(const struct selftest *t)
{
    uint64_t n = t->check_at, dense = estimate(&t->dense);
    double error = fabs((double)dense - (double)n);
    double most = ceil(1.04 / sqrt(HLL_REGISTERS) * 6 * (double)n);

    if (dense != estimate(&t->sparse))
        return "dense/sparse disagree";
    return error > most ? "Too big error" : NULL;
}

/* A round of elements, but not beyond the next check. */
static const char *
selftest_round(struct selftest *t, uint64_t sparse_max)
{
    uint64_t end = nq_min(t->done + SELFTEST_ROUND, t->check_at);
    const char *wrong;
    bool changed;
    nq_rc rc = NQ_OK;

    while (t->done < end && rc == NQ_OK) {
        uint64_t elem = ++t->done ^ t->seed;
        struct slice bytes = slice_of(&elem, sizeof elem);

        rc = hll_add(&t->dense, bytes, sparse_max, &changed);
        if (rc == NQ_OK)
            rc = hll_add(&t->sparse, bytes, sparse_max, &changed);
    }
    if (rc != NQ_OK)
        return rc_text(rc);
    if (t->done < t->check_at)
        return NULL;
    wrong = selftest_check(t);
    t->check_at *= 10;
    return wrong;
}

/* PFSELFTEST: OK, or what is wrong. */
void
cmd_pfselftest(struct req *rq)
{
    struct selftest *t = selftest_of(rq);
    uint64_t sparse_max = db_limits(rq->db)->hll_sparse_max_bytes;
    uint64_t n = rq->in_multi ? SELFTEST_IN_MULTI : SELFTEST_ELEMENTS;

    while (t->done < n) {
        const char *wrong = selftest_round(t, sparse_max);

        if (wrong != NULL) {
            reply_error(rq, "TESTFAILED %s", wrong);
            return;
        }
        if (req_should_yield(rq)) {
            req_yield(rq);
            return;
        }
    }
    reply_ok(rq);
}
