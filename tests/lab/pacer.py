# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends frames at a steady rate: pacer.py INTERFACE RATE FILE. FILE: a 16-bit length, then the frame, again and
again. Prints the number sent so far five times a second and at the end, which is SIGTERM."""
import errno
import signal
import socket
import sys
import time


def main():
    iface, rate, path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    frames = []
    with open(path, "rb") as f:
        while head := f.read(2):
            frames.append(f.read(int.from_bytes(head, "big")))
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((iface, 0))
    running = [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    sent, begin, report = 0, time.monotonic(), 0.0
    while running:
        now = time.monotonic()
        # At most a burst of 50: what a stopped machine missed is not sent all at once.
        due = int((now - begin) * rate) - sent
        if due > 50:
            begin += (due - 50) / rate
            due = 50
        for _ in range(due):
            try:
                sock.send(frames[sent % len(frames)])
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                break
            sent += 1
        if now >= report:
            print(sent, flush=True)
            report = now + 0.2
        time.sleep(0.001)
    print(sent, flush=True)


main()
