/* cmd/handlers.h - the prototypes of all handlers in table.def.
 *
 * Loop thread only.  A handler answers exactly once, or parks, yields or
 * blocks (cmd/command.h); arity and gates were checked before it runs. */
#ifndef NQ_CMD_HANDLERS_H
#define NQ_CMD_HANDLERS_H

struct req;

#define CMD(name, fn, ...) void fn(struct req *rq);
#define SUB(name, fn, ...) void fn(struct req *rq);
#define SUBS(id)
#define END_SUBS
#define GROUP(name, id, ...)
#define GROUP_FN(name, id, fn, ...) void fn(struct req *rq);
#include "cmd/table.def"
#undef CMD
#undef SUB
#undef SUBS
#undef END_SUBS
#undef GROUP
#undef GROUP_FN

#endif
