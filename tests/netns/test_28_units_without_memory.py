# SPDX-License-Identifier: GPL-2.0-or-later
"""28. The unit tests where one allocation fails: a program passes, or an assertion of it fails; nothing of ours crashes or hangs.
LONG=1: a hundred allocations of each program, else one (EACH: others); other ones each time, the seed is told."""
import os
import random
import re
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from faults import NUMBER_FAILS, Faults
from lab import BUILD, ROOT
from net import EMULATED

LONG = os.environ.get("LONG") == "1"
SEED = int(os.environ.get("FAULTS_SEED", random.randrange(10 ** 6)))
EACH = int(os.environ.get("EACH", 100 if LONG else 1))
SLOW = 60 if LONG else 20 if EMULATED else 2  # seconds: programs that take longer without a fault are left out
AT_ONCE = 4               # many of them wait for something most of their time
PROGRAMS = sorted(str(p.relative_to(BUILD / "unit")) for p in (BUILD / "unit").glob("*/*") if p.is_file() and os.access(p, os.X_OK))
# Their children are given no memory too, or a filter that allows no more than they need.
LEFT_OUT = {"control/enforcerctl", "daemon/seccomp", "daemon/landlock"}
pytestmark = pytest.mark.skipif(not (BUILD / "faults/faults.so").exists() or "san" in BUILD.name or not PROGRAMS,
                                reason=f"{BUILD}/faults/faults.so or unit tests are not built (make unit-build)")


def run(faults, program, limit=300):
    env = {**os.environ, "ENFORCER_SEQUENCES": "50"}
    return subprocess.run(faults.command(BUILD / "unit" / program), capture_output=True, text=True, errors="replace",
                          timeout=limit, check=False, cwd=ROOT, env=env)


def crashed_in(program, text):
    """Source files and functions of the program on the stack of a crash, the innermost first."""
    found = []
    for offset in re.findall(re.escape(program) + r"\((?:\w*)\+(0x[0-9a-f]+)\)", text):
        said = subprocess.run(["addr2line", "-f", "-e", str(BUILD / "unit" / program), hex(int(offset, 16) - 1)],
                              capture_output=True, text=True, check=False).stdout.split()
        found.append((said + ["?", "?"])[1].removeprefix(f"{ROOT}/") + " " + said[0])
    return found


def try_one(program, folder):
    """What became of its runs, by name."""
    faults, chance = Faults(folder / program.replace("/", "-")), random.Random(f"{SEED}{program}")
    became = Counter()
    faults.alloc(NUMBER_FAILS, 1 << 60)
    try:
        if run(faults, program, SLOW).returncode != 0:
            return Counter(left=1)
    except subprocess.TimeoutExpired:
        return Counter(left=1)
    for number in sorted(chance.randint(1, max(1, faults.alloc_count)) for _ in range(EACH)):
        faults.alloc(NUMBER_FAILS, number)
        done = run(faults, program)
        if done.returncode >= 0:
            became["failed" if done.returncode else "passed"] += 1
            continue
        stack = crashed_in(program, done.stderr)
        said = f"{program}, allocation {number}, signal {-done.returncode}: {stack}\n{faults.where()}\n{done.stderr[-800:]}"
        # A test that does not look at what it got is no fault of the program.
        assert stack and "tests/unit/" in stack[0], said
        became["own"] += 1
    return became


@pytest.mark.parametrize("room", sorted({p.split("/")[0] for p in PROGRAMS}))
def test_an_allocation_fails(room, tmp_path):
    programs = [p for p in PROGRAMS if p.startswith(room + "/") and p not in LEFT_OUT]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        became = sum(pool.map(lambda p: try_one(p, tmp_path), programs), Counter())
    print(f"{room}, seed {SEED}: {became['passed']} passed, {became['failed']} failed an assertion, {became['own']} crashed in "
          f"the test's own code, {became['left']} left out")
    assert sum(became.values()) >= len(programs)
