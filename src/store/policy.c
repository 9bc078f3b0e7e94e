/* store/policy.c - items, their lists and ghosts: what all policies share.
 *
 * Each policy is a handful of rules over at most four lists (policy_*.c).
 * Here are the numbers of items, the links, the table that finds ghosts by
 * id, and items that are set aside.
 *
 *   P1  an item is on exactly one list, or set aside, or free
 *   P2  ghosts, and they alone, are in the table
 *   P3  lists with ghosts hold nothing else
 *   P4  an item that was set aside goes back to the list it came from: to
 *       its old end, or as if it was touched there */
#include "store/policy.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "store/policy_int.h"

#define ITEMS_FIRST 64u
#define GHOSTS_FIRST_MIN 64u
#define GHOSTS_FIRST_MAX (1u << 30)

static const struct {
    const char *name;
    const struct policy_ops *ops;
} policies[POLICY_KINDS] = {
    [POLICY_S3ARC] = {"s3arc", &policy_s3arc_ops},
    [POLICY_LRU] = {"lru", &policy_lru_ops},
    [POLICY_CLOCK] = {"clock", &policy_clock_ops},
    [POLICY_2Q] = {"2q", &policy_2q_ops},
    [POLICY_ARC] = {"arc", &policy_arc_ops},
    [POLICY_S3FIFO] = {"s3fifo", &policy_s3fifo_ops},
};

const char *
policy_name(enum policy_kind kind)
{
    return policies[kind].name;
}

bool
policy_by_name(struct slice name, enum policy_kind *out)
{
    for (unsigned i = 0; i < POLICY_KINDS; i++) {
        if (slice_is(name, policies[i].name)) {
            *out = (enum policy_kind)i;
            return true;
        }
    }
    return false;
}

/* --- numbers -------------------------------------------------------------- */

static uint32_t
take_number(struct policy *p)
{
    uint32_t item = p->items_free;

    if (item != 0) {
        p->items_free = p->items[item].next;
        return item;
    }
    if (p->items_top == p->items_cap) {
        p->items_cap = p->items_cap == 0 ? ITEMS_FIRST : p->items_cap * 2;
        p->items = nq_realloc(p->items, p->items_cap * sizeof *p->items);
    }
    return p->items_top++;
}

static void
give_number(struct policy *p, uint32_t item)
{
    p->items[item] = (struct item){.next = p->items_free};
    p->items_free = item;
}

/* --- lists ---------------------------------------------------------------- */

void
item_push(struct policy *p, uint32_t item, unsigned list)
{
    struct item_list *l = &p->lists[list];
    struct item *it = item_get(p, item);

    it->list = (uint8_t)list;
    it->next = 0;
    it->prev = l->newest;
    if (l->newest == 0)
        l->oldest = item;
    else
        item_get(p, l->newest)->next = item;
    l->newest = item;
    l->count++;
    l->weight += it->weight;
}

static void
push_oldest(struct policy *p, uint32_t item, unsigned list)
{
    struct item_list *l = &p->lists[list];
    struct item *it = item_get(p, item);

    if (l->oldest == 0) {
        item_push(p, item, list);
        return;
    }
    it->list = (uint8_t)list;
    it->prev = 0;
    it->next = l->oldest;
    item_get(p, l->oldest)->prev = item;
    l->oldest = item;
    l->count++;
    l->weight += it->weight;
}

void
item_unlink(struct policy *p, uint32_t item)
{
    struct item *it = item_get(p, item);
    struct item_list *l = &p->lists[it->list];

    nq_dassert(it->list != 0 && it->aside == ASIDE_NOT && l->count > 0);
    if (it->prev == 0)
        l->oldest = it->next;
    else
        item_get(p, it->prev)->next = it->next;
    if (it->next == 0)
        l->newest = it->prev;
    else
        item_get(p, it->next)->prev = it->prev;
    l->count--;
    l->weight -= it->weight;
}

/* --- ghosts --------------------------------------------------------------- */

/* Ids are dense: a multiplication spreads them well enough. */
static uint32_t *
ghost_slot(const struct policy *p, pgno id)
{
    uint64_t mixed = (uint64_t)id * 0x9e3779b97f4a7c15u;

    return &p->ghosts[(uint32_t)(mixed >> 32) & p->ghosts_mask];
}

/* Slots for all ghosts of usual weight: filling a larger table from a smaller
 * one takes milliseconds, and memory that is not touched costs nothing. */
static uint32_t
ghosts_first(const struct policy *p)
{
    uint64_t most = nq_min(2 * (p->capacity / p->unit), GHOSTS_FIRST_MAX);
    uint32_t slots = GHOSTS_FIRST_MIN;

    while (slots < most)
        slots *= 2;
    return slots;
}

static void
grow_ghosts(struct policy *p)
{
    uint32_t *old = p->ghosts;
    uint32_t slots = old == NULL ? 0 : p->ghosts_mask + 1;
    uint32_t more = old == NULL ? ghosts_first(p) : slots * 2;

    p->ghosts = nq_calloc(more, sizeof *p->ghosts);
    p->ghosts_mask = more - 1;
    for (uint32_t i = 0; i < slots; i++) {
        uint32_t next;

        for (uint32_t g = old[i]; g != 0; g = next) {
            uint32_t *slot = ghost_slot(p, p->items[g].id);

            next = p->items[g].chain;
            p->items[g].chain = *slot;
            *slot = g;
        }
    }
    nq_free(old);
}

static void
ghost_enter(struct policy *p, uint32_t item)
{
    uint32_t *slot;

    if (p->ghosts == NULL || p->ghosts_count > p->ghosts_mask)
        grow_ghosts(p);
    slot = ghost_slot(p, p->items[item].id);
    p->items[item].chain = *slot;
    *slot = item;
    p->ghosts_count++;
}

/* Takes the ghost of `id` off its list and frees it; its list, or 0. */
static unsigned
ghost_take(struct policy *p, pgno id)
{
    uint32_t *link = p->ghosts == NULL ? NULL : ghost_slot(p, id);
    uint32_t item;
    unsigned list;

    while (link != NULL && *link != 0 && p->items[*link].id != id)
        link = &p->items[*link].chain;
    if (link == NULL || *link == 0)
        return 0;
    item = *link;
    *link = p->items[item].chain;
    list = p->items[item].list;
    item_unlink(p, item);
    give_number(p, item);
    p->ghosts_count--;
    return list;
}

void
ghosts_trim(struct policy *p, unsigned list, uint64_t weight)
{
    while (p->lists[list].weight > weight)
        (void)ghost_take(p, p->items[p->lists[list].oldest].id);
}

/* The list of `id` as a ghost, or 0, without taking it. */
static unsigned
ghost_find(const struct policy *p, pgno id)
{
    uint32_t g = p->ghosts == NULL ? 0 : *ghost_slot(p, id);

    while (g != 0 && p->items[g].id != id)
        g = p->items[g].chain;
    return g == 0 ? 0 : p->items[g].list;
}

void
policy_adapt(struct policy *p, uint32_t weight, unsigned was, unsigned recent,
             unsigned frequent, uint64_t least, uint64_t most)
{
    double r = (double)p->lists[recent].weight;
    double f = (double)p->lists[frequent].weight;
    double step = (double)weight, target = (double)p->target;

    if (was == recent)
        target += f > r ? step * f / r : step;
    else
        target -= r > f ? step * r / f : step;
    target = nq_max(target, (double)least);
    p->target = (uint64_t)nq_min(target, (double)most);
}

/* --- public --------------------------------------------------------------- */

struct policy *
policy_new(enum policy_kind kind, uint64_t capacity, uint32_t unit)
{
    struct policy *p = nq_calloc(1, sizeof *p);

    nq_assert(kind < POLICY_KINDS && unit > 0);
    p->magic = POLICY_MAGIC;
    p->ops = policies[kind].ops;
    p->unit = unit;
    p->capacity = capacity;
    (void)take_number(p); /* 0 is nobody */
    p->items_top = 1;
    if (kind == POLICY_S3ARC || kind == POLICY_S3FIFO)
        p->target = capacity / 10;
    return p;
}

void
policy_free(struct policy *p)
{
    if (p == NULL)
        return;
    nq_assert(p->magic == POLICY_MAGIC);
    p->magic = 0;
    nq_free(p->items);
    nq_free(p->ghosts);
    nq_free(p);
}

void
policy_set_capacity(struct policy *p, uint64_t capacity)
{
    if (p->capacity > 0)
        p->target = (uint64_t)((double)p->target / (double)p->capacity *
                               (double)capacity);
    p->capacity = capacity;
    p->ops->trim(p);
}

uint32_t
policy_insert(struct policy *p, pgno id, uint32_t owner, uint32_t weight,
              enum policy_origin origin)
{
    unsigned was = ghost_find(p, id);
    uint32_t item = take_number(p);

    p->items[item] = (struct item){
        .id = id, .owner = owner, .weight = weight, .origin = (uint8_t)origin};
    p->count++;
    p->ops->insert(p, item, was);
    if (was != 0)
        (void)ghost_take(p, id);
    p->ops->trim(p);
    return item;
}

void
policy_touch(struct policy *p, uint32_t item)
{
    struct item *it = item_get(p, item);

    if (it->origin != POLICY_USED) {
        it->origin = POLICY_USED;
        return;
    }
    if (it->aside != ASIDE_NOT)
        it->aside = ASIDE_TOUCHED;
    else
        p->ops->touch(p, item);
}

static void
unlink_any(struct policy *p, uint32_t item)
{
    struct item *it = item_get(p, item);

    if (it->aside == ASIDE_NOT) {
        item_unlink(p, item);
        return;
    }
    it->aside = ASIDE_NOT;
    p->aside--;
    p->lists[it->list].aside -= it->weight;
}

void
policy_remove(struct policy *p, uint32_t item)
{
    unlink_any(p, item);
    give_number(p, item);
    p->count--;
}

void
policy_set_owner(struct policy *p, uint32_t item, uint32_t owner)
{
    item_get(p, item)->owner = owner;
}

void
policy_set_weight(struct policy *p, uint32_t item, uint32_t weight)
{
    struct item *it = item_get(p, item);
    struct item_list *l = &p->lists[it->list];
    uint64_t *sum = it->aside != ASIDE_NOT ? &l->aside : &l->weight;

    *sum += weight;
    *sum -= it->weight;
    it->weight = weight;
}

uint32_t
policy_victim(struct policy *p, unsigned *steps)
{
    return policy_has_items(p) && *steps > 0 ? p->ops->victim(p, steps) : 0;
}

void
policy_evict(struct policy *p, uint32_t item)
{
    struct item *it = item_get(p, item);
    unsigned ghosts = p->ops->ghosts_of(it->list);

    unlink_any(p, item);
    p->count--;
    if (ghosts == 0) {
        give_number(p, item);
        return;
    }
    it->owner = 0;
    item_push(p, item, ghosts);
    ghost_enter(p, item);
    p->ops->trim(p);
}

void
policy_set_aside(struct policy *p, uint32_t item)
{
    struct item *it = item_get(p, item);

    nq_assert(it->aside == ASIDE_NOT);
    item_unlink(p, item);
    it->aside = ASIDE_YES;
    p->aside++;
    p->lists[it->list].aside += it->weight;
}

void
policy_put_back(struct policy *p, uint32_t item)
{
    struct item *it = item_get(p, item);
    bool was_touched = it->aside == ASIDE_TOUCHED;

    nq_assert(it->aside != ASIDE_NOT);
    unlink_any(p, item);
    push_oldest(p, item, it->list);
    if (was_touched)
        p->ops->touch(p, item);
}

bool
policy_has_items(const struct policy *p)
{
    return p->count > p->aside;
}

bool
policy_is_aside(const struct policy *p, uint32_t item)
{
    return item_get(p, item)->aside != ASIDE_NOT;
}

void
policy_spare(struct policy *p, uint32_t item)
{
    item_move(p, item, item_get(p, item)->list);
}

uint32_t
policy_owner(const struct policy *p, uint32_t item)
{
    return item_get(p, item)->owner;
}

bool
policy_is_fresh(const struct policy *p, uint32_t item)
{
    return item_get(p, item)->origin != POLICY_USED;
}

bool
policy_is_unused(const struct policy *p, uint32_t item)
{
    return item_get(p, item)->origin == POLICY_AHEAD;
}

void
policy_get_stats(const struct policy *p, struct policy_stats *out)
{
    *out = (struct policy_stats){
        .items = p->count, .ghosts = p->ghosts_count, .aside = p->aside};
    for (unsigned i = 1; i < POLICY_LISTS; i++) {
        const struct item_list *l = &p->lists[i];

        if (l->oldest != 0 && item_get(p, l->oldest)->owner == 0)
            out->ghost_weight += l->weight;
        else
            out->weight += list_weight(l);
    }
    out->bytes =
        p->items_cap * sizeof *p->items +
        (p->ghosts == NULL ? 0 : (p->ghosts_mask + 1) * sizeof *p->ghosts);
}

static void
check_list(const struct policy *p, unsigned index, uint32_t *items)
{
    const struct item_list *l = &p->lists[index];
    uint32_t count = 0, last = 0;
    uint64_t weight = 0;

    for (uint32_t i = l->oldest; i != 0; i = item_get(p, i)->next) {
        const struct item *it = item_get(p, i);

        nq_assert(it->list == index && it->prev == last);
        nq_assert(it->aside == ASIDE_NOT);
        nq_assert((it->owner == 0) == (ghost_find(p, it->id) != 0)); /* P2 */
        *items += it->owner != 0;
        last = i;
        count++;
        weight += it->weight;
    }
    nq_assert(last == l->newest && count == l->count && weight == l->weight);
}

void
policy_check(const struct policy *p)
{
    struct policy_stats st;
    uint32_t items = 0;

    for (unsigned i = 1; i < POLICY_LISTS; i++)
        check_list(p, i, &items);
    nq_assert(items + p->aside == p->count); /* P1 */
    policy_get_stats(p, &st);
    nq_assert(st.ghost_weight <= 2 * p->capacity + p->unit);
}
