# SPDX-License-Identifier: GPL-2.0-or-later
"""A headless Chromium in a machine of the lab, led over its DevTools pipe."""
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time

from net import LIMIT, wait_for
from node import LabError


class NoAnswer(LabError):
    """Not in time."""


class Browser:
    """resolve: host name -> address. Certificates are not checked: the lab signs its own."""

    def __init__(self, node, folder, resolve, language="en"):
        rules = ", ".join(f"MAP {name} {f'[{a}]' if ':' in a else a}" for name, a in resolve.items())
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self._out, self._in, self._buffer, self._serial = ours_out, ours_in, b"", 0
        folder.mkdir(exist_ok=True)
        argv = [shutil.which("chromium") or "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-extensions",
                "--disable-component-update", "--disable-sync", "--disable-features=HttpsUpgrades,OptimizationHints",
                "--ignore-certificate-errors", f"--lang={language}", f"--accept-lang={language}",
                f"--user-data-dir={folder}", f"--host-resolver-rules={rules}", "--remote-debugging-pipe", "about:blank"]
        with open(folder / "log", "wb") as log:
            self.proc = node.start("bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *argv, stderr=log,
                                   pass_fds=(theirs_in, theirs_out), env={**os.environ, "HOME": str(folder)})
        os.close(theirs_in)
        os.close(theirs_out)
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    _session = None

    def send(self, method, limit=3 * LIMIT, **params):
        """One command; its result. What the browser tells besides is not kept."""
        self._serial += 1
        message = {"id": self._serial, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            while b"\0" in self._buffer:
                line, self._buffer = self._buffer.split(b"\0", 1)
                answer = json.loads(line)
                if answer.get("id") == self._serial:
                    if "error" in answer:
                        raise LabError(f"chromium: {method}: {answer['error']}")
                    return answer["result"]
            if select.select([self._in], [], [], 1)[0]:
                data = os.read(self._in, 65536)
                if not data:
                    raise LabError("chromium has ended")
                self._buffer += data
        raise NoAnswer(f"chromium: no answer to {method}")

    def run(self, script):
        """The value of a JavaScript expression in the page; None while there is none."""
        return self.send("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def open(self, url):
        """Goes there; answers the error of the network, or None. Like a person who gets no answer it tries once more: a
        connection that the browser opened ahead, before the quarantine began, is dropped without a word."""
        for _ in range(6):
            with contextlib.suppress(NoAnswer):
                return self.send("Page.navigate", limit=15, url=url).get("errorText")
        raise LabError(f"chromium: {url} does not come")

    def text(self):
        with contextlib.suppress(LabError):
            return self.run("document.readyState == 'complete' && document.body ? document.body.innerText : ''") or ""
        return ""

    def shows(self, words, limit=3 * LIMIT):
        """Waits until the page has these words; its text."""
        return wait_for(f"the browser to show {words!r}", lambda: words in self.text() and self.text(), limit)

    def click(self, selector):
        assert self.run(f"(e => e ? (e.click(), true) : false)(document.querySelector({json.dumps(selector)}))"), \
            f"no {selector} on the page: {self.text()}"

    def close(self):
        with contextlib.suppress(OSError):
            os.killpg(self.proc.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.proc.wait(10)
        os.close(self._in)
        os.close(self._out)
