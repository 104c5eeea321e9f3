"""Rows that are inserted as one JSON value."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from db.jobs.rows import insert_rows
from db.schema.enums import TimingStage, Transition
from db.schema.tables import ProvisionerJobTiming, WorkspaceResource
from tests.harness.factory import Factory
from tests.harness.plans import sent_by

NIGHT = datetime(2026, 3, 1, 23, 59, 59, 123456, tzinfo=UTC)


def resource(factory: Factory, **columns: object) -> dict[str, object]:
    job_id = factory.build(factory.any_workspace()).job_id
    return {
        "id": uuid.uuid4(),
        "job_id": job_id,
        "transition": Transition.START,
        "type": "disk",
        "name": "home",
        **columns,
    }


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("transition", Transition.DELETE),
        ("name", """'"\\ \U0001f600 é\n\\u0041"""),
        ("hide", True),
        ("daily_cost", 2**31 - 1),
        ("instance_type", None),
    ],
)
def test_a_value_is_stored_as_it_is(factory: Factory, column: str, value: object) -> None:
    row = resource(factory, **{column: value})
    with factory.database.begin() as session:
        insert_rows(session, WorkspaceResource, [row])
        stored = session.scalars(select(WorkspaceResource)).one()
        assert (stored.id, getattr(stored, column)) == (row["id"], value)


def test_a_time_is_stored_to_the_microsecond(factory: Factory) -> None:
    row: dict[str, Any] = {
        **dict.fromkeys(("source", "action", "resource"), ""),
        "job_id": factory.build(factory.any_workspace()).job_id,
        "stage": TimingStage.PLAN,
        "started_at": NIGHT,
        "ended_at": NIGHT,
    }
    with factory.database.begin() as session:
        insert_rows(session, ProvisionerJobTiming, [row])
        assert session.scalars(select(ProvisionerJobTiming.started_at)).one() == NIGHT


def test_many_rows_are_one_statement(factory: Factory) -> None:
    row = resource(factory)
    rows = [{**row, "id": uuid.uuid4(), "name": f"disk-{number}"} for number in range(20)]
    with factory.database.begin() as session:
        sent = sent_by(session.connection(), lambda: insert_rows(session, WorkspaceResource, rows))
        assert len(sent) == 1
        assert len(session.scalars(select(WorkspaceResource)).all()) == 20


def test_no_rows_are_no_statement(factory: Factory) -> None:
    with factory.database.begin() as session:
        insert_rows(session, WorkspaceResource, [])
        assert session.scalars(select(WorkspaceResource)).all() == []


def test_bytes_are_refused_because_json_has_none(factory: Factory) -> None:
    row = resource(factory, name=b"home")
    with factory.database.begin() as session, pytest.raises(TypeError, match="a bytes"):
        insert_rows(session, WorkspaceResource, [row])
