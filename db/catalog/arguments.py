"""A caller's arguments, checked before a statement could abort the caller's transaction."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self, TypeVar

from db.errors import InvalidError
from db.schema.enums import BuildReason, Transition
from db.texts import check_storable

_NULL = "\\u0000"  # as JSON writes it
Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, kw_only=True)
class BuildArguments:
    """The arguments of ``insert_build``, of the right types."""

    workspace_id: uuid.UUID
    transition: Transition
    initiator_id: uuid.UUID | None
    template_version_id: uuid.UUID | None
    parameters: Mapping[str, str]
    preset: uuid.UUID | str | None
    reason: BuildReason
    trace_metadata: dict[str, Any] | None

    @classmethod
    def check(cls, **given: object) -> Self:
        """Return the arguments; ids and choices may also be given as texts.

        Raises:
            InvalidError: one is of a wrong type or cannot be stored.
        """
        return cls(
            workspace_id=_id("workspace_id", given["workspace_id"]),
            transition=_choice("transition", given["transition"], Transition),
            initiator_id=_optional_id("initiator_id", given["initiator_id"]),
            template_version_id=_optional_id("template_version_id", given["template_version_id"]),
            parameters=_texts("parameters", given["parameters"]),
            preset=_preset(given["preset"]),
            reason=_choice("reason", given["reason"], BuildReason),
            trace_metadata=_document("trace_metadata", given["trace_metadata"]),
        )

    def traced(self, carrier: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments by name; ``carrier`` is the trace context if none was given."""
        return {**vars(self), "trace_metadata": self.trace_metadata or dict(carrier) or None}


def _id(name: str, value: object) -> uuid.UUID:
    """Return an id, which may also be given as a text."""
    if isinstance(value, uuid.UUID):
        return value
    if isinstance(value, str):
        try:
            return uuid.UUID(value)
        except ValueError:
            raise InvalidError(f"{name} must be a UUID, not {value!r}") from None
    raise InvalidError(f"{name} must be a UUID, not of the type {type(value).__name__}")


def _optional_id(name: str, value: object) -> uuid.UUID | None:
    """Return an id or None."""
    return None if value is None else _id(name, value)


def _choice(name: str, value: object, choices: type[Choice]) -> Choice:
    """Return a member of an enumeration, which may also be given by its value."""
    try:
        return choices(str(value))
    except ValueError:
        allowed = ", ".join(choices)
        raise InvalidError(f"{name} must be one of {allowed}, not {value!r}") from None


def _texts(name: str, value: object) -> Mapping[str, str]:
    """Return texts by name; empty for None."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(
        isinstance(text, str) for item in value.items() for text in item
    ):
        raise InvalidError(f"{name} must be a mapping from texts to texts")
    return value


def _preset(value: object) -> uuid.UUID | str | None:
    """Return the id or the name of a preset, or None."""
    if value is None or isinstance(value, uuid.UUID):
        return value
    if isinstance(value, str):
        return check_storable("name of the preset", value)
    raise InvalidError(f"preset must be a UUID or a name, not of the type {type(value).__name__}")


def _document(name: str, value: object) -> dict[str, Any] | None:
    """Return an object that PostgreSQL can store as JSON, or None."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidError(f"{name} must be a dict, not of the type {type(value).__name__}")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError(f"{name} cannot be written as JSON: {error}") from error
    check_storable(name, text.replace(_NULL, "\0"))
    return value
