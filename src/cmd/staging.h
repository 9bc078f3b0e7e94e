/* cmd/staging.h - results that take more than a slice: built out of sight,
 * key by key and slice by slice, then given their name at once.
 *
 * Loop thread only.  The result grows at a key of DB_STAGING by the ordinary
 * calls of its type (set_add, list_push ... with that database and key, and
 * no event), so the log carries it as it grows; staging_publish() renames it
 * over the destination in O(1).  Keep the struct in req.state: its owner calls
 * staging_drop() from free_state, which removes what was not published.
 *
 *   first slice that must yield   staging_begin
 *   each slice                    staging_find, then one call of the type
 *   last slice                    staging_publish, event, reply
 *
 * What fits into the first slice is better stored directly: db_del and the
 * type's call, in one command. */
#ifndef NQ_CMD_STAGING_H
#define NQ_CMD_STAGING_H

#include "cmd/command.h"

struct staging {
    struct db *db; /* NULL: nothing was begun */
    char name[24];
    size_t name_len;
};

/* `s` is zeroed storage.  Removes what an earlier run left. */
NQ_MUST_USE nq_rc staging_begin(struct req *rq, struct staging *s);
bool staging_is_begun(const struct staging *s);
/* Where it grows, in DB_STAGING; borrowed from `s`. */
struct slice staging_key(const struct staging *s);
/* db_find_write() of that key. */
NQ_MUST_USE nq_rc staging_find(struct staging *s, struct entry *e);
/* What was built becomes the value of `to` in the request's database, in
 * place of any other; nothing built: `to` is deleted.  NQ_MISS: once more.
 * Raises "del" where a key was only deleted, nothing else. */
NQ_MUST_USE nq_rc staging_publish(struct req *rq, struct staging *s,
                                  struct slice to);
/* Always, at the end; does nothing after staging_publish(). */
void staging_drop(struct staging *s);

/* --- a result that fits one slice ----------------------------------------
 * does to `to` the same without staging. */

/* Before it is put: `to` goes, without an event; *e says that it is absent. */
NQ_MUST_USE nq_rc staging_replace(struct req *rq, struct slice to,
                                  struct entry *e);
/* When it is empty: `to` is deleted; "del" is raised if it was there. */
NQ_MUST_USE nq_rc staging_delete(struct req *rq, struct slice to);

#endif
