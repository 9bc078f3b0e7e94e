/* db/lists.c - the list type: pushing and popping.
 *
 * The value of a list's record:
 *
 *   0    u8 form (1: OBJECT ENCODING says quicklist) | u8 0
 *   2    u16 start, u16 mid, u16 end
 *   8    u16 elements in [start, mid), u16 elements in [mid, end)
 *   12   room, in which the elements stand from start to end (list_piece.c)
 *   -16  only with a tree (REC_OWNS): u32 listpack bytes, unless quicklist
 *   -12  u64 elements in the tree | u32 its root
 *
 * The elements before mid are the head of the list, those behind it the tail;
 * in between stands the tree (list_tree.c), if there is one.  So a push or a
 * pop changes a few bytes of the record where they are, until the room is
 * used up or the end of the list is empty; then the slow way (list_work.c)
 * moves a chunk to or from the tree.  A record with a tree is always as long
 * as it may be; without one it has about a quarter of spare room.
 *
 *   I1  a list is not empty; tree_n is 0 if and only if there is no tree
 *   I2  what a record without a tree holds fits the area of one with a tree
 *
 * Arguments of the effects:
 *
 *   LPUSH, RPUSH  varint length and bytes of each element
 *   LPOP, RPOP    varint count
 *
 * Called by command handlers and by replay (list_replay.c). */
#include "db/lists.h"

#include "base/arena.h"
#include "base/mem.h"
#include "db/list_int.h"

#define ARGS_ON_STACK 16 /* elements */
#define LITTLE 16        /* of the room: less than this part is none */
#define SHRINK_MIN 64    /* see list_work.c */

/* --- what is logged ------------------------------------------------------ */

struct push_args {
    struct slice args[2 * ARGS_ON_STACK];
    uint8_t len[ARGS_ON_STACK][10];
    unsigned n;
    struct buf many; /* all of them, if they are more */
};

static void
push_args_init(struct push_args *a, const struct slice *elems, uint32_t n)
{
    a->many = BUF_INIT;
    if (nq_likely(n <= ARGS_ON_STACK)) {
        a->n = 2 * n;
        for (uint32_t i = 0; i < n; i++) {
            a->args[2 * i] =
                slice_of(a->len[i], varint_encode(a->len[i], elems[i].len));
            a->args[2 * i + 1] = elems[i];
        }
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        buf_put_varint(&a->many, elems[i].len);
        buf_put_slice(&a->many, elems[i]);
    }
    a->args[0] = buf_slice(&a->many);
    a->n = 1;
}

static uint8_t
push_effect(enum list_end end)
{
    return end == LIST_HEAD ? EFFECT_LPUSH : EFFECT_RPUSH;
}

/* --- pushing where the record is ----------------------------------------- */

/* What the elements will take in the record; more than there is room for, if
 * they are too long. */
static uint32_t
push_size(const struct slice *elems, uint32_t n, uint64_t *raw)
{
    uint32_t need = 0;

    *raw = 0;
    for (uint32_t i = 0; i < n && need <= LIST_RECORD_MAX; i++) {
        size_t size;

        if (elems[i].len > LIST_RECORD_MAX)
            return UINT32_MAX;
        size = piece_size(elems[i]);
        need += (uint32_t)(size + piece_back_size(size));
        *raw += elems[i].len;
    }
    return need;
}

/* Without a change of form or length. */
static bool
can_push(struct db *db, const struct list_shape *s, enum list_end end,
         uint32_t need, uint64_t raw, uint32_t n)
{
    uint32_t used = s->end - s->start;
    uint32_t free = s->room - LIST_HEADER - used;
    uint32_t gap = end == LIST_HEAD ? s->start - LIST_HEADER : s->room - s->end;

    if (need > free ||
        (need > gap && free - need < (s->room - LIST_HEADER) / LITTLE))
        return false;
    /* What they take here is at least two thirds of a listpack. */
    return s->is_quick ||
           !list_is_over_limit(
               db, (s->has_tree ? s->lp_bytes : used + used / 2) + raw,
               list_shape_count(s) + n, false);
}

static void
make_gap(uint8_t *val, struct list_shape *s, enum list_end end, uint32_t need)
{
    uint32_t used = s->end - s->start;
    uint32_t free = s->room - LIST_HEADER - used - need;
    uint32_t start = LIST_HEADER + free / 4;

    if (end == LIST_HEAD)
        start = LIST_HEADER + need + free - free / 4;
    memmove(val + start, val + s->start, used);
    s->mid = start + s->mid - s->start;
    s->end = start + used;
    s->start = start;
}

static void
write_elem(uint8_t *val, struct list_shape *s, enum list_end end,
           struct slice elem)
{
    uint32_t size, take;
    uint8_t *at;

    if (end == LIST_TAIL) {
        at = val + s->end;
        size = (uint32_t)piece_put(at, elem);
        s->end += size + (uint32_t)piece_put_back(at + size, size);
        s->tail_n++;
    } else {
        size = (uint32_t)piece_size(elem);
        take = size + (uint32_t)piece_back_size(size);
        s->start -= take;
        at = val + s->start;
        (void)piece_put(at, elem);
        (void)piece_put_back(at + size, size);
        s->head_n++;
    }
    if (nq_unlikely(s->has_tree && !s->is_quick)) {
        struct piece p;

        piece_of(elem, &p);
        s->lp_bytes += (uint32_t)piece_listpack_size(&p);
    }
}

static nq_rc
push_in_place(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
              struct list_shape *s, enum list_end end,
              const struct slice *elems, uint32_t n, uint32_t need)
{
    uint8_t *val;
    size_t len;
    nq_rc rc = db_patch(db, dbi, key, old, &val, &len);

    if (rc != NQ_OK)
        return rc;
    nq_dassert(len == old->rec.val.len);
    if (need > (end == LIST_HEAD ? s->start - LIST_HEADER : s->room - s->end))
        make_gap(val, s, end, need);
    for (uint32_t i = 0; i < n; i++)
        write_elem(val, s, end, elems[i]);
    list_shape_put(val, len, s);
    return NQ_OK;
}

/* --- pushing the slow way ------------------------------------------------ */

/* One that is a record of its own: the part is emptied for it. */
static nq_rc
push_long(struct list_work *w, enum list_end end, struct slice elem)
{
    uint8_t room[LIST_RECORD_MAX];
    struct record rec;
    nq_rc rc = NQ_OK;

    list_work_join(w, end == LIST_HEAD ? LIST_TAIL : LIST_HEAD);
    while (rc == NQ_OK && (end == LIST_HEAD ? w->head_n : w->tail_n) > 0)
        rc = list_tree_spill(w, end);
    if (rc != NQ_OK)
        return rc;
    list_chunk_of(w, elem, room, &rec);
    rc = list_tree_push(w, end, &rec, 1);
    if (rc != NQ_OK)
        db_free_item_record(w->db, &rec);
    return rc;
}

static nq_rc
push_one(struct list_work *w, enum list_end end, struct slice elem)
{
    struct piece p;
    nq_rc rc;

    piece_of(elem, &p);
    if (elem.len > w->sizes.elem) {
        rc = push_long(w, end, elem);
    } else {
        w->lean = end;
        rc = list_work_need(w, (uint32_t)(p.size + piece_back_size(p.size)));
        if (rc == NQ_OK)
            list_work_push(w, end, elem);
    }
    if (rc == NQ_OK)
        w->lp_bytes += piece_listpack_size(&p);
    return rc;
}

/* When one of many fails, those before it stay, and are what is logged. */
static nq_rc
push_slow(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
          bool found, enum list_end end, const struct slice *elems, uint32_t n,
          uint64_t *len)
{
    struct push_args args;
    struct list_work w;
    uint64_t raw = 0;
    uint32_t done = 0;
    nq_rc rc, failed = NQ_OK;

    if ((rc = list_work_open(db, dbi, key, old, found, &w)) != NQ_OK ||
        (rc = list_tree_want_ends(&w)) != NQ_OK)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        raw += elems[i].len;
    list_work_grow(&w, raw, n);
    list_work_begin(&w);
    while (done < n && (failed = push_one(&w, end, elems[done])) == NQ_OK)
        done++;
    *len = list_work_count(&w);
    if (done == 0)
        return list_work_give_up(&w, failed);
    push_args_init(&args, elems, done);
    rc = list_work_commit(&w, push_effect(end), args.args, args.n, NULL);
    buf_fini(&args.many);
    return rc != NQ_OK ? rc : failed;
}

/* --- LPUSH, RPUSH -------------------------------------------------------- */

static nq_rc
push(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
     bool found, enum list_end end, const struct slice *elems, uint32_t n,
     uint64_t *len)
{
    struct push_args args;
    struct list_shape s;
    uint64_t raw;
    uint32_t need = push_size(elems, n, &raw);
    nq_rc rc;

    if (!found || list_shape_of(&old->rec, &s) != NQ_OK ||
        !can_push(db, &s, end, need, raw, n))
        return push_slow(db, dbi, key, old, found, end, elems, n, len);
    if (s.has_tree && (rc = hold_check_write(db, s.root)) != NQ_OK)
        return rc;
    rc = push_in_place(db, dbi, key, old, &s, end, elems, n, need);
    if (rc != NQ_OK)
        return rc;
    *len = list_shape_count(&s);
    push_args_init(&args, elems, n);
    rc = db_log(db, dbi, push_effect(end), key, args.args, args.n);
    buf_fini(&args.many);
    return rc;
}

nq_rc
list_push(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
          bool found, enum list_end end, const struct slice *elems, uint32_t n,
          const char *event, uint64_t *len)
{
    uint64_t now;
    nq_rc rc;

    nq_dassert(found == old->finger.found && n > 0);
    if ((rc = db_may_grow(db)) != NQ_OK)
        return rc;
    rc = push(db, dbi, key, old, found, end, elems, n, &now);
    if (rc != NQ_OK)
        return rc;
    if (len != NULL)
        *len = now;
    db_event(db, dbi, EVENT_LIST, event, key);
    return NQ_OK;
}

/* --- popping where the record is ----------------------------------------- */

/* Takes n elements off the shape; false: not without a change of form or
 * length, or it is damaged. */
static bool
drop_from_shape(struct db *db, const struct record *rec, struct list_shape *s,
                enum list_end end, uint64_t n)
{
    struct slice run = slice_of(rec->val.p, s->end);
    uint64_t count = list_shape_count(s);
    uint32_t *from = end == LIST_HEAD ? &s->head_n : &s->tail_n;

    if (!s->has_tree && *from < n) { /* the border is anywhere */
        *from = s->head_n + s->tail_n;
        *(end == LIST_HEAD ? &s->tail_n : &s->head_n) = 0;
        s->mid = end == LIST_HEAD ? s->end : s->start;
    }
    if (*from < n || n == count)
        return false;
    if (s->is_quick && !s->has_tree &&
        !list_is_over_limit(db, 0, count - n, true))
        return false;
    *from -= (uint32_t)n;
    for (; n > 0; n--) {
        size_t at = s->start;
        struct piece p;

        if ((end == LIST_TAIL && !piece_before(run, s->end, &at)) ||
            !piece_at(run, at, &p))
            return false;
        if (end == LIST_HEAD)
            s->start += (uint32_t)(p.size + piece_back_size(p.size));
        else
            s->end = (uint32_t)at;
        if (s->has_tree && !s->is_quick)
            s->lp_bytes -= (uint32_t)piece_listpack_size(&p);
    }
    if (s->start > s->mid || s->mid > s->end)
        return false;
    return s->has_tree || rec->val.len < SHRINK_MIN ||
           LIST_HEADER + s->end - s->start > rec->val.len / 4;
}

static nq_rc
drop_slow(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
          enum list_end end, uint64_t n, bool *is_gone)
{
    uint64_t part, count;
    uint8_t arg[10];
    struct slice args[1];
    struct list_work w;
    nq_rc rc, failed;

    if ((rc = list_work_open(db, dbi, key, old, true, &w)) != NQ_OK ||
        (rc = list_tree_want_ends(&w)) != NQ_OK)
        return rc;
    part = end == LIST_HEAD ? w.head_n : w.tail_n;
    if (n > part && n - part < w.tree_n &&
        (rc = list_tree_want(
             &w, end == LIST_HEAD ? n - part : w.tree_n - (n - part))) != NQ_OK)
        return rc;
    count = list_work_count(&w);
    list_work_begin(&w);
    failed = list_work_shed(&w, end, n);
    n = count - list_work_count(&w);
    if (n == 0)
        return list_work_give_up(&w, failed);
    args[0] = slice_of(arg, varint_encode(arg, n));
    rc = list_work_commit(&w, end == LIST_HEAD ? EFFECT_LPOP : EFFECT_RPOP,
                          args, 1, is_gone);
    return rc != NQ_OK ? rc : failed;
}

static nq_rc
drop(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
     enum list_end end, uint64_t n, bool *is_gone)
{
    uint8_t count[10], *val;
    struct list_shape s;
    struct slice args[1];
    size_t len;
    nq_rc rc = list_shape_of(&old->rec, &s);

    if (rc != NQ_OK)
        return rc;
    n = nq_min(n, list_shape_count(&s));
    args[0] = slice_of(count, varint_encode(count, n));
    if (!drop_from_shape(db, &old->rec, &s, end, n))
        return drop_slow(db, dbi, key, old, end, n, is_gone);
    if (s.has_tree && (rc = hold_check_write(db, s.root)) != NQ_OK)
        return rc;
    *is_gone = false;
    rc = db_patch(db, dbi, key, old, &val, &len);
    if (rc != NQ_OK)
        return rc;
    list_shape_put(val, len, &s);
    return db_log(db, dbi, end == LIST_HEAD ? EFFECT_LPOP : EFFECT_RPOP, key,
                  args, 1);
}

static void
drop_events(struct db *db, uint32_t dbi, struct slice key, enum list_end end,
            bool is_gone)
{
    db_event(db, dbi, EVENT_LIST, end == LIST_HEAD ? "lpop" : "rpop", key);
    if (is_gone)
        db_event(db, dbi, EVENT_GENERIC, "del", key);
}

/* --- LPOP, RPOP ---------------------------------------------------------- */

nq_rc
list_drop(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
          enum list_end end, uint64_t n)
{
    bool is_gone;
    nq_rc rc = drop(db, dbi, key, old, end, n, &is_gone);

    if (rc == NQ_OK)
        drop_events(db, dbi, key, end, is_gone);
    return rc;
}

static nq_rc
copy_item(struct db *db, const struct list_item *it, struct arena *arena,
          struct slice *out)
{
    nq_rc rc = list_item_bytes(db, it, arena, out);

    if (rc == NQ_OK && !it->is_blob)
        out->p = arena_memdup(arena, out->p, out->len);
    return rc;
}

static nq_rc
copy_outermost(struct db *db, const struct entry *e, enum list_end end,
               struct arena *arena, struct slice *out)
{
    struct list_item it;
    nq_rc rc = list_at(db, e, end == LIST_HEAD ? 0 : list_len(e) - 1, &it);

    return rc == NQ_OK ? copy_item(db, &it, arena, out) : rc;
}

/* The n outermost elements. */
static nq_rc
copy_end(struct db *db, const struct entry *e, enum list_end end, uint32_t n,
         struct arena *arena, struct slice *out)
{
    struct list_cursor cu;
    struct list_item it;
    nq_rc rc = list_cursor_init(&cu, db, e);

    if (rc == NQ_OK)
        rc = list_seek(&cu, end == LIST_HEAD ? 0 : list_len(e) - 1);
    for (uint32_t i = 0; rc == NQ_OK && i < n; i++) {
        if ((rc = list_item(&cu, &it)) != NQ_OK ||
            (rc = copy_item(db, &it, arena, &out[i])) != NQ_OK)
            break;
        rc = end == LIST_HEAD ? list_next(&cu) : list_prev(&cu);
    }
    list_cursor_fini(&cu);
    return rc;
}

nq_rc
list_pop(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
         enum list_end end, uint32_t n, struct arena *arena, struct slice *out)
{
    nq_rc rc;

    nq_assert(n > 0 && n <= list_len(old));
    rc = n == 1 ? copy_outermost(db, old, end, arena, out)
                : copy_end(db, old, end, n, arena, out);
    return rc == NQ_OK ? list_drop(db, dbi, key, old, end, n) : rc;
}

/* --- LMOVE --------------------------------------------------------------- */

/* Whatever a push or a pop at its ends may need is at hand. */
static nq_rc
want_list(struct db *db, const struct entry *e)
{
    struct btree tree = {.fr = db->fr, .weighted = true};
    struct btree_cursor c;
    struct list_shape s;
    nq_rc rc = list_shape_of(&e->rec, &s), last;

    if (rc != NQ_OK || !s.has_tree)
        return rc;
    if ((rc = hold_check_write(db, s.root)) != NQ_OK)
        return rc;
    btree_set_root(&tree, s.root);
    btree_cursor_init(&c, &tree);
    rc = btree_first(&c);
    last = btree_last(&c);
    btree_cursor_fini(&c);
    return rc != NQ_OK ? rc : last;
}

/* The second half: the element is in no list any more, so nothing may miss. */
static nq_rc
push_moved(struct db *db, uint32_t dbi, struct slice key, struct entry *to,
           enum list_end end, struct slice elem)
{
    bool was = frames_set_blocking(db->fr, true);
    uint64_t len;
    nq_rc rc = db_find_write(db, dbi, key, to);

    if (rc == NQ_OK || rc == NQ_NOTFOUND)
        rc = push(db, dbi, key, to, rc == NQ_OK, end, &elem, 1, &len);
    (void)frames_set_blocking(db->fr, was);
    return rc;
}

nq_rc
list_move(struct db *db, uint32_t dbi, struct slice from_key,
          struct entry *from, enum list_end from_end, struct slice to_key,
          struct entry *to, bool to_found, enum list_end to_end,
          struct arena *arena, struct slice *elem)
{
    /* Of one element nothing moves; the key must not go meanwhile. */
    bool is_same = slice_eq(from_key, to_key) && list_len(from) == 1;
    bool is_gone = false;
    nq_rc rc;

    if ((rc = db_may_grow(db)) != NQ_OK ||
        (rc = want_list(db, from)) != NQ_OK ||
        (to_found && (rc = want_list(db, to)) != NQ_OK) ||
        (rc = copy_outermost(db, from, from_end, arena, elem)) != NQ_OK)
        return rc;
    if (is_same) {
        db_touch(db, dbi, from_key);
    } else {
        rc = drop(db, dbi, from_key, from, from_end, 1, &is_gone);
        if (rc == NQ_OK)
            rc = push_moved(db, dbi, to_key, to, to_end, *elem);
    }
    if (rc != NQ_OK)
        return rc;
    db_event(db, dbi, EVENT_LIST, to_end == LIST_HEAD ? "lpush" : "rpush",
             to_key);
    drop_events(db, dbi, from_key, from_end, is_gone);
    return NQ_OK;
}
