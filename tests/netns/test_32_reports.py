# SPDX-License-Identifier: GPL-2.0-or-later
"""32. Reports of abuse: XARF against the schema, ARF read back by another program's eyes."""
import base64
import email
import email.policy
import json
import pathlib

import jsonschema
import pytest

from daemon import Rejected
from lab import TRAP
from net import wait_for

SCHEMA = json.loads((pathlib.Path(__file__).resolve().parents[2] / "docs/schemas/xarf-infected-host.json").read_text())
SIGNED = {"organisation": "Beispiel Nétz & Co", "contact": "abuse@example.net", "domain": "example.net"}


def configure(config):
    config["report"] = SIGNED


def convicted(gate, family):
    sub = gate.fresh("residential", family)
    gate.syns(sub, 1, TRAP[family])
    gate.wait_quarantined(sub)
    wait_for("the conviction in the history", lambda: any(h["action"] == "convicted" for h in gate.show(sub)["history"]))
    return sub


def test_xarf(gate, family):
    sub = convicted(gate, family)
    done = gate.daemon.ctl("report", "abuse", sub.address, "--xarf")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(report, SCHEMA, jsonschema.Draft202012Validator)
    assert report["source_identifier"] == sub.address
    assert report["reporter"] == {"org": SIGNED["organisation"], "contact": SIGNED["contact"], "domain": SIGNED["domain"]}
    assert report["destination_ip"] == TRAP[family] and report["destination_port"] == 25
    assert report["first_seen"] <= report["last_seen"] <= report["timestamp"]
    [item] = report["evidence"]
    payload = base64.b64decode(item["payload"], validate=True)
    assert len(payload) == item["size"]
    assert json.loads(payload) == gate.show(sub)["evidence"]
    again = json.loads(gate.daemon.ctl("report", "abuse", sub.name, "--xarf").stdout)
    assert again["report_id"] != report["report_id"] and again["source_identifier"] == sub.name


def test_arf(gate, family):
    sub = convicted(gate, family)
    done = gate.daemon.ctl("report", "abuse", sub.address, "--arf")
    assert done.returncode == 0, done.stderr
    message = email.message_from_bytes(done.stdout.encode(), policy=email.policy.default)
    assert not message.defects
    assert message.get_content_type() == "multipart/report" and message.get_param("report-type") == "feedback-report"
    assert message["From"].addresses[0].addr_spec == SIGNED["contact"] and message["Date"].datetime
    assert sub.address in message["Subject"]
    human, machine, headers = message.iter_parts()
    assert [p.get_content_type() for p in (human, machine, headers)] == \
        ["text/plain", "message/feedback-report", "text/rfc822-headers"]
    text = human.get_content()
    assert TRAP[family] in text and SIGNED["organisation"] in text
    body = machine.get_payload()
    fields = body[0] if isinstance(body, list) else email.message_from_string(body)
    assert fields["Feedback-Type"] == "abuse" and fields["Version"] == "1"
    assert fields["User-Agent"].startswith("enforcer/") and fields["Source-IP"] == sub.address
    assert int(fields["Incidents"]) >= 1
    assert email.utils.parsedate_to_datetime(str(fields["Arrival-Date"]))
    for part in message.walk():
        assert not part.defects, part.defects


def test_refusals(gate):
    """Nobody convicted; a command line without a format; a prefix that is many subscribers."""
    clean = gate.fresh("residential", 4)
    done = gate.daemon.ctl("report", "abuse", clean.address, "--xarf")
    assert done.returncode == 1 and "no conviction is known" in done.stderr
    assert gate.daemon.ctl("report", "abuse", clean.address).returncode == 2
    assert gate.daemon.ctl("report", "abuse", "--arf").returncode == 2
    with pytest.raises(Rejected) as refused:
        gate.daemon.call("report.abuse", address="100.64.0.0/24")
    assert refused.value.code == -32602


def test_unsigned(make_gate):
    gate = make_gate()
    gate.daemon.start()
    with pytest.raises(Rejected) as refused:
        gate.daemon.call("report.abuse", address="100.64.0.7")
    assert refused.value.code == -32000 and "report" in str(refused.value)
