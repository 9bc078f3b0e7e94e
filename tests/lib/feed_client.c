#include "feed_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "base/check.h"

/* --- messages --------------------------------------------------------------
 */

/* The text behind "name": in the object; NULL: it has no such field. */
static const char *
field(const char *json, const char *name)
{
    char want[64];
    const char *at;

    snprintf(want, sizeof want, "\"%s\":", name);
    at = strstr(json, want);
    return at == NULL ? NULL : at + strlen(want);
}

static bool
text_field(const char *json, const char *name, char *dst, size_t size)
{
    const char *at = field(json, name);
    size_t len;

    dst[0] = '\0';
    if (at == NULL || *at++ != '"')
        return false;
    len = strcspn(at, "\"");
    assert_true(len < size && at[len] == '"');
    memcpy(dst, at, len);
    dst[len] = '\0';
    return true;
}

static uint64_t
number_field(const char *json, const char *name)
{
    const char *at = field(json, name);

    if (at == NULL)
        return 0;
    return strtoull(*at == '"' ? at + 1 : at, NULL, 10);
}

static bool
bool_field(const char *json, const char *name)
{
    const char *at = field(json, name);

    return at != NULL && *at == 't';
}

static void
parse(const char *json, struct feed_message *m)
{
    memset(m, 0, sizeof *m);
    assert_true(json[0] == '{' && json[strlen(json) - 1] == '}');
    m->lsn = number_field(json, "lsn");
    assert_true(text_field(json, "event", m->event, sizeof m->event));
    m->from = number_field(json, "from");
    m->to = number_field(json, "to");
    m->count = number_field(json, "count");
    m->oldest = number_field(json, "oldest");
    m->newest = number_field(json, "newest");
    m->was = bool_field(json, "was");
    m->is = bool_field(json, "is");
    text_field(json, "key", m->key, sizeof m->key);
    text_field(json, "value", m->value, sizeof m->value);
    text_field(json, "from", m->first, sizeof m->first);
    m->has_to = text_field(json, "to", m->last, sizeof m->last);
}

/* --- the copy --------------------------------------------------------------
 */

static unsigned
find(const struct feed_client *f, const char *key)
{
    unsigned i = 0;

    while (i < f->keys && strcmp(f->key[i], key) != 0)
        i++;
    return i;
}

const char *
feed_value(const struct feed_client *f, const char *key)
{
    unsigned i = find(f, key);

    return i == f->keys ? NULL : f->value[i];
}

static void
set(struct feed_client *f, const char *key, const char *value)
{
    unsigned i = find(f, key);

    if (i == f->keys)
        assert_true(++f->keys < FEED_KEYS);
    snprintf(f->key[i], sizeof f->key[i], "%s", key);
    snprintf(f->value[i], sizeof f->value[i], "%s", value);
}

static void
unset_at(struct feed_client *f, unsigned i)
{
    f->keys--;
    memmove(f->key[i], f->key[f->keys], sizeof f->key[i]);
    memmove(f->value[i], f->value[f->keys], sizeof f->value[i]);
}

static void
apply_gone(struct feed_client *f, const struct feed_message *m)
{
    for (unsigned i = f->keys; i-- > 0;)
        if (strcmp(f->key[i], m->first) >= 0 &&
            (!m->has_to || strcmp(f->key[i], m->last) < 0))
            unset_at(f, i);
}

static void
apply_key(struct feed_client *f, const struct feed_message *m)
{
    unsigned i = find(f, m->key);

    /* What was due when the rows were read is not among them, and is told
     * when it goes. */
    bool may_be_due = m->was && !m->is && strcmp(m->event, "expire") == 0;

    if (!f->is_lossy && !may_be_due && m->was != (i < f->keys))
        fail_msg("%s of %s at %llu: was is %d", m->event, m->key,
                 (unsigned long long)m->lsn, m->was);
    if (m->is)
        set(f, m->key, m->value);
    else if (i < f->keys)
        unset_at(f, i);
}

static void
apply(struct feed_client *f, const struct feed_message *m)
{
    f->messages++;
    assert_true(m->lsn >= f->lsn);
    if (strcmp(m->event, "ready") == 0) {
        f->is_ready = true;
    } else if (strcmp(m->event, "gap") == 0) {
        assert_true(f->is_lossy && m->from <= m->to && m->count > 0);
        f->gaps++;
        f->lost += m->count;
    } else if (strcmp(m->event, "row") == 0) {
        assert_false(f->is_ready);
        f->rows++;
        apply_key(f, m);
    } else {
        assert_true(m->lsn > f->lsn);
        f->changes++;
        if (strcmp(m->event, "gone") == 0)
            apply_gone(f, m);
        else
            apply_key(f, m);
    }
    f->lsn = m->lsn;
}

/* --- the connection --------------------------------------------------------
 */

void
feed_open(struct feed_client *f, const struct live_server *s, int resp)
{
    client_open(&f->c, s);
    f->is_open = true;
    if (resp == 3)
        client_expect(&f->c, "HELLO 3", "{...");
}

void
feed_close(struct feed_client *f)
{
    if (f->is_open)
        client_close(&f->c);
    f->is_open = false;
}

void
feed_subscribe(struct feed_client *f, const char *format, ...)
{
    char line[512];
    const char *answer;
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    f->c.timeout_ms = 5000;
    answer = client_ask(&f->c, line);
    if (sscanf(answer, "[\"subscribe\", \"%127[^\"]\", :", f->channel) != 1)
        fail_msg("%s: %s", line, answer);
    f->is_ready = false;
}

/* The text of the message that the reply is; its quotes come escaped. */
static void
text_of(const struct feed_client *f, const char *reply, char *dst, size_t size)
{
    char start[FEED_TEXT + 32];
    size_t n = 0;

    snprintf(start, sizeof start, "[\"message\", \"%s\", \"", f->channel);
    reply += reply[0] == '>';
    if (strncmp(reply, start, strlen(start)) != 0)
        fail_msg("no message of %s: %s", f->channel, reply);
    for (reply += strlen(start); *reply != '"'; reply++) {
        reply += *reply == '\\';
        assert_true(*reply != '\0' && n + 1 < size);
        dst[n++] = *reply;
    }
    dst[n] = '\0';
}

bool
feed_next(struct feed_client *f, int ms, struct feed_message *out)
{
    char json[1024];
    const char *reply;

    f->c.timeout_ms = ms;
    reply = client_read(&f->c);
    if (strcmp(reply, "(timeout)") == 0 || strcmp(reply, "(closed)") == 0)
        return false;
    text_of(f, reply, json, sizeof json);
    parse(json, out);
    apply(f, out);
    return true;
}

bool
feed_until(struct feed_client *f, uint64_t lsn, int ms)
{
    struct feed_message m;

    while (f->lsn < lsn)
        if (!feed_next(f, ms, &m))
            return false;
    return true;
}

uint64_t
feed_drain(struct feed_client *f, int ms)
{
    struct feed_message m;
    uint64_t n = 0;

    while (feed_next(f, ms, &m))
        n++;
    return n;
}

void
feed_check_copy(struct feed_client *f, const struct live_server *s,
                const char *prefix)
{
    redisContext *c = live_connect(s);
    redisReply *r;

    assert_non_null(c);
    r = redisCommand(c, "NQ.PREFIX %s", prefix);
    assert_int_equal(r->type, REDIS_REPLY_ARRAY);
    assert_int_equal(r->elements, 2 * (size_t)f->keys);
    for (size_t i = 0; i < r->elements; i += 2) {
        const char *value = feed_value(f, r->element[i]->str);

        assert_non_null(value);
        assert_string_equal(value, r->element[i + 1]->str);
    }
    freeReplyObject(r);
    redisFree(c);
}
