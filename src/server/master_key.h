/* server/master_key.h - the master key of an encrypted database: where it
 * comes from.  Nothing of it ever reaches a log or a reply.
 *
 * At the start, or from a worker: a command may take seconds. */
#ifndef NQ_SERVER_MASTER_KEY_H
#define NQ_SERVER_MASTER_KEY_H

#include "base/rc.h"
#include "codec/seal.h"

struct config;

#define MASTER_KEY_WHY 512u

/* Texts are borrowed; "" or NULL: not this one. */
struct master_key_source {
    const char *path, *env, *command;
};

/* What the settings name. */
void master_key_source_of(const struct config *c,
                          struct master_key_source *out);
/* Whether they name any. */
bool master_key_is_named(const struct master_key_source *src);

/* NQ_EINVAL: none or several sources, none that can be read, or no key in
 * it; `why` says which, and what was expected. */
NQ_MUST_USE nq_rc master_key_read(const struct master_key_source *src,
                                  uint8_t key[SEAL_KEY],
                                  char why[MASTER_KEY_WHY]);

#endif
