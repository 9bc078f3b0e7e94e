/* Hashes against a plain model: random commands with tiny pages and pools,
 * fields and keys that expire, restarts, crashes and checkpoints in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/db_env.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "db/fields.h"
#include "os/clock.h"

#define KEYS 12
#define FIELDS 70
#define ROUNDS 20
#define STEPS 100
#define NOW UINT64_C(1700000000000)
#define BIG_MAX (1u << 20)
#define AT_ONCE 20 /* fields of one command, at most */

struct cell {
    bool is_there;
    uint8_t *val;
    size_t len;
    uint64_t expire_ms;
};

struct hash {
    struct cell cells[FIELDS];
    uint64_t expire_ms; /* the key's own */
};

struct world {
    struct env env;
    struct rng rng;
    struct hash hashes[KEYS];
    uint64_t now;
    size_t big_max;
    uint8_t *noise;
    /* The fields of the command under way. */
    unsigned which[AT_ONCE];
    unsigned n;
    char names[AT_ONCE][600];
    struct slice words[2 * AT_ONCE];
};

/* --- the model ----------------------------------------------------------- */

static struct slice
key_of(unsigned i, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "hash:%02u", i));
}

static struct slice
field_of(unsigned i, char dst[600])
{
    int n = snprintf(dst, 600, "field:%03u", i);

    if (i % 17 == 0) {
        memset(dst + n, 'x', 300);
        n += 300;
    }
    return slice_of(dst, (size_t)n);
}

static bool
is_alive(const struct world *w, const struct cell *c)
{
    return c->is_there && (c->expire_ms == 0 || c->expire_ms > w->now);
}

static unsigned
count_alive(const struct world *w, const struct hash *h)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FIELDS; i++)
        n += is_alive(w, &h->cells[i]);
    return n;
}

static void
hash_clear(struct hash *h)
{
    for (unsigned i = 0; i < FIELDS; i++)
        h->cells[i].is_there = false;
    h->expire_ms = 0;
}

/* What is over is as if it had never been. */
static struct hash *
hash_of(struct world *w, unsigned i, bool *found)
{
    struct hash *h = &w->hashes[i];

    *found =
        count_alive(w, h) > 0 && (h->expire_ms == 0 || h->expire_ms > w->now);
    if (!*found)
        hash_clear(h);
    return h;
}

static void
cell_set(struct cell *c, struct slice val, uint64_t expire_ms)
{
    nq_free(c->val);
    c->val = nq_malloc(val.len + 1);
    memcpy(c->val, val.p, val.len);
    c->len = val.len;
    c->is_there = true;
    c->expire_ms = expire_ms;
}

/* --- comparing ----------------------------------------------------------- */

static nq_rc
read_field(struct world *w, struct slice key, struct slice field,
           struct slice *val, uint64_t *expire_ms)
{
    struct entry e = {0};
    struct item it;
    struct coll c;
    nq_rc found = db_find(w->env.db, 0, key, &e), rc;

    if (found != NQ_OK && found != NQ_NOTFOUND)
        return found;
    rc = fields_open(w->env.db, 0, key, &e, found == NQ_OK, &c);
    if (rc == NQ_OK)
        rc = fields_get(&c, field, &it);
    if (rc == NQ_OK)
        rc = coll_val(&c, &it, &w->env.arena, val);
    if (rc == NQ_OK && val->len > 0) /* its page may go after the command */
        *val =
            slice_of(arena_memdup(&w->env.arena, val->p, val->len), val->len);
    *expire_ms = it.expire_ms;
    coll_close(&c);
    return rc;
}

static nq_rc
count_fields(struct world *w, struct slice key, uint64_t *n,
             uint64_t *expire_ms)
{
    struct entry e = {0};
    struct coll c;
    nq_rc rc = db_find(w->env.db, 0, key, &e);

    *n = *expire_ms = 0;
    if (rc != NQ_OK)
        return rc;
    *expire_ms = db_expire_of(&e.rec);
    if ((rc = fields_open(w->env.db, 0, key, &e, true, &c)) == NQ_OK)
        rc = fields_count(&c, n);
    coll_close(&c);
    return rc;
}

static void
compare_field(struct world *w, struct slice key, const struct hash *h,
              unsigned i)
{
    const struct cell *c = &h->cells[i];
    char name[600];
    struct slice field = field_of(i, name), val;
    uint64_t expire_ms;
    nq_rc rc = env_run(&w->env, read_field(w, key, field, &val, &expire_ms));

    assert_int_equal(rc, is_alive(w, c) ? NQ_OK : NQ_NOTFOUND);
    if (rc != NQ_OK)
        return;
    assert_int_equal(val.len, c->len);
    assert_memory_equal(val.p, c->val, c->len);
    assert_int_equal(expire_ms, c->expire_ms);
}

static void
compare_key(struct world *w, unsigned k)
{
    uint64_t n, expire_ms;
    char name[16];
    struct slice key = key_of(k, name);
    bool found;
    const struct hash *h = hash_of(w, k, &found);
    nq_rc rc = env_run(&w->env, count_fields(w, key, &n, &expire_ms));

    assert_int_equal(rc, found ? NQ_OK : NQ_NOTFOUND);
    assert_int_equal(n, count_alive(w, h));
    assert_int_equal(expire_ms, h->expire_ms);
    for (unsigned i = 0; i < FIELDS; i++)
        compare_field(w, key, h, i);
}

static void
compare_all(struct world *w)
{
    uint64_t with_expiry = 0, counted;

    for (unsigned k = 0; k < KEYS; k++)
        compare_key(w, k);
    env_settle(&w->env); /* what is due is gone now */
    for (unsigned k = 0; k < KEYS; k++)
        with_expiry += w->hashes[k].expire_ms != 0;
    assert_int_equal(db_expires(w->env.db, 0, &counted), NQ_OK);
    assert_int_equal(counted, with_expiry);
}

/* --- random commands ----------------------------------------------------- */

static struct slice
random_value(struct world *w)
{
    const size_t maxs[] = {12, 12, 100, 900, 5000, w->big_max};
    size_t max = maxs[rng_below(&w->rng, rng_below(&w->rng, 4) ? 3 : 6)];

    return slice_of(w->noise + rng_below(&w->rng, BIG_MAX),
                    rng_below(&w->rng, max));
}

static uint64_t
random_expiry(struct world *w)
{
    return w->now + 1 + rng_below(&w->rng, 400);
}

/* Some fields, each once or, rarely, more often. */
static void
choose_fields(struct world *w, unsigned step)
{
    w->n = 1 + (rng_below(&w->rng, 3) == 0
                    ? (unsigned)rng_below(&w->rng, AT_ONCE - 1)
                    : 0);
    for (unsigned i = 0; i < w->n; i++) {
        w->which[i] = (unsigned)rng_below(&w->rng, FIELDS);
        w->words[i * step] = field_of(w->which[i], w->names[i]);
    }
}

static nq_rc
call_set(struct world *w, struct slice key, uint64_t expire_ms, uint64_t *added)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(w->env.db, 0, key, &e);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    return fields_set(w->env.db, 0, key, &e, rc == NQ_OK, w->words, w->n,
                      expire_ms, "hset", added);
}

static void
do_set(struct world *w, unsigned k, struct slice key)
{
    bool keep = rng_below(&w->rng, 4) == 0, found;
    uint64_t expire_ms = rng_below(&w->rng, 5) == 0 ? random_expiry(w) : 0;
    uint64_t want = 0, added;
    struct hash *h = hash_of(w, k, &found);

    choose_fields(w, 2);
    for (unsigned i = 0; i < w->n; i++) {
        struct cell *c = &h->cells[w->which[i]];
        uint64_t kept = is_alive(w, c) ? c->expire_ms : 0;

        w->words[2 * i + 1] = random_value(w);
        want += !is_alive(w, c);
        cell_set(c, w->words[2 * i + 1], keep ? kept : expire_ms);
    }
    assert_int_equal(
        env_run(&w->env,
                call_set(w, key, keep ? FIELDS_KEEP_TTL : expire_ms, &added)),
        NQ_OK);
    assert_int_equal(added, want);
}

static nq_rc
call_del(struct world *w, struct slice key, uint64_t *removed)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(w->env.db, 0, key, &e);

    *removed = 0;
    if (rc != NQ_OK)
        return rc;
    return fields_del(w->env.db, 0, key, &e, w->words, w->n, "hdel", removed);
}

static void
do_del(struct world *w, unsigned k, struct slice key)
{
    uint64_t want = 0, removed;
    bool found;
    struct hash *h = hash_of(w, k, &found);

    choose_fields(w, 1);
    for (unsigned i = 0; i < w->n; i++) {
        struct cell *c = &h->cells[w->which[i]];

        want += is_alive(w, c);
        c->is_there = false;
    }
    assert_int_equal(env_run(&w->env, call_del(w, key, &removed)),
                     found ? NQ_OK : NQ_NOTFOUND);
    assert_int_equal(removed, want);
}

static enum fields_result
model_expire(struct world *w, struct cell *c, uint64_t at_ms, unsigned when)
{
    uint64_t was = c->expire_ms;

    if (!is_alive(w, c))
        return FIELDS_ABSENT;
    if (at_ms == 0 && was == 0)
        return FIELDS_NO_TTL;
    if (at_ms != 0 &&
        ((when == FIELDS_NX && was != 0) || (when == FIELDS_XX && was == 0) ||
         (when == FIELDS_GT && (was == 0 || at_ms <= was)) ||
         (when == FIELDS_LT && was != 0 && at_ms >= was)))
        return FIELDS_REFUSED;
    c->expire_ms = at_ms;
    if (at_ms == 0 || at_ms > w->now)
        return FIELDS_DONE;
    c->is_there = false;
    return FIELDS_DELETED;
}

static nq_rc
call_expire(struct world *w, struct slice key, uint64_t at_ms, unsigned when,
            enum fields_result *results)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(w->env.db, 0, key, &e);

    if (rc != NQ_OK)
        return rc;
    return fields_expire(w->env.db, 0, key, &e, w->words, w->n, at_ms, when,
                         results);
}

static void
do_expire(struct world *w, unsigned k, struct slice key)
{
    static const unsigned whens[] = {0,         0,         0,        FIELDS_NX,
                                     FIELDS_XX, FIELDS_GT, FIELDS_LT};
    unsigned when = whens[rng_below(&w->rng, nq_countof(whens))];
    enum fields_result want[AT_ONCE], results[AT_ONCE];
    uint64_t at_ms = random_expiry(w);
    bool found;
    struct hash *h = hash_of(w, k, &found);

    if (rng_below(&w->rng, 5) == 0)
        at_ms = rng_below(&w->rng, 2) ? 0 : w->now - 1;
    choose_fields(w, 1);
    for (unsigned i = 0; i < w->n; i++)
        want[i] = model_expire(w, &h->cells[w->which[i]], at_ms, when);
    assert_int_equal(
        env_run(&w->env, call_expire(w, key, at_ms, when, results)),
        found ? NQ_OK : NQ_NOTFOUND);
    for (unsigned i = 0; found && i < w->n; i++)
        assert_int_equal(results[i], want[i]);
}

static void
do_expire_key(struct world *w, unsigned k, struct slice key)
{
    uint64_t at_ms = rng_below(&w->rng, 2) ? random_expiry(w) : 0;
    bool found;
    struct hash *h = hash_of(w, k, &found);

    assert_int_equal(env_expire(&w->env, 0, key, at_ms),
                     found ? NQ_OK : NQ_NOTFOUND);
    if (found)
        h->expire_ms = at_ms;
}

static void
do_rename_or_copy(struct world *w, unsigned k, struct slice key)
{
    unsigned to_k = (unsigned)rng_below(&w->rng, KEYS);
    bool copy = rng_below(&w->rng, 2), found, to_found;
    struct env *e = &w->env;
    char name[16];
    struct slice to_key = key_of(to_k, name);
    struct hash *from = hash_of(w, k, &found), *to;
    nq_rc rc;

    if (to_k == k)
        return;
    to = hash_of(w, to_k, &to_found);
    rc = copy ? env_run(e, db_copy(e->db, 0, key, 0, to_key))
              : env_run(e, db_rename(e->db, 0, key, 0, to_key));
    assert_int_equal(rc, found ? NQ_OK : NQ_NOTFOUND);
    if (!found)
        return;
    for (unsigned i = 0; i < FIELDS; i++) {
        struct cell *c = &from->cells[i];

        to->cells[i].is_there = false;
        if (c->is_there)
            cell_set(&to->cells[i], slice_of(c->val, c->len), c->expire_ms);
    }
    to->expire_ms = from->expire_ms;
    if (!copy)
        hash_clear(from);
}

static void
do_del_key(struct world *w, unsigned k, struct slice key)
{
    bool found;
    struct hash *h = hash_of(w, k, &found);

    assert_int_equal(env_run(&w->env, db_del(w->env.db, 0, key)),
                     found ? NQ_OK : NQ_NOTFOUND);
    hash_clear(h);
}

static void
step(struct world *w)
{
    unsigned k = (unsigned)rng_below(&w->rng, KEYS);
    unsigned what = (unsigned)rng_below(&w->rng, 100);
    char name[16];
    struct slice key = key_of(k, name);

    if (what < 45)
        do_set(w, k, key);
    else if (what < 63)
        do_del(w, k, key);
    else if (what < 83)
        do_expire(w, k, key);
    else if (what < 88)
        do_expire_key(w, k, key);
    else if (what < 92)
        do_rename_or_copy(w, k, key);
    else if (what < 94)
        do_del_key(w, k, key);
    else
        compare_key(w, k);
}

static void
pass_time(struct world *w)
{
    w->now += rng_below(&w->rng, 60);
    clock_freeze_wall(w->now);
}

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
        pass_time(w);
        env_open(e);
        break;
    case 3:
        env_settle(e);
        break;
    default:
        break;
    }
    env_check(e);
}

static void
run(struct world *w, uint32_t page_size, uint64_t pool_bytes)
{
    w->big_max = nq_min(pool_bytes / 16, BIG_MAX);
    env_init(&w->env, page_size, pool_bytes);
    for (int round = 0; round < ROUNDS; round++) {
        for (int n = 0; n < STEPS; n++) {
            step(w);
            if (rng_below(&w->rng, 4) == 0)
                env_turn(&w->env);
            if (rng_below(&w->rng, 6) == 0)
                pass_time(w);
            if (rng_below(&w->rng, 100) == 0)
                env_checkpoint(&w->env);
        }
        end_round(w);
    }
    compare_all(w);
    env_check(&w->env);
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
    w->noise = nq_malloc(2 * BIG_MAX);
    for (size_t i = 0; i < 2 * BIG_MAX; i++)
        w->noise[i] = (uint8_t)(rng_next(&w->rng) % 97 + 20);
    w->now = NOW;
    clock_freeze_wall(NOW);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    for (unsigned k = 0; k < KEYS; k++)
        for (unsigned i = 0; i < FIELDS; i++)
            nq_free(w->hashes[k].cells[i].val);
    nq_free(w->noise);
    nq_free(w);
    clock_freeze_wall(0);
    return 0;
}

static void
hashes_equal_the_model_in_memory(void **state)
{
    run(*state, 1024, 32 << 20);
}

static void
hashes_equal_the_model_when_larger_than_the_pool(void **state)
{
    struct world *w = *state;

    run(w, 1024, 1 << 20);
    assert_true(w->env.misses > 0);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(hashes_equal_the_model_in_memory),
        T(hashes_equal_the_model_when_larger_than_the_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
