/* server/config.h - every setting: where it came from, what it is, what it may
 * be.  One table (config.def, config_later.def, config_redis.def) drives the
 * file, the command line, the environment, CONFIG and the documentation.
 *
 * Loop thread.  Order of weight: CONFIG SET, command line, environment, file,
 * default.  Texts of failures are whole sentences without a full stop. */
#ifndef NQ_SERVER_CONFIG_H
#define NQ_SERVER_CONFIG_H

#include <stdio.h>

#include "base/rc.h"
#include "base/slice.h"

struct buf;
struct config;

#define CONFIG_ERR 512 /* bytes, room for any sentence */

enum config_id {
#define TYPED(id) CONF_##id,
#include "server/config_ids.def"
#undef TYPED
    CONF_COUNT
};

enum config_source { FROM_DEFAULT, FROM_FILE, FROM_ENV, FROM_ARGS, FROM_SET };

struct config *config_new(void); /* all defaults */
void config_free(struct config *c);

/* Sizes are bytes, times microseconds, flags 0 or 1, enums the index of the
 * choice.  "auto" is 0. */
int64_t config_int(const struct config *c, enum config_id id);
double config_real(const struct config *c, enum config_id id);
/* Borrowed until the setting changes. */
const char *config_text(const struct config *c, enum config_id id);
bool config_is_default(const struct config *c, enum config_id id);
/* Puts what an automatic or relative value turned out to be. */
void config_resolve_int(struct config *c, enum config_id id, int64_t v);
void config_resolve_text(struct config *c, enum config_id id, const char *v);

/* One setting under any of its names.  A stronger source is not overridden.
 * NQ_NOTFOUND: no such name, err names the nearest one; NQ_EINVAL. */
NQ_MUST_USE nq_rc config_put(struct config *c, struct slice name,
                             struct slice value, enum config_source source,
                             unsigned line, char err[CONFIG_ERR]);

/* The file (TOML, as toml.h says); err begins with "path:line: ". */
NQ_MUST_USE nq_rc config_load(struct config *c, const char *path,
                              char err[CONFIG_ERR]);
const char *config_path(const struct config *c); /* absolute; "" if none */
/* CONFIG REWRITE: replaces the file by one with today's values, atomically;
 * comments and order are kept. */
NQ_MUST_USE nq_rc config_rewrite(const struct config *c, char err[CONFIG_ERR]);

/* NQDB_<SECTION>_<KEY> and the names known from elsewhere. */
NQ_MUST_USE nq_rc config_env(struct config *c, char *const *env,
                             char err[CONFIG_ERR]);

/* What the command line asks for besides settings. */
enum config_action {
    ACTION_SERVE,
    ACTION_HELP,
    ACTION_VERSION,
    ACTION_SHOW,     /* --show-config */
    ACTION_MARKDOWN, /* --show-config=markdown */
    ACTION_TEMPLATE, /* --show-config=toml */
};
struct config_args {
    enum config_action action;
    const char *path; /* of the file; NULL: none given */
    bool cut_log;     /* --cut-damaged-log */
};
/* First the questions and the file, then, after file and environment, the
 * settings: Redis' manner (--name value ...), and --name=value. */
NQ_MUST_USE nq_rc config_args_scan(int argc, char *const *argv,
                                   struct config_args *out,
                                   char err[CONFIG_ERR]);
NQ_MUST_USE nq_rc config_args_apply(struct config *c, int argc,
                                    char *const *argv, char err[CONFIG_ERR]);

/* Accepted settings without effect, one log line each; then forgets them. */
void config_log_notes(struct config *c);

/* CONFIG GET: pair(arg, name, value) once for each name, dotted or Redis',
 * that matches a pattern. */
void config_get(const struct config *c, const struct slice *patterns,
                unsigned n,
                void (*pair)(void *arg, const char *name, const char *value),
                void *arg);
/* CONFIG SET: all or nothing.  `apply` puts a set of HOOK_ bits in force. */
typedef nq_rc (*config_apply_fn)(void *arg, unsigned hooks,
                                 char err[CONFIG_ERR]);
NQ_MUST_USE nq_rc config_set(struct config *c, const struct slice *names,
                             const struct slice *values, unsigned n,
                             config_apply_fn apply, void *arg,
                             char err[CONFIG_ERR]);

/* Which part of the server a setting belongs to. */
enum config_hook {
    HOOK_LIMITS = 1 << 0, /* engine limits */
    HOOK_LOG = 1 << 1,
    HOOK_POOL = 1 << 2,
    HOOK_WAL = 1 << 3,
    HOOK_STORE = 1 << 4, /* codec, quota */
    HOOK_SAVE = 1 << 5,  /* save points */
    HOOK_TYPES = 1 << 6, /* thresholds of the encodings */
    HOOK_ALL = (1 << 7) - 1,
};

/* --show-config in its three forms. */
void config_show(const struct config *c, FILE *out);
void config_show_markdown(FILE *out);
void config_show_template(FILE *out);

#endif
