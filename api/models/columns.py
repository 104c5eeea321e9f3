"""The columns in which the fields of a template are stored, where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NS_PER_MS = 1_000_000
NAMES = {"deprecation_message": "deprecated"}
TIMES = {"default_ttl_ms": "default_ttl", "activity_bump_ms": "activity_bump"}


def columns_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of columns for the fields of a request; a field that is None has none."""
    return dict(_column(name, value) for name, value in fields.items() if value is not None)


def _column(name: str, value: Any) -> tuple[str, Any]:
    if name in TIMES:
        return TIMES[name], value * NS_PER_MS
    return NAMES.get(name, name), value
