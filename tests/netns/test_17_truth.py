# SPDX-License-Identifier: GPL-2.0-or-later
"""17. Whoever changes the table: it is noticed, told and put right, and nothing else is touched. Times are measured from
before the change to the event that says that all is well, and printed."""
import datetime
import ipaddress
import json
import os
import pathlib
import re
import subprocess
import threading
import time

import pytest

from craft import ACK, SYN, flows, tcp
from daemon import Control
from lab import HOST, RELAY
from net import Pacer, Sniffer, addresses, attempt, wait_for
from state import quarantine_row, write_quarantines
from stuck import stuck

NET = {4: "100.64.8.128/25", 6: "2001:db8:2000:1000::/52"}
LONG = os.environ.get("LONG") == "1"


def nft(gate, *commands, check=True):
    return gate.lab.gw.run("nft", "; ".join(commands), check=check)


def rules(gate, chain):
    """Text and handle of each rule of a chain."""
    text = gate.lab.gw.run("nft", "-a", "list", "chain", "inet", "enforcer", chain).stdout
    return re.findall(r"^\t\t(?!type )(\S.*?) # handle (\d+)$", text, re.M)


def static_set(gate, plain):
    """Its name in the kernel: static sets have the number of a load behind it."""
    text = "".join(gate.lab.gw.run("nft", "-t", "list", kind, "inet").stdout for kind in ("sets", "maps"))
    return re.search(rf"\b{plain}_g\d+\b", text).group()


def delete_rule(gate):
    _, handle = rules(gate, "egress4")[3]
    return f"delete rule inet enforcer egress4 handle {handle}"


def replace_rule(gate):
    found = [h for text, h in rules(gate, "forward") if "dport 25" in text]
    return f"replace rule inet enforcer forward handle {found[0]} tcp dport 2525 accept"


def reorder(gate):
    text, handle = rules(gate, "forward")[0]
    return f"delete rule inet enforcer forward handle {handle}; add rule inet enforcer forward {text}"


def other_priority(gate):
    again = "; ".join(f"add rule inet enforcer forward {text}" for text, _ in rules(gate, "forward"))
    return ("flush chain inet enforcer forward; delete chain inet enforcer forward; add chain inet enforcer forward "
            "{ type filter hook forward priority 77; policy accept; }; " + again)


def static_element(gate):
    return f"delete element inet enforcer {static_set(gate, 'denied4')} {{ 100.64.0.0/24 }}"


def static_flush(gate):
    return f"flush set inet enforcer {static_set(gate, 'smarthosts6')}"


def verdict_map(gate):
    return f"flush map inet enforcer {static_set(gate, 'policy4')}"


def another_dynamic_set(gate):
    """The set of flows made anew, so small that it is full at once."""
    users = []
    for chain in re.findall(r"chain (\S+) {", gate.lab.gw.run("nft", "list", "table", "inet", "enforcer").stdout):
        users += [f"delete rule inet enforcer {chain} handle {h}" for text, h in rules(gate, chain) if "@other4" in text]
    return "; ".join(users + ["delete set inet enforcer other4", "add set inet enforcer other4 "
                              "{ type ipv4_addr . inet_service . ipv4_addr . inet_service; flags dynamic,timeout; size 2; }"])


# name, what somebody runs (text, or made of the table as it is), the event that tells, words in it
TAMPERED, LOST = ("ruleset-tampered", "ruleset-restored"), ("coverage-lost", "coverage-restored")
CHANGES = [
    ("flush ruleset", "flush ruleset", TAMPERED, "was deleted by nft (pid "),
    ("delete table", "delete table inet enforcer", TAMPERED, "was deleted by nft (pid "),
    ("one rule removed", delete_rule, TAMPERED, "chain egress4: 1 of "),
    ("one rule replaced", replace_rule, TAMPERED, "chain forward: 1 of 3 rules missing, 1 not ours"),
    ("rules in another order", reorder, TAMPERED, "chain forward: the rules stand in another order"),
    ("a chain emptied", "flush chain inet enforcer answers4", TAMPERED, "chain answers4: "),
    ("the queue statement gone", "flush chain inet enforcer queue0", TAMPERED, "chain queue0: 2 of 2 rules missing"),
    ("another policy", "add chain inet enforcer forward { policy drop; }", TAMPERED, "hook, priority or policy"),
    ("another priority", other_priority, TAMPERED, "hook, priority or policy"),
    ("the table asleep", "add table inet enforcer { flags dormant; }", TAMPERED, "the table's flags"),
    ("a static element removed", static_element, TAMPERED, "set denied4: "),
    ("a static set emptied", static_flush, TAMPERED, "set smarthosts6: 0 elements instead of 1"),
    ("the verdict map emptied", verdict_map, TAMPERED, "set policy4: "),
    ("a dynamic set made anew", another_dynamic_set, TAMPERED, "set other4: declared otherwise"),
    ("a chain of another", "add chain inet enforcer theirs; add rule inet enforcer theirs accept", TAMPERED, "chain theirs is not ours"),
    ("a relay removed", f"delete element inet enforcer relays4 {{ {RELAY[4]} }}", TAMPERED, "1 missing, 0 not ours"),
    ("a relay added", "add element inet enforcer relays4 { 100.64.0.250 }", TAMPERED, "0 missing, 1 not ours"),
    ("relays emptied", "flush set inet enforcer relays6", TAMPERED, "1 missing, 0 not ours"),
    ("an interface governed", "add element inet enforcer governed_if { sub0 }", TAMPERED, "governed_if"),
    ("an element of nobody", "add element inet enforcer quarantine4 { 100.64.3.99 timeout 1d }", TAMPERED, "100.64.3.99"),
    ("a prefix of nobody", "add element inet enforcer quarantine_nets4 { 100.64.3.0/25 timeout 1d }", TAMPERED, "not ours"),
    ("one quarantine removed", "delete element inet enforcer quarantine4 { 100.64.1.200 }", LOST, "1 of "),
    ("one prefix removed", f"delete element inet enforcer quarantine_nets4 {{ {NET[4]} }}", LOST, "1 of "),
    ("a quarantine set emptied", "flush set inet enforcer quarantine4", LOST, "were missing"),
    ("quarantined prefixes emptied", "flush set inet enforcer quarantine_nets6", LOST, "were missing"),
]


@pytest.fixture(scope="module")
def held(make_gate):
    """A lab with a daemon, tables of others, and people in quarantine."""
    gate = make_gate()
    gate.lab.other_table()
    gate.start()
    gate.daemon.ok("quarantine", "100.64.1.200", "100.64.1.201", "2001:db8:1000:4077::", "--reason", "truth")
    gate.daemon.ok("quarantine", NET[4], NET[6])
    yield gate
    assert gate.daemon.alive(), gate.daemon.log()[-4000:]


def stamp(event):
    return datetime.datetime.fromisoformat(event["@timestamp"].replace("Z", "+00:00")).timestamp()


def others(gate):
    return gate.lab.gw.run("nft", "-a", "list", "table", "inet", "other").stdout


def whole(gate):
    """What the kernel must have again, asked of the kernel and of the daemon."""
    status = gate.daemon.call("status")
    assert status["kernel"]["table"] == "ok"
    assert status["coverage"]["ratio"] == 1.0 and status["coverage"]["desired"] >= 5
    assert " 100.64.1.200 " in gate.kernel_set(4).replace(",", " ")
    assert " 2001:db8:1000:4077:: " in gate.kernel_set(6).replace(",", " ")
    assert NET[4] in gate.kernel_set(4, "quarantine_nets")
    assert "elements" not in gate.kernel_set(4, "quarantine_moving")
    for family in (4, 6):
        assert RELAY[family] in gate.kernel_set(family, "relays")
        blocked = gate.fresh("residential", family)
        assert gate.passes(blocked, gate.syn(blocked), gate.syn(blocked, dport=587)) == [False, True]
    quiet = tcp("100.64.1.200", HOST[4], gate.sport(gate.fresh("business", 4)), 25, SYN)
    free = gate.fresh("business", 4)
    assert gate.wire("suba", 4).pass_through(quiet) == [False]
    assert gate.passes(free, gate.syn(free)) == [True]
    assert "100.64.3.99" not in gate.kernel_set(4)
    assert "100.64.3.99" not in gate.daemon.quarantined()


@pytest.mark.parametrize("name,change,events,words", CHANGES, ids=[c[0] for c in CHANGES])
def test_put_right(held, name, change, events, words):
    gate = held
    keeps = "flush ruleset" not in name
    before, mark = others(gate), gate.daemon.mark()
    # Fights are another test: let the repairs of the case before be old news.
    time.sleep(1.5)
    commands = change(gate) if callable(change) else change
    began = time.time()
    nft(gate, commands)
    told = gate.daemon.wait_event(events[0], since=mark)
    done = gate.daemon.wait_event(events[1], since=mark)
    assert words in told["event"]["reason"], told["event"]["reason"]
    # Only the notification names who it was: it was heard of, not found by the timer.
    assert "nft (pid " in told["event"]["reason"], told["event"]["reason"]
    print(f"\n{name}: told after {(stamp(told) - began) * 1000:.0f} ms, right again after {(stamp(done) - began) * 1000:.0f} ms: "
          f"{told['event']['reason']}")
    whole(gate)
    if keeps:
        assert others(gate) == before
    else:
        gate.lab.other_table()


def test_our_own_changes_are_no_news(held):
    """Quarantines, releases, reloads, relays and modes: nothing is told as tampering, nothing is repaired."""
    gate = held
    mark, repairs = gate.daemon.mark(), gate.daemon.call("status")["kernel"]["repairs"]
    changes = gate.daemon.call("status")["kernel"]["changes_by_others"]
    for _ in range(3):
        gate.daemon.ok("quarantine", "100.64.1.210")
        gate.daemon.ok("release", "100.64.1.210")
        gate.daemon.ok("quarantine", "100.64.9.0/25")
        gate.daemon.ok("release", "100.64.9.5")
        gate.daemon.ok("release", "100.64.9.0/25")
        gate.daemon.ok("relay", "add", "192.0.2.99")
        gate.daemon.ok("relay", "remove", "192.0.2.99")
        gate.daemon.ok("reload")
        gate.daemon.ok("mode", "observe")
        gate.daemon.ok("mode", "file")
    sub = gate.fresh("residential", 4)
    gate.syns(sub, 25)
    gate.wait_quarantined(sub, mark)
    whole(gate)
    assert not gate.daemon.events("ruleset-tampered", since=mark) and not gate.daemon.events("coverage-lost", since=mark)
    status = gate.daemon.call("status")["kernel"]
    assert status["repairs"] == repairs and status["changes_by_others"] == changes


def test_another_firewall_reloads(held):
    """It flushes everything and loads its own, in one transaction. Both are there afterwards."""
    gate = held
    time.sleep(5.5)  # peace after what the tests before did
    mark = gate.daemon.mark()
    script = gate.lab.dir / "firewall.nft"
    script.write_text("flush ruleset\ntable inet filter {\n  chain forward {\n    type filter hook forward priority 0; policy accept;\n"
                      "    tcp dport 9999 counter accept\n  }\n}\n", encoding="ascii")
    for turn in range(2):
        began = time.time()
        gate.lab.gw.run("nft", "-f", script)
        done = gate.daemon.wait_event("ruleset-restored", since=mark)
        print(f"\nreload {turn + 1}: right again after {(stamp(done) - began) * 1000:.0f} ms")
        mark = gate.daemon.mark()
        whole(gate)
        assert "tcp dport 9999" in gate.lab.gw.run("nft", "list", "table", "inet", "filter").stdout
        assert attempt(gate.lab.relay, RELAY[4], HOST[4], timeout=0.3) in ("closed", "refused", "timeout", "open")
    nft(gate, "delete table inet filter")
    gate.lab.other_table()


ASKED = [("quarantine.add", {"addresses": ["100.64.1.220"]}), ("quarantine.release", {"addresses": ["100.64.1.220"]}),
         ("relay.add", {"address": "192.0.2.98"}), ("relay.remove", {"address": "192.0.2.98"})]


@pytest.mark.parametrize("method,params", ASKED, ids=[a[0] for a in ASKED])
def test_asked_for_before_the_repair(held, method, params):
    """The table goes, and the daemon reads what somebody asks for in the same moment: it is no reason to refuse. The table is
    put right, and what is answered is in force."""
    gate = held
    time.sleep(1.5)
    mark = gate.daemon.mark()
    with Control(gate.daemon.socket) as control:
        control.call("status")  # it is connected
        with stuck(gate.daemon.proc.pid, "enforcerd"):
            nft(gate, "delete table inet enforcer")
            control.raw(json.dumps({"jsonrpc": "2.0", "id": 99, "method": method, "params": params}).encode() + b"\n")
        answer = control.line()
    assert answer["id"] == 99 and "result" in answer, answer
    address = params.get("address") or params["addresses"][0]
    there = address in gate.kernel_set(4, "relays" if "relay" in method else "quarantine")
    assert there == method.endswith(".add")
    restored = gate.daemon.events("ruleset-restored", since=mark)
    assert len(restored) == 1, "the repair came before the answer"
    whole(gate)
    assert len(gate.daemon.events("ruleset-restored", since=mark)) == 1, "once"


LARGE = 6000  # two elements each: more than are read at every look


def test_a_large_set_that_was_not_read_yet(make_gate):
    """Large static sets are read in steps, seldom. What somebody takes out of one is put back, also right after a start or a
    reload, when nobody has read yet what it holds."""
    def configure(config):
        path = pathlib.Path(config["state"]).parent / "bogons.txt"
        first = int(ipaddress.ip_address("2001:db8:8000::"))
        path.write_text("".join(f"{ipaddress.ip_address(first + (2 * i << 64))}/64\n" for i in range(LARGE)), encoding="ascii")
        config["inbound"]["bogons"] = str(path)
    gate = make_gate(configure)
    gate.start()
    for turn in range(4):
        if turn:
            time.sleep(1.5)  # no fight
        if turn % 2:
            gate.daemon.call("config.reload")
        mark, lost = gate.daemon.mark(), f"2001:db8:8000:{2 * turn + 2:x}::/64"
        nft(gate, f"delete element inet enforcer {static_set(gate, 'bogons6')} {{ {lost} }}")
        told = gate.daemon.wait_event("ruleset-tampered", since=mark)["event"]["reason"]
        gate.daemon.wait_event("ruleset-restored", since=mark)
        print(f"\n{'after a reload' if turn % 2 else 'later' if turn else 'after the start'}: {told}")
        assert "set bogons6" in told  # and nft's name, unless a scan that was due found it first
        nft(gate, f"get element inet enforcer {static_set(gate, 'bogons6')} {{ {lost} }}")
    gate.close()


def test_what_leaked_is_counted(held):
    """Packets of somebody in quarantine and of somebody blocked, without a pause, while the ruleset is flushed: the event
    says how many passed between the notification and the repair. The lab sees all, also those before the notification."""
    gate = held
    time.sleep(5.5)
    sources = ("100.64.1.200", "100.64.0.200")
    found = []
    with Sniffer(gate.lab.inet, match=lambda p: addresses(p)[0] in sources, store=False) as sniffer:
        # No SYNs: the blocked one would be convicted.
        pairs = zip(*(flows(s, HOST[4], 300, first_port=22000, flags=ACK) for s in sources))
        pacer = Pacer(gate.lab.suba, [packet for pair in pairs for packet in pair], 1000)
        for _ in range(3):
            mark = gate.daemon.mark()
            gate.lab.gw.run("nft", "flush", "ruleset")
            reason = gate.daemon.wait_event("ruleset-restored", since=mark)["event"]["reason"]
            counted = re.search(r"meanwhile (\d+) packets of quarantined and (\d+) of blocked", reason)
            assert counted, reason
            found.append((int(counted[1]), int(counted[2])))
        pacer.stop()
        whole(gate)
        passed = sniffer.count
        assert sniffer.lost() == 0
    quarantined, blocked = (sum(f[i] for f in found) for i in (0, 1))
    print(f"\n3 flushes: {quarantined} packets of the quarantined and {blocked} of the blocked were counted, {passed} arrived")
    assert quarantined > 0 and blocked > 0 and quarantined + blocked <= passed, found
    gate.lab.other_table()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_fight(held):
    """100 flushes a second for 10 s: one loud event, little processor time, control answers, a repaired table."""
    gate = held
    time.sleep(5.5)
    mark, pid = gate.daemon.mark(), gate.daemon.call("status")["pid"]
    shell = gate.lab.gw.start("nft", "-i", stdin=subprocess.PIPE)
    used, began, longest, flushes = cpu_seconds(pid), time.monotonic(), 0.0, 0
    while time.monotonic() < began + 10:
        shell.stdin.write(b"flush ruleset\n")
        shell.stdin.flush()
        flushes += 1
        if flushes % 50 == 0:
            asked = time.monotonic()
            gate.daemon.call("status")
            longest = max(longest, time.monotonic() - asked)
        time.sleep(max(0, began + flushes * 0.01 - time.monotonic()))
    seconds = time.monotonic() - began
    share = (cpu_seconds(pid) - used) / seconds
    shell.stdin.write(b"quit\n")
    shell.stdin.flush()
    shell.stdin.close()
    shell.wait(10)
    over = gate.daemon.wait_event("ruleset-restored", where=lambda e: "has stopped" in e["event"]["reason"], since=mark)
    fights = [e for e in gate.daemon.events("ruleset-tampered", since=mark) if "again and again" in e["event"]["reason"]]
    all_events = gate.daemon.events("ruleset-tampered", since=mark)
    print(f"\n{flushes} flushes in {seconds:.1f} s: {share * 100:.0f} % of a core, longest answer {longest * 1000:.0f} ms, "
          f"{len(all_events)} ruleset-tampered; {over['event']['reason']}")
    assert flushes > 500
    assert len(fights) == 1 and "nft (pid " in fights[0]["event"]["reason"]
    assert len(all_events) <= 10
    assert share < 0.5
    whole(gate)
    gate.lab.other_table()


MOVING = {4: ("100.64.1.128/26", "100.64.1.150", "100.64.1.190", "100.64.9.64/27"),
          6: ("2001:db8:1000:5000::/52", "2001:db8:1000:5005::5", "2001:db8:1000:5fff::", "2001:db8:2000:5000::/56")}


def test_a_prefix_changes_and_the_others_stay(make_gate):
    """Prefixes come, go and are split: not one packet of an address passes that is held before and after."""
    gate = make_gate().start()
    daemon, changes = gate.daemon, int(os.environ.get("PREFIX_CHANGES", "25"))
    held_sources = {MOVING[f][1] for f in (4, 6)}
    for net, *_ in MOVING.values():
        daemon.call("quarantine.add", addresses=[net])
    daemon.call("quarantine.add", addresses=[f"100.64.{16 + i // 4}.{i % 4 * 64}/27" for i in range(200)] +
                [f"2001:db8:3000:{i * 512:x}::/56" for i in range(100)])
    frames = [p for f in (4, 6) for p in flows(MOVING[f][1], HOST[f], 300, first_port=20000)]
    with Sniffer(gate.lab.inet, match=lambda p: str(addresses(p)[0]) in held_sources) as sniffer:
        pacer = Pacer(gate.lab.suba, frames, 2000)
        for _ in range(changes):
            for net, _, single, other in MOVING.values():
                daemon.call("quarantine.add", addresses=[other])
                daemon.call("quarantine.release", addresses=[single])
                daemon.call("quarantine.release", addresses=[other])
                daemon.call("quarantine.add", addresses=[net])
        sent = pacer.stop()
        marker = gate.fresh("none", 4)
        assert gate.passes(marker, gate.syn(marker)) == [True]
        print(f"\n{8 * changes} changes, {sent} packets of held subscribers sent, {sniffer.count} passed")
        assert sent > 500 and sniffer.count == 0 and sniffer.lost() == 0
    gate.close()


# --- large sets -----------------------------------------------------------------------------------------------------
ENTRIES = 1_000_000 if LONG else 200_000


class Asker:
    """Asks for the status all the time; knows the longest answer."""

    def __init__(self, gate):
        self.gate, self.longest, self.count, self.failed = gate, 0.0, 0, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _loop(self):
        while not self._stop.wait(0.005):
            asked = time.monotonic()
            try:
                self.gate.daemon.call("status")
            except Exception as e:  # told by the test, in its own thread
                self.failed = e
                return
            self.longest = max(self.longest, time.monotonic() - asked)
            self.count += 1

    def stop(self):
        self._stop.set()
        self._thread.join()
        assert not self.failed, self.failed
        return self.longest


@pytest.mark.long
def test_large(make_gate):
    """Comparison, repair and refill of a large quarantine never hold up for long whoever asks."""
    def configure(config):
        config["quarantine"]["max_entries"] = 1_100_000
    gate = make_gate(configure)
    gate.start()
    gate.daemon.stop()
    now_ms, base = int(time.time() * 1000), 0x64400000 + (64 << 8)  # 100.64.64.0 and on
    write_quarantines(gate.daemon, (quarantine_row(4, (base + i).to_bytes(4, "big"), 32, now_ms, now_ms + 3600000) for i in range(ENTRIES)))
    began = time.monotonic()
    gate.daemon.start(limit=120)
    print(f"\n{ENTRIES} quarantines, start until it answers: {time.monotonic() - began:.1f} s")
    ask = gate.lab.gw.run

    def after(what, command, *wanted):
        """Does it and waits for the events, one after the other, while somebody asks for the status all the time."""
        mark, asker, started = gate.daemon.mark(), Asker(gate), time.time()
        ask(*command, timeout=300)
        ran, told = time.time() - started, []
        for action in wanted:
            told.append(gate.daemon.wait_event(action, since=mark, limit=300))
        longest = asker.stop()
        times = ", ".join(f"{e['event']['action']} {stamp(e) - started:.2f} s" for e in told)
        print(f"{what}: nft itself {ran:.2f} s, {times}; {asker.count} answers meanwhile, the longest {longest * 1000:.0f} ms")
        return told

    lost, restored = after("the set emptied", ("nft", "flush", "set", "inet", "enforcer", "quarantine4"), "coverage-lost",
                           "coverage-restored")
    assert str(ENTRIES) in restored["event"]["reason"]
    after("the ruleset flushed", ("nft", "flush", "ruleset"), "ruleset-restored", "coverage-restored")
    asker = Asker(gate)
    wait_for("a whole comparison", lambda: asker.count > 400, limit=300)
    print(f"{ENTRIES} quarantines at rest: longest answer {asker.stop() * 1000:.0f} ms")
    status = gate.daemon.call("status")
    assert status["coverage"]["desired"] == ENTRIES and status["coverage"]["ratio"] == 1.0
    gate.close()
