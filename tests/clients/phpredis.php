<?php
// phpredis: what a web application keeps - sessions, counters, a cache with
// tags, a rate limit, sorted lists of articles.
$r = new Redis();
$r->connect("127.0.0.1", (int)getenv("PORT"));

function claim($name, $ok)
{
    echo ($ok ? "ok   " : "FAIL ") . $name . "\n";
    if (!$ok) {
        exit(1);
    }
}

$r->setex("session", 60, serialize(["user" => 7]));
claim("a session comes back", unserialize($r->get("session"))["user"] === 7);
$r->hMSet("article:1", ["title" => "Trees", "votes" => 10]);
$r->hIncrBy("article:1", "votes", 5);
claim("fields of a hash", $r->hMGet("article:1", ["title", "votes", "none"])
    == ["title" => "Trees", "votes" => "15", "none" => false]);
$pipe = $r->multi(Redis::PIPELINE);
for ($i = 0; $i < 1000; $i++) {
    $pipe->zAdd("votes", $i, "article:$i");
}
$pipe->exec();
claim("the best articles", $r->zRevRange("votes", 0, 1, true)
    == ["article:999" => 999.0, "article:998" => 998.0]);
claim("in the middle", $r->zRangeByScore("votes", 5, 6) ==
    ["article:5", "article:6"] && $r->zRank("votes", "article:500") === 500);
$r->sAdd("tag:db", "1", "2", "3");
$r->sAdd("tag:c", "2", "3", "4");
$both = $r->sInter("tag:db", "tag:c");
sort($both);
claim("articles with both tags", $both == ["2", "3"]);
claim("a rate limit", $r->incr("rate") === 1 && $r->expire("rate", 10)
    && $r->ttl("rate") > 0);
$r->rPush("queue", "a", "b", "c");
claim("a queue", $r->blPop(["nothing", "queue"], 1) == ["queue", "a"]
    && $r->lRange("queue", 0, -1) == ["b", "c"]
    && $r->rpoplpush("queue", "work") === "c");
$ret = $r->multi()->set("a", 1)->get("a")->exec();
claim("a transaction", $ret == [true, "1"]);
$it = null;
$seen = [];
$r->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
while ($part = $r->zScan("votes", $it)) {
    $seen += $part;
}
claim("a sorted set is scanned whole", count($seen) === 1000);
$id = $r->xAdd("log", "*", ["event" => "login"]);
claim("a stream", $r->xLen("log") === 1
    && $r->xRange("log", "-", "+") == [$id => ["event" => "login"]]);
$r->lPush("numbers", 3, 1, 2);
claim("a sorted list", $r->sort("numbers") == ["1", "2", "3"]);
claim("types are told", $r->type("votes") === Redis::REDIS_ZSET
    && $r->type("log") === Redis::REDIS_STREAM
    && $r->object("encoding", "votes") === "skiplist");
