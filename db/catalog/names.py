"""The rule for names of users, templates, workspaces and the like."""

from __future__ import annotations

import re

from db.errors import InvalidError

NAME_LIMIT = 32
NAME_PATTERN = re.compile(r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*")


def check_name(kind: str, name: str) -> str:
    """Return ``name`` if it may name a ``kind`` (as in "workspace").

    Raises:
        InvalidError: it is empty, too long, or not letters and digits joined by single hyphens.
    """
    if len(name) > NAME_LIMIT or not NAME_PATTERN.fullmatch(name):
        raise InvalidError(
            f"{name!r} cannot name a {kind}: use at most {NAME_LIMIT} letters and digits,"
            " joined by single hyphens"
        )
    return name
