"""Secrets of which a text has only a part, because the text was cut or comes in pieces."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

HEAD = 4
"""A part at the edge of a text is recognized from this many characters on."""


class Prefixes:
    """Finds the part of a secret that a text ends with."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._forms: Sequence[str] = sorted(forms)
        self._longest = max(map(len, self._forms), default=0)
        self._heads = {form[:size] for form in self._forms for size in range(1, HEAD + 1)}

    def length_at_end(self, text: str) -> int:
        """Return how many characters at the end of ``text`` begin a secret, at most; or 0."""
        for start in range(max(0, len(text) - self._longest), len(text)):
            if text[start : start + HEAD] in self._heads and self._is_begun(text[start:]):
                return len(text) - start
        return 0

    def _is_begun(self, part: str) -> bool:
        place = bisect.bisect_left(self._forms, part)
        nearest = self._forms[place : place + 2]
        return any(form.startswith(part) and form != part for form in nearest)
