/* cmd/history.c - a ring of messages for each channel, and all of them in one
 * list by age.
 *
 *   channel  name, ring of entries, the id of the oldest; holders
 *   entry    a reference to the message, when it came
 *
 * I1 The ids of a ring follow one another: entry i of the ring has the id
 *    first + i.
 * I2 The list `all` has every entry of every ring, the oldest first, so the
 *    oldest of all is the oldest of its channel.
 * I3 A channel without entries and holders is freed; `floor` is above every
 *    id that one of those had given.
 *
 * Called by cmd/pubsub and cmd/cmd_history. */
#include "cmd/history.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/message.h"
#include "os/clock.h"

#define RING_FIRST 8u

struct history_entry {
    struct list link; /* history->all */
    struct history_channel *ch;
    struct message *m;
    uint64_t ms;
};

struct history_channel {
    struct hash_node node;       /* stays first */
    struct history_entry **ring; /* of `cap`, a power of two */
    uint32_t head, count, cap;
    uint32_t holders;
    uint64_t first; /* id of ring[head] */
    uint64_t bytes;
    uint32_t len;
    uint8_t name[];
};

struct history {
    struct hash channels;
    struct list all;
    uint64_t messages, bytes;
    uint64_t floor;                /* I3 */
    struct history_limits trimmed; /* the bounds that every channel is within */
};

struct history *
history_new(void)
{
    struct history *h = nq_calloc(1, sizeof *h);

    list_init(&h->all);
    return h;
}

/* --- channels --------------------------------------------------------------
 */

static bool
channel_is(const struct hash_node *n, const void *key)
{
    const struct history_channel *ch = (const struct history_channel *)n;

    return slice_eq(slice_of(ch->name, ch->len), *(const struct slice *)key);
}

struct history_channel *
history_find(struct engine *e, struct slice channel)
{
    struct hash_node *n = hash_find(&e->history->channels, hash_bytes(channel),
                                    channel_is, &channel);

    return n == NULL ? NULL : nq_container(n, struct history_channel, node);
}

static struct history_channel *
channel_make(struct engine *e, struct slice name)
{
    struct history *h = e->history;
    struct history_channel *ch = history_find(e, name);

    if (ch != NULL)
        return ch;
    ch = nq_calloc(1, sizeof *ch + name.len);
    ch->len = (uint32_t)name.len;
    if (name.len > 0)
        memcpy(ch->name, name.p, name.len);
    ch->first = nq_max(clock_wall_us(), h->floor);
    h->bytes += sizeof *ch + name.len;
    hash_insert(&h->channels, &ch->node, hash_bytes(name));
    return ch;
}

static void
channel_free_unused(struct history *h, struct history_channel *ch)
{
    if (ch->count > 0 || ch->holders > 0)
        return;
    h->floor = nq_max(h->floor, ch->first);
    h->bytes -= sizeof *ch + ch->len + ch->cap * sizeof *ch->ring;
    hash_remove(&h->channels, &ch->node);
    nq_free(ch->ring);
    nq_free(ch);
}

struct history_channel *
history_hold(struct engine *e, struct slice channel)
{
    struct history_channel *ch = channel_make(e, channel);

    ch->holders++;
    return ch;
}

void
history_let_go(struct engine *e, struct history_channel *ch)
{
    nq_assert(ch->holders > 0);
    ch->holders--;
    channel_free_unused(e->history, ch);
}

/* --- entries ---------------------------------------------------------------
 */

/* What an entry costs, beside its channel. */
static uint64_t
footprint(const struct history_entry *en)
{
    return sizeof *en + sizeof *en->m + en->m->len;
}

static struct history_entry *
entry_at(const struct history_channel *ch, uint32_t i)
{
    nq_dassert(i < ch->count);
    return ch->ring[(ch->head + i) & (ch->cap - 1)];
}

static void
drop_oldest(struct history *h, struct history_channel *ch)
{
    struct history_entry *en = entry_at(ch, 0);
    uint64_t bytes = footprint(en);

    ch->head++;
    ch->count--;
    ch->first++;
    ch->bytes -= bytes;
    h->bytes -= bytes;
    h->messages--;
    list_remove(&en->link);
    message_release(en->m);
    nq_free(en);
}

static void
grow(struct history *h, struct history_channel *ch)
{
    uint32_t cap = ch->cap == 0 ? RING_FIRST : ch->cap * 2;
    struct history_entry **ring = nq_malloc(cap * sizeof *ring);

    for (uint32_t i = 0; i < ch->count; i++)
        ring[i] = entry_at(ch, i);
    nq_free(ch->ring);
    h->bytes += (cap - ch->cap) * sizeof *ring;
    ch->ring = ring;
    ch->head = 0;
    ch->cap = cap;
}

/* Within the bounds of one channel; it stays, though it may be empty. */
static void
trim_channel(struct engine *e, struct history_channel *ch)
{
    const struct history_limits *l = &e->limits.history;

    while (ch->count > 0 && (ch->count > l->messages || ch->bytes > l->bytes))
        drop_oldest(e->history, ch);
}

/* Within the bounds of all; `but` is not freed. */
static void
trim_all(struct engine *e, uint64_t now_ms, const struct history_channel *but)
{
    const struct history_limits *l = &e->limits.history;
    struct history *h = e->history;

    while (!list_empty(&h->all)) {
        struct history_entry *en =
            nq_container(h->all.next, struct history_entry, link);
        struct history_channel *ch = en->ch;

        if (h->bytes <= l->memory &&
            (l->age_ms == 0 || en->ms + l->age_ms > now_ms))
            return;
        drop_oldest(h, ch);
        if (ch != but)
            channel_free_unused(h, ch);
    }
}

bool
history_is_on(const struct engine *e)
{
    return e->limits.history.messages > 0 || e->history->channels.count > 0;
}

void
history_add(struct engine *e, struct slice channel, struct message *m)
{
    struct history *h = e->history;
    struct history_channel *ch;
    struct history_entry *en;

    ch = e->limits.history.messages == 0 ? history_find(e, channel)
                                         : channel_make(e, channel);
    if (ch == NULL)
        return;
    if (ch->count == ch->cap)
        grow(h, ch);
    en = nq_malloc(sizeof *en);
    *en = (struct history_entry){.ch = ch, .m = m, .ms = e->now_ms};
    m->refs++;
    m->id = ch->first + ch->count;
    ch->ring[(ch->head + ch->count++) & (ch->cap - 1)] = en;
    list_push_back(&h->all, &en->link);
    h->messages++;
    h->bytes += footprint(en);
    ch->bytes += footprint(en);
    trim_channel(e, ch);
    trim_all(e, e->now_ms, ch);
    channel_free_unused(h, ch);
}

/* --- reading ---------------------------------------------------------------
 */

uint64_t
history_first(const struct history_channel *ch)
{
    return ch->first;
}

uint64_t
history_next(const struct history_channel *ch)
{
    return ch->first + ch->count;
}

struct message *
history_at(const struct history_channel *ch, uint64_t id, uint64_t *ms)
{
    const struct history_entry *en;

    nq_assert(id >= ch->first && id < history_next(ch));
    en = entry_at(ch, (uint32_t)(id - ch->first));
    if (ms != NULL)
        *ms = en->ms;
    return en->m;
}

/* --- bounds ----------------------------------------------------------------
 */

static void
trim_one(struct hash_node *n, void *arg)
{
    struct engine *e = arg;
    struct history_channel *ch = nq_container(n, struct history_channel, node);

    trim_channel(e, ch);
    channel_free_unused(e->history, ch);
}

void
history_trim(struct engine *e)
{
    const struct history_limits *l = &e->limits.history;
    struct history *h = e->history;

    if (h->channels.count == 0)
        return;
    if (l->messages != h->trimmed.messages || l->bytes != h->trimmed.bytes) {
        h->trimmed = *l;
        hash_each(&h->channels, trim_one, e);
    }
    trim_all(e, e->now_ms, NULL);
}

void
history_get_stats(const struct engine *e, struct history_stats *out)
{
    const struct history *h = e->history;

    *out = (struct history_stats){.channels = h->channels.count,
                                  .messages = h->messages,
                                  .bytes = h->bytes};
}

static void
free_channel(struct hash_node *n, void *arg)
{
    struct history *h = arg;
    struct history_channel *ch = nq_container(n, struct history_channel, node);

    nq_assert(ch->holders == 0);
    while (ch->count > 0)
        drop_oldest(h, ch);
    channel_free_unused(h, ch);
}

void
history_free(struct history *h)
{
    if (h == NULL)
        return;
    hash_each(&h->channels, free_channel, h);
    nq_assert(h->messages == 0 && h->bytes == 0);
    hash_fini(&h->channels);
    nq_free(h);
}
