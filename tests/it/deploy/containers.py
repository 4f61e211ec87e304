"""Reads a file as its tool would, refuses what that would refuse, and prints it as JSON."""

import json
import re
import sys

import yaml


def compose(text):
    from compose_spec import PyCompose

    # Compose puts in variables before it looks: here all of them are unset.
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    PyCompose.from_yaml(text).validate()
    return yaml.safe_load(text)


def podmonitor(text):
    from cloudcoil.models.prometheus_operator import v1

    given = yaml.safe_load(text)
    known = v1.PodMonitor.model_validate(given).model_dump(by_alias=True, exclude_none=True, mode="json")
    # What the model does not know is not in its answer.
    missing = [path for path, value in leaves(given) if (path, value) not in list(leaves(known))]
    if missing:
        raise ValueError(f"unknown: {missing}")
    return given


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*path, number))
    else:
        yield path, value


def plain(text):
    return yaml.safe_load(text)


print(json.dumps(globals()[sys.argv[1]](sys.stdin.read())))
