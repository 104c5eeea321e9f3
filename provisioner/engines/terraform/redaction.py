"""Remove sensitive values from text, in all forms in which Terraform prints them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

MIN_LENGTH = 4
"""Shorter values are not replaced: they occur by chance in every text (``1``, ``dev``), so
replacing them would hide nothing and make the log unreadable."""

_MIN_LINE_LENGTH = 8  # of one line of a value such as a private key ("-----BEGIN" is longer)
_REPLACEMENT = "*redacted*"


class Redaction:
    """Replaces each of the given values by ``*redacted*``.

    It replaces the value itself, its JSON-escaped, URL-encoded and base64 forms, and each line of
    a value of several lines, because output arrives line by line.
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values if len(value) >= MIN_LENGTH for form in _forms(value)}
        # The longest first: an alternative must not match before a longer one that starts with it.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def apply(self, text: str) -> str:
        """Return ``text`` without any of the values."""
        return text if self._pattern is None else self._pattern.sub(_REPLACEMENT, text)


def _forms(value: str) -> Iterator[str]:
    yield value
    yield json.dumps(value)[1:-1]
    yield (unescaped := json.dumps(value, ensure_ascii=False)[1:-1])
    yield re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", unescaped)  # as Go writes it
    yield quote(value, safe="", errors="replace")
    yield base64.b64encode(value.encode(errors="replace")).decode()
    yield from (line for line in value.split("\n") if len(line) >= _MIN_LINE_LENGTH)
