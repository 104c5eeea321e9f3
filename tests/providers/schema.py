"""Schemas as values: fields and nested blocks with their defaults and checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tf.gen import tfplugin_pb2 as pb
from tf.schema import Attribute, NestedBlock
from tf.schema import Block as FrameworkBlock
from tf.types import Bool, List, Map, Number, String, Unknown

from tests.providers.findings import Findings

Values = dict[str, Any]
Check = Callable[[Findings, str, Any], None]

STRING, NUMBER, BOOL = String(), Number(), Bool()
STRINGS, STRING_MAP = List(STRING), Map(STRING)


class ObjectList:
    """The type of a list of objects whose members are all strings."""

    def __init__(self, *members: str) -> None:
        self._members = members

    def tf_type(self) -> bytes:
        members = ",".join(f'"{name}":"string"' for name in sorted(self._members))
        return f'["list",["object",{{{members}}}]]'.encode()


@dataclass(frozen=True, kw_only=True)
class Field:
    """An attribute. A default fills in for null; a computed one is unknown until it exists."""

    name: str
    type: Any
    required: bool = False
    optional: bool = False
    computed: bool = False
    sensitive: bool = False
    deprecated: bool = False
    default: Any = None
    checks: tuple[Check, ...] = ()

    @property
    def is_configurable(self) -> bool:
        return self.required or self.optional

    def filled(self, value: Any) -> Any:
        if value is not None:
            return value
        return Unknown if self.computed and self.default is None else self.default

    def check(self, findings: Findings, path: str, value: Any) -> None:
        if value is None or value is Unknown:
            return
        for check in self.checks:
            check(findings, path, value)

    def to_framework(self) -> Attribute:
        return Attribute(
            self.name,
            self.type,
            required=self.required,
            optional=self.optional,
            computed=self.computed,
            sensitive=self.sensitive,
            deprecated=self.deprecated or None,
        )


@dataclass(frozen=True, kw_only=True)
class Nested:
    """A block that may be repeated. A computed one is unknown at plan when none is configured."""

    name: str
    parts: tuple[Field | Nested, ...]
    is_set: bool = False
    least: int = 0
    most: int = 0  #: 0: any number
    computed: bool = False

    is_configurable = True

    def filled(self, value: Any) -> Any:
        if value is Unknown:
            return value
        if not value:
            return Unknown if self.computed else []
        return [filled(self.parts, block) for block in value]

    def check(self, findings: Findings, path: str, value: Any) -> None:
        if value is Unknown:
            return
        for index, block in enumerate(value or ()):
            check_parts(self.parts, findings, block, f"{path}.{index}.")

    def to_framework(self) -> NestedBlock:
        block = FrameworkBlock(*to_framework(self.parts))
        return _WireBlock(self.name, self, block, self.least, self.most)


Part = Field | Nested


class _WireBlock(NestedBlock):  # type: ignore[misc] # the framework has no types
    """A nested block as it goes over the wire. The framework itself knows no lists."""

    def __init__(
        self, name: str, nested: Nested, block: FrameworkBlock, least: int, most: int
    ) -> None:
        super().__init__(name, None, block, least or None, most or None)
        modes = pb.Schema.NestedBlock.NestingMode
        self._mode = modes.SET if nested.is_set else modes.LIST

    def to_pb(self) -> Any:
        return pb.Schema.NestedBlock(
            type_name=self.type_name,
            block=self.block.to_pb(),
            nesting=self._mode,
            min_items=self.min_items,
            max_items=self.max_items,
        )


def required(name: str, kind: Any, *checks: Check) -> Field:
    """Return an attribute that must be configured."""
    return Field(name=name, type=kind, required=True, checks=checks)


def optional(name: str, kind: Any, *checks: Check, default: Any = None) -> Field:
    """Return an attribute that may be configured."""
    return Field(name=name, type=kind, optional=True, default=default, checks=checks)


def computed(name: str, kind: Any, *, sensitive: bool = False) -> Field:
    """Return an attribute that the provider alone sets."""
    return Field(name=name, type=kind, computed=True, sensitive=sensitive)


def either(name: str, kind: Any, *checks: Check) -> Field:
    """Return an attribute that the provider sets unless it is configured."""
    return Field(name=name, type=kind, optional=True, computed=True, checks=checks)


IDENTITY = either("id", STRING)
"""The identifier that every data source and resource has."""


def filled(parts: tuple[Part, ...], values: Values) -> Values:
    """Return the values with defaults, and unknown where they are computed."""
    return {part.name: part.filled(values.get(part.name)) for part in parts}


def check_parts(
    parts: tuple[Part, ...], findings: Findings, values: Values, prefix: str = ""
) -> None:
    """Report what is wrong with each configured value."""
    for part in parts:
        part.check(findings, f"{prefix}{part.name}", values.get(part.name))


def to_framework(parts: tuple[Part, ...]) -> tuple[list[Attribute], list[NestedBlock]]:
    """Return the attributes and the blocks as the framework wants them."""
    attributes = [part.to_framework() for part in parts if isinstance(part, Field)]
    return attributes, [part.to_framework() for part in parts if isinstance(part, Nested)]


def changes(parts: tuple[Part, ...], before: Values, after: Values) -> Iterator[str]:
    """Yield the names of what the configuration changes."""
    for part in parts:
        if part.is_configurable and not _is_same(part, before.get(part.name), after.get(part.name)):
            yield part.name


def _is_same(part: Part, before: Any, after: Any) -> bool:
    if isinstance(part, Field):
        # Providers of the old kind cannot tell what is not set from zero, empty or false.
        return bool((before or None) == (after or None))
    if after is Unknown:
        return part.computed
    return len(before or ()) == len(after) and all(
        not list(changes(part.parts, old, new))
        for old, new in zip(before or (), after, strict=True)
    )
