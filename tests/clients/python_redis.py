"""redis-py: a shop - sessions, carts, a work queue with worker threads, a
leaderboard, an event stream with a consumer group, stock that is changed by
optimistic transactions, offers that are followed."""
import json
import os
import threading

import redis

port = int(os.environ["PORT"])
r = redis.Redis("127.0.0.1", port, decode_responses=True)


def claim(name, ok):
    print(("ok   " if ok else "FAIL ") + name, flush=True)
    if not ok:
        raise SystemExit(1)


def sessions():
    r.hset("session:1", mapping={"user": "ada", "visits": 1})
    r.expire("session:1", 100)
    r.hincrby("session:1", "visits", 2)
    r.hincrbyfloat("session:1", "credit", 0.5)
    claim("a session is a hash with a lifetime",
          r.hgetall("session:1") == {"user": "ada", "visits": "3",
                                     "credit": "0.5"}
          and 90 < r.ttl("session:1") <= 100)
    r.hset("big", mapping={f"f{i}": i for i in range(2000)})
    seen = dict(r.hscan_iter("big", count=50))
    claim("a large hash is scanned whole",
          seen == {f"f{i}": str(i) for i in range(2000)})


def queue():
    results = []

    def work():
        mine = redis.Redis("127.0.0.1", port, decode_responses=True)
        while True:
            _, job = mine.blpop(["jobs", "stop"], timeout=10)
            if job == "stop":
                return
            results.append(int(job))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for w in workers:
        w.start()
    with r.pipeline(transaction=False) as p:
        for i in range(500):
            p.rpush("jobs", i)
        p.execute()
    for _ in workers:
        r.rpush("stop", "stop")
    for w in workers:
        w.join(20)
    claim("every job is done once", sorted(results) == list(range(500)))


def leaderboard():
    with r.pipeline() as p:
        for i in range(1000):
            p.zadd("board", {f"player{i}": i * 10})
        p.execute()
    r.zincrby("board", 100000, "player7")
    claim("ranks follow scores",
          r.zrevrank("board", "player7") == 0
          and r.zrank("board", "player999") == 998
          and r.zrevrange("board", 0, 1, withscores=True)
          == [("player7", 100070.0), ("player999", 9990.0)])
    claim("ranges by score",
          r.zrangebyscore("board", 100, "(120") == ["player10", "player11"]
          and r.zcount("board", "-inf", "+inf") == 1000)
    claim("the least go first", r.zpopmin("board", 2)
          == [("player0", 0.0), ("player1", 10.0)])


def events():
    r.xgroup_create("events", "audit", id="0", mkstream=True)
    ids = [r.xadd("events", {"n": i}) for i in range(20)]
    got = r.xreadgroup("audit", "one", {"events": ">"}, count=12)[0][1]
    claim("a group hands out each entry once",
          [i for i, _ in got] == ids[:12]
          and len(r.xreadgroup("audit", "two", {"events": ">"})[0][1]) == 8)
    r.xack("events", "audit", *ids[:12])
    claim("what was not acknowledged is pending",
          r.xpending("events", "audit")["pending"] == 8
          and len(r.xclaim("events", "audit", "one", 0, ids[12:])) == 8)
    r.xtrim("events", maxlen=5, approximate=False)
    claim("a stream is trimmed", r.xlen("events") == 5
          and r.xinfo_stream("events")["length"] == 5)


def stock():
    r.set("stock", 50)

    def buy():
        mine = redis.Redis("127.0.0.1", port)
        for _ in range(10):
            mine.transaction(
                lambda p: (p.get("stock"), p.multi(), p.decr("stock")),
                "stock")

    buyers = [threading.Thread(target=buy) for _ in range(4)]
    for b in buyers:
        b.start()
    for b in buyers:
        b.join(30)
    claim("optimistic transactions lose nothing", r.get("stock") == "10")


def sets_and_others():
    r.sadd("red", "a", "b", "c")
    r.sadd("blue", "b", "c", "d")
    claim("sets are met and joined", r.sinter("red", "blue") == {"b", "c"}
          and r.sunionstore("both", "red", "blue") == 4
          and r.sdiff("red", "blue") == {"a"})
    r.geoadd("Sicily", (13.361389, 38.115556, "Palermo",
                        15.087269, 37.502669, "Catania"))
    claim("distances on the globe",
          round(r.geodist("Sicily", "Palermo", "Catania")) == 166274)
    r.pfadd("seen", *range(1000))
    claim("a HyperLogLog counts", 950 < r.pfcount("seen") < 1050)
    claim("values move as payloads",
          r.restore("red2", 0, redis.Redis("127.0.0.1", port).dump("red"))
          and r.smembers("red2") == {"a", "b", "c"})
    r.rpush("weights", 3, 1, 2)
    claim("a list is sorted", r.sort("weights", desc=True) == ["3", "2", "1"])
    claim("keys are scanned by type",
          set(r.scan_iter(_type="zset")) >= {"board", "Sicily"})


def feeds():
    query = "NQ.SUBSCRIBE PREFIX offer: WHERE price < 10 RETURN price SNAPSHOT"
    r.hset("offer:1", "price", 5)
    p = r.pubsub(ignore_subscribe_messages=True)
    p.subscribe(query)
    told = []

    def hear(n):
        while len(told) < n:
            m = p.get_message(timeout=5)
            if m is not None:
                told.append(json.loads(m["data"]))

    hear(2)
    r.hset("offer:2", "price", 20)
    r.hset("offer:2", "price", 7)
    r.delete("offer:1")
    hear(4)
    claim("a query is followed like a channel",
          [(m["event"], m.get("key"), m.get("is")) for m in told]
          == [("row", "offer:1", True), ("ready", None, None),
              ("set", "offer:2", True), ("del", "offer:1", False)]
          and told[2]["fields"] == {"price": "7"})
    p.close()


for scenario in (sessions, queue, leaderboard, events, stock, sets_and_others,
                 feeds):
    scenario()
