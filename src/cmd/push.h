/* cmd/push.h - push clients: those that hold a feed, or asked for heartbeats
 * with NQ.HEARTBEAT ON.  What websocket.* says holds for them: how many there
 * may be, heartbeats, the end of those that are gone or silent, how many
 * commands a second they may send, and their socket buffers.  Ordinary
 * subscribers of channels are none: for them it is as with Redis.
 *
 * Loop thread only.
 *
 * A heartbeat is an ordinary message on the channel "__heartbeat__" whose
 * text is the wall clock in milliseconds: any client that takes messages takes
 * it.  It is sent when nothing else was for heartbeat_interval.  Nobody has to
 * answer: a sign of life is a byte received, or that the client's side took
 * what was sent (TCP tells).  One that asked with ON gets one each interval,
 * and is to send something, PING or whatever, within heartbeat_timeout. */
#ifndef NQ_CMD_PUSH_H
#define NQ_CMD_PUSH_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct push;
struct req;
struct session;

/* A feed of the session begins.  False: websocket.max_connections are there,
 * and nothing changed: the command answers PUSH_TOO_MANY. */
#define PUSH_TOO_MANY "max number of push clients reached"
bool push_enter(struct session *s);
/* A feed for which push_enter() was called ends. */
void push_leave(struct session *s);

enum push_heartbeat { PUSH_AUTO, PUSH_ON, PUSH_OFF };
/* NQ.HEARTBEAT; false as above. */
bool push_set_heartbeat(struct session *s, enum push_heartbeat mode);
enum push_heartbeat push_heartbeat_of(const struct session *s);
/* Whether what is said above holds for it. */
bool push_is_client(const struct session *s);
/* The session ends, or is RESET: its feeds were left before. */
void push_drop(struct session *s);

/* Counts a command of a push client; false: it is one too many in this
 * second.  Commands with the flag SUBSCRIBED (those of subscribing itself,
 * and acknowledgements) are not counted. */
bool push_may_run(struct req *rq);

/* Ten times a second, with engine->now_ms set. */
void push_cron(struct engine *e);

#endif
