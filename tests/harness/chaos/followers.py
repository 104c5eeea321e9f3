"""Clients that follow the logs of builds, and go on at another process when theirs has gone."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from db.engine import Database
from db.reads.joblog import read_whole_log

PAUSE_S = 0.05
READ_S = 30.0  #: comments come more often


@dataclass(kw_only=True)
class Follower:
    """A client that follows one log until the job has ended, by server-sent events."""

    job: uuid.UUID
    path: str
    urls: Sequence[str]
    token: str
    seed: int
    ids: list[int] = field(default_factory=list)  #: of the lines, in the order of their arrival
    resumed: int = 0  #: how often it connected again
    thread: threading.Thread | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin to follow, in a thread."""
        self.thread = threading.Thread(target=self._run, name=f"follower-{self.job}")
        self.thread.start()

    def finish(self, within_s: float) -> bool:
        """Wait for the end of the log; return whether it came."""
        assert self.thread is not None
        self.thread.join(within_s)
        has_ended = not self.thread.is_alive()
        self._stopping.set()
        self.thread.join()
        return has_ended

    def differences(self, database: Database) -> Iterator[str]:
        """Say what it did not see exactly once and in order."""
        with database.begin() as session:
            stored = [line.id for line in read_whole_log(session, self.job, after=0)]
        if self.ids != stored:
            missed, doubled = set(stored) - set(self.ids), len(self.ids) - len(set(self.ids))
            yield (
                f"followed wrongly: of the {len(stored)} lines of job {self.job},"
                f" {len(missed)} were missed and {doubled} came twice"
            )

    def _run(self) -> None:
        chance = random.Random(self.seed)
        while not self._stopping.is_set():
            try:
                if self._follow(chance.choice(self.urls)):
                    return
            except httpx.HTTPError:
                time.sleep(PAUSE_S)
            self.resumed += 1

    def _follow(self, url: str) -> bool:
        """Follow at one process; return whether the log has ended."""
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.token}"}
        if self.ids:
            headers["Last-Event-ID"] = str(self.ids[-1])
        address = f"{url}/api/v2/{self.path}"
        with httpx.stream("GET", address, headers=headers, timeout=READ_S) as answer:
            answer.raise_for_status()
            for event in _events(answer.iter_lines()):
                if self._stopping.is_set():
                    return False
                if event["event"] == "done":
                    return True
                self.ids.append(json.loads(event["data"])["id"])
        return False


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Yield the events that are whole; the last one may be cut off."""
    event: dict[str, Any] = {}
    for line in lines:
        name, _colon, value = line.partition(": ")
        if name:
            event[name] = value
        elif not line:
            if "event" in event:
                yield event
            event = {}
