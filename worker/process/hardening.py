"""Keeping the worker's own secrets from the templates that it runs."""

from __future__ import annotations

import ctypes
import sys

PR_SET_DUMPABLE = 4


def hide_from_siblings() -> None:
    """Close /proc/<pid>/environ and memory of this process to others of the same user (Linux).

    A template's code runs as the worker's user, and would find the database's URL there. It
    does not help against root, nor where another process has the same environment:
    ``docs/operations.md`` says what does.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
