from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text

from db.catalog.templates import Push, get_template, push_template
from db.catalog.versions import get_usable_version
from db.errors import ConflictError, InvalidError, NotFoundError
from db.jobs.archives import store_file
from db.jobs.tags import queue_name
from db.jobs.variables import VariableValue
from db.schema.enums import ProvisionerType
from db.schema.tables import File, Organization, ProvisionerJob, Template, TemplateVersion, User
from tests.harness.factory import Factory, echo_archive

DEADLINE_S = 30
Place = tuple[Organization, User]


@pytest.fixture
def place(factory: Factory) -> Place:
    organization = factory.organization()
    return organization, factory.user(organization=organization)


def push(factory: Factory, place: Place, name: str = "images", **facts: Any) -> Template:
    return factory.template(organization=place[0], created_by=place[1], name=name, **facts)


def version_names(factory: Factory) -> list[str]:
    with factory.database.begin() as session:
        return list(session.scalars(select(TemplateVersion.name).order_by(TemplateVersion.name)))


def test_the_first_push_makes_the_template_and_later_ones_its_versions(
    factory: Factory, place: Place
) -> None:
    pushed = [push(factory, place, name).id for name in ("images", "Images")]
    assert pushed[0] == pushed[1]
    assert version_names(factory) == ["v1", "v2"]


def test_the_newest_version_is_active(factory: Factory, place: Place) -> None:
    push(factory, place)
    template = push(factory, place)
    with factory.database.begin() as session:
        assert get_usable_version(session, template).name == "v2"


def test_pushes_at_once_take_turns(factory: Factory, place: Place) -> None:
    barrier = threading.Barrier(4)

    def pusher(_number: int) -> None:
        barrier.wait(DEADLINE_S)
        push(factory, place)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(pusher, range(4), timeout=DEADLINE_S))
    assert version_names(factory) == ["v1", "v2", "v3", "v4"]


def test_one_content_is_stored_once(factory: Factory, place: Place) -> None:
    with factory.database.begin() as session:
        ids = {store_file(session, data=b"x", created_by=place[1].id) for _ in range(2)}
        ids.add(store_file(session, data=b"y", created_by=place[1].id))
        ids.add(store_file(session, data=b"x", created_by=uuid.uuid4()))
        assert len(ids) == 3
        assert session.scalars(select(File.data).order_by(File.data)).all() == [b"x", b"x", b"y"]


def test_the_import_job_has_the_tags(factory: Factory, place: Place) -> None:
    push(factory, place, tags={"gpu": "yes"})
    with factory.database.begin() as session:
        job = session.scalars(select(ProvisionerJob)).one()
    assert job.queue == queue_name({"gpu": "yes"})


def test_variables_are_stored_with_their_values(factory: Factory, place: Place) -> None:
    push(
        factory,
        place,
        variables=[
            VariableValue(name="empty", value=""),
            VariableValue(name="none", value=None, required=False),
            VariableValue(name="secret", value="s", sensitive=True),
        ],
    )
    with factory.database.begin() as session:
        rows = session.execute(
            text("SELECT name, value, sensitive FROM template_version_variables ORDER BY name")
        ).all()
    assert [tuple(row) for row in rows] == [
        ("empty", "", False),
        ("none", None, False),
        ("secret", "s", True),
    ]


def test_a_template_stays_with_its_engine(factory: Factory, place: Place) -> None:
    push(factory, place)
    with pytest.raises(ConflictError, match="template 'images' is run by the echo engine"):
        push(factory, place, provisioner=ProvisionerType.TERRAFORM)


@pytest.mark.parametrize("facts", [{"name": "a b"}, {"tags": {"": "x"}}], ids=["name", "tags"])
def test_a_push_that_is_not_allowed_stores_nothing(
    factory: Factory, place: Place, facts: Any
) -> None:
    wanted = Push(organization=place[0], name="x", archive=b"", created_by=place[1])
    with factory.database.begin() as session, pytest.raises(InvalidError):
        push_template(session, replace(wanted, **facts))
    assert version_names(factory) == []


def test_a_template_is_found_by_name_in_its_organization(factory: Factory, place: Place) -> None:
    push(factory, place)
    elsewhere = factory.organization()
    with factory.database.begin() as session:
        assert get_template(session, name="IMAGES", organization=place[0]).name == "images"
        with pytest.raises(NotFoundError, match="`provisionerd template push DIR --name images`"):
            get_template(session, name="images", organization=elsewhere)


def test_a_version_of_another_template_is_refused(factory: Factory, place: Place) -> None:
    one, two = push(factory, place, "one"), push(factory, place, "two")
    with factory.database.begin() as session, pytest.raises(ConflictError, match="doesn't match"):
        get_usable_version(session, one, two.active_version_id)


def test_a_version_that_is_not_there_is_not_found(factory: Factory, place: Place) -> None:
    template = push(factory, place)
    with factory.database.begin() as session, pytest.raises(NotFoundError):
        get_usable_version(session, template, uuid.uuid4())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("started_at = NULL, completed_at = NULL", "is pending. Wait for it to complete"),
        ("error = 'it broke'", 'has failed to import: "it broke". You cannot build'),
        ("canceled_at = now()", 'has failed to import: ""'),
    ],
    ids=["pending", "failed", "canceled"],
)
def test_a_version_whose_import_has_not_succeeded_is_refused(
    factory: Factory, place: Place, change: str, words: str
) -> None:
    template = push(factory, place, archive=echo_archive())
    with factory.database.begin() as session:
        # Nobody may change a finished job; the import of this template was never finished so.
        session.execute(text("SET LOCAL session_replication_role = replica"))
        session.execute(text(f"UPDATE provisioner_jobs SET {change}"))
    with factory.database.begin() as session, pytest.raises(ConflictError) as refused:
        get_usable_version(session, template)
    assert words in str(refused.value)
