# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults on demand in a process of the tests: allocations, netlink calls, the wall clock. tests/faults/*.c, preloaded,
read the page that this module writes."""
import json
import mmap
import os
import struct
import subprocess

from daemon import Control, Rejected
from lab import BUILD

FIELDS = ("alloc_mode", "alloc_target", "alloc_last", "alloc_thread", "alloc_count", "alloc_failed", "net_every",
          "net_what", "net_errno", "net_count", "net_failed", "net_shaken", "clock_ns", "clock_reads", "places_len")
WHERE, STACKS, PLACE = 2048, 16384, struct.Struct("<QQQ32s")
OFF, RECORD, PLACE_FAILS, NUMBER_FAILS = range(4)
SENDING, RECEIVING = 1, 2
PLACES_AT = 8 * len(FIELDS) + WHERE


class Faults:
    """The page of one process, a file at path. Its fields are attributes."""

    def __init__(self, path):
        object.__setattr__(self, "path", path)
        path.write_bytes(b"")
        os.truncate(path, PLACES_AT + STACKS * PLACE.size)
        with open(path, "r+b") as f:
            object.__setattr__(self, "_map", mmap.mmap(f.fileno(), 0))

    def __getattr__(self, name):
        return struct.unpack_from("<q", self._map, 8 * FIELDS.index(name))[0]

    def __setattr__(self, name, value):
        struct.pack_into("<Q", self._map, 8 * FIELDS.index(name), value & 0xFFFFFFFFFFFFFFFF)

    def command(self, *argv):
        """argv with the library in front of it, at addresses that are the same each time."""
        return ["setarch", "-R", "env", f"LD_PRELOAD={BUILD}/faults/faults.so", f"FAULTS_PAGE={self.path}",
                *map(str, argv)]

    # --- allocations ----------------------------------------------------------------------------------------
    def alloc(self, mode, target=0, last=0, thread=0):
        self.alloc_mode = OFF
        self.alloc_target, self.alloc_last, self.alloc_thread = target, last or target, thread
        self.alloc_count = self.alloc_failed = 0
        self._map[8 * len(FIELDS):PLACES_AT] = bytes(WHERE)
        self.alloc_mode = mode

    def record(self, thread=0):
        self._map[PLACES_AT:] = bytes(STACKS * PLACE.size)
        self.places_len = 0
        self.alloc(RECORD, thread=thread)

    def places(self):
        """What record() saw, of what may fail: (hash, owner, count)."""
        self.alloc_mode = OFF
        found = []
        for i in range(STACKS):
            value, count, spared, owner = PLACE.unpack_from(self._map, PLACES_AT + i * PLACE.size)
            if value and not spared:
                found.append((value, owner.split(b"\0")[0].decode(), count))
        return found

    def where(self):
        """The stack that failed last, with names and lines where the program has them."""
        text = self._map[8 * len(FIELDS):PLACES_AT].split(b"\0")[0].decode(errors="replace")
        lines = []
        for line in text.splitlines():
            place, name = (line.split(" ", 1) + [""])[:2]
            file, offset = place.rsplit("+", 1)
            if (BUILD / file).is_file() and "." not in file:
                said = subprocess.run(["addr2line", "-f", "-s", "-e", str(BUILD / file), hex(int(offset, 16) - 1)],
                                      capture_output=True, text=True, check=False).stdout.split()
                name = " ".join(said[:2])
            lines.append(f"  {file} {name}")
        return "\n".join(lines[2:14])

    # --- netlink --------------------------------------------------------------------------------------------
    def netlink(self, every, what=SENDING | RECEIVING, number=0):
        """Every n-th call fails with this errno; 0: gives half a message."""
        self.net_every = 0
        self.net_what, self.net_errno, self.net_count, self.net_failed = what, number, 0, 0
        self.net_every = every


def preload(gate):
    """The gate's daemon can be given faults by gate.faults from its next start on."""
    gate.faults = Faults(gate.daemon.dir / "faults")
    start = gate.daemon.node.start

    def preloaded(*argv, **more):
        if str(argv[0]).endswith("/enforcerd"):
            argv = gate.faults.command(*argv)
        return start(*argv, **more)
    gate.daemon.node.start = preloaded
    return gate


def ask(gate, method, params):
    """Answer or None, error or None: both None where the daemon hung up. It answers or hangs up, and lives."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    try:
        with Control(gate.daemon.socket, 20) as control:
            control.raw(json.dumps(request).encode() + b"\n")
            line = control.line()
    except TimeoutError as late:
        raise AssertionError(f"{method}: no answer\n{gate.faults.where()}") from late
    except ConnectionError:
        line = None
    assert gate.daemon.alive(), gate.daemon.log()[-3000:] + gate.faults.where()
    if line and "error" in line:
        assert line["error"]["message"].strip(" :"), "an error has words"
        return None, Rejected(line["error"])
    return (line["result"] if line else None), None
