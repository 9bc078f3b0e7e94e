/* cmd/cmd_geo.c - GEOADD, GEODIST, GEOHASH, GEOPOS.
 *
 * Places are members of a sorted set, whose scores are their 52 bits
 * (geohash.h). */
#include "cmd/cmd_geo.h"

#include <stdio.h>

#include "base/check.h"
#include "cmd/args.h"
#include "cmd/cmd_zset.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/session.h"

/* --- arguments and replies ----------------------------------------------- */

bool
arg_geo_point(struct req *rq, uint32_t i, struct geo_point *out)
{
    if (!arg_double(rq, i, NULL, &out->lon) ||
        !arg_double(rq, i + 1, NULL, &out->lat))
        return false;
    if (geo_is_on_map(*out))
        return true;
    reply_error(rq, "-ERR invalid longitude,latitude pair %f,%f", out->lon,
                out->lat);
    return false;
}

bool
arg_geo_unit(struct req *rq, uint32_t i, double *out)
{
    static const struct {
        const char *word;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};

    for (size_t u = 0; u < nq_countof(units); u++) {
        if (slice_is(rq->argv[i], units[u].word)) {
            *out = units[u].metres;
            return true;
        }
    }
    reply_error(rq, "unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

void
reply_geo_distance(struct req *rq, double distance)
{
    reply_bulk_printf(rq, "%.4f", distance);
}

/* With 17 digits behind the point, but no zeroes at the end. */
static void
reply_degrees(struct req *rq, double v)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%.17Lf", (long double)v);

    while (text[n - 1] == '0')
        n--;
    n -= text[n - 1] == '.';
    if (rq->s->resp > 2)
        reply_raw(rq, slice_lit(","));
    if (rq->s->resp == 2)
        reply_bulk(rq, slice_of(text, (size_t)n));
    else
        reply_raw(rq, slice_of(text, (size_t)n));
    if (rq->s->resp > 2)
        reply_raw(rq, slice_lit("\r\n"));
}

void
reply_geo_point(struct req *rq, struct geo_point p)
{
    reply_array(rq, 2);
    reply_degrees(rq, p.lon);
    reply_degrees(rq, p.lat);
}

/* --- GEOADD -------------------------------------------------------------- */

static struct member *
parse_places(struct req *rq, uint32_t first, uint32_t n)
{
    struct member *members = arena_alloc(rq->arena, (n + 1) * sizeof *members);
    struct geo_point p;

    for (uint32_t i = 0; i < n; i++) {
        if (!arg_geo_point(rq, first + 3 * i, &p))
            return NULL;
        members[i].score = (double)geo_encode(p);
        members[i].name = rq->argv[first + 3 * i + 2];
    }
    return members;
}

static void
add_places(struct req *rq, uint32_t first, unsigned flags, bool count_changes)
{
    uint32_t n = (rq->argc - first) / 3;
    struct member *members = parse_places(rq, first, n);
    struct zset_added out;
    struct entry e;
    nq_rc rc;

    if (members == NULL)
        return;
    if (n == 0) { /* as ZADD would */
        reply_syntax(rq);
        return;
    }
    rc = req_find_type(rq, 1, DB_ZSET, true, &e);
    if (rc == NQ_OK || rc == NQ_NOTFOUND)
        rc = zset_add(rq->db, rq->dbi, rq->argv[1], &e, rc == NQ_OK, members, n,
                      flags, "zadd", &out);
    if (rc == NQ_OK)
        reply_int(rq, (int64_t)(out.added + (count_changes ? out.updated : 0)));
    else
        reply_rc(rq, rc);
}

void
cmd_geoadd(struct req *rq)
{
    bool count_changes = false;
    unsigned flags = 0;
    uint32_t i;

    for (i = 2; i < rq->argc; i++) {
        if (slice_is(rq->argv[i], "NX"))
            flags |= ZSET_NX;
        else if (slice_is(rq->argv[i], "XX"))
            flags |= ZSET_XX;
        else if (slice_is(rq->argv[i], "CH"))
            count_changes = true;
        else
            break;
    }
    if ((rq->argc - i) % 3 != 0 || (flags & ZSET_NX && flags & ZSET_XX))
        reply_syntax(rq);
    else
        add_places(rq, i, flags, count_changes);
}

/* --- reading ------------------------------------------------------------- */

void
cmd_geodist(struct req *rq)
{
    double a = 0, b = 0, unit = 1;
    struct entry e;
    struct zset z;
    bool found;
    nq_rc rc = NQ_NOTFOUND;

    if (rq->argc > 5) {
        reply_syntax(rq);
        return;
    }
    if ((rq->argc == 5 && !arg_geo_unit(rq, 4, &unit)) ||
        !zset_look_open(rq, 1, &e, &found, &z))
        return;
    if (found) {
        rc = zset_score(&z, rq->argv[2], &a);
        if (rc == NQ_OK)
            rc = zset_score(&z, rq->argv[3], &b);
        zset_close(&z);
    }
    if (rc == NQ_OK)
        reply_geo_distance(rq,
                           geo_distance(geo_decode(a), geo_decode(b)) / unit);
    else if (rc == NQ_NOTFOUND)
        reply_null(rq);
    else
        reply_rc(rq, rc);
}

static void
tell_text(struct req *rq, struct geo_point p)
{
    char text[GEO_TEXT];

    geo_text(p, text);
    reply_bulk(rq, slice_of(text, sizeof text));
}

/* An array of what `tell` puts for each member named. */
static void
tell_places(struct req *rq, void (*tell)(struct req *rq, struct geo_point p),
            void (*tell_none)(struct req *rq))
{
    uint64_t mark = reply_mark(rq);
    double score = 0;
    struct entry e;
    struct zset z;
    bool found;
    nq_rc rc = NQ_OK;

    if (!zset_look_open(rq, 1, &e, &found, &z))
        return;
    reply_array(rq, rq->argc - 2);
    for (uint32_t i = 2; i < rq->argc; i++) {
        rc = found ? zset_score(&z, rq->argv[i], &score) : NQ_NOTFOUND;
        if (rc == NQ_OK)
            tell(rq, geo_decode(score));
        else if (rc == NQ_NOTFOUND)
            tell_none(rq);
        else
            break;
        rc = NQ_OK;
    }
    if (found)
        zset_close(&z);
    if (rc != NQ_OK)
        reply_rc_from(rq, mark, rc);
}

void
cmd_geohash(struct req *rq)
{
    tell_places(rq, tell_text, reply_null);
}

void
cmd_geopos(struct req *rq)
{
    tell_places(rq, reply_geo_point, reply_null_array);
}
