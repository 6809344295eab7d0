# larder. `make run` and `make check` work from a bare Debian 12: see README.md.
#
# Flavours: ASAN=1 (address and undefined-behaviour sanitizers), TSAN=1,
# CC=clang, WERROR=1; V=1 shows whole commands. Each builds into a folder of its own below build/; only
# the default one is what build/larderd and build/larderctl stand for.

CC = gcc
PREFIX = /usr/local
SYSCONFDIR = /etc
VERSION = 0.1.0

FLAVOUR := $(if $(ASAN),-asan)$(if $(TSAN),-tsan)
DEFAULT_B := build/gcc
B := build/$(notdir $(CC))$(FLAVOUR)

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef \
	-Wformat=2 -Wvla -Wconversion -Wno-sign-conversion -Wswitch-enum \
	-Wimplicit-fallthrough $(if $(WERROR),-Werror)
HARDENING = -fstack-protector-strong -fstack-clash-protection -fcf-protection \
	-fPIE $(if $(ASAN)$(TSAN),,-D_FORTIFY_SOURCE=3)
SANITIZE = $(if $(ASAN),-fsanitize=address -fsanitize=undefined \
	-fno-sanitize-recover=undefined -fno-omit-frame-pointer) \
	$(if $(TSAN),-fsanitize=thread)

CFLAGS = -O2 -g
DEFINES = -std=c11 -D_GNU_SOURCE -Iinclude -Isrc -Istorage \
	-DLARDER_VERSION='"$(VERSION)"' -DLARDER_SYSCONFDIR='"$(SYSCONFDIR)"'
ALL_CFLAGS = $(DEFINES) $(WARNINGS) $(HARDENING) $(SANITIZE) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(SANITIZE) $(LDFLAGS)
LIBS = -levent_openssl -levent_pthreads -levent_extra -levent_core -llmdb \
	-lzstd -lxxhash -lssl -lcrypto -lz -lconfuse -ljansson -lpthread

ROOMS = src/base src/conf src/http src/cache src/net src/proxy src/admin storage
SOURCES := $(sort $(wildcard $(ROOMS:%=%/*.c)))
OBJECTS := $(SOURCES:%.c=$(B)/%.o)
UNITS := $(sort $(wildcard tests/unit/*/test_*.c))
UNIT_BINS := $(UNITS:%.c=$(B)/%)
FORMATTED = $(sort $(wildcard include/larder/*.h src/*.c src/*/*.[ch] \
	storage/*.[ch] tests/unit/*/*.[ch] tests/fuzz/*.[ch] tests/crash/*.[ch] \
	tests/bench/*.[ch] packaging/man/*.c))

# Short lines unless V=1: "  CC src/larderd.c".
Q := $(if $(V),,@)
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-5s %s\n' $(1) $(2))

.PHONY: all units simulate
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/larderd $(B)/larderctl
ifeq ($(B),$(DEFAULT_B))
all: build/larderd build/larderctl

build/larderd build/larderctl: build/%: $(B)/%
	@ln -sfn $(notdir $(B))/$* $@
endif

$(B)/larderd $(B)/larderctl: $(B)/%: $(B)/src/%.o $(B)/liblarder.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/liblarder.a: $(OBJECTS)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(B)/%.o: %.c | $(B)/.have
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/unit/%.o: tests/unit/%.c | $(B)/.have-cmocka
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/liblarder.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

# The page is in the program (src/admin/asset.c).
$(B)/src/admin/asset.o: $(wildcard src/admin/page/*)

units: $(UNIT_BINS)

# Of the policy of eviction on a trace: see tests/bench/simulate.c. Its model of
# the store is what tests/unit/storage/test_policy.c runs traces through.
MODEL = $(patsubst %,$(B)/tests/bench/%.o,model rivals trace)

$(B)/tests/bench/simulate: $(B)/tests/bench/simulate.o $(MODEL) $(B)/liblarder.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lm

$(B)/tests/unit/storage/test_policy: $(MODEL)
$(B)/tests/unit/storage/test_policy: LIBS += -lm
$(B)/tests/unit/storage/test_policy.o: DEFINES += -Itests/bench

simulate: $(B)/tests/bench/simulate

# ---- what it needs ----------------------------------------------------------

BUILD_PACKAGES = gcc libc6-dev make libevent-dev liblmdb-dev libzstd-dev \
	libxxhash-dev libssl-dev zlib1g-dev libconfuse-dev libjansson-dev
CHECK_PACKAGES = $(BUILD_PACKAGES) libcmocka-dev python3 python3-pytest \
	varnish clang clang-format libclang-rt-14-dev curl openssl apt-utils \
	dpkg-dev iproute2 zstd python3-jsonschema
DEB_PACKAGES = $(BUILD_PACKAGES) debhelper dpkg-dev fakeroot po-debconf
# Of the tests of the packages; and of those in Debian roots.
PACKAGE_PACKAGES = lintian man-db groff-base zsh systemd
ROOT_PACKAGES = debootstrap systemd-container
BENCH_PACKAGES = $(BUILD_PACKAGES) python3 wrk nginx-light trafficserver \
	varnish squid haproxy valgrind

# What the page is tried with, where it is there: a browser, and two programs that
# are not installed, because they would change the machine (apt's proxy, a server).
PAGE_PACKAGES = chromium
PAGE_TOOLS = auto-apt-proxy prometheus

.PHONY: deps check-deps bench-deps deb-deps root-deps page-deps

deps:
	@sh packaging/deps $(BUILD_PACKAGES)
check-deps:
	@sh packaging/deps $(CHECK_PACKAGES) $(DEB_PACKAGES) $(PACKAGE_PACKAGES)
deb-deps:
	@sh packaging/deps $(DEB_PACKAGES)
root-deps:
	@sh packaging/deps $(ROOT_PACKAGES)
bench-deps:
	@sh packaging/deps $(BENCH_PACKAGES)
page-deps:
	@sh packaging/deps $(PAGE_PACKAGES)
	@mkdir -p build/tools
	@cd build/tools && for p in $(PAGE_TOOLS); do \
		apt-get -q download $$p && dpkg -x $${p}_*.deb . && rm $${p}_*.deb || \
		exit 1; done

# The goals that install what they lack do so before anything is compiled.
DEPS := $(if $(filter check check-package soak fuzz,$(MAKECMDGOALS)),check-deps) \
	$(if $(filter bench,$(MAKECMDGOALS)),deps) \
	$(if $(filter check-package soak,$(MAKECMDGOALS)),root-deps) \
	$(if $(filter run,$(MAKECMDGOALS)),deps)

deb: | deb-deps

# header:package
HEADERS = event2/event.h:libevent-dev lmdb.h:liblmdb-dev zstd.h:libzstd-dev \
	xxhash.h:libxxhash-dev openssl/ssl.h:libssl-dev zlib.h:zlib1g-dev \
	confuse.h:libconfuse-dev jansson.h:libjansson-dev

$(B)/.have: | $(DEPS)
	@CC="$(CC)" sh packaging/have deps $(HEADERS)
	@mkdir -p $(@D) && touch $@
$(B)/.have-cmocka: | $(B)/.have
	@CC="$(CC)" sh packaging/have check-deps cmocka.h:libcmocka-dev
	@touch $@

# ---- to run it --------------------------------------------------------------

.PHONY: run

run: all
	@B=$(B) sh packaging/run

# ---- to test it -------------------------------------------------------------

SUITES = lint unit fuzz crash vtc system package
TESTS = B=$(B) LARDERD=$(B)/larderd LARDERCTL=$(B)/larderctl tests/run

.PHONY: check check-package soak bench scale small fuzz fuzzers format

check: all units fuzzers
	@$(TESTS) $(SUITES)

# The packages, installed and run in Debian roots of their own; as root.
check-package: all
	@$(TESTS) --slow package

soak: all units
	@$(TESTS) --slow crash system package

# BENCH="hits misses" for some of it; tests/bench/run --help names them all.
BENCH =
BENCH_TOOLS = $(B)/tests/bench/limit $(B)/tests/bench/fan

$(BENCH_TOOLS): $(B)/tests/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $<

bench: all $(BENCH_TOOLS)
	@LARDERD=$(B)/larderd LARDERCTL=$(B)/larderctl BENCH_TOOLS=$(B)/tests/bench \
		tests/bench/run $(BENCH)

# By hand: build/gcc/tests/bench/scale -n 1000000. Out of storage/ and base/.
scale: $(B)/tests/bench/scale

$(B)/tests/bench/scale: $(B)/tests/bench/scale.o \
		$(B)/tests/bench/scale_objects.o $(B)/tests/bench/scale_catalog.o \
		$(B)/liblarder.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -llmdb -lzstd -lxxhash -lpthread

# By hand: build/gcc/tests/bench/small FOLDER, of small bodies in packs.
small: $(B)/tests/bench/small

$(B)/tests/bench/small: $(B)/tests/bench/small.o $(B)/liblarder.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lzstd -lxxhash -lpthread

format:
	clang-format -i $(FORMATTED)

# libFuzzer, with a copy of the library that it can look into: an hour each, or
#	make fuzz FUZZ_SECONDS=60 FUZZ="request exchange"
# Each begins with tests/fuzz/corpus; FUZZ_KEEP=1 adds to that what was found to
# reach further. The corpus alone is a suite of `make check`.
FUZZ_SECONDS = 3600
FUZZ = $(FUZZERS:fuzz_%=%)
FUZZ_KEEP =
FUZZ_B = build/fuzz
FUZZ_FLAGS = -fsanitize=address -fsanitize=undefined \
	-fno-sanitize-recover=undefined -fno-omit-frame-pointer
, := ,
FUZZERS := $(sort $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c)))

$(FUZZ_B)/%.o: %.c | $(B)/.have
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)clang $(DEFINES) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -O1 -g -MMD -MP \
		-c -o $@ $<

$(FUZZ_B)/src/admin/asset.o: $(wildcard src/admin/page/*)

$(FUZZ_B)/liblarder.a: $(SOURCES:%.c=$(FUZZ_B)/%.o)
	@rm -f $@
	@ar rcs $@ $^

$(FUZZ_B)/fuzz_%: $(FUZZ_B)/tests/fuzz/fuzz_%.o $(FUZZ_B)/liblarder.a
	$(call say,LINK,$@)
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer $(FUZZ_SEAMS) -o $@ \
		$(filter %.o,$^) $(filter %.a,$^) $(LIBS)

# All of larder in one thread: what it calls of the world outside is replaced.
EXCHANGE = $(patsubst %.c,$(FUZZ_B)/%.o,$(wildcard tests/fuzz/exchange_*.c))
$(FUZZ_B)/fuzz_exchange: $(EXCHANGE)
$(FUZZ_B)/fuzz_exchange: FUZZ_SEAMS = $(patsubst %,-Wl$(,)--wrap=%,connect \
	setsockopt recv event_add event_free worker_new resolve_start store_create)

fuzzers: $(FUZZERS:%=$(FUZZ_B)/%)

fuzz: $(FUZZ:%=$(FUZZ_B)/fuzz_%)
	@B=$(FUZZ_B) SECONDS_EACH=$(FUZZ_SECONDS) KEEP=$(FUZZ_KEEP) \
		sh packaging/fuzz $(FUZZ)

# ---- manual pages -----------------------------------------------------------

# The options in larder.conf(5) are the parser's.
MAN = $(B)/man/larderd.8 $(B)/man/larderctl.1 $(B)/man/larder.conf.5
FILL = sed -e 's|@PREFIX@|$(PREFIX)|g; s|@SYSCONFDIR@|$(SYSCONFDIR)|g' \
	-e 's|@VERSION@|$(VERSION)|g'

.PHONY: man

man: $(MAN)

$(B)/man/options: $(B)/packaging/man/options.o $(B)/liblarder.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/man/options.man: $(B)/man/options
	$(Q)$< > $@

$(MAN): $(B)/man/%: packaging/man/%.in $(B)/man/options.man Makefile
	$(call say,MAN,$@)
	$(Q)$(FILL) -e '/^@OPTIONS@$$/ {' -e 'r $(B)/man/options.man' -e 'd' -e '}' \
		$< > $@

# ---- to install it ----------------------------------------------------------

SBIN = $(DESTDIR)$(PREFIX)/sbin
BIN = $(DESTDIR)$(PREFIX)/bin
LIB = $(DESTDIR)$(PREFIX)/lib/larder
SHARE = $(DESTDIR)$(PREFIX)/share
ETC = $(DESTDIR)$(SYSCONFDIR)
UNITS_IN = $(PREFIX)/lib/systemd/system
UNITDIR = $(DESTDIR)$(UNITS_IN)
SYSUSERS = $(DESTDIR)$(PREFIX)/lib/sysusers.d
BASH_COMPLETIONS = $(SHARE)/bash-completion/completions
ZSH_COMPLETIONS = $(SHARE)/zsh/vendor-completions
UNIT_FILES = $(notdir $(wildcard packaging/systemd/*.service \
	packaging/systemd/*.socket packaging/systemd/*.timer))
PRESETS = $(wildcard conf/presets/*.conf)

.PHONY: install uninstall deb clean

install: all man
	install -d $(SBIN) $(BIN) $(LIB) $(UNITDIR) $(SYSUSERS) $(SHARE)/larder \
		$(SHARE)/man/man1 $(SHARE)/man/man5 $(SHARE)/man/man8 \
		$(BASH_COMPLETIONS) $(ZSH_COMPLETIONS) $(ETC)/larder $(ETC)/cron.d \
		$(ETC)/logrotate.d $(ETC)/ufw/applications.d $(ETC)/avahi/services
	install -m 755 $(B)/larderd $(SBIN)/larderd
	install -m 755 $(B)/larderctl $(BIN)/larderctl
	$(FILL) packaging/job > $(LIB)/job && chmod 755 $(LIB)/job
	test -e $(ETC)/larder/larder.conf || \
		install -m 644 conf/larder.conf $(ETC)/larder/larder.conf
	install -m 644 conf/larder.conf $(SHARE)/larder/larder.conf
	install -d $(SHARE)/larder/presets
	install -m 644 $(PRESETS) $(SHARE)/larder/presets
	ln -sfnr $(SHARE)/larder/presets $(ETC)/larder/presets
	install -m 644 $(B)/man/larderctl.1 $(SHARE)/man/man1
	install -m 644 $(B)/man/larder.conf.5 $(SHARE)/man/man5
	install -m 644 $(B)/man/larderd.8 $(SHARE)/man/man8
	install -m 644 packaging/completions/larderctl.bash \
		$(BASH_COMPLETIONS)/larderctl
	install -m 644 packaging/completions/larderctl.zsh \
		$(ZSH_COMPLETIONS)/_larderctl
	for unit in $(UNIT_FILES); do \
		$(FILL) packaging/systemd/$$unit > $(UNITDIR)/$$unit || exit 1; \
		chmod 644 $(UNITDIR)/$$unit; done
	install -m 644 packaging/systemd/larder.sysusers $(SYSUSERS)/larder.conf
	$(FILL) packaging/larder.cron > $(ETC)/cron.d/larder
	chmod 644 $(ETC)/cron.d/larder
	install -m 644 packaging/larder.logrotate $(ETC)/logrotate.d/larder
	install -m 644 packaging/larder.ufw $(ETC)/ufw/applications.d/larder
	install -m 644 packaging/larder.avahi $(ETC)/avahi/services/larder.service

# The configuration and the cache are the admin's; the presets are not.
uninstall:
	rm -f $(SBIN)/larderd $(BIN)/larderctl $(SYSUSERS)/larder.conf \
		$(UNIT_FILES:%=$(UNITDIR)/%) $(ETC)/cron.d/larder \
		$(ETC)/logrotate.d/larder $(ETC)/ufw/applications.d/larder \
		$(ETC)/avahi/services/larder.service \
		$(SHARE)/man/man1/larderctl.1 $(SHARE)/man/man5/larder.conf.5 \
		$(SHARE)/man/man8/larderd.8 $(BASH_COMPLETIONS)/larderctl \
		$(ZSH_COMPLETIONS)/_larderctl
	test ! -L $(ETC)/larder/presets || rm $(ETC)/larder/presets
	rm -rf $(LIB) $(SHARE)/larder

# build/larder_*.deb and build/larder-client_*.deb, from a copy of the tree.
deb:
	@sh packaging/deb $(VERSION)

clean:
	rm -rf build

-include $(shell find $(B) $(FUZZ_B) -name '*.d' 2>/dev/null)
