"""Keys from the command line: count what is under each, turn over, and what doctor says."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from db.jobs.results import BuildResult
from db.schema.tables import Workspace
from db.sealing.envelope import is_sealed
from db.sealing.keyring import Key, read_keys
from provisioner.host.orphans import put_aside
from tests.harness.factory import Factory
from tests.harness.states import state_file, state_of
from tests.integration.cli.commandline import CommandLine, refused

OLD, NEW = (base64.b64encode(letter * 32).decode() for letter in (b"o", b"n"))
OLD_NAME, NEW_NAME = (Key(letter * 32).name for letter in (b"o", b"n"))


@pytest.fixture
def workspace(factory: Factory) -> Workspace:
    """A workspace with a state that was stored as it is."""
    made = factory.any_workspace()
    factory.finished_build(made, result=BuildResult(state=state_of(5)))
    return made


def encryption(run: CommandLine, **settings: str) -> tuple[str, str]:
    (found,) = (result for result in doctor(run, **settings) if result["check"] == "encryption")
    return found["verdict"], found["found"]


def doctor(run: CommandLine, **settings: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = json.loads(run("doctor", "--output", "json", **settings).stdout)
    return results


@pytest.mark.usefixtures("workspace")
def test_a_rotation_from_no_key_to_the_second(run: CommandLine) -> None:
    first = run("rekey", encryption_keys=OLD)
    assert f"Sealed with key {OLD_NAME}:\nstates of builds  1\n" in first.stdout
    second = run("rekey", "--output", "json", encryption_keys=f"{NEW},{OLD}")
    assert f'"key": "{NEW_NAME}"' in second.stdout
    counted = run("rekey", "--dry-run", encryption_keys=f"{NEW},{OLD}")
    lines = [line.split() for line in counted.stdout.splitlines()]
    assert lines[1:] == [[NEW_NAME, "1", "seals", "and", "opens"], [OLD_NAME, "0", "opens"]]


@pytest.mark.usefixtures("workspace")
def test_rekey_names_a_missing_key(run: CommandLine) -> None:
    run("rekey", encryption_keys=OLD)
    result = run("rekey", encryption_keys=NEW)
    assert result.exit_code == 1
    assert f"is sealed with key {OLD_NAME}, which PROVISIONERD_ENCRYPTION_KEYS lacks" in (
        result.stderr
    )
    assert "Error: 1 secrets were left as they are" in result.stderr


def test_rekey_needs_a_key(run: CommandLine) -> None:
    refused(run("rekey"), "there is no key: set PROVISIONERD_ENCRYPTION_KEYS")


def test_a_state_is_pulled_with_its_key_alone(run: CommandLine, workspace: Workspace) -> None:
    run("rekey", encryption_keys=OLD)
    pulled = run("state", "pull", str(workspace.id), encryption_keys=OLD)
    assert pulled.stdout_bytes == state_of(5).data
    refused(run("state", "pull", str(workspace.id)), f"is sealed with key {OLD_NAME}")


def test_an_orphaned_state_is_sealed_and_adopted(
    run: CommandLine, factory: Factory, workspace: Workspace, tmp_path: Path
) -> None:
    job = factory.finished_build(workspace, result=BuildResult(state=state_of(6)))
    work = tmp_path / "data" / "work"
    work.mkdir(parents=True)
    kept = put_aside(work, job.id, state_file(7), keyring=read_keys(OLD))
    assert is_sealed(kept.read_bytes())
    run("rekey", encryption_keys=f"{NEW},{OLD}")
    opened = tmp_path / "opened.tfstate"
    run("state", "unseal", str(job.id), "--out", str(opened), encryption_keys=NEW)
    assert opened.read_bytes() == state_file(7)

    adopted = run("state", "adopt", str(job.id), encryption_keys=NEW)

    assert adopted.exit_code == 0, adopted.output
    pulled = run("state", "pull", str(workspace.id), encryption_keys=NEW)
    assert pulled.stdout_bytes == state_file(7)


@pytest.mark.usefixtures("workspace")
def test_a_doctor_says_whether_secrets_are_sealed(run: CommandLine) -> None:
    assert encryption(run) == ("warning", "states and secrets are stored as plain text")
    assert encryption(run, encryption_keys=OLD) == (
        "warning",
        f"not all states are sealed with the first key, {OLD_NAME}",
    )
    run("rekey", encryption_keys=OLD)
    assert encryption(run, encryption_keys=OLD)[0] == "ok"
    assert encryption(run, encryption_keys=NEW) == (
        "problem",
        f"states are sealed with key {OLD_NAME}, which is not here: their builds fail",
    )
