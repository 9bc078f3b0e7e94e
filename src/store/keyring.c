/* store/keyring.c - the file of data keys, and who may use which of them.
 *
 *   0   u8[8]   "NQDBKEYS"
 *   8   u32     version
 *   12  u32     rows
 *   16  u8[16]  uuid of the database
 *   32  u64     how often it was written
 *   40  u32     flags: 1: all of the database is sealed
 *   44  u32     zero
 *   48  u8[12]  nonce, by chance
 *   60  u8[16]  tag of all but itself and the checksum, by the master key
 *   76  u32     crc32c of 0..75, then of the rows
 *   80          rows, sealed with the master key: u32 number, u32 zero,
 *               u64 made at (wall clock, ms), u8[32] data key
 *
 * The checksum tells damage from a wrong master key.  The nonce may be by
 * chance because a master key seals few things: one for each opening.
 *
 * The file is replaced as a whole: keys.nq.new is written and synced, renamed,
 * the directory synced.
 *
 * I1  Numbers of keys rise with each that is made, and never come again.
 * I2  A key is sealed with only once it is durable in keys.nq, and only by
 *     the process that made it; its counters begin at 0 with it.
 * I3  Lists are never changed once readers can see them: a new one takes
 *     their place, and the old one stays until the ring is closed. */
#include "store/keyring.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/file.h"
#include "os/thread.h"

#define KEYRING_MAGIC 0x474e5259u
#define VERSION 1u
#define HEADER 80u
#define ABOUT 60u /* bytes that the tag vouches for, besides the rows */
#define TAG_AT 60u
#define CRC_AT 76u
#define ROW 48u
/* More is no file of ours.  Each opening adds one: a crash each second for
 * weeks must not make a file that cannot be read any more. */
#define KEYS_MAX (UINT32_C(4) << 20)
#define KEYS_MANY 1024u
#define FLAG_COMPLETE 1u
#define BLOCK_MAGIC 0x3153514eu /* "NQS1" */

static const uint8_t magic[8] = "NQDBKEYS";

struct data_key {
    uint32_t number;
    uint64_t made_ms;
    uint8_t bytes[SEAL_KEY];
    struct seal_key *seal;
    uint64_t counters[KEYRING_DOMAINS]; /* atomic: the next nonces */
    struct data_key *older;             /* all that were ever here */
};

struct key_list {
    struct key_list *older;
    uint32_t count;
    struct data_key *keys[]; /* by rising number */
};

struct keyring {
    uint32_t magic;
    char *path, *fresh, *dir;
    uint8_t uuid[16];
    uint8_t *master;          /* secret; under the monitor */
    struct monitor *monitor;  /* one change at a time */
    uint64_t written;         /* times */
    struct key_list *list;    /* atomic */
    struct data_key *current; /* atomic; NULL: read-only */
    struct data_key *all;
    uint32_t last_number;
    uint32_t dropped; /* atomic; keys below are not in the file any more */
    bool is_complete; /* atomic */
};

static struct key_list *
list_of(const struct keyring *r)
{
    return __atomic_load_n(&r->list, __ATOMIC_ACQUIRE);
}

static struct data_key *
current_of(const struct keyring *r)
{
    return __atomic_load_n(&r->current, __ATOMIC_ACQUIRE);
}

/* --- keys in memory ------------------------------------------------------- */

static struct data_key *
key_new(struct keyring *r, uint32_t number, uint64_t made_ms,
        const uint8_t bytes[SEAL_KEY])
{
    struct data_key *k = seal_secret_new(sizeof *k);

    k->number = number;
    k->made_ms = made_ms;
    memcpy(k->bytes, bytes, SEAL_KEY);
    k->seal = seal_key_new(bytes);
    k->older = r->all;
    r->all = k;
    return k;
}

/* The keys of `old` (or NULL), and `more` behind them. */
static struct key_list *
list_new(const struct key_list *old, struct data_key *more)
{
    uint32_t n = old == NULL ? 0 : old->count;
    struct key_list *l = nq_malloc(sizeof *l + (n + 1) * sizeof *l->keys);

    l->older = NULL;
    l->count = n + 1;
    if (n > 0)
        memcpy(l->keys, old->keys, n * sizeof *l->keys);
    l->keys[n] = more;
    return l;
}

/* Index of the first key that is not below `number`. */
static uint32_t
list_position(const struct key_list *l, uint32_t number)
{
    uint32_t from = 0, to = l == NULL ? 0 : l->count;

    while (from < to) {
        uint32_t mid = from + (to - from) / 2;

        if (l->keys[mid]->number < number)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static void
list_show(struct keyring *r, struct key_list *l)
{
    l->older = r->list;
    __atomic_store_n(&r->list, l, __ATOMIC_RELEASE);
}

/* --- the file ------------------------------------------------------------- */

static uint32_t
file_crc(const struct buf *b)
{
    return crc32c(crc32c(0, b->p, CRC_AT), b->p + HEADER, b->len - HEADER);
}

static void
put_rows(const struct key_list *l, uint32_t from, struct buf *out)
{
    for (uint32_t i = from; i < l->count; i++) {
        buf_put_u32(out, l->keys[i]->number);
        buf_put_u32(out, 0);
        buf_put_u64(out, l->keys[i]->made_ms);
        buf_put(out, l->keys[i]->bytes, SEAL_KEY);
    }
}

/* What the file is to say. */
struct state {
    const struct key_list *list;
    uint32_t dropped;
    bool is_complete;
    const uint8_t *master;
};

static nq_rc
encode(const struct keyring *r, const struct state *st, struct buf *out)
{
    uint8_t nonce[SEAL_NONCE], zeros[SEAL_TAG + 4] = {0};
    uint32_t from = list_position(st->list, st->dropped), crc;
    uint32_t rows = st->list->count - from;
    struct seal_key *key;
    nq_rc rc = seal_random(nonce, sizeof nonce);

    if (rc != NQ_OK)
        return rc;
    (void)buf_reserve(out, HEADER + (size_t)rows * ROW);
    buf_put(out, magic, sizeof magic);
    buf_put_u32(out, VERSION);
    buf_put_u32(out, rows);
    buf_put(out, r->uuid, sizeof r->uuid);
    buf_put_u64(out, r->written + 1);
    buf_put_u32(out, st->is_complete ? FLAG_COMPLETE : 0);
    buf_put_u32(out, 0);
    buf_put(out, nonce, sizeof nonce);
    buf_put(out, zeros, sizeof zeros);
    put_rows(st->list, from, out);
    key = seal_key_new(st->master);
    rc = seal_bytes(key, nonce, slice_of(out->p, ABOUT), out->p + HEADER,
                    out->len - HEADER, out->p + TAG_AT);
    seal_key_delete(key);
    crc = file_crc(out);
    memcpy(out->p + CRC_AT, &crc, sizeof crc);
    return rc;
}

static nq_rc
write_fresh(const struct keyring *r, struct slice bytes)
{
    struct file *f;
    nq_rc rc = NQ_OK;

    if (dir_has(r->fresh))
        rc = dir_remove_file(r->fresh);
    if (rc == NQ_OK)
        rc = file_open(r->fresh, FILE_CREATE, &f);
    if (rc != NQ_OK)
        return rc;
    rc = file_write(f, bytes.p, bytes.len, 0);
    if (rc == NQ_OK)
        rc = file_sync(f);
    file_close(f);
    return rc;
}

static struct state
state_of(const struct keyring *r)
{
    return (struct state){list_of(r), r->dropped, keyring_is_complete(r),
                          r->master};
}

static nq_rc
replace(struct keyring *r, const struct state *st)
{
    struct buf b = BUF_INIT;
    nq_rc rc = encode(r, st, &b);

    if (rc == NQ_OK)
        rc = write_fresh(r, buf_slice(&b));
    if (rc == NQ_OK)
        rc = dir_rename(r->fresh, r->path);
    if (rc == NQ_OK)
        rc = dir_sync(r->dir);
    if (rc == NQ_OK)
        r->written++;
    buf_fini(&b);
    return rc;
}

/* --- reading it ----------------------------------------------------------- */

static nq_rc
refuse(const struct keyring *r, const char *why)
{
    log_error("%s: %s", r->path, why);
    return NQ_EKEY;
}

static nq_rc
load_file(struct keyring *r, struct buf *b)
{
    struct file *f;
    uint64_t size;
    nq_rc rc = file_open(r->path, FILE_READ, &f);

    if (rc != NQ_OK)
        return rc;
    rc = file_size(f, &size);
    if (rc == NQ_OK && (size < HEADER || size > HEADER + KEYS_MAX * ROW))
        rc = refuse(r, size < HEADER ? "is truncated" : "is no file of keys");
    if (rc == NQ_OK) {
        (void)buf_reserve(b, (size_t)size);
        rc = file_read(f, b->p, (size_t)size, 0);
        b->len = (size_t)size;
    }
    file_close(f);
    return rc;
}

struct header {
    uint32_t version, rows, flags, zero, crc;
    struct slice uuid, nonce, tag;
    uint64_t written;
};

static nq_rc
check_header(const struct keyring *r, const struct buf *b, const uint8_t *uuid,
             struct header *h)
{
    struct cursor c = cursor_of(slice_of(b->p, HEADER));
    struct slice got;

    cursor_get_bytes(&c, sizeof magic, &got);
    cursor_get_u32(&c, &h->version);
    cursor_get_u32(&c, &h->rows);
    cursor_get_bytes(&c, sizeof r->uuid, &h->uuid);
    cursor_get_u64(&c, &h->written);
    cursor_get_u32(&c, &h->flags);
    cursor_get_u32(&c, &h->zero);
    cursor_get_bytes(&c, SEAL_NONCE, &h->nonce);
    cursor_get_bytes(&c, SEAL_TAG, &h->tag);
    cursor_get_u32(&c, &h->crc);
    if (!cursor_ok(&c) || !slice_eq(got, slice_of(magic, sizeof magic)))
        return refuse(r, "is no file of keys");
    if (h->version != VERSION)
        return refuse(r, "is of another version of this program");
    if (h->rows == 0 || h->rows > KEYS_MAX ||
        b->len != HEADER + (size_t)h->rows * ROW)
        return refuse(r, "is truncated, or was extended");
    if (h->crc != file_crc(b))
        return refuse(r, "is damaged: the checksum does not hold");
    if (uuid != NULL && !slice_eq(h->uuid, slice_of(uuid, sizeof r->uuid)))
        return refuse(r, "belongs to another database");
    return NQ_OK;
}

static nq_rc
take_rows(struct keyring *r, struct slice rows)
{
    struct cursor c = cursor_of(rows);
    struct key_list *l =
        nq_malloc(sizeof *l + rows.len / ROW * sizeof *l->keys);

    *l = (struct key_list){.count = 0};
    while (cursor_left(&c) > 0) {
        struct slice key;
        uint32_t number, zero;
        uint64_t made_ms;

        cursor_get_u32(&c, &number);
        cursor_get_u32(&c, &zero);
        cursor_get_u64(&c, &made_ms);
        if (!cursor_get_bytes(&c, SEAL_KEY, &key) || number <= r->last_number) {
            nq_free(l);
            return refuse(r, "has keys out of order");
        }
        r->last_number = number;
        l->keys[l->count++] = key_new(r, number, made_ms, key.p);
    }
    list_show(r, l);
    return NQ_OK;
}

static nq_rc
decode(struct keyring *r, struct buf *b, const struct keyring_opts *o)
{
    struct seal_key *key;
    struct header h;
    nq_rc rc = check_header(r, b, o->uuid, &h);

    if (rc != NQ_OK)
        return rc;
    key = seal_key_new(o->master);
    rc = unseal_bytes(key, h.nonce.p, slice_of(b->p, ABOUT), b->p + HEADER,
                      b->p + HEADER, b->len - HEADER, h.tag.p);
    seal_key_delete(key);
    if (rc == NQ_ECORRUPT)
        return refuse(r, "cannot be opened with this master key: it is another "
                         "one than the data keys were sealed with");
    if (rc != NQ_OK)
        return rc;
    memcpy(r->uuid, h.uuid.p, sizeof r->uuid);
    r->written = h.written;
    r->is_complete =
        o->least != 0 ? (h.flags & FLAG_COMPLETE) != 0 : o->is_empty;
    rc = take_rows(r, slice_of(b->p + HEADER, b->len - HEADER));
    if (rc == NQ_OK && r->last_number < o->least) {
        log_error("%s: is older than the database: it has keys up to number "
                  "%" PRIu32 ", the database was written with %" PRIu32,
                  r->path, r->last_number, o->least);
        rc = NQ_EKEY;
    }
    return rc;
}

/* --- opening and closing -------------------------------------------------- */

static char *
join(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = nq_malloc(n);

    snprintf(path, n, "%s/%s", dir, name);
    return path;
}

void
keyring_close(struct keyring *r)
{
    if (r == NULL)
        return;
    nq_assert(r->magic == KEYRING_MAGIC);
    for (struct data_key *k = r->all, *older; k != NULL; k = older) {
        older = k->older;
        seal_key_delete(k->seal);
        seal_secret_free(k, sizeof *k);
    }
    for (struct key_list *l = r->list, *older; l != NULL; l = older) {
        older = l->older;
        nq_free(l);
    }
    seal_secret_free(r->master, SEAL_KEY);
    monitor_free(r->monitor);
    nq_free(r->path);
    nq_free(r->fresh);
    nq_free(r->dir);
    r->magic = 0;
    nq_free(r);
}

static nq_rc
load(struct keyring *r, const struct keyring_opts *o)
{
    struct buf b = BUF_INIT;
    nq_rc rc = load_file(r, &b);

    if (rc == NQ_OK) {
        rc = decode(r, &b, o);
    } else if (rc == NQ_NOTFOUND && o->least == 0 && !o->read_only) {
        log_notice("%s: made; data is encrypted from now on", r->path);
        memcpy(r->uuid, o->uuid, sizeof r->uuid);
        r->is_complete = o->is_empty;
        rc = NQ_OK;
    } else if (rc == NQ_NOTFOUND) {
        rc = refuse(r, "is missing: without it nothing that was encrypted can "
                       "be read");
    }
    if (b.p != NULL)
        seal_wipe(b.p, b.len);
    buf_fini(&b);
    return rc;
}

nq_rc
keyring_open(const struct keyring_opts *o, struct keyring **out)
{
    struct keyring *r = nq_calloc(1, sizeof *r);
    nq_rc rc;

    *out = NULL;
    r->magic = KEYRING_MAGIC;
    r->dir = nq_strdup(o->dir);
    r->path = join(o->dir, KEYRING_FILE);
    r->fresh = join(o->dir, KEYRING_FILE ".new");
    r->monitor = monitor_new();
    r->master = seal_secret_new(SEAL_KEY);
    memcpy(r->master, o->master, SEAL_KEY);
    rc = load(r, o);
    if (rc == NQ_OK && !o->read_only)
        rc = keyring_add(r);
    if (rc != NQ_OK) {
        keyring_close(r);
        return rc;
    }
    if (list_of(r)->count > KEYS_MANY)
        log_warn("%s: %" PRIu32 " data keys; NQ.ENCRYPT ROTATE DATA leaves one",
                 r->path, list_of(r)->count);
    *out = r;
    return NQ_OK;
}

/* --- asking --------------------------------------------------------------- */

void
keyring_next(struct keyring *r, enum keyring_domain domain,
             struct keyring_use *out)
{
    struct data_key *k = current_of(r);
    uint64_t n;

    nq_assert(k != NULL && domain > 0 && domain < KEYRING_DOMAINS);
    n = __atomic_fetch_add(&k->counters[domain], 1, __ATOMIC_RELAXED);
    *out = (struct keyring_use){.key = k->seal, .number = k->number};
    out->nonce[0] = (uint8_t)domain;
    memcpy(out->nonce + SEAL_NONCE - sizeof n, &n, sizeof n);
}

struct seal_key *
keyring_find(const struct keyring *r, uint32_t number)
{
    const struct key_list *l = list_of(r);
    uint32_t i = list_position(l, number);

    return i < l->count && l->keys[i]->number == number ? l->keys[i]->seal
                                                        : NULL;
}

uint32_t
keyring_current(const struct keyring *r)
{
    const struct data_key *k = current_of(r);

    return k == NULL ? 0 : k->number;
}

bool
keyring_is_complete(const struct keyring *r)
{
    return __atomic_load_n(&r->is_complete, __ATOMIC_ACQUIRE);
}

void
keyring_get_stats(const struct keyring *r, struct keyring_stats *out)
{
    const struct key_list *l = list_of(r);
    struct data_key *k = current_of(r);
    uint32_t from =
        list_position(l, __atomic_load_n(&r->dropped, __ATOMIC_RELAXED));

    *out = (struct keyring_stats){.keys = l->count - from,
                                  .oldest = l->keys[from]->number,
                                  .oldest_ms = l->keys[from]->made_ms,
                                  .is_complete = keyring_is_complete(r)};
    if (k == NULL)
        return;
    out->current = k->number;
    out->current_ms = k->made_ms;
    out->extents =
        __atomic_load_n(&k->counters[KEYRING_EXTENT], __ATOMIC_RELAXED);
    out->frames = __atomic_load_n(&k->counters[KEYRING_LOG], __ATOMIC_RELAXED);
}

/* --- whole blocks of bytes ------------------------------------------------ */

_Static_assert(KEYRING_BLOCK_HEAD == 8 + SEAL_NONCE &&
                   KEYRING_BLOCK_MORE == KEYRING_BLOCK_HEAD + SEAL_TAG,
               "magic, key number, nonce; the bytes; tag");

nq_rc
keyring_seal_block(struct keyring *r, enum keyring_domain d, uint8_t *p,
                   size_t len)
{
    uint32_t block_magic = BLOCK_MAGIC;
    struct keyring_use use;

    keyring_next(r, d, &use);
    memcpy(p, &block_magic, 4);
    memcpy(p + 4, &use.number, 4);
    memcpy(p + 8, use.nonce, SEAL_NONCE);
    return seal_bytes(use.key, use.nonce, slice_of(p, KEYRING_BLOCK_HEAD),
                      p + KEYRING_BLOCK_HEAD, len,
                      p + KEYRING_BLOCK_HEAD + len);
}

bool
keyring_is_block(struct slice bytes)
{
    uint32_t block_magic = BLOCK_MAGIC;

    return bytes.len >= KEYRING_BLOCK_MORE &&
           memcmp(bytes.p, &block_magic, 4) == 0;
}

nq_rc
keyring_open_block(const struct keyring *r, uint8_t *bytes, size_t len,
                   struct slice *out)
{
    struct seal_key *key;
    uint32_t number;
    uint8_t *p = bytes + KEYRING_BLOCK_HEAD;

    nq_assert(keyring_is_block(slice_of(bytes, len)));
    memcpy(&number, bytes + 4, 4);
    key = r == NULL ? NULL : keyring_find(r, number);
    if (key == NULL)
        return NQ_EKEY;
    *out = slice_of(p, len - KEYRING_BLOCK_MORE);
    return unseal_bytes(key, bytes + 8, slice_of(bytes, KEYRING_BLOCK_HEAD), p,
                        p, out->len, p + out->len);
}

/* --- changing ------------------------------------------------------------- */

/* Under the monitor.  A number whose key did not become durable is not used
 * again: it may have. */
static nq_rc
add_key(struct keyring *r, const uint8_t bytes[SEAL_KEY])
{
    struct data_key *k = key_new(r, ++r->last_number, clock_wall_ms(), bytes);
    struct key_list *l = list_new(r->list, k);
    struct state st = state_of(r);
    nq_rc rc;

    st.list = l;
    if ((rc = replace(r, &st)) != NQ_OK) {
        nq_free(l);
        return rc;
    }
    list_show(r, l);
    __atomic_store_n(&r->current, k, __ATOMIC_RELEASE);
    return NQ_OK;
}

nq_rc
keyring_add(struct keyring *r)
{
    uint8_t *bytes = seal_secret_new(SEAL_KEY);
    nq_rc rc = seal_random(bytes, SEAL_KEY);

    monitor_lock(r->monitor);
    if (rc == NQ_OK)
        rc = add_key(r, bytes);
    monitor_unlock(r->monitor);
    seal_secret_free(bytes, SEAL_KEY);
    return rc;
}

nq_rc
keyring_rewrap(struct keyring *r, const uint8_t master[SEAL_KEY])
{
    struct state st;
    nq_rc rc;

    monitor_lock(r->monitor);
    st = state_of(r);
    st.master = master;
    if (memcmp(r->master, master, SEAL_KEY) == 0)
        rc = NQ_EINVAL;
    else if ((rc = replace(r, &st)) == NQ_OK)
        memcpy(r->master, master, SEAL_KEY);
    monitor_unlock(r->monitor);
    return rc;
}

nq_rc
keyring_drop_below(struct keyring *r, uint32_t number)
{
    struct state st;
    nq_rc rc;

    nq_assert(number <= keyring_current(r));
    monitor_lock(r->monitor);
    st = state_of(r);
    st.dropped = number;
    st.is_complete = true;
    if ((rc = replace(r, &st)) == NQ_OK) {
        __atomic_store_n(&r->dropped, number, __ATOMIC_RELEASE);
        __atomic_store_n(&r->is_complete, true, __ATOMIC_RELEASE);
    }
    monitor_unlock(r->monitor);
    return rc;
}
