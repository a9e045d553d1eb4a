# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of Debian that are unpacked into the build folder, because their packages would take the machine over."""
import os
import pathlib
import subprocess

from lab import BUILD
from node import LabError

HERE = pathlib.Path(__file__).resolve().parent


def fetch(name):
    """The folder of what fetch-NAME unpacks; downloaded at the first call of all."""
    done = subprocess.run([HERE / f"fetch-{name}"], capture_output=True, text=True, check=False,
                          env=dict(os.environ, ENFORCER_BUILD=str(BUILD)))
    if done.returncode != 0:
        raise LabError(done.stderr.strip())
    return pathlib.Path(done.stdout.strip().splitlines()[-1])
