# SPDX-License-Identifier: GPL-2.0-or-later
"""Traffic of the lab: TCP attempts, raw frames, sniffers, servers, and waiting by polling."""
import contextlib
import errno
import os
import select
import socket
import struct
import subprocess
import threading
import time

from lab import BUILD, ROOT
from node import LabError

ETH = {4: 0x0800, 6: 0x86DD}
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
EMULATED = os.environ.get("ENFORCER_EMULATED") == "1"  # in a guest without KVM (tests/vm): some ten times slower
# Seconds that anything may take which should be quick: machines are slow, tests must not be flaky.
LIMIT = 60.0 if EMULATED else 20.0
INET = {4: socket.AF_INET, 6: socket.AF_INET6}


def wait_for(what, condition, limit=LIMIT, step=0.01):
    """Polls until condition() is true and answers its value; else LabError that says what was waited for."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise LabError(f"not within {limit:g} s: {what}")
        time.sleep(step)
        step = min(step * 1.5, 0.2)


def family_of(address):
    return 6 if ":" in address else 4


# --- TCP -----------------------------------------------------------------------------------------------------
def tcp_socket(node, source, sport=0, timeout=2.0):
    sock = node.socket(INET[family_of(source)], socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.settimeout(timeout)
    sock.bind((source, sport))
    return sock


def connect(node, source, destination, port=25, sport=0, timeout=2.0):
    """One real TCP attempt: the open socket, or raises OSError."""
    sock = tcp_socket(node, source, sport, timeout)
    try:
        sock.connect((destination, port))
    except BaseException:
        sock.close()
        raise
    return sock


def attempt(node, source, destination, port=25, sport=0, timeout=2.0):
    """What became of a TCP attempt: open, refused, timeout or unreachable."""
    try:
        connect(node, source, destination, port, sport, timeout).close()
        return "open"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "timeout"
    except OSError as e:
        if e.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES):
            return "unreachable"
        raise


class Server:
    """Listens in a namespace and talks: a greeting, then each line is answered with 250 and the line."""

    all = []  # those that are open

    def __init__(self, node, port, address=None, family=4, greeting=b"220 lab ESMTP\r\n"):
        self.sock = node.socket(INET[family], socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == 6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.sock.bind((address or ("::" if family == 6 else "0.0.0.0"), port))
        self.sock.listen(512)
        self.greeting = greeting
        self.accepted = []  # (address, port) of the clients
        self.lines = []
        threading.Thread(target=self._accept, daemon=True).start()
        Server.all.append(self)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                conn, peer = self.sock.accept()
                self.accepted.append(peer[:2])
                threading.Thread(target=self._talk, args=(conn,), daemon=True).start()

    def _talk(self, conn):
        with contextlib.suppress(OSError), conn:
            conn.sendall(self.greeting)
            for line in conn.makefile("rb"):
                self.lines.append(line)
                conn.sendall(b"250 " + line)

    def close(self):
        if self in Server.all:
            Server.all.remove(self)
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


# --- frames --------------------------------------------------------------------------------------------------
class Sender:
    """Puts IP packets (bytes) on a machine's wire, towards its router, whatever their source says."""

    def __init__(self, node, iface=None):
        iface = iface or node.iface
        mine, peer = node.lab.macs[node.name, iface]
        self._link = bytes.fromhex((peer + mine).replace(":", ""))
        self.sock = node.packet_socket(iface)

    def frame(self, packet):
        packet = bytes(packet)
        return self._link + struct.pack("!H", ETH[packet[0] >> 4]) + packet

    def send(self, *packets):
        for packet in packets:
            frame = self.frame(packet)
            while True:
                try:
                    self.sock.send(frame)
                    break
                except OSError as e:
                    if e.errno != errno.ENOBUFS:
                        raise
                    time.sleep(0.001)

    def close(self):
        self.sock.close()


def normal(packet):
    """A packet without what every router changes: time to live and the header checksum."""
    p = bytearray(packet)
    if p[0] >> 4 == 4:
        p[8], p[10:12] = 0, b"\0\0"
    else:
        p[7] = 0
    return bytes(p)


def ports(packet):
    """(protocol, sport, dport) of an IP packet without extension headers or fragments; else None."""
    version = packet[0] >> 4
    if version == 4 and not struct.unpack_from("!H", packet, 6)[0] & 0x1FFF:
        protocol, at = packet[9], (packet[0] & 15) * 4
    elif version == 6:
        protocol, at = packet[6], 40
    else:
        return None
    if protocol not in (6, 17) or len(packet) < at + 4:
        return None
    return (protocol, *struct.unpack_from("!HH", packet, at))


def addresses(packet):
    """(source, destination) as text."""
    if packet[0] >> 4 == 4:
        return socket.inet_ntop(socket.AF_INET, packet[12:16]), socket.inet_ntop(socket.AF_INET, packet[16:20])
    return socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40])


def tcp_flags(packet):
    at = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40
    return packet[at + 13] if len(packet) > at + 13 else 0


class Sniffer:
    """Collects the IP packets that arrive at an interface (outgoing=True: also those that leave)."""

    def __init__(self, node, iface=None, match=None, outgoing=False, store=True):
        self.sock = node.packet_socket(iface)
        self._match, self._outgoing, self._store = match, outgoing, store
        self.packets, self.count = [], 0
        self._lost = 0
        self._end, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self):
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(self._end, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self._end.fileno() in ready:
                return
            try:
                frame, where = self.sock.recvfrom(65600)
            except OSError:  # the interface is gone: the lab ends
                return
            if where[1] not in ETH.values() or (where[2] == PACKET_OUTGOING and not self._outgoing):
                continue
            packet = _trim(frame[14:])
            if self._match is None or self._match(packet):
                self.count += 1
                if self._store:
                    self.packets.append(packet)

    def lost(self):
        """Packets that the kernel could not hand over; anything but 0 makes a count worthless."""
        self._lost += struct.unpack("II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        return self._lost

    def has(self, packet):
        want = normal(bytes(packet))
        return any(normal(p) == want for p in list(self.packets))

    def find(self, condition):
        return [p for p in list(self.packets) if condition(p)]

    def clear(self):
        self.packets.clear()
        self.count = 0

    def close(self):
        self._stop.close()
        self._thread.join(5)
        self.sock.close()
        self._end.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _trim(packet):
    """Without the padding that short frames may carry."""
    if packet[0] >> 4 == 4:
        return packet[:struct.unpack_from("!H", packet, 2)[0]]
    length = struct.unpack_from("!H", packet, 4)[0]
    return packet[:40 + length] if length else packet


class Wire:
    """From one machine's wire to another's: send packets, see which arrive. A marker goes behind them; when the
    marker is there, all that was to come has come."""

    def __init__(self, sender_node, receiver_node, marker_source, marker_destination, receiver_iface=None):
        self.sender, self.sniffer = Sender(sender_node), Sniffer(receiver_node, receiver_iface)
        self._marker = (marker_source, marker_destination)
        self._serial = 0

    def marker(self):
        from craft import udp  # scapy is slow to import: only those who need it wait
        self._serial += 1
        return udp(*self._marker, 40000, 9999, b"marker %d" % self._serial)

    def pass_through(self, *packets):
        """Which of the packets arrived: a list of booleans."""
        self.sniffer.clear()
        self.sender.send(*packets)
        self.mark(self.marker())
        return [self.sniffer.has(p) for p in packets]

    def arrives(self, packet):
        """Waits until the packet is there: for those that a queue holds up, so that the marker overtakes them."""
        self.sniffer.clear()
        self.sender.send(packet)
        wait_for("a packet through the queue", lambda: self.sniffer.has(packet))
        return True

    def mark(self, marker):
        """Sends a marker and waits until it is there."""
        self.sender.send(marker)
        wait_for("the marker behind the packets", lambda: self.sniffer.has(marker))

    def close(self):
        self.sender.close()
        self.sniffer.close()


class Pacer:
    """A process that sends frames at a steady rate, in turn, until it is stopped. sent() counts. anew: as pacer.c says."""

    def __init__(self, node, packets, rate=1000, iface=None, anew=False):
        lab = node.lab
        sender = Sender(node, iface)
        number = len(list(lab.dir.glob("pacer*.frames")))
        frames, self._out = lab.dir / f"pacer{number}.frames", lab.dir / f"pacer{number}.sent"
        with open(frames, "wb") as f:
            for packet in packets:
                frame = sender.frame(packet)
                f.write(struct.pack("!H", len(frame)) + frame)
        sender.close()
        with open(self._out, "wb") as out:
            self.proc = node.start(self._program(), iface or node.iface, rate, frames, *(["anew"] if anew else []),
                                   stdout=out, stderr=subprocess.STDOUT)
        wait_for("the paced sender's first packets", self.sent)

    @staticmethod
    def _program():
        """Built with the unit tests; else now."""
        program = BUILD / "lab/pacer"
        if not program.exists():
            subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={os.path.relpath(BUILD, ROOT)}", os.path.relpath(program, ROOT)],
                           check=True)
        return program

    def sent(self):
        text = self._out.read_text("ascii", "replace")
        if "Traceback" in text:
            raise LabError("pacer: " + text)
        return int(text.split()[-1]) if text.endswith("\n") and text else 0

    def stop(self):
        """Ends the sender; answers how many it sent."""
        self.proc.terminate()
        self.proc.wait(10)
        return self.sent()


