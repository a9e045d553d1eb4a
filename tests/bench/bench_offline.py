# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of their own that print what they measure: the detector, and reading of flow records and captures."""
import os
import subprocess

import measure
from bed import PROGRAMS, ROOT, BenchError


def run(o):
    for name, argv in (("detector", [PROGRAMS / "detector", "200000" if o.quick else "4000000"]),
                       ("flows", [PROGRAMS / "flows"]), ("replay", [ROOT / "tests/bench/replay", "--packets", "50000" if o.quick else "500000", "--rounds", "1" if o.quick else "5"])):
        if not os.access(argv[0], os.X_OK):
            continue
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 77):
            raise BenchError(f"{name}: {(done.stderr or done.stdout).strip()[-500:]}")
        o.texts.append(f"{name}:\n{done.stdout.rstrip()}")
        measure.say(o.texts[-1])
    return []
