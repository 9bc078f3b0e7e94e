"""Data many times the buffer pool: memory, and what a cached GET waits."""

import multiprocessing
import os
import random
import time

from peers import CLIENT_CORE, SERVER_CORE, Peer

POOL_MB = 64
TIMES = 20
VALUE = 1000
KEYS_A_BATCH = 32


def record(i):
    return b"key:%012d" % i


class Values:
    """Half of a value is random, half is not: packs to about a half."""

    def __init__(self):
        self.noise = random.Random(7).randbytes(1 << 20)

    def of(self, i, version=0):
        at = (i * 7919 + version * 104729) % (len(self.noise) - VALUE)
        return self.noise[at:at + VALUE // 2] + b"v" * (VALUE // 2)


def set_command(key, value):
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (
        len(key), key, len(value), value)


def load(peer, keys):
    """SETs all keys, in order; returns the highest RSS seen."""
    c, values, highest = peer.connect(), Values(), 0
    for at in range(0, keys, 1000):
        ids = range(at, min(at + 1000, keys))
        c.sock.sendall(b"".join(
            set_command(record(i), values.of(i)) for i in ids))
        for _ in ids:
            assert c.read() == b"OK"
        highest = max(highest, peer.rss_bytes())
    c.close()
    return highest


def work(peer, keys, stop, wrong, commands):
    """Reads and writes at random, KEYS_A_BATCH at a time; a read must answer
    what some version of the key is."""
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    c, values, rng = peer.connect(), Values(), random.Random(os.getpid())
    while not stop.is_set():
        ids = [rng.randrange(keys) for _ in range(KEYS_A_BATCH)]
        reads = ids[::2]
        c.sock.sendall(b"".join(
            [b"*2\r\n$3\r\nGET\r\n$16\r\n%s\r\n" % record(i) for i in reads] +
            [set_command(record(i), values.of(i, rng.randrange(2)))
             for i in ids[1::2]]))
        for i in reads:
            if c.read() not in (values.of(i), values.of(i, 1)):
                wrong.value += 1
        for _ in ids[1::2]:
            if c.read() != b"OK":
                wrong.value += 1
        commands.value += len(ids)
    c.close()


def ask_hot(peer, seconds, times):
    """GETs one key that stays cached, each millisecond."""
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass
    c, out, end = peer.connect(), [], time.monotonic() + seconds
    while time.monotonic() < end:
        t0 = time.perf_counter()
        c.call("GET", "hot")
        out.append((time.perf_counter() - t0) * 1000)
        time.sleep(0.001)
    c.close()
    times.put(out)


def beside(peer, keys, seconds, workers):
    """Works on the data for so long: the highest RSS, latencies of the hot
    GET, commands done."""
    stop, times = multiprocessing.Event(), multiprocessing.Queue()
    wrong = multiprocessing.Value("Q", 0)
    counts = [multiprocessing.Value("Q", 0) for _ in range(workers)]
    others = [multiprocessing.Process(target=work, args=(peer, keys, stop,
                                                         wrong, n))
              for n in counts]
    asking = multiprocessing.Process(target=ask_hot,
                                     args=(peer, seconds, times))
    for p in (*others, asking):
        p.start()
    highest, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        highest = max(highest, peer.rss_bytes())
        time.sleep(0.05)
    latencies = sorted(times.get())
    stop.set()
    for p in (*others, asking):
        p.join()
    assert wrong.value == 0, f"{wrong.value} wrong answers"
    return highest, latencies, sum(n.value for n in counts)


def bench_larger(run):
    """20 times the pool, written and read at random: memory above the pool,
    and a cached GET meanwhile.  The server has both cores, since its workers
    are at it too."""
    cores = f"{SERVER_CORE},{CLIENT_CORE}"
    keys = run.n(POOL_MB * TIMES * 1000000 // VALUE)
    for packs in ("no", "yes"):
        label = "packed" if packs == "yes" else "raw"
        args = ["--storage.buffer_pool_size", f"{POOL_MB}mb",
                "--compression.enabled", packs]
        with Peer("nqdb", args=args, cores=cores) as p:
            p.call("SET", "hot", "x" * 100)
            highest = load(p, keys)
            for _ in range(run.rounds):
                rss, times, done = beside(p, keys, run.n(20), 2)
                highest = max(highest, rss)
                at = lambda share: times[int(share * (len(times) - 1))]
                run.add(f"cached GET p50, {label}", p.name, at(0.5), "ms")
                run.add(f"cached GET p99.9, {label}", p.name, at(0.999), "ms")
                run.add(f"cached GET longest, {label}", p.name, at(1), "ms")
                run.add(f"commands a second, {label}", p.name,
                        done / run.n(20), "cmd/s", "higher")
            run.add(f"memory above a pool of {POOL_MB} MB, {label}", p.name,
                    highest / 1e6 - POOL_MB * 1.048576, "MB")
            size = sum(os.path.getsize(os.path.join(p.dir, n))
                       for n in ("data.nq",))
            run.add(f"data file, {label}", p.name, size / 1e6, "MB")
