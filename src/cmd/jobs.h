/* cmd/jobs.h - maintenance that runs long: one scheduler for compaction,
 * checks, scrubbing, key rotation; NQ.JOBS shows and steers it.
 *
 * Loop thread only.  Who starts something long gives it to jobs_start() as a
 * state and a few functions; step() is then called between commands, some
 * slices a turn, until it says that it is over.  The last results stay to
 * be seen. */
#ifndef NQ_CMD_JOBS_H
#define NQ_CMD_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/rc.h"

struct jobs;

enum jobs_state {
    JOBS_IDLE, /* of services only */
    JOBS_RUNNING,
    JOBS_PAUSED,
    JOBS_DONE,
    JOBS_FAILED,
    JOBS_CANCELLED,
    JOBS_STATES
};

/* What a run tells of itself; all of it may stay zero. */
struct jobs_progress {
    uint64_t done, total; /* total 0: not known */
    const char *unit;     /* "pages", "bytes"; NULL: "steps" */
    const char *phase;    /* "packing"; static; NULL: none */
};

struct jobs_run;

/* What can be done with a run of this kind; static. */
struct jobs_kind {
    const char *name;    /* "compact" */
    bool is_single;      /* a second one is refused while one runs */
    bool is_not_stopped; /* neither PAUSE nor CANCEL */
    /* One slice, at most half a millisecond.  NQ_AGAIN: there is more, at once
     * unless jobs_wait() says otherwise.  NQ_OK: done.  Else it failed. */
    nq_rc (*step)(struct jobs_run *run, void *arg);
    void (*progress)(void *arg, struct jobs_progress *out); /* or NULL */
    /* Called once, when it is over for whatever reason (also the end of the
     * server: JOBS_CANCELLED, NQ_ECLOSED); `arg` is the kind's to free. */
    void (*end)(struct jobs_run *run, void *arg, enum jobs_state how, nq_rc rc);
};

struct jobs_info {
    uint64_t id;
    const char *kind;
    enum jobs_state state;
    nq_rc rc;
    struct jobs_progress progress;
    uint64_t started_wall_ms, took_ms; /* without pauses */
    double rate;                       /* of progress.done, a second */
    int64_t eta_ms;                    /* -1: not known */
    char result[128];                  /* a sentence, set by jobs_result() */
};

struct jobs *jobs_new(void);
/* Ends what runs, before the databases are closed. */
void jobs_stop(struct jobs *j);
void jobs_free(struct jobs *j); /* of NULL: does nothing */

/* Starts a run; *id (may be NULL) is its number.  NQ_EBUSY: there is one of
 * that kind, whose number *id is then; `arg` stays the caller's. */
NQ_MUST_USE nq_rc jobs_start(struct jobs *j, const struct jobs_kind *kind,
                             void *arg, uint64_t *id);
/* From step(): not before `ms` have passed; -1: not before another turn of
 * the loop, caused by something else (a worker's end). */
void jobs_wait(struct jobs_run *run, int ms);
/* From step() or end(): what to show as its result. */
void jobs_result(struct jobs_run *run, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* NQ_NOTFOUND: no such run, or it is over.  NQ_EINVAL: not with this kind. */
NQ_MUST_USE nq_rc jobs_pause(struct jobs *j, uint64_t id);
NQ_MUST_USE nq_rc jobs_resume(struct jobs *j, uint64_t id);
NQ_MUST_USE nq_rc jobs_cancel(struct jobs *j, uint64_t id);

/* Work that is always there and runs by itself: look() fills in kind, state,
 * and what else there is to tell; its id stays 0. */
void jobs_add_service(struct jobs *j,
                      void (*look)(void *arg, struct jobs_info *out),
                      void *arg);
/* Calls fn for those that run, the services, and those that ended last, the
 * youngest first. */
void jobs_each(struct jobs *j, void (*fn)(void *arg, const struct jobs_info *i),
               void *arg);
/* That of the number; false: none. */
bool jobs_find(struct jobs *j, uint64_t id, struct jobs_info *out);
const char *jobs_state_name(enum jobs_state state);

/* storage.maintenance_rate: what runs may read and write a second, in bytes;
 * 0: no limit.  Each kind that does so asks for it in step(). */
void jobs_set_rate(struct jobs *j, uint64_t bytes_per_s);
uint64_t jobs_rate(const struct jobs *j);

/* Once a turn of the loop: some slices; then when to come again: 0 at once,
 * ms, -1 nothing to do. */
void jobs_turn(struct jobs *j);
int jobs_next_due_ms(const struct jobs *j);

#endif
