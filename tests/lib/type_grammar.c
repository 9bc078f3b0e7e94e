#include "type_grammar.h"

#include <string.h>

#include "base/check.h"
#include "base/slice.h"

/* Words that begin with '$' stand for something: see words[]. */
static const char *const templates[] = {
    /* lists */
    "RPUSH $l $e",
    "RPUSH $l $e $e $e",
    "LPUSH $l $e",
    "LPUSH $l $e $e $e $e $e",
    "RPUSHX $l $e",
    "LPUSHX $l $e $e",
    "LPOP $l",
    "RPOP $l",
    "LPOP $l $n",
    "RPOP $l $n",
    "LLEN $l",
    "LRANGE $l 0 -1",
    "LRANGE $l $r $r",
    "LINDEX $l $r",
    "LSET $l $r $e",
    "LINSERT $l BEFORE $e $e",
    "LINSERT $l AFTER $e $e",
    "LINSERT $l FOO $e $e",
    "LREM $l $r $e",
    "LTRIM $l $r $r",
    "LPOS $l $e",
    "LPOS $l $e RANK $place",
    "LPOS $l $e COUNT $n",
    "LPOS $l $e RANK $place COUNT $n MAXLEN $n",
    "LMOVE $l $l $end $end",
    "RPOPLPUSH $l $l",
    "LMPOP 2 $l $l $end",
    "LMPOP 2 $l $l $end COUNT $n",
    "LMPOP $n $l $end",
    "BLPOP $l $l 0.001",
    "BRPOP $l 0.001",
    "BLMOVE $l $l $end $end 0.001",
    "BRPOPLPUSH $l $l 0.001",
    "BLMPOP 0.001 2 $l $l $end",
    "BLPOP $l foo",
    "BLPOP $l -1",
    /* sets */
    "SADD $s $e",
    "SADD $s $e $e $e",
    "SADD $s $i $i $i",
    "SREM $s $e",
    "SREM $s $e $i $e",
    "SISMEMBER $s $e",
    "SMISMEMBER $s $e $i $e",
    "SCARD $s",
    "SMEMBERS $s",
    "SMOVE $s $s $e",
    "SPOP $s 1000",
    "SPOP $s -1",
    "SPOP $s 0",
    "SRANDMEMBER $s 1000",
    "SRANDMEMBER $s 0",
    "SRANDMEMBER $s foo",
    "SINTER $s $s",
    "SINTER $s $s $s",
    "SUNION $s $s $s",
    "SDIFF $s $s",
    "SDIFF $s $s $s",
    "SINTERSTORE $s $s $s",
    "SUNIONSTORE $s $s $s",
    "SDIFFSTORE $s $s $s",
    "SINTERCARD 2 $s $s",
    "SINTERCARD 2 $s $s LIMIT $n",
    "SINTERCARD $n $s",
    "SSCAN $s 0 COUNT 1000",
    "SSCAN $s 0 COUNT 1000 MATCH *1*",
    "SSCAN $s foo",
    /* sorted sets */
    "ZADD $z $f $e",
    "ZADD $z $f $e $f $e $f $e",
    "ZADD $z $zopt $f $e",
    "ZADD $z $zopt $zopt $f $e $f $e",
    "ZADD $z INCR $f $e",
    "ZADD $z $zopt INCR $f $e",
    "ZADD $z $f $e $f",
    "ZINCRBY $z $f $e",
    "ZREM $z $e $e",
    "ZCARD $z",
    "ZSCORE $z $e",
    "ZMSCORE $z $e $e",
    "ZRANK $z $e",
    "ZREVRANK $z $e",
    "ZCOUNT $z $b $b",
    "ZADD $y 0 $e 0 $e 0 $e",
    "ZADD $y 0 $e",
    "ZREM $y $e",
    "ZLEXCOUNT $y $x $x",
    "ZRANGE $z 0 -1 WITHSCORES",
    "ZRANGE $z $r $r",
    "ZRANGE $z $r $r REV WITHSCORES",
    "ZRANGE $z $b $b BYSCORE",
    "ZRANGE $z $b $b BYSCORE REV LIMIT $r $r WITHSCORES",
    "ZRANGE $y $x $x BYLEX LIMIT $r $r",
    "ZRANGE $y $x $x BYLEX REV",
    "ZRANGE $z $x $x BYLEX WITHSCORES",
    "ZRANGE $z $r $r LIMIT 0 1",
    "ZRANGESTORE $z $z $r $r",
    "ZRANGESTORE $z $z $b $b BYSCORE LIMIT $n $n",
    "ZRANGESTORE $z $y $x $x BYLEX REV",
    "ZREVRANGE $z $r $r WITHSCORES",
    "ZRANGEBYSCORE $z $b $b WITHSCORES LIMIT $r $r",
    "ZREVRANGEBYSCORE $z $b $b",
    "ZRANGEBYLEX $y $x $x",
    "ZREVRANGEBYLEX $y $x $x LIMIT $n $n",
    "ZREMRANGEBYRANK $z $r $r",
    "ZREMRANGEBYSCORE $z $b $b",
    "ZREMRANGEBYLEX $y $x $x",
    "ZPOPMIN $z",
    "ZPOPMAX $z",
    "ZPOPMIN $z $n",
    "ZPOPMAX $z $n",
    "ZMPOP 2 $z $z MIN",
    "ZMPOP 2 $z $z MAX COUNT $n",
    "BZPOPMIN $z $z 0.001",
    "BZPOPMAX $z 0.001",
    "BZMPOP 0.001 2 $z $z MAX COUNT $n",
    "ZRANDMEMBER $z 0",
    "ZRANDMEMBER $z 1000 WITHSCORES",
    "ZUNION 2 $zs $zs WITHSCORES",
    "ZUNION 2 $zs $zs WEIGHTS $f $f AGGREGATE $agg WITHSCORES",
    "ZINTER 2 $zs $zs WITHSCORES",
    "ZINTER 3 $zs $zs $zs AGGREGATE $agg WITHSCORES",
    "ZDIFF 2 $zs $zs WITHSCORES",
    "ZDIFF 3 $zs $zs $zs",
    "ZUNIONSTORE $z 2 $zs $zs",
    "ZUNIONSTORE $z 2 $zs $zs WEIGHTS $f $f AGGREGATE $agg",
    "ZINTERSTORE $z 2 $zs $zs WEIGHTS 1 $f",
    "ZDIFFSTORE $z 2 $zs $zs",
    "ZINTERCARD 2 $zs $zs",
    "ZINTERCARD 2 $zs $zs LIMIT $n",
    "ZUNION $n $zs $zs",
    "ZSCAN $z 0 COUNT 1000",
    /* hashes */
    "HSET $h $e $e",
    "HSET $h $e $e $i $e $e $f",
    "HSET $h $e",
    "HMSET $h $e $e $e $i",
    "HSETNX $h $e $e",
    "HGET $h $e",
    "HMGET $h $e $e $i",
    "HGETALL $h",
    "HKEYS $h",
    "HVALS $h",
    "HLEN $h",
    "HSTRLEN $h $e",
    "HEXISTS $h $e",
    "HDEL $h $e",
    "HDEL $h $e $i $e",
    "HINCRBY $h $i $i",
    "HINCRBY $h $e $n",
    "HINCRBYFLOAT $h $i $f",
    "HRANDFIELD $h 1000",
    "HRANDFIELD $h 1000 WITHVALUES",
    "HRANDFIELD $h 0",
    "HRANDFIELD $h 3 FOO",
    "HSCAN $h 0 COUNT 1000",
    /* streams */
    "XADD $q $next $e $e",
    "XADD $q $next $e $e $e $e",
    "XADD $q $next name $e age $i",
    "XADD $q $id $e $e",
    "XADD $q MAXLEN $n $next $e $e",
    "XADD $q MINID $id $next $e $e",
    "XADD $q NOMKSTREAM $next $e $e",
    "XADD $q $next $e",
    "XLEN $q",
    "XRANGE $q - +",
    "XRANGE $q $id $id",
    "XRANGE $q ($id + COUNT $n",
    "XREVRANGE $q + - COUNT $n",
    "XREVRANGE $q $id $id",
    "XDEL $q $id $id",
    "XTRIM $q MAXLEN $n",
    "XTRIM $q MINID $id",
    "XREAD STREAMS $q $q $id $id",
    "XREAD COUNT $n STREAMS $q $id",
    "XREAD BLOCK 1 STREAMS $q $",
    "XREAD STREAMS $q $q $id",
    "XGROUP CREATE $q $g $id",
    "XGROUP CREATE $q $g $ MKSTREAM",
    "XGROUP CREATE $q $g 0",
    "XGROUP CREATE $q $g $id ENTRIESREAD $n",
    "XGROUP SETID $q $g $id",
    "XGROUP DESTROY $q $g",
    "XGROUP CREATECONSUMER $q $g $c",
    "XGROUP DELCONSUMER $q $g $c",
    "XREADGROUP GROUP $g $c COUNT $n STREAMS $q >",
    "XREADGROUP GROUP $g $c STREAMS $q >",
    "XREADGROUP GROUP $g $c NOACK COUNT $n STREAMS $q >",
    "XREADGROUP GROUP $g $c COUNT $n STREAMS $q $id",
    "XACK $q $g $id $id $id",
    "XPENDING $q $g",
    "XPENDING $q $g - + 10",
    "XPENDING $q $g $id + $n $c",
    "XCLAIM $q $g $c 0 $id $id",
    "XCLAIM $q $g $c 0 $id JUSTID",
    "XCLAIM $q $g $c 0 $id FORCE RETRYCOUNT $n",
    "XCLAIM $q $g $c 1000000 $id",
    "XAUTOCLAIM $q $g $c 0 $id COUNT $n",
    "XAUTOCLAIM $q $g $c 0 0 JUSTID",
    "XINFO STREAM $q",
    "XINFO GROUPS $q",
    /* HyperLogLog, places, sorting */
    "PFADD $p $e $e $e",
    "PFADD $p",
    "PFCOUNT $p",
    "PFCOUNT $p $p",
    "PFMERGE $p $p $p",
    "GET $p",
    "GEOADD $o $lon $lat $e",
    "GEOADD $o $zopt $lon $lat $e $lon $lat $e",
    "GEODIST $o $e $e",
    "GEODIST $o $e $e $unit",
    "GEOHASH $o $e $e",
    "GEOPOS $o $e $e",
    "GEOSEARCH $o FROMLONLAT $lon $lat BYRADIUS $f $unit",
    "GEOSEARCH $o FROMMEMBER $e BYRADIUS 300 km ASC WITHCOORD WITHDIST "
    "WITHHASH",
    "GEOSEARCH $o FROMLONLAT $lon $lat BYBOX 900 500 km DESC WITHDIST",
    "GEOSEARCHSTORE $o $o FROMLONLAT $lon $lat BYRADIUS 500 km",
    "GEOSEARCHSTORE $o $o FROMLONLAT $lon $lat BYRADIUS 500 km STOREDIST",
    "GEORADIUS $o $lon $lat 400 km WITHDIST ASC",
    "GEORADIUS_RO $o $lon $lat 400 $unit WITHHASH",
    "GEORADIUSBYMEMBER $o $e 400 km ASC",
    "SORT $l",
    "SORT $l ALPHA",
    "SORT $l ALPHA DESC LIMIT $n $n",
    "SORT $s ALPHA GET # GET w:*",
    "SORT $l BY nosort GET #",
    "SORT $z BY nosort",
    "SORT $s ALPHA STORE $l",
    "SORT $z ALPHA DESC",
    "SORT_RO $s ALPHA BY w:*->f",
    /* keys */
    "DEL $any",
    "UNLINK $any $any",
    "TYPE $any",
    "EXISTS $any $any",
    "RENAME $any $any",
    "RENAMENX $any $any",
    "COPY $any $any",
    "COPY $any $any REPLACE",
    "MOVE $any 1",
    "OBJECT ENCODING $any",
    "EXPIRE $any 5000",
    "EXPIRE $any -1",
    "PERSIST $any",
    "TTL $any",
    "SET $any $e",
    "GET $any",
    "APPEND $any $e",
    "INCR $any",
    "SELECT 0",
    "SELECT 0",
    "SELECT 1",
    "SWAPDB 0 1",
    "DBSIZE",
    "TOUCH $any",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH $any",
    "UNWATCH",
};

/* --- words --------------------------------------------------------------- */

struct word {
    const char *name;
    const char *list[40]; /* up to NULL */
};

static const struct word words[] = {
    {"$e",
     {"a",
      "b",
      "c",
      "d",
      "e",
      "f",
      "g",
      "h",
      "aa",
      "ab",
      "abc",
      "foo",
      "bar",
      "x1",
      "x2",
      "x3",
      "member",
      "0",
      "1",
      "2",
      "3",
      "-7",
      "10",
      "100",
      "007",
      "1.5",
      "\"\"",
      "\"two words\"",
      "\"\\x01\\xff\"",
      "\"\\r\\n\"",
      "a-value-of-more-than-sixty-four-bytes-that-needs-another-encoding-here",
      "9223372036854775807",
      "z",
      "y",
      "w"}},
    {"$i",
     {"0",
      "1",
      "2",
      "3",
      "4",
      "5",
      "-1",
      "-5",
      "10",
      "99",
      "1000",
      "40000",
      "-40000",
      "70000",
      "5000000000",
      "9223372036854775807",
      "-9223372036854775808",
      "17",
      "18",
      "19"}},
    {"$f",
     {"0", "1", "1", "2", "3", "-1", "1.5", "0.1", "-2.25", "100", "1e3",
      "3.0e-5", "inf", "-inf", "+inf", "nan", "abc", "1e400",
      "1234567890.125"}},
    {"$r",
     {"0", "1", "2", "3", "5", "-1", "-2", "-3", "-5", "10", "-10", "100",
      "-100", "9223372036854775807", "-9223372036854775808", "abc"}},
    {"$place", {"1", "2", "3", "-1", "-2", "-3", "0", "100", "-100", "abc"}},
    {"$n", {"0", "1", "2", "3", "5", "10", "100", "-1", "abc", "1", "2", "3"}},
    {"$b",
     {"-inf", "+inf", "inf", "0", "1", "2", "3", "(1", "(2", "-1", "1.5",
      "(-inf", "(inf", "100", "abc", "(", "nan"}},
    {"$x",
     {"-", "+", "[a", "(a", "[b", "(c", "[foo", "(x2", "[z", "a", "[", "(",
      "[x1"}},
    {"$end", {"LEFT", "RIGHT", "left", "right", "MIDDLE"}},
    {"$zopt", {"NX", "XX", "GT", "LT", "CH", "CH"}},
    {"$agg", {"SUM", "MIN", "MAX", "min", "AVG"}},
    {"$g", {"g1", "g2", "g3"}},
    {"$c", {"c1", "c2", "c3"}},
    {"$unit", {"m", "km", "mi", "ft", "km", "yd"}},
    {"$lon",
     {"13.361389", "15.087269", "14.5", "15", "-180", "180", "181", "2.349014",
      "13.4", "14.0001", "-0.127758", "13.36139"}},
    {"$lat",
     {"38.115556", "37.502669", "37.9", "37", "-85.05112878", "85.05112878",
      "86", "48.864716", "38.2", "37.5001", "51.507351", "38.11556"}},
};

/* Keys: each type has some of its own, and now and then takes another's.  The
 * sorted sets "y" have one score only, as ranges by member want it. */
static const char key_letters[] = "lszhqpo";

static void
put_key(struct type_grammar *g, struct buf *out, char letter)
{
    if (letter != 'y' && rng_below(&g->rng, 60) == 0)
        letter = key_letters[rng_below(&g->rng, sizeof key_letters - 1)];
    buf_printf(out, "%c:%u", letter,
               (unsigned)rng_below(&g->rng, g->keys > 0 ? g->keys : TYPE_KEYS));
}

static void
put_id(struct type_grammar *g, struct buf *out)
{
    uint64_t back = rng_below(&g->rng, 40);

    buf_printf(out, "%llu",
               (unsigned long long)(g->next_id > back ? g->next_id - back : 0));
    if (rng_below(&g->rng, 3) > 0)
        buf_printf(out, "-%u", (unsigned)rng_below(&g->rng, 3));
}

static bool
put_listed(struct type_grammar *g, struct buf *out, const char *name,
           size_t len)
{
    for (size_t i = 0; i < nq_countof(words); i++) {
        size_t n = 0;

        if (strlen(words[i].name) != len ||
            memcmp(words[i].name, name, len) != 0)
            continue;
        while (n < nq_countof(words[i].list) && words[i].list[n] != NULL)
            n++;
        buf_put_str(out, words[i].list[rng_below(&g->rng, n)]);
        return true;
    }
    return false;
}

static void
put_word(struct type_grammar *g, struct buf *out, const char *name, size_t len)
{
    struct slice word = slice_of(name, len);

    if (slice_eq(word, slice_lit("$any")))
        put_key(g, out,
                key_letters[rng_below(&g->rng, sizeof key_letters - 1)]);
    else if (slice_eq(word, slice_lit("$zs")))
        put_key(g, out, rng_below(&g->rng, 4) == 0 ? 's' : 'z');
    else if (slice_eq(word, slice_lit("$id")))
        put_id(g, out);
    else if (slice_eq(word, slice_lit("$next")))
        buf_printf(out, "%llu-%u", (unsigned long long)g->next_id++,
                   (unsigned)rng_below(&g->rng, 3));
    else if (len == 1 || !put_listed(g, out, name, len)) {
        if (len == 2)
            put_key(g, out, name[1]);
        else
            buf_put(out, name, len);
    }
}

void
type_command(struct type_grammar *g, struct buf *out)
{
    const char *p = templates[rng_below(&g->rng, nq_countof(templates))];

    while (*p != '\0') {
        size_t n = strcspn(p, " ");

        if (n > 2 && p[0] == '(' && p[1] == '$') {
            buf_put_u8(out, '(');
            put_word(g, out, p + 1, n - 1);
        } else if (p[0] == '$') {
            put_word(g, out, p, n);
        } else {
            buf_put(out, p, n);
        }
        p += n;
        while (*p == ' ')
            buf_put_u8(out, (uint8_t)*p++);
    }
    buf_put_u8(out, 0);
}

const char *
type_whole_read(const char *type)
{
    static const struct {
        const char *type, *read;
    } reads[] = {
        {"+string", "GET %s"},   {"+list", "LRANGE %s 0 -1"},
        {"+set", "SMEMBERS %s"}, {"+zset", "ZRANGE %s 0 -1 WITHSCORES"},
        {"+hash", "HGETALL %s"}, {"+stream", "XRANGE %s - +"},
    };

    for (size_t i = 0; i < nq_countof(reads); i++)
        if (strcmp(reads[i].type, type) == 0)
            return reads[i].read;
    return NULL;
}
