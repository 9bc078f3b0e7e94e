"""How small data becomes: blocks of the corpus by codec, and data files of
the server beside a Redis RDB and RocksDB with zstd.

    python3 bench/bench_size.py CORPUS_DIR

CORPUS_DIR holds files compressed with zstd.  Prints tables in Markdown, and
the bars with what came of them."""

import glob
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import peers

TOOLS = os.path.join(peers.ROOT, "build", "obj", "release", "bench")
TEXT = (".ndjson", ".json", ".log", ".txt", ".csv")
DICTIONARY = (".ndjson", ".json", ".log")
SIZES = {1024: "1 KB", 16384: "16 KB", 1 << 20: "whole"}
bars = []


def bar(text, value, most):
    bars.append((text, value, most))


# --- blocks -----------------------------------------------------------------

def measure_blocks(files, raw_dir):
    out = subprocess.run([os.path.join(TOOLS, "size_table"), "-o", raw_dir,
                          *files], check=True, capture_output=True, text=True)
    rows = {}
    for line in out.stdout.splitlines():
        name, raw, block, *numbers, codecs = line.split("\t")
        rows.setdefault(name, {})[int(block)] = (
            int(raw), *map(int, numbers), codecs.strip())
    return rows


def print_blocks(rows):
    print("### Blocks: bytes stored for a byte\n")
    print("z3: zstd level 3; 2 bit: two bits a base; nqdb: what is stored; "
          "dictionary: nqdb's size with one trained from the first half, over "
          "zstd 3, both of the second half.\n")
    heads = [f"{s} {c}" for s in SIZES.values() for c in ("z3", "2 bit", "nqdb")]
    print("| file | bytes | " + " | ".join(heads) + " | dictionary |")
    print("|---" * (len(heads) + 3) + "|")
    worst, with_dict, without = 0, 0, 0
    for name, sizes in rows.items():
        cells = []
        for raw, zstd, two_bit, ours, *_ in sizes.values():
            cells += [f"{n / raw:.4f}" for n in (zstd, two_bit, ours)]
            worst = max(worst, ours / min(zstd, two_bit, raw))
        _, _, _, _, trained, plain, _ = sizes[1024]
        if name.endswith(DICTIONARY):
            with_dict, without = with_dict + trained, without + plain
            bar(f"dictionary, 1 KB of {name}", trained / plain, 0.6)
        print(f"| {name} | {raw} | " + " | ".join(cells) +
              f" | {trained / plain:.3f} |")
    bar("nqdb over the better of zstd 3 and two-bit, worst file", worst, 1)
    bar("dictionary, 1 KB of JSON and logs", with_dict / without, 0.6)
    print()


# --- data files -------------------------------------------------------------

def records_whole(raw_dir):
    for name in sorted(os.listdir(raw_dir)):
        with open(os.path.join(raw_dir, name), "rb") as f:
            yield f"file:{name}".encode(), f.read()


def records_1k(raw_dir):
    out = []
    for name in sorted(os.listdir(raw_dir)):
        if not name.endswith(TEXT):
            continue
        with open(os.path.join(raw_dir, name), "rb") as f:
            data = f.read()
        out += [(b"%s:%08d" % (name.split(".")[0].encode(), at),
                 data[at:at + 1024]) for at in range(0, len(data), 1024)]
    random.Random(7).shuffle(out)
    return out


def fill(peer, records):
    c = peer.connect()
    for key, value in records:
        if c.call("SET", key, value) != b"OK":
            raise RuntimeError(f"SET {key}")
    c.close()


def size_of_redis(records):
    with peers.Peer("redis", args=("--appendonly", "no", "--rdbcompression",
                                   "yes")) as p:
        fill(p, records)
        if p.call("SAVE") != b"OK":
            raise RuntimeError("SAVE")
        return os.path.getsize(os.path.join(p.dir, "dump.rdb"))


def size_of_rocksdb(records, block):
    folder = tempfile.mkdtemp(prefix="bench-rocksdb-")
    data = b"".join(struct.pack("<II", len(k), len(v)) + k + v
                    for k, v in records)
    try:
        out = subprocess.run([os.path.join(TOOLS, "size_rocksdb"), folder,
                              str(block)], input=data, check=True,
                             capture_output=True)
        return int(out.stdout)
    except subprocess.CalledProcessError:
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def info(peer, section):
    text = peer.call("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def size_of_nqdb(records, page):
    """The data file when loaded, and when compacted in full with the
    dictionaries that were trained meanwhile; and the share of sectors that
    is not filled."""
    with peers.Peer("nqdb", args=("--storage.btree.node_size", page)) as p:
        path = os.path.join(p.dir, "data.nq")
        fill(p, records)
        p.call("SAVE")
        loaded = os.path.getsize(path)
        time.sleep(1)  # trainings, one after the other
        for _ in range(8):
            trained = info(p, "compression")["dictionaries_trained"]
            p.call("NQ.COMPACT", "FULL", "SYNC")
            p.call("SAVE")
            time.sleep(0.5)
            if info(p, "compression")["dictionaries_trained"] == trained:
                break
        p.call("CONFIG", "RESETSTAT")
        p.call("NQ.COMPACT", "FULL", "SYNC")
        compact = os.path.getsize(path)
        packed, stored = info(p, "compression"), info(p, "storage")
        # Some pages are packed twice on the way: the mean of all of them.
        mean = int(packed["bytes_out"]) / int(packed["blocks"])
        waste = 1 - mean * int(stored["pages_stored"]) / int(
            stored["extent_bytes"])
        return loaded, compact, waste, packed


def print_file_sizes(name, raw, redis, rocks, loaded, compact, waste, packed):
    cells = [f"{n / 1e6:.2f}" for n in (raw, redis, *rocks, loaded, compact)]
    print(f"| {name} | " + " | ".join(cells) + f" | {compact / redis:.3f} | "
          f"{compact / rocks[0] if rocks[0] else 0:.3f} | {f'{waste:.3f}' if waste > 0 else '-'} | "
          f"{packed['dictionaries_used']} |")
    bar(f"{name}: data file over Redis' RDB", compact / redis, 0.45)
    if rocks[0]:
        bar(f"{name}: data file over RocksDB's", compact / rocks[0], 0.9)


def print_files(raw_dir):
    print("### Data files, MB\n")
    print("nqdb: as loaded, and after NQ.COMPACT FULL; both in the default "
          "pages of 8 KB unless told.\n")
    print("| data | raw | Redis RDB | RocksDB 4 KB | RocksDB 16 KB | nqdb | "
          "compacted | over RDB | over RocksDB | headers and sectors | "
          "dictionaries |")
    print("|---" * 11 + "|")
    for name, records in (("whole files", list(records_whole(raw_dir))),
                          ("1 KB records", records_1k(raw_dir))):
        raw = sum(len(k) + len(v) for k, v in records)
        redis = size_of_redis(records)
        rocks = [size_of_rocksdb(records, n) for n in (4096, 16384)]
        for page in ("8kb", "32kb"):
            print_file_sizes(f"{name}, pages of {page}", raw, redis, rocks,
                             *size_of_nqdb(records, page))
    print()


def main():
    files = sorted(glob.glob(os.path.join(sys.argv[1], "*.zst")))
    raw_dir = tempfile.mkdtemp(prefix="bench-size-")
    try:
        print_blocks(measure_blocks(files, raw_dir))
        print_files(raw_dir)
    finally:
        shutil.rmtree(raw_dir, ignore_errors=True)
    print("| bar | is | at most | |\n|---|---|---|---|")
    for text, value, most in bars:
        print(f"| {text} | {value:.3f} | {most} | "
              f"{'met' if value <= most else 'MISSED'} |")


if __name__ == "__main__":
    main()
