# SPDX-License-Identifier: GPL-2.0-or-later
"""A plugin of pytest for tests/vm/whole: of the files given, what one guest has time for. A line that begins with @vm for each
test that begins or ends tells what was done even where the guest dies; what earlier guests did is left out."""
import os
import pathlib
import time

BEGAN = time.monotonic()
SOFT = float(os.environ.get("VM_SECONDS", "120"))  # after so many no other file is begun
HARD = 1.6 * SOFT  # and after so many no other test


def pytest_configure(config):
    config.pluginmanager.register(Portion(config))


class Portion:
    def __init__(self, config):
        self._config, self._session = config, None
        self._running, self._last = {}, {}
        done = os.environ.get("VM_DONE")
        self._done = set(pathlib.Path(done).read_text().splitlines()) if done else set()

    def _say(self, *words):
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        terminal.ensure_newline()
        terminal.write_line("\t".join(("@vm", *map(str, words))))
        terminal.flush()

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if item.nodeid not in self._done]

    def pytest_collection_finish(self, session):
        self._session = session
        self._say("kernel", os.uname().release)
        files = [item.nodeid.split("::")[0] for item in session.items]
        self._last = {file: item.nodeid for file, item in zip(files, session.items)}
        for file in self._last:
            self._say("todo", file, files.count(file))

    def pytest_collectreport(self, report):
        if report.failed:
            self._say("end", "failed", 0, report.nodeid)

    def pytest_runtest_logstart(self, nodeid):
        self._running[nodeid] = ["passed", 0, ""]
        self._say("begin", nodeid)

    def pytest_runtest_logreport(self, report):
        running = self._running[report.nodeid]
        running[1] += report.duration
        if report.failed or (report.skipped and running[0] == "passed"):
            running[0] = report.outcome
            if report.skipped and isinstance(report.longrepr, tuple):
                running[2] = " ".join(report.longrepr[2].removeprefix("Skipped: ").split())

    def pytest_runtest_logfinish(self, nodeid):
        outcome, seconds, reason = self._running.pop(nodeid)
        self._say("end", outcome, f"{seconds:.1f}", nodeid, reason)
        passed = time.monotonic() - BEGAN
        if passed > HARD or (passed > SOFT and self._last[nodeid.split("::")[0]] == nodeid):
            self._session.shouldstop = "the time of this guest is over"
