"""What a plan would do to each managed resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from db.jobs.resources import ResourceChange
from db.schema.enums import PlannedAction
from provisioner.engines.terraform.conversion.attributes import blocks, nested, text


def changes_of(plan: Mapping[str, Any], costs: Mapping[str, int]) -> Iterator[ResourceChange]:
    """Yield the changes of a plan that ``terraform show -json`` printed, in its order.

    Args:
        costs: credits per day of the instances that cost something, by address.
    """
    for found in blocks(plan, "resource_changes"):
        if text(found, "mode") == "managed":
            address = text(found, "address")
            yield ResourceChange(
                address=address,
                type=text(found, "type"),
                name=text(found, "name"),
                action=_action(nested(found, "change").get("actions")),
                daily_cost=costs.get(address, 0),
            )


def _action(listed: object) -> PlannedAction:
    """Return the one action that Terraform's list stands for; the last one of an unknown list."""
    found = listed if isinstance(listed, list) else []
    actions = [action for action in found if isinstance(action, str)]
    if {"create", "delete"} <= set(actions):
        return PlannedAction.REPLACE
    known = [action for action in actions if action in set(PlannedAction)]
    return PlannedAction(known[-1]) if known else PlannedAction.NO_OP
