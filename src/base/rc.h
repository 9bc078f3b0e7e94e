/* base/rc.h - result codes.  Everything that can fail returns an nq_rc; the
 * table with RESP prefixes and texts is rc.def.  Any thread. */
#ifndef NQ_BASE_RC_H
#define NQ_BASE_RC_H

#define NQ_MUST_USE __attribute__((warn_unused_result))

typedef enum {
#define RC(name, prefix, text) name,
#include "base/rc.def"
#undef RC
    NQ_RC_COUNT
} nq_rc;

/* The name as spelled in the source ("NQ_EIO"), the RESP error prefix ("ERR",
 * may be empty), and one sentence.  Static storage. */
const char *rc_name(nq_rc rc);
const char *rc_prefix(nq_rc rc);
const char *rc_text(nq_rc rc);

#endif
