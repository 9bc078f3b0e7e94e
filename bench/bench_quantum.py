"""Grover's search, simulated, beside the plain scan that finds the same.

    python3 bench/bench_quantum.py [ROUNDS]

Prints Markdown, and draws results/quantum.svg."""

import math
import os
import subprocess
import sys
import threading
import time

import peers

TOOL = os.path.join(peers.ROOT, "build", "obj", "release", "bench",
                    "bench_quantum")
PLOT = os.path.join(peers.ROOT, "bench", "results", "quantum.svg")
QUBITS = range(8, 21, 2)
BATCH = 4096


# --- inner loops -------------------------------------------------------------

def print_loops(rounds):
    out = subprocess.run([TOOL, str(rounds)], check=True, capture_output=True,
                         text=True).stdout
    print("### Inner loops\n")
    print("Processor time for one amplitude in one iteration; each is read "
          "and written once.\n")
    print("| loop | qubits | ns | GB/s | one match: iterations | ms |")
    print("|---|---|---|---|---|---|")
    for line in out.splitlines():
        w = line.split()
        if w[0] != "search":
            print(f"| {w[0]} | {w[1]} | {w[2]} | {w[4]} | {w[6]} | {w[8]} |")
    print(f"\nA whole search for one match among 2^20, on one core: "
          f"{out.split()[-2]} s.\n")


# --- searches ----------------------------------------------------------------

def fill(server):
    c = server.connect()
    most = 1 << max(QUBITS)
    for at in range(0, most, BATCH):
        c.sock.sendall(b"".join(c.encode(
            ["HSET", "s:%07d" % i, "n", i * 7919 % most])
            for i in range(at, at + BATCH)))
        for _ in range(BATCH):
            c.read()
    c.close()


def search(server, qubits, *more):
    rows = 1 << qubits
    number = (rows // 3) * 7919 % (1 << max(QUBITS))
    reply = server.call("NQ.GROVER", "RANGE", "s:0000000",
                        "(s:%07d" % rows, "WHERE", f"n = {number}",
                        "ENGINE", "SIM", *more)
    got = dict(zip([k.decode() for k in reply[::2]], reply[1::2]))
    if got["keys"] != [b"s:%07d" % (rows // 3)]:
        raise RuntimeError(f"{qubits} qubits: {got}")
    return got


def measure(server, rounds):
    rows = []
    for q in QUBITS:
        runs = [search(server, q) for _ in range(rounds)]
        rows.append((q, runs[0]["iterations"],
                     min(r["simulation-us"] for r in runs),
                     min(r["scan-us"] for r in runs)))
    return rows


def print_searches(rows):
    print("### Searches\n")
    print("One match, `NQ.GROVER ... ENGINE SIM`: microseconds of the "
          "simulation, and of the scan before it, which asks the WHERE about "
          "each row; the best of the rounds.  Without that scan there is no "
          "oracle, so a search takes both; and the scan alone already has the "
          "answer.\n")
    print("| rows | oracle calls: quantum | classical | simulation, us | "
          "scan, us |")
    print("|---|---|---|---|---|")
    for q, k, simulation, scan in rows:
        print(f"| 2^{q} | {k} | {1 << q} | {simulation:,} | {scan:,} |")
    print("\n![times](quantum.svg)\n")


# --- meanwhile ---------------------------------------------------------------

def print_meanwhile(server, seconds=3):
    end, took = time.monotonic() + seconds, []

    def work():
        while time.monotonic() < end:
            search(server, max(QUBITS))

    t = threading.Thread(target=work)
    t.start()
    c = server.connect()
    while time.monotonic() < end:
        before = time.perf_counter()
        c.call("PING")
        took.append((time.perf_counter() - before) * 1e3)
        time.sleep(0.001)
    t.join()
    c.close()
    took.sort()
    print("### Meanwhile\n")
    print(f"PING while searches among 2^{max(QUBITS)} rows run one after the "
          f"other: p50 {took[len(took) // 2]:.3f} ms, "
          f"p99 {took[len(took) * 99 // 100]:.3f} ms, "
          f"longest {took[-1]:.3f} ms.\n")


def print_cancel(server):
    c = server.connect()
    c.send("NQ.GROVER", "PREFIX", "s:", "WHERE", "n = 1", "ITERATIONS",
           "1000000000", "ENGINE", "SIM")
    while b"quantum_memory:0\r" in server.call("INFO", "quantum"):
        pass
    before = time.perf_counter()
    c.close()
    while b"quantum_memory:0\r" not in server.call("INFO", "quantum"):
        pass
    print(f"A client that goes: its memory is free again after "
          f"{(time.perf_counter() - before) * 1e3:.1f} ms.")


# --- plot --------------------------------------------------------------------

def plot(rows, path):
    """Both axes logarithmic: a line of points each."""
    left, top, width, height = 70, 20, 480, 280
    most = max(r[2] + r[3] for r in rows)
    least = max(1, min(min(r[2], r[3]) for r in rows))
    lo, hi = math.floor(math.log10(least)), math.ceil(math.log10(most))

    def x(q):
        return left + width * (q - rows[0][0]) / (rows[-1][0] - rows[0][0])

    def y(us):
        at = (math.log10(max(us, 1)) - lo) / (hi - lo)
        return top + height * (1 - at)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 130}"'
           f' height="{top + height + 50}" font-family="sans-serif" '
           'font-size="12"><rect width="100%" height="100%" fill="white"/>']
    for e in range(lo, hi + 1):
        out.append(f'<line x1="{left}" x2="{left + width}" y1="{y(10 ** e)}" '
                   f'y2="{y(10 ** e)}" stroke="#ddd"/><text x="{left - 6}" '
                   f'y="{y(10 ** e) + 4}" text-anchor="end">{10 ** e:,} us</text>')
    labels = []
    for q, *_ in rows:
        out.append(f'<text x="{x(q)}" y="{top + height + 18}" '
                   f'text-anchor="middle">2^{q}</text>')
    out.append(f'<text x="{left + width / 2}" y="{top + height + 40}" '
               'text-anchor="middle">rows, one of which matches</text>')
    for color, name, of in (
            ("#b5523b", "scan and simulation", lambda r: r[2] + r[3]),
            ("#d9a79b", "simulation alone", lambda r: r[2]),
            ("#2f7d4f", "plain scan", lambda r: r[3])):
        points = " ".join(f"{x(r[0]):.1f},{y(of(r)):.1f}" for r in rows)
        out.append(f'<polyline points="{points}" fill="none" stroke="{color}" '
                   f'stroke-width="2"/>')
        labels.append((y(of(rows[-1])), color, name))
    last = top - 14
    for at, color, name in sorted(labels):
        last = max(at + 4, last + 14)  # one below the other
        out.append(f'<text x="{left + width + 8}" y="{last:.1f}" '
                   f'fill="{color}">{name}</text>')
    out.append("</svg>\n")
    with open(path, "w") as f:
        f.write("\n".join(out))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print("# Grover's search, simulated\n")
    print("Printed by `make bench-quantum`.  A classical machine that "
          "simulates a quantum computer is not faster than one that just "
          "looks: there are fewer oracle calls, but each touches every "
          "state.\n")
    print_loops(rounds)
    with peers.Peer("nqdb", cores="0,1",
                    args=("--quantum.max_iterations", "2000000000")) as server:
        fill(server)
        rows = measure(server, rounds)
        print_searches(rows)
        plot(rows, PLOT)
        print_meanwhile(server)
        print_cancel(server)


if __name__ == "__main__":
    main()
