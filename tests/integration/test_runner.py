"""Whole builds: the runner with the echo engine on a real database."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from db.engine import Database
from db.jobs.mover import Mover
from db.jobs.results import Timing
from db.jobs.transitions import ClaimedJob, cancel_job, requeue_job
from db.jobs.variables import VariableValue
from db.schema.enums import (
    FailureReason,
    JobErrorCode,
    JobStatus,
    LogLevel,
    ProvisionerType,
    Stage,
    Transition,
)
from db.schema.tables import ProvisionerJob, ProvisionerJobLog, Workspace, WorkspaceBuild
from provisioner.build.attempt import BuildLimits, BuildSettings
from provisioner.build.endings import Canceled, Ending, Lost, Requeued, Succeeded
from provisioner.build.failures import FailedJob
from provisioner.build.logbuffer import LogBuffer
from provisioner.build.logstore import LogStore
from provisioner.build.runner import Runner
from provisioner.engines.echo import EchoEngine
from provisioner.engines.port import Applied, BuildContext, EngineError
from provisioner.host.interrupt import Interrupt, InterruptReason
from provisioner.host.workdir import RESERVE_FILE, find_work_directories
from quota.commit import QuotaDecision, commit_quota
from tests.harness.factory import Factory, tar_archive
from tests.harness.lossy import LossyDatabase

DEADLINE_S = 30
DISK = {"type": "echo_disk", "name": "home", "daily_cost": 2}
WAIT = {"wait": True}
ENDS = "NEW.type = 'workspace_build' AND NEW.completed_at IS NOT NULL"


@dataclass
class Events:
    """Takes what the runner reports, and tells when a stage was left or a state stored."""

    stages: list[Stage] = field(default_factory=list)
    decisions: list[tuple[QuotaDecision, int]] = field(default_factory=list)
    checkpoints: list[bool] = field(default_factory=list)
    failed_log_writes: int = 0
    logs: list[tuple[int, int]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def stage_finished(self, stage: Stage, seconds: float) -> None:  # noqa: ARG002
        with self.changed:
            self.stages.append(stage)
            self.changed.notify_all()

    def quota_decided(self, decision: QuotaDecision, daily_cost: int) -> None:
        self.decisions.append((decision, daily_cost))

    def checkpoint_finished(self, *, stored: bool) -> None:
        with self.changed:
            self.checkpoints.append(stored)
            self.changed.notify_all()

    def log_write_failed(self) -> None:
        self.failed_log_writes += 1

    def logs_finished(self, *, stored: int, dropped: int) -> None:
        self.logs.append((stored, dropped))


class FileEngine(EchoEngine):
    """An echo engine that works with files, and notes what it was given."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def init(self, context: BuildContext) -> tuple[Timing, ...]:
        context.unpack()
        build = context.directory.parent
        self.found = sorted(path.relative_to(build).as_posix() for path in build.rglob("*"))
        return super().init(context)


class Bench:
    """A runner, and what it left in the database and on disk."""

    def __init__(self, factory: Factory, work_root: Path) -> None:
        self.factory = factory
        self.database: Database = factory.database
        self.work_root = work_root
        self.events = Events()
        self.engine: EchoEngine = EchoEngine()
        self.limits = BuildLimits()
        self.state_reserve_bytes = 0
        self.interrupt = Interrupt()

    def run(self, job: ClaimedJob) -> Ending:
        runner = Runner(
            mover=Mover(database=self.database),
            engines={ProvisionerType.ECHO: self.engine},
            settings=BuildSettings(
                work_root=self.work_root,
                host_environment=dict(os.environ),
                limits=self.limits,
                state_reserve_bytes=self.state_reserve_bytes,
            ),
            events=self.events,
        )
        return runner.run(job, self.interrupt)

    def play(
        self,
        script: Mapping[str, Any] | None = None,
        transition: Transition = Transition.START,
        *,
        allowance: int = 100,
        is_imported: bool = True,
        **template: Any,
    ) -> tuple[ClaimedJob, Ending]:
        workspace = self.factory.any_workspace(allowance=allowance, script=script, **template)
        if not is_imported:
            self.factory.forget_import(workspace.template_id)
        job = self.factory.running_build(workspace, transition)
        return job, self.run(job)

    def row(self, job: ClaimedJob) -> ProvisionerJob:
        return self.factory.job(job.id)

    def build(self, job: ClaimedJob) -> WorkspaceBuild:
        with self.database.begin() as session:
            return session.scalars(
                select(WorkspaceBuild).where(WorkspaceBuild.job_id == job.id)
            ).one()

    def state(self, job: ClaimedJob) -> dict[str, Any] | None:
        stored = self.build(job).provisioner_state
        return json.loads(stored) if stored else None

    def lines(self, job: ClaimedJob) -> list[tuple[str, str]]:
        with self.database.begin() as session:
            rows = session.scalars(
                select(ProvisionerJobLog)
                .where(ProvisionerJobLog.job_id == job.id)
                .order_by(ProvisionerJobLog.id)
            )
            return [(row.stage, row.output) for row in rows]

    def count(self, table: str) -> int:
        with self.database.begin() as session:
            return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.fixture
def bench(factory: Factory, tmp_path: Path) -> Bench:
    return Bench(factory, tmp_path / "work")


# A build that succeeds.


def test_a_build_succeeds(bench: Bench) -> None:
    job, ending = bench.play()
    assert isinstance(ending, Succeeded)
    assert bench.row(job).job_status is JobStatus.SUCCEEDED


def test_a_success_stores_the_state(bench: Bench) -> None:
    job, _ending = bench.play({"apply": {"resources": [DISK]}})
    state = bench.state(job)
    assert state is not None
    assert [resource["name"] for resource in state["resources"]] == ["home"]


def test_a_success_stores_the_resources(bench: Bench) -> None:
    bench.play({"apply": {"resources": [DISK]}})
    with bench.database.begin() as session:
        row = session.execute(text("SELECT * FROM workspace_resources")).one()
    assert (row.type, row.name, row.daily_cost, row.transition) == ("echo_disk", "home", 2, "start")


def test_a_success_commits_the_cost_with_its_figures(bench: Bench) -> None:
    job, _ending = bench.play({"apply": {"resources": [DISK]}}, allowance=5)
    build = bench.build(job)
    assert (build.daily_cost, build.quota_budget, build.quota_credits_consumed) == (2, 5, 2)


def test_every_stage_has_its_lines_in_the_log(bench: Bench) -> None:
    said = {"logs": [{"output": "said"}]}
    script = {"init": said, "plan": said, "apply": {**said, "resources": [DISK]}}
    job, _ending = bench.play(script, allowance=5)
    assert bench.lines(job) == [
        ("Initializing Terraform Directory", "said"),
        ("Planning Infrastructure", "said"),
        ("Commit quota", "Build cost       \u2014   2"),
        ("Commit quota", "Budget           \u2014   5"),
        ("Commit quota", "Credits consumed \u2014   2"),
        ("Starting workspace", "said"),
        ("Cleaning Up", "The build succeeded."),
    ]


@pytest.mark.parametrize(
    ("transition", "stage"),
    [
        (Transition.START, "Starting workspace"),
        (Transition.STOP, "Stopping workspace"),
        (Transition.DELETE, "Destroying workspace"),
    ],
)
def test_the_stage_of_an_apply_is_named_after_the_transition(
    bench: Bench, transition: Transition, stage: str
) -> None:
    job, _ending = bench.play({"apply": {"logs": [{"output": "said"}]}}, transition)
    assert (stage, "said") in bench.lines(job)


def test_every_step_is_reported(bench: Bench) -> None:
    bench.play()
    assert bench.events.stages == [
        Stage.SET_UP,
        Stage.INIT,
        Stage.PLAN,
        Stage.COMMIT_QUOTA,
        Stage.APPLY,
    ]


def test_the_second_build_starts_from_the_state_of_the_first(bench: Bench) -> None:
    workspace = bench.factory.any_workspace()
    serials = []
    for transition in (Transition.START, Transition.STOP):
        job = bench.factory.running_build(workspace, transition)
        bench.run(job)
        state = bench.state(job)
        assert state is not None
        serials.append((state["lineage"], state["serial"]))
    assert [serial for _lineage, serial in serials] == [1, 2]
    assert serials[0][0] == serials[1][0]


@pytest.mark.parametrize("serial", [None, 1], ids=["without a state", "with a state"])
def test_a_delete_asks_for_no_value(bench: Bench, serial: int | None) -> None:
    workspace = bench.factory.any_workspace(
        script={"parse": {"parameters": [{"name": "region", "required": True}]}},
        variables=[VariableValue(name="zone", value=None)],
    )
    build = bench.factory.build(workspace, Transition.DELETE)
    if serial is not None:
        with bench.database.begin() as session:
            row = session.get_one(WorkspaceBuild, build.build_id)
            row.provisioner_state = b'{"version": 4, "serial": 1, "lineage": "x"}'
            row.state_lineage, row.state_serial = "x", serial
    job = bench.factory.claim()
    assert job
    assert isinstance(bench.run(job), Succeeded)


def test_the_log_says_which_attempt_it_is(bench: Bench) -> None:
    workspace = bench.factory.any_workspace()
    first = bench.factory.running_build(workspace)
    with bench.database.begin() as session:
        requeue_job(session, first.lease, worker_was_lost=True)
    job = bench.factory.claim()
    assert job
    bench.run(job)
    assert bench.lines(job)[0] == ("Setting up", "Attempt 2 of 3.")


def test_the_log_says_that_drains_are_no_attempts(bench: Bench) -> None:
    workspace = bench.factory.any_workspace()
    first = bench.factory.running_build(workspace)
    with bench.database.begin() as session:
        requeue_job(session, first.lease)
    job = bench.factory.claim()
    assert job
    bench.run(job)
    assert bench.lines(job)[0] == (
        "Setting up",
        "Attempt 1 of 3. Workers that shut down put the build back 1x; these do not count.",
    )


def test_a_delete_that_succeeds_deletes_the_workspace(bench: Bench) -> None:
    bench.play(transition=Transition.DELETE)
    with bench.database.begin() as session:
        assert session.scalars(select(Workspace)).one().deleted


@pytest.mark.parametrize(
    ("script", "transition"),
    [({}, Transition.START), ({"plan": {"daily_cost": 9}}, Transition.DELETE)],
    ids=["free", "delete"],
)
def test_what_costs_nothing_and_a_delete_ask_no_quota(
    bench: Bench, script: dict[str, Any], transition: Transition
) -> None:
    job, ending = bench.play(script, transition, allowance=0)
    assert isinstance(ending, Succeeded)
    assert bench.build(job).quota_budget is None


def test_a_build_that_is_free_when_it_is_run_again_keeps_no_charge_of_before(bench: Bench) -> None:
    workspace = bench.factory.any_workspace(allowance=5)
    job = bench.factory.running_build(workspace)
    decision = commit_quota(
        bench.database, job_id=job.id, lease_token=job.lease.token, daily_cost=2
    )
    assert decision.ok
    with bench.database.begin() as session:
        requeue_job(session, job.lease)
    again = bench.factory.claim()
    assert again is not None
    bench.run(again)
    assert bench.build(job).daily_cost == 0


@pytest.mark.parametrize(
    "script",
    [{}, {"apply": {"error": "it broke"}}, {"plan": {"daily_cost": 9}}],
    ids=["succeeded", "failed", "refused"],
)
def test_no_work_directory_stays(bench: Bench, script: dict[str, Any]) -> None:
    bench.engine = FileEngine()
    bench.play(script, allowance=1)
    assert list(bench.work_root.glob("*-*")) == []


def test_a_work_directory_stays_for_recovery_if_its_state_could_not_be_taken(bench: Bench) -> None:
    class Leaving(FileEngine):
        def apply(self, _context: BuildContext) -> Applied:
            error = EngineError("the state has another lineage")
            error.leaves_state = True
            raise error

    bench.engine = Leaving()
    job, _ending = bench.play()
    assert bench.row(job).job_status is JobStatus.FAILED
    [left] = find_work_directories(bench.work_root)
    assert left.take()
    left.release()


def test_an_engine_that_asks_for_its_directory_finds_the_template_there(bench: Bench) -> None:
    bench.engine = engine = FileEngine()
    bench.play()
    assert engine.found == [
        "home",
        "lease.json",
        "template",
        "template/echo.json",
        "template/main.tf",
        "tmp",
    ]


def test_a_disk_without_room_for_the_state_fails_the_build_before_it_is_charged(
    bench: Bench,
) -> None:
    bench.engine, bench.state_reserve_bytes = FileEngine(), 2**50
    job, _ending = bench.play({"apply": {"resources": [DISK]}})
    row = bench.row(job)
    assert row.error is not None
    assert row.error.startswith("the disk of the worker has too little room to apply the plan")
    assert (row.failure_reason, row.stage) == (FailureReason.TERRAFORM, Stage.PLAN)
    assert (bench.events.decisions, bench.build(job).daily_cost) == ([], 0)
    assert list(bench.work_root.glob("*-*")) == []


def test_the_room_that_a_build_reserves_is_on_the_disk_during_its_apply(bench: Bench) -> None:
    class Looking(FileEngine):
        size = 0

        def apply(self, context: BuildContext) -> Applied:
            self.size = (context.directory.parent / RESERVE_FILE).stat().st_size
            return super().apply(context)

    bench.engine = engine = Looking()
    bench.state_reserve_bytes = 12345
    bench.play()
    assert engine.size == 12345


def test_a_state_that_cannot_be_written_is_counted_and_gets_the_reserved_room(
    bench: Bench,
) -> None:
    class Full(FileEngine):
        is_reserved = True

        def apply(self, context: BuildContext) -> Applied:
            context.make_room()
            self.is_reserved = (context.directory.parent / RESERVE_FILE).exists()
            return super().apply(context)

    bench.engine = engine = Full()
    bench.state_reserve_bytes = 1
    bench.play()
    assert (engine.is_reserved, bench.events.checkpoints) == (False, [False])


def test_an_engine_that_does_not_ask_writes_nothing(bench: Bench) -> None:
    bench.play()
    assert not bench.work_root.exists()


# Quota.


@pytest.fixture
def refused(bench: Bench) -> tuple[ClaimedJob, Ending]:
    return bench.play({"apply": {"resources": [DISK]}}, allowance=1)


def test_a_quota_refusal_is_told_apart_by_code(
    bench: Bench, refused: tuple[ClaimedJob, Ending]
) -> None:
    job, _ending = refused
    row = bench.row(job)
    assert (row.job_status, row.error_code, row.failure_reason) == (
        JobStatus.FAILED,
        JobErrorCode.INSUFFICIENT_QUOTA,
        FailureReason.QUOTA,
    )


def test_a_quota_refusal_says_cost_and_budget(
    bench: Bench, refused: tuple[ClaimedJob, Ending]
) -> None:
    job, _ending = refused
    assert bench.row(job).error == (
        "insufficient quota: this build costs 2 credits per day, 0 of the budget of 1 are in use"
    )


def test_a_quota_refusal_keeps_the_figures_on_the_build(
    bench: Bench, refused: tuple[ClaimedJob, Ending]
) -> None:
    job, _ending = refused
    build = bench.build(job)
    assert (build.daily_cost, build.quota_budget, build.quota_credits_consumed) == (0, 1, 0)


def test_a_quota_refusal_applies_nothing(bench: Bench, refused: tuple[ClaimedJob, Ending]) -> None:
    job, _ending = refused
    assert (Stage.APPLY in bench.events.stages, bench.state(job)) == (False, None)


def test_a_quota_refusal_warns_in_the_log(bench: Bench, refused: tuple[ClaimedJob, Ending]) -> None:
    job, _ending = refused
    assert ("Commit quota", "This build would exceed your quota. Failing.") in bench.lines(job)


def test_a_quota_refusal_is_reported_as_the_failure_of_its_stage(
    bench: Bench, refused: tuple[ClaimedJob, Ending]
) -> None:
    job, ending = refused
    assert isinstance(ending, FailedJob)
    assert ending.error_code is JobErrorCode.INSUFFICIENT_QUOTA
    assert bench.row(job).stage == Stage.COMMIT_QUOTA


# Builds that fail.

QUOTA_TEXTS = [
    "insufficient quota in us-east1",
    "INSUFFICIENT_QUOTA",
    "insufficient quota: this build costs 2 credits per day, 4 of the budget of 4 are in use",
]


@pytest.mark.parametrize("operation", ["init", "plan", "apply"])
@pytest.mark.parametrize("message", QUOTA_TEXTS)
def test_what_the_engine_says_of_quotas_is_no_quota_refusal(
    bench: Bench, operation: str, message: str
) -> None:
    said = {"error": message, "logs": [{"output": message, "level": "error"}]}
    job, _ending = bench.play({operation: said})
    assert (bench.row(job).error, bench.row(job).error_code) == (message, None)


@dataclass(frozen=True, kw_only=True)
class Failing:
    """A template that fails, and how."""

    template: Mapping[str, Any]
    stage: Stage
    reason: FailureReason
    words: str
    code: JobErrorCode | None = None


def failing_script(operation: str, message: str = "it broke") -> dict[str, Any]:
    return {"script": {operation: {"error": message}}}


FAILINGS = {
    "archive": Failing(
        template={"archive": tar_archive({"../out": b"x"})},
        stage=Stage.SET_UP,
        reason=FailureReason.ARCHIVE,
        words="",
    ),
    "no script": Failing(
        template={"archive": tar_archive({"main.tf": b""}), "is_imported": False},
        stage=Stage.SET_UP,
        reason=FailureReason.TERRAFORM,
        words="the template has no echo.json",
    ),
    "missing parameter": Failing(
        template={
            "script": {"parse": {"parameters": [{"name": "size", "required": True}]}},
            "is_imported": False,
        },
        stage=Stage.SET_UP,
        reason=FailureReason.PARAMETERS,
        words='missing parameter: "size"',
        code=JobErrorCode.MISSING_TEMPLATE_PARAMETER,
    ),
    "required variable": Failing(
        template={"script": {"parse": {"variables": [{"name": "region", "required": True}]}}},
        stage=Stage.SET_UP,
        reason=FailureReason.PARAMETERS,
        words="required template variables need values: region",
        code=JobErrorCode.REQUIRED_TEMPLATE_VARIABLES,
    ),
    "init": Failing(
        template=failing_script("init"),
        stage=Stage.INIT,
        reason=FailureReason.TERRAFORM,
        words="it broke",
    ),
    "plan": Failing(
        template=failing_script("plan"),
        stage=Stage.PLAN,
        reason=FailureReason.TERRAFORM,
        words="it broke",
    ),
    "apply": Failing(
        template=failing_script("apply"),
        stage=Stage.APPLY,
        reason=FailureReason.TERRAFORM,
        words="it broke",
    ),
    "text that cannot be stored": Failing(
        template=failing_script("apply", "broken \x00"),
        stage=Stage.APPLY,
        reason=FailureReason.TERRAFORM,
        words="broken \u2400",
    ),
}


@pytest.mark.parametrize("case", FAILINGS.values(), ids=FAILINGS)
def test_a_step_that_fails_fails_the_build(bench: Bench, case: Failing) -> None:
    job, _ending = bench.play(**case.template)
    row = bench.row(job)
    assert (row.job_status, row.error_code, row.failure_reason, row.stage) == (
        JobStatus.FAILED,
        case.code,
        case.reason,
        case.stage,
    )
    assert case.words in (row.error or "")


@pytest.mark.parametrize("operation", ["init", "plan"])
def test_a_failure_before_apply_leaves_nothing_behind(bench: Bench, operation: str) -> None:
    job, _ending = bench.play(**failing_script(operation))
    assert (bench.state(job), bench.count("workspace_resources")) == (None, 0)


def test_a_failed_apply_keeps_the_state_that_it_came_to(bench: Bench) -> None:
    job, _ending = bench.play({"apply": {"error": "it broke", "resources": [DISK]}})
    state = bench.state(job)
    assert state is not None
    assert [resource["name"] for resource in state["resources"]] == ["home"]


def test_a_failed_apply_keeps_the_cost(bench: Bench) -> None:
    job, _ending = bench.play({"apply": {"error": "it broke", "resources": [DISK]}})
    assert bench.build(job).daily_cost == 2


def test_a_failed_delete_deletes_nothing(bench: Bench) -> None:
    bench.play({"apply": {"error": "it broke"}}, Transition.DELETE)
    with bench.database.begin() as session:
        assert not session.scalars(select(Workspace)).one().deleted


def test_a_failure_is_the_last_line_of_the_log(bench: Bench) -> None:
    job, _ending = bench.play(**failing_script("plan"))
    assert bench.lines(job)[-1] == ("Cleaning Up", "it broke")


def test_a_step_that_takes_too_long_fails_the_build(bench: Bench) -> None:
    bench.limits = BuildLimits(plan=timedelta(milliseconds=10))
    job, _ending = bench.play({"plan": WAIT})
    assert (bench.row(job).job_status, bench.row(job).stage) == (JobStatus.FAILED, Stage.PLAN)


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        ({"parse": {"error": "it broke"}}, Stage.SET_UP),
        ({"plan": {"error": "it broke"}}, Stage.PLAN),
        ({"plan": {"daily_cost": 9}}, Stage.COMMIT_QUOTA),
        ({}, Stage.APPLY),
    ],
)
def test_the_row_says_how_far_a_build_came_that_took_a_moment(
    bench: Bench, script: dict[str, Any], stage: Stage
) -> None:
    job, _ending = bench.play(script, allowance=1, is_imported=False)
    assert bench.row(job).stage == stage


def test_an_error_of_ours_fails_the_build_and_says_where(bench: Bench) -> None:
    class Broken(EchoEngine):
        def apply(self, context: BuildContext) -> Applied:  # noqa: ARG002
            raise RuntimeError("insufficient quota")

    bench.engine = Broken()
    job, _ending = bench.play()
    row = bench.row(job)
    assert (row.failure_reason, row.error_code, row.error) == (
        FailureReason.INTERNAL,
        None,
        "internal error while the build was in apply: RuntimeError('insufficient quota')",
    )


def test_a_given_variable_is_no_missing_one(bench: Bench) -> None:
    script = {"parse": {"variables": [{"name": "region", "required": True}]}}
    _job, ending = bench.play(script, variables=[VariableValue(name="region", value="")])
    assert isinstance(ending, Succeeded)


def test_a_variable_that_was_declared_without_a_value_is_a_missing_one(bench: Bench) -> None:
    script = {"parse": {"variables": [{"name": "region", "required": True}]}}
    job, _ending = bench.play(script, variables=[VariableValue(name="region", value=None)])
    assert bench.row(job).error_code == JobErrorCode.REQUIRED_TEMPLATE_VARIABLES


def test_a_value_for_one_template_is_no_value_for_another(bench: Bench) -> None:
    script = {"parse": {"variables": [{"name": "region", "required": True}]}}
    bench.play(script, variables=[VariableValue(name="region", value="north")])
    job, _ending = bench.play(script)
    assert bench.row(job).error_code == JobErrorCode.REQUIRED_TEMPLATE_VARIABLES


def build_with(bench: Bench, workspace: Workspace, **parameters: str) -> ClaimedJob:
    """Run a build that is given parameters, whatever comes of it."""
    job = bench.factory.running_build(workspace, parameters=parameters)
    bench.run(job)
    return job


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "chosen now"])
def test_a_value_that_was_once_chosen_for_a_variable_is_kept_and_not_chosen_any_more(
    bench: Bench, is_kept: bool
) -> None:
    script = {"parse": {"variables": [{"name": "region", "required": True}]}}
    workspace = bench.factory.any_workspace(script=script)
    bench.factory.forget_import(workspace.template_id)
    given = {"region": "north"}
    bench.factory.finished_build(workspace, parameters=given if is_kept else {})
    job = bench.factory.running_build(workspace, parameters={} if is_kept else given)
    assert isinstance(bench.run(job), Succeeded) is is_kept


@pytest.fixture
def workspace(factory: Factory) -> Workspace:
    """A workspace of a version without an import: its builds read the template's files."""
    made = factory.any_workspace()
    factory.forget_import(made.template_id)
    return made


def test_an_unknown_parameter_fails_the_build(bench: Bench, workspace: Workspace) -> None:
    job = build_with(bench, workspace, siez="2")
    assert bench.row(job).error == 'the template has no parameter "siez"; it has none'


def test_an_unknown_parameter_of_an_earlier_build_fails_no_later_one(
    bench: Bench, workspace: Workspace
) -> None:
    build_with(bench, workspace, siez="2")
    ending = bench.run(bench.factory.running_build(workspace))
    assert isinstance(ending, Succeeded)


def test_an_unknown_parameter_is_not_excused_by_another_of_an_earlier_build(
    bench: Bench, workspace: Workspace
) -> None:
    build_with(bench, workspace, siez="2")
    second = build_with(bench, workspace, szie="2")
    assert bench.row(second).error == 'the template has no parameter "szie"; it has none'


# Logs.


def test_a_log_above_the_limit_keeps_its_head_and_tail(bench: Bench) -> None:
    first = {"logs": [{"output": "first"}]}
    many = {"logs": [{"output": "x" * 1000}], "repeat_logs": 1500}
    job, _ending = bench.play({"init": first, "plan": many})
    outputs = [output for _stage, output in bench.lines(job)]
    assert (outputs[0], outputs[-1]) == ("first", "The build succeeded.")
    assert len([output for output in outputs if "are left out here" in output]) == 1


def test_a_log_above_the_limit_is_marked_and_bounded(bench: Bench) -> None:
    job, _ending = bench.play({"plan": {"logs": [{"output": "x" * 1000}], "repeat_logs": 1500}})
    row = bench.row(job)
    assert row.logs_overflowed
    assert row.logs_length <= 1_048_576


def test_kept_and_left_out_lines_are_reported(bench: Bench) -> None:
    bench.play({"plan": {"logs": [{"output": "x" * 1000}], "repeat_logs": 1500}})
    [(stored, dropped)] = bench.events.logs
    # All lines and the last one are counted; the line that tells of the rest is stored, too.
    assert stored + dropped == 1500 + 1 + 1


# Builds that are told to end.


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


def start(
    bench: Bench, pool: ThreadPoolExecutor, script: Mapping[str, Any], stage: Stage
) -> tuple[ClaimedJob, Future[Ending]]:
    """Start a build, and return once it is in ``stage``, where it waits."""
    workspace = bench.factory.any_workspace(allowance=100, script=script)
    job = bench.factory.running_build(workspace)
    running = pool.submit(bench.run, job)
    order = list(Stage)
    before = order[order.index(stage) - 1]

    def is_there() -> bool:
        done = bool(bench.events.checkpoints) if stage is Stage.APPLY else True
        return done and before in bench.events.stages

    with bench.events.changed:
        assert bench.events.changed.wait_for(is_there, DEADLINE_S)
    return job, running


def cancel(bench: Bench, job: ClaimedJob) -> None:
    with bench.database.begin() as session:
        cancel_job(session, job_id=job.id)


WAITING_PLAN = {"plan": WAIT}
WAITING_APPLY = {"apply": {**WAIT, "resources": [DISK]}}


def test_a_cancel_before_apply_cancels(bench: Bench, pool: ThreadPoolExecutor) -> None:
    job, running = start(bench, pool, WAITING_PLAN, Stage.PLAN)
    cancel(bench, job)
    bench.interrupt.request(InterruptReason.CANCEL)
    assert isinstance(running.result(DEADLINE_S), Canceled)
    assert (bench.row(job).job_status, bench.row(job).error) == (JobStatus.CANCELED, None)


def test_a_cancel_between_two_stages_is_found_on_the_row(bench: Bench) -> None:
    job = bench.factory.running_build()
    cancel(bench, job)
    assert isinstance(bench.run(job), Canceled)
    assert Stage.APPLY not in bench.events.stages


def test_a_cancel_during_apply_cancels_and_keeps_the_state(
    bench: Bench, pool: ThreadPoolExecutor
) -> None:
    job, running = start(bench, pool, WAITING_APPLY, Stage.APPLY)
    cancel(bench, job)
    bench.interrupt.request(InterruptReason.CANCEL)
    assert isinstance(running.result(DEADLINE_S), Canceled)
    assert bench.row(job).job_status is JobStatus.CANCELED
    state = bench.state(job)
    assert state is not None
    assert [resource["name"] for resource in state["resources"]] == ["home"]


def test_a_cancel_that_comes_after_everything_was_applied_is_too_late(bench: Bench) -> None:
    class CanceledAtTheEnd(EchoEngine):
        def apply(self, context: BuildContext) -> Applied:
            applied = super().apply(context)
            cancel(bench, job)
            context.interrupt.request(InterruptReason.CANCEL)
            return applied

    bench.engine = CanceledAtTheEnd()
    job = bench.factory.running_build()
    bench.run(job)
    assert bench.row(job).job_status is JobStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("is_canceled", "ending", "status"),
    [(False, Requeued, JobStatus.PENDING), (True, Canceled, JobStatus.CANCELED)],
)
def test_a_drain_before_apply_puts_the_build_back_unless_it_was_canceled(
    bench: Bench,
    pool: ThreadPoolExecutor,
    is_canceled: bool,
    ending: type[Ending],
    status: JobStatus,
) -> None:
    job, running = start(bench, pool, WAITING_PLAN, Stage.PLAN)
    if is_canceled:
        cancel(bench, job)
    bench.interrupt.request(InterruptReason.DRAIN)
    assert isinstance(running.result(DEADLINE_S), ending)
    assert bench.row(job).job_status is status


def test_a_drain_during_apply_fails_the_build_and_keeps_the_state(
    bench: Bench, pool: ThreadPoolExecutor
) -> None:
    job, running = start(bench, pool, WAITING_APPLY, Stage.APPLY)
    bench.interrupt.request(InterruptReason.DRAIN)
    running.result(DEADLINE_S)
    row = bench.row(job)
    assert (row.job_status, row.failure_reason) == (JobStatus.FAILED, FailureReason.DRAINED)
    assert bench.state(job) is not None


@pytest.mark.parametrize(
    ("script", "stage"), [(WAITING_PLAN, Stage.PLAN), (WAITING_APPLY, Stage.APPLY)]
)
def test_a_build_whose_lease_is_lost_writes_no_ending(
    bench: Bench, pool: ThreadPoolExecutor, script: dict[str, Any], stage: Stage
) -> None:
    job, running = start(bench, pool, script, stage)
    taken = take_over(bench, job)
    bench.interrupt.request(InterruptReason.LEASE_LOST)
    assert isinstance(running.result(DEADLINE_S), Lost)
    assert (bench.row(job).job_status, bench.row(job).lease_token) == (JobStatus.RUNNING, taken)


def test_a_build_that_does_not_know_that_its_lease_is_lost_writes_nothing(bench: Bench) -> None:
    job = bench.factory.running_build()
    taken = take_over(bench, job)
    assert isinstance(bench.run(job), Lost)
    assert (bench.row(job).job_status, bench.row(job).lease_token) == (JobStatus.RUNNING, taken)
    assert bench.lines(job) == []


def test_a_build_whose_lease_is_lost_at_the_end_of_apply_writes_no_ending(bench: Bench) -> None:
    job = bench.factory.running_build(bench.factory.any_workspace(allowance=100))
    taken = []

    class Overtaken(EchoEngine):
        def apply(self, context: BuildContext) -> Applied:
            applied = super().apply(context)
            taken.append(take_over(bench, job))
            return applied

    bench.engine = Overtaken()
    assert isinstance(bench.run(job), Lost)
    assert (bench.row(job).job_status, [bench.row(job).lease_token]) == (JobStatus.RUNNING, taken)


def test_no_line_of_a_build_whose_lease_was_lost_counts_as_stored(bench: Bench) -> None:
    job = bench.factory.running_build()
    take_over(bench, job)
    bench.run(job)
    assert [stored for stored, _dropped in bench.events.logs] == [0]


def test_a_lease_lost_during_apply_leaves_the_directory_for_recovery(
    bench: Bench, pool: ThreadPoolExecutor
) -> None:
    bench.engine = FileEngine()
    job, running = start(bench, pool, WAITING_APPLY, Stage.APPLY)
    take_over(bench, job)
    bench.interrupt.request(InterruptReason.LEASE_LOST)
    running.result(DEADLINE_S)
    assert len(list(bench.work_root.glob("*-*"))) == 1


def take_over(bench: Bench, job: ClaimedJob) -> uuid.UUID:
    """Give the job to somebody else."""
    token = uuid.uuid4()
    with bench.database.begin() as session:
        session.execute(
            text("UPDATE provisioner_jobs SET lease_token = :token WHERE id = :id"),
            {"token": token, "id": job.id},
        )
    return token


REFUSE = """
    CREATE SEQUENCE tries;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('tries') <= {times} THEN
            RAISE EXCEPTION 'refused by the test' USING ERRCODE = '{sqlstate}';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE {when} ON {table}
    FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse();
"""
FOREVER = 1_000_000


def refuse(
    bench: Bench,
    table: str,
    *,
    sqlstate: str,
    times: int = FOREVER,
    condition: str = "true",
    when: str = "INSERT OR UPDATE",
) -> None:
    """Let PostgreSQL refuse what is written to the table, a number of times."""
    statement = REFUSE.format(
        table=table, sqlstate=sqlstate, times=times, condition=condition, when=when
    )
    with bench.database.begin() as session:
        session.execute(text(statement))


@pytest.mark.parametrize("sqlstate", ["53100", "53200", "58030", "57P05", "08P01"])
def test_trouble_that_passes_does_not_end_the_end_of_a_build(bench: Bench, sqlstate: str) -> None:
    refuse(bench, "provisioner_jobs", sqlstate=sqlstate, times=3, condition=ENDS)
    job, ending = bench.play({"apply": {"resources": [DISK]}})
    assert isinstance(ending, Succeeded)
    assert bench.row(job).job_status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("sqlstate", ["53100", "23514"])
def test_a_checkpoint_that_cannot_be_stored_is_counted(bench: Bench, sqlstate: str) -> None:
    changed = "NEW.provisioner_state IS DISTINCT FROM OLD.provisioner_state"
    refuse(bench, "workspace_builds", sqlstate=sqlstate, times=1, condition=changed, when="UPDATE")
    bench.play({"apply": {"resources": [DISK], "error": "it broke"}})
    assert bench.events.checkpoints == [False]


@pytest.mark.parametrize(("sqlstate", "times"), [("53100", 3), ("23514", 1)])
def test_every_try_to_store_lines_that_fails_is_counted(
    bench: Bench, sqlstate: str, times: int
) -> None:
    refuse(bench, "provisioner_job_logs", sqlstate=sqlstate, times=times)
    job = bench.factory.running_build()
    logs = LogBuffer(
        LogStore(bench.database, job.lease, interrupt=bench.interrupt, events=bench.events)
    )
    logs.write(LogLevel.INFO, "said")
    logs.close()
    assert bench.events.failed_log_writes == times


@pytest.mark.parametrize("is_committed", [True, False])
def test_lines_are_stored_once_when_the_answer_to_their_commit_is_lost(
    bench: Bench, is_committed: bool
) -> None:
    database = LossyDatabase(
        engine=bench.database.engine,
        is_committed=is_committed,
    )
    job = bench.factory.running_build()
    logs = LogBuffer(LogStore(database, job.lease, interrupt=bench.interrupt, events=bench.events))
    for said in ("one", "two"):
        logs.write(LogLevel.INFO, said)
    logs.close()
    assert [line for _stage, line in bench.lines(job)] == ["one", "two"]
    assert bench.row(job).logs_length == len("onetwo")


def test_a_result_that_is_refused_for_good_does_not_lose_the_state(bench: Bench) -> None:
    refuse(bench, "workspace_resources", sqlstate="23514")
    job, ending = bench.play({"apply": {"resources": [DISK]}})
    assert isinstance(ending, Succeeded)
    assert bench.state(job) is not None


def test_whatever_is_raised_the_directory_is_left_to_recovery(bench: Bench) -> None:
    bench.engine = FileEngine()
    refuse(bench, "provisioner_jobs", sqlstate="23514", condition=ENDS)
    with pytest.raises(SQLAlchemyError):
        bench.play({"apply": {"resources": [DISK]}})
    (directory,) = find_work_directories(bench.work_root)
    assert directory.take()
    directory.release()


class FencedEngine(FileEngine):
    """Ends its apply when the lease could not be renewed in time."""

    def __init__(self, interrupt: Interrupt, *reasons: InterruptReason) -> None:
        super().__init__()
        self.interrupt = interrupt
        self.reasons = reasons

    def apply(self, context: BuildContext) -> Applied:
        applied = super().apply(context)
        for reason in self.reasons:
            self.interrupt.request(reason)
        self.interrupt.request(InterruptReason.LEASE_LOST, grace=timedelta(0))
        return applied


def test_an_apply_that_has_ended_is_recorded_after_an_outage_longer_than_the_fence(
    bench: Bench,
) -> None:
    bench.engine = FencedEngine(bench.interrupt)
    refuse(bench, "provisioner_jobs", sqlstate="08P01", times=3, condition=ENDS)
    job, ending = bench.play({"apply": {"resources": [DISK]}})
    assert isinstance(ending, Succeeded)
    assert bench.row(job).job_status is JobStatus.SUCCEEDED


def test_no_line_is_left_out_by_an_outage_longer_than_the_fence(bench: Bench) -> None:
    bench.engine = FencedEngine(bench.interrupt)
    refuse(bench, "provisioner_job_logs", sqlstate="08P01", times=2)
    job, _ending = bench.play({"apply": {"logs": [{"output": "made"}], "resources": [DISK]}})
    said = [line for _stage, line in bench.lines(job)]
    assert [line for line in said if line in {"made", "The build succeeded."}] == [
        "made",
        "The build succeeded.",
    ]


def test_a_worker_that_must_end_leaves_an_ended_apply_to_recovery(bench: Bench) -> None:
    bench.engine = FencedEngine(bench.interrupt, InterruptReason.DRAIN)
    refuse(bench, "provisioner_jobs", sqlstate="08P01", condition=ENDS)
    _job, ending = bench.play({"apply": {"resources": [DISK]}})
    assert isinstance(ending, Lost)
    (directory,) = find_work_directories(bench.work_root)
    assert directory.take()
    directory.release()


class LosingEvents(Events):
    """Lets the lease count as lost between the quota commit and apply."""

    def __init__(self, bench: Bench, also: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.interrupt = bench.interrupt
        self.also = also

    def stage_finished(self, stage: Stage, seconds: float) -> None:
        super().stage_finished(stage, seconds)
        if stage is Stage.COMMIT_QUOTA:
            self.interrupt.request(InterruptReason.LEASE_LOST, grace=timedelta(0))
            self.also()


def test_a_build_whose_lease_the_database_still_holds_for_it_enters_apply(bench: Bench) -> None:
    bench.events = LosingEvents(bench)
    job, ending = bench.play({"apply": {"resources": [DISK]}})
    assert isinstance(ending, Succeeded)
    assert bench.row(job).job_status is JobStatus.SUCCEEDED


def test_an_outage_before_apply_that_is_longer_than_the_fence_loses_no_build(
    bench: Bench,
) -> None:
    bench.events = LosingEvents(bench)
    refuse(bench, "provisioner_jobs", sqlstate="08P01", times=3, condition="NEW.stage = 'apply'")
    _job, ending = bench.play({"apply": {"resources": [DISK]}})
    assert isinstance(ending, Succeeded)


def test_a_build_that_another_worker_has_taken_does_not_enter_apply(bench: Bench) -> None:
    job = bench.factory.running_build(bench.factory.any_workspace(allowance=100))
    bench.events = LosingEvents(bench, also=lambda: take_over(bench, job))
    assert isinstance(bench.run(job), Lost)
    assert bench.row(job).stage is not Stage.APPLY


def test_a_build_without_a_lease_does_not_enter_apply(bench: Bench) -> None:
    def delete_the_lease() -> None:
        with bench.database.begin() as session:
            session.execute(text("DELETE FROM leases"))

    job = bench.factory.running_build(bench.factory.any_workspace(allowance=100))
    bench.events = LosingEvents(bench, also=delete_the_lease)
    assert isinstance(bench.run(job), Lost)
    assert bench.row(job).stage is not Stage.APPLY


def test_entering_apply_renews_the_lease(bench: Bench) -> None:
    expires_at = []

    class Looking(EchoEngine):
        def apply(self, context: BuildContext) -> Applied:
            with bench.database.begin() as session:
                expires_at.append(session.scalar(text("SELECT expires_at - now() FROM leases")))
            return super().apply(context)

    bench.engine = Looking()
    job = bench.factory.running_build(lease=timedelta(seconds=1))
    bench.run(job)
    assert expires_at[0] > timedelta(seconds=5)


def test_a_build_that_is_to_drain_does_not_enter_apply(bench: Bench) -> None:
    class Draining(LosingEvents):
        def stage_finished(self, stage: Stage, seconds: float) -> None:  # noqa: ARG002
            if stage is Stage.COMMIT_QUOTA:
                self.interrupt.request(InterruptReason.DRAIN)

    bench.events = Draining(bench)
    refuse(bench, "provisioner_jobs", sqlstate="23514", condition="NEW.stage = 'apply'")
    _job, ending = bench.play()
    assert isinstance(ending, Requeued)
