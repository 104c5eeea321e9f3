"""Wordings that a native engineer would not use, and what to write instead.

Each is one that this project used for long. They are looked for in code, in what people read on a
terminal, and in pages; a sentence that runs over several lines is one sentence.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "db",
    "quota",
    "provisioner",
    "worker",
    "chattool",
    "api",
    "cli",
    "bench",
    "deploy",
    "docs",
)
TOP = ("CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "README.md", "SECURITY.md", "mkdocs.yml")
SUFFIXES = {
    ".css", ".env", ".example", ".md", ".py", ".service", ".sh", ".tf", ".toml", ".yaml", ".yml",
}  # fmt: skip

INSTEAD: Mapping[str, str] = {
    r"the system (that|which) we follow": "Coder",
    r"the system whose": "Coder",
    r"\bof ours\b": "our, or: a bug",
    r"(?<!there )\b(is|are) no (?!(longer|more|less|fewer|older|newer|one)\b)": "is not a",
    r"\bso many\b": "the number, or: that many",
    r"\b(for|after) so long\b": "the time, or: that long",
    r"\banew\b": "again",
    r"\bby and by\b": "over time",
    r"\bwho(m|so)?ever\b": "anybody who, or: the process that",
    r"\bfor whom?\b": "the noun: user, owner",
    r"\b(be|been|was|were) had\b": "available",
    r"\bat hand\b": "available",
    r"\bfor want of\b": "because there is no",
    r"\bbrings? along\b": "includes",
    r"\bbeside\b": "next to, or: in addition to",
    r"\bpeople who look\b": "what is shown, and where",
    r"\b(tells?|says?) of (itself|themselves)\b": "reports",
    r"\bmend(s|ed)?\b": "fix",
    r"\bsigns? of life\b": "heartbeat",
    r"\bhears? (of|no|nothing)\b": "learns of, or: gets",
    r"\bstands? (on|in|at|before|after|there|behind|above|below|here|by)\b": "is",
    r"(?<!leave )(?<!left )(?<!workers )\balone\b": "only",
    r"\b(at|of) one moment\b": "at the same time",
    r"\ball the same\b": "still, or: nevertheless",
    r"\bas (it|they) stands?\b": "unchanged",
    r"\bcan not\b": "cannot",
    r"\bcomes? to nothing\b": "fails",
    r"\b(be it|nobody need)\b": "even, or: no user has to",
    r"\bhand(s|ed)? over\b": "pass on",
    r"\bnothing of ours\b": "nothing of this project",
    r"\b(thereof|therein|wherein|whereby|herein|lest|hitherto|whence|whither)\b": "plain words",
    r"\bsome (?=\d|two|three|four|five|ten|twenty|hundred|thousand)": "about",
    r"\b(has|have|had) come to\b": "has reached",
    r"\bat the (very )?least\b": "at least",
    r"\bthe other way round\b": "in the other order",
    r"\bhowever many\b": "regardless of the number of",
    r"\bwhatever became\b": "the status, or: the result",
    r"\b(again and again|over and over)\b": "repeatedly",
    r"\bwhat (stands|stood)\b": "what is stored",
    r"\bof (yours|theirs)\b": "your, their",
    r"\b(in whatever|so that what)\b": "a plain clause",
    r"\b(is|are) (not )?to (be|have|run|wait|end|take|go|say|know|fit)\b": "must, should, will",
}
BANNED = {re.compile(pattern, re.IGNORECASE): instead for pattern, instead in INSTEAD.items()}
# What stands before a line of a comment, a docstring or a quotation, so that lines can be joined.
LEAD = re.compile(r"\s*\n[\s#>*-]*")

# Rooms and pages that still have such wordings: clean one, and take it off. This list only gets
# shorter. The pages are generated from what the rooms say.
ALLOWED: tuple[str, ...] = ()


def files() -> Iterator[Path]:
    yield from (ROOT / name for name in TOP)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and "node_modules" not in path.parts:
                yield path


def wordings(text: str) -> Iterator[tuple[str, str]]:
    """Yield each banned wording of the text, with what to write instead."""
    joined = LEAD.sub(" ", text)
    for pattern, instead in BANNED.items():
        for match in pattern.finditer(joined):
            yield joined[max(0, match.start() - 25) : match.end() + 25], instead


@functools.cache
def offending() -> list[str]:
    return [
        f"{path.relative_to(ROOT).as_posix()}: ...{where}... (write: {instead})"
        for path in files()
        for where, instead in wordings(path.read_text(encoding="utf-8"))
    ]


def test_texts_use_plain_wordings() -> None:
    found = [offence for offence in offending() if not offence.startswith(ALLOWED)]
    assert not found, "\n".join(found)


def test_what_is_clean_is_taken_off_the_list() -> None:
    clean = [
        start for start in ALLOWED if not any(offence.startswith(start) for offence in offending())
    ]
    assert clean == []


TEXTS = {
    "over two lines of a comment": ("    # It is no\n    # setting.", False),
    "there is no": ("There is no setting.", True),
    "no longer": ("It is no longer running.", True),
    "in capitals": ("Whoever stops it", False),
}


@pytest.mark.parametrize(("text", "is_plain"), TEXTS.values(), ids=TEXTS)
def test_a_wording_is_found_where_it_stands(text: str, is_plain: bool) -> None:
    assert (not list(wordings(text))) == is_plain
