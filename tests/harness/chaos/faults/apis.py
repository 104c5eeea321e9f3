"""What becomes of the processes of the HTTP API, while clients follow the logs of builds."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import text

from db.catalog.people import set_site_roles
from db.catalog.tokens import create_token
from db.schema.enums import Stage, TokenScope
from db.schema.roles import SiteRole
from db.schema.tables import User
from tests.harness.api.process import ApiProcess
from tests.harness.chaos.followers import Follower
from tests.harness.chaos.strike import Fault, Strike

KILLS = 4
PER_JOB = 2  #: followers
ENDS_WITHIN_S = 90
BUILD_OF_JOB = text("SELECT id FROM workspace_builds WHERE job_id = :job_id")


@contextmanager
def kill_apis(strike: Strike) -> Iterator[None]:
    """One of two processes dies, again and again; each follower must see each line once."""
    with strike.site.apis() as apis:
        followers = _followers(strike, [api.url for api in apis])
        for follower in followers:
            follower.start()
        try:
            strike.now()
            _kill_one(apis, strike.random)
            yield
            for _ in range(KILLS):
                time.sleep(strike.random.choice((0.1, 0.4, 0.8)))
                _kill_one(apis, strike.random)
        finally:
            ended = [follower.finish(ENDS_WITHIN_S) for follower in followers]
        if not all(ended):
            strike.problems.append(f"followed for ever: {ended.count(False)} logs had no end")
        database = strike.site.cluster.database
        strike.problems += [
            problem
            for follower, has_ended in zip(followers, ended, strict=True)
            if has_ended
            for problem in follower.differences(database)
        ]


def _kill_one(apis: Sequence[ApiProcess], chance: random.Random) -> None:
    victim = chance.choice(apis)
    victim.kill()
    victim.start()


def _followers(strike: Strike, urls: Sequence[str]) -> list[Follower]:
    with strike.site.cluster.database.begin() as session:
        owner = session.get_one(User, strike.tenants.owners[0].id)
        set_site_roles(session, owner, [SiteRole.OWNER])
        token = create_token(session, user_id=owner.id, scope=TokenScope.READ).text
        builds = {
            job: session.execute(BUILD_OF_JOB, {"job_id": job}).scalar_one() for job in strike.jobs
        }
    return [
        Follower(
            job=job,
            path=f"workspacebuilds/{build}/logs",
            urls=urls,
            token=token,
            seed=strike.random.randrange(2**32),
        )
        for job, build in builds.items()
        for _ in range(PER_JOB)
    ]


OF_APIS = (
    Fault(
        name="API killed",
        action=kill_apis,
        stages=(Stage.PLAN.value, Stage.APPLY.value),
    ),
)
