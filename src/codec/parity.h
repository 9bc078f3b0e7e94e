/* codec/parity.h - sectors to rebuild damaged ones from.
 *
 * Pure functions of bytes; any thread.  The data is whole sectors.  They are
 * dealt out to stripes of at most PARITY_STRIPE in turn, so neighbours are in
 * different stripes; one damaged sector a stripe is healed, and so any run of
 * damaged sectors that is no longer than the number of stripes.
 *
 * What it does not heal: two damaged sectors of one stripe (short data has
 * only one), a run that is lost as a whole, what was wrong before it was
 * written.  Against those there are backups.
 *
 * It costs a sector in sixteen or part of that, and beyond sixteen sectors
 * four bytes each for their checksums: 512 bytes for a page that packs into 1
 * to 16 sectors, 1536 for one of 8 KiB as it is, 7 % of long values; and 0.1
 * us per KiB when it is written, nothing when it is read. */
#ifndef NQ_CODEC_PARITY_H
#define NQ_CODEC_PARITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARITY_SECTOR 512u
#define PARITY_STRIPE 16u

/* Bytes of parity for `len` bytes (whole sectors, at least one): whole
 * sectors, too. */
size_t parity_size(size_t len);

/* `dst` has room for parity_size(len). */
void parity_encode(const uint8_t *data, size_t len, uint8_t *dst);

/* Rebuilds sectors of damaged data; is_good() tells whether all of it is as
 * it was.  How many were rebuilt; 0: it cannot be, and data is unchanged. */
unsigned parity_repair(uint8_t *data, size_t len, const uint8_t *parity,
                       bool (*is_good)(void *arg), void *arg);

#endif
