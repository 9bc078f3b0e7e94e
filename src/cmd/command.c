/* cmd/command.c - the table made of table.def, and finding a command in it.
 *
 * table.def is read twice: once for the arrays of subcommands, once for the
 * table itself, so that all of it is constant data.  Lookup is on the path
 * of every command: an open-addressing index over a cheap hash of the name
 * without case (table names are ours, so nobody can aim at collisions that
 * matter).  The index is filled before main() and never changes. */
#include "cmd/command.h"

#include <string.h>

#include "base/check.h"
#include "cmd/handlers.h"

enum {
    WRITE = CMD_WRITE,
    READONLY = CMD_READONLY,
    DENYOOM = CMD_DENYOOM,
    ADMIN = CMD_ADMIN,
    PUBSUB = CMD_PUBSUB,
    NOSCRIPT = CMD_NOSCRIPT,
    BLOCKING = CMD_BLOCKING,
    LOADING = CMD_LOADING,
    STALE = CMD_STALE,
    FAST = CMD_FAST,
    NOAUTH = CMD_NOAUTH,
    NOMULTI = CMD_NOMULTI,
    SUBSCRIBED = CMD_IN_SUBSCRIBED,
    SLICED = CMD_SLICED,
    NOASYNC = CMD_NOASYNC,
    BUSY = CMD_BUSY,
    NOLOG = CMD_NOLOG,
    MOVABLEKEYS = CMD_MOVABLEKEYS,
    NOTOUCH = CMD_NOTOUCH,
};

#define ROW(name, fn, arity, flags, first, last, step, group, since,           \
            categories, summary, subs)                                         \
    {name,                                                                     \
     fn,                                                                       \
     arity,                                                                    \
     flags,                                                                    \
     first,                                                                    \
     last,                                                                     \
     step,                                                                     \
     group,                                                                    \
     since,                                                                    \
     categories,                                                               \
     summary,                                                                  \
     subs,                                                                     \
     &(struct command_stats){0, 0, 0, 0, 0, NULL}},

/* First reading: the subcommands. */
#define CMD(...)
#define GROUP(...)
#define GROUP_FN(...)
#define SUBS(id) static const struct command subs_##id[] = {
#define SUB(...) ROW(__VA_ARGS__, NULL)
#define END_SUBS                                                               \
    {                                                                          \
        .name = NULL                                                           \
    }                                                                          \
    }                                                                          \
    ;
#include "cmd/table.def"
#undef CMD
#undef GROUP
#undef GROUP_FN
#undef SUBS
#undef SUB
#undef END_SUBS

/* Second reading: the commands. */
#define SUBS(id)
#define SUB(...)
#define END_SUBS
#define CMD(...) ROW(__VA_ARGS__, NULL)
#define GROUP(name, id, arity, flags, group, since, categories, summary)       \
    ROW(name, NULL, arity, flags, 0, 0, 0, group, since, categories, summary,  \
        subs_##id)
#define GROUP_FN(name, id, fn, arity, flags, group, since, categories,         \
                 summary)                                                      \
    ROW(name, fn, arity, flags, 0, 0, 0, group, since, categories, summary,    \
        subs_##id)
static const struct command table[] = {
#include "cmd/table.def"
};
#undef CMD
#undef GROUP
#undef GROUP_FN
#undef SUBS
#undef SUB
#undef END_SUBS

#define INDEX_SIZE 1024
#define NAME_MAX_LEN 32

_Static_assert(nq_countof(table) * 2 < INDEX_SIZE, "the index is too full");

static uint16_t name_index[INDEX_SIZE]; /* row + 1; 0: free */

static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Bit 5 is set everywhere, which folds the case of letters; what else that
 * makes alike only collides. */
static uint32_t
name_hash(struct slice name)
{
    uint64_t head = 0, tail = 0;

    if (name.len >= 8) {
        memcpy(&head, name.p, 8);
        memcpy(&tail, name.p + name.len - 8, 8);
    } else {
        memcpy(&head, name.p, name.len);
        head |= 0x2020202020202020u & ~(UINT64_MAX << (8 * name.len));
    }
    head |= name.len >= 8 ? 0x2020202020202020u : 0;
    tail |= name.len >= 8 ? 0x2020202020202020u : 0;
    head = (head ^ (tail << 7 | tail >> 57)) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(head >> 54) & (INDEX_SIZE - 1);
}

/* `known` is lower case and holds no NUL. */
static bool
is_name(const char *known, struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (known[i] == '\0' || (uint8_t)known[i] != lower(name.p[i]))
            return false;
    return known[name.len] == '\0';
}

__attribute__((constructor)) static void
fill_index(void)
{
    for (uint16_t i = 0; i < nq_countof(table); i++) {
        uint32_t at = name_hash(slice_str(table[i].name));

        while (name_index[at] != 0)
            at = (at + 1) & (INDEX_SIZE - 1);
        name_index[at] = (uint16_t)(i + 1);
    }
}

const struct command *
command_find(struct slice name)
{
    uint32_t at;

    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return NULL;
    at = name_hash(name);
    while (name_index[at] != 0) {
        const struct command *cmd = &table[name_index[at] - 1];

        if (is_name(cmd->name, name))
            return cmd;
        at = (at + 1) & (INDEX_SIZE - 1);
    }
    return NULL;
}

bool
command_is_named(const struct command *cmd, struct slice name)
{
    return cmd != NULL && cmd->subs == NULL && is_name(cmd->name, name);
}

const struct command *
command_find_sub(const struct command *cmd, struct slice name)
{
    size_t skip = strlen(cmd->name) + 1;

    if (cmd->subs == NULL)
        return NULL;
    for (const struct command *sub = cmd->subs; sub->name != NULL; sub++)
        if (is_name(sub->name + skip, name))
            return sub;
    return NULL;
}

const struct command *
command_find_argv(const struct slice *argv, uint32_t argc,
                  const struct command **container)
{
    const struct command *cmd = command_find(argv[0]), *sub;

    *container = NULL;
    if (cmd == NULL || cmd->subs == NULL || argc < 2)
        return cmd;
    sub = command_find_sub(cmd, argv[1]);
    if (sub == NULL)
        *container = cmd;
    return sub;
}

unsigned
command_count(void)
{
    return nq_countof(table);
}

const struct command *
command_at(unsigned i)
{
    nq_assert(i < nq_countof(table));
    return &table[i];
}
