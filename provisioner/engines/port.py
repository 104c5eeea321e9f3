"""The engine port: what the runner asks of whatever executes a template.

Two engines are shipped: ``provisioner.engines.terraform`` runs the real binary and
``provisioner.engines.echo`` plays a script. An engine works inside one directory, which
it has made for it only if it works with files; it keeps nothing between builds,
and knows neither the database nor quota.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from db.jobs.results import Timing
from db.schema.enums import LogLevel, Transition
from provisioner.host.archive import TemplateFiles
from provisioner.host.interrupt import Interrupt

TERRAFORM_VERSION = "1.11.4"
"""The release of Terraform that is fetched where there is none."""


@dataclass(frozen=True, kw_only=True)
class TemplateVariable:
    """A ``variable`` block of the template's root module."""

    name: str
    required: bool  #: it has no default
    sensitive: bool = False
    description: str = ""
    type: str = "string"
    default: object | None = None
    ephemeral: bool = False  #: its value is in no plan and no state: an apply has to get it again


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
    """Called during apply with each new, whole and parsable state file (a checkpoint). It raises
    what kept the state from being stored; the apply goes on, and may offer it again."""


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
