"""The engine port: what the runner asks of whatever executes a template.

Two engines are shipped: ``provisioner.terraform`` runs the real binary and
``provisioner.echo`` plays a script. An engine works inside one directory, which
it has made for it only if it works with files; it keeps nothing between builds,
and knows neither the database nor quota.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from db.enums import LogLevel, TimingStage, Transition


class InterruptReason(StrEnum):
    """Why a running build was told to end before its time."""

    CANCEL = "cancel"  #: somebody asked for it
    DRAIN = "drain"  #: the worker shuts down and its drain time is over
    LEASE_LOST = "lease_lost"  #: another attempt holds the job, or the lease can not be renewed
    DEADLINE = "deadline"  #: the stage took longer than its setting allows


class Interrupt:
    """Ask a running build to end.

    The first reason given stands, but a lost lease stands above any other: then nothing may be
    written, whatever else was wanted. A lease that is not extended in time is lost by itself,
    at the next look: nothing that hangs, and no pause of the whole process, can hide it.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._reason: InterruptReason | None = None
        self._kill_at: float | None = None
        self._fence_at: float | None = None
        self._fence_grace: timedelta | None = None

    @property
    def reason(self) -> InterruptReason | None:
        """Why the build is to end, or None while it may go on."""
        self._look_at_fence()
        return self._reason

    def may_write(self) -> bool:
        """Return whether the lease may still be held, so that writes are worth trying again."""
        return self.reason is not InterruptReason.LEASE_LOST

    @property
    def kill_at(self) -> float | None:
        """When a process that has not ended is to be killed, by ``time.monotonic``.

        None leaves it to the engine's own grace.
        """
        return self._kill_at

    def request(self, reason: InterruptReason, *, grace: timedelta | None = None) -> bool:
        """Ask for the end; return whether the reason stands.

        Args:
            grace: how long the engine's process may take from now on. The shortest one given
                counts.
        """
        with self._lock:
            if grace is not None:
                kill_at = time.monotonic() + grace.total_seconds()
                self._kill_at = min(kill_at, self._kill_at or kill_at)
            if self._reason is None or reason is InterruptReason.LEASE_LOST:
                self._reason = reason
            self._event.set()
            return self._reason is reason

    def extend(self, fence_at: float, *, grace: timedelta) -> None:
        """Let the lease hold until ``fence_at``, by ``time.monotonic``.

        Args:
            grace: how long the engine's process may take once the lease is lost.
        """
        with self._lock:
            self._fence_at, self._fence_grace = fence_at, grace

    def is_set(self) -> bool:
        """Return whether the build is to end."""
        self._look_at_fence()
        return self._event.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait at most ``timeout_s`` seconds for a request; return whether there is one."""
        end = time.monotonic() + timeout_s
        fence_at = self._fence_at
        while fence_at is not None and fence_at < end and not self._event.is_set():
            self._event.wait(max(0.0, fence_at - time.monotonic()))
            self._look_at_fence()
            fence_at = self._fence_at
        return self._event.wait(max(0.0, end - time.monotonic()))

    def _look_at_fence(self) -> None:
        fence_at = self._fence_at
        if fence_at is None or time.monotonic() < fence_at:
            return
        if self._reason is not InterruptReason.LEASE_LOST:
            self.request(InterruptReason.LEASE_LOST, grace=self._fence_grace)


TemplateFiles = Mapping[str, memoryview]
"""The content of each file of a template, by its path in the archive."""


@dataclass(frozen=True, kw_only=True)
class TemplateVariable:
    """A ``variable`` block of the template's root module."""

    name: str
    required: bool  #: it has no default
    sensitive: bool = False
    description: str = ""
    type: str = "string"
    default: object | None = None


@dataclass(frozen=True, kw_only=True)
class TemplateParameter:
    """A value that the workspace's user chooses (``data "coder_parameter"``)."""

    name: str
    required: bool  #: it has no default
    description: str = ""
    default: str | None = None


@dataclass(frozen=True, kw_only=True)
class Template:
    """What a template asks for, read from its files without running anything."""

    variables: tuple[TemplateVariable, ...] = ()
    parameters: tuple[TemplateParameter, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ResourceMetadata:
    """One item of a ``coder_metadata`` resource."""

    key: str
    value: str | None
    sensitive: bool = False


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A managed resource of a workspace."""

    type: str
    name: str
    daily_cost: int = 0  #: credits per day, >= 0
    module_path: str = ""  #: ``""`` is the root module
    instance_type: str | None = None
    hide: bool = False
    icon: str = ""
    metadata: tuple[ResourceMetadata, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one step of Terraform took for one resource."""

    stage: TimingStage
    source: str  #: provider, or ``provisionerd`` for a whole stage
    action: str
    resource: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an apply would do, and its price."""

    daily_cost: int  #: credits per day of everything planned, 0 <= cost < 2**31
    timings: tuple[Timing, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an apply left behind."""

    state: bytes | None  #: the Terraform state file, None if there never was one
    resources: tuple[Resource, ...] = ()
    timings: tuple[Timing, ...] = ()


LogLine = Callable[[LogLevel, str], None]
"""Take one line of output (no line end). Called from any thread, must not block."""


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """What every operation of one build shares."""

    files: TemplateFiles
    directory: Path  #: the engine's working directory; not there before ``unpack``
    transition: Transition
    environment: Mapping[str, str]  #: the whole environment of the engine's processes
    variables: Mapping[str, str]  #: values of template variables, by name
    sensitive: frozenset[str]  #: values that must not appear in logs and errors
    log: LogLine
    interrupt: Interrupt
    timeout: timedelta  #: deadline of each single operation
    state: bytes | None = None  #: the workspace's state before this build
    unpack: Callable[[], None] = lambda: None
    """Make the directory, with the files in it, and the home of the engine's processes. Left out
    by an engine that writes none, for which that would be most of the work."""
    on_state: Callable[[bytes], None] = field(default=lambda _state: None)
    """Called during apply with each new, whole and parsable state file (a checkpoint)."""


class EngineError(Exception):
    """An operation of the engine failed; the message is fit for the user who reads the job's error.

    Attributes:
        state: the state file after a failed apply, or None when nothing was applied.
        timings: of what ran before the failure.
        resources: what that state holds.
    """

    def __init__(
        self,
        message: str,
        *,
        state: bytes | None = None,
        timings: tuple[Timing, ...] = (),
        resources: tuple[Resource, ...] = (),
    ) -> None:
        super().__init__(message)
        self.state = state
        self.timings = timings
        self.resources = resources


class PriceError(EngineError):
    """The plan's daily cost cannot be read: negative, no whole number, too large, or unknown."""


class EngineInterruptedError(EngineError):
    """The operation ended because ``BuildContext.interrupt`` asked it to.

    ``state`` is set as for any failure. ``clean`` tells whether the engine ended by itself
    after one signal (its state is complete) or had to be killed.
    """

    def __init__(
        self,
        message: str,
        *,
        clean: bool,
        state: bytes | None = None,
        timings: tuple[Timing, ...] = (),
        resources: tuple[Resource, ...] = (),
    ) -> None:
        super().__init__(message, state=state, timings=timings, resources=resources)
        self.clean = clean


class Engine(Protocol):
    """Execute a template. Every method raises EngineError, and EngineInterruptedError."""

    def parse(self, files: TemplateFiles) -> Template:
        """Read which variables and parameters the template declares, without running anything."""
        ...

    def init(self, context: BuildContext) -> tuple[Timing, ...]:
        """Make providers and modules ready."""
        ...

    def plan(self, context: BuildContext) -> Plan:
        """Plan the transition from ``context.state`` and price it."""
        ...

    def apply(self, context: BuildContext) -> Applied:
        """Apply exactly what ``plan`` planned in the same directory."""
        ...
