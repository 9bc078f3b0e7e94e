/* resp/write.h - values to bytes, in RESP2 and RESP3.
 *
 * Each call writes at `dst`, which has the room its comment names, and
 * returns how many bytes it wrote.  Any thread. */
#ifndef NQ_RESP_WRITE_H
#define NQ_RESP_WRITE_H

#include "base/slice.h"

#define RESP_HEADER_MAX 24 /* bytes of a header or an integer at most */
#define RESP_DOUBLE_MAX 48 /* bytes of a double, as bulk or as RESP3 */

/* "<type><n>\r\n": '*' array, '$' bulk, '%' map, '~' set, '>' push,
 * '=' verbatim, '(' never.  RESP_HEADER_MAX. */
size_t resp_put_header(uint8_t *dst, char type, uint64_t n);

/* ":<v>\r\n".  RESP_HEADER_MAX. */
size_t resp_put_int(uint8_t *dst, int64_t v);

/* Header, bytes, \r\n.  RESP_HEADER_MAX + s.len + 2. */
size_t resp_put_bulk(uint8_t *dst, struct slice s);

/* "$-1" in RESP2, "_" in RESP3.  RESP_HEADER_MAX. */
size_t resp_put_null(uint8_t *dst, unsigned resp);

/* "*-1" in RESP2, "_" in RESP3.  RESP_HEADER_MAX. */
size_t resp_put_null_array(uint8_t *dst, unsigned resp);

/* ":1" or ":0" in RESP2, "#t" or "#f" in RESP3.  RESP_HEADER_MAX. */
size_t resp_put_bool(uint8_t *dst, unsigned resp, bool v);

/* A bulk in RESP2, "," in RESP3.  RESP_DOUBLE_MAX. */
size_t resp_put_double(uint8_t *dst, unsigned resp, double v);

/* The text of a double as replies have it: 17 digits, inf, -inf, nan.  `dst`
 * holds 32 bytes; it is not terminated. */
size_t resp_double_text(char *dst, double v);

#endif
