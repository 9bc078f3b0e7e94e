/* cmd/geohash.h - places on the earth as numbers, and what is near.
 *
 * Pure functions; any thread.  A place is kept as 52 bits, 26 of its latitude
 * and 26 of its longitude by turns, so that a rectangle of the map is a range
 * of numbers.  Every computation is done as Redis does it, step by step:
 * results agree to the last bit. */
#ifndef NQ_CMD_GEOHASH_H
#define NQ_CMD_GEOHASH_H

#include <stdbool.h>
#include <stdint.h>

#define GEO_LON_MAX 180.0
#define GEO_LAT_MAX 85.05112878 /* of the Mercator map */
#define GEO_STEPS 26            /* bits of each coordinate */
#define GEO_TEXT 11             /* characters of a geohash */

struct geo_point {
    double lon, lat; /* degrees */
};

bool geo_is_on_map(struct geo_point p);
/* The 52 bits of a point on the map, and the middle of what they stand for.
 * Any score has some point. */
uint64_t geo_encode(struct geo_point p);
struct geo_point geo_decode(double score);
/* The geohash that others know, GEO_TEXT characters without an end. */
void geo_text(struct geo_point p, char dst[GEO_TEXT]);

/* Metres along the surface. */
double geo_distance(struct geo_point a, struct geo_point b);

/* What is searched: a circle or a box that stands upright on the map. */
struct geo_shape {
    struct geo_point center;
    bool is_box;
    double radius;        /* of a circle */
    double width, height; /* of a box */
    double unit;          /* metres that one of these lengths is */
};

/* Whether a point is in it; *distance: from the center, in metres. */
bool geo_is_within(const struct geo_shape *s, struct geo_point p,
                   double *distance);

/* Scores lo <= score < hi. */
struct geo_range {
    uint64_t lo, hi;
};
#define GEO_RANGES 9
/* Ranges that cover the shape, in the order in which Redis looks at them;
 * returns how many. */
unsigned geo_cover(const struct geo_shape *s, struct geo_range out[GEO_RANGES]);

#endif
