/* cmd/cmd_geo_search.c - GEOSEARCH, GEOSEARCHSTORE, and GEORADIUS with its
 * kin, which they have replaced.
 *
 * The shape is covered by at most nine ranges of scores (geohash.h), whose
 * members are looked at one by one, in slices with the set held.  Those within
 * are collected with their distance as their score, and their own score before
 * their name; then sorted, and told or stored. */
#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/cmd_geo.h"
#include "cmd/cmd_zset.h"
#include "cmd/handlers.h"
#include "cmd/held.h"
#include "cmd/members.h"
#include "cmd/reply.h"

#define SEARCH_MAGIC 0x47454f53u
#define LOOKS 64 /* members between two looks at the clock */

enum variant {
    GEO_RADIUS = 1,  /* around coordinates */
    GEO_MEMBER = 2,  /* around a member */
    GEO_SEARCH = 4,  /* what it is about stands in options */
    GEO_NOSTORE = 8, /* takes no STORE */
    GEO_STORE = 16   /* stores at argv[1] */
};

enum direction { UNSORTED, ASCENDING, DESCENDING };

struct query {
    unsigned variant;
    uint32_t key;   /* of the set, in argv */
    uint32_t store; /* of the destination; 0: the result is told */
    bool store_distance;
    bool with_distance, with_hash, with_point;
    bool has_member, has_point, has_radius, has_box, any;
    enum direction direction;
    int64_t count; /* 0: all */
    struct geo_shape shape;
};

struct search {
    uint32_t magic;
    struct query q;
    struct held held;
    struct geo_range ranges[GEO_RANGES];
    unsigned nranges, at_range;
    uint64_t at_rank; /* in the set, valid only if has_rank */
    bool has_rank, is_found, is_converted;
    struct members found;
    struct buf tagged;     /* a name being put there */
    struct members result; /* what is stored, with its scores */
    struct staging staging;
};

static void
search_free(void *state)
{
    struct search *s;

    NQ_CAST(s, state, SEARCH_MAGIC);
    held_end(&s->held);
    members_fini(&s->found);
    members_fini(&s->result);
    buf_fini(&s->tagged);
    staging_drop(&s->staging);
    nq_free(s);
}

/* --- arguments ----------------------------------------------------------- */

static bool
parse_radius(struct req *rq, uint32_t i, struct geo_shape *s)
{
    if (!arg_double(rq, i, "need numeric radius", &s->radius))
        return false;
    if (s->radius < 0) {
        reply_error(rq, "radius cannot be negative");
        return false;
    }
    return arg_geo_unit(rq, i + 1, &s->unit);
}

static bool
parse_box(struct req *rq, uint32_t i, struct geo_shape *s)
{
    if (!arg_double(rq, i, "need numeric width", &s->width) ||
        !arg_double(rq, i + 1, "need numeric height", &s->height))
        return false;
    if (s->width < 0 || s->height < 0) {
        reply_error(rq, "height or width cannot be negative");
        return false;
    }
    return arg_geo_unit(rq, i + 2, &s->unit);
}

/* The place of the member at argv[i]; `z` NULL: there is no set, and nothing
 * to look up. */
static bool
parse_member(struct req *rq, uint32_t i, struct zset *z, struct geo_shape *s)
{
    double score;
    nq_rc rc;

    if (z == NULL)
        return true;
    rc = zset_score(z, rq->argv[i], &score);
    if (rc == NQ_OK)
        s->center = geo_decode(score);
    else if (rc == NQ_NOTFOUND)
        reply_error(rq, "could not decode requested zset member");
    else
        reply_rc(rq, rc);
    return rc == NQ_OK;
}

static bool
parse_count(struct req *rq, uint32_t i, int64_t *count)
{
    if (!arg_int(rq, i, count))
        return false;
    if (*count > 0)
        return true;
    reply_error(rq, "COUNT must be > 0");
    return false;
}

static bool
parse_flag(struct slice word, struct query *q)
{
    if (slice_is(word, "WITHDIST"))
        q->with_distance = true;
    else if (slice_is(word, "WITHHASH"))
        q->with_hash = true;
    else if (slice_is(word, "WITHCOORD"))
        q->with_point = true;
    else if (slice_is(word, "ANY"))
        q->any = true;
    else if (slice_is(word, "ASC"))
        q->direction = ASCENDING;
    else if (slice_is(word, "DESC"))
        q->direction = DESCENDING;
    else if (slice_is(word, "STOREDIST") && q->variant & GEO_STORE)
        q->store_distance = true;
    else
        return false;
    return true;
}

/* An option of GEOSEARCH with values at argv[*i]; leaves *i on its last
 * word. */
static bool
parse_shape(struct req *rq, uint32_t *i, struct zset *z, struct query *q)
{
    struct slice word = rq->argv[*i];
    uint32_t left = rq->argc - *i - 1, at = *i + 1;

    if (slice_is(word, "FROMMEMBER") && left >= 1 && !q->has_point) {
        q->has_member = true;
        *i += 1;
        return parse_member(rq, at, z, &q->shape);
    }
    if (slice_is(word, "FROMLONLAT") && left >= 2 && !q->has_member) {
        q->has_point = true;
        *i += 2;
        return arg_geo_point(rq, at, &q->shape.center);
    }
    if (slice_is(word, "BYRADIUS") && left >= 2 && !q->has_box) {
        q->has_radius = true;
        *i += 2;
        return parse_radius(rq, at, &q->shape);
    }
    if (slice_is(word, "BYBOX") && left >= 3 && !q->has_radius) {
        q->has_box = q->shape.is_box = true;
        *i += 3;
        return parse_box(rq, at, &q->shape);
    }
    reply_syntax(rq);
    return false;
}

static bool
parse_option(struct req *rq, uint32_t *i, struct zset *z, struct query *q)
{
    bool may_store = (q->variant & (GEO_NOSTORE | GEO_SEARCH)) == 0;
    struct slice word = rq->argv[*i];
    bool has_value = *i + 1 < rq->argc;

    if (parse_flag(word, q))
        return true;
    if (slice_is(word, "COUNT") && has_value)
        return parse_count(rq, ++*i, &q->count);
    if (may_store && has_value &&
        (slice_is(word, "STORE") || slice_is(word, "STOREDIST"))) {
        q->store_distance = slice_is(word, "STOREDIST");
        q->store = ++*i;
        return true;
    }
    if (q->variant & GEO_SEARCH)
        return parse_shape(rq, i, z, q);
    reply_syntax(rq);
    return false;
}

/* What stands at fixed places; *next: where options begin. */
static bool
parse_fixed(struct req *rq, struct zset *z, struct query *q, uint32_t *next)
{
    if (q->variant & GEO_SEARCH) {
        *next = q->key + 1;
        return true;
    }
    if (q->variant & GEO_RADIUS) {
        *next = 6;
        return arg_geo_point(rq, 2, &q->shape.center) &&
               parse_radius(rq, 4, &q->shape);
    }
    *next = 5;
    return z == NULL || (parse_member(rq, 2, z, &q->shape) &&
                         parse_radius(rq, 3, &q->shape));
}

static bool
check_query(struct req *rq, const struct query *q)
{
    bool is_search = q->variant & GEO_SEARCH;
    struct slice name = rq->argv[0];

    if (q->store != 0 && (q->with_distance || q->with_hash || q->with_point))
        reply_error(rq,
                    "%s is not compatible with WITHDIST, WITHHASH and "
                    "WITHCOORD options",
                    q->variant & GEO_STORE ? "GEOSEARCHSTORE"
                                           : "STORE option in GEORADIUS");
    else if (is_search && !q->has_member && !q->has_point)
        reply_error(rq,
                    "exactly one of FROMMEMBER or FROMLONLAT can be "
                    "specified for %.*s",
                    (int)name.len, (const char *)name.p);
    else if (is_search && !q->has_radius && !q->has_box)
        reply_error(rq,
                    "exactly one of BYRADIUS and BYBOX can be specified "
                    "for %.*s",
                    (int)name.len, (const char *)name.p);
    else if (q->any && q->count == 0)
        reply_error(rq, "the ANY argument requires COUNT argument");
    else
        return true;
    return false;
}

/* The nearest ones are meant, if only some are wanted. */
static bool
parse(struct req *rq, struct zset *z, struct query *q)
{
    uint32_t i;

    if (!parse_fixed(rq, z, q, &i))
        return false;
    for (; i < rq->argc; i++)
        if (!parse_option(rq, &i, z, q))
            return false;
    if (!check_query(rq, q))
        return false;
    if (q->count != 0 && !q->any && q->direction == UNSORTED)
        q->direction = ASCENDING;
    return true;
}

/* --- finding ------------------------------------------------------------- */

/* Distances are put with the sign by which they are sorted; the score stands
 * before the name. */
static void
put_found(struct search *s, const struct member *m, double distance)
{
    double key = s->q.direction == DESCENDING ? -distance : distance;

    buf_clear(&s->tagged);
    buf_put(&s->tagged, &m->score, sizeof m->score);
    buf_put_slice(&s->tagged, m->name);
    members_put(&s->found, buf_slice(&s->tagged), key);
}

static struct member
untagged(const struct member *found)
{
    struct member m = {slice_of(found->name.p + sizeof m.score,
                                found->name.len - sizeof m.score),
                       0};

    memcpy(&m.score, found->name.p, sizeof m.score);
    return m;
}

static bool
is_enough(const struct search *s)
{
    return (s->q.any && s->found.count >= (uint64_t)s->q.count) ||
           members_are_too_many(&s->found);
}

/* Members from where the search stands, to the end of its range; NQ_AGAIN: the
 * slice is used up. */
static nq_rc
look_in_range(struct req *rq, struct search *s, struct zset *z)
{
    double hi = (double)s->ranges[s->at_range].hi, distance;
    struct zset_cursor cu;
    nq_rc rc;

    zset_cursor_init(&cu, z);
    rc = zset_nth(&cu, s->at_rank);
    while (rc == NQ_OK && cu.valid && cu.at.score < hi && !is_enough(s)) {
        if (geo_is_within(&s->q.shape, geo_decode(cu.at.score), &distance))
            put_found(s, &cu.at, distance);
        if (++s->at_rank % LOOKS == 0 && req_should_yield(rq)) {
            rc = NQ_AGAIN;
            break;
        }
        rc = zset_next(&cu);
    }
    zset_cursor_fini(&cu);
    return rc;
}

static nq_rc
look(struct req *rq, struct search *s, struct zset *z)
{
    struct span span;
    nq_rc rc;

    for (; s->at_range < s->nranges && !is_enough(s); s->at_range++) {
        if (!s->has_rank) {
            struct score_range r = {(double)s->ranges[s->at_range].lo,
                                    (double)s->ranges[s->at_range].hi, false,
                                    true};

            if ((rc = zset_by_score(z, &r, &span)) != NQ_OK)
                return rc;
            if (span.n == 0)
                continue;
            s->at_rank = span.from;
            s->has_rank = true;
        }
        if ((rc = look_in_range(rq, s, z)) != NQ_OK)
            return rc;
        s->has_rank = false;
    }
    s->is_found = true;
    return NQ_OK;
}

static nq_rc
look_slice(struct req *rq, struct search *s)
{
    struct entry e;
    struct zset z;
    nq_rc rc;

    held_entry(&s->held, rq, &e);
    rc = zset_open(rq->db, rq->dbi, rq->argv[s->q.key], &e, true, &z);
    if (rc != NQ_OK)
        return rc;
    rc = look(rq, s, &z);
    zset_close(&z);
    return rc;
}

/* --- telling ------------------------------------------------------------- */

static uint64_t
wanted(const struct search *s)
{
    uint64_t n = s->found.count;

    return s->q.count == 0 ? n : nq_min(n, (uint64_t)s->q.count);
}

static double
distance_of(const struct query *q, const struct member *m)
{
    double metres = q->direction == DESCENDING ? -m->score : m->score;

    return metres / q->shape.unit;
}

/* What is beyond is the number that the processor has for it. */
static int64_t
hash_of(double score)
{
    bool fits = score >= (double)INT64_MIN && score < -(double)INT64_MIN;

    return fits ? (int64_t)score : INT64_MIN;
}

static void
tell_place(struct req *rq, const struct member *found, void *arg)
{
    const struct query *q = arg;
    unsigned options =
        (unsigned)q->with_distance + q->with_hash + q->with_point;
    struct member m = untagged(found);

    if (options > 0)
        reply_array(rq, options + 1);
    reply_bulk(rq, m.name);
    if (q->with_distance)
        reply_geo_distance(rq, distance_of(q, found));
    if (q->with_hash)
        reply_int(rq, hash_of(m.score));
    if (q->with_point)
        reply_geo_point(rq, geo_decode(m.score));
}

/* --- storing ------------------------------------------------------------- */

/* The first members found become the result, with the scores they get. */
static void
convert(struct search *s)
{
    uint64_t n = wanted(s);
    struct member found, m;

    for (uint64_t i = 0; i < n && members_next(&s->found, &found); i++) {
        m = untagged(&found);
        if (s->q.store_distance)
            m.score = distance_of(&s->q, &found);
        members_put(&s->result, m.name, m.score);
    }
    s->is_converted = true;
}

static nq_rc
store(struct req *rq, struct search *s)
{
    const char *event =
        s->q.variant & GEO_SEARCH ? "geosearchstore" : "georadiusstore";
    nq_rc rc;

    if (!s->is_converted)
        convert(s);
    rc = members_store(rq, &s->result, s->result.count, &s->staging,
                       rq->argv[s->q.store], event);
    if (rc == NQ_OK)
        reply_int(rq, (int64_t)s->result.count);
    return rc;
}

/* --- a run --------------------------------------------------------------- */

static nq_rc
finish(struct req *rq, struct search *s)
{
    nq_rc rc = NQ_OK;

    held_end(&s->held);
    if (members_refuse(rq, &s->found))
        return NQ_OK;
    if (s->q.direction != UNSORTED)
        rc = members_sort(rq, &s->found, TIE_AS_CAME);
    if (rc != NQ_OK)
        return rc;
    if (s->q.store != 0)
        return store(rq, s);
    (void)members_tell(rq, &s->found, wanted(s), wanted(s), tell_place, &s->q);
    return NQ_OK;
}

static void
go_on(struct req *rq)
{
    struct search *s;
    nq_rc rc = NQ_OK;

    NQ_CAST(s, rq->state, SEARCH_MAGIC);
    if (!s->is_found)
        rc = look_slice(rq, s);
    if (rc == NQ_OK)
        rc = finish(rq, s);
    if (rc == NQ_AGAIN)
        req_yield(rq);
    else if (rc != NQ_OK)
        reply_rc(rq, rc);
}

/* The first slice: the set is held only if there will be another one.  Closes
 * `z`: the result may replace it. */
static void
begin(struct req *rq, const struct query *q, const struct entry *e,
      struct zset *z)
{
    struct search *s = nq_calloc(1, sizeof *s);
    nq_rc rc, held = NQ_OK;

    s->magic = SEARCH_MAGIC;
    s->q = *q;
    s->nranges = geo_cover(&q->shape, s->ranges);
    members_init(&s->found, rq);
    members_init(&s->result, rq);
    rc = look(rq, s, z);
    if ((rc == NQ_AGAIN || rc == NQ_MISS) && !rq->in_multi)
        held = held_keep(&s->held, rq->db, e);
    zset_close(z);
    if (held != NQ_OK || (rc != NQ_OK && !s->held.is_kept)) {
        search_free(s);
        reply_rc(rq, held != NQ_OK ? held : rc);
        return;
    }
    rq->state = s;
    rq->free_state = search_free;
    if (rc == NQ_OK)
        go_on(rq);
    else if (rc == NQ_AGAIN)
        req_yield(rq);
    else
        reply_rc(rq, rc);
}

/* There is no set to look in. */
static void
answer_nothing(struct req *rq, const struct query *q)
{
    nq_rc rc = NQ_OK;

    if (q->store == 0) {
        reply_array(rq, 0);
        return;
    }
    rc = staging_delete(rq, rq->argv[q->store]);
    if (rc == NQ_OK)
        reply_int(rq, 0);
    else
        reply_rc(rq, rc);
}

static void
search(struct req *rq, unsigned variant)
{
    struct query q = {.variant = variant, .key = variant & GEO_STORE ? 2 : 1};
    struct entry e;
    struct zset z;
    bool found;

    if (rq->state != NULL) {
        go_on(rq);
        return;
    }
    q.store = variant & GEO_STORE ? 1 : 0;
    if (!zset_look_open(rq, q.key, &e, &found, &z))
        return;
    if (!parse(rq, found ? &z : NULL, &q)) {
        if (found)
            zset_close(&z);
    } else if (found) {
        begin(rq, &q, &e, &z);
    } else {
        answer_nothing(rq, &q);
    }
}

void
cmd_georadius(struct req *rq)
{
    search(rq, GEO_RADIUS);
}

void
cmd_georadius_ro(struct req *rq)
{
    search(rq, GEO_RADIUS | GEO_NOSTORE);
}

void
cmd_georadiusbymember(struct req *rq)
{
    search(rq, GEO_MEMBER);
}

void
cmd_georadiusbymember_ro(struct req *rq)
{
    search(rq, GEO_MEMBER | GEO_NOSTORE);
}

void
cmd_geosearch(struct req *rq)
{
    search(rq, GEO_SEARCH);
}

void
cmd_geosearchstore(struct req *rq)
{
    search(rq, GEO_SEARCH | GEO_STORE);
}
