"""Texts: what PostgreSQL can store (no NUL, nothing but UTF-8), and errors in one line."""

from __future__ import annotations

from db.errors import InvalidError


def storable(value: str) -> str:
    """Return ``value`` with signs in place of what cannot be stored.

    For texts that others write (errors, logs, metadata): a build's ending has to reach its row.
    """
    return value.replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()


def check_storable(kind: str, value: str) -> str:
    """Return ``value`` if it can be stored unchanged.

    Raises:
        InvalidError: it cannot; the message names the ``kind`` (as in "value of size").
    """
    if storable(value) != value:
        raise InvalidError(f"the {kind} contains a null byte or is not valid Unicode text")
    return value


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, of the driver's where SQLAlchemy wraps it.

    The name of the error's type where it has no text.
    """
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
