/* cmd/notify.c - which events are told, and the telling.
 *
 * The letters stand for bits in the order of `letters`.  An event is told
 * when its class is on and K or E says where.  A message about a write is
 * gated by the write's LSN, so that nobody learns of what a crash would take
 * back. */
#include "cmd/notify.h"

#include <stdio.h>

#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/pubsub.h"

/* In the order in which Redis tells them; A stands for the first ones. */
static const char letters[] = "g$lshzxetdnKEm";

#define ALL_LETTERS 10 /* g to d */
#define ALL_CLASSES ((1u << ALL_LETTERS) - 1)

static uint32_t
bit_of(char letter)
{
    const char *at = letter == '\0' ? NULL : strchr(letters, letter);

    return at == NULL ? 0 : 1u << (at - letters);
}

bool
notify_parse(struct slice text, uint32_t *classes)
{
    *classes = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint32_t bits =
            text.p[i] == 'A' ? ALL_CLASSES : bit_of((char)text.p[i]);

        if (bits == 0)
            return false;
        *classes |= bits;
    }
    return true;
}

void
notify_format(uint32_t classes, char dst[NOTIFY_TEXT_MAX])
{
    size_t n = 0;

    if ((classes & ALL_CLASSES) == ALL_CLASSES)
        dst[n++] = 'A';
    for (size_t i = n == 0 ? 0 : ALL_LETTERS; letters[i] != '\0'; i++)
        if ((classes & (1u << i)) != 0)
            dst[n++] = letters[i];
    dst[n] = '\0';
}

/* Publishes on "__<what>@<dbi>__:<name>". */
static void
tell(struct engine *e, const char *what, uint32_t dbi, struct slice name,
     struct slice message, lsn gate)
{
    char head[40];
    size_t n = (size_t)snprintf(head, sizeof head, "__%s@%u__:", what, dbi);
    uint8_t *channel = nq_malloc(n + name.len);

    memcpy(channel, head, n);
    if (name.len > 0)
        memcpy(channel + n, name.p, name.len);
    pubsub_publish(e, PUBSUB_CHANNEL, slice_of(channel, n + name.len), message,
                   gate);
    nq_free(channel);
}

void
notify_on_event(void *engine, uint32_t dbi, enum db_event_class class,
                const char *event, struct slice key)
{
    struct engine *e;
    uint32_t on;
    lsn gate;

    NQ_CAST(e, engine, ENGINE_MAGIC);
    on = e->limits.notify;
    if (nq_likely(on == 0) || (on & bit_of((char)class)) == 0 ||
        !pubsub_has_subscribers(e))
        return;
    gate = db_gate(e->db);
    if ((on & bit_of('K')) != 0)
        tell(e, "keyspace", dbi, key, slice_str(event), gate);
    if ((on & bit_of('E')) != 0)
        tell(e, "keyevent", dbi, slice_str(event), key, gate);
}
