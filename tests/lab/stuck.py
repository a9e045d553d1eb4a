# SPDX-License-Identifier: GPL-2.0-or-later
"""Stops one thread of a process, as a lock or a bug would, while its other threads go on (ptrace)."""
import contextlib
import ctypes
import os
import pathlib

from net import wait_for
from node import LabError

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000  # __WALL: threads are waited for as well

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_ulong, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, tid):
    if _libc.ptrace(request, tid, None, None) != 0:
        err = ctypes.get_errno()
        raise LabError(f"ptrace of thread {tid}: {os.strerror(err)}")


def threads(pid, name):
    """Ids of the threads of that name."""
    return [int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            if (task / "comm").read_text().strip() == name]


@contextlib.contextmanager
def stuck(pid, name):
    """Meanwhile the thread of that name does not run. All of it has to be in one thread of this program."""
    found = threads(pid, name)
    if len(found) != 1:
        raise LabError(f"{len(found)} threads of process {pid} are called {name}")
    _ptrace(PTRACE_SEIZE, found[0])
    try:
        _ptrace(PTRACE_INTERRUPT, found[0])
        wait_for("the thread to stop", lambda: os.waitpid(found[0], WALL | os.WNOHANG)[0] == found[0])
        yield
    finally:
        _ptrace(PTRACE_DETACH, found[0])
