/* cmd/args.h - arguments that many commands read the same way.
 *
 * Loop thread only.  Each call answers the client itself when it fails. */
#ifndef NQ_CMD_ARGS_H
#define NQ_CMD_ARGS_H

#include "cmd/command.h"

/* argv[i] as an integer; false: "value is not an integer or out of range". */
bool arg_int(struct req *rq, uint32_t i, int64_t *out);
/* The same within [lo, hi], with an error text of the command's own. */
bool arg_int_within(struct req *rq, uint32_t i, int64_t lo, int64_t hi,
                    const char *error, int64_t *out);

/* The whole slice as a number, as Redis reads scores: decimal, hexadecimal or
 * inf; no blanks, no NaN, nothing too great or too small. */
bool slice_to_double(struct slice s, double *out);
/* argv[i] so; false: answered `error`, or with NULL "value is not a valid
 * float". */
bool arg_double(struct req *rq, uint32_t i, const char *error, double *out);

/* The cursor of a scan; false: "invalid cursor". */
bool arg_scan_cursor(struct req *rq, uint32_t i, uint64_t *out);
/* Its COUNT, which is at least 1. */
bool arg_scan_count(struct req *rq, uint32_t i, uint64_t *out);

enum expire_unit { UNIT_S = 1000, UNIT_MS = 1 };

/* `v` units from `base` (wall ms; 0 for absolute times) as wall ms.  False:
 * beyond an int64, where Redis refuses it too.  What a record cannot hold, the
 * year 10889 and later, becomes the last moment that it can. */
bool expire_time(int64_t v, enum expire_unit unit, uint64_t base, int64_t *out);

/* argv[i] as the expiry of a value that is being set: a positive number of
 * `unit`, from now or absolute.  *out: wall ms.  False: answered
 * "invalid expire time in 'set' command" or "value is not an integer ...". */
bool arg_expire(struct req *rq, uint32_t i, enum expire_unit unit,
                bool is_absolute, uint64_t *out);

/* How long to wait, as the clock_mono_ms() of its end; 0: for ever.  In
 * seconds with fractions (BLPOP), or in whole milliseconds (XREAD, WAIT). */
bool arg_timeout_s(struct req *rq, uint32_t i, uint64_t *deadline_ms);
bool arg_timeout_ms(struct req *rq, uint32_t i, uint64_t *deadline_ms);

/* numkeys key ... WORD [COUNT n] of the MPOP commands, from argv[i] to the
 * end; the word is one of two. */
struct arg_mpop {
    uint32_t first, n; /* keys */
    bool is_second;    /* which word: MAX, RIGHT */
    int64_t count;     /* at least 1 */
};
bool arg_mpop(struct req *rq, uint32_t i, const char *first_word,
              const char *second_word, struct arg_mpop *out);

/* The EX PX EXAT PXAT words: whether argv[i] is one; sets its meaning. */
bool arg_is_expire(const struct req *rq, uint32_t i, enum expire_unit *unit,
                   bool *is_absolute);

#endif
