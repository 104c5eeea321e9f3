"""What became of each mutant, kept in a file, so that a run goes on where the last one ended."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.mutants.mutation import Mutation
from tests.mutants.rooms import ROOMS, ROOT
from tests.mutants.trials import Outcome, Verdict

FIRST = 20


@dataclass(kw_only=True)
class Results:
    """The verdicts by the ids of mutants, in a file of JSON lines."""

    path: Path
    _known: dict[str, dict[str, object]] = field(default_factory=dict)
    _killers: dict[str, Counter[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        for line in lines:
            self._take(json.loads(line))

    def add(self, mutation: Mutation, tests: tuple[str, ...], verdict: Verdict) -> None:
        """Keep a verdict."""
        asked = asked_by(mutation.path, tests)
        entry = {"id": mutation.id, "path": mutation.path, "asked": asked, **asdict(verdict)}
        self._take(entry)
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def outcome(self, mutation: Mutation, tests: tuple[str, ...]) -> Outcome | None:
        """Return what became of a mutant; None when that is to be tried.

        One that was killed stays so while its line stands; one that has survived is tried again
        when its file or the tests have changed.
        """
        if (entry := self._known.get(mutation.id)) is None:
            return None
        outcome = Outcome(str(entry["outcome"]))
        if outcome is Outcome.SURVIVED and entry["asked"] != asked_by(mutation.path, tests):
            return None
        return outcome

    def killers(self, module: str) -> list[str]:
        """Return the tests that have noticed most mutants of the module."""
        return [name for name, _ in self._killers.get(module, Counter()).most_common(FIRST)]

    def durations(self) -> dict[str, float]:
        """Return how long the tests take over the code as it is, if that was measured."""
        known = json.loads(self._times.read_text()) if self._times.exists() else {}
        return dict(known["seconds"]) if known.get("project") == project() else {}

    def keep_durations(self, seconds: Mapping[str, float]) -> None:
        """Keep how long the tests take."""
        self._times.write_text(json.dumps({"project": project(), "seconds": seconds}))

    @property
    def _times(self) -> Path:
        return self.path.with_name("durations.json")

    def _take(self, entry: dict[str, object]) -> None:
        self._known[str(entry["id"])] = entry
        if entry["by"]:
            self._killers.setdefault(str(entry["path"]), Counter())[str(entry["by"])] += 1


@functools.cache
def asked_by(module: str, tests: tuple[str, ...]) -> str:
    """Return a mark of the mutated file and of the tests that are asked, as they were at first."""
    mark = hashlib.sha256((ROOT / module).read_bytes())
    for file in files_of(tests):
        mark.update(file.read_bytes())
    return mark.hexdigest()[:12]


@functools.cache
def project() -> str:
    """Return a mark of the mutated rooms and of their tests, as they were at first."""
    mark = hashlib.sha256()
    for room, tests in ROOMS.items():
        for file in files_of((room, *tests)):
            mark.update(file.read_bytes())
    return mark.hexdigest()[:12]


def files_of(tests: Sequence[str]) -> Iterator[Path]:
    """Yield the Python files that are named, themselves or by their folder."""
    for name in tests:
        path = ROOT / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else (path,)
