"""Remove secret values from text, in all forms in which programs print them.

A value is removed by what it is (``Redaction``), credentials in URLs by how they look.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from urllib.parse import quote, quote_plus

from provisioner.redaction.edges import HEAD, Prefixes

MIN_LENGTH = 4
"""Shorter values are not replaced: they occur by chance in every text (``1``, ``dev``), so
replacing them would hide nothing and make the log unreadable."""
MAX_VALUES = 2000
"""The longest of more values are replaced."""

LONG = 4096
"""Of a longer value only parts are searched for as they are: its lines, cut into pieces."""
PIECE = 1024
MAX_SEARCHED = 64 * 1024
"""Only this much of a long value is searched for: a text of a log is far shorter."""

REPLACEMENT = "*redacted*"
_LITERALS = {"true", "false", "null"}
_MIN_LINE_LENGTH = 8  # of one line of a value such as a private key ("-----BEGIN" is longer)
_MIN_ENCODED_LENGTH = 8  # of a value within a larger one that is encoded as a whole
# Up to the last "@" before the path: a password may contain one. "git@" is a name that all share.
_USERINFO = re.compile(r"(?<=://)(?!git@)[^\s/?#\"'<>|\\]+@")


class Redaction:
    """Replaces each of the given values by ``*redacted*``, and what is before ``@`` in URLs.

    It replaces the value itself; its JSON-escaped, URL-encoded, hexadecimal and base64 forms, also
    as a part of a longer text that is in base64; and each line of a value of several lines,
    because output arrives line by line.
    """

    def __init__(self, values: Iterable[str]) -> None:
        kept = sorted({value for value in values if len(value) >= MIN_LENGTH} - _LITERALS, key=len)
        self._forms = {
            form
            for value in kept[-MAX_VALUES:]
            for form in (_forms(value) if len(value) <= LONG else _pieces(value))
        }
        self._pattern = _any_of(self._forms) if self._forms else None

    def apply(self, text: str) -> str:
        """Return ``text`` without any of the values."""
        if self._pattern is not None:
            text = self._pattern.sub(REPLACEMENT, text)
        return mask_userinfo(text)

    def apply_to_piece(self, begun: str, piece: str) -> tuple[str, str]:
        """Return a piece of an output without the values, also those that go over its edges.

        Args:
            begun: what the call for the piece before returned, ``""`` for the first.

        Returns:
            The piece, and its end if a value may go on in the next piece. Such an end of fewer than
            four characters is kept.
        """
        text = begun + piece
        if self._pattern is None or not piece:
            return mask_userinfo(piece), begun
        length = self._at_end.length_at_end(text)
        end = len(text) - length
        secret = [match.span() for match in self._pattern.finditer(text)]
        if length >= HEAD:
            secret.append((end, len(text)))
        return mask_userinfo(_without(secret, text, len(begun))), text[end:]

    def apply_to_tail(self, text: str) -> str:
        """Return ``text`` without the values, also one of which it has only the end."""
        length = self._at_start.length_at_end(text[::-1])
        if length < HEAD:
            return self.apply(text)
        return REPLACEMENT + self.apply(text[length:])

    @functools.cached_property
    def _at_end(self) -> Prefixes:
        return Prefixes(self._forms)

    @functools.cached_property
    def _at_start(self) -> Prefixes:
        return Prefixes(form[::-1] for form in self._forms)


def _without(secret: Iterable[tuple[int, int]], text: str, start: int) -> str:
    """Return ``text`` from ``start`` on, with one replacement for each stretch that is secret."""
    shown, place = "", start
    for first, last in sorted(secret):
        if last > place:
            is_new = first >= place or place == start
            shown += text[place:first] + (REPLACEMENT if is_new else "")
            place = last
    return shown + text[place:]


@functools.lru_cache(maxsize=64)
def redaction_of(values: frozenset[str]) -> Redaction:
    """Return the redaction of these values; making one takes longer than using it."""
    return Redaction(values)


Clean = Callable[[str], str]
"""Returns a text without secrets."""


def mask_userinfo(text: str) -> str:
    """Return ``text`` without names and passwords in URLs."""
    return _USERINFO.sub(f"{REPLACEMENT}@", text) if "://" in text else text


CLEAN: ContextVar[Clean] = ContextVar("clean", default=mask_userinfo)
"""How the daemon's own log is cleaned while a thread runs a build."""


def _pieces(value: str) -> Iterator[str]:
    """Yield parts of a long value: all its forms would take seconds and much memory."""
    for line in value[:MAX_SEARCHED].split("\n"):
        for start in range(0, len(line), PIECE):
            piece = line[start : start + PIECE]
            if len(piece) >= _MIN_LINE_LENGTH:
                yield piece


def _forms(value: str) -> Iterator[str]:
    unescaped = json.dumps(value, ensure_ascii=False)[1:-1]
    written = {
        value,
        json.dumps(value)[1:-1],
        unescaped,
        re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", unescaped),  # as Go writes it
        *(line for line in value.split("\n") if len(line) >= _MIN_LINE_LENGTH),
    }
    for text in written:
        yield text
        yield from _encoded(text.encode(errors="replace"))
    yield quote(value, safe="", errors="replace")
    yield quote_plus(value, errors="replace")


def _encoded(data: bytes) -> Iterator[str]:
    """Yield a text in hexadecimal and base64, by itself and at the three places in a longer one."""
    yield data.hex()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode()
        for offset in range(3):
            # The first and the last character may depend on what is next to the value.
            first = -(-8 * offset // 6)
            last = 8 * (offset + len(data)) // 6
            core = encode(bytes(offset) + data).decode()[first:last]
            if len(core) >= _MIN_ENCODED_LENGTH:
                yield core


_Tree = dict[str, "_Tree"]
_END = ""


def _any_of(forms: set[str]) -> re.Pattern[str]:
    """Return a pattern that matches the longest of these texts at a place."""
    try:
        return re.compile(_tree_of(forms))
    except RecursionError:  # many values, each of which begins with the one before
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        return re.compile("|".join(map(re.escape, longest_first)))


def _tree_of(forms: Iterable[str]) -> str:
    """Return the pattern as a tree of characters: its speed does not depend on their number."""
    root: _Tree = {}
    for form in forms:
        node = root
        for character in form:
            node = node.setdefault(character, {})
        node[_END] = {}
    return _pattern_of(root)


def _pattern_of(root: Mapping[str, _Tree]) -> str:
    # Without recursion: a secret may be longer than Python's stack.
    patterns: dict[int, str] = {}
    waiting = [(root, False)]
    while waiting:
        node, is_ready = waiting.pop()
        if not is_ready:
            waiting.append((node, True))
            waiting.extend((child, False) for key, child in node.items() if key != _END)
            continue
        choices = [
            re.escape(key) + patterns.pop(id(child)) for key, child in node.items() if key != _END
        ]
        together = choices[0] if len(choices) == 1 else f"(?:{'|'.join(choices)})"
        if not choices:
            together = ""
        elif _END in node:
            together = f"(?:{together})?"
        patterns[id(node)] = together
    return patterns[id(root)]
