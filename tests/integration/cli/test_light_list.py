"""What ``jobs list`` does not import, because that would take long. No test measures time."""

from __future__ import annotations

import pytest

from db.engine import Database
from tests.harness.loaded import HEAVY, imported

USED = {"sqlalchemy"}


@pytest.mark.parametrize("noun", ["template", "workspace"])
def test_a_list_imports_nothing_of_the_broker(database: Database, noun: str) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    variables = {"PROVISIONERD_DATABASE_URL": url}
    broker = {"celery", "kombu", "redis"}
    assert imported(noun, "list", among=broker, environment=variables) == set()


def test_a_list_of_jobs_imports_neither_models_nor_the_orm(database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    loaded = imported(
        "jobs",
        "list",
        among={*HEAVY - USED, "sqlalchemy.orm", "worker.settings", "cli.waiting"},
        environment={"PROVISIONERD_DATABASE_URL": url},
    )
    assert loaded == set()
