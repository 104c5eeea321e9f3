"""Mutations within SQL: most promises of the daemon are guards of statements."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.mutants.mutation import Edit

IS_SQL = re.compile(
    r"\b(SELECT|UPDATE|INSERT INTO|DELETE FROM|WHERE|SET|coalesce|least)\b"
    r"|\w = (:\w|now\(\)|NULL\b)"
)
NESTED = r"\((?:[^()]|\([^()]*\))*\)"
OPERAND = rf"(?:[\w.]+{NESTED}|:?[\w.]+|'[^']*'|\{{\w+\}})"
# What a condition begins with; what follows is one comparison of it. A part of a statement may
# begin with its condition.
CONDITION = r"(?P<word>\b(?:WHERE|AND|OR|ON|WHEN)\s|\A[f]?\"+)\s*"
COMPARISON = re.compile(
    CONDITION + rf"(?P<guard>{OPERAND}(?:\s*[+-]\s*{OPERAND})?"
    rf"\s*(?P<operator><=|>=|<>|=|<|>)\s*{OPERAND}(?:\s*[+-]\s*{OPERAND})?)"
)
NULLNESS = re.compile(CONDITION + r"(?P<guard>[\w.():]+ IS (?:NOT )?NULL)")
NEGATION = re.compile(CONDITION + r"(?P<guard>NOT [\w.]+)\b(?!\()")
MEMBERSHIP = re.compile(CONDITION + r"(?P<guard>[\w.]+ (?:NOT )?IN \([^()]*\))")
FLAG = re.compile(CONDITION + r"(?P<guard>(?:\w+\.)?(?:deleted|draining|is_\w+|:succeeded))\b")
ASSIGNMENT = re.compile(rf'(?P<column>\b[a-z_]+) = (?P<value>(?:[^\n,()"]|{NESTED})+)')
SET_CLAUSE = r"\bSET\b(.*?)(?=\bFROM\b|\bWHERE\b|\bRETURNING\b|\Z)"
PART_OF_SET = re.compile(r"f?\"+[\s,]*[a-z_]+ = ")
CLAUSE = r"\b(AND|FOR|ORDER BY|SELECT|WHERE|SET|FROM)\b"

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
    for pattern in (COMPARISON, NULLNESS, NEGATION, MEMBERSHIP, FLAG):
        for match in pattern.finditer(text):
            # A join's condition that always holds makes a product, which every test notices.
            if match["word"].strip() != "ON" and not _is_assignments(text, match.start()):
                yield (
                    match.start("guard"),
                    match.end("guard"),
                    f"({match['guard']} OR true)",
                    "guard",
                )


def _assignments(text: str) -> _Found:
    """Let each column of an UPDATE stay as it is."""
    clauses = r"\A(.*)\Z" if _is_assignments(text, 0) else SET_CLAUSE
    for clause in re.finditer(clauses, text, re.DOTALL):
        for match in ASSIGNMENT.finditer(clause[1]):
            begin, end = (clause.start(1) + at for at in match.span("value"))
            yield begin, end, match["column"], "set"


def _is_assignments(text: str, at: int) -> bool:
    """Return whether a part of a statement that begins at ``at`` is the inside of a SET clause."""
    return at == 0 and PART_OF_SET.match(text) is not None and not re.search(CLAUSE, text)


def _rewrites(text: str) -> _Found:
    for pattern, now, kind in REWRITES:
        for match in re.finditer(pattern, text):
            yield match.start(), match.end(), match.expand(now), kind
