/* store/wal_dump.c - the log in words, for people who look for something.
 *
 * Goes through the segments by themselves, not as replay does: a gap or a
 * damaged frame ends one segment, and the next is shown all the same. */
#include "store/wal_int.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"

#define TEXT_MAX 60u /* bytes of a key or of arguments that are shown */

static void
print_time(FILE *out, uint64_t us)
{
    time_t s = (time_t)(us / 1000000);
    char text[32];
    struct tm tm;

    gmtime_r(&s, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(out, "%s.%06" PRIu64 "Z", text, us % 1000000);
}

static void
print_bytes(FILE *out, struct slice s)
{
    fputc('"', out);
    for (size_t i = 0; i < nq_min(s.len, TEXT_MAX); i++) {
        uint8_t c = s.p[i];

        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c >= 0x20 && c < 0x7f)
            fputc(c, out);
        else
            fprintf(out, "\\x%02x", c);
    }
    fprintf(out, s.len > TEXT_MAX ? "\"... (%zu bytes)" : "\"", s.len);
}

static void
print_records(FILE *out, struct slice records, uint32_t count,
              const char *(*name)(uint8_t effect))
{
    struct cursor c = cursor_of(records);
    struct wal_record rec;

    for (uint32_t i = 0; i < count; i++) {
        const char *text;

        if (!wal_record_get(&c, &rec)) {
            fprintf(out, "    (not a record)\n");
            return;
        }
        text = name == NULL ? NULL : name(rec.effect);
        if (text != NULL)
            fprintf(out, "    %s", text);
        else
            fprintf(out, "    effect %u", rec.effect);
        fprintf(out, " db %" PRIu32 " key ", rec.db);
        print_bytes(out, rec.key);
        fprintf(out, " args ");
        print_bytes(out, rec.args);
        fputc('\n', out);
    }
}

static void
print_segment(FILE *out, const struct wal_segment *seg)
{
    fprintf(out,
            "segment %08" PRIu64 " first-lsn %" PRIu64 " durable %" PRIu64
            " salt %016" PRIx64 " after %016" PRIx64 " bytes %" PRIu64 "%s ",
            seg->number, seg->first, seg->durable, seg->salt,
            seg->previous_salt, seg->size, seg->is_sealed ? " sealed" : "");
    print_time(out, seg->time_us);
    fputc('\n', out);
}

static nq_rc
print_frame(struct wal *w, unsigned i, const struct wal_frame *h,
            struct slice frame, const char *(*name)(uint8_t effect), FILE *out)
{
    const char *problem;
    struct slice records;
    nq_rc rc;

    fprintf(out,
            "  frame lsn %" PRIu64 " bytes %zu durable %" PRIu64
            " records %" PRIu32 " ",
            h->lsn, frame.len, h->durable, h->count);
    print_time(out, h->time_us);
    if (wal_frame_is_sealed(h))
        fprintf(out, " key %" PRIu32, wal_seal_key(frame));
    fputc('\n', out);
    rc = wal_frame_open(w, i, frame, &records, &problem);
    if (rc == NQ_EKEY)
        return NQ_OK; /* it is dumped as far as it can be read */
    if (rc == NQ_OK && problem != NULL)
        fprintf(out, "    (not %s)\n", problem);
    else if (rc == NQ_OK)
        print_records(out, records, h->count, name);
    return rc;
}

static nq_rc
dump_segment(struct wal *w, unsigned i, lsn from,
             const char *(*name)(uint8_t effect), FILE *out)
{
    const struct wal_segment *seg = &w->segments.at[i];
    const char *problem = NULL;
    struct wal_frame h;
    struct slice frame;
    lsn at = seg->first;
    nq_rc rc;

    print_segment(out, seg);
    while (at < seg->end) {
        rc = wal_frame_get(w, i, at, &h, &frame, &problem);
        if (rc == NQ_OK && problem == NULL && at >= from)
            rc = print_frame(w, i, &h, frame, name, out);
        if (rc != NQ_OK)
            return rc;
        if (problem != NULL)
            break;
        at += frame.len;
    }
    fprintf(out, "  ends at lsn %" PRIu64 " offset %" PRIu64 "%s%s\n", at,
            WAL_SEGMENT_HEADER + (at - seg->first),
            at == seg->end ? "" : ", expected ", at == seg->end ? "" : problem);
    return NQ_OK;
}

nq_rc
wal_dump(const char *dir, lsn from, struct keyring *keys,
         const char *(*name)(uint8_t effect), FILE *out)
{
    struct wal *w = nq_calloc(1, sizeof *w);
    nq_rc rc;

    w->opts.dir = dir;
    w->opts.keys = keys;
    w->any_database = true;
    w->reader.window_segment = UINT32_MAX;
    rc = wal_segments_scan(w);
    if (rc == NQ_OK && w->segments.count == 0)
        rc = NQ_NOTFOUND;
    for (unsigned i = 0; rc == NQ_OK && i < w->segments.count; i++) {
        if (w->segments.at[i].end > from)
            rc = dump_segment(w, i, from, name, out);
    }
    wal_segments_fini(&w->segments);
    nq_free(w->reader.window);
    buf_fini(&w->reader.plain);
    nq_free(w);
    return rc;
}
