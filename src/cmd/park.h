/* cmd/park.h - commands that wait: for pages, for the end of a hold, for
 * their next slice, for an event, for the end of a pause.
 *
 * Loop thread only.  A waiting command is not kept here: its bytes stay in
 * the connection's input, and are presented again after ops->resume, which
 * only engine_turn() calls (through park_turn), never a command. */
#ifndef NQ_CMD_PARK_H
#define NQ_CMD_PARK_H

#include "cmd/command.h"

struct parking;

struct parking *parking_new(struct engine *e);
void parking_free(struct parking *p); /* nothing is parked any more */

/* What the outcome of `rq` asks for: its session becomes blocked. */
void park(struct req *rq);
/* CLIENT PAUSE holds it back. */
void park_paused(struct req *rq);
/* Readies `rq` if it is a command that had been parked: its state comes back.
 * Not NQ_OK: its pages could not be read. */
NQ_MUST_USE nq_rc park_take(struct req *rq);
/* The command ran to its end (or its session ends): gives pins back. */
void park_done(struct session *s);

/* Starts reading what the probe of a batch noted as missing. */
void park_read_ahead(struct engine *e);
/* Ends that, and what waiting commands keep: the store is about to be
 * closed. */
void park_stop(struct engine *e);

/* Its command waits, and nobody but its client wants it (req.ends_with_client).
 */
bool park_ends_with_client(const struct session *s);

/* CLIENT UNBLOCK: ends the waiting of a command for its event, as if it had
 * lasted too long (req.is_cut) or with an error.  False: it does not wait for
 * an event, or is none that a client may end. */
bool park_cut(struct session *s, bool with_error);

/* Lets paused sessions go on. */
void park_end_pause(struct engine *e);
/* A hold has ended (db_opts.on_release): lets those try that wait for one. */
void park_released(struct engine *e);
/* Resumes what is due; true: there is more at once. */
bool park_turn(struct engine *e);
/* The next deadline: clock_mono_ms(); 0: none. */
uint64_t park_next_due(const struct engine *e);

/* req_block with an end: at clock_mono_ms() `deadline_ms` (0: never) the
 * command runs again in any case. */
void req_block_until(struct req *rq, uint64_t deadline_ms);
/* Runs again when the log is durable past `at`, too. */
void req_block_durable(struct req *rq, lsn at, uint64_t deadline_ms);

#endif
