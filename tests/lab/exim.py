# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's Exim out of the build folder: a server beside Postfix, and a client that sends BDAT where it may."""
import os
import pathlib
import socket
import subprocess

from fetch import fetch
from letters import Mailbox
from mail import DOMAIN
from net import INET, wait_for
from node import LabError

EXIM = {4: "203.0.113.26", 6: "2001:db8:f::26"}
UID, GID = 64927, 64927  # Debian-exim, in the mount namespace only

COMMON = """\
exim_path = {exim}
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
pid_file_path = {dir}/exim.pid
primary_hostname = {name}.{domain}
qualify_domain = {domain}
exim_user = Debian-exim
exim_group = Debian-exim
never_users = root
deliver_drop_privilege = true
queue_run_in_order = true
message_size_limit = 200M
keep_environment = LD_LIBRARY_PATH
add_environment = PATH=/usr/bin:/bin
host_lookup =
rfc1413_hosts =
log_selector = +smtp_confirmation +smtp_connection +smtp_protocol_error +smtp_syntax_error
"""
SERVER = """\
local_interfaces = <; {listen}
daemon_smtp_ports = 25 : 587 : 465
tls_on_connect_ports = 465
tls_advertise_hosts = *
tls_certificate = {cert}
tls_privatekey = {key}
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 600
smtp_accept_max_nonmail = 100
acl_smtp_rcpt = accept
acl_smtp_data = accept
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
begin routers
all:
  driver = accept
  transport = inbox
begin transports
inbox:
  driver = appendfile
  directory = {dir}/mail/inbox
  maildir_format
  user = Debian-exim
"""
CLIENT = """\
local_interfaces =
begin routers
there:
  driver = manualroute
  transport = smtp
  route_list = * {server}
  self = send
begin transports
smtp:
  driver = smtp
  port = {port}
  interface = {source}
  {tls}
  hosts_try_chunking = *
  connection_max_messages = 0
begin retry
* * F,1h,2s
"""


class Exim:
    """A folder of its own for one Exim. Use EximServer or exim_send()."""

    def __init__(self, node, name, config):
        self.node, self.root = node, fetch("mail")
        self.dir = node.lab.dir / name
        self.exim = self.root / "usr/sbin/exim4"
        for part in ("spool", "log", "mail"):
            (self.dir / part).mkdir(parents=True)
            os.chown(self.dir / part, UID, GID)
        passwd = _without(pathlib.Path("/etc/passwd")) + f"Debian-exim:x:{UID}:{GID}::/:/usr/sbin/nologin\n"
        (self.dir / "passwd").write_text(passwd)
        (self.dir / "group").write_text(_without(pathlib.Path("/etc/group")) + f"Debian-exim:x:{GID}:\n")
        self.config = self.dir / "exim.conf"
        self.config.write_text(COMMON.format(exim=self.exim, dir=self.dir, name=name, domain=DOMAIN) + config)

    def argv(self, *options):
        """Exim sees its own account, and nobody else does."""
        command = f"mount --bind {self.dir}/passwd /etc/passwd && mount --bind {self.dir}/group /etc/group && " \
                  f'exec {self.exim} -C {self.config} "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", command, "exim", *options]

    @property
    def env(self):
        libraries = [str(self.root / p) for p in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")]
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": ":".join(libraries)}

    def run(self, *options, data=None, timeout=120):
        return subprocess.run(self.node.command(self.argv(*options)), input=data, capture_output=True, timeout=timeout,
                              check=False, env=self.env)

    def log(self):
        return "".join(p.read_text(errors="replace") for p in sorted((self.dir / "log").glob("*log")))


class EximServer(Exim):
    """Takes all mail on ports 25 and 587 (STARTTLS) and 465 (TLS) into .box."""

    def __init__(self, node, tls, listen=tuple(EXIM.values())):
        folder = node.lab.dir / f"exim-{node.name}"
        super().__init__(node, folder.name, SERVER.format(listen=" ; ".join(listen), cert=tls.cert, key=tls.key,
                                                          dir=folder))
        self.box = Mailbox(self.dir / "mail/inbox")
        self._listen = listen[0]
        with open(self.dir / "start.log", "wb") as log:
            self.proc = node.start(*self.argv("-bdf"), stdout=log, stderr=log, env=self.env)

    def ready(self):
        wait_for(f"Exim on {self.node.name}", self._listening)
        return self

    def _listening(self):
        if self.proc.poll() is not None:
            raise LabError(f"Exim ended: {self.log()} {(self.dir / 'start.log').read_text()}")
        with self.node.inside(), socket.socket(INET[4]) as sock:
            sock.settimeout(1)
            try:
                sock.connect((self._listen, 25))
                return sock.recv(200).startswith(b"220")
            except OSError:
                return False


def exim_send(node, source, server, letters, port=25, tls=None):
    """Letters by Exim as a client, over one connection where it can: first into its queue, then a queue run."""
    number = len(list(node.lab.dir.glob("eximout*")))
    options = {None: "hosts_avoid_tls = *", "starttls": "hosts_require_tls = *", "tls": "protocol = smtps"}
    client = Exim(node, f"eximout{number}", CLIENT.format(
        # A list of hosts takes ports behind colons, so those of the address are doubled.
        server=server.replace(":", "::"), port=port, source=f"<; {source}", tls=options[tls]))
    for letter in letters:
        done = client.run("-odq", "-oi", "-f", letter.sender, letter.to, data=letter.text())
        if done.returncode != 0:
            return done
    done = client.run("-qqff", timeout=200)
    left = list((client.dir / "spool/input").glob("**/*-D"))
    if left or done.returncode != 0:
        raise LabError(f"Exim kept {len(left)} letters: {done.stderr.decode()} {client.log()}")
    return client


def _without(path):
    return "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("Debian-exim:"))
