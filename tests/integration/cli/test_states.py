"""``provisionerd state``: what it prints, what it refuses, and the files that it writes."""

from __future__ import annotations

import getpass
import json
import stat
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from cli.main import cli
from db.jobs.results import BuildResult
from db.schema.enums import Transition
from db.schema.tables import AuditLog, Workspace
from provisioner.host.workdir import STATE_FILE
from tests.harness.factory import Factory
from tests.harness.states import LINEAGE, state_file, state_of
from tests.integration.cli.commandline import CommandLine, refused

LASTS = [sys.executable, "-c", "import sys; sys.stdin.read()"]
FIRST = state_file(5, names=["a", "b"])


@pytest.fixture
def box(factory: Factory) -> Workspace:
    """The workspace alice/box, whose first build has left a state."""
    organization = factory.organization(name="default")
    alice = factory.user(organization=organization, username="alice")
    template = factory.template(organization=organization, created_by=alice)
    made = factory.workspace(owner=alice, template=template, name="box")
    factory.finished_build(made, result=BuildResult(state=state_of(5, names=["a", "b"])))
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A state that follows the stored one."""
    path = tmp_path / "new.tfstate"
    path.write_bytes(state_file(6, names=["b"]))
    return path


@pytest.fixture
def orphan(factory: Factory, box: Workspace, tmp_path: Path) -> Path:
    """A state that was put aside: a later build has begun from the stored one."""
    lost = factory.finished_build(box, result=BuildResult(state=state_of(6)))
    factory.finished_build(box, Transition.STOP, result=BuildResult(state=state_of(7)))
    path = tmp_path / "data" / "work" / "orphaned-states" / f"{lost.id}.tfstate"
    path.parent.mkdir(parents=True)
    path.write_bytes(state_file(9))
    return path


def test_pull_prints_the_newest_state_as_it_is(run: CommandLine, box: Workspace) -> None:
    assert run("state", "pull", "box", "--owner", "alice").stdout_bytes == FIRST


def test_a_workspace_can_be_named_with_its_owner(run: CommandLine, box: Workspace) -> None:
    assert run("state", "pull", "alice/box").stdout_bytes == FIRST


def test_a_workspace_can_be_named_by_its_id(run: CommandLine, box: Workspace) -> None:
    assert run("state", "pull", str(box.id)).stdout_bytes == FIRST


def test_a_name_without_an_owner_is_refused(run: CommandLine, box: Workspace) -> None:
    refused(run("state", "pull", "box"), "OWNER/NAME")


def test_a_deleted_workspace_is_found_by_its_name(
    run: CommandLine, factory: Factory, box: Workspace
) -> None:
    factory.finished_build(box, Transition.DELETE)
    assert run("state", "pull", "alice/box").stdout_bytes == FIRST


def test_a_workspace_that_is_there_comes_before_a_deleted_one_of_its_name(
    run: CommandLine, factory: Factory, box: Workspace
) -> None:
    factory.finished_build(box, Transition.DELETE)
    second = factory.namesake(box)
    factory.finished_build(second, result=BuildResult(state=state_of(1, lineage="second")))
    assert run("state", "pull", "alice/box").stdout_bytes == state_file(1, lineage="second")


def test_pull_writes_a_file_that_its_owner_alone_can_read(
    run: CommandLine, box: Workspace, tmp_path: Path
) -> None:
    out = tmp_path / "box.tfstate"
    assert run("state", "pull", "alice/box", "--out", str(out)).exit_code == 0
    assert out.read_bytes() == FIRST
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_pull_leaves_a_file_that_is_there(run: CommandLine, box: Workspace, file: Path) -> None:
    before = file.read_bytes()
    refused(run("state", "pull", "alice/box", "--out", str(file)), "`--force` replaces it")
    assert file.read_bytes() == before


def test_pull_replaces_a_file_by_force(run: CommandLine, box: Workspace, file: Path) -> None:
    file.chmod(0o644)
    run("state", "pull", "alice/box", "--out", str(file), "--force")
    assert file.read_bytes() == FIRST
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_pull_into_a_folder_that_is_missing_is_refused(
    run: CommandLine, box: Workspace, tmp_path: Path
) -> None:
    out = str(tmp_path / "missing/box.tfstate")
    refused(run("state", "pull", "alice/box", "--out", out), "cannot be written")


def test_push_makes_the_state_the_current_one(run: CommandLine, box: Workspace, file: Path) -> None:
    pushed = run("state", "push", "alice/box", str(file))
    assert pushed.exit_code == 0
    assert "alice/box now has the state 1.1" in pushed.stdout
    assert run("state", "pull", "alice/box").stdout_bytes == file.read_bytes()


def test_push_reads_standard_input(
    environment: Mapping[str, str | None], run: CommandLine, box: Workspace
) -> None:
    arguments = ["state", "push", "alice/box", "-"]
    result = CliRunner(env=environment).invoke(cli, arguments, input=state_file(6))
    assert result.exit_code == 0
    assert run("state", "pull", "alice/box").stdout_bytes == state_file(6)


def test_push_warns_of_resources_that_the_state_lacks(
    run: CommandLine, box: Workspace, file: Path
) -> None:
    warning = run("state", "push", "alice/box", str(file)).stderr
    assert "terraform_data.a" in warning
    assert "--build 1`" in warning


def test_push_names_force_where_it_would_help(
    run: CommandLine, box: Workspace, tmp_path: Path
) -> None:
    old = tmp_path / "old.tfstate"
    old.write_bytes(state_file(4))
    refused(run("state", "push", "alice/box", str(old)), "`--force` stores it anyway")
    assert run("state", "push", "alice/box", str(old), "--force").exit_code == 0


def test_push_is_refused_while_a_build_runs(
    run: CommandLine, factory: Factory, box: Workspace, file: Path
) -> None:
    factory.running_build(box)
    refused(run("state", "push", "alice/box", str(file)), "already active")


def test_push_of_a_file_that_is_missing_is_refused(run: CommandLine, box: Workspace) -> None:
    refused(run("state", "push", "alice/box", "missing"), "missing cannot be read")


def test_a_replaced_state_is_pulled_by_its_build(
    run: CommandLine, box: Workspace, file: Path
) -> None:
    run("state", "push", "alice/box", str(file))
    assert run("state", "pull", "alice/box", "--build", "1").stdout_bytes == FIRST
    assert run("state", "pull", "alice/box", "--build", "1.1").stdout_bytes == file.read_bytes()


@pytest.mark.parametrize("label", ["", "x", "1.", "-1", "1.1.1"])
def test_a_build_that_is_not_a_number_is_wrong_usage(run: CommandLine, label: str) -> None:
    assert run("state", "pull", "alice/box", "--build", label).exit_code == 2


def test_the_audit_log_says_who_pushed(
    run: CommandLine, factory: Factory, box: Workspace, file: Path
) -> None:
    run("state", "push", "alice/box", str(file))
    file.write_bytes(state_file(7))
    run("state", "push", "alice/box", str(file), "--as", "alice")
    with factory.database.begin() as session:
        rows = list(session.scalars(select(AuditLog).order_by(AuditLog.time)))
    assert [(row.username, row.user_id) for row in rows] == [
        (getpass.getuser(), None),
        ("alice", box.owner_id),
    ]


def test_show_lists_resources_without_their_values(run: CommandLine, box: Workspace) -> None:
    shown = run("state", "show", "alice/box", "--output", "json")
    document = json.loads(shown.stdout)
    assert document["terraform_version"] == "1.9.8"
    assert [row["name"] for row in document["resources"]] == ["a", "b"]
    assert "secret" not in shown.stdout


def test_show_prints_a_table(run: CommandLine, box: Workspace) -> None:
    shown = run("state", "show", "alice/box").stdout
    assert LINEAGE in shown
    assert "terraform_data" in shown


def test_list_shows_stored_and_orphaned_states_of_a_workspace(
    run: CommandLine, orphan: Path
) -> None:
    rows = run.json("state", "list", "alice/box")
    assert [(row["state"], row["kind"], row["serial"]) for row in rows] == [
        (None, "orphaned", 9),
        ("3", "build", 7),
        ("2", "build", 6),
        ("1", "build", 5),
    ]
    assert rows[0]["path"] == str(orphan)


def test_list_without_a_workspace_shows_the_orphaned_states_of_the_host(
    run: CommandLine, orphan: Path
) -> None:
    unknown = orphan.with_name(f"{uuid.uuid4()}.tfstate")
    unknown.write_bytes(b"cut o")
    rows = run.json("state", "list")
    assert {row["workspace"] for row in rows} == {"alice/box", None}


def test_list_prints_a_table(run: CommandLine, orphan: Path) -> None:
    shown = run("state", "list", "alice/box", "-o", "wide").stdout
    assert "current" in shown
    assert str(orphan) in shown


def test_list_names_what_other_commands_take(run: CommandLine, orphan: Path) -> None:
    named = run("state", "list", "alice/box", "-o", "name").stdout
    assert named.split() == [orphan.stem, "3", "2", "1"]


def test_adopt_stores_an_orphaned_state_by_its_job(run: CommandLine, orphan: Path) -> None:
    adopted = run("state", "adopt", orphan.stem[:13])
    assert adopted.exit_code == 0, adopted.output
    assert run("state", "pull", "alice/box").stdout_bytes == state_file(9)


def test_an_adopted_file_is_renamed(run: CommandLine, orphan: Path) -> None:
    run("state", "adopt", str(orphan))
    assert [path.name for path in orphan.parent.iterdir()] == [f"{orphan.name}.adopted"]
    assert run.json("state", "list") == []


def test_an_orphaned_state_that_is_older_needs_force(run: CommandLine, orphan: Path) -> None:
    orphan.write_bytes(state_file(7, names=["late"]))
    refused(run("state", "adopt", orphan.stem), "`--force` stores it anyway")
    assert orphan.exists()
    assert run("state", "adopt", orphan.stem, "--force").exit_code == 0


def test_an_orphaned_state_that_is_stored_already_is_renamed(
    run: CommandLine, orphan: Path
) -> None:
    orphan.write_bytes(state_file(7))
    adopted = run("state", "adopt", orphan.stem)
    assert "already has this state" in adopted.stdout
    assert not orphan.exists()


@pytest.fixture
def left(factory: Factory, box: Workspace, tmp_path: Path) -> Path:
    """The work directory of a lost build, without its lease: recovery does not take it."""
    lost = factory.finished_build(box, result=BuildResult(state=state_of(6)))
    path = tmp_path / "data" / "work" / f"{lost.id.hex[:12]}-1"
    (path / "template").mkdir(parents=True)
    (path / "template" / STATE_FILE).write_bytes(state_file(9))
    return path


def test_adopt_stores_the_state_of_a_work_directory_that_recovery_does_not_take(
    run: CommandLine, left: Path
) -> None:
    adopted = run("state", "adopt", str(left))
    assert adopted.exit_code == 0, adopted.output
    assert run("state", "pull", "alice/box").stdout_bytes == state_file(9)
    assert [path.name for path in left.parent.iterdir()] == [f"{left.name}.adopted"]


def test_adopt_of_a_work_directory_without_a_whole_state_is_refused(
    run: CommandLine, left: Path
) -> None:
    (left / "template" / STATE_FILE).write_bytes(state_file(9)[:-1])
    refused(run("state", "adopt", str(left)), "has no complete state")
    assert left.exists()


def test_adopt_of_a_work_directory_where_something_runs_is_refused(
    run: CommandLine, left: Path
) -> None:
    with subprocess.Popen(LASTS, cwd=left / "template", stdin=subprocess.PIPE) as process:
        refused(run("state", "adopt", str(left)), f"process {process.pid} still runs in")
        process.kill()


def test_a_job_without_an_orphaned_state_is_refused(run: CommandLine, box: Workspace) -> None:
    refused(run("state", "adopt", "3f1c"), "no orphaned state begins with '3f1c'")


def test_adopt_of_a_file_that_is_not_named_for_a_job_points_to_push(
    run: CommandLine, box: Workspace, file: Path
) -> None:
    refused(run("state", "adopt", str(file)), "state push")
