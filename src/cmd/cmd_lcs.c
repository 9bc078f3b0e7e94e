/* cmd/cmd_lcs.c - LCS: the longest common subsequence of two strings.
 *
 * The table of Wagner and Fischer (1974), (a+1) x (b+1) lengths, filled row
 * by row in slices of a turn; the state keeps copies of both strings, so the
 * answer is that of the moment the command began.  Memory is bounded by
 * proto-max-bulk-len, as in Redis. */
#include "cmd/handlers.h"

#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/engine.h"
#include "cmd/reply.h"
#include "db/string.h"

struct lcs {
    bool want_len, want_idx, with_match_len;
    uint64_t min_match_len;
    uint8_t *a, *b; /* owned copies */
    uint32_t alen, blen;
    uint32_t *len; /* owned; row i, column j at i * (blen + 1) + j */
    uint32_t row;  /* rows below are filled */
};

static void
lcs_free(void *state)
{
    struct lcs *l = state;

    nq_free(l->a);
    nq_free(l->b);
    nq_free(l->len);
    nq_free(l);
}

static inline uint32_t
at(const struct lcs *l, uint32_t i, uint32_t j)
{
    return l->len[(size_t)i * (l->blen + 1) + j];
}

static bool
parse_options(struct req *rq, struct lcs *l)
{
    for (uint32_t i = 3; i < rq->argc; i++) {
        int64_t n;

        if (slice_is(rq->argv[i], "IDX")) {
            l->want_idx = true;
        } else if (slice_is(rq->argv[i], "LEN")) {
            l->want_len = true;
        } else if (slice_is(rq->argv[i], "WITHMATCHLEN")) {
            l->with_match_len = true;
        } else if (slice_is(rq->argv[i], "MINMATCHLEN") && i + 1 < rq->argc) {
            if (!arg_int(rq, ++i, &n))
                return false;
            l->min_match_len = n < 0 ? 0 : (uint64_t)n;
        } else {
            reply_syntax(rq);
            return false;
        }
    }
    if (l->want_idx && l->want_len) {
        reply_error(rq, "If you want both the length and indexes, please "
                        "just use IDX.");
        return false;
    }
    return true;
}

/* Reads the string at argv[i] into the request's arena. */
static bool
read_string(struct req *rq, uint32_t i, struct slice *out)
{
    struct entry e;
    nq_rc rc = req_find_type(rq, i, DB_STRING, false, &e);

    *out = slice_lit("");
    if (rc == NQ_NOTFOUND)
        return true;
    if (rc == NQ_OK)
        rc = string_bytes(rq->db, &e, rq->arena, out);
    if (rc == NQ_EWRONGTYPE)
        reply_error(rq, "The specified keys must contain string values");
    else if (rc != NQ_OK)
        reply_rc(rq, rc);
    return rc == NQ_OK;
}

/* The first run: options, copies, the table.  NULL: the reply is put. */
static struct lcs *
lcs_begin(struct req *rq)
{
    struct slice a, b;
    struct lcs want = {0}, *l;
    uint64_t cells;

    /* Both are found before the options are judged, as in Redis. */
    if (!read_string(rq, 1, &a) || !read_string(rq, 2, &b) ||
        !parse_options(rq, &want))
        return NULL;
    if (a.len >= UINT32_MAX - 1 || b.len >= UINT32_MAX - 1) {
        reply_error(rq, "String too long for LCS");
        return NULL;
    }
    cells = (uint64_t)(a.len + 1) * (b.len + 1);
    if (cells > rq->engine->limits.proto_max_bulk / sizeof(uint32_t)) {
        reply_error(rq, "Insufficient memory, transient memory for LCS "
                        "exceeds proto-max-bulk-len");
        return NULL;
    }
    l = nq_malloc(sizeof *l);
    *l = want;
    l->a = nq_memdup(a.p, a.len);
    l->b = nq_memdup(b.p, b.len);
    l->alen = (uint32_t)a.len;
    l->blen = (uint32_t)b.len;
    l->len = nq_calloc(cells, sizeof *l->len);
    l->row = 1;
    return l;
}

static void
fill_row(struct lcs *l, uint32_t i)
{
    const uint32_t *up = l->len + (size_t)(i - 1) * (l->blen + 1);
    uint32_t *row = l->len + (size_t)i * (l->blen + 1);
    uint8_t c = l->a[i - 1];

    for (uint32_t j = 1; j <= l->blen; j++) {
        if (l->b[j - 1] == c)
            row[j] = up[j - 1] + 1;
        else
            row[j] = up[j] > row[j - 1] ? up[j] : row[j - 1];
    }
}

/* Walks back from (i, j) to where the path last took a common byte; false at
 * an edge.  Ties go left, as Redis' do, so that the same one of several
 * longest subsequences is found. */
static bool
step_to_match(const struct lcs *l, uint32_t *i, uint32_t *j)
{
    while (*i > 0 && *j > 0) {
        if (l->a[*i - 1] == l->b[*j - 1])
            return true;
        if (at(l, *i - 1, *j) > at(l, *i, *j - 1))
            *i -= 1;
        else
            *j -= 1;
    }
    return false;
}

static void
reply_match(struct req *rq, const struct lcs *l, uint32_t a, uint32_t b,
            uint32_t n)
{
    reply_array(rq, l->with_match_len ? 3 : 2);
    reply_array(rq, 2);
    reply_int(rq, a);
    reply_int(rq, (int64_t)a + n - 1);
    reply_array(rq, 2);
    reply_int(rq, b);
    reply_int(rq, (int64_t)b + n - 1);
    if (l->with_match_len)
        reply_int(rq, n);
}

/* Runs of common bytes, from the last to the first. */
static void
reply_indexes(struct req *rq, const struct lcs *l)
{
    uint32_t i = l->alen, j = l->blen;
    struct reply_deferred d;
    uint64_t matches = 0;

    reply_map(rq, 2);
    reply_bulk_str(rq, "matches");
    d = reply_array_begin(rq);
    while (step_to_match(l, &i, &j)) {
        uint32_t n = 0;

        while (i > 0 && j > 0 && l->a[i - 1] == l->b[j - 1]) {
            i--;
            j--;
            n++;
        }
        if (n >= l->min_match_len) {
            reply_match(rq, l, i, j, n);
            matches++;
        }
    }
    reply_array_end(rq, d, matches);
    reply_bulk_str(rq, "len");
    reply_int(rq, at(l, l->alen, l->blen));
}

static void
reply_subsequence(struct req *rq, const struct lcs *l)
{
    uint32_t n = at(l, l->alen, l->blen), i = l->alen, j = l->blen, left = n;
    uint8_t *text = arena_alloc(rq->arena, n);

    while (left > 0 && step_to_match(l, &i, &j)) {
        text[--left] = l->a[--i];
        j--;
    }
    reply_bulk(rq, slice_of(text, n));
}

void
cmd_lcs(struct req *rq)
{
    struct lcs *l = rq->state;

    if (l == NULL) {
        l = lcs_begin(rq);
        if (l == NULL)
            return;
        rq->state = l;
        rq->free_state = lcs_free;
    }
    while (l->row <= l->alen) {
        fill_row(l, l->row++);
        if (req_should_yield(rq)) {
            req_yield(rq);
            return;
        }
    }
    if (l->want_len)
        reply_int(rq, at(l, l->alen, l->blen));
    else if (l->want_idx)
        reply_indexes(rq, l);
    else
        reply_subsequence(rq, l);
}
