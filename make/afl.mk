# A second engine for what strangers send: AFL++ over the same targets and seeds. Skipped with a word where it is not
# installed (Debian: afl++). SPDX-License-Identifier: GPL-2.0-or-later
AFL := packet smtp sessions
AFL_ENV := AFL_NO_UI=1 AFL_NO_AFFINITY=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1
.PHONY: fuzz-afl
$(BUILD)/afl-bin/%: $(BUILD)/obj/tests/fuzz/%.o $(call rooms_libs,inspect core)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) \
	  -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call rooms_ldlibs,inspect core)
fuzz-afl:
	@if ! command -v afl-fuzz >/dev/null || ! command -v afl-clang-fast >/dev/null; then \
	  echo 'fuzz-afl: SKIPPED, AFL++ is not installed (package afl++)'; exit 0; fi; \
	AFL_QUIET=1 $(MAKE) --no-print-directory BUILD=$(BUILD)/afl CC=afl-clang-fast SAN=address,undefined OPT='-O1 -g' \
	  $(foreach f,$(AFL),$(BUILD)/afl/afl-bin/$(f)) || exit 1; \
	for f in $(AFL); do \
	  echo "== $$f: $(FUZZ_SECONDS) s with AFL++"; \
	  out=$(BUILD)/afl/out/$$f; rm -rf $$out; mkdir -p $$out; \
	  dict=; [ -e tests/fuzz/$$f.dict ] && dict="-x tests/fuzz/$$f.dict"; \
	  $(AFL_ENV) afl-fuzz -V $(FUZZ_SECONDS) -t 5000 -i tests/fuzz/corpus/$$f -o $$out $$dict -- $(BUILD)/afl/afl-bin/$$f \
	    >$(BUILD)/afl/$$f.log 2>&1 || { tail -40 $(BUILD)/afl/$$f.log; exit 1; }; \
	  grep -E '^(execs_done|corpus_found|saved_crashes|saved_hangs)' $$out/default/fuzzer_stats; \
	  if find $$out/default/crashes $$out/default/hangs -name 'id*' | grep .; then exit 1; fi; \
	done
