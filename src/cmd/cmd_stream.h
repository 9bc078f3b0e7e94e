/* cmd/cmd_stream.h - what the commands of streams share: ids and trimming as
 * arguments, opening, entries as replies.
 *
 * Loop thread only. */
#ifndef NQ_CMD_CMD_STREAM_H
#define NQ_CMD_CMD_STREAM_H

#include "cmd/command.h"
#include "db/stream_group.h"

/* Entries that are delivered, claimed or told between two yields. */
#define STREAM_SLICE 256
#define STREAM_SLICE_BYTES                                                     \
    (256u << 10) /* no further one is begun behind that */

/* --- arguments ----------------------------------------------------------- */

/* "ms-seq", or "ms" alone with `missing_seq`. */
bool stream_id_parse(struct slice text, uint64_t missing_seq,
                     struct stream_id *out);
/* argv[i]; false: answered "Invalid stream ID ...". */
bool arg_stream_id(struct req *rq, uint32_t i, struct stream_id *out);
/* argv[i] to argv[n - 1] into the arena: NULL: answered. */
struct stream_id *arg_stream_ids(struct req *rq, uint32_t i, uint32_t n);
/* The ends of a range: also "-", "+" and "(ms-seq". */
bool arg_stream_start(struct req *rq, uint32_t i, struct stream_id *out);
bool arg_stream_end(struct req *rq, uint32_t i, struct stream_id *out);

/* The words of XADD between key and fields, or those of XTRIM. */
struct stream_add_args {
    struct stream_trim trim;
    bool no_mkstream;
    bool has_id, has_seq; /* "*", "ms-*" or "ms-seq" */
    struct stream_id id;
    uint32_t id_at; /* argc: there is none */
};
bool arg_stream_add(struct req *rq, bool is_add, struct stream_add_args *out);

/* --- opening ------------------------------------------------------------- */

/* The stream at argv[i] in `s`, which is open on NQ_OK only.  NQ_NOTFOUND,
 * NQ_EWRONGTYPE and all that a read may end with; nothing is answered. */
NQ_MUST_USE nq_rc req_open_stream(struct req *rq, uint32_t i, bool write,
                                  struct entry *e, struct stream *s);
/* The same with the group named by argv[group]; NQ_NOTFOUND: one of the two
 * is not there. */
NQ_MUST_USE nq_rc req_open_group(struct req *rq, uint32_t i, uint32_t group,
                                 bool write, struct entry *e, struct stream *s,
                                 struct stream_group *g);

/* --- replies ------------------------------------------------------------- */

void reply_stream_id(struct req *rq, struct stream_id id);
/* [id, [field, value ...]] */
void reply_stream_entry(struct req *rq, struct stream_id id,
                        struct stream_fields *fields);
/* The same of an entry that is looked up; *found false: nothing was put. */
NQ_MUST_USE nq_rc reply_stream_find(struct req *rq, struct stream *s,
                                    struct stream_id id, bool *found);
/* Up to `n` entries of [from, to] in either direction; their number is put in
 * front if `header`. */
NQ_MUST_USE nq_rc reply_stream_range(struct req *rq, struct stream *s,
                                     struct stream_id from, struct stream_id to,
                                     uint64_t n, bool backwards, bool header);
/* The whole answer, in slices where it is long: XRANGE and the like.  `n`
 * entries from `from` on, which there are. */
void tell_stream(struct req *rq, struct stream *s, struct stream_id from,
                 uint64_t n, bool backwards);

#endif
