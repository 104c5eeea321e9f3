"""Waiting for what other processes do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil


def wait_until(condition: Callable[[], bool], deadline_s: float = 20) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        threading.Event().wait(0.01)


def is_gone(pid: int) -> bool:
    """Whether it has ended; whoever inherited it may leave it as a zombie for a moment."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
