/* cmd/wait_int.h - what wait_key.c and wait_serve.c share: who waits for which
 * key.
 *
 *   wait_keys --- hash ---> waited_key --- waiters[kind] ---> wait_entry
 *                                                                 |
 *   session.wait <------------------------------------------- struct wait
 *
 * The lists of a key are in the order in which the sessions began to wait. */
#ifndef NQ_CMD_WAIT_INT_H
#define NQ_CMD_WAIT_INT_H

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "cmd/wait_key.h"

enum wait_kind { WAIT_LIST, WAIT_ZSET, WAIT_STREAM, WAIT_KINDS };

struct waited_key {
    struct hash_node node;
    struct list ready; /* in wait_keys.ready: it changed */
    struct list waiters[WAIT_KINDS];
    uint32_t dbi;
    uint32_t len;
    uint8_t bytes[];
};

enum wait_state {
    WAIT_IDLE,    /* for a key to change */
    WAIT_PARKED,  /* woken; its command is parked and keeps its place */
    WAIT_RUNNING, /* answers in slices; waits for no key any more */
    WAIT_SERVED   /* answered; presents no command before wait_turn() */
};

/* One key of one wait. */
struct wait_entry {
    struct list of_key; /* in waiters[kind] of the key */
    struct waited_key *key;
    struct wait *wait;
    uint32_t arg; /* its place in argv */
};

#define WAIT_MAGIC 0x3a174e01

struct wait {
    uint32_t magic;
    enum wait_state state;
    enum wait_kind kind;
    uint32_t dbi;
    struct session *s;
    const struct command *cmd;
    struct slice *argv; /* in the same piece of memory */
    uint32_t argc;
    uint32_t first, keys;      /* which of argv it waits for */
    uint32_t n;                /* entries; 0 while it waits for no key */
    uint32_t stalled;          /* WAIT_PARKED: which entry had woken it */
    struct heap_node deadline; /* in wait_keys.deadlines; key 0: none */
    struct list served;        /* WAIT_SERVED */
    uint64_t same;
    void *memory; /* req.state */
    void (*free_memory)(void *);
    struct wait_entry entries[];
};

struct wait_keys {
    struct hash keys;       /* of waited_key */
    struct list ready;      /* of waited_key, in the order of their changes */
    struct list served;     /* of wait */
    struct heap deadlines;  /* of wait */
    uint64_t count;         /* sessions that wait */
    uint64_t streams;       /* entries of kind WAIT_STREAM */
    struct waited_key *now; /* being served: stays, and is not marked */
    struct arena arena;     /* of the command that is woken */
};

struct wait *wait_of(const struct session *s); /* NULL: none */
/* The key is to be served; no more than once at a time. */
void wait_mark(struct engine *e, struct waited_key *k);
/* Waits for its keys, behind all who do so already. */
void wait_enter_keys(struct wait *w);
/* Waits for no key any more. */
void wait_leave_keys(struct wait *w);
/* Its session was answered and may present commands with the next turn. */
void wait_served(struct wait *w);
/* Frees `k` if nobody waits for it. */
void wait_key_release(struct engine *e, struct waited_key *k);

#endif
