/* cmd/cmd_list.h - what the handlers of lists share among themselves.
 * Loop thread only. */
#ifndef NQ_CMD_CMD_LIST_H
#define NQ_CMD_CMD_LIST_H

#include "cmd/command.h"
#include "db/lists.h"

/* The list at argv[i], found or absent; false: the reply is put. */
bool list_look(struct req *rq, uint32_t i, bool write, struct entry *e,
               bool *found);
/* An element as a bulk.  Not NQ_OK: nothing was put. */
NQ_MUST_USE nq_rc reply_list_item(struct req *rq, const struct list_item *it);
/* argv[i] is LEFT or RIGHT; false: the reply is put. */
bool arg_list_end(struct req *rq, uint32_t i, enum list_end *end);
/* Redis' inclusive [start, end] with negative positions, clipped to `len`:
 * false if nothing is left. */
bool list_clip(int64_t start, int64_t end, uint64_t len, uint64_t *from,
               uint64_t *n);
/* BLMPOP: pops up to `count` elements of the list found in `e` and answers
 * [key, [element ...]].  It may yield; then list_pop_go_on() is to be called
 * in the next run.  That is false if there is nothing to go on with. */
void list_pop_many(struct req *rq, uint32_t key, enum list_end end,
                   uint64_t count, struct entry *e);
bool list_pop_go_on(struct req *rq, enum list_end end);
/* Pops one element of the list found in `e` and answers it. */
void list_pop_one(struct req *rq, uint32_t key, enum list_end end,
                  struct entry *e);

#endif
