/* Places: the numbers they become, searches against looking at all of them,
 * exact replies and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/two_clients.h"
#include "base/check.h"
#include "base/rng.h"
#include "cmd/geohash.h"
#include "cmd/notify.h"

#define POINTS 3000

static int
setup(void **state)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&two_clients_begin(state, 64 << 20)->rng, seed);
    return 0;
}

static double
between(struct rng *rng, double lo, double hi)
{
    return lo + rng_double(rng) * (hi - lo);
}

/* --- numbers ------------------------------------------------------------- */

static void
places_have_the_numbers_that_others_know(void **state)
{
    static const struct {
        struct geo_point p;
        uint64_t bits;
        const char *text;
    } known[] = {{{13.361389, 38.115556}, 3479099956230698, "sqc8b49rny0"},
                 {{15.087269, 37.502669}, 3479447370796909, "sqdtr74hyu0"}};

    (void)state;
    for (size_t i = 0; i < nq_countof(known); i++) {
        char text[GEO_TEXT];

        assert_int_equal(geo_encode(known[i].p), known[i].bits);
        geo_text(geo_decode((double)known[i].bits), text);
        assert_memory_equal(text, known[i].text, GEO_TEXT);
    }
}

static void
a_place_comes_back_within_a_metre(void **state)
{
    struct two_clients *w = *state;

    for (int i = 0; i < 20000; i++) {
        struct geo_point p = {between(&w->rng, -180, 180),
                              between(&w->rng, -85, 85)};
        struct geo_point q = geo_decode((double)geo_encode(p));

        assert_true(geo_is_on_map(q));
        assert_true(geo_distance(p, q) < 1);
    }
}

static void
any_score_has_a_place_on_the_map(void **state)
{
    static const double odd[] = {-1,  0,     -0.5,     1e300, -1e300,
                                 0.5, 1e19,  INFINITY, 3e18,  -INFINITY,
                                 1e9, 2e301, 9.3e18};

    (void)state;
    for (size_t i = 0; i < nq_countof(odd); i++)
        assert_true(geo_is_on_map(geo_decode(odd[i])));
}

/* Every point within a shape has its number in one of the ranges.  Far in the
 * north and south, and across the date line, cells do not reach as far. */
static void
ranges_cover_the_shape(void **state)
{
    struct two_clients *w = *state;

    for (int i = 0; i < 3000; i++) {
        struct geo_shape s = {
            .center = {between(&w->rng, -150, 150), between(&w->rng, -60, 60)},
            .is_box = rng_below(&w->rng, 2),
            .radius = between(&w->rng, 0, 900),
            .width = between(&w->rng, 0, 1500),
            .height = between(&w->rng, 0, 1500),
            .unit = 1000};
        struct geo_range ranges[GEO_RANGES];
        unsigned n = geo_cover(&s, ranges);

        for (int k = 0; k < 20; k++) {
            struct geo_point p = {s.center.lon + between(&w->rng, -12, 12),
                                  s.center.lat + between(&w->rng, -9, 9)};
            uint64_t bits = geo_encode(p);
            bool is_covered = false;
            double distance;

            for (unsigned r = 0; r < n; r++)
                is_covered |= bits >= ranges[r].lo && bits < ranges[r].hi;
            assert_true(
                is_covered ||
                !geo_is_within(&s, geo_decode((double)bits), &distance));
        }
    }
}

/* --- replies ------------------------------------------------------------- */

static void
places_are_added_and_read(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(
        c, "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        ":2|");
    fake_expect(
        c, "GEOADD g CH 13.361389 38.2 Palermo 13.583333 37.316667 Agrigento",
        ":2|");
    fake_expect(c, "GEOADD g NX 1 1 Palermo", ":0|");
    fake_expect(c, "GEOADD g XX 1 1 none", ":0|");
    fake_expect(c, "GEOADD g 181 0 x",
                "-ERR invalid longitude,latitude pair 181.000000,0.000000|");
    fake_expect(c, "GEOADD g 0 86 x",
                "-ERR invalid longitude,latitude pair 0.000000,86.000000|");
    fake_expect(c, "GEOADD g x 0 x", "-ERR value is not a valid float|");
    fake_expect(c, "GEOADD g 1 1 a 2", "-ERR syntax error|");
    fake_expect(c, "GEOADD g NX XX 1 1 a", "-ERR syntax error|");
    fake_expect(c, "GEOADD g NX CH XX", "-ERR syntax error|");
    fake_expect(c, "GEODIST g Palermo Catania", "$11|170262.6445|");
    fake_expect(c, "GEODIST g Palermo Catania km", "$8|170.2626|");
    fake_expect(c, "GEODIST g Palermo Catania mi", "$8|105.7966|");
    fake_expect(c, "GEODIST g Palermo Catania FT", "$11|558604.4766|");
    fake_expect(c, "GEODIST g Palermo Catania x",
                "-ERR unsupported unit provided. please use M, KM, FT, MI|");
    fake_expect(c, "GEODIST g Palermo none", "$-1|");
    fake_expect(c, "GEODIST none a b", "$-1|");
    fake_expect(c, "GEODIST g a b m x", "-ERR syntax error|");
    fake_expect(c, "GEOHASH g Palermo none Catania",
                "*3|$11|sqc92417nu0|$-1|$11|sqdtr74hyu0|");
    fake_expect(c, "GEOHASH none a", "*1|$-1|");
    fake_expect(c, "GEOHASH g", "*0|");
    fake_expect(c, "GEOPOS g Palermo none Catania",
                "*3|*2|$20|13.36138933897018433|$19|38.2000006309196749|*-1|*2|"
                "$20|15.08726745843887329|$20|37.50266842333162032|");
    fake_expect(c, "GEOPOS none a", "*1|*-1|");
    fake_expect(c, "ZSCORE g Palermo", "$16|3479101030759983|");
    fake_expect(c, "SET s v", "+OK|");
    fake_expect(
        c, "GEOADD s 1 1 a",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    fake_expect(
        c, "GEODIST s a b",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    fake_expect(
        c, "GEOPOS s a",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    fake_expect(
        c, "GEOSEARCH s FROMLONLAT 1 1 BYRADIUS 1 m",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
}

static void
searches_answer_as_redis_does(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c,
                "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 "
                "Catania 12.758489 38.788135 edge1 17.241510 38.788135 edge2",
                ":4|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC",
                "*2|$7|Catania|$7|Palermo|");
    fake_expect(
        c,
        "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST "
        "WITHHASH",
        "*4|*4|$7|Catania|$7|56.4413|:3479447370796909|*2|$20|15."
        "08726745843887329|$20|37.50266842333162032|*4|$7|Palermo|$8|190.4424|:"
        "3479099956230698|*2|$20|13.36138933897018433|$20|38.11555639549629859|"
        "*4|$5|edge2|$8|279.7403|:3481342659049484|*2|$20|17.24151045083999634|"
        "$20|38.78813451624225195|*4|$5|edge1|$8|279.7405|:3479273021651468|*2|"
        "$19|12.7584877610206604|$20|38.78813451624225195|");
    fake_expect(c,
                "GEOSEARCH g FROMMEMBER Palermo BYRADIUS 200 km DESC WITHDIST",
                "*3|*2|$7|Catania|$8|166.2742|*2|$5|edge1|$7|91.4007|*2|$7|"
                "Palermo|$6|0.0000|");
    fake_expect(c, "GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1000 mi COUNT 2",
                "*2|$7|Palermo|$5|edge1|");
    fake_expect(c,
                "GEOSEARCH g FROMMEMBER Palermo BYRADIUS 1000 mi COUNT 1 ANY",
                "*1|$7|Palermo|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 0 0 BYRADIUS 1 m", "*0|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 40000 km ASC",
                "*4|$7|Catania|$7|Palermo|$5|edge2|$5|edge1|");
    fake_expect(c, "GEORADIUS g 15 37 200 km WITHDIST ASC",
                "*2|*2|$7|Catania|$7|56.4413|*2|$7|Palermo|$8|190.4424|");
    fake_expect(c, "GEORADIUS_RO g 15 37 200 km ASC",
                "*2|$7|Catania|$7|Palermo|");
    fake_expect(c, "GEORADIUSBYMEMBER g Palermo 200 km ASC",
                "*3|$7|Palermo|$5|edge1|$7|Catania|");
    fake_expect(
        c, "GEORADIUSBYMEMBER_RO g Palermo 200 km WITHCOORD ASC",
        "*3|*2|$7|Palermo|*2|$20|13.36138933897018433|$20|38.11555639549629859|"
        "*2|$5|edge1|*2|$19|12.7584877610206604|$20|38.78813451624225195|*2|$7|"
        "Catania|*2|$20|15.08726745843887329|$20|37.50266842333162032|");
}

static void
searches_are_stored(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c,
                "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 "
                "Catania 12.758489 38.788135 edge1 17.241510 38.788135 edge2",
                ":4|");
    fake_expect(c, "GEORADIUS g 15 37 200 km STORE to", ":2|");
    fake_expect(
        c, "ZRANGE to 0 -1 WITHSCORES",
        "*4|$7|Palermo|$16|3479099956230698|$7|Catania|$16|3479447370796909|");
    fake_expect(c, "GEORADIUS g 15 37 200 km STOREDIST to", ":2|");
    fake_expect(c, "ZRANGE to 0 -1 WITHSCORES",
                "*4|$7|Catania|$18|56.441257870158204|$7|Palermo|$18|190."
                "44242984775784|");
    fake_expect(c,
                "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYBOX 400 400 km COUNT 3",
                ":3|");
    fake_expect(c, "ZRANGE to 0 -1 WITHSCORES",
                "*6|$7|Palermo|$16|3479099956230698|$7|Catania|$16|"
                "3479447370796909|$5|edge2|$16|3481342659049484|");
    fake_expect(
        c, "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST",
        ":2|");
    fake_expect(c, "ZRANGE to 0 -1 WITHSCORES",
                "*4|$7|Catania|$18|56.441257870158204|$7|Palermo|$18|190."
                "44242984775784|");
    fake_expect(c, "GEOSEARCHSTORE to g FROMLONLAT 0 0 BYRADIUS 1 m", ":0|");
    fake_expect(c, "EXISTS to", ":0|");
    fake_expect(c, "GEOSEARCHSTORE to none FROMLONLAT 0 0 BYRADIUS 1 m", ":0|");
}

static void
mistakes_are_answered_as_redis_does(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c,
                "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 "
                "Catania 12.758489 38.788135 edge1 17.241510 38.788135 edge2",
                ":4|");
    fake_expect(c, "GEORADIUS none 1 1 1 km", "*0|");
    fake_expect(c, "GEORADIUSBYMEMBER none x 1 km", "*0|");
    fake_expect(c, "GEOSEARCH g FROMMEMBER none BYRADIUS 1 km",
                "-ERR could not decode requested zset member|");
    fake_expect(c, "GEORADIUSBYMEMBER g none 1 km",
                "-ERR could not decode requested zset member|");
    fake_expect(c, "GEORADIUS g 15 37 x km", "-ERR need numeric radius|");
    fake_expect(c, "GEORADIUS g 15 37 -1 km",
                "-ERR radius cannot be negative|");
    fake_expect(c, "GEORADIUS g 15 37 1 x",
                "-ERR unsupported unit provided. please use M, KM, FT, MI|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 BYBOX x 1 km",
                "-ERR need numeric width|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 BYBOX 1 x km",
                "-ERR need numeric height|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 BYBOX 1 -1 km",
                "-ERR height or width cannot be negative|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km COUNT 0",
                "-ERR COUNT must be > 0|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km COUNT x",
                "-ERR value is not an integer or out of range|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km ANY",
                "-ERR the ANY argument requires COUNT argument|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 ASC ASC ASC",
                "-ERR exactly one of BYRADIUS and BYBOX can be specified for "
                "GEOSEARCH|");
    fake_expect(c, "GEOSEARCH g BYRADIUS 1 km ASC ASC ASC",
                "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified "
                "for GEOSEARCH|");
    fake_expect(c,
                "GEOSEARCH g FROMLONLAT 15 37 FROMMEMBER Palermo BYRADIUS 1 km",
                "-ERR syntax error|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km STORE to",
                "-ERR syntax error|");
    fake_expect(c,
                "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYRADIUS 1 km WITHDIST",
                "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH "
                "and WITHCOORD options|");
    fake_expect(c, "GEORADIUS g 15 37 1 km STORE to WITHDIST",
                "-ERR STORE option in GEORADIUS is not compatible with "
                "WITHDIST, WITHHASH and WITHCOORD options|");
    fake_expect(c, "GEORADIUS_RO g 15 37 1 km STORE to", "-ERR syntax error|");
    fake_expect(c, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 km x",
                "-ERR syntax error|");
}

static void
resp3_has_doubles_for_coordinates(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    (void)fake_ask(c, "HELLO 3");
    fake_expect(c, "GEOADD g 13.361389 38.115556 Palermo", ":1|");
    fake_expect(c, "GEOPOS g Palermo none",
                "*2|*2|,13.36138933897018433|,38.11555639549629859|_|");
    fake_expect(c, "GEODIST g Palermo Palermo", "$6|0.0000|");
    fake_expect(c,
                "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km WITHDIST "
                "WITHCOORD WITHHASH",
                "*1|*4|$7|Palermo|$8|190.4424|:3479099956230698|*2|,13."
                "36138933897018433|,38.11555639549629859|");
}

static void
stored_searches_are_told(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    (void)fake_ask(c, "GEOADD g 13 38 a");
    assert_true(notify_parse(slice_lit("Ez"), &w->env.e->limits.notify));
    (void)fake_ask(&w->other, "PSUBSCRIBE *");
    (void)fake_ask(c, "GEORADIUS g 13 38 1 km STORE x");
    assert_string_equal(fake_read(&w->other),
                        "*4|$8|pmessage|$1|*|$29|__keyevent@0__:georadiusstore"
                        "|$1|x|");
    (void)fake_ask(c, "GEOSEARCHSTORE x g FROMMEMBER a BYRADIUS 1 km");
    assert_string_equal(fake_read(&w->other),
                        "*4|$8|pmessage|$1|*|$29|__keyevent@0__:geosearchstore"
                        "|$1|x|");
    (void)fake_ask(c, "GEOADD g 13 37 b");
    assert_string_equal(fake_read(&w->other),
                        "*4|$8|pmessage|$1|*|$19|__keyevent@0__:zadd|$1|g|");
}

/* --- many places --------------------------------------------------------- */

static unsigned
count_within(const struct geo_shape *s, const double *scores)
{
    unsigned n = 0;
    double distance;

    for (unsigned i = 0; i < POINTS; i++)
        n += geo_is_within(s, geo_decode(scores[i]), &distance);
    return n;
}

/* Turns until the command is done; the number that the reply begins with. */
static unsigned
ask_number(struct two_clients *w, const char *line)
{
    fake_send(&w->c, line);
    fake_finish(&w->c);
    return (unsigned)strtoul(fake_read(&w->c) + 1, NULL, 10);
}

static void
search_line(const struct geo_shape *s, char line[200])
{
    int at = snprintf(line, 200, "GEOSEARCH g FROMLONLAT %.17g %.17g ",
                      s->center.lon, s->center.lat);

    if (s->is_box)
        snprintf(line + at, 200 - (size_t)at, "BYBOX %.17g %.17g km ASC",
                 s->width, s->height);
    else
        snprintf(line + at, 200 - (size_t)at, "BYRADIUS %.17g km DESC",
                 s->radius);
}

static void
searches_find_all_that_is_within(void **state)
{
    static double scores[POINTS];
    struct two_clients *w = *state;
    char line[200];

    for (unsigned i = 0; i < POINTS; i++) {
        struct geo_point p = {between(&w->rng, 10, 16),
                              between(&w->rng, 35, 40)};

        scores[i] = (double)geo_encode(p);
        snprintf(line, sizeof line, "GEOADD g %.17g %.17g p%u", p.lon, p.lat,
                 i);
        fake_expect(&w->c, line, ":1|");
    }
    engine_env_cool(&w->env);
    for (int i = 0; i < 40; i++) {
        struct geo_shape s = {
            .center = {between(&w->rng, 10, 16), between(&w->rng, 35, 40)},
            .is_box = i % 2,
            .radius = between(&w->rng, 0, 400),
            .width = between(&w->rng, 0, 600),
            .height = between(&w->rng, 0, 600),
            .unit = 1000};

        search_line(&s, line);
        assert_int_equal(ask_number(w, line), count_within(&s, scores));
    }
    assert_int_equal(
        ask_number(w, "GEOSEARCH g FROMLONLAT 13 37 BYRADIUS 9000 mi"), POINTS);
    assert_int_equal(
        ask_number(w, "GEOSEARCHSTORE to g FROMLONLAT 13 37 BYRADIUS 5000 km"),
        POINTS);
    fake_expect(&w->c, "ZCARD to", ":3000|");
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, two_clients_end)
    const struct CMUnitTest tests[] = {
        T(places_have_the_numbers_that_others_know),
        T(a_place_comes_back_within_a_metre),
        T(any_score_has_a_place_on_the_map),
        T(ranges_cover_the_shape),
        T(places_are_added_and_read),
        T(searches_answer_as_redis_does),
        T(searches_are_stored),
        T(mistakes_are_answered_as_redis_does),
        T(resp3_has_doubles_for_coordinates),
        T(stored_searches_are_told),
        T(searches_find_all_that_is_within),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
