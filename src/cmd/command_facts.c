/* cmd/command_facts.c - what follows from a row of the table: ACL categories,
 * and what a command does to its keys.  Called by COMMAND. */
#include "cmd/cmd_command.h"

#include <string.h>

#include "base/check.h"

/* In the order in which Redis lists them. */
static const struct {
    const char *name;
    uint32_t flags;   /* any of them implies it */
    uint32_t without; /* none of them may be set, if `flags` is 0 */
} categories[] = {
    {"keyspace", 0, 0},
    {"read", CMD_READONLY, 0},
    {"write", CMD_WRITE, 0},
    {"set", 0, 0},
    {"sortedset", 0, 0},
    {"list", 0, 0},
    {"hash", 0, 0},
    {"string", 0, 0},
    {"bitmap", 0, 0},
    {"hyperloglog", 0, 0},
    {"geo", 0, 0},
    {"stream", 0, 0},
    {"pubsub", CMD_PUBSUB, 0},
    {"admin", CMD_ADMIN, 0},
    {"fast", CMD_FAST, 0},
    {"slow", 0, CMD_FAST},
    {"blocking", CMD_BLOCKING, 0},
    {"dangerous", CMD_ADMIN, 0},
    {"connection", 0, 0},
    {"transaction", 0, 0},
    {"scripting", 0, 0},
};

/* Whether the row names the category itself. */
static bool
is_named(const struct command *cmd, const char *name)
{
    size_t len = strlen(name);
    const char *at = cmd->categories;

    while ((at = strstr(at, name)) != NULL) {
        bool begins = at == cmd->categories || at[-1] == ' ';

        if (begins && (at[len] == '\0' || at[len] == ' '))
            return true;
        at += len;
    }
    return false;
}

void
command_each_category(const struct command *cmd,
                      void (*fn)(void *arg, const char *category), void *arg)
{
    for (size_t i = 0; i < nq_countof(categories); i++) {
        bool is_implied = categories[i].without != 0
                              ? (cmd->flags & categories[i].without) == 0
                              : (cmd->flags & categories[i].flags) != 0;

        if (is_implied || is_named(cmd, categories[i].name))
            fn(arg, categories[i].name);
    }
}

bool
command_is_category(struct slice name)
{
    for (size_t i = 0; i < nq_countof(categories); i++)
        if (slice_is(name, categories[i].name))
            return true;
    return false;
}

unsigned
command_key_flags(const struct command *cmd,
                  void (*fn)(void *arg, const char *flag), void *arg)
{
    if (cmd->flags & CMD_READONLY) {
        fn(arg, "RO");
        fn(arg, "access");
        return 2;
    }
    if (!(cmd->flags & CMD_WRITE)) {
        fn(arg, cmd->flags & CMD_PUBSUB ? "not_key" : "RO");
        return 1;
    }
    if (cmd->key_step > 1) { /* MSET and MSETNX never look at what they set */
        fn(arg, "OW");
        fn(arg, "update");
        return 2;
    }
    fn(arg, "RW");
    fn(arg, "access");
    fn(arg, "update");
    return 3;
}

const struct command *
command_find_full(struct slice name)
{
    const uint8_t *bar = name.len == 0 ? NULL : memchr(name.p, '|', name.len);
    const struct command *cmd;
    size_t head;

    if (bar == NULL)
        return command_find(name);
    head = (size_t)(bar - name.p);
    cmd = command_find(slice_of(name.p, head));
    if (cmd == NULL)
        return NULL;
    return command_find_sub(cmd, slice_of(bar + 1, name.len - head - 1));
}
