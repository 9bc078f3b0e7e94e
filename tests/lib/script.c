/* tests/lib/script.c - see script.h.
 *
 * The first line of a unit selects a database, so units can be run by any
 * client.  "@clock MS" is a unit that moves the clock; then the background
 * deletes what has expired, so that what a later step back shows again does
 * not depend on how far it was. */
#include "script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "os/clock.h"
#include "os/pool.h"
#include "store/store.h"

#define POOL_BYTES (64u << 20)
#define BLOCK_MAX 6 /* commands in a MULTI block */
#define FAT_PAIRS 14
#define TURNS_MAX 2000
#define CLOCK_WORD "@clock "
#define FILLER_DATABASE "2" /* only FLUSHALL changes it, too */
#define FILLER_PREFIX "filler:"
#define FILLER_KEYS 2500
#define FILLER_LINES 200 /* of a unit */
#define HOUR UINT64_C(3600000)
#define YEAR (UINT64_C(8766) * HOUR)

/* --- running ------------------------------------------------------------- */

static bool
is_due(struct db *db)
{
    uint64_t due = db_next_due(db);

    return due != 0 && due <= clock_wall_ms();
}

static void
move_clock(struct engine_env *env, uint64_t ms)
{
    clock_freeze_wall(ms);
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        engine_env_turn(env);
        if (!is_due(env->db) || store_writable(env->store) != NQ_OK)
            return;
        if (pool_pending(env->pool) > 0)
            (void)pool_wait(env->pool);
    }
}

void
script_run_line(struct fake_client *c, const char *line)
{
    size_t word = strlen(CLOCK_WORD);

    if (strncmp(line, CLOCK_WORD, word) == 0)
        move_clock(c->env, strtoull(line + word, NULL, 10));
    else
        fake_send(c, line);
    fake_finish(c);
}

/* The lines from `begin` on. */
static void
run_lines(struct fake_client *c, const struct buf *lines, size_t begin)
{
    const char *p = (const char *)lines->p + begin;
    const char *end = (const char *)lines->p + lines->len;

    for (; p < end; p += strlen(p) + 1)
        script_run_line(c, p);
}

const char *
script_line(const struct script *s, unsigned n, const char *before)
{
    const struct buf *lines = &s->units[n];
    const char *first = (const char *)lines->p;
    const char *next = before == NULL ? first : before + strlen(before) + 1;

    return next < first + lines->len ? next : NULL;
}

bool
script_moves_clock(const struct script *s, unsigned n)
{
    return s->units[n].len > 0 && s->units[n].p[0] == '@';
}

void
script_print(const struct script *s, unsigned n)
{
    for (const char *p = NULL; (p = script_line(s, n, p)) != NULL;)
        fprintf(stderr, "  %u: %.100s\n", n, p);
}

/* --- what is there ------------------------------------------------------- */

/* Like a client that is thrown out, which is how an error in the middle of an
 * answer ends: it comes again. */
static void
come_again(struct fake_client *c)
{
    struct engine_env *env = c->env;
    uint32_t dbi = c->s.dbi;

    fake_close(c);
    fake_open(env, c);
    c->s.dbi = dbi;
}

/* Empty: an error after which the connection was closed. */
static struct slice
answer_to(struct fake_client *c, const char *format, const char *key)
{
    char line[64];

    snprintf(line, sizeof line, format, key);
    fake_send(c, line);
    fake_finish(c);
    if (!c->is_closed)
        return fake_read_raw(c);
    come_again(c);
    return slice_of(NULL, 0);
}

/* Mixes the answer in; an error makes it SCRIPT_DAMAGED, for good. */
static void
mix_answer(uint64_t *sum, struct fake_client *c, const char *format,
           const char *key)
{
    struct slice answer = answer_to(c, format, key);

    if (*sum == SCRIPT_DAMAGED || answer.len == 0 || answer.p[0] == '-')
        *sum = SCRIPT_DAMAGED;
    else
        *sum = hash_u64(*sum ^ hash_bytes(answer)) | 2;
}

/* The same of an array whose order means nothing, `group` strings being an
 * element. */
static void
mix_unordered(uint64_t *sum, struct fake_client *c, const char *format,
              const char *key, unsigned group)
{
    struct slice answer = answer_to(c, format, key);
    const char *p = (const char *)answer.p, *end = p + answer.len;
    uint64_t all = 0, one = 0;

    if (*sum == SCRIPT_DAMAGED || answer.len == 0 || *p == '-') {
        *sum = SCRIPT_DAMAGED;
        return;
    }
    p = (const char *)memchr(p, '\n', answer.len) + 1;
    for (unsigned i = 1; p < end; i++) {
        size_t n = strtoull(p + 1, NULL, 10);

        p = (const char *)memchr(p, '\n', (size_t)(end - p)) + 1;
        one = hash_u64(one ^ hash_bytes(slice_of(p, n)));
        p += n + 2;
        if (i % group == 0) {
            all += one;
            one = 0;
        }
    }
    *sum = hash_u64(*sum ^ all) | 2;
}

/* Hashes and sets keep their order by how they are kept, which depends on
 * pages; of the others DUMP tells all. */
static uint64_t
sum_of_key(struct fake_client *c, const char *key)
{
    char line[32], type[16];
    const char *read;
    uint64_t sum = 0;

    snprintf(line, sizeof line, "TYPE %s", key);
    snprintf(type, sizeof type, "%s", fake_ask(c, line));
    type[strcspn(type, "|")] = '\0';
    if ((read = type_whole_read(type)) == NULL)
        return type[0] == '-' ? SCRIPT_DAMAGED : 0;
    mix_answer(&sum, c, "PEXPIRETIME %s", key);
    if (strcmp(type, "+hash") == 0) {
        mix_unordered(&sum, c, read, key, 2);
        mix_answer(&sum, c, "HPEXPIRETIME %s FIELDS 6 a b c d e f", key);
    } else if (strcmp(type, "+set") == 0) {
        mix_unordered(&sum, c, read, key, 1);
    } else {
        mix_answer(&sum, c, read, key);
        mix_answer(&sum, c, "DUMP %s", key);
    }
    return sum;
}

void
script_read(struct engine_env *env, struct script_state *out)
{
    struct fake_client c;
    size_t slot = 0;

    fake_open(env, &c);
    for (unsigned d = 0; d < SCRIPT_DATABASES; d++) {
        char key[16];

        snprintf(key, sizeof key, "%u", d);
        out->slots[slot] = 0;
        (void)answer_to(&c, "SELECT %s", key);
        if (clock_wall_ms() == SCRIPT_BEGIN) /* else it counts expired ones */
            mix_answer(&out->slots[slot], &c, "DBSIZE", key);
        slot++;
        for (const char *l = TYPE_LETTERS; *l != '\0'; l++)
            for (unsigned k = 0; k < SCRIPT_KEYS; k++) {
                snprintf(key, sizeof key, "%c:%u", *l, k);
                out->slots[slot++] = sum_of_key(&c, key);
            }
    }
    out->slots[slot] = 0;
    (void)answer_to(&c, "SELECT %s", FILLER_DATABASE);
    mix_answer(&out->slots[slot++], &c, "NQ.PREFIX %s", FILLER_PREFIX);
    nq_assert(slot == SCRIPT_SLOTS);
    fake_close(&c);
}

void
script_slot_name(size_t slot, char name[32])
{
    size_t d = slot / SCRIPT_DATABASE_SLOTS, i = slot % SCRIPT_DATABASE_SLOTS;

    if (slot == SCRIPT_FILLER)
        snprintf(name, 32, "filler");
    else if (i == 0)
        snprintf(name, 32, "%zu", d);
    else
        snprintf(name, 32, "%zu %c:%zu", d, TYPE_LETTERS[(i - 1) / SCRIPT_KEYS],
                 (i - 1) % SCRIPT_KEYS);
}

bool
script_is_state(const struct script_state *found,
                const struct script_state *want, unsigned *damaged)
{
    unsigned n = 0;

    for (size_t i = 0; i < SCRIPT_SLOTS; i++) {
        if (found->slots[i] == SCRIPT_DAMAGED)
            n++;
        else if (found->slots[i] != want->slots[i])
            return false;
    }
    if (damaged != NULL)
        *damaged = n;
    return n == 0 || damaged != NULL;
}

/* --- commands ------------------------------------------------------------ */

static bool
begins_with_one_of(const char *line, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strncmp(line, *words, strlen(*words)) == 0)
            return true;
    return false;
}

static void
put_grammar_line(struct type_grammar *g, struct buf *out, bool in_block)
{
    static const char *const states[] = {
        "MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "SELECT", NULL};
    static const char *const waits[] = {"B", "XREAD BLOCK", NULL};
    size_t begin = out->len;
    const char *line;

    do {
        out->len = begin;
        type_command(g, out);
        line = (const char *)out->p + begin;
    } while (begins_with_one_of(line, states) ||
             (!in_block && begins_with_one_of(line, waits)));
}

/* Enough at once that collections outgrow their record, strings their page;
 * half of the members are such as the grammar asks for. */
static void
put_fat_line(struct type_grammar *g, struct buf *out)
{
    static const struct {
        const char *head;
        bool has_id, has_numbers;
    } kinds[] = {
        {"RPUSH l", false, false}, {"LPUSH l", false, false},
        {"SADD s", false, false},  {"ZADD z", false, true},
        {"HSET h", false, true},   {"XADD q", true, true},
    };
    size_t kind = rng_below(&g->rng, nq_countof(kinds) + 1);
    unsigned key = (unsigned)rng_below(&g->rng, SCRIPT_KEYS);
    unsigned number = (unsigned)rng_below(&g->rng, 40);

    if (kind == nq_countof(kinds)) {
        buf_printf(out, "SETRANGE p:%u %u %0900u", key, number * 500, number);
        buf_put_u8(out, 0);
        return;
    }
    buf_printf(out, "%s:%u", kinds[kind].head, key);
    if (kinds[kind].has_id)
        buf_printf(out, " %llu-0", (unsigned long long)g->next_id++);
    for (unsigned i = 0; i < FAT_PAIRS; i++, number++) {
        if (kinds[kind].has_numbers)
            buf_printf(out, " %u", number);
        if (i % 2 == 0)
            buf_printf(out, " %c", 'a' + (int)i / 2);
        else
            buf_printf(out, " %0200u", number);
    }
    buf_put_u8(out, 0);
}

/* What the grammar leaves out: expiries, of fields too, and whole databases. */
static void
put_other_line(struct type_grammar *g, struct buf *out)
{
    static const char *const lines[] = {
        "HPEXPIRE h:%u %u FIELDS 3 a b c",
        "HPEXPIRE h:%u %u FIELDS 1 d",
        "HSETEX h:%u PX %u FIELDS 2 e 1 f 2",
        "SET p:%u v PX %u",
        "GETEX p:%u PX %u",
        "PEXPIRE l:%u %u",
        "PEXPIRE z:%u %u",
        "PEXPIRE q:%u %u",
        "SET p:%u %01500u",
        "BITFIELD p:%u SET u16 %u 77",
        "SETBIT p:%u %u 1",
        "XADD q:%u MAXLEN %u * f v",
        "COPY h:%u h:0 DB %u REPLACE",
        "COPY l:%u l:1 DB 1 REPLACE",
        "MOVE s:%u %u",
        "RESTORE p:%u %u nonsense",
    };
    unsigned n = (unsigned)rng_below(&g->rng, nq_countof(lines) + 1);
    unsigned key = (unsigned)rng_below(&g->rng, SCRIPT_KEYS);
    unsigned small = (unsigned)rng_below(&g->rng, 2);
    unsigned ms = 1 + (unsigned)rng_below(&g->rng, 9000);

    if (n == nq_countof(lines)) {
        buf_put_str(out, rng_below(&g->rng, 4) == 0 ? "FLUSHALL" : "FLUSHDB");
    } else {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buf_printf(out, lines[n], key, n < 12 ? ms : small);
#pragma GCC diagnostic pop
    }
    buf_put_u8(out, 0);
}

static void
put_line(struct type_grammar *g, struct buf *out, bool in_block)
{
    switch (rng_below(&g->rng, 10)) {
    case 0:
    case 1:
        put_fat_line(g, out);
        break;
    case 2:
        put_other_line(g, out);
        break;
    default:
        put_grammar_line(g, out, in_block);
    }
}

static void
put_line_or_block(struct type_grammar *g, struct buf *out, bool may_be_block)
{
    uint64_t lines;

    if (!may_be_block || rng_below(&g->rng, 6) != 0) {
        put_line(g, out, false);
        return;
    }
    buf_put(out, "MULTI", sizeof "MULTI");
    for (lines = 2 + rng_below(&g->rng, BLOCK_MAX - 1); lines > 0; lines--)
        put_line(g, out, true);
    buf_put(out, "EXEC", sizeof "EXEC");
}

/* --- units --------------------------------------------------------------- */

/* Some time on, or a jump, mostly forward. */
static uint64_t
other_clock(struct rng *rng, uint64_t now)
{
    switch (rng_below(rng, 8)) {
    case 0:
        return now + rng_below(rng, 5 * HOUR);
    case 1:
        return now + YEAR * (1 + rng_below(rng, 20));
    case 2:
        return now - nq_min(now - SCRIPT_BEGIN, rng_below(rng, 2 * HOUR));
    case 3:
        return now - nq_min(now - YEAR, YEAR * rng_below(rng, 30));
    default:
        return now + 1 + rng_below(rng, 3000);
    }
}

/* One block that sets many small values which have much in common. */
static void
put_filler(struct buf *out, struct rng *rng)
{
    buf_printf(out, "SELECT %s", FILLER_DATABASE);
    buf_put_u8(out, 0);
    buf_put(out, "MULTI", sizeof "MULTI");
    for (unsigned i = 0; i < FILLER_LINES; i++) {
        unsigned n = (unsigned)rng_below(rng, FILLER_KEYS);

        buf_printf(out,
                   "SET " FILLER_PREFIX "%06u {\"user\":{\"id\":%u,\"name\":"
                   "\"person-%u\",\"mail\":\"p%u@example.org\"},\"active\":"
                   "true,\"score\":%u}",
                   n, n, n * 7, n, (unsigned)rng_below(rng, 1000));
        buf_put_u8(out, 0);
    }
    buf_put(out, "EXEC", sizeof "EXEC");
}

/* Adds lines until one changes something, runs them. */
static void
write_unit(struct script *s, unsigned n, struct type_grammar *g,
           struct fake_client *c)
{
    struct buf *unit = &s->units[n];

    s->clocks[n + 1] = s->clocks[n];
    if (s->opts.has_clock && rng_below(&g->rng, 12) == 0) {
        s->clocks[n + 1] = other_clock(&g->rng, s->clocks[n]);
        buf_printf(unit, CLOCK_WORD "%" PRIu64, s->clocks[n + 1]);
        buf_put_u8(unit, 0);
        run_lines(c, unit, 0);
        script_read(c->env, &s->states[n + 1]);
        return;
    }
    if (s->opts.has_filler && rng_below(&g->rng, 3) == 0) {
        put_filler(unit, &g->rng);
        run_lines(c, unit, 0);
        (void)fake_read_raw(c);
        script_read(c->env, &s->states[n + 1]);
        return;
    }
    buf_printf(unit, "SELECT %u",
               (unsigned)rng_below(&g->rng, 3) % SCRIPT_DATABASES);
    buf_put_u8(unit, 0);
    run_lines(c, unit, 0);
    do {
        size_t begin = unit->len;

        put_line_or_block(g, unit, s->opts.has_blocks);
        run_lines(c, unit, begin);
        (void)fake_read_raw(c);
        engine_env_turn(c->env);
        script_read(c->env, &s->states[n + 1]);
    } while (script_is_state(&s->states[n + 1], &s->states[n], NULL));
}

void
script_write(struct script *s, uint64_t seed, const struct script_opts *opts)
{
    struct type_grammar g = {.next_id = 1, .keys = SCRIPT_KEYS};
    struct engine_env env;
    struct fake_client c;

    memset(s, 0, sizeof *s);
    s->seed = seed;
    s->opts = *opts;
    s->clocks[0] = SCRIPT_BEGIN;
    clock_freeze_wall(SCRIPT_BEGIN);
    rng_seed(&g.rng, seed);
    engine_env_init(&env, POOL_BYTES);
    fake_open(&env, &c);
    script_read(&env, &s->states[0]);
    for (unsigned n = 0; n < opts->units; n++)
        write_unit(s, n, &g, &c);
    fake_close(&c);
    engine_env_fini(&env);
}

void
script_fini(struct script *s)
{
    for (unsigned n = 0; n < SCRIPT_UNITS; n++)
        buf_fini(&s->units[n]);
}
