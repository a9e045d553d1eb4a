# SPDX-License-Identifier: GPL-2.0-or-later
"""39. Relays with a life: owner, expiry, last use; expired and unused ones are told and lapse where that is wanted; one that
sends like a zombie is told and goes on. Those by hand likewise, and a state file of before they had a life."""
import copy
import datetime
import sqlite3

import pytest

from craft import SYN, tcp
from lab import FAMILIES, HOST, RELAY, TRAP
from net import wait_for


def configure(config):
    config["relays"] = [
        {"name": "mx-out", "addresses": list(RELAY.values()), "interface": "relay0", "owner": "mail team",
         "reason": "the MX", "expires": "2999-12-31"},
        {"name": "mx-old", "addresses": ["192.0.2.20", "2001:db8:1::20"], "interface": "relay0", "owner": "nobody"},
    ]
    config["relay_policy"] = {"unused": "1d", "lapse": False}


def syn(gate, family, number, destination=None, source=None):
    return tcp(source or RELAY[family], destination or HOST[family], 20000 + number, 25, SYN, seq=7000 + number)


def listed(gate):
    return {r["address"]: r for r in gate.daemon.ok("relay", "list")["relays"]}


def test_list(gate, family):
    relay = listed(gate)[RELAY[family]]
    assert relay["owner"] == "mail team" and relay["reason"] == "the MX" and not relay["lapsed"]
    assert relay["expires"] == "3000-01-01T00:00:00.000Z"
    wire = gate.wire("relay", family)
    assert wire.pass_through(syn(gate, family, family)) == [True]
    used = datetime.datetime.fromisoformat(listed(gate)[RELAY[family]]["last_used"].replace("Z", "+00:00"))
    assert abs(datetime.datetime.now(datetime.timezone.utc) - used) < datetime.timedelta(minutes=2)
    old = listed(gate)["192.0.2.20" if family == 4 else "2001:db8:1::20"]
    assert old["last_used"] is None and old["owner"] == "nobody" and old["expires"] is None
    assert "mail team" in gate.daemon.ctl("relay", "list").stdout


def test_suspect(gate, family):
    """A relay at a trap is told at once, and passes all the same, before and after."""
    mark, wire = gate.daemon.mark(), gate.wire("relay", family)
    source = "192.0.2.20" if family == 4 else "2001:db8:1::20"
    if family == 6:  # told once an hour for a relay: another one for each family
        source = RELAY[6]
    assert wire.pass_through(syn(gate, family, 100, TRAP[family], source)) == [True]
    event = gate.daemon.wait_event("relay-suspect", since=mark)
    assert event["source"]["ip"] == source and event["event"]["outcome"] == "unknown"
    assert "trap" in event["event"]["reason"]
    assert wire.pass_through(syn(gate, family, 101, None, source)) == [True]
    assert not gate.daemon.quarantined()


@pytest.mark.parametrize("lapse", [False, True])
@pytest.mark.parametrize("why", ["expired", "unused"])
def test_end(make_gate, lapse, why):
    """Told; and no relay any more where the file says so."""
    def short(config):
        configure(config)
        config["relay_policy"] = {"unused": "2s" if why == "unused" else "1d", "lapse": lapse}
        if why == "expired":
            config["relays"][0]["expires"] = "2020-02-29T12:00:00Z"
        config["groups"].append({"name": "servers", "prefixes": ["192.0.2.0/24", "2001:db8:1::/64"], "policy": "block"})
    gate = make_gate(short).start()
    wires = {f: gate.wire("relay", f) for f in FAMILIES}
    event = gate.daemon.wait_event(f"relay-{why}", where=lambda e: "mx-out" in e["event"]["reason"])
    assert "mail team" in event["event"]["reason"]
    if lapse:
        gate.daemon.wait_event("relay-lapsed", where=lambda e: "mx-out" in e["event"]["reason"])
        wait_for("it to be no relay", lambda: listed(gate)[RELAY[4]]["lapsed"])
    for family in FAMILIES:
        assert wires[family].pass_through(syn(gate, family, 200)) == [not lapse]
    assert bool(gate.daemon.events("relay-lapsed")) == lapse
    gate.daemon.stop()
    gate.close()


BY_HAND = {4: "192.0.2.30", 6: "2001:db8:1::30"}


def added(gate, address, *words):
    done = gate.daemon.ctl("relay", "add", address, *words)
    assert done.returncode == 0, done.stderr
    return listed(gate)[address]


def test_by_hand(gate, family):
    """The same words as in the file; changed without a gap; its last use; suspect once an hour."""
    address, wire, mark = BY_HAND[family], gate.wire("relay", family), gate.daemon.mark()
    relay = added(gate, address, "--name", "mx-hand", "--owner", "mail team", "--reason", "until the move",
                  "--expires", "2999-12-31")
    assert (relay["origin"], relay["owner"], relay["reason"]) == ("hand", "mail team", "until the move")
    assert relay["expires"] == "3000-01-01T00:00:00.000Z" and relay["last_used"] is None and not relay["lapsed"]
    assert relay["actor"] == "user:root" and "until the move" in gate.daemon.wait_event("relay-added", since=mark)["event"]["reason"]
    assert wire.pass_through(syn(gate, family, 300, source=address)) == [True]
    assert listed(gate)[address]["last_used"]
    relay = added(gate, address, "--expires", "30d")
    assert relay["owner"] == "mail team" and relay["expires"] < "2999" and relay["last_used"]
    assert added(gate, address, "--expires", "forever")["expires"] is None
    assert "is changed" in gate.daemon.wait_event("relay-added", since=mark, where=lambda e: "changed" in e["event"]["reason"])["event"]["reason"]
    for words, message in (((), "is a relay already"), (("--expires", "2020-02-29"), "a time to come"),
                           (("--expires", "soon"), "no date like")):
        done = gate.daemon.ctl("relay", "add", address, *words)
        assert done.returncode in (1, 2) and message in done.stderr, done.stderr
    assert "until the move" in gate.daemon.ctl("relay", "list").stdout
    mark = gate.daemon.mark()
    for number in (301, 302):
        assert wire.pass_through(syn(gate, family, number, TRAP[family], address)) == [True]
    event = gate.daemon.wait_event("relay-suspect", since=mark)
    assert event["source"]["ip"] == address and "mx-hand (by hand, owner mail team)" in event["event"]["reason"]
    gate.probe()
    assert len(gate.daemon.events("relay-suspect", since=mark)) == 1
    gate.daemon.ok("relay", "remove", address)
    assert address not in listed(gate)


@pytest.mark.parametrize("why", ["expired", "unused"])
def test_by_hand_ends(make_gate, why):
    """Lapses, over a restart too, until it is added again."""
    def short(config):
        configure(config)
        config["relays"] = []
        config["relay_policy"] = {"unused": "2s" if why == "unused" else "1d", "lapse": True}
        config["groups"].append({"name": "servers", "prefixes": ["192.0.2.0/24", "2001:db8:1::/64"], "policy": "block"})
    gate = make_gate(short).start()
    wires = {f: gate.wire("relay", f) for f in FAMILIES}
    for family in FAMILIES:
        added(gate, BY_HAND[family], "--owner", "mail team", *(["--expires", "2s"] if why == "expired" else []))
    for family in FAMILIES:
        mine = lambda e, a=BY_HAND[family]: e["source"]["ip"] == a
        assert "owner mail team" in gate.daemon.wait_event(f"relay-{why}", where=mine)["event"]["reason"]
        gate.daemon.wait_event("relay-lapsed", where=mine)
        wait_for("it to be no relay", lambda a=BY_HAND[family]: listed(gate)[a]["lapsed"])
        assert wires[family].pass_through(syn(gate, family, 400, source=BY_HAND[family])) == [False]
    gate.daemon.kill()
    gate.daemon.start()
    assert listed(gate)[BY_HAND[4]]["lapsed"] and "lapsed" in gate.daemon.ctl("relay", "list").stdout
    assert wires[4].pass_through(syn(gate, 4, 401, source=BY_HAND[4])) == [False]
    if why == "expired":
        done = gate.daemon.ctl("relay", "add", BY_HAND[4])
        assert done.returncode == 1 and "say until when" in done.stderr
    assert not added(gate, BY_HAND[4], *(["--expires", "1d"] if why == "expired" else []))["lapsed"]
    assert wires[4].pass_through(syn(gate, 4, 402, source=BY_HAND[4])) == [True]
    gate.daemon.stop()
    gate.close()


def test_state_of_version_1(make_gate):
    """A state file of before is brought up to date when it is opened, once, and nothing in it is lost."""
    gate = make_gate(configure).start()
    gate.daemon.ok("relay", "add", BY_HAND[4], "--name", "mx-old-days")
    gate.daemon.ok("quarantine", "100.64.1.77", "--for", "2h", "--reason", "before")
    gate.daemon.stop()
    path = gate.daemon.dir / "state" / "state.db"
    with sqlite3.connect(path) as db:
        for column in ("owner", "reason", "expires", "lapsed"):
            db.execute(f"ALTER TABLE relay DROP COLUMN {column}")
        db.execute("PRAGMA user_version=1")
    db.close()
    gate.daemon.start()
    relay = listed(gate)[BY_HAND[4]]
    assert (relay["name"], relay["owner"], relay["expires"], relay["lapsed"]) == ("mx-old-days", None, None, False)
    assert gate.daemon.quarantined()["100.64.1.77"]["reason"] == "before"
    assert gate.wire("relay", 4).pass_through(syn(gate, 4, 500, source=BY_HAND[4])) == [True]
    assert added(gate, BY_HAND[4], "--owner", "mail team")["owner"] == "mail team"
    gate.daemon.stop()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    db.close()
    gate.close()


def test_refused(gate):
    config = copy.deepcopy(gate.config)
    config["relays"][0]["expires"] = "tomorrow"
    gate.daemon.write(config)
    done = gate.daemon.ctl("reload")
    assert done.returncode == 1 and "a date like 2027-01-31" in done.stderr
    gate.daemon.write(gate.config)
