# SPDX-License-Identifier: GPL-2.0-or-later
"""The inspected business and its correspondents: a gate with a Postfix and an Exim on the internet, and the question
whether the business was left alone."""
import itertools
import re

from clients import CLIENTS, Certificate
from exim import EXIM, EximServer, exim_send
from lab import FAMILIES, MX
from letters import Letter
from mail import DOMAIN, Client, Postfix
from net import wait_for
from node import LabError

SERVERS = {"postfix": MX, "exim": EXIM}
# Counts what the forward hook gets and what is left behind enforcer's table, by the table's own hook on both sides.
COUNTING = """table inet lab {
    set flows4 { type ipv4_addr . inet_service . ipv4_addr . inet_service; flags dynamic; size 65536; counter; }
    set flows6 { type ipv6_addr . inet_service . ipv6_addr . inet_service; flags dynamic; size 65536; counter; }
    chain before {
        type filter hook forward priority -20; policy accept;
        tcp dport 25 update @flows4 { ip saddr . tcp sport . ip daddr . tcp dport }
        tcp sport 25 update @flows4 { ip daddr . tcp dport . ip saddr . tcp sport }
        tcp dport 25 update @flows6 { ip6 saddr . tcp sport . ip6 daddr . tcp dport }
        tcp sport 25 update @flows6 { ip6 daddr . tcp dport . ip6 saddr . tcp sport }
        tcp dport 25 counter
        tcp sport 25 counter
    }
    chain after {
        type filter hook forward priority 20; policy accept;
        tcp dport 25 counter
        tcp sport 25 counter
    }
    chain submission {
        type filter hook forward priority 20; policy accept;
        tcp dport { 465, 587 } counter
        tcp sport { 465, 587 } counter
    }
}"""
NEVER = ("convicted", "quarantined", "would-quarantine", "suspect", "telemetry-lost", "ruleset-tampered", "coverage-lost",
         "spoofed-source", "governor-tripped")
DROPS = ("header_chain", "short_header", "source_spoofed", "inbound_spoofed", "bogon", "quarantined",
         "quarantined_answers", "metered", "flow_cap", "flows_full")
LOSSES = ("log_lost", "queue_dropped", "queue_refused", "queue_unread", "reports_lost")
_serial = itertools.count(1)


def configure(**queue):
    """The limits of `inspect` are its defaults: an honest business needs no others."""
    def change(config):
        del config["detector"]["connection_rate"], config["detector"]["distinct_destinations"]
        config["queue"].update(queue)
    return change


class RealMail:
    """gate: started or not. The servers are on its machine `inet`."""

    def __init__(self, gate):
        self.gate, self.lab = gate, gate.lab
        self.lab.gw.nft(COUNTING)
        self.tls = Certificate(self.lab, [*MX.values(), *EXIM.values()])
        self.servers = {"postfix": Postfix(self.lab.inet, tls=self.tls, listen=("127.0.0.1", *MX.values())),
                        "exim": EximServer(self.lab.inet, self.tls)}
        self.client = None

    def ready(self):
        for server in self.servers.values():
            server.ready()
        return self

    def letter(self, what, **more):
        """A letter that no other test has sent."""
        return Letter(f"{what} {next(_serial)}", **more)

    def send(self, client, sub, server, letter, port=25, tls=None):
        """A letter by a program of CLIENTS; it must arrive whole, and once. Answers its header."""
        CLIENTS[client](sub.node, sub.address, SERVERS[server][sub.family], letter, port, tls, self.tls)
        return self.servers[server].box.wait(letter)

    # --- a Postfix as a client --------------------------------------------------------------------------------
    def client_postfix(self):
        """The business's own Postfix: what it is given for …@p4.lab.example goes to Postfix by IPv4, e6: to Exim by
        IPv6, t4: to Postfix with STARTTLS."""
        if self.client is None:
            subs = {f: self.gate.fresh("business", f) for f in FAMILIES}
            kinds = {"p": ("smtp", "postfix"), "e": ("smtp", "exim"), "t": ("encrypted", "postfix")}
            routes = ", ".join(f"{{{kind}{f}.{DOMAIN} = {how}:[{SERVERS[to][f]}]}}"
                               for kind, (how, to) in kinds.items() for f in FAMILIES)
            more = f"transport_maps = inline:{{ {routes} }}\nsmtp_tls_CAfile = {self.tls.cert}\n"
            self.client = Postfix(self.lab.suba, forward_to="203.0.113.1", listen=("127.0.0.1",), more=more,
                                  bind={f: subs[f].address for f in FAMILIES})
            self.client.subs = subs
            self.client.ready()
        return self.client

    def queue_run(self, kind, family, count):
        """So many letters into the client's queue, and out of it: answers when all are in the right mailbox."""
        client = self.client_postfix()
        to = f"inbox@{kind}{family}.{DOMAIN}"
        letters = [self.letter(f"queued {kind}{family}", to=to) for _ in range(count)]
        with Client(self.lab.suba, "127.0.0.1", "127.0.0.1", timeout=30) as local:
            for letter in letters:
                local.sendmail(letter.sender, [letter.to], letter.wire())
        self.servers["exim" if kind == "e" else "postfix"].box.wait(*letters)
        return letters

    def exim_run(self, sub, server, count=5, **how):
        """Exim as the client, several letters; its log."""
        letters = [self.letter(f"exim {sub.family}") for _ in range(count)]
        log = exim_send(sub.node, sub.address, SERVERS[server][sub.family], letters, **how).log()
        self.servers[server].box.wait(*letters)
        return log

    def essentials(self, family):
        """One letter by each client, of a subscriber each, a queue run, and the three ports."""
        for number, client in enumerate(CLIENTS):
            sub = self.gate.fresh("business", family)
            server = list(SERVERS)[number % 2]
            self.send(client, sub, server, self.letter(client))
            self.send(client, sub, server, self.letter(client), tls="starttls")
        self.send("curl", sub, "postfix", self.letter("465"), 465, "tls")
        self.send("swaks", sub, "exim", self.letter("587"), 587, "starttls")
        self.queue_run("p", family, 20)
        self.queue_run("e", family, 20)

    # --- was it left alone? -----------------------------------------------------------------------------------
    def counted(self):
        """Packets of the lab's counters, by chain: [towards the port, from it]."""
        text = self.lab.gw.run("nft", "list", "table", "inet", "lab").stdout
        found, chain = {}, None
        for line in text.splitlines():
            if match := re.search(r"chain (\w+)", line):
                chain = found.setdefault(match[1], [])
            elif chain is not None and (match := re.search(r"counter packets (\d+)", line)):
                chain.append(int(match[1]))
        return found

    def flows(self):
        """Packets of each flow of port 25 at the forward hook, both directions: {(client, port, server, 25): packets}."""
        found = {}
        for family in FAMILIES:
            text = self.lab.gw.run("nft", "list", "set", "inet", "lab", f"flows{family}").stdout
            for flow, packets in re.findall(r"([0-9a-f:.]+ \. \w+ \. [0-9a-f:.]+ \. \w+) counter packets (\d+)", text):
                found[tuple(flow.split(" . "))] = int(packets)
        return found

    def status(self):
        return self.gate.daemon.ok("status")

    def through_queue(self):
        return self.status()["telemetry"]["queue_packets"]

    def untouched(self, since=0):
        """Nobody is convicted and nothing was dropped: what the daemon says, what the kernel counted, and every packet of
        port 25 that came to the forward hook left enforcer's table. since: as of Daemon.mark()."""
        status = self.status()
        assert not self.gate.daemon.quarantined()
        top = self.gate.daemon.call("subscriber.top", limit=1000)["subscribers"]
        assert top and [s for s in top if s["verdict"] != "clean"] == []
        assert status["flows"]["unread"] == 0, "sessions that were not read"
        assert status["quarantine"]["entries"] == 0 and status["detector"]["convictions"] == 0
        assert {k: status["telemetry"][k] for k in LOSSES} == dict.fromkeys(LOSSES, 0)
        assert {k: status["counters"][k]["packets"] for k in DROPS} == dict.fromkeys(DROPS, 0)
        assert [e for a in NEVER for e in self.gate.daemon.events(a, since=since)] == []
        last = {}

        def equal():
            last.update(self.counted())
            return last["before"] == last["after"]
        try:
            wait_for("as many packets behind enforcer as in front of it", equal)
        except LabError:
            raise AssertionError(f"packets were dropped: {last}") from None
        return status
