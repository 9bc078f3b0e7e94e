/* cmd/cmd_sort.c - SORT and SORT_RO.
 *
 *   key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC]
 *       [ALPHA] [STORE key]
 *
 * In steps, each of which may take many slices:
 *
 *   load     the elements, from a collection that is held still meanwhile
 *   weigh    the number or text that each is sorted by
 *   merge    the sorting proper (sort_merge.c)
 *   tell     the reply, or
 *   store    the results to a list: at once if they are few, else to one in
 *            staging, batch by batch
 *
 * The elements are as of one moment; what patterns lead to is looked up when
 * it is needed, as other clients leave it.  Memory: the elements and what
 * they are sorted by, up to SORT_MAX bytes. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/cmd_range.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/held.h"
#include "cmd/reply.h"
#include "cmd/sort_merge.h"
#include "cmd/sort_pattern.h"
#include "cmd/sort_source.h"
#include "cmd/staging.h"

#define SORT_MAGIC 0x534f5254u
#define SORT_MAX (UINT64_C(1) << 30)
#define ITEMS_PER_LOOK 16  /* between two looks at the clock */
#define STEPS_PER_LOOK 512 /* of the merge */
#define BATCH_ITEMS 1024   /* put to a list at once */
#define BATCH_BYTES (UINT64_C(256) << 10)
#define NO_TEXT UINT32_MAX /* by_len of an element without one */

/* --- options ------------------------------------------------------------- */

struct sort_options {
    bool desc, alpha, has_by;
    bool is_constant; /* BY without '*': nothing is to be sorted */
    int64_t offset, count;
    struct sort_pattern by;
    struct sort_pattern *gets;
    uint32_t get_count;
    uint32_t store; /* where the destination stands in argv; 0: none */
};

/* The option at argv[*i]; leaves *i on its last word. */
static bool
parse_option(struct req *rq, uint32_t *i, bool may_store,
             struct sort_options *o)
{
    struct slice word = rq->argv[*i];
    uint32_t left = rq->argc - *i - 1;

    if (slice_is(word, "ASC")) {
        o->desc = false;
    } else if (slice_is(word, "DESC")) {
        o->desc = true;
    } else if (slice_is(word, "ALPHA")) {
        o->alpha = true;
    } else if (slice_is(word, "LIMIT") && left >= 2) {
        if (!arg_int(rq, *i + 1, &o->offset) || !arg_int(rq, *i + 2, &o->count))
            return false;
        *i += 2;
    } else if (may_store && slice_is(word, "STORE") && left >= 1) {
        o->store = ++*i;
    } else if (slice_is(word, "BY") && left >= 1) {
        o->by = sort_pattern_of(rq->argv[++*i]);
        o->has_by = true;
        o->is_constant |= o->by.target <= SORT_SELF;
    } else if (slice_is(word, "GET") && left >= 1) {
        o->gets[o->get_count++] = sort_pattern_of(rq->argv[++*i]);
    } else {
        reply_syntax(rq);
        return false;
    }
    return true;
}

static bool
parse_options(struct req *rq, bool may_store, struct sort_options *o)
{
    *o = (struct sort_options){.count = -1};
    o->gets = arena_alloc(rq->arena, rq->argc * sizeof *o->gets);
    for (uint32_t i = 2; i < rq->argc; i++)
        if (!parse_option(rq, &i, may_store, o))
            return false;
    return true;
}

/* Values of the answer for each element. */
static uint64_t
values_each(const struct sort_options *o)
{
    return o->get_count == 0 ? 1 : o->get_count;
}

/* --- state --------------------------------------------------------------- */

enum sort_step { SORT_LOAD, SORT_WEIGH, SORT_MERGE, SORT_TELL, SORT_STORE };

struct sorting {
    uint32_t magic;
    enum sort_step step;
    struct held held; /* while loading */
    enum db_type type;
    bool backwards;    /* loaded from behind: nothing is sorted */
    uint64_t rank;     /* of the first element to load */
    uint64_t n;        /* elements to load */
    uint64_t from, to; /* of them the answer, when they are in order */
    uint64_t at;       /* done by the running step */
    struct sort_item *items;
    struct buf text;
    struct sorter sorter;
    const struct sort_options *options; /* of this run */
    struct listing results;             /* store: not put yet */
    uint64_t result_count;
    struct staging staging;
};

static void
sorting_free(void *state)
{
    struct sorting *s;

    NQ_CAST(s, state, SORT_MAGIC);
    held_end(&s->held);
    sorter_fini(&s->sorter);
    staging_drop(&s->staging);
    listing_fini(&s->results);
    buf_fini(&s->text);
    nq_free(s->items);
    nq_free(s);
}

/* Which of `n` elements LIMIT asks for: [from, to). */
static void
limit_range(const struct sort_options *o, uint64_t n, uint64_t *from,
            uint64_t *to)
{
    uint64_t offset = o->offset < 0 ? 0 : (uint64_t)o->offset;

    *from = nq_min(offset, n);
    *to = n;
    if (o->count >= 0)
        *to = *from + nq_min((uint64_t)o->count, n - *from);
}

static struct sorting *
sorting_new(struct req *rq, const struct sort_options *o, enum db_type type,
            uint64_t count)
{
    struct sorting *s = nq_calloc(1, sizeof *s);

    s->magic = SORT_MAGIC;
    s->type = type;
    s->n = count;
    limit_range(o, count, &s->from, &s->to);
    listing_init(&s->results, rq);
    if (o->is_constant && type != DB_SET) {
        /* Only what is asked for is loaded, in the order of the collection. */
        s->backwards = o->desc;
        s->rank = o->desc ? count - 1 - s->from : s->from;
        s->n = s->to - s->from;
        s->from = 0;
        s->to = s->n;
    }
    rq->state = s;
    rq->free_state = sorting_free;
    return s;
}

/* Whether there are more bytes than a command may keep; then it is answered. */
static bool
is_too_much(struct req *rq, const struct sorting *s)
{
    if (s->text.len + 2 * s->n * sizeof *s->items <= SORT_MAX)
        return false;
    reply_error(rq,
                "-ERR sorting so much takes more than %llu bytes of memory, "
                "the most for one command",
                (unsigned long long)SORT_MAX);
    return true;
}

static struct slice
element(const struct sorting *s, const struct sort_item *it)
{
    return slice_of(s->text.p + it->text, it->len);
}

/* Puts a text aside; returns where. */
static uint64_t
keep_text(struct sorting *s, struct slice text)
{
    uint64_t at = s->text.len;

    buf_put_slice(&s->text, text);
    return at;
}

/* --- load ---------------------------------------------------------------- */

static nq_rc
load_from(struct req *rq, struct sorting *s, struct sort_source *source)
{
    uint64_t rank = s->backwards ? s->rank - s->at : s->rank + s->at;
    struct slice text;
    nq_rc rc = sort_source_seek(source, rank);

    while (rc == NQ_OK && s->at < s->n) {
        nq_assert(source->valid);
        if ((rc = sort_source_bytes(source, rq->arena, &text)) != NQ_OK)
            return rc;
        s->items[s->at++] = (struct sort_item){.text = keep_text(s, text),
                                               .len = (uint32_t)text.len};
        if (s->text.len > SORT_MAX)
            return NQ_OK;
        if (s->at % ITEMS_PER_LOOK == 0 && req_should_yield(rq))
            return NQ_AGAIN;
        if (s->at < s->n)
            rc = sort_source_step(source, s->backwards);
    }
    return rc;
}

static nq_rc
load(struct req *rq, struct sorting *s, struct entry *e)
{
    struct sort_source source = {.is_open = false};
    nq_rc rc, held;

    if (s->items == NULL)
        s->items = nq_malloc(nq_max(s->n, 1u) * sizeof *s->items);
    if (s->n == 0)
        return NQ_OK;
    if (s->held.is_kept)
        held_entry(&s->held, rq, e);
    rc = sort_source_open(rq, rq->argv[1], e, &source);
    if (rc == NQ_OK)
        rc = load_from(rq, s, &source);
    sort_source_close(&source);
    if (rc == NQ_OK)
        held_end(&s->held);
    if ((rc != NQ_AGAIN && rc != NQ_MISS) || s->held.is_kept || rq->in_multi)
        return rc;
    held = held_keep(&s->held, rq->db, e);
    return held == NQ_OK ? rc : held;
}

/* --- weigh --------------------------------------------------------------- */

/* Whether the whole text is a number that a double can hold, as Redis reads
 * them: like C's strtod(). */
static bool
parse_score(struct req *rq, struct slice text, double *out)
{
    int64_t v;
    char *copy, *end;

    if (slice_to_i64(text, &v)) {
        *out = (double)v;
        return true;
    }
    copy = arena_alloc(rq->arena, text.len + 1);
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    errno = 0;
    *out = strtod(copy, &end);
    return *end == '\0' && errno != ERANGE && !isnan(*out);
}

/* NQ_ENOTFLOAT: a weight is no number. */
static nq_rc
weigh_item(struct req *rq, const struct sort_options *o, struct sorting *s,
           struct sort_item *it)
{
    struct slice weight = element(s, it);
    nq_rc rc = NQ_OK;

    it->score = 0;
    it->by_len = NO_TEXT;
    if (o->has_by)
        rc = sort_pattern_find(rq, &o->by, weight, &weight);
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    if (!o->alpha)
        return parse_score(rq, weight, &it->score) ? NQ_OK : NQ_ENOTFLOAT;
    it->by_text = it->text;
    it->by_len = (uint32_t)weight.len;
    if (o->has_by)
        it->by_text = keep_text(s, weight);
    return NQ_OK;
}

static nq_rc
weigh(struct req *rq, struct sorting *s)
{
    const struct sort_options *o = s->options;

    while (s->at < s->n) {
        nq_rc rc = weigh_item(rq, o, s, &s->items[s->at]);

        if (rc != NQ_OK)
            return rc;
        if (s->text.len > SORT_MAX)
            return NQ_OK;
        if (++s->at % ITEMS_PER_LOOK == 0 && req_should_yield(rq))
            return NQ_AGAIN;
    }
    return NQ_OK;
}

/* --- merge --------------------------------------------------------------- */

/* Elements without a text come first. */
static int
compare_texts(const struct sorting *s, const struct sort_item *a,
              const struct sort_item *b)
{
    bool has_a = a->by_len != NO_TEXT, has_b = b->by_len != NO_TEXT;

    if (!has_a || !has_b)
        return (int)has_a - (int)has_b;
    return slice_cmp(slice_of(s->text.p + a->by_text, a->by_len),
                     slice_of(s->text.p + b->by_text, b->by_len));
}

/* Elements of the same score are in the order of their bytes. */
static int
compare_scores(const struct sorting *s, const struct sort_item *a,
               const struct sort_item *b)
{
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return slice_cmp(element(s, a), element(s, b));
}

static int
compare_items(const void *arg, const struct sort_item *a,
              const struct sort_item *b)
{
    const struct sorting *s = arg;
    int c =
        s->options->alpha ? compare_texts(s, a, b) : compare_scores(s, a, b);

    return s->options->desc ? -c : c;
}

static nq_rc
merge(struct req *rq, struct sorting *s)
{
    while (sorter_run(&s->sorter, STEPS_PER_LOOK))
        if (req_should_yield(rq))
            return NQ_AGAIN;
    return NQ_OK;
}

/* --- tell ---------------------------------------------------------------- */

/* All values of one element; false: a page of one is missing, or worse. */
static nq_rc
tell_item(struct req *rq, struct sorting *s, const struct sort_item *it)
{
    const struct sort_options *o = s->options;
    struct slice value;

    if (o->get_count == 0)
        reply_bulk(rq, element(s, it));
    for (uint32_t i = 0; i < o->get_count; i++) {
        nq_rc rc = sort_pattern_find(rq, &o->gets[i], element(s, it), &value);

        if (rc == NQ_OK)
            reply_bulk(rq, value);
        else if (rc == NQ_NOTFOUND)
            reply_null(rq);
        else
            return rc;
    }
    return NQ_OK;
}

/* NQ_AGAIN: what was told leaves, more is to come.  After a miss this is as
 * well, if anything was told: what a parked command put is taken back. */
static nq_rc
tell(struct req *rq, struct sorting *s)
{
    uint64_t first = s->at;

    if (s->at == 0)
        reply_array(rq, (s->to - s->from) * values_each(s->options));
    while (s->from + s->at < s->to) {
        uint64_t mark = rq->s->out.put;
        nq_rc rc = tell_item(rq, s, &s->items[s->from + s->at]);

        if (rc != NQ_OK)
            outq_rewind(&rq->s->out, mark);
        if (rc == NQ_MISS && s->at > first && !rq->in_multi)
            rc = NQ_AGAIN;
        if (rc != NQ_OK)
            return rc;
        if (++s->at % ITEMS_PER_LOOK == 0 && s->from + s->at < s->to &&
            req_should_yield(rq))
            return NQ_AGAIN;
    }
    return NQ_OK;
}

/* --- store --------------------------------------------------------------- */

static nq_rc
collect_item(struct req *rq, struct sorting *s, const struct sort_item *it)
{
    const struct sort_options *o = s->options;
    size_t mark = s->results.items.len;
    uint64_t count = s->results.count;
    struct slice value;
    nq_rc rc = NQ_OK;

    if (o->get_count == 0)
        listing_put(&s->results, element(s, it));
    for (uint32_t i = 0; i < o->get_count; i++) {
        rc = sort_pattern_find(rq, &o->gets[i], element(s, it), &value);
        if (rc != NQ_OK && rc != NQ_NOTFOUND)
            break;
        listing_put(&s->results, rc == NQ_OK ? value : slice_lit(""));
        rc = NQ_OK;
    }
    if (rc != NQ_OK) {
        s->results.items.len = mark;
        s->results.count = count;
    }
    return rc;
}

static bool
is_batch_full(const struct req *rq, const struct sorting *s)
{
    return !rq->in_multi && (s->results.count >= BATCH_ITEMS ||
                             s->results.items.len > BATCH_BYTES);
}

static nq_rc
collect(struct req *rq, struct sorting *s)
{
    while (s->from + s->at < s->to) {
        nq_rc rc;

        if (is_batch_full(rq, s))
            return NQ_AGAIN;
        rc = collect_item(rq, s, &s->items[s->from + s->at]);
        if (rc != NQ_OK)
            return rc;
        if (++s->at % ITEMS_PER_LOOK == 0 && req_should_yield(rq))
            return NQ_AGAIN;
    }
    return NQ_OK;
}

/* Puts all results behind what the list in `e` has. */
static nq_rc
push_results(struct req *rq, struct sorting *s, uint32_t dbi, struct slice key,
             struct entry *e)
{
    struct cursor c = cursor_of(buf_slice(&s->results.items));
    uint32_t n = (uint32_t)s->results.count;
    struct slice *values = arena_alloc(rq->arena, n * sizeof *values);
    nq_rc rc;

    for (uint32_t i = 0; i < n; i++) {
        bool ok = cursor_get_slice(&c, &values[i]);

        nq_assert(ok);
    }
    rc = list_push(rq->db, dbi, key, e, e->finger.found, LIST_TAIL, values, n,
                   NULL, NULL);
    if (rc == NQ_OK) {
        s->result_count += n;
        s->results.count = 0;
        buf_clear(&s->results.items);
    }
    return rc;
}

static nq_rc
push_staged(struct req *rq, struct sorting *s)
{
    struct entry e;
    nq_rc rc = NQ_OK;

    if (!staging_is_begun(&s->staging))
        rc = staging_begin(rq, &s->staging);
    if (rc == NQ_OK)
        rc = staging_find(&s->staging, &e);
    if (rc == NQ_NOTFOUND)
        rc = NQ_OK;
    return rc == NQ_OK
               ? push_results(rq, s, DB_STAGING, staging_key(&s->staging), &e)
               : rc;
}

/* All results are collected, or staged but for the last. */
static nq_rc
finish_store(struct req *rq, struct sorting *s)
{
    struct slice to = rq->argv[s->options->store];
    struct entry e;
    nq_rc rc = NQ_OK;

    if (staging_is_begun(&s->staging)) {
        if (s->results.count > 0)
            rc = push_staged(rq, s);
        if (rc == NQ_OK)
            rc = staging_publish(rq, &s->staging, to);
    } else if (s->results.count == 0) {
        rc = staging_delete(rq, to);
    } else if ((rc = staging_replace(rq, to, &e)) == NQ_OK) {
        rc = push_results(rq, s, rq->dbi, to, &e);
    }
    if (rc == NQ_OK && s->result_count > 0)
        db_event(rq->db, rq->dbi, EVENT_LIST, "sortstore", to);
    return rc;
}

/* A batch is collected, then put: nothing is looked up behind an effect. */
static nq_rc
store(struct req *rq, struct sorting *s)
{
    nq_rc rc = collect(rq, s);

    if (rc == NQ_AGAIN && s->results.count > 0) {
        rc = push_staged(rq, s);
        return rc == NQ_OK ? NQ_AGAIN : rc;
    }
    if (rc == NQ_OK)
        rc = finish_store(rq, s);
    if (rc == NQ_OK)
        reply_int(rq, (int64_t)s->result_count);
    return rc;
}

/* --- a run --------------------------------------------------------------- */

static nq_rc
do_step(struct req *rq, struct sorting *s, struct entry *e)
{
    switch (s->step) {
    case SORT_LOAD:
        return load(rq, s, e);
    case SORT_WEIGH:
        return weigh(rq, s);
    case SORT_MERGE:
        return merge(rq, s);
    case SORT_TELL:
        return tell(rq, s);
    case SORT_STORE:
        return store(rq, s);
    }
    return NQ_EINVAL;
}

/* The step that follows the one that is done. */
static void
next_step(struct sorting *s)
{
    const struct sort_options *o = s->options;
    enum sort_step last = o->store != 0 ? SORT_STORE : SORT_TELL;

    s->at = 0;
    if (s->step == SORT_LOAD && !o->is_constant) {
        s->step = SORT_WEIGH;
    } else if (s->step == SORT_WEIGH) {
        sorter_init(&s->sorter, s->items, s->n, compare_items, s);
        s->step = SORT_MERGE;
    } else {
        s->step = last;
    }
}

/* Another run follows, or the command has failed. */
static void
pause_or_fail(struct req *rq, struct sorting *s, nq_rc rc)
{
    if (rc == NQ_AGAIN) {
        rq->keep_output = s->step == SORT_TELL;
        req_yield(rq);
        return;
    }
    if (rc == NQ_EHELD && s->step == SORT_LOAD) {
        sorting_free(s); /* a writer goes first; then all begins anew */
        rq->state = NULL;
    }
    if (rc == NQ_ENOTFLOAT)
        reply_error(rq, "One or more scores can't be converted into double");
    else
        reply_rc(rq, rc);
}

static void
sort_run(struct req *rq, const struct sort_options *o, struct entry *e)
{
    enum sort_step last = o->store != 0 ? SORT_STORE : SORT_TELL;
    struct sorting *s;
    nq_rc rc;

    NQ_CAST(s, rq->state, SORT_MAGIC);
    s->options = o;
    for (;;) {
        if (is_too_much(rq, s))
            return;
        if ((rc = do_step(rq, s, e)) != NQ_OK) {
            pause_or_fail(rq, s, rc);
            return;
        }
        if (s->step == last)
            return;
        next_step(s);
    }
}

/* The first run: false: the reply is put. */
static bool
sort_begin(struct req *rq, struct sort_options *o, struct entry *e)
{
    struct sort_source source = {.is_open = false};
    nq_rc rc = req_find(rq, 1, e);

    if (rc == NQ_OK && !sort_source_has(e->rec.type))
        rc = NQ_EWRONGTYPE;
    if (rc == NQ_OK)
        rc = sort_source_open(rq, rq->argv[1], e, &source);
    sort_source_close(&source);
    if (rc == NQ_OK || rc == NQ_NOTFOUND) {
        (void)sorting_new(rq, o, rc == NQ_OK ? e->rec.type : DB_LIST,
                          rc == NQ_OK ? source.count : 0);
        return true;
    }
    reply_rc(rq, rc);
    return false;
}

static void
sort_command(struct req *rq, bool may_store)
{
    struct sort_options o;
    struct entry e = {0};
    struct sorting *s;

    if (!parse_options(rq, may_store, &o))
        return;
    if (rq->state == NULL && !sort_begin(rq, &o, &e))
        return;
    NQ_CAST(s, rq->state, SORT_MAGIC);
    if (o.is_constant && s->type == DB_SET && o.store != 0) {
        /* Sets have no order of their own that could be stored. */
        o.is_constant = o.has_by = false;
        o.alpha = true;
    }
    db_gate_all(rq->db, rq->dbi);
    sort_run(rq, &o, &e);
}

void
cmd_sort(struct req *rq)
{
    sort_command(rq, true);
}

void
cmd_sort_ro(struct req *rq)
{
    sort_command(rq, false);
}
