/* cmd/cmd_stream_read.c - XREAD, and the answer that XREADGROUP shares.
 *
 * One stream alone is told as it is read (cmd/walk.h).  Several, or what a
 * group delivers, is put aside (cmd/gather.h) while it is read:
 *
 *   reading_serve -> serve each stream -> the whole answer
 *                          |-> NQ_AGAIN: keep what was put, yield, go on
 *
 * An answer in slices tells no entry that was added after its first one; one
 * that is deleted meanwhile may be missing. */
#include "cmd/cmd_stream_read.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/handlers.h"
#include "cmd/session.h"
#include "cmd/wait_key.h"
#include "cmd/walk.h"

/* --- words --------------------------------------------------------------- */

static bool
parse_streams(struct req *rq, uint32_t i, struct read_args *a)
{
    a->keys = i + 1;
    a->n = (rq->argc - a->keys) / 2;
    if ((rq->argc - a->keys) % 2 == 0)
        return true;
    reply_error(rq,
                "Unbalanced '%s' list of streams: for each stream key an ID "
                "or '%c' must be specified.",
                rq->cmd->name, a->is_group ? '>' : '$');
    return false;
}

static bool
refuse_word(struct req *rq, const char *word)
{
    reply_error(rq,
                "The %s option is only supported by XREADGROUP. You called "
                "XREAD instead.",
                word);
    return false;
}

/* The word at argv[*i], which is left on the last one of the option. */
static bool
parse_word(struct req *rq, uint32_t *i, struct read_args *a)
{
    struct slice word = rq->argv[*i];
    uint32_t more = rq->argc - *i - 1;
    int64_t v;

    if (more > 0 && slice_is(word, "BLOCK")) {
        a->has_block = true;
        return arg_timeout_ms(rq, ++*i, &a->deadline_ms);
    }
    if (more > 0 && slice_is(word, "COUNT")) {
        if (!arg_int(rq, ++*i, &v))
            return false;
        a->count = v <= 0 ? UINT64_MAX : (uint64_t)v;
        return true;
    }
    if (more > 1 && slice_is(word, "GROUP")) {
        if (!a->is_group)
            return refuse_word(rq, "GROUP");
        a->group = *i + 1;
        a->consumer = *i += 2;
        return true;
    }
    if (slice_is(word, "NOACK")) {
        a->noack = true;
        return a->is_group || refuse_word(rq, "NOACK");
    }
    reply_syntax(rq);
    return false;
}

bool
parse_read(struct req *rq, bool is_group, struct read_args *a)
{
    *a = (struct read_args){.is_group = is_group, .count = UINT64_MAX};
    for (uint32_t i = 1; i < rq->argc && a->keys == 0; i++) {
        if (i + 1 < rq->argc && slice_is(rq->argv[i], "STREAMS")) {
            if (!parse_streams(rq, i, a))
                return false;
        } else if (!parse_word(rq, &i, a)) {
            return false;
        }
    }
    if (a->keys == 0)
        reply_syntax(rq);
    else if (is_group && a->group == 0)
        reply_error(rq, "Missing GROUP option for XREADGROUP");
    else
        return true;
    return false;
}

/* --- the answer ---------------------------------------------------------- */

static void
reading_free(void *state)
{
    struct reading *rd;

    NQ_CAST(rd, state, READING_MAGIC);
    gather_fini(&rd->streams);
    gather_fini(&rd->entries);
    nq_free(rd->ids);
    nq_free(rd->tops);
    rd->magic = 0;
    nq_free(rd);
}

struct reading *
reading_of(struct req *rq)
{
    struct reading *rd = rq->state;

    /* A walk's state begins with a magic, too. */
    return rd != NULL && rd->magic == READING_MAGIC ? rd : NULL;
}

static struct stream_id *
copy_ids(const struct stream_id *ids, uint32_t n)
{
    return ids == NULL ? NULL : nq_memdup(ids, n * sizeof *ids);
}

struct reading *
reading_keep(struct req *rq, const struct stream_id *ids,
             const struct stream_id *tops, uint32_t n)
{
    struct reading *rd = nq_calloc(1, sizeof *rd);

    rd->magic = READING_MAGIC;
    rd->ids = copy_ids(ids, n);
    rd->tops = copy_ids(tops, n);
    if (rq->state != NULL)
        rq->free_state(rq->state);
    rq->state = rd;
    rq->free_state = reading_free;
    return rd;
}

void
reading_enter(struct req *rq, const struct read_args *a, struct reading *rd)
{
    if (!rd->is_inside) {
        if (rq->s->resp < 3)
            reply_array(rq, 2);
        reply_bulk(rq, rq->argv[a->keys + rd->at]);
        rd->told++;
    }
    rd->inner = reply_array_begin(rq);
    rd->inner_n = 0;
}

void
reading_leave(struct req *rq, struct reading *rd)
{
    gather_end_array(rq, &rd->entries, rd->inner, rd->inner_n);
}

/* To be continued in another slice: what was put is kept. */
static void
suspend(struct req *rq, const struct read_args *a, struct reading *rd)
{
    struct reading *kept = rd;

    if (rd != rq->state) {
        struct stream_id *ids, *tops;

        kept = reading_keep(rq, rd->ids, rd->tops, a->n);
        ids = kept->ids;
        tops = kept->tops;
        *kept = *rd;
        kept->ids = ids;
        kept->tops = tops;
    }
    if (rq->part != rd->outer.part)
        gather_keep(rq, &kept->entries, rd->inner, rd->inner_n);
    gather_keep(rq, &kept->streams, rd->outer, rd->told);
    req_yield(rq);
}

static bool
answer(struct req *rq, struct reading *rd)
{
    struct gather *g = &rd->streams;

    if (g->n + rd->told == 0) {
        reply_drop_parts(rq);
        return false;
    }
    if (g->text.len == 0) {
        if (rq->s->resp < 3)
            reply_array_end(rq, rd->outer, rd->told);
        else
            reply_map_end(rq, rd->outer, rd->told);
        return true;
    }
    gather_keep(rq, g, rd->outer, rd->told);
    if (rq->s->resp < 3)
        reply_array(rq, g->n);
    else
        reply_map(rq, g->n);
    gather_tell(rq, g);
    return true;
}

bool
reading_serve(struct req *rq, const struct read_args *a, struct reading *rd,
              read_stream *serve)
{
    bool has_moved = false;
    nq_rc rc = NQ_OK;

    rd->magic = READING_MAGIC;
    rd->told = rd->inner_n = 0;
    rd->outer = reply_array_begin(rq);
    while (rd->at < a->n && rc == NQ_OK) {
        rc = serve(rq, a, rd);
        if (rc == NQ_OK) {
            rd->at++;
            rd->is_inside = false;
            has_moved = true;
        }
    }
    if (rc == NQ_OK)
        return answer(rq, rd);
    /* What was done and told stays: it may have had effects. */
    if ((rc == NQ_MISS || rc == NQ_EHELD) && !rq->in_multi &&
        (has_moved || rd->told > 0 || rd->inner_n > 0))
        rc = NQ_AGAIN;
    if (rc == NQ_AGAIN) {
        suspend(rq, a, rd);
        return true;
    }
    reply_drop_parts(rq);
    reply_rc(rq, rc);
    return true;
}

/* --- XREAD --------------------------------------------------------------- */

/* What the id at argv[i] says about a stream (NULL: there is none). */
static bool
resolve_id(struct req *rq, uint32_t i, const struct stream *s,
           struct stream_id *out)
{
    struct slice text = rq->argv[i];

    *out = STREAM_ID_MIN;
    if (slice_eq(text, slice_lit("$"))) {
        if (s != NULL)
            *out = s->last;
        return true;
    }
    if (slice_eq(text, slice_lit("+"))) {
        if (s != NULL)
            *out = s->last;
        (void)stream_id_prev(out);
        return true;
    }
    if (slice_eq(text, slice_lit(">"))) {
        reply_error(rq, "The > ID can be specified only when calling "
                        "XREADGROUP using the GROUP <group> <consumer> "
                        "option.");
        return false;
    }
    return arg_stream_id(rq, i, out);
}

/* One stream that is to be told. */
struct read_part {
    uint64_t n;              /* entries */
    struct stream_id behind; /* told from the next one on ... */
    struct stream_id top;    /* ... to this one */
};

/* Looks at stream k.  When the command was woken, ids that depend on the
 * moment are those of its first run, but for "+". */
static bool
look(struct req *rq, const struct read_args *a, uint32_t k,
     const struct stream_id *first, struct read_part *out, nq_rc *rc)
{
    uint32_t i = a->keys + k;
    struct stream_id from;
    struct stream s;
    struct entry e;
    bool ok;

    out->n = 0;
    *rc = req_open_stream(rq, i, false, &e, &s);
    if (*rc == NQ_NOTFOUND || (*rc == NQ_EWRONGTYPE && rq->woken_by != 0)) {
        *rc = NQ_OK;
        return resolve_id(rq, i + a->n, NULL, &out->behind);
    }
    if (*rc != NQ_OK)
        return true;
    ok = resolve_id(rq, i + a->n, &s, &out->behind);
    if (first != NULL && slice_eq(rq->argv[i + a->n], slice_lit("$")))
        out->behind = *first;
    out->top = s.last;
    from = out->behind;
    if (ok && stream_id_next(&from))
        *rc = stream_count(&s, from, STREAM_ID_MAX, &out->n);
    out->n = nq_min(out->n, a->count);
    stream_close(&s);
    return ok;
}

/* Looks at all streams; false: answered, or parked. */
static bool
look_at_all(struct req *rq, const struct read_args *a, struct read_part *parts,
            uint32_t *served)
{
    const struct reading *rd = reading_of(rq);
    nq_rc rc, missed = NQ_OK;

    *served = 0;
    for (uint32_t k = 0; k < a->n; k++) {
        if (!look(rq, a, k, rd == NULL ? NULL : &rd->ids[k], &parts[k], &rc))
            return false;
        if (rc == NQ_MISS)
            missed = rc;
        else if (rc != NQ_OK) {
            reply_rc(rq, rc);
            return false;
        }
        *served += parts[k].n > 0;
    }
    reply_rc(rq, missed);
    return missed == NQ_OK;
}

/* The one stream that has something. */
static void
tell_one(struct req *rq, const struct read_args *a,
         const struct read_part *parts)
{
    struct stream_id from;
    struct stream s;
    struct entry e;
    uint32_t k = 0;
    nq_rc rc;

    while (parts[k].n == 0)
        k++;
    rc = req_open_stream(rq, a->keys + k, false, &e, &s);
    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    from = parts[k].behind;
    (void)stream_id_next(&from);
    if (rq->s->resp < 3) {
        reply_array(rq, 1);
        reply_array(rq, 2);
    } else {
        reply_map(rq, 1);
    }
    reply_bulk(rq, rq->argv[a->keys + k]);
    tell_stream(rq, &s, from, parts[k].n, false);
    stream_close(&s);
}

/* Up to STREAM_SLICE entries behind rd->id. */
static nq_rc
tell_some(struct req *rq, struct stream *s, struct reading *rd)
{
    struct stream_id from = rd->id;
    struct stream_fields fields;
    struct stream_cursor cu;
    size_t bytes = 0;
    unsigned n = 0;
    nq_rc rc;

    (void)stream_id_next(&from);
    stream_cursor_init(&cu, s);
    rc = stream_seek(&cu, from);
    while (rc == NQ_OK && cu.valid && rd->left > 0 &&
           stream_id_cmp(cu.id, rd->tops[rd->at]) <= 0) {
        if ((n == STREAM_SLICE || bytes > STREAM_SLICE_BYTES) &&
            !rq->in_multi) {
            rc = gather_is_full(rq, &rd->entries) ? NQ_OK : NQ_AGAIN;
            break;
        }
        if ((rc = stream_entry(&cu, rq->arena, &fields)) != NQ_OK)
            break;
        bytes += cursor_left(&fields.at);
        reply_stream_entry(rq, cu.id, &fields);
        rd->id = cu.id;
        rd->left--;
        rd->inner_n++;
        n++;
        rc = stream_next(&cu);
    }
    stream_cursor_fini(&cu);
    return rc;
}

static nq_rc
read_one(struct req *rq, const struct read_args *a, struct reading *rd)
{
    struct stream s;
    struct entry e;
    nq_rc rc;

    if (!rd->is_inside) {
        rd->id = rd->ids[rd->at];
        rd->left = a->count;
    }
    if (stream_id_cmp(rd->id, rd->tops[rd->at]) >= 0 && !rd->is_inside)
        return NQ_OK; /* it had nothing to tell */
    rc = req_open_stream(rq, a->keys + rd->at, false, &e, &s);
    if (rc == NQ_MISS)
        return rc;
    reading_enter(rq, a, rd);
    if (rc == NQ_OK) {
        rc = tell_some(rq, &s, rd);
        stream_close(&s);
    } else if (rc == NQ_NOTFOUND || rc == NQ_EWRONGTYPE) {
        rc = NQ_OK; /* it went between two slices */
    }
    rd->is_inside = true;
    if (rc == NQ_OK)
        reading_leave(rq, rd);
    return rc;
}

static void
wait_or_null(struct req *rq, const struct read_args *a,
             const struct stream_id *ids)
{
    struct wait_for what = {.first = a->keys,
                            .n = a->n,
                            .type = DB_STREAM,
                            .deadline_ms = a->deadline_ms};

    if (!a->has_block || rq->in_multi) {
        reply_null_array(rq);
        return;
    }
    if (rq->state == NULL)
        reading_keep(rq, ids, NULL, a->n)->is_waiting = true;
    req_wait_keys(rq, &what);
}

/* From the start: the first run, or after waiting. */
static void
read_first(struct req *rq, const struct read_args *a)
{
    struct read_part *parts = arena_alloc(rq->arena, a->n * sizeof *parts);
    struct stream_id *ids = arena_alloc(rq->arena, a->n * sizeof *ids);
    struct stream_id *tops = arena_alloc(rq->arena, a->n * sizeof *tops);
    struct reading rd = {.ids = ids, .tops = tops};
    uint32_t served;

    if (!look_at_all(rq, a, parts, &served))
        return;
    for (uint32_t k = 0; k < a->n; k++) {
        ids[k] = parts[k].behind;
        tops[k] = parts[k].n > 0 ? parts[k].top : STREAM_ID_MIN;
    }
    if (served == 0)
        wait_or_null(rq, a, ids);
    else if (served == 1 && rq->state == NULL)
        tell_one(rq, a, parts);
    else
        (void)reading_serve(rq, a, &rd, read_one);
}

void
cmd_xread(struct req *rq)
{
    struct reading *rd = reading_of(rq);
    struct read_args a;

    if (!parse_read(rq, false, &a))
        return;
    if (rq->state == NULL || (rd != NULL && rd->is_waiting))
        read_first(rq, &a);
    else if (rd == NULL)
        (void)walk_go_on(rq);
    else if (rd->streams.is_telling)
        gather_tell(rq, &rd->streams);
    else
        (void)reading_serve(rq, &a, rd, read_one);
}
