/* The commands of sorted sets: exact replies and errors, what takes more than
 * one slice, scans, draws by lot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/two_clients.h"
#include "base/check.h"
#include "cmd/notify.h"
#include "db/zset.h"
#include "os/clock.h"

#define NOW UINT64_C(1700000000000)
#define MANY 12000 /* members: more than one slice tells */
#define LOTS 90000 /* more than one slice collects */

static int
setup(void **state)
{
    clock_freeze_wall(NOW);
    (void)two_clients_begin(state, 64 << 20);
    return 0;
}

/* --- replies ------------------------------------------------------------- */

static void
members_are_added_and_removed(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "ZADD z 1 a 2 b 3 c", ":3|");
    fake_expect(c, "ZADD z 1 a 5 b 4 d", ":1|");
    fake_expect(c, "ZADD z CH 1 a 6 b 7 e", ":2|");
    fake_expect(c, "ZADD z NX 9 a 9 f", ":1|");
    fake_expect(c, "ZADD z XX 9 a 9 g", ":0|");
    fake_expect(c, "ZADD z GT 8 a 10 b", ":0|");
    fake_expect(c, "ZADD z GT CH 8 a 10 b", ":0|");
    fake_expect(c, "ZADD z LT CH 8 a 10 b", ":1|");
    fake_expect(c, "ZADD z INCR 5 a", "$2|13|");
    fake_expect(c, "ZADD z NX INCR 5 a", "$-1|");
    fake_expect(c, "ZADD z XX INCR 5 none", "$-1|");
    fake_expect(c, "ZADD z inf i -inf j +inf k", ":3|");
    fake_expect(c, "ZADD z INCR -inf i",
                "-ERR resulting score is not a number (NaN)|");
    fake_expect(c, "ZINCRBY z inf j",
                "-ERR resulting score is not a number (NaN)|");
    fake_expect(c, "ZADD z 1",
                "-ERR wrong number of arguments for 'zadd' command|");
    fake_expect(c, "ZADD z 1 a 2", "-ERR syntax error|");
    fake_expect(c, "ZADD z NX XX 1 a",
                "-ERR XX and NX options at the same time are not compatible|");
    fake_expect(
        c, "ZADD z NX GT 1 a",
        "-ERR GT, LT, and/or NX options at the same time are not compatible|");
    fake_expect(
        c, "ZADD z GT LT 1 a",
        "-ERR GT, LT, and/or NX options at the same time are not compatible|");
    fake_expect(c, "ZADD z INCR 1 a 2 b",
                "-ERR INCR option supports a single increment-element pair|");
    fake_expect(c, "ZADD z x a", "-ERR value is not a valid float|");
    fake_expect(c, "ZADD z nan a", "-ERR value is not a valid float|");
    fake_expect(c, "ZADD z 1 a x b", "-ERR value is not a valid float|");
    fake_expect(c, "ZADD none XX 1 a", ":0|");
    fake_expect(c, "ZADD none XX INCR 1 a", "$-1|");
    fake_expect(c, "EXISTS none", ":0|");
    fake_expect(c, "ZADD z 0x10 hex 1e3 exp .5 half", ":3|");
    fake_expect(c, "ZMSCORE z a b c d e f g hex exp half i j k",
                "*13|$2|13|$2|10|$1|3|$1|4|$1|7|$1|9|$-1|$2|16|$4|1000|$3|0.5|$"
                "3|inf|$4|-inf|$3|inf|");
    fake_expect(c, "ZINCRBY z 2.5 a", "$4|15.5|");
    fake_expect(c, "ZINCRBY z -1 new", "$2|-1|");
    fake_expect(c, "ZINCRBY z x a", "-ERR value is not a valid float|");
    fake_expect(c, "ZSCORE z a", "$4|15.5|");
    fake_expect(c, "ZSCORE z none", "$-1|");
    fake_expect(c, "ZSCORE none a", "$-1|");
    fake_expect(c, "ZMSCORE none a b", "*2|$-1|$-1|");
    fake_expect(c, "ZCARD z", ":13|");
    fake_expect(c, "ZCARD none", ":0|");
    fake_expect(c, "ZREM z a none b", ":2|");
    fake_expect(c, "ZREM none a", ":0|");
    fake_expect(c, "SET s v", "+OK|");
    fake_expect(
        c, "ZADD s 1 a",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    fake_expect(
        c, "ZINCRBY s 1 a",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    fake_expect(
        c, "ZREM s a",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    fake_expect(
        c, "ZSCORE s a",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    fake_expect(
        c, "ZCARD s",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
}

static void
small_sets_have_no_negative_zero(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "ZADD small -0 a 0 b", ":2|");
    fake_expect(c, "ZRANGE small 0 -1 WITHSCORES", "*4|$1|a|$1|0|$1|b|$1|0|");
    db_limits(w->env.db)->zset_max_listpack_entries = 0;
    fake_expect(c, "ZADD large -0 a 0 b -0 c", ":3|");
    fake_expect(c, "ZRANGE large 0 -1 WITHSCORES",
                "*6|$1|a|$2|-0|$1|b|$1|0|$1|c|$2|-0|");
    fake_expect(c, "ZADD large 0 a", ":0|");
    fake_expect(c, "ZSCORE large a", "$2|-0|");
    fake_expect(c, "ZCOUNT large -0 0", ":3|");
}

static void
ranks_and_counts(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "ZADD z 1 a 2 b 2 c 3 d", ":4|");
    fake_expect(c, "ZRANK z a", ":0|");
    fake_expect(c, "ZRANK z c", ":2|");
    fake_expect(c, "ZREVRANK z c", ":1|");
    fake_expect(c, "ZRANK z none", "$-1|");
    fake_expect(c, "ZRANK none a", "$-1|");
    fake_expect(c, "ZCOUNT z 2 3", ":3|");
    fake_expect(c, "ZCOUNT z (2 3", ":1|");
    fake_expect(c, "ZCOUNT z -inf +inf", ":4|");
    fake_expect(c, "ZCOUNT z (1 (3", ":2|");
    fake_expect(c, "ZCOUNT z 3 1", ":0|");
    fake_expect(c, "ZCOUNT z x 1", "-ERR min or max is not a float|");
    fake_expect(c, "ZCOUNT z 1 nan", "-ERR min or max is not a float|");
    fake_expect(c, "ZCOUNT none 1 2", ":0|");
    fake_expect(c, "ZADD l 0 a 0 b 0 c 0 d", ":4|");
    fake_expect(c, "ZLEXCOUNT l - +", ":4|");
    fake_expect(c, "ZLEXCOUNT l [b (d", ":2|");
    fake_expect(c, "ZLEXCOUNT l (b [d", ":2|");
    fake_expect(c, "ZLEXCOUNT l + -", ":0|");
    fake_expect(c, "ZLEXCOUNT l b d",
                "-ERR min or max not valid string range item|");
    fake_expect(c, "ZLEXCOUNT l -x +",
                "-ERR min or max not valid string range item|");
    fake_expect(c, "ZRANK z c WITHSCORE", "*2|:2|$1|2|");
    fake_expect(c, "ZREVRANK z d WITHSCORE", "*2|:0|$1|3|");
    fake_expect(c, "ZRANK z none WITHSCORE", "*-1|");
    fake_expect(c, "ZRANK none a WITHSCORE", "*-1|");
    fake_expect(c, "ZRANK z a x", "-ERR syntax error|");
    fake_expect(c, "ZRANK z a WITHSCORE x",
                "-ERR wrong number of arguments for 'zrank' command|");
}

static void
ranges_are_told(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "ZADD z 1 a 2 b 3 c 4 d 5 e", ":5|");
    fake_expect(c, "ZRANGE z 0 -1", "*5|$1|a|$1|b|$1|c|$1|d|$1|e|");
    fake_expect(c, "ZRANGE z 1 2 WITHSCORES", "*4|$1|b|$1|2|$1|c|$1|3|");
    fake_expect(c, "ZRANGE z -2 -1", "*2|$1|d|$1|e|");
    fake_expect(c, "ZRANGE z 3 1", "*0|");
    fake_expect(c, "ZRANGE z 5 9", "*0|");
    fake_expect(c, "ZRANGE z -100 0", "*1|$1|a|");
    fake_expect(c, "ZRANGE z 0 1 REV", "*2|$1|e|$1|d|");
    fake_expect(c, "ZRANGE z 0 -1 REV WITHSCORES",
                "*10|$1|e|$1|5|$1|d|$1|4|$1|c|$1|3|$1|b|$1|2|$1|a|$1|1|");
    fake_expect(c, "ZREVRANGE z 0 1 WITHSCORES", "*4|$1|e|$1|5|$1|d|$1|4|");
    fake_expect(c, "ZRANGE z (1 4 BYSCORE", "*3|$1|b|$1|c|$1|d|");
    fake_expect(c, "ZRANGE z 4 (1 BYSCORE REV", "*3|$1|d|$1|c|$1|b|");
    fake_expect(c, "ZRANGE z -inf +inf BYSCORE LIMIT 1 2", "*2|$1|b|$1|c|");
    fake_expect(c, "ZRANGE z +inf -inf BYSCORE REV LIMIT 1 2 WITHSCORES",
                "*4|$1|d|$1|4|$1|c|$1|3|");
    fake_expect(c, "ZRANGE z 1 5 BYSCORE LIMIT 0 -1",
                "*5|$1|a|$1|b|$1|c|$1|d|$1|e|");
    fake_expect(c, "ZRANGE z 1 5 BYSCORE LIMIT -1 2", "*0|");
    fake_expect(c, "ZRANGE z 1 5 BYSCORE LIMIT 9 2", "*0|");
    fake_expect(c, "ZRANGE z 1 5 BYSCORE LIMIT 0 0", "*0|");
    fake_expect(c, "ZRANGEBYSCORE z 2 4 WITHSCORES LIMIT 1 1", "*2|$1|c|$1|3|");
    fake_expect(c, "ZREVRANGEBYSCORE z 4 2 LIMIT 0 2", "*2|$1|d|$1|c|");
    fake_expect(c, "ZRANGEBYSCORE z x 1", "-ERR min or max is not a float|");
    fake_expect(c, "ZRANGE z 0 1 LIMIT 0 1",
                "-ERR syntax error, LIMIT is only supported in combination "
                "with either BYSCORE or BYLEX|");
    fake_expect(c, "ZRANGE z 0 1 LIMIT 0 -1", "*2|$1|a|$1|b|");
    fake_expect(c, "ZRANGE z 0 x",
                "-ERR value is not an integer or out of range|");
    fake_expect(c, "ZRANGE z 0 1 BYSCORE BYLEX", "-ERR syntax error|");
    fake_expect(c, "ZRANGE z 0 1 WITHSCORES x", "-ERR syntax error|");
    fake_expect(c, "ZRANGE z - + BYLEX WITHSCORES",
                "-ERR syntax error, WITHSCORES not supported in combination "
                "with BYLEX|");
    fake_expect(c, "ZRANGE z 1 2 BYSCORE LIMIT 0 x",
                "-ERR value is not an integer or out of range|");
    fake_expect(c, "ZADD l 0 a 0 b 0 c 0 d", ":4|");
    fake_expect(c, "ZRANGE l [b + BYLEX", "*3|$1|b|$1|c|$1|d|");
    fake_expect(c, "ZRANGE l + [b BYLEX REV LIMIT 0 2", "*2|$1|d|$1|c|");
    fake_expect(c, "ZRANGEBYLEX l - (c", "*2|$1|a|$1|b|");
    fake_expect(c, "ZREVRANGEBYLEX l (c -", "*2|$1|b|$1|a|");
    fake_expect(c, "ZRANGEBYLEX l (c [c", "*0|");
    fake_expect(c, "ZRANGEBYLEX l c d",
                "-ERR min or max not valid string range item|");
    fake_expect(c, "ZRANGE none 0 1", "*0|");
    fake_expect(c, "ZRANGE none 0 1 BYSCORE WITHSCORES", "*0|");
    fake_expect(c, "SET s v", "+OK|");
    fake_expect(
        c, "ZRANGE s 0 1",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
}

static void
ranges_are_stored(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "ZADD z 1 a 2 b 3 c 4 d 5 e", ":5|");
    fake_expect(c, "ZRANGESTORE to z 1 3", ":3|");
    fake_expect(c, "ZRANGE to 0 -1 WITHSCORES",
                "*6|$1|b|$1|2|$1|c|$1|3|$1|d|$1|4|");
    fake_expect(c, "ZRANGESTORE z z 3 9 BYSCORE LIMIT 1 5", ":2|");
    fake_expect(c, "ZRANGE z 0 -1 WITHSCORES", "*4|$1|d|$1|4|$1|e|$1|5|");
    fake_expect(c, "ZRANGESTORE to z 9 9", ":0|");
    fake_expect(c, "EXISTS to", ":0|");
    fake_expect(c, "ZRANGESTORE to none 0 1", ":0|");
    fake_expect(c, "SET s v", "+OK|");
    fake_expect(c, "ZRANGESTORE s z 0 -1", ":2|");
    fake_expect(c, "TYPE s", "+zset|");
    fake_expect(c, "ZRANGESTORE to z 0 1 WITHSCORES", "-ERR syntax error|");
    fake_expect(c, "SET s v", "+OK|");
    fake_expect(
        c, "ZRANGESTORE to s 0 1",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
}

static void
ranges_are_removed(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "ZADD z 1 a 2 b 3 c 4 d 5 e", ":5|");
    fake_expect(c, "ZREMRANGEBYRANK z 0 0", ":1|");
    fake_expect(c, "ZREMRANGEBYRANK z 9 10", ":0|");
    fake_expect(c, "ZREMRANGEBYSCORE z (2 3", ":1|");
    fake_expect(c, "ZREMRANGEBYRANK z x 1",
                "-ERR value is not an integer or out of range|");
    fake_expect(c, "ZREMRANGEBYSCORE z x 1", "-ERR min or max is not a float|");
    fake_expect(c, "ZREMRANGEBYLEX z x [a",
                "-ERR min or max not valid string range item|");
    fake_expect(c, "ZRANGE z 0 -1", "*3|$1|b|$1|d|$1|e|");
    fake_expect(c, "ZREMRANGEBYRANK z 0 -1", ":3|");
    fake_expect(c, "EXISTS z", ":0|");
    fake_expect(c, "ZADD l 0 a 0 b 0 c 0 d", ":4|");
    fake_expect(c, "ZREMRANGEBYLEX l [b (d", ":2|");
    fake_expect(c, "ZRANGE l 0 -1", "*2|$1|a|$1|d|");
    fake_expect(c, "ZREMRANGEBYRANK none 0 1", ":0|");
    fake_expect(c, "SET s v", "+OK|");
    fake_expect(
        c, "ZREMRANGEBYSCORE s 0 1",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
}

static void
members_are_popped(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "ZADD z 1 a 2 b 3 c 4 d 5 e", ":5|");
    fake_expect(c, "ZPOPMIN z", "*2|$1|a|$1|1|");
    fake_expect(c, "ZPOPMAX z 2", "*4|$1|e|$1|5|$1|d|$1|4|");
    fake_expect(c, "ZPOPMIN z 0", "*0|");
    fake_expect(c, "ZPOPMIN z -1",
                "-ERR value is out of range, must be positive|");
    fake_expect(c, "ZPOPMIN z x",
                "-ERR value is out of range, must be positive|");
    fake_expect(c, "ZPOPMIN z 1 2", "-ERR syntax error|");
    fake_expect(c, "ZPOPMIN z 10", "*4|$1|b|$1|2|$1|c|$1|3|");
    fake_expect(c, "EXISTS z", ":0|");
    fake_expect(c, "ZPOPMIN z", "*0|");
    fake_expect(c, "ZADD y 1 a 2 b 3 c", ":3|");
    fake_expect(c, "ZMPOP 2 z y MIN", "*2|$1|y|*1|*2|$1|a|$1|1|");
    fake_expect(c, "ZMPOP 2 z y MAX COUNT 5",
                "*2|$1|y|*2|*2|$1|c|$1|3|*2|$1|b|$1|2|");
    fake_expect(c, "ZMPOP 2 z y MAX", "*-1|");
    fake_expect(c, "ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0|");
    fake_expect(c, "ZMPOP 1 z",
                "-ERR wrong number of arguments for 'zmpop' command|");
    fake_expect(c, "ZMPOP 1 z MIDDLE", "-ERR syntax error|");
    fake_expect(c, "ZMPOP 1 z MIN COUNT 0",
                "-ERR count should be greater than 0|");
    fake_expect(c, "SET s v", "+OK|");
    fake_expect(
        c, "ZPOPMIN s",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    fake_expect(
        c, "ZMPOP 2 none s MIN",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
}

static void
sets_are_joined(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "ZADD a 1 x 2 y 3 z", ":3|");
    fake_expect(c, "ZADD b 10 y 20 z 30 w", ":3|");
    fake_expect(c, "SADD c y z", ":2|");
    fake_expect(c, "ZUNION 2 a b", "*4|$1|x|$1|y|$1|z|$1|w|");
    fake_expect(c, "ZUNION 2 a b WITHSCORES",
                "*8|$1|x|$1|1|$1|y|$2|12|$1|z|$2|23|$1|w|$2|30|");
    fake_expect(c, "ZINTER 3 a b c WITHSCORES", "*4|$1|y|$2|13|$1|z|$2|24|");
    fake_expect(c, "ZINTER 2 a b WEIGHTS 2 0.5 AGGREGATE MAX WITHSCORES",
                "*4|$1|y|$1|5|$1|z|$2|10|");
    fake_expect(c, "ZUNION 2 a b AGGREGATE MIN WITHSCORES",
                "*8|$1|x|$1|1|$1|y|$1|2|$1|z|$1|3|$1|w|$2|30|");
    fake_expect(c, "ZDIFF 2 a c WITHSCORES", "*2|$1|x|$1|1|");
    fake_expect(c, "ZDIFF 2 none a", "*0|");
    fake_expect(c, "ZUNION 2 none a", "*3|$1|x|$1|y|$1|z|");
    fake_expect(c, "ZINTER 2 none a", "*0|");
    fake_expect(c, "ZINTERCARD 2 a b", ":2|");
    fake_expect(c, "ZINTERCARD 2 a b LIMIT 1", ":1|");
    fake_expect(c, "ZINTERCARD 2 a b LIMIT -1",
                "-ERR LIMIT can't be negative|");
    fake_expect(c, "ZUNIONSTORE to 2 a b WEIGHTS 1 2", ":4|");
    fake_expect(c, "ZRANGE to 0 -1 WITHSCORES",
                "*8|$1|x|$1|1|$1|y|$2|22|$1|z|$2|43|$1|w|$2|60|");
    fake_expect(c, "ZINTERSTORE a 2 a c", ":2|");
    fake_expect(c, "ZRANGE a 0 -1 WITHSCORES", "*4|$1|y|$1|3|$1|z|$1|4|");
    fake_expect(c, "ZDIFFSTORE to 1 none", ":0|");
    fake_expect(c, "EXISTS to", ":0|");
    fake_expect(c, "ZADD inf inf x -inf y", ":2|");
    fake_expect(c, "ZADD ninf -inf x inf y", ":2|");
    fake_expect(c, "ZUNION 2 inf ninf WITHSCORES", "*4|$1|x|$1|0|$1|y|$1|0|");
    fake_expect(c, "ZINTER 2 inf ninf WITHSCORES", "*4|$1|x|$1|0|$1|y|$1|0|");
    fake_expect(c, "ZUNION 1 inf WEIGHTS 0 WITHSCORES",
                "*4|$1|x|$1|0|$1|y|$1|0|");
    fake_expect(c, "ZUNION 0 a",
                "-ERR at least 1 input key is needed for 'zunion' command|");
    fake_expect(c, "ZUNION x a",
                "-ERR value is not an integer or out of range|");
    fake_expect(c, "ZUNION 3 a b", "-ERR syntax error|");
    fake_expect(c, "ZUNION 1 a WEIGHTS x", "-ERR weight value is not a float|");
    fake_expect(c, "ZUNION 1 a WEIGHTS", "-ERR syntax error|");
    fake_expect(c, "ZUNION 1 a AGGREGATE x", "-ERR syntax error|");
    fake_expect(c, "ZDIFF 1 a WEIGHTS 1", "-ERR syntax error|");
    fake_expect(c, "ZUNIONSTORE to 1 a WITHSCORES", "-ERR syntax error|");
    fake_expect(c, "ZINTERCARD 1 a WITHSCORES", "-ERR syntax error|");
    fake_expect(c, "SET s v", "+OK|");
    fake_expect(
        c, "ZUNION 1 s",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
}

static void
scans_and_draws_answer_as_redis_does(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "ZADD z 1 a 2.5 b 100000000000000000 c", ":3|");
    fake_expect(
        c, "ZSCAN z 0",
        "*2|$1|0|*6|$1|a|$1|1|$1|b|$3|2.5|$1|c|$18|100000000000000000|");
    fake_expect(c, "ZSCAN z 0 MATCH b*", "*2|$1|0|*2|$1|b|$3|2.5|");
    fake_expect(c, "ZSCAN none 0", "*2|$1|0|*0|");
    fake_expect(c, "ZSCAN z x", "-ERR invalid cursor|");
    fake_expect(c, "ZSCAN z 0 COUNT 0", "-ERR syntax error|");
    fake_expect(c, "ZRANDMEMBER none", "$-1|");
    fake_expect(c, "ZRANDMEMBER none 3", "*0|");
    fake_expect(c, "ZRANDMEMBER z 0", "*0|");
    fake_expect(c, "ZRANDMEMBER z x",
                "-ERR value is not an integer or out of range|");
    fake_expect(c, "ZRANDMEMBER z 1 x", "-ERR syntax error|");
    fake_expect(c, "ZRANDMEMBER z -9223372036854775808",
                "-ERR value is out of range, value must between "
                "-9223372036854775807 and 9223372036854775807|");
    fake_expect(c, "SET s v", "+OK|");
    fake_expect(
        c, "ZSCAN s 0",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    fake_expect(
        c, "ZRANDMEMBER s",
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
}

static void
resp3_has_doubles_and_pairs(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    (void)fake_ask(c, "HELLO 3");
    fake_expect(c, "ZADD z 1 a 2.5 b inf c", ":3|");
    fake_expect(c, "ZSCORE z b", ",2.5|");
    fake_expect(c, "ZSCORE z none", "_|");
    fake_expect(c, "ZMSCORE z a none", "*2|,1|_|");
    fake_expect(c, "ZINCRBY z 1 a", ",2|");
    fake_expect(c, "ZRANGE z 0 -1 WITHSCORES",
                "*3|*2|$1|a|,2|*2|$1|b|,2.5|*2|$1|c|,inf|");
    fake_expect(c, "ZRANGE z 0 -1", "*3|$1|a|$1|b|$1|c|");
    fake_expect(c, "ZPOPMIN z", "*2|$1|a|,2|");
    fake_expect(c, "ZPOPMIN z 1", "*1|*2|$1|b|,2.5|");
    fake_expect(c, "ZADD z 1 a", ":1|");
    fake_expect(c, "ZMPOP 1 z MIN", "*2|$1|z|*1|*2|$1|a|,1|");
    fake_expect(c, "ZMPOP 1 none MIN", "_|");
    fake_expect(c, "ZUNION 1 z WITHSCORES", "*1|*2|$1|c|,inf|");
    fake_expect(c, "ZRANDMEMBER z 5 WITHSCORES", "*1|*2|$1|c|,inf|");
    fake_expect(c, "ZRANK z none", "_|");
    fake_expect(c, "ZADD z NX INCR 1 c", "_|");
}

/* --- events -------------------------------------------------------------- */

static void
changes_are_told_as_redis_names_them(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    assert_true(notify_parse(slice_lit("Egz"), &w->env.e->limits.notify));
    (void)fake_ask(&w->other, "PSUBSCRIBE *");
#define HEARS(line, want)                                                      \
    do {                                                                       \
        (void)fake_ask(c, line);                                               \
        assert_string_equal(fake_read(&w->other), want);                       \
    } while (0)
#define EVENT(name, key) "*4|$8|pmessage|$1|*|$" name "|$1|" key "|"
    HEARS("ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g",
          EVENT("19|__keyevent@0__:zadd", "z"));
    HEARS("ZADD z 1 a", "");
    HEARS("ZINCRBY z 1 a", EVENT("20|__keyevent@0__:zincr", "z"));
    HEARS("ZREM z a none", EVENT("19|__keyevent@0__:zrem", "z"));
    HEARS("ZREMRANGEBYRANK z 0 0",
          EVENT("30|__keyevent@0__:zremrangebyrank", "z"));
    HEARS("ZREMRANGEBYSCORE z 3 3",
          EVENT("31|__keyevent@0__:zremrangebyscore", "z"));
    HEARS("ZPOPMIN z", EVENT("22|__keyevent@0__:zpopmin", "z"));
    HEARS("ZPOPMAX z", EVENT("22|__keyevent@0__:zpopmax", "z"));
    HEARS("ZRANGESTORE y z 0 -1", EVENT("26|__keyevent@0__:zrangestore", "y"));
    HEARS("ZUNIONSTORE y 1 z", EVENT("26|__keyevent@0__:zunionstore", "y"));
    HEARS("ZDIFFSTORE y 2 z z", EVENT("18|__keyevent@0__:del", "y"));
    HEARS("ZDIFFSTORE y 2 z z", "");
    HEARS("ZPOPMIN z 9", EVENT("22|__keyevent@0__:zpopmin", "z")
                             EVENT("18|__keyevent@0__:del", "z"));
#undef HEARS
#undef EVENT
}

/* --- slices -------------------------------------------------------------- */

/* Members "m00000" ... with the scores `from`, `from` + 1 ... */
static void
fill(struct two_clients *w, const char *key, unsigned from, unsigned n)
{
    char line[600];

    for (unsigned i = from; i < from + n;) {
        int at = snprintf(line, sizeof line, "ZADD %s", key);

        for (unsigned k = 0; k < 14 && i < from + n; k++, i++)
            at += snprintf(line + at, sizeof line - (size_t)at, " %u m%05u", i,
                           i);
        (void)fake_ask(&w->c, line);
    }
}

/* Turns until the client's command is done; all that it was answered. */
static const char *
finish(struct two_clients *w, struct fake_client *c)
{
    (void)w;
    fake_finish(c);
    return fake_read(c);
}

/* "*2n|$6|m00000|$1|0| ..." from `from` on, or back from there. */
static void
expect_run(const char *reply, unsigned header, unsigned n, unsigned from,
           int step)
{
    char want[64];
    const char *p = reply;

    snprintf(want, sizeof want, "*%u|", header);
    assert_memory_equal(p, want, strlen(want));
    p += strlen(want);
    for (unsigned i = 0, at = from; i < n; i++, at += (unsigned)step) {
        char text[16];
        int len = snprintf(text, sizeof text, "%u", at);

        snprintf(want, sizeof want, "$6|m%05u|$%d|%s|", at, len, text);
        assert_memory_equal(p, want, strlen(want));
        p += strlen(want);
    }
    assert_string_equal(p, "");
}

static void
a_long_range_is_as_of_one_moment(void **state)
{
    struct two_clients *w = *state;

    fill(w, "z", 0, MANY);
    fake_send(&w->c, "ZRANGE z 0 -1 WITHSCORES");
    assert_int_equal(w->c.nkept, 1); /* it takes more than one slice */
    fake_send(&w->other, "ZADD z -1 first 5 m00000");
    expect_run(finish(w, &w->c), 2 * MANY, MANY, 0, 1);
    (void)finish(w, &w->other);
    fake_expect(&w->c, "ZCARD z", ":12001|");
    fake_expect(&w->c, "ZREM z first", ":1|");
    fake_expect(&w->c, "ZADD z 0 m00000", ":0|");
    engine_env_cool(&w->env);
    fake_send(&w->c, "ZREVRANGE z 0 -1 WITHSCORES");
    expect_run(finish(w, &w->c), 2 * MANY, MANY, MANY - 1, -1);
}

static void
a_long_pop_takes_all_at_once(void **state)
{
    struct two_clients *w = *state;

    fill(w, "z", 0, LOTS);
    fake_send(&w->c, "ZPOPMIN z 80000");
    assert_int_equal(w->c.nkept, 1);
    fake_expect(&w->other, "ZCARD z", ":90000|"); /* not yet */
    expect_run(finish(w, &w->c), 160000, 80000, 0, 1);
    fake_expect(&w->c, "ZCARD z", ":10000|");
    fake_expect(&w->c, "ZSCORE z m00000", "$-1|");
    fake_expect(&w->c, "ZRANK z m80000", ":0|");
    fake_send(&w->c, "ZPOPMAX z 50000");
    expect_run(finish(w, &w->c), 20000, 10000, LOTS - 1, -1);
    fake_expect(&w->c, "EXISTS z", ":0|");
}

static void
a_long_pop_begins_anew_when_the_key_is_another(void **state)
{
    struct two_clients *w = *state;

    fill(w, "z", 0, LOTS);
    fill(w, "y", 0, 600);
    fake_send(&w->c, "ZPOPMIN z 80000");
    assert_int_equal(w->c.nkept, 1);
    fake_expect(&w->other, "RENAME y z", "+OK|");
    expect_run(finish(w, &w->c), 1200, 600, 0, 1);
    fake_expect(&w->c, "EXISTS z", ":0|");
}

static void
a_long_removal_is_swept_before_its_answer(void **state)
{
    struct two_clients *w = *state;
    struct entry e = {0};
    struct zset z;

    fill(w, "z", 0, MANY);
    fake_send(&w->c, "ZREMRANGEBYSCORE z 1000 (11000");
    assert_int_equal(w->c.nkept, 1);
    fake_expect(&w->other, "ZCARD z", ":2000|"); /* at once */
    fake_expect(&w->other, "ZSCORE z m05000", "$-1|");
    fake_expect(&w->other, "ZADD z 7 m05000", ":1|");
    assert_string_equal(finish(w, &w->c), ":10000|");
    fake_expect(&w->other, "ZSCORE z m05000", "$1|7|");
    assert_int_equal(db_find(w->env.db, 0, slice_lit("z"), &e), NQ_OK);
    assert_int_equal(zset_open(w->env.db, 0, slice_lit("z"), &e, true, &z),
                     NQ_OK);
    assert_int_equal(z.coll.count, 2 * 2001);
    assert_int_equal(zset_check(&z), NQ_OK);
    zset_close(&z);
}

static void
a_removal_in_a_transaction_is_swept_later(void **state)
{
    struct two_clients *w = *state;
    char line[64];

    fill(w, "z", 0, MANY);
    fake_expect(&w->c, "MULTI", "+OK|");
    fake_expect(&w->c, "ZREMRANGEBYRANK z 0 -101", "+QUEUED|");
    fake_expect(&w->c, "EXEC", "*1|:11900|");
    fake_expect(&w->c, "ZSCAN z 0 COUNT 20000 MATCH m00000", "*2|$1|0|*0|");
    for (unsigned i = 0; i < 400; i++) {
        snprintf(line, sizeof line, "ZINCRBY z 1 m%05u", MANY - 1);
        (void)fake_ask(&w->c, line);
    }
    fake_expect(&w->c, "ZCARD z", ":100|");
    fake_expect(&w->c, "ZUNION 1 z AGGREGATE MAX",
                fake_ask(&w->other, "ZRANGE z 0 -1"));
}

static void
long_results_are_stored_in_slices(void **state)
{
    struct two_clients *w = *state;

    fill(w, "a", 0, MANY);
    fill(w, "b", 6000, MANY);
    fake_send(&w->c, "ZUNIONSTORE to 2 a b AGGREGATE MAX");
    assert_int_equal(w->c.nkept, 1);
    fake_send(&w->other, "ZADD a 1 late");
    assert_string_equal(finish(w, &w->c), ":18000|");
    (void)finish(w, &w->other);
    fake_expect(&w->c, "ZRANGE to 17999 -1 WITHSCORES",
                "*2|$6|m17999|$5|17999|");
    fake_expect(&w->c, "ZREM a late", ":1|");
    fake_send(&w->c, "ZINTERSTORE a 2 a b WEIGHTS 1 0"); /* over an input */
    assert_string_equal(finish(w, &w->c), ":6000|");
    fake_send(&w->c, "ZDIFF 2 to b WITHSCORES");
    expect_run(finish(w, &w->c), 12000, 6000, 0, 1);
    fake_send(&w->c, "ZUNION 2 to b WITHSCORES AGGREGATE MIN");
    expect_run(finish(w, &w->c), 36000, 18000, 0, 1);
    fake_send(&w->c, "ZINTERCARD 2 to b");
    assert_string_equal(finish(w, &w->c), ":12000|");
    fake_send(&w->c, "ZRANGESTORE to to 5000 15999");
    assert_string_equal(finish(w, &w->c), ":11000|");
    fake_send(&w->c, "ZRANGE to 0 -1 WITHSCORES");
    expect_run(finish(w, &w->c), 22000, 11000, 5000, 1);
}

static void
results_are_right_with_pages_out_of_memory(void **state)
{
    struct two_clients *w = *state;

    fill(w, "a", 0, MANY);
    fill(w, "b", 6000, MANY);
    engine_env_cool(&w->env);
    fake_send(&w->c, "ZINTERSTORE to 2 a b AGGREGATE MIN");
    assert_string_equal(finish(w, &w->c), ":6000|");
    engine_env_cool(&w->env);
    fake_send(&w->c, "ZUNION 2 a to WITHSCORES AGGREGATE MAX");
    expect_run(finish(w, &w->c), 24000, MANY, 0, 1);
    engine_env_cool(&w->env);
    fake_send(&w->c, "ZPOPMAX to 5900");
    expect_run(finish(w, &w->c), 11800, 5900, MANY - 1, -1);
    assert_true(w->env.resumes > 0);
}

/* --- draws --------------------------------------------------------------- */

/* Marks the members of the reply; how many there were. */
static unsigned
mark(const char *reply, uint8_t *seen)
{
    unsigned n = 0;

    for (const char *p = strstr(reply, "|m"); p != NULL;
         p = strstr(p + 1, "|m")) {
        seen[strtoul(p + 2, NULL, 10)]++;
        n++;
    }
    return n;
}

static void
draws_without_repetition_repeat_nothing(void **state)
{
    static const unsigned counts[] = {1, 7, 200, 3000, 9000, 12000, 20000};
    struct two_clients *w = *state;
    uint8_t seen[MANY];
    char line[64];

    fill(w, "z", 0, MANY);
    for (size_t i = 0; i < nq_countof(counts); i++) {
        memset(seen, 0, sizeof seen);
        snprintf(line, sizeof line, "ZRANDMEMBER z %u", counts[i]);
        fake_send(&w->c, line);
        assert_int_equal(mark(finish(w, &w->c), seen),
                         nq_min(counts[i], (unsigned)MANY));
        for (unsigned m = 0; m < MANY; m++)
            assert_true(seen[m] <= 1);
    }
}

static void
draws_are_fair(void **state)
{
    static const char *const lines[] = {"ZRANDMEMBER z 2", "ZRANDMEMBER z 30",
                                        "ZRANDMEMBER z -10"};
    static const unsigned shares[] = {2, 30, 10};
    struct two_clients *w = *state;

    fill(w, "z", 0, 40);
    for (size_t i = 0; i < nq_countof(lines); i++) {
        unsigned hits[40] = {0};

        for (unsigned n = 0; n < 2000; n++) {
            uint8_t seen[40] = {0};

            assert_int_equal(mark(fake_ask(&w->c, lines[i]), seen), shares[i]);
            for (unsigned m = 0; m < 40; m++)
                hits[m] += seen[m];
        }
        for (unsigned m = 0; m < 40; m++) {
            assert_true(hits[m] > 50 * shares[i] * 6 / 10);
            assert_true(hits[m] < 50 * shares[i] * 15 / 10);
        }
    }
}

static void
a_scan_meets_all_that_is_there_throughout(void **state)
{
    struct two_clients *w = *state;
    unsigned long long cursor = 0;
    uint8_t seen[3000] = {0};
    char line[64];
    unsigned n = 0;

    fill(w, "z", 0, 3000);
    do {
        snprintf(line, sizeof line, "ZSCAN z %llu COUNT 37", cursor);
        const char *reply = fake_ask(&w->c, line);

        cursor = strtoull(strchr(reply + 4, '|') + 1, NULL, 10);
        (void)mark(reply, seen);
        /* Other scores move no member in the order of the scan. */
        snprintf(line, sizeof line, "ZADD z %u m%05u", n, (n * 7919) % 3000);
        (void)fake_ask(&w->other, line);
        n++;
    } while (cursor != 0);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(seen[i], 1);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, two_clients_end)
    const struct CMUnitTest tests[] = {
        T(members_are_added_and_removed),
        T(small_sets_have_no_negative_zero),
        T(ranks_and_counts),
        T(ranges_are_told),
        T(ranges_are_stored),
        T(ranges_are_removed),
        T(members_are_popped),
        T(sets_are_joined),
        T(scans_and_draws_answer_as_redis_does),
        T(resp3_has_doubles_and_pairs),
        T(changes_are_told_as_redis_names_them),
        T(a_long_range_is_as_of_one_moment),
        T(a_long_pop_takes_all_at_once),
        T(a_long_pop_begins_anew_when_the_key_is_another),
        T(a_long_removal_is_swept_before_its_answer),
        T(a_removal_in_a_transaction_is_swept_later),
        T(long_results_are_stored_in_slices),
        T(results_are_right_with_pages_out_of_memory),
        T(draws_without_repetition_repeat_nothing),
        T(draws_are_fair),
        T(a_scan_meets_all_that_is_there_throughout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
