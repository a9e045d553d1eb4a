# SPDX-License-Identifier: GPL-2.0-or-later
"""17. The audit log: every request that changes, the refused ones, reloads by signal, what the daemon did by itself."""
import signal

from daemon import Control, Rejected
from net import wait_for
from test_10_control import STRANGER, VIEWER, as_user


def lines(gate, **where):
    found = gate.daemon.call("audit.list", limit=5000)["lines"]
    return [line for line in found if all(line[k] == v for k, v in where.items())]


def test_every_change_is_written(gate):
    """Each method that changes leaves one line with time, actor, subject and outcome, the newest first."""
    before = len(lines(gate))
    sub = gate.fresh("business", 4)
    gate.daemon.call("quarantine.add", addresses=[sub.address], reason="asked by the abuse desk", ticket="T-17", **{"for": "2h"})
    gate.daemon.call("quarantine.release", addresses=[sub.address], reason="wrong line")
    gate.daemon.call("relay.add", address="192.0.2.99", name="by-hand")
    gate.daemon.call("relay.remove", address="192.0.2.99")
    gate.daemon.call("mode.set", mode="observe")
    gate.daemon.call("mode.set", mode="file")
    gate.daemon.call("subscriber.reassigned", addresses=[sub.address])
    gate.daemon.call("config.reload")
    gate.daemon.call("governor.reset")
    found = lines(gate)
    found = found[:len(found) - before]
    assert [(line["method"], line["outcome"]) for line in reversed(found)] == [
        (m, "done") for m in ("quarantine.add", "quarantine.release", "relay.add", "relay.remove", "mode.set", "mode.set",
                              "subscriber.reassigned", "config.reload", "governor.reset")]
    assert {line["actor"] for line in found} == {"user:root"}
    assert found[-1]["detail"] == f'addresses={sub.address} reason="asked by the abuse desk" ticket=T-17 for=2h'
    assert found == sorted(found, key=lambda line: line["time"], reverse=True)


def test_refused_attempts_are_written(gate):
    """Wrong parameters, a dangerous wish, a viewer, a stranger."""
    def work():
        with Control(gate.daemon.socket) as control:
            try:
                control.call("mode.set", mode="observe")
            except Rejected as rejected:
                return rejected.code
            except Exception:  # the connection was closed
                return -32001
            return 0

    for params in ({"addresses": ["192.0.2.0/8"]}, {"addresses": ["100.64.0.0/10"]}):
        try:
            gate.daemon.call("quarantine.add", **params)
            raise AssertionError("was not refused")
        except Rejected:
            pass
    assert as_user(VIEWER, work) == -32001
    assert as_user(STRANGER, work) == -32001
    refused = lines(gate, outcome="refused", method="quarantine.add")
    assert refused[0]["detail"].startswith("addresses=100.64.0.0/10 (-32004) "), refused[0]
    assert refused[1]["detail"].startswith("addresses=192.0.2.0/8 (-32602) "), refused[1]
    assert lines(gate, actor=f"user:{VIEWER}", method="mode.set", outcome="denied")
    assert lines(gate, actor=f"user:{STRANGER}", method="connect", outcome="denied")


def test_what_happens_by_itself(gate):
    """A conviction, the end of a quarantine, a reload by signal, a deleted table, start and stop; it survives a restart."""
    sub, short = gate.fresh("residential", 4), gate.fresh("business", 4)
    gate.daemon.ok("quarantine", short.address, "--for", "1s")
    gate.syns(sub, 21)
    gate.wait_quarantined(sub)
    gate.daemon.wait_event("quarantine-expired", short.name)
    gate.daemon.proc.send_signal(signal.SIGHUP)
    wait_for("the reload in the audit log", lambda: lines(gate, actor="signal:HUP", method="config-reloaded"))
    gate.lab.gw.run("nft", "delete", "table", "inet", "enforcer")
    wait_for("the repair in the audit log", lambda: lines(gate, actor="enforcerd", method="ruleset-restored"))
    assert any(line["detail"].startswith(sub.name) for line in lines(gate, actor="detector", method="quarantined"))
    assert any(line["detail"].startswith(short.name) for line in lines(gate, method="expired"))
    kept = lines(gate)
    gate.daemon.kill()
    gate.daemon.start()
    after = lines(gate)
    assert [line for line in after if line in kept] == kept and lines(gate, method="started")


def test_enforcerctl(gate):
    """People read it as a table; viewers may."""
    gate.daemon.ok("governor", "reset")
    done = gate.daemon.ctl("audit", "--limit", "3", user=VIEWER)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert rows[0].split() == ["TIME", "BY", "WHAT", "OUTCOME", "DETAIL"] and len(rows) == 4
    assert rows[1].split()[1:4] == ["user:root", "governor.reset", "done"]
    assert gate.daemon.ok("audit", "--since", "1h")["lines"][0]["method"] == "governor.reset"
    assert gate.daemon.ctl("audit", "--since", "yesterday").returncode != 0
