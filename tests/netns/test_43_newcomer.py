# SPDX-License-Identifier: GPL-2.0-or-later
"""The newcomer's path (tests/newcomer). Short: what docs/getting-started.md prints can be done. LONG: it is done."""
import re
import subprocess
import sys

import pytest
from lab import BUILD, ROOT

sys.path.insert(0, str(ROOT / "tests/newcomer"))
from steps import steps  # noqa: E402


def test_the_path_is_whole_and_in_order():
    names = [s.name for s in steps()]
    wanted = ["build", "demo", "install", "/etc/enforcer/enforcer.yaml", "check", "watch", "enforce", "zombie", "release", "upgrade",
              "remove", "purge"]
    assert [n for n in names if n in wanted] == wanted


def test_its_configuration_is_good(tmp_path):
    for step in steps():
        if step.kind == "file":
            path = tmp_path / "enforcer.yaml"
            path.write_text(step.text)
            done = subprocess.run([BUILD / "enforcerd", "--check", "-c", path], capture_output=True, text=True, check=False)
            assert done.returncode == 0 and done.stderr == "", done.stderr


def test_its_commands_exist():
    help_text = subprocess.run([BUILD / "enforcerctl", "--help"], capture_output=True, text=True, check=True).stdout
    commands = set(re.findall(r"^  ([a-z]+) ", help_text, re.M))
    used = {c.split()[1] for s in steps() if s.kind == "step" for c in s.commands() if c.startswith("enforcerctl ")}
    assert len(used) >= 7 and used <= commands, used - commands
    makefile = (ROOT / "Makefile").read_text() + "".join(p.read_text() for p in (ROOT / "make").glob("*.mk"))
    for target in (c.split()[1] for s in steps() for c in s.commands() if s.kind == "step" and re.match(r"make \w", c)):
        assert re.search(rf"^(\.PHONY:.*)?\b{target}\b", makefile, re.M), target


@pytest.mark.long
def test_the_path_leads_to_the_end():
    done = subprocess.run([ROOT / "tests/newcomer/run", "--demo"], capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0 and "all of it came true" in done.stdout, done.stdout[-4000:] + done.stderr[-4000:]
