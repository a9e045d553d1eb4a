# SPDX-License-Identifier: GPL-2.0-or-later
"""What docs/getting-started.md says, as a list: the marked blocks in their order."""
import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/getting-started.md"


class Step:
    """kind: "step" with the commands of a shell, or "file" with its text; name: of the step, or the file's path."""

    def __init__(self, kind, name, text):
        self.kind, self.name, self.text = kind, name, text

    def commands(self):
        return [line.removeprefix("sudo ") for line in self.text.splitlines()]


def steps():
    text = PAGE.read_text(encoding="utf-8")
    found = [Step(*m) for m in re.findall(r"^<!-- (step|file): (\S+) -->\n```(?:sh|yaml)\n(.*?)^```$", text, re.M | re.S)]
    # a block of commands without a mark would be a step that nobody tries
    assert len(found) == len(re.findall(r"^```(?:sh|yaml)$", text, re.M)), "a block of docs/getting-started.md has no mark"
    return found
