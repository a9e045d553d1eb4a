# SPDX-License-Identifier: GPL-2.0-or-later
"""Quarantines straight into the state of a daemon that does not run: a million by hand would take minutes."""
import contextlib
import sqlite3


def quarantine_row(family, key, length, since_ms, until_ms, level=2, net=0, reason="many", actor="user:root", convictions=0, group=""):
    """A row as the daemon writes it; key: the address as bytes."""
    return (family, key, length, net, level, 0, since_ms, until_ms, convictions, reason, actor, "", group)


def write_quarantines(daemon, rows):
    """The daemon must have run once, so that there is a state."""
    with contextlib.closing(sqlite3.connect(daemon.dir / "state" / "state.db")) as db, db:
        db.executemany("INSERT INTO quarantine VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)
