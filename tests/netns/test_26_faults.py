# SPDX-License-Identifier: GPL-2.0-or-later
"""26. Faults by injection: no memory, at each place that asks for it. The daemon refuses with a word or goes on; it never dies,
never hangs, and never says done for what is not in force. LONG=1: every place; else a sample."""
import os
import random
import subprocess
from collections import Counter

import pytest

from daemon import Rejected, merged
from faults import NUMBER_FAILS, PLACE_FAILS, Faults, ask, preload
from lab import BUILD
from net import wait_for
from node import LabError

LONG = os.environ.get("LONG") == "1"
pytestmark = pytest.mark.skipif(not (BUILD / "faults/faults.so").exists() or "san" in BUILD.name,
                                reason=f"{BUILD}/faults/faults.so is not built (make unit-build), or the build has "
                                       "an allocator of its own")


def some(places, count):
    """All places in the long form, else so many of each file that owns some; others each time, the seed is told."""
    seed = int(os.environ.get("FAULTS_SEED", random.randrange(10 ** 6)))
    chance = random.Random(seed)
    print(f"FAULTS_SEED={seed}")
    places = sorted(places)
    chance.shuffle(places)
    if LONG:
        return places
    owners = Counter()
    picked = []
    for place in places:
        owners[place[1]] += 1
        if owners[place[1]] <= (count if place[1] == "enforcerd" else max(1, count // 5)):
            picked.append(place)
    return picked


def configure(config):
    config.update(merged(config, {"detector": {"max_subscribers": 1000}}))


@pytest.fixture(scope="module")
def faulty(make_gate):
    """A gate whose daemon can be given faults by .faults; it runs."""
    made = make_gate(configure)
    return preload(made).start()


@pytest.fixture(autouse=True)
def no_faults(request):
    yield
    if "faulty" in request.fixturenames:
        gate = request.getfixturevalue("faulty")
        gate.faults.alloc_mode = gate.faults.net_every = gate.faults.clock_ns = 0
        assert gate.daemon.alive(), gate.daemon.log()[-4000:]


# --- no memory ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("option", ["--check", "--print-ruleset"])
def test_no_memory_to_say_what_the_file_means(option, tmp_path):
    faults = Faults(tmp_path / "faults")
    argv = faults.command(BUILD / "enforcerd", "-c", "docs/enforcer.yaml", option)
    folder = BUILD.parent if (BUILD.parent / "docs").exists() else BUILD.parent.parent

    def run():
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    faults.record()
    whole = run()
    assert whole.returncode == 0, whole.stderr
    places = faults.places()
    assert len(places) > 100
    for value, owner, _ in some(places, 15):
        faults.alloc(PLACE_FAILS, value)
        done = run()
        assert faults.alloc_failed == 1
        said = f"no memory in {owner}: {done.returncode}, {done.stderr!r}\n{faults.where()}"
        assert done.returncode in (0, 1), said
        if done.returncode == 0:
            assert done.stdout == whole.stdout, said
        else:
            assert "memory" in done.stderr, said
    for first in (1, 2, 50, 500):  # and no memory at all from some moment on
        faults.alloc(NUMBER_FAILS, first, 1 << 60)
        done = run()
        assert done.returncode == 1, (first, done.returncode, done.stderr, faults.where())


def start_once(gate):
    """Starts the daemon until it answers or has ended: None or the exit code."""
    daemon = gate.daemon
    daemon.log_path.write_text("")
    for _ in range(3):  # the allocation may be that of an answer
        try:
            if daemon.proc.poll() is None:
                wait_for("the daemon to answer", daemon.answers)
            else:
                daemon.start()
            return None
        except (LabError, Rejected):
            if daemon.proc.poll() is not None:
                break
    return daemon.proc.poll()


def test_no_memory_at_the_start(faulty):
    """It starts whole, or ends with a word; what is in quarantine stays in the kernel."""
    gate, daemon, faults = faulty, faulty.daemon, faulty.faults
    sub = gate.fresh()
    daemon.call("quarantine.add", addresses=[sub.address])
    assert daemon.stop() == 0
    faults.record()
    assert start_once(gate) is None
    places = faults.places()
    assert daemon.stop() == 0
    ended = 0
    for value, owner, _ in some(places, 8):
        faults.alloc(PLACE_FAILS, value)
        code = start_once(gate)
        said = f"no memory in {owner}: {code}, {daemon.log()[-1000:]!r}\n{faults.where()}"
        assert gate.in_kernel(sub), said
        if code is None:
            faults.alloc_mode = 0
            assert daemon.call("status")["kernel"]["table"] == "ok", said
            assert gate.is_quarantined(sub), said
            assert daemon.stop() == 0, said
        else:
            ended += 1
            assert code == 1 and daemon.log().strip(), said
    assert ended > 0, "some of it is needed"
    faults.alloc_mode = 0
    assert start_once(gate) is None


REFUSED = (-32002, -32008)  # "nothing was changed"


def keys(value):
    """The shape of an answer: names, without what they hold."""
    return {name: keys(v) if isinstance(v, dict) else type(v).__name__ in ("list",)
            for name, v in value.items()} if isinstance(value, dict) else None


READING = [("status", {}), ("quarantine.list", {}), ("subscriber.show", {"address": "100.64.0.200"}), ("subscriber.top", {}),
           ("relay.list", {}), ("audit.list", {"limit": 5}), ("ruleset.show", {}), ("events.subscribe", {"since": "1h"})]


def places_of(gate, method, params):
    gate.faults.record(thread=gate.daemon.proc.pid)
    answer, error = ask(gate, method, params)
    places = gate.faults.places()
    assert answer is not None, error
    return answer, places


@pytest.mark.parametrize("method,params", READING, ids=[m for m, _ in READING])
def test_no_memory_for_an_answer(faulty, method, params):
    """Whole, or an error; nothing is left out."""
    gate, faults = faulty, faulty.faults
    if method == "subscriber.show":
        gate.daemon.call("quarantine.add", addresses=[params["address"]])
    whole, places = places_of(gate, method, params)
    for value, owner, _ in some(places, 10):
        faults.alloc(PLACE_FAILS, value, thread=gate.daemon.proc.pid)
        answer, error = ask(gate, method, params)
        faults.alloc_mode = 0
        if answer is not None:
            assert keys(answer) == keys(whole), f"no memory in {owner}:\n{faults.where()}"
        elif error:
            assert error.code in (-32603, -32008, -32002, -32001), (str(error), faults.where())


def undo(gate, name):
    gate.faults.alloc_mode = 0
    try:
        gate.daemon.call("quarantine.release", addresses=[name])
    except Rejected as rejected:
        assert rejected.code == -32003, str(rejected)


def test_no_memory_for_a_quarantine(faulty):
    """Done means: in the kernel and listed. An error means: neither."""
    gate, faults = faulty, faulty.faults
    sub = gate.fresh()
    params = {"addresses": [sub.address], "for": "1h", "reason": "no memory", "ticket": "T-1"}
    _, places = places_of(gate, "quarantine.add", params)
    outcomes = Counter()
    for value, owner, _ in some(places, 10):
        undo(gate, sub.address)
        faults.alloc(PLACE_FAILS, value, thread=gate.daemon.proc.pid)
        answer, error = ask(gate, "quarantine.add", params)
        faults.alloc_mode = 0
        done = (gate.in_kernel(sub), gate.is_quarantined(sub))
        said = f"no memory in {owner}: {answer}, {error}\n{faults.where()}"
        assert done[0] == done[1], said
        if answer is not None:
            assert all(done), said
        elif error:
            outcomes[error.code] += 1
            assert not any(done) or error.code not in REFUSED, said
    assert outcomes, "some of it is needed"
    undo(gate, sub.address)


def test_no_memory_for_a_release(faulty):
    gate, faults = faulty, faulty.faults
    sub = gate.fresh()
    gate.daemon.call("quarantine.add", addresses=[sub.address])
    _, places = places_of(gate, "quarantine.release", {"addresses": [sub.address]})
    for value, owner, _ in some(places, 10):
        gate.daemon.call("quarantine.add", addresses=[sub.address])
        faults.alloc(PLACE_FAILS, value, thread=gate.daemon.proc.pid)
        answer, error = ask(gate, "quarantine.release", {"addresses": [sub.address]})
        faults.alloc_mode = 0
        done = (gate.in_kernel(sub), gate.is_quarantined(sub))
        said = f"no memory in {owner}: {answer}, {error}\n{faults.where()}"
        assert done[0] == done[1], said
        if answer is not None:
            assert not any(done), said
        elif error:
            assert all(done) or error.code not in REFUSED, said
    undo(gate, sub.address)


def test_no_memory_for_other_changes(faulty):
    """Relays, mode, reload, a reassigned line: afterwards the same request works, and the table is whole."""
    gate, daemon, faults = faulty, faulty.daemon, faulty.faults
    relay = "192.0.2.77"

    def relays():
        return {r["address"].split("/")[0] for r in daemon.call("relay.list")["relays"]}

    def in_set():
        return relay in gate.kernel_set(4, "relays")

    def no_relay():
        if relay in relays():
            daemon.call("relay.remove", address=relay)
    for method, params, before in (
            ("relay.add", {"address": relay, "name": "later"}, no_relay),
            ("relay.remove", {"address": relay}, lambda: relay in relays() or daemon.call("relay.add", address=relay)),
            ("mode.set", {"mode": "observe"}, lambda: daemon.call("mode.set", mode="enforce")),
            ("config.reload", {}, lambda: None),
            ("subscriber.reassigned", {"addresses": ["100.64.0.201"]}, lambda: None),
            ("governor.reset", {}, lambda: None)):
        before()
        _, places = places_of(gate, method, params)
        for value, owner, _ in some(places, 4):
            before()
            faults.alloc(PLACE_FAILS, value, thread=daemon.proc.pid)
            answer, error = ask(gate, method, params)
            faults.alloc_mode = 0
            said = f"{method}, no memory in {owner}: {answer}, {error}\n{faults.where()}"
            if method.startswith("relay."):
                assert in_set() == (relay in relays()), said
                if answer is not None or (error and error.code in REFUSED):
                    assert in_set() == ((method == "relay.add") == (answer is not None)), said
            if method == "mode.set" and (answer is not None or (error and error.code in REFUSED)):
                assert daemon.call("status")["mode"] == ("enforce" if error else "observe"), said
            wait_for(f"a whole table after {said}", lambda: daemon.call("status")["kernel"]["table"] == "ok")
    daemon.call("mode.set", mode="file")
