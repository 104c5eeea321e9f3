"""Pushing templates from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import Database
from db.schema.tables import ProvisionerJob, TemplateVersion, TemplateVersionVariable, User
from tests.integration.cli.commandline import CommandLine, Unchanged, refused

VARIABLES = """
variable "image" {
  type = string
}
variable "disk" {
  default = 10
}
variable "password" {
  sensitive = true
  default   = ""
}
variable "workspace_name" {}
variable "parameter_size" {}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "template"
    made.mkdir()
    (made / "main.tf").write_text(VARIABLES)
    return made


@pytest.fixture(autouse=True)
def alice(run: CommandLine) -> None:
    run("user", "create", "alice")


def variables(database: Database) -> dict[str, TemplateVersionVariable]:
    with database.begin() as session:
        return {row.name: row for row in session.scalars(select(TemplateVersionVariable))}


def test_a_push_makes_the_template(run: CommandLine, folder: Path) -> None:
    result = run("template", "push", str(folder), "--name", "dev", "--variable", "image=debian")

    assert (result.exit_code, result.stderr) == (0, "")
    (row,) = run.json("template", "list")
    assert (row["name"], row["active_version_name"], row["versions"]) == ("dev", "v1", 1)


def test_a_second_push_makes_a_new_version_active(run: CommandLine, folder: Path) -> None:
    run("template", "push", str(folder), "--name", "dev")

    pushed = run.json("template", "push", str(folder), "--name", "DEV")

    assert pushed["version"] == "v2"
    assert run.json("template", "list")[0]["active_version_name"] == "v2"


def test_declared_variables_are_stored_with_the_values_given(
    run: CommandLine, folder: Path, database: Database
) -> None:
    run("template", "push", str(folder), "--name", "dev", "--variable", "image=a=b")

    stored = variables(database)

    assert {name: row.value for name, row in stored.items()} == {
        "image": "a=b",
        "disk": None,
        "password": None,
    }
    assert (stored["image"].required, stored["disk"].required) == (True, False)
    assert (stored["disk"].default_value, stored["password"].sensitive) == ("10", True)


def test_an_empty_value_is_a_value(run: CommandLine, folder: Path, database: Database) -> None:
    result = run("template", "push", str(folder), "--name", "dev", "--variable", "image=")

    assert result.stderr == ""
    assert variables(database)["image"].value == ""


def test_required_variables_without_a_value_are_warned_of(run: CommandLine, folder: Path) -> None:
    result = run("template", "push", str(folder), "--name", "dev")

    assert result.exit_code == 0
    assert "--variable image=VALUE" in result.stderr


def test_tags_decide_the_queue(run: CommandLine, folder: Path, database: Database) -> None:
    run("template", "push", str(folder), "--name", "dev", "--tag", "cluster=gpu")

    with database.begin() as session:
        job = session.scalars(select(ProvisionerJob)).one()
    assert job.tags["cluster"] == "gpu"
    assert job.queue != "builds"


def test_the_message_is_kept(run: CommandLine, folder: Path, database: Database) -> None:
    run("template", "push", str(folder), "--name", "dev", "--message", "smaller disks")

    with database.begin() as session:
        assert session.scalars(select(TemplateVersion.message)).one() == "smaller disks"


def test_the_author_can_be_named(run: CommandLine, folder: Path, database: Database) -> None:
    run("user", "create", "bob")
    run("template", "push", str(folder), "--name", "dev", "--author", "bob")

    with database.begin() as session:
        query = select(User.username).join(TemplateVersion, TemplateVersion.created_by == User.id)
        assert session.scalars(query).one() == "bob"


def test_an_echo_template_is_read_by_the_echo_engine(
    run: CommandLine, folder: Path, database: Database
) -> None:
    (folder / "echo.json").write_text('{"parse": {"variables": [{"name": "region"}]}}')

    run("template", "push", str(folder), "--name", "played", "--provisioner", "echo")

    assert set(variables(database)) == {"region"}


def test_what_belongs_to_the_author_is_not_read(run: CommandLine, folder: Path) -> None:
    (folder / ".hidden.tf").write_text("this is not HCL {")

    assert run("template", "push", str(folder), "--name", "dev").exit_code == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(["--name", "not a name"], "cannot name a template", id="bad name"),
        pytest.param(
            ["--name", "dev", "--variable", "imgae=x"],
            "no variable 'imgae'; it declares image, disk, password",
            id="unknown variable",
        ),
        pytest.param(
            ["--name", "dev", "--variable", "workspace_name=x"],
            "no variable 'workspace_name'",
            id="variable of the daemon",
        ),
        pytest.param(["--name", "dev", "--tag", "scope=galaxy"], '"scope" must be', id="bad tag"),
        pytest.param(["--name", "dev", "--author", "eve"], "no user 'eve'", id="unknown author"),
        pytest.param(
            ["--name", "dev", "--organization", "nowhere"],
            "no organization 'nowhere'",
            id="unknown organization",
        ),
    ],
)
def test_a_push_that_is_refused_changes_nothing(
    run: CommandLine, folder: Path, nothing_changes: Unchanged, options: list[str], sentence: str
) -> None:
    with nothing_changes():
        refused(run("template", "push", str(folder), *options), sentence)


def test_a_path_that_is_no_folder_is_refused(
    run: CommandLine, folder: Path, nothing_changes: Unchanged
) -> None:
    with nothing_changes():
        refused(
            run("template", "push", str(folder / "main.tf"), "--name", "dev"), "is not a directory"
        )


def test_a_folder_without_terraform_files_is_refused(
    run: CommandLine, tmp_path: Path, nothing_changes: Unchanged
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    with nothing_changes():
        refused(
            run("template", "push", str(empty), "--name", "dev"), "no .tf, .tf.json or .tofu file"
        )


def test_an_archive_over_the_limit_is_refused(
    run: CommandLine, folder: Path, nothing_changes: Unchanged
) -> None:
    (folder / "disk.img").write_bytes(b"0" * 1024 * 1024)

    with nothing_changes():
        refused(run("template", "push", str(folder), "--name", "dev"), "Archive too big")


def test_a_template_that_cannot_be_read_is_refused(
    run: CommandLine, folder: Path, nothing_changes: Unchanged
) -> None:
    (folder / "main.tf").write_text('variable "image" {')

    with nothing_changes():
        refused(run("template", "push", str(folder), "--name", "dev"), "main.tf")


def test_a_template_stays_with_its_engine(
    run: CommandLine, folder: Path, nothing_changes: Unchanged
) -> None:
    run("template", "push", str(folder), "--name", "dev")
    (folder / "echo.json").write_text("{}")

    with nothing_changes():
        refused(
            run("template", "push", str(folder), "--name", "dev", "--provisioner", "echo"),
            "is run by the terraform engine",
        )


def test_a_push_without_any_user_says_how_to_make_one(
    run: CommandLine, folder: Path, nothing_changes: Unchanged
) -> None:
    run("organization", "create", "empty")

    with nothing_changes():
        refused(
            run("template", "push", str(folder), "--name", "dev", "--organization", "empty"),
            "`provisionerd user create NAME`",
        )


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(["image"], id="no equals sign"),
        pytest.param(["=x"], id="no name"),
        pytest.param(["image=1", "image=2"], id="twice"),
    ],
)
def test_a_variable_that_is_no_pair_is_wrong_usage(
    run: CommandLine, folder: Path, nothing_changes: Unchanged, pairs: list[str]
) -> None:
    options = [part for pair in pairs for part in ("--variable", pair)]

    with nothing_changes():
        result = run("template", "push", str(folder), "--name", "dev", *options)

    assert result.exit_code == 2
