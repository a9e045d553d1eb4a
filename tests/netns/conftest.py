# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share: a lab with a daemon on its gateway, and the usual questions asked of both."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
pytest.register_assert_rewrite("letters", "realmail")  # their assertions say what they compared

import preflight  # noqa: E402
from craft import ACK, SYN, flows, tcp  # noqa: E402
from daemon import Daemon, Rejected, Subscribers, base_config  # noqa: E402
from lab import BUILD, HOST, TRAP, Lab, end_on_signals  # noqa: E402
from net import EMULATED, Sender, Server, Wire, attempt, wait_for  # noqa: E402

FAMILY_IDS = {4: "ipv4", 6: "ipv6"}
# Sources of the markers that follow test packets: in no group, on ports that nobody filters.
MARKER = {("suba", 4): "100.64.3.250", ("subb", 4): "100.64.10.250", ("relay", 4): "192.0.2.10",
          ("atk", 4): "198.51.100.130", ("suba", 6): "2001:db8:1000:fff0::1", ("subb", 6): "2001:db8:2000:fff0::1",
          ("relay", 6): "2001:db8:1::10", ("atk", 6): "2001:db8:f:bad::130"}
# The same, but inspected; they are no SYN, so no evidence.
QUEUED_MARKER = {("suba", 4): "100.64.1.254", ("suba", 6): "2001:db8:1000:7fff::1",
                 ("subb", 4): "100.64.9.254", ("subb", 6): "2001:db8:2000:7fff::1"}


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes longer than ten seconds")
    config.addinivalue_line("markers", "not_emulated(why): is skipped in a guest without KVM, which is ten times slower")
    end_on_signals()


def pytest_sessionstart(session):
    lacks = preflight.missing()
    if not (BUILD / "enforcerd").exists():
        lacks.append(f"{BUILD}/enforcerd is not built (make)")
    if os.environ.get("ENFORCER_SCHEMAS") != "off":  # the guests of tests/vm have no more than they need
        lacks += preflight.unchecked()
    if lacks and not session.config.option.collectonly:
        pytest.exit("this machine cannot run these tests:\n  - " + "\n  - ".join(lacks), returncode=1)


def pytest_runtest_setup(item):
    marker = item.get_closest_marker("not_emulated")
    if marker and EMULATED:
        pytest.skip(f"an emulated machine is too slow: {marker.args[0]}")


def pytest_terminal_summary(terminalreporter):
    for what in preflight.unchecked():
        terminalreporter.write_line(f"WARNING: {what}", red=True, bold=True)


class Gate:
    """A lab, and the daemon on its gateway once start() was called."""

    def __init__(self, configure=None):
        self.lab = Lab()
        self.subs = Subscribers(self.lab)
        self.config = base_config(self.lab)
        if configure:
            configure(self.config)
        self.daemon = Daemon(self.lab, self.config)
        self._wires, self._senders, self._ports, self._queued = {}, {}, {}, 0

    def start(self):
        self.daemon.start()
        self.probe()
        return self

    def close(self):
        for thing in (*self._wires.values(), *self._senders.values()):
            thing.close()
        self.lab.close()

    def fresh(self, group="residential", family=4, net="a"):
        return self.subs.fresh(group, family, net)

    # --- packets --------------------------------------------------------------------------------------------
    def wire(self, node_name, family, to="inet"):
        """The wire from a machine through the gateway to another, with markers of its own."""
        key = (node_name, family, to)
        if key not in self._wires:
            destination = HOST[family] if to == "inet" else MARKER[to, family]
            self._wires[key] = Wire(self.lab.nodes[node_name], self.lab.nodes[to], MARKER[node_name, family],
                                    destination)
        return self._wires[key]

    def sender(self, node):
        if node.name not in self._senders:
            self._senders[node.name] = Sender(node)
        return self._senders[node.name]

    def sport(self, sub, count=1):
        """Source ports of a subscriber that no packet has had yet."""
        first = self._ports.setdefault(sub.address, 20000)
        self._ports[sub.address] += count
        return first

    def syn(self, sub, destination=None, dport=25, **more):
        """One SYN of a new connection, as bytes."""
        return tcp(sub.address, destination or HOST[sub.family], self.sport(sub), dport, SYN, **more)

    def syns(self, sub, count, destination=None, dport=25):
        """Sends SYNs of new connections."""
        self.sender(sub.node).send(*flows(sub.address, destination or HOST[sub.family], count, dport,
                                          self.sport(sub, count)))

    def passes(self, sub, *packets):
        """Which of the subscriber's packets reach the internet."""
        wire = self.wire(sub.node.name, sub.family)
        arrived = wire.pass_through(*packets)
        if not all(arrived) and sub.group == "business" and self.daemon.alive():
            # Inspected packets wait for the daemon: behind them goes a marker that waits as well.
            self._queued += 1
            wire.mark(tcp(QUEUED_MARKER[sub.node.name, sub.family], HOST[sub.family], 1024 + self._queued, 25, ACK))
            arrived = [wire.sniffer.has(p) for p in packets]
        return arrived

    def attempt(self, sub, destination=None, port=25, timeout=1.5):
        return attempt(sub.node, sub.address, destination or HOST[sub.family], port, timeout=timeout)

    # --- what the daemon thinks -----------------------------------------------------------------------------
    def probe(self):
        """When this returns, the daemon has read and reported all that the kernel had logged before."""
        probe = self.fresh("residential", 4, "b")
        mark = self.daemon.mark()
        if self.config["mode"] == "observe":
            self.syns(probe, 1, TRAP[4])
            self.daemon.wait_event("trap-hit", probe.name, since=mark)
        else:
            self.syns(probe, 1)
            self.daemon.wait_event("egress-blocked", probe.name, since=mark)

    def show(self, sub):
        return self.daemon.call("subscriber.show", address=sub.address)

    def connections(self, sub):
        """Connections that the daemon has counted for a subscriber, in its longest window."""
        try:
            shown = self.show(sub)
        except Rejected:
            return 0
        counts = [w["connections"] for w in shown["windows"] if "connections" in w]
        return max(counts, default=0)

    def wait_quarantined(self, sub, since=0):
        event = self.daemon.wait_event("quarantined", sub.name, since=since)
        wait_for(f"{sub.name} in the kernel's set", lambda: self.in_kernel(sub))
        return event

    def in_kernel(self, sub):
        """Is the subscriber in the kernel's set? An IPv6 one stands there as its masked address."""
        return f" {sub.name.split('/')[0]} " in self.kernel_set(sub.family).replace(",", " ")

    def is_quarantined(self, sub):
        return sub.name in self.daemon.quarantined()

    def kernel_set(self, family, kind="quarantine"):
        """Text of a set of the table."""
        return self.lab.gw.run("nft", "list", "set", "inet", "enforcer", f"{kind}{family}").stdout


@pytest.fixture(params=FAMILY_IDS, ids=FAMILY_IDS.values())
def family(request):
    return request.param


@pytest.fixture(scope="module")
def make_gate():
    """Makes labs with daemons of their own, not yet started; all end with the module."""
    made = []

    def make(configure=None):
        made.append(Gate(configure))
        return made[-1]

    yield make
    for gate in made:
        gate.close()


@pytest.fixture(scope="module")
def gate(make_gate, request):
    """The module's lab with a running daemon. configure(config) of the module changes the configuration; before(gate)
    runs while there are no rules."""
    made = make_gate(getattr(request.module, "configure", None))
    before = getattr(request.module, "before", None)
    if before:
        before(made)
    yield made.start()
    assert made.daemon.alive(), made.daemon.log()[-4000:]


@pytest.fixture(autouse=True)
def servers_end():
    """Servers that a test started end with it."""
    before = list(Server.all)
    yield
    for server in [s for s in Server.all if s not in before]:
        server.close()


@pytest.fixture(autouse=True)
def daemon_lives(request):
    """A test that used the module's daemon leaves it alive."""
    yield
    if "gate" in request.fixturenames:
        daemon = request.getfixturevalue("gate").daemon
        assert daemon.alive(), "enforcerd died: " + daemon.log()[-4000:]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of the daemon's log."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed and "gate" in getattr(item, "funcargs", {}):
        report.sections.append(("enforcerd", item.funcargs["gate"].daemon.log()[-3000:]))
