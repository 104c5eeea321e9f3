from __future__ import annotations

import re
from typing import Any

import pytest

from cli.main import COMMANDS
from tests.unit.deploy.files import DEPLOY, read_yaml, settings_of, time_to_stop
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
    assert set(settings_of(SERVICES[name]["environment"])) <= Settings.model_fields.keys()


@pytest.mark.parametrize("name", OURS)
def test_no_embedded_server_is_started(name: str) -> None:
    assert {"database_url", "redis_url"} <= set(settings_of(SERVICES[name]["environment"]))


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


def test_the_passwords_that_it_wants_stand_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    offered = set(re.findall(r"^(\w+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    assert wanted == offered


def test_prometheus_scrapes_every_process_of_ours() -> None:
    (configuration,) = read_yaml(DEPLOY / "prometheus/prometheus.yml")
    scraped = {
        name
        for job in configuration["scrape_configs"]
        for names in job["dns_sd_configs"]
        for name in names["names"]
    }
    assert scraped == {*WORKERS, "api", "exporter"}


def test_grafana_finds_its_data_source_and_its_dashboard() -> None:
    (sources,) = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")
    (boards,) = read_yaml(DEPLOY / "grafana/provisioning/dashboards/provisionerd.yaml")
    folder = boards["providers"][0]["options"]["path"]
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    assert (
        f"./grafana/provisionerd.json:{folder}/provisionerd.json:ro"
        in SERVICES["grafana"]["volumes"]
    )
