/* Streams and their groups against a plain model: random commands with tiny
 * pages and pools, checkpoints, restarts and crashes in between, everything
 * compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/db_env.h"
#include "../lib/stream_model.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "db/stream_group.h"
#include "os/clock.h"

#define STREAMS 3
#define IDS 8 /* named by one command */
#define ROUNDS 12
#define STEPS 150
#define NOW UINT64_C(1700000000000)
#define NOISE 8192

struct world {
    struct env env;
    struct rng rng;
    struct stream_model models[STREAMS];
    uint64_t now;
    uint32_t max_len;
};

static uint8_t noise[NOISE];
static const char *const keys[STREAMS] = {"alpha", "beta", "gamma"};
static const char *const group_names[MODEL_GROUPS] = {"first", "second"};
static const char *const consumer_names[MODEL_CONSUMERS] = {"ann", "bob", "cy"};

/* --- commands ------------------------------------------------------------ */

/* One command; what it changes is told by `kind`. */
struct op {
    enum {
        OP_ADD,
        OP_TRIM,
        OP_DEL,
        OP_SET_ID,
        OP_CREATE,
        OP_SET_GROUP,
        OP_DESTROY,
        OP_CREATE_CONSUMER,
        OP_DELETE_CONSUMER,
        OP_ACK,
        OP_DELIVER
    } kind;
    struct stream_id id;
    struct m_entry entry;
    struct stream_trim trim;
    struct stream_id ids[IDS];
    unsigned n;
    unsigned g, c;
    int64_t read;
    uint64_t added;
    struct stream_claim claims[IDS];
    bool moves_group;
    /* out */
    uint64_t removed;
    bool is_new;
};

static nq_rc
call_entries(struct stream *s, struct op *op)
{
    struct slice words[2] = {slice_lit("f"),
                             slice_of(noise + op->entry.from, op->entry.len)};

    switch (op->kind) {
    case OP_ADD:
        return stream_add(s, op->entry.id, words, 1, &op->trim);
    case OP_TRIM:
        return stream_trim(s, &op->trim, &op->removed);
    case OP_DEL:
        return stream_del(s, op->ids, op->n, &op->removed);
    default:
        return stream_set_id(s, op->id, &op->added, &op->ids[0]);
    }
}

static nq_rc
call_groups(struct stream *s, struct op *op, uint64_t now)
{
    struct slice group = slice_str(group_names[op->g]);
    struct slice consumer = slice_str(consumer_names[op->c]);
    struct stream_delivery d = {.group = group,
                                .consumer = consumer,
                                .now_ms = now,
                                .is_active = op->n > 0,
                                .moves_group = op->moves_group,
                                .last = op->id,
                                .read = op->read,
                                .claims = op->claims,
                                .n = op->n};

    switch (op->kind) {
    case OP_CREATE:
        return stream_group_create(s, group, op->id, op->read);
    case OP_SET_GROUP:
        return stream_group_set_id(s, group, op->id, op->read);
    case OP_DESTROY:
        return stream_group_destroy(s, group);
    case OP_CREATE_CONSUMER:
        return stream_consumer_create(s, group, consumer, now, &op->is_new);
    case OP_DELETE_CONSUMER:
        return stream_consumer_delete(s, group, consumer, &op->removed);
    case OP_ACK:
        return stream_ack(s, group, op->ids, op->n, &op->removed);
    default:
        return stream_deliver(s, &d);
    }
}

static nq_rc
call_once(struct world *w, unsigned k, struct op *op)
{
    struct entry e = {0};
    struct stream s;
    nq_rc rc = db_find_write(w->env.db, 0, slice_str(keys[k]), &e);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    if (rc == NQ_NOTFOUND && op->kind != OP_ADD && op->kind != OP_CREATE)
        return rc;
    rc = stream_open(w->env.db, 0, slice_str(keys[k]), &e, rc == NQ_OK, &s);
    if (rc == NQ_OK)
        rc = op->kind <= OP_SET_ID ? call_entries(&s, op)
                                   : call_groups(&s, op, w->now);
    stream_close(&s);
    return rc;
}

static nq_rc
call(struct world *w, unsigned k, struct op *op)
{
    return env_run(&w->env, call_once(w, k, op));
}

/* --- random commands ----------------------------------------------------- */

static struct stream_id
random_id(struct world *w, const struct stream_model *m)
{
    if (m->count > 0 && rng_below(&w->rng, 4) > 0)
        return m->entries[rng_below(&w->rng, m->count)].id;
    return (struct stream_id){rng_below(&w->rng, m->last.ms + 3),
                              rng_below(&w->rng, 3)};
}

static struct stream_trim
random_trim(struct world *w, const struct stream_model *m)
{
    struct stream_trim t = {.by = TRIM_MINID, .minid = random_id(w, m)};

    if (rng_below(&w->rng, 2)) {
        t.by = TRIM_MAXLEN;
        t.maxlen = m->count - nq_min(m->count, rng_below(&w->rng, 8));
        if (rng_below(&w->rng, 6) == 0)
            t.maxlen = rng_below(&w->rng, m->count + 1);
    }
    t.is_approximate = rng_below(&w->rng, 2);
    if (t.is_approximate && rng_below(&w->rng, 2))
        t.limit = rng_below(&w->rng, 150);
    return t;
}

static void
do_add(struct world *w, unsigned k)
{
    struct stream_model *m = &w->models[k];
    struct op op = {.kind = OP_ADD, .trim = {.by = TRIM_NONE}};
    uint32_t max = rng_below(&w->rng, 10) ? 20 : w->max_len;

    if (m->count == MODEL_ENTRIES || rng_below(&w->rng, 20) == 0)
        op.trim = random_trim(w, m);
    if (m->count == MODEL_ENTRIES)
        op.trim = (struct stream_trim){.by = TRIM_MAXLEN, .maxlen = 100};
    op.entry.len = (uint32_t)rng_below(&w->rng, max);
    op.entry.from = (uint32_t)rng_below(&w->rng, NOISE - op.entry.len);
    op.entry.id = m->last;
    op.entry.id.seq += 1 + rng_below(&w->rng, 2);
    if (rng_below(&w->rng, 2))
        op.entry.id = (struct stream_id){m->last.ms + 1, 0};
    assert_int_equal(call(w, k, &op), NQ_OK);
    m->is_there = true;
    if (m->count == MODEL_ENTRIES) /* the model has no room for one more */
        model_drop_front(m, 1);
    m->entries[m->count++] = op.entry;
    m->last = op.entry.id;
    m->added++;
    model_trim(m, &op.trim);
}

static void
do_trim(struct world *w, unsigned k)
{
    struct stream_model *m = &w->models[k];
    struct op op = {.kind = OP_TRIM, .trim = random_trim(w, m)};

    assert_int_equal(call(w, k, &op), m->is_there ? NQ_OK : NQ_NOTFOUND);
    if (m->is_there)
        assert_int_equal(op.removed, model_trim(m, &op.trim));
}

static void
random_ids(struct world *w, const struct stream_model *m, struct op *op)
{
    op->n = 1 + (unsigned)rng_below(&w->rng, IDS);
    for (unsigned i = 0; i < op->n; i++)
        op->ids[i] = random_id(w, m);
}

static void
do_del(struct world *w, unsigned k)
{
    struct stream_model *m = &w->models[k];
    struct op op = {.kind = OP_DEL};
    unsigned n = 0;

    random_ids(w, m, &op);
    assert_int_equal(call(w, k, &op), m->is_there ? NQ_OK : NQ_NOTFOUND);
    for (unsigned i = 0; i < op.n && m->is_there; i++)
        n += model_del(m, op.ids[i]);
    assert_int_equal(op.removed, n);
}

static void
do_set_id(struct world *w, unsigned k)
{
    struct stream_model *m = &w->models[k];
    struct op op = {.kind = OP_SET_ID, .id = m->last};

    op.id.ms += rng_below(&w->rng, 3);
    op.added = m->added + rng_below(&w->rng, 5);
    op.ids[0] = m->max_deleted;
    assert_int_equal(call(w, k, &op), m->is_there ? NQ_OK : NQ_NOTFOUND);
    if (!m->is_there)
        return;
    m->last = op.id;
    m->added = op.added;
}

static void
do_group(struct world *w, unsigned k)
{
    struct stream_model *m = &w->models[k];
    struct op op = {.g = (unsigned)rng_below(&w->rng, MODEL_GROUPS),
                    .id = random_id(w, m),
                    .read = (int64_t)rng_below(&w->rng, 10) - 1};
    struct m_group *g = &m->groups[op.g];
    unsigned what = (unsigned)rng_below(&w->rng, 12);

    op.kind = what == 0 ? OP_DESTROY : what < 8 ? OP_CREATE : OP_SET_GROUP;
    if (op.kind == OP_CREATE) {
        assert_int_equal(call(w, k, &op), g->is_there ? NQ_EEXISTS : NQ_OK);
        m->is_there = true;
        if (!g->is_there)
            *g = (struct m_group){.is_there = true, op.id, op.read};
        return;
    }
    assert_int_equal(call(w, k, &op), g->is_there ? NQ_OK : NQ_NOTFOUND);
    if (op.kind == OP_DESTROY) {
        g->is_there = false;
    } else {
        g->last = op.id;
        g->read = op.read;
    }
}

static void
do_consumer(struct world *w, unsigned k)
{
    struct stream_model *m = &w->models[k];
    struct op op = {.g = (unsigned)rng_below(&w->rng, MODEL_GROUPS),
                    .c = (unsigned)rng_below(&w->rng, MODEL_CONSUMERS)};
    struct m_group *g = &m->groups[op.g];
    bool was = g->consumers[op.c].is_there;

    op.kind = rng_below(&w->rng, 4) ? OP_CREATE_CONSUMER : OP_DELETE_CONSUMER;
    if (!g->is_there) {
        assert_int_equal(call(w, k, &op), NQ_NOTFOUND);
    } else if (op.kind == OP_CREATE_CONSUMER) {
        assert_int_equal(call(w, k, &op), NQ_OK);
        assert_int_equal(op.is_new, !was);
        if (!was)
            model_see(&g->consumers[op.c], w->now, false);
    } else {
        assert_int_equal(call(w, k, &op), was ? NQ_OK : NQ_NOTFOUND);
        assert_int_equal(op.removed, model_delete_consumer(g, op.c));
    }
}

static void
do_ack(struct world *w, unsigned k)
{
    struct stream_model *m = &w->models[k];
    struct op op = {.kind = OP_ACK,
                    .g = (unsigned)rng_below(&w->rng, MODEL_GROUPS)};
    struct m_group *g = &m->groups[op.g];
    unsigned n = 0;

    random_ids(w, m, &op);
    assert_int_equal(call(w, k, &op), g->is_there ? NQ_OK : NQ_NOTFOUND);
    for (unsigned i = 0; i < op.n && g->is_there; i++)
        n += model_ack(g, op.ids[i]);
    assert_int_equal(op.removed, n);
}

static void
do_deliver(struct world *w, unsigned k)
{
    struct stream_model *m = &w->models[k];
    struct op op = {.kind = OP_DELIVER,
                    .g = (unsigned)rng_below(&w->rng, MODEL_GROUPS),
                    .c = (unsigned)rng_below(&w->rng, MODEL_CONSUMERS)};
    struct m_group *g = &m->groups[op.g];

    op.n = (unsigned)rng_below(
        &w->rng, nq_min(IDS, MODEL_ENTRIES - 1 - g->pending_count) + 1);
    for (unsigned i = 0; i < op.n; i++)
        op.claims[i] = (struct stream_claim){
            .id = random_id(w, m),
            .delivered_ms = w->now - rng_below(&w->rng, 100),
            .deliveries = rng_below(&w->rng, 300),
            .is_dropped = rng_below(&w->rng, 5) == 0};
    op.moves_group = rng_below(&w->rng, 2);
    op.id = random_id(w, m);
    op.read = (int64_t)rng_below(&w->rng, 100);
    assert_int_equal(call(w, k, &op), g->is_there ? NQ_OK : NQ_NOTFOUND);
    if (!g->is_there)
        return;
    model_see(&g->consumers[op.c], w->now, op.n > 0);
    for (unsigned i = 0; i < op.n; i++)
        model_claim(g, op.c, &op.claims[i]);
    if (op.moves_group) {
        g->last = op.id;
        g->read = op.read;
    }
}

static void
do_key(struct world *w, unsigned k)
{
    unsigned to = (unsigned)rng_below(&w->rng, STREAMS);
    struct stream_model *m = &w->models[k];
    struct env *e = &w->env;
    struct slice key = slice_str(keys[k]), other = slice_str(keys[to]);
    nq_rc want = m->is_there ? NQ_OK : NQ_NOTFOUND;

    if (rng_below(&w->rng, 3) == 0) {
        assert_int_equal(env_run(e, db_del(e->db, 0, key)), want);
        *m = (struct stream_model){.is_there = false};
    } else if (to != k && rng_below(&w->rng, 2)) {
        assert_int_equal(env_run(e, db_rename(e->db, 0, key, 0, other)), want);
        if (m->is_there) {
            w->models[to] = *m;
            *m = (struct stream_model){.is_there = false};
        }
    }
}

/* --- comparing ----------------------------------------------------------- */

static void
assert_same_id(struct stream_id got, struct stream_id want)
{
    assert_int_equal(stream_id_cmp(got, want), 0);
}

static nq_rc
compare_entry(struct world *w, struct stream_cursor *cu,
              const struct m_entry *want)
{
    struct stream_fields f;
    struct slice field, val;
    nq_rc rc = stream_entry(cu, &w->env.arena, &f);

    if (rc != NQ_OK)
        return rc;
    assert_same_id(cu->id, want->id);
    assert_int_equal(f.pairs, 1);
    assert_true(cursor_get_slice(&f.at, &field));
    assert_true(cursor_get_slice(&f.at, &val));
    assert_true(slice_eq(field, slice_lit("f")));
    assert_true(slice_eq(val, slice_of(noise + want->from, want->len)));
    return NQ_OK;
}

static nq_rc
compare_entries(struct world *w, struct stream *s, const struct stream_model *m,
                bool back)
{
    unsigned i = back ? m->count - 1 : 0;
    struct stream_cursor cu;
    nq_rc rc;

    stream_cursor_init(&cu, s);
    rc = back ? stream_seek_back(&cu, STREAM_ID_MAX)
              : stream_seek(&cu, STREAM_ID_MIN);
    for (; rc == NQ_OK && i < m->count; i = back ? i - 1 : i + 1) {
        assert_true(cu.valid);
        if ((rc = compare_entry(w, &cu, &m->entries[i])) == NQ_OK)
            rc = back ? stream_prev(&cu) : stream_next(&cu);
    }
    if (rc == NQ_OK)
        assert_false(cu.valid);
    stream_cursor_fini(&cu);
    return rc;
}

static nq_rc
compare_counts(struct world *w, struct stream *s, const struct stream_model *m)
{
    struct stream_id from = random_id(w, m), to = random_id(w, m);
    uint64_t n, want = 0;
    nq_rc rc = stream_count(s, from, to, &n);

    for (unsigned i = 0; i < m->count; i++)
        want += stream_id_cmp(m->entries[i].id, from) >= 0 &&
                stream_id_cmp(m->entries[i].id, to) <= 0;
    if (rc == NQ_OK)
        assert_int_equal(n, want);
    return rc;
}

/* What is pending in the group, or (c != NULL) for its consumer number i. */
static nq_rc
compare_pending(struct world *w, struct stream *s, const struct m_group *m,
                const struct stream_group *g, const struct stream_consumer *c,
                unsigned i)
{
    struct stream_pending p;
    struct stream_walk walk;
    struct slice name;
    uint64_t n, count = 0;
    nq_rc rc = stream_pending_count(s, g, c, &n);

    stream_walk_init(&walk, s);
    if (rc == NQ_OK)
        rc = stream_walk_pending(&walk, g, c, STREAM_ID_MIN);
    for (unsigned k = 0; rc == NQ_OK && k < m->pending_count; k++) {
        const struct m_pending *want = &m->pending[k];

        if (c != NULL && want->consumer != i)
            continue;
        assert_true(walk.valid);
        if ((rc = stream_walk_pending_at(&walk, &p)) != NQ_OK ||
            (rc = stream_consumer_name(s, g, p.consumer, &w->env.arena,
                                       &name)) != NQ_OK)
            break;
        assert_same_id(p.id, want->id);
        assert_int_equal(p.delivered_ms, want->delivered_ms);
        assert_int_equal(p.deliveries, want->deliveries);
        assert_true(slice_eq(name, slice_str(consumer_names[want->consumer])));
        count++;
        rc = stream_walk_next(&walk);
    }
    if (rc == NQ_OK) {
        assert_false(walk.valid);
        assert_int_equal(n, count);
    }
    stream_walk_fini(&walk);
    return rc;
}

static nq_rc
compare_group(struct world *w, struct stream *s, const struct m_group *m,
              unsigned i)
{
    struct stream_consumer c;
    struct stream_group g;
    uint64_t n, want = 0;
    nq_rc rc = stream_group_find(s, slice_str(group_names[i]), &g);

    if (rc == NQ_NOTFOUND) {
        assert_false(m->is_there);
        return NQ_OK;
    }
    if (rc != NQ_OK || (rc = stream_consumer_count(s, &g, &n)) != NQ_OK)
        return rc;
    assert_true(m->is_there);
    assert_same_id(g.last, m->last);
    assert_int_equal(g.read, m->read);
    for (unsigned k = 0; k < MODEL_CONSUMERS; k++) {
        rc = stream_consumer_find(s, &g, slice_str(consumer_names[k]), &c);
        if (rc != NQ_OK && rc != NQ_NOTFOUND)
            return rc;
        assert_int_equal(rc == NQ_OK, m->consumers[k].is_there);
        if (rc == NQ_NOTFOUND)
            continue;
        assert_int_equal(c.seen_ms, m->consumers[k].seen_ms);
        assert_int_equal(c.active_ms, m->consumers[k].active_ms);
        if ((rc = compare_pending(w, s, m, &g, &c, k)) != NQ_OK)
            return rc;
        want++;
    }
    assert_int_equal(n, want);
    return compare_pending(w, s, m, &g, NULL, 0);
}

static nq_rc
compare_open(struct world *w, struct stream *s, const struct stream_model *m)
{
    nq_rc rc;

    assert_int_equal(s->length, m->count);
    assert_int_equal(s->added, m->added);
    assert_same_id(s->last, m->last);
    assert_same_id(s->max_deleted, m->max_deleted);
    assert_same_id(s->first, m->count > 0 ? m->entries[0].id : STREAM_ID_MIN);
    if ((rc = compare_entries(w, s, m, false)) != NQ_OK ||
        (rc = compare_entries(w, s, m, true)) != NQ_OK ||
        (rc = compare_counts(w, s, m)) != NQ_OK)
        return rc;
    for (unsigned i = 0; i < MODEL_GROUPS && rc == NQ_OK; i++)
        rc = compare_group(w, s, &m->groups[i], i);
    return rc == NQ_OK ? stream_check(s) : rc;
}

static nq_rc
compare_once(struct world *w, unsigned k)
{
    const struct stream_model *m = &w->models[k];
    struct entry e = {0};
    struct stream s;
    nq_rc rc = db_find(w->env.db, 0, slice_str(keys[k]), &e);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    assert_int_equal(rc == NQ_OK, m->is_there);
    if (rc == NQ_NOTFOUND)
        return NQ_OK;
    assert_int_equal(stream_length(&e), m->count);
    rc = stream_open(w->env.db, 0, slice_str(keys[k]), &e, true, &s);
    if (rc == NQ_OK)
        rc = compare_open(w, &s, m);
    stream_close(&s);
    return rc;
}

static void
compare_all(struct world *w)
{
    for (unsigned k = 0; k < STREAMS; k++)
        assert_int_equal(env_run(&w->env, compare_once(w, k)), NQ_OK);
}

/* --- running ------------------------------------------------------------- */

static void
step(struct world *w)
{
    unsigned k = (unsigned)rng_below(&w->rng, STREAMS);
    unsigned what = (unsigned)rng_below(&w->rng, 100);

    if (what < 45)
        do_add(w, k);
    else if (what < 47)
        do_trim(w, k);
    else if (what < 54)
        do_del(w, k);
    else if (what < 55)
        do_set_id(w, k);
    else if (what < 61)
        do_group(w, k);
    else if (what < 66)
        do_consumer(w, k);
    else if (what < 74)
        do_ack(w, k);
    else if (what < 99)
        do_deliver(w, k);
    else
        do_key(w, k);
}

static void
end_round(struct world *w)
{
    struct env *e = &w->env;

    switch (rng_below(&w->rng, 4)) {
    case 0:
        env_close(e, rng_below(&w->rng, 2));
        env_open(e);
        break;
    case 1:
        env_crash(e);
        env_open(e);
        break;
    case 2:
        env_settle(e);
        break;
    default:
        break;
    }
    compare_all(w);
    env_check(e);
}

static void
run(struct world *w, uint32_t page_size, uint64_t pool_bytes, uint32_t max_len)
{
    w->max_len = max_len;
    env_init(&w->env, page_size, pool_bytes);
    for (int round = 0; round < ROUNDS; round++) {
        for (int n = 0; n < STEPS; n++) {
            step(w);
            w->now += rng_below(&w->rng, 20);
            clock_freeze_wall(w->now);
            if (rng_below(&w->rng, 4) == 0)
                env_turn(&w->env);
            if (rng_below(&w->rng, 150) == 0)
                env_checkpoint(&w->env);
        }
        end_round(w);
    }
    env_close(&w->env, true);
    env_open(&w->env);
    compare_all(w); /* everything is read from disk */
    env_fini(&w->env);
}

static int
setup(void **state)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();
    struct world *w = nq_calloc(1, sizeof *w);

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&w->rng, seed);
    for (size_t i = 0; i < NOISE; i++)
        noise[i] = (uint8_t)rng_next(&w->rng);
    w->now = NOW;
    clock_freeze_wall(NOW);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    nq_free(*state);
    clock_freeze_wall(0);
    return 0;
}

static void
streams_equal_the_model_in_memory(void **state)
{
    run(*state, 4096, 8 << 20, 5000);
}

static void
streams_equal_the_model_with_tiny_pages(void **state)
{
    run(*state, 1024, 1 << 20, 600);
}

static void
streams_equal_the_model_when_larger_than_the_pool(void **state)
{
    struct world *w = *state;

    run(w, 1024, 128 << 10, 4000);
    assert_true(w->env.misses > 0);
}

/* --- lag ----------------------------------------------------------------- */

static void
the_lag_is_unknown_behind_a_hole_only(void **state)
{
    struct stream s = {.length = 8,
                       .added = 10,
                       .last = {10, 0},
                       .first = {3, 0},
                       .max_deleted = {0, 0}};
    struct stream_group g = {.last = {5, 0}, .read = STREAM_READ_UNKNOWN};
    int64_t lag;

    (void)state;
    assert_false(stream_group_lag(&s, &g, &lag)); /* in the middle */
    g.read = 5;
    assert_true(stream_group_lag(&s, &g, &lag));
    assert_int_equal(lag, 5);
    s.max_deleted = (struct stream_id){7, 0}; /* ahead of the group */
    assert_false(stream_group_lag(&s, &g, &lag));
    g.last = (struct stream_id){8, 0}; /* behind it */
    assert_true(stream_group_lag(&s, &g, &lag));
    assert_int_equal(lag, 5);
    g.last = s.last;
    g.read = STREAM_READ_UNKNOWN;
    assert_true(stream_group_lag(&s, &g, &lag));
    assert_int_equal(lag, 0);
    g.last = (struct stream_id){1, 0};
    s.max_deleted = (struct stream_id){2, 0}; /* before the first entry */
    assert_true(stream_group_lag(&s, &g, &lag));
    assert_int_equal(lag, 8);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(streams_equal_the_model_in_memory),
        T(streams_equal_the_model_with_tiny_pages),
        T(streams_equal_the_model_when_larger_than_the_pool),
        cmocka_unit_test(the_lag_is_unknown_behind_a_hole_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
