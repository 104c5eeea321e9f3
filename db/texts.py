"""Texts: what PostgreSQL can store (no NUL, valid UTF-8), and short forms for people."""

from __future__ import annotations

from collections.abc import Mapping

from db.errors import InvalidError

_USUAL_TAGS = {("scope", "organization"), ("owner", "")}


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


def counted(number: int, noun: str) -> str:
    """Return a number of things, such as "1 job" and "2 jobs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def tags_text(tags: Mapping[str, str]) -> str:
    """Return tags as KEY=VALUE pairs, without the tags that every job has."""
    own = sorted(set(tags.items()) - _USUAL_TAGS)
    return ",".join(f"{key}={value}" for key, value in own)


def seconds_text(seconds: float | None) -> str:
    """Return a duration in a single unit; "never" for None."""
    if seconds is None:
        return "never"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"
