# SPDX-License-Identifier: GPL-2.0-or-later
"""44. docs/schemas/control.json: a schema for each method of the control socket, one that a daemon's answers fit, that the examples
of the document fit, and that altered ones do not."""
import copy
import json
import os
import re
import subprocess
import sys
import uuid

import jsonschema
import pytest

import preflight
import schemas
from daemon import Control, Rejected
from lab import BUILD, ROOT, TRAP
from net import wait_for

DEFS = schemas.FILES["control.json"]["$defs"]
NAMES = re.compile(r'^ *(?:\{|\(struct enf_control_method\)\{\.name = )"([a-z]+(?:\.[a-z]+)?)", (?:true|false|\.handler)', re.M)


def methods():
    """What the program registers."""
    text = (ROOT / "enforcer/daemon/methods_status.c").read_text() + (ROOT / "enforcer/control/server.c").read_text()
    return sorted(NAMES.findall(text))


METHODS = methods()


def configure(config):
    config["report"] = {"organisation": "Example Net", "contact": "abuse@example.net", "domain": "example.net"}
    config["quarantine"].update(self_release={"times": 2, "per": "30d"}, portal_url="https://portal.example.net/")


def fits(name, value):
    return schemas.wrong_control(name, value) is None


def test_every_method_has_a_schema():
    assert len(METHODS) == 21 and "events.subscribe" in METHODS and "status" in METHODS
    assert sorted(DEFS["method"]["enum"]) == METHODS
    assert sorted(k[:-7] for k in DEFS if k.endswith(".params")) == METHODS
    assert sorted(k[:-7] for k in DEFS if k.endswith(".result")) == METHODS
    chosen = {c["if"]["properties"]["method"]["const"]: c["then"]["properties"]["params"]["$ref"] for c in DEFS["request"]["allOf"]}
    assert chosen == {m: f"#/$defs/{m}.params" for m in METHODS}
    for file in schemas.FILES.values():
        jsonschema.Draft202012Validator.check_schema(file)


def params_of(method):
    schema = DEFS[method + ".params"]
    while "$ref" in schema:
        schema = DEFS[schema["$ref"].removeprefix("#/$defs/")]
    return frozenset(schema.get("properties", ()))


def test_parameters_are_those_the_program_reads():
    """The lists of known parameters in the program, whatever the method, and those of the schema."""
    text = "".join(p.read_text() for p in [*(ROOT / "enforcer/daemon").glob("*.c"), ROOT / "enforcer/control/subscriber.c"])
    known = {frozenset(re.findall(r'"(\w+)"', names)) for names in re.findall(r"\*const (?:known|names)\[\] = \{([^}]*)NULL\};", text)}
    assert known == {params_of(m) for m in METHODS}


def test_parameters_of_another_type(gate):
    """Each parameter of the schema is known to its method, which says so when it is of another type."""
    for method in METHODS:
        for name in params_of(method):
            with pytest.raises(Rejected) as refused:
                gate.daemon.call(method, **{name: {}})
            assert refused.value.code == -32602 and "unknown parameter" not in str(refused.value), (method, name)


def test_every_object_is_closed():
    """Whatever lists members has no others; those that do not are the documented open ones."""
    def look(schema, at):
        if isinstance(schema, dict):
            if schema.get("type") in ("object", ["object", "null"]) and schema.get("additionalProperties", True) is True:
                opened.append(at)
            for key, inner in schema.items():
                look(inner, f"{at}.{key}")
        elif isinstance(schema, list):
            for i, inner in enumerate(schema):
                look(inner, f"{at}.{i}")

    opened = []
    look(DEFS, "")
    look(json.loads((ROOT / "docs/schemas/event.json").read_text()), "event")
    assert sorted(opened) == [".answer.oneOf.0.properties.result", ".error.properties.data", ".request.properties.params"]


def test_codes_are_those_of_the_document():
    text = (ROOT / "docs/control-protocol.md").read_text()
    header = (ROOT / "include/enforcer/control/error.h").read_text()
    documented = sorted(int(c) for c in re.findall(r"^\| (-32\d{3}) \|", text, re.M))
    assert documented == sorted(DEFS["error"]["properties"]["code"]["enum"])
    assert documented == sorted(int(c) for c in re.findall(r"^    ENF_CONTROL_\w+ = (-32\d{3}),", header, re.M))


def examples():
    """Objects in the fenced blocks of the document; some stand on several lines."""
    found = []
    for block in re.findall(r"^```(?:json)?\n(.*?)^```", (ROOT / "docs/control-protocol.md").read_text(), re.M | re.S):
        text = re.sub(r"^\$ .*\n", "", block, flags=re.M)
        while text.strip():
            value, end = json.JSONDecoder().raw_decode(text.strip())
            found.append(value)
            text = text.strip()[end:]
    return found


def shape_of(example):
    """What the schema calls it; None for the event, which is cut down there."""
    if "jsonrpc" in example:
        return None if example.get("method") == "event" else ""
    return "entry" if "convictions" in example else "portal" if "captive" in example else "audit.list.result"


def test_examples_of_the_document():
    """They fit, and do not with one member more."""
    found = [e for e in examples() if shape_of(e) is not None]
    assert {shape_of(e) for e in found} == {"", "entry", "portal", "audit.list.result"} and len(found) >= 9
    for example in found:
        name = shape_of(example)
        wrapped = {"lines": [example]} if name == "audit.list.result" else example
        assert fits(name, wrapped), (example, schemas.wrong_control(name, wrapped))
        bent = {"lines": [{**example, "nonsense": 1}]} if name == "audit.list.result" else {**example, "nonsense": 1}
        assert not fits(name, bent)
    results = {tuple(e["result"]): e["result"] for e in found if "result" in e}
    assert fits("relay.list.result", results[("relays",)]) and fits("events.subscribe.result", results[("subscribed", "first", "last")])


WRONG = [
    {"jsonrpc": "2.0", "id": 1, "method": "quarantine.put"},
    {"jsonrpc": "2.0", "id": 1, "method": "quarantine.add"},
    {"jsonrpc": "2.0", "id": 1, "method": "quarantine.add", "params": {"addresses": []}},
    {"jsonrpc": "2.0", "id": 1, "method": "quarantine.add", "params": {"addresses": ["host.example.net"]}},
    {"jsonrpc": "2.0", "id": 1, "method": "quarantine.add", "params": {"addresses": ["192.0.2.1"], "for": "10 hours"}},
    {"jsonrpc": "2.0", "id": 1, "method": "quarantine.add", "params": {"addresses": ["192.0.2.1"], "reason": "a\nb"}},
    {"jsonrpc": "2.0", "id": 1, "method": "quarantine.list", "params": {"limit": 0}},
    {"jsonrpc": "2.0", "id": 1, "method": "portal.show", "params": {"address": "192.0.2.0/24"}},
    {"jsonrpc": "2.0", "id": 1, "method": "config.reload", "params": {"confirm": "forever"}},
    {"jsonrpc": "2.0", "id": [1], "method": "status"},
    {"jsonrpc": "2.0", "id": 1, "method": "status", "params": []},
    {"jsonrpc": "2.0", "method": "events.subscribe", "params": {"since": "yesterday"}},
    {"jsonrpc": "2.0", "id": 1, "error": {"code": -32050, "message": "?"}},
    {"jsonrpc": "2.0", "id": 1, "error": {"code": -32003, "message": "?", "data": {}}},
    {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "two\nlines"}},
    {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "x", "data": {"why_not": "because"}}},
    {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": -32603, "message": "both"}},
    {"jsonrpc": "2.0", "method": "event", "params": {"event": {}}},
    {"jsonrpc": "2.0", "method": "events.lost", "params": {"lost": 0, "next": 5}},
]


@pytest.mark.parametrize("message", WRONG, ids=json.dumps)
def test_wrong_lines(message):
    assert not fits("", message)


class Talk:
    """A connection all whose lines, both ways, are compared with the whole schema."""

    def __init__(self, control):
        self.control, self.seen, self.events = control, {}, []

    def line(self):
        message = self.control.line()
        assert fits("", message), (message, schemas.wrong_control("", message))
        return message

    def ask(self, method, params=None):
        request = {"jsonrpc": "2.0", "id": uuid.uuid4().hex, "method": method}
        if params is not None:
            request["params"] = params
        self.control.raw(json.dumps(request).encode() + b"\n")
        while (answer := self.line()).get("id") != request["id"]:
            self.events.append(answer)
        return request, answer

    def done(self, method, params=None):
        request, answer = self.ask(method, params)
        assert "result" in answer, answer
        assert fits("", request), schemas.wrong_control("", request)
        wrong = schemas.wrong_control(method + ".result", answer["result"])
        assert wrong is None, (wrong, answer)
        self.seen.setdefault(method, (params or {}, answer["result"]))
        return answer["result"]

    def refused(self, code, method, params=None):
        _, answer = self.ask(method, params)
        assert answer["error"]["code"] == code, answer
        return answer["error"]


def test_a_daemon_says_what_the_schema_says(gate):
    """Every method once and more; errors and events; then all that was seen, bent in every way."""
    daemon, by_hand, zombie = gate.daemon, gate.fresh(), gate.fresh()
    gate.syns(zombie, 1, TRAP[4])
    gate.wait_quarantined(zombie)
    wait_for("the conviction in the history", lambda: any(h["action"] == "convicted" for h in gate.show(zombie)["history"]))
    with Control(daemon.socket, 60) as control:
        talk = Talk(control)
        talk.done("events.subscribe", {"since": "1h", "actions": ["quarantined", "zombie-detected", "mode-changed", "released"]})
        added = talk.done("quarantine.add", {"addresses": [by_hand.address, "100.64.1.0/28"], "for": "10h", "level": "full",
                                             "reason": "schema", "ticket": "T-1", "force": None})
        assert [e["net"] for e in added["quarantined"]] == [False, True]
        assert talk.done("status")["quarantine"]["entries"] >= 3
        page = talk.done("quarantine.list", {"limit": 1})
        talk.done("quarantine.list", {"limit": 5, "after": page["next"]})
        assert talk.done("subscriber.show", {"address": zombie.address})["evidence"]
        talk.done("subscriber.show", {"address": by_hand.address})
        talk.done("subscriber.show", {"address": "203.0.113.9"})
        assert talk.done("subscriber.top", {"by": "blocked", "limit": 5})["subscribers"]
        talk.done("relay.add", {"address": "192.0.2.77", "name": "by-hand"})
        assert {r["origin"] for r in talk.done("relay.list")["relays"]} == {"file", "hand"}
        talk.done("relay.remove", {"address": "192.0.2.77"})
        talk.done("mode.set", {"mode": "observe"})
        talk.done("quarantine.list")
        talk.done("report.rollout", {"limit": 10})
        talk.done("mode.set", {"mode": "file"})
        talk.done("config.reload")
        assert talk.done("config.reload", {"confirm": "1h"})["confirm"]["pending"]
        talk.done("status")
        talk.done("config.confirm")
        talk.done("governor.reset")
        assert "table inet enforcer" in talk.done("ruleset.show")["ruleset"]
        talk.done("report.abuse", {"address": zombie.address})
        talk.done("report.abuse", {"address": zombie.address, "format": "arf"})
        for address in (zombie.address, by_hand.address, "203.0.113.9"):
            talk.done("portal.show", {"address": address})
        talk.done("portal.release", {"address": zombie.address})
        talk.done("quarantine.release", {"addresses": ["100.64.1.0/28"], "reason": "schema"})
        talk.done("subscriber.reassigned", {"addresses": [by_hand.address]})
        assert talk.done("audit.list", {"since": "1h", "limit": 100})["lines"]
        assert sorted(talk.seen) == METHODS
        # Refusals, of all kinds that can be had here.
        assert talk.refused(-32601, "nonsense")
        assert talk.refused(-32602, "quarantine.list", {"limit": 0})["data"] == {"param": "limit"}
        assert talk.refused(-32602, "status", {"a": 1})["data"] == {"param": "a"}
        assert talk.refused(-32602, "subscriber.show", {"address": "100.64.0.0/24"})
        assert talk.refused(-32003, "quarantine.release", {"addresses": ["203.0.113.9"]})
        assert talk.refused(-32004, "quarantine.add", {"addresses": ["192.0.2.10"]})
        assert talk.refused(-32000, "relay.remove", {"address": "192.0.2.10"})
        daemon.write(text="mode: nonsense\n")
        assert talk.refused(-32000, "config.reload")["data"]["errors"]
        daemon.write(gate.config)
        talk.done("quarantine.add", {"addresses": [by_hand.address], "for": "forever"})
        assert talk.refused(-32000, "portal.release", {"address": by_hand.address})["data"] == {"why_not": "by-provider"}
        talk.done("quarantine.release", {"addresses": [by_hand.address]})
        for raw in (b"nonsense\n", b"[]\n", b'{"jsonrpc":"2.0","id":1,"method":"status","more":1}\n'):
            control.raw(raw)
            while "error" not in (answer := talk.line()):
                talk.events.append(answer)
        wait_for("events", lambda: len({e["params"]["event"]["action"] for e in talk.events}) == 4 or talk.ask("status"))
    bent = 0
    for method, (params, result) in talk.seen.items():
        for part, value in (("params", params), ("result", result)):
            assert fits(f"{method}.{part}", value)
            assert not fits(f"{method}.{part}", {**value, "nonsense": 1}), f"{method}.{part} is open"
        for key in result:
            less = {k: v for k, v in result.items() if k != key}
            optional = (method, key) in {("subscriber.show", "sequential"), ("portal.show", "user-portal-url"),
                                         ("portal.release", "user-portal-url")}
            assert fits(f"{method}.result", less) == optional, (method, key)
            assert not fits(f"{method}.result", {**result, key: {"nonsense": [0]}}), (method, key)
            bent += 2
    assert bent > 100
    print(len(talk.events), "events;", bent, "bent results")


def test_the_lab_would_notice(gate, monkeypatch):
    """A schema that says otherwise than the daemon: the lab's own calls fail, by socket and by enforcerctl."""
    assert (BUILD / "enforcerctl").exists()
    changed = copy.deepcopy(schemas.FILES["control.json"])
    changed["$defs"]["relays"]["required"] = ["relay"]
    monkeypatch.setitem(schemas.FILES, "control.json", changed)
    monkeypatch.setattr(schemas, "calls", schemas.collections.Counter())
    schemas.control_validator.cache_clear()
    try:
        with pytest.raises(Exception, match="does not fit docs/schemas/control.json: relay.list.result"):
            gate.daemon.call("relay.list")
        with pytest.raises(Exception, match="does not fit docs/schemas/control.json: relay.list.result"):
            gate.daemon.ok("relay", "list")
    finally:
        schemas.control_validator.cache_clear()


def test_without_jsonschema():
    """The demo goes on, and preflight says what is not looked at; the tests do not begin, unless they are told to."""
    program = ("import sys; sys.modules['jsonschema'] = None; import preflight, schemas; "
               "assert schemas.wrong_call('status', {'nonsense': 1}, {}, 2) is None; preflight.require()")
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT / "tests/lab")},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "WARNING: NOT COMPARED with docs/schemas" in done.stderr, done.stderr
    assert preflight.unchecked() == []
    program = ("import sys; sys.modules['jsonschema'] = None; import pytest; "
               "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'tests/netns/test_22_kernels.py', '-k', 'nothing']))")
    for schemas, code in (("", 1), ("off", pytest.ExitCode.NO_TESTS_COLLECTED)):
        done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "ENFORCER_SCHEMAS": schemas}, cwd=ROOT,
                              capture_output=True, text=True, check=False)
        assert done.returncode == code and "NOT COMPARED with docs/schemas" in done.stdout + done.stderr, done.stdout + done.stderr
