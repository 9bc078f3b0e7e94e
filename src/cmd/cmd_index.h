/* cmd/cmd_index.h - the jobs that build indexes. */
#ifndef NQ_CMD_CMD_INDEX_H
#define NQ_CMD_CMD_INDEX_H

struct engine;

/* From time to time: starts a job for each index that is to be built and has
 * none. */
void index_jobs_cron(struct engine *e);

#endif
