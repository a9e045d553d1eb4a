# nft-templates/ become arrays in the kernel room: the daemon must not depend on files that can be missing or changed.
TEMPLATES := table family length group worker
$(BUILD)/gen/templates.c: $(foreach t,$(TEMPLATES),nft-templates/$(t).nft)
	@mkdir -p $(@D)
	$(call say,GEN,$@)
	$(Q){ echo '#include "enforcer/kernel/templates.h"'; for f in $^; do n=$$(basename $$f .nft); \
	  echo "const char enf_template_$$n[] = {"; od -An -v -tx1 $$f | sed 's/ \(..\)/0x\1,/g'; echo '0};'; done; } > $@
$(BUILD)/obj/gen/templates.o: $(BUILD)/gen/templates.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<
$(BUILD)/lib/kernel.a: $(BUILD)/obj/gen/templates.o
