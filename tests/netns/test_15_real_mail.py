# SPDX-License-Identifier: GPL-2.0-or-later
"""15. A business that is inspected sends real mail, by real programs to real servers: all of it arrives whole, nobody is
convicted, and not one packet is lost on the way."""
import os
import re
import time

import pytest

from clients import CLIENTS, Smtplib, crowd
from lab import FAMILIES
from mail import DOMAIN
from net import Sniffer, wait_for
from realmail import SERVERS, RealMail, configure as limits

LONG = os.environ.get("LONG") == "1"
configure = limits()


@pytest.fixture(scope="module")
def world(gate):
    return RealMail(gate).ready()


@pytest.fixture(autouse=True)
def nothing_lost(request):
    """After each test: nobody was convicted, no packet of port 25 was dropped."""
    yield
    if "world" in request.fixturenames:
        request.getfixturevalue("world").untouched()


@pytest.mark.parametrize("tls", [None, "starttls"], ids=["plain", "starttls"])
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("client", CLIENTS)
def test_client(world, family, client, server, tls):
    sub = world.gate.fresh("business", family)
    before, sessions = world.through_queue(), world.status()["flows"]["sessions"]
    header = world.send(client, sub, server, world.letter(client), tls=tls).decode()
    assert sub.address in header, "it came from the subscriber itself"
    assert bool(re.search(r"ESMTPS|TLS", header)) == (tls is not None), header
    assert world.through_queue() - before >= 10, "the session went through the daemon"
    wait_for("the session to be read", lambda: world.status()["flows"]["sessions"] == sessions + 1)
    assert world.gate.connections(sub) == 1


@pytest.mark.parametrize("client", ["swaks", "msmtp", "curl", "smtplib", "exim"])
@pytest.mark.parametrize("port,tls", [(465, "tls"), (587, "starttls"), (587, None)])
def test_submission_is_not_touched(world, family, port, tls, client):
    """465 and 587 never come to the daemon."""
    sub = world.gate.fresh("business", family)
    before, packets = world.through_queue(), world.counted()["submission"]
    for server in SERVERS:
        world.send(client, sub, server, world.letter(f"port {port}"), port, tls)
    assert world.through_queue() == before
    assert all(b > a for a, b in zip(packets, world.counted()["submission"])), "it did pass the gateway"
    assert world.gate.connections(sub) == 0


def _pipelined(world):
    """Packets that hold more than one command."""
    return Sniffer(world.lab.inet, match=lambda p: b"MAIL FROM:" in p and b"RCPT TO:" in p)


@pytest.mark.parametrize("kind", ["p", "e", "t"], ids=["to-postfix", "to-exim", "starttls"])
def test_queue_run(world, family, kind):
    """A Postfix empties its queue: many letters over some connections, with PIPELINING."""
    with _pipelined(world) as sniffer:
        world.queue_run(kind, family, 100 if LONG else 40)
        assert kind == "t" or sniffer.packets, "the client did not pipeline"
    log = world.client_postfix().log()
    assert "status=deferred" not in log and "status=bounced" not in log
    assert world.gate.connections(world.client.subs[family]) > 0


@pytest.mark.parametrize("server", SERVERS)
def test_exim_as_client(world, family, server):
    """Several letters over one connection, by BDAT: the server says CHUNKING, and Exim takes it."""
    sub = world.gate.fresh("business", family)
    with _pipelined(world) as sniffer:
        log = world.exim_run(sub, server)
        assert sniffer.packets, "the client did not pipeline"
    delivered = [line for line in log.splitlines() if " => " in line]
    assert len(delivered) == 5 and all(" K " in line for line in delivered), "not sent in chunks: " + log
    assert world.gate.connections(sub) < 5, "one connection for several letters"


@pytest.mark.parametrize("server", SERVERS)
def test_smtputf8(world, family, server):
    """Addresses, subject and body outside ASCII (RFC 6531), by DATA and by BDAT."""
    sub = world.gate.fresh("business", family)
    letters = [world.letter("Grüße ✉", utf8=True, sender=f"jürgen@{DOMAIN}", to=f"ポスト@{DOMAIN}") for _ in range(2)]
    with Smtplib(sub.node, sub.address, SERVERS[server][family]) as client:
        client.ehlo()
        assert client.has_extn("smtputf8")
        client.hand_in(letters[0])
        client.command_encoding = "utf-8"
        client.bdat(letters[1], options=" BODY=8BITMIME SMTPUTF8")
    header = world.servers[server].box.wait(*letters).decode()
    assert "UTF8SMTP" in header or "utf8esmtp" in header.lower(), header


@pytest.mark.parametrize("server", SERVERS)
def test_large(world, family, server, record_property):
    """100 MB: whole, and only the first packets of each direction come to the daemon."""
    if server == "exim" and family == 6 and not LONG:
        pytest.skip("LONG=1 sends 100 MB to Exim by IPv6 too")
    sub = world.gate.fresh("business", family)
    letter = world.letter("large", size=100 << 20)
    assert len(letter.body) >= 100 << 20
    before, flows = world.through_queue(), world.flows()
    with Smtplib(sub.node, sub.address, SERVERS[server][family], timeout=120) as client:
        start = time.monotonic()
        client.bdat(letter, 100 << 20)
        seconds = time.monotonic() - start
    world.servers[server].box.wait(letter)
    read = world.through_queue() - before
    sent = {flow: packets - flows.get(flow, 0) for flow, packets in world.flows().items()}
    own = sum(packets for flow, packets in sent.items() if flow[0] == sub.address)
    others = sum(sent.values()) - own  # a Postfix that ran its queue before keeps sessions open, and ends them now
    record_property("seconds", seconds)
    print(f"100 MB to {server}, IPv{family}: {seconds:.1f} s, {read} packets came to the daemon, of {own} and {others} of others")
    assert own > 1000, "it went through the gateway"
    assert 20 < read <= 41 + others  # the SYN, and 20 packets of each direction


@pytest.mark.parametrize("server", SERVERS)
def test_five_hundred_at_once(world, family, server):
    """All open at the same time, from one subscriber: none speaks before the last is greeted."""
    if server == "postfix" and not LONG:
        pytest.skip("500 processes of Postfix take long to begin: LONG=1 does it")
    sub = world.gate.fresh("business", family)
    letters = [world.letter("crowd") for _ in range(500)]
    assert crowd(sub.node, sub.address, SERVERS[server][family], letters) == 500
    world.servers[server].box.wait(*letters)
    assert world.gate.connections(sub) == 500
    shown = world.gate.show(sub)
    assert shown["score"] < 1 and shown["sequential"]["score"] < 0, shown


@pytest.mark.parametrize("queue", [{"fail": "open"}, {"count": 2}], ids=["fail-open", "two-queues"])
def test_essentials(make_gate, queue):
    """The essentials once more, with other settings of the queue."""
    gate = make_gate(limits(**queue)).start()
    world = RealMail(gate).ready()
    for family in FAMILIES:
        world.essentials(family)
    workers = world.untouched()["telemetry"]["workers"]
    assert len(workers) == queue.get("count", 1)
    assert all(w["queue_packets"] > 0 for w in workers), "a worker that had nothing to do"
    gate.close()
