# SPDX-License-Identifier: GPL-2.0-or-later
"""Real mail: Debian's Postfix out of the build folder as the server and as a client, swaks and smtplib as clients.

Postfix insists on accounts of its own. The machine's /etc is not touched: Postfix runs in a mount namespace where
/etc/passwd and /etc/group have two lines more.
"""
import contextlib
import email
import os
import pathlib
import shutil
import smtplib
import socket

from fetch import fetch
from letters import Mailbox
from net import LIMIT, tcp_socket, wait_for
from node import LabError

UID, GID, DROP_GID = 64925, 64925, 64926  # in the mount namespace only
DOMAIN = "lab.example"


MAIN_CF = """\
compatibility_level = 3.6
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {conf}
queue_directory = {dir}/queue
data_directory = {dir}/data
mail_owner = postfix
setgid_group = postdrop
import_environment = MAIL_CONFIG LD_LIBRARY_PATH LANG=C TZ
maillog_file = {dir}/mail.log
maillog_file_prefixes = {dir}
syslog_name = {name}
myhostname = {name}.{domain}
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = all
inet_protocols = all
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
mynetworks = 0.0.0.0/0, [::]/0
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_timeout = 120s
smtp_connect_timeout = 3s
smtp_bind_address = {bind4}
smtp_bind_address6 = {bind6}
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
message_size_limit = 200000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
{delivery}
{more}
"""
DELIVER = """\
virtual_mailbox_domains = {domain}, p4.{domain}, p6.{domain}, t4.{domain}, t6.{domain}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 100
"""
MASTER_CF = """\
{listeners}
pickup     unix  n - n 60 1 pickup
cleanup    unix  n - n - 0 cleanup
qmgr       unix  n - n 300 1 qmgr
rewrite    unix  - - n - - trivial-rewrite
bounce     unix  - - n - 0 bounce
defer      unix  - - n - 0 bounce
trace      unix  - - n - 0 bounce
verify     unix  - - n - 1 verify
flush      unix  n - n 1000? 0 flush
proxymap   unix  - - n - - proxymap
smtp       unix  - - n - - smtp
encrypted  unix  - - n - - smtp -o smtp_tls_security_level=encrypt
relay      unix  - - n - - smtp
error      unix  - - n - - error
retry      unix  - - n - - error
virtual    unix  - n n - - virtual
tlsmgr     unix  - - n 1000? 1 tlsmgr
anvil      unix  - - n - 1 anvil
scache     unix  - - n - 1 scache
postlog    unix-dgram n - n - 1 postlogd
"""
QUEUE_PRIVATE = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
                 "trace")


TLS = """\
smtpd_tls_security_level = may
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_session_cache_database =
"""


class Postfix:
    """A mail server on ports 25, 587 and 465 of a machine. forward_to: the address it relays all mail to; without it
    mail for lab.example goes into a mailbox that messages() reads. tls: a Certificate, for STARTTLS on 25 and 587 and TLS
    on 465, which else is plain. listen: addresses, more: lines for main.cf."""

    def __init__(self, node, forward_to=None, bind=None, tls=None, listen=("",), more=""):
        self.node, self.root = node, fetch("mail")
        self.dir = node.lab.dir / f"postfix-{node.name}"
        self.box = Mailbox(self.dir / "mail/inbox")
        self._tls = tls
        self._listen = listen
        self._more = more + (TLS.format(cert=tls.cert, key=tls.key) if tls else "")
        self._prepare(forward_to, bind or {})
        command = f"mount --bind {self.dir}/passwd /etc/passwd && mount --bind {self.dir}/group /etc/group && " \
                  f"exec {self.root}/usr/lib/postfix/sbin/master -d -c {self.dir}/conf"
        with open(self.dir / "start.log", "wb") as log:
            self.proc = node.start("unshare", "--mount", "--propagation", "private", "sh", "-c", command,
                                   stdout=log, stderr=log,
                                   env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                                        "LD_LIBRARY_PATH": f"{self.root}/usr/lib/postfix:"
                                                           f"{self.root}/usr/lib/x86_64-linux-gnu",
                                        "MAIL_CONFIG": str(self.dir / "conf")})

    def ready(self):
        """Waits until it answers (two seconds, so start several before); answers itself."""
        wait_for(f"Postfix on {self.node.name}", self._listening)
        return self

    def _prepare(self, forward_to, bind):
        queue, conf = self.dir / "queue", self.dir / "conf"
        for folder in (queue, conf, self.dir / "data", self.dir / "mail", queue / "pid"):
            folder.mkdir(parents=True)
        for name in QUEUE_PRIVATE:
            (queue / name).mkdir(mode=0o700)
            os.chown(queue / name, UID, 0)
        for name, mode in (("public", 0o2710), ("maildrop", 0o1730)):
            (queue / name).mkdir()
            os.chown(queue / name, UID, DROP_GID)
            os.chmod(queue / name, mode)
        for folder in ("data", "mail"):
            os.chown(self.dir / folder, UID, GID)
        delivery = DELIVER if forward_to is None else "relayhost = [{forward_to}]\n"
        delivery = delivery.format(domain=DOMAIN, dir=self.dir, uid=UID, gid=GID, forward_to=forward_to)
        (conf / "main.cf").write_text(MAIN_CF.format(
            root=self.root, conf=conf, dir=self.dir, name=self.node.name, domain=DOMAIN, delivery=delivery,
            bind4=bind.get(4, ""), bind6=bind.get(6, ""), more=self._more))
        wrapper = " -o smtpd_tls_wrappermode=yes" if self._tls else ""
        hosts = [f"[{a}]:" if ":" in a else a and a + ":" for a in self._listen]
        (conf / "master.cf").write_text(MASTER_CF.format(listeners="\n".join(
            f"{host}{port} inet n - n - 600 smtpd{wrapper if port == 465 else ''}" for host in hosts
            for port in (25, 587, 465))))
        shutil.copy(self.root / "usr/share/postfix/dynamicmaps.cf", conf)
        passwd = pathlib.Path("/etc/passwd").read_text() + f"postfix:x:{UID}:{GID}::/:/usr/sbin/nologin\n"
        group = pathlib.Path("/etc/group").read_text() + f"postfix:x:{GID}:\npostdrop:x:{DROP_GID}:\n"
        (self.dir / "passwd").write_text("".join(_without_postfix(passwd)))
        (self.dir / "group").write_text("".join(_without_postfix(group)))

    def _listening(self):
        if self.proc.poll() is not None:
            raise LabError(f"Postfix ended: {self.log()} {(self.dir / 'start.log').read_text()}")
        with self.node.inside(), contextlib.suppress(OSError), socket.socket() as sock:
            sock.settimeout(1)
            sock.connect(("127.0.0.1", 25))
            return sock.recv(200).startswith(b"220")
        return False

    def log(self):
        with contextlib.suppress(FileNotFoundError):
            return (self.dir / "mail.log").read_text(errors="replace")
        return ""

    def messages(self):
        """Everything in the mailbox, as email messages."""
        found = []
        for path in sorted((self.dir / "mail").glob("inbox/new/*")):
            found.append(email.message_from_bytes(path.read_bytes()))
        return found

    def message(self, subject):
        return next((m for m in self.messages() if m["Subject"] == subject), None)

    def wait_message(self, subject, limit=LIMIT):
        return wait_for(f"mail {subject!r} in the mailbox", lambda: self.message(subject), limit)


def _without_postfix(text):
    """The account lines, those of a Postfix that the machine may have left out (the lab's come last)."""
    lines = text.splitlines(keepends=True)
    last = {line.split(":", 1)[0]: n for n, line in enumerate(lines)}
    return [line for n, line in enumerate(lines) if last[line.split(":", 1)[0]] == n]


def swaks_program():
    root = fetch("mail")
    return ["perl", f"-I{root}/usr/share/perl5", *(f"-I{p}" for p in root.glob("usr/lib/*/perl5/*")),
            root / "usr/bin/swaks"]


def swaks(node, source, server, subject, port=25, timeout=5, more=()):
    """One mail by swaks; CompletedProcess, 0 when the server took it."""
    return node.run(*swaks_program(), "--server", server, "--port", port, "--local-interface", source,
                    *(["-6"] if ":" in server else []),
                    "--from", f"user@{DOMAIN}", "--to", f"inbox@{DOMAIN}", "--helo", f"client.{DOMAIN}",
                    "--header", f"Subject: {subject}", "--body", f"This is {subject}.", "--timeout", timeout,
                    *more, check=False)


class Client(smtplib.SMTP):
    """smtplib from a machine of the lab: Client(node, source, server)."""

    def __init__(self, node, source, server, port=25, timeout=5):
        self._node, self._source = node, source
        super().__init__(timeout=timeout, local_hostname=f"client.{DOMAIN}")
        self.connect(server, port)

    def _get_socket(self, host, port, timeout):
        sock = tcp_socket(self._node, self._source, timeout=timeout)
        try:
            sock.connect((host, port))
        except BaseException:
            sock.close()
            raise
        return sock

    def mail_text(self, subject):
        return f"From: user@{DOMAIN}\r\nTo: inbox@{DOMAIN}\r\nSubject: {subject}\r\n\r\nThis is {subject}.\r\n"

    def deliver(self, subject):
        """A whole mail on this session."""
        return self.sendmail(f"user@{DOMAIN}", [f"inbox@{DOMAIN}"], self.mail_text(subject))
