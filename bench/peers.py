"""Servers under measurement: started on a free loopback port, pinned to one
core, ended by their own process id."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SERVER_CORE, CLIENT_CORE = "0", "1"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Peer:
    """One running server; use as a context manager."""

    def __init__(self, name, fsync="everysec", args=(), env=None, data=None,
                 cores=SERVER_CORE):
        self.name, self.port = name, free_port()
        self.own_dir = data is None
        self.dir = data or tempfile.mkdtemp(prefix=f"bench-{name}-")
        common = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir",
                  self.dir, "--appendonly", "yes", "--appendfsync", fsync,
                  "--save", ""]
        binary = {"redis": shutil.which("redis-server"),
                  "nqdb": os.path.join(ROOT, "build", "nqdb-server")}[name]
        self.log = open(os.path.join(self.dir, "bench.log"), "ab")
        self.started = time.monotonic()
        self.proc = subprocess.Popen(
            ["taskset", "-c", cores, binary, *common, *args],
            stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})})
        self.wait_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_ready(self, limit=120):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.proc.poll() is not None:
                raise RuntimeError(f"{self.name} ended: see {self.log.name}")
            try:
                if self.call("PING") == b"PONG":
                    self.ready_after = time.monotonic() - self.started
                    return
            except OSError:
                pass
            time.sleep(0.005)
        raise RuntimeError(f"{self.name} not ready after {limit} s")

    def stop(self, how=signal.SIGTERM):
        if self.proc.poll() is None:
            self.proc.send_signal(how)
            self.proc.wait(timeout=120)
        self.log.close()
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    # --- talking --------------------------------------------------------

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Client(s)

    def call(self, *words):
        c = self.connect()
        try:
            return c.call(*words)
        finally:
            c.close()

    def info(self, field):
        text = self.call("INFO", "everything").decode()
        for line in text.splitlines():
            if line.startswith(field + ":"):
                return line.split(":", 1)[1]
        raise KeyError(field)

    # --- measuring -------------------------------------------------------

    def cpu_ns(self):
        """User and system time of all threads, living ones to the ns."""
        total = 0
        for tid in os.listdir(f"/proc/{self.proc.pid}/task"):
            try:
                with open(f"/proc/{self.proc.pid}/task/{tid}/schedstat") as f:
                    total += int(f.read().split()[0])
            except FileNotFoundError:
                pass
        return total

    def rss_bytes(self):
        with open(f"/proc/{self.proc.pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise KeyError("VmRSS")


class Client:
    """A small RESP2 client: enough to measure with."""

    def __init__(self, sock):
        self.sock, self.buf = sock, b""

    def close(self):
        self.sock.close()

    @staticmethod
    def encode(words):
        out = [b"*%d\r\n" % len(words)]
        for w in words:
            w = w if isinstance(w, bytes) else str(w).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(w), w))
        return b"".join(out)

    def send(self, *words):
        self.sock.sendall(self.encode(words))

    def call(self, *words):
        self.send(*words)
        return self.read()

    def time_raw(self, *words):
        """Milliseconds until the whole reply is here, not counting the work
        of taking it apart; and its first line."""
        self.buf = b""
        t0 = time.perf_counter()
        self.sock.sendall(self.encode(words) + self.encode(("PING",)))
        parts, tail = [], b""
        while not tail.endswith(b"+PONG\r\n"):
            data = self.sock.recv(1 << 20)
            if not data:
                raise ConnectionError("closed by the server")
            parts.append(data)
            tail = (tail + data)[-7:]
        ms = (time.perf_counter() - t0) * 1000
        return ms, parts[0].split(b"\r\n", 1)[0]

    def _line(self):
        while b"\r\n" not in self.buf:
            self._more()
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line

    def _more(self):
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionError("closed by the server")
        self.buf += data

    def _exactly(self, n):
        if len(self.buf) < n:
            parts, have = [self.buf], len(self.buf)
            while have < n:
                data = self.sock.recv(1 << 20)
                if not data:
                    raise ConnectionError("closed by the server")
                parts.append(data)
                have += len(data)
            self.buf = b"".join(parts)
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            n = int(rest)
            return None if n < 0 else self._exactly(n + 2)[:-2]
        if kind == b"*":
            n = int(rest)
            return None if n < 0 else [self.read() for _ in range(n)]
        raise ValueError(line)


def load_keys(peer, n, value_bytes=64, seed=7, sequential=False):
    """SETs key:000000000000 .. of 16 bytes, in random order, pipelined."""
    import random
    order = list(range(n))
    if not sequential:
        random.Random(seed).shuffle(order)
    value = b"x" * value_bytes
    c = peer.connect()
    for at in range(0, n, 2000):
        part = order[at:at + 2000]
        c.sock.sendall(b"".join(
            b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n"
            % (k, value_bytes, value) for k in part))
        want = 5 * len(part)
        while len(c.buf) < want:
            c._more()
        assert c.buf[:want] == b"+OK\r\n" * len(part), c.buf[:80]
        c.buf = c.buf[want:]
    c.close()


def redis_benchmark(peer, test, n, pipeline, clients=50, keys=1000000,
                    value_bytes=64, extra=()):
    """Runs redis-benchmark against the peer, one of its tests or (test None)
    the command in `extra`; its throughput and the server's CPU time per
    command."""
    before, t0 = peer.cpu_ns(), time.monotonic()
    out = subprocess.run(
        ["taskset", "-c", CLIENT_CORE, "redis-benchmark", "-h", "127.0.0.1",
         "-p", str(peer.port), *(("-t", test) if test else ()), "-n", str(n),
         "-r", str(keys), "-d", str(value_bytes), "-P", str(pipeline), "-c",
         str(clients), "--csv", *extra],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - t0
    rows = [r.replace('"', "").split(",") for r in out.stdout.splitlines()]
    row = dict(zip(rows[0], rows[-1]))
    return {"rps": float(row["rps"]), "p50_ms": float(row["p50_latency_ms"]),
            "p99_ms": float(row["p99_latency_ms"]), "seconds": seconds,
            "cpu_us": (peer.cpu_ns() - before) / n / 1000}


def ping_until(peer, stop, worst):
    """On the client's core, ahead of whoever else is there, if we may."""
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass
    c = peer.connect()
    worst.value = 0.0
    while not stop.is_set():
        t0 = time.perf_counter()
        c.call("PING")
        worst.value = max(worst.value, (time.perf_counter() - t0) * 1000)
        time.sleep(0.0002)
    c.close()


def beside_ping(peer, fn, *args):
    """Runs fn; also the longest PING of another client, in a process of its
    own, meanwhile, in ms."""
    worst, stop = multiprocessing.Value("d", -1.0), multiprocessing.Event()
    other = multiprocessing.Process(target=ping_until,
                                    args=(peer, stop, worst))
    other.start()
    while worst.value < 0:
        time.sleep(0.005)
    try:
        out = fn(*args)
    finally:
        stop.set()
        other.join()
    return out, worst.value
