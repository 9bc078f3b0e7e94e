/* store/pin.h - published checkpoints that are held, so that what they say
 * can be read for as long as somebody wants to, while everybody writes.
 *
 * Loop thread, but for what says otherwise.  A pin costs no time on any path
 * of a write.  It costs space: extents that nobody but pins needs any more
 * stay, up to a limit; past it, or when the disk or the quota is full, the
 * oldest pin is *broken*: its space is given back, and its readers are told.
 *
 * What is in one is read with store/pin_tree.h.
 *
 * Pins live in memory only: a restart knows of none, and their space is
 * free. */
#ifndef NQ_STORE_PIN_H
#define NQ_STORE_PIN_H

#include "base/list.h"
#include "base/rc.h"
#include "base/slice.h"
#include "store/pgno.h"

struct pin;
struct store;

/* One who wants a pin.  Caller's storage. */
struct pin_wait {
    /* On the loop, never from inside pin_ask(): NQ_OK and a reference to a
     * checkpoint that has all that was logged before pin_ask(), and perhaps
     * some of what came between then and now (pin_lsn); or why there is none
     * (as store_checkpoint() tells). */
    void (*ready)(struct pin_wait *w, struct pin *p, nq_rc rc);
    /* private */
    struct pin_ticket *ticket;
};
void pin_ask(struct store *st, struct pin_wait *w);
/* Not wanted any more; after ready(), and of zeroes: does nothing. */
void pin_ask_end(struct pin_wait *w);

struct pin *pin_ref(struct pin *p);
void pin_unref(struct pin *p); /* of NULL: does nothing */

/* The position of the log up to which it has everything, and nothing of what
 * is behind. */
lsn pin_lsn(const struct pin *p);
/* When that was the end of the log: wall clock. */
uint64_t pin_wall_ms(const struct pin *p);
struct store *pin_store(const struct pin *p);
/* NULL: it holds.  Else why it was broken; as long as the reference. */
const char *pin_broken(const struct pin *p);
/* A named value of the checkpoint's catalog; NQ_NOTFOUND.  Any thread. */
NQ_MUST_USE nq_rc pin_catalog(const struct pin *p, struct slice name,
                              struct slice *val);

/* Around each job that reads: what it needs stays where it is, though the pin
 * be broken meanwhile, and the store is not closed.  False: it is broken, and
 * nothing of it may be read.  A job is a matter of some
 * milliseconds, since a broken pin takes space until it has ended. */
NQ_MUST_USE bool pin_enter(struct pin *p);
void pin_leave(struct pin *p);

/* --- for the store -------------------------------------------------------- */

struct pins;
struct pins *pins_new(struct store *st);
void pins_free(struct pins *ps); /* of NULL: does nothing */
/* A slice; before a checkpoint may begin pins_are_settled() must be true. */
void pins_turn(struct pins *ps);
/* No space is on its way from a pin to the map. */
bool pins_are_settled(const struct pins *ps);
/* At a cut: its catalog, as it is now.  When it is published: that is the one
 * which pins get from now on. */
void pins_cut(struct pins *ps);
void pins_published(struct pins *ps);
/* Breaks those that are not of the published checkpoint. */
void pins_break_old(struct pins *ps, const char *why);

#endif
