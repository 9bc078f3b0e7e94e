/* Sets against a plain model: random changes with tiny pages and pools,
 * checkpoints, restarts and crashes in between, everything compared; the
 * encodings that are reported; what is raised. */
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
#include "db/hold.h"
#include "db/set.h"
#include "os/clock.h"

#define SETS 5
#define MEMBERS 400 /* that a set may have */
#define AT_ONCE 12
#define ROUNDS 25
#define STEPS 120
#define NOW UINT64_C(1700000000000)
#define NAME_ROOM 800

struct model {
    bool has[MEMBERS];
    unsigned count;
    char encoding[16]; /* as told before the last crash */
};

struct world {
    struct env env;
    struct rng rng;
    struct model sets[SETS];
    struct buf events;
};

/* --- names --------------------------------------------------------------- */

static struct slice
set_name(unsigned k, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "set:%u", k));
}

/* In the order of their numbers.  Those of the first set are integers. */
static struct slice
member_name(unsigned k, unsigned i, char dst[NAME_ROOM])
{
    int n = snprintf(dst, NAME_ROOM, k == 0 ? "%u" : "m%u", 1000 + i);
    unsigned more = k == 0 ? 0 : i % 31 == 0 ? 600 : i % 7 == 0 ? 70 : i % 3;

    memset(dst + n, 'x', more);
    return slice_of(dst, (size_t)n + more);
}

/* --- changes ------------------------------------------------------------- */

static nq_rc
find(struct env *e, struct slice key, struct entry *out, bool *found)
{
    nq_rc rc;

    *out = (struct entry){0};
    rc = db_find_write(e->db, 0, key, out);
    *found = rc == NQ_OK;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

static nq_rc
add(struct env *e, struct slice key, const struct slice *members, unsigned n,
    uint64_t *added)
{
    struct entry old;
    bool found;
    nq_rc rc = find(e, key, &old, &found);

    return rc == NQ_OK
               ? set_add(e->db, 0, key, &old, found, members, n, "sadd", added)
               : rc;
}

static nq_rc
take(struct env *e, struct slice key, const struct slice *members, unsigned n,
     uint64_t *removed)
{
    struct entry old;
    bool found;
    nq_rc rc = find(e, key, &old, &found);

    *removed = 0;
    return rc == NQ_OK && found
               ? set_remove(e->db, 0, key, &old, members, n, "srem", removed)
               : rc;
}

static nq_rc
pop(struct env *e, struct slice key, uint64_t rank, struct slice *member)
{
    struct entry old;
    bool found;
    nq_rc rc = find(e, key, &old, &found);

    return rc == NQ_OK
               ? set_pop(e->db, 0, key, &old, rank, "spop", &e->arena, member)
               : rc;
}

/* Several members, the same one perhaps twice. */
static unsigned
some_members(struct world *w, unsigned k, unsigned *which,
             struct slice *members, char (*names)[NAME_ROOM])
{
    unsigned n = 1 + (unsigned)rng_below(&w->rng, AT_ONCE);

    for (unsigned i = 0; i < n; i++) {
        which[i] = (unsigned)rng_below(&w->rng, MEMBERS);
        members[i] = member_name(k, which[i], names[i]);
    }
    return n;
}

static void
do_members(struct world *w, unsigned k, bool adding)
{
    char names[AT_ONCE][NAME_ROOM], name[16];
    unsigned which[AT_ONCE], changed = 0;
    struct model *m = &w->sets[k];
    struct slice members[AT_ONCE], key = set_name(k, name);
    unsigned n = some_members(w, k, which, members, names);
    uint64_t told;

    assert_int_equal(
        env_run(&w->env, adding ? add(&w->env, key, members, n, &told)
                                : take(&w->env, key, members, n, &told)),
        NQ_OK);
    for (unsigned i = 0; i < n; i++) {
        changed += m->has[which[i]] != adding;
        m->has[which[i]] = adding;
    }
    assert_int_equal(told, changed);
    m->count += adding ? changed : -changed;
}

static void
do_pop(struct world *w, unsigned k)
{
    struct model *m = &w->sets[k];
    unsigned rank, i = 0, seen = 0;
    char name[16], text[NAME_ROOM];
    struct slice member;

    if (m->count == 0)
        return;
    rank = (unsigned)rng_below(&w->rng, m->count);
    assert_int_equal(
        env_run(&w->env, pop(&w->env, set_name(k, name), rank, &member)),
        NQ_OK);
    while (!m->has[i] || seen++ < rank)
        i++;
    assert_true(slice_eq(member, member_name(k, i, text)));
    m->has[i] = false;
    m->count--;
}

static void
do_del(struct world *w, unsigned k)
{
    struct env *e = &w->env;
    char name[16];
    nq_rc rc = env_run(e, db_del(e->db, 0, set_name(k, name)));

    assert_int_equal(rc, w->sets[k].count > 0 ? NQ_OK : NQ_NOTFOUND);
    memset(&w->sets[k], 0, sizeof w->sets[k]);
}

/* --- comparing ----------------------------------------------------------- */

/* The set against the model in one command. */
static nq_rc
compare(struct world *w, unsigned k, struct slice key)
{
    char text[NAME_ROOM];
    const struct model *m = &w->sets[k];
    struct coll_cursor cu;
    struct entry e;
    struct coll c;
    bool found;
    nq_rc rc = find(&w->env, key, &e, &found);

    if (rc != NQ_OK)
        return rc;
    assert_int_equal(found, m->count > 0);
    rc = set_open(w->env.db, 0, key, &e, found, &c);
    assert_int_equal(c.count, m->count);
    coll_cursor_init(&cu, &c);
    if (rc == NQ_OK)
        rc = coll_first(&cu);
    for (unsigned i = 0; i < MEMBERS && rc == NQ_OK; i++) {
        if (!m->has[i])
            continue;
        assert_true(cu.valid);
        assert_true(slice_eq(cu.key, member_name(k, i, text)));
        rc = coll_next(&cu);
    }
    assert_true(rc != NQ_OK || !cu.valid);
    coll_cursor_fini(&cu);
    coll_close(&c);
    return rc;
}

static nq_rc
look_encoding(struct env *e, struct slice key, const char **out)
{
    struct entry entry;
    bool found;
    nq_rc rc = find(e, key, &entry, &found);

    *out = rc == NQ_OK && found ? set_encoding(&entry) : "none";
    return rc;
}

static const char *
encoding_of(struct env *e, struct slice key)
{
    const char *text;

    assert_int_equal(env_run(e, look_encoding(e, key, &text)), NQ_OK);
    return text;
}

static void
compare_all(struct world *w)
{
    char name[16];

    for (unsigned k = 0; k < SETS; k++)
        assert_int_equal(env_run(&w->env, compare(w, k, set_name(k, name))),
                         NQ_OK);
}

static void
note_encodings(struct world *w)
{
    char name[16];

    for (unsigned k = 0; k < SETS; k++)
        snprintf(w->sets[k].encoding, sizeof w->sets[k].encoding, "%s",
                 encoding_of(&w->env, set_name(k, name)));
}

static void
compare_encodings(struct world *w)
{
    char name[16];

    for (unsigned k = 0; k < SETS; k++)
        assert_string_equal(encoding_of(&w->env, set_name(k, name)),
                            w->sets[k].encoding);
}

/* --- the random test ----------------------------------------------------- */

static void
step(struct world *w)
{
    unsigned k = (unsigned)rng_below(&w->rng, SETS);
    unsigned what = (unsigned)rng_below(&w->rng, 100);
    bool is_growing = (w->sets[k].count + k) % 64 < 40;

    if (what < 80)
        do_members(w, k, what < (is_growing ? 55 : 25));
    else if (what < 95)
        do_pop(w, k);
    else if (what < 96)
        do_del(w, k);
    else
        compare_all(w);
}

static void
end_round(struct world *w)
{
    struct env *e = &w->env;

    switch (rng_below(&w->rng, 4)) {
    case 0:
        note_encodings(w);
        env_close(e, rng_below(&w->rng, 2));
        env_open(e);
        compare_encodings(w);
        break;
    case 1:
        note_encodings(w);
        env_crash(e);
        env_open(e);
        compare_encodings(w);
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
run(struct world *w, uint32_t page_size, uint64_t pool_bytes)
{
    env_init(&w->env, page_size, pool_bytes);
    for (int round = 0; round < ROUNDS; round++) {
        for (int n = 0; n < STEPS; n++) {
            step(w);
            if (rng_below(&w->rng, 4) == 0)
                env_turn(&w->env);
            if (rng_below(&w->rng, 100) == 0)
                env_checkpoint(&w->env);
        }
        end_round(w);
    }
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
    clock_freeze_wall(NOW);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    buf_fini(&w->events);
    nq_free(w);
    clock_freeze_wall(0);
    return 0;
}

static void
sets_equal_the_model_in_memory(void **state)
{
    run(*state, 4096, 16 << 20);
}

static void
sets_equal_the_model_when_larger_than_the_pool(void **state)
{
    struct world *w = *state;

    run(w, 4096, 256 << 10);
    assert_true(w->env.misses > 0);
}

/* --- encodings ----------------------------------------------------------- */

/* Adds `n` members named by `format` from `first` on, one by one. */
static void
add_each(struct env *e, struct slice key, const char *format, unsigned first,
         unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        char text[32];
        struct slice member =
            slice_of(text, (size_t)snprintf(text, sizeof text, format, i));
        uint64_t added;

        assert_int_equal(env_run(e, add(e, key, &member, 1, &added)), NQ_OK);
        assert_int_equal(added, 1);
    }
}

static void
encodings_are_those_of_redis_and_never_go_back(void **state)
{
    struct world *w = *state;
    struct env *e = &w->env;
    struct slice ints = slice_lit("ints"), texts = slice_lit("texts"), member;
    char longer[65];
    uint64_t n;

    env_init(e, 4096, 4 << 20);
    add_each(e, ints, "%u", 0, 512);
    assert_string_equal(encoding_of(e, ints), "intset");
    add_each(e, ints, "%u", 512, 1);
    assert_string_equal(encoding_of(e, ints), "hashtable");
    member = slice_lit("7");
    assert_int_equal(env_run(e, take(e, ints, &member, 1, &n)), NQ_OK);
    assert_string_equal(encoding_of(e, ints), "hashtable");

    add_each(e, texts, "%u", 0, 1);
    add_each(e, texts, "t%u", 0, 127);
    assert_string_equal(encoding_of(e, texts), "listpack");
    add_each(e, texts, "t%u", 200, 1);
    assert_string_equal(encoding_of(e, texts), "hashtable");

    memset(longer, 'x', sizeof longer);
    member = slice_of(longer, sizeof longer);
    add_each(e, slice_lit("long"), "t%u", 0, 1);
    assert_int_equal(env_run(e, add(e, slice_lit("long"), &member, 1, &n)),
                     NQ_OK);
    assert_string_equal(encoding_of(e, slice_lit("long")), "hashtable");
    env_fini(e);
}

/* --- what is told -------------------------------------------------------- */

static void
changes_are_told_and_an_empty_set_is_gone(void **state)
{
    struct slice key = slice_lit("s"),
                 members[] = {slice_lit("a"), slice_lit("b")};
    struct world *w = *state;
    struct env *e = &w->env;
    struct slice member;
    uint64_t n;

    env_init(e, 4096, 4 << 20);
    e->events = &w->events;
    assert_int_equal(env_run(e, add(e, key, members, 2, &n)), NQ_OK);
    assert_int_equal(env_run(e, add(e, key, members, 1, &n)), NQ_OK);
    assert_int_equal(n, 0);
    assert_int_equal(env_run(e, take(e, key, members, 1, &n)), NQ_OK);
    assert_int_equal(env_run(e, take(e, key, members, 1, &n)), NQ_OK);
    assert_int_equal(n, 0);
    assert_int_equal(env_run(e, pop(e, key, 0, &member)), NQ_OK);
    buf_put_u8(&w->events, 0);
    assert_string_equal((const char *)w->events.p,
                        "n new 0 s\ns sadd 0 s\ns srem 0 s\ns spop 0 s\n"
                        "g del 0 s\n");
    assert_string_equal(encoding_of(e, key), "none");
    env_fini(e);
}

static void
a_member_too_long_changes_nothing(void **state)
{
    struct world *w = *state;
    struct env *e = &w->env;
    uint8_t *bytes = nq_calloc(1, BTREE_MAX_KEY + 1);
    struct slice members[] = {slice_lit("a"),
                              slice_of(bytes, BTREE_MAX_KEY + 1)};
    uint64_t n;

    env_init(e, 4096, 4 << 20);
    assert_int_equal(env_run(e, add(e, slice_lit("s"), members, 2, &n)),
                     NQ_EKEYLEN);
    assert_string_equal(encoding_of(e, slice_lit("s")), "none");
    members[1].len = BTREE_MAX_KEY;
    assert_int_equal(env_run(e, add(e, slice_lit("s"), members, 2, &n)), NQ_OK);
    assert_int_equal(n, 2);
    env_fini(e);
    nq_free(bytes);
}

/* What is there is not written again: a page that says more than the log would
 * hold back whoever reads it. */
static void
adding_what_is_there_leaves_the_pages_alone(void **state)
{
    struct world *w = *state;
    struct env *e = &w->env;
    struct slice key = slice_lit("s"), member = slice_lit("t5");
    uint64_t n;
    lsn gate;

    env_init(e, 4096, 4 << 20);
    add_each(e, key, "t%u", 0, 2000);
    env_turn(e);
    gate = env_record(e, 0, key).page_lsn;
    assert_int_equal(env_run(e, add(e, key, &member, 1, &n)), NQ_OK);
    assert_int_equal(n, 0);
    assert_int_equal(env_record(e, 0, key).page_lsn, gate);
    env_fini(e);
}

/* --- holds --------------------------------------------------------------- */

static void
a_set_that_is_held_takes_no_change(void **state)
{
    struct world *w = *state;
    struct env *e = &w->env;
    struct slice key = slice_lit("s"), member = slice_lit("new");
    struct hold hold = {.root = 0};
    struct entry old;
    struct record rec;
    bool found;
    uint64_t n;
    pgno root;

    env_init(e, 4096, 4 << 20);
    add_each(e, key, "t%u", 0, 2000);
    rec = env_record(e, 0, key);
    assert_true(coll_record_root(&rec, &root));
    assert_int_equal(hold_take(&hold, e->db, root), NQ_OK);
    assert_int_equal(env_run(e, add(e, key, &member, 1, &n)), NQ_EHELD);
    assert_int_equal(env_run(e, find(e, key, &old, &found)), NQ_OK);
    assert_int_equal(set_want(e->db, 0, key, &old, found, &member, 1),
                     NQ_EHELD);
    hold_end(&hold);
    assert_int_equal(env_run(e, add(e, key, &member, 1, &n)), NQ_OK);
    assert_int_equal(n, 1);
    env_fini(e);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(sets_equal_the_model_in_memory),
        T(sets_equal_the_model_when_larger_than_the_pool),
        T(encodings_are_those_of_redis_and_never_go_back),
        T(changes_are_told_and_an_empty_set_is_gone),
        T(a_member_too_long_changes_nothing),
        T(adding_what_is_there_leaves_the_pages_alone),
        T(a_set_that_is_held_takes_no_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
