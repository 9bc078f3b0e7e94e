/* Queries of ranges over sockets, in both protocols: the form of answers, a
 * client library, a long query beside short ones, one that is given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/client.h"
#include "base/check.h"

#define ROWS 20000

static struct live_server srv;
static struct client c;

static int
start(void **state)
{
    (void)state;
    return live_begin(&srv, "--maxmemory", "32mb", NULL) ? 0 : -1;
}

static int
stop(void **state)
{
    (void)state;
    return live_end(&srv);
}

static int
open_client(void **state)
{
    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "FLUSHALL", "+OK");
    return 0;
}

static int
close_client(void **state)
{
    (void)state;
    client_close(&c);
    return 0;
}

static void
put_few(void)
{
    client_expect(&c, "HSET s:1 temp 20 site north", ":2");
    client_expect(&c, "HSET s:2 temp 26.5 site south", ":2");
    client_expect(&c,
                  "SET s:3 \"{\\\"temp\\\": 30, \\\"site\\\": \\\"north\\\"}\"",
                  "+OK");
    client_expect(&c, "RPUSH s:4 a b", ":2");
}

/* --- the form of answers -------------------------------------------------- */

static void
fields_are_a_flat_array_in_resp2(void **state)
{
    (void)state;
    put_few();
    client_expect(&c, "NQ.RANGE s: s; WHERE temp > 25 RETURN temp site",
                  "[\"s:2\", [\"temp\", \"26.5\", \"site\", \"south\"], "
                  "\"s:3\", [\"temp\", \"30\", \"site\", \"north\"]]");
    client_expect(&c, "NQ.PREFIX s: WHERE site = north KEYSONLY REV",
                  "[\"s:3\", \"s:1\"]");
    client_expect(&c, "NQ.PREFIX s: WHERE temp = 20 VALUESONLY",
                  "[[\"temp\", \"20\", \"site\", \"north\"]]");
    client_expect(&c, "NQ.PREFIX s: WHERE $len = 2 RETURN nothing $type",
                  "[\"s:1\", [\"nothing\", (nil), \"$type\", \"hash\"], "
                  "\"s:2\", [\"nothing\", (nil), \"$type\", \"hash\"], "
                  "\"s:4\", [\"nothing\", (nil), \"$type\", \"list\"]]");
    client_expect(&c, "NQ.PREFIX s:4", "[\"s:4\", (nil)]");
    client_expect(&c, "NQ.PREFIX s:1",
                  "[\"s:1\", [\"temp\", \"20\", \"site\", \"north\"]]");
}

static void
fields_are_a_map_in_resp3(void **state)
{
    (void)state;
    put_few();
    client_expect(&c, "HELLO 3", "{...");
    client_expect(&c, "NQ.RANGE s: s; WHERE temp > 25 RETURN temp LIMIT 1 5",
                  "[\"s:3\", {\"temp\": \"30\"}]");
    client_expect(&c, "NQ.PREFIX s:1",
                  "[\"s:1\", {\"temp\": \"20\", \"site\": \"north\"}]");
    client_expect(&c, "NQ.AGG PREFIX s: COUNT SUM temp AVG temp MIN site",
                  "{\"count\": :4, \"sum temp\": ,76.5, \"avg temp\": ,25.5, "
                  "\"min site\": \"north\"}");
    client_expect(&c, "NQ.AGG PREFIX s: COUNT GROUP BY site",
                  "[(nil), {\"count\": :1}, \"north\", {\"count\": :2}, "
                  "\"south\", {\"count\": :1}]");
    client_expect(&c, "NQ.COUNT s: s; WHERE temp BETWEEN 20 AND 27", ":2");
}

static void
errors_tell_the_place(void **state)
{
    (void)state;
    client_expect(&c, "NQ.RANGE - + WHERE temp >", "-ERR query: ...");
    client_expect(&c, "NQ.COUNT - + LIMIT 0 1", "-ERR syntax error");
    client_expect(&c, "NQ.AGG PREFIX a", "-ERR wrong number of arguments...");
    client_expect(&c, "NQ.RANGE - + RETURN", "-ERR syntax error");
    client_expect(&c, "NQ.RANGE - + WHERE a = 1 LIMIT -1 5", "[]");
}

/* --- a client library ----------------------------------------------------- */

static void
a_library_reads_what_workers_found(void **state)
{
    redisContext *r = live_connect(&srv);
    unsigned matches = 0;
    redisReply *reply;

    (void)state;
    assert_non_null(r);
    for (int i = 0; i < ROWS; i++)
        redisAppendCommand(r, "HSET r:%05d v %d site s%d", i, i % 1000, i % 3);
    for (int i = 0; i < ROWS; i++) {
        assert_int_equal(redisGetReply(r, (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
    reply = redisCommand(r, "NQ.RANGE - + WHERE v>=990 RETURN v site");
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    for (int i = 0; i < ROWS; i++) {
        const redisReply *fields;
        char key[16], v[16];

        if (i % 1000 < 990)
            continue;
        snprintf(key, sizeof key, "r:%05d", i);
        snprintf(v, sizeof v, "%d", i % 1000);
        assert_string_equal(reply->element[2 * matches]->str, key);
        fields = reply->element[2 * matches + 1];
        assert_int_equal(fields->elements, 4);
        assert_string_equal(fields->element[0]->str, "v");
        assert_string_equal(fields->element[1]->str, v);
        matches++;
    }
    assert_int_equal(reply->elements, 2 * matches);
    freeReplyObject(reply);
    reply = redisCommand(r, "NQ.COUNT - + WHERE v>=990");
    assert_int_equal(reply->integer, matches);
    freeReplyObject(reply);
    redisFree(r);
}

/* --- beside others -------------------------------------------------------- */

/* The query waits for workers; its client is kept, others are not. */
static void
short_commands_pass_a_long_query(void **state)
{
    struct client other;

    (void)state;
    a_library_reads_what_workers_found(state);
    client_open(&other, &srv);
    for (int i = 0; i < 20; i++) {
        client_send(&c, "NQ.AGG - + WHERE v > 3 COUNT GROUP BY v");
        client_expect(&other, "PING", "+PONG");
        client_expect_read(&c, "[\"10\", [\"count\", :20], ...");
        client_expect(&c, "SET r:00000x changed", "+OK");
    }
    client_close(&other);
}

static void
a_query_ends_with_its_connection(void **state)
{
    struct client gone;

    (void)state;
    a_library_reads_what_workers_found(state);
    for (int i = 0; i < 20; i++) {
        client_open(&gone, &srv);
        client_send(&gone, "NQ.RANGE - + WHERE v > 3 RETURN v");
        client_close(&gone);
    }
    client_expect(&c, "PING", "+PONG");
    client_expect(&c, "NQ.COUNT - + WHERE v = 999", ":20");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fields_are_a_flat_array_in_resp2,
                                        open_client, close_client),
        cmocka_unit_test_setup_teardown(fields_are_a_map_in_resp3, open_client,
                                        close_client),
        cmocka_unit_test_setup_teardown(errors_tell_the_place, open_client,
                                        close_client),
        cmocka_unit_test_setup_teardown(a_library_reads_what_workers_found,
                                        open_client, close_client),
        cmocka_unit_test_setup_teardown(short_commands_pass_a_long_query,
                                        open_client, close_client),
        cmocka_unit_test_setup_teardown(a_query_ends_with_its_connection,
                                        open_client, close_client),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
