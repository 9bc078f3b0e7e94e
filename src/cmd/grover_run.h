/* cmd/grover_run.h - one quantum search, from the rows of its range to keys
 * that the store agrees to.
 *
 * Loop thread only.  A run belongs to no request: a command that waits for it
 * calls grover_run_step() each time that it runs, a job each time that it is
 * its turn.
 *
 * Nothing measured is answered before the store confirms it: its key is looked
 * up again, and the whole WHERE asked about it as it is then.  What does not
 * match any more is left out, and another one measured. */
#ifndef NQ_CMD_GROVER_RUN_H
#define NQ_CMD_GROVER_RUN_H

#include "base/buf.h"
#include "cmd/grover.h"
#include "cmd/select.h"
#include "quantum/search.h"

#define GROVER_COUNT_MAX 1000u
#define GROVER_STATE_ROWS_MAX 4096u /* whose amplitudes are told */
#define GROVER_SPECTRUM_MAX 10000u  /* iterations */

enum grover_kind {
    GROVER_FIND,
    GROVER_LEAST,
    GROVER_GREATEST,
    GROVER_SPECTRUM /* measures nothing */
};

struct grover_query {
    enum grover_kind kind;
    enum grover_engine engine;
    enum search_way way;
    uint64_t matches;    /* KNOWN; 0: as many as the oracle marks */
    uint64_t iterations; /* FIXED; SPECTRUM: how far, 0: twice the best */
    uint64_t count;      /* distinct keys wanted */
    uint64_t seed;
    bool is_complex;
    bool wants_state;  /* the amplitudes of the first run that found a key */
    struct path *path; /* LEAST, GREATEST: of the numbers; the run's then */
    uint64_t rows;     /* of the range, when the command began */
};

/* What is known when it is over; a part of it before. */
struct grover_result {
    nq_rc rc;       /* NQ_ELIMIT: refused, the reason says why */
    bool simulated; /* that is where the keys come from */
    char reason[160];
    unsigned qubits;
    uint64_t bytes; /* of the state; 0: there was none */
    uint64_t rows, matches;
    uint64_t looked_at; /* rows that the scan asked the WHERE about */
    struct search_counts counts;
    uint64_t thresholds; /* LEAST, GREATEST: numbers held on the way */
    uint64_t rejected;   /* measured keys that do not match any more */
    uint64_t simulation_us, scan_us;
    struct buf keys; /* varint length and bytes, each */
    uint64_t key_count;
    double number;    /* LEAST, GREATEST: of the key */
    double *state;    /* real and imaginary part of each row, or NULL */
    double *spectrum; /* chance after 0, 1 ... iterations, or NULL */
    uint64_t spectrum_count;
};

struct grover_run;

/* grover_plan() of what a query says, before anything is scanned. */
void grover_plan_query(const struct grover *g, const struct grover_query *q,
                       struct grover_plan *out);

/* Takes over what `sel` holds.  `session_id`: of a session to be woken when a
 * step can be made, 0: none is. */
struct grover_run *grover_run_new(struct engine *e, uint32_t dbi,
                                  struct select *sel,
                                  const struct grover_query *q,
                                  uint64_t session_id);
/* Any time: what is under way ends soon.  Of NULL: does nothing. */
void grover_run_free(struct grover_run *r);

enum grover_step { GROVER_WAITS, GROVER_MORE, GROVER_DONE };
/* About half a millisecond of work.  WAITS: not before something happens. */
enum grover_step grover_run_step(struct grover_run *r);
bool grover_run_is_over(const struct grover_run *r);
/* "scan", "simulation", "verification", "done". */
const char *grover_run_phase(const struct grover_run *r);
const struct grover_query *grover_run_query(const struct grover_run *r);
const struct grover_result *grover_run_result(const struct grover_run *r);

#endif
