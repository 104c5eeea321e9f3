"""What one entry of an environment can hold."""

from __future__ import annotations

MAX_ENTRY_BYTES = 128 * 1024 - 1
"""The limit of Linux for one ``NAME=value``, without the closing NUL."""


class BuildEnvironmentError(Exception):
    """The environment cannot be made; the message is one sentence for the operator or user."""


def check_entry(name: str, value: str, *, meaning: str) -> None:
    """Check that a value can be stored in an environment.

    Raises:
        BuildEnvironmentError: it cannot; the message calls it by its ``meaning``.
    """
    if "\0" in value:
        raise BuildEnvironmentError(f"the value of {meaning} contains a NUL character; remove it")
    if not is_passable(name, value):
        raise BuildEnvironmentError(
            f"the value of {meaning} does not fit into the {MAX_ENTRY_BYTES} bytes "
            "of an environment entry; shorten it"
        )


def is_passable(name: str, value: str) -> bool:
    """Return whether a value can be stored in an environment."""
    size = len(f"{name}={value}".encode("utf-8", "surrogatepass"))
    return "\0" not in value and size <= MAX_ENTRY_BYTES
