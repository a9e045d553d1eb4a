# enforcer-simulate: the detector in a network of which everything is known. SPDX-License-Identifier: GPL-2.0-or-later
USES_tools_enforcer-simulate := config policy detect inspect core
$(BUILD)/enforcer-simulate: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tools/enforcer-simulate/*.c)) \
  $(foreach r,$(USES_tools_enforcer-simulate),$(BUILD)/lib/$(r).a)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	  $(call rooms_ldlibs,$(USES_tools_enforcer-simulate)) -ljansson
all: $(BUILD)/enforcer-simulate
