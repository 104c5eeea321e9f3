"""Compare processor time, too: on a busy machine it says more than the time that passes."""

from __future__ import annotations

import resource
from collections.abc import Callable

import psutil

from bench.measure import Pair, pair
from bench.server import read_usage
from bench.services import Services


def pair_with_processor(
    services: Services,
    worker: int,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    *,
    rounds: int,
) -> tuple[Pair, Pair]:
    """Return what ``pair`` returns, and the processor time of both sides in seconds.

    Ours is that of the worker, of what it starts, of PostgreSQL and of Redis.

    Args:
        worker: its process id.
        theirs: runs children of this process, and waits for them.
    """
    mine_s, their_s = _ours_s(services, worker), _children_s()
    wall = pair(ours, theirs, rounds=rounds)
    mine_s, their_s = _ours_s(services, worker) - mine_s, _children_s() - their_s
    return wall, Pair(
        ours=mine_s / rounds, theirs=their_s / rounds, ratio=mine_s / their_s, rounds=rounds
    )


def _ours_s(services: Services, worker: int) -> float:
    usage = read_usage(services)
    process = psutil.Process(worker)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    started = sum(t.user + t.system + t.children_user + t.children_system for t in times)
    return usage.processor_s + usage.redis_processor_s + started


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
