"""The engine port: the operations that the runner needs to execute a template.

There are two engines: ``provisioner.engines.terraform`` runs the real binary and
``provisioner.engines.echo`` follows a script. An engine works inside one directory. An engine
that needs files calls ``BuildContext.unpack`` to make it. An engine uses neither the database nor
quota, and no build depends on an earlier one, except by ``BuildContext.state`` and by caches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from db.jobs.declarations import PlannedDeclarations, Template, TemplateModule
from db.jobs.resources import Resource, ResourceChange
from db.jobs.results import Timing
from db.schema.enums import LogLevel, Transition
from provisioner.engines.graph import Graph
from provisioner.host.archive import TemplateFiles
from provisioner.host.interrupt import Interrupt

TERRAFORM_VERSION = "1.11.4"
"""The release of Terraform that is downloaded if no binary is installed."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The result of a plan."""

    daily_cost: int  #: credits per day of all planned resources, 0 <= cost < 2**31
    timings: tuple[Timing, ...] = ()
    resources: tuple[Resource, ...] = ()
    changes: tuple[ResourceChange, ...] = ()  #: of managed resources
    declares: PlannedDeclarations = field(default_factory=PlannedDeclarations)
    graph: Graph = field(default_factory=Graph)  #: empty if nothing is attached to resources
    sensitive: frozenset[str] = frozenset()  #: values that must not appear in logs and errors


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The result of an apply."""

    state: bytes | None  #: the Terraform state file, None if there has never been one
    resources: tuple[Resource, ...] = ()
    timings: tuple[Timing, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What an ``init`` installed that all builds of a template version should share."""

    modules: tuple[TemplateModule, ...] = ()
    files: bytes | None = None  #: a tar of the modules and of the completed lock file


LogLine = Callable[[LogLevel, str], None]
"""Takes one line of output without its line end. Called from any thread; must not block."""


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """The input that all operations of one build share."""

    files: TemplateFiles
    directory: Path  #: the engine's working directory; it does not exist before ``unpack``
    transition: Transition
    environment: Mapping[str, str]  #: the whole environment of the engine's processes
    variables: Mapping[str, str]  #: values of template variables, by name
    sensitive: frozenset[str]  #: values that must not appear in logs and errors
    log: LogLine
    interrupt: Interrupt
    timeout: timedelta  #: time limit of this operation
    template: Template = field(default_factory=Template)  #: declares the variables
    state: bytes | None = None  #: the workspace's state before this build
    home: Path | None = None  #: HOME of the engine's processes
    tmp: Path | None = None  #: what they see as ``/tmp`` in a sandbox that can do that
    lent: Path | None = None  #: a folder that they can read and not change
    module_files: bytes | None = None  #: what ``installed`` returned at the version's import
    fetches_modules: bool = False  #: whether ``init`` downloads modules, whatever a cache has
    graph: Graph = field(default_factory=Graph)  #: of the version, or that its plan returned
    unpack: Callable[[], None] = lambda: None
    """Makes the directory with the files in it, and the home of the engine's processes. An engine
    that needs no files does not call it, because it would be most of its work."""
    on_state: Callable[[bytes], None] = field(default=lambda _state: None)
    """Called during apply with each new, complete and parsable state file (a checkpoint). If it
    raises, the state is not stored; the apply goes on and may pass the state again."""
    make_room: Callable[[], None] = lambda: None
    """Frees the room that is reserved on the disk for the state. Called each time that the engine
    is seen to lack it."""


class EngineError(Exception):
    """An operation of the engine failed; the message is the job's error, for its user to read.

    Attributes:
        state: the state file after a failed apply, or None if nothing was applied.
        timings: the timings until the failure.
        resources: the resources in that state.
        refused_variables: names of template variables if a value of them is the reason.
        leaves_state: whether the directory holds another state, which could not be taken.
    """

    refused_variables: frozenset[str] = frozenset()
    leaves_state = False

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
    """The plan's daily cost is negative, not a whole number, too large, or unknown."""


class EngineInterruptedError(EngineError):
    """The operation ended because ``BuildContext.interrupt`` asked it to.

    ``state`` is set as for any failure. ``clean`` is true if the engine ended by itself after one
    signal, so that its state is complete, and false if it had to be killed.
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
    """Execute a template. Every method may raise EngineError and EngineInterruptedError."""

    def parse(self, files: TemplateFiles) -> Template:
        """Read which variables and parameters the template declares, without running anything."""
        ...

    def init(self, context: BuildContext) -> tuple[Timing, ...]:
        """Install providers and modules."""
        ...

    def installed(self, context: BuildContext) -> Installed:
        """Return the modules that ``init`` installed in the same directory."""
        ...

    def plan(self, context: BuildContext) -> Plan:
        """Plan the transition from ``context.state`` and determine its daily cost."""
        ...

    def apply(self, context: BuildContext) -> Applied:
        """Apply exactly the plan that ``plan`` made in the same directory."""
        ...
