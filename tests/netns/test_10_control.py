# SPDX-License-Identifier: GPL-2.0-or-later
"""10. The control socket: who may do what, and what bad clients can do to others: nothing."""
import json
import os
import pwd
import socket
import threading
import time

import pytest

from daemon import Control, Rejected
from net import EMULATED, wait_for

QUICKLY = 30 if EMULATED else 5  # seconds: what a hostile client could hold others up for was without end
VIEWER = "nobody"
STRANGER = "daemon"


@pytest.fixture(autouse=True)
def others_notice_nothing(gate):
    """All the while another client asks for the status and is answered quickly."""
    waits, stop = [], threading.Event()

    def ask():
        with Control(gate.daemon.socket) as control:
            while not stop.is_set() or not waits:
                begin = time.monotonic()
                assert control.call("status")
                waits.append(time.monotonic() - begin)
                time.sleep(0.02)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(20)
    assert not thread.is_alive() and waits and max(waits) < QUICKLY, waits


def as_user(name, work):
    """Runs work() in a child process of that account; answers what it returned (JSON)."""
    account = pwd.getpwnam(name)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as f:
        data = f.read()
    os.waitpid(pid, 0)
    return json.loads(data)


CHANGES = {"quarantine.add": {"addresses": ["100.64.0.250"]}, "quarantine.release": {"addresses": ["100.64.0.250"]},
           "relay.add": {"address": "192.0.2.99"}, "relay.remove": {"address": "192.0.2.99"}, "mode.set": {"mode": "observe"},
           "subscriber.reassigned": {"addresses": ["100.64.0.250"]}, "config.reload": {}, "governor.reset": {}}
LOOKS = {"status": {}, "quarantine.list": {}, "subscriber.show": {"address": "100.64.0.250"}, "subscriber.top": {},
         "relay.list": {}, "ruleset.show": {}, "audit.list": {}}


def test_viewer(gate):
    """A viewer may look at everything and change nothing, and trying is reported."""
    sub = gate.fresh()
    gate.syns(sub, 1)
    gate.probe()
    looks = dict(LOOKS, **{"subscriber.show": {"address": sub.address}})

    def work():
        results = {}
        with Control(gate.daemon.socket) as control:
            for method, params in {**looks, **CHANGES}.items():
                try:
                    control.call(method, **params)
                    results[method] = "done"
                except Rejected as e:
                    results[method] = e.code
        return results

    before = gate.daemon.call("relay.list"), sorted(gate.daemon.quarantined())
    mark = gate.daemon.mark()
    results = as_user(VIEWER, work)
    assert {m: results[m] for m in LOOKS} == dict.fromkeys(LOOKS, "done")
    assert {m: results[m] for m in CHANGES} == dict.fromkeys(CHANGES, -32001)
    assert (gate.daemon.call("relay.list"), sorted(gate.daemon.quarantined())) == before
    event = gate.daemon.wait_event("access-denied", since=mark)
    assert event["enforcer"]["actor"] == f"user:{VIEWER}"
    assert "enforce" in str(gate.daemon.call("status")["mode"])


def test_viewer_with_enforcerctl(gate):
    done = gate.daemon.ctl("quarantine", "100.64.0.250", user=VIEWER)
    assert done.returncode == 1 and done.stderr.strip()
    assert gate.daemon.ctl("status", user=VIEWER).returncode == 0


def test_stranger(gate):
    """Who is in neither list learns nothing."""
    def work():
        with Control(gate.daemon.socket) as control:
            try:
                control.call("status")
            except Rejected as e:
                return e.code
            except Exception as e:  # the connection was closed
                return type(e).__name__
        return "answered"

    mark = gate.daemon.mark()
    assert as_user(STRANGER, work) != "answered"
    gate.daemon.wait_event("access-denied", since=mark)
    assert gate.daemon.ctl("status", user=STRANGER).returncode in (1, 3)


BAD_LINES = {
    "no json": b"hello\n", "half an object": b'{"jsonrpc":"2.0","id":1\n', "a list": b"[]\n", "a number": b"5\n", "zero bytes": b"\0" * 64 + b"\n",
    "no utf-8": b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}\n', "no method": b'{"jsonrpc":"2.0","id":1}\n',
    "another version": b'{"jsonrpc":"1.0","id":1,"method":"status"}\n', "unknown method": b'{"jsonrpc":"2.0","id":1,"method":"rm -rf"}\n',
    "params are text": b'{"jsonrpc":"2.0","id":1,"method":"status","params":"x"}\n',
    "unknown param": b'{"jsonrpc":"2.0","id":1,"method":"status","params":{"x":1}}\n',
    "wrong types": b'{"jsonrpc":"2.0","id":1,"method":"quarantine.add","params":{"addresses":{"a":1},"for":[]}}\n',
    "bad address": b'{"jsonrpc":"2.0","id":1,"method":"quarantine.add","params":{"addresses":["100.64.0.1/33"]}}\n',
    "deep": b"[" * 5000 + b"]" * 5000 + b"\n", "empty line": b"\n", "large number": b'{"jsonrpc":"2.0","id":1e999,"method":"status"}\n',
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_line(gate, name):
    """An error with a code, or a closed connection; the next client is served."""
    with Control(gate.daemon.socket, 10) as control:
        control.raw(BAD_LINES[name])
        if name == "empty line":  # may be ignored
            assert control.call("status")
        else:
            answer = control.line()
            assert answer is None or answer["error"]["code"] < 0 and answer["error"]["message"]
    assert gate.daemon.call("status")


def test_line_of_two_mebibytes(gate):
    for data in (b"x" * (2 << 20) + b"\n", b'{"jsonrpc":"2.0","id":1,"method":"status","params":{"a":"' + b"y" * (2 << 20) + b'"}}\n'):
        with Control(gate.daemon.socket, 20) as control:
            try:
                control.raw(data)
                answer = control.line()
            except (BrokenPipeError, ConnectionResetError):
                answer = None
            assert answer is None or answer["error"]["code"] < 0
            if answer is not None:
                with pytest.raises(Exception):
                    control.call("status")
    assert gate.daemon.call("status")


def test_clients_that_never_read(gate):
    """Ten of them ask for the ruleset until their buffers are full."""
    request = b'{"jsonrpc":"2.0","id":1,"method":"ruleset.show"}\n'
    stuck = [socket.socket(socket.AF_UNIX) for _ in range(10)]
    for sock in stuck:
        sock.connect(str(gate.daemon.socket))
        sock.setblocking(False)
        for _ in range(200):
            try:
                sock.send(request)
            except (BlockingIOError, ConnectionError):
                break
    for _ in range(20):
        assert gate.daemon.call("status")
    sub = gate.fresh("business", 4)
    gate.daemon.ok("quarantine", sub.address)
    assert gate.passes(sub, gate.syn(sub)) == [False]
    for sock in stuck:
        sock.close()


def test_greedy_clients_wait_for_others(gate):
    """Ten clients send requests for the ruleset without end and read little: another one is answered between them. What is
    compared is the wait with them and the time of one such request without them, so a slow machine changes nothing."""
    with Control(gate.daemon.socket, 60) as control:
        begin = time.monotonic()
        for _ in range(3):
            control.call("ruleset.show")
        alone = (time.monotonic() - begin) / 3
        request = b'{"jsonrpc":"2.0","id":1,"method":"ruleset.show"}\n'
        greedy = [Control(gate.daemon.socket, 60) for _ in range(10)]
        for client in greedy:
            client.raw(request * 100)
        waits = []
        for _ in range(20):
            begin = time.monotonic()
            assert control.call("status")
            waits.append(time.monotonic() - begin)
        print(f"ruleset.show alone {alone:.3f} s; status meanwhile at most {max(waits):.3f} s")
        assert max(waits) < 4 * alone + 1, (alone, waits)
        # Who reads is served: one answer after the other, though the rest of its requests wait.
        for client in greedy:
            assert [client.line()["id"] for _ in range(2)] == [1, 1]
            client.close()


def test_ruleset_is_shown_without_noise(make_gate, monkeypatch):
    """libnftables complains on stderr about xt targets that it has no extension for; the log has our own lines only."""
    monkeypatch.setenv("XTABLES_LIBDIR", "/nonexistent")
    daemon = make_gate().start().daemon
    before = len(daemon.log())
    assert "chain shard" in daemon.call("ruleset.show")["ruleset"]
    daemon.ok("reload")
    assert daemon.log()[before:] == ""


def test_subscribers_that_never_read(gate):
    """A client that wanted all events and reads none does not hold them up for others."""
    deaf = [Control(gate.daemon.socket) for _ in range(5)]
    for control in deaf:
        control.call("events.subscribe", since="1h")
    sub = gate.fresh("residential", 4)
    mark = gate.daemon.mark()
    for _ in range(30):
        gate.daemon.ok("quarantine", sub.address)
        gate.daemon.ok("release", sub.address)
    wait_for("30 releases in the file", lambda: len(gate.daemon.events("released", sub.name, mark)) == 30)
    for control in deaf:
        control.close()


def test_two_hundred_clients(gate):
    clients = [Control(gate.daemon.socket, 30) for _ in range(200)]
    for number, control in enumerate(clients):
        control.raw(b'{"jsonrpc":"2.0","id":%d,"method":"status"}\n' % number)
    assert [c.line()["id"] for c in clients] == list(range(200))
    for control in clients:
        control.close()
    wait_for("room for another", lambda: gate.daemon.call("status"))


def test_gone_in_the_middle_of_an_answer(gate):
    for _ in range(50):
        with Control(gate.daemon.socket) as control:
            control.raw(b'{"jsonrpc":"2.0","id":1,"method":"ruleset.show"}\n' * 5)
            control.sock.recv(10)
    for _ in range(20):
        with Control(gate.daemon.socket) as control:
            control.call("events.subscribe", since="1h")
            control.sock.shutdown(socket.SHUT_RD)
    assert gate.daemon.call("status")


def test_many_requests_in_one_write(gate):
    with Control(gate.daemon.socket) as control:
        control.raw(b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"status"}\n' % n for n in range(100)))
        assert [control.line()["id"] for _ in range(100)] == list(range(100))


def test_byte_by_byte(gate):
    with Control(gate.daemon.socket) as control:
        for byte in b'{"jsonrpc":"2.0","id":"x","method":"status"}\n':
            control.raw(bytes([byte]))
        assert control.line()["id"] == "x"


def test_event_stream(gate):
    """events.subscribe: each event of the file, in order, without gaps."""
    with Control(gate.daemon.socket) as control:
        control.call("events.subscribe", actions=["quarantined", "released"])
        sub = gate.fresh("business", 6)
        gate.daemon.ok("quarantine", sub.address, "--ticket", "T-10")
        gate.daemon.ok("release", sub.address)
        first, second = control.line(), control.line()
    assert (first["method"], first["params"]["event"]["action"]) == ("event", "quarantined")
    assert second["params"]["event"]["action"] == "released"
    assert first["params"]["enforcer"]["subscriber"] == sub.name and first["params"]["enforcer"]["ticket"] == "T-10"
    assert first["params"] in gate.daemon.events("quarantined", sub.name)


def test_pages_of_the_list(gate):
    """quarantine.list by pages gives each entry once."""
    addresses = [f"100.64.0.{n}" for n in range(100, 150)]
    gate.daemon.call("quarantine.add", addresses=addresses, **{"for": "1h"}, reason="pages")
    seen, cursor = [], None
    while True:
        page = gate.daemon.call("quarantine.list", limit=7, **({"after": cursor} if cursor else {}))
        seen += [e["subscriber"] for e in page["entries"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(set(seen)) and set(addresses) <= set(seen)
    gate.daemon.call("quarantine.release", addresses=addresses)
    with pytest.raises(Rejected):
        gate.daemon.call("quarantine.add", addresses=["100.64.0.160", "nonsense"])
    assert "100.64.0.160" not in gate.daemon.quarantined(), "all or nothing"
