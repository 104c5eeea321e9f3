"""The ledger cloud under real Terraform, and each template that uses it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.ledger import install as installer
from tests.harness.terraform import bare_environment
from tests.harness.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
TEMPLATES = REPOSITORY / "deploy" / "templates"
DEADLINE_S = 30

TERRAFORM = shutil.which("terraform") or shutil.which("tofu")

pytestmark = pytest.mark.skipif(
    TERRAFORM is None and not os.environ.get("CI"), reason="neither terraform nor tofu is on PATH"
)


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """One template, unpacked, with its own ledger."""

    directory: Path
    ledger: Path
    environment: Mapping[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        assert TERRAFORM is not None
        return subprocess.Popen(
            [TERRAFORM, *arguments],
            cwd=self.directory,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def apply(self, **variables: object) -> tuple[int, str]:
        return self.run("apply", "-auto-approve", "-no-color", *_variables(variables))

    def destroy(self) -> tuple[int, str]:
        return self.run("destroy", "-auto-approve", "-no-color")

    def files(self) -> list[Path]:
        return sorted(self.ledger.iterdir()) if self.ledger.exists() else []

    def instances(self) -> dict[str, list[dict[str, object]]]:
        state = json.loads((self.directory / "terraform.tfstate").read_text())
        return {f"{r['type']}.{r['name']}": r["instances"] for r in state["resources"]}


Unpack = Callable[[str], Workspace]


@pytest.fixture(scope="module")
def cli_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config: Path = installer.install(tmp_path_factory.mktemp("mirror"), Path(sys.executable))
    return config


@pytest.fixture
def unpack(cli_config: Path, tmp_path: Path) -> Unpack:
    def unpack(name: str) -> Workspace:
        shutil.copytree(TEMPLATES / name, tmp_path / "template")
        ledger = tmp_path / "ledger"
        workspace = Workspace(
            directory=tmp_path / "template",
            ledger=ledger,
            environment={
                **bare_environment(cli_config, tmp_path),
                "TF_IN_AUTOMATION": "1",
                "TF_INPUT": "0",
                "TF_VAR_ledger_dir": str(ledger),
            },
        )
        status, output = workspace.run("init", "-no-color")
        assert status == 0, output
        return workspace

    return unpack


def test_a_created_machine_is_a_file_that_says_who_it_is(unpack: Unpack) -> None:
    workspace = unpack("machine")

    workspace.apply(workspace_id="w-1", workspace_owner="ada", workspace_name="dev")

    (file,) = workspace.files()
    machine = json.loads(file.read_text())
    assert (machine["name"], machine["workspace"]) == ("ada-dev-0", "w-1")
    assert file.name == f"{machine['id']}.json"


def test_an_unchanged_machine_needs_no_change(unpack: Unpack) -> None:
    workspace = unpack("machine")
    workspace.apply()

    status, output = workspace.run("plan", "-detailed-exitcode", "-no-color")

    assert status == 0, output


def test_a_vanished_machine_is_planned_again(unpack: Unpack) -> None:
    workspace = unpack("machine")
    workspace.apply()
    workspace.files()[0].unlink()

    _, output = workspace.run("plan", "-no-color")

    assert "Plan: 1 to add, 0 to change, 0 to destroy." in output


def test_a_renamed_machine_stays_the_same_machine(unpack: Unpack) -> None:
    workspace = unpack("machine")
    workspace.apply(workspace_name="old")
    (before,) = workspace.files()

    workspace.apply(workspace_name="new")

    assert workspace.files() == [before]
    assert json.loads(before.read_text())["name"] == "nobody-new-0"


@pytest.mark.parametrize(
    ("transition", "start_count", "price", "machines"),
    [
        pytest.param("start", 1, 4, 1, id="started"),
        pytest.param("stop", 0, 1, 0, id="stopped"),
    ],
)
def test_a_machine_template_is_priced_by_its_transition(
    unpack: Unpack, transition: str, start_count: int, price: int, machines: int
) -> None:
    workspace = unpack("machine")

    workspace.apply(workspace_transition=transition, start_count=start_count)

    (instance,) = workspace.instances()["terraform_data.price"]
    assert instance["attributes"]["input"]["value"] == {"daily_cost": price}  # type: ignore[index]
    assert len(workspace.files()) == machines


def test_destroying_leaves_an_empty_ledger(unpack: Unpack) -> None:
    workspace = unpack("machine")
    workspace.apply(start_count=3)
    assert len(workspace.files()) == 3

    workspace.destroy()

    assert workspace.files() == []


def test_a_refused_machine_is_a_plain_diagnostic_of_the_cloud(unpack: Unpack) -> None:
    workspace = unpack("out-of-stock")

    status, output = workspace.apply()

    assert status == 1
    assert "Error: insufficient quota in us-east1" in output


def test_a_refused_machine_never_exists(unpack: Unpack) -> None:
    workspace = unpack("out-of-stock")

    workspace.apply()

    assert workspace.files() == []
    assert "ledger_machine.dev" not in workspace.instances()


def test_an_interrupted_create_leaves_its_machine_tainted_in_the_state(unpack: Unpack) -> None:
    workspace = unpack("slow")

    interrupt_when_machines_exist(workspace, 5)

    slow = workspace.instances()["ledger_machine.slow"]
    assert [instance["status"] for instance in slow] == ["tainted"] * 4


def test_what_was_there_before_the_interrupt_is_whole(unpack: Unpack) -> None:
    workspace = unpack("slow")

    interrupt_when_machines_exist(workspace, 5)

    (first,) = workspace.instances()["ledger_machine.first"]
    assert "status" not in first


def test_an_interrupted_create_can_take_its_time_to_answer(unpack: Unpack) -> None:
    workspace = unpack("slow")

    took = interrupt_when_machines_exist(workspace, 5, stop_seconds=1)

    slow = workspace.instances()["ledger_machine.slow"]
    assert took >= 1
    assert [instance["status"] for instance in slow] == ["tainted"] * 4


def test_an_interrupted_workspace_can_be_destroyed_to_nothing(unpack: Unpack) -> None:
    workspace = unpack("slow")
    interrupt_when_machines_exist(workspace, 5)

    status, output = workspace.destroy()

    assert status == 0, output
    assert workspace.files() == []


@pytest.mark.parametrize(
    ("template", "variable"),
    [
        pytest.param("parameterised", "parameter_region", id="parameter"),
        pytest.param("variables", "image", id="variable"),
    ],
)
def test_a_template_without_its_value_can_not_be_planned(
    unpack: Unpack, template: str, variable: str
) -> None:
    status, output = unpack(template).run("plan", "-no-color")

    assert status == 1
    assert f'The root module input variable "{variable}" is not set' in output


@pytest.mark.parametrize(
    ("template", "variable"),
    [
        pytest.param("parameterised", "parameter_region", id="parameter"),
        pytest.param("variables", "image", id="variable"),
    ],
)
def test_a_template_with_its_value_is_applied(unpack: Unpack, template: str, variable: str) -> None:
    status, output = unpack(template).apply(**{variable: "x"})

    assert status == 0, output


def test_a_folder_that_can_not_be_made_is_a_diagnostic(unpack: Unpack) -> None:
    workspace = unpack("machine")
    workspace.ledger.write_text("a file, not a folder")

    status, output = workspace.apply()

    assert status == 1
    assert "machine nobody-by-hand-0 cannot be written" in output


@pytest.mark.parametrize("name", ["create_seconds", "stop_seconds"])
def test_a_negative_time_is_refused_before_anything_exists(unpack: Unpack, name: str) -> None:
    workspace = unpack("slow")

    status, output = workspace.apply(**{name: -1})

    assert status == 1
    assert f"{name} must not be negative" in output


def test_a_second_install_changes_no_byte_of_the_provider(tmp_path: Path) -> None:
    def laid_out() -> dict[Path, bytes]:
        installer.install(tmp_path, Path(sys.executable))
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    assert laid_out() == laid_out()


def test_an_interpreter_without_the_framework_is_told_what_to_install(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)

    with pytest.raises(installer.LedgerError, match=r"pip install 'provisionerd\[ledger\]'"):
        installer.install(tmp_path / "mirror", bare)


def interrupt_when_machines_exist(workspace: Workspace, count: int, **variables: object) -> float:
    """Send SIGINT to an apply of slow machines once ``count`` exist; return how long it took."""
    command = ["apply", "-auto-approve", "-no-color", *_variables(variables)]
    with workspace.start(*command) as apply:
        try:
            wait_until(lambda: len(workspace.files()) == count, f"{count} machines")
            begun = time.monotonic()
            apply.send_signal(signal.SIGINT)
            apply.communicate(timeout=DEADLINE_S)
            took = time.monotonic() - begun
        finally:
            apply.kill()
    assert apply.returncode == 1
    return took


def _variables(values: Mapping[str, object]) -> list[str]:
    return [f"-var={name}={value}" for name, value in values.items()]
