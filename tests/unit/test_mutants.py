"""What the mutation run breaks, and that it can tell one mutant from another."""

from __future__ import annotations

import pytest

from tests.mutants.mutation import named
from tests.mutants.python import edits_of_source
from tests.mutants.rooms import ROOMS, ROOT, asked_about, modules_of


def mutants(source: str) -> set[str]:
    """Return the source with each mutation in it."""
    return {
        mutation.apply(source).strip()
        for mutation in named("module.py", source, edits_of_source(source))
    }


@pytest.mark.parametrize(
    ("source", "broken"),
    [
        ("x = a < b", {"x = a <= b"}),
        ("x = a is None", {"x = a is not None"}),
        ("x = a and b", {"x = a or b"}),
        ("x = not a", {"x = (a)"}),
        ("x = True", {"x = False"}),
        (
            "x = [\u00e9 + 1, (a) == b]",
            {"x = [\u00e9 - 1, (a) == b]", "x = [\u00e9 + 1, (a) != b]"},
        ),
        ("ring(queue)", {"pass"}),
        ("log.info('said')", set()),
        ("'a docstring'", set()),
        ("LIMIT = 5", set()),
    ],
)
def test_python_is_broken_at(source: str, broken: set[str]) -> None:
    assert mutants(source) == broken


@pytest.mark.parametrize(
    ("sql", "broken"),
    [
        ("WHERE a = :b", {"WHERE (a = :b OR true)"}),
        ("WHERE a IS NULL", {"WHERE (a IS NULL OR true)"}),
        ("WHERE NOT w.deleted", {"WHERE (NOT w.deleted OR true)"}),
        ("WHERE a < b", {"WHERE (a < b OR true)", "WHERE a <= b"}),
        ("SELECT a <= b", {"SELECT a < b"}),
        ("SELECT now()", {"SELECT (now() - interval '1 day')"}),
        ("SELECT a FOR UPDATE SKIP LOCKED", {"SELECT a  SKIP LOCKED", "SELECT a FOR UPDATE"}),
        ("SET a = :b, c = f(d, e)", {"SET a = a, c = f(d, e)", "SET a = :b, c = c"}),
        ("a = :b AND c", {"(a = :b OR true) AND c"}),
        ("a = :b, c = NULL", {"a = a, c = NULL", "a = :b, c = c"}),
        ("WHERE a IN ('b')", {"WHERE (a IN ('b') OR true)"}),
        ("no statement, a = b", set()),
    ],
)
def test_sql_is_broken_at(sql: str, broken: set[str]) -> None:
    found = {text.removeprefix('x = "').removesuffix('"') for text in mutants(f'x = "{sql}"')}
    assert {text.strip() for text in found} == broken


def test_two_mutants_of_one_line_have_names_of_their_own() -> None:
    source = "x = a < b < c\ny = 1\nx = a < b < c\n"
    names = [mutation.id for mutation in named("module.py", source, edits_of_source(source))]
    assert len(set(names)) == 4


def test_a_mutant_keeps_its_name_when_other_lines_change() -> None:
    alone, below = "x = a < b\n", "y = f(1)\nx = a < b\n"
    [first] = named("module.py", alone, edits_of_source(alone))
    assert first.id in {found.id for found in named("module.py", below, edits_of_source(below))}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_mutants_and_tests_that_are_there(room: str) -> None:
    modules = modules_of(room)
    assert any(mutants((ROOT / module).read_text()) for module in modules)
    missing = [
        path
        for module in modules
        for path in asked_about(room, module)
        if not (ROOT / path).exists()
    ]
    assert missing == []
