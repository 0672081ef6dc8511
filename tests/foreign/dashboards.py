"""What Grafana's own models leave of dashboards.

Reads a list of dashboards from standard input, has each read by the models that Grafana publishes,
and written again by them; writes, for each, the paths of what was lost or changed on the way: a
field that nobody knows, a value of another kind. An array has no numbers in a path.
"""

import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(before, after, path=""):
    """Where `after` has not all that `before` has."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name in after:
                yield from lost(value, after[name], f"{path}/{name}")
            else:
                yield f"{path}/{name}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after):
            yield from lost(one, other, path)
    elif before != after:
        yield path


register_default_plugins()
found = []
for dashboard in json.load(sys.stdin):
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    found.append(sorted(set(lost(dashboard, again))))
json.dump(found, sys.stdout)
