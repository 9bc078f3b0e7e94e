/* server/info_feeds.c - INFO about live feeds: who follows, what was sent, and
 * the changes that they are made of. */
#include "server/info_int.h"

#include "cmd/changes.h"
#include "cmd/feeds.h"

static void
put_changes(const struct engine *e, struct buf *out)
{
    struct changes_stats st;

    changes_get_stats(e->changes, &st);
    info_u64(out, "changes", st.changes);
    info_u64(out, "changes_ring", st.ring_changes);
    info_bytes(out, "changes_ring_bytes", st.ring_bytes);
    info_u64(out, "changes_from_log", st.from_log);
    info_u64(out, "changes_log_reads", st.log_reads);
    info_u64(out, "changes_readers", st.readers);
    info_u64(out, "changes_readers_lagging", st.lagging);
    info_u64(out, "changes_head", st.head);
    info_u64(out, "changes_settled", st.settled);
    info_u64(out, "changes_log_from", st.log_from);
}

void
info_feeds(struct server *s, struct buf *out)
{
    const struct engine *e = s->engine;
    struct feeds_stats st;

    feeds_get_stats(e, &st);
    info_u64(out, "feeds", st.feeds);
    info_u64(out, "feeds_named", st.named);
    info_u64(out, "feeds_subscribers", st.subscribers);
    info_u64(out, "feeds_live", st.live);
    info_u64(out, "feeds_behind", st.behind);
    info_u64(out, "feeds_tested", st.tested);
    info_u64(out, "feeds_matched", st.matched);
    info_u64(out, "feeds_sent", st.sent);
    info_bytes(out, "feeds_sent_bytes", st.bytes);
    info_u64(out, "feeds_dropped", st.dropped);
    info_u64(out, "feeds_gaps", st.gaps);
    info_u64(out, "feeds_pauses", st.pauses);
    info_u64(out, "feeds_disconnects", st.disconnects);
    info_u64(out, "feeds_redelivered", st.redelivered);
    put_changes(e, out);
}
