"""What a validator of others says of instances of a JSON schema.

Reads {"schema", "instances"} from standard input; writes {"errors", "never_seen"}: what is wrong
with the instances, and the fields of the schema that no instance has.
"""

import json
import sys

from jsonschema import Draft202012Validator


def steps(schema, root):
    """The schema itself, and those that it stands for."""
    found = [schema]
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        found += steps(root["$defs"][name], root)
    for choice in schema.get("anyOf", []):
        found += steps(choice, root)
    return found


def visit(schema, instance, root, seen):
    """Notes down the fields of the schema that the instance has."""
    for one in steps(schema, root):
        if isinstance(instance, dict):
            for name, field in one.get("properties", {}).items():
                if name in instance:
                    if instance[name] is not None:
                        seen.add(id(field))
                    visit(field, instance[name], root, seen)
        if isinstance(instance, list) and "items" in one:
            for item in instance:
                visit(one["items"], item, root, seen)


def fields(schema, path=""):
    """Every field of the schema, with its path."""
    if isinstance(schema, dict):
        for name, field in schema.get("properties", {}).items():
            yield f"{path}/{name}", field
        for name, part in schema.items():
            yield from fields(part, f"{path}/{name}")
    if isinstance(schema, list):
        for part in schema:
            yield from fields(part, path)


question = json.load(sys.stdin)
schema = question["schema"]
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
errors, seen = [], set()
for instance in question["instances"]:
    found = sorted(validator.iter_errors(instance), key=lambda error: list(map(str, error.path)))
    for error in found:
        errors.append(f"{'/'.join(map(str, error.path))}: {error.message}")
    visit(schema, instance, schema, seen)
never_seen = [path for path, field in fields(schema) if id(field) not in seen]
json.dump({"errors": errors, "never_seen": never_seen}, sys.stdout)
