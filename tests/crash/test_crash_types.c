/* kill -9 of a real server while clients change values of every type, again
 * and again: no acknowledged element is lost.
 *
 * Each client has a database of its own and sends random commands
 * (tests/lib/type_grammar.h), some of them inside MULTI.  A second server
 * that nobody kills runs the same commands: up to the last acknowledged one,
 * then one by one those that were sent but not answered.  After a restart the
 * killed server must hold what the other one holds at one of these points:
 * nothing acknowledged is missing, nothing is out of order, blocks happened
 * as a whole or not at all.
 *
 * ROUNDS (2) kills in each mode; SEED repeats the random choices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/client.h"
#include "../lib/type_grammar.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/thread.h"

#define WRITERS 4
#define IN_FLIGHT 24 /* commands sent at once */
#define BLOCK_MAX 6  /* commands of a MULTI block */

/* One unit: a command, or a block with MULTI and EXEC around it. */
struct unit {
    char *lines[BLOCK_MAX + 2];
    unsigned n;
};

struct writer {
    struct live_server *server;
    unsigned dbi;
    struct type_grammar grammar;
    struct unit sent[IN_FLIGHT]; /* not acknowledged, in order */
    unsigned sent_count;
    struct buf acked; /* lines acknowledged in this round, each terminated */
    uint64_t acknowledged;
    pthread_t thread;
};

static struct live_server killed, reference;

/* --- writing ------------------------------------------------------------- */

static bool
waits(const char *line)
{
    return line[0] == 'B' || strncmp(line, "XREAD BLOCK", 11) == 0;
}

/* What would leave the writer's database or its connection. */
static bool
leaves(const char *line)
{
    static const char *const words[] = {"SELECT", "SWAPDB", "MOVE",
                                        "MULTI",  "EXEC",   "DISCARD",
                                        "WATCH",  "UNWATCH"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strncmp(line, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

static char *
next_line(struct type_grammar *g, bool in_block)
{
    struct buf b = BUF_INIT;
    char *line;

    do {
        buf_clear(&b);
        type_command(g, &b);
    } while (leaves((const char *)b.p) ||
             (!in_block && waits((const char *)b.p)));
    line = nq_strdup((const char *)b.p);
    buf_fini(&b);
    return line;
}

static struct unit
next_unit(struct type_grammar *g)
{
    struct unit u = {.n = 0};
    uint64_t commands;

    if (rng_below(&g->rng, 8) != 0) {
        u.lines[u.n++] = next_line(g, false);
        return u;
    }
    u.lines[u.n++] = nq_strdup("MULTI");
    for (commands = 1 + rng_below(&g->rng, BLOCK_MAX); commands > 0; commands--)
        u.lines[u.n++] = next_line(g, true);
    u.lines[u.n++] = nq_strdup("EXEC");
    return u;
}

static void
forget_unit(struct unit *u)
{
    for (unsigned i = 0; i < u->n; i++)
        nq_free(u->lines[i]);
    u->n = 0;
}

/* False: the connection is gone. */
static bool
take_replies(struct client *c, unsigned n)
{
    while (n-- > 0)
        if (strcmp(client_read(c), "(closed)") == 0)
            return false;
    return true;
}

static void
acknowledge_first(struct writer *w)
{
    struct unit *u = &w->sent[0];

    for (unsigned i = 0; i < u->n; i++)
        buf_put(&w->acked, u->lines[i], strlen(u->lines[i]) + 1);
    forget_unit(u);
    memmove(w->sent, w->sent + 1, --w->sent_count * sizeof *w->sent);
    w->acknowledged++;
}

static bool
one_batch(struct writer *w, struct client *c)
{
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        struct unit *u = &w->sent[w->sent_count++];

        *u = next_unit(&w->grammar);
        for (unsigned k = 0; k < u->n; k++)
            client_send(c, u->lines[k]);
    }
    while (w->sent_count > 0) {
        if (!take_replies(c, w->sent[0].n))
            return false;
        acknowledge_first(w);
    }
    return true;
}

static void
select_own(struct client *c, unsigned dbi)
{
    char line[32];

    snprintf(line, sizeof line, "SELECT %u", dbi);
    client_send(c, line);
    (void)client_read(c);
}

static void *
writer_main(void *arg)
{
    struct writer *w = arg;
    struct client c;

    if (!client_try_open(&c, w->server->port))
        return NULL;
    select_own(&c, w->dbi);
    while (one_batch(w, &c))
        ;
    client_close(&c);
    return NULL;
}

/* --- comparing ----------------------------------------------------------- */

static uint64_t
mix(uint64_t sum, const char *text)
{
    return hash_u64(sum ^ hash_bytes(slice_str(text)));
}

/* Groups too: what each has read, and who has what pending. */
static uint64_t
mix_groups(uint64_t sum, struct client *c, const char *key)
{
    char line[64];

    for (unsigned g = 1; g <= 3; g++) {
        snprintf(line, sizeof line, "XPENDING %s g%u", key, g);
        sum = mix(sum, client_ask(c, line));
    }
    return sum;
}

/* Of everything in the database that the client has selected. */
static uint64_t
digest(struct client *c)
{
    uint64_t sum = 0;
    char key[8], line[64];

    for (const char *l = TYPE_LETTERS; *l != '\0'; l++)
        for (unsigned k = 0; k < TYPE_KEYS; k++) {
            const char *read;

            snprintf(key, sizeof key, "%c:%u", *l, k);
            snprintf(line, sizeof line, "TYPE %s", key);
            read = type_whole_read(client_ask(c, line));
            if (read == NULL)
                continue;
            snprintf(line, sizeof line, read, key);
            sum = mix(mix(sum, key), client_ask(c, line));
            if (read[0] == 'X')
                sum = mix_groups(sum, c, key);
        }
    return sum;
}

static void
replay_acknowledged(struct writer *w, struct client *c)
{
    const char *p = (const char *)w->acked.p, *end = p + w->acked.len;

    for (; p < end; p += strlen(p) + 1)
        (void)client_ask(c, p);
    buf_clear(&w->acked);
}

static void
print_unacknowledged(const struct writer *w)
{
    print_error("database %u, after these not acknowledged:\n", w->dbi);
    for (unsigned i = 0; i < w->sent_count; i++)
        for (unsigned k = 0; k < w->sent[i].n; k++)
            print_error("  %.200s\n", w->sent[i].lines[k]);
    live_print_log(&killed);
}

/* The reference catches up until it holds what the killed server holds. */
static void
check_writer(struct writer *w)
{
    struct client c, r;
    uint64_t found;
    unsigned p = 0;

    client_open(&c, &killed);
    client_open(&r, &reference);
    select_own(&c, w->dbi);
    select_own(&r, w->dbi);
    found = digest(&c);
    replay_acknowledged(w, &r);
    while (digest(&r) != found && p < w->sent_count) {
        for (unsigned k = 0; k < w->sent[p].n; k++)
            (void)client_ask(&r, w->sent[p].lines[k]);
        p++;
    }
    if (digest(&r) != found) {
        print_unacknowledged(w);
        fail_msg("an acknowledged write is missing, or out of order");
    }
    for (unsigned i = 0; i < w->sent_count; i++)
        forget_unit(&w->sent[i]);
    w->sent_count = 0;
    client_close(&c);
    client_close(&r);
}

/* --- rounds -------------------------------------------------------------- */

/* What the server is asked to do beside the writers, so that kills fall into
 * it as well.  Some of it is refused by some settings. */
static const char *const maintenance[] = {
    "BGSAVE",
    "NQ.COMPACT ASYNC",
    "NQ.ENCRYPT ROTATE DATA",
    "NQ.COMPACT FULL ASYNC",
};

static void
maintain_now_and_then(struct rng *rng, uint64_t until_us)
{
    struct client c;

    if (!client_try_open(&c, killed.port))
        return;
    while (clock_mono_us() < until_us) {
        thread_sleep_us(5000 + rng_below(rng, 60000));
        (void)client_ask(&c,
                         maintenance[rng_below(rng, nq_countof(maintenance))]);
    }
    client_close(&c);
}

static void
one_round(struct writer *writers, struct rng *rng)
{
    uint64_t until = clock_mono_us() + 20000 + rng_below(rng, 300000);

    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(
            pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]),
            0);
    if (rng_below(rng, 2) == 0)
        maintain_now_and_then(rng, until);
    while (clock_mono_us() < until)
        thread_sleep_us(500);
    live_kill(&killed);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    assert_true(live_start(&killed));
    for (unsigned i = 0; i < WRITERS; i++)
        check_writer(&writers[i]);
}

static uint64_t
number_from(const char *name, uint64_t otherwise)
{
    const char *env = getenv(name);

    return env != NULL ? strtoull(env, NULL, 10) : otherwise;
}

/* `more` are settings, up to NULL. */
static void
kill_rounds(const char *fsync, const char *pool, const char *const *more)
{
    uint64_t seed = number_from("SEED", rng_seed_from_os());
    uint64_t rounds = number_from("ROUNDS", 2), acknowledged = 0;
    static struct writer writers[WRITERS];
    struct rng rng;

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    live_init(&killed);
    live_init(&reference);
    killed.options[0] = "--appendfsync";
    killed.options[1] = fsync;
    killed.options[2] = "--maxmemory";
    killed.options[3] = pool;
    for (unsigned i = 0; more != NULL && more[i] != NULL; i++)
        killed.options[4 + i] = more[i];
    memset(writers, 0, sizeof writers);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].server = &killed;
        writers[i].dbi = i;
        writers[i].grammar.next_id = 1;
        rng_seed(&writers[i].grammar.rng, seed + i + 1);
    }
    assert_true(live_start(&killed));
    assert_true(live_start(&reference));
    for (uint64_t n = 0; n < rounds; n++)
        one_round(writers, &rng);
    for (unsigned i = 0; i < WRITERS; i++) {
        acknowledged += writers[i].acknowledged;
        buf_fini(&writers[i].acked);
    }
    assert_true(acknowledged > rounds);
    print_message("%s: %llu kills, %llu acknowledged commands, none lost\n",
                  fsync, (unsigned long long)rounds,
                  (unsigned long long)acknowledged);
    assert_int_equal(live_stop(&killed), 0);
    assert_int_equal(live_stop(&reference), 0);
    live_fini(&killed);
    live_fini(&reference);
}

static void
no_element_is_lost_with_fsync_always(void **state)
{
    (void)state;
    kill_rounds("always", "64mb", NULL);
}

static void
no_element_is_lost_with_fsync_everysec(void **state)
{
    (void)state;
    kill_rounds("everysec", "64mb", NULL);
}

static void
no_element_is_lost_with_a_small_pool(void **state)
{
    (void)state;
    kill_rounds("no", "1mb", NULL);
}

/* Encrypted, compressed with dictionaries, with parity. */
static void
no_element_is_lost_with_all_that_can_be_set(void **state)
{
    static const char key[] = "00112233445566778899aabbccddeeff"
                              "00112233445566778899aabbccddeeff\n";
    char path[] = "/tmp/nqdb-test-XXXXXX";
    const char *const more[] = {"--security.encryption.enabled",
                                "yes",
                                "--security.encryption.key_path",
                                path,
                                "--storage.ecc",
                                "yes",
                                "--compression.enabled",
                                "yes",
                                NULL};
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, key, sizeof key - 1), (int)sizeof key - 1);
    close(fd);
    kill_rounds("everysec", "2mb", more);
    assert_int_equal(unlink(path), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_element_is_lost_with_fsync_always),
        cmocka_unit_test(no_element_is_lost_with_fsync_everysec),
        cmocka_unit_test(no_element_is_lost_with_a_small_pool),
        cmocka_unit_test(no_element_is_lost_with_all_that_can_be_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
