# SPDX-License-Identifier: GPL-2.0-or-later
"""28. The unit tests where one allocation fails: a program passes, or an assertion of it fails; nothing of ours crashes or hangs.
LONG=1: a hundred allocations of each program, else one (EACH: others); other ones each time, the seed is told."""
import os
import random
import re
import subprocess
import time

import pytest

from faults import NUMBER_FAILS, Faults
from lab import BUILD, ROOT

LONG = os.environ.get("LONG") == "1"
SEED = int(os.environ.get("FAULTS_SEED", random.randrange(10 ** 6)))
EACH = int(os.environ.get("EACH", 100 if LONG else 1))
SLOW = 60 if LONG else 1  # seconds: programs that take longer without a fault are left out
PROGRAMS = sorted(str(p.relative_to(BUILD / "unit")) for p in (BUILD / "unit").glob("*/*") if p.is_file() and os.access(p, os.X_OK))
# Their children are given no memory too, or a filter that allows no more than they need.
LEFT_OUT = {"control/enforcerctl", "daemon/seccomp", "daemon/landlock"}
pytestmark = pytest.mark.skipif(not (BUILD / "faults/faults.so").exists() or "san" in BUILD.name or not PROGRAMS,
                                reason=f"{BUILD}/faults/faults.so or unit tests are not built (make unit-build)")


def run(faults, program):
    env = {**os.environ, "ENFORCER_SEQUENCES": "50"}
    return subprocess.run(faults.command(BUILD / "unit" / program), capture_output=True, text=True, errors="replace",
                          timeout=300, check=False, cwd=ROOT, env=env)


def crashed_in(program, text):
    """Source files and functions of the program on the stack of a crash, the innermost first."""
    found = []
    for offset in re.findall(re.escape(program) + r"\((?:\w*)\+(0x[0-9a-f]+)\)", text):
        said = subprocess.run(["addr2line", "-f", "-e", str(BUILD / "unit" / program), hex(int(offset, 16) - 1)],
                              capture_output=True, text=True, check=False).stdout.split()
        found.append((said + ["?", "?"])[1].removeprefix(f"{ROOT}/") + " " + said[0])
    return found


@pytest.mark.parametrize("room", sorted({p.split("/")[0] for p in PROGRAMS}))
def test_an_allocation_fails(room, tmp_path):
    faults, chance = Faults(tmp_path / "faults"), random.Random(SEED)
    passed = failed = own = left = 0
    for program in (p for p in PROGRAMS if p.startswith(room + "/") and p not in LEFT_OUT):
        faults.alloc(NUMBER_FAILS, 1 << 60)
        began = time.monotonic()
        whole = run(faults, program)
        if whole.returncode != 0 or time.monotonic() - began > SLOW:
            left += 1
            continue
        for number in sorted(chance.randint(1, max(1, faults.alloc_count)) for _ in range(EACH)):
            faults.alloc(NUMBER_FAILS, number)
            done = run(faults, program)
            passed += done.returncode == 0
            failed += done.returncode > 0
            if done.returncode >= 0:
                continue
            stack = crashed_in(program, done.stderr)
            said = f"{program}, allocation {number}, signal {-done.returncode}: {stack}\n{faults.where()}\n{done.stderr[-800:]}"
            # A test that does not look at what it got is no fault of the program.
            assert stack and "tests/unit/" in stack[0], said
            own += 1
    print(f"{room}, seed {SEED}: {passed} passed, {failed} failed an assertion, {own} crashed in the test's own code, {left} left out")
    assert passed + failed + own > 0 or left > 0
