# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends frames at a steady rate: pacer.py INTERFACE RATE FILE [anew]. FILE: a 16-bit length, then the frame, again and
again. anew: TCP frames whose sequence numbers and urgent pointers are below 65,536 and 0; each round has other sequence
numbers, so that none is sent twice. Prints the number sent so far five times a second and at the end, which is SIGTERM."""
import errno
import signal
import socket
import struct
import sys
import time

TCP_AT = {0x08: 34, 0x86: 54}  # by the first byte of the Ethernet type


def changed(frame, turn):
    """The upper half of the sequence number is the turn; the urgent pointer, without meaning here, balances the checksum."""
    at = TCP_AT[frame[12]]
    struct.pack_into("!H", frame, at + 4, turn)
    struct.pack_into("!H", frame, at + 18, 0xFFFF - turn)
    return frame


def main():
    iface, rate, path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    frames, anew = [], len(sys.argv) > 4
    with open(path, "rb") as f:
        while head := f.read(2):
            frames.append(bytearray(f.read(int.from_bytes(head, "big"))))
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
            turn, number = divmod(sent, len(frames))
            try:
                sock.send(changed(frames[number], turn % 0xFFFE + 1) if anew else frames[number])
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
