# SPDX-License-Identifier: GPL-2.0-or-later
"""20. What sessions say: a bot that keeps below every window is convicted by what it does, its honest neighbour is not;
replies that nobody asked for make a suspect; and a capture of the same traffic, replayed, gives the same."""
import contextlib
import datetime
import json
import subprocess
import time

import pytest

from craft import ACK, SYN, tcp
from lab import ATTACKER, BUILD, HOST, TRAP
from net import Sender, Server, connect, tcp_socket, wait_for

PSH = 0x08
KEYS = ("kind", "destination", "port", "blocked", "forgeable", "step", "score", "threshold", "setting")
APART = 1.0  # seconds; a busy machine reads a packet late, and the capture does not


def configure(config):
    """The lab has one or two networks, and the test counts those: a looser budget stands for the others."""
    config["detector"].update(distinct_destinations=None, connection_rate=[{"connections": 500, "per": "60s"}],
                              sequential={"false_conviction": 0.0001, "missed": 0.01})


class Refusing(Server):
    """Mail servers that take no recipient: those with even addresses know the sender by a blocklist, the others know no
    such users."""

    def answer(self, address):
        return (b"550 5.7.1 Service unavailable; client blocked using bl.example.net\r\n" if int(address[-1], 16) % 2 == 0 else
                b"550 5.1.1 No such user here\r\n")

    def _talk(self, conn):
        with contextlib.suppress(OSError), conn:
            conn.sendall(b"220 mx.example ESMTP\r\n")
            refusal = self.answer(conn.getsockname()[0])
            for line in conn.makefile("rb"):
                verb = line.split(b" ")[0].strip().upper()
                conn.sendall(refusal if verb == b"RCPT" else b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


class Willing(Refusing):
    def answer(self, address):
        return b"250 2.1.5 ok\r\n"


def host(family, number):
    return HOST[family].rsplit("." if family == 4 else ":", 1)[0] + f"{'.:'[family == 6]}{number}"


def bot(sub, destination, name):
    """Says who it is before it was greeted, under another name each time, has many recipients, and leaves without a
    word."""
    with tcp_socket(sub.node, sub.address, timeout=5) as sock:
        sock.connect((destination, 25))
        talk = sock.makefile("rwb", buffering=0)
        talk.write(b"HELO %s\r\n" % name)
        talk.readline()
        talk.readline()
        talk.write(b"MAIL FROM:<a@spam.example>\r\n")
        talk.readline()
        talk.write(b"".join(b"RCPT TO:<user%d@mx.example>\r\n" % n for n in range(25)))
        for _ in range(25):
            talk.readline()


def honest(sub, destination):
    """As RFC 5321 has it."""
    with connect(sub.node, sub.address, destination, timeout=5) as sock:
        talk = sock.makefile("rwb", buffering=0)
        talk.readline()
        for line in (b"EHLO mail.example.com", b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@mx.example>", b"QUIT"):
            talk.write(line + b"\r\n")
            talk.readline()


def test_bot_by_what_it_does(gate, family):
    """Under inspect, far below the windows. What convicts is named, with its arithmetic."""
    server = Refusing(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    mark = gate.daemon.mark()
    for number in range(40):
        with contextlib.suppress(OSError):
            bot(sub, host(family, 85 + number), b"pc-%d" % number)
        if gate.is_quarantined(sub):
            break
    event = gate.daemon.wait_event("zombie-detected", sub.name, since=mark)
    gate.wait_quarantined(sub, mark)
    evidence = event["enforcer"]["evidence"]
    assert number < 39, "convicted late"
    assert "sequential" in evidence[-1]["setting"], evidence[-1]
    assert evidence[-1]["score"] >= evidence[-1]["threshold"]
    assert len({e["kind"] for e in evidence}) >= 3, evidence
    shown = gate.daemon.ctl("show", sub.address).stdout
    assert "blocklist" in shown and "before it was greeted" in shown and "of a zombie's kind" in shown, shown
    server.close()


def test_honest_server_is_free(gate, family):
    """The same number of sessions, and some recipients refused as everywhere."""
    server = Willing(gate.lab.inet, 25, family=family)
    sub = gate.fresh("business", family)
    for number in range(40):
        honest(sub, host(family, 85 + number))
    wait_for("40 connections", lambda: gate.connections(sub) == 40)
    gate.probe()
    assert not gate.is_quarantined(sub)
    shown = gate.show(sub)
    assert shown["sequential"]["score"] < 5, shown["sequential"]
    server.close()


def replies(gate, sub, count, data, flags=ACK | PSH, first=5000):
    sender = Sender(gate.lab.atk)
    sender.send(*[tcp(ATTACKER[sub.family], sub.address, 25, first + n, flags, data=data) for n in range(count)])
    sender.close()


def test_unrequested_replies_make_a_suspect(gate, family):
    """Somebody answers mail that the subscriber did not send this way. Anybody can forge that: nothing is done."""
    sub = gate.fresh("residential", family)
    mark = gate.daemon.mark()
    replies(gate, sub, 5, b"220 mx.example ESMTP\r\n")
    event = gate.daemon.wait_event("suspect", sub.name, since=mark)
    assert event["event"]["outcome"] == "unknown" and "repl" in event["event"]["reason"], event
    assert event["enforcer"]["evidence"] and all(e["forgeable"] for e in event["enforcer"]["evidence"])
    gate.probe()
    assert not gate.is_quarantined(sub)
    assert len(gate.daemon.events("suspect", sub.name, mark)) == 1


def test_backscatter_is_nothing(gate, family):
    """SYN-ACKs, resets and packets that are no reply: somebody forged the address far away."""
    sub = gate.fresh("residential", family)
    mark = gate.daemon.mark()
    replies(gate, sub, 20, b"", SYN | ACK)
    replies(gate, sub, 20, b"", 0x04, first=6000)
    replies(gate, sub, 20, b"HTTP/1.1 200 OK\r\n", first=7000)
    gate.daemon.wait_event("inbound-spoofed", since=mark)
    gate.probe()
    assert not gate.daemon.events("suspect", sub.name, mark)


def test_replies_convict_where_the_operator_says_so(gate, family):
    gate.daemon.config["detector"]["unrequested_replies"] = {"count": 3, "per": "10m", "convicts": True}
    gate.daemon.write(gate.daemon.config)
    gate.daemon.call("config.reload")
    sub = gate.fresh("residential", family)
    mark = gate.daemon.mark()
    replies(gate, sub, 5, b"250-mx.example\r\n")
    event = gate.daemon.wait_event("zombie-detected", sub.name, since=mark)
    assert "unrequested_replies" in event["enforcer"]["evidence"][0]["setting"]
    gate.daemon.config["detector"].pop("unrequested_replies")
    gate.daemon.write(gate.daemon.config)
    gate.daemon.call("config.reload")


# --- live and replay ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def captured(gate, path):
    """Everything that the gateway receives, as tcpdump writes it."""
    proc = gate.lab.gw.start("tcpdump", "-i", "any", "-Q", "in", "--immediate-mode", "-U", "-s", "2000", "-B", "16384", "-w", path, "tcp", "port", "25",
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for("tcpdump to write", lambda: path.exists() and path.stat().st_size >= 24)
    yield
    last = [0]

    def grown():
        size, before = path.stat().st_size, last[0]
        last[0] = size
        return size == before

    wait_for("the capture's end", grown, step=0.5)
    proc.terminate()
    _, said = proc.communicate(timeout=10)
    assert b"0 packets dropped by kernel" in said, said


def comparable(e):
    return {k: round(v, 6) if isinstance(v := e.get(k), float) else v for k in KEYS}


def apart(a, b):
    """Seconds between two times."""
    return abs((datetime.datetime.fromisoformat(a) - datetime.datetime.fromisoformat(b)).total_seconds())


def test_live_and_replay_agree(make_gate):
    """The same traffic: the same verdicts and evidence, at the same times but for what a packet takes from the
    capture to the daemon. The largest difference is printed."""
    largest = 0
    def sequential(config):
        config["detector"]["sequential"] = {"false_conviction": 0.0001, "missed": 0.01}

    gate = make_gate(sequential).start()
    refusing = {f: Refusing(gate.lab.inet, 25, family=f) for f in (4, 6)}
    subs = {"bot4": gate.fresh("business", 4), "bot6": gate.fresh("business", 6), "fan4": gate.fresh("residential", 4),
            "fan6": gate.fresh("residential", 6), "trap": gate.fresh("residential", 4), "good": gate.fresh("business", 4),
            "few": gate.fresh("residential", 6), "watched": gate.fresh("pilot", 4)}
    path = gate.lab.dir / "traffic.pcap"
    mark = gate.daemon.mark()
    with captured(gate, path):
        for number in range(30):
            for name, family in (("bot4", 4), ("bot6", 6), ("watched", 4)):
                with contextlib.suppress(OSError):
                    if not gate.is_quarantined(subs[name]):
                        bot(subs[name], host(family, 85 + number), b"pc-%d" % number)
            gate.sender(gate.lab.suba).send(
                *[tcp(subs[f"fan{f}"].address, host(f, 85 + number), gate.sport(subs[f"fan{f}"]), 25, SYN) for f in (4, 6)])
            time.sleep(0.01)
        for number in range(10):
            honest(subs["good"], host(4, 85 + number))
        gate.syns(subs["trap"], 1, TRAP[4])
        gate.syns(subs["few"], 7)
        for name in ("bot4", "bot6", "fan4", "fan6", "trap"):
            gate.daemon.wait_event("zombie-detected", subs[name].name, since=mark)
        gate.daemon.wait_event("would-quarantine", subs["watched"].name, since=mark)
        gate.probe()
    done = subprocess.run([BUILD / "enforcer-replay", "-c", gate.daemon.config_path, "--json", path], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    replayed = {row["subscriber"]: row for row in map(json.loads, done.stdout.splitlines()) if "subscriber" in row}
    for name, sub in subs.items():
        live = gate.daemon.events("zombie-detected", sub.name, mark)
        row = replayed[sub.name]
        if name in ("good", "few"):
            assert row["verdict"] == "clean" and not live, (name, row, live)
            assert not gate.daemon.events("suspect", sub.name, mark)
            assert gate.connections(sub) == row["connections"], name
            continue
        assert live and row["verdict"] == "zombie", (name, row)
        assert apart(live[0]["@timestamp"], row["detected_at"]) < APART, name
        mine, theirs = live[0]["enforcer"]["evidence"], row["evidence"]
        for here, there in zip(mine, theirs):
            assert comparable(here) == comparable(there), name
            largest = max(largest, apart(here["time"], there["time"]))
        assert len(mine) == len(theirs) and largest < APART, name
    print(f"live and replay: times at most {largest * 1000:.0f} ms apart")
    for server in refusing.values():
        server.close()
