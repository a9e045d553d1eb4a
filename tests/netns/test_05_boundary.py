# SPDX-License-Identifier: GPL-2.0-or-later
"""5. The windows are exact: as many connections as the limit says pass or count for nothing, the next one convicts."""
import time

import pytest

from lab import HOST, TRAP
from net import Server, wait_for

SHORT = {4: "100.64.0.200", 6: "2001:db8:1000:3f00::/56"}


def configure(config):
    config["detector"] = {"connection_rate": [{"connections": 20, "per": "60s"}],
                          "distinct_destinations": {"count": 15, "per": "10m"}, "traps": list(TRAP.values())}
    short = {"detector": {"connection_rate": [{"connections": 20, "per": "4s"}]}}
    config["groups"][0]["subscribers"] = {address: short for address in SHORT.values()}


@pytest.mark.parametrize("group", ["residential", "business"])
@pytest.mark.parametrize("pace", [0.0, 0.05], ids=["at once", "slowly"])
def test_the_next_one_convicts(gate, family, group, pace):
    sub = gate.fresh(group, family)
    mark = gate.daemon.mark()
    for _ in range(20):
        gate.syns(sub, 1)
        time.sleep(pace)
    wait_for("20 connections counted", lambda: gate.connections(sub) == 20)
    gate.probe()
    assert not gate.is_quarantined(sub)
    assert not gate.daemon.events("zombie-detected", sub.name, mark)

    gate.syns(sub, 1)
    detected = gate.daemon.wait_event("zombie-detected", sub.name, since=mark)
    assert len(detected["enforcer"]["evidence"]) == 21
    last = detected["enforcer"]["evidence"][-1]
    assert "20" in last["setting"] and last["score"] > last["threshold"] or last["score"] == 21
    event = gate.wait_quarantined(sub, mark)
    assert event["enforcer"]["level"] == "smtp" and event["enforcer"]["until"]
    assert gate.passes(sub, gate.syn(sub)) == [False]


def test_inspected_passes_until_then(gate, family):
    """In `inspect` the 20 are real connections that succeed."""
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    for number in range(20):
        assert gate.attempt(sub) == "open", number
    wait_for("20 connections counted", lambda: gate.connections(sub) == 20)
    assert not gate.is_quarantined(sub)
    mark = gate.daemon.mark()
    gate.attempt(sub, timeout=1)
    gate.wait_quarantined(sub, mark)
    assert gate.attempt(sub, timeout=1) == "timeout"
    server.close()


def test_silence_between(gate, family):
    """20, then silence as long as the window, then 20: nobody is convicted; one more is one too many."""
    name = SHORT[family]
    address = name if family == 4 else name.replace("::/56", "::5")
    sub = gate.fresh(family=family)
    sub.address, sub.name = address, name
    mark = gate.daemon.mark()
    gate.syns(sub, 20)
    wait_for("20 connections counted", lambda: gate.connections(sub) == 20)
    time.sleep(4.2)
    gate.syns(sub, 20)
    wait_for("20 connections counted", lambda: gate.connections(sub) == 20)
    gate.probe()
    assert not gate.daemon.events("zombie-detected", sub.name, mark)
    time.sleep(4.2)
    gate.syns(sub, 21)
    gate.daemon.wait_event("zombie-detected", sub.name, since=mark)


def _destinations(family, count):
    return [HOST[family][:HOST[family].rindex("." if family == 4 else ":") + 1] + str(100 + n) for n in range(count)]


@pytest.mark.parametrize("group", ["residential", "business"])
def test_distinct_destinations(gate, family, group):
    """15 destinations are one's right, the 16th convicts."""
    sub = gate.fresh(group, family)
    mark = gate.daemon.mark()
    targets = _destinations(family, 16)
    for destination in targets[:15]:
        gate.syns(sub, 1, destination)
    gate.syns(sub, 1, targets[3])
    wait_for("16 connections counted", lambda: gate.connections(sub) == 16)
    gate.probe()
    assert not gate.daemon.events("zombie-detected", sub.name, mark)
    gate.syns(sub, 1, targets[15])
    detected = gate.daemon.wait_event("zombie-detected", sub.name, since=mark)
    assert any("distinct_destinations" in e["setting"] for e in detected["enforcer"]["evidence"])
    gate.wait_quarantined(sub, mark)


def test_two_subscribers_do_not_add_up(gate, family):
    one, two = gate.fresh(family=family), gate.fresh(family=family)
    mark = gate.daemon.mark()
    gate.syns(one, 15)
    gate.syns(two, 15)
    wait_for("both counted", lambda: gate.connections(one) == gate.connections(two) == 15)
    gate.probe()
    assert not gate.daemon.events("zombie-detected", since=mark)


def test_show_explains(gate, family):
    """The conviction carries its arithmetic, for programs and for people."""
    sub = gate.fresh(family=family)
    mark = gate.daemon.mark()
    gate.syns(sub, 25)
    gate.wait_quarantined(sub, mark)
    shown = gate.show(sub)
    assert shown["subscriber"] == sub.name and shown["group"] == "residential" and shown["policy"] == "block"
    assert shown["quarantine"]["level"] == "smtp" and shown["evidence"] and shown["windows"]
    text = gate.daemon.ctl("show", sub.address)
    assert text.returncode == 0
    for word in (sub.name, "residential", "smtp", HOST[family], "20"):
        assert word in text.stdout, text.stdout
    assert "\x1b" not in text.stdout, "no colours but on a terminal"
