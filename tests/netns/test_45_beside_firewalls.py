# SPDX-License-Identifier: GPL-2.0-or-later
"""45. Beside the real ufw and the real firewalld: nobody touches the other's rules, at a start and a reload of either; and what
a flush of everything takes away comes back."""
import pytest

from firewalls import Firewalld, Ufw
from lab import FAMILIES
from node import LabError


@pytest.fixture(scope="module", params=[Ufw, Firewalld], ids=["ufw", "firewalld"])
def both(request, make_gate):
    gate = make_gate().start()
    try:
        other = request.param(gate.lab.gw, gate.lab.dir / "other")
        mark = gate.daemon.mark()
        other.start()
    except LabError as e:
        pytest.skip(f"it cannot run in a network namespace here: {str(e).splitlines()[0]}")
    assert not gate.daemon.events("ruleset-tampered", since=mark), "its start touched our table"
    yield gate, other
    gate.close()


def enforced(gate):
    """Port 25 is refused, told, and quarantined, in both families."""
    for family in FAMILIES:
        sub, mark = gate.fresh("residential", family), gate.daemon.mark()
        gate.syns(sub, 21)
        gate.wait_quarantined(sub, mark)
        assert not gate.passes(sub, gate.syn(sub))[0]


def test_reloads(both):
    """Theirs leaves ours alone, without an event; ours leaves theirs alone, line by line."""
    gate, other = both
    enforced(gate)
    theirs, mark = other.rules(), gate.daemon.mark()
    assert len(theirs) > 50
    gate.daemon.ok("reload")
    gate.daemon.ok("mode", "observe")
    gate.daemon.ok("mode", "file")
    assert other.rules() == theirs
    ours = gate.daemon.quarantined().keys()
    other.reload()
    assert len(other.rules()) > 50
    enforced(gate)
    assert not gate.daemon.events("ruleset-tampered", since=mark) and gate.daemon.quarantined().keys() >= ours
    assert gate.daemon.call("status")["kernel"]["table"] == "ok"


def test_flush(both):
    """`nft flush ruleset` takes both away: ours is back by itself, with the quarantine, theirs after a reload or a restart."""
    gate, other = both
    ours, mark = set(gate.daemon.quarantined()), gate.daemon.mark()
    gate.lab.gw.run("nft", "flush", "ruleset")
    gate.daemon.wait_event("ruleset-restored", since=mark)
    enforced(gate)
    assert set(gate.daemon.quarantined()) >= ours
    mark = gate.daemon.mark()
    other.recover()
    theirs = other.rules()
    assert len(theirs) > 50
    enforced(gate)
    assert not gate.daemon.events("ruleset-tampered", since=mark)
    restarted = gate.daemon.mark()
    gate.daemon.kill()
    gate.daemon.start()
    enforced(gate)
    assert other.rules() == theirs and not gate.daemon.events("ruleset-tampered", since=restarted)
