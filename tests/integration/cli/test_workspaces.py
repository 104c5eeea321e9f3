"""Builds from the command line: waiting for them, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from cli.building import REFUSED_BY_QUOTA
from cli.main import cli
from cli.waiting import INTERRUPTED
from db.catalog import templates
from db.engine import Database
from db.jobs.transitions import cancel_job
from db.schema.enums import JobErrorCode, JobStatus, ProvisionerType
from db.schema.tables import (
    Organization,
    ProvisionerJob,
    TemplateVersion,
    User,
    WorkspaceBuildParameter,
)
from tests.harness.factory import Factory, echo_archive
from tests.harness.imports import push_imported
from tests.harness.threads import join_thread, start_thread
from tests.harness.threadworker import sign_on
from tests.harness.waiting import wait_until
from tests.integration.cli.commandline import CommandLine, Unchanged, refused
from worker.broker.address import REDIS_SOCKET

Push = Callable[[Mapping[str, Any]], TemplateVersion]

CREATE = ("workspace", "create", "box", "--template", "dev", "--owner", "alice")
START = ("workspace", "start", "box", "--owner", "alice")
STOP = ("workspace", "stop", "box", "--owner", "alice")
DELETE = ("workspace", "delete", "box", "--owner", "alice")


@pytest.fixture
def push(factory: Factory, home: Organization, alice: User) -> Push:
    """Makes the template "dev", or the next version of it."""

    def push(script: Mapping[str, Any]) -> TemplateVersion:
        wanted = templates.Push(
            organization=home,
            name="dev",
            archive=echo_archive(script),
            created_by=alice,
            provisioner=ProvisionerType.ECHO,
        )
        with factory.database.begin() as session:
            pushed = push_imported(session, wanted)
            return session.get_one(TemplateVersion, pushed.version_id)

    return push


@pytest.fixture
def template(push: Push) -> TemplateVersion:
    """A template that works and costs 4 credits per day."""
    return push({"plan": {"daily_cost": 4, "logs": [{"output": "all is well"}]}})


def test_a_build_that_succeeds_ends_with_status_0_and_its_log(
    run: CommandLine, template: TemplateVersion, builds_are_run: None
) -> None:
    result = run(*CREATE)

    assert result.exit_code == 0
    assert "==> Planning Infrastructure\nall is well\n" in result.stdout
    assert "Workspace box: start succeeded, 4 credits per day." in result.stdout


def test_nothing_is_warned_of_while_a_worker_is_alive(
    run: CommandLine, template: TemplateVersion, builds_are_run: None
) -> None:
    assert run(*CREATE).stderr == ""


def test_a_workspace_goes_through_its_life(
    run: CommandLine, template: TemplateVersion, builds_are_run: None
) -> None:
    statuses = []
    for command in (CREATE, STOP, START):
        assert run(*command).exit_code == 0
        statuses += [row["status"] for row in run.json("workspace", "list")]
    assert run(*DELETE).exit_code == 0

    assert statuses == ["running", "stopped", "running"]
    assert run.json("workspace", "list") == []


def test_a_failed_update_leaves_a_workspace_that_can_be_stopped_and_deleted(
    run: CommandLine, push: Push, builds_are_run: None
) -> None:
    push({})
    assert run(*CREATE).exit_code == 0
    push({"plan": {"error": "no such flavor"}})
    assert run(*START, "--update").exit_code == 1

    assert [run(*command).exit_code for command in (STOP, DELETE)] == [0, 0]


def test_an_update_to_a_version_that_could_not_be_imported_is_refused(
    run: CommandLine, push: Push, builds_are_run: None, tmp_path: Path
) -> None:
    push({})
    run(*CREATE)
    folder = tmp_path / "template"
    folder.mkdir()
    (folder / "main.tf").touch()
    (folder / "echo.json").write_text('{"plan": {"error": "no such flavor"}}')
    run("template", "push", str(folder), "--name", "dev", "--provisioner", "echo")

    result = run(*START, "--update")

    assert result.exit_code == 1
    assert 'version "v2" has failed to import' in result.stderr
    assert [run(*command).exit_code for command in (START, STOP, DELETE)] == [0, 0, 0]


@pytest.mark.parametrize("command", [START, STOP, DELETE], ids=["start", "stop", "delete"])
def test_a_version_can_be_named(
    run: CommandLine, push: Push, builds_are_run: None, command: tuple[str, ...]
) -> None:
    push({})
    assert run(*CREATE).exit_code == 0
    push({"plan": {"error": "the second version says so"}})

    result = run(*command, "--version", "v2")

    assert result.exit_code == 1
    assert "the second version says so" in result.stderr


def test_a_version_that_is_not_there_is_refused(run: CommandLine, push: Push) -> None:
    push({})
    run(*CREATE, "--detach")
    refused(run(*START, "--version", "v9"), "the template has no version 'v9'")


def test_a_build_that_fails_ends_with_status_1_and_the_reason(
    run: CommandLine, push: Push, builds_are_run: None
) -> None:
    push({"apply": {"error": "the disk is busy"}})

    result = run(*CREATE)

    assert result.exit_code == 1
    assert "Error: the start of box failed: " in result.stderr
    assert "the disk is busy" in result.stderr


def test_a_build_that_the_quota_refuses_ends_with_status_3_and_the_figures(
    run: CommandLine, push: Push, builds_are_run: None
) -> None:
    push({"plan": {"daily_cost": 11}})

    result = run(*CREATE)

    assert result.exit_code == REFUSED_BY_QUOTA == 3
    assert "budget 10, consumed 0 credits per day" in result.stderr
    assert "`provisionerd quota show alice`" in result.stderr


def test_a_failure_that_only_speaks_of_quota_ends_with_status_1(
    run: CommandLine, push: Push, builds_are_run: None
) -> None:
    push({"apply": {"error": "insufficient quota in us-east1"}})

    assert run(*CREATE).exit_code == 1


def test_json_is_one_document_of_a_success(
    run: CommandLine, template: TemplateVersion, builds_are_run: None, factory: Factory
) -> None:
    result = run(*CREATE, "--output", "json")

    document = json.loads(result.stdout)
    assert result.exit_code == 0
    job = factory.job(uuid.UUID(document.pop("job_id")))
    assert document == {
        "workspace": "box",
        "transition": "start",
        "status": "succeeded",
        "error": None,
        "error_code": None,
        "daily_cost": 4,
        "credits_consumed": 4,
        "budget": 10,
        "build_id": job.input["workspace_build_id"],
    }


def test_json_leaves_the_log_to_standard_error(
    run: CommandLine, template: TemplateVersion, builds_are_run: None
) -> None:
    assert "all is well" in run(*CREATE, "--output", "json").stderr


def test_json_of_a_refusal_tells_code_and_figures(
    run: CommandLine, push: Push, builds_are_run: None
) -> None:
    push({"plan": {"daily_cost": 11}})

    result = run(*CREATE, "--output", "json")

    document = json.loads(result.stdout)
    assert result.exit_code == REFUSED_BY_QUOTA
    assert document["error_code"] == JobErrorCode.INSUFFICIENT_QUOTA
    assert (document["status"], document["budget"], document["credits_consumed"]) == (
        "failed",
        10,
        0,
    )


def test_a_canceled_build_ends_with_status_1(
    run: CommandLine, push: Push, builds_are_run: None, database: Database
) -> None:
    push({"plan": {"wait": True}})
    canceller = cancel_when_running(database)

    result = run(*CREATE)

    join_thread(canceller)
    assert result.exit_code == 1
    assert "the start of box was canceled" in result.stderr


def test_detached_it_does_not_wait(
    run: CommandLine, template: TemplateVersion, database: Database, factory: Factory
) -> None:
    sign_on(database, "worker")

    result = run(*CREATE, "--detach", "--output", "json")

    document = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, document["status"]) == (0, "", "pending")
    assert factory.status(uuid.UUID(document["job_id"])) is JobStatus.PENDING


def test_a_build_that_takes_too_long_goes_on(
    run: CommandLine, template: TemplateVersion, database: Database, factory: Factory
) -> None:
    sign_on(database, "worker")

    result = run(*CREATE, "--timeout", "0", "--output", "json")

    document = json.loads(result.stdout)
    assert (result.exit_code, document["status"]) == (124, "pending")
    assert f"The build goes on. `provisionerd jobs logs {document['job_id']} -f`" in result.stderr
    assert factory.status(uuid.UUID(document["job_id"])) is JobStatus.PENDING


def test_a_command_that_does_not_wait_takes_no_timeout(run: CommandLine) -> None:
    assert run(*CREATE, "--detach", "--timeout", "5").exit_code == 2


def test_without_a_worker_a_detached_build_is_warned_of(
    run: CommandLine, template: TemplateVersion
) -> None:
    result = run(*CREATE, "--detach")

    assert result.exit_code == 0
    assert "no worker is running for the queue builds" in result.stderr


def test_parameters_stay_for_later_builds(
    run: CommandLine, push: Push, builds_are_run: None, database: Database
) -> None:
    push({"parse": {"parameters": [{"name": "size"}, {"name": "region"}]}})

    run(*CREATE, "--param", "size=2", "--param", "region=eu")
    run(*START, "--param", "size=3")

    with database.begin() as session:
        rows = session.execute(
            select(WorkspaceBuildParameter.name, WorkspaceBuildParameter.value)
        ).all()
    assert sorted(tuple(row) for row in rows) == [
        ("region", "eu"),
        ("region", "eu"),
        ("size", "2"),
        ("size", "3"),
    ]


def test_a_start_keeps_the_version_of_the_last_build(
    run: CommandLine, push: Push, builds_are_run: None
) -> None:
    push({"plan": {"daily_cost": 1}})
    run(*CREATE)
    push({"plan": {"daily_cost": 2}})

    run(*START)

    assert run.json("workspace", "list")[0]["daily_cost"] == 1


def test_an_update_takes_the_newest_version(
    run: CommandLine, push: Push, builds_are_run: None
) -> None:
    push({"plan": {"daily_cost": 1}})
    run(*CREATE)
    push({"plan": {"daily_cost": 2}})

    run(*START, "--update")

    assert run.json("workspace", "list")[0]["daily_cost"] == 2


@pytest.mark.parametrize(
    ("before", "command", "sentence"),
    [
        pytest.param(
            (*CREATE, "--detach"), STOP, "A workspace build is already active.", id="second build"
        ),
        pytest.param(
            (*CREATE, "--detach"), CREATE, "already has a workspace 'box'", id="second workspace"
        ),
        pytest.param(
            ("user", "suspend", "alice"), CREATE, "user 'alice' is suspended", id="suspended user"
        ),
    ],
)
def test_what_cannot_be_built_now_is_refused(
    run: CommandLine,
    template: TemplateVersion,
    nothing_changes: Unchanged,
    before: Sequence[str],
    command: Sequence[str],
    sentence: str,
) -> None:
    run(*before)

    with nothing_changes():
        refused(run(*command), sentence)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ["create", "box", "--template", "nope", "--owner", "alice"],
            "`provisionerd template push DIR --name nope` makes one",
            id="unknown template",
        ),
        pytest.param(
            ["create", "box", "--template", "dev", "--owner", "eve"],
            "`provisionerd user create eve` makes one",
            id="unknown user",
        ),
        pytest.param(
            ["create", "not a name", "--template", "dev", "--owner", "alice"],
            "cannot name a workspace",
            id="bad name",
        ),
        pytest.param(
            ["create", "b" * 33, "--template", "dev", "--owner", "alice"],
            "at most 32",
            id="long name",
        ),
        pytest.param(
            ["start", "nope", "--owner", "alice"], "no workspace 'nope'", id="unknown workspace"
        ),
        pytest.param(["list", "--owner", "eve"], "no user 'eve'", id="unknown owner"),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(
    run: CommandLine,
    template: TemplateVersion,
    nothing_changes: Unchanged,
    arguments: list[str],
    sentence: str,
) -> None:
    with nothing_changes():
        refused(run("workspace", *arguments), sentence)


def test_ctrl_c_leaves_the_build_alone(
    environment: Mapping[str, str | None],
    template: TemplateVersion,
    database: Database,
) -> None:
    with start_process(environment, *CREATE) as process:
        # The warning is written while it waits.
        assert process.stderr is not None
        assert "no worker is running" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _output, said = process.communicate(timeout=30)

    assert process.returncode == INTERRUPTED
    with database.begin() as session:
        job = session.scalars(
            select(ProvisionerJob).where(ProvisionerJob.workspace_id.is_not(None))
        ).one()
    assert job.job_status is JobStatus.PENDING
    assert f"The build goes on. `provisionerd jobs logs {job.id} -f`" in said
    assert f"`provisionerd jobs cancel {job.id}`" in said


def test_a_dead_redis_is_told_and_does_not_lose_the_build(
    environment: Mapping[str, str | None], template: TemplateVersion, database: Database
) -> None:
    # In a process of its own: Celery's application keeps its connections.
    with start_process(
        {**environment, "PROVISIONERD_REDIS_URL": "redis://127.0.0.1:1/0"},
        *CREATE,
        "--detach",
        "--output",
        "json",
    ) as process:
        output, said = process.communicate(timeout=60)

    assert process.returncode == 0
    assert json.loads(output)["status"] == "pending"
    assert "Redis cannot be reached; the build was accepted" in said


def cancel_when_running(database: Database) -> threading.Thread:
    query = select(ProvisionerJob.id).where(ProvisionerJob.job_status == JobStatus.RUNNING)

    def is_canceled() -> bool:
        with database.begin() as session:
            job_id = session.scalars(query).one_or_none()
            if job_id is not None:
                cancel_job(session, job_id=job_id)
            return job_id is not None

    return start_thread(lambda: wait_until(is_canceled, "a build to cancel"))


@contextmanager
def start_process(
    environment: Mapping[str, str | None], *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    theirs = {name: value for name, value in os.environ.items() if name not in environment}
    ours = {name: value for name, value in environment.items() if value is not None}
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", *arguments],
        env={**theirs, **ours},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def box(run: CommandLine, template: TemplateVersion, builds_are_run: None) -> CommandLine:
    """The workspace alice/box, built and charged."""
    assert run(*CREATE).exit_code == 0
    return run


def test_an_orphan_is_deleted_without_redis_and_without_a_worker(box: CommandLine) -> None:
    nowhere = "redis://127.0.0.1:1/0"

    result = box(*DELETE, "--orphan", redis_url=nowhere)

    assert result.exit_code == 0, result.output
    assert "Workspace box: delete succeeded" in result.stdout
    assert box.json("workspace", "list") == []


def test_a_command_that_rings_nobody_starts_no_redis(
    environment: Mapping[str, str | None], home: Organization, tmp_path: Path
) -> None:
    without = CommandLine({**environment, "PROVISIONERD_REDIS_URL": None})
    assert without("user", "create", "bob").exit_code == 0
    assert list((tmp_path / "data").rglob(REDIS_SOCKET)) == []


def test_the_json_of_an_orphan_is_that_of_a_build(box: CommandLine) -> None:
    document = box.json(*DELETE, "--orphan")

    assert (document["transition"], document["status"]) == ("delete", "succeeded")
    assert box.json("jobs", "show", document["job_id"])["status"] == "succeeded"


def test_an_orphan_is_refused_while_a_build_is_active(
    run: CommandLine, template: TemplateVersion
) -> None:
    run(*CREATE, "--detach")

    refused(run(*DELETE, "--orphan"), "already active")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--orphan", "--param", "a=b"], id="param"),
        pytest.param(["--orphan", "--version", "v1"], id="version"),
        pytest.param(["--as", "alice"], id="as without orphan"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    run: CommandLine, options: list[str]
) -> None:
    assert run(*DELETE, *options).exit_code == 2


@pytest.mark.parametrize(("answer", "is_deleted"), [("y\n", True), ("n\n", False), ("", False)])
def test_a_person_is_asked_before_an_orphan_is_deleted(
    box: CommandLine, monkeypatch: pytest.MonkeyPatch, answer: str, is_deleted: bool
) -> None:
    monkeypatch.setattr("cli.confirming.is_asked_by_a_person", lambda: True)

    result = CliRunner(env=box.environment).invoke(cli, [*DELETE, "--orphan"], input=answer)

    assert "leave its resources as they are?" in result.stderr
    assert (box.json("workspace", "list") == []) is is_deleted


def test_a_person_who_does_not_agree_deletes_nothing(
    box: CommandLine, monkeypatch: pytest.MonkeyPatch, nothing_changes: Unchanged
) -> None:
    monkeypatch.setattr("cli.confirming.is_asked_by_a_person", lambda: True)

    with nothing_changes():
        result = box.piped(b"n\n", *DELETE)

    assert "Delete alice/box and destroy its resources?" in result.stderr


def test_a_workspace_is_renamed_while_a_build_runs(
    run: CommandLine, factory: Factory, home: Organization, alice: User
) -> None:
    template = factory.template(organization=home, created_by=alice)
    job = factory.running_build(factory.workspace(owner=alice, template=template, name="box"))

    result = run("workspace", "rename", "alice/box", "crate", "--as", "alice")
    factory.finish(job)

    assert result.stdout == "Workspace alice/box is now alice/crate.\n"
    assert run("workspace", "list", "-o", "name").stdout == "alice/crate\n"
    (change,) = run.json("audit", "list")
    assert change["diff"] == {"name": {"old": "box", "new": "crate"}}


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        pytest.param("other", "user 'alice' already has a workspace 'other'", id="taken"),
        pytest.param("a b", "a b", id="not allowed"),
    ],
)
def test_a_rename_that_is_refused_changes_nothing(
    run: CommandLine,
    factory: Factory,
    home: Organization,
    alice: User,
    nothing_changes: Unchanged,
    new: str,
    sentence: str,
) -> None:
    template = factory.template(organization=home, created_by=alice)
    for name in ("box", "other"):
        factory.workspace(owner=alice, template=template, name=name)
    with nothing_changes():
        refused(run("workspace", "rename", "alice/box", new), sentence)


def test_nobody_is_asked_with_yes(box: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.confirming.is_asked_by_a_person", lambda: True)

    assert box(*DELETE, "--orphan", "--yes").exit_code == 0


def test_a_workspace_says_how_long_it_runs(
    run: CommandLine, factory: Factory, home: Organization, alice: User
) -> None:
    template = factory.template(organization=home, created_by=alice)
    workspace = factory.workspace(owner=alice, template=template, name="box")
    named = ("box", "--owner", "alice")
    refused(run("workspace", "extend", *named, "--for", "2h"), "has no deadline")
    assert run("workspace", "schedule", *named, "--stop-after", "8h").exit_code == 0
    factory.finished_build(workspace)
    assert "runs until" in run("workspace", "extend", *named, "--for", "2h").stdout
    assert run("workspace", "schedule", *named, "--stop-after", "never").exit_code == 0
    refused(run("workspace", "extend", *named, "--for", "2h"), "has no deadline")
    assert run("workspace", "schedule", *named, "--stop-after", "8").exit_code == 2
