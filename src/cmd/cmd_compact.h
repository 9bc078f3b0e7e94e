/* cmd/cmd_compact.h - compaction as a job (cmd/jobs.h).  Loop thread only. */
#ifndef NQ_CMD_CMD_COMPACT_H
#define NQ_CMD_CMD_COMPACT_H

struct engine;

/* Goes on with one that the end of the server interrupted, if there is one. */
void compact_resume(struct engine *e);

#endif
