/* cmd/cmd_index.c - NQ.INDEX: secondary indexes, made, dropped and told of.
 *
 *   CREATE name ON prefix FIELD path [NUMERIC | TEXT]
 *   DROP name | REBUILD name | LIST | INFO name
 *
 * Building is a job for each index.  Whoever sets an index to be built, a
 * command, a repair, or a restart, need not start it: index_jobs_cron() finds
 * those without one.  A small index is built within its CREATE.  CANCEL leaves
 * it as far as it came, unused, until REBUILD or a restart. */
#include "cmd/cmd_index.h"

#include "base/check.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/jobs.h"
#include "cmd/reply.h"
#include "db/index.h"
#include "query/program.h"

#define BUILD_SLICE_US 400
#define WAIT_MS 2    /* while pages are read */
#define PAUSED_MS 20 /* between looks at a pause of writers */

/* --- jobs ----------------------------------------------------------------- */

struct index_job {
    struct engine *engine;
    char phase[INDEX_NAME_MAX + 1]; /* the name as far as it prints */
    uint64_t done, total;
    size_t name_len;
    uint8_t name[];
};

static struct slice
name_of(const struct index_job *j)
{
    return slice_of(j->name, j->name_len);
}

static void
note_progress(struct index_job *j)
{
    struct index *ix = db_index_find(j->engine->db, name_of(j));
    struct index_info info;

    if (ix == NULL)
        return;
    index_get_info(ix, &info);
    j->done = info.built;
    j->total = info.total;
}

static nq_rc
job_step(struct jobs_run *run, void *arg)
{
    struct index_job *j = arg;
    bool is_waiting;
    nq_rc rc;

    /* Whoever has writers wait wants trees that stand still. */
    if (j->engine->pause_until_ms != 0) {
        jobs_wait(run, PAUSED_MS);
        return NQ_AGAIN;
    }
    rc = db_index_build(j->engine->db, name_of(j), BUILD_SLICE_US, &is_waiting);
    if (rc == NQ_AGAIN && is_waiting)
        jobs_wait(run, WAIT_MS);
    if (rc == NQ_NOTFOUND) {
        jobs_result(run, "index %s was dropped", j->phase);
        return NQ_OK;
    }
    note_progress(j);
    if (rc == NQ_OK)
        jobs_result(run, "index %s is complete, %llu keys looked at", j->phase,
                    (unsigned long long)j->done);
    return rc;
}

static void
job_progress(void *arg, struct jobs_progress *out)
{
    const struct index_job *j = arg;

    *out = (struct jobs_progress){
        .done = j->done, .total = j->total, .unit = "keys", .phase = j->phase};
}

static void
job_end(struct jobs_run *run, void *arg, enum jobs_state how, nq_rc rc)
{
    struct index_job *j = arg;

    nq_unused(run);
    if (how == JOBS_CANCELLED && rc != NQ_ECLOSED)
        db_index_stop_build(j->engine->db, name_of(j));
    db_index_leave_job(j->engine->db, name_of(j));
    nq_free(j);
}

static const struct jobs_kind kind = {
    .name = "index",
    .step = job_step,
    .progress = job_progress,
    .end = job_end,
};

static void
put_printable(char *dst, size_t room, struct slice s)
{
    size_t n = nq_min(s.len, room - 1);

    for (size_t i = 0; i < n; i++)
        dst[i] = s.p[i] >= ' ' && s.p[i] < 127 ? (char)s.p[i] : '?';
    dst[n] = 0;
}

static void
start_job(struct engine *e, struct slice name)
{
    struct index_job *j = nq_calloc(1, sizeof *j + name.len);
    nq_rc rc;

    j->engine = e;
    j->name_len = name.len;
    memcpy(j->name, name.p, name.len);
    put_printable(j->phase, sizeof j->phase, name);
    rc = jobs_start(e->jobs, &kind, j, NULL);
    nq_assert(rc == NQ_OK); /* there may be any number of them */
}

void
index_jobs_cron(struct engine *e)
{
    struct index_def def;
    struct index *ix;

    for (unsigned i = 0; (ix = db_index_at(e->db, i)) != NULL; i++) {
        if (!index_take_job(ix))
            continue;
        index_get_def(ix, &def);
        start_job(e, def.name);
    }
}

/* --- CREATE, DROP, REBUILD ------------------------------------------------ */

/* The arguments behind CREATE. */
static bool
parse_create(struct req *rq, struct index_def *def)
{
    *def = (struct index_def){.dbi = rq->dbi, .kind = INDEX_NUMERIC};
    if (rq->argc < 7 || rq->argc > 8 || !slice_is(rq->argv[3], "on") ||
        !slice_is(rq->argv[5], "field"))
        return false;
    def->name = rq->argv[2];
    def->prefix = rq->argv[4];
    def->path = rq->argv[6];
    if (rq->argc == 7 || slice_is(rq->argv[7], "numeric"))
        return true;
    def->kind = INDEX_TEXT;
    return slice_is(rq->argv[7], "text");
}

/* Whether the path is one; if not, that is answered. */
static bool
is_path(struct req *rq, struct slice text)
{
    struct query_error err;
    struct path *path;

    if (text.len > INDEX_PATH_MAX) {
        reply_error(rq, "a path of an index has at most %u bytes",
                    INDEX_PATH_MAX);
        return false;
    }
    if (path_compile(text, &path, &err) != NQ_OK) {
        reply_error(rq, "path: %s", err.text);
        return false;
    }
    path_free(path);
    return true;
}

static void
reply_why_not(struct req *rq, const struct index_def *def, nq_rc rc)
{
    char name[INDEX_NAME_MAX + 1];

    put_printable(name, sizeof name, def->name);
    if (rc == NQ_EEXISTS)
        reply_error(rq, "there is an index '%s' already", name);
    else if (rc == NQ_ELIMIT)
        reply_error(rq,
                    "there are %u indexes already, the most that there "
                    "may be",
                    INDEX_MAX);
    else if (rc == NQ_EINVAL)
        reply_error(rq,
                    "an index has a name of 1 to %u bytes and a prefix of at "
                    "most %u",
                    INDEX_NAME_MAX, INDEX_PREFIX_MAX);
    else if (rc == NQ_ESYNTAX)
        reply_error(rq, "an index is of a field, a path in JSON, or $value");
    else
        reply_rc(rq, rc);
}

void
cmd_nq_index_create(struct req *rq)
{
    struct index_def def;
    bool is_waiting;
    nq_rc rc;

    if (!parse_create(rq, &def)) {
        reply_syntax(rq);
        return;
    }
    if (!is_path(rq, def.path))
        return;
    if ((rc = db_index_create(rq->db, &def)) != NQ_OK) {
        reply_why_not(rq, &def, rc);
        return;
    }
    (void)!db_index_build(rq->db, def.name, BUILD_SLICE_US, &is_waiting);
    index_jobs_cron(rq->engine);
    reply_ok(rq);
}

/* The index of argv[2]; NULL: an error is answered. */
static struct index *
find_index(struct req *rq)
{
    struct index *ix = db_index_find(rq->db, rq->argv[2]);
    char name[INDEX_NAME_MAX + 1];

    put_printable(name, sizeof name, rq->argv[2]);
    if (ix == NULL)
        reply_error(rq, "there is no index '%s'", name);
    return ix;
}

static void
reply_done(struct req *rq, nq_rc rc)
{
    if (rc == NQ_OK)
        reply_ok(rq);
    else
        reply_rc(rq, rc);
}

void
cmd_nq_index_drop(struct req *rq)
{
    if (find_index(rq) != NULL)
        reply_done(rq, db_index_drop(rq->db, rq->argv[2]));
}

void
cmd_nq_index_rebuild(struct req *rq)
{
    if (find_index(rq) == NULL)
        return;
    reply_done(rq, db_index_rebuild(rq->db, rq->argv[2]));
    index_jobs_cron(rq->engine);
}

/* --- LIST, INFO ----------------------------------------------------------- */

static void
put_number(struct req *rq, const char *name, uint64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, (int64_t)v);
}

static void
put_text(struct req *rq, const char *name, struct slice v)
{
    reply_bulk_str(rq, name);
    reply_bulk(rq, v);
}

static const char *
state_of(const struct index_info *i)
{
    return i->is_stopped ? "stopped" : index_state_name(i->state);
}

static void
put_info(struct req *rq, struct index *ix)
{
    struct index_info i;

    index_get_info(ix, &i);
    reply_map(rq, 15);
    put_text(rq, "name", i.def.name);
    put_number(rq, "database", i.def.dbi);
    put_text(rq, "prefix", i.def.prefix);
    put_text(rq, "path", i.def.path);
    put_text(rq, "kind", slice_str(index_kind_name(i.def.kind)));
    put_text(rq, "state", slice_str(state_of(&i)));
    put_number(rq, "rows", i.rows);
    put_number(rq, "mismatched", i.mismatched);
    put_number(rq, "long-values", i.long_values);
    put_number(rq, "long-keys", i.long_keys);
    put_number(rq, "pending", i.pending);
    put_number(rq, "built", i.built);
    put_number(rq, "total", i.total);
    put_number(rq, "seeks", i.seeks);
    put_number(rq, "found", i.found);
}

void
cmd_nq_index_list(struct req *rq)
{
    struct index *ix;

    reply_array(rq, db_index_count(rq->db));
    for (unsigned i = 0; (ix = db_index_at(rq->db, i)) != NULL; i++)
        put_info(rq, ix);
}

void
cmd_nq_index_info(struct req *rq)
{
    struct index *ix = find_index(rq);

    if (ix != NULL)
        put_info(rq, ix);
}

void
cmd_nq_index_help(struct req *rq)
{
    static const char *const lines[] = {
        "CREATE <name> ON <prefix> FIELD <path> [NUMERIC | TEXT]",
        "    An index of this database: the keys of the prefix by the value of",
        "    a field of their hashes, a path in their JSON, or $value.",
        "DROP <name>",
        "    Remove it.",
        "REBUILD <name>",
        "    Make it anew; it is not used meanwhile.",
        "LIST",
        "    All indexes of all databases, and how often they are used.",
        "INFO <name>",
        "    The same of one.",
        NULL,
    };

    reply_help(rq, lines);
}
