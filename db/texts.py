"""Text that PostgreSQL can store: no NUL, nothing that is not UTF-8."""

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
