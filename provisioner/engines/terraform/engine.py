"""The engine that runs Terraform (or OpenTofu) itself.

A template's ``backend`` and ``cloud`` blocks are not used: an override file with a local backend,
whose name sorts after every file of the template, replaces them, and the state file is returned to
the caller. Files that a template archive may have planted (``.terraform``, state files, a plan)
are removed before ``init``. Starting a command costs as much as its work, so there is one for
``init``, two for ``plan`` and one for ``apply``. The import of a template with something to attach
to its resources needs a third for ``plan``, which prints the graph: the JSON of a plan does not say
what locals and dynamic blocks refer to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from db.jobs.declarations import PlannedDeclarations, Template
from db.jobs.resources import Resource
from db.jobs.results import Timing
from db.schema.enums import LogLevel, TimingStage, Transition
from provisioner.engines.graph import Graph
from provisioner.engines.port import Applied, BuildContext, EngineError, Installed, Plan
from provisioner.engines.terraform import files as workdir
from provisioner.engines.terraform.arguments import (
    QUIET,
    apply_arguments,
    plan_arguments,
    unwritable,
)
from provisioner.engines.terraform.cache.initkey import init_key
from provisioner.engines.terraform.cache.lockfile import LockedProvider, read_lock_file
from provisioner.engines.terraform.capture import capture
from provisioner.engines.terraform.changes import changes_of
from provisioner.engines.terraform.checkpoint import FOREIGN, Checkpoints
from provisioner.engines.terraform.conversion.declarations import declarations_of
from provisioner.engines.terraform.conversion.dot import read_graph
from provisioner.engines.terraform.conversion.errors import ConversionError
from provisioner.engines.terraform.conversion.instances import Instance, instances_of_plan
from provisioner.engines.terraform.conversion.resources import (
    left_resources_of,
    resources_of,
)
from provisioner.engines.terraform.declarations import read_template
from provisioner.engines.terraform.initcache import InitCache
from provisioner.engines.terraform.kept import (
    TooLargeError,
    pack_kept,
    pack_lock_file,
    put_modules,
)
from provisioner.engines.terraform.modules import installed_modules
from provisioner.engines.terraform.operation import Outcome, Program, run_command
from provisioner.engines.terraform.price import price_plan, read_plan
from provisioner.engines.terraform.state import instances_of
from provisioner.engines.terraform.version import JSON_INIT, Version, check_version, read_version
from provisioner.host import process
from provisioner.host.archive import TemplateFiles
from provisioner.host.sandbox.port import NoSandbox, Sandbox
from provisioner.redaction.secrets import secrets_of_plan

T = TypeVar("T")
_ATTACHED = frozenset({"coder_agent", "coder_metadata"})
_NOTHING_TO_DO = "The Terraform state does not exist, there is nothing to do"


class TerraformEngine:
    """Executes templates with the binary at ``binary`` (see ``provisioner.engines.port.Engine``).

    ``grace`` is how long an interrupted Terraform may take to end before it is killed. The
    binary's version is read once, at the first ``init``, and must be at least 1.1.0. With a
    ``cache`` a template is initialized once, and each of its builds starts with a copy of that.
    Every command of a template runs in the ``sandbox``; the default is none.
    """

    def __init__(
        self,
        binary: Path,
        *,
        grace: timedelta,
        cache: InitCache | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        self._program = Program(binary=binary, grace=grace, sandbox=sandbox or NoSandbox())
        self._cache = cache

    def parse(self, files: TemplateFiles) -> Template:
        """Read which variables and parameters the template declares, without running anything."""
        is_tofu = "tofu" in self._program.binary.name
        return read_template(files, is_tofu=is_tofu, sandbox=self._program.sandbox)

    def init(self, context: BuildContext) -> tuple[Timing, ...]:
        """Unpack the template, add the workspace's state, install providers and modules.

        A provider in the template's lock file must match it; a provider that the lock file lacks
        is installed with a warning. A delete with nothing to destroy installs nothing.

        Raises:
            EngineError: the version is too old, or ``init`` failed or was interrupted.
        """
        if _is_done(context):
            return ()
        try:
            context.unpack()
            key = self._init_key(context) if self._cache else ""
            workdir.prepare(context.directory, context.state)
            if self._cache is None:
                put_modules(context)
        except OSError as error:
            raise unwritable("init", error) from error
        if self._cache is None:
            return self._install(context)
        if context.fetches_modules:
            return self._cache.install_afresh(context, self._install)
        return self._cache.initialize(key, context, self._install)

    def installed(self, context: BuildContext) -> Installed:
        """Return the modules that ``init`` installed, and those that builds should share.

        Raises:
            EngineError: they cannot be read.
        """
        directory = context.directory
        try:
            return Installed(modules=tuple(installed_modules(directory)), files=_kept(context))
        except OSError as error:
            raise EngineError(f"terraform init: {process.reason_of(error)}") from error

    def plan(self, context: BuildContext) -> Plan:
        """Plan the transition from ``context.state``; return its daily cost, 0 for a delete.

        Raises:
            EngineError: the plan failed or was interrupted, or its daily cost is not valid.
        """
        if _is_done(context):
            context.log(LogLevel.INFO, _NOTHING_TO_DO)
            return Plan(daily_cost=0)
        arguments = plan_arguments(context)
        outcome = self._run(context, TimingStage.PLAN, *arguments)
        if self._may_plan_again(context, outcome):
            outcome = self._run(context, TimingStage.PLAN, *arguments)
        outcome.check()
        if context.transition is Transition.DELETE:
            return Plan(daily_cost=0, timings=outcome.timings)
        try:
            return self._read_plan(context, outcome.timings)
        except EngineError as error:
            error.timings = outcome.timings
            raise

    def apply(self, context: BuildContext) -> Applied:
        """Apply exactly the plan that ``plan`` made in the same directory.

        ``context.on_state`` gets each new state, at most once a second, from another thread. An
        exception from it is logged as a warning, and the apply goes on. The last state is always
        returned with the result or the error, and not passed to ``on_state``.

        Raises:
            EngineError: the apply failed or was interrupted; with the newest state.
        """
        if _is_done(context):
            return Applied(state=context.state or None)
        with Checkpoints(
            context.directory,
            base=context.state,
            deliver=context.on_state,
            warn=lambda text: context.log(LogLevel.WARN, text),
            make_room=context.make_room,
        ) as checkpoints:
            outcome = self._run(context, TimingStage.APPLY, *apply_arguments(context))
            if outcome.printed_state is not None:
                checkpoints.take_printed(outcome.printed_state)
        instances = instances_of(checkpoints.newest or b"") or ()
        try:
            outcome.check(state=checkpoints.newest)
            checkpoints.check()
            resources = _convert(instances, context)
        except EngineError as error:
            error.state, error.timings = checkpoints.newest, outcome.timings
            error.leaves_state = checkpoints.loss == FOREIGN
            error.resources = left_resources_of(instances, context.graph)
            raise
        return Applied(state=checkpoints.newest, resources=resources, timings=outcome.timings)

    @functools.cached_property
    def _version(self) -> Version:
        version = read_version(self._program.binary)
        check_version(version)
        return version

    def _init_key(self, context: BuildContext) -> str:
        return init_key(
            context.directory,
            context.environment,
            binary=self._program.binary,
            version=str(self._version),
            module_files=context.module_files,
        )

    def _install(self, context: BuildContext) -> tuple[Timing, ...]:
        arguments = ["init", *QUIET]
        if self._version >= JSON_INIT:
            arguments.append("-json")
        # Not -lockfile=readonly: a correct lock file may lack providers that only the state still
        # needs. Terraform checks the hashes of the locked providers anyway.
        locked = read_lock_file(context.directory / workdir.LOCK_FILE)
        outcome = self._run(context, TimingStage.INIT, *arguments)
        outcome.check()
        _warn_of_unlocked(context, locked)
        return outcome.timings

    def _may_plan_again(self, context: BuildContext, outcome: Outcome) -> bool:
        """Return whether the plan failed because of the cache and the directory is fixed now."""
        if self._cache is None or outcome.ended.returncode == 0:
            return False
        try:
            return self._cache.recover(outcome.explanation, context, self._install)
        except OSError as error:
            raise unwritable("init", error) from error

    def _run(self, context: BuildContext, stage: TimingStage, *arguments: str) -> Outcome:
        return run_command(self._program, arguments, context=context, stage=stage)

    def _read_plan(self, context: BuildContext, timings: tuple[Timing, ...]) -> Plan:
        show = ("show", "-no-color", "-json", workdir.PLAN_FILE)
        plan = read_plan(self._capture(context, TimingStage.PLAN, *show)[0])
        costs = price_plan(plan)
        instances = tuple(instances_of_plan(plan))
        graph = context.graph
        if not graph and _needs_graph(instances):
            graph, more = self._read_graph(context)
            timings += more
        resources = _convert(instances, replace(context, graph=graph))
        return Plan(
            daily_cost=sum(costs.values()),
            timings=timings,
            resources=resources,
            changes=tuple(changes_of(plan, costs)),
            declares=_judged(
                context, lambda: declarations_of(instances), otherwise=PlannedDeclarations
            ),
            graph=graph,
            sensitive=secrets_of_plan(plan),
        )

    def _read_graph(self, context: BuildContext) -> tuple[Graph, tuple[Timing, ...]]:
        graph = ("graph", "-no-color", "-type=plan")
        dot, timings = self._capture(context, TimingStage.GRAPH, *graph)
        return read_graph(dot), timings

    def _capture(
        self, context: BuildContext, stage: TimingStage, *arguments: str
    ) -> tuple[str, tuple[Timing, ...]]:
        return capture(self._program, arguments, context=context, stage=stage)


def _kept(context: BuildContext) -> bytes | None:
    try:
        return pack_kept(context.directory)
    except TooLargeError as error:
        context.log(LogLevel.WARN, f"{error}, so every build downloads them")
        return pack_lock_file(context.directory)


def _needs_graph(instances: Iterable[Instance]) -> bool:
    """Return whether something is attached to resources by the graph, which costs a process."""
    return any(found.mode == "managed" and found.type in _ATTACHED for found in instances)


def _convert(instances: Sequence[Instance], context: BuildContext) -> tuple[Resource, ...]:
    return _judged(
        context,
        lambda: resources_of(instances, context.graph),
        otherwise=lambda: left_resources_of(instances, context.graph),
    )


def _judged(context: BuildContext, convert: Callable[[], T], *, otherwise: Callable[[], T]) -> T:
    """Return what was converted.

    Raises:
        ConversionError: the template breaks a rule, and a start would make its resources. What
            exists can still be stopped: a stop only warns, and goes on with ``otherwise``.
    """
    try:
        return convert()
    except ConversionError as error:
        if context.transition is Transition.START:
            raise
        context.log(LogLevel.WARN, str(error))
        return otherwise()


def _warn_of_unlocked(context: BuildContext, locked: Mapping[str, LockedProvider]) -> None:
    if workdir.LOCK_FILE not in context.files:
        return
    now = read_lock_file(context.directory / workdir.LOCK_FILE)
    if added := sorted(now.keys() - locked.keys()):
        context.log(
            LogLevel.WARN,
            f"The lock file of the template lacks {', '.join(added)}, which was installed"
            " without a check against it; run `terraform init` in the template's folder and"
            " push the completed lock file",
        )


def _is_done(context: BuildContext) -> bool:
    """Return whether this is a delete of a workspace without resources."""
    if context.transition is not Transition.DELETE:
        return False
    if not context.state:
        return True
    return instances_of(context.state) == ()
