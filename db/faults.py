"""Fault points: named places where a test stops, kills or delays the process.

Off unless ``PROVISIONERD_FAULTS`` says otherwise, as ``POINT=ACTION`` separated by commas:

    apply.begin=kill              SIGKILL to this process
    plan.end=stop                 SIGSTOP to this process
    finish.committed=delay:2.5    sleep for so many seconds
    init.begin=hold:/path         make the file /path.reached, go on when /path exists
    quota.committed=raise         raise FaultError

An action is taken each time its point is passed. ``@N`` after the point (``claim@2=kill``)
takes it at the Nth passing only.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VARIABLE = "PROVISIONERD_FAULTS"
POINTS = frozenset(
    {
        "claim.begin",
        "claim.committed",
        "set_up.begin",
        "set_up.end",
        "init.begin",
        "init.end",
        "plan.begin",
        "plan.end",
        "commit_quota.begin",
        "commit_quota.end",
        "apply.begin",
        "apply.end",
        "checkpoint.begin",
        "checkpoint.committed",
        "finish.begin",
        "finish.committed",
        "enqueue.committed",
    }
)
HOLD_TICK_S = 0.02


class FaultError(Exception):
    """Raised by a fault point that was told to."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What to do at a point, and at which passing (None: each)."""

    action: str
    argument: str = ""
    passing: int | None = None


@dataclass(kw_only=True)
class Faults:
    """The faults of this process."""

    by_point: Mapping[str, Fault]
    passed: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def pass_point(self, point: str) -> None:
        """Do what is to be done at ``point``."""
        fault = self.by_point.get(point)
        if fault is None:
            return
        with self.lock:
            self.passed[point] += 1
            passing = self.passed[point]
        if fault.passing in {None, passing}:
            _act(fault, point)


def parse_faults(text: str) -> Faults:
    """Return the faults that ``text`` asks for.

    Raises:
        ValueError: a point or an action is not known.
    """
    by_point = {}
    for entry in filter(None, text.split(",")):
        place, _, action = entry.partition("=")
        point, _, passing = place.partition("@")
        name, _, argument = action.partition(":")
        if point not in POINTS or name not in {"kill", "stop", "delay", "hold", "raise"}:
            raise ValueError(f"{VARIABLE}: there is no fault {entry!r}")
        by_point[point] = Fault(
            action=name, argument=argument, passing=int(passing) if passing else None
        )
    return Faults(by_point=by_point)


# Read once: the process that a test harms was started with it.
_FAULTS = parse_faults(os.environ.get(VARIABLE, ""))


def fault_point(point: str) -> None:
    """Mark a place that tests can harm. In production this looks up an empty dictionary."""
    if _FAULTS.by_point:
        _FAULTS.pass_point(point)


def _act(fault: Fault, point: str) -> None:
    if fault.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault.action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif fault.action == "delay":
        time.sleep(float(fault.argument))
    elif fault.action == "hold":
        _hold(Path(fault.argument))
    else:
        raise FaultError(f"told to fail at {point}")


def _hold(gate: Path) -> None:
    gate.with_name(gate.name + ".reached").touch()
    while not gate.exists():
        time.sleep(HOLD_TICK_S)
