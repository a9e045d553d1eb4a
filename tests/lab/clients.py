# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of mail that are not servers: swaks, msmtp, curl, smtplib; raw dialogues, a slow one, and very many at once.

Those of the table CLIENTS are called with (node, source, server, letter, port, tls, certificate); tls is None, "starttls"
or "tls". They raise when the server did not take the letter."""
import asyncio
import os
import socket
import ssl
import struct
import subprocess
import time

from exim import exim_send
from fetch import fetch
from mail import DOMAIN, Client, swaks_program
from net import connect, tcp_socket
from node import LabError


class Certificate:
    """Made by openssl for the addresses of the lab's servers; it is its own authority."""

    def __init__(self, lab, addresses):
        self.cert, self.key = lab.dir / "tls.crt", lab.dir / "tls.key"
        names = ",".join(["DNS:mx." + DOMAIN, *(f"IP:{a}" for a in addresses)])
        done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                               "-days", "2", "-subj", f"/CN=mx.{DOMAIN}", "-addext", f"subjectAltName={names}",
                               "-keyout", self.key, "-out", self.cert], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError("openssl: " + done.stderr)
        os.chmod(self.key, 0o644)  # Exim reads it as its own user; it is worth nothing outside the lab

    def context(self):
        return ssl.create_default_context(cafile=str(self.cert))


def _feed(node, argv, data, env=None, timeout=60):
    done = subprocess.run(node.command(argv), input=data, capture_output=True, timeout=timeout, check=False,
                          env=dict(os.environ, **(env or {})))
    if done.returncode != 0:
        raise LabError(f"{argv[0]}: {done.returncode}: {(done.stdout + done.stderr).decode(errors='replace')[-2000:]}")
    return done.stdout.decode(errors="replace")


def swaks(node, source, server, letter, port=25, tls=None, certificate=None, more=()):
    file = node.lab.dir / "swaks.data"
    file.write_bytes(letter.text()[:-1])  # it ends the last line itself
    option = {None: [], "starttls": ["--tls"], "tls": ["--tls-on-connect"]}[tls]
    return _feed(node, [*swaks_program(), "--server", server, "--port", port, "--local-interface", source,
                        *(["-6"] if ":" in server else []), "--from", letter.sender, "--to", letter.to,
                        "--helo", f"client.{DOMAIN}", "--data", f"@{file}", "--timeout", 30, *option, *more], b"")


def swaks_pipelined(*args, **keys):
    return swaks(*args, **keys, more=("--pipeline",))


def msmtp(node, source, server, letter, port=25, tls=None, certificate=None):
    root = fetch("mail")
    libraries = ":".join(str(root / p) for p in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    argv = [root / "usr/bin/msmtp", "--file=/dev/null", f"--host={server}", f"--port={port}", f"--source-ip={source}",
            f"--from={letter.sender}", f"--domain=client.{DOMAIN}", "--auth=off", "--timeout=30",
            f"--tls={'on' if tls else 'off'}"]
    if tls:
        argv += [f"--tls-starttls={'on' if tls == 'starttls' else 'off'}", f"--tls-trust-file={certificate.cert}",
                 f"--tls-host-override=mx.{DOMAIN}"]
    return _feed(node, [*argv, "--", letter.to], letter.text(), env={"LD_LIBRARY_PATH": libraries})


def curl(node, source, server, letter, port=25, tls=None, certificate=None):
    host = f"[{server}]" if ":" in server else server
    argv = ["curl", "-sS", "--max-time", 60, "--interface", source, "--noproxy", "*",
            f"{'smtps' if tls == 'tls' else 'smtp'}://{host}:{port}/client.{DOMAIN}",
            "--mail-from", letter.sender, "--mail-rcpt", letter.to, "--upload-file", "-"]
    if tls:
        argv += ["--ssl-reqd", "--cacert", certificate.cert]
    return _feed(node, argv, letter.wire())


class Smtplib(Client):
    """The lab's client of smtplib, also with TLS from the first byte."""

    def __init__(self, node, source, server, port=25, tls=None, certificate=None, timeout=30, sport=0):
        self._tls, self._sport = certificate.context() if tls else None, sport
        self._immediate, self._server = tls == "tls", server
        super().__init__(node, source, server, port, timeout)
        self._host = server
        if tls == "starttls":
            self.starttls(context=self._tls)

    def _get_socket(self, host, port, timeout):
        sock = connect(self._node, self._source, host, port, self._sport, timeout)
        return self._tls.wrap_socket(sock, server_hostname=self._server) if self._immediate else sock

    def hand_in(self, letter):
        """A whole letter on this session, by DATA."""
        options = ["BODY=8BITMIME"] if letter.utf8 else []
        if not letter.sender.isascii() or not letter.to.isascii():
            options.append("SMTPUTF8")
        self.sendmail(letter.sender, [letter.to], letter.wire(), mail_options=options)

    def must(self, code, command):
        answer = self.docmd(command)
        if answer[0] != code:
            raise LabError(f"{command}: {answer}")

    def bdat(self, letter, size=3000, options=""):
        """The same by BDAT, in pieces (RFC 3030). options: of MAIL."""
        self.ehlo_or_helo_if_needed()
        if not self.has_extn("chunking"):
            raise LabError("the server offers no CHUNKING")
        self.must(250, f"MAIL FROM:<{letter.sender}>{options}")
        self.must(250, f"RCPT TO:<{letter.to}>")
        data = letter.wire()
        for at in range(0, len(data), size):
            piece = data[at:at + size]
            self.sock.sendall(b"BDAT %d%s\r\n" % (len(piece), b" LAST" if at + size >= len(data) else b"") + piece)
            code, text = self.getreply()
            if code != 250:
                raise LabError(f"BDAT: {code} {text}")


def python_data(node, source, server, letter, port=25, tls=None, certificate=None):
    with Smtplib(node, source, server, port, tls, certificate) as client:
        client.hand_in(letter)


def python_bdat(node, source, server, letter, port=25, tls=None, certificate=None):
    with Smtplib(node, source, server, port, tls, certificate) as client:
        client.bdat(letter)


def exim(node, source, server, letter, port=25, tls=None, certificate=None):
    return exim_send(node, source, server, [letter], port, tls).log()


CLIENTS = {"swaks": swaks, "swaks-pipelining": swaks_pipelined, "msmtp": msmtp, "curl": curl, "smtplib": python_data, "bdat": python_bdat, "exim": exim}


class Dialogue:
    """SMTP by hand: every byte in one's own power."""

    def __init__(self, node, source, server, port=25, sport=0, timeout=30, mss=0):
        self.sock = tcp_socket(node, source, sport, timeout)
        if mss:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect((server, port))
        self._buffer = b""
        self.pause = 0  # seconds before each byte; 0: all at once

    def expect(self, code):
        """The next answer, all its lines."""
        lines = []
        while True:
            while b"\n" not in self._buffer:
                data = self.sock.recv(65536)
                if not data:
                    raise LabError(f"the server closed the connection; expected {code}, had {lines}")
                self._buffer += data
            line, self._buffer = self._buffer.split(b"\n", 1)
            lines.append(line)
            if line[3:4] != b"-":
                break
        if not lines[-1].startswith(str(code).encode()):
            raise LabError(f"expected {code}, found {lines}")
        return lines

    def send(self, data):
        for at in range(0, len(data), 1 if self.pause else len(data)):
            time.sleep(self.pause)
            self.sock.sendall(data[at:at + 1] if self.pause else data)

    def say(self, line, code):
        self.send(line.encode() + b"\r\n")
        return self.expect(code)

    def hello(self):
        self.expect(220)
        self.say(f"EHLO client.{DOMAIN}", 250)
        return self

    def envelope(self, letter):
        self.say(f"MAIL FROM:<{letter.sender}>", 250)
        self.say(f"RCPT TO:<{letter.to}>", 250)
        self.say("DATA", 354)

    def hand_in(self, letter):
        self.envelope(letter)
        self.send(letter.stuffed())
        self.expect(250)

    def quit(self):
        """QUIT; the server closes first, so that the same ports can be used again at once."""
        self.say("QUIT", 221)
        self.ended()
        self.close()

    def unacknowledged(self):
        """Segments that the far end has not acknowledged (tcpi_unacked of TCP_INFO)."""
        return struct.unpack_from("=I", self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0]

    def ended(self):
        """Waits for the far end's FIN."""
        while data := self.sock.recv(65536):
            self._buffer += data
        return True

    def reset(self):
        """Ends with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def close(self):
        self.sock.close()


async def _answer(reader, code):
    while True:
        line = await reader.readline()
        if line[3:4] != b"-":
            break
    if not line.startswith(code):
        raise LabError(f"expected {code}, found {line}")


async def _one(sock, server, letter, barrier):
    await asyncio.get_running_loop().sock_connect(sock, (server, 25))
    reader, writer = await asyncio.open_connection(sock=sock)
    await _answer(reader, b"220")
    await barrier()
    for line, code in ((f"EHLO client.{DOMAIN}", b"250"), (f"MAIL FROM:<{letter.sender}>", b"250"),
                       (f"RCPT TO:<{letter.to}>", b"250"), ("DATA", b"354")):
        writer.write(line.encode() + b"\r\n")
        await _answer(reader, code)
    writer.write(letter.stuffed())
    await _answer(reader, b"250")
    await barrier()
    writer.write(b"QUIT\r\n")
    await _answer(reader, b"221")
    writer.close()


def crowd(node, source, server, letters, limit=120):
    """A session for each letter, all open at once: none says a word before all have the greeting, none leaves before all
    letters were taken. Answers the highest number that was open at once."""
    peak = 0

    async def run():
        reached = {}

        def barrier():
            """All come here before one goes on; the second call of each is a second barrier."""
            calls = 0

            async def wait():
                nonlocal calls, peak
                entry = reached.setdefault(calls, [0, asyncio.Event()])
                calls += 1
                entry[0] += 1
                peak = max(peak, entry[0])
                if entry[0] == len(letters):
                    entry[1].set()
                await entry[1].wait()
            return wait

        tasks = []
        for letter in letters:
            sock = tcp_socket(node, source)
            sock.setblocking(False)
            tasks.append(asyncio.create_task(_one(sock, server, letter, barrier())))
        await asyncio.wait_for(asyncio.gather(*tasks), limit)

    asyncio.run(run())
    return peak
