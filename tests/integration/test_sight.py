"""What a reader sees: rows of some organizations, and those that are its own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import pytest

from db.engine import Database
from db.errors import NotFoundError
from db.reads.jobs import find_job_id
from db.reads.pages import JobFilter, list_seen_jobs
from db.reads.people import list_users
from db.reads.sight import EVERYTHING, Sight
from db.reads.workspaces import list_workspaces
from db.schema.enums import JobType
from db.schema.tables import Organization, User
from tests.harness.factory import Factory

BUILDS = JobFilter(types=[JobType.WORKSPACE_BUILD])


@pytest.fixture
def homes(factory: Factory) -> Mapping[str, Organization]:
    return {name: factory.organization(name=name) for name in ("acme", "elsewhere")}


@pytest.fixture
def people(factory: Factory, homes: Mapping[str, Organization]) -> Mapping[str, User]:
    """Two members of each organization."""
    return {
        f"{name}-{home.name}": factory.user(organization=home, username=f"{name}-{home.name}")
        for home in homes.values()
        for name in ("ann", "ben")
    }


@pytest.fixture
def jobs(
    factory: Factory, homes: Mapping[str, Organization], people: Mapping[str, User]
) -> Mapping[uuid.UUID, str]:
    """Two builds of each member, in turns; by id, with their owners."""
    templates = {
        name: factory.template(organization=homes[name.partition("-")[2]], created_by=user)
        for name, user in people.items()
    }
    boxes = [
        (name, factory.workspace(owner=people[name], template=templates[name]))
        for name in [*people, *list(people)[::-1]]
    ]
    return {factory.build(box).job_id: name for name, box in boxes}


@pytest.fixture
def sights(
    homes: Mapping[str, Organization], people: Mapping[str, User]
) -> Mapping[Sight, set[str]]:
    """Sights, and the members of which each sees everything."""
    acme, ann = homes["acme"].id, people["ann-elsewhere"].id
    return {
        EVERYTHING: set(people),
        Sight(organizations=(), user_id=ann): {"ann-elsewhere"},
        Sight(organizations=(acme,)): {"ann-acme", "ben-acme"},
        Sight(organizations=(acme,), user_id=ann): {"ann-acme", "ben-acme", "ann-elsewhere"},
        Sight(organizations=(acme,), user_id=people["ben-acme"].id): {"ann-acme", "ben-acme"},
        Sight(organizations=()): set(),
    }


def test_a_reader_lists_the_jobs_that_it_sees_newest_first_in_pages(
    database: Database, sights: Mapping[Sight, set[str]], jobs: Mapping[uuid.UUID, str]
) -> None:
    newest_first = list(jobs)[::-1]
    with database.begin() as session:
        for sight, owners in sights.items():
            expected = [id_ for id_ in newest_first if jobs[id_] in owners]
            for limit in (1, 3, 100):
                found = list_seen_jobs(session, BUILDS, sight, limit=limit)
                assert [job.id for job in found] == expected[:limit], sight


def test_a_reader_filters_the_jobs_that_it_sees_by_their_owner(
    database: Database,
    sights: Mapping[Sight, set[str]],
    people: Mapping[str, User],
    jobs: Mapping[uuid.UUID, str],
) -> None:
    with database.begin() as session:
        for sight, owners in sights.items():
            for name, user in people.items():
                wanted = JobFilter(owner_id=user.id)
                found = list_seen_jobs(session, wanted, sight, limit=100)
                assert {jobs[job.id] for job in found} == owners & {name}, (sight, name)


def test_a_job_is_found_by_its_prefix_if_it_is_seen(
    database: Database, sights: Mapping[Sight, set[str]], jobs: Mapping[uuid.UUID, str]
) -> None:
    with database.begin() as session:
        for sight, owners in sights.items():
            for id_, owner in jobs.items():
                if owner in owners:
                    assert find_job_id(session, str(id_), sight=sight) == id_
                    continue
                with pytest.raises(NotFoundError, match="there is no job"):
                    find_job_id(session, str(id_), sight=sight)


@pytest.mark.usefixtures("jobs")
def test_a_reader_lists_the_workspaces_and_users_that_it_sees(
    database: Database, sights: Mapping[Sight, set[str]], people: Mapping[str, User]
) -> None:
    with database.begin() as session:
        for sight, owners in sights.items():
            found = list_workspaces(session, sight=sight)
            assert {row.owner_name for row in found} == owners, sight
            users = list_users(session, sight=sight)
            assert {row.username for row in users} & set(people) == owners, sight
