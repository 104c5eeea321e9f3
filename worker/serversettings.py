"""The settings about PostgreSQL and Redis: all that most commands need.

They are read without pydantic, whose models of all settings take a quarter of a second to import.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from db.sealing.keyring import NO_KEYS, Keyring, KeysError, read_key_file, read_keys
from worker.broker.address import DEFAULT_DATA_DIR, check_redis_url, with_ca_file
from worker.broker.secretfile import SecretFileError
from worker.process.connections import chore_connections
from worker.settingnames import SETTING_NAMES
from worker.variables import problem_of_names, values_of

NEEDED = (
    "database_url",
    "redis_url",
    "redis_ca_file",
    "data_dir",
    "prepared_statements",
    "encryption_keys",
    "encryption_keys_file",
)
COMMAND_SLOTS = 4  #: a command has connections for as many, like a worker with the default


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where PostgreSQL and Redis are, and how they are used."""

    database_url: str | None  #: None: a server in the data directory
    redis_url: str | None  #: with the file of certificates; None: a server in the data directory
    data_dir: Path
    prepared_statements: bool = True
    keyring: Keyring = NO_KEYS
    connections: int  #: that the pool keeps open


def read_server_settings(environment: Mapping[str, str] | None = None) -> ServerSettings | None:
    """Return the settings about servers.

    None if one is wrong or written in an unusual form, or if there is no setting of a name: the
    models of all settings judge it, and find the words.
    """
    names = os.environ if environment is None else environment
    if problem_of_names(SETTING_NAMES, names):
        return None
    try:
        return _read(values_of(NEEDED, names))
    except (SecretFileError, KeysError, ValueError):
        return None


def _read(given: Mapping[str, str]) -> ServerSettings:
    redis_url = given.get("redis_url")
    if redis_url:
        check_redis_url(redis_url)
    return ServerSettings(
        database_url=given.get("database_url"),
        redis_url=redis_url and with_ca_file(redis_url, given.get("redis_ca_file")),
        data_dir=Path(given.get("data_dir") or DEFAULT_DATA_DIR).expanduser().absolute(),
        prepared_statements=_truth(given.get("prepared_statements", "true")),
        keyring=_keyring(given),
        connections=chore_connections(COMMAND_SLOTS),
    )


def _truth(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(text)
    return text == "true"


def _keyring(given: Mapping[str, str]) -> Keyring:
    keys, path = given.get("encryption_keys"), given.get("encryption_keys_file")
    if keys and path:
        raise KeysError("the keys are given twice")
    if keys:
        return read_keys(keys)
    return read_key_file(path) if path else NO_KEYS
