/* server/config_ids.h - the ids of config.def: TYPED(id) for each row.
 * Included by config.h, more than once on purpose. */
#define INT(id, ...) TYPED(id)
#define SIZE(id, ...) TYPED(id)
#define TIME(id, ...) TYPED(id)
#define BOOL(id, ...) TYPED(id)
#define ENUM(id, ...) TYPED(id)
#define RATIO(id, ...) TYPED(id)
#define OCTAL(id, ...) TYPED(id)
#define TEXT(id, ...) TYPED(id)
#define LIST(id, ...) TYPED(id)
#define SECRET(id, ...) TYPED(id)
#include "server/config.def"
#undef INT
#undef SIZE
#undef TIME
#undef BOOL
#undef ENUM
#undef RATIO
#undef OCTAL
#undef TEXT
#undef LIST
#undef SECRET
