"""Names for new workspaces."""

from __future__ import annotations

import re
import secrets

from db.catalog.names import NAME_LIMIT, check_name
from db.errors import InvalidError

SUFFIX_BYTES = 2
SEED_LIMIT = NAME_LIMIT - 2 * SUFFIX_BYTES - 1
_NOT_ALLOWED = re.compile(r"[^a-z0-9]+")


def choose_name(wanted: str | None, *, seed: str) -> str:
    """Return the wanted name if it is valid for a workspace, else a similar new name.

    Args:
        seed: the new name starts with this if no name is wanted.
    """
    try:
        return check_name("workspace", wanted or "")
    except InvalidError:
        # Agents pass on users' own words ("My project!"), so an invalid name is not an error.
        return _generate(wanted or seed)


def _generate(seed: str) -> str:
    stem = _NOT_ALLOWED.sub("-", seed.lower())[:SEED_LIMIT].strip("-") or "workspace"
    return f"{stem}-{secrets.token_hex(SUFFIX_BYTES)}"
