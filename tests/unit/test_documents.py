"""The OpenAPI documents are complete: what generators of clients need is there."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
DOCUMENTS = ("httpapi.json", "openapi.json")


def parts(value: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of a document, with where it is."""
    if isinstance(value, dict):
        yield where, value
        for key, item in value.items():
            yield from parts(item, f"{where}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from parts(item, f"{where}/{index}")


def read(name: str) -> Any:
    return json.loads((REFERENCE / name).read_text(encoding="utf-8"))


def is_resolvable(document: Any, reference: str) -> bool:
    found = document
    for key in reference.removeprefix("#/").split("/"):
        if not isinstance(found, dict) or key not in found:
            return False
        found = found[key]
    return reference.startswith("#/")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_leads_to_a_part_of_the_document(name: str) -> None:
    document = read(name)
    references = {
        where: found["$ref"]
        for where, found in parts(document)
        if isinstance(found.get("$ref"), str)
    }
    assert references
    lost = {where: to for where, to in references.items() if not is_resolvable(document, to)}
    assert lost == {}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_array_names_its_items(name: str) -> None:
    arrays = [(where, found) for where, found in parts(read(name)) if found.get("type") == "array"]
    assert arrays
    assert [where for where, found in arrays if "items" not in found] == []


def test_the_generated_clients_have_the_version_of_the_server() -> None:
    package = json.loads((ROOT / "clients/typescript/package.json").read_text(encoding="utf-8"))
    versions = {
        tomllib.loads((ROOT / name).read_text(encoding="utf-8"))["project"]["version"]
        for name in ("pyproject.toml", "clients/python/pyproject.toml")
    }
    assert versions == {package["version"]}
