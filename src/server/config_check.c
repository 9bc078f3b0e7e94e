/* server/config_check.c - texts with a grammar of their own: each check tells
 * whether the text is good and may put its canonical form.  The texts of
 * failures that clients see are Redis'. */
#include "server/config_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "cmd/notify.h"

struct slice
config_word(struct slice *text)
{
    struct slice word;
    size_t i = 0;

    while (i < text->len && (text->p[i] == ' ' || text->p[i] == '\t'))
        i++;
    word = slice_of(text->p + i, 0);
    while (i < text->len && text->p[i] != ' ' && text->p[i] != '\t') {
        i++;
        word.len++;
    }
    *text = slice_of(text->p + i, text->len - i);
    return word;
}

static bool
refuse(char err[CONFIG_ERR], const char *text)
{
    snprintf(err, CONFIG_ERR, "%s", text);
    return false;
}

bool
config_check_bind(struct slice text, struct buf *out, char err[CONFIG_ERR])
{
    struct slice word;
    unsigned n = 0;

    while ((word = config_word(&text)).len > 0) {
        if (word.len > 255 || ++n > 16)
            return refuse(err, "Too many bind addresses specified.");
        buf_printf(out, "%s%.*s", n == 1 ? "" : " ", (int)word.len,
                   (const char *)word.p);
    }
    return n > 0 || refuse(err, "at least one address is needed; "
                                "127.0.0.1 is this machine");
}

bool
config_check_output_limits(struct slice text, struct buf *out,
                           char err[CONFIG_ERR])
{
    static const char *const classes[] = {"normal", "slave", "pubsub"};
    int64_t limits[3][3] = {
        {0, 0, 0}, {256 << 20, 64 << 20, 60}, {32 << 20, 8 << 20, 60}};
    struct slice word;
    unsigned words = 0, class = 0;

    while ((word = config_word(&text)).len > 0) {
        unsigned at = words++ % 4;

        if (at == 0) {
            for (class = 0; class < 3 && !slice_is(word, classes[class]);)
                class ++;
            if (slice_is(word, "replica"))
                class = 1;
            if (class == 3)
                return refuse(err, "Invalid client class specified in "
                                   "buffer limit configuration.");
        } else if (at == 3
                       ? !slice_to_i64(word, &limits[class][2]) ||
                             limits[class][2] < 0 ||
                             limits[class][2] > UINT32_MAX
                       : !config_size_text(word, 1, &limits[class][at - 1])) {
            return refuse(err, "Error in hard, soft or soft_seconds setting "
                               "in buffer limit configuration.");
        }
    }
    if (words % 4 != 0 || words == 0)
        return refuse(err, "Wrong number of arguments in buffer limit "
                           "configuration.");
    for (class = 0; class < 3; class ++)
        buf_printf(out, "%s%s %lld %lld %lld", class == 0 ? "" : " ",
                   classes[class], (long long)limits[class][0],
                   (long long)limits[class][1], (long long)limits[class][2]);
    return true;
}

bool
config_check_password(struct slice text, struct buf *out, char err[CONFIG_ERR])
{
    nq_unused(out);
    return text.len <= 512 ||
           refuse(err, "Password is longer than CONFIG_AUTHPASS_MAX_LEN");
}

bool
config_check_path(struct slice text, struct buf *out, char err[CONFIG_ERR])
{
    nq_unused(out);
    if (text.len == 0)
        return refuse(err, "a path is needed");
    return text.len < 1024 || refuse(err, "the path is too long");
}

bool
config_check_save(struct slice text, struct buf *out, char err[CONFIG_ERR])
{
    struct slice word;
    unsigned words = 0;
    int64_t v;

    while ((word = config_word(&text)).len > 0) {
        if (!slice_to_i64(word, &v) || v < (words % 2 == 0 ? 1 : 0) ||
            v > UINT32_MAX || words >= 32)
            return refuse(err, "Invalid save parameters");
        buf_printf(out, "%s%lld", words++ == 0 ? "" : " ", (long long)v);
    }
    return words % 2 == 0 || refuse(err, "Invalid save parameters");
}

bool
config_check_notify(struct slice text, struct buf *out, char err[CONFIG_ERR])
{
    char canonical[NOTIFY_TEXT_MAX];
    uint32_t classes;

    if (!notify_parse(text, &classes))
        return refuse(err, "Invalid event class character. "
                           "Use 'Ag$lshzxeKEtmdn'.");
    notify_format(classes, canonical);
    buf_put_str(out, canonical);
    return true;
}

bool
config_check_percentiles(struct slice text, struct buf *out,
                         char err[CONFIG_ERR])
{
    char copy[16], *end;
    struct slice word;
    double v;

    nq_unused(out);
    while ((word = config_word(&text)).len > 0) {
        if (word.len >= sizeof copy)
            return refuse(err, "argument couldn't be parsed into a number");
        memcpy(copy, word.p, word.len);
        copy[word.len] = '\0';
        v = strtod(copy, &end);
        if (*end != '\0' || !(v >= 0 && v <= 100))
            return refuse(err, "latency-tracking-info-percentiles should be "
                               "numbers between 0 and 100");
    }
    return true;
}
