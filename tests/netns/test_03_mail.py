# SPDX-License-Identifier: GPL-2.0-or-later
"""3. Real mail to a real Postfix: from the relay, through the smarthost, from an honest inspected subscriber; cut off
in the middle of a session by quarantine, and delivered again after release."""
import smtplib

import pytest

from lab import MX, RELAY, SMARTHOST
from mail import Client, Postfix, swaks
from net import Sniffer, addresses, ports, tcp_flags, wait_for


@pytest.fixture(scope="module")
def servers(gate):
    """(the mail exchanger of lab.example, the smarthost, the relay)"""
    made = (Postfix(gate.lab.inet), Postfix(gate.lab.smart, forward_to=MX[4], bind=SMARTHOST),
            Postfix(gate.lab.relay, forward_to=MX[4], bind=RELAY))
    return tuple(m.ready() for m in made)


def test_from_the_relay(gate, servers, family):
    done = swaks(gate.lab.relay, RELAY[family], MX[family], f"relay {family}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert RELAY[family] in servers[0].wait_message(f"relay {family}")["Received"]


def test_submission_through_the_relay(gate, servers, family):
    """A blocked subscriber hands its mail in on 587; the relay delivers it on 25."""
    sub = gate.fresh(family=family)
    done = swaks(sub.node, sub.address, RELAY[family], f"submission {family}", port=587)
    assert done.returncode == 0, done.stdout + done.stderr
    assert RELAY[4] in servers[0].wait_message(f"submission {family}").get_all("Received")[0]


def test_from_a_smarthost_user(gate, servers, family):
    sub = gate.fresh(family=family)
    done = swaks(sub.node, sub.address, SMARTHOST[family], f"smarthost {family}")
    assert done.returncode == 0, done.stdout + done.stderr
    servers[0].wait_message(f"smarthost {family}")


def test_blocked_subscriber_delivers_nothing(gate, servers, family):
    sub = gate.fresh(family=family)
    assert swaks(sub.node, sub.address, MX[family], f"blocked {family}", timeout=2).returncode != 0
    assert servers[0].message(f"blocked {family}") is None


def test_from_an_honest_inspected_subscriber(gate, servers, family):
    sub = gate.fresh("business", family)
    for number in range(5):
        done = swaks(sub.node, sub.address, MX[family], f"honest {family} {number}")
        assert done.returncode == 0, done.stdout + done.stderr
        servers[0].wait_message(f"honest {family} {number}")
    client = Client(sub.node, sub.address, MX[family])
    large = client.mail_text(f"large {family}") + "0123456789abcdef" * 4 * 16384
    client.sendmail("user@lab.example", ["inbox@lab.example"], large)
    client.quit()
    servers[0].wait_message(f"large {family}")
    assert not gate.is_quarantined(sub)


def test_cut_off_and_released(gate, servers, family):
    sub = gate.fresh("business", family)
    client = Client(sub.node, sub.address, MX[family], timeout=3)
    client.deliver(f"before {family}")
    servers[0].wait_message(f"before {family}")
    client.ehlo()
    client.mail("user@lab.example")
    client.rcpt("inbox@lab.example")

    answer = gate.daemon.ok("quarantine", sub.address, "--for", "1h", "--reason", "test", "--ticket", "T-1")
    assert answer["quarantined"][0]["subscriber"] == sub.name
    with Sniffer(gate.lab.inet, match=lambda p: addresses(p)[0] == sub.address and ports(p)[2] == 25) as sniffer:
        with pytest.raises((smtplib.SMTPException, OSError)):
            client.data(client.mail_text(f"cut {family}"))
        # Not one packet of the session arrives any more, and no new session begins.
        with pytest.raises((smtplib.SMTPException, OSError)):
            Client(sub.node, sub.address, MX[family], timeout=1)
        client.close()
        assert gate.passes(sub, gate.syn(sub, MX[family])) == [False]
        assert not sniffer.packets
    assert servers[0].message(f"cut {family}") is None

    released = gate.daemon.ok("release", sub.address)["released"]
    assert [r["subscriber"] for r in released] == [sub.name]
    with Client(sub.node, sub.address, MX[family]) as again:
        again.deliver(f"after {family}")
    servers[0].wait_message(f"after {family}")


def test_a_session_goes_on_after_release(gate, servers, family):
    """TCP repeats what was dropped: a session cut off shortly is whole again."""
    sub = gate.fresh("business", family)
    client = Client(sub.node, sub.address, MX[family], timeout=30)
    client.ehlo()
    gate.daemon.ok("quarantine", sub.address)
    client.send("NOOP\r\n")
    assert gate.passes(sub, gate.syn(sub, MX[family])) == [False]
    gate.daemon.ok("release", sub.address)
    assert client.getreply()[0] == 250
    client.deliver(f"went on {family}")
    client.quit()
    servers[0].wait_message(f"went on {family}")


def test_answers_to_a_quarantined_one(gate, servers, family):
    """What the far server still sends does not reach it either."""
    sub = gate.fresh("business", family)
    client = Client(sub.node, sub.address, MX[family], timeout=3)
    gate.daemon.ok("quarantine", sub.address)
    with Sniffer(gate.lab.suba, match=lambda p: addresses(p)[1] == sub.address and ports(p)[1] == 25) as sniffer:
        client.sock.sendall(b"NOOP\r\n")
        assert gate.passes(sub, gate.syn(sub, MX[family])) == [False]
        assert not [p for p in sniffer.packets if tcp_flags(p) & 0x08]
    client.close()
    wait_for("the entry in the list", lambda: gate.is_quarantined(sub))
