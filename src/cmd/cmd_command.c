/* cmd/cmd_command.c - COMMAND and its subcommands but GETKEYS: the table in
 * the words that clients and redis-cli expect. */
#include "cmd/cmd_command.h"

#include <stdio.h>

#include "base/check.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

/* --- one command --------------------------------------------------------- */

static const struct {
    uint32_t flag;
    const char *name;
} flag_names[] = {
    {CMD_WRITE, "write"},
    {CMD_READONLY, "readonly"},
    {CMD_DENYOOM, "denyoom"},
    {CMD_ADMIN, "admin"},
    {CMD_PUBSUB, "pubsub"},
    {CMD_NOSCRIPT, "noscript"},
    {CMD_BLOCKING, "blocking"},
    {CMD_LOADING, "loading"},
    {CMD_STALE, "stale"},
    {CMD_NOLOG, "skip_slowlog"},
    {CMD_FAST, "fast"},
    {CMD_NOAUTH, "no_auth"},
    {CMD_NOASYNC, "no_async_loading"},
    {CMD_NOMULTI, "no_multi"},
    {CMD_MOVABLEKEYS, "movablekeys"},
    {CMD_BUSY, "allow_busy"},
};

static void
reply_flags(struct req *rq, const struct command *cmd)
{
    struct reply_deferred d = reply_array_begin(rq);
    uint64_t n = 0;

    for (size_t i = 0; i < nq_countof(flag_names); i++)
        if (cmd->flags & flag_names[i].flag) {
            reply_status(rq, flag_names[i].name);
            n++;
        }
    reply_set_end(rq, d, n);
}

struct counted {
    struct req *rq;
    uint64_t n;
};

static void
put_category(void *arg, const char *category)
{
    struct counted *c = arg;
    char text[32];

    snprintf(text, sizeof text, "@%s", category);
    reply_status(c->rq, text);
    c->n++;
}

static void
reply_categories(struct req *rq, const struct command *cmd)
{
    struct reply_deferred d = reply_array_begin(rq);
    struct counted c = {rq, 0};

    command_each_category(cmd, put_category, &c);
    reply_set_end(rq, d, c.n);
}

static void
put_flag(void *arg, const char *flag)
{
    struct counted *c = arg;

    reply_status(c->rq, flag);
}

/* Where the keys stand: begin at an index, then a range. */
static void
reply_key_specs(struct req *rq, const struct command *cmd)
{
    struct reply_deferred d;
    struct counted c = {rq, 0};
    unsigned flags;

    if (cmd->first_key == 0) {
        reply_array(rq, 0);
        return;
    }
    reply_array(rq, 1);
    reply_map(rq, 3);
    reply_bulk_str(rq, "flags");
    d = reply_array_begin(rq);
    flags = command_key_flags(cmd, put_flag, &c);
    reply_set_end(rq, d, flags);
    reply_bulk_str(rq, "begin_search");
    reply_map(rq, 2);
    reply_bulk_str(rq, "type");
    reply_bulk_str(rq, "index");
    reply_bulk_str(rq, "spec");
    reply_map(rq, 1);
    reply_bulk_str(rq, "index");
    reply_int(rq, cmd->first_key);
    reply_bulk_str(rq, "find_keys");
    reply_map(rq, 2);
    reply_bulk_str(rq, "type");
    reply_bulk_str(rq, "range");
    reply_bulk_str(rq, "spec");
    reply_map(rq, 3);
    reply_bulk_str(rq, "lastkey");
    reply_int(rq, cmd->last_key < 0 ? cmd->last_key
                                    : cmd->last_key - cmd->first_key);
    reply_bulk_str(rq, "keystep");
    reply_int(rq, cmd->key_step);
    reply_bulk_str(rq, "limit");
    reply_int(rq, 0);
}

static uint64_t
count_subs(const struct command *cmd)
{
    uint64_t n = 0;

    while (cmd->subs != NULL && cmd->subs[n].name != NULL)
        n++;
    return n;
}

static void
reply_command(struct req *rq, const struct command *cmd)
{
    uint64_t subs;

    if (cmd == NULL) {
        reply_null_array(rq);
        return;
    }
    subs = count_subs(cmd);
    reply_array(rq, 10);
    reply_bulk_str(rq, cmd->name);
    reply_int(rq, cmd->arity);
    reply_flags(rq, cmd);
    reply_int(rq, cmd->first_key);
    reply_int(rq, cmd->last_key);
    reply_int(rq, cmd->key_step);
    reply_categories(rq, cmd);
    reply_array(rq, 0); /* tips */
    reply_key_specs(rq, cmd);
    reply_array(rq, subs);
    for (uint64_t i = 0; i < subs; i++)
        reply_command(rq, &cmd->subs[i]);
}

void
cmd_command(struct req *rq)
{
    reply_array(rq, command_count());
    for (unsigned i = 0; i < command_count(); i++)
        reply_command(rq, command_at(i));
}

void
cmd_command_info(struct req *rq)
{
    if (rq->argc == 2) {
        cmd_command(rq);
        return;
    }
    reply_array(rq, rq->argc - 2);
    for (uint32_t i = 2; i < rq->argc; i++)
        reply_command(rq, command_find_full(rq->argv[i]));
}

void
cmd_command_count(struct req *rq)
{
    reply_int(rq, command_count());
}

/* --- DOCS ---------------------------------------------------------------- */

static void
reply_docs(struct req *rq, const struct command *cmd)
{
    uint64_t subs = count_subs(cmd);

    reply_bulk_str(rq, cmd->name);
    reply_map(rq, subs > 0 ? 4 : 3);
    reply_bulk_str(rq, "summary");
    reply_bulk_str(rq, cmd->summary);
    reply_bulk_str(rq, "since");
    reply_bulk_str(rq, cmd->since);
    reply_bulk_str(rq, "group");
    reply_bulk_str(rq, cmd->group);
    if (subs == 0)
        return;
    reply_bulk_str(rq, "subcommands");
    reply_map(rq, subs);
    for (uint64_t i = 0; i < subs; i++)
        reply_docs(rq, &cmd->subs[i]);
}

void
cmd_command_docs(struct req *rq)
{
    struct reply_deferred d;
    uint64_t n = 0;

    if (rq->argc == 2) {
        reply_map(rq, command_count());
        for (unsigned i = 0; i < command_count(); i++)
            reply_docs(rq, command_at(i));
        return;
    }
    d = reply_array_begin(rq);
    for (uint32_t i = 2; i < rq->argc; i++) {
        const struct command *cmd = command_find_full(rq->argv[i]);

        if (cmd == NULL)
            continue;
        reply_docs(rq, cmd);
        n++;
    }
    reply_map_end(rq, d, n);
}

/* --- LIST ---------------------------------------------------------------- */

enum filter { FILTER_NONE, FILTER_MODULE, FILTER_CATEGORY, FILTER_PATTERN };

struct sought {
    struct slice name;
    bool is_found;
};

static void
match_category(void *arg, const char *category)
{
    struct sought *s = arg;

    s->is_found |= slice_is(s->name, category);
}

static bool
passes(const struct command *cmd, enum filter filter, struct slice arg)
{
    struct sought s = {arg, false};

    switch (filter) {
    case FILTER_NONE:
        return true;
    case FILTER_MODULE: /* there are none */
        return false;
    case FILTER_PATTERN:
        return slice_glob(arg, slice_str(cmd->name), true);
    case FILTER_CATEGORY:
        command_each_category(cmd, match_category, &s);
        return s.is_found;
    }
    return false;
}

static uint64_t
list(struct req *rq, const struct command *cmd, enum filter filter,
     struct slice arg)
{
    uint64_t n = 0, subs = count_subs(cmd);

    if (passes(cmd, filter, arg)) {
        reply_bulk_str(rq, cmd->name);
        n++;
    }
    for (uint64_t i = 0; i < subs; i++)
        n += list(rq, &cmd->subs[i], filter, arg);
    return n;
}

void
cmd_command_list(struct req *rq)
{
    enum filter filter = FILTER_NONE;
    struct slice arg = slice_lit("");
    struct reply_deferred d;
    uint64_t n = 0;

    if (rq->argc == 5 && slice_is(rq->argv[2], "filterby")) {
        arg = rq->argv[4];
        if (slice_is(rq->argv[3], "module"))
            filter = FILTER_MODULE;
        else if (slice_is(rq->argv[3], "aclcat"))
            filter = FILTER_CATEGORY;
        else if (slice_is(rq->argv[3], "pattern"))
            filter = FILTER_PATTERN;
    }
    if (rq->argc != 2 && filter == FILTER_NONE) {
        reply_syntax(rq);
        return;
    }
    d = reply_array_begin(rq);
    for (unsigned i = 0; i < command_count(); i++)
        n += list(rq, command_at(i), filter, arg);
    reply_set_end(rq, d, n);
}

/* --- GETKEYS ------------------------------------------------------------- */

/* The keys of the command in argv[2..]; -1: the error is put. */
static int
find_keys(struct req *rq, const struct command **cmd, uint32_t **at)
{
    const struct slice *argv = rq->argv + 2;
    uint32_t argc = rq->argc - 2;
    const struct command *container;
    int n;

    *cmd = command_find_argv(argv, argc, &container);
    if (*cmd == NULL) {
        reply_error(rq, "Invalid command specified");
        return -1;
    }
    if ((*cmd)->first_key == 0 && ((*cmd)->flags & CMD_MOVABLEKEYS) == 0) {
        reply_error(rq, "The command has no key arguments");
        return -1;
    }
    if ((*cmd)->arity > 0 ? argc != (uint32_t)(*cmd)->arity
                          : argc < (uint32_t) - (*cmd)->arity) {
        reply_error(rq, "Invalid number of arguments specified for command");
        return -1;
    }
    *at = arena_alloc(rq->arena, argc * sizeof **at);
    n = command_keys(*cmd, argv, argc, *at, (int)argc);
    if (n <= 0)
        reply_error(rq, "Invalid arguments specified for command");
    return n <= 0 ? -1 : n;
}

void
cmd_command_getkeys(struct req *rq)
{
    const struct command *cmd;
    uint32_t *at;
    int n = find_keys(rq, &cmd, &at);

    if (n < 0)
        return;
    reply_array(rq, (uint64_t)n);
    for (int i = 0; i < n; i++)
        reply_bulk(rq, rq->argv[2 + at[i]]);
}

void
cmd_command_getkeysandflags(struct req *rq)
{
    const struct command *cmd;
    uint32_t *at;
    int n = find_keys(rq, &cmd, &at);

    if (n < 0)
        return;
    reply_array(rq, (uint64_t)n);
    for (int i = 0; i < n; i++) {
        struct counted c = {rq, 0};
        struct reply_deferred d;
        unsigned flags;

        reply_array(rq, 2);
        reply_bulk(rq, rq->argv[2 + at[i]]);
        d = reply_array_begin(rq);
        flags = command_key_flags(cmd, put_flag, &c);
        reply_set_end(rq, d, flags);
    }
}

void
cmd_command_help(struct req *rq)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    All about all commands.",
        "COUNT",
        "    How many commands there are.",
        "DOCS [<command-name> ...]",
        "    Summary, group and first version of commands.",
        "GETKEYS <full-command>",
        "    The keys in a command.",
        "GETKEYSANDFLAGS <full-command>",
        "    The keys in a command, and what is done to them.",
        "INFO [<command-name> ...]",
        "    Arity, flags and keys of commands.",
        "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <glob>)]",
        "    The names of commands.",
        NULL,
    };

    reply_help(rq, lines);
}
