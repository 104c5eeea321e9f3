from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.main import COMMANDS
from tests.unit.deploy.files import DEPLOY, output_of, read_yaml, settings_of, time_to_stop
from worker.settings import Settings

(COMPOSE,) = read_yaml(DEPLOY / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("provisionerd")]
WORKERS = [name for name in OURS if SERVICES[name]["command"] == ["worker"]]
THEIRS = [name for name in SERVICES if name not in OURS]


def seconds(duration: str) -> float:
    assert duration.endswith("s")
    return float(duration.removesuffix("s"))


def test_it_has_all_parts() -> None:
    assert SERVICES.keys() == {
        "postgres",
        "redis",
        "migrate",
        "worker-1",
        "worker-2",
        "api",
        "exporter",
        "prometheus",
        "grafana",
    }


@pytest.mark.parametrize("name", OURS)
def test_the_commands_exist(name: str) -> None:
    assert SERVICES[name]["command"][0] in COMMANDS


@pytest.mark.parametrize("name", OURS)
def test_the_settings_exist(name: str) -> None:
    named = {name.removesuffix("_file") for name in settings_of(SERVICES[name]["environment"])}
    assert named <= Settings.model_fields.keys()


@pytest.mark.parametrize("name", OURS)
def test_no_embedded_server_is_started(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert {"database_url_file", "redis_url_file"} <= set(settings_of(environment))


@pytest.mark.parametrize("name", SERVICES)
def test_no_password_is_in_the_environment(name: str) -> None:
    secret = re.compile(r"PASSWORD|_URL|AUTH")
    named = [key for key in SERVICES[name].get("environment", {}) if secret.search(key)]
    assert [key for key in named if not key.endswith("_FILE")] == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_secret_that_is_read_is_given(name: str) -> None:
    read = set(re.findall(r"/run/secrets/(\w+)", str(SERVICES[name])))
    assert read == set(SERVICES[name].get("secrets", ()))


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_gets_the_time_that_its_drain_may_take(name: str) -> None:
    given = seconds(SERVICES[name]["stop_grace_period"])
    assert given >= time_to_stop(SERVICES[name]["environment"])


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_keeps_its_name_and_its_work_directories(name: str) -> None:
    assert SERVICES[name]["hostname"] == name
    assert SERVICES[name]["volumes"] == [f"{name}:/var/lib/provisionerd"]


@pytest.mark.parametrize("name", WORKERS)
def test_workers_start_after_the_migration(name: str) -> None:
    assert SERVICES[name]["depends_on"]["migrate"] == {
        "condition": "service_completed_successfully"
    }


@pytest.mark.parametrize("name", OURS)
def test_templates_get_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--maxmemory-policy", "noeviction"), ("--appendonly", "yes"), ("--appendfsync", "everysec")],
)
def test_redis_keeps_doorbells(option: str, value: str) -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index(option) + 1] == value


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_stores_are_reached_by_provisionerd_alone(name: str) -> None:
    assert SERVICES[name]["networks"] == ["data"]
    assert COMPOSE["networks"]["data"] == {"internal": True}
    assert "ports" not in SERVICES[name]


@pytest.mark.parametrize("name", ["api", "prometheus", "grafana"])
def test_pages_are_served_on_this_machine_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@pytest.mark.parametrize("name", THEIRS)
def test_images_have_a_version(name: str) -> None:
    assert re.search(r":v?\d+\.?\d*", SERVICES[name]["image"])


def test_every_volume_that_is_used_is_declared() -> None:
    used = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if not volume.startswith(".")
    }
    assert used == COMPOSE["volumes"].keys()


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    }
    assert {path for path in mounted if not (DEPLOY / path).exists()} == set()


def test_every_network_that_is_used_is_declared() -> None:
    used = {name for service in SERVICES.values() for name in service.get("networks", ["default"])}
    assert used == COMPOSE["networks"].keys()


def make_secrets(folder: Path) -> dict[str, str]:
    script = shutil.copy(DEPLOY / "secrets.sh", folder)
    output_of("sh", script)
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_the_secrets_that_it_wants_are_made_in_a_private_folder(tmp_path: Path) -> None:
    assert make_secrets(tmp_path).keys() == COMPOSE["secrets"].keys()
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_the_secrets_of_a_store_and_of_its_clients_agree(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    assert f":{made['postgres_password']}@" in made["database_url"]
    assert f":{made['redis_config'].split()[1]}@" in made["redis_url"]


def test_secrets_that_exist_stay(tmp_path: Path) -> None:
    assert make_secrets(tmp_path) == make_secrets(tmp_path)
