"""What a plan would do to each managed resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from db.jobs.resources import ResourceChange
from db.schema.enums import PlannedAction


def changes_of(plan: Mapping[str, Any], costs: Mapping[str, int]) -> Iterator[ResourceChange]:
    """Yield the changes of a plan that ``terraform show -json`` printed, in its order.

    Args:
        costs: credits per day of the instances that cost something, by address.
    """
    for found in plan.get("resource_changes") or []:
        if found.get("mode") == "managed":
            address = str(found.get("address"))
            yield ResourceChange(
                address=address,
                type=str(found.get("type")),
                name=str(found.get("name")),
                action=_action((found.get("change") or {}).get("actions") or []),
                daily_cost=costs.get(address, 0),
            )


def _action(actions: Sequence[str]) -> PlannedAction:
    """Return the one action that Terraform's list stands for; the last one of an unknown list."""
    if {"create", "delete"} <= set(actions):
        return PlannedAction.REPLACE
    known = [action for action in actions if action in set(PlannedAction)]
    return PlannedAction(known[-1]) if known else PlannedAction.NO_OP
