/* The commands of streams: exact replies in RESP2 and RESP3 (they are those
 * of redis-server 7.2.4).  Waiting and long answers are tested in
 * test_cmd_stream_long.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../lib/two_clients.h"
#include "os/clock.h"

#define POOL (64u << 20)
#define NOW UINT64_C(1700000000000)
#define WRONGTYPE                                                              \
    "-WRONGTYPE Operation against a key holding the wrong kind of value|"
#define NOT_INT "-ERR value is not an integer or out of range|"
#define SYNTAX "-ERR syntax error|"
#define BAD_ID "-ERR Invalid stream ID specified as stream command argument|"

static int
setup(void **state)
{
    struct two_clients *w;

    clock_freeze_wall(NOW);
    w = two_clients_begin(state, POOL);
    fake_expect(&w->c, "set str v", "+OK|");
    return 0;
}

/* --- what is answered ---------------------------------------------------- */

static void
ids_are_given_and_checked_as_in_redis(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "xadd s 1-1 a 1", "$3|1-1|");
    fake_expect(c, "xadd s 1-1 a 1",
                "-ERR The ID specified in XADD is equal or smaller than the "
                "target stream top item|");
    fake_expect(c, "xadd s 1-0 a 1",
                "-ERR The ID specified in XADD is equal or smaller than the "
                "target stream top item|");
    fake_expect(c, "xadd s 1-* a 2", "$3|1-2|");
    fake_expect(c, "xadd s 2 a 3", "$3|2-0|");
    fake_expect(c, "xadd s 2-* a 3 b 4", "$3|2-1|");
    fake_expect(c, "xadd s 0-0 a 1",
                "-ERR The ID specified in XADD must be greater than 0-0|");
    fake_expect(c, "xadd s2 0-* a 1", "$3|0-1|");
    fake_expect(c, "xadd s 0-* a 1",
                "-ERR The ID specified in XADD is equal or smaller than the "
                "target stream top item|");
    fake_expect(c, "xadd s x a 1", BAD_ID);
    fake_expect(c, "xadd s 1-x a 1", BAD_ID);
    fake_expect(c, "xadd s - a 1", BAD_ID);
    fake_expect(c, "xadd s 3-1 a",
                "-ERR wrong number of arguments for 'xadd' command|");
    fake_expect(c, "xadd s 3-1 a 1 b",
                "-ERR wrong number of arguments for 'xadd' command|");
    fake_expect(c, "xadd s 18446744073709551615-18446744073709551615 a 1",
                "$41|18446744073709551615-18446744073709551615|");
    fake_expect(c, "xadd s * a 1",
                "-ERR The stream has exhausted the last possible ID, unable to "
                "add more items|");
    fake_expect(c, "xadd s 18446744073709551615-* a 1",
                "-ERR The stream has exhausted the last possible ID, unable to "
                "add more items|");
    fake_expect(c, "xadd none nomkstream 1-1 a 1", "$-1|");
    fake_expect(c, "exists none", ":0|");
    fake_expect(c, "xadd str 1-1 a 1", WRONGTYPE);
    fake_expect(c, "xlen s", ":5|");
    fake_expect(c, "xlen none", ":0|");
    fake_expect(c, "xlen str", WRONGTYPE);
    fake_expect(c, "type s", "+stream|");
    fake_expect(c, "object encoding s", "$6|stream|");
}

static void
ranges_have_open_and_closed_ends(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "xadd s 1-1 a 1", "$3|1-1|");
    fake_expect(c, "xadd s 1-2 b 2 c 3", "$3|1-2|");
    fake_expect(c, "xadd s 2-0 '' ''", "$3|2-0|");
    fake_expect(c, "xadd s 3-0 d 4", "$3|3-0|");
    fake_expect(c, "xrange s - +",
                "*4|*2|$3|1-1|*2|$1|a|$1|1|*2|$3|1-2|*4|$1|b|$1|2|$1|c|$1|3|*2|"
                "$3|2-0|*2|$0||$0||*2|$3|3-0|*2|$1|d|$1|4|");
    fake_expect(c, "xrange s 1 1",
                "*2|*2|$3|1-1|*2|$1|a|$1|1|*2|$3|1-2|*4|$1|b|$1|2|$1|c|$1|3|");
    fake_expect(c, "xrange s (1-1 (3-0",
                "*2|*2|$3|1-2|*4|$1|b|$1|2|$1|c|$1|3|*2|$3|2-0|*2|$0||$0||");
    fake_expect(c, "xrange s 1-2 2",
                "*2|*2|$3|1-2|*4|$1|b|$1|2|$1|c|$1|3|*2|$3|2-0|*2|$0||$0||");
    fake_expect(c, "xrange s + -", "*0|");
    fake_expect(c, "xrevrange s + - count 2",
                "*2|*2|$3|3-0|*2|$1|d|$1|4|*2|$3|2-0|*2|$0||$0||");
    fake_expect(c, "xrevrange s (3 1-2",
                "*3|*2|$3|3-0|*2|$1|d|$1|4|*2|$3|2-0|*2|$0||$0||*2|$3|1-2|*4|$"
                "1|b|$1|2|$1|c|$1|3|");
    fake_expect(c, "xrevrange s - +", "*0|");
    fake_expect(c, "xrange s - + count 0", "*-1|");
    fake_expect(c, "xrange s - + count -5", "*-1|");
    fake_expect(c, "xrange s - + count 1", "*1|*2|$3|1-1|*2|$1|a|$1|1|");
    fake_expect(c, "xrange none - +", "*0|");
    fake_expect(c, "xrange str - +", WRONGTYPE);
    fake_expect(c, "xrange s (- +", BAD_ID);
    fake_expect(c, "xrange s ( +", BAD_ID);
    fake_expect(c, "xrange s (18446744073709551615-18446744073709551615 +",
                "-ERR invalid start ID for the interval|");
    fake_expect(c, "xrange s - (0-0", "-ERR invalid end ID for the interval|");
    fake_expect(c, "xrange s x +", BAD_ID);
    fake_expect(c, "xrange s - + count", SYNTAX);
    fake_expect(c, "xrange s - + count x", NOT_INT);
    fake_expect(c, "xrange s - + foo 1", SYNTAX);
}

static void
trimming_obeys_its_words(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "xadd s 1-1 a 1", "$3|1-1|");
    fake_expect(c, "xadd s 2-1 a 1", "$3|2-1|");
    fake_expect(c, "xadd s 3-1 a 1", "$3|3-1|");
    fake_expect(c, "xadd s 4-1 a 1", "$3|4-1|");
    fake_expect(c, "xtrim s maxlen 3", ":1|");
    fake_expect(c, "xtrim s minid = 3", ":1|");
    fake_expect(c, "xadd s maxlen = 2 5-1 a 1", "$3|5-1|");
    fake_expect(c, "xrange s - +",
                "*2|*2|$3|4-1|*2|$1|a|$1|1|*2|$3|5-1|*2|$1|a|$1|1|");
    fake_expect(c, "xadd s minid 5-1 6-1 a 1", "$3|6-1|");
    fake_expect(c, "xlen s", ":2|");
    fake_expect(c, "xtrim s maxlen ~ 1", ":0|");
    fake_expect(c, "xtrim s maxlen ~ 0 limit 1", ":0|");
    fake_expect(c, "xadd s maxlen 0 7-1 a 1", "$3|7-1|");
    fake_expect(c, "xlen s", ":0|");
    fake_expect(c, "xtrim s maxlen 3 minid 4",
                "-ERR syntax error, MAXLEN and MINID options at the same time "
                "are not compatible|");
    fake_expect(c, "xtrim s maxlen 3 limit 4",
                "-ERR syntax error, LIMIT cannot be used without the special ~ "
                "option|");
    fake_expect(c, "xtrim s maxlen -1",
                "-ERR The MAXLEN argument must be >= 0.|");
    fake_expect(c, "xtrim s maxlen x", NOT_INT);
    fake_expect(c, "xtrim s minid x", BAD_ID);
    fake_expect(c, "xtrim s maxlen ~ 3 limit -1",
                "-ERR The LIMIT argument must be >= 0.|");
    fake_expect(c, "xtrim s limit 3",
                "-ERR syntax error, LIMIT cannot be used without specifying a "
                "trimming strategy|");
    fake_expect(c, "xtrim s foo 3", SYNTAX);
    fake_expect(c, "xtrim none maxlen 3", ":0|");
    fake_expect(c, "xtrim str maxlen 3", WRONGTYPE);
    fake_expect(c, "xadd s limit 3 8-1 a 1",
                "-ERR syntax error, LIMIT cannot be used without specifying a "
                "trimming strategy|");
    fake_expect(c, "xadd s maxlen 3 limit 3 8-1 a 1",
                "-ERR syntax error, LIMIT cannot be used without the special ~ "
                "option|");
}

static void
deleting_leaves_the_last_id(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "xadd s 1-1 a 1", "$3|1-1|");
    fake_expect(c, "xadd s 2-1 a 1", "$3|2-1|");
    fake_expect(c, "xadd s 3-1 a 1", "$3|3-1|");
    fake_expect(c, "xdel s 3-1 9-9 3-1", ":1|");
    fake_expect(c, "xdel s 1", ":0|");
    fake_expect(c, "xdel s 1-1 x", BAD_ID);
    fake_expect(c, "xadd s 3-1 a 1",
                "-ERR The ID specified in XADD is equal or smaller than the "
                "target stream top item|");
    fake_expect(c, "xdel s 1-1 2-1", ":2|");
    fake_expect(c, "xlen s", ":0|");
    fake_expect(c, "exists s", ":1|");
    fake_expect(c, "xinfo stream s full",
                "*18|$6|length|:0|$15|radix-tree-keys|:0|$16|radix-tree-nodes|:"
                "1|$17|last-generated-id|$3|3-1|$20|max-deleted-entry-id|$3|3-"
                "1|$13|entries-added|:3|$23|recorded-first-entry-id|$3|0-0|$7|"
                "entries|*0|$6|groups|*0|");
    fake_expect(c, "xdel none 1-1", ":0|");
    fake_expect(c, "xdel str 1-1", WRONGTYPE);
    fake_expect(c, "xsetid s 5-1", "+OK|");
    fake_expect(c, "xsetid s 2-0",
                "-ERR The ID specified in XSETID is smaller than current "
                "max_deleted_entry_id|");
    fake_expect(c, "xsetid s 9-1 entriesadded 10 maxdeletedid 4-0", "+OK|");
    fake_expect(c, "xsetid s 9-1 maxdeletedid 10-0",
                "-ERR The ID specified in XSETID is smaller than the provided "
                "max_deleted_entry_id|");
    fake_expect(c, "xsetid s 9-1 entriesadded -1",
                "-ERR entries_added must be positive|");
    fake_expect(c, "xsetid s 9-1 foo", SYNTAX);
    fake_expect(c, "xsetid none 9-1", "-ERR no such key|");
    fake_expect(c, "xsetid str 9-1", WRONGTYPE);
    fake_expect(c, "xadd s 10-1 a 1", "$4|10-1|");
    fake_expect(c, "xsetid s 9-2",
                "-ERR The ID specified in XSETID is smaller than the target "
                "stream top item|");
    fake_expect(c, "xsetid s 10-1 entriesadded 0",
                "-ERR The entries_added specified in XSETID is smaller than "
                "the target stream length|");
    fake_expect(c, "xsetid s x", BAD_ID);
}

static void
reads_begin_behind_an_id(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "xadd s 1-1 a 1", "$3|1-1|");
    fake_expect(c, "xadd s 2-1 b 2", "$3|2-1|");
    fake_expect(c, "xadd t 1-5 c 3", "$3|1-5|");
    fake_expect(c, "xread streams s 0",
                "*1|*2|$1|s|*2|*2|$3|1-1|*2|$1|a|$1|1|*2|$3|2-1|*2|$1|b|$1|2|");
    fake_expect(c, "xread streams s t 1-1 0",
                "*2|*2|$1|s|*1|*2|$3|2-1|*2|$1|b|$1|2|*2|$1|t|*1|*2|$3|1-5|*2|$"
                "1|c|$1|3|");
    fake_expect(c, "xread count 1 streams s t 0 0",
                "*2|*2|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|1|*2|$1|t|*1|*2|$3|1-5|*2|$"
                "1|c|$1|3|");
    fake_expect(c, "xread streams s $", "*-1|");
    fake_expect(c, "xread streams s 2-1", "*-1|");
    fake_expect(c, "xread streams none 0", "*-1|");
    fake_expect(c, "xread streams none s 0 1",
                "*1|*2|$1|s|*2|*2|$3|1-1|*2|$1|a|$1|1|*2|$3|2-1|*2|$1|b|$1|2|");
    fake_expect(c, "xread count 0 streams s 1",
                "*1|*2|$1|s|*2|*2|$3|1-1|*2|$1|a|$1|1|*2|$3|2-1|*2|$1|b|$1|2|");
    fake_expect(c, "xread count -1 streams s 1",
                "*1|*2|$1|s|*2|*2|$3|1-1|*2|$1|a|$1|1|*2|$3|2-1|*2|$1|b|$1|2|");
    fake_expect(c, "xread streams s >",
                "-ERR The > ID can be specified only when calling XREADGROUP "
                "using the GROUP <group> <consumer> option.|");
    fake_expect(c, "xread streams s x", BAD_ID);
    fake_expect(c, "xread streams s",
                "-ERR wrong number of arguments for 'xread' command|");
    fake_expect(c, "xread streams s t 0",
                "-ERR Unbalanced 'xread' list of streams: for each stream key "
                "an ID or '$' must be specified.|");
    fake_expect(c, "xread count x streams s 0", NOT_INT);
    fake_expect(c, "xread block -1 streams s 0", "-ERR timeout is negative|");
    fake_expect(c, "xread block x streams s 0",
                "-ERR timeout is not an integer or out of range|");
    fake_expect(c, "xread foo streams s 0", SYNTAX);
    fake_expect(c, "xread group g c streams s 0",
                "-ERR The GROUP option is only supported by XREADGROUP. You "
                "called XREAD instead.|");
    fake_expect(c, "xread noack streams s 0",
                "-ERR The NOACK option is only supported by XREADGROUP. You "
                "called XREAD instead.|");
    fake_expect(c, "xread count 1 s 0", SYNTAX);
    fake_expect(c, "xread streams str 0", WRONGTYPE);
}

static void
groups_are_made_once(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "xgroup create s g 0",
                "-ERR The XGROUP subcommand requires the key to exist. Note "
                "that for CREATE you may want to use the MKSTREAM option to "
                "create an empty stream automatically.|");
    fake_expect(c, "xgroup create s g 0 mkstream", "+OK|");
    fake_expect(c, "xgroup create s g 0 mkstream",
                "-BUSYGROUP Consumer Group name already exists|");
    fake_expect(c, "xgroup create s h $ entriesread 5", "+OK|");
    fake_expect(c, "xgroup create s i x", BAD_ID);
    fake_expect(c, "xgroup create s i 0 entriesread -2",
                "-ERR value for ENTRIESREAD must be positive or -1|");
    fake_expect(c, "xgroup create s i 0 entriesread x", NOT_INT);
    fake_expect(c, "xgroup create s i 0 foo",
                "-ERR unknown subcommand or wrong number of arguments for "
                "'create'. Try XGROUP HELP.|");
    fake_expect(c, "xgroup create s i",
                "-ERR wrong number of arguments for 'xgroup|create' command|");
    fake_expect(c, "xgroup create str g 0", WRONGTYPE);
    fake_expect(c, "xgroup setid s g 5-1", "+OK|");
    fake_expect(c, "xgroup setid s g $ entriesread 3", "+OK|");
    fake_expect(c, "xgroup setid s none 0",
                "-NOGROUP No such consumer group 'none' for key name 's'|");
    fake_expect(c, "xgroup setid none g 0",
                "-ERR The XGROUP subcommand requires the key to exist. Note "
                "that for CREATE you may want to use the MKSTREAM option to "
                "create an empty stream automatically.|");
    fake_expect(c, "xgroup createconsumer s g ann", ":1|");
    fake_expect(c, "xgroup createconsumer s g ann", ":0|");
    fake_expect(c, "xgroup createconsumer s none ann",
                "-NOGROUP No such consumer group 'none' for key name 's'|");
    fake_expect(c, "xgroup createconsumer none g ann",
                "-ERR The XGROUP subcommand requires the key to exist. Note "
                "that for CREATE you may want to use the MKSTREAM option to "
                "create an empty stream automatically.|");
    fake_expect(c, "xgroup delconsumer s g ann", ":0|");
    fake_expect(c, "xgroup delconsumer s g ann", ":0|");
    fake_expect(c, "xgroup delconsumer s none ann",
                "-NOGROUP No such consumer group 'none' for key name 's'|");
    fake_expect(c, "xgroup destroy s h", ":1|");
    fake_expect(c, "xgroup destroy s h", ":0|");
    fake_expect(c, "xgroup destroy none h",
                "-ERR The XGROUP subcommand requires the key to exist. Note "
                "that for CREATE you may want to use the MKSTREAM option to "
                "create an empty stream automatically.|");
    fake_expect(c, "xinfo groups s",
                "*1|*12|$4|name|$1|g|$9|consumers|:0|$7|pending|:0|$17|last-"
                "delivered-id|$3|0-0|$12|entries-read|:3|$3|lag|:0|");
    fake_expect(c, "xinfo groups none", "-ERR no such key|");
    fake_expect(c, "xinfo groups str", WRONGTYPE);
    fake_expect(c, "xinfo consumers s none",
                "-NOGROUP No such consumer group 'none' for key name 's'|");
    fake_expect(c, "xgroup foo s",
                "-ERR unknown subcommand 'foo'. Try XGROUP HELP.|");
    fake_expect(c, "xinfo foo s",
                "-ERR unknown subcommand 'foo'. Try XINFO HELP.|");
    fake_expect(c, "xinfo stream s foo",
                "-ERR unknown subcommand or wrong number of arguments for "
                "'stream'. Try XINFO HELP.|");
    fake_expect(c, "xinfo stream none", "-ERR no such key|");
}

static void
groups_deliver_acknowledge_and_tell(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "xadd s 1-1 a 1", "$3|1-1|");
    fake_expect(c, "xadd s 2-1 b 2", "$3|2-1|");
    fake_expect(c, "xadd s 3-1 c 3", "$3|3-1|");
    fake_expect(c, "xgroup create s g 0", "+OK|");
    fake_expect(c, "xreadgroup group g ann count 2 streams s >",
                "*1|*2|$1|s|*2|*2|$3|1-1|*2|$1|a|$1|1|*2|$3|2-1|*2|$1|b|$1|2|");
    fake_expect(c, "xreadgroup group g ann streams s 0",
                "*1|*2|$1|s|*2|*2|$3|1-1|*2|$1|a|$1|1|*2|$3|2-1|*2|$1|b|$1|2|");
    fake_expect(c, "xreadgroup group g ann count 1 streams s 1-1",
                "*1|*2|$1|s|*1|*2|$3|2-1|*2|$1|b|$1|2|");
    fake_expect(c, "xreadgroup group g bob noack streams s >",
                "*1|*2|$1|s|*1|*2|$3|3-1|*2|$1|c|$1|3|");
    fake_expect(c, "xreadgroup group g bob streams s >", "*-1|");
    fake_expect(c, "xreadgroup group g bob streams s 0", "*1|*2|$1|s|*0|");
    fake_expect(c, "xdel s 1-1", ":1|");
    fake_expect(c, "xreadgroup group g ann streams s 0",
                "*1|*2|$1|s|*2|*2|$3|1-1|*-1|*2|$3|2-1|*2|$1|b|$1|2|");
    fake_expect(c, "xpending s g", "*4|:2|$3|1-1|$3|2-1|*1|*2|$3|ann|$1|2|");
    fake_expect(c, "xpending s g - + 10 bob", "*0|");
    fake_expect(c, "xpending s g - + 10 none", "*0|");
    fake_expect(c, "xpending s g (1-1 + 0", "*0|");
    fake_expect(c, "xack s g 2-1 2-1 9-9", ":1|");
    fake_expect(c, "xack s g 2-1", ":0|");
    fake_expect(c, "xack s g x", BAD_ID);
    fake_expect(c, "xack s none x", ":0|");
    fake_expect(c, "xack none g 1-1", ":0|");
    fake_expect(c, "xack str g 1-1", WRONGTYPE);
    fake_expect(c, "xpending s g", "*4|:1|$3|1-1|$3|1-1|*1|*2|$3|ann|$1|1|");
    fake_expect(c, "xack s g 1-1", ":1|");
    fake_expect(c, "xpending s g", "*4|:0|$-1|$-1|*-1|");
    fake_expect(c, "xpending s none",
                "-NOGROUP No such key 's' or consumer group 'none'|");
    fake_expect(c, "xpending none g",
                "-NOGROUP No such key 'none' or consumer group 'g'|");
    fake_expect(c, "xpending str g", WRONGTYPE);
    fake_expect(c, "xpending s g -", SYNTAX);
    fake_expect(c, "xpending s g - + x", NOT_INT);
    fake_expect(c, "xpending s g x + 1", BAD_ID);
    fake_expect(c, "xpending s g idle x - + 1", NOT_INT);
    fake_expect(c, "xpending s g idle 1 - +", SYNTAX);
    fake_expect(c, "xinfo groups s",
                "*1|*12|$4|name|$1|g|$9|consumers|:2|$7|pending|:0|$17|last-"
                "delivered-id|$3|3-1|$12|entries-read|:3|$3|lag|:0|");
    fake_expect(c, "xreadgroup group none ann streams s >",
                "-NOGROUP No such key 's' or consumer group 'none' in "
                "XREADGROUP with GROUP option|");
    fake_expect(c, "xreadgroup group g ann streams none >",
                "-NOGROUP No such key 'none' or consumer group 'g' in "
                "XREADGROUP with GROUP option|");
    fake_expect(c, "xreadgroup group g ann streams s $",
                "-ERR The $ ID is meaningless in the context of XREADGROUP: "
                "you want to read the history of this consumer by specifying a "
                "proper ID, or use the > ID to get new messages. The $ ID "
                "would just return an empty result set.|");
    fake_expect(c, "xreadgroup group g ann streams s x", BAD_ID);
    fake_expect(c, "xreadgroup group g ann streams s t >",
                "-ERR Unbalanced 'xreadgroup' list of streams: for each stream "
                "key an ID or '>' must be specified.|");
    fake_expect(c, "xreadgroup count 1 noack streams s >",
                "-ERR Missing GROUP option for XREADGROUP|");
    fake_expect(c, "xreadgroup group g ann foo streams s >", SYNTAX);
}

static void
claims_change_the_owner(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "xadd s 1-1 a 1", "$3|1-1|");
    fake_expect(c, "xadd s 2-1 b 2", "$3|2-1|");
    fake_expect(c, "xadd s 3-1 c 3", "$3|3-1|");
    fake_expect(c, "xgroup create s g 0", "+OK|");
    fake_expect(c, "xreadgroup group g ann count 2 streams s >",
                "*1|*2|$1|s|*2|*2|$3|1-1|*2|$1|a|$1|1|*2|$3|2-1|*2|$1|b|$1|2|");
    fake_expect(c, "xclaim s g bob 0 1-1", "*1|*2|$3|1-1|*2|$1|a|$1|1|");
    fake_expect(c, "xclaim s g bob 100000 2-1", "*0|");
    fake_expect(c, "xclaim s g bob 0 2-1 justid", "*1|$3|2-1|");
    fake_expect(c, "xclaim s g bob 0 3-1 justid", "*0|");
    fake_expect(c, "xclaim s g bob 0 3-1 justid force", "*1|$3|3-1|");
    fake_expect(c, "xclaim s g bob 0 9-9 force", "*0|");
    fake_expect(c, "xclaim s g bob 0 1-1 1-1 3-1 justid retrycount 7",
                "*3|$3|1-1|$3|1-1|$3|3-1|");
    fake_expect(c, "xdel s 2-1", ":1|");
    fake_expect(c, "xclaim s g bob 0 2-1", "*0|");
    fake_expect(c, "xpending s g", "*4|:2|$3|1-1|$3|3-1|*1|*2|$3|bob|$1|2|");
    fake_expect(c, "xclaim s g bob 0 1-1 lastid 9-1 idle 5 time 5 justid",
                "*1|$3|1-1|");
    fake_expect(c, "xclaim s g bob x 1-1",
                "-ERR Invalid min-idle-time argument for XCLAIM|");
    fake_expect(c, "xclaim s g bob 0 1-1 foo",
                "-ERR Unrecognized XCLAIM option 'foo'|");
    fake_expect(c, "xclaim s g bob 0 1-1 idle x",
                "-ERR Invalid IDLE option argument for XCLAIM|");
    fake_expect(c, "xclaim s g bob 0 1-1 time x",
                "-ERR Invalid TIME option argument for XCLAIM|");
    fake_expect(c, "xclaim s g bob 0 1-1 retrycount x",
                "-ERR Invalid RETRYCOUNT option argument for XCLAIM|");
    fake_expect(c, "xclaim s none bob 0 1-1",
                "-NOGROUP No such key 's' or consumer group 'none'|");
    fake_expect(c, "xclaim none g bob 0 1-1",
                "-NOGROUP No such key 'none' or consumer group 'g'|");
    fake_expect(c, "xclaim str g bob 0 1-1", WRONGTYPE);
    fake_expect(c, "xautoclaim s g cy 0 0 count 1",
                "*3|$3|3-1|*1|*2|$3|1-1|*2|$1|a|$1|1|*0|");
    fake_expect(c, "xautoclaim s g cy 0 (1-1 justid",
                "*3|$3|0-0|*1|$3|3-1|*0|");
    fake_expect(c, "xdel s 3-1", ":1|");
    fake_expect(c, "xautoclaim s g ann 0 -",
                "*3|$3|0-0|*1|*2|$3|1-1|*2|$1|a|$1|1|*1|$3|3-1|");
    fake_expect(c, "xautoclaim s g ann 100000 0", "*3|$3|0-0|*0|*0|");
    fake_expect(c, "xautoclaim s g ann 0 0 count 0", "-ERR COUNT must be > 0|");
    fake_expect(c, "xautoclaim s g ann 0 0 foo", SYNTAX);
    fake_expect(c, "xautoclaim s g ann x 0",
                "-ERR Invalid min-idle-time argument for XAUTOCLAIM|");
    fake_expect(c, "xautoclaim s g ann 0 x", BAD_ID);
    fake_expect(c, "xautoclaim s none ann 0 0",
                "-NOGROUP No such key 's' or consumer group 'none'|");
    fake_expect(c, "xautoclaim none g ann 0 0",
                "-NOGROUP No such key 'none' or consumer group 'g'|");
    fake_expect(c, "xinfo groups s",
                "*1|*12|$4|name|$1|g|$9|consumers|:3|$7|pending|:1|$17|last-"
                "delivered-id|$3|9-1|$12|entries-read|:2|$3|lag|:1|");
}

static void
resp3_answers_with_maps(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_ask(c, "hello 3");
    fake_expect(c, "xadd s 1-1 a 1", "$3|1-1|");
    fake_expect(c, "xadd t 1-1 a 1", "$3|1-1|");
    fake_expect(c, "xread streams s 0", "%1|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|1|");
    fake_expect(
        c, "xread streams s t 0 0",
        "%2|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|1|$1|t|*1|*2|$3|1-1|*2|$1|a|$1|1|");
    fake_expect(c, "xread streams s $", "_|");
    fake_expect(c, "xgroup create s g 0", "+OK|");
    fake_expect(c, "xreadgroup group g ann streams s >",
                "%1|$1|s|*1|*2|$3|1-1|*2|$1|a|$1|1|");
    fake_expect(c, "xreadgroup group g ann streams s >", "_|");
    fake_expect(c, "xpending s g - + 0", "*0|");
    fake_expect(c, "xinfo groups s",
                "*1|%6|$4|name|$1|g|$9|consumers|:1|$7|pending|:1|$17|last-"
                "delivered-id|$3|1-1|$12|entries-read|:1|$3|lag|:0|");
    fake_expect(c, "xrange s - + count 0", "_|");
    fake_expect(c, "xadd none nomkstream 1-1 a 1", "_|");
}

static void
the_lag_follows_what_is_read(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "xadd s 1-1 a 1", "$3|1-1|");
    fake_expect(c, "xadd s 2-1 b 2", "$3|2-1|");
    fake_expect(c, "xadd s 3-1 c 3", "$3|3-1|");
    fake_expect(c, "xadd s 4-1 c 3", "$3|4-1|");
    fake_expect(c, "xgroup create s g 2-1", "+OK|");
    fake_expect(c, "xgroup create s h 0", "+OK|");
    fake_expect(c, "xinfo groups s",
                "*2|*12|$4|name|$1|g|$9|consumers|:0|$7|pending|:0|$17|last-"
                "delivered-id|$3|2-1|$12|entries-read|$-1|$3|lag|$-1|*12|$4|"
                "name|$1|h|$9|consumers|:0|$7|pending|:0|$17|last-delivered-id|"
                "$3|0-0|$12|entries-read|$-1|$3|lag|:4|");
    fake_expect(c, "xreadgroup group h ann count 2 streams s >",
                "*1|*2|$1|s|*2|*2|$3|1-1|*2|$1|a|$1|1|*2|$3|2-1|*2|$1|b|$1|2|");
    fake_expect(c, "xdel s 2-1", ":1|");
    fake_expect(c, "xinfo groups s",
                "*2|*12|$4|name|$1|g|$9|consumers|:0|$7|pending|:0|$17|last-"
                "delivered-id|$3|2-1|$12|entries-read|$-1|$3|lag|$-1|*12|$4|"
                "name|$1|h|$9|consumers|:1|$7|pending|:2|$17|last-delivered-id|"
                "$3|2-1|$12|entries-read|:2|$3|lag|$-1|");
    fake_expect(c, "xdel s 3-1", ":1|");
    fake_expect(c, "xinfo groups s",
                "*2|*12|$4|name|$1|g|$9|consumers|:0|$7|pending|:0|$17|last-"
                "delivered-id|$3|2-1|$12|entries-read|$-1|$3|lag|$-1|*12|$4|"
                "name|$1|h|$9|consumers|:1|$7|pending|:2|$17|last-delivered-id|"
                "$3|2-1|$12|entries-read|:2|$3|lag|$-1|");
    fake_expect(c, "xreadgroup group h ann streams s >",
                "*1|*2|$1|s|*1|*2|$3|4-1|*2|$1|c|$1|3|");
    fake_expect(c, "xreadgroup group g ann streams s >",
                "*1|*2|$1|s|*1|*2|$3|4-1|*2|$1|c|$1|3|");
    fake_expect(c, "xinfo groups s",
                "*2|*12|$4|name|$1|g|$9|consumers|:1|$7|pending|:1|$17|last-"
                "delivered-id|$3|4-1|$12|entries-read|:4|$3|lag|:0|*12|$4|name|"
                "$1|h|$9|consumers|:1|$7|pending|:3|$17|last-delivered-id|$3|4-"
                "1|$12|entries-read|:3|$3|lag|:1|");
}

static void
the_clock_gives_ids_that_rise(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "xadd s * a 1", "$15|1700000000000-0|");
    fake_expect(c, "xadd s * a 1", "$15|1700000000000-1|");
    clock_freeze_wall(NOW - 5);
    fake_expect(c, "xadd s * a 1", "$15|1700000000000-2|");
    clock_freeze_wall(NOW + 5);
    fake_expect(c, "xadd s * a 1", "$15|1700000000005-0|");
    fake_expect(c, "xadd s 1700000000005-* a 1", "$15|1700000000005-1|");
    fake_expect(c, "xadd s 1800000000000-0 a 1", "$15|1800000000000-0|");
    fake_expect(c, "xadd s * a 1", "$15|1800000000000-1|");
}

static void
approximate_trimming_takes_whole_nodes(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;
    char line[40];

    db_limits(w->env.db)->stream_node_max_entries = 10;
    for (int i = 1; i <= 100; i++) {
        snprintf(line, sizeof line, "xadd s %d-0 a 1", i);
        fake_ask(c, line);
    }
    fake_expect(c, "xadd s maxlen ~ 55 limit 30 101-0 a 1", "$5|101-0|");
    fake_expect(c, "xlen s", ":71|");
    fake_expect(c, "xtrim s maxlen ~ 56", ":10|");
    fake_expect(c, "xtrim s maxlen ~ 56", ":0|");
    fake_expect(c, "xtrim s minid ~ 65-0", ":20|");
    fake_expect(c, "xtrim s minid ~ 65-0", ":0|");
    fake_expect(c, "xtrim s minid 65-0", ":4|");
    fake_expect(c, "xtrim s maxlen ~ 0", ":37|");
}

static void
plus_reads_the_last_entry(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "xread streams s +", "*-1|");
    fake_ask(c, "xadd s 1-0 a 1");
    fake_ask(c, "xadd s 2-0 a 2");
    fake_expect(c, "xread streams s +",
                "*1|*2|$1|s|*1|*2|$3|2-0|*2|$1|a|$1|2|");
}

static void
consumers_are_seen_and_active(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_ask(c, "xgroup create s g 0 mkstream");
    fake_expect(c, "xreadgroup group g ann streams s >", "*-1|");
    clock_freeze_wall(NOW + 100);
    fake_expect(c, "xinfo consumers s g",
                "*1|*8|$4|name|$3|ann|$7|pending|:0|$4|idle|:100|$8|inactive|"
                ":-1|");
    fake_ask(c, "xadd s 1-0 a 1");
    fake_ask(c, "xreadgroup group g ann streams s >");
    clock_freeze_wall(NOW + 150);
    fake_expect(c, "xreadgroup group g ann streams s >", "*-1|");
    clock_freeze_wall(NOW + 160);
    fake_expect(c, "xinfo consumers s g",
                "*1|*8|$4|name|$3|ann|$7|pending|:1|$4|idle|:10|$8|inactive|"
                ":60|");
    fake_expect(c, "xpending s g idle 61 - + 10", "*0|");
    fake_expect(c, "xpending s g idle 60 - + 10",
                "*1|*4|$3|1-0|$3|ann|:60|:1|");
    fake_expect(c, "xclaim s g bob 61 1-0", "*0|");
    fake_expect(c, "xclaim s g bob 60 1-0 idle 7 justid", "*1|$3|1-0|");
    fake_expect(c, "xpending s g - + 10", "*1|*4|$3|1-0|$3|bob|:7|:1|");
}

static void
help_names_the_subcommands(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    assert_non_null(strstr(fake_ask(c, "xgroup help"), "DELCONSUMER <key>"));
    assert_non_null(strstr(fake_ask(c, "xinfo help"), "STREAM <key>"));
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, two_clients_end)
    const struct CMUnitTest tests[] = {
        T(ids_are_given_and_checked_as_in_redis),
        T(ranges_have_open_and_closed_ends),
        T(trimming_obeys_its_words),
        T(deleting_leaves_the_last_id),
        T(reads_begin_behind_an_id),
        T(groups_are_made_once),
        T(groups_deliver_acknowledge_and_tell),
        T(claims_change_the_owner),
        T(resp3_answers_with_maps),
        T(the_lag_follows_what_is_read),
        T(the_clock_gives_ids_that_rise),
        T(approximate_trimming_takes_whole_nodes),
        T(plus_reads_the_last_entry),
        T(consumers_are_seen_and_active),
        T(help_names_the_subcommands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
