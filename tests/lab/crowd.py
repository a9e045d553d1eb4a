# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of the control socket that connect, send garbage, never read and go: crowd.py SOCKET SECONDS [PAUSE]."""
import os
import random
import socket
import subprocess
import sys
import time

LINES = (b'{"jsonrpc":"2.0","id":1,"method":"quarantine.list"}\n' * 50, b'{"jsonrpc":"2.0","id":1,"method":"stat',
         b'{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"since":"10s"}}\n', b"")


def main(path, seconds, pause=0.0):
    end = time.monotonic() + seconds
    kept = []
    while time.monotonic() < end:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(0.2)
        try:
            client.connect(path)
            client.sendall(random.choice((*LINES, os.urandom(random.randrange(1, 9000)))))
            if random.randrange(2):
                kept.append(client)
            del kept[:-20]
        except OSError:
            time.sleep(0.01)
        time.sleep(pause)


def crowd_of_one(path, seconds, pause=0.0):
    """One such process, as a user who may look but not change."""
    with open(__file__, encoding="ascii") as text:  # who runs it may not read this folder
        return subprocess.Popen(["setpriv", "--reuid", "nobody", "--clear-groups", "nice", "/usr/bin/python3", "-c", text.read(),
                                 str(path), str(seconds), str(pause)])


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
