"""The HTTP API: its reads against the same query in a bare ASGI application, and its streams."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from api.app import make_app
from api.site import Site
from api.streams.hub import Hub
from bench.measure import Pair, Result
from bench.rows import analyze, fill_jobs
from bench.services import Services
from db.catalog.people import set_site_roles
from db.catalog.tokens import create_token
from db.jobs.transitions import ClaimedJob
from db.reads.jobcontract import as_contract
from db.reads.jobs import get_job
from db.reads.pages import JobFilter, list_jobs
from db.schema.tables import Organization, User

REQUESTS = 200
AT_ONCE = 8
JOBS, FOLLOWERS, BATCHES = 50, 500, 10


def run(services: Services, rounds: int = 5) -> list[Result]:
    return asyncio.run(_run(services, rounds))


async def _run(services: Services, rounds: int) -> list[Result]:
    factory = services.factory
    organization = factory.organization(name="bench")
    owner = factory.user(organization=organization)
    with services.database.begin() as session:
        set_site_roles(session, session.get_one(User, owner.id), ["owner"])
        token = create_token(session, user_id=owner.id).text
    template = factory.template(organization=organization, created_by=owner)
    fill_jobs(services, 10_000, owner=owner, template=template, pending=False)
    analyze(services)
    site = Site(
        database=services.database, redis_url=services.redis_url, hub=Hub(services.database)
    )
    headers = {"Coder-Session-Token": token}
    with services.database.begin() as session:
        wanted = JobFilter(organization_id=organization.id)
        job_id = list_jobs(session, wanted, limit=1).jobs[0].id
    path = f"/api/v2/organizations/{organization.id}/provisionerjobs"
    ours = httpx.AsyncClient(transport=httpx.ASGITransport(make_app(site)), base_url="http://x")
    theirs = httpx.AsyncClient(
        transport=httpx.ASGITransport(_bare(services, organization)), base_url="http://x"
    )
    results = []
    async with ours, theirs:
        for what, mine, other in (
            ("a job by id", f"{path}/{job_id}", f"/job/{job_id}"),
            ("the newest 50 jobs", f"{path}?limit=50", "/jobs"),
        ):
            pair = await _pairs(
                partial(_rate, ours, mine, headers),
                partial(_rate, theirs, other, {}),
                rounds,
            )
            note = "with the token looked up; theirs: the query in a bare ASGI application"
            results.append(pair.result("api", what, unit="requests/s", note=note))
    results += await _streams(services, site)
    return results


def _bare(services: Services, organization: Organization) -> Starlette:
    def read_job(request: Request) -> JSONResponse:
        with services.database.begin() as session:
            found = as_contract(get_job(session, request.path_params["job"]))
        return JSONResponse(found.model_dump(mode="json"))

    def read_jobs(_request: Request) -> JSONResponse:
        with services.database.begin() as session:
            page = list_jobs(session, JobFilter(organization_id=organization.id), limit=50)
            found = [as_contract(job).model_dump(mode="json") for job in page.jobs]
        return JSONResponse(found)

    return Starlette(routes=[Route("/job/{job:uuid}", read_job), Route("/jobs", read_jobs)])


async def _pairs(
    ours: Callable[[], Awaitable[float]], theirs: Callable[[], Awaitable[float]], rounds: int
) -> Pair:
    pairs = [(await ours(), await theirs()) for _ in range(rounds)]
    return Pair(
        ours=statistics.median(mine for mine, _ in pairs),
        theirs=statistics.median(other for _, other in pairs),
        ratio=statistics.median(mine / other for mine, other in pairs),
        rounds=rounds,
    )


async def _rate(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> float:
    async def ask() -> None:
        for _ in range(REQUESTS // AT_ONCE):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 200, answer.text

    begun = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return REQUESTS / (time.perf_counter() - begun)


async def _streams(services: Services, site: Site) -> list[Result]:
    """Let many clients follow some jobs, and measure queries and delays."""
    factory, hub = services.factory, site.hub
    jobs: list[ClaimedJob] = [factory.running_build() for _ in range(JOBS)]
    hub.start()
    delays: list[float] = []
    committed: dict[str, float] = {}
    got = 0

    async def follow(job: ClaimedJob) -> None:
        nonlocal got
        async for lines in hub.follow(job.id):
            for line in lines:
                for text, at in committed.items():
                    if f'"{text}"' in line.json:
                        got += 1
                        delays.append(time.perf_counter() - at)

    followers = [asyncio.ensure_future(follow(jobs[number % JOBS])) for number in range(FOLLOWERS)]
    while not hub.is_pushed or hub.followers < FOLLOWERS:  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    before = hub.queries
    for batch in range(BATCHES):
        for number, job in enumerate(jobs):
            text = f"{batch}-{number}"
            await run_in_threadpool(factory.write_lines, job, text)
            committed.clear()
            committed[text] = time.perf_counter()
            await asyncio.sleep(0.02)
    await asyncio.sleep(1)
    queries = hub.queries - before
    for follower in followers:
        follower.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    hub.close()
    batches = JOBS * BATCHES
    note = f"{FOLLOWERS} followers of {JOBS} builds, {batches} batches"
    return [
        Result(
            bench="api", what="queries for each batch of lines", unit="queries",
            ours=queries / batches, reach="<= 1.5", aim="<= 1.1", note=note,
        ),
        Result(
            bench="api", what="commit of a line to its follower, p50", unit="ms",
            ours=statistics.median(delays) * 1000, reach="<= 200", aim="<= 50", note=note,
        ),
    ]  # fmt: skip
