"""Why a release cannot be used."""

from __future__ import annotations


class ReleaseError(Exception):
    """A release cannot be fetched or verified; the message is the reason."""
