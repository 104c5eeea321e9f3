"""Rings for the worker after a command has enqueued a job."""

from __future__ import annotations

from threading import Event

import click

from worker.broker.doorbell import ring_at
from worker.broker.ringer import Ring


def ring_or_warn(redis_url: str, noun: str) -> Ring:
    """Return a function that rings, and prints a warning if the broker is away.

    After the first failure it does not ring again: each ring would wait for its time-out.

    Args:
        noun: what was enqueued.
    """
    ring = ring_at(redis_url)
    away = Event()

    def rung_or_warned(queue: str) -> bool:
        rung = not away.is_set() and ring(queue)
        if not rung and not away.is_set():
            away.set()
            click.echo(
                f"Warning: Redis cannot be reached; the {noun} was accepted, and a worker finds it"
                " when Redis is back (check PROVISIONERD_REDIS_URL).",
                err=True,
            )
        return rung

    return rung_or_warned
