/* The commands of hashes: exact replies and errors, fields that expire as a
 * client sees it, answers told in slices, scans, chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/two_clients.h"
#include "base/check.h"
#include "base/mem.h"
#include "cmd/notify.h"
#include "db/fields.h"
#include "os/clock.h"

#define NOW UINT64_C(1700000000000)
#define MANY 12000 /* fields: more than one slice tells */

static int
setup(void **state)
{
    clock_freeze_wall(NOW);
    (void)two_clients_begin(state, 32 << 20);
    return 0;
}

/* A hash of `n` fields "f00000" ... with the values "0" ... */
static void
fill(struct two_clients *w, const char *key, unsigned n)
{
    char line[600];

    for (unsigned i = 0; i < n;) {
        int at = snprintf(line, sizeof line, "HMSET %s", key);

        for (unsigned k = 0; k < 14 && i < n; k++, i++)
            at += snprintf(line + at, sizeof line - (size_t)at, " f%05u %u", i,
                           i);
        fake_expect(&w->c, line, "+OK|");
    }
}

/* --- replies ---------------------------------------------------------------
 */

static void
fields_are_set_and_read(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "HGET h a", "$-1|");
    fake_expect(c, "HSET h a 1 b 2", ":2|");
    fake_expect(c, "HSET h a 3 c 4", ":1|");
    fake_expect(c, "HMSET h d ''", "+OK|");
    fake_expect(c, "HSETNX h a 9", ":0|");
    fake_expect(c, "HSETNX h e 9", ":1|");
    fake_expect(c, "HGET h a", "$1|3|");
    fake_expect(c, "HMGET h a x d", "*3|$1|3|$-1|$0||");
    fake_expect(c, "HMGET none a b", "*2|$-1|$-1|");
    fake_expect(c, "HLEN h", ":5|");
    fake_expect(c, "HLEN none", ":0|");
    fake_expect(c, "HEXISTS h a", ":1|");
    fake_expect(c, "HEXISTS h x", ":0|");
    fake_expect(c, "HSTRLEN h a", ":1|");
    fake_expect(c, "HSTRLEN h x", ":0|");
    fake_expect(c, "HDEL h a x a b", ":2|");
    fake_expect(c, "HKEYS h", "*3|$1|c|$1|d|$1|e|");
    fake_expect(c, "HVALS h", "*3|$1|4|$0||$1|9|");
    fake_expect(c, "HGETALL h", "*6|$1|c|$1|4|$1|d|$0||$1|e|$1|9|");
    fake_expect(c, "HGETALL none", "*0|");
    fake_expect(c, "HDEL h c d e", ":3|");
    fake_expect(c, "EXISTS h", ":0|");
}

static void
the_third_protocol_has_maps_and_pairs(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    (void)fake_ask(c, "HELLO 3");
    fake_expect(c, "HSET h a 1", ":1|");
    fake_expect(c, "HGETALL h", "%1|$1|a|$1|1|");
    fake_expect(c, "HGETALL none", "%0|");
    fake_expect(c, "HKEYS h", "*1|$1|a|");
    fake_expect(c, "HGET h x", "_|");
    fake_expect(c, "HRANDFIELD h 5 WITHVALUES", "*1|*2|$1|a|$1|1|");
    fake_expect(c, "HRANDFIELD h -2 WITHVALUES",
                "*2|*2|$1|a|$1|1|*2|$1|a|$1|1|");
    fake_expect(c, "HRANDFIELD none", "_|");
    fake_expect(c, "HSCAN h 0", "*2|$1|0|*2|$1|a|$1|1|");
}

static void
mistakes_are_told_as_redis_tells_them(void **state)
{
    static const struct {
        const char *line, *want;
    } rows[] = {
        {"HSET h a", "-ERR wrong number of arguments for 'hset' command|"},
        {"HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command|"},
        {"HMSET h a 1 b",
         "-ERR wrong number of arguments for 'hmset' command|"},
        {"HSET s a 1", "-WRONGTYPE Operation against a key holding the wrong "
                       "kind of value|"},
        {"HGETALL s", "-WRONGTYPE Operation against a key holding the wrong "
                      "kind of value|"},
        {"HINCRBY h word x", "-ERR value is not an integer or out of range|"},
        {"HINCRBY h word 1", "-ERR hash value is not an integer|"},
        {"HINCRBY h max 1", "-ERR increment or decrement would overflow|"},
        {"HINCRBYFLOAT h word x", "-ERR value is not a valid float|"},
        {"HINCRBYFLOAT h word 1", "-ERR hash value is not a float|"},
        {"HINCRBYFLOAT h max inf", "-ERR value is NaN or Infinity|"},
        {"HINCRBYFLOAT h inf 1",
         "-ERR increment would produce NaN or Infinity|"},
        {"HRANDFIELD h x", "-ERR value is not an integer or out of range|"},
        {"HRANDFIELD h 1 x", "-ERR syntax error|"},
        {"HRANDFIELD h -9223372036854775807 WITHVALUES",
         "-ERR value is out of range|"},
        {"HSCAN h x", "-ERR invalid cursor|"},
        {"HSCAN h 0 COUNT 0", "-ERR syntax error|"},
        {"HSCAN none 0 COUNT 0", "*2|$1|0|*0|"},
        {"HEXPIRE h x FIELDS 1 word",
         "-ERR value is not an integer or out of range|"},
        {"HEXPIRE h -1 FIELDS 1 word",
         "-ERR invalid expire time, must be >= 0|"},
        {"HEXPIRE h 9223372036854775807 FIELDS 1 word",
         "-ERR invalid expire time in 'hexpire' command|"},
        {"HEXPIRE h 1 FOO 1 word", "-ERR Mandatory argument FIELDS is missing "
                                   "or not at the right position|"},
        {"HEXPIRE h 1 FIELDS 0 word",
         "-ERR Parameter `numFields` should be greater than 0|"},
        {"HEXPIRE h 1 FIELDS 2 word", "-ERR The `numfields` parameter must "
                                      "match the number of arguments|"},
        {"HTTL h FIELDS 0 word",
         "-ERR Number of fields must be a positive integer|"},
    };
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "SET s x", "+OK|");
    fake_expect(c, "HSET h word w max 9223372036854775807 inf inf", ":3|");
    for (size_t i = 0; i < nq_countof(rows); i++)
        fake_expect(c, rows[i].line, rows[i].want);
}

static void
numbers_are_added_up(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "HINCRBY h n 5", ":5|");
    fake_expect(c, "HINCRBY h n -7", ":-2|");
    fake_expect(c, "HGET h n", "$2|-2|");
    fake_expect(c, "HINCRBYFLOAT h f 10.5", "$4|10.5|");
    fake_expect(c, "HINCRBYFLOAT h f 0.1", "$4|10.6|");
    fake_expect(c, "HINCRBYFLOAT h n 2.0e2", "$3|198|");
}

static void
encodings_follow_the_limits_and_stay(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    db_limits(w->env.db)->hash_max_listpack_entries = 3;
    fake_expect(c, "HSET h a 1 b 2 c 3", ":3|");
    fake_expect(c, "OBJECT ENCODING h", "$8|listpack|");
    fake_expect(c, "HSET h d 4", ":1|");
    fake_expect(c, "OBJECT ENCODING h", "$9|hashtable|");
    fake_expect(c, "HDEL h a b c", ":3|");
    fake_expect(c, "OBJECT ENCODING h", "$9|hashtable|");
    db_limits(w->env.db)->hash_max_listpack_value = 4;
    fake_expect(c, "HSET v a 1234", ":1|");
    fake_expect(c, "OBJECT ENCODING v", "$8|listpack|");
    fake_expect(c, "HPEXPIRE v 100 FIELDS 1 a", "*1|:1|");
    fake_expect(c, "OBJECT ENCODING v", "$10|listpackex|");
    fake_expect(c, "HSET v a 12345", ":0|");
    fake_expect(c, "OBJECT ENCODING v", "$9|hashtable|");
}

/* --- fields that expire ----------------------------------------------------
 */

static void
fields_expire_one_by_one(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "HSET h a 1 b 2 c 3", ":3|");
    fake_expect(c, "HPEXPIRE h 100 FIELDS 2 a x", "*2|:1|:-2|");
    fake_expect(c, "HPEXPIRE none 100 FIELDS 1 a", "*1|:-2|");
    fake_expect(c, "HEXPIRE h 10 NX FIELDS 2 a b", "*2|:0|:1|");
    fake_expect(c, "HPTTL h FIELDS 3 a b c", "*3|:100|:10000|:-1|");
    fake_expect(c, "HTTL h FIELDS 1 a", "*1|:1|");
    fake_expect(c, "HPEXPIRETIME h FIELDS 1 a", "*1|:1700000000100|");
    fake_expect(c, "HEXPIRETIME h FIELDS 1 b", "*1|:1700000010|");
    fake_expect(c, "TTL h", ":-1|");
    clock_freeze_wall(NOW + 100);
    fake_expect(c, "HGET h a", "$-1|");
    fake_expect(c, "HLEN h", ":2|");
    fake_expect(c, "HGETALL h", "*4|$1|b|$1|2|$1|c|$1|3|");
    fake_expect(c, "HTTL h FIELDS 1 a", "*1|:-2|");
    fake_expect(c, "HPERSIST h FIELDS 3 a b c", "*3|:-2|:1|:-1|");
    fake_expect(c, "HEXPIRE h 0 FIELDS 1 b", "*1|:2|");
    fake_expect(c, "HKEYS h", "*1|$1|c|");
}

static void
a_hash_ends_with_its_last_field(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "HSET h a 1 b 2", ":2|");
    fake_expect(c, "HPEXPIRE h 100 FIELDS 2 a b", "*2|:1|:1|");
    fake_expect(c, "EXPIRE h 1000", ":1|");
    fake_expect(c, "TTL h", ":1000|");
    clock_freeze_wall(NOW + 100);
    db_set_active_expire(w->env.db, false);
    fake_expect(c, "EXISTS h", ":0|");
    fake_expect(c, "TYPE h", "+none|");
    fake_expect(c, "KEYS *", "*0|");
    fake_expect(c, "NQ.COUNT - +", ":0|");
    fake_expect(c, "RANDOMKEY", "$-1|");
    fake_expect(c, "HSET h c 3", ":1|");
    fake_expect(c, "TTL h", ":-1|");
}

static void
setting_a_field_drops_its_expiry_and_counting_keeps_it(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "HSET h a 1 b 2", ":2|");
    fake_expect(c, "HEXPIRE h 10 FIELDS 2 a b", "*2|:1|:1|");
    fake_expect(c, "HSET h a 2", ":0|");
    fake_expect(c, "HINCRBY h b 5", ":7|");
    fake_expect(c, "HTTL h FIELDS 2 a b", "*2|:-1|:10|");
    clock_freeze_wall(NOW + 10000);
    fake_expect(c, "HINCRBY h b 5", ":5|");
    fake_expect(c, "HTTL h FIELDS 1 b", "*1|:-1|");
}

static void
the_keys_own_expiry_is_beside_those_of_fields(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "HSET h a 1 b 2", ":2|");
    fake_expect(c, "PEXPIRE h 500", ":1|");
    fake_expect(c, "HPEXPIRE h 100 FIELDS 1 a", "*1|:1|");
    fake_expect(c, "PTTL h", ":500|");
    fake_expect(c, "PEXPIRE h 800 GT", ":1|");
    fake_expect(c, "RENAME h g", "+OK|");
    fake_expect(c, "COPY g k", ":1|");
    fake_expect(c, "PTTL k", ":800|");
    fake_expect(c, "PERSIST g", ":1|");
    fake_expect(c, "PERSIST g", ":0|");
    clock_freeze_wall(NOW + 100);
    engine_env_turn(&w->env);
    fake_expect(c, "HKEYS g", "*1|$1|b|");
    fake_expect(c, "HKEYS k", "*1|$1|b|");
    clock_freeze_wall(NOW + 800);
    fake_expect(c, "EXISTS g k", ":1|");
}

static void
two_things_are_done_at_once(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "HSETEX h EX 10 FIELDS 2 a 1 b 2", ":1|");
    fake_expect(c, "HTTL h FIELDS 2 a b", "*2|:10|:10|");
    fake_expect(c, "HSETEX h FNX FIELDS 2 b 3 c 3", ":0|");
    fake_expect(c, "HSETEX h KEEPTTL FXX FIELDS 1 a 5", ":1|");
    fake_expect(c, "HSETEX h FIELDS 1 b 5", ":1|");
    fake_expect(c, "HGETEX h PX 500 FIELDS 2 b x", "*2|$1|5|$-1|");
    fake_expect(c, "HPTTL h FIELDS 2 a b", "*2|:10000|:500|");
    fake_expect(c, "HGETEX h PERSIST FIELDS 1 b", "*1|$1|5|");
    fake_expect(c, "HGETEX h FIELDS 1 a", "*1|$1|5|");
    fake_expect(c, "HPTTL h FIELDS 2 a b", "*2|:10000|:-1|");
    fake_expect(c, "HGETDEL h FIELDS 2 a x", "*2|$1|5|$-1|");
    fake_expect(c, "HSETEX h EXAT 1 FIELDS 1 b 7", ":1|");
    fake_expect(c, "EXISTS h", ":0|");
    fake_expect(c, "HGETDEL h FIELDS 1 a", "*1|$-1|");
    fake_expect(c, "HGETDEL h FIELDS 2 a",
                "-ERR The `numfields` parameter must match the number of "
                "arguments|");
    fake_expect(c, "HSETEX h EX -1 FIELDS 1 a 1",
                "-ERR invalid expire time, must be >= 0|");
    fake_expect(c, "HSETEX h FIELDS 2 a 1",
                "-ERR wrong number of arguments for 'hsetex' command|");
    fake_expect(c, "HGETEX h EX 1 PX 1 FIELDS 1 a",
                "-ERR Mandatory argument FIELDS is missing or not at the right "
                "position|");
}

static void
what_happens_to_fields_is_announced(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    assert_true(notify_parse(slice_lit("Ehgx"), &w->env.e->limits.notify));
    (void)fake_ask(&w->other, "PSUBSCRIBE *");
#define expect_events(line, events)                                            \
    do {                                                                       \
        (void)fake_ask(c, line);                                               \
        engine_env_turn(&w->env);                                              \
        assert_string_equal(fake_read(&w->other), events);                     \
    } while (0)
#define EVENT(len, name)                                                       \
    "*4|$8|pmessage|$1|*|$" len "|__keyevent@0__:" name "|$1|h|"
    expect_events("HSET h a 1 b 2 c 3", EVENT("19", "hset"));
    expect_events("HINCRBY h a 1", EVENT("22", "hincrby"));
    expect_events("HINCRBYFLOAT h a 1", EVENT("27", "hincrbyfloat"));
    expect_events("HDEL h c x", EVENT("19", "hdel"));
    expect_events("HDEL h x", "");
    expect_events("HPEXPIRE h 50 FIELDS 1 a", EVENT("22", "hexpire"));
    expect_events("HPERSIST h FIELDS 1 a", EVENT("23", "hpersist"));
    expect_events("HPEXPIRE h 50 FIELDS 2 a b", EVENT("22", "hexpire"));
    clock_freeze_wall(NOW + 50);
    engine_env_turn(&w->env);
    expect_events("PING", EVENT("23", "hexpired") EVENT("18", "del"));
#undef EVENT
#undef expect_events
}

/* --- slices ----------------------------------------------------------------
 */

/* Turns until `c` has its whole answer; its bytes. */
static struct slice
finish(struct two_clients *w, struct fake_client *c)
{
    (void)w;
    fake_finish(c);
    return fake_read_raw(c);
}

static void
expect_all_pairs(struct slice reply, unsigned n)
{
    char want[64];
    const uint8_t *p = reply.p;
    int len = snprintf(want, sizeof want, "*%u\r\n", 2 * n);

    assert_memory_equal(p, want, (size_t)len);
    p += len;
    for (unsigned i = 0; i < n; i++) {
        char number[8];
        int digits = snprintf(number, sizeof number, "%u", i);

        len = snprintf(want, sizeof want, "$6\r\nf%05u\r\n$%d\r\n%s\r\n", i,
                       digits, number);
        assert_memory_equal(p, want, (size_t)len);
        p += len;
    }
    assert_ptr_equal(p, reply.p + reply.len);
}

static void
a_long_answer_is_as_of_one_moment(void **state)
{
    struct two_clients *w = *state;

    fill(w, "h", MANY);
    fake_send(&w->c, "HGETALL h");
    assert_int_equal(w->c.nkept, 1); /* it takes more than one slice */
    fake_send(&w->other, "HSET h f00000 new zzz new");
    assert_int_equal(w->other.nkept, 1); /* and who writes has to wait */
    expect_all_pairs(finish(w, &w->c), MANY);
    (void)finish(w, &w->other);
    fake_expect(&w->c, "HMGET h f00000 zzz", "*2|$3|new|$3|new|");
}

static void
a_key_may_go_while_it_is_told(void **state)
{
    static const char *const ways[] = {"DEL h", "RENAME h g", "FLUSHALL",
                                       "SET h x", "PEXPIRE h 0"};
    struct two_clients *w = *state;

    for (size_t i = 0; i < nq_countof(ways); i++) {
        fake_expect(&w->c, "FLUSHALL", "+OK|");
        fill(w, "h", MANY);
        fake_send(&w->c, "HGETALL h");
        assert_int_equal(w->c.nkept, 1);
        (void)fake_ask(&w->other, ways[i]);
        assert_int_equal(w->c.nkept, 1);
        expect_all_pairs(finish(w, &w->c), MANY);
    }
}

static void
inside_multi_all_is_told_in_one_piece(void **state)
{
    struct two_clients *w = *state;

    fill(w, "h", MANY);
    fake_expect(&w->c, "MULTI", "+OK|");
    fake_expect(&w->c, "HLEN h", "+QUEUED|");
    fake_expect(&w->c, "HGETALL h", "+QUEUED|");
    fake_send(&w->c, "EXEC");
    assert_int_equal(w->c.nkept, 0);
    (void)fake_read_raw(&w->c);
}

static void
pages_that_are_missing_do_not_begin_the_answer_anew(void **state)
{
    struct two_clients *w = *state;

    fill(w, "h", MANY);
    fake_close(&w->c);
    fake_close(&w->other);
    engine_env_cool(&w->env);
    fake_open(&w->env, &w->c);
    fake_open(&w->env, &w->other);
    fake_send(&w->c, "HGETALL h");
    expect_all_pairs(finish(w, &w->c), MANY);
    fake_expect(&w->c, "HGET h f00001", "$1|1|");
}

static void
due_fields_wait_for_a_reader_in_slices(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fill(w, "h", MANY);
    fake_expect(c, "HPEXPIRE h 100 FIELDS 2 f00000 f00001", "*2|:1|:1|");
    fake_send(c, "HGETALL h");
    assert_int_equal(c->nkept, 1);
    clock_freeze_wall(NOW + 100);
    expect_all_pairs(finish(w, c), MANY); /* as of the first moment */
    fake_expect(c, "HLEN h", ":11998|");
    clock_freeze_wall(NOW + 300);
    for (int i = 0; i < 10; i++)
        engine_env_turn(&w->env);
    assert_int_equal(db_next_due(w->env.db), 0);
}

/* --- scans -----------------------------------------------------------------
 */

/* One call; marks the fields it gives; the next cursor. */
static unsigned long long
scan_once(struct two_clients *w, unsigned long long cursor, uint8_t *seen)
{
    char line[64];
    const char *p;
    unsigned long long next;

    snprintf(line, sizeof line, "HSCAN h %llu COUNT 37", cursor);
    p = fake_ask(&w->c, line);
    assert_memory_equal(p, "*2|$", 4);
    next = strtoull(strchr(p + 4, '|') + 1, NULL, 10);
    for (p = strstr(p, "|f"); p != NULL; p = strstr(p + 1, "|f"))
        seen[strtoul(p + 2, NULL, 10)]++;
    return next;
}

static void
a_scan_meets_all_that_is_there_throughout(void **state)
{
    struct two_clients *w = *state;
    uint8_t seen[3000] = {0};
    unsigned long long cursor = 0;
    char line[64];
    unsigned n = 0;

    fill(w, "h", 3000);
    do {
        cursor = scan_once(w, cursor, seen);
        snprintf(line, sizeof line, "HDEL h f%05u", 3 * (n * 71 % 1000));
        (void)fake_ask(&w->c, line);
        snprintf(line, sizeof line, "HSET h new%u 1", n);
        (void)fake_ask(&w->c, line);
        assert_true(++n < 1000);
    } while (cursor != 0);
    for (unsigned i = 0; i < 3000; i++)
        assert_true(i % 3 == 0 ? seen[i] <= 1 : seen[i] == 1);
}

static void
a_scan_with_a_pattern_gives_what_matches(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fill(w, "h", 3000);
    fake_expect(c, "HSCAN h 0 MATCH f0123? COUNT 5000 NOVALUES",
                "*2|$1|0|*10|$6|f01230|$6|f01231|$6|f01232|$6|f01233|$6|f01234|"
                "$6|f01235|$6|f01236|$6|f01237|$6|f01238|$6|f01239|");
    fake_expect(c, "HSCAN h 0 MATCH f01234", "*2|$1|0|*2|$6|f01234|$4|1234|");
    fake_expect(c, "HSCAN h 0 MATCH g*", "*2|$1|0|*0|");
}

/* --- chance ----------------------------------------------------------------
 */

/* How often each field comes up in `rounds` calls. */
static void
count_draws(struct two_clients *w, const char *line, unsigned rounds,
            unsigned n, unsigned *hits)
{
    memset(hits, 0, n * sizeof *hits);
    for (unsigned i = 0; i < rounds; i++) {
        const char *p = fake_ask(&w->c, line);

        for (p = strstr(p, "|f"); p != NULL; p = strstr(p + 1, "|f"))
            hits[strtoul(p + 2, NULL, 10)]++;
    }
}

static void
assert_even(const unsigned *hits, unsigned n, unsigned want)
{
    for (unsigned i = 0; i < n; i++)
        assert_in_range(hits[i], want * 4 / 10, want * 16 / 10);
}

static void
chance_is_fair(void **state)
{
    struct two_clients *w = *state;
    unsigned hits[400];

    fill(w, "h", 400); /* a tree */
    count_draws(w, "HRANDFIELD h", 40000, 400, hits);
    assert_even(hits, 400, 100);
    count_draws(w, "HRANDFIELD h -1000", 40, 400, hits);
    assert_even(hits, 400, 100);
    count_draws(w, "HRANDFIELD h 100", 400, 400, hits); /* ranks are drawn */
    assert_even(hits, 400, 100);
    count_draws(w, "HRANDFIELD h 300", 200, 400, hits); /* decided on the way */
    assert_even(hits, 400, 150);
}

static void
chance_passes_over_fields_that_are_due(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;
    char line[64];

    fill(w, "h", 300);
    db_set_active_expire(w->env.db, false);
    for (unsigned i = 0; i < 298; i++) {
        snprintf(line, sizeof line, "HPEXPIRE h 10 FIELDS 1 f%05u", i);
        fake_expect(c, line, "*1|:1|");
    }
    clock_freeze_wall(NOW + 10);
    fake_expect(c, "HRANDFIELD h 1000", "*2|$6|f00298|$6|f00299|");
    for (int i = 0; i < 20; i++) {
        assert_non_null(strstr(fake_ask(c, "HRANDFIELD h"), "f0029"));
        assert_memory_equal(fake_ask(c, "HRANDFIELD h 1"), "*1|$6|f0029", 11);
        assert_memory_equal(fake_ask(c, "HRANDFIELD h -3"), "*3|$6|f0029", 11);
    }
}

static void
a_draw_without_end_lets_others_go_on(void **state)
{
    struct two_clients *w = *state;

    fake_expect(&w->c, "HSET h f1 1", ":1|");
    fake_send(&w->c, "HRANDFIELD h -1000000");
    assert_int_equal(w->c.nkept, 1);
    fake_expect(&w->other, "HSET h f2 1", ":1|");
    (void)finish(w, &w->c);
}

/* --- big values ------------------------------------------------------------
 */

static void
values_too_long_for_a_page_come_back_whole(void **state)
{
    struct two_clients *w = *state;
    size_t len = 3u << 20;
    char *line = nq_malloc(len + 64);
    int at = snprintf(line, 64, "HSET h a 1 big ");
    struct slice reply;

    memset(line + at, 'x', len);
    line[(size_t)at + len] = '\0';
    fake_expect(&w->c, line, ":2|");
    fake_expect(&w->c, "HSTRLEN h big", ":3145728|");
    fake_send(&w->c, "HVALS h");
    reply = finish(w, &w->c);
    assert_int_equal(reply.len,
                     strlen("*2\r\n$1\r\n1\r\n$3145728\r\n") + len + 2);
    fake_expect(&w->c, "HINCRBY h big 1", "-ERR hash value is not an integer|");
    fake_expect(&w->c, "HDEL h big", ":1|");
    fake_expect(&w->c, "HGETALL h", "*2|$1|a|$1|1|");
    nq_free(line);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, two_clients_end)
    const struct CMUnitTest tests[] = {
        T(fields_are_set_and_read),
        T(the_third_protocol_has_maps_and_pairs),
        T(mistakes_are_told_as_redis_tells_them),
        T(numbers_are_added_up),
        T(encodings_follow_the_limits_and_stay),
        T(fields_expire_one_by_one),
        T(a_hash_ends_with_its_last_field),
        T(setting_a_field_drops_its_expiry_and_counting_keeps_it),
        T(the_keys_own_expiry_is_beside_those_of_fields),
        T(two_things_are_done_at_once),
        T(what_happens_to_fields_is_announced),
        T(a_long_answer_is_as_of_one_moment),
        T(a_key_may_go_while_it_is_told),
        T(inside_multi_all_is_told_in_one_piece),
        T(pages_that_are_missing_do_not_begin_the_answer_anew),
        T(due_fields_wait_for_a_reader_in_slices),
        T(a_scan_meets_all_that_is_there_throughout),
        T(a_scan_with_a_pattern_gives_what_matches),
        T(chance_is_fair),
        T(chance_passes_over_fields_that_are_due),
        T(a_draw_without_end_lets_others_go_on),
        T(values_too_long_for_a_page_come_back_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
