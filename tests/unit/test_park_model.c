/* Several clients over a pool far smaller than the data: commands park and
 * run again in any order among clients, and each client sees exactly what a
 * plain model of its keys says, in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/frames.h"
#include "store/store.h"

#define CLIENTS 4
#define KEYS 600 /* of each client */
#define VALUE_MAX 900
#define ROUNDS 1500
#define POOL (64 * 4096)

struct player {
    struct fake_client c;
    struct buf want;
    char values[KEYS][VALUE_MAX + 1]; /* "": absent */
    bool in_multi;
    struct buf queued; /* replies of the open MULTI */
    unsigned nqueued;
};

static struct player players[CLIENTS];

/* What the command at hand is to answer: now, or at EXEC. */
static void
expect(struct player *p, const char *text)
{
    if (!p->in_multi) {
        buf_put_str(&p->want, text);
        return;
    }
    buf_put_str(&p->want, "+QUEUED|");
    buf_put_str(&p->queued, text);
    p->nqueued++;
}

static void
random_value(struct rng *r, char *dst)
{
    size_t n = 1 + rng_below(r, VALUE_MAX);

    for (size_t i = 0; i < n; i++)
        dst[i] = (char)('a' + rng_below(r, 26));
    dst[n] = '\0';
}

static void
bulk_of(const char *value, char *dst, size_t size)
{
    if (value[0] == '\0')
        snprintf(dst, size, "$-1|");
    else
        snprintf(dst, size, "$%zu|%s|", strlen(value), value);
}

static void
write_one(struct player *p, struct rng *r, unsigned who, unsigned key,
          char *line, size_t size)
{
    char *value = p->values[key], text[32];

    switch (rng_below(r, 3)) {
    case 0:
        random_value(r, value);
        snprintf(line, size, "set %u:%04u %s", who, key, value);
        expect(p, "+OK|");
        break;
    case 1:
        snprintf(line, size, "del %u:%04u", who, key);
        expect(p, value[0] == '\0' ? ":0|" : ":1|");
        value[0] = '\0';
        break;
    default:
        snprintf(line, size, "append %u:%04u xyz", who, key);
        if (strlen(value) + 3 > VALUE_MAX)
            snprintf(line, size, "strlen %u:%04u", who, key);
        else
            memcpy(value + strlen(value), "xyz", 4);
        snprintf(text, sizeof text, ":%zu|", strlen(value));
        expect(p, text);
    }
}

static void
read_one(struct player *p, unsigned who, unsigned a, unsigned b, char *line,
         size_t size)
{
    char text[2 * VALUE_MAX + 64], bulk[VALUE_MAX + 32];
    size_t n;

    snprintf(line, size, "mget %u:%04u %u:%04u", who, a, who, b);
    n = (size_t)snprintf(text, sizeof text, "*2|");
    bulk_of(p->values[a], bulk, sizeof bulk);
    n += (size_t)snprintf(text + n, sizeof text - n, "%s", bulk);
    bulk_of(p->values[b], bulk, sizeof bulk);
    snprintf(text + n, sizeof text - n, "%s", bulk);
    expect(p, text);
}

static void
begin_or_end_multi(struct player *p, char *line, size_t size)
{
    if (!p->in_multi) {
        snprintf(line, size, "multi");
        expect(p, "+OK|");
        p->in_multi = true;
        return;
    }
    p->in_multi = false;
    snprintf(line, size, "exec");
    buf_printf(&p->want, "*%u|", p->nqueued);
    buf_put_slice(&p->want, buf_slice(&p->queued));
    buf_clear(&p->queued);
    p->nqueued = 0;
}

static void
send_one(struct player *p, struct rng *r, unsigned who)
{
    char line[VALUE_MAX + 64];
    unsigned key = (unsigned)rng_below(r, KEYS);

    switch (rng_below(r, 8)) {
    case 0:
        begin_or_end_multi(p, line, sizeof line);
        break;
    case 1:
    case 2:
    case 3:
        read_one(p, who, key, (unsigned)rng_below(r, KEYS), line, sizeof line);
        break;
    default:
        write_one(p, r, who, key, line, sizeof line);
    }
    fake_send(&p->c, line);
}

static void
settle_and_compare(struct engine_env *env, struct player *p)
{
    const char *got;

    for (unsigned i = 0; p->c.nkept > 0; i++) {
        assert_true(i < 100000);
        engine_env_turn(env);
        usleep(20); /* the workers need the processor, too */
    }
    got = fake_read(&p->c);
    buf_put_u8(&p->want, 0);
    assert_string_equal(got, (const char *)p->want.p);
    buf_clear(&p->want);
}

static void
every_client_sees_its_own_keys_as_it_left_them(void **state)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10)
                                  : rng_seed_from_os() % 1000000;
    struct engine_env env;
    struct rng r;

    (void)state;
    printf("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&r, seed);
    engine_env_init(&env, POOL);
    for (unsigned i = 0; i < CLIENTS; i++)
        fake_open(&env, &players[i].c);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < 24; n++) {
            unsigned who = (unsigned)rng_below(&r, CLIENTS);

            if (players[who].c.nkept < FAKE_KEPT)
                send_one(&players[who], &r, who);
        }
        engine_env_turn(&env);
        if (round % 7 == 6)
            for (unsigned i = 0; i < CLIENTS; i++)
                settle_and_compare(&env, &players[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        settle_and_compare(&env, &players[i]);
        fake_close(&players[i].c);
        buf_fini(&players[i].want);
        buf_fini(&players[i].queued);
    }
    assert_true(env.e->stats.parked_commands > 50);
    assert_int_equal(env.e->transactions, 0);
    engine_env_fini(&env);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_client_sees_its_own_keys_as_it_left_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
