/* codec/numeric_date.c - year, month, day, hour, minute and second, six
 * columns of a table, as one number that rises evenly.
 *
 * The number is days since 1970-01-01, or minutes, or seconds in the units of
 * the column of seconds.  Days and dates are converted as the Gregorian
 * calendar goes in both directions; the year begins with March, which puts the
 * leap day at its end. */
#include "codec/numeric_int.h"

#include "base/check.h"

#define DAYS_OF_400_YEARS 146097
#define DAYS_TO_1970 719468 /* from 0000-03-01 */
#define YEAR_MIN 1600
#define YEAR_MAX 2600

static int64_t
floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t
days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t from_march = (month + 9) % 12, era, of_era;

    year -= month <= 2;
    era = floor_divide(year, 400);
    of_era = year - era * 400;
    return era * DAYS_OF_400_YEARS + of_era * 365 + of_era / 4 - of_era / 100 +
           (153 * from_march + 2) / 5 + day - 1 - DAYS_TO_1970;
}

struct date {
    int64_t year, month, day;
};

static struct date
date_of(int64_t days)
{
    int64_t era, day, year, month;

    days += DAYS_TO_1970;
    era = floor_divide(days, DAYS_OF_400_YEARS);
    day = days - era * DAYS_OF_400_YEARS;
    year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= year * 365 + year / 4 - year / 100;
    month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5;
    month = month < 10 ? month + 3 : month - 9;
    return (struct date){era * 400 + year + (month <= 2), month, day + 1};
}

static bool
are_dates(int64_t *const *columns, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t year = columns[0][i], month = columns[1][i];
        int64_t day = columns[2][i];
        struct date back;

        if (year < YEAR_MIN || year > YEAR_MAX || month < 1 || month > 12 ||
            day < 1 || day > 31)
            return false;
        back = date_of(days_of(year, month, day));
        if (back.day != day) /* the 31st of April */
            return false;
    }
    return true;
}

static bool
are_below(const int64_t *v, size_t n, int64_t limit)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i] < 0 || v[i] >= limit)
            return false;
    }
    return true;
}

unsigned
numeric_date_parts(const struct numeric_shape *s,
                   const struct numeric_format *formats,
                   int64_t *const *columns, size_t n, unsigned at)
{
    unsigned left = s->columns - at, most;

    for (unsigned i = 0; i < 6 && i < left; i++) {
        if (i > 0 && s->literal[at + i].len != 1)
            left = i;
        else if (i < 5 && formats[at + i].most != 0)
            left = i;
    }
    if (left < 3 || n == 0 || !are_dates(columns + at, n))
        return 0;
    if (left < 5 || !are_below(columns[at + 3], n, 24) ||
        !are_below(columns[at + 4], n, 60))
        return 3;
    most = left < 6 ? 0 : formats[at + 5].most;
    if (left < 6 || most > NUMERIC_DATE_MOST ||
        !are_below(columns[at + 5], n, 60 * numeric_power(most)))
        return 5;
    return 6;
}

void
numeric_date_join(int64_t *const *columns, size_t n, unsigned parts,
                  unsigned most)
{
    int64_t minute = 60 * numeric_power(most);

    for (size_t i = 0; i < n; i++) {
        int64_t v = days_of(columns[0][i], columns[1][i], columns[2][i]);

        if (parts >= 5)
            v = (v * 24 + columns[3][i]) * 60 + columns[4][i];
        if (parts == 6)
            v = v * minute + columns[5][i];
        columns[0][i] = v;
    }
}

/* The remainder by `b` goes to *rest, the quotient is returned. */
static int64_t
divide(int64_t a, int64_t b, int64_t *rest)
{
    *rest = a % b + (a % b < 0 ? b : 0);
    return floor_divide(a, b);
}

void
numeric_date_split(int64_t *const *columns, size_t n, unsigned parts,
                   unsigned most)
{
    int64_t minute = 60 * numeric_power(most), last = INT64_MIN;
    struct date date = {0, 0, 0};

    for (size_t i = 0; i < n; i++) {
        int64_t v = columns[0][i];

        if (parts == 6)
            v = divide(v, minute, &columns[5][i]);
        if (parts >= 5) {
            v = divide(v, 60, &columns[4][i]);
            v = divide(v, 24, &columns[3][i]);
        }
        /* What is no date must not overflow. */
        v = nq_max(-(INT64_C(1) << 40), nq_min(v, INT64_C(1) << 40));
        if (v != last)
            date = date_of(v);
        last = v;
        columns[0][i] = date.year;
        columns[1][i] = date.month;
        columns[2][i] = date.day;
    }
}
