# Measurements: docs/performance.md. SPDX-License-Identifier: GPL-2.0-or-later
# make bench: all, about a quarter of an hour; make bench BENCH='verdicts ports': some; ROUNDS=9 SECONDS_A_RUN=3: longer.
BENCH         ?=
ROUNDS        ?=
SECONDS_A_RUN ?=
BENCH_BIN     := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
BENCH_ROOMS   := kernel config policy detect inspect core

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(call rooms_libs,$(BENCH_ROOMS))
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	  $(call rooms_ldlibs,$(BENCH_ROOMS)) -lpcap
.SECONDARY: $(patsubst tests/bench/%.c,$(BUILD)/obj/tests/bench/%.o,$(wildcard tests/bench/*.c))

.PHONY: bench bench-build bench-quick
bench-build: all $(BENCH_BIN)
bench: bench-build
	BUILD_DIR=$(BUILD) tests/bench/run $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS_A_RUN),--seconds $(SECONDS_A_RUN)) $(BENCH)
# Shows that each measurement works; no speed is judged.
bench-quick: bench-build
	BUILD_DIR=$(BUILD) tests/bench/run --quick $(BENCH)
