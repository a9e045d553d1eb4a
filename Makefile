# enforcer: `make` builds into build/, `make help` lists the targets.
# SPDX-License-Identifier: GPL-2.0-or-later
SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

BUILD  ?= build
PREFIX ?= /usr
CC     ?= gcc
OPT    ?= -O2 -g
SAN    ?=
# What every file is compiled with; CFLAGS stays the packager's.
WARN   := -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes \
          -Wold-style-definition -Wformat=2 -Wundef -Wvla -Wwrite-strings -Wnull-dereference -Wdouble-promotion \
          -Wno-missing-field-initializers
# Texts for people are cut on purpose; gcc would want each snprintf checked for it.
ifeq ($(findstring clang,$(CC)),)
WARN += -Wno-format-truncation
endif
HARDEN := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
ifneq ($(SAN),)
HARDEN := -fPIE
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
# The system call filter and Landlock (docs/threat-model.md). Sanitizers and valgrind need more than these allow: such
# builds are for tests. Nothing switches them off in a program that was built with them.
CONFINE ?= yes
ifneq ($(SAN),)
CONFINE := no
endif
VERSION := $(shell cat VERSION)
override CPPFLAGS += -D_GNU_SOURCE -Iinclude -I. -DENF_VERSION='"$(VERSION)"' -DENF_CONFINE=$(if $(filter no,$(CONFINE)),0,1)
ALL_CFLAGS  = -std=c11 $(OPT) $(WARN) $(HARDEN) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANFLAGS) $(LDFLAGS)

# --- the rooms, lowest first; a room may use those listed for it and no other (tests/check/layers) --------
ROOMS  := core inspect detect policy config kernel store sinks metrics control daemon
USES_core    := core
USES_inspect := inspect core
USES_detect  := detect inspect core
USES_policy  := policy detect inspect core
USES_config  := config policy detect inspect core
USES_kernel  := kernel core
USES_store   := store core
USES_sinks   := sinks core
USES_metrics := metrics core
USES_control := control core
USES_daemon  := daemon control metrics sinks store kernel config policy detect inspect core
USES_tools_enforcerctl     := core
USES_tools_enforcer-replay := config policy detect inspect core
USES_tools_enforcer-simulate := config policy detect inspect core

LIBS_core    := -lxxhash
LIBS_config  := -lyaml
LIBS_kernel  := -lnftables -lnftnl -lnetfilter_queue -lnetfilter_log -lmnl
LIBS_store   := -lsqlite3
LIBS_sinks   := -ljansson
LIBS_metrics := -lmicrohttpd
LIBS_control := -ljansson -luv
LIBS_daemon  := -ljansson -luv $(if $(filter no,$(CONFINE)),,-lseccomp)
LIBS_tools   := -ljansson -lpcap -lz
rooms_libs    = $(foreach r,$(1),$(BUILD)/lib/$(r).a)
rooms_ldlibs  = $(sort $(foreach r,$(1),$(LIBS_$(r)))) -lm -lpthread

include $(sort $(wildcard make/*.mk))

.PHONY: all
all: $(BUILD)/enforcerd $(BUILD)/enforcerctl $(BUILD)/enforcer-replay $(BUILD)/enforcer-simulate

.PHONY: help
help:
	@echo 'all deb demo test check lint bench fuzz fuzz-afl test-long install deps clean'

# --- objects and rooms -------------------------------------------------------------------------------------
V ?= 0
ifeq ($(V),0)
Q := @
say = @printf '  %-6s %s\n' '$(1)' '$(2)'
else
say = @:
endif

$(BUILD)/obj/%.o: %.c VERSION
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define room
$(BUILD)/lib/$(1).a: $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard enforcer/$(1)/*.c))
	@mkdir -p $$(@D)
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@; ar rcs $$@ $$(filter %.o,$$^)
endef
$(foreach r,$(ROOMS),$(eval $(call room,$(r))))

# --- programs ----------------------------------------------------------------------------------------------
$(BUILD)/enforcerd: $(call rooms_libs,$(USES_daemon))
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(call rooms_ldlibs,$(USES_daemon))

define tool
$(BUILD)/$(1): $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tools/$(1)/*.c)) $(call rooms_libs,$(USES_tools_$(1)))
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group $$(call rooms_ldlibs,$$(USES_tools_$(1)) tools)
endef
$(foreach t,enforcerctl enforcer-replay enforcer-simulate,$(eval $(call tool,$(t))))

# --- unit tests: tests/unit/ROOM/NAME.c links with that room and those below ---------------------------------
UNIT_SRC := $(wildcard tests/unit/*/*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
define unit
$(BUILD)/unit/$(1)/%: $(BUILD)/obj/tests/unit/$(1)/%.o $(call rooms_libs,$(USES_$(1)))
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)
	$$(Q)$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$(filter %.o,$$^) -Wl,--start-group $$(filter %.a,$$^) -Wl,--end-group -lcmocka -lpcap $$(call rooms_ldlibs,$$(USES_$(1)))
endef
$(foreach r,$(ROOMS),$(eval $(call unit,$(r))))
.SECONDARY: $(patsubst tests/unit/%.c,$(BUILD)/obj/tests/unit/%.o,$(UNIT_SRC))

.PHONY: unit-build unit
unit-build: $(UNIT_BIN)
unit: unit-build $(BUILD)/enforcerctl
	tests/run-unit $(UNIT_BIN)

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
