"""Reads an exposition on stdin as the client library of Prometheus' own makers does.

    exposition.py openmetrics|text

The parser is strict about OpenMetrics: it fails on a unit that does not fit, on families in pieces,
on numbers that are not canonical, on a missing end. Prints one JSON object: each family with its
type, its unit, and its series.
"""

import json
import sys

from prometheus_client import parser as text
from prometheus_client.openmetrics import parser as openmetrics

FORMATS = {"openmetrics": openmetrics, "text": text}


def series(sample):
    labels = ",".join(f"{name}={value!r}" for name, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}}"


def main():
    families = FORMATS[sys.argv[1]].text_fd_to_metric_families(sys.stdin)
    read = {
        family.name: {
            "type": family.type,
            "unit": getattr(family, "unit", ""),
            "help": family.documentation,
            "series": sorted(series(sample) for sample in family.samples),
        }
        for family in families
    }
    json.dump(read, sys.stdout)


main()
