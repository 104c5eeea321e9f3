"""What the environment says. Every input but the configuration comes from there."""

from __future__ import annotations

import os
import uuid

from tests.providers.findings import Refusal

BUILD_ID = "CODER_WORKSPACE_BUILD_ID"
NIL_ID = str(uuid.UUID(int=0))


def text(name: str, default: str = "") -> str:
    """Return a variable; empty counts as absent."""
    return os.environ.get(name) or default


def flag(name: str) -> bool:
    """Return whether a variable says true, in any case."""
    return text(name).lower() == "true"


def is_build() -> bool:
    """Return whether a workspace is built. Otherwise a version is imported or tried."""
    return bool(text(BUILD_ID))


def required(name: str, what: str) -> str:
    """Return a variable that every workspace build must have.

    Raises:
        Refusal: a workspace is built without it.
    """
    value = text(name)
    if not value and is_build():
        raise Refusal(f"{what} is missing: {name} is required")
    return value


def task_id() -> str | None:
    """Return the id of the workspace's task, or None without a task.

    Raises:
        Refusal: it is no id.
    """
    value = text("CODER_TASK_ID")
    if value in {"", NIL_ID}:
        return None
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise Refusal(f"CODER_TASK_ID is not a valid UUID: {value}") from None
