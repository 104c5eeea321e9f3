"""Secret settings from files and credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from worker.broker.address import find_redis_url
from worker.broker.secretfile import MAX_BYTES, SecretFileError, find_secret
from worker.settings import SettingsError, load_settings

URL = "postgresql://bob:secret@db/app"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "url"
    made.write_text(f"{URL}\n")
    return made


def database_url(environment: Mapping[str, str]) -> str | None:
    found = load_settings(environment).database_url
    return found.get_secret_value() if found else None


def test_a_setting_is_read_from_the_file_that_its_variable_names(file: Path) -> None:
    assert database_url({"PROVISIONERD_DATABASE_URL_FILE": str(file)}) == URL


def test_a_setting_is_read_from_a_credential_of_systemd(tmp_path: Path) -> None:
    (tmp_path / "database_url").write_text(URL)
    assert database_url({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == URL


def test_a_variable_goes_before_a_credential(tmp_path: Path) -> None:
    (tmp_path / "database_url").write_text("postgresql://other")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "PROVISIONERD_DATABASE_URL": URL}
    assert database_url(environment) == URL


def test_an_empty_variable_is_not_set(file: Path) -> None:
    environment = {"PROVISIONERD_DATABASE_URL": "", "PROVISIONERD_DATABASE_URL_FILE": str(file)}
    assert database_url(environment) == URL
    assert find_secret("redis_url", {"PROVISIONERD_REDIS_URL_FILE": ""}) is None


def test_credentials_of_other_programs_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("x")
    assert database_url({"CREDENTIALS_DIRECTORY": str(tmp_path)}) is None
    assert database_url({"CREDENTIALS_DIRECTORY": str(tmp_path / "missing")}) is None


def test_who_enqueues_finds_redis_by_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "redis").write_text("redis://:secret@redis/0\n")
    environment = {"PROVISIONERD_REDIS_URL_FILE": str(tmp_path / "redis")}
    assert find_redis_url(environment) == "redis://:secret@redis/0"


def test_a_secret_that_is_given_twice_is_refused(file: Path) -> None:
    environment = {"PROVISIONERD_DATABASE_URL": URL, "PROVISIONERD_DATABASE_URL_FILE": str(file)}
    with pytest.raises(SettingsError, match="exclude each other"):
        load_settings(environment)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff", "is not text"),
        (b"x" * (MAX_BYTES + 1), "has more than"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    with pytest.raises(SettingsError, match=words) as caught:
        load_settings({"PROVISIONERD_REDIS_URL_FILE": str(tmp_path / "url")})
    assert "PROVISIONERD_REDIS_URL_FILE" in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SecretFileError, match="is not a file"):
        find_secret("redis_url", {"PROVISIONERD_REDIS_URL_FILE": str(tmp_path / "pipe")})


def test_a_setting_that_is_not_secret_has_no_file() -> None:
    with pytest.raises(SettingsError, match="there is no setting PROVISIONERD_CONCURRENCY_FILE"):
        load_settings({"PROVISIONERD_CONCURRENCY_FILE": "/etc/hosts"})


def test_a_credential_that_cannot_be_looked_for_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match="credential redis_url cannot be read"):
        find_secret("redis_url", {"CREDENTIALS_DIRECTORY": str(tmp_path / ("x" * 300))})
