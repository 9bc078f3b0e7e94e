/* cmd/geohash.c - places as numbers.
 *
 * A cell is a rectangle of the map: `steps` bits of the latitude at the even
 * places of its bits, as many of the longitude at the odd ones.  To search a
 * shape, cells are taken so large that the one around the center and its
 * eight neighbours cover the shape; each is a range of scores.
 *
 * That a result agrees with Redis' depends on the order of operations below,
 * so none of them may be rearranged.  Called by cmd_geo*.c. */
#include "cmd/geohash.h"

#include <math.h>

#define EARTH_RADIUS_M 6372797.560856
#define MERCATOR_MAX_M 20037726.37 /* half of the equator */
#define RADIANS (M_PI / 180.0)
#define LON_BITS UINT64_C(0xaaaaaaaaaaaaaaaa)
#define LAT_BITS UINT64_C(0x5555555555555555)
#define TWO_TO_63 9223372036854775808.0

struct extent { /* of one coordinate */
    double min, max;
};

struct area {
    struct extent lon, lat;
};

struct cell {
    uint64_t bits;
    unsigned steps;
};

static const struct area map = {{-GEO_LON_MAX, GEO_LON_MAX},
                                {-GEO_LAT_MAX, GEO_LAT_MAX}};

/* --- bits ---------------------------------------------------------------- */

/* Each bit moves to twice its place. */
static uint64_t
spread(uint32_t v)
{
    uint64_t x = v;

    x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    x = (x | x << 2) & UINT64_C(0x3333333333333333);
    return (x | x << 1) & LAT_BITS;
}

static uint32_t
gather(uint64_t x)
{
    x &= LAT_BITS;
    x = (x | x >> 1) & UINT64_C(0x3333333333333333);
    x = (x | x >> 2) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    x = (x | x >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (uint32_t)(x | x >> 16);
}

/* A score as bits, as the processor converts it: what is too great becomes
 * the highest bit alone, or nothing. */
static uint64_t
bits_of_score(double score)
{
    if (score >= TWO_TO_63)
        return score >= 2 * TWO_TO_63 ? 0 : (uint64_t)score;
    if (!(score >= -TWO_TO_63))
        return UINT64_C(1) << 63;
    return (uint64_t)(int64_t)score;
}

/* --- points and cells ---------------------------------------------------- */

bool
geo_is_on_map(struct geo_point p)
{
    return p.lon >= -GEO_LON_MAX && p.lon <= GEO_LON_MAX &&
           p.lat >= -GEO_LAT_MAX && p.lat <= GEO_LAT_MAX;
}

static uint32_t
fixed_point(double v, struct extent e, unsigned steps)
{
    double offset = (v - e.min) / (e.max - e.min);

    offset *= (double)(UINT64_C(1) << steps);
    return (uint32_t)offset;
}

static struct cell
cell_of(struct geo_point p, const struct area *of, unsigned steps)
{
    uint64_t lat = spread(fixed_point(p.lat, of->lat, steps));
    uint64_t lon = spread(fixed_point(p.lon, of->lon, steps));

    return (struct cell){lat | lon << 1, steps};
}

static struct extent
extent_of(uint32_t v, struct extent e, unsigned steps)
{
    double scale = e.max - e.min, cells = (double)(UINT64_C(1) << steps);

    return (struct extent){e.min + (v * 1.0 / cells) * scale,
                           e.min + ((uint32_t)(v + 1) * 1.0 / cells) * scale};
}

static struct area
area_of(struct cell c)
{
    return (struct area){extent_of(gather(c.bits >> 1), map.lon, c.steps),
                         extent_of(gather(c.bits), map.lat, c.steps)};
}

static double
clamp(double v, double max)
{
    return v > max ? max : v < -max ? -max : v;
}

static struct geo_point
middle_of(struct cell c)
{
    struct area a = area_of(c);

    return (struct geo_point){clamp((a.lon.min + a.lon.max) / 2, GEO_LON_MAX),
                              clamp((a.lat.min + a.lat.max) / 2, GEO_LAT_MAX)};
}

uint64_t
geo_encode(struct geo_point p)
{
    return cell_of(p, &map, GEO_STEPS).bits;
}

struct geo_point
geo_decode(double score)
{
    return middle_of((struct cell){bits_of_score(score), GEO_STEPS});
}

/* Others divide the latitudes from pole to pole.  There are 52 bits for the 55
 * of the text: its last character says nothing. */
void
geo_text(struct geo_point p, char dst[GEO_TEXT])
{
    static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    static const struct area globe = {{-180, 180}, {-90, 90}};
    uint64_t bits = cell_of(p, &globe, GEO_STEPS).bits;

    for (unsigned i = 0; i + 1 < GEO_TEXT; i++)
        dst[i] = alphabet[bits >> (47 - 5 * i) & 31];
    dst[GEO_TEXT - 1] = alphabet[0];
}

/* --- distances ----------------------------------------------------------- */

static double
radians(double degrees)
{
    return degrees * RADIANS;
}

static double
degrees(double v)
{
    return v / RADIANS;
}

static double
distance_of_latitudes(double a, double b)
{
    return EARTH_RADIUS_M * fabs(radians(b) - radians(a));
}

/* Haversine. */
double
geo_distance(struct geo_point p, struct geo_point q)
{
    double v = sin((radians(q.lon) - radians(p.lon)) / 2), u, a, lat_p, lat_q;

    if (v == 0.0)
        return distance_of_latitudes(p.lat, q.lat);
    lat_p = radians(p.lat);
    lat_q = radians(q.lat);
    u = sin((lat_q - lat_p) / 2);
    a = u * u + cos(lat_p) * cos(lat_q) * v * v;
    return 2.0 * EARTH_RADIUS_M * asin(sqrt(a));
}

bool
geo_is_within(const struct geo_shape *s, struct geo_point p, double *distance)
{
    struct geo_point beside = {s->center.lon, p.lat};

    if (!s->is_box) {
        *distance = geo_distance(s->center, p);
        return !(*distance > s->radius * s->unit);
    }
    if (distance_of_latitudes(p.lat, s->center.lat) > s->height * s->unit / 2 ||
        geo_distance(p, beside) > s->width * s->unit / 2)
        return false;
    *distance = geo_distance(s->center, p);
    return true;
}

/* --- covering a shape ---------------------------------------------------- */

/* The rectangle of the map around it; its sides are those at the edge that is
 * nearer to the pole, or for circles south of the equator as Redis has it. */
static struct area
bounds_of(const struct geo_shape *s)
{
    double height = s->unit * (s->is_box ? s->height / 2 : s->radius);
    double width = s->unit * (s->is_box ? s->width / 2 : s->radius);
    double lat_delta = degrees(height / EARTH_RADIUS_M);
    double edge = s->center.lat < 0 ? s->center.lat - lat_delta
                                    : s->center.lat + lat_delta;
    double lon_delta = degrees(width / EARTH_RADIUS_M / cos(radians(edge)));

    return (struct area){
        {s->center.lon - lon_delta, s->center.lon + lon_delta},
        {s->center.lat - lat_delta, s->center.lat + lat_delta}};
}

/* How many bits cells of about that radius have; farther from the equator
 * they are narrower. */
static unsigned
steps_for(double radius_m, double lat)
{
    int steps = 1;

    if (radius_m == 0)
        return GEO_STEPS;
    for (; radius_m < MERCATOR_MAX_M; radius_m *= 2)
        steps++;
    steps -= 2;
    if (lat > 66 || lat < -66)
        steps--;
    if (lat > 80 || lat < -80)
        steps--;
    return steps < 1 ? 1 : steps > GEO_STEPS ? GEO_STEPS : (unsigned)steps;
}

/* The cell that is so many cells to the east and to the north; the map goes
 * on at its other side. */
static struct cell
neighbour(struct cell c, int east, int north)
{
    unsigned unused = 64 - 2 * c.steps;
    uint64_t lon = c.bits & LON_BITS, lat = c.bits & LAT_BITS;
    uint64_t lat_mask = LAT_BITS >> unused, lon_mask = LON_BITS >> unused;

    if (east > 0)
        lon = (lon + lat_mask + 1) & lon_mask;
    else if (east < 0)
        lon = ((lon | lat_mask) - (lat_mask + 1)) & lon_mask;
    if (north > 0)
        lat = (lat + lon_mask + 1) & lat_mask;
    else if (north < 0)
        lat = ((lat | lon_mask) - (lon_mask + 1)) & lat_mask;
    return (struct cell){lon | lat, c.steps};
}

/* Whether the neighbours do not reach as far as the shape does. */
static bool
is_too_small(struct cell c, const struct area *bounds)
{
    return area_of(neighbour(c, 0, 1)).lat.max < bounds->lat.max ||
           area_of(neighbour(c, 0, -1)).lat.min > bounds->lat.min ||
           area_of(neighbour(c, 1, 0)).lon.max < bounds->lon.max ||
           area_of(neighbour(c, -1, 0)).lon.min > bounds->lon.min;
}

static struct cell
choose_cell(const struct geo_shape *s, const struct area *bounds)
{
    double w = s->width / 2, h = s->height / 2;
    double radius = s->is_box ? sqrt(w * w + h * h) : s->radius;
    unsigned steps = steps_for(radius * s->unit, s->center.lat);
    struct cell c = cell_of(s->center, &map, steps);

    if (steps > 1 && is_too_small(c, bounds))
        c = cell_of(s->center, &map, steps - 1);
    return c;
}

/* Whether the shape does not reach into the neighbour at that side. */
static bool
is_out_of_reach(const struct area *center, const struct area *bounds, int east,
                int north)
{
    return (north < 0 && center->lat.min < bounds->lat.min) ||
           (north > 0 && center->lat.max > bounds->lat.max) ||
           (east < 0 && center->lon.min < bounds->lon.min) ||
           (east > 0 && center->lon.max > bounds->lon.max);
}

unsigned
geo_cover(const struct geo_shape *s, struct geo_range out[GEO_RANGES])
{
    static const struct {
        int east, north;
    } sides[GEO_RANGES] = {{0, 0}, {0, 1},  {0, -1}, {1, 0},  {-1, 0},
                           {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    struct area bounds = bounds_of(s), center;
    struct cell c = choose_cell(s, &bounds), one, last = {0, 0};
    unsigned align = 2 * (GEO_STEPS - c.steps), n = 0;

    center = area_of(c);
    for (unsigned i = 0; i < GEO_RANGES; i++) {
        if (c.steps >= 2 &&
            is_out_of_reach(&center, &bounds, sides[i].east, sides[i].north))
            continue;
        one = neighbour(c, sides[i].east, sides[i].north);
        /* Where cells are as large as half the map, two sides are the same. */
        if (last.steps != 0 && one.bits == last.bits)
            continue;
        out[n++] =
            (struct geo_range){one.bits << align, (one.bits + 1) << align};
        if (i > 0)
            last = one;
    }
    return n;
}
