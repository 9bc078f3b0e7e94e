/* tests/lib/change_copy.c - see change_copy.h. */
#include "change_copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/image.h"
#include "os/clock.h"

#define TURNS_MAX 20000

static struct slice
own(struct slice s)
{
    return slice_of(nq_memdup(s.p, s.len), s.len);
}

static void
disown(struct slice *s)
{
    union {
        const uint8_t *p;
        void *owned;
    } u = {s->p};

    nq_free(u.owned);
}

/* --- the copy --------------------------------------------------------------
 */

static bool
is_wanted(const struct change_copy *c, uint32_t db, struct slice key)
{
    for (unsigned i = 0; i < c->nranges; i++)
        if (key_range_has(&c->ranges[i], db, key))
            return true;
    return false;
}

static struct copy_item *
find(struct change_copy *c, uint32_t db, struct slice key)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->items[i].db == db && slice_eq(c->items[i].key, key))
            return &c->items[i];
    return NULL;
}

static void
drop(struct change_copy *c, struct copy_item *it)
{
    disown(&it->key);
    disown(&it->image);
    *it = c->items[--c->count];
}

static void
put(struct change_copy *c, uint32_t db, struct slice key, struct slice image)
{
    struct copy_item *it = find(c, db, key);

    if (it != NULL) {
        disown(&it->image);
    } else {
        assert_true(c->count < COPY_KEYS);
        it = &c->items[c->count++];
        *it = (struct copy_item){.db = db, .key = own(key)};
    }
    it->image = own(image);
}

void
copy_init(struct change_copy *c, struct engine_env *env,
          const struct key_range *ranges, unsigned n)
{
    *c = (struct change_copy){.env = env, .nranges = n};
    assert_true(n <= COPY_RANGES);
    memcpy(c->ranges, ranges, n * sizeof *ranges);
}

void
copy_fini(struct change_copy *c)
{
    while (c->count > 0)
        drop(c, &c->items[0]);
}

/* --- changes ---------------------------------------------------------------
 */

static void
to_bytes(const struct image *im, struct buf *out)
{
    image_encode(im, out);
}

void
change_to_bytes(const struct change *c, struct buf *out)
{
    buf_put_u64(out, c->at);
    buf_put_u8(out, (uint8_t)c->event);
    buf_put_u32(out, c->db);
    buf_put_varint(out, c->key.len);
    buf_put_slice(out, c->key);
    buf_put_u8(out, c->has_hi);
    buf_put_varint(out, c->hi.len);
    buf_put_slice(out, c->hi);
    to_bytes(&c->was, out);
    to_bytes(&c->is, out);
}

static void
clear_range(struct change_copy *c, const struct change *ch)
{
    struct key_range r = {ch->db, ch->key, ch->hi, ch->has_hi};

    for (unsigned i = c->count; i > 0; i--)
        if (key_range_has(&r, c->items[i - 1].db, c->items[i - 1].key))
            drop(c, &c->items[i - 1]);
}

/* What it says of before is what the change before it said of after. */
static void
assert_follows(struct change_copy *c, const struct change *ch)
{
    struct copy_item *it = find(c, ch->db, ch->key);
    struct buf was = BUF_INIT;

    if (c->is_reset)
        return;
    to_bytes(&ch->was, &was);
    if ((it != NULL) != ch->was.exists ||
        (it != NULL && !slice_eq(it->image, buf_slice(&was))))
        fail_msg("%s of %.*s in %u at %llu: it was something else before",
                 change_event_name(ch->event), (int)ch->key.len,
                 (const char *)ch->key.p, ch->db, (unsigned long long)ch->at);
    buf_fini(&was);
}

void
copy_apply(struct change_copy *c, const struct change *ch)
{
    struct buf is = BUF_INIT;

    assert_true(ch->at > c->at);
    c->at = ch->at;
    c->changes++;
    switch (ch->event) {
    case CHANGE_RESET:
        c->is_reset = true;
        break;
    case CHANGE_GONE:
        clear_range(c, ch);
        break;
    case CHANGE_SET:
    case CHANGE_DEL:
    case CHANGE_EXPIRE:
        if (!is_wanted(c, ch->db, ch->key))
            break;
        assert_follows(c, ch);
        to_bytes(&ch->is, &is);
        if (ch->is.exists)
            put(c, ch->db, ch->key, buf_slice(&is));
        else if (find(c, ch->db, ch->key) != NULL)
            drop(c, find(c, ch->db, ch->key));
        break;
    }
    buf_fini(&is);
}

/* --- the database -----------------------------------------------------------
 */

static nq_rc
take(struct db *db, uint32_t dbi, struct slice key, struct buf *out)
{
    struct keyspace *ks = db_space(db, dbi);
    struct arena arena = ARENA_INIT;
    struct entry e = {0};
    struct image im;
    nq_rc rc = btree_get(&ks->tree, key, &e.rec, &e.finger);

    e.version = db_record_version(db, ks);
    if (rc == NQ_OK)
        rc = image_take(db, dbi, key, &e, db->max_image, &arena, &im);
    if (rc == NQ_OK)
        to_bytes(&im, out);
    arena_fini(&arena);
    return rc;
}

/* Calls fn for each key of the ranges. */
static unsigned
each_key(struct change_copy *c,
         void (*fn)(struct change_copy *c, uint32_t db, struct slice key,
                    struct slice image))
{
    struct db *db = c->env->db;
    bool was = frames_set_blocking(db->fr, true);
    unsigned n = 0;

    for (uint32_t dbi = 0; dbi < db->count; dbi++) {
        struct btree_cursor cu;
        nq_rc rc;

        btree_cursor_init(&cu, db_tree(db, dbi));
        for (rc = btree_first(&cu); rc == NQ_OK && cu.valid;
             rc = btree_next(&cu)) {
            struct buf image = BUF_INIT;

            if (!is_wanted(c, dbi, cu.key))
                continue;
            assert_int_equal(take(db, dbi, cu.key, &image), NQ_OK);
            fn(c, dbi, cu.key, buf_slice(&image));
            buf_fini(&image);
            n++;
        }
        assert_int_equal(rc, NQ_OK);
        btree_cursor_fini(&cu);
    }
    (void)frames_set_blocking(db->fr, was);
    return n;
}

static void
assert_has(struct change_copy *c, uint32_t db, struct slice key,
           struct slice image)
{
    struct copy_item *it = find(c, db, key);

    if (it == NULL)
        fail_msg("%.*s in %u is not in the copy", (int)key.len,
                 (const char *)key.p, db);
    if (!slice_eq(it->image, image))
        fail_msg("%.*s in %u is something else in the copy", (int)key.len,
                 (const char *)key.p, db);
}

void
copy_read(struct change_copy *c)
{
    copy_fini(c);
    c->is_reset = false;
    (void)each_key(c, put);
}

void
copy_assert_same(struct change_copy *c)
{
    unsigned n = each_key(c, assert_has);

    if (n != c->count)
        fail_msg("%u keys in the copy, %u in the database", c->count, n);
}

void
copy_let_expire(struct engine_env *env)
{
    uint64_t due;

    for (unsigned i = 0; i < TURNS_MAX; i++) {
        engine_env_turn(env);
        due = db_next_due(env->db);
        if (due == 0 || due > clock_wall_ms())
            return;
        usleep(i < 2000 ? 20 : 500);
    }
    fail_msg("something is due for ever");
}
