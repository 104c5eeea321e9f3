"""The processes below another one, read from /proc (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress


def below(pid: int) -> list[int]:
    """Return all processes below ``pid``, without itself; each parent comes before its children."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = list(children_of(waiting.pop()))
        found += children
        waiting += children
    return found


def children_of(pid: int) -> Iterator[int]:
    """Yield the children of all threads of a process, for each thread the oldest first."""
    tasks = f"/proc/{pid}/task"
    with suppress(OSError):  # it has ended
        for task in os.listdir(tasks):  # noqa: PTH208 -- importing pathlib takes too long here
            with suppress(OSError), open(f"{tasks}/{task}/children", "rb") as file:  # noqa: PTH123
                yield from map(int, file.read().split())


def line_below(pid: int, depth: int) -> list[int]:
    """Return the first child of ``pid``, the first child of that, and so on, ``depth`` of them."""
    line: list[int] = []
    for _ in range(depth):
        child = next(children_of(line[-1] if line else pid), None)
        if child is None:
            break
        line.append(child)
    return line


def first_below(pid: int, depth: int) -> int | None:
    """Return the last of ``line_below``; None if there are fewer than ``depth``."""
    line = line_below(pid, depth)
    if len(line) < depth:
        return None
    return line[-1] if line else pid
