"""A Procrastinate application to compare with: tasks that do nothing, in a separate database.

The tasks are coroutines, because its worker runs other tasks in threads.
"""

from __future__ import annotations

import os
import time

from procrastinate import App, PsycopgConnector
from redis import Redis

# A connection for each of its eight slots; the default is four.
app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_RIVAL_URL"], min_size=8))
redis = Redis.from_url(os.environ["BENCH_REDIS_URL"])


@app.task(name="noop")
async def noop() -> None:
    """Do nothing."""


@app.task(name="stamp")
async def stamp() -> None:
    """Report the start time."""
    redis.rpush("rival.stamp", repr(time.time()))
