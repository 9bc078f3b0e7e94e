/* server/info_int.h - the sections of INFO, one function each; between the
 * info_*.c files only. */
#ifndef NQ_SERVER_INFO_INT_H
#define NQ_SERVER_INFO_INT_H

#include "base/buf.h"
#include "server/server_int.h"

/* info_server.c */
void info_server(struct server *s, struct buf *out);
void info_clients(struct server *s, struct buf *out);
void info_memory(struct server *s, struct buf *out);
void info_replication(struct server *s, struct buf *out);
void info_cpu(struct server *s, struct buf *out);
void info_modules(struct server *s, struct buf *out);
void info_cluster(struct server *s, struct buf *out);

/* info_stats.c */
void info_stats(struct server *s, struct buf *out);
void info_commandstats(struct server *s, struct buf *out);
void info_latencystats(struct server *s, struct buf *out);
void info_errorstats(struct server *s, struct buf *out);
void info_keyspace(struct server *s, struct buf *out);
void info_batch(struct server *s, struct buf *out);

/* info_store.c */
void info_persistence(struct server *s, struct buf *out);
void info_storage(struct server *s, struct buf *out);
void info_log(struct server *s, struct buf *out);
void info_encryption(struct server *s, struct buf *out);
void info_checkpoint(struct server *s, struct buf *out);
void info_pool(struct server *s, struct buf *out);

/* info_compression.c */
void info_compression(struct server *s, struct buf *out);

/* info_queries.c */
void info_queries(struct server *s, struct buf *out);

/* info_quantum.c */
void info_quantum(struct server *s, struct buf *out);

/* scrub.c: a part of the section storage */
void info_scrub(struct server *s, struct buf *out);

/* maintenance.c */
void info_jobs(struct server *s, struct buf *out);
void info_subscribers(struct server *s, struct buf *out);

/* info_feeds.c */
void info_feeds(struct server *s, struct buf *out);

/* One field; INFO ends lines as RESP does. */
void info_u64(struct buf *out, const char *name, uint64_t v);
void info_text(struct buf *out, const char *name, const char *v);
/* The bytes, and again as "1.50M" under name_human. */
void info_bytes(struct buf *out, const char *name, uint64_t v);

#endif
