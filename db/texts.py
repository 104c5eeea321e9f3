"""Texts that PostgreSQL can store (no NUL, valid UTF-8), and the first line of an error."""

from __future__ import annotations

from db.errors import InvalidError


def storable(value: str) -> str:
    """Return ``value`` with everything that cannot be stored replaced by other characters.

    For text from outside (errors, logs, metadata), which must never keep a job from finishing.
    """
    return value.replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()


def check_storable(kind: str, value: str) -> str:
    """Return ``value`` if it can be stored unchanged.

    Raises:
        InvalidError: it cannot. The message names the ``kind``, such as "value of size".
    """
    if storable(value) != value:
        raise InvalidError(f"the {kind} contains a null byte or is not valid Unicode text")
    return value


def first_line(error: Exception) -> str:
    """Return the first line of the error's text, or the name of its type if it has no text.

    For an error of SQLAlchemy, that is the text of the driver's error.
    """
    message = str(getattr(error, "orig", None) or error).strip()
    return message.splitlines()[0] if message else type(error).__name__
