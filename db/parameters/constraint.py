"""The type constraints of Terraform variables, read from their text."""

from __future__ import annotations

import re

from db.parameters.types import ANY, MAPPINGS, PRIMITIVES, SEQUENCES, Type

_TOKEN = re.compile(r'\s*(?:(#|//)[^\n]*|([A-Za-z_][\w-]*)|("(?:[^"\\]|\\.)*")|([^\s]))')
_MAX_DEPTH = 50


class _UnreadableError(Exception):
    """The text is not a type constraint that is known here."""


def read_type(text: str) -> Type:
    """Return the type constraint in ``text``; ``any``, which allows everything, if it is none."""
    tokens = _Tokens(text)
    try:
        found = tokens.type()
        tokens.end()
    except _UnreadableError:
        return ANY
    return found


def is_primitive(text: str) -> bool:
    """Return whether values of the type are written as they are, not as JSON or HCL."""
    return read_type(text).name in PRIMITIVES


class _Tokens:
    """The words and signs of a type constraint, read from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = [
            match[2] or match[3] or match[4] for match in _TOKEN.finditer(text) if not match[1]
        ]
        self._next = 0

    def type(self, depth: int = 0) -> Type:
        name = self._take()
        if depth > _MAX_DEPTH:
            raise _UnreadableError
        if name in PRIMITIVES or name == "any":
            return Type(name=name)
        if name not in SEQUENCES | MAPPINGS:
            raise _UnreadableError
        if not self._skip("("):
            return self._bare(name)
        found = self._arguments(name, depth + 1)
        self._expect(")")
        return found

    def end(self) -> None:
        """Check that nothing follows."""
        if self._next < len(self._tokens):
            raise _UnreadableError

    def _arguments(self, name: str, depth: int) -> Type:
        if name == "tuple":
            return Type(name=name, items=self._items(depth))
        if name == "object":
            return Type(name=name, members=self._members(depth))
        return Type(name=name, items=(self.type(depth),))

    def _bare(self, name: str) -> Type:
        """Return a collection without arguments, as old templates write them."""
        if name not in {"list", "set", "map"}:
            raise _UnreadableError
        return Type(name=name, items=(ANY,))

    def _items(self, depth: int) -> tuple[Type, ...]:
        self._expect("[")
        items = []
        while self._peek() != "]":
            items.append(self.type(depth))
            self._skip(",")
        self._expect("]")
        return tuple(items)

    def _members(self, depth: int) -> dict[str, Type]:
        self._expect("{")
        members = {}
        while self._peek() != "}":
            name = self._take().strip('"')
            if not self._skip("="):
                self._expect(":")
            members[name] = self._member(depth)
            self._skip(",")
        self._expect("}")
        return members

    def _member(self, depth: int) -> Type:
        if self._peek() != "optional":
            return self.type(depth)
        self._take()
        self._expect("(")
        found = self.type(depth)
        self._pass_default()
        return Type(name=found.name, items=found.items, members=found.members, is_optional=True)

    def _pass_default(self) -> None:
        """Pass the default of an optional attribute, an expression, and the closing bracket."""
        depth = 1
        while depth:
            sign = self._take()
            depth += (sign in {"(", "[", "{"}) - (sign in {")", "]", "}"})

    def _peek(self) -> str:
        if self._next == len(self._tokens):
            raise _UnreadableError
        return self._tokens[self._next]

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise _UnreadableError

    def _skip(self, token: str) -> bool:
        is_next = self._next < len(self._tokens) and self._tokens[self._next] == token
        self._next += is_next
        return is_next
