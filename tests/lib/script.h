/* tests/lib/script.h - a workload on all types that repeats, and what the
 * databases are after each unit of it.
 *
 * A unit is some commands that change nothing, then a command, or a block
 * with MULTI and EXEC around it, that does: it happens as a whole or not at
 * all.  Some units move the clock instead, forward or back.  The states come
 * from a run without faults; what is read is kept key by key, so that it can
 * be compared where some keys answer that they are damaged. */
#ifndef NQ_TESTS_SCRIPT_H
#define NQ_TESTS_SCRIPT_H

#include "base/buf.h"
#include "engine_env.h"
#include "type_grammar.h"

#define SCRIPT_UNITS 150
#define SCRIPT_KEYS                                                            \
    2 /* by each letter: few, so that commands meet something                  \
       */
#define SCRIPT_DATABASES 2
#define SCRIPT_DATABASE_SLOTS (1 + (sizeof TYPE_LETTERS - 1) * SCRIPT_KEYS)
#define SCRIPT_FILLER (SCRIPT_DATABASES * SCRIPT_DATABASE_SLOTS)
#define SCRIPT_SLOTS (SCRIPT_FILLER + 1)
#define SCRIPT_DAMAGED 1 /* the slot of a key that answers an error */
#define SCRIPT_BEGIN UINT64_C(1700000000000)

struct script_opts {
    unsigned units;  /* at most SCRIPT_UNITS */
    bool has_blocks; /* MULTI */
    bool has_clock;  /* moves it */
    bool has_filler; /* thousands of small keys alike, as dictionaries want */
};

struct script_state {
    uint64_t slots[SCRIPT_SLOTS]; /* one a key, 0: no such key */
};

struct script {
    uint64_t seed;
    struct script_opts opts;
    struct buf units[SCRIPT_UNITS]; /* lines, each terminated */
    uint64_t clocks[SCRIPT_UNITS + 1];
    struct script_state states[SCRIPT_UNITS + 1];
};

/* Makes one from its seed; leaves the clock frozen. */
void script_write(struct script *s, uint64_t seed,
                  const struct script_opts *opts);
void script_fini(struct script *s);
/* The first line of unit n (before == NULL), or the one behind `before`; NULL:
 * that was the last. */
const char *script_line(const struct script *s, unsigned n, const char *before);
/* Runs a line to where its reply is put, not to where that leaves. */
void script_run_line(struct fake_client *c, const char *line);
bool script_moves_clock(const struct script *s, unsigned n);
/* For people, to stderr. */
void script_print(const struct script *s, unsigned n);

/* All there is, by a client of its own. */
void script_read(struct engine_env *env, struct script_state *out);
/* "0 l:1" is that list in database 0, "0" is DBSIZE, "filler" is all of it. */
void script_slot_name(size_t slot, char name[32]);
/* Whether what was found is that state, but for damaged keys; *damaged (may
 * be NULL) is how many there are. */
bool script_is_state(const struct script_state *found,
                     const struct script_state *want, unsigned *damaged);

#endif
