/* cmd/cmd_command.h - what the COMMAND subcommands share.  Loop thread only. */
#ifndef NQ_CMD_CMD_COMMAND_H
#define NQ_CMD_CMD_COMMAND_H

#include "cmd/command.h"

/* A command by its full name, "get" or "client|list"; NULL if unknown. */
const struct command *command_find_full(struct slice name);

/* Calls fn for each ACL category of `cmd`, without the '@'. */
void command_each_category(const struct command *cmd,
                           void (*fn)(void *arg, const char *category),
                           void *arg);
/* Whether there is an ACL category of that name at all. */
bool command_is_category(struct slice name);

/* What is done to the keys of `cmd`, as key specifications say it: calls fn
 * for "RO", "access" and the like; returns how many. */
unsigned command_key_flags(const struct command *cmd,
                           void (*fn)(void *arg, const char *flag), void *arg);

#endif
