#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of `make demo`: honest mail, a zombie that is caught, its release, a forged packet. Everything is real: the
kernel's rules, the daemon, Postfix and swaks; only the network is made of namespaces. A step whose effect is not
seen fails the demo (exit 1). KEEP=1 leaves the lab up."""
import contextlib
import json
import os
import socket
import sys
import textwrap
import time

import preflight
from lab import ATTACKER, BUILD, HOST, MX, RELAY, ROOT, SMARTHOST, Lab, end_on_signals
from node import LabError

KEEP = os.environ.get("KEEP", "") not in ("", "0", "no")
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
CUSTOMER, BOT, BOT6 = "100.64.0.7", "100.64.0.66", "2001:db8:1000:2200::/56"
CONFIG = """\
interfaces: {{subscriber: [sub0, sub1], upstream: [up0]}}
relays:
  - {{name: mx-out, addresses: [192.0.2.10, "2001:db8:1::10"], interface: relay0}}
smarthosts:
  - {{name: smarthost, addresses: [198.51.100.25, "2001:db8:f:25::25"]}}
groups:
  - name: residential
    prefixes: [100.64.0.0/24, "2001:db8:1000::/50"]
    policy: block
    subscriber_prefix_v6: 56
    detector: {{connection_rate: [{{connections: 20, per: 60s}}]}}
  - name: business
    prefixes: [100.64.1.0/24, "2001:db8:1000:4000::/50"]
    policy: inspect
quarantine: {{level: smtp, duration: 1h}}
aggregate: 10s
control: {{socket: {dir}/enforcer/control.sock, admins: [root]}}
events: [{{type: file, path: {dir}/enforcer/events.json}}]
state: {dir}/enforcer/state
"""


class Failed(Exception):
    """A step did not show what it should."""


def paint(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if COLOUR else text


class Story:
    """Numbered steps: what happens, what is to be seen, what was seen."""

    def __init__(self):
        self.number = 0

    def step(self, title, text):
        self.number += 1
        print("\n" + paint("1", f"{self.number}. {title}"))
        print(textwrap.indent(textwrap.fill(" ".join(text.split()), 92), "   "), flush=True)

    def run(self, command):
        print("   " + paint("36", "$ " + command), flush=True)

    def show(self, text):
        print(textwrap.indent(text.rstrip(), "   | "), flush=True)

    def see(self, expected, happened, detail=""):
        """One thing that should be seen; happened is a bool or a function that is polled."""
        from net import wait_for
        if callable(happened):
            with contextlib.suppress(LabError):
                wait_for(expected, happened)
                self._line(True, expected, detail)
                return
            happened = False
        self._line(happened, expected, detail)
        if not happened:
            raise Failed(f"step {self.number}: not seen: {expected}")

    def _line(self, good, expected, detail):
        mark = paint("32", "seen") if good else paint("31", "NOT SEEN")
        print(f"   {mark}: {expected}" + (f" ({detail})" if detail else ""), flush=True)


class Demo:
    def __init__(self, lab, story):
        from daemon import Daemon
        from mail import Postfix
        self.lab, self.story = lab, story
        self.mx = Postfix(lab.inet)
        self.smart = Postfix(lab.smart, forward_to=MX[4], bind=SMARTHOST)
        self.relay = Postfix(lab.relay, forward_to=MX[4], bind=RELAY)
        self.daemon = Daemon(lab, text=CONFIG.format(dir=lab.dir))

    def tell(self):
        self.setting()
        self.honest_mail()
        self.submission()
        self.zombie()
        self.explain()
        self.zombie_v6()
        self.release()
        self.forged()
        self.events()

    def swaks(self, source, server, subject, port=25):
        from mail import swaks
        self.story.run(f"swaks --local-interface {source} --server {server}:{port} --header 'Subject: {subject}'")
        return swaks(self.lab.suba, source, server, subject, port, timeout=4).returncode == 0

    # --- the steps ------------------------------------------------------------------------------------------
    def setting(self):
        s = self.story
        s.step("The setting", """Seven network namespaces: a gateway with enforcerd between two networks of subscribers
               (100.64.0.0/22 and 2001:db8:1000::/48 on interface sub0), a relay (192.0.2.10), a smarthost
               (198.51.100.25), the internet with the mail exchanger of lab.example (203.0.113.25), and an
               attacker. The mail servers are Debian's Postfix. Residential lines may not send to TCP port 25; more than 20
               tries within a minute make a zombie.""")
        for server in (self.mx, self.smart, self.relay):
            server.ready()
        s.run(f"enforcerd -c {self.daemon.config_path} --foreground")
        self.daemon.start()
        s.see("the daemon answers and the table `inet enforcer` is in the kernel",
              "table inet enforcer" in self.lab.gw.run("nft", "list", "tables").stdout)

    def honest_mail(self):
        s = self.story
        s.step("Honest mail goes out through the relay", f"""The customer {CUSTOMER} hands a mail to the provider's
               relay on port 587. The relay, which is allowed, delivers it to the internet on port 25.""")
        s.see("the relay takes the mail", self.swaks(CUSTOMER, RELAY[4], "honest mail", 587))
        s.see("it lies in the mailbox of lab.example", lambda: self.mx.message("honest mail"))
        received = " ".join(self.mx.message("honest mail").get_all("Received")[0].split())
        s.see("the relay brought it", RELAY[4] in received, received.split(" by ")[0])
        s.see("it reaches the mail exchanger over IPv6 too", self.relay_v6())

    def relay_v6(self):
        from mail import swaks
        return swaks(self.lab.relay, RELAY[6], MX[6], "honest mail 6").returncode == 0 and \
            self.mx.wait_message("honest mail 6") is not None

    def submission(self):
        s = self.story
        s.step("Another provider's port 587 is not touched", """The same customer has a mailbox elsewhere. Ports 587 and 465
               are nobody's business here; only port 25 is.""")
        s.see("a mail over port 587 straight to the internet is taken", self.swaks(CUSTOMER, MX[4], "by submission", 587))
        s.see("it lies in the mailbox", lambda: self.mx.message("by submission"))
        s.see("the same over port 25 is refused", not self.swaks(CUSTOMER, MX[4], "straight to port 25"))

    def zombie(self):
        from net import Sniffer, addresses, ports
        s = self.story
        s.step("A zombie wakes up", f"""A bot on the line {BOT} opens connections to port 25 of five mail servers, one after
               the other. All are blocked. The first 20 count; the 21st convicts.""")
        s.see("before, the line may use the smarthost", self.swaks(BOT, SMARTHOST[4], "smarthost before"))
        # The session with the smarthost goes by there too, and its last packets may be late.
        with Sniffer(self.lab.inet, match=lambda p: addresses(p)[0] == BOT and addresses(p)[1] != SMARTHOST[4]) as outside:
            s.run(f"a bot on {BOT}: 20 connections to 203.0.113.201-205, port 25")
            self.knock(BOT, 20)
            s.see("20 connections are counted, and nobody is convicted yet",
                  lambda: self.counted(BOT) == 20 and not self.daemon.events("zombie-detected"))
            s.run("one more")
            self.knock(BOT, 1, 20)
            self.story.see("the 21st convicts: event zombie-detected", lambda: self.daemon.events("zombie-detected", BOT))
            s.see("the line is in quarantine: event quarantined", lambda: self.daemon.events("quarantined", BOT))
            s.see("and in the kernel's set quarantine4", lambda: BOT in self.kernel_set(4))
            s.see("not one of its packets reached the internet on port 25",
                  not outside.find(lambda p: (ports(p) or (0, 0, 0))[2] == 25))
        s.see("now it may not use the smarthost either", not self.swaks(BOT, SMARTHOST[4], "smarthost during"))
        s.see("but port 587 still works, so that the customer can write for help",
              self.swaks(BOT, MX[4], "help", 587))

    def explain(self):
        s = self.story
        s.step("Why? The daemon explains", "Each observation, the threshold and the setting that it comes from are told.")
        self.ctl("list")
        text = self.ctl("show", BOT, lines=24)
        s.see("line, group, level and setting are named", all(w in text for w in (BOT, "residential", "smtp", "20")))

    def zombie_v6(self):
        s = self.story
        s.step("A zombie that hides in IPv6", f"""This one takes a new address of its prefix {BOT6} for each connection. The
               prefix is the customer, so it is caught all the same.""")
        stem = BOT6[:-len("00::/56")]
        s.run(f"a bot on {stem}00::1, {stem}01::2, {stem}02::3 ...: 21 connections to {HOST[6]}, port 25")
        for n in range(21):
            self.knock(f"{stem}{n:02x}::{n + 1:x}", 1)
        s.see(f"{BOT6} is in quarantine", lambda: self.daemon.events("quarantined", BOT6))
        s.see("and in the kernel's set quarantine6", lambda: BOT6[:-3] in self.kernel_set(6))

    def release(self):
        s = self.story
        s.step("Cleaned and released", "The customer calls: the computer is clean again. The NOC releases the line.")
        self.ctl("release", BOT, "--reason", "customer cleaned the computer")
        s.see("event released", lambda: self.daemon.events("released", BOT))
        s.see("the smarthost takes its mail again", self.swaks(BOT, SMARTHOST[4], "smarthost after"))
        s.see("it lies in the mailbox", lambda: self.mx.message("smarthost after"))
        s.see("the mail sent in quarantine does not", self.mx.message("smarthost during") is None)

    def forged(self):
        from craft import ACK, PSH, RST, SYN, tcp
        from net import Wire
        s = self.story
        s.step("Forged packets from outside", f"""The attacker {ATTACKER[4]} sends what looks like answers of a mail server
               (source port 25) to {CUSTOMER}, which asked nobody. The same packets with source port 26 show that the
               way is open.""")
        wire = Wire(self.lab.atk, self.lab.suba, ATTACKER[4], CUSTOMER)
        kinds = ((SYN | ACK, b""), (ACK | PSH, b"220 mx.example ESMTP\r\n"), (RST, b""))
        s.run("attacker: SYN-ACK, data and RST, source port 26, then 25")
        others = wire.pass_through(*(tcp(ATTACKER[4], CUSTOMER, 26, 40000, f, data=d) for f, d in kinds))
        forged = wire.pass_through(*(tcp(ATTACKER[4], CUSTOMER, 25, 40000, f, data=d) for f, d in kinds))
        wire.close()
        s.see("from port 26 all three arrive", all(others))
        s.see("from port 25 none does", not any(forged))
        s.see("event inbound-spoofed", lambda: self.daemon.events("inbound-spoofed"))
        s.see("and nothing is held against the customer", CUSTOMER not in self.daemon.quarantined())

    def events(self):
        s = self.story
        s.step("All of that as JSON lines", f"""What a SIEM reads: the file {self.daemon.events_path}, one object a line in
               the Elastic Common Schema. Evidence is shortened here.""")
        events = self.daemon.events()
        for event in events:
            evidence = event.get("enforcer", {}).get("evidence")
            if evidence:
                event["enforcer"]["evidence"] = f"... {len(evidence)} observations ..."
            s.show(json.dumps(event, separators=(",", ":")))
        wanted = {"started", "egress-blocked", "zombie-detected", "quarantined", "released", "inbound-spoofed"}
        s.see("every step has its event", wanted <= {e["event"]["action"] for e in events})
        s.see("and their numbers have no gap",
              [e["event"]["sequence"] for e in events] == list(range(1, len(events) + 1)))

    # --- tools ----------------------------------------------------------------------------------------------
    def knock(self, source, count, first=0):
        """Real connection attempts of a bot that does not wait for answers."""
        family = 6 if ":" in source else 4
        socks = []
        for n in range(first, first + count):
            sock = self.lab.suba.socket({4: socket.AF_INET, 6: socket.AF_INET6}[family], socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.bind((source, 0))
            with contextlib.suppress(BlockingIOError):
                sock.connect((f"203.0.113.{201 + n % 5}" if family == 4 else HOST[6], 25))
            socks.append(sock)
            time.sleep(0.02)
        for sock in socks:
            sock.close()

    def counted(self, source):
        shown = self.daemon.call("subscriber.show", address=source)
        return max((w.get("connections", 0) for w in shown["windows"]), default=0)

    def kernel_set(self, family):
        return self.lab.gw.run("nft", "list", "set", "inet", "enforcer", f"quarantine{family}").stdout

    def ctl(self, *args, lines=12):
        self.story.run("enforcerctl " + " ".join(f"'{a}'" if " " in a else a for a in args))
        done = self.daemon.ctl(*args)
        if done.returncode != 0:
            raise Failed(f"enforcerctl {args[0]}: {done.stderr.strip()}")
        text = done.stdout.splitlines()
        if len(text) > lines:
            text = [*text[:lines - 5], f"  ... {len(text) - lines} more lines ...", *text[-5:]]
        self.story.show("\n".join(text))
        return done.stdout


def leave(lab, daemon):
    """KEEP=1: how to play with the lab, and how to end it."""
    lab.leave()
    print(f"""
The lab {lab.name} is still up. To play (as root):
   cd {ROOT}
   {BUILD}/enforcerctl --socket {daemon.socket} status
   {BUILD}/enforcerctl --socket {daemon.socket} events --follow
   ip netns exec {lab.name}-gw nft list table inet enforcer     # the rules on the gateway
   ip netns exec {lab.name}-gw tcpdump -ni up0 port 25          # what gets out
   ip netns exec {lab.name}-suba bash                           # a shell on the subscribers' side: any 100.64.0-3.x is yours
   ip netns exec {lab.name}-suba perl {BUILD}/lab/root/usr/bin/swaks --local-interface 100.64.1.7 \\
       --server 203.0.113.25 --from me@lab.example --to inbox@lab.example
   ls {lab.dir}/postfix-inet/mail/inbox/new                     # the mailbox
To end it:
   /usr/bin/python3 {ROOT}/tests/lab/lab.py stop {lab.name}""")


def main():
    end_on_signals()
    preflight.require()
    for binary in ("enforcerd", "enforcerctl"):
        if not (BUILD / binary).exists():
            sys.exit(f"{BUILD / binary} is not there: run make first")
    story, begin = Story(), time.monotonic()
    lab = daemon = None
    try:
        lab = Lab(keep=KEEP)
        demo = Demo(lab, story)
        daemon = demo.daemon
        demo.tell()
        print("\n" + paint("1;32", f"All {story.number} steps showed what they should, in {time.monotonic() - begin:.0f} s."))
        if KEEP:
            leave(lab, daemon)
        return 0
    except (Failed, LabError, OSError) as e:
        print("\n" + paint("1;31", f"The demo failed: {e}"))
        if daemon and daemon.log():
            print("The daemon's last words:\n" + textwrap.indent(daemon.log()[-1500:], "   | "))
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if lab:
            lab.close()


if __name__ == "__main__":
    sys.exit(main())
