"""Builds and imports that are enqueued over the API: the same output as over the database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from db.jobs.declarations import TemplateParameter, TemplatePreset
from db.schema.enums import JobStatus
from db.schema.tables import Organization, User, Workspace, WorkspaceBuild, WorkspaceBuildParameter
from tests.harness.factory import Factory
from tests.integration.cli.commandline import CommandLine, refused
from tests.integration.cli.doors import Doors

REGION = TemplateParameter(name="region", required=True, mutable=False, order=1)
SIZE = TemplateParameter(name="size", required=False, default="2", type="number", order=2)
WIPE = TemplateParameter(
    name="wipe", required=False, default="false", type="bool", ephemeral=True, order=3
)


@pytest.fixture(autouse=True)
def templates(factory: Factory, home: Organization, alice: User) -> None:
    """The template dev costs 4 of alice's 10 credits, big costs 20, and form has parameters."""
    for name, cost in (("dev", 4), ("big", 20), ("free", 0)):
        script = {"plan": {"daily_cost": cost, "logs": [{"output": "all is well"}]}}
        factory.template(organization=home, created_by=alice, name=name, script=script)
    form = factory.template(organization=home, created_by=alice, name="form")
    presets = (TemplatePreset(name="large", parameters={"region": "us", "size": "8"}),)
    factory.declare(form, parameters=(REGION, SIZE, WIPE), presets=presets)


def test_a_workspace_lives_alike(doors: Doors, builds_are_run: None) -> None:
    results = doors.alike(
        "workspace create alice/box-{} --template dev",
        "workspace create alice/box-{} --template dev",
        "workspace create nobody/box --template dev",
        "workspace create alice/b_x --template dev",
        "workspace create alice/new --template lost",
        "workspace create alice/new --template dev --organization nowhere",
        "workspace create alice/big-{} --template big",
        "workspace create alice/huge-{} --template big -o json",
        "workspace stop alice/box-{}",
        "workspace start alice/box-{} --update -o json",
        "workspace start alice/box-{} --version v9",
        "workspace start alice/lost",
        "workspace stop nobody/box",
        "workspace schedule alice/box-{} --stop-after 8h",
        "workspace schedule alice/box-{} --stop-after 1s",
        "workspace delete alice/box-{} --version v1",
        "workspace delete alice/big-{}",
        "workspace delete alice/huge-{}",
        "workspace delete alice/box-{}",
    )
    assert [result.exit_code for result in results[6:10]] == [3, 3, 0, 0]
    assert "all is well" in results[0].stdout


def test_a_build_that_nobody_waits_for_is_enqueued_alike(doors: Doors) -> None:
    doors.alike(
        "workspace create alice/free-{} --template free --detach",
        "workspace start alice/free-{} --detach",
        "workspace extend alice/free-{} --for 2h",
        "workspace delete alice/free-{} --orphan",
        "workspace create alice/other-{} --template free --detach -o json",
    )


def test_values_of_parameters_are_given_and_refused_alike(doors: Doors, factory: Factory) -> None:
    create = "workspace create alice/{} --template form --detach"
    doors.alike(
        create,
        f"{create} -o json",
        f"{create} --param region=eu --param size=large",
        f"{create} --param region=eu --ephemeral-param size=3",
        f"{create} --preset small",
        "workspace create alice/a-{} --template form --detach --preset large",
        "workspace create alice/b-{} --template form --detach --param region=eu"
        " --ephemeral-param wipe=true",
    )
    with factory.database.begin() as session:
        rows = session.execute(
            select(Workspace.name, WorkspaceBuildParameter.name, WorkspaceBuildParameter.value)
            .join(WorkspaceBuild, WorkspaceBuild.workspace_id == Workspace.id)
            .join(
                WorkspaceBuildParameter,
                WorkspaceBuildParameter.workspace_build_id == WorkspaceBuild.id,
            )
        ).all()
    by_mark = [
        sorted((row[0][0], row[1], row[2]) for row in rows if row[0].endswith(mark))
        for mark in doors.marks
    ]
    assert by_mark[0] == by_mark[1]
    assert ("a", "size", "8") in by_mark[0]
    assert ("b", "wipe", "true") in by_mark[0]


def test_a_template_is_pushed_alike(doors: Doors, imports_are_run: None, tmp_path: Path) -> None:
    folder = tmp_path / "template"
    folder.mkdir()
    (folder / "main.tf").touch()
    variables = [{"name": "zone"}, {"name": "key", "required": True}]
    (folder / "echo.json").write_text(json.dumps({"parse": {"variables": variables}}))
    push = f"template push {folder} --provisioner echo --name"
    results = doors.alike(
        f"{push} new-{{}} --variable key=1 --message first",
        f"{push} new-{{}} --variable key=2 --version two -o json --no-activate",
        f"{push} new-{{}} --version two",
        f"{push} new-{{}} --detach --version three --tag gpu=yes",
        f"{push} bad-{{}}",
        f"{push} b_d",
        f"{push} new-{{}} --organization nowhere",
        "template versions new-{} -o name",
    )
    assert [result.exit_code for result in results] == [0, 0, 1, 0, 1, 1, 1, 0]


def test_a_member_builds_their_own_workspaces_only(doors: Doors, member: CommandLine) -> None:
    create = ("--template", "free", "--detach")
    assert doors.database("workspace", "create", "ada/box", *create).exit_code == 0
    assert member("workspace", "create", "mine", *create, owner="alice").exit_code == 0
    foreign = member("workspace", "create", "ada/other", *create)
    assert (foreign.exit_code, foreign.stdout) == (1, "")
    stolen = member("workspace", "stop", "ada/box")
    assert (stolen.exit_code, stolen.stdout) == (1, "")
    assert "there is no user 'ada'" in stolen.stderr
    pushed = member("template", "activate", "dev", "v1")
    assert pushed.stderr == "Error: you may not do this: Only template admins change templates.\n"


def test_jobs_are_canceled_and_retried_alike(
    doors: Doors, factory: Factory, home: Organization, alice: User
) -> None:
    template = factory.template(organization=home, created_by=alice, name="jobs")
    for mark in doors.marks:
        failing = factory.workspace(owner=alice, template=template, name=f"failed-{mark}")
        factory.finished_build(failing, status=JobStatus.FAILED)
    for mark in doors.marks:
        for name in ("one", "two", "three"):
            waiting = factory.workspace(owner=alice, template=template, name=f"{name}-{mark}")
            factory.build(waiting)
    results = doors.alike(
        "jobs retry --workspace alice/failed-{} --yes",
        "jobs retry --workspace alice/failed-{} --yes",
        "jobs cancel --workspace one-{} --yes",
        "jobs retry --workspace one-{} --status canceled -y -o json",
        "jobs cancel --workspace two-{} --yes -o json",
        "jobs cancel --workspace three-{}",
        "jobs cancel 00000000-0000-4000-8000-000000000000",
        "jobs cancel --workspace none --yes",
    )
    assert [result.exit_code for result in results] == [0, 0, 0, 0, 0, 2, 1, 0]
    ended = json.loads(doors.database("jobs", "list", "--status", "canceled", "-o", "json").stdout)
    for job in (row["id"] for row in ended if row["workspace_name"].startswith("two-")):
        shown = doors.alike(f"jobs cancel {job}")[0]
        assert (shown.exit_code, shown.stdout) == (1, "")


def test_a_member_cancels_no_job_of_others(
    doors: Doors, member: CommandLine, factory: Factory, ada: User, home: Organization
) -> None:
    template = factory.template(organization=home, created_by=ada, name="jobs")
    job_id = factory.build(factory.workspace(owner=ada, template=template)).job_id
    refused(member("jobs", "cancel", str(job_id)), f"there is no job {job_id}")
    assert factory.status(job_id) is JobStatus.PENDING
