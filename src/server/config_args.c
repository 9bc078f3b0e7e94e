/* server/config_args.c - the command line.
 *
 *   nqdb-server [FILE] [-c FILE] [--name value ...] [--name=value]
 *
 * In Redis' manner a setting takes all words up to the next one that begins
 * with "--" (`--save 900 1`, `--bind 127.0.0.1 ::1`); a single word may begin
 * with "--" only in the form --name=value.  A flag may stand alone. */
#include "server/config_int.h"

#include "base/check.h"

static bool
is_option(const char *arg)
{
    return arg[0] == '-' && arg[1] == '-' && arg[2] != '\0';
}

/* Options that are no settings: how many arguments they take, or 0. */
static int
scan_action(int argc, char *const *argv, int i, struct config_args *out)
{
    static const struct {
        const char *name;
        enum config_action action;
    } actions[] = {
        {"-h", ACTION_HELP},
        {"--help", ACTION_HELP},
        {"-v", ACTION_VERSION},
        {"--version", ACTION_VERSION},
        {"--show-config", ACTION_SHOW},
        {"--show-config=text", ACTION_SHOW},
        {"--show-config=markdown", ACTION_MARKDOWN},
        {"--show-config=toml", ACTION_TEMPLATE},
    };

    for (size_t k = 0; k < nq_countof(actions); k++) {
        if (strcmp(argv[i], actions[k].name) == 0) {
            out->action = actions[k].action;
            return 1;
        }
    }
    if (strcmp(argv[i], "--cut-damaged-log") == 0) {
        out->cut_log = true;
        return 1;
    }
    if ((strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) &&
        i + 1 < argc) {
        out->path = argv[i + 1];
        return 2;
    }
    if (strncmp(argv[i], "--config=", 9) == 0) {
        out->path = argv[i] + 9;
        return 1;
    }
    if (i == 1 && argv[i][0] != '-') {
        out->path = argv[i];
        return 1;
    }
    return 0;
}

/* A setting and its words begin at argv[i]; where the next thing begins. */
static int
setting_end(int argc, char *const *argv, int i)
{
    int end = i + 1;

    if (strchr(argv[i], '=') != NULL)
        return end;
    while (end < argc && !is_option(argv[end]))
        end++;
    return end;
}

nq_rc
config_args_scan(int argc, char *const *argv, struct config_args *out,
                 char err[CONFIG_ERR])
{
    *out = (struct config_args){.action = ACTION_SERVE};
    for (int i = 1; i < argc;) {
        int taken = scan_action(argc, argv, i, out);

        if (taken == 0 && !is_option(argv[i])) {
            snprintf(err, CONFIG_ERR,
                     "command line: '%.100s' is neither an option nor, as the "
                     "first word, a file; see --help",
                     argv[i]);
            return NQ_EINVAL;
        }
        i = taken > 0 ? i + taken : setting_end(argc, argv, i);
    }
    return NQ_OK;
}

static nq_rc
apply_one(struct config *c, char *const *argv, int from, int to,
          char err[CONFIG_ERR])
{
    const char *name = argv[from] + 2, *equals = strchr(name, '=');
    struct slice key = slice_str(name);
    struct buf value = BUF_INIT;
    char why[CONFIG_ERR];
    nq_rc rc;

    if (equals != NULL) {
        key.len = (size_t)(equals - name);
        buf_put_str(&value, equals + 1);
    } else if (to == from + 1) {
        buf_put_str(&value, "yes"); /* a flag that stands alone */
    }
    for (int i = from + 1; i < to; i++) {
        bool is_empty = strcmp(argv[i], "\"\"") == 0; /* as Redis takes it */

        buf_printf(&value, "%s%s", i == from + 1 ? "" : " ",
                   is_empty ? "" : argv[i]);
    }
    rc = config_put(c, key, buf_slice(&value), FROM_ARGS, (unsigned)from, why);
    if (rc != NQ_OK)
        snprintf(err, CONFIG_ERR, "command line: %.480s", why);
    buf_fini(&value);
    return rc;
}

nq_rc
config_args_apply(struct config *c, int argc, char *const *argv,
                  char err[CONFIG_ERR])
{
    struct config_args ignored;

    for (int i = 1; i < argc;) {
        int taken = scan_action(argc, argv, i, &ignored);
        int end = taken > 0 ? i + taken : setting_end(argc, argv, i);
        nq_rc rc;

        if (taken == 0 && (rc = apply_one(c, argv, i, end, err)) != NQ_OK)
            return rc;
        i = end;
    }
    return NQ_OK;
}
