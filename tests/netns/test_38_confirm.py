# SPDX-License-Identifier: GPL-2.0-or-later
"""38. A configuration on trial: unless somebody confirms it in time the one before is in force again, also after SIGKILL."""
import copy
import signal
import time

import pytest

from daemon import Rejected
from lab import BUILD, FAMILIES
from net import wait_for


@pytest.fixture
def trial(make_gate):
    """A gateway that blocks; its file can be changed to one that only observes."""
    gate = make_gate().start()
    yield gate
    if gate.daemon.alive():
        gate.daemon.stop()
    gate.close()


def write(gate, policy, **more):
    config = copy.deepcopy(gate.config)
    config["groups"][0]["policy"] = policy
    gate.daemon.write({**config, **more})


def blocks(gate):
    """Whether both families are blocked, or neither."""
    found = {gate.passes(s, gate.syn(s))[0] for s in (gate.fresh("residential", f) for f in FAMILIES)}
    assert len(found) == 1
    return found == {False}


def confirm_state(gate):
    return gate.daemon.call("status")["confirm"]


def test_goes_back_by_itself(trial):
    gate, mark = trial, trial.daemon.mark()
    assert confirm_state(gate) == {"pending": False, "until": None, "actor": None, "unconfirmed": False}
    write(gate, "observe")
    done = gate.daemon.ctl("reload", "--confirm", "8s")
    assert done.returncode == 0 and "enforcerctl confirm" in done.stdout
    assert not blocks(gate)
    state = confirm_state(gate)
    assert state["pending"] and state["actor"] == "user:root" and state["until"] and not state["unconfirmed"]
    assert "on trial" in gate.daemon.ctl("status").stdout
    with pytest.raises(Rejected):
        gate.daemon.call("config.reload")  # a plain one would confirm by accident
    event = gate.daemon.wait_event("config-reverted", since=mark)
    assert event["event"]["outcome"] == "success" and event["enforcer"]["actor"] == "user:root"
    assert blocks(gate)
    assert confirm_state(gate) == {"pending": False, "until": None, "actor": None, "unconfirmed": True}
    assert gate.daemon.ctl("confirm").returncode == 1  # too late
    # A signal, as from logrotate, does not take it up again; a restart neither; a reload does.
    gate.daemon.proc.send_signal(signal.SIGHUP)
    wait_for("the signal", lambda: "nobody confirmed" in gate.daemon.log())
    assert blocks(gate)
    gate.daemon.stop()
    gate.daemon.start()
    assert blocks(gate) and confirm_state(gate)["unconfirmed"]
    gate.daemon.ok("reload")
    assert not blocks(gate) and not confirm_state(gate)["unconfirmed"]
    gate.daemon.stop()
    gate.daemon.start()
    assert not blocks(gate)


def test_confirmed(trial):
    gate, mark = trial, trial.daemon.mark()
    write(gate, "observe")
    gate.daemon.ok("reload", "--confirm", "5s")
    gate.daemon.proc.send_signal(signal.SIGHUP)  # reads the file again, confirms nothing
    gate.daemon.wait_event("config-reloaded", since=mark, where=lambda e: e["enforcer"]["actor"] == "signal:HUP")
    assert confirm_state(gate)["pending"]
    gate.daemon.ok("confirm")
    gate.daemon.wait_event("config-confirmed", since=mark)
    end = time.monotonic() + 6
    wait_for("the time of the trial to pass", lambda: time.monotonic() > end)
    assert not blocks(gate) and not gate.daemon.events("config-reverted", since=mark)
    gate.daemon.kill()
    gate.daemon.start()
    assert not blocks(gate)
    assert gate.daemon.ctl("confirm").returncode == 1


def test_killed_on_trial(trial):
    """SIGKILL while it is on trial: the next start has the old one in force and says so; so has --install."""
    gate, mark = trial, trial.daemon.mark()
    write(gate, "observe")
    gate.daemon.ok("reload", "--confirm", "1h")
    assert not blocks(gate)
    gate.daemon.kill()
    assert not blocks(gate)  # the kernel goes on
    gate.lab.gw.run(BUILD / "enforcerd", "-c", gate.daemon.config_path, "--user", "root", "--install")
    assert blocks(gate)
    gate.daemon.start()
    gate.daemon.wait_event("config-reverted", since=mark)
    assert blocks(gate) and confirm_state(gate)["unconfirmed"]
    # Whoever edits the file after that means it.
    write(gate, "observe", aggregate="2s")
    gate.daemon.kill()
    gate.daemon.start()
    assert not blocks(gate) and not confirm_state(gate)["unconfirmed"]


def test_two_trials(trial):
    """The second takes the place of the first; both go back to what was confirmed. A bad file changes nothing."""
    gate, mark = trial, trial.daemon.mark()
    write(gate, "observe")
    gate.daemon.ok("reload", "--confirm", "1h")
    gate.daemon.write(text="groups: 7\n")
    assert gate.daemon.ctl("reload", "--confirm", "1s").returncode == 1
    write(gate, "inspect", state=str(gate.lab.dir / "elsewhere"))
    assert gate.daemon.ctl("reload", "--confirm", "1s").returncode == 1
    assert confirm_state(gate)["pending"] and not blocks(gate)
    write(gate, "observe", aggregate="2s")
    gate.daemon.ok("reload", "--confirm", "2s")
    gate.daemon.wait_event("config-reverted", since=mark)
    assert blocks(gate)
    assert gate.daemon.ctl("reload", "--confirm", "25h").returncode == 1
    assert gate.daemon.ctl("reload", "--confirm", "soon").returncode == 2
