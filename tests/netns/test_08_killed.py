# SPDX-License-Identifier: GPL-2.0-or-later
"""8. The daemon is killed: the kernel goes on alone; started again it takes over, and a sender of 1,000 packets a second
sees not one pass."""
import itertools

import pytest

from craft import ACK, PSH, SYN, flows, tcp
from daemon import Subscriber, merged
from lab import ATTACKER, BUILD, FAMILIES, HOST, RELAY
from net import Pacer, Server, Sniffer, addresses, attempt, connect, ports, wait_for

ENFORCERD = BUILD / "enforcerd"
BLOCKED = {4: "100.64.0.7", 6: "2001:db8:1000:700::5"}
BLOCKED_NAME = {4: "100.64.0.7", 6: "2001:db8:1000:700::/56"}
BY_HAND = {4: "100.64.1.7", 6: "2001:db8:1000:4007::5"}
BY_HAND_NAME = {4: "100.64.1.7", 6: "2001:db8:1000:4007::/64"}
NET = {4: "100.64.1.192/27", 6: "2001:db8:1000:5000::/52"}
IN_NET = {4: "100.64.1.200", 6: "2001:db8:1000:5055::5"}


def configure(config):
    # The sender that nobody convicts, so that the policy itself is tested.
    config["quarantine"]["never"] = list(BLOCKED_NAME.values())


def _out_packets(family):
    sources = (BLOCKED[family], BY_HAND[family], IN_NET[family])
    syns = [flows(s, HOST[family], 200, first_port=20000) for s in sources]
    data = [flows(s, HOST[family], 200, first_port=20000, flags=ACK | PSH) for s in sources]
    return [p for row in zip(*syns, *data) for p in row]


def _in_packets(family):
    return [tcp(ATTACKER[family], BLOCKED[family], 25, 1024 + n, flags) for n in range(100)
            for flags in (SYN | ACK, ACK, 0x04)]


class Watch:
    """Senders of 1,000 packets a second, outwards and inwards, of both families; sniffers that must stay empty."""

    def __init__(self, gate):
        lab = gate.lab
        self.sources = sources = {*BLOCKED.values(), *BY_HAND.values(), *IN_NET.values()}
        self.out = Sniffer(lab.inet, match=lambda p: (ports(p) or (0, 0, 0))[::2] == (6, 25) and addresses(p)[0] in sources)
        self.back = Sniffer(lab.suba, match=lambda p: (ports(p) or (0, 0, 0))[:2] == (6, 25)
                            and addresses(p)[1] in BLOCKED.values())
        self.pacers = [Pacer(lab.suba, _mix(_out_packets), 1000), Pacer(lab.atk, _mix(_in_packets), 500)]

    def more(self, packets=1000):
        """Waits until so many more were sent by each."""
        goals = [p.sent() + packets // (n + 1) for n, p in enumerate(self.pacers)]
        wait_for("the senders to go on", lambda: all(p.sent() >= g for p, g in zip(self.pacers, goals)))

    def clean(self):
        assert not self.out.packets, f"{len(self.out.packets)} packets passed"
        assert not self.back.packets, f"{len(self.back.packets)} unasked packets passed"

    def end(self):
        sent = [p.stop() for p in self.pacers]
        self.clean()
        assert self.out.lost() == self.back.lost() == 0
        self.out.close()
        self.back.close()
        return sent


def _mix(make):
    return [p for pair in itertools.zip_longest(make(4), make(6)) for p in pair if p]


def before(gate):
    """Rules off: the senders' packets do arrive, of each source, and are counted."""
    watch = Watch(gate)
    watch.more(2400)
    assert {addresses(p)[0] for p in watch.out.packets} >= watch.sources
    assert {addresses(p)[1] for p in watch.back.packets} >= set(BLOCKED.values())
    for pacer in watch.pacers:
        pacer.stop()
    watch.out.close()
    watch.back.close()


@pytest.fixture(scope="module")
def servers(gate):
    return {f: Server(gate.lab.inet, 25, family=f) for f in FAMILIES}


@pytest.fixture(scope="module")
def convicts(gate, servers):
    """Quarantines of each kind: by hand, a prefix, and by conviction."""
    for family in FAMILIES:
        assert attempt(gate.lab.suba, BY_HAND[family], HOST[family]) == "open", "no test without this"
        gate.daemon.ok("quarantine", BY_HAND[family], "--for", "2h", "--reason", "by hand", "--ticket", "T-8")
        gate.daemon.ok("quarantine", NET[family], "--for", "forever")
    convicted = {f: gate.fresh("business", f) for f in FAMILIES}
    for sub in convicted.values():
        mark = gate.daemon.mark()
        gate.syns(sub, 21)
        gate.wait_quarantined(sub, mark)
    return convicted


def the_kernel_alone(gate, convicts):
    """What must be true with or without a daemon."""
    for family in FAMILIES:
        assert attempt(gate.lab.relay, RELAY[family], HOST[family]) == "open", "the relay"
        sub = convicts[family]
        assert gate.passes(sub, gate.syn(sub), gate.syn(sub, dport=587)) == [False, True], "a convict"
        fresh = gate.fresh("residential", family)
        assert gate.passes(fresh, gate.syn(fresh), gate.syn(fresh, dport=587)) == [False, True], "the policy"


def test_sigkill(gate, convicts):
    watch = Watch(gate)
    known = gate.daemon.quarantined()
    watch.more()
    watch.clean()

    gate.daemon.kill()
    watch.more()
    the_kernel_alone(gate, convicts)
    watch.clean()
    for family in FAMILIES:  # fail: closed
        fresh = gate.fresh("business", family)
        assert gate.attempt(fresh, timeout=1) == "timeout"

    mark = gate.daemon.mark()
    gate.daemon.start()
    gate.daemon.wait_event("started", since=mark)
    watch.more()
    the_kernel_alone(gate, convicts)
    watch.clean()
    again = gate.daemon.quarantined()
    for name, entry in known.items():
        for key in ("level", "reason", "actor", "ticket", "until", "convictions"):
            assert again[name][key] == entry[key], (name, key)
    for family in FAMILIES:
        fresh = gate.fresh("business", family)
        assert gate.attempt(fresh) == "open", "inspected mail passes again"

    # SIGTERM, a reload and a start with rules in place leave no gap either.
    assert gate.daemon.stop() == 0
    watch.more(500)
    the_kernel_alone(gate, convicts)
    gate.daemon.start()
    for _ in range(5):
        gate.daemon.ok("reload")
        watch.more(100)
    sent = watch.end()
    assert sent[0] > 3500 and sent[1] > 1500
    status = gate.daemon.ok("status")
    assert status["coverage"]["desired"] == status["coverage"]["enforced"] >= len(known), status["coverage"]


def test_reload_under_load(make_gate):
    """Reloads and restarts with the same and with other groups, under 5,000 blocked packets a second and as many of a
    quarantined subscriber: not one passes, and the relay is never refused."""
    def configure(config):
        config["quarantine"]["automatic"] = False
        config["detector"] = {"connection_rate": None, "distinct_destinations": None}
    gate = make_gate(configure).start()
    gate.daemon.ok("quarantine", *BY_HAND.values())
    servers = [Server(gate.lab.inet, 25, family=f) for f in FAMILIES]
    other = merged(gate.config, {"groups": [*gate.config["groups"], {
        "name": "late", "prefixes": ["100.64.3.0/25", "2001:db8:1000:c000::/52"], "policy": "block"}]})
    mine = {*BLOCKED.values(), *BY_HAND.values()}
    passed = Sniffer(gate.lab.inet, match=lambda p: (ports(p) or (0, 0, 0))[::2] == (6, 25) and addresses(p)[0] in mine)
    pacers = [Pacer(gate.lab.suba, [p for f in FAMILIES for p in flows(who[f], HOST[f], 300, first_port=20000)], 5000)
              for who in (BLOCKED, BY_HAND)]
    for number in range(20):
        gate.daemon.write(gate.config if number % 3 else other)
        gate.daemon.ok("reload")
        for family in FAMILIES:
            assert attempt(gate.lab.relay, RELAY[family], HOST[family]) == "open"
        if number % 5 == 4:
            gate.daemon.kill()
            gate.daemon.start()
    assert all(p.stop() > 2000 for p in pacers)
    assert not passed.packets and passed.lost() == 0, f"{len(passed.packets)} packets passed"
    passed.close()
    for server in servers:
        server.close()
    gate.close()


def test_a_second_daemon_refuses(gate):
    done = gate.lab.gw.run("timeout", "20", ENFORCERD, "-c", gate.daemon.config_path, "--foreground", check=False)
    assert done.returncode not in (0, 124) and done.stderr.strip()
    assert gate.daemon.alive()
    gate.daemon.ok("status")


@pytest.mark.parametrize("fail", ["closed", "open"])
def test_fail(make_gate, fail):
    """Without a daemon, inspected mail is refused (closed) or goes unread (open); nothing else changes."""
    def configure(config):
        config["queue"]["fail"] = fail
    gate = make_gate(configure).start()
    for family in FAMILIES:
        server = Server(gate.lab.inet, 25, family=family)
        sub, banned = gate.fresh("business", family), gate.fresh("business", family)
        blocked, observed = gate.fresh("residential", family), gate.fresh("pilot", family)
        old = connect(sub.node, sub.address, HOST[family], timeout=5)
        assert old.recv(100).startswith(b"220")
        gate.daemon.ok("quarantine", banned.address)
        gate.daemon.kill()
        assert gate.attempt(sub, timeout=1) == ("open" if fail == "open" else "timeout")
        assert gate.attempt(banned, timeout=0.5) == "timeout"
        assert gate.attempt(blocked, timeout=0.5) == "timeout"
        assert gate.attempt(observed) == "open"
        assert attempt(gate.lab.relay, RELAY[family], HOST[family]) == "open"
        gate.daemon.start()
        assert gate.attempt(sub) == "open"
        assert gate.attempt(banned, timeout=0.5) == "timeout"
        old.settimeout(30)
        old.sendall(b"NOOP\r\n")
        assert old.recv(100) == b"250 NOOP\r\n", "an old flow goes on under the new daemon"
        old.close()
        server.close()
    gate.close()


def test_install_and_uninstall(make_gate):
    """--install puts rules and quarantine in place without a daemon, --uninstall takes the table away."""
    gate = make_gate().start()
    server = Server(gate.lab.inet, 25)
    sub = gate.fresh("business", 4)
    gate.daemon.ok("quarantine", sub.address, "--for", "1h")
    assert gate.daemon.stop() == 0
    run = gate.lab.gw.run
    assert gate.attempt(sub, timeout=0.5) == "timeout", "SIGTERM leaves the rules"

    run(ENFORCERD, "-c", gate.daemon.config_path, "--uninstall")
    assert "enforcer" not in run("nft", "list", "tables").stdout
    assert gate.attempt(sub) == "open"

    run(ENFORCERD, "-c", gate.daemon.config_path, "--install")
    assert gate.attempt(sub, timeout=0.5) == "timeout"
    assert gate.in_kernel(sub)
    blocked = gate.fresh("residential", 4)
    assert gate.passes(blocked, gate.syn(blocked)) == [False]
    assert attempt(gate.lab.relay, RELAY[4], HOST[4]) == "open"
    gate.daemon.start()
    assert gate.is_quarantined(sub)
    server.close()
    gate.close()


def test_the_printed_ruleset_loads(gate):
    """--print-ruleset needs no privileges, and nft accepts what it prints."""
    done = gate.lab.gw.run("setpriv", "--reuid", "65534", "--clear-groups", ENFORCERD, "--print-ruleset", "-c",
                           gate.daemon.config_path)
    assert "table inet enforcer" in done.stdout
    gate.lab.atk.run("nft", "-c", "-f", "-", text=done.stdout)


def test_somebody_deletes_the_table(gate, convicts):
    """`nft flush ruleset`: the daemon sees it, says so and puts everything back."""
    mark = gate.daemon.mark()
    gate.lab.gw.run("nft", "flush", "ruleset")
    gate.daemon.wait_event("ruleset-restored", since=mark)
    for family in FAMILIES:
        sub = convicts[family]
        assert gate.passes(sub, gate.syn(sub)) == [False]
        assert gate.in_kernel(sub)
        assert gate.passes(Subscriber(sub.node, IN_NET[family], "", ""), tcp(IN_NET[family], HOST[family], 9, 25)) == [False]
    assert gate.daemon.events("ruleset-tampered", since=mark)
