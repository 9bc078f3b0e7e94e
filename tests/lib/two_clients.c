/* tests/lib/two_clients.c - see two_clients.h. */
#include "two_clients.h"

#include "base/mem.h"
#include "os/clock.h"

struct two_clients *
two_clients_begin(void **state, uint64_t pool_bytes)
{
    struct two_clients *w = nq_calloc(1, sizeof *w);

    engine_env_init(&w->env, pool_bytes);
    fake_open(&w->env, &w->c);
    fake_open(&w->env, &w->other);
    *state = w;
    return w;
}

int
two_clients_end(void **state)
{
    struct two_clients *w = *state;

    fake_close(&w->c);
    fake_close(&w->other);
    engine_env_fini(&w->env);
    buf_fini(&w->line);
    buf_fini(&w->want);
    nq_free(w);
    clock_freeze_wall(0);
    return 0;
}
