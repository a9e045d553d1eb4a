# A library that lets things fail, for tests/netns/test_26_faults.py: allocations, netlink calls, the wall clock. And the
# sender of the lab's steady traffic.
# SPDX-License-Identifier: GPL-2.0-or-later
$(BUILD)/faults/faults.so: $(wildcard tests/faults/*.c) tests/faults/faults.h
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -std=c11 -O1 -g -fPIC -shared $(WARN) -Wno-missing-prototypes -D_GNU_SOURCE -I. -o $@ $(filter %.c,$^)
unit-build: $(BUILD)/faults/faults.so
$(BUILD)/lab/pacer: tests/lab/pacer.c
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -std=c11 -O2 $(WARN) -D_GNU_SOURCE -o $@ $<
unit-build: $(BUILD)/lab/pacer
