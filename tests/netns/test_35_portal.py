# SPDX-License-Identifier: GPL-2.0-or-later
"""35. The portal: a real nginx serves the sample page and the captive portal API from what `enforcerctl portal` says, and
a browser in quarantine is shown it, presses the button, surfs; the third time it is told to call."""
import json
import shutil
import socket
import threading

import pytest

from browser import Browser
from lab import HOST, ROOT, TRAP
from net import INET, wait_for

PORTAL = {4: "203.0.113.81", 6: "2001:db8:f::81"}
NAME = "portal.example.net"
BUILD_CTL = "enforcerctl"
MEMBERS = {"captive", "user-portal-url", "venue-info-url", "can-extend-session", "seconds-remaining",
           "bytes-remaining"}  # RFC 8908, section 5


def configure(config):
    config["quarantine"].update(portal=list(PORTAL.values()), redirect="dnat", portal_url=f"https://{NAME}/",
                                self_release={"times": 2, "per": "30d"})
    config["control"]["portal"] = ["www-data"]


class Site:
    """A web site of the internet: one page, and the connection is closed."""

    def __init__(self, node, address, family):
        self.sock = node.socket(INET[family], socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((address, 80))
        self.sock.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        body = b"<title>x</title><h1>the open internet</h1>"
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            with conn:
                conn.settimeout(5)
                try:
                    conn.recv(65536)
                    conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nCache-Control: no-store\r\n"
                                 b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                except OSError:
                    pass


def nginx_conf(gate, folder):
    """The sample of the documents, with the lab's places."""
    text = (ROOT / "docs/portal/nginx.conf").read_text()
    listens = "".join(f"listen {'[' + a + ']' if ':' in a else a}:%s;\n" for a in PORTAL.values())
    for port, words in (("80 default_server", ""), ("443 ssl", " ssl")):
        text = text.replace(f"listen {port};", listens.replace("%s;", port + ";"), 1)
        text = text.replace(f"    listen [::]:{port};\n", "", 1)
    for old, new in (("/etc/ssl/certs/portal.pem", folder / "portal.pem"), ("/etc/ssl/private/portal.key", folder / "portal.key"),
                     ("unix:/run/fcgiwrap.socket", f"unix:{folder}/fcgi.sock"),
                     ("/usr/share/enforcer/portal/portal.cgi", folder / "portal.cgi"),
                     ("/usr/bin/enforcerctl", folder / "enforcerctl"),
                     ("/run/enforcer/control.sock", gate.daemon.socket), ("include fastcgi_params", "include /etc/nginx/fastcgi_params")):
        assert old in text, old
        text = text.replace(old, str(new))
    temp = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return (f"user www-data; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;\n"
            f"events {{ worker_connections 64; }}\nhttp {{ access_log {folder}/access.log; {temp}{text} }}\n")


@pytest.fixture(scope="module")
def portal(gate):
    """nginx and fcgiwrap on the portal's addresses; fcgiwrap as www-data, who may only do that."""
    from lab import BUILD
    folder = gate.lab.dir / "portal"
    folder.mkdir()
    shutil.chown(folder, "www-data")
    shutil.copy(ROOT / "docs/portal/portal.cgi", folder)
    shutil.copy(BUILD / BUILD_CTL, folder)
    inet = gate.lab.inet
    inet.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", f"/CN={NAME}", "-keyout", folder / "portal.key", "-out", folder / "portal.pem")
    (folder / "nginx.conf").write_text(nginx_conf(gate, folder))
    with open(folder / "fcgi.log", "wb") as log:
        inet.start("setpriv", "--reuid", "www-data", "--regid", "www-data", "--clear-groups", "fcgiwrap", "-f", "-c", "2", "-s",
                   f"unix:{folder}/fcgi.sock", stdout=log, stderr=log)
        inet.start("nginx", "-c", folder / "nginx.conf", "-e", folder / "error.log", stdout=log, stderr=log)
    wait_for("fcgiwrap", (folder / "fcgi.sock").exists)
    wait_for("nginx", lambda: (folder / "nginx.pid").exists() and (folder / "nginx.pid").read_text().strip())
    return folder


def at_home(sub):
    """The subscriber's machine uses the subscriber's address."""
    length, via = ("32", "10.0.0.1") if sub.family == 4 else ("128", "2001:db8:e:a::1")
    if sub.family == 6:
        sub.node.ip(f"addr replace {sub.address}/{length} dev lo nodad")
    for target in (HOST[sub.family], PORTAL[sub.family]):
        sub.node.ip(f"route replace {target}/{length} via {via} dev eth0 src {sub.address}")
    return sub


def full(gate, sub, *more):
    gate.daemon.ok("quarantine", sub.address, "--level", "full", *(more or ("--for", "1h")))


def fetch(sub, path, *options):
    """curl from the subscriber's address; (headers, body)."""
    address = PORTAL[sub.family]
    done = sub.node.run("curl", "-sk", "-i", "--max-time", "20", "--interface", sub.address, "--resolve",
                        f"{NAME}:443:{f'[{address}]' if ':' in address else address}", *options, f"https://{NAME}{path}")
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    return head.lower(), body


def test_api(gate, family, portal):
    """RFC 8908: its media type, not to be stored, its members only; true at level full and at no other."""
    sub = gate.fresh("business", family)
    for level, captive in ((None, False), ("full", True), ("smtp", False)):
        if level:
            gate.daemon.ok("quarantine", sub.address, "--level", level, "--for", "1h")
        head, body = fetch(sub, "/api", "-H", "Accept: application/captive+json")
        assert "content-type: application/captive+json" in head and "cache-control: no-store" in head
        answer = json.loads(body)
        assert answer["captive"] is captive and set(answer) <= MEMBERS
        assert answer["user-portal-url"] == f"https://{NAME}/"
    gate.daemon.ok("release", sub.address)


def test_what_was_seen(gate, family, portal):
    """A conviction in plain words, in both languages; nothing of the provider's own notes."""
    sub = gate.fresh("residential", family)
    mark = gate.daemon.mark()
    gate.syns(sub, 1, TRAP[family])
    gate.wait_quarantined(sub, mark)
    shown = gate.daemon.ok("portal", sub.address)
    assert shown["captive"] is False and shown["enforcer"]["quarantine"]["seen"]["cause"] == "traps"
    assert not {"actor", "ticket"} & set(shown["enforcer"]["quarantine"])
    assert shown["enforcer"]["self_release"] == {"times": 2, "per": "30d", "left": 2, "allowed": True}
    english, french = fetch(sub, "/")[1], fetch(sub, "/", "-H", "Accept-Language: fr-CH, fr;q=0.9")[1]
    assert "nobody sends honest mail" in english and 'lang="en"' in english
    assert "personne n’envoie de courriel honnête" in french and 'lang="fr"' in french
    gate.daemon.ok("release", sub.address)


def test_not_by_itself(gate, family, portal):
    """A prefix, force and for ever are the provider's; another site cannot press the button; www-data can do no more."""
    sub = gate.fresh("business", family)
    full(gate, sub, "--for", "forever")
    done = gate.daemon.ctl("portal", sub.address, "--release", user="www-data")
    assert done.returncode == 1 and "call" in done.stderr
    assert "Please call us" in fetch(sub, "/")[1]
    full(gate, sub)
    for options in (("-X", "POST"), ("-X", "POST", "-H", "Origin: https://evil.example")):
        fetch(sub, "/release", *options)
    assert gate.is_quarantined(sub)
    for command in (["list"], ["status"], ["release", sub.address], ["show", sub.address]):
        done = gate.daemon.ctl(*command, user="www-data")
        assert done.returncode == 1 and "may not" in done.stderr, command
    assert gate.daemon.ctl("portal", sub.address, "--release", user="nobody").returncode == 1, "a viewer"
    mark = gate.daemon.mark()
    fetch(sub, "/release", "-X", "POST", "-H", f"Origin: https://{NAME}")
    assert not gate.is_quarantined(sub)
    assert gate.daemon.wait_event("released", sub.name, since=mark)["enforcer"]["actor"] == "portal"
    audit = gate.daemon.ok("audit")["lines"] if "lines" in gate.daemon.ok("audit") else list(gate.daemon.ok("audit").values())[0]
    assert any(l["method"] == "portal.release" and l["actor"] == "user:www-data" for l in audit)


def test_counting(gate, family):
    """Two in 30 days, over a restart too; a new customer begins anew."""
    sub = gate.fresh("business", family)
    for left in (1, 0):
        full(gate, sub)
        assert gate.daemon.ok("portal", sub.address, "--release")["enforcer"]["self_release"]["left"] == left
    gate.daemon.kill()
    gate.daemon.start()
    full(gate, sub)
    done = gate.daemon.ctl("portal", sub.address, "--release")
    assert done.returncode == 1 and "has released itself 2 times" in done.stderr and gate.is_quarantined(sub)
    assert "it has to call" in gate.daemon.ctl("portal", sub.address).stdout
    gate.daemon.ok("reassigned", sub.address)
    full(gate, sub)
    assert gate.daemon.ok("portal", sub.address)["enforcer"]["self_release"]["left"] == 2
    gate.daemon.ok("release", sub.address)
    assert gate.daemon.ctl("portal", sub.address, "--release").returncode == 1, "not in quarantine"


def surf(browser):
    """Opens a page until it comes: a connection that the browser opened ahead, while it was redirected, leads to the portal
    for two seconds more."""
    def look():
        browser.open("http://www.example.org/")
        return "the open internet" in browser.shows(" ")
    wait_for("the open internet", look, step=0.5)


def test_browser(gate, family, portal):
    """Shown the portal, presses release, surfs; the third time it is told to call."""
    sub = at_home(gate.fresh("business", family))
    site = Site(gate.lab.inet, HOST[family], family)
    browser = Browser(sub.node, gate.lab.dir / f"chromium{family}", {"www.example.org": HOST[family], NAME: PORTAL[family]})
    try:
        assert browser.open("http://www.example.org/") is None
        browser.shows("the open internet")
        for left in (1, 0):
            full(gate, sub)
            browser.open("http://www.example.org/")
            page = browser.shows("Your internet connection is limited")
            assert browser.run("location.href") == f"https://{NAME}/" and sub.name in page
            browser.click("#release")
            browser.shows("is not limited")
            assert not gate.is_quarantined(sub)
            assert gate.daemon.ok("portal", sub.address)["enforcer"]["self_release"]["left"] == left
            surf(browser)
        full(gate, sub)
        browser.open("http://www.example.org/")
        browser.shows("Please call us: 0800 000 000")
        assert browser.run("!document.querySelector('#release')") is True
    finally:
        browser.close()
        site.sock.close()
        gate.daemon.ctl("release", sub.address)
