"""Judges manifests for Kubernetes by the schemas of those who define them.

    manifests.py check FOLDER       fails at the first one that is not valid, and says why
    manifests.py text FILE KEY…     prints a text inside of a file: its first document, KEY by KEY

Kubernetes' own kinds are judged by its schemas in the package kubernetes-validate, those of
cert-manager and of the Prometheus operator by the packages cloudcoil-models-*. Every reference of
one manifest to another is looked for as well: names of ports, ConfigMaps, labels, files.
"""

import pathlib
import sys

import kubernetes_validate
import yaml
from cloudcoil.models.cert_manager.v1 import Certificate
from cloudcoil.models.prometheus_operator.v1 import PodMonitor

MODELS = {"Certificate": Certificate, "PodMonitor": PodMonitor}
VERSIONS = ("1.30", "1.33", "1.37")


def unknown(given, kept, path):
    """Keys of `given` that a model has not kept, since it knows none of that name."""
    if isinstance(given, dict):
        for key, value in given.items():
            place = f"{path}.{key}"
            if not isinstance(kept, dict) or key not in kept:
                yield place
            else:
                yield from unknown(value, kept[key], place)
    elif isinstance(given, list):
        for index, value in enumerate(given):
            yield from unknown(value, kept[index], f"{path}[{index}]")


def check_one(document):
    model = MODELS.get(document["kind"])
    if model is None:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
        return
    kept = model.model_validate(document).model_dump(by_alias=True, exclude_unset=True, mode="json")
    lost = list(unknown(document, kept, document["kind"]))
    if lost:
        raise ValueError(f"unknown: {', '.join(lost)}")


def check_references(documents):
    """What each manifest says of others has to be there."""
    named = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    pods = {}
    for (kind, name), document in named.items():
        assert document["metadata"].get("namespace", name) == "portunus", f"{kind} {name}"
        if kind == "Deployment":
            template = document["spec"]["template"]
            labels = template["metadata"]["labels"]
            assert document["spec"]["selector"]["matchLabels"].items() <= labels.items(), name
            containers = template["spec"]["containers"]
            ports = {port["name"] for one in containers for port in one["ports"]}
            pods[name] = (labels, ports, template["spec"])

    def chosen(labels):
        found = [ports for pod, ports, _ in pods.values() if labels.items() <= pod.items()]
        assert found, f"no pod has the labels {labels}"
        return set().union(*found)

    for (kind, name), document in named.items():
        spec = document.get("spec", {})
        if kind == "Service":
            ports = chosen(spec["selector"])
            assert all(port["targetPort"] in ports for port in spec["ports"]), f"{kind} {name}"
        elif kind == "PodMonitor":
            ports = chosen(spec["selector"]["matchLabels"])
            assert all(one["port"] in ports for one in spec["podMetricsEndpoints"]), name
        elif kind == "PodDisruptionBudget":
            chosen(spec["selector"]["matchLabels"])
        elif kind == "NetworkPolicy":
            ports = chosen(spec["podSelector"]["matchLabels"])
            rules = [port["port"] for rule in spec["ingress"] for port in rule["ports"]]
            assert all(isinstance(port, int) or port in ports for port in rules), name
    volumes = {volume["name"]: volume for volume in pods["portunus"][2]["volumes"]}
    assert ("ConfigMap", volumes["configuration"]["configMap"]["name"]) in named
    secret = named["Certificate", "portunus"]["spec"]["secretName"]
    assert volumes["certificates"]["secret"]["secretName"] == secret


def main():
    if sys.argv[1] == "text":
        with open(sys.argv[2], encoding="utf-8") as file:
            value = next(yaml.safe_load_all(file))
        for key in sys.argv[3:]:
            value = value[key]
        print(value, end="")
        return
    folder = pathlib.Path(sys.argv[2])
    (listed,) = yaml.safe_load_all((folder / "kustomization.yaml").read_text("utf-8"))
    files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed["resources"]) == files, f"kustomization.yaml lists {listed['resources']}"
    documents = []
    for name in sorted(files):
        for document in yaml.safe_load_all((folder / name).read_text("utf-8")):
            try:
                check_one(document)
            except Exception as error:
                raise SystemExit(f"{name}: {document['kind']}: {error}") from error
            documents.append(document)
    check_references(documents)
    print(" ".join(sorted(document["kind"] for document in documents)))


main()
