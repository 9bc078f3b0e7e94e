/* cmd/feed_json.c - escapes of JSON (RFC 8259), UTF-8 (RFC 3629) and base64
 * (RFC 4648).
 *
 * Called by cmd/feed_message. */
#include "cmd/feed_json.h"

/* How many bytes the character at p[0] has; 0: that is none.  Neither longer
 * forms than needed, surrogates, nor what is beyond U+10FFFF. */
static size_t
character_size(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t size;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (size > left)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

static bool
is_utf8(struct slice s)
{
    for (size_t i = 0; i < s.len;) {
        size_t size = character_size(s.p + i, s.len - i);

        if (size == 0)
            return false;
        i += size;
    }
    return true;
}

static void
put_base64(struct buf *out, struct slice s)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = (s.len + 2) / 3 * 4;
    uint8_t *to = buf_reserve(out, n);

    for (size_t i = 0; i < s.len; i += 3) {
        size_t have = s.len - i;
        uint32_t v = (uint32_t)s.p[i] << 16;

        if (have > 1)
            v |= (uint32_t)s.p[i + 1] << 8;
        if (have > 2)
            v |= s.p[i + 2];
        *to++ = (uint8_t)digits[v >> 18];
        *to++ = (uint8_t)digits[v >> 12 & 63];
        *to++ = (uint8_t)(have > 1 ? digits[v >> 6 & 63] : '=');
        *to++ = (uint8_t)(have > 2 ? digits[v & 63] : '=');
    }
    out->len += n;
}

static void
put_escaped(struct buf *out, uint8_t c)
{
    switch (c) {
    case '"':
        buf_put_str(out, "\\\"");
        break;
    case '\\':
        buf_put_str(out, "\\\\");
        break;
    case '\n':
        buf_put_str(out, "\\n");
        break;
    case '\r':
        buf_put_str(out, "\\r");
        break;
    case '\t':
        buf_put_str(out, "\\t");
        break;
    default:
        buf_printf(out, "\\u%04x", c);
    }
}

static bool
is_plain(uint8_t c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

static void
put_string(struct buf *out, struct slice bytes)
{
    size_t done = 0;

    buf_put_u8(out, '"');
    for (size_t i = 0; i < bytes.len; i++) {
        if (is_plain(bytes.p[i]))
            continue;
        buf_put(out, bytes.p + done, i - done);
        put_escaped(out, bytes.p[i]);
        done = i + 1;
    }
    if (bytes.len > done)
        buf_put(out, bytes.p + done, bytes.len - done);
    buf_put_u8(out, '"');
}

void
feed_json_text(struct buf *out, struct slice bytes)
{
    if (is_utf8(bytes)) {
        put_string(out, bytes);
        return;
    }
    buf_put_str(out, "{\"base64\":\"");
    put_base64(out, bytes);
    buf_put_str(out, "\"}");
}

void
feed_json_name(struct buf *out, struct slice name)
{
    if (out->len > 0 && out->p[out->len - 1] != '{')
        buf_put_u8(out, ',');
    if (is_utf8(name)) {
        put_string(out, name);
    } else {
        buf_put_str(out, "\"base64:");
        put_base64(out, name);
        buf_put_u8(out, '"');
    }
    buf_put_u8(out, ':');
}
