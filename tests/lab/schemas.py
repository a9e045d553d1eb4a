# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/schemas: whether events and what goes over the control socket are what they say. Of many events a few of each action, and
one of each shape; of many calls of a method the first few. preflight says where jsonschema is missing and nothing is compared."""
import collections
import functools
import json
import pathlib

try:
    import jsonschema
except ImportError:  # the guests of tests/vm have no more than they need
    jsonschema = None
try:
    import referencing
    import referencing.jsonschema
except ImportError:  # jsonschema before 4.18 does without
    referencing = None

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs" / "schemas"
# They refer to one another by name. Read at once: a test may go on as a user who may not read them.
FILES = {f: json.loads((FOLDER / f).read_text()) for f in ("control.json", "event.json", "xarf-infected-host.json")}
EACH = 5  # events of one action that are looked at, besides new shapes
CALLS = 20  # of one method, in one process
LARGE = 64 * 1024  # bytes of an answer that is left alone
COMMANDS = {"status": "status", "quarantine": "quarantine.add", "release": "quarantine.release",
            "show": "subscriber.show", "top": "subscriber.top", "reassigned": "subscriber.reassigned", "relay": "relay.{}",
            "audit": "audit.list", "mode": "mode.set", "reload": "config.reload", "confirm": "config.confirm",
            "ruleset": "ruleset.show", "report": "report.{}", "governor": "governor.{}"}
calls = collections.Counter()  # method -> how many were compared


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


@functools.cache
def control_validator(name):
    """For one of $defs of control.json: "status.result"; "": for a whole line."""
    schema = {"$ref": "control.json" + (f"#/$defs/{name}" if name else "")}
    if referencing is None:
        return jsonschema.Draft202012Validator(schema, resolver=jsonschema.RefResolver("", schema, store=FILES))
    registry = referencing.Registry().with_resources(
        (f, referencing.jsonschema.DRAFT202012.create_resource(text)) for f, text in FILES.items())
    return jsonschema.Draft202012Validator(schema, registry=registry)


def wrong_control(name, value):
    """What docs/schemas/control.json has against a value, or None."""
    for error in control_validator(name).iter_errors(value):
        return f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
    return None


def wrong_call(method, params, result, size):
    """What is wrong with a call that was answered with a result of so many bytes, or None. params None: not known."""
    if jsonschema is None or size > LARGE or calls[method] >= CALLS:
        return None
    calls[method] += 1
    wrong = wrong_control(method + ".params", params) if params is not None else None
    return wrong or wrong_control(method + ".result", result)


def method_of(args):
    """The method behind a command line of enforcerctl whose --json is its result; `list` puts pages together."""
    command, *rest = [str(a) for a in args]
    if command == "portal":
        return "portal.release" if "--release" in rest else "portal.show"
    return COMMANDS[command].format(*rest) if command in COMMANDS else None


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
