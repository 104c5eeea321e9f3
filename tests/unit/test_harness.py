"""The directions of imports among tests, their harness and the benches."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS_OF_BENCH = "tests/unit/bench/"


@functools.cache
def trees() -> Mapping[str, ast.Module]:
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
        for folder in ("tests", "bench", "docs", "deploy")
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


@functools.cache
def imports(path: str) -> Sequence[str]:
    return tuple(_imports(path))


def _imports(path: str) -> Iterator[str]:
    for node in ast.walk(trees()[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{node.module}"


def test_nothing_but_its_own_tests_imports_a_bench() -> None:
    offenders = [
        f"{path} imports {name}"
        for path in trees()
        if not path.startswith(("bench/", TESTS_OF_BENCH))
        for name in imports(path)
        if name.partition(".")[0] == "bench"
    ]
    assert offenders == []


def test_no_test_imports_another_test_or_its_fixtures() -> None:
    offenders = [
        f"{path} imports {name}"
        for path in trees()
        for name in imports(path)
        if name.startswith("tests.") and name.rpartition(".")[2].startswith(("test_", "conftest"))
    ]
    assert offenders == []


# The second holds stand-ins of other people's providers.
SHARED = ("tests.harness", "tests.providers")


def test_the_harness_and_the_benches_import_nothing_of_tests_but_what_is_shared() -> None:
    offenders = [
        f"{path} imports {name}"
        for path in trees()
        if path.startswith(("tests/harness/", "bench/"))
        for name in imports(path)
        if name.startswith("tests") and not name.startswith(SHARED)
    ]
    assert offenders == []
