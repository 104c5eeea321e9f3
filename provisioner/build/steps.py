"""The steps of a workspace build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog
from sqlalchemy.orm import Session

from db.errors import LeaseLostError
from db.faults import fault_point
from db.jobs.archives import ArchiveCache
from db.jobs.builds import BuildInput, load_build
from db.jobs.circuits import check_circuits
from db.jobs.declarations import Template
from db.jobs.leases import Lease
from db.jobs.states import read_state, store_state
from db.outage import retry_outage
from db.schema.enums import LogLevel, Stage, Transition
from provisioner.build.attempt import Attempt, Recipe, Step
from provisioner.build.endings import BuildInterruptedError, QuotaRefusedError
from provisioner.build.facts import environment_of
from provisioner.build.secrets import ask_platform
from provisioner.build.workersecrets import secrets_of_worker
from provisioner.engines.graph import Graph
from provisioner.engines.port import BuildContext, EngineError, Plan
from provisioner.host.archive import TemplateFiles, read_archive
from provisioner.host.interrupt import InterruptReason
from provisioner.host.process import reason_of
from provisioner.platform.hook import BuildSecrets
from provisioner.redaction.secrets import secrets_in, secrets_of_state, with_marked
from provisioner.template.parameters import (
    check_known,
    check_parameters,
    check_variables,
    values_for,
)
from quota.commit import commit_quota

log = structlog.get_logger("provisioner")

Load = Callable[..., BuildInput]
"""Reads the input of a claimed job: ``load_build``, or a function of the same signature."""

GROWTH = 2
"""An apply may make the state this many times as large without running out of reserved room."""


def set_up(build: Attempt) -> None:
    """Read the build and its template, check parameters and variables, ask for its secrets."""
    prepare(build, _load_admitted, ask_platform)


def _load_admitted(session: Session, lease: Lease, *, archives: ArchiveCache) -> BuildInput:
    loaded = load_build(session, lease, archives=archives)
    if loaded.is_failing:
        check_circuits(session, lease)
    return loaded


def prepare(build: Attempt, load: Load, ask: Callable[[Attempt], BuildSecrets]) -> None:
    """Make the context of a build that ``load`` reads, with the secrets that ``ask`` returns."""

    def read() -> BuildInput:
        with build.database.begin() as session:
            return load(session, build.lease, archives=build.archives)

    build.input = retry_outage(read, may_go_on=build.interrupt.may_write)
    loaded = build.input
    files = read_archive(loaded.archive)
    template = _declarations(build, files)
    stored = {**_earlier_variables(loaded, template), **loaded.variables}
    variables = values_for(template, stored, loaded.parameters)
    if loaded.transition is not Transition.DELETE:
        _check_values(loaded, template, variables)
    secrets = ask(build)
    build.context = BuildContext(
        files=files,
        directory=build.directory.template,
        transition=loaded.transition,
        environment=environment_of(build, secrets),
        variables=variables,
        sensitive=_secrets(build, secrets),
        log=build.logs.write,
        interrupt=build.interrupt,
        timeout=build.settings.limits.init,
        template=template,
        state=loaded.state,
        home=build.directory.home,
        tmp=build.directory.tmp,
        module_files=loaded.module_files,
        graph=Graph(loaded.graph or ()),
        fetches_modules=loaded.fetches_modules,
        unpack=lambda: build.directory.make(loaded.archive),
        on_state=lambda state: _store_checkpoint(build, state),
        make_room=lambda: _make_room(build),
    )


def _declarations(build: Attempt, files: TemplateFiles) -> Template:
    """Return the declarations of the template; none if there is nothing to destroy.

    Those of a version that was pushed before there were imports are still read from its files.
    """
    loaded = build.loaded
    if loaded.transition is Transition.DELETE and not loaded.state:
        return Template()
    return loaded.template or build.engine.parse(files)


def _earlier_variables(loaded: BuildInput, template: Template) -> dict[str, str]:
    """Return values that users chose for required variables while that was possible.

    Only for a version without an import: what was made with them can still be stopped.
    """
    if loaded.template is not None:
        return {}
    required = {variable.name for variable in template.variables if variable.required}
    kept = required & loaded.parameters.keys() & loaded.previous_parameters.keys()
    return {name: loaded.parameters[name] for name in kept}


def _check_values(loaded: BuildInput, template: Template, variables: Mapping[str, str]) -> None:
    """Refuse a build that lacks a value or has a value for an unknown parameter.

    Not for a delete: existing resources can always be destroyed, whatever the template requires.
    """
    # A value inherited from an earlier build may be unknown to a new version: the user cannot
    # remove it.
    check_known(template, loaded.new_parameters)
    check_parameters(template, loaded.parameters)
    check_variables(template, variables)


def init(build: Attempt) -> None:
    """Install providers and modules."""
    timings = build.engine.init(build.context_for(build.settings.limits.init))
    build.result = replace(build.result, timings=timings)


def plan(build: Attempt) -> None:
    """Plan the transition, determine its daily cost, and reserve room on disk for its state.

    Raises:
        EngineError: the plan failed, or the disk has too little room for the state.
    """
    planned = run_plan(build)
    build.daily_cost = planned.daily_cost
    build.context = replace(build.loaded_context, graph=planned.graph)
    _reserve_room(build)


def run_plan(build: Attempt) -> Plan:
    """Plan the transition, and keep the timings."""
    planned = build.engine.plan(build.context_for(build.settings.limits.plan))
    build.result = replace(build.result, timings=[*build.result.timings, *planned.timings])
    context = build.loaded_context
    build.context = replace(context, sensitive=with_marked(context.sensitive, planned.sensitive))
    return planned


def _reserve_room(build: Attempt) -> None:
    """Reserve the room while nothing is made or charged, so that a full disk costs nothing."""
    known = len(build.loaded.state or b"")
    try:
        build.directory.reserve(max(build.settings.state_reserve_bytes, GROWTH * known))
    except OSError as error:
        raise EngineError(
            "the disk of the worker has too little room to apply the plan safely"
            f" ({reason_of(error)}); nothing was changed, so start the build again when there is"
            " room, or on another worker"
        ) from error


def commit(build: Attempt) -> None:
    """Charge the daily cost to the owner's quota.

    Raises:
        QuotaRefusedError: the quota commit refused the build.
    """
    if not _needs_quota(build):
        return

    def check_interrupt() -> None:
        if build.interrupt.is_set():
            raise BuildInterruptedError

    decision = retry_outage(
        lambda: commit_quota(
            build.database,
            job_id=build.lease.job_id,
            lease_token=build.lease.token,
            daily_cost=build.daily_cost,
            on_wait=check_interrupt,
        ),
        may_go_on=build.interrupt.may_write,
    )
    build.events.quota_decided(decision, build.daily_cost)
    for name, amount in (
        ("Build cost      ", build.daily_cost),
        ("Budget          ", decision.budget),
        ("Credits consumed", decision.credits_consumed),
    ):
        build.log_line(LogLevel.INFO, f"{name} \N{EM DASH}   {amount}")
    if not decision.ok:
        build.log_line(LogLevel.WARN, "This build would exceed your quota. Failing.")
        raise QuotaRefusedError(decision, build.daily_cost)


def _needs_quota(build: Attempt) -> bool:
    """Return whether the build must be charged.

    A delete is never charged, so that a user who is over budget can delete workspaces. A build
    that costs nothing is charged only if an earlier claim may have charged another cost.
    """
    if build.loaded.transition is Transition.DELETE:
        return False
    return build.daily_cost != 0 or build.job.claim > 1


def apply(build: Attempt) -> None:
    """Apply exactly what was planned; the state is stored while it changes."""
    applied = build.engine.apply(build.context_for(build.settings.limits.apply))
    build.result = replace(
        build.result,
        state=read_state(applied.state),
        resources=applied.resources,
        timings=[*build.result.timings, *applied.timings],
    )


RECIPE = Recipe(
    noun="build",
    steps=(
        Step(stage=Stage.SET_UP, heading="Setting up", run=set_up),
        Step(stage=Stage.INIT, heading="Initializing Terraform Directory", run=init),
        Step(stage=Stage.PLAN, heading="Planning Infrastructure", run=plan),
        Step(stage=Stage.COMMIT_QUOTA, heading="Commit quota", run=commit),
        Step(
            stage=Stage.APPLY,
            heading={
                Transition.START: "Starting workspace",
                Transition.STOP: "Stopping workspace",
                Transition.DELETE: "Destroying workspace",
            },
            run=apply,
        ),
    ),
)


def _secrets(build: Attempt, secrets: BuildSecrets) -> frozenset[str]:
    loaded = build.loaded
    known = secrets_in(loaded.sensitive_values | secrets.sensitive_values)
    return with_marked(known | secrets_of_worker(build.settings), secrets_of_state(loaded.state))


def _make_room(build: Attempt) -> None:
    log.warning("state.unwritable", job_id=str(build.job.id))
    build.events.checkpoint_finished(stored=False)
    build.directory.make_room()


def _store_checkpoint(build: Attempt, data: bytes) -> None:
    """Store the state of a running apply.

    Raises:
        Exception: it could not be stored; the engine tries again later.
    """
    state = read_state(data)
    if state is None:
        return
    fault_point("checkpoint.begin")
    try:
        with build.database.begin() as session:
            stored = store_state(session, build.lease, state=state)
    except LeaseLostError:
        build.interrupt.request(InterruptReason.LEASE_LOST)
        stored = False
    except Exception as error:
        build.events.checkpoint_finished(stored=False)
        if build.failed_checkpoints.fail():
            log.warning("checkpoint.failed", job_id=str(build.job.id), error=str(error))
        raise
    if failures := build.failed_checkpoints.end():
        log.info("checkpoint.recovered", job_id=str(build.job.id), failures=failures)
    fault_point("checkpoint.committed")
    build.events.checkpoint_finished(stored=stored)
