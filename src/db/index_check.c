/* db/index_check.c - an index against the data that it is made of.
 *
 *   ROWS    each key of the prefix: what its row has at the path, and the
 *           entries of both trees
 *   KEYS    only if there are more entries than rows that have something: those
 *           of keys that have nothing
 *   COUNTS  entries in `values`, and the counters
 *
 * What waits to be entered was entered before, and nothing is written
 * meanwhile.  Rows that cannot be read are left out; then nothing is counted.
 * Called by db_check.c. */
#include "base/mem.h"
#include "db/db_check_int.h"
#include "db/index_int.h"

#include <inttypes.h>

#define FINDINGS_MAX 20u /* of one index */

struct index_check {
    struct index *ix;
    void (*finding)(void *arg, const char *text);
    void *arg;
    enum { CHECK_ROWS, CHECK_KEYS, CHECK_COUNTS } phase;
    struct buf at; /* the last key looked at */
    bool has_at, has_gaps;
    unsigned findings;
    uint64_t keys, values; /* that there should be */
    uint64_t classes[CLASS_LONG_KEY + 1];
};

struct index_check *
index_check_new(struct index *ix, void (*finding)(void *arg, const char *text),
                void *arg)
{
    struct index_check *k = nq_calloc(1, sizeof *k);

    k->ix = ix;
    k->finding = finding;
    k->arg = arg;
    return k;
}

void
index_check_free(struct index_check *k)
{
    if (k == NULL)
        return;
    buf_fini(&k->at);
    nq_free(k);
}

/* --- findings ------------------------------------------------------------- */

static void
tell(struct index_check *k, const struct slice *key, const char *what)
{
    struct buf text = BUF_INIT;

    if (k->findings++ >= FINDINGS_MAX)
        return;
    buf_printf(&text, "index ");
    check_text_quoted(&text, buf_slice(&k->ix->name));
    if (key != NULL) {
        buf_printf(&text, ": database %u, key ", k->ix->dbi);
        check_text_quoted(&text, *key);
    }
    buf_printf(&text, ": %s", what);
    buf_put_u8(&text, 0);
    k->finding(k->arg, (const char *)text.p);
    buf_fini(&text);
}

static void
tell_counts(struct index_check *k, const char *what, uint64_t expected,
            uint64_t found)
{
    char text[128];

    if (expected == found)
        return;
    snprintf(text, sizeof text, "%s: expected %" PRIu64 ", found %" PRIu64,
             what, expected, found);
    tell(k, NULL, text);
}

/* --- rows ----------------------------------------------------------------- */

static bool
has_entry(const struct index_value *v)
{
    return v->len > 0 &&
           (v->bytes[0] == CLASS_VALUE || v->bytes[0] == CLASS_LONG);
}

static void
count(struct index_check *k, const struct index_value *v)
{
    if (v->len == 0)
        return;
    k->keys++;
    k->classes[v->bytes[0]]++;
    k->values += has_entry(v);
}

static nq_rc
check_row(struct index_check *k, struct slice key)
{
    struct index_value is, entered;
    struct record rec;
    nq_rc rc = index_row_value(k->ix, key, &is);

    if (rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    if (rc != NQ_OK) {
        k->has_gaps = true;
        return NQ_OK;
    }
    if ((rc = index_entered(k->ix, key, &entered)) != NQ_OK)
        return rc;
    if (!slice_eq(slice_of(is.bytes, is.len),
                  slice_of(entered.bytes, entered.len))) {
        tell(k, &key,
             entered.len == 0 ? "it has no entry"
             : is.len == 0    ? "it has an entry, but no value"
                              : "its entry is of another value");
    } else if (has_entry(&is)) {
        rc =
            btree_get(&k->ix->values, index_entry(k->ix, &is, key), &rec, NULL);
        if (rc == NQ_NOTFOUND)
            tell(k, &key, "its value does not lead to it");
        else if (rc != NQ_OK)
            return rc;
    }
    count(k, &is);
    return NQ_OK;
}

static nq_rc
check_stray(struct index_check *k, struct slice key)
{
    struct record rec;
    nq_rc rc = btree_get(db_tree(k->ix->all->db, k->ix->dbi), key, &rec, NULL);

    if (rc != NQ_NOTFOUND)
        return rc;
    tell(k, &key, "it has an entry, but there is no such key");
    return NQ_OK;
}

/* Some keys of a tree from where it stands; NQ_OK: all of them. */
static nq_rc
check_some(struct index_check *k, struct btree *t, unsigned keys,
           nq_rc (*fn)(struct index_check *k, struct slice key))
{
    struct btree_cursor c;
    nq_rc rc;

    btree_cursor_init(&c, t);
    rc = k->has_at ? btree_seek(&c, buf_slice(&k->at), true)
                   : btree_seek(&c, buf_slice(&k->ix->prefix), false);
    while (rc == NQ_OK && c.valid && index_has_prefix(k->ix, c.key)) {
        if (keys-- == 0) {
            rc = NQ_AGAIN;
            break;
        }
        if ((rc = fn(k, c.key)) != NQ_OK)
            break;
        buf_clear(&k->at);
        buf_put_slice(&k->at, c.key);
        k->has_at = true;
        rc = btree_next(&c);
    }
    btree_cursor_fini(&c);
    return rc;
}

/* --- counts --------------------------------------------------------------- */

static nq_rc
check_counts(struct index_check *k)
{
    static const char *const names[] = {
        [CLASS_LONG] = "rows with long values",
        [CLASS_MISMATCH] = "rows with values of another kind",
        [CLASS_LONG_KEY] = "rows with long keys",
    };
    uint64_t values;
    nq_rc rc = btree_count(&k->ix->values, &values);

    if (rc != NQ_OK)
        return rc;
    tell_counts(k, "entries by value", k->values, values);
    for (unsigned i = CLASS_LONG; i <= CLASS_LONG_KEY; i++)
        tell_counts(k, names[i], k->classes[i], k->ix->classes[i]);
    return NQ_OK;
}

/* NQ_OK: the next phase, or over. */
static nq_rc
step(struct index_check *k, unsigned keys)
{
    struct index *ix = k->ix;
    uint64_t entries;
    nq_rc rc;

    if (k->phase == CHECK_ROWS)
        return check_some(k, db_tree(ix->all->db, ix->dbi), keys, check_row);
    if (k->has_gaps)
        return NQ_OK;
    if (k->phase == CHECK_COUNTS)
        return check_counts(k);
    if ((rc = btree_count(&ix->keys, &entries)) != NQ_OK)
        return rc;
    return entries == k->keys ? NQ_OK
                              : check_some(k, &ix->keys, keys, check_stray);
}

nq_rc
index_check_step(struct index_check *k, unsigned keys)
{
    nq_rc rc = step(k, keys);

    if (rc == NQ_MISS || rc == NQ_EPOOL || rc == NQ_AGAIN)
        return rc;
    if (rc != NQ_OK) {
        tell(k, NULL, rc_text(rc));
        return NQ_ECORRUPT;
    }
    if (k->phase == CHECK_COUNTS)
        return k->findings > 0 ? NQ_ECORRUPT : NQ_OK;
    k->phase++;
    k->has_at = false;
    return NQ_AGAIN;
}
