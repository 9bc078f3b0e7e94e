/* server/info_queries.c - INFO about queries: compiled programs and results
 * that are kept, indexes, and what clients hold open. */
#include "server/info_int.h"

#include "cmd/cursors.h"
#include "cmd/result_cache.h"
#include "db/index.h"
#include "query/program.h"
#include "store/store.h"

static void
put_indexes(struct db *db, struct buf *out)
{
    struct index_info sum = {.rows = 0};
    unsigned building = 0, damaged = 0;
    struct index *ix;

    for (unsigned i = 0; (ix = db_index_at(db, i)) != NULL; i++) {
        struct index_info one;

        index_get_info(ix, &one);
        building += one.state == INDEX_BUILDING;
        damaged += one.state == INDEX_DAMAGED;
        sum.rows += one.rows;
        sum.seeks += one.seeks;
        sum.found += one.found;
        sum.pending = one.pending; /* of all */
    }
    info_u64(out, "indexes", db_index_count(db));
    info_u64(out, "indexes_building", building);
    info_u64(out, "indexes_damaged", damaged);
    info_u64(out, "index_rows", sum.rows);
    info_u64(out, "index_pending", sum.pending);
    info_u64(out, "index_seeks", sum.seeks);
    info_u64(out, "index_found", sum.found);
}

static void
put_results(const struct result_cache *c, struct buf *out)
{
    struct result_cache_stats st;

    result_cache_get_stats(c, &st);
    info_u64(out, "results_cached", st.entries);
    info_u64(out, "results_bytes", st.bytes);
    info_u64(out, "result_hits", st.hits);
    info_u64(out, "result_misses", st.misses);
    info_u64(out, "results_invalidated", st.invalidated);
}

static void
put_cursors(struct server *s, struct buf *out)
{
    const struct cursors_stats *cs = cursors_stats(s->engine);
    struct store_pin_stats pins;

    info_u64(out, "cursors_open", cs->open[CURSOR_PULL]);
    info_u64(out, "cursors_opened", cs->opened[CURSOR_PULL]);
    info_u64(out, "streams_open", cs->open[CURSOR_STREAM]);
    info_u64(out, "streams_opened", cs->opened[CURSOR_STREAM]);
    info_u64(out, "cursors_expired", cs->expired);
    info_u64(out, "cursor_rows", cs->rows);
    info_u64(out, "cursor_bytes", cs->bytes);
    if (s->store == NULL)
        return;
    store_get_pin_stats(s->store, &pins);
    info_u64(out, "snapshots", pins.pins);
    info_u64(out, "snapshot_bytes", pins.bytes);
    info_u64(out, "snapshot_bytes_max", pins.limit);
    info_u64(out, "snapshots_broken", pins.broken);
}

void
info_queries(struct server *s, struct buf *out)
{
    struct program_cache_stats cache;

    program_cache_get_stats(&cache);
    info_u64(out, "programs_cached", cache.programs);
    info_u64(out, "programs_bytes", cache.bytes);
    info_u64(out, "program_hits", cache.hits);
    info_u64(out, "program_misses", cache.misses);
    put_results(s->engine->results, out);
    put_cursors(s, out);
    if (s->db != NULL)
        put_indexes(s->db, out);
}
