"""The cost of a plan: the sum of ``daily_cost`` over all resources that exist after it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from provisioner.engines.port import EngineError, PriceError
from provisioner.engines.terraform.conversion.attributes import blocks, nested, text
from provisioner.engines.terraform.conversion.cost import MAX_DAILY_COST, parse_cost

MAX_VALUES = 8_000_000
"""A plan with more values is refused: an empty list takes three characters, and twenty times as
much memory when it was read."""


def read_plan(plan_json: str) -> dict[str, Any]:
    """Return the content of a plan that ``terraform show -json`` printed.

    Raises:
        EngineError: it is not readable, has more than ``MAX_VALUES`` values, or is not a plan.
    """
    if sum(map(plan_json.count, ",[{")) > MAX_VALUES:
        raise EngineError(f"terraform show: the plan has more than {MAX_VALUES} values")
    try:
        plan = json.loads(plan_json, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"terraform show: the plan is not readable as JSON: {error}") from error
    if not isinstance(plan, dict) or "planned_values" not in plan:
        raise EngineError("terraform show: the plan has no planned values")
    return plan


def price_plan(plan: Mapping[str, Any]) -> dict[str, int]:
    """Return the daily cost in credits of each instance of a plan that costs something, by address.

    A ``coder_metadata`` instance costs its ``daily_cost``; a ``terraform_data`` instance costs
    ``input.daily_cost`` if its input is an object with that attribute. Unset or null is 0. A
    resource that the plan destroys costs nothing. A ``terraform_data`` input that is completely
    unknown (for example another resource's id) is not an object with a cost, and costs nothing.

    Raises:
        PriceError: a cost or the sum is not a whole number from 0 to ``MAX_DAILY_COST``, or a cost
            is not known at plan time.
    """
    unknown = {
        text(change, "address"): nested(change, "change").get("after_unknown")
        for change in blocks(plan, "resource_changes")
    }
    root = nested(nested(plan, "planned_values"), "root_module")
    costs: Counter[str] = Counter()
    for planned in _planned(root):
        address = text(planned, "address")
        costs[address] += _cost_of(planned, unknown.get(address))
    total = sum(costs.values())
    if total > MAX_DAILY_COST:
        raise PriceError(
            f"the plan costs {total} credits per day in total; at most {MAX_DAILY_COST} can be "
            "accounted for, lower the daily_cost of its resources"
        )
    return {address: cost for address, cost in costs.items() if cost}


def _planned(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the managed resource instances of ``module`` and of its child modules."""
    for resource in blocks(module, "resources"):
        if text(resource, "mode") == "managed":
            yield resource
    for child in blocks(module, "child_modules"):
        yield from _planned(child)


def _cost_of(resource: Mapping[str, Any], unknown: object) -> int:
    address, kind = text(resource, "address"), text(resource, "type")
    values: object = nested(resource, "values")
    if kind == "terraform_data":
        values, unknown = _attribute(values, "input"), _attribute(unknown, "input")
    elif kind != "coder_metadata":
        return 0
    if _attribute(unknown, "daily_cost") is True:
        raise PriceError(
            f"{address}: daily_cost is not known at plan time; make it depend only on "
            "variables, parameters and other values that are known before the apply"
        )
    try:
        return parse_cost(_attribute(values, "daily_cost"))
    except ValueError as error:
        raise PriceError(f"{address}: daily_cost {error}") from error


def _attribute(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None
