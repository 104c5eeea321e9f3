"""How commands name a workspace: OWNER/NAME, or a name with an owner."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import click

OWNER = "PROVISIONERD_OWNER"  #: the variable of the owner that is meant when a command names none


def workspace_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument and the option by which a command gets ``name`` and ``owner``."""

    @click.argument("name", metavar="[OWNER/]NAME")
    @click.option(
        "--owner", metavar="USER", help=f"Owner of the workspace, for a plain NAME; or {OWNER}."
    )
    @functools.wraps(command)
    def call(*args: Any, name: str, owner: str | None, **kwargs: Any) -> None:
        owner, name = owner_and_name(name, owner)
        command(*args, name=name, owner=owner, **kwargs)

    return call


def owner_and_name(reference: str, owner: str | None) -> tuple[str, str]:
    """Return the owner and the name of a workspace.

    Args:
        reference: a name, or OWNER/NAME.
        owner: the owner of a plain name; None for the owner of the environment.

    Raises:
        click.UsageError: there is no owner, or there are two.
    """
    given, separator, name = reference.rpartition("/")
    if not separator:
        return owner or needed_owner(reference), name
    if owner and owner.lower() != given.lower():
        raise click.UsageError(f"the owner is given twice: {given!r} and --owner {owner!r}")
    return given, name


def needed_owner(reference: str) -> str:
    """Return the owner of the environment.

    Raises:
        click.UsageError: the environment names none.
    """
    owner = default_owner()
    if owner is None:
        raise click.UsageError(
            f"the workspace {reference!r} needs an owner:"
            f" give OWNER/NAME or --owner, or set {OWNER}"
        )
    return owner


def default_owner() -> str | None:
    """Return the owner that the environment names, if any."""
    return os.environ.get(OWNER) or None


def owner_and_name_wanted(
    owner: str | None, reference: str | None
) -> tuple[str | None, str | None]:
    """Return the owner and the name of a filter for workspaces, in which each may be None.

    Raises:
        click.UsageError: there are two owners.
    """
    if reference is None or "/" not in reference:
        return owner, reference
    return owner_and_name(reference, owner)
