"""How long a command waits for the job that it enqueued."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

TIMED_OUT = 124  #: the status of timeout(1)
MOST_SECONDS = 7 * 86_400
Command = Callable[..., None]

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(0, MOST_SECONDS),
    metavar="SECONDS",
    help="Give up after this time, with exit status 124.",
)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Whether a command waits, and for how many seconds at most."""

    detach: bool = False
    limit_s: float = math.inf


def waiting_options(noun: str) -> Callable[[Command], Command]:
    """Return a decorator for the options by which a command gets ``patience``.

    Args:
        noun: what the command waits for.
    """

    def decorate(command: Command) -> Command:
        @click.option(
            "--detach",
            is_flag=True,
            help=f"Do not wait for the {noun} (`jobs logs JOB -f` follows it).",
        )
        @timeout_option
        @functools.wraps(command)
        def call(*args: Any, detach: bool, timeout: float | None, **kwargs: Any) -> None:
            if detach and timeout is not None:
                raise click.UsageError("give --detach or --timeout, not both")
            limit_s = math.inf if timeout is None else timeout
            command(*args, patience=Patience(detach=detach, limit_s=limit_s), **kwargs)

        return call

    return decorate
