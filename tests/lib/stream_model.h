/* tests/lib/stream_model.h - what a stream and its groups must equal: sorted
 * arrays. */
#ifndef NQ_TESTS_LIB_STREAM_MODEL_H
#define NQ_TESTS_LIB_STREAM_MODEL_H

#include "db/stream_group.h"

#define MODEL_GROUPS 2
#define MODEL_CONSUMERS 3
#define MODEL_ENTRIES 600 /* of a stream, and pending of a group, at most */

struct m_entry {
    struct stream_id id;
    uint32_t from, len; /* of the noise: the value of its field "f" */
};

struct m_pending {
    struct stream_id id;
    unsigned consumer;
    uint64_t delivered_ms, deliveries;
};

struct m_consumer {
    bool is_there;
    uint64_t seen_ms;
    int64_t active_ms;
};

struct m_group {
    bool is_there;
    struct stream_id last;
    int64_t read;
    struct m_consumer consumers[MODEL_CONSUMERS];
    struct m_pending pending[MODEL_ENTRIES];
    unsigned pending_count;
};

struct stream_model {
    bool is_there;
    struct m_entry entries[MODEL_ENTRIES];
    unsigned count;
    uint64_t added;
    struct stream_id last, max_deleted;
    struct m_group groups[MODEL_GROUPS];
};

void model_drop_front(struct stream_model *m, unsigned n);
/* The first entry with an id >= `id`. */
unsigned model_find(const struct stream_model *m, struct stream_id id);
/* How many entries went; nodes have 100, as the settings are by default. */
unsigned model_trim(struct stream_model *m, const struct stream_trim *t);
unsigned model_del(struct stream_model *m, struct stream_id id);
unsigned model_ack(struct m_group *g, struct stream_id id);
/* How many entries were pending for it. */
uint64_t model_delete_consumer(struct m_group *g, unsigned c);
void model_see(struct m_consumer *c, uint64_t now, bool is_active);
/* There is room for one more pending entry. */
void model_claim(struct m_group *g, unsigned c,
                 const struct stream_claim *claim);

#endif
