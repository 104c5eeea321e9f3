"""What a daily cost may be."""

from __future__ import annotations

from decimal import Decimal

MAX_DAILY_COST = 2**31 - 1
"""The largest cost that the quota columns can store, of one resource and of a whole plan."""

_KINDS = {
    bool: "true or false",
    dict: "an object",
    float: "NaN or infinity",
    list: "a list",
    str: "a string",
}


def parse_cost(value: object) -> int:
    """Return ``value``, a number from JSON or None, as credits per day.

    Raises:
        ValueError: it is not a whole number from 0 to ``MAX_DAILY_COST``; the message is the
            predicate of a sentence whose subject is the cost.
    """
    if value is None:
        return 0
    # A float can only be NaN or Infinity: fractions are read as Decimal. The value is not shown,
    # because a text could be a secret.
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"must be a number, not {_KINDS[type(value)]}")  # noqa: TRY004
    if not 0 <= value <= MAX_DAILY_COST or value != int(value):
        raise ValueError(f"is {value}, but must be a whole number from 0 to {MAX_DAILY_COST}")
    return int(value)


def stored_cost(value: object) -> int:
    """Return the cost of a resource that exists; 0 for a cost that no plan would accept."""
    try:
        return parse_cost(value)
    except ValueError:
        return 0
