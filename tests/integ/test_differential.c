/* The same random commands to redis-server and to ours: every reply must be
 * the same, text for text.
 *
 * SEED repeats a run, DIFF_COMMANDS sets its length.  Skipped aloud where
 * there is no redis-server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/client.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"

#define REDIS "/usr/bin/redis-server"
#define HISTORY 12
#define DIFFERENCES 10 /* then it is enough */

static struct live_server ours, redis;
static struct rng rng;
static uint64_t seed;

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
put_choice(struct buf *out, const char *const *list, size_t n)
{
    buf_put_str(out, list[rng_below(&rng, n)]);
}
#define PUT_CHOICE(out, list) put_choice(out, list, nq_countof(list))

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

    if (rng_below(&rng, 4) != 0) {
        PUT_CHOICE(out, fixed);
        return;
    }
    n = rng_below(&rng, 8) == 0 ? rng_below(&rng, 9000) : rng_below(&rng, 60);
    buf_put_str(out, "v");
    while (n-- > 0)
        buf_put_u8(out, (uint8_t)('a' + rng_below(&rng, 4)));
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
        put_choice(out, lists[i].list, n);
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
                       (long long)rng_below(&rng, ranges[i].count));
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
    const char *p = templates[rng_below(&rng, nq_countof(templates))];

    buf_clear(out);
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

static int
compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "[b, a]" as "[a, b]": for answers without an order. */
static void
sort_array(char *text)
{
    char *words[256], *copy = nq_strdup(text), *save = NULL, *end = text;
    unsigned n = 0;

    if (text[0] != '[')
        goto out;
    for (char *w = strtok_r(copy, "[], ", &save); w != NULL && n < 256;
         w = strtok_r(NULL, "[], ", &save))
        words[n++] = w;
    qsort(words, n, sizeof *words, compare_words);
    /* Never longer than it was: each word had a separator. */
    for (unsigned i = 0; i < n; i++) {
        size_t len = strlen(words[i]);

        memcpy(end, words[i], len);
        end[len] = ' ';
        end += len + 1;
    }
    *end = '\0';
out:
    nq_free(copy);
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

/* What the connection is in the middle of. */
struct mode {
    bool in_multi, is_watching;
};

static void
follow(struct mode *m, const char *command)
{
    bool is_reset = strcmp(command, "RESET") == 0;
    bool is_end = m->in_multi && (strcmp(command, "EXEC") == 0 ||
                                  strcmp(command, "DISCARD") == 0);

    if (strcmp(command, "UNWATCH") == 0 && !m->in_multi)
        m->is_watching = false;
    if (is_end || is_reset)
        *m = (struct mode){false, false};
    if (strcmp(command, "MULTI") == 0)
        m->in_multi = true;
    if (strncmp(command, "WATCH ", 6) == 0 && !m->in_multi)
        m->is_watching = true;
}

static bool
is_allowed(const struct mode *m, const char *command)
{
    return !(m->in_multi && is_loose(command)) &&
           !(m->is_watching && is_loose_watched(command));
}

static char history[HISTORY][9300];

static void
print_difference(unsigned resp, unsigned i, const char *text,
                 const char *theirs, const char *mine)
{
    print_message("SEED=%llu RESP%u command %u, after\n",
                  (unsigned long long)seed, resp, i);
    for (unsigned k = HISTORY; k > 1; k--) {
        if (i + 1 >= k)
            print_message("    %.200s\n", history[(i + 1 - k) % HISTORY]);
    }
    print_message("  %.600s\n    redis: %.600s\n    ours:  %.600s\n", text,
                  theirs, mine);
}

/* One command to both; whether they agree. */
static bool
compare(struct client *a, struct client *b, const char *text, unsigned resp,
        unsigned i)
{
    char *mine = nq_strdup(client_ask(a, text));
    char *theirs = nq_strdup(client_ask(b, text));
    bool same;

    snprintf(history[i % HISTORY], sizeof history[0], "%s", text);
    if (strncmp(text, "KEYS", 4) == 0) {
        sort_array(mine);
        sort_array(theirs);
    }
    same = strcmp(mine, theirs) == 0 || is_near(text, mine, theirs);
    if (!same)
        print_difference(resp, i, text, theirs, mine);
    nq_free(mine);
    nq_free(theirs);
    return same;
}

static void
run_stream(unsigned resp, unsigned commands)
{
    struct client a, b;
    struct buf command = BUF_INIT;
    struct mode mode = {false, false};
    unsigned different = 0;
    char hello[16];

    client_open(&a, &ours);
    client_open(&b, &redis);
    snprintf(hello, sizeof hello, "HELLO %u", resp);
    client_expect(&a, "FLUSHALL", "+OK");
    client_expect(&b, "FLUSHALL", "+OK");
    (void)client_ask(&a, hello);
    (void)client_ask(&b, hello);
    for (unsigned i = 0; i < commands && different < DIFFERENCES; i++) {
        const char *text;

        do
            make_command(&command);
        while (!is_allowed(&mode, (const char *)command.p));
        text = (const char *)command.p;
        different += !compare(&a, &b, text, resp, i);
        follow(&mode, text);
        if (strcmp(text, "RESET") == 0) {
            (void)client_ask(&a, hello);
            (void)client_ask(&b, hello);
        }
    }
    buf_fini(&command);
    client_close(&a);
    client_close(&b);
    assert_int_equal(different, 0);
}

static unsigned
stream_length(void)
{
    const char *env = getenv("DIFF_COMMANDS");

    return env != NULL ? (unsigned)strtoul(env, NULL, 10) : 20000;
}

static void
every_reply_is_that_of_redis_in_resp2(void **state)
{
    (void)state;
    run_stream(2, stream_length());
}

static void
every_reply_is_that_of_redis_in_resp3(void **state)
{
    (void)state;
    run_stream(3, stream_length());
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
    client_open(&a, &ours);
    client_open(&b, &redis);
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

static int
start(void **state)
{
    const char *env = getenv("SEED");
    char *binary;

    (void)state;
    seed = env != NULL ? strtoull(env, NULL, 10) : rng_seed_from_os();
    rng_seed(&rng, seed);
    printf("SEED=%llu\n", (unsigned long long)seed);
    live_init(&ours);
    if (!live_start(&ours))
        return -1;
    binary = nq_strdup(getenv("NQDB_SERVER"));
    setenv("NQDB_SERVER", REDIS, 1);
    unsetenv("NQDB_SERVER_ARGS");
    live_init(&redis);
    redis.options[0] = "--save";
    redis.options[1] = "";
    if (!live_start(&redis))
        return -1;
    setenv("NQDB_SERVER", binary, 1);
    nq_free(binary);
    return 0;
}

static int
stop(void **state)
{
    int code = live_stop(&ours);

    (void)state;
    if (code != 0)
        live_print_log(&ours);
    live_fini(&ours);
    live_fini(&redis);
    return code;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reply_is_that_of_redis_in_resp2),
        cmocka_unit_test(every_reply_is_that_of_redis_in_resp3),
        cmocka_unit_test(dumped_strings_travel_both_ways),
    };

    if (access(REDIS, X_OK) != 0) {
        puts("SKIP test_differential: there is no " REDIS);
        return 0;
    }
    return cmocka_run_group_tests(tests, start, stop);
}
