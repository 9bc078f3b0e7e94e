/* server/info_stats.c - INFO about commands, errors and keys. */
#include "server/info_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "cmd/command.h"
#include "cmd/errorstats.h"
#include "cmd/pubsub.h"
#include "db/db.h"
#include "net/loop.h"
#include "server/config_int.h"
#include "store/frames.h"
#include "store/store.h"

void
info_stats(struct server *s, struct buf *out)
{
    const struct engine_stats *es = &s->engine->stats;
    struct loop_stats ls;
    struct db_stats ds;
    struct frames_stats fs;

    sampler_loop(s, &ls);
    db_get_stats(s->db, &ds);
    frames_get_stats(store_frames(s->store), &fs);
    info_u64(out, "total_connections_received", es->connections_received);
    info_u64(out, "total_commands_processed", es->commands_processed);
    info_u64(out, "instantaneous_ops_per_sec", rate_per_second(&s->ops));
    info_u64(out, "total_net_input_bytes", es->net_input_bytes);
    info_u64(out, "total_net_output_bytes", es->net_output_bytes);
    buf_printf(out, "instantaneous_input_kbps:%.2f\r\n",
               (double)rate_per_second(&s->input) / 1024);
    buf_printf(out, "instantaneous_output_kbps:%.2f\r\n",
               (double)rate_per_second(&s->output) / 1024);
    info_u64(out, "rejected_connections", es->connections_rejected);
    info_u64(out, "expired_keys", ds.expired_keys);
    info_u64(out, "evicted_keys", 0);
    info_u64(out, "evicted_clients", 0);
    info_u64(out, "keyspace_hits", es->keyspace_hits);
    info_u64(out, "keyspace_misses", es->keyspace_misses);
    info_u64(out, "lazyfreed_objects", ds.lazyfreed);
    info_u64(out, "lazyfree_pending_objects", ds.lazyfree_pending);
    info_u64(out, "pubsub_channels", pubsub_topics(s->engine, PUBSUB_CHANNEL));
    info_u64(out, "pubsub_patterns", pubsub_topics(s->engine, PUBSUB_PATTERN));
    info_u64(out, "pubsubshard_channels",
             pubsub_topics(s->engine, PUBSUB_SHARD));
    info_u64(out, "total_forks", 0);
    info_u64(out, "unexpected_error_replies", es->unexpected_errors);
    info_u64(out, "total_error_replies", es->total_error_replies);
    info_u64(out, "total_reads_processed", ls.reads);
    info_u64(out, "total_writes_processed", ls.writes);
    info_u64(out, "protocol_errors", es->protocol_errors);
    info_u64(out, "client_query_buffer_limit_disconnections",
             es->query_limit_closes);
    info_u64(out, "client_output_buffer_limit_disconnections",
             es->output_limit_closes);
    info_u64(out, "total_exec_calls", es->execs);
    info_u64(out, "total_watch_conflicts", es->watch_conflicts);
    info_u64(out, "total_pubsub_messages", es->pubsub_messages);
}

void
info_batch(struct server *s, struct buf *out)
{
    const struct engine_stats *es = &s->engine->stats;
    struct loop_stats ls;

    sampler_loop(s, &ls);
    info_u64(out, "turns", ls.turns);
    info_u64(out, "batches", es->batches);
    buf_printf(out, "commands_per_batch:%.2f\r\n",
               (double)es->commands_processed /
                   (double)nq_max(es->batches, (uint64_t)1));
    info_u64(out, "parked_commands", es->parked_commands);
    info_u64(out, "held_commands", es->held_commands);
    info_u64(out, "sliced_yields", es->sliced_yields);
    info_u64(out, "longest_turn_usec", s->turn_us_max);
}

/* Each command that was called, and each subcommand. */
static void
each_called(void (*fn)(struct server *s, struct buf *out,
                       const struct command *cmd),
            struct server *s, struct buf *out)
{
    for (unsigned i = 0; i < command_count(); i++) {
        const struct command *cmd = command_at(i);

        if (cmd->stats != NULL && cmd->stats->calls + cmd->stats->rejected > 0)
            fn(s, out, cmd);
        for (const struct command *sub = cmd->subs;
             sub != NULL && sub->name != NULL; sub++) {
            if (sub->stats != NULL &&
                sub->stats->calls + sub->stats->rejected > 0)
                fn(s, out, sub);
        }
    }
}

static void
command_line(struct server *s, struct buf *out, const struct command *cmd)
{
    const struct command_stats *st = cmd->stats;

    nq_unused(s);
    buf_printf(
        out,
        "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,"
        "rejected_calls=%llu,failed_calls=%llu\r\n",
        cmd->name, (unsigned long long)st->calls, (unsigned long long)st->usec,
        (double)st->usec / (double)nq_max(st->calls, (uint64_t)1),
        (unsigned long long)st->rejected, (unsigned long long)st->failed);
}

void
info_commandstats(struct server *s, struct buf *out)
{
    each_called(command_line, s, out);
}

static void
latency_line(struct server *s, struct buf *out, const struct command *cmd)
{
    struct slice left = slice_str(config_text(s->config, CONF_PERCENTILES));
    struct slice word;
    bool is_first = true;
    char text[24];

    if (cmd->stats->latency == NULL || left.len == 0)
        return;
    buf_printf(out, "latency_percentiles_usec_%s:", cmd->name);
    while ((word = config_word(&left)).len > 0 && word.len < sizeof text) {
        memcpy(text, word.p, word.len);
        text[word.len] = '\0';
        buf_printf(out, "%sp%s=%.3f", is_first ? "" : ",", text,
                   (double)histogram_quantile(cmd->stats->latency,
                                              strtod(text, NULL) / 100));
        is_first = false;
    }
    buf_put_str(out, "\r\n");
}

void
info_latencystats(struct server *s, struct buf *out)
{
    each_called(latency_line, s, out);
}

static void
error_line(void *arg, const char *word, uint64_t count)
{
    buf_printf(arg, "errorstat_%s:count=%llu\r\n", word,
               (unsigned long long)count);
}

void
info_errorstats(struct server *s, struct buf *out)
{
    errorstats_each(s->engine->errors, error_line, out);
}

void
info_keyspace(struct server *s, struct buf *out)
{
    /* Counts are at the roots; one that was evicted is read here, once. */
    bool was = frames_set_blocking(store_frames(s->store), true);
    uint64_t keys, expires;

    for (uint32_t i = 0; i < db_count(s->db); i++) {
        if (db_size(s->db, i, &keys) == NQ_OK && keys > 0 &&
            db_expires(s->db, i, &expires) == NQ_OK)
            buf_printf(out, "db%u:keys=%llu,expires=%llu\r\n", i,
                       (unsigned long long)keys, (unsigned long long)expires);
    }
    (void)frames_set_blocking(store_frames(s->store), was);
}
