/* Strings, keys and transactions: every reply is that of redis-server, text
 * for text.  See tests/lib/differential.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/differential.h"
#include "base/check.h"
#include "base/mem.h"

/* What the lower-case letters stand for: see put_word(). */
static const char *const templates[] = {
    "SET k v",
    "SET k v",
    "SET k v",
    "SET k v NX",
    "SET k v XX",
    "SET k v GET",
    "SET k v NX GET",
    "SET k v KEEPTTL",
    "SET k v EX t",
    "SET k v PX T",
    "SET k v EXAT a",
    "SET k v PXAT A",
    "SET k v EX z",
    "SET k v EX t PX T",
    "SET k v NX XX",
    "SET k v FOO",
    "SETNX k v",
    "SETEX k t v",
    "PSETEX k T v",
    "SETEX k z v",
    "GET k",
    "GET k",
    "GET k",
    "GETSET k v",
    "GETDEL k",
    "GETEX k",
    "GETEX k EX t",
    "GETEX k PERSIST",
    "GETEX k PXAT A",
    "GETEX k EX t PERSIST",
    "APPEND k v",
    "STRLEN k",
    "SETRANGE k o v",
    "GETRANGE k n n",
    "SUBSTR k n n",
    "INCR k",
    "DECR k",
    "INCRBY k i",
    "DECRBY k i",
    "INCRBYFLOAT k f",
    "MSET k v k v",
    "MSET k v k",
    "MSETNX k v k v",
    "MGET k k k",
    "LCS k k",
    "LCS k k LEN",
    "LCS k k IDX",
    "LCS k k IDX MINMATCHLEN 2 WITHMATCHLEN",
    "LCS k k IDX LEN",
    "SETBIT k o b",
    "GETBIT k o",
    "SETBIT k i b",
    "BITCOUNT k",
    "BITCOUNT k n n",
    "BITCOUNT k n n BIT",
    "BITPOS k b",
    "BITPOS k b n",
    "BITPOS k b n n",
    "BITPOS k b n n BIT",
    "BITOP AND k k k",
    "BITOP OR k k k",
    "BITOP XOR k k k",
    "BITOP NOT k k",
    "BITOP NOT k k k",
    "BITFIELD k GET u8 o",
    "BITFIELD k SET y o i",
    "BITFIELD k INCRBY y #o i",
    "BITFIELD k OVERFLOW SAT INCRBY y o i",
    "BITFIELD k OVERFLOW FAIL INCRBY y o i GET y o",
    "BITFIELD_RO k GET y o",
    "BITFIELD_RO k SET y o i",
    "DEL k",
    "DEL k k k",
    "UNLINK k k",
    "EXISTS k",
    "EXISTS k k k",
    "TYPE k",
    "RENAME k k",
    "RENAMENX k k",
    "COPY k k",
    "COPY k k REPLACE",
    "COPY k k DB d REPLACE",
    "COPY k k DB d",
    "MOVE k d",
    "TOUCH k k",
    "EXPIRE k t",
    "PEXPIRE k T",
    "EXPIREAT k a",
    "PEXPIREAT k A",
    "EXPIRE k t NX",
    "EXPIRE k t XX",
    "PEXPIRE k T GT",
    "PEXPIREAT k A LT",
    "EXPIRE k t NX GT",
    "EXPIRE k z",
    "EXPIRE k -1",
    "TTL k",
    "PTTL k",
    "EXPIRETIME k",
    "PEXPIRETIME k",
    "PERSIST k",
    "KEYS p",
    "DBSIZE",
    "SELECT d",
    "SWAPDB d d",
    "FLUSHDB",
    "OBJECT ENCODING k",
    "OBJECT REFCOUNT nokey",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH k",
    "UNWATCH",
    "PING",
    "PING v",
    "ECHO v",
    "SELECT 99",
    "SELECT i",
    "OBJECT",
    "OBJECT FOO k",
    "GET",
    "GET k k",
    "SET k",
    "FOO k v",
    "SETBIT k o 2",
    "SCAN x",
    "EXPIRE k v",
    "SCAN 0 COUNT 0",
    "COPY k k DB 99",
    "TIME x",
    "PUBLISH k v",
    "CLIENT GETNAME",
    "COMMAND COUNT x",
    "WAIT 0 0",
    "LASTSAVE x",
    "RESET",
    "DEBUG",
    "CONFIG FOO",
    "HELLO 9",
};

static void
put_value(struct buf *out)
{
    static const char *const fixed[] = {
        "0",
        "1",
        "-1",
        "42",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "3.5",
        "-0.1",
        "1e3",
        "nan",
        "inf",
        " 1",
        "01",
        "\"\"",
        "hello",
        "\"a b\"",
        "\"\\x00\\xff\\x80\"",
        "\"x\\r\\ny\"",
        "ohmytext",
        "mynewtext",
        "foobar",
        "1.0",
        "5.0e3",
        "+5",
        "170141183460469231731687303715884105727",
    };
    uint64_t n;

    if (rng_below(&diff.rng, 4) != 0) {
        DIFF_PUT_CHOICE(out, fixed);
        return;
    }
    n = rng_below(&diff.rng, 8) == 0 ? rng_below(&diff.rng, 9000)
                                     : rng_below(&diff.rng, 60);
    buf_put_str(out, "v");
    while (n-- > 0)
        buf_put_u8(out, (uint8_t)('a' + rng_below(&diff.rng, 4)));
}

/* Letters that stand for one of a list. */
static bool
put_listed(struct buf *out, char letter)
{
    static const struct {
        char letter;
        const char *list[16]; /* up to NULL */
    } lists[] = {
        {'i',
         {"0", "1", "-1", "7", "100", "-100", "9223372036854775807",
          "-9223372036854775808", "99999999999999999999", "abc", "1.5",
          "4294967296", "-0"}},
        /* Times: gone at once, or wrong; nothing that ends during the run. */
        {'z',
         {"0", "-1", "-100", "9223372036854775807", "99999999999999999999",
          "abc", "1.5"}},
        {'f',
         {"0.1", "1", "-2.5", "1e10", "3.0e-5", "abc", "inf", "nan", "1e400",
          "1e-5000", "1e5000", "0.0000001", "-5.0e3"}},
        {'p',
         {"*", "key:*", "key:1?", "key:[0-5]", "nothing", "k*:*[^1]",
          "key:\\*"}},
        {'y',
         {"u1", "u8", "i8", "u16", "i16", "i64", "u63", "i5", "u64", "i0",
          "x8"}},
    };

    for (size_t i = 0; i < nq_countof(lists); i++) {
        size_t n = 0;

        if (lists[i].letter != letter)
            continue;
        while (n < nq_countof(lists[i].list) && lists[i].list[n] != NULL)
            n++;
        diff_put_choice(out, lists[i].list, n);
        return true;
    }
    return false;
}

/* Letters that stand for a number of a range. */
static bool
put_ranged(struct buf *out, char letter)
{
    static const struct {
        char letter;
        const char *prefix;
        long long from;
        uint64_t count;
    } ranges[] = {
        {'k', "key:", 0, 24},
        {'n', "", -20, 40},
        {'o', "", 0, 300},
        {'b', "", 0, 2},
        {'d', "", 0, 3},
        {'t', "", 5000, 5000},
        {'T', "", 5000000, 5000},
        /* Far ahead, so that nothing expires while the test runs. */
        {'a', "", 4000000000, 1000},
        {'A', "", 4000000000000, 1000},
    };

    for (size_t i = 0; i < nq_countof(ranges); i++) {
        if (ranges[i].letter != letter)
            continue;
        buf_printf(out, "%s%lld", ranges[i].prefix,
                   ranges[i].from +
                       (long long)rng_below(&diff.rng, ranges[i].count));
        return true;
    }
    return false;
}

static void
put_word(struct buf *out, char letter)
{
    if (letter == 'v')
        put_value(out);
    else if (!put_listed(out, letter) && !put_ranged(out, letter))
        buf_put_u8(out, (uint8_t)letter);
}

/* A template with its single-letter words replaced; "#o" keeps its '#'. */
static void
make_command(struct buf *out)
{
    const char *p = templates[rng_below(&diff.rng, nq_countof(templates))];

    while (*p != '\0') {
        size_t n = strcspn(p, " ");

        if (n == 2 && p[0] == '#') {
            buf_put_u8(out, '#');
            put_word(out, p[1]);
        } else if (n == 1 && p[0] != 'x') {
            put_word(out, p[0]);
        } else {
            buf_put(out, p, n);
        }
        p += n;
        while (*p == ' ')
            buf_put_u8(out, (uint8_t)*p++);
    }
    buf_put_u8(out, 0);
}

/* Times left may differ by what passed in between.  Values that Redis keeps
 * as texts because of how they were made (BITOP, INCRBYFLOAT) are here what
 * they look like. */
static bool
is_near(const char *command, const char *a, const char *b)
{
    long long x, y, slack = 3;

    if (strncmp(command, "OBJECT ENC", 10) == 0)
        return strcmp(b, "\"raw\"") == 0 || strcmp(b, "\"embstr\"") == 0;
    if (a[0] != ':' || b[0] != ':' ||
        (strncmp(command, "TTL ", 4) != 0 &&
         strncmp(command, "PTTL ", 5) != 0 &&
         strstr(command, "EXPIRETIME ") == NULL))
        return false;
    x = strtoll(a + 1, NULL, 10);
    y = strtoll(b + 1, NULL, 10);
    if (command[0] == 'P')
        slack = 3000;
    return x > 0 && y > 0 && x - y < slack && y - x < slack;
}

/* What may differ is not told apart inside the answer of EXEC, so no
 * transaction has it. */
static bool
is_loose(const char *command)
{
    return strstr(command, "TTL ") == command ||
           strstr(command, "PTTL ") == command ||
           strstr(command, "EXPIRETIME ") != NULL ||
           strstr(command, "OBJECT ENC") == command ||
           strstr(command, "KEYS ") == command;
}

/* Redis counts two keys as changed that are the same again (SWAPDB there and
 * back), and one as not changed that is (a BITFIELD that FAIL refused but
 * that made it longer): nobody watches meanwhile. */
static bool
is_loose_watched(const char *command)
{
    return strstr(command, "SWAPDB") == command ||
           strstr(command, "OVERFLOW FAIL") != NULL;
}

static bool
is_allowed(const struct diff_mode *m, const char *command)
{
    return !(m->in_multi && is_loose(command)) &&
           !(m->is_watching && is_loose_watched(command));
}

static bool
is_unordered(const char *command)
{
    return strncmp(command, "KEYS", 4) == 0;
}

static const struct diff_grammar grammar = {
    .make = make_command,
    .is_allowed = is_allowed,
    .is_unordered = is_unordered,
    .is_near = is_near,
};

static void
every_reply_is_that_of_redis_in_resp2(void **state)
{
    (void)state;
    diff_run(&grammar, 2);
}

static void
every_reply_is_that_of_redis_in_resp3(void **state)
{
    (void)state;
    diff_run(&grammar, 3);
}

/* DUMP of one server is RESTOREd by the other. */
static void
dumped_strings_travel_both_ways(void **state)
{
    static const char *const values[] = {
        "1",
        "-7",
        "300",
        "70000",
        "5000000000",
        "hello",
        "\"\"",
        "\"\\x00\\x01\"",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    struct client a, b;
    char line[4096];

    (void)state;
    client_open(&a, &diff.ours);
    client_open(&b, &diff.redis);
    for (size_t i = 0; i < 2 * nq_countof(values); i++) {
        struct client *from = i % 2 == 0 ? &a : &b;
        struct client *to = i % 2 == 0 ? &b : &a;
        char *want;

        snprintf(line, sizeof line, "SET dumped %s", values[i / 2]);
        client_expect(from, line, "+OK");
        want = nq_strdup(client_ask(from, "GET dumped"));
        snprintf(line, sizeof line, "RESTORE restored 0 %s REPLACE",
                 client_ask(from, "DUMP dumped"));
        client_expect(to, line, "+OK");
        client_expect(to, "GET restored", want);
        nq_free(want);
    }
    client_close(&a);
    client_close(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reply_is_that_of_redis_in_resp2),
        cmocka_unit_test(every_reply_is_that_of_redis_in_resp3),
        cmocka_unit_test(dumped_strings_travel_both_ways),
    };

    if (!diff_is_possible("test_differential"))
        return 0;
    return cmocka_run_group_tests(tests, diff_start, diff_stop);
}
