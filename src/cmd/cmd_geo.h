/* cmd/cmd_geo.h - what the handlers of geo share: arguments and replies.
 * Loop thread only.  A false result: the error is answered. */
#ifndef NQ_CMD_CMD_GEO_H
#define NQ_CMD_CMD_GEO_H

#include "cmd/command.h"
#include "cmd/geohash.h"

/* Longitude and latitude at argv[i], argv[i + 1]. */
bool arg_geo_point(struct req *rq, uint32_t i, struct geo_point *out);
/* m, km, ft or mi, in metres. */
bool arg_geo_unit(struct req *rq, uint32_t i, double *out);

void reply_geo_distance(struct req *rq, double distance);
void reply_geo_point(struct req *rq, struct geo_point p);

#endif
