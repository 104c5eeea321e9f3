"""The rules for the names of agents and the slugs of apps."""

from __future__ import annotations

import re
from collections.abc import Sequence

from provisioner.engines.terraform.conversion.errors import ConversionError

MAX_AGENT_NAME = 64
_PATTERN = "^[a-z0-9](-?[a-z0-9])*$"
_AGENT_PATTERN = f"(?i){_PATTERN}"
_SLUG = re.compile(r"[a-z0-9](-?[a-z0-9])*", re.ASCII)
_AGENT = re.compile(_SLUG.pattern, re.ASCII | re.IGNORECASE)


def check_agent_names(names: Sequence[str]) -> None:
    """Refuse a name that is not a host name, or that two agents have. Case makes no difference.

    Raises:
        ConversionError: it names the first such agent.
    """
    seen = set()
    for name in names:
        _check_agent_name(name)
        if name.lower() in seen:
            raise ConversionError(f"duplicate agent name: {name}")
        seen.add(name.lower())


def check_slugs(slugs: Sequence[str]) -> None:
    """Refuse a slug that is not a host name in lower case, or that two apps have.

    Raises:
        ConversionError: it names the first such slug.
    """
    seen = set()
    for slug in slugs:
        if not _SLUG.fullmatch(slug):
            raise ConversionError(f'app slug "{slug}" does not match regex "{_PATTERN}"')
        if slug in seen:
            raise ConversionError(f'duplicate app slug, they must be unique per template: "{slug}"')
        seen.add(slug)


def _check_agent_name(name: str) -> None:
    if not name:
        raise ConversionError("agent name cannot be empty")
    if "_" in name:
        raise ConversionError(
            f'agent name "{name}" contains underscores which are no longer supported,'
            f' please use hyphens instead (regex: "{_AGENT_PATTERN}")'
        )
    if not _AGENT.fullmatch(name):
        raise ConversionError(f'agent name "{name}" does not match regex "{_AGENT_PATTERN}"')
    if len(name) > MAX_AGENT_NAME:
        raise ConversionError(f'agent name "{name}" is longer than {MAX_AGENT_NAME} characters')
