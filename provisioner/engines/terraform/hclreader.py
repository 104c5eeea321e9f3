"""Read HCL with HashiCorp's own grammar. A separate program, started by ``hcl``.

    python hclreader.py files|values INPUT

INPUT is a JSON object of texts by name: of files, or of values of variables. Each line of the
answer is a JSON object with the ``name`` and either the ``body`` (of a file the blocks with
declarations, of a value what it is) or the ``error``.

The grammar includes a Go runtime, which neither survives a fork nor can be interrupted, and a
template may be written to use up all memory. So HCL is read only here, under limits.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygohcl

CPU_SECONDS = 20
MEMORY_BYTES = 1024**3
DECLARING = ("variable", "data")


def main() -> None:
    """Read the texts and print what they mean."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    read = {"files": _read_file, "values": _read_value}[sys.argv[1]]
    texts: dict[str, str] = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    for name, text in texts.items():
        sys.stdout.write(json.dumps({"name": name, **_answer(read, text)}) + "\n")


def _answer(read: Callable[[str], Any], text: str) -> dict[str, Any]:
    if "\0" in text:
        return {"error": "invalid HCL: it holds a NUL character"}
    try:
        return {"body": read(text)}
    except (pygohcl.HCLParseError, pygohcl.HCLInternalError) as error:
        return {"error": str(error)}


def _read_file(text: str) -> dict[str, Any]:
    body = pygohcl.loads(text, keep_interpolations=True)
    return {kind: _in_order(body[kind], text) for kind in DECLARING if kind in body}


def _read_value(text: str) -> Any:
    attributes = pygohcl.attributes_loads(f"value = {text}\n")
    if attributes.keys() != {"value"}:
        raise pygohcl.HCLParseError("invalid HCL: it is more than one value")
    return attributes["value"]


def _in_order(blocks: Any, text: str) -> Any:
    """Return blocks by label in the order of the file, which the grammar does not keep."""
    if not isinstance(blocks, dict):
        return blocks
    labels = sorted(blocks, key=lambda label: text.find(f'"{label}"'))
    return {label: _in_order(blocks[label], text) for label in labels}


if __name__ == "__main__":
    main()
