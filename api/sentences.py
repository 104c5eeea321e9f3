"""Sentences of the API by which clients, and so our command line, know what happened."""

from __future__ import annotations

HIDDEN = "Resource not found or you do not have access to this resource"
"""Something does not exist, or must not be known to exist."""
UNKNOWN_ROUTE = "Route not found."
