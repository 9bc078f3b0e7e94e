/* server/main.c - the program nqdb-server: settings from everywhere, then the
 * server.  Exit codes are in server.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/process.h"
#include "server/config.h"
#include "server/server.h"
#include "server/version.h"

static void
print_help(void)
{
    puts("nqdb-server [FILE] [--name value ...]\n"
         "\n"
         "Serves a durable, ordered key-value database to Redis clients.\n"
         "\n"
         "  FILE, -c FILE          settings (TOML); conf/nqdb.toml has all\n"
         "  --server.port 6380     any setting, by its own name\n"
         "  --port 6380            or by the name Redis has for it\n"
         "  --show-config[=toml|markdown]\n"
         "                         what is in force, and from where; or all\n"
         "                         settings as a file, or as a table\n"
         "  --cut-damaged-log      start with a log that is damaged before\n"
         "                         its end: what is behind is lost\n"
         "  --version, --help\n"
         "\n"
         "Command line goes before environment (NQDB_SERVER_PORT=6380), "
         "environment\nbefore file, file before default.\n"
         "\n"
         "SIGTERM and SIGINT drain, write a checkpoint and end; a second one "
         "hurries.\nSIGHUP opens the log file again.  Exit code 1: settings; "
         "2: data directory.");
}

static int
bad_settings(const char *err)
{
    fprintf(stderr, "nqdb-server: %s\n", err);
    return EXIT_CONFIG;
}

/* Everything but the command line's questions. */
static nq_rc
read_settings(struct config *c, const struct config_args *args, int argc,
              char **argv, char err[CONFIG_ERR])
{
    const char *path = args->path;
    nq_rc rc = NQ_OK;

    if (path == NULL)
        path = getenv("NQDB_CONFIG");
    if (path == NULL)
        path = getenv("NEUROQUANTUM_CONFIG");
    if (path != NULL && path[0] != '\0')
        rc = config_load(c, path, err);
    if (rc == NQ_OK)
        rc = config_env(c, environ, err);
    if (rc == NQ_OK)
        rc = config_args_apply(c, argc, argv, err);
    return rc;
}

static int
serve(struct config *c, bool cut_log)
{
    signal(SIGPIPE, SIG_IGN);
    hash_seed_random();
    mem_keep_freed();
    if (config_int(c, CONF_DAEMONIZE) && process_daemonize() != NQ_OK)
        return bad_settings("cannot go to the background");
    process_print_crashes("nqdb-server " NQDB_VERSION);
    return server_run(c, cut_log);
}

int
main(int argc, char **argv)
{
    struct config_args args;
    char err[CONFIG_ERR] = "";
    struct config *c;
    int code = EXIT_OK;

    if (config_args_scan(argc, argv, &args, err) != NQ_OK)
        return bad_settings(err);
    c = config_new();
    switch (args.action) {
    case ACTION_HELP:
        print_help();
        break;
    case ACTION_VERSION:
        puts("nqdb-server " NQDB_VERSION);
        break;
    case ACTION_MARKDOWN:
        config_show_markdown(stdout);
        break;
    case ACTION_TEMPLATE:
        config_show_template(stdout);
        break;
    case ACTION_SHOW:
    case ACTION_SERVE:
        if (read_settings(c, &args, argc, argv, err) != NQ_OK)
            code = bad_settings(err);
        else if (args.action == ACTION_SHOW)
            config_show(c, stdout);
        else
            code = serve(c, args.cut_log);
        break;
    }
    config_free(c);
    return code;
}
