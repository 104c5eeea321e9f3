"""The report of a pushed or adopted state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from cli.printing import DOCUMENTS, print_document
from db.catalog.states import PushedState
from db.reads.states import state_label

SHOWN_ADDRESSES = 5


def print_pushed(pushed: PushedState, *, output: str) -> None:
    """Report a pushed or adopted state, and warn about resources that it lacks."""
    label = state_label(pushed.build_number, pushed.position)
    if pushed.is_changed and pushed.dropped:
        replaced = state_label(pushed.build_number, pushed.position - 1)
        click.echo(
            f"Warning: resources of the replaced state that this one lacks ({len(pushed.dropped)}):"
            f" {_some(pushed.dropped)}; `state pull --build {replaced}` still has it.",
            err=True,
        )
    if output in DOCUMENTS:
        print_document({**asdict(pushed), "state": label}, output)
    elif pushed.is_changed:
        click.echo(
            f"Workspace {pushed.owner_name}/{pushed.workspace_name} now has the state {label}:"
            f" lineage {pushed.lineage}, serial {pushed.serial}. The next build starts from it."
        )
    else:
        click.echo("The workspace already has this state.")


def _some(addresses: Sequence[str]) -> str:
    rest = len(addresses) - SHOWN_ADDRESSES
    return ", ".join([*addresses[:SHOWN_ADDRESSES], *([f"{rest} more"] if rest > 0 else [])])
