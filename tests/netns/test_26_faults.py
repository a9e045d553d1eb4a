# SPDX-License-Identifier: GPL-2.0-or-later
"""26. Faults by injection: no memory, at each place that asks for it. What cannot be done is refused with a word."""
import os
import random
import subprocess
from collections import Counter

import pytest

from faults import NUMBER_FAILS, PLACE_FAILS, Faults
from lab import BUILD

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
        if owners[place[1]] <= (count if place[1] == "enforcerd" else count // 3):
            picked.append(place)
    return picked


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
    for value, owner, _ in some(places, 25):
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
