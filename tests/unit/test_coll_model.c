/* Collections against a plain model: random changes and reads with tiny pages
 * and pools, checkpoints, restarts and crashes in between, everything
 * compared.  What a change logs is the change itself; the makefile puts
 * __wrap_db_apply_copy() in the place of an effect to do it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/db_env.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "db/coll.h"
#include "db/db_int.h"
#include "os/clock.h"

#define COLLS 6
#define ITEMS 120
#define HEAD 4
#define HEAD_LONG 11 /* of those with the flag IS_LONG */
#define IS_LONG 4
#define OPS 5
#define ROUNDS 30
#define STEPS 120
#define SLICE 8 /* items that a walk sees in one command */
#define NOW UINT64_C(1700000000000)
#define KEY_ROOM 800
#define NOISE 8192

struct cell {
    bool is_there;
    uint32_t from, len; /* of the noise */
    uint64_t expire_ms;
};

struct model {
    unsigned k; /* its number */
    bool exists, is_shrinking;
    uint8_t head[HEAD_LONG];
    bool is_long;
    uint64_t expire_ms;
    unsigned count;
    struct cell cells[ITEMS]; /* by rising key */
};

struct world {
    struct env env;
    struct rng rng;
    struct model models[COLLS];
    uint32_t max_len;
    bool has_trees, has_packed; /* seen, each */
};

static uint8_t noise[NOISE];

enum op_kind { OP_PUT, OP_EXPIRE, OP_DEL, OP_DEL_RANGE, OP_MAKE_TREE };

struct op {
    enum op_kind kind;
    unsigned i, to;
    struct cell cell;
};

/* One command, and what it logs. */
struct edit {
    unsigned k, n;
    uint8_t head[HEAD_LONG];
    bool is_long;
    uint64_t expire_ms;
    struct op ops[OPS];
};

/* --- names --------------------------------------------------------------- */

static struct slice
coll_name(unsigned k, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "coll:%u", k));
}

/* Some stay when they are empty, some are packed again. */
static bool
keeps_empty(unsigned k)
{
    return k % 2 == 1;
}

static bool
may_pack(unsigned k)
{
    return k % 3 == 0;
}

/* Long names where nothing is to be packed again. */
static struct slice
item_name(unsigned k, unsigned i, char dst[KEY_ROOM])
{
    int n = snprintf(dst, KEY_ROOM, "%03u", i);
    unsigned more = may_pack(k)   ? 0
                    : i % 29 == 0 ? 700
                    : i % 11 == 0 ? 90
                                  : i % 7;

    memset(dst + n, 'x', more);
    return slice_of(dst, (size_t)n + more);
}

static struct slice
cell_val(const struct cell *c)
{
    return slice_of(noise + c->from, c->len);
}

/* --- changing ------------------------------------------------------------ */

static void
model_op(struct model *m, const struct op *op)
{
    unsigned to = op->kind == OP_DEL_RANGE ? op->to : op->i + 1;

    if (op->kind == OP_MAKE_TREE)
        return;
    if (op->kind == OP_EXPIRE) {
        m->cells[op->i].expire_ms = op->cell.expire_ms;
        return;
    }
    for (unsigned i = op->i; i < to; i++) {
        m->count -= m->cells[i].is_there;
        m->cells[i].is_there = false;
    }
    if (op->kind == OP_PUT) {
        m->cells[op->i] = op->cell;
        m->count++;
    }
}

/* `m` may be NULL: there is nothing to compare with. */
static nq_rc
apply_op(struct coll *c, struct model *m, unsigned k, const struct op *op)
{
    char name[KEY_ROOM], end[KEY_ROOM];
    struct slice key = item_name(k, op->i, name), hi;
    bool was = m != NULL && m->cells[op->i].is_there, is_new = false;
    unsigned before = m != NULL ? m->count : 0;
    uint64_t removed;
    nq_rc rc;

    if (op->kind == OP_MAKE_TREE)
        return coll_make_tree(c);
    if (m != NULL)
        model_op(m, op);
    if (op->kind == OP_PUT) {
        rc = coll_put(c, key, cell_val(&op->cell), op->cell.expire_ms, &is_new);
        if (m != NULL)
            assert_int_equal(is_new, !was);
        return rc;
    }
    if (op->kind == OP_DEL || op->kind == OP_EXPIRE) {
        rc = op->kind == OP_DEL ? coll_del(c, key)
                                : coll_set_expire(c, key, op->cell.expire_ms);
        if (m != NULL)
            assert_int_equal(rc, was ? NQ_OK : NQ_NOTFOUND);
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    }
    hi = item_name(k, op->to, end);
    rc = coll_del_range(c, key, op->to < ITEMS ? &hi : NULL, &removed);
    if (m != NULL)
        assert_int_equal(removed, before - m->count);
    return rc;
}

static nq_rc
want(struct coll *c, const struct edit *ch)
{
    static char names[OPS][KEY_ROOM];
    struct slice keys[OPS];

    for (unsigned i = 0; i < ch->n; i++)
        keys[i] = item_name(ch->k, ch->ops[i].i, names[i]);
    return coll_want(c, keys, ch->n);
}

static uint8_t
head_len(bool is_long)
{
    return is_long ? HEAD_LONG : HEAD;
}

static nq_rc
change(struct coll *c, struct model *m, const struct edit *ch)
{
    struct slice args[1] = {{(const uint8_t *)ch, sizeof *ch}};
    bool is_gone, existed = m != NULL && m->exists;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < ch->n && rc == NQ_OK; i++) {
        rc = apply_op(c, m, ch->k, &ch->ops[i]);
        if (rc == NQ_OK && m != NULL)
            assert_int_equal(c->count, m->count);
    }
    if (rc != NQ_OK)
        return rc;
    c->head_len = head_len(ch->is_long);
    c->flags = ch->is_long ? IS_LONG : 0;
    memcpy(c->head, ch->head, c->head_len);
    c->expire_ms = ch->expire_ms;
    rc = coll_commit(c, EFFECT_COPY, args, 1, &is_gone);
    if (m == NULL)
        return rc;
    m->exists = m->count > 0 || keeps_empty(ch->k);
    memcpy(m->head, ch->head, HEAD_LONG);
    m->is_long = ch->is_long;
    m->expire_ms = ch->expire_ms;
    if (!m->exists) {
        memset(m->head, 0, HEAD_LONG);
        m->is_long = false;
        m->expire_ms = 0;
    }
    if (!ch->is_long)
        memset(m->head + HEAD, 0, HEAD_LONG - HEAD);
    assert_int_equal(is_gone, existed && !m->exists);
    return rc;
}

/* One of the collections of a command. */
struct target {
    struct entry en;
    struct coll c;
    char name[16];
    bool is_open;
};

static nq_rc
open_target(struct db *db, struct target *t, const struct model *m,
            const struct edit *ch)
{
    struct slice key = coll_name(ch->k, t->name);
    nq_rc rc = db_find_write(db, 0, key, &t->en);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    if (m != NULL)
        assert_int_equal(rc, m->exists ? NQ_OK : NQ_NOTFOUND);
    t->is_open = true;
    rc = coll_open(db, 0, key, DB_SET, &t->en, rc == NQ_OK,
                   head_len(rc == NQ_OK && t->en.rec.flags & IS_LONG), &t->c);
    t->c.keep_empty = keeps_empty(ch->k);
    t->c.may_pack = may_pack(ch->k);
    return rc == NQ_OK ? want(&t->c, ch) : rc;
}

/* All are found, wanted and begun before the first is changed, as in SMOVE. */
static nq_rc
change_once(struct db *db, struct model *models, const struct edit *chs,
            unsigned n)
{
    struct target t[2] = {{.is_open = false}};
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < n && rc == NQ_OK; i++)
        rc = open_target(db, &t[i], models != NULL ? &models[chs[i].k] : NULL,
                         &chs[i]);
    for (unsigned i = 0; i < n && rc == NQ_OK; i++)
        rc = coll_begin(&t[i].c);
    for (unsigned i = 0; i < n && rc == NQ_OK; i++)
        rc =
            change(&t[i].c, models != NULL ? &models[chs[i].k] : NULL, &chs[i]);
    for (unsigned i = 0; i < n; i++)
        if (t[i].is_open)
            coll_close(&t[i].c);
    return rc;
}

nq_rc __wrap_db_apply_copy(struct db *db, const struct wal_record *r);

nq_rc
__wrap_db_apply_copy(struct db *db, const struct wal_record *r)
{
    struct edit ch;

    assert_int_equal(r->args.len, sizeof ch);
    memcpy(&ch, r->args.p, sizeof ch);
    return change_once(db, NULL, &ch, 1);
}

/* --- random changes ------------------------------------------------------ */

static void
random_op(struct world *w, const struct model *m, struct op *op)
{
    unsigned what = (unsigned)rng_below(&w->rng, 100);
    bool shrinks = m->is_shrinking;
    uint32_t max = rng_below(&w->rng, 12) == 0 ? w->max_len : 12;

    *op = (struct op){.kind = OP_PUT, .i = (unsigned)rng_below(&w->rng, ITEMS)};
    op->cell = (struct cell){
        .is_there = true,
        .from = (uint32_t)rng_below(&w->rng, NOISE - w->max_len),
        .len = (uint32_t)rng_below(&w->rng, max + 1),
        .expire_ms =
            rng_below(&w->rng, 3) > 0 ? 0 : NOW + rng_below(&w->rng, 1000)};
    if (what < (shrinks ? 60u : 10u))
        op->kind = OP_DEL;
    else if (what < (shrinks ? 85u : 14u))
        op->kind = OP_DEL_RANGE;
    else if (what < (shrinks ? 86u : 15u))
        op->kind = OP_MAKE_TREE;
    else if (what >= 90)
        op->kind = OP_EXPIRE;
    op->to = op->i + (unsigned)rng_below(&w->rng, shrinks ? ITEMS / 2 : 10);
    if (op->to > ITEMS)
        op->to = ITEMS;
}

static void
random_change(struct world *w, unsigned k, struct edit *ch)
{
    struct model *m = &w->models[k];

    memset(ch, 0, sizeof *ch);
    ch->k = k;
    ch->n =
        rng_below(&w->rng, 3) > 0 ? 1 : 1 + (unsigned)rng_below(&w->rng, OPS);
    ch->expire_ms = m->expire_ms;
    memcpy(ch->head, m->head, HEAD_LONG);
    ch->is_long = m->is_long != (rng_below(&w->rng, 10) == 0);
    if (rng_below(&w->rng, 4) == 0)
        ch->head[rng_below(&w->rng, HEAD_LONG)]++;
    if (rng_below(&w->rng, 8) == 0)
        ch->expire_ms = rng_below(&w->rng, 2) ? 0 : NOW * 2 + ch->head[0];
    if (rng_below(&w->rng, 40) == 0)
        m->is_shrinking = !m->is_shrinking;
    for (unsigned i = 0; i < ch->n; i++)
        random_op(w, m, &ch->ops[i]);
}

static void
do_change(struct world *w, unsigned k)
{
    unsigned n = 1 + (rng_below(&w->rng, 5) == 0);
    struct edit chs[2];

    random_change(w, k, &chs[0]);
    random_change(w, (k + 1) % COLLS, &chs[1]);
    assert_int_equal(
        env_run(&w->env, change_once(w->env.db, w->models, chs, n)), NQ_OK);
}

/* --- reading ------------------------------------------------------------- */

/* A call of one collection, opened for reading. */
typedef nq_rc read_fn(struct world *w, struct coll *c, const struct model *m,
                      unsigned i, unsigned j);

static nq_rc
read_once(struct world *w, unsigned k, read_fn *fn, unsigned i, unsigned j)
{
    const struct model *m = &w->models[k];
    struct entry en = {0};
    struct coll c;
    char name[16];
    struct slice key = coll_name(k, name);
    nq_rc rc = db_find(w->env.db, 0, key, &en);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    assert_int_equal(rc, m->exists ? NQ_OK : NQ_NOTFOUND);
    rc = coll_open(w->env.db, 0, key, DB_SET, &en, rc == NQ_OK,
                   head_len(m->is_long), &c);
    if (rc == NQ_OK && m->exists) {
        assert_int_equal(c.count, m->count);
        assert_int_equal(c.expire_ms, m->expire_ms);
        assert_memory_equal(c.head, m->head, c.head_len);
        w->has_trees |= c.is_tree;
        w->has_packed |= !c.is_tree;
        rc = fn(w, &c, m, i, j);
    }
    coll_close(&c);
    arena_reset(&w->env.arena);
    return rc;
}

static nq_rc
compare_item(struct world *w, struct coll *c, const struct model *m, unsigned i,
             const struct item *it)
{
    const struct cell *cell = &m->cells[i];
    char name[KEY_ROOM];
    struct slice val;
    nq_rc rc = coll_val(c, it, &w->env.arena, &val);

    if (rc != NQ_OK)
        return rc;
    assert_true(cell->is_there);
    assert_true(slice_eq(it->key, item_name(m->k, i, name)));
    assert_int_equal(it->len, cell->len);
    assert_true(slice_eq(val, cell_val(cell)));
    assert_int_equal(it->expire_ms, cell->expire_ms);
    return NQ_OK;
}

static nq_rc
read_get(struct world *w, struct coll *c, const struct model *m, unsigned i,
         unsigned j)
{
    char name[KEY_ROOM];
    struct item it;
    nq_rc rc = coll_get(c, item_name(m->k, i, name), &it);

    nq_unused(j);
    if (rc == NQ_NOTFOUND) {
        assert_false(m->cells[i].is_there);
        return NQ_OK;
    }
    return rc == NQ_OK ? compare_item(w, c, m, i, &it) : rc;
}

/* The first item from `i` on, or up to it; ITEMS: none. */
static unsigned
next_of(const struct model *m, unsigned i)
{
    while (i < ITEMS && !m->cells[i].is_there)
        i++;
    return i;
}

static unsigned
prev_of(const struct model *m, unsigned i)
{
    while (i < ITEMS && !m->cells[i].is_there)
        i--; /* past 0 it wraps beyond ITEMS */
    return i < ITEMS ? i : ITEMS;
}

/* Walks some steps from where the cursor is, which should be item `at`. */
static nq_rc
compare_walk(struct world *w, struct coll_cursor *cu, const struct model *m,
             unsigned at, bool back)
{
    struct item it;
    nq_rc rc = NQ_OK;

    for (unsigned n = 0; n < SLICE && rc == NQ_OK; n++) {
        assert_int_equal(cu->valid, at < ITEMS);
        if (!cu->valid)
            return NQ_OK;
        if ((rc = coll_item(cu, &it)) == NQ_OK)
            rc = compare_item(w, cu->c, m, at, &it);
        if (rc != NQ_OK)
            return rc;
        assert_true(slice_eq(cu->key, it.key));
        at = back ? prev_of(m, at - 1) : next_of(m, at + 1);
        rc = back ? coll_prev(cu) : coll_next(cu);
    }
    return rc;
}

static nq_rc
read_walk(struct world *w, struct coll *c, const struct model *m, unsigned i,
          unsigned j)
{
    bool back = j & 1, beside = j & 2;
    struct coll_cursor cu;
    char name[KEY_ROOM];
    struct slice key = item_name(m->k, i, name);
    unsigned at = back ? prev_of(m, i - beside) : next_of(m, i + beside);
    nq_rc rc;

    coll_cursor_init(&cu, c);
    rc = back ? coll_seek_back(&cu, key, beside) : coll_seek(&cu, key, beside);
    if (rc == NQ_OK)
        rc = compare_walk(w, &cu, m, at, back);
    coll_cursor_fini(&cu);
    return rc;
}

static nq_rc
read_ends(struct world *w, struct coll *c, const struct model *m, unsigned i,
          unsigned j)
{
    struct coll_cursor cu;
    nq_rc rc;

    nq_unused(i);
    coll_cursor_init(&cu, c);
    rc = j & 1 ? coll_last(&cu) : coll_first(&cu);
    if (rc == NQ_OK)
        rc = compare_walk(w, &cu, m,
                          j & 1 ? prev_of(m, ITEMS - 1) : next_of(m, 0), j & 1);
    coll_cursor_fini(&cu);
    return rc;
}

static nq_rc
read_rank(struct world *w, struct coll *c, const struct model *m, unsigned i,
          unsigned j)
{
    unsigned lower = 0, at = next_of(m, i);
    struct coll_cursor cu;
    char name[KEY_ROOM];
    uint64_t rank;
    nq_rc rc = coll_rank(c, item_name(m->k, i, name), &rank);

    nq_unused(j);
    if (rc != NQ_OK)
        return rc;
    for (unsigned n = 0; n < i; n++)
        lower += m->cells[n].is_there;
    assert_int_equal(rank, lower);
    coll_cursor_init(&cu, c);
    if ((rc = coll_nth(&cu, rank)) == NQ_OK)
        rc = compare_walk(w, &cu, m, at, false);
    coll_cursor_fini(&cu);
    return rc;
}

static nq_rc
compare_due(struct coll *c, struct coll_cursor *cu, const struct model *m,
            uint64_t now)
{
    uint64_t due = 0, earliest = 0, got;
    struct item it;
    nq_rc rc;

    for (unsigned i = 0; i < ITEMS; i++) {
        uint64_t at = m->cells[i].is_there ? m->cells[i].expire_ms : 0;

        due += at != 0 && at <= now;
        if (at != 0 && (earliest == 0 || at < earliest))
            earliest = at;
    }
    if ((rc = coll_count_due(c, now, &got)) != NQ_OK)
        return rc;
    assert_int_equal(got, due);
    if ((rc = coll_earliest(c, &got)) != NQ_OK)
        return rc;
    assert_int_equal(got, earliest);
    if ((rc = coll_seek_due(cu, now)) != NQ_OK)
        return rc;
    assert_int_equal(cu->valid, due > 0);
    if (!cu->valid)
        return NQ_OK;
    if ((rc = coll_item(cu, &it)) == NQ_OK)
        assert_true(it.expire_ms != 0 && it.expire_ms <= now);
    return rc;
}

static nq_rc
read_due(struct world *w, struct coll *c, const struct model *m, unsigned i,
         unsigned j)
{
    struct coll_cursor cu;
    nq_rc rc;

    nq_unused(w);
    nq_unused(j);
    coll_cursor_init(&cu, c);
    rc = compare_due(c, &cu, m, NOW + i);
    coll_cursor_fini(&cu);
    return rc;
}

static void
do_read(struct world *w, unsigned k)
{
    static read_fn *const fns[] = {read_get,  read_get, read_walk, read_walk,
                                   read_ends, read_due, read_rank};
    read_fn *fn = fns[rng_below(&w->rng, nq_countof(fns))];
    unsigned i = (unsigned)rng_below(&w->rng, ITEMS);
    unsigned j = (unsigned)rng_next(&w->rng) & 3;

    assert_int_equal(env_run(&w->env, read_once(w, k, fn, i, j)), NQ_OK);
}

static void
compare_all(struct world *w)
{
    for (unsigned k = 0; k < COLLS; k++)
        for (unsigned i = 0; i < ITEMS; i += SLICE) {
            assert_int_equal(env_run(&w->env, read_once(w, k, read_walk, i, 0)),
                             NQ_OK);
            assert_int_equal(env_run(&w->env, read_once(w, k, read_get, i, 0)),
                             NQ_OK);
        }
}

/* --- running ------------------------------------------------------------- */

static void
end_round(struct world *w)
{
    struct env *e = &w->env;

    switch (rng_below(&w->rng, 5)) {
    case 0:
        env_close(e, rng_below(&w->rng, 2));
        env_open(e);
        break;
    case 1:
    case 2:
        env_crash(e);
        env_open(e);
        break;
    case 3:
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
            unsigned k = (unsigned)rng_below(&w->rng, COLLS);

            if (rng_below(&w->rng, 3) == 0)
                do_read(w, k);
            else
                do_change(w, k);
            if (rng_below(&w->rng, 4) == 0)
                env_turn(&w->env);
            if (rng_below(&w->rng, 150) == 0)
                env_checkpoint(&w->env);
        }
        end_round(w);
    }
    assert_true(w->has_trees && w->has_packed);
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
    for (unsigned k = 0; k < COLLS; k++)
        w->models[k].k = k;
    for (size_t i = 0; i < NOISE; i++)
        noise[i] = (uint8_t)rng_next(&w->rng);
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
collections_equal_the_model_in_memory(void **state)
{
    run(*state, 4096, 8 << 20, 5000);
}

static void
collections_equal_the_model_with_tiny_pages(void **state)
{
    run(*state, 512, 1 << 20, 600);
}

static void
collections_equal_the_model_when_larger_than_the_pool(void **state)
{
    struct world *w = *state;

    run(w, 1024, 128 << 10, 600);
    assert_true(w->env.misses > 0);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(collections_equal_the_model_in_memory),
        T(collections_equal_the_model_with_tiny_pages),
        T(collections_equal_the_model_when_larger_than_the_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
