/* base/sm.h - declared state machines: anything with a life names its states
 * and allowed moves in a table, and sm_move asserts them.  One thread. */
#ifndef NQ_BASE_SM_H
#define NQ_BASE_SM_H

#include <stdint.h>

#define SM(state) (1u << (state))

struct sm_def {
    const char *name;
    uint32_t moves; /* SM() bits of the states that may follow */
};

struct sm {
    const struct sm_def *def;
    const char *what; /* for the trace: "checkpoint" */
    unsigned state;
    uint64_t count; /* moves made */
};

void sm_init(struct sm *m, const char *what, const struct sm_def *def,
             unsigned state);
void sm_move(struct sm *m, unsigned state);
const char *sm_name(const struct sm *m);

#endif
