"""What the quota commit refuses to take, apart from a genuine no (which is a decision)."""

from __future__ import annotations


class CostError(ValueError):
    """A daily cost is not a whole number of credits from 0 to 2**31 - 1."""
