/* Waiting for keys, with a command of the test's own on strings: who is
 * served, in which order, and what becomes of those who are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/heap.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/args.h"
#include "cmd/reply.h"
#include "cmd/wait_key.h"
#include "db/string.h"
#include "store/store.h"

#define POOL (16u << 20)

/* --- a command that waits ------------------------------------------------ */

/* How the command of the test behaves; cleared for each test. */
static struct {
    enum db_type type;
    uint64_t same;
    bool is_picky;    /* wants a value of as many bytes as its argument says */
    bool is_reader;   /* leaves the value there */
    bool is_yielding; /* answers in two slices */
    unsigned runs, freed;
} play;

static void
free_state(void *state)
{
    play.freed++;
    nq_free(state);
}

static void
wait_on(struct req *rq)
{
    struct wait_for what = {
        .first = 2, .n = rq->argc - 3, .type = play.type, .same = play.same};

    if (rq->in_multi) {
        reply_null(rq);
        return;
    }
    if (!arg_timeout_ms(rq, rq->argc - 1, &what.deadline_ms))
        return;
    if (rq->state == NULL) {
        rq->state = nq_malloc(1);
        rq->free_state = free_state;
    }
    req_wait_keys(rq, &what);
}

static void
give(struct req *rq, uint32_t i, struct slice bytes)
{
    if (play.is_yielding && !rq->in_multi && play.runs % 2 == 0) {
        req_yield(rq);
        return;
    }
    reply_array(rq, 2);
    reply_bulk(rq, rq->argv[i]);
    reply_bulk(rq, bytes);
    if (!play.is_reader)
        assert_int_equal(db_del(rq->db, rq->dbi, rq->argv[i]), NQ_OK);
}

/* TAKE length key ... ms: the first of the strings that is there is deleted
 * and told. */
static void
cmd_take(struct req *rq)
{
    play.runs++;
    for (uint32_t i = 2; i + 1 < rq->argc; i++) {
        struct slice bytes;
        struct entry e;
        nq_rc rc = NQ_NOTFOUND;

        if (wait_looks_at(rq, i))
            rc = req_find_write(rq, i, &e);
        if (rc == NQ_NOTFOUND)
            continue;
        if (rc == NQ_OK)
            rc = string_bytes(rq->db, &e, rq->arena, &bytes);
        if (rc != NQ_OK) {
            reply_rc(rq, rc);
            return;
        }
        if (play.is_picky &&
            bytes.len != (size_t)(rq->argv[1].p[0] - (uint8_t)'0'))
            continue;
        give(rq, i, bytes);
        return;
    }
    wait_on(rq);
}

static struct command_stats take_stats;
static const struct command take = {.name = "take",
                                    .fn = cmd_take,
                                    .arity = -4,
                                    .flags = CMD_WRITE,
                                    .stats = &take_stats};

/* What dispatch does with such a command when it comes first. */
static void
begin(struct fake_client *c, const char *args)
{
    struct slice argv[8];
    char line[256], *save, *word;
    struct req rq = {.s = &c->s,
                     .engine = c->env->e,
                     .db = c->env->db,
                     .arena = &c->env->e->arena,
                     .cmd = &take,
                     .argv = argv,
                     .dbi = c->s.dbi};

    snprintf(line, sizeof line, "%s", args);
    for (word = strtok_r(line, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save))
        argv[rq.argc++] = slice_str(word);
    cmd_take(&rq);
    if (rq.outcome == REQ_WAIT)
        c->s.flags |= SESSION_BLOCKED;
    memset(line, 'x', sizeof line); /* the input is gone */
}

#define CLIENTS 4

struct bench {
    struct engine_env env;
    struct fake_client c[CLIENTS]; /* who wait */
    struct fake_client w;          /* who writes */
};

static struct bench *
setup(void)
{
    struct bench *b = nq_calloc(1, sizeof *b);

    memset(&play, 0, sizeof play);
    play.type = DB_LIST;
    engine_env_init(&b->env, POOL);
    for (int i = 0; i < CLIENTS; i++)
        fake_open(&b->env, &b->c[i]);
    fake_open(&b->env, &b->w);
    return b;
}

static void
teardown(struct bench *b)
{
    for (int i = 0; i < CLIENTS; i++)
        if (b->c[i].s.magic == SESSION_MAGIC)
            fake_close(&b->c[i]);
    fake_close(&b->w);
    assert_int_equal(wait_count_keys(b->env.e), 0);
    engine_env_fini(&b->env);
    nq_free(b);
}

static void
expect_read(struct fake_client *c, const char *want)
{
    assert_string_equal(fake_read(c), want);
}

static void
turn(struct bench *b)
{
    engine_env_turn(&b->env);
}

/* --- the order ----------------------------------------------------------- */

static void
who_began_first_is_served_first(void **state)
{
    struct bench *b = setup();

    (void)state;
    begin(&b->c[1], "take 0 k 0");
    begin(&b->c[0], "take 0 k 0");
    assert_true(wait_is_waiting(&b->c[0].s));
    fake_expect(&b->w, "set k one", "+OK|");
    expect_read(&b->c[1], "*2|$1|k|$3|one|");
    expect_read(&b->c[0], "");
    fake_expect(&b->w, "exists k", ":0|");
    fake_expect(&b->w, "set k two", "+OK|");
    expect_read(&b->c[0], "*2|$1|k|$3|two|");
    fake_expect(&b->w, "set k three", "+OK|");
    fake_expect(&b->w, "get k", "$5|three|");
    assert_int_equal(play.freed, 2);
    teardown(b);
}

static void
who_waits_again_keeps_its_place(void **state)
{
    struct bench *b = setup();

    (void)state;
    play.is_picky = true;
    play.type = DB_STREAM; /* where each wants something else */
    begin(&b->c[0], "take 3 k 0");
    begin(&b->c[1], "take 3 k 0");
    fake_expect(&b->w, "set k four", "+OK|"); /* for nobody */
    expect_read(&b->c[0], "");
    fake_expect(&b->w, "set k two", "+OK|");
    expect_read(&b->c[0], "*2|$1|k|$3|two|");
    expect_read(&b->c[1], "");
    assert_int_equal(play.runs, 2 + 2 + 2); /* the last one looked in vain */
    teardown(b);
}

static void
the_reply_comes_before_the_next_command_of_others(void **state)
{
    struct bench *b = setup();
    struct fake_client *who[] = {&b->w, &b->c[1], &b->w};

    (void)state;
    begin(&b->c[0], "take 0 k 0");
    fake_batch(who, (const char *const[]){"set k v", "get k", "exists k"}, 3);
    expect_read(&b->c[0], "*2|$1|k|$1|v|");
    expect_read(&b->c[1], "$-1|");
    expect_read(&b->w, "+OK|:0|");
    teardown(b);
}

static void
a_whole_transaction_comes_before_who_waits(void **state)
{
    struct bench *b = setup();

    (void)state;
    begin(&b->c[0], "take 0 k 0");
    fake_expect(&b->w, "multi", "+OK|");
    fake_expect(&b->w, "set k one", "+QUEUED|");
    fake_expect(&b->w, "del k", "+QUEUED|");
    fake_expect(&b->w, "exec", "*2|+OK|:1|");
    expect_read(&b->c[0], "");
    fake_expect(&b->w, "multi", "+OK|");
    fake_expect(&b->w, "set k one", "+QUEUED|");
    fake_expect(&b->w, "set k two", "+QUEUED|");
    fake_expect(&b->w, "exec", "*2|+OK|+OK|");
    expect_read(&b->c[0], "*2|$1|k|$3|two|");
    teardown(b);
}

static void
the_key_that_changed_is_taken_whatever_came_before(void **state)
{
    struct bench *b = setup();

    (void)state;
    begin(&b->c[0], "take 0 a b a b 0"); /* named twice: waited for once */
    fake_expect(&b->w, "multi", "+OK|");
    fake_expect(&b->w, "set b 2", "+QUEUED|");
    fake_expect(&b->w, "set a 1", "+QUEUED|");
    fake_expect(&b->w, "exec", "*2|+OK|+OK|");
    expect_read(&b->c[0], "*2|$1|b|$1|2|");
    turn(b);
    begin(&b->c[0], "take 0 b a 0"); /* there already: by the arguments */
    expect_read(&b->c[0], "*2|$1|a|$1|1|");
    teardown(b);
}

static void
keys_appear_by_rename_copy_move_and_swapdb(void **state)
{
    static const char *const ways[][2] = {
        {"rename", "rename src k"},
        {"copy", "copy src k"},
        {"move", "multi|select 1|move k 0|select 0|exec"},
        {"swapdb", "swapdb 0 1"}};

    (void)state;
    for (size_t i = 0; i < nq_countof(ways); i++) {
        struct bench *b = setup();
        char lines[128], *save, *line;

        fake_expect(&b->w, "set src v", "+OK|");
        fake_expect(&b->w, "select 1", "+OK|");
        fake_expect(&b->w, "set k v", "+OK|");
        fake_expect(&b->w, "select 0", "+OK|");
        begin(&b->c[0], "take 0 k 0");
        snprintf(lines, sizeof lines, "%s", ways[i][1]);
        for (line = strtok_r(lines, "|", &save); line != NULL;
             line = strtok_r(NULL, "|", &save))
            (void)fake_ask(&b->w, line);
        assert_string_equal(fake_read(&b->c[0]), "*2|$1|k|$1|v|");
        teardown(b);
    }
}

/* Of a group, one that looked in vain speaks for the others. */
static void
who_wants_the_same_is_not_asked_again(void **state)
{
    struct bench *b = setup();

    (void)state;
    play.type = DB_STREAM;
    play.same = 7;
    for (int i = 0; i < CLIENTS; i++)
        begin(&b->c[i], "take 0 k 0");
    play.runs = 0;
    fake_expect(&b->w, "set k v", "+OK|");
    expect_read(&b->c[0], "*2|$1|k|$1|v|");
    assert_int_equal(play.runs, 2);
    teardown(b);
}

static void
readers_of_a_stream_are_all_served(void **state)
{
    struct bench *b = setup();

    (void)state;
    play.type = DB_STREAM;
    play.is_reader = true;
    for (int i = 0; i < CLIENTS; i++)
        begin(&b->c[i], "take 0 k 0");
    fake_expect(&b->w, "set k v", "+OK|");
    for (int i = 0; i < CLIENTS; i++)
        expect_read(&b->c[i], "*2|$1|k|$1|v|");
    teardown(b);
}

/* --- the end of a wait --------------------------------------------------- */

static void
a_deadline_answers_null(void **state)
{
    struct bench *b = setup();

    (void)state;
    begin(&b->c[0], "take 0 k 1");
    begin(&b->c[1], "take 0 k 600000");
    begin(&b->c[2], "take 0 j k 2");
    usleep(5000);
    assert_int_equal(engine_next_due_ms(b->env.e), 0);
    turn(b);
    expect_read(&b->c[0], "*-1|");
    expect_read(&b->c[1], "");
    expect_read(&b->c[2], "*-1|");
    assert_false(b->c[0].s.flags & SESSION_BLOCKED);
    assert_true(b->c[1].s.flags & SESSION_BLOCKED);
    assert_int_equal(wait_count_keys(b->env.e), 1);
    assert_int_equal(play.freed, 2);
    teardown(b);
}

static void
client_unblock_ends_a_wait(void **state)
{
    struct bench *b = setup();
    char line[64];

    (void)state;
    begin(&b->c[0], "take 0 k 0");
    begin(&b->c[1], "take 0 k 0");
    snprintf(line, sizeof line, "client unblock %u error",
             (unsigned)b->c[0].s.id);
    fake_expect(&b->w, line, ":1|");
    expect_read(&b->c[0], "-UNBLOCKED client unblocked via CLIENT UNBLOCK|");
    fake_expect(&b->w, line, ":0|");
    snprintf(line, sizeof line, "client unblock %u", (unsigned)b->c[1].s.id);
    fake_expect(&b->w, "multi", "+OK|");
    fake_expect(&b->w, "set k v", "+QUEUED|");
    fake_expect(&b->w, line, "+QUEUED|");
    fake_expect(&b->w, "exec", "*2|+OK|:1|");
    expect_read(&b->c[1], "*-1|"); /* it is not given what was pushed */
    fake_expect(&b->w, "get k", "$1|v|");
    teardown(b);
}

static void
what_follows_waits_and_goes_on_after_the_reply(void **state)
{
    struct bench *b = setup();

    (void)state;
    begin(&b->c[0], "take 0 k 0");
    fake_send(&b->c[0], "echo x");
    fake_send(&b->c[0], "echo y");
    turn(b);
    expect_read(&b->c[0], "");
    fake_expect(&b->w, "set k v", "+OK|");
    turn(b);
    expect_read(&b->c[0], "*2|$1|k|$1|v|$1|x|$1|y|");
    teardown(b);
}

static void
who_is_gone_is_served_nothing(void **state)
{
    struct bench *b = setup();

    (void)state;
    begin(&b->c[0], "take 0 k j 0");
    begin(&b->c[1], "take 0 k 0");
    begin(&b->c[2], "take 0 k 0");
    fake_close(&b->c[0]);
    session_lost(&b->c[1].s);
    assert_false(b->c[1].s.flags & SESSION_BLOCKED);
    session_end(&b->c[2].s, false);
    fake_expect(&b->w, "set k v", "+OK|");
    fake_expect(&b->w, "get k", "$1|v|");
    assert_int_equal(play.freed, 3);
    teardown(b);
}

static void
a_pause_holds_back_who_waits(void **state)
{
    struct bench *b = setup();

    (void)state;
    begin(&b->c[0], "take 0 k 0");
    fake_expect(&b->w, "multi", "+OK|");
    fake_expect(&b->w, "set k v", "+QUEUED|");
    fake_expect(&b->w, "client pause 100000 write", "+QUEUED|");
    fake_expect(&b->w, "exec", "*2|+OK|+OK|");
    turn(b);
    expect_read(&b->c[0], "");
    assert_int_not_equal(engine_next_due_ms(b->env.e), 0);
    fake_expect(&b->w, "client unpause", "+OK|");
    turn(b);
    expect_read(&b->c[0], "*2|$1|k|$1|v|");
    teardown(b);
}

/* --- pages and slices ---------------------------------------------------- */

/* Two wait for a key that comes to be with its page on disk. */
static void
wait_for_cold(struct bench *b)
{
    begin(&b->c[0], "take 0 cold 0");
    begin(&b->c[1], "take 0 cold 0");
    fake_expect(&b->w, "select 1", "+OK|");
    fake_expect(&b->w, "set cold v", "+OK|");
    engine_env_cool(&b->env);
    fake_expect(&b->w, "swapdb 0 1", "+OK|"); /* its page is being read */
    expect_read(&b->c[0], "");
}

static void
turn_until_served(struct bench *b, const struct fake_client *c)
{
    for (int i = 0; i < 1000 && c->s.wait != NULL; i++) {
        turn(b);
        usleep(100);
    }
}

static void
who_misses_pages_keeps_its_place(void **state)
{
    struct bench *b = setup();

    (void)state;
    wait_for_cold(b);
    assert_true(b->c[0].s.parked != NULL);
    assert_true(wait_is_waiting(&b->c[0].s));
    turn_until_served(b, &b->c[0]);
    expect_read(&b->c[0], "*2|$4|cold|$1|v|");
    expect_read(&b->c[1], "");
    teardown(b);
}

/* Nor does it lose its place at a key that changes meanwhile.  Which of the
 * two it looked at first, and gets, is left open. */
static void
who_misses_pages_keeps_its_place_at_other_keys(void **state)
{
    struct bench *b = setup();
    bool has_cold;

    (void)state;
    begin(&b->c[2], "take 0 cold warm 0");
    begin(&b->c[3], "take 0 warm 0");
    wait_for_cold(b); /* behind the first */
    assert_true(b->c[2].s.parked != NULL);
    fake_expect(&b->w, "select 0", "+OK|");
    fake_expect(&b->w, "set warm w", "+OK|");
    for (int i = 0; i < 100; i++)
        turn(b);
    has_cold = strstr(fake_read(&b->c[2]), "cold") != NULL;
    expect_read(&b->c[3], has_cold ? "*2|$4|warm|$1|w|" : "");
    expect_read(&b->c[0], has_cold ? "" : "*2|$4|cold|$1|v|");
    teardown(b);
}

static void
who_stands_behind_a_miss_is_served_when_that_one_leaves(void **state)
{
    struct bench *b = setup();

    (void)state;
    wait_for_cold(b);
    assert_true(b->c[0].s.parked != NULL);
    fake_close(&b->c[0]);
    turn_until_served(b, &b->c[1]);
    expect_read(&b->c[1], "*2|$4|cold|$1|v|");
    teardown(b);
}

static void
a_woken_command_may_answer_in_slices(void **state)
{
    struct bench *b = setup();

    (void)state;
    play.is_yielding = true;
    begin(&b->c[0], "take 0 k 0");
    fake_send(&b->c[0], "echo x");
    fake_expect(&b->w, "set k v", "+OK|");
    expect_read(&b->c[0], "");
    assert_false(wait_is_waiting(&b->c[0].s));
    turn(b);
    expect_read(&b->c[0], "*2|$1|k|$1|v|$1|x|");
    assert_int_equal(play.freed, 1);
    teardown(b);
}

static void
what_is_gone_between_slices_is_waited_for_again(void **state)
{
    struct bench *b = setup();

    (void)state;
    play.is_yielding = true;
    begin(&b->c[0], "take 0 j k 600000");
    fake_expect(&b->w, "set k v", "+OK|");
    assert_false(wait_is_waiting(&b->c[0].s));
    fake_expect(&b->w, "del k", ":1|");
    fake_expect(&b->w, "set j u", "+OK|"); /* nobody waits for it now */
    turn(b);
    play.is_yielding = false;
    turn(b);
    expect_read(&b->c[0], "*2|$1|j|$1|u|");
    assert_int_equal(wait_count_keys(b->env.e), 0);
    assert_int_equal(play.freed, 1);
    teardown(b);
}

/* --- the heap ------------------------------------------------------------ */

#define NODES 200

static void
a_heap_gives_the_least_whatever_is_removed(void **state)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : 4711;
    struct heap_node nodes[NODES] = {{0}};
    struct heap h = HEAP_INIT;
    struct rng rng;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    for (int step = 0; step < 20000; step++) {
        struct heap_node *n = &nodes[rng_below(&rng, NODES)], *first;
        uint64_t least = UINT64_MAX;

        if (heap_has(n))
            heap_remove(&h, n);
        else
            heap_insert(&h, n, rng_below(&rng, 1000));
        for (int i = 0; i < NODES; i++)
            if (heap_has(&nodes[i]))
                least = nq_min(least, nodes[i].key);
        first = heap_first(&h);
        assert_true(first == NULL ? least == UINT64_MAX : first->key == least);
    }
    heap_fini(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_began_first_is_served_first),
        cmocka_unit_test(who_waits_again_keeps_its_place),
        cmocka_unit_test(the_reply_comes_before_the_next_command_of_others),
        cmocka_unit_test(a_whole_transaction_comes_before_who_waits),
        cmocka_unit_test(the_key_that_changed_is_taken_whatever_came_before),
        cmocka_unit_test(keys_appear_by_rename_copy_move_and_swapdb),
        cmocka_unit_test(who_wants_the_same_is_not_asked_again),
        cmocka_unit_test(readers_of_a_stream_are_all_served),
        cmocka_unit_test(a_deadline_answers_null),
        cmocka_unit_test(client_unblock_ends_a_wait),
        cmocka_unit_test(what_follows_waits_and_goes_on_after_the_reply),
        cmocka_unit_test(who_is_gone_is_served_nothing),
        cmocka_unit_test(a_pause_holds_back_who_waits),
        cmocka_unit_test(who_misses_pages_keeps_its_place),
        cmocka_unit_test(who_misses_pages_keeps_its_place_at_other_keys),
        cmocka_unit_test(
            who_stands_behind_a_miss_is_served_when_that_one_leaves),
        cmocka_unit_test(a_woken_command_may_answer_in_slices),
        cmocka_unit_test(what_is_gone_between_slices_is_waited_for_again),
        cmocka_unit_test(a_heap_gives_the_least_whatever_is_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
