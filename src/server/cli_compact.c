/* server/cli_compact.c - the loop of a server that does nothing else.
 *
 * Pages are written in the style that the file has: compressed if any are,
 * with parity if any have it.  Ended half-way, it leaves what a crash of a
 * server would: nothing is lost, and the next start of either goes on. */
#include "server/cli_compact.h"

#include <stdio.h>

#include "base/check.h"
#include "base/rc.h"
#include "db/compact.h"
#include "db/db.h"
#include "os/clock.h"
#include "os/pool.h"
#include "os/thread.h"
#include "store/frames.h"
#include "store/store.h"

#define LINE_US 1000000u
#define NAP_US 500u

static void
print_progress(const struct compact *c)
{
    struct compact_progress p;

    compact_get_progress(c, &p);
    printf("%s: %llu of %llu pages; %llu packed away, %llu moved; file of "
           "%llu bytes\n",
           p.phase, (unsigned long long)p.done, (unsigned long long)p.total,
           (unsigned long long)p.packed_away, (unsigned long long)p.moved,
           (unsigned long long)p.file_now);
    (void)fflush(stdout);
}

/* Waits for whatever moves it on. */
static void
wait_a_little(const struct cli_compact *k)
{
    if (pool_pending(k->pool) > 0)
        (void)pool_wait(k->pool);
    else
        thread_sleep_us(NAP_US);
}

static nq_rc
work(const struct cli_compact *k, struct compact *c)
{
    uint64_t line_us = clock_mono_us() + LINE_US;
    nq_rc rc;

    while ((rc = compact_step(c)) == NQ_AGAIN) {
        store_turn(k->store);
        if (compact_wait_ms(c) != 0)
            wait_a_little(k);
        else
            (void)pool_drain(k->pool);
        if (clock_mono_us() >= line_us) {
            print_progress(c);
            line_us = clock_mono_us() + LINE_US;
        }
    }
    return rc;
}

int
cli_compact_run(const struct cli_compact *k)
{
    struct compact_opts unfinished;
    struct compact_opts o = {.full = k->full, .bytes_per_s = k->bytes_per_s};
    struct compact_progress p;
    struct compact *c;
    nq_rc rc;

    if (compact_is_unfinished(k->db, &unfinished) && unfinished.full) {
        o.full = true;
        o.from = unfinished.from;
    }
    store_keep_style(k->store);
    (void)frames_set_blocking(store_frames(k->store), false);
    c = compact_new(k->db, &o);
    rc = work(k, c);
    compact_get_progress(c, &p);
    compact_free(c, rc == NQ_OK);
    if (rc != NQ_OK) {
        fprintf(stderr, "nqdb-cli: %s: %s\n", k->dir, rc_text(rc));
        return 2;
    }
    printf("done: %llu pages packed away, %llu moved, %llu damaged; file %llu "
           "-> %llu bytes\n",
           (unsigned long long)p.packed_away, (unsigned long long)p.moved,
           (unsigned long long)p.damaged, (unsigned long long)p.file_before,
           (unsigned long long)p.file_now);
    return p.damaged == 0 ? 0 : 1;
}
