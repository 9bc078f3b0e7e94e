/* cmd/command_keys.c - which arguments of a command are keys.
 *
 * The table of commands tells those that stand at fixed places.  Commands with
 * the flag MOVABLEKEYS have others, after a number that says how many, or
 * behind an option; where to look is told here. */
#include "base/check.h"
#include "cmd/command.h"

struct key_list {
    uint32_t *out;
    int n, cap;
};

static void
add_key(struct key_list *keys, uint32_t at)
{
    if (keys->n < keys->cap)
        keys->out[keys->n++] = at;
}

/* The keys of the table; false: the arguments do not tell. */
static bool
add_fixed(const struct command *cmd, uint32_t argc, struct key_list *keys)
{
    int64_t last = cmd->last_key;

    if (cmd->first_key == 0)
        return true;
    if (last < 0)
        last += argc;
    if (last >= argc || (last - cmd->first_key) % cmd->key_step != 0) {
        if (cmd->last_key >= 0)
            return false;
        /* Pairs with one half missing: the last key is still a key. */
        last = nq_min(last, (int64_t)argc - 1);
    }
    for (int64_t i = cmd->first_key; i <= last; i += cmd->key_step)
        add_key(keys, (uint32_t)i);
    return true;
}

/* --- a number, then as many keys ----------------------------------------- */

struct counted_keys {
    const char *name;
    uint32_t count_at; /* in argv */
};

static const struct counted_keys counted[] = {
    {"blmpop", 2},      {"bzmpop", 2},     {"lmpop", 1},  {"sintercard", 1},
    {"zdiff", 1},       {"zdiffstore", 2}, {"zinter", 1}, {"zintercard", 1},
    {"zinterstore", 2}, {"zmpop", 1},      {"zunion", 1}, {"zunionstore", 2},
};

static bool
add_counted(uint32_t count_at, const struct slice *argv, uint32_t argc,
            struct key_list *keys)
{
    int64_t n;

    if (count_at >= argc || !slice_to_i64(argv[count_at], &n) || n < 1 ||
        n > (int64_t)(argc - count_at - 1))
        return false;
    for (uint32_t i = 1; i <= n; i++)
        add_key(keys, count_at + i);
    return true;
}

/* --- keys behind options ------------------------------------------------- */

/* The destination of SORT and GEORADIUS: the last one given counts. */
static void
add_stores(const struct slice *argv, uint32_t argc, uint32_t from,
           struct key_list *keys)
{
    uint32_t at = 0;

    for (uint32_t i = from; i + 1 < argc; i++)
        if (slice_is(argv[i], "STORE") || slice_is(argv[i], "STOREDIST"))
            at = ++i;
    if (at != 0)
        add_key(keys, at);
}

/* XREAD ... STREAMS key [key ...] id [id ...] */
static bool
add_streams(const struct slice *argv, uint32_t argc, struct key_list *keys)
{
    uint32_t first = 1;

    while (first < argc && !slice_is(argv[first], "STREAMS"))
        first++;
    first++;
    if (first >= argc || (argc - first) % 2 != 0)
        return false;
    for (uint32_t i = first; i < first + (argc - first) / 2; i++)
        add_key(keys, i);
    return true;
}

static bool
add_movable(const struct command *cmd, const struct slice *argv, uint32_t argc,
            struct key_list *keys)
{
    for (unsigned i = 0; i < nq_countof(counted); i++)
        if (strcmp(cmd->name, counted[i].name) == 0)
            return add_counted(counted[i].count_at, argv, argc, keys);
    if (strcmp(cmd->name, "xread") == 0 || strcmp(cmd->name, "xreadgroup") == 0)
        return add_streams(argv, argc, keys);
    add_stores(argv, argc, 2, keys);
    return true;
}

int
command_keys(const struct command *cmd, const struct slice *argv, uint32_t argc,
             uint32_t *out, int cap)
{
    struct key_list keys = {.out = out, .cap = cap};

    if (!add_fixed(cmd, argc, &keys))
        return -1;
    if ((cmd->flags & CMD_MOVABLEKEYS) != 0 &&
        !add_movable(cmd, argv, argc, &keys))
        return -1;
    return keys.n;
}
