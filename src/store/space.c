/* store/space.c - a bitmap of sectors, searched next-fit.
 *
 * A set bit is a sector in use.  Sectors are summed up in groups of 16 MiB:
 * how many are free, and an upper bound of the longest free run that begins
 * in the group, learned by searching in vain and forgotten by a free.
 * At 3 KiB an extent the map costs less than a byte a page.
 *
 * Searching: first a run of all that is wanted; then, if more than a quarter
 * of the file is free (or it cannot grow), the first hole that is big enough
 * for the least that is wanted; else the file grows.  So holes are filled
 * before the file is much larger than what it holds, and writes stay in long
 * runs until then.
 *
 * Holes are free sectors that the file system has back.  No search finds
 * them; one comes back before the file would grow. */
#include "store/space.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

#define GROUP_WORDS 512u
#define GROUP_SECTORS (GROUP_WORDS * 64u)
#define UNKNOWN UINT32_MAX
#define GROW_MIN (64ull << 10)
#define GROW_MAX (64ull << 20)

struct group {
    uint32_t free;
    uint32_t longest; /* no free run that begins in it is longer */
};

struct run {
    uint64_t from, n;
};

struct space {
    uint64_t *words;
    struct group *groups;
    uint64_t groups_cap;
    uint64_t end;        /* sectors in the map */
    uint64_t used;       /* sectors */
    uint64_t cursor;     /* where the next search starts */
    uint64_t max, limit; /* sectors; UINT64_MAX: none */
    uint64_t for_parts;  /* of max */
    /* Holes in the file, by place.  Their bits are set, but they are not in
     * `used`. */
    struct run *holes;
    unsigned holes_count, holes_cap;
};

static uint64_t
sectors_of(uint64_t bytes)
{
    return (bytes + SPACE_SECTOR - 1) / SPACE_SECTOR;
}

static uint64_t
groups_of(uint64_t sectors)
{
    return (sectors + GROUP_SECTORS - 1) / GROUP_SECTORS;
}

/* Sectors of the last group behind the end count as used. */
static void
extend(struct space *sp, uint64_t end)
{
    uint64_t groups = groups_of(end);

    if (groups > sp->groups_cap) {
        uint64_t cap = nq_max(groups, sp->groups_cap * 5 / 4);
        uint64_t more = cap - sp->groups_cap;

        sp->words = nq_realloc(sp->words, cap * GROUP_WORDS * 8);
        memset(sp->words + sp->groups_cap * GROUP_WORDS, 0xff,
               more * GROUP_WORDS * 8);
        sp->groups = nq_realloc(sp->groups, cap * sizeof *sp->groups);
        memset(sp->groups + sp->groups_cap, 0, more * sizeof *sp->groups);
        sp->groups_cap = cap;
    }
    sp->used += end - sp->end; /* set_range() takes them off again */
}

/* Flips [from, from+n), all of which is the other way, and the sums. */
static void
set_range(struct space *sp, uint64_t from, uint64_t n, bool used)
{
    uint64_t at = from, end = from + n;

    while (at < end) {
        uint64_t some = nq_min(64 - at % 64, end - at);
        uint64_t mask = (some == 64 ? UINT64_MAX : (1ull << some) - 1)
                        << (at % 64);
        uint64_t *w = &sp->words[at / 64];
        struct group *g = &sp->groups[at / GROUP_SECTORS];

        nq_assert((*w & mask) == (used ? 0 : mask));
        *w ^= mask;
        if (used) {
            g->free -= (uint32_t)some;
        } else {
            g->free += (uint32_t)some;
            g->longest = UNKNOWN;
        }
        at += some;
    }
    sp->used = used ? sp->used + n : sp->used - n;
}

static void
set_end(struct space *sp, uint64_t end)
{
    uint64_t old = sp->end;

    nq_assert(end > old);
    extend(sp, end);
    sp->end = end;
    set_range(sp, old, end - old, false);
}

static bool
range_is(const struct space *sp, uint64_t from, uint64_t n, bool used)
{
    for (uint64_t s = from; s < from + n; s++) {
        if (s >= sp->end || ((sp->words[s / 64] >> (s % 64) & 1) != 0) != used)
            return false;
    }
    return true;
}

struct space *
space_new(uint64_t reserved)
{
    struct space *sp = nq_calloc(1, sizeof *sp);

    sp->max = sp->limit = UINT64_MAX;
    if (reserved > 0) {
        set_end(sp, sectors_of(reserved));
        set_range(sp, 0, sectors_of(reserved), true);
    }
    return sp;
}

void
space_delete(struct space *sp)
{
    if (sp == NULL)
        return;
    nq_free(sp->words);
    nq_free(sp->groups);
    nq_free(sp->holes);
    nq_free(sp);
}

bool
space_mark(struct space *sp, uint64_t off, uint64_t len)
{
    uint64_t from = off / SPACE_SECTOR, n = sectors_of(len);

    if (off % SPACE_SECTOR != 0)
        return false;
    if (from + n > sp->end)
        set_end(sp, from + n);
    if (!range_is(sp, from, n, false))
        return false;
    set_range(sp, from, n, true);
    return true;
}

void
space_extend(struct space *sp, uint64_t bytes)
{
    if (bytes / SPACE_SECTOR > sp->end)
        set_end(sp, bytes / SPACE_SECTOR);
}

/* --- searching ------------------------------------------------------------ */

/* Length of the free run at `at`, looked at up to `max` and to `stop`. */
static uint64_t
run_length(const struct space *sp, uint64_t at, uint64_t stop, uint64_t max)
{
    uint64_t n = 0;

    while (at < stop && n < max) {
        uint64_t w = sp->words[at / 64] >> (at % 64);
        uint64_t in_word = 64 - at % 64;
        uint64_t some =
            w == 0 ? in_word : nq_min((uint64_t)__builtin_ctzll(w), in_word);

        n += some;
        at += some;
        if (some < in_word)
            break;
    }
    n = at > stop ? n - (at - stop) : n;
    return nq_min(n, max);
}

/* The first free sector in [at, stop), or stop. */
static uint64_t
next_free(const struct space *sp, uint64_t at, uint64_t stop)
{
    while (at < stop) {
        uint64_t w = ~(sp->words[at / 64] >> (at % 64));
        uint64_t in_word = 64 - at % 64;

        if (in_word < 64)
            w &= (1ull << in_word) - 1;
        if (w != 0)
            return nq_min(at + (uint64_t)__builtin_ctzll(w), stop);
        at += in_word;
    }
    return stop;
}

/* The first run of at least `need` that begins in [at, stop) of one group. */
static bool
search_group(struct space *sp, uint64_t at, uint64_t stop, uint64_t end,
             uint64_t need, uint64_t want, struct run *out)
{
    struct group *g = &sp->groups[at / GROUP_SECTORS];
    bool is_whole = at % GROUP_SECTORS == 0 &&
                    (stop % GROUP_SECTORS == 0 || stop == sp->end);
    uint64_t longest = 0;

    if (g->free == 0 || g->longest < need)
        return false;
    while ((at = next_free(sp, at, stop)) < stop) {
        uint64_t n = run_length(sp, at, end, want);

        if (n >= need) {
            *out = (struct run){at, n};
            return true;
        }
        longest = nq_max(longest, n);
        at += n;
        is_whole = is_whole && (at < end || end == sp->end);
    }
    if (is_whole)
        g->longest = (uint32_t)longest;
    return false;
}

static bool
search_range(struct space *sp, uint64_t from, uint64_t stop, uint64_t end,
             uint64_t need, uint64_t want, struct run *out)
{
    while (from < stop) {
        uint64_t next = (from / GROUP_SECTORS + 1) * GROUP_SECTORS;

        if (search_group(sp, from, nq_min(next, stop), end, need, want, out))
            return true;
        from = next;
    }
    return false;
}

/* Nothing at or behind `max` is found. */
static bool
search(struct space *sp, uint64_t need, uint64_t want, uint64_t max,
       struct run *out)
{
    uint64_t end = nq_min(nq_min(sp->end, sp->limit), max);
    uint64_t cursor = nq_min(sp->cursor, end);

    return sp->end - nq_min(sp->end, sp->used) >= need &&
           (search_range(sp, cursor, end, end, need, want, out) ||
            search_range(sp, 0, cursor, end, need, want, out));
}

/* --- growing -------------------------------------------------------------- */

static uint64_t
last_set(const struct space *sp, uint64_t s)
{
    while (s > 0 && (sp->words[(s - 1) / 64] >> ((s - 1) % 64) & 1) == 0) {
        bool is_empty_word = s % 64 == 0 && sp->words[(s - 1) / 64] == 0;

        s -= is_empty_word ? 64 : 1;
    }
    return s;
}

uint64_t
space_last_used(const struct space *sp)
{
    uint64_t s = last_set(sp, sp->end);

    for (unsigned i = sp->holes_count; i > 0; i--) {
        const struct run *h = &sp->holes[i - 1];

        if (h->from + h->n != s)
            break;
        s = last_set(sp, h->from);
    }
    return s * SPACE_SECTOR;
}

/* --- holes ---------------------------------------------------------------- */

static void
add_hole(struct space *sp, struct run run)
{
    struct run *last = sp->holes + sp->holes_count;
    unsigned at = sp->holes_count;

    if (sp->holes_count == sp->holes_cap) {
        sp->holes_cap = sp->holes_cap == 0 ? 16 : sp->holes_cap * 2;
        sp->holes = nq_realloc(sp->holes, sp->holes_cap * sizeof *last);
    }
    while (at > 0 && sp->holes[at - 1].from > run.from)
        at--;
    memmove(sp->holes + at + 1, sp->holes + at,
            (sp->holes_count - at) * sizeof *last);
    sp->holes[at] = run;
    sp->holes_count++;
    set_range(sp, run.from, run.n, true);
    sp->used -= run.n;
}

static void
remove_hole(struct space *sp, unsigned i)
{
    struct run run = sp->holes[i];

    sp->holes_count--;
    memmove(sp->holes + i, sp->holes + i + 1,
            (sp->holes_count - i) * sizeof *sp->holes);
    sp->used += run.n;
    set_range(sp, run.from, run.n, false);
}

/* The first hole with room for as much as possible is free space again. */
static bool
take_back_hole(struct space *sp, uint64_t need, uint64_t most)
{
    unsigned best = UINT32_MAX;

    if (sp->limit != UINT64_MAX)
        return false; /* to write there, the file system must have space */
    for (unsigned i = sp->holes_count; i > 0; i--) {
        uint64_t n = sp->holes[i - 1].n;

        if (n >= most ||
            (n >= need && (best == UINT32_MAX || sp->holes[best].n < most)))
            best = i - 1;
    }
    if (best == UINT32_MAX)
        return false;
    remove_hole(sp, best);
    return true;
}

unsigned
space_punch(struct space *sp, uint64_t min, uint64_t keep,
            struct space_run *runs, unsigned cap)
{
    uint64_t at = 0, kept = 0;
    unsigned count = 0;

    while (count < cap && (at = next_free(sp, at, sp->end)) < sp->end) {
        struct run run = {at, run_length(sp, at, sp->end, UINT64_MAX)};
        uint64_t spare = nq_min(run.n, sectors_of(keep) - kept);

        at += run.n;
        kept += spare;
        run.from += spare;
        run.n -= spare;
        if (run.n == 0 || run.n < sectors_of(min))
            continue;
        add_hole(sp, run);
        runs[count++] =
            (struct space_run){run.from * SPACE_SECTOR, run.n * SPACE_SECTOR};
    }
    return count;
}

void
space_unpunch(struct space *sp)
{
    while (sp->holes_count > 0)
        remove_hole(sp, sp->holes_count - 1);
}

uint64_t
space_punched_bytes(const struct space *sp)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < sp->holes_count; i++)
        sum += sp->holes[i].n;
    return sum * SPACE_SECTOR;
}

/* --- allocating ----------------------------------------------------------- */

/* Makes the free run at the end at least `need` long, if the file need not be
 * longer than `max` for that. */
static nq_rc
grow(struct space *sp, uint64_t need, uint64_t max)
{
    uint64_t tail = last_set(sp, sp->end);
    uint64_t least = tail + need, step;

    if (sp->limit != UINT64_MAX)
        return NQ_ENOSPC;
    if (least > max)
        return NQ_EFULL;
    step = nq_min(nq_max(sp->end * SPACE_SECTOR / 16, GROW_MIN), GROW_MAX);
    least = nq_min(nq_max(least, sp->end + step / SPACE_SECTOR), max);
    if (least > sp->end)
        set_end(sp, least);
    sp->cursor = tail;
    sp->groups[tail / GROUP_SECTORS].longest = UNKNOWN;
    return NQ_OK;
}

static nq_rc
alloc(struct space *sp, uint64_t min, uint64_t want, uint64_t max,
      uint64_t *off, uint64_t *len)
{
    uint64_t need = sectors_of(min), most = sectors_of(want);
    bool is_roomy = (sp->end - sp->used) > sp->end / 4;
    struct run run;
    nq_rc rc;

    nq_assert(min > 0 && min <= want);
    if (!search(sp, most, most, max, &run) &&
        !(is_roomy && search(sp, need, most, max, &run)) &&
        !(take_back_hole(sp, need, most) &&
          search(sp, need, most, max, &run))) {
        rc = grow(sp, most, max);
        if (!search(sp, rc == NQ_OK ? most : need, most, max, &run) &&
            (rc != NQ_EFULL || grow(sp, need, max) != NQ_OK ||
             !search(sp, need, most, max, &run)))
            return rc;
    }
    set_range(sp, run.from, run.n, true);
    sp->cursor = run.from + run.n;
    *off = run.from * SPACE_SECTOR;
    *len = run.n * SPACE_SECTOR;
    return NQ_OK;
}

nq_rc
space_alloc(struct space *sp, uint64_t min, uint64_t want, uint64_t *off,
            uint64_t *len)
{
    uint64_t max = sp->max == UINT64_MAX
                       ? sp->max
                       : sp->max - nq_min(sp->for_parts, sp->max);

    return alloc(sp, min, want, max, off, len);
}

nq_rc
space_alloc_part(struct space *sp, uint64_t bytes, uint64_t *off)
{
    uint64_t len;

    return alloc(sp, bytes, bytes, sp->max, off, &len);
}

nq_rc
space_alloc_below(struct space *sp, uint64_t min, uint64_t want, uint64_t below,
                  uint64_t *off, uint64_t *len)
{
    uint64_t end = nq_min(nq_min(sp->end, sp->limit), below / SPACE_SECTOR);
    struct run run;

    nq_assert(min > 0 && min <= want);
    if (!search_range(sp, 0, end, end, sectors_of(min), sectors_of(want), &run))
        return NQ_NOTFOUND;
    set_range(sp, run.from, run.n, true);
    *off = run.from * SPACE_SECTOR;
    *len = run.n * SPACE_SECTOR;
    return NQ_OK;
}

bool
space_take_free(struct space *sp, uint64_t from, uint64_t below, uint64_t want,
                uint64_t *off, uint64_t *len)
{
    uint64_t end = nq_min(sp->end, below / SPACE_SECTOR);
    uint64_t at = next_free(sp, nq_min(sectors_of(from), end), end);
    uint64_t n = run_length(sp, at, end, sectors_of(want));

    if (n == 0)
        return false;
    set_range(sp, at, n, true);
    *off = at * SPACE_SECTOR;
    *len = n * SPACE_SECTOR;
    return true;
}

void
space_free(struct space *sp, uint64_t off, uint64_t len)
{
    uint64_t from = off / SPACE_SECTOR, n = sectors_of(len);

    nq_assert(off % SPACE_SECTOR == 0 && from + n <= sp->end);
    set_range(sp, from, n, false);
}

bool
space_is_used(const struct space *sp, uint64_t off, uint64_t len)
{
    return off % SPACE_SECTOR == 0 &&
           range_is(sp, off / SPACE_SECTOR, sectors_of(len), true);
}

/* --- limits and sums ------------------------------------------------------ */

void
space_set_max(struct space *sp, uint64_t max_bytes, uint64_t for_parts)
{
    sp->for_parts = sectors_of(for_parts);
    sp->max = max_bytes == 0 ? UINT64_MAX : max_bytes / SPACE_SECTOR;
}

void
space_set_limit(struct space *sp, uint64_t limit)
{
    sp->limit = limit == 0 ? UINT64_MAX : limit / SPACE_SECTOR;
}

uint64_t
space_end(const struct space *sp)
{
    return sp->end * SPACE_SECTOR;
}

uint64_t
space_used_bytes(const struct space *sp)
{
    return sp->used * SPACE_SECTOR;
}

uint64_t
space_free_bytes(const struct space *sp)
{
    return (sp->end - sp->used) * SPACE_SECTOR;
}

void
space_rewind(struct space *sp)
{
    sp->cursor = 0;
}

void
space_cut(struct space *sp, uint64_t end)
{
    uint64_t sectors = sectors_of(end);

    nq_assert(end >= space_last_used(sp));
    while (sp->holes_count > 0 &&
           sp->holes[sp->holes_count - 1].from >= sectors)
        remove_hole(sp, sp->holes_count - 1);
    if (sectors >= sp->end)
        return;
    set_range(sp, sectors, sp->end - sectors, true);
    sp->used -= sp->end - sectors;
    sp->end = sectors;
    sp->cursor = nq_min(sp->cursor, sectors);
}
