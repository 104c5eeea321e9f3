"""Concurrent quota commits, against Coder's SERIALIZABLE transaction."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bench.measure import Result, growth, in_turns, pair, timed
from bench.rows import analyze, fill_jobs
from bench.services import BENCH_DEADLINE_S, Services
from db.catalog.builds import insert_build
from db.catalog.workspaces import create_workspace
from db.schema.enums import Transition
from quota.commit import commit_quota
from quota.usage import ALLOWANCE
from tests.harness.threads import run_together

THREADS = 32
COMMITS = 8  # by each thread
GROWTH_COMMITS = 300
# Coder's sum: over all builds of the owner's workspaces.
REFERENCE_CONSUMPTION = """
    SELECT coalesce(sum(daily_cost), 0)::bigint FROM (
        SELECT DISTINCT ON (build.workspace_id) build.daily_cost
        FROM workspace_builds AS build
        JOIN workspaces ON workspaces.id = build.workspace_id
        WHERE NOT workspaces.deleted AND workspaces.owner_id = :owner_id
          AND workspaces.organization_id = :organization_id
        ORDER BY build.workspace_id, build.build_number DESC
    ) AS latest
"""


def run(services: Services, rounds: int = 3) -> list[Result]:
    results = []
    for owners, name, reach, aim in ((1, "one owner", ">= 5", ">= 20"), (32, "32 owners", "", "")):
        scene = _Scene(services, owners)
        failures = {"ours": 0, "theirs": 0}

        def ours(scene: _Scene = scene, failures: dict[str, int] = failures) -> float:
            rate, failed = scene.commit(scene.ours)
            failures["ours"] += failed
            return rate

        def theirs(scene: _Scene = scene, failures: dict[str, int] = failures) -> float:
            rate, failed = scene.commit(scene.theirs)
            failures["theirs"] += failed
            return rate

        commits = pair(ours, theirs, rounds=rounds)
        results.append(
            commits.result(
                "quota",
                f"commits that were answered, 32 threads on {name}, against SERIALIZABLE",
                unit="1/s",
                reach=reach,
                aim=aim,
                note=f"spurious failures: ours {failures['ours']},"
                f" theirs {failures['theirs']} of {THREADS * COMMITS * rounds}",
            )
        )
    results.append(_overspend(services))
    results.append(_growth(services))
    return results


class _Scene:
    """Running builds that may commit repeatedly: a second commit of a build is not charged again."""

    def __init__(self, services: Services, owners: int, allowance: int = 10_000) -> None:
        self.services = services
        factory = services.factory
        organization = factory.organization(everyone_allowance=allowance)
        self.organization_id = organization.id
        self.people = [factory.user(organization=organization) for _ in range(owners)]
        template = factory.template(organization=organization, created_by=self.people[0])
        self.builds = []
        for index in range(THREADS):
            owner = self.people[index % owners]
            with services.database.begin() as session:
                workspace = create_workspace(
                    session, owner=owner, template=template, name=f"w{index}"
                )
                insert_build(session, workspace_id=workspace.id, transition=Transition.START)
            job = factory.claim(lease=timedelta(hours=1))
            assert job is not None
            self.builds.append((job, owner.id))

    def ours(self, index: int) -> bool:
        job, _owner = self.builds[index]
        return commit_quota(
            self.services.database, job_id=job.id, lease_token=job.lease.token, daily_cost=1
        ).ok

    def theirs(self, index: int) -> bool:
        job, owner_id = self.builds[index]
        scope = {"owner_id": owner_id, "organization_id": self.organization_id}
        last: DBAPIError | None = None
        for _ in range(3):
            try:
                with (
                    self.services.database.engine.connect().execution_options(
                        isolation_level="SERIALIZABLE"
                    ) as connection,
                    connection.begin(),
                ):
                    consumed = connection.execute(text(REFERENCE_CONSUMPTION), scope).scalar_one()
                    budget = connection.execute(text(ALLOWANCE), scope).scalar_one()
                    if consumed + 1 > budget:
                        return False
                    connection.execute(
                        text("UPDATE workspace_builds SET daily_cost = 1 WHERE job_id = :id"),
                        {"id": job.id},
                    )
                    return True
            except DBAPIError as error:
                last = error
        assert last is not None
        raise last

    def commit(self, action: Callable[[int], bool]) -> tuple[float, int]:
        """Return answered commits per second, and how many failed without an answer."""
        failed = [0] * THREADS

        def repeat(index: int) -> None:
            for _ in range(COMMITS):
                try:
                    action(index)
                except (DBAPIError, psycopg.Error):
                    failed[index] += 1

        started = time.perf_counter()
        run_together(
            [functools.partial(repeat, index) for index in range(THREADS)],
            within_s=BENCH_DEADLINE_S,
        )
        answered = THREADS * COMMITS - sum(failed)
        return answered / (time.perf_counter() - started), sum(failed)


def _overspend(services: Services) -> Result:
    scene = _Scene(services, 1, allowance=10)
    scene.commit(scene.ours)
    with services.database.begin() as session:
        charged = session.execute(
            text("""
                SELECT sum(daily_cost) FROM workspace_builds
                JOIN workspaces ON workspaces.id = workspace_id WHERE owner_id = :id
            """),
            {"id": scene.people[0].id},
        ).scalar_one()
    return Result(
        bench="quota",
        what="charged of a budget of 10 by 32 threads that each want 1",
        unit="credits",
        ours=charged,
        reach="<= 10",
        aim="<= 10",
    )


def _growth(services: Services) -> Result:
    with services.with_empty_database() as small:
        few, many = _Scene(small, 1), _Scene(services, 1)
        factory = services.factory
        other = factory.organization()
        noise = factory.user(organization=other)
        template = factory.template(organization=other, created_by=noise)
        # Many owners: if one owner had all builds, PostgreSQL would plan each commit again.
        fill_jobs(services, 1_000_000, owner=noise, template=template, pending=False, of_each=10)
        analyze(small)
        analyze(services)
        at_few, at_many = in_turns(_commits(few), _commits(many), calls=GROWTH_COMMITS)
    return growth(
        "quota",
        "p50 of a commit at 1M builds in the table, against one with 32, in turns",
        few_s=at_few,
        many_s=at_many,
        rounds=GROWTH_COMMITS,
    )


def _commits(scene: _Scene) -> Callable[[], float]:
    """Return a function that times a commit, of each build in turn."""
    indexes = itertools.cycle(range(THREADS))
    return lambda: timed(lambda: scene.ours(next(indexes)))
