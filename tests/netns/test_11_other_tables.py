# SPDX-License-Identifier: GPL-2.0-or-later
"""11. Another table of the same namespace is byte for byte the same before, during and after."""
import pytest

from lab import BUILD
from net import Server


def others(gate):
    return {t: gate.lab.gw.run("nft", "-a", "list", "table", *t.split()).stdout for t in ("inet other", "ip nat", "ip6 nat")}


def test_other_tables(make_gate):
    gate = make_gate()
    gate.lab.other_table()
    gate.lab.masquerade()
    nft = gate.lab.gw.run
    before = others(gate)
    assert "friends" in before["inet other"] and "masquerade" in before["ip nat"]
    gate.start()
    seen = {"started": others(gate)}

    for family in (4, 6):
        sub, other = gate.fresh("residential", family), gate.fresh("business", family)
        mark = gate.daemon.mark()
        gate.syns(sub, 25)
        gate.wait_quarantined(sub, mark)
        gate.syns(other, 1)
        gate.daemon.ok("quarantine", "100.64.9.0/24" if family == 4 else "2001:db8:2000:4000::/56")
        gate.daemon.ok("quarantine", other.address)
        gate.daemon.ok("release", other.address)
    seen["used"] = others(gate)
    gate.daemon.ok("reload")
    gate.daemon.ok("mode", "observe")
    gate.daemon.ok("mode", "file")
    seen["reloaded"] = others(gate)
    gate.daemon.kill()
    gate.daemon.start()
    seen["killed and started"] = others(gate)
    mark = gate.daemon.mark()
    nft("nft", "delete", "table", "inet", "enforcer")
    gate.daemon.wait_event("ruleset-restored", since=mark)
    seen["restored"] = others(gate)
    assert gate.daemon.stop() == 0
    seen["stopped"] = others(gate)
    nft(BUILD / "enforcerd", "-c", gate.daemon.config_path, "--uninstall")
    seen["uninstalled"] = others(gate)

    for when, tables in seen.items():
        for table, text in tables.items():
            assert text == before[table], f"{table} changed: {when}"
    assert sorted(nft("nft", "list", "tables").stdout.split("\n")) == \
        ["", "table inet other", "table ip nat", "table ip6 nat"]


@pytest.mark.parametrize("family", [4, 6])
def test_rules_of_others_still_work(make_gate, family):
    """The operator's own drop and mark are as before; an accept of ours overrules no drop of theirs."""
    gate = make_gate()
    gate.lab.other_table()
    gate.start()
    sub = gate.fresh("business", family)
    assert gate.passes(sub, gate.syn(sub, dport=8080), gate.syn(sub, dport=8081)) == [False, True]
    Server(gate.lab.inet, 25, family=family)
    assert gate.attempt(sub) == "open"
    gate.lab.gw.nft("""table inet strict {
        chain through {
            type filter hook forward priority 50; policy accept;
            tcp dport 25 drop
        }
    }""")
    assert gate.attempt(sub, timeout=0.5) == "timeout"
    gate.close()
