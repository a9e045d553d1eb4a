# SPDX-License-Identifier: GPL-2.0-or-later
"""15. Sessions as they happen: slow, idle, half-closed, broken off, on ports that were just used, in tiny segments. The
real servers take the mail of an inspected business as they would without the daemon."""
import os
import socket
import threading
import time

import pytest

from clients import Dialogue
from lab import FAMILIES
from net import wait_for
from realmail import SERVERS, RealMail, configure as limits

LONG = os.environ.get("LONG") == "1"
configure = limits()


class Slow(threading.Thread):
    """A client that types: a byte, a packet, a second. After EHLO it is hurried, unless LONG=1."""

    def __init__(self, world, family, server):
        super().__init__(daemon=True)
        self.sub = world.gate.fresh("business", family)
        self.letter = world.letter("slow", size=0, odd=(".", "typed"))
        self.server, self.error, self.seconds = SERVERS[server][family], None, 0
        self.start()

    def run(self):
        try:
            start = time.monotonic()
            session = Dialogue(self.sub.node, self.sub.address, self.server, timeout=60)
            session.expect(220)
            session.pause = 1
            session.say("EHLO c.example", 250)
            self.seconds = time.monotonic() - start
            session.pause = 1 if LONG else 0.03
            session.hand_in(self.letter)
            session.quit()
        except Exception as error:  # told by the test that waits for it
            self.error = error


@pytest.fixture(scope="module")
def world(gate):
    made = RealMail(gate).ready()
    # The slow ones begin now; the other tests go on meanwhile, and the last one waits for them.
    made.slow = {(f, s): Slow(made, f, s) for f in FAMILIES for s in SERVERS}
    return made


@pytest.fixture(autouse=True)
def nothing_lost(request):
    yield
    if "world" in request.fixturenames:
        request.getfixturevalue("world").untouched()


def _session(world, sub, server, **more):
    return Dialogue(sub.node, sub.address, SERVERS[server][sub.family], **more)


@pytest.mark.parametrize("server", SERVERS)
def test_same_ports_at_once(world, family, server):
    """The same four numbers again as soon as the last session is over: each is a session of its own."""
    sub = world.gate.fresh("business", family)
    for number in range(1, 4):
        letter, before = world.letter("again"), world.status()
        session = _session(world, sub, server, sport=45025).hello()
        for _ in range(25):
            session.say("NOOP", 250)  # the session uses up what is read of it
        session.hand_in(letter)
        session.quit()
        world.servers[server].box.wait(letter)
        # Each is read from its beginning. The slow ones type meanwhile, so there may be more.
        after = world.status()
        assert after["flows"]["sessions"] > before["flows"]["sessions"]
        assert after["telemetry"]["queue_packets"] - before["telemetry"]["queue_packets"] >= 40
        wait_for(f"{number} connections", lambda number=number: world.gate.connections(sub) == number)


@pytest.mark.parametrize("server", SERVERS)
def test_reset_in_the_middle(world, family, server):
    """RST within the message: nothing of it arrives. The next session on the same ports delivers."""
    sub = world.gate.fresh("business", family)
    broken, whole = world.letter("broken off"), world.letter("whole")
    session = _session(world, sub, server, sport=45026).hello()
    session.envelope(broken)
    session.send(broken.stuffed()[:700])
    session.reset()
    session = _session(world, sub, server, sport=45026).hello()
    session.hand_in(whole)
    session.quit()
    world.servers[server].box.wait(whole)
    assert not world.servers[server].box.has(broken)


@pytest.mark.parametrize("server", SERVERS)
def test_half_closed(world, family, server):
    """Everything in one go by BDAT, then the sending side is closed; the answers still come."""
    sub = world.gate.fresh("business", family)
    letter = world.letter("half closed")
    session = _session(world, sub, server).hello()
    data = letter.wire()
    session.send(f"MAIL FROM:<{letter.sender}>\r\nRCPT TO:<{letter.to}>\r\nBDAT {len(data)} LAST\r\n".encode() + data +
                 b"QUIT\r\n")
    session.sock.shutdown(socket.SHUT_WR)
    for code in (250, 250, 250, 221):
        session.expect(code)
    assert session.ended()
    session.close()
    world.servers[server].box.wait(letter)


@pytest.mark.parametrize("when", ["greeted", "data"])
def test_idle(world, family, when):
    """Silent for a while; and longer than the kernel remembers its flow (its entries are taken away, as their timeout
    does)."""
    sub = world.gate.fresh("business", family)
    for sport, idle in ((45027, 75 if LONG else 3), (45028, 0)):
        letter = world.letter("idle")
        session = _session(world, sub, "postfix", sport=sport).hello()
        if when == "data":
            session.envelope(letter)
            session.send(letter.stuffed()[:100])
        time.sleep(idle)
        if not idle:
            wait_for("the last acknowledgement", lambda session=session: session.unacknowledged() == 0)
            _forget(world, sub, sport, SERVERS["postfix"][family])
        if when == "data":
            session.send(letter.stuffed()[100:])
            session.expect(250)
        else:
            session.hand_in(letter)
        session.quit()
        world.servers["postfix"].box.wait(letter)


def _forget(world, sub, sport, server):
    there, back = f"{sub.address} . {sport} . {server} . 25", f"{server} . 25 . {sub.address} . {sport}"
    for name, key in (("flows", there), ("seen", there), ("seen", back)):
        world.lab.gw.run("nft", "delete", "element", "inet", "enforcer", f"{name}{sub.family}", f"{{ {key} }}")


def test_tiny_segments(world, family):
    """A path with hardly any room: every line in pieces."""
    sub = world.gate.fresh("business", family)
    letter = world.letter("tiny", size=4000)
    session = _session(world, sub, "exim", mss=88).hello()
    session.hand_in(letter)
    session.quit()
    world.servers["exim"].box.wait(letter)


@pytest.mark.parametrize("server", SERVERS)
def test_slow(world, family, server):
    slow = world.slow[family, server]
    slow.join(300 if LONG else 120)
    assert not slow.is_alive() and slow.error is None, slow.error
    assert slow.seconds >= 16, "a byte a second"
    world.servers[server].box.wait(slow.letter)


def test_submission_in_quarantine(make_gate):
    """Level smtp refuses 25 alone: 465 and 587 stay as they are, with and without TLS."""
    gate = make_gate(configure).start()
    world = RealMail(gate).ready()
    for family in FAMILIES:
        sub = gate.fresh("business", family)
        for state in ("free", "quarantined", "released"):
            if state == "quarantined":
                gate.daemon.ok("quarantine", sub.address, "--level", "smtp", "--reason", "test")
                assert gate.attempt(sub, SERVERS["postfix"][family], timeout=1) == "timeout"
            elif state == "released":
                gate.daemon.ok("release", sub.address)
            before = world.through_queue()
            for server in SERVERS:
                world.send("swaks", sub, server, world.letter(state), 465, "tls")
                world.send("curl", sub, server, world.letter(state), 465, "tls")
                world.send("msmtp", sub, server, world.letter(state), 587, "starttls")
                world.send("smtplib", sub, server, world.letter(state), 587)
            assert world.through_queue() == before
        world.send("swaks", sub, "postfix", world.letter("on 25"))
    gate.close()
