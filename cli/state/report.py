"""What is said of a state that was given to a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from cli.printing import JSON, print_json
from db.catalog.states import PushedState
from db.reads.states import state_label

SHOWN_ADDRESSES = 5


def print_pushed(pushed: PushedState, *, output: str) -> None:
    """Say what became of a state that was pushed or adopted, and what it lacks."""
    label = state_label(pushed.build_number, pushed.position)
    if pushed.is_changed and pushed.dropped:
        replaced = state_label(pushed.build_number, pushed.position - 1)
        click.echo(
            f"Warning: resources of the replaced state that this one lacks ({len(pushed.dropped)}):"
            f" {_some(pushed.dropped)}; `state pull --build {replaced}` still has it.",
            err=True,
        )
    if output == JSON:
        print_json({**asdict(pushed), "state": label})
    elif pushed.is_changed:
        click.echo(
            f"Workspace {pushed.owner_name}/{pushed.workspace_name} has the state {label} now:"
            f" lineage {pushed.lineage}, serial {pushed.serial}. The next build starts from it."
        )
    else:
        click.echo("The workspace has this state already.")


def _some(addresses: Sequence[str]) -> str:
    rest = len(addresses) - SHOWN_ADDRESSES
    return ", ".join([*addresses[:SHOWN_ADDRESSES], *([f"{rest} more"] if rest > 0 else [])])
