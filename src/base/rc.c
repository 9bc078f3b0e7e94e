/* base/rc.c - texts of the result codes, generated from rc.def. */
#include "base/rc.h"

static const struct {
    const char *name, *prefix, *text;
} rows[] = {
#define RC(name, prefix, text) {#name, prefix, text},
#include "base/rc.def"
#undef RC
};

const char *
rc_name(nq_rc rc)
{
    return rows[rc].name;
}

const char *
rc_prefix(nq_rc rc)
{
    return rows[rc].prefix;
}

const char *
rc_text(nq_rc rc)
{
    return rows[rc].text;
}
