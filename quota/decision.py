"""The rule by which a build may be paid for, written once: for the commit and for the forecast."""

from __future__ import annotations

from quota.errors import CostError
from quota.usage import allowance_sql, consumption_sql

MAX_COST = 2**31 - 1

BUDGET = allowance_sql("charged.organization_id", "charged.owner_id")
CONSUMED = consumption_sql("charged.organization_id", "charged.owner_id", "charged.build_id")
DECISION = f"""
    figures AS MATERIALIZED (
        SELECT build_id,
               previous_cost,
               ({BUDGET}) AS budget,
               ({CONSUMED}) AS consumed
        FROM charged
    ), decision AS MATERIALIZED (
        SELECT build_id, budget, consumed,
               consumed + :daily_cost <= budget
                   OR coalesce(:daily_cost < previous_cost, false)
                   OR :daily_cost = 0 AS ok
        FROM figures
    )
"""  # noqa: S608 - made of constants
"""Parts of a WITH clause. They need ``charged``, one row: organization_id, owner_id, build_id (the
build that does not count as consumption) and previous_cost (that of the build before)."""


def check_cost(daily_cost: int) -> None:
    """Check a daily cost.

    Raises:
        CostError: it is not a whole number from 0 to 2**31 - 1.
    """
    if type(daily_cost) is not int or not 0 <= daily_cost <= MAX_COST:
        raise CostError(f"a daily cost is a whole number from 0 to {MAX_COST}, not {daily_cost!r}")
