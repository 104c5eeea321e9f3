"""A hook that is a Python function: an entry point of a package that the operator installed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import entry_points
from queue import Empty, SimpleQueue
from typing import Any

from provisioner.host.interrupt import Interrupt
from provisioner.platform.hook import BuildSecrets, HookError, HookRequest, read_answer

GROUP = "provisionerd.build_hooks"
"""The group of entry points. Each takes the request as a dictionary and returns the answer."""

_POLL_S = 0.2
Function = Callable[[dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class PythonHook:
    """Calls ``function`` in a thread of its own; a call that takes too long is abandoned."""

    function: Function
    deadline: timedelta

    def __call__(self, request: HookRequest, interrupt: Interrupt) -> BuildSecrets:
        """Return the answer (see ``provisioner.platform.hook.BuildHook``)."""
        answers: SimpleQueue[object] = SimpleQueue()
        call = threading.Thread(
            target=self._call, args=(request, answers), name="build-hook", daemon=True
        )
        call.start()
        answer = self._wait(answers, interrupt)
        if isinstance(answer, HookError):
            raise answer
        return read_answer(answer)

    def _wait(self, answers: SimpleQueue[object], interrupt: Interrupt) -> object:
        end = time.monotonic() + self.deadline.total_seconds()
        while not interrupt.is_set():
            try:
                return answers.get(timeout=min(_POLL_S, max(end - time.monotonic(), 0.001)))
            except Empty:
                if time.monotonic() > end:
                    raise HookError("it did not answer in time") from None
        raise HookError("the build was interrupted")

    def _call(self, request: HookRequest, answers: SimpleQueue[object]) -> None:
        try:
            answers.put(dict(self.function(request.as_json())))
        except Exception as error:  # noqa: BLE001 - it is code of somebody else
            answers.put(HookError(f"it raised {type(error).__name__}"))


def find_hook(name: str, *, deadline: timedelta) -> PythonHook:
    """Return the hook that an installed package offers under this name.

    Raises:
        LookupError: there is none.
        Exception: it cannot be imported.
    """
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise LookupError(f"no installed package has the entry point {name!r} in {GROUP}")
    return PythonHook(function=found[0].load(), deadline=deadline)
