# SPDX-License-Identifier: GPL-2.0-or-later
"""6. Quarantine: by trap and by hand, of prefixes and parts of them, relays with --force only, IPv6 subscribers that
change addresses."""
import json
import subprocess

import pytest

from craft import SYN, tcp
from daemon import Subscriber
from lab import BUILD, HOST, RELAY, SMARTHOST, TRAP
from net import Server, Wire, attempt, wait_for


def configure(config):
    config["quarantine"] = {"escalation": ["1h", "6h", "24h"]}


def on_b(gate, address, group="business"):
    return Subscriber(gate.lab.subb, address, address, group)


def test_trap(gate, family):
    """One connection to a trap convicts, in block and in inspect."""
    for group in ("residential", "business"):
        sub = gate.fresh(group, family)
        mark = gate.daemon.mark()
        gate.syns(sub, 1, TRAP[family])
        hit = gate.daemon.wait_event("trap-hit", sub.name, since=mark)
        assert hit["destination"]["ip"] == TRAP[family]
        gate.wait_quarantined(sub, mark)
        entry = gate.daemon.quarantined()[sub.name]
        assert entry["actor"] == "detector" and entry["level"] == "smtp" and entry["convictions"] == 1


PREFIXES = {4: ("100.64.9.0/25", "100.64.9.7", ("100.64.9.6", "100.64.9.8", "100.64.9.127"), "100.64.8.0/22"),
            6: ("2001:db8:2000:4000::/56", "2001:db8:2000:4007::5", ("2001:db8:2000:4006::5", "2001:db8:2000:4008::5",
                                                                     "2001:db8:2000:40ff::5"), "2001:db8:2000::/48")}


def test_prefix(gate, family):
    """A prefix by hand; one inside it released; a covering prefix releases the rest."""
    prefix, one, others, cover = PREFIXES[family]
    everybody = [on_b(gate, a) for a in (one, *others)]
    server = Server(gate.lab.inet, 25, family=family)
    assert [gate.attempt(s) for s in everybody] == ["open"] * 4

    answer = gate.daemon.ok("quarantine", prefix, "--for", "1h", "--reason", "outbreak", "--ticket", "T-7")
    assert [e["subscriber"] for e in answer["quarantined"]] == [prefix]
    assert prefix.split("/")[0] in gate.kernel_set(family, "quarantine_nets")
    assert [gate.passes(s, gate.syn(s)) for s in everybody] == [[False]] * 4

    gate.daemon.ok("release", one, "--reason", "cleaned")
    assert [gate.passes(s, gate.syn(s)) for s in everybody] == [[True]] + [[False]] * 3
    listed = gate.daemon.quarantined()
    assert prefix not in listed and len(listed) >= 7 and all(e["ticket"] == "T-7" for e in listed.values()
                                                              if e["reason"] == "outbreak")

    gate.daemon.ok("release", cover)
    assert [gate.attempt(s) for s in everybody] == ["open"] * 4
    assert not [n for n, e in gate.daemon.quarantined().items() if e["reason"] == "outbreak"]
    server.close()


def test_blocked_prefix_of_the_interface(gate):
    """100.64.8.0/24, whose subscribers are blocked anyway: listed, in the kernel, released in parts."""
    gate.daemon.ok("quarantine", "100.64.8.0/24")
    assert "100.64.8.0/24" in gate.daemon.quarantined() and "100.64.8.0/24" in gate.kernel_set(4, "quarantine_nets")
    gate.daemon.ok("release", "100.64.8.77")
    assert "100.64.8.0/24" not in gate.kernel_set(4, "quarantine_nets")
    assert "100.64.8.77" not in gate.daemon.quarantined()
    gate.daemon.ok("release", "100.64.8.0/24")
    assert not [n for n in gate.daemon.quarantined() if n.startswith("100.64.8.")]


def test_wide_prefix_needs_force(gate):
    for wide in ("100.0.0.0/8", "2001::/20"):
        done = gate.daemon.ctl("quarantine", wide)
        assert done.returncode == 1 and "force" in done.stderr
        assert wide not in gate.daemon.quarantined()


def test_relay_needs_force(gate, family):
    """Never by a detector, never by hand without --force; with it, it is really cut."""
    server = Server(gate.lab.inet, 25, family=family)
    for target in (RELAY[family], "192.0.2.0/24" if family == 4 else "2001:db8:1::/64"):
        done = gate.daemon.ctl("quarantine", target)
        assert done.returncode == 1 and "force" in done.stderr, done
    assert not gate.daemon.quarantined().keys() & {RELAY[family], "192.0.2.0/24"}
    assert attempt(gate.lab.relay, RELAY[family], HOST[family]) == "open"

    gate.daemon.ok("quarantine", RELAY[family], "--force", "--reason", "it is hacked")
    wire = Wire(gate.lab.relay, gate.lab.inet, RELAY[family], HOST[family])
    assert wire.pass_through(tcp(RELAY[family], HOST[family], 6000, 25, SYN)) == [False]
    assert attempt(gate.lab.relay, RELAY[family], HOST[family], timeout=1) == "timeout"
    gate.daemon.ok("release", RELAY[family])
    assert wire.pass_through(tcp(RELAY[family], HOST[family], 6001, 25, SYN)) == [True]
    assert attempt(gate.lab.relay, RELAY[family], HOST[family]) == "open"
    wire.close()
    server.close()


def test_prefix_around_a_relay_spares_it(gate):
    """A prefix by hand that covers more than relays needs --force too, and all in one request is one decision."""
    done = gate.daemon.ctl("quarantine", "100.64.1.77", RELAY[4])
    assert done.returncode == 1
    assert "100.64.1.77" not in gate.daemon.quarantined(), "all or nothing"


@pytest.mark.parametrize("group,length", [("residential", 56), ("business", 64)])
def test_ipv6_subscriber_that_changes_addresses(gate, group, length):
    """Each connection from another address of the subscriber's prefix: it is one subscriber."""
    sub = gate.fresh(group, 6)
    base = sub.name.split("::/")[0]
    if length == 56:
        stem = base[:-2]
        sources = [f"{stem}{n:02x}::{n + 1:x}" for n in range(21)]
    else:
        sources = [f"{base}:{n:x}:1:2:{n + 3:x}" for n in range(21)]
    mark = gate.daemon.mark()
    sender = gate.sender(sub.node)
    for number, source in enumerate(sources[:20]):
        sender.send(tcp(source, HOST[6], 30000 + number, 25, SYN))
    wait_for("20 connections of one subscriber", lambda: gate.connections(sub) == 20)
    sender.send(tcp(sources[20], HOST[6], 31000, 25, SYN))
    gate.wait_quarantined(sub, mark)
    # The next address of it, never seen before, is in quarantine as well; the neighbour's is not.
    new = f"{base}:dead:beef:1:2"
    assert gate.passes(sub, tcp(new, HOST[6], 40000, 25, SYN), tcp(new, HOST[6], 40000, 587, SYN)) == [False, True]
    if group == "business":
        neighbour = gate.fresh(group, 6)
        assert gate.passes(neighbour, gate.syn(neighbour)) == [True]
        assert gate.passes(sub, tcp(sub.address, SMARTHOST[6], 40001, 25, SYN)) == [False]


def test_ipv6_host_means_its_subscriber(gate):
    sub = gate.fresh("residential", 6)
    answer = gate.daemon.ok("quarantine", sub.address)
    assert answer["quarantined"][0]["subscriber"] == sub.name
    assert gate.daemon.ok("release", sub.address.replace("::5", "::77"))["released"][0]["subscriber"] == sub.name


def test_expiry(gate, family):
    """A quarantine ends by itself, in the kernel and in the list, and that is reported."""
    server = Server(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    mark = gate.daemon.mark()
    gate.daemon.ok("quarantine", sub.address, "--for", "3s")
    assert gate.passes(sub, gate.syn(sub)) == [False]
    gate.daemon.wait_event("quarantine-expired", sub.name, since=mark)
    assert not gate.is_quarantined(sub)
    wait_for("mail to pass again", lambda: gate.attempt(sub, timeout=0.5) == "open")
    server.close()


def test_escalation_and_a_new_start(gate, family):
    """The second conviction lasts longer; after a release the count of connections begins anew."""
    sub = gate.fresh(family=family)
    mark = gate.daemon.mark()
    gate.syns(sub, 21)
    first = gate.wait_quarantined(sub, mark)
    gate.daemon.ok("release", sub.address, "--reason", "called, says clean")
    assert gate.connections(sub) == 0
    mark = gate.daemon.mark()
    gate.syns(sub, 20)
    wait_for("20 connections counted", lambda: gate.connections(sub) == 20)
    gate.probe()
    assert not gate.is_quarantined(sub)
    gate.syns(sub, 1)
    second = gate.wait_quarantined(sub, mark)
    assert gate.daemon.quarantined()[sub.name]["convictions"] == 2
    assert first["enforcer"]["until"] < second["enforcer"]["until"]


def test_refused_release_changes_nothing(gate, family):
    """Who is in no quarantine cannot be released; its counters stay, until the address has another customer."""
    sub = gate.fresh("residential", family)
    gate.syns(sub, 7)
    wait_for("seven connections", lambda: gate.connections(sub) == 7)
    assert gate.daemon.ctl("release", sub.address).returncode == 1
    assert gate.connections(sub) == 7
    gate.daemon.ok("reassigned", sub.address)
    assert gate.connections(sub) == 0


def test_commands_for_people(gate):
    """list, top and status are tables without colour off a terminal, and JSON on demand."""
    sub = gate.fresh("business", 4)
    gate.daemon.ok("quarantine", sub.address, "--for", "forever", "--reason", "two words", "--ticket", "T-9")
    listed = gate.daemon.ctl("list").stdout
    assert sub.name in listed and "T-9" in listed and "two words" in listed and "\x1b" not in listed
    assert gate.daemon.quarantined()[sub.name]["until"] in (None, "forever")
    for command in (["status"], ["top"], ["top", "--by", "destinations"], ["top", "--by", "blocked"], ["relay", "list"],
                    ["events", "--since", "1h"], ["ruleset"]):
        done = gate.daemon.ctl(*command)
        assert done.returncode == 0 and done.stdout.strip(), (command, done.stderr)
        assert "\x1b" not in done.stdout
    assert isinstance(json.loads(gate.daemon.ctl("--json", "status").stdout), dict)
    assert gate.daemon.ctl("release", "not-an-address").returncode in (1, 2)
    assert gate.daemon.ctl("nonsense").returncode == 2
    assert subprocess.run([BUILD / "enforcerctl", "--socket", "/nonexistent/socket", "status"], capture_output=True,
                          check=False).returncode == 3
    gate.daemon.ok("release", sub.address)


def test_relay_by_hand(gate, family):
    """relay add and remove count at once."""
    server = Server(gate.lab.inet, 25, family=family)
    address = "100.64.0.99" if family == 4 else "2001:db8:1000:2900::5"
    sub = Subscriber(gate.lab.suba, address, address, "residential")
    assert gate.attempt(sub, timeout=0.5) == "timeout"
    gate.daemon.ok("relay", "add", address, "--name", "by-hand")
    assert gate.attempt(sub) == "open"
    listed = {r["address"]: r for r in gate.daemon.ok("relay", "list")["relays"]}
    assert listed[address]["name"] == "by-hand"
    gate.daemon.wait_event("relay-added")
    gate.daemon.ok("relay", "remove", address)
    assert gate.attempt(sub, timeout=0.5) == "timeout"
    assert gate.daemon.ctl("relay", "remove", RELAY[family]).returncode == 1, "it is in the file"
    gate.daemon.wait_event("relay-removed")
    server.close()
