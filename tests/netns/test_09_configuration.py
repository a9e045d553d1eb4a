# SPDX-License-Identifier: GPL-2.0-or-later
"""9. Bad configurations are refused with the exact message, and a reload with a bad file leaves the old one in force."""
import json
import signal
import time
import subprocess

import pytest

from daemon import merged
from lab import BUILD, ROOT
from net import wait_for

DURATION = "like 30s, 10m, 1h or 7d"
GROUP = "groups:\n- name: a\n  prefixes: [100.64.0.0/10]\n"
# (text, messages without the file's name and the colon behind it)
BAD = {
    "unknown key": ("mode: observe\nmodus: enforce\n", [
        "2: modus: expected the key mode, interfaces, relays, relay_policy, smarthosts, groups, detector, quarantine, inbound, "
        "antispoof, queue, control, events, hooks, report, aggregate, state or metrics, found an unknown one"]),
    "no such mode": ("mode: off\n", ["1: mode: expected enforce or observe, found off"]),
    "a list for a word": ("mode: [observe]\n", ["1: mode: expected enforce or observe, found a list"]),
    "broken yaml": ("mode: observe\ninterfaces: {subscriber: [eth1}\n", [
        "2: document: expected valid YAML, found a fault: did not find expected ',' or ']' (while parsing a flow "
        "sequence that begins on line 2)"]),
    "nothing": ("", ["1: document: expected a mapping, found nothing"]),
    "key twice": ("state: /a\nstate: /b\n",
                  ["2: state: expected each key once, found it a second time (first on line 1)"]),
    "bad address": ("relays:\n- name: a\n  addresses:\n  - 192.0.2.1\n  - 192.0.2.256\n",
                    ["5: relays[0].addresses[1]: expected an address or a prefix, found 192.0.2.256"]),
    "host bits": ("quarantine:\n  never: [192.0.2.77/24]\n", [
        "2: quarantine.never[0]: expected no bits set beyond the length (192.0.2.0/24), found 192.0.2.77/24"]),
    "duration of zero": ("quarantine:\n  duration: 0s\n", [
        f"2: quarantine.duration: expected a duration from 1s to 3650d, {DURATION}, found 0s"]),
    "duration without unit": ("aggregate: 60\n", [
        f"1: aggregate: expected a duration from 1s to 1d, {DURATION}, found 60"]),
    "window of zero": ("detector:\n  connection_rate:\n  - {connections: 0, per: 0s}\n", [
        "3: detector.connection_rate[0].connections: expected a whole number from 1 to 100000, found 0",
        f"3: detector.connection_rate[0].per: expected a duration from 1s to 7d, {DURATION}, found 0s"]),
    "same prefix twice": ("groups:\n- name: a\n  prefixes: [10.0.0.0/8]\n- name: b\n  prefixes: [10.0.0.0/8]\n", [
        "5: groups[1].prefixes[0]: expected each prefix once, found 10.0.0.0/8, which is also groups[0].prefixes[0]"]),
    "no prefixes": ("groups:\n- name: a\n",
                    ["2: groups[0].prefixes: expected a list of prefixes, found no such key"]),
    "name of a group": ("groups:\n- name: Business\n  prefixes: [10.0.0.0/8]\n", [
        "2: groups[0].name: expected a name of at most 31 bytes of a-z, 0-9, _ and -, a letter first, found Business"]),
    "no such policy": (GROUP + "  policy: reject\n",
                       ["4: groups[0].policy: expected block, inspect or observe, found reject"]),
    "boolean": ("inbound:\n  stateless: yes\n", ["2: inbound.stateless: expected true or false, found yes"]),
    "interface on both sides": ("interfaces:\n  subscriber: [\"ppp*\"]\n  upstream: [ppp0]\n", [
        "3: interfaces.upstream[0]: expected each interface once, found ppp0, which meets ppp* of interfaces.subscriber[0]"]),
    "antispoof without interfaces": ("antispoof: strict\n", [
        "1: antispoof: expected off, or interfaces.subscriber to be given, found strict without it"]),
    "relay among subscribers": (GROUP + "relays:\n- name: r\n  addresses: [100.64.0.25]\n", [
        "5: relays[0].interface: expected the interface the relay is on, found no such key: 100.64.0.25 overlaps "
        "groups[0].prefixes[0], so the relay's address could otherwise come in by a subscriber interface"]),
    "relative path": ("state: var/lib\n",
                      ["1: state: expected an absolute path of at most 255 bytes, found var/lib"]),
    "subscriber cut in two": ("groups:\n- name: a\n  subscriber_prefix_v6: 56\n  prefixes: [\"2001:db8::/57\"]\n", [
        "4: groups[0].prefixes[0]: expected at most /56, the group's subscriber_prefix_v6, found 2001:db8::/57"]),
    "no such level": ("quarantine:\n  level: worse\n",
                      ["2: quarantine.level: expected throttle, smtp or full, found worse"]),
    "canary too large": (GROUP + "  canary_percent: 101\n",
                         ["4: groups[0].canary_percent: expected a whole number from 0 to 100, found 101"]),
    "all at once": ("mode: off\nqueue:\n  first: 65536\nantispoof: loose\n", [
        "1: mode: expected enforce or observe, found off",
        "3: queue.first: expected a whole number from 0 to 65535, found 65536",
        "4: antispoof: expected strict, groups or off, found loose"]),
}


def check(path):
    return subprocess.run([BUILD / "enforcerd", "--check", "-c", path], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("name", BAD)
def test_bad(tmp_path, name):
    text, messages = BAD[name]
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    done = check(path)
    assert done.returncode == 1
    assert (done.stderr + done.stdout).splitlines() == [f"{path}:{message}" for message in messages]


def test_good(gate, tmp_path):
    """What the lab runs with, the annotated example, and the smallest one there is."""
    assert check(gate.daemon.config_path).returncode == 0
    (tmp_path / "small.yaml").write_text("{}\n")
    assert check(tmp_path / "small.yaml").returncode == 0
    assert check(ROOT / "docs/enforcer.yaml").returncode == 0
    assert check(tmp_path / "missing.yaml").returncode == 1


@pytest.mark.parametrize("name", ["no such mode", "broken yaml", "no such level"])
@pytest.mark.parametrize("how", ["reload", "SIGHUP"])
def test_bad_reload(gate, name, how):
    """The old configuration stays, an event and the exit code say so, with the very message."""
    text, messages = BAD[name]
    ruleset = gate.lab.gw.run("nft", "-s", "list", "table", "inet", "enforcer").stdout
    mark = gate.daemon.mark()
    gate.daemon.write(text=text)
    if how == "reload":
        done = gate.daemon.ctl("reload")
        assert done.returncode == 1
        assert all(f"{gate.daemon.config_path}:{m}" in done.stderr for m in messages), done.stderr
    else:
        gate.daemon.proc.send_signal(signal.SIGHUP)
    event = gate.daemon.wait_event("config-rejected", since=mark)
    assert messages[0][:60] in event["event"]["reason"] and event["event"]["outcome"] == "failure"
    assert gate.lab.gw.run("nft", "-s", "list", "table", "inet", "enforcer").stdout == ruleset
    sub = gate.fresh("residential", 4)
    assert gate.passes(sub, gate.syn(sub)) == [False]

    mark = gate.daemon.mark()
    gate.daemon.write(gate.config)
    gate.daemon.ok("reload")
    gate.daemon.wait_event("config-reloaded", since=mark)


def test_reload_counts_at_once(gate, family):
    """A good file: a new group is blocked, a new relay may send, quarantine stays."""
    sub, banned = gate.fresh("none", family), gate.fresh("business", family)
    gate.daemon.ok("quarantine", banned.address, "--for", "1h")
    assert gate.passes(sub, gate.syn(sub)) == [True]
    new = merged(gate.config, {"groups": gate.config["groups"] + [
        {"name": "late", "prefixes": ["100.64.3.0/24", "2001:db8:1000:c000::/50"], "policy": "block"}]})
    gate.daemon.write(new)
    gate.daemon.ok("reload")
    assert gate.passes(sub, gate.syn(sub)) == [False]
    assert gate.passes(banned, gate.syn(banned)) == [False]
    assert gate.is_quarantined(banned) and gate.in_kernel(banned)
    gate.daemon.write(gate.config)
    gate.daemon.ok("reload")
    wait_for("mail of the group that is none again", lambda: gate.passes(sub, gate.syn(sub)) == [True])


def test_reload_of_aggregate_and_governor(gate):
    """Both count at once: an hour's summary comes when the interval is a second again, and one conviction trips the governor."""
    def reload(**changes):
        gate.daemon.write(merged(gate.config, changes))
        return gate.daemon.ok("reload")["changes"]

    quiet, loud = gate.fresh("residential", 4), gate.fresh("residential", 4)
    assert not any("next start" in c for c in reload(aggregate="1h"))
    gate.syns(quiet, 2)
    gate.probe()
    mark = gate.daemon.mark()
    time.sleep(3)  # an interval of a second would have passed
    assert not gate.daemon.events("egress-blocked", quiet.name, mark)
    reload()
    gate.daemon.wait_event("egress-blocked", quiet.name, since=mark)

    reload(quarantine={"governor": {"convictions": 1, "per": "1h"}})
    for sub in (gate.fresh("residential", 4), loud):
        gate.syns(sub, 21)
        gate.daemon.wait_event("zombie-detected", sub.name)
    gate.daemon.wait_event("governor-tripped", since=mark)
    assert not gate.is_quarantined(loud)
    gate.daemon.ok("governor", "reset")
    assert not any("next start" in c for c in reload())


def test_reload_names_what_waits(gate):
    """What only a start can change is named in the answer."""
    folder = gate.daemon.dir / "elsewhere"
    gate.daemon.write(merged(gate.config, {"state": str(folder), "control": {"socket": str(folder / "c.sock")},
                                           "detector": {"max_subscribers": 5}}))
    changes = gate.daemon.ok("reload")["changes"]
    for key in ("state", "control.socket", "detector.max_subscribers"):
        assert any(c.startswith(key + ": takes effect at the next start") for c in changes), changes
    assert gate.daemon.call("status")["detector"]["capacity"] != 5
    gate.daemon.write(gate.config)
    gate.daemon.ok("reload")


def test_events_are_whole(gate):
    """Every line is JSON with the fields of the interface, numbered without gaps within a run."""
    gate.probe()
    events = gate.daemon.events()
    assert [e["event"]["sequence"] for e in events] == list(range(1, len(events) + 1))
    assert len({e["enforcer"]["run"] for e in events}) == 1
    for event in events:
        assert event["@timestamp"].endswith("Z") and event["observer"]
        assert {"kind", "category", "type", "action", "outcome", "severity", "id"} <= event["event"].keys(), json.dumps(event)
    assert events[0]["event"]["action"] in ("started", "ruleset-installed")
