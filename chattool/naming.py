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
    """Return the wanted name if a workspace may have it, or else a new name like it.

    Args:
        seed: what the name is made from when none is wanted.
    """
    try:
        return check_name("workspace", wanted or "")
    except InvalidError:
        # Agents pass on what people say ("My project!"): a wish, not an error.
        return _made_up(wanted or seed)


def _made_up(seed: str) -> str:
    stem = _NOT_ALLOWED.sub("-", seed.lower())[:SEED_LIMIT].strip("-") or "workspace"
    return f"{stem}-{secrets.token_hex(SUFFIX_BYTES)}"
