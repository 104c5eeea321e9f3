from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from cli.main import COMMANDS
from tests.unit.deploy.files import DEPLOY, output_of, settings_of, time_to_stop, tool
from worker.settings import Settings

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
WORKER = DEPLOY / "systemd/provisionerd-worker.service"
BUBBLEWRAP = DEPLOY / "systemd/bubblewrap.conf"
EXAMPLE = (DEPLOY / "systemd/provisionerd.env.example").read_text()
HIGHEST_EXPOSURE = 2.0


def values(unit: Path) -> dict[str, list[str]]:
    """Return the settings of a unit; one that is given more than once has all of its values."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def environment(unit: Path) -> dict[str, str]:
    given = values(unit)["Environment"] + re.findall(r"^\w+=.*$", EXAMPLE, re.MULTILINE)
    return dict(item.split("=", 1) for item in given)


def as_installed(unit: Path, folder: Path) -> Path:
    """Return a copy whose program exists on this machine."""
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace("/opt/provisionerd/bin/provisionerd", "/bin/true"))
    return copy


def complaints_about(unit: Path) -> list[str]:
    """Return what systemd says about a unit and its drop-ins; an unknown setting is no failure."""
    analyze = tool("systemd-analyze", "Debian's package is called systemd")
    done = subprocess.run(
        [analyze, "verify", unit], check=True, capture_output=True, text=True, timeout=100
    )
    return [line for line in done.stderr.splitlines() if str(unit.parent) in line]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    assert complaints_about(as_installed(unit, tmp_path)) == []


@pytest.mark.parametrize("name", ["bubblewrap.conf", "credentials.conf"])
def test_systemd_takes_the_unit_with_a_drop_in(name: str, tmp_path: Path) -> None:
    unit = as_installed(WORKER, tmp_path)
    folder = unit.with_name(f"{unit.name}.d")
    folder.mkdir()
    (folder / name).write_text((DEPLOY / "systemd" / name).read_text())
    assert complaints_about(unit) == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_unit_is_hardened(unit: Path) -> None:
    analyze = tool("systemd-analyze", "Debian's package is called systemd")
    said = output_of(analyze, "security", "--offline=yes", "--no-pager", unit)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) <= HIGHEST_EXPOSURE


def test_bubblewrap_may_give_up_its_capabilities() -> None:
    """The unit's filter refuses ``capset``: without it bubblewrap starts nothing."""
    (calls,) = values(BUBBLEWRAP)["SystemCallFilter"]
    assert {"@mount", "unshare", "capset"} <= set(calls.split())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_command_exists(unit: Path) -> None:
    (command,) = values(unit)["ExecStart"]
    assert command.split()[1] in COMMANDS


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_settings_exist(unit: Path) -> None:
    assert set(settings_of(environment(unit))) <= Settings.model_fields.keys()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_data_directory_is_the_state_directory(unit: Path) -> None:
    (state,) = values(unit)["StateDirectory"]
    assert environment(unit)["PROVISIONERD_DATA_DIR"] == f"/var/lib/{state}"


def test_no_embedded_server_is_started() -> None:
    given = values(DEPLOY / "systemd/credentials.conf")["LoadCredential"]
    assert {credential.partition(":")[0] for credential in given} == {"database_url", "redis_url"}


def test_no_password_is_in_the_environment_file() -> None:
    assert not re.search(r"://|PASSWORD|SECRET", EXAMPLE)


def test_a_worker_gets_the_time_that_its_drain_may_take() -> None:
    (given,) = values(WORKER)["TimeoutStopSec"]
    assert float(given) >= time_to_stop(environment(WORKER))


def test_signals_go_to_the_worker_alone_also_the_one_that_kills() -> None:
    assert values(WORKER)["KillSignal"] == ["SIGTERM"]
    assert values(WORKER)["KillMode"] == ["process"]


def test_a_template_that_takes_too_much_memory_does_not_stop_the_worker() -> None:
    assert values(WORKER)["OOMPolicy"] == ["continue"]


def test_a_worker_that_ends_itself_is_started_again() -> None:
    assert values(WORKER)["Restart"] == ["always"]


def test_worker_and_exporter_of_one_machine_have_ports_of_their_own() -> None:
    exporter = environment(DEPLOY / "systemd/provisionerd-exporter.service")
    default = Settings.model_fields["metrics_address"].default
    assert exporter["PROVISIONERD_METRICS_ADDRESS"] != default
