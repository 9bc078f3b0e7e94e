/* kill -9 of a real server and of its subscribers, again and again: who comes
 * back FROM the last position it saw misses nothing and gets nothing twice,
 * and what it then knows is what the store holds.
 *
 * ROUNDS (3) kills of the server in each mode; SEED repeats the random
 * choices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "../lib/feed_fleet.h"
#include "../lib/live_server.h"
#include "base/rng.h"

#define ROUND_MS 500
#define DOWN_MS 60
#define FINISH_MS 30000

static unsigned
rounds(void)
{
    const char *text = getenv("ROUNDS");

    return text == NULL ? 3 : (unsigned)strtoull(text, NULL, 10);
}

static uint64_t
seed(void)
{
    const char *text = getenv("SEED");

    return text == NULL ? rng_seed_from_os() : strtoull(text, NULL, 10);
}

static void
run_mode(const char *fsync)
{
    struct live_server srv;
    struct feed_fleet_opts o = {.subscribers = 30,
                                .writers = 3,
                                .keys = 120,
                                .rate = 3000,
                                .kills = 20,
                                .has_stuck = true,
                                .seed = seed()};
    struct feed_fleet *ff;
    struct feed_fleet_stats stats;

    print_message("SEED=%llu\n", (unsigned long long)o.seed);
    live_init(&srv);
    srv.options[0] = "--appendfsync";
    srv.options[1] = fsync;
    srv.options[2] = "--storage.flush.checkpoint_log_size";
    srv.options[3] = "1mb";
    srv.options[4] = "--websocket.performance.send_buffer_size";
    srv.options[5] = "16kb";
    srv.options[6] = "--websocket.queues.message_queue_size";
    srv.options[7] = "200";
    assert_true(live_start(&srv));
    o.port = srv.port;
    ff = feed_fleet_new(&o);
    feed_fleet_run(ff, ROUND_MS);
    for (unsigned i = 0; i < rounds(); i++) {
        live_kill(&srv);
        feed_fleet_run(ff, DOWN_MS);
        assert_true(live_start(&srv));
        feed_fleet_run(ff, ROUND_MS);
    }
    if (!feed_fleet_finish(ff, FINISH_MS)) {
        live_print_log(&srv);
        fail_msg("%s", feed_fleet_why(ff));
    }
    feed_fleet_get_stats(ff, &stats);
    print_message("%llu changes, %llu messages, %llu subscriptions resumed\n",
                  stats.changes, stats.messages, stats.resumed);
    assert_true(stats.messages > stats.changes && stats.resumed > 10);
    feed_fleet_free(ff);
    assert_int_equal(live_stop(&srv), 0);
    live_fini(&srv);
}

static void
subscribers_miss_nothing_with_fsync_always(void **state)
{
    (void)state;
    run_mode("always");
}

static void
subscribers_miss_nothing_with_fsync_everysec(void **state)
{
    (void)state;
    run_mode("everysec");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscribers_miss_nothing_with_fsync_always),
        cmocka_unit_test(subscribers_miss_nothing_with_fsync_everysec),
    };

    return cmocka_run_group_tests_name("crash_feeds", tests, NULL, NULL);
}
