/* Lists, sets, sorted sets, hashes, streams, HyperLogLogs, places: every
 * reply is that of redis-server, text for text, and so is what a kill -9
 * leaves.  See tests/lib/differential.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/differential.h"
#include "../lib/type_grammar.h"
#include "base/check.h"
#include "base/mem.h"

static struct type_grammar commands = {.next_id = 1};

static void
make_command(struct buf *out)
{
    type_command(&commands, out);
}

/* --- comparing ----------------------------------------------------------- */

static bool
begins_with_one(const char *command, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(command, list[i], strlen(list[i])) == 0)
            return true;
    return false;
}
#define BEGINS(command, list) begins_with_one(command, list, nq_countof(list))

static bool
is_unordered(const char *command)
{
    static const char *const list[] = {
        "SMEMBERS", "SINTER ", "SUNION ", "SDIFF ",     "SPOP",      "SRAND",
        "HGETALL",  "HKEYS",   "HVALS",   "HRAND",      "ZRAND",     "SSCAN",
        "HSCAN",    "ZSCAN",   "KEYS",    "GEOSEARCH ", "GEORADIUS", "SORT_RO"};

    return BEGINS(command, list) || strstr(command, "BY nosort") != NULL;
}

/* Times and node counts.  7.2 makes a consumer whenever it is named, 7.0 when
 * it claims something. */
static bool
has_loose_numbers(const char *command)
{
    static const char *const list[] = {"XPENDING", "XINFO", "TTL",
                                       "XGROUP CREATECONSUMER"};

    return BEGINS(command, list);
}

static bool
is_loose(const char *command)
{
    return is_unordered(command) || has_loose_numbers(command) ||
           strncmp(command, "OBJECT", 6) == 0 ||
           strncmp(command, "SORT", 4) == 0;
}

/* The same but for numbers that are near each other. */
static bool
has_near_numbers(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0') {
        char *end_a, *end_b;
        long long x, y;

        if (*a != ':' || *b != ':') {
            if (*a++ != *b++)
                return false;
            continue;
        }
        x = strtoll(a + 1, &end_a, 10);
        y = strtoll(b + 1, &end_b, 10);
        if (x - y > 3000 || y - x > 3000)
            return false;
        a = end_a;
        b = end_b;
    }
    return *a == *b;
}

/* 7.2 keeps small sets and lists as listpacks, 7.0 does not; and it names the
 * command in one error. */
static bool
is_near(const char *command, const char *ours, const char *theirs)
{
    if (strncmp(command, "OBJECT", 6) == 0)
        return strcmp(ours, "\"listpack\"") == 0 ||
               strcmp(theirs, "\"raw\"") == 0 ||
               strcmp(theirs, "\"embstr\"") == 0;
    if (strstr(theirs, "Unbalanced") != NULL)
        return strstr(ours, "Unbalanced") != NULL;
    /* SORT of 7.0 takes the errno of something else for its own. */
    if (strncmp(command, "SORT", 4) == 0)
        return strstr(theirs, "can't be converted into double") != NULL;
    /* There the text of a large score depends on the encoding. */
    if (strncmp(command, "ZSCAN", 5) == 0)
        return strstr(theirs, "e+") != NULL;
    return has_loose_numbers(command) && has_near_numbers(ours, theirs);
}

static bool
is_waiting(const char *command)
{
    static const char *const list[] = {"BLPOP",  "BRPOP", "BLMOVE",
                                       "BLMPOP", "BZ",    "XREAD BLOCK"};

    return BEGINS(command, list);
}

/* A watched key that another one was swapped with and back; and groups, whose
 * changes are changes of the stream to us, but not to Redis. */
static bool
is_loose_watched(const char *command)
{
    static const char *const list[] = {"SWAPDB", "XGROUP",     "XACK",
                                       "XCLAIM", "XAUTOCLAIM", "XREADGROUP"};

    return BEGINS(command, list);
}

static bool
is_allowed(const struct diff_mode *m, const char *command)
{
    if (m->is_watching && is_loose_watched(command))
        return false;
    /* Inside MULTI nobody waits; else it takes its time. */
    if (is_waiting(command) && !m->in_multi && rng_below(&diff.rng, 50) != 0)
        return false;
    return !(m->in_multi && is_loose(command));
}

static const struct diff_grammar grammar = {
    .make = make_command,
    .is_allowed = is_allowed,
    .is_unordered = is_unordered,
    .is_near = is_near,
};

/* --- what is kept -------------------------------------------------------- */

static unsigned
compare_key(struct client *a, struct client *b, const char *key)
{
    char line[200];
    const char *read;
    unsigned different;

    snprintf(line, sizeof line, "TYPE %s", key);
    different = !diff_ask(&grammar, a, b, line);
    if ((read = type_whole_read(client_ask(b, line))) == NULL)
        return different;
    snprintf(line, sizeof line, read, key);
    different += !diff_ask(&grammar, a, b, line);
    snprintf(line, sizeof line, "TTL %s", key);
    different += !diff_ask(&grammar, a, b, line);
    for (unsigned g = 1; read[0] == 'X' && g <= 3; g++) {
        snprintf(line, sizeof line, "XPENDING %s g%u - + 1000", key, g);
        different += !diff_ask(&grammar, a, b, line);
    }
    return different;
}

static void
for_each_key(unsigned (*fn)(struct client *a, struct client *b,
                            const char *key))
{
    struct client a, b;
    unsigned different = 0;
    char key[16], line[32];

    client_open(&a, &diff.ours);
    client_open(&b, &diff.redis);
    for (unsigned dbi = 0; dbi < 2; dbi++) {
        snprintf(line, sizeof line, "SELECT %u", dbi);
        (void)diff_ask(&grammar, &a, &b, line);
        for (const char *l = TYPE_LETTERS; *l != '\0'; l++)
            for (unsigned k = 0; k < TYPE_KEYS; k++) {
                snprintf(key, sizeof key, "%c:%u", *l, k);
                different += fn(&a, &b, key);
            }
    }
    client_close(&a);
    client_close(&b);
    assert_int_equal(different, 0);
}

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

static void
what_a_killed_server_kept_is_what_redis_has(void **state)
{
    (void)state;
    for_each_key(compare_key);
    live_kill(&diff.ours);
    assert_true(live_start(&diff.ours));
    for_each_key(compare_key);
}

static unsigned
carry_over(struct client *from, struct client *to, const char *key)
{
    char line[64], *payload, *restore;
    unsigned different = 0;

    snprintf(line, sizeof line, "DUMP %s", key);
    payload = nq_strdup(client_ask(from, line));
    if (payload[0] == '"') {
        size_t size = strlen(payload) + 64;

        restore = nq_malloc(size);
        snprintf(restore, size, "RESTORE %s 0 %s REPLACE", key, payload);
        if (strcmp(client_ask(to, restore), "+OK") != 0) {
            print_message("%.300s: %s\n", restore, client_ask(to, restore));
            different++;
        }
        nq_free(restore);
    }
    nq_free(payload);
    return different;
}

static unsigned
exchange(struct client *a, struct client *b, const char *key)
{
    char line[64];
    unsigned different;

    /* A value without its time to live, as RESTORE makes it. */
    snprintf(line, sizeof line, "PERSIST %s", key);
    different = !diff_ask(&grammar, a, b, line);
    different += carry_over(a, b, key) + carry_over(b, a, key);
    return different + compare_key(a, b, key);
}

static void
dumped_values_travel_both_ways(void **state)
{
    (void)state;
    for_each_key(exchange);
}

static int
start(void **state)
{
    int rc = diff_start(state);

    rng_seed(&commands.rng, diff.seed);
    return rc;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reply_is_that_of_redis_in_resp2),
        cmocka_unit_test(what_a_killed_server_kept_is_what_redis_has),
        cmocka_unit_test(dumped_values_travel_both_ways),
        cmocka_unit_test(every_reply_is_that_of_redis_in_resp3),
        cmocka_unit_test(what_a_killed_server_kept_is_what_redis_has),
        cmocka_unit_test(dumped_values_travel_both_ways),
    };

    if (!diff_is_possible("test_differential_types"))
        return 0;
    return cmocka_run_group_tests(tests, start, diff_stop);
}
