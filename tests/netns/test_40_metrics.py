# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics over HTTP: what the pages say, by promtool and by the real Prometheus; clients that mean no good; alert rules and dashboard."""
import http.client
import json
import re
import socket
import subprocess
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab import ROOT, TRAP
from net import wait_for

PORT = 9825
MONITORING = ROOT / "docs/monitoring"
OPENMETRICS = "application/openmetrics-text"


def configure(config):
    config["metrics"] = {"listen": f"127.0.0.1:{PORT}"}
    config["groups"][0]["detector"] = {"sequential": None}


class Inside(http.client.HTTPConnection):
    """A connection from within a namespace."""

    def __init__(self, node, host="127.0.0.1"):
        super().__init__(host, PORT, timeout=30)
        self._node, self._family = node, socket.AF_INET6 if ":" in host else socket.AF_INET

    def connect(self):
        self.sock = self._node.socket(self._family, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect((self.host, self.port))


ASKED = [0.0]  # when a page was asked for last


def ask(gate, path="/metrics", method="GET", accept=OPENMETRICS, host="127.0.0.1"):
    ASKED[0] = time.monotonic()
    connection = Inside(gate.lab.gw, host)
    connection.request(method, path, headers={"Accept": accept})
    answer = connection.getresponse()
    return answer.status, answer.getheader("Content-Type"), answer.read().decode()


def values(gate):
    """name{labels} -> value, of a page younger than this call."""
    time.sleep(max(0, ASKED[0] + 1.1 - time.monotonic()))  # a page is given again for a second
    return {k: float(v) for k, v in re.findall(r"^([a-z_]+(?:\{[^\n]*\})?) (\S+)$", ask(gate)[2], re.M)}


def promtool(*args, **more):
    return subprocess.run(["promtool", *map(str, args)], capture_output=True, text=True, timeout=120, check=False, **more)


def test_both_formats(gate):
    status, kind, text = ask(gate)
    assert status == 200 and kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n") and "# UNIT enforcer_verdict_seconds seconds\n" in text
    status, kind, text = ask(gate, accept="*/*")
    assert status == 200 and kind.startswith("text/plain; version=0.0.4")
    done = promtool("check", "metrics", input=text)
    assert done.returncode == 0, done.stdout + done.stderr


def test_numbers_follow_what_happens(gate):
    before = values(gate)
    zombie, trapped, honest = gate.fresh(), gate.fresh("business"), gate.fresh("business", 6)
    gate.syns(zombie, 21)
    gate.wait_quarantined(zombie)
    gate.syns(trapped, 1, TRAP[4])
    gate.wait_quarantined(trapped)
    gate.syns(honest, 5)
    wait_for("five more were read", lambda: gate.connections(honest) == 5)
    after = values(gate)

    def grew(name):
        return after[name] - before.get(name, 0)

    assert grew('enforcer_group_packets_total{group="residential",kind="blocked"}') == 21
    assert grew('enforcer_convictions_total{signal="connection-rate"}') == 1
    assert grew('enforcer_convictions_total{signal="trap"}') == 1
    assert grew('enforcer_quarantined{level="smtp"}') == 2
    assert grew('enforcer_group_quarantined{group="residential",level="smtp"}') + grew(
        'enforcer_group_quarantined{group="business",level="smtp"}') == 2
    assert sum(v for k, v in after.items() if k.startswith("enforcer_group_quarantined")) == len(gate.daemon.quarantined())
    assert after['enforcer_quarantined{level="smtp"}'] == len(gate.daemon.quarantined())
    assert grew("enforcer_time_to_block_seconds_count") == 2
    assert 1 <= grew("enforcer_verdict_seconds_count") <= grew("enforcer_queue_packets_total" + '{worker="0"}') or \
        sum(v for k, v in after.items() if k.startswith("enforcer_queue_packets_total")) >= 6
    assert grew("enforcer_events_total") > 0 and after["enforcer_events_lost_total"] == 0
    assert after["enforcer_enforcing"] == 1 and after["enforcer_ruleset_ok"] == 1
    status = gate.daemon.call("status")
    assert f'enforcer_build_info{{version="{status["version"]}"}}' in after
    # buckets never fall, and the last one is the count
    for name in ("enforcer_verdict_seconds", "enforcer_time_to_block_seconds"):
        buckets = [v for k, v in after.items() if k.startswith(name + "_bucket")]
        assert buckets == sorted(buckets) and buckets[-1] == after[name + "_count"] and len(buckets) == 15
    gate.daemon.ok("release", zombie.name)
    assert values(gate)['enforcer_quarantined{level="smtp"}'] == after['enforcer_quarantined{level="smtp"}'] - 1


def test_coverage_is_that_of_the_last_look(gate):
    gate.daemon.ok("quarantine", gate.fresh().address)
    there = len(gate.daemon.quarantined())

    def complete():
        now = values(gate)
        return now["enforcer_coverage_desired"] == now["enforcer_coverage_enforced"] == there
    wait_for("all of them are found in the kernel", complete, 30)


def test_a_repair_is_counted(gate):
    before = values(gate)
    gate.lab.gw.run("nft", "delete", "table", "inet", "enforcer")
    gate.daemon.wait_event("ruleset-restored")
    after = values(gate)
    assert after["enforcer_ruleset_repairs_total"] > before["enforcer_ruleset_repairs_total"]
    assert after["enforcer_ruleset_ok"] == 1


def test_nothing_else_is_served(gate):
    assert ask(gate, "/")[0] == 404 and ask(gate, "/metrics/../etc/passwd")[0] == 404
    assert ask(gate, method="POST")[0] == 405
    status, _, text = ask(gate, method="HEAD")
    assert status == 200 and text == ""


@pytest.mark.parametrize("bytes_sent", [
    b"\r\n" * 100, b"GET /" + b"a" * 100000, b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 100000, bytes(range(256)) * 40,
    b"GET /metrics HTTP/9.9\r\n\r\n", b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"],
    ids=["lines", "long path", "long header", "bytes", "version", "length", "chunk"])
def test_nonsense_is_survived(gate, bytes_sent):
    with gate.lab.gw.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(20)
        sock.connect(("127.0.0.1", PORT))
        try:
            sock.sendall(bytes_sent)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except TimeoutError:
            raise
        except OSError:
            pass  # closed by the server
    assert ask(gate)[0] == 200


def test_the_thread_is_sealed(gate):
    tasks = f"/proc/{gate.daemon.proc.pid}/task"
    done = subprocess.run(f"grep -l ^metrics$ {tasks}/*/comm", shell=True, capture_output=True, text=True, check=True)
    status = open(done.stdout.strip().replace("/comm", "/status"), encoding="ascii").read()
    # its own filter on top of the control thread's; a build for tests has none
    filters = re.search(r"^Seccomp_filters:\s*(\d+)", status, re.M)
    assert "system calls open" in gate.daemon.log() or filters and int(filters[1]) >= 2, status


def hang(gate):
    """More connections than it serves, each of them alive by a byte now and then: gone after ten seconds. True when an
    honest client is answered again."""
    hanging = []
    for _ in range(24):
        sock = gate.lab.gw.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", PORT))
        hanging.append(sock)

    def drip():
        for sock in hanging:
            try:
                sock.send(b"X")
            except OSError:
                pass
        try:
            connection = Inside(gate.lab.gw)
            connection.timeout = 0.5
            connection.request("GET", "/metrics")
            return connection.getresponse().status == 200
        except OSError:
            return False
    for sock in hanging:
        try:
            sock.send(b"GET /metrics HTTP/1.1\r\nX: ")
        except OSError:
            pass
    try:
        return wait_for("an honest client is answered", drip, 60)
    finally:
        for sock in hanging:
            sock.close()


@pytest.fixture(scope="module")
def hanging(gate):
    """That, beside the tests of other daemons."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(hang, gate)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"], ids=["ipv4", "ipv6"])
@pytest.mark.usefixtures("hanging")
def test_prometheus_scrapes(make_gate, host):
    """The real one, with the alert rules; it refuses a page that is no OpenMetrics."""
    gate = make_gate(lambda c: c.update(metrics={"listen": f"[{host}]:{PORT}" if ":" in host else f"{host}:{PORT}"}))
    gate.start()
    target = f"[{host}]:{PORT}" if ":" in host else f"{host}:{PORT}"
    config = gate.lab.dir / "prometheus.yml"
    config.write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{MONITORING}/alerts.yml]
scrape_configs:
  - {{job_name: enforcer, static_configs: [{{targets: ["{target}"]}}]}}
""")
    log = open(gate.lab.dir / "prometheus.log", "wb")
    proc = gate.lab.gw.start("prometheus", f"--config.file={config}", f"--storage.tsdb.path={gate.lab.dir}/tsdb",
                             "--web.listen-address=127.0.0.1:9090", stdout=log, stderr=log)

    def query(path):
        connection = Inside(gate.lab.gw)
        connection.port = 9090
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())["data"]

    def scraped():
        try:
            targets = query("/api/v1/targets")["activeTargets"]
        except (OSError, ValueError):
            return False
        assert not targets or not targets[0]["lastError"], targets
        return targets and targets[0]["health"] == "up"

    def value(expression):
        found = query("/api/v1/query?query=" + urllib.parse.quote(expression))["result"]
        return float(found[0]["value"][1]) if found else None
    try:
        wait_for("Prometheus has scraped", scraped, 60)
        if host == "::1":
            return
        zombie = gate.fresh()
        gate.syns(zombie, 21)
        gate.wait_quarantined(zombie)
        wait_for("the conviction is in Prometheus", lambda: value('enforcer_convictions_total{signal="connection-rate"}') == 1, 60)
        assert value('sum(enforcer_quarantined)') == 1
        rules = query("/api/v1/rules")["groups"][0]["rules"]
        assert len(rules) >= 10 and all(r["health"] in ("ok", "unknown") for r in rules)
        # names and types are those of the document
        known = query("/api/v1/metadata?limit=1000")
        text = (MONITORING / "README.md").read_text()
        for name, kinds in known.items():
            if name.startswith("enforcer_"):
                listed = name + ("_total" if kinds[0]["type"] == "counter" else "")
                assert f"`{listed}`" in text or f"`{name}`" in text, f"{name} is not in docs/monitoring/README.md"
    finally:
        proc.terminate()
        proc.wait(30)


def test_alert_rules():
    for args in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        done = promtool(*args, cwd=MONITORING)
        assert done.returncode == 0, done.stdout + done.stderr
    alerts = set(re.findall(r"alert: (\w+)", (MONITORING / "alerts.yml").read_text()))
    tested = set(re.findall(r"alertname: (\w+)", (MONITORING / "alerts_test.yml").read_text()))
    assert alerts == tested


def test_an_address_that_is_taken_is_no_reason_not_to_enforce(make_gate):
    gate = make_gate(configure)
    with gate.lab.gw.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", PORT))
        taken.listen(1)
        gate.start()
        assert f"127.0.0.1 port {PORT} cannot be listened on" in gate.daemon.log()
    done = gate.daemon.ok("reload")
    assert gate.daemon.alive() and done is not None
    assert gate.daemon.stop() == 0


def test_clients_that_hang_do_not_keep_others_out(gate, hanging):
    assert hanging.result(90)
    assert gate.daemon.call("status")["mode"] == "enforce"


def test_what_is_drawn_and_alerted_exists(gate):
    there = {re.sub(r"\{.*", "", k) for k in values(gate)}
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    expressions = [t["expr"] for p in dashboard["panels"] for t in p["targets"]]
    assert len(expressions) > 20
    text = "\n".join(expressions) + (MONITORING / "alerts.yml").read_text() + json.dumps(dashboard["templating"])
    for name in set(re.findall(r"\benforcer_\w+", text)):
        assert name in there, f"{name} is no metric"
    documented = set(re.findall(r"`(enforcer_\w+)`", (MONITORING / "README.md").read_text()))
    for name in there:
        assert re.sub(r"_(bucket|count|sum)$", "", name) in documented, f"{name} is not in docs/monitoring/README.md"
    for name in documented:
        assert name in there or name + "_count" in there, f"{name} of the document is no metric"
