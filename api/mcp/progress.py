"""Progress of a tool call, from the thread that runs it to the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio

from chattool.waiting import Report
from db.reads.follow import Update
from db.schema.enums import JobStatus

KEPT = 8  #: for a client that reads slowly; what comes then is left out

Send = Callable[[float, float | None, str | None], Awaitable[None]]
"""Sends progress, its total if it is known, and a text."""


@asynccontextmanager
async def reporting(send: Send) -> AsyncIterator[Report]:
    """Yield a report for a tool's thread; what it says is sent within the block."""
    loop = asyncio.get_running_loop()
    inlet, outlet = anyio.create_memory_object_stream[str](KEPT)

    def offer(text: str) -> None:
        with suppress(anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            inlet.send_nowait(text)

    def report(update: Update) -> None:
        with suppress(RuntimeError):  # the loop was closed since
            loop.call_soon_threadsafe(offer, describe(update))

    async with anyio.create_task_group() as group, inlet:
        group.start_soon(_pass_on, outlet, send)
        yield report
        inlet.close()


def describe(update: Update) -> str:
    """Return what a job does now, for people."""
    progress = update.progress
    match progress.status:
        case JobStatus.PENDING if not progress.workers:
            return "waiting: no worker can run this now"
        case JobStatus.PENDING:
            return "waiting for a worker"
        case JobStatus.RUNNING:
            return progress.stage or "running"
    return str(progress.status)


async def _pass_on(outlet: anyio.abc.ObjectReceiveStream[str], send: Send) -> None:
    async with outlet:
        count = 0.0
        async for text in outlet:
            count += 1
            await send(count, None, text)
