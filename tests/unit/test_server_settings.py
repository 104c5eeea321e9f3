from __future__ import annotations

from pathlib import Path

import pytest

from worker.serversettings import read_server_settings
from worker.settingnames import SETTING_NAMES
from worker.settings import Settings, load_settings

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def variables(**given: str) -> dict[str, str]:
    return {f"PROVISIONERD_{name}": value for name, value in given.items()}


def test_the_names_are_those_of_all_settings() -> None:
    assert sorted(SETTING_NAMES) == sorted(Settings.model_fields)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"DATABASE_URL": "postgresql://host/name", "REDIS_URL": "redis://host"},
        {"REDIS_URL": "rediss://host", "REDIS_CA_FILE": "/etc/ca.pem"},
        {"DATA_DIR": "~/data", "PREPARED_STATEMENTS": "false"},
        {"DATABASE_URL": "", "DATA_DIR": "", "ENCRYPTION_KEYS": KEY},
    ],
)
def test_they_are_read_as_by_the_models_of_all_settings(given: dict[str, str]) -> None:
    environment = variables(**given)
    assert read_server_settings(environment) == load_settings(environment).servers


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://host/name\n")
    found = read_server_settings(variables(DATABASE_URL_FILE=str(file)))
    assert found is not None
    assert found.database_url == "postgresql://host/name"


@pytest.mark.parametrize(
    "given",
    [
        {"DATABSE_URL": "postgresql://host/name"},
        {"REDIS_URL": "http://host"},
        {"PREPARED_STATEMENTS": "maybe"},
        {"DATABASE_URL_FILE": "/nonexistent"},
        {"ENCRYPTION_KEYS": "short"},
        {"ENCRYPTION_KEYS": KEY, "ENCRYPTION_KEYS_FILE": "/nonexistent"},
    ],
)
def test_what_is_wrong_is_left_to_the_models_of_all_settings(given: dict[str, str]) -> None:
    assert read_server_settings(variables(**given)) is None
