# The Debian package: make deb gives $(BUILD)/deb/enforcer_VERSION_ARCH.deb. SPDX-License-Identifier: GPL-2.0-or-later
# It is made in a copy of the tree, because dpkg-buildpackage writes beside and into it, from the objects of this build.
DEB_PACKAGES := debhelper dpkg-dev fakeroot lintian
DEB_TREE     := $(BUILD)/deb/enforcer-$(VERSION)

.PHONY: deb
deb: all
	@tests/deps $(BUILD_PACKAGES) $(DEB_PACKAGES)
	$(Q)rm -rf $(BUILD)/deb && mkdir -p $(DEB_TREE)
	$(Q)git ls-files -z --cached --others --exclude-standard | grep -zvE '^(tests|\.ci)/' | \
	  while IFS= read -r -d '' file; do [ ! -e "$$file" ] || printf '%s\0' "$$file"; done | \
	  tar --null -T - -cf - | tar -C $(DEB_TREE) -xf -
	$(Q)cd $(DEB_TREE) && OBJECTS=$(abspath $(BUILD)) CC='$(CC)' dpkg-buildpackage -b -us -uc -d >../build.log 2>&1 || \
	  { tail -40 ../build.log; exit 1; }
	@ls $(BUILD)/deb/*.deb
.PHONY: deb-check
deb-check: deb
	lintian --allow-root --fail-on error,warning $(BUILD)/deb/enforcer_$(VERSION)*.changes
	systemd-analyze security --offline=true --threshold=25 packaging/systemd/enforcer.service >/dev/null
	systemd-analyze security --offline=true --threshold=25 packaging/systemd/enforcer-rules.service >/dev/null

# What belongs to a system and not to a folder: units, accounts, folders, rotation, completions, the configuration.
.PHONY: install-system
install-system:
	install -D -m 0644 -t $(DESTDIR)/lib/systemd/system packaging/systemd/enforcer.service packaging/systemd/enforcer-rules.service
	install -D -m 0644 packaging/enforcer.sysusers $(DESTDIR)/usr/lib/sysusers.d/enforcer.conf
	install -D -m 0644 packaging/enforcer.tmpfiles $(DESTDIR)/usr/lib/tmpfiles.d/enforcer.conf
	install -D -m 0644 packaging/enforcer.logrotate $(DESTDIR)/etc/logrotate.d/enforcer
	install -D -m 0644 packaging/completions/enforcerctl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/enforcerctl
	install -D -m 0644 packaging/completions/enforcerd.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/enforcerd
	ln -sf enforcerd $(DESTDIR)$(PREFIX)/share/bash-completion/completions/enforcer-replay
	install -D -m 0644 packaging/completions/_enforcerctl $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_enforcerctl
	install -D -m 0644 packaging/completions/enforcerctl.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/enforcerctl.fish
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/enforcer docs/*.md
	test -e $(DESTDIR)/etc/enforcer/enforcer.yaml || install -D -m 0644 packaging/enforcer.yaml $(DESTDIR)/etc/enforcer/enforcer.yaml
