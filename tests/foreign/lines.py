"""Reads lines of JSON as Loki and Elastic do, and fails where either would lose something.

    lines.py NAME...   reads stdin

Each line has to be one flat object in UTF-8 without a name twice, with a `timestamp` of RFC 3339 in
UTC; a name has values of one kind in all lines. Says the names that came; with arguments, these have
to be among them.
"""

import datetime
import json
import re
import sys

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z")
NAME = re.compile(r"[a-z][a-z0-9_]*")
LEVELS = {"ERROR", "WARN", "INFO", "DEBUG", "TRACE"}


def once(pairs):
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a name twice: {names}"
    return dict(pairs)


def refuse(constant):
    raise ValueError(f"{constant} is no JSON")


def kind(value):
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, (int, float)):
        return "number"
    assert isinstance(value, str), f"not flat: {value!r}"
    return "text"


kinds = {}
count = 0
for raw in sys.stdin.buffer.read().split(b"\n")[:-1]:
    line = raw.decode("utf-8")
    said = json.loads(line, object_pairs_hook=once, parse_constant=refuse)
    assert isinstance(said, dict), line
    assert len(raw) < 16 * 1024, "longer than a container's log takes in one piece"
    moment = said["timestamp"]
    assert MOMENT.fullmatch(moment), moment
    datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    assert said.get("level", "INFO") in LEVELS, line
    for name, value in said.items():
        assert NAME.fullmatch(name), name
        if value is not None:
            known = kinds.setdefault(name, kind(value))
            assert known == kind(value), f"{name} is {known}, and not in {line}"
    count += 1
assert count > 0, "no lines"
missing = [name for name in sys.argv[1:] if name not in kinds]
assert not missing, f"{missing} in none of {count} lines, only {sorted(kinds)}"
for name in sorted(kinds):
    print(name, kinds[name])
