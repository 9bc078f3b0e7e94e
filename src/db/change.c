/* db/change.c - noting what covered keys were before a command changes them,
 * and telling what became of them behind it.
 *
 *   CHANGE  (key) u8 event | varint ms | image before | image after
 *           (key: lo) u8 event | varint ms | u8 has_hi | hi   of a range
 *
 * The ms are the wall clock of the command; images are those of image.c.
 *
 * A key goes this way within one command:
 *
 *   db_find_write   -> change_note     its image before, in memory of the
 *                                      command
 *   db_touch        -> change_touched  it was logged that it changed
 *   db_changes_end  -> tell            the image after is taken, CHANGE logged
 *
 *   I1  all that may miss is read by change_note(), before the command's first
 *       effect; what the image after needs was just written, and what of it is
 *       not in memory all the same is read on the spot
 *   I2  the frame is not closed between a change and its CHANGE: both ends of
 *       a command are in one turn
 *   I3  what a command keeps of images before is bounded: beyond
 *       NOTED_BYTES_MAX they go without values
 *   I4  what expires is told at once, as it is no effect of the command that
 *       finds it
 *
 * A log that refuses a CHANGE has refused the effect before it, so nothing is
 * told of what did not happen.  Called by db, by dispatch, and by replay, for
 * which a CHANGE is nothing. */
#include "db/change.h"

#include "base/hash.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/image.h"

#define NOTED_BYTES_MAX ((uint64_t)64 << 20)

static const char *const event_names[CHANGE_EVENTS] = {
    [CHANGE_SET] = "set",       [CHANGE_DEL] = "del",
    [CHANGE_EXPIRE] = "expire", [CHANGE_GONE] = "gone",
    [CHANGE_RESET] = "reset",
};

/* A covered key that the running command may change. */
struct noted {
    struct hash_node node;
    struct noted *next;
    uint32_t db;
    bool is_touched, is_told;
    enum change_event gone; /* what it is called if it is not there after */
    struct slice key, was;  /* was: its image, encoded */
};

struct change_log {
    struct hash table;
    struct arena arena; /* of what is noted */
    struct arena once;  /* of one image */
    struct noted *first, *last;
    uint64_t bytes;
    struct buf told; /* arguments of a CHANGE */
};

const char *
change_event_name(enum change_event event)
{
    return (unsigned)event < CHANGE_EVENTS && event_names[event] != NULL
               ? event_names[event]
               : "unknown";
}

static struct change_log *
log_of(struct db *db)
{
    if (db->changes == NULL)
        db->changes = nq_calloc(1, sizeof *db->changes);
    return db->changes;
}

void
db_close_changes(struct db *db)
{
    struct change_log *l = db->changes;

    if (l == NULL)
        return;
    hash_fini(&l->table);
    arena_fini(&l->arena);
    arena_fini(&l->once);
    buf_fini(&l->told);
    nq_free(l);
    db->changes = NULL;
}

/* --- noting --------------------------------------------------------------- */

struct wanted {
    uint32_t db;
    struct slice key;
};

static bool
is_noted(const struct hash_node *node, const void *key)
{
    const struct noted *n = (const struct noted *)node; /* its first */
    const struct wanted *w = key;

    return n->db == w->db && slice_eq(n->key, w->key);
}

static struct noted *
find_noted(const struct change_log *l, uint32_t dbi, struct slice key)
{
    struct wanted w = {dbi, key};
    struct hash_node *node =
        hash_find(&l->table, hash_bytes(key), is_noted, &w);

    return node == NULL ? NULL : nq_container(node, struct noted, node);
}

static struct slice
keep(struct change_log *l, struct slice s)
{
    l->bytes += s.len;
    return slice_of(arena_memdup(&l->arena, s.p, s.len), s.len);
}

static void
add_noted(struct change_log *l, uint32_t dbi, struct slice key,
          struct slice was, enum change_event gone)
{
    struct noted *n = arena_alloc(&l->arena, sizeof *n);

    *n = (struct noted){.db = dbi, .gone = gone};
    n->key = keep(l, key);
    n->was = keep(l, was);
    hash_insert(&l->table, &n->node, hash_bytes(key));
    if (l->first == NULL)
        l->first = n;
    else
        l->last->next = n;
    l->last = n;
}

static nq_rc
note(struct db *db, uint32_t dbi, struct slice key, const struct entry *e,
     enum change_event gone)
{
    struct change_log *l = log_of(db);
    uint64_t limit = l->bytes < NOTED_BYTES_MAX ? db->max_image : 0;
    struct image was = {.exists = false};
    nq_rc rc = NQ_OK;

    if (find_noted(l, dbi, key) != NULL)
        return NQ_OK;
    if (e != NULL)
        rc = image_take(db, dbi, key, e, limit, &l->once, &was);
    if (rc == NQ_OK) {
        buf_clear(&l->told);
        image_encode(&was, &l->told);
        add_noted(l, dbi, key, buf_slice(&l->told), gone);
    }
    arena_reset(&l->once);
    return rc;
}

nq_rc
change_note(struct db *db, uint32_t dbi, struct slice key,
            const struct entry *e)
{
    return note(db, dbi, key, e, CHANGE_DEL);
}

nq_rc
change_note_due(struct db *db, uint32_t dbi, struct slice key,
                const struct entry *e)
{
    return note(db, dbi, key, e, CHANGE_EXPIRE);
}

void
change_touched(struct db *db, uint32_t dbi, struct slice key)
{
    struct change_log *l = db->changes;
    struct noted *n =
        l == NULL || l->first == NULL ? NULL : find_noted(l, dbi, key);

    nq_dassert(n != NULL || !db_is_covered(db, dbi, key));
    if (n != NULL)
        n->is_touched = true;
}

/* --- telling -------------------------------------------------------------- */

static void
log_change(struct db *db, uint32_t dbi, struct slice key)
{
    struct slice args = buf_slice(&db->changes->told);
    lsn at = wal_next_record(db->wal);

    if (wal_append(db->wal, EFFECT_CHANGE, dbi, key, &args, 1) != NQ_OK)
        return;
    db_gate_raise(db, wal_position(db->wal));
    if (db->opts.on_change != NULL)
        db->opts.on_change(db->opts.arg, at, dbi, key, args);
}

/* What the key is now; blocking mode is on. */
static void
take_after(struct db *db, const struct noted *n, struct image *out)
{
    struct keyspace *ks = db_space(db, n->db);
    struct entry e = {0};
    nq_rc rc = btree_get(&ks->tree, n->key, &e.rec, &e.finger);

    *out = (struct image){.exists = rc != NQ_NOTFOUND};
    e.version = db_record_version(db, ks);
    if (rc == NQ_OK)
        rc = image_take(db, n->db, n->key, &e, db->max_image,
                        &db->changes->once, out);
    nq_dassert(rc != NQ_MISS);
}

static void
tell(struct db *db, struct noted *n)
{
    struct change_log *l = db->changes;
    bool was = frames_set_blocking(db->fr, true);
    bool was_there = n->was.p[0] != 0;
    struct image is;

    n->is_told = true;
    take_after(db, n, &is);
    if (is.exists || was_there) {
        buf_clear(&l->told);
        buf_put_u8(&l->told, (uint8_t)(is.exists ? CHANGE_SET : n->gone));
        buf_put_varint(&l->told, db->now_ms);
        buf_put_slice(&l->told, n->was);
        image_encode(&is, &l->told);
        log_change(db, n->db, n->key);
    }
    arena_reset(&l->once);
    (void)frames_set_blocking(db->fr, was);
}

static void
forget_all(struct change_log *l)
{
    for (struct noted *n = l->first; n != NULL; n = n->next)
        if (!n->is_told)
            hash_remove(&l->table, &n->node);
    nq_dassert(l->table.count == 0);
    arena_reset(&l->arena);
    l->first = l->last = NULL;
    l->bytes = 0;
}

void
db_changes_end(struct db *db)
{
    struct change_log *l = db->changes;

    if (nq_likely(l == NULL || l->first == NULL))
        return;
    for (struct noted *n = l->first; n != NULL; n = n->next) {
        if (n->is_touched && !n->is_told) {
            hash_remove(&l->table, &n->node);
            tell(db, n);
        }
    }
    forget_all(l);
}

void
change_tell_key(struct db *db, uint32_t dbi, struct slice key)
{
    struct change_log *l = db->changes;
    struct noted *n = l == NULL ? NULL : find_noted(l, dbi, key);

    if (n == NULL)
        return;
    hash_remove(&l->table, &n->node);
    if (n->is_touched)
        tell(db, n);
    n->is_told = true;
    if (l->first == n && l->last == n)
        forget_all(l);
}

void
change_tell_range(struct db *db, enum change_event event,
                  const struct key_range *r)
{
    struct buf *b;

    if (db->covers == NULL || db->is_replaying || !cover_meets(db, r))
        return;
    b = &log_of(db)->told;
    buf_clear(b);
    buf_put_u8(b, (uint8_t)event);
    buf_put_varint(b, db->now_ms);
    buf_put_u8(b, r->has_hi);
    if (r->has_hi)
        buf_put_slice(b, r->hi);
    log_change(db, r->db, r->lo);
}

void
db_set_max_image(struct db *db, uint64_t bytes)
{
    db->max_image = bytes;
}

/* --- reading -------------------------------------------------------------- */

static bool
decode_range(struct cursor *c, struct change *out)
{
    uint8_t has_hi;

    cursor_get_u8(c, &has_hi);
    cursor_get_bytes(c, cursor_left(c), &out->hi);
    out->has_hi = has_hi == 1;
    return cursor_ok(c) && has_hi <= 1 && (has_hi == 1 || out->hi.len == 0);
}

bool
change_decode(lsn at, uint32_t db, struct slice key, struct slice args,
              struct change *out)
{
    struct cursor c = cursor_of(args);
    uint8_t event;

    *out = (struct change){.at = at, .db = db, .key = key};
    cursor_get_u8(&c, &event);
    cursor_get_varint(&c, &out->time_ms);
    if (!cursor_ok(&c))
        return false;
    out->event = (enum change_event)event;
    switch (out->event) {
    case CHANGE_GONE:
    case CHANGE_RESET:
        return decode_range(&c, out);
    case CHANGE_SET:
    case CHANGE_DEL:
    case CHANGE_EXPIRE:
        return image_decode(&c, &out->was) && image_decode(&c, &out->is) &&
               cursor_left(&c) == 0 &&
               out->is.exists == (out->event == CHANGE_SET);
    }
    return false;
}

bool
change_is_record(const struct wal_record *r)
{
    return r->effect == EFFECT_CHANGE;
}

bool
change_is_in(const struct change *c, const struct key_range *r)
{
    if (c->event != CHANGE_GONE && c->event != CHANGE_RESET)
        return key_range_has(r, c->db, c->key);
    return c->db == r->db && (!r->has_hi || slice_cmp(c->key, r->hi) < 0) &&
           (!c->has_hi || slice_cmp(r->lo, c->hi) < 0);
}

nq_rc
db_apply_change(struct db *db, const struct wal_record *r)
{
    nq_unused(db);
    nq_unused(r);
    return NQ_OK;
}
