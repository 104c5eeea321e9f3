"""The error of a quota commit that cannot decide. A refusal is not an error but a decision."""

from __future__ import annotations


class CostError(ValueError):
    """A daily cost is not a whole number of credits from 0 to 2**31 - 1."""
