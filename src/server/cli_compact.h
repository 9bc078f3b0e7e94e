/* server/cli_compact.h - nqdb-cli compact: what NQ.COMPACT does, for a
 * database that no server has open. */
#ifndef NQ_SERVER_CLI_COMPACT_H
#define NQ_SERVER_CLI_COMPACT_H

#include <stdbool.h>
#include <stdint.h>

struct db;
struct pool;
struct store;

struct cli_compact {
    const char *dir;
    struct pool *pool;
    struct store *store; /* open for writing */
    struct db *db;
    bool full;
    uint64_t bytes_per_s; /* 0: as fast as it goes */
};

/* Prints a line a second, and one at the end.  The exit code: 0, 1 if pages
 * are damaged, which stay where they are, 2 if it could not be done. */
int cli_compact_run(const struct cli_compact *k);

#endif
