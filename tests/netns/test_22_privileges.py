# SPDX-License-Identifier: GPL-2.0-or-later
"""22. Least privilege: what user, capabilities, files and system calls are left to each thread, and that everything still
works with it, as root and as another user. The filters call by call: tests/unit/daemon."""
import contextlib
import os
import pathlib
import pwd
import re
import subprocess

import pytest

from daemon import merged
from lab import BUILD, ROOT
from net import wait_for

USER = "nobody"
NET_ADMIN = 1 << 12  # linux/capability.h
WORKERS = 2
# A build for tests under sanitizers has no filters.
CONFINED = b"libseccomp.so" in (BUILD / "enforcerd").read_bytes()
confined = pytest.mark.skipif(not CONFINED, reason="built without filters")


def own_folders(config, base):
    """As a package would have it: a folder for each purpose, with nothing else in it."""
    for name in ("run", "log", "state"):
        (base / name).mkdir(exist_ok=True)
    config.update(merged(config, {"state": str(base / "state"), "control": {"socket": str(base / "run/control.sock")},
                                  "events": [{"type": "file", "path": str(base / "log/events.json")}]}))
    config["queue"]["count"] = WORKERS


def homed(make_gate):
    gate = make_gate(lambda config: own_folders(config, pathlib.Path(config["state"]).parent))
    daemon = gate.daemon
    daemon.socket, daemon.events_path = daemon.dir / "run/control.sock", daemon.dir / "log/events.json"
    return gate


@pytest.fixture(scope="module")
def home(make_gate):
    """A gate with folders of its own, whose daemon is another user."""
    gate = homed(make_gate)
    gate.daemon.start(user=USER)
    yield gate
    assert gate.daemon.alive(), gate.daemon.log()[-3000:]
    assert gate.daemon.stop() == 0


def tasks(daemon):
    """Name of a thread -> its lines of /proc/PID/task/TID/status."""
    found = {}
    for task in pathlib.Path(f"/proc/{daemon.proc.pid}/task").iterdir():
        lines = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        found[lines["Name"].strip()] = {key: value.split() for key, value in lines.items()}
    return found


def expect_least(daemon, uid, gid):
    found = tasks(daemon)
    assert set(found) == {"enforcerd", "worker0", "worker1"}
    for name, status in found.items():
        assert status["Uid"] == [str(uid)] * 4 and status["Gid"] == [str(gid)] * 4, name
        assert uid == 0 or status["Groups"] == [], name
        assert [int(status[c][0], 16) for c in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")] == \
            [NET_ADMIN, NET_ADMIN, 0, 0, 0], name
        assert status["NoNewPrivs"] == ["1"], name
        if CONFINED:
            assert status["Seccomp"] == ["2"], name
            assert int(status["Seccomp_filters"][0]) == (1 if name == "enforcerd" else 2), name
    log = daemon.log()
    assert f"runs as {pwd.getpwuid(uid).pw_name} with CAP_NET_ADMIN" in log
    assert ("files confined, system calls filtered" in log) == CONFINED, log


def test_all_threads_of_a_user(home):
    account = pwd.getpwnam(USER)
    expect_least(home.daemon, account.pw_uid, account.pw_gid)
    for path in ("run", "run/control.sock", "log", "log/events.json", "state", "state/state.db", "state/state.db-wal"):
        assert (home.daemon.dir / path).stat().st_uid == account.pw_uid, path
    assert home.daemon.config_path.stat().st_uid == 0


def test_a_core_is_for_root(home):
    """What belongs to the process in /proc is its user's, so that a core may be written; the process itself holds a
    capability that others of that user have not, so they cannot look into it."""
    pid = home.daemon.proc.pid
    look = subprocess.run(["setpriv", "--reuid", USER, "--clear-groups", "head", "-c1", f"/proc/{pid}/mem"],
                          capture_output=True, text=True, check=False)
    assert look.returncode != 0 and "denied" in look.stderr.lower()
    assert pathlib.Path(f"/proc/{pid}/environ").read_bytes()  # root may


@pytest.mark.skipif(pwd.getpwuid(0).pw_name != "root" or any(p.pw_name == "enforcer" for p in pwd.getpwall()),
                    reason="this machine has a user enforcer")
def test_all_threads_of_root(make_gate):
    """Without a user enforcer root stays, with one capability, and says so."""
    gate = homed(make_gate)
    gate.daemon.start(user=None)
    expect_least(gate.daemon, 0, 0)
    assert "there is no user enforcer" in gate.daemon.log()
    assert gate.daemon.stop() == 0


def start_by(daemon, *argv):
    """By a program in front of it, as a supervisor would."""
    options = () if "--reuid" in argv else ("--user", USER)
    with open(daemon.log_path, "ab") as log:
        daemon.proc = daemon.node.start(*argv, BUILD / "enforcerd", "-c", daemon.config_path, "--foreground", *options,
                                        stdout=log, stderr=log)
    wait_for("the daemon to answer", daemon.answers)


def test_with_the_capabilities_that_root_needs(make_gate):
    """The bounding set that docs/operations.md names is enough to start with, and to lose."""
    told = re.search(r"needs as root: (.*?)\n\n", (ROOT / "docs/operations.md").read_text(), re.S).group(1)
    names = {name.lower() for name in re.findall(r"\bCAP_(\w+)", told)} | {"net_admin"}
    assert len(names) == 8, names
    gate = homed(make_gate)
    daemon = gate.daemon
    daemon.start()  # leaves everything to root
    daemon.stop()
    start_by(daemon, "setpriv", "--no-new-privs", "--bounding-set", "-all," + ",".join("+" + n for n in names))
    account = pwd.getpwnam(USER)
    expect_least(daemon, account.pw_uid, account.pw_gid)
    assert "cannot be" not in daemon.log(), daemon.log()
    assert daemon.stop() == 0
    # and again, now that the folders are not root's
    start_by(daemon, "setpriv", "--no-new-privs", "--bounding-set", "-all," + ",".join("+" + n for n in names))
    assert daemon.stop() == 0


def test_started_without_root(make_gate):
    """As the unit of the package does it: User=, AmbientCapabilities=."""
    unit = (ROOT / "packaging/systemd/enforcer.service").read_text()
    names = re.search(r"^AmbientCapabilities=(.*)$", unit, re.M).group(1).lower().replace("cap_", "").split()
    assert "net_admin" in names
    given = ",".join("+" + name for name in names)
    gate = homed(make_gate)
    account = pwd.getpwnam(USER)
    for name in ("run", "log", "state"):
        os.chown(gate.daemon.dir / name, account.pw_uid, account.pw_gid)
    start_by(gate.daemon, "setpriv", "--reuid", USER, "--regid", str(account.pw_gid), "--clear-groups", "--inh-caps",
             given, "--ambient-caps", given)
    for name, status in tasks(gate.daemon).items():
        assert status["Uid"] == [str(account.pw_uid)] * 4 and int(status["CapEff"][0], 16) == NET_ADMIN, name
        assert int(status["CapPrm"][0], 16) == NET_ADMIN and status["CapAmb"] == ["0" * 16], name
    sub = gate.fresh("residential", 4)
    assert gate.passes(sub, gate.syn(sub)) == [False]
    assert gate.daemon.stop() == 0


# --- and all of it works ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("group", ["residential", "business"])
def test_convicts_and_releases(home, group, family):
    sub = home.fresh(group, family)
    home.syns(sub, 21)
    home.wait_quarantined(sub)
    assert home.passes(sub, home.syn(sub)) == [False]
    home.daemon.ok("release", sub.address, "--reason", "test")
    assert not home.in_kernel(sub)


def test_repairs_and_counts_leaks(home):
    """The packet socket that counts was made while it still could be."""
    mark = home.daemon.mark()
    home.lab.gw.run("nft", "delete", "table", "inet", "enforcer")
    home.daemon.wait_event("ruleset-restored", since=mark)
    assert "cannot be counted" not in home.daemon.log()
    sub = home.fresh("residential", 4)
    assert home.passes(sub, home.syn(sub)) == [False]


def test_queue_losses_are_still_read(home):
    """From a descriptor of root's."""
    assert [w["queue"] for w in home.daemon.call("status")["telemetry"]["workers"]] == [0, 1]
    fds = []
    for fd in pathlib.Path(f"/proc/{home.daemon.proc.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            fds.append(os.readlink(fd))
    assert any(f.endswith("/net/netfilter/nfnetlink_queue") for f in fds), fds


def test_mode_ruleset_and_names(home):
    assert "chain forward" in home.daemon.ok("ruleset")["ruleset"]
    assert home.daemon.ctl("list", user="nobody").returncode == 0  # a viewer by name: the account data base is read
    done = home.daemon.ctl("release", "100.64.0.7", user="nobody")
    assert done.returncode == 1
    home.daemon.ok("mode", "observe")
    home.daemon.ok("mode", "file")


def test_reload_rotation_and_hangup(home):
    changed = merged(home.config, {"detector": {"connection_rate": [{"connections": 30, "per": "60s"}]},
                                   "events": None})
    changed["events"] = [home.config["events"][0], {"type": "file", "path": str(home.daemon.dir / "log/more.json")}]
    home.daemon.write(changed)
    home.daemon.ok("reload")
    wait_for("the second file", (home.daemon.dir / "log/more.json").exists)
    home.daemon.events_path.rename(home.daemon.events_path.with_name("events.json.1"))
    home.daemon.proc.send_signal(1)
    wait_for("a new event file", home.daemon.events_path.exists)
    home.daemon.write(home.config)
    home.daemon.ok("reload")


def refused(home, config):
    home.daemon.write(config)
    done = home.daemon.ctl("reload")
    home.daemon.write(home.config)
    assert done.returncode == 1, done.stdout
    home.daemon.ok("reload")
    return done.stderr


@confined
def test_new_folders_need_a_restart(home, tmp_path):
    """Folders that anybody may write to, so that only Landlock can refuse them."""
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)
    other = merged(home.config, {"events": [{"type": "file", "path": str(tmp_path / "e.json")}]})
    words = refused(home, other)
    assert str(tmp_path / "e.json") in words and "restart" in words
    assert not (tmp_path / "e.json").exists()
    bogons = tmp_path / "bogons"
    bogons.write_text("203.0.113.192/26\n")
    bogons.chmod(0o644)
    words = refused(home, merged(home.config, {"inbound": {"bogons": str(bogons)}}))
    assert str(bogons) in words and "restart" in words
    inside = home.daemon.dir / "bogons"  # beside the configuration
    inside.write_text("203.0.113.192/26\n")
    home.daemon.write(merged(home.config, {"inbound": {"bogons": "bogons"}}))
    home.daemon.ok("reload")
    home.daemon.write(home.config)
    home.daemon.ok("reload")
    home.daemon.stop()
    home.daemon.write(other)
    home.daemon.start(user=USER)
    assert (tmp_path / "e.json").stat().st_uid == pwd.getpwnam(USER).pw_uid
    home.daemon.stop()
    home.daemon.write(home.config)
    home.daemon.start(user=USER)


def test_configuration_that_the_user_cannot_read(home):
    home.daemon.stop()
    home.daemon.config_path.chmod(0o600)
    try:
        home.daemon.start(user=USER)
        assert f"{USER} cannot read it" in home.daemon.log()
        assert home.daemon.ctl("reload").returncode == 1
        assert home.daemon.alive()
    finally:
        home.daemon.config_path.chmod(0o644)
    home.daemon.ok("reload")


def test_state_changes_hands(make_gate):
    """From a daemon that ran as root to one that does not, by --install, and back; nobody is let go."""
    gate = homed(make_gate)
    daemon = gate.daemon.start()
    daemon.ok("quarantine", "100.64.0.77", "--for", "1h", "--reason", "kept")
    owner = lambda: {p.name: p.stat().st_uid for p in (daemon.dir / "state").iterdir() if p.is_file()}
    first = owner()
    assert len(set(first.values())) == 1
    daemon.kill()  # leaves a log of SQLite's, and a socket
    done = gate.lab.gw.run(BUILD / "enforcerd", "-c", daemon.config_path, "--user", USER, "--install", check=False)
    assert done.returncode == 0, done.stderr
    uid = pwd.getpwnam(USER).pw_uid
    assert set(owner().values()) == {uid}
    assert set(daemon.start(user=USER).quarantined()) == {"100.64.0.77"}
    assert daemon.stop() == 0 and not daemon.socket.exists()
    assert set(daemon.start().quarantined()) == {"100.64.0.77"}
    assert set(owner().values()) == set(first.values())
    daemon.ok("release", "100.64.0.77")
    assert daemon.stop() == 0


@pytest.mark.parametrize("option", [(), ("--install",)])
def test_no_such_user(make_gate, option):
    gate = homed(make_gate)
    done = subprocess.run([str(a) for a in gate.lab.gw.command(
        [BUILD / "enforcerd", "-c", gate.daemon.config_path, "--user", "nobody-has-this-name", "--foreground", *option])],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "there is no such user" in done.stderr
    assert gate.lab.gw.run("nft", "list", "tables").stdout.strip() == ""


def test_folder_that_is_shared(make_gate):
    """What is not the daemon's alone is not given away, and what follows from that is said."""
    gate = homed(make_gate)
    stranger = gate.daemon.dir / "log/mail.log"
    stranger.write_text("")
    gate.daemon.start(user=USER)
    assert (gate.daemon.dir / "log").stat().st_uid == 0 and stranger.stat().st_uid == 0
    assert re.search(r"log holds other things too, and stays whose it is", gate.daemon.log())
    assert "log/events.json" in gate.daemon.log()  # which cannot be made
    waiting = gate.daemon.call("status")["events"]["waiting"]
    assert waiting > 0
    sub = gate.fresh("residential", 4)
    assert gate.passes(sub, gate.syn(sub)) == [False]
    assert gate.daemon.stop() == 0
