# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/schemas: whether events are what they say. Of many events a few of each action, and one of each shape."""
import json
import pathlib

try:
    import jsonschema
except ImportError:  # the guests of tests/vm have no more than they need
    jsonschema = None

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs" / "schemas"
EACH = 5  # events of one action that are looked at, besides new shapes


def shape(value):
    """The keys of an object, at all depths; a list is like its first item."""
    if isinstance(value, dict):
        return tuple((k, shape(v)) for k, v in sorted(value.items()))
    if isinstance(value, list):
        return shape(value[0]) if value else None
    return None


def validator(name):
    schema = json.loads((FOLDER / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def wrong_events(lines):
    """What is wrong with the first event that the schema refuses, or None."""
    if jsonschema is None:
        return None
    check, counts, shapes = validator("event.json"), {}, set()
    for line in lines:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue  # half a line of a killed daemon
        action = event.get("event", {}).get("action")
        counts[action] = counts.get(action, 0) + 1
        form = (action, shape(event))
        if counts[action] > EACH and form in shapes:
            continue
        shapes.add(form)
        for error in check.iter_errors(event):
            return f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}: {line[:400]}"
    return None
