"""Hides the worker's own secrets from the templates that it runs."""

from __future__ import annotations

import ctypes
import sys

PR_SET_DUMPABLE = 4


def make_undumpable() -> None:
    """Hide /proc/<pid>/environ and the memory of this process from its own user (Linux).

    A template's code runs as the worker's user, and could read the database URL there. This does
    not protect against root, or if another process has the same environment:
    ``docs/operations.md`` describes what does.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
