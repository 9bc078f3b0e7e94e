/* cmd/pressure.h - what happens when messages come faster than their
 * subscriber takes them: the words for it, the bounds, and how to wait until
 * there is room.  Shared by channels (cmd/pubsub) and feeds.
 *
 * Loop thread only.  Whoever has messages for a session puts them into its
 * output only while it has room, at most about PRESSURE_WINDOW unsent bytes;
 * what else there is stays outside, within the bounds of the settings
 * (engine->limits.queue), and then the policy is applied. */
#ifndef NQ_CMD_PRESSURE_H
#define NQ_CMD_PRESSURE_H

#include "base/list.h"
#include "base/slice.h"

struct engine;
struct session;

#define PRESSURE_WINDOW (64u * 1024)

/* What is done with messages beyond the bounds. */
enum pressure_policy {
    PRESSURE_NONE,       /* none: client-output-buffer-limit alone bounds */
    PRESSURE_OLDEST,     /* drop the oldest that waits, and tell how many */
    PRESSURE_NEWEST,     /* drop what comes, and tell how many */
    PRESSURE_DISCONNECT, /* end the client */
    PRESSURE_PAUSE,      /* keep only the place, and read again from there */
    PRESSURE_POLICIES
};

/* How a subscriber stands, the worst last. */
enum pressure_state {
    PRESSURE_NORMAL,
    PRESSURE_THROTTLED, /* some messages wait for room */
    PRESSURE_PAUSED,    /* as many as may; the others will be read again */
    PRESSURE_DROPPING,  /* some are lost, which the client was not told yet */
    PRESSURE_STATES
};

/* Who has messages for a session; each has a state of its own there. */
enum pressure_source { PRESSURE_CHANNELS, PRESSURE_FEEDS, PRESSURE_SOURCES };

/* "none", "drop-oldest", "drop-newest", "disconnect", "pause". */
const char *pressure_policy_name(enum pressure_policy policy);
/* Any case; false if there is none of that name. */
bool pressure_policy_find(struct slice name, enum pressure_policy *policy);
/* "normal", "throttled", "paused", "dropping". */
const char *pressure_state_name(enum pressure_state state);

/* Whether so many messages of so many bytes, waiting for one subscriber, are
 * all that the settings allow.  Never if backpressure is off. */
bool pressure_is_full(const struct engine *e, uint64_t messages,
                      uint64_t bytes);

/* Counted by state in engine->pressured (of what is not normal); told to the
 * client in CLIENT LIST. */
void pressure_set_state(struct session *s, enum pressure_source source,
                        enum pressure_state state);
/* The worst of all sources. */
enum pressure_state pressure_state_of(const struct session *s);

/* --- room ------------------------------------------------------------------
 */

/* Who waits for room in a session's output. */
struct pressure_wait {
    struct list link; /* in session->room */
    void (*fn)(struct pressure_wait *w);
};

/* Whether a message may be put now: little is unsent, the session is not
 * ending, and no command of it is running or has put but a part of its
 * reply, inside of which nothing else may land. */
bool pressure_has_room(const struct session *s);

void pressure_wait_init(struct pressure_wait *w,
                        void (*fn)(struct pressure_wait *w));
/* Calls w->fn(w) once, as soon as there is room: never from in here.  fn may
 * ask again, and must if it leaves messages outside.  To ask twice is to ask
 * once. */
void pressure_wait_room(struct session *s, struct pressure_wait *w);
/* Waits no longer (or did not). */
void pressure_wait_end(struct pressure_wait *w);

/* For net, after each flush: there may be room now.  Calls who waits, in the
 * order of their asking, as long as there is. */
void pressure_room(struct session *s);

#endif
