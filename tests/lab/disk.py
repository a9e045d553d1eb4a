# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk of its own that is quickly full."""
import contextlib
import subprocess


@contextlib.contextmanager
def small_disk(folder, size):
    """folder: made here, anybody may go through it. size: as of mount(8), "256k"."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "enforcer-test", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
