/* Subscribers that are slower than what is published, by commands over clients
 * without sockets: what waits, what is dropped, and what they are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/history.h"
#include "cmd/pubsub.h"

#define CHANNELS 3
#define TEXT 1000 /* bytes of a message, so that few fill the window */

static struct engine_env env;

static int
set_up(void **state)
{
    (void)state;
    engine_env_init(&env, 8 << 20);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    engine_env_fini(&env);
    return 0;
}

static void
set_queue(enum pressure_policy policy, uint32_t messages)
{
    env.e->limits.queue = (struct queue_limits){
        .is_on = true,
        .messages = messages,
        .bytes = 1 << 30,
        .broadcast = 1 << 30,
        .drop_policy = (uint8_t)policy,
    };
}

/* --- a subscriber that counts ----------------------------------------------
 */

/* Of one channel: the number that comes next, if none is left out untold. */
struct tally {
    uint64_t next, told, gaps;
    uint64_t id; /* of the next message; 0: unknown */
};

struct reader {
    struct fake_client c;
    struct tally of[CHANNELS];
    struct buf in;
    size_t at;
};

static uint64_t published[CHANNELS];

static void
publish(unsigned channel)
{
    char text[TEXT + 1];
    char name = (char)('a' + channel);

    memset(text, 'x', TEXT);
    text[snprintf(text, sizeof text, "%llu ",
                  (unsigned long long)++published[channel])] = 'x';
    pubsub_publish(env.e, PUBSUB_CHANNEL, slice_of(&name, 1),
                   slice_of(text, TEXT), 0);
}

static void
reader_open(struct reader *r)
{
    *r = (struct reader){.in = BUF_INIT};
    fake_open(&env, &r->c);
}

static void
reader_close(struct reader *r)
{
    fake_close(&r->c);
    buf_fini(&r->in);
}

static void
reader_follow(struct reader *r, unsigned channel)
{
    char line[32];

    snprintf(line, sizeof line, "subscribe %c", 'a' + (int)channel);
    fake_send(&r->c, line);
    r->of[channel] = (struct tally){.next = published[channel] + 1};
}

/* One "$n\r\n...\r\n" or ":n\r\n" at `at`; false: it is not whole. */
static bool
skip_item(struct reader *r, size_t *at, struct slice *out)
{
    const char *p = (const char *)r->in.p + *at;
    const char *end = memchr(p, '\n', r->in.len - *at);
    size_t len;

    if (end == NULL)
        return false;
    len = p[0] == '$' ? strtoull(p + 1, NULL, 10) : 0;
    *out = slice_of(end + 1, len);
    *at = (size_t)(end + 1 - (const char *)r->in.p);
    if (p[0] == '$')
        *at += len + 2;
    return *at <= r->in.len;
}

static uint64_t
number_after(struct slice text, const char *word)
{
    const char *at = memmem(text.p, text.len, word, strlen(word));

    return at == NULL ? 0 : strtoull(at + strlen(word), NULL, 10);
}

static void
take_gap(struct tally *t, struct slice text)
{
    uint64_t count = number_after(text, "\"count\":");
    uint64_t from = number_after(text, "\"from\":\"");

    assert_true(count > 0);
    t->next += count;
    t->told += count;
    t->gaps++;
    if (t->id == 0)
        return;
    assert_int_equal(from, t->id);
    assert_int_equal(number_after(text, "\"to\":\""), from + count - 1);
    t->id += count;
}

static void
take_message(struct reader *r, struct slice channel, struct slice text)
{
    unsigned n = (unsigned)channel.p[channel.len - 1] - 'a';
    struct tally *t;

    assert_true(n < CHANNELS);
    t = &r->of[n];
    if (channel.len == 1) {
        assert_int_equal(strtoull((const char *)text.p, NULL, 10), t->next);
        t->next++;
        t->id += t->id != 0;
    } else if (slice_eq(slice_of(channel.p, 8), slice_lit("__gap__:"))) {
        take_gap(t, text);
    } else {
        t->id = number_after(text, "\"from\":\"");
    }
}

/* What has come so far. */
static void
take_all(struct reader *r)
{
    for (;;) {
        struct slice word, channel, text;
        size_t at = r->at;

        if (!skip_item(r, &at, &word) || !skip_item(r, &at, &word) ||
            !skip_item(r, &at, &channel) || !skip_item(r, &at, &text))
            return;
        r->at = at;
        if (slice_eq(word, slice_lit("message")))
            take_message(r, channel, text);
    }
}

/* Takes up to `n` bytes, as a client that reads so much. */
static void
reader_read(struct reader *r, size_t n)
{
    struct outq *q = &r->c.s.out;
    struct iovec iov;

    pressure_room(&r->c.s);
    while (n > 0 && outq_peek(q, UINT64_MAX, &iov, 1) > 0) {
        size_t part = nq_min(n, iov.iov_len);

        buf_put(&r->in, iov.iov_base, part);
        outq_consume(q, part);
        pressure_room(&r->c.s);
        n -= part;
    }
    take_all(r);
}

static struct pubsub_queue
queue_of(const struct reader *r)
{
    struct pubsub_queue q;

    pubsub_get_queue(&r->c.s, &q);
    return q;
}

/* --- policies --------------------------------------------------------------
 */

static void
without_a_policy_everything_waits_in_the_output(void **state)
{
    struct reader r;

    (void)state;
    set_queue(PRESSURE_NONE, 10);
    reader_open(&r);
    reader_follow(&r, 0);
    for (int i = 0; i < 300; i++)
        publish(0);
    assert_true(r.c.s.out.put > 300 * TEXT);
    assert_int_equal(queue_of(&r).messages, 0);
    reader_read(&r, SIZE_MAX);
    assert_int_equal(r.of[0].next, published[0] + 1);
    assert_int_equal(r.of[0].gaps, 0);
    reader_close(&r);
}

static void
drop_oldest_keeps_the_newest_and_tells_the_gap(void **state)
{
    struct reader r;
    uint64_t dropped;

    (void)state;
    set_queue(PRESSURE_OLDEST, 10);
    reader_open(&r);
    reader_follow(&r, 0);
    for (int i = 0; i < 300; i++)
        publish(0);
    dropped = queue_of(&r).dropped;
    assert_int_equal(queue_of(&r).messages, 10);
    assert_true(dropped > 200 && r.c.s.out.put < PRESSURE_WINDOW + 2 * TEXT);
    assert_int_equal(pressure_state_of(&r.c.s), PRESSURE_DROPPING);
    assert_int_equal(env.e->pressured[PRESSURE_DROPPING], 1);
    reader_read(&r, SIZE_MAX);
    assert_int_equal(r.of[0].next, published[0] + 1);
    assert_int_equal(r.of[0].gaps, 1);
    assert_int_equal(r.of[0].told, dropped);
    assert_int_equal(pressure_state_of(&r.c.s), PRESSURE_NORMAL);
    publish(0);
    reader_read(&r, SIZE_MAX);
    assert_int_equal(r.of[0].next, published[0] + 1);
    reader_close(&r);
}

static void
drop_newest_keeps_the_oldest_and_tells_the_gap_behind_them(void **state)
{
    struct reader r;
    uint64_t dropped;

    (void)state;
    set_queue(PRESSURE_NEWEST, 10);
    reader_open(&r);
    reader_follow(&r, 0);
    for (int i = 0; i < 300; i++)
        publish(0);
    dropped = queue_of(&r).dropped;
    assert_int_equal(queue_of(&r).messages, 10);
    reader_read(&r, PRESSURE_WINDOW + 4 * TEXT);
    assert_int_equal(r.of[0].gaps, 0); /* not yet: it is behind the queue */
    reader_read(&r, SIZE_MAX);
    assert_int_equal(r.of[0].gaps, 1);
    assert_int_equal(r.of[0].told, dropped);
    publish(0);
    reader_read(&r, SIZE_MAX);
    assert_int_equal(r.of[0].next, published[0] + 1);
    reader_close(&r);
}

static void
disconnect_ends_the_client_at_the_bound(void **state)
{
    struct reader slow, fast;

    (void)state;
    set_queue(PRESSURE_DISCONNECT, 10);
    reader_open(&slow);
    reader_open(&fast);
    reader_follow(&slow, 0);
    reader_follow(&fast, 0);
    for (int i = 0; i < 300; i++) {
        publish(0);
        reader_read(&fast, SIZE_MAX);
    }
    assert_true(slow.c.is_closed);
    assert_false(fast.c.is_closed);
    assert_int_equal(fast.of[0].next, published[0] + 1);
    reader_close(&slow);
    reader_close(&fast);
}

static void
bytes_bound_the_queue_too(void **state)
{
    struct reader r;

    (void)state;
    set_queue(PRESSURE_OLDEST, 1 << 30);
    env.e->limits.queue.bytes = 20 * TEXT;
    reader_open(&r);
    reader_follow(&r, 0);
    for (int i = 0; i < 300; i++)
        publish(0);
    assert_true(queue_of(&r).bytes < 22 * TEXT);
    reader_read(&r, SIZE_MAX);
    assert_int_equal(r.of[0].next, published[0] + 1);
    reader_close(&r);
}

static void
messages_that_wait_too_long_are_too_old(void **state)
{
    struct reader r;
    uint64_t messages;

    (void)state;
    set_queue(PRESSURE_OLDEST, 1 << 30);
    env.e->limits.queue.broadcast = 100;
    reader_open(&r);
    reader_follow(&r, 0);
    for (int i = 0; i < 90; i++)
        publish(0);
    messages = queue_of(&r).messages;
    assert_true(messages > 0 && queue_of(&r).dropped == 0);
    for (int i = 0; i < 150; i++)
        publish(1);
    assert_int_equal(queue_of(&r).messages, 0);
    assert_int_equal(queue_of(&r).dropped, messages);
    reader_read(&r, SIZE_MAX);
    assert_int_equal(r.of[0].next, published[0] + 1);
    reader_close(&r);
}

static void
nothing_comes_behind_the_end_of_a_subscription(void **state)
{
    struct reader r;
    const char *text, *end = "*3|$11|unsubscribe|$1|a|:0|";

    (void)state;
    set_queue(PRESSURE_OLDEST, 10);
    reader_open(&r);
    reader_follow(&r, 0);
    for (int i = 0; i < 300; i++)
        publish(0);
    fake_send(&r.c, "unsubscribe");
    text = fake_read(&r.c);
    assert_string_equal(strstr(text, "*3|$11|"), end);
    assert_null(r.c.s.subs);
    assert_int_equal(env.e->pressured[PRESSURE_DROPPING], 0);
    assert_int_equal(pubsub_waiting(env.e), 0);
    reader_close(&r);
}

static void
clients_are_listed_with_how_they_stand(void **state)
{
    struct reader r;
    struct fake_client other;

    (void)state;
    set_queue(PRESSURE_OLDEST, 10);
    reader_open(&r);
    fake_open(&env, &other);
    reader_follow(&r, 0);
    assert_non_null(strstr(fake_ask(&other, "client list"),
                           " push=normal push-queue=0 push-mem=0"));
    for (int i = 0; i < 70; i++)
        publish(0);
    assert_non_null(
        strstr(fake_ask(&other, "client list"), " push=throttled push-queue="));
    for (int i = 0; i < 70; i++)
        publish(0);
    assert_non_null(strstr(fake_ask(&other, "client list"),
                           " push=dropping push-queue=10 "));
    fake_close(&other);
    reader_close(&r);
    assert_int_equal(env.e->pressured[PRESSURE_DROPPING], 0);
}

/* --- history ---------------------------------------------------------------
 */

static void
set_history(uint32_t messages)
{
    env.e->limits.history = (struct history_limits){
        .messages = messages, .bytes = 1 << 30, .memory = 1 << 30};
}

static void
no_history(void)
{
    env.e->limits.history = (struct history_limits){0};
    history_trim(env.e);
}

static void
reader_replay(struct reader *r, unsigned channel, uint64_t kept)
{
    char line[32];

    snprintf(line, sizeof line, "nq.replay %c from start", 'a' + (int)channel);
    fake_send(&r->c, line);
    r->of[channel] = (struct tally){.next = published[channel] + 1 - kept};
}

static void
a_late_subscriber_gets_the_past_then_the_present(void **state)
{
    struct reader r;

    (void)state;
    set_queue(PRESSURE_NONE, 10);
    set_history(500);
    reader_open(&r);
    for (int i = 0; i < 1000; i++)
        publish(0);
    reader_replay(&r, 0, 500);
    reader_read(&r, 1); /* so that the first is not forgotten before */
    for (int i = 0; i < 400; i++) {
        publish(0);
        reader_read(&r, 3 * TEXT);
    }
    reader_read(&r, SIZE_MAX);
    assert_int_equal(r.of[0].next, published[0] + 1);
    assert_int_equal(r.of[0].gaps, 0);
    reader_close(&r);
    no_history();
}

static void
a_paused_replay_costs_no_memory_and_tells_what_is_gone(void **state)
{
    struct reader r;

    (void)state;
    set_queue(PRESSURE_OLDEST, 10);
    set_history(100);
    reader_open(&r);
    reader_replay(&r, 0, 0);
    for (int i = 0; i < 1000; i++)
        publish(0);
    assert_int_equal(pressure_state_of(&r.c.s), PRESSURE_PAUSED);
    assert_true(queue_of(&r).messages <= 1); /* the announcement */
    assert_true(r.c.s.out.put < PRESSURE_WINDOW + 2 * TEXT);
    reader_read(&r, SIZE_MAX);
    assert_int_equal(r.of[0].next, published[0] + 1);
    assert_int_equal(r.of[0].gaps, 1);
    assert_true(r.of[0].id > 0 && r.of[0].told > 800);
    assert_int_equal(pressure_state_of(&r.c.s), PRESSURE_NORMAL);
    reader_close(&r);
    no_history();
}

static void
history_is_told_by_its_ids(void **state)
{
    struct fake_client c;
    unsigned long long first;
    char line[64];
    const char *text;

    (void)state;
    fake_open(&env, &c);
    fake_expect(&c, "nq.history h 5",
                "-ERR no history of channels is kept; see "
                "pubsub.history_messages|");
    set_history(3);
    fake_expect(&c, "nq.history h 5", "*0|");
    for (int i = 0; i < 5; i++)
        fake_expect(&c, "publish h text", ":0|");
    text = fake_ask(&c, "nq.history h 5");
    assert_memory_equal(text, "*3|*3|$16|", 10);
    first = strtoull(text + 10, NULL, 10);
    snprintf(line, sizeof line, "nq.history h 1 from %llu", first + 1);
    text = fake_ask(&c, line);
    assert_int_equal(strtoull(text + 10, NULL, 10), first + 1);
    snprintf(line, sizeof line, "nq.history h 1 from %llu", first - 1);
    assert_memory_equal(fake_ask(&c, line), "-NOHISTORY message ", 19);
    snprintf(line, sizeof line, "nq.history h 1 from %llu", first + 3);
    fake_expect(&c, line, "*0|");
    snprintf(line, sizeof line, "nq.replay h from %llu", first + 4);
    assert_non_null(strstr(fake_ask(&c, line), "is yet to come"));
    fake_expect(&c, "nq.history h x",
                "-ERR value is not an integer or out of range|");
    fake_expect(&c, "nq.history h 1 from x",
                "-ERR the id of a message is a number above 0, or START|");
    fake_expect(&c, "nq.history h 1 after 5", "-ERR syntax error|");
    fake_close(&c);
    no_history();
}

static void
history_is_bounded_by_age_bytes_and_in_all(void **state)
{
    struct history_stats h;
    struct slice text = slice_lit("0123456789");

    (void)state;
    set_history(1 << 20);
    env.e->limits.history.bytes = 2000;
    for (int i = 0; i < 1000; i++)
        pubsub_publish(env.e, PUBSUB_CHANNEL, slice_lit("h"), text, 0);
    history_get_stats(env.e, &h);
    assert_true(h.messages > 5 && h.bytes < 3000);
    env.e->limits.history.memory = 100000;
    for (int i = 0; i < 1000; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "h%d", i);

        pubsub_publish(env.e, PUBSUB_CHANNEL, slice_of(name, (size_t)n), text,
                       0);
    }
    history_get_stats(env.e, &h);
    assert_true(h.channels > 10 && h.channels < 1000);
    assert_true(h.bytes <= 100000);
    env.e->limits.history.age_ms = 1000;
    env.e->now_ms += 1000;
    history_trim(env.e);
    history_get_stats(env.e, &h);
    assert_int_equal(h.channels + h.messages + h.bytes, 0);
    no_history();
}

/* --- anything --------------------------------------------------------------
 */

static void
random_step(struct rng *rng, struct reader *readers, unsigned n)
{
    struct reader *r = &readers[rng_next(rng) % n];
    unsigned channel = (unsigned)(rng_next(rng) % CHANNELS);

    switch (rng_next(rng) % 40) {
    case 0:
        set_queue((enum pressure_policy)(rng_next(rng) % 3),
                  1 + (uint32_t)(rng_next(rng) % 30));
        break;
    case 1:
        set_history((uint32_t)(1 + rng_next(rng) % 50));
        break;
    case 2:
    case 3:
        reader_read(r, SIZE_MAX);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        reader_read(r, rng_next(rng) % (40 * TEXT));
        break;
    default:
        publish(channel);
    }
}

/* Whatever the policies and however they change: all that was published came,
 * in order, or was told to be lost. */
static void
every_message_comes_or_is_told_to_be_lost(void **state)
{
    enum { READERS = 4, STEPS = 20000 };
    struct reader readers[READERS];
    const char *env_seed = getenv("SEED");
    uint64_t seed =
        env_seed == NULL ? rng_seed_from_os() : strtoull(env_seed, NULL, 10);
    uint64_t told = 0;
    struct rng rng;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    set_queue(PRESSURE_OLDEST, 10);
    set_history(30);
    for (unsigned i = 0; i < READERS; i++) {
        reader_open(&readers[i]);
        for (unsigned channel = 0; channel < CHANNELS; channel++) {
            if (i == 0 || (i == 1 && channel == 1))
                reader_replay(&readers[i], channel, 0);
            else
                reader_follow(&readers[i], channel);
        }
    }
    for (unsigned i = 0; i < STEPS; i++)
        random_step(&rng, readers, READERS);
    for (unsigned i = 0; i < READERS; i++) {
        reader_read(&readers[i], SIZE_MAX);
        for (unsigned channel = 0; channel < CHANNELS; channel++) {
            assert_int_equal(readers[i].of[channel].next,
                             published[channel] + 1);
            told += readers[i].of[channel].told;
        }
        assert_int_equal(pressure_state_of(&readers[i].c.s), PRESSURE_NORMAL);
        reader_close(&readers[i]);
    }
    assert_true(told > 0);
    assert_int_equal(pubsub_waiting(env.e), 0);
    no_history();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_policy_everything_waits_in_the_output),
        cmocka_unit_test(drop_oldest_keeps_the_newest_and_tells_the_gap),
        cmocka_unit_test(
            drop_newest_keeps_the_oldest_and_tells_the_gap_behind_them),
        cmocka_unit_test(disconnect_ends_the_client_at_the_bound),
        cmocka_unit_test(bytes_bound_the_queue_too),
        cmocka_unit_test(messages_that_wait_too_long_are_too_old),
        cmocka_unit_test(nothing_comes_behind_the_end_of_a_subscription),
        cmocka_unit_test(clients_are_listed_with_how_they_stand),
        cmocka_unit_test(a_late_subscriber_gets_the_past_then_the_present),
        cmocka_unit_test(
            a_paused_replay_costs_no_memory_and_tells_what_is_gone),
        cmocka_unit_test(history_is_told_by_its_ids),
        cmocka_unit_test(history_is_bounded_by_age_bytes_and_in_all),
        cmocka_unit_test(every_message_comes_or_is_told_to_be_lost),
    };

    return cmocka_run_group_tests_name("pressure", tests, set_up, tear_down);
}
