# SPDX-License-Identifier: GPL-2.0-or-later
"""Says at once and plainly what this machine lacks for the lab. Also a program: tests/lab/preflight."""
import importlib.util
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys

NETLINK_NETFILTER, NFNL_SUBSYS_NFT_COMPAT = 12, 11
NLM_F_REQUEST, NLM_F_ACK = 1, 4
NFTA_COMPAT_NAME, NFTA_COMPAT_REV, NFTA_COMPAT_TYPE = 1, 2, 3
PROGRAMS = (("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux"), ("unshare", "util-linux"),
            ("perl", "perl"))
MODULES = ("veth", "nf_tables", "nft_compat", "xt_NFQUEUE", "nfnetlink_queue", "nfnetlink_log")


def _in_new_net(argv, text=None):
    done = subprocess.run(["unshare", "--net", *argv], input=text, capture_output=True, text=True, check=False)
    return done.returncode == 0


def _nft(rule):
    return _in_new_net(["nft", "-f", "-"],
                       f"table inet probe {{ chain c {{ type filter hook forward priority 0\n{rule}\n}}\n}}\n")


def _xt_target(name, revision):
    """Asks the kernel whether nft_compat knows an xtables target."""
    def attribute(kind, data):
        return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)

    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + attribute(NFTA_COMPAT_NAME, name.encode() + b"\0") + \
        attribute(NFTA_COMPAT_REV, struct.pack(">I", revision)) + attribute(NFTA_COMPAT_TYPE, struct.pack(">I", 1))
    message = struct.pack("=IHHII", 16 + len(body), NFNL_SUBSYS_NFT_COMPAT << 8, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
            sock.settimeout(5)
            sock.send(message)
            answer = sock.recv(8192)
    except OSError:
        return False
    kind = struct.unpack_from("=H", answer, 4)[0]
    return kind != 2 or struct.unpack_from("=i", answer, 16)[0] == 0  # 2: NLMSG_ERROR; error 0: done


def missing():
    """What is missing, as sentences; empty when all is there."""
    if os.geteuid() != 0:
        return ["root is needed: network namespaces and nftables are root's (try sudo)"]
    lacks = [f"the program {program} is missing (Debian package {package})"
             for program, package in PROGRAMS if shutil.which(program) is None]
    if lacks:
        return lacks
    if shutil.which("modprobe"):
        for module in MODULES:  # in a kernel without modules, or with all built in, this fails and matters not
            subprocess.run(["modprobe", "-q", module], capture_output=True, check=False)
    if not _in_new_net(["true"]):
        return ["network namespaces cannot be made (kernel without them, or a container without the right)"]
    name = f"enfprobe{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode != 0:
        lacks.append("named network namespaces (ip netns add) do not work: /run/netns cannot be mounted")
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    if not _in_new_net(["ip", "link", "add", "va", "type", "veth", "peer", "name", "vb"]):
        lacks.append("the kernel has no veth devices (CONFIG_VETH)")
    if not _in_new_net(["sh", "-c", "test -e /proc/sys/net/ipv6"]):
        lacks.append("the kernel has no IPv6")
    if not _nft("accept"):
        lacks.append("nft cannot make a table of family inet (CONFIG_NF_TABLES_INET)")
        return lacks
    if not _nft("log group 5"):
        lacks.append("the kernel has no NFLOG for nftables (CONFIG_NFT_LOG, nfnetlink_log)")
    if not pathlib.Path("/proc/net/netfilter/nfnetlink_log").exists():
        lacks.append("the kernel cannot hand NFLOG messages to a program (nfnetlink_log)")
    if not _nft("tcp dport 25 queue num 7") and not _xt_target("NFQUEUE", 3):
        lacks.append("the kernel has neither nft's queue statement (CONFIG_NFT_QUEUE) nor the NFQUEUE target "
                     "(CONFIG_NFT_COMPAT and CONFIG_NETFILTER_XT_TARGET_NFQUEUE)")
    if not pathlib.Path("/proc/net/netfilter/nfnetlink_queue").exists():
        lacks.append("the kernel cannot hand queued packets to a program (nfnetlink_queue)")
    return lacks


def unchecked():
    """What the lab would leave unlooked at on this machine, as sentences; empty when it looks at all."""
    if importlib.util.find_spec("jsonschema") is None:
        return ["NOT COMPARED with docs/schemas: events, requests and answers (install python3-jsonschema; `tests/deps` does)"]
    return []


def queue_kind():
    """How this kernel queues from nftables: native, xt or none."""
    if _nft("tcp dport 25 queue num 7"):
        return "native"
    return "xt" if _xt_target("NFQUEUE", 3) else "none"


def require():
    """Ends the program when something is missing, saying what."""
    lacks = missing()
    if lacks:
        print("This machine cannot run the lab:", file=sys.stderr)
        for lack in lacks:
            print(f"  - {lack}", file=sys.stderr)
        sys.exit(1)
    for what in unchecked():
        print(f"WARNING: {what}", file=sys.stderr)


if __name__ == "__main__":
    require()
    print(f"This machine can run the lab (queue: {queue_kind()}).")
