# SPDX-License-Identifier: GPL-2.0-or-later
"""39. Relays with a life: owner, expiry, last use; expired and unused ones are told and lapse where that is wanted; one that
sends like a zombie is told and goes on."""
import copy
import datetime

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


def test_refused(gate):
    config = copy.deepcopy(gate.config)
    config["relays"][0]["expires"] = "tomorrow"
    gate.daemon.write(config)
    done = gate.daemon.ctl("reload")
    assert done.returncode == 1 and "a date like 2027-01-31" in done.stderr
    gate.daemon.write(gate.config)
