# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package: what is in it, what lintian and systemd say of it, completions in real shells, rotation by the real
logrotate; LONG: install, upgrade, remove and purge under a real systemd in a tree made by debootstrap."""
import json
import os
import re
import shutil
import socket
import subprocess

import pytest
import tree
from lab import BUILD, ROOT
from net import wait_for

UNITS = [ROOT / "packaging/systemd/enforcer.service", ROOT / "packaging/systemd/enforcer-rules.service"]
SHIPPED = ROOT / "packaging/enforcer.yaml"


def run(*argv, check=True, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, **more)
    assert not check or done.returncode == 0, f"{argv}: {done.returncode}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="module")
def package():
    return tree.make_package()


def control(package, field):
    return run("dpkg-deb", "-f", package, field).stdout.strip()


def test_lintian_has_nothing_to_say(package):
    changes = next(package.parent.glob("enforcer_*.changes"))
    done = run("lintian", "--allow-root", "--fail-on", "error,warning", changes, check=False)
    assert done.returncode == 0, done.stdout


def test_contents(package):
    names = set(re.findall(r"\./(\S+)", run("dpkg-deb", "-c", package).stdout))
    for name in ("usr/sbin/enforcerd", "usr/sbin/enforcerctl", "usr/bin/enforcer-replay",
                 "lib/systemd/system/enforcer.service", "lib/systemd/system/enforcer-rules.service",
                 "usr/lib/sysusers.d/enforcer.conf", "usr/lib/tmpfiles.d/enforcer.conf", "etc/logrotate.d/enforcer",
                 "usr/share/man/man8/enforcerd.8.gz", "usr/share/man/man8/enforcerctl.8.gz",
                 "usr/share/man/man1/enforcer-replay.1.gz", "usr/share/man/man5/enforcer.yaml.5.gz",
                 "usr/share/bash-completion/completions/enforcerctl", "usr/share/zsh/vendor-completions/_enforcerctl",
                 "usr/share/fish/vendor_completions.d/enforcerctl.fish", "usr/share/doc/enforcer/enforcer.yaml",
                 "usr/share/doc/enforcer/operations.md", "etc/enforcer/enforcer.yaml"):
        assert name in names, name
    conffiles = run("dpkg-deb", "-I", package, "conffiles").stdout.split()
    assert set(conffiles) == {"/etc/enforcer/enforcer.yaml", "/etc/logrotate.d/enforcer"}
    assert "libnftables1" in control(package, "Depends")


def test_the_shipped_configuration_is_valid_and_touches_nobody():
    done = run(BUILD / "enforcerd", "--check", "-c", SHIPPED)
    assert done.stderr == "" and done.stdout == ""
    text = SHIPPED.read_text()
    assert re.search(r"^mode: observe$", text, re.M) and re.search(r"^groups: \[\]$", text, re.M)


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_units_are_hardened(unit):
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=25", unit, check=False)
    print(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout
    assert "ignoring" not in done.stderr, done.stderr


@pytest.mark.parametrize("page", sorted((ROOT / "man").iterdir()), ids=lambda p: p.name)
def test_manual_pages_are_clean(page):
    done = run("mandoc", "-T", "lint", "-W", "warning", page, check=False)
    assert done.returncode == 0, done.stdout


# --- completions: the real shells ---------------------------------------------------------------------------
def path():
    return {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"}


def bash(line):
    words = line.split(" ")
    script = (f"source {ROOT}/packaging/completions/enforcerctl.bash; COMP_WORDS=({' '.join(w or chr(39) * 2 for w in words)}); "
              f"COMP_CWORD={len(words) - 1}; _enforcerctl; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return set(run("bash", "-c", script, env=path()).stdout.split())


def fish(line):
    script = f"source {ROOT}/packaging/completions/enforcerctl.fish; complete -C '{line}'"
    return {row.split("\t")[0] for row in run("fish", "-N", "-c", script, env=path()).stdout.splitlines()}


def zsh(line):
    """What compadd is called with: the function runs, with the completion system's own words set."""
    words = line.split(" ")
    script = f"""
        words=({' '.join(w or "''" for w in words)}); CURRENT={len(words)}; PREFIX={words[-1] or "''"}
        compadd() {{ shift; local array=$1; [[ $array == found ]] && print -l -- ${{found}}; }}
        _describe() {{ print -l -- ${{found%%:*}}; }}
        source {ROOT}/packaging/completions/_enforcerctl
    """
    found = set(run("zsh", "-f", "-c", script, env=path()).stdout.split())
    return {w for w in found if w.startswith(words[-1])}


@pytest.mark.parametrize("shell", [bash, fish, zsh], ids=lambda s: s.__name__)
def test_completions(shell):
    help_text = run(BUILD / "enforcerctl", "--help").stdout
    commands = set(re.findall(r"^  ([a-z]+) ", help_text.split("commands:")[1].split("\n\n")[0], re.M))
    assert len(commands) > 10
    assert shell("enforcerctl ") == commands
    assert shell("enforcerctl rel") == {c for c in commands if c.startswith("rel")}
    assert shell("enforcerctl mode ") == {"enforce", "observe", "file"}
    assert {"list", "add", "remove"} <= shell("enforcerctl relay ")
    assert {"--for", "--force"} <= shell("enforcerctl quarantine --fo")


# --- with a daemon ---------------------------------------------------------------------------------------------
def test_the_supervisor_is_told_when_it_is_in_force(make_gate):
    gate = make_gate()
    where = gate.lab.dir / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(where))
        sock.settimeout(60)
        os.environ["NOTIFY_SOCKET"] = str(where)
        try:
            gate.daemon.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert sock.recv(1000) == b"READY=1"
        assert gate.lab.gw.run("nft", "list", "table", "inet", "enforcer").stdout, "told before the rules were there"
        gate.daemon.stop()
        assert sock.recv(1000) == b"STOPPING=1"


def test_rotation_by_logrotate_loses_nothing(make_gate):
    gate = make_gate()
    gate.daemon.start()
    events = gate.daemon.events_path
    text = (ROOT / "packaging/enforcer.logrotate").read_text()
    config = gate.lab.dir / "logrotate.conf"
    config.write_text(text.replace("/var/log/enforcer/*.json", str(events)).replace("su enforcer enforcer", "su root root"))
    config.chmod(0o644)
    for number in (1, 2):
        gate.daemon.ok("quarantine", f"100.64.0.{200 + number}", "--reason", f"round {number}")
        gate.daemon.wait_event("quarantined", f"100.64.0.{200 + number}")
        run("logrotate", "--force", "--state", gate.lab.dir / "logrotate.state", config)
        wait_for("a new event file", events.exists)
    gate.daemon.ok("quarantine", "100.64.0.203")
    gate.daemon.wait_event("quarantined", "100.64.0.203")
    numbers = []
    for name in (f"{events}.2.gz", f"{events}.1", str(events)):
        content = run("zcat", "-f", name).stdout
        assert content, name
        numbers += [json.loads(line)["event"]["sequence"] for line in content.splitlines()]
    assert numbers == list(range(1, len(numbers) + 1)), numbers


# --- LONG: a real system ------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def system(tmp_path_factory):
    if not shutil.which("debootstrap"):
        pytest.skip("debootstrap is not installed")
    made = tree.System(tmp_path_factory.mktemp("tree"))
    yield made
    made.close()


@pytest.mark.long
def test_life_of_a_package(package, system):
    newer = tree.newer(package)
    system.install(package)
    wait_for("the service is active", lambda: system.active("enforcer"))
    assert system.run("systemctl", "is-active", "enforcer-rules").stdout.strip() == "active"
    status = system.ctl("status")
    assert status["mode"] == "observe" and status["groups"] == [], status
    pid = status["pid"]
    owner = system.run("ps", "-o", "user=,args=", "-p", str(pid)).stdout
    assert owner.startswith("enforcer"), owner
    journal = system.run("journalctl", "-u", "enforcer", "--no-pager").stdout
    assert "files confined, system calls filtered" in journal or "Landlock" in journal, journal

    # a configuration of one's own, by reload; a bad one is refused and said
    system.write("/etc/enforcer/enforcer.yaml", tree.CONFIG)
    system.run("systemctl", "reload", "enforcer")
    wait_for("the group", lambda: [g["name"] for g in system.ctl("status")["groups"]] == ["residential"])
    system.write("/etc/enforcer/enforcer.yaml", tree.CONFIG + "nonsense: 1\n")
    assert system.run("systemctl", "reload", "enforcer", check=False).returncode != 0
    assert "nonsense" in system.run("journalctl", "-u", "enforcer", "--no-pager").stdout
    system.write("/etc/enforcer/enforcer.yaml", tree.CONFIG)
    system.ctl("quarantine", "100.64.0.77", "--for", "7d", "--ticket", "T-1")
    assert "100.64.0.77" in system.kernel_set()

    # while the daemon is stopped the rules hold; the unit for boot puts them into an empty kernel
    system.run("systemctl", "stop", "enforcer")
    assert "100.64.0.77" in system.kernel_set()
    system.run("nft", "delete", "table", "inet", "enforcer")
    system.run("systemctl", "restart", "enforcer-rules")
    assert "100.64.0.77" in system.kernel_set()
    system.run("systemctl", "start", "enforcer")

    # upgrade
    before = system.table_handle()
    system.install(newer)
    wait_for("the new daemon", lambda: system.active("enforcer") and system.ctl("status")["pid"] != pid)
    assert system.run("dpkg-query", "-W", "-f", "${Version}", "enforcer").stdout == control(newer, "Version")
    assert system.table_handle() == before, "the table was taken away during the upgrade"
    entries = system.ctl("list")["entries"]
    assert [(e["subscriber"], e["ticket"]) for e in entries] == [("100.64.0.77", "T-1")]
    assert "100.64.0.77" in system.kernel_set()
    assert "residential" in system.read("/etc/enforcer/enforcer.yaml"), "the operator's configuration was replaced"

    # remove: no rules, no daemon; configuration and state stay
    system.run("apt-get", "remove", "-y", "enforcer")
    assert not system.active("enforcer") and "enforcer" not in system.run("nft", "list", "tables").stdout
    assert system.exists("/etc/enforcer/enforcer.yaml") and system.exists("/var/lib/enforcer/state.db")
    system.install(newer)
    wait_for("the daemon again", lambda: system.active("enforcer"))
    assert "100.64.0.77" in system.kernel_set(), "a removal must not forget who is in quarantine"

    # purge
    system.run("apt-get", "purge", "-y", "enforcer")
    for gone in ("/etc/enforcer", "/var/lib/enforcer", "/var/log/enforcer", "/run/enforcer", "/etc/logrotate.d/enforcer",
                 "/etc/systemd/system/multi-user.target.wants/enforcer.service"):
        assert not system.exists(gone), gone
