/* cmd/sort_pattern.c - the values that SORT sorts by and gives.
 *
 * The first '*' of a pattern stands for the element.  "->" behind it and then
 * at least one byte: the key is that of a hash, and the rest is a field. */
#include "cmd/sort_pattern.h"

#include "db/fields.h"
#include "db/string.h"

struct sort_pattern
sort_pattern_of(struct slice text)
{
    struct sort_pattern p = {.target = SORT_NOTHING};
    const uint8_t *star, *end = text.p + text.len, *arrow;

    if (slice_eq(text, slice_lit("#"))) {
        p.target = SORT_SELF;
        return p;
    }
    star = text.len == 0 ? NULL : memchr(text.p, '*', text.len);
    if (star == NULL)
        return p;
    p.target = SORT_STRING;
    p.before = slice_of(text.p, (size_t)(star - text.p));
    p.after = slice_of(star + 1, (size_t)(end - star - 1));
    arrow = memmem(p.after.p, p.after.len, "->", 2);
    if (arrow == NULL || arrow + 2 == end)
        return p;
    p.target = SORT_FIELD;
    p.after.len = (size_t)(arrow - p.after.p);
    p.field = slice_of(arrow + 2, (size_t)(end - arrow - 2));
    return p;
}

static struct slice
key_of_element(struct req *rq, const struct sort_pattern *p,
               struct slice element)
{
    size_t len = p->before.len + element.len + p->after.len;
    uint8_t *key = arena_alloc(rq->arena, len + 1);

    memcpy(key, p->before.p, p->before.len);
    memcpy(key + p->before.len, element.p, element.len);
    memcpy(key + p->before.len + element.len, p->after.p, p->after.len);
    return slice_of(key, len);
}

static nq_rc
find_field(struct req *rq, const struct sort_pattern *p, struct slice key,
           struct entry *e, struct slice *out)
{
    struct item it;
    struct coll c;
    nq_rc rc = fields_open(rq->db, rq->dbi, key, e, true, &c);

    if (rc == NQ_OK)
        rc = fields_get(&c, p->field, &it);
    if (rc == NQ_OK)
        rc = coll_val(&c, &it, rq->arena, out);
    coll_close(&c);
    return rc;
}

nq_rc
sort_pattern_find(struct req *rq, const struct sort_pattern *p,
                  struct slice element, struct slice *out)
{
    bool is_hash = p->target == SORT_FIELD;
    struct entry e = {0};
    struct slice key;
    nq_rc rc;

    *out = element;
    if (p->target == SORT_SELF)
        return NQ_OK;
    if (p->target == SORT_NOTHING)
        return NQ_NOTFOUND;
    key = key_of_element(rq, p, element);
    if ((rc = db_find(rq->db, rq->dbi, key, &e)) != NQ_OK)
        return rc;
    if (e.rec.type != (is_hash ? DB_HASH : DB_STRING))
        return NQ_NOTFOUND;
    return is_hash ? find_field(rq, p, key, &e, out)
                   : string_bytes(rq->db, &e, rq->arena, out);
}
