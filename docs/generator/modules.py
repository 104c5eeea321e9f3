"""The table of rooms and modules, from the first lines of their docstrings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("db", "quota", "provisioner", "worker", "chattool", "api", "cli")
MIGRATIONS = "versions"  #: left out: a table of migrations would not help a reader


def tables() -> str:
    """Return a section for each package, with a table for each of its rooms."""
    return "\n\n".join("\n".join(_room(room)) for package in PACKAGES for room in _rooms(package))


def _rooms(package: str) -> Iterator[Path]:
    found = (file.parent for file in (ROOT / package).rglob("__init__.py"))
    return (room for room in sorted(found) if MIGRATIONS not in room.parts)


def _room(room: Path) -> Iterator[str]:
    name = room.relative_to(ROOT)
    depth = "#" * min(len(name.parts) + 2, 4)
    yield from (f"{depth} {name.as_posix()}/", "", _head(room / "__init__.py"))
    modules = [file for file in sorted(room.glob("*.py")) if file.stem != "__init__"]
    if modules:
        yield from ("", "| module | what it is |", "| --- | --- |")
        yield from (f"| `{module.name}` | {_head(module)} |" for module in modules)


def _head(module: Path) -> str:
    """Return the first sentence of a module's docstring, in Markdown."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ").replace("``", "`").replace("|", "\\|")
