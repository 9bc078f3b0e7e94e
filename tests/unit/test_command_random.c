/* Every command with arguments drawn at random: nothing crashes, and what
 * comes back is well-formed RESP, whatever was asked. */
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
#include "cmd/command.h"
#include "os/clock.h"

#define CLIENTS 4
#define COMMANDS 12000
#define ARGS_MAX 7
#define TURNS 200 /* that a command may wait before its client gives up */

static const char *const words[] = {
    "a",
    "b",
    "k1",
    "k2",
    "k3",
    "",
    "0",
    "1",
    "-1",
    "5",
    "100",
    "1.5",
    "-",
    "+",
    "[a",
    "(k1",
    "[k3",
    "*",
    "k?",
    "nx",
    "xx",
    "gt",
    "ex",
    "px",
    "exat",
    "keepttl",
    "get",
    "set",
    "limit",
    "count",
    "match",
    "type",
    "string",
    "withscores",
    "idx",
    "len",
    "and",
    "or",
    "not",
    "u8",
    "i64",
    "#1",
    "wrap",
    "sat",
    "overflow",
    "incrby",
    "rev",
    "meta",
    "keysonly",
    "valuesonly",
    "replace",
    "db",
    "abc",
    "bit",
    "byte",
    "persist",
    "async",
    "sync",
    "samples",
    "all",
    "id",
    "no",
    "on",
    "yes",
    "off",
    "filterby",
    "aclcat",
    "pattern",
    "3",
    "default",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "1e308",
    "nan",
    "\xff\x01",
};

/* --- is it RESP? -----------------------------------------------------------
 */

/* Takes one line without its CR LF off `in`. */
static bool
take_line(struct slice *in, struct slice *line)
{
    const uint8_t *cr = in->len == 0 ? NULL : memchr(in->p, '\r', in->len);
    size_t n = cr == NULL ? 0 : (size_t)(cr - in->p);

    if (cr == NULL || n + 2 > in->len || cr[1] != '\n')
        return false;
    *line = slice_of(in->p, n);
    *in = slice_of(in->p + n + 2, in->len - n - 2);
    return n > 0;
}

static bool
take_bytes(struct slice *in, int64_t n)
{
    if (n < 0)
        return n == -1;
    if ((uint64_t)n + 2 > in->len || memcmp(in->p + n, "\r\n", 2) != 0)
        return false;
    *in = slice_of(in->p + n + 2, in->len - (size_t)n - 2);
    return true;
}

static bool
take_value(struct slice *in)
{
    struct slice line;
    int64_t n = 0;

    if (!take_line(in, &line))
        return false;
    if (strchr("+-_#,(", line.p[0]) != NULL)
        return true;
    if (!slice_to_i64(slice_of(line.p + 1, line.len - 1), &n))
        return false;
    if (line.p[0] == ':')
        return true;
    if (line.p[0] == '$' || line.p[0] == '=')
        return take_bytes(in, n);
    if (strchr("*%~>", line.p[0]) == NULL)
        return false;
    for (n *= line.p[0] == '%' ? 2 : 1; n > 0; n--)
        if (!take_value(in))
            return false;
    return n == 0 || n == -1;
}

static void
check_output(struct fake_client *c, const char *line)
{
    struct slice out = fake_read_raw(c), rest = out;

    while (rest.len > 0)
        if (!take_value(&rest))
            fail_msg("after %s: %.*s", line, (int)out.len, (const char *)out.p);
}

/* --- drawing ---------------------------------------------------------------
 */

/* Ends the process, ends the client, or has no end. */
static bool
is_spared(const struct command *cmd)
{
    static const char *const names[] = {"shutdown", "quit", "client|kill",
                                        "client|pause", "debug"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(cmd->name, names[i]) == 0)
            return true;
    return cmd->fn == NULL;
}

static const struct command *
draw_command(struct rng *r)
{
    for (;;) {
        const struct command *cmd =
            command_at((unsigned)rng_below(r, command_count()));
        unsigned subs = 0;

        while (cmd->subs != NULL && cmd->subs[subs].name != NULL)
            subs++;
        if (subs > 0 && rng_below(r, 8) != 0)
            cmd = &cmd->subs[rng_below(r, subs)];
        if (!is_spared(cmd))
            return cmd;
    }
}

static void
draw_line(struct rng *r, char *line, size_t size)
{
    const struct command *cmd = draw_command(r);
    unsigned least = (unsigned)abs(cmd->arity) - 1;
    unsigned n = least + (cmd->arity < 0 ? (unsigned)rng_below(r, 4) : 0);
    size_t len = (size_t)snprintf(line, size, "%s", cmd->name);
    char *bar = strchr(line, '|');

    if (bar != NULL) {
        *bar = ' ';
        n -= n > 0;
    }
    if (rng_below(r, 20) == 0)
        n = (unsigned)rng_below(r, ARGS_MAX);
    for (unsigned i = 0; i < n && len < size; i++)
        len += (size_t)snprintf(
            line + len, size - len, " '%s'",
            words[rng_below(r, sizeof words / sizeof words[0])]);
}

/* Waits for a while; a client whose command has no end leaves. */
static void
settle(struct engine_env *env, struct fake_client *c, struct rng *r)
{
    for (unsigned i = 0; c->nkept > 0 && i < TURNS; i++) {
        engine_env_turn(env);
        usleep(20);
    }
    /* Few get out of MULTI or a subscription by chance. */
    if (c->nkept > 0 || c->is_closed || rng_below(r, 60) == 0) {
        fake_close(c);
        fake_open(env, c);
    }
}

static void
any_arguments_get_a_well_formed_answer(void **state)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10)
                                  : rng_seed_from_os() % 1000000;
    struct fake_client clients[CLIENTS];
    struct engine_env env;
    struct rng r;
    char line[512];

    (void)state;
    printf("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&r, seed);
    engine_env_init(&env, 1 << 20);
    for (unsigned i = 0; i < CLIENTS; i++)
        fake_open(&env, &clients[i]);
    for (unsigned i = 0; i < COMMANDS; i++) {
        unsigned who = (unsigned)rng_below(&r, CLIENTS);

        draw_line(&r, line, sizeof line);
        fake_send(&clients[who], line);
        settle(&env, &clients[who], &r);
        for (unsigned k = 0; k < CLIENTS; k++)
            check_output(&clients[k], line);
        if (i % 50 == 49) {
            engine_env_turn(&env);
            engine_cron(env.e);
        }
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        fake_close(&clients[i]);
    engine_env_fini(&env);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_arguments_get_a_well_formed_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
