"""The names that a shell offers for a word: workspaces, users, jobs and others that exist.

A process of its own asks the database or the server of the API. If it takes too long or fails,
there are no names: a shell must neither wait, nor show an error in the middle of a line.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

from cli.contexts import load, use_current
from cli.lazy import imported
from cli.reference import default_owner
from cli.remote.server import has_server
from cli.table import plain
from cli.vocabulary import CONTEXTS, WORKSPACES

LIMIT = 50
TIME_S = 0.5  #: for the question, without the imports
# A shell inserts a name as it is, so one that means something to it must not be offered.
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./@:+-]{0,199}")
Names: TypeAlias = list[tuple[str, str]]  #: and a note on each, such as the status of a job


def suggested(kind: str, context: click.Context, start: str) -> list[CompletionItem]:
    """Return the names of a kind that begin with ``start``; none if they cannot be found.

    Args:
        kind: one of ``cli.vocabulary``, for jobs with the statuses that are wanted.
        context: with what has been typed before.
    """
    with suppress(Exception, KeyboardInterrupt):
        _use_environment(context)
        names = _names(kind, context, start)
        return [CompletionItem(name, help=note or None) for name, note in _offered(names, start)]
    return []


def _names(kind: str, context: click.Context, start: str) -> Names:
    if kind == CONTEXTS:
        return [(name, "") for name in sorted(load().named)]
    place = "cli.remote.names:find_names" if has_server() else "cli.storednames:find_names"
    find = imported(place)
    if kind != WORKSPACES:
        return _answer_in_time(lambda: find(kind, start.lower(), within=context.params.get("name")))
    owner = context.params.get("owner") or default_owner()
    if not owner or "/" in start:
        return _answer_in_time(lambda: find(kind, start.lower(), within=None))
    # A plain name is enough.
    found = _answer_in_time(lambda: find(kind, f"{owner}/{start}".lower(), within=None))
    return [(name.partition("/")[2], note) for name, note in found]


def _use_environment(context: click.Context) -> None:
    """Set what the command itself would set before it runs."""
    given = context.find_root().params
    if data_dir := given.get("data_dir"):
        os.environ["PROVISIONERD_DATA_DIR"] = str(Path(data_dir).absolute())
    if name := given.get("context_name"):
        os.environ["PROVISIONERD_CONTEXT"] = name
    use_current()


def _offered(names: Iterable[tuple[str, str]], start: str) -> Names:
    fitting = [
        (name, plain(" ".join(note.split()))[:80])
        for name, note in names
        if name.lower().startswith(start.lower()) and _HARMLESS.fullmatch(name)
    ]
    return fitting[:LIMIT]


def _answer_in_time(ask: Callable[[], Names]) -> Names:
    """Return the answer of another process, which is killed if it takes too long."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(ask, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb", buffering=0) as answer:
            is_ready, _, _ = select.select([answer], [], [], TIME_S)
            found: Names = json.loads(answer.read()) if is_ready else []
            return found
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _answer(ask: Callable[[], Names], writing: int) -> None:
    """Write the answer and end this process; libraries may not write into the user's line."""
    with suppress(BaseException):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        answer = json.dumps(ask()).encode()
        os.write(writing, answer)
    os._exit(0)
