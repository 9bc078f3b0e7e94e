/* server/server.h - the running server: puts the parts together, and takes
 * them apart again in order. */
#ifndef NQ_SERVER_SERVER_H
#define NQ_SERVER_SERVER_H

#include <stdbool.h>

struct config;

/* Exit codes. */
enum {
    EXIT_OK = 0,
    EXIT_CONFIG = 1, /* a setting is wrong, or an address is taken */
    EXIT_DATA = 2,   /* the data directory cannot be used */
};

/* Serves until it is told to end.  `cut_log`: cut the log at damage instead
 * of refusing to start. */
int server_run(struct config *c, bool cut_log);

#endif
