# Tests, lint, fuzzing: what CONTRIBUTING.md describes. SPDX-License-Identifier: GPL-2.0-or-later
C_FILES = $(shell git ls-files 'enforcer/*.c' 'tools/*.c' 2>/dev/null)
C_TEXT  = $(shell git ls-files 'enforcer/*.[ch]' 'include/*.h' 'tools/*.[ch]' 'tests/unit/*.[ch]' 'tests/fuzz/*.c' 'tests/bench/*.[ch]' 'tests/faults/*.[ch]' 'tests/lab/*.c' 2>/dev/null)
LINT_STAMP := $(BUILD)/lint

# One file once: only what changed since it was clean is looked at again.
$(LINT_STAMP)/%.tidy: % .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$<)
	$(Q)clang-tidy --quiet $< -- -std=c11 $(CPPFLAGS) >$@.out 2>/dev/null || { cat $@.out; exit 1; }
	@touch $@
.PHONY: lint format
lint: $(foreach f,$(C_FILES),$(LINT_STAMP)/$(f).tidy)
	clang-format --dry-run -Werror $(C_TEXT)
	cppcheck --quiet --error-exitcode=1 --enable=warning,portability,performance --inline-suppr \
	  --suppress=missingIncludeSystem --std=c11 -Iinclude -I. -D_GNU_SOURCE -DENF_VERSION='""' -DENF_CONFINE=1 $(C_FILES)
	tests/check/layers
	tests/check/headers
	tests/check/house
	tests/check/docs
format:
	clang-format -i $(C_TEXT)

# Unprivileged: seconds.
.PHONY: check check-asan check-clang
check: unit lint
check-asan:
	$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SAN=address,undefined OPT='-O1 -g' unit
check-clang:
	$(MAKE) --no-print-directory BUILD=$(BUILD)/clang CC=clang all unit-build

# Everything, as CI does it.
.PHONY: test test-long test-vm demo
test: deps
	tests/run-all
test-long: deps
	LONG=1 tests/run-all
# All of the lab's tests on Debian's kernels, in qemu: an hour or more for each.
test-vm: deps
	$(MAKE) --no-print-directory -j$$(nproc) all unit-build
	tests/vm/whole
demo: deps
	$(MAKE) --no-print-directory -j$$(nproc) all
	KEEP=$(KEEP) /usr/bin/python3 tests/lab/demo.py

# --- fuzzing: tests/fuzz/NAME.c, libFuzzer, the corpus beside it --------------------------------------------------
FUZZ := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ_SECONDS ?= 60
FUZZ_ROOMS := control sinks store kernel config policy detect inspect core
.PHONY: fuzz fuzz-build
fuzz-build:
	$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang SAN=address,undefined,fuzzer-no-link OPT='-O1 -g' \
	  $(foreach f,$(FUZZ),$(BUILD)/fuzz/bin/$(f))
$(BUILD)/bin/%: $(BUILD)/obj/tests/fuzz/%.o $(call rooms_libs,$(FUZZ_ROOMS))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=address,undefined,fuzzer -o $@ $(filter %.o,$^) \
	  -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call rooms_ldlibs,$(FUZZ_ROOMS)) $(LIBS_tools)
# The readers of captures belong to a tool, so they are in no room's library.
$(BUILD)/bin/capture: $(filter-out %/main.o,$(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tools/enforcer-replay/*.c)))
fuzz: fuzz-build
	@BUILD=$(BUILD) FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run-fuzz

# --- what the machine must have ----------------------------------------------------------------------------------
BUILD_PACKAGES := gcc libc6-dev pkg-config libnftables-dev libnftnl-dev libmnl-dev libnetfilter-queue-dev \
  libnetfilter-log-dev libjansson-dev libyaml-dev libsqlite3-dev libuv1-dev libxxhash-dev libpcap-dev zlib1g-dev \
  libseccomp-dev libmicrohttpd-dev
TEST_PACKAGES := clang libclang-rt-14-dev clang-format clang-tidy cppcheck valgrind libcmocka-dev nftables iproute2 tcpdump procps \
  python3 python3-pytest python3-scapy python3-jsonschema python3-yaml perl git kmod jq conntrack socat iptables iperf3 ipset \
  curl openssl libnet-ssleay-perl qemu-system-x86 xz-utils zstd \
  tmux debhelper dpkg-dev fakeroot lintian mandoc prometheus zsh fish systemd logrotate debootstrap \
  chromium nginx-light fcgiwrap dbus python3-dbus python3-gi
.PHONY: deps
deps:
	@tests/deps $(BUILD_PACKAGES) $(TEST_PACKAGES)

.PHONY: install
install: all
	install -D -m 0755 $(BUILD)/enforcerd $(DESTDIR)$(PREFIX)/sbin/enforcerd
	install -D -m 0755 $(BUILD)/enforcerctl $(DESTDIR)$(PREFIX)/sbin/enforcerctl
	install -D -m 0755 $(BUILD)/enforcer-replay $(DESTDIR)$(PREFIX)/bin/enforcer-replay
	for page in man/*.[1-8]; do \
	  install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$(basename $$page); done
	install -D -m 0644 docs/enforcer.yaml $(DESTDIR)$(PREFIX)/share/doc/enforcer/enforcer.yaml
	install -d -m 0755 $(DESTDIR)/etc/enforcer
