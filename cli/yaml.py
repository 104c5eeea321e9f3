"""Documents as YAML 1.2."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

# What needs no quotation marks: letters first, and no word that another reader takes for a value.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"}


def yaml_text(document: object) -> str:
    """Return a document of mappings, lists, texts, numbers, truth values and None as YAML."""
    return "\n".join(_lines(document))


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _entry(f"{_scalar(str(name))}:", inner, indent="  ")
    elif isinstance(value, list) and value:
        for inner in value:
            first, *others = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        yield _scalar(value)


def _entry(name: str, value: object, *, indent: str) -> Iterator[str]:
    lines = list(_lines(value))
    if isinstance(value, Mapping | list) and value:
        yield name
        yield from (indent + line for line in lines)
    else:
        yield f"{name} {lines[0]}"


def _scalar(value: object) -> str:
    if isinstance(value, float):
        # Some readers take 1e-06 for a text, and 1.0e-06 for a number.
        return re.sub(r"^(-?\d+)e", r"\1.0e", json.dumps(value))
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in {'"', "\\"}:
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\U{ord(character):08X}"
