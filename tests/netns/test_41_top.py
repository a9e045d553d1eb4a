# SPDX-License-Identifier: GPL-2.0-or-later
"""enforcerctl top on a terminal, in the real tmux: keys in, the screen out. Without a terminal it prints the list once."""
import itertools
import os
import subprocess

import pytest
from lab import BUILD
from net import wait_for


def configure(config):
    config["detector"]["distinct_destinations"] = {"count": 1000, "per": "10m"}
    config["detector"]["sequential"] = None


class Terminal:
    """One pane of a tmux of its own."""
    number = itertools.count()

    def __init__(self, gate, command, columns=80, rows=24):
        self.name = f"{gate.lab.name}-{next(self.number)}"
        self.env = {k: v for k, v in os.environ.items() if k not in ("TMUX", "NO_COLOR")} | {"LC_ALL": "C.UTF-8", "TERM": "xterm"}
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), f"{command}; echo ended with $?; sleep 1000")

    def tmux(self, *args):
        done = subprocess.run(["tmux", "-L", self.name, "-f", "/dev/null", *args], capture_output=True, text=True, check=False,
                              env=self.env, timeout=60)
        assert done.returncode == 0, f"tmux {args}: {done.stderr}"
        return done.stdout

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def wait(self, *texts):
        """The screen, once all of these are on it."""
        def look():
            seen = self.screen()
            return seen if all(t in seen for t in texts) else None
        try:
            return wait_for(f"{texts} on the screen", look)
        except Exception:
            print(self.screen())
            raise

    def close(self):
        subprocess.run(["tmux", "-L", self.name, "kill-server"], check=False, capture_output=True, env=self.env)


@pytest.fixture
def top(gate):
    made = Terminal(gate, f"{BUILD}/enforcerctl --socket {gate.daemon.socket} top")
    yield made
    made.close()


@pytest.fixture(scope="module")
def busy(gate):
    """Three subscribers: many connections, many destinations, and one in IPv6."""
    many, wide, six = gate.fresh(), gate.fresh(), gate.fresh("residential", 6)
    gate.syns(many, 12)
    for host in range(101, 109):
        gate.syns(wide, 1, f"203.0.113.{host}")
    gate.syns(six, 3)
    wait_for("all are counted", lambda: [gate.connections(s) for s in (many, wide, six)] == [12, 8, 3])
    return many, wide, six


def rows(screen):
    """Subscribers on the screen, from the top."""
    return [line.split()[0] for line in screen.splitlines()[3:-2] if line.strip()]


def test_sorted_by_keys(gate, busy, top):
    many, wide, six = busy
    seen = top.wait(many.name, wide.name, six.name, "q quit", "by connections")
    assert rows(seen)[:2] == [many.name, wide.name]
    assert all(len(line) <= 80 for line in seen.splitlines()) and len(seen.splitlines()) == 24
    assert "mode enforce" in seen.splitlines()[0]
    top.press("d")
    assert rows(top.wait("by destinations"))[0] == wide.name
    top.press("b")
    assert rows(top.wait("by blocked"))[0] == many.name
    top.press("c")
    top.wait("by connections")


def test_it_goes_on_by_itself(gate, busy, top):
    top.wait("by connections")
    late = gate.fresh()
    gate.syns(late, 15)
    seen = top.wait(late.name)
    assert rows(seen)[0] == late.name


def test_show(gate, busy, top):
    top.wait(busy[0].name)
    chosen = rows(top.screen())[1]
    top.press("Down", "s")
    seen = top.wait(f"subscriber  {chosen}", "group       residential, policy block", "q: back")
    assert "evidence" in seen
    top.press("Space")
    top.press("q")
    top.wait("by connections", "q quit")


def test_quarantine_and_release_ask_first(gate, busy, top):
    top.wait(busy[0].name)
    victim = gate.fresh()
    name = victim.name
    gate.syns(victim, 19)
    wait_for("it is the busiest", lambda: rows(top.screen())[:1] == [name])
    top.press("k", "k", "k", "k", "k", "k")
    top.press("x")
    top.wait(f"quarantine {name}?", "y: yes")
    top.press("n")
    top.wait("nothing was changed")
    assert name not in gate.daemon.quarantined()
    top.press("x")
    top.wait(f"quarantine {name}?")
    top.press("y")
    top.wait(f"quarantined: {name}", "zombie")
    assert name in gate.daemon.quarantined()
    top.press("r")
    top.wait(f"release {name}?")
    top.press("Enter")
    top.wait("nothing was changed")
    assert name in gate.daemon.quarantined()
    top.press("r")
    top.wait(f"release {name}?")
    top.press("y")
    top.wait(f"released: {name}")
    assert name not in gate.daemon.quarantined()
    assert name not in rows(top.screen()), "its counters start anew"
    top.press("r", "y")
    top.wait("refused", "not in quarantine")
    lines = gate.daemon.ok("audit")
    assert "enforcerctl top" in str(lines)


def test_another_size(gate, busy, top):
    top.wait("q quit")
    top.tmux("resize-window", "-x", "50", "-y", "8")
    seen = wait_for("a smaller picture", lambda: (s := top.screen()) and len(s.splitlines()) == 8 and "sort:" in s.splitlines()[-1] and s)
    assert all(len(line) <= 50 for line in seen.splitlines())
    top.press("Down", "Down")
    top.tmux("resize-window", "-x", "120", "-y", "40")
    wait_for("a larger picture", lambda: len(top.screen().splitlines()) == 40 and "q quit" in top.screen())


@pytest.mark.parametrize("key", ["q", "C-c"])
def test_the_end_leaves_the_terminal_as_it_was(gate, top, key):
    top.wait("q quit")
    top.press(key)
    seen = top.wait("ended with 0")
    assert "SUBSCRIBER" not in seen, "the picture is gone"
    top.press("-l", "echoed")  # the terminal echoes again
    top.wait("echoed")


def test_a_daemon_that_goes_away(make_gate):
    gate = make_gate()
    gate.start()
    terminal = Terminal(gate, f"{BUILD}/enforcerctl --socket {gate.daemon.socket} top")
    try:
        terminal.wait("q quit")
        gate.daemon.stop()
        terminal.wait("ended with 3")
    finally:
        terminal.close()


def test_a_viewer_may_look_and_not_touch(gate, busy):
    terminal = Terminal(gate, f"setpriv --reuid nobody --regid nogroup --clear-groups {BUILD}/enforcerctl --socket {gate.daemon.socket} top")
    try:
        terminal.wait(busy[0].name)
        terminal.press("x", "y")
        terminal.wait("refused")
    finally:
        terminal.close()


def test_without_a_terminal_it_prints_once(gate, busy):
    done = gate.daemon.ctl("top")
    assert done.returncode == 0 and "\033" not in done.stdout
    assert done.stdout.splitlines()[0].split()[:3] == ["SUBSCRIBER", "GROUP", "CONNECTIONS"]
    assert busy[0].name in done.stdout
