"""What API readers get of the rows that the daemon writes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from db.engine import Database
from db.errors import InvalidError, NotFoundError
from db.jobs.resources import Resource, ResourceMetadata
from db.jobs.results import BuildResult
from db.jobs.tags import queue_name
from db.jobs.workers import register_worker, sign_off_worker
from db.reads import jobs as job_reads
from db.reads.builds import get_build, get_builds
from db.reads.contract import WorkspaceQuota
from db.reads.jobcontract import as_contract
from db.reads.jobs import get_jobs
from db.reads.logs import get_logs
from db.reads.pages import UNTAGGED, Cursor, JobFilter, list_jobs
from db.reads.timings import get_timings
from db.schema.enums import (
    JobErrorCode,
    JobStatus,
    JobType,
    ProvisionerType,
    TimingStage,
    Transition,
)
from db.schema.roles import PREBUILDS_USER_ID
from db.schema.tables import Organization, User, Workspace
from quota.details import get_workspace_quota
from tests.harness.factory import WORKER_ID, Factory, timing

MOMENT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
GPU = {"gpu": "a100"}


def get_job(database: Database, job_id: uuid.UUID) -> Any:
    with database.begin() as session:
        return as_contract(job_reads.get_job(session, job_id))


def get_build_of(database: Database, workspace: Workspace) -> Any:
    with database.begin() as session:
        return get_builds(session, workspace.id)[0]


def list_ids(database: Database, organization_id: uuid.UUID, **filters: Any) -> list[uuid.UUID]:
    with database.begin() as session:
        page = list_jobs(session, JobFilter(organization_id=organization_id, **filters))
        return [job.id for job in page.jobs]


def walk(
    database: Database, organization_id: uuid.UUID, *, limit: int, **filters: Any
) -> Iterator[list[Any]]:
    """The ids of each page, to the last."""
    wanted = JobFilter(organization_id=organization_id, **filters)
    after = None
    while True:
        with database.begin() as session:
            page = list_jobs(session, wanted, limit=limit, after=after)
        yield [job.id for job in page.jobs]
        after = page.after
        if after is None:
            return


def worker(database: Database, name: str, tags: dict[str, str] | None = None) -> uuid.UUID:
    with database.begin() as session:
        return register_worker(
            session,
            name=name,
            tags=tags or {},
            provisioners=[ProvisionerType.ECHO],
            concurrency=1,
            version="",
            hostname="",
        )


# --- one job


def test_a_pending_job_shows_what_it_waits_for(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace(name="machine")
    build = factory.build(workspace)

    job = get_job(database, build.job_id)

    assert job.status is JobStatus.PENDING
    assert job.input.workspace_build_id == build.build_id
    assert (job.metadata.template_name, job.metadata.workspace_id) == ("machine", workspace.id)
    assert job.metadata.workspace_name == workspace.name
    assert job.started_at is None


def test_the_import_of_a_template_names_its_version(database: Database, factory: Factory) -> None:
    organization = factory.organization()
    owner = factory.user(organization=organization)
    template = factory.template(organization=organization, created_by=owner, name="machine")

    with database.begin() as session:
        [found] = list_jobs(session, JobFilter(organization_id=organization.id)).jobs
    job = as_contract(found)

    assert job.type is JobType.TEMPLATE_VERSION_IMPORT
    assert job.input.template_version_id == template.active_version_id
    assert (job.metadata.template_id, job.metadata.template_name) == (template.id, "machine")
    assert job.metadata.template_version_name


def test_a_failure_refused_by_quota_shows_its_code(database: Database, factory: Factory) -> None:
    failed = factory.finished_build(
        status=JobStatus.FAILED,
        error="insufficient quota",
        error_code=JobErrorCode.INSUFFICIENT_QUOTA,
    )

    job = get_job(database, failed.id)

    assert (job.status, job.error, job.error_code) == (
        "failed",
        "insufficient quota",
        "INSUFFICIENT_QUOTA",
    )


def test_a_failure_without_a_code_has_no_such_key(database: Database, factory: Factory) -> None:
    failed = factory.finished_build(status=JobStatus.FAILED, error="insufficient quota in us-east1")

    assert "error_code" not in get_job(database, failed.id).model_dump()


def test_a_claimed_job_names_its_worker(database: Database, factory: Factory) -> None:
    worker_id = worker(database, "first")
    build = factory.build(factory.any_workspace())
    factory.claim(worker_id=worker_id)

    job = get_job(database, build.job_id)

    assert (job.worker_id, job.worker_name) == (worker_id, "first")


def test_a_job_of_a_forgotten_worker_keeps_its_id(database: Database, factory: Factory) -> None:
    running = factory.running_build()

    job = get_job(database, running.id)

    assert (job.worker_id, job.worker_name) == (WORKER_ID, None)


def test_a_job_that_does_not_exist_is_not_found(database: Database) -> None:
    with pytest.raises(NotFoundError, match="there is no job"):
        get_job(database, uuid.uuid4())


# --- queue position and workers


def test_queue_positions_follow_the_order_of_claims(database: Database, factory: Factory) -> None:
    with database.begin() as session:
        session.add(User(id=PREBUILDS_USER_ID, username="prebuilds"))
    organization = factory.organization()
    first, second = (factory.user(organization=organization) for _ in range(2))
    template = factory.template(organization=organization, created_by=first)
    owners = [first, first, second]
    prebuild = factory.build(
        factory.workspace(owner=second, template=template), initiator_id=PREBUILDS_USER_ID
    )
    builds = [factory.build(factory.workspace(owner=o, template=template)) for o in owners]

    with database.begin() as session:
        jobs = get_jobs(session, [b.job_id for b in [*builds, prebuild]])
    position = {job.id: job.queue_position for job in jobs}
    claimed = [factory.claim() for _ in jobs]

    assert sorted(position, key=position.__getitem__) == [job.id for job in claimed if job]
    assert sorted(position.values()) == [1, 2, 3, 4]


def test_the_queue_size_counts_only_the_queue_of_the_job(
    database: Database, factory: Factory
) -> None:
    factory.build(factory.any_workspace())
    tagged = [factory.build(factory.any_workspace(tags=GPU)) for _ in range(2)]

    job = get_job(database, tagged[1].job_id)

    assert (job.queue_position, job.queue_size) == (2, 2)


def test_a_job_that_does_not_wait_has_no_place_in_the_queue(
    database: Database, factory: Factory
) -> None:
    running = factory.running_build()
    factory.build(factory.any_workspace())

    job = get_job(database, running.id)

    assert (job.queue_position, job.queue_size) == (0, 0)


def test_a_place_behind_the_limit_of_counting_is_the_limit(
    database: Database, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_reads, "QUEUE_COUNT_LIMIT", 2)
    builds = [factory.build(factory.any_workspace()) for _ in range(4)]

    with database.begin() as session:
        jobs = get_jobs(session, [build.job_id for build in builds])

    assert [(job.queue_position, job.queue_size) for job in jobs] == [(1, 2), *[(2, 2)] * 3]


def test_available_workers_are_those_that_may_claim_the_job(
    database: Database, factory: Factory
) -> None:
    able = worker(database, "able", GPU)
    worker(database, "untagged")
    with database.begin() as session:
        sign_off_worker(session, worker_id=worker(database, "gone", GPU))
    build = factory.build(factory.any_workspace(tags=GPU))

    assert get_job(database, build.job_id).available_workers == [able]


@pytest.mark.parametrize(
    "change",
    ["draining = true", "last_seen_at = now() - interval '1 hour'", "provisioners = '{terraform}'"],
)
def test_a_worker_that_cannot_claim_is_not_available(
    database: Database, factory: Factory, change: str
) -> None:
    worker(database, "first")
    with database.begin() as session:
        session.execute(text(f"UPDATE provisioner_daemons SET {change}"))
    build = factory.build(factory.any_workspace())

    assert get_job(database, build.job_id).available_workers is None


# --- pages of jobs


@pytest.fixture
def organization(database: Database, factory: Factory) -> Organization:
    """An organization with jobs of every status, two tag sets and two types, some at one moment."""
    organization = factory.organization()
    owner = factory.user(organization=organization)
    plain = factory.template(organization=organization, created_by=owner)
    tagged = factory.template(organization=organization, created_by=owner, tags=GPU)
    for template in (plain, tagged):
        for status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED):
            workspace = factory.workspace(owner=owner, template=template)
            factory.finished_build(workspace, status=status)
        factory.running_build(factory.workspace(owner=owner, template=template))
        factory.build(factory.workspace(owner=owner, template=template))
    with database.begin() as session:
        session.execute(
            text("""
                UPDATE provisioner_jobs
                SET created_at = date_trunc('minute', created_at)
                WHERE completed_at IS NULL
            """)
        )
    factory.finished_build()
    return organization


def expected_ids(database: Database, organization: Organization, condition: str) -> list[uuid.UUID]:
    """What a plain scan of the table says."""
    with database.begin() as session:
        rows = session.execute(
            text(f"""
                SELECT id FROM provisioner_jobs
                WHERE organization_id = :id AND {condition}
                ORDER BY created_at DESC, id DESC
            """),
            {"id": organization.id},
        )
        return list(rows.scalars())


FILTERS = [
    pytest.param({}, "true", id="none"),
    pytest.param({"statuses": [JobStatus.FAILED]}, "job_status = 'failed'", id="status"),
    pytest.param(
        {"statuses": [JobStatus.PENDING, JobStatus.RUNNING]},
        "job_status IN ('pending', 'running')",
        id="statuses",
    ),
    pytest.param(
        {"statuses": [JobStatus.FAILED, JobStatus.FAILED]}, "job_status = 'failed'", id="twice"
    ),
    pytest.param(
        {"types": [JobType.TEMPLATE_VERSION_IMPORT]}, "type = 'template_version_import'", id="type"
    ),
    pytest.param({"tags": GPU}, """tags @> '{"gpu": "a100"}'""", id="tags"),
    pytest.param({"tags": {"scope": "organization"}}, "true", id="tag of all"),
    pytest.param({"tags": {"gpu": "h100"}}, "false", id="tag of none"),
    pytest.param(
        {
            "statuses": [JobStatus.SUCCEEDED],
            "types": [JobType.WORKSPACE_BUILD],
            "tags": GPU,
        },
        """job_status = 'succeeded' AND type = 'workspace_build' AND tags @> '{"gpu": "a100"}'""",
        id="all of them",
    ),
    pytest.param({"queue": queue_name(GPU)}, f"queue = '{queue_name(GPU)}'", id="queue"),
    pytest.param({"queue": "builds", "tags": GPU}, "false", id="queue of other tags"),
    pytest.param({"error_code": UNTAGGED}, "error <> '' AND error_code IS NULL", id="untagged"),
    pytest.param({"error_code": "INSUFFICIENT_QUOTA"}, "false", id="code of none"),
    pytest.param({"owner_id": uuid.UUID(int=0)}, "false", id="owner of none"),
    pytest.param({"workspace_name": "none-such"}, "false", id="workspace of none"),
]


@pytest.mark.parametrize(("filters", "condition"), FILTERS)
def test_a_filter_gives_what_a_scan_would_newest_first(
    database: Database, organization: Organization, filters: dict[str, Any], condition: str
) -> None:
    expected = expected_ids(database, organization, condition)

    assert list_ids(database, organization.id, **filters) == expected


@pytest.mark.parametrize(("filters", "condition"), FILTERS)
def test_pages_of_one_put_together_are_the_whole(
    database: Database, organization: Organization, filters: dict[str, Any], condition: str
) -> None:
    pages = list(walk(database, organization.id, limit=1, **filters))

    assert [job_id for page in pages for job_id in page] == expected_ids(
        database, organization, condition
    )


def test_a_page_that_is_just_full_has_no_page_after_it(
    database: Database, organization: Organization
) -> None:
    count = len(expected_ids(database, organization, "true"))

    with database.begin() as session:
        page = list_jobs(session, JobFilter(organization_id=organization.id), limit=count)

    assert (len(page.jobs), page.after) == (count, None)


def test_jobs_enqueued_while_paging_shift_nothing(
    database: Database, factory: Factory, organization: Organization
) -> None:
    before = expected_ids(database, organization, "true")
    pages = walk(database, organization.id, limit=3)
    seen = next(pages)
    owner = factory.user(organization=organization)
    factory.template(organization=organization, created_by=owner)

    seen.extend(job_id for page in pages for job_id in page)

    assert seen == before


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_limit_out_of_range_is_refused(database: Database, limit: int) -> None:
    with database.begin() as session, pytest.raises(InvalidError, match="from 1 to 10000"):
        list_jobs(session, JobFilter(), limit=limit)


@pytest.mark.parametrize("after", ["x", "1", "1.x", f"{'9' * 40}.{uuid.UUID(int=7).hex}"])
def test_a_cursor_that_was_not_given_out_is_refused(after: str) -> None:
    with pytest.raises(InvalidError, match="begin with the first page"):
        Cursor.parse(after)


def test_a_cursor_is_read_as_it_was_written() -> None:
    cursor = Cursor(created_at=MOMENT.replace(microsecond=123_457), id=uuid.uuid4())

    assert Cursor.parse(str(cursor)) == cursor


def test_jobs_of_all_organizations_are_listed_together(
    database: Database, organization: Organization
) -> None:
    with database.begin() as session:
        everything = session.execute(
            text("SELECT id FROM provisioner_jobs ORDER BY created_at DESC, id DESC")
        ).scalars()
        listed = list_jobs(session, JobFilter()).jobs

        assert [job.id for job in listed] == list(everything)
        assert {job.organization_id for job in listed} > {organization.id}


def test_an_organization_without_jobs_has_an_empty_page(database: Database) -> None:
    assert list_ids(database, uuid.uuid4(), tags=GPU) == []


# --- logs and timings


def test_logs_come_in_their_order_and_go_on_after_an_id(
    database: Database, factory: Factory
) -> None:
    job = factory.running_build()
    factory.write_lines(job, "one", "two", "three")
    factory.write_lines(factory.running_build(), "of another job")

    with database.begin() as session:
        first = get_logs(session, job.id, limit=2)
        rest = get_logs(session, job.id, after=first[-1].id)

    assert [line.output for line in first] == ["one", "two"]
    assert [line.output for line in rest] == ["three"]


def test_a_log_line_has_the_fields_of_the_api(database: Database, factory: Factory) -> None:
    job = factory.running_build()
    factory.write_lines(job, "one", stage="Planning Infrastructure", created_at=MOMENT)

    with database.begin() as session:
        [line] = get_logs(session, job.id)

    assert line.model_dump(mode="json") == {
        "id": line.id,
        "created_at": "2026-02-03T04:05:06Z",
        "log_source": "provisioner",
        "log_level": "info",
        "stage": "Planning Infrastructure",
        "output": "one",
    }


def test_timings_are_those_of_the_job_by_their_start(database: Database, factory: Factory) -> None:
    timings = [
        timing(stage, started_at=MOMENT + timedelta(seconds=seconds), seconds=1)
        for stage, seconds in ((TimingStage.APPLY, 5), (TimingStage.INIT, 0))
    ]
    job = factory.finished_build(result=BuildResult(timings=timings))
    factory.finished_build(result=BuildResult(timings=timings))

    with database.begin() as session:
        found = get_timings(session, job.id).provisioner_timings

    assert [(timing.job_id, timing.stage) for timing in found] == [
        (job.id, "init"),
        (job.id, "apply"),
    ]


# --- builds


def test_a_build_shows_the_resources_that_it_left(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    resource = Resource(
        type="aws_instance",
        name="dev",
        daily_cost=7,
        metadata=(
            ResourceMetadata(key="region", value="eu"),
            ResourceMetadata(key="password", value="x", sensitive=True),
        ),
    )
    plain = Resource(type="aws_volume", name="home")
    factory.finished_build(workspace, result=BuildResult(resources=[resource, plain]))

    [instance, volume] = get_build_of(database, workspace).model_dump(mode="json")["resources"]

    assert (instance["type"], instance["name"], instance["daily_cost"]) == (
        "aws_instance",
        "dev",
        7,
    )
    assert instance["workspace_transition"] == "start"
    assert instance["metadata"] == [
        {"key": "region", "value": "eu", "sensitive": False},
        {"key": "password", "value": "x", "sensitive": True},
    ]
    assert "metadata" not in volume


def test_a_build_has_names_and_no_deadline_of_zero(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    build = factory.build(workspace)

    shown = get_build_of(database, workspace).model_dump(mode="json")

    assert shown["id"] == str(build.build_id)
    assert shown["workspace_name"] == workspace.name
    assert shown["workspace_owner_name"] == shown["initiator_name"]
    assert shown["job"]["id"] == str(build.job_id)
    assert not {"deadline", "max_deadline", "workspace_owner_avatar_url"} & set(shown)


def test_a_deadline_that_was_set_is_shown(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    factory.build(workspace)
    with database.begin() as session:
        session.execute(
            text("UPDATE workspace_builds SET deadline = :deadline"), {"deadline": MOMENT}
        )

    shown = get_build_of(database, workspace).model_dump(mode="json")

    assert shown["deadline"] == "2026-02-03T04:05:06Z"


@pytest.mark.parametrize(
    ("transition", "status", "expected"),
    [
        (Transition.START, JobStatus.SUCCEEDED, "running"),
        (Transition.STOP, JobStatus.SUCCEEDED, "stopped"),
        (Transition.DELETE, JobStatus.SUCCEEDED, "deleted"),
        (Transition.START, JobStatus.FAILED, "failed"),
        (Transition.STOP, JobStatus.CANCELED, "canceled"),
    ],
)
def test_the_status_of_a_build_follows_from_its_job(
    database: Database, factory: Factory, transition: Transition, status: JobStatus, expected: str
) -> None:
    workspace = factory.any_workspace()
    factory.finished_build(workspace, transition, status=status)

    assert get_build_of(database, workspace).status == expected


def test_builds_come_newest_first_a_page_at_a_time(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    for _ in range(5):
        factory.finished_build(workspace)
    factory.finished_build()

    with database.begin() as session:
        first = get_builds(session, workspace.id, limit=3)
        rest = get_builds(session, workspace.id, before=first[-1].build_number)

    assert [build.build_number for build in (*first, *rest)] == [5, 4, 3, 2, 1]


def test_one_build_is_the_same_as_in_the_list(database: Database, factory: Factory) -> None:
    workspace = factory.any_workspace()
    build = factory.build(workspace)

    with database.begin() as session:
        found = get_build(session, build.build_id)

    assert found == get_build_of(database, workspace)


def test_a_build_that_does_not_exist_is_not_found(database: Database) -> None:
    with database.begin() as session, pytest.raises(NotFoundError, match="no workspace build"):
        get_build(session, uuid.uuid4())


# --- quota


def test_a_quota_is_what_a_member_takes_of_what_the_groups_give(
    database: Database, factory: Factory
) -> None:
    workspace = factory.any_workspace(allowance=10)
    build = factory.build(workspace)
    with database.begin() as session:
        session.execute(
            text("UPDATE workspace_builds SET daily_cost = 4 WHERE id = :id"),
            {"id": build.build_id},
        )

    with database.begin() as session:
        quota = get_workspace_quota(
            session, organization_id=workspace.organization_id, user_id=workspace.owner_id
        )

    assert quota == WorkspaceQuota(credits_consumed=4, budget=10)
