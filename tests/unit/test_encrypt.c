/* Encrypted stores: what opens, what is refused, what is left in the clear,
 * and that no key ever sees a nonce twice. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/toy.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "codec/seal.h"
#include "os/fault.h"
#include "os/file.h"
#include "os/thread.h"
#include "store/extent.h"
#include "store/frames_int.h"
#include "store/keyring.h"
#include "store/pagetable.h"
#include "store/rewrite.h"
#include "store/rotate.h"
#include "store/store_int.h"

static const uint8_t master[] = "32 bytes that nobody should know";
static const uint8_t other[] = "and 32 others, that open nothing";

/* --- nonces, as libcrypto gets them --------------------------------------- */

struct pair {
    uint8_t key[SEAL_KEY], nonce[SEAL_NONCE];
};

struct known_key {
    const struct seal_key *at;
    uint8_t key[SEAL_KEY];
};

static struct {
    struct monitor *monitor; /* NULL: nothing is recorded */
    struct pair *pairs;
    struct known_key *keys;
    size_t pairs_count, pairs_cap, keys_count, keys_cap;
} seen;

struct seal_key *__real_seal_key_new(const uint8_t key[SEAL_KEY]);
struct seal_key *__wrap_seal_key_new(const uint8_t key[SEAL_KEY]);
nq_rc __real_seal_bytes(struct seal_key *k, const uint8_t nonce[SEAL_NONCE],
                        struct slice about, void *bytes, size_t len,
                        uint8_t tag[SEAL_TAG]);
nq_rc __wrap_seal_bytes(struct seal_key *k, const uint8_t nonce[SEAL_NONCE],
                        struct slice about, void *bytes, size_t len,
                        uint8_t tag[SEAL_TAG]);

struct seal_key *
__wrap_seal_key_new(const uint8_t key[SEAL_KEY])
{
    struct seal_key *k = __real_seal_key_new(key);

    if (seen.monitor == NULL)
        return k;
    monitor_lock(seen.monitor);
    if (seen.keys_count == seen.keys_cap) {
        seen.keys_cap = nq_max(seen.keys_cap * 2, (size_t)64);
        seen.keys = nq_realloc(seen.keys, seen.keys_cap * sizeof *seen.keys);
    }
    seen.keys[seen.keys_count].at = k;
    memcpy(seen.keys[seen.keys_count++].key, key, SEAL_KEY);
    monitor_unlock(seen.monitor);
    return k;
}

/* The youngest at that address: older ones were freed. */
static const uint8_t *
key_of(const struct seal_key *k)
{
    size_t i = seen.keys_count;

    while (seen.keys[--i].at != k)
        assert_true(i > 0);
    return seen.keys[i].key;
}

nq_rc
__wrap_seal_bytes(struct seal_key *k, const uint8_t nonce[SEAL_NONCE],
                  struct slice about, void *bytes, size_t len,
                  uint8_t tag[SEAL_TAG])
{
    struct pair *p;

    if (seen.monitor == NULL)
        return __real_seal_bytes(k, nonce, about, bytes, len, tag);
    monitor_lock(seen.monitor);
    if (seen.pairs_count == seen.pairs_cap) {
        seen.pairs_cap = nq_max(seen.pairs_cap * 2, (size_t)1024);
        seen.pairs =
            nq_realloc(seen.pairs, seen.pairs_cap * sizeof *seen.pairs);
    }
    p = &seen.pairs[seen.pairs_count++];
    memcpy(p->key, key_of(k), SEAL_KEY);
    memcpy(p->nonce, nonce, SEAL_NONCE);
    monitor_unlock(seen.monitor);
    return __real_seal_bytes(k, nonce, about, bytes, len, tag);
}

/* --- toys ----------------------------------------------------------------- */

static void
set_up(struct toy *t, const uint8_t *key)
{
    log_set_level(LOG_ERROR + 1);
    toy_init(t, toy_env_seed());
    t->opts.pool_bytes = 1 << 20;
    t->opts.pack.enabled = false;
    t->opts.master_key = key;
}

static void
write_many(struct toy *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(toy_write(t), NQ_OK);
        toy_turn(t);
    }
    toy_settle(t);
}

/* Opens, writes, closes with a checkpoint. */
static void
live(struct toy *t, unsigned writes)
{
    assert_int_equal(toy_open(t), NQ_OK);
    write_many(t, writes);
    assert_int_equal(toy_close(t, true), NQ_OK);
}

/* Good until it is called twice more. */
static char *
path_of(const struct toy *t, const char *name)
{
    static char paths[2][400];
    static unsigned n;
    char *path = paths[++n % 2];

    snprintf(path, sizeof paths[0], "%s/%s", t->dir, name);
    return path;
}

static void
copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    char b[4096];
    size_t n;

    assert_true(in != NULL && out != NULL);
    while ((n = fread(b, 1, sizeof b, in)) > 0)
        assert_int_equal(fwrite(b, 1, n, out), n);
    fclose(in);
    fclose(out);
}

static void
move(const struct toy *t, const char *from, const char *to)
{
    assert_int_equal(rename(path_of(t, from), path_of(t, to)), 0);
}

#define TO_THE_END UINT32_MAX

/* So many turns, slowly, of a rotation. */
static nq_rc
rotate_for(struct toy *t, unsigned turns)
{
    struct rotate *r;
    nq_rc rc;

    assert_int_equal(rotate_new(t->st, &r), NQ_OK);
    rotate_set_rate(r, turns == TO_THE_END ? 0 : 1000);
    while ((rc = rotate_turn(r)) == NQ_AGAIN && turns-- > 0) {
        toy_turn(t);
        if (pool_pending(t->pool) > 0)
            (void)pool_wait(t->pool);
        else
            thread_sleep_us(50);
    }
    rotate_free(r);
    return rc;
}

/* Number of the oldest data key that an extent in use has. */
static uint32_t
oldest_key(struct toy *t)
{
    const struct disk *d = &t->st->disk;
    uint32_t oldest = UINT32_MAX, key;

    for (pgno id = 1; id < d->frames->next_id; id++) {
        struct entry e = pagetable_get(d->table, id);

        if (entry_is_none(e))
            continue;
        assert_int_equal(file_read(d->file, &key, 4, entry_off(e) + 32), NQ_OK);
        oldest = nq_min(oldest, key);
    }
    return oldest;
}

/* How often the first bytes of slots are found in the files of a folder. */
static unsigned
count_in(const char *dir, const uint64_t *values, unsigned n)
{
    DIR *d = opendir(dir);
    unsigned found = 0;
    struct dirent *e;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char path[700];
        uint64_t size;
        struct file *f;
        uint8_t *p;

        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_type != DT_REG || file_open(path, FILE_READ, &f) != NQ_OK)
            continue;
        assert_int_equal(file_size(f, &size), NQ_OK);
        p = nq_malloc(size + 1);
        assert_int_equal(file_read(f, p, size, 0), NQ_OK);
        for (unsigned i = 0; i < n; i++)
            found += memmem(p, size, &values[i], 8) != NULL;
        nq_free(p);
        file_close(f);
    }
    closedir(d);
    return found;
}

static unsigned
plain_values(const struct toy *t, const uint64_t *values, unsigned n)
{
    return count_in(t->dir, values, n) + count_in(path_of(t, "wal"), values, n);
}

static unsigned
collect_values(struct toy *t, uint64_t *values)
{
    unsigned n = 0;

    for (unsigned slot = 0; slot < TOY_SLOTS; slot++)
        n += toy_read(t, slot, &values[n]) == NQ_OK;
    return n;
}

/* --- opening -------------------------------------------------------------- */

static void
an_encrypted_store_has_no_value_in_its_files(void **state)
{
    uint64_t values[TOY_SLOTS];
    struct toy t;
    unsigned n;

    (void)state;
    set_up(&t, master);
    live(&t, 300);
    assert_int_equal(toy_open(&t), NQ_OK);
    write_many(&t, 200);
    toy_check(&t);
    n = collect_values(&t, values);
    /* What others keep in the catalog is no business of the public either. */
    store_catalog_put(t.st, slice_lit("row"), slice_of(&values[0], 8));
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    toy_abandon(&t);
    assert_true(n > 50);
    assert_int_equal(plain_values(&t, values, n), 0);
    assert_int_equal(toy_open(&t), NQ_OK);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    assert_int_equal(plain_values(&t, values, n), 0);
    toy_fini(&t);
}

static void
wrong_and_missing_master_keys_are_refused(void **state)
{
    struct toy t;

    (void)state;
    set_up(&t, master);
    live(&t, 50);
    t.opts.master_key = other;
    assert_int_equal(toy_open(&t), NQ_EKEY);
    t.opts.master_key = NULL;
    assert_int_equal(toy_open(&t), NQ_EKEY);
    t.opts.master_key = master;
    assert_int_equal(toy_open(&t), NQ_OK);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}

static void
missing_foreign_and_older_files_of_keys_are_refused(void **state)
{
    struct toy t, stranger;

    (void)state;
    set_up(&stranger, master);
    live(&stranger, 10);
    set_up(&t, master);
    live(&t, 50);
    copy_file(path_of(&t, KEYRING_FILE), path_of(&t, "older"));
    live(&t, 50);
    move(&t, KEYRING_FILE, "good");
    assert_int_equal(toy_open(&t), NQ_EKEY);
    move(&t, "older", KEYRING_FILE);
    assert_int_equal(toy_open(&t), NQ_EKEY);
    copy_file(path_of(&stranger, KEYRING_FILE), path_of(&t, KEYRING_FILE));
    assert_int_equal(toy_open(&t), NQ_EKEY);
    move(&t, "good", KEYRING_FILE);
    assert_int_equal(toy_open(&t), NQ_OK);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
    toy_fini(&stranger);
}

/* --- from the clear ------------------------------------------------------- */

static void
a_store_switched_over_keeps_nothing_in_the_clear(void **state)
{
    uint64_t values[TOY_SLOTS];
    struct rotate_stats st;
    struct toy t;
    unsigned n;

    (void)state;
    set_up(&t, NULL);
    assert_int_equal(toy_open(&t), NQ_OK);
    write_many(&t, 300);
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    write_many(&t, 300);
    n = collect_values(&t, values);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    assert_true(plain_values(&t, values, n) >= n);

    t.opts.master_key = master;
    assert_int_equal(toy_open(&t), NQ_OK);
    rotate_get_stats(t.st, &st);
    assert_true(st.is_on && st.is_due && !st.is_complete);
    toy_check(&t);
    assert_int_equal(rotate_for(&t, TO_THE_END), NQ_OK);
    rotate_get_stats(t.st, &st);
    assert_true(!st.is_due && st.is_complete);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    assert_int_equal(plain_values(&t, values, n), 0);
    t.opts.master_key = NULL;
    assert_int_equal(toy_open(&t), NQ_EKEY);
    toy_fini(&t);
}

static void
an_interrupted_rotation_goes_on_after_a_restart(void **state)
{
    struct rotate_stats st;
    struct toy t;

    (void)state;
    set_up(&t, master);
    live(&t, 400);
    assert_int_equal(toy_open(&t), NQ_OK);
    assert_int_equal(rotate_for(&t, 4), NQ_AGAIN);
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    rotate_get_stats(t.st, &st);
    assert_true(st.is_due);
    toy_abandon(&t);
    assert_int_equal(toy_open(&t), NQ_OK);
    rotate_get_stats(t.st, &st);
    assert_true(st.is_due && st.keys > 2);
    assert_int_equal(rotate_for(&t, TO_THE_END), NQ_OK);
    rotate_get_stats(t.st, &st);
    assert_true(!st.is_due && st.oldest > 1);
    assert_true(oldest_key(&t) >= st.oldest);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    live(&t, 10);
    toy_fini(&t);
}

/* Keys are gone for good once they are dropped: so all headers are looked at
 * before, whatever the rotation believes. */
static void
a_rotation_that_missed_pages_goes_back_for_them(void **state)
{
    static const uint8_t row[8] = {2, 0, 0, 0, 0xff, 0xff, 0, 0};
    struct rotate_stats st;
    struct toy t;

    (void)state;
    set_up(&t, master);
    live(&t, 200);
    assert_int_equal(toy_open(&t), NQ_OK);
    assert_int_equal(oldest_key(&t), 1);
    /* "Key 2, and all pages below 65535 have it." */
    store_catalog_put(t.st, slice_lit("rotate"), slice_of(row, sizeof row));
    assert_int_equal(rotate_for(&t, TO_THE_END), NQ_OK);
    assert_int_equal(oldest_key(&t), 2);
    rotate_get_stats(t.st, &st);
    assert_int_equal(st.oldest, 2);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    assert_int_equal(toy_open(&t), NQ_OK);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}

/* A page that had never been on the disk was being written for the first
 * time, with the key of before, and was taken for one that needs nothing. */
static void
bug_first_flush_under_way_kept_the_old_key(void **state)
{
    struct rewrite_opts o = {.from = 0};
    struct rewrite *r;
    struct toy t;

    (void)state;
    set_up(&t, master);
    assert_int_equal(toy_open(&t), NQ_OK);
    write_many(&t, 200);
    assert_true(flush_start(&t.st->disk, false));
    (void)pool_wait(t.pool); /* encoded, and being written */
    assert_int_equal(keyring_add(t.st->disk.env.keys), NQ_OK);
    r = rewrite_new(t.st, &o);
    while (rewrite_turn(r) == NQ_AGAIN)
        (void)pool_wait(t.pool);
    rewrite_free(r);
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    assert_int_equal(oldest_key(&t), 2);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}

/* --- the master key ------------------------------------------------------- */

static nq_rc
fetch(void *arg, uint8_t *key, char *why)
{
    snprintf(why, ROTATE_WHY, "no key");
    if (arg == NULL)
        return NQ_EINVAL;
    memcpy(key, arg, SEAL_KEY);
    return NQ_OK;
}

struct answer {
    bool is_there;
    nq_rc rc;
    char why[ROTATE_WHY];
};

static void
on_answer(void *arg, nq_rc rc, const char *why)
{
    struct answer *a = arg;

    a->is_there = true;
    a->rc = rc;
    snprintf(a->why, sizeof a->why, "%s", why);
}

static struct answer
change_master(struct toy *t, const uint8_t *key)
{
    struct answer a = {.is_there = false};
    uint8_t copy[SEAL_KEY];

    if (key != NULL)
        memcpy(copy, key, sizeof copy);
    rotate_master(t->st, fetch, key == NULL ? NULL : copy, on_answer, &a);
    while (!a.is_there)
        (void)pool_wait(t->pool);
    return a;
}

static void
another_master_key_opens_what_was_there(void **state)
{
    struct answer a;
    struct toy t;

    (void)state;
    set_up(&t, master);
    assert_int_equal(toy_open(&t), NQ_OK);
    write_many(&t, 100);
    a = change_master(&t, NULL);
    assert_int_equal(a.rc, NQ_EINVAL);
    assert_string_equal(a.why, "no key");
    assert_int_equal(change_master(&t, master).rc, NQ_EINVAL);
    assert_int_equal(change_master(&t, other).rc, NQ_OK);
    write_many(&t, 10);
    toy_abandon(&t);
    assert_int_equal(toy_open(&t), NQ_EKEY);
    t.opts.master_key = other;
    assert_int_equal(toy_open(&t), NQ_OK);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}

/* --- extents -------------------------------------------------------------- */

#define PAGE 1024u

struct sample {
    uint8_t page[PAGE], bytes[PAGE + 1024], back[PAGE];
    struct extent x;
    struct entry e;
};

static void
encode(struct sample *s, pgno id, const struct extent_env *env, bool packs)
{
    struct extent_style style = {.pack = {.enabled = packs}};

    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < PAGE; i++)
        s->page[i] = (uint8_t)(packs ? i / 100 : i * 7 + id);
    s->x = (struct extent){.id = id, .generation = 3, .kind = 1, .lsn = 99};
    assert_int_equal(extent_encode(&s->x, slice_of(s->page, PAGE), env, &style,
                                   s->bytes, sizeof s->bytes),
                     NQ_OK);
    s->e = extent_entry(&s->x, 512);
}

static nq_rc
decode(struct sample *s, const struct extent_env *env, const char **what)
{
    struct slice bytes = slice_of(s->bytes, entry_len(s->e));
    struct extent_fault why = {"", 0, 0};
    struct extent x;
    nq_rc rc = extent_verify(bytes, s->x.id, s->e, &x, &why);

    if (rc == NQ_OK)
        rc = extent_decode(bytes, &x, env, s->back, &why);
    *what = why.what;
    return rc;
}

/* Puts right what tells damage by accident, so that only the seal is left. */
static void
mend(struct sample *s)
{
    uint32_t crc = crc32c(0, s->bytes, 36);

    crc = crc32c(crc, s->bytes + EXTENT_HEADER, s->x.len - EXTENT_HEADER);
    memcpy(s->bytes + 36, &crc, 4);
    s->e.crc = crc;
}

static void
flip_each_bit(struct sample *s, const struct extent_env *env)
{
    const char *what;

    for (uint32_t bit = 0; bit < 8 * s->x.len; bit++) {
        s->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(decode(s, env, &what), NQ_ECORRUPT);
        assert_true(what[0] != '\0');
        if (bit / 8 >= 36 && bit / 8 < 40) {
            s->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            continue;
        }
        mend(s);
        assert_int_equal(decode(s, env, &what), NQ_ECORRUPT);
        s->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        mend(s);
    }
    assert_int_equal(decode(s, env, &what), NQ_OK);
    assert_memory_equal(s->back, s->page, PAGE);
}

struct ring {
    char dir[64];
    struct extent_env env;
};

static void
open_ring(struct ring *x)
{
    struct keyring_opts o = {.dir = x->dir,
                             .uuid = (const uint8_t *)"0123456789abcde",
                             .master = master,
                             .is_empty = true};

    log_set_level(LOG_ERROR + 1);
    x->env = (struct extent_env){NULL, NULL};
    snprintf(x->dir, sizeof x->dir, "/tmp/nq-keys-XXXXXX");
    assert_non_null(mkdtemp(x->dir));
    assert_int_equal(keyring_open(&o, &x->env.keys), NQ_OK);
}

static void
close_ring(struct ring *x)
{
    char path[100];

    keyring_close(x->env.keys);
    snprintf(path, sizeof path, "%s/" KEYRING_FILE, x->dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(x->dir), 0);
}

static void
each_flipped_bit_of_a_sealed_extent_is_found(void **state)
{
    struct ring ring;
    struct sample s;

    (void)state;
    open_ring(&ring);
    encode(&s, 7, &ring.env, false);
    assert_int_equal(s.x.codec, 0);
    flip_each_bit(&s, &ring.env);
    encode(&s, 7, &ring.env, true);
    assert_int_not_equal(s.x.codec, 0);
    flip_each_bit(&s, &ring.env);
    close_ring(&ring);
}

static void
swapped_plain_and_foreign_extents_are_refused(void **state)
{
    struct extent_env plain = {NULL, NULL};
    struct ring ring, foreign;
    struct sample a, b;
    const char *what;

    (void)state;
    open_ring(&ring);
    open_ring(&foreign);
    encode(&a, 7, &ring.env, false);
    encode(&b, 8, &ring.env, false);
    /* The payload of one under the header of the other, sums mended. */
    memcpy(a.bytes + EXTENT_HEADER, b.bytes + EXTENT_HEADER,
           a.x.len - EXTENT_HEADER);
    mend(&a);
    assert_int_equal(decode(&a, &ring.env, &what), NQ_ECORRUPT);
    assert_string_equal(what, "seal that holds");
    encode(&a, 7, &foreign.env, false);
    assert_int_equal(decode(&a, &ring.env, &what), NQ_ECORRUPT);
    assert_string_equal(what, "seal that holds");
    encode(&a, 7, &plain, false);
    assert_int_equal(decode(&a, &ring.env, &what), NQ_ECORRUPT);
    assert_string_equal(what, "sealed");
    encode(&a, 7, &ring.env, false);
    assert_int_equal(decode(&a, &plain, &what), NQ_ECORRUPT);
    close_ring(&ring);
    close_ring(&foreign);
}

/* --- nonces --------------------------------------------------------------- */

#ifdef NQ_FAULTS
static int
pair_cmp(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct pair));
}

/* Lives that end well, by a crash, or by a power cut, with checkpoints that
 * are given up, and rotations. */
static void
one_life(struct toy *t, unsigned n)
{
    if (toy_open(t) != NQ_OK)
        return;
    t->st->disk.retry_step_us = 1000;
    write_many(t, 40);
    if (n % 3 == 0) {
        fault_after(FAULT_WRITE, n / 3, FAULT_EIO);
        (void)toy_checkpoint(t);
        fault_clear();
    }
    if (n % 4 == 1)
        (void)rotate_for(t, n < 10 ? n * 3 : TO_THE_END);
    for (unsigned i = 0; i < 20 && toy_write(t) == NQ_OK; i++)
        toy_turn(t);
    if (n % 5 == 4)
        (void)toy_close(t, true);
    else
        toy_abandon(t);
}

static void
no_key_ever_sees_a_nonce_twice(void **state)
{
    struct toy t;

    (void)state;
    set_up(&t, master);
    seen.monitor = monitor_new();
    for (unsigned n = 0; n < 20; n++) {
        fault_record(true);
        one_life(&t, n);
        if (n % 2 == 0)
            fault_power_cut(t.seed + n);
        fault_record(false);
        fault_clear();
    }
    assert_true(seen.pairs_count > 1000);
    qsort(seen.pairs, seen.pairs_count, sizeof *seen.pairs, pair_cmp);
    for (size_t i = 1; i < seen.pairs_count; i++)
        assert_true(pair_cmp(&seen.pairs[i - 1], &seen.pairs[i]) < 0);
    printf("%zu nonces\n", seen.pairs_count);
    monitor_free(seen.monitor);
    seen.monitor = NULL;
    nq_free(seen.pairs);
    nq_free(seen.keys);
    assert_int_equal(toy_open(&t), NQ_OK);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}
#endif

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encrypted_store_has_no_value_in_its_files),
        cmocka_unit_test(wrong_and_missing_master_keys_are_refused),
        cmocka_unit_test(missing_foreign_and_older_files_of_keys_are_refused),
        cmocka_unit_test(another_master_key_opens_what_was_there),
        cmocka_unit_test(a_store_switched_over_keeps_nothing_in_the_clear),
        cmocka_unit_test(an_interrupted_rotation_goes_on_after_a_restart),
        cmocka_unit_test(a_rotation_that_missed_pages_goes_back_for_them),
        cmocka_unit_test(bug_first_flush_under_way_kept_the_old_key),
        cmocka_unit_test(each_flipped_bit_of_a_sealed_extent_is_found),
        cmocka_unit_test(swapped_plain_and_foreign_extents_are_refused),
#ifdef NQ_FAULTS
        cmocka_unit_test(no_key_ever_sees_a_nonce_twice),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
