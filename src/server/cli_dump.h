/* server/cli_dump.h - keys as the commands that make them again, or as lines
 * of text, for nqdb-cli dump.
 *
 * One thread, in blocking mode (frames.h): what is missing is read at once. */
#ifndef NQ_SERVER_CLI_DUMP_H
#define NQ_SERVER_CLI_DUMP_H

#include "base/arena.h"
#include "base/buf.h"
#include "db/db.h"

struct frames;

/* To the standard output. */
struct cli_dump {
    struct db *db;
    struct frames *frames;
    bool is_text;
    /* private; zero */
    uint32_t dbi;
    struct slice key;
    struct buf words; /* of the command that is being put together */
    uint64_t n;       /* how many */
    struct buf value; /* of the key's record: its page may go */
    struct buf group; /* the name of a stream's group, the same */
    struct arena arena;
};

void cli_dump_fini(struct cli_dump *d);
/* One key, which is not over; evicts pages, so slices of others are void. */
NQ_MUST_USE nq_rc cli_dump_key(struct cli_dump *d, uint32_t dbi,
                               struct slice key, const struct record *rec);
/* SELECT, unless it is text. */
void cli_dump_select(struct cli_dump *d, uint32_t dbi);

#endif
