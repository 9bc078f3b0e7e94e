/* cmd/sort_source.c - one way to walk three types. */
#include "cmd/sort_source.h"

#include "base/check.h"

bool
sort_source_has(enum db_type type)
{
    return type == DB_LIST || type == DB_SET || type == DB_ZSET;
}

static nq_rc
open_set(struct req *rq, struct slice key, struct entry *e,
         struct sort_source *s)
{
    nq_rc rc = set_open(rq->db, rq->dbi, key, e, true, &s->set);

    s->count = s->set.count;
    coll_cursor_init(&s->in_set, &s->set);
    return rc;
}

static nq_rc
open_zset(struct req *rq, struct slice key, struct entry *e,
          struct sort_source *s)
{
    nq_rc rc = zset_open(rq->db, rq->dbi, key, e, true, &s->zset);

    s->count = s->zset.card;
    zset_cursor_init(&s->in_zset, &s->zset);
    return rc;
}

nq_rc
sort_source_open(struct req *rq, struct slice key, struct entry *e,
                 struct sort_source *s)
{
    s->type = e->rec.type;
    s->db = rq->db;
    s->valid = false;
    s->is_open = true;
    switch (s->type) {
    case DB_LIST:
        s->count = list_len(e);
        return list_cursor_init(&s->in_list, rq->db, e);
    case DB_SET:
        return open_set(rq, key, e, s);
    default:
        nq_assert(s->type == DB_ZSET);
        return open_zset(rq, key, e, s);
    }
}

void
sort_source_close(struct sort_source *s)
{
    if (!s->is_open)
        return;
    s->is_open = false;
    switch (s->type) {
    case DB_LIST:
        list_cursor_fini(&s->in_list);
        break;
    case DB_SET:
        coll_cursor_fini(&s->in_set);
        coll_close(&s->set);
        break;
    default:
        zset_cursor_fini(&s->in_zset);
        zset_close(&s->zset);
    }
}

static nq_rc
stood(struct sort_source *s, nq_rc rc)
{
    s->valid = s->type == DB_LIST  ? s->in_list.valid
               : s->type == DB_SET ? s->in_set.valid
                                   : s->in_zset.valid;
    return rc;
}

nq_rc
sort_source_seek(struct sort_source *s, uint64_t rank)
{
    switch (s->type) {
    case DB_LIST:
        return stood(s, list_seek(&s->in_list, rank));
    case DB_SET:
        return stood(s, coll_nth(&s->in_set, rank));
    default:
        return stood(s, zset_nth(&s->in_zset, rank));
    }
}

nq_rc
sort_source_step(struct sort_source *s, bool backwards)
{
    switch (s->type) {
    case DB_LIST:
        return stood(s, backwards ? list_prev(&s->in_list)
                                  : list_next(&s->in_list));
    case DB_SET:
        return stood(s,
                     backwards ? coll_prev(&s->in_set) : coll_next(&s->in_set));
    default:
        return stood(s, backwards ? zset_prev(&s->in_zset)
                                  : zset_next(&s->in_zset));
    }
}

nq_rc
sort_source_bytes(struct sort_source *s, struct arena *arena, struct slice *out)
{
    nq_rc rc = NQ_OK;

    nq_assert(s->valid);
    switch (s->type) {
    case DB_LIST:
        if ((rc = list_item(&s->in_list, &s->item)) == NQ_OK)
            rc = list_item_bytes(s->db, &s->item, arena, out);
        break;
    case DB_SET:
        *out = s->in_set.key;
        break;
    default:
        *out = s->in_zset.at.name;
    }
    return rc;
}
