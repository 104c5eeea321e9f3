"""Circuits from the command line."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from db.engine import Database
from db.schema.tables import Template
from tests.harness.factory import Factory
from tests.integration.cli.commandline import CommandLine, refused
from worker.metrics.circuits import CircuitCollector

OPEN = """
    INSERT INTO circuits (template_version_id, reason, failures, openings, opened_at, open_until)
    VALUES (:version_id, 'terraform in plan', 5, 1, now(), now() + :minutes * interval '1 minute')
"""


@pytest.fixture
def template(factory: Factory) -> Template:
    organization = factory.organization(name="acme")
    owner = factory.user(organization=organization, username="alice")
    return factory.template(organization=organization, created_by=owner, name="dev")


def open_circuit(database: Database, template: Template, *, minutes: int = 1) -> None:
    values = {"version_id": template.active_version_id, "minutes": minutes}
    with database.begin() as session:
        session.execute(text(OPEN), values)


@pytest.mark.parametrize(("minutes", "state"), [(1, "open"), (-1, "half-open")])
def test_circuits_are_listed(
    run: CommandLine, database: Database, template: Template, minutes: int, state: str
) -> None:
    open_circuit(database, template, minutes=minutes)
    (row,) = run.json("circuits")
    assert (row["template"], row["version"], row["reason"]) == ("dev", "v1", "terraform in plan")
    assert (row["state"], row["failures"]) == (state, 5)
    assert run("circuits", "-o", "name").stdout == "dev/v1\n"


def test_a_version_that_keeps_failing_says_so(
    run: CommandLine, database: Database, template: Template
) -> None:
    open_circuit(database, template)
    (version,) = run.json("template", "versions", "dev", "--organization", "acme")
    assert version["failing"] == "terraform in plan"
    shown = run("template", "show", "dev", "--organization", "acme").stdout
    assert "Failing: terraform in plan; " in shown


def test_a_circuit_is_closed_and_the_audit_log_says_so(
    run: CommandLine, database: Database, template: Template
) -> None:
    open_circuit(database, template)
    close = ("circuits", "close", "dev", "v1", "--organization", "acme")
    assert run(*close).stdout == "dev/v1 starts again: terraform in plan is forgotten.\n"
    assert run.json("circuits") == []
    assert [entry["action"] for entry in run.json("audit", "list")] == ["close_circuit"]
    refused(run(*close), "no start of dev/v1 has failed since its last success")


def test_open_circuits_are_a_metric(database: Database, template: Template) -> None:
    registry = CollectorRegistry()
    registry.register(CircuitCollector(database))
    open_circuit(database, template)
    labels = {
        "organization": "acme",
        "template": "dev",
        "version": "v1",
        "reason": "terraform in plan",
    }
    assert registry.get_sample_value("provisionerd_circuit_open", labels) == 1
