/* cmd/staging.c - results that take more than a slice.
 *
 * A session runs one command at a time, so its number is a name that nobody
 * else uses; what a start finds in DB_STAGING it removes.
 *
 * staging_drop() may run when a client goes, outside of any command.  It takes
 * away one record: the page it stands on is nearly always in memory, and is
 * else read on the spot. */
#include "cmd/staging.h"

#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "cmd/engine.h"
#include "store/frames.h"
#include "store/store.h"

nq_rc
staging_begin(struct req *rq, struct staging *s)
{
    struct entry e = {0};
    nq_rc rc;

    nq_assert(s->db == NULL);
    s->name_len = (size_t)snprintf(s->name, sizeof s->name, "%llu",
                                   (unsigned long long)rq->s->id);
    s->db = rq->db;
    rc = staging_find(s, &e);
    if (rc == NQ_OK)
        rc = db_del_replaced(s->db, DB_STAGING, staging_key(s), &e);
    if (rc == NQ_OK || rc == NQ_NOTFOUND)
        return NQ_OK;
    s->db = NULL;
    return rc;
}

bool
staging_is_begun(const struct staging *s)
{
    return s->db != NULL;
}

struct slice
staging_key(const struct staging *s)
{
    nq_assert(s->db != NULL);
    return slice_of(s->name, s->name_len);
}

nq_rc
staging_find(struct staging *s, struct entry *e)
{
    *e = (struct entry){0};
    return db_find_write(s->db, DB_STAGING, staging_key(s), e);
}

nq_rc
staging_publish(struct req *rq, struct staging *s, struct slice to)
{
    struct entry e;
    nq_rc rc = staging_find(s, &e);

    if (rc == NQ_NOTFOUND)
        rc = staging_delete(rq, to);
    else if (rc == NQ_OK)
        rc = db_rename(s->db, DB_STAGING, staging_key(s), rq->dbi, to);
    if (rc == NQ_OK)
        s->db = NULL;
    return rc;
}

void
staging_drop(struct staging *s)
{
    struct frames *fr;
    bool was;
    nq_rc rc;

    if (s->db == NULL)
        return;
    fr = store_frames(db_store(s->db));
    was = frames_set_blocking(fr, true);
    rc = db_del(s->db, DB_STAGING, staging_key(s));
    (void)frames_set_blocking(fr, was);
    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        log_warn("an unfinished result stays until the next start: %s",
                 rc_text(rc));
    s->db = NULL;
}

nq_rc
staging_replace(struct req *rq, struct slice to, struct entry *e)
{
    nq_rc rc;

    *e = (struct entry){0};
    if ((rc = store_writable(rq->engine->store)) != NQ_OK)
        return rc;
    rc = db_find_write(rq->db, rq->dbi, to, e);
    if (rc == NQ_OK) {
        rc = db_del_replaced(rq->db, rq->dbi, to, e);
        *e = (struct entry){0};
    }
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

nq_rc
staging_delete(struct req *rq, struct slice to)
{
    nq_rc rc = db_del(rq->db, rq->dbi, to);

    return rc == NQ_NOTFOUND || rc == NQ_EKEYLEN ? NQ_OK : rc;
}
