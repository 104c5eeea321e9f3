"""Threads that are waited for, never without a deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import HTTPServer

from tests.harness.waiting import DEADLINE_S, NeverHappenedError


def start_thread(call: Callable[[], object]) -> threading.Thread:
    """Run ``call`` in a thread that does not keep the process alive."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def join_thread(thread: threading.Thread, *, within_s: float = DEADLINE_S) -> None:
    """Wait for the end of a thread.

    Raises:
        NeverHappenedError: it has not ended within ``within_s``.
    """
    thread.join(within_s)
    if thread.is_alive():
        raise NeverHappenedError(f"waited {within_s:g} seconds for the end of {thread.name}")


def run_together(calls: Sequence[Callable[[], object]], *, within_s: float = DEADLINE_S) -> None:
    """Run each call in a thread of its own and wait for them all."""
    for thread in [start_thread(call) for call in calls]:
        join_thread(thread, within_s=within_s)


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """The URL of a server that answers until the end of the block."""
    with server:
        thread = start_thread(lambda: server.serve_forever(poll_interval=0.01))
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            join_thread(thread)
