/* codec/dict.h - the dictionaries of one database: what its blocks have in
 * common, trained from samples of them.
 *
 * A dictionary has a slot, 1 to DICT_SLOTS; a block packed with it says so by
 * its codec number, BLOCK_DICT0 + slot.  It belongs to a prefix, which all
 * keys of the blocks that it is good for have.  Any thread may look one up;
 * what it got stays good until dicts_remove(). */
#ifndef NQ_CODEC_DICT_H
#define NQ_CODEC_DICT_H

#include <stdbool.h>

#include "base/rc.h"
#include "base/slice.h"

#define DICT_SLOTS 239u
#define DICT_ENTRY 16u /* bytes: what the setting of the size counts */
#define DICT_PREFIX_MAX 64u
#define DICT_BYTES_MIN 256u
#define DICT_BYTES_MAX (1u << 20)

struct dict;
struct dicts;
struct ZSTD_CDict_s;
struct ZSTD_DDict_s;

struct dict_info {
    unsigned slot;
    uint32_t version; /* of those for this prefix, from 1 on */
    struct slice prefix, bytes;
    bool is_used;                         /* for packing */
    uint64_t blocks, bytes_in, bytes_out; /* packed with it since it is here */
    uint64_t unpacked;
};

struct dicts *dicts_new(void);
void dicts_delete(struct dicts *d); /* of NULL: does nothing */

/* Loop thread.  Enters info->slot, prefix, version and a copy of bytes; it
 * can unpack from now on.  NQ_ECORRUPT: that is no dictionary. */
NQ_MUST_USE nq_rc dicts_put(struct dicts *d, const struct dict_info *info);
/* Loop thread.  Whether it may be picked for blocks to be packed.  Only one
 * of those for a prefix is. */
void dicts_use(struct dicts *d, unsigned slot, bool on);
/* Loop thread.  Nobody may be using it any more. */
void dicts_remove(struct dicts *d, unsigned slot);

/* NULL: there is none in that slot.  `d` may be NULL. */
const struct dict *dicts_get(const struct dicts *d, unsigned slot);
/* The one in use for `prefix`, or NULL. */
const struct dict *dicts_pick(const struct dicts *d, struct slice prefix);

unsigned dict_slot(const struct dict *dict);
/* Prepared for a level (zpack.h); they live as long as the dictionary. */
const struct ZSTD_CDict_s *dict_packer(const struct dict *dict, unsigned level);
const struct ZSTD_DDict_s *dict_unpacker(const struct dict *dict);
void dict_packed(const struct dict *dict, size_t in, size_t out);
void dict_unpacked(const struct dict *dict);
/* Slices are borrowed. */
void dict_get_info(const struct dict *dict, struct dict_info *out);
/* Bytes that it takes in memory. */
size_t dict_memory(const struct dict *dict);

/* The part of a key that picks a dictionary: up to its first ':', '/', '|' or
 * '#', that included, if it comes within DICT_PREFIX_MAX bytes; else nothing.
 */
struct slice dict_prefix_of(struct slice key);

#endif
