"""Fault points: named points in the code where a test can stop, kill or delay the process.

They do nothing unless ``PROVISIONERD_FAULTS`` is set, to ``POINT=ACTION`` separated by commas:

    apply.begin=kill              SIGKILL to this process
    plan.end=stop                 SIGSTOP to this process
    finish.committed=delay:2.5    sleep for 2.5 seconds
    init.begin=hold:/path         add a line to /path.reached, continue when /path exists
    quota.committed=raise         raise FaultError

The action is taken each time that the point is passed. With ``@N`` after the point
(``claim.begin@2=kill``), it is taken the Nth time only.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from db.errors import InvalidError

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
HOLD_POLL_S = 0.02

_ENTRY = re.compile(
    r"(?P<point>[a-z_.]+)(?:@(?P<passing>[0-9]{1,9}))?="
    r"(?:(?P<end>kill|stop|raise)"
    r"|(?P<action>delay|hold):(?:(?P<seconds>(?<=delay:)[0-9]{1,6}(?:\.[0-9]{1,6})?)"
    r"|(?P<path>(?<=hold:).+)))"
)


class FaultError(Exception):
    """Raised by a fault point with the action ``raise``."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """The action at a point, and the number of the passing (None: at each)."""

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
        """Take the action that is set for ``point``, if any."""
        fault = self.by_point.get(point)
        if fault is None:
            return
        with self.lock:
            self.passed[point] += 1
            passing = self.passed[point]
        if fault.passing in {None, passing}:
            _act(fault, point)


def parse_faults(text: str) -> Faults:
    """Return the faults that ``text`` describes.

    Raises:
        InvalidError: a point or an action is unknown, or its argument has another form.
    """
    by_point = {}
    for entry in filter(None, text.split(",")):
        found = _ENTRY.fullmatch(entry)
        if found is None or found["point"] not in POINTS:
            raise InvalidError(f"{VARIABLE}: there is no fault {entry!r}")
        by_point[found["point"]] = Fault(
            action=found["action"] or found["end"],
            argument=found["seconds"] or found["path"] or "",
            passing=int(found["passing"]) if found["passing"] else None,
        )
    return Faults(by_point=by_point)


@functools.cache
def _faults() -> Faults:
    """Return the faults of this process: a test sets the variable before it starts it."""
    return parse_faults(os.environ.get(VARIABLE, ""))


def fault_point(point: str) -> None:
    """Mark a point where tests can inject a fault. In production this costs a dictionary lookup.

    Raises:
        InvalidError: the variable names an unknown fault. Settings are checked when they load.
    """
    faults = _faults()
    if faults.by_point:
        faults.pass_point(point)


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
    with gate.with_name(gate.name + ".reached").open("ab") as reached:
        reached.write(b"\n")
    while not gate.exists():
        time.sleep(HOLD_POLL_S)
