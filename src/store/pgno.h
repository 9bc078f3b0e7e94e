/* store/pgno.h - the two numbers of the engine.
 *
 * A pgno names a logical page (a tree page or one chunk of a blob) for as
 * long as it lives, wherever its bytes are.  An lsn is a byte position in
 * the log; everything below it is in the past of whoever names it. */
#ifndef NQ_STORE_PGNO_H
#define NQ_STORE_PGNO_H

#include <stdint.h>

typedef uint32_t pgno; /* 0 is "none" */
typedef uint64_t lsn;  /* 0 is "none" */

#endif
