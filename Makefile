# NeuroQuantumDB.  `make run` and `make test` are all a newcomer needs; the
# rest is listed by `make help`.
#
# One non-recursive makefile.  MODE chooses the build: release debug asan tsan
# harsh.  Release binaries are build/nqdb-server and build/nqdb-cli; every
# other mode has a folder of its own, build/<mode>/.

MODE ?= release
CC ?= gcc
OUT := build/$(if $(filter release,$(MODE)),,$(MODE)/)
OBJ := build/obj/$(MODE)

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wcast-qual -Wundef -Werror
CFLAGS_release := -O2 -g -fno-plt
CFLAGS_debug := -O1 -g3 -DNQ_DEBUG -DNQ_FAULTS
CFLAGS_asan := -O1 -g1 -DNQ_DEBUG -DNQ_FAULTS -fsanitize=address,undefined \
	-fno-sanitize-recover=all
CFLAGS_tsan := -O1 -g1 -DNQ_DEBUG -DNQ_FAULTS -fsanitize=thread
CFLAGS_harsh := -O1 -g1 -DNQ_DEBUG -DNQ_FAULTS -DNQ_HARSH
LDFLAGS_asan := -fsanitize=address,undefined
LDFLAGS_tsan := -fsanitize=thread

CFLAGS := -std=gnu11 -D_GNU_SOURCE -Isrc -fno-omit-frame-pointer \
	-fno-strict-aliasing $(WARN) $(CFLAGS_$(MODE))
LDFLAGS := -rdynamic $(LDFLAGS_$(MODE))
LDLIBS := -lev -lyajl -lzstd -lz -lssl -lcrypto -lpthread -lm

# Every .c under src/ but the two mains makes the library.
MAINS := src/server/main.c src/server/cli.c
SRCS := $(filter-out $(MAINS),$(wildcard src/*/*.c))
OBJS := $(SRCS:%.c=$(OBJ)/%.o)
LIB := $(OBJ)/libnqdb.a

TESTLIB := $(wildcard tests/lib/*.c)
TESTLIB_OBJS := $(TESTLIB:%.c=$(OBJ)/%.o)
UNIT := $(patsubst tests/unit/%.c,$(OBJ)/tests/unit/%,$(wildcard tests/unit/test_*.c))
INTEG := $(patsubst tests/integ/%.c,$(OBJ)/tests/integ/%,$(wildcard tests/integ/test_*.c))
CRASH := $(patsubst tests/crash/%.c,$(OBJ)/tests/crash/%,$(wildcard tests/crash/test_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(OBJ)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FAULTS := $(OBJ)/tests/faults/faults
BENCH := $(patsubst bench/%.c,$(OBJ)/bench/%,$(wildcard bench/*.c))

.PHONY: all
all: deps $(OUT)nqdb-server $(OUT)nqdb-cli

.PHONY: help
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make run            install what is missing, build, serve on 127.0.0.1:6379
.PHONY: run
run: all
	@$(OUT)nqdb-server conf/nqdb.toml

## make install        PREFIX=/usr/local: binaries, settings
PREFIX ?= /usr/local
.PHONY: install
install: all
	install -D -m 755 $(OUT)nqdb-server $(DESTDIR)$(PREFIX)/bin/nqdb-server
	install -D -m 755 $(OUT)nqdb-cli $(DESTDIR)$(PREFIX)/bin/nqdb-cli
	install -D -m 644 conf/nqdb.toml $(DESTDIR)$(PREFIX)/etc/nqdb.toml

# --- what must be installed ------------------------------------------------

.PHONY: deps
deps: build/.deps
build/.deps: utils/install-deps
	@mkdir -p build
	@utils/install-deps build
	@touch $@

.PHONY: deps-test
deps-test: build/.deps-test
build/.deps-test: utils/install-deps
	@mkdir -p build
	@utils/install-deps test
	@touch $@ build/.deps

# --- objects and binaries --------------------------------------------------

$(OBJ)/%.o: %.c | deps
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(EXTRA) -MMD -MP -c $< -o $@

# SIMD variants are compiled for their instruction set and called only behind
# run-time dispatch.
# (*_neon.c needs no flag: all of arm64 has it.)
ifneq ($(findstring x86_64,$(shell $(CC) -dumpmachine)),)
$(OBJ)/%_avx2.o: EXTRA += -mavx2
$(OBJ)/%_sse42.o: EXTRA += -msse4.2
$(OBJ)/%_ssse3.o: EXTRA += -mssse3
endif

$(LIB): $(OBJS)
	@rm -f $@
	@ar rcs $@ $^

$(OUT)nqdb-server: $(OBJ)/src/server/main.o $(LIB)
	@mkdir -p $(@D)
	@echo "  link $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(OUT)nqdb-cli: $(OBJ)/src/server/cli.o $(LIB)
	@mkdir -p $(@D)
	@echo "  link $@"
	@$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(OBJ)/tests/%: $(OBJ)/tests/%.o $(TESTLIB_OBJS) $(LIB)
	@$(CC) $(LDFLAGS) $^ -lcmocka -lhiredis $(LDLIBS) -o $@

$(OBJ)/bench/%: $(OBJ)/bench/%.o $(LIB)
	@$(CC) $(LDFLAGS) $^ $(BENCH_LIBS) $(LDLIBS) -o $@

# All of tests/faults is one program.
FAULTS_OBJS := $(patsubst %.c,$(OBJ)/%.o,$(wildcard tests/faults/*.c))
$(FAULTS): LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
$(FAULTS): $(FAULTS_OBJS) $(TESTLIB_OBJS) $(LIB)
	@$(CC) $(LDFLAGS) $^ -lcmocka -lhiredis $(LDLIBS) -o $@

# These make pages vanish under the tree.
$(OBJ)/tests/unit/test_btree_model $(OBJ)/tests/unit/test_btree_clone: \
	LDFLAGS += -Wl,--wrap=frames_missed,--wrap=frames_free
# This one sees what is sealed with which nonce.
$(OBJ)/tests/unit/test_encrypt: \
	LDFLAGS += -Wl,--wrap=seal_bytes,--wrap=seal_key_new
# This one has an effect of its own.
$(OBJ)/tests/unit/test_coll_model: LDFLAGS += -Wl,--wrap=db_apply_copy

.PRECIOUS: $(OBJ)/%.o
-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

# --- tests -----------------------------------------------------------------

## make check          unit tests, fuzz corpora, lint: under a minute
.PHONY: check
check: deps-test
	@$(MAKE) --no-print-directory -j$(CORES) MODE=debug build-tests
	@$(MAKE) --no-print-directory -j1 MODE=debug check-unit check-fuzz lint

CORES := $(shell nproc)
BINS := $(OUT)nqdb-server $(OUT)nqdb-cli
RUN_BINS := NQDB_SERVER=$(OUT)nqdb-server NQDB_CLI=$(OUT)nqdb-cli

.PHONY: build-tests build-integ build-crash
build-tests: $(UNIT) $(FUZZ)
build-integ: $(BINS) $(INTEG)
build-crash: $(BINS) $(CRASH)

# TSan is slow, and has something to say only where there are threads.
THREADED := $(filter $(addprefix $(OBJ)/tests/unit/test_,encrypt fault fetch \
	file log_% matching pool quantum snapshot store store_% turn wal wal_%),\
	$(UNIT))
.PHONY: build-threads check-threads
build-threads: $(THREADED)
check-threads: build-threads
	@JOBS=$(CORES) utils/run-tests $(THREADED)

# Unit tests and fuzz corpora share nothing, so they run side by side.
.PHONY: check-unit check-fuzz check-integ check-crash
check-unit: $(UNIT)
	@JOBS=$(CORES) utils/run-tests $(UNIT)
check-fuzz: $(FUZZ)
	@JOBS=$(CORES) utils/run-tests $(foreach f,$(FUZZ),\
		"$(f) tests/fuzz/corpus/$(patsubst fuzz_%,%,$(notdir $(f)))")
check-integ: build-integ
	@$(RUN_BINS) utils/run-tests $(INTEG)
check-crash: build-crash
	@$(RUN_BINS) JOBS=$(CORES) utils/run-tests $(CRASH)

## make check-faults   power cuts, failing disks, damage: FAULT_SECONDS=1800
##                     (MODE=asan too); what fails says how to repeat it
.PHONY: build-faults check-faults
build-faults: $(FAULTS)
check-faults:
	@$(MAKE) --no-print-directory MODE=$(if $(filter \
		release,$(MODE)),debug,$(MODE)) run-faults
.PHONY: run-faults
run-faults: $(FAULTS)
	@$(FAULTS)

## make test           all tests, in all the builds that they need
.PHONY: test
test: deps-test
	@utils/test-all

## make test-clients   client libraries of six languages: CLIENTS="phpredis"
.PHONY: test-clients
test-clients: all
	@NQDB_SERVER=$(OUT)nqdb-server utils/test-clients

## make test-neon      the NEON code, under an emulator of arm64
.PHONY: test-neon
test-neon:
	@utils/install-deps neon || echo "going on with what is there"
	@utils/test-neon

# --- benches ---------------------------------------------------------------

build/slow_sync.so: bench/slow_sync.c
	@mkdir -p build
	@$(CC) -O2 -fPIC -shared $< -ldl -o $@

## make bench          beside redis-server: BENCH_ARGS="--rounds 5 --only cpu"
.PHONY: bench
bench: all build/slow_sync.so
	@utils/install-deps bench
	@python3 bench/bench.py $(BENCH_ARGS)

# Engines are linked if their headers are there; utils/install-deps brings
# those of Debian.
has = $(if $(wildcard /usr/include/$(1)),$(2))
$(OBJ)/bench/bench_engine: BENCH_LIBS = $(call has,lmdb.h,-llmdb) \
	$(call has,rocksdb/c.h,-lrocksdb) $(call has,wiredtiger.h,-lwiredtiger)

## make bench-engine   the tree beside LMDB, RocksDB, WiredTiger:
##                     BENCH_ARGS="-n 1000000 -r 5 -k binary -e lmdb"
.PHONY: bench-engine
bench-engine:
	@utils/install-deps bench
	@$(MAKE) --no-print-directory MODE=release \
		build/obj/release/bench/bench_engine
	@build/obj/release/bench/bench_engine $(BENCH_ARGS)

$(OBJ)/bench/bench_cold: BENCH_LIBS = $(call has,rocksdb/c.h,-lrocksdb) \
	$(call has,wiredtiger.h,-lwiredtiger)

## make bench-cold     reads of data larger than memory beside RocksDB and
##                     WiredTiger: BENCH_ARGS="-n 4000000 -p 10 -z -c"
.PHONY: bench-cold
bench-cold:
	@utils/install-deps bench
	@$(MAKE) --no-print-directory MODE=release \
		build/obj/release/bench/bench_cold
	@build/obj/release/bench/bench_cold $(BENCH_ARGS)

# It talks to a server that runs.
$(OBJ)/bench/ranges: BENCH_LIBS = -lhiredis

## make bench-ranges   how fast queries read ranges, and how long a PING waits:
##                     BENCH_ARGS="-p PORT [-n ROWS]"
.PHONY: bench-ranges
bench-ranges:
	@$(MAKE) --no-print-directory MODE=release build/obj/release/bench/ranges
	@build/obj/release/bench/ranges $(BENCH_ARGS)

$(OBJ)/bench/stall: BENCH_LIBS = -lhiredis

## make bench-stall    how long a command on a big value makes a PING wait:
##                     BENCH_ARGS="-p 6379 -t set -n 1000000 'DEL big'"
.PHONY: bench-stall
bench-stall:
	@$(MAKE) --no-print-directory MODE=release build/obj/release/bench/stall
	@build/obj/release/bench/stall $(BENCH_ARGS)

$(OBJ)/bench/stream: BENCH_LIBS = -lhiredis

## make bench-stream   NQ.STREAM: rows a second, first batch, PING meanwhile:
##                     BENCH_ARGS="-p 6379 -n 1000000 -c 1 -s"
.PHONY: bench-stream
bench-stream:
	@$(MAKE) --no-print-directory MODE=release build/obj/release/bench/stream
	@build/obj/release/bench/stream $(BENCH_ARGS)

## make bench-seal     what encryption costs checkpoints and the log
.PHONY: bench-seal
bench-seal:
	@$(MAKE) --no-print-directory MODE=release build/obj/release/bench/seal
	@build/obj/release/bench/seal $(BENCH_ARGS)

## make bench-query    what a WHERE costs a row, over hashes and JSON:
##                     BENCH_ARGS="-n 100000 'temp > 25'"
.PHONY: bench-query
bench-query:
	@$(MAKE) --no-print-directory MODE=release build/obj/release/bench/query
	@build/obj/release/bench/query $(BENCH_ARGS)

## make bench-codec    packing nucleotides, checksums, beside memcpy:
##                     BENCH_ARGS="-r 9 -s 65536,67108864 -v avx2"
.PHONY: bench-codec
bench-codec:
	@$(MAKE) --no-print-directory MODE=release build/obj/release/bench/codec
	@build/obj/release/bench/codec $(BENCH_ARGS)

## make bench-quantum  Grover's simulation beside the scan:
##                     BENCH_ARGS="5"
.PHONY: bench-quantum
bench-quantum: all
	@$(MAKE) --no-print-directory MODE=release \
		build/obj/release/bench/bench_quantum
	@python3 bench/bench_quantum.py $(BENCH_ARGS)

$(OBJ)/bench/size_rocksdb: BENCH_LIBS = $(call has,rocksdb/c.h,-lrocksdb)

## make bench-size     how small data becomes, by codec and beside Redis and
##                     RocksDB: CORPUS=folder with files packed by zstd
.PHONY: bench-size
bench-size: all
	@utils/install-deps bench
	@$(MAKE) --no-print-directory MODE=release \
		build/obj/release/bench/size_table build/obj/release/bench/size_rocksdb
	@python3 bench/bench_size.py $(CORPUS)

# Fleets of clients are those of the tests.
FLEET := $(OBJ)/tests/lib/fleet.o $(OBJ)/tests/lib/feed_fleet.o
$(OBJ)/bench/feed_story $(OBJ)/bench/bench_feeds: $(FLEET)
$(OBJ)/bench/feed_story $(OBJ)/bench/bench_feeds: BENCH_LIBS = $(LIB)

## make bench-feeds    how fast changes reach subscribers, and what feeds cost:
##                     BENCH_ARGS="-p 6379 -n 1000 -r 100", "-p 6379 -i 10000"
.PHONY: bench-feeds
bench-feeds:
	@$(MAKE) --no-print-directory MODE=release \
		build/obj/release/bench/bench_feeds
	@build/obj/release/bench/bench_feeds $(BENCH_ARGS)

# Traces are read and replayed as the unit tests do it.
$(OBJ)/bench/trace_replay: $(OBJ)/tests/lib/trace.o
$(OBJ)/bench/trace_replay: BENCH_LIBS = $(LIB)

## make trace-replay   miss ratios of the eviction policies beside Belady's:
##                     TRACE="a.txt b.txt.zst" BENCH_ARGS="-s 1%,1000 -p arc"
.PHONY: trace-replay
trace-replay:
	@$(MAKE) --no-print-directory MODE=release \
		build/obj/release/bench/trace_replay
	@build/obj/release/bench/trace_replay $(BENCH_ARGS) $(TRACE)

## make lint           layers, banned calls, file lists, format
.PHONY: lint
lint:
	@utils/layers
	@utils/lint

## make format         clang-format over the tree, and the list in src/README.md
.PHONY: format
format:
	@clang-format -i $$(git ls-files '*.c' '*.h')
	@utils/list-files --write

## make clean          remove build/
.PHONY: clean
clean:
	@rm -rf build
