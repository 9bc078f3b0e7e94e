/* base/sm.c - asserts and traces the moves of state machines. */
#include "base/sm.h"

#include "base/check.h"
#include "base/log.h"

void
sm_init(struct sm *m, const char *what, const struct sm_def *def,
        unsigned state)
{
    *m = (struct sm){def, what, state, 0};
}

void
sm_move(struct sm *m, unsigned state)
{
    nq_assert((m->def[m->state].moves & SM(state)) != 0);
    log_trace("%s: %s -> %s", m->what, m->def[m->state].name,
              m->def[state].name);
    m->state = state;
    m->count++;
}

const char *
sm_name(const struct sm *m)
{
    return m->def[m->state].name;
}
