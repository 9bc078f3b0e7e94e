/* store/encrypt.c - which keys a store opens with.
 *
 *   superblock   master key   keys.nq
 *   plain        none         any       opened as it is
 *   plain        given        none      made: encrypted from now on
 *   plain        given        there     taken: an earlier switch was cut off
 *   encrypted    none         any       refused: says which settings
 *   encrypted    given        none      refused
 *   encrypted    given        there     opened, if the key is the right one
 *
 * The superblock says "encrypted" before the log takes the first append, and
 * keys.nq is durable before the superblock is: so whatever can be reached
 * from a superblock has its keys.
 *
 * When an existing database is switched over, pages stay in the clear until
 * they are written again; until all are, what is not sealed is believed
 * (keyring_is_complete). */
#include "store/encrypt.h"

#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/dir.h"
#include "store/keyring.h"
#include "store/store_int.h"

#define FRESH_SEQUENCE 2u /* of superblocks, before the first store_ready() */

static bool
has_keys(const struct store *st)
{
    size_t n = strlen(st->dir) + sizeof "/" KEYRING_FILE;
    char *path = nq_malloc(n);
    bool has;

    snprintf(path, n, "%s/%s", st->dir, KEYRING_FILE);
    has = dir_has(path);
    nq_free(path);
    return has;
}

nq_rc
encrypt_open(struct store *st)
{
    struct keyring_opts o = {.dir = st->dir,
                             .uuid = st->sb.uuid,
                             .master = st->opts.master_key,
                             .least = st->sb.key,
                             .is_empty = st->sb.sequence <= FRESH_SEQUENCE,
                             .read_only = st->opts.read_only};
    nq_rc rc;

    st->opts.master_key = NULL; /* the caller's, and copied now */
    if (o.master == NULL && o.least == 0)
        return NQ_OK;
    if (o.master == NULL) {
        log_error("%s is encrypted: set security.encryption.enabled and one "
                  "of security.encryption.key_path, key_env and key_command "
                  "(nqdb-cli: --key-path, --key-env, --key-command)",
                  st->data_path);
        return NQ_EKEY;
    }
    if (o.read_only && o.least == 0 && !has_keys(st))
        return NQ_OK;
    rc = keyring_open(&o, &st->disk.env.keys);
    if (rc == NQ_OK && o.least == 0 && !o.is_empty && !o.read_only)
        log_notice("%s: what is there in the clear is going to be written "
                   "again, encrypted (NQ.ENCRYPT STATUS)",
                   st->data_path);
    return rc;
}

uint32_t
encrypt_key(const struct store *st)
{
    uint32_t key =
        st->disk.env.keys == NULL ? 0 : keyring_current(st->disk.env.keys);

    return key != 0 ? key : st->sb.key;
}

nq_rc
encrypt_seal_catalog(struct store *st, struct buf *bytes)
{
    size_t len = bytes->len;
    uint8_t *p;

    if (st->disk.env.keys == NULL)
        return NQ_OK;
    p = buf_reserve(bytes, KEYRING_BLOCK_MORE) - len;
    memmove(p + KEYRING_BLOCK_HEAD, p, len);
    bytes->len += KEYRING_BLOCK_MORE;
    return keyring_seal_block(st->disk.env.keys, KEYRING_CATALOG, p, len);
}

nq_rc
encrypt_open_catalog(struct store *st, uint8_t *bytes, size_t len,
                     struct slice *plain)
{
    const struct keyring *keys = st->disk.env.keys;

    *plain = slice_of(bytes, len);
    if (keyring_is_block(*plain))
        return keyring_open_block(keys, bytes, len, plain);
    return keys != NULL && keyring_is_complete(keys) ? NQ_ECORRUPT : NQ_OK;
}
