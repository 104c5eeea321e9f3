"""Lines of our code are counted as coverage counts them."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import coverage
import pytest

from tests.linecount import NOTES, noting

CODE = {
    "docstrings": '''
        """Of the module."""
        from __future__ import annotations
        x = 1
        """Of the variable."""
        def f():
            """Of the function."""
            return 1
        f()
    ''',
    "branches that do not run": """
        if not []:
            x = 1
        else:
            x = 2
        for _ in ():
            x = 3
        else:
            x = 4
        while x > 4:
            x = 5
    """,
    "exceptions": """
        try:
            raise ValueError
        except ValueError:
            x = 2
        finally:
            x = 3
    """,
    "decorators": """
        def same(f):
            return f
        @same
        @same
        def f(): return (
            1
        )
        class C:
            @same
            def f(self):
                return f()
        C().f()
    """,
    "cases": """
        match 2:
            case 2:
                x = (
                    1,
                    2,
                )
            case _:
                x = 1
    """,
}


@pytest.mark.parametrize("code", CODE.values(), ids=CODE)
def test_the_lines_that_count_are_those_of_coverage(code: str, tmp_path: Path) -> None:
    path = tmp_path / "counted.py"
    path.write_text(textwrap.dedent(code))
    notes = bytearray(100)

    exec(compile(noting(ast.parse(path.read_bytes())), path, "exec"), {NOTES: notes})

    statements, ran = lines_by_coverage(path)
    assert {line for line, noted in enumerate(notes) if noted} & statements == ran


def lines_by_coverage(path: Path) -> tuple[set[int], set[int]]:
    """Return the lines of statements in a program, and those that run."""
    counted = coverage.Coverage(data_file=None, config_file=False, include=[str(path)])
    with counted.collect():
        exec(compile(path.read_bytes(), path, "exec"), {})
    _, statements, _, missing, _ = counted.analysis2(str(path))
    return set(statements), set(statements) - set(missing)
