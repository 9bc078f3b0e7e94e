/* cmd/notify.h - keyspace notifications: events of keys as messages on the
 * channels __keyspace@<db>__:<key> and __keyevent@<db>__:<event>.
 *
 * Loop thread only. */
#ifndef NQ_CMD_NOTIFY_H
#define NQ_CMD_NOTIFY_H

#include "base/slice.h"
#include "db/db.h"

#define NOTIFY_TEXT_MAX 24

/* The classes that a string of Redis' letters (KEg$lshzxetdmnA) names, as
 * engine_limits.notify has them; false: another letter is in it. */
bool notify_parse(struct slice text, uint32_t *classes);
/* The same as Redis tells it back, terminated. */
void notify_format(uint32_t classes, char dst[NOTIFY_TEXT_MAX]);

/* db_opts.on_event; `engine` is the struct engine. */
void notify_on_event(void *engine, uint32_t dbi, enum db_event_class class,
                     const char *event, struct slice key);

#endif
