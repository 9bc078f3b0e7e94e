/* server/cli_dump.c - what nqdb-cli dump prints of one key.
 *
 * As commands, in the form that clients send them: SET; RPUSH, SADD, ZADD,
 * HSET with some elements each; XADD one by one, then XSETID and the groups;
 * at last PEXPIREAT.  As text, one line a key:
 *
 *   database expiry "key" "value"
 *   database expiry "key" type "element" ...
 *
 * Expiries are Unix ms, 0: none.  Groups of streams, and expiries of fields,
 * are not in the text.
 *
 * Big values do not fit the pool at once, so pages are let go every few
 * elements, and nothing borrowed lives longer than that: the record's value
 * is copied first, and lists, whose cursors borrow, are sought again.  Called
 * by cli.c. */
#include "server/cli_dump.h"

#include <ctype.h>
#include <stdio.h>

#include "base/check.h"
#include "db/fields.h"
#include "db/lists.h"
#include "db/set.h"
#include "db/stream_group.h"
#include "db/string.h"
#include "db/zset.h"
#include "resp/write.h"
#include "store/frames.h"

#define PIECE (1u << 20)        /* bytes of a string at a time */
#define COMMAND_WORDS 128       /* then another command is begun */
#define COMMAND_BYTES (1 << 16) /* the same */
#define SLICE 256               /* elements between letting pages go */

void
cli_dump_fini(struct cli_dump *d)
{
    buf_fini(&d->words);
    buf_fini(&d->value);
    buf_fini(&d->group);
    arena_fini(&d->arena);
}

/* --- words --------------------------------------------------------------- */

static void
put_text(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (isprint(c))
            putchar(c);
        else
            printf("\\x%02x", c);
    }
}

/* The command put together so far. */
static void
flush(struct cli_dump *d)
{
    if (d->n == 0)
        return;
    printf("*%llu\r\n", (unsigned long long)d->n);
    fwrite(d->words.p, 1, d->words.len, stdout);
    buf_clear(&d->words);
    d->n = 0;
}

static void
word(struct cli_dump *d, struct slice s)
{
    if (d->is_text) {
        fputs(" \"", stdout);
        put_text(s);
        putchar('"');
        return;
    }
    buf_printf(&d->words, "$%zu\r\n", s.len);
    buf_put_slice(&d->words, s);
    buf_put_str(&d->words, "\r\n");
    d->n++;
}

/* Words of another element follow: of this command, or of the next one. */
static void
element(struct cli_dump *d, const char *command)
{
    if (d->is_text)
        return;
    if (d->n >= COMMAND_WORDS || d->words.len >= COMMAND_BYTES)
        flush(d);
    if (d->n > 0)
        return;
    word(d, slice_str(command));
    word(d, d->key);
}

/* A command that is no element's. */
static void
begin(struct cli_dump *d, const char *command)
{
    flush(d);
    word(d, slice_str(command));
}

static void
number(struct cli_dump *d, uint64_t v)
{
    char text[24];

    word(d, slice_of(text, u64_to_text(text, v)));
}

static void
stream_id(struct cli_dump *d, struct stream_id id)
{
    char text[STREAM_ID_TEXT];

    word(d, slice_of(text, stream_id_text(text, id)));
}

/* After each element: every so often pages are let go. */
static void
let_go(struct cli_dump *d, uint64_t elements)
{
    arena_reset(&d->arena);
    if (elements % SLICE == 0)
        frames_make_room(d->frames);
}

void
cli_dump_select(struct cli_dump *d, uint32_t dbi)
{
    if (d->is_text)
        return;
    begin(d, "SELECT");
    number(d, dbi);
    flush(d);
}

/* --- strings ------------------------------------------------------------- */

/* SET key value [PXAT ms], a piece of the value at a time. */
static nq_rc
dump_string(struct cli_dump *d, const struct entry *e)
{
    uint64_t len = string_len(e);
    struct slice s;
    nq_rc rc = NQ_OK;

    if (!d->is_text) {
        printf("*%d\r\n$3\r\nSET\r\n$%zu\r\n", e->rec.expire_ms != 0 ? 5 : 3,
               d->key.len);
        fwrite(d->key.p, 1, d->key.len, stdout);
        printf("\r\n$%llu\r\n", (unsigned long long)len);
    } else {
        fputs(" \"", stdout);
    }
    for (uint64_t off = 0; off < len && rc == NQ_OK; off += PIECE) {
        rc = string_range(d->db, e, off, PIECE, &d->arena, &s);
        if (rc == NQ_OK && d->is_text)
            put_text(s);
        else if (rc == NQ_OK)
            fwrite(s.p, 1, s.len, stdout);
        let_go(d, 0);
    }
    fputs(d->is_text ? "\"" : "\r\n", stdout);
    if (!d->is_text && e->rec.expire_ms != 0) {
        word(d, slice_lit("PXAT"));
        number(d, e->rec.expire_ms);
        fwrite(d->words.p, 1, d->words.len, stdout);
        buf_clear(&d->words);
        d->n = 0;
    }
    return rc;
}

/* --- lists, sets, sorted sets -------------------------------------------- */

static nq_rc
dump_list_slice(struct cli_dump *d, const struct entry *e, uint64_t *at)
{
    struct list_cursor cu;
    struct list_item it;
    struct slice s;
    nq_rc rc = list_cursor_init(&cu, d->db, e);

    if (rc != NQ_OK)
        return rc;
    rc = list_seek(&cu, *at);
    for (unsigned i = 0; rc == NQ_OK && cu.valid && i < SLICE; i++, ++*at) {
        if ((rc = list_item(&cu, &it)) != NQ_OK ||
            (rc = list_item_bytes(d->db, &it, &d->arena, &s)) != NQ_OK)
            break;
        element(d, "RPUSH");
        word(d, s);
        rc = list_next(&cu);
    }
    list_cursor_fini(&cu);
    let_go(d, 0);
    return rc;
}

static nq_rc
dump_list(struct cli_dump *d, struct entry *e)
{
    uint64_t at = 0, len = list_len(e);
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && at < len) {
        uint64_t from = at;

        rc = dump_list_slice(d, e, &at);
        if (rc == NQ_OK && at == from)
            rc = NQ_ECORRUPT; /* it ends before its length */
    }
    return rc;
}

/* Every item of the collection, which is closed then. */
typedef nq_rc item_fn(struct cli_dump *d, struct coll *c,
                      const struct item *it);

static nq_rc
each_item(struct cli_dump *d, struct coll *c, nq_rc opened, item_fn *fn)
{
    struct coll_cursor cu;
    struct item it;
    uint64_t n = 0;
    nq_rc rc = opened;

    coll_cursor_init(&cu, c);
    if (rc == NQ_OK)
        rc = coll_first(&cu);
    while (rc == NQ_OK && cu.valid) {
        if ((rc = coll_item(&cu, &it)) == NQ_OK)
            rc = fn(d, c, &it);
        let_go(d, ++n);
        if (rc == NQ_OK)
            rc = coll_next(&cu);
    }
    coll_cursor_fini(&cu);
    coll_close(c);
    return rc;
}

static nq_rc
on_member(struct cli_dump *d, struct coll *c, const struct item *it)
{
    nq_unused(c);
    element(d, "SADD");
    word(d, it->key);
    return NQ_OK;
}

static nq_rc
dump_set(struct cli_dump *d, struct entry *e)
{
    struct coll c;
    nq_rc rc = set_open(d->db, d->dbi, d->key, e, true, &c);

    return each_item(d, &c, rc, on_member);
}

static nq_rc
dump_zset(struct cli_dump *d, struct entry *e)
{
    struct zset_cursor cu;
    char score[32];
    uint64_t n = 0;
    struct zset z;
    nq_rc rc = zset_open(d->db, d->dbi, d->key, e, true, &z);

    if (rc != NQ_OK)
        return rc;
    zset_cursor_init(&cu, &z);
    for (rc = zset_nth(&cu, 0); rc == NQ_OK && cu.valid; rc = zset_next(&cu)) {
        element(d, "ZADD");
        word(d, slice_of(score, resp_double_text(score, cu.at.score)));
        word(d, cu.at.name);
        let_go(d, ++n);
    }
    zset_cursor_fini(&cu);
    zset_close(&z);
    return rc;
}

/* --- hashes -------------------------------------------------------------- */

static bool
is_due(const struct cli_dump *d, const struct item *it)
{
    return it->expire_ms != 0 && it->expire_ms <= db_now(d->db);
}

static nq_rc
on_field(struct cli_dump *d, struct coll *c, const struct item *it)
{
    struct slice val;
    nq_rc rc = NQ_OK;

    if (is_due(d, it))
        return NQ_OK;
    if ((rc = coll_val(c, it, &d->arena, &val)) != NQ_OK)
        return rc;
    element(d, "HSET");
    word(d, it->key);
    word(d, val);
    return NQ_OK;
}

static nq_rc
on_field_expiry(struct cli_dump *d, struct coll *c, const struct item *it)
{
    nq_unused(c);
    if (it->expire_ms == 0 || is_due(d, it))
        return NQ_OK;
    begin(d, "HPEXPIREAT");
    word(d, d->key);
    number(d, it->expire_ms);
    word(d, slice_lit("FIELDS"));
    number(d, 1);
    word(d, it->key);
    return NQ_OK;
}

static nq_rc
dump_hash(struct cli_dump *d, struct entry *e)
{
    struct coll c;
    nq_rc rc = fields_open(d->db, d->dbi, d->key, e, true, &c);

    rc = each_item(d, &c, rc, on_field);
    if (rc != NQ_OK || d->is_text || (e->rec.flags & DB_FIELD_TTL) == 0)
        return rc;
    rc = fields_open(d->db, d->dbi, d->key, e, true, &c);
    return each_item(d, &c, rc, on_field_expiry);
}

/* --- streams ------------------------------------------------------------- */

static nq_rc
dump_entry(struct cli_dump *d, struct stream_cursor *cu)
{
    struct stream_fields f;
    struct slice s;
    nq_rc rc = stream_entry(cu, &d->arena, &f);

    if (rc != NQ_OK)
        return rc;
    flush(d);
    element(d, "XADD");
    stream_id(d, cu->id);
    for (uint64_t i = 0; i < 2 * f.pairs; i++)
        if (cursor_get_slice(&f.at, &s))
            word(d, s);
    return cursor_ok(&f.at) ? NQ_OK : NQ_ECORRUPT;
}

static nq_rc
dump_entries(struct cli_dump *d, struct stream *s)
{
    struct stream_cursor cu;
    uint64_t n = 0;
    nq_rc rc;

    stream_cursor_init(&cu, s);
    for (rc = stream_seek(&cu, STREAM_ID_MIN); rc == NQ_OK && cu.valid;
         rc = stream_next(&cu)) {
        if ((rc = dump_entry(d, &cu)) != NQ_OK)
            break;
        let_go(d, ++n);
    }
    stream_cursor_fini(&cu);
    return rc;
}

/* An empty stream is made by an entry that goes at once. */
static void
dump_counters(struct cli_dump *d, const struct stream *s)
{
    struct stream_id first = {0, 1};

    if (s->length == 0) {
        begin(d, "XADD");
        word(d, d->key);
        word(d, slice_lit("MAXLEN"));
        number(d, 0);
        stream_id(d, stream_id_is_zero(s->last) ? first : s->last);
        word(d, slice_lit("x"));
        word(d, slice_lit("y"));
    }
    begin(d, "XSETID");
    word(d, d->key);
    stream_id(d, s->last);
    word(d, slice_lit("ENTRIESADDED"));
    number(d, s->added);
    word(d, slice_lit("MAXDELETEDID"));
    stream_id(d, s->max_deleted);
}

static nq_rc
dump_consumers(struct cli_dump *d, struct stream *s,
               const struct stream_group *g)
{
    struct stream_consumer c;
    struct stream_walk w;
    uint64_t n = 0;
    nq_rc rc;

    stream_walk_init(&w, s);
    rc = stream_walk_consumers(&w, g, slice_lit(""));
    while (rc == NQ_OK && w.valid) {
        if ((rc = stream_walk_consumer(&w, &c)) != NQ_OK)
            break;
        begin(d, "XGROUP");
        word(d, slice_lit("CREATECONSUMER"));
        word(d, d->key);
        word(d, g->name);
        word(d, c.name);
        let_go(d, ++n);
        rc = stream_walk_next(&w);
    }
    stream_walk_fini(&w);
    return rc;
}

static nq_rc
dump_claim(struct cli_dump *d, struct stream *s, const struct stream_group *g,
           const struct stream_pending *p)
{
    struct slice consumer;
    nq_rc rc = stream_consumer_name(s, g, p->consumer, &d->arena, &consumer);

    if (rc != NQ_OK)
        return rc;
    begin(d, "XCLAIM");
    word(d, d->key);
    word(d, g->name);
    word(d, consumer);
    number(d, 0);
    stream_id(d, p->id);
    word(d, slice_lit("TIME"));
    number(d, p->delivered_ms);
    word(d, slice_lit("RETRYCOUNT"));
    number(d, p->deliveries);
    word(d, slice_lit("FORCE"));
    word(d, slice_lit("JUSTID"));
    return NQ_OK;
}

static nq_rc
dump_pending(struct cli_dump *d, struct stream *s, const struct stream_group *g)
{
    struct stream_pending p;
    struct stream_walk w;
    uint64_t n = 0;
    nq_rc rc;

    stream_walk_init(&w, s);
    rc = stream_walk_pending(&w, g, NULL, STREAM_ID_MIN);
    while (rc == NQ_OK && w.valid) {
        if ((rc = stream_walk_pending_at(&w, &p)) == NQ_OK)
            rc = dump_claim(d, s, g, &p);
        let_go(d, ++n);
        if (rc == NQ_OK)
            rc = stream_walk_next(&w);
    }
    stream_walk_fini(&w);
    return rc;
}

static nq_rc
dump_group(struct cli_dump *d, struct stream *s, struct stream_group *g)
{
    nq_rc rc;

    buf_clear(&d->group);
    buf_put_slice(&d->group, g->name);
    g->name = buf_slice(&d->group);
    begin(d, "XGROUP");
    word(d, slice_lit("CREATE"));
    word(d, d->key);
    word(d, g->name);
    stream_id(d, g->last);
    if (g->read != STREAM_READ_UNKNOWN) {
        word(d, slice_lit("ENTRIESREAD"));
        number(d, (uint64_t)g->read);
    }
    rc = dump_consumers(d, s, g);
    return rc == NQ_OK ? dump_pending(d, s, g) : rc;
}

static nq_rc
dump_groups(struct cli_dump *d, struct stream *s)
{
    struct stream_group g;
    struct stream_walk w;
    nq_rc rc;

    stream_walk_init(&w, s);
    rc = stream_walk_groups(&w, slice_lit(""));
    while (rc == NQ_OK && w.valid) {
        if ((rc = stream_walk_group(&w, &g)) == NQ_OK)
            rc = dump_group(d, s, &g);
        if (rc == NQ_OK)
            rc = stream_walk_next(&w);
    }
    stream_walk_fini(&w);
    return rc;
}

static nq_rc
dump_stream(struct cli_dump *d, struct entry *e)
{
    struct stream s;
    nq_rc rc = stream_open(d->db, d->dbi, d->key, e, true, &s);

    if (rc == NQ_OK)
        rc = dump_entries(d, &s);
    if (rc == NQ_OK && !d->is_text) {
        dump_counters(d, &s);
        rc = dump_groups(d, &s);
    }
    stream_close(&s);
    return rc;
}

/* --- one key ------------------------------------------------------------- */

static nq_rc
dump_collection(struct cli_dump *d, struct entry *e)
{
    uint64_t expire_ms = db_expire_of(&e->rec);
    nq_rc rc;

    if (d->is_text)
        printf(" %s", db_type_name(e->rec.type));
    switch (e->rec.type) {
    case DB_LIST:
        rc = dump_list(d, e);
        break;
    case DB_SET:
        rc = dump_set(d, e);
        break;
    case DB_ZSET:
        rc = dump_zset(d, e);
        break;
    case DB_HASH:
        rc = dump_hash(d, e);
        break;
    case DB_STREAM:
        rc = dump_stream(d, e);
        break;
    default:
        rc = NQ_ECORRUPT;
    }
    if (!d->is_text && expire_ms != 0) {
        begin(d, "PEXPIREAT");
        word(d, d->key);
        number(d, expire_ms);
    }
    flush(d);
    return rc;
}

nq_rc
cli_dump_key(struct cli_dump *d, uint32_t dbi, struct slice key,
             const struct record *rec)
{
    struct entry e = {.rec = *rec};
    nq_rc rc;

    buf_clear(&d->value);
    buf_put_slice(&d->value, rec->val);
    e.rec.val = buf_slice(&d->value);
    db_entry_vouch(d->db, dbi, &e);
    d->dbi = dbi;
    d->key = key;
    if (d->is_text) {
        printf("%u %llu \"", dbi, (unsigned long long)db_expire_of(&e.rec));
        put_text(key);
        putchar('"');
    }
    rc = e.rec.type == DB_STRING ? dump_string(d, &e) : dump_collection(d, &e);
    if (d->is_text)
        putchar('\n');
    return rc;
}
