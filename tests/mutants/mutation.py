"""One mutation of a source file: what is replaced by what, and a name that lasts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A replacement in a source text, by offsets in characters."""

    start: int
    end: int
    now: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """An edit of a file."""

    path: str  #: relative to the project
    line: int
    kind: str
    was: str
    now: str
    start: int
    end: int
    id: str  #: the same as long as its line and those like it in the file stay

    def apply(self, source: str) -> str:
        """Return the source with the mutation in it."""
        return source[: self.start] + self.now + source[self.end :]

    def __str__(self) -> str:
        """Return it in one line, as a report shows it."""
        was, now = (" ".join(text.split()) for text in (self.was, self.now))
        return f"{self.path}:{self.line} [{self.kind}] {was[:70]} -> {now[:70]}"


def named(path: str, source: str, edits: Iterable[Edit]) -> Iterator[Mutation]:
    """Yield the edits as mutations of the file, without those that change nothing."""
    seen: Counter[str] = Counter()
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end, edit.now)):
        was = source[edit.start : edit.end]
        if was == edit.now:
            continue
        begin = source.rfind("\n", 0, edit.start) + 1
        end = source.find("\n", edit.end)
        text = f"{path}|{source[begin:end].strip()}|{edit.kind}|{was}|{edit.now}"
        seen[text] += 1
        yield Mutation(
            path=path,
            line=source.count("\n", 0, edit.start) + 1,
            kind=edit.kind,
            was=was,
            now=edit.now,
            start=edit.start,
            end=edit.end,
            id=hashlib.sha256(f"{text}|{seen[text]}".encode()).hexdigest()[:12],
        )
