"""Pushing templates from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import Database
from db.schema.tables import ProvisionerJob, TemplateVersion, TemplateVersionVariable, User
from provisioner.host.packing import pack_template
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


@pytest.fixture
def played(folder: Path) -> Path:
    """A template for the echo engine, whose import takes milliseconds."""
    (folder / "echo.json").write_text('{"parse": {"variables": [{"name": "region"}]}}')
    return folder


@pytest.fixture(autouse=True)
def alice(run: CommandLine) -> None:
    run("user", "create", "alice")


def push(*options: str, folder: Path) -> tuple[str, ...]:
    """Return the command that pushes an echo template as dev."""
    return ("template", "push", str(folder), "--name", "dev", "--provisioner", "echo", *options)


def variables(database: Database) -> dict[str, TemplateVersionVariable]:
    with database.begin() as session:
        return {row.name: row for row in session.scalars(select(TemplateVersionVariable))}


def test_a_push_makes_the_template(run: CommandLine, folder: Path, imports_are_run: None) -> None:
    result = run("template", "push", str(folder), "--name", "dev", "--variable", "image=debian")

    assert (result.exit_code, result.stderr) == (0, "")
    (row,) = run.json("template", "list")
    assert (row["name"], row["active_version_name"], row["versions"]) == ("dev", "v1", 1)


def test_a_second_push_makes_a_new_version_active(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    run(*push(folder=played))

    pushed = run.json(*push(folder=played)[:3], "--name", "DEV", "--provisioner", "echo")

    assert pushed["version"] == "v2"
    assert run.json("template", "list")[0]["active_version_name"] == "v2"


def test_declared_variables_are_stored_with_the_values_given(
    run: CommandLine, folder: Path, database: Database, imports_are_run: None
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


def test_an_empty_value_is_a_value(
    run: CommandLine, folder: Path, database: Database, imports_are_run: None
) -> None:
    result = run("template", "push", str(folder), "--name", "dev", "--variable", "image=")

    assert result.stderr == ""
    assert variables(database)["image"].value == ""


def test_a_required_variable_without_a_value_fails_the_push(
    run: CommandLine, folder: Path, imports_are_run: None
) -> None:
    result = run("template", "push", str(folder), "--name", "dev")

    assert result.exit_code == 1
    assert "required template variables need values: image" in result.stderr
    assert run.json("template", "list")[0]["active_version_name"] is None


def test_the_log_of_the_import_is_shown(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    (played / "echo.json").write_text('{"plan": {"logs": [{"output": "all is well"}]}}')

    result = run(*push(folder=played))

    assert "==> Detecting persistent resources\nall is well\n" in result.stdout
    assert result.stdout.endswith("Template dev is at v1.\n")


def test_a_push_that_fails_leaves_the_active_version(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    run(*push(folder=played))
    (played / "echo.json").write_text('{"plan": {"error": "no such image"}}')

    result = run(*push(folder=played))

    assert result.exit_code == 1
    assert result.stderr == (
        "Error: the import of v2 of template dev failed:"
        " template import provision for start: no such image\n"
    )
    assert run.json("template", "list")[0]["active_version_name"] == "v1"


def test_a_detached_push_does_not_wait(run: CommandLine, played: Path) -> None:
    pushed = run.json(*push("--detach", folder=played))

    assert (pushed["version"], pushed["status"]) == ("v1", "pending")
    assert run.json("template", "list")[0]["active_version_name"] is None


def test_a_push_need_not_activate(run: CommandLine, played: Path, builds_are_run: None) -> None:
    run(*push(folder=played))
    result = run(*push("--no-activate", "--version", "next", folder=played))

    assert "`provisionerd template activate dev next` makes it active" in result.stdout
    assert run.json("template", "list")[0]["active_version_name"] == "v1"


def test_a_version_is_activated_by_its_name(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    run(*push(folder=played))
    run(*push(folder=played))

    assert run("template", "activate", "dev", "v1").exit_code == 0
    assert run.json("template", "list")[0]["active_version_name"] == "v1"


def test_versions_are_listed_newest_first(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    run(*push(folder=played))
    (played / "echo.json").write_text('{"plan": {"error": "no such image"}}')
    run(*push(folder=played))

    rows = run.json("template", "versions", "dev")

    assert [(row["name"], row["status"], row["is_active"]) for row in rows] == [
        ("v2", "failed", False),
        ("v1", "succeeded", True),
    ]


def test_an_archived_version_is_listed_when_asked_for(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    run(*push(folder=played))
    run(*push(folder=played))
    run("template", "archive", "dev", "v1")

    names = [row["name"] for row in run.json("template", "versions", "dev")]
    all_names = [row["name"] for row in run.json("template", "versions", "dev", "--archived")]
    assert (names, all_names) == (["v2"], ["v2", "v1"])


def test_a_version_is_shown_with_what_it_declares(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    run(*push("--variable", "region=eu", folder=played))

    shown = run.json("template", "show", "dev")
    assert [(row["name"], row["value"]) for row in shown["variables"]] == [("region", "eu")]
    assert "region" in run("template", "show", "dev").stdout


def test_the_files_of_a_version_are_pulled(
    run: CommandLine, played: Path, tmp_path: Path, builds_are_run: None
) -> None:
    run(*push(folder=played))

    assert run("template", "pull", "dev", str(tmp_path / "pulled")).exit_code == 0
    assert (tmp_path / "pulled/echo.json").read_text() == (played / "echo.json").read_text()


def test_the_difference_of_two_versions_is_shown(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    run(*push(folder=played))
    (played / "main.tf").write_text("# changed\n")
    run(*push(folder=played))

    result = run("template", "diff", "dev", "v1", "v2")

    assert result.exit_code == 1
    assert "+# changed" in result.stdout
    assert run("template", "diff", "dev", "v2").stdout == ""


def test_a_template_without_workspaces_is_deleted(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    run(*push(folder=played))

    assert run("template", "delete", "dev", "--yes").exit_code == 0
    assert run.json("template", "list") == []


def test_tags_decide_the_queue(run: CommandLine, folder: Path, database: Database) -> None:
    run("template", "push", str(folder), "--name", "dev", "--detach", "--tag", "cluster=gpu")

    with database.begin() as session:
        job = session.scalars(select(ProvisionerJob)).one()
    assert job.tags["cluster"] == "gpu"
    assert job.queue != "builds"


def test_the_message_is_kept(run: CommandLine, folder: Path, database: Database) -> None:
    run("template", "push", str(folder), "--name", "dev", "--detach", "--message", "smaller disks")

    with database.begin() as session:
        assert session.scalars(select(TemplateVersion.message)).one() == "smaller disks"


def test_the_author_can_be_named(run: CommandLine, folder: Path, database: Database) -> None:
    run("user", "create", "bob")
    run("template", "push", str(folder), "--name", "dev", "--detach", "--author", "bob")

    with database.begin() as session:
        query = select(User.username).join(TemplateVersion, TemplateVersion.created_by == User.id)
        assert session.scalars(query).one() == "bob"


def test_an_echo_template_is_read_by_the_echo_engine(
    run: CommandLine, played: Path, database: Database, builds_are_run: None
) -> None:
    run(*push(folder=played))

    assert set(variables(database)) == {"region"}


def test_what_belongs_to_the_author_is_not_packed(
    run: CommandLine, played: Path, tmp_path: Path, builds_are_run: None
) -> None:
    (played / ".hidden.tf").write_text("this is not HCL {")
    run(*push(folder=played))
    run("template", "pull", "dev", str(tmp_path / "pulled"))

    assert not (tmp_path / "pulled/.hidden.tf").exists()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("imgae=x", "no variable 'imgae'; it declares image, disk, password"),
        ("workspace_name=x", "no variable 'workspace_name'"),
    ],
)
def test_a_value_for_an_unknown_variable_fails_the_push(
    run: CommandLine, folder: Path, imports_are_run: None, option: str, sentence: str
) -> None:
    result = run("template", "push", str(folder), "--name", "dev", "--variable", option)

    assert result.exit_code == 1
    assert sentence in result.stderr


def test_a_template_that_cannot_be_read_fails_the_push_with_file_and_line(
    run: CommandLine, folder: Path, imports_are_run: None
) -> None:
    (folder / "main.tf").write_text('variable "image" {')

    result = run("template", "push", str(folder), "--name", "dev")

    assert result.exit_code == 1
    assert "main.tf line 1" in result.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(["--name", "not a name"], "cannot name a template", id="bad name"),
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


def test_a_template_stays_with_its_engine(
    run: CommandLine, folder: Path, nothing_changes: Unchanged
) -> None:
    run("template", "push", str(folder), "--name", "dev", "--detach")
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


def test_a_push_names_what_it_leaves_out(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    (played / ".env").write_text("TOKEN=1")
    (played / "empty").mkdir()
    result = run(*push(folder=played))
    assert (result.exit_code, result.stderr) == (0, "Left out: .env, empty/\n")


def test_a_long_list_of_what_is_left_out_is_cut(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    for number in range(25):
        (played / f".{number:02}").touch()
    assert run(*push(folder=played)).stderr.endswith(".18, .19 and 5 more\n")


def test_a_tar_is_pushed_from_standard_input(
    run: CommandLine, played: Path, builds_are_run: None
) -> None:
    result = run.piped(pack_template(played), *push(folder=Path("-")))
    assert (result.exit_code, result.stderr) == (0, "")
    (row,) = run.json("template", "list")
    assert row["active_version_name"] == "v1"


def test_a_tar_has_no_root(run: CommandLine, tmp_path: Path) -> None:
    result = run(*push("--root", str(tmp_path), folder=Path("-")))
    assert result.exit_code == 2
    assert "--root is for a folder" in result.stderr


def test_a_linked_module_is_pushed_from_the_stated_root(
    run: CommandLine, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "main.tf").touch()
    (folder / "modules").symlink_to("../shared")
    command = ("template", "push", str(folder), "--name", "dev", "--detach")
    refused(run(*command), "--root DIR follows the links that stay in DIR")
    assert run(*command, "--root", str(tmp_path)).exit_code == 0


def test_a_local_module_outside_of_the_folder_is_refused(
    run: CommandLine, folder: Path, nothing_changes: Unchanged
) -> None:
    (folder / "modules.tf").write_text('module "net" {\n  source = "../net"\n}\n')
    with nothing_changes():
        refused(
            run("template", "push", str(folder), "--name", "dev"),
            "module 'net' in modules.tf has the source '../net', which is outside",
        )


def test_a_push_rings_the_redis_of_the_data_directory(
    environment: Mapping[str, str | None], played: Path
) -> None:
    ours = {name: value for name, value in environment.items() if value is not None}
    theirs = {name: value for name, value in os.environ.items() if name not in environment}
    del ours["PROVISIONERD_REDIS_URL"]
    pushed = subprocess.run(
        [sys.executable, "-m", "cli.main", *push("--detach", folder=played)],
        env={**theirs, **ours},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "Redis cannot be reached" not in pushed.stderr
