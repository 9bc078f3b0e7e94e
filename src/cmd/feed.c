/* cmd/feed.c - a query that is followed: what makes it the same as another,
 * and whether a change is told.
 *
 * An identity is, with numbers as varints and texts behind their length:
 *
 *   db, has_hi, lo, hi     the range
 *   where                  program_text(), empty: no test
 *   n, path * n            RETURN; 0: everything
 *   events                 bits
 *   channel                that the client named; empty: ours
 *
 * I1 A feed is in feeds->ranges if and only if one of its lanes has a sub.
 *
 * Called by cmd/cmd_feed, cmd/feed_lane, cmd/feed_sub. */
#include <stdio.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/feed_int.h"
#include "os/clock.h"
#include "resp/write.h"

/* --- identity --------------------------------------------------------------
 */

static void
put_text(struct buf *out, struct slice s)
{
    buf_put_varint(out, s.len);
    buf_put_slice(out, s);
}

void
feed_identity(uint32_t db, const struct select *sel, uint8_t events,
              struct slice channel, struct buf *out)
{
    const struct range *r = &sel->range;

    buf_put_varint(out, db);
    buf_put_u8(out, r->has_hi);
    put_text(out, r->lo);
    put_text(out, r->has_hi ? r->hi : slice_lit(""));
    put_text(out,
             sel->where == NULL ? slice_lit("") : program_text(sel->where));
    buf_put_varint(out, sel->return_count);
    for (uint32_t i = 0; i < sel->return_count; i++)
        put_text(out, path_text(sel->returns[i]));
    buf_put_u8(out, events);
    put_text(out, channel);
}

bool
feed_identity_range(struct slice identity, struct key_range *out)
{
    struct cursor c = cursor_of(identity);
    uint64_t db;
    uint8_t has_hi;

    if (!cursor_get_varint(&c, &db) || !cursor_get_u8(&c, &has_hi) ||
        !cursor_get_slice(&c, &out->lo) || !cursor_get_slice(&c, &out->hi))
        return false;
    out->db = (uint32_t)db;
    out->has_hi = has_hi != 0;
    return true;
}

void
feed_describe(const struct select *sel, uint8_t events, struct buf *out)
{
    static const char *const names[] = {" set", " del", " expire"};

    buf_put_str(out, "RANGE [");
    buf_put_slice(out, sel->range.lo);
    buf_put_str(out, " ");
    buf_put_str(out, sel->range.has_hi ? "(" : "+");
    if (sel->range.has_hi)
        buf_put_slice(out, sel->range.hi);
    if (sel->where != NULL) {
        buf_put_str(out, " WHERE ");
        buf_put_slice(out, program_text(sel->where));
    }
    if (sel->return_count > 0)
        buf_put_str(out, " RETURN");
    for (uint32_t i = 0; i < sel->return_count; i++) {
        buf_put_u8(out, ' ');
        buf_put_slice(out, path_text(sel->returns[i]));
    }
    if (events == FEED_ALL)
        return;
    buf_put_str(out, " EVENTS");
    for (unsigned i = 0; i < nq_countof(names); i++)
        if ((events & 1u << i) != 0)
            buf_put_str(out, names[i]);
}

/* --- life ------------------------------------------------------------------
 */

static bool
identity_is(const struct hash_node *n, const void *key)
{
    const struct feed *f = (const struct feed *)n;

    return slice_eq(buf_slice(&f->identity), *(const struct slice *)key);
}

struct feed *
feed_find(const struct feeds *all, struct slice identity)
{
    struct hash_node *n = hash_find(&all->by_identity, hash_bytes(identity),
                                    identity_is, &identity);

    return n == NULL ? NULL : nq_container(n, struct feed, node);
}

struct key_range
feed_key_range(const struct feed *f)
{
    return (struct key_range){.db = f->db,
                              .lo = f->range.lo,
                              .hi = f->range.hi,
                              .has_hi = f->range.has_hi};
}

static void
take_query(struct feed *f, struct select *sel)
{
    f->where = sel->where;
    f->return_count = sel->return_count;
    memcpy(f->returns, sel->returns, sizeof f->returns);
    sel->where = NULL;
    sel->return_count = 0;
    f->needs = f->where == NULL ? 0 : program_needs(f->where);
    if (f->return_count == 0)
        f->needs |= ROW_VALUE | ROW_FIELDS;
    for (uint32_t i = 0; i < f->return_count; i++)
        f->needs |= path_needs(f->returns[i]);
}

static char *
name_channel(const struct feed *f, struct slice wanted)
{
    char *name = nq_calloc(1, nq_max(wanted.len + 1, (size_t)32));

    if (wanted.len > 0)
        memcpy(name, wanted.p, wanted.len);
    else
        snprintf(name, 32, "nq:feed:%llu", (unsigned long long)f->id);
    return name;
}

struct feed *
feed_new(struct feeds *all, uint32_t db, struct select *sel, uint8_t events,
         struct slice channel, struct slice identity)
{
    struct feed *f = nq_calloc(1, sizeof *f);
    struct key_range r;
    bool has_range;

    f->all = all;
    f->id = ++all->next_id;
    f->refs = 1;
    f->db = db;
    f->events = events;
    buf_put_slice(&f->identity, identity);
    feed_describe(sel, events, &f->text);
    take_query(f, sel);
    has_range = feed_identity_range(buf_slice(&f->identity), &r);
    nq_assert(has_range);
    f->range.lo = r.lo;
    f->range.hi = r.hi;
    f->range.has_hi = r.has_hi;
    f->channel = name_channel(f, channel);
    for (unsigned i = 0; i < FEED_LANES; i++) {
        feed_ring_init(&f->lanes[i].ring);
        list_init(&f->lanes[i].subs);
        list_init(&f->lanes[i].tip);
    }
    list_push_back(&all->order, &f->order);
    hash_insert(&all->by_identity, &f->node, hash_bytes(identity));
    all->stats.feeds++;
    return f;
}

struct feed *
feed_ref(struct feed *f)
{
    f->refs++;
    return f;
}

void
feed_unref(struct feed *f)
{
    if (f == NULL || --f->refs > 0)
        return;
    feed_ranges_remove(&f->all->ranges[f->db], &f->range);
    hash_remove(&f->all->by_identity, &f->node);
    list_remove(&f->order);
    for (unsigned i = 0; i < FEED_LANES; i++)
        feed_ring_fini(&f->lanes[i].ring);
    if (f->cover != NULL && f->all->e->db != NULL)
        db_cover_drop(f->all->e->db, f->cover, clock_wall_ms());
    program_unref(f->where);
    for (uint32_t i = 0; i < f->return_count; i++)
        path_free(f->returns[i]);
    buf_fini(&f->identity);
    buf_fini(&f->text);
    nq_free(f->channel);
    f->all->stats.feeds--;
    nq_free(f);
}

/* --- telling ---------------------------------------------------------------
 */

/* Whether the key matched; then *row tells it as it was at the time of the
 * change, whenever that is read. */
static bool
matches(const struct feed *f, const struct change *c, const struct image *im,
        struct row_fields *fields, struct row *row)
{
    struct row_scratch *scratch = f->all->scratch;

    if (!im->exists)
        return false;
    image_row(im, c->key, c->time_ms, fields, row);
    row_scratch_next(scratch);
    return f->where == NULL ||
           program_run(f->where, row, scratch) == TRUTH_TRUE;
}

static uint8_t
event_bit(enum change_event event)
{
    switch (event) {
    case CHANGE_SET:
        return FEED_SET;
    case CHANGE_DEL:
    case CHANGE_GONE:
        return FEED_DEL;
    case CHANGE_EXPIRE:
        return FEED_EXPIRE;
    case CHANGE_RESET:
        break;
    }
    return FEED_ALL;
}

static bool
tell_range(struct feed *f, const struct change *c)
{
    struct key_range r = feed_key_range(f);

    if (!change_is_in(c, &r))
        return false;
    feed_message_range(&f->all->body, c, &r);
    return true;
}

bool
feed_tell(struct feed *f, const struct change *c)
{
    struct feed_returns ret = {f->return_count, f->returns, f->all->scratch};
    struct row_fields fields;
    struct row row;
    bool was, is;

    f->all->stats.tested++;
    if ((event_bit(c->event) & f->events) == 0)
        return false;
    if (c->event == CHANGE_GONE || c->event == CHANGE_RESET)
        return tell_range(f, c);
    was = matches(f, c, &c->was, &fields, &row);
    is = matches(f, c, &c->is, &fields, &row);
    if (!was && !is)
        return false;
    feed_message_change(&f->all->body, c, was, is ? &row : NULL, &ret);
    return true;
}

size_t
feed_head(const char *channel, uint8_t resp, size_t len, uint8_t *dst)
{
    static const char start[] = "*3\r\n$7\r\nmessage\r\n";
    size_t n = sizeof start - 1;

    memcpy(dst, start, n);
    if (resp >= 3)
        dst[0] = '>';
    n += resp_put_bulk(dst + n, slice_str(channel));
    n += resp_put_header(dst + n, '$', len);
    nq_assert(n <= FEED_HEAD_MAX);
    return n;
}
