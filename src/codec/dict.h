/* codec/dict.h - the dictionaries of one database: what its blocks have in
 * common, trained from samples of them.
 *
 * A dictionary has a slot, 1 to DICT_SLOTS; a block packed with it says so by
 * its codec number, BLOCK_DICT0 + slot.  Any thread may look one up; what it
 * got stays good for as long as the registry lives. */
#ifndef NQ_CODEC_DICT_H
#define NQ_CODEC_DICT_H

#define DICT_SLOTS 239u

struct dict;
struct dicts;

struct dicts *dicts_new(void);
void dicts_delete(struct dicts *d); /* of NULL: does nothing */
/* NULL: there is none in that slot.  `d` may be NULL. */
const struct dict *dicts_get(const struct dicts *d, unsigned slot);

#endif
