"""Try mutants for a while, and say how many of them the tests have noticed."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.mutants.mutation import Mutation, named
from tests.mutants.python import edits_of_source
from tests.mutants.results import Results, asked_by
from tests.mutants.rooms import ROOMS, ROOT, asked_about, modules_of
from tests.mutants.trials import Outcome, Slot, Verdict, import_libraries

FOLDER = ROOT / "build" / "mutants"
TICK_S = 0.02
BASELINE_LIMIT_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A mutation, where it stands, and the tests that are asked about it."""

    room: str
    mutation: Mutation
    tests: tuple[str, ...]


@dataclass(kw_only=True)
class Run:
    """Tries mutants in all slots until a time has come."""

    slots: Sequence[Slot]
    results: Results
    until: float
    durations: dict[str, float] = field(default_factory=dict)
    trying: dict[int, Mutant] = field(default_factory=dict)

    def measure(self, tests: Sequence[str]) -> None:
        """Run each of the tests over the code as it is: how long they take, and that they pass."""
        self.durations = self.results.durations()
        waiting = [name for name in tests if name not in self.durations]
        while (waiting and self._has_time()) or self._busy():
            for slot in self._free():
                if waiting and self._has_time():
                    slot.begin(None, [waiting.pop(0)], first=(), limit_s=BASELINE_LIMIT_S)
            for slot, [name], verdict in self._ended():
                if verdict.outcome is not Outcome.SURVIVED:
                    raise SystemExit(f"{slot.output()}\n{name} fails without any mutant")
                self.durations[name] = verdict.seconds
                self.results.keep_durations(self.durations)

    def try_all(self, mutants: Sequence[Mutant]) -> None:
        """Try the mutants in this order, as many as there is time for."""
        waiting = [mutant for mutant in mutants if self.durations.keys() >= {*mutant.tests}]
        while (waiting and self._has_time()) or self._busy():
            for slot in self._free():
                if waiting and self._has_time():
                    self._begin(slot, waiting.pop(0))
            for slot, _tests, verdict in self._ended():
                mutant = self.trying.pop(id(slot))
                self.results.add(mutant.mutation, mutant.tests, verdict)
                print(
                    f"{verdict.outcome:8} {verdict.seconds:5.1f} s  {mutant.mutation}", flush=True
                )

    def _begin(self, slot: Slot, mutant: Mutant) -> None:
        self.trying[id(slot)] = mutant
        slot.begin(
            mutant.mutation,
            mutant.tests,
            first=self.results.killers(mutant.mutation.path),
            limit_s=20 + 3 * sum(self.durations[name] for name in mutant.tests),
        )

    def _has_time(self) -> bool:
        return time.monotonic() < self.until

    def _busy(self) -> bool:
        return any(slot.trial for slot in self.slots)

    def _free(self) -> Iterator[Slot]:
        return (slot for slot in self.slots if slot.trial is None)

    def _ended(self) -> Iterator[tuple[Slot, Sequence[str], Verdict]]:
        time.sleep(TICK_S)
        for slot in self.slots:
            if (trial := slot.trial) and (verdict := slot.look()):
                yield slot, trial.tests, verdict


def find_mutants(rooms: Sequence[str]) -> list[Mutant]:
    """Return the mutants of the rooms in an order that is random and always the same."""
    found = []
    for room in rooms:
        for module in modules_of(room):
            source = (ROOT / module).read_text()
            tests = asked_about(room, module)
            asked_by(module, tests)  # as they are now: the project may be edited meanwhile
            found += [
                Mutant(room=room, mutation=mutation, tests=tests)
                for mutation in named(module, source, edits_of_source(source))
            ]
    return sorted(found, key=lambda mutant: mutant.mutation.id)


def report(mutants: Sequence[Mutant], results: Results) -> None:
    """Print the survivors, and for each room how many mutants were tried and noticed."""
    table: dict[str, Counter[Outcome | None]] = {}
    for mutant in mutants:
        outcome = results.outcome(mutant.mutation, mutant.tests)
        table.setdefault(mutant.room, Counter())[outcome] += 1
        if outcome is Outcome.SURVIVED:
            print(f"survived {mutant.mutation.id} {mutant.mutation}")
    print(f"\n{'room':20} {'mutants':>8} {'tried':>6} {'killed':>7} {'survived':>9} {'score':>6}")
    for room, counts in {**table, "all": sum(table.values(), Counter())}.items():
        total, survived = counts.total(), counts[Outcome.SURVIVED]
        tried = total - counts[None]
        score = f"{100 * (tried - survived) / tried:5.1f}%" if tried else "-"
        print(f"{room:20} {total:8} {tried:6} {tried - survived:7} {survived:9} {score:>6}")


def main() -> None:
    """Parse the command line, try, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long to try (default 30)")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--room", choices=ROOMS, action="append", help="only this one; repeatable")
    parser.add_argument("--sql", action="store_true", help="only what stands within SQL")
    parser.add_argument("--report", action="store_true", help="try nothing; show what is known")
    options = parser.parse_args()
    mutants = find_mutants(options.room or list(ROOMS))
    if options.sql:
        mutants = [mutant for mutant in mutants if mutant.mutation.kind.startswith("sql")]
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = Results(path=FOLDER / "results.jsonl")
    waiting = [m for m in mutants if results.outcome(m.mutation, m.tests) is None]
    if waiting and not options.report:
        until = time.monotonic() + 60 * options.minutes
        _try(waiting, results, jobs=options.jobs, until=until)
    report(mutants, results)


def _try(waiting: Sequence[Mutant], results: Results, *, jobs: int, until: float) -> None:
    import_libraries()
    with ExitStack() as stack:
        folders = [FOLDER / f"slot-{number}" for number in range(jobs)]
        for folder in folders:
            folder.mkdir(exist_ok=True)
        slots = [stack.enter_context(Slot(folder).opened()) for folder in folders]
        run = Run(slots=slots, results=results, until=until)
        run.measure(sorted({name for mutant in waiting for name in mutant.tests}))
        run.try_all(waiting)


if __name__ == "__main__":
    main()
