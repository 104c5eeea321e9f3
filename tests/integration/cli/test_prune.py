"""Pruning from the command line."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from db.engine import Database
from db.jobs.retention import ADVISORY_LOCK
from tests.harness.factory import Factory
from tests.integration.cli.commandline import CommandLine, refused


@pytest.fixture
def superseded(database: Database, factory: Factory) -> None:
    """Two builds of one workspace that ended 100 days ago."""
    workspace = factory.any_workspace()
    for _ in range(2):
        factory.finished_build(workspace)
    with database.begin() as session:
        # A finished job does not change again: a trigger sees to it.
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(
            text("UPDATE provisioner_jobs SET completed_at = completed_at - interval '100 days'")
        )


def jobs(run: CommandLine) -> int:
    return len(run.json("jobs", "list"))


@pytest.mark.usefixtures("superseded")
def test_a_prune_tells_what_it_deleted(run: CommandLine) -> None:
    assert run.json("prune") == {
        "dry_run": False,
        "log_lines": 0,
        "states": 0,
        "jobs": 1,
        "audit_logs": 0,
        "chats": 0,
    }
    assert jobs(run) == 1


@pytest.mark.usefixtures("superseded")
def test_a_dry_run_deletes_nothing(run: CommandLine) -> None:
    result = run("prune", "--dry-run")

    assert result.stdout.startswith("Would be deleted:\n")
    assert jobs(run) == 2


@pytest.mark.usefixtures("superseded")
@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        pytest.param(["--jobs-older-than", "101d"], {}, id="option"),
        pytest.param(["--jobs-older-than", "2424h"], {}, id="hours"),
        pytest.param([], {"retain_jobs_days": "101"}, id="setting"),
    ],
)
def test_a_job_stays_for_as_long_as_was_said(
    run: CommandLine, arguments: list[str], settings: dict[str, str]
) -> None:
    assert run("prune", *arguments, **settings).exit_code == 0

    assert jobs(run) == 2


@pytest.mark.usefixtures("superseded")
def test_a_shorter_age_for_jobs_takes_their_logs_along(run: CommandLine) -> None:
    assert run("prune", "--jobs-older-than", "1d").exit_code == 0

    assert jobs(run) == 1


def test_logs_cannot_outlive_their_jobs(run: CommandLine) -> None:
    refused(run("prune", "--logs-older-than", "91d"), "cannot be kept for longer")


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1w", "1.5d", "999999d", ""])
def test_an_age_is_a_number_of_days_or_hours(run: CommandLine, age: str) -> None:
    result = run("prune", "--logs-older-than", age)

    assert result.exit_code == 2
    assert "is not a number of days or hours, such as 30d or 12h" in result.stderr


def test_a_second_prune_at_the_same_time_is_refused(run: CommandLine, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})

        refused(run("prune"), "another process is pruning now")
