"""Users in PostgreSQL and Redis that have what ``provisionerd grants`` prints, and nothing else."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import redis
import sqlalchemy
from click.testing import CliRunner

from cli.main import cli
from db.engine import Database
from tests.harness.databases import autocommit

PASSWORD = "secret"


def printed(role: str) -> Any:
    """Return what the command prints for the role."""
    result = CliRunner().invoke(cli, ["grants", "--role", role, "--output", "json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def database_user(database: Database, url: str, role: str, *, without: str = "") -> str:
    """Make the PostgreSQL user of the role, and return the URL by which it connects.

    Args:
        database: as the owner of its tables.
        without: a statement of the printed ones that is not run.
    """
    document = printed(role)
    with autocommit(database) as connection:
        for statement in document["postgresql"]:
            if statement != without:
                connection.exec_driver_sql(statement)
    named = sqlalchemy.make_url(url).set(username=document["user"])
    return named.render_as_string(hide_password=False)


def redis_user(url: str, role: str, *, without: str = "") -> str:
    """Make the Redis user of the role, and return the URL by which it connects.

    Args:
        without: a right that is taken back, such as ``+brpop``.
    """
    document = printed(role)
    words = [word for word in document["redis"].split() if word != without]
    with redis.Redis.from_url(url) as client:
        client.execute_command(*words, f">{PASSWORD}")
    parts = urlsplit(url)
    return f"redis://{document['user']}:{PASSWORD}@{parts.hostname}:{parts.port}{parts.path}"
