"""Types of columns that both the models and plain statements name."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Enum


def enum_type(enum: type[StrEnum], name: str) -> Enum:
    """Return the PostgreSQL enum type ``name``, which stores the values of the members."""
    return Enum(enum, name=name, values_callable=lambda members: [m.value for m in members])
