#!/usr/bin/env python3
"""Measures nqdb beside Debian's redis-server, in turns within one run.

  bench/bench.py [--rounds 3] [--only NAME ...] [--quick]

Server and client sit on different cores; each figure is the median over the
rounds with its spread (min..max); ratios are taken round by round.  Writes
bench/results/DATE.json and the page bench/results/README.md with plots."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time

import report
from bench_larger import bench_larger
from bench_types import bench_stall, bench_type_memory, bench_types
from peers import (ROOT, Client, Peer, beside_ping, load_keys,
                   redis_benchmark)

RESULTS = os.path.join(ROOT, "bench", "results")


class Run:
    """Collects samples: figure -> peer -> one value a round."""

    def __init__(self, rounds, quick):
        self.rounds, self.quick, self.samples = rounds, quick, {}

    def add(self, figure, peer, value, unit, better="lower"):
        f = self.samples.setdefault(
            figure, {"unit": unit, "better": better, "values": {}})
        f["values"].setdefault(peer, []).append(value)
        print(f"  {figure:44} {peer:6} {value:12.3f} {unit}", flush=True)

    def n(self, full):
        return full // 10 if self.quick else full


def bench_cpu(run):
    """CPU per command with 1 M keys of 16 + 64 bytes, fsync each second; and
    memory after the load."""
    keys = run.n(1000000)
    with Peer("redis") as redis, Peer("nqdb") as nqdb:
        for p in (redis, nqdb):
            load_keys(p, keys)
            run.add("memory after load", p.name, p.rss_bytes() / 1e6, "MB")
        for _ in range(run.rounds):
            for test in ("ping_mbulk", "get", "set", "incr", "mset"):
                for pipeline, n in ((1, 100000), (16, 600000), (64, 1000000)):
                    n = run.n(n) // (4 if test == "mset" else 1)
                    for p in (redis, nqdb):
                        r = redis_benchmark(p, test, n, pipeline, keys=keys)
                        name = f"{test.split('_')[0]} P={pipeline}"
                        run.add(f"{name} cpu", p.name, r["cpu_us"], "us/cmd")
                        run.add(f"{name} throughput", p.name, r["rps"],
                                "cmd/s", "higher")


def bench_always(run):
    """Durable writes: appendfsync always, 50 clients."""
    for delay, label in ((0, "quiet disk"), (4000, "sync + 4 ms")):
        env = {}
        if delay:
            env = {"SYNC_US": str(delay),
                   "LD_PRELOAD": os.path.join(ROOT, "build", "slow_sync.so")}
        with Peer("redis", "always", env=env) as redis, \
                Peer("nqdb", "always", env=env) as nqdb:
            for _ in range(run.rounds):
                for pipeline, n in ((1, 10000), (16, 100000)):
                    n = run.n(n // (4 if delay else 1))
                    for p in (redis, nqdb):
                        r = redis_benchmark(p, "set", n, pipeline)
                        run.add(f"SET always P={pipeline}, {label}", p.name,
                                r["rps"], "cmd/s", "higher")
                for p in (redis, nqdb):
                    r = get_beside_writers(p, run.n(3000) // (2 if delay else 1))
                    run.add(f"GET p50 beside durable writers, {label}",
                            p.name, r, "ms")


def get_beside_writers(peer, writes):
    """p50 of GETs of one client while 50 others write durably."""
    peer.call("SET", "bench:read", "x")
    writer = threading.Thread(target=redis_benchmark,
                              args=(peer, "set", writes, 1))
    c, times = peer.connect(), []
    writer.start()
    while writer.is_alive():
        t0 = time.perf_counter()
        c.call("GET", "bench:read")
        times.append((time.perf_counter() - t0) * 1000)
        time.sleep(0.001)
    c.close()
    return statistics.median(times)


def bench_order(run):
    """Ordered reads: a range of 10,000; one prefix in 8 M keys against KEYS;
    what a second client sees meanwhile."""
    keys = run.n(8000000)
    with Peer("redis") as redis, Peer("nqdb") as nqdb:
        for p in (redis, nqdb):
            load_keys(p, keys, 8, sequential=True)
        prefix = "key:%012d" % (keys // 2)
        prefix = prefix[:-len(str(keys // 1000 - 1))]
        for _ in range(run.rounds):
            for p, words in ((redis, ("KEYS", prefix + "*")),
                             (nqdb, ("NQ.PREFIX", prefix, "KEYSONLY"))):
                (ms, n), stall = beside_ping(p, timed, p, words)
                run.add(f"prefix over 0.1 % of {keys} keys", p.name, ms, "ms")
                run.add("PING stall during it", p.name, stall, "ms")
                run.add("keys found", p.name, n, "keys", "higher")
            ms, _ = timed(nqdb, ("NQ.RANGE", "key:%012d" % 1000, "+", "LIMIT",
                                 "0", "10000"))
            run.add("NQ.RANGE of 10,000 records", "nqdb", ms, "ms")


def timed(peer, words):
    """Milliseconds of one command, and how many elements it answered."""
    c = peer.connect()
    ms, head = c.time_raw(*words)
    c.close()
    return ms, int(head[1:])


def bench_save(run):
    """The stall of a checkpoint (ours) or fork (theirs) with 1 GB changed."""
    n = run.n(8000000)
    for _ in range(run.rounds):
        for name in ("redis", "nqdb"):
            extra = ["--maxmemory", "4gb"] if name == "nqdb" else []
            with Peer(name, "no", args=extra) as p:
                load_keys(p, n, 100)
                _, stall = beside_ping(p, save_and_wait, p)
                run.add("PING stall while saving 1 GB", name, stall, "ms")
                if name == "nqdb":
                    run.add("stall of the cut itself", name,
                            float(p.info("checkpoint_last_cut_usec")) / 1000,
                            "ms")


def save_and_wait(peer):
    c = peer.connect()
    before = c.call("LASTSAVE")
    time.sleep(1.1)
    c.call("BGSAVE")
    while c.call("LASTSAVE") == before:
        time.sleep(0.05)
    c.close()


def bench_idle(run):
    """10,000 idle connections; CPU when nothing happens; start-up."""
    n = run.n(10000)
    for name in ("redis", "nqdb"):
        with Peer(name, args=["--maxclients", str(n + 100)]) as p:
            run.add("memory of an empty server", name, p.rss_bytes() / 1e6, "MB")
            before, socks = p.rss_bytes(), []
            for _ in range(n):
                c = p.connect()
                socks.append(c)
                c.call("PING")
            run.add("memory of an idle connection", name,
                    (p.rss_bytes() - before) / n / 1024, "KiB")
            cpu, t0 = p.cpu_ns(), time.monotonic()
            time.sleep(5)
            run.add("idle CPU", name, (p.cpu_ns() - cpu) /
                    (time.monotonic() - t0) / 1e7, "%")
            for c in socks:
                c.close()


def bench_restart(run):
    """kill -9 with 1 M keys in the log, start again, first answer."""
    import shutil
    import signal
    import tempfile
    for _ in range(run.rounds):
        for name in ("redis", "nqdb"):
            d = tempfile.mkdtemp(prefix="bench-restart-")
            p = Peer(name, data=d)
            load_keys(p, run.n(1000000))
            p.stop(signal.SIGKILL)
            p = Peer(name, data=d)
            run.add("first answer after kill -9, 1 M keys", name,
                    p.ready_after, "s")
            assert p.call("DBSIZE") == run.n(1000000)
            p.stop()
            shutil.rmtree(d)


BENCHES = {"cpu": bench_cpu, "always": bench_always, "order": bench_order,
           "save": bench_save, "idle": bench_idle, "restart": bench_restart,
           "types": bench_types, "type-memory": bench_type_memory,
           "stall": bench_stall, "larger": bench_larger}


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((l.split(":", 1)[1].strip() for l in f
                      if l.startswith("model name")), "?")
    redis = subprocess.run(["redis-server", "--version"], capture_output=True,
                           text=True, check=True).stdout.split()[2]
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"],
                            capture_output=True, text=True).stdout.strip()
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "redis": redis, "commit": commit,
            "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}


def raise_limits():
    import resource
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--only", nargs="*", choices=BENCHES, default=list(BENCHES))
    ap.add_argument("--quick", action="store_true", help="a tenth of the work")
    args = ap.parse_args()
    raise_limits()
    run = Run(args.rounds, args.quick)
    for name in args.only:
        print(f"== {name}: {BENCHES[name].__doc__.strip()}", flush=True)
        BENCHES[name](run)
    os.makedirs(RESULTS, exist_ok=True)
    result = {"machine": machine(), "rounds": args.rounds,
              "quick": args.quick, "figures": run.samples}
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path = os.path.join(RESULTS, f"{stamp}-{'-'.join(args.only)}.json")
    with open(path, "w") as f:
        json.dump(result, f, indent=1)
    print(report.table(result))
    report.write_page(RESULTS)
    print("written:", os.path.relpath(path, ROOT))


if __name__ == "__main__":
    sys.exit(main())
