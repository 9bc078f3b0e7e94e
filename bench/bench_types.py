"""Lists, sets, sorted sets, hashes: the default tests of redis-benchmark,
memory, and what other clients feel of work on large ones."""

import time

from peers import Peer, beside_ping, redis_benchmark

# In the order of redis-benchmark: what is popped was pushed before.
TESTS = ("ping_mbulk", "set", "get", "incr", "lpush", "rpush", "lpop", "rpop",
         "sadd", "hset", "spop", "zadd", "zpopmin", "mset")
RANGES = (100, 300, 500, 600)


def bench_types(run):
    """CPU per command of redis-benchmark's default tests, fsync each
    second."""
    with Peer("redis") as redis, Peer("nqdb") as nqdb:
        for _ in range(run.rounds):
            for pipeline, n in ((1, 100000), (16, 500000)):
                for p in (redis, nqdb):
                    p.call("FLUSHALL")
                for test in TESTS:
                    for p in (redis, nqdb):
                        put(run, p, test, pipeline, run.n(n), test)
                for p in (redis, nqdb):
                    fill(p, "list", "mylist", 10000)
                for length in RANGES:
                    for p in (redis, nqdb):
                        put(run, p, f"lrange_{length}", pipeline,
                            run.n(n) // 5, None,
                            ("LRANGE", "mylist", "0", str(length - 1)))


def put(run, p, name, pipeline, n, test, command=()):
    n //= 4 if test == "mset" else 1
    r = redis_benchmark(p, test, n, pipeline, extra=command)
    run.add(f"{name} P={pipeline} cpu", p.name, r["cpu_us"], "us/cmd")


# --- large values ------------------------------------------------------------

def batches(n, size=1000):
    return ((at, min(at + size, n)) for at in range(0, n, size))


FILL = {
    "list": ("RPUSH", lambda i: (f"element-{i:08d}",)),
    "set": ("SADD", lambda i: (f"member-{i * 7919 % 16777213:08d}",)),
    "zset": ("ZADD", lambda i: (f"{i * 7919 % 1000003}", f"member-{i:08d}")),
    "hash": ("HSET", lambda i: (f"field-{i:08d}", f"value-{i:08d}")),
}


def fill(peer, kind, key, n):
    """A collection of n elements, by commands of 1000."""
    verb, words = FILL[kind]
    c = peer.connect()
    for lo, hi in batches(n):
        args = [w for i in range(lo, hi) for w in words(i)]
        c.call(verb, key, *args)
    c.close()


def fill_stream(peer, key, n):
    c = peer.connect()
    for lo, hi in batches(n, 500):
        c.sock.sendall(b"".join(
            c.encode(("XADD", key, f"{i + 1}-0", "field", f"value-{i:08d}"))
            for i in range(lo, hi)))
        for _ in range(lo, hi):
            c.read()
    c.close()


def small_hashes(peer, n):
    c = peer.connect()
    for lo, hi in batches(n, 500):
        c.sock.sendall(b"".join(
            c.encode(("HSET", f"user:{i:08d}", "name", f"name{i}", "mail",
                      f"u{i}@example.org", "age", str(i % 90), "visits",
                      str(i % 1000), "city", f"city{i % 500}"))
            for i in range(lo, hi)))
        for _ in range(lo, hi):
            c.read()
    c.close()


def bench_type_memory(run):
    """Memory of 1 M hashes of 5 small fields, of a sorted set of 1 M members,
    of a list of 10 M elements."""
    for name in ("redis", "nqdb"):
        for what, load in (
                ("1 M hashes", lambda p: small_hashes(p, run.n(1000000))),
                ("zset of 1 M", lambda p: fill(p, "zset", "z",
                                               run.n(1000000))),
                ("list of 10 M", lambda p: fill(p, "list", "l",
                                                run.n(10000000)))):
            with Peer(name) as p:
                before = p.rss_bytes()
                load(p)
                run.add(f"memory: {what}", p.name,
                        (p.rss_bytes() - before) / 1e6, "MB")


WHOLE = {"list": ("LRANGE", "big", "0", "-1"), "set": ("SMEMBERS", "big"),
         "zset": ("ZRANGE", "big", "0", "-1"), "hash": ("HGETALL", "big"),
         "stream": ("XRANGE", "big", "-", "+")}


def drain(peer, words):
    """One command whose long answer is only counted; its time in s."""
    c = peer.connect()
    ms, _ = c.time_raw(*words)
    c.close()
    return ms / 1000


def bench_stall(run):
    """The longest PING of another client while a collection of 10 M elements
    is copied, renamed, read whole, expired, deleted."""
    n = run.n(10000000)
    for kind in ("list", "set", "zset", "hash", "stream"):
        for name in ("redis", "nqdb"):
            extra = ["--maxmemory", "6gb"] if name == "nqdb" else []
            with Peer(name, "no", args=extra) as p:
                if kind == "stream":
                    fill_stream(p, "big", n)
                else:
                    fill(p, kind, "big", n)
                stalls(run, p, kind)


def stalls(run, p, kind):
    for what, words in (("copy", ("COPY", "big", "other")),
                        ("rename", ("RENAME", "other", "third")),
                        ("read whole", WHOLE[kind]),
                        ("delete", ("DEL", "third")),
                        ("expire", ("PEXPIRE", "big", "1"))):
        took, worst = beside_ping(p, drain_and_wait, p, words)
        run.add(f"PING beside {what} of a {kind}", p.name, worst, "ms")
        run.add(f"{what} of a {kind}", p.name, took, "s")


def drain_and_wait(p, words):
    took = drain(p, words)
    time.sleep(1.0)  # what goes on behind it
    return took
