/* server/version.h - which nqdb this is. */
#ifndef NQ_SERVER_VERSION_H
#define NQ_SERVER_VERSION_H

#define NQDB_VERSION "0.1.0"

#endif
