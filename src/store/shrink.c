/* store/shrink.c - rewriting, moving and checkpoints in turn:
 *
 *   FIRST     a checkpoint, so that what is free by now really is
 *   REWRITE   (full only) all pages, to the lowest places; a checkpoint after
 *             each ROUND bytes, which frees the old places for the next ones
 *   MOVE      rounds: what ends behind the line where the file could end if
 *             it had no gaps goes down; then a checkpoint, with a table from
 *             the bottom up, which cuts the file
 *             until nothing stands behind the line, or rounds do not help any
 *             more: gaps may be too short for what is left
 *   PUNCH     those gaps
 *
 * Writes beside it are placed from the front, too.  Called by db/compact.c. */
#include "store/shrink.h"

#include "base/check.h"
#include "base/mem.h"
#include "os/clock.h"
#include "store/pagetable.h"
#include "store/rewrite.h"
#include "store/space.h"
#include "store/store_int.h"

#define SHRINK_MAGIC 0x4b4e5253u
#define ROUND_MIN (16ull << 20)
#define ROUNDS_MAX 16u
#define IN_VAIN_MAX 2u     /* rounds that made it no shorter */
#define SLACK (128u << 10) /* behind the line that is not worth a round */
#define TRIES_MAX 5u       /* of a checkpoint, or of places for pages */
#define RETRY_MS 500u

enum phase { PHASE_FIRST, PHASE_REWRITE, PHASE_MOVE, PHASE_PUNCH };

/* Shared with the store, which calls back once. */
struct ticket {
    bool is_done, is_orphan;
    nq_rc rc;
};

struct shrink {
    uint32_t magic;
    struct store *st;
    struct shrink_opts opts;
    enum phase phase;
    struct rewrite *rewrite;  /* under way, or NULL */
    struct ticket *ticket;    /* a checkpoint is asked for, or NULL */
    uint64_t bytes_at_ticket; /* of the rewriting */
    unsigned tries;           /* failures in a row */
    uint64_t retry_us;        /* monotonic */
    uint64_t line;            /* what ends behind it is to move */
    uint64_t reached;         /* where the file ended after the last round */
    unsigned rounds, in_vain;
    struct rewrite_progress sums; /* of those that ended */
    uint64_t file_before;
};

/* --- checkpoints ----------------------------------------------------------
 */

static void
on_done(void *arg, nq_rc rc)
{
    struct ticket *t = arg;

    if (t->is_orphan) {
        nq_free(t);
        return;
    }
    t->is_done = true;
    t->rc = rc;
}

static void
ask_checkpoint(struct shrink *s)
{
    struct rewrite_progress p = {0};

    if (s->rewrite != NULL)
        rewrite_get_progress(s->rewrite, &p);
    s->bytes_at_ticket = p.bytes;
    s->ticket = nq_calloc(1, sizeof *s->ticket);
    s->st->trim.mode = TRIM_CUT;
    pagetable_want_base(s->st->disk.table);
    store_checkpoint(s->st, on_done, s->ticket);
}

static void
drop_ticket(struct shrink *s)
{
    if (s->ticket != NULL && s->ticket->is_done)
        nq_free(s->ticket);
    else if (s->ticket != NULL)
        s->ticket->is_orphan = true;
    s->ticket = NULL;
}

/* What failed is tried again a few times, after some time. */
static nq_rc
failed(struct shrink *s, nq_rc rc)
{
    bool may_pass = rc == NQ_ENOSPC || rc == NQ_EFULL || rc == NQ_EIO;

    if (!may_pass || ++s->tries > TRIES_MAX)
        return rc;
    s->retry_us = clock_mono_us() + (uint64_t)RETRY_MS * 1000;
    return NQ_AGAIN;
}

/* NQ_OK: there is none to wait for, or it is done, and the file is cut. */
static nq_rc
await_checkpoint(struct shrink *s)
{
    nq_rc rc;

    if (s->ticket == NULL)
        return s->st->trim.is_busy ? NQ_AGAIN : NQ_OK;
    if (!s->ticket->is_done)
        return NQ_AGAIN;
    rc = s->ticket->rc;
    drop_ticket(s);
    if (rc == NQ_OK) {
        s->tries = 0;
        return s->st->trim.is_busy ? NQ_AGAIN : NQ_OK;
    }
    rc = failed(s, rc);
    if (rc == NQ_AGAIN)
        ask_checkpoint(s); /* the store itself waits before it tries */
    return rc;
}

/* --- rewriting ------------------------------------------------------------
 */

static void
end_rewrite(struct shrink *s)
{
    struct rewrite_progress p;

    if (s->rewrite == NULL)
        return;
    rewrite_get_progress(s->rewrite, &p);
    s->sums.pages += p.pages;
    s->sums.bytes += p.bytes;
    s->sums.damaged += p.damaged;
    rewrite_free(s->rewrite);
    s->rewrite = NULL;
}

/* So much was written since the last checkpoint that another should come. */
static bool
is_enough(const struct shrink *s, uint64_t enough)
{
    struct rewrite_progress p;

    rewrite_get_progress(s->rewrite, &p);
    return p.bytes - s->bytes_at_ticket >= nq_min(enough, quota_slack(s->st));
}

static uint64_t
round_bytes(const struct shrink *s)
{
    return nq_max(ROUND_MIN, space_used_bytes(s->st->disk.space) / 16);
}

static nq_rc
rewrite_all(struct shrink *s)
{
    struct rewrite_opts o = {
        .from = s->opts.from,
        .bytes_per_s = s->opts.bytes_per_s,
        .place = REWRITE_LOWEST,
    };
    nq_rc rc;

    if (s->rewrite == NULL)
        s->rewrite = rewrite_new(s->st, &o);
    rc = rewrite_turn(s->rewrite);
    if (rc == NQ_AGAIN) {
        if (is_enough(s, round_bytes(s)))
            ask_checkpoint(s);
        return rc;
    }
    if (rc == NQ_OK) {
        end_rewrite(s);
        s->phase = PHASE_MOVE;
        rc = NQ_AGAIN;
    } else {
        rc = failed(s, rc);
    }
    ask_checkpoint(s); /* a failure: there is room when it is done */
    return rc;
}

/* --- moving ---------------------------------------------------------------
 */

static bool
is_behind_line(void *arg, pgno id, struct entry e)
{
    const struct shrink *s = arg;

    nq_unused(id);
    return entry_off(e) + entry_space(e) > s->line;
}

/* Another round, if there is reason to hope. */
static bool
begin_round(struct shrink *s)
{
    struct rewrite_opts o = {
        .pick = is_behind_line,
        .arg = s,
        .bytes_per_s = s->opts.bytes_per_s,
        .place = REWRITE_DOWN,
    };
    struct space *sp = s->st->disk.space;
    uint64_t last = space_last_used(sp);

    s->in_vain =
        s->rounds > 0 && last + SLACK > s->reached ? s->in_vain + 1 : 0;
    s->reached = last;
    s->line = space_used_bytes(sp);
    if (last <= s->line + SLACK || s->in_vain >= IN_VAIN_MAX ||
        s->rounds++ >= ROUNDS_MAX)
        return false;
    s->rewrite = rewrite_new(s->st, &o);
    s->bytes_at_ticket = 0;
    return true;
}

static nq_rc
move(struct shrink *s)
{
    nq_rc rc;

    if (s->rewrite == NULL && !begin_round(s)) {
        s->phase = PHASE_PUNCH;
        s->st->trim.mode = TRIM_ALL;
        trim_begin(&s->st->trim);
        return NQ_AGAIN;
    }
    rc = rewrite_turn(s->rewrite);
    if (rc == NQ_AGAIN) {
        if (is_enough(s, UINT64_MAX))
            ask_checkpoint(s);
        return rc;
    }
    if (rc != NQ_OK)
        return failed(s, rc);
    end_rewrite(s);
    ask_checkpoint(s);
    return NQ_AGAIN;
}

/* --- what the owner calls -------------------------------------------------
 */

struct shrink *
shrink_new(struct store *st, const struct shrink_opts *opts)
{
    struct shrink *s = nq_calloc(1, sizeof *s);

    s->magic = SHRINK_MAGIC;
    s->st = st;
    s->opts = *opts;
    s->file_before = space_end(st->disk.space);
    space_unpunch(st->disk.space);
    ask_checkpoint(s);
    return s;
}

void
shrink_free(struct shrink *s)
{
    if (s == NULL)
        return;
    nq_assert(s->magic == SHRINK_MAGIC);
    s->st->trim.mode = TRIM_USUAL;
    rewrite_free(s->rewrite);
    drop_ticket(s);
    s->magic = 0;
    nq_free(s);
}

nq_rc
shrink_turn(struct shrink *s)
{
    nq_rc rc;

    nq_assert(s->magic == SHRINK_MAGIC);
    if (clock_mono_us() < s->retry_us)
        return NQ_AGAIN;
    space_rewind(s->st->disk.space);
    rc = await_checkpoint(s);
    if (rc != NQ_OK)
        return rc;
    if (s->phase == PHASE_FIRST)
        s->phase = s->opts.full ? PHASE_REWRITE : PHASE_MOVE;
    if (s->phase == PHASE_PUNCH)
        return NQ_OK;
    return s->phase == PHASE_REWRITE ? rewrite_all(s) : move(s);
}

int
shrink_wait_ms(const struct shrink *s)
{
    uint64_t now = clock_mono_us();

    if (now < s->retry_us)
        return (int)((s->retry_us - now) / 1000 + 1);
    if (s->ticket != NULL)
        return s->ticket->is_done ? 0 : -1;
    if (s->st->trim.is_busy)
        return -1;
    return s->rewrite == NULL ? 0 : rewrite_wait_ms(s->rewrite);
}

void
shrink_set_rate(struct shrink *s, uint64_t bytes_per_s)
{
    s->opts.bytes_per_s = bytes_per_s;
    if (s->rewrite != NULL)
        rewrite_set_rate(s->rewrite, bytes_per_s);
}

void
shrink_get_progress(const struct shrink *s, struct shrink_progress *out)
{
    static const char *const names[] = {"checkpoint", "rewriting", "moving",
                                        "punching"};
    struct rewrite_progress p = {.next = 1, .end = 1};

    if (s->rewrite != NULL)
        rewrite_get_progress(s->rewrite, &p);
    *out = (struct shrink_progress){
        .phase = names[s->phase],
        .done = p.next - 1,
        .total = p.end - 1,
        .pages = s->sums.pages + p.pages,
        .bytes = s->sums.bytes + p.bytes,
        .damaged = s->sums.damaged + p.damaged,
        .file_before = s->file_before,
        .file_now = space_end(s->st->disk.space),
        .next = s->phase >= PHASE_MOVE ? UINT32_MAX : s->opts.from,
    };
    if (s->phase == PHASE_REWRITE && s->rewrite != NULL)
        out->next = p.next;
}
