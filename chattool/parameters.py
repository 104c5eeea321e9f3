"""The values that an agent chooses for a build; the enqueue transaction judges them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from db.errors import InvalidError


@dataclass(frozen=True, kw_only=True)
class ChosenValues:
    """Values of parameters, and a preset by its id or its name."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    preset: uuid.UUID | str | None = None


NO_VALUES = ChosenValues()


def choose_values(
    parameters: Mapping[str, str] | None, *, preset_id: str | None, preset: str | None
) -> ChosenValues:
    """Return the values of a tool's arguments; empty texts stand for none.

    Raises:
        InvalidError: the preset is given twice, or its id is not a UUID.
    """
    if preset_id and preset:
        raise InvalidError("give preset_id or preset, not both")
    try:
        chosen = uuid.UUID(preset_id) if preset_id else preset or None
    except ValueError as error:
        raise InvalidError(f"invalid preset_id: {error}") from error
    return ChosenValues(parameters=parameters or {}, preset=chosen)
