/* cmd/cmd_stream_read.h - what XREAD and XREADGROUP share: their words, and
 * an answer about several streams that may take several slices.
 *
 * Loop thread only. */
#ifndef NQ_CMD_CMD_STREAM_READ_H
#define NQ_CMD_CMD_STREAM_READ_H

#include "cmd/cmd_stream.h"
#include "cmd/gather.h"

struct read_args {
    bool is_group; /* XREADGROUP */
    bool noack, has_block;
    uint64_t deadline_ms;     /* valid only if has_block; 0: for ever */
    uint64_t count;           /* of each stream; UINT64_MAX: all */
    uint32_t group, consumer; /* positions in argv, valid only if is_group */
    uint32_t keys;            /* of the first key */
    uint32_t n;               /* streams; their ids follow the keys */
};

#define READING_MAGIC 0x58524541u

/* How far an answer is.  In its first slice it stands on the stack; only what
 * goes on in another one is the request's state.  XREAD keeps one, too, while
 * it waits: `ids` tells what `$` meant. */
struct reading {
    uint32_t magic;
    bool is_waiting;
    struct stream_id *ids;  /* what each stream is read behind ... */
    struct stream_id *tops; /* ... and up to; both owned if in the state */
    struct gather streams, entries;
    uint32_t at;         /* the stream that is read */
    bool is_inside;      /* a part of it is told */
    struct stream_id id; /* the last entry told; valid only if is_inside */
    uint64_t left;       /* entries to tell; the same */
    /* Of this slice. */
    uint64_t told; /* streams begun */
    struct reply_deferred outer, inner;
    uint64_t inner_n;
};

/* The words; false: answered. */
bool parse_read(struct req *rq, bool is_group, struct read_args *a);

/* The request's state, if it is one of these; else NULL. */
struct reading *reading_of(struct req *rq);
/* Makes (or remakes) it with copies of `n` ids and tops, which may be NULL. */
struct reading *reading_keep(struct req *rq, const struct stream_id *ids,
                             const struct stream_id *tops, uint32_t n);

/* Serves the stream rd->at, or a part of it.  NQ_OK: it is done; NQ_AGAIN:
 * there is more, in another slice.  Entries go into the innermost part, which
 * reading_enter() and reading_leave() open and close. */
typedef nq_rc read_stream(struct req *rq, const struct read_args *a,
                          struct reading *rd);
/* Runs `serve` for all streams from rd->at on and answers; false: no stream
 * had anything and nothing was put. */
bool reading_serve(struct req *rq, const struct read_args *a,
                   struct reading *rd, read_stream *serve);
void reading_enter(struct req *rq, const struct read_args *a,
                   struct reading *rd);
void reading_leave(struct req *rq, struct reading *rd);

#endif
