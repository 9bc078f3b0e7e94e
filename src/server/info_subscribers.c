/* server/info_subscribers.c - INFO about subscribers: how many are slow, what
 * waits for them, and what is kept of channels. */
#include "server/info_int.h"

#include "cmd/history.h"
#include "cmd/pubsub.h"

void
info_subscribers(struct server *s, struct buf *out)
{
    const struct engine *e = s->engine;
    struct history_stats h;

    history_get_stats(e, &h);
    info_u64(out, "push_clients", e->push_clients);
    info_u64(out, "subscribers_throttled", e->pressured[PRESSURE_THROTTLED]);
    info_u64(out, "subscribers_paused", e->pressured[PRESSURE_PAUSED]);
    info_u64(out, "subscribers_dropping", e->pressured[PRESSURE_DROPPING]);
    info_u64(out, "messages_waiting", pubsub_waiting(e));
    info_text(out, "drop_policy",
              pressure_policy_name(
                  (enum pressure_policy)e->limits.queue.drop_policy));
    info_u64(out, "messages_dropped", e->stats.pubsub_dropped);
    info_u64(out, "gaps_told", e->stats.pubsub_gaps);
    info_u64(out, "heartbeats_sent", e->stats.heartbeats);
    info_u64(out, "push_clients_closed", e->stats.push_closes);
    info_u64(out, "commands_over_rate", e->stats.rate_limited);
    info_u64(out, "history_channels", h.channels);
    info_u64(out, "history_messages", h.messages);
    info_u64(out, "history_bytes", h.bytes);
}
