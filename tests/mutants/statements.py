"""Mutations within SQL: most promises of the daemon are guards of statements."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.mutants.mutation import Edit

IS_SQL = re.compile(r"\b(SELECT|UPDATE|INSERT INTO|DELETE FROM|WHERE|SET|coalesce|least)\b")
NESTED = r"\((?:[^()]|\([^()]*\))*\)"
OPERAND = rf"(?:[\w.]+{NESTED}|:?[\w.]+|'[^']*'|\{{\w+\}})"
# What a condition begins with; what follows is one comparison of it.
CONDITION = r"\b(?P<word>WHERE|AND|OR|ON|WHEN)(?P<gap>\s+)"
COMPARISON = re.compile(
    CONDITION + rf"(?P<guard>{OPERAND}(?:\s*[+-]\s*{OPERAND})?"
    rf"\s*(?P<operator><=|>=|<>|=|<|>)\s*{OPERAND}(?:\s*[+-]\s*{OPERAND})?)"
)
NULLNESS = re.compile(CONDITION + r"(?P<guard>[\w.():]+ IS (?:NOT )?NULL)")
NEGATION = re.compile(CONDITION + r"(?P<guard>NOT [\w.]+)\b(?!\()")
FLAG = re.compile(CONDITION + r"(?P<guard>(?:\w+\.)?(?:deleted|draining|is_\w+|:succeeded))\b")
ASSIGNMENT = re.compile(rf'(?P<column>\b[a-z_]+) = (?P<value>(?:[^\n,()"]|{NESTED})+)')

REWRITES: tuple[tuple[str, str, str], ...] = (
    (r"\bnow\(\)", "(now() - interval '1 day')", "time"),
    (r"\bFOR (NO KEY )?(UPDATE|SHARE)( OF \w+(, \w+)*)?", "", "lock"),
    (r"\bSKIP LOCKED\b", "", "lock"),
    (r"(?<= )<(?= )", "<=", "boundary"),
    (r"(?<= )<=(?= )", "<", "boundary"),
    (r"(?<= )>(?= )", ">=", "boundary"),
    (r"(?<= )>=(?= )", ">", "boundary"),
    (r" DESC\b", "", "order"),
    (r"\bleast\(", "greatest(", "function"),
    (r"\bLEFT JOIN\b", "JOIN", "join"),
    (r"\bIS DISTINCT FROM\b", "IS NOT DISTINCT FROM", "comparison"),
    (r"(?<=\s)\+(?=\s)", "-", "arithmetic"),
    (r"(?<=\s)-(?=\s)", "+", "arithmetic"),
    (r"\bNOT EXISTS\b", "EXISTS", "condition"),
    (r"(?<= )true\b", "false", "constant"),
    (r"(?<= )false\b", "true", "constant"),
    (r"\bDISTINCT (?!ON|FROM)", "", "function"),
    (r"(?<=DELETE FROM leases USING )(\w+) WHERE", r"\1 WHERE false AND", "write"),
)


def edits_of_sql(text: str, offset: int) -> Iterator[Edit]:
    """Yield edits of a string literal that stands at ``offset``; none when it is no SQL."""
    if not IS_SQL.search(text):
        return
    for find in (_guards, _assignments, _rewrites):
        for start, end, now, kind in find(text):
            yield Edit(start=offset + start, end=offset + end, now=now, kind=f"sql {kind}")


_Found = Iterator[tuple[int, int, str, str]]


def _guards(text: str) -> _Found:
    """Let each guard hold always, as if it were not there."""
    for pattern in (COMPARISON, NULLNESS, NEGATION, FLAG):
        for match in pattern.finditer(text):
            # A join's condition that always holds makes a product, which every test notices.
            if match["word"] != "ON":
                yield (
                    match.start("guard"),
                    match.end("guard"),
                    f"({match['guard']} OR true)",
                    "guard",
                )


def _assignments(text: str) -> _Found:
    """Let each column of an UPDATE stay as it is."""
    for clause in re.finditer(
        r"\bSET\b(.*?)(?=\bFROM\b|\bWHERE\b|\bRETURNING\b|\Z)", text, re.DOTALL
    ):
        for match in ASSIGNMENT.finditer(clause[1]):
            begin, end = (clause.start(1) + at for at in match.span("value"))
            yield begin, end, match["column"], "set"


def _rewrites(text: str) -> _Found:
    for pattern, now, kind in REWRITES:
        for match in re.finditer(pattern, text):
            yield match.start(), match.end(), match.expand(now), kind
