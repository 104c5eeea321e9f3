"""A Procrastinate application to compare with: tasks that do nothing, in a database of their own.

The tasks are coroutines: its worker runs others in threads.
"""

from __future__ import annotations

import os
import time

from procrastinate import App, PsycopgConnector
from redis import Redis

# A connection for each of the eight slots that it is given: by default there are four.
app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_RIVAL_URL"], min_size=8))
redis = Redis.from_url(os.environ["BENCH_REDIS_URL"])


@app.task(name="noop")
async def noop() -> None:
    """Do nothing."""


@app.task(name="stamp")
async def stamp() -> None:
    """Say when it started."""
    redis.rpush("rival.stamp", repr(time.time()))
