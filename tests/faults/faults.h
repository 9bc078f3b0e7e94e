/* tests/faults/faults.h - proof against faults: a script is run, something
 * fails, and what is found afterwards is held against the script's states.
 *
 *   settings.c      what a database is kept like: pages, codecs, keys ...
 *   life.c          a run of a script, maintenance going on beside it
 *   verify.c        what must be true of a directory afterwards
 *   cases_trace.c   power cuts, deaths, lost and torn writes, from a trace
 *   cases_live.c    operations that fail, lie or hang while it runs
 *   cases_damage.c  bytes that change by themselves
 *   cases_process.c descriptors and memory that run out
 *   main.c          which cases, how long, and how to repeat one
 *
 * A case that fails ends its process with a message (assert_*, abort), which
 * main.c finds. */
#ifndef NQ_TESTS_FAULTS_H
#define NQ_TESTS_FAULTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "../lib/script.h"
#include "../lib/disk_trace.h"

#ifdef NQ_FAULTS

/* --- settings ------------------------------------------------------------ */

struct settings {
    unsigned number; /* the choice of all below */
    uint32_t page_size;
    uint64_t pool_bytes;
    uint64_t segment_size;
    enum wal_fsync fsync;
    bool is_packed, has_dictionaries, has_parity, is_sealed;
    unsigned key; /* which master key it had last */
    char text[80];
};

unsigned settings_count(void);
void settings_choose(struct settings *set, unsigned number);
/* Opens of `env` are by these settings, from the next one on. */
void settings_apply(struct settings *set, struct engine_env *env);
/* With the master key that was last, or the other: it may have been rotated. */
NQ_MUST_USE nq_rc settings_open(struct settings *set, struct engine_env *env);

/* --- a run of the script ------------------------------------------------- */

/* Where a process that is about to end leaves word. */
struct progress {
    volatile uint32_t issued, acked, durable;
};

struct life {
    const struct script *script;
    const struct settings *set;
    struct engine_env *env;
    struct disk_trace *trace;  /* to be told of the progress, or NULL */
    struct progress *progress; /* the same */
    /* Lines that are refused because of the disk are sent again; else the
     * life ends with the first. */
    bool tries_again;
    void (*before_unit)(struct life *l, unsigned n); /* may be NULL */
    uint32_t issued, acked, durable;
    bool was_refused;
    struct fake_client maintainer; /* whose commands go on beside */
    lsn ends[SCRIPT_UNITS];        /* of the log, by unit */
};

/* Units [from, to), as far as it gets; the engine is open. */
void life_run(struct life *l, unsigned from, unsigned to);

/* --- rounds -------------------------------------------------------------- */

/* What the cases of one seed and one choice of settings share. */
struct round {
    uint64_t seed;
    struct settings set;
    struct script script;
    struct engine_env env;              /* closed between cases */
    struct disk_trace crashed, stopped; /* without and with an orderly end */
    bool has_traces;
    uint64_t operations[FAULT_POINTS]; /* that a life is made of */
    uint64_t allocations;              /* the same; 0: not counted yet */
    struct disk_trace live;            /* of the case that runs */
    struct disk_image image, other;
    char log_path[128]; /* what the server would have logged in this case */
    struct progress *progress;
};

void round_open(struct round *r, uint64_t seed, unsigned settings);
void round_close(struct round *r);
/* Records both, once. */
void round_record(struct round *r);
/* A life of the script from an empty directory on, recorded, with whatever
 * faults were asked for; `l` tells how far it got.  False: did not open. */
bool round_live(struct round *r, struct disk_trace *t, struct life *l);

/* --- afterwards ---------------------------------------------------------- */

enum outcome {
    OUTCOME_RIGHT,   /* all of it as expected */
    OUTCOME_DAMAGED, /* some keys answer an error, the others are right */
    OUTCOME_REFUSED, /* does not open, and says why */
    OUTCOME_NOTHING, /* the fault did not come */
    OUTCOMES
};

struct expected {
    uint32_t acked, issued; /* units: the state is that after one of these */
    bool may_be_damaged;    /* errors are as good, if they are named */
};

/* Of what is in the directory of r->env. */
enum outcome verify(struct round *r, const struct expected *x, uint64_t seed);
/* Of r->image. */
enum outcome verify_image(struct round *r, const struct expected *x,
                          uint64_t seed);

/* Of a trace: what must be found after its event `last`. */
struct expected expected_after(const struct disk_trace *t, size_t last,
                               bool power_cut);
#define LOG_HEADERS 8192u /* bytes of a file of the log before its frames */

/* Bytes of a file that are not what was written. */
struct hole {
    const char *name;
    uint64_t off, len;
    bool is_rest; /* of the file, so nothing behind it tells of it */
};
bool is_in_hole(const struct disk_trace *t, const struct disk_event *write,
                const struct hole *holes, unsigned count);
/* Whether the log that followed, but for what is in holes, says that what was
 * lost had been durable; a disk that loses its very last writes cannot be told
 * from one that was never asked. */
bool is_told_of(const struct disk_trace *t, size_t lost, size_t upto,
                const struct hole *holes, unsigned count);
/* Looked at by a later clock, an older state is another: what has expired is
 * deleted. */
bool has_one_clock(const struct round *r, const struct expected *x);

/* --- kinds of cases ------------------------------------------------------ */

struct kind {
    const char *name, *what;
    unsigned weight; /* of time */
    /* How many points there are in this round. */
    uint64_t (*points)(struct round *r);
    enum outcome (*run)(struct round *r, uint64_t point, uint64_t seed);
};

extern const struct kind kinds[];
extern const unsigned kinds_count;

#define KIND(name, weight, points, what)                                       \
    uint64_t points(struct round *r);                                          \
    enum outcome name##_run(struct round *r, uint64_t point, uint64_t seed);
#include "kinds.def"
#undef KIND

#endif

#endif
